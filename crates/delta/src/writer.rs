//! The writer of a table's data files: adds the provenance columns, and keeps rows of different partition values apart.
//!
//! Without a partition column there is one file. With one there is a file for each value, of which only so many are
//! open at once; when another is needed, the largest is closed, and a value that comes back gets a further file. The
//! largest, because then a stream of values that alternate fills files of some size, where closing the oldest would
//! close one at every turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Int32Type, SchemaRef};
use connector_core::ports::{DataFileWriter, PortResult, RowOrigin, StagedFile};
use connector_core::schema::TableSchema;

use crate::data_file::{ClosedFile, DataFile, Layout};
use crate::error::DeltaError;
use crate::partition;
use crate::storage::Storage;

/// A slice is what is encoded at once: bounds the memory of provenance columns and the step by which buffers grow.
const SLICE_ROWS: usize = 8_192;
const SLICE_BYTES: usize = 8 << 20;
/// A row group is closed when all open ones together hold so much.
const BUFFERED_BYTES: usize = 64 << 20;
/// Files of different partition values that are open at once.
pub(crate) const OPEN_FILES: usize = 16;

/// What is remembered of data files that were written and not yet committed; more is forgotten.
const MOST_REMEMBERED: usize = 100_000;

/// The columns of data files that this process has written for a table and not committed yet, by their paths: so that
/// they need not be opened again to find out. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(Arc<Mutex<HashMap<String, SchemaRef>>>);

impl Written {
    /// The columns of a file in plain types, without the partition column; `None` if it is not known.
    pub(crate) fn columns(&self, path: &str) -> Option<SchemaRef> {
        self.held().get(path).cloned()
    }

    pub(crate) fn forget(&self, files: &[StagedFile]) {
        let mut held = self.held();
        for file in files {
            held.remove(&file.path);
        }
    }

