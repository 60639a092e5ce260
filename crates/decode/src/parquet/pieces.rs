//! Nested values as what [`crate::value::structure`] walks.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use connector_core::types::ColumnType;

use super::spell;
use super::tree::{Leaf, Node};
use super::values::Values;
use crate::value::structure::Piece;
use crate::value::text;

/// The value of one row of a column, or of a part of one.
pub(super) struct ParquetPiece<'a> {
    pub(super) values: Values<'a>,
    pub(super) row: usize,
}

impl<'a> ParquetPiece<'a> {
    fn rows_of(values: Values<'a>, rows: std::ops::Range<usize>) -> Vec<Self> {
        rows.map(|row| Self { values, row }).collect()
    }

    /// The text that says all that the value does.
    fn exact(&self, ty: &ColumnType) -> Option<String> {
        let mut text = String::new();
        // Sixteen bytes are a UUID where the table wants one, though the file does not say so.
        let raw_uuid = *ty == ColumnType::Uuid && self.values.node.stated == DataType::FixedSizeBinary(16);
        let exact = if raw_uuid {
            let node = Node { leaf: Leaf::Uuid, ..self.values.node.clone() };
            spell::write(&Values { node: &node, ..self.values }, self.row, &mut text)
        } else {
            spell::write(&self.values, self.row, &mut text)
        };
        exact.then_some(text)
    }
}

impl Piece for ParquetPiece<'_> {
    const EMPTY_IS_ABSENT: bool = false;

    fn is_null(&self) -> bool {
        self.values.is_null(self.row)
    }

    fn text(&self, ty: &ColumnType) -> Option<Cow<'_, [u8]>> {
        self.exact(ty).map(|text| Cow::Owned(text.into_bytes()))
    }

    /// A text has to be JSON itself.
    fn json(&self) -> Option<Cow<'_, str>> {
        let text = self.exact(&ColumnType::Json)?;
        (self.values.node.stated.is_nested() || text::json(text.as_bytes()).is_some()).then_some(Cow::Owned(text))
    }

    fn items(&self) -> Option<Vec<Self>> {
        Some(Self::rows_of(self.values.elements()?, self.values.range(self.row)))
    }

    fn entries(&self, key: &ColumnType) -> Option<Vec<(Cow<'_, [u8]>, Self)>> {
        if !matches!(self.values.node.stated, DataType::Map(..)) {
            return None;
        }
        let range = self.values.range(self.row);
        let keys = Self::rows_of(self.values.field(0)?, range.clone());
        let values = Self::rows_of(self.values.field(1)?, range);
        let entry = |(found, value): (Self, Self)| {
            let text = if found.is_null() { None } else { found.exact(key) };
            Some((Cow::Owned(text?.into_bytes()), value))
        };
        keys.into_iter().zip(values).map(entry).collect()
    }

    fn fields(&self) -> Option<Vec<(Cow<'_, str>, Self)>> {
        let names = self.values.node.children.iter().map(|child| Cow::Borrowed(child.name.as_str()));
        Some(names.zip(self.places()?).collect())
    }

    fn places(&self) -> Option<Vec<Self>> {
        if !matches!(self.values.node.stated, DataType::Struct(_)) {
            return None;
        }
        let field = |index| Some(Self { values: self.values.field(index)?, row: self.row });
        (0..self.values.node.children.len()).map(field).collect()
    }
}
