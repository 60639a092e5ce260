//! A look at one file of an import, as its rows would land: nothing is imported, and nothing is remembered.

use std::sync::Arc;

use bytes::Bytes;
use connector_core::block::Block;
use connector_core::csv::CsvDialect;
use connector_core::error::Failure;
use connector_core::evolve::{FileCause, FileShape, Planner};
use connector_core::ids::{ImportUuid, ObjectVersionId};
use connector_core::object::{ListedObject, ObjectRef, SkipReason};
use connector_core::ports::{ColumnEvidence, ObjectSource, ReferenceFile};
use connector_core::schema::TableSchema;
use connector_core::spec::{Format, ImportSpec};
use connector_decode::compress::Compression;
use connector_decode::csv::{CsvDecoder, CsvOptions, Splitter, read_header};
use connector_decode::infer::{self, Inferred, PACKED_HEAD_BYTES, Sample, sample_ranges, unpacked_sample};
use connector_decode::ndjson::{self, LineSplitter, NdjsonDecoder};
use connector_decode::parquet::{ParquetFile, ParquetSource};
use connector_decode::text::{TextDecoder, TextSplitter};
use jiff::Timestamp;

/// Bytes of a block of rows: what stands behind the last whole block of a larger file's head is not shown.
const BLOCK_BYTES: usize = 4 << 10;
/// Bytes of a block of rows of a Parquet file.
const PARQUET_BLOCK_BYTES: usize = 4 << 20;
/// A Parquet file is fetched whole.
const MAX_PARQUET_BYTES: u64 = 256 << 20;
/// List pages that are looked at for the oldest file.
const MAX_PAGES: usize = 20;

/// What a file looks like.
#[derive(Debug)]
pub struct Preview {
    pub object: ListedObject,
    pub format: Format,
    /// How it is written; CSV only.
    pub dialect: Option<CsvDialect>,
    /// The schema that its rows would have: declared, else inferred.
    pub schema: TableSchema,
    pub evidence: Vec<ColumnEvidence>,
    /// Why none of its rows would land in the table.
    pub causes: Vec<FileCause>,
    /// The first rows, good and bad.
    pub blocks: Vec<Block>,
}

/// Looks at the file with this key, else at the oldest one that matches.
///
/// # Errors
/// If nothing matches, S3 refuses, or the file cannot be read.
pub async fn preview(
    spec: &ImportSpec,
    source: &dyn ObjectSource,
    key: Option<&str>,
    now: Timestamp,
) -> Result<Preview, Failure> {
    let object = find(spec, source, key).await?;
    let format = spec.format_of(&object.key).ok_or_else(|| {
        let message = format!("neither IMPORT_FORMAT nor the suffix of '{}' tells its format", object.key);
        Failure::config("unknown_format", message)
    })?;
    match format {
        Format::Parquet => parquet(spec, source, object, now).await,
        Format::Csv | Format::Ndjson => text(spec, source, object, format, now).await,
    }
}

async fn find(spec: &ImportSpec, source: &dyn ObjectSource, key: Option<&str>) -> Result<ListedObject, Failure> {
    let mut found: Option<ListedObject> = None;
    let mut continuation = None;
    let prefix = key.unwrap_or_else(|| spec.uri.literal_prefix());
    for _ in 0..MAX_PAGES {
        let page = source.list_page(prefix, continuation.as_deref()).await?;
        for object in page.objects {
            let wanted = match key {
                Some(key) => object.key == key,
                None => {
                    spec.selects(&object.key, object.last_modified)
                        && SkipReason::of_listing(&object.key, object.size).is_none()
                        && spec.format_of(&object.key).is_some()
                }
            };
            let older = found
                .as_ref()
                .is_none_or(|found| (object.last_modified, &object.key) < (found.last_modified, &found.key));
            if wanted && older {
                found = Some(object);
            }
        }
        continuation = page.next;
        if continuation.is_none() {
            break;
        }
    }
    found.ok_or_else(|| {
        let message = match key {
            Some(key) => format!("there is no object '{key}' in the bucket {}", spec.uri.bucket()),
            None => format!("no file matches {}", spec.uri.as_str()),
        };
        Failure::config("no_file", message)
    })
}

fn object_ref(spec: &ImportSpec, object: &ListedObject) -> ObjectRef {
    ObjectRef {
        // Nobody refers to it: a preview has no import.
        id: ObjectVersionId::of(ImportUuid::mint(), spec.uri.bucket(), &object.key, &object.etag, object.size),
        bucket: spec.uri.bucket().into(),
        key: object.key.as_str().into(),
        etag: object.etag.as_str().into(),
        size: object.size,
        last_modified: object.last_modified,
        attempts: 0,
        suspect: false,
        strikes: 0,
    }
}

