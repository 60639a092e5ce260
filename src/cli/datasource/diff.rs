//! `datasource diff`: what the table has beyond the `.datasource` file, and the other way round.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::history::SchemaVersion;
use connector_core::quarantine::shown;
use connector_core::schema::{Column, Origin, TableSchema};
use connector_core::spec::ImportSpec;
use connector_datafile::write::datasource::declaration;
use connector_ledger::LedgerReader;
use serde_json::{Value, json};

use super::super::{ConfigFolder, VerbResult, output, project, runtime};
use super::column_json;
use crate::destination::Destinations;

#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource diff orders
  s3-connector datasource diff orders --json")]
pub(super) struct Diff {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}
/// How a table and its file differ.
struct Difference {
    /// Columns that files brought, and the file that did.
    evolved: Vec<(Column, Option<String>)>,
    /// Columns of SCHEMA that the table will get with its next commit.
    waiting: Vec<Column>,
    /// Without SCHEMA everything in the table was inferred.
    inferred: Vec<Column>,
}

impl Diff {
    pub(super) fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let spec = project::import(&project, &self.datasource)?;
        let facts = runtime::block_on(|io| async {
            Ok(Destinations::new(&project, Arc::new(SystemClock), io)?.table(spec)?.facts().await?)
        })?;
        let Some(facts) = facts else {
            if self.json {
                let nothing = TableSchema::new(Vec::new());
                output::document(&Difference::of(spec, &nothing, &[]).as_json());
                return Ok(ExitCode::SUCCESS);
            }
            output::line(format!("{}: there is no table yet", spec.name));
            return Ok(ExitCode::SUCCESS);
        };
        let history = match LedgerReader::open(&project.settings.data_dir).map_err(Failure::from)? {
            Some(ledger) => ledger.schema_history(&spec.name).map_err(Failure::from)?.unwrap_or_default(),
            None => Vec::new(),
        };
        if let Some(columns) = &spec.columns {
            let declared = TableSchema { columns: columns.clone(), partition: spec.partition.clone() };
            // Says what cannot be honoured, as the import itself would.
            connector_core::preparation::reconcile(&declared, &facts.schema)?;
        }
        let difference = Difference::of(spec, &facts.schema, &history);
        if self.json {
            output::line(difference.as_json().to_string());
        } else {
            difference.show(spec);
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Difference {
    fn of(spec: &ImportSpec, table: &TableSchema, history: &[SchemaVersion]) -> Self {
        let declared = spec.columns.as_deref();
        let is_declared = |name: &str| declared.is_some_and(|all| all.iter().any(|column| column.name == name));
        let cause = |name: &str| {
            let changes = history.iter().skip(1).flat_map(|version| &version.changes);
            changes.filter(|change| change.column == name).find_map(|change| change.key.clone())
        };
        let beyond = |column: &&Column| !is_declared(&column.name);
        let evolved = table.columns.iter().filter(beyond).filter(|column| column.origin == Origin::Evolved);
        let inferred = table.columns.iter().filter(beyond).filter(|column| column.origin != Origin::Evolved);
        let waiting = declared.into_iter().flatten().filter(|column| table.find(&column.name).is_none());
        Self {
            evolved: evolved.map(|column| (column.clone(), cause(&column.name))).collect(),
            waiting: waiting.cloned().collect(),
            inferred: inferred.cloned().collect(),
        }
    }

    fn as_json(&self) -> Value {
        let evolved = |(column, key): &(Column, Option<String>)| {
            let mut value = column_json(column);
            value["key"] = json!(key);
            value
        };
        json!({
            "evolved": self.evolved.iter().map(evolved).collect::<Vec<_>>(),
            "waiting": self.waiting.iter().map(column_json).collect::<Vec<_>>(),
            "inferred": self.inferred.iter().map(column_json).collect::<Vec<_>>(),
        })
    }

    fn show(&self, spec: &ImportSpec) {
        if self.evolved.is_empty() && self.waiting.is_empty() && self.inferred.is_empty() {
            return output::line(format!("{}: the table has exactly the columns of its file", spec.name));
        }
        if !self.evolved.is_empty() {
            output::line("columns that files brought; to declare them, add to SCHEMA behind a ',':");
            declarations(spec, self.evolved.iter().map(|(column, _)| column));
            output::line("the files that brought them:");
            let file = |(column, key): &(Column, Option<String>)| {
                let key = key.as_deref().map_or_else(|| "unknown".to_owned(), shown);
                vec![format!("    {}", column.name), key]
            };
            output::table(&self.evolved.iter().map(file).collect::<Vec<_>>());
        }
        if !self.waiting.is_empty() {
            output::line("columns of SCHEMA that the next commit adds to the table:");
            declarations(spec, self.waiting.iter());
        }
        if !self.inferred.is_empty() {
            output::line("columns that were inferred, since the file has no SCHEMA:");
            declarations(spec, self.inferred.iter());
        }
    }
}

/// Columns as SCHEMA would have them, one on each line.
fn declarations<'a>(spec: &ImportSpec, columns: impl ExactSizeIterator<Item = &'a Column>) {
    let last = columns.len().saturating_sub(1);
    for (at, column) in columns.enumerate() {
        let comma = if at == last { "" } else { "," };
        output::line(format!("    {}{comma}", declaration(&column.into(), spec.format)));
    }
}
