//! Ranged reads: an object cut into parts that are fetched ahead, in parallel, each with credit of its own.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use connector_core::error::Failure;
use connector_core::object::ObjectRef;
use connector_core::ports::ObjectSource;
use connector_decode::JobLost;
use futures::stream::{self, BoxStream, Stream, StreamExt};

use super::sizing::PartSize;
use crate::credit::{Credit, FileAccount};
use crate::world::World;

/// How many parts of one file are fetched at once.
const PARTS_AHEAD: usize = 4;

/// One object, and what it takes to read it.
pub(super) struct Reader {
    pub(super) world: World,
    source: Arc<dyn ObjectSource>,
    pub(super) account: FileAccount,
    pub(super) object: ObjectRef,
    /// Bytes read from S3 so far.
    bytes_read: AtomicU64,
}

/// Bytes and the credit under which they, and later their decoded rows, are held.
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) credit: Credit,
}

/// The parts of one object, in order.
pub(super) type Parts<'a> = BoxStream<'a, Result<Part, Failure>>;

impl Reader {
    pub(super) fn new(world: World, source: Arc<dyn ObjectSource>, account: FileAccount, object: ObjectRef) -> Self {
        Self { world, source, account, object, bytes_read: AtomicU64::new(0) }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Exactly these bytes of the object version. The caller holds credit for them.
    pub(super) async fn range(&self, range: Range<u64>) -> Result<Bytes, Failure> {
        let bytes = self.source.read_range(&self.object, range).await?;
        self.bytes_read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// The object from byte 0 on, in order. `next` is asked for the size of each part; its credit is taken before it
    /// is fetched.
    pub(super) fn parts<'a>(&'a self, next: impl Fn() -> PartSize + Send + Sync + 'a) -> Parts<'a> {
        let next = Arc::new(next);
        let ranges = stream::unfold(0, move |start| {
            let next = Arc::clone(&next);
            async move {
                if start >= self.object.size {
                    return None;
                }
                let size = next();
                let end = start.saturating_add(size.bytes.max(1)).min(self.object.size);
                let credit = self.account.acquire(size.cost).await;
                Some(((start..end, credit), end))
            }
        });
        let fetched = ranges.map(move |(range, credit)| {
            let fetch = self.fetch(range);
            async move { Ok(Part { bytes: fetch.await?, credit }) }
        });
        fetched.buffered(PARTS_AHEAD).boxed()
    }

    /// The object from byte 0 on, in order, in pieces of `length` bytes, `ahead` of which are fetched at once. The
    /// caller holds credit for as many and two more.
    pub(super) fn pieces(&self, length: u64, ahead: usize) -> impl Stream<Item = Result<Bytes, Failure>> + Send + '_ {
        let (size, length) = (self.object.size, length.max(1));
        let ranges = (0..size.div_ceil(length)).map(move |n| n * length..((n + 1) * length).min(size));
        stream::iter(ranges).map(|range| self.fetch(range)).buffered(ahead.max(1))
    }

    /// As [`Reader::range`], but begun at once and on a task of its own, so that it goes on while the parts before it
    /// are being decoded.
    fn fetch(&self, range: Range<u64>) -> impl Future<Output = Result<Bytes, Failure>> + Send + '_ {
        let (source, object) = (Arc::clone(&self.source), self.object.clone());
        let mut fetch = Task::spawn(&self.world.io, async move { source.read_range(&object, range).await });
        async move {
            let bytes = fetch.done().await??;
            self.bytes_read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(bytes)
        }
    }

    /// Runs a job on the CPU pool. A panic is the file's fault: class `Data`. A job that hangs is given up.
    pub(super) async fn on_pool<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.world.pool.run_watched(job).await.map_err(|lost| lost_over(&self.object.uri(), lost))
    }
}

/// Why a job on a file has no result.
pub(super) fn lost_over(uri: &str, lost: JobLost) -> Failure {
    let Failure { class, code, message } = Failure::from(lost);
    Failure::new(class, code, format!("{uri}: {message}"))
}

/// Work on a task of its own, given up with the file that wanted it.
pub(super) struct Task<T>(tokio::task::JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    pub(super) fn spawn(io: &tokio::runtime::Handle, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(io.spawn(work))
    }

    /// Waits for what the task yields. Giving up the wait loses nothing; after the answer it must not be called again.
    ///
    /// # Errors
    /// `Bug` if the task panicked.
    pub(super) async fn done(&mut self) -> Result<T, Failure> {
        (&mut self.0)
            .await
            .map_err(|error| Failure::bug("task_panicked", format!("a task of a file ended abnormally: {error}")))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
