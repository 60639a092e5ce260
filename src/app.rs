//! The composition root: configuration becomes ports, actors and listeners.

mod backup;
mod control;
pub mod fit;
pub mod live;
mod measure;
mod syncs;
pub mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use connector_actors::credit::CreditPool;
use connector_actors::messages::control::{Deployment, Drain, Observed, QueryStates, Sync, SyncSummary};
use connector_actors::supervisor::Supervisor;
use connector_actors::world::{ImportSeat, World};
use connector_core::clock::{Clock, SystemClock};
use connector_core::credit::Seat;
use connector_core::error::{ErrorClass, Failure};
use connector_core::events::{ImportRegistered, ProcessStarted};
use connector_core::ids::ImportName;
use connector_core::spec::{ConnectionSpec, ImportSpec};
use connector_core::status::ImportState;
use connector_core::telemetry::ImportLabels;
use connector_decode::Pool;
use connector_ledger::SqliteLedger;
use connector_s3::{S3Connection, S3Settings};
use tokio::runtime::Handle;

use self::backup::Backups;
use self::control::SupervisorControl;
use self::live::{Deployed, Live, Source};
use self::measure::Gauges;
use self::watch::Watch;
use crate::config::{Project, Settings};
use crate::destination::Destinations;
use crate::exporter::Exporter;
use crate::http::{ApiToken, HttpConfig, ListenOn, Servers};
use crate::operations::{Operation, Operator, Turns};

/// The name of the file from which external ids are derived.
pub const INSTANCE_SECRET: &str = "instance-secret";
/// Files too large for memory are decoded from here.
const SPOOL_FOLDER: &str = "spool";
/// How often it is looked whether the ledger is closed, and how long in between: 2 s in all.
const LOOKS_WHILE_CLOSING: u32 = 400;
const CLOSING_PACE: Duration = Duration::from_millis(5);
/// How often a sync is tried again when its import was restarted under it.
const SYNC_ATTEMPTS: u32 = 5;

/// Everything that runs.
pub struct App {
    /// As it was started.
    first: Arc<Deployed>,
    live: Arc<Live>,
    supervisor: Addr<Supervisor>,
    world: World,
    ledger: Arc<SqliteLedger>,
    servers: Option<Servers>,
    _gauges: Gauges,
    _backups: Option<Backups>,
    _watch: Option<Watch>,
}

/// What runs beside the imports.
pub enum Service {
    /// Nothing: the program does one thing and ends.
    None,
    /// The listeners, daily copies of the ledger, and, if there is a source, a look at the configuration folder.
    Daemon(Option<Source>),
}

impl App {
    /// Opens the data directory and starts every import. Needs an actix system around it; `io` is the runtime on which
    /// network and disk are awaited.
    ///
    /// # Errors
    /// If the data directory cannot be used, or an address cannot be listened on. What is wrong with one import shows
    /// in its state and stops nothing else.
    pub async fn start(project: Project, io: Handle, service: Service) -> Result<Self, Failure> {
        let settings = project.settings.clone();
        make_folder(&settings.data_dir)?;
        let ledger = Arc::new(SqliteLedger::open(&settings.data_dir)?);
        let spool = empty_spool(&settings.data_dir)?;
        let world = World {
            clock: Arc::new(SystemClock),
            io,
            pool: Pool::new(settings.limits.threads),
            credit: CreditPool::new(settings.limits.memory, project.imports.len()),
            spool: spool.as_path().into(),
            probe: Arc::new(crate::probe::ChildProbe::new()),
        };
        // Without listeners nobody reads metrics, and a process has one recorder at most.
        let exporter = if matches!(service, Service::Daemon(_)) { Some(Arc::new(Exporter::install()?)) } else { None };
        ProcessStarted { version: env!("CARGO_PKG_VERSION"), imports: project.imports.len() }.emit();

        let deployed = Deployed::new(project, &ledger, &world, &[]).await?;
        let seats = seats(&deployed);
        let supervisor = Supervisor::new(world.clone(), seats, settings.limits.threads, fastrand::u64(..)).start();
        let source = match service {
            Service::Daemon(source) => source,
            Service::None => None,
        };
        let live = Live::new(source, deployed, Arc::clone(&ledger), supervisor.clone(), world.clone()).await?;
        let live = Arc::new(live);
        let gauges = Gauges::start(Arc::clone(&live), Arc::clone(&ledger), world.clone());
        let listens = exporter.is_some();
        // An address that is taken is told before anything is claimed: the supervisor waits for its imports' ledger.
        let servers = match exporter {
            Some(exporter) => Some(listen(&settings, exporter, &live, &supervisor, &ledger, &world)?),
            None => None,
        };
        // Who only passes by makes no copies.
        let backups = listens
            .then(|| Backups::start(&settings.data_dir, Arc::clone(&ledger), Arc::clone(&world.clock), &world.io));
        let watch = live.source().map(|source| Watch::start(Arc::clone(&live), source.folder.clone(), &world.io));
        let first = live.deployed();
        Ok(Self { first, live, supervisor, world, ledger, servers, _gauges: gauges, _backups: backups, _watch: watch })
    }

