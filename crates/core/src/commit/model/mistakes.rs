//! The same world with a mistake in it: wrong protocols, which the search has to find.
//!
//! They live here and not in the machine: each one twists what the machine is told, what its actions do, or what the
//! storage keeps, as a program would that got this one thing wrong.

use super::process::{Doing, Process};
use super::world::{Put, Scenario, Which, World, batch_uuid};
use crate::commit::{Action, Event, TableTxn};
use crate::ports::CommitAnswer;
use crate::revision::BatchKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mistake {
    /// A commit is answered before it is durable.
    FinaliseBeforeFsync,
    /// An ingest batch commits to the table first, and the table's word is taken for both.
    TableBeforeQuarantine,
    /// A commit without an answer is taken for one that failed: the files are given back.
    ErrorMeansNotLanded,
    /// A commit without an answer is taken for one that landed.
    ErrorMeansLanded,
    /// Whatever carries the batch's sequence number is taken for the batch.
    IgnoreUuid,
    /// A batch of which the quarantine table has its part is read and classified again.
    ReclassifyAfterStage,
    /// A removal that was worked out on one version is put on a later one.
    RebaseRemoval,
    /// A replay takes rows out of quarantine before they are in the table.
    ReplayQuarantineFirst,
    /// The batch that was claimed ahead is staged and committed to quarantine before the one before it is finalised.
    StageAheadEarly,
    /// A commit to the quarantine table does not ask what was committed to it before.
    QuarantineUnasked,
}

/// Which table an action of the machine is carried out on.
pub(super) fn target(scenario: &Scenario, kind: BatchKind, asked: Which) -> Which {
    let swapped = match scenario.mistake {
        Some(Mistake::TableBeforeQuarantine) => kind == BatchKind::Ingest,
        Some(Mistake::ReplayQuarantineFirst) => kind == BatchKind::Replay,
        _ => false,
    };
    match (swapped, asked) {
        (true, Which::Table) => Which::Quarantine,
        (true, Which::Quarantine) => Which::Table,
        (false, asked) => asked,
    }
}

pub(super) fn asks_after(scenario: &Scenario, which: Which) -> bool {
    match scenario.mistake {
        Some(Mistake::QuarantineUnasked) => which == Which::Table,
        Some(Mistake::TableBeforeQuarantine | Mistake::ReplayQuarantineFirst) => which == Which::Table,
        _ => true,
    }
}

/// What a process makes of the tables that it reads.
pub(super) fn seen(world: &World, scenario: &Scenario, p: usize) -> (Option<TableTxn>, Option<TableTxn>) {
    let mut table = world.table.facts();
    let mut quarantine = world.quarantine.as_ref().map(|table| table.facts());
    let open = world.open(p);
    if let (Some(Mistake::ReclassifyAfterStage), Some(quarantine)) = (scenario.mistake, quarantine.as_mut())
        && open.is_none_or(|open| open.uuid > 1)
    {
        // What it has given back, it wants to know nothing more of.
        quarantine.committed_seq = 0;
    }
    let Some(open) = open else { return (Some(table), quarantine) };
    let (seq, uuid) = (open.seq, batch_uuid(open.uuid));
    match (scenario.mistake, quarantine.as_mut()) {
        (Some(Mistake::IgnoreUuid), Some(quarantine)) => {
            for facts in [&mut table, quarantine] {
                if facts.committed_seq == seq {
                    facts.committed_uuid = Some(uuid);
                }
            }
        }
        (Some(Mistake::TableBeforeQuarantine), Some(quarantine))
            if open.kind == BatchKind::Ingest && table.committed_seq == seq =>
        {
            (quarantine.committed_seq, quarantine.committed_uuid) = (seq, table.committed_uuid);
        }
        (Some(Mistake::ReplayQuarantineFirst), Some(quarantine)) if open.kind == BatchKind::Replay => {
            // By this protocol the quarantine table leads and the table follows.
            let (leads, follows) = (quarantine.committed_seq == seq, table.committed_seq == seq);
            table.committed_seq = if leads { seq } else { seq - 1 };
            quarantine.committed_seq = if follows { seq } else { seq - 1 };
            std::mem::swap(&mut table.committed_uuid, &mut quarantine.committed_uuid);
        }
        _ => {}
    }
    (Some(table), quarantine)
}

/// The machine is told that a commit had no answer; or what a program makes of that which trusts errors.
pub(super) fn unanswered(world: &mut World, scenario: &Scenario, p: usize, version: u64, event: Event) {
    match (scenario.mistake, world.processes[p].ledger) {
        (Some(Mistake::ErrorMeansNotLanded), Some(ledger)) => {
            world.ledgers[ledger].open = None;
            world.processes[p] = Process::start(Some(ledger));
        }
        (Some(Mistake::ErrorMeansLanded), _) => world.tell(p, Event::Committed(CommitAnswer::Landed { version })),
        _ => world.tell(p, event),
    }
}

/// A process that has stopped goes on where it must not.
pub(super) fn ignores_stop(world: &mut World, scenario: &Scenario, p: usize) -> bool {
    let Doing::Act(Action::Stop(failure)) = &world.processes[p].doing else { return false };
    let ignored = scenario.mistake == Some(Mistake::ReclassifyAfterStage) && failure.code == "staged_files_gone";
    if let (true, Some(ledger)) = (ignored, world.processes[p].ledger) {
        world.ledgers[ledger].open = None;
        world.processes[p] = Process::start(Some(ledger));
    }
    ignored
}

pub(super) fn rebase(world: &World, scenario: &Scenario, put: &mut Put) {
    if scenario.mistake == Some(Mistake::RebaseRemoval)
        && let Some(table) = world.table_of(put.which)
    {
        put.version = table.now.version + 1;
    }
}

pub(super) fn stage_ahead(world: &mut World, scenario: &Scenario, p: usize) {
    let Some(ledger) = world.processes[p].ledger else { return };
    if scenario.mistake != Some(Mistake::StageAheadEarly) {
        return;
    }
    let Some(mut ahead) = world.ledgers[ledger].ahead.take() else { return };
    ahead.staged = Some(world.plan(scenario, ledger, ahead.job, ahead.uuid));
    if let Some(put) = world.log_entry(Which::Quarantine, &ahead, None) {
        world.land(&put);
        world.sync();
    }
    // What it staged, the ledger does not tell as such: its machine would not believe it.
    ahead.staged = None;
    world.ledgers[ledger].ahead = Some(ahead);
}
