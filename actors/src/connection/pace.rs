//! When to scan and when to claim: ticks and on-demand syncs.
//!
//! A tick scans and then claims; while a scan outlasts its tick, ticks claim from what the ledger has. The first claim
//! waits for the first complete scan, but no longer than [`FIRST_SCAN_GRACE`]. A tick that finds a batch open is
//! skipped, not made up. An on-demand sync scans once, afresh, and then claims until nothing is left.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler};
use connector_core::backoff::Backoff;
use connector_core::claim::ClaimLimit;
use connector_core::error::{ErrorClass, Failure};
use connector_core::events::{ScanFailed, ScanFinished, TickFinished};
use connector_core::ids::{BatchId, BatchUuid};
use connector_core::ports::{ClaimAnswer, FileOutcome, FileResult};
use connector_core::spec::Schedule;
use connector_core::status::ImportState;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{ConnectionActor, LedgerAnswered};
use crate::messages::control::SyncSummary;
use crate::messages::listing::{ScanEnded, StartScan};

/// How long the first claim waits for the first complete scan.
const FIRST_SCAN_GRACE: Duration = Duration::from_secs(60);
/// A tick is armed for this much after the end of the last one, so that the ledger agrees that it is over.
const TICK_MARGIN: Duration = Duration::from_millis(5);

/// What the import is doing, or waiting for.
pub(super) struct Pace {
    pub(super) paused: bool,
    pub(super) draining: bool,
    /// Recovery is over.
    pub(super) ready: bool,
    scanning: bool,
    /// After a failed scan: when the next may start.
    scan_not_before: Option<Instant>,
    list_backoff: Backoff,
    /// A scan was completed, or its grace is over.
    may_claim: bool,
    claiming: bool,
    /// A tick wants to claim as soon as it may.
    tick_due: bool,
    /// Counts armed ticks; only the newest one counts.
    armed: u64,
    tick: Option<TickCount>,
    pub(super) sync: SyncPace,
    pub(super) table_version: u64,
}

struct TickCount {
    started: Instant,
    files: usize,
}

/// Who waits for an on-demand sync, and how far it is.
#[derive(Default)]
pub(super) struct SyncPace {
    waiting: Vec<oneshot::Sender<Result<SyncSummary, Failure>>>,
    scan_started: bool,
    scanned: bool,
    summary: SyncSummary,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            paused: false,
            draining: false,
            ready: false,
            scanning: false,
            scan_not_before: None,
            list_backoff: Backoff::of_import(),
            may_claim: false,
            claiming: false,
            tick_due: false,
            armed: 0,
            tick: None,
            sync: SyncPace::default(),
            table_version: 0,
        }
    }
}

impl Pace {
    pub(super) fn fail_syncs(&mut self, failure: &Failure) {
        self.end_syncs(&Err(failure.clone()));
    }

    fn end_syncs(&mut self, result: &Result<SyncSummary, Failure>) {
        for waiter in std::mem::take(&mut self.sync).waiting {
            // Whoever asked may have gone away.
            let _ = waiter.send(result.clone());
        }
    }

    pub(super) fn syncing(&self) -> bool {
        !self.sync.waiting.is_empty()
    }

    pub(super) fn count_results(&mut self, results: &[FileResult]) {
        let summary = &mut self.sync.summary;
        summary.batches += 1;
        for result in results {
            match &result.outcome {
                FileOutcome::Ingested { rows } => {
                    summary.files_ingested += 1;
                    summary.rows += rows;
                }
                FileOutcome::Failed { .. } => summary.files_failed += 1,
                FileOutcome::Deferred { .. } => summary.files_deferred += 1,
                FileOutcome::Gone { .. } => {}
            }
        }
    }
}

impl ConnectionActor {
    /// No batch is open. Creates a declared table first; then goes on with whatever is wanted.
    pub(super) fn ready(&mut self, ctx: &mut Context<Self>) {
        if self.prepare_table(ctx) {
            return;
        }
        if self.pace.draining {
            return self.finish(ctx);
        }
        if let Some(tick) = self.pace.tick.take() {
            let duration = tick.started.elapsed();
            TickFinished { import: &self.labels, batches: 1, files: tick.files, duration }.emit();
        }
        if !std::mem::replace(&mut self.pace.ready, true) {
            self.set_state(if self.pace.paused { ImportState::Paused } else { ImportState::Running }, None);
            ctx.run_later(FIRST_SCAN_GRACE, |actor, ctx| {
                actor.pace.may_claim = true;
                actor.proceed(ctx);
            });
            self.start_ticking(ctx);
        }
        self.proceed(ctx);
    }

