//! DEFAULT: a literal, checked against its column's type, in the spelling that a CSV cell would have.

use connector_core::types::ColumnType;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A literal as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    Null,
    Bool(bool),
    /// With its sign.
    Number(String),
    Text(String),
}

/// The cell that stands for the literal; `None` for NULL.
///
/// # Errors
/// A message, if the literal is no value of the type.
pub fn cell(literal: &Literal, ty: ColumnType, nullable: bool) -> Result<Option<String>, String> {
    if *literal == Literal::Null {
        return if nullable { Ok(None) } else { Err("NULL is no value of a column that is not Nullable".to_owned()) };
    }
    let found = match ty {
        ColumnType::String => Some(as_text(literal)),
        ColumnType::Bool => as_bool(literal).map(|value| value.to_string()),
        ColumnType::Float32 | ColumnType::Float64 => as_number(literal).filter(|text| text.parse::<f64>().is_ok()),
        ColumnType::Decimal { precision, scale } => as_number(literal).filter(|text| fits(text, precision, scale)),
        ColumnType::Date => as_date(literal),
        ColumnType::DateTime | ColumnType::DateTime64 { .. } => as_date_time(literal),
        integer => as_number(literal).filter(|text| {
            let (low, high) = range(integer);
            text.parse::<i128>().is_ok_and(|number| (low..=high).contains(&number))
        }),
    };
    found.map(Some).ok_or_else(|| format!("'{}' is not {ty}", as_text(literal)))
}

fn as_text(literal: &Literal) -> String {
    match literal {
        Literal::Null => "NULL".to_owned(),
        Literal::Bool(value) => value.to_string(),
        Literal::Number(text) | Literal::Text(text) => text.clone(),
    }
}

fn as_number(literal: &Literal) -> Option<String> {
    match literal {
        Literal::Number(text) | Literal::Text(text) => Some(text.trim_start_matches('+').to_owned()),
        _ => None,
    }
}

fn as_bool(literal: &Literal) -> Option<bool> {
    match literal {
        Literal::Bool(value) => Some(*value),
        Literal::Number(text) | Literal::Text(text) => match text.as_str() {
            "1" | "true" => Some(true),
            "0" | "false" => Some(false),
            _ => None,
        },
        Literal::Null => None,
    }
}

/// A text in ISO form, or a number of days since 1970-01-01.
fn as_date(literal: &Literal) -> Option<String> {
    let date: Date = match literal {
        Literal::Text(text) => text.parse().ok()?,
        Literal::Number(days) => {
            let days = SignedDuration::from_hours(days.parse::<i32>().ok().map(i64::from)? * 24);
            Date::constant(1970, 1, 1).checked_add(days).ok()?
        }
        _ => return None,
    };
    Some(date.to_string())
}

/// A text in ISO form (UTC unless it names an offset), or a number of seconds since 1970-01-01.
fn as_date_time(literal: &Literal) -> Option<String> {
    let time = match literal {
        Literal::Text(text) => match text.parse::<Timestamp>() {
            Ok(time) => time,
            Err(_) => TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()?,
        },
        Literal::Number(seconds) => Timestamp::from_second(seconds.parse().ok()?).ok()?,
        _ => return None,
    };
    Some(time.to_string())
}

/// Whether a number has room in a decimal without rounding.
fn fits(text: &str, precision: u8, scale: i8) -> bool {
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

fn range(ty: ColumnType) -> (i128, i128) {
    match ty {
        ColumnType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        ColumnType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        ColumnType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        ColumnType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        ColumnType::UInt8 => (0, u8::MAX.into()),
        ColumnType::UInt16 => (0, u16::MAX.into()),
        ColumnType::UInt32 => (0, u32::MAX.into()),
        // What is no integer never comes here; the widest range is the harmless answer.
        _ => (0, u64::MAX.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_becomes_the_cell_that_a_file_would_hold() {
        let number = |text: &str| Literal::Number(text.to_owned());
        let text = |text: &str| Literal::Text(text.to_owned());
        let money = ColumnType::Decimal { precision: 4, scale: 2 };
        let cases = [
            (number("-5"), ColumnType::Int8, Some("-5")),
            (number("128"), ColumnType::Int8, None),
            (number("-1"), ColumnType::UInt64, None),
            (number("18446744073709551615"), ColumnType::UInt64, Some("18446744073709551615")),
            (number("1.5"), ColumnType::Int64, None),
            (number("1.5e3"), ColumnType::Float64, Some("1.5e3")),
            (text("x"), ColumnType::Float64, None),
            (number("12.30"), money, Some("12.30")),
            (number("12.345"), money, None),
            (number("123"), money, None),
            (text(""), ColumnType::String, Some("")),
            (number("7"), ColumnType::String, Some("7")),
            (number("1"), ColumnType::Bool, Some("true")),
            (Literal::Bool(false), ColumnType::Bool, Some("false")),
            (number("2"), ColumnType::Bool, None),
            (text("2024-02-29"), ColumnType::Date, Some("2024-02-29")),
            (text("2023-02-29"), ColumnType::Date, None),
            (number("0"), ColumnType::Date, Some("1970-01-01")),
            (number("0"), ColumnType::DateTime, Some("1970-01-01T00:00:00Z")),
            (text("2024-01-01 10:00:00"), ColumnType::DateTime, Some("2024-01-01T10:00:00Z")),
            (text("2024-01-01T10:00:00+02:00"), ColumnType::DateTime, Some("2024-01-01T08:00:00Z")),
            (text("soon"), ColumnType::DateTime, None),
        ];
        for (literal, ty, expected) in cases {
            let found = cell(&literal, ty, false);
            assert_eq!(found.ok().flatten().as_deref(), expected, "{literal:?} as {ty}");
        }
        assert_eq!(cell(&Literal::Null, ColumnType::Int8, true), Ok(None));
        assert!(cell(&Literal::Null, ColumnType::Int8, false).is_err());
    }
}
