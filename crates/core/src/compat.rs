//! Which type of a Parquet column goes into which column of a table without loss: decided from the types alone, so that
//! a file that does not fit is known from its footer.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, UnionMode};

use crate::types::{ColumnType, TupleElement, WIDE_DECIMAL_DIGITS};

/// What a file is said to state for bytes that stand for something of their own, such as BSON or a geometry: Arrow has
/// no type for them, and no column type takes them. The name is for people.
pub fn opaque(name: &str) -> DataType {
    let field = Field::new(name, DataType::Binary, true);
    DataType::Union([(0, Arc::new(field))].into_iter().collect(), UnionMode::Sparse)
}

/// The name that [`opaque`] was given.
pub fn opaque_name(found: &DataType) -> Option<&str> {
    match found {
        DataType::Union(fields, UnionMode::Sparse) if fields.len() == 1 => {
            fields.iter().next().map(|(_, field)| field.name().as_str())
        }
        _ => None,
    }
}

/// Whether every value of a file column goes into a table column, or is judged one by one (a timestamp with too many
/// digits, bytes that are no text), as opposed to a type that does not belong there at all.
pub fn accepts(found: &DataType, wanted: &ColumnType) -> bool {
    use ColumnType as T;
    use DataType as D;
    match (found, wanted) {
        (D::Dictionary(_, values), wanted) => !values.is_nested() && accepts(values, wanted),
        (D::Null, _) | (D::Boolean, T::Bool) | (D::Date32 | D::Date64, T::Date) => true,
        (D::Timestamp(..), T::DateTime | T::DateTime64 { .. }) => true,
        (D::Float16 | D::Float32, T::Float32 | T::Float64) | (D::Float64, T::Float64) => true,
        (
            D::Decimal128(precision, scale) | D::Decimal256(precision, scale),
            T::Decimal { precision: wide, scale: fine },
        ) => {
            is_decimal(*precision, *scale)
                && fine >= scale
                && i16::from(*wide) - i16::from(*fine) >= i16::from(*precision) - i16::from(*scale)
        }
        (found, wanted) if wanted.is_structured() => is_text_or_bytes(found) || goes_into_structure(found, wanted),
        (D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _), T::Array { element, .. }) => {
            accepts(item.data_type(), element)
        }
        (found, wanted) => {
            integer_bits(found).is_some_and(|(signed, bits)| integer_fits(signed, bits, wanted))
                || (is_text_or_bytes(found) && is_text(wanted))
                // What has no column type of its own is kept as its text.
                || (*wanted == T::String && is_stringified(found))
                || (*wanted == T::Json && found.is_nested() && is_stringified(found))
        }
    }
}

/// Whether a nested column has the shape of a type with parts, and each of its parts goes into the type of that part. A
/// text inside of it is no Array, Map or Tuple, though a column of texts may be.
fn goes_into_structure(found: &DataType, wanted: &ColumnType) -> bool {
    use ColumnType as T;
    use DataType as D;
    let part = |found: &Field, wanted: &ColumnType| is_part(found.data_type(), wanted);
    match (found, wanted) {
        (D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _), T::Array { element, .. }) => {
            part(item, element)
        }
        (D::Map(entries, _), T::Map { key, value, .. }) => match entries.data_type() {
            D::Struct(fields) => fields.len() == 2 && part(&fields[0], key) && part(&fields[1], value),
            _ => false,
        },
        (D::Struct(fields), T::Tuple(elements)) => {
            let Some(bound) = tuple_fields(fields, elements) else { return false };
            bound.iter().zip(elements.iter()).all(|(field, element)| match field {
                Some(index) => part(&fields[*index], &element.ty),
                None => element.nullable,
            })
        }
        _ => false,
    }
}

fn is_part(found: &DataType, wanted: &ColumnType) -> bool {
    match found {
        DataType::Null => true,
        // Those are taken apart as whole columns only.
        DataType::Dictionary(..) => false,
        found if wanted.takes_null() => accepts(found, wanted),
        found => goes_into_structure(found, wanted),
    }
}

