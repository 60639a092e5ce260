//! Inference: a dialect and a schema from a sample of a CSV file, with the evidence for both.
//!
//! Purpose: types that no value of the sample contradicts, and no cleverer than that. What is ambiguous stays a String,
//! because a String loses nothing: numbers with leading zeros or a plus sign, integers beyond 64 bits, floats with more
//! digits than a float holds, dates in any order but year, month, day, mixed columns, columns without a value.
//! Decoding judges the values of inferred columns by the very same parsers (`value::plain`, `value::time`).
//!
//! | module | what it does |
//! |---|---|
//! | `reader` | records and cells of a sample, with what quotes have done |
//! | `sniff` | delimiter and quote; files that begin with something else than a header |
//! | `observed` | what the values of one column have been, and the type that follows |
//! | `words` | the reason for a type, for people |
//! | `pieces` | records out of bytes that begin and end anywhere |
//! | `first_row` | whether the first record is a row and no header |
//! | `extent` | which bytes of a file a sample has |

mod extent;
mod first_row;
mod observed;
mod pieces;
mod reader;
mod sniff;
mod words;

use bytes::Bytes;
use connector_core::binding::bind;
use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::error::Failure;
use connector_core::evolve::{FileColumn, FileShape};
use connector_core::ports::ColumnEvidence;
use connector_core::schema::{Column, Origin, TableSchema, normalise_names};
use connector_core::types::ColumnType;

use crate::csv::{CsvOptions, Header, read_header};
use crate::error::DecodeError;
use observed::{NULL_SPELLINGS, Observed};
use reader::{End, Reader, Record};

pub use extent::{HEAD_BYTES, PACKED_HEAD_BYTES, UNPACKED_BYTES, WHOLE_BYTES, sample_ranges, unpacked_sample};

/// Bytes of a file from which its columns are inferred, decompressed.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The first bytes of the file.
    pub head: Bytes,
    /// `head` is all of the file.
    pub whole_file: bool,
    /// Bytes from its middle and tail. They begin and end anywhere.
    pub pieces: Vec<Bytes>,
}

/// What a sample says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    pub schema: TableSchema,
    /// The columns as the file spells them.
    pub file_columns: Vec<String>,
    /// How the file is written, with what is configured applied; `None` if it is no CSV file.
    pub dialect: Option<CsvDialect>,
    /// One entry for each column of the file.
    pub evidence: Vec<ColumnEvidence>,
}

/// Infers dialect and schema of a CSV file; `settings` always win. A record that does not end within the head is
/// ignored, and so are records of the pieces whose number of fields is not that of the first record: they may make a
/// type wider, and never fail a file.
///
/// # Errors
/// Those of [`read_header`]; `Data` with code `record_too_long` if the first record does not end within the head,
/// `preamble` if the header is further down, and `duplicate_column` if two columns cannot be told apart by name.
pub fn csv(sample: &Sample, settings: &CsvSettings) -> Result<Inferred, Failure> {
    let skip_lines = settings.skip_lines.unwrap_or(0);
    let sniffed = sniff::dialect(&sample.head, sample.whole_file, settings);
    let found = CsvDialect { delimiter: sniffed.delimiter, quote: sniffed.quote, skip_lines, ..CsvDialect::default() };
    let mut dialect = settings.over(found);
    let header = match (header_of(sample, &dialect), sniffed.preamble) {
        (Err(failure), Some(preamble)) if failure.code == "delimiter" => return Err(preamble.into()),
        // It knows other encodings, which make nonsense of whatever was sniffed.
        (Err(failure), _) => return Err(failure),
        (Ok(_), Some(preamble)) => return Err(preamble.into()),
        (Ok(header), None) => header,
    };
    let known = settings.nulls.as_deref();
    let Observation { first, mut columns } = observe(sample, &dialect, header.columns.len(), known);
    let mut first_value = None;
    if settings.header.is_none() {
        first_value = first_row::decided_by(&first, &columns, known);
        dialect.header = first_value.is_none();
    }
    if !dialect.header {
        columns.iter_mut().zip(&first.cells).for_each(|(column, cell)| column.note_cell(cell, known));
    }
    let file_columns = header_of(sample, &dialect)?.columns;
    if settings.nulls.is_none() {
        dialect.nulls = spellings_of(&columns);
    }
    let schema = csv_schema(&file_columns, &columns, &dialect)?;
    let evidence = file_columns.iter().zip(&columns).map(|(name, column)| column.evidence(name));
    let mut evidence: Vec<ColumnEvidence> = evidence.collect();
    if let Some(one) = first_value.and_then(|index| evidence.get_mut(index)) {
        one.because += &first_row::reason(&first, first_value);
    }
    Ok(Inferred { schema, file_columns, dialect: Some(dialect), evidence })
}

