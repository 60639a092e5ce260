//! Table schemas: the columns a table has, whoever brought them.

use std::collections::{HashMap, HashSet};
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

/// Names that no data column of a table may have: those of the provenance columns, those that the quarantine table has
/// for itself, and the one that it gives to the text of a column `insertion_date`.
pub fn is_reserved(name: &str) -> bool {
    let lower = name.to_lowercase();
    let own = PROVENANCE_COLUMNS.iter().chain(&crate::quarantine::OWN_COLUMNS);
    own.into_iter().any(|own| *own == lower) || crate::quarantine::INSERTION_DATE_TEXT == lower
}

/// Turns the names that a file uses into column names, the same way everywhere: letters, digits and `_` stay, any
/// other run of characters becomes one `_`, a leading digit gets a `_` in front. Names that collide, with each other
/// (ignoring case) or with a reserved one, get a numbered suffix, in order of appearance.
pub fn normalise_names<S: AsRef<str>>(names: &[S]) -> Vec<String> {
    normalise_beside(names, &[])
}

/// As [`normalise_names`], beside columns that are there already. Takes time in proportion to the names.
pub fn normalise_beside<S: AsRef<str>>(names: &[S], present: &[&str]) -> Vec<String> {
    let mut taken: HashSet<String> = present.iter().map(|name| name.to_lowercase()).collect();
    // By wanted name the suffix to try next: all below are taken, and what is taken stays so.
    let mut suffixes: HashMap<String, usize> = HashMap::new();
    let mut unique = |name: &S| {
        let wanted = normalise_name(name.as_ref());
        let lower = wanted.to_lowercase();
        if !is_reserved(&wanted) && taken.insert(lower.clone()) {
            return wanted;
        }
        let suffix = suffixes.entry(lower).or_insert(2);
        loop {
            let numbered = format!("{wanted}_{suffix}");
            *suffix += 1;
            if !is_reserved(&numbered) && taken.insert(numbered.to_lowercase()) {
                return numbered;
            }
        }
    };
    names.iter().map(&mut unique).collect()
}

/// The column name that a name of a file becomes if no other column wants it.
pub(crate) fn normalise_name(name: &str) -> String {
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

    /// What the names mean: try one suffix after the other.
    fn one_by_one(names: &[String], present: &[&str]) -> Vec<String> {
        let mut taken: HashSet<String> = present.iter().map(|name| name.to_lowercase()).collect();
        let numbered = |name: &String| {
            let wanted = normalise_name(name);
            let mut unique = wanted.clone();
            let mut suffix = 2;
            while is_reserved(&unique) || !taken.insert(unique.to_lowercase()) {
                unique = format!("{wanted}_{suffix}");
                suffix += 1;
            }
            unique
        };
        names.iter().map(numbered).collect()
    }

    #[test]
    fn names_are_those_that_trying_every_suffix_finds() {
        let pool = [
            "a",
            "A",
            "a b",
            "A-b",
            "a_2",
            "A_2",
            "a_3",
            "a_2_2",
            "",
            "€",
            "column",
            "column_2",
            "7",
            "_7",
            "_s3_key",
            "_S3_KEY",
            "_s3_\u{212A}ey",
            "ΟΔΟΣ",
            "οδος",
            "οδοσ",
            "İ",
            "i\u{307}",
            "c__error",
            "c__insertion_date",
        ];
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let mut some = || -> Vec<String> {
                (0..random.usize(0..14)).map(|_| pool[random.usize(0..pool.len())].to_owned()).collect()
            };
            let (names, present) = (some(), some());
            let present: Vec<&str> = present.iter().map(String::as_str).collect();
            assert_eq!(
                normalise_beside(&names, &present),
                one_by_one(&names, &present),
                "{names:?} beside {present:?}"
            );
        }
    }

    #[test]
    fn a_hundred_thousand_names_that_all_collide_are_no_work() {
        let column = |index: usize| if index.is_multiple_of(2) { "€".to_owned() } else { "Column".to_owned() };
        let names: Vec<String> = (0..100_000).map(column).collect();
        let unique = normalise_names(&names);
        assert_eq!((unique[1].as_str(), unique[99_999].as_str()), ("Column_2", "Column_100000"));
    }

    #[test]
    fn the_text_of_an_insertion_date_has_a_name_that_no_column_may_have() {
        assert_eq!(
            normalise_names(&["insertion_date", "c__insertion_date", "C__Insertion_Date"]),
            ["insertion_date", "c__insertion_date_2", "C__Insertion_Date_3"]
        );
    }
}
