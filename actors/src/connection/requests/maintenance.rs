//! Maintenance: rows that have expired, then compaction, checkpoints, log retention and vacuum of both tables, in bounded
//! steps.
//!
//! The ConnectionActor begins a short round by itself, after enough commits or time, while nothing else goes on; by
//! hand it goes on until nothing is left to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context};
use connector_core::error::Failure;
use connector_core::events::TableMaintained;
use connector_core::ids::ObjectVersionId;
use connector_core::ports::{
    ExpiredFile, ExpiryRule, FileOutcome, FileResult, Maintained, RevisionBatch, StagedRemoval,
};
use connector_core::revision::{KeyedVersion, Revision, RowDigest};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::ConnectionActor;
use super::{Request, RequestAnswered};
use crate::messages::appending::Which;
use crate::messages::control::MaintenanceSummary;

/// Commits after which the tables are looked after.
const COMMITS: u64 = 64;
/// The longest time between two rounds of an import that commits now and then, or whose rows expire.
const INTERVAL: Duration = Duration::from_secs(3_600);
/// Steps of a round that nobody asked for.
const STEPS_OF_A_ROUND: u64 = 4;

/// When the next round is due.
#[derive(Debug)]
pub(in crate::connection) struct Upkeep {
    commits: u64,
    last: Instant,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self { commits: 0, last: Instant::now() }
    }
}

impl Upkeep {
    pub(in crate::connection) fn committed(&mut self) {
        self.commits += 1;
    }

    fn is_due(&self, expires: bool) -> bool {
        self.commits >= COMMITS || (self.last.elapsed() >= INTERVAL && (self.commits > 0 || expires))
    }
}

/// Maintenance that is being carried out.
pub(in crate::connection) struct Upkept {
    phase: Phase,
    table_done: bool,
    quarantine_done: bool,
    /// `None` if nobody asked for it.
    waiter: Option<oneshot::Sender<Result<MaintenanceSummary, Failure>>>,
    steps_left: u64,
    began: Instant,
    expired: Vec<ExpiredFile>,
    /// Rows of the batch that is open.
    expiring: u64,
    summary: MaintenanceSummary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Expiry,
    Table,
    Quarantine,
}

impl Upkept {
    pub(super) fn by_hand(waiter: oneshot::Sender<Result<MaintenanceSummary, Failure>>) -> Self {
        Self::new(Some(waiter), u64::MAX)
    }

    fn new(waiter: Option<oneshot::Sender<Result<MaintenanceSummary, Failure>>>, steps_left: u64) -> Self {
        let (phase, expired, summary) = (Phase::Expiry, Vec::new(), MaintenanceSummary::default());
        Self {
            phase,
            table_done: false,
            quarantine_done: false,
            waiter,
            steps_left,
            began: Instant::now(),
            expired,
            expiring: 0,
            summary,
        }
    }

    pub(super) fn is_automatic(&self) -> bool {
        self.waiter.is_none()
    }

    pub(super) fn answer(self, result: Result<(), Failure>) {
        if let Some(waiter) = self.waiter {
            // Whoever asked may have gone away.
            let _ = waiter.send(result.map(|()| self.summary));
        }
    }

    fn add(&mut self, step: Maintained) {
        let summary = &mut self.summary;
        summary.steps += 1;
        summary.compacted += step.compacted;
        summary.into += step.into;
        summary.vacuumed += step.vacuumed;
        summary.vacuumed_bytes += step.vacuumed_bytes;
        summary.log_entries += step.log_entries;
        summary.checkpoints += u64::from(step.checkpoint);
        summary.conflicts += u64::from(step.conflict);
    }
}

impl ConnectionActor {
    /// Lines up a round that nobody asked for, if one is due. Whoever pauses an import may want its tables for himself.
    pub(super) fn plan_maintenance(&mut self) {
        let wanted = self.table.exists && self.upkeep.is_due(self.spec.ttl.is_some()) && !self.pace.is_paused();
        if wanted && self.requests.waiting.is_empty() {
            self.requests.waiting.push_back(Request::Maintain(Upkept::new(None, STEPS_OF_A_ROUND)));
        }
    }

    /// Looks now and then whether a round is due, for an import that has nothing to claim.
    pub(in crate::connection) fn watch_maintenance(ctx: &mut Context<Self>) {
        ctx.run_interval(INTERVAL / 4, |actor, ctx| actor.try_requests(ctx));
    }

    /// The next step.
    pub(super) fn keep_up(&mut self, ctx: &mut Context<Self>) {
        let exists = self.table.exists;
        let now = self.world.clock.now();
        let Some(upkept) = self.requests.upkept() else { return };
        if !exists || upkept.steps_left == 0 {
            return self.end_maintenance(ctx);
        }
        upkept.steps_left -= 1;
        upkept.began = Instant::now();
        match (upkept.phase, self.spec.ttl.clone()) {
            (Phase::Expiry, Some(ttl)) => {
                let table = Arc::clone(&self.ports.table);
                self.tasks.spawn("find expired rows", ctx.address(), async move {
                    RequestAnswered::Expired(table.expired(&ExpiryRule { ttl, now }).await)
                });
            }
            (Phase::Expiry, None) => {
                upkept.phase = Phase::Table;
                self.maintain(Which::Table, ctx);
            }
            (Phase::Table, _) => self.maintain(Which::Table, ctx),
            (Phase::Quarantine, _) => self.maintain(Which::Quarantine, ctx),
        }
    }

