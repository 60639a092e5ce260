//! One data file: Parquet with zstd, statistics taken from the finished footer.
//!
//! A file is created under a fresh name, never overwritten and referred to by nobody until a commit adds it, so it
//! needs no renaming; it only has to be durable before its writer's `finish` returns. A file that is dropped before it
//! is kept is removed.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use connector_core::ports::StagedFile;
use connector_core::schema::{PROVENANCE_COLUMNS, TableSchema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use uuid::Uuid;

use crate::error::DeltaError;
use crate::partition;
use crate::stats;
use crate::storage::{Draft, Storage};

/// A row group is closed at the latest with this many rows.
const ROW_GROUP_ROWS: usize = 1 << 20;
/// zstd 1: of all levels the cheapest by far for the ratio that it gives; columns are mostly decoded once and small.
const ZSTD_LEVEL: i32 = 1;
const WRITE_BUFFER_BYTES: usize = 256 << 10;

/// What all data files of one writer have in common.
pub(crate) struct Layout {
    /// The data columns, as blocks bring them.
    pub(crate) data: SchemaRef,
    /// Where among them the partition column is.
    pub(crate) partition: Option<usize>,
    /// What is in a file, as it is handed to the encoder: the data columns without the partition column, and the
    /// provenance columns as dictionaries.
    pub(crate) encoded: SchemaRef,
    /// The same in plain types.
    pub(crate) plain: SchemaRef,
    properties: WriterProperties,
}

impl Layout {
    pub(crate) fn new(schema: &TableSchema) -> Result<Self, DeltaError> {
        let data = schema.arrow();
        let partition = match &schema.partition {
            None => None,
            Some(name) => {
                let missing = || DeltaError::Internal(format!("the partition column '{name}' is none of the table's"));
                Some(data.index_of(name).map_err(|_| missing())?)
            }
        };
        let mut kept: Vec<Arc<Field>> = data.fields().iter().cloned().collect();
        if let Some(index) = partition {
            kept.remove(index);
        }
        let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let encoded = with_provenance(&kept, &text);
        let plain = with_provenance(&kept, &DataType::Utf8);
        Ok(Self { data, partition, encoded, plain, properties: properties(&kept)? })
    }
}

/// One open data file.
pub(crate) struct DataFile {
    file: UnfinishedFile,
    layout: Arc<Layout>,
    parquet: ArrowWriter<BufWriter<File>>,
    rows: u64,
}

impl DataFile {
    /// Creates a new file of the table, for rows of this partition value. Blocking.
    pub(crate) fn create(storage: &Storage, layout: &Arc<Layout>, value: Option<&str>) -> Result<Self, DeltaError> {
        let mut name = format!("part-{}.parquet", Uuid::new_v4());
        let column = layout.partition.map(|index| layout.data.field(index).name());
        if let Some(directory) = column.and_then(|column| partition::directory(column, value)) {
            name = format!("{directory}/{name}");
        }
        let (draft, opened) = storage.draft(&name)?;
        let path = storage.named(&name);
        let file = UnfinishedFile { storage: storage.clone(), draft, path, state: State::Draft };
        // Without the Arrow schema in the footer, readers see plain Parquet types and not our dictionaries.
        let options =
            ArrowWriterOptions::new().with_properties(layout.properties.clone()).with_skip_arrow_metadata(true);
        let buffered = BufWriter::with_capacity(WRITE_BUFFER_BYTES, opened);
        let parquet = ArrowWriter::try_new_with_options(buffered, Arc::clone(&layout.encoded), options)
            .map_err(|error| DeltaError::parquet(&file.path, &error))?;
        Ok(Self { file, layout: Arc::clone(layout), parquet, rows: 0 })
    }

    /// Encodes rows: the file's columns in order, provenance behind.
    pub(crate) fn encode(&mut self, columns: Vec<ArrayRef>) -> Result<(), DeltaError> {
        let rows = RecordBatch::try_new(Arc::clone(&self.layout.encoded), columns)
            .map_err(|error| DeltaError::BadBlock { table: self.file.path.clone(), why: error.to_string() })?;
        self.parquet.write(&rows).map_err(|error| self.failed(&error))?;
        self.rows += rows.num_rows() as u64;
        Ok(())
    }

    /// Bytes of memory held by rows that are not in the file yet.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.parquet.memory_size()
    }

    /// About what the file would weigh if it were closed now.
    pub(crate) fn size(&self) -> usize {
        self.parquet.bytes_written() + self.parquet.in_progress_size()
    }

    /// Closes the current row group.
    pub(crate) fn flush(&mut self) -> Result<(), DeltaError> {
        self.parquet.flush().map_err(|error| self.failed(&error))
    }

    /// Closes the file and makes its bytes durable: in a bucket it is there for good then, on disk only when its
    /// directory is synced too, see [`Storage::sync_dirs`].
    pub(crate) fn close(mut self, partition: Option<String>) -> Result<ClosedFile, DeltaError> {
        let metadata = self.parquet.finish().map_err(|error| self.failed(&error))?;
        let written = self.parquet.inner().get_ref().metadata();
        let bytes = written.map_err(|error| DeltaError::io(self.file.draft.local(), error))?.len();
        let stats = stats::from_parquet(&metadata, &self.layout.plain).map_err(|error| self.failed(&error))?;
        self.file.storage.publish(&self.file.draft, self.parquet.inner().get_ref())?;
        self.file.state = State::Published;
        let staged = StagedFile { path: self.file.draft.path.clone(), bytes, rows: self.rows, stats, partition };
        Ok(ClosedFile { file: self.file, staged })
    }

    fn failed(&self, error: &ParquetError) -> DeltaError {
        DeltaError::parquet(&self.file.path, error)
    }
}

