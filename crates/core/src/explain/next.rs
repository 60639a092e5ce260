//! What an import does next, and when.

use jiff::{SignedDuration, Timestamp};

use crate::spec::{ImportSpec, Schedule};

/// Whether the program runs with this configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Running {
    No,
    /// The state of the import, by its name, and why it is in it.
    Yes {
        state: String,
        reason: Option<String>,
    },
}

/// How an import is getting on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub running: Running,
    pub paused: bool,
    /// Why the guard, or the breaker of re-reads, paused it.
    pub guard_reason: Option<String>,
    pub last_scan_at: Option<Timestamp>,
    /// The batch that is open now, as people see it, and whether it is staged.
    pub open_batch: Option<(String, bool)>,
    /// Files of the backlog that are claimed before this one.
    pub ahead: Option<u64>,
    /// When the throttle opens the next tick, and how many files this one may still take.
    pub tick_ends_at: Option<Timestamp>,
    pub tick_left: u32,
}

impl Standing {
    /// Why nothing happens, and what makes it happen; `None` if the import runs by itself.
    pub(super) fn obstacle(&self, spec: &ImportSpec) -> Option<String> {
        let name = &spec.name;
        if self.paused {
            let why = self.guard_reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
            let resume = format!("s3-connector datasource scheduling resume {name}");
            return Some(format!("nothing as long as the import is paused{why}: {resume}"));
        }
        match (&self.running, &spec.schedule) {
            (Running::Yes { state, reason }, _) if matches!(state.as_str(), "Failed" | "Stopped") => {
                let why = reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
                Some(format!("nothing as long as the import is {state}{why}"))
            }
            (Running::No, Schedule::Auto | Schedule::Cron(_)) => {
                Some("nothing as long as the program does not run: s3-connector run".to_owned())
            }
            (Running::No, Schedule::OnDemand) => {
                Some("nothing until it is asked for: s3-connector run --once".to_owned())
            }
            (Running::Yes { .. }, Schedule::OnDemand) => {
                Some(format!("nothing until it is asked for: s3-connector datasource sync {name}"))
            }
            (Running::Yes { .. }, Schedule::Auto | Schedule::Cron(_)) => None,
        }
    }

    /// When the next scan comes.
    pub(super) fn next_scan(&self, spec: &ImportSpec, now: Timestamp) -> String {
        self.obstacle(spec).or_else(|| at_cron(spec, now)).unwrap_or_else(|| {
            format!("the next scan sees it: at the next tick, {} at the latest", self.tick_after(spec, 0, now))
        })
    }

    /// When a file is claimed that has so many before it.
    pub(super) fn next_claim(&self, spec: &ImportSpec, now: Timestamp) -> String {
        if let Some(known) = self.obstacle(spec).or_else(|| at_cron(spec, now)) {
            return known;
        }
        let Some(ahead) = self.ahead else { return "it is claimed with one of the next ticks".to_owned() };
        let after =
            ahead.checked_sub(u64::from(self.tick_left)).map(|waiting| waiting / u64::from(spec.max_files.max(1)));
        match after {
            None => "it is claimed with this tick".to_owned(),
            Some(ticks) => format!(
                "at {} files a tick it is claimed at about {}",
                spec.max_files,
                self.tick_after(spec, ticks, now)
            ),
        }
    }

    /// When the tick begins that comes so many after the next one.
    fn tick_after(&self, spec: &ImportSpec, ticks: u64, now: Timestamp) -> Timestamp {
        let tick = SignedDuration::try_from(spec.tick).unwrap_or(SignedDuration::MAX);
        let next = match self.tick_ends_at {
            Some(end) if end > now => end,
            Some(_) => now,
            None => now.saturating_add(tick).unwrap_or(Timestamp::MAX),
        };
        let wait = tick.saturating_mul(i32::try_from(ticks).unwrap_or(i32::MAX));
        let at = next.saturating_add(wait).unwrap_or(Timestamp::MAX);
        Timestamp::from_second(at.as_second()).unwrap_or(at)
    }
}

/// The next sync of an import with a cron expression: it takes everything.
fn at_cron(spec: &ImportSpec, now: Timestamp) -> Option<String> {
    let cron = spec.schedule.cron()?;
    let next = cron.next_after(now).map_or_else(|| "never".to_owned(), |at| format!("at {at}"));
    Some(format!("it is read with the next sync, {next} by IMPORT_SCHEDULE {cron:?}, or when asked for"))
}
