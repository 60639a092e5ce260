//! Reading marks: what the ledger knows before the first byte of a file is read, and what that costs; and starvation and
//! panics, which cost no file anything.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actix::System;
use async_trait::async_trait;
use bytes::Bytes;
use connector_actors::world::{ImportPorts, ImportSeat};
use connector_core::claim::ClaimLimit;
use connector_core::credit::Seat;
use connector_core::error::Failure;
use connector_core::history::{HistoryPage, HistoryQuery, SchemaVersion};
use connector_core::ids::{BatchId, BatchSeq, BatchUuid, ImportName, ObjectVersionId};
use connector_core::object::ObjectRef;
use connector_core::ports::{
    ClaimAnswer, FileResult, ImportCounts, ImportRecord, Ledger, ListPage, ObjectSource, PageOutcome, PortResult,
    ReferenceFile, Reread, Retry, RevisionBatch, SelectedObject, StagedBatch,
};
use connector_core::revision::Revision;
use connector_core::schema::TableSchema;
use connector_core::spec::{OverwritePolicy, Schedule};
use connector_ledger::SqliteLedger;
use jiff::Timestamp;

use crate::doubles::{Bench, Process, csv, rows_of, until};

/// A ledger that notes which files are marked, and a bucket that refuses to give anything of a file that is not.
struct Marking {
    ledger: Arc<SqliteLedger>,
    source: Arc<dyn ObjectSource>,
    marked: Mutex<HashSet<ObjectVersionId>>,
    /// Files marked and unmarked by each call, and how long it took.
    calls: Mutex<Vec<(usize, usize, Duration)>>,
    under_way: AtomicBool,
}

#[async_trait]
impl ObjectSource for Marking {
    async fn list_page(&self, prefix: &str, continuation: Option<&str>) -> PortResult<ListPage> {
        self.source.list_page(prefix, continuation).await
    }

    async fn read_range(&self, object: &ObjectRef, range: Range<u64>) -> PortResult<Bytes> {
        let marked = self.marked.lock().expect("lock").contains(&object.id);
        assert!(marked, "{} is read, and its mark is not durable", object.key);
        self.source.read_range(object, range).await
    }
}

