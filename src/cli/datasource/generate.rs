//! `datasource generate`: a `.datasource` from a sample file.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use connector_core::clock::{Clock, SystemClock};
use connector_core::error::Failure;
use connector_core::spec::Format;
use serde_json::json;

use super::super::{ConfigFolder, Ended, VerbResult, output, project, runtime};
use super::sample::{self, FormatName};
use crate::config::{Parts, Surroundings};
use crate::generate::{Edits, Generated, Import, Wish, generate, name};
use crate::preview::{Fetched, LocalFile, Matches, Selection, Which, fetch_local, fetch_selected};

/// Write a .datasource for files such as a sample: its columns, their types, and where the files are
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector datasource generate 's3://my-bucket/orders/*.csv' --connection shop
  s3-connector datasource generate orders.csv --evidence --stdout
  s3-connector datasource generate orders.csv --uri 's3://my-bucket/orders/*.csv' \\
      --connection shop --name orders
  s3-connector datasource generate events.ndjson --type user_id=UInt64 \\
      --rename ts=happened_at --drop debug

The columns get the types that an import without SCHEMA would choose. What is written is tried
first: on every row of a file of this machine, on the first rows of a file of a bucket.")]
pub(super) struct Generate {
    #[command(flatten)]
    folder: ConfigFolder,
    /// Where the files are, such as 's3://my-bucket/*.csv', the oldest of which is the sample; or a file of this machine
    #[arg(value_name = "URI|FILE")]
    sample: String,
    /// The name of the data source; that of the file or of the last folder of the URI if left out
    #[arg(long)]
    name: Option<String>,
    /// Where the files are, if the sample is a file of this machine
    #[arg(long)]
    uri: Option<String>,
    /// The connection that reads them; can be left out if there is only one
    #[arg(long)]
    connection: Option<String>,
    /// The key of the sample, if it is not to be the oldest file that matches
    #[arg(long)]
    key: Option<String>,
    /// The format, if no suffix tells it
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// When to import: @auto (each minute) or @on-demand (when asked)
    #[arg(long, default_value = "@auto")]
    schedule: String,
    #[command(flatten)]
    edits: EditArgs,
    /// Say in comments why each column has its type
    #[arg(long)]
    evidence: bool,
    /// Replace the file if there is one
    #[arg(long)]
    force: bool,
    /// Print the file instead of writing it
    #[arg(long)]
    stdout: bool,
    /// Print JSON: name, file, text, columns, evidence, notes
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Default)]
pub(super) struct EditArgs {
    /// Call a column otherwise, as in --rename old=new
    #[arg(long, value_name = "COLUMN=NAME")]
    rename: Vec<String>,
    /// Give a column another type, as in --type amount='Nullable(Decimal(10, 2))'
    #[arg(long = "type", value_name = "COLUMN=TYPE")]
    retype: Vec<String>,
    /// Leave a column out
    #[arg(long, value_name = "COLUMN")]
    drop: Vec<String>,
}

impl EditArgs {
    pub(super) fn edits(&self) -> Result<Edits, Failure> {
        let pairs = |option: &str, texts: &[String]| {
            texts.iter().map(|text| Edits::pair(option, text)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Edits {
            rename: pairs("--rename", &self.rename)?,
            retype: pairs("--type", &self.retype)?,
            drop: self.drop.clone(),
        })
    }
}

impl Generate {
    pub(super) fn execute(self) -> VerbResult {
        project::with_parts(&self.folder, |parts, around| self.generate(parts, around))
    }

