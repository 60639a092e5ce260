//! Tells the parent that an actor is gone, however it went.

use actix::Recipient;
use connector_core::error::Failure;
use connector_core::ids::{Generation, ImportName};

use crate::messages::supervision::{ActorKind, ChildExited, ExitReason};

/// Owned by an actor; its `Drop` tells the parent. A panic drops the actor as well, so no death is silent.
pub struct ExitGuard {
    parent: Recipient<ChildExited>,
    import: ImportName,
    generation: Generation,
    actor: ActorKind,
    reason: Option<ExitReason>,
}

impl ExitGuard {
    pub fn new(parent: Recipient<ChildExited>, import: ImportName, generation: Generation, actor: ActorKind) -> Self {
        Self { parent, import, generation, actor, reason: None }
    }

    /// Notes that the actor ends because its work is done.
    pub fn finished(&mut self) {
        self.reason.get_or_insert(ExitReason::Finished);
    }

    /// Notes why the actor gives up. The first reason counts.
    pub fn failed(&mut self, failure: Failure) {
        self.reason.get_or_insert(ExitReason::Failed(failure));
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let reason = self.reason.take().unwrap_or(ExitReason::Panicked);
        self.parent.do_send(ChildExited {
            import: self.import.clone(),
            generation: self.generation,
            actor: self.actor,
            reason,
        });
    }
}
