//! Carries out what the commit state machine of `connector_core::commit` asks for, and tells it the answers.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler};
use connector_core::commit::{Action, Event};
use connector_core::error::Failure;
use connector_core::events::{BatchAbandoned, BatchCommitted as Landed, BatchSettled, CommitUnsettled, SchemaEvolved};
use connector_core::ids::BatchSeq;
use connector_core::ports::{CommitAnswer, Removal, StagedBatch, StagedRemoval, TableCommit};
use connector_core::revision::BatchKind;

use super::batch::OpenWork;
use super::{ConnectionActor, LedgerAnswered};
use crate::messages::appending::{
    CheckStaged, CommitAnswered, CommitBatch, DataFiles, ReadTables, StagedChecked, Which,
};
use crate::messages::supervision::BatchCommitted;

impl ConnectionActor {
    pub(super) fn perform(&mut self, action: Action, ctx: &mut Context<Self>) {
        match action {
            Action::Await => self.ready(ctx),
            // Of batches that are decoded ahead, which this actor does not claim.
            Action::Wait => {}
            Action::Decode => self.decode_batch(ctx),
            Action::Stage { .. } => self.stage_batch(ctx),
            Action::CheckStaged { .. } => self.check_staged(ctx),
            Action::CommitQuarantine { .. } => self.commit_batch(Which::Quarantine, ctx),
            Action::Commit { .. } => self.commit_batch(Which::Table, ctx),
            Action::ReadTables => self.read_tables(),
            Action::Finalise { seq, table_version } => self.finalise_batch(seq, table_version, ctx),
            Action::Abandon { seq } => self.abandon_batch(seq, ctx),
            Action::TripGuard { seq } => self.trip_guard(seq, ctx),
            Action::Settle { .. } => self.settle_batch(ctx),
            Action::Stop(mut failure) => {
                let import = self.import().as_str();
                failure.message =
                    format!("table {}: {}", self.ports.table.location(), failure.message.replace("NAME", import));
                self.end(failure, ctx);
            }
        }
    }

    fn read_tables(&self) {
        if let Some(appender) = self.appender() {
            appender.do_send(ReadTables { generation: self.generation });
        }
    }

    fn check_staged(&mut self, ctx: &mut Context<Self>) {
        let staged = self.open.as_ref().and_then(|open| open.staged.as_ref());
        match (staged, self.appender()) {
            (Some(staged), Some(appender)) => {
                // What has landed is not needed any more.
                let quarantine = if self.machine.quarantine_landed() { Vec::new() } else { staged.quarantine.clone() };
                let files = DataFiles { table: staged.files.clone(), quarantine };
                appender.do_send(CheckStaged { generation: self.generation, files });
            }
            _ => self.end(Failure::bug("nothing_staged", "there is no staged batch to look at"), ctx),
        }
    }

    fn commit_batch(&mut self, which: Which, ctx: &mut Context<Self>) {
        let work = self.open.as_ref().and_then(|open| open.staged.as_ref().map(|staged| (open, staged)));
        let (Some((open, staged)), Some(record), Some(appender)) = (work, self.record.as_ref(), self.appender()) else {
            return self.end(Failure::bug("nothing_staged", "there is no staged batch to commit"), ctx);
        };
        let (files, add_columns, after) = match which {
            Which::Table => {
                let columns = staged.added.iter().map(|added| added.column.clone()).collect();
                (staged.files.clone(), columns, Some(open.seq - 1))
            }
            Which::Quarantine => {
                let after = Some(self.machine.quarantine_after());
                (staged.quarantine.clone(), staged.quarantine_added.clone(), after)
            }
        };
        let (seq, batch_uuid) = (open.seq, open.uuid);
        let staged_removal = match which {
            Which::Table => &staged.removes,
            Which::Quarantine => &staged.quarantine_removes,
        };
        let (mut remove, mut moved) = (Removal::Nothing, Vec::new());
        match staged_removal {
            StagedRemoval::Nothing => {}
            StagedRemoval::Versions(versions) => remove = Removal::Versions(versions.iter().copied().collect()),
            StagedRemoval::DataFiles(paths) => remove = Removal::DataFiles(paths.clone()),
            StagedRemoval::Moved => moved.clone_from(&staged.files),
        }
        let batch = open.id.clone();
        let commit = TableCommit { import: record.uuid, seq, batch_uuid, batch, after, files, add_columns, remove };
        appender.do_send(CommitBatch { generation: self.generation, which, commit, moved });
    }

    fn finalise_batch(&mut self, seq: BatchSeq, table_version: u64, ctx: &mut Context<Self>) {
        if let Some(open) = self.open.as_mut() {
            open.table_version = table_version;
        }
        let (ledger, import, now) = (Arc::clone(&self.ports.ledger), self.import().clone(), self.world.clock.now());
        self.tasks.spawn("finalise", ctx.address(), async move {
            LedgerAnswered::Finalised(ledger.finalise(&import, seq, table_version, now).await)
        });
    }

