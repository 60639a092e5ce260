//! `s3-connector.toml`: the settings of the program as a whole.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connector_core::credit::{DEFAULT_BUDGET, MIN_BUDGET};
use connector_core::evolve::DEFAULT_MAX_COLUMNS;
use connector_core::guard::GuardLimits;
use connector_core::ports::MaintenanceRules;
use connector_core::secret::Secret;
use connector_core::spec::{DEFAULT_FILES_PER_TICK, DEFAULT_TICK, StaticKeys};
use connector_datafile::connection::{is_endpoint, is_region};
use connector_datafile::suggest::nearest;
use connector_datafile::{Diagnostic, SourceFile, Span};

use super::Surroundings;
use super::destination::{self, BucketDestination, Destination};
use super::toml::{Fault, Given, Keys, Origin, Reader};
use super::units;

/// The settings, complete: what was not set has its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Absolute. Holds the ledger and, by default, the tables.
    pub data_dir: PathBuf,
    pub listen: Listen,
    pub aws: Aws,
    /// The folder in which each data source has its table. Absolute. Without meaning if there is a bucket.
    pub destination: PathBuf,
    /// The bucket that tables are written to, if they are not in a folder.
    pub bucket: Option<BucketDestination>,
    pub limits: Limits,
    pub log: Log,
}

/// The two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub metrics: SocketAddr,
    pub api: SocketAddr,
}

/// `[aws]`: who calls `sts:AssumeRole`, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aws {
    /// `None` means the default chain.
    pub keys: Option<StaticKeys>,
    /// For connections that name none.
    pub region: Option<String>,
    pub sts_endpoint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of one import, in `@auto`.
    pub files_per_tick: u32,
    pub tick: Duration,
    /// The memory budget in bytes.
    pub memory: u64,
    /// Threads that decode.
    pub threads: usize,
    /// Columns that a table may have by evolution.
    pub max_columns: usize,
    /// When an import is paused because its rows are mostly bad: `guard_rows`, `guard_files`, `guard_bytes`.
    pub guard: GuardLimits,
    /// How long data files that nothing refers to any more, and old log entries, are kept.
    pub retention: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    pub level: tracing::Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

/// Every key that is read. [`super::reference`] says what each of them does.
pub(super) const KEYS: &Keys = &[
    ("", "data_dir"),
    ("listen", "metrics"),
    ("listen", "api"),
    ("aws", "access_key_id"),
    ("aws", "secret_access_key"),
    ("aws", "session_token"),
    ("aws", "region"),
    ("aws", "sts_endpoint"),
    ("destination", "uri"),
    ("destination", "connection"),
    ("limits", "files_per_tick"),
    ("limits", "tick"),
    ("limits", "memory"),
    ("limits", "threads"),
    ("limits", "max_columns"),
    ("limits", "guard_rows"),
    ("limits", "guard_files"),
    ("limits", "guard_bytes"),
    ("limits", "retention"),
    ("log", "format"),
    ("log", "level"),
];

const MIN_TICK: Duration = Duration::from_millis(100);
const MAX_TICK: Duration = Duration::from_secs(24 * 3600);
/// The shortest time for which unreferenced data files are kept.
const MIN_RETENTION: Duration = Duration::from_secs(3600);
const MAX_THREADS: u64 = 1_024;
/// Of a table: beyond this a schema is no longer one that anybody reads.
const MAX_COLUMNS: u64 = 10_000;
const MAX_GUARD_ROWS: u64 = 1_000_000_000_000;
const MAX_GUARD_FILES: u64 = 1_000_000;

