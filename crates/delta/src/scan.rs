//! Reading a table's rows, for people: what quarantine holds, what a data source has imported.
//!
//! The log says which data files are active; each is then read by itself, a batch at a time, so memory does not grow
//! with the table. A column that a file lacks is NULL there, a partition value stands in the log and is filled in, and
//! a file that another program has rewritten in a type of its own is cast to the table's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use connector_core::ports::PortResult;
use connector_core::schema::PROVENANCE_COLUMNS;
use delta_kernel::KernelError;
use delta_kernel::scan::Scan;
use delta_kernel::scan::state::ScanFile;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::file::metadata::ParquetMetaData;

use crate::active::ActiveFile;
use crate::error::{DeltaError, one_line};
use crate::kernel::{Base, Kernel};
use crate::partition;
use crate::schema_map;
use crate::storage::{Storage, TableFile};

/// A batch has at most so many rows,
const BATCH_ROWS: usize = 4_096;
/// and, going by the average of its row group, so many bytes.
const BATCH_BYTES: u64 = 4 << 20;

/// The rows of a table at one version, file by file, in no promised order. Iterating blocks on disk reads; memory is
/// that of one batch (about 4 MiB) and the list of files. After an error there is nothing more.
pub struct TableScan {
    version: u64,
    schema: SchemaRef,
    files: std::vec::IntoIter<DataFile>,
    current: Option<FileRows>,
}

impl TableScan {
    /// The version of the table that is read.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The columns of the batches; all are nullable.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many data files are left to read.
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// How many rows they have, by the log. `None` if another program added a file and did not say.
    pub fn row_count(&self) -> Option<u64> {
        self.files.as_slice().iter().map(|file| file.rows).sum()
    }

    /// The bytes of the data files that are left to read.
    pub fn byte_count(&self) -> u64 {
        self.files.as_slice().iter().map(|file| file.bytes).sum()
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, DeltaError> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(batch) = current.next(&self.schema)? {
                    return Ok(Some(batch));
                }
                self.current = None;
            }
            let Some(file) = self.files.next() else { return Ok(None) };
            self.current = Some(FileRows::open(file, &self.schema)?);
        }
    }
}

impl Iterator for TableScan {
    type Item = PortResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch();
        if next.is_err() {
            self.files = Vec::new().into_iter();
            self.current = None;
        }
        next.map_err(Into::into).transpose()
    }
}

/// An active data file.
struct DataFile {
    storage: Storage,
    /// Relative to the table.
    path: String,
    /// The partition column and its value, as a column of one row.
    partition: Option<(String, ArrayRef)>,
    /// Which of the first rows another program has not deleted; further ones are all there.
    selected: Option<Vec<bool>>,
    /// By the log.
    rows: Option<u64>,
    bytes: u64,
}

impl DataFile {
    /// One of which all rows are read.
    fn plain(storage: Storage, path: String, partition: Option<(String, ArrayRef)>) -> Self {
        Self { storage, path, partition, selected: None, rows: None, bytes: 0 }
    }
}

/// Lists what is to be read. Blocking; calls the kernel.
pub(crate) fn plan(kernel: &Kernel, base: &Base, columns: Option<&[String]>) -> Result<TableScan, DeltaError> {
    let schema = match columns {
        None => all_columns(base),
        Some(names) => chosen_columns(kernel, base, names)?,
    };
    let failed = |error: KernelError| DeltaError::kernel(&kernel.root, &error);
    let scan = Arc::clone(&base.snapshot).scan_builder().without_row_transforms().build().map_err(failed)?;
    let files = scan_files(kernel, &scan).map_err(failed)?;
    let files = files.into_iter().map(|file| data_file(kernel, base, &file)).collect::<Result<Vec<_>, _>>()?;
    Ok(TableScan {
        version: base.snapshot.version(),
        schema: Arc::new(schema),
        files: files.into_iter(),
        current: None,
    })
}

/// The data columns that a data source can have, and the provenance columns.
fn all_columns(base: &Base) -> Schema {
    let data = base.schema().columns;
    let mut fields: Vec<Field> = data.iter().map(|column| Field::new(&column.name, column.ty.arrow(), true)).collect();
    for name in PROVENANCE_COLUMNS {
        let ty = base.snapshot.schema().field(name).and_then(|field| schema_map::widest_type(field.data_type()));
        fields.extend(ty.map(|ty| Field::new(name, ty.arrow(), true)));
    }
    Schema::new(fields)
}

