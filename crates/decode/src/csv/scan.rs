//! The scan for record boundaries: one pass over the bytes that knows only quotes and line ends.
//!
//! Its rules are those of the `csv` crate. A delimiter matters only as "the byte before a quote": outside quotes,
//! every delimiter ends a field and every line end a record, so a quote opens a field exactly if the byte before it is
//! one of these (or there is none). Thus the scan needs to stop at quotes and line ends only.

use memchr::{memchr, memchr2, memchr3};

/// Where the scan is, relative to quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Unquoted,
    Quoted,
    /// Just behind a quote inside a quoted field: doubled, or the end of the quoted part.
    BehindQuote,
}

/// Finds record boundaries in a stream of bytes that comes in pieces.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    delimiter: u8,
    /// `None`: no byte quotes.
    quote: Option<u8>,
    place: Place,
    /// The byte before the next one, to know whether a field begins.
    previous: u8,
    /// Bytes scanned so far.
    position: u64,
    /// Line of the next byte, counted from 1.
    line: u64,
    /// Position and line of the quote that opened the present quoted field.
    opened: (u64, u64),
}

impl Scanner {
    /// A scan whose first byte is the first of a record and has this position and line.
    pub(crate) fn new(delimiter: u8, quote: Option<u8>, position: u64, line: u64) -> Self {
        Self { delimiter, quote, place: Place::Unquoted, previous: b'\n', position, line, opened: (0, 0) }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Position and line of the quote that is open now, if one is.
    pub(crate) fn open_quote(&self) -> Option<(u64, u64)> {
        (self.place == Place::Quoted).then_some(self.opened)
    }

    /// Scans on to the next end of a record: the number of bytes of `piece` up to and with it. `None` once the piece
    /// is used up. A `\r\n` that a piece border cuts is reported after its `\r`; the `\n` then opens the next record
    /// as a blank line, which no reader counts.
    pub(crate) fn next_end(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < piece.len() {
            at = match self.place {
                Place::Unquoted => match self.unquoted(piece, at) {
                    Step::Ended(end) => return Some(self.advance(piece, end)),
                    Step::At(next) => next,
                },
                Place::Quoted => self.quoted(piece, at),
                Place::BehindQuote => {
                    self.place = if Some(piece[at]) == self.quote { Place::Quoted } else { Place::Unquoted };
                    // A quote that does not double leaves its byte to the unquoted rules, and opens nothing there:
                    // the byte before it is a quote.
                    at + usize::from(self.place == Place::Quoted)
                }
            };
        }
        self.advance(piece, piece.len());
        None
    }

    fn unquoted(&mut self, piece: &[u8], from: usize) -> Step {
        let rest = &piece[from..];
        let found = match self.quote {
            Some(quote) => memchr3(quote, b'\n', b'\r', rest),
            None => memchr2(b'\n', b'\r', rest),
        };
        let Some(found) = found.map(|distance| from + distance) else { return Step::At(piece.len()) };
        if Some(piece[found]) == self.quote {
            let before = if found == 0 { self.previous } else { piece[found - 1] };
            if before == self.delimiter || before == b'\n' || before == b'\r' {
                self.place = Place::Quoted;
                self.opened = (self.position + found as u64, self.line);
            }
            return Step::At(found + 1);
        }
        let crlf = piece[found] == b'\r' && piece.get(found + 1) == Some(&b'\n');
        let cut_crlf = found == 0 && piece[found] == b'\n' && self.previous == b'\r';
        self.line += u64::from(!cut_crlf);
        Step::Ended(found + 1 + usize::from(crlf))
    }

    fn quoted(&mut self, piece: &[u8], from: usize) -> usize {
        let closing = self.quote.and_then(|quote| memchr(quote, &piece[from..]));
        let end = closing.map_or(piece.len(), |distance| from + distance);
        self.line += memchr::memchr_iter(b'\n', &piece[from..end]).count() as u64;
        if end == piece.len() {
            return end;
        }
        self.place = Place::BehindQuote;
        end + 1
    }

    /// Notes that `count` bytes of the piece are done; the caller passes the rest of the piece next.
    fn advance(&mut self, piece: &[u8], count: usize) -> usize {
        if let Some(last) = count.checked_sub(1).and_then(|last| piece.get(last)) {
            self.previous = *last;
        }
        self.position += count as u64;
        count
    }
}

enum Step {
    At(usize),
    Ended(usize),
}
