//! The open batch: which files are decoded, how each ended, what is staged.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler};
use connector_core::commit::Event;
use connector_core::error::{ErrorClass, Failure};
use connector_core::events::{BatchClaimed, GuardTripped, emit_file_result};
use connector_core::guard;
use connector_core::ids::{BatchId, BatchSeq, BatchUuid, ObjectVersionId};
use connector_core::object::ObjectRef;
use connector_core::outcome::{concerns_import, outcome_of};
use connector_core::ports::{
    ClaimedBatch, FileOutcome, FileResult, OpenBatch, RevisionBatch, StagedBatch, StagedFile, StagedRemoval, Superseded,
};
use connector_core::quarantine;
use connector_core::revision::BatchKind;
use connector_core::status::ImportState;
use jiff::Timestamp;
use tokio::time::Instant;

use super::plan::BatchPlan;
use super::{ConnectionActor, LedgerAnswered};
use crate::messages::appending::{BatchClosed, CloseBatch, DataFiles, DiscardFiles};
use crate::messages::decoding::{FileDecoded, FileError};

/// The batch between claim and finalise.
pub(super) struct OpenWork {
    pub(super) seq: BatchSeq,
    pub(super) uuid: BatchUuid,
    pub(super) id: BatchId,
    pub(super) kind: BatchKind,
    /// In claim order. Empty for a batch that an earlier generation staged.
    pub(super) files: Vec<ObjectRef>,
    results: Vec<Option<FileResult>>,
    /// Of a replay, by place in the batch: the rows that lie in quarantine.
    pub(super) only: Vec<Arc<[u64]>>,
    supersedes: Vec<(ObjectVersionId, Superseded)>,
    /// Bytes and time that inspecting each file took.
    inspections: Vec<(u64, Duration)>,
    pub(super) plan: BatchPlan,
    /// How many of the unread files, from the first on, cannot be the reference file.
    pub(super) unfit: usize,
    pub(super) claimed_at: Timestamp,
    pub(super) staged: Option<StagedBatch>,
    /// Why the guard does not let it in.
    pub(super) refused: Option<Failure>,
    pub(super) staged_at: Instant,
    /// Once it has landed.
    pub(super) table_version: u64,
    /// A sync claimed it: its results belong into the sync's summary.
    on_demand: bool,
}

impl OpenWork {
    fn new(batch: ClaimedBatch, on_demand: bool, now: Timestamp) -> Self {
        Self {
            seq: batch.seq,
            uuid: batch.uuid,
            id: batch.id,
            kind: BatchKind::Ingest,
            only: Vec::new(),
            supersedes: batch.supersedes,
            results: vec![None; batch.files.len()],
            inspections: vec![(0, Duration::ZERO); batch.files.len()],
            plan: BatchPlan::new(batch.files.len()),
            unfit: 0,
            claimed_at: now,
            files: batch.files,
            staged: None,
            refused: None,
            staged_at: Instant::now(),
            table_version: 0,
            on_demand,
        }
    }

    pub(super) fn revision(batch: &RevisionBatch, now: Timestamp) -> Self {
        let files = batch.files.iter().map(|(file, _)| file.clone()).collect();
        let claimed =
            ClaimedBatch { seq: batch.seq, uuid: batch.uuid, id: batch.id.clone(), files, supersedes: Vec::new() };
        Self { kind: batch.kind, ..Self::new(claimed, false, now) }
    }

    /// By place in the batch: how the file has ended, if it has.
    pub(super) fn all_results(&self) -> &[Option<FileResult>] {
        &self.results
    }

    /// The key of a result's object; for a batch of an earlier generation the id of its version has to do.
    fn key_of(&self, result: &FileResult) -> String {
        let file = self.files.iter().find(|file| file.id == result.id);
        file.map_or_else(|| format!("object version {}", result.id.hex()), |file| file.key.to_string())
    }

    /// By place in the batch: whether the file has ended.
    pub(super) fn settled(&self) -> Vec<bool> {
        self.results.iter().map(Option::is_some).collect()
    }

    pub(super) fn note_inspection(&mut self, ordinal: usize, bytes: u64, duration: Duration) {
        self.inspections[ordinal] = (bytes, duration);
    }

    /// Earlier versions that these files take the place of: their rows leave quarantine with this batch.
    fn superseded_by(&self, results: &mut Vec<FileResult>) -> StagedRemoval {
        let committed: HashSet<ObjectVersionId> =
            results.iter().filter(|result| result.outcome.is_committed()).map(|result| result.id).collect();
        let superseded: Vec<Superseded> = self
            .supersedes
            .iter()
            .filter(|(by, _)| committed.contains(by))
            .map(|(_, superseded)| *superseded)
            .collect();
        if superseded.is_empty() {
            return StagedRemoval::Nothing;
        }
        results.extend(superseded.iter().map(|superseded| FileResult {
            id: superseded.id,
            outcome: FileOutcome::Superseded { rows_quarantined: superseded.rows },
            bytes: 0,
            duration_ms: 0,
        }));
        StagedRemoval::Versions(superseded.into_iter().map(|superseded| superseded.id).collect())
    }

