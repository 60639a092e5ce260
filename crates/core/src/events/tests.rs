//! Every event, emitted into a recorder that keeps what it is told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use jiff::Timestamp;
use metrics::{CounterFn, GaugeFn, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::*;
use crate::error::{ErrorClass, Failure};
use crate::ids::{BatchId, Generation, ObjectVersionId};
use crate::ports::AddedColumn;
use crate::ports::{FileOutcome, FileResult, ImportCounts, Maintained, PageOutcome, Watermark};
use crate::revision::{BatchKind, RowDigest};
use crate::schema::Column;
use crate::status::{ImportState, StateReason};
use crate::telemetry::{CATALOGUE, MetricKind};
use crate::types::ColumnType;

/// Name and labels, as they would be scraped.
type Series = (String, Vec<(String, String)>);

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    kind: MetricKind,
    value: f64,
}

/// Keeps the last value of gauges and histograms and the sum of counters.
#[derive(Default)]
struct Notebook(Arc<Mutex<BTreeMap<Series, Seen>>>);

struct Line {
    notebook: Arc<Mutex<BTreeMap<Series, Seen>>>,
    series: Series,
    kind: MetricKind,
}

impl Line {
    fn write(&self, change: impl FnOnce(f64) -> f64) {
        let mut notebook = self.notebook.lock().expect("not poisoned");
        let seen = notebook.entry(self.series.clone()).or_insert(Seen { kind: self.kind, value: 0.0 });
        assert_eq!(seen.kind, self.kind, "{:?} is used as two kinds", self.series);
        seen.value = change(seen.value);
    }
}

impl CounterFn for Line {
    fn increment(&self, value: u64) {
        self.write(|old| old + value as f64);
    }

    fn absolute(&self, value: u64) {
        self.write(|_| value as f64);
    }
}

impl GaugeFn for Line {
    fn increment(&self, value: f64) {
        self.write(|old| old + value);
    }

    fn decrement(&self, value: f64) {
        self.write(|old| old - value);
    }

    fn set(&self, value: f64) {
        self.write(|_| value);
    }
}

impl HistogramFn for Line {
    fn record(&self, value: f64) {
        self.write(|_| value);
    }
}

impl Notebook {
    fn line(&self, key: &Key, kind: MetricKind) -> Arc<Line> {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        Arc::new(Line { notebook: Arc::clone(&self.0), series: (key.name().to_owned(), labels), kind })
    }

    fn value(&self, name: &str, more: &[&str]) -> Option<f64> {
        let wanted: Vec<&str> = ["lake", "orders"].iter().chain(more).copied().collect();
        let notebook = self.0.lock().expect("not poisoned");
        let mut found = notebook
            .iter()
            .filter(|((seen, labels), _)| seen == name && labels.iter().map(|(_, value)| value).eq(wanted.iter()));
        found.next().map(|(_, seen)| seen.value)
    }
}

impl Recorder for Notebook {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> metrics::Counter {
        metrics::Counter::from_arc(self.line(key, MetricKind::Counter))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> metrics::Gauge {
        metrics::Gauge::from_arc(self.line(key, MetricKind::Gauge))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        metrics::Histogram::from_arc(self.line(key, MetricKind::Histogram))
    }
}

fn orders() -> ImportLabels {
    ImportLabels::new("lake", "orders")
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn result(outcome: FileOutcome) -> FileResult {
    FileResult { id: ObjectVersionId([7; 16]), outcome, bytes: 100, duration_ms: 1_500 }
}

thread_local! {
    /// The log lines of this test: the message first, then the names of the fields.
    static LINES: RefCell<Vec<Vec<String>>> = const { RefCell::new(Vec::new()) };
}

/// Keeps log lines apart by thread, and so by test.
struct Logbook;

struct Fields(Vec<String>);

impl tracing::field::Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.0.insert(0, format!("{value:?}")),
            name => self.0.push(name.to_owned()),
        }
    }
}

impl tracing::Subscriber for Logbook {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(Vec::new());
        event.record(&mut fields);
        LINES.with_borrow_mut(|lines| lines.push(fields.0));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// Once for all tests, before any of them emits: tracing remembers for each log statement whether anybody listens, and
/// a test without a listener would switch it off for all others.
fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| tracing::subscriber::set_global_default(Logbook).expect("the only subscriber"));
}

fn logged(emit: impl FnOnce()) -> Vec<Vec<String>> {
    listen();
    emit();
    LINES.take()
}

fn recorded(emit: impl FnOnce()) -> Notebook {
    listen();
    let notebook = Notebook::default();
    metrics::with_local_recorder(&notebook, emit);
    notebook
}

