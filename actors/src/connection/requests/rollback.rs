//! Rollback: takes back what one ingest batch brought, from both tables.

use actix::Context;
use connector_core::error::Failure;
use connector_core::ids::{BatchId, ObjectVersionId};
use connector_core::ports::{FileOutcome, FileResult, RevisionBatch, StagedRemoval};
use connector_core::revision::{Account, Revision};
use tokio::sync::oneshot;

use super::super::ConnectionActor;
use crate::messages::control::{Rollback, RollbackSummary};

/// A rollback that is being carried out.
pub(in crate::connection) struct RollingBack {
    batch: BatchId,
    dry_run: bool,
    pub(super) summary: RollbackSummary,
    pub(super) waiter: oneshot::Sender<Result<RollbackSummary, Failure>>,
}

impl RollingBack {
    pub(super) fn new(message: Rollback, waiter: oneshot::Sender<Result<RollbackSummary, Failure>>) -> Self {
        Self {
            batch: message.batch,
            dry_run: message.dry_run,
            summary: RollbackSummary { dry_run: message.dry_run, ..RollbackSummary::default() },
            waiter,
        }
    }
}

impl ConnectionActor {
    pub(super) fn claim_rollback(&mut self, ctx: &mut Context<Self>) {
        let Some(batch) = self.requests.rolling_back().map(|rolling_back| rolling_back.batch.clone()) else { return };
        self.claim_revision(Revision::Rollback { batch }, ctx);
    }

    pub(super) fn rollback_claimed(&mut self, batch: RevisionBatch) {
        let Some(rolling_back) = self.requests.rolling_back() else { return };
        let sum = |of: fn(&Account) -> u64| batch.files.iter().map(|(_, account)| of(account)).sum();
        rolling_back.summary = RollbackSummary {
            dry_run: rolling_back.dry_run,
            batch: None,
            files: batch.files.len() as u64,
            rows: sum(|account| account.in_table),
            rows_quarantined: sum(|account| account.in_quarantine),
        };
        if rolling_back.dry_run {
            return;
        }
        let removal = |rows: fn(&Account) -> u64| {
            let ids: Vec<ObjectVersionId> =
                batch.files.iter().filter(|(_, account)| rows(account) > 0).map(|(file, _)| file.id).collect();
            if ids.is_empty() { StagedRemoval::Nothing } else { StagedRemoval::Versions(ids) }
        };
        let (removes, quarantine_removes) =
            (removal(|account| account.in_table), removal(|account| account.in_quarantine));
        let result = |(file, account): &(connector_core::object::ObjectRef, Account)| FileResult {
            id: file.id,
            outcome: FileOutcome::RolledBack { rows: account.in_table, rows_quarantined: account.in_quarantine },
            bytes: 0,
            duration_ms: 0,
        };
        let results = batch.files.iter().map(result).collect();
        self.freeze_removal(results, removes, quarantine_removes);
    }

    pub(super) fn rollback_landed(&mut self, id: &BatchId) {
        if let Some(rolling_back) = self.requests.rolling_back() {
            rolling_back.summary.batch = Some(id.clone());
        }
    }
}
