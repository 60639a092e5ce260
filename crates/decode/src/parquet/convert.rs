//! Which column of a file fits which column of the table, and the conversion: lossless or not at all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Scalar, StringBuilder, TimestampMicrosecondArray, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{CastOptions, cast_with_options, is_not_null};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Field, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use connector_core::block::CellError;
use connector_core::schema::Column;
use connector_core::types::ColumnType;

use crate::columns::{self, Built, Rules};
use crate::error::DecodeError;
use crate::row_errors::ColumnErrors;
use crate::value::cell_error;

/// How the values of one file column become those of one table column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    /// The Arrow cast to the column's type keeps every value.
    Cast,
    /// Bytes that have to be UTF-8, value by value.
    Text,
    /// A timestamp that has to be whole in units of the column's precision, value by value.
    Timestamp { precision: u8 },
    /// Milliseconds that have to be whole days, value by value.
    Days,
    /// A column that holds nothing but NULL.
    Nothing,
}

const MILLIS_PER_DAY: i64 = 86_400_000;

/// The column type that keeps every value of a file column (of nanoseconds: those that are whole microseconds).
pub(super) fn column_type(field: &Field) -> Result<ColumnType, DecodeError> {
    Ok(match field.data_type() {
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
        DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _) => ColumnType::DateTime64 { precision: 6 },
        DataType::Decimal128(precision, scale) if (0..=*precision as i8).contains(scale) => {
            ColumnType::Decimal { precision: *precision, scale: *scale }
        }
        DataType::Utf8 | DataType::Binary | DataType::Null => ColumnType::String,
        other => return Err(unsupported(field.name(), other)),
    })
}

fn unsupported(column: &str, found: &DataType) -> DecodeError {
    let found = if found.is_nested() { format!("nested ({found})") } else { found.to_string() };
    DecodeError::UnsupportedType { column: column.to_owned(), found: found.chars().take(200).collect() }
}

/// Decides on the types alone whether, and how, a file column goes into a table column.
pub(super) fn plan(field: &Field, column: &Column) -> Result<Conversion, DecodeError> {
    use ColumnType as T;
    use DataType as D;
    // Whether a type is supported at all comes first: the remedy is another one.
    column_type(field)?;
    let found = field.data_type();
    let fits = match (found, column.ty) {
        (D::Null, _) => return Ok(Conversion::Nothing),
        (D::Utf8, T::String) => true,
        (D::Binary, T::String) => return Ok(Conversion::Text),
        (D::Boolean, T::Bool) | (D::Date32, T::Date) => true,
        (D::Date64, T::Date) => return Ok(Conversion::Days),
        (D::Timestamp(..), T::DateTime) => return Ok(Conversion::Timestamp { precision: 0 }),
        (D::Timestamp(..), T::DateTime64 { precision }) => return Ok(Conversion::Timestamp { precision }),
        (D::Float16 | D::Float32, T::Float32 | T::Float64) | (D::Float64, T::Float64) => true,
        (D::Decimal128(precision, scale), T::Decimal { precision: wide, scale: fine }) => {
            fine >= *scale && i16::from(wide) - i16::from(fine) >= i16::from(*precision) - i16::from(*scale)
        }
        (_, wanted) => integer_bits(found).is_some_and(|(signed, bits)| integer_fits(signed, bits, wanted)),
    };
    if fits {
        return Ok(Conversion::Cast);
    }
    let (column, wanted) = (field.name().clone(), column.ty.to_string());
    Err(DecodeError::IncompatibleType { column, found: found.to_string(), wanted })
}

/// Whether an integer type is signed, and its bits without the sign.
fn integer_bits(found: &DataType) -> Option<(bool, u32)> {
    Some(match found {
        DataType::Int8 => (true, 7),
        DataType::Int16 => (true, 15),
        DataType::Int32 => (true, 31),
        DataType::Int64 => (true, 63),
        DataType::UInt8 => (false, 8),
        DataType::UInt16 => (false, 16),
        DataType::UInt32 => (false, 32),
        DataType::UInt64 => (false, 64),
        _ => return None,
    })
}

fn integer_fits(signed: bool, bits: u32, wanted: ColumnType) -> bool {
    let (wanted_signed, wanted_bits) = match wanted {
        ColumnType::Int8 => (true, 7),
        ColumnType::Int16 => (true, 15),
        ColumnType::Int32 => (true, 31),
        ColumnType::Int64 => (true, 63),
        ColumnType::UInt8 => (false, 8),
        ColumnType::UInt16 => (false, 16),
        ColumnType::UInt32 => (false, 32),
        ColumnType::UInt64 => (false, 64),
        // A float holds every integer of as many bits as its mantissa has.
        ColumnType::Float32 => (true, 24),
        ColumnType::Float64 => (true, 53),
        ColumnType::Decimal { precision, scale } => {
            let digits = u32::from(precision).saturating_sub(scale.unsigned_abs().into());
            (true, 10u128.checked_pow(digits).map_or(0, u128::ilog2))
        }
        _ => return false,
    };
    bits <= wanted_bits && (wanted_signed || !signed)
}

