//! Supervisor: owns one generation of each import and decides what follows its end.
//!
//! It holds factories, not actors: a generation that has ended is never used again, and a fresh one recovers from
//! ledger and table. One failed import never stops another.
//!
//! | file | what of it |
//! |---|---|
//! | `supervisor.rs` | generations: their birth, their end, what follows |
//! | `requests` | what people ask of an import, passed on |
//! | `reconfigure` | imports that come, change and go while the program runs |

mod reconfigure;
mod requests;

use std::collections::BTreeMap;

use actix::{Actor, ActorContext, Addr, Arbiter, AsyncContext, Context, Handler, MessageResult, ResponseFuture};
use connector_core::error::Failure;
use connector_core::events::{GenerationEnded, ImportStateChanged, RestartScheduled};
use connector_core::ids::{Generation, ImportName};
use connector_core::restart::{Remedy, RestartPolicy};
use connector_core::status::{ImportState, StateReason};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::reconfigure::Successor;
use crate::connection::{ConnectionActor, SupervisorLink};
use crate::messages::control::{Deployment, Drain, Observed, QueryStates};
use crate::messages::supervision::{BatchCommitted, ChildExited, ExitReason, RestartDue, StateChanged};
use crate::world::{ImportSeat, World};

/// See the module.
pub struct Supervisor {
    world: World,
    imports: BTreeMap<ImportName, Supervised>,
    arbiters: Vec<Arbiter>,
    born: Instant,
    random: fastrand::Rng,
    draining: Vec<oneshot::Sender<()>>,
    /// New imports that have no seat yet.
    waiting: Vec<Deployment>,
    /// The memory budget is to be divided among so many imports once none runs.
    divide_among: Option<usize>,
}

struct Supervised {
    seat: ImportSeat,
    /// Index into the arbiters: all actors of an import share one thread.
    arbiter: usize,
    generation: Generation,
    /// `None` between generations.
    connection: Option<Addr<ConnectionActor>>,
    state: ImportState,
    reason: Option<StateReason>,
    /// Why the last generation ended, until a batch is committed.
    last_failure: Option<Failure>,
    policy: RestartPolicy,
    ended_in_a_row: u32,
    /// What comes once the present generation has ended; `None` while the configuration is as it was.
    successor: Option<Successor>,
}

impl Supervisor {
    /// Starts nothing yet; actix does when the actor starts. `threads` is how many arbiters the imports share.
    pub fn new(world: World, seats: Vec<ImportSeat>, threads: usize, seed: u64) -> Self {
        let arbiters: Vec<Arbiter> = (0..threads.min(seats.len()).max(1)).map(|_| Arbiter::new()).collect();
        let imports = seats
            .into_iter()
            .enumerate()
            .map(|(index, seat)| (seat.spec.name.clone(), Supervised::new(seat, index % arbiters.len())))
            .collect();
        let random = fastrand::Rng::with_seed(seed);
        Self {
            world,
            imports,
            arbiters,
            born: Instant::now(),
            random,
            draining: Vec::new(),
            waiting: Vec::new(),
            divide_among: None,
        }
    }

    fn start_generation(&mut self, import: &ImportName, ctx: &mut Context<Self>) {
        let Some(supervised) = self.imports.get_mut(import) else { return };
        supervised.generation = supervised.generation.next();
        supervised.state = ImportState::Starting;
        let ports = match (supervised.seat.ports)() {
            Ok(ports) => ports,
            Err(failure) => return self.generation_ended(import, &failure, ctx),
        };
        let link = SupervisorLink {
            exited: ctx.address().recipient(),
            state: ctx.address().recipient(),
            committed: ctx.address().recipient(),
        };
        let random = self.random.fork();
        let (seat, world, generation) = (supervised.seat.clone(), self.world.clone(), supervised.generation);
        let arbiter = self.arbiters[supervised.arbiter].handle();
        let connection = ConnectionActor::start_in_arbiter(&arbiter, move |_| {
            ConnectionActor::new(&seat, ports, world, generation, link, random)
        });
        supervised.connection = Some(connection);
    }

    fn generation_ended(&mut self, import: &ImportName, failure: &Failure, ctx: &mut Context<Self>) {
        let Some(supervised) = self.imports.get_mut(import) else { return };
        supervised.connection = None;
        supervised.last_failure = Some(failure.clone());
        let labels = supervised.seat.labels();
        let generation = supervised.generation;
        let Failure { class, code, message } = failure;
        GenerationEnded { import: &labels, generation, class: *class, code, message }.emit();
        let remedy = supervised.policy.after(*class, self.born.elapsed(), self.random.f64());
        supervised.ended_in_a_row += 1;
        let state = match remedy {
            Remedy::Fail => ImportState::Failed,
            Remedy::Restart { .. } => ImportState::BackingOff,
        };
        supervised.enter(state, Some(failure));
        if let Remedy::Restart { wait } = remedy
            && self.draining.is_empty()
        {
            RestartScheduled { import: &labels, generation, code, failures: supervised.ended_in_a_row, wait }.emit();
            ctx.notify_later(RestartDue { import: import.clone(), after: generation }, wait);
        }
    }

