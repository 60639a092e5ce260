//! `datasource create`: a `.datasource` from flags, or one to fill in. Reaches for nothing.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use connector_core::spec::Format;
use connector_datafile::write::datasource::{Draft, DraftImport};
use serde_json::json;

use super::super::{ConfigFolder, VerbResult, output, project};
use super::sample::{self, FormatName};
use crate::config::Parts;
use crate::generate::read_back;

/// Write a .datasource from flags; with a name alone, one to fill in
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource create orders                    a file to fill in
  s3-connector datasource create orders --uri 's3://my-bucket/orders/*.csv' --connection shop
  s3-connector datasource create orders --uri 's3://my-bucket/*.csv' \\
      --column 'id UInt64' --column 'at DateTime'
  s3-connector datasource create orders --column 'id UInt64' --column 'at DateTime' \\
      --ttl 'at + toIntervalDay(90)'

Without --column the first file that is imported decides the columns; `datasource generate` finds
them out beforehand.")]
pub(super) struct Create {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The name of the data source
    name: String,
    /// Where the files are
    #[arg(long)]
    uri: Option<String>,
    /// The connection that reads them; can be left out if there is only one
    #[arg(long, requires = "uri")]
    connection: Option<String>,
    /// When to import: @auto (each minute) or @on-demand (when asked)
    #[arg(long, default_value = "@auto")]
    schedule: String,
    /// The format, if no suffix tells it
    #[arg(long, value_enum, requires = "uri")]
    format: Option<FormatName>,
    /// Only files that were written at this time or later, such as 2025-01-01T00:00:00Z
    #[arg(long, value_name = "TIME", requires = "uri")]
    from: Option<String>,
    /// A column as SCHEMA has it: name, type, and what else; once for each column
    #[arg(long = "column", value_name = "COLUMN")]
    columns: Vec<String>,
    /// What the data source is
    #[arg(long)]
    description: Option<String>,
    /// ENGINE
    #[arg(long, default_value = "MergeTree")]
    engine: String,
    /// ENGINE_SORTING_KEY
    #[arg(long, value_name = "COLUMNS")]
    sorting_key: Option<String>,
    /// ENGINE_PARTITION_KEY
    #[arg(long, value_name = "COLUMN")]
    partition_key: Option<String>,
    /// ENGINE_TTL: when rows expire
    #[arg(long, value_name = "EXPRESSION")]
    ttl: Option<String>,
    /// Replace the file if there is one
    #[arg(long)]
    force: bool,
    /// Print the file instead of writing it
    #[arg(long)]
    stdout: bool,
    /// Print JSON: name, file, text, next
    #[arg(long)]
    json: bool,
}

impl Create {
    pub(super) fn execute(self) -> VerbResult {
        project::with_parts(&self.folder, |parts, _| self.create(parts))
    }

    fn create(&self, parts: &Parts) -> VerbResult {
        let draft = self.draft(parts)?;
        let (text, _) = read_back(&self.name, &draft).map_err(sample::ended)?;
        let path = match self.stdout {
            true => None,
            false => Some(sample::write(&self.folder.config, parts, &self.name, &text, self.force)?),
        };
        let next = self.next(path.as_deref(), parts);
        if self.json {
            let file = path.map(|path| path.display().to_string());
            output::line(json!({ "name": self.name, "file": file, "text": text, "next": next }).to_string());
            return Ok(ExitCode::SUCCESS);
        }
        match &path {
            None => output::line(text.trim_end()),
            Some(path) => {
                output::line(format!("{} written", path.display()));
                if draft.import.is_none() {
                    output::note("put a connection and a URI into its last lines, and remove the '#' there; then");
                }
                sample::tell_next(&next);
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn draft(&self, parts: &Parts) -> Result<Draft, connector_core::error::Failure> {
        let format = self.format.map(Format::from);
        let import = match &self.uri {
            None => None,
            Some(uri) => {
                sample::parse_uri(uri)?;
                Some(DraftImport {
                    connection: sample::connection_name(parts, self.connection.as_deref())?,
                    uri: uri.clone(),
                    schedule: self.schedule.clone(),
                    format,
                    from_timestamp: self.from.clone(),
                })
            }
        };
        let settings = [
            ("ENGINE_PARTITION_KEY", &self.partition_key),
            ("ENGINE_SORTING_KEY", &self.sorting_key),
            ("ENGINE_TTL", &self.ttl),
        ];
        let engine_settings = settings.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        Ok(Draft {
            suggest_schema: true,
            description: self.description.clone(),
            declarations: self.columns.clone(),
            engine: Some(self.engine.clone()),
            engine_settings,
            import,
            format,
            ..Draft::default()
        })
    }

    fn next(&self, path: Option<&Path>, parts: &Parts) -> Vec<String> {
        if path.is_none() {
            return Vec::new();
        }
        let mut verbs = Vec::new();
        let wanted = self.connection.as_deref().map(connector_datafile::datasource::connection_name);
        let is_there = |name: &str| parts.connections.iter().any(|connection| connection.name == name);
        if let Some(missing) = wanted.filter(|name| !is_there(name)) {
            verbs.push(format!("connection create s3_iamrole --name {missing}"));
        } else if parts.connections.is_empty() {
            verbs.push("connection create s3_iamrole".to_owned());
        }
        verbs.push("check".to_owned());
        if self.uri.is_some() {
            verbs.push(format!("datasource preview {}", self.name));
            verbs.push("push".to_owned());
        }
        verbs.push("run --once".to_owned());
        sample::commands(&self.folder.config, &verbs)
    }
}
