//! What `docs/types.md` says of spellings and of refused types, held against the grammar.

use connector_core::types::ColumnType;
use connector_datafile::{Colour, Severity, SourceFile, parse_datasource, render};

const PAGE: &str = include_str!("../../../docs/types.md");

/// The cells of all tables below a heading, up to the next one, without the heads of the tables.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let (_, below) = PAGE.split_once(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = below.split("\n#").next().unwrap_or_default();
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    let is_data = |line: &&str| line.starts_with("| `");
    section.lines().filter(is_data).map(cells).collect()
}

/// What stands between back-quotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The type of a column that is written like this, or what people see of the refusal.
fn read(written: &str) -> Result<ColumnType, String> {
    let text = format!("SCHEMA >\n    c {written}\n\nIMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/\n");
    let (datasource, found) = parse_datasource(&SourceFile::new("t.datasource", text), &|_: &str| None);
    if found.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
        return Err(render(&found, Colour::Never));
    }
    Ok(datasource.columns.expect("columns").remove(0).column.ty)
}

#[test]
fn every_other_spelling_of_the_page_is_the_type_it_names() {
    let rows = rows("Other spellings");
    let mut seen = 0;
    for row in &rows {
        let [written, is] = row.as_slice() else { panic!("two cells: {row:?}") };
        let wanted = quoted(is)[0];
        for written in quoted(written) {
            assert_eq!(read(written).as_ref().map(ToString::to_string), Ok(wanted.to_owned()), "{written}");
            assert_eq!(read(wanted), read(written), "{written}");
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} spellings");
}

#[test]
fn every_refused_type_of_the_page_is_refused_for_its_reason() {
    let rows = rows("Refused types");
    assert!(rows.len() > 10, "{rows:?}");
    for row in &rows {
        let [written, because, instead] = row.as_slice() else { panic!("three cells: {row:?}") };
        for written in quoted(written) {
            let told = read(written).expect_err(written);
            assert!(told.contains(because.as_str()) && told.contains(instead.as_str()), "{written}: {told}");
        }
    }
}
