//! ConnectionActor: one import's linear history. It ticks, claims, decides the schema, drives the commit protocol, and
//! is paused, resumed and drained. It never waits inside a handler, and row data never passes through it.
//!
//! | file | what of it |
//! |---|---|
//! | `connection.rs` | its parts, its birth and its end |
//! | `protocol` | carries out what the commit state machine asks for |
//! | `batch` | the open batch: which files are decoded, how each ended |
//! | `plan` | what each file of the batch brings, decided before any is read |
//! | `table` | what the tables are: their schema, the reference file, their creation |
//! | `requests` | replay, rollback and maintenance, between batches |
//! | `pace` | scans, claims and ticks, as the pace state machine asks for |
//! | `cron` | the times of a cron expression, and those that were missed |
//! | `control` | pause, resume, sync, drain |

mod batch;
mod control;
mod cron;
mod pace;
mod plan;
mod protocol;
mod requests;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Recipient};
use connector_core::commit::CommitMachine;
use connector_core::credit::Seat;
use connector_core::error::Failure;
use connector_core::events::{ImportStateChanged, StaleMessage};
use connector_core::ids::{Generation, ImportName};
use connector_core::pace::Pace;
use connector_core::ports::{ClaimAnswer, ImportCounts, ImportRecord};
use connector_core::spec::ImportSpec;
use connector_core::status::{ImportState, StateReason};
use connector_core::telemetry::ImportLabels;
use tokio::time::Instant;

use self::batch::OpenWork;
use self::control::PauseWish;
use self::pace::{OpenTick, SyncWaiters};
use self::requests::{Requests, Upkeep};
use self::table::TableView;
use crate::appender::AppenderActor;
use crate::decoder::{DecoderActor, Files};
use crate::exit_guard::ExitGuard;
use crate::io::{IoTasks, TaskPanicked};
use crate::lister::ListerActor;
use crate::messages::appending::ReadTables;
use crate::messages::supervision::{ActorKind, BatchCommitted, ChildExited, ExitReason, StateChanged};
use crate::world::{ImportPorts, ImportSeat, World};

/// How a ConnectionActor reaches its supervisor.
#[derive(Clone)]
pub struct SupervisorLink {
    pub exited: Recipient<ChildExited>,
    pub state: Recipient<StateChanged>,
    pub committed: Recipient<BatchCommitted>,
}

/// See the module.
pub struct ConnectionActor {
    spec: Arc<ImportSpec>,
    labels: ImportLabels,
    world: World,
    ports: ImportPorts,
    seat: Seat,
    generation: Generation,
    supervisor: SupervisorLink,
    /// Dropped before the guard: whoever hears of the end hears of it after the tasks were aborted.
    tasks: IoTasks,
    guard: ExitGuard,
    children: Option<Children>,
    machine: CommitMachine,
    /// The ledger's record as it was when this generation began.
    record: Option<ImportRecord>,
    table: TableView,
    open: Option<OpenWork>,
    pace: Pace,
    tick: Option<OpenTick>,
    syncs: SyncWaiters,
    requests: Requests,
    upkeep: Upkeep,
    pause: PauseWish,
    /// Recovery is over.
    recovered: bool,
    /// Whether a time of the schedule was missed was asked of the ledger.
    cron_looked: bool,
    born: Instant,
    state: ImportState,
    reason: Option<StateReason>,
    random: fastrand::Rng,
}

struct Children {
    lister: Addr<ListerActor>,
    decoder: Addr<DecoderActor>,
    appender: Addr<AppenderActor>,
}

/// An answer of the ledger. From an I/O task of the ConnectionActor to itself.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum LedgerAnswered {
    Opened(Result<Box<ImportRecord>, Failure>),
    SchemaDecided(Result<(), Failure>),
    TableNoted(Result<(), Failure>),
    Claimed(Result<ClaimAnswer, Failure>),
    /// For the tick with this number.
    Counted(u64, Result<Box<ImportCounts>, Failure>),
    Staged(Result<(), Failure>),
    Finalised(Result<(), Failure>),
    /// The open batch was given back, or settled without a commit.
    Closed(Result<(), Failure>),
    /// The guard's refusal is stored: the batch was given back, and the import is paused.
    GuardTripped(Result<(), Failure>),
    /// And what was stored.
    PauseStored(bool, Result<(), Failure>),
}

