//! Decoding a file from its first byte to its last with the code that imports use, and dropping the rows: first what is
//! done to find out its columns, then its records.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use connector_actors::decoder::probe::ProbeJob;
use connector_core::csv::CsvDialect;
use connector_core::error::Failure;
use connector_core::evolve::{EvolutionRules, FilePlan, FileShape, Planner};
use connector_core::schema::TableSchema;
use connector_core::spec::Format;
use connector_decode::compress::{Compression, DecompressionLimits, Decompressor};
use connector_decode::csv::{CsvDecoder, CsvOptions, Splitter, read_header};
use connector_decode::infer::{self, PACKED_HEAD_BYTES, Sample, sample_ranges, unpacked_sample};
use connector_decode::ndjson::{self, LineSplitter, NdjsonDecoder};
use connector_decode::parquet::{ParquetFile, ParquetSource};
use connector_decode::text::{TextDecoder, TextSplitter};
use jiff::Timestamp;

/// Bytes of text that are read, decompressed and decoded at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Rows and bytes of one block of a Parquet file, as imports take them at most.
const BLOCK_ROWS: usize = 65_536;
const BLOCK_BYTES: usize = 16 << 20;
/// More than the longest magic number.
const MAGIC_BYTES: u64 = 8;
/// What a Parquet file begins and ends with.
const PARQUET_MAGIC: &[u8] = b"PAR1";

/// What was in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: u64,
    pub rejected: u64,
}

/// Decodes the whole file. `piece` is called for each piece that is decoded.
///
/// # Errors
/// What an import would say of it.
pub fn decode(job: &ProbeJob, file: &Arc<File>, piece: &mut dyn FnMut()) -> Result<Counts, Failure> {
    let head = read(file, 0..job.size.min(MAGIC_BYTES))?;
    let tail = read(file, job.size.saturating_sub(PARQUET_MAGIC.len() as u64)..job.size)?;
    let looks_like_parquet = job.size > MAGIC_BYTES && head.starts_with(PARQUET_MAGIC) && tail == PARQUET_MAGIC;
    if job.format == Format::Parquet || looks_like_parquet {
        parquet(job, file, piece)
    } else {
        text(job, file, Compression::of_magic(&head), piece)
    }
}

fn read(file: &File, range: Range<u64>) -> Result<Bytes, Failure> {
    let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, range.start)
        .map_err(|error| Failure::transient("spool_failed", format!("cannot read the file: {error}")))?;
    Ok(bytes.into())
}

/// The schema that the job names, else the one that the file shows; and how the file is read by it.
fn plan(job: &ProbeJob, inferred: Option<TableSchema>, shape: &FileShape) -> (Arc<TableSchema>, Arc<FilePlan>) {
    let schema = job.schema.as_deref().cloned().or(inferred).unwrap_or(TableSchema::new(Vec::new()));
    let mut planner = Planner::new(schema, Vec::new(), None, EvolutionRules::default());
    let mut plan = planner.plan("", shape);
    let (schema, _) = planner.finish();
    plan.bound.widen(schema.columns.len());
    (Arc::new(schema), Arc::new(plan))
}

fn parquet(job: &ProbeJob, file: &Arc<File>, piece: &mut dyn FnMut()) -> Result<Counts, Failure> {
    let file = ParquetFile::open(ParquetSource::File(Arc::clone(file), job.size))?;
    // An import may say of these what it likes: here they only have to come to an end.
    let inferred = file.infer().ok().map(|inferred| inferred.schema);
    let declared = job.schema.as_deref().cloned().unwrap_or(TableSchema::new(Vec::new()));
    let (schema, plan) = plan(job, inferred, &file.shape_for(&declared));
    let mut counts = Counts::default();
    for block in file.blocks(schema, plan, Timestamp::UNIX_EPOCH, BLOCK_ROWS, BLOCK_BYTES)? {
        counts.add(&block?);
        piece();
    }
    Ok(counts)
}

impl Counts {
    fn add(&mut self, block: &connector_core::block::Block) {
        self.records += block.records;
        self.rejected += block.rejected.len() as u64;
    }
}

