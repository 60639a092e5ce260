//! Decimals: an exact number of digits behind the point.

use super::number::sign;
use super::trimmed;

/// A decimal as an integer of its smallest unit. Refused if it has digits other than zero beyond `scale`, or more
/// than `precision` digits in all. There is no exponent form.
pub(crate) fn decimal(cell: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, text) = sign(trimmed(cell));
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let scale = usize::try_from(scale).ok()?;
    let (kept, beyond) = fraction.split_at(fraction.len().min(scale));
    if beyond.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let padding = std::iter::repeat_n(&b'0', scale - kept.len());
    let mut value = 0i128;
    for byte in whole.iter().chain(kept).chain(padding) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    let fits = value < 10i128.checked_pow(u32::from(precision))?;
    fits.then_some(if negative { -value } else { value })
}