/// Which field of a group each element of a tuple takes: that of its name, or without names that of its place. `None` if
/// a field has no element, or two fields have one name. An element that is not there has no field.
pub fn tuple_fields(fields: &Fields, elements: &[TupleElement]) -> Option<Vec<Option<usize>>> {
    let by_name = |element: &TupleElement| {
        let name = element.name.as_ref()?;
        fields.iter().position(|field| field.name() == name)
    };
    if elements.iter().all(|element| element.name.is_none()) {
        return (fields.len() == elements.len()).then(|| (0..fields.len()).map(Some).collect());
    }
    let bound: Vec<Option<usize>> = elements.iter().map(by_name).collect();
    (bound.iter().flatten().count() == fields.len()).then_some(bound)
}

/// Texts and bytes: each value has to be UTF-8, and whatever else its column asks for.
fn is_text_or_bytes(found: &DataType) -> bool {
    matches!(
        found,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    )
}

fn is_text(wanted: &ColumnType) -> bool {
    use ColumnType as T;
    matches!(wanted, T::String | T::FixedString(_) | T::Uuid | T::Ipv4 | T::Ipv6 | T::Enum(_) | T::Json)
}

/// Types that go into a String as text: times of day, intervals, durations, and nested values as JSON.
fn is_stringified(found: &DataType) -> bool {
    use DataType as D;
    match found {
        D::Time32(_) | D::Time64(_) | D::Interval(_) | D::Duration(_) => true,
        D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _) => has_text(item.data_type()),
        D::Struct(fields) => fields.iter().all(|field| has_text(field.data_type())),
        D::Map(entries, _) => match entries.data_type() {
            D::Struct(fields) => fields.len() == 2 && fields.iter().all(|field| has_text(field.data_type())),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a part of a nested value has a text.
fn has_text(found: &DataType) -> bool {
    use DataType as D;
    match found {
        D::Null | D::Boolean | D::Float16 | D::Float32 | D::Float64 | D::Date32 | D::Date64 | D::Timestamp(..) => true,
        D::Decimal128(precision, scale) | D::Decimal256(precision, scale) => is_decimal(*precision, *scale),
        _ => integer_bits(found).is_some() || is_text_or_bytes(found) || is_stringified(found),
    }
}

fn is_decimal(precision: u8, scale: i8) -> bool {
    (1..=WIDE_DECIMAL_DIGITS).contains(&precision) && (0..=precision as i8).contains(&scale)
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

fn integer_fits(signed: bool, bits: u32, wanted: &ColumnType) -> bool {
    let (wanted_signed, wanted_bits) = match wanted {
        ColumnType::Int8 => (true, 7),
        ColumnType::Int16 => (true, 15),
        ColumnType::Int32 => (true, 31),
        ColumnType::Int64 => (true, 63),
        ColumnType::Int128 => (true, 127),
        ColumnType::Int256 => (true, 255),
        ColumnType::UInt8 => (false, 8),
        ColumnType::UInt16 => (false, 16),
        ColumnType::UInt32 => (false, 32),
        ColumnType::UInt64 => (false, 64),
        ColumnType::UInt128 => (false, 128),
        ColumnType::UInt256 => (false, 256),
        // A float holds every integer of as many bits as its mantissa has.
        ColumnType::Float32 => (true, 24),
        ColumnType::Float64 => (true, 53),
        ColumnType::Decimal { precision, scale } => {
            let digits = u32::from(*precision).saturating_sub(scale.unsigned_abs().into());
            // Beyond 128 bits every integer of a file fits.
            (true, 10u128.checked_pow(digits).map_or(128, u128::ilog2))
        }
        _ => return false,
    };
    bits <= wanted_bits && (wanted_signed || !signed)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn only_what_loses_nothing_is_accepted() {
        let list = DataType::List(Arc::new(Field::new("item", DataType::Int32, true)));
        let array = |element| ColumnType::Array { element: Box::new(element), nullable: true };
        let parsed = |text| ColumnType::parse_canonical(text).expect("a type");
        let (map, pair) = (parsed("Map(String, Int64)"), parsed("Tuple(a Int64, b Nullable(String))"));
        let group = |fields: &[(&str, DataType)]| {
            DataType::Struct(fields.iter().map(|(name, ty)| Field::new(*name, ty.clone(), true)).collect())
        };
        let entries = |key, value| {
            let fields = group(&[("key", key), ("value", value)]);
            DataType::Map(Arc::new(Field::new("entries", fields, false)), false)
        };
        let cases = [
            (DataType::Int32, ColumnType::Int64, true),
            (DataType::Int64, ColumnType::Int32, false),
            (DataType::UInt32, ColumnType::Int32, false),
            (DataType::Int8, ColumnType::UInt64, false),
            (DataType::Int64, ColumnType::Float64, false),
            (DataType::Int32, ColumnType::Float64, true),
            (DataType::Int64, ColumnType::Int256, true),
            (DataType::Float64, ColumnType::Float32, false),
            (DataType::Decimal128(5, 2), ColumnType::Decimal { precision: 6, scale: 3 }, true),
            (DataType::Decimal128(5, 2), ColumnType::Decimal { precision: 5, scale: 3 }, false),
            (DataType::Utf8, ColumnType::Int64, false),
            (DataType::Int64, ColumnType::String, false),
            (DataType::Time64(TimeUnit::Microsecond), ColumnType::String, true),
            (DataType::FixedSizeBinary(16), ColumnType::Uuid, true),
            (list.clone(), array(ColumnType::Int64), true),
            (list.clone(), array(ColumnType::Int8), false),
            (list.clone(), ColumnType::String, true),
            (list, ColumnType::Json, true),
            (DataType::Utf8, map.clone(), true),
            (entries(DataType::Utf8, DataType::Int32), map.clone(), true),
            (entries(DataType::Int32, DataType::Int32), map.clone(), false),
            (entries(DataType::Utf8, DataType::Utf8), map.clone(), false),
            (group(&[("a", DataType::Int8), ("b", DataType::Utf8)]), pair.clone(), true),
            (group(&[("b", DataType::Utf8), ("a", DataType::Int8)]), pair.clone(), true),
            (group(&[("a", DataType::Int8)]), pair.clone(), true),
            (group(&[("b", DataType::Utf8)]), pair.clone(), false),
            (group(&[("a", DataType::Int8), ("c", DataType::Utf8)]), pair.clone(), false),
            (group(&[("a", DataType::Int8), ("a", DataType::Int8)]), pair.clone(), false),
            (entries(DataType::Utf8, DataType::Int32), pair, false),
            (group(&[("a", DataType::Int8)]), map, false),
            (DataType::Null, ColumnType::Int8, true),
            (DataType::Int64, ColumnType::Decimal { precision: 76, scale: 40 }, true),
            (DataType::Int64, ColumnType::Decimal { precision: 76, scale: 60 }, false),
            (DataType::Decimal256(60, 2), ColumnType::Decimal { precision: 76, scale: 4 }, true),
            (DataType::Decimal128(2, 5), ColumnType::Decimal { precision: 76, scale: 5 }, false),
            (DataType::Duration(TimeUnit::Second), ColumnType::String, true),
            (DataType::Duration(TimeUnit::Second), ColumnType::Int64, false),
            (opaque("bson"), ColumnType::String, false),
        ];
        for (found, wanted, fits) in cases {
            assert_eq!(accepts(&found, &wanted), fits, "{found} into {wanted}");
        }
    }

    #[test]
    fn what_has_no_text_makes_the_whole_nested_value_unfit() {
        let of = |inner| DataType::Struct([Arc::new(Field::new("inner", inner, true))].into_iter().collect());
        assert!(accepts(&of(of(DataType::Binary)), &ColumnType::String));
        assert!(!accepts(&of(of(opaque("geometry"))), &ColumnType::String));
        assert_eq!(opaque_name(&opaque("geometry")), Some("geometry"));
        assert_eq!(opaque_name(&of(DataType::Binary)), None);
    }
}