/// Reads the settings. All problems come back at once; the settings are right only if none of them is an error.
pub fn parse(source: &SourceFile, around: &Surroundings<'_>) -> (Settings, Vec<Diagnostic>) {
    let mut reader = Reader::new(source, KEYS, around.variable);
    let data_dir = reader.read("", "data_dir", path);
    let Destination { folder: destination, bucket } = destination::read(&mut reader);
    let settings = Settings {
        listen: Listen { metrics: address(&mut reader, "metrics", 9464), api: address(&mut reader, "api", 9465) },
        aws: aws(&mut reader, around),
        limits: limits(&mut reader),
        log: log(&mut reader),
        bucket,
        destination: match &destination {
            Some((folder, _)) => around.current_dir.join(folder),
            None => {
                around.current_dir.join(data_dir.as_ref().map_or(Path::new("data"), |(path, _)| path)).join("tables")
            }
        },
        data_dir: around.current_dir.join(data_dir.as_ref().map_or(Path::new("data"), |(path, _)| path)),
    };
    check_percent(&mut reader, &settings, destination.map(|found| found.1), data_dir.map(|found| found.1));
    (settings, reader.diagnostics)
}

fn text<'a>(given: &'a Given, example: &str) -> Result<&'a str, Fault> {
    match given {
        Given::Text(text) | Given::Variable(text) => Ok(text),
        _ => Err(Fault::wrong_type("a string", given, example)),
    }
}

fn path(given: &Given) -> Result<PathBuf, Fault> {
    let text = text(given, "\"data\"")?;
    if text.trim().is_empty() {
        return Err(Fault::new("bad_path", "the path is empty", "such as \"data\""));
    }
    Ok(PathBuf::from(text))
}

/// The Delta library decodes percent signs in a path twice, so that the table would end up somewhere else.
fn check_percent(reader: &mut Reader<'_>, settings: &Settings, uri: Option<Origin>, data_dir: Option<Origin>) {
    let destination = settings.destination.to_string_lossy();
    if !destination.contains('%') || settings.bucket.is_some() {
        return;
    }
    let message = format!("the folder of the tables is {destination}, which holds a '%'");
    let fault = Fault::new("bad_destination", message, "choose a path without '%': the table library misreads it");
    match (uri, data_dir) {
        (Some(origin), _) => reader.refuse("destination", "uri", &origin, fault),
        (None, Some(origin)) => reader.refuse("", "data_dir", &origin, fault),
        (None, None) => reader.refuse("", "data_dir", &Origin::File(Span::at(0)), fault),
    }
}

fn address(reader: &mut Reader<'_>, key: &str, port: u16) -> SocketAddr {
    let default = SocketAddr::from(([127, 0, 0, 1], port));
    let example = format!("\"{default}\"");
    let read = |given: &Given| {
        let text = text(given, &example)?;
        let fault = |_| {
            let message = format!("'{text}' is not an address and a port");
            Fault::new("bad_address", message, format!("such as {example}; a host name is not enough"))
        };
        text.parse::<SocketAddr>().map_err(fault)
    };
    reader.read("listen", key, read).map_or(default, |(address, _)| address)
}

fn aws(reader: &mut Reader<'_>, around: &Surroundings<'_>) -> Aws {
    let made = |reader: &Reader<'_>, key| reader.given("aws", key).map(|(_, origin)| origin);
    let (id_made, secret_made) = (made(reader, "access_key_id"), made(reader, "secret_access_key"));
    for (key, there, other, missing) in [
        ("access_key_id", &id_made, "secret_access_key", &secret_made),
        ("secret_access_key", &secret_made, "access_key_id", &id_made),
    ] {
        if let (Some(origin), None) = (there, missing) {
            let hint = format!("write {other} = {{ env = \"NAME\" }}, or remove {key} to use the default chain");
            reader.refuse("aws", key, origin, Fault::new("incomplete_keys", format!("{other} is missing"), hint));
        }
    }
    let mut secret = |key| reader.read("aws", key, |given| secret(key, given, around)).map(|(secret, _)| secret);
    let (id, key, session_token) = (secret("access_key_id"), secret("secret_access_key"), secret("session_token"));
    let keys = id.zip(key).map(|(id, secret_access_key)| StaticKeys {
        access_key_id: id.expose().to_owned(),
        secret_access_key,
        session_token,
    });
    let region = reader.read("aws", "region", |given| {
        let region = text(given, "\"us-east-1\"")?;
        let fault = || Fault::new("bad_region", format!("'{region}' is not a region"), "such as \"us-east-1\"");
        is_region(region).then(|| region.to_owned()).ok_or_else(fault)
    });
    let sts_endpoint = reader.read("aws", "sts_endpoint", |given| {
        let endpoint = text(given, "\"http://127.0.0.1:9461\"")?;
        let hint = "such as \"http://127.0.0.1:9461\": scheme, host and port, nothing else";
        let fault = || Fault::new("bad_endpoint", "this is not an endpoint", hint);
        is_endpoint(endpoint).then(|| endpoint.trim_end_matches('/').to_owned()).ok_or_else(fault)
    });
    Aws { keys, region: region.map(|found| found.0), sts_endpoint: sts_endpoint.map(|found| found.0) }
}

