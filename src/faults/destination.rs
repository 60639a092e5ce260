//! A table, and open data files of it, whose answers may be lost.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use connector_core::ids::ImportUuid;
use connector_core::ports::{
    CommitAnswer, DataFileWriter, Destination, ExpiredFile, ExpiryRule, Maintained, MaintenanceRules, PortResult,
    RowBatches, RowIds, RowOrigin, StagedFile, TableCommit, TableFacts,
};
use connector_core::schema::TableSchema;
use jiff::Timestamp;

use super::point::{awaited, blocking, concerns, pass, pass_blocking};

pub(super) struct Faulty {
    pub(super) inner: Arc<dyn Destination>,
    /// What its points begin with: `table` or `quarantine`.
    pub(super) port: &'static str,
}

#[async_trait]
impl Destination for Faulty {
    async fn read(&self) -> PortResult<Option<TableFacts>> {
        awaited(self.port, "read", self.inner.read()).await
    }

    async fn create(&self, import: ImportUuid, schema: &TableSchema) -> PortResult<TableFacts> {
        awaited(self.port, "create", self.inner.create(import, schema)).await
    }

    fn open_writer(&self, schema: &TableSchema) -> PortResult<Box<dyn DataFileWriter>> {
        let inner = blocking(self.port, "open_writer", || self.inner.open_writer(schema))?;
        let port = format!("{}::writer", self.port);
        Ok(Box::new(FaultyWriter { inner, port }))
    }

    /// Nobody can be told that it failed: a `before` point that fails leaves the files where they are.
    async fn discard(&self, files: &[StagedFile]) {
        if pass(self.port, "discard", "before").await.is_ok() {
            self.inner.discard(files).await;
        }
        drop(pass(self.port, "discard", "after").await);
    }

    async fn staged_files_intact(&self, files: &[StagedFile]) -> PortResult<bool> {
        awaited(self.port, "staged_files_intact", self.inner.staged_files_intact(files)).await
    }

    async fn commit(&self, commit: &TableCommit) -> PortResult<CommitAnswer> {
        awaited(self.port, "commit", self.inner.commit(commit)).await
    }

    async fn row_ids(&self, files: &[StagedFile]) -> PortResult<RowIds> {
        awaited(self.port, "row_ids", self.inner.row_ids(files)).await
    }

    async fn rows(&self, columns: Option<&[String]>) -> PortResult<Option<RowBatches>> {
        awaited(self.port, "rows", self.inner.rows(columns)).await
    }

    async fn expired(&self, rule: &ExpiryRule) -> PortResult<Vec<ExpiredFile>> {
        awaited(self.port, "expired", self.inner.expired(rule)).await
    }

    async fn maintain(&self, rules: &MaintenanceRules, now: Timestamp) -> PortResult<Maintained> {
        awaited(self.port, "maintain", self.inner.maintain(rules, now)).await
    }

    fn location(&self) -> String {
        self.inner.location()
    }
}

struct FaultyWriter {
    inner: Box<dyn DataFileWriter>,
    port: String,
}

impl DataFileWriter for FaultyWriter {
    fn write(&mut self, rows: &RecordBatch, origin: &RowOrigin, ordinals: &[u64]) -> PortResult<()> {
        let inner = &mut self.inner;
        if concerns(&origin.key) {
            blocking(&self.port, "write", || inner.write(rows, origin, ordinals))
        } else {
            inner.write(rows, origin, ordinals)
        }
    }

    fn buffered_bytes(&self) -> usize {
        self.inner.buffered_bytes()
    }

    fn flush(&mut self) -> PortResult<()> {
        let inner = &mut self.inner;
        blocking(&self.port, "flush", || inner.flush())
    }

    fn finish(self: Box<Self>) -> PortResult<Vec<StagedFile>> {
        let Self { inner, port } = *self;
        blocking(&port, "finish", || inner.finish())
    }

    /// Nobody can be told that it failed.
    fn discard(self: Box<Self>) {
        drop(pass_blocking(&self.port, "discard", "before"));
        self.inner.discard();
        drop(pass_blocking(&self.port, "discard", "after"));
    }
}
