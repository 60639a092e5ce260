//! Numbers, compared digit by digit where no number type of the language is wide enough.

use std::cmp::Ordering;

use connector_core::types::{ColumnType, DECIMAL_DIGITS};

/// The integer without a `+` and without zeros in front, if it lies in the range of the type.
pub(super) fn integer(text: &str, ty: &ColumnType) -> Option<String> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = Some(digits.trim_start_matches('0')).filter(|digits| !digits.is_empty()).unwrap_or("0");
    let (least, most) = magnitudes(ty)?;
    let limit = if negative { least } else { most };
    let within = compare(digits, &limit) != Ordering::Greater;
    let sign = if negative && digits != "0" { "-" } else { "" };
    within.then(|| format!("{sign}{digits}"))
}

fn compare(left: &str, right: &str) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// How far a type reaches below and above zero.
fn magnitudes(ty: &ColumnType) -> Option<(String, String)> {
    let signed = |least: &str, most: &str| Some((least.to_owned(), most.to_owned()));
    let unsigned = |most: &str| Some(("0".to_owned(), most.to_owned()));
    match ty {
        ColumnType::Int8 => signed("128", "127"),
        ColumnType::Int16 => signed("32768", "32767"),
        ColumnType::Int32 => signed("2147483648", "2147483647"),
        ColumnType::Int64 => signed("9223372036854775808", "9223372036854775807"),
        ColumnType::Int128 => {
            signed("170141183460469231731687303715884105728", "170141183460469231731687303715884105727")
        }
        ColumnType::Int256 => signed(
            "57896044618658097711785492504343953926634992332820282019728792003956564819968",
            "57896044618658097711785492504343953926634992332820282019728792003956564819967",
        ),
        ColumnType::UInt8 => unsigned("255"),
        ColumnType::UInt16 => unsigned("65535"),
        ColumnType::UInt32 => unsigned("4294967295"),
        ColumnType::UInt64 => unsigned("18446744073709551615"),
        ColumnType::UInt128 => unsigned("340282366920938463463374607431768211455"),
        ColumnType::UInt256 => {
            unsigned("115792089237316195423570985008687907853269984665640564039457584007913129639935")
        }
        _ => None,
    }
}

/// Whether a text is a number that the float type holds: finite, and not zero unless its digits are.
pub(super) fn is_float(text: &str, ty: &ColumnType) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let named = ["nan", "inf", "infinity"].iter().any(|name| digits.eq_ignore_ascii_case(name));
    let value = match ty {
        ColumnType::Float32 => text.parse::<f32>().ok().map(f64::from),
        _ => text.parse::<f64>().ok(),
    };
    let mantissa = digits.split(['e', 'E']).next().unwrap_or(digits);
    let is_zero = !mantissa.contains(|letter: char| matches!(letter, '1'..='9'));
    value.is_some_and(|value| named || (value.is_finite() && (value != 0.0 || is_zero)))
}

/// Whether a number has room in a decimal without rounding.
pub(super) fn fits(text: &str, precision: u8, scale: i8) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::from(scale.unsigned_abs());
    !digits.is_empty()
        && digits != "."
        && all_digits(whole)
        && all_digits(fraction)
        && fraction.len() <= scale
        && whole.len() + scale <= usize::from(precision)
}

/// Numbers that a table does not keep as text.
pub(super) fn is_kept_as_number(ty: &ColumnType) -> bool {
    match ty {
        ColumnType::Decimal { precision, .. } => *precision <= DECIMAL_DIGITS,
        ColumnType::Float32 | ColumnType::Float64 => true,
        ColumnType::Int128 | ColumnType::Int256 | ColumnType::UInt128 | ColumnType::UInt256 => false,
        other => magnitudes(other).is_some(),
    }
}