/// A data file that is whole, but goes if it is dropped before it is kept.
pub(crate) struct ClosedFile {
    file: UnfinishedFile,
    staged: StagedFile,
}

impl ClosedFile {
    /// Relative to the table.
    pub(crate) fn path(&self) -> &str {
        &self.staged.path
    }

    pub(crate) fn keep(mut self) -> StagedFile {
        self.file.state = State::Kept;
        self.staged
    }
}

/// Removes its file when dropped, unless it is to be kept.
struct UnfinishedFile {
    storage: Storage,
    draft: Draft,
    /// As messages name it.
    path: PathBuf,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Draft,
    Published,
    Kept,
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        match self.state {
            State::Draft => self.storage.forget_draft(&self.draft),
            // Whoever drops it may be a thread of a runtime, which must not wait.
            State::Published => self.storage.remove_soon(&self.draft.path),
            State::Kept => {}
        }
    }
}

fn properties(data: &[Arc<Field>]) -> Result<WriterProperties, DeltaError> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(|error| DeltaError::Internal(error.to_string()))?;
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("s3-connector version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        // A dictionary pays for strings; numbers are as small without it once compressed, and cheaper to encode.
        .set_dictionary_enabled(false);
    let texts = data.iter().filter_map(|field| text_path(field));
    let provenance = PROVENANCE_COLUMNS.iter().filter(|name| **name != "_s3_row").map(|name| ColumnPath::from(*name));
    for path in texts.chain(provenance) {
        properties = properties.set_column_dictionary_enabled(path, true);
    }
    // Ordinals go up by one or a little more: next to nothing as differences.
    Ok(properties.set_column_encoding(ColumnPath::from("_s3_row"), Encoding::DELTA_BINARY_PACKED).build())
}

/// Where in the file the texts of a column are: in itself, or in the elements of its lists.
fn text_path(field: &Field) -> Option<ColumnPath> {
    match field.data_type() {
        DataType::Utf8 => Some(ColumnPath::from(field.name().as_str())),
        DataType::List(element) if element.data_type() == &DataType::Utf8 => {
            Some(ColumnPath::new(vec![field.name().clone(), "list".to_owned(), element.name().clone()]))
        }
        _ => None,
    }
}

fn with_provenance(data: &[Arc<Field>], text: &DataType) -> SchemaRef {
    let provenance = PROVENANCE_COLUMNS.map(|name| {
        let ty = if name == "_s3_row" { DataType::Int64 } else { text.clone() };
        Arc::new(Field::new(name, ty, true))
    });
    Arc::new(Schema::new(data.iter().cloned().chain(provenance).collect::<Vec<_>>()))
}
