//! The one write that matters: a log entry, put create-only, its outcome settled by reading it back.
//!
//! The kernel prepares the actions; this committer adds to each `add` the statistics and tags that the kernel's own
//! interface has no place for, and puts the entry. An error of the put is not an answer: the entry may be there all
//! the same, because the answer was lost, or because the directory could not be synced after the link was made. So the
//! entry of that version is read back: ours is a landed commit, somebody else's a conflict, and if there is none, the
//! same bytes are put at the same version once more (a put that is still on its way then meets its own bytes).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use connector_core::ids::{BatchSeq, BatchUuid};
use delta_kernel::committer::{CommitMetadata, CommitResponse, Committer, PublishMetadata};
use delta_kernel::engine::to_json_bytes;
use delta_kernel::{Engine, FileMeta, FilteredEngineData, KernelError, KernelResult, KernelResultIterator};
use serde_json::{Value, json};

use crate::error::DeltaError;
use crate::log::{Entry, Log};

/// The tag of each `add` that carries the batch's sequence number.
const SEQ_TAG: &str = "s3_connector.seq";
/// The tag of each `add` that carries the batch uuid.
const BATCH_TAG: &str = "s3_connector.batch";

/// What is added to the data files of one commit.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    /// The batch; none of a commit that only rearranges rows.
    pub(crate) batch: Option<(BatchSeq, BatchUuid)>,
    /// Statistics as JSON text, by the data file's path as the log spells it.
    pub(crate) stats: HashMap<String, String>,
}

/// How the put ended, for the caller of the kernel: the kernel can fail after the entry has landed.
#[derive(Debug)]
pub(crate) enum PutOutcome {
    Landed { version: u64, entry: Bytes },
    Conflict,
    Unknown(DeltaError),
}

/// Where a [`LogCommitter`] leaves its outcome, since the kernel takes the committer away.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutcomeSlot(Arc<Mutex<Option<PutOutcome>>>);

impl OutcomeSlot {
    pub(crate) fn take(&self) -> Option<PutOutcome> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, outcome: PutOutcome) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}

/// Puts one log entry. Made anew for each commit.
#[derive(Debug)]
pub(crate) struct LogCommitter {
    log: Log,
    /// `None` when a table is created.
    marks: Option<Marks>,
    slot: OutcomeSlot,
}

impl LogCommitter {
    pub(crate) fn new(log: Log, marks: Option<Marks>) -> (Self, OutcomeSlot) {
        let slot = OutcomeSlot::default();
        (Self { log, marks, slot: slot.clone() }, slot)
    }

    fn publish(&self, version: u64, entry: &Bytes) -> Result<PutOutcome, DeltaError> {
        let landed = || PutOutcome::Landed { version, entry: entry.clone() };
        let Err(mut error) = self.log.put_new(version, entry.clone()) else { return Ok(landed()) };
        for put_again in [true, false] {
            match self.log.read(version) {
                Ok(Some(found)) if self.is_ours(entry, &found) => {
                    // The name is there; whether that is on disk is what the error may have been about.
                    self.log.settle(version, &found)?;
                    return Ok(PutOutcome::Landed { version, entry: found });
                }
                Ok(Some(_)) => return Ok(PutOutcome::Conflict),
                Ok(None) if put_again => match self.log.put_new(version, entry.clone()) {
                    Ok(()) => return Ok(landed()),
                    Err(second) => error = second,
                },
                Ok(None) => {}
                Err(unreadable) => {
                    let why = format!("{error}; reading the log entry back failed as well: {unreadable}");
                    return Err(DeltaError::CommitUnknown { table: self.log.table().to_owned(), version, why });
                }
            }
        }
        Err(DeltaError::store(&self.log.file(version), &error))
    }

    /// Ours: the very bytes that were put, or another attempt at the same batch.
    fn is_ours(&self, put: &Bytes, found: &Bytes) -> bool {
        let batch = self.marks.as_ref().and_then(|marks| marks.batch);
        put == found || batch.is_some_and(|(_, uuid)| Entry::parse(found).is_ok_and(|entry| entry.batch == Some(uuid)))
    }
}

impl Committer for LogCommitter {
    fn commit(
        &self,
        _engine: &dyn Engine,
        actions: KernelResultIterator<'_, FilteredEngineData>,
        metadata: CommitMetadata,
    ) -> KernelResult<CommitResponse> {
        let lines = to_json_bytes(actions)?;
        let entry = match &self.marks {
            Some(marks) => mark_files(&lines, marks).map_err(KernelError::generic_err)?,
            None => lines,
        };
        let entry = Bytes::from(entry);
        let version = metadata.version();
        let outcome = self.publish(version, &entry).unwrap_or_else(PutOutcome::Unknown);
        let response = match &outcome {
            PutOutcome::Landed { entry, .. } => {
                let size = entry.len() as u64;
                let file = FileMeta::new(metadata.published_commit_path()?, metadata.in_commit_timestamp(), size);
                Ok(CommitResponse::Committed { file_meta: file })
            }
            PutOutcome::Conflict => Ok(CommitResponse::Conflict { version }),
            PutOutcome::Unknown(error) => Err(KernelError::generic(error)),
        };
        self.slot.set(outcome);
        response
    }

    fn is_catalog_committer(&self) -> bool {
        false
    }

    fn publish(&self, _engine: &dyn Engine, metadata: PublishMetadata) -> KernelResult<()> {
        if metadata.commits_to_publish().is_empty() {
            return Ok(());
        }
        Err(KernelError::generic("a table in a directory has no catalog commits to publish"))
    }
}

/// Adds statistics and tags to each `add`; leaves every other action byte for byte.
fn mark_files(lines: &[u8], marks: &Marks) -> Result<Vec<u8>, serde_json::Error> {
    let mut entry = Vec::with_capacity(lines.len() * 2);
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if line.starts_with(br#"{"add""#) {
            let mut action: Value = serde_json::from_slice(line)?;
            let add = &mut action["add"];
            let stats = add["path"].as_str().and_then(|path| marks.stats.get(path));
            if let Some(stats) = stats {
                add["stats"] = Value::from(stats.as_str());
            }
            if let Some((seq, uuid)) = marks.batch {
                add["tags"] = json!({ SEQ_TAG: seq.to_string(), BATCH_TAG: uuid.to_string() });
            }
            serde_json::to_writer(&mut entry, &action)?;
        } else {
            entry.extend_from_slice(line);
        }
        entry.push(b'\n');
    }
    Ok(entry)
}
