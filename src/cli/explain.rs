//! `explain`: why an object was ingested or not, which rule decided, and when it is its turn. Asks the bucket and the
//! ledger, whether the program runs or not.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::explain::{Explanation, Now, Verdict, VersionLine};
use serde_json::json;

use super::output::printable;
use super::{ConfigFolder, VerbResult, output, project, running, runtime};
use crate::app::connect;
use crate::config::Project;
use crate::explain::{Address, Concerned, Explainer, look};

/// Say why an object was ingested or not, which rule decided, and what happens next
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector explain s3://my-bucket/orders/2025-01-31.csv
  s3-connector explain s3://my-bucket/orders/2025-01-31.csv --json | jq -r '.[].verdict'")]
pub struct Explain {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The object: s3://BUCKET/KEY
    uri: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let address = Address::parse(&self.uri)?;
        let ledger = project::open_ledger(&project)?;
        let running = running::find(&project);
        let explainer = Explainer {
            ledger: ledger.as_ref(),
            status: running.as_ref().map(|running| &running.status),
            now: SystemClock.now(),
        };
        let concerned = explainer.concerned(&project.imports, &address)?;
        let objects = objects(&concerned, &address)?;
        let mut answers = Vec::new();
        for ((spec, versions), object) in concerned.iter().zip(objects) {
            answers.push(explainer.answer(spec, &address, object, versions)?);
        }
        if self.json {
            output::line(json!(answers).to_string());
        } else {
            tell(&self.uri, &answers, &project);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What each import's bucket shows of the key.
fn objects(concerned: &[Concerned<'_>], address: &Address) -> Result<Vec<Now>, super::Ended> {
    runtime::block_on(|_| async {
        let mut objects = Vec::new();
        for (spec, _) in concerned {
            objects.push(match connect(spec, Arc::new(SystemClock)) {
                // Another bucket is not this connection's to ask.
                _ if spec.uri.bucket() != address.bucket => Now::Absent,
                Ok(connection) => look(&connection.bucket(address.bucket.as_str()), &address.key).await,
                Err(Failure { message, code, .. }) => Now::Unreachable(format!("{message} ({code})")),
            });
        }
        Ok(objects)
    })
}

fn tell(uri: &str, answers: &[Explanation], project: &Project) {
    output::line(printable(uri));
    if answers.iter().all(|answer| answer.verdict == Verdict::OtherBucket) {
        let buckets: BTreeSet<&str> = project.imports.iter().map(|spec| spec.uri.bucket()).collect();
        let read = Vec::from_iter(buckets).join(", ");
        let read = if read.is_empty() { "there are no imports".to_owned() } else { format!("read are: {read}") };
        return output::line(format!("  no import reads this bucket; {read}"));
    }
    for answer in answers {
        output::line(format!("\n{}: {}", answer.import, verdict(answer)));
        output::line(format!("  {}", printable(&answer.because)));
        answer.details.iter().for_each(|detail| output::line(format!("  {}", printable(detail))));
        output::line(format!("  next: {}", printable(&answer.next)));
        answer.commands.iter().for_each(|command| output::line(format!("    {}", printable(command))));
        show_versions(&answer.versions);
    }
}

/// Such as `partly quarantined`.
fn verdict(answer: &Explanation) -> String {
    json!(answer.verdict).as_str().unwrap_or_default().replace('_', " ")
}

fn show_versions(versions: &[VersionLine]) {
    if versions.is_empty() {
        return;
    }
    let heading = ["  VERSION", "STATE", "FIRST SEEN", "SIZE", "ROWS", "TABLE", "QUARANTINE", "REMOVED", ""];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(versions.iter().map(|version| {
        let state = match &version.reason {
            Some(reason) => format!("{} ({reason})", version.state),
            None => version.state.clone(),
        };
        vec![
            format!("  {}", version.version),
            state,
            version.first_seen.to_string(),
            output::bytes(version.size),
            version.rows_read.to_string(),
            version.rows_in_table.to_string(),
            version.rows_in_quarantine.to_string(),
            version.rows_removed.to_string(),
            if version.current { "in the bucket now".to_owned() } else { String::new() },
        ]
    }));
    output::table(&rows);
}
