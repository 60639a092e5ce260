//! The configuration that runs, and how another one takes its place.
//!
//! A new configuration is taken whole or not at all: if any of its files has an error, or a data source is not what its
//! name says ([`connector_core::origin`]), the one that runs goes on, and people are told why.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use actix::Addr;
use connector_actors::messages::control::{Deployment, QueryStates, Reconfigure, Reconfigured};
use connector_actors::supervisor::Supervisor;
use connector_actors::world::{ImportPorts, World};
use connector_core::clock::Clock;
use connector_core::error::{ErrorClass, Failure};
use connector_core::events::{ConfigApplied, ConfigRefused};
use connector_core::ids::ImportName;
use connector_core::origin::{self, Doubtful};
use connector_core::ports::{Destination, Ledger, ObjectSource};
use connector_core::spec::ImportSpec;
use connector_datafile::{Colour, Problems, render};
use connector_ledger::{LedgerReader, SqliteLedger};
use connector_s3::S3Connection;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::connect;
use super::fit::{TableFit, fit};
use super::watch::fingerprint;
use crate::config::{Project, Settings};
use crate::destination::Destinations;
use crate::faults;
use crate::operations::purge;

/// How long an import whose configuration has changed may take to finish its open batch.
const RETIRE: Duration = Duration::from_secs(8);

/// Where the configuration comes from.
#[derive(Clone)]
pub struct Source {
    /// The configuration folder.
    pub folder: PathBuf,
    /// What the folder was like before the configuration was loaded that the program starts with.
    pub seen: u64,
    /// Reads it. Blocking.
    pub load: Arc<dyn Fn() -> Result<Project, Problems> + Send + Sync>,
}

/// A configuration with what was made of it.
pub struct Deployed {
    pub project: Project,
    pub destinations: Destinations,
    imports: Vec<Deployment>,
    /// Data sources that are not let in: their imports fail and say why.
    held: Vec<Doubtful>,
}

/// What a new configuration has changed, or would.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reloaded {
    #[serde(flatten)]
    pub imports: Reconfigured,
    /// Data sources that wait for `push --accept`.
    pub held: Vec<ImportName>,
    /// What becomes of the tables of imports that are new or have changed.
    pub tables: Vec<TableFit>,
    /// Settings that only the next start follows.
    pub restart_needed: Vec<&'static str>,
    /// As they are printed.
    pub warnings: String,
}

/// How it stands with the configuration, for people.
#[derive(Clone, Debug, Serialize)]
pub struct ConfigState {
    /// The data directory: which installation this is.
    pub data_dir: PathBuf,
    /// When the one that runs was taken.
    pub loaded_at: Timestamp,
    /// Why a later one was not.
    pub refused: Option<Refusal>,
    /// Settings that only the next start follows.
    pub restart_needed: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    pub at: Timestamp,
    pub code: &'static str,
    /// May have several lines.
    pub message: String,
}