/// A secret by reference. An overriding environment variable holds the secret itself.
fn secret(key: &str, given: &Given, around: &Surroundings<'_>) -> Result<Secret, Fault> {
    let example = format!("{key} = {{ env = \"NAME\" }} or {key} = {{ file = \"path\" }}");
    let found = match given {
        Given::Variable(value) => value.clone(),
        Given::Env(name) => match (around.variable)(name) {
            Some(value) => value,
            None => {
                let message = format!("the environment variable '{name}' is not set");
                return Err(Fault::new("missing_secret", message, format!("set {name} before the program starts")));
            }
        },
        Given::File(path) => match std::fs::read_to_string(around.current_dir.join(path)) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("the file '{path}' cannot be read: {error}");
                let hint = "a relative path starts from the directory in which the program is started";
                return Err(Fault::new("missing_secret", message, hint));
            }
        },
        Given::Text(_) => {
            return Err(Fault::new("plain_secret", "a secret must not stand in the file", format!("write {example}")));
        }
        other => return Err(Fault::wrong_type("a reference", other, &example)),
    };
    let found = found.trim();
    if found.is_empty() {
        return Err(Fault::new("missing_secret", "the secret is empty", format!("write {example}")));
    }
    Ok(Secret::new(found))
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let files = reader.read("limits", "files_per_tick", |given| integer(given, 1, 1_000, "5"));
    let threads = reader.read("limits", "threads", |given| integer(given, 1, MAX_THREADS, "4"));
    let columns = reader.read("limits", "max_columns", |given| integer(given, 1, MAX_COLUMNS, "2000"));
    Limits {
        files_per_tick: files.and_then(|found| found.0.try_into().ok()).unwrap_or(DEFAULT_FILES_PER_TICK),
        tick: reader.read("limits", "tick", tick).map_or(DEFAULT_TICK, |found| found.0),
        memory: reader.read("limits", "memory", memory).map_or(DEFAULT_BUDGET, |found| found.0),
        threads: threads.and_then(|found| found.0.try_into().ok()).unwrap_or(cores),
        max_columns: columns.and_then(|found| found.0.try_into().ok()).unwrap_or(DEFAULT_MAX_COLUMNS),
        guard: guard(reader),
        retention: reader
            .read("limits", "retention", retention)
            .map_or(MaintenanceRules::default().retention, |found| found.0),
    }
}

/// Whoever reads a table relies on its data files for as long as a query takes, and so does a batch that is staged.
fn retention(given: &Given) -> Result<Duration, Fault> {
    let text = text(given, "\"168h\"")?;
    match units::duration(text) {
        Some(retention) if retention >= MIN_RETENTION => Ok(retention),
        Some(_) => {
            Err(Fault::new("out_of_range", format!("'{text}' is too short"), "at least \"1h\"; such as \"168h\""))
        }
        None => Err(Fault::new(
            "bad_duration",
            format!("'{text}' is not a duration"),
            "a number and a unit, such as \"168h\"",
        )),
    }
}

