//! From the values of a file column to those of a table column: exactly, or the row is bad.
//!
//! [`plan`] decides on the types alone and agrees with [`connector_core::compat::accepts`]; [`convert`] judges values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, Date32Array, Decimal128Array, ListArray, PrimitiveArray, Scalar,
    StringArray, StringBuilder, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{CastOptions, cast_with_options, is_not_null, nullif};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, Int32Type};
use arrow::error::ArrowError;
use connector_core::compat;
use connector_core::schema::{Column, Origin};
use connector_core::spelling;
use connector_core::types::{ColumnType, DECIMAL_DIGITS};

use super::pieces::ParquetPiece;
use super::spell;
use super::tree::{Leaf, Node};
use super::values::Values;
use crate::columns::{self, Built, Cell};
use crate::value::structure;

/// How the values of one file column become those of one table column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conversion {
    /// A column that holds nothing but NULL.
    Nothing,
    /// The Arrow cast to the column's type keeps every value.
    Cast,
    /// Integers that were read in 32 bits and have to be between these.
    Narrow {
        least: i32,
        most: i32,
    },
    /// Days, or milliseconds that have to be whole days, of years that readers of tables take.
    Days,
    /// A timestamp that has to be whole in units of the column's precision, of years that readers of tables take.
    Timestamp {
        precision: u8,
    },
    /// Digits that are counted, because a file may hold more than it says.
    Decimal {
        precision: u8,
        scale: i8,
    },
    /// Through the text of each value, by the rules of the column's type.
    Text,
    /// Part by part, each by the rules of its type.
    Structure,
    List(Box<Conversion>),
}

const DAY_MILLIS: i128 = 86_400_000;

/// Whether, and how, values of this type go into a column of that type.
pub(super) fn plan(stated: &DataType, wanted: &ColumnType) -> Option<Conversion> {
    use ColumnType as T;
    use DataType as D;
    if !compat::accepts(stated, wanted) {
        return None;
    }
    Some(match (stated, wanted) {
        (D::Null, _) => Conversion::Nothing,
        (D::Dictionary(_, values), _) => return plan(values, wanted),
        (found, wanted) if wanted.is_structured() && found.is_nested() => Conversion::Structure,
        (D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _), T::Array { element, .. }) => {
            Conversion::List(Box::new(plan(item.data_type(), element)?))
        }
        (D::Date32 | D::Date64, T::Date) => Conversion::Days,
        (D::Timestamp(..), T::DateTime) => Conversion::Timestamp { precision: 0 },
        (D::Timestamp(..), T::DateTime64 { precision }) => Conversion::Timestamp { precision: *precision },
        (D::Decimal128(..) | D::Decimal256(..), T::Decimal { precision, scale }) if *precision <= DECIMAL_DIGITS => {
            Conversion::Decimal { precision: *precision, scale: *scale }
        }
        (_, wanted) if wanted.arrow() == D::Utf8 => Conversion::Text,
        (D::Int8, _) => Conversion::Narrow { least: i8::MIN.into(), most: i8::MAX.into() },
        (D::Int16, _) => Conversion::Narrow { least: i16::MIN.into(), most: i16::MAX.into() },
        (D::UInt8, _) => Conversion::Narrow { least: 0, most: u8::MAX.into() },
        (D::UInt16, _) => Conversion::Narrow { least: 0, most: u16::MAX.into() },
        (D::Int32 | D::Int64 | D::UInt32 | D::UInt64, _) => Conversion::Cast,
        (D::Boolean, T::Bool) => Conversion::Cast,
        (D::Float16 | D::Float32 | D::Float64, T::Float32 | T::Float64) => Conversion::Cast,
        _ => return None,
    })
}

/// Values with [`ColumnType::arrow`] as their type, and the rows that are bad; those are NULL.
struct Exact {
    values: ArrayRef,
    errors: Vec<u32>,
}

/// Converts the values and applies the rules for NULL: in a column that is not nullable it becomes the default, else
/// `''` in a String, else its row is bad. (`[]` and `{}` are not put in place of a list or
/// map that is NULL: say so by a default.)
///
/// # Errors
/// Only what the Arrow kernels fail with, which is a broken file or a bug.
pub(super) fn convert(values: &Values<'_>, column: &Column, conversion: &Conversion) -> Result<Built, ArrowError> {
    let exact = exact(values, column, conversion)?;
    apply_null_rules(exact, column)
}

