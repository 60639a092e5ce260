//! The commit protocol as a state machine without I/O.
//!
//! The `ConnectionActor` feeds it [`Event`]s (facts and answers) and carries out the one [`Action`] that it returns.
//! Because every decision is here, an interleaving of crashes, lost answers and foreign writers can be tried by calling
//! [`CommitMachine::on`] in a loop.
//!
//! ```text
//! Reading ──facts──> Ready ──claimed──> Open ──decoded──> Staging ──> Quarantining ──> Committing ──> Finalising ──> Ready
//!    │                 ^                  │ nothing to commit           │ conflict or no answer │
//!    │                 └──── Settling <───┘                             └────> Verifying <──────┘
//!    └── contradiction ──> Stopped                                                 └──> by what the tables say
//! ```
//!
//! A batch with bad rows commits them to the quarantine table first: once the table itself has the batch, nothing of it
//! can be missing. With `L` the ledger's last finalised batch, `v` the `txn` version of the table and `q` that of the
//! quarantine table, [`settle_facts`] decides every start and every unknown outcome.

use crate::error::{ErrorClass, Failure};
use crate::ids::{BatchSeq, BatchUuid, ImportUuid};
use crate::ports::{CommitAnswer, ImportRecord, TableFacts};

/// What the ledger says, as far as the protocol needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerFacts {
    pub import: ImportUuid,
    pub table_created: bool,
    pub committed_seq: BatchSeq,
    pub open: Option<OpenFacts>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFacts {
    pub seq: BatchSeq,
    pub uuid: BatchUuid,
    pub staged: bool,
    /// It has rows for the quarantine table.
    pub quarantine: bool,
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
                staged: open.staged.is_some(),
                quarantine: open.staged.as_ref().is_some_and(|staged| !staged.quarantine.is_empty()),
            }),
        }
    }
}

/// What the table says, as far as the protocol needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Ledger and tables were read, at start. `None`: there is no such table.
    Facts {
        ledger: LedgerFacts,
        table: Option<TableTxn>,
        quarantine: Option<TableTxn>,
    },
    /// The tables were read again after a conflict or an unknown outcome.
    Reread {
        table: Option<TableTxn>,
        quarantine: Option<TableTxn>,
    },
    /// A batch was claimed in the ledger.
    Claimed {
        seq: BatchSeq,
        uuid: BatchUuid,
    },
    /// Every file of the open batch was decoded and its data files are durable. `commit` is false if no file of the
    /// batch was ingested.
    Decoded {
        commit: bool,
    },
    /// The guard does not let the decoded batch in.
    Refused,
    /// The batch is staged in the ledger, with rows for the quarantine table or without.
    Staged {
        quarantine: bool,
    },
    /// Whether the staged files of an interrupted batch are still whole.
    Intact(bool),
    /// Of the commit that was asked for last, be it to the quarantine table or to the table.
    Committed(CommitAnswer),
    /// The commit gave an error, which says nothing about whether it landed.
    CommitUnknown(Failure),
    Finalised,
    /// The open batch was given back, or settled without a commit.
    Closed,
}

/// What has to be done next. Each action is answered by one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// No batch is open: the next one may be claimed. Answered by [`Event::Claimed`], whenever there is something.
    Await,
    /// Decode the claimed files and write data files.
    Decode,
    Stage {
        seq: BatchSeq,
    },
    /// Look whether the staged files, of both tables, are still there, whole.
    CheckStaged {
        seq: BatchSeq,
    },
    /// Commit to the quarantine table.
    CommitQuarantine {
        seq: BatchSeq,
        uuid: BatchUuid,
    },
    Commit {
        seq: BatchSeq,
        uuid: BatchUuid,
    },
    /// Read both tables.
    ReadTables,
    Finalise {
        seq: BatchSeq,
        table_version: u64,
    },
    /// Give the files of the open batch back.
    Abandon {
        seq: BatchSeq,
    },
    /// Give the files of the open batch back and pause the import.
    TripGuard {
        seq: BatchSeq,
    },
    /// End the open batch in the ledger without a commit: none of its files brought a row.
    Settle {
        seq: BatchSeq,
    },
    /// Stop the import; the failure explains what to do.
    Stop(Failure),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    Ready,
    Open,
    Settling,
    Staging,
    Checking,
    Quarantining,
    Committing,
    Verifying,
    Finalising,
    Stopped,
}

/// One import's protocol state. See the module's picture.
#[derive(Clone, Debug)]
pub struct CommitMachine {
    phase: Phase,
    ledger: Option<LedgerFacts>,
    unsettled: u32,
    /// The open batch's bad rows are in the quarantine table.
    quarantine_landed: bool,
    /// The error that the last commit gave, if it gave one.
    last_error: Option<Failure>,
}

