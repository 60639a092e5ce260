//! `datasource`: what a data source's files look like, what its table has beyond its file, and pausing its import.

pub(super) mod mending;

use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::{Args, Subcommand};
use connector_core::block::Block;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::history::SchemaVersion;
use connector_core::ports::ColumnEvidence;
use connector_core::quarantine::shown;
use connector_core::schema::{Column, Origin, TableSchema};
use connector_core::spec::{Format, ImportSpec};
use connector_ledger::LedgerReader;
use serde_json::{Value, json};

use super::scheduling::Scheduling;
use super::{ConfigFolder, VerbResult, output, project, runtime};
use crate::app::connect;
use crate::config::Project;
use crate::destination::Destinations;
use crate::operations::Operation;
use crate::preview::{Preview, preview};

/// Look at a data source: how its files would land, how its table differs from its file. Pause and resume its import.
#[derive(Args)]
pub struct DataSource {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the first rows of a file as they would land. Imports nothing
    Preview(PreviewVerb),
    /// Show what the table has beyond the .datasource file, and what the file has beyond the table
    Diff(Diff),
    /// Say whether the import is paused, and why; pause and resume it
    Scheduling(Scheduling),
    /// Make files that failed, wait, or were rolled back claimable again
    Retry(mending::Retry),
    /// Rebuild a lost ledger from the table, so that nothing is imported twice
    Adopt(mending::Mend),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource preview orders
  s3-connector datasource preview orders --evidence
  s3-connector datasource preview orders --file orders/2025-01-31.csv --rows 50")]
struct PreviewVerb {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    /// The key of the file to look at; the oldest one that matches if left out
    #[arg(long)]
    file: Option<String>,
    /// Rows shown at most
    #[arg(long, default_value_t = 10)]
    rows: usize,
    /// Show why each column has its type
    #[arg(long)]
    evidence: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource diff orders
  s3-connector datasource diff orders --json")]
struct Diff {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl DataSource {
    pub fn execute(self) -> VerbResult {
        match self.verb {
            Verb::Preview(verb) => verb.execute(),
            Verb::Diff(verb) => verb.execute(),
            Verb::Scheduling(verb) => verb.execute(),
            Verb::Retry(verb) => verb.execute(),
            Verb::Adopt(verb) => verb.execute(Operation::Adopt),
        }
    }
}

impl PreviewVerb {
    fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let spec = project::import(&project, &self.datasource)?;
        let mut found = runtime::block_on(|_| async {
            let source = connect(spec, Arc::new(SystemClock))?.bucket(spec.uri.bucket());
            Ok(preview(spec, &source, self.file.as_deref(), SystemClock.now()).await?)
        })?;
        if let Some(evidence) = recorded_evidence(&project, spec, &found)? {
            found.evidence = evidence;
        }
        if self.json {
            output::line(as_json(&found, self.rows).to_string());
        } else {
            self.show(&found);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn show(&self, found: &Preview) {
        let object = &found.object;
        let (format, bytes) = (found.format.as_str(), output::bytes(object.size));
        output::line(format!("{} ({format}, {bytes}, {})", shown(&object.key), object.last_modified));
        if let Some(dialect) = &found.dialect {
            let quote = dialect.quote.map_or("none".to_owned(), |quote| {
                if quote == b'\'' { "\"'\"".to_owned() } else { format!("'{}'", shown_byte(quote)) }
            });
            let header = if dialect.header { "with a header" } else { "without a header" };
            let nulls = if dialect.nulls.is_empty() { "empty".to_owned() } else { dialect.nulls.join(", ") };
            let delimiter = shown_byte(dialect.delimiter);
            output::line(format!("  delimiter '{delimiter}', quote {quote}, {header}, NULL: {nulls}"));
        }
        output::line("");
        let mut columns = vec![["COLUMN", "TYPE", "IN FILES"].map(str::to_owned).to_vec()];
        columns.extend(
            found.schema.columns.iter().map(|column| vec![column.name.clone(), type_of(column), shown(&column.source)]),
        );
        output::table(&columns);
        if self.evidence {
            show_evidence(&found.evidence);
        }
        for cause in &found.causes {
            output::line(format!("\nits rows would go to quarantine: {}", cause.message));
        }
        show_rows(found, self.rows);
    }
}

/// A byte of a dialect: itself, or an escape where nobody would see it.
fn shown_byte(byte: u8) -> String {
    if byte.is_ascii_graphic() || byte == b' ' { char::from(byte).to_string() } else { byte.escape_ascii().to_string() }
}

/// What the ledger keeps of the schema's reference file, if this is it.
fn recorded_evidence(
    project: &Project,
    spec: &ImportSpec,
    found: &Preview,
) -> Result<Option<Vec<ColumnEvidence>>, Failure> {
    let Some(ledger) = LedgerReader::open(&project.settings.data_dir)? else { return Ok(None) };
    let reference = ledger.record(&spec.name)?.and_then(|record| record.reference);
    let same = reference.filter(|reference| reference.key == found.object.key && !reference.evidence.is_empty());
    Ok(same.map(|reference| reference.evidence))
}

fn show_evidence(evidence: &[ColumnEvidence]) {
    output::line("");
    let mut rows = vec![["COLUMN", "TYPE", "VALUES", "NULLS", "BECAUSE", "EXAMPLES"].map(str::to_owned).to_vec()];
    for one in evidence {
        rows.push(vec![
            shown(&one.column),
            one.ty.clone(),
            one.values.to_string(),
            one.nulls.to_string(),
            one.because.clone(),
            one.examples.iter().map(|example| shown(example)).collect::<Vec<_>>().join(", "),
        ]);
    }
    output::table(&rows);
}

fn show_rows(found: &Preview, limit: usize) {
    let names: Vec<String> = found.schema.columns.iter().map(|column| column.name.clone()).collect();
    let mut rows = vec![names];
    rows.extend(found.blocks.iter().flat_map(texts_of).take(limit));
    output::line("");
    output::table(&rows);
    let rejected: usize = found.blocks.iter().map(|block| block.rejected.len()).sum();
    if rejected > 0 {
        output::line(format!("\n{rejected} of the rows looked at would go to quarantine:"));
        for message in messages_of(found).take(limit) {
            output::line(format!("  {message}"));
        }
    }
}

/// The good rows of a block as text.
fn texts_of(block: &Block) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let column = |array: &Arc<dyn Array>| {
        let formatter = ArrayFormatter::try_new(array, &options).ok();
        let text =
            |row| formatter.as_ref().map_or_else(String::new, |formatter| shown(&formatter.value(row).to_string()));
        (0..array.len()).map(text).collect::<Vec<_>>()
    };
    let columns: Vec<Vec<String>> = block.rows.columns().iter().map(column).collect();
    (0..block.rows.num_rows()).map(|row| columns.iter().map(|column| column[row].clone()).collect()).collect()
}

fn messages_of(found: &Preview) -> impl Iterator<Item = String> + '_ {
    let mut first = 0;
    found.blocks.iter().flat_map(move |block| {
        let start = first;
        first += block.records;
        (0..block.rejected.len()).map(move |row| {
            let errors = block.rejected.errors_of(row).iter();
            let messages: Vec<String> = errors.map(|error| block.rejected.message(row, error, &found.schema)).collect();
            format!("row {}: {}", start + block.rejected.ordinals[row] + 1, messages.join("; "))
        })
    })
}

fn as_json(found: &Preview, limit: usize) -> Value {
    let columns: Vec<Value> = found.schema.columns.iter().map(column_json).collect();
    json!({
        "key": found.object.key,
        "format": found.format.as_str(),
        "bytes": found.object.size,
        "dialect": found.dialect,
        "columns": columns,
        "evidence": found.evidence,
        "causes": found.causes.iter().map(|cause| json!({ "column": cause.column, "code": cause.code, "message": cause.message })).collect::<Vec<_>>(),
        "rows": found.blocks.iter().flat_map(texts_of).take(limit).collect::<Vec<_>>(),
        "quarantined": messages_of(found).take(limit).collect::<Vec<_>>(),
    })
}

fn column_json(column: &Column) -> Value {
    json!({ "name": column.name, "type": type_of(column), "source": column.source, "origin": column.origin.as_str() })
}

fn type_of(column: &Column) -> String {
    if column.nullable { format!("Nullable({})", column.ty) } else { column.ty.to_string() }
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
    fn execute(self) -> VerbResult {
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
