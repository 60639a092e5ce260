//! A reader of CSV that goes byte by byte and knows nothing of the one it is held against.

use std::ops::Range;

/// What a text holds.
#[derive(Debug, Default)]
pub struct Reference {
    pub records: Vec<Record>,
    /// For each byte, and the end, its line: line ends are `\n`, `\r` and `\r\n`; within quotes only `\n`.
    pub lines: Vec<u64>,
    /// The line of a quote that is never closed.
    pub open_quote: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Record {
    /// The cells, and whether each was quoted.
    pub cells: Vec<(Vec<u8>, bool)>,
    /// Text stands behind a closing quote.
    pub has_tail: bool,
    /// Its bytes, without the line ends around it.
    pub raw: Range<usize>,
}

enum State {
    Between,
    CellStart,
    Bare,
    Quoted,
    Closed,
}

pub fn read(text: &[u8], delimiter: u8, quote: Option<u8>) -> Reference {
    let mut out = Reference::default();
    let (mut state, mut line, mut opened) = (State::Between, 1, 0);
    let (mut record, mut cell) = (Record::default(), (Vec::new(), false));
    for (at, &byte) in text.iter().enumerate() {
        out.lines.push(line);
        let ends_line = byte == b'\n' || byte == b'\r';
        let behind_cr = byte == b'\n' && at > 0 && text[at - 1] == b'\r';
        if matches!(state, State::Between) {
            if ends_line {
                line += u64::from(!behind_cr);
                continue;
            }
            record.raw.start = at;
            state = State::CellStart;
        }
        match state {
            State::Quoted if Some(byte) == quote => state = State::Closed,
            State::Quoted => {
                line += u64::from(byte == b'\n');
                cell.0.push(byte);
            }
            State::Closed if Some(byte) == quote => {
                cell.0.push(byte);
                state = State::Quoted;
            }
            State::CellStart if Some(byte) == quote => {
                (cell.1, opened) = (true, line);
                state = State::Quoted;
            }
            _ if ends_line => {
                line += 1;
                record.cells.push(std::mem::take(&mut cell));
                record.raw.end = at;
                out.records.push(std::mem::take(&mut record));
                state = State::Between;
            }
            _ if byte == delimiter => {
                record.cells.push(std::mem::take(&mut cell));
                state = State::CellStart;
            }
            _ => {
                record.has_tail |= matches!(state, State::Closed);
                cell.0.push(byte);
                state = State::Bare;
            }
        }
    }
    out.lines.push(line);
    if !matches!(state, State::Between) {
        record.cells.push(cell);
        record.raw.end = text.len();
        out.records.push(record);
    }
    if matches!(state, State::Quoted) {
        out.open_quote = Some(opened);
    }
    out
}
