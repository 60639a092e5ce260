//! Between an actor and its parent.

use actix::Message;
use connector_core::error::Failure;
use connector_core::ids::{Generation, ImportName};
use connector_core::status::{ImportState, StateReason};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    Connection,
    Lister,
    Decoder,
    Appender,
}

/// Why an actor is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to end and did.
    Finished,
    Failed(Failure),
    /// It was dropped without saying why, which a panic does.
    Panicked,
}

/// An actor is gone. From any [`crate::exit_guard::ExitGuard`] to its parent: ConnectionActor or Supervisor.
/// No answer. Costs nothing.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct ChildExited {
    pub import: ImportName,
    pub generation: Generation,
    pub actor: ActorKind,
    pub reason: ExitReason,
}

/// An import's state changed. ConnectionActor to Supervisor. No answer. Costs nothing.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct StateChanged {
    pub import: ImportName,
    pub generation: Generation,
    pub state: ImportState,
    pub reason: Option<StateReason>,
}

/// A batch was committed, so the import works. ConnectionActor to Supervisor; resets its backoff. No answer.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct BatchCommitted {
    pub import: ImportName,
    pub generation: Generation,
}

/// A restart's wait is over. Supervisor to itself. Starts a generation.
#[derive(Message, Clone, Debug)]
#[rtype(result = "()")]
pub struct RestartDue {
    pub import: ImportName,
    /// The generation that ended; a restart that somebody else has already done is not done twice.
    pub after: Generation,
}
