//! From text to expression.

use super::lex::{Kind, Token, lex};
use super::{Expr, ExprError, Function, IntervalUnit};

/// Parentheses and calls within each other. No sensible expression comes near.
const MAX_DEPTH: usize = 32;
/// Intervals added one after the other.
const MAX_SHIFTS: usize = 32;
/// The digits after the second that a time holds.
const MAX_PRECISION: u8 = 6;

pub(super) fn parse(text: &str) -> Result<Expr, ExprError> {
    let tokens = lex(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, end: text.trim_end().len(), depth: 0 };
    let expression = parser.expression()?;
    match parser.peek() {
        None => Ok(expression),
        Some(token) => Err(parser.surplus(token)),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    /// The length of the text.
    end: usize,
    depth: usize,
}

type Parsed<T> = Result<T, ExprError>;

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn offset(&self) -> usize {
        self.peek().map_or(self.end, |token| token.offset)
    }

    fn error<T>(&self, offset: usize, message: impl Into<String>) -> Parsed<T> {
        Err(ExprError { offset, message: message.into() })
    }

    fn sign(&mut self, sign: char) -> bool {
        let found = self.peek().is_some_and(|token| token.kind == Kind::Sign(sign));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: char) -> Parsed<()> {
        if self.sign(sign) { Ok(()) } else { self.error(self.offset(), format!("a '{sign}' is missing here")) }
    }

    fn surplus(&self, token: &Token) -> ExprError {
        let message = match &token.kind {
            Kind::Sign(sign @ ('*' | '/' | '%' | '=' | '<' | '>' | '!' | '|' | '?')) => {
                format!("the operator '{sign}' is not possible here")
            }
            Kind::Sign(',') => "only one expression is possible here".to_owned(),
            _ => "the expression should end here".to_owned(),
        };
        ExprError { offset: token.offset, message }
    }

    /// A term, and any number of intervals added to it.
    fn expression(&mut self) -> Parsed<Expr> {
        let mut expression = self.term()?;
        let mut shifts = 0;
        loop {
            let begin = self.offset();
            let negative = match self.peek().map(|token| &token.kind) {
                Some(Kind::Sign('+')) => false,
                Some(Kind::Sign('-')) => true,
                _ => return Ok(expression),
            };
            self.at += 1;
            shifts += 1;
            if shifts > MAX_SHIFTS {
                return self.error(begin, format!("more than {MAX_SHIFTS} intervals are added to each other"));
            }
            let place = self.offset();
            let (count, unit) = self.interval()?;
            let count = if negative { -count } else { count };
            let Ok(count) = i64::try_from(count) else { return self.error(place, "the interval is too long") };
            expression = Expr::Shift { base: Box::new(expression), count, unit };
        }
    }

    /// `toIntervalDay(30)` or `INTERVAL 30 DAY`.
    fn interval(&mut self) -> Parsed<(i128, IntervalUnit)> {
        let place = self.offset();
        let word = match self.peek().map(|token| &token.kind) {
            Some(Kind::Word(word)) => word.to_ascii_lowercase(),
            Some(Kind::Number(_)) => {
                return self.error(place, "what is added must say its unit, such as toIntervalDay(30)");
            }
            _ => String::new(),
        };
        self.at += usize::from(!word.is_empty());
        if word == "interval" {
            return self.interval_words();
        }
        let unit = word.strip_prefix("tointerval").and_then(unit_named);
        let Some(unit) = unit else {
            return self.error(place, "only an interval can be added or subtracted, such as toIntervalDay(30)");
        };
        self.expect('(')?;
        let count = self.count()?;
        self.expect(')')?;
        Ok((count, unit))
    }

    /// What follows INTERVAL: `30 DAY`, `'30' DAY` or `'30 days'`.
    fn interval_words(&mut self) -> Parsed<(i128, IntervalUnit)> {
        let place = self.offset();
        if let Some(Kind::Text(text)) = self.peek().map(|token| &token.kind)
            && let Some((count, unit)) = text.trim().split_once(' ')
        {
            let both = count.parse().ok().zip(unit_word(unit.trim()));
            self.at += 1;
            return both.map_or_else(|| self.error(place, format!("'{text}' is no interval")), Ok);
        }
        let count = self.count()?;
        let place = self.offset();
        let unit = match self.peek().map(|token| &token.kind) {
            Some(Kind::Word(word)) => unit_word(word),
            _ => None,
        };
        self.at += usize::from(unit.is_some());
        match unit {
            Some(unit) => Ok((count, unit)),
            None => {
                let names: Vec<String> = IntervalUnit::ALL.iter().map(|unit| unit.name().to_uppercase()).collect();
                self.error(place, format!("the unit of the interval is missing; it is one of {}", names.join(", ")))
            }
        }
    }

    /// A whole number, perhaps negative, perhaps in quotes.
    fn count(&mut self) -> Parsed<i128> {
        let place = self.offset();
        let negative = self.sign('-');
        let text = match self.peek().map(|token| &token.kind) {
            Some(Kind::Number(text) | Kind::Text(text)) => text.trim(),
            _ => "",
        };
        // One more than the greatest i64 is the magnitude of the least; the caller has the last word.
        match text.parse::<i128>().ok().filter(|count| count.unsigned_abs() <= 1 << 63) {
            Some(count) => {
                self.at += 1;
                Ok(if negative { -count } else { count })
            }
            None => self.error(place, "an interval takes a whole number"),
        }
    }

    fn term(&mut self) -> Parsed<Expr> {
        let Some(token) = self.peek() else {
            let message = if self.tokens.is_empty() { "the expression is empty" } else { "the expression ends here" };
            return self.error(self.end, message);
        };
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error(token.offset, format!("the expression is nested deeper than {MAX_DEPTH} levels"));
        }
        self.at += 1;
        let called = self.peek().is_some_and(|next| next.kind == Kind::Sign('('));
        let term = match &token.kind {
            Kind::Text(text) | Kind::Number(text) => Expr::Literal(text.clone()),
            Kind::Name(name) if !name.is_empty() => Expr::Column(name.clone()),
            Kind::Word(word) if called => self.call(word, token.offset)?,
            Kind::Word(word) => self.word(word, token.offset)?,
            Kind::Sign(sign @ ('-' | '+')) => self.signed_number(*sign, token.offset)?,
            Kind::Sign('(') => {
                let inner = self.expression()?;
                self.expect(')')?;
                inner
            }
            _ => return self.error(token.offset, "an expression should begin here"),
        };
        self.depth -= 1;
        Ok(term)
    }

    fn signed_number(&mut self, sign: char, offset: usize) -> Parsed<Expr> {
        let Some(Kind::Number(text)) = self.peek().map(|token| &token.kind) else {
            return self.error(offset, format!("behind this '{sign}' only a number is possible"));
        };
        self.at += 1;
        Ok(Expr::Literal(if sign == '-' { format!("-{text}") } else { text.clone() }))
    }

    fn word(&mut self, word: &str, offset: usize) -> Parsed<Expr> {
        match word.to_ascii_lowercase().as_str() {
            lower @ ("true" | "false") => Ok(Expr::Literal(lower.to_owned())),
            "null" => self.error(offset, "NULL is not possible inside an expression"),
            "interval" => self.error(offset, "an interval can only be added to a date or time"),
            "current_timestamp" => Ok(Expr::Now),
            "current_date" => Ok(Expr::Today),
            _ => Ok(Expr::Column(word.to_owned())),
        }
    }

    /// A function; its name is read, its '(' is next.
    fn call(&mut self, name: &str, offset: usize) -> Parsed<Expr> {
        self.at += 1;
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "now" | "current_timestamp" => {
                self.zone_if_any(true)?;
                Ok(Expr::Now)
            }
            "today" | "current_date" | "curdate" => {
                self.expect(')')?;
                Ok(Expr::Today)
            }
            "now64" => self.now64(),
            // Dates have one range here.
            "todate32" => self.function(Function::ToDate),
            _ => match Function::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name)) {
                Some(function) => self.function(function),
                None if lower.starts_with("tointerval") => {
                    self.error(offset, "an interval can only be added to a date or time")
                }
                None => self.error(offset, format!("the function {name} is not possible here")),
            },
        }
    }

    fn now64(&mut self) -> Parsed<Expr> {
        let place = self.offset();
        let mut precision = 3;
        if let Some(Kind::Number(text)) = self.peek().map(|token| &token.kind) {
            let Some(digits) = text.parse().ok().filter(|digits| *digits <= MAX_PRECISION) else {
                return self.error(place, format!("now64 takes a precision from 0 to {MAX_PRECISION}"));
            };
            precision = digits;
            self.at += 1;
            self.zone_if_any(false)?;
        } else {
            self.zone_if_any(true)?;
        }
        Ok(Expr::Now64 { precision })
    }

    fn function(&mut self, mut function: Function) -> Parsed<Expr> {
        let argument = Box::new(self.expression()?);
        if function == Function::ToStartOfWeek && self.sign(',') {
            let place = self.offset();
            function = match self.peek().map(|token| &token.kind) {
                Some(Kind::Number(mode)) if mode == "0" => Function::ToStartOfWeek,
                Some(Kind::Number(mode)) if mode == "1" => Function::ToMonday,
                _ => return self.error(place, "the mode of toStartOfWeek is 0 (from Sunday) or 1 (from Monday)"),
            };
            self.at += 1;
        }
        self.zone_if_any(false)?;
        Ok(Expr::Call { function, argument })
    }

    /// The end of a call's arguments, perhaps after a time zone: UTC is the only one there is. `first`: no argument
    /// stands before it.
    fn zone_if_any(&mut self, first: bool) -> Parsed<()> {
        let more = if first { self.offset() < self.end && !self.is_sign(')') } else { self.sign(',') };
        if more {
            let place = self.offset();
            match self.peek().map(|token| &token.kind) {
                Some(Kind::Text(zone)) if ["UTC", "Etc/UTC"].iter().any(|utc| zone.eq_ignore_ascii_case(utc)) => {
                    self.at += 1;
                }
                Some(Kind::Text(zone)) => {
                    return self.error(place, format!("times are in UTC; the time zone '{zone}' is not possible"));
                }
                _ => return self.error(place, "this argument is not possible here"),
            }
        }
        self.expect(')')
    }

    fn is_sign(&self, sign: char) -> bool {
        self.peek().is_some_and(|token| token.kind == Kind::Sign(sign))
    }
}

/// The end of `toIntervalDay`, in lower case.
fn unit_named(name: &str) -> Option<IntervalUnit> {
    IntervalUnit::ALL.into_iter().find(|unit| unit.name().eq_ignore_ascii_case(name))
}

/// `DAY` or `days`.
fn unit_word(word: &str) -> Option<IntervalUnit> {
    let singular = word.strip_suffix(['s', 'S']).unwrap_or(word);
    unit_named(singular)
}
