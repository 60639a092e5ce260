//! Restart policy: what happens to an import whose generation has ended.

use std::collections::VecDeque;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::error::ErrorClass;

/// What to do with the import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Start a new generation after this wait.
    Restart { wait: Duration },
    /// The user must act; no new generation until reload or resume.
    Fail,
}

/// Bugs within [`BUG_WINDOW`] after which an import is not restarted any more.
pub const MAX_BUGS: usize = 5;
pub const BUG_WINDOW: Duration = Duration::from_secs(600);
/// A generation that lived this long worked, even if nothing was there to commit.
const HEALTHY_AFTER: Duration = Duration::from_secs(1_200);

/// Remembers the recent ends of one import's generations. Times are durations since any fixed moment.
#[derive(Clone, Debug)]
pub struct RestartPolicy {
    backoff: Backoff,
    bugs: VecDeque<Duration>,
    fenced_before: bool,
    last_end: Option<Duration>,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { backoff: Backoff::of_import(), bugs: VecDeque::new(), fenced_before: false, last_end: None }
    }
}

impl RestartPolicy {
    /// Decides after a generation ended with an error of this class. `random` is in `0.0..1.0`.
    pub fn after(&mut self, class: ErrorClass, now: Duration, random: f64) -> Remedy {
        let healthy = self.last_end.replace(now).is_some_and(|last| now.saturating_sub(last) > HEALTHY_AFTER);
        if healthy {
            self.backoff.reset();
        }
        match class {
            ErrorClass::Config => Remedy::Fail,
            ErrorClass::Fenced if std::mem::replace(&mut self.fenced_before, true) => Remedy::Fail,
            ErrorClass::Bug if self.too_many_bugs(now) => Remedy::Fail,
            _ => Remedy::Restart { wait: self.backoff.next_wait(random) },
        }
    }

    /// Called after a batch was committed: the import works again.
    pub fn committed(&mut self) {
        self.backoff.reset();
        self.fenced_before = false;
    }

    fn too_many_bugs(&mut self, now: Duration) -> bool {
        self.bugs.push_back(now);
        while self.bugs.front().is_some_and(|first| now.saturating_sub(*first) > BUG_WINDOW) {
            self.bugs.pop_front();
        }
        self.bugs.len() >= MAX_BUGS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn config_errors_wait_for_the_user_and_transient_ones_back_off() {
        let mut policy = RestartPolicy::default();
        assert_eq!(policy.after(ErrorClass::Config, at(0), 1.0), Remedy::Fail);
        assert_eq!(policy.after(ErrorClass::Transient, at(0), 1.0), Remedy::Restart { wait: at(1) });
        assert_eq!(policy.after(ErrorClass::Transient, at(1), 1.0), Remedy::Restart { wait: at(2) });
        policy.committed();
        assert_eq!(policy.after(ErrorClass::Transient, at(9), 1.0), Remedy::Restart { wait: at(1) });
    }

    #[test]
    fn one_failure_a_day_never_adds_up() {
        let mut policy = RestartPolicy::default();
        for day in 0..10 {
            assert_eq!(policy.after(ErrorClass::Transient, at(day * 86_400), 1.0), Remedy::Restart { wait: at(1) });
        }
    }

    #[test]
    fn a_fenced_import_recovers_once() {
        let mut policy = RestartPolicy::default();
        assert!(matches!(policy.after(ErrorClass::Fenced, at(0), 0.0), Remedy::Restart { .. }));
        assert_eq!(policy.after(ErrorClass::Fenced, at(1), 0.0), Remedy::Fail);
    }

    #[test]
    fn five_bugs_in_ten_minutes_end_in_failed_and_five_in_an_hour_do_not() {
        let mut quick = RestartPolicy::default();
        let ends: Vec<_> = (0..5).map(|n| quick.after(ErrorClass::Bug, at(n * 60), 0.0)).collect();
        assert_eq!(ends.iter().position(|end| *end == Remedy::Fail), Some(4));
        let mut slow = RestartPolicy::default();
        assert!((0..20).all(|n| slow.after(ErrorClass::Bug, at(n * 700), 0.0) != Remedy::Fail));
    }
}