    /// Answers who waits for the drain, once every import has ended.
    fn check_drained(&mut self, ctx: &mut Context<Self>) {
        if !self.draining.is_empty() && self.imports.values().all(|import| import.connection.is_none()) {
            for waiter in self.draining.drain(..) {
                // Whoever asked may have gone away.
                let _ = waiter.send(());
            }
            ctx.stop();
        }
    }
}

impl Supervised {
    fn new(seat: ImportSeat, arbiter: usize) -> Self {
        Self {
            seat,
            arbiter,
            generation: Generation(0),
            connection: None,
            state: ImportState::Starting,
            reason: None,
            last_failure: None,
            policy: RestartPolicy::default(),
            ended_in_a_row: 0,
            successor: None,
        }
    }

    /// For states that no ConnectionActor can tell, because there is none.
    fn enter(&mut self, state: ImportState, failure: Option<&Failure>) {
        self.state = state;
        self.reason = failure.map(StateReason::from);
        ImportStateChanged {
            import: &self.seat.labels(),
            generation: self.generation,
            state,
            reason: self.reason.as_ref(),
        }
        .emit();
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let imports: Vec<ImportName> = self.imports.keys().cloned().collect();
        for import in imports {
            self.start_generation(&import, ctx);
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        for arbiter in self.arbiters.drain(..) {
            arbiter.stop();
        }
    }
}

impl Handler<ChildExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: ChildExited, ctx: &mut Self::Context) {
        let Some(supervised) = self.imports.get_mut(&message.import) else { return };
        if supervised.generation != message.generation {
            return;
        }
        if supervised.successor.is_some() {
            supervised.connection = None;
            return self.proceed(ctx);
        }
        match message.reason {
            ExitReason::Finished => {
                supervised.connection = None;
                supervised.enter(ImportState::Stopped, None);
            }
            ExitReason::Failed(failure) => self.generation_ended(&message.import, &failure, ctx),
            ExitReason::Panicked => {
                let failure = Failure::bug("connection_panicked", "the ConnectionActor panicked");
                self.generation_ended(&message.import, &failure, ctx);
            }
        }
        self.check_drained(ctx);
    }
}

impl Handler<RestartDue> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: RestartDue, ctx: &mut Self::Context) {
        // What waits for its successor starts as that, and not before.
        let due = self.imports.get(&message.import).is_some_and(|import| {
            import.generation == message.after && import.connection.is_none() && import.successor.is_none()
        });
        if due && self.draining.is_empty() {
            self.start_generation(&message.import, ctx);
        }
    }
}

impl Handler<StateChanged> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: StateChanged, _: &mut Self::Context) {
        let Some(supervised) = self.imports.get_mut(&message.import) else { return };
        if supervised.generation == message.generation && supervised.connection.is_some() {
            supervised.state = message.state;
            supervised.reason = message.reason;
        }
    }
}

impl Handler<BatchCommitted> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: BatchCommitted, _: &mut Self::Context) {
        let Some(supervised) = self.imports.get_mut(&message.import) else { return };
        supervised.policy.committed();
        supervised.ended_in_a_row = 0;
        supervised.last_failure = None;
    }
}

impl Handler<QueryStates> for Supervisor {
    type Result = MessageResult<QueryStates>;

    fn handle(&mut self, _: QueryStates, _: &mut Self::Context) -> Self::Result {
        let observe = |(import, supervised): (&ImportName, &Supervised)| Observed {
            import: import.clone(),
            generation: supervised.generation,
            state: supervised.state,
            reason: supervised.reason.clone(),
        };
        MessageResult(self.imports.iter().map(observe).collect())
    }
}

impl Handler<Drain> for Supervisor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: Drain, ctx: &mut Self::Context) -> Self::Result {
        let (sender, receiver) = oneshot::channel();
        self.draining.push(sender);
        for connection in self.imports.values().filter_map(|import| import.connection.as_ref()) {
            connection.do_send(message);
        }
        self.check_drained(ctx);
        Box::pin(async move {
            // An error means that the Supervisor is gone, and everything with it.
            let _ = receiver.await;
        })
    }
}
