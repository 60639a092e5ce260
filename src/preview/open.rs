//! What a file would do to the table, and its rows: planned as the actors plan it, decoded as they decode it.

use std::sync::Arc;

use bytes::Bytes;
use connector_core::block::Block;
use connector_core::csv::CsvDialect;
use connector_core::error::Failure;
use connector_core::evolve::{FilePlan, FileShape, Planner};
use connector_core::ports::ReferenceFile;
use connector_core::schema::TableSchema;
use connector_core::spec::Format;
use connector_decode::csv::{CsvDecoder, CsvOptions, Splitter, read_header};
use connector_decode::infer::{self, Inferred, Sample};
use connector_decode::ndjson::{self, LineSplitter, NdjsonDecoder};
use connector_decode::parquet::{ParquetBlocks, ParquetFile};
use connector_decode::text::{TextDecoder, TextSplitter};
use jiff::Timestamp;

use super::{Base, Content, Fetched, Preview, Rules};

/// Bytes of a block of rows: what stands behind the last whole block of a larger file's head is not shown.
const BLOCK_BYTES: usize = 4 << 10;
/// Rows, and bytes, of a block of a Parquet file.
const PARQUET_ROWS: usize = 100;
const PARQUET_BLOCK_BYTES: usize = 4 << 20;

/// A file before its rows are read.
#[derive(Debug)]
pub struct Opened {
    /// Without rows yet.
    pub preview: Preview,
    /// For the files behind it.
    pub base: Base,
    plan: Arc<FilePlan>,
    shape: FileShape,
}

/// What turns the bytes of a file of text into rows.
pub struct TextRows {
    pub splitter: TextSplitter,
    pub decoder: TextDecoder,
    /// Where the first record begins, after decompression.
    pub body_offset: usize,
}

/// What is known of a file's columns.
struct Columns {
    shape: FileShape,
    dialect: Option<CsvDialect>,
    /// Of the first file only: later ones decide nothing but the columns they bring.
    inferred: Option<Inferred>,
}

impl Opened {
    /// Plans a file, behind those that have decided `base`.
    ///
    /// # Errors
    /// `Data` if its columns cannot be told.
    pub fn new(fetched: &Fetched, rules: &Rules, base: Option<&Base>) -> Result<Self, Failure> {
        let declared =
            TableSchema { columns: rules.columns.clone().unwrap_or_default(), partition: rules.partition.clone() };
        let known = base.map_or(&declared, |base| &base.schema);
        let columns = match &fetched.content {
            Content::Text(sample) => text_columns(sample, fetched.format, rules, base, known)?,
            Content::Parquet(file) => parquet_columns(file, base, known)?,
        };
        let Columns { shape, dialect, inferred } = columns;
        let (schema, added, reference, evidence) = match (base, inferred) {
            (Some(base), _) => (base.schema.clone(), base.added.clone(), base.reference.clone(), Vec::new()),
            (None, inferred) => {
                let inferred = inferred.ok_or_else(|| Failure::bug("no_inference", "nothing was inferred"))?;
                let reference = ReferenceFile {
                    key: fetched.object.key.clone(),
                    columns: inferred.file_columns,
                    dialect: inferred.dialect,
                    evidence: inferred.evidence.clone(),
                };
                let schema = if rules.columns.is_some() { declared } else { inferred.schema };
                (schema, Vec::new(), reference, inferred.evidence)
            }
        };
        let mut planner = Planner::new(schema, added, Some(&reference), rules.evolution);
        let plan = planner.plan(&fetched.object.key, &shape);
        let (schema, added) = planner.finish();
        let preview = Preview {
            object: fetched.object.clone(),
            format: fetched.format,
            dialect,
            schema: schema.clone(),
            evidence,
            causes: plan.causes.clone(),
            blocks: Vec::new(),
        };
        Ok(Self { preview, base: Base { schema, added, reference }, plan: Arc::new(plan), shape })
    }