fn emit_life_of_an_import(import: &ImportLabels) {
    let (generation, failure) = (Generation(3), Failure::transient("timed_out", "no answer"));
    ImportRegistered { import, uri: "s3://b/", schedule: "@auto", table: "t" }.emit();
    for state in ImportState::ALL {
        let reason = StateReason::from(&failure);
        ImportStateChanged { import, generation, state, reason: Some(&reason) }.emit();
    }
    SchemaDecided { import, columns: 4, declared: false, reference: Some("a.csv") }.emit();
    TableRecovered { import, generation, table_version: 7, committed_seq: 6, columns: 4 }.emit();
    GenerationEnded { import, generation, class: ErrorClass::Bug, code: "panicked", message: "m" }.emit();
    RestartScheduled { import, generation, code: "panicked", failures: 1, wait: Duration::from_secs(1) }.emit();
    StaleMessage { import, message: "FileDecoded", sent_in: Generation(2), current: generation }.emit();
}

fn emit_scan_and_batches(import: &ImportLabels) {
    let (id, failure) = (BatchId::from_stored("01ARZ3NDEKTSV4RRFFQ69G5FAV"), Failure::transient("timed_out", "m"));
    let outcome = PageOutcome { new: 5, known: 3, skipped: 2, late: 1, deferred: 1 };
    let duration = Duration::from_millis(250);
    ScanPageListed { import, objects: 11, outcome }.emit();
    ScanFinished { import, pages: 1, objects: 11, excluded: 0, outcome, duration, at: at(50) }.emit();
    ScanFailed { import, failure: &failure, pages: 2 }.emit();
    BacklogMeasured { import, counts: &counts(5), now: at(100) }.emit();
    BatchClaimed { import, seq: 7, id: &id, kind: BatchKind::Ingest, files: 4, bytes: 400 }.emit();
    let (seq, table_version) = (7, 8);
    let (files, rows, rows_quarantined, bytes, at_60) = (1, 10, 2, 90, at(60));
    let kind = BatchKind::Ingest;
    BatchCommitted {
        import,
        seq,
        id: &id,
        kind,
        files,
        rows,
        rows_quarantined,
        bytes,
        table_version,
        duration,
        at: at_60,
    }
    .emit();
    let added = [AddedColumn { column: Column::nullable("x", ColumnType::String), key: Some("a b.csv".to_owned()) }];
    SchemaEvolved { import, id: &id, columns: 5, added: &added }.emit();
    GuardTripped { import, seq: 8, id: &id, failure: &failure }.emit();
    BatchSettled { import, seq: 8, id: &id, files: 1 }.emit();
    BatchAbandoned { import, seq: 8, id: &id, reason: "draining" }.emit();
    CommitUnsettled { import, seq: 8, id: &id, failure: &failure }.emit();
    TickFinished { import, batches: 1, files: 4, duration }.emit();
    TableMaintained { import, table: "t", step: Maintained { compacted: 3, ..Maintained::default() }, duration }.emit();
    RereadTripped { import, files: 3, ingested: 4 }.emit();
    DecoderDied { import, key: "a b.csv", reason: "signal 6" }.emit();
    for outcome in outcomes() {
        emit_file_result(import, &id, "a b.csv", &result(outcome));
    }
}

fn outcomes() -> [FileOutcome; 9] {
    let message = || "m".to_owned();
    [
        FileOutcome::Ingested { rows: 10, rows_quarantined: 2 },
        FileOutcome::Quarantined { code: "missing_column", message: message(), rows_quarantined: 3 },
        FileOutcome::Failed { code: "bad_cell", message: message() },
        FileOutcome::Deferred { code: "timed_out", message: "m".to_owned(), not_before: at(9) },
        FileOutcome::Gone { code: "object_gone", message: "m".to_owned() },
        FileOutcome::Replayed { rows: 1 },
        FileOutcome::RolledBack { rows: 2, rows_quarantined: 1 },
        FileOutcome::Superseded { rows_quarantined: 1 },
        FileOutcome::Expired { rows: 1, digest: RowDigest::default() },
    ]
}

fn emit_everything() {
    let import = orders();
    ProcessStarted { version: "1.2.3", imports: 1 }.emit();
    CreditMeasured { bytes: 10, limit_bytes: 100 }.emit();
    PoolMeasured { queue_jobs: 3, threads: 2 }.emit();
    emit_life_of_an_import(&import);
    emit_scan_and_batches(&import);
}

fn counts(backlog_files: u64) -> ImportCounts {
    ImportCounts {
        backlog_files,
        backlog_bytes: backlog_files * 100,
        oldest_pending: (backlog_files > 0).then(|| at(90)),
        watermark: Some(Watermark { last_modified: at(40), key: "a".to_owned() }),
        last_scan_at: Some(at(95)),
        last_commit_at: Some(at(96)),
        ..ImportCounts::default()
    }
}

