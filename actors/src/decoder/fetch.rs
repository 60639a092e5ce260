//! Ranged reads: an object cut into parts that are fetched ahead, in parallel, each with credit of its own.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use connector_core::error::Failure;
use connector_core::object::ObjectRef;
use futures::stream::{self, Stream, StreamExt};

use crate::credit::{Credit, FileAccount};
use crate::world::{ImportPorts, World};

/// How many parts of one file are fetched at once.
const PARTS_AHEAD: usize = 4;

/// One object, and what it takes to read it.
pub(super) struct Reader {
    pub(super) world: World,
    pub(super) ports: ImportPorts,
    pub(super) account: FileAccount,
    pub(super) object: ObjectRef,
    /// Bytes read from S3 so far.
    bytes_read: AtomicU64,
}

/// One fetched part and the credit under which its bytes, and later its decoded rows, are held.
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) credit: Credit,
}

impl Reader {
    pub(super) fn new(world: World, ports: ImportPorts, account: FileAccount, object: ObjectRef) -> Self {
        Self { world, ports, account, object, bytes_read: AtomicU64::new(0) }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Exactly these bytes of the object version. The caller holds credit for them.
    pub(super) async fn range(&self, range: Range<u64>) -> Result<Bytes, Failure> {
        let bytes = self.ports.source.read_range(&self.object, range).await?;
        self.bytes_read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// The parts of the object from byte 0 on, in order. `cost` is the credit taken for each before it is fetched.
    pub(super) fn parts(&self, part_bytes: u64, cost: u64) -> impl Stream<Item = Result<Part, Failure>> + Send + '_ {
        let size = self.object.size;
        let ranges = (0..size.div_ceil(part_bytes)).map(move |n| n * part_bytes..((n + 1) * part_bytes).min(size));
        stream::iter(ranges)
            .then(move |range| async move { (range, self.account.acquire(cost).await) })
            .map(move |(range, credit)| {
                let (source, object) = (Arc::clone(&self.ports.source), self.object.clone());
                // On a task of its own, so that it goes on while the parts before it are being decoded.
                let mut fetch = Task::spawn(&self.world.io, async move { source.read_range(&object, range).await });
                async move {
                    let bytes = fetch.done().await??;
                    self.bytes_read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    Ok(Part { bytes, credit })
                }
            })
            .buffered(PARTS_AHEAD)
    }

    /// Runs a job on the CPU pool. A panic is the file's fault: class `Data`.
    pub(super) async fn on_pool<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.world.pool.run(job).await.map_err(|lost| {
            let Failure { class, code, message } = Failure::from(lost);
            Failure::new(class, code, format!("{}: {message}", self.object.uri()))
        })
    }
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
