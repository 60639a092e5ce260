//! What has to happen before a table can take rows.

use crate::error::Failure;
use crate::ports::AddedColumn;
use crate::quarantine::shown;
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
/// `Config` with code `schema_changed`, naming the difference, if a type differs, a column is gone, is spelled in another
/// case, or was added by another program, or the table is partitioned otherwise: that cannot be honoured, so it must not
/// be ignored either.
pub fn reconcile(declared: &TableSchema, table: &TableSchema) -> Result<Reconciled, Failure> {
    let mut schema = table.clone();
    for column in &mut schema.columns {
        match declared.find(&column.name) {
            Some(wanted) if wanted.ty == column.ty => *column = wanted.clone(),
            Some(wanted) => return Err(schema_changed(&retyped(column, wanted), UNDO)),
            None => match declared.columns.iter().find(|wanted| wanted.name.eq_ignore_ascii_case(&column.name)) {
                Some(wanted) => return Err(schema_changed(&respelled(column, wanted), UNDO)),
                None if column.origin == Origin::Evolved => {}
                None => return Err(gone(column)),
            },
        }
    }
    if declared.partition != table.partition {
        return Err(schema_changed(&repartitioned(declared, table), UNDO));
    }
    let gained = declared.columns.iter().filter(|wanted| table.find(&wanted.name).is_none());
    let added: Vec<AddedColumn> = gained.map(|wanted| AddedColumn { column: wanted.clone(), key: None }).collect();
    schema.columns.extend(added.iter().map(|added| added.column.clone()));
    Ok(Reconciled { schema, added })
}

/// Where the columns came from of which the table does not say it. What the ledger knows was declared, or inferred
/// before tables kept it; what it does not know was added by another program, and no file needs to have it.
pub fn with_origins(mut schema: TableSchema, known: Option<&TableSchema>, declared: bool) -> TableSchema {
    for column in schema.columns.iter_mut().filter(|column| column.origin == Origin::Declared) {
        let is_known = known.is_none_or(|known| known.find(&column.name).is_some());
        if !is_known {
            column.origin = Origin::Evolved;
        } else if !declared {
            column.origin = Origin::Inferred;
        }
    }
    schema
}

const UNDO: &str = "editing a data source cannot change that of a table that is there: undo the edit, or give the data \
                    source another name to start a new table";

fn schema_changed(difference: &str, remedy: &str) -> Failure {
    let message = format!("the SCHEMA of the data source and its table disagree: {difference}; {remedy}");
    Failure::config("schema_changed", message)
}

fn retyped(column: &Column, wanted: &Column) -> String {
    format!("column '{}' is {} in the table and {} in SCHEMA", shown(&column.name), column.ty, wanted.ty)
}

fn respelled(column: &Column, wanted: &Column) -> String {
    format!("column '{}' of the table is spelled '{}' in SCHEMA", shown(&column.name), shown(&wanted.name))
}

/// The table does not tell who added a declared column. Where it was another program, it was not us who lost it.
fn gone(column: &Column) -> Failure {
    let (name, ty) = (shown(&column.name), &column.ty);
    let ty = if column.nullable && ty.takes_null() { format!("Nullable({ty})") } else { ty.to_string() };
    match column.origin {
        Origin::Declared => schema_changed(
            &format!("column '{name}' of the table is gone from SCHEMA, or another program added it to the table"),
            &format!(
                "a column cannot be removed from a table by editing its data source: write '{name} {ty}' into SCHEMA, \
                 which is right in both cases, or give the data source another name to start a new table"
            ),
        ),
        _ => schema_changed(
            &format!("column '{name}', which came with the table's first file, is gone from SCHEMA"),
            &format!(
                "a column cannot be removed from a table by editing its data source: write '{name} {ty}' into SCHEMA, \
                 or give the data source another name to start a new table"
            ),
        ),
    }
}

fn repartitioned(declared: &TableSchema, table: &TableSchema) -> String {
    let by = |schema: &TableSchema| match &schema.partition {
        Some(column) => format!("by column '{}'", shown(column)),
        None => "by no column".to_owned(),
    };
    format!("the table is partitioned {}, ENGINE_PARTITION_KEY says {}", by(table), by(declared))
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
    fn an_edit_that_would_rewrite_the_table_is_refused_by_what_differs() {
        let mut table = schema(&[("a", ColumnType::Int64), ("b", ColumnType::String)]);
        table.columns[1].nullable = false;
        let mut inferred = table.clone();
        inferred.columns[1].origin = Origin::Inferred;
        let mut evolved = table.clone();
        evolved.columns[1].origin = Origin::Evolved;
        let mut partitioned = table.clone();
        partitioned.partition = Some("a".to_owned());
        let only_a = schema(&[("a", ColumnType::Int64)]);
        let retyped = schema(&[("a", ColumnType::Int64), ("b", ColumnType::Bool)]);
        let respelled = schema(&[("a", ColumnType::Int64), ("B", ColumnType::String)]);
        let spelled = "column 'b' of the table is spelled 'B' in SCHEMA";
        for (edited, table, difference) in [
            (&only_a, &table, "column 'b' of the table is gone from SCHEMA, or another program added it"),
            (&only_a, &table, "write 'b String' into SCHEMA, which is right in both cases"),
            (&only_a, &inferred, "column 'b', which came with the table's first file, is gone from SCHEMA"),
            (&retyped, &table, "column 'b' is String in the table and Bool in SCHEMA"),
            (&retyped, &evolved, "column 'b' is String in the table and Bool in SCHEMA"),
            (&respelled, &table, spelled),
            (&respelled, &evolved, spelled),
            (&partitioned, &table, "partitioned by no column, ENGINE_PARTITION_KEY says by column 'a'"),
            (&table, &partitioned, "partitioned by column 'a', ENGINE_PARTITION_KEY says by no column"),
        ] {
            let refused = reconcile(edited, table).expect_err("differs");
            assert_eq!(refused.code, "schema_changed");
            assert!(refused.message.contains(difference), "{}", refused.message);
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
