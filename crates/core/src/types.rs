//! Column types: the `.datasource` (ClickHouse) types, what stands for each elsewhere, and their spelling.

mod parse;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

/// The type of a column, without its nullability.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    Int8,
    Int16,
    Int32,
    Int64,
    /// Beyond 64 bits an integer is kept as its decimal text, because no other type of a table holds it whole.
    Int128,
    Int256,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    UInt128,
    UInt256,
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
    /// Decimal with up to 76 digits. With more than 38 it is kept as text.
    Decimal {
        precision: u8,
        scale: i8,
    },
    String,
    /// A text of at most this many bytes. It is not padded.
    FixedString(u32),
    /// Lower case, with hyphens.
    Uuid,
    Ipv4,
    /// In the short form of RFC 5952.
    Ipv6,
    /// One of these labels.
    Enum(EnumType),
    /// A text that is valid JSON, kept as it is.
    Json,
    /// A list of values of one type, itself never NULL.
    Array {
        element: Box<ColumnType>,
        nullable: bool,
    },
}

/// The labels of an `Enum8` or `Enum16`, with their numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnumType {
    /// `Enum16`, as opposed to `Enum8`.
    pub wide: bool,
    pub labels: Arc<[(String, i16)]>,
}

impl EnumType {
    pub fn contains(&self, label: &str) -> bool {
        self.labels.iter().any(|(known, _)| known == label)
    }
}

/// Decimal digits that 128 bits hold.
pub const DECIMAL_DIGITS: u8 = 38;
/// Decimal digits of the widest decimal.
pub const WIDE_DECIMAL_DIGITS: u8 = 76;

/// What stands for a column type in each of the worlds that a value passes through. The one table of the project:
/// `docs/types.md` shows it, and a test holds the two against each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// In a [`crate::block::Block`].
    pub arrow: DataType,
    /// In a Delta table, by the protocol's name.
    pub delta: String,
    /// In a ClickHouse table.
    pub clickhouse: String,
}

impl ColumnType {
    /// See [`Mapping`].
    pub fn mapping(&self) -> Mapping {
        let as_is = self.to_string();
        let (arrow, delta, clickhouse) = match self {
            Self::Int8 => (DataType::Int8, "byte".into(), as_is),
            Self::Int16 => (DataType::Int16, "short".into(), as_is),
            Self::Int32 => (DataType::Int32, "integer".into(), as_is),
            Self::Int64 => (DataType::Int64, "long".into(), as_is),
            // Delta has no unsigned types: each goes to the next wider one that holds it exactly.
            Self::UInt8 => (DataType::Int16, "short".into(), as_is),
            Self::UInt16 => (DataType::Int32, "integer".into(), as_is),
            Self::UInt32 => (DataType::Int64, "long".into(), as_is),
            Self::UInt64 => (DataType::Decimal128(20, 0), "decimal(20,0)".into(), as_is),
            Self::Float32 => (DataType::Float32, "float".into(), as_is),
            Self::Float64 => (DataType::Float64, "double".into(), as_is),
            Self::Bool => (DataType::Boolean, "boolean".into(), as_is),
            Self::Date => (DataType::Date32, "date".into(), "Date32".to_owned()),
            Self::DateTime => (microseconds(), "timestamp".into(), "DateTime64(0, 'UTC')".to_owned()),
            Self::DateTime64 { precision } => {
                (microseconds(), "timestamp".into(), format!("DateTime64({precision}, 'UTC')"))
            }
            Self::Decimal { precision, scale } if *precision <= DECIMAL_DIGITS => {
                (DataType::Decimal128(*precision, *scale), format!("decimal({precision},{scale})"), as_is)
            }
            Self::Array { element, nullable } => {
                let element = element.mapping();
                let inner = if *nullable { format!("Nullable({})", element.clickhouse) } else { element.clickhouse };
                let list = DataType::List(Arc::new(Field::new("element", element.arrow, true)));
                (list, format!("array<{}>", element.delta), format!("Array({inner})"))
            }
            Self::Int128
            | Self::Int256
            | Self::UInt128
            | Self::UInt256
            | Self::Decimal { .. }
            | Self::String
            | Self::FixedString(_)
            | Self::Uuid
            | Self::Ipv4
            | Self::Ipv6
            | Self::Enum(_)
            | Self::Json => (DataType::Utf8, "string".into(), as_is),
        };
        Mapping { arrow, delta, clickhouse }
    }

    /// The Arrow type of this column in a [`crate::block::Block`].
    pub fn arrow(&self) -> DataType {
        self.mapping().arrow
    }

    /// Reads the canonical spelling back, as [`fmt::Display`] prints it. The full type grammar of `.datasource` files
    /// lives in `connector-datafile`; this is for the ledger and for table properties.
    pub fn parse_canonical(text: &str) -> Option<Self> {
        parse::canonical(text)
    }
}

fn microseconds() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DateTime64 { precision } => write!(f, "DateTime64({precision})"),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            Self::FixedString(length) => write!(f, "FixedString({length})"),
            Self::Uuid => f.write_str("UUID"),
            Self::Ipv4 => f.write_str("IPv4"),
            Self::Ipv6 => f.write_str("IPv6"),
            Self::Json => f.write_str("JSON"),
            Self::Enum(labels) => labels.fmt(f),
            Self::Array { element, nullable: true } => write!(f, "Array(Nullable({element}))"),
            Self::Array { element, nullable: false } => write!(f, "Array({element})"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for EnumType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.wide { "Enum16(" } else { "Enum8(" })?;
        for (index, (label, number)) in self.labels.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let label = label.replace('\\', "\\\\").replace('\'', "\\'");
            write!(f, "{comma}'{label}' = {number}")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_spelling_reads_back() {
        let labels = [("a".to_owned(), 1), ("it's, \\ (b)".to_owned(), -2)];
        for ty in [
            ColumnType::UInt64,
            ColumnType::UInt256,
            ColumnType::String,
            ColumnType::FixedString(3),
            ColumnType::Uuid,
            ColumnType::Json,
            ColumnType::DateTime64 { precision: 3 },
            ColumnType::Decimal { precision: 38, scale: 10 },
            ColumnType::Decimal { precision: 76, scale: 0 },
            ColumnType::Enum(EnumType { wide: true, labels: Arc::new(labels) }),
            ColumnType::Array { element: Box::new(ColumnType::Decimal { precision: 3, scale: 1 }), nullable: true },
            ColumnType::Array { element: Box::new(ColumnType::String), nullable: false },
        ] {
            assert_eq!(ColumnType::parse_canonical(&ty.to_string()), Some(ty));
        }
        let bad =
            ["", "Int", "DateTime64(9)", "Decimal(77, 1)", "Decimal(3, 4)", "DateTime64", "Array()", "Array(Int8"];
        for bad in bad.into_iter().chain(["Enum8()", "Enum8('a' = 1000)", "FixedString(0)", "Array(Array(Int8))"]) {
            assert_eq!(ColumnType::parse_canonical(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_table_cannot_hold_as_a_number_is_kept_as_text() {
        for ty in [ColumnType::Int128, ColumnType::UInt256, ColumnType::Decimal { precision: 39, scale: 2 }] {
            assert_eq!(ty.arrow(), DataType::Utf8, "{ty}");
        }
    }
}