    fn maintain(&mut self, which: Which, ctx: &mut Context<Self>) {
        let table = match which {
            Which::Table => Arc::clone(&self.ports.table),
            Which::Quarantine => Arc::clone(&self.ports.quarantine),
        };
        let (rules, now) = (self.spec.maintenance, self.world.clock.now());
        self.tasks.spawn("maintain", ctx.address(), async move {
            RequestAnswered::Maintained(table.maintain(&rules, now).await)
        });
    }

    pub(super) fn step_done(&mut self, step: Maintained, ctx: &mut Context<Self>) {
        let labels = self.labels.clone();
        let Some(upkept) = self.requests.upkept() else { return };
        upkept.add(step);
        let table = match upkept.phase {
            Phase::Quarantine => self.ports.quarantine.location(),
            _ => self.ports.table.location(),
        };
        let did_nothing = step == Maintained { done: true, ..Maintained::default() };
        if !did_nothing {
            TableMaintained { import: &labels, table: &table, step, duration: upkept.began.elapsed() }.emit();
        }
        // A conflict means that somebody else is at work on the table: there is another time.
        let over = step.done || step.conflict;
        match upkept.phase {
            Phase::Quarantine => upkept.quarantine_done |= over,
            Phase::Expiry | Phase::Table => upkept.table_done |= over,
        }
        // In turn, so that a round that is cut short has done something for both.
        upkept.phase = match (upkept.phase, upkept.table_done, upkept.quarantine_done) {
            (_, true, true) => return self.end_maintenance(ctx),
            (_, true, false) | (Phase::Table | Phase::Expiry, false, false) => Phase::Quarantine,
            (_, false, true) | (Phase::Quarantine, false, false) => Phase::Table,
        };
        if self.pace.is_kept_waiting() { self.give_way(ctx) } else { self.keep_up(ctx) }
    }

    /// Puts maintenance off for as long as the import has something to do.
    fn give_way(&mut self, ctx: &mut Context<Self>) {
        if let Some(request) = self.requests.current.take() {
            self.requests.waiting.push_front(request);
            self.requests.giving_way = true;
        }
        self.ready(ctx);
    }

    fn end_maintenance(&mut self, ctx: &mut Context<Self>) {
        // Also after a round that was cut short: what is left comes with the next one.
        self.upkeep = Upkeep::default();
        self.finish_request(Ok(()), ctx);
    }

    pub(super) fn expired_found(&mut self, files: Vec<ExpiredFile>, ctx: &mut Context<Self>) {
        let Some(upkept) = self.requests.upkept() else { return };
        let versions: BTreeMap<ObjectVersionId, KeyedVersion> =
            files.iter().flat_map(|file| &file.versions).map(|(version, ..)| (version.id, version.clone())).collect();
        upkept.expired = files;
        if upkept.expired.is_empty() {
            return self.nothing_expired(ctx);
        }
        self.claim_revision(Revision::Expiry { files: versions.into_values().collect() }, ctx);
    }

    pub(super) fn nothing_expired(&mut self, ctx: &mut Context<Self>) {
        if let Some(upkept) = self.requests.upkept() {
            upkept.phase = Phase::Table;
            upkept.expired = Vec::new();
        }
        self.keep_up(ctx);
    }

    pub(super) fn expiry_claimed(&mut self, batch: RevisionBatch) {
        let Some(upkept) = self.requests.upkept() else { return };
        let files = std::mem::take(&mut upkept.expired);
        upkept.expiring = files.iter().map(|file| file.rows).sum();
        let mut sums: BTreeMap<ObjectVersionId, (u64, RowDigest)> = BTreeMap::new();
        for (version, rows, digest) in files.iter().flat_map(|file| &file.versions) {
            let sum = sums.entry(version.id).or_default();
            sum.0 += rows;
            sum.1 += *digest;
        }
        // Rows of versions that the ledger does not know go as well; they are nobody's account.
        let results = batch.files.iter().filter_map(|(file, _)| {
            let (rows, digest) = *sums.get(&file.id)?;
            let outcome = FileOutcome::Expired { rows, digest };
            Some(FileResult { id: file.id, outcome, bytes: 0, duration_ms: 0 })
        });
        let results = results.collect();
        let paths = files.into_iter().map(|file| file.path).collect();
        self.freeze_removal(results, StagedRemoval::DataFiles(paths), StagedRemoval::Nothing);
    }

    pub(super) fn expiry_landed(&mut self) {
        if let Some(upkept) = self.requests.upkept() {
            upkept.summary.expired_rows += std::mem::take(&mut upkept.expiring);
            // Each call finds some of it.
            upkept.steps_left = upkept.steps_left.saturating_add(1);
        }
    }
}
