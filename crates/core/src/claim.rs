//! Claiming: how many files a batch may take.
//!
//! The throttle counts distinct files claimed within one tick, and its counter lives in the ledger, so a restart does
//! not defeat it. A tick begins with the first claim after the previous tick has run its full length; ticks never
//! overlap and are not made up. Files that an interrupted batch gave back are claimed again for free.
//!
//! A suspect, a file that was being read when the process died, is claimed alone, and after the others of its standing
//! (due, or never read), so that it holds nobody up. So that it is read at all while there are always others, it has its
//! turn after [`MAX_PASSED_OVER`] batches.

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

/// No file is put off for longer than this, whatever became of it; one that is waits for a time that the clock showed
/// before it went back.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(6);

/// So many batches in a row may leave a suspect waiting that could be claimed; the next one is the suspect.
pub const MAX_PASSED_OVER: u32 = 8;

/// A file that could be claimed, as [`choose`] needs to see it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Listed size in bytes.
    pub size: u64,
    /// Given back by an interrupted batch: free.
    pub reclaimed: bool,
    /// It was put off before and its time has come: before all that were never read.
    pub due: bool,
}

/// What goes into the next batch, and how many of its files count against the throttle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// So many of the files that are no suspects, in claim order; maybe none.
    Others { files: usize, counted: u32 },
    /// The suspect, alone.
    Suspect { counted: u32 },
}

/// Chooses between the files that are no suspects, in claim order, and the first of the suspects. `passed_over` counts the
/// batches in a row that have left a suspect waiting.
pub fn choose(
    others: impl Iterator<Item = Candidate>,
    suspect: Option<Candidate>,
    passed_over: u32,
    allowance: Option<u32>,
) -> Choice {
    let mut others = others.peekable();
    let Some(suspect) = suspect else { return take(others, allowance) };
    let cost = u32::from(!suspect.reclaimed);
    let alone = Choice::Suspect { counted: cost };
    let affordable = allowance.is_none_or(|cap| cost <= cap);
    let turn = match others.peek() {
        None => true,
        Some(first) => passed_over >= MAX_PASSED_OVER || (suspect.due && !first.due),
    };
    if turn && affordable {
        return alone;
    }
    match take(others, allowance) {
        // The throttle leaves nothing but what is free.
        Choice::Others { files: 0, .. } if affordable => alone,
        taken => taken,
    }
}

fn take(candidates: impl Iterator<Item = Candidate>, allowance: Option<u32>) -> Choice {
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
    Choice::Others { files, counted }
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

    const NEW: Candidate = Candidate { size: 1, reclaimed: false, due: false };
    const FREE: Candidate = Candidate { reclaimed: true, ..NEW };
    const DUE: Candidate = Candidate { due: true, ..NEW };

    fn others(files: usize, counted: u32) -> Choice {
        Choice::Others { files, counted }
    }

    fn of_others(candidates: &[Candidate], allowance: Option<u32>) -> Choice {
        choose(candidates.iter().copied(), None, 0, allowance)
    }

    #[test]
    fn a_batch_holds_at_least_one_file_and_reclaimed_files_are_free() {
        let big = Candidate { size: MAX_BATCH_BYTES + 1, ..NEW };
        assert_eq!(of_others(&[big, big], None), others(1, 1));
        assert_eq!(of_others(&[FREE, FREE, NEW, NEW, NEW], Some(2)), others(4, 2));
        assert_eq!(of_others(&[NEW], Some(0)), others(0, 0));
        let endless = choose(std::iter::repeat_n(NEW, 5_000), None, 0, None);
        assert_eq!(endless, others(MAX_BATCH_FILES, MAX_BATCH_FILES as u32));
    }

    #[test]
    fn a_suspect_comes_alone_and_after_the_others_of_its_standing() {
        let of = |candidates: &[Candidate], suspect| choose(candidates.iter().copied(), Some(suspect), 0, None);
        let alone = Choice::Suspect { counted: 1 };
        assert_eq!(of(&[], NEW), alone);
        assert_eq!(of(&[NEW, NEW], NEW), others(2, 2));
        assert_eq!(of(&[DUE, NEW], DUE), others(2, 2), "one that is due waits for the others that are due");
        assert_eq!(of(&[NEW, NEW], DUE), alone, "and for nobody else");
        assert_eq!(of(&[DUE], NEW), others(1, 1));
        assert_eq!(of(&[], FREE), Choice::Suspect { counted: 0 });
    }

    #[test]
    fn a_suspect_has_its_turn_though_there_are_always_others() {
        for suspect in [NEW, DUE] {
            let (mut passed_over, mut batches) = (0, 0);
            while choose([DUE, NEW].into_iter(), Some(suspect), passed_over, Some(5)) == others(2, 2) {
                passed_over += 1;
                batches += 1;
            }
            assert_eq!(batches, MAX_PASSED_OVER);
        }
    }

    #[test]
    fn the_throttle_holds_for_suspects_and_lets_what_is_free_through() {
        let of = |candidates: &[Candidate], suspect, passed_over| {
            choose(candidates.iter().copied(), Some(suspect), passed_over, Some(0))
        };
        assert_eq!(of(&[], NEW, 0), others(0, 0));
        assert_eq!(of(&[FREE], NEW, MAX_PASSED_OVER), others(1, 0), "its turn, but it would count");
        assert_eq!(of(&[NEW], FREE, 0), Choice::Suspect { counted: 0 });
    }
}
