//! The CPU pool: OS threads that decode and encode, fed by a bounded channel.
//!
//! Network waits live on tokio, work lives here. The async side waits for a slot on a semaphore that has as many
//! permits as the channel has places, so sending never blocks a runtime thread. A job that panics ends as
//! [`JobLost`] and its worker goes on; this is the only place of the program that catches panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use connector_core::error::Failure;
use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::{Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobLost {
    /// While decoding, that is the file's fault.
    #[error("decoding stopped with a panic: {message}")]
    Panicked { message: String },
    /// The pool was shut down before the job ran, or has no threads.
    #[error("there is no thread to decode on: the program is stopping, or the system gave it none")]
    NoThreads,
}

impl From<JobLost> for Failure {
    fn from(lost: JobLost) -> Self {
        match lost {
            JobLost::Panicked { .. } => Self::data("decode_panic", lost.to_string()),
            JobLost::NoThreads => Self::transient("no_threads", lost.to_string()),
        }
    }
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
}

impl Pool {
    /// Starts `threads` workers (at least one) with room for twice as many waiting jobs.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let capacity = 2 * threads;
        let (sender, receiver) = bounded::<Job>(capacity);
        let started = (0..threads).filter(|index| start_worker(*index, receiver.clone())).count();
        let slots = Arc::new(Semaphore::new(capacity));
        if started == 0 {
            slots.close();
        }
        Self { shared: Arc::new(Shared { sender: Mutex::new(Some(sender)), slots, threads: started }) }
    }

    /// Runs `job` on a worker and returns what it returns. Waits for a free slot first; if the returned future is
    /// dropped before a worker takes the job up, the job never runs.
    ///
    /// # Errors
    /// [`JobLost`] if the job panicked, or if the pool was shut down before it ran.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, JobLost> {
        let gone = || JobLost::NoThreads;
        let permit = Arc::clone(&self.shared.slots).acquire_owned().await.map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            drop(permit);
            if !reply.is_closed() {
                // A caller that went away meanwhile does not want the answer: nothing to do.
                let _ = reply.send(caught(job));
            }
        });
        self.send(job).map_err(|()| gone())?;
        answer.await.map_err(|_| gone())?
    }

    fn send(&self, job: Job) -> Result<(), ()> {
        let sender = self.shared.sender.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(())?;
        sender.try_send(job).map_err(|_| ())
    }

    /// How many worker threads run.
    pub fn threads(&self) -> usize {
        self.shared.threads
    }

    /// How many jobs wait for a worker.
    pub fn queued(&self) -> usize {
        let sender = self.shared.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().map_or(0, Sender::len)
    }

    /// Takes no more jobs. Jobs that were queued still run, then the threads end.
    pub fn shutdown(&self) {
        self.shared.slots.close();
        self.shared.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn start_worker(index: usize, jobs: Receiver<Job>) -> bool {
    let work = move || jobs.iter().for_each(|job| job());
    match thread::Builder::new().name(format!("decode-{index}")).spawn(work) {
        Ok(_detached) => true,
        Err(error) => {
            tracing::error!(%error, "a decoding thread could not be started");
            false
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place where panics are caught")]
fn caught<T>(job: impl FnOnce() -> T) -> Result<T, JobLost> {
    // Whatever the job shares with others is behind channels and locks that handle poisoning.
    std::panic::catch_unwind(AssertUnwindSafe(job))
        .map_err(|payload| JobLost::Panicked { message: panic_message(payload.as_ref()) })
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_panic_comes_back_as_an_error_and_the_worker_lives_on() {
        let pool = Pool::new(1);
        let panicked = pool.run(|| -> u32 { panic!("boom {}", 7) }).await;
        assert_eq!(panicked, Err(JobLost::Panicked { message: "boom 7".to_owned() }));
        assert_eq!(pool.run(|| 1 + 1).await, Ok(2));
        assert_eq!(pool.threads(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_callers_share_few_threads_and_none_is_lost() {
        let (pool, ran) = (Pool::new(2), Arc::new(AtomicUsize::new(0)));
        let calls: Vec<_> = (0..500)
            .map(|number| {
                let (pool, ran) = (pool.clone(), Arc::clone(&ran));
                tokio::spawn(async move {
                    let job = move || {
                        ran.fetch_add(1, Ordering::SeqCst);
                        number
                    };
                    pool.run(job).await
                })
            })
            .collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.expect("joins"), Ok(number));
        }
        assert_eq!(ran.load(Ordering::SeqCst), 500);
    }

    /// A single-threaded runtime would hang here if sending blocked it.
    #[tokio::test]
    async fn a_full_queue_makes_callers_wait_without_blocking_the_runtime_and_dropped_jobs_never_run() {
        let pool = Pool::new(1);
        let (release, gate) = crossbeam_channel::bounded::<()>(0);
        let (begun_sender, begun) = oneshot::channel();
        let blocker = tokio::spawn({
            let pool = pool.clone();
            async move {
                pool.run(move || {
                    begun_sender.send(()).ok();
                    gate.recv().ok()
                })
                .await
            }
        });
        begun.await.expect("the blocker runs");
        let ran = Arc::new(AtomicUsize::new(0));
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let (pool, ran) = (pool.clone(), Arc::clone(&ran));
                tokio::spawn(async move { pool.run(move || ran.fetch_add(1, Ordering::SeqCst)).await.is_ok() })
            })
            .collect();
        while pool.queued() < 2 {
            tokio::task::yield_now().await;
        }
        for call in &waiting {
            call.abort();
        }
        for call in waiting {
            assert!(call.await.is_err_and(|error| error.is_cancelled()));
        }
        release.send(()).expect("the blocker waits");
        assert_eq!(blocker.await.expect("joins"), Ok(Some(())));
        assert_eq!(pool.run(|| 5).await, Ok(5));
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_pool_that_was_shut_down_refuses_jobs_instead_of_hanging() {
        let pool = Pool::new(2);
        pool.clone().shutdown();
        let answer = tokio::time::timeout(Duration::from_secs(10), pool.run(|| 1)).await.expect("no hang");
        assert_eq!(answer, Err(JobLost::NoThreads));
    }
}