    fn settled_results(&self) -> Vec<FileResult> {
        self.results.iter().flatten().cloned().collect()
    }
}

impl ConnectionActor {
    /// An earlier generation left a batch open: the protocol decides what becomes of it.
    pub(super) fn take_over_open_batch(&mut self) {
        let Some(open) = self.record.as_ref().and_then(|record| record.open_batch.clone()) else { return };
        let now = self.world.clock.now();
        let OpenBatch { seq, uuid, id, kind, staged } = open;
        let claimed = ClaimedBatch { seq, uuid, id, files: Vec::new(), supersedes: Vec::new() };
        let mut work = OpenWork { kind, ..OpenWork::new(claimed, false, now) };
        work.staged = staged;
        self.open = Some(work);
    }

    pub(super) fn begin_batch(&mut self, batch: ClaimedBatch, on_demand: bool, ctx: &mut Context<Self>) {
        BatchClaimed {
            import: &self.labels,
            seq: batch.seq,
            id: &batch.id,
            kind: BatchKind::Ingest,
            files: batch.files.len(),
            bytes: batch.files.iter().map(|file| file.size).sum(),
        }
        .emit();
        let event = Event::Claimed { seq: batch.seq, uuid: batch.uuid, kind: BatchKind::Ingest };
        self.open = Some(OpenWork::new(batch, on_demand, self.world.clock.now()));
        let action = self.machine.on(event);
        self.perform(action, ctx);
    }

    /// Has the claimed files read, once schema and tables are there.
    pub(super) fn decode_batch(&mut self, ctx: &mut Context<Self>) {
        if self.open.as_ref().is_some_and(|open| matches!(open.kind, BatchKind::Rollback | BatchKind::Expiry)) {
            return self.stage_removal(ctx);
        }
        self.refuse_excluded();
        if self.table.reference.is_none() && !self.unread_files().is_empty() {
            self.infer_columns();
        } else {
            self.read_files(ctx);
        }
    }

    /// Files that an edited configuration keeps out since they were listed: a later listing admits them again if it is
    /// edited back.
    fn refuse_excluded(&mut self) {
        // Whoever replays asks for these very files.
        let chosen = self.open.as_ref().is_some_and(|open| open.kind == BatchKind::Replay);
        for object in self.unread_files() {
            let message = if !chosen && !self.spec.selects(&object.key, object.last_modified) {
                "IMPORT_BUCKET_URI, IMPORT_EXCLUDE or IMPORT_FROM_TIMESTAMP keeps it out since it was listed"
            } else if self.spec.format_of(&object.key).is_none() {
                "neither IMPORT_FORMAT nor the key's suffix tells its format"
            } else {
                continue;
            };
            let outcome = FileOutcome::Gone { code: "excluded", message: message.to_owned() };
            self.record_result(&object, outcome, 0, Duration::ZERO);
        }
    }

    /// The files of the open batch that have no result yet, in claim order.
    pub(super) fn unread_files(&self) -> Vec<ObjectRef> {
        let Some(open) = self.open.as_ref() else { return Vec::new() };
        let unread = open.files.iter().zip(&open.results).filter(|(_, result)| result.is_none());
        unread.map(|(file, _)| file.clone()).collect()
    }

    /// Schema and tables are there, or there is nothing to read.
    pub(super) fn read_files(&mut self, ctx: &mut Context<Self>) {
        if self.unread_files().is_empty() {
            self.close_if_complete(ctx);
        } else if self.open.as_ref().is_some_and(|open| open.plan.is_inspected(&open.settled())) {
            self.plan_if_inspected(ctx);
        } else {
            self.inspect_files(ctx);
        }
    }

    /// No file of the batch has columns, so there is no schema, and no table yet: each file ends with its own error.
    /// Files that were not tried go back.
    pub(super) fn no_file_has_columns(&mut self, failures: Vec<Failure>, ctx: &mut Context<Self>) {
        let blocking =
            failures.iter().find(|failure| concerns_import(failure) || failure.class == ErrorClass::Transient);
        if let Some(failure) = blocking {
            return self.end(failure.clone(), ctx);
        }
        for (object, failure) in self.unread_files().into_iter().zip(failures) {
            // Nothing is wrong with an empty file.
            let outcome = match failure.code {
                "no_records" => FileOutcome::Ingested { rows: 0, rows_quarantined: 0 },
                _ => self.outcome_of_error(&object, failure.into()),
            };
            self.record_result(&object, outcome, 0, Duration::ZERO);
        }
        let action = self.machine.on(Event::Decoded { commit: false });
        self.perform(action, ctx);
    }