/// See the module.
pub struct Live {
    source: Option<Source>,
    world: World,
    ledger: Arc<SqliteLedger>,
    supervisor: Addr<Supervisor>,
    now: RwLock<Arc<Deployed>>,
    state: Mutex<ConfigState>,
    /// What the folder was like when it was loaded last, whatever came of that; `None` if nothing is known of it because
    /// a network or a disk failed.
    taken: Mutex<Option<u64>>,
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Deployed {
    /// Makes what the imports are built from. Reads and notes in the ledger which bucket each of them reads; `accepted`
    /// names those that are what they are meant to be, whatever was there before.
    ///
    /// # Errors
    /// Of the ledger, or if the place of the tables cannot be addressed.
    pub async fn new(
        project: Project,
        ledger: &Arc<SqliteLedger>,
        world: &World,
        accepted: &[String],
    ) -> Result<Self, Failure> {
        let destinations = Destinations::new(&project, Arc::clone(&world.clock), world.io.clone())?;
        let mut held = origin::doubts(&project.imports, &ledger.origins().await?);
        held.retain(|doubtful| accepted.iter().all(|name| name != doubtful.import.as_str()));
        let imports = deployments(&project, &destinations, &held, ledger, world);
        Ok(Self { project, destinations, imports, held })
    }

    /// Notes which bucket each import reads that is let in.
    async fn note_origins(&self, ledger: &SqliteLedger) -> Result<(), Failure> {
        let held: BTreeSet<&ImportName> = self.held.iter().map(|doubtful| &doubtful.import).collect();
        let let_in = self.project.imports.iter().filter(|spec| !held.contains(&spec.name));
        ledger.accept(let_in.map(|spec| (spec.name.clone(), spec.uri.clone())).collect()).await
    }

    pub fn imports(&self) -> &[Deployment] {
        &self.imports
    }

    /// The import of this name.
    pub fn spec(&self, name: &str) -> Option<&ImportSpec> {
        self.project.imports.iter().find(|spec| spec.name.as_str() == name)
    }
}

impl Live {
    /// # Errors
    /// Of the ledger.
    pub async fn new(
        source: Option<Source>,
        deployed: Deployed,
        ledger: Arc<SqliteLedger>,
        supervisor: Addr<Supervisor>,
        world: World,
    ) -> Result<Self, Failure> {
        deployed.note_origins(&ledger).await?;
        // Whoever compares it with its own may be somewhere else.
        let data_dir = &deployed.project.settings.data_dir;
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.clone());
        let state = ConfigState { data_dir, loaded_at: world.clock.now(), refused: None, restart_needed: Vec::new() };
        let taken = Mutex::new(source.as_ref().map(|source| source.seen));
        Ok(Self {
            source,
            taken,
            world,
            ledger,
            supervisor,
            now: RwLock::new(Arc::new(deployed)),
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::default(),
        })
    }

    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// What the folder was like when it was loaded last, whatever came of that; `None` if it is to be loaded again though
    /// nobody changes it, because a network or a disk failed.
    pub fn taken(&self) -> Option<u64> {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, seen: Option<u64>) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// What runs now.
    pub fn deployed(&self) -> Arc<Deployed> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn state(&self) -> ConfigState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the configuration anew and goes over to it. `accept` names data sources that are meant to be what they are
    /// now; with `dry_run` it is only said what would change.
    ///
    /// # Errors
    /// Why it stays as it is.
    pub async fn reload(&self, accept: &[String], dry_run: bool) -> Result<Reloaded, Failure> {
        let _turn = self.turn.lock().await;
        let result = self.replace(accept, dry_run).await;
        if dry_run {
            return result;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(reloaded) => {
                state.restart_needed.clone_from(&reloaded.restart_needed);
                (state.loaded_at, state.refused) = (self.world.clock.now(), None);
                let Reconfigured { added, changed, removed, .. } = &reloaded.imports;
                ConfigApplied { added: added.len(), changed: changed.len(), removed: removed.len() }.emit();
            }
            Err(Failure { class, code, message }) => {
                if *class == ErrorClass::Transient {
                    self.take(None);
                }
                state.refused = Some(Refusal { at: self.world.clock.now(), code, message: message.clone() });
                ConfigRefused { code, message }.emit();
            }
        }
        result
    }

    /// Removes the tables of an import that is not configured any more, and forgets it.
    ///
    /// # Errors
    /// `still_configured`, `import_busy` while it finishes its open batch, and those of [`purge`].
    pub async fn purge(&self, import: &ImportName) -> Result<Value, Failure> {
        // Nobody brings it back meanwhile.
        let _turn = self.turn.lock().await;
        let deployed = self.deployed();
        if deployed.spec(import.as_str()).is_some() {
            let message = format!("the data source {import} is configured; remove its file first");
            return Err(Failure::config("still_configured", message));
        }
        let gone = |_| Failure::transient("stopping", "the program is stopping; try again once it has ended");
        let states = self.supervisor.send(QueryStates).await.map_err(gone)?;
        if states.iter().any(|observed| observed.import == *import) {
            let message = format!("{import} is still finishing its open batch; try again");
            return Err(Failure::transient("import_busy", message));
        }
        purge(&self.ledger, &deployed.project.settings.data_dir, &deployed.destinations, import).await
    }