    fn abandon_batch(&mut self, seq: BatchSeq, ctx: &mut Context<Self>) {
        let given_up = self.machine.take_given_up();
        if let Some(open) = self.open.as_ref() {
            let interrupted = "it was interrupted before it could be committed";
            let reason = given_up.as_ref().map_or(interrupted, |failure| failure.message.as_str());
            BatchAbandoned { import: &self.labels, seq, id: &open.id, reason }.emit();
        }
        self.requests.fail(given_up);
        self.give_back(seq, ctx);
    }

    /// Ends the open batch in the ledger as if it had never been claimed.
    pub(super) fn give_back(&mut self, seq: BatchSeq, ctx: &mut Context<Self>) {
        self.open = None;
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        self.tasks
            .spawn("abandon", ctx.address(), async move { LedgerAnswered::Closed(ledger.abandon(&import, seq).await) });
    }

    pub(super) fn batch_staged(&mut self, ctx: &mut Context<Self>) {
        let staged = self.open.as_ref().and_then(|open| open.staged.as_ref());
        let quarantine = staged.is_some_and(StagedBatch::touches_quarantine);
        let action = self.machine.on(Event::Staged { quarantine });
        self.perform(action, ctx);
    }

    /// The batch is in table and ledger: only now do metrics and tracker move.
    pub(super) fn batch_finalised(&mut self, ctx: &mut Context<Self>) {
        if let Some(open) = self.open.take() {
            self.take_effect(&open);
        }
        self.supervisor
            .committed
            .do_send(BatchCommitted { import: self.import().clone(), generation: self.generation });
        if self.table.is_outdated() {
            return self.end(outdated(), ctx);
        }
        let action = self.machine.on(Event::Finalised);
        self.perform(action, ctx);
    }

    fn take_effect(&mut self, open: &OpenWork) {
        let results = Self::results_of(open);
        self.emit_results(open, &results);
        self.upkeep.committed();
        self.note_revision(&open.id, open.kind);
        if let Some(record) = self.record.as_mut().filter(|_| open.kind == BatchKind::Ingest) {
            record.guard_waived = false;
            record.streak = record.streak.after(&results);
        }
        let staged = open.staged.as_ref();
        if let Some(staged) = staged {
            let columns = self.table.evolved(staged);
            SchemaEvolved { import: &self.labels, id: &open.id, columns, added: &staged.added }.emit();
        }
        Landed {
            import: &self.labels,
            seq: open.seq,
            id: &open.id,
            kind: open.kind,
            files: results.iter().filter(|result| result.outcome.is_committed()).count(),
            rows: staged.map_or(0, |staged| staged.rows),
            rows_quarantined: staged.map_or(0, |staged| staged.rows_quarantined),
            bytes: staged.iter().flat_map(|staged| &staged.files).map(|file| file.bytes).sum(),
            table_version: open.table_version,
            duration: open.staged_at.elapsed(),
            at: self.world.clock.now(),
        }
        .emit();
    }

    /// The open batch ended in the ledger without a commit: given back, or none of its files brought a row.
    pub(super) fn batch_closed_without_commit(&mut self, ctx: &mut Context<Self>) {
        if let Some(open) = self.open.take() {
            let results = Self::results_of(&open);
            self.emit_results(&open, &results);
            BatchSettled { import: &self.labels, seq: open.seq, id: &open.id, files: results.len() }.emit();
        }
        if self.table.is_outdated() {
            return self.end(outdated(), ctx);
        }
        let action = self.machine.on(Event::Closed);
        self.perform(action, ctx);
    }
}

/// SCHEMA was held against the table as it was before a batch of an earlier generation ended: the next generation looks
/// again.
fn outdated() -> Failure {
    Failure::transient("schema_recovered", "an interrupted batch that adds columns has ended; the table is read again")
}

impl Handler<StagedChecked> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: StagedChecked, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "StagedChecked") {
            return;
        }
        match message.result {
            Ok(intact) => {
                let action = self.machine.on(Event::Intact(intact));
                self.perform(action, ctx);
            }
            Err(failure) => self.end(failure, ctx),
        }
    }
}

impl Handler<CommitAnswered> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: CommitAnswered, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "CommitAnswered") {
            return;
        }
        let unsettled = match &message.result {
            Ok(CommitAnswer::Landed { .. }) => None,
            Ok(CommitAnswer::Conflict) => Some(Failure::transient("conflict", "another commit took the place")),
            Err(failure) => Some(failure.clone()),
        };
        if let (Some(failure), Some(open)) = (&unsettled, self.open.as_ref()) {
            CommitUnsettled { import: &self.labels, seq: open.seq, id: &open.id, failure }.emit();
        }
        let event = match message.result {
            Ok(answer) => Event::Committed(answer),
            Err(failure) => Event::CommitUnknown(failure),
        };
        let action = self.machine.on(event);
        self.perform(action, ctx);
    }
}
