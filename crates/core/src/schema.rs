//! Table schemas: the columns a table has, whoever brought them.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::types::ColumnType;

/// The columns that say where a row came from. Every table has them, after its own columns.
pub const PROVENANCE_COLUMNS: [&str; 4] = ["_s3_key", "_s3_version", "_s3_row", "_batch_id"];

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name in the table: letters, digits and `_`.
    pub name: String,
    /// The name by which files call it: a CSV header or a Parquet column.
    pub source: String,
    pub ty: ColumnType,
    pub nullable: bool,
    /// A literal for empty cells of a column that is not nullable, in the spelling a CSV cell would have.
    pub default: Option<String>,
}

impl Column {
    /// A nullable column that is called the same in file and table.
    pub fn nullable(name: impl Into<String>, ty: ColumnType) -> Self {
        let name = name.into();
        Self { source: name.clone(), name, ty, nullable: true, default: None }
    }
}

/// The data columns of a table, in order, without the provenance columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    pub columns: Vec<Column>,
}

impl TableSchema {
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns }
    }

    /// The Arrow schema of a block's rows: the data columns and nothing else.
    pub fn arrow(&self) -> SchemaRef {
        let fields: Vec<Field> =
            self.columns.iter().map(|column| Field::new(&column.name, column.ty.arrow(), column.nullable)).collect();
        Arc::new(Schema::new(fields))
    }

    pub fn find(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Turns the names that a file uses into column names, the same way everywhere: letters, digits and `_` stay, any
/// other run of characters becomes one `_`, a leading digit gets a `_` in front. Names that collide, with each other
/// (ignoring case) or with a provenance column, get a numbered suffix, in order of appearance.
pub fn normalise_names<S: AsRef<str>>(names: &[S]) -> Vec<String> {
    let mut taken: std::collections::HashSet<String> =
        PROVENANCE_COLUMNS.iter().map(|name| (*name).to_owned()).collect();
    names
        .iter()
        .map(|name| {
            let wanted = normalise_name(name.as_ref());
            let mut unique = wanted.clone();
            let mut suffix = 2;
            while !taken.insert(unique.to_lowercase()) {
                unique = format!("{wanted}_{suffix}");
                suffix += 1;
            }
            unique
        })
        .collect()
}

fn normalise_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for letter in name.trim().chars() {
        if letter.is_alphanumeric() || letter == '_' {
            out.push(letter);
        } else if !out.ends_with('_') {
            out.push('_');
        }
    }
    if out.is_empty() || out == "_" {
        return "column".to_owned();
    }
    if out.starts_with(|first: char| first.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_once_and_collisions_are_numbered() {
        let names = normalise_names(&["id", "ID", "first name", "first-name", "2024", "", "preis €", "_s3_key"]);
        assert_eq!(names, ["id", "ID_2", "first_name", "first_name_2", "_2024", "column", "preis_", "_s3_key_2"]);
    }

    #[test]
    fn normalising_twice_changes_nothing() {
        let once = normalise_names(&["a b", "a_b", "ä", "x.y.z"]);
        assert_eq!(normalise_names(&once), once);
    }
}
