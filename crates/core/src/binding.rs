//! Binding: which column of a file feeds which column of the table.

use crate::schema::{TableSchema, normalise_names};

/// For each table column, in order, the index of the file column that feeds it; `None` if the file lacks it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Bound {
    pub sources: Vec<Option<usize>>,
    /// How many columns the file has.
    pub file_columns: usize,
}

impl Bound {
    /// The same file against a table that has more columns by now: the file lacks those.
    pub fn widen(&mut self, columns: usize) {
        self.sources.resize(columns.max(self.sources.len()), None);
    }
}

/// Binds a file's columns to the table's.
///
/// A file column is found by the name that the table column has in files, else by its normalised name, else by that
/// name without regard to case. Each pass may only take what the one before left over, so that no file column ever
/// feeds two table columns.
pub fn bind(schema: &TableSchema, file_columns: &[String]) -> Bound {
    let normalised = normalise_names(file_columns);
    let lower: Vec<String> = normalised.iter().map(|name| name.to_lowercase()).collect();
    let mut taken = vec![false; file_columns.len()];
    let mut sources = vec![None; schema.columns.len()];
    let mut pass = |found: &dyn Fn(&crate::schema::Column) -> Option<usize>| {
        for (column, slot) in schema.columns.iter().zip(&mut sources).filter(|(_, slot)| slot.is_none()) {
            *slot = found(column).filter(|index| !std::mem::replace(&mut taken[*index], true));
        }
    };
    pass(&|column| file_columns.iter().position(|name| *name == column.source));
    pass(&|column| normalised.iter().position(|name| *name == column.name));
    pass(&|column| lower.iter().position(|name| *name == column.name.to_lowercase()));
    Bound { sources, file_columns: file_columns.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Column;
    use crate::types::ColumnType;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn schema(columns: &[&str]) -> TableSchema {
        TableSchema::new(columns.iter().map(|name| Column::nullable(*name, ColumnType::String)).collect())
    }

    fn sources(table: &[&str], file: &[&str]) -> Vec<Option<usize>> {
        bind(&schema(table), &names(file)).sources
    }

    #[test]
    fn order_does_not_matter_and_what_is_absent_is_none() {
        assert_eq!(sources(&["a", "b", "c"], &["b", "x", "a"]), [Some(2), Some(0), None]);
    }

    #[test]
    fn exact_names_come_before_normalised_ones_and_those_before_other_case() {
        assert_eq!(sources(&["id"], &["ID", "id"]), [Some(1)]);
        assert_eq!(sources(&["id"], &["ID"]), [Some(0)]);
        assert_eq!(sources(&["first_name", "x"], &["First-Name"]), [Some(0), None]);
        assert_eq!(sources(&["id", "ID_2"], &["id", "ID"]), [Some(0), Some(1)]);
    }

    #[test]
    fn a_file_column_never_feeds_two_table_columns() {
        let column = |name: &str, source: &str| Column {
            source: source.to_owned(),
            ..Column::nullable(name, ColumnType::String)
        };
        let schema = TableSchema::new(vec![column("first_name", "first name"), column("first_name_2", "first-name")]);
        assert_eq!(bind(&schema, &names(&["first-name", "first name"])).sources, [Some(1), Some(0)]);
        assert_eq!(bind(&schema, &names(&["first-name"])).sources, [None, Some(0)]);
    }

    #[test]
    fn a_wider_table_has_columns_that_the_file_lacks() {
        let mut bound = bind(&schema(&["a"]), &names(&["a"]));
        bound.widen(3);
        assert_eq!(bound.sources, [Some(0), None, None]);
    }
}
