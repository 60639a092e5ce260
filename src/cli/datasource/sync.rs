//! `datasource sync`: everything that is new, now. The running program does it, if there is one, else this process.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use connector_core::error::Failure;
use connector_core::ports::Ledger;
use connector_core::spec::{ImportSpec, Schedule};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::super::once::{INTERRUPTED, Synced, class_of, interrupted, show, sync};
use super::super::output::{Bar, Seen};
use super::super::running::{self, Running, Talk};
use super::super::signals::{DRAIN, StopSignals};
use super::super::{ConfigFolder, Ended, VerbResult, code_of, operation, output, project, runtime};
use crate::app::{App, Service};
use crate::config::Project;

/// Import everything that is new now, without a cap, and show how far it is
#[derive(Args)]
#[command(after_help = "\
Whatever the schedule: @auto goes on as before. The running program does it if there is one, and
goes on with it if this verb is interrupted. Without a running program this one data source is
imported here; interrupted, it stops safely, and the next sync goes on. Other data sources are
left alone.

Examples:
  s3-connector datasource sync orders
  s3-connector datasource sync orders --no-wait    do not wait; history tells how it went
  s3-connector datasource sync orders --json | jq .rows")]
pub(super) struct Sync {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    /// Do not wait until the running program is done
    #[arg(long)]
    no_wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Between two looks at how far it is.
const PACE: Duration = Duration::from_millis(300);

impl Sync {
    pub(super) fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let spec = project::import(&project, &self.datasource)?.clone();
        match running::find_by(&project.settings, running::HERE) {
            Some(running) => self.by_the_program(&running, &spec),
            None if self.no_wait => {
                let message = "no program runs that could do it meanwhile; leave out --no-wait to have it done here, or \
                               start one: s3-connector run";
                Err(Failure::config("not_running", message).into())
            }
            None => {
                let json = self.json;
                let only = Project { imports: vec![spec.clone()], ..project.clone() };
                runtime::block_on(|io| here(only, spec, io, json)).map_err(|ended| operation::in_use(ended, &project))
            }
        }
    }

