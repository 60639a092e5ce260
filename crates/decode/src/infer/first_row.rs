//! Whether the first record of a file is a row and no header.
//!
//! Names are text, so a value of any other type among them is what gives a row away, if the rest of its column is of
//! that type, too. A name above such a column proves a header, and so does a cell without anything in it, which is in
//! files that forgot the name of a column. A year is the usual name of a column of a table of years.

use super::observed::{Observed, shown_bytes};
use super::reader::{Cell, Record};
use crate::value::trimmed;

/// The column whose first cell decides that the first record is a row; `None` if it is a header. `columns` hold all
/// records but the first, `nulls` is what [`Observed::note_cell`] takes.
pub(super) fn decided_by(first: &Record<'_>, columns: &[Observed], nulls: Option<&[String]>) -> Option<usize> {
    if columns.is_empty() || first.cells.len() != columns.len() || first.cells.iter().any(|cell| cell.text.is_empty()) {
        return None;
    }
    let cells = || first.cells.iter().zip(columns);
    if !columns.iter().any(Observed::has_values) {
        // Nothing to compare with: a row has values throughout.
        return cells().all(|(cell, _)| is_typed(cell)).then_some(0);
    }
    if cells().any(|(cell, column)| is_name(cell, column, nulls)) {
        return None;
    }
    cells().position(|(cell, column)| is_value(cell, column) && !is_year(&cell.text))
}

/// What speaks for a row, for people; nothing if it is a header.
pub(super) fn reason(first: &Record<'_>, decided_by: Option<usize>) -> String {
    let cell = decided_by.and_then(|index| first.cells.get(index));
    cell.map_or_else(String::new, |cell| {
        format!("; '{}' in the first record is such a value, so the file has no header", shown_bytes(&cell.text))
    })
}

fn is_typed(cell: &Cell<'_>) -> bool {
    let mut alone = Observed::default();
    alone.note(&cell.text);
    alone.is_typed()
}

/// A value of the type that the rest of the column has.
fn is_value(cell: &Cell<'_>, column: &Observed) -> bool {
    let mut both = column.clone();
    both.note(&cell.text);
    column.is_typed() && both.is_typed() && is_typed(cell)
}

/// No value of the type that the rest of the column has. A spelling of NULL is of every type.
fn is_name(cell: &Cell<'_>, column: &Observed, nulls: Option<&[String]>) -> bool {
    let mut both = column.clone();
    both.note_cell(cell, nulls);
    column.is_typed() && !both.is_typed()
}

fn is_year(text: &[u8]) -> bool {
    let text = trimmed(text);
    text.len() == 4
        && matches!(text, [b'1', b'8' | b'9', ..] | [b'2', b'0' | b'1', ..])
        && text.iter().all(u8::is_ascii_digit)
}
