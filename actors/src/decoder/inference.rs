//! Reading the columns of the reference file: the first file, in claim order, that has any.

use connector_core::error::{ErrorClass, Failure};
use connector_core::object::ObjectRef;
use connector_core::ports::ReferenceFile;
use connector_core::spec::Format;
use connector_decode::csv::CsvOptions;
use connector_decode::infer;
use connector_decode::parquet::ParquetFile;

use super::fetch::Reader;
use super::parquet_file;
use crate::messages::decoding::InferredColumns;

/// Bytes of a CSV file's head that are looked at.
const CSV_HEAD_BYTES: u64 = 1 << 20;

/// Tries the files in order, each with a reader of its own. The error has one failure for each file that was tried;
/// what is not the file's fault ends the search.
pub(super) async fn first_columns(
    files: Vec<(ObjectRef, Format)>,
    names_only: bool,
    reader_of: impl Fn(ObjectRef) -> Reader,
) -> Result<InferredColumns, Vec<Failure>> {
    let mut failures = Vec::new();
    for (object, format) in files {
        let reader = reader_of(object);
        let inferred = match format {
            Format::Csv => csv(&reader).await,
            Format::Parquet => parquet(&reader, names_only).await,
        };
        match inferred {
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

async fn csv(reader: &Reader) -> Result<InferredColumns, Failure> {
    let size = reader.object.size;
    let length = size.min(CSV_HEAD_BYTES);
    let _credit = reader.account.acquire(length * 4).await;
    let head = reader.range(0..length).await?;
    let inferred = reader.on_pool(move || infer::csv(&head, length == size, &CsvOptions::default())).await??;
    let reference = ReferenceFile { key: reader.object.key.to_string(), columns: inferred.file_columns };
    Ok(InferredColumns { schema: Some(inferred.schema), reference })
}

async fn parquet(reader: &Reader, names_only: bool) -> Result<InferredColumns, Failure> {
    let source = parquet_file::footer_only(reader).await?;
    let read = move || {
        let file = ParquetFile::open(source)?;
        // A column that was left out may have a type that no table column can have.
        let schema = if names_only { None } else { Some(file.infer()?) };
        Ok::<_, Failure>((schema, file.columns()))
    };
    let (schema, columns) = reader.on_pool(read).await??;
    Ok(InferredColumns { schema, reference: ReferenceFile { key: reader.object.key.to_string(), columns } })
}
