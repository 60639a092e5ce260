//! The one table of types: what a Parquet column is in Arrow, which column type keeps its values, and how it is read.
//!
//! | Parquet | Arrow | column type |
//! |---|---|---|
//! | BOOLEAN | Boolean | Bool |
//! | INT32, INT64, INT(n) | Int8 to Int64, UInt8 to UInt64 | the same |
//! | FLOAT, FLOAT16; DOUBLE | Float32, Float16; Float64 | Float32; Float64 |
//! | DECIMAL(p, s) in any physical type | Decimal128, Decimal256 | Decimal(p, s), up to 76 digits |
//! | DATE (and Int64 that is noted as Date64) | Date32, Date64 | Date |
//! | TIMESTAMP of any unit, INT96 | Timestamp | DateTime64(3 or 6); of seconds DateTime |
//! | TIME | Time32, Time64 | String `HH:MM:SS.fff` with as many digits as the unit has |
//! | INTERVAL; Int64 that is noted as a duration | Interval; Duration | String `P1M2DT3.004S` |
//! | STRING, ENUM, JSON, BYTE_ARRAY and FIXED_LEN_BYTE_ARRAY without annotation | Utf8, Binary, FixedSizeBinary | String |
//! | UUID | FixedSizeBinary(16) | UUID |
//! | a list that is never NULL, of scalars | List | Array(T), Array(Nullable(T)) |
//! | any other list, map, group | List, Map, Struct | String that holds JSON |
//! | UNKNOWN | Null | String |
//! | BSON, GEOMETRY, GEOGRAPHY, VARIANT | bytes | none |
//!
//! A list that may be NULL is not an Array, because an Array never is: `[]` in place of NULL would be another value.

use std::sync::Arc;

use ::parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit as ParquetUnit, Type as PhysicalType};
use ::parquet::errors::Result;
use ::parquet::schema::types::{Type, TypePtr};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use connector_core::compat;
use connector_core::types::{ColumnType, WIDE_DECIMAL_DIGITS};

/// What an Arrow type does not say of a column without children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    Plain,
    Uuid,
    /// Twelve bytes: months, days and milliseconds.
    Interval,
    /// Read twice, see [`super::int96`].
    Int96,
}

/// A column of a file, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) name: String,
    /// What the file states, in terms of Arrow. The arrays that are read may have a plainer type, see [`raw`].
    pub(super) stated: DataType,
    pub(super) leaf: Leaf,
    /// May hold NULL.
    pub(super) nullable: bool,
    /// The element of a list, key and value of a map, the fields of a struct.
    pub(super) children: Vec<Node>,
}

impl Node {
    /// A column that is what its Arrow type says and nothing else.
    #[cfg(test)]
    pub(super) fn plain(field: &Field) -> Self {
        Self::new(field, &mut std::iter::empty())
    }

    /// `leaves` are the Parquet columns below the field, in order.
    fn new<'a>(field: &Field, leaves: &mut impl Iterator<Item = &'a Type>) -> Self {
        let children: Vec<Self> = match field.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                vec![Self::new(item, leaves)]
            }
            DataType::Struct(fields) => fields.iter().map(|field| Self::new(field, leaves)).collect(),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) => fields.iter().map(|field| Self::new(field, leaves)).collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        let leaf = if children.is_empty() { leaves.next().map_or(Leaf::Plain, leaf) } else { Leaf::Plain };
        let stated = field.data_type().clone();
        Self { name: field.name().clone(), stated, leaf, nullable: field.is_nullable(), children }
    }

    /// The column type that keeps every value (of nanoseconds: those that are whole microseconds).
    pub(super) fn column_type(&self) -> Option<ColumnType> {
        if self.leaf == Leaf::Uuid {
            return Some(ColumnType::Uuid);
        }
        let ty = match &self.stated {
            DataType::Int8 => ColumnType::Int8,
            DataType::Int16 => ColumnType::Int16,
            DataType::Int32 => ColumnType::Int32,
            DataType::Int64 => ColumnType::Int64,
            DataType::UInt8 => ColumnType::UInt8,
            DataType::UInt16 => ColumnType::UInt16,
            DataType::UInt32 => ColumnType::UInt32,
            DataType::UInt64 => ColumnType::UInt64,
            DataType::Float16 | DataType::Float32 => ColumnType::Float32,
            DataType::Float64 => ColumnType::Float64,
            DataType::Boolean => ColumnType::Bool,
            DataType::Date32 | DataType::Date64 => ColumnType::Date,
            DataType::Timestamp(TimeUnit::Second, _) => ColumnType::DateTime,
            DataType::Timestamp(TimeUnit::Millisecond, _) => ColumnType::DateTime64 { precision: 3 },
            DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _) => {
                ColumnType::DateTime64 { precision: 6 }
            }
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                let valid = (1..=WIDE_DECIMAL_DIGITS).contains(precision) && (0..=*precision as i8).contains(scale);
                return valid.then_some(ColumnType::Decimal { precision: *precision, scale: *scale });
            }
            DataType::List(_) if !self.nullable && self.children.iter().all(|item| item.children.is_empty()) => {
                let element = self.children.first()?;
                let ty = Box::new(element.column_type()?);
                ColumnType::Array { element: ty, nullable: element.nullable || element.stated == DataType::Null }
            }
            found if compat::accepts(found, &ColumnType::String) => ColumnType::String,
            _ => return None,
        };
        Some(ty)
    }
}