#[test]
fn events_move_exactly_the_metrics_of_the_catalogue_with_exactly_their_labels() {
    let notebook = recorded(emit_everything);
    let seen = notebook.0.lock().expect("not poisoned");
    for ((name, labels), line) in seen.iter() {
        let spec = CATALOGUE.iter().find(|spec| spec.name == name).unwrap_or_else(|| panic!("{name} is unknown"));
        let names: Vec<&str> = labels.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(names, spec.labels, "{name}");
        assert_eq!(line.kind, spec.kind, "{name}");
    }
    let seen: BTreeSet<&str> = seen.keys().map(|(name, _)| name.as_str()).collect();
    let catalogue: BTreeSet<&str> = CATALOGUE.iter().map(|spec| spec.name).collect();
    assert_eq!(seen, catalogue, "a metric of the catalogue is moved by no event");
}

#[test]
fn no_label_ever_holds_a_key() {
    let notebook = recorded(emit_everything);
    let seen = notebook.0.lock().expect("not poisoned");
    assert!(seen.keys().all(|(_, labels)| labels.iter().all(|(_, value)| !value.contains(".csv"))));
}

#[test]
fn each_outcome_of_a_file_counts_once_under_its_own_name() {
    let (import, id) = (orders(), BatchId::from_stored("b"));
    let expected = [
        ("ingested", 10.0, 2.0),
        ("quarantined", 0.0, 3.0),
        ("failed", 0.0, 0.0),
        ("deferred", 0.0, 0.0),
        ("gone", 0.0, 0.0),
    ];
    for (outcome, (label, ingested, quarantined)) in outcomes().into_iter().zip(expected) {
        let notebook = recorded(|| emit_file_result(&import, &id, "k", &result(outcome)));
        for other in ["ingested", "quarantined", "failed", "deferred", "gone", "skipped"] {
            let value = notebook.value("s3_connector_files_total", &[other]);
            assert_eq!(value, (other == label).then_some(1.0), "{label}: {other}");
        }
        let rows = |outcome| notebook.value("s3_connector_rows_total", &[outcome]).unwrap_or(0.0);
        assert_eq!((rows("ingested"), rows("quarantined")), (ingested, quarantined), "{label}");
        assert_eq!(notebook.value("s3_connector_bytes_read_total", &[]), Some(100.0), "{label}");
    }
}

#[test]
fn an_import_is_in_exactly_one_state() {
    let import = orders();
    let notebook = recorded(|| {
        for state in [ImportState::Running, ImportState::Failed, ImportState::BackingOff] {
            ImportStateChanged { import: &import, generation: Generation(1), state, reason: None }.emit();
        }
    });
    for state in ImportState::ALL {
        // The label is what people see elsewhere.
        let value = notebook.value("s3_connector_state", &[&state.to_string()]);
        assert_eq!(value, Some(if state == ImportState::BackingOff { 1.0 } else { 0.0 }), "{state}");
    }
}

#[test]
fn nothing_lags_while_nothing_waits_and_clocks_may_disagree() {
    let import = orders();
    let measure = |counts: ImportCounts, now| {
        let notebook = recorded(|| BacklogMeasured { import: &import, counts: &counts, now: at(now) }.emit());
        let value = |name: &str| notebook.value(&format!("s3_connector_{name}_seconds"), &[]);
        (value("watermark_lag"), value("oldest_pending_age"), value("watermark_timestamp"))
    };
    assert_eq!(measure(counts(5), 100), (Some(60.0), Some(10.0), Some(40.0)));
    assert_eq!(measure(counts(0), 100), (Some(0.0), Some(0.0), Some(40.0)));
    assert_eq!(measure(counts(5), 30), (Some(0.0), Some(0.0), Some(40.0)));
    let before_the_first = ImportCounts { watermark: None, ..counts(5) };
    assert_eq!(measure(before_the_first, 100), (Some(10.0), Some(10.0), None));
}

#[test]
fn registering_shows_counters_at_zero_and_loses_nothing_counted_before() {
    let import = orders();
    let notebook = recorded(|| {
        StaleMessage { import: &import, message: "Tick", sent_in: Generation(1), current: Generation(2) }.emit();
        ImportRegistered { import: &import, uri: "s3://b/", schedule: "@auto", table: "t" }.emit();
    });
    assert_eq!(notebook.value("s3_connector_stale_messages_total", &[]), Some(1.0));
    let seen = notebook.0.lock().expect("not poisoned");
    for spec in CATALOGUE.iter().filter(|spec| spec.kind == MetricKind::Counter) {
        let series = seen.keys().filter(|(name, _)| name == spec.name).count();
        // Errors and restarts have a series for each code, and the codes are not known beforehand.
        let expected = match spec.name {
            "s3_connector_files_total" => 6,
            "s3_connector_rows_total" => 2,
            "s3_connector_rows_revised_total" => 4,
            // That of the program, not of an import.
            "s3_connector_config_reloads_total" => 0,
            _ => usize::from(!spec.labels.contains(&"error_code")),
        };
        assert_eq!(series, expected, "{}", spec.name);
    }
}