#[async_trait]
impl Ledger for Marking {
    async fn mark_reading(
        &self,
        import: &ImportName,
        started: &[ObjectVersionId],
        finished: &[ObjectVersionId],
    ) -> PortResult<()> {
        assert!(!self.under_way.swap(true, Ordering::SeqCst), "two writes at a time");
        let begun = Instant::now();
        self.ledger.mark_reading(import, started, finished).await?;
        self.calls.lock().expect("lock").push((started.len(), finished.len(), begun.elapsed()));
        let mut marked = self.marked.lock().expect("lock");
        finished.iter().for_each(|file| assert!(marked.remove(file), "it was not marked"));
        marked.extend(started);
        self.under_way.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn open_import(&self, import: &ImportName, bucket: &str, on: OverwritePolicy) -> PortResult<ImportRecord> {
        self.ledger.open_import(import, bucket, on).await
    }

    async fn table_created(&self, import: &ImportName, schema: &TableSchema, now: Timestamp) -> PortResult<()> {
        self.ledger.table_created(import, schema, now).await
    }

    async fn decide_schema(
        &self,
        import: &ImportName,
        schema: &TableSchema,
        reference: Option<&ReferenceFile>,
    ) -> PortResult<()> {
        self.ledger.decide_schema(import, schema, reference).await
    }

    async fn record_page(
        &self,
        import: &ImportName,
        page: Vec<SelectedObject>,
        now: Timestamp,
    ) -> PortResult<PageOutcome> {
        self.ledger.record_page(import, page, now).await
    }

    async fn finish_scan(&self, import: &ImportName, now: Timestamp) -> PortResult<Option<Reread>> {
        self.ledger.finish_scan(import, now).await
    }

    async fn claim(
        &self,
        import: &ImportName,
        limit: ClaimLimit,
        uuid: BatchUuid,
        id: BatchId,
        now: Timestamp,
    ) -> PortResult<ClaimAnswer> {
        self.ledger.claim(import, limit, uuid, id, now).await
    }

    async fn claim_revision(
        &self,
        import: &ImportName,
        revision: &Revision,
        uuid: BatchUuid,
        id: BatchId,
        now: Timestamp,
    ) -> PortResult<Option<RevisionBatch>> {
        self.ledger.claim_revision(import, revision, uuid, id, now).await
    }

    async fn retry(&self, import: &ImportName, retry: &Retry, now: Timestamp) -> PortResult<u64> {
        self.ledger.retry(import, retry, now).await
    }

    async fn stage(&self, import: &ImportName, seq: BatchSeq, uuid: BatchUuid, staged: &StagedBatch) -> PortResult<()> {
        self.ledger.stage(import, seq, uuid, staged).await
    }

    async fn finalise(&self, import: &ImportName, seq: BatchSeq, version: u64, now: Timestamp) -> PortResult<()> {
        self.ledger.finalise(import, seq, version, now).await
    }

    async fn abandon(&self, import: &ImportName, seq: BatchSeq) -> PortResult<()> {
        self.ledger.abandon(import, seq).await
    }

    async fn settle(
        &self,
        import: &ImportName,
        seq: BatchSeq,
        results: &[FileResult],
        now: Timestamp,
    ) -> PortResult<()> {
        self.ledger.settle(import, seq, results, now).await
    }

    async fn set_paused(&self, import: &ImportName, paused: bool) -> PortResult<()> {
        self.ledger.set_paused(import, paused).await
    }

    async fn trip_guard(&self, import: &ImportName, seq: BatchSeq, reason: &str) -> PortResult<()> {
        self.ledger.trip_guard(import, seq, reason).await
    }

    async fn history(&self, import: &ImportName, query: HistoryQuery) -> PortResult<HistoryPage> {
        self.ledger.history(import, query).await
    }

    async fn schema_history(&self, import: &ImportName) -> PortResult<Vec<SchemaVersion>> {
        self.ledger.schema_history(import).await
    }

    async fn counts(&self, import: &ImportName, now: Timestamp) -> PortResult<ImportCounts> {
        self.ledger.counts(import, now).await
    }
}

/// An import whose marks are watched, with its ledger in a folder, as programs have it.
fn watched(bench: &Bench, folder: &tempfile::TempDir) -> (Arc<Marking>, ImportSeat) {
    let marking = Arc::new(Marking {
        ledger: Arc::new(SqliteLedger::open(folder.path()).expect("opens")),
        source: Arc::clone(&bench.bucket) as Arc<dyn ObjectSource>,
        marked: Mutex::default(),
        calls: Mutex::default(),
        under_way: AtomicBool::new(false),
    });
    let ports = ImportPorts {
        source: Arc::clone(&marking) as Arc<dyn ObjectSource>,
        ledger: Arc::clone(&marking) as Arc<dyn Ledger>,
        table: Arc::new(bench.table.clone()),
        quarantine: Arc::new(bench.quarantine.clone()),
    };
    let spec = Arc::new(bench.spec(Schedule::OnDemand));
    (marking, ImportSeat { spec, seat: Seat(0), ports: Arc::new(move || Ok(ports.clone())) })
}

#[test]
fn case_15_a_thousand_files_are_marked_before_they_are_read_in_a_few_dozen_writes() {
    System::new().block_on(async {
        let (bench, folder) = (Bench::new("orders"), tempfile::tempdir().expect("a folder"));
        (0..1_000).for_each(|n| bench.bucket.put(&format!("{n:04}.csv"), csv(3), n));
        let (marking, seat) = watched(&bench, &folder);
        let process = Process::start(vec![seat]);
        let begun = Instant::now();
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 3_000);
        let calls = marking.calls.lock().expect("lock").clone();
        let spent: Duration = calls.iter().map(|(_, _, spent)| *spent).sum();
        println!("{} writes took {spent:?} of {:?}", calls.len(), begun.elapsed());
        assert!(calls.iter().all(|(started, _, _)| (1..=64).contains(started)), "{calls:?}");
        // Once for inspection, once for decoding, and the file whose columns were inferred.
        assert!(calls.len() <= 2 * 1_000_usize.div_ceil(64) + 2, "{} writes", calls.len());
        assert!(marking.marked.lock().expect("lock").len() <= 2 * 64, "no more are suspects at any time");
    });
}

#[test]
fn a_batch_of_five_files_takes_one_write() {
    System::new().block_on(async {
        let (bench, folder) = (Bench::new("orders"), tempfile::tempdir().expect("a folder"));
        bench.bucket.put("0.csv", csv(1), 0);
        let (marking, seat) = watched(&bench, &folder);
        let process = Process::start(vec![seat]);
        process.sync("orders").await.expect("syncs");
        marking.calls.lock().expect("lock").clear();
        (1..=5).for_each(|n| bench.bucket.put(&format!("{n}.csv"), csv(2), n));
        assert_eq!(process.sync("orders").await.expect("syncs").rows, 10);
        let calls: Vec<usize> = marking.calls.lock().expect("lock").iter().map(|(started, _, _)| *started).collect();
        assert_eq!(calls, [5]);
    });
}

/// A bucket that panics on its first read of a key.
struct Panicking {
    source: Arc<dyn ObjectSource>,
    key: Mutex<Option<&'static str>>,
}

