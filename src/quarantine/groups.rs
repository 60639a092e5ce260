//! Quarantined rows by what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use connector_core::quarantine::{QuarantinedRow, error_kind};
use connector_core::remedy::suggest;
use connector_core::schema::TableSchema;
use jiff::Timestamp;
use serde::Serialize;

/// Files of a group that are named.
const NAMED_FILES: usize = 3;
/// More kinds of errors than anybody reads: what comes later is counted under one heading.
const MAX_GROUPS: usize = 1_000;

/// Rows with the same kind of error on the same column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Empty if the record as a whole is wrong.
    pub column: String,
    /// What is wrong, without the value.
    pub error: String,
    pub rows: u64,
    /// The value in one of the rows.
    pub sample: Option<String>,
    /// The place of that row: key, and ordinal of the record from 0.
    pub sample_key: String,
    pub sample_row: i64,
    /// How many files have such rows, and the first of them.
    pub files: u64,
    pub first_files: Vec<String>,
    pub first_seen: Option<Timestamp>,
    pub last_seen: Option<Timestamp>,
    pub suggestion: String,
}

/// Gathers groups. Memory grows with kinds of errors and files, not with rows.
#[derive(Default)]
pub struct Groups {
    groups: BTreeMap<(String, String), (Group, BTreeSet<String>)>,
    rows: u64,
}

impl Groups {
    /// A row with several errors is in several groups.
    pub fn add(&mut self, row: &QuarantinedRow, table: &TableSchema) {
        self.rows += 1;
        for (column, message) in &row.errors {
            let mut name = (column.clone(), error_kind(column, message).to_owned());
            if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&name) {
                name = (String::new(), "other errors".to_owned());
            }
            let (group, files) = self.groups.entry(name).or_insert_with_key(|(column, error)| {
                let sample = row.text(column).map(str::to_owned);
                let suggestion = suggest(column, error, sample.as_deref(), table, row.raw.is_some());
                (new_group(column, error, row, sample, suggestion), BTreeSet::new())
            });
            group.rows += 1;
            group.first_seen = [group.first_seen, row.inserted].into_iter().flatten().min();
            group.last_seen = group.last_seen.max(row.inserted);
            if files.insert(row.key.clone()) && group.first_files.len() < NAMED_FILES {
                group.first_files.push(row.key.clone());
            }
        }
    }

    /// Rows added.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The groups, largest first.
    pub fn finish(self) -> Vec<Group> {
        let count = |(mut group, files): (Group, BTreeSet<String>)| {
            group.files = files.len() as u64;
            group
        };
        let mut groups: Vec<Group> = self.groups.into_values().map(count).collect();
        groups.sort_by(|one, other| other.rows.cmp(&one.rows).then_with(|| one.column.cmp(&other.column)));
        groups
    }
}

fn new_group(column: &str, error: &str, row: &QuarantinedRow, sample: Option<String>, suggestion: String) -> Group {
    Group {
        column: column.to_owned(),
        error: error.to_owned(),
        rows: 0,
        sample,
        sample_key: row.key.clone(),
        sample_row: row.row,
        files: 0,
        first_files: Vec::new(),
        first_seen: None,
        last_seen: None,
        suggestion,
    }
}

#[cfg(test)]
mod tests {
    use connector_core::schema::Column;
    use connector_core::types::ColumnType;

    use super::*;

    fn row(key: &str, row: i64, errors: &[(&str, &str)], id: &str) -> QuarantinedRow {
        QuarantinedRow {
            errors: errors.iter().map(|(column, message)| ((*column).to_owned(), (*message).to_owned())).collect(),
            batch: "b".to_owned(),
            key: key.to_owned(),
            version: "v".to_owned(),
            row,
            inserted: Some(Timestamp::from_second(row).expect("in range")),
            raw: Some(id.to_owned()),
            texts: vec![("id".to_owned(), Some(id.to_owned()))],
        }
    }

    #[test]
    fn rows_are_grouped_by_column_and_kind_with_counts_samples_and_a_remedy() {
        let table = TableSchema::new(vec![Column::required("id", ColumnType::Int64)]);
        let mut groups = Groups::default();
        groups.add(&row("1.csv", 1, &[("id", "value '' on column 'id' is not Int64")], ""), &table);
        groups.add(&row("2.csv", 2, &[("id", "value 'x' on column 'id' is not Int64"), ("", "odd")], "x"), &table);
        assert_eq!(groups.rows(), 2);
        let groups = groups.finish();
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].rows, groups[0].files, groups[0].error.as_str()), (2, 2, "is not Int64"));
        assert_eq!((groups[0].sample.as_deref(), groups[0].sample_row), (Some(""), 1));
        assert!(groups[0].suggestion.contains("Nullable"), "{}", groups[0].suggestion);
        assert_eq!(groups[0].last_seen, Timestamp::from_second(2).ok());
    }
}