/// These columns of the table.
pub(crate) fn chosen_columns(kernel: &Kernel, base: &Base, names: &[String]) -> Result<Schema, DeltaError> {
    let table = all_columns(base);
    let chosen = names.iter().map(|name| chosen(kernel, &table, name));
    Ok(Schema::new(chosen.collect::<Result<Vec<_>, _>>()?))
}

fn chosen(kernel: &Kernel, table: &Schema, name: &str) -> Result<Field, DeltaError> {
    table.field_with_name(name).cloned().map_err(|_| {
        let present: Vec<&str> = table.fields().iter().map(|field| field.name().as_str()).collect();
        DeltaError::NoSuchColumn { table: kernel.root.clone(), column: name.to_owned(), present: present.join(", ") }
    })
}

fn scan_files(kernel: &Kernel, scan: &Scan) -> Result<Vec<ScanFile>, KernelError> {
    let mut files = Vec::new();
    for metadata in scan.scan_metadata(&kernel.engine)? {
        files = metadata?.visit_scan_files(files, |files: &mut Vec<ScanFile>, file| files.push(file))?;
    }
    Ok(files)
}

fn data_file(kernel: &Kernel, base: &Base, file: &ScanFile) -> Result<DataFile, DeltaError> {
    let unreadable = |why: String| DeltaError::Unreadable { table: kernel.root.clone(), why };
    let path = kernel.storage.resolve(&file.path)?;
    let spelled = base.partition().and_then(|column| file.partition_values.get(column));
    let partition = partition_value(kernel, base, spelled.map(String::as_str))?;
    let selected = file.dv_info.get_selection_vector(&kernel.engine, kernel.storage.url());
    let selected = selected
        .map_err(|error| DeltaError::outside(&kernel.root, &error).unwrap_or_else(|| unreadable(one_line(&error))))?;
    let storage = kernel.storage.clone();
    Ok(DataFile {
        storage,
        path,
        partition,
        selected,
        rows: rows_said(file),
        bytes: u64::try_from(file.size).unwrap_or_default(),
    })
}

/// How many rows a file has, by the log.
fn rows_said(file: &ScanFile) -> Option<u64> {
    let deleted = file.dv_info.cardinality().ok()?.unwrap_or_default();
    file.stats.as_ref().and_then(|stats| stats.num_records.checked_sub(deleted))
}

/// The partition column and one value of it, as a column of one row; `None` if the table is not partitioned.
pub(crate) fn partition_value(
    kernel: &Kernel,
    base: &Base,
    spelled: Option<&str>,
) -> Result<Option<(String, ArrayRef)>, DeltaError> {
    let Some(column) = base.partition() else { return Ok(None) };
    let schema = base.snapshot.schema();
    let value = schema.field(column).and_then(|field| partition::one_row(spelled, field.data_type()));
    let value = value.ok_or_else(|| DeltaError::Unreadable {
        table: kernel.root.clone(),
        why: format!("'{spelled:?}' is no value of column '{column}'"),
    })?;
    Ok(Some((column.to_owned(), value)))
}

/// One file while it is read.
pub(crate) struct FileRows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    /// Where each column comes from.
    sources: Vec<Source>,
    /// Columns of the file that are not asked for.
    unread: Vec<String>,
}

enum Source {
    /// The column of the file with this index among those that are read.
    File(usize),
    /// This one value in all rows.
    Constant(ArrayRef),
    /// The file lacks it.
    Missing,
}

impl FileRows {
    /// Opens a data file by its path in the log, without partition value.
    pub(crate) fn open_path(kernel: &Kernel, log_path: &str, schema: &Schema) -> Result<Self, DeltaError> {
        let (storage, path) = (kernel.storage.clone(), kernel.storage.resolve(log_path)?);
        Self::open(DataFile::plain(storage, path, None), schema)
    }

    /// Opens an active data file. Rows that another program has deleted are read like the others.
    pub(crate) fn open_active(
        kernel: &Kernel,
        base: &Base,
        file: &ActiveFile,
        schema: &Schema,
    ) -> Result<Self, DeltaError> {
        let (storage, path) = (kernel.storage.clone(), kernel.storage.resolve(&file.path)?);
        let partition = partition_value(kernel, base, file.partition.as_deref())?;
        Self::open(DataFile::plain(storage, path, partition), schema)
    }