    /// The first rows.
    pub(super) fn first_blocks(&self, fetched: &Fetched, now: Timestamp) -> Result<Vec<Block>, Failure> {
        let sample = match &fetched.content {
            Content::Parquet(file) => {
                let first = self.parquet_rows(file, now, PARQUET_ROWS, PARQUET_BLOCK_BYTES)?.next();
                return first.into_iter().collect();
            }
            Content::Text(sample) => sample,
        };
        let mut blocks = Vec::new();
        let Some(TextRows { mut splitter, decoder, body_offset }) = self.text_rows(sample, now)? else {
            return Ok(blocks);
        };
        splitter.push(sample.head.slice(body_offset..));
        while let Some(raw) = splitter.next_block(BLOCK_BYTES)? {
            blocks.push(decoder.decode(&raw)?);
        }
        // The last record of a sample may be cut; that of a whole file is not.
        if sample.whole_file
            && let Some(raw) = splitter.finish()?
        {
            blocks.push(decoder.decode(&raw)?);
        }
        Ok(blocks)
    }

    /// The rows of a Parquet file.
    ///
    /// # Errors
    /// As [`ParquetFile::blocks`].
    pub fn parquet_rows(
        &self,
        file: &ParquetFile,
        now: Timestamp,
        rows: usize,
        bytes: usize,
    ) -> Result<ParquetBlocks, Failure> {
        file.blocks(Arc::new(self.preview.schema.clone()), Arc::clone(&self.plan), now, rows, bytes)
    }

    /// What reads the rows of a file of text; `None` if the header does not end within the sample.
    ///
    /// # Errors
    /// Those of the header.
    pub fn text_rows(&self, sample: &Sample, now: Timestamp) -> Result<Option<TextRows>, Failure> {
        let (schema, plan) = (Arc::new(self.preview.schema.clone()), Arc::clone(&self.plan));
        let Some(dialect) = &self.preview.dialect else {
            let names: Arc<[String]> = self.shape.names().into();
            let splitter = TextSplitter::Ndjson(LineSplitter::new(schema.columns.len()));
            let decoder = TextDecoder::Ndjson(NdjsonDecoder::new(schema, plan, names, now));
            return Ok(Some(TextRows { splitter, decoder, body_offset: 0 }));
        };
        let options = CsvOptions::new(dialect.clone());
        let Some(header) = read_header(&sample.head, sample.whole_file, &options)? else { return Ok(None) };
        let splitter = TextSplitter::Csv(Splitter::after_header(&options, &header));
        let decoder = TextDecoder::Csv(CsvDecoder::new(schema, plan, &options, now));
        Ok(Some(TextRows { splitter, decoder, body_offset: header.body_offset }))
    }
}

fn text_columns(
    sample: &Sample,
    format: Format,
    rules: &Rules,
    base: Option<&Base>,
    known: &TableSchema,
) -> Result<Columns, Failure> {
    if format != Format::Csv {
        let inferred = if base.is_none() { Some(ndjson::infer(sample)?) } else { None };
        return Ok(Columns { shape: ndjson::shape_for(sample, known)?, dialect: None, inferred });
    }
    // The dialect is that of the reference file, once there is one.
    if let Some(dialect) = base.and_then(|base| base.reference.dialect.clone()) {
        return Ok(Columns { shape: infer::csv_shape(sample, &dialect)?, dialect: Some(dialect), inferred: None });
    }
    let mut settings = rules.csv.clone();
    if rules.columns.is_some() {
        settings.header.get_or_insert(true);
    }
    let inferred = infer::csv(sample, &settings)?;
    let dialect = inferred.dialect.clone().unwrap_or_default();
    Ok(Columns { shape: infer::csv_shape(sample, &dialect)?, dialect: Some(dialect), inferred: Some(inferred) })
}

fn parquet_columns(file: &ParquetFile, base: Option<&Base>, known: &TableSchema) -> Result<Columns, Failure> {
    let inferred = if base.is_none() { Some(file.infer()?) } else { None };
    Ok(Columns { shape: file.shape_for(known), dialect: None, inferred })
}

/// The bytes behind a position of a stream of pieces.
pub(crate) fn behind(skip: &mut usize, bytes: Bytes) -> Bytes {
    let cut = (*skip).min(bytes.len());
    *skip -= cut;
    bytes.slice(cut..)
}
