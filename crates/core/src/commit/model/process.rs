//! One process of the model: carries out what its machine asks for, as actors, ledger and destination do together.

use super::mistakes::{self, Mistake};
use super::world::{
    Batch, DataFile, Job, Part, Put, Rows, Scenario, Staged, State, Table, Take, Which, World, batch_uuid,
};
use crate::commit::{Action, CommitMachine, Event};
use crate::error::Failure;
use crate::ids::BatchSeq;
use crate::ports::CommitAnswer;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Doing {
    /// Reads ledger and tables.
    Start,
    Act(Action),
    /// Waits for the files of the batch that was claimed ahead.
    Idle,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Process {
    pub(super) machine: CommitMachine,
    pub(super) doing: Doing,
    /// The log entry that it is about to put.
    pub(super) put: Option<Put>,
    /// `None`: an old process, from which the ledger takes nothing any more.
    pub(super) ledger: Option<usize>,
    /// The batch of a process without a ledger.
    pub(super) remembered: Option<Batch>,
    /// What it found in the open batch's files.
    pub(super) plan: Option<Staged>,
    pub(super) decoding_ahead: bool,
}

impl Process {
    pub(super) fn start(ledger: Option<usize>) -> Self {
        Self {
            machine: CommitMachine::new(),
            doing: Doing::Start,
            put: None,
            ledger,
            remembered: None,
            plan: None,
            decoding_ahead: false,
        }
    }

    /// The commit that it is at.
    pub(super) fn committing(&self) -> Option<Which> {
        match self.doing {
            Doing::Act(Action::Commit { .. }) => Some(Which::Table),
            Doing::Act(Action::CommitQuarantine { .. }) => Some(Which::Quarantine),
            _ => None,
        }
    }

    /// Whether what it does next needs the ledger.
    pub(super) fn needs_ledger(&self) -> bool {
        match &self.doing {
            Doing::Start | Doing::Idle => true,
            Doing::Act(action) => !matches!(
                action,
                Action::Commit { .. }
                    | Action::CommitQuarantine { .. }
                    | Action::ReadTables
                    | Action::CheckStaged { .. }
                    | Action::Stop(_)
            ),
        }
    }
}

/// An error that tells nothing.
pub(super) fn no_answer() -> Event {
    Event::CommitUnknown(Failure::transient("no_answer", "no answer"))
}

impl World {
    pub(super) fn open(&self, p: usize) -> Option<&Batch> {
        match self.processes[p].ledger {
            Some(ledger) => self.ledgers[ledger].open.as_ref(),
            None => self.processes[p].remembered.as_ref(),
        }
    }

    /// Tells the machine and notes what it wants next.
    pub(super) fn tell(&mut self, p: usize, event: Event) {
        let process = &mut self.processes[p];
        process.doing = match process.machine.on(event) {
            Action::Wait => Doing::Idle,
            action => Doing::Act(action),
        };
    }

    /// One step of a process, without any mishap. A claim has a choice of its own.
    pub(super) fn step(&mut self, scenario: &Scenario, p: usize) {
        let ledger = self.processes[p].ledger.unwrap_or(0);
        let Doing::Act(action) = self.processes[p].doing.clone() else {
            self.sync();
            let (table, quarantine) = mistakes::seen(self, scenario, p);
            let facts = self.ledgers[ledger].facts(scenario.tells_quarantine);
            return self.tell(p, Event::Facts { ledger: facts, table, quarantine });
        };
        let event = match action {
            Action::Decode => {
                let (job, uuid) = self.open(p).map(|open| (open.job, open.uuid)).expect("open");
                let plan = self.plan(scenario, ledger, job, uuid);
                let commit = plan != Staged::default();
                self.processes[p].plan = Some(plan);
                Event::Decoded { commit }
            }
            Action::Stage { .. } => self.stage(scenario, p),
            Action::CheckStaged { .. } => {
                let staged = self.open(p).and_then(|open| open.staged.as_ref()).expect("staged");
                Event::Intact(staged.files().all(|file| self.lost & (1 << file.path) == 0))
            }
            Action::CommitQuarantine { .. } | Action::Commit { .. } => match self.commit(scenario, p) {
                Some(event) => event,
                None => return,
            },
            Action::ReadTables => {
                self.sync();
                let (table, quarantine) = mistakes::seen(self, scenario, p);
                Event::Reread { table, quarantine }
            }
            Action::Finalise { seq, .. } => {
                assert_eq!(self.ledgers[ledger].open.as_ref().map(|open| open.seq), Some(seq));
                self.ledgers[ledger].finalise();
                self.processes[p].plan = None;
                Event::Finalised
            }
            Action::Abandon { seq } | Action::TripGuard { seq } => {
                self.processes[p].plan = None;
                self.give_back(p, ledger, seq);
                Event::Closed
            }
            Action::Settle { .. } => {
                let open = self.ledgers[ledger].open.take().expect("open");
                self.ledgers[ledger].done |= 1 << open.job;
                Event::Closed
            }
            Action::Await | Action::Wait | Action::Stop(_) => unreachable!("no step: {action:?}"),
        };
        self.tell(p, event);
    }

    fn give_back(&mut self, p: usize, ledger: usize, seq: BatchSeq) {
        let record = &mut self.ledgers[ledger];
        if record.ahead.as_ref().is_some_and(|ahead| ahead.seq == seq) {
            record.ahead = None;
            self.processes[p].decoding_ahead = false;
        } else {
            record.open = None;
        }
    }

    /// Claims a job, for now or ahead.
    pub(super) fn claim(&mut self, scenario: &Scenario, p: usize, job: usize, ahead: bool) {
        let Some(ledger) = self.processes[p].ledger else { return };
        self.uuids += 1;
        let (uuid, kind) = (self.uuids, scenario.jobs[job].kind());
        let seq = self.processes[p].machine.next_seq() + BatchSeq::from(ahead);
        let batch = Batch { seq, uuid, job, kind, staged: None };
        let event = Event::Claimed { seq, uuid: batch_uuid(uuid), kind };
        if !ahead {
            assert_eq!(self.ledgers[ledger].open, None, "claimed while a batch is open");
            self.ledgers[ledger].open = Some(batch);
            return self.tell(p, event);
        }
        self.ledgers[ledger].ahead = Some(batch);
        let process = &mut self.processes[p];
        match process.machine.on(event) {
            Action::Decode => process.decoding_ahead = true,
            Action::Wait => {}
            other => process.doing = Doing::Act(other),
        }
    }

    /// The files of the batch that was claimed ahead are decoded.
    pub(super) fn decoded_ahead(&mut self, scenario: &Scenario, p: usize) {
        self.processes[p].decoding_ahead = false;
        let event = Event::Decoded { commit: true };
        if self.processes[p].doing == Doing::Idle {
            return self.tell(p, event);
        }
        match self.processes[p].machine.on(event) {
            Action::Wait => mistakes::stage_ahead(self, scenario, p),
            other => self.processes[p].doing = Doing::Act(other),
        }
    }

    /// What a batch of this job brings and takes, by what ledger and tables say now.
    pub(super) fn plan(&mut self, scenario: &Scenario, ledger: usize, job: usize, uuid: u8) -> Staged {
        let account = self.ledgers[ledger].account;
        match scenario.jobs[job] {
            Job::Ingest { good, bad, supersedes } => {
                let reclassified = scenario.mistake == Some(Mistake::ReclassifyAfterStage) && uuid > 1;
                let (good, bad) = if reclassified { (good | bad, 0) } else { (good, bad) };
                let superseded = account.quarantine & supersedes;
                let take = if superseded == 0 { Take::Nothing } else { Take::Rows(supersedes) };
                Staged {
                    table: Part { add: self.new_file(good), take: Take::Nothing },
                    quarantine: Part { add: self.new_file(bad), take },
                }
            }
            Job::Replay { fits } => {
                let there = self.quarantine.as_ref().map_or(0, |table| table.rows().0);
                match self.new_file(fits & there) {
                    None => Staged::default(),
                    Some(file) => Staged {
                        table: Part { add: Some(file), take: Take::Nothing },
                        quarantine: Part { add: None, take: Take::Moved },
                    },
                }
            }
            Job::Rollback { rows } => {
                let part = || Part { add: None, take: Take::Rows(rows) };
                Staged { table: part(), quarantine: part() }
            }
            Job::Expiry { rows } => {
                let expired = self.table.now.files.iter().filter(|file| file.rows & !rows == 0);
                let files: Vec<DataFile> = expired.cloned().collect();
                let take = if files.is_empty() { Take::Nothing } else { Take::Files(files) };
                Staged { table: Part { add: None, take }, quarantine: Part::default() }
            }
        }
    }

    fn stage(&mut self, scenario: &Scenario, p: usize) -> Event {
        let ledger = self.processes[p].ledger.expect("a ledger");
        let (job, uuid, kind) = self.open(p).map(|open| (open.job, open.uuid, open.kind)).expect("open");
        let staged = match self.processes[p].plan.take() {
            Some(plan) => plan,
            None => self.plan(scenario, ledger, job, uuid),
        };
        let quarantine = staged.quarantine != Part::default();
        if quarantine && !kind.table_first() {
            // Somebody may have removed it.
            let empty = State { dropped: self.dropped, ..State::default() };
            self.quarantine.get_or_insert(Table { now: empty, durable: None });
        }
        if let Some(open) = self.ledgers[ledger].open.as_mut() {
            open.staged = Some(staged);
        }
        Event::Staged { quarantine }
    }

    /// First makes the log entry for the newest version, then puts it.
    fn commit(&mut self, scenario: &Scenario, p: usize) -> Option<Event> {
        let conflict = Some(Event::Committed(CommitAnswer::Conflict));
        let Some(mut put) = self.processes[p].put.take() else {
            self.sync();
            self.processes[p].put = self.prepare(scenario, p);
            return if self.processes[p].put.is_some() { None } else { conflict };
        };
        mistakes::rebase(self, scenario, &mut put);
        if !self.land(&put) {
            return conflict;
        }
        if scenario.mistake != Some(Mistake::FinaliseBeforeFsync) {
            self.sync();
        }
        Some(Event::Committed(CommitAnswer::Landed { version: put.version }))
    }

    /// The log entry on the newest version of the table; `None` if the destination answers with a conflict right away.
    fn prepare(&mut self, scenario: &Scenario, p: usize) -> Option<Put> {
        let which = mistakes::target(scenario, self.open(p)?.kind, self.processes[p].committing()?);
        let after = match which {
            Which::Table => Some(self.open(p)?.seq - 1),
            Which::Quarantine => Some(self.processes[p].machine.quarantine_after()),
        };
        let after = after.filter(|_| mistakes::asks_after(scenario, which));
        let batch = self.open(p)?.clone();
        self.log_entry(which, &batch, after)
    }

    pub(super) fn log_entry(&mut self, which: Which, batch: &Batch, after: Option<BatchSeq>) -> Option<Put> {
        let table = self.table_of(which)?.now.clone();
        if table.txn >= batch.seq || after.is_some_and(|after| table.txn != after) {
            return None;
        }
        let staged = batch.staged.as_ref()?;
        let part = staged.part(which);
        let moved = || staged.table.add.as_ref().map_or(0, |file| file.rows);
        let (taken, on_purpose): (Rows, Rows) = match &part.take {
            Take::Nothing => (0, 0),
            Take::Rows(rows) => (*rows, *rows),
            Take::Moved => (moved(), 0),
            Take::Files(files) if files.iter().all(|file| table.files.contains(file)) => {
                let rows = files.iter().fold(0, |all, file| all | file.rows);
                (rows, rows)
            }
            Take::Files(_) => return None,
        };
        let mut adds: Vec<DataFile> = part.add.iter().cloned().collect();
        let hit: Vec<&DataFile> = table.files.iter().filter(|file| file.rows & taken != 0).collect();
        let there = hit.iter().fold(0, |all, file| all | file.rows);
        for file in &hit {
            adds.extend(self.new_file(file.rows & !taken));
        }
        let removes = hit.iter().map(|file| file.path).collect();
        let version = table.version + 1;
        let (seq, uuid, on_purpose) = (batch.seq, batch.uuid, on_purpose & there);
        Some(Put { which, version, seq, uuid, adds, removes, on_purpose })
    }
}