    pub(super) fn record_result(&mut self, object: &ObjectRef, outcome: FileOutcome, bytes: u64, duration: Duration) {
        let Some(open) = self.open.as_mut() else { return };
        let Some(ordinal) = open.files.iter().position(|file| file.id == object.id) else { return };
        let (inspected, inspecting) = open.inspections[ordinal];
        let (bytes, duration) = (bytes + inspected, duration + inspecting);
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        open.results[ordinal] = Some(FileResult { id: object.id, outcome, bytes, duration_ms });
    }

    pub(super) fn outcome_of_error(&mut self, object: &ObjectRef, error: FileError) -> FileOutcome {
        outcome_of(error.failure, object.attempts, self.world.clock.now(), self.random.f64())
    }

    pub(super) fn close_if_complete(&mut self, ctx: &mut Context<Self>) {
        let Some(open) = self.open.as_ref() else { return };
        if open.results.iter().any(Option::is_none) {
            return;
        }
        let commits = match open.kind {
            // What was staged for nothing is discarded with its lanes.
            BatchKind::Replay => true,
            _ => open.results.iter().flatten().any(|result| result.outcome.is_committed()),
        };
        if !commits {
            let action = self.machine.on(Event::Decoded { commit: false });
            return self.perform(action, ctx);
        }
        if let Some(appender) = self.appender() {
            appender.do_send(CloseBatch { generation: self.generation, seq: open.seq });
        }
    }

    /// Freezes the batch in the ledger.
    pub(super) fn stage_batch(&mut self, ctx: &mut Context<Self>) {
        let Some(open) = self.open.as_mut() else { return };
        open.staged_at = Instant::now();
        let Some(staged) = open.staged.clone() else {
            return self.end(Failure::bug("nothing_staged", "a batch was to be staged without its files"), ctx);
        };
        let (seq, uuid) = (open.seq, open.uuid);
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        self.tasks.spawn("stage", ctx.address(), async move {
            LedgerAnswered::Staged(ledger.stage(&import, seq, uuid, &staged).await)
        });
    }

    /// Ends the open batch in the ledger without a commit.
    pub(super) fn settle_batch(&mut self, ctx: &mut Context<Self>) {
        let Some(open) = self.open.as_ref() else { return };
        let mut results = open.settled_results();
        if open.kind != BatchKind::Ingest {
            // A file that hung or killed its reader is remembered, whatever it was read for.
            results.retain(|result| !result.outcome.is_committed());
        }
        let seq = open.seq;
        if open.kind != BatchKind::Ingest && results.is_empty() {
            return self.give_back(seq, ctx);
        }
        let (ledger, import, now) = (Arc::clone(&self.ports.ledger), self.import().clone(), self.world.clock.now());
        self.tasks.spawn("settle", ctx.address(), async move {
            LedgerAnswered::Closed(ledger.settle(&import, seq, &results, now).await)
        });
    }

    /// The batch's results are durable now: tells them.
    pub(super) fn emit_results(&mut self, open: &OpenWork, results: &[FileResult]) {
        for result in results {
            emit_file_result(&self.labels, &open.id, &open.key_of(result), result);
        }
        if open.on_demand {
            self.syncs.count_results(results);
        }
    }

    pub(super) fn results_of(open: &OpenWork) -> Vec<FileResult> {
        open.staged.as_ref().map_or_else(|| open.settled_results(), |staged| staged.results.clone())
    }
}

impl Handler<FileDecoded> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: FileDecoded, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "FileDecoded") {
            return;
        }
        let open = self.open.as_ref().filter(|open| open.seq == message.seq);
        let Some(object) = open.and_then(|open| open.files.get(message.ordinal)).cloned() else { return };
        let outcome = match message.result {
            Ok(rows) => match self.open.as_ref() {
                Some(open) if open.kind == BatchKind::Replay => FileOutcome::Replayed { rows: rows.table },
                Some(open) => open.plan.outcome(message.ordinal, rows),
                None => return,
            },
            Err(error) if error.fatal || concerns_import(&error.failure) => return self.end(error.failure, ctx),
            Err(error) => self.outcome_of_error(&object, error),
        };
        self.record_result(&object, outcome, message.bytes, message.duration);
        self.close_if_complete(ctx);
    }
}

