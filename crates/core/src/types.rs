//! Column types: the `.datasource` (ClickHouse) types, and the Arrow type that a block carries for each.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};

/// The type of a column, without its nullability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    Bool,
    /// Days since 1970-01-01. `Date` and `Date32` share the wider range here.
    Date,
    /// Whole seconds, UTC.
    DateTime,
    /// `precision` digits after the second (0 to 6), UTC.
    DateTime64 {
        precision: u8,
    },
    /// Decimal with up to 38 digits.
    Decimal {
        precision: u8,
        scale: i8,
    },
    String,
}

impl ColumnType {
    /// The Arrow type of this column in a [`crate::block::Block`]. Unsigned types go to the next wider type that
    /// holds them exactly, because Delta has no unsigned types.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Int8 => DataType::Int8,
            Self::Int16 | Self::UInt8 => DataType::Int16,
            Self::Int32 | Self::UInt16 => DataType::Int32,
            Self::Int64 | Self::UInt32 => DataType::Int64,
            Self::UInt64 => DataType::Decimal128(20, 0),
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::DateTime | Self::DateTime64 { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Self::String => DataType::Utf8,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DateTime64 { precision } => write!(f, "DateTime64({precision})"),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl ColumnType {
    /// Reads the canonical spelling back, as [`fmt::Display`] prints it. The full type grammar of `.datasource`
    /// files lives in `connector-datafile`; this is for the ledger and for table properties.
    pub fn parse_canonical(text: &str) -> Option<Self> {
        let simple = [
            Self::Int8,
            Self::Int16,
            Self::Int32,
            Self::Int64,
            Self::UInt8,
            Self::UInt16,
            Self::UInt32,
            Self::UInt64,
            Self::Float32,
            Self::Float64,
            Self::Bool,
            Self::Date,
            Self::DateTime,
            Self::String,
        ];
        if let Some(found) = simple.into_iter().find(|candidate| candidate.to_string() == text) {
            return Some(found);
        }
        let (name, rest) = text.split_once('(')?;
        let arguments: Vec<&str> = rest.strip_suffix(')')?.split(',').map(str::trim).collect();
        match (name, arguments.as_slice()) {
            ("DateTime64", [precision]) => {
                precision.parse().ok().filter(|p| *p <= 6).map(|precision| Self::DateTime64 { precision })
            }
            ("Decimal", [precision, scale]) => {
                let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
                (1..=38).contains(&precision).then_some(())?;
                (0..=precision as i8).contains(&scale).then_some(Self::Decimal { precision, scale })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_spelling_reads_back() {
        for ty in [
            ColumnType::UInt64,
            ColumnType::String,
            ColumnType::DateTime64 { precision: 3 },
            ColumnType::Decimal { precision: 38, scale: 10 },
        ] {
            assert_eq!(ColumnType::parse_canonical(&ty.to_string()), Some(ty));
        }
        for bad in ["", "Int", "DateTime64(9)", "Decimal(39, 1)", "Decimal(3, 4)", "DateTime64"] {
            assert_eq!(ColumnType::parse_canonical(bad), None, "{bad}");
        }
    }
}
