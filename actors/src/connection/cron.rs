//! The times of a cron expression: when the next sync is due, and whether one was missed while nothing ran.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context};
use connector_core::ports::ImportCounts;
use connector_core::schedule::Cron;

use super::{ConnectionActor, LedgerAnswered};

/// Waits are cut into pieces of this length, so that a clock that is set, or a machine that slept, is noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl ConnectionActor {
    /// Has [`connector_core::pace::Pace::tick`] called at the next time. The first time in this generation the ledger is
    /// asked whether one was missed.
    pub(super) fn arm_cron(&mut self, number: u64, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.cron_looked, true) {
            return self.await_cron(number, ctx);
        }
        let (ledger, import, now) = (Arc::clone(&self.ports.ledger), self.import().clone(), self.world.clock.now());
        self.tasks.spawn("look for a missed time", ctx.address(), async move {
            LedgerAnswered::Counted(number, ledger.counts(&import, now).await.map(Box::new))
        });
    }

    /// However many times were missed since the last scan, they are made up by one sync. One that was interrupted has left
    /// files that were listed and not read: it goes on.
    pub(super) fn counted(&mut self, number: u64, counts: &ImportCounts, ctx: &mut Context<Self>) {
        let Some(cron) = self.spec.schedule.cron() else { return };
        let now = self.world.clock.now();
        let missed = counts.last_scan_at.is_some_and(|last| cron.came_between(last, now));
        if missed || (counts.last_scan_at.is_some() && counts.backlog_files > 0) {
            tracing::info!(import = %self.import(), schedule = cron.as_str(), missed, "a sync is made up for");
            self.cron_time(number, ctx);
        } else {
            self.await_cron(number, ctx);
        }
    }

    fn await_cron(&self, number: u64, ctx: &mut Context<Self>) {
        let Some(cron) = self.spec.schedule.cron() else { return };
        let due = cron.next_after(self.world.clock.now());
        Self::sleep_until(cron.clone(), due, number, self.world.clock.now(), ctx);
    }

    fn sleep_until(
        cron: Cron,
        due: Option<jiff::Timestamp>,
        number: u64,
        now: jiff::Timestamp,
        ctx: &mut Context<Self>,
    ) {
        let Some(due) = due else { return };
        let left = Duration::try_from(due.duration_since(now)).unwrap_or(Duration::ZERO);
        ctx.run_later(left.min(LONGEST_WAIT), move |actor, ctx| {
            let now = actor.world.clock.now();
            if now >= due {
                return actor.cron_time(number, ctx);
            }
            // A clock that was set back has an earlier time before it.
            let due = cron.next_after(now).map(|next| next.min(due));
            Self::sleep_until(cron, due, number, now, ctx);
        });
    }

    fn cron_time(&mut self, number: u64, ctx: &mut Context<Self>) {
        let steps = self.pace.tick(number, self.born.elapsed());
        self.follow(steps, ctx);
    }
}