    fn generate(&self, parts: &Parts, around: &Surroundings<'_>) -> VerbResult {
        let import = self.import(parts)?;
        let sample = match is_uri(&self.sample) {
            true => self.in_bucket(parts, around, import.as_ref())?,
            false => self.on_this_machine()?,
        };
        let wish = Wish {
            name: self.named(&sample)?,
            import,
            edits: self.edits.edits()?,
            evidence: self.evidence,
            origin: sample.origin,
        };
        let mut generated =
            generate(&sample.fetched, sample.local.as_ref(), &wish, SystemClock.now()).map_err(sample::ended)?;
        generated.notes.splice(0..0, sample.notes);
        if wish.import.is_none() && self.connection.is_some() {
            generated.notes.push("--connection has no effect: --uri says which files it reads".to_owned());
        }
        let path = match self.stdout {
            true => None,
            false => Some(sample::write(&self.folder.config, parts, &generated.name, &generated.text, self.force)?),
        };
        let next = self.next(&generated, wish.import.is_some());
        if self.json {
            output::line(as_json(&generated, path.as_deref(), &next).to_string());
            return Ok(ExitCode::SUCCESS);
        }
        generated.notes.iter().for_each(|note| output::note(format!("note: {note}")));
        match path {
            None => output::line(generated.text.trim_end()),
            Some(path) => {
                let columns = output::count(generated.columns.len() as u64, "column");
                output::line(format!("{} written: {columns}, for {} files", path.display(), generated.format.as_str()));
                if wish.import.is_none() {
                    output::note("put a connection and a URI into its last lines, and remove the '#' there; then");
                }
                sample::tell_next(&next);
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Where the files are, as far as that was said.
    fn import(&self, parts: &Parts) -> Result<Option<Import>, Failure> {
        if is_uri(&self.sample) && self.uri.is_some() {
            let message = "two URIs: --uri goes with a sample that is a file of this machine; --key NAME chooses another \
                           sample of a bucket";
            return Err(Failure::config("usage", message));
        }
        let Some(uri) = Some(&self.sample).filter(|it| is_uri(it)).or(self.uri.as_ref()) else { return Ok(None) };
        sample::parse_uri(uri)?;
        let connection = sample::connection_name(parts, self.connection.as_deref())?;
        Ok(Some(Import { connection, uri: uri.clone(), schedule: self.schedule.clone() }))
    }

    fn named(&self, sample: &Sample) -> Result<String, Failure> {
        if let Some(given) = &self.name {
            return Ok(given.clone());
        }
        match is_uri(&self.sample) {
            true => Ok(name::of_uri(&sample::parse_uri(&self.sample)?)),
            false => Ok(name::of_file(&sample.fetched.object.key)),
        }
    }

    fn on_this_machine(&self) -> Result<Sample, Ended> {
        if self.key.is_some() {
            let message = format!("--key names a file of a bucket, and {} is one of this machine", self.sample);
            return Err(Failure::config("usage", message).into());
        }
        let file = LocalFile::open(Path::new(&self.sample))?;
        let format = self.format.map(Format::from).map_or_else(|| file.format(), Ok)?;
        let fetched = runtime::block_on(|_| async { Ok(fetch_local(&file, format).await?) })?;
        Ok(Sample { fetched, local: Some(file), origin: self.sample.clone(), notes: Vec::new() })
    }

    fn in_bucket(&self, parts: &Parts, around: &Surroundings<'_>, import: Option<&Import>) -> Result<Sample, Ended> {
        let connection = import.map_or("", |import| import.connection.as_str());
        let connection = project::connection(parts, around, connection)?;
        let selection = sample::selection(&self.sample, self.format.map(Format::from))?;
        let (fetched, notes) = runtime::block_on(|_| async {
            let source = sample::bucket(&connection, &selection.uri)?;
            let which = match &self.key {
                Some(key) => Which::Key(sample::key_in(&selection.uri, key)?),
                None => Which::Oldest,
            };
            let mut matches = selection.find(&source, which).await?;
            let object = matches.objects.swap_remove(0);
            let fetched = fetch_selected(&selection, &source, object).await?;
            let notes = notes_of(&matches, &selection, fetched.format);
            Ok((fetched, notes))
        })?;
        let origin = format!("s3://{}/{}", selection.uri.bucket(), fetched.object.key);
        Ok(Sample { fetched, local: None, origin, notes })
    }

    fn next(&self, generated: &Generated, has_import: bool) -> Vec<String> {
        let name = &generated.name;
        let verbs: &[String] = &[format!("datasource preview {name}"), "push".to_owned(), "run --once".to_owned()];
        match (self.stdout, has_import) {
            (true, _) => Vec::new(),
            (false, true) => sample::commands(&self.folder.config, verbs),
            (false, false) => sample::commands(&self.folder.config, &["check".to_owned(), "run --once".to_owned()]),
        }
    }
}

fn is_uri(text: &str) -> bool {
    text.starts_with("s3://")
}

/// What is looked at.
struct Sample {
    fetched: Fetched,
    /// The file itself, if it is one of this machine.
    local: Option<LocalFile>,
    /// Where it is.
    origin: String,
    notes: Vec<String>,
}

/// What somebody should know of the other files under the URI.
fn notes_of(matches: &Matches, selection: &Selection, format: Format) -> Vec<String> {
    let others: u64 = matches.formats.iter().filter(|(said, _)| *said != Some(format)).map(|(_, count)| count).sum();
    let others = others + matches.nameless;
    if selection.format.is_some() || others == 0 {
        return Vec::new();
    }
    let (all, uri, format) = (matches.count + matches.nameless, selection.uri.as_str(), format.as_str());
    vec![format!(
        "by their names, {others} of the {all} objects that {uri} means are no {format} files, and they would be read as \
         such; a URI that ends in *.{format} means only those that are"
    )]
}

fn as_json(generated: &Generated, path: Option<&Path>, next: &[String]) -> serde_json::Value {
    let columns = generated
        .columns
        .iter()
        .map(|column| json!({ "name": column.name, "type": column.ty, "source": column.source }));
    json!({
        "name": generated.name,
        "file": path.map(|path| path.display().to_string()),
        "format": generated.format.as_str(),
        "dialect": generated.dialect,
        "columns": columns.collect::<Vec<_>>(),
        "evidence": generated.evidence,
        "rows": generated.tally.rows,
        "rows_quarantined": generated.tally.rejected,
        "notes": generated.notes,
        "text": generated.text,
        "next": next,
    })
}
