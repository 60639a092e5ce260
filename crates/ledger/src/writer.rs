//! The one thread that owns the database connection.
//!
//! Everything that uses the ledger sends a closure over a bounded channel and awaits its reply, so no transaction ever
//! meets another one of this process and no async code waits for a disk.

use std::fs::File;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::error::{LedgerError, Result};

/// Jobs that may wait; a sender beyond that waits itself.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// Ends the thread, closes the database and frees the lock when dropped; jobs that were sent are still carried out.
pub(crate) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `lock` is held until the database is closed.
    pub(crate) fn start(connection: Connection, lock: Option<File>) -> Result<Self> {
        let (jobs, mut inbox) = mpsc::channel::<Job>(QUEUE);
        let work = move || {
            let mut connection = connection;
            while let Some(job) = inbox.blocking_recv() {
                job(&mut connection);
            }
            if let Err((_, error)) = connection.close() {
                tracing::warn!(%error, "ledger: closing the database failed; everything recorded is safe");
            }
            drop(lock);
        };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(work)
            .map_err(|source| LedgerError::File { doing: "start a thread for", path: "the ledger".into(), source })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `job` on the thread. A caller that stops waiting does not undo a job that was sent.
    pub(crate) async fn run<T, J>(&self, job: J) -> Result<T>
    where
        T: Send + 'static,
        J: FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    {
        let jobs = self.jobs.as_ref().ok_or(LedgerError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // The caller may have stopped waiting; the job was carried out all the same.
            let _ = reply.send(job(connection));
        });
        jobs.send(job).await.map_err(|_| LedgerError::Stopped)?;
        answer.await.map_err(|_| LedgerError::Stopped)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It ends with an error only if a job panicked, and then that job's caller was told.
            let _ = thread.join();
        }
    }
}
