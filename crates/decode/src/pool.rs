//! The CPU pool: OS threads that decode and encode, fed by a bounded channel.
//!
//! Network waits live on tokio, work lives here. The async side waits for a slot on a semaphore that has as many
//! permits as the channel has places, so sending never blocks a runtime thread. A job that panics ends as
//! [`JobLost`] and its worker goes on; this is the only place of the program that catches panics.
//!
//! A thread cannot be ended from outside, so a job of [`Pool::run_watched`] that does not return is given up: its caller
//! is told, its thread is *written off*, and another one takes its place. Written off threads are few
//! ([`StuckRules::most`]); after that the process has to end, and its service manager starts it anew.

mod desk;
#[cfg(test)]
mod tests;
mod watch;

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector_core::error::Failure;
use crossbeam_channel::{Sender, bounded};
use tokio::sync::{Semaphore, oneshot};

use self::desk::Job;
use self::watch::{Crew, Watch};

/// How long one job may take. A job is one block of a file, or at most a small file: seconds on the slowest machine.
const STUCK_AFTER: Duration = Duration::from_secs(120);
/// How many threads are written off before the process has to end: each keeps a core busy, and what memory it holds.
const MOST_STUCK: usize = 4;
/// The exit code of a process that was given up: that of a bug.
const EXIT_CODE: i32 = 6;

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobLost {
    /// While decoding, that is the file's fault.
    #[error("decoding stopped with a panic: {message}")]
    Panicked { message: String },
    /// The job did not come to an end and was given up.
    #[error("decoding did not come to an end within {} s and was given up", limit.as_secs_f64())]
    Stuck { limit: Duration },
    /// The pool was shut down before the job ran, or has no threads.
    #[error("there is no thread to decode on: the program is stopping, or the system gave it none")]
    NoThreads,
}

impl From<JobLost> for Failure {
    /// A stuck job is `Transient`: the file leaves its batch and is tried again, by a process of its own.
    fn from(lost: JobLost) -> Self {
        match lost {
            JobLost::Panicked { .. } => Self::data("decode_panic", lost.to_string()),
            JobLost::Stuck { .. } => Self::transient("decode_stuck", lost.to_string()),
            JobLost::NoThreads => Self::transient("no_threads", lost.to_string()),
        }
    }
}

/// What becomes of jobs that do not return.
#[derive(Clone)]
pub struct StuckRules {
    /// A watched job that runs for longer is given up. Time in which the whole process stood still does not count.
    pub limit: Duration,
    /// How many threads may be written off at a time.
    pub most: usize,
    /// What is done once there are more.
    pub then: Arc<dyn Fn() + Send + Sync>,
}

impl Default for StuckRules {
    fn default() -> Self {
        Self { limit: STUCK_AFTER, most: MOST_STUCK, then: Arc::new(end_process) }
    }
}

impl fmt::Debug for StuckRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StuckRules").field("limit", &self.limit).field("most", &self.most).finish_non_exhaustive()
    }
}

/// Nothing is lost: whatever was open is given back at the next start, and files that were being read are decoded by a
/// process of their own then.
fn end_process() {
    tracing::error!(
        threads = MOST_STUCK + 1,
        "the program ends itself: too many files hang in decoding, and their threads cannot be stopped; start it again \
         (a service manager does), and it reads these files in processes of their own"
    );
    std::process::exit(EXIT_CODE);
}

/// A handle to the pool. Cheap to clone; the threads end once [`Pool::shutdown`] was called or every handle is gone.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// `None` once the pool was shut down.
    sender: Mutex<Option<Sender<Job>>>,
    slots: Arc<Semaphore>,
    threads: usize,
    crew: Arc<Crew>,
    limit: Duration,
    _watch: Watch,
}

impl Pool {
    /// Starts `threads` workers (at least one) with room for twice as many waiting jobs.
    pub fn new(threads: usize) -> Self {
        Self::with_rules(threads, StuckRules::default())
    }

