//! DEFAULT literals, checked against their column's type, in the spelling that a CSV cell would have.

mod number;

use std::net::{Ipv4Addr, Ipv6Addr};

use connector_core::expr::Value;
use connector_core::spelling;
use connector_core::types::ColumnType;

/// A literal as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    Null,
    Bool(bool),
    /// With its sign.
    Number(String),
    Text(String),
    /// Literals between brackets, none of which is a list.
    List(Vec<Literal>),
}

/// The cell that stands for the literal; `None` for NULL. A list becomes a JSON array.
///
/// # Errors
/// A message, if the literal is no value of the type.
pub fn cell(literal: &Literal, ty: &ColumnType, nullable: bool) -> Result<Option<String>, String> {
    if *literal == Literal::Null {
        return if nullable { Ok(None) } else { Err("NULL is no value of a column that is not Nullable".to_owned()) };
    }
    match ty {
        ColumnType::Array { element, nullable } => return list(literal, element, *nullable).map(Some),
        ColumnType::Map { .. } if is_text(literal, "{}") => return Ok(Some("{}".to_owned())),
        ColumnType::Map { .. } | ColumnType::Tuple(_) => {
            let only = if matches!(ty, ColumnType::Map { .. }) {
                "a DEFAULT of a Map is '{}'"
            } else {
                "a Tuple has no DEFAULT"
            };
            return Err(format!("'{}' cannot be a DEFAULT of {ty}: {only}", as_text(literal)));
        }
        _ => {}
    }
    scalar(literal, ty).map(Some).ok_or_else(|| format!("'{}' is not {ty}", as_text(literal)))
}

fn scalar(literal: &Literal, ty: &ColumnType) -> Option<String> {
    match ty {
        _ if matches!(literal, Literal::List(_)) => None,
        ColumnType::String => Some(as_text(literal)),
        ColumnType::FixedString(length) => Some(as_text(literal)).filter(|text| text.len() <= *length as usize),
        ColumnType::Bool => as_bool(literal).map(|value| value.to_string()),
        ColumnType::Float32 | ColumnType::Float64 => as_number(literal).filter(|text| number::is_float(text, ty)),
        ColumnType::Decimal { precision, scale } => {
            as_number(literal).filter(|text| number::fits(text, *precision, *scale))
        }
        ColumnType::Date => as_date(literal),
        ColumnType::DateTime => as_date_time(literal, 0),
        ColumnType::DateTime64 { precision } => as_date_time(literal, *precision),
        ColumnType::Uuid => as_text_of(literal).and_then(uuid),
        ColumnType::Ipv4 => as_text_of(literal)?.parse::<Ipv4Addr>().ok().map(|address| address.to_string()),
        ColumnType::Ipv6 => as_text_of(literal)?.parse::<Ipv6Addr>().ok().map(|address| address.to_string()),
        ColumnType::Json => as_text_of(literal).filter(|text| is_json(text)).map(str::to_owned),
        ColumnType::Enum(labels) => match literal {
            Literal::Text(label) => labels.contains(label).then(|| label.clone()),
            Literal::Number(number) => {
                let number: i16 = number.parse().ok()?;
                labels.labels.iter().find(|(_, known)| *known == number).map(|(label, _)| label.clone())
            }
            _ => None,
        },
        integer => number::integer(&as_number(literal)?, integer),
    }
}

/// A JSON array of the elements, each in the spelling that it would have alone.
fn list(literal: &Literal, element: &ColumnType, nullable: bool) -> Result<String, String> {
    let empty = is_text(literal, "[]");
    let elements: &[Literal] = match literal {
        Literal::List(elements) => elements,
        _ if empty => &[],
        _ => return Err(format!("'{}' is no list; write one as [] or [1, 2]", as_text(literal))),
    };
    let json = |found: &Literal| {
        Ok(match cell(found, element, nullable)? {
            None => "null".to_owned(),
            Some(text) if stands_as_it_is(element) && is_json(&text) => text,
            Some(text) => serde_json::Value::String(text).to_string(),
        })
    };
    let elements: Result<Vec<String>, String> = elements.iter().map(json).collect();
    Ok(format!("[{}]", elements?.join(",")))
}

fn is_text(literal: &Literal, wanted: &str) -> bool {
    matches!(literal, Literal::Text(text) if text.trim() == wanted)
}

/// Types whose values stand without quotes in a JSON array.
fn stands_as_it_is(ty: &ColumnType) -> bool {
    !ty.takes_null() || matches!(ty, ColumnType::Bool | ColumnType::Json) || number::is_kept_as_number(ty)
}

fn as_text_of(literal: &Literal) -> Option<&str> {
    match literal {
        Literal::Text(text) => Some(text),
        _ => None,
    }
}

/// In lower case, with hyphens.
fn uuid(text: &str) -> Option<String> {
    let lengths = text.split('-').map(str::len);
    let digits = text.chars().filter(|letter| *letter != '-');
    let valid = lengths.eq([8, 4, 4, 4, 12]) && digits.clone().all(|letter| letter.is_ascii_hexdigit());
    valid.then(|| text.to_ascii_lowercase())
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok()
}

