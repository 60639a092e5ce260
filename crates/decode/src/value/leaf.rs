//! Parts of a structured value that have no parts themselves: the same values as in columns of their types, in one
//! spelling each.

use std::borrow::Cow;
use std::fmt::Write as _;

use connector_core::expr::Value;
use connector_core::types::{ColumnType, SECOND_DIGITS};

use super::{number, plain, text, time, wide};

/// The one spelling of a value of a type without parts, JSON aside; `None` if the text is no such value. `strict`: only
/// what inference takes for numbers and booleans.
///
/// Integers and decimals have all their digits, floats the fewest that lead back to them, and times are UTC, with as many
/// digits of a second as the type has (and a table holds).
pub(super) fn canonical<'a>(cell: &'a [u8], ty: &ColumnType, strict: bool) -> Option<Cow<'a, str>> {
    match ty {
        ColumnType::Int8 => int(cell, strict).and_then(narrowed::<i8>),
        ColumnType::Int16 => int(cell, strict).and_then(narrowed::<i16>),
        ColumnType::Int32 => int(cell, strict).and_then(narrowed::<i32>),
        ColumnType::Int64 => int(cell, strict).and_then(narrowed::<i64>),
        ColumnType::UInt8 => uint(cell, strict).and_then(narrowed::<u8>),
        ColumnType::UInt16 => uint(cell, strict).and_then(narrowed::<u16>),
        ColumnType::UInt32 => uint(cell, strict).and_then(narrowed::<u32>),
        ColumnType::UInt64 => uint(cell, strict).and_then(narrowed::<u64>),
        ColumnType::Int128 => wide::int(cell, &wide::INT128, strict),
        ColumnType::Int256 => wide::int(cell, &wide::INT256, strict),
        ColumnType::UInt128 => wide::int(cell, &wide::UINT128, strict),
        ColumnType::UInt256 => wide::int(cell, &wide::UINT256, strict),
        ColumnType::Decimal { precision, scale } => wide::decimal(cell, *precision, *scale),
        ColumnType::Float32 => {
            let value = if strict { plain::float32(cell) } else { number::float32(cell) };
            value.map(|value| Cow::Owned(format!("{value:?}")))
        }
        ColumnType::Float64 => {
            let value = if strict { plain::float64(cell) } else { number::float64(cell) };
            value.map(|value| Cow::Owned(format!("{value:?}")))
        }
        ColumnType::Bool => {
            let value = if strict { plain::boolean(cell) } else { number::boolean(cell) };
            value.map(|value| Cow::Borrowed(if value { "true" } else { "false" }))
        }
        ColumnType::Date => match Value::of_days(time::date(cell)?).ok()? {
            Value::Date(date) => Some(Cow::Owned(date.to_string())),
            _ => None,
        },
        ColumnType::DateTime => timestamp(cell, 0),
        ColumnType::DateTime64 { precision } => timestamp(cell, *precision),
        ColumnType::String => text::any(cell),
        ColumnType::FixedString(length) => text::fixed(cell, *length),
        ColumnType::Uuid => text::uuid(cell),
        ColumnType::Ipv4 => text::ipv4(cell),
        ColumnType::Ipv6 => text::ipv6(cell),
        ColumnType::Enum(labels) => text::any(cell).filter(|label| labels.contains(label)),
        ColumnType::Json | ColumnType::Array { .. } | ColumnType::Map { .. } | ColumnType::Tuple(_) => None,
    }
}

fn int(cell: &[u8], strict: bool) -> Option<i128> {
    if strict { plain::int64(cell) } else { number::int64(cell) }.map(i128::from)
}

fn uint(cell: &[u8], strict: bool) -> Option<i128> {
    if strict { plain::uint64(cell) } else { number::uint64(cell) }.map(i128::from)
}

fn narrowed<'a, N: TryFrom<i128> + std::fmt::Display>(value: i128) -> Option<Cow<'a, str>> {
    N::try_from(value).ok().map(|value| Cow::Owned(value.to_string()))
}

fn timestamp<'a>(cell: &[u8], precision: u8) -> Option<Cow<'a, str>> {
    let Value::Time(at) = Value::of_micros(time::timestamp(cell, precision)?).ok()? else { return None };
    let mut out = format!("{}T{:.0}", at.date(), at.time());
    let digits = usize::from(precision.min(SECOND_DIGITS));
    if digits > 0 {
        let micros = format!("{:06}", at.time().subsec_nanosecond() / 1_000);
        write!(out, ".{}", &micros[..digits]).ok()?;
    }
    out.push('Z');
    Some(Cow::Owned(out))
}

/// Whether a value stands without quotes in JSON, by the spelling that [`canonical`] gives it. A float that is no number
/// has no spelling of its own there.
pub(super) fn is_bare(spelling: &str, ty: &ColumnType) -> bool {
    match ty {
        ColumnType::Float32 | ColumnType::Float64 => !spelling.contains(['N', 'n']),
        ty => is_number(ty) || *ty == ColumnType::Bool,
    }
}

/// Whether values stand without quotes in what ClickHouse writes.
pub(super) fn needs_no_quotes(ty: &ColumnType) -> bool {
    is_number(ty) || matches!(ty, ColumnType::Bool | ColumnType::Float32 | ColumnType::Float64)
}

fn is_number(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Int8
            | ColumnType::Int16
            | ColumnType::Int32
            | ColumnType::Int64
            | ColumnType::Int128
            | ColumnType::Int256
            | ColumnType::UInt8
            | ColumnType::UInt16
            | ColumnType::UInt32
            | ColumnType::UInt64
            | ColumnType::UInt128
            | ColumnType::UInt256
            | ColumnType::Decimal { .. }
    )
}
