//! What people ask of an import, passed on to the ConnectionActor that runs it.

use actix::{Addr, Context, Handler, MailboxError, MessageResult, ResponseFuture};
use connector_core::error::Failure;
use connector_core::ids::ImportName;
use connector_core::restart::RestartPolicy;

use super::Supervisor;
use crate::connection::ConnectionActor;
use crate::messages::control::{
    Maintain, MaintenanceSummary, Pause, Replay, ReplaySummary, Restart, Resume, Rollback, RollbackSummary, Sync,
    SyncSummary,
};

impl Supervisor {
    /// The running ConnectionActor of an import, or why there is none.
    fn running(&self, import: &ImportName) -> Result<Addr<ConnectionActor>, Failure> {
        let Some(supervised) = self.imports.get(import) else {
            return Err(Failure::config("unknown_import", format!("there is no import named {import}")));
        };
        supervised.connection.clone().ok_or_else(|| {
            if supervised.successor.is_some() {
                let message = format!("{import} is about to start with another configuration; try again");
                return Failure::transient("reconfigured", message);
            }
            let ended = || Failure::transient("stopped", format!("{import} has ended"));
            supervised.last_failure.clone().unwrap_or_else(ended)
        })
    }
}

fn gone(_: MailboxError) -> Failure {
    Failure::transient("interrupted", "the import was restarted before it could answer; try again")
}

impl Handler<Sync> for Supervisor {
    type Result = ResponseFuture<Result<SyncSummary, Failure>>;

    fn handle(&mut self, message: Sync, _: &mut Self::Context) -> Self::Result {
        let running = self.running(&message.import);
        Box::pin(async move { running?.send(message).await.map_err(gone)? })
    }
}

impl Handler<Replay> for Supervisor {
    type Result = ResponseFuture<Result<ReplaySummary, Failure>>;

    fn handle(&mut self, message: Replay, _: &mut Self::Context) -> Self::Result {
        let running = self.running(&message.import);
        Box::pin(async move { running?.send(message).await.map_err(gone)? })
    }
}

impl Handler<Rollback> for Supervisor {
    type Result = ResponseFuture<Result<RollbackSummary, Failure>>;

    fn handle(&mut self, message: Rollback, _: &mut Self::Context) -> Self::Result {
        let running = self.running(&message.import);
        Box::pin(async move { running?.send(message).await.map_err(gone)? })
    }
}

impl Handler<Maintain> for Supervisor {
    type Result = ResponseFuture<Result<MaintenanceSummary, Failure>>;

    fn handle(&mut self, message: Maintain, _: &mut Self::Context) -> Self::Result {
        let running = self.running(&message.import);
        Box::pin(async move { running?.send(message).await.map_err(gone)? })
    }
}

impl Handler<Pause> for Supervisor {
    type Result = ResponseFuture<Result<(), Failure>>;

    fn handle(&mut self, message: Pause, _: &mut Self::Context) -> Self::Result {
        let Some(supervised) = self.imports.get(&message.import) else {
            let unknown = self.running(&message.import).map(|_| ());
            return Box::pin(async move { unknown });
        };
        if let Some(connection) = supervised.connection.clone() {
            return Box::pin(async move { connection.send(message).await.map_err(gone)? });
        }
        // Between generations: the next one reads it in the ledger.
        let ports = (supervised.seat.ports)();
        Box::pin(async move { ports?.ledger.set_paused(&message.import, true).await })
    }
}

impl Supervisor {
    /// A failed import, or one that backs off, gets another chance at once. One whose successor waits for others to end
    /// does not: nobody would tell it to end again, and all of them would wait for it.
    fn restart(&mut self, import: &ImportName, ctx: &mut Context<Self>) {
        if let Some(supervised) = self.imports.get_mut(import)
            && supervised.connection.is_none()
            && supervised.successor.is_none()
            && self.draining.is_empty()
        {
            supervised.policy = RestartPolicy::default();
            self.start_generation(import, ctx);
        }
    }
}

impl Handler<Restart> for Supervisor {
    type Result = MessageResult<Restart>;

    fn handle(&mut self, message: Restart, ctx: &mut Self::Context) -> Self::Result {
        self.restart(&message.import, ctx);
        MessageResult(self.running(&message.import).map(|_| ()))
    }
}

impl Handler<Resume> for Supervisor {
    type Result = ResponseFuture<Result<(), Failure>>;

    fn handle(&mut self, message: Resume, ctx: &mut Self::Context) -> Self::Result {
        self.restart(&message.import, ctx);
        let running = self.running(&message.import);
        Box::pin(async move { running?.send(message).await.map_err(gone)? })
    }
}
