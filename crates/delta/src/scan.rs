//! Reading a table's rows, for people: what quarantine holds, what a data source has imported.
//!
//! The log says which data files are active; each is then read by itself, a batch at a time, so memory does not grow
//! with the table. A column that a file lacks is NULL there, a partition value stands in the log and is filled in, and
//! a file that another program has rewritten in a type of its own is cast to the table's.

use std::fs::File;
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

use crate::error::{DeltaError, kernel_io_cause, one_line};
use crate::kernel::{Base, Kernel};
use crate::partition;
use crate::schema_map;

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
    file_count: usize,
    row_count: Option<u64>,
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

    /// How many data files there are.
    pub fn file_count(&self) -> usize {
        self.file_count
    }

    /// How many rows there are, without reading a file. `None` if another program added a file and did not say.
    pub fn row_count(&self) -> Option<u64> {
        self.row_count
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
    path: PathBuf,
    /// The partition column and its value, as a column of one row.
    partition: Option<(String, ArrayRef)>,
    /// Which of the first rows another program has not deleted; further ones are all there.
    selected: Option<Vec<bool>>,
    rows: Option<u64>,
}

/// Lists what is to be read. Blocking; calls the kernel.
pub(crate) fn plan(kernel: &Kernel, base: &Base, columns: Option<&[String]>) -> Result<TableScan, DeltaError> {
    let table = all_columns(base);
    let schema = match columns {
        None => table,
        Some(names) => {
            let chosen = names.iter().map(|name| chosen(kernel, &table, name));
            Schema::new(chosen.collect::<Result<Vec<_>, _>>()?)
        }
    };
    let failed = |error: KernelError| DeltaError::kernel(&kernel.root, &error);
    let scan = Arc::clone(&base.snapshot).scan_builder().without_row_transforms().build().map_err(failed)?;
    let files = scan_files(kernel, &scan).map_err(failed)?;
    let files = files.into_iter().map(|file| data_file(kernel, base, &file)).collect::<Result<Vec<_>, _>>()?;
    Ok(TableScan {
        version: base.snapshot.version(),
        schema: Arc::new(schema),
        file_count: files.len(),
        row_count: files.iter().map(|file| file.rows).sum(),
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
    let url = kernel.url.join(&file.path).map_err(|error| unreadable(format!("{}: {error}", file.path)))?;
    let path = url.to_file_path().map_err(|()| unreadable(format!("data file {url} is not on this machine")))?;
    let partition = match base.partition() {
        None => None,
        Some(column) => {
            let spelled = file.partition_values.get(column).map(String::as_str);
            let field = base.snapshot.schema();
            let value = field.field(column).and_then(|field| partition::one_row(spelled, field.data_type()));
            let value = value.ok_or_else(|| unreadable(format!("'{spelled:?}' is no value of column '{column}'")))?;
            Some((column.to_owned(), value))
        }
    };
    let deleted = file.dv_info.cardinality().map_err(|error| unreadable(one_line(&error)))?.unwrap_or_default();
    let selected = file.dv_info.get_selection_vector(&kernel.engine, &kernel.url);
    let selected = selected.map_err(|error| match kernel_io_cause(&error) {
        Some(cause) => DeltaError::io(&kernel.root, cause),
        None => unreadable(one_line(&error)),
    })?;
    let rows = file.stats.as_ref().and_then(|stats| stats.num_records.checked_sub(deleted));
    Ok(DataFile { path, partition, selected, rows })
}

/// One file while it is read.
struct FileRows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    /// Where each column comes from.
    sources: Vec<Source>,
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
    fn open(data_file: DataFile, schema: &Schema) -> Result<Self, DeltaError> {
        let DataFile { path, partition, selected, .. } = data_file;
        let opened = File::open(&path).map_err(|error| DeltaError::data_file(&path, &error))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(opened);
        let mut builder = builder.map_err(|error| DeltaError::data_file(&path, &error))?;
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
        let mask = ProjectionMask::roots(builder.parquet_schema(), read);
        let rows = batch_rows(builder.metadata(), &mask);
        if let Some(selected) = selected {
            builder = select(builder, selected);
        }
        let reader = builder.with_projection(mask).with_batch_size(rows).build();
        let reader = reader.map_err(|error| DeltaError::data_file(&path, &error))?;
        Ok(Self { path, reader, sources })
    }

    fn next(&mut self, schema: &SchemaRef) -> Result<Option<RecordBatch>, DeltaError> {
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
    builder: ParquetRecordBatchReaderBuilder<File>,
    mut selected: Vec<bool>,
) -> ParquetRecordBatchReaderBuilder<File> {
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
