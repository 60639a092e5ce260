//! Types with numbers as arguments.

use connector_core::types::{ColumnType, WIDE_DECIMAL_DIGITS};

use super::Written;
use crate::diagnostic::{Diagnostic, Report};
use crate::tokens::{Kind, Token};

/// As ClickHouse limits it.
const MAX_FIXED_STRING: u32 = 0xFF_FFFF;

pub(super) fn date_time(written: &Written, report: &mut Report<'_>) -> Option<ColumnType> {
    let arguments = written.arguments.as_deref().unwrap_or(&[]);
    let (precision, zone) = match (written.name.as_str(), arguments) {
        ("DateTime", []) => (None, None),
        ("DateTime", [zone]) => (None, Some(zone)),
        // As ClickHouse has it.
        ("DateTime64", []) => return Some(ColumnType::DateTime64 { precision: 3 }),
        ("DateTime64", [precision]) => (Some(precision), None),
        ("DateTime64", [precision, comma, zone]) if comma.is_sign(',') => (Some(precision), Some(zone)),
        (name, _) => {
            let like = if name == "DateTime" { "DateTime or DateTime('UTC')" } else { "DateTime64(3)" };
            let diagnostic = Diagnostic::error("type_arguments", format!("these are not the arguments of {name}"));
            report.push(diagnostic.hint(format!("write {like}")), written.span);
            return None;
        }
    };
    if let Some(zone) = zone {
        let is_utc = matches!(&zone.kind, Kind::Text(name) if matches!(name.as_str(), "UTC" | "Etc/UTC"));
        if !is_utc {
            let diagnostic = Diagnostic::error("unsupported_type", "the only time zone that is supported is 'UTC'");
            let hint = "times are stored in UTC; values of files may name their offset";
            report.push(diagnostic.hint(hint), zone.span);
            return None;
        }
    }
    let Some(precision) = precision else { return Some(ColumnType::DateTime) };
    match number(precision, 1_000) {
        Some(digits @ 0..=9) => Some(ColumnType::DateTime64 { precision: digits as u8 }),
        _ => {
            let message = "the precision of DateTime64 is a number from 0 to 9";
            report.push(Diagnostic::error("type_arguments", message), precision.span);
            None
        }
    }
}

pub(super) fn decimal(written: &Written, report: &mut Report<'_>) -> Option<ColumnType> {
    let arguments = written.arguments.as_deref().unwrap_or(&[]);
    let digits =
        |token: &Token| number(token, u32::from(WIDE_DECIMAL_DIGITS)).and_then(|digits| digits.try_into().ok());
    let (precision, scale): (Option<u8>, Option<u8>) = match (written.name.as_str(), arguments) {
        // As ClickHouse has it.
        ("Decimal", []) if written.arguments.is_none() => (Some(10), Some(0)),
        ("Decimal", [precision]) => (digits(precision), Some(0)),
        ("Decimal", [precision, comma, scale]) if comma.is_sign(',') => (digits(precision), digits(scale)),
        ("Decimal32", [scale]) => (Some(9), digits(scale)),
        ("Decimal64", [scale]) => (Some(18), digits(scale)),
        ("Decimal128", [scale]) => (Some(38), digits(scale)),
        ("Decimal256", [scale]) => (Some(WIDE_DECIMAL_DIGITS), digits(scale)),
        _ => (None, None),
    };
    match (precision, scale) {
        (Some(precision), Some(scale)) if precision > 0 && scale <= precision => {
            Some(ColumnType::Decimal { precision, scale: scale as i8 })
        }
        _ => {
            let message = format!("these are not the arguments of {}", written.name);
            let hint = "write Decimal(precision, scale): 1 to 76 digits, of which scale stand after the point";
            report.push(Diagnostic::error("type_arguments", message).hint(hint), written.span);
            None
        }
    }
}

pub(super) fn fixed_string(written: &Written, report: &mut Report<'_>) -> Option<ColumnType> {
    if let Some([length]) = written.arguments.as_deref()
        && let Some(bytes) = number(length, MAX_FIXED_STRING).filter(|bytes| *bytes > 0)
    {
        return Some(ColumnType::FixedString(bytes));
    }
    let message = format!("FixedString takes a number of bytes from 1 to {MAX_FIXED_STRING}");
    report.push(Diagnostic::error("type_arguments", message).hint("such as FixedString(2)"), written.span);
    None
}

fn number(token: &Token, most: u32) -> Option<u32> {
    match &token.kind {
        Kind::Number(digits) => digits.parse().ok().filter(|number| *number <= most),
        _ => None,
    }
}
