//! Files that kill, or hang, whoever decodes them; and files that are innocent, although the program died over them.

use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Addr, System};
use async_trait::async_trait;
use bytes::Bytes;
use connector_actors::credit::CreditPool;
use connector_actors::decoder::probe::{Probe, ProbeJob, Verdict};
use connector_actors::messages::control::{Drain, Sync, SyncSummary};
use connector_actors::supervisor::Supervisor;
use connector_actors::world::{ImportPorts, ImportSeat, World};
use connector_core::clock::Clock;
use connector_core::credit::{DEFAULT_BUDGET, Seat};
use connector_core::error::Failure;
use connector_core::ids::ImportName;
use connector_core::object::ObjectRef;
use connector_core::ports::{ImportCounts, Ledger, ListPage, ObjectSource, PortResult};
use connector_core::spec::{Format, Schedule};
use connector_decode::{Pool, StuckRules};
use connector_ledger::SqliteLedger;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::doubles::{Bench, DEADLINE, csv, rows_of, until};

/// Every file survives: for tests that are about something else.
pub struct Survives;

#[async_trait]
impl Probe for Survives {
    async fn vet(&self, _: &ProbeJob, _: Arc<File>) -> Result<Verdict, Failure> {
        Ok(Verdict::Survived)
    }
}

/// Processes that die over files of one size, and notes what they were started for.
#[derive(Default)]
struct Processes {
    deadly_size: AtomicU64,
    /// The next ones never end; they tell that they have begun.
    hangs: Mutex<bool>,
    begun: Notify,
    jobs: Mutex<Vec<ProbeJob>>,
}

impl Processes {
    fn started(&self) -> usize {
        self.jobs.lock().expect("lock").len()
    }
}

#[async_trait]
impl Probe for Processes {
    async fn vet(&self, job: &ProbeJob, file: Arc<File>) -> Result<Verdict, Failure> {
        assert_eq!(file.metadata().expect("a file").size(), job.size, "the whole object is there");
        self.jobs.lock().expect("lock").push(job.clone());
        if *self.hangs.lock().expect("lock") {
            self.begun.notify_one();
            std::future::pending::<()>().await;
        }
        match self.deadly_size.load(Ordering::SeqCst) == job.size {
            true => Ok(Verdict::Died { how: "it was killed by SIGABRT".to_owned() }),
            false => Ok(Verdict::Survived),
        }
    }
}

/// A bucket whose reads of one key never end.
struct Stalling {
    inner: Arc<dyn ObjectSource>,
    /// And how many reads of it go through before.
    key: Mutex<Option<(String, u32)>>,
    begun: Notify,
}

#[async_trait]
impl ObjectSource for Stalling {
    async fn list_page(&self, prefix: &str, continuation: Option<&str>) -> PortResult<ListPage> {
        self.inner.list_page(prefix, continuation).await
    }

    async fn read_range(&self, object: &ObjectRef, range: Range<u64>) -> PortResult<Bytes> {
        let stalls = match self.key.lock().expect("lock").as_mut() {
            Some((key, 0)) => **key == *object.key,
            Some((key, passes)) => {
                *passes -= u32::from(**key == *object.key);
                false
            }
            None => false,
        };
        if stalls {
            self.begun.notify_one();
            std::future::pending::<()>().await;
        }
        self.inner.read_range(object, range).await
    }
}

/// A clock that is moved by hand.
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// What outlives a program: its ledger's folder, bucket and tables, and what starts processes for it.
struct Home {
    folder: tempfile::TempDir,
    bench: Bench,
    source: Arc<Stalling>,
    processes: Arc<Processes>,
    clock: Arc<HandClock>,
    rules: StuckRules,
}

/// A program that runs.
struct Life {
    supervisor: Addr<Supervisor>,
    ledger: Arc<SqliteLedger>,
}

const NAME: &str = "orders";

