//! Lists from text: JSON (`[1, "b"]`) and ClickHouse's spelling (`[1, 'b', NULL]`).

use connector_core::types::ColumnType;
use serde_json::value::RawValue;

use super::leaf::needs_no_quotes;
use super::trimmed;
use crate::columns::Cell;

/// The elements of many lists, one after the other.
#[derive(Debug)]
pub(crate) struct Elements {
    text: Vec<u8>,
    /// For each element, where its text ends; `None` for NULL.
    ends: Vec<(usize, bool)>,
    /// Whether a text needs its quotes in ClickHouse's spelling.
    quoted_only: bool,
}

impl Elements {
    /// No elements, of this type.
    pub(crate) fn new(element: &ColumnType) -> Self {
        Self { text: Vec::new(), ends: Vec::new(), quoted_only: !needs_no_quotes(element) }
    }

    /// Adds the elements of one list. If the text is no list, or there would be more than 2^31 elements, it adds none
    /// and says so.
    pub(crate) fn append(&mut self, cell: &[u8]) -> bool {
        let (texts, elements) = (self.text.len(), self.ends.len());
        let good = self.json(cell).or_else(|| {
            self.truncate(texts, elements);
            self.clickhouse(cell)
        });
        let good = good.is_some() && i32::try_from(self.ends.len()).is_ok();
        if !good {
            self.truncate(texts, elements);
        }
        good
    }

    /// How many elements there are: they fit by the rule of [`Elements::append`].
    pub(crate) fn len(&self) -> i32 {
        i32::try_from(self.ends.len()).unwrap_or(i32::MAX)
    }

    pub(crate) fn cells(&self) -> impl ExactSizeIterator<Item = Cell<'_>> {
        (0..self.ends.len()).map(|index| {
            let start = index.checked_sub(1).map_or(0, |previous| self.ends[previous].0);
            let (end, absent) = self.ends[index];
            if absent { Cell::Absent } else { Cell::Text(&self.text[start..end]) }
        })
    }

    fn truncate(&mut self, texts: usize, elements: usize) {
        self.text.truncate(texts);
        self.ends.truncate(elements);
    }

    /// Ends the element whose text has just been added.
    fn end(&mut self, absent: bool) {
        self.ends.push((self.text.len(), absent));
    }

    /// Strings lose quotes and escapes, `null` is absent, anything else (numbers, nested values) keeps its text.
    fn json(&mut self, cell: &[u8]) -> Option<()> {
        let elements: Vec<&RawValue> = serde_json::from_str(std::str::from_utf8(cell).ok()?).ok()?;
        for element in elements {
            let text = element.get();
            if text.starts_with('"') {
                let unescaped: String = serde_json::from_str(text).ok()?;
                self.text.extend_from_slice(unescaped.as_bytes());
            } else if text != "null" {
                self.text.extend_from_slice(text.as_bytes());
            }
            self.end(text == "null");
        }
        Some(())
    }

    fn clickhouse(&mut self, cell: &[u8]) -> Option<()> {
        let inside = trimmed(cell).strip_prefix(b"[")?.strip_suffix(b"]")?;
        let mut rest = trimmed(inside);
        if rest.is_empty() {
            return Some(());
        }
        loop {
            rest = match rest.strip_prefix(b"'") {
                Some(inside) => {
                    let behind = quoted(inside, &mut self.text)?;
                    self.end(false);
                    trimmed(behind)
                }
                None => self.bare(rest)?,
            };
            match rest.split_first() {
                None => return Some(()),
                Some((b',', behind)) => rest = trimmed(behind),
                Some(_) => return None,
            }
        }
    }

    /// An element without quotes: a number, a boolean or NULL. Answers what follows it.
    fn bare<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
        let token = trimmed(&rest[..end]);
        let absent = token.eq_ignore_ascii_case(b"null");
        if token.is_empty() || (!absent && self.quoted_only) {
            return None;
        }
        if !absent {
            self.text.extend_from_slice(token);
        }
        self.end(absent);
        Some(&rest[end..])
    }
}

/// Adds the text up to the closing quote, whose opening one is gone. Answers what follows it.
pub(super) fn quoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let at = memchr::memchr2(b'\'', b'\\', rest)?;
        text.extend_from_slice(&rest[..at]);
        rest = match (rest[at], &rest[at + 1..]) {
            (b'\'', [b'\'', behind @ ..]) => {
                text.push(b'\'');
                behind
            }
            (b'\'', behind) => return Some(behind),
            (_, [b'x', high, low, behind @ ..]) => {
                text.push(hex(*high)? << 4 | hex(*low)?);
                behind
            }
            (_, [letter, behind @ ..]) => {
                escaped(*letter, text);
                behind
            }
            (_, []) => return None,
        };
    }
}

/// A backslash before any other letter stands for itself, as in ClickHouse.
fn escaped(letter: u8, text: &mut Vec<u8>) {
    let meant = match letter {
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'0' => 0,
        b'a' => 0x07,
        b'v' => 0x0B,
        b'e' => 0x1B,
        b'\\' | b'\'' | b'"' | b'`' | b'/' | b'=' => letter,
        other => {
            text.push(b'\\');
            other
        }
    };
    text.push(meant);
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
