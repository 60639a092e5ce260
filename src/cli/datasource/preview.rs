//! `datasource preview`: the first rows of a file as they would land.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::ports::ColumnEvidence;
use connector_core::preparation::reconcile;
use connector_core::schema::TableSchema;
use connector_core::spec::{Format, ImportSpec};
use connector_ledger::LedgerReader;
use serde_json::{Value, json};

use super::super::{ConfigFolder, Ended, VerbResult, output, project, runtime};
use super::looks;
use super::sample::{self, FormatName};
use crate::app::connect;
use crate::config::Project;
use crate::preview::{Base, LocalFile, Looked, Rules, Which, fetch_local, look, preview};

#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource preview orders                    the oldest file: it decides the columns
  s3-connector datasource preview orders --newest 3         the newest files, as the table is now
  s3-connector datasource preview orders --file orders/2025-01-31.csv --rows 50
  s3-connector datasource preview orders --local new.csv    would it fit, once it is uploaded?
  s3-connector datasource preview new.csv --evidence        what would it be, as a table of its own?
  s3-connector datasource preview 's3://my-bucket/*.csv' --connection shop")]
pub(super) struct PreviewVerb {
    #[command(flatten)]
    folder: ConfigFolder,
    /// A data source; or a file of this machine; or a URI, to be read through --connection
    #[arg(value_name = "DATASOURCE|FILE|URI")]
    target: String,
    /// The key of the file to look at; the oldest one that matches if left out
    #[arg(long, value_name = "KEY", conflicts_with_all = ["newest", "local"])]
    file: Option<String>,
    /// Look at this many of the newest files, as they would land in the table as it is now
    #[arg(long, value_name = "FILES", conflicts_with = "local")]
    newest: Option<usize>,
    /// Look at a file of this machine, as it would land in the table as it is now
    #[arg(long, value_name = "FILE")]
    local: Option<PathBuf>,
    /// The connection that reads a URI; can be left out if there is only one
    #[arg(long)]
    connection: Option<String>,
    /// The format, if no suffix tells it; for a file or a URI
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// Rows shown at most, of each file
    #[arg(long, default_value_t = 10)]
    rows: usize,
    /// Show why each column has its type
    #[arg(long)]
    evidence: bool,
    /// Print JSON; with --newest it has a list, files
    #[arg(long)]
    json: bool,
}

impl PreviewVerb {
    pub(super) fn execute(self) -> VerbResult {
        let (looked, next) = if self.target.starts_with("s3://") {
            self.only_for_data_sources(self.local.is_some(), "--local")?;
            let looked = project::with_parts(&self.folder, |parts, around| {
                let named = sample::connection_name(parts, self.connection.as_deref())?;
                let connection = project::connection(parts, around, &named)?;
                let selection = sample::selection(&self.target, self.format.map(Format::from))?;
                let looked = runtime::block_on(|_| async {
                    let source = sample::bucket(&connection, &selection.uri)?;
                    let which = self.which(&selection.uri)?;
                    Ok(preview(&selection, &Rules::default(), &source, which, None, SystemClock.now()).await?)
                })?;
                Ok((looked, named))
            });
            let (looked, named) = looked?;
            let uri = sample::quoted(&self.target);
            (looked, vec![format!("datasource generate {uri} --connection {named}")])
        } else if Path::new(&self.target).is_file() && !self.is_data_source() {
            self.only_for_data_sources(self.local.is_some(), "--local")?;
            self.only_for_data_sources(self.file.is_some(), "--file")?;
            self.only_for_data_sources(self.newest.is_some(), "--newest")?;
            let preview = self.local_file(Path::new(&self.target), None, &Rules::default(), None)?;
            let next = format!("datasource generate {}", sample::quoted(&self.target));
            (Looked { previews: vec![preview], complete: true }, vec![next])
        } else {
            (self.of_data_source()?, vec![format!("datasource sync {}", self.target)])
        };
        self.tell(&looked, &next);
        Ok(ExitCode::SUCCESS)
    }

    /// A word without anything that only paths have names a data source, if there is one.
    fn is_data_source(&self) -> bool {
        let file = sample::path_of(&self.folder.config, &self.target);
        file.is_file()
    }

