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
//! | [`requests`] | how many ranged reads a file will take |
//! | `gate`, `marks` | what a file passes before its bytes are parsed: vetting of suspects, reading marks |
//! | [`probe`] | the port to processes that decode suspects |

mod block_queue;
mod content;
mod fetch;
mod file_job;
mod gate;
mod inference;
mod inspection;
mod marks;
mod parquet_file;
mod parquet_source;
pub mod probe;
pub mod requests;
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
use connector_core::ports::Ledger;
use connector_core::spec::Format;
use connector_core::telemetry::ImportLabels;
use tokio::time::Instant;

use crate::appender::AppenderActor;
use crate::connection::ConnectionActor;
use crate::credit::FileAccount;
use crate::decoder::fetch::Reader;
use crate::decoder::file_job::FileJob;
use crate::decoder::gate::{Gate, judged};
use crate::decoder::probe::{ProbeJob, settings_of};
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
pub(crate) struct Files {
    gate: Gate,
    /// Those that have not begun, in claim order, with their standing in the budget.
    waiting: VecDeque<(Work, FileAccount)>,
    in_flight: usize,
    /// Inspected, and Parquet although their names promise text. Told by what they are, not by their place in a batch:
    /// the batch may be given up, and its place taken by others.
    parquet: HashSet<ObjectVersionId>,
}

impl Files {
    /// None yet. Their marks go to this ledger.
    pub(crate) fn new(ledger: &Arc<dyn Ledger>, labels: &ImportLabels) -> Self {
        let gate = Gate::new(ledger, labels);
        Self { gate, waiting: VecDeque::new(), in_flight: 0, parquet: HashSet::new() }
    }
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

/// Start files that wait. DecoderActor to itself. Costs nothing.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct StartFiles;

impl Actor for DecoderActor {
    type Context = Context<Self>;
}

impl Handler<InferColumns> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: InferColumns, _: &mut Self::Context) {
        let (world, source, seat) = (self.world.clone(), Arc::clone(&self.ports.source), self.seat);
        let reader_of = move |object| Reader::new(world.clone(), Arc::clone(&source), world.credit.enter(seat), object);
        let gate = self.files.gate.clone();
        self.tasks.spawn("infer columns", self.connection.clone(), async move {
            let (generation, seq) = (message.generation, message.seq);
            let result = inference::first_columns(message, reader_of, &gate).await;
            ColumnsInferred { generation, seq, result }
        });
    }
}

impl Handler<InspectFile> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: InspectFile, ctx: &mut Self::Context) {
        self.files.gate.announce_inspection(&message.object);
        self.enqueue(Work::Inspect(message), ctx);
    }
}

impl Handler<DecodeFile> for DecoderActor {
    type Result = ();

    fn handle(&mut self, mut message: DecodeFile, ctx: &mut Self::Context) {
        if self.files.parquet.remove(&message.object.id) {
            message.format = Format::Parquet;
        }
        self.files.gate.announce_decoding(&message.object);
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

impl Handler<StartFiles> for DecoderActor {
    type Result = ();

    fn handle(&mut self, _: StartFiles, ctx: &mut Self::Context) {
        self.start_more(ctx);
    }
}

impl DecoderActor {
    /// Starts later, behind the messages that wait already: a whole batch is announced before its first file asks for its
    /// mark.
    fn enqueue(&mut self, work: Work, ctx: &mut Context<Self>) {
        let account = self.world.credit.enter(self.seat);
        if self.files.waiting.is_empty() {
            ctx.address().do_send(StartFiles);
        }
        self.files.waiting.push_back((work, account));
    }

    fn start_more(&mut self, ctx: &mut Context<Self>) {
        while self.files.in_flight < FILES_IN_FLIGHT
            && let Some((work, account)) = self.files.waiting.pop_front()
        {
            self.files.in_flight += 1;
            let gate = self.files.gate.clone();
            match work {
                Work::Inspect(file) => {
                    let reader = self.reader(account, &file.object);
                    self.tasks.spawn("inspect file", ctx.address(), inspect(reader, file, gate));
                }
                Work::Decode(file) => {
                    let reader = self.reader(account, &file.object);
                    let job = FileJob::new(reader, self.appender.clone(), file);
                    self.tasks.spawn("decode file", ctx.address(), decode(job, gate));
                }
            }
        }
    }

    fn reader(&self, account: FileAccount, object: &ObjectRef) -> Reader {
        Reader::new(self.world.clone(), Arc::clone(&self.ports.source), account, object.clone())
    }
}

async fn inspect(reader: Reader, file: InspectFile, gate: Gate) -> FileEnded {
    let (id, started) = (file.object.id, Instant::now());
    let job = || ProbeJob {
        size: file.object.size,
        format: file.format,
        csv: settings_of(&file.dialect),
        schema: Some(Arc::clone(&file.schema)),
        memory: reader.world.credit.usage().1,
    };
    let inspected = match gate.admit(&reader, job).await {
        Ok(()) => inspection::inspect(&reader, file.format, file.dialect, file.schema).await.map_err(FileError::from),
        Err(error) => Err(error),
    };
    gate.leave(&file.object, &inspected);
    let found = inspected.as_ref().ok().map(|inspected| (id, inspected.format));
    let answer = FileInspected {
        generation: file.generation,
        seq: file.seq,
        ordinal: file.ordinal,
        result: inspected.map(|inspected| inspected.shape).map_err(|error| judged(&file.object, error)),
        bytes: reader.bytes_read(),
        duration: started.elapsed(),
    };
    FileEnded::Inspected(answer, found)
}

/// To be called in claim order: a large Parquet file queues for a reader now, not when its task happens to run.
fn decode(job: FileJob, gate: Gate) -> impl Future<Output = FileEnded> + Send + 'static {
    let turn = job.queue_for_reader();
    let (generation, seq, ordinal) = (job.file.generation, job.file.seq, job.file.ordinal);
    async move {
        let started = Instant::now();
        let object = job.file.object.clone();
        let (result, bytes) = match gate.admit(&job.reader, || job.probe()).await {
            Ok(()) => job.run(turn).await,
            Err(error) => (Err(error), job.reader.bytes_read()),
        };
        gate.leave(&object, &result);
        gate.forget(&object);
        let result = result.map_err(|error| judged(&object, error));
        FileEnded::Decoded(FileDecoded { generation, seq, ordinal, result, bytes, duration: started.elapsed() })
    }
}

impl Handler<TaskPanicked> for DecoderActor {
    type Result = ();

    fn handle(&mut self, message: TaskPanicked, ctx: &mut Self::Context) {
        crate::connection::end_after_panic(&mut self.guard, message, ctx);
    }
}
