//! The words and signs of an expression.

use super::ExprError;
use super::escape::unescape;

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
    let error = |at: usize, message: String| Err(ExprError { offset: offset + at, message });
    let mut value = Vec::new();
    let mut at = 1;
    while let Some(letter) = text[at..].chars().next() {
        let behind = at + letter.len_utf8();
        if letter == '\\' {
            if behind == text.len() {
                break;
            }
            match unescape(&text[behind..], &mut value) {
                Some(taken) => at = behind + taken,
                None => return error(at, "\\x needs two hexadecimal digits".to_owned()),
            }
        } else if letter != quote {
            value.extend_from_slice(&text.as_bytes()[at..behind]);
            at = behind;
        } else if text[behind..].starts_with(quote) {
            // Twice is once, as in SQL.
            value.push(quote as u8);
            at = behind + 1;
        } else {
            let Ok(value) = String::from_utf8(value) else {
                return error(0, "the escapes in it make a text that is not UTF-8".to_owned());
            };
            return Ok((if quote == '\'' { Kind::Text(value) } else { Kind::Name(value) }, behind));
        }
    }
    error(0, format!("the {quote} is not closed"))
}
