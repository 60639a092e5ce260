//! What stands behind DEFAULT: a literal, a list of literals, or an expression.

use connector_core::expr::{Expr, POSSIBLE};

use super::{Bad, Parser, WrittenDefault, is_modifier, is_path};
use crate::default::Literal;
use crate::source::{Span, Spanned};
use crate::tokens::{Kind, Token, text_of};

const HINT: &str = "write a number, a 'text', true, false, NULL, a list such as [1, 2], or an expression such as now()";

impl Parser<'_, '_> {
    /// The DEFAULT behind its keyword.
    pub(super) fn default(&mut self, keyword: Span) -> Result<Spanned<WrittenDefault>, Bad> {
        let tokens = self.default_tokens();
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return self.fail("bad_default", keyword, "DEFAULT needs a value", HINT);
        };
        let span = first.span.to(last.span);
        if first.is_sign('[') {
            return match list(&tokens) {
                Some(elements) => Ok(Spanned::new(WrittenDefault::Literal(Literal::List(elements)), span)),
                None => self.fail("bad_default", span, "this is not a list of literals", "such as [] or [1, 2]"),
            };
        }
        if let Some(literal) = literal(&tokens) {
            return Ok(Spanned::new(WrittenDefault::Literal(literal), span));
        }
        match Expr::parse(&text_of(self.report.source, &tokens)) {
            Ok(Expr::Literal(text)) => Ok(Spanned::new(WrittenDefault::Literal(Literal::Text(text)), span)),
            Ok(expression) => Ok(Spanned::new(WrittenDefault::Expression(expression), span)),
            Err(error) => {
                let at = span.start + error.offset;
                let token = tokens.iter().find(|token| token.span.start <= at && at < token.span.end);
                let place = token.map_or(Span::at(at), |token| token.span);
                let message = format!("this DEFAULT is not possible: {}", error.message);
                self.fail("bad_default", place, &message, POSSIBLE)
            }
        }
    }

    /// Everything up to the next column or the next part of this one. A line that begins with a sign goes on with the
    /// expression of the line before.
    fn default_tokens(&mut self) -> Vec<Token> {
        let begin = self.at;
        let mut depth = 0;
        while let Some(token) = self.peek() {
            let opens = token.is_sign('(') || token.is_sign('[');
            let closes = token.is_sign(')') || token.is_sign(']');
            let part = self.at > begin && (is_modifier(token) || is_path(token));
            let next_line = token.first_on_line && !matches!(token.kind, Kind::Sign(_)) && !self.after_sign();
            if depth == 0 && (token.is_sign(',') || part || (next_line && self.at > begin)) {
                break;
            }
            depth += i32::from(opens) - i32::from(closes);
            self.at += 1;
        }
        self.tokens[begin..self.at].to_vec()
    }

    fn after_sign(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        before.is_some_and(|token| token.is_sign('+') || token.is_sign('-') || token.is_word("DEFAULT"))
    }
}

fn literal(tokens: &[Token]) -> Option<Literal> {
    match tokens {
        [Token { kind: Kind::Sign(sign @ ('-' | '+')), .. }, Token { kind: Kind::Number(text), .. }] => {
            Some(Literal::Number(format!("{sign}{text}")))
        }
        [Token { kind: Kind::Number(text), .. }] => Some(Literal::Number(text.clone())),
        [Token { kind: Kind::Text(text), .. }] => Some(Literal::Text(text.clone())),
        [Token { kind: Kind::Word(word), .. }] => match word.to_ascii_lowercase().as_str() {
            "null" => Some(Literal::Null),
            "true" => Some(Literal::Bool(true)),
            "false" => Some(Literal::Bool(false)),
            _ => None,
        },
        _ => None,
    }
}

/// The literals between brackets.
fn list(tokens: &[Token]) -> Option<Vec<Literal>> {
    let [open, elements @ .., close] = tokens else { return None };
    if !open.is_sign('[') || !close.is_sign(']') {
        return None;
    }
    if elements.is_empty() {
        return Some(Vec::new());
    }
    elements.split(|token| token.is_sign(',')).map(literal).collect()
}
