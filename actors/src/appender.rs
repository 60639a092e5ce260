//! AppenderActor: encodes blocks into data files, closes them, and commits one batch at a time.
//!
//! A *lane* is one open data file. Its writer travels to the CPU pool and back for each block; the lane's lock keeps
//! its blocks in order. The credit of a block stays with its lane for as long as the writer buffers its rows.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_core::ports::{DataFileWriter, Destination, RowOrigin, StagedFile};
use connector_core::schema::TableSchema;
use connector_decode::JobLost;
use tokio::sync::Mutex;

use crate::connection::ConnectionActor;
use crate::credit::Credit;
use crate::exit_guard::ExitGuard;
use crate::io::{IoTasks, TaskPanicked};
use crate::messages::appending::{
    BatchClosed, CheckStaged, CloseBatch, CloseLane, CommitAnswered, CommitBatch, CreateTable, DiscardLane, Lane,
    ReadTable, StageBlocks, StagedChecked, TableCreated, TableRead,
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
    pub(crate) closed: Arc<Mutex<Vec<StagedFile>>>,
}

/// One open data file and the credit for what it buffers.
#[derive(Default)]
pub(crate) struct OpenLane {
    writer: Option<Box<dyn DataFileWriter>>,
    held: Vec<Credit>,
}

impl Actor for AppenderActor {
    type Context = Context<Self>;
}

impl Handler<StageBlocks> for AppenderActor {
    type Result = ResponseFuture<Result<(), Failure>>;

    fn handle(&mut self, message: StageBlocks, _: &mut Self::Context) -> Self::Result {
        let lane = Arc::clone(self.lanes.entry(message.lane).or_default());
        let (world, destination) = (self.world.clone(), Arc::clone(&self.ports.destination));
        Box::pin(async move {
            let mut lane = lane.lock().await;
            let writer = lane.writer.take();
            let job = WriteJob {
                destination,
                schema: message.schema,
                origin: message.origin,
                first_row: message.first_row,
                blocks: message.blocks,
            };
            let pressed = world.credit.under_pressure() || message.credit.iter().any(Credit::is_reserve);
            let written = world.pool.run(move || job.run(writer, pressed)).await;
            let (writer, buffered) = written.map_err(encoder_lost)??;
            lane.writer = Some(writer);
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

/// Encodes blocks; runs on the CPU pool.
struct WriteJob {
    destination: Arc<dyn Destination>,
    schema: Arc<TableSchema>,
    origin: RowOrigin,
    first_row: u64,
    blocks: Vec<Block>,
}

impl WriteJob {
    fn run(
        self,
        writer: Option<Box<dyn DataFileWriter>>,
        pressed: bool,
    ) -> Result<(Box<dyn DataFileWriter>, usize), Failure> {
        let mut writer = match writer {
            Some(writer) => writer,
            None => self.destination.open_writer(&self.schema)?,
        };
        let mut first = self.first_row;
        for block in self.blocks {
            let ordinals: Vec<u64> = block.row_ordinals(first).collect();
            writer.write(&block.rows, &self.origin, &ordinals)?;
            first += block.records;
        }
        if pressed {
            writer.flush()?;
        }
        let buffered = writer.buffered_bytes();
        Ok((writer, buffered))
    }
}

impl Handler<DiscardLane> for AppenderActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, message: DiscardLane, _: &mut Self::Context) -> Self::Result {
        let lane = self.lanes.remove(&message.lane);
        let pool = self.world.pool.clone();
        Box::pin(async move {
            let Some(lane) = lane else { return };
            let writer = lane.lock().await.writer.take();
            if let Some(writer) = writer {
                // A panic here leaves an unreferenced file behind, which is harmless.
                let _ = pool.run(move || writer.discard()).await;
            }
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
            let writer = lane.lock().await.writer.take();
            let file = close(&pool, writer).await?;
            closed.lock().await.extend(file);
            Ok(())
        })
    }
}

impl Handler<CloseBatch> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: CloseBatch, _: &mut Self::Context) {
        let lanes = std::mem::take(&mut self.lanes);
        let closed = std::mem::take(&mut self.closed);
        let (pool, destination) = (self.world.pool.clone(), Arc::clone(&self.ports.destination));
        self.tasks.spawn("close batch", self.connection.clone(), async move {
            let mut files = std::mem::take(&mut *closed.lock().await);
            let mut result = Ok(());
            for lane in lanes.into_values() {
                let writer = lane.lock().await.writer.take();
                match close(&pool, writer).await {
                    Ok(file) => files.extend(file),
                    Err(failure) => result = Err(failure),
                }
            }
            if result.is_err() {
                // Nobody will refer to them; on a full disk they would be in the way.
                destination.discard(&files).await;
            }
            BatchClosed { generation: message.generation, seq: message.seq, result: result.map(|()| files) }
        });
    }
}

/// A panic while encoding is ours: the rows were decoded already.
fn encoder_lost(lost: JobLost) -> Failure {
    match lost {
        JobLost::Panicked { message } => Failure::bug("encoder_panicked", format!("encoding panicked: {message}")),
        JobLost::NoThreads => lost.into(),
    }
}

async fn close(
    pool: &connector_decode::Pool,
    writer: Option<Box<dyn DataFileWriter>>,
) -> Result<Option<StagedFile>, Failure> {
    let Some(writer) = writer else { return Ok(None) };
    pool.run(move || writer.finish()).await.map_err(encoder_lost)?
}

impl AppenderActor {
    /// Table work: awaited on the I/O runtime, told to the ConnectionActor.
    fn table_task<M, F>(&mut self, task: &'static str, work: impl FnOnce(Arc<dyn Destination>) -> F)
    where
        F: Future<Output = M> + Send + 'static,
        M: actix::Message + Send + 'static,
        M::Result: Send,
        ConnectionActor: Handler<M>,
    {
        let future = work(Arc::clone(&self.ports.destination));
        self.tasks.spawn(task, self.connection.clone(), future);
    }
}

impl Handler<CommitBatch> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: CommitBatch, _: &mut Self::Context) {
        self.table_task("commit", |table| async move {
            let result = table.commit(&message.commit).await;
            CommitAnswered { generation: message.generation, result }
        });
    }
}

impl Handler<ReadTable> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: ReadTable, _: &mut Self::Context) {
        self.table_task("read table", |table| async move {
            TableRead { generation: message.generation, result: table.read().await }
        });
    }
}

impl Handler<CreateTable> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: CreateTable, _: &mut Self::Context) {
        self.table_task("create table", |table| async move {
            let result = table.create(message.import, &message.schema).await;
            TableCreated { generation: message.generation, result }
        });
    }
}

impl Handler<CheckStaged> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: CheckStaged, _: &mut Self::Context) {
        self.table_task("check staged files", |table| async move {
            let result = table.staged_files_intact(&message.files).await;
            StagedChecked { generation: message.generation, result }
        });
    }
}

impl Handler<TaskPanicked> for AppenderActor {
    type Result = ();

    fn handle(&mut self, message: TaskPanicked, ctx: &mut Self::Context) {
        crate::connection::end_after_panic(&mut self.guard, message, ctx);
    }
}