/// Converts the values and applies the rules for NULL: in a column that is not nullable it becomes the default, else
/// `''` in a String, else its row is bad.
///
/// # Errors
/// Only what the Arrow kernels fail with, which is a broken file or a bug.
pub(super) fn convert(
    values: &ArrayRef,
    column: &Column,
    conversion: Conversion,
) -> Result<Built, arrow::error::ArrowError> {
    let built = match conversion {
        Conversion::Cast => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            Built { values: cast_with_options(values, &column.ty.arrow(), &options)?, errors: ColumnErrors::default() }
        }
        Conversion::Text => text(values, column),
        Conversion::Timestamp { precision } => timestamps(values, column, precision),
        Conversion::Days => days(values, column),
        Conversion::Nothing => {
            Built { values: new_null_array(&column.ty.arrow(), values.len()), errors: ColumnErrors::default() }
        }
    };
    apply_null_rules(built, column)
}

/// The second half of [`convert`], for values that were converted elsewhere.
pub(super) fn apply_null_rules(built: Built, column: &Column) -> Result<Built, arrow::error::ArrowError> {
    if column.nullable || built.values.null_count() == 0 {
        return Ok(built);
    }
    let rules = Rules { inferred: false, detailed: 1 };
    let default = columns::build(column, rules, [&b""[..]].into_iter());
    if default.errors.detailed.is_empty() {
        // Rows with errors get the default as well; they are set apart before anyone sees it.
        let present = is_not_null(&built.values)?;
        let values = zip(&present, &built.values, &Scalar::new(default.values))?;
        return Ok(Built { values, errors: built.errors });
    }
    let mut errors = built.errors.detailed;
    let known: Vec<usize> = errors.iter().map(|(row, _)| *row).collect();
    let message = match &column.default {
        Some(_) => default.errors.detailed.into_iter().next().map(|(_, error)| error.message).unwrap_or_default(),
        None => format!("value NULL on column '{}' is not {}", column.name, column.ty),
    };
    let nulls = (0..built.values.len()).filter(|row| built.values.is_null(*row) && known.binary_search(row).is_err());
    let more: Vec<_> =
        nulls.map(|row| (row, CellError { column: column.name.clone(), message: message.clone() })).collect();
    errors.extend(more);
    errors.sort_by_key(|(row, _)| *row);
    Ok(Built { values: built.values, errors: detailed(errors) })
}

fn text(values: &ArrayRef, column: &Column) -> Built {
    let bytes = values.as_binary::<i32>();
    let mut out = StringBuilder::with_capacity(bytes.len(), bytes.value_data().len());
    let mut errors = Vec::new();
    for (row, value) in bytes.iter().enumerate() {
        match value.map(|value| (value, std::str::from_utf8(value))) {
            Some((_, Ok(text))) => out.append_value(text),
            Some((value, Err(_))) => {
                errors.push((row, cell_error(value, column)));
                out.append_null();
            }
            None => out.append_null(),
        }
    }
    Built { values: Arc::new(out.finish()), errors: detailed(errors) }
}

fn days(values: &ArrayRef, column: &Column) -> Built {
    let millis = values.as_primitive::<Date64Type>();
    let whole = |value: i64| {
        let day = i32::try_from(value.div_euclid(MILLIS_PER_DAY)).ok();
        day.filter(|_| value.rem_euclid(MILLIS_PER_DAY) == 0)
    };
    let out = millis.unary_opt::<_, Date32Type>(whole);
    let errors = detailed(lost(values, &out, column));
    Built { values: Arc::new(out), errors }
}

fn timestamps(values: &ArrayRef, column: &Column, precision: u8) -> Built {
    let step = 10i64.pow(6 - u32::from(precision.min(6)));
    let exact = move |micros: Option<i64>| micros.filter(|micros| micros % step == 0);
    let out: TimestampMicrosecondArray = match values.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            values.as_primitive::<TimestampSecondType>().unary_opt(|value| exact(value.checked_mul(1_000_000)))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            values.as_primitive::<TimestampMillisecondType>().unary_opt(|value| exact(value.checked_mul(1_000)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            values.as_primitive::<TimestampMicrosecondType>().unary_opt(|value| exact(Some(value)))
        }
        _ => values
            .as_primitive::<TimestampNanosecondType>()
            .unary_opt(|value| exact((value % 1_000 == 0).then_some(value / 1_000))),
    };
    let errors = detailed(lost(values, &out, column));
    Built { values: Arc::new(out.with_data_type(column.ty.arrow())), errors }
}

/// Errors that all say what is wrong: a batch has few rows.
pub(super) fn detailed(errors: Vec<(usize, CellError)>) -> ColumnErrors {
    ColumnErrors { detailed: errors, bare: Vec::new() }
}

/// The errors of values that were there before and are not any more.
fn lost(before: &ArrayRef, after: &dyn Array, column: &Column) -> Vec<(usize, CellError)> {
    if before.null_count() == after.null_count() {
        return Vec::new();
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(before, &options).ok();
    let value = |row| match &formatter {
        Some(formatter) => formatter.value(row).try_to_string().unwrap_or_else(|_| raw_number(before, row)),
        None => raw_number(before, row),
    };
    let rows = (0..before.len()).filter(|row| before.is_valid(*row) && after.is_null(*row));
    rows.map(|row| (row, cell_error(value(row).as_bytes(), column))).collect()
}

/// A value that is no date that anyone could print: as the number that it is.
fn raw_number(values: &ArrayRef, row: usize) -> String {
    let numbers = arrow::compute::cast(values, &DataType::Int64).ok();
    let number = numbers.as_ref().map(|numbers| numbers.as_primitive::<Int64Type>().value(row));
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}
