//! `check`: is the configuration right, can S3 be reached, and what would each import read?

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::object::SkipReason;
use connector_core::ports::ObjectSource;
use connector_core::spec::{Access, ImportSpec};

use super::{ConfigFolder, Ended, VerbResult, code_of, output, project, runtime, worse};
use crate::app::connect;
use crate::config::Project;

/// Check the configuration, the access to S3, and what each import would read. Imports nothing.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector check
  s3-connector check --offline     the files only, for CI")]
pub struct Check {
    #[command(flatten)]
    folder: ConfigFolder,
    /// Do not reach for S3
    #[arg(long)]
    offline: bool,
}

/// Matches shown of each import.
const SHOWN_MATCHES: usize = 5;
/// Pages listed of each import; a larger bucket is counted as "more than".
const MAX_PAGES: usize = 20;

impl Check {
    pub fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        output::line(format!(
            "configuration: {} import{} in {}",
            project.imports.len(),
            if project.imports.len() == 1 { "" } else { "s" },
            self.folder.config.display()
        ));
        if self.offline {
            return Ok(ExitCode::SUCCESS);
        }
        runtime::block_on(|_| async { Ok::<_, Ended>(check_access(&project).await) })
    }
}

async fn check_access(project: &Project) -> ExitCode {
    let mut worst = None;
    for spec in &project.imports {
        output::line(format!(
            "\n{} reads {} through connection {}",
            spec.name,
            spec.uri.as_str(),
            spec.connection.name
        ));
        if let Access::Role { arn, external_id, .. } = &spec.connection.access {
            output::line(format!("  role {arn}, external id {external_id}"));
        }
        match look(spec).await {
            Ok(found) => found.show(),
            Err(failure) => {
                output::line(format!("  failed ({}): {failure}", failure.code));
                worst = worse(worst, Some(failure.class));
            }
        }
    }
    worst.map_or(ExitCode::SUCCESS, code_of)
}

#[derive(Default)]
struct Found {
    listed: u64,
    matches: u64,
    skipped: u64,
    bytes: u64,
    first: Vec<String>,
    complete: bool,
}

async fn look(spec: &ImportSpec) -> Result<Found, Failure> {
    let bucket = connect(spec, Arc::new(SystemClock))?.bucket(spec.uri.bucket());
    let mut found = Found::default();
    let mut continuation = None;
    for _ in 0..MAX_PAGES {
        let page = bucket.list_page(spec.uri.literal_prefix(), continuation.as_deref()).await?;
        for object in page.objects {
            found.listed += 1;
            if !spec.selects(&object.key, object.last_modified) {
                continue;
            }
            if SkipReason::of_listing(&object.key, object.size).is_some() || spec.format_of(&object.key).is_none() {
                found.skipped += 1;
                continue;
            }
            found.matches += 1;
            found.bytes += object.size;
            if found.first.len() < SHOWN_MATCHES {
                found.first.push(object.key);
            }
        }
        continuation = page.next;
        if continuation.is_none() {
            found.complete = true;
            break;
        }
    }
    Ok(found)
}

impl Found {
    fn show(&self) {
        let more = if self.complete { "" } else { "more than " };
        output::line(format!(
            "  {more}{} files match ({}), of {more}{} objects listed; {} skipped",
            self.matches,
            output::bytes(self.bytes),
            self.listed,
            self.skipped
        ));
        for key in &self.first {
            output::line(format!("    {key}"));
        }
        if self.matches > self.first.len() as u64 {
            output::line("    ...");
        }
    }
}
