//! AppenderActor: encodes blocks into data files, closes them, and commits one batch at a time.
//!
//! A *lane* is one open data file of the table and one of the quarantine table. Its writers travel to the CPU pool and
//! back for each block; the lane's lock keeps its blocks in order. The credit of a block stays with its lane for as long
//! as the writers buffer its rows.

mod write;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use connector_core::error::Failure;
use connector_core::ports::{Destination, Removal};
use connector_decode::JobLost;
use tokio::sync::Mutex;

use self::write::{WriteJob, Writers};
use crate::connection::ConnectionActor;
use crate::credit::Credit;
use crate::exit_guard::ExitGuard;
use crate::io::{IoTasks, TaskPanicked};
use crate::messages::appending::{
    BatchClosed, BothTables, CheckStaged, CloseBatch, CloseLane, CommitAnswered, CommitBatch, CreateTable, DataFiles,
    DiscardFiles, DiscardLane, Lane, ReadTables, StageBlocks, StagedChecked, TableCreated, TablesRead, Which,
};
use crate::world::{ImportPorts, World};

/// See the module.
pub struct AppenderActor {
    pub(crate) world: World,
    pub(crate) ports: ImportPorts,
    pub(crate) connection: Addr<ConnectionActor>,
    pub(crate) tasks: IoTasks,
    pub(crate) guard: ExitGuard,
    pub(crate) lanes: BTreeMap<Lane, Arc<Mutex<OpenLane>>>,
    /// Files of the open batch that are complete already.
    pub(crate) closed: Arc<Mutex<DataFiles>>,
}

/// Open data files and the credit for what they buffer.
#[derive(Default)]
pub(crate) struct OpenLane {
    writers: Writers,
    held: Vec<Credit>,
}

impl Actor for AppenderActor {
    type Context = Context<Self>;
}

impl Handler<StageBlocks> for AppenderActor {
    type Result = ResponseFuture<Result<(), Failure>>;

    fn handle(&mut self, message: StageBlocks, _: &mut Self::Context) -> Self::Result {
        let lane = Arc::clone(self.lanes.entry(message.lane).or_default());
        let (world, ports) = (self.world.clone(), self.ports.clone());
        Box::pin(async move {
            let mut lane = lane.lock().await;
            let writers = std::mem::take(&mut lane.writers);
            let pressed = world.credit.under_pressure() || message.credit.iter().any(Credit::is_reserve);
            let job = WriteJob {
                ports,
                schema: message.schema,
                origin: message.origin,
                first_row: message.first_row,
                blocks: message.blocks,
                now: message.now,
                only: message.only,
            };
            let written = world.pool.run(move || job.run(writers, pressed)).await;
            lane.writers = written.map_err(encoder_lost)??;
            let buffered = lane.writers.buffered_bytes();
            lane.hold(message.credit, buffered);
            Ok(())
        })
    }
}

impl OpenLane {
    /// Keeps as much credit as the writer buffers bytes and gives the rest back.
    fn hold(&mut self, fresh: Vec<Credit>, buffered: usize) {
        // A reserve is never kept: the import's oldest file needs it whole for its next block.
        self.held.extend(fresh.into_iter().filter(|credit| !credit.is_reserve()));
        let mut needed = buffered as u64;
        for credit in &mut self.held {
            let kept = needed.min(credit.bytes());
            credit.shrink_to(kept);
            needed -= kept;
        }
        self.held.retain(|credit| credit.bytes() > 0);
    }
}

impl Handler<DiscardLane> for AppenderActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: DiscardLane, _: &mut Self::Context) -> Self::Result {
        let lane = self.lanes.remove(&message.lane);
        let pool = self.world.pool.clone();
        Box::pin(async move {
            let Some(lane) = lane else { return };
            let writers = std::mem::take(&mut lane.lock().await.writers);
            // A panic here leaves an unreferenced file behind, which is harmless.
            let _ = pool.run(move || writers.discard()).await;
        })
    }
}

impl Handler<CloseLane> for AppenderActor {
    type Result = ResponseFuture<Result<(), Failure>>;

    fn handle(&mut self, message: CloseLane, _: &mut Self::Context) -> Self::Result {
        let lane = self.lanes.remove(&message.lane);
        let (pool, closed) = (self.world.pool.clone(), Arc::clone(&self.closed));
        Box::pin(async move {
            let Some(lane) = lane else { return Ok(()) };
            // The lane goes with this scope, and with it the credit that it held.
            let writers = std::mem::take(&mut lane.lock().await.writers);
            let files = close(&pool, writers).await?;
            closed.lock().await.extend(files);
            Ok(())
        })
    }
}

