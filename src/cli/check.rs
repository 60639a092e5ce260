//! `check`: is the configuration right, can S3 be reached, and what would each import read?

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use connector_core::clock::SystemClock;
use connector_core::error::{ErrorClass, Failure};
use connector_core::object::{ListedObject, SkipReason};
use connector_core::plan::unselected;
use connector_core::ports::ObjectSource;
use connector_core::quarantine::shown;
use connector_core::spec::{Access, ImportSpec};
use connector_datafile::Diagnostic;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{ConfigFolder, Ended, VerbResult, code_of, output, project, runtime, worse};
use crate::app::connect;
use crate::config::notes::Note;
use crate::config::{Project, process_variable};

/// Check the configuration, the access to S3, and what each import would read. Imports nothing.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector check
  s3-connector check --offline     the files only, for CI
  s3-connector check --json | jq '.imports[] | {import, files, skipped}'")]
pub struct Check {
    #[command(flatten)]
    folder: ConfigFolder,
    /// Do not reach for S3
    #[arg(long)]
    offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Matches shown of each import.
const SHOWN_MATCHES: usize = 5;
/// Pages listed of each import; a larger bucket is counted as "more than".
const MAX_PAGES: usize = 20;

impl Check {
    pub fn execute(self) -> VerbResult {
        let project = match self.json {
            false => project::load_project(&self.folder)?,
            true => match project::try_load(&self.folder.config, &process_variable)? {
                Ok(project) => project,
                Err(problems) => {
                    let report = json!({ "problems": as_json(&problems.diagnostics), "imports": [] });
                    output::line(report.to_string());
                    return Err(Ended::Told(ErrorClass::Config));
                }
            },
        };
        let mut looks: Vec<Option<Result<Found, Failure>>> = project.imports.iter().map(|_| None).collect();
        if !self.offline {
            looks = runtime::block_on(|_| async {
                let looks = join_all(project.imports.iter().map(look)).await;
                Ok::<_, Ended>(looks.into_iter().map(Some).collect())
            })?;
        }
        let failures = looks.iter().flatten().filter_map(|look| look.as_ref().err());
        let worst = failures.fold(None, |worst, failure| worse(worst, Some(failure.class)));
        let imports = || project.imports.iter().zip(&looks);
        if self.json {
            let imports: Vec<Value> =
                imports().map(|(spec, look)| import_json(&project, spec, look.as_ref())).collect();
            let report = json!({ "problems": as_json(&project.warnings), "imports": imports });
            output::line(report.to_string());
        } else {
            let count = output::count(project.imports.len() as u64, "import");
            output::line(format!("configuration: {count} in {}", self.folder.config.display()));
            imports().for_each(|(spec, look)| show(&project, spec, look.as_ref()));
        }
        Ok(worst.map_or(ExitCode::SUCCESS, code_of))
    }
}

/// What the first pages of an import's listing show.
#[derive(Debug, Default)]
struct Found {
    pages: u64,
    listed: u64,
    matches: u64,
    bytes: u64,
    /// Objects that would not be read, by reason.
    skipped: BTreeMap<&'static str, u64>,
    first: Vec<String>,
    complete: bool,
}

async fn look(spec: &ImportSpec) -> Result<Found, Failure> {
    let bucket = connect(spec, Arc::new(SystemClock))?.bucket(spec.uri.bucket());
    let mut found = Found::default();
    let mut continuation = None;
    for _ in 0..MAX_PAGES {
        let page = bucket.list_page(spec.uri.literal_prefix(), continuation.as_deref()).await?;
        found.pages += 1;
        page.objects.into_iter().for_each(|object| found.count(spec, object));
        continuation = page.next;
        if continuation.is_none() {
            found.complete = true;
            break;
        }
    }
    Ok(found)
}

impl Found {
    fn count(&mut self, spec: &ImportSpec, object: ListedObject) {
        self.listed += 1;
        let unknown = || spec.format_of(&object.key).is_none().then_some(SkipReason::UnknownFormat);
        let skip = || SkipReason::of_listing(&object.key, object.size).or_else(unknown).map(SkipReason::code);
        if let Some(reason) = unselected(spec, &object).or_else(skip) {
            return *self.skipped.entry(reason).or_default() += 1;
        }
        self.matches += 1;
        self.bytes += object.size;
        if self.first.len() < SHOWN_MATCHES {
            self.first.push(object.key);
        }
    }

