//! A look at files of an import, as their rows would land: nothing is imported, and nothing is remembered.
//!
//! | module | what it does |
//! |---|---|
//! | `find` | which objects a pattern means |
//! | `local` | files of this machine in place of objects |
//! | `open` | what a file would do to the table, and its rows |
//!
//! Several files are looked at one after the other, as an import would take them: the first one decides what is not
//! declared, the columns that a file brings are there for the next one.

mod find;
mod local;
mod open;

use bytes::Bytes;
use connector_core::block::Block;
use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::error::Failure;
use connector_core::evolve::{EvolutionRules, FileCause};
use connector_core::ids::{ImportUuid, ObjectVersionId};
use connector_core::object::{ListedObject, ObjectRef};
use connector_core::ports::{AddedColumn, ColumnEvidence, ObjectSource, ReferenceFile};
use connector_core::schema::{Column, TableSchema};
use connector_core::spec::{Format, ImportSpec};
use connector_decode::compress::Compression;
use connector_decode::infer::{PACKED_HEAD_BYTES, Sample, sample_ranges, unpacked_sample};
use connector_decode::parquet::{ParquetFile, ParquetSource};
use jiff::Timestamp;

pub use find::{Matches, Selection, Which};
pub use local::LocalFile;
pub(crate) use open::behind;
pub use open::{Opened, TextRows};

/// A Parquet file of a bucket is fetched whole.
const MAX_PARQUET_BYTES: u64 = 256 << 20;

/// What a file looks like.
#[derive(Debug)]
pub struct Preview {
    pub object: ListedObject,
    pub format: Format,
    /// How it is written; CSV only.
    pub dialect: Option<CsvDialect>,
    /// The schema that its rows would have: declared, else inferred, with the columns that it brings.
    pub schema: TableSchema,
    /// Of the file that decides the columns, and of no other.
    pub evidence: Vec<ColumnEvidence>,
    /// Why none of its rows would land in the table.
    pub causes: Vec<FileCause>,
    /// The first rows, good and bad.
    pub blocks: Vec<Block>,
}

/// What the configuration says of files.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// SCHEMA.
    pub columns: Option<Vec<Column>>,
    pub partition: Option<String>,
    pub csv: CsvSettings,
    pub evolution: EvolutionRules,
}

impl From<&ImportSpec> for Rules {
    fn from(spec: &ImportSpec) -> Self {
        Self {
            columns: spec.columns.clone(),
            partition: spec.partition.clone(),
            csv: spec.csv.clone(),
            evolution: spec.evolution,
        }
    }
}

impl From<&ImportSpec> for Selection {
    fn from(spec: &ImportSpec) -> Self {
        Self { uri: spec.uri.clone(), format: spec.format, import: Some(spec.clone()) }
    }
}

/// What the files before have decided.
#[derive(Clone, Debug)]
pub struct Base {
    pub schema: TableSchema,
    pub added: Vec<AddedColumn>,
    pub reference: ReferenceFile,
}

/// As much of a file as is looked at.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub object: ListedObject,
    pub format: Format,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub enum Content {
    Text(Sample),
    Parquet(ParquetFile),
}

/// What was looked at.
#[derive(Debug)]
pub struct Looked {
    pub previews: Vec<Preview>,
    /// Whether the listing was read to its end; if not, there may be older and newer files.
    pub complete: bool,
}

/// Looks at files of a bucket one after the other, behind those that have decided `base`. Without one, the newest files
/// are looked at behind the oldest one, as an import would.
///
/// # Errors
/// If nothing matches, S3 refuses, or a file cannot be read.
pub async fn preview(
    selection: &Selection,
    rules: &Rules,
    source: &dyn ObjectSource,
    which: Which<'_>,
    mut base: Option<Base>,
    now: Timestamp,
) -> Result<Looked, Failure> {
    let matches = selection.find(source, which).await?;
    if matches!(which, Which::Newest(_)) && base.is_none() && matches.count > matches.objects.len() as u64 {
        for object in selection.find(source, Which::Oldest).await?.objects {
            let fetched = fetch_selected(selection, source, object).await?;
            base = Some(look(&fetched, rules, None, now)?.1);
        }
    }
    let mut previews = Vec::new();
    for object in matches.objects {
        let fetched = fetch_selected(selection, source, object).await?;
        let (preview, after) = look(&fetched, rules, base.as_ref(), now)?;
        previews.push(preview);
        base = Some(after);
    }
    Ok(Looked { previews, complete: matches.complete })
}

/// Fetches what is looked at of an object of this selection.
///
/// # Errors
/// As [`fetch`]; `Config` with code `unknown_format`.
pub async fn fetch_selected(
    selection: &Selection,
    source: &dyn ObjectSource,
    object: ListedObject,
) -> Result<Fetched, Failure> {
    let format = selection.format_of(&object.key).ok_or_else(|| {
        let message =
            format!("the name '{}' does not tell a format; say it with --format, or in IMPORT_FORMAT", object.key);
        Failure::config("unknown_format", message)
    })?;
    fetch(selection.uri.bucket(), source, object, format).await
}

/// Looks at one file, behind those that have decided `base`. Pure.
///
/// # Errors
/// `Data` if it cannot be read.
pub fn look(fetched: &Fetched, rules: &Rules, base: Option<&Base>, now: Timestamp) -> Result<(Preview, Base), Failure> {
    let opened = Opened::new(fetched, rules, base)?;
    let blocks = opened.first_blocks(fetched, now)?;
    let Opened { mut preview, base, .. } = opened;
    preview.blocks = blocks;
    Ok((preview, base))
}

/// Fetches what is looked at of an object.
///
/// # Errors
/// If S3 refuses, or its first bytes cannot be decompressed; `Config` with code `file_too_large` for a large Parquet
/// file.
pub async fn fetch(
    bucket: &str,
    source: &dyn ObjectSource,
    object: ListedObject,
    format: Format,
) -> Result<Fetched, Failure> {
    let reference = object_ref(bucket, &object);
    let content = match format {
        Format::Parquet if object.size > MAX_PARQUET_BYTES => {
            let message = format!(
                "'{}' has {} bytes; Parquet files of up to {MAX_PARQUET_BYTES} bytes are looked at, so name a smaller \
                 one by its key",
                object.key, object.size
            );
            return Err(Failure::config("file_too_large", message));
        }
        Format::Parquet => {
            let bytes = source.read_range(&reference, 0..object.size).await?;
            Content::Parquet(ParquetFile::open(ParquetSource::Bytes(bytes))?)
        }
        Format::Csv | Format::Ndjson => Content::Text(sample_of(source, &reference).await?),
    };
    Ok(Fetched { object, format, content })
}

/// The same of a file of this machine, of any size.
///
/// # Errors
/// As [`fetch`], or if the file cannot be read.
pub async fn fetch_local(file: &LocalFile, format: Format) -> Result<Fetched, Failure> {
    let object = file.object().clone();
    let content = match format {
        Format::Parquet => Content::Parquet(ParquetFile::open(file.parquet())?),
        Format::Csv | Format::Ndjson => Content::Text(sample_of(file, &object_ref("", &object)).await?),
    };
    Ok(Fetched { object, format, content })
}

fn object_ref(bucket: &str, object: &ListedObject) -> ObjectRef {
    ObjectRef {
        // Nobody refers to it: a preview has no import.
        id: ObjectVersionId::of(ImportUuid::mint(), bucket, &object.key, &object.etag, object.size),
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