async fn text(
    spec: &ImportSpec,
    source: &dyn ObjectSource,
    object: ListedObject,
    format: Format,
    now: Timestamp,
) -> Result<Preview, Failure> {
    let sample = sample_of(source, &object_ref(spec, &object)).await?;
    let (head, whole_file) = (sample.head.clone(), sample.whole_file);
    let inferred = match format {
        Format::Csv => {
            let mut settings = spec.csv.clone();
            if spec.columns.is_some() {
                settings.header.get_or_insert(true);
            }
            infer::csv(&sample, &settings)?
        }
        _ => ndjson::infer(&sample)?,
    };
    let dialect = inferred.dialect.clone();
    let shape = match &dialect {
        Some(dialect) => infer::csv_shape(&sample, dialect)?,
        None => ndjson::shape_for(&sample, &TableSchema::new(spec.columns.clone().unwrap_or_default()))?,
    };
    let mut preview = planned(spec, object, format, inferred, &shape);
    let plan = Arc::new(preview.1);
    let schema = Arc::new(preview.0.schema.clone());
    let (mut splitter, decoder, body) = match dialect {
        Some(dialect) => {
            let options = CsvOptions::new(dialect);
            let Some(header) = read_header(&head, whole_file, &options)? else { return Ok(preview.0) };
            let decoder = CsvDecoder::new(schema, plan, &options, now);
            let body = head.slice(header.body_offset..);
            (TextSplitter::Csv(Splitter::after_header(&options, &header)), TextDecoder::Csv(decoder), body)
        }
        None => {
            let names: Arc<[String]> = shape.names().into();
            let decoder = NdjsonDecoder::new(schema, plan, names, now);
            (
                TextSplitter::Ndjson(LineSplitter::new(preview.0.schema.columns.len())),
                TextDecoder::Ndjson(decoder),
                head,
            )
        }
    };
    splitter.push(body);
    while let Some(raw) = splitter.next_block(BLOCK_BYTES)? {
        preview.0.blocks.push(decoder.decode(&raw)?);
    }
    // The last record of a sample may be cut; that of a whole file is not.
    if whole_file && let Some(raw) = splitter.finish()? {
        preview.0.blocks.push(decoder.decode(&raw)?);
    }
    Ok(preview.0)
}

/// The sample of a file of text that its import would take.
async fn sample_of(source: &dyn ObjectSource, object: &ObjectRef) -> Result<Sample, Failure> {
    let size = object.size;
    let (range, pieces) = sample_ranges(size);
    let known = range.end;
    let head = source.read_range(object, range).await?;
    let Some(compression) = Compression::of_magic(&head) else {
        let whole_file = pieces.is_empty();
        let pieces = pieces.into_iter().map(|range| source.read_range(object, range));
        return Ok(Sample { head, whole_file, pieces: futures::future::try_join_all(pieces).await? });
    };
    let wanted = size.min(PACKED_HEAD_BYTES);
    let more = if known < wanted { source.read_range(object, known..wanted).await? } else { Bytes::new() };
    unpacked_sample(compression, [head, more], known.max(wanted) == size)
}

async fn parquet(
    spec: &ImportSpec,
    source: &dyn ObjectSource,
    object: ListedObject,
    now: Timestamp,
) -> Result<Preview, Failure> {
    if object.size > MAX_PARQUET_BYTES {
        let message = format!(
            "'{}' has {} bytes; a preview reads Parquet files of up to {MAX_PARQUET_BYTES} bytes, so name a smaller \
             one with --file",
            object.key, object.size
        );
        return Err(Failure::config("file_too_large", message));
    }
    let bytes = source.read_range(&object_ref(spec, &object), 0..object.size).await?;
    let file = ParquetFile::open(ParquetSource::Bytes(bytes))?;
    let declared = TableSchema::new(spec.columns.clone().unwrap_or_default());
    let shape = file.shape_for(&declared);
    let (mut preview, plan) = planned(spec, object, Format::Parquet, file.infer()?, &shape);
    let schema = Arc::new(preview.schema.clone());
    const ROWS: usize = 100;
    if let Some(block) = file.blocks(schema, Arc::new(plan), now, ROWS, PARQUET_BLOCK_BYTES)?.next() {
        preview.blocks.push(block?);
    }
    Ok(preview)
}

/// What the file would do as the first one of its import.
fn planned(
    spec: &ImportSpec,
    object: ListedObject,
    format: Format,
    inferred: Inferred,
    shape: &FileShape,
) -> (Preview, connector_core::evolve::FilePlan) {
    let Inferred { schema, file_columns, dialect, evidence } = inferred;
    let schema = match &spec.columns {
        Some(columns) => TableSchema { columns: columns.clone(), partition: spec.partition.clone() },
        None => schema,
    };
    let reference = ReferenceFile {
        key: object.key.clone(),
        columns: file_columns,
        dialect: dialect.clone(),
        evidence: evidence.clone(),
    };
    let mut planner = Planner::new(schema.clone(), Vec::new(), Some(&reference), spec.evolution);
    let plan = planner.plan(&object.key, shape);
    let causes = plan.causes.clone();
    (Preview { object, format, dialect, schema, evidence, causes, blocks: Vec::new() }, plan)
}
