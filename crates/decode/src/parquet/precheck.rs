//! Claims that the reader underneath would take memory or stack for, looked at before it does.

use std::io::{self, Read};

use ::parquet::basic::{Compression, Type as PhysicalType};
use ::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use ::parquet::file::reader::ChunkReader;

use super::source::ParquetSource;
use super::thrift::{Compact, Kind, bad};
use crate::error::DecodeError;

/// Groups within groups. Honest schemas have a handful.
const MAX_SCHEMA_DEPTH: usize = 64;
/// The largest page that is taken, uncompressed: it is held in memory as a whole. Writers aim at 1 MiB.
const MAX_PAGE_BYTES: i64 = 256 << 20;

/// Checks an encoded footer: its schema holds together as a tree and is not deep, and no column is encrypted.
pub(super) fn check_footer(footer: &[u8]) -> Result<(), DecodeError> {
    let reason = match schema_elements(footer) {
        Ok(true) => return Err(DecodeError::Encrypted),
        Ok(false) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => "it ends early".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(DecodeError::BadFooter { reason })
}

/// The field of a footer that says how its columns are encrypted; the footer itself may be in the clear.
const ENCRYPTION_ALGORITHM: i64 = 8;

/// Answers whether columns are encrypted.
fn schema_elements(footer: &[u8]) -> io::Result<bool> {
    let mut compact = Compact::new(footer);
    let (mut previous, mut encrypted) = (0, false);
    while let Some(field) = compact.field(previous)? {
        match (field.id, field.kind) {
            (2, Kind::List) => schema_tree(&mut compact, footer.len() as u64)?,
            (_, kind) => compact.skip(kind)?,
        }
        encrypted |= field.id == ENCRYPTION_ALGORITHM;
        previous = field.id;
    }
    Ok(encrypted)
}

/// The elements of the schema come depth first, each with the number of its children.
fn schema_tree<R: Read>(compact: &mut Compact<R>, length: u64) -> io::Result<()> {
    let (count, kind) = compact.list()?;
    if kind != Kind::Struct || count > length {
        return Err(bad("its schema is no list of columns"));
    }
    // How many children each group that we are in still lacks.
    let mut open: Vec<u64> = Vec::new();
    for index in 0..count {
        let children = children(compact)?;
        if let Some(parent) = open.last_mut() {
            *parent -= 1;
        } else if index > 0 {
            return Err(bad("its schema has more than one root"));
        }
        if children > count - index - 1 {
            return Err(bad(format!("a group of its schema claims {children} columns")));
        }
        open.push(children);
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.len() > MAX_SCHEMA_DEPTH {
            return Err(bad(format!("its schema is nested deeper than {MAX_SCHEMA_DEPTH} levels")));
        }
    }
    if open.is_empty() { Ok(()) } else { Err(bad("its schema lacks columns that it claims")) }
}

/// Reads one element of the schema and answers the number of its children.
fn children<R: Read>(compact: &mut Compact<R>) -> io::Result<u64> {
    let (mut previous, mut children) = (0, 0);
    while let Some(field) = compact.field(previous)? {
        match (field.id, field.kind) {
            (5, Kind::Int) => {
                let claimed = compact.int()?;
                children = u64::try_from(claimed)
                    .map_err(|_| bad(format!("a group of its schema claims {claimed} columns")))?;
            }
            (_, kind) => compact.skip(kind)?,
        }
        previous = field.id;
    }
    Ok(children)
}

/// What a page says of itself.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    uncompressed: i64,
    compressed: i64,
    /// Values of a dictionary; `None` if it is no dictionary page.
    dictionary: Option<i64>,
}

/// Checks the headers of all pages of these columns (by index among the leaves): what they would take in memory.
///
/// # Errors
/// `Data` with code `page_too_large`, `unsupported_codec` or `corrupt`.
pub(super) fn check_pages(
    source: &ParquetSource,
    metadata: &ParquetMetaData,
    wanted: impl Fn(usize) -> bool,
) -> Result<(), DecodeError> {
    for group in metadata.row_groups() {
        for (index, chunk) in group.columns().iter().enumerate() {
            if wanted(index) {
                check_chunk(source, chunk)?;
            }
        }
    }
    Ok(())
}

fn check_chunk(source: &ParquetSource, chunk: &ColumnChunkMetaData) -> Result<(), DecodeError> {
    let column = || chunk.column_path().string();
    if chunk.compression() == Compression::LZO {
        return Err(DecodeError::UnsupportedCodec { column: column(), codec: chunk.compression().to_string() });
    }
    let (start, length) = chunk.byte_range();
    let end = start.saturating_add(length);
    let mut at = start;
    while at < end {
        let page = read_page(source, &mut at).map_err(|error| DecodeError::Corrupt {
            reason: format!("a page of column '{}' at byte {at} has no header: {error}", column()),
        })?;
        if page.uncompressed > MAX_PAGE_BYTES {
            return Err(DecodeError::PageTooLarge {
                column: column(),
                bytes: page.uncompressed,
                limit: MAX_PAGE_BYTES,
            });
        }
        let fits = page.dictionary.is_none_or(|values| {
            values.checked_mul(least_bytes(chunk.column_type())).is_some_and(|bytes| bytes <= page.uncompressed)
        });
        let within = u64::try_from(page.compressed).ok().and_then(|bytes| at.checked_add(bytes));
        at = match within.filter(|next| *next <= end && fits && page.uncompressed >= 0) {
            Some(next) => next,
            None => {
                let reason = format!("a page of column '{}' claims what cannot be: {page:?}", column());
                return Err(DecodeError::Corrupt { reason });
            }
        };
    }
    Ok(())
}

/// How many bytes a value in a dictionary takes at least.
fn least_bytes(ty: PhysicalType) -> i64 {
    match ty {
        PhysicalType::INT32 | PhysicalType::FLOAT | PhysicalType::BYTE_ARRAY => 4,
        PhysicalType::INT64 | PhysicalType::DOUBLE => 8,
        PhysicalType::INT96 => 12,
        PhysicalType::BOOLEAN | PhysicalType::FIXED_LEN_BYTE_ARRAY => 1,
    }
}

/// Reads the header at `at`, and moves `at` behind it.
fn read_page(source: &ParquetSource, at: &mut u64) -> io::Result<Page> {
    let input = source.get_read(*at).map_err(|error| bad(error.to_string()))?;
    let mut compact = Compact::new(input);
    let (mut page, mut previous) = (Page::default(), 0);
    while let Some(field) = compact.field(previous)? {
        match (field.id, field.kind) {
            (2, Kind::Int) => page.uncompressed = compact.int()?,
            (3, Kind::Int) => page.compressed = compact.int()?,
            (7, Kind::Struct) => page.dictionary = Some(dictionary_values(&mut compact)?),
            (_, kind) => compact.skip(kind)?,
        }
        previous = field.id;
    }
    *at += compact.position();
    Ok(page)
}

fn dictionary_values<R: Read>(compact: &mut Compact<R>) -> io::Result<i64> {
    let (mut values, mut previous) = (0, 0);
    while let Some(field) = compact.field(previous)? {
        match (field.id, field.kind) {
            (1, Kind::Int) => values = compact.int()?,
            (_, kind) => compact.skip(kind)?,
        }
        previous = field.id;
    }
    Ok(values)
}
