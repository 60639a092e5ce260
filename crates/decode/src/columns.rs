//! From the cells of one column to an Arrow array: one `match` on the type for the whole column, then a tight loop.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, ListArray, NullBufferBuilder, PrimitiveArray, StringBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType,
};
use connector_core::schema::{Column, ColumnDefault};
use connector_core::types::{ColumnType, DECIMAL_DIGITS, EnumType};

use crate::value::list::Elements;
use crate::value::{decimal, number, plain, structure, text, time, wide};

/// The text of one value in a file, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell<'a> {
    /// No value: an unquoted empty cell, a null spelling, JSON `null`, a key that is not there.
    Absent,
    /// A text; an empty one was quoted.
    Text(&'a [u8]),
}

/// A column of values, one for each cell. Behind a bad row, or one that needs the default expression, is a placeholder.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) values: ArrayRef,
    /// Rows whose value is not of the column's type, ascending.
    pub(crate) errors: Vec<u32>,
    /// Rows that need the column's default expression, ascending.
    pub(crate) defaulted: Vec<u32>,
}

/// Builds the array of a column from its cells, with [`ColumnType::arrow`] as its type.
///
/// An absent value is NULL in a nullable column, else the column's default, else `''` in a String, `[]` in an Array and `{}` in
/// a Map, else an error. An empty text counts as absent where it cannot be a value: in every type but String, FixedString,
/// JSON and an Enum with the label `''`. A strict column takes only what inference takes for numbers and booleans.
pub(crate) fn build<'a>(column: &Column, cells: impl ExactSizeIterator<Item = Cell<'a>>) -> Built {
    values(&column.ty, Rules::of(column), cells)
}

/// What an absent value becomes in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnAbsent<'c> {
    Null,
    Text(&'c [u8]),
    Expression,
    Error,
}

impl<'c> OnAbsent<'c> {
    pub(crate) fn of(column: &'c Column) -> Self {
        match (&column.default, &column.ty) {
            _ if column.nullable => Self::Null,
            (Some(ColumnDefault::Literal(text)), _) => Self::Text(text.as_bytes()),
            (Some(ColumnDefault::Expression(_)), _) => Self::Expression,
            (None, ColumnType::String) => Self::Text(b""),
            // Arrays and maps are never NULL: one without a value is empty.
            (None, ColumnType::Array { .. }) => Self::Text(b"[]"),
            (None, ColumnType::Map { .. }) => Self::Text(b"{}"),
            (None, _) => Self::Error,
        }
    }
}

/// How cells are judged.
#[derive(Clone, Copy, Debug)]
struct Rules<'c> {
    strict: bool,
    absent: OnAbsent<'c>,
    empty_is_absent: bool,
}

impl<'c> Rules<'c> {
    fn of(column: &'c Column) -> Self {
        Self {
            strict: column.is_strict(),
            absent: OnAbsent::of(column),
            empty_is_absent: !takes_empty_text(&column.ty),
        }
    }

    fn of_elements(element: &ColumnType, nullable: bool, strict: bool) -> Self {
        let absent = if nullable { OnAbsent::Null } else { OnAbsent::Error };
        Self { strict, absent, empty_is_absent: !takes_empty_text(element) }
    }
}

pub(crate) fn takes_empty_text(ty: &ColumnType) -> bool {
    match ty {
        ColumnType::String | ColumnType::FixedString(_) | ColumnType::Json => true,
        ColumnType::Enum(labels) => labels.contains(""),
        _ => false,
    }
}

