//! `push`: lets the configuration take effect, if it can be: in the running program, else in the data directory.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use connector_core::clock::SystemClock;
use connector_core::error::{ErrorClass, Failure};
use connector_core::ids::ImportName;
use connector_core::origin;
use connector_core::spec::{ImportSpec, Schedule};
use connector_core::status::ImportState;
use connector_ledger::{LedgerReader, SqliteLedger};
use serde_json::{Value, json};

use super::operation::in_use;
use super::running::{self, Running};
use super::signals::DRAIN;
use super::{ConfigFolder, Ended, VerbResult, code_of, output, project, runtime, worse};
use crate::app::fit::{TableChange, TableFit, fit};
use crate::app::{App, Service};
use crate::config::Project;
use crate::destination::Destinations;

/// Check the configuration and let it take effect.
///
/// All files are checked, and every data source is held against its table: what would break one is refused, and then
/// nothing has changed. The running program goes over to the new configuration without a restart; it also does so by
/// itself when files are saved, and this verb says at once what comes of it. Without a running program the tables are made
/// in the data directory, and the next start goes on from there.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector push
  s3-connector push --dry-run           only say what would change
  s3-connector push --accept orders     the data source orders is meant to read another bucket now")]
pub struct Push {
    #[command(flatten)]
    folder: ConfigFolder,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Accept a data source that reads another bucket than before, or that was renamed; may be given several times
    #[arg(long, value_name = "DATASOURCE")]
    accept: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How long imports may take to get going before it is said that they still do.
const PATIENCE: Duration = Duration::from_secs(30);
const PACE: Duration = Duration::from_millis(100);

impl Push {
    pub fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        for name in &self.accept {
            project::import(&project, name)?;
        }
        match running::find_by(&project.settings, running::HERE) {
            Some(running) => self.to_program(&running),
            None => self.to_directory(&project),
        }
    }

    fn to_program(&self, running: &Running<'_>) -> VerbResult {
        let mut report = running.reload(&self.accept, self.dry_run)?;
        let names = |report: &Value, key: &str| -> Vec<String> {
            let names = report[key].as_array().into_iter().flatten();
            names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
        };
        let (added, changed) = (names(&report, "added"), names(&report, "changed"));
        let started: Vec<&String> = added.iter().chain(&changed).collect();
        let states = if self.dry_run { Vec::new() } else { wait_for(running, &started, &changed) };
        report["states"] = Value::Array(states.clone());
        if self.json {
            output::line(report.to_string());
        } else {
            for (key, verb, would) in [
                ("added", "is new", "would be new"),
                ("changed", "has changed", "would change"),
                ("removed", "is gone, and its import has ended; its table stays", "would end; its table would stay"),
                ("held", "is held back: status says why", "is held back: status says why"),
            ] {
                for name in names(&report, key) {
                    output::line(format!("{name} {}", if self.dry_run { would } else { verb }));
                }
            }
            if ["added", "changed", "removed"].iter().all(|key| names(&report, key).is_empty()) {
                output::line("nothing has changed");
            }
            let tables: Vec<TableLine> = report["tables"].as_array().into_iter().flatten().map(TableLine::of).collect();
            tables.iter().for_each(TableLine::show);
            for key in names(&report, "restart_needed") {
                output::note(format!("note: the setting {key} takes effect when the program is started again"));
            }
        }
        Ok(tell(&states))
    }

    fn to_directory(&self, project: &Project) -> VerbResult {
        let data_dir = &project.settings.data_dir;
        let ledger = LedgerReader::open(data_dir).map_err(Failure::from)?;
        let known = ledger.as_ref().map(LedgerReader::origins).transpose().map_err(Failure::from)?.unwrap_or_default();
        let doubts = origin::doubts(&project.imports, &known);
        let mut refused =
            doubts.iter().filter(|doubtful| !self.accept.contains(&doubtful.import.to_string())).peekable();
        if refused.peek().is_some() {
            refused.for_each(|doubtful| output::error(&doubtful.failure().message));
            return Err(Ended::Told(ErrorClass::Config));
        }
        let fits = runtime::block_on(|io| async {
            let destinations = Destinations::new(project, Arc::new(SystemClock), io)?;
            let (mut fits, mut misfits) = (Vec::new(), Vec::new());
            for spec in &project.imports {
                let record =
                    ledger.as_ref().map(|ledger| ledger.record(&spec.name)).transpose().map_err(Failure::from)?;
                match fit(spec, &destinations.tables(spec)?, record.flatten().as_ref()).await {
                    Ok(found) => fits.push(found),
                    Err(failure) => misfits.push(failure),
                }
            }
            Ok::<_, Ended>(if misfits.is_empty() { Ok(fits) } else { Err(misfits) })
        })?;
        let fits = match fits {
            Ok(fits) => fits,
            Err(misfits) => {
                misfits.iter().for_each(|failure| output::error(&failure.message));
                let worst = misfits.iter().fold(None, |worst, failure| worse(worst, Some(failure.class)));
                return Err(Ended::Told(worst.unwrap_or(ErrorClass::Config)));
            }
        };
        drop(ledger);
        let states = if self.dry_run { Vec::new() } else { self.make(project, &fits)? };
        if self.json {
            output::line(json!({ "tables": fits, "states": states }).to_string());
        } else {
            fits.iter().for_each(|found| TableLine::of(&json!(found)).show());
            if !self.dry_run {
                output::note("note: no program runs with this configuration; start it with: s3-connector run");
            }
        }
        Ok(tell(&states))
    }