/// The columns of a file. `noted` is the schema that a writer noted for itself, see [`believed`].
pub(super) fn nodes(roots: &[TypePtr], plain: &Schema, noted: Option<&Schema>) -> Vec<Node> {
    let node = |(index, (root, field)): (usize, (&TypePtr, &Arc<Field>))| {
        let mut below = Vec::new();
        leaves(root, &mut below);
        let mut node = Node::new(field, &mut below.into_iter());
        if let Some(name) = opaque_name(root) {
            let name =
                if root.is_group() && name != "variant" { format!("nested, with {name}") } else { name.to_owned() };
            node.stated = compat::opaque(&name);
            node.children = Vec::new();
        }
        let noted = noted.and_then(|schema| schema.fields().get(index)).map(|field| field.data_type());
        if let Some(noted) = noted.filter(|noted| node.stated == DataType::Int64 && believed(noted)) {
            node.stated = noted.clone();
        }
        node
    };
    roots.iter().zip(plain.fields()).enumerate().map(node).collect()
}

/// Parquet has no timestamps in seconds, no dates in milliseconds and no durations: writers that have them store plain
/// integers and note the real type in the embedded Arrow schema. Those notes are believed; all others only say how a
/// program likes to hold the values in memory.
fn believed(noted: &DataType) -> bool {
    matches!(noted, DataType::Timestamp(TimeUnit::Second, _) | DataType::Date64 | DataType::Duration(_))
}

fn leaves<'a>(root: &'a Type, out: &mut Vec<&'a Type>) {
    if root.is_primitive() {
        out.push(root);
    } else {
        root.get_fields().iter().for_each(|field| leaves(field, out));
    }
}

fn leaf(column: &Type) -> Leaf {
    let info = column.get_basic_info();
    match (column.get_physical_type(), info.logical_type_ref(), info.converted_type()) {
        (_, Some(LogicalType::Unknown), _) => Leaf::Plain,
        (PhysicalType::INT96, ..) => Leaf::Int96,
        (PhysicalType::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Uuid), _) if fixed_length(column) == 16 => Leaf::Uuid,
        (PhysicalType::FIXED_LEN_BYTE_ARRAY, None, ConvertedType::INTERVAL) => Leaf::Interval,
        _ => Leaf::Plain,
    }
}

fn fixed_length(column: &Type) -> i32 {
    if let Type::PrimitiveType { type_length, .. } = column { *type_length } else { -1 }
}

/// Bytes that stand for something of their own and would only be mistaken for text, anywhere below.
fn opaque_name(node: &Type) -> Option<&'static str> {
    let info = node.get_basic_info();
    match (info.logical_type_ref(), info.converted_type()) {
        (Some(LogicalType::Bson), _) | (None, ConvertedType::BSON) => return Some("bson"),
        (Some(LogicalType::Geometry { .. }), _) => return Some("geometry"),
        (Some(LogicalType::Geography { .. }), _) => return Some("geography"),
        (Some(LogicalType::Variant { .. }), _) => return Some("variant"),
        _ => {}
    }
    if node.is_primitive() { None } else { node.get_fields().iter().find_map(|field| opaque_name(field)) }
}

/// The schema by which a file is read: without the annotations that would make the reader underneath fail a whole file
/// for one value (text that is not UTF-8), or change values in silence (8 and 16 bits that hold more, months of an
/// interval, values in a column that is said to have none).
pub(super) fn raw(node: &TypePtr) -> Result<TypePtr> {
    let info = node.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if node.is_primitive() {
        if !is_stripped(node) {
            return Ok(Arc::clone(node));
        }
        let builder = Type::primitive_type_builder(node.name(), node.get_physical_type())
            .with_repetition(info.repetition())
            .with_length(fixed_length(node))
            .with_id(id);
        return Ok(Arc::new(builder.build()?));
    }
    let fields = node.get_fields().iter().map(raw).collect::<Result<Vec<_>>>()?;
    let mut builder = Type::group_type_builder(node.name())
        .with_converted_type(info.converted_type())
        .with_logical_type(info.logical_type_ref().cloned())
        .with_fields(fields)
        .with_id(id);
    if info.has_repetition() {
        builder = builder.with_repetition(info.repetition());
    }
    Ok(Arc::new(builder.build()?))
}

