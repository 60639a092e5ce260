//! Texts parsed, and their only problem as people see it.

use connector_core::schema::ColumnDefault;
use connector_datafile::{Colour, DataSource, Diagnostic, SourceFile, parse_datasource, render};

pub fn parse(text: &str) -> (DataSource, Vec<Diagnostic>) {
    parse_datasource(&SourceFile::new("t.datasource", text), &|_: &str| None)
}

/// The only problem of a file as people see it: message, place, caret and hint.
pub fn refusal(text: &str) -> String {
    let (_, found) = parse(text);
    assert_eq!(found.len(), 1, "{text}\n{}", render(&found, Colour::Never));
    let printed = render(&found, Colour::Never);
    let caret = printed.lines().find(|line| line.starts_with("  |") && line.contains('^')).unwrap_or_default();
    let place = printed.lines().find_map(|line| line.trim().strip_prefix("--> t.datasource:")).unwrap_or_default();
    let hint = printed.lines().find_map(|line| line.split_once("hint: ")).map_or("", |(_, hint)| hint);
    let marked = caret.matches('^').count();
    let message = printed.lines().next().unwrap_or_default();
    format!("{message} @{place}+{marked} | {hint}")
}

pub fn column(text: &str) -> String {
    let (datasource, found) = parse(&format!("SCHEMA >\n    {text}"));
    assert_eq!(found, [], "{text}");
    let column = &datasource.columns.expect("columns")[0].column;
    let default = match &column.default {
        None => "none".to_owned(),
        Some(ColumnDefault::Literal(cell)) => format!("'{cell}'"),
        Some(ColumnDefault::Expression(expression)) => expression.to_string(),
    };
    format!("{} {} {default}", column.ty, column.source)
}

#[track_caller]
pub fn refused(cases: &[(&str, &str)], wrap: impl Fn(&str) -> String) {
    for (text, expected) in cases {
        let found = refusal(&wrap(text));
        assert!(found.starts_with(expected), "{text}:\n{found}\n{expected}");
    }
}

pub fn in_schema(column: &str) -> String {
    format!("SCHEMA >\n    {column}")
}
