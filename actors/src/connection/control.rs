//! Pause, resume, sync and drain, as the supervisor passes them on.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, ResponseFuture};
use connector_core::error::Failure;
use connector_core::status::ImportState;
use tokio::sync::oneshot;

use super::{ConnectionActor, LedgerAnswered};
use crate::messages::control::{Drain, Pause, Resume, Sync, SyncSummary};

impl Handler<Sync> for ConnectionActor {
    type Result = ResponseFuture<Result<SyncSummary, Failure>>;

    fn handle(&mut self, _: Sync, ctx: &mut Self::Context) -> Self::Result {
        if self.pace.paused {
            let message = format!("{} is paused; resume it first", self.import());
            return Box::pin(async move { Err(Failure::config("paused", message)) });
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
    type Result = Result<(), Failure>;

    fn handle(&mut self, _: Pause, ctx: &mut Self::Context) -> Self::Result {
        self.pace.paused = true;
        if self.pace.ready {
            self.set_state(ImportState::Paused, None);
        }
        self.store_pause(true, ctx);
        Ok(())
    }
}

impl Handler<Resume> for ConnectionActor {
    type Result = Result<(), Failure>;

    fn handle(&mut self, _: Resume, ctx: &mut Self::Context) -> Self::Result {
        if std::mem::replace(&mut self.pace.paused, false) {
            if self.pace.ready {
                self.set_state(ImportState::Running, None);
            }
            self.store_pause(false, ctx);
            self.start_ticking(ctx);
        }
        Ok(())
    }
}

impl ConnectionActor {
    fn store_pause(&mut self, paused: bool, ctx: &mut Context<Self>) {
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        self.tasks.spawn("store pause", ctx.address(), async move {
            LedgerAnswered::PauseStored(ledger.set_paused(&import, paused).await)
        });
    }
}

impl Handler<Drain> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: Drain, ctx: &mut Self::Context) {
        self.pace.draining = true;
        self.pace.fail_syncs(&Failure::transient("stopped", "the program is stopping; sync again after its restart"));
        if self.open.is_none() {
            return self.finish(ctx);
        }
        // Past the deadline the open batch is left to the next start, which finishes or abandons it.
        ctx.run_later(message.deadline, |actor, ctx| actor.finish(ctx));
    }
}
