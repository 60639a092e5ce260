//! What has to be true in every state of the model.

use super::process::Doing;
use super::world::{Job, Rows, Scenario, State, Take, World};
use crate::commit::{Action, CommitMachine, Event};

impl World {
    /// What is wrong, if anything.
    pub(super) fn wrong(&self, scenario: &Scenario, before: &Self) -> Option<String> {
        let stopped_now = |p: &usize| before.processes.get(*p).is_none_or(|was| was.doing != self.processes[*p].doing);
        self.doubled()
            .or_else(|| self.lost_rows())
            .or_else(|| self.unaccounted())
            .or_else(|| (0..self.processes.len()).filter(stopped_now).find_map(|p| self.wrong_stop(scenario, p)))
    }

    fn rows_in_quarantine(&self) -> (Rows, Rows) {
        self.quarantine.as_ref().map_or((0, 0), |table| table.rows())
    }

    /// No row is there twice, except those that a replay is moving: they are in both tables for a moment.
    fn doubled(&self) -> Option<String> {
        let ((table, twice), (quarantine, bad_twice)) = (self.table.rows(), self.rows_in_quarantine());
        let moving = self.ledgers.iter().filter_map(|ledger| ledger.open.as_ref()).fold(0, |rows, open| {
            let staged = open.staged.as_ref().filter(|staged| staged.quarantine.take == Take::Moved);
            rows | staged.and_then(|staged| staged.table.add.as_ref()).map_or(0, |file| file.rows)
        });
        [
            (twice, "twice in the table"),
            (bad_twice, "twice in quarantine"),
            (table & quarantine & !moving, "in both tables"),
        ]
        .into_iter()
        .find_map(|(rows, how)| (rows != 0).then(|| format!("rows {rows:#b} are {how}")))
    }

    /// What a ledger has finalised is always somewhere, unless it left on purpose: a replay moves without a gap.
    fn lost_rows(&self) -> Option<String> {
        let there = self.table.rows().0 | self.rows_in_quarantine().0 | self.removed | self.dropped();
        self.ledgers.iter().find_map(|ledger| {
            let lost = (ledger.account.table | ledger.account.quarantine) & !there;
            (lost != 0).then(|| format!("rows {lost:#b} are lost"))
        })
    }

    /// With no batch open and nobody else about, the accounts are what the tables hold.
    fn unaccounted(&self) -> Option<String> {
        let [ledger] = self.ledgers.as_slice() else { return None };
        if ledger.open.is_some() || self.table.now.txn > ledger.committed {
            return None;
        }
        if self.table.now.txn < ledger.committed {
            return Some("the ledger has finalised what the table does not have".to_owned());
        }
        let (table, account) = (self.table.rows().0, ledger.account);
        if table != account.table {
            return Some(format!("the table holds {table:#b}, by its account {:#b}", account.table));
        }
        let quarantine = self.quarantine.as_ref().filter(|table| table.now.txn <= ledger.quarantine_seq)?;
        let (there, expected) = (quarantine.rows().0, account.quarantine & !self.dropped());
        (there != expected).then(|| format!("quarantine holds {there:#b}, by its account {expected:#b}"))
    }

    /// Nothing stops without a contradiction that is one.
    fn wrong_stop(&self, scenario: &Scenario, p: usize) -> Option<String> {
        let Doing::Act(Action::Stop(failure)) = &self.processes[p].doing else { return None };
        let staged = self.open(p).and_then(|open| open.staged.as_ref());
        let gone = staged.is_some_and(|staged| staged.files().any(|file| self.lost & (1 << file.path) != 0));
        let allowed = match failure.code {
            // What was given back, or belongs to another writer, has landed.
            "fenced" | "ledger_behind" => {
                self.processes[p].ledger.is_none_or(|ledger| self.is_contested(scenario, ledger))
            }
            "staged_files_gone" => gone,
            _ => false,
        };
        let explained = failure.code == "staged_files_gone" || failure.message.contains("s3-connector ledger ");
        (!allowed || !explained).then(|| format!("process {p} stopped ({}): {failure}", failure.code))
    }

    /// A table has a batch that this ledger neither has open nor has finalised, and by the scenario it can have.
    fn is_contested(&self, scenario: &Scenario, ledger: usize) -> bool {
        let zombie = self.budget.zombies < scenario.budget.zombies;
        if !self.late_landed && !zombie && self.ledgers.len() == 1 {
            return false;
        }
        let ledger = &self.ledgers[ledger];
        let foreign = |state: &State, known| {
            let staged = ledger.open.as_ref().filter(|open| open.staged.is_some());
            let ours = staged.is_some_and(|open| (open.seq, open.uuid) == (state.txn, state.uuid));
            state.txn > known && !ours
        };
        foreign(&self.table.now, ledger.committed)
            || self.quarantine.as_ref().is_some_and(|table| foreign(&table.now, ledger.quarantine_seq))
    }

    /// At the end of a run everything is done, and a restart agrees; or the import has stopped with a reason.
    pub(super) fn wrong_end(&self, scenario: &Scenario) -> Option<String> {
        let owner = self.processes.iter().position(|process| process.ledger == Some(0))?;
        if let Doing::Act(Action::Stop(_)) = self.processes[owner].doing {
            return None;
        }
        let ledger = &self.ledgers[0];
        if ledger.done != (1 << scenario.jobs.len()) - 1 {
            return Some(format!("nothing goes on: {:?}", self.processes[owner].doing));
        }
        if self.ledgers.len() > 1 {
            return None;
        }
        let accepted = scenario.jobs.iter().fold(0, |rows, job| match job {
            Job::Ingest { good, bad, .. } => rows | good | bad,
            _ => rows,
        });
        let account = ledger.account;
        let missing = accepted & !(account.table | account.quarantine | account.removed);
        if missing != 0 {
            return Some(format!("rows {missing:#b} were never accounted for"));
        }
        self.wrong_restart(scenario)
    }

    /// What landed late shows at the next start at the latest.
    fn wrong_restart(&self, scenario: &Scenario) -> Option<String> {
        let ledger = self.ledgers[0].facts(scenario.tells_quarantine);
        let quarantine = self.quarantine.as_ref().map(|table| table.facts());
        match CommitMachine::new().on(Event::Facts { ledger, table: Some(self.table.facts()), quarantine }) {
            Action::Await => {
                let expected = self.ledgers[0].account.quarantine & !self.dropped();
                let there = self.rows_in_quarantine().0;
                (there != expected).then(|| format!("after a restart quarantine silently holds {there:#b}"))
            }
            Action::Stop(_) if self.is_contested(scenario, 0) => None,
            other => Some(format!("after the end a restart wants {other:?}")),
        }
    }
}