    fn remember(&self, files: &[StagedFile], columns: &SchemaRef) {
        let mut held = self.held();
        if held.len() + files.len() > MOST_REMEMBERED {
            held.clear();
        }
        held.extend(files.iter().map(|file| (file.path.clone(), Arc::clone(columns))));
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, SchemaRef>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Open data files of one table.
pub(crate) struct TableWriter {
    storage: Storage,
    written: Written,
    layout: Arc<Layout>,
    /// The partition value of each is another one.
    open: Vec<(Option<String>, DataFile)>,
    closed: Vec<ClosedFile>,
}

impl TableWriter {
    /// A writer into the table. It creates no file before the first row.
    pub(crate) fn new(storage: &Storage, written: &Written, schema: &TableSchema) -> Result<Self, DeltaError> {
        let layout = Arc::new(Layout::new(schema)?);
        let (storage, written) = (storage.clone(), written.clone());
        Ok(Self { storage, written, layout, open: Vec::new(), closed: Vec::new() })
    }

    fn append(&mut self, rows: &RecordBatch, origin: &RowOrigin, ordinals: &[u64]) -> Result<(), DeltaError> {
        if ordinals.len() != rows.num_rows() {
            return Err(self.bad_block(format!("{} rows have {} ordinals", rows.num_rows(), ordinals.len())));
        }
        let rows = RecordBatch::try_new(Arc::clone(&self.layout.data), rows.columns().to_vec())
            .map_err(|error| self.bad_block(error.to_string()))?;
        let ordinals: Result<Vec<i64>, _> = ordinals.iter().map(|ordinal| i64::try_from(*ordinal)).collect();
        let ordinals = ordinals.map_err(|_| self.bad_block("an ordinal exceeds a Delta long".to_owned()))?;
        let ordinals: ArrayRef = Arc::new(Int64Array::from(ordinals));
        let version = origin.version.hex();
        let texts = [&*origin.key, &version, origin.batch.as_str()];
        match self.layout.partition {
            None => self.append_whole(&rows, texts, &ordinals),
            Some(column) => self.append_split(&rows, column, texts, &ordinals),
        }
    }

    fn append_whole(&mut self, rows: &RecordBatch, texts: [&str; 3], ordinals: &ArrayRef) -> Result<(), DeltaError> {
        let step = slice_rows(rows);
        for start in (0..rows.num_rows()).step_by(step) {
            let length = step.min(rows.num_rows() - start);
            let slice = rows.slice(start, length).columns().to_vec();
            self.encode(&None, slice, texts, ordinals.slice(start, length))?;
        }
        Ok(())
    }

    fn append_split(
        &mut self,
        rows: &RecordBatch,
        column: usize,
        texts: [&str; 3],
        ordinals: &ArrayRef,
    ) -> Result<(), DeltaError> {
        let groups = partition::split(rows.column(column)).map_err(|why| DeltaError::BadPartition {
            table: self.storage.table().to_owned(),
            column: self.layout.data.field(column).name().clone(),
            why,
        })?;
        let mut kept = rows.columns().to_vec();
        kept.remove(column);
        let step = slice_rows(rows);
        for group in groups {
            for indices in group.rows.chunks(step) {
                let indices = UInt32Array::from(indices.to_vec());
                let taken = |values: &ArrayRef| take(values, &indices, None);
                let slice: Result<Vec<ArrayRef>, _> = kept.iter().map(taken).collect();
                let slice = slice.map_err(|error| self.bad_block(error.to_string()))?;
                let ordinals = taken(ordinals).map_err(|error| self.bad_block(error.to_string()))?;
                self.encode(&group.value, slice, texts, ordinals)?;
            }
        }
        Ok(())
    }

    fn encode(
        &mut self,
        value: &Option<String>,
        mut columns: Vec<ArrayRef>,
        texts: [&str; 3],
        ordinals: ArrayRef,
    ) -> Result<(), DeltaError> {
        let [key, version, batch] = texts.map(|text| constant(text, ordinals.len()));
        columns.extend([key?, version?, ordinals, batch?]);
        self.file(value)?.encode(columns)?;
        if self.held() >= BUFFERED_BYTES
            && let Some((_, fullest)) = self.open.iter_mut().max_by_key(|(_, file)| file.buffered_bytes())
        {
            fullest.flush()?;
        }
        Ok(())
    }

    /// The open file for this partition value.
    fn file(&mut self, value: &Option<String>) -> Result<&mut DataFile, DeltaError> {
        let index = match self.open.iter().position(|(present, _)| present == value) {
            Some(index) => index,
            None => {
                if self.open.len() >= OPEN_FILES {
                    self.close_largest()?;
                }
                self.open.push((value.clone(), DataFile::create(&self.storage, &self.layout, value.as_deref())?));
                self.open.len() - 1
            }
        };
        Ok(&mut self.open[index].1)
    }

    fn close_largest(&mut self) -> Result<(), DeltaError> {
        let sizes = self.open.iter().map(|(_, file)| file.size()).enumerate();
        if let Some((largest, _)) = sizes.max_by_key(|(_, size)| *size) {
            let (value, file) = self.open.swap_remove(largest);
            self.closed.push(file.close(value)?);
        }
        Ok(())
    }

    fn held(&self) -> usize {
        self.open.iter().map(|(_, file)| file.buffered_bytes()).sum()
    }

    fn close(mut self) -> Result<Vec<StagedFile>, DeltaError> {
        while let Some((value, file)) = self.open.pop() {
            self.closed.push(file.close(value)?);
        }
        self.storage.sync_dirs(self.closed.iter().map(ClosedFile::path))?;
        let files: Vec<StagedFile> = self.closed.into_iter().map(ClosedFile::keep).collect();
        self.written.remember(&files, &self.layout.plain);
        Ok(files)
    }

    fn bad_block(&self, why: String) -> DeltaError {
        DeltaError::BadBlock { table: self.storage.table().to_owned(), why }
    }
}

impl DataFileWriter for TableWriter {
    fn write(&mut self, rows: &RecordBatch, origin: &RowOrigin, ordinals: &[u64]) -> PortResult<()> {
        Ok(self.append(rows, origin, ordinals)?)
    }

    fn buffered_bytes(&self) -> usize {
        self.held()
    }

    fn flush(&mut self) -> PortResult<()> {
        for (_, file) in &mut self.open {
            file.flush()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> PortResult<Vec<StagedFile>> {
        Ok(self.close()?)
    }

    fn discard(self: Box<Self>) {}
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