    fn by_the_program(&self, running: &Running<'_>, spec: &ImportSpec) -> VerbResult {
        let name = spec.name.as_str();
        let Some(before) = running.import(name) else {
            let message = format!(
                "the running program does not know {name} yet: its configuration is older than the files here; \
                 s3-connector push has it read them, or says why it refuses them"
            );
            return Err(Failure::config("unknown_import", message).into());
        };
        let table = before["table"].as_str().unwrap_or_default().to_owned();
        let first = Seen::of(&before["counts"]);
        let answer = running.command(name, "sync")?;
        let Some(id) = answer["sync"].as_str() else {
            let message = "the running program is of another version: it names no sync; history tells how it goes";
            return Err(Failure::config("bad_answer", message).into());
        };
        if self.no_wait {
            if self.json {
                output::document(&json!({ "import": name, "sync": id, "state": "running" }));
            } else {
                output::line(format!("{name}: the running program imports what is new; s3-connector history {name}"));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let bar = Bar::start(name, first, self.json);
        let watch = Watch { talk: running.talk(), name: name.to_owned(), id: id.to_owned(), json: self.json };
        match runtime::block_on(|io| watch.follow(bar, io))? {
            Some(sync) => Ok(finished(&synced(name, table, &sync), self.json)),
            None => Ok(ExitCode::from(INTERRUPTED)),
        }
    }
}

/// Follows a sync of the running program.
struct Watch {
    talk: Talk,
    name: String,
    id: String,
    json: bool,
}

impl Watch {
    /// How it ended, as the API tells it; `None` if the user did not want to wait so long.
    async fn follow(self, mut bar: Bar, io: Handle) -> Result<Option<Value>, Ended> {
        let mut signals = StopSignals::listen()?;
        let began = Instant::now();
        loop {
            let (talk, name) = (self.talk.clone(), self.name.clone());
            let path = format!("/api/v1/imports/{name}/syncs/{}", self.id);
            let asked = io.spawn_blocking(move || {
                let sync = talk.get(&path)?;
                let done = sync["state"] != "running";
                let import = if done { Value::Null } else { talk.get(&format!("/api/v1/imports/{name}"))? };
                Ok::<_, Failure>((done, sync, import))
            });
            let answer = tokio::select! {
                answer = asked => answer.map_err(|_| Failure::bug("threads", "a question to the program was lost"))?,
                signal = signals.wait() => return Ok(self.left_alone(bar, signal)),
            };
            let (done, sync, import) = answer.map_err(|failure| self.lost(failure))?;
            if done {
                return Ok(Some(sync));
            }
            bar.show(Seen::of(&import["counts"]), began.elapsed());
            tokio::select! {
                () = tokio::time::sleep(PACE) => {}
                signal = signals.wait() => return Ok(self.left_alone(bar, signal)),
            }
        }
    }

    fn left_alone(&self, bar: Bar, signal: &'static str) -> Option<Value> {
        drop(bar);
        let name = &self.name;
        output::note(format!(
            "{signal}: the running program goes on with the sync; s3-connector history {name} tells how"
        ));
        if self.json {
            output::document(&json!({ "import": name, "sync": self.id, "state": "running" }));
        }
        None
    }

    fn lost(&self, mut failure: Failure) -> Failure {
        let name = &self.name;
        failure.message = format!(
            "{}; what the sync has not done goes on with the next one: s3-connector history {name}",
            failure.message
        );
        failure
    }
}

/// What the API told of a sync that has ended.
fn synced(name: &str, table: String, sync: &Value) -> Synced {
    let number = |field: &str| sync["summary"][field].as_u64().unwrap_or_default();
    Synced {
        import: name.to_owned(),
        table,
        files: number("files"),
        rows: number("rows"),
        rows_quarantined: number("rows_quarantined"),
        files_failed: number("files_failed") + number("files_quarantined"),
        files_deferred: number("files_deferred"),
        error: sync["error"].is_object().then(|| failure_of(&sync["error"])),
    }
}

/// A failure as the API has it.
fn failure_of(error: &Value) -> Failure {
    use connector_core::error::ErrorClass;
    let class = serde_json::from_value::<String>(error["class"].clone()).unwrap_or_default();
    let class = match &*class {
        "config" => ErrorClass::Config,
        "data" => ErrorClass::Data,
        "transient" => ErrorClass::Transient,
        "fenced" => ErrorClass::Fenced,
        _ => ErrorClass::Bug,
    };
    let text = |field: &str| error[field].as_str().unwrap_or_default();
    Failure::new(class, "sync_failed", format!("{} ({})", text("message"), text("code")))
}

/// Without a running program.
async fn here(mut project: Project, spec: ImportSpec, io: Handle, json: bool) -> Result<ExitCode, Ended> {
    let mut signals = StopSignals::listen()?;
    // Nothing but the sync runs.
    project.imports.iter_mut().for_each(|spec| spec.schedule = Schedule::OnDemand);
    let app = App::start(project, io, Service::None).await?;
    let seen = async || Seen::of(&json!(app.ledger().counts(&spec.name, app.now()).await.unwrap_or_default()));
    let mut bar = Bar::start(spec.name.as_str(), seen().await, json);
    let (began, mut looks) = (Instant::now(), tokio::time::interval(PACE));
    let mut work = Box::pin(sync(&app, &spec.name));
    let ended = loop {
        tokio::select! {
            synced = &mut work => break Ok(synced),
            signal = signals.wait() => break Err(signal),
            _ = looks.tick() => bar.show(seen().await, began.elapsed()),
        }
    };
    drop((bar, work));
    let code = match ended {
        Ok(synced) => finished(&synced, json),
        Err(signal) => {
            output::note(format!("{signal}: stopping; the next sync goes on from here"));
            if json {
                output::failure_document(&interrupted(signal));
            }
            ExitCode::from(INTERRUPTED)
        }
    };
    app.stop(DRAIN).await;
    Ok(code)
}

/// Tells how it went. Returns the exit code.
fn finished(synced: &Synced, json: bool) -> ExitCode {
    match (&synced.error, json) {
        (Some(failure), true) => {
            output::error(&format!("{}: {failure}", synced.import));
            output::failure_document(failure);
        }
        (Some(failure), false) => output::error(&format!("{}: {failure}", synced.import)),
        (None, true) => output::document(&json!(synced)),
        (None, false) => show(std::slice::from_ref(synced)),
    }
    class_of(synced).map_or(ExitCode::SUCCESS, code_of)
}
