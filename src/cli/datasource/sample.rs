//! A sample for those who make a new data source, and the file that they write.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use connector_core::clock::SystemClock;
use connector_core::error::{ErrorClass, Failure};
use connector_core::spec::{ConnectionSpec, Format};
use connector_core::uri::BucketUri;
use connector_s3::S3Bucket;

use super::super::{Ended, output};
use crate::app::connect_through;
use crate::config::Parts;
use crate::generate::Problem;
use crate::preview::Selection;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatName {
    Csv,
    #[value(alias = "jsonl", alias = "json")]
    Ndjson,
    Parquet,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Csv => Self::Csv,
            FormatName::Ndjson => Self::Ndjson,
            FormatName::Parquet => Self::Parquet,
        }
    }
}

/// Reads a URI as an import would.
pub(super) fn parse_uri(text: &str) -> Result<BucketUri, Failure> {
    BucketUri::parse(text).map_err(|error| {
        let message = format!("'{text}' is not a bucket URI: {error}; write one such as s3://my-bucket/path/*.csv");
        Failure::config("bad_uri", message)
    })
}

/// What an import of this URI would select.
pub(super) fn selection(uri: &str, format: Option<Format>) -> Result<Selection, Failure> {
    let uri = parse_uri(uri)?;
    let format = format.or_else(|| Format::of_key(uri.as_str()));
    Ok(Selection { uri, format, import: None })
}

/// A key, given as such or as the URI of an object of this bucket.
pub(super) fn key_in<'k>(uri: &BucketUri, key: &'k str) -> Result<&'k str, Failure> {
    let Some(rest) = key.strip_prefix("s3://") else { return Ok(key) };
    let of_bucket = rest.strip_prefix(uri.bucket()).and_then(|rest| rest.strip_prefix('/'));
    of_bucket.ok_or_else(|| {
        let message = format!("{key} is no object of the bucket {}", uri.bucket());
        Failure::config("no_file", message)
    })
}

/// The connection that was named, else the only one that there is.
pub(super) fn connection_name(parts: &Parts, given: Option<&str>) -> Result<String, Failure> {
    if let Some(given) = given {
        return Ok(connector_datafile::datasource::connection_name(given));
    }
    let names: Vec<&str> = parts.connections.iter().map(|connection| connection.name.as_str()).collect();
    match names.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => {
            let message = "there is no connection yet; make one with: s3-connector connection create s3_iamrole";
            Err(Failure::config("no_connection", message))
        }
        several => {
            let message = format!("--connection has to say which one reads these files: {}", several.join(", "));
            Err(Failure::config("no_connection", message))
        }
    }
}

/// The bucket of a URI, through a connection.
pub(super) fn bucket(connection: &ConnectionSpec, uri: &BucketUri) -> Result<S3Bucket, Failure> {
    Ok(connect_through(connection, Arc::new(SystemClock))?.bucket(uri.bucket()))
}

/// Tells why nothing was generated.
pub(super) fn ended(problem: Problem) -> Ended {
    match problem {
        Problem::Failed(failure) => failure.into(),
        Problem::Refused(found) => {
            output::diagnostics(&found);
            output::error("such a data source would be refused; nothing was written");
            Ended::Told(ErrorClass::Config)
        }
    }
}

/// Where the file of a data source goes.
pub(super) fn path_of(config: &Path, name: &str) -> PathBuf {
    config.join("datasources").join(format!("{name}.datasource"))
}

/// Writes a data source as a file of the configuration.
///
/// # Errors
/// `Config` with code `file_exists` if there is such a data source, wherever it is, and `force` is not set; if the file
/// cannot be written.
pub(super) fn write(config: &Path, parts: &Parts, name: &str, text: &str, force: bool) -> Result<PathBuf, Failure> {
    let path = path_of(config, name);
    let same = parts.datasources.iter().find(|found| found.name.eq_ignore_ascii_case(name));
    if let Some(same) = same {
        let (name, file) = (&same.name, same.file.name());
        let is_it = Path::new(file) == path;
        if !is_it {
            let message = format!("there is a data source {name} in {file}; choose another name");
            return Err(Failure::config("file_exists", message));
        }
    }
    if !force && path.exists() {
        let message =
            format!("{} is there already; --force replaces it, --stdout prints what would be written", path.display());
        return Err(Failure::config("file_exists", message));
    }
    let failed =
        |error: std::io::Error| Failure::config("unwritable", format!("cannot write {}: {error}", path.display()));
    std::fs::create_dir_all(config.join("datasources")).map_err(failed)?;
    // Hidden until it is whole: whoever watches the folder sees all of it or nothing.
    let draft = path.with_file_name(format!(".{name}.datasource.draft"));
    std::fs::write(&draft, text).map_err(failed)?;
    std::fs::rename(&draft, &path).map_err(failed)?;
    Ok(path)
}

/// Commands that find this folder of configuration.
pub(super) fn commands(config: &Path, verbs: &[String]) -> Vec<String> {
    let usual = config == Path::new("config") || std::env::var_os("S3_CONNECTOR_CONFIG").is_some();
    let folder = if usual { String::new() } else { format!(" --config {}", quoted(&config.display().to_string())) };
    verbs.iter().map(|verb| format!("s3-connector {verb}{folder}")).collect()
}

/// Says what to do next, beside the result.
pub(super) fn tell_next(commands: &[String]) {
    if commands.is_empty() {
        return;
    }
    output::note("next:");
    commands.iter().for_each(|command| output::note(format!("  {command}")));
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:@%+=,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
