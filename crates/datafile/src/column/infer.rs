//! The type of a literal, for a column that has a DEFAULT and no type: that which ClickHouse gives it.

use connector_core::types::ColumnType;

use crate::default::Literal;

const UNSIGNED: [(u64, ColumnType); 4] = [
    (u8::MAX as u64, ColumnType::UInt8),
    (u16::MAX as u64, ColumnType::UInt16),
    (u32::MAX as u64, ColumnType::UInt32),
    (u64::MAX, ColumnType::UInt64),
];

const SIGNED: [(i64, ColumnType); 4] = [
    (i8::MIN as i64, ColumnType::Int8),
    (i16::MIN as i64, ColumnType::Int16),
    (i32::MIN as i64, ColumnType::Int32),
    (i64::MIN, ColumnType::Int64),
];

/// The type of the literal; `None` if it says too little, as NULL and an empty list do.
pub(super) fn type_of(literal: &Literal) -> Option<ColumnType> {
    match literal {
        Literal::Null => None,
        Literal::Bool(_) => Some(ColumnType::Bool),
        Literal::Text(_) => Some(ColumnType::String),
        Literal::Number(text) => number(text),
        Literal::List(elements) => list(elements),
    }
}

fn number(text: &str) -> Option<ColumnType> {
    if let Ok(value) = text.trim_start_matches('+').parse::<u64>() {
        return UNSIGNED.into_iter().find(|(most, _)| value <= *most).map(|(_, ty)| ty);
    }
    if let Ok(value) = text.parse::<i64>() {
        return SIGNED.into_iter().find(|(least, _)| value >= *least).map(|(_, ty)| ty);
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(|_| ColumnType::Float64)
}

/// The one type of all elements; lists of different ones need a type in the file.
fn list(elements: &[Literal]) -> Option<ColumnType> {
    let nullable = elements.contains(&Literal::Null);
    let mut types = elements.iter().filter(|element| **element != Literal::Null).map(type_of);
    let first = types.next()??;
    let element = types.try_fold(first, |all, next| wider(all, next?))?;
    Some(ColumnType::Array { element: Box::new(element), nullable })
}

fn wider(left: ColumnType, right: ColumnType) -> Option<ColumnType> {
    if left == right {
        return Some(left);
    }
    let rank = |ty: &ColumnType| UNSIGNED.iter().position(|(_, known)| known == ty);
    match (rank(&left), rank(&right)) {
        (Some(own), Some(other)) if own >= other => Some(left),
        (Some(_), Some(_)) => Some(right),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_has_the_smallest_type_that_holds_it() {
        let number = |text: &str| Literal::Number(text.to_owned());
        let array = |element, nullable| ColumnType::Array { element: Box::new(element), nullable };
        for (literal, ty) in [
            (number("0"), Some(ColumnType::UInt8)),
            (number("+255"), Some(ColumnType::UInt8)),
            (number("256"), Some(ColumnType::UInt16)),
            (number("4294967296"), Some(ColumnType::UInt64)),
            (number("-1"), Some(ColumnType::Int8)),
            (number("-129"), Some(ColumnType::Int16)),
            (number("-9223372036854775808"), Some(ColumnType::Int64)),
            (number("1.5"), Some(ColumnType::Float64)),
            (number("1st"), None),
            (Literal::Bool(true), Some(ColumnType::Bool)),
            (Literal::Text(String::new()), Some(ColumnType::String)),
            (Literal::Null, None),
            (Literal::List(Vec::new()), None),
            (Literal::List(vec![Literal::Null]), None),
            (Literal::List(vec![number("1"), number("300")]), Some(array(ColumnType::UInt16, false))),
            (Literal::List(vec![Literal::Null, Literal::Bool(true)]), Some(array(ColumnType::Bool, true))),
            (Literal::List(vec![number("1"), Literal::Bool(true)]), None),
        ] {
            assert_eq!(type_of(&literal), ty, "{literal:?}");
        }
    }
}