impl Handler<BatchClosed> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: BatchClosed, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "BatchClosed") {
            return;
        }
        let files = match message.result {
            Ok(files) => files,
            Err(failure) => return self.end(failure, ctx),
        };
        let Some(open) = self.open.as_ref().filter(|open| open.seq == message.seq) else { return };
        let results = open.settled_results();
        if let Err(failure) = rows_agree(&results, &files) {
            return self.end(failure, ctx);
        }
        if open.kind == BatchKind::Replay {
            return self.close_replay(results, files, ctx);
        }
        let (limits, record) = (self.spec.guard, self.record.as_ref());
        let waived = record.is_some_and(|record| record.guard_waived);
        let streak = record.map_or_else(Default::default, |record| record.streak);
        match guard::judge(&results, streak, limits) {
            Err(mut failure) if !waived => {
                failure.message = failure.message.replace("NAME", self.import().as_str());
                self.refuse_batch(failure, files, ctx);
            }
            _ => self.freeze_batch(results, files, ctx),
        }
    }
}

/// Every row that was decoded is in a data file, and no other.
fn rows_agree(results: &[FileResult], files: &DataFiles) -> Result<(), Failure> {
    let rows_in = |files: &[StagedFile]| files.iter().map(|file| file.rows).sum::<u64>();
    let decoded: (u64, u64) = results.iter().fold((0, 0), |(rows, quarantined), result| {
        (rows + result.outcome.rows(), quarantined + result.outcome.rows_quarantined())
    });
    let written = (rows_in(&files.table), rows_in(&files.quarantine));
    if decoded == written {
        return Ok(());
    }
    let message = format!(
        "{} rows were decoded and {} rejected, but {} and {} are in the data files",
        decoded.0, decoded.1, written.0, written.1
    );
    Err(Failure::bug("row_count", message))
}

impl ConnectionActor {
    /// What is staged is final from here on.
    fn freeze_batch(&mut self, mut results: Vec<FileResult>, files: DataFiles, ctx: &mut Context<Self>) {
        let Some(open) = self.open.as_mut() else { return };
        let rows_in = |files: &[StagedFile]| files.iter().map(|file| file.rows).sum();
        let added = open.plan.added();
        let quarantine_added = match (&open.plan.schema, &self.table.quarantine) {
            (Some(schema), Some(present)) if !files.quarantine.is_empty() => {
                quarantine::missing_columns(present, schema)
            }
            _ => Vec::new(),
        };
        let (rows, rows_quarantined) = (rows_in(&files.table), rows_in(&files.quarantine));
        let DataFiles { table: files, quarantine } = files;
        let quarantine_removes = match open.kind {
            BatchKind::Replay => StagedRemoval::Moved,
            _ => open.superseded_by(&mut results),
        };
        open.staged = Some(StagedBatch {
            files,
            quarantine,
            results,
            rows,
            rows_quarantined,
            added,
            quarantine_added,
            removes: StagedRemoval::Nothing,
            quarantine_removes,
        });
        let action = self.machine.on(Event::Decoded { commit: true });
        self.perform(action, ctx);
    }

    /// Every file of a replay was read: commits the rows that fit by now, if there are any.
    fn close_replay(&mut self, mut results: Vec<FileResult>, files: DataFiles, ctx: &mut Context<Self>) {
        if !self.count_replayed() {
            if let Some(appender) = self.appender() {
                appender.do_send(DiscardFiles { files });
            }
            let action = self.machine.on(Event::Decoded { commit: false });
            return self.perform(action, ctx);
        }
        results.retain(|result| result.outcome.rows() > 0 || !result.outcome.is_committed());
        self.freeze_batch(results, files, ctx);
    }

    /// The guard has tripped: nothing of the batch is stored, and the import waits for somebody to look.
    fn refuse_batch(&mut self, failure: Failure, files: DataFiles, ctx: &mut Context<Self>) {
        let Some(open) = self.open.as_mut() else { return };
        GuardTripped { import: &self.labels, seq: open.seq, id: &open.id, failure: &failure }.emit();
        open.refused = Some(failure);
        if let Some(appender) = self.appender() {
            appender.do_send(DiscardFiles { files });
        }
        let action = self.machine.on(Event::Refused);
        self.perform(action, ctx);
    }

    /// Gives the refused batch back and pauses the import, durably.
    pub(super) fn trip_guard(&mut self, seq: BatchSeq, ctx: &mut Context<Self>) {
        let Some(failure) = self.open.as_ref().and_then(|open| open.refused.clone()) else {
            return self.end(Failure::bug("nothing_refused", "the guard tripped without a batch"), ctx);
        };
        self.pace.pause();
        self.pause.begin_trip();
        if let Some(record) = self.record.as_mut() {
            (record.paused, record.guard_reason) = (true, Some(failure.message.clone()));
        }
        self.set_state(ImportState::Paused, Some(&failure));
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        self.tasks.spawn("trip guard", ctx.address(), async move {
            LedgerAnswered::GuardTripped(ledger.trip_guard(&import, seq, &failure.message).await)
        });
    }
}
