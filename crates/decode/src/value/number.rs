//! Integers, floats and booleans.

use super::trimmed;

/// An integer in decimal digits with an optional sign.
pub(crate) fn int64(cell: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(trimmed(cell));
    let magnitude = magnitude(digits)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Like [`int64`], without anything below zero (`-0` is zero).
pub(crate) fn uint64(cell: &[u8]) -> Option<u64> {
    let (negative, digits) = sign(trimmed(cell));
    magnitude(digits).filter(|value| !negative || *value == 0)
}

pub(super) fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    }
}

fn magnitude(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    // Up to 19 digits cannot overflow 64 bits.
    let (safe, rest) = digits.split_at(digits.len().min(19));
    let mut value = 0u64;
    for byte in safe {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    for byte in rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// A float: digits with point and exponent, or `nan`, `inf`, `infinity` in any case. Digits that stand for more than
/// the largest float are refused instead of becoming infinite, and digits too small for any float instead of zero.
pub(crate) fn float64(cell: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(trimmed(cell)).ok()?;
    let in_range =
        |value: &f64| if *value == 0.0 { !has_mantissa(text) } else { value.is_finite() || !has_digits(text) };
    text.parse::<f64>().ok().filter(in_range)
}

/// Like [`float64`], in 32 bits.
pub(crate) fn float32(cell: &[u8]) -> Option<f32> {
    let text = std::str::from_utf8(trimmed(cell)).ok()?;
    let in_range =
        |value: &f32| if *value == 0.0 { !has_mantissa(text) } else { value.is_finite() || !has_digits(text) };
    text.parse::<f32>().ok().filter(in_range)
}

fn has_digits(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Whether a digit other than zero stands in front of the exponent.
fn has_mantissa(text: &str) -> bool {
    text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| matches!(byte, b'1'..=b'9'))
}

/// `true`, `t`, `yes`, `y`, `1` and `false`, `f`, `no`, `n`, `0`, in any case.
pub(crate) fn boolean(cell: &[u8]) -> Option<bool> {
    let text = trimmed(cell);
    let is_one_of = |words: &[&[u8]]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(&[b"true", b"1", b"t", b"yes", b"y"]) {
        return Some(true);
    }
    is_one_of(&[b"false", b"0", b"f", b"no", b"n"]).then_some(false)
}
