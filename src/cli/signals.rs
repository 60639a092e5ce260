//! SIGTERM, Ctrl-C and SIGHUP.

use std::time::Duration;

use connector_core::error::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long open batches may take to finish once the program is asked to stop; it is gone two seconds later.
pub const DRAIN: Duration = Duration::from_secs(8);

/// What a signal asks for.
pub enum Asked {
    /// With the signal's name.
    ToStop(&'static str),
    ToReload,
}

/// Both ways of asking the program to stop, and the one of asking it to read its configuration again.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
}

impl StopSignals {
    /// From now on neither signal kills the process.
    pub fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::config("signals", format!("cannot listen for signals: {error}")))
        };
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hang_up: None })
    }

    /// And SIGHUP does not, either.
    pub fn listen_for_hang_up(mut self) -> Result<Self, Failure> {
        let heard = signal(SignalKind::hangup());
        self.hang_up =
            Some(heard.map_err(|error| Failure::config("signals", format!("cannot listen for SIGHUP: {error}")))?);
        Ok(self)
    }

    /// Waits for either that stops, and tells its name.
    pub async fn wait(&mut self) -> &'static str {
        loop {
            if let Asked::ToStop(name) = self.next().await {
                return name;
            }
        }
    }

    /// Waits for any of them.
    pub async fn next(&mut self) -> Asked {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Asked::ToStop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::ToStop("Ctrl-C"),
            _ = hang_up => Asked::ToReload,
        }
    }
}
