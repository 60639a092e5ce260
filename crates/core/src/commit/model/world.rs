//! Ledger, tables and data files of the model.

use super::mistakes::Mistake;
use super::process::Process;
use crate::ids::{BatchSeq, BatchUuid, ImportUuid};
use crate::revision::BatchKind;

use crate::commit::{LedgerFacts, OpenFacts, TableTxn};

/// A set of rows; bit n is row n of the scenario.
pub(super) type Rows = u16;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct DataFile {
    pub(super) path: u8,
    pub(super) rows: Rows,
}

/// What there is to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Job {
    /// An object version: rows that fit, rows that do not, and rows of an earlier version, which leave quarantine.
    Ingest { good: Rows, bad: Rows, supersedes: Rows },
    /// Those of these rows that are in quarantine fit by now.
    Replay { fits: Rows },
    /// All rows of the object versions of a batch.
    Rollback { rows: Rows },
    /// These rows have expired.
    Expiry { rows: Rows },
}

impl Job {
    pub(super) fn kind(self) -> BatchKind {
        match self {
            Self::Ingest { .. } => BatchKind::Ingest,
            Self::Replay { .. } => BatchKind::Replay,
            Self::Rollback { .. } => BatchKind::Rollback,
            Self::Expiry { .. } => BatchKind::Expiry,
        }
    }
}

/// Rows that a staged batch takes out of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Take {
    #[default]
    Nothing,
    /// All of these that are there.
    Rows(Rows),
    /// Those of the batch's own data files of the table.
    Moved,
    /// Whole data files. None may be missing.
    Files(Vec<DataFile>),
}

/// What a batch does to one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) add: Option<DataFile>,
    pub(super) take: Take,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Staged {
    pub(super) table: Part,
    pub(super) quarantine: Part,
}

impl Staged {
    pub(super) fn part(&self, which: Which) -> &Part {
        match which {
            Which::Table => &self.table,
            Which::Quarantine => &self.quarantine,
        }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &DataFile> {
        self.table.add.iter().chain(&self.quarantine.add)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    pub(super) seq: BatchSeq,
    pub(super) uuid: u8,
    pub(super) job: usize,
    pub(super) kind: BatchKind,
    pub(super) staged: Option<Staged>,
}

impl Batch {
    fn facts(&self) -> OpenFacts {
        OpenFacts {
            seq: self.seq,
            uuid: batch_uuid(self.uuid),
            kind: self.kind,
            staged: self.staged.is_some(),
            quarantine: self.staged.as_ref().is_some_and(|staged| staged.quarantine != Part::default()),
        }
    }
}

/// Where rows are by the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Account {
    pub(super) table: Rows,
    pub(super) quarantine: Rows,
    pub(super) removed: Rows,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Ledger {
    pub(super) committed: BatchSeq,
    pub(super) open: Option<Batch>,
    pub(super) ahead: Option<Batch>,
    /// Jobs that have ended, by their bits.
    pub(super) done: u16,
    pub(super) account: Account,
    /// The newest finalised batch in which the quarantine table had a part.
    pub(super) quarantine_seq: BatchSeq,
}

impl Ledger {
    pub(super) fn facts(&self, tells_quarantine: bool) -> LedgerFacts {
        LedgerFacts {
            import: import(),
            table_created: true,
            committed_seq: self.committed,
            open: self.open.as_ref().map(Batch::facts),
            ahead: self.ahead.as_ref().map(Batch::facts),
            quarantine_seq: tells_quarantine.then_some(self.quarantine_seq),
        }
    }

    /// Moves the rows of the open batch in the account, as its staged results say.
    pub(super) fn finalise(&mut self) {
        let Some(batch) = self.open.take() else { return };
        let staged = batch.staged.unwrap_or_default();
        let rows = |part: &Part| part.add.as_ref().map_or(0, |file| file.rows);
        let (new, bad) = (rows(&staged.table), rows(&staged.quarantine));
        let account = &mut self.account;
        let gone = match &staged.table.take {
            Take::Rows(rows) => account.table & rows,
            Take::Files(files) => files.iter().fold(0, |all, file| all | file.rows),
            Take::Nothing | Take::Moved => 0,
        };
        let gone_bad = match staged.quarantine.take {
            Take::Rows(rows) => account.quarantine & rows,
            _ => 0,
        };
        let moved = if staged.quarantine.take == Take::Moved { new } else { 0 };
        account.table = (account.table & !gone) | new;
        account.quarantine = (account.quarantine & !gone_bad & !moved) | bad;
        account.removed = (account.removed | gone | gone_bad) & !new & !bad;
        if staged.quarantine != Part::default() {
            self.quarantine_seq = batch.seq;
        }
        self.committed = batch.seq;
        self.done |= 1 << batch.job;
        self.open = self.ahead.take();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Which {
    Table,
    Quarantine,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) version: u64,
    pub(super) txn: BatchSeq,
    pub(super) uuid: u8,
    pub(super) files: Vec<DataFile>,
    /// Rows that went with an earlier table at its place, which somebody removed.
    pub(super) dropped: Rows,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Table {
    pub(super) now: State,
    /// What a power loss leaves, if that is less.
    pub(super) durable: Option<Box<State>>,
}

impl Table {
    pub(super) fn with(txn: BatchSeq, files: &[DataFile]) -> Self {
        Self {
            now: State { version: txn.unsigned_abs(), txn, files: files.to_vec(), ..State::default() },
            durable: None,
        }
    }

    pub(super) fn facts(&self) -> TableTxn {
        let State { version, txn, uuid, .. } = self.now;
        TableTxn { version, import: Some(import()), committed_seq: txn, committed_uuid: Some(batch_uuid(uuid)) }
    }

    /// All rows, and those that are there more than once.
    pub(super) fn rows(&self) -> (Rows, Rows) {
        self.now.files.iter().fold((0, 0), |(all, twice), file| (all | file.rows, twice | (all & file.rows)))
    }

    /// Becomes a new version, which a power loss undoes until somebody has synced it.
    pub(super) fn advance(&mut self, change: impl FnOnce(&mut State)) {
        self.durable.get_or_insert_with(|| Box::new(self.now.clone()));
        self.now.version += 1;
        change(&mut self.now);
    }
}

/// A log entry on its way: made for one version, of what the version before it held.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Put {
    pub(super) which: Which,
    pub(super) version: u64,
    pub(super) seq: BatchSeq,
    pub(super) uuid: u8,
    pub(super) adds: Vec<DataFile>,
    pub(super) removes: Vec<u8>,
    /// Rows that leave the table and appear nowhere else.
    pub(super) on_purpose: Rows,
}

/// How often each thing may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) crashes: u8,
    /// Commits without an answer.
    pub(super) unanswered: u8,
    /// Versions by foreign writers: rows of their own, or small files written together.
    pub(super) foreign: u8,
    /// Staged data files that vanish while no process runs.
    pub(super) losses: u8,
    /// Quarantine tables that somebody removes.
    pub(super) drops: u8,
    /// Old processes that go on without the ledger.
    pub(super) zombies: u8,
    /// Second hosts that start with a copy of the ledger.
    pub(super) hosts: u8,
}

/// What is the same in all states of one search.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) jobs: Vec<Job>,
    /// Batches that ended before the search begins, and what they left.
    pub(super) past: BatchSeq,
    pub(super) table: Vec<DataFile>,
    pub(super) quarantine: Vec<DataFile>,
    pub(super) budget: Budget,
    /// Whether batches are claimed ahead.
    pub(super) pipelined: bool,
    /// Whether jobs are claimed in any order, as two hosts with their own listings do.
    pub(super) any_order: bool,
    /// Whether the ledger tells which batch the quarantine table may carry.
    pub(super) tells_quarantine: bool,
    pub(super) mistake: Option<Mistake>,
}

/// Everything that can differ between two moments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) table: Table,
    pub(super) quarantine: Option<Table>,
    pub(super) late: Vec<Put>,
    /// Data files that are gone, by the bits of their paths.
    pub(super) lost: u64,
    pub(super) paths: u8,
    pub(super) uuids: u8,
    /// Rows that left on purpose.
    pub(super) removed: Rows,
    /// Rows that went with the quarantine table, as long as there is none.
    pub(super) dropped: Rows,
    /// A log entry has landed of which its process knows nothing any more.
    pub(super) late_landed: bool,
    /// The first ledger, and its copy on a second host.
    pub(super) ledgers: Vec<Ledger>,
    /// The newest process, and its rival.
    pub(super) processes: Vec<Process>,
    pub(super) budget: Budget,
}

