//! Just enough of Thrift's compact protocol to look at footers and page headers before the reader underneath does:
//! nothing is built, and nothing recurses deeper than a fixed limit.

use std::io::{self, Read};

/// Structures within structures, beyond which nothing is read.
const MAX_DEPTH: usize = 32;

/// Reads values one after the other and counts the bytes.
pub(super) struct Compact<R> {
    input: R,
    read: u64,
}

/// A field of a structure: its id, and how its value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FieldHead {
    pub(super) id: i64,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its value is part of the field's head.
    Bool,
    Byte,
    /// 16, 32 or 64 bits.
    Int,
    Double,
    Binary,
    /// A list or a set.
    List,
    Map,
    Struct,
    Uuid,
}

impl Kind {
    fn of(code: u8) -> io::Result<Self> {
        Ok(match code {
            1 | 2 => Self::Bool,
            3 => Self::Byte,
            4..=6 => Self::Int,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            other => return Err(bad(format!("there is no type {other}"))),
        })
    }
}

pub(super) fn bad(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

impl<R: Read> Compact<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, read: 0 }
    }

    /// Bytes that were read so far.
    pub(super) fn position(&self) -> u64 {
        self.read
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        self.read += 1;
        Ok(byte[0])
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(bad("a number has more than 64 bits"))
    }

    pub(super) fn int(&mut self) -> io::Result<i64> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// The head of the next field; `None` at the end of the structure. `previous` is the id of the field before, 0 in
    /// front of the first.
    pub(super) fn field(&mut self, previous: i64) -> io::Result<Option<FieldHead>> {
        let head = self.byte()?;
        if head & 0x0F == 0 {
            return Ok(None);
        }
        let kind = Kind::of(head & 0x0F)?;
        let id = match head >> 4 {
            0 => self.int()?,
            delta => previous.checked_add(i64::from(delta)).ok_or_else(|| bad("a field has no id"))?,
        };
        Ok(Some(FieldHead { id, kind }))
    }

    /// The head of a list: how many elements, of which kind.
    pub(super) fn list(&mut self) -> io::Result<(u64, Kind)> {
        let head = self.byte()?;
        let kind = Kind::of(head & 0x0F)?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        Ok((count, kind))
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, kind: Kind) -> io::Result<()> {
        self.skip_below(kind, MAX_DEPTH)
    }

    fn skip_below(&mut self, kind: Kind, depth: usize) -> io::Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| bad("it is nested too deeply"))?;
        match kind {
            Kind::Bool => Ok(()),
            Kind::Byte => self.byte().map(|_| ()),
            Kind::Int => self.varint().map(|_| ()),
            Kind::Double => self.pass(8),
            Kind::Uuid => self.pass(16),
            Kind::Binary => {
                let length = self.varint()?;
                self.pass(length)
            }
            Kind::Struct => {
                while let Some(field) = self.field(0)? {
                    self.skip_below(field.kind, depth)?;
                }
                Ok(())
            }
            Kind::List => {
                let (count, kind) = self.list()?;
                // Readers disagree on how long these are, and Parquet has none where we look.
                if kind == Kind::Bool {
                    return Err(bad("it has a list of booleans"));
                }
                (0..count).try_for_each(|_| self.skip_below(kind, depth))
            }
            Kind::Map => Err(bad("it has a map")),
        }
    }

    fn pass(&mut self, length: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.input.by_ref().take(length), &mut io::sink())?;
        self.read += passed;
        if passed == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fields_and_lists_are_read_as_they_are_written() {
        let mut ints = Compact::new(&[0x00, 0x01, 0x02, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F][..]);
        let read: Vec<i64> = (0..4).map(|_| ints.int().expect("an int")).collect();
        assert_eq!((read, ints.position()), (vec![0, -1, 1, i64::from(i32::MIN)], 8));
        // Field 2, a list of two ints; field 9, text; the end.
        let bytes = [0x29, 0x25, 0x02, 0x04, 0x78, 0x02, b'o', b'k', 0x00];
        let mut compact = Compact::new(&bytes[..]);
        let field = compact.field(0).expect("a field").expect("one");
        assert_eq!(field, FieldHead { id: 2, kind: Kind::List });
        compact.skip(field.kind).expect("skips");
        let field = compact.field(field.id).expect("a field").expect("one");
        assert_eq!(field, FieldHead { id: 9, kind: Kind::Binary });
        compact.skip(field.kind).expect("skips");
        assert_eq!(compact.field(field.id).expect("the end"), None);
    }

    #[test]
    fn what_never_ends_is_refused() {
        let deep = [0x1C; 10_000];
        assert!(Compact::new(&deep[..]).skip(Kind::Struct).expect_err("too deep").to_string().contains("deeply"));
        let long = [0xFF; 20];
        assert!(Compact::new(&long[..]).int().is_err());
        let short = [0x7F, b'x'];
        assert!(Compact::new(&short[..]).skip(Kind::Binary).is_err());
        let many = [0xF5, 0xFF, 0xFF, 0xFF, 0xFF, 0x07, 0x00];
        assert!(Compact::new(&many[..]).skip(Kind::List).is_err(), "no memory is taken for what a list claims");
    }
}
