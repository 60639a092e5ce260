//! Pause, resume, sync and drain, as the supervisor passes them on.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler, ResponseFuture};
use connector_core::error::Failure;
use connector_core::events::RereadTripped;
use connector_core::ports::Reread;
use connector_core::status::ImportState;
use tokio::sync::oneshot;

use super::{ConnectionActor, LedgerAnswered};
use crate::messages::control::{Drain, Pause, Resume, Retire, Sync, SyncSummary};

/// A wish to pause or to go on, on its way into the ledger.
#[derive(Default)]
pub(super) struct PauseWish {
    /// What people want; `None` until somebody says so: then the ledger's word holds.
    wanted: Option<bool>,
    storing: bool,
    waiting: Vec<oneshot::Sender<Result<(), Failure>>>,
}

impl PauseWish {
    /// The guard pauses the import: what was wished before is over, and nothing else is stored until that is.
    pub(super) fn begin_trip(&mut self) {
        self.forget();
        self.storing = true;
    }

    /// The ledger's word holds again.
    pub(super) fn forget(&mut self) {
        self.wanted = None;
    }

    /// Whether somebody wants the import to go on.
    pub(super) fn is_resume(&self) -> bool {
        self.wanted == Some(false)
    }
}

impl Handler<Sync> for ConnectionActor {
    type Result = ResponseFuture<Result<SyncSummary, Failure>>;

    fn handle(&mut self, _: Sync, ctx: &mut Self::Context) -> Self::Result {
        if self.wanted_pause() {
            let failure = self.paused_failure();
            return Box::pin(async move { Err(failure) });
        }
        let (sender, receiver) = oneshot::channel();
        self.add_sync(sender, ctx);
        Box::pin(async move {
            receiver.await.unwrap_or_else(|_| {
                Err(Failure::transient("interrupted", "the import was restarted before the sync was done; sync again"))
            })
        })
    }
}

impl Handler<Pause> for ConnectionActor {
    type Result = ResponseFuture<Result<(), Failure>>;

    fn handle(&mut self, _: Pause, ctx: &mut Self::Context) -> Self::Result {
        self.pace.pause();
        let failure = self.paused_failure();
        self.syncs.end(&Err(failure));
        if self.recovered {
            self.set_state(ImportState::Paused, None);
        }
        self.wish(true, ctx)
    }
}

impl Handler<Resume> for ConnectionActor {
    type Result = ResponseFuture<Result<(), Failure>>;

    fn handle(&mut self, _: Resume, ctx: &mut Self::Context) -> Self::Result {
        self.waive_guard();
        if self.recovered && self.pace.is_paused() {
            self.set_state(ImportState::Running, None);
            let steps = self.pace.resume(self.born.elapsed());
            self.follow(steps, ctx);
        }
        self.wish(false, ctx)
    }
}

impl ConnectionActor {
    /// Whether the import should be paused: what people said last, else what the ledger says.
    pub(super) fn wanted_pause(&self) -> bool {
        self.pause.wanted.unwrap_or_else(|| self.record.as_ref().is_some_and(|record| record.paused))
    }

    pub(super) fn paused_failure(&self) -> Failure {
        let by_guard = self.record.as_ref().and_then(|record| record.guard_reason.as_deref());
        if let Some(reason) = by_guard.filter(|_| self.pause.wanted.is_none()) {
            let code = if Reread::is_reason(reason) { "reread" } else { "too_many_bad_rows" };
            return Failure::data(code, reason);
        }
        let import = self.import();
        let message =
            format!("{import} is paused; resume it first: s3-connector datasource scheduling resume {import}");
        Failure::config("paused", message)
    }

    /// Somebody resumes what the guard has paused: the next batch is not judged.
    pub(super) fn waive_guard(&mut self) {
        if let Some(record) = self.record.as_mut() {
            record.guard_waived |= record.guard_reason.take().is_some_and(|reason| !Reread::is_reason(&reason));
            record.paused = false;
        }
    }

    /// Most objects have new versions: the ledger has paused the import.
    pub(super) fn pause_for_reread(&mut self, reread: Reread) {
        RereadTripped { import: &self.labels, files: reread.files, ingested: reread.ingested }.emit();
        let failure = reread.failure(self.import().as_str());
        self.pace.pause();
        self.pause.forget();
        if let Some(record) = self.record.as_mut() {
            (record.paused, record.guard_reason) = (true, Some(failure.message.clone()));
        }
        self.syncs.end(&Err(failure.clone()));
        self.set_state(ImportState::Paused, Some(&failure));
    }

    /// The pause by the guard is durable. What was wished meanwhile comes after it.
    pub(super) fn guard_tripped(&mut self, ctx: &mut Context<Self>) {
        // Whoever waits may end the process as soon as he hears of it.
        if let Some(failure) = self.open.take().and_then(|open| open.refused) {
            self.syncs.end(&Err(failure));
        }
        self.pause.storing = false;
        self.store_wish(ctx);
        self.batch_closed_without_commit(ctx);
    }

    /// Answers once the wish is durable.
    fn wish(&mut self, paused: bool, ctx: &mut Context<Self>) -> ResponseFuture<Result<(), Failure>> {
        let (sender, receiver) = oneshot::channel();
        self.pause.wanted = Some(paused);
        self.pause.waiting.push(sender);
        self.store_wish(ctx);
        Box::pin(async move {
            let gone = |_| Err(Failure::transient("interrupted", "the import was restarted meanwhile; try again"));
            receiver.await.unwrap_or_else(gone)
        })
    }

    /// One at a time, so that the last wish is the one that stays. Not before the ledger knows the import.
    pub(super) fn store_wish(&mut self, ctx: &mut Context<Self>) {
        let Some(paused) = self.pause.wanted.filter(|_| !self.pause.storing && self.record.is_some()) else { return };
        self.pause.storing = true;
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        self.tasks.spawn("store pause", ctx.address(), async move {
            LedgerAnswered::PauseStored(paused, ledger.set_paused(&import, paused).await)
        });
    }

    pub(super) fn pause_stored(&mut self, stored: bool, ctx: &mut Context<Self>) {
        self.pause.storing = false;
        // Without a wish the guard has tripped meanwhile; whoever asked is told that his word was kept.
        if self.pause.wanted.is_some_and(|wanted| wanted != stored) {
            return self.store_wish(ctx);
        }
        for waiter in self.pause.waiting.drain(..) {
            // Whoever asked may have gone away.
            let _ = waiter.send(Ok(()));
        }
    }
}

impl Handler<Drain> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: Drain, ctx: &mut Self::Context) {
        let failure = Failure::transient("stopped", "the program is stopping; ask again after its restart");
        self.wind_up(&failure, message.deadline, ctx);
    }
}

impl Handler<Retire> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: Retire, ctx: &mut Self::Context) {
        let import = self.import();
        let failure =
            Failure::transient("reconfigured", format!("the configuration of {import} has changed; ask again"));
        self.wind_up(&failure, message.deadline, ctx);
    }
}

impl ConnectionActor {
    /// Claims nothing more, and ends with the open batch, or without it at the deadline.
    fn wind_up(&mut self, told: &Failure, deadline: Duration, ctx: &mut Context<Self>) {
        self.pace.drain();
        self.syncs.end(&Err(told.clone()));
        self.requests.end(told);
        if self.open.is_none() {
            return self.finish(ctx);
        }
        // Past the deadline the open batch is left to the next start, which finishes or abandons it.
        ctx.run_later(deadline, |actor, ctx| actor.finish(ctx));
    }
}