impl World {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let all = |files: &[DataFile]| files.iter().fold(0, |rows, file| rows | file.rows);
        let account =
            Account { table: all(&scenario.table), quarantine: all(&scenario.quarantine), ..Account::default() };
        let quarantine_seq = if scenario.quarantine.is_empty() { 0 } else { scenario.past };
        let ledger = Ledger { committed: scenario.past, account, quarantine_seq, ..Ledger::default() };
        Self {
            table: Table::with(scenario.past, &scenario.table),
            quarantine: Some(Table::with(quarantine_seq, &scenario.quarantine)),
            late: Vec::new(),
            lost: 0,
            paths: 10,
            uuids: 0,
            removed: 0,
            dropped: 0,
            late_landed: false,
            ledgers: vec![ledger],
            processes: vec![Process::start(Some(0))],
            budget: scenario.budget,
        }
    }

    pub(super) fn table_of(&self, which: Which) -> Option<&Table> {
        match which {
            Which::Table => Some(&self.table),
            Which::Quarantine => self.quarantine.as_ref(),
        }
    }

    pub(super) fn table_of_mut(&mut self, which: Which) -> Option<&mut Table> {
        match which {
            Which::Table => Some(&mut self.table),
            Which::Quarantine => self.quarantine.as_mut(),
        }
    }

    /// Whoever reads the tables makes durable what it reads.
    pub(super) fn sync(&mut self) {
        self.table.durable = None;
        if let Some(quarantine) = self.quarantine.as_mut() {
            quarantine.durable = None;
        }
    }

    pub(super) fn dropped(&self) -> Rows {
        self.quarantine.as_ref().map_or(self.dropped, |table| table.now.dropped)
    }

    pub(super) fn new_file(&mut self, rows: Rows) -> Option<DataFile> {
        (rows != 0).then(|| {
            self.paths += 1;
            DataFile { path: self.paths, rows }
        })
    }

    /// Puts a log entry if its place is free. Tells whether it was.
    pub(super) fn land(&mut self, put: &Put) -> bool {
        let Some(table) = self.table_of_mut(put.which) else { return false };
        if put.version != table.now.version + 1 {
            return false;
        }
        let added = put.adds.iter().fold(0, |rows, file| rows | file.rows);
        table.advance(|state| {
            state.dropped &= !added;
            (state.txn, state.uuid) = (put.seq, put.uuid);
            state.files.retain(|file| !put.removes.contains(&file.path));
            state.files.extend(put.adds.iter().cloned());
        });
        self.removed = (self.removed | put.on_purpose) & !added;
        true
    }
}

pub(super) fn import() -> ImportUuid {
    ImportUuid(uuid::Uuid::from_u128(7))
}

pub(super) fn batch_uuid(id: u8) -> BatchUuid {
    BatchUuid(uuid::Uuid::from_u128(id.into()))
}