#[test]
fn what_is_known_of_the_table_is_shown_from_whichever_event_tells_it() {
    let (import, id) = (orders(), BatchId::from_stored("b"));
    let shown = |notebook: &Notebook| {
        let value = |name: &str| notebook.value(&format!("s3_connector_{name}"), &[]);
        [
            value("table_version"),
            value("committed_seq"),
            value("schema_columns"),
            value("last_commit_timestamp_seconds"),
        ]
    };
    let decided = recorded(|| SchemaDecided { import: &import, columns: 4, declared: true, reference: None }.emit());
    assert_eq!(shown(&decided), [None, None, Some(4.0), None]);
    let (generation, table_version, committed_seq) = (Generation(1), 7, 6);
    let recovered =
        recorded(|| TableRecovered { import: &import, generation, table_version, committed_seq, columns: 5 }.emit());
    assert_eq!(shown(&recovered), [Some(7.0), Some(6.0), Some(5.0), None]);
    let (duration, at) = (Duration::from_secs(1), at(60));
    let committed = recorded(|| {
        BatchCommitted {
            import: &import,
            seq: 8,
            id: &id,
            kind: BatchKind::Replay,
            files: 1,
            rows: 1,
            rows_quarantined: 0,
            bytes: 1,
            table_version: 9,
            duration,
            at,
        }
        .emit();
    });
    assert_eq!(shown(&committed), [Some(9.0), Some(8.0), None, Some(60.0)]);
}

#[test]
fn a_page_counts_what_it_changed_and_the_finished_scan_does_not_count_it_again() {
    let import = orders();
    let outcome = PageOutcome { new: 5, known: 3, skipped: 2, late: 1, deferred: 1 };
    let notebook = recorded(|| {
        ScanPageListed { import: &import, objects: 11, outcome }.emit();
        let (duration, at) = (Duration::from_secs(2), at(50));
        ScanFinished { import: &import, pages: 1, objects: 11, excluded: 0, outcome, duration, at }.emit();
    });
    let value = |name: &str, more: &[&str]| notebook.value(&format!("s3_connector_{name}"), more);
    assert_eq!(value("list_requests_total", &[]), Some(1.0));
    assert_eq!(value("objects_listed_total", &[]), Some(11.0));
    assert_eq!(value("late_arrivals_total", &[]), Some(1.0));
    assert_eq!(value("files_total", &["skipped"]), Some(2.0));
    assert_eq!(value("files_total", &["deferred"]), Some(1.0));
    assert_eq!(value("scan_duration_seconds", &[]), Some(2.0));
    assert_eq!(value("last_scan_timestamp_seconds", &[]), Some(50.0));
}

#[test]
fn log_lines_are_lower_case_and_name_connection_import_batch_and_key() {
    let lines = logged(emit_everything);
    assert!(lines.len() > 25, "{lines:?}");
    for line in &lines {
        let message = &line[0];
        let well_formed = message.starts_with(|c: char| c.is_ascii_lowercase()) && !message.ends_with('.');
        assert!(well_formed, "{message}");
        let has = |name: &str| line.iter().skip(1).any(|field| field == name);
        assert!(has("import") && has("connection") || message == "program started", "{line:?}");
        let of_column = message.starts_with("column");
        let of_batch = message.starts_with("batch") || message.starts_with("file") || of_column || has("seq");
        assert_eq!(has("batch"), of_batch, "{line:?}");
        // A process that died over a file was no batch's: suspects are tried beside it.
        let of_file = message.starts_with("file") || message.starts_with("decoder");
        assert_eq!(has("key"), of_file || of_column, "{line:?}");
    }
}

#[test]
fn gauges_that_are_measured_again_and_again_do_not_fill_the_log() {
    let import = orders();
    let lines = logged(|| {
        BacklogMeasured { import: &import, counts: &counts(5), now: at(100) }.emit();
        CreditMeasured { bytes: 10, limit_bytes: 100 }.emit();
        PoolMeasured { queue_jobs: 3, threads: 2 }.emit();
    });
    assert_eq!(lines, [[""; 0]; 0]);
}
