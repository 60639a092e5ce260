//! Table schemas: the columns a table has, whoever brought them.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::expr::Expr;
use crate::types::ColumnType;

/// The columns that say where a row came from. Every table has them, after its own columns.
pub const PROVENANCE_COLUMNS: [&str; 4] = ["_s3_key", "_s3_version", "_s3_row", "_batch_id"];

/// How a column came into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// SCHEMA of the `.datasource` names it.
    Declared,
    /// The reference file had it. Only values that inference itself takes for its type fit, so that no later value
    /// changes silently: `02134` is no Int64.
    Inferred,
    /// A later file brought it. As `Inferred`, and files may lack it.
    Evolved,
}

impl Origin {
    /// How ledger and table spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Inferred => "inferred",
            Self::Evolved => "evolved",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Declared, Self::Inferred, Self::Evolved].into_iter().find(|origin| origin.as_str() == text)
    }
}

/// What an empty or absent value becomes in a column that is not nullable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ColumnDefault {
    /// In the spelling a CSV cell would have.
    Literal(String),
    Expression(Expr),
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name in the table: letters, digits and `_`.
    pub name: String,
    /// Where files keep it: a CSV header, a Parquet column, or a path into nested values such as `a.b` or `lines[:].sku`
    /// (what follows `$.` in a jsonpath); `$` is the whole record.
    pub source: String,
    pub ty: ColumnType,
    pub nullable: bool,
    pub default: Option<ColumnDefault>,
    pub origin: Origin,
}

impl Column {
    /// A declared nullable column that is called the same in file and table.
    pub fn nullable(name: impl Into<String>, ty: ColumnType) -> Self {
        let name = name.into();
        Self { source: name.clone(), name, ty, nullable: true, default: None, origin: Origin::Declared }
    }

    /// As [`Column::nullable`], but every row has a value.
    pub fn required(name: impl Into<String>, ty: ColumnType) -> Self {
        Self { nullable: false, ..Self::nullable(name, ty) }
    }

    /// Whether only values fit that inference itself would have taken for the type.
    pub fn is_strict(&self) -> bool {
        self.origin != Origin::Declared
    }
}

/// The data columns of a table, in order, without the provenance columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    pub columns: Vec<Column>,
    /// The column by whose values the table's data files are kept apart.
    pub partition: Option<String>,
}

impl TableSchema {
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns, partition: None }
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

/// Names that no data column of a table may have: those of the provenance columns, and those that the quarantine table
/// has for itself.
pub fn is_reserved(name: &str) -> bool {
    let reserved = PROVENANCE_COLUMNS.iter().chain(&crate::quarantine::OWN_COLUMNS);
    reserved.into_iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Turns the names that a file uses into column names, the same way everywhere: letters, digits and `_` stay, any
/// other run of characters becomes one `_`, a leading digit gets a `_` in front. Names that collide, with each other
/// (ignoring case) or with a reserved one, get a numbered suffix, in order of appearance.
pub fn normalise_names<S: AsRef<str>>(names: &[S]) -> Vec<String> {
    normalise_beside(names, &[])
}

/// As [`normalise_names`], beside columns that are there already.
pub fn normalise_beside<S: AsRef<str>>(names: &[S], present: &[&str]) -> Vec<String> {
    let mut taken: std::collections::HashSet<String> = present.iter().map(|name| name.to_lowercase()).collect();
    names
        .iter()
        .map(|name| {
            let wanted = normalise_name(name.as_ref());
            let mut unique = wanted.clone();
            let mut suffix = 2;
            while is_reserved(&unique) || !taken.insert(unique.to_lowercase()) {
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
