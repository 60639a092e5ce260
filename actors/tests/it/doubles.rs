//! A bucket and a table in memory that record what is asked of them, and a harness around one supervisor.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Actor, Addr};
use async_trait::async_trait;
use bytes::Bytes;
use connector_actors::credit::CreditPool;
use connector_actors::messages::control::{Observed, QueryStates, Sync, SyncSummary};
use connector_actors::supervisor::Supervisor;
use connector_actors::world::{ImportPorts, ImportSeat, World};
use connector_core::clock::{Clock, SystemClock};
use connector_core::credit::{DEFAULT_BUDGET, Seat};
use connector_core::csv::CsvSettings;
use connector_core::error::Failure;
use connector_core::evolve::EvolutionRules;
use connector_core::guard::GuardLimits;
use connector_core::ids::ImportName;
use connector_core::object::{ListedObject, ObjectRef};
use connector_core::ports::{Ledger, ListPage, MaintenanceRules, ObjectSource, PortResult};
use connector_core::spec::{Access, ConnectionSpec, ImportSpec, OverwritePolicy, Schedule};
use connector_core::status::ImportState;
use connector_core::uri::BucketUri;
use connector_decode::Pool;
use connector_ledger::SqliteLedger;
use jiff::Timestamp;

use crate::poison::Survives;
use crate::table::MemoryTable;
pub use crate::table::{CommitFault, RowId};

/// How long a test waits for something that should happen in milliseconds.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The code of a read fault that lets its read through: a place in the queue before the next fault.
pub const PASS: &str = "pass";

/// A bucket in memory.
#[derive(Default)]
pub struct MemoryBucket {
    objects: Mutex<BTreeMap<String, (Bytes, Timestamp)>>,
    /// Answers given instead of the next listings.
    pub list_faults: Mutex<VecDeque<Failure>>,
    /// Answers given instead of reads of a key, while there are any.
    pub read_faults: Mutex<BTreeMap<String, VecDeque<Failure>>>,
    pub lists: AtomicU64,
    pub reads: AtomicU64,
}

impl MemoryBucket {
    pub fn put(&self, key: &str, body: impl Into<Bytes>, second: i64) {
        let time = Timestamp::from_second(1_700_000_000 + second).expect("in range");
        self.objects.lock().expect("lock").insert(key.to_owned(), (body.into(), time));
    }

    fn etag(body: &Bytes) -> String {
        // Different bodies of one key differ in length or first bytes in these tests.
        format!("{:x}-{:x}", body.len(), body.iter().fold(7u64, |hash, byte| hash.wrapping_mul(31) + u64::from(*byte)))
    }
}

#[async_trait]
impl ObjectSource for MemoryBucket {
    async fn list_page(&self, prefix: &str, continuation: Option<&str>) -> PortResult<ListPage> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        if let Some(failure) = self.list_faults.lock().expect("lock").pop_front() {
            return Err(failure);
        }
        let objects = self.objects.lock().expect("lock");
        let mut found: Vec<ListedObject> = objects
            .range(continuation.unwrap_or_default().to_owned()..)
            .filter(|(key, _)| key.starts_with(prefix))
            .take(8)
            .map(|(key, (body, time))| ListedObject {
                key: key.clone(),
                etag: Self::etag(body),
                size: body.len() as u64,
                last_modified: *time,
                storage_class: None,
            })
            .collect();
        let next = (found.len() == 8).then(|| found.pop().expect("eight").key);
        Ok(ListPage { objects: found, next })
    }

    async fn read_range(&self, object: &ObjectRef, range: Range<u64>) -> PortResult<Bytes> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let faults = self.read_faults.lock().expect("lock").get_mut(&*object.key).and_then(VecDeque::pop_front);
        if let Some(failure) = faults.filter(|failure| failure.code != PASS) {
            return Err(failure);
        }
        let objects = self.objects.lock().expect("lock");
        let Some((body, _)) = objects.get(&*object.key) else {
            return Err(Failure::data("object_gone", "gone"));
        };
        if Self::etag(body) != *object.etag {
            return Err(Failure::data("object_changed", "changed"));
        }
        Ok(body.slice(range.start as usize..range.end as usize))
    }
}

/// One import's outside world, kept over restarts of the supervisor.
pub struct Bench {
    pub name: &'static str,
    pub bucket: Arc<MemoryBucket>,
    pub table: MemoryTable,
    pub quarantine: MemoryTable,
}

