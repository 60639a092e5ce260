//! What can happen next in a world of the model.

use super::mistakes;
use super::process::{Doing, Process, no_answer};
use super::world::{DataFile, Scenario, Staged, Which, World};
use crate::commit::Action;

/// What becomes of a log entry that is on its way when its process hears no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Landed,
    Vanished,
    /// It is still on its way.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Step(usize),
    Claim(usize, usize),
    ClaimAhead(usize, usize),
    DecodedAhead(usize),
    /// The commit gives an error.
    Unanswered(usize, Fate),
    Crash {
        process: usize,
        fate: Option<Fate>,
        power_loss: bool,
        files_lost: bool,
    },
    LateLanding(usize),
    ForeignAppend(Which),
    /// A foreign program writes all data files of a table together.
    ForeignRewrite(Which),
    DropQuarantine,
    /// A new process starts, and the old one goes on, without the ledger or with a copy of it.
    Zombie,
    SecondHost,
}

impl World {
    pub(super) fn choices(&self, scenario: &Scenario) -> Vec<Choice> {
        let mut all = Vec::new();
        for p in 0..self.processes.len() {
            self.process_choices(scenario, p, &mut all);
        }
        for p in 0..self.processes.len() {
            self.mishaps(p, &mut all);
        }
        all.extend((0..self.late.len()).map(Choice::LateLanding));
        if self.budget.foreign > 0 {
            // They matter between a commit's reading and its writing only: any other time is as good as one of these.
            let committing = self.processes.iter().filter_map(|process| process.put.as_ref());
            for which in committing.map(|put| put.which).chain(self.staged_removal()) {
                for choice in [Choice::ForeignAppend(which), Choice::ForeignRewrite(which)] {
                    if !all.contains(&choice) {
                        all.push(choice);
                    }
                }
            }
        }
        if self.budget.drops > 0 && self.quarantine.is_some() {
            all.push(Choice::DropQuarantine);
        }
        if self.processes.len() == 1 && self.processes[0].doing != Doing::Start && !self.has_stopped(0) {
            if self.budget.zombies > 0 && self.processes[0].committing().is_some() {
                all.push(Choice::Zombie);
            }
            if self.budget.hosts > 0 && self.ledgers.len() == 1 {
                all.push(Choice::SecondHost);
            }
        }
        all
    }

    /// A batch that names data files of the table waits to be committed.
    fn staged_removal(&self) -> Option<Which> {
        let process = self.processes.first()?;
        let names_files = |world: &Self| {
            let staged = world.open(0).and_then(|open| open.staged.as_ref());
            staged.is_some_and(|staged| matches!(staged.table.take, super::world::Take::Files(_)))
        };
        (process.committing() == Some(Which::Table) && process.put.is_none() && names_files(self))
            .then_some(Which::Table)
    }

    fn has_stopped(&self, p: usize) -> bool {
        matches!(self.processes[p].doing, Doing::Act(Action::Stop(_)))
    }

    fn process_choices(&self, scenario: &Scenario, p: usize, all: &mut Vec<Choice>) {
        let process = &self.processes[p];
        match &process.doing {
            Doing::Act(Action::Await) => {
                let jobs = self.claimable(scenario, p);
                all.extend(jobs.into_iter().map(|job| Choice::Claim(p, job)));
            }
            Doing::Idle | Doing::Act(Action::Stop(_)) => {}
            _ => all.push(Choice::Step(p)),
        }
        if process.decoding_ahead {
            all.push(Choice::DecodedAhead(p));
        }
        if scenario.pipelined && process.machine.may_claim_ahead() {
            let ingest = |job: &usize| scenario.jobs[*job].kind() == crate::revision::BatchKind::Ingest;
            let jobs = self.claimable(scenario, p).into_iter().filter(ingest);
            all.extend(jobs.map(|job| Choice::ClaimAhead(p, job)));
        }
    }

    /// Jobs that the process may claim: of another kind than ingest only if no job before it is left.
    fn claimable(&self, scenario: &Scenario, p: usize) -> Vec<usize> {
        let Some(ledger) = self.processes[p].ledger.map(|ledger| &self.ledgers[ledger]) else { return Vec::new() };
        let open = ledger.open.as_ref().map(|open| open.job);
        let left = (0..scenario.jobs.len()).filter(|job| ledger.done & (1 << job) == 0 && Some(*job) != open);
        if scenario.any_order { left.collect() } else { left.take(1).collect() }
    }

    fn mishaps(&self, p: usize, all: &mut Vec<Choice>) {
        let process = &self.processes[p];
        let fates: &[Fate] = if process.put.is_some() { &[Fate::Landed, Fate::Vanished, Fate::Late] } else { &[] };
        if self.budget.unanswered > 0 {
            all.extend(fates.iter().map(|fate| Choice::Unanswered(p, *fate)));
        }
        if self.budget.crashes == 0 || process.doing == Doing::Start {
            return;
        }
        let fates = if fates.is_empty() { vec![None] } else { fates.iter().copied().map(Some).collect() };
        for fate in fates {
            let unsynced = fate == Some(Fate::Landed) || self.is_unsynced();
            for power_loss in if unsynced { vec![false, true] } else { vec![false] } {
                let lost = self.budget.losses > 0 && !self.losable(p).is_empty();
                for files_lost in if lost { vec![false, true] } else { vec![false] } {
                    all.push(Choice::Crash { process: p, fate, power_loss, files_lost });
                }
            }
        }
    }

    fn is_unsynced(&self) -> bool {
        self.table.durable.is_some() || self.quarantine.as_ref().is_some_and(|table| table.durable.is_some())
    }