    /// As [`Pool::new`], with other rules for jobs that do not return.
    pub fn with_rules(threads: usize, rules: StuckRules) -> Self {
        let threads = threads.max(1);
        let capacity = 2 * threads;
        let (sender, receiver) = bounded::<Job>(capacity);
        let limit = rules.limit;
        let crew = Arc::new(Crew::new(receiver, rules));
        let started = (0..threads).filter(|_| crew.start_worker()).count();
        let slots = Arc::new(Semaphore::new(capacity));
        if started == 0 {
            slots.close();
        }
        let _watch = Watch::start(&crew);
        let sender = Mutex::new(Some(sender));
        Self { shared: Arc::new(Shared { sender, slots, threads: started, crew, limit, _watch }) }
    }

    /// Runs `job` on a worker and returns what it returns. Waits for a free slot first; if the returned future is
    /// dropped before a worker takes the job up, the job never runs.
    ///
    /// # Errors
    /// [`JobLost`] if the job panicked, or if the pool was shut down before it ran.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, JobLost> {
        self.submit(job, false).await
    }

    /// As [`Pool::run`], for jobs on bytes that nobody vouches for: one that does not return is given up. Its result, if
    /// it ever comes, is dropped.
    ///
    /// # Errors
    /// As [`Pool::run`], and [`JobLost::Stuck`].
    pub async fn run_watched<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, JobLost> {
        self.submit(job, true).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
        watched: bool,
    ) -> Result<T, JobLost> {
        let gone = || JobLost::NoThreads;
        let permit = Arc::clone(&self.shared.slots).acquire_owned().await.map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        // Whoever is first takes the reply: the job, or the watch that gives it up.
        let reply = Arc::new(Mutex::new(Some(reply)));
        let (given_up, limit) = (Arc::clone(&reply), self.shared.limit);
        let run = move || {
            drop(permit);
            if lock(&reply).as_ref().is_some_and(|reply| !reply.is_closed()) {
                let result = caught(job);
                if let Some(reply) = lock(&reply).take() {
                    // A caller that went away meanwhile does not want the answer: nothing to do.
                    let _ = reply.send(result);
                }
            }
        };
        let give_up = move || {
            if let Some(reply) = lock(&given_up).take() {
                let _ = reply.send(Err(JobLost::Stuck { limit }));
            }
        };
        let give_up = watched.then(|| Box::new(give_up) as Box<dyn FnOnce() + Send>);
        self.send(Job { run: Box::new(run), give_up }).map_err(|()| gone())?;
        answer.await.map_err(|_| gone())?
    }

    fn send(&self, job: Job) -> Result<(), ()> {
        let sender = lock(&self.shared.sender).clone().ok_or(())?;
        sender.try_send(job).map_err(|_| ())
    }

    /// How many worker threads take jobs.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// How many threads are written off, for as long as their jobs do not return.
    pub fn stuck(&self) -> usize {
        self.shared.crew.stuck.load(Ordering::SeqCst)
    }

    /// How many jobs wait for a worker.
    pub fn queued(&self) -> usize {
        lock(&self.shared.sender).as_ref().map_or(0, Sender::len)
    }

    /// Takes no more jobs. Jobs that were queued still run, then the threads end.
    pub fn shutdown(&self) {
        self.shared.slots.close();
        lock(&self.shared.sender).take();
    }
}

/// What a job that panicked has left is whole: nothing that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "this is the one place where panics are caught")]
fn caught<T>(job: impl FnOnce() -> T) -> Result<T, JobLost> {
    // Whatever the job shares with others is behind channels and locks that handle poisoning.
    std::panic::catch_unwind(AssertUnwindSafe(job))
        .map_err(|payload| JobLost::Panicked { message: panic_message(payload.as_ref()) })
}

/// What a panic said, in at most 500 characters.
pub fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().take(500).collect()
}