fn as_text(literal: &Literal) -> String {
    match literal {
        Literal::Null => "NULL".to_owned(),
        Literal::Bool(value) => value.to_string(),
        Literal::Number(text) | Literal::Text(text) => text.clone(),
        Literal::List(elements) => {
            let elements: Vec<String> = elements.iter().map(as_text).collect();
            format!("[{}]", elements.join(", "))
        }
    }
}

/// ClickHouse's booleans are numbers, too.
fn as_number(literal: &Literal) -> Option<String> {
    match literal {
        Literal::Bool(value) => Some(u8::from(*value).to_string()),
        Literal::Number(text) | Literal::Text(text) => {
            let unsigned = text.strip_prefix('+');
            // A second sign is none of a number.
            let signed_twice = unsigned.is_some_and(|rest| rest.starts_with(['+', '-']));
            (!signed_twice).then(|| unsigned.unwrap_or(text).to_owned())
        }
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
        Literal::Null | Literal::List(_) => None,
    }
}

/// A text as a cell spells a date, or a number of days since 1970-01-01.
fn as_date(literal: &Literal) -> Option<String> {
    let days = match literal {
        Literal::Text(text) => spelling::date(text.as_bytes())?,
        Literal::Number(days) => days.parse().ok()?,
        _ => return None,
    };
    match Value::of_days(days).ok()? {
        Value::Date(date) => Some(date.to_string()),
        _ => None,
    }
}

