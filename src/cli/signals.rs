//! SIGTERM and Ctrl-C.

use std::time::Duration;

use connector_core::error::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long open batches may take to finish once the program is asked to stop; it is gone two seconds later.
pub const DRAIN: Duration = Duration::from_secs(8);

/// Both ways of asking the program to stop.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on neither signal kills the process.
    pub fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::config("signals", format!("cannot listen for signals: {error}")))
        };
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits for either, and tells its name.
    pub async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "Ctrl-C",
        }
    }
}
