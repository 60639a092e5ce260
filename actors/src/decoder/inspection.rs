//! Inspection: what a file brings, without reading its rows.

use std::sync::Arc;

use connector_core::csv::CsvDialect;
use connector_core::error::Failure;
use connector_core::evolve::FileShape;
use connector_core::schema::TableSchema;
use connector_core::spec::Format;
use connector_decode::parquet::ParquetFile;
use connector_decode::{infer, ndjson};

use super::content::{self, Content};
use super::fetch::Reader;
use super::sample::TextSample;

/// What was found out about a file.
pub(super) struct Inspected {
    pub(super) shape: FileShape,
    /// Its bytes decide: it may be Parquet although its name promises text.
    pub(super) format: Format,
}

/// Looks at the header and a sample, or at the footer.
///
/// # Errors
/// Those of reading; `Data` if the file is not readable as what it is. A file of text without any record is readable:
/// it has no columns.
pub(super) async fn inspect(
    reader: &Reader,
    format: Format,
    dialect: CsvDialect,
    schema: Arc<TableSchema>,
) -> Result<Inspected, Failure> {
    match content::read(reader, format).await? {
        Content::Parquet(source) => {
            let shape = reader.on_pool(move || ParquetFile::open(source).map(|file| file.shape_for(&schema))).await??;
            Ok(Inspected { shape, format: Format::Parquet })
        }
        Content::Text(text) => {
            let shape = reader.on_pool(move || text_shape(&text, format, &dialect, &schema)).await??;
            Ok(Inspected { shape, format })
        }
    }
}

fn text_shape(
    text: &TextSample,
    format: Format,
    dialect: &CsvDialect,
    schema: &TableSchema,
) -> Result<FileShape, Failure> {
    if format == Format::Ndjson {
        // A key inside an object that a column takes as a whole is nothing new.
        return ndjson::shape_for(&text.sample, schema);
    }
    match infer::csv_shape(&text.sample, dialect) {
        Err(failure) if is_without_records(&failure) && text.sample.whole_file => {
            Ok(FileShape { columns: Vec::new(), has_header: false })
        }
        shape => shape,
    }
}

/// Whether a CSV file holds nothing but a byte order mark and line ends, or only lines to be skipped. Such a file has
/// no rows, and nothing is wrong with it.
pub(super) fn is_without_records(failure: &Failure) -> bool {
    failure.code == "no_header"
}