impl Home {
    fn new() -> Self {
        let bench = Bench::new(NAME);
        let source = Arc::new(Stalling {
            inner: Arc::clone(&bench.bucket) as Arc<dyn ObjectSource>,
            key: Mutex::default(),
            begun: Notify::new(),
        });
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            bench,
            source,
            processes: Arc::default(),
            clock: Arc::new(HandClock(AtomicI64::new(1_800_000_000))),
            rules: StuckRules::default(),
        }
    }

    /// All reads of this key but the first so many never end.
    fn stall(&self, key: &str, behind: u32) {
        *self.source.key.lock().expect("lock") = Some((key.to_owned(), behind));
    }

    fn stall_nothing(&self) {
        *self.source.key.lock().expect("lock") = None;
    }

    fn seconds_pass(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    async fn live(&self) -> Life {
        // The program before this one may still be letting go of the folder.
        let ledger = until(async || SqliteLedger::open(self.folder.path()).ok()).await;
        let ledger = Arc::new(ledger);
        let supervisor = self.start(Arc::clone(&ledger) as Arc<dyn Ledger>, self.folder.path());
        Life { supervisor, ledger }
    }

    fn start(&self, ledger: Arc<dyn Ledger>, spool: &Path) -> Addr<Supervisor> {
        let world = World {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            io: tokio::runtime::Handle::current(),
            pool: Pool::with_rules(2, self.rules.clone()),
            credit: CreditPool::new(DEFAULT_BUDGET, 1),
            spool: spool.into(),
            probe: Arc::clone(&self.processes) as Arc<dyn Probe>,
        };
        let ports = ImportPorts {
            source: Arc::clone(&self.source) as Arc<dyn ObjectSource>,
            ledger,
            table: Arc::new(self.bench.table.clone()),
            quarantine: Arc::new(self.bench.quarantine.clone()),
        };
        let spec = Arc::new(self.bench.spec(Schedule::OnDemand));
        let seat = ImportSeat { spec, seat: Seat(0), ports: Arc::new(move || Ok(ports.clone())) };
        Supervisor::new(world, vec![seat], 1, 7).start()
    }

    /// A program that is ended in the middle of whatever `begun` tells of: its batch stays as it is.
    async fn die_when(&self, begun: &Notify) {
        let life = self.live().await;
        let sync = life.supervisor.send(Sync { import: ImportName::new(NAME) });
        let waiting = async {
            tokio::time::timeout(DEADLINE, begun.notified()).await.expect("it gets there");
            life.supervisor.send(Drain { deadline: Duration::ZERO }).await.expect("ends");
        };
        let (sync, ()) = futures::join!(sync, waiting);
        assert!(!sync.is_ok_and(|answer| answer.is_ok()), "it was ended in the middle");
    }
}

impl Life {
    async fn sync(&self) -> SyncSummary {
        let sync = self.supervisor.send(Sync { import: ImportName::new(NAME) });
        let answer = tokio::time::timeout(DEADLINE, sync).await.expect("ends").expect("the supervisor lives");
        answer.expect("syncs")
    }

    async fn counts(&self) -> ImportCounts {
        self.ledger.counts(&ImportName::new(NAME), Timestamp::UNIX_EPOCH).await.expect("counts")
    }
}

fn files(counts: &ImportCounts, state: &str) -> u64 {
    counts.files.get(state).copied().unwrap_or(0)
}

#[test]
fn case_15_of_five_files_the_one_that_kills_its_process_three_times_is_set_aside_and_the_others_land() {
    System::new().block_on(async {
        let home = Home::new();
        (1..=5).for_each(|n| home.bench.bucket.put(&format!("{n}.csv"), csv(n * 10), n as i64));
        let deadly = csv(30).len() as u64;
        home.processes.deadly_size.store(deadly, Ordering::SeqCst);
        home.stall("3.csv", 0);
        home.die_when(&home.source.begun).await;
        home.stall_nothing();
        assert!(home.bench.table.rows().is_empty());

        let life = home.live().await;
        let first = life.sync().await;
        assert_eq!((first.files_ingested, first.files_deferred, first.files_failed), (4, 1, 0));
        let mates: Vec<_> = [1, 2, 4, 5].iter().flat_map(|n| rows_of(&format!("{n}.csv"), n * 10)).collect();
        assert_eq!(home.bench.table.rows(), mates);
        home.seconds_pass(1);
        assert_eq!(life.sync().await.files_deferred, 0, "it is not tried again at once");
        home.seconds_pass(5);
        assert_eq!(life.sync().await.files_deferred, 1);
        home.seconds_pass(5);
        assert_eq!(life.sync().await.files_failed, 1);
        home.seconds_pass(86_400);
        let last = life.sync().await;
        assert_eq!((last.batches, home.bench.table.rows()), (0, mates), "it is not tried again");

        let deaths = home.processes.jobs.lock().expect("lock").iter().filter(|job| job.size == deadly).count();
        let failure = life.counts().await.recent_failures.pop().expect("a failure");
        assert_eq!((deaths, failure.key.as_str(), failure.code.as_str()), (3, "3.csv", "poison"));
        assert!(failure.message.contains("SIGABRT"), "{}", failure.message);
    });
}

