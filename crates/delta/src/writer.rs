//! Data files: Parquet with zstd, provenance columns added on the way, statistics taken from the finished file.
//!
//! A file is created under a fresh name, never overwritten and referred to by nobody until a commit adds it, so it
//! needs no renaming; it only has to be durable before `finish` returns. A writer that is dropped unfinished takes its
//! file with it.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use connector_core::ports::{DataFileWriter, PortResult, RowOrigin, StagedFile};
use connector_core::schema::{PROVENANCE_COLUMNS, TableSchema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use uuid::Uuid;

use crate::error::DeltaError;
use crate::files;
use crate::stats;

/// A slice is what is encoded at once: bounds the memory of provenance columns and the step by which buffers grow.
const SLICE_ROWS: usize = 8_192;
const SLICE_BYTES: usize = 8 << 20;
/// A row group is closed at whichever comes first.
const ROW_GROUP_ROWS: usize = 1 << 20;
const ROW_GROUP_BYTES: usize = 64 << 20;
/// zstd 1: of all levels the cheapest by far for the ratio that it gives; columns are mostly decoded once and small.
const ZSTD_LEVEL: i32 = 1;
const WRITE_BUFFER_BYTES: usize = 256 << 10;

/// One open data file.
pub(crate) struct ParquetFileWriter {
    file: UnfinishedFile,
    /// The data columns, as blocks bring them.
    data: SchemaRef,
    /// The data columns and the provenance columns, as they are handed to the encoder.
    encoded: SchemaRef,
    parquet: ArrowWriter<BufWriter<File>>,
    rows: u64,
}

impl ParquetFileWriter {
    /// Creates a new file in the table's directory `root`. Blocking.
    pub(crate) fn create(root: &Path, schema: &TableSchema) -> Result<Self, DeltaError> {
        let name = format!("part-{}.parquet", Uuid::new_v4());
        let path = root.join(&name);
        let opened = File::options().write(true).create_new(true).open(&path);
        let opened = opened.map_err(|error| DeltaError::io(&path, error))?;
        let file = UnfinishedFile { root: root.to_owned(), path, name, finished: false };
        let data = schema.arrow();
        let encoded = with_provenance(&data, DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)));
        // Without the Arrow schema in the footer, readers see plain Parquet types and not our dictionaries.
        let options = ArrowWriterOptions::new().with_properties(properties(&data)?).with_skip_arrow_metadata(true);
        let buffered = BufWriter::with_capacity(WRITE_BUFFER_BYTES, opened);
        let parquet = ArrowWriter::try_new_with_options(buffered, Arc::clone(&encoded), options)
            .map_err(|error| DeltaError::parquet(&file.path, &error))?;
        Ok(Self { file, data, encoded, parquet, rows: 0 })
    }

    fn append(&mut self, rows: &RecordBatch, origin: &RowOrigin, ordinals: &[u64]) -> Result<(), DeltaError> {
        if ordinals.len() != rows.num_rows() {
            let why = format!("{} rows have {} ordinals", rows.num_rows(), ordinals.len());
            return Err(self.bad_block(why));
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.data), rows.columns().to_vec())
            .map_err(|error| self.bad_block(error.to_string()))?;
        let version = origin.version.hex();
        let texts = [&*origin.key, &version, origin.batch.as_str()];
        let step = slice_rows(&rows);
        for start in (0..rows.num_rows()).step_by(step) {
            let length = step.min(rows.num_rows() - start);
            let slice = rows.slice(start, length);
            self.encode(slice.columns(), texts, &ordinals[start..start + length])?;
        }
        Ok(())
    }

    fn encode(&mut self, data: &[ArrayRef], texts: [&str; 3], ordinals: &[u64]) -> Result<(), DeltaError> {
        let [key, version, batch] = texts.map(|text| constant(text, ordinals.len()));
        let ordinals: Result<Vec<i64>, _> = ordinals.iter().map(|ordinal| i64::try_from(*ordinal)).collect();
        let ordinals = ordinals.map_err(|_| self.bad_block("an ordinal exceeds a Delta long".to_owned()))?;
        let rows = ordinals.len() as u64;
        let mut columns = data.to_vec();
        columns.extend([key?, version?, Arc::new(Int64Array::from(ordinals)), batch?]);
        let slice = RecordBatch::try_new(Arc::clone(&self.encoded), columns)
            .map_err(|error| self.bad_block(error.to_string()))?;
        self.parquet.write(&slice).map_err(|error| self.failed(&error))?;
        self.rows += rows;
        if self.parquet.memory_size() >= ROW_GROUP_BYTES {
            self.parquet.flush().map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    fn close(mut self) -> Result<Option<StagedFile>, DeltaError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let metadata = self.parquet.finish().map_err(|error| self.failed(&error))?;
        let io = |error| DeltaError::io(&self.file.path, error);
        let file = self.parquet.inner().get_ref();
        file.sync_all().map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        files::sync_dir(&self.file.root).map_err(io)?;
        let stats = self.statistics(&metadata)?;
        self.file.finished = true;
        Ok(Some(StagedFile { path: self.file.name.clone(), bytes, rows: self.rows, stats }))
    }

    fn statistics(&self, metadata: &ParquetMetaData) -> Result<String, DeltaError> {
        let plain = with_provenance(&self.data, DataType::Utf8);
        stats::from_parquet(metadata, &plain).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &ParquetError) -> DeltaError {
        DeltaError::parquet(&self.file.path, error)
    }

    fn bad_block(&self, why: String) -> DeltaError {
        DeltaError::BadBlock { path: self.file.path.clone(), why }
    }
}

