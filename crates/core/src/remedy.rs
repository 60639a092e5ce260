//! What a person can do about a group of quarantined rows.

use crate::quarantine::{TOO_FINE, shown};
use crate::schema::{Column, TableSchema};

/// A suggestion for rows with this kind of error (see [`crate::quarantine::error_kind`]) on this column.
/// `sample`: the text of the value in one of them; `None` for NULL and for an absent value. `has_raw`: there is a raw
/// record, as rows of text formats have it and rows of Parquet files do not.
pub fn suggest(column: &str, kind: &str, sample: Option<&str>, table: &TableSchema, has_raw: bool) -> String {
    // First, because the name of a type may hold any of the words that are looked for below.
    if let Some(column) = table.find(column).filter(|_| kind.starts_with("is not ") && kind != "is not UTF-8") {
        return of_type(column, kind, sample, has_raw);
    }
    if kind.contains("the file has none of the table's columns") {
        return format!("if the file has no header, set IMPORT_CSV_HEADER false; else {MEND}");
    }
    if kind.contains("the file lacks column") {
        return format!("if files may lack it, set IMPORT_ON_MISSING_COLUMN null; else {MEND}");
    }
    if kind.contains("which one is meant") {
        return format!("rename one of the columns in the file: {MEND}");
    }
    if kind.contains("the name of the new column") {
        return format!("give the column a shorter name: {MEND}");
    }
    if kind.contains("may not be added") {
        return "set IMPORT_EVOLUTION evolve to add the column, or declare it in SCHEMA".to_owned();
    }
    if kind.contains("was not in the sample") {
        return format!("declare '{}' in SCHEMA, so that it need not be found in a sample", shown(column));
    }
    if kind.contains("does not go into") {
        return format!("declare the wider type in a new data source, or {MEND}");
    }
    if kind.contains("fields") {
        return "look at the raw record: is a delimiter or a line end in a value that is not quoted?".to_owned();
    }
    if kind.contains("quote") {
        return "look at the raw record: a quote is opened and never closed; or set IMPORT_CSV_QUOTE none".to_owned();
    }
    if kind == "is not UTF-8" {
        // What quarantine keeps of the value is no longer what the file says.
        return format!("write the file in UTF-8 (the object still has its bytes): {MEND}");
    }
    if has_raw { format!("look at the raw record, and {MEND}") } else { MEND.to_owned() }
}

/// How the rows themselves come into the table is told once, below all groups.
const MEND: &str = "mend whoever writes the files";

fn of_type(column: &Column, kind: &str, sample: Option<&str>, has_raw: bool) -> String {
    let (name, ty) = (shown(&column.name), &column.ty);
    match sample {
        _ if kind.ends_with(TOO_FINE) => {
            format!("write no more than six digits of a second, or declare '{name}' as String in a new data source")
        }
        None | Some("") if !ty.takes_null() && (has_raw || sample.is_none()) => {
            format!("give '{name}' a DEFAULT, or {MEND}")
        }
        None if has_raw || !column.nullable => format!("declare '{name}' as Nullable({ty}), or give it a DEFAULT"),
        Some("") if has_raw => format!("declare '{name}' as Nullable({ty}), or give it a DEFAULT"),
        // A Parquet file states its types: a value of another kind is no matter of spelling, and a String takes none.
        _ if !has_raw => format!("declare a type that holds such values for '{name}' in a new data source, or {MEND}"),
        Some(text) if is_null_word(text) => {
            let text = shown(text);
            format!("if '{text}' means NULL, list it in IMPORT_CSV_NULL and declare '{name}' as Nullable({ty})")
        }
        _ => format!("if such values are right, declare '{name}' as String in a new data source; else {MEND}"),
    }
}

fn is_null_word(text: &str) -> bool {
    ["null", "na", "n/a", "\\n", "none", "nil", "-", "nan"].contains(&text.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ColumnType;

    #[test]
    fn each_kind_of_error_has_a_remedy_that_names_what_to_write() {
        let table = TableSchema::new(vec![Column::required("id", ColumnType::Int64)]);
        let cases = [
            ("is not Int64", None, "Nullable(Int64)"),
            ("is not Int64", Some(""), "DEFAULT"),
            ("is not Int64", Some("N/A"), "IMPORT_CSV_NULL"),
            ("is not Int64", Some("12x"), "String"),
            ("is not UTF-8", Some("caf\u{FFFD}"), "UTF-8 (the object still has its bytes)"),
            ("the file lacks column 'id'", None, "IMPORT_ON_MISSING_COLUMN null"),
            ("the file has none of the table's columns", None, "IMPORT_CSV_HEADER false"),
            ("the file has more columns named 'id' than the table; which one is meant?", None, "rename"),
            ("column 'z' is not in the table and may not be added", None, "IMPORT_EVOLUTION evolve"),
            ("the record has 3 fields, the header 2", None, "delimiter"),
        ];
        for (kind, sample, part) in cases {
            let suggestion = suggest("id", kind, sample, &table, true);
            assert!(suggestion.contains(part), "{kind}: {suggestion}");
        }
    }

    #[test]
    fn words_inside_of_a_type_are_no_kind_of_error() {
        let element = |name: &str| crate::types::TupleElement {
            name: Some(name.to_owned()),
            ty: ColumnType::String,
            nullable: false,
        };
        let ty = ColumnType::tuple(vec![element("quote"), element("fields")]).expect("a tuple");
        let kind = format!("is not {ty}");
        let table = TableSchema::new(vec![Column::required("t", ty)]);
        assert!(suggest("t", &kind, Some("12"), &table, true).contains("declare 't' as String"));
        let missing = suggest("t", &kind, None, &table, true);
        assert!(missing.contains("give 't' a DEFAULT") && !missing.contains("Nullable"), "{missing}");
    }

    #[test]
    fn rows_of_parquet_files_are_not_told_of_texts_and_spellings() {
        let table = TableSchema::new(vec![
            Column::required("id", ColumnType::Int64),
            Column::nullable("at", ColumnType::DateTime),
        ]);
        for sample in [Some(""), Some("NaN"), Some("12x"), Some("2025-01-01T00:00:00.5"), None] {
            let suggestion = suggest("at", "is not DateTime", sample, &table, false);
            assert!(suggestion.contains("a type that holds such values for 'at'"), "{sample:?}: {suggestion}");
            assert!(suggestion.contains("mend whoever writes the files"), "{suggestion}");
            for wrong in ["String", "IMPORT_CSV", "raw record", "Nullable"] {
                assert!(!suggestion.contains(wrong), "{sample:?}: {suggestion}");
            }
        }
        assert!(suggest("id", "is not Int64", None, &table, false).contains("Nullable(Int64)"));
        assert!(suggest("at", "is not UTF-8", Some("x"), &table, false).contains("in UTF-8"));
        assert!(!suggest("", "odd", None, &table, false).contains("raw record"));
    }
}
