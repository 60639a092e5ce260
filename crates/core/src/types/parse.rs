//! Reading the canonical spelling of types.

use super::{ColumnType, EnumType, WIDE_DECIMAL_DIGITS};

const PLAIN: [ColumnType; 22] = [
    ColumnType::Int8,
    ColumnType::Int16,
    ColumnType::Int32,
    ColumnType::Int64,
    ColumnType::Int128,
    ColumnType::Int256,
    ColumnType::UInt8,
    ColumnType::UInt16,
    ColumnType::UInt32,
    ColumnType::UInt64,
    ColumnType::UInt128,
    ColumnType::UInt256,
    ColumnType::Float32,
    ColumnType::Float64,
    ColumnType::Bool,
    ColumnType::Date,
    ColumnType::DateTime,
    ColumnType::String,
    ColumnType::Uuid,
    ColumnType::Ipv4,
    ColumnType::Ipv6,
    ColumnType::Json,
];

pub(super) fn canonical(text: &str) -> Option<ColumnType> {
    if let Some(plain) = PLAIN.into_iter().find(|plain| plain.to_string() == text) {
        return Some(plain);
    }
    let (name, rest) = text.split_once('(')?;
    let inside = rest.strip_suffix(')')?;
    match name {
        "DateTime64" => {
            inside.parse().ok().filter(|digits| *digits <= 6).map(|precision| ColumnType::DateTime64 { precision })
        }
        "Decimal" => {
            let (precision, scale) = inside.split_once(',')?;
            let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
            let valid = (1..=WIDE_DECIMAL_DIGITS).contains(&precision) && (0..=precision as i8).contains(&scale);
            valid.then_some(ColumnType::Decimal { precision, scale })
        }
        "FixedString" => inside.parse().ok().filter(|length| *length > 0).map(ColumnType::FixedString),
        "Enum8" | "Enum16" => {
            let labels = labels(inside)?;
            let wide = name == "Enum16";
            let fits = labels.iter().all(|(_, number)| wide || i8::try_from(*number).is_ok());
            (fits && !labels.is_empty()).then(|| ColumnType::Enum(EnumType { wide, labels: labels.into() }))
        }
        "Array" => array(inside),
        _ => None,
    }
}

fn array(inside: &str) -> Option<ColumnType> {
    let nullable = inside.strip_prefix("Nullable(").and_then(|rest| rest.strip_suffix(')'));
    let element = canonical(nullable.unwrap_or(inside))?;
    let nested = matches!(element, ColumnType::Array { .. });
    (!nested).then(|| ColumnType::Array { element: Box::new(element), nullable: nullable.is_some() })
}

/// `'a' = 1, 'b' = 2`, with `\` before a quote and a `\` inside a label.
fn labels(text: &str) -> Option<Vec<(String, i16)>> {
    let mut labels = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (label, behind) = label(rest)?;
        let behind = behind.trim_start().strip_prefix('=')?.trim_start();
        let end = behind.find(',').unwrap_or(behind.len());
        labels.push((label, behind[..end].trim().parse().ok()?));
        rest = behind[end..].strip_prefix(',').unwrap_or_default().trim_start();
    }
    Some(labels)
}

fn label(text: &str) -> Option<(String, &str)> {
    let mut label = String::new();
    let mut letters = text.strip_prefix('\'')?.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' => return Some((label, &text[at + 2..])),
            '\\' => label.push(letters.next()?.1),
            other => label.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_quotes_and_commas() {
        let expected = vec![("a'b".to_owned(), 1), ("c, d".to_owned(), 2)];
        assert_eq!(labels(r"'a\'b' = 1, 'c, d' = 2"), Some(expected));
        assert_eq!(labels("'a' 1"), None);
    }
}
