//! A job as text: JSON.

use std::sync::Arc;

use connector_actors::decoder::probe::ProbeJob;
use connector_core::csv::CsvSettings;
use connector_core::schema::{Column, Origin, TableSchema};
use connector_core::spec::Format;
use connector_core::types::ColumnType;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Job {
    /// The process that waits for the answer.
    parent: u32,
    size: u64,
    format: String,
    memory: u64,
    delimiter: Option<u8>,
    /// Empty: no byte quotes. Absent: to be found out.
    quote: Option<Vec<u8>>,
    header: Option<bool>,
    nulls: Option<Vec<String>>,
    skip_lines: Option<u32>,
    columns: Option<Vec<JobColumn>>,
}

/// A column without its DEFAULT: what becomes of absent values is no matter of the file.
#[derive(Serialize, Deserialize)]
struct JobColumn {
    name: String,
    source: String,
    ty: String,
    nullable: bool,
    origin: String,
}

/// `parent`: the id of this process.
pub(super) fn encode(job: &ProbeJob, parent: u32) -> String {
    let column = |column: &Column| JobColumn {
        name: column.name.clone(),
        source: column.source.clone(),
        ty: column.ty.to_string(),
        nullable: column.nullable,
        origin: column.origin.as_str().to_owned(),
    };
    let wire = Job {
        parent,
        size: job.size,
        format: job.format.as_str().to_owned(),
        memory: job.memory,
        delimiter: job.csv.delimiter,
        quote: job.csv.quote.map(|quote| quote.into_iter().collect()),
        header: job.csv.header,
        nulls: job.csv.nulls.clone(),
        skip_lines: job.csv.skip_lines,
        columns: job.schema.as_ref().map(|schema| schema.columns.iter().map(column).collect()),
    };
    serde_json::json!(wire).to_string()
}

/// The job, and whose it is.
///
/// # Errors
/// In words, if it is no job.
pub(super) fn decode(text: &str) -> Result<(ProbeJob, u32), String> {
    let wire: Job = serde_json::from_str(text).map_err(|error| format!("the job is not readable: {error}"))?;
    let format = [Format::Csv, Format::Ndjson, Format::Parquet].into_iter().find(|one| one.as_str() == wire.format);
    let column = |column: JobColumn| {
        let ty = ColumnType::parse_canonical(&column.ty).ok_or_else(|| format!("there is no type {}", column.ty))?;
        let origin = Origin::parse(&column.origin).ok_or_else(|| format!("no origin {}", column.origin))?;
        Ok::<_, String>(Column {
            name: column.name,
            source: column.source,
            ty,
            nullable: column.nullable,
            default: None,
            origin,
        })
    };
    let columns = wire.columns.map(|columns| columns.into_iter().map(column).collect::<Result<Vec<_>, _>>());
    let job = ProbeJob {
        size: wire.size,
        format: format.ok_or_else(|| format!("there is no format {}", wire.format))?,
        memory: wire.memory,
        csv: CsvSettings {
            delimiter: wire.delimiter,
            quote: wire.quote.map(|quote| quote.first().copied()),
            header: wire.header,
            nulls: wire.nulls,
            skip_lines: wire.skip_lines,
        },
        schema: columns.transpose()?.map(|columns| Arc::new(TableSchema::new(columns))),
    };
    Ok((job, wire.parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_comes_through_as_it_was() {
        let columns = vec![
            Column::nullable("id", ColumnType::Int64),
            Column { origin: Origin::Inferred, ..Column::required("a_b", ColumnType::String) },
        ];
        let quotes = [None, Some(None), Some(Some(b'\''))];
        for (quote, format) in quotes.into_iter().zip([Format::Csv, Format::Ndjson, Format::Parquet]) {
            let csv = CsvSettings {
                delimiter: Some(b';'),
                quote,
                header: quote.map(|_| true),
                nulls: Some(vec!["N/A".to_owned(), "\"\n".to_owned()]),
                skip_lines: Some(3),
            };
            let schema = quote.map(|_| Arc::new(TableSchema::new(columns.clone())));
            let job = ProbeJob { size: u64::MAX, format, csv, schema, memory: 1 << 40 };
            assert_eq!(decode(&encode(&job, 7)), Ok((job, 7)));
        }
    }

    #[test]
    fn what_is_no_job_is_told_in_words() {
        for text in ["", "{}", "[1]", r#"{"parent":1,"size":1,"format":"xml","memory":1}"#] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
