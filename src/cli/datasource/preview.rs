//! `datasource preview`: the first rows of a file as they would land.

use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::Args;
use connector_core::block::Block;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::ports::ColumnEvidence;
use connector_core::quarantine::shown;
use connector_core::spec::ImportSpec;
use connector_ledger::LedgerReader;
use serde_json::{Value, json};

use super::super::{ConfigFolder, VerbResult, output, project, runtime};
use super::{column_json, type_of};
use crate::app::connect;
use crate::config::Project;
use crate::preview::{Preview, preview};

#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource preview orders
  s3-connector datasource preview orders --evidence
  s3-connector datasource preview orders --file orders/2025-01-31.csv --rows 50")]
pub(super) struct PreviewVerb {
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
impl PreviewVerb {
    pub(super) fn execute(self) -> VerbResult {
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
