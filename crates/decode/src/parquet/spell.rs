//! Values as text: in the spelling that a CSV cell would have, nested ones as JSON.
//!
//! Purpose: one spelling for what a String column keeps of a value, and for what quarantine shows of a bad one. Numbers
//! have all their digits, floats the fewest that lead back to them; times are UTC.

use std::collections::HashSet;
use std::fmt::Write as _;

use arrow::array::{Array, AsArray, StringArray, StringBuilder};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type, TimeUnit,
};

use super::tree::Leaf;
use super::values::{Values, nanos_of};
use crate::value::text::json_string;

const DAY_MILLIS: i128 = 86_400_000;
const DAY_SECONDS: i128 = 86_400;

/// Whether the text says all that the value does. It does not for bytes that are not UTF-8, a time of day beyond a day,
/// a map with a key twice (of which readers of JSON take one), or a kind of value that has no text.
pub(super) type Exact = bool;

/// The texts of these rows; NULL where they have no value or none that can be shown.
pub(super) fn texts(values: &Values<'_>, rows: &[u32]) -> StringArray {
    let mut out = StringBuilder::with_capacity(rows.len(), rows.len() * 8);
    let mut text = String::new();
    for row in rows.iter().map(|row| *row as usize) {
        text.clear();
        if row < values.len() && !values.is_null(row) {
            write(values, row, &mut text);
            out.append_value(&text);
        } else {
            out.append_null();
        }
    }
    out.finish()
}

/// Writes the value of a row that has one.
pub(super) fn write(values: &Values<'_>, row: usize, out: &mut String) -> Exact {
    if values.node.stated.is_nested() { json(values, row, out) } else { scalar(values, row, out) }
}

fn scalar(values: &Values<'_>, row: usize, out: &mut String) -> Exact {
    match values.node.leaf {
        Leaf::Uuid => return uuid(values, row, out),
        Leaf::Interval => return interval(values, row, out),
        Leaf::Plain | Leaf::Int96 => {}
    }
    let array = values.array;
    // A column that is said to hold nothing, and does: by what it was read as.
    let stated = if values.node.stated == DataType::Null { array.data_type() } else { &values.node.stated };
    match stated {
        DataType::Boolean => match array.as_boolean_opt() {
            Some(array) => push(out, array.value(row)),
            None => false,
        },
        DataType::Float16 => array.as_primitive_opt::<Float16Type>().is_some_and(|a| float(out, a.value(row).to_f32())),
        DataType::Float32 => array.as_primitive_opt::<Float32Type>().is_some_and(|a| float(out, a.value(row))),
        DataType::Float64 => array.as_primitive_opt::<Float64Type>().is_some_and(|a| float(out, a.value(row))),
        DataType::Decimal128(precision, scale) => array
            .as_primitive_opt::<Decimal128Type>()
            .is_some_and(|a| push(out, Decimal128Type::format_decimal(a.value(row), *precision, *scale))),
        DataType::Decimal256(precision, scale) => array
            .as_primitive_opt::<Decimal256Type>()
            .is_some_and(|a| push(out, Decimal256Type::format_decimal(a.value(row), *precision, *scale))),
        DataType::Date32 => values.number(row).is_some_and(|days| date(out, days)),
        DataType::Date64 => values.number(row).is_some_and(|millis| date64(out, millis)),
        DataType::Time32(unit) | DataType::Time64(unit) => time(values, *unit, row, out),
        DataType::Timestamp(_, zone) => match values.nanos(row) {
            Some(nanos) => timestamp(out, nanos, zone.is_some()),
            None => {
                if let Some(raw) = values.number(row) {
                    push(out, raw);
                }
                false
            }
        },
        DataType::Duration(_) => values.nanos(row).is_some_and(|nanos| duration(out, nanos)),
        _ => match (values.bytes(row), values.number(row)) {
            (Some(bytes), _) => bytes_as_text(out, bytes),
            (None, Some(number)) => push(out, number),
            (None, None) => false,
        },
    }
}

fn push(out: &mut String, value: impl std::fmt::Display) -> Exact {
    write!(out, "{value}").is_ok()
}

