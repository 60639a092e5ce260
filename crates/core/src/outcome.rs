//! What an error while reading a file means for the file.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::backoff::Backoff;
use crate::error::{ErrorClass, Failure};
use crate::ports::FileOutcome;

/// A file that could not be read is tried again after 30 s to 60 s, then ever later.
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// The longest wait between two attempts at one file.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// Whether a failure of one file is really one of the import: no other file would fare better.
pub fn concerns_import(failure: &Failure) -> bool {
    matches!(failure.class, ErrorClass::Config | ErrorClass::Fenced | ErrorClass::Bug)
}

/// How a file ends that could not be read or decoded. `attempts` is how often it was deferred before; `random` is in
/// `0.0..1.0`.
pub fn outcome_of(failure: Failure, attempts: u32, now: Timestamp, random: f64) -> FileOutcome {
    let Failure { class, code, message } = failure;
    match (class, code) {
        // The next scan finds what is there now.
        (ErrorClass::Data, "object_changed" | "object_gone") => FileOutcome::Gone { code, message },
        (ErrorClass::Data, "access_denied" | "archived") | (ErrorClass::Transient, _) => {
            let wait = SignedDuration::try_from(retry_after(attempts, random)).unwrap_or(SignedDuration::from_mins(1));
            let not_before = now.saturating_add(wait).unwrap_or(Timestamp::MAX);
            FileOutcome::Deferred { code, message, not_before }
        }
        _ => FileOutcome::Failed { code, message },
    }
}

/// Half of the wait is certain and half is jitter: files that failed together do not come back together.
fn retry_after(attempts: u32, random: f64) -> Duration {
    let mut backoff = Backoff::new(2 * FIRST_RETRY, LONGEST_RETRY);
    (0..attempts.min(16)).for_each(|_| {
        backoff.next_wait(0.0);
    });
    backoff.bound().mul_f64((1.0 + random.clamp(0.0, 1.0)) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(failure: Failure, attempts: u32, random: f64) -> FileOutcome {
        outcome_of(failure, attempts, Timestamp::UNIX_EPOCH, random)
    }

    fn wait(attempts: u32, random: f64) -> i64 {
        match outcome(Failure::transient("timeout", "no answer"), attempts, random) {
            FileOutcome::Deferred { not_before, .. } => not_before.as_second(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_pass_by_itself_is_tried_again_ever_later_up_to_an_hour() {
        assert_eq!((wait(0, 0.0), wait(0, 1.0)), (30, 60));
        assert_eq!((wait(1, 0.0), wait(2, 0.0)), (60, 120));
        assert_eq!((wait(20, 0.0), wait(u32::MAX, 1.0)), (1_800, 3_600));
    }

    #[test]
    fn bad_data_fails_the_file_and_a_changed_object_is_left_to_the_next_scan() {
        let bad = outcome(Failure::data("corrupt", "bad"), 0, 0.0);
        assert!(matches!(bad, FileOutcome::Failed { .. }));
        assert!(matches!(outcome(Failure::data("object_changed", "x"), 0, 0.0), FileOutcome::Gone { .. }));
        assert!(matches!(outcome(Failure::data("access_denied", "x"), 0, 0.0), FileOutcome::Deferred { .. }));
    }

    #[test]
    fn what_no_other_file_would_survive_concerns_the_import() {
        assert!(concerns_import(&Failure::config("access_denied", "x")));
        assert!(concerns_import(&Failure::bug("x", "x")));
        assert!(!concerns_import(&Failure::data("x", "x")) && !concerns_import(&Failure::transient("x", "x")));
    }
}
