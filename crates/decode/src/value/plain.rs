//! What inference takes for a number or a boolean: only text that the typed value stands for without loss.
//!
//! Stricter than the parsers for declared columns. Inference and the decoding of inferred columns share it, so that a
//! value behind the sample is judged as if it had been in it.

use super::{number, trimmed};

/// Decimal digits that survive the way into any normal 64-bit float and back.
const SAFE_DIGITS: usize = 15;
/// Digits that tell every 64-bit float from its neighbours; more are never its own.
const MAX_DIGITS: usize = 17;
/// Integers up to this magnitude are exact in a 64-bit float.
const FLOAT_EXACT_INT: u64 = 1 << 53;

/// An integer without a leading zero or a plus sign; not `-0`, whose sign would be lost.
pub(crate) fn int64(cell: &[u8]) -> Option<i64> {
    let text = trimmed(cell);
    if !is_plain_number(text) {
        return None;
    }
    number::int64(text).filter(|value| *value != 0 || text[0] != b'-')
}

/// As [`int64`], without anything below zero.
pub(crate) fn uint64(cell: &[u8]) -> Option<u64> {
    let text = trimmed(cell);
    // A number of this spelling that is not negative begins with a digit; `-0` does not.
    text.first().filter(|first| first.is_ascii_digit())?;
    if is_plain_number(text) { number::uint64(text) } else { None }
}

/// A finite 32-bit float without a leading zero or a plus sign. Inference never takes this type for a text: a column
/// of it was declared by a file with types.
pub(crate) fn float32(cell: &[u8]) -> Option<f32> {
    let text = trimmed(cell);
    if is_plain_number(text) { number::float32(text) } else { None }
}

/// A finite float whose significant digits come back out of the nearest 64-bit float.
pub(crate) fn float64(cell: &[u8]) -> Option<f64> {
    let text = trimmed(cell);
    let value = if is_plain_number(text) { number::float64(text) } else { None }?;
    let mantissa = text.split(|byte| matches!(byte, b'e' | b'E')).next().unwrap_or(text);
    if mantissa.len() == text.len() && !mantissa.contains(&b'.') {
        return number::int64(text).filter(|whole| whole.unsigned_abs() <= FLOAT_EXACT_INT).map(|_| value);
    }
    survives(mantissa, value).then_some(value)
}

/// `true` and `false` in any case.
pub(crate) fn boolean(cell: &[u8]) -> Option<bool> {
    let text = trimmed(cell);
    text.eq_ignore_ascii_case(b"true").then_some(true).or(text.eq_ignore_ascii_case(b"false").then_some(false))
}

/// Digits with at most a minus sign, a point and an exponent, and no zero in front of another digit.
fn is_plain_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0', second, ..] => matches!(second, b'.' | b'e' | b'E'),
        [first, ..] => first.is_ascii_digit() || (*first == b'.' && digits.len() > 1),
        [] => false,
    }
}

/// Whether the significant digits of this mantissa are those of the float.
fn survives(mantissa: &[u8], value: f64) -> bool {
    let is_zero = |byte: &&u8| **byte == b'0' || !byte.is_ascii_digit();
    let leading = mantissa.iter().take_while(is_zero).count();
    let trailing = mantissa[leading..].iter().rev().take_while(is_zero).count();
    let significant = &mantissa[leading..mantissa.len() - trailing];
    let digits = significant.iter().filter(|byte| byte.is_ascii_digit());
    let count = digits.clone().count();
    // A subnormal float has fewer digits than others.
    if count == 0 || (count <= SAFE_DIGITS && value.is_normal()) {
        return true;
    }
    let formatted = if count <= MAX_DIGITS { format!("{value:.*e}", count - 1) } else { return false };
    let exponent = formatted.find('e').unwrap_or(formatted.len());
    digits.copied().eq(formatted[..exponent].bytes().filter(u8::is_ascii_digit))
}
