//! Tests of the ledger as its users see it, plus a look into the tables where users cannot look.

mod backup_tests;
mod batch_tests;
mod case_tests;
mod checks;
mod claim_tests;
mod failure_tests;
mod forget_tests;
mod guard_tests;
mod history_tests;
mod life;
mod mend_tests;
mod model;
mod open_tests;
mod origin_tests;
mod overwrite_tests;
mod page_tests;
mod plan_tests;
mod property_tests;
mod reader_tests;
mod revision_tests;
mod schema_tests;
mod suspect_tests;
mod upgrade_tests;
mod watermark_tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use connector_core::claim::ClaimLimit;
use connector_core::error::Failure;
use connector_core::ids::{BatchId, BatchUuid, ImportName, ObjectVersionId};
use connector_core::known::KnownVersion;
use connector_core::object::ListedObject;
use connector_core::ports::{
    ClaimAnswer, ClaimedBatch, FileOutcome, FileResult, ImportCounts, ImportRecord, Ledger, PageOutcome, Reread, Retry,
    RevisionBatch, SelectedObject, StagedBatch, StagedFile, StagedRemoval,
};
use connector_core::revision::{KeyedVersion, Revision};
use connector_core::spec::OverwritePolicy;
use jiff::Timestamp;
use uuid::Uuid;

use crate::SqliteLedger;

pub(crate) const BUCKET: &str = "bucket";
pub(crate) const TICK: Duration = Duration::from_secs(60);

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub(crate) fn throttled(files: u32) -> ClaimLimit {
    ClaimLimit::Throttled { files, tick: TICK }
}

/// An object of 10 bytes whose ETag is given.
pub(crate) fn object(key: &str, etag: &str, modified: i64) -> SelectedObject {
    let object = ListedObject {
        key: key.to_owned(),
        etag: etag.to_owned(),
        size: 10,
        last_modified: at(modified),
        storage_class: None,
    };
    SelectedObject { object, skip: None }
}

pub(crate) fn archived(mut selected: SelectedObject) -> SelectedObject {
    selected.object.storage_class = Some("DEEP_ARCHIVE".to_owned());
    selected
}

pub(crate) fn ingested() -> FileOutcome {
    FileOutcome::Ingested { rows: 7, rows_quarantined: 0 }
}

/// Ingested, but for two rows.
pub(crate) fn partly() -> FileOutcome {
    FileOutcome::Ingested { rows: 7, rows_quarantined: 2 }
}

/// None of its four rows fits.
pub(crate) fn quarantined() -> FileOutcome {
    let message = "the file lacks column 'n'".into();
    FileOutcome::Quarantined { code: "missing_column", message, rows_quarantined: 4 }
}

pub(crate) fn failed() -> FileOutcome {
    FileOutcome::Failed { code: "bad_quotes", message: "line 7: a quote is never closed".into() }
}

pub(crate) fn deferred(until: i64) -> FileOutcome {
    FileOutcome::Deferred { code: "timeout", message: "gave up".into(), not_before: at(until) }
}

pub(crate) fn gone() -> FileOutcome {
    FileOutcome::Gone { code: "object_changed", message: "changed".into() }
}

pub(crate) fn results(batch: &ClaimedBatch, outcome: impl Fn(&str) -> Option<FileOutcome>) -> Vec<FileResult> {
    let one = |id, outcome| FileResult { id, outcome, bytes: 10, duration_ms: 5 };
    batch.files.iter().filter_map(|file| outcome(&file.key).map(|outcome| one(file.id, outcome))).collect()
}

