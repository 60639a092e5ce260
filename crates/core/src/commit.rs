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
//! An ingest batch with bad rows commits them to the quarantine table first: once the table itself has the batch,
//! nothing of it can be missing. A batch that takes rows out of quarantine (replay, rollback) commits to the table first:
//! a row on its way is in both tables for a moment, and never in neither. With `L` the ledger's last finalised batch, `v`
//! the `txn` version of the table and `q` that of the quarantine table, [`settle_facts`] decides every start and every
//! unknown outcome.
//!
//! One batch may be claimed *ahead*, and decoded, while the one before it is being committed. It is staged only once
//! that one is finalised; at a start it is given back.

mod facts;
mod settle;

pub use facts::{LedgerFacts, OpenFacts, TableTxn};
pub use settle::{Verdict, settle_facts};

use crate::error::{ErrorClass, Failure};
use crate::ids::{BatchSeq, BatchUuid};
use crate::ports::CommitAnswer;
use crate::revision::BatchKind;

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
    /// A batch was claimed in the ledger: the next one, or the one after it ([`CommitMachine::may_claim_ahead`]).
    Claimed {
        seq: BatchSeq,
        uuid: BatchUuid,
        kind: BatchKind,
    },
    /// Every file of the batch that was claimed last was decoded and its data files are durable. `commit` is false if no file of the
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

/// What has to be done next. Each action is answered by one event, if it is not said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// No batch is open: the next one may be claimed. Answered by [`Event::Claimed`], whenever there is something.
    Await,
    /// Decode the files of the batch that was claimed last, and write data files. Its answer is not waited for any more
    /// once the batch is abandoned.
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
    /// Give the files of this batch back: the open one, or the one that was claimed ahead.
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
    /// Nothing new: what was asked for before is still being done, and answered as it would be. Only ever follows a
    /// batch that was claimed ahead.
    Wait,
    /// Stop the import; the failure explains what to do.
    Stop(Failure),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Reading,
    /// A batch that was claimed ahead is given back.
    Clearing,
    /// Reads the tables once more, as at a start.
    Restarting,
    Ready,
    Open,
    Settling,
    Staging,
    Checking,
    /// A table seems to be gone, and with it the open batch: its staged files tell.
    Doubting,
    Quarantining,
    Committing,
    Verifying,
    Finalising,
    Stopped,
}

/// How decoding ended of the batch that was claimed ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ended {
    Decoded { commit: bool },
    Refused,
}

