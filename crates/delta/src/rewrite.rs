//! Data files written anew: without some of their rows, or several as one.
//!
//! Rows keep their values, their order and their provenance. Memory is that of a batch and of one open row group. What
//! was written is read back and compared with what was read before anybody refers to it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use connector_core::ids::ObjectVersionId;
use connector_core::ports::StagedFile;

use crate::active::ActiveFile;
use crate::data_file::{ClosedFile, DataFile, Layout};
use crate::error::DeltaError;
use crate::identity::{Identities, Tally};
use crate::kernel::{Base, Kernel};
use crate::partition;
use crate::scan::FileRows;

/// A row group is closed when it holds so many bytes.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Whether a row stays, by its identity.
pub(crate) type Keeps<'a> = &'a dyn Fn(Option<(ObjectVersionId, u64)>) -> bool;

/// Writes rows of one partition value into new data files. Those are removed if it is dropped before [`Rewriter::finish`].
pub(crate) struct Rewriter<'a> {
    kernel: &'a Kernel,
    layout: Arc<Layout>,
    /// What is read of each file: all columns, any of which may be NULL.
    read: SchemaRef,
    value: Option<String>,
    /// A new file is begun when the present one has so many bytes.
    file_bytes: u64,
    open: Option<DataFile>,
    closed: Vec<ClosedFile>,
    written: Tally,
}

impl<'a> Rewriter<'a> {
    pub(crate) fn new(
        kernel: &'a Kernel,
        base: &Base,
        value: Option<String>,
        file_bytes: u64,
    ) -> Result<Self, DeltaError> {
        let mut schema = base.schema();
        // What the data source said of NULL may have been relaxed since the table was made; the log decides.
        let table = base.snapshot.schema();
        for column in &mut schema.columns {
            column.nullable = table.field(&column.name).is_none_or(|field| field.is_nullable());
        }
        let layout = Arc::new(Layout::new(&schema)?);
        let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
        let read = Arc::new(Schema::new(layout.plain.fields().iter().map(nullable).collect::<Vec<_>>()));
        let (open, closed, written) = (None, Vec::new(), Tally::default());
        Ok(Self { kernel, layout, read, value, file_bytes, open, closed, written })
    }

    /// Appends the rows of a data file that stay, and says how many and which ones it has in all.
    ///
    /// # Errors
    /// `ForeignLayout` if the file has a column that the table's schema lacks, or that no data source can have: it would
    /// be lost.
    pub(crate) fn copy(&mut self, file: &ActiveFile, keeps: Keeps) -> Result<Tally, DeltaError> {
        let mut rows = FileRows::open_path(self.kernel, &file.path, &self.read)?;
        let filled_in = self.layout.partition.map(|index| self.layout.data.field(index).name().as_str());
        if let Some(column) = rows.unread().iter().find(|column| Some(column.as_str()) != filled_in) {
            return Err(DeltaError::ForeignLayout {
                table: self.kernel.root.clone(),
                what: format!("has no column '{column}' that this program can write, but data file {} has", file.path),
            });
        }
        let mut read = Tally::default();
        while let Some(batch) = rows.next(&self.read)? {
            let ids: Vec<_> = Identities::of(&batch)?.collect();
            ids.iter().for_each(|id| read.add(*id));
            let mask: Vec<bool> = ids.iter().map(|id| keeps(*id)).collect();
            ids.iter().zip(&mask).filter(|(_, stays)| **stays).for_each(|(id, _)| self.written.add(*id));
            let kept = match mask.iter().all(|stays| *stays) {
                true => batch,
                false => filter_record_batch(&batch, &BooleanArray::from(mask)).map_err(|error| self.bad(&error))?,
            };
            self.write(&kept)?;
        }
        Ok(read)
    }

    fn write(&mut self, rows: &RecordBatch) -> Result<(), DeltaError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let encoded = self.layout.encoded.fields().iter().zip(rows.columns());
        let columns = encoded.map(|(field, column)| as_encoded(column, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|error| self.bad(&error))?;
        let file = match &mut self.open {
            Some(file) => file,
            none => none.insert(DataFile::create(&self.kernel.storage, &self.layout, self.value.as_deref())?),
        };
        file.encode(columns)?;
        if file.buffered_bytes() >= ROW_GROUP_BYTES {
            file.flush()?;
        }
        if file.size() as u64 >= self.file_bytes {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), DeltaError> {
        if let Some(file) = self.open.take() {
            self.closed.push(file.close(self.value.clone())?);
        }
        Ok(())
    }

    /// Makes the files durable and reads them back.
    ///
    /// # Errors
    /// `Internal` if they hold other rows than those that were to be written.
    pub(crate) fn finish(mut self) -> Result<(Vec<StagedFile>, Tally), DeltaError> {
        self.close()?;
        let Self { kernel, closed, written, .. } = self;
        kernel.storage.sync_dirs(closed.iter().map(ClosedFile::path))?;
        let kept: Vec<StagedFile> = closed.into_iter().map(ClosedFile::keep).collect();
        match compare(kernel, &kept, written) {
            Ok(()) => Ok((kept, written)),
            Err(error) => {
                discard(kernel, &kept);
                Err(error)
            }
        }
    }

    fn bad(&self, error: &arrow::error::ArrowError) -> DeltaError {
        DeltaError::BadBlock { table: self.kernel.root.clone(), why: error.to_string() }
    }
}

/// Texts of provenance go into the encoder as dictionaries.
fn as_encoded(column: &ArrayRef, ty: &DataType) -> Result<ArrayRef, arrow::error::ArrowError> {
    if column.data_type() == ty { Ok(Arc::clone(column)) } else { cast(column, ty) }
}

fn compare(kernel: &Kernel, files: &[StagedFile], expected: Tally) -> Result<(), DeltaError> {
    let mut found = Tally::default();
    for file in files {
        let tally = Tally::of_file(kernel, &partition::log_path(&file.path))?;
        found.rows += tally.rows;
        found.digest += tally.digest;
    }
    if found == expected {
        return Ok(());
    }
    let (is, should) = (found.rows, expected.rows);
    Err(DeltaError::Internal(format!(
        "rewritten data files of {:?} hold {is} rows, not the {should} meant",
        kernel.root
    )))
}

/// Removes data files that nobody refers to.
pub(crate) fn discard(kernel: &Kernel, files: &[StagedFile]) {
    for file in files {
        if let Err(error) = kernel.storage.remove(&file.path) {
            tracing::warn!(path = %kernel.storage.named(&file.path).display(), %error, "an unreferenced data file is left behind");
        }
    }
}