impl DataFileWriter for ParquetFileWriter {
    fn write(&mut self, rows: &RecordBatch, origin: &RowOrigin, ordinals: &[u64]) -> PortResult<()> {
        Ok(self.append(rows, origin, ordinals)?)
    }

    fn buffered_bytes(&self) -> usize {
        self.parquet.memory_size()
    }

    fn flush(&mut self) -> PortResult<()> {
        Ok(self.parquet.flush().map_err(|error| self.failed(&error))?)
    }

    fn finish(self: Box<Self>) -> PortResult<Option<StagedFile>> {
        Ok(self.close()?)
    }

    fn discard(self: Box<Self>) {}
}

/// Removes its file when dropped unfinished.
struct UnfinishedFile {
    root: PathBuf,
    path: PathBuf,
    name: String,
    finished: bool,
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished data file could not be removed");
        }
    }
}

fn properties(data: &Schema) -> Result<WriterProperties, DeltaError> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(|error| DeltaError::Internal(error.to_string()))?;
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("s3-connector version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        // A dictionary pays for strings; numbers are as small without it once compressed, and cheaper to encode.
        .set_dictionary_enabled(false);
    let texts = data.fields().iter().filter(|field| field.data_type() == &DataType::Utf8).map(|field| field.name());
    let provenance = PROVENANCE_COLUMNS.iter().filter(|name| **name != "_s3_row");
    for name in texts.map(String::as_str).chain(provenance.copied()) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), true);
    }
    // Ordinals go up by one or a little more: next to nothing as differences.
    Ok(properties.set_column_encoding(ColumnPath::from("_s3_row"), Encoding::DELTA_BINARY_PACKED).build())
}

fn with_provenance(data: &Schema, text: DataType) -> SchemaRef {
    let provenance = PROVENANCE_COLUMNS.map(|name| {
        let ty = if name == "_s3_row" { DataType::Int64 } else { text.clone() };
        Arc::new(Field::new(name, ty, true))
    });
    Arc::new(Schema::new(data.fields().iter().cloned().chain(provenance).collect::<Vec<_>>()))
}

/// A column of one text: a dictionary of one value, so that it costs four bytes a row and not the text.
fn constant(text: &str, rows: usize) -> Result<ArrayRef, DeltaError> {
    let keys = Int32Array::from(vec![0; rows]);
    let column = DictionaryArray::<Int32Type>::try_new(keys, Arc::new(StringArray::from(vec![text])));
    column.map(|column| Arc::new(column) as ArrayRef).map_err(|error| DeltaError::Internal(error.to_string()))
}

/// Rows per slice: few enough that wide rows do not make the encoder's buffers jump.
fn slice_rows(rows: &RecordBatch) -> usize {
    let bytes_per_row = rows.get_array_memory_size() / rows.num_rows().max(1);
    (SLICE_BYTES / bytes_per_row.max(1)).clamp(1, SLICE_ROWS)
}