/// One import's protocol state. See the module's picture.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommitMachine {
    phase: Phase,
    ledger: Option<LedgerFacts>,
    unsettled: u32,
    /// Nothing of the open batch is left to do in the quarantine table.
    quarantine_landed: bool,
    /// The version of the table that has the open batch.
    table_version: Option<u64>,
    /// The newest batch of the quarantine table as it was seen last.
    quarantine_seen: BatchSeq,
    /// The error that the last commit gave, if it gave one.
    last_error: Option<Failure>,
    /// Why the batch that is being abandoned could not be committed.
    given_up: Option<Failure>,
    ahead_ended: Option<Ended>,
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
        Self {
            phase: Phase::Reading,
            ledger: None,
            unsettled: 0,
            quarantine_landed: false,
            table_version: None,
            quarantine_seen: 0,
            last_error: None,
            given_up: None,
            ahead_ended: None,
        }
    }

    /// Whether a batch may be claimed now.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether the ingest batch after the open one may be claimed now, with the `seq` after [`Self::next_seq`]. Its
    /// answer may come at any later time. Other kinds revise what the open batch may be about to change, so they wait.
    pub fn may_claim_ahead(&self) -> bool {
        let committing =
            matches!(self.phase, Phase::Quarantining | Phase::Committing | Phase::Verifying | Phase::Finalising);
        committing && self.ahead().is_none() && self.open().is_some_and(|open| open.kind == BatchKind::Ingest)
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

    /// Why a batch that revises rows is abandoned although it was staged: only the user can make its commit possible. Told
    /// once.
    pub fn take_given_up(&mut self) -> Option<Failure> {
        self.given_up.take()
    }

    /// Whether the open batch's part in the quarantine table has landed already.
    pub fn quarantine_landed(&self) -> bool {
        self.quarantine_landed
    }

    /// What [`TableCommit::after`](crate::ports::TableCommit::after) of a commit to the quarantine table has to ask for:
    /// that nobody else has committed to it since it was looked at.
    pub fn quarantine_after(&self) -> BatchSeq {
        self.quarantine_seen
    }

    /// Takes an event and says what to do. An event that does not fit the phase is a bug and stops the import.
    pub fn on(&mut self, event: Event) -> Action {
        match (self.phase.clone(), event) {
            (Phase::Reading, Event::Facts { ledger, table, quarantine }) => {
                self.ledger = Some(ledger);
                self.decide(table, quarantine, true)
            }
            (Phase::Ready, Event::Claimed { seq, uuid, kind }) if seq == self.next_seq() => {
                self.begin(Some(OpenFacts::claimed(seq, uuid, kind)));
                self.go(Phase::Open, Action::Decode)
            }
            (Phase::Open, Event::Decoded { commit }) => self.decoded(Ended::Decoded { commit }),
            (Phase::Open, Event::Refused) => self.decoded(Ended::Refused),
            (Phase::Staging, Event::Staged { quarantine }) => {
                if let Some(open) = self.ledger.as_mut().and_then(|ledger| ledger.open.as_mut()) {
                    open.staged = true;
                    open.quarantine = quarantine;
                }
                self.commit()
            }
            (Phase::Checking, Event::Intact(true)) => self.commit(),
            (Phase::Checking, Event::Intact(false)) => self.files_gone(),
            (Phase::Doubting, Event::Intact(false)) => self.abandon(),
            (Phase::Doubting, Event::Intact(true)) => self.stop(settle::files_without_table()),
            (Phase::Quarantining | Phase::Committing, Event::Committed(CommitAnswer::Landed { version })) => {
                self.landed(version)
            }
            (Phase::Quarantining | Phase::Committing, Event::Committed(CommitAnswer::Conflict)) => self.verify(None),
            (Phase::Quarantining | Phase::Committing, Event::CommitUnknown(failure)) => self.verify(Some(failure)),
            (Phase::Verifying, Event::Reread { table, quarantine }) => self.decide(table, quarantine, false),
            (Phase::Restarting, Event::Reread { table, quarantine }) => self.decide(table, quarantine, true),
            (Phase::Finalising, Event::Finalised) => self.finalised(),
            (Phase::Settling, Event::Closed) => {
                self.begin(None);
                self.clear_ahead().unwrap_or_else(|| self.go(Phase::Ready, Action::Await))
            }
            (Phase::Clearing, Event::Closed) => {
                self.set_ahead(None);
                self.go(Phase::Restarting, Action::ReadTables)
            }
            (_, event) => self.on_ahead(event),
        }
    }

    /// What can come at any time of the batch that was claimed ahead.
    fn on_ahead(&mut self, event: Event) -> Action {
        let settling = self.phase == Phase::Settling;
        match event {
            Event::Claimed { seq, uuid, kind: BatchKind::Ingest }
                if (settling || self.may_claim_ahead()) && self.ahead().is_none() && seq == self.next_seq() + 1 =>
            {
                self.set_ahead(Some(OpenFacts::claimed(seq, uuid, BatchKind::Ingest)));
                // The batch before it is given back, so it will be, too.
                if settling { Action::Wait } else { Action::Decode }
            }
            Event::Decoded { commit } if self.awaits_ahead() => {
                self.ahead_ended = Some(Ended::Decoded { commit });
                Action::Wait
            }
            Event::Refused if self.awaits_ahead() => {
                self.ahead_ended = Some(Ended::Refused);
                Action::Wait
            }
            // It was under way when the import stopped. The next start gives it back.
            Event::Claimed { .. } | Event::Decoded { .. } | Event::Refused if self.phase == Phase::Stopped => {
                Action::Wait
            }
            event => {
                let message = format!("commit protocol: {event:?} cannot follow {:?}", self.phase);
                self.stop(Failure::bug("protocol", message))
            }
        }
    }

    fn awaits_ahead(&self) -> bool {
        self.ahead().is_some() && self.ahead_ended.is_none() && self.phase != Phase::Stopped
    }

    fn decoded(&mut self, ended: Ended) -> Action {
        let seq = self.next_seq();
        match ended {
            Ended::Decoded { commit: true } => self.go(Phase::Staging, Action::Stage { seq }),
            Ended::Decoded { commit: false } => self.go(Phase::Settling, Action::Settle { seq }),
            Ended::Refused => self.go(Phase::Settling, Action::TripGuard { seq }),
        }
    }

    fn decide(&mut self, table: Option<TableTxn>, quarantine: Option<TableTxn>, at_start: bool) -> Action {
        let Some(ledger) = self.ledger else {
            return self.stop(Failure::bug("protocol", "commit protocol: no ledger facts"));
        };
        let verdict = settle_facts(&ledger, table.as_ref(), quarantine.as_ref());
        if let Verdict::Contradiction(failure) = verdict {
            return self.stop(failure);
        }
        self.see_quarantine(quarantine.map_or(0, |quarantine| quarantine.committed_seq));
        if at_start && let Some(action) = self.clear_ahead() {
            return action;
        }
        match verdict {
            Verdict::Ready => self.go(Phase::Ready, Action::Await),
            // A listing that is behind hides a table, and maybe one that has the batch.
            Verdict::Abandon if self.open().is_some_and(|open| open.staged) => {
                let seq = self.next_seq();
                self.go(Phase::Doubting, Action::CheckStaged { seq })
            }
            Verdict::Abandon => self.abandon(),
            Verdict::CommitStaged { quarantine_landed } => {
                (self.quarantine_landed, self.table_version) = (quarantine_landed, None);
                if at_start {
                    let seq = self.next_seq();
                    return self.go(Phase::Checking, Action::CheckStaged { seq });
                }
                if self.lost_a_data_file() { self.abandon() } else { self.commit() }
            }
            Verdict::CommitQuarantine { table_version } => {
                (self.quarantine_landed, self.table_version) = (false, Some(table_version));
                self.commit()
            }
            Verdict::Landed { version } => self.finalise(version),
            Verdict::Contradiction(failure) => self.stop(failure),
        }
    }

    /// An expiry names data files. Its conflict may mean that one of them is gone, as after a compaction: it is planned
    /// anew. Every other removal is found out anew by each attempt. After an error the commit may still be on its way:
    /// then nothing but the same batch may be tried.
    fn lost_a_data_file(&self) -> bool {
        self.last_error.is_none() && self.open().is_some_and(|open| open.kind == BatchKind::Expiry)
    }

    /// Staged files of an interrupted batch, of which the table has nothing, are not whole any more.
    fn files_gone(&mut self) -> Action {
        let table_first = self.open().is_some_and(|open| open.kind.table_first());
        if self.quarantine_landed && !table_first {
            // Its bad rows are in the quarantine table: reading its files again would put them there twice.
            let (code, message) = settle::STAGED_FILES_GONE;
            return self.stop(Failure::fenced(code, message));
        }
        self.abandon()
    }

    fn landed(&mut self, version: u64) -> Action {
        if self.phase == Phase::Quarantining {
            self.quarantine_landed = true;
            self.see_quarantine(self.next_seq());
        } else {
            self.table_version = Some(version);
        }
        self.commit()
    }

    /// Goes on with the staged batch wherever it has not landed yet.
    fn commit(&mut self) -> Action {
        let Some(open) = self.open() else {
            return self.stop(Failure::bug("protocol", "commit protocol: nothing is staged"));
        };
        let quarantine = open.quarantine && !self.quarantine_landed;
        if let (Some(version), false) = (self.table_version, quarantine) {
            return self.finalise(version);
        }
        if let Some(failure) = self.hopeless() {
            let nothing_landed = self.table_version.is_none() && open.kind.table_first();
            if nothing_landed && failure.class == ErrorClass::Config {
                // What it revises stays as it is, and it can be asked for again: no reason to stop the import.
                self.given_up = Some(failure);
                return self.abandon();
            }
            return self.stop(failure);
        }
        let (seq, uuid) = (open.seq, open.uuid);
        if quarantine && (self.table_version.is_some() || !open.kind.table_first()) {
            self.go(Phase::Quarantining, Action::CommitQuarantine { seq, uuid })
        } else {
            self.go(Phase::Committing, Action::Commit { seq, uuid })
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

    fn finalised(&mut self) -> Action {
        if let Some(ledger) = self.ledger.as_mut() {
            ledger.committed_seq += 1;
        }
        let (ahead, ended) = (self.ahead(), self.ahead_ended.take());
        self.begin(ahead);
        self.set_ahead(None);
        match (ahead, ended) {
            (None, _) => self.go(Phase::Ready, Action::Await),
            (Some(_), None) => self.go(Phase::Open, Action::Wait),
            (Some(_), Some(ended)) => self.decoded(ended),
        }
    }

    fn abandon(&mut self) -> Action {
        let seq = self.next_seq();
        self.go(Phase::Settling, Action::Abandon { seq })
    }

    /// Gives the batch that was claimed ahead back, if there is one: the one before it was interrupted or came to nothing.
    fn clear_ahead(&mut self) -> Option<Action> {
        let ahead = self.ahead()?;
        Some(self.go(Phase::Clearing, Action::Abandon { seq: ahead.seq }))
    }

    fn stop(&mut self, failure: Failure) -> Action {
        self.go(Phase::Stopped, Action::Stop(failure))
    }

    fn go(&mut self, phase: Phase, action: Action) -> Action {
        self.phase = phase;
        action
    }

    fn open(&self) -> Option<OpenFacts> {
        self.ledger.and_then(|ledger| ledger.open)
    }

    fn ahead(&self) -> Option<OpenFacts> {
        self.ledger.and_then(|ledger| ledger.ahead)
    }

    /// Forgets all about the batch before.
    fn begin(&mut self, open: Option<OpenFacts>) {
        if let Some(ledger) = self.ledger.as_mut() {
            ledger.open = open;
        }
        (self.unsettled, self.last_error) = (0, None);
        (self.quarantine_landed, self.table_version) = (false, None);
    }

    fn set_ahead(&mut self, ahead: Option<OpenFacts>) {
        if let Some(ledger) = self.ledger.as_mut() {
            ledger.ahead = ahead;
        }
        self.ahead_ended = None;
    }

    fn see_quarantine(&mut self, seq: BatchSeq) {
        self.quarantine_seen = seq;
        if let Some(ledger) = self.ledger.as_mut() {
            ledger.quarantine_seq = Some(seq);
        }
    }
}

#[cfg(test)]
mod kinds_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod settle_tests;
#[cfg(test)]
mod tests;
