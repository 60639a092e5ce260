//! Numbers that no machine type holds: their canonical decimal text, with ranges judged digit by digit.

use std::borrow::Cow;

use super::number::sign;
use super::trimmed;

/// The largest magnitudes of an integer type.
pub(crate) struct Range {
    /// Below zero; empty if there is nothing.
    negative: &'static [u8],
    positive: &'static [u8],
}

pub(crate) const INT128: Range = Range {
    negative: b"170141183460469231731687303715884105728",
    positive: b"170141183460469231731687303715884105727",
};
pub(crate) const INT256: Range = Range {
    negative: b"57896044618658097711785492504343953926634992332820282019728792003956564819968",
    positive: b"57896044618658097711785492504343953926634992332820282019728792003956564819967",
};
pub(crate) const UINT128: Range = Range { negative: b"", positive: b"340282366920938463463374607431768211455" };
pub(crate) const UINT256: Range = Range {
    negative: b"",
    positive: b"115792089237316195423570985008687907853269984665640564039457584007913129639935",
};

/// An integer in decimal digits with an optional sign; its text without leading zeros, plus sign and the sign of zero.
/// `strict`: only a text that is spelled like that.
pub(crate) fn int<'a>(cell: &'a [u8], range: &Range, strict: bool) -> Option<Cow<'a, str>> {
    let text = trimmed(cell);
    let (negative, digits) = sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = without_leading_zeros(digits);
    let negative = negative && !magnitude.is_empty();
    let limit = if negative { range.negative } else { range.positive };
    // Of two numbers with as many digits, the one that sorts first is the smaller one.
    if (magnitude.len(), magnitude) > (limit.len(), limit) {
        return None;
    }
    let magnitude = if magnitude.is_empty() { b"0" } else { magnitude };
    let canonical = text.len() == magnitude.len() + usize::from(negative);
    match (canonical, strict, negative) {
        (true, ..) => std::str::from_utf8(text).ok().map(Cow::Borrowed),
        (false, true, _) => None,
        (false, false, true) => std::str::from_utf8(magnitude).ok().map(|digits| Cow::Owned(format!("-{digits}"))),
        (false, false, false) => std::str::from_utf8(magnitude).ok().map(Cow::Borrowed),
    }
}

/// A decimal of any precision, as text with exactly `scale` digits behind the point (and no point without any).
/// Refused if it has digits other than zero beyond `scale`, or more than `precision` digits in all.
pub(crate) fn decimal<'a>(cell: &[u8], precision: u8, scale: i8) -> Option<Cow<'a, str>> {
    let (negative, text) = sign(trimmed(cell));
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if !all_digits || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let scale = usize::try_from(scale).ok()?;
    let (kept, beyond) = fraction.split_at(fraction.len().min(scale));
    let whole = without_leading_zeros(whole);
    if beyond.iter().any(|byte| *byte != b'0') || whole.len() + scale > usize::from(precision) {
        return None;
    }
    let is_zero = whole.is_empty() && kept.iter().all(|byte| *byte == b'0');
    let mut out = String::with_capacity(whole.len() + scale + 3);
    if negative && !is_zero {
        out.push('-');
    }
    if whole.is_empty() {
        out.push('0');
    }
    out.extend(whole.iter().copied().map(char::from));
    if scale > 0 {
        out.push('.');
        out.extend(kept.iter().copied().map(char::from));
        out.extend(std::iter::repeat_n('0', scale - kept.len()));
    }
    Some(Cow::Owned(out))
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    &digits[digits.iter().take_while(|byte| **byte == b'0').count()..]
}
