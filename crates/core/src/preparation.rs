//! What has to happen before a table can take rows.

use crate::error::Failure;
use crate::ports::AddedColumn;
use crate::schema::{Column, Origin, TableSchema};

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

/// A table's schema as the next batch sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reconciled {
    /// The table's columns in its order, with what SCHEMA says of them today, then those that SCHEMA has gained.
    pub schema: TableSchema,
    /// Columns that SCHEMA has gained since the table was created: the next commit adds them.
    pub added: Vec<AddedColumn>,
}

/// Holds a declared schema against the table's. What a table need not be rewritten for takes effect: another name in
/// files, another default, `Nullable`, a further column. A column that came by evolution may be declared afterwards.
///
/// # Errors
/// `Config` with code `schema_changed` if a type differs, a column is gone or moved to another partition: that cannot
/// be honoured, so it must not be ignored either.
pub fn reconcile(declared: &TableSchema, table: &TableSchema) -> Result<Reconciled, Failure> {
    let mut schema = table.clone();
    for column in &mut schema.columns {
        match declared.find(&column.name) {
            Some(wanted) if wanted.ty == column.ty => *column = wanted.clone(),
            None if column.origin == Origin::Evolved => {}
            _ => return Err(schema_changed(&column.name)),
        }
    }
    if declared.partition != table.partition {
        let column = declared.partition.as_deref().or(table.partition.as_deref()).unwrap_or_default();
        return Err(schema_changed(column));
    }
    let present = |wanted: &Column| table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&wanted.name));
    let mut added = Vec::new();
    for wanted in &declared.columns {
        if table.find(&wanted.name).is_none() {
            if present(wanted) {
                return Err(schema_changed(&wanted.name));
            }
            schema.columns.push(wanted.clone());
            added.push(AddedColumn { column: wanted.clone(), key: None });
        }
    }
    Ok(Reconciled { schema, added })
}

fn schema_changed(column: &str) -> Failure {
    Failure::config(
        "schema_changed",
        format!(
            "the SCHEMA of the data source and its table disagree about column '{column}'; the type of a table's \
             column cannot be changed, nor the column removed, by editing the data source: undo the edit, or give the \
             data source another name to start a new table"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ColumnDefault;
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

    fn schema(columns: &[(&str, ColumnType)]) -> TableSchema {
        TableSchema::new(columns.iter().map(|(name, ty)| Column::nullable(*name, ty.clone())).collect())
    }

    #[test]
    fn an_edit_that_would_rewrite_the_table_is_refused_by_the_column() {
        let table = schema(&[("a", ColumnType::Int64), ("b", ColumnType::String)]);
        let mut partitioned = table.clone();
        partitioned.partition = Some("a".to_owned());
        for edited in [
            schema(&[("a", ColumnType::Int64)]),
            schema(&[("a", ColumnType::Int64), ("b", ColumnType::Int64)]),
            schema(&[("a", ColumnType::Int64), ("B", ColumnType::String)]),
            partitioned,
        ] {
            assert_eq!(reconcile(&edited, &table).expect_err("differs").code, "schema_changed");
        }
    }

    #[test]
    fn what_a_table_need_not_be_rewritten_for_takes_effect() {
        let mut table = schema(&[("a", ColumnType::Int64), ("x", ColumnType::String)]);
        table.columns[0].nullable = false;
        table.columns[1].origin = Origin::Evolved;
        let mut declared = schema(&[("new", ColumnType::Bool), ("a", ColumnType::Int64)]);
        declared.columns[1].default = Some(ColumnDefault::Literal("7".to_owned()));
        let reconciled = reconcile(&declared, &table).expect("agrees");
        let names: Vec<&str> = reconciled.schema.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["a", "x", "new"]);
        assert_eq!(reconciled.schema.columns[0], declared.columns[1], "nullable and with a default now");
        assert_eq!(reconciled.schema.columns[1], table.columns[1], "what came by evolution stays");
        assert_eq!(reconciled.added, [AddedColumn { column: declared.columns[0].clone(), key: None }]);
        assert_eq!(reconcile(&table, &table).expect("agrees").added, []);
    }
}
