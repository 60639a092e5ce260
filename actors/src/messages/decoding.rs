//! Between ConnectionActor and DecoderActor.

use std::sync::Arc;

use actix::Message;
use connector_core::error::Failure;
use connector_core::ids::{BatchId, BatchSeq, Generation};
use connector_core::object::ObjectRef;
use connector_core::ports::ReferenceFile;
use connector_core::schema::TableSchema;
use connector_core::spec::Format;

/// Read the columns of the first file that has any. ConnectionActor to DecoderActor; answered by [`ColumnsInferred`].
/// Costs one or two ranged reads of one file (more if files are broken), and one block of credit.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct InferColumns {
    pub generation: Generation,
    pub seq: BatchSeq,
    /// In claim order.
    pub files: Vec<(ObjectRef, Format)>,
    /// The schema is decided: only the names of the file's columns are wanted, not their types.
    pub names_only: bool,
}

/// What a file says of its columns.
#[derive(Clone, Debug)]
pub struct InferredColumns {
    /// `None` if only names were wanted.
    pub schema: Option<TableSchema>,
    pub reference: ReferenceFile,
}

/// DecoderActor to ConnectionActor. The error has one failure for each file that was tried, in claim order.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct ColumnsInferred {
    pub generation: Generation,
    pub seq: BatchSeq,
    pub result: Result<InferredColumns, Vec<Failure>>,
}

/// Turn one object version into blocks and hand them to the AppenderActor. ConnectionActor to DecoderActor; answered
/// by [`FileDecoded`]. Costs the whole object's bytes over the network, in ranges, as credit allows.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct DecodeFile {
    pub generation: Generation,
    pub seq: BatchSeq,
    pub batch: BatchId,
    /// Place in the batch, from 0.
    pub ordinal: usize,
    pub object: ObjectRef,
    pub format: Format,
    pub schema: Arc<TableSchema>,
    /// The schema was inferred: a value that inference would have taken for another type does not fit.
    pub inferred: bool,
    pub reference: Option<Arc<ReferenceFile>>,
}

/// Why a file brought no rows. Nothing of it is staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    pub failure: Failure,
    /// Rejected rows seen before the file was given up.
    pub rows_rejected: u64,
    /// The destination failed, not the file: rows of its batch mates may be lost with an open data file, so the whole
    /// batch has to be given up.
    pub fatal: bool,
}

impl From<Failure> for FileError {
    fn from(failure: Failure) -> Self {
        Self { failure, rows_rejected: 0, fatal: false }
    }
}

/// All rows of the file are with the AppenderActor, or none. DecoderActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct FileDecoded {
    pub generation: Generation,
    pub seq: BatchSeq,
    pub ordinal: usize,
    /// Rows.
    pub result: Result<u64, FileError>,
    /// Bytes read from S3.
    pub bytes: u64,
    pub duration: std::time::Duration,
}
