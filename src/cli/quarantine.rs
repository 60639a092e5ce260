//! `quarantine`: what was set aside, why, and what to do about it. Reads the quarantine table itself, whether the program
//! runs or not.

mod replay;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::quarantine::{QuarantineFilter, QuarantinedRow, rows_of, shown};
use connector_core::schema::TableSchema;
use connector_core::spec::ImportSpec;
use serde_json::json;

use super::{ConfigFolder, Ended, VerbResult, output, project, runtime};
use crate::config::Project;
use crate::destination::Destinations;
use crate::quarantine::{ExportFormat, Exporter, Group, Groups, row_json};

/// Show, search, export and replay the rows that do not fit.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector quarantine ls
  s3-connector quarantine replay orders --yes")]
pub struct Quarantine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Group the rows of quarantine by what is wrong with them, with a suggestion for each
    Ls(Ls),
    /// Show single rows with their raw records
    Show(Show),
    /// Write rows as CSV or NDJSON
    Export(Export),
    /// Move the rows that fit by now into the table
    Replay(replay::Replay),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector quarantine ls
  s3-connector quarantine ls orders --json")]
struct Ls {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source; all of them if left out
    datasource: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector quarantine show orders --column amount
  s3-connector quarantine show orders --file orders/2025-01-31.csv --limit 100")]
struct Show {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    #[command(flatten)]
    filter: FilterArgs,
    /// Rows shown at most
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// Print JSON: a list of rows
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector quarantine export orders > bad.csv
  s3-connector quarantine export orders --format ndjson --column amount --output bad.ndjson")]
struct Export {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The data source
    datasource: String,
    #[command(flatten)]
    filter: FilterArgs,
    /// The format
    #[arg(long, value_enum, default_value = "csv")]
    format: ExportFormat,
    /// The file to write; standard output if left out
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Print JSON: what was written. Not for rows on standard output, which --format ndjson writes as JSON
    #[arg(long, requires = "output")]
    json: bool,
}

#[derive(Args)]
struct FilterArgs {
    /// Only rows with an error on this column, or of the whole record that names it
    #[arg(long)]
    column: Option<String>,
    /// Only rows whose error has this text, such as 'is not Int64'
    #[arg(long)]
    error: Option<String>,
    /// Only rows of the file with this key
    #[arg(long = "file")]
    key: Option<String>,
    /// Only rows of the batch with this id
    #[arg(long)]
    batch: Option<String>,
}

impl From<FilterArgs> for QuarantineFilter {
    fn from(FilterArgs { column, error, key, batch }: FilterArgs) -> Self {
        Self { column, error, key, batch }
    }
}

impl Quarantine {
    pub fn execute(self) -> VerbResult {
        match self.verb {
            Verb::Ls(verb) => verb.execute(),
            Verb::Show(verb) => verb.execute(),
            Verb::Export(verb) => verb.execute(),
            Verb::Replay(verb) => verb.execute(),
        }
    }
}

/// Calls `each` with the rows of an import's quarantine table until it answers false.
fn read_rows(
    project: &Project,
    spec: &ImportSpec,
    mut each: impl FnMut(QuarantinedRow) -> Result<bool, Ended>,
) -> Result<(), Ended> {
    let scan = |io| async {
        let table = Destinations::new(project, Arc::new(SystemClock), io)?.quarantine(spec)?;
        Ok(table.scan(None).await?)
    };
    runtime::block_on_then(scan, |scan| {
        for batch in scan.into_iter().flatten() {
            for row in rows_of(&batch?) {
                if !each(row)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    })
}

/// The schema of an import's table, for suggestions; without a table the declared one.
fn schema_of(project: &Project, spec: &ImportSpec) -> Result<TableSchema, Ended> {
    let facts = runtime::block_on(|io| async {
        Ok(Destinations::new(project, Arc::new(SystemClock), io)?.table(spec)?.facts().await?)
    })?;
    Ok(facts.map_or_else(|| TableSchema::new(spec.columns.clone().unwrap_or_default()), |facts| facts.schema))
}

impl Ls {
    fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let wanted = match &self.datasource {
            Some(name) => vec![project::import(&project, name)?],
            None => project.imports.iter().collect(),
        };
        let (mut all, mut total) = (Vec::new(), 0);
        for spec in wanted {
            let schema = schema_of(&project, spec)?;
            let mut groups = Groups::default();
            read_rows(&project, spec, |row| {
                groups.add(&row, &schema);
                Ok(true)
            })?;
            let rows = groups.rows();
            total += rows;
            let groups = groups.finish();
            if self.json {
                all.push(json!({ "datasource": spec.name, "rows": rows, "groups": groups }));
            } else {
                show_groups(spec, rows, &groups);
            }
        }
        if self.json {
            output::line(serde_json::Value::Array(all).to_string());
        } else if total > 0 {
            output::line(
                "once the SCHEMA, or what else was in the way, is mended, `s3-connector quarantine replay NAME` moves the \
                 rows that fit into the table; for rows that are wrong themselves, upload a file with nothing but the \
                 corrected rows under a new key",
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show_groups(spec: &ImportSpec, rows: u64, groups: &[Group]) {
    if groups.is_empty() {
        return output::line(format!("{}: no rows in quarantine", spec.name));
    }
    output::line(format!("{}: {} in quarantine", spec.name, output::count(rows, "row")));
    for group in groups {
        let column = if group.column.is_empty() { "(the record)" } else { &group.column };
        output::line(format!("\n  {} x  {column}: {}", group.rows, group.error));
        // Where no single value is wrong, as in a record with too few fields, there is none to show.
        let sample = match &group.sample {
            Some(text) if !group.column.is_empty() => format!("'{}', ", shown(text)),
            None if group.error.starts_with("is not ") => "NULL, ".to_owned(),
            _ => String::new(),
        };
        let place = format!("row {} of {}", group.sample_row + 1, shown(&group.sample_key));
        output::line(format!("      for example {sample}{place}"));
        if group.files > 1 {
            output::line(format!("      in {}", output::count(group.files, "file")));
        }
        output::line(format!("      try: {}", group.suggestion));
    }
    output::line("");
}

impl Show {
    fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let spec = project::import(&project, &self.datasource)?;
        let filter = QuarantineFilter::from(self.filter);
        let (mut left, mut there, mut all) = (self.limit, There::default(), Vec::new());
        read_rows(&project, spec, |row| {
            if left > 0 && filter.admits(&row) {
                left -= 1;
                if self.json {
                    all.push(row_json(&row));
                } else {
                    show_row(&row);
                }
            }
            there.add(&row);
            Ok(left > 0)
        })?;
        if self.json {
            output::document(&serde_json::Value::Array(all));
        }
        if left == self.limit && self.limit > 0 {
            there.tell(spec);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What can be asked for: told when a filter finds nothing.
#[derive(Default)]
struct There {
    columns: BTreeSet<String>,
    files: BTreeSet<String>,
}

/// Columns and files that are named.
const NAMED: usize = 10;

impl There {
    fn add(&mut self, row: &QuarantinedRow) {
        let add = |names: &mut BTreeSet<String>, name: &String| {
            // One more than is named, so that it shows that there are more.
            if names.len() <= NAMED && !name.is_empty() && !names.contains(name) {
                names.insert(name.clone());
            }
        };
        row.errors.iter().for_each(|(column, _)| add(&mut self.columns, column));
        add(&mut self.files, &row.key);
    }

    fn tell(&self, spec: &ImportSpec) {
        if self.files.is_empty() {
            return output::note(format!("{}: no rows in quarantine", spec.name));
        }
        let list = |names: &BTreeSet<String>| {
            let mut named: Vec<String> = names.iter().take(NAMED).map(|name| shown(name)).collect();
            named.extend((names.len() > NAMED).then(|| "…".to_owned()));
            named.join(", ")
        };
        output::note("no such rows in quarantine");
        if !self.columns.is_empty() {
            output::note(format!("  there are errors on the columns {}", list(&self.columns)));
        }
        output::note(format!("  there are rows of the files {}", list(&self.files)));
    }
}

fn show_row(row: &QuarantinedRow) {
    // People count from 1; a header is no row.
    output::line(format!("row {} of {}, batch {}", row.row + 1, shown(&row.key), row.batch));
    for (_, message) in &row.errors {
        output::line(format!("  {}", shown_message(message)));
    }
    match &row.raw {
        Some(raw) => output::line(format!("  raw: {}", shown_message(raw))),
        None => {
            let text = |(name, text): &(String, Option<String>)| Some(format!("{name}={}", shown(text.as_deref()?)));
            let texts: Vec<String> = row.texts.iter().filter_map(text).collect();
            output::line(format!("  values: {}", texts.join(", ")));
        }
    }
}

/// A text of up to 2,000 characters with nothing in it that a terminal would act upon.
fn shown_message(text: &str) -> String {
    let letters: Vec<char> = text.chars().take(2_000).collect();
    letters.chunks(100).map(|part| shown(&part.iter().collect::<String>())).collect()
}

impl Export {
    fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let spec = project::import(&project, &self.datasource)?;
        let filter = QuarantineFilter::from(self.filter);
        let output: Box<dyn Write> = match &self.output {
            Some(path) => Box::new(
                File::create(path)
                    .map_err(|error| Failure::config("output", format!("cannot write {}: {error}", path.display())))?,
            ),
            None => Box::new(std::io::stdout()),
        };
        let mut exporter = Exporter::new(self.format, BufWriter::new(output));
        let (mut rows, mut there) = (0u64, There::default());
        read_rows(&project, spec, |row| {
            there.add(&row);
            if filter.admits(&row) {
                rows += 1;
                exporter.write(&row).or_else(|error| broken_pipe_is_fine(&error))?;
            }
            Ok(true)
        })?;
        exporter.finish().or_else(|error| broken_pipe_is_fine(&error))?;
        if let Some(path) = self.output.filter(|_| self.json) {
            output::document(&json!({ "datasource": spec.name, "file": path.display().to_string(), "rows": rows }));
        } else {
            output::note(format!("{} of {}", output::count(rows, "row"), spec.name));
        }
        if rows == 0 {
            there.tell(spec);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A reader that has gone away, such as `head`, is no error; a full disk is.
fn broken_pipe_is_fine(error: &std::io::Error) -> Result<(), Ended> {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(Failure::transient("output", format!("cannot write the rows: {error}")).into())
}
