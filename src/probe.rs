//! Processes that decode a suspect file, so that only they can die of it: the parent's side.
//!
//! A file that was being read when the program died may have killed it: an allocation that fails aborts the process, and
//! no handler of ours runs. So the next one that touches it is a child: the same binary under the hidden verb
//! `decode-probe`, which reads the file from its standard input and drops the rows. It has no environment, no
//! configuration and no credentials, a limit on its memory, and a time by which it has to be done.
//!
//! | module | what of it |
//! |---|---|
//! | `wire` | the job as one argument |
//! | [`child`] | what the child does |
//! | [`whole_file`] | decoding a file from its first byte to its last |
//!
//! Only the death of the child counts against the file: a signal that a decoder can cause, or no end in time. A signal
//! that people send (SIGTERM, SIGINT, SIGHUP, SIGQUIT), or the end of the parent, is nobody's fault. The child is in a
//! process group of its own, so that Ctrl-C in a terminal does not reach it, and it ends with its parent.

pub mod child;
#[cfg(test)]
mod tests;
pub mod whole_file;
mod wire;

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_actors::decoder::probe::{Probe, ProbeJob, Verdict};
use connector_core::error::Failure;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// The verb.
pub const VERB: &str = "decode-probe";
/// A child has this long, and [`PER_MEGABYTE`] more for each megabyte of the file, as it is stored.
const DEADLINE: Duration = Duration::from_secs(60);
const PER_MEGABYTE: Duration = Duration::from_secs(1);
/// The deadline is counted in steps: time in which this process stood still is not the child's.
const STEP: Duration = Duration::from_secs(1);
/// This very binary, even if its file has been replaced meanwhile.
const SELF: &str = "/proc/self/exe";
/// Characters of a child's last words that are told.
const LAST_WORDS: usize = 300;

/// Starts children, one at a time: each may take as much memory as the whole program.
pub struct ChildProbe {
    program: PathBuf,
    /// Before the job.
    arguments: Vec<String>,
    deadline: Duration,
    turn: Semaphore,
}

impl Default for ChildProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl ChildProbe {
    /// Children that run this binary.
    pub fn new() -> Self {
        let own = Path::new(SELF);
        let program = if own.exists() { own.to_owned() } else { std::env::current_exe().unwrap_or_default() };
        Self { program, arguments: vec![VERB.to_owned()], deadline: DEADLINE, turn: Semaphore::new(1) }
    }

    fn deadline(&self, size: u64) -> Duration {
        let megabytes = u32::try_from(size / 1_000_000).unwrap_or(u32::MAX);
        self.deadline.saturating_add(PER_MEGABYTE.saturating_mul(megabytes))
    }

    fn start(&self, job: &ProbeJob, file: &File) -> std::io::Result<Child> {
        let stdin = Stdio::from(file.try_clone()?);
        let mut command = Command::new(&self.program);
        command.arg0("s3-connector").args(&self.arguments).arg(wire::encode(job)).current_dir("/");
        // One arena: the limit is on address space, and each further arena reserves 64 MiB of it.
        command.env_clear().env("MALLOC_ARENA_MAX", "1");
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true).spawn()
    }
}

#[async_trait]
impl Probe for ChildProbe {
    async fn vet(&self, job: &ProbeJob, file: Arc<File>) -> Result<Verdict, Failure> {
        let failed = |what: &str| {
            let message = format!("cannot decode a suspect file in a process of its own: {what}; it is tried again");
            Failure::transient("probe_failed", message)
        };
        let _turn = self.turn.acquire().await.map_err(|error| failed(&error.to_string()))?;
        let child = self.start(job, &file).map_err(|error| failed(&format!("the process did not start: {error}")))?;
        let limit = self.deadline(job.size);
        match outcome(child, limit).await.map_err(|error| failed(&error.to_string()))? {
            None => Ok(Verdict::Died { how: format!("it did not come to an end within {} s", limit.as_secs_f64()) }),
            Some(output) => verdict(&output).map_err(|what| failed(&what)),
        }
    }
}

/// Waits for the child's end. `None`: it had to be ended at the deadline.
async fn outcome(child: Child, limit: Duration) -> std::io::Result<Option<Output>> {
    let pid = child.id();
    let ended = child.wait_with_output();
    tokio::pin!(ended);
    // Dropped before the child, which is not reaped by then: the number is still its own.
    let mut group = Group(pid);
    let mut left = limit;
    loop {
        let step = STEP.min(left);
        tokio::select! {
            biased;
            output = &mut ended => {
                group.0 = None;
                return output.map(Some);
            }
            () = tokio::time::sleep(step) => left -= step,
        }
        if left.is_zero() {
            group.kill();
            ended.await?;
            group.0 = None;
            return Ok(None);
        }
    }
}

/// The process group of a child that has not been waited for.
struct Group(Option<u32>);

impl Group {
    fn kill(&self) {
        let pid = self.0.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // An error means that it has ended already.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the end of a child says of its file.
///
/// # Errors
/// In words, if it says nothing.
fn verdict(output: &Output) -> Result<Verdict, String> {
    let status: ExitStatus = output.status;
    if status.success() {
        tracing::info!(report = String::from_utf8_lossy(&output.stdout).trim(), "suspect file decoded");
        return Ok(Verdict::Survived);
    }
    let words = last_words(&output.stderr);
    match status.signal() {
        Some(signal) if is_from_people(signal) => Err(format!("somebody ended the process with {}", name_of(signal))),
        Some(signal) => Ok(Verdict::Died { how: format!("it was killed by {}{words}", name_of(signal)) }),
        None => Err(format!("the process did not get as far as the file ({status}{words})")),
    }
}

/// Whether no decoder dies of it.
fn is_from_people(signal: i32) -> bool {
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].iter().any(|known| known.as_raw() == signal)
}

fn name_of(signal: i32) -> String {
    let known = [
        (Signal::ABORT, "SIGABRT"),
        (Signal::KILL, "SIGKILL, perhaps by the system for want of memory"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::BUS, "SIGBUS"),
        (Signal::ILL, "SIGILL"),
        (Signal::FPE, "SIGFPE"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::SYS, "SIGSYS"),
        (Signal::TERM, "SIGTERM"),
        (Signal::INT, "SIGINT"),
        (Signal::HUP, "SIGHUP"),
        (Signal::QUIT, "SIGQUIT"),
    ];
    let found = known.iter().find(|(known, _)| known.as_raw() == signal);
    found.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let says_something = |line: &&str| !line.trim().is_empty() && !line.starts_with("note: ");
    let line = text.lines().rev().find(says_something).unwrap_or_default();
    let line: String = line.chars().filter(|letter| !letter.is_control()).take(LAST_WORDS).collect();
    if line.is_empty() { line } else { format!(" ({line})") }
}
