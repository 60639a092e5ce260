//! Which part of a value with parts does not fit, and why.

use std::fmt;

use connector_core::quarantine::{TOO_FINE, is_too_fine, shown};
use connector_core::types::{ColumnType, TupleElement};

/// Why a value is none of its type. It names parts by what they are in the type, never by what stands in the value: rows
/// with the same kind of error are one group, however many keys and elements there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// From the inside to the outside.
    parts: Vec<String>,
    /// What is said of the innermost part.
    why: String,
}

impl Misfit {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { parts: Vec::new(), why: why.into() }
    }

    /// The text as a whole cannot be taken apart.
    pub(super) fn unreadable() -> Self {
        Self::new("is neither JSON nor what ClickHouse writes")
    }

    pub(super) fn null() -> Self {
        Self::new("is NULL")
    }

    /// Another shape than that of the type.
    pub(super) fn shape(ty: &ColumnType) -> Self {
        Self::new(match ty {
            ColumnType::Array { .. } => "is not a list",
            ColumnType::Map { .. } => "is not a list of keys with their values",
            _ => "is not a list of the parts of a Tuple",
        })
    }

    /// A text that is no value of a type without parts.
    pub(super) fn plain(text: &[u8], ty: &ColumnType) -> Self {
        let too_fine = std::str::from_utf8(text).is_ok_and(|text| is_too_fine(text, ty));
        Self::new(if too_fine { format!("is not {ty} {TOO_FINE}") } else { format!("is not {ty}") })
    }

    /// The same, of a part of something larger.
    pub(super) fn of(mut self, part: impl Into<String>) -> Self {
        self.parts.push(part.into());
        self
    }

    pub(super) fn of_element(self, index: usize, element: &TupleElement) -> Self {
        self.of(match &element.name {
            Some(name) => format!("'{}'", shown(name)),
            None => format!("part {}", index + 1),
        })
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts.as_slice() {
            [] => write!(f, "it {}", self.why),
            parts => write!(f, "{} {}", parts.join(" of "), self.why),
        }
    }
}