/// One data file for each table that gets rows.
pub(crate) fn staged(results: Vec<FileResult>) -> StagedBatch {
    let sum = |of: fn(&FileOutcome) -> u64| results.iter().map(|result| of(&result.outcome)).sum();
    let (rows, rows_quarantined) = (sum(FileOutcome::rows), sum(FileOutcome::rows_quarantined));
    let file = |path: &str, rows: u64| match rows {
        0 => vec![],
        rows => vec![data_file(path, rows)],
    };
    let leaving = |leaves: fn(&FileResult) -> bool| {
        let ids: Vec<_> = results.iter().filter(|result| leaves(result)).map(|result| result.id).collect();
        if ids.is_empty() { StagedRemoval::Nothing } else { StagedRemoval::Versions(ids) }
    };
    let (removes, quarantine_removes) =
        (leaving(|result| result.outcome.removed().0 > 0), leaving(|result| result.outcome.removed().1 > 0));
    StagedBatch {
        files: file("part-1.parquet", rows),
        quarantine: file("part-2.parquet", rows_quarantined),
        results,
        rows,
        rows_quarantined,
        added: vec![],
        quarantine_added: vec![],
        removes,
        quarantine_removes,
    }
}

pub(crate) fn data_file(path: &str, rows: u64) -> StagedFile {
    StagedFile { path: path.into(), bytes: 99, rows, stats: "{\"numRecords\":7}".into(), partition: None }
}

/// A ledger with one import, and the calls on it in short form.
pub(crate) struct House {
    pub ledger: SqliteLedger,
    pub import: ImportName,
    minted: u128,
}

impl House {
    pub fn new() -> Self {
        Self::with(SqliteLedger::in_memory().unwrap())
    }

    pub fn at(dir: &Path) -> Self {
        Self::with(SqliteLedger::open(dir).unwrap())
    }

    fn with(ledger: SqliteLedger) -> Self {
        let house = Self { ledger, import: ImportName::new("events"), minted: 0 };
        wait(house.ledger.open_import(&house.import, BUCKET, OverwritePolicy::Ignore)).unwrap();
        house
    }

    pub fn page(&self, page: &[SelectedObject]) -> PageOutcome {
        self.page_at(page, 1_000)
    }

    pub fn page_at(&self, page: &[SelectedObject], now: i64) -> PageOutcome {
        wait(self.ledger.record_page(&self.import, page.to_vec(), at(now))).unwrap()
    }

    pub fn mint(&mut self, now: i64) -> (BatchUuid, BatchId) {
        // Ids differ between the lives of a ledger, too.
        self.minted += 1;
        let uuid = BatchUuid(Uuid::from_u128(self.minted ^ Uuid::new_v4().as_u128()));
        (uuid, BatchId::from_parts(now.unsigned_abs(), self.minted))
    }

    pub fn try_claim(&mut self, limit: ClaimLimit, now: i64) -> Result<ClaimAnswer, Failure> {
        let (uuid, id) = self.mint(now);
        wait(self.ledger.claim(&self.import, limit, uuid, id, at(now)))
    }

    pub fn claim(&mut self, limit: ClaimLimit, now: i64) -> ClaimAnswer {
        self.try_claim(limit, now).unwrap()
    }

    /// Claims everything that is claimable; there must be something.
    pub fn claim_all(&mut self, now: i64) -> ClaimedBatch {
        self.claim(ClaimLimit::Unlimited, now).batch.unwrap()
    }

    pub fn try_revise(&mut self, revision: &Revision, now: i64) -> Result<Option<RevisionBatch>, Failure> {
        let (uuid, id) = self.mint(now);
        wait(self.ledger.claim_revision(&self.import, revision, uuid, id, at(now)))
    }

    pub fn revise(&mut self, revision: &Revision, now: i64) -> RevisionBatch {
        self.try_revise(revision, now).unwrap().unwrap()
    }

    /// Stages these outcomes, by key, and finalises.
    pub fn commit_revision(&self, batch: &RevisionBatch, outcome: impl Fn(&str) -> Option<FileOutcome>, now: i64) {
        let batch = claimed(batch);
        self.commit(&batch, outcome, now);
    }

    /// What is known of an object.
    pub fn known(&self, key: &str, etag: &str) -> KnownVersion {
        let (name, key, etag) = (self.import.to_string(), key.to_owned(), etag.to_owned());
        let read =
            move |db: &rusqlite::Connection| crate::known::versions_of(db, &crate::import::reload(db, &name)?, &key);
        let versions = wait(self.ledger.read("look", read)).unwrap();
        versions.into_iter().find(|version| version.etag == etag).unwrap()
    }