    fn make(&self, project: &Project, fits: &[TableFit]) -> Result<Vec<Value>, Ended> {
        // A program may have started meanwhile, or not listen yet.
        self.make_tables(project.clone(), fits).map_err(|ended| in_use(ended, project))
    }

    /// Starts every import for as long as its table takes, and nothing else of it.
    fn make_tables(&self, mut project: Project, fits: &[TableFit]) -> Result<Vec<Value>, Ended> {
        let creates = |spec: &ImportSpec| {
            fits.iter().any(|found| found.import == spec.name && found.change == TableChange::Create)
        };
        let all = project.imports.clone();
        let accepted = self.accept.clone();
        project.imports.retain(creates);
        project.imports.iter_mut().for_each(|spec| spec.schedule = Schedule::OnDemand);
        runtime::block_on(|io| async move {
            {
                crate::app::make_folder(&project.settings.data_dir)?;
                let ledger = SqliteLedger::open(&project.settings.data_dir).map_err(Failure::from)?;
                let doubts = origin::doubts(&all, &ledger.origins().await?);
                let held = |spec: &ImportSpec| {
                    doubts.iter().any(|doubtful| doubtful.import == spec.name)
                        && accepted.iter().all(|name| name != spec.name.as_str())
                };
                let let_in = all.into_iter().filter(|spec| !held(spec)).map(|spec| (spec.name, spec.uri));
                ledger.accept(let_in.collect()).await?;
            }
            if project.imports.is_empty() {
                return Ok(Vec::new());
            }
            let names: Vec<ImportName> = project.imports.iter().map(|spec| spec.name.clone()).collect();
            let app = App::start(project, io, Service::None).await?;
            let deadline = tokio::time::Instant::now() + PATIENCE;
            let mut states;
            loop {
                states = app.states().await;
                let starting = states.iter().any(|observed| observed.state == ImportState::Starting);
                if !starting || tokio::time::Instant::now() > deadline {
                    break;
                }
                tokio::time::sleep(PACE).await;
            }
            app.stop(DRAIN).await;
            let shown = states.into_iter().filter(|observed| names.contains(&observed.import));
            Ok::<_, Ended>(
                shown
                    .map(|seen| json!({ "import": seen.import, "state": seen.state, "reason": seen.reason }))
                    .collect(),
            )
        })
    }
}

/// Waits until these imports of the running program have got going: of those that have changed, what they are now, and
/// not what still finishes its batch. What each of them is then, as the API has it.
fn wait_for(running: &Running<'_>, names: &[&String], changed: &[String]) -> Vec<Value> {
    let generation = |import: &Value| import["generation"].as_u64();
    let is_old = |import: &Value| {
        changed.iter().any(|name| import["import"] == **name)
            && running.import(import["import"].as_str().unwrap_or_default()).map(generation) == Some(generation(import))
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = running.fresh_status();
        let of = |name: &&&String| {
            status.as_array().into_iter().flatten().find(|import| import["import"] == ***name).cloned()
        };
        let found: Vec<Value> = names.iter().filter_map(|name| of(&name)).collect();
        let starting =
            found.len() < names.len() || found.iter().any(|import| import["state"] == "Starting" || is_old(import));
        if !starting || Instant::now() > deadline {
            let part = |import: &Value| json!({ "import": import["import"], "state": import["state"], "reason": import["reason"] });
            return found.iter().map(part).collect();
        }
        std::thread::sleep(PACE);
    }
}

/// Says which imports do not run, and why. The exit code follows.
fn tell(states: &[Value]) -> ExitCode {
    let mut worst = None;
    for import in states.iter().filter(|import| !import["reason"].is_null()) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, state, message) =
            (text(&import["import"]), text(&import["state"]), text(&import["reason"]["message"]));
        output::error(&format!("{name} is {state}: {message}"));
        let class = if state == "Failed" { ErrorClass::Config } else { ErrorClass::Transient };
        worst = worse(worst, Some(class));
    }
    worst.map_or(ExitCode::SUCCESS, code_of)
}

/// What becomes of a table, for people.
struct TableLine {
    import: String,
    change: String,
    table: String,
    columns: Vec<String>,
}

impl TableLine {
    fn of(found: &Value) -> Self {
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        let columns = found["columns"].as_array().into_iter().flatten();
        Self {
            import: text("import"),
            change: text("change"),
            table: text("table"),
            columns: columns.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        }
    }

    fn show(&self) {
        let changes = [TableChange::Create, TableChange::CreateWithFirstFile, TableChange::AddColumns];
        let said = changes.into_iter().find(|change| json!(change) == self.change.as_str());
        let said = said.unwrap_or(TableChange::None).as_str();
        let columns = if self.columns.is_empty() { String::new() } else { format!(": {}", self.columns.join(", ")) };
        output::line(format!("{}: the table {} {said}{columns}", self.import, self.table));
    }
}