fn guard(reader: &mut Reader<'_>) -> GuardLimits {
    let default = GuardLimits::default();
    let rows = reader.read("limits", "guard_rows", |given| integer(given, 1, MAX_GUARD_ROWS, "10000"));
    let files = reader.read("limits", "guard_files", |given| integer(given, 1, MAX_GUARD_FILES, "3"));
    let bytes = reader.read("limits", "guard_bytes", |given| match size(given, "\"1GiB\"")? {
        0 => Err(Fault::new("out_of_range", "0 bytes are too little", "at least 1 byte, such as \"1GiB\"")),
        bytes => Ok(bytes),
    });
    GuardLimits {
        rows: rows.map_or(default.rows, |found| found.0),
        files: files.and_then(|found| found.0.try_into().ok()).unwrap_or(default.files),
        bytes: bytes.map_or(default.bytes, |found| found.0),
    }
}

fn integer(given: &Given, low: u64, high: u64, example: &str) -> Result<u64, Fault> {
    let number = match given {
        Given::Integer(number) => u64::try_from(*number).ok(),
        Given::Variable(text) => text.trim().parse().ok(),
        _ => return Err(Fault::wrong_type("an integer", given, example)),
    };
    let shown = match given {
        Given::Integer(number) => number.to_string(),
        Given::Variable(text) => text.clone(),
        _ => String::new(),
    };
    number.filter(|number| (low..=high).contains(number)).ok_or_else(|| {
        let message = format!("'{shown}' is not a whole number from {low} to {high}");
        Fault::new("out_of_range", message, format!("such as {example}"))
    })
}

fn tick(given: &Given) -> Result<Duration, Fault> {
    let text = match given {
        Given::Text(text) | Given::Variable(text) => text,
        _ => return Err(Fault::wrong_type("a duration", given, "\"60s\"")),
    };
    let Some(tick) = units::duration(text) else {
        let message = format!("'{text}' is not a duration");
        return Err(Fault::new("bad_duration", message, "a whole number of ms, s, m or h, such as \"60s\""));
    };
    if (MIN_TICK..=MAX_TICK).contains(&tick) {
        return Ok(tick);
    }
    Err(Fault::new("out_of_range", format!("'{text}' is too short or too long"), "a tick is 100ms to 24h"))
}

fn memory(given: &Given) -> Result<u64, Fault> {
    let bytes = size(given, "\"512MiB\"")?;
    if bytes >= MIN_BUDGET {
        return Ok(bytes);
    }
    let least = MIN_BUDGET >> 20;
    Err(Fault::new("out_of_range", format!("{bytes} bytes are too little"), format!("at least \"{least}MiB\"")))
}

/// A number of bytes.
fn size(given: &Given, example: &str) -> Result<u64, Fault> {
    let bytes = match given {
        Given::Text(text) | Given::Variable(text) => units::bytes(text),
        Given::Integer(number) => u64::try_from(*number).ok(),
        _ => return Err(Fault::wrong_type("a size", given, example)),
    };
    let hint = || format!("a whole number of KiB, MiB or GiB, such as {example}");
    bytes.ok_or_else(|| Fault::new("bad_size", "this is not a size", hint()))
}

fn log(reader: &mut Reader<'_>) -> Log {
    let format = reader.read("log", "format", |given| match text(given, "\"human\"")? {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        other => Err(one_of(other, &["human", "json"])),
    });
    let levels = ["error", "warn", "info", "debug", "trace"];
    let level = reader.read("log", "level", |given| {
        let text = text(given, "\"info\"")?;
        let known = levels.iter().find(|level| level.eq_ignore_ascii_case(text));
        known.and_then(|level| level.parse::<tracing::Level>().ok()).ok_or_else(|| one_of(text, &levels))
    });
    Log {
        format: format.map_or(LogFormat::Human, |found| found.0),
        level: level.map_or(tracing::Level::INFO, |found| found.0),
    }
}

fn one_of(given: &str, known: &[&str]) -> Fault {
    let hint = match nearest(given, known.iter().copied()) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("one of {}", known.join(", ")),
    };
    Fault::new("unknown_value", format!("'{given}' is not known here"), hint)
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
