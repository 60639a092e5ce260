//! The threads of a process: one actix system for the actors, one tokio runtime for network and disk.

use std::future::Future;

use connector_core::error::Failure;
use tokio::runtime::Handle;

use super::Ended;

/// Threads of the I/O runtime. They only wait, so few are enough on any machine.
const IO_THREADS: usize = 2;

/// Runs a verb: inside an actix system, with the I/O runtime beside it.
pub fn block_on<T, F>(work: impl FnOnce(Handle) -> F) -> Result<T, Ended>
where
    F: Future<Output = Result<T, Ended>>,
{
    block_on_then(work, Ok)
}

/// The same, and then `then` on this thread while the I/O runtime still runs: rows that are read from a bucket one batch
/// after the other need it for every batch.
pub fn block_on_then<T, F, R>(
    work: impl FnOnce(Handle) -> F,
    then: impl FnOnce(T) -> Result<R, Ended>,
) -> Result<R, Ended>
where
    F: Future<Output = Result<T, Ended>>,
{
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("s3-connector-io")
        .enable_all()
        .build()
        .map_err(|error| Failure::config("threads", format!("cannot start threads: {error}")))?;
    let result = actix::System::new().block_on(work(io.handle().clone())).and_then(then);
    // What still runs, such as a read that nobody waits for, need not be waited for.
    io.shutdown_background();
    result
}
