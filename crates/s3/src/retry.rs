//! One bounded retry loop for everything: the SDK's own retries are off.
//!
//! Why our own: the SDK cannot retry a body that breaks off, and a loop around its loop would multiply the attempts.
//! Waiting goes through [`Waiting`], so that tests do not wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use connector_core::backoff::Backoff;

use crate::error::S3Error;

/// Lets time pass.
#[async_trait]
pub(crate) trait Waiting: Send + Sync + 'static {
    /// Between two attempts.
    async fn pause(&self, wait: Duration);

    /// Beside an attempt: returns when it has taken `limit`.
    async fn deadline(&self, limit: Duration);
}

/// Waits on the runtime's timer.
pub(crate) struct TimerWaiting;

#[async_trait]
impl Waiting for TimerWaiting {
    async fn pause(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }

    async fn deadline(&self, limit: Duration) {
        tokio::time::sleep(limit).await;
    }
}

/// How often to try and how long to wait in between.
pub(crate) struct RetryPolicy {
    pub attempts: u32,
    pub base: Duration,
    pub cap: Duration,
    pub random: Mutex<fastrand::Rng>,
    pub waiting: Arc<dyn Waiting>,
}

impl RetryPolicy {
    pub fn begin(&self) -> Retries<'_> {
        Retries { policy: self, backoff: Backoff::new(self.base, self.cap) }
    }

    fn random(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }
}

/// The attempts of one call.
pub(crate) struct Retries<'a> {
    policy: &'a RetryPolicy,
    backoff: Backoff,
}

impl Retries<'_> {
    /// Called after each failed attempt: waits and returns, or gives the error back for good.
    pub async fn after(&mut self, error: S3Error) -> Result<(), S3Error> {
        let wait = self.backoff.next_wait(self.policy.random());
        let failures = self.backoff.failures();
        if !error.worth_retrying(failures) || failures >= self.policy.attempts {
            return Err(error.after_attempts(failures));
        }
        tracing::debug!(
            code = error.code(),
            attempt = failures,
            wait_ms = wait.as_millis(),
            "s3 attempt failed: {error}"
        );
        self.policy.waiting.pause(wait).await;
        Ok(())
    }
}
