//! When an import scans and when it claims, as a state machine without I/O.
//!
//! A tick scans and then claims; while a scan outlasts its tick, ticks claim from what the ledger has. The first claim
//! waits for the first complete scan, but no longer than [`FIRST_SCAN_GRACE`]. A tick that finds a batch open is
//! skipped, not made up. An on-demand sync scans once, afresh, and then claims until nothing is left; whoever asks for
//! one meanwhile gets a fresh scan as well. A failed listing backs off, while what the ledger has is claimed all the
//! same. A paused import neither scans nor claims.
//!
//! A cron expression asks for an on-demand sync at its times. One that comes while a sync runs, or during a pause, is not
//! made up; one whose listing fails is tried again after the backoff.
//!
//! Times are durations since any fixed moment.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::spec::Schedule;

/// How long the first claim waits for the first complete scan.
pub const FIRST_SCAN_GRACE: Duration = Duration::from_secs(60);
/// A tick is armed for this much after the end of the last one, so that the ledger agrees that it is over.
const TICK_MARGIN: Duration = Duration::from_millis(5);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start a scan; answered by [`Pace::scan_done`] or [`Pace::scan_failed`].
    Scan,
    /// Claim as the throttle allows; answered by [`Pace::claimed`].
    ClaimThrottled,
    /// Claim without a cap; answered by [`Pace::claimed`].
    ClaimAll,
    /// Call [`Pace::tick`] with this number after this wait. A newer number replaces an older one.
    ArmTick { number: u64, wait: Duration },
    /// Call [`Pace::tick`] with this number at the next time of the cron expression. A newer number replaces an older one.
    ArmCron { number: u64 },
    /// Nothing is left that a sync could claim: tell who waits for it.
    EndSync,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Pace {
    schedule: Schedule,
    tick: Duration,
    paused: bool,
    draining: bool,
    /// No batch is open and recovery is over.
    idle: bool,
    /// Something else than a batch is being done.
    occupied: bool,
    scanning: bool,
    scan_not_before: Option<Duration>,
    list_backoff: Backoff,
    /// A scan was completed, or its grace is over.
    may_claim: bool,
    claiming: bool,
    /// A tick wants to claim as soon as it may.
    tick_due: bool,
    armed: u64,
    sync: SyncPhase,
    /// A cron time has come, and no listing was completed since.
    by_cron: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SyncPhase {
    None,
    /// Waits for a scan that began after it was asked for.
    Wanted,
    Scanning,
    /// Claims until nothing is left.
    Claiming,
}

impl Pace {
    pub fn new(schedule: Schedule, tick: Duration) -> Self {
        Self {
            schedule,
            tick,
            paused: false,
            draining: false,
            idle: false,
            occupied: false,
            scanning: false,
            scan_not_before: None,
            list_backoff: Backoff::of_import(),
            may_claim: false,
            claiming: false,
            tick_due: false,
            armed: 0,
            sync: SyncPhase::None,
            by_cron: false,
        }
    }

    pub fn is_paused(&self) -> bool {
        self.paused
    }

    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Recovery is over: the first tick comes at once. If the import is paused, whoever waits for a sync has to be told:
    /// there is none.
    pub fn recovered(&mut self, paused: bool, now: Duration) -> Vec<Step> {
        self.paused = paused;
        self.idle = true;
        if paused {
            self.sync = SyncPhase::None;
        }
        self.start_ticking(now)
    }

    /// Something else than a batch is to be done while none is open: until [`Pace::batch_ended`] nothing is claimed.
    /// `false`: not now.
    pub fn occupy(&mut self) -> bool {
        let free = self.idle && !self.claiming;
        self.idle &= !free;
        self.occupied |= free;
        free
    }

    /// Whether a tick came, or somebody wants a sync, while something else is being done that could be put off.
    pub fn is_kept_waiting(&self) -> bool {
        self.occupied && (self.tick_due || self.sync != SyncPhase::None)
    }

    /// The open batch has ended.
    pub fn batch_ended(&mut self) -> Vec<Step> {
        (self.idle, self.occupied) = (true, false);
        self.proceed()
    }

    /// An armed tick is due.
    pub fn tick(&mut self, number: u64, now: Duration) -> Vec<Step> {
        if number != self.armed || self.paused || self.draining {
            return Vec::new();
        }
        if self.schedule.cron().is_some() {
            return self.cron_time();
        }
        let mut steps = vec![self.arm(self.tick)];
        if (self.idle || self.occupied) && !self.claiming && self.sync == SyncPhase::None {
            self.tick_due = true;
            let must_wait = self.scan_not_before.is_some_and(|not_before| now < not_before);
            if self.scanning || must_wait {
                steps.extend(self.proceed());
            } else {
                steps.push(self.scan());
            }
        }
        steps
    }

    /// It is time for a sync. One that goes on already is enough.
    fn cron_time(&mut self) -> Vec<Step> {
        let mut steps = vec![self.arm_cron()];
        if self.sync == SyncPhase::None {
            self.by_cron = true;
            steps.extend(self.sync());
        }
        steps
    }

    fn arm_cron(&mut self) -> Step {
        self.armed += 1;
        Step::ArmCron { number: self.armed }
    }

    /// The first scan has had its time.
    pub fn grace_over(&mut self) -> Vec<Step> {
        self.may_claim = true;
        self.proceed()
    }

    pub fn scan_done(&mut self) -> Vec<Step> {
        self.scanning = false;
        self.list_backoff.reset();
        self.scan_not_before = None;
        self.may_claim = true;
        self.by_cron = false;
        if self.sync == SyncPhase::Scanning {
            self.sync = SyncPhase::Claiming;
        }
        self.proceed()
    }

    /// A listing failed for now. Whoever waits for a sync has to be told: it is over. `random` is in `0.0..1.0`.
    pub fn scan_failed(&mut self, now: Duration, random: f64) -> Vec<Step> {
        self.scanning = false;
        let wait = self.list_backoff.next_wait(random);
        self.scan_not_before = Some(now + wait);
        self.sync = SyncPhase::None;
        let mut steps = self.proceed();
        if self.by_cron && !self.paused && !self.draining {
            steps.push(self.arm(wait));
        }
        steps
    }

    /// A claim was answered: with a batch or without, and when the tick ends, if it was throttled. `free_left`: the same
    /// tick may claim once more, as soon as the batch has ended.
    pub fn claimed(&mut self, batch: bool, tick_ends_in: Option<Duration>, free_left: bool) -> Vec<Step> {
        self.claiming = false;
        self.idle = !batch;
        let mut steps = Vec::new();
        if let Some(wait) = tick_ends_in {
            self.tick_due = batch && free_left;
            steps.push(self.arm(wait.min(self.tick)));
        }
        match self.sync {
            SyncPhase::Claiming if !batch && tick_ends_in.is_none() => {
                self.sync = SyncPhase::None;
                steps.push(Step::EndSync);
            }
            _ => steps.extend(self.proceed()),
        }
        steps
    }

    /// Somebody wants everything now.
    pub fn sync(&mut self) -> Vec<Step> {
        self.sync = SyncPhase::Wanted;
        self.proceed()
    }

    /// Whoever waits for a sync has to be told: it is over.
    pub fn pause(&mut self) {
        self.paused = true;
        self.sync = SyncPhase::None;
        self.by_cron = false;
    }

    pub fn resume(&mut self, now: Duration) -> Vec<Step> {
        if !std::mem::replace(&mut self.paused, false) {
            return Vec::new();
        }
        // Also while a batch is open: a tick that was due during the pause has not armed the next one.
        self.start_ticking(now)
    }

    /// Nothing is started any more.
    pub fn drain(&mut self) {
        self.draining = true;
        self.sync = SyncPhase::None;
    }

    fn start_ticking(&mut self, now: Duration) -> Vec<Step> {
        let mut steps = Vec::new();
        match self.schedule {
            Schedule::Auto if !self.paused => {
                self.armed += 1;
                steps.extend(self.tick(self.armed, now));
            }
            Schedule::Cron(_) if !self.paused => steps.push(self.arm_cron()),
            _ => {}
        }
        if self.sync != SyncPhase::None {
            steps.extend(self.proceed());
        }
        steps
    }

    fn arm(&mut self, wait: Duration) -> Step {
        self.armed += 1;
        Step::ArmTick { number: self.armed, wait: wait + TICK_MARGIN }
    }

    fn scan(&mut self) -> Step {
        self.scanning = true;
        if self.sync == SyncPhase::Wanted {
            self.sync = SyncPhase::Scanning;
        }
        Step::Scan
    }

    /// Starts what may start now.
    fn proceed(&mut self) -> Vec<Step> {
        if !self.idle || self.draining || self.claiming || self.paused {
            return Vec::new();
        }
        let claim = match self.sync {
            SyncPhase::Wanted if self.scanning => return Vec::new(),
            SyncPhase::Wanted => return vec![self.scan()],
            SyncPhase::Scanning => return Vec::new(),
            SyncPhase::Claiming => Step::ClaimAll,
            SyncPhase::None if self.tick_due && self.may_claim => Step::ClaimThrottled,
            SyncPhase::None => return Vec::new(),
        };
        self.claiming = true;
        vec![claim]
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
