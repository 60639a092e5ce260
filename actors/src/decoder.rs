//! DecoderActor: turns object versions into blocks, and says before what columns they bring.
//!
//! It coordinates only. Ranged reads are awaited on the I/O runtime, splitting and decoding run on the CPU pool, and
//! blocks go straight to the AppenderActor. Files start in claim order, inspected or decoded, at most
//! [`FILES_IN_FLIGHT`] at once, so the import's oldest unfinished file, the one that may use the reserve of the memory
//! budget, is always among them.
//!
//! | file | what of it |
//! |---|---|
//! | `content`, `sample` | what a file is by its bytes, and as much of it as shows its columns |
//! | `inference`, `inspection` | the columns of the reference file; what any other file brings |
//! | `file_job` | one file from claim to staged rows |
//! | `text_file`, `block_queue`, `unpack` | CSV and NDJSON, plain or compressed |
//! | `parquet_file`, `parquet_source` | Parquet, and how it is fetched |
//! | `whole_file` | small files, and files that are decoded in one place |
//! | `fetch`, `sizing` | ranged reads with credit; how much of it |

mod block_queue;
mod content;
mod fetch;
mod file_job;
mod inference;
mod inspection;
mod parquet_file;
mod parquet_source;
mod sample;
mod sizing;
#[cfg(test)]
mod tests;
mod text_file;
mod unpack;
mod whole_file;

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::sync::Arc;

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use connector_core::credit::Seat;
use connector_core::ids::ObjectVersionId;
use connector_core::object::ObjectRef;
use connector_core::spec::Format;
use tokio::time::Instant;

use crate::appender::AppenderActor;
use crate::connection::ConnectionActor;
use crate::credit::FileAccount;
use crate::decoder::fetch::Reader;
use crate::decoder::file_job::FileJob;
use crate::exit_guard::ExitGuard;
use crate::io::{IoTasks, TaskPanicked};
use crate::messages::decoding::{
    ColumnsInferred, DecodeFile, FileDecoded, FileError, FileInspected, InferColumns, InspectFile,
};
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
    pub(crate) files: Files,
}

/// The files that an import's decoder works on.
#[derive(Default)]
pub(crate) struct Files {
    /// Those that have not begun, in claim order, with their standing in the budget.
    waiting: VecDeque<(Work, FileAccount)>,
    in_flight: usize,
    /// Inspected, and Parquet although their names promise text. Told by what they are, not by their place in a batch:
    /// the batch may be given up, and its place taken by others.
    parquet: HashSet<ObjectVersionId>,
}

/// What is to be done with a file.
enum Work {
    Inspect(InspectFile),
    Decode(DecodeFile),
}

/// A file has ended, one way or the other. From its task to the DecoderActor, which starts the next one.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum FileEnded {
    /// And what the file is, if that is known.
    Inspected(FileInspected, Option<(ObjectVersionId, Format)>),
    Decoded(FileDecoded),
}

impl Actor for DecoderActor {
    type Context = Context<Self>;
}

impl Handler<InferColumns> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: InferColumns, _: &mut Self::Context) {
        let (world, source, seat) = (self.world.clone(), Arc::clone(&self.ports.source), self.seat);
        let reader_of = move |object| Reader::new(world.clone(), Arc::clone(&source), world.credit.enter(seat), object);
        self.tasks.spawn("infer columns", self.connection.clone(), async move {
            let (generation, seq) = (message.generation, message.seq);
            let result = inference::first_columns(message, reader_of).await;
            ColumnsInferred { generation, seq, result }
        });
    }
}

impl Handler<InspectFile> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: InspectFile, ctx: &mut Self::Context) {
        self.enqueue(Work::Inspect(message), ctx);
    }
}

impl Handler<DecodeFile> for DecoderActor {
    type Result = ();

    fn handle(&mut self, mut message: DecodeFile, ctx: &mut Self::Context) {
        if self.files.parquet.remove(&message.object.id) {
            message.format = Format::Parquet;
        }
        self.enqueue(Work::Decode(message), ctx);
    }
}

impl Handler<FileEnded> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: FileEnded, ctx: &mut Self::Context) {
        self.files.in_flight -= 1;
        match message {
            FileEnded::Inspected(inspected, found) => {
                self.files.parquet.extend(found.filter(|(_, format)| *format == Format::Parquet).map(|(id, _)| id));
                self.connection.do_send(inspected);
            }
            FileEnded::Decoded(decoded) => self.connection.do_send(decoded),
        }
        self.start_more(ctx);
    }
}

impl DecoderActor {
    fn enqueue(&mut self, work: Work, ctx: &mut Context<Self>) {
        let account = self.world.credit.enter(self.seat);
        self.files.waiting.push_back((work, account));
        self.start_more(ctx);
    }

    fn start_more(&mut self, ctx: &mut Context<Self>) {
        while self.files.in_flight < FILES_IN_FLIGHT
            && let Some((work, account)) = self.files.waiting.pop_front()
        {
            self.files.in_flight += 1;
            match work {
                Work::Inspect(file) => {
                    let reader = self.reader(account, &file.object);
                    self.tasks.spawn("inspect file", ctx.address(), inspect(reader, file));
                }
                Work::Decode(file) => {
                    let reader = self.reader(account, &file.object);
                    let job = FileJob::new(reader, self.appender.clone(), file);
                    self.tasks.spawn("decode file", ctx.address(), decode(job));
                }
            }
        }
    }

    fn reader(&self, account: FileAccount, object: &ObjectRef) -> Reader {
        Reader::new(self.world.clone(), Arc::clone(&self.ports.source), account, object.clone())
    }
}

async fn inspect(reader: Reader, file: InspectFile) -> FileEnded {
    let (id, started) = (file.object.id, Instant::now());
    let inspected = inspection::inspect(&reader, file.format, file.dialect, file.schema).await;
    let found = inspected.as_ref().ok().map(|inspected| (id, inspected.format));
    let answer = FileInspected {
        generation: file.generation,
        seq: file.seq,
        ordinal: file.ordinal,
        result: inspected.map(|inspected| inspected.shape).map_err(FileError::from),
        bytes: reader.bytes_read(),
        duration: started.elapsed(),
    };
    FileEnded::Inspected(answer, found)
}

/// To be called in claim order: a large Parquet file queues for a reader now, not when its task happens to run.
fn decode(job: FileJob) -> impl Future<Output = FileEnded> + Send + 'static {
    let turn = job.queue_for_reader();
    let (generation, seq, ordinal) = (job.file.generation, job.file.seq, job.file.ordinal);
    async move {
        let started = Instant::now();
        let (result, bytes) = job.run(turn).await;
        FileEnded::Decoded(FileDecoded { generation, seq, ordinal, result, bytes, duration: started.elapsed() })
    }
}

impl Handler<TaskPanicked> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: TaskPanicked, ctx: &mut Self::Context) {
        crate::connection::end_after_panic(&mut self.guard, message, ctx);
    }
}
