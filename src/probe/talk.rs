//! The parent's end of the socket that is a child's standard output: the job goes out, progress and report come in.

use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Bytes of a report that are kept.
const MAX_REPORT: usize = 64 << 10;
/// What a child says for each piece that it has decoded.
pub(super) const PIECE: u8 = b'\n';

/// Pieces that a child has decoded.
#[derive(Clone, Default)]
pub(super) struct Pieces(Arc<AtomicU64>);

impl Pieces {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) struct Talk {
    socket: UnixStream,
    job: String,
    pieces: Pieces,
}

impl Talk {
    /// # Errors
    /// If the socket cannot be waited for.
    pub(super) fn new(socket: StdStream, job: String) -> std::io::Result<Self> {
        Ok(Self { socket: UnixStream::from_std(socket)?, job, pieces: Pieces::default() })
    }

    pub(super) fn pieces(&self) -> Pieces {
        self.pieces.clone()
    }

    /// Hands the job over and listens until the child closes its end. A child that does not listen, or breaks off, is told
    /// by how it ends.
    pub(super) async fn report(mut self) -> Vec<u8> {
        if self.socket.write_all(self.job.as_bytes()).await.is_ok() {
            let _ = self.socket.shutdown().await;
        }
        let (mut report, mut buffer) = (Vec::new(), [0; 4 << 10]);
        while let Ok(length @ 1..) = self.socket.read(&mut buffer).await {
            let said = &buffer[..length];
            let pieces = said.iter().filter(|byte| **byte == PIECE).count();
            self.pieces.0.fetch_add(pieces as u64, Ordering::Relaxed);
            let words = said.iter().filter(|byte| **byte != PIECE);
            report.extend(words.take(MAX_REPORT.saturating_sub(report.len())));
        }
        report
    }
}
