//! Futures that run on the I/O runtime and report back to an actor as a message.

use std::future::Future;

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// A task of this actor panicked; its answer will never come. Sent by [`IoTasks`]; ends the generation.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TaskPanicked {
    /// Which task, for the log.
    pub task: &'static str,
}

/// The tasks of one actor. Dropped with the actor, and then every task is aborted: a dead generation does no more I/O
/// than what cannot be interrupted.
pub struct IoTasks {
    io: Handle,
    running: Vec<AbortHandle>,
}

impl IoTasks {
    pub fn new(io: Handle) -> Self {
        Self { io, running: Vec::new() }
    }

    /// Runs a future and sends what it yields to the actor.
    pub fn spawn<A, M, F>(&mut self, task: &'static str, to: Addr<A>, future: F)
    where
        A: Actor<Context = Context<A>> + Handler<M> + Handler<TaskPanicked>,
        A::Context: ToEnvelope<A, M> + ToEnvelope<A, TaskPanicked>,
        M: Message + Send + 'static,
        M::Result: Send,
        F: Future<Output = M> + Send + 'static,
    {
        self.running.retain(|handle| !handle.is_finished());
        let work = self.io.spawn(future);
        self.running.push(work.abort_handle());
        // Weak: an actor whose parent has let go of it must end, and not live as long as its tasks.
        let to = to.downgrade();
        self.io.spawn(async move {
            let outcome = work.await;
            let Some(to) = to.upgrade() else { return };
            match outcome {
                Ok(message) => to.do_send(message),
                Err(error) if error.is_panic() => to.do_send(TaskPanicked { task }),
                Err(_) => {}
            }
        });
    }
}

impl Drop for IoTasks {
    fn drop(&mut self) {
        self.running.iter().for_each(AbortHandle::abort);
    }
}