/// Commits of one batch that may end in conflict or without an answer before the generation gives up and restarts.
pub const MAX_UNSETTLED_COMMITS: u32 = 10;

impl Default for CommitMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl CommitMachine {
    pub fn new() -> Self {
        Self { phase: Phase::Reading, ledger: None, unsettled: 0, quarantine_landed: false, last_error: None }
    }

    /// Whether a batch may be claimed now.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The table was created since the facts were read.
    pub fn table_created(&mut self) {
        if let Some(ledger) = self.ledger.as_mut() {
            ledger.table_created = true;
        }
    }

    /// The sequence number that the next claim has to carry.
    pub fn next_seq(&self) -> BatchSeq {
        self.ledger.map_or(1, |ledger| ledger.committed_seq + 1)
    }

    /// Takes an event and says what to do. An event that does not fit the phase is a bug and stops the import.
    pub fn on(&mut self, event: Event) -> Action {
        match (self.phase.clone(), event) {
            (Phase::Reading, Event::Facts { ledger, table, quarantine }) => {
                self.ledger = Some(ledger);
                self.decide(table, quarantine, true)
            }
            (Phase::Ready, Event::Claimed { seq, uuid }) if seq == self.next_seq() => {
                self.quarantine_landed = false;
                self.set_open(Some(OpenFacts { seq, uuid, staged: false, quarantine: false }));
                self.go(Phase::Open, Action::Decode)
            }
            (Phase::Open, Event::Decoded { commit: false }) => {
                let seq = self.next_seq();
                self.go(Phase::Settling, Action::Settle { seq })
            }
            (Phase::Open, Event::Refused) => {
                let seq = self.next_seq();
                self.go(Phase::Settling, Action::TripGuard { seq })
            }
            (Phase::Open, Event::Decoded { commit: true }) => {
                let seq = self.next_seq();
                self.go(Phase::Staging, Action::Stage { seq })
            }
            (Phase::Staging, Event::Staged { quarantine }) => {
                if let Some(open) = self.ledger.as_mut().and_then(|ledger| ledger.open.as_mut()) {
                    open.staged = true;
                    open.quarantine = quarantine;
                }
                self.commit()
            }
            (Phase::Checking, Event::Intact(true)) => self.commit(),
            // Its bad rows are in the quarantine table: reading its files again would put them there twice.
            (Phase::Checking, Event::Intact(false)) if self.quarantine_landed => {
                let (code, message) = STAGED_FILES_GONE;
                self.stop(Failure::fenced(code, message))
            }
            (Phase::Checking, Event::Intact(false)) => self.abandon(),
            (Phase::Quarantining, Event::Committed(CommitAnswer::Landed { .. })) => {
                self.quarantine_landed = true;
                self.commit()
            }
            (Phase::Committing, Event::Committed(CommitAnswer::Landed { version })) => self.finalise(version),
            (Phase::Quarantining | Phase::Committing, Event::Committed(CommitAnswer::Conflict)) => self.verify(None),
            (Phase::Quarantining | Phase::Committing, Event::CommitUnknown(failure)) => self.verify(Some(failure)),
            (Phase::Verifying, Event::Reread { table, quarantine }) => self.decide(table, quarantine, false),
            (Phase::Finalising, Event::Finalised) => {
                if let Some(ledger) = self.ledger.as_mut() {
                    ledger.committed_seq += 1;
                    ledger.open = None;
                }
                self.unsettled = 0;
                self.quarantine_landed = false;
                self.last_error = None;
                self.go(Phase::Ready, Action::Await)
            }
            (Phase::Settling, Event::Closed) => {
                self.quarantine_landed = false;
                self.set_open(None);
                self.go(Phase::Ready, Action::Await)
            }
            (phase, event) => {
                let message = format!("commit protocol: {event:?} cannot follow {phase:?}");
                self.stop(Failure::bug("protocol", message))
            }
        }
    }

    fn decide(&mut self, table: Option<TableTxn>, quarantine: Option<TableTxn>, at_start: bool) -> Action {
        let Some(ledger) = self.ledger else {
            return self.stop(Failure::bug("protocol", "commit protocol: no ledger facts"));
        };
        match settle_facts(&ledger, table.as_ref(), quarantine.as_ref()) {
            Verdict::Ready => self.go(Phase::Ready, Action::Await),
            Verdict::Abandon => self.abandon(),
            Verdict::CommitStaged { quarantine_landed } => {
                self.quarantine_landed = quarantine_landed;
                if at_start {
                    let seq = self.next_seq();
                    return self.go(Phase::Checking, Action::CheckStaged { seq });
                }
                self.commit()
            }
            Verdict::Landed { version } => self.finalise(version),
            Verdict::Contradiction(failure) => self.stop(failure),
        }
    }