#[test]
fn case_15_a_suspect_that_passes_is_vetted_once_and_ingested_once() {
    System::new().block_on(async {
        let home = Home::new();
        home.bench.bucket.put("1.csv", csv(10), 1);
        home.stall("1.csv", 0);
        home.die_when(&home.source.begun).await;
        home.stall_nothing();
        let life = home.live().await;
        // Columns are inferred, then it is inspected, then decoded: one process for all of it.
        assert_eq!((life.sync().await.files_ingested, home.processes.started()), (1, 1));
        let job = home.processes.jobs.lock().expect("lock")[0].clone();
        assert_eq!((job.size, job.format, job.schema), (csv(10).len() as u64, Format::Csv, None));
        assert_eq!(home.bench.table.rows(), rows_of("1.csv", 10));
        // Nothing of the suspicion is left for the next one.
        home.bench.bucket.put("2.csv", csv(5), 2);
        assert_eq!((life.sync().await.files_ingested, home.processes.started()), (1, 1));
    });
}

#[test]
fn case_15_a_hundred_lives_that_end_over_a_good_file_never_blame_it() {
    System::new().block_on(async {
        let home = Home::new();
        home.bench.bucket.put("1.csv", csv(10), 1);
        for life in 0..100 {
            // By turns in the middle of fetching it, of a process that vets it, and of reading it once that was well.
            // (The first one has no reason to vet it.)
            *home.processes.hangs.lock().expect("lock") = life > 0 && life % 3 == 1;
            home.stall("1.csv", if life % 3 == 0 { 0 } else { 1 });
            let begun = if life % 3 == 1 { &home.processes.begun } else { &home.source.begun };
            home.die_when(begun).await;
        }
        assert_eq!(home.processes.started(), 66);
        home.stall_nothing();
        *home.processes.hangs.lock().expect("lock") = false;
        let life = home.live().await;
        assert_eq!(life.sync().await.files_ingested, 1);
        assert_eq!(home.bench.table.rows(), rows_of("1.csv", 10));
        let counts = life.counts().await;
        assert_eq!((files(&counts, "failed"), files(&counts, "ingested")), (0, 1));
    });
}

#[test]
fn case_16_a_file_that_hangs_here_leaves_its_batch_and_is_set_aside_once_it_has_hung_three_times_more() {
    System::new().block_on(async {
        let mut home = Home::new();
        let then: Arc<dyn Fn() + Send + std::marker::Sync> = Arc::new(|| ());
        home.rules = StuckRules { limit: Duration::from_millis(16), most: 1_000, then };
        // To decode it takes far longer than the limit, which a few rows are far from.
        let slow = "1.5,2024-02-29 12:00:00,0.25,1e3\n".repeat(220_000);
        home.bench.bucket.put("0.csv", csv(3), 0);
        home.bench.bucket.put("1.csv", format!("a,b,c,d\n{slow}"), 1);
        home.bench.bucket.put("2.csv", csv(4), 2);
        let life = home.live().await;
        let mut codes = HashSet::new();
        until(async || {
            let summary = life.sync().await;
            codes.extend((summary.files_deferred > 0).then_some("deferred"));
            home.seconds_pass(120);
            (files(&life.counts().await, "failed") == 1).then_some(())
        })
        .await;
        let failure = life.counts().await.recent_failures.pop().expect("a failure");
        assert_eq!((failure.key.as_str(), failure.code.as_str()), ("1.csv", "poison"));
        assert!(failure.message.contains("did not come to an end"), "{}", failure.message);
        assert!(codes.contains("deferred"));
        // On a busy machine it may hang once more before a process has been asked about it.
        assert!((2..=3).contains(&home.processes.started()), "{}", home.processes.started());
        // On a busy machine a mate may have been given up, too; then it comes later, and once.
        until(async || {
            life.sync().await;
            home.seconds_pass(120);
            (files(&life.counts().await, "ingested") == 2).then_some(())
        })
        .await;
        assert_eq!(home.bench.table.rows(), [rows_of("0.csv", 3), rows_of("2.csv", 4)].concat());
    });
}
