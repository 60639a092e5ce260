//! What is printed for people: results on standard output, troubles on standard error.

use std::io::{IsTerminal, Write};

use connector_core::quarantine::shown;
use connector_datafile::Diagnostic;
use connector_datafile::diagnostic::{Colour, render};

/// A line of the result. A reader that has gone away, such as `head`, is no error.
pub fn line(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// A line on standard error.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

pub fn error(message: &str) {
    note(format!("error: {message}"));
}

/// Diagnostics with their places, on standard error.
pub fn diagnostics(found: &[Diagnostic]) {
    if found.is_empty() {
        return;
    }
    let colour = if std::io::stderr().is_terminal() { Colour::Always } else { Colour::Never };
    note(render(found, colour).trim_end());
}

/// Rows in columns that line up; the first one is the heading.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        line(cells.join("  ").trim_end());
    }
}

/// A number of things, such as `1 row` and `2 rows`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A number of bytes for people, such as `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A text whole, with nothing in it that a terminal would act upon.
pub fn printable(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(100).map(|part| shown(&part.iter().collect::<String>())).collect()
}