impl Handler<CloseBatch> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: CloseBatch, _: &mut Self::Context) {
        let lanes = std::mem::take(&mut self.lanes);
        let closed = std::mem::take(&mut self.closed);
        let (pool, ports) = (self.world.pool.clone(), self.ports.clone());
        self.tasks.spawn("close batch", self.connection.clone(), async move {
            let mut files = std::mem::take(&mut *closed.lock().await);
            let mut result = Ok(());
            for lane in lanes.into_values() {
                let writers = std::mem::take(&mut lane.lock().await.writers);
                match close(&pool, writers).await {
                    Ok(more) => files.extend(more),
                    Err(failure) => result = Err(failure),
                }
            }
            if result.is_err() {
                // Nobody will refer to them; on a full disk they would be in the way.
                discard(&ports, &files).await;
            }
            BatchClosed { generation: message.generation, seq: message.seq, result: result.map(|()| files) }
        });
    }
}

/// A panic while encoding is ours: the rows were decoded already.
fn encoder_lost(lost: JobLost) -> Failure {
    match lost {
        JobLost::Panicked { message } => Failure::bug("encoder_panicked", format!("encoding panicked: {message}")),
        JobLost::Stuck { .. } | JobLost::NoThreads => lost.into(),
    }
}

async fn close(pool: &connector_decode::Pool, writers: Writers) -> Result<DataFiles, Failure> {
    pool.run(move || writers.finish()).await.map_err(encoder_lost)?
}

async fn discard(ports: &ImportPorts, files: &DataFiles) {
    ports.table.discard(&files.table).await;
    ports.quarantine.discard(&files.quarantine).await;
}

impl Handler<DiscardFiles> for AppenderActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: DiscardFiles, _: &mut Self::Context) -> Self::Result {
        let ports = self.ports.clone();
        Box::pin(async move { discard(&ports, &message.files).await })
    }
}

impl AppenderActor {
    /// Table work: awaited on the I/O runtime, told to the ConnectionActor.
    fn table_task<M, F>(&mut self, task: &'static str, work: impl FnOnce(ImportPorts) -> F)
    where
        F: Future<Output = M> + Send + 'static,
        M: actix::Message + Send + 'static,
        M::Result: Send,
        ConnectionActor: Handler<M>,
    {
        let future = work(self.ports.clone());
        self.tasks.spawn(task, self.connection.clone(), future);
    }
}

impl ImportPorts {
    fn destination(&self, which: Which) -> &Arc<dyn Destination> {
        match which {
            Which::Table => &self.table,
            Which::Quarantine => &self.quarantine,
        }
    }
}

impl Handler<CommitBatch> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: CommitBatch, _: &mut Self::Context) {
        self.table_task("commit", |ports| async move {
            let CommitBatch { generation, which, mut commit, moved } = message;
            let result = async {
                if !moved.is_empty() {
                    commit.remove = Removal::Rows(ports.table.row_ids(&moved).await?);
                }
                ports.destination(which).commit(&commit).await
            };
            CommitAnswered { generation, result: result.await }
        });
    }
}

impl Handler<ReadTables> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: ReadTables, _: &mut Self::Context) {
        self.table_task("read tables", |ports| async move {
            let read = async {
                Ok(BothTables { table: ports.table.read().await?, quarantine: ports.quarantine.read().await? })
            };
            TablesRead { generation: message.generation, result: read.await }
        });
    }
}

impl Handler<CreateTable> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: CreateTable, _: &mut Self::Context) {
        self.table_task("create table", |ports| async move {
            let CreateTable { generation, which, import, schema } = message;
            let result = ports.destination(which).create(import, &schema).await;
            TableCreated { generation, which, result }
        });
    }
}

impl Handler<CheckStaged> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: CheckStaged, _: &mut Self::Context) {
        self.table_task("check staged files", |ports| async move {
            let DataFiles { table, quarantine } = &message.files;
            let check = async {
                Ok(ports.table.staged_files_intact(table).await?
                    && ports.quarantine.staged_files_intact(quarantine).await?)
            };
            StagedChecked { generation: message.generation, result: check.await }
        });
    }
}

impl Handler<TaskPanicked> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: TaskPanicked, ctx: &mut Self::Context) {
        crate::connection::end_after_panic(&mut self.guard, message, ctx);
    }
}
