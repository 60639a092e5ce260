//! `datasource data`: rows of the table. Reads the table itself, whether the program runs or not.

use std::process::ExitCode;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use clap::Args;
use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::quarantine::shown;
use connector_core::schema::PROVENANCE_COLUMNS;
use connector_core::spec::ImportSpec;
use connector_delta::TableScan;
use serde_json::{Value, json};

use super::super::{ConfigFolder, Ended, VerbResult, output, project, runtime};
use super::sample;
use crate::config::Project;
use crate::destination::Destinations;
use crate::rows;

/// Show rows of the table, in no particular order
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource data orders
  s3-connector datasource data orders --limit 100 --columns id,amount --json
  s3-connector datasource data orders --file orders/2025-01-31.csv --provenance  rows of one file")]
pub(super) struct Data {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    /// Rows shown at most
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// Only these columns, in this order
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    columns: Vec<String>,
    /// Only rows of the file with this key
    #[arg(long, value_name = "KEY")]
    file: Option<String>,
    /// Only rows that the batch with this id brought
    #[arg(long)]
    batch: Option<String>,
    /// Show also from which file, row and batch each row came
    #[arg(long)]
    provenance: bool,
    /// Print JSON: columns, and rows as objects
    #[arg(long)]
    json: bool,
}

/// What was read.
struct Found {
    /// The columns that are shown.
    names: Vec<String>,
    /// At most `limit` rows, with nothing but those columns.
    batches: Vec<RecordBatch>,
}

/// What a row says of where it came from.
const KEY: &str = "_s3_key";
const BATCH: &str = "_batch_id";

impl Data {
    pub(super) fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let spec = project::import(&project, &self.datasource)?;
        let Some(Found { names, batches }) = self.read(&project, spec)? else {
            if self.json {
                output::line(json!({ "datasource": spec.name, "columns": [], "rows": [] }).to_string());
            } else {
                output::line(format!("{}: there is no table yet", spec.name));
                sample::tell_next(&sample::commands(&self.folder.config, &[format!("datasource sync {}", spec.name)]));
            }
            return Ok(ExitCode::SUCCESS);
        };
        if self.json {
            output::line(as_json(spec, &names, &batches)?.to_string());
        } else {
            self.show(&names, &batches)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// `None` without a table.
    fn read(&self, project: &Project, spec: &ImportSpec) -> Result<Option<Found>, Ended> {
        let wanted = (!self.columns.is_empty()).then(|| {
            let more = [KEY, BATCH].map(str::to_owned).into_iter().filter(|name| !self.columns.contains(name));
            self.columns.iter().cloned().chain(more).collect::<Vec<_>>()
        });
        let scan = |io| async {
            let table = Destinations::new(project, Arc::new(SystemClock), io)?.table(spec)?;
            Ok(table.scan(wanted.as_deref()).await?)
        };
        runtime::block_on_then(scan, |scan| scan.map(|scan| self.collect(scan)).transpose())
    }

    fn collect(&self, scan: TableScan) -> Result<Found, Ended> {
        let is_shown = |name: &str| match self.columns.is_empty() {
            true => self.provenance || !PROVENANCE_COLUMNS.contains(&name),
            false => self.columns.iter().any(|wanted| wanted == name),
        };
        let shown: Vec<usize> =
            (0..scan.schema().fields().len()).filter(|at| is_shown(scan.schema().field(*at).name())).collect();
        let names = shown.iter().map(|at| scan.schema().field(*at).name().clone()).collect();
        let (mut batches, mut left) = (Vec::new(), self.limit);
        for batch in scan {
            if left == 0 {
                break;
            }
            let batch = self.filtered(&batch?).map_err(|error| unshowable(&error))?;
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            batches.push(batch.project(&shown).map_err(|error| unshowable(&error))?);
        }
        Ok(Found { names, batches })
    }

    /// The rows that are asked for.
    fn filtered(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let mut batch = batch.clone();
        for (column, wanted) in [(KEY, &self.file), (BATCH, &self.batch)] {
            let Some(wanted) = wanted else { continue };
            let found = batch.column_by_name(column).and_then(|array| array.as_string_opt::<i32>());
            let is_it = |row: usize| found.is_some_and(|found| found.is_valid(row) && found.value(row) == wanted);
            let mask: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_it(row))).collect();
            batch = filter_record_batch(&batch, &mask)?;
        }
        Ok(batch)
    }

    fn show(&self, names: &[String], batches: &[RecordBatch]) -> Result<(), Failure> {
        let mut table = vec![names.to_vec()];
        for batch in batches {
            let texts = rows::texts(batch, "NULL").map_err(|error| unshowable(&error))?;
            table.extend(texts.into_iter().map(|row| row.iter().map(|text| shown(text)).collect()));
        }
        let number = table.len() - 1;
        if number == 0 {
            let of = if self.file.is_some() || self.batch.is_some() { "such " } else { "" };
            output::line(format!("{}: the table has no {of}rows", self.datasource));
            return Ok(());
        }
        output::table(&table);
        if number == self.limit {
            output::note(format!("there may be more; --limit {} shows them", self.limit.saturating_mul(10)));
        }
        Ok(())
    }
}

fn as_json(spec: &ImportSpec, names: &[String], batches: &[RecordBatch]) -> Result<Value, Failure> {
    let mut objects = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            objects.push(Value::Object(rows::object(batch, row).map_err(|error| unshowable(&error))?));
        }
    }
    Ok(json!({ "datasource": spec.name, "columns": names, "rows": objects }))
}

fn unshowable(error: &ArrowError) -> Failure {
    Failure::bug("rows", format!("rows of the table cannot be shown: {error}"))
}
