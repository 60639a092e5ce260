//! Which cells of a record were quoted. The reader does not say, and mostly nobody asks: only a cell that is empty or a
//! null spelling means something else in quotes.

use memchr::memchr;

/// Calls `each` with the index of every cell of one record whose first byte is the quote, ascending. `raw`: the bytes
/// of the record, with the line ends around it.
pub(super) fn quoted_cells(raw: &[u8], delimiter: u8, quote: u8, mut each: impl FnMut(usize)) {
    let mut at = raw.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    for index in 0.. {
        if raw.get(at) == Some(&quote) {
            each(index);
            let Some(behind) = behind_quoted(raw, at + 1, quote) else { return };
            at = behind;
        }
        // What follows a closing quote belongs to the cell, and quotes in it are text.
        let Some(distance) = memchr(delimiter, &raw[at..]) else { return };
        at += distance + 1;
    }
}

/// The place behind the closing quote, of a quoted part that begins at `from`.
fn behind_quoted(raw: &[u8], mut from: usize, quote: u8) -> Option<usize> {
    loop {
        let behind = from + memchr(quote, &raw[from..])? + 1;
        if raw.get(behind) != Some(&quote) {
            return Some(behind);
        }
        from = behind + 1;
    }
}