fn values<'a>(ty: &ColumnType, rules: Rules<'_>, cells: impl ExactSizeIterator<Item = Cell<'a>>) -> Built {
    let strict = rules.strict;
    // A narrow integer is first read as one of 64 bits.
    let int64 = if strict { plain::int64 } else { number::int64 };
    let uint64 = if strict { plain::uint64 } else { number::uint64 };
    match ty {
        ColumnType::Int8 => primitive::<Int8Type>(ty, rules, cells, |cell| int64(cell)?.try_into().ok()),
        ColumnType::Int16 => primitive::<Int16Type>(ty, rules, cells, |cell| int64(cell)?.try_into().ok()),
        ColumnType::Int32 => primitive::<Int32Type>(ty, rules, cells, |cell| int64(cell)?.try_into().ok()),
        // Two calls, so that the most frequent parser is inlined.
        ColumnType::Int64 if strict => primitive::<Int64Type>(ty, rules, cells, plain::int64),
        ColumnType::Int64 => primitive::<Int64Type>(ty, rules, cells, number::int64),
        ColumnType::UInt8 => {
            primitive::<Int16Type>(ty, rules, cells, |cell| u8::try_from(uint64(cell)?).ok().map(i16::from))
        }
        ColumnType::UInt16 => {
            primitive::<Int32Type>(ty, rules, cells, |cell| u16::try_from(uint64(cell)?).ok().map(i32::from))
        }
        ColumnType::UInt32 => {
            primitive::<Int64Type>(ty, rules, cells, |cell| u32::try_from(uint64(cell)?).ok().map(i64::from))
        }
        ColumnType::UInt64 => primitive::<Decimal128Type>(ty, rules, cells, |cell| uint64(cell).map(i128::from)),
        ColumnType::Float32 if strict => primitive::<Float32Type>(ty, rules, cells, plain::float32),
        ColumnType::Float32 => primitive::<Float32Type>(ty, rules, cells, number::float32),
        ColumnType::Float64 if strict => primitive::<Float64Type>(ty, rules, cells, plain::float64),
        ColumnType::Float64 => primitive::<Float64Type>(ty, rules, cells, number::float64),
        ColumnType::Bool => booleans(rules, cells),
        ColumnType::Date => primitive::<Date32Type>(ty, rules, cells, time::date),
        ColumnType::DateTime => {
            primitive::<TimestampMicrosecondType>(ty, rules, cells, |cell| time::timestamp(cell, 0))
        }
        ColumnType::DateTime64 { precision } => {
            primitive::<TimestampMicrosecondType>(ty, rules, cells, |cell| time::timestamp(cell, *precision))
        }
        ColumnType::Decimal { precision, scale } if *precision <= DECIMAL_DIGITS => {
            primitive::<Decimal128Type>(ty, rules, cells, |cell| decimal::decimal(cell, *precision, *scale))
        }
        ColumnType::Array { element, nullable } if !ty.is_structured() => lists(element, *nullable, rules, cells),
        _ => kept_as_text(ty, rules, cells),
    }
}

/// The types whose values a block holds as text.
fn kept_as_text<'a>(ty: &ColumnType, rules: Rules<'_>, cells: impl ExactSizeIterator<Item = Cell<'a>>) -> Built {
    let strict = rules.strict;
    match ty {
        ColumnType::Int128 => texts(rules, cells, |cell| wide::int(cell, &wide::INT128, strict)),
        ColumnType::Int256 => texts(rules, cells, |cell| wide::int(cell, &wide::INT256, strict)),
        ColumnType::UInt128 => texts(rules, cells, |cell| wide::int(cell, &wide::UINT128, strict)),
        ColumnType::UInt256 => texts(rules, cells, |cell| wide::int(cell, &wide::UINT256, strict)),
        ColumnType::Decimal { precision, scale } => texts(rules, cells, |cell| wide::decimal(cell, *precision, *scale)),
        ColumnType::FixedString(length) => texts(rules, cells, |cell| text::fixed(cell, *length)),
        ColumnType::Uuid => texts(rules, cells, text::uuid),
        ColumnType::Ipv4 => texts(rules, cells, text::ipv4),
        ColumnType::Ipv6 => texts(rules, cells, text::ipv6),
        ColumnType::Json => texts(rules, cells, text::json),
        ColumnType::Array { .. } | ColumnType::Map { .. } | ColumnType::Tuple(_) => {
            texts(rules, cells, |cell| structure::canonical(cell, ty, strict))
        }
        ColumnType::Enum(EnumType { labels, .. }) => {
            let labels: HashSet<&str> = labels.iter().map(|(label, _)| label.as_str()).collect();
            texts(rules, cells, |cell| text::any(cell).filter(|label| labels.contains(label.as_ref())))
        }
        _ => texts(rules, cells, text::any),
    }
}

/// Rows with an error, and rows that need the default expression.
type Rows = (Vec<u32>, Vec<u32>);

