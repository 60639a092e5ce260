//! `datasource diff`: what the table has beyond the `.datasource` file, and the other way round.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::history::SchemaVersion;
use connector_core::quarantine::shown;
use connector_core::schema::{Column, Origin, TableSchema};
use connector_core::spec::{Format, ImportSpec};
use connector_ledger::LedgerReader;
use serde_json::{Value, json};

use super::super::{ConfigFolder, VerbResult, output, project, runtime};
use super::{column_json, type_of};
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
        output::line(format!("    {}{comma}", declaration(column, spec.format)));
    }
}

/// A column of the table as SCHEMA would have it, with its place in the files if that is spelled otherwise.
fn declaration(column: &Column, format: Option<Format>) -> String {
    let path = match format {
        _ if column.source == column.name => String::new(),
        Some(Format::Csv | Format::Parquet) => {
            let name = column.source.replace('\\', "\\\\").replace('\'', "\\'");
            format!("json:$['{name}']")
        }
        _ if column.source.starts_with('[') => format!("json:${}", column.source),
        _ => format!("json:$.{}", column.source),
    };
    let quoted = |text: &str| format!("`{}`", text.replace('\\', "\\\\").replace('`', "\\`"));
    let path = if path.is_empty() { path } else { format!(" {}", quoted(&path)) };
    format!("{} {}{path}", quoted(&column.name), type_of(column))
}
#[cfg(test)]
mod tests {
    use connector_core::types::ColumnType;
    use connector_datafile::{SourceFile, parse_datasource};

    use super::*;

    #[test]
    fn what_is_to_be_added_to_schema_is_read_as_the_column_that_the_table_has() {
        let array = ColumnType::Array { element: Box::new(ColumnType::String), nullable: true };
        let columns = [
            (Column::nullable("x", ColumnType::Int64), "x"),
            (Column::nullable("placed_at", ColumnType::DateTime64 { precision: 6 }), "placed at"),
            (Column::nullable("ID_2", ColumnType::Decimal { precision: 9, scale: 2 }), "ID"),
            (Column::nullable("odd", ColumnType::String), "it's `odd` \\ or [not]"),
            (Column::required("tags", array), "tags"),
        ];
        let of = |(column, source): &(Column, &str)| Column { source: (*source).to_owned(), ..column.clone() };
        let columns: Vec<Column> = columns.iter().map(of).collect();
        let declared: Vec<String> = columns.iter().map(|column| declaration(column, Some(Format::Csv))).collect();
        let import = "IMPORT_CONNECTION_NAME c\nIMPORT_BUCKET_URI s3://bkt/*.csv";
        let text = format!("SCHEMA >\n    {}\n\n{import}\n", declared.join(",\n    "));
        let (read, problems) =
            parse_datasource(&SourceFile::new("datasources/t.datasource", text.clone()), &|_: &str| None);
        assert_eq!(problems, [], "{text}");
        let facts = |column: &Column| (column.name.clone(), column.source.clone(), type_of(column));
        let read: Vec<_> = read.columns.iter().flatten().map(|found| facts(&found.column)).collect();
        assert_eq!(read, columns.iter().map(facts).collect::<Vec<_>>(), "{text}");

        let nested = Column { source: "a.b".to_owned(), ..Column::nullable("a_b", ColumnType::Int64) };
        assert_eq!(declaration(&nested, Some(Format::Ndjson)), "`a_b` Nullable(Int64) `json:$.a.b`");
    }
}
