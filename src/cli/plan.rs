//! `plan`: what the next sync would do.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::{ErrorClass, Failure};
use connector_core::plan::{Cost, FilePreview, ImportPlan, NewColumn, SampleReport};
use connector_core::quarantine::shown;
use connector_core::spec::ImportSpec;
use serde_json::{Value, json};

use super::{ConfigFolder, Ended, VerbResult, code_of, output, project, runtime, worse};
use crate::app::connect;
use crate::plan::{DEFAULT_SAMPLE, PlanMaker};

/// Say what the next sync would do, and import nothing: which files it would read, which columns the table would get, what
/// would go to quarantine, how many requests it takes, and how long.
///
/// The bucket is listed whole; columns and rows are told from the first files in the order of claims.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector plan
  s3-connector plan orders --sample 100
  s3-connector plan orders --json | jq '.[].columns_added'")]
pub struct Plan {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source; all of them if left out
    datasource: Option<String>,
    /// Files to look at for columns and bad rows
    #[arg(long, default_value_t = DEFAULT_SAMPLE)]
    sample: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A plan, or why there is none.
type Planned<'s> = (&'s ImportSpec, Result<ImportPlan, Failure>);

impl Plan {
    pub fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let wanted: Vec<&ImportSpec> = match &self.datasource {
            Some(name) => vec![project::import(&project, name)?],
            None => project.imports.iter().collect(),
        };
        let ledger = project::open_ledger(&project)?;
        let maker = PlanMaker {
            ledger: ledger.as_ref(),
            sample: self.sample,
            memory: project.settings.limits.memory,
            imports: project.imports.len(),
            now: SystemClock.now(),
        };
        let plans: Vec<Planned<'_>> = runtime::block_on(|_| async {
            let mut plans = Vec::new();
            for spec in wanted {
                plans.push((spec, plan(&maker, spec).await));
            }
            Ok::<_, Ended>(plans)
        })?;
        if self.json {
            output::line(Value::Array(plans.iter().map(as_json).collect()).to_string());
        } else {
            plans.iter().enumerate().for_each(|(at, planned)| show(at, planned));
        }
        let failures = plans.iter().filter_map(|(_, plan)| plan.as_ref().err());
        let worst: Option<ErrorClass> = failures.fold(None, |worst, failure| worse(worst, Some(failure.class)));
        Ok(worst.map_or(ExitCode::SUCCESS, code_of))
    }
}

async fn plan(maker: &PlanMaker<'_>, spec: &ImportSpec) -> Result<ImportPlan, Failure> {
    let source = connect(spec, Arc::new(SystemClock))?.bucket(spec.uri.bucket());
    maker.plan(spec, &source).await
}

fn as_json((spec, plan): &Planned<'_>) -> Value {
    match plan {
        Ok(plan) => json!(plan),
        Err(failure) => json!({
            "import": spec.name,
            "uri": spec.uri.as_str(),
            "error": { "code": failure.code, "message": failure.message },
        }),
    }
}

fn show(at: usize, (spec, plan): &Planned<'_>) {
    if at > 0 {
        output::line("");
    }
    match plan {
        Ok(plan) => tell(plan),
        Err(failure) => {
            output::line(format!("{} reads {}", spec.name, spec.uri.as_str()));
            output::line(format!("  no plan ({}): {}", failure.code, failure.message));
        }
    }
}

fn tell(plan: &ImportPlan) {
    output::line(format!("{} reads {} ({})", plan.import, plan.uri, plan.schedule));
    let files = output::count(plan.files, "file");
    output::line(format!("  would read {files} ({}), of {} listed", output::bytes(plan.bytes), plan.listed));
    for (format, amount) in &plan.by_format {
        output::line(format!(
            "    {format}: {} ({})",
            output::count(amount.files, "file"),
            output::bytes(amount.bytes)
        ));
    }
    for (reason, objects) in &plan.left_out {
        output::line(format!("  would leave out {objects}: {}", reason_text(reason)));
    }
    if plan.paused {
        let name = &plan.import;
        output::line(format!("  the import is paused: s3-connector datasource scheduling resume {name}"));
    }
    if plan.files == 0 {
        return;
    }
    columns(plan);
    sample(&plan.sample, plan.files);
    costs(plan);
}

