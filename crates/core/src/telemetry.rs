//! The catalogue of metrics: every name, kind, unit and label that the program exposes.
//!
//! Purpose: one list that `/metrics`, the dashboards, the alert rules and the reader agree on. A metric can be moved
//! only through the constants of this file, so that its name and its labels cannot drift from the catalogue; and only
//! [`crate::events`] moves them, so that each metric has a log line beside it.
//!
//! Names are `s3_connector_<noun>_<unit>[_total]`, in base units. Labels come from closed sets, never from a key:
//!
//! | label | values |
//! |---|---|
//! | `connection`, `import` | names from the configuration |
//! | `outcome` | `ingested`, `quarantined`, `failed`, `deferred`, `gone`, `skipped` for files; `ingested`, `quarantined` for rows; `replayed`, `rolled_back`, `superseded`, `expired` for revised rows |
//! | `stage` | [`Stage`] |
//! | `error_code` | codes of [`crate::error::Failure`], fixed at compile time |
//! | `state` | [`crate::status::ImportState`] |
//! | `version` | the version of the program |

use std::sync::Arc;

use metrics::{Key, KeyName, Label, Level, Metadata, SharedString, Unit};

/// What a metric does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only rises; starts over at 0 with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// One metric as the exporter, the dashboards and the documentation need to know it.
#[derive(Clone, Copy, Debug)]
pub struct MetricSpec {
    /// The full name, as scraped.
    pub name: &'static str,
    pub kind: MetricKind,
    pub unit: Unit,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// The names of its labels; every series has exactly these.
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram's buckets, ascending; `None` for the other kinds.
    pub buckets: Option<&'static [f64]>,
}

/// The import that an event or a metric belongs to. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImportLabels {
    pub connection: Arc<str>,
    pub import: Arc<str>,
}

impl ImportLabels {
    pub fn new(connection: impl Into<Arc<str>>, import: impl Into<Arc<str>>) -> Self {
        Self { connection: connection.into(), import: import.into() }
    }

    /// The values of [`OF_IMPORT`], in its order, followed by `more`.
    pub(crate) fn values<const N: usize>(&self, more: [&'static str; N]) -> Vec<SharedString> {
        let own = [SharedString::from(Arc::clone(&self.connection)), SharedString::from(Arc::clone(&self.import))];
        own.into_iter().chain(more.into_iter().map(SharedString::const_str)).collect()
    }
}

/// Where an error arose: the label `stage` of [`ERRORS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Listing the bucket into the ledger.
    Scan,
    /// Reading a file from S3.
    Read,
    /// Turning a file's bytes into rows.
    Decode,
    /// Committing a batch to the table.
    Commit,
    /// Anything that ended a whole generation of an import's actors.
    Generation,
}

impl Stage {
    pub const ALL: [Self; 5] = [Self::Scan, Self::Read, Self::Decode, Self::Commit, Self::Generation];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Read => "read",
            Self::Decode => "decode",
            Self::Commit => "commit",
            Self::Generation => "generation",
        }
    }
}

/// A metric that only rises.
#[derive(Clone, Copy, Debug)]
pub struct Counter(MetricSpec);

/// A metric that goes up and down.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(MetricSpec);

/// A metric that counts observations in buckets.
#[derive(Clone, Copy, Debug)]
pub struct Histogram(MetricSpec);

static METADATA: Metadata<'static> = Metadata::new("s3_connector", Level::INFO, None);

impl MetricSpec {
    /// The series with these label values, given in the order of `labels`.
    fn series(&self, values: Vec<SharedString>) -> Key {
        debug_assert_eq!(values.len(), self.labels.len(), "{} takes exactly {:?}", self.name, self.labels);
        let labels: Vec<Label> = self.labels.iter().zip(values).map(|(name, value)| Label::new(*name, value)).collect();
        Key::from_parts(self.name, labels)
    }

    fn describe(&self) {
        let (name, unit, help) =
            (KeyName::from_const_str(self.name), Some(self.unit), SharedString::const_str(self.help));
        metrics::with_recorder(|recorder| match self.kind {
            MetricKind::Counter => recorder.describe_counter(name, unit, help),
            MetricKind::Gauge => recorder.describe_gauge(name, unit, help),
            MetricKind::Histogram => recorder.describe_histogram(name, unit, help),
        });
    }
}