fn exact(values: &Values<'_>, column: &Column, conversion: &Conversion) -> Result<Exact, ArrowError> {
    if let DataType::Dictionary(_, inner) = values.array.data_type() {
        let plain = cast_with_options(values.array, inner, &CastOptions::default())?;
        let node = Node { stated: inner.as_ref().clone(), ..values.node.clone() };
        return exact(&Values { node: &node, array: &plain, seconds: None }, column, conversion);
    }
    match conversion {
        Conversion::Nothing => Ok(nothing(values, column)),
        Conversion::Cast => Ok(Exact { values: cast(values.array, &column.ty)?, errors: Vec::new() }),
        Conversion::Narrow { least, most } => narrow(values, &column.ty, *least..=*most),
        Conversion::Days => {
            let array: Date32Array = judged(values, |row| spelling::readable_days(day(values, row)?));
            Ok(noting_lost(values, Arc::new(array)))
        }
        Conversion::Timestamp { precision } => {
            let step = 10i64.pow(6 - u32::from((*precision).min(6)));
            let whole = |row| values.micros(row).filter(|m| m % step == 0).and_then(spelling::readable_micros);
            let array: TimestampMicrosecondArray = judged(values, whole);
            Ok(noting_lost(values, Arc::new(array.with_data_type(column.ty.arrow()))))
        }
        Conversion::Decimal { precision, scale } => {
            let array: Decimal128Array = judged(values, |row| decimal(values, row, *precision, *scale));
            Ok(noting_lost(values, Arc::new(array.with_data_type(column.ty.arrow()))))
        }
        Conversion::Text => text(values, column),
        Conversion::Structure => Ok(structure(values, column)),
        Conversion::List(element) => list(values, column, element),
    }
}

fn cast(array: &ArrayRef, wanted: &ColumnType) -> Result<ArrayRef, ArrowError> {
    let wanted = wanted.arrow();
    if *array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    cast_with_options(array, &wanted, &CastOptions { safe: false, ..CastOptions::default() })
}

/// A column that is said to hold nothing: a value all the same is a bad one.
fn nothing(values: &Values<'_>, column: &Column) -> Exact {
    let errors = rows(values).filter(|row| !values.is_null(*row as usize)).collect();
    Exact { values: new_null_array(&column.ty.arrow(), values.len()), errors }
}

fn narrow(values: &Values<'_>, wanted: &ColumnType, range: std::ops::RangeInclusive<i32>) -> Result<Exact, ArrowError> {
    let Some(read) = values.array.as_primitive_opt::<Int32Type>() else {
        return Ok(Exact { values: cast(values.array, wanted)?, errors: Vec::new() });
    };
    let inside: ArrayRef = Arc::new(read.unary_opt::<_, Int32Type>(|value| range.contains(&value).then_some(value)));
    Ok(noting_lost(values, cast(&inside, wanted)?))
}

/// The values that `value` gives for the rows that have one.
fn judged<T: arrow::datatypes::ArrowPrimitiveType>(
    values: &Values<'_>,
    value: impl Fn(usize) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    (0..values.len()).map(|row| if values.is_null(row) { None } else { value(row) }).collect()
}

/// A date as days, or as milliseconds of a whole day.
fn day(values: &Values<'_>, row: usize) -> Option<i32> {
    let number = values.number(row)?;
    let days = match values.node.stated {
        DataType::Date32 => number,
        _ => (number.rem_euclid(DAY_MILLIS) == 0).then_some(number / DAY_MILLIS)?,
    };
    i32::try_from(days).ok()
}

/// The digits in units of `scale`, if there are no more of them than `precision`.
fn decimal(values: &Values<'_>, row: usize, precision: u8, scale: i8) -> Option<i128> {
    let (digits, found) = match values.array.data_type() {
        DataType::Decimal128(_, found) => (values.array.as_primitive::<Decimal128Type>().value(row), *found),
        DataType::Decimal256(_, found) => (values.array.as_primitive::<Decimal256Type>().value(row).to_i128()?, *found),
        _ => return None,
    };
    let finer = u32::try_from(scale.checked_sub(found)?).ok()?;
    let digits = digits.checked_mul(10i128.checked_pow(finer)?)?;
    let limit = 10u128.checked_pow(u32::from(precision))?;
    (digits.unsigned_abs() < limit).then_some(digits)
}