impl ConnectionActor {
    /// One generation of an import, ready to be started on an arbiter.
    pub fn new(
        seat: &ImportSeat,
        ports: ImportPorts,
        world: World,
        generation: Generation,
        supervisor: SupervisorLink,
        random: fastrand::Rng,
    ) -> Self {
        let import = seat.spec.name.clone();
        Self {
            labels: seat.labels(),
            pace: Pace::new(seat.spec.schedule.clone(), seat.spec.tick),
            spec: Arc::clone(&seat.spec),
            seat: seat.seat,
            guard: ExitGuard::new(supervisor.exited.clone(), import, generation, ActorKind::Connection),
            tasks: IoTasks::new(world.io.clone()),
            world,
            ports,
            generation,
            supervisor,
            children: None,
            machine: CommitMachine::new(),
            record: None,
            table: TableView::default(),
            open: None,
            tick: None,
            syncs: SyncWaiters::default(),
            requests: Requests::default(),
            upkeep: Upkeep::default(),
            pause: PauseWish::default(),
            recovered: false,
            cron_looked: false,
            born: Instant::now(),
            state: ImportState::Starting,
            reason: None,
            random,
        }
    }

    fn import(&self) -> &ImportName {
        &self.spec.name
    }

    /// The children are started bottom-up: each gets the address of the one it feeds.
    fn start_children(&mut self, ctx: &mut Context<Self>) {
        let guard = |actor| ExitGuard::new(ctx.address().recipient(), self.spec.name.clone(), self.generation, actor);
        let tasks = || IoTasks::new(self.world.io.clone());
        let appender = AppenderActor {
            world: self.world.clone(),
            ports: self.ports.clone(),
            connection: ctx.address(),
            tasks: tasks(),
            guard: guard(ActorKind::Appender),
            lanes: BTreeMap::new(),
            closed: Arc::default(),
        }
        .start();
        let decoder = DecoderActor {
            world: self.world.clone(),
            ports: self.ports.clone(),
            seat: self.seat,
            connection: ctx.address(),
            appender: appender.clone(),
            tasks: tasks(),
            guard: guard(ActorKind::Decoder),
            files: Files::new(&self.ports.ledger, &self.labels),
        }
        .start();
        let lister = ListerActor {
            spec: Arc::clone(&self.spec),
            labels: self.labels.clone(),
            world: self.world.clone(),
            ports: self.ports.clone(),
            connection: ctx.address(),
            tasks: tasks(),
            guard: guard(ActorKind::Lister),
        }
        .start();
        self.children = Some(Children { lister, decoder, appender });
    }

    /// Sends to the AppenderActor. Without children the actor is ending, and nothing needs to be sent any more.
    fn appender(&self) -> Option<&Addr<AppenderActor>> {
        self.children.as_ref().map(|children| &children.appender)
    }

    fn set_state(&mut self, state: ImportState, reason: Option<&Failure>) {
        let reason = reason.map(StateReason::from);
        let same_code = self.reason.as_ref().map(|known| &known.code) == reason.as_ref().map(|now| &now.code);
        if self.state == state && same_code {
            return;
        }
        self.state = state;
        self.reason.clone_from(&reason);
        ImportStateChanged { import: &self.labels, generation: self.generation, state, reason: reason.as_ref() }.emit();
        self.supervisor.state.do_send(StateChanged {
            import: self.import().clone(),
            generation: self.generation,
            state,
            reason,
        });
    }

    /// Ends the generation. The supervisor decides what follows.
    fn end(&mut self, failure: Failure, ctx: &mut Context<Self>) {
        self.syncs.end(&Err(failure.clone()));
        self.requests.end(&failure);
        self.guard.failed(failure);
        self.close(ctx);
    }

    /// Ends the generation because it was asked to.
    fn finish(&mut self, ctx: &mut Context<Self>) {
        self.guard.finished();
        self.close(ctx);
    }

