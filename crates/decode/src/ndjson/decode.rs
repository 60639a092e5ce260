//! From a block of whole lines to typed rows and rejected rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use connector_core::block::{Block, Cause, CellError, MAX_RAW_BYTES};
use connector_core::error::Failure;
use connector_core::evolve::FilePlan;
use connector_core::schema::TableSchema;
use jiff::Timestamp;

use super::cells::Cells;
use super::lines;
use super::tree::Tree;
use super::walk::{Walk, Wrong};
use crate::columns;
use crate::csv::RawBlock;
use crate::error::DecodeError;
use crate::row_errors::Gathered;

/// Decodes the blocks of one file. Shared by the threads that decode them.
#[derive(Clone, Debug)]
pub struct NdjsonDecoder {
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
    tree: Arc<Tree>,
    causes: Arc<[CellError]>,
    now: Timestamp,
}

impl NdjsonDecoder {
    /// A decoder for a file with this plan. `reference`: the columns of the reference file; those that the table lacks
    /// are ignored. `now`: the time that default expressions see.
    pub fn new(schema: Arc<TableSchema>, plan: Arc<FilePlan>, reference: Arc<[String]>, now: Timestamp) -> Self {
        let tree = Arc::new(Tree::new(&schema, &plan, &reference));
        let error = |cause: &connector_core::evolve::FileCause| CellError {
            column: schema.columns.iter().position(|column| column.name == cause.column).map(|index| index as u32),
            cause: Cause::Text(cause.message.as_str().into()),
        };
        let causes = plan.causes.iter().map(error).collect();
        Self { arrow: schema.arrow(), schema, tree, causes, now }
    }

    /// Decodes one block. Every line that is not blank is a record, and every record becomes a row or a rejected row:
    /// with one error for each bad value, or for the record as a whole if it is no JSON object.
    ///
    /// # Errors
    /// `Bug` with code `decode_bug` for a block of 4 GiB; what filling default expressions says.
    pub fn decode(&self, block: &RawBlock) -> Result<Block, Failure> {
        // Positions in a block have 32 bits; texts that are kept beside it take no more than its bytes and the lists.
        if u32::try_from(block.bytes.len()).is_err() {
            return Err(DecodeError::Internal { reason: format!("a block of {} bytes", block.bytes.len()) }.into());
        }
        let bytes = block.bytes.as_ref();
        let records: Vec<&[u8]> = lines::records(bytes, block.offset == 0).collect();
        let mut cells = Cells::new(self.schema.columns.len());
        let mut gathered = Gathered::new(Arc::clone(&self.schema), Arc::clone(&self.arrow), records.len());
        let mut walk = Walk::new(&self.tree, bytes, &mut cells);
        for (row, record) in records.iter().enumerate() {
            match walk.record(record) {
                Ok(()) => {}
                Err(Wrong::Unread(error)) => gathered.reject_unread(row, error),
                Err(Wrong::Errors(errors)) => errors.into_iter().for_each(|error| gathered.reject(row, error)),
            }
        }
        if self.causes.is_empty() {
            for (index, column) in self.schema.columns.iter().enumerate() {
                if cells.is_absent(index) {
                    gathered.add_absent(index);
                } else {
                    gathered.add(index, columns::build(column, cells.column(index, bytes)));
                }
            }
        } else {
            gathered.reject_all(self.causes.to_vec());
        }
        let raw = |row: usize| std::str::from_utf8(records[row]).ok().filter(|raw| raw.len() <= MAX_RAW_BYTES);
        let (rows, rejected) = gathered.finish(self.now, |column, bad| cells.texts(column, bytes, bad), raw)?;
        Ok(Block { records: records.len() as u64, rows, rejected })
    }
}