fn rows(values: &Values<'_>) -> impl Iterator<Item = u32> {
    0..values.len() as u32
}

/// The rows that had a value before and have none any more are bad.
fn noting_lost(values: &Values<'_>, after: ArrayRef) -> Exact {
    if values.array.null_count() == after.null_count() {
        return Exact { values: after, errors: Vec::new() };
    }
    let lost = |row: &u32| !values.is_null(*row as usize) && after.is_null(*row as usize);
    let errors = rows(values).filter(lost).collect();
    Exact { values: after, errors }
}

/// Through the text of each value. A text that says less than the value is bad.
fn text(values: &Values<'_>, column: &Column) -> Result<Exact, ArrowError> {
    let as_it_is = column.ty == ColumnType::String && values.node.leaf == Leaf::Plain;
    if let Some(whole) = as_it_is.then(|| whole_text(values.array)).flatten() {
        return Ok(Exact { values: Arc::new(whole), errors: Vec::new() });
    }
    // Sixteen bytes are a UUID where the table wants one, though the file does not say so.
    let raw_uuid = column.ty == ColumnType::Uuid && values.node.stated == DataType::FixedSizeBinary(16);
    let node = Node { leaf: if raw_uuid { Leaf::Uuid } else { values.node.leaf }, ..values.node.clone() };
    let values = &Values { node: &node, ..*values };
    let takes_empty = match &column.ty {
        ColumnType::Enum(labels) => labels.contains(""),
        other => matches!(other, ColumnType::String | ColumnType::FixedString(_)),
    };
    let (mut all, mut ends, mut bad) = (String::new(), Vec::with_capacity(values.len()), Vec::new());
    for row in 0..values.len() {
        let start = all.len();
        if values.is_null(row) {
            ends.push((start, start, false));
            continue;
        }
        let good = spell::write(values, row, &mut all) && (takes_empty || all.len() > start);
        if !good {
            all.truncate(start);
            bad.push(row as u32);
        }
        ends.push((start, all.len(), good));
    }
    let cell = |(start, end, present): &(usize, usize, bool)| {
        if *present { Cell::Text(&all.as_bytes()[*start..*end]) } else { Cell::Absent }
    };
    // What the file has is no spelling of somebody's: it is judged as declared columns are. NULL comes later.
    let judged = Column { nullable: true, default: None, origin: Origin::Declared, ..column.clone() };
    let built = columns::build(&judged, ends.iter().map(cell));
    bad.extend(built.errors);
    bad.sort_unstable();
    Ok(Exact { values: null_where_bad(built.values, &bad)?, errors: bad })
}

/// The texts of values with parts. One that is no value of the column's type is bad.
fn structure(values: &Values<'_>, column: &Column) -> Exact {
    let (mut texts, mut text, mut errors) = (StringBuilder::new(), String::new(), Vec::new());
    for row in 0..values.len() {
        text.clear();
        let piece = ParquetPiece { values: *values, row };
        if values.is_null(row) {
            texts.append_null();
        } else if structure::write(&piece, &column.ty, false, false, &mut text).is_ok() && has_room(&texts, &text) {
            texts.append_value(&text);
        } else {
            texts.append_null();
            errors.push(row as u32);
        }
    }
    Exact { values: Arc::new(texts.finish()), errors }
}

/// Offsets of texts have 31 bits.
fn has_room(texts: &StringBuilder, text: &str) -> bool {
    text.len() <= columns::MAX_TEXT - texts.values_slice().len()
}

/// Texts and bytes as they are, if all of them are UTF-8.
fn whole_text(array: &ArrayRef) -> Option<StringArray> {
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().clone()),
        DataType::Binary => {
            let (offsets, bytes, nulls) = array.as_binary::<i32>().clone().into_parts();
            StringArray::try_new(offsets, bytes, nulls).ok()
        }
        _ => None,
    }
}

