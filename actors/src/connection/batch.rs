//! The open batch: which files are decoded, how each ended, what is staged.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler};
use connector_core::commit::Event;
use connector_core::error::{ErrorClass, Failure};
use connector_core::events::{BatchClaimed, emit_file_result};
use connector_core::ids::{BatchId, BatchSeq, BatchUuid};
use connector_core::object::ObjectRef;
use connector_core::outcome::{concerns_import, outcome_of};
use connector_core::ports::{ClaimedBatch, FileOutcome, FileResult, StagedBatch, StagedFile};
use tokio::time::Instant;

use super::{ConnectionActor, LedgerAnswered};
use crate::messages::appending::{BatchClosed, CloseBatch};
use crate::messages::decoding::{DecodeFile, FileDecoded, FileError};

/// The batch between claim and finalise.
pub(super) struct OpenWork {
    pub(super) seq: BatchSeq,
    pub(super) uuid: BatchUuid,
    pub(super) id: BatchId,
    /// In claim order. Empty for a batch that an earlier generation staged.
    pub(super) files: Vec<ObjectRef>,
    results: Vec<Option<FileResult>>,
    pub(super) staged: Option<StagedBatch>,
    pub(super) staged_at: Instant,
    /// Once it has landed.
    pub(super) table_version: u64,
    /// A sync claimed it: its results belong into the sync's summary.
    on_demand: bool,
}

impl OpenWork {
    fn new(batch: ClaimedBatch, on_demand: bool) -> Self {
        Self {
            seq: batch.seq,
            uuid: batch.uuid,
            id: batch.id,
            results: vec![None; batch.files.len()],
            files: batch.files,
            staged: None,
            staged_at: Instant::now(),
            table_version: 0,
            on_demand,
        }
    }

    /// The key of a result's object; for a batch of an earlier generation the id of its version has to do.
    fn key_of(&self, result: &FileResult) -> String {
        let file = self.files.iter().find(|file| file.id == result.id);
        file.map_or_else(|| format!("object version {}", result.id.hex()), |file| file.key.to_string())
    }

    fn settled_results(&self) -> Vec<FileResult> {
        self.results.iter().flatten().cloned().collect()
    }
}

impl ConnectionActor {
    /// An earlier generation left a batch open: the protocol decides what becomes of it.
    pub(super) fn take_over_open_batch(&mut self) {
        let Some(open) = self.record.as_ref().and_then(|record| record.open_batch.clone()) else { return };
        let mut work =
            OpenWork::new(ClaimedBatch { seq: open.seq, uuid: open.uuid, id: open.id, files: Vec::new() }, false);
        work.staged = open.staged;
        self.open = Some(work);
    }

    pub(super) fn begin_batch(&mut self, batch: ClaimedBatch, on_demand: bool, ctx: &mut Context<Self>) {
        BatchClaimed {
            import: &self.labels,
            seq: batch.seq,
            id: &batch.id,
            files: batch.files.len(),
            bytes: batch.files.iter().map(|file| file.size).sum(),
        }
        .emit();
        let event = Event::Claimed { seq: batch.seq, uuid: batch.uuid };
        self.open = Some(OpenWork::new(batch, on_demand));
        let action = self.machine.on(event);
        self.perform(action, ctx);
    }

    /// Decodes the claimed files, once schema and table are there.
    pub(super) fn decode_batch(&mut self, ctx: &mut Context<Self>) {
        self.refuse_excluded();
        if self.table.reference.is_none() && !self.unread_files().is_empty() {
            self.infer_columns();
        } else {
            self.decode_files(ctx);
        }
    }

    /// Files that an edited configuration keeps out since they were listed: a later listing admits them again if it is
    /// edited back.
    fn refuse_excluded(&mut self) {
        for object in self.unread_files() {
            let message = if !self.spec.selects(&object.key, object.last_modified) {
                "IMPORT_BUCKET_URI or IMPORT_FROM_TIMESTAMP keeps it out since it was listed"
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

    pub(super) fn decode_files(&mut self, ctx: &mut Context<Self>) {
        for object in self.unread_files() {
            let (Some(open), Some(schema), Some(children)) =
                (self.open.as_ref(), self.table.schema.as_ref(), self.children.as_ref())
            else {
                return self.end(Failure::bug("no_schema", "files were to be decoded without a schema"), ctx);
            };
            let Some(format) = self.spec.format_of(&object.key) else { continue };
            let Some(ordinal) = open.files.iter().position(|file| file.id == object.id) else { continue };
            children.decoder.do_send(DecodeFile {
                generation: self.generation,
                seq: open.seq,
                batch: open.id.clone(),
                ordinal,
                object,
                format,
                schema: Arc::clone(schema),
                inferred: self.spec.columns.is_none(),
                reference: self.table.reference.clone(),
            });
        }
        self.close_if_complete(ctx);
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
            let outcome = self.outcome_of_error(&object, failure.into());
            self.record_result(&object, outcome, 0, Duration::ZERO);
        }
        let action = self.machine.on(Event::Decoded { commit: false });
        self.perform(action, ctx);
    }

    fn record_result(&mut self, object: &ObjectRef, outcome: FileOutcome, bytes: u64, duration: Duration) {
        let Some(open) = self.open.as_mut() else { return };
        let Some(ordinal) = open.files.iter().position(|file| file.id == object.id) else { return };
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        open.results[ordinal] = Some(FileResult { id: object.id, outcome, bytes, duration_ms });
    }

    fn outcome_of_error(&mut self, object: &ObjectRef, error: FileError) -> FileOutcome {
        outcome_of(error.failure, error.rows_rejected, object.attempts, self.world.clock.now(), self.random.f64())
    }

    fn close_if_complete(&mut self, ctx: &mut Context<Self>) {
        let Some(open) = self.open.as_ref() else { return };
        if open.results.iter().any(Option::is_none) {
            return;
        }
        if !open.results.iter().flatten().any(is_ingested) {
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
        let (seq, results) = (open.seq, open.settled_results());
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
            Ok(rows) => FileOutcome::Ingested { rows },
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
        let files: Vec<StagedFile> = match message.result {
            Ok(files) => files,
            Err(failure) => return self.end(failure, ctx),
        };
        let Some(open) = self.open.as_mut().filter(|open| open.seq == message.seq) else { return };
        let results = open.settled_results();
        let rows = files.iter().map(|file| file.rows).sum();
        let decoded: u64 = results.iter().map(|result| rows_of(&result.outcome)).sum();
        if rows != decoded {
            let message = format!("{decoded} rows were decoded but {rows} are in the data files");
            return self.end(Failure::bug("row_count", message), ctx);
        }
        open.staged = Some(StagedBatch { files, results, rows });
        let action = self.machine.on(Event::Decoded { commit: true });
        self.perform(action, ctx);
    }
}

pub(super) fn is_ingested(result: &FileResult) -> bool {
    matches!(result.outcome, FileOutcome::Ingested { .. })
}

fn rows_of(outcome: &FileOutcome) -> u64 {
    match outcome {
        FileOutcome::Ingested { rows } => *rows,
        _ => 0,
    }
}
