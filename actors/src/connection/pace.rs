//! Carries out what the pace of `connector_core::pace` asks for: scans, claims, ticks; and tells it the answers.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler};
use connector_core::claim::ClaimLimit;
use connector_core::error::{ErrorClass, Failure};
use connector_core::events::{ScanFailed, ScanFinished, TickFinished};
use connector_core::ids::{BatchId, BatchUuid};
use connector_core::pace::{FIRST_SCAN_GRACE, Step};
use connector_core::ports::{ClaimAnswer, FileOutcome, FileResult};
use connector_core::status::ImportState;
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{ConnectionActor, LedgerAnswered};
use crate::messages::control::SyncSummary;
use crate::messages::listing::{ScanEnded, StartScan};

/// A tick whose batch is open.
pub(super) struct OpenTick {
    started: Instant,
    files: usize,
}

/// Who waits for the on-demand sync, and what it has done so far.
#[derive(Default)]
pub(super) struct SyncWaiters {
    waiting: Vec<oneshot::Sender<Result<SyncSummary, Failure>>>,
    summary: SyncSummary,
}

impl SyncWaiters {
    pub(super) fn end(&mut self, result: &Result<SyncSummary, Failure>) {
        for waiter in std::mem::take(self).waiting {
            // Whoever asked may have gone away.
            let _ = waiter.send(result.clone());
        }
    }

    pub(super) fn count_results(&mut self, results: &[FileResult]) {
        self.summary.batches += 1;
        for result in results {
            self.summary.rows += result.outcome.rows();
            self.summary.rows_quarantined += result.outcome.rows_quarantined();
            match &result.outcome {
                FileOutcome::Ingested { .. } => self.summary.files_ingested += 1,
                FileOutcome::Quarantined { .. } => self.summary.files_quarantined += 1,
                FileOutcome::Failed { .. } => self.summary.files_failed += 1,
                FileOutcome::Deferred { .. } => self.summary.files_deferred += 1,
                // The others are none of a sync.
                _ => {}
            }
        }
    }
}

impl ConnectionActor {
    /// No batch is open. Prepares the table first; then goes on with whatever is wanted.
    pub(super) fn ready(&mut self, ctx: &mut Context<Self>) {
        if self.prepare_table(ctx) {
            return;
        }
        if self.pace.is_draining() {
            return self.finish(ctx);
        }
        if let Some(tick) = self.tick.take() {
            let duration = tick.started.elapsed();
            TickFinished { import: &self.labels, batches: 1, files: tick.files, duration }.emit();
        }
        if self.recovered && !self.requests.gives_way() && self.go_on_with_requests(ctx) {
            return;
        }
        let steps = if std::mem::replace(&mut self.recovered, true) {
            self.pace.batch_ended()
        } else {
            let paused = self.wanted_pause();
            let failure = paused.then(|| self.paused_failure());
            if let Some(failure) = &failure {
                self.syncs.end(&Err(failure.clone()));
            }
            let by_guard = failure.filter(|failure| failure.class == ErrorClass::Data);
            self.set_state(if paused { ImportState::Paused } else { ImportState::Running }, by_guard.as_ref());
            Self::watch_maintenance(ctx);
            ctx.run_later(FIRST_SCAN_GRACE, |actor, ctx| {
                let steps = actor.pace.grace_over();
                actor.follow(steps, ctx);
            });
            self.pace.recovered(paused, self.born.elapsed())
        };
        self.follow(steps, ctx);
        self.try_requests(ctx);
    }

    pub(super) fn follow(&mut self, steps: Vec<Step>, ctx: &mut Context<Self>) {
        for step in steps {
            match step {
                Step::Scan => self.start_scan(),
                Step::ClaimThrottled => {
                    let limit = ClaimLimit::Throttled { files: self.spec.max_files, tick: self.spec.tick };
                    self.claim(limit, ctx);
                }
                Step::ClaimAll => self.claim(ClaimLimit::Unlimited, ctx),
                Step::ArmTick { number, wait } => {
                    ctx.run_later(wait, move |actor, ctx| {
                        let steps = actor.pace.tick(number, actor.born.elapsed());
                        actor.follow(steps, ctx);
                    });
                }
                Step::ArmCron { number } => self.arm_cron(number, ctx),
                Step::EndSync => {
                    let summary = self.syncs.summary;
                    self.syncs.end(&Ok(summary));
                }
            }
        }
    }

    /// Somebody wants everything now.
    pub(super) fn add_sync(&mut self, waiter: oneshot::Sender<Result<SyncSummary, Failure>>, ctx: &mut Context<Self>) {
        if self.syncs.waiting.is_empty() {
            self.syncs = SyncWaiters::default();
        }
        self.syncs.waiting.push(waiter);
        let steps = self.pace.sync();
        self.follow(steps, ctx);
    }

    fn start_scan(&self) {
        if let Some(children) = &self.children {
            children.lister.do_send(StartScan { generation: self.generation });
        }
    }

    fn claim(&mut self, limit: ClaimLimit, ctx: &mut Context<Self>) {
        let now = self.world.clock.now();
        let id = self.mint_batch_id(now);
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        self.tasks.spawn("claim", ctx.address(), async move {
            LedgerAnswered::Claimed(ledger.claim(&import, limit, BatchUuid::mint(), id, now).await)
        });
    }

    pub(super) fn mint_batch_id(&mut self, now: Timestamp) -> BatchId {
        BatchId::from_parts(u64::try_from(now.as_millisecond()).unwrap_or(0), self.random.u128(..))
    }

    pub(super) fn claimed(&mut self, answer: ClaimAnswer, ctx: &mut Context<Self>) {
        if self.pace.is_draining() {
            // What was claimed goes back when the import starts again.
            return self.finish(ctx);
        }
        let now = self.world.clock.now();
        let tick_ends_in =
            answer.tick_ends_at.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO));
        let steps = self.pace.claimed(answer.batch.is_some(), tick_ends_in, answer.free_left);
        if let Some(batch) = answer.batch {
            self.tick = tick_ends_in.map(|_| OpenTick { started: Instant::now(), files: batch.files.len() });
            self.begin_batch(batch, tick_ends_in.is_none(), ctx);
        }
        self.follow(steps, ctx);
        self.try_requests(ctx);
    }

    fn scan_failed(&mut self, failure: Failure, pages: u64, ctx: &mut Context<Self>) {
        ScanFailed { import: &self.labels, failure: &failure, pages }.emit();
        if failure.class != ErrorClass::Transient {
            return self.end(failure, ctx);
        }
        if !self.pace.is_paused() {
            self.set_state(ImportState::Degraded, Some(&failure));
        }
        self.syncs.end(&Err(failure));
        let steps = self.pace.scan_failed(self.born.elapsed(), self.random.f64());
        self.follow(steps, ctx);
    }
}

impl Handler<ScanEnded> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: ScanEnded, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "ScanEnded") {
            return;
        }
        let ScanEnded { summary, failure, duration, .. } = message;
        if let Some(failure) = failure {
            return self.scan_failed(failure, summary.pages, ctx);
        }
        ScanFinished {
            import: &self.labels,
            pages: summary.pages,
            objects: summary.objects,
            excluded: summary.excluded,
            outcome: summary.outcome,
            duration,
            at: self.world.clock.now(),
        }
        .emit();
        if let Some(reread) = summary.reread {
            self.pause_for_reread(reread);
        } else if self.state == ImportState::Degraded {
            self.set_state(ImportState::Running, None);
        }
        let steps = self.pace.scan_done();
        self.follow(steps, ctx);
    }
}