/// The columns of a later file of the same import, each with the type that its sample would have in a new table.
///
/// # Errors
/// Those of [`read_header`], and `Data` with code `record_too_long` if the first record does not end within the head.
pub fn csv_shape(sample: &Sample, dialect: &CsvDialect) -> Result<FileShape, Failure> {
    let header = header_of(sample, dialect)?;
    let known = Some(dialect.nulls.as_slice());
    let Observation { first, mut columns } = observe(sample, dialect, header.columns.len(), known);
    if !dialect.header {
        columns.iter_mut().zip(&first.cells).for_each(|(column, cell)| column.note_cell(cell, known));
    }
    let columns = header.columns.into_iter().zip(&columns);
    let columns = columns.map(|(name, column)| FileColumn { name, ty: Some(column.column_type()), stated: None });
    Ok(FileShape { columns: columns.collect(), has_header: true })
}

fn header_of(sample: &Sample, dialect: &CsvDialect) -> Result<Header, Failure> {
    let options = CsvOptions::new(dialect.clone());
    let header = read_header(&sample.head, sample.whole_file, &options)?;
    header.ok_or_else(|| {
        let hint = "; it is the first one, and the columns are inferred from this much of the file".to_owned();
        DecodeError::RecordTooLong { offset: 0, line: 1, limit: sample.head.len(), hint }.into()
    })
}

/// What a sample holds.
struct Observation {
    /// The first record: the header, or the first row.
    first: Record<'static>,
    /// All other records, column by column.
    columns: Vec<Observed>,
}

fn observe(sample: &Sample, dialect: &CsvDialect, width: usize, nulls: Option<&[String]>) -> Observation {
    let mut columns = vec![Observed::default(); width];
    let mut note = |record: &Record<'_>| {
        if record.cells.len() == width {
            columns.iter_mut().zip(&record.cells).for_each(|(column, cell)| column.note_cell(cell, nulls));
        }
    };
    let text = sniff::text(&sample.head, dialect.skip_lines);
    let mut reader = Reader::new(text, dialect.delimiter, dialect.quote);
    let mut record = Record::default();
    let mut first = None;
    while reader.read(&mut record) {
        // The end of the file ends a record as well; an open quote never does.
        let whole = record.end == End::Line || (record.end == End::Input && sample.whole_file);
        if first.is_none() {
            first = Some(record.to_owned());
        } else if whole {
            note(&record);
        }
    }
    if !sample.whole_file {
        sample.pieces.iter().for_each(|piece| pieces::records(piece, dialect, width, &mut note));
    }
    Observation { first: first.unwrap_or_default(), columns }
}

/// The spellings of NULL that make a column typed which would not be without them.
fn spellings_of(columns: &[Observed]) -> Vec<String> {
    let taken = |index: &usize| columns.iter().any(|column| column.takes_spelling(*index));
    let indices = (0..NULL_SPELLINGS.len()).filter(taken);
    indices.map(|index| NULL_SPELLINGS[index].to_owned()).collect()
}

fn csv_schema(file_columns: &[String], columns: &[Observed], dialect: &CsvDialect) -> Result<TableSchema, Failure> {
    let types: Vec<ColumnType> = columns.iter().map(Observed::column_type).collect();
    let mut schema = schema_of(file_columns, &types)?;
    // Without a spelling of its own NULL is the empty text; with one the two are kept apart.
    let spelled = dialect.nulls_configured && !dialect.nulls.is_empty();
    for column in &mut schema.columns {
        column.nullable = column.ty != ColumnType::String || spelled;
    }
    Ok(schema)
}

/// Names the columns of a file, so that binding the very same file finds every column in its place. All are nullable.
///
/// # Errors
/// `Data` with code `duplicate_column` if two columns cannot be told apart by name.
pub(crate) fn schema_of(file_columns: &[String], types: &[ColumnType]) -> Result<TableSchema, Failure> {
    let names = normalise_names(file_columns);
    let mut seen = std::collections::HashSet::new();
    let columns = names.iter().zip(file_columns).zip(types).map(|((name, spelled), ty)| {
        // The second column of a name is found by its numbered name: its own name would find the first.
        let source = if seen.insert(spelled) { spelled.clone() } else { name.clone() };
        Column { name: name.clone(), source, ty: ty.clone(), nullable: true, default: None, origin: Origin::Inferred }
    });
    let schema = TableSchema::new(columns.collect());
    let bound = bind(&schema, file_columns);
    let misplaced = bound.sources.iter().enumerate().find(|(wanted, found)| Some(*wanted) != **found);
    match misplaced {
        Some((column, _)) => Err(DecodeError::DuplicateColumn { column: file_columns[column].clone() }.into()),
        None => Ok(schema),
    }
}
