//! Column types: the `.datasource` (ClickHouse) types, what stands for each elsewhere, and their spelling.

mod parse;

use std::collections::HashSet;
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
    /// `precision` digits after the second (0 to 9), UTC. A table holds 6 of them: values with more are refused.
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
    /// Values by their key, in the order of the file, no key twice. Itself never NULL, and neither is a key.
    Map {
        key: Box<ColumnType>,
        value: Box<ColumnType>,
        /// Of the values.
        nullable: bool,
    },
    /// A fixed number of values, each of a type of its own; at least one. All of them have names, or none has. Itself
    /// never NULL. Made by [`ColumnType::tuple`].
    Tuple(Arc<[TupleElement]>),
}

/// One of the values of a [`ColumnType::Tuple`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TupleElement {
    pub name: Option<String>,
    pub ty: ColumnType,
    pub nullable: bool,
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

/// How deep types stand in each other at most.
pub const MAX_NESTING: usize = 32;
/// Digits behind a second that a type may ask for.
pub const MAX_SECOND_DIGITS: u8 = 9;
/// Digits behind a second that a table holds.
pub const SECOND_DIGITS: u8 = 6;
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
            Self::Array { element, .. } if !self.is_structured() => {
                let Mapping { arrow, delta, .. } = element.mapping();
                let list = DataType::List(Arc::new(Field::new("element", arrow, true)));
                (list, format!("array<{delta}>"), self.clickhouse())
            }
            // JSON in one spelling: docs/decisions/0020-structured-types.md says why.
            Self::Array { .. } | Self::Map { .. } | Self::Tuple(_) => {
                (DataType::Utf8, "string".into(), self.clickhouse())
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

    /// The spelling for ClickHouse of a type that holds others.
    fn clickhouse(&self) -> String {
        let inner = |ty: &Self, nullable| wrapped(ty.mapping().clickhouse, nullable);
        match self {
            Self::Array { element, nullable } => format!("Array({})", inner(element, *nullable)),
            Self::Map { key, value, nullable } => {
                format!("Map({}, {})", key.mapping().clickhouse, inner(value, *nullable))
            }
            Self::Tuple(elements) => {
                let element = |element: &TupleElement| element.spelled(inner(&element.ty, element.nullable));
                format!("Tuple({})", elements.iter().map(element).collect::<Vec<_>>().join(", "))
            }
            plain => plain.mapping().clickhouse,
        }
    }

    /// A tuple of these values; `None` if there are none, if only some of them have names, or if a name is empty or
    /// there twice.
    pub fn tuple(elements: Vec<TupleElement>) -> Option<Self> {
        let names: Vec<&str> = elements.iter().filter_map(|element| element.name.as_deref()).collect();
        let all_or_none = names.is_empty() || names.len() == elements.len();
        let distinct: HashSet<&str> = names.iter().copied().filter(|name| !name.is_empty()).collect();
        let valid = !elements.is_empty() && all_or_none && distinct.len() == names.len();
        valid.then(|| Self::Tuple(elements.into()))
    }

    /// Whether a value has parts that a table keeps as one JSON text: a Map, a Tuple, and an Array of such, of Arrays or
    /// of JSON. Every part is checked against its type. Such a type is declared, never inferred.
    pub fn is_structured(&self) -> bool {
        match self {
            Self::Map { .. } | Self::Tuple(_) => true,
            Self::Array { element, .. } => {
                matches!(**element, Self::Array { .. } | Self::Map { .. } | Self::Tuple(_) | Self::Json)
            }
            _ => false,
        }
    }

    /// Whether there may be a `Nullable` of this type.
    pub fn takes_null(&self) -> bool {
        !matches!(self, Self::Array { .. } | Self::Map { .. } | Self::Tuple(_))
    }

    /// Whether a key of a Map may be of this type: its values have a text of their own, by which keys are told apart.
    pub fn is_map_key(&self) -> bool {
        self.takes_null() && *self != Self::Json
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

fn wrapped(ty: String, nullable: bool) -> String {
    if nullable { format!("Nullable({ty})") } else { ty }
}

impl TupleElement {
    /// With its name in front of the spelling of its type.
    fn spelled(&self, ty: impl fmt::Display) -> String {
        match &self.name {
            None => ty.to_string(),
            Some(name) if is_bare_name(name) => format!("{name} {ty}"),
            Some(name) => format!("`{}` {ty}", name.replace('\\', "\\\\").replace('`', "\\`")),
        }
    }
}

/// Whether a name can do without back-quotes.
fn is_bare_name(name: &str) -> bool {
    let letter = |letter: char| letter == '_' || letter.is_ascii_alphanumeric();
    name.chars().all(letter) && name.starts_with(|first: char| !first.is_ascii_digit())
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
            Self::Array { element, nullable } => write!(f, "Array({})", wrapped(element.to_string(), *nullable)),
            Self::Map { key, value, nullable } => write!(f, "Map({key}, {})", wrapped(value.to_string(), *nullable)),
            Self::Tuple(elements) => {
                let element =
                    |element: &TupleElement| element.spelled(wrapped(element.ty.to_string(), element.nullable));
                write!(f, "Tuple({})", elements.iter().map(element).collect::<Vec<_>>().join(", "))
            }
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

    fn array_of(element: ColumnType) -> ColumnType {
        ColumnType::Array { element: Box::new(element), nullable: false }
    }

    fn map_of(key: ColumnType, value: ColumnType, nullable: bool) -> ColumnType {
        ColumnType::Map { key: Box::new(key), value: Box::new(value), nullable }
    }

    fn tuple_of(elements: &[(Option<&str>, ColumnType)]) -> ColumnType {
        let element = |(name, ty): &(Option<&str>, ColumnType)| TupleElement {
            name: name.map(str::to_owned),
            ty: ty.clone(),
            nullable: false,
        };
        ColumnType::tuple(elements.iter().map(element).collect()).expect("a tuple")
    }

    #[test]
    fn types_in_each_other_have_a_limit() {
        let nested = |levels: usize| format!("{}String{}", "Array(".repeat(levels), ")".repeat(levels));
        assert!(ColumnType::parse_canonical(&nested(MAX_NESTING)).is_some());
        assert_eq!(ColumnType::parse_canonical(&nested(MAX_NESTING + 1)), None);
        assert_eq!(ColumnType::parse_canonical(&nested(1_000_000)), None);
    }

    #[test]
    fn clickhouse_has_the_wider_types_inside_of_others_too() {
        let ty =
            ColumnType::parse_canonical("Map(Date, Array(Tuple(at DateTime, `x y` Nullable(Date))))").expect("a type");
        let wanted = "Map(Date32, Array(Tuple(at DateTime64(0, 'UTC'), `x y` Nullable(Date32))))";
        assert_eq!(ty.mapping(), Mapping { arrow: DataType::Utf8, delta: "string".into(), clickhouse: wanted.into() });
    }

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
            array_of(array_of(ColumnType::Json)),
            map_of(ColumnType::Date, array_of(ColumnType::DateTime64 { precision: 9 }), false),
            map_of(ColumnType::String, ColumnType::Decimal { precision: 5, scale: 2 }, true),
            tuple_of(&[(None, ColumnType::String), (None, map_of(ColumnType::UInt8, ColumnType::Json, true))]),
            tuple_of(&[(Some("a"), ColumnType::String), (Some("it's `odd` \\ (b, c"), ColumnType::Ipv6)]),
            tuple_of(&[(Some("Nullable"), ColumnType::Int8), (Some("1"), ColumnType::Int8)]),
        ] {
            assert_eq!(ColumnType::parse_canonical(&ty.to_string()), Some(ty));
        }
        let bad =
            ["", "Int", "DateTime64(10)", "Decimal(77, 1)", "Decimal(3, 4)", "DateTime64", "Array()", "Array(Int8"];
        let parts = ["Map(Int8)", "Map(JSON, Int8)", "Map(Nullable(Int8), Int8)", "Map(Array(Int8), Int8)", "Tuple()"];
        let names =
            ["Tuple(a Int8, Int8)", "Tuple(a Int8, a Int8)", "Tuple(`` Int8)", "Tuple(a  Int8)", "Tuple(Int8,)"];
        let bad = bad.into_iter().chain(parts).chain(names);
        for bad in bad.chain(["Enum8()", "Enum8('a' = 1000)", "FixedString(0)", "Array(Nullable(Array(Int8)))"]) {
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
