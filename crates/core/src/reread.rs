//! When an import is paused because it would read most of what it has ingested again.
//!
//! A bucket that was copied, re-encrypted or restored shows every key with another ETag. With IMPORT_ON_OVERWRITE `append`
//! all of that would be added to the table a second time, so somebody has to look first.

use crate::error::Failure;
use crate::ports::Reread;

/// So many new versions of ingested keys are never held back, whatever their share.
pub const REREAD_FILES: u64 = 100;

/// Judges a complete scan that shows `held` new versions of keys of which the import has `ingested` object versions.
/// `Some` if they are too many to be read without being asked for: more than half, and more than [`REREAD_FILES`].
pub fn judge(held: u64, ingested: u64) -> Option<Reread> {
    (held > REREAD_FILES && held > ingested / 2).then_some(Reread { files: held, ingested })
}

/// What the message always has.
const WHAT: &str = "files that were ingested have new versions";

impl Reread {
    /// Why the import does not go on, for whoever waits.
    pub fn failure(&self, import: &str) -> Failure {
        Failure::data("reread", self.message(import))
    }

    /// Whether a stored reason for a pause is this one.
    pub fn is_reason(text: &str) -> bool {
        text.contains(WHAT)
    }

    /// What happened and the ways out, for people.
    pub fn message(&self, import: &str) -> String {
        format!(
            "{} of the {} {WHAT}, so most of the bucket was written anew; reading \
             them would add their rows to those that are there; `s3-connector datasource scheduling resume {import}` \
             reads them all the same; or set IMPORT_ON_OVERWRITE to ignore first, then they are not read",
            self.files, self.ingested
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_trips_only_when_they_are_most_of_what_is_there_and_many() {
        for (held, ingested, trips) in [
            (0, 0, false),
            (100, 0, false),
            (100, 100, false),
            (101, 0, true),
            (101, 101, true),
            (101, 201, true),
            (101, 202, false),
            (101, 203, false),
            (102, 203, true),
            (5_000_000, 10_000_000, false),
            (5_000_001, 10_000_000, true),
            (u64::MAX, u64::MAX, true),
        ] {
            let expected = trips.then_some(Reread { files: held, ingested });
            assert_eq!(judge(held, ingested), expected, "{held} of {ingested}");
        }
    }

    #[test]
    fn the_message_names_both_ways_out() {
        let message = Reread { files: 200, ingested: 300 }.message("events");
        assert!(message.contains("200 of the 300"), "{message}");
        assert!(message.contains("`s3-connector datasource scheduling resume events`"), "{message}");
        assert!(message.contains("IMPORT_ON_OVERWRITE"), "{message}");
    }
}