    async fn replace(&self, accept: &[String], dry_run: bool) -> Result<Reloaded, Failure> {
        let Some(source) = self.source.clone() else {
            return Err(Failure::config("no_reload", "this program keeps the configuration that it was started with"));
        };
        let look = move || (fingerprint(&source.folder), (source.load)());
        let looked = tokio::task::spawn_blocking(look).await;
        let (seen, loaded) =
            looked.map_err(|error| Failure::bug("reload", format!("reading the configuration: {error}")))?;
        if !dry_run {
            self.take(Some(seen));
        }
        let mut project = loaded.map_err(|problems| refused(&problems))?;
        let old = self.deployed();
        let restart_needed = keep_settings(&mut project.settings, &old.project.settings)?;
        if let Some(name) = accept.iter().find(|name| project.imports.iter().all(|spec| spec.name.as_str() != **name)) {
            return Err(Failure::config("unknown_import", format!("there is no data source {name} with an import")));
        }
        // Tables are reached through the connection that writes them: if that has changed, they are opened anew.
        if restart_needed.contains(&"destination") {
            project.writer.clone_from(&old.project.writer);
            // What was found to be right is not where the tables are until then.
            project.check_destination().map_err(|problems| refused(&problems))?;
        }
        let anew = project.writer != old.project.writer;
        let mut deployed = Deployed::new(project, &self.ledger, &self.world, accept).await?;
        deployed.settle_with(&old, anew)?;
        let comparison = compared(&old.imports, &deployed.imports);
        let mut reloaded = Reloaded {
            tables: deployed.check_tables(&comparison).await?,
            held: deployed.held.iter().map(|doubtful| doubtful.import.clone()).collect(),
            restart_needed,
            warnings: render(&deployed.project.warnings, Colour::Never),
            ..Reloaded::default()
        };
        if dry_run {
            reloaded.imports = comparison;
            return Ok(reloaded);
        }
        deployed.note_origins(&self.ledger).await?;
        let message = Reconfigure { imports: deployed.imports.clone(), deadline: RETIRE };
        let is_new = |spec: &&ImportSpec| comparison.added.contains(&spec.name);
        deployed.project.imports.iter().filter(is_new).for_each(|spec| super::register(&deployed, spec));
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(deployed);
        let gone =
            |_| Failure::transient("stopping", "the program is stopping; the next start reads the configuration");
        reloaded.imports = self.supervisor.send(message).await.map_err(gone)?;
        Ok(reloaded)
    }
}

impl Deployed {
    /// What was in doubt before stays so and stops nobody else; a new doubt refuses the whole edit. Imports that were
    /// let in by now, and all of them if `anew`, start with what they are built from now.
    fn settle_with(&mut self, old: &Self, anew: bool) -> Result<(), Failure> {
        let new: Vec<&Doubtful> = self.held.iter().filter(|doubtful| !old.held.contains(doubtful)).collect();
        if let Some(first) = new.first() {
            let messages: Vec<String> = new.iter().map(|doubtful| doubtful.failure().message).collect();
            return Err(Failure::config(first.failure().code, messages.join("\n")));
        }
        let held = |all: &[Doubtful], name: &ImportName| all.iter().any(|doubtful| doubtful.import == *name);
        for import in &mut self.imports {
            import.anew = anew || held(&old.held, &import.spec.name) != held(&self.held, &import.spec.name);
        }
        Ok(())
    }
}

impl Deployed {
    /// Whether imports that are new or have changed fit their tables. All that do not are named.
    async fn check_tables(&self, changes: &Reconfigured) -> Result<Vec<TableFit>, Failure> {
        let ledger = LedgerReader::open(&self.project.settings.data_dir)?;
        let (mut fits, mut misfits) = (Vec::new(), Vec::new());
        for name in changes.added.iter().chain(&changes.changed) {
            // One that is held back says so itself.
            let is_held = self.held.iter().any(|doubtful| doubtful.import == *name);
            let Some(spec) = self.spec(name.as_str()).filter(|_| !is_held) else { continue };
            let record = ledger.as_ref().map(|ledger| ledger.record(name)).transpose()?.flatten();
            match fit(spec, &self.destinations.tables(spec)?, record.as_ref()).await {
                Ok(found) => fits.push(found),
                Err(failure) if failure.class == ErrorClass::Config => misfits.push(failure),
                Err(failure) => return Err(failure),
            }
        }
        let Some(first) = misfits.first() else { return Ok(fits) };
        let messages: Vec<&str> = misfits.iter().map(|failure| failure.message.as_str()).collect();
        Err(Failure::config(first.code, messages.join("\n")))
    }
}

