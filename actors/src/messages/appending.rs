//! To the AppenderActor: blocks from the DecoderActor, table work from the ConnectionActor.

use std::sync::Arc;

use actix::Message;
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_core::ids::{BatchSeq, Generation, ImportUuid};
use connector_core::ports::{CommitAnswer, RowOrigin, StagedFile, TableCommit, TableFacts};
use connector_core::schema::TableSchema;

use crate::credit::Credit;

/// Which data file a block goes to.
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
    pub result: Result<Vec<StagedFile>, Failure>,
}

/// Commit the staged batch. ConnectionActor to AppenderActor; answered by [`CommitAnswered`]. One at a time.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct CommitBatch {
    pub generation: Generation,
    pub commit: TableCommit,
}

/// AppenderActor to ConnectionActor. An error says nothing about whether the commit landed.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct CommitAnswered {
    pub generation: Generation,
    pub result: Result<CommitAnswer, Failure>,
}

/// Read the table from storage. ConnectionActor to AppenderActor; answered by [`TableRead`].
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct ReadTable {
    pub generation: Generation,
}

/// AppenderActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct TableRead {
    pub generation: Generation,
    pub result: Result<Option<TableFacts>, Failure>,
}

/// Create the table. ConnectionActor to AppenderActor; answered by [`TableCreated`].
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct CreateTable {
    pub generation: Generation,
    pub import: ImportUuid,
    pub schema: Arc<TableSchema>,
}

/// AppenderActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct TableCreated {
    pub generation: Generation,
    pub result: Result<TableFacts, Failure>,
}

/// Look whether the staged files of an interrupted batch are whole. ConnectionActor to AppenderActor; answered by
/// [`StagedChecked`].
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct CheckStaged {
    pub generation: Generation,
    pub files: Vec<StagedFile>,
}

/// AppenderActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct StagedChecked {
    pub generation: Generation,
    pub result: Result<bool, Failure>,
}
