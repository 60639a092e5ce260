//! DecoderActor: turns object versions into blocks.
//!
//! It coordinates only. Ranged reads are awaited on the I/O runtime, splitting and decoding run on the CPU pool, and
//! blocks go straight to the AppenderActor. Files start in claim order, at most [`FILES_IN_FLIGHT`] at once, so the
//! import's oldest unfinished file, the one that may use the reserve of the memory budget, is always among them.

mod csv_file;
mod fetch;
mod file_job;
mod inference;
mod parquet_file;

use std::collections::VecDeque;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use connector_core::credit::Seat;
use tokio::time::Instant;

use crate::appender::AppenderActor;
use crate::connection::ConnectionActor;
use crate::credit::FileAccount;
use crate::decoder::fetch::Reader;
use crate::decoder::file_job::FileJob;
use crate::exit_guard::ExitGuard;
use crate::io::{IoTasks, TaskPanicked};
use crate::messages::decoding::{ColumnsInferred, DecodeFile, FileDecoded, InferColumns};
use crate::world::{ImportPorts, World};

/// How many files of one import are read at once.
pub const FILES_IN_FLIGHT: usize = 8;

/// See the module.
pub struct DecoderActor {
    pub(crate) world: World,
    pub(crate) ports: ImportPorts,
    pub(crate) seat: Seat,
    pub(crate) connection: Addr<ConnectionActor>,
    pub(crate) appender: Addr<AppenderActor>,
    pub(crate) tasks: IoTasks,
    pub(crate) guard: ExitGuard,
    /// Claimed files that have not begun, in claim order, with their standing in the budget.
    pub(crate) queue: VecDeque<(DecodeFile, FileAccount)>,
    pub(crate) in_flight: usize,
}

/// A file has ended, one way or the other. From its task to the DecoderActor, which starts the next one.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct FileEnded(FileDecoded);

impl Actor for DecoderActor {
    type Context = Context<Self>;
}

impl Handler<InferColumns> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: InferColumns, _: &mut Self::Context) {
        let (world, ports, seat) = (self.world.clone(), self.ports.clone(), self.seat);
        let reader_of = move |object| Reader::new(world.clone(), ports.clone(), world.credit.enter(seat), object);
        self.tasks.spawn("infer columns", self.connection.clone(), async move {
            let result = inference::first_columns(message.files, message.names_only, reader_of).await;
            ColumnsInferred { generation: message.generation, seq: message.seq, result }
        });
    }
}

impl Handler<DecodeFile> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: DecodeFile, ctx: &mut Self::Context) {
        let account = self.world.credit.enter(self.seat);
        self.queue.push_back((message, account));
        self.start_more(ctx);
    }
}

impl Handler<FileEnded> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: FileEnded, ctx: &mut Self::Context) {
        self.in_flight -= 1;
        self.connection.do_send(message.0);
        self.start_more(ctx);
    }
}

impl DecoderActor {
    fn start_more(&mut self, ctx: &mut Context<Self>) {
        while self.in_flight < FILES_IN_FLIGHT
            && let Some((file, account)) = self.queue.pop_front()
        {
            self.in_flight += 1;
            let (generation, seq, ordinal) = (file.generation, file.seq, file.ordinal);
            let job = FileJob::new(self.world.clone(), self.ports.clone(), self.appender.clone(), account, file);
            let turn = job.queue_for_reader();
            self.tasks.spawn("decode file", ctx.address(), async move {
                let started = Instant::now();
                let (result, bytes) = job.run(turn).await;
                FileEnded(FileDecoded { generation, seq, ordinal, result, bytes, duration: started.elapsed() })
            });
        }
    }
}

impl Handler<TaskPanicked> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: TaskPanicked, ctx: &mut Self::Context) {
        crate::connection::end_after_panic(&mut self.guard, message, ctx);
    }
}