    /// Columns of the file that are not asked for.
    pub(crate) fn unread(&self) -> &[String] {
        &self.unread
    }

    fn open(data_file: DataFile, schema: &Schema) -> Result<Self, DeltaError> {
        let DataFile { storage, path, partition, selected, .. } = data_file;
        let opened = storage.open_data_file(&path)?;
        let path = storage.named(&path);
        let file = opened.again().map_err(|error| DeltaError::data_file(&path, &error))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(opened);
        let mut builder = builder.map_err(|error| DeltaError::data_file(&path, &error))?;
        file.plan(builder.metadata());
        // The reader hands out the columns in the order of the file, whichever way they are asked for.
        let present = builder.schema().fields();
        let is_wanted = |name: &str| {
            let filled_in = partition.as_ref().is_some_and(|(column, _)| column == name);
            !filled_in && schema.column_with_name(name).is_some()
        };
        let read: Vec<usize> = (0..present.len()).filter(|index| is_wanted(present[*index].name())).collect();
        let source = |field: &Arc<Field>| match &partition {
            Some((column, value)) if column == field.name() => Source::Constant(Arc::clone(value)),
            _ => match read.iter().position(|index| present[*index].name() == field.name()) {
                Some(index) => Source::File(index),
                None => Source::Missing,
            },
        };
        let sources = schema.fields().iter().map(source).collect();
        let unread =
            (0..present.len()).filter(|index| !read.contains(index)).map(|index| present[index].name().clone());
        let unread = unread.collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), read);
        let rows = batch_rows(builder.metadata(), &mask);
        if let Some(selected) = selected {
            builder = select(builder, selected);
        }
        let reader = builder.with_projection(mask).with_batch_size(rows).build();
        let reader = reader.map_err(|error| DeltaError::data_file(&path, &error))?;
        Ok(Self { path, reader, sources, unread })
    }

    pub(crate) fn next(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>, DeltaError> {
        let failed = |path: &Path, error: arrow::error::ArrowError| DeltaError::data_file(path, &error);
        let Some(rows) = self.reader.next() else { return Ok(None) };
        let rows = rows.map_err(|error| failed(&self.path, error))?;
        let count = rows.num_rows();
        let columns = self.sources.iter().zip(schema.fields()).map(|(source, field)| match source {
            Source::File(index) => as_type(rows.column(*index), field.data_type()),
            Source::Constant(value) => take(value, &UInt32Array::from(vec![0; count]), None),
            Source::Missing => Ok(new_null_array(field.data_type(), count)),
        });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&self.path, error))?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options);
        batch.map(Some).map_err(|error| failed(&self.path, error))
    }
}

fn as_type(values: &ArrayRef, ty: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    if values.data_type() == ty {
        return Ok(Arc::clone(values));
    }
    // A value that does not fit is an error and no NULL.
    cast_with_options(values, ty, &CastOptions { safe: false, ..CastOptions::default() })
}

fn select(
    builder: ParquetRecordBatchReaderBuilder<TableFile>,
    mut selected: Vec<bool>,
) -> ParquetRecordBatchReaderBuilder<TableFile> {
    let rows = builder.metadata().file_metadata().num_rows();
    selected.resize(usize::try_from(rows).unwrap_or_default(), true);
    builder.with_row_selection(RowSelection::from_filters(&[BooleanArray::from(selected)]))
}

/// Rows of a batch: few where they are wide.
fn batch_rows(metadata: &ParquetMetaData, mask: &ProjectionMask) -> usize {
    let widest = metadata.row_groups().iter().map(|group| {
        let columns = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
        let bytes: i64 = columns
            // A dictionary takes less in the file than its texts do in a batch.
            .map(|(_, column)| {
                column.uncompressed_size().max(column.unencoded_byte_array_data_bytes().unwrap_or_default())
            })
            .sum();
        bytes.unsigned_abs() / group.num_rows().unsigned_abs().max(1)
    });
    let rows = BATCH_BYTES / widest.max().unwrap_or_default().max(1);
    usize::try_from(rows).unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS)
}
