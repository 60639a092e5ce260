//! Values from text: exact, or refused.
//!
//! Each parser takes the bytes of a cell that is not empty and returns `None` if they are not such a value. Spaces
//! and tabs around a value are allowed, except in strings. Nothing is ever rounded, wrapped or guessed; the one
//! exception is that the text of a float stands for the nearest float, as everywhere.

pub(crate) mod decimal;
mod leaf;
pub(crate) mod list;
mod literal;
mod misfit;
pub(crate) mod number;
pub(crate) mod plain;
pub(crate) mod structure;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod wide;

#[cfg(test)]
mod edges;
#[cfg(test)]
mod tests;

/// The cell without spaces and tabs around it.
pub(crate) fn trimmed(cell: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = cell.iter().position(|byte| !blank(byte)).unwrap_or(cell.len());
    let end = cell.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &cell[start..end]
}