/// The elements of all rows are one column, and its errors belong to the rows that hold them.
fn list(values: &Values<'_>, column: &Column, conversion: &Conversion) -> Result<Exact, ArrowError> {
    let ColumnType::Array { element, nullable } = &column.ty else {
        return Err(ArrowError::SchemaError(format!("column '{}' is no array", column.name)));
    };
    let elements = values.elements().ok_or_else(|| ArrowError::SchemaError("a list has no elements".to_owned()))?;
    // NULL in an element is judged below: no default stands for it.
    let inner = Column { ty: element.as_ref().clone(), nullable: true, default: None, ..column.clone() };
    let Exact { values: inside, errors: mut bad } = exact(&elements, &inner, conversion)?;
    if !nullable {
        bad.extend(rows(&elements).filter(|index| elements.is_null(*index as usize)));
        bad.sort_unstable();
        bad.dedup();
    }
    let mut ends = vec![0i32];
    let mut errors = Vec::new();
    let ranges: Vec<_> = (0..values.len()).map(|row| values.range(row)).collect();
    let first = ranges.first().map_or(0, |range| range.start);
    for (row, range) in ranges.iter().enumerate() {
        let start = bad.partition_point(|index| (*index as usize) < range.start);
        if !values.is_null(row) && bad.get(start).is_some_and(|index| (*index as usize) < range.end) {
            errors.push(row as u32);
        }
        let end = range.end.checked_sub(first).and_then(|end| i32::try_from(end).ok());
        ends.push(end.ok_or_else(|| ArrowError::OffsetOverflowError(range.end))?);
    }
    let last = ranges.last().map_or(first, |range| range.end);
    if ends.windows(2).any(|pair| pair[0] > pair[1]) || last > inside.len() {
        return Err(ArrowError::InvalidArgumentError("the lists of a column overlap".to_owned()));
    }
    let field = Arc::new(Field::new("element", inside.data_type().clone(), true));
    let inside = inside.slice(first, last - first);
    let lists = ListArray::try_new(field, OffsetBuffer::new(ends.into()), inside, values.array.nulls().cloned())?;
    Ok(Exact { values: null_where_bad(Arc::new(lists), &errors)?, errors })
}

/// Makes sure that nobody takes what stands in a bad row for a value.
fn null_where_bad(values: ArrayRef, bad: &[u32]) -> Result<ArrayRef, ArrowError> {
    if bad.is_empty() {
        return Ok(values);
    }
    let mut mask = BooleanBufferBuilder::new(values.len());
    mask.append_n(values.len(), false);
    bad.iter().for_each(|row| mask.set_bit(*row as usize, true));
    let mask = mask.finish();
    if let Some(list) = values.as_list_opt::<i32>() {
        let good = NullBuffer::union(values.nulls(), Some(&NullBuffer::new(!&mask)));
        let (field, offsets, inside, _) = list.clone().into_parts();
        return Ok(Arc::new(ListArray::try_new(field, offsets, inside, good)?));
    }
    nullif(&values, &arrow::array::BooleanArray::new(mask, None))
}

fn apply_null_rules(exact: Exact, column: &Column) -> Result<Built, ArrowError> {
    let Exact { values, mut errors } = exact;
    if column.nullable || values.null_count() == 0 {
        return Ok(Built { values, errors, defaulted: Vec::new() });
    }
    // NULL is another value than `[]` or `{}`.
    let has_parts = !column.ty.takes_null();
    let empty = |row: &u32| values.is_null(*row as usize) && errors.binary_search(row).is_err();
    let empty: Vec<u32> = (0..values.len() as u32).filter(empty).collect();
    let default = columns::build(column, [Cell::Absent].into_iter());
    if !default.errors.is_empty() || (has_parts && column.default.is_none()) {
        errors.extend(empty);
        errors.sort_unstable();
        return Ok(Built { values, errors, defaulted: Vec::new() });
    }
    let defaulted = if default.defaulted.is_empty() { Vec::new() } else { empty };
    // Rows with errors get the default as well; they are set apart before anyone sees it.
    let present = is_not_null(&values)?;
    let values = zip(&present, &values, &Scalar::new(default.values))?;
    Ok(Built { values, errors, defaulted })
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
