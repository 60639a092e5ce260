//! One file, from claim to staged rows: what the formats share.

use std::sync::Arc;

use actix::{Addr, MailboxError};
use connector_core::binding::{Binding, bind};
use connector_core::block::{Block, RejectedRow};
use connector_core::error::Failure;
use connector_core::object::ObjectRef;
use connector_core::ports::RowOrigin;
use connector_core::spec::Format;

use super::fetch::Reader;
use crate::appender::AppenderActor;
use crate::credit::{Credit, FileAccount, ReaderTurn};
use crate::messages::appending::{CloseLane, DiscardLane, Lane, StageBlocks};
use crate::messages::decoding::{DecodeFile, FileError};
use crate::world::{ImportPorts, World};

/// A file whose decoded rows are estimated below this is decoded whole and shares a data file with its batch mates.
pub(super) const SMALL_FILE_BYTES: u64 = 64 << 20;

/// A claimed file on its way into the table.
pub(super) struct FileJob {
    pub(super) reader: Reader,
    pub(super) file: DecodeFile,
    appender: Addr<AppenderActor>,
}

impl FileJob {
    pub(super) fn new(
        world: World,
        ports: ImportPorts,
        appender: Addr<AppenderActor>,
        account: FileAccount,
        file: DecodeFile,
    ) -> Self {
        Self { reader: Reader::new(world, ports, account, file.object.clone()), file, appender }
    }

    /// A large Parquet file's place in the queue for a reader. To be called in claim order.
    pub(super) fn queue_for_reader(&self) -> Option<ReaderTurn> {
        let spooled = self.file.format == Format::Parquet
            && !super::parquet_file::fits_memory(self.object().size, self.largest_request());
        spooled.then(|| self.reader.world.credit.queue_for_reader())
    }

    /// Reads, decodes and stages the file; leaves no row behind if it fails. Returns rows and bytes read.
    pub(super) async fn run(self, turn: Option<ReaderTurn>) -> (Result<u64, FileError>, u64) {
        let _reader = match turn {
            Some(turn) => turn.await,
            None => None,
        };
        let result = match self.file.format {
            Format::Csv => super::csv_file::run(&self).await,
            Format::Parquet => super::parquet_file::run(&self).await,
        };
        if result.is_err() {
            self.discard().await;
        }
        (result, self.reader.bytes_read())
    }

    pub(super) fn object(&self) -> &ObjectRef {
        &self.file.object
    }

    /// The most credit that one request of this file gets, in bytes.
    pub(super) fn largest_request(&self) -> u64 {
        self.reader.world.credit.largest_request()
    }

    /// Whether this many decoded bytes make a small file under the present budget.
    pub(super) fn is_small(&self, decoded_bytes: u64) -> bool {
        decoded_bytes <= SMALL_FILE_BYTES.min(self.largest_request())
    }

    /// Binds the file's columns to the table's.
    pub(super) fn bind(&self, columns: &[String]) -> Result<Arc<Binding>, Failure> {
        bind(&self.file.schema, columns, self.file.reference.as_deref()).map(Arc::new)
    }

    /// Hands decoded rows to the AppenderActor and waits until they are encoded.
    pub(super) async fn stage(
        &self,
        lane: Lane,
        first_row: u64,
        blocks: Vec<Block>,
        credit: Vec<Credit>,
    ) -> Result<(), FileError> {
        if blocks.iter().all(|block| block.rows.num_rows() == 0) {
            return Ok(());
        }
        let message = StageBlocks {
            generation: self.file.generation,
            seq: self.file.seq,
            lane,
            origin: RowOrigin {
                key: Arc::clone(&self.object().key),
                version: self.object().id,
                batch: self.file.batch.clone(),
            },
            schema: Arc::clone(&self.file.schema),
            first_row,
            blocks,
            credit,
        };
        let staged = self.appender.send(message).await.map_err(appender_gone).flatten();
        staged.map_err(|failure| FileError { failure, rows_rejected: 0, fatal: true })
    }

    /// Stages a small file, decoded whole, beside its batch mates. Returns its rows.
    pub(super) async fn stage_whole(&self, blocks: Vec<Block>, credit: Credit) -> Result<u64, FileError> {
        let mut rows = 0;
        for block in &blocks {
            self.refuse_rejected(rows, block)?;
            rows += block.records;
        }
        self.stage(Lane::Shared, 0, blocks, vec![credit]).await?;
        Ok(rows)
    }

    /// All rows of a large file are staged: makes its data file durable.
    pub(super) async fn close_lane(&self) -> Result<(), FileError> {
        let message = CloseLane { generation: self.file.generation, seq: self.file.seq, lane: self.own_lane() };
        let closed = self.appender.send(message).await.map_err(appender_gone).flatten();
        closed.map_err(|failure| FileError { failure, rows_rejected: 0, fatal: true })
    }

    pub(super) fn own_lane(&self) -> Lane {
        Lane::Own(self.file.ordinal)
    }

    async fn discard(&self) {
        let message = DiscardLane { generation: self.file.generation, seq: self.file.seq, lane: self.own_lane() };
        // Without an appender the generation has ended, and its unreferenced files are harmless.
        let _ = self.appender.send(message).await;
    }

    /// Until rejected rows have a table of their own, one of them fails its file, visibly.
    pub(super) fn refuse_rejected(&self, first_row: u64, block: &Block) -> Result<(), FileError> {
        let Some(row) = block.rejected.first() else { return Ok(()) };
        let count = block.rejected.len() as u64;
        let more = match count - 1 {
            0 => String::new(),
            more => {
                format!("; {more} more of rows {} to {} do not fit either", first_row + 1, first_row + block.records)
            }
        };
        // People count from 1; a header is no row.
        let number = first_row + row.ordinal + 1;
        let message =
            format!("row {number} of {} does not fit the table: {}{more}", self.object().uri(), describe(row));
        Err(FileError { failure: Failure::data("rejected_rows", message), rows_rejected: count, fatal: false })
    }
}

fn appender_gone(_: MailboxError) -> Failure {
    Failure::bug("appender_gone", "the appender ended while a file was being staged")
}

/// How many errors of one row a message tells.
const SHOWN_ERRORS: usize = 5;

fn describe(row: &RejectedRow) -> String {
    let mut shown: Vec<&str> = row.errors.iter().take(SHOWN_ERRORS).map(|error| error.message.as_str()).collect();
    if row.errors.len() > SHOWN_ERRORS {
        shown.push("and more");
    }
    shown.join("; ")
}