    fn only_for_data_sources(&self, given: bool, option: &str) -> Result<(), Failure> {
        if given {
            let message = format!("{option} says nothing about {}: it is for data sources", self.target);
            return Err(Failure::config("usage", message));
        }
        Ok(())
    }

    fn which<'k>(&'k self, uri: &connector_core::uri::BucketUri) -> Result<Which<'k>, Failure> {
        match (&self.file, self.newest) {
            (Some(key), _) => Ok(Which::Key(sample::key_in(uri, key)?)),
            (None, Some(files)) => Ok(Which::Newest(files)),
            (None, None) => Ok(Which::Oldest),
        }
    }

    fn of_data_source(&self) -> Result<Looked, Ended> {
        let project = project::load_project(&self.folder)?;
        let spec = project::import(&project, &self.target)?;
        let rules = Rules::from(spec);
        let mut looked = if let Some(path) = &self.local {
            let base = base_of(&project, spec)?;
            let preview = self.local_file(path, spec.format, &rules, base.as_ref())?;
            Looked { previews: vec![preview], complete: true }
        } else {
            let base = if self.newest.is_some() { base_of(&project, spec)? } else { None };
            runtime::block_on(|_| async {
                let source = connect(spec, Arc::new(SystemClock))?.bucket(spec.uri.bucket());
                let which = self.which(&spec.uri)?;
                Ok(preview(&spec.into(), &rules, &source, which, base, SystemClock.now()).await?)
            })?
        };
        for found in &mut looked.previews {
            if let Some(evidence) = recorded_evidence(&project, spec, &found.object.key)? {
                found.evidence = evidence;
            }
        }
        Ok(looked)
    }

    fn local_file(
        &self,
        path: &Path,
        format: Option<Format>,
        rules: &Rules,
        base: Option<&Base>,
    ) -> Result<crate::preview::Preview, Ended> {
        let file = LocalFile::open(path)?;
        let format = self.format.map(Format::from).or(format).map_or_else(|| file.format(), Ok)?;
        let fetched = runtime::block_on(|_| async { Ok(fetch_local(&file, format).await?) })?;
        Ok(look(&fetched, rules, base, SystemClock.now())?.0)
    }

    fn tell(&self, looked: &Looked, next: &[String]) {
        if !looked.complete {
            output::note("note: the listing is long and was not read to its end; there may be older and newer files");
        }
        if self.json {
            let mut files = looked.previews.iter().map(|found| looks::as_json(found, self.rows));
            let document = match self.newest {
                Some(_) => json!({ "files": files.collect::<Vec<_>>() }),
                None => files.next().unwrap_or(Value::Null),
            };
            return output::line(document.to_string());
        }
        for (at, found) in looked.previews.iter().enumerate() {
            if at > 0 {
                output::line("");
            }
            looks::show(found, self.rows, self.evidence);
        }
        sample::tell_next(&sample::commands(&self.folder.config, next));
    }
}

/// What the import has decided already; `None` before its first file.
fn base_of(project: &Project, spec: &ImportSpec) -> Result<Option<Base>, Failure> {
    let Some(ledger) = LedgerReader::open(&project.settings.data_dir)? else { return Ok(None) };
    let record = ledger.record(&spec.name)?;
    let Some((table, reference)) = record.and_then(|record| record.schema.zip(record.reference)) else {
        return Ok(None);
    };
    let Some(columns) = &spec.columns else {
        return Ok(Some(Base { schema: table, added: Vec::new(), reference }));
    };
    let declared = TableSchema { columns: columns.clone(), partition: spec.partition.clone() };
    let reconciled = reconcile(&declared, &table)?;
    Ok(Some(Base { schema: reconciled.schema, added: reconciled.added, reference }))
}

/// What the ledger keeps of the schema's reference file, if this is it.
fn recorded_evidence(project: &Project, spec: &ImportSpec, key: &str) -> Result<Option<Vec<ColumnEvidence>>, Failure> {
    let Some(ledger) = LedgerReader::open(&project.settings.data_dir)? else { return Ok(None) };
    let reference = ledger.record(&spec.name)?.and_then(|record| record.reference);
    let same = reference.filter(|reference| reference.key == key && !reference.evidence.is_empty());
    Ok(same.map(|reference| reference.evidence))
}
