//! `connection check`: each permission probed by itself, and what to change about those that miss.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::Args;
use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::object::{ListedObject, SkipReason};
use connector_core::spec::{ConnectionSpec, ImportSpec};
use connector_core::uri::BucketUri;
use connector_datafile::suggest::nearest;
use connector_s3::doctor::{Finding, Reading, Use, Writing, examine};
use serde_json::{Value, json};

use super::files::is_called;
use super::report;
use crate::cli::{ConfigFolder, Ended, VerbResult, output, project, runtime};
use crate::config::Project;

/// Probe each permission of a connection by itself: who calls, whether the role can be assumed and holds others off,
/// listing, reading, decrypting, region, clock, endpoint; and writing, where tables are written through it.
///
/// What misses is named with the place to change and the statement or line to put there.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector connection check                                   all connections
  s3-connector connection check shop
  s3-connector connection check shop --bucket s3://my-bucket/in/  before there is a data source
  s3-connector connection check lake --bucket s3://lake/tables --write
  s3-connector connection check --json \\
      | jq '.connections[].findings[] | select(.outcome == \"failed\")'

Exit codes: 0 if nothing failed (warnings count as nothing), else that of the worst failure.")]
pub struct Check {
    /// The connection; without it, all of them
    name: Option<String>,
    #[command(flatten)]
    folder: ConfigFolder,
    /// Probe this bucket, or prefix of one, instead of those of the data sources
    #[arg(long, value_name = "URI")]
    bucket: Option<String>,
    /// Also put and delete a probe object, below the prefix of --bucket or of destination.uri
    #[arg(long)]
    write: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn execute(self) -> VerbResult {
        let project = project::load_without_data_sources(&self.folder)?;
        let chosen = self.chosen(&project)?;
        let uri = self.bucket.as_deref().map(bucket_uri).transpose()?;
        let mut planned = Vec::new();
        for spec in chosen {
            planned.push((spec, self.used(&project, spec, uri.as_ref())?));
        }
        runtime::block_on(|_| async {
            let mut checked = Vec::new();
            for (spec, used) in &planned {
                let findings = examine(spec, used, Arc::new(SystemClock), fastrand::u64(..)).await;
                let findings = findings.map_err(Failure::from)?;
                if !self.json {
                    report::lines(spec, &findings).iter().for_each(output::line);
                    output::line("");
                }
                checked.push((*spec, findings));
            }
            if self.json {
                output::line(as_json(&checked).to_string());
            }
            Ok::<_, Ended>(report::exit_code(checked.iter().flat_map(|(_, findings)| findings)))
        })
    }

    fn chosen<'p>(&self, project: &'p Project) -> Result<Vec<&'p ConnectionSpec>, Failure> {
        let names = || project.connections.iter().map(|spec| spec.name.as_str());
        let Some(name) = &self.name else {
            if project.connections.is_empty() {
                let message = "there is no connection to check; create one such as connections/shop.connection";
                return Err(Failure::config("no_connection", message));
            }
            return Ok(project.connections.iter().collect());
        };
        let found = project.connections.iter().find(|spec| is_called(&spec.name, name));
        found.map(|spec| vec![spec]).ok_or_else(|| {
            let hint = match nearest(name, names()) {
                Some(near) => format!("; did you mean {near}?"),
                None => format!("; there are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            Failure::config("unknown_connection", format!("there is no connection {name}{hint}"))
        })
    }

    /// What the connection is used for.
    fn used(&self, project: &Project, spec: &ConnectionSpec, uri: Option<&BucketUri>) -> Result<Use, Failure> {
        let is_writer = project.writer.as_ref().is_some_and(|writer| writer.name == spec.name);
        let destination = project.settings.bucket.as_ref().filter(|_| is_writer && uri.is_none());
        let destination =
            destination.map(|place| Writing { bucket: place.bucket.clone(), prefix: place.prefix.clone() });
        let writing = match uri {
            Some(uri) if self.write => {
                let prefix = uri.literal_prefix().trim_matches('/').to_owned();
                Some(Writing { bucket: uri.bucket().to_owned(), prefix })
            }
            None if self.write && destination.is_none() => {
                let message = format!(
                    "no tables are written through connection {}; say where a probe object may be put: --bucket \
                     s3://bucket/prefix",
                    spec.name
                );
                return Err(Failure::config("nowhere_to_write", message));
            }
            _ => destination,
        };
        let readings = match uri {
            Some(_) if self.write => Vec::new(),
            Some(uri) => vec![reading(uri, |_| true)],
            None => readings(project, spec),
        };
        Ok(Use { readings, writing })
    }
}

fn bucket_uri(text: &str) -> Result<BucketUri, Failure> {
    let whole = if text.starts_with("s3://") { text.to_owned() } else { format!("s3://{text}") };
    // A place that is named for the check has no use for the difference between a key and what lies under it.
    BucketUri::parse(whole.trim_end_matches('/'))
        .map_err(|error| Failure::config("bad_uri", format!("--bucket {text}: {error}; such as s3://my-bucket/prefix")))
}

fn reading(uri: &BucketUri, selects: impl Fn(&ListedObject) -> bool + Send + Sync + 'static) -> Reading {
    Reading {
        bucket: uri.bucket().to_owned(),
        prefix: uri.literal_prefix().to_owned(),
        uri: uri.as_str().to_owned(),
        selects: Box::new(selects),
    }
}

/// What the data sources read through the connection, each URI once.
fn readings(project: &Project, spec: &ConnectionSpec) -> Vec<Reading> {
    let mut seen = BTreeSet::new();
    let through = project.imports.iter().filter(|import| import.connection.name == spec.name);
    through
        .filter(|import| seen.insert(import.uri.as_str().to_owned()))
        .map(|import| {
            let import = import.clone();
            reading(&import.uri.clone(), move |object| would_read(&import, object))
        })
        .collect()
}

fn would_read(import: &ImportSpec, object: &ListedObject) -> bool {
    import.selects(&object.key, object.last_modified)
        && SkipReason::of_listing(&object.key, object.size).is_none()
        && import.format_of(&object.key).is_some()
}

fn as_json(checked: &[(&ConnectionSpec, Vec<Finding>)]) -> Value {
    let connections: Vec<Value> = checked
        .iter()
        .map(|(spec, findings)| {
            json!({
                "connection": spec.name,
                "ok": report::first_failure(findings).is_none(),
                "findings": report::as_json(findings),
            })
        })
        .collect();
    json!({ "connections": connections })
}
