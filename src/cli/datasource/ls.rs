//! `datasource ls`: every data source, what it reads, and what its table holds.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use connector_core::clock::SystemClock;
use connector_core::error::{ErrorClass, Failure};
use connector_core::history::HistoryQuery;
use connector_core::spec::ImportSpec;
use connector_datafile::DataSource;
use connector_delta::DeltaTable;
use connector_ledger::LedgerReader;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{ConfigFolder, VerbResult, code_of, output, project, runtime};
use super::sample;
use crate::config::{Parts, Project};
use crate::destination::Destinations;

/// List the data sources: what they read, and what their tables hold
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource ls
  s3-connector datasource ls --match 'order*' --json")]
pub(super) struct Ls {
    #[command(flatten)]
    folder: ConfigFolder,
    /// Only those whose names match, with * for anything
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A data source in the list.
struct Entry<'p> {
    source: &'p DataSource,
    /// `None` if the configuration cannot be used, or the data source has no import.
    held: Option<Held>,
}

/// What the tables of an import hold.
#[derive(Default)]
struct Held {
    /// Where the table is, for people.
    table: String,
    /// `None` without a table.
    rows: Option<u64>,
    bytes: Option<u64>,
    quarantined: Option<u64>,
    /// When the last batch ended.
    updated: Option<Timestamp>,
    /// Why nothing is known.
    failure: Option<Failure>,
}

impl Ls {
    pub(super) fn execute(self) -> VerbResult {
        project::with_parts(&self.folder, |parts, _| self.list(parts))
    }

    fn list(&self, parts: &Parts) -> VerbResult {
        if !self.folder.config.is_dir() {
            let message = format!(
                "there is no folder {}; the first connection makes it: s3-connector connection create s3_iamrole",
                self.folder.config.display()
            );
            return Err(Failure::config("no_configuration", message).into());
        }
        let wanted: Vec<&DataSource> = parts.datasources.iter().filter(|source| self.matches(&source.name)).collect();
        if wanted.is_empty() && !self.json {
            let all = if parts.datasources.is_empty() { "" } else { "such " };
            output::line(format!("there is no {all}data source in {}", self.folder.config.display()));
            let verbs = [match parts.connections.first() {
                None => "connection create s3_iamrole".to_owned(),
                Some(connection) => {
                    format!("datasource generate 's3://my-bucket/*.csv' --connection {}", connection.name)
                }
            }];
            sample::tell_next(&sample::commands(&self.folder.config, &verbs));
            return Ok(ExitCode::SUCCESS);
        }
        // Its problems go to standard error; the files are listed all the same.
        let project = project::load_project(&self.folder).ok();
        let entries = wanted.into_iter().map(|source| {
            let spec = project.iter().flat_map(|project| &project.imports);
            let spec = spec.into_iter().find(|spec| spec.name.as_str() == source.name);
            Entry { source, held: project.as_ref().zip(spec).map(|(project, spec)| held(project, spec)) }
        });
        let entries: Vec<Entry<'_>> = entries.collect();
        if self.json {
            output::line(Value::Array(entries.iter().map(Entry::as_json).collect()).to_string());
        } else {
            show(&entries);
        }
        let failure = entries.iter().find_map(|entry| entry.held.as_ref()?.failure.as_ref());
        let class = failure.map(|failure| failure.class).or(project.is_none().then_some(ErrorClass::Config));
        Ok(class.map_or(ExitCode::SUCCESS, code_of))
    }

    fn matches(&self, name: &str) -> bool {
        let Some(pattern) = &self.pattern else { return true };
        glob(pattern.as_bytes(), name.as_bytes())
    }
}

/// Whether a name matches a pattern in which `*` is anything.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|at| glob(rest, &name[at..])),
        [letter, rest @ ..] => name.first() == Some(letter) && glob(rest, &name[1..]),
    }
}

