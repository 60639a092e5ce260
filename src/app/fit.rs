//! Whether data sources fit their tables, before they are let in.

use connector_core::error::Failure;
use connector_core::ids::ImportName;
use connector_core::ports::{Destination, ImportRecord};
use connector_core::preparation::{reconcile, with_origins};
use connector_core::schema::TableSchema;
use connector_core::spec::ImportSpec;
use serde::Serialize;

use crate::operations::Tables;

/// What becomes of the table of an import.
#[derive(Clone, Debug, Serialize)]
pub struct TableFit {
    pub import: ImportName,
    pub change: TableChange,
    /// Where it is.
    pub table: String,
    /// Columns that are created or added.
    pub columns: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableChange {
    /// Made at once, with the columns of SCHEMA.
    Create,
    /// Made when the first file has told the columns.
    CreateWithFirstFile,
    /// The next commit adds columns that SCHEMA has gained.
    AddColumns,
    None,
}

impl TableChange {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "is created",
            Self::CreateWithFirstFile => "is created with the first file",
            Self::AddColumns => "gains columns with the next commit",
            Self::None => "stays as it is",
        }
    }
}

/// Holds a data source against its table. `record`: what the ledger has of the import.
///
/// # Errors
/// `Config` with code `schema_changed` if the table cannot become what SCHEMA says; else what reading it says.
pub async fn fit(spec: &ImportSpec, tables: &Tables, record: Option<&ImportRecord>) -> Result<TableFit, Failure> {
    let facts = tables.table.read().await?;
    let names = |schema: &TableSchema| schema.columns.iter().map(|column| column.name.clone()).collect();
    let declared = spec.columns.clone().map(|columns| TableSchema { columns, partition: spec.partition.clone() });
    let (change, columns) = match (facts, declared) {
        (None, None) => (TableChange::CreateWithFirstFile, Vec::new()),
        (None, Some(declared)) => (TableChange::Create, names(&declared)),
        (Some(_), None) => (TableChange::None, Vec::new()),
        (Some(facts), Some(declared)) => {
            let known = record.and_then(|record| record.schema.as_ref());
            let reconciled =
                reconcile(&declared, &with_origins(facts.schema, known, true)).map_err(|mut failure| {
                    failure.message = format!("{}: {}", spec.name, failure.message);
                    failure
                })?;
            let added: Vec<String> = reconciled.added.into_iter().map(|added| added.column.name).collect();
            (if added.is_empty() { TableChange::None } else { TableChange::AddColumns }, added)
        }
    };
    Ok(TableFit { import: spec.name.clone(), change, table: tables.table.location(), columns })
}
