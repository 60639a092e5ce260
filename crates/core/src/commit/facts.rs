//! What ledger and tables say, as far as the protocol needs it.

use crate::ids::{BatchSeq, BatchUuid, ImportUuid};
use crate::ports::{ImportRecord, StagedBatch, TableFacts};
use crate::revision::BatchKind;

/// What the ledger says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LedgerFacts {
    pub import: ImportUuid,
    pub table_created: bool,
    pub committed_seq: BatchSeq,
    pub open: Option<OpenFacts>,
    /// The batch that was claimed while `open` was being committed. Never staged.
    pub ahead: Option<OpenFacts>,
    /// The newest batch that the quarantine table may carry if nothing is open: the last finalised one in which it had
    /// a part, 0 if there was none. `None`: the ledger does not tell, so any up to `committed_seq` is believed.
    pub quarantine_seq: Option<BatchSeq>,
}

/// A batch that is neither finalised nor given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenFacts {
    pub seq: BatchSeq,
    pub uuid: BatchUuid,
    pub kind: BatchKind,
    pub staged: bool,
    /// The quarantine table has a part in it: rows that it gains or loses.
    pub quarantine: bool,
}

impl OpenFacts {
    pub(super) fn claimed(seq: BatchSeq, uuid: BatchUuid, kind: BatchKind) -> Self {
        Self { seq, uuid, kind, staged: false, quarantine: false }
    }
}

impl From<&ImportRecord> for LedgerFacts {
    fn from(record: &ImportRecord) -> Self {
        Self {
            import: record.uuid,
            table_created: record.table_created,
            committed_seq: record.committed_seq,
            open: record.open_batch.as_ref().map(|open| OpenFacts {
                seq: open.seq,
                uuid: open.uuid,
                kind: open.kind,
                staged: open.staged.is_some(),
                quarantine: open.staged.as_ref().is_some_and(StagedBatch::touches_quarantine),
            }),
            ahead: None,
            quarantine_seq: record.quarantine_seq,
        }
    }
}

/// What a table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableTxn {
    pub version: u64,
    pub import: Option<ImportUuid>,
    pub committed_seq: BatchSeq,
    pub committed_uuid: Option<BatchUuid>,
}

impl From<&TableFacts> for TableTxn {
    fn from(facts: &TableFacts) -> Self {
        Self {
            version: facts.version,
            import: facts.import,
            committed_seq: facts.committed_seq,
            committed_uuid: facts.committed_uuid,
        }
    }
}
