//! Encoding blocks: good rows into a data file of the table, rejected ones into one of the quarantine table. Runs on the
//! CPU pool.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_core::ports::{DataFileWriter, RowOrigin};
use connector_core::quarantine::{quarantine_rows, quarantine_schema};
use connector_core::schema::TableSchema;
use jiff::Timestamp;

use crate::messages::appending::DataFiles;
use crate::world::ImportPorts;

/// Rejected rows that are made into rows of the quarantine table in one go: their messages are only made here, and many
/// at once would take far more memory than the block did.
const QUARANTINE_SLICE: usize = 1_024;

/// The open data files of one lane; none is opened before it has a row.
#[derive(Default)]
pub(super) struct Writers {
    table: Option<Box<dyn DataFileWriter>>,
    quarantine: Option<Box<dyn DataFileWriter>>,
}

impl Writers {
    pub(super) fn buffered_bytes(&self) -> usize {
        [&self.table, &self.quarantine].into_iter().flatten().map(|writer| writer.buffered_bytes()).sum()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        [&mut self.table, &mut self.quarantine].into_iter().flatten().try_for_each(|writer| writer.flush())
    }

    pub(super) fn discard(self) {
        [self.table, self.quarantine].into_iter().flatten().for_each(DataFileWriter::discard);
    }

    /// Closes both durably.
    pub(super) fn finish(self) -> Result<DataFiles, Failure> {
        let finish = |writer: Option<Box<dyn DataFileWriter>>| writer.map_or(Ok(Vec::new()), DataFileWriter::finish);
        let (table, quarantine) = (finish(self.table), finish(self.quarantine));
        Ok(DataFiles { table: table?, quarantine: quarantine? })
    }
}

/// Blocks of one file, in order.
pub(super) struct WriteJob {
    pub(super) ports: ImportPorts,
    pub(super) schema: Arc<TableSchema>,
    pub(super) origin: RowOrigin,
    /// Ordinal in the file of the first record of the first block.
    pub(super) first_row: u64,
    pub(super) blocks: Vec<Block>,
    /// The insertion date of quarantined rows.
    pub(super) now: Timestamp,
    /// Ordinals of the only rows that are written, if not all are.
    pub(super) only: Option<Arc<[u64]>>,
}

impl WriteJob {
    pub(super) fn run(self, mut writers: Writers, pressed: bool) -> Result<Writers, Failure> {
        let mut first = self.first_row;
        for block in &self.blocks {
            match &self.only {
                None => {
                    self.write_good(&mut writers, &block.rows, block.row_ordinals(first).collect())?;
                    self.write_rejected(&mut writers, block, first)?;
                }
                Some(only) => self.write_wanted(&mut writers, block, first, only)?,
            }
            first += block.records;
        }
        if pressed {
            writers.flush()?;
        }
        Ok(writers)
    }

    fn write_good(&self, writers: &mut Writers, rows: &RecordBatch, ordinals: Vec<u64>) -> Result<(), Failure> {
        if ordinals.is_empty() {
            return Ok(());
        }
        let writer = match &mut writers.table {
            Some(writer) => writer,
            none => none.insert(self.ports.table.open_writer(&self.schema)?),
        };
        writer.write(rows, &self.origin, &ordinals)
    }

    fn write_wanted(&self, writers: &mut Writers, block: &Block, first: u64, only: &[u64]) -> Result<(), Failure> {
        let is_wanted = block.wanted_rows(first, only);
        let ordinals = block.row_ordinals(first).zip(&is_wanted).filter(|(_, is)| **is).map(|(ordinal, _)| ordinal);
        let ordinals: Vec<u64> = ordinals.collect();
        let rows = filter_record_batch(&block.rows, &BooleanArray::from(is_wanted))
            .map_err(|error| Failure::bug("replayed_rows", format!("rows cannot be chosen: {error}")))?;
        self.write_good(writers, &rows, ordinals)
    }

    fn write_rejected(&self, writers: &mut Writers, block: &Block, first: u64) -> Result<(), Failure> {
        let rejected = &block.rejected;
        if rejected.is_empty() {
            return Ok(());
        }
        let writer = match &mut writers.quarantine {
            Some(writer) => writer,
            none => none.insert(self.ports.quarantine.open_writer(&quarantine_schema(&self.schema))?),
        };
        let mut start = 0;
        while start < rejected.len() {
            let range = start..(start + QUARANTINE_SLICE).min(rejected.len());
            let ordinals: Vec<u64> = rejected.ordinals[range.clone()].iter().map(|ordinal| first + ordinal).collect();
            let rows = quarantine_rows(rejected, range.clone(), &self.schema, &self.origin.batch, self.now)
                .map_err(|error| Failure::bug("quarantine_rows", format!("rejected rows of another table: {error}")))?;
            writer.write(&rows, &self.origin, &ordinals)?;
            start = range.end;
        }
        Ok(())
    }
}
