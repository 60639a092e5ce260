//! What the child does: it binds its own hands, decodes the file on its standard input, and says what it found.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use connector_actors::decoder::probe::ProbeJob;
use connector_core::error::Failure;
use connector_decode::pool::panic_message;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde_json::{Value, json};

use super::whole_file::{self, Counts};
use super::wire;

/// Address space for the child itself, beside what it has when it begins and what decoding may take.
const OVERHEAD_BYTES: u64 = 128 << 20;
/// Taken for what it has when it begins if the system does not say.
const UNKNOWN_START_BYTES: u64 = 256 << 20;

/// Decodes the file on standard input by a job of the parent. The answer is what to print.
///
/// # Errors
/// In words, if it does not get as far as the file.
pub fn run(job: &str) -> Result<Value, String> {
    let job = wire::decode(job)?;
    end_with_parent()?;
    limit(&job)?;
    let stdin = std::io::stdin();
    let file = stdin.as_fd().try_clone_to_owned().map_err(|error| format!("there is no standard input: {error}"))?;
    let file = Arc::new(File::from(file));
    // On a thread with as much stack as those that decode have, and so that a panic is an answer as it is there.
    let decode = std::thread::Builder::new().spawn(move || whole_file::decode(&job, &file));
    let decoded = decode.map_err(|error| format!("there is no thread to decode on: {error}"))?.join();
    Ok(report(decoded.unwrap_or_else(|payload| Err(Failure::data("decode_panic", panic_message(payload.as_ref()))))))
}

fn report(decoded: Result<Counts, Failure>) -> Value {
    match decoded {
        Ok(Counts { records, rejected }) => json!({"records": records, "rejected": rejected}),
        Err(failure) => json!({"code": failure.code, "message": failure.message}),
    }
}

/// Nobody waits for the answer once the parent is gone.
#[cfg(target_os = "linux")]
fn end_with_parent() -> Result<(), String> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("cannot ask to end with the parent: {error}"))
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent() -> Result<(), String> {
    Ok(())
}

/// No core files: they would hold the user's rows. And no more memory than the job says.
fn limit(job: &ProbeJob) -> Result<(), String> {
    let set = |resource, bytes| {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        setrlimit(resource, limit).map_err(|error| format!("cannot limit {resource:?} to {bytes}: {error}"))
    };
    set(Resource::Core, 0)?;
    let bytes = address_space().saturating_add(job.memory).saturating_add(OVERHEAD_BYTES);
    set(Resource::As, bytes)
}

/// Bytes of address space that this process has.
fn address_space() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| text.split(' ').next()?.parse().ok());
    pages.map_or(UNKNOWN_START_BYTES, |pages: u64| pages.saturating_mul(rustix::param::page_size() as u64))
}