    /// Staged data files that are part of no table and of no commit on its way: nobody can see that they are of use.
    /// (If a commit on its way lost its data files, the table itself would be broken.)
    fn losable(&self, p: usize) -> Vec<DataFile> {
        let Some(staged) = self.open(p).and_then(|open| open.staged.as_ref()) else { return Vec::new() };
        let rivals = self.processes.iter().enumerate().filter(|(rival, _)| *rival != p);
        let rival_files = rivals.filter_map(|(rival, _)| self.open(rival)?.staged.as_ref()).flat_map(Staged::files);
        let on_the_way = self.late.iter().flat_map(|put| &put.adds).chain(rival_files);
        let in_tables = self.quarantine.iter().chain([&self.table]).flat_map(|table| &table.now.files);
        let in_use: Vec<u8> = on_the_way.chain(in_tables).map(|file| file.path).collect();
        let losable = staged.files().filter(|file| !in_use.contains(&file.path) && self.lost & (1 << file.path) == 0);
        losable.cloned().collect()
    }

    /// What the world is after this.
    pub(super) fn after(&self, scenario: &Scenario, choice: Choice) -> Self {
        let mut next = self.clone();
        match choice {
            Choice::Step(p) if next.processes[p].ledger.is_none() && next.processes[p].needs_ledger() => {
                next.processes.remove(p);
            }
            Choice::Step(p) => next.step(scenario, p),
            Choice::Claim(p, job) => next.claim(scenario, p, job, false),
            Choice::ClaimAhead(p, job) => next.claim(scenario, p, job, true),
            Choice::DecodedAhead(p) => next.decoded_ahead(scenario, p),
            Choice::Unanswered(p, fate) => {
                next.budget.unanswered -= 1;
                let version = next.put_with(p, fate);
                mistakes::unanswered(&mut next, scenario, p, version, no_answer());
            }
            Choice::Crash { process, fate, power_loss, files_lost } => {
                next.crash(process, fate, power_loss, files_lost);
            }
            Choice::LateLanding(late) => {
                let put = next.late.remove(late);
                next.late_landed |= next.land(&put);
            }
            Choice::ForeignAppend(which) => next.foreign(which, false),
            Choice::ForeignRewrite(which) => next.foreign(which, true),
            Choice::DropQuarantine => next.drop_quarantine(),
            Choice::Zombie => {
                next.budget.zombies -= 1;
                let mut old = std::mem::replace(&mut next.processes[0], Process::start(Some(0)));
                (old.remembered, old.ledger, old.decoding_ahead) = (self.open(0).cloned(), None, false);
                next.processes.push(old);
            }
            Choice::SecondHost => {
                next.budget.hosts -= 1;
                next.ledgers.push(next.ledgers[0].clone());
                next.processes.push(Process::start(Some(1)));
            }
        }
        for p in 0..next.processes.len() {
            mistakes::ignores_stop(&mut next, scenario, p);
        }
        next
    }

    fn put_with(&mut self, p: usize, fate: Fate) -> u64 {
        let Some(put) = self.processes[p].put.take() else { return 0 };
        match fate {
            Fate::Landed => {
                self.land(&put);
            }
            Fate::Vanished => {}
            Fate::Late => self.late.push(put.clone()),
        }
        put.version
    }

    fn crash(&mut self, p: usize, fate: Option<Fate>, power_loss: bool, files_lost: bool) {
        self.budget.crashes -= 1;
        if let Some(fate) = fate {
            self.put_with(p, fate);
        }
        if power_loss {
            for table in [Some(&mut self.table), self.quarantine.as_mut()].into_iter().flatten() {
                if let Some(durable) = table.durable.take() {
                    table.now = *durable;
                }
            }
            let quarantined = self.quarantine.as_ref().map_or(0, |table| table.rows().0);
            self.removed &= !(self.table.rows().0 | quarantined);
        }
        if files_lost {
            self.budget.losses -= 1;
            self.lost |= self.losable(p).iter().fold(0, |lost, file| lost | 1 << file.path);
        }
        match self.processes[p].ledger {
            Some(ledger) => self.processes[p] = Process::start(Some(ledger)),
            None => drop(self.processes.remove(p)),
        }
    }

    fn foreign(&mut self, which: Which, rewrite: bool) {
        self.budget.foreign -= 1;
        let rows = self.table_of(which).map_or(0, |table| table.rows().0);
        let together = if rewrite { self.new_file(rows) } else { None };
        if let Some(table) = self.table_of_mut(which) {
            table.advance(|state| {
                if rewrite {
                    state.files = together.into_iter().collect();
                }
            });
            table.durable = None;
        }
    }

    fn drop_quarantine(&mut self) {
        self.budget.drops -= 1;
        // What is in it, and what should be.
        self.dropped = self.dropped() | self.quarantine.take().map_or(0, |table| table.rows().0);
        self.dropped |= self.ledgers.iter().fold(0, |rows, ledger| rows | ledger.account.quarantine);
        // The data files that were written for it go with it.
        let open = self.ledgers.iter().flat_map(|ledger| ledger.open.iter().chain(&ledger.ahead));
        let staged = open.filter_map(|batch| batch.staged.as_ref());
        let written = staged.chain(self.processes.iter().filter_map(|process| process.plan.as_ref()));
        let files = written.flat_map(|staged| &staged.quarantine.add);
        self.lost = files.fold(self.lost, |lost, file| lost | 1 << file.path);
        // What is on its way to it finds no place any more, even if a new one is made there.
        self.late.retain(|put| put.which != Which::Quarantine);
        let prepared = self.processes.iter_mut().filter_map(|process| process.put.as_mut());
        for put in prepared.filter(|put| put.which == Which::Quarantine) {
            put.version = u64::MAX;
        }
    }
}