    /// Has the configuration read anew, now. What comes of it is told by log, metrics and status; nobody waits for it, for
    /// it may wait for a network.
    pub fn reload(&self) {
        let live = Arc::clone(&self.live);
        self.world.io.spawn(async move { live.reload(&[], false).await });
    }

    /// Where the tables are, as it was started.
    pub fn destinations(&self) -> &Destinations {
        &self.first.destinations
    }

    /// As it was started.
    pub fn project(&self) -> &Project {
        &self.first.project
    }

    pub fn servers(&self) -> Option<&Servers> {
        self.servers.as_ref()
    }

    pub fn ledger(&self) -> &SqliteLedger {
        &self.ledger
    }

    pub fn now(&self) -> jiff::Timestamp {
        self.world.clock.now()
    }

    /// What each import is doing.
    pub async fn states(&self) -> Vec<Observed> {
        self.supervisor.send(QueryStates).await.unwrap_or_default()
    }

    /// Whether any import is `Failed`.
    pub async fn any_failed(&self) -> bool {
        self.states().await.iter().any(|observed| observed.state == ImportState::Failed)
    }

    /// One on-demand sync of one import. An import that is restarted under it, because the network or a disk failed,
    /// is given a few more chances.
    ///
    /// # Errors
    /// What ended the import, or the last attempt.
    pub async fn sync(&self, import: &ImportName) -> Result<SyncSummary, Failure> {
        let mut attempt = 1;
        loop {
            let answer = self.supervisor.send(Sync { import: import.clone() }).await;
            let result = answer.unwrap_or_else(|_| Err(Failure::bug("supervisor_gone", "the supervisor ended")));
            match result {
                Err(failure) if may_pass(&failure) && attempt < SYNC_ATTEMPTS => {
                    tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// Carries an operation out, on an import of this program.
    ///
    /// # Errors
    /// Of the import, the ledger or the tables.
    pub async fn operate(&self, spec: &ImportSpec, operation: Operation) -> Result<serde_json::Value, Failure> {
        let clock = Arc::clone(&self.world.clock);
        let tables = self.first.destinations.tables(spec)?;
        let operator = Operator {
            supervisor: self.supervisor.clone(),
            ledger: Arc::clone(&self.ledger),
            clock,
            data_dir: self.first.project.settings.data_dir.clone(),
            mending: Turns::default(),
        };
        operator.carry_out(spec, &tables, operation).await
    }

    /// Claims nothing more, finishes the open batches or leaves them to the next start, and ends.
    pub async fn stop(self, deadline: Duration) {
        if let Some(servers) = &self.servers {
            servers.begin_drain();
        }
        let drained = self.supervisor.send(Drain { deadline });
        // The supervisor keeps the deadline itself; the margin is for an actor that hangs.
        if tokio::time::timeout(deadline + Duration::from_secs(1), drained).await.is_err() {
            tracing::warn!("not every import ended in time; the next start recovers");
        }
        let Self { first, live, supervisor, world, ledger, servers, _gauges, _backups, _watch } = self;
        if let Some(servers) = servers {
            servers.stop().await;
        }
        world.pool.shutdown();
        drop((first, live, supervisor, world, _gauges, _backups, _watch));
        closed(ledger).await;
    }
}

/// Waits until nobody has the ledger any more, and so its database is closed and its lock is free: actors let go of it a
/// moment after they have ended, on threads of their own.
async fn closed(ledger: Arc<SqliteLedger>) {
    let open = Arc::downgrade(&ledger);
    drop(ledger);
    for _ in 0..LOOKS_WHILE_CLOSING {
        if open.strong_count() == 0 {
            return;
        }
        tokio::time::sleep(CLOSING_PACE).await;
    }
    tracing::warn!(users = open.strong_count(), "the ledger is still open");
}

/// Whether the same sync may go better in a moment. What the user must change, and bad data, will not.
fn may_pass(failure: &Failure) -> bool {
    !matches!(failure.class, ErrorClass::Config | ErrorClass::Data)
}

/// A seat in the memory budget for each import; told to the log and to the metrics.
fn seats(deployed: &Deployed) -> Vec<ImportSeat> {
    let seat = |(index, import): (usize, &Deployment)| {
        let (spec, ports) = (Arc::clone(&import.spec), Arc::clone(&import.ports));
        register(deployed, &spec);
        ImportSeat { spec, seat: Seat(index), ports }
    };
    deployed.imports().iter().enumerate().map(seat).collect()
}

/// Tells that there is this import.
fn register(deployed: &Deployed, spec: &ImportSpec) {
    ImportRegistered {
        import: &ImportLabels::new(spec.connection.name.as_str(), spec.name.as_str()),
        uri: spec.uri.as_str(),
        schedule: spec.schedule.as_str(),
        table: &deployed.destinations.table_location(spec),
    }
    .emit();
}

fn listen(
    settings: &Settings,
    exporter: Arc<Exporter>,
    live: &Arc<Live>,
    supervisor: &Addr<Supervisor>,
    ledger: &Arc<SqliteLedger>,
    world: &World,
) -> Result<Servers, Failure> {
    let control = SupervisorControl::new(Arc::clone(live), supervisor.clone(), Arc::clone(ledger), world.clone());
    let config = HttpConfig {
        metrics: ListenOn { address: settings.listen.metrics, setting: "listen.metrics" },
        api: ListenOn { address: settings.listen.api, setting: "listen.api" },
        allowed_hosts: Vec::new(),
    };
    let token = ApiToken::load_or_create(&settings.data_dir)?;
    let render = Arc::new(move || exporter.render());
    Ok(Servers::start(&config, token, Arc::new(control), render)?)
}

/// The S3 clients of an import's connection.
pub fn connect(spec: &ImportSpec, clock: Arc<dyn Clock>) -> Result<S3Connection, Failure> {
    connect_through(&spec.connection, clock)
}

/// The S3 clients of a connection.
pub fn connect_through(connection: &ConnectionSpec, clock: Arc<dyn Clock>) -> Result<S3Connection, Failure> {
    let settings = S3Settings { seed: fastrand::u64(..), ..S3Settings::default() };
    S3Connection::new(connection, clock, settings).map_err(Failure::from)
}

/// Makes a folder of the data directory, and those above it, so that a power cut does not take them away again.
///
/// # Errors
/// If there is no right or no room to.
pub fn make_folder(folder: &Path) -> Result<(), Failure> {
    durable_folder(folder).map_err(|error| {
        let message = format!("cannot make the folder {}: {error}; change data_dir or its owner", folder.display());
        Failure::config("data_dir", message)
    })
}

/// A name is on disk once the directory that holds it is synced.
fn durable_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), durable_folder)?;
    match std::fs::create_dir(folder) {
        // Somebody else made it meanwhile, or something that is no folder is in the way.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        other => other?,
    }
    std::fs::File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// The spool folder, emptied of what a killed process may have left.
fn empty_spool(data_dir: &Path) -> Result<std::path::PathBuf, Failure> {
    let spool = data_dir.join(SPOOL_FOLDER);
    match std::fs::remove_dir_all(&spool) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let message = format!("cannot empty {}: {error}", spool.display());
            return Err(Failure::config("data_dir", message));
        }
        _ => {}
    }
    make_folder(&spool)?;
    Ok(spool)
}