fn is_stripped(column: &Type) -> bool {
    let info = column.get_basic_info();
    match (info.logical_type_ref(), info.converted_type()) {
        (Some(LogicalType::String | LogicalType::Json | LogicalType::Enum | LogicalType::Unknown), _) => true,
        (Some(LogicalType::Integer(int)), _) => int.bit_width < 32,
        (Some(_), _) => false,
        (None, ConvertedType::UTF8 | ConvertedType::JSON | ConvertedType::ENUM | ConvertedType::INTERVAL) => true,
        (None, ConvertedType::INT_8 | ConvertedType::INT_16 | ConvertedType::UINT_8 | ConvertedType::UINT_16) => true,
        _ => false,
    }
}

/// How Parquet calls a column's type, for people.
pub(super) fn parquet_name(column: &Type) -> String {
    let info = column.get_basic_info();
    let annotation = match (info.logical_type_ref(), info.converted_type()) {
        (Some(logical), _) => logical_name(logical),
        (None, ConvertedType::NONE) => String::new(),
        (None, ConvertedType::DECIMAL) if column.is_primitive() => {
            format!("DECIMAL({},{})", column.get_precision(), column.get_scale())
        }
        (None, converted) => converted.to_string(),
    };
    let base = if column.is_primitive() { column.get_physical_type().to_string() } else { "group".to_owned() };
    let base = match fixed_length(column) {
        length if length > 0 => format!("{base}({length})"),
        _ => base,
    };
    let optional = match info.has_repetition().then(|| info.repetition()) {
        Some(Repetition::REQUIRED) => "required ",
        Some(Repetition::REPEATED) => "repeated ",
        _ => "",
    };
    let space = if annotation.is_empty() { "" } else { " " };
    format!("{optional}{base}{space}{annotation}")
}

/// As the specification of Parquet writes it.
fn logical_name(logical: &LogicalType) -> String {
    let of_time = |name: &str, unit: &ParquetUnit, is_utc: bool| {
        let unit = match unit {
            ParquetUnit::MILLIS => "MILLIS",
            ParquetUnit::MICROS => "MICROS",
            ParquetUnit::NANOS => "NANOS",
        };
        format!("{name}({unit}{})", if is_utc { ",UTC" } else { "" })
    };
    let name = match logical {
        LogicalType::Decimal(decimal) => return format!("DECIMAL({},{})", decimal.precision, decimal.scale),
        LogicalType::Time(time) => return of_time("TIME", &time.unit, time.is_adjusted_to_u_t_c),
        LogicalType::Timestamp(time) => return of_time("TIMESTAMP", &time.unit, time.is_adjusted_to_u_t_c),
        LogicalType::Integer(int) => {
            return format!("INT({},{})", int.bit_width, if int.is_signed { "signed" } else { "unsigned" });
        }
        LogicalType::String => "STRING",
        LogicalType::Map => "MAP",
        LogicalType::List => "LIST",
        LogicalType::Enum => "ENUM",
        LogicalType::Date => "DATE",
        LogicalType::Unknown => "UNKNOWN",
        LogicalType::Json => "JSON",
        LogicalType::Bson => "BSON",
        LogicalType::Uuid => "UUID",
        LogicalType::Float16 => "FLOAT16",
        LogicalType::Variant(_) => "VARIANT",
        LogicalType::Geometry(_) => "GEOMETRY",
        LogicalType::Geography(_) => "GEOGRAPHY",
        LogicalType::File => "FILE",
        LogicalType::_Unknown { .. } => "of a kind that is not known here",
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use ::parquet::schema::parser::parse_message_type;

    use super::*;

    #[test]
    fn types_are_named_as_people_write_them() {
        for (column, wanted) in [
            ("required int32 a (DECIMAL(9,2))", "required INT32 DECIMAL(9,2)"),
            ("optional fixed_len_byte_array(16) a (UUID)", "FIXED_LEN_BYTE_ARRAY(16) UUID"),
            ("optional binary a (STRING)", "BYTE_ARRAY STRING"),
            ("optional int64 a (TIMESTAMP(MICROS,true))", "INT64 TIMESTAMP(MICROS,UTC)"),
            ("optional int64 a (TIMESTAMP(NANOS,false))", "INT64 TIMESTAMP(NANOS)"),
            ("optional int32 a (TIME(MILLIS,false))", "INT32 TIME(MILLIS)"),
            ("optional int32 a (INTEGER(8,false))", "INT32 INT(8,unsigned)"),
            ("optional int32 a (INTEGER(16,true))", "INT32 INT(16,signed)"),
            ("optional int32 a (DATE)", "INT32 DATE"),
            ("optional int96 a", "INT96"),
            ("optional group a (LIST) { repeated group list { optional int32 element; } }", "group LIST"),
        ] {
            let ending = if column.ends_with('}') { "" } else { ";" };
            let schema = parse_message_type(&format!("message m {{ {column}{ending} }}")).expect("parses");
            assert_eq!(parquet_name(&schema.get_fields()[0]), wanted);
        }
    }
}
