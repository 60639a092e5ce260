//! Waiting times: exponential with full jitter, capped.

use std::time::Duration;

/// Doubles from `base` to `cap`; each wait is drawn evenly from zero to the current bound, so that many imports that
/// fail together do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, failures: 0 }
    }

    /// Restart of an import: 1 s to 10 min.
    pub fn of_import() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_secs(600))
    }

    /// The wait after one more failure. `random` is a number in `0.0..1.0`.
    pub fn next_wait(&mut self, random: f64) -> Duration {
        let bound = self.bound();
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(random.clamp(0.0, 1.0))
    }

    /// The largest wait that the next failure can bring.
    pub fn bound(&self) -> Duration {
        let factor = 1u32.checked_shl(self.failures.min(31)).unwrap_or(u32::MAX);
        self.base.checked_mul(factor).map_or(self.cap, |wait| wait.min(self.cap))
    }

    /// Called after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_a_success() {
        let mut backoff = Backoff::of_import();
        let waits: Vec<u64> = (0..12).map(|_| backoff.next_wait(1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        backoff.reset();
        assert_eq!(backoff.next_wait(0.5), Duration::from_millis(500));
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::of_import();
        (0..1000).for_each(|_| assert!(backoff.next_wait(1.0) <= Duration::from_secs(600)));
    }
}
