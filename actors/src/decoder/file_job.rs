//! One file, from claim to staged rows: what the formats share.

use std::sync::Arc;

use actix::{Addr, MailboxError};
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_core::object::ObjectRef;
use connector_core::ports::RowOrigin;
use connector_core::spec::Format;

use super::fetch::Reader;
use super::probe::{ProbeJob, settings_of};
use super::{parquet_file, parquet_source, sizing, text_file};
use crate::appender::AppenderActor;
use crate::credit::{Credit, ReaderTurn};
use crate::messages::appending::{CloseLane, DiscardLane, Lane, StageBlocks};
use crate::messages::decoding::{DecodeFile, FileError, FileRows};

/// A claimed file on its way into the tables.
pub(super) struct FileJob {
    pub(super) reader: Reader,
    pub(super) file: DecodeFile,
    appender: Addr<AppenderActor>,
}

impl FileJob {
    pub(super) fn new(reader: Reader, appender: Addr<AppenderActor>, file: DecodeFile) -> Self {
        Self { reader, file, appender }
    }

    /// A large Parquet file's place in the queue for a reader. To be called in claim order.
    pub(super) fn queue_for_reader(&self) -> Option<ReaderTurn> {
        let spooled = self.file.format == Format::Parquet
            && !parquet_source::fits_memory(self.object().size, self.largest_request());
        spooled.then(|| self.reader.world.credit.queue_for_reader())
    }

    /// How a process of its own is to read it.
    pub(super) fn probe(&self) -> ProbeJob {
        ProbeJob {
            size: self.object().size,
            format: self.file.format,
            csv: settings_of(&self.file.dialect),
            schema: Some(Arc::clone(&self.file.schema)),
            memory: self.reader.world.credit.usage().1,
        }
    }

    /// Reads, decodes and stages the file; leaves no row behind if it fails. Returns rows and bytes read.
    pub(super) async fn run(self, turn: Option<ReaderTurn>) -> (Result<FileRows, FileError>, u64) {
        let _reader = match turn {
            Some(turn) => turn.await,
            None => None,
        };
        let result = match self.file.format {
            Format::Csv | Format::Ndjson => text_file::run(&self).await,
            Format::Parquet => parquet_file::run(&self).await,
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

    /// Whether a cost of this many bytes makes a small file under the present budget.
    pub(super) fn is_small(&self, cost: u64) -> bool {
        cost <= sizing::small_limit(self.largest_request())
    }

    /// What a small file takes however few rows it has.
    pub(super) fn overhead(&self) -> u64 {
        sizing::overhead(self.file.schema.columns.len())
    }

    /// Hands decoded rows, good and bad, to the AppenderActor and waits until they are encoded. `rows` counts those of
    /// the file that were staged before; these are added.
    pub(super) async fn stage(
        &self,
        lane: Lane,
        rows: &mut FileRows,
        blocks: Vec<Block>,
        credit: Vec<Credit>,
    ) -> Result<(), FileError> {
        let (first_row, before) = (rows.records, *rows);
        for block in &blocks {
            match &self.file.only {
                None => {
                    rows.table += block.rows.num_rows() as u64;
                    rows.quarantine += block.rejected.len() as u64;
                }
                Some(only) => {
                    let wanted = block.wanted_rows(rows.records, only);
                    rows.table += wanted.into_iter().filter(|is| *is).count() as u64;
                }
            }
            rows.records += block.records;
        }
        if (rows.table, rows.quarantine) == (before.table, before.quarantine) {
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
            now: self.file.now,
            only: self.file.only.clone(),
        };
        let staged = self.appender.send(message).await.map_err(appender_gone).flatten();
        staged.map_err(|failure| FileError { failure, fatal: true })
    }

    /// Stages a small file, decoded whole, beside its batch mates.
    pub(super) async fn stage_whole(&self, blocks: Vec<Block>, credit: Credit) -> Result<FileRows, FileError> {
        let mut rows = FileRows::default();
        self.stage(Lane::Shared, &mut rows, blocks, vec![credit]).await?;
        Ok(rows)
    }

    /// All rows of a large file are staged: makes its data files durable.
    pub(super) async fn close_lane(&self) -> Result<(), FileError> {
        let message = CloseLane { generation: self.file.generation, seq: self.file.seq, lane: self.own_lane() };
        let closed = self.appender.send(message).await.map_err(appender_gone).flatten();
        closed.map_err(|failure| FileError { failure, fatal: true })
    }

    pub(super) fn own_lane(&self) -> Lane {
        Lane::Own(self.file.ordinal)
    }

    async fn discard(&self) {
        let message = DiscardLane { generation: self.file.generation, seq: self.file.seq, lane: self.own_lane() };
        // Without an appender the generation has ended, and its unreferenced files are harmless.
        let _ = self.appender.send(message).await;
    }
}

fn appender_gone(_: MailboxError) -> Failure {
    Failure::bug("appender_gone", "the appender ended while a file was being staged")
}