    fn show(&self) {
        let more = if self.complete { "" } else { "more than " };
        output::line(format!(
            "  {more}{} files match ({}), of {more}{} objects listed; {} skipped",
            self.matches,
            output::bytes(self.bytes),
            self.listed,
            self.skipped.values().sum::<u64>()
        ));
        for key in &self.first {
            output::line(format!("    {}", shown(key)));
        }
        if self.matches > self.first.len() as u64 {
            output::line("    ...");
        }
        for (reason, count) in &self.skipped {
            output::line(format!("  skipped {count}: {}", super::plan::reason_text(reason)));
        }
        if self.complete && self.listed == 0 {
            output::line("  nothing is there: are bucket and path right? keys are compared letter by letter");
        } else if self.complete && self.matches == 0 {
            output::line("  nothing would be read: the reasons are above");
        }
    }
}

fn show(project: &Project, spec: &ImportSpec, look: Option<&Result<Found, Failure>>) {
    let connection = &spec.connection.name;
    output::line(format!("\n{} reads {} through connection {connection}", spec.name, spec.uri.as_str()));
    let prefix = match spec.uri.literal_prefix() {
        "" => "the whole bucket".to_owned(),
        prefix => format!("'{}'", shown(prefix)),
    };
    output::line(format!("  schedule {}; lists {prefix}", spec.schedule));
    for pattern in &spec.exclude {
        output::line(format!("  leaves out {}", shown(pattern.as_str())));
    }
    if let Access::Role { arn, external_id, .. } = &spec.connection.access {
        output::line(format!("  role {arn}, external id {external_id}"));
    }
    for Note { what, value, message } in notes(project, spec) {
        output::line(format!("  {what} {}: {message}", shown(value)));
    }
    for directive in ignored(project, spec) {
        output::line(format!("  {directive}"));
    }
    match look {
        None => {}
        Some(Ok(found)) => found.show(),
        Some(Err(failure)) => output::line(format!("  failed ({}): {failure}", failure.code)),
    }
}

fn notes<'p>(project: &'p Project, spec: &ImportSpec) -> &'p [Note] {
    project.notes.get(spec.name.as_str()).map_or(&[], Vec::as_slice)
}

/// Directives of the data source that have no effect.
fn ignored<'p>(project: &'p Project, spec: &'p ImportSpec) -> impl Iterator<Item = &'p str> {
    let of_it = |diagnostic: &&Diagnostic| {
        let file = diagnostic.place.as_ref().map(|place| &place.file);
        file.is_some_and(|file| file.name().ends_with(".datasource") && file.stem() == spec.name.as_str())
    };
    let ignored = project.warnings.iter().filter(|warning| warning.code == "ignored_directive").filter(of_it);
    ignored.map(|warning| warning.message.as_str())
}

fn import_json(project: &Project, spec: &ImportSpec, look: Option<&Result<Found, Failure>>) -> Value {
    let mut import = json!({
        "import": spec.name,
        "uri": spec.uri.as_str(),
        "prefix": spec.uri.literal_prefix(),
        "exclude": spec.exclude.iter().map(|pattern| pattern.as_str()).collect::<Vec<_>>(),
        "schedule": spec.schedule.as_str(),
        "connection": spec.connection.name,
        "not_honoured": notes(project, spec),
        "ignored": ignored(project, spec).collect::<Vec<_>>(),
    });
    if let Access::Role { arn, external_id, .. } = &spec.connection.access {
        import["role"] = json!({ "arn": arn, "external_id": external_id });
    }
    match look {
        None => {}
        Some(Ok(found)) => {
            import["complete"] = json!(found.complete);
            import["pages"] = json!(found.pages);
            import["listed"] = json!(found.listed);
            import["files"] = json!(found.matches);
            import["bytes"] = json!(found.bytes);
            import["first"] = json!(found.first);
            import["skipped"] = json!(found.skipped);
        }
        Some(Err(failure)) => {
            import["error"] = json!({ "code": failure.code, "message": failure.message });
        }
    }
    import
}

/// Diagnostics with their places; secrets are masked in them already.
fn as_json(found: &[Diagnostic]) -> Vec<Value> {
    let one = |diagnostic: &Diagnostic| {
        let place = diagnostic.place.as_ref().map(|place| (place, place.file.line_column(place.span.start)));
        json!({
            "severity": if diagnostic.is_error() { "error" } else { "warning" },
            "code": diagnostic.code,
            "message": diagnostic.message,
            "file": place.map(|(place, _)| place.file.name()),
            "line": place.map(|(_, (line, _))| line),
            "column": place.map(|(_, (_, column))| column),
            "hints": diagnostic.hints,
        })
    };
    found.iter().map(one).collect()
}
