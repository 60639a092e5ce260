//! Between ConnectionActor and DecoderActor.

use std::sync::Arc;

use actix::Message;
use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::error::Failure;
use connector_core::evolve::{FilePlan, FileShape};
use connector_core::ids::{BatchId, BatchSeq, Generation};
use connector_core::object::ObjectRef;
use connector_core::ports::ReferenceFile;
use connector_core::schema::TableSchema;
use connector_core::spec::Format;
use jiff::Timestamp;

/// Read the columns of the first file that has any. ConnectionActor to DecoderActor; answered by [`ColumnsInferred`].
/// Costs a few ranged reads of one file (more if files are broken), and one block of credit.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct InferColumns {
    pub generation: Generation,
    pub seq: BatchSeq,
    /// In claim order.
    pub files: Vec<(ObjectRef, Format)>,
    pub csv: CsvSettings,
    /// The schema that is decided already, if one is: then only the file's columns and its dialect are wanted.
    pub schema: Option<Arc<TableSchema>>,
}

/// What a file says of its columns.
#[derive(Clone, Debug)]
pub struct InferredColumns {
    /// `None` if a schema was decided already.
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

/// Look at the header, footer or sample of one file, so that its columns are known before its batch is read.
/// ConnectionActor to DecoderActor; answered by [`FileInspected`]. Costs a few small ranged reads.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct InspectFile {
    pub generation: Generation,
    pub seq: BatchSeq,
    /// Place in the batch, from 0.
    pub ordinal: usize,
    pub object: ObjectRef,
    pub format: Format,
    /// How the import's CSV files are written.
    pub dialect: CsvDialect,
    /// Of the table as it is now: a key inside a value that a column takes whole is no column of its own.
    pub schema: Arc<TableSchema>,
}

/// What a file brings. It *proposes* columns; the ConnectionActor decides. DecoderActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct FileInspected {
    pub generation: Generation,
    pub seq: BatchSeq,
    pub ordinal: usize,
    pub result: Result<FileShape, FileError>,
    /// Bytes read from S3.
    pub bytes: u64,
    pub duration: std::time::Duration,
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
    /// Of the table, with every column that the batch adds.
    pub schema: Arc<TableSchema>,
    /// Which of the file's columns feed the table's, or why all its rows go to quarantine.
    pub plan: Arc<FilePlan>,
    pub dialect: CsvDialect,
    /// Columns of the reference file, as it spells them: those that the table lacks are ignored.
    pub reference: Arc<[String]>,
    /// The time of the claim: what `now()` means in a DEFAULT, and the insertion date of quarantined rows.
    pub now: Timestamp,
    /// Of a replay: the ordinals, ascending, of the rows that lie in quarantine. Of these the ones that fit now are
    /// staged; whatever else the file holds is passed over, good or bad.
    pub only: Option<Arc<[u64]>>,
}

/// Why a file brought no rows. Nothing of it is staged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    pub failure: Failure,
    /// The destination failed, not the file: rows of its batch mates may be lost with an open data file, so the whole
    /// batch has to be given up.
    pub fatal: bool,
}

impl From<Failure> for FileError {
    fn from(failure: Failure) -> Self {
        Self { failure, fatal: false }
    }
}

/// Where the rows of a file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FileRows {
    /// Records of the file read so far: the ordinal of the next one.
    pub records: u64,
    pub table: u64,
    pub quarantine: u64,
}

/// All rows of the file are with the AppenderActor, or none. DecoderActor to ConnectionActor.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct FileDecoded {
    pub generation: Generation,
    pub seq: BatchSeq,
    pub ordinal: usize,
    pub result: Result<FileRows, FileError>,
    /// Bytes read from S3.
    pub bytes: u64,
    pub duration: std::time::Duration,
}
