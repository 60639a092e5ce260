//! A look at one file, at what a sync would look at before it reads it: its head and pieces, or its footer. Of a small
//! Parquet file all of it, so that rows can be decoded.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use connector_core::block::Block;
use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::error::Failure;
use connector_core::evolve::{FilePlan, FileShape};
use connector_core::object::{ListedObject, ObjectRef};
use connector_core::ports::ObjectSource;
use connector_core::schema::TableSchema;
use connector_core::spec::Format;
use connector_decode::compress::Compression;
use connector_decode::csv::{CsvDecoder, CsvOptions, Splitter, read_header};
use connector_decode::infer::{self, Inferred, PACKED_HEAD_BYTES, Sample, sample_ranges, unpacked_sample};
use connector_decode::ndjson::{self, LineSplitter, NdjsonDecoder};
use connector_decode::parquet::{ParquetFile, ParquetSource};
use connector_decode::spool::Spool;
use connector_decode::text::{TextDecoder, TextSplitter};
use futures::future::try_join_all;
use jiff::Timestamp;

/// A Parquet file up to this size is fetched whole.
const WHOLE_PARQUET_BYTES: u64 = 4 << 20;
/// Bytes of a larger one's end; most footers are smaller.
const TAIL_BYTES: u64 = 256 << 10;
/// No footer has more.
const MAX_FOOTER_BYTES: u64 = 16 << 20;
const PARQUET_MAGIC: &[u8] = b"PAR1";
/// Bytes of a block of text: what stands behind the last whole one of a larger file's head is not decoded.
const BLOCK_BYTES: usize = 64 << 10;
/// Rows of a Parquet file that are decoded at most, and their bytes.
const PARQUET_ROWS: usize = 10_000;
const PARQUET_BLOCK_BYTES: usize = 4 << 20;

/// What was seen of a file.
pub(super) enum Content {
    Text { sample: Sample, format: Format },
    Parquet { file: ParquetFile, whole: bool },
}