    fn commit(&mut self) -> Action {
        match self.ledger.and_then(|ledger| ledger.open) {
            Some(open) => match self.hopeless() {
                None if open.quarantine && !self.quarantine_landed => {
                    self.go(Phase::Quarantining, Action::CommitQuarantine { seq: open.seq, uuid: open.uuid })
                }
                None => self.go(Phase::Committing, Action::Commit { seq: open.seq, uuid: open.uuid }),
                Some(failure) => self.stop(failure),
            },
            None => self.stop(Failure::bug("protocol", "commit protocol: nothing is staged")),
        }
    }

    /// Why another attempt would be in vain: the user must act, or too many have failed.
    fn hopeless(&self) -> Option<Failure> {
        let too_many = self.unsettled >= MAX_UNSETTLED_COMMITS;
        match &self.last_error {
            Some(failure) if too_many || failure.class == ErrorClass::Config => Some(failure.clone()),
            None if too_many => Some(Failure::transient(
                "commit_unsettled",
                format!("the table took none of {MAX_UNSETTLED_COMMITS} commits in a row; other writers keep winning"),
            )),
            _ => None,
        }
    }

    fn verify(&mut self, error: Option<Failure>) -> Action {
        self.last_error = error;
        self.unsettled += 1;
        self.go(Phase::Verifying, Action::ReadTables)
    }

    fn finalise(&mut self, table_version: u64) -> Action {
        let seq = self.next_seq();
        self.go(Phase::Finalising, Action::Finalise { seq, table_version })
    }

    fn abandon(&mut self) -> Action {
        let seq = self.next_seq();
        self.go(Phase::Settling, Action::Abandon { seq })
    }

    fn stop(&mut self, failure: Failure) -> Action {
        self.go(Phase::Stopped, Action::Stop(failure))
    }

    fn go(&mut self, phase: Phase, action: Action) -> Action {
        self.phase = phase;
        action
    }

    fn set_open(&mut self, open: Option<OpenFacts>) {
        if let Some(ledger) = self.ledger.as_mut() {
            ledger.open = open;
        }
    }
}

/// What ledger and table together mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They agree and nothing is open.
    Ready,
    /// A batch was claimed and not staged: its files go back.
    Abandon,
    /// A batch is staged and did not land in the table; its bad rows may have landed in the quarantine table.
    CommitStaged { quarantine_landed: bool },
    /// A staged batch landed, at this version at the latest.
    Landed { version: u64 },
    /// They contradict each other: nothing is guessed.
    Contradiction(Failure),
}

/// Compares ledger (`L`, open batch), table (`v`) and quarantine table (`q`).
///
/// | table | ledger | verdict |
/// |---|---|---|
/// | none | table never created | ready, or abandon what was claimed |
/// | none | table was created | contradiction: the table is gone |
/// | of no import, or of another one | any | contradiction |
/// | v = L | nothing open / claimed / staged | ready / abandon / commit |
/// | v = L + 1 | staged with the uuid of that commit | landed |
/// | v = L + 1 | staged with another uuid | contradiction: another writer |
/// | v > L otherwise | any | contradiction: the ledger is behind |
/// | v < L | any | contradiction: the table is behind |
///
/// | quarantine table | ledger and table | verdict |
/// |---|---|---|
/// | none | staged with bad rows, v = L | abandon: its data files went with it |
/// | of no import, or of another one | any | contradiction |
/// | q <= L | staged with bad rows, v = L | commit to both |
/// | q <= L | staged with bad rows, v = L + 1 | contradiction: the quarantine table is behind |
/// | q = L + 1 | staged with the uuid of that commit | commit to the table / landed |
/// | q = L + 1 | staged with another uuid | contradiction: another writer |
/// | q > L otherwise | any | contradiction: the ledger is behind |
pub fn settle_facts(ledger: &LedgerFacts, table: Option<&TableTxn>, quarantine: Option<&TableTxn>) -> Verdict {
    let verdict = settle_table(ledger, table);
    if matches!(verdict, Verdict::Contradiction(_)) {
        return verdict;
    }
    let staged = ledger.open.filter(|open| open.staged);
    let wants_rows = staged.is_some_and(|open| open.quarantine);
    let Some(quarantine) = quarantine else {
        let lost = wants_rows && matches!(verdict, Verdict::CommitStaged { .. });
        return if lost { Verdict::Abandon } else { verdict };
    };
    if quarantine.import != Some(ledger.import) {
        return contradiction(FOREIGN_QUARANTINE);
    }
    let (q, last) = (quarantine.committed_seq, ledger.committed_seq);
    if q <= last {
        let behind = wants_rows && matches!(verdict, Verdict::Landed { .. });
        return if behind { contradiction(QUARANTINE_BEHIND) } else { verdict };
    }
    match staged {
        Some(open) if q == last + 1 && open.seq == q => match verdict {
            _ if quarantine.committed_uuid != Some(open.uuid) => another_writer(),
            Verdict::CommitStaged { .. } => Verdict::CommitStaged { quarantine_landed: true },
            other => other,
        },
        _ => contradiction(LEDGER_BEHIND),
    }
}