/// A text as a cell spells a time (UTC unless it names an offset), or a number of seconds since 1970-01-01. The cell has
/// it in UTC.
fn as_date_time(literal: &Literal, precision: u8) -> Option<String> {
    let micros = match literal {
        Literal::Text(text) => spelling::timestamp(text.as_bytes(), precision)?,
        Literal::Number(seconds) => seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?,
        _ => return None,
    };
    match Value::of_micros(micros).ok()? {
        Value::Time(time) => Some(format!("{time}Z")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use connector_core::types::EnumType;

    use super::*;

    #[test]
    fn a_literal_becomes_the_cell_that_a_file_would_hold() {
        let number = |text: &str| Literal::Number(text.to_owned());
        let text = |text: &str| Literal::Text(text.to_owned());
        let money = ColumnType::Decimal { precision: 4, scale: 2 };
        let colour = [("red".to_owned(), 1), ("it's".to_owned(), -2)];
        let colour = ColumnType::Enum(EnumType { wide: false, labels: colour.into() });
        let map = ColumnType::parse_canonical("Map(String, Int8)").expect("a type");
        let array = |element: ColumnType, nullable| ColumnType::Array { element: Box::new(element), nullable };
        let list = |elements: &[Literal]| Literal::List(elements.to_vec());
        let most = "57896044618658097711785492504343953926634992332820282019728792003956564819967";
        let beyond = "57896044618658097711785492504343953926634992332820282019728792003956564819968";
        let least = format!("-{beyond}");
        let cases = [
            (number("-5"), ColumnType::Int8, Some("-5")),
            (number("128"), ColumnType::Int8, None),
            (number("-1"), ColumnType::UInt64, None),
            (number("18446744073709551615"), ColumnType::UInt64, Some("18446744073709551615")),
            (number("1.5"), ColumnType::Int64, None),
            (number("1.5e3"), ColumnType::Float64, Some("1.5e3")),
            (text("x"), ColumnType::Float64, None),
            (number("12.30"), money.clone(), Some("12.30")),
            (number("12.345"), money.clone(), None),
            (number("123"), money, None),
            (text(""), ColumnType::String, Some("")),
            (number("7"), ColumnType::String, Some("7")),
            (number("1"), ColumnType::Bool, Some("true")),
            (Literal::Bool(false), ColumnType::Bool, Some("false")),
            (number("2"), ColumnType::Bool, None),
            (Literal::Bool(true), ColumnType::UInt8, Some("1")),
            (Literal::Bool(false), ColumnType::Int64, Some("0")),
            (Literal::Bool(true), ColumnType::Date, None),
            (text("2024-02-29"), ColumnType::Date, Some("2024-02-29")),
            (text("2023-02-29"), ColumnType::Date, None),
            (number("0"), ColumnType::Date, Some("1970-01-01")),
            (number("0"), ColumnType::DateTime, Some("1970-01-01T00:00:00Z")),
            (text("2024-01-01 10:00:00"), ColumnType::DateTime, Some("2024-01-01T10:00:00Z")),
            (text("2024-01-01T10:00:00+02:00"), ColumnType::DateTime, Some("2024-01-01T08:00:00Z")),
            (text("soon"), ColumnType::DateTime, None),
            (text("2024-01-01 10:00:00.5"), ColumnType::DateTime, None),
            (text("2024-01-01 10:00:00.5"), ColumnType::DateTime64 { precision: 1 }, Some("2024-01-01T10:00:00.5Z")),
            (text("9999-12-31 23:59:59"), ColumnType::DateTime, Some("9999-12-31T23:59:59Z")),
            (text("9999-12-31T23:59:59-01:00"), ColumnType::DateTime, None),
            (text("0001-01-01 00:00:00"), ColumnType::DateTime, Some("0001-01-01T00:00:00Z")),
            (text("2024-01-01T10:00:00Z[UTC]"), ColumnType::DateTime, None),
            (text("2024-01-01T10:00:00[Europe/Berlin]"), ColumnType::DateTime, None),
            (text("2024-01-01 10:00:60"), ColumnType::DateTime, None),
            (text("2024-01-01"), ColumnType::DateTime, None),
            (text("20240101T100000"), ColumnType::DateTime, None),
            (text("20240101"), ColumnType::Date, None),
            (text("2024-01-01 10:00:00"), ColumnType::Date, None),
            (text("+5"), ColumnType::Int64, Some("5")),
            (text("++5"), ColumnType::Int64, None),
            (text("+-5"), ColumnType::Int64, None),
            (text("++1.5"), ColumnType::Decimal { precision: 4, scale: 2 }, None),
            (text("+-1.5"), ColumnType::Float64, None),
            (text("ab"), ColumnType::FixedString(2), Some("ab")),
            (text("äb"), ColumnType::FixedString(2), None),
            (
                text("61F0C404-5cb3-11e7-907b-a6006ad3dba0"),
                ColumnType::Uuid,
                Some("61f0c404-5cb3-11e7-907b-a6006ad3dba0"),
            ),
            (text("61f0c4045cb311e7907ba6006ad3dba0"), ColumnType::Uuid, None),
            (text("61f0c404-5cb3-11e7-907b-a6006ad3dbax"), ColumnType::Uuid, None),
            (number("0"), ColumnType::Uuid, None),
            (text("10.0.0.1"), ColumnType::Ipv4, Some("10.0.0.1")),
            (text("10.0.0.256"), ColumnType::Ipv4, None),
            (text("2001:DB8:0::1"), ColumnType::Ipv6, Some("2001:db8::1")),
            (text("10.0.0.1"), ColumnType::Ipv6, None),
            (text("it's"), colour.clone(), Some("it's")),
            (number("-2"), colour.clone(), Some("it's")),
            (number("2"), colour.clone(), None),
            (text("blue"), colour, None),
            (text("{\"a\": [1]}"), ColumnType::Json, Some("{\"a\": [1]}")),
            (text("{'a': 1}"), ColumnType::Json, None),
            (
                number("-170141183460469231731687303715884105728"),
                ColumnType::Int128,
                Some("-170141183460469231731687303715884105728"),
            ),
            (number("170141183460469231731687303715884105728"), ColumnType::Int128, None),
            (number("-0"), ColumnType::UInt128, Some("0")),
            (number("-1"), ColumnType::UInt256, None),
            (number(most), ColumnType::Int256, Some(most)),
            (number(beyond), ColumnType::Int256, None),
            (number(beyond), ColumnType::UInt256, Some(beyond)),
            (number(&least), ColumnType::Int256, Some(&*least)),
            (number("1.5e3"), ColumnType::Int256, None),
            (number(&"9".repeat(76)), ColumnType::Decimal { precision: 76, scale: 0 }, Some(&*"9".repeat(76))),
            (number(&"9".repeat(76)), ColumnType::Decimal { precision: 76, scale: 1 }, None),
            (number("1e400"), ColumnType::Float64, None),
            (number("1e39"), ColumnType::Float32, None),
            (list(&[]), array(ColumnType::Int8, false), Some("[]")),
            (text("[]"), array(ColumnType::String, false), Some("[]")),
            (list(&[number("1"), Literal::Null]), array(ColumnType::Int8, true), Some("[1,null]")),
            (list(&[Literal::Null]), array(ColumnType::Int8, false), None),
            (list(&[number("300")]), array(ColumnType::Int8, false), None),
            (list(&[text("a\"b"), number("7")]), array(ColumnType::String, false), Some("[\"a\\\"b\",\"7\"]")),
            (list(&[text("2024-01-01")]), array(ColumnType::Date, false), Some("[\"2024-01-01\"]")),
            (list(&[text("{\"k\": 1}")]), array(ColumnType::Json, false), Some("[{\"k\": 1}]")),
            (text("[]"), array(array(ColumnType::Int8, false), false), Some("[]")),
            (list(&[list(&[number("1")])]), array(array(ColumnType::Int8, false), false), Some("[[1]]")),
            (text("{}"), map.clone(), Some("{}")),
            (text("{\"a\": 1}"), map, None),
            (list(&[]), ColumnType::String, None),
            (number("1"), array(ColumnType::Int8, false), None),
        ];
        for (literal, ty, expected) in cases {
            let found = cell(&literal, &ty, false);
            assert_eq!(found.ok().flatten().as_deref(), expected, "{literal:?} as {ty}");
        }
        assert_eq!(cell(&Literal::Null, &ColumnType::Int8, true), Ok(None));
        assert!(cell(&Literal::Null, &ColumnType::Int8, false).is_err());
    }
}
