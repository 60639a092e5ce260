//! The guard: an import whose rows are mostly bad is paused before it fills the disk with them.

use crate::error::Failure;
use crate::ports::{FileOutcome, FileResult};

/// The code of a file that fits the table as a whole, of which no row does all the same.
pub const NO_ROW_FITS: &str = "no_row_fits";

/// When the guard trips. Both rules need a minimum, so that a few bad files never stop an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardLimits {
    /// Bad rows in one batch, of files that fit as a whole, below which nothing happens.
    pub rows: u64,
    /// Files in a row of which no row fits, below which nothing happens.
    pub files: u32,
    /// Bytes of such files in a row, below which nothing happens.
    pub bytes: u64,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self { rows: 10_000, files: 3, bytes: 1 << 30 }
    }
}

/// Files in a row, in claim order and across batches, that went to quarantine as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Streak {
    pub files: u32,
    pub bytes: u64,
}

impl Streak {
    /// The streak after these results, in claim order.
    pub fn after(self, results: &[FileResult]) -> Self {
        results.iter().fold(self, |streak, result| match &result.outcome {
            FileOutcome::Quarantined { code, .. } if *code != NO_ROW_FITS => {
                Self { files: streak.files.saturating_add(1), bytes: streak.bytes.saturating_add(result.bytes) }
            }
            FileOutcome::Ingested { .. } | FileOutcome::Quarantined { .. } => Self::default(),
            _ => streak,
        })
    }
}

/// Judges a batch before it is staged.
///
/// # Errors
/// `Data` with code `too_many_bad_rows` if more than half of the rows of files that fit as a whole are bad and they are
/// at least `rows`, or if at least `files` files in a row with at least `bytes` bytes did not fit at all.
pub fn judge(results: &[FileResult], streak: Streak, limits: GuardLimits) -> Result<(), Failure> {
    let (mut good, mut bad) = (0u64, 0u64);
    for result in results {
        match &result.outcome {
            FileOutcome::Ingested { rows, rows_quarantined } => {
                good += rows;
                bad += rows_quarantined;
            }
            FileOutcome::Quarantined { code, rows_quarantined, .. } if *code == NO_ROW_FITS => bad += rows_quarantined,
            _ => {}
        }
    }
    let remedy = "nothing of the batch is stored; look with `s3-connector datasource preview NAME`, then \
                  `s3-connector datasource scheduling resume NAME` takes the next batch as it is, or start a data source \
                  of another name with another SCHEMA";
    if bad >= limits.rows.max(1) && bad > good {
        let message = format!("{bad} of the batch's {} rows do not fit the table; {remedy}", good + bad);
        return Err(Failure::data("too_many_bad_rows", message));
    }
    let streak = streak.after(results);
    if streak.files >= limits.files.max(1) && streak.bytes >= limits.bytes.max(1) {
        let message =
            format!("the last {} files, {} bytes, do not fit the table at all; {remedy}", streak.files, streak.bytes);
        return Err(Failure::data("too_many_bad_rows", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ObjectVersionId;

    fn result(outcome: FileOutcome) -> FileResult {
        FileResult { id: ObjectVersionId([0; 16]), outcome, bytes: 100, duration_ms: 1 }
    }

    fn ingested(rows: u64, rows_quarantined: u64) -> FileResult {
        result(FileOutcome::Ingested { rows, rows_quarantined })
    }

    fn whole() -> FileResult {
        result(FileOutcome::Quarantined { code: "missing_column", message: String::new(), rows_quarantined: 50_000 })
    }

    #[test]
    fn it_trips_only_when_most_rows_are_bad_and_they_are_many() {
        let limits = GuardLimits::default();
        let judged = |results: &[FileResult]| judge(results, Streak::default(), limits).is_ok();
        assert!(judged(&[ingested(0, 9_999)]), "few");
        assert!(!judged(&[ingested(0, 10_000)]));
        assert!(judged(&[ingested(10_000, 10_000)]), "not most");
        assert!(!judged(&[ingested(5_000, 6_000), ingested(4_000, 4_000)]), "over all files");
        let none = FileOutcome::Quarantined { code: NO_ROW_FITS, message: String::new(), rows_quarantined: 10_000 };
        assert!(!judged(&[result(none)]), "row by row");
        assert!(judged(&[whole()]), "a file that does not fit at all has its own rule");
    }

    #[test]
    fn whole_files_count_in_a_row_and_across_batches() {
        let limits = GuardLimits { files: 3, bytes: 250, ..GuardLimits::default() };
        let two = Streak::default().after(&[whole(), whole()]);
        assert!(judge(&[], two, limits).is_ok());
        assert!(judge(&[whole()], two, limits).is_err());
        assert!(judge(&[ingested(1, 0), whole()], two, limits).is_ok(), "the row is broken");
        assert!(judge(&[whole()], two, GuardLimits { bytes: 1_000, ..limits }).is_ok(), "small");
    }
}