impl Counter {
    const fn new(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Self {
        Self(MetricSpec { name, kind: MetricKind::Counter, unit, help, labels, buckets: None })
    }

    /// Adds to the series with these label values; adding 0 makes the series visible.
    pub(crate) fn add(&self, labels: Vec<SharedString>, count: u64) {
        let key = self.0.series(labels);
        metrics::with_recorder(|recorder| recorder.register_counter(&key, &METADATA).increment(count));
    }
}

impl Gauge {
    const fn new(name: &'static str, unit: Unit, labels: &'static [&'static str], help: &'static str) -> Self {
        Self(MetricSpec { name, kind: MetricKind::Gauge, unit, help, labels, buckets: None })
    }

    /// Sets the series with these label values.
    pub(crate) fn set(&self, labels: Vec<SharedString>, value: f64) {
        let key = self.0.series(labels);
        metrics::with_recorder(|recorder| recorder.register_gauge(&key, &METADATA).set(value));
    }
}

impl Histogram {
    const fn new(
        name: &'static str,
        unit: Unit,
        labels: &'static [&'static str],
        buckets: &'static [f64],
        help: &'static str,
    ) -> Self {
        Self(MetricSpec { name, kind: MetricKind::Histogram, unit, help, labels, buckets: Some(buckets) })
    }

    /// Records one observation in the series with these label values.
    pub(crate) fn record(&self, labels: Vec<SharedString>, value: f64) {
        let key = self.0.series(labels);
        metrics::with_recorder(|recorder| recorder.register_histogram(&key, &METADATA).record(value));
    }
}

/// The labels of a metric that belongs to one import.
pub const OF_IMPORT: &[&str] = &["connection", "import"];
const WITH_OUTCOME: &[&str] = &["connection", "import", "outcome"];
const WITH_STATE: &[&str] = &["connection", "import", "state"];
const WITH_ERROR_CODE: &[&str] = &["connection", "import", "error_code"];
const WITH_STAGE_AND_ERROR_CODE: &[&str] = &["connection", "import", "stage", "error_code"];
const OF_PROCESS: &[&str] = &[];

/// From a poll of an idle bucket to a first load of many files.
const LONG_SECONDS: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];
/// A commit is a few small writes; beyond a second something is slow.
const SHORT_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

// ------------------------------------------------------------------------------------------------ what came in

pub const FILES: Counter =
    Counter::new("s3_connector_files_total", Unit::Count, WITH_OUTCOME, "Files whose outcome is durable, by outcome.");
pub const ROWS: Counter = Counter::new(
    "s3_connector_rows_total",
    Unit::Count,
    WITH_OUTCOME,
    "Rows of finalised batches, by where they went: ingested into the table, or quarantined.",
);
pub const ROWS_REVISED: Counter = Counter::new(
    "s3_connector_rows_revised_total",
    Unit::Count,
    WITH_OUTCOME,
    "Rows of finalised batches that were there before: replayed into the table, rolled back, superseded, or expired.",
);
pub const BYTES_READ: Counter = Counter::new(
    "s3_connector_bytes_read_total",
    Unit::Bytes,
    OF_IMPORT,
    "Bytes read from S3 for files whose outcome is durable.",
);

// ------------------------------------------------------------------------------------------------ what waits

pub const BACKLOG_FILES: Gauge =
    Gauge::new("s3_connector_backlog_files", Unit::Count, OF_IMPORT, "Files that could be claimed now.");
pub const BACKLOG_BYTES: Gauge =
    Gauge::new("s3_connector_backlog_bytes", Unit::Bytes, OF_IMPORT, "Listed size of the files that could be claimed.");
pub const OLDEST_PENDING_AGE: Gauge = Gauge::new(
    "s3_connector_oldest_pending_age_seconds",
    Unit::Seconds,
    OF_IMPORT,
    "Time since the oldest pending file was last modified; 0 if none is pending.",
);
pub const WATERMARK: Gauge = Gauge::new(
    "s3_connector_watermark_timestamp_seconds",
    Unit::Seconds,
    OF_IMPORT,
    "Last-modified time of the watermark, in seconds since 1970; absent before the first one.",
);
pub const WATERMARK_LAG: Gauge = Gauge::new(
    "s3_connector_watermark_lag_seconds",
    Unit::Seconds,
    OF_IMPORT,
    "Time since the watermark while files wait; 0 if none waits, however old the newest file is.",
);

// ------------------------------------------------------------------------------------------------ scans

pub const LIST_REQUESTS: Counter =
    Counter::new("s3_connector_list_requests_total", Unit::Count, OF_IMPORT, "List pages that S3 answered.");
pub const OBJECTS_LISTED: Counter =
    Counter::new("s3_connector_objects_listed_total", Unit::Count, OF_IMPORT, "Objects on the list pages answered.");
pub const LATE_ARRIVALS: Counter = Counter::new(
    "s3_connector_late_arrivals_total",
    Unit::Count,
    OF_IMPORT,
    "Files first seen at or below the watermark; they are ingested all the same.",
);
pub const LAST_SCAN: Gauge = Gauge::new(
    "s3_connector_last_scan_timestamp_seconds",
    Unit::Seconds,
    OF_IMPORT,
    "When the last complete scan ended, in seconds since 1970.",
);
pub const SCAN_DURATION: Histogram = Histogram::new(
    "s3_connector_scan_duration_seconds",
    Unit::Seconds,
    OF_IMPORT,
    LONG_SECONDS,
    "Duration of complete scans.",
);

