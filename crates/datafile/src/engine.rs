//! `ENGINE` and `ENGINE_*`: what a Delta table can make use of, and what it cannot.

use connector_core::expr::{Expr, POSSIBLE};
use connector_core::types::ColumnType;

use crate::column::{ColumnDef, Names, place_of};
use crate::diagnostic::Diagnostic;
use crate::reader::{Reader, Text, place_in};
use crate::source::{Span, Spanned};
use crate::suggest::nearest;

const ENGINES: [&str; 7] = [
    "MergeTree",
    "ReplacingMergeTree",
    "SummingMergeTree",
    "AggregatingMergeTree",
    "CollapsingMergeTree",
    "VersionedCollapsingMergeTree",
    "Null",
];

/// The engine settings of a data source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Engine {
    /// All of them as written.
    pub(crate) settings: Vec<(String, Spanned<String>)>,
    /// A column, by its name in the table.
    pub(crate) partition: Option<String>,
    pub(crate) ttl: Option<Expr>,
}

/// Reads the settings; those that refer to columns are checked against the declared ones.
pub(crate) fn read(reader: &mut Reader<'_, '_>, columns: Option<&[ColumnDef]>) -> Engine {
    let document = reader.document;
    let mut engine = Engine::default();
    for directive in &document.directives {
        let name = &directive.name.value;
        if !name.starts_with("ENGINE") {
            continue;
        }
        let Some(value) = reader.expression(name) else { continue };
        match name.as_str() {
            "ENGINE" => check_engine(reader, &value),
            "ENGINE_PARTITION_KEY" => engine.partition = partition(reader, &value, columns),
            "ENGINE_TTL" => engine.ttl = ttl(reader, &value, columns),
            _ => {}
        }
        engine.settings.push((name.clone(), value.map(|text| text.value)));
    }
    engine
}

fn check_engine(reader: &mut Reader<'_, '_>, value: &Spanned<Text>) {
    let word = value.value.value.split('(').next().unwrap_or_default().trim();
    if ENGINES.contains(&word) {
        return;
    }
    let diagnostic = Diagnostic::error("unknown_engine", format!("{} is not an engine", value.value.shown()));
    let diagnostic = match nearest(word, ENGINES) {
        Some(near) => diagnostic.suggest(Some(near)),
        None => diagnostic.hint(format!("engines are {}", ENGINES.join(", "))),
    };
    reader.report.push(diagnostic, value.span);
}

const PARTITION_HINT: &str = "name one plain column of SCHEMA, such as a Date; for the month of a time, declare a \
                              column that holds it";

/// The column by which the table is partitioned; `tuple()` and nothing mean none.
fn partition(reader: &mut Reader<'_, '_>, value: &Spanned<Text>, columns: Option<&[ColumnDef]>) -> Option<String> {
    let (text, span) = (value.value.value.trim(), value.span);
    if text.is_empty() || text.replace(' ', "").eq_ignore_ascii_case("tuple()") {
        return None;
    }
    let written = match Expr::parse(text) {
        Ok(Expr::Column(name)) => name,
        Ok(_) | Err(_) => {
            let message = format!("a table cannot be partitioned by {}", value.value.shown());
            reader.error("unsupported_partition", span, message, PARTITION_HINT);
            return None;
        }
    };
    let Some(columns) = columns else {
        let message = "a table without SCHEMA cannot be partitioned";
        reader.error("unsupported_partition", span, message, "declare the columns in SCHEMA, or remove the line");
        return None;
    };
    let names = Names::of(columns);
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

fn ttl(reader: &mut Reader<'_, '_>, value: &Spanned<Text>, columns: Option<&[ColumnDef]>) -> Option<Expr> {
    let (text, span) = (&value.value, value.span);
    if text.value.trim().is_empty() {
        return None;
    }
    let expression = match Expr::parse(&text.value) {
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
