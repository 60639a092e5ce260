//! A ledger whose answers may be lost.

use std::sync::Arc;

use async_trait::async_trait;
use connector_core::claim::ClaimLimit;
use connector_core::history::{HistoryPage, HistoryQuery, SchemaVersion};
use connector_core::ids::{BatchId, BatchSeq, BatchUuid, ImportName, ObjectVersionId};
use connector_core::ports::{
    ClaimAnswer, FileResult, ImportCounts, ImportRecord, Ledger, PageOutcome, PortResult, ReferenceFile, Reread, Retry,
    RevisionBatch, SelectedObject, StagedBatch,
};
use connector_core::revision::Revision;
use connector_core::schema::TableSchema;
use connector_core::spec::OverwritePolicy;
use jiff::Timestamp;

use super::point::awaited;

pub(super) struct Faulty(pub(super) Arc<dyn Ledger>);

#[async_trait]
impl Ledger for Faulty {
    async fn open_import(
        &self,
        import: &ImportName,
        bucket: &str,
        overwrite: OverwritePolicy,
    ) -> PortResult<ImportRecord> {
        awaited("ledger", "open_import", self.0.open_import(import, bucket, overwrite)).await
    }

    async fn table_created(&self, import: &ImportName, schema: &TableSchema, now: Timestamp) -> PortResult<()> {
        awaited("ledger", "table_created", self.0.table_created(import, schema, now)).await
    }

    async fn decide_schema(
        &self,
        import: &ImportName,
        schema: &TableSchema,
        reference: Option<&ReferenceFile>,
    ) -> PortResult<()> {
        awaited("ledger", "decide_schema", self.0.decide_schema(import, schema, reference)).await
    }

    async fn record_page(
        &self,
        import: &ImportName,
        page: Vec<SelectedObject>,
        now: Timestamp,
    ) -> PortResult<PageOutcome> {
        awaited("ledger", "record_page", self.0.record_page(import, page, now)).await
    }

    async fn finish_scan(&self, import: &ImportName, now: Timestamp) -> PortResult<Option<Reread>> {
        awaited("ledger", "finish_scan", self.0.finish_scan(import, now)).await
    }

    async fn claim(
        &self,
        import: &ImportName,
        limit: ClaimLimit,
        uuid: BatchUuid,
        id: BatchId,
        now: Timestamp,
    ) -> PortResult<ClaimAnswer> {
        awaited("ledger", "claim", self.0.claim(import, limit, uuid, id, now)).await
    }

    async fn claim_revision(
        &self,
        import: &ImportName,
        revision: &Revision,
        uuid: BatchUuid,
        id: BatchId,
        now: Timestamp,
    ) -> PortResult<Option<RevisionBatch>> {
        awaited("ledger", "claim_revision", self.0.claim_revision(import, revision, uuid, id, now)).await
    }

    async fn mark_reading(
        &self,
        import: &ImportName,
        started: &[ObjectVersionId],
        finished: &[ObjectVersionId],
    ) -> PortResult<()> {
        awaited("ledger", "mark_reading", self.0.mark_reading(import, started, finished)).await
    }

    async fn retry(&self, import: &ImportName, retry: &Retry, now: Timestamp) -> PortResult<u64> {
        awaited("ledger", "retry", self.0.retry(import, retry, now)).await
    }

    async fn stage(&self, import: &ImportName, seq: BatchSeq, uuid: BatchUuid, staged: &StagedBatch) -> PortResult<()> {
        awaited("ledger", "stage", self.0.stage(import, seq, uuid, staged)).await
    }

    async fn finalise(&self, import: &ImportName, seq: BatchSeq, table_version: u64, now: Timestamp) -> PortResult<()> {
        awaited("ledger", "finalise", self.0.finalise(import, seq, table_version, now)).await
    }

    async fn abandon(&self, import: &ImportName, seq: BatchSeq) -> PortResult<()> {
        awaited("ledger", "abandon", self.0.abandon(import, seq)).await
    }

    async fn settle(
        &self,
        import: &ImportName,
        seq: BatchSeq,
        results: &[FileResult],
        now: Timestamp,
    ) -> PortResult<()> {
        awaited("ledger", "settle", self.0.settle(import, seq, results, now)).await
    }

    async fn set_paused(&self, import: &ImportName, paused: bool) -> PortResult<()> {
        awaited("ledger", "set_paused", self.0.set_paused(import, paused)).await
    }

    async fn trip_guard(&self, import: &ImportName, seq: BatchSeq, reason: &str) -> PortResult<()> {
        awaited("ledger", "trip_guard", self.0.trip_guard(import, seq, reason)).await
    }

    async fn history(&self, import: &ImportName, query: HistoryQuery) -> PortResult<HistoryPage> {
        awaited("ledger", "history", self.0.history(import, query)).await
    }

    async fn schema_history(&self, import: &ImportName) -> PortResult<Vec<SchemaVersion>> {
        awaited("ledger", "schema_history", self.0.schema_history(import)).await
    }

    async fn counts(&self, import: &ImportName, now: Timestamp) -> PortResult<ImportCounts> {
        awaited("ledger", "counts", self.0.counts(import, now)).await
    }
}
