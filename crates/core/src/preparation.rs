//! What has to happen before a table can take rows.

use crate::error::Failure;
use crate::schema::TableSchema;

/// What ledger, table and configuration say of one table.
#[derive(Clone, Copy, Debug)]
pub struct TableKnowledge {
    /// The table is there.
    pub exists: bool,
    /// The ledger knows that it is there.
    pub noted: bool,
    /// The data source declares its columns.
    pub declared: bool,
    /// The ledger holds a schema that was decided before.
    pub decided: bool,
}

/// The next step towards a table, without any file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Store the declared schema, then create the table: so it can be queried before its first file.
    DecideDeclared,
    /// The schema was decided and the process died before the table was there.
    Create,
    /// The table was created and the process died before the ledger heard of it.
    Note,
    /// Nothing to do now. Without a table, the first file decides.
    Ready,
}

impl TableKnowledge {
    pub fn next(self) -> Preparation {
        match self {
            Self { exists: true, noted: false, .. } => Preparation::Note,
            Self { exists: true, .. } => Preparation::Ready,
            Self { declared: true, .. } => Preparation::DecideDeclared,
            Self { decided: true, .. } => Preparation::Create,
            Self { .. } => Preparation::Ready,
        }
    }
}

/// Holds a declared schema against the table's.
///
/// # Errors
/// `Config` with code `schema_changed` if they differ: that cannot be honoured yet, so it must not be ignored either.
pub fn same_columns(declared: &TableSchema, table: &TableSchema) -> Result<(), Failure> {
    let differing =
        declared.columns.iter().find(|column| table.find(&column.name).is_none_or(|found| found != *column));
    let gone = table.columns.iter().find(|column| declared.find(&column.name).is_none());
    let Some(column) = differing.or(gone) else { return Ok(()) };
    Err(Failure::config(
        "schema_changed",
        format!(
            "the SCHEMA of the data source and its table disagree about column '{}'; a table's columns cannot be \
             changed by editing the data source: undo the edit, or give the data source another name to start a new \
             table",
            column.name
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Column;
    use crate::types::ColumnType;

    #[test]
    fn every_interruption_on_the_way_to_a_table_is_taken_up() {
        let knowledge = |exists, noted, declared, decided| TableKnowledge { exists, noted, declared, decided };
        let cases = [
            (knowledge(false, false, true, false), Preparation::DecideDeclared),
            (knowledge(false, false, true, true), Preparation::DecideDeclared),
            (knowledge(false, false, false, true), Preparation::Create),
            (knowledge(false, false, false, false), Preparation::Ready),
            (knowledge(true, false, true, true), Preparation::Note),
            (knowledge(true, false, false, true), Preparation::Note),
            (knowledge(true, true, true, true), Preparation::Ready),
        ];
        for (knowledge, expected) in cases {
            assert_eq!(knowledge.next(), expected, "{knowledge:?}");
        }
    }

    #[test]
    fn an_edited_schema_is_told_by_the_column() {
        let schema = |columns: &[(&str, ColumnType)]| {
            TableSchema::new(columns.iter().map(|(name, ty)| Column::nullable(*name, *ty)).collect())
        };
        let table = schema(&[("a", ColumnType::Int64), ("b", ColumnType::String)]);
        assert_eq!(same_columns(&table, &table), Ok(()));
        let mut renamed = table.clone();
        renamed.columns[0].source = "another header".to_owned();
        let mut defaulted = table.clone();
        defaulted.columns[1].default = Some("x".to_owned());
        for edited in [
            renamed,
            defaulted,
            schema(&[("a", ColumnType::Int64)]),
            schema(&[("a", ColumnType::Int64), ("b", ColumnType::Int64)]),
            schema(&[("a", ColumnType::Int64), ("b", ColumnType::String), ("c", ColumnType::String)]),
        ] {
            assert_eq!(same_columns(&edited, &table).expect_err("differs").code, "schema_changed");
        }
    }
}
