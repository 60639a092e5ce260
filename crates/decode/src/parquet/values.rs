//! The values of a file column as they were read, whatever plainer Arrow type they were read in.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};

use super::int96;
use super::tree::{Leaf, Node};

/// Values of one column, or of a part of a nested one.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) node: &'a Node,
    pub(super) array: &'a ArrayRef,
    /// The same values once more, with INT96 in seconds.
    pub(super) seconds: Option<&'a ArrayRef>,
}

impl<'a> Values<'a> {
    pub(super) fn len(&self) -> usize {
        self.array.len()
    }

    /// Whether the row holds no value.
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.array.data_type() == &DataType::Null || self.array.is_null(row)
    }

    /// Whole numbers of every kind, and the numbers behind times: `None` for anything else.
    pub(super) fn number(&self, row: usize) -> Option<i128> {
        number(self.array.as_ref(), row)
    }

    /// Bytes and texts.
    pub(super) fn bytes(&self, row: usize) -> Option<&'a [u8]> {
        Some(match self.array.data_type() {
            DataType::Binary => self.array.as_binary::<i32>().value(row),
            DataType::LargeBinary => self.array.as_binary::<i64>().value(row),
            DataType::BinaryView => self.array.as_binary_view().value(row),
            DataType::FixedSizeBinary(_) => self.array.as_fixed_size_binary().value(row),
            DataType::Utf8 => self.array.as_string::<i32>().value(row).as_bytes(),
            DataType::LargeUtf8 => self.array.as_string::<i64>().value(row).as_bytes(),
            DataType::Utf8View => self.array.as_string_view().value(row).as_bytes(),
            _ => return None,
        })
    }

    /// Microseconds of a timestamp, if it is whole in them and they fit.
    pub(super) fn micros(&self, row: usize) -> Option<i64> {
        let nanos = self.nanos(row)?;
        (nanos % 1_000 == 0).then(|| i64::try_from(nanos / 1_000).ok()).flatten()
    }

    /// Nanoseconds of a timestamp, a time or a duration.
    pub(super) fn nanos(&self, row: usize) -> Option<i128> {
        if self.node.leaf == Leaf::Int96 {
            return int96::nanos(self.array, self.seconds?, row);
        }
        let unit = match &self.node.stated {
            DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => unit,
            DataType::Duration(unit) => unit,
            _ => return None,
        };
        self.number(row)?.checked_mul(nanos_of(*unit))
    }

    /// The elements behind the lists, in the order of the rows.
    pub(super) fn elements(&self) -> Option<Values<'a>> {
        let node = self.node.children.first()?;
        let array = elements(self.array)?;
        let seconds = match self.seconds {
            Some(seconds) => Some(elements(seconds)?),
            None => None,
        };
        Some(Values { node, array, seconds })
    }

    /// Where the elements of the list, or the entries of the map, of this row are.
    pub(super) fn range(&self, row: usize) -> std::ops::Range<usize> {
        let (start, end) = match self.array.data_type() {
            DataType::List(_) => ends(self.array.as_list::<i32>().value_offsets(), row),
            DataType::LargeList(_) => ends(self.array.as_list::<i64>().value_offsets(), row),
            DataType::Map(..) => ends(self.array.as_map().value_offsets(), row),
            DataType::FixedSizeList(_, length) => {
                let length = usize::try_from(*length).unwrap_or(0);
                (row * length, (row + 1) * length)
            }
            _ => (0, 0),
        };
        start..end
    }

    /// The fields of a struct; key and value of a map's entries.
    pub(super) fn field(&self, index: usize) -> Option<Values<'a>> {
        let node = self.node.children.get(index)?;
        let array = field(self.array, index)?;
        let seconds = match self.seconds {
            Some(seconds) => Some(field(seconds, index)?),
            None => None,
        };
        Some(Values { node, array, seconds })
    }
}

pub(super) fn nanos_of(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

fn ends<O: TryInto<usize> + Copy>(offsets: &[O], row: usize) -> (usize, usize) {
    let at = |index: usize| offsets.get(index).and_then(|offset| (*offset).try_into().ok()).unwrap_or(0);
    (at(row), at(row + 1))
}

fn elements(array: &ArrayRef) -> Option<&ArrayRef> {
    Some(match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().values(),
        DataType::LargeList(_) => array.as_list::<i64>().values(),
        DataType::FixedSizeList(..) => array.as_fixed_size_list().values(),
        _ => return None,
    })
}

fn field(array: &ArrayRef, index: usize) -> Option<&ArrayRef> {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().get(index),
        DataType::Map(..) => array.as_map().entries().columns().get(index),
        _ => None,
    }
}

fn number(array: &dyn Array, row: usize) -> Option<i128> {
    fn of<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> Option<i128>
    where
        i128: From<T::Native>,
    {
        Some(i128::from(array.as_primitive_opt::<T>()?.value(row)))
    }
    match array.data_type() {
        DataType::Int8 => of::<Int8Type>(array, row),
        DataType::Int16 => of::<Int16Type>(array, row),
        DataType::Int32 => of::<Int32Type>(array, row),
        DataType::Int64 => of::<Int64Type>(array, row),
        DataType::UInt8 => of::<UInt8Type>(array, row),
        DataType::UInt16 => of::<UInt16Type>(array, row),
        DataType::UInt32 => of::<UInt32Type>(array, row),
        DataType::UInt64 => of::<UInt64Type>(array, row),
        DataType::Date32 => of::<Date32Type>(array, row),
        DataType::Date64 => of::<Date64Type>(array, row),
        DataType::Time32(TimeUnit::Second) => of::<Time32SecondType>(array, row),
        DataType::Time32(_) => of::<Time32MillisecondType>(array, row),
        DataType::Time64(TimeUnit::Microsecond) => of::<Time64MicrosecondType>(array, row),
        DataType::Time64(_) => of::<Time64NanosecondType>(array, row),
        DataType::Timestamp(TimeUnit::Second, _) => of::<TimestampSecondType>(array, row),
        DataType::Timestamp(TimeUnit::Millisecond, _) => of::<TimestampMillisecondType>(array, row),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of::<TimestampMicrosecondType>(array, row),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => of::<TimestampNanosecondType>(array, row),
        DataType::Duration(TimeUnit::Second) => of::<DurationSecondType>(array, row),
        DataType::Duration(TimeUnit::Millisecond) => of::<DurationMillisecondType>(array, row),
        DataType::Duration(TimeUnit::Microsecond) => of::<DurationMicrosecondType>(array, row),
        DataType::Duration(TimeUnit::Nanosecond) => of::<DurationNanosecondType>(array, row),
        _ => None,
    }
}