/// The fewest digits that lead back to the float, with a point or an exponent, so that it is seen to be one.
fn float(out: &mut String, value: impl std::fmt::Debug) -> Exact {
    write!(out, "{value:?}").is_ok()
}

fn bytes_as_text(out: &mut String, bytes: &[u8]) -> Exact {
    let text = String::from_utf8_lossy(bytes);
    out.push_str(&text);
    matches!(text, std::borrow::Cow::Borrowed(_))
}

fn uuid(values: &Values<'_>, row: usize, out: &mut String) -> Exact {
    let Some(bytes) = values.bytes(row).filter(|bytes| bytes.len() == 16) else { return false };
    for (index, byte) in bytes.iter().enumerate() {
        let hyphen = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        if write!(out, "{hyphen}{byte:02x}").is_err() {
            return false;
        }
    }
    true
}

/// Months, days and milliseconds, none of which says how many of another it is: `P1M2DT3.004S`.
fn interval(values: &Values<'_>, row: usize, out: &mut String) -> Exact {
    let Some(bytes) = values.bytes(row).filter(|bytes| bytes.len() == 12) else { return false };
    let part = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (months, days, millis) = (part(0), part(4), part(8));
    out.push('P');
    if months > 0 {
        push(out, format_args!("{months}M"));
    }
    if days > 0 {
        push(out, format_args!("{days}D"));
    }
    if millis > 0 || (months == 0 && days == 0) {
        out.push('T');
        seconds(out, u128::from(millis) * 1_000_000);
    }
    true
}

fn duration(out: &mut String, nanos: i128) -> Exact {
    out.push_str(if nanos < 0 { "-PT" } else { "PT" });
    seconds(out, nanos.unsigned_abs());
    true
}

/// Seconds of an interval, with as many digits as they need.
fn seconds(out: &mut String, nanos: u128) {
    push(out, nanos / 1_000_000_000);
    let rest = nanos % 1_000_000_000;
    if rest > 0 {
        let digits = format!("{rest:09}");
        push(out, format_args!(".{}", digits.trim_end_matches('0')));
    }
    out.push('S');
}

/// `HH:MM:SS` with as many digits behind it as the unit has. Beyond a day it is the plain number.
fn time(values: &Values<'_>, unit: TimeUnit, row: usize, out: &mut String) -> Exact {
    let (Some(number), Some(nanos)) = (values.number(row), values.nanos(row)) else { return false };
    if !(0..DAY_SECONDS * 1_000_000_000).contains(&nanos) {
        push(out, number);
        return false;
    }
    clock(out, nanos / 1_000_000_000);
    let fraction = nanos % 1_000_000_000 / nanos_of(unit);
    match unit {
        TimeUnit::Second => true,
        TimeUnit::Millisecond => push(out, format_args!(".{fraction:03}")),
        TimeUnit::Microsecond => push(out, format_args!(".{fraction:06}")),
        TimeUnit::Nanosecond => push(out, format_args!(".{fraction:09}")),
    }
}

/// `YYYY-MM-DDTHH:MM:SS`, with three, six or nine digits behind it if it needs them, and `Z` if the file says UTC.
fn timestamp(out: &mut String, nanos: i128, utc: bool) -> Exact {
    let seconds = nanos.div_euclid(1_000_000_000);
    let rest = nanos.rem_euclid(1_000_000_000);
    date(out, seconds.div_euclid(DAY_SECONDS));
    out.push('T');
    clock(out, seconds.rem_euclid(DAY_SECONDS));
    match rest {
        0 => true,
        _ if rest % 1_000_000 == 0 => push(out, format_args!(".{:03}", rest / 1_000_000)),
        _ if rest % 1_000 == 0 => push(out, format_args!(".{:06}", rest / 1_000)),
        _ => push(out, format_args!(".{rest:09}")),
    };
    if utc {
        out.push('Z');
    }
    true
}

fn clock(out: &mut String, seconds: i128) {
    push(out, format_args!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60));
}

fn date64(out: &mut String, millis: i128) -> Exact {
    if millis.rem_euclid(DAY_MILLIS) == 0 {
        return date(out, millis / DAY_MILLIS);
    }
    timestamp(out, millis * 1_000_000, false)
}

