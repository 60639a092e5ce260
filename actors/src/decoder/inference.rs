//! Reading the columns of the reference file: the first file, in claim order, that has any.

use std::sync::Arc;

use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::error::{ErrorClass, Failure};
use connector_core::object::ObjectRef;
use connector_core::ports::{ColumnEvidence, ReferenceFile};
use connector_core::spec::Format;
use connector_decode::parquet::{ParquetFile, ParquetSource};
use connector_decode::{infer, ndjson};

use super::content::{self, Content};
use super::fetch::Reader;
use super::gate::{self, Gate};
use super::inspection::is_without_records;
use super::probe::ProbeJob;
use super::sample::TextSample;
use crate::messages::decoding::{FileError, InferColumns, InferredColumns};

/// Tries the files in order, each with a reader of its own. The error has one failure for each file that was tried;
/// what is not the file's fault ends the search. A file in which nothing is has the code `no_records`.
pub(super) async fn first_columns(
    message: InferColumns,
    reader_of: impl Fn(ObjectRef) -> Reader,
    gate: &Gate,
) -> Result<InferredColumns, Vec<Failure>> {
    let (names_only, settings) = (message.schema.is_some(), Arc::new(message.csv));
    let mut failures = Vec::new();
    for (object, format) in message.files {
        let reader = reader_of(object);
        let (csv, schema) = (&settings, &message.schema);
        let job = || ProbeJob {
            size: reader.object.size,
            format,
            csv: csv.as_ref().clone(),
            schema: schema.clone(),
            memory: reader.world.credit.usage().1,
        };
        let found = match gate.admit(&reader, job).await {
            Ok(()) => columns(&reader, format, &settings, names_only).await.map_err(FileError::from),
            Err(error) => Err(error),
        };
        gate.leave(&reader.object, &found);
        match found.map_err(|error| gate::ends_search(gate::judged(&reader.object, error).failure)) {
            Ok(inferred) => return Ok(inferred),
            Err(failure) => {
                let data = failure.class == ErrorClass::Data;
                failures.push(failure);
                if !data {
                    break;
                }
            }
        }
    }
    Err(failures)
}

/// What one file shows.
struct Found {
    /// `None` if only names were wanted.
    schema: Option<connector_core::schema::TableSchema>,
    columns: Vec<String>,
    dialect: Option<CsvDialect>,
    evidence: Vec<ColumnEvidence>,
}

impl Found {
    fn of(inferred: infer::Inferred, names_only: bool) -> Self {
        Self {
            schema: (!names_only).then_some(inferred.schema),
            columns: inferred.file_columns,
            dialect: inferred.dialect,
            evidence: inferred.evidence,
        }
    }
}

async fn columns(
    reader: &Reader,
    format: Format,
    settings: &Arc<CsvSettings>,
    names_only: bool,
) -> Result<InferredColumns, Failure> {
    let found = match content::read(reader, format).await? {
        Content::Parquet(source) => reader.on_pool(move || of_parquet(source, names_only)).await?,
        Content::Text(text) => {
            let settings = Arc::clone(settings);
            reader.on_pool(move || of_text(&text, format, &settings, names_only)).await?
        }
    };
    let found = match found {
        Ok(found) if found.columns.is_empty() => Err(without_records(reader)),
        Err(failure) if is_without_records(&failure) => Err(without_records(reader)),
        found => found,
    }?;
    let key = reader.object.key.to_string();
    let reference = ReferenceFile { key, columns: found.columns, dialect: found.dialect, evidence: found.evidence };
    Ok(InferredColumns { schema: found.schema, reference })
}

/// Nothing is wrong with the file, but there is nothing in it.
fn without_records(reader: &Reader) -> Failure {
    let message = format!("{} has no record, so there is nothing to infer columns from", reader.object.uri());
    Failure::data("no_records", message)
}

fn of_text(text: &TextSample, format: Format, settings: &CsvSettings, names_only: bool) -> Result<Found, Failure> {
    let inferred = match format {
        Format::Ndjson => ndjson::infer(&text.sample)?,
        Format::Csv | Format::Parquet => infer::csv(&text.sample, settings)?,
    };
    Ok(Found::of(inferred, names_only))
}

fn of_parquet(source: ParquetSource, names_only: bool) -> Result<Found, Failure> {
    let file = ParquetFile::open(source)?;
    match file.infer() {
        Ok(inferred) => Ok(Found::of(inferred, names_only)),
        // A column that SCHEMA leaves out may have a type that no table column can have.
        Err(_) if names_only => {
            Ok(Found { schema: None, columns: file.columns(), dialect: None, evidence: Vec::new() })
        }
        Err(failure) => Err(failure),
    }
}
