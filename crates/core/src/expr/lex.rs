//! The words and signs of an expression.

use super::ExprError;

/// One word or sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word(String),
    /// Between back-quotes or double quotes: always a column.
    Name(String),
    /// Between single quotes.
    Text(String),
    Number(String),
    Sign(char),
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) offset: usize,
}

/// Splits a text.
///
/// # Errors
/// A quote that is not closed, or a number that ends in letters.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, ExprError> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    while let Some(first) = text[offset..].chars().next() {
        let rest = &text[offset..];
        let (kind, length) = match first {
            _ if first.is_whitespace() => {
                offset += first.len_utf8();
                continue;
            }
            '\'' | '`' | '"' => quoted(rest, first, offset)?,
            _ if first.is_ascii_digit() => number(rest, offset)?,
            _ if is_letter(first) => {
                let length = rest.find(|letter| !is_letter(letter)).unwrap_or(rest.len());
                (Kind::Word(rest[..length].to_owned()), length)
            }
            _ => (Kind::Sign(first), first.len_utf8()),
        };
        tokens.push(Token { kind, offset });
        offset += length;
    }
    Ok(tokens)
}

fn is_letter(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Names that need no quotes: those that no one can take for anything else.
pub(super) fn is_plain_name(name: &str) -> bool {
    let word = ["interval", "null", "true", "false"].iter().any(|word| name.eq_ignore_ascii_case(word));
    let first = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    !word && first && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Whether a literal is printed without quotes.
pub(super) fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    unsigned.starts_with(|first: char| first.is_ascii_digit()) && number_length(unsigned) == unsigned.len()
}

fn number(text: &str, offset: usize) -> Result<(Kind, usize), ExprError> {
    let length = number_length(text);
    if text[length..].starts_with(is_letter) {
        return Err(ExprError { offset, message: "a number ends in letters".to_owned() });
    }
    Ok((Kind::Number(text[..length].to_owned()), length))
}

/// The length of `digits[.digits][e[sign]digits]` at the start of a text.
fn number_length(text: &str) -> usize {
    let digits = |at: usize| text[at..].bytes().take_while(u8::is_ascii_digit).count();
    let mut length = digits(0);
    if text[length..].starts_with('.') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    if text[length..].starts_with(['e', 'E']) {
        let sign = usize::from(text[length + 1..].starts_with(['+', '-']));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

fn quoted(text: &str, quote: char, offset: usize) -> Result<(Kind, usize), ExprError> {
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, escaped)) => value.push(escaped),
                None => break,
            },
            _ if letter == quote => {
                // Twice is once, as in SQL.
                if letters.next_if(|(_, next)| *next == quote).is_some() {
                    value.push(quote);
                    continue;
                }
                let kind = if quote == '\'' { Kind::Text(value) } else { Kind::Name(value) };
                return Ok((kind, at + 1));
            }
            _ => value.push(letter),
        }
    }
    Err(ExprError { offset, message: format!("the {quote} is not closed") })
}
