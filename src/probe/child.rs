//! What the child does: it binds its own hands, decodes the file on its standard input, and says what it found.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use connector_actors::decoder::probe::ProbeJob;
use connector_core::error::Failure;
use connector_decode::pool::panic_message;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde_json::{Value, json};

use super::talk::PIECE;
use super::whole_file::{self, Counts};
use super::{LONGEST, wire};

/// How it ends if nobody listens any more.
const UNHEARD: i32 = 70;
/// Address space for the child itself, beside what it has when it begins and what decoding may take.
const OVERHEAD_BYTES: u64 = 128 << 20;
/// Taken for what it has when it begins if the system does not say.
const UNKNOWN_START_BYTES: u64 = 256 << 20;

/// Decodes the file on standard input by the job that comes in on standard output, and answers there.
///
/// # Errors
/// In words, if it does not get as far as the file.
pub fn run() -> Result<(), String> {
    end_with_parent()?;
    let mut socket = socket()?;
    let mut text = String::new();
    socket.read_to_string(&mut text).map_err(|error| format!("the job does not come in: {error}"))?;
    let (job, parent) = wire::decode(&text)?;
    still_there(parent)?;
    limit(&job)?;
    let stdin = std::io::stdin();
    let file = stdin.as_fd().try_clone_to_owned().map_err(|error| format!("there is no standard input: {error}"))?;
    let file = Arc::new(File::from(file));
    let mut pieces = socket.try_clone().map_err(|error| format!("there is no standard output: {error}"))?;
    // Nobody waits for the answer if nobody listens.
    let mut piece = move || pieces.write_all(&[PIECE]).unwrap_or_else(|_| std::process::exit(UNHEARD));
    // On a thread with as much stack as those that decode have, and so that a panic is an answer as it is there.
    let decode = std::thread::Builder::new().spawn(move || whole_file::decode(&job, &file, &mut piece));
    let decoded = decode.map_err(|error| format!("there is no thread to decode on: {error}"))?.join();
    let decoded = decoded.unwrap_or_else(|payload| Err(Failure::data("decode_panic", panic_message(payload.as_ref()))));
    socket.write_all(report(decoded).to_string().as_bytes()).map_err(|error| format!("nobody listens: {error}"))
}

/// The socket to the parent.
fn socket() -> Result<UnixStream, String> {
    let stdout = std::io::stdout();
    let handle =
        stdout.as_fd().try_clone_to_owned().map_err(|error| format!("there is no standard output: {error}"))?;
    Ok(UnixStream::from(handle))
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

/// The parent may have ended before it was asked to take this process along.
fn still_there(parent: u32) -> Result<(), String> {
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now == Some(parent) { Ok(()) } else { Err("the parent is gone".to_owned()) }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent() -> Result<(), String> {
    Ok(())
}

/// No core files: they would hold the user's rows. No more memory than the job says; and more time of the processor than
/// any parent lets it have, in case that it is without one.
fn limit(job: &ProbeJob) -> Result<(), String> {
    let set = |resource, most| {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(|error| format!("cannot limit {resource:?} to {most}: {error}"))
    };
    set(Resource::Core, 0)?;
    set(Resource::Cpu, 2 * LONGEST.as_secs())?;
    let bytes = address_space().saturating_add(job.memory).saturating_add(OVERHEAD_BYTES);
    set(Resource::As, bytes)
}

/// Bytes of address space that this process has.
fn address_space() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| text.split(' ').next()?.parse().ok());
    pages.map_or(UNKNOWN_START_BYTES, |pages: u64| pages.saturating_mul(rustix::param::page_size() as u64))
}
