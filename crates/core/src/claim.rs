//! Claiming: how many files a batch may take.
//!
//! The throttle counts distinct files claimed within one tick, and its counter lives in the ledger, so a restart does
//! not defeat it. A tick begins with the first claim after the previous tick has run its full length; ticks never
//! overlap and are not made up. Files that an interrupted batch gave back are claimed again for free.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The largest on-demand batch, in files.
pub const MAX_BATCH_FILES: usize = 1_000;
/// The largest on-demand batch, in bytes of listed size. A batch always holds at least one file.
pub const MAX_BATCH_BYTES: u64 = 4 << 30;

/// How much one claim may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimLimit {
    /// On demand: everything, in batches of at most [`MAX_BATCH_FILES`] and [`MAX_BATCH_BYTES`].
    Unlimited,
    /// A tick of `@auto`.
    Throttled { files: u32, tick: Duration },
}

/// The throttle of an import as the ledger stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TickState {
    /// When the current tick began.
    pub started_at: Option<Timestamp>,
    /// Distinct files claimed in it.
    pub claimed: u32,
}

/// What the throttle allows now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The tick that a claim now would count in.
    pub tick: TickState,
    /// How many files it may still take.
    pub files: u32,
}

impl TickState {
    /// Opens a new tick if the current one has run its length (or if the clock went back before its start, which
    /// would otherwise stall the import), and tells how many files may still be claimed in it.
    pub fn allow(self, limit: u32, tick: Duration, now: Timestamp) -> Allowance {
        let over = self.started_at.is_none_or(|started| {
            now < started
                || now.duration_since(started) >= SignedDuration::try_from(tick).unwrap_or(SignedDuration::MAX)
        });
        let tick = if over { Self { started_at: Some(now), claimed: 0 } } else { self };
        Allowance { tick, files: limit.saturating_sub(tick.claimed) }
    }

    /// When the current tick ends.
    pub fn ends_at(self, tick: Duration) -> Option<Timestamp> {
        self.started_at.and_then(|started| started.checked_add(SignedDuration::try_from(tick).ok()?).ok())
    }
}

/// A file that could be claimed, as [`choose`] needs to see it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Listed size in bytes.
    pub size: u64,
    /// Given back by an interrupted batch: free.
    pub reclaimed: bool,
}

/// How many candidates, taken in claim order, go into one batch; and how many of them count against the throttle.
pub fn choose(candidates: impl Iterator<Item = Candidate>, allowance: Option<u32>) -> (usize, u32) {
    let (mut files, mut counted, mut bytes) = (0, 0, 0u64);
    for candidate in candidates.take(MAX_BATCH_FILES) {
        let cost = u32::from(!candidate.reclaimed);
        let over_cap = allowance.is_some_and(|cap| counted + cost > cap);
        let over_bytes = files > 0 && bytes.saturating_add(candidate.size) > MAX_BATCH_BYTES;
        if over_cap || over_bytes {
            break;
        }
        files += 1;
        counted += cost;
        bytes = bytes.saturating_add(candidate.size);
    }
    (files, counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(60);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn no_window_of_one_tick_ever_claims_more_than_the_limit_however_often_it_is_asked() {
        let (mut state, mut claims) = (TickState::default(), Vec::new());
        for second in 0..600 {
            let allowance = state.allow(5, TICK, at(second));
            let taken = allowance.files.min(2);
            state = TickState { claimed: allowance.tick.claimed + taken, ..allowance.tick };
            claims.extend(std::iter::repeat_n(state.started_at, taken as usize));
        }
        assert_eq!(claims.len(), 50);
        for started in claims.iter().flatten() {
            assert_eq!(claims.iter().flatten().filter(|other| *other == started).count(), 5);
        }
    }

    #[test]
    fn a_clock_that_goes_back_a_day_does_not_stall_the_import() {
        let state = TickState { started_at: Some(at(100_000)), claimed: 5 };
        assert_eq!(state.allow(5, TICK, at(100_001)).files, 0);
        assert_eq!(state.allow(5, TICK, at(13_600)).files, 5);
    }

    #[test]
    fn a_batch_holds_at_least_one_file_and_reclaimed_files_are_free() {
        let big = Candidate { size: MAX_BATCH_BYTES + 1, reclaimed: false };
        let free = Candidate { size: 1, reclaimed: true };
        let new = Candidate { size: 1, reclaimed: false };
        assert_eq!(choose([big, big].into_iter(), None), (1, 1));
        assert_eq!(choose([free, free, new, new, new].into_iter(), Some(2)), (4, 2));
        assert_eq!(choose([new].into_iter(), Some(0)), (0, 0));
        assert_eq!(choose(std::iter::repeat_n(new, 5_000), None), (MAX_BATCH_FILES, MAX_BATCH_FILES as u32));
    }
}