    /// Rows in the table, in quarantine, and removed.
    pub fn rows(&self, key: &str, etag: &str) -> [u64; 3] {
        let account = self.known(key, etag).account;
        assert!(account.adds_up(), "{account:?}");
        [account.in_table, account.in_quarantine, account.removed]
    }

    pub fn open_import(&self, policy: OverwritePolicy) -> ImportRecord {
        wait(self.ledger.open_import(&self.import, BUCKET, policy)).unwrap()
    }

    pub fn retry(&self, retry: &Retry) -> u64 {
        wait(self.ledger.retry(&self.import, retry, at(9_000))).unwrap()
    }

    pub fn try_stage(&self, batch: &ClaimedBatch, staged: &StagedBatch) -> Result<(), Failure> {
        wait(self.ledger.stage(&self.import, batch.seq, batch.uuid, staged))
    }

    pub fn commit(&self, batch: &ClaimedBatch, outcome: impl Fn(&str) -> Option<FileOutcome>, now: i64) {
        self.try_stage(batch, &staged(results(batch, outcome))).unwrap();
        wait(self.ledger.finalise(&self.import, batch.seq, 40, at(now))).unwrap();
    }

    pub fn settle(&self, batch: &ClaimedBatch, outcome: impl Fn(&str) -> Option<FileOutcome>, now: i64) {
        let results = results(batch, outcome);
        wait(self.ledger.settle(&self.import, batch.seq, &results, at(now))).unwrap();
    }

    pub fn abandon(&self, batch: &ClaimedBatch) {
        wait(self.ledger.abandon(&self.import, batch.seq)).unwrap();
    }

    pub fn record(&self) -> ImportRecord {
        wait(self.ledger.open_import(&self.import, BUCKET, OverwritePolicy::Ignore)).unwrap()
    }

    pub fn finish_scan(&self, now: i64) -> Option<Reread> {
        wait(self.ledger.finish_scan(&self.import, at(now))).unwrap()
    }

    pub fn counts(&self, now: i64) -> ImportCounts {
        wait(self.ledger.counts(&self.import, at(now))).unwrap()
    }

    /// `key etag` to `state` or `state:reason`, as stored.
    pub fn states(&self) -> BTreeMap<String, String> {
        let read = |db: &rusqlite::Connection| {
            let mut statement = db.prepare(
                "SELECT key || ' ' || etag, state || COALESCE(':' || reason, '') FROM object ORDER BY key, etag",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        wait(self.ledger.read("look", read)).unwrap()
    }

    /// One number from the tables.
    pub fn number(&self, sql: &'static str) -> i64 {
        let read = move |db: &rusqlite::Connection| Ok(db.query_row(sql, [], |row| row.get(0))?);
        wait(self.ledger.read("look", read)).unwrap()
    }

    pub fn state(&self, object: &str) -> String {
        self.states()[object].clone()
    }
}

/// As an ingest batch of the same files.
pub(crate) fn claimed(batch: &RevisionBatch) -> ClaimedBatch {
    let files = batch.files.iter().map(|(file, _)| file.clone()).collect();
    ClaimedBatch { seq: batch.seq, uuid: batch.uuid, id: batch.id.clone(), files, supersedes: vec![] }
}

pub(crate) fn keyed(house: &House, versions: &[(&str, &str)]) -> Vec<KeyedVersion> {
    let uuid = house.record().uuid;
    let one = |(key, etag): &(&str, &str)| KeyedVersion {
        key: (*key).to_owned(),
        id: ObjectVersionId::of(uuid, BUCKET, key, etag, 10),
    };
    versions.iter().map(one).collect()
}

pub(crate) fn keys(batch: &ClaimedBatch) -> Vec<&str> {
    batch.files.iter().map(|file| &*file.key).collect()
}
