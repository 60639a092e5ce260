//! `audit`: whether every row is in the tables exactly once, and what the bucket has that they lack. Works beside the
//! running program.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use connector_core::audit::{KeyFinding, KeyKind, Sums};
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::{ErrorClass, Failure};
use connector_core::explain::quoted;
use connector_core::spec::ImportSpec;
use connector_ledger::LedgerReader;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::output::printable;
use super::{ConfigFolder, Ended, VerbResult, code_of, output, project, runtime, worse};
use crate::app::connect;
use crate::audit::{Auditor, BucketReport, RowReport, VersionFinding, without_ledger};
use crate::config::Project;
use crate::destination::Destinations;

/// Compare bucket, ledger and tables: is every row there exactly once, and every object seen?
#[derive(Args)]
#[command(after_help = "\
Beside a running program it waits for a moment between two batches. Nothing is changed.

Exit codes:
  0  every row is there once, or nothing ever ran
  2  the ledger is lost: there is a table whose import it does not know
  3  rows are missing, doubled or foreign; or objects that two scans should have shown were not seen
  4  the import was too busy, or the bucket could not be listed

Examples:
  s3-connector audit
  s3-connector audit orders --no-listing
  s3-connector audit --json | jq '.[] | select(.clean | not)'")]
pub struct Audit {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source; all of them if left out
    datasource: Option<String>,
    /// Compare ledger and tables only
    #[arg(long)]
    no_listing: bool,
    /// Also end with 3 if objects have changed since they were ingested
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is told of one import.
#[derive(Serialize)]
struct Audited {
    import: String,
    /// The name of the bucket that it reads.
    reads: String,
    /// Nothing is wrong, and everything could be looked at.
    clean: bool,
    /// There is neither a ledger nor a table: there is nothing to compare.
    never_ran: bool,
    /// `None` if it could not be done.
    rows: Option<RowReport>,
    bucket: Option<BucketReport>,
    /// What could not be done, and why.
    failures: Vec<Value>,
}

impl Audit {
    pub fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let wanted = match &self.datasource {
            Some(name) => vec![project::import(&project, name)?],
            None => project.imports.iter().collect(),
        };
        let ledger = project::open_ledger(&project)?;
        let (mut all, mut worst) = (Vec::new(), None);
        for spec in wanted {
            let (audited, class) = runtime::block_on(|io| async {
                Ok::<_, Ended>(self.audit(&project, spec, ledger.as_ref(), io).await)
            })?;
            worst = worse(worst, class);
            if self.json {
                all.push(json!(audited));
            } else {
                tell(&audited);
            }
        }
        if self.json {
            output::line(Value::Array(all).to_string());
        }
        Ok(worst.map_or(ExitCode::SUCCESS, code_of))
    }

    async fn audit(
        &self,
        project: &Project,
        spec: &ImportSpec,
        ledger: Option<&LedgerReader>,
        io: Handle,
    ) -> (Audited, Option<ErrorClass>) {
        let mut audited = Audited {
            import: spec.name.to_string(),
            reads: spec.uri.bucket().to_owned(),
            clean: true,
            never_ran: false,
            rows: None,
            bucket: None,
            failures: Vec::new(),
        };
        let mut worst = None;
        let mut failed = |failures: &mut Vec<Value>, failure: Failure| {
            worst = worse(worst, Some(failure.class));
            // Contradictions name the import so in the commands that mend them.
            let message = failure.message.replace("NAME", spec.name.as_str());
            failures.push(json!({ "class": failure.class, "code": failure.code, "message": message }));
        };
        let Some(ledger) = ledger else {
            match nothing_made(project, spec, io).await {
                Ok(()) => audited.never_ran = true,
                Err(failure) => failed(&mut audited.failures, failure),
            }
            audited.clean = worst.is_none();
            return (audited, worst);
        };
        match rows(project, spec, ledger, io.clone()).await {
            Ok(report) => audited.rows = Some(report),
            Err(failure) => failed(&mut audited.failures, failure),
        }
        if !self.no_listing {
            match bucket(project, spec, ledger, io).await {
                Ok(report) => audited.bucket = Some(report),
                Err(failure) => failed(&mut audited.failures, failure),
            }
        }
        let rows_clean = audited.rows.as_ref().is_none_or(RowReport::is_clean);
        let bucket_clean =
            audited.bucket.as_ref().is_none_or(|bucket| bucket.overdue == 0 && !(self.strict && bucket.changed > 0));
        if !(rows_clean && bucket_clean) {
            worst = worse(worst, Some(ErrorClass::Data));
        }
        audited.clean = worst.is_none();
        (audited, worst)
    }
}

fn auditor<'a>(
    project: &Project,
    spec: &'a ImportSpec,
    ledger: &'a LedgerReader,
    io: Handle,
) -> Result<Auditor<'a>, Failure> {
    let tables = Destinations::new(project, Arc::new(SystemClock), io.clone())?.tables(spec)?;
    let (table, quarantine) = (tables.table, tables.quarantine);
    Ok(Auditor { spec, ledger, table, quarantine, io, now: SystemClock.now() })
}

/// Whether no table of the import is there, either.
async fn nothing_made(project: &Project, spec: &ImportSpec, io: Handle) -> Result<(), Failure> {
    let tables = Destinations::new(project, Arc::new(SystemClock), io)?.tables(spec)?;
    without_ledger(&tables.table, &tables.quarantine).await
}

