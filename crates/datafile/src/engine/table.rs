//! What a Delta table makes use of: `ENGINE_PARTITION_KEY` and `ENGINE_TTL`.

use connector_core::expr::{Expr, POSSIBLE};
use connector_core::types::ColumnType;

use super::names::{columns_in, unwrapped};
use crate::column::{ColumnDef, Names, place_of};
use crate::diagnostic::Diagnostic;
use crate::reader::{Reader, Text, place_in};
use crate::source::{Span, Spanned};

const PARTITION_HINT: &str = "name one plain column of SCHEMA, such as a Date; for the month of a time, declare a \
                              column that holds it";

/// The column by which the table is partitioned; `tuple()` and nothing mean none.
pub(super) fn partition(
    reader: &mut Reader<'_, '_>,
    value: &Spanned<Text>,
    columns: Option<&[ColumnDef]>,
) -> Option<String> {
    let (text, span) = (value.value.value.trim(), value.span);
    if unwrapped(text).is_empty() {
        return None;
    }
    let Some(columns) = columns else {
        let message = "a table without SCHEMA cannot be partitioned";
        reader.error("unsupported_partition", span, message, "declare the columns in SCHEMA, or remove the line");
        return None;
    };
    let names = Names::of(columns);
    let Ok(Expr::Column(written)) = Expr::parse(unwrapped(text)) else {
        not_partitioned(reader, value, &names);
        return None;
    };
    let Some(name) = names.find(&written).map(str::to_owned) else {
        reader.report.push(names.unknown(&written), span);
        return None;
    };
    let column = &columns.iter().find(|found| found.column.name == name)?.column;
    let unfit = match &column.ty {
        ColumnType::Float32 | ColumnType::Float64 | ColumnType::Json => format!("is {}", column.ty),
        parts if !parts.takes_null() => format!("is {parts}"),
        _ if column.nullable => "is Nullable".to_owned(),
        _ => return Some(name),
    };
    let message = format!("the column {name} {unfit}, by which a table cannot be partitioned");
    let hint = "a partition column is a number, a text, a date, a time or a Bool, and not Nullable";
    reader.error("unsupported_partition", span, message, hint);
    None
}

pub(super) fn ttl(reader: &mut Reader<'_, '_>, value: &Spanned<Text>, columns: Option<&[ColumnDef]>) -> Option<Expr> {
    let (text, span) = (&value.value, value.span);
    if text.value.trim().is_empty() {
        return None;
    }
    let expression = match Expr::parse(without_delete(&text.value)) {
        Ok(expression) => expression,
        Err(error) => {
            let place = place_in(reader.report.source, span, text, error.offset);
            let message = format!("this TTL is not possible: {}", error.message);
            reader.error("bad_ttl", place, message, POSSIBLE);
            return None;
        }
    };
    let expression = match columns {
        Some(columns) => check_ttl(reader, expression, columns, span)?,
        None => expression,
    };
    if expression.columns().is_empty() {
        let hint = "such as toDate(placed_at) + toIntervalDay(60)";
        reader.error("bad_ttl", span, "the TTL depends on no column, so that all rows would expire at once", hint);
        return None;
    }
    Some(expression)
}

/// The expression in front of `DELETE`, which says what becomes of expired rows without it as well.
fn without_delete(text: &str) -> &str {
    let text = text.trim_end();
    let Some(at) = text.len().checked_sub("DELETE".len()).filter(|at| text.is_char_boundary(*at)) else { return text };
    let (expression, word) = text.split_at(at);
    let ends = expression.ends_with(|letter: char| letter.is_whitespace() || letter == ')');
    if ends && word.eq_ignore_ascii_case("DELETE") { expression } else { text }
}

/// An expression that ClickHouse partitions by is not applied: nothing is lost by it but speed.
fn not_partitioned(reader: &mut Reader<'_, '_>, value: &Spanned<Text>, names: &Names) {
    let unknown = columns_in(&value.value.value).into_iter().find(|named| names.find(&named.name).is_none());
    if let Some(named) = unknown {
        let place = place_of(reader.report.source.slice(value.span), &named.name, value.span);
        reader.report.push(names.unknown(&named.name), place);
        return;
    }
    let message = format!("the table is not partitioned by {}: only by a plain column", value.value.shown());
    reader.report.push(Diagnostic::warning("unsupported_partition", message).hint(PARTITION_HINT), value.span);
}

fn check_ttl(reader: &mut Reader<'_, '_>, expression: Expr, columns: &[ColumnDef], span: Span) -> Option<Expr> {
    let names = Names::of(columns);
    let expression = match names.resolve(expression) {
        Ok(expression) => expression,
        Err(name) => {
            let place = place_of(reader.report.source.slice(span), &name, span);
            reader.report.push(names.unknown(&name), place);
            return None;
        }
    };
    // A column whose type is not known would bring a second complaint about the first.
    if reader.report.has_bad_types() {
        return None;
    }
    let table: Vec<_> = columns.iter().map(|found| found.column.clone()).collect();
    let message = match expression.result(&table) {
        Ok(ColumnType::Date | ColumnType::DateTime) => return Some(expression),
        Ok(other) => format!("the TTL is {other}, not a Date or DateTime"),
        Err(message) => format!("this TTL is not possible: {message}"),
    };
    reader.error("bad_ttl", span, message, "such as toDate(placed_at) + toIntervalDay(60)");
    None
}