/// Fetches, and counts.
pub(super) struct Looker<'a> {
    pub(super) source: &'a dyn ObjectSource,
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Looker<'a> {
    pub(super) fn new(source: &'a dyn ObjectSource) -> Self {
        Self { source, requests: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// GET requests and bytes so far.
    pub(super) fn used(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    async fn range(&self, object: &ObjectRef, range: Range<u64>) -> Result<Bytes, Failure> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let bytes = self.source.read_range(object, range).await?;
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// # Errors
    /// Those of reading; `Data` if the file is not readable as what it is.
    pub(super) async fn look(&self, object: &ObjectRef, format: Format) -> Result<Content, Failure> {
        if format == Format::Parquet {
            return self.parquet(object).await;
        }
        let (range, pieces) = sample_ranges(object.size);
        let known = range.end;
        let head = self.range(object, range).await?;
        // The bytes decide, as they do in a sync.
        if head.starts_with(PARQUET_MAGIC) && object.size > 8 {
            let end = self.range(object, object.size - PARQUET_MAGIC.len() as u64..object.size).await?;
            if &*end == PARQUET_MAGIC {
                return self.parquet(object).await;
            }
        }
        let sample = match Compression::of_magic(&head) {
            None => {
                let whole_file = pieces.is_empty();
                let pieces = try_join_all(pieces.into_iter().map(|range| self.range(object, range))).await?;
                Sample { head, whole_file, pieces }
            }
            Some(compression) => {
                let wanted = object.size.min(PACKED_HEAD_BYTES);
                let more = if known < wanted { self.range(object, known..wanted).await? } else { Bytes::new() };
                unpacked_sample(compression, [head, more], known.max(wanted) == object.size)?
            }
        };
        Ok(Content::Text { sample, format })
    }

    async fn parquet(&self, object: &ObjectRef) -> Result<Content, Failure> {
        if object.size <= WHOLE_PARQUET_BYTES {
            let bytes = self.range(object, 0..object.size).await?;
            return Ok(Content::Parquet { file: ParquetFile::open(ParquetSource::Bytes(bytes))?, whole: true });
        }
        let mut length = TAIL_BYTES;
        let mut tail = self.range(object, object.size - length..object.size).await?;
        if let Some(footer) = footer_bytes(&tail).filter(|footer| (length..=MAX_FOOTER_BYTES).contains(footer)) {
            length = footer.min(object.size);
            tail = self.range(object, object.size - length..object.size).await?;
        }
        // Everything but its end is a hole in an unlinked file.
        let spool = Spool::create(&std::env::temp_dir())?;
        spool.write_at(0, PARQUET_MAGIC)?;
        spool.write_at(object.size - length, &tail)?;
        let file = ParquetFile::open(ParquetSource::File(spool.into_file(), object.size))?;
        Ok(Content::Parquet { file, whole: false })
    }
}

/// An object version that can be read. Nobody refers to it by its id: a plan has no batch.
pub(super) fn object_ref(bucket: &str, object: &ListedObject) -> ObjectRef {
    ObjectRef {
        id: connector_core::ids::ObjectVersionId([0; 16]),
        bucket: bucket.into(),
        key: object.key.as_str().into(),
        etag: object.etag.as_str().into(),
        size: object.size,
        last_modified: object.last_modified,
        attempts: 0,
        suspect: false,
        strikes: 0,
    }
}

/// How long the footer says it is, with its length field and magic.
fn footer_bytes(tail: &[u8]) -> Option<u64> {
    let (_, end) = tail.split_at_checked(tail.len().checked_sub(8)?)?;
    Some(u64::from(u32::from_le_bytes(end[..4].try_into().ok()?)) + 8)
}

/// Whether a CSV file holds nothing but line ends. Such a file has no rows, and nothing is wrong with it.
fn is_without_records(failure: &Failure) -> bool {
    failure.code == "no_header"
}

impl Content {
    /// The columns that a new table would get of it.
    ///
    /// # Errors
    /// `Data` if they cannot be told.
    pub(super) fn infer(&self, settings: &CsvSettings) -> Result<Inferred, Failure> {
        match self {
            Self::Text { sample, format: Format::Ndjson } => ndjson::infer(sample),
            Self::Text { sample, .. } => infer::csv(sample, settings),
            Self::Parquet { file, .. } => file.infer(),
        }
    }

    /// What it brings to a table.
    ///
    /// # Errors
    /// `Data` if it is not readable.
    pub(super) fn shape(&self, dialect: &CsvDialect, schema: &TableSchema) -> Result<FileShape, Failure> {
        match self {
            Self::Text { sample, format: Format::Ndjson } => ndjson::shape_for(sample, schema),
            Self::Text { sample, .. } => match infer::csv_shape(sample, dialect) {
                Err(failure) if is_without_records(&failure) && sample.whole_file => {
                    Ok(FileShape { columns: Vec::new(), has_header: false })
                }
                shape => shape,
            },
            Self::Parquet { file, .. } => Ok(file.shape_for(schema)),
        }
    }

    /// Rows as they would land, and whether these are all rows of the file.
    ///
    /// # Errors
    /// `Data` if they cannot be decoded.
    pub(super) fn rows(
        &self,
        schema: Arc<TableSchema>,
        plan: FilePlan,
        dialect: &CsvDialect,
        reference: Arc<[String]>,
        now: Timestamp,
    ) -> Result<(Vec<Block>, bool), Failure> {
        let plan = Arc::new(plan);
        let (sample, splitter, decoder, body) = match self {
            Self::Parquet { whole: false, .. } => return Ok((Vec::new(), false)),
            Self::Parquet { file, .. } => {
                let mut blocks = file.blocks(schema, plan, now, PARQUET_ROWS, PARQUET_BLOCK_BYTES)?;
                let first: Vec<Block> = blocks.next().transpose()?.into_iter().collect();
                let decoded: u64 = first.iter().map(|block| block.records).sum();
                return Ok((first, decoded == file.num_rows()));
            }
            Self::Text { sample, format: Format::Ndjson } => {
                let splitter = TextSplitter::Ndjson(LineSplitter::new(schema.columns.len()));
                let decoder = TextDecoder::Ndjson(NdjsonDecoder::new(schema, plan, reference, now));
                (sample, splitter, decoder, sample.head.clone())
            }
            Self::Text { sample, .. } => {
                let options = CsvOptions::new(dialect.clone());
                let header = match read_header(&sample.head, sample.whole_file, &options) {
                    Err(failure) if is_without_records(&failure) && sample.whole_file => return Ok((Vec::new(), true)),
                    header => header?,
                };
                let Some(header) = header else { return Ok((Vec::new(), false)) };
                let splitter = Splitter::after_header(&options, &header).for_columns(schema.columns.len());
                let decoder = TextDecoder::Csv(CsvDecoder::new(schema, plan, &options, now));
                (sample, TextSplitter::Csv(splitter), decoder, sample.head.slice(header.body_offset..))
            }
        };
        let blocks = decode(splitter, &decoder, body, sample.whole_file)?;
        Ok((blocks, sample.whole_file))
    }
}

fn decode(
    mut splitter: TextSplitter,
    decoder: &TextDecoder,
    body: Bytes,
    whole_file: bool,
) -> Result<Vec<Block>, Failure> {
    let mut blocks = Vec::new();
    splitter.push(body);
    while let Some(raw) = splitter.next_block(BLOCK_BYTES)? {
        blocks.push(decoder.decode(&raw)?);
    }
    // The last record of a sample may be cut; that of a whole file is not.
    if whole_file && let Some(raw) = splitter.finish()? {
        blocks.push(decoder.decode(&raw)?);
    }
    Ok(blocks)
}