/// Feeds each cell to `append`: a text to parse (which answers whether it is good), or `None` for NULL and for a
/// placeholder.
fn each<'a>(
    rules: Rules<'_>,
    cells: impl Iterator<Item = Cell<'a>>,
    mut append: impl FnMut(Option<&[u8]>) -> bool,
) -> Rows {
    let (mut errors, mut defaulted) = (Vec::new(), Vec::new());
    for (row, cell) in (0u32..).zip(cells) {
        let good = match cell {
            Cell::Text(text) if !(text.is_empty() && rules.empty_is_absent) => append(Some(text)),
            _ => match rules.absent {
                OnAbsent::Text(default) => append(Some(default)),
                OnAbsent::Null => append(None),
                OnAbsent::Expression => {
                    defaulted.push(row);
                    append(None)
                }
                OnAbsent::Error => !append(None),
            },
        };
        if !good {
            errors.push(row);
        }
    }
    (errors, defaulted)
}

fn primitive<'a, T: ArrowPrimitiveType>(
    ty: &ColumnType,
    rules: Rules<'_>,
    cells: impl ExactSizeIterator<Item = Cell<'a>>,
    parse: impl Fn(&[u8]) -> Option<T::Native>,
) -> Built {
    let mut values = Vec::with_capacity(cells.len());
    let mut nulls = NullBufferBuilder::new(cells.len());
    let (errors, defaulted) = each(rules, cells, |text| {
        let value = text.and_then(&parse);
        nulls.append(value.is_some());
        values.push(value.unwrap_or_default());
        value.is_some() || text.is_none()
    });
    let data_type = ty.arrow();
    let array = PrimitiveArray::<T>::new(values.into(), nulls.finish());
    let values: ArrayRef = match data_type {
        // The values are checked against the precision when they are parsed.
        DataType::Decimal128(..) | DataType::Timestamp(..) => Arc::new(array.with_data_type(data_type)),
        _ => Arc::new(array),
    };
    Built { values, errors, defaulted }
}

fn booleans<'a>(rules: Rules<'_>, cells: impl ExactSizeIterator<Item = Cell<'a>>) -> Built {
    let mut values = BooleanBufferBuilder::new(cells.len());
    let mut nulls = NullBufferBuilder::new(cells.len());
    let parse = if rules.strict { plain::boolean } else { number::boolean };
    let (errors, defaulted) = each(rules, cells, |text| {
        let value = text.and_then(parse);
        nulls.append(value.is_some());
        values.append(value.unwrap_or_default());
        value.is_some() || text.is_none()
    });
    Built { values: Arc::new(BooleanArray::new(values.finish(), nulls.finish())), errors, defaulted }
}

/// The bytes of text that one column of a block holds: offsets have 31 bits. A row beyond is an error of its own; it
/// takes a default of kilobytes and millions of rows to get there.
pub(crate) const MAX_TEXT: usize = i32::MAX as usize;

fn texts<'a>(
    rules: Rules<'_>,
    cells: impl ExactSizeIterator<Item = Cell<'a>>,
    parse: impl for<'x> Fn(&'x [u8]) -> Option<Cow<'x, str>>,
) -> Built {
    let mut values = StringBuilder::with_capacity(cells.len(), cells.len() * 8);
    let (errors, defaulted) = each(rules, cells, |text| {
        let room = MAX_TEXT - values.values_slice().len();
        let value = text.and_then(&parse).filter(|value| value.len() <= room);
        values.append_option(value.as_deref());
        value.is_some() || text.is_none()
    });
    Built { values: Arc::new(values.finish()), errors, defaulted }
}

/// The elements of all rows are built as one column, and its errors belong to the rows that hold them.
fn lists<'a>(
    element: &ColumnType,
    nullable: bool,
    rules: Rules<'_>,
    cells: impl ExactSizeIterator<Item = Cell<'a>>,
) -> Built {
    let mut ends = Vec::with_capacity(cells.len() + 1);
    ends.push(0i32);
    let mut nulls = NullBufferBuilder::new(cells.len());
    let mut elements = Elements::new(element);
    let (mut errors, defaulted) = each(rules, cells, |text| {
        let good = text.is_some_and(|text| elements.append(text));
        nulls.append(good);
        ends.push(elements.len());
        good || text.is_none()
    });
    let inner = values(element, Rules::of_elements(element, nullable, rules.strict), elements.cells());
    let row_of = |index: u32| (ends.partition_point(|end| *end as u32 <= index) - 1) as u32;
    errors.extend(inner.errors.iter().map(|index| row_of(*index)));
    errors.sort_unstable();
    errors.dedup();
    let field = Arc::new(Field::new("element", inner.values.data_type().clone(), true));
    let values = ListArray::new(field, OffsetBuffer::new(ends.into()), inner.values, nulls.finish());
    Built { values: Arc::new(values), errors, defaulted }
}
