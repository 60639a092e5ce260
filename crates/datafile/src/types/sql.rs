//! The names that ClickHouse takes from SQL, in any case.

use crate::tokens::{Kind, Token};

/// Names in upper case, with the type that they mean.
const NAMES: [(&str, &str); 25] = [
    ("TINYINT", "Int8"),
    ("SMALLINT", "Int16"),
    ("INT", "Int32"),
    ("INTEGER", "Int32"),
    ("BIGINT", "Int64"),
    ("FLOAT", "Float32"),
    ("REAL", "Float32"),
    ("SINGLE", "Float32"),
    ("DOUBLE", "Float64"),
    ("BOOL", "Bool"),
    ("BOOLEAN", "Bool"),
    ("DEC", "Decimal"),
    ("DECIMAL", "Decimal"),
    ("NUMERIC", "Decimal"),
    ("FIXED", "Decimal"),
    ("TEXT", "String"),
    ("TINYTEXT", "String"),
    ("MEDIUMTEXT", "String"),
    ("LONGTEXT", "String"),
    ("CHAR", "String"),
    ("VARCHAR", "String"),
    ("BLOB", "String"),
    ("DATE", "Date"),
    ("DATETIME", "DateTime"),
    ("TIMESTAMP", "DateTime"),
];

/// Names that may say how long a text is; ClickHouse does not keep to it.
const WITH_LENGTH: [&str; 3] = ["CHAR", "VARCHAR", "BLOB"];

/// What ClickHouse calls a type with this name; the name itself if SQL does not have it.
pub(super) fn respelled(name: &str) -> &str {
    let upper = name.to_ascii_uppercase();
    NAMES.iter().find(|(known, _)| *known == upper).map_or(name, |(_, ty)| ty)
}

/// Whether these are arguments of the name that say nothing of the type.
pub(super) fn is_length(name: &str, arguments: &[Token]) -> bool {
    WITH_LENGTH.iter().any(|known| known.eq_ignore_ascii_case(name))
        && matches!(arguments, [Token { kind: Kind::Number(_), .. }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sql_have_no_case_and_all_others_stay() {
        for (name, wanted) in [("bigint", "Int64"), ("Text", "String"), ("NUMERIC", "Decimal"), ("Int", "Int32")] {
            assert_eq!(respelled(name), wanted);
        }
        for name in ["int64", "string", "UInt8", "DateTime64", "Decimal32", "Date32", "", "Texts"] {
            assert_eq!(respelled(name), name);
        }
    }
}