fn text(
    job: &ProbeJob,
    file: &File,
    compression: Option<Compression>,
    piece: &mut dyn FnMut(),
) -> Result<Counts, Failure> {
    let sample = sample(job, file, compression)?;
    let (inferred, shape, dialect) = match job.format {
        Format::Ndjson => {
            let declared = job.schema.as_deref().cloned().unwrap_or(TableSchema::new(Vec::new()));
            (ndjson::infer(&sample).ok(), ndjson::shape_for(&sample, &declared)?, None)
        }
        _ => {
            let inferred = infer::csv(&sample, &job.csv).ok();
            let found = inferred.as_ref().and_then(|inferred| inferred.dialect.clone());
            let dialect: CsvDialect = job.csv.over(found.unwrap_or_default());
            (inferred, infer::csv_shape(&sample, &dialect)?, Some(dialect))
        }
    };
    let (schema, plan) = plan(job, inferred.map(|inferred| inferred.schema), &shape);
    let mut records = Records::new(schema, plan, dialect, &shape);
    let mut decompressor = compression.map(|one| Decompressor::new(one, DecompressionLimits::default()));
    let mut start = 0;
    while start < job.size {
        let end = job.size.min(start + PIECE_BYTES as u64);
        let bytes = read(file, start..end)?;
        match decompressor.as_mut() {
            None => records.push(bytes, piece)?,
            Some(decompressor) => {
                decompressor.push(bytes);
                while let Some(bytes) = decompressor.next(PIECE_BYTES)? {
                    records.push(bytes, piece)?;
                }
            }
        }
        start = end;
    }
    decompressor.map_or(Ok(()), Decompressor::finish)?;
    records.finish(piece)
}

/// What an import would look at to know the columns.
fn sample(job: &ProbeJob, file: &File, compression: Option<Compression>) -> Result<Sample, Failure> {
    let Some(compression) = compression else {
        let (head, pieces) = sample_ranges(job.size);
        let whole_file = pieces.is_empty();
        let pieces = pieces.into_iter().map(|range| read(file, range)).collect::<Result<_, _>>()?;
        return Ok(Sample { head: read(file, head)?, whole_file, pieces });
    };
    let length = job.size.min(PACKED_HEAD_BYTES);
    unpacked_sample(compression, [read(file, 0..length)?, Bytes::new()], length == job.size)
}

/// The records of a file of text, as they come.
struct Records {
    splitter: Option<TextSplitter>,
    decoder: TextDecoder,
    /// Of a CSV file whose header is not complete yet: what came so far.
    head: Option<(CsvOptions, Vec<u8>)>,
    columns: usize,
    counts: Counts,
}

impl Records {
    fn new(schema: Arc<TableSchema>, plan: Arc<FilePlan>, dialect: Option<CsvDialect>, shape: &FileShape) -> Self {
        let (columns, now, counts) = (schema.columns.len(), Timestamp::UNIX_EPOCH, Counts::default());
        match dialect {
            None => {
                let splitter = Some(TextSplitter::Ndjson(LineSplitter::new(columns)));
                let decoder = TextDecoder::Ndjson(NdjsonDecoder::new(schema, plan, shape.names().into(), now));
                Self { splitter, decoder, head: None, columns, counts }
            }
            Some(dialect) => {
                let options = CsvOptions::new(dialect);
                let decoder = TextDecoder::Csv(CsvDecoder::new(schema, plan, &options, now));
                Self { splitter: None, decoder, head: Some((options, Vec::new())), columns, counts }
            }
        }
    }

    fn push(&mut self, bytes: Bytes, piece: &mut dyn FnMut()) -> Result<(), Failure> {
        let Some(body) = self.behind_header(bytes, false)? else { return Ok(()) };
        let Some(splitter) = self.splitter.as_mut() else { return Ok(()) };
        splitter.push(body);
        while let Some(raw) = splitter.next_block(PIECE_BYTES)? {
            self.counts.add(&self.decoder.decode(&raw)?);
            piece();
        }
        Ok(())
    }

    /// What follows the header; `None` while it is not complete.
    fn behind_header(&mut self, bytes: Bytes, whole_file: bool) -> Result<Option<Bytes>, Failure> {
        let Some((options, mut head)) = self.head.take() else { return Ok(Some(bytes)) };
        head.extend_from_slice(&bytes);
        let Some(header) = read_header(&head, whole_file, &options)? else {
            self.head = Some((options, head));
            return Ok(None);
        };
        self.splitter = Some(TextSplitter::Csv(Splitter::after_header(&options, &header).for_columns(self.columns)));
        Ok(Some(Bytes::from(head).slice(header.body_offset..)))
    }

