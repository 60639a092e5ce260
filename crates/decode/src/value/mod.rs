//! Values from text: exact, or refused.
//!
//! Each parser takes the bytes of a cell that is not empty and returns `None` if they are not such a value. Spaces
//! and tabs around a value are allowed, except in strings. Nothing is ever rounded, wrapped or guessed; the one
//! exception is that the text of a float stands for the nearest float, as everywhere.

pub(crate) mod decimal;
pub(crate) mod number;
pub(crate) mod plain;
pub(crate) mod time;

#[cfg(test)]
mod tests;

use connector_core::block::CellError;
use connector_core::schema::Column;

/// How many characters of a bad value an error message shows.
const SHOWN_CHARS: usize = 100;

/// The cell without spaces and tabs around it.
pub(crate) fn trimmed(cell: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = cell.iter().position(|byte| !blank(byte)).unwrap_or(cell.len());
    let end = cell.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &cell[start..end]
}

/// The error of a value that is not of its column's type.
pub(crate) fn cell_error(value: &[u8], column: &Column) -> CellError {
    let message = format!("value '{}' on column '{}' is not {}", shown(value), column.name, column.ty);
    CellError { column: column.name.clone(), message }
}

/// A value as a message may show it: cut, with everything escaped that a terminal or a log would act upon.
pub(crate) fn shown(value: &[u8]) -> String {
    // Four bytes a character are enough to see the characters that are shown.
    let text = String::from_utf8_lossy(&value[..value.len().min(4 * SHOWN_CHARS)]);
    let mut out = String::new();
    for letter in text.chars().take(SHOWN_CHARS) {
        if letter.is_control() || is_bidi_control(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

fn is_bidi_control(letter: char) -> bool {
    matches!(letter, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}