/// A reason to leave an object out, in words.
pub(super) fn reason_text(reason: &str) -> &str {
    match reason {
        "not_matched" => "IMPORT_BUCKET_URI does not match",
        "excluded" => "IMPORT_EXCLUDE",
        "too_old" => "older than IMPORT_FROM_TIMESTAMP",
        "ingested" => "ingested before",
        "quarantined" => "in quarantine as a whole",
        "failed" => "failed before; `datasource retry` takes them again",
        "overwrite" => "new versions of keys that were ingested before (IMPORT_ON_OVERWRITE ignore)",
        "rolled_back" => "rolled back; `datasource retry` takes them again",
        "archived" => "in an archive, to be restored first",
        "hidden" => "hidden names",
        "empty" => "empty",
        "directory_marker" => "folder markers",
        "unknown_format" => "of an unknown format",
        other => other,
    }
}

fn columns(plan: &ImportPlan) {
    let table = |columns: &[NewColumn]| {
        let row = |column: &NewColumn| {
            let file = column.file.as_ref().map_or_else(String::new, |file| shown(file));
            vec![format!("    {}", shown(&column.name)), column.ty.clone(), file]
        };
        output::table(&columns.iter().map(row).collect::<Vec<_>>());
    };
    if !plan.table_exists && !plan.columns.is_empty() {
        output::line("  the table would be created with these columns:");
        table(&plan.columns);
        return;
    }
    match &plan.columns_added[..] {
        [] => output::line("  no column would be added"),
        added => {
            output::line(format!("  {} would be added:", output::count(added.len() as u64, "column")));
            table(added);
        }
    }
}

fn sample(report: &SampleReport, files: u64) {
    let of = if report.is_all { "all".to_owned() } else { format!("the first {}", report.files) };
    let bytes = output::bytes(report.bytes);
    output::line(format!("  looked at {of} of {files} ({bytes} in {} requests):", report.get_requests));
    let (rows, bad) = (output::count(report.rows, "row"), report.rows_quarantined);
    let scope = if report.every_row { "these are all rows" } else { "other rows may differ" };
    output::line(format!("    {rows} decoded, {bad} would go to quarantine; {scope}"));
    for error in &report.errors {
        let column = if error.column.is_empty() { String::new() } else { format!("{}: ", shown(&error.column)) };
        output::line(format!(
            "      {column}{} ({}, first in {})",
            shown(&error.message),
            error.rows,
            shown(&error.file)
        ));
    }
    tell_files("would go to quarantine as a whole", &report.files_quarantined);
    tell_files("cannot be read", &report.files_failed);
}

fn tell_files(what: &str, files: &[FilePreview]) {
    for file in files {
        let message = output::printable(&file.message);
        output::line(format!("    {} {what} ({}): {message}", shown(&file.key), file.code));
    }
}

fn costs(plan: &ImportPlan) {
    let requests = |cost: &Cost| format!("{} list and about {} get requests", cost.list_requests, cost.get_requests);
    if let Some(cost) = &plan.at_cap {
        let ticks = output::count(cost.batches, "tick");
        let time = cost.seconds.map(duration).unwrap_or_default();
        output::line(format!("  at the cap: {ticks}, {time}, {}", requests(cost)));
    }
    let batches = output::count(plan.on_demand.batches, "batch").replace("batchs", "batches");
    output::line(format!("  on demand: {batches}, no cap, {}", requests(&plan.on_demand)));
    if let Some(next) = plan.next_time {
        output::line(format!("  the next time of the schedule is {next}"));
    }
}

/// Such as `200 min` or `3 h 20 min`.
fn duration(seconds: u64) -> String {
    match (seconds / 3_600, seconds % 3_600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_told_in_two_units_at_most() {
        let told = [59, 60, 61, 3_600, 12_000, 12_001].map(duration);
        assert_eq!(told, ["59 s", "1 min", "1 min 1 s", "1 h", "3 h 20 min", "3 h 20 min"]);
    }
}