fn settle_table(ledger: &LedgerFacts, table: Option<&TableTxn>) -> Verdict {
    let nothing_landed = match ledger.open {
        None => Verdict::Ready,
        Some(OpenFacts { staged: false, .. }) => Verdict::Abandon,
        Some(OpenFacts { staged: true, .. }) => Verdict::CommitStaged { quarantine_landed: false },
    };
    let Some(table) = table else {
        return if ledger.table_created {
            contradiction(TABLE_GONE)
        } else if matches!(nothing_landed, Verdict::CommitStaged { .. }) {
            Verdict::Abandon
        } else {
            nothing_landed
        };
    };
    if table.import != Some(ledger.import) {
        return contradiction(match table.import {
            None => FOREIGN_TABLE,
            Some(_) if ledger.table_created => OTHER_IMPORT,
            Some(_) => LEDGER_LOST,
        });
    }
    let (v, last) = (table.committed_seq, ledger.committed_seq);
    match ledger.open {
        _ if v == last => nothing_landed,
        _ if v < last => contradiction(TABLE_BEHIND),
        Some(OpenFacts { seq, uuid, staged: true, .. }) if v == last + 1 && seq == v => {
            if table.committed_uuid == Some(uuid) {
                Verdict::Landed { version: table.version }
            } else {
                another_writer()
            }
        }
        _ => contradiction(LEDGER_BEHIND),
    }
}

fn another_writer() -> Verdict {
    Verdict::Contradiction(Failure::fenced(
        "fenced",
        "another writer committed this import's next batch to the table; is the same configuration running twice? stop \
         the other copy and go on with its ledger",
    ))
}

type Contradiction = (&'static str, &'static str);

const STAGED_FILES_GONE: Contradiction = (
    "staged_files_gone",
    "data files of the batch that is being committed are gone, after its bad rows were committed to the quarantine \
     table; was the table vacuumed or restored meanwhile? put the files back",
);
const FOREIGN_QUARANTINE: Contradiction = (
    "foreign_quarantine",
    "the quarantine table does not belong to this import; move it away (it is made anew), or choose another place in \
     [destination]",
);
const QUARANTINE_BEHIND: Contradiction = (
    "quarantine_behind",
    "the quarantine table lacks bad rows of a batch that is in the table, so it was restored to an older version; \
     restore the newer one, or move it away to start a new one without those rows",
);
const TABLE_GONE: Contradiction = (
    "table_gone",
    "the ledger says that this import has a table, but there is none at its place; put the table back, or give the \
     data source another name to import everything again into a new table",
);
const FOREIGN_TABLE: Contradiction = (
    "foreign_table",
    "there is a table at this place that s3-connector did not make; choose another place in [destination] or move the \
     table away",
);
const OTHER_IMPORT: Contradiction = (
    "other_import",
    "the table belongs to another import than the one in the ledger: it was replaced behind the connector's back; put \
     the old one back or choose another place in [destination]",
);
const LEDGER_LOST: Contradiction = (
    "ledger_lost",
    "the table belongs to an import that this ledger does not know, so the ledger was deleted or this is another \
     host; nothing is imported again; put the old ledger back, or choose another place in [destination] or another \
     name for the data source to start a new table",
);
const TABLE_BEHIND: Contradiction = (
    "table_behind",
    "the table lacks batches that the ledger has finalised, so it was restored to an older version; restore the newer \
     one, or a ledger of the same age",
);
const LEDGER_BEHIND: Contradiction = (
    "ledger_behind",
    "the table has batches that the ledger does not know, so the ledger was restored from a backup or a second copy \
     runs elsewhere; stop the other copy and put the newest ledger back",
);

fn contradiction((code, message): Contradiction) -> Verdict {
    Verdict::Contradiction(Failure::config(code, message))
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