fn held(project: &Project, spec: &ImportSpec) -> Held {
    let read = runtime::block_on(|io| async {
        let destinations = Destinations::new(project, Arc::new(SystemClock), io)?;
        let (table, location) = (destinations.table(spec)?, destinations.table_location(spec));
        Ok((location, count(&table).await, count(&destinations.quarantine(spec)?).await))
    });
    let (table, table_counts, quarantine_counts) = match read {
        Ok(read) => read,
        Err(super::super::Ended::Failed(failure)) => return Held { failure: Some(failure), ..Held::default() },
        Err(super::super::Ended::Told(class)) => {
            let failure = Failure::new(class, "table", "the table cannot be read");
            return Held { failure: Some(failure), ..Held::default() };
        }
    };
    let mut held = Held { table, updated: last_batch(project, spec).ok().flatten(), ..Held::default() };
    match table_counts {
        Ok(found) => (held.rows, held.bytes) = found.map_or((None, None), |(rows, bytes)| (rows, Some(bytes))),
        Err(failure) => held.failure = Some(failure),
    }
    match quarantine_counts {
        Ok(found) => held.quarantined = found.and_then(|(rows, _)| rows),
        Err(failure) => held.failure = held.failure.or(Some(failure)),
    }
    held
}

/// Rows and bytes of a table, by its log.
async fn count(table: &DeltaTable) -> Result<Option<(Option<u64>, u64)>, Failure> {
    let scan = table.scan(Some(&[])).await?;
    Ok(scan.map(|scan| (scan.row_count(), scan.byte_count())))
}

/// Batches that are looked at for one that was committed.
const RECENT: u32 = 20;

fn last_batch(project: &Project, spec: &ImportSpec) -> Result<Option<Timestamp>, Failure> {
    let Some(ledger) = LedgerReader::open(&project.settings.data_dir)? else { return Ok(None) };
    let query = HistoryQuery { limit: RECENT, before: None, files: false, outcome: None };
    let page = ledger.history(&spec.name, &query)?.unwrap_or_default();
    let committed = page.batches.into_iter().filter(|batch| batch.state == "committed");
    Ok(committed.filter_map(|batch| batch.ended_at).max())
}

impl Entry<'_> {
    fn uri(&self) -> Option<&str> {
        self.source.import.as_ref().map(|import| import.uri.value.as_str())
    }

    fn connection(&self) -> Option<&str> {
        self.source.connection.as_ref().map(|connection| connection.value.as_str())
    }

    fn schedule(&self) -> Option<String> {
        self.source.import.as_ref().map(|import| import.schedule.as_str().to_string())
    }

    fn as_json(&self) -> Value {
        let held = self.held.as_ref();
        json!({
            "name": self.source.name,
            "file": self.source.file.name(),
            "description": self.source.description.as_ref().map(|text| text.value.as_str()),
            "connection": self.connection(),
            "uri": self.uri(),
            "schedule": self.schedule(),
            "table": held.map(|held| held.table.as_str()),
            "rows": held.and_then(|held| held.rows),
            "bytes": held.and_then(|held| held.bytes),
            "rows_quarantined": held.and_then(|held| held.quarantined),
            "updated": held.and_then(|held| held.updated).map(|time| time.to_string()),
            "error": held.and_then(|held| held.failure.as_ref()).map(|failure| json!({ "code": failure.code, "message": failure.message })),
        })
    }
}

fn show(entries: &[Entry<'_>]) {
    let heading = ["NAME", "ROWS", "QUARANTINED", "SIZE", "UPDATED", "CONNECTION", "SCHEDULE", "READS"];
    let mut table = vec![heading.map(str::to_owned).to_vec()];
    for entry in entries {
        let held = entry.held.as_ref();
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let text = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let updated = held.and_then(|held| held.updated);
        table.push(vec![
            entry.source.name.clone(),
            number(held.and_then(|held| held.rows)),
            number(held.and_then(|held| held.quarantined)),
            held.and_then(|held| held.bytes).map_or_else(|| "-".to_owned(), output::bytes),
            updated.map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            text(entry.connection()),
            text(entry.schedule().as_deref()),
            text(entry.uri()),
        ]);
    }
    output::table(&table);
    for entry in entries {
        if let Some(failure) = entry.held.as_ref().and_then(|held| held.failure.as_ref()) {
            output::error(&format!("{}: {failure}", entry.source.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn a_star_is_anything() {
        for (pattern, name, expected) in [
            ("orders", "orders", true),
            ("order", "orders", false),
            ("*", "", true),
            ("o*s", "orders", true),
            ("*der*", "orders", true),
            ("*x*", "orders", false),
            ("", "orders", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), expected, "{pattern}");
        }
    }
}