async fn rows(project: &Project, spec: &ImportSpec, ledger: &LedgerReader, io: Handle) -> Result<RowReport, Failure> {
    auditor(project, spec, ledger, io)?.rows().await
}

async fn bucket(
    project: &Project,
    spec: &ImportSpec,
    ledger: &LedgerReader,
    io: Handle,
) -> Result<BucketReport, Failure> {
    let source = connect(spec, Arc::new(SystemClock))?.bucket(spec.uri.bucket());
    let import = ledger.record(&spec.name)?.map(|record| record.uuid);
    let last_scan_at = ledger.counts(&spec.name, SystemClock.now())?.and_then(|counts| counts.last_scan_at);
    auditor(project, spec, ledger, io)?.bucket(&source, import, last_scan_at).await
}

/// Findings of each kind that are printed; `--json` has more.
const SHOWN: usize = 20;
/// Ranges of rows that are printed of each.
const SHOWN_RANGES: usize = 8;

fn tell(audited: &Audited) {
    let verdict = match (audited.never_ran, audited.clean) {
        (true, _) => "nothing ever ran, so there is nothing to compare",
        (false, true) => "clean",
        (false, false) => "not clean",
    };
    output::line(format!("{}: {verdict}", audited.import));
    if let Some(rows) = &audited.rows {
        output::line(format!("  {}", equation(&rows.sums)));
        tell_rows(rows, &audited.import);
    }
    if let Some(bucket) = &audited.bucket {
        tell_bucket(bucket, &audited.reads);
    }
    for failure in &audited.failures {
        let text = |name: &str| failure[name].as_str().unwrap_or_default().to_owned();
        output::line(format!("  could not be done ({}): {}", text("code"), printable(&text("message"))));
    }
}

/// What has to be true, by the ledger.
fn equation(sums: &Sums) -> String {
    format!(
        "{} read from {} = {} in the table + {} in quarantine + {} removed on purpose",
        output::count(sums.read, "row"),
        output::count(sums.versions, "object version"),
        sums.in_table,
        sums.in_quarantine,
        sums.removed
    )
}

fn tell_rows(rows: &RowReport, import: &str) {
    let sums = &rows.sums;
    if (sums.found_in_table, sums.found_in_quarantine) == (sums.in_table, sums.in_quarantine) {
        output::line("  the tables hold as many");
    } else {
        output::line(format!(
            "  the tables hold {} and {}",
            output::count(sums.found_in_table, "row"),
            sums.found_in_quarantine
        ));
    }
    if sums.unbalanced > 0 {
        let versions = output::count(sums.unbalanced, "object version");
        output::line(format!("  unbalanced: the ledger itself does not add up for {versions}"));
        output::line(format!("      s3-connector ledger rebuild {import}"));
    }
    if rows.nameless > 0 {
        output::line(format!("  foreign: {} without provenance", output::count(rows.nameless, "row")));
        output::line("      another program wrote them; they count as nobody's, and only it can tell what they are");
    }
    for finding in rows.findings.iter().take(SHOWN) {
        tell_finding(finding);
    }
    let more = rows.findings.len().saturating_sub(SHOWN) as u64 + rows.versions_beside;
    if more > 0 {
        output::line(format!("  and {more} more; --json has the first 1,000 object versions"));
    }
}

fn tell_finding(finding: &VersionFinding) {
    let key = finding.key.as_deref().map_or_else(|| "an unknown file".to_owned(), printable);
    let which = match (finding.ordinals.is_empty(), finding.exact) {
        (true, _) => String::new(),
        (false, true) => format!(" (row {})", finding.ordinals.shown(SHOWN_RANGES)),
        (false, false) => format!(" (of the rows {})", finding.ordinals.shown(SHOWN_RANGES)),
    };
    let rows = output::count(finding.rows, "row");
    output::line(format!("  {}: {rows} of {key}{which}, version {}", finding.kind.as_str(), finding.version));
    output::line(format!("      {}", finding.meaning));
    finding.remedy.iter().for_each(|command| output::line(format!("      {command}")));
}

fn tell_bucket(bucket: &BucketReport, name: &str) {
    output::line(format!(
        "  {} {}: {} unseen, {} changed, {} vanished",
        output::count(bucket.objects, "object"),
        if bucket.objects == 1 { "matches" } else { "match" },
        bucket.unseen,
        bucket.changed,
        bucket.vanished
    ));
    for kind in [KeyKind::Unseen, KeyKind::Changed, KeyKind::Vanished] {
        let of_kind = || bucket.findings.iter().filter(move |finding| finding.kind == kind);
        // What is overdue is what matters.
        let mut first: Vec<&KeyFinding> = of_kind().collect();
        first.sort_by_key(|finding| !finding.overdue);
        for finding in first.into_iter().take(SHOWN) {
            output::line(format!("  {}: {}: {}", kind.as_str(), printable(&finding.key), finding.note));
            let uri = format!("s3://{name}/{}", finding.key);
            output::line(format!("      s3-connector explain {}", printable(&quoted(&uri))));
        }
        let more = of_kind().count().saturating_sub(SHOWN);
        if more > 0 {
            output::line(format!("  and {more} more {}; --json has the first 1,000", kind.as_str()));
        }
    }
}
