//! Binding: which column of a file feeds which column of the table.

use crate::error::Failure;
use crate::ports::ReferenceFile;
use crate::schema::{TableSchema, normalise_names};

/// For each table column, in order, the index of the file column that feeds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub sources: Vec<usize>,
    /// How many columns the file has.
    pub file_columns: usize,
}

/// Binds a file's columns to the table's.
///
/// A file column is found by the name that the table column has in files, else by its normalised name. Columns of the
/// reference file that the table does not have were left out on purpose: they are ignored.
///
/// # Errors
/// `Data` with code `missing_column` if the file lacks a column of the table, `duplicate_column` if it has two that the
/// table knows by one name, `new_column` if it brings one that neither the table nor the reference file has.
pub fn bind(
    schema: &TableSchema,
    file_columns: &[String],
    reference: Option<&ReferenceFile>,
) -> Result<Binding, Failure> {
    let found = find_sources(schema, file_columns);
    let missing: Vec<&str> = schema
        .columns
        .iter()
        .zip(&found)
        .filter(|(_, index)| index.is_none())
        .map(|(column, _)| &*column.source)
        .collect();
    if !missing.is_empty() {
        let whose = reference.map_or(String::new(), |reference| {
            format!("; the columns of the table were decided with the file '{}'", reference.key)
        });
        let message =
            format!("the file lacks {}; it has {}{whose}", list("column", &missing), short_list(file_columns));
        return Err(Failure::data("missing_column", message));
    }
    let sources: Vec<usize> = found.into_iter().flatten().collect();
    let repeated = file_columns
        .iter()
        .enumerate()
        .find(|(index, name)| !sources.contains(index) && schema.columns.iter().any(|column| column.source == **name));
    if let Some((_, name)) = repeated {
        let message = format!("the file has more columns named '{name}' than the table; which one is meant?");
        return Err(Failure::data("duplicate_column", message));
    }
    let is_known = |name: &str| reference.is_none_or(|reference| reference.columns.iter().any(|known| known == name));
    let new: Vec<&str> = file_columns
        .iter()
        .enumerate()
        .filter(|(index, name)| !sources.contains(index) && !is_known(name))
        .map(|(_, name)| name.as_str())
        .collect();
    if !new.is_empty() {
        let message =
            format!("the file brings {}, which neither the table nor the reference file has", list("column", &new));
        return Err(Failure::data("new_column", message));
    }
    Ok(Binding { sources, file_columns: file_columns.len() })
}

/// For each table column the file column that feeds it. Names as they are come first; a normalised name may only take
/// what they leave over, so that no file column ever feeds two table columns.
fn find_sources(schema: &TableSchema, file_columns: &[String]) -> Vec<Option<usize>> {
    let mut taken = vec![false; file_columns.len()];
    let mut take = |index: usize| (!std::mem::replace(&mut taken[index], true)).then_some(index);
    let mut found: Vec<Option<usize>> = schema
        .columns
        .iter()
        .map(|column| file_columns.iter().position(|name| *name == column.source).and_then(&mut take))
        .collect();
    let normalised = normalise_names(file_columns);
    for (column, slot) in schema.columns.iter().zip(&mut found) {
        if slot.is_none() {
            *slot = normalised.iter().position(|name| *name == column.name).and_then(&mut take);
        }
    }
    found
}

fn list(noun: &str, names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().take(10).map(|name| format!("'{name}'")).collect();
    let more = names.len().saturating_sub(10);
    let plural = if names.len() == 1 { "" } else { "s" };
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{noun}{plural} {}{tail}", quoted.join(", "))
}

fn short_list(names: &[String]) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    list("column", &names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Column;
    use crate::types::ColumnType;

    fn schema(names: &[&str]) -> TableSchema {
        TableSchema::new(names.iter().map(|name| Column::nullable(*name, ColumnType::String)).collect())
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let binding = bind(&schema(&["a", "b"]), &names(&["b", "a"]), None).expect("binds");
        assert_eq!(binding.sources, [1, 0]);
    }

    #[test]
    fn columns_of_the_reference_file_that_were_not_declared_are_ignored() {
        let reference = ReferenceFile { key: "k".into(), columns: names(&["a", "b", "c"]) };
        assert!(bind(&schema(&["a"]), &names(&["a", "c"]), Some(&reference)).is_ok());
        let error = bind(&schema(&["a"]), &names(&["a", "d"]), Some(&reference)).expect_err("new column");
        assert_eq!(error.code, "new_column");
        assert!(error.message.contains("'d'"));
    }

    #[test]
    fn a_file_column_never_feeds_two_table_columns() {
        let column = |name: &str, source: &str| Column {
            source: source.to_owned(),
            ..Column::nullable(name, ColumnType::String)
        };
        let schema = TableSchema::new(vec![column("first_name", "first name"), column("first_name_2", "first-name")]);
        let both = bind(&schema, &names(&["first-name", "first name"]), None).expect("binds");
        assert_eq!(both.sources, [1, 0]);
        let error = bind(&schema, &names(&["first-name"]), None).expect_err("one is missing");
        assert!(error.message.contains("column 'first name'"), "{error}");
    }

    #[test]
    fn a_repeated_column_is_refused_and_not_dropped() {
        for file in [["id", "id", "name"], ["id", "name", "name"]] {
            let reference = ReferenceFile { key: "k".into(), columns: names(&file) };
            for reference in [None, Some(&reference)] {
                let error = bind(&schema(&["id", "name"]), &names(&file), reference).expect_err("ambiguous");
                assert_eq!(error.code, "duplicate_column");
            }
        }
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = bind(&schema(&["a", "b"]), &names(&["a"]), None).expect_err("missing column");
        assert_eq!(error.code, "missing_column");
        assert!(error.message.contains("column 'b'"));
    }
}