impl Bench {
    pub fn new(name: &'static str) -> Self {
        Self { name, bucket: Arc::default(), table: MemoryTable::default(), quarantine: MemoryTable::default() }
    }

    /// An import of everything in the bucket, in `@auto` with a tick short enough to wait for.
    pub fn spec(&self, schedule: Schedule) -> ImportSpec {
        ImportSpec {
            name: ImportName::new(self.name),
            connection: ConnectionSpec {
                name: "test".to_owned(),
                region: "us-east-1".to_owned(),
                access: Access::Anonymous,
                endpoint: None,
                sts_endpoint: None,
                path_style: true,
                requester_pays: false,
            },
            uri: BucketUri::parse("s3://bucket").expect("parses"),
            exclude: Vec::new(),
            schedule,
            format: None,
            from_timestamp: None,
            max_files: 5,
            columns: None,
            partition: None,
            ttl: None,
            evolution: EvolutionRules::default(),
            csv: CsvSettings::default(),
            guard: GuardLimits::default(),
            overwrite: OverwritePolicy::Ignore,
            maintenance: MaintenanceRules::default(),
            tick: Duration::from_millis(100),
        }
    }

    pub fn seat(&self, seat: usize, spec: ImportSpec, ledger: &Arc<SqliteLedger>) -> ImportSeat {
        let ports = ImportPorts {
            source: Arc::clone(&self.bucket) as Arc<dyn ObjectSource>,
            ledger: Arc::clone(ledger) as Arc<dyn Ledger>,
            table: Arc::new(self.table.clone()),
            quarantine: Arc::new(self.quarantine.clone()),
        };
        ImportSeat { spec: Arc::new(spec), seat: Seat(seat), ports: Arc::new(move || Ok(ports.clone())) }
    }
}

/// A process: supervisor, pool and budget.
pub struct Process {
    pub supervisor: Addr<Supervisor>,
    pub world: World,
    _spool: tempfile::TempDir,
}

impl Process {
    pub fn start(seats: Vec<ImportSeat>) -> Self {
        Self::start_with_budget(seats, DEFAULT_BUDGET)
    }

    pub fn start_with_budget(seats: Vec<ImportSeat>, budget: u64) -> Self {
        Self::start_in_world(seats, budget, Arc::new(SystemClock))
    }

    pub fn start_at(seats: Vec<ImportSeat>, clock: Arc<dyn Clock>) -> Self {
        Self::start_in_world(seats, DEFAULT_BUDGET, clock)
    }

    fn start_in_world(seats: Vec<ImportSeat>, budget: u64, clock: Arc<dyn Clock>) -> Self {
        let spool = tempfile::tempdir().expect("temp dir");
        let world = World {
            clock,
            io: tokio::runtime::Handle::current(),
            pool: Pool::new(2),
            credit: CreditPool::new(budget, seats.len()),
            spool: spool.path().into(),
            probe: Arc::new(Survives),
        };
        let supervisor = Supervisor::new(world.clone(), seats, 2, 7).start();
        Self { supervisor, world, _spool: spool }
    }

    pub async fn sync(&self, import: &str) -> Result<SyncSummary, Failure> {
        let sync = self.supervisor.send(Sync { import: ImportName::new(import) });
        tokio::time::timeout(DEADLINE, sync).await.expect("the sync ends").expect("the supervisor lives")
    }

    pub async fn observe(&self, import: &str) -> Observed {
        let all = self.supervisor.send(QueryStates).await.expect("the supervisor lives");
        all.into_iter().find(|observed| observed.import.as_str() == import).expect("known import")
    }

    pub async fn wait_for_state(&self, import: &str, state: ImportState) -> Observed {
        until(async || Some(self.observe(import).await).filter(|observed| observed.state == state)).await
    }
}

/// Polls until there is something, for at most [`DEADLINE`].
pub async fn until<T>(mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A CSV file of `rows` rows.
pub fn csv(rows: usize) -> String {
    (0..rows).fold("id,name\n".to_owned(), |text, row| text + &format!("{row},name-{row}\n"))
}

/// The identities of all rows of a file.
pub fn rows_of(key: &str, rows: u64) -> Vec<RowId> {
    (0..rows).map(|row| (key.to_owned(), row)).collect()
}
