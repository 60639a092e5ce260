//! A job as one argument of a command line: JSON.

use std::sync::Arc;

use connector_actors::decoder::probe::ProbeJob;
use connector_core::csv::CsvSettings;
use connector_core::schema::{Column, Origin, TableSchema};
use connector_core::spec::Format;
use connector_core::types::ColumnType;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Job {
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

/// The longest argument that a system takes, with room to spare (Linux: 128 KiB).
const MAX_BYTES: usize = 96 << 10;

/// A schema that makes the argument too long is left out: then the child finds the columns itself.
pub(super) fn encode(job: &ProbeJob) -> String {
    let text = encode_whole(job);
    if text.len() <= MAX_BYTES { text } else { encode_whole(&ProbeJob { schema: None, ..job.clone() }) }
}

fn encode_whole(job: &ProbeJob) -> String {
    let column = |column: &Column| JobColumn {
        name: column.name.clone(),
        source: column.source.clone(),
        ty: column.ty.to_string(),
        nullable: column.nullable,
        origin: column.origin.as_str().to_owned(),
    };
    let wire = Job {
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

/// # Errors
/// In words, if it is no job.
pub(super) fn decode(text: &str) -> Result<ProbeJob, String> {
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
    Ok(ProbeJob {
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
    })
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
            assert_eq!(decode(&encode(&job)), Ok(job));
        }
    }

    #[test]
    fn a_schema_that_is_too_long_for_an_argument_is_left_out() {
        let columns = (0..10_000).map(|n| Column::nullable(format!("column_{n}"), ColumnType::Int64)).collect();
        let schema = Some(Arc::new(TableSchema::new(columns)));
        let job = ProbeJob { size: 1, format: Format::Csv, csv: CsvSettings::default(), schema, memory: 1 };
        let text = encode(&job);
        assert!(text.len() < 128 << 10);
        assert_eq!(decode(&text), Ok(ProbeJob { schema: None, ..job }));
    }

    #[test]
    fn what_is_no_job_is_told_in_words() {
        for text in ["", "{}", "[1]", r#"{"size":1,"format":"xml","memory":1}"#] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
