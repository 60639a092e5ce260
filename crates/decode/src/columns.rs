//! From the cells of one column to an Arrow array: one `match` on the type for the whole column, then a tight loop.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray};
use arrow::array::{ArrayRef, BooleanBufferBuilder, NullBufferBuilder, PrimitiveArray, StringBuilder};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use connector_core::block::CellError;
use connector_core::schema::Column;
use connector_core::types::ColumnType;

use crate::value::{cell_error, decimal, number, time};

/// A column of values; a bad value has a placeholder in `values` and an entry in `errors`.
pub(crate) struct Built {
    pub(crate) values: ArrayRef,
    /// By ascending index into `values`.
    pub(crate) errors: Vec<(usize, CellError)>,
}

/// Builds the array of a column from its cells, with [`ColumnType::arrow`] as its type.
///
/// An empty cell is NULL in a nullable column, else the column's default, else `''` in a String, else an error.
pub(crate) fn build<'a>(column: &Column, cells: impl ExactSizeIterator<Item = &'a [u8]>) -> Built {
    match column.ty {
        ColumnType::Int8 => primitive::<Int8Type>(column, cells, number::int),
        ColumnType::Int16 => primitive::<Int16Type>(column, cells, number::int),
        ColumnType::Int32 => primitive::<Int32Type>(column, cells, number::int),
        ColumnType::Int64 => primitive::<Int64Type>(column, cells, number::int64),
        ColumnType::UInt8 => primitive::<Int16Type>(column, cells, |cell| number::int::<u8>(cell).map(i16::from)),
        ColumnType::UInt16 => primitive::<Int32Type>(column, cells, |cell| number::int::<u16>(cell).map(i32::from)),
        ColumnType::UInt32 => primitive::<Int64Type>(column, cells, |cell| number::int::<u32>(cell).map(i64::from)),
        ColumnType::UInt64 => primitive::<Decimal128Type>(column, cells, |cell| number::uint64(cell).map(i128::from)),
        ColumnType::Float32 => primitive::<Float32Type>(column, cells, number::float32),
        ColumnType::Float64 => primitive::<Float64Type>(column, cells, number::float64),
        ColumnType::Bool => booleans(column, cells),
        ColumnType::Date => primitive::<Date32Type>(column, cells, time::date),
        ColumnType::DateTime => primitive::<TimestampMicrosecondType>(column, cells, |cell| time::timestamp(cell, 0)),
        ColumnType::DateTime64 { precision } => {
            primitive::<TimestampMicrosecondType>(column, cells, |cell| time::timestamp(cell, precision))
        }
        ColumnType::Decimal { precision, scale } => {
            primitive::<Decimal128Type>(column, cells, |cell| decimal::decimal(cell, precision, scale))
        }
        ColumnType::String => strings(column, cells),
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
    cells: impl Iterator<Item = &'a [u8]>,
    mut append: impl FnMut(Option<&[u8]>) -> bool,
) -> Vec<(usize, CellError)> {
    let mut errors = Vec::new();
    for (index, cell) in cells.enumerate() {
        let (good, text) = match cell_of(column, cell) {
            Cell::Text(text) => (append(Some(text)), text),
            Cell::Null => (append(None), cell),
            Cell::Missing => (!append(None), cell),
        };
        if !good {
            errors.push((index, cell_error(text, column)));
        }
    }
    errors
}

fn primitive<'a, T: ArrowPrimitiveType>(
    column: &Column,
    cells: impl ExactSizeIterator<Item = &'a [u8]>,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
) -> Built {
    let mut values = Vec::with_capacity(cells.len());
    let mut nulls = NullBufferBuilder::new(cells.len());
    let errors = each(column, cells, |text| {
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

fn booleans<'a>(column: &Column, cells: impl ExactSizeIterator<Item = &'a [u8]>) -> Built {
    let mut values = BooleanBufferBuilder::new(cells.len());
    let mut nulls = NullBufferBuilder::new(cells.len());
    let errors = each(column, cells, |text| {
        let value = text.and_then(number::boolean);
        nulls.append(value.is_some());
        values.append(value.unwrap_or_default());
        value.is_some() || text.is_none()
    });
    Built { values: Arc::new(BooleanArray::new(values.finish(), nulls.finish())), errors }
}

fn strings<'a>(column: &Column, cells: impl ExactSizeIterator<Item = &'a [u8]>) -> Built {
    let mut values = StringBuilder::with_capacity(cells.len(), cells.len() * 8);
    let errors = each(column, cells, |text| {
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
