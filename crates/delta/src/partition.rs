//! Partition values: as the Delta protocol spells them, rows by their value, and a spelled value as a column again.
//!
//! A data file of a partitioned table holds rows of one value, which stands in the log and not in the file. NULL and
//! the empty text are told apart (`null` and `""` in the log); the protocol has readers take both for NULL, and some do.
//!
//! By the protocol the place of a file says nothing. Polars, though, takes the value from a directory `column=value`,
//! so that is where files are, with everything escaped that could mean something in a path.

use std::collections::HashMap;
use std::fmt::Write as _;

use arrow::array::{Array as _, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::row::{RowConverter, SortField};
use delta_kernel::expressions::Scalar;
use delta_kernel::partition::serialization::serialize_partition_value;
use delta_kernel::schema::{DataType as DeltaType, PrimitiveType};

use crate::error::one_line;

/// Rows of one partition value, by their index, ascending.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) value: Option<String>,
    pub(crate) rows: Vec<u32>,
}

/// Rows by their value in the partition column, in order of first appearance.
///
/// # Errors
/// A value that has no spelling: a time beyond the calendar.
pub(crate) fn split(values: &ArrayRef) -> Result<Vec<Group>, String> {
    let text = |error: arrow::error::ArrowError| error.to_string();
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())]).map_err(text)?;
    let keys = converter.convert_columns(std::slice::from_ref(values)).map_err(text)?;
    let mut known: HashMap<_, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (row, key) in keys.iter().enumerate() {
        let index = match known.get(&key) {
            Some(index) => *index,
            None => {
                let value = spell(values, row)?;
                // Values that differ may be spelled alike: a NaN has many forms.
                let index = groups.iter().position(|group| group.value == value).unwrap_or_else(|| {
                    groups.push(Group { value, rows: Vec::new() });
                    groups.len() - 1
                });
                known.insert(key, index);
                index
            }
        };
        groups[index].rows.push(row as u32);
    }
    Ok(groups)
}

/// One value as the protocol spells it; `None` for NULL.
fn spell(values: &ArrayRef, row: usize) -> Result<Option<String>, String> {
    if values.is_null(row) {
        return Ok(None);
    }
    if let DataType::Utf8 = values.data_type() {
        return Ok(Some(values.as_string::<i32>().value(row).to_owned()));
    }
    serialize_partition_value(&scalar(values, row)?).map_err(|error| one_line(&error))
}

fn scalar(values: &ArrayRef, row: usize) -> Result<Scalar, String> {
    fn at<T: ArrowPrimitiveType>(values: &ArrayRef, row: usize) -> T::Native {
        let values: &PrimitiveArray<T> = values.as_primitive();
        values.value(row)
    }
    Ok(match values.data_type() {
        DataType::Boolean => Scalar::Boolean(values.as_boolean().value(row)),
        DataType::Int8 => Scalar::Byte(at::<Int8Type>(values, row)),
        DataType::Int16 => Scalar::Short(at::<Int16Type>(values, row)),
        DataType::Int32 => Scalar::Integer(at::<Int32Type>(values, row)),
        DataType::Int64 => Scalar::Long(at::<Int64Type>(values, row)),
        DataType::Float32 => Scalar::Float(at::<Float32Type>(values, row)),
        DataType::Float64 => Scalar::Double(at::<Float64Type>(values, row)),
        DataType::Date32 => Scalar::Date(at::<Date32Type>(values, row)),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            Scalar::Timestamp(at::<TimestampMicrosecondType>(values, row))
        }
        DataType::Decimal128(precision, scale) => {
            let scale = u8::try_from(*scale).map_err(|_| "its scale is negative".to_owned())?;
            Scalar::decimal(at::<Decimal128Type>(values, row), *precision, scale).map_err(|error| one_line(&error))?
        }
        other => return Err(format!("Delta Lake cannot partition by {other}")),
    })
}

/// What the directory of NULL is called.
const NULL_DIRECTORY: &str = "__HIVE_DEFAULT_PARTITION__";
/// The longest name that file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// The directory of the files with this value, relative to the table. `None` for a value too long for a name: its files
/// are in the table's own directory, which is as good by the protocol.
pub(crate) fn directory(column: &str, value: Option<&str>) -> Option<String> {
    let value = match value {
        None => NULL_DIRECTORY.to_owned(),
        Some(NULL_DIRECTORY) => NULL_DIRECTORY.replacen('_', "%5F", 1),
        Some(value) => escaped(value, "-._"),
    };
    Some(format!("{column}={value}")).filter(|name| name.len() <= LONGEST_NAME)
}

/// A path relative to the table as the log spells it: as a URI. (So what is escaped in the path is escaped once more.)
pub(crate) fn log_path(path: &str) -> String {
    escaped(path, "-._=/")
}

fn escaped(text: &str, plain: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A column of one row with the value that is spelled so. `None`: the spelling is not one of this type.
pub(crate) fn one_row(spelled: Option<&str>, ty: &DeltaType) -> Option<ArrayRef> {
    let scalar = match (spelled, ty) {
        (None, _) => Scalar::Null(ty.clone()),
        (Some(text), DeltaType::Primitive(PrimitiveType::String)) => Scalar::String(text.to_owned()),
        (Some(text), DeltaType::Primitive(primitive)) => primitive.parse_scalar(text).ok()?,
        _ => return None,
    };
    scalar.to_array(1).ok()
}
