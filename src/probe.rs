//! Processes that decode a suspect file, so that only they can die of it: the parent's side.
//!
//! A file that was being read when the program died may have killed it: an allocation that fails aborts the process, and
//! no handler of ours runs. So the next one that touches it is a child: the same binary under the hidden verb
//! `decode-probe`. It has no environment of the parent's, no configuration and no credentials, a limit on its memory, and
//! has to get on. Its standard input is the file. Its standard output is a socket on which the job comes in, whatever its
//! length and invisible to everybody else (an argument shows column names in /proc), and on which it tells each piece that
//! it has decoded with a line end, and at last what it found.
//!
//! | module | what of it |
//! |---|---|
//! | `wire` | the job as text |
//! | `talk` | the parent's end of the socket |
//! | [`child`] | what the child does |
//! | [`whole_file`] | decoding a file from its first byte to its last |
//!
//! Only the death of the child counts against the file: a signal that a decoder can cause, or no progress for long. A
//! signal that people send (SIGTERM, SIGINT, SIGHUP, SIGQUIT), the end of the parent, or a file that takes for ever and
//! gets on all the time, is nobody's fault. The child is in a
//! process group of its own, so that Ctrl-C in a terminal does not reach it, and it ends with its parent.

pub mod child;
mod talk;
#[cfg(test)]
mod tests;
pub mod whole_file;
mod wire;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
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

use self::talk::Talk;

/// The verb.
pub const VERB: &str = "decode-probe";
/// A child that has decoded no further piece of its file for this long hangs. How large a file becomes when it is unpacked
/// is not known before, so there is no telling how long a good one takes in all.
const PATIENCE: Duration = Duration::from_secs(120);
/// A child that gets on is ended after this long all the same, for others wait for their turn. The file has no share in it.
pub(crate) const LONGEST: Duration = Duration::from_secs(6 * 3_600);
/// Both are counted in steps: time in which this process stood still is not the child's.
const STEP: Duration = Duration::from_secs(1);
/// This very binary, even if its file has been replaced meanwhile.
const SELF: &str = "/proc/self/exe";
/// Characters of a child's last words that are told.
const LAST_WORDS: usize = 300;

/// Starts children, one at a time: each may take as much memory as the whole program.
pub struct ChildProbe {
    program: PathBuf,
    arguments: Vec<String>,
    patience: Duration,
    longest: Duration,
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
        let (arguments, turn) = (vec![VERB.to_owned()], Semaphore::new(1));
        Self { program, arguments, patience: PATIENCE, longest: LONGEST, turn }
    }

    /// The child, and this end of the socket.
    fn start(&self, file: &File) -> std::io::Result<(Child, UnixStream)> {
        let stdin = Stdio::from(file.try_clone()?);
        let (mine, its) = UnixStream::pair()?;
        mine.set_nonblocking(true)?;
        let mut command = Command::new(&self.program);
        command.arg0("s3-connector").args(&self.arguments).current_dir("/");
        // One arena: the limit is on address space, and each further arena reserves 64 MiB of it.
        command.env_clear().env("MALLOC_ARENA_MAX", "1");
        command.stdin(stdin).stdout(OwnedFd::from(its)).stderr(Stdio::piped());
        // Its end of the socket is closed here with the command.
        Ok((command.process_group(0).kill_on_drop(true).spawn()?, mine))
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
        let not_started = |error| failed(&format!("the process did not start: {error}"));
        let (child, socket) = self.start(&file).map_err(not_started)?;
        let talk = Talk::new(socket, wire::encode(job, std::process::id())).map_err(not_started)?;
        match self.outcome(child, talk).await.map_err(|error| failed(&error.to_string()))? {
            Ended::ByItself(output) => verdict(&output).map_err(|what| failed(&what)),
            Ended::Hung => {
                let how =
                    format!("it decoded nothing more for {} s and had not come to an end", self.patience.as_secs());
                Ok(Verdict::Died { how })
            }
            Ended::TookTooLong => {
                let hours = self.longest.as_secs_f64() / 3_600.0;
                Err(failed(&format!("it got on all the time and had not come to an end after {hours} h")))
            }
        }
    }
}

/// How a child came to its end.
enum Ended {
    /// What it said on its standard output is its report alone.
    ByItself(Output),
    Hung,
    TookTooLong,
}

impl ChildProbe {
    /// Waits for the child's end, or brings it about.
    async fn outcome(&self, child: Child, talk: Talk) -> std::io::Result<Ended> {
        let pid = child.id();
        let pieces = talk.pieces();
        let ended = async { tokio::join!(child.wait_with_output(), talk.report()) };
        tokio::pin!(ended);
        // Dropped before the child, which is not reaped by then: the number is still its own.
        let mut group = Group(pid);
        let (mut seen, mut idle, mut all) = (0, Duration::ZERO, Duration::ZERO);
        let step = STEP.min(self.patience);
        loop {
            tokio::select! {
                biased;
                (output, report) = &mut ended => {
                    group.0 = None;
                    return Ok(Ended::ByItself(Output { stdout: report, ..output? }));
                }
                () = tokio::time::sleep(step) => {}
            }
            (idle, all) = (idle + step, all + step);
            if pieces.count() != seen {
                (seen, idle) = (pieces.count(), Duration::ZERO);
            }
            if idle < self.patience && all < self.longest {
                continue;
            }
            group.kill();
            ended.await.0?;
            group.0 = None;
            return Ok(if idle < self.patience { Ended::TookTooLong } else { Ended::Hung });
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
    // SIGXCPU is for a child that has lost its parent.
    [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::XCPU].iter().any(|known| known.as_raw() == signal)
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
        (Signal::XCPU, "SIGXCPU"),
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