    /// The first tick comes at once.
    pub(super) fn start_ticking(&mut self, ctx: &mut Context<Self>) {
        if self.spec.schedule == Schedule::Auto && self.pace.ready && !self.pace.paused {
            self.tick(ctx);
        }
    }

    /// The start of one tick: scans, and then claims. Skipped while a batch is open or a sync runs.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        if self.pace.draining || self.pace.paused {
            return;
        }
        self.arm_tick(self.spec.tick, ctx);
        if self.machine.is_ready() && !self.pace.claiming && !self.pace.syncing() {
            self.pace.tick_due = true;
            if self.pace.scanning || self.scan_must_wait() { self.proceed(ctx) } else { self.start_scan() }
        }
    }

    fn arm_tick(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        self.pace.armed += 1;
        let armed = self.pace.armed;
        ctx.run_later(wait + TICK_MARGIN, move |actor, ctx| {
            if actor.pace.armed == armed {
                actor.tick(ctx);
            }
        });
    }

    /// Somebody wants everything now.
    pub(super) fn add_sync(&mut self, waiter: oneshot::Sender<Result<SyncSummary, Failure>>, ctx: &mut Context<Self>) {
        self.pace.sync.waiting.push(waiter);
        self.proceed(ctx);
    }

    /// Starts whatever may start now.
    pub(super) fn proceed(&mut self, ctx: &mut Context<Self>) {
        let pace = &self.pace;
        if !pace.ready || pace.draining || pace.claiming || !self.machine.is_ready() {
            return;
        }
        if pace.syncing() {
            if pace.sync.scanned {
                self.claim(ClaimLimit::Unlimited, ctx);
            } else if !pace.scanning {
                self.pace.sync.scan_started = true;
                self.start_scan();
            }
        } else if pace.tick_due && pace.may_claim && !pace.paused {
            let limit = ClaimLimit::Throttled { files: self.spec.max_files, tick: self.spec.tick };
            self.claim(limit, ctx);
        }
    }

    fn scan_must_wait(&self) -> bool {
        self.pace.scan_not_before.is_some_and(|not_before| Instant::now() < not_before)
    }

    fn start_scan(&mut self) {
        if let Some(children) = &self.children {
            self.pace.scanning = true;
            children.lister.do_send(StartScan { generation: self.generation });
        }
    }

    fn claim(&mut self, limit: ClaimLimit, ctx: &mut Context<Self>) {
        self.pace.claiming = true;
        let now = self.world.clock.now();
        let unix_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let id = BatchId::from_parts(unix_ms, self.random.u128(..));
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        self.tasks.spawn("claim", ctx.address(), async move {
            LedgerAnswered::Claimed(ledger.claim(&import, limit, BatchUuid::mint(), id, now).await)
        });
    }

    pub(super) fn claimed(&mut self, answer: ClaimAnswer, ctx: &mut Context<Self>) {
        self.pace.claiming = false;
        if self.pace.draining {
            // What was claimed goes back when the import starts again.
            return self.finish(ctx);
        }
        if let Some(ends_at) = answer.tick_ends_at {
            self.pace.tick_due = false;
            let wait = ends_at.duration_since(self.world.clock.now());
            self.arm_tick(Duration::try_from(wait).unwrap_or_default().min(self.spec.tick), ctx);
        }
        match answer.batch {
            Some(batch) => {
                self.pace.tick = Some(TickCount { started: Instant::now(), files: batch.files.len() });
                self.begin_batch(batch, ctx);
            }
            None if self.pace.syncing() && self.pace.sync.scanned => {
                let summary = self.pace.sync.summary;
                self.pace.end_syncs(&Ok(summary));
                self.start_ticking(ctx);
            }
            None => self.proceed(ctx),
        }
    }

    fn scan_failed(&mut self, failure: Failure, pages: u64, ctx: &mut Context<Self>) {
        ScanFailed { import: &self.labels, failure: &failure, pages }.emit();
        if failure.class != ErrorClass::Transient {
            return self.end(failure, ctx);
        }
        let wait = self.pace.list_backoff.next_wait(self.random.f64());
        self.pace.scan_not_before = Some(Instant::now() + wait);
        self.set_state(ImportState::Degraded, Some(&failure));
        self.pace.fail_syncs(&failure);
        // What the ledger already knows can be read all the same.
        self.proceed(ctx);
    }
}

impl Handler<ScanEnded> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: ScanEnded, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "ScanEnded") {
            return;
        }
        self.pace.scanning = false;
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
        self.pace.list_backoff.reset();
        self.pace.scan_not_before = None;
        self.pace.may_claim = true;
        self.pace.sync.scanned |= self.pace.sync.scan_started;
        if self.state == ImportState::Degraded {
            self.set_state(ImportState::Running, None);
        }
        self.proceed(ctx);
    }
}
