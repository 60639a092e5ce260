//! From a block of whole records to typed rows and rejected rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::SchemaRef;
use connector_core::block::{Block, Cause, CellError, ERRORS_PER_ROW, no_texts};
use connector_core::error::Failure;
use connector_core::evolve::{FileCause, FilePlan};
use connector_core::quarantine::shown;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use jiff::Timestamp;

use super::cells::Cells;
use super::tails::TailErrors;
use super::{CsvOptions, RawBlock};
use crate::columns::{self, Cell};
use crate::row_errors::Gathered;

/// Decodes the blocks of one file. Shared by the threads that decode them.
#[derive(Clone, Debug)]
pub struct CsvDecoder {
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
    plan: Arc<FilePlan>,
    options: CsvOptions,
    /// For default expressions.
    now: Timestamp,
    /// With what every row is rejected, if the file does not fit.
    causes: Vec<CellError>,
    /// Columns of the file in which no row may have a value, and the error of one that does.
    unknown: Vec<(usize, CellError)>,
}

impl CsvDecoder {
    /// A decoder for the file of this plan. `now` is what default expressions take for the time.
    pub fn new(schema: Arc<TableSchema>, plan: Arc<FilePlan>, options: &CsvOptions, now: Timestamp) -> Self {
        let causes = plan.causes.iter().map(|cause| error_of(&schema, cause)).collect();
        let unknown = plan.unknown.iter().map(|(index, name)| (*index, unknown_column(name))).collect();
        Self { arrow: schema.arrow(), schema, plan, options: options.clone(), now, causes, unknown }
    }

    /// Decodes one block. A record that does not fit is rejected with one error for each bad column (of many, the first
    /// 32); the others are kept. Rejected as a whole are records with another number of cells than the file has
    /// columns, a record with text behind a closing quote, one that is cut by a quote which is never closed, and every
    /// record of a file that does not fit.
    ///
    /// Texts of rejected rows are the cells by their position, as far as they go, each as it is written.
    ///
    /// # Errors
    /// `Bug` with code `decode_bug` only: for schema and plan that do not belong together, or a block of 512 MiB.
    pub fn decode(&self, block: &RawBlock) -> Result<Block, Failure> {
        let cells = Cells::read(block, &self.options)?;
        let records = cells.records();
        let mut gathered = Gathered::new(Arc::clone(&self.schema), Arc::clone(&self.arrow), records);
        if self.causes.is_empty() {
            self.reject_records(&cells, block, &mut gathered);
            // The others are no rows, so that no column takes memory for them.
            let starts = cells.starts(gathered.leave_out_unread());
            for (index, column) in self.schema.columns.iter().enumerate() {
                match self.source(index) {
                    Some(source) => {
                        let cells = cells.column(&starts, source, self.nulls_hold(column));
                        gathered.add(index, columns::build(column, cells));
                    }
                    None => gathered.add_absent(index),
                }
            }
        } else {
            gathered.reject_all(self.causes.clone());
        }
        // One array for all columns that the file, or every rejected record, lacks.
        let mut absent: Option<(usize, StringArray)> = None;
        let texts = |index: usize, bad: &[u32]| {
            let (widest, absent) = absent.get_or_insert_with(|| (cells.widest(bad), no_texts(bad.len())));
            match self.source(index).filter(|source| source < widest) {
                Some(source) => cells.texts(source, bad),
                None => absent.clone(),
            }
        };
        let (rows, rejected) = gathered.finish(self.now, texts, |record| cells.raw(record))?;
        Ok(Block { records: records as u64, rows, rejected })
    }

    /// The file column of a table column.
    fn source(&self, index: usize) -> Option<usize> {
        let source = self.plan.bound.sources.get(index).copied().flatten();
        source.filter(|source| *source < self.plan.bound.file_columns)
    }

    /// Whether null spellings mean NULL in a column. Those that were found out may be texts where texts belong.
    fn nulls_hold(&self, column: &Column) -> bool {
        let dialect = &self.options.dialect;
        let may_be_text = match &column.ty {
            ColumnType::String | ColumnType::FixedString(_) => true,
            ColumnType::Enum(labels) => dialect.nulls.iter().any(|spelling| labels.contains(spelling)),
            _ => false,
        };
        dialect.nulls_configured || !may_be_text
    }

    fn reject_records(&self, cells: &Cells<'_>, block: &RawBlock, gathered: &mut Gathered) {
        let width = self.plan.bound.file_columns;
        let cut = block.unterminated.and_then(|line| Some((cells.records().checked_sub(1)?, line)));
        let mut ragged: HashMap<usize, CellError> = HashMap::new();
        let mut tails = cells.tails().iter().peekable();
        let mut tail_errors = TailErrors::new(block, &self.options);
        for record in 0..cells.records() {
            let tail = tails.next_if(|tail| tail.record as usize == record);
            let cut = cut.filter(|(last, _)| *last == record);
            if let Some(tail) = tail {
                gathered.reject_unread(record, tail_errors.of(tail, cells.bytes(record)));
            }
            if let Some((_, line)) = cut {
                gathered.reject_unread(record, unterminated(line));
            }
            if tail.is_some() || cut.is_some() {
                continue;
            }
            let found = cells.width(record);
            if found != width {
                let error = ragged.entry(found).or_insert_with(|| self.ragged(found));
                gathered.reject_unread(record, error.clone());
                continue;
            }
            // Their types are unknown, so that what was only found out to mean NULL may be a text.
            let nulls = self.options.dialect.nulls_configured;
            let has_value = |column| matches!(cells.cell(record, column, nulls), Cell::Text(text) if !text.is_empty());
            let unknown = self.unknown.iter().filter(|(column, _)| has_value(*column)).take(ERRORS_PER_ROW);
            unknown.for_each(|(_, error)| gathered.reject(record, error.clone()));
        }
    }

    fn ragged(&self, found: usize) -> CellError {
        let whose = if self.options.dialect.header { "header" } else { "first record of the file" };
        let expected = fields(self.plan.bound.file_columns);
        CellError::of_record(format!("the record has {}, the {whose} has {expected}", fields(found)))
    }
}

fn fields(count: usize) -> String {
    format!("{count} field{}", if count == 1 { "" } else { "s" })
}

fn unterminated(line: u64) -> CellError {
    CellError::of_record(format!(
        "the quote that opens on line {line} of the file is never closed: everything from there up to the end of the \
         file is in this one record; close the quote and upload the file again"
    ))
}

fn unknown_column(name: &str) -> CellError {
    let name = shown(name);
    CellError::of_record(format!("column '{name}' is not in the table and may not be added (IMPORT_EVOLUTION freeze)"))
}

/// A cause as the error of each row; the message is shared by all.
fn error_of(schema: &TableSchema, cause: &FileCause) -> CellError {
    let column = schema.columns.iter().position(|column| column.name == cause.column);
    CellError {
        column: column.and_then(|index| u32::try_from(index).ok()),
        cause: Cause::Text(cause.message.as_str().into()),
    }
}
