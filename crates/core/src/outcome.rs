//! What an error while reading a file means for the file.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::backoff::Backoff;
use crate::error::{ErrorClass, Failure};
use crate::explain::quoted;
use crate::object::ObjectRef;
use crate::ports::FileOutcome;

/// A file that could not be read is tried again after 30 s to 60 s, then ever later.
const FIRST_RETRY: Duration = Duration::from_secs(30);
/// The longest wait between two attempts at one file.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// The code of a file over which the process that decodes it died. Each time is a strike.
pub const DECODER_DIED: &str = "decoder_died";
/// The code of a file whose decoding did not come to an end in this process. From then on it is a suspect.
pub const DECODE_STUCK: &str = "decode_stuck";
/// The code of a file that has used up its strikes.
pub const POISON: &str = "poison";
/// So many processes may die over a file before it is set aside.
pub const STRIKES: u32 = 3;
/// A file that may be poison is tried again after 2 s to 4 s: its batch mates have landed, and nothing else is waited for.
const SUSPECT_RETRY: Duration = Duration::from_secs(2);

/// What it means that a process died over this file: `death` says how, such as `it was killed by SIGABRT`.
/// The last strike sets the file aside.
pub fn strike(object: &ObjectRef, death: &str) -> Failure {
    let (uri, deaths) = (object.uri(), object.strikes.saturating_add(1));
    if deaths < STRIKES {
        let message = format!(
            "the process that decodes {uri} died: {death}; it is tried again, and set aside after {STRIKES} such deaths \
             (this was number {deaths})"
        );
        return Failure::transient(DECODER_DIED, message);
    }
    let message = format!(
        "{uri} is set aside: {deaths} processes that were to decode it, and nothing else, have died, the last one like \
         this: {death}; none of its rows was read; look at the file and upload it again mended, or, if it only needs more \
         memory, raise limits.memory and run `s3-connector datasource retry NAME --file {}` with the name of its data \
         source",
        quoted(&object.key)
    );
    Failure::data(POISON, message)
}

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
        (_, POISON) => FileOutcome::Failed { code, message },
        (_, DECODER_DIED | DECODE_STUCK) => {
            let not_before = after(now, SUSPECT_RETRY.mul_f64(1.0 + random.clamp(0.0, 1.0)));
            FileOutcome::Deferred { code, message, not_before }
        }
        (ErrorClass::Data, "access_denied" | "kms_denied" | "archived") | (ErrorClass::Transient, _) => {
            FileOutcome::Deferred { code, message, not_before: after(now, retry_after(attempts, random)) }
        }
        _ => FileOutcome::Failed { code, message },
    }
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_mins(1));
    now.saturating_add(wait).unwrap_or(Timestamp::MAX)
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
        for code in ["access_denied", "kms_denied"] {
            assert!(matches!(outcome(Failure::data(code, "x"), 0, 0.0), FileOutcome::Deferred { .. }));
        }
    }

    #[test]
    fn case_15_two_deaths_put_a_file_off_for_seconds_and_the_third_sets_it_aside() {
        let mut object = ObjectRef {
            id: crate::ids::ObjectVersionId([0; 16]),
            bucket: "bucket".into(),
            key: "a.csv".into(),
            etag: "etag".into(),
            size: 1,
            last_modified: Timestamp::UNIX_EPOCH,
            attempts: 9,
            suspect: true,
            strikes: 0,
        };
        for strikes in 0..2 {
            object.strikes = strikes;
            let failure = strike(&object, "it was killed by SIGABRT");
            assert!(failure.message.contains("SIGABRT") && failure.message.contains("s3://bucket/a.csv"), "{failure}");
            let FileOutcome::Deferred { code, not_before, .. } = outcome(failure, 9, 1.0) else { panic!("deferred") };
            assert_eq!((code, not_before.as_second()), ("decoder_died", 4));
        }
        for strikes in [2, 3, u32::MAX] {
            object.strikes = strikes;
            let FileOutcome::Failed { code, message } = outcome(strike(&object, "it hung"), 9, 0.0) else {
                panic!("failed")
            };
            assert!(
                code == "poison"
                    && message.contains("it hung")
                    && message.contains("`s3-connector datasource retry NAME --file a.csv`"),
                "{message}"
            );
        }
        // Of whatever class a failure is by the time that it gets here, its code decides.
        let relabelled = Failure::transient(POISON, "x");
        assert!(matches!(outcome(relabelled, 0, 0.0), FileOutcome::Failed { code: "poison", .. }));
    }

    #[test]
    fn what_no_other_file_would_survive_concerns_the_import() {
        assert!(concerns_import(&Failure::config("access_denied", "x")));
        assert!(concerns_import(&Failure::bug("x", "x")));
        assert!(!concerns_import(&Failure::data("x", "x")) && !concerns_import(&Failure::transient("x", "x")));
    }
}