#[async_trait]
impl ObjectSource for Panicking {
    async fn list_page(&self, prefix: &str, continuation: Option<&str>) -> PortResult<ListPage> {
        self.source.list_page(prefix, continuation).await
    }

    async fn read_range(&self, object: &ObjectRef, range: Range<u64>) -> PortResult<Bytes> {
        let panics = {
            let mut key = self.key.lock().expect("lock");
            key.take_if(|key| **key == *object.key).is_some()
        };
        assert!(!panics, "a panic that the test wants");
        self.source.read_range(object, range).await
    }
}

#[test]
fn case_04_a_panic_in_a_worker_ends_its_generation_and_costs_neither_rows_nor_other_imports() {
    System::new().block_on(async {
        let (one, other, folder) = (Bench::new("one"), Bench::new("other"), tempfile::tempdir().expect("a folder"));
        let ledger = Arc::new(SqliteLedger::open(folder.path()).expect("opens"));
        (0..4).for_each(|n| one.bucket.put(&format!("{n}.csv"), csv(10), n));
        other.bucket.put("a.csv", csv(5), 1);
        let source = Arc::clone(&one.bucket) as Arc<dyn ObjectSource>;
        let panicking = Arc::new(Panicking { source, key: Mutex::new(Some("2.csv")) });
        let ports = ImportPorts {
            source: panicking as Arc<dyn ObjectSource>,
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            table: Arc::new(one.table.clone()),
            quarantine: Arc::new(one.quarantine.clone()),
        };
        let spec = Arc::new(one.spec(Schedule::Auto));
        let seat = ImportSeat { spec, seat: Seat(0), ports: Arc::new(move || Ok(ports.clone())) };
        let process = Process::start(vec![seat, other.seat(1, other.spec(Schedule::Auto), &ledger)]);
        until(async || (one.table.rows().len() == 40 && other.table.rows().len() == 5).then_some(())).await;
        let expected: Vec<_> = (0..4).flat_map(|n| rows_of(&format!("{n}.csv"), 10)).collect();
        assert_eq!(one.table.rows(), expected);
        assert_eq!(process.observe("one").await.generation.0, 2, "it was restarted once");
        assert_eq!(process.observe("other").await.generation.0, 1);
        let query = HistoryQuery { limit: 10, before: None, files: false, outcome: None };
        let history = ledger.history(&ImportName::new("one"), query).await.expect("history");
        let states: Vec<&str> = history.batches.iter().map(|batch| batch.state.as_str()).collect();
        assert_eq!(states, ["committed", "abandoned"]);
    });
}

#[test]
fn case_17_five_files_at_the_head_that_always_fail_do_not_starve_the_others() {
    System::new().block_on(async {
        let (bench, folder) = (Bench::new("orders"), tempfile::tempdir().expect("a folder"));
        let ledger = Arc::new(SqliteLedger::open(folder.path()).expect("opens"));
        (0..5).for_each(|n| {
            let key = format!("bad-{n}.csv");
            bench.bucket.put(&key, csv(1), n);
            let refusals = (0..1_000).map(|_| Failure::transient("timeout", "no answer")).collect::<VecDeque<_>>();
            bench.bucket.read_faults.lock().expect("lock").insert(key, refusals);
        });
        (0..12).for_each(|n| bench.bucket.put(&format!("good-{n:02}.csv"), csv(2), 100 + n));
        let mut spec = bench.spec(Schedule::Auto);
        spec.tick = Duration::from_millis(200);
        let _process = Process::start(vec![bench.seat(0, spec, &ledger)]);
        until(async || (bench.table.rows().len() == 24).then_some(())).await;
        // They are due again, all at once, and new ones have come behind them.
        let now = connector_core::clock::Clock::now(&connector_core::clock::SystemClock);
        let name = ImportName::new("orders");
        ledger.retry(&name, &Retry::Failed, now).await.expect("retries");
        (12..20).for_each(|n| bench.bucket.put(&format!("good-{n:02}.csv"), csv(2), 100 + n));
        until(async || (bench.table.rows().len() == 40).then_some(())).await;
        let counts = ledger.counts(&name, now).await.expect("counts");
        assert_eq!(counts.files.get("ingested"), Some(&20));
        assert_eq!(counts.files.get("failed").copied().unwrap_or(0), 0, "nothing is wrong with them for good");
        let query = HistoryQuery { limit: 100, before: None, files: false, outcome: None };
        let history = ledger.history(&name, query).await.expect("history");
        assert!(history.batches.iter().all(|batch| batch.files <= 5), "five files a tick, bad ones among them");
        assert!(history.batches.len() > 5, "{} batches", history.batches.len());
    });
}
