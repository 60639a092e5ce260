//! From the cells of one column to an Arrow array: one `match` on the type for the whole column, then a tight loop.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::array::{ArrayRef, BooleanBufferBuilder, NullBufferBuilder, PrimitiveArray, StringBuilder};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use connector_core::schema::Column;
use connector_core::types::ColumnType;

use crate::row_errors::ColumnErrors;
use crate::value::{cell_error, decimal, number, plain, time};

/// A column of values; a bad value has a placeholder in `values` and an entry in `errors`.
pub(crate) struct Built {
    pub(crate) values: ArrayRef,
    /// By index into `values`.
    pub(crate) errors: ColumnErrors,
}

/// How cells are judged.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// Int64, Float64 and Bool take only what inference takes for them.
    pub(crate) inferred: bool,
    /// How many errors say what is wrong.
    pub(crate) detailed: usize,
}

/// Builds the array of a column from its cells, with [`ColumnType::arrow`] as its type.
///
/// An empty cell is NULL in a nullable column, else the column's default, else `''` in a String, else an error.
pub(crate) fn build<'a>(column: &Column, rules: Rules, cells: impl ExactSizeIterator<Item = &'a [u8]>) -> Built {
    match column.ty {
        ColumnType::Int8 => primitive::<Int8Type>(column, rules, cells, number::int),
        ColumnType::Int16 => primitive::<Int16Type>(column, rules, cells, number::int),
        ColumnType::Int32 => primitive::<Int32Type>(column, rules, cells, number::int),
        ColumnType::Int64 if rules.inferred => primitive::<Int64Type>(column, rules, cells, plain::int64),
        ColumnType::Int64 => primitive::<Int64Type>(column, rules, cells, number::int64),
        ColumnType::UInt8 => {
            primitive::<Int16Type>(column, rules, cells, |cell| number::int::<u8>(cell).map(i16::from))
        }
        ColumnType::UInt16 => {
            primitive::<Int32Type>(column, rules, cells, |cell| number::int::<u16>(cell).map(i32::from))
        }
        ColumnType::UInt32 => {
            primitive::<Int64Type>(column, rules, cells, |cell| number::int::<u32>(cell).map(i64::from))
        }
        ColumnType::UInt64 => {
            primitive::<Decimal128Type>(column, rules, cells, |cell| number::uint64(cell).map(i128::from))
        }
        ColumnType::Float32 => primitive::<Float32Type>(column, rules, cells, number::float32),
        ColumnType::Float64 if rules.inferred => primitive::<Float64Type>(column, rules, cells, plain::float64),
        ColumnType::Float64 => primitive::<Float64Type>(column, rules, cells, number::float64),
        ColumnType::Bool => booleans(column, rules, cells),
        ColumnType::Date => primitive::<Date32Type>(column, rules, cells, time::date),
        ColumnType::DateTime => {
            primitive::<TimestampMicrosecondType>(column, rules, cells, |cell| time::timestamp(cell, 0))
        }
        ColumnType::DateTime64 { precision } => {
            primitive::<TimestampMicrosecondType>(column, rules, cells, |cell| time::timestamp(cell, precision))
        }
        ColumnType::Decimal { precision, scale } => {
            primitive::<Decimal128Type>(column, rules, cells, |cell| decimal::decimal(cell, precision, scale))
        }
        ColumnType::String => strings(column, rules, cells),
    }
}

/// What to do with a cell, by the rules for empty ones.
enum Cell<'a> {
    Null,
    Text(&'a [u8]),
    Missing,
}

fn cell_of<'a>(column: &'a Column, cell: &'a [u8]) -> Cell<'a> {
    if !cell.is_empty() {
        return Cell::Text(cell);
    }
    match &column.default {
        _ if column.nullable => Cell::Null,
        Some(default) => Cell::Text(default.as_bytes()),
        None if column.ty == ColumnType::String => Cell::Text(b""),
        None => Cell::Missing,
    }
}

/// Feeds each cell to `append`: a text to parse (which answers whether it is good), or `None` for NULL and for the
/// placeholder of a missing value.
fn each<'a>(
    column: &Column,
    rules: Rules,
    cells: impl Iterator<Item = &'a [u8]>,
    mut append: impl FnMut(Option<&[u8]>) -> bool,
) -> ColumnErrors {
    let mut errors = ColumnErrors::default();
    for (index, cell) in cells.enumerate() {
        let (good, text) = match cell_of(column, cell) {
            Cell::Text(text) => (append(Some(text)), text),
            Cell::Null => (append(None), cell),
            Cell::Missing => (!append(None), cell),
        };
        if good {
            continue;
        }
        if errors.detailed.len() < rules.detailed {
            errors.detailed.push((index, cell_error(text, column)));
        } else {
            errors.bare.push(index);
        }
    }
    errors
}

fn primitive<'a, T: ArrowPrimitiveType>(
    column: &Column,
    rules: Rules,
    cells: impl ExactSizeIterator<Item = &'a [u8]>,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
) -> Built {
    let mut values = Vec::with_capacity(cells.len());
    let mut nulls = NullBufferBuilder::new(cells.len());
    let errors = each(column, rules, cells, |text| {
        let value = text.and_then(&parse);
        nulls.append(value.is_some());
        values.push(value.unwrap_or_default());
        value.is_some() || text.is_none()
    });
    let data_type = column.ty.arrow();
    let array = PrimitiveArray::<T>::new(values.into(), nulls.finish());
    let array: ArrayRef = match data_type {
        // The values are checked against the precision when they are parsed.
        DataType::Decimal128(..) | DataType::Timestamp(..) => Arc::new(array.with_data_type(data_type)),
        _ => Arc::new(array),
    };
    Built { values: array, errors }
}

fn booleans<'a>(column: &Column, rules: Rules, cells: impl ExactSizeIterator<Item = &'a [u8]>) -> Built {
    let mut values = BooleanBufferBuilder::new(cells.len());
    let mut nulls = NullBufferBuilder::new(cells.len());
    let errors = each(column, rules, cells, |text| {
        let value = text.and_then(if rules.inferred { plain::boolean } else { number::boolean });
        nulls.append(value.is_some());
        values.append(value.unwrap_or_default());
        value.is_some() || text.is_none()
    });
    Built { values: Arc::new(BooleanArray::new(values.finish(), nulls.finish())), errors }
}

fn strings<'a>(column: &Column, rules: Rules, cells: impl ExactSizeIterator<Item = &'a [u8]>) -> Built {
    let mut values = StringBuilder::with_capacity(cells.len(), cells.len() * 8);
    let errors = each(column, rules, cells, |text| {
        let value = text.map(std::str::from_utf8);
        match value {
            Some(Ok(value)) => values.append_value(value),
            Some(Err(_)) | None => values.append_null(),
        }
        !matches!(value, Some(Err(_)))
    });
    let array = values.finish();
    debug_assert_eq!(array.data_type(), &DataType::Utf8);
    Built { values: Arc::new(array), errors }
}
