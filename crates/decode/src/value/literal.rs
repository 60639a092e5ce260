//! ClickHouse's spelling of values with parts: `[1, 'b', NULL]`, `{'a':[1]}`, `(1,'x')`.

use std::borrow::Cow;

use connector_core::types::{ColumnType, MAX_NESTING};

use super::list::quoted;
use super::structure::Piece;
use super::{leaf, text, trimmed};

/// A value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal<'a> {
    /// Between single quotes, without them and their escapes.
    Text(Vec<u8>),
    /// A number, a boolean or NULL.
    Bare(&'a [u8]),
    List(Vec<Self>),
    Tuple(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

/// Reads a whole text.
pub(super) fn parse(text: &[u8]) -> Option<Literal<'_>> {
    let mut reader = Reader { rest: trimmed(text), depth: 0 };
    let value = reader.value()?;
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl<'a> Reader<'a> {
    /// A value and the blanks behind it.
    fn value(&mut self) -> Option<Literal<'a>> {
        let (first, behind) = self.rest.split_first()?;
        let value = match first {
            b'\'' => {
                let mut text = Vec::new();
                self.rest = quoted(behind, &mut text)?;
                Literal::Text(text)
            }
            b'[' => Literal::List(self.parts(b']', Self::value)?),
            b'(' => Literal::Tuple(self.parts(b')', Self::value)?),
            b'{' => Literal::Map(self.parts(b'}', Self::entry)?),
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b':' | b'[' | b']' | b'(' | b')' | b'{' | b'}' | b'\'');
                let end = self.rest.iter().position(ends).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                Literal::Bare(Some(trimmed(word)).filter(|word| !word.is_empty())?)
            }
        };
        self.rest = trimmed(self.rest);
        Some(value)
    }

    fn entry(&mut self) -> Option<(Literal<'a>, Literal<'a>)> {
        let key = self.value()?;
        self.sign(b':')?;
        Some((key, self.value()?))
    }

    fn sign(&mut self, sign: u8) -> Option<()> {
        self.rest = trimmed(self.rest.strip_prefix(&[sign])?);
        Some(())
    }

    /// What stands between an opening sign, which is the next one, and this closing one. A tuple of one value may have a
    /// comma behind it.
    fn parts<T>(&mut self, close: u8, mut part: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return None;
        }
        self.rest = trimmed(&self.rest[1..]);
        let mut parts = Vec::new();
        while self.sign(close).is_none() {
            if !parts.is_empty() {
                self.sign(b',')?;
                if close == b')' && parts.len() == 1 && self.sign(close).is_some() {
                    break;
                }
            }
            parts.push(part(self)?);
        }
        self.depth -= 1;
        Some(parts)
    }
}

impl Literal<'_> {
    fn cell(&self, ty: &ColumnType) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Bare(word) if leaf::needs_no_quotes(ty) => Some(Cow::Borrowed(word)),
            _ => None,
        }
    }
}

impl Piece for Literal<'_> {
    const EMPTY_IS_ABSENT: bool = true;

    fn is_null(&self) -> bool {
        matches!(self, Self::Bare(word) if word.eq_ignore_ascii_case(b"null"))
    }

    fn text(&self, ty: &ColumnType) -> Option<Cow<'_, [u8]>> {
        self.cell(ty)
    }

    /// ClickHouse writes it as text.
    fn json(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(json) => text::json(json),
            _ => None,
        }
    }

    fn items(&self) -> Option<Vec<Self>> {
        match self {
            Self::List(items) => Some(items.clone()),
            _ => None,
        }
    }

    fn entries(&self, key: &ColumnType) -> Option<Vec<(Cow<'_, [u8]>, Self)>> {
        let Self::Map(entries) = self else { return None };
        entries.iter().map(|(found, value)| Some((found.cell(key)?, value.clone()))).collect()
    }

    fn fields(&self) -> Option<Vec<(Cow<'_, str>, Self)>> {
        None
    }

    fn places(&self) -> Option<Vec<Self>> {
        match self {
            Self::Tuple(parts) => Some(parts.clone()),
            _ => None,
        }
    }
}