/// A configuration with problems, as one message.
fn refused(problems: &Problems) -> Failure {
    let errors = problems.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let noun = if errors == 1 { "problem" } else { "problems" };
    let text = render(&problems.diagnostics, Colour::Never);
    Failure::config(problems.code(), format!("{errors} {noun} in the configuration\n{}", text.trim_end()))
}

/// Settings that a running program cannot follow stay as they were. Returns those that differ.
fn keep_settings(new: &mut Settings, old: &Settings) -> Result<Vec<&'static str>, Failure> {
    if new.data_dir != old.data_dir {
        let message = format!(
            "data_dir is {} now, and {} while the program runs: ledger and secrets are there; restart the program",
            new.data_dir.display(),
            old.data_dir.display()
        );
        return Err(Failure::config("data_dir_changed", message));
    }
    let mut differ = Vec::new();
    let mut note = |key, same: bool| {
        if !same {
            differ.push(key);
        }
    };
    note("listen", new.listen == old.listen);
    note("destination", (&new.destination, &new.bucket) == (&old.destination, &old.bucket));
    note("limits.memory", new.limits.memory == old.limits.memory);
    note("limits.threads", new.limits.threads == old.limits.threads);
    note("log", new.log == old.log);
    new.destination.clone_from(&old.destination);
    new.bucket.clone_from(&old.bucket);
    (new.listen, new.log) = (old.listen, old.log);
    (new.limits.memory, new.limits.threads) = (old.limits.memory, old.limits.threads);
    Ok(differ)
}

/// What the Supervisor would say.
fn compared(old: &[Deployment], new: &[Deployment]) -> Reconfigured {
    let mut report = Reconfigured::default();
    let before: HashMap<&ImportName, &Deployment> = old.iter().map(|import| (&import.spec.name, import)).collect();
    for import in new {
        let name = import.spec.name.clone();
        match before.get(&name) {
            None => report.added.push(name),
            Some(known) if known.spec == import.spec && !import.anew => report.unchanged.push(name),
            Some(_) => report.changed.push(name),
        }
    }
    let gone = |name: &&ImportName| new.iter().all(|import| import.spec.name != **name);
    report.removed = old.iter().map(|import| &import.spec.name).filter(gone).cloned().collect();
    report
}

fn deployments(
    project: &Project,
    destinations: &Destinations,
    held: &[Doubtful],
    ledger: &Arc<SqliteLedger>,
    world: &World,
) -> Vec<Deployment> {
    // Imports of one connection share its credentials and its HTTP connections.
    let mut connections: HashMap<String, Result<S3Connection, Failure>> = HashMap::new();
    let deployment = |spec: &ImportSpec| {
        let connection = connections
            .entry(spec.connection.name.clone())
            .or_insert_with(|| connect(spec, Arc::clone(&world.clock) as Arc<dyn Clock>))
            .clone();
        let doubt = held.iter().find(|doubtful| doubtful.import == spec.name).map(Doubtful::failure);
        let bucket = spec.uri.bucket().to_owned();
        let (ledger, destinations, shared) = (Arc::clone(ledger), destinations.clone(), Arc::new(spec.clone()));
        let spec = Arc::clone(&shared);
        let ports = move || {
            if let Some(doubt) = &doubt {
                return Err(doubt.clone());
            }
            let source = connection.clone()?.bucket(bucket.as_str());
            Ok(faults::wrapped(ImportPorts {
                source: Arc::new(source) as Arc<dyn ObjectSource>,
                ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
                table: Arc::new(destinations.table(&shared)?) as Arc<dyn Destination>,
                quarantine: Arc::new(destinations.quarantine(&shared)?) as Arc<dyn Destination>,
            }))
        };
        Deployment { spec, ports: Arc::new(ports), anew: false }
    };
    project.imports.iter().map(deployment).collect()
}
