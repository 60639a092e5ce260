//! Keeping a table in order: fewer and larger data files, a short log, nothing lying about. Changes no row and no `txn`.
//!
//! One call is one bounded step: a part of each duty, so that none waits for another to be done with. What is to be done
//! is decided by pure functions (`compaction::choose`, `retention::choose`, `vacuum::choose`), which the tests try on made-up tables.
//!
//! | module | what it does |
//! |---|---|
//! | `compaction` | writes small data files together |
//! | `retention` | removes log entries that no reader of the present table needs |
//! | `vacuum` | removes data files that nobody refers to |
//! | `left_overs` | removes what interrupted writers have left |
//! | `expiry` | finds data files of which every row has expired |

pub(crate) mod compaction;
pub(crate) mod expiry;
pub(crate) mod left_overs;
pub(crate) mod retention;
pub(crate) mod vacuum;

use connector_core::ports::{ExpiredFile, ExpiryRule, Maintained, MaintenanceRules};
use jiff::{SignedDuration, Timestamp};

use crate::error::DeltaError;
use crate::kernel::{Base, Kernel};
use crate::upkeep::vacuum::Departed;

/// A checkpoint is made when there are more commits than this since the last one. Commits of batches make one more
/// often; this is for the commits of others.
const COMMITS_WITHOUT_CHECKPOINT: u64 = 100;
/// Files that one step removes at most.
pub(crate) const MOST_REMOVED: usize = 1_000;

/// Data files of which every row has expired; none if there is no table.
pub(crate) fn expired(kernel: &Kernel, rule: &ExpiryRule) -> Result<Vec<ExpiredFile>, DeltaError> {
    let base = kernel.open()?;
    base.map_or_else(|| Ok(Vec::new()), |base| expiry::expired(kernel, &base, rule))
}

/// One step. `departed`: what earlier steps have read of the log, to be handed in again.
pub(crate) fn maintain(
    kernel: &Kernel,
    base: &Base,
    rules: &MaintenanceRules,
    now: Timestamp,
    departed: &mut Departed,
) -> Result<Maintained, DeltaError> {
    // A table that we did not make is none of our business.
    if base.import.is_none() {
        return Ok(Maintained { done: true, ..Maintained::default() });
    }
    let compacted = compaction::step(kernel, base, rules)?;
    // The other duties look at the table as it is now: no step leaves them out because there is so much to compact.
    let now_base = compacted.map(|_| kernel.open()).transpose()?.flatten();
    let base = now_base.as_ref().unwrap_or(base);
    let mut step = compacted.unwrap_or(Maintained { done: true, ..Maintained::default() });
    let mut log = retention::list(kernel)?;
    if retention::commits_since_checkpoint(&log, base.snapshot.version()) > COMMITS_WITHOUT_CHECKPOINT {
        kernel.checkpoint(base)?;
        step.checkpoint = true;
        log = retention::list(kernel)?;
    }
    let before = cutoff(now, rules);
    step.log_entries = retention::step(kernel, base, &log, before)?;
    let vacuumed = vacuum::step(kernel, base, &log, before, now, departed)?;
    (step.vacuumed, step.vacuumed_bytes) = (vacuumed.files, vacuumed.bytes);
    step.done &= vacuumed.done && step.log_entries < MOST_REMOVED as u64;
    Ok(step)
}

/// What is older than this may go. The beginning of time if the retention is longer than time is old.
fn cutoff(now: Timestamp, rules: &MaintenanceRules) -> Timestamp {
    let retention = SignedDuration::try_from(rules.retention).unwrap_or(SignedDuration::MAX);
    now.checked_sub(retention).unwrap_or(Timestamp::MIN)
}
