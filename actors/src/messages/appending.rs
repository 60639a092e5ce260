//! To the AppenderActor: blocks from the DecoderActor, table work from the ConnectionActor.

use std::sync::Arc;

use actix::Message;
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_core::ids::{BatchSeq, Generation, ImportUuid};
use connector_core::ports::{CommitAnswer, RowOrigin, StagedFile, TableCommit, TableFacts};
use connector_core::schema::TableSchema;
use jiff::Timestamp;

use crate::credit::Credit;

/// One of the two tables of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Table,
    Quarantine,
}

/// Data files of both tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataFiles {
    pub table: Vec<StagedFile>,
    pub quarantine: Vec<StagedFile>,
}

impl DataFiles {
    pub fn extend(&mut self, more: Self) {
        self.table.extend(more.table);
        self.quarantine.extend(more.quarantine);
    }
}

/// Which data files a block goes to: its rows to one of the table, its rejected rows to one of the quarantine table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Coalesced with the small files of its batch. Only whole files come here.
    Shared,
    /// A data file of its own, for the file with this ordinal.
    Own(usize),
}

/// Decoded rows and their place. DecoderActor to AppenderActor; answered once the rows are encoded.
/// Costs an encoding job on the CPU pool; the credit stays with the open writer until its row group is on disk.
#[derive(Message)]
#[rtype(result = "Result<(), Failure>")]
pub struct StageBlocks {
    pub generation: Generation,
    pub seq: BatchSeq,
    pub lane: Lane,
    pub origin: RowOrigin,
    pub schema: Arc<TableSchema>,
    /// Ordinal in the file of the first record of the first block.
    pub first_row: u64,
    pub blocks: Vec<Block>,
    pub credit: Vec<Credit>,
    /// The insertion date of quarantined rows.
    pub now: Timestamp,
    /// Of a replay: ordinals, ascending, of the only rows that are written; rejected ones are not.
    pub only: Option<Arc<[u64]>>,
}

/// A file with a lane of its own has failed: remove its data file. DecoderActor to AppenderActor; answered when done.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct DiscardLane {
    pub generation: Generation,
    pub seq: BatchSeq,
    pub lane: Lane,
}

/// A file with a lane of its own is complete: close its data file durably now, so that neither memory nor an open file
/// waits for the rest of the batch. DecoderActor to AppenderActor; answered when done. Costs an fsync.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "Result<(), Failure>")]
pub struct CloseLane {
    pub generation: Generation,
    pub seq: BatchSeq,
    pub lane: Lane,
}

/// Close all data files of the batch durably. ConnectionActor to AppenderActor; answered by [`BatchClosed`].
/// Costs the encoding of what is buffered and an fsync for each file.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct CloseBatch {
    pub generation: Generation,
    pub seq: BatchSeq,
}

/// AppenderActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct BatchClosed {
    pub generation: Generation,
    pub seq: BatchSeq,
    pub result: Result<DataFiles, Failure>,
}

/// Remove data files that will never be staged. ConnectionActor to AppenderActor; answered when done.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct DiscardFiles {
    pub files: DataFiles,
}

/// Commit the staged batch to one of the tables. ConnectionActor to AppenderActor; answered by [`CommitAnswered`]. One at a time.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct CommitBatch {
    pub generation: Generation,
    pub which: Which,
    pub commit: TableCommit,
    /// Data files of the table whose rows have moved there: the commit takes them out of the quarantine table.
    pub moved: Vec<StagedFile>,
}

/// AppenderActor to ConnectionActor. An error says nothing about whether the commit landed.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct CommitAnswered {
    pub generation: Generation,
    pub result: Result<CommitAnswer, Failure>,
}

/// Read both tables from storage. ConnectionActor to AppenderActor; answered by [`TablesRead`].
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct ReadTables {
    pub generation: Generation,
}

/// What both tables say; `None` for one that is not there.
#[derive(Clone, Debug)]
pub struct BothTables {
    pub table: Option<TableFacts>,
    pub quarantine: Option<TableFacts>,
}

/// AppenderActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct TablesRead {
    pub generation: Generation,
    pub result: Result<BothTables, Failure>,
}

/// Create one of the tables. ConnectionActor to AppenderActor; answered by [`TableCreated`].
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct CreateTable {
    pub generation: Generation,
    pub which: Which,
    pub import: ImportUuid,
    pub schema: Arc<TableSchema>,
}

/// AppenderActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct TableCreated {
    pub generation: Generation,
    pub which: Which,
    pub result: Result<TableFacts, Failure>,
}

/// Look whether the staged files of an interrupted batch are whole. ConnectionActor to AppenderActor; answered by
/// [`StagedChecked`].
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct CheckStaged {
    pub generation: Generation,
    pub files: DataFiles,
}

/// AppenderActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct StagedChecked {
    pub generation: Generation,
    pub result: Result<bool, Failure>,
}