/// `YYYY-MM-DD` in the Gregorian calendar, with a sign before the year 0 and more digits after the year 9999.
fn date(out: &mut String, days: i128) -> Exact {
    // Counts from 0000-03-01 in eras of 400 years, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i128::from(month <= 2);
    let sign = if year < 0 { "-" } else { "" };
    push(out, format_args!("{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs()))
}

/// JSON: numbers as they are, NULL as `null`, everything else as strings. Lists are arrays; structs and maps are objects
/// in the order of the file, a map's keys as their text.
fn json(values: &Values<'_>, row: usize, out: &mut String) -> Exact {
    if values.is_null(row) {
        out.push_str("null");
        return true;
    }
    match &values.node.stated {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => json_list(values, row, out),
        DataType::Struct(_) => json_struct(values, row, out),
        DataType::Map(..) => json_map(values, row, out),
        stated => {
            let mut text = String::new();
            let exact = scalar(values, row, &mut text);
            let bare = stated.is_numeric() || *stated == DataType::Boolean;
            // A float that is no number has no spelling of its own in JSON.
            if bare && exact && !text.contains(['N', 'n', 'i']) || *stated == DataType::Boolean {
                out.push_str(&text);
            } else {
                json_string(&text, out);
            }
            exact
        }
    }
}

fn json_list(values: &Values<'_>, row: usize, out: &mut String) -> Exact {
    let Some(elements) = values.elements() else { return false };
    let mut exact = true;
    out.push('[');
    for (index, element) in values.range(row).enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        exact &= json(&elements, element, out);
    }
    out.push(']');
    exact
}

fn json_struct(values: &Values<'_>, row: usize, out: &mut String) -> Exact {
    let mut exact = true;
    out.push('{');
    for index in 0..values.node.children.len() {
        let Some(field) = values.field(index) else { return false };
        out.push_str(if index > 0 { "," } else { "" });
        json_string(&field.node.name, out);
        out.push(':');
        exact &= json(&field, row, out);
    }
    out.push('}');
    exact
}

fn json_map(values: &Values<'_>, row: usize, out: &mut String) -> Exact {
    let (Some(keys), Some(entries)) = (values.field(0), values.field(1)) else { return false };
    let mut exact = true;
    let mut known = HashSet::new();
    out.push('{');
    for (index, entry) in values.range(row).enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        let mut key = String::new();
        exact &= !keys.is_null(entry) && write(&keys, entry, &mut key);
        json_string(&key, out);
        out.push(':');
        exact &= json(&entries, entry, out);
        exact &= known.insert(key);
    }
    out.push('}');
    exact
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl Fn(&mut String) -> Exact) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn dates_of_all_ages() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (19_782, "2024-02-29"),
            (-719_162, "0001-01-01"),
            (-719_163, "0000-12-31"),
            (-719_529, "-0001-12-31"),
            (2_932_896, "9999-12-31"),
            (2_932_897, "10000-01-01"),
        ] {
            assert_eq!(shown(|out| date(out, days)), text);
        }
    }

    #[test]
    fn dates_agree_with_the_parser_of_dates() {
        for days in (-719_162..2_932_896).step_by(97) {
            let text = shown(|out| date(out, days));
            assert_eq!(crate::value::time::date(text.as_bytes()).map(i128::from), Some(days), "{text}");
        }
    }

    #[test]
    fn times_and_durations() {
        assert_eq!(shown(|out| timestamp(out, -1, true)), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(shown(|out| timestamp(out, 1_500_000_000, false)), "1970-01-01T00:00:01.500");
        assert_eq!(shown(|out| duration(out, -90_000_000_001)), "-PT90.000000001S");
        assert_eq!(shown(|out| duration(out, 0)), "PT0S");
        assert_eq!(shown(|out| date64(out, 86_400_000)), "1970-01-02");
        assert_eq!(shown(|out| date64(out, 86_400_001)), "1970-01-02T00:00:00.001");
    }

    #[test]
    fn strings_are_escaped_as_json_demands() {
        let text = "a\"b\\c\n\t\r\u{1}\u{7f}é\u{2028}";
        let mut out = String::new();
        json_string(text, &mut out);
        assert_eq!(serde_json::from_str::<String>(&out).expect("json"), text);
    }
}