// ------------------------------------------------------------------------------------------------ batches and table

pub const TICK_DURATION: Histogram = Histogram::new(
    "s3_connector_tick_duration_seconds",
    Unit::Seconds,
    OF_IMPORT,
    LONG_SECONDS,
    "Duration of ticks, from claim to the last finalised batch.",
);
pub const COMMIT_DURATION: Histogram = Histogram::new(
    "s3_connector_commit_duration_seconds",
    Unit::Seconds,
    OF_IMPORT,
    SHORT_SECONDS,
    "Duration of commits, from staged to landed.",
);
pub const LAST_COMMIT: Gauge = Gauge::new(
    "s3_connector_last_commit_timestamp_seconds",
    Unit::Seconds,
    OF_IMPORT,
    "When the last batch was finalised, in seconds since 1970.",
);
pub const TABLE_VERSION: Gauge =
    Gauge::new("s3_connector_table_version", Unit::Count, OF_IMPORT, "The table version that the import knows.");
pub const COMMITTED_SEQ: Gauge =
    Gauge::new("s3_connector_committed_seq", Unit::Count, OF_IMPORT, "The seq of the last finalised batch.");
pub const SCHEMA_COLUMNS: Gauge =
    Gauge::new("s3_connector_schema_columns", Unit::Count, OF_IMPORT, "Columns of the table's schema.");
pub const SCHEMA_VERSION: Gauge = Gauge::new(
    "s3_connector_schema_version",
    Unit::Count,
    OF_IMPORT,
    "The version of the table's schema, from 1; each commit that adds columns raises it.",
);
pub const GUARD_TRIPPED: Counter = Counter::new(
    "s3_connector_guard_tripped_total",
    Unit::Count,
    OF_IMPORT,
    "Times that the import was paused because most of its rows were bad.",
);

pub const COMPACTED_FILES: Counter = Counter::new(
    "s3_connector_compacted_files_total",
    Unit::Count,
    OF_IMPORT,
    "Small data files that maintenance has written together, of table and quarantine table.",
);
pub const VACUUMED_FILES: Counter = Counter::new(
    "s3_connector_vacuumed_files_total",
    Unit::Count,
    OF_IMPORT,
    "Unreferenced data files that maintenance has removed, of table and quarantine table.",
);
pub const MAINTENANCE_DURATION: Histogram = Histogram::new(
    "s3_connector_maintenance_duration_seconds",
    Unit::Seconds,
    OF_IMPORT,
    LONG_SECONDS,
    "Duration of single steps of maintenance.",
);
pub const REREAD_TRIPPED: Counter = Counter::new(
    "s3_connector_reread_tripped_total",
    Unit::Count,
    OF_IMPORT,
    "Times that the import was paused because it would have read most of its objects again.",
);
pub const DECODER_DEATHS: Counter = Counter::new(
    "s3_connector_decoder_deaths_total",
    Unit::Count,
    OF_IMPORT,
    "Child processes that died over a suspect file.",
);

// ------------------------------------------------------------------------------------------------ health

pub const STATE: Gauge =
    Gauge::new("s3_connector_state", Unit::Count, WITH_STATE, "1 for the state that the import is in, 0 for others.");
pub const ERRORS: Counter = Counter::new(
    "s3_connector_errors_total",
    Unit::Count,
    WITH_STAGE_AND_ERROR_CODE,
    "Errors by where they arose and by code.",
);
pub const RESTARTS: Counter = Counter::new(
    "s3_connector_restarts_total",
    Unit::Count,
    WITH_ERROR_CODE,
    "Restarts of the import's actors, by the code of the error that ended the generation.",
);
pub const STALE_MESSAGES: Counter = Counter::new(
    "s3_connector_stale_messages_total",
    Unit::Count,
    OF_IMPORT,
    "Messages of an earlier generation that were dropped.",
);

// ------------------------------------------------------------------------------------------------ the process

pub const MEMORY_CREDIT: Gauge =
    Gauge::new("s3_connector_memory_credit_bytes", Unit::Bytes, OF_PROCESS, "Memory credit in use.");
pub const MEMORY_CREDIT_LIMIT: Gauge =
    Gauge::new("s3_connector_memory_credit_limit_bytes", Unit::Bytes, OF_PROCESS, "The memory budget.");
pub const POOL_QUEUE: Gauge =
    Gauge::new("s3_connector_pool_queue_jobs", Unit::Count, OF_PROCESS, "Jobs that wait for a thread of the CPU pool.");
