//! The tables of `docs/patterns.md`, run.

use std::path::Path;

use connector_core::schedule::Cron;
use connector_core::uri::{BucketUri, KeyPattern};

use crate::docs::markdown::Page;

fn page() -> Page {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/patterns.md");
    Page::parse(&std::fs::read_to_string(path).expect("the page"))
}

/// The cells of the table below a heading as they are written, without its own heading.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let page = page();
    let lines = page.prose.iter().map(|(_, line)| line.as_str());
    let below = lines.skip_while(|line| line.trim_start_matches('#').trim() != heading || !line.starts_with('#'));
    let table = below.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    table.skip(2).map(cells).collect()
}

/// The code spans of a cell.
fn spans(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn check(cell: &[String], matches: impl Fn(&str) -> bool) -> usize {
    let [pattern, yes, no, ..] = cell else { panic!("three cells: {cell:?}") };
    spans(yes).iter().for_each(|key| assert!(matches(key), "{pattern} should match {key}"));
    spans(no).iter().for_each(|key| assert!(!matches(key), "{pattern} should not match {key}"));
    spans(yes).len() + spans(no).len()
}

#[test]
fn every_uri_of_the_page_matches_what_the_page_says_and_lists_its_prefix() {
    let rows = rows("Bucket URIs");
    let mut keys = 0;
    for row in &rows {
        let uri = BucketUri::parse(row[0].trim_matches('`')).unwrap_or_else(|error| panic!("{}: {error}", row[0]));
        keys += check(row, |key| uri.matches(key));
        let prefix = spans(&row[3]).first().copied().unwrap_or_default();
        assert_eq!(uri.literal_prefix(), prefix, "{}", row[0]);
    }
    assert!(rows.len() >= 15 && keys >= 50, "{} rows, {keys} keys", rows.len());
}

#[test]
fn every_exclusion_of_the_page_matches_what_the_page_says() {
    let rows = rows("Exclusions");
    let mut keys = 0;
    for row in &rows {
        let pattern = KeyPattern::parse(row[0].trim_matches('`')).unwrap_or_else(|error| panic!("{}: {error}", row[0]));
        keys += check(row, |key| pattern.matches(key));
    }
    assert!(rows.len() >= 4 && keys >= 12, "{} rows, {keys} keys", rows.len());
}

#[test]
fn everything_that_the_page_calls_refused_is_refused() {
    let rows = rows("Refused");
    for row in &rows {
        let [text, reason] = row.as_slice() else { panic!("two cells: {row:?}") };
        let error = BucketUri::parse(text.trim_matches('`')).expect_err(text);
        assert!(error.message.contains(spans(reason)[0]), "{text}: {error}");
    }
    assert!(rows.len() >= 6);
}

#[test]
fn every_schedule_of_the_page_comes_when_the_page_says() {
    let rows = rows("Schedules");
    for row in &rows {
        let [text, after, next] = row.as_slice() else { panic!("three cells: {row:?}") };
        let cron = Cron::parse(text.trim_matches('`')).unwrap_or_else(|error| panic!("{text}: {error}"));
        let time = |cell: &str| cell.trim_matches('`').parse::<jiff::Timestamp>().expect("a time");
        assert_eq!(cron.next_after(time(after)), Some(time(next)), "{text}");
    }
    assert!(rows.len() >= 6);
}