    fn close(&mut self, ctx: &mut Context<Self>) {
        // The only strong addresses: dropping them ends the children. Their guards report to an actor that is gone.
        self.children = None;
        ctx.stop();
    }

    /// Whether a message belongs to this life; if not, it is counted and must be dropped.
    fn is_current(&self, sent_in: Generation, message: &'static str) -> bool {
        let current = sent_in == self.generation;
        if !current {
            StaleMessage { import: &self.labels, message, sent_in, current: self.generation }.emit();
        }
        current
    }
}

impl Actor for ConnectionActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start_children(ctx);
        ImportStateChanged { import: &self.labels, generation: self.generation, state: self.state, reason: None }
            .emit();
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        let (bucket, overwrite) = (self.spec.uri.bucket().to_owned(), self.spec.overwrite);
        self.tasks.spawn("open import", ctx.address(), async move {
            LedgerAnswered::Opened(ledger.open_import(&import, &bucket, overwrite).await.map(Box::new))
        });
    }
}

impl Handler<LedgerAnswered> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: LedgerAnswered, ctx: &mut Self::Context) {
        use LedgerAnswered::{
            Claimed, Closed, Counted, Finalised, GuardTripped, Opened, PauseStored, SchemaDecided, Staged, TableNoted,
        };
        let failure = match message {
            Opened(Ok(record)) => return self.ledger_opened(*record, ctx),
            SchemaDecided(Ok(())) => return self.schema_stored(ctx),
            TableNoted(Ok(())) => return self.table_noted(ctx),
            Claimed(Ok(answer)) => return self.claimed(answer, ctx),
            Counted(number, Ok(counts)) => return self.counted(number, &counts, ctx),
            Staged(Ok(())) => return self.batch_staged(ctx),
            Finalised(Ok(())) => return self.batch_finalised(ctx),
            Closed(Ok(())) => return self.batch_closed_without_commit(ctx),
            GuardTripped(Ok(())) => return self.guard_tripped(ctx),
            PauseStored(stored, Ok(())) => return self.pause_stored(stored, ctx),
            Opened(Err(failure))
            | SchemaDecided(Err(failure))
            | TableNoted(Err(failure))
            | Claimed(Err(failure))
            | Counted(_, Err(failure))
            | Staged(Err(failure))
            | Finalised(Err(failure))
            | Closed(Err(failure))
            | GuardTripped(Err(failure))
            | PauseStored(_, Err(failure)) => failure,
        };
        self.end(failure, ctx);
    }
}

impl ConnectionActor {
    fn ledger_opened(&mut self, record: ImportRecord, ctx: &mut Context<Self>) {
        self.record = Some(record);
        if self.pause.is_resume() {
            self.waive_guard();
        }
        self.store_wish(ctx);
        if let Some(appender) = self.appender() {
            appender.do_send(ReadTables { generation: self.generation });
        }
    }
}

impl Handler<ChildExited> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: ChildExited, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "ChildExited") {
            return;
        }
        let failure = match message.reason {
            ExitReason::Failed(failure) => failure,
            ExitReason::Finished => Failure::bug("child_ended", format!("the {:?} ended by itself", message.actor)),
            ExitReason::Panicked => Failure::bug("child_panicked", format!("the {:?} panicked", message.actor)),
        };
        self.end(failure, ctx);
    }
}

impl Handler<TaskPanicked> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: TaskPanicked, ctx: &mut Self::Context) {
        let failure = panic_failure(&message);
        self.end(failure, ctx);
    }
}

fn panic_failure(message: &TaskPanicked) -> Failure {
    Failure::bug("task_panicked", format!("the task '{}' panicked; the log above has the place", message.task))
}

/// A child whose I/O task panicked ends; its guard tells the ConnectionActor.
pub(crate) fn end_after_panic<A>(guard: &mut ExitGuard, message: TaskPanicked, ctx: &mut Context<A>)
where
    A: Actor<Context = Context<A>>,
{
    guard.failed(panic_failure(&message));
    ctx.stop();
}
