//! One point: its name, and what the environment has it do.

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

use connector_core::error::{ErrorClass, Failure};
use connector_core::ports::PortResult;
use tokio::runtime::{Handle, RuntimeFlavor};

/// The methods that have points, by port. A point's name is `port::method::before` or `port::method::after`.
pub const METHODS: [(&str, &[&str]); 6] = [
    ("source", &["list_page", "read_range"]),
    (
        "ledger",
        &[
            "open_import",
            "table_created",
            "decide_schema",
            "record_page",
            "finish_scan",
            "claim",
            "claim_revision",
            "mark_reading",
            "retry",
            "stage",
            "finalise",
            "abandon",
            "settle",
            "set_paused",
            "trip_guard",
            "history",
            "schema_history",
            "counts",
        ],
    ),
    ("table", DESTINATION),
    ("quarantine", DESTINATION),
    ("table::writer", WRITER),
    ("quarantine::writer", WRITER),
];

const DESTINATION: &[&str] = &[
    "read",
    "create",
    "open_writer",
    "discard",
    "staged_files_intact",
    "commit",
    "row_ids",
    "rows",
    "expired",
    "maintain",
];

const WRITER: &[&str] = &["write", "flush", "finish", "discard"];

/// The names of all points.
pub fn points() -> Vec<String> {
    let methods = METHODS.iter().flat_map(|(port, methods)| methods.iter().map(move |method| (port, method)));
    methods.flat_map(|(port, method)| ["before", "after"].map(|side| format!("{port}::{method}::{side}"))).collect()
}

/// Reads the environment, once in the life of the process. Whoever misspells a point or an action would test nothing:
/// then the process panics.
pub(super) fn configure() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let Ok(all) = std::env::var("FAILPOINTS") else { return };
        let known = points();
        for one in all.split(';').map(str::trim).filter(|one| !one.is_empty()) {
            let (name, action) = one.split_once('=').unwrap_or((one, ""));
            assert!(known.iter().any(|point| point == name), "FAILPOINTS: there is no point '{name}'");
            if let Err(why) = fail::cfg(name, action) {
                panic!("FAILPOINTS: '{action}' of '{name}' is no action: {why}");
            }
        }
    });
}

/// What happens at a point, apart from panics, delays and the end of the process.
enum Verdict {
    GoOn,
    Fail(Failure),
    Hang,
}

/// Whether points that concern one object are on for this one.
pub(super) fn concerns(key: &str) -> bool {
    static KEY: OnceLock<Option<String>> = OnceLock::new();
    KEY.get_or_init(|| std::env::var("FAILPOINT_KEY").ok()).as_ref().is_none_or(|only| only == key)
}

/// A call that is awaited, between its two points.
pub(super) async fn awaited<T>(port: &str, method: &str, call: impl Future<Output = PortResult<T>>) -> PortResult<T> {
    pass(port, method, "before").await?;
    let answer = call.await;
    pass(port, method, "after").await?;
    answer
}

/// A call that blocks, between its two points.
pub(super) fn blocking<T>(port: &str, method: &str, call: impl FnOnce() -> PortResult<T>) -> PortResult<T> {
    pass_blocking(port, method, "before")?;
    let answer = call();
    pass_blocking(port, method, "after")?;
    answer
}

/// One point of a call that is awaited.
pub(super) async fn pass(port: &str, method: &str, side: &str) -> PortResult<()> {
    let name = format!("{port}::{method}::{side}");
    // Delays block: other tasks of this thread must not have to wait for them.
    let multi = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    let verdict = if multi { tokio::task::block_in_place(|| judge(&name)) } else { judge(&name) };
    match verdict {
        Verdict::GoOn => Ok(()),
        Verdict::Fail(failure) => Err(failure),
        Verdict::Hang => std::future::pending().await,
    }
}

/// One point of a call that blocks.
pub(super) fn pass_blocking(port: &str, method: &str, side: &str) -> PortResult<()> {
    match judge(&format!("{port}::{method}::{side}")) {
        Verdict::GoOn => Ok(()),
        Verdict::Fail(failure) => Err(failure),
        Verdict::Hang => loop {
            std::thread::park();
        },
    }
}

fn judge(name: &str) -> Verdict {
    log(name);
    fail::fail_point!(name, |what| verdict(name, what.as_deref().unwrap_or("error")));
    Verdict::GoOn
}

fn verdict(name: &str, what: &str) -> Verdict {
    let class = match what {
        "abort" => std::process::abort(),
        "hang" => return Verdict::Hang,
        "error" => ErrorClass::Transient,
        "data" => ErrorClass::Data,
        "config" => ErrorClass::Config,
        "fenced" => ErrorClass::Fenced,
        _ => panic!("FAILPOINTS: return({what}) of '{name}' is not known"),
    };
    Verdict::Fail(Failure::new(class, "failpoint", format!("the point {name} was asked to fail")))
}

fn log(name: &str) {
    static LOG: OnceLock<Option<Mutex<File>>> = OnceLock::new();
    let open = || {
        let path = std::env::var_os("FAILPOINT_LOG")?;
        let file = File::options().append(true).create(true).open(&path);
        Some(Mutex::new(file.unwrap_or_else(|error| panic!("FAILPOINT_LOG: {}: {error}", path.display()))))
    };
    if let Some(file) = LOG.get_or_init(open) {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(format!("{name}\n").as_bytes()) {
            panic!("FAILPOINT_LOG: {error}");
        }
    }
}