pub const POOL_THREADS: Gauge =
    Gauge::new("s3_connector_pool_threads", Unit::Count, OF_PROCESS, "Threads of the CPU pool.");
pub const CONFIG_RELOADS: Counter = Counter::new(
    "s3_connector_config_reloads_total",
    Unit::Count,
    &["outcome"],
    "Configurations that were read while the program ran: applied, or refused.",
);
pub const CONFIG_CURRENT: Gauge = Gauge::new(
    "s3_connector_config_current",
    Unit::Count,
    OF_PROCESS,
    "1 if the configuration that runs is the last one that was read, 0 if that was refused.",
);
pub const BUILD_INFO: Gauge =
    Gauge::new("s3_connector_build_info", Unit::Count, &["version"], "Always 1; carries the version of the program.");

/// Every metric, in the order of this file.
pub const CATALOGUE: &[MetricSpec] = &[
    FILES.0,
    ROWS.0,
    ROWS_REVISED.0,
    BYTES_READ.0,
    BACKLOG_FILES.0,
    BACKLOG_BYTES.0,
    OLDEST_PENDING_AGE.0,
    WATERMARK.0,
    WATERMARK_LAG.0,
    LIST_REQUESTS.0,
    OBJECTS_LISTED.0,
    LATE_ARRIVALS.0,
    LAST_SCAN.0,
    SCAN_DURATION.0,
    TICK_DURATION.0,
    COMMIT_DURATION.0,
    LAST_COMMIT.0,
    TABLE_VERSION.0,
    COMMITTED_SEQ.0,
    SCHEMA_COLUMNS.0,
    SCHEMA_VERSION.0,
    GUARD_TRIPPED.0,
    COMPACTED_FILES.0,
    VACUUMED_FILES.0,
    MAINTENANCE_DURATION.0,
    REREAD_TRIPPED.0,
    DECODER_DEATHS.0,
    STATE.0,
    ERRORS.0,
    RESTARTS.0,
    STALE_MESSAGES.0,
    MEMORY_CREDIT.0,
    MEMORY_CREDIT_LIMIT.0,
    POOL_QUEUE.0,
    POOL_THREADS.0,
    CONFIG_RELOADS.0,
    CONFIG_CURRENT.0,
    BUILD_INFO.0,
];

/// Tells the recorder in force the unit and help text of every metric. Called once, when the recorder is installed.
pub fn describe_all() {
    CATALOGUE.iter().for_each(MetricSpec::describe);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_grammar_and_are_unique() {
        let names: BTreeSet<&str> = CATALOGUE.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), CATALOGUE.len(), "a name appears twice");
        for spec in CATALOGUE {
            let name = spec.name;
            assert!(name.starts_with("s3_connector_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
            assert_eq!(name.ends_with("_total"), spec.kind == MetricKind::Counter, "{name}");
            for reserved in ["_bucket", "_sum", "_count"] {
                assert!(!name.ends_with(reserved), "{name} looks like a part of a histogram");
            }
            let noun = name.trim_end_matches("_total");
            match spec.unit {
                Unit::Seconds => assert!(noun.ends_with("_seconds"), "{name}"),
                Unit::Bytes => assert!(noun.ends_with("_bytes") || noun.ends_with("_bytes_read"), "{name}"),
                Unit::Count => assert!(!noun.ends_with("_seconds") && !noun.ends_with("_bytes"), "{name}"),
                other => panic!("{name} has the unit {other:?}, which is not a base unit"),
            }
        }
    }

    #[test]
    fn labels_come_from_the_closed_sets_and_help_is_one_sentence() {
        let closed = ["connection", "import", "outcome", "stage", "error_code", "state", "version"];
        for spec in CATALOGUE {
            assert!(spec.labels.iter().all(|label| closed.contains(label)), "{} {:?}", spec.name, spec.labels);
            let of_the_process = [&[][..], &["version"], &["outcome"]].contains(&spec.labels);
            assert!(of_the_process || spec.labels.starts_with(OF_IMPORT), "{}", spec.name);
            assert!(spec.help.ends_with('.') && !spec.help.contains('\n'), "{}", spec.name);
        }
    }

    #[test]
    fn exactly_the_histograms_have_buckets_and_they_ascend() {
        for spec in CATALOGUE {
            assert_eq!(spec.buckets.is_some(), spec.kind == MetricKind::Histogram, "{}", spec.name);
            let buckets = spec.buckets.unwrap_or_default();
            assert!(buckets.is_sorted_by(|a, b| a < b), "{}", spec.name);
        }
    }

    #[test]
    #[should_panic(expected = "takes exactly")]
    fn a_series_with_a_label_missing_is_a_bug() {
        FILES.add(ImportLabels::new("lake", "orders").values([]), 1);
    }
}