    fn finish(mut self, piece: &mut dyn FnMut()) -> Result<Counts, Failure> {
        if self.head.is_some()
            && let Some(body) = self.behind_header(Bytes::new(), true)?
        {
            self.push(body, piece)?;
        }
        if let Some(raw) = self.splitter.take().map_or(Ok(None), TextSplitter::finish)? {
            self.counts.add(&self.decoder.decode(&raw)?);
        }
        Ok(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use connector_core::csv::CsvSettings;
    use connector_core::schema::Column;
    use connector_core::types::ColumnType;
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn decoded(format: Format, schema: Option<TableSchema>, bytes: &[u8]) -> Result<(u64, u64), &'static str> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("writes");
        let (size, schema) = (bytes.len() as u64, schema.map(Arc::new));
        let job = ProbeJob { size, format, csv: CsvSettings::default(), schema, memory: 1 << 30 };
        let counts = decode(&job, &Arc::new(file), &mut || {}).map_err(|failure| failure.code)?;
        Ok((counts.records, counts.rejected))
    }

    #[test]
    fn case_15_what_is_small_as_stored_and_large_when_unpacked_tells_that_it_gets_on() {
        let text =
            b"a\n".iter().copied().chain(std::iter::repeat_n(*b"1234567\n", 2 << 20).flatten()).collect::<Vec<u8>>();
        let packed = gzip(&text);
        assert!(packed.len() < PIECE_BYTES, "{} bytes", packed.len());
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&packed).expect("writes");
        let (size, csv) = (packed.len() as u64, CsvSettings::default());
        let job = ProbeJob { size, format: Format::Csv, csv, schema: None, memory: 1 << 30 };
        let mut pieces = 0;
        let counts = decode(&job, &Arc::new(file), &mut || pieces += 1).expect("decodes");
        assert_eq!(counts.records, 2 << 20);
        assert!(pieces >= 15, "{pieces} pieces of 16 MiB");
    }

    fn numbers() -> TableSchema {
        TableSchema::new(vec![Column::required("a", ColumnType::Int64)])
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("packs");
        encoder.finish().expect("packs")
    }

    /// Larger than a piece, with a bad row in the middle and no line end.
    fn csv() -> Vec<u8> {
        let mut text = String::from("a,b\n");
        (0..200_000).for_each(|n| text.push_str(&format!("{n},text {n}\n")));
        (text + "x,y\n7,z").into_bytes()
    }

    #[test]
    fn every_record_of_a_file_of_text_is_decoded_packed_or_not() {
        for bytes in [csv(), gzip(&csv())] {
            assert_eq!(decoded(Format::Csv, Some(numbers()), &bytes), Ok((200_002, 1)));
        }
        // Without a schema the file's own sample decides, in which 'x' is, too.
        assert_eq!(decoded(Format::Csv, None, &csv()).map(|(records, _)| records), Ok(200_002));
        let lines = b"{\"a\": 1}\n{\"a\": \"x\"}\n{\"a\": 3, \"b\": [1]}";
        for bytes in [lines.to_vec(), gzip(lines)] {
            assert_eq!(decoded(Format::Ndjson, Some(numbers()), &bytes), Ok((3, 1)));
        }
        assert_eq!(decoded(Format::Csv, Some(numbers()), b"a\n1"), Ok((1, 0)));
        assert_eq!(decoded(Format::Ndjson, None, b"{}"), Ok((1, 0)));
    }

    #[test]
    fn every_row_of_a_parquet_file_is_decoded_whatever_its_name() {
        let values: ArrayRef = Arc::new((0..100_000).collect::<Int64Array>());
        let rows = RecordBatch::try_from_iter([("a", values)]).expect("rows");
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).expect("a writer");
        writer.write(&rows).expect("writes");
        let bytes = writer.into_inner().expect("a file");
        for format in [Format::Parquet, Format::Csv] {
            for schema in [None, Some(numbers())] {
                assert_eq!(decoded(format, schema, &bytes), Ok((100_000, 0)));
            }
        }
        assert_eq!(decoded(Format::Csv, None, b"PAR1,b\n1,2\n"), Ok((1, 0)));
    }

    #[test]
    fn what_an_import_would_refuse_is_refused_with_the_same_code() {
        let packed = gzip(&csv());
        assert_eq!(decoded(Format::Csv, None, &packed[..packed.len() - 1]), Err("corrupt_compression"));
        assert_eq!(decoded(Format::Csv, None, b"\xFF\xFEa\0"), Err("encoding"));
        assert_eq!(decoded(Format::Parquet, None, b"a,b\n"), Err("bad_footer"));
        assert_eq!(decoded(Format::Csv, None, b"\n\n"), Err("no_header"));
    }
}
