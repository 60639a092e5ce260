//! What a person can do about a group of quarantined rows.

use crate::schema::{Column, TableSchema};

/// A suggestion for rows with this kind of error (see [`crate::quarantine::error_kind`]) on this column.
/// `sample`: the text of the value in one of them; `None` for NULL and for an absent value.
pub fn suggest(column: &str, kind: &str, sample: Option<&str>, table: &TableSchema) -> String {
    let known = table.find(column);
    if kind.contains("the file lacks column") {
        return "if files may lack it, set IMPORT_ON_MISSING_COLUMN null; else mend whoever writes the files"
            .to_owned();
    }
    if kind.contains("may not be added") {
        return "set IMPORT_EVOLUTION evolve to add the column, or declare it in SCHEMA".to_owned();
    }
    if kind.contains("was not in the sample") {
        return format!("declare '{column}' in SCHEMA, so that it need not be found in a sample");
    }
    if kind.contains("does not go into") {
        return "declare the wider type in a new data source, or mend whoever writes the files".to_owned();
    }
    if kind.contains("fields") {
        return "look at the raw record: is a delimiter or a line end in a value that is not quoted?".to_owned();
    }
    if kind.contains("quote") {
        return "look at the raw record: a quote is opened and never closed; or set IMPORT_CSV_QUOTE none".to_owned();
    }
    match known {
        Some(column) if kind.starts_with("is not ") => of_type(column, sample),
        _ => "look at the raw record, and mend whoever writes the files".to_owned(),
    }
}

fn of_type(column: &Column, sample: Option<&str>) -> String {
    let (name, ty) = (&column.name, &column.ty);
    match sample {
        None | Some("") => format!("declare '{name}' as Nullable({ty}), or give it a DEFAULT"),
        Some(text) if is_null_word(text) => {
            format!("if '{text}' means NULL, list it in IMPORT_CSV_NULL and declare '{name}' as Nullable({ty})")
        }
        Some(_) => {
            format!("if such values are right, declare '{name}' as String in a new data source; else mend the files")
        }
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
            ("the file lacks column 'id'; it has 'a'", None, "IMPORT_ON_MISSING_COLUMN null"),
            ("column 'z' is not in the table and may not be added", None, "IMPORT_EVOLUTION evolve"),
            ("the record has 3 fields, the header 2", None, "delimiter"),
        ];
        for (kind, sample, part) in cases {
            let suggestion = suggest("id", kind, sample, &table);
            assert!(suggestion.contains(part), "{kind}: {suggestion}");
        }
    }
}
