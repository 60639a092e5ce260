//! A schema from the first bytes of a CSV file.
//!
//! Purpose: types that no value of the sample contradicts, and no cleverer than that. All columns are nullable. What
//! is ambiguous stays a String, because a String loses nothing: numbers with leading zeros or a plus sign, integers
//! beyond 64 bits, floats with more digits than a float holds, mixed columns, columns without a value.

use connector_core::binding::bind;
use connector_core::error::Failure;
use connector_core::schema::{Column, TableSchema, normalise_names};
use connector_core::types::ColumnType;

use crate::csv::{CsvOptions, Scanner, read_header};
use crate::error::DecodeError;
use crate::value::{plain, time};

/// What the sample says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    pub schema: TableSchema,
    /// The columns as the file spells them.
    pub file_columns: Vec<String>,
}

/// Infers a schema from the first bytes of a file; `whole_file` says that there are no more. A record that does not
/// end within them is ignored.
///
/// # Errors
/// Those of [`read_header`]; `Data` with code `record_too_long` if the header does not end within the sample, and
/// `duplicate_column` if two columns cannot be told apart by name.
pub fn csv(head: &[u8], whole_file: bool, options: &CsvOptions) -> Result<Inferred, Failure> {
    let Some(header) = read_header(head, whole_file, options)? else {
        let hint = "; it is the header, and the schema is inferred from this much of the file".to_owned();
        return Err(DecodeError::RecordTooLong { offset: 0, line: 1, limit: head.len(), hint }.into());
    };
    let body = &head[header.body_offset..];
    let sample = if whole_file { body } else { &body[..whole_records(body, options)] };
    let mut seen = vec![Seen::default(); header.columns.len()];
    let mut reader = options.buffered_reader(sample);
    let mut record = csv::ByteRecord::new();
    // Reading from memory cannot fail, and ragged records are allowed: they tell nothing about the columns.
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        if record.len() == seen.len() {
            seen.iter_mut().zip(&record).for_each(|(seen, cell)| seen.note(cell));
        }
    }
    let types: Vec<ColumnType> = seen.iter().map(Seen::column_type).collect();
    let schema = schema_of(&header.columns, &types)?;
    Ok(Inferred { schema, file_columns: header.columns })
}

/// How many of these bytes are whole records.
fn whole_records(body: &[u8], options: &CsvOptions) -> usize {
    let mut scanner = Scanner::new(options.delimiter, options.quote, 0, 1);
    let mut whole = 0;
    while let Some(count) = scanner.next_end(&body[whole..]) {
        whole += count;
    }
    whole
}

/// Names the columns, so that binding the very same file finds every column in its place.
pub(crate) fn schema_of(file_columns: &[String], types: &[ColumnType]) -> Result<TableSchema, Failure> {
    let names = normalise_names(file_columns);
    let columns = names.iter().zip(types).enumerate().map(|(index, (name, ty))| {
        // The second column of a name is found by its numbered name: its own name would find the first.
        let repeated = file_columns[..index].contains(&file_columns[index]);
        let source = if repeated { name.clone() } else { file_columns[index].clone() };
        Column { name: name.clone(), source, ty: *ty, nullable: true, default: None }
    });
    let schema = TableSchema::new(columns.collect());
    let Ok(binding) = bind(&schema, file_columns, None) else {
        // Only a name that two columns are after leaves one of them without a source.
        let taken = |index: &usize| schema.columns[..*index].iter().any(|c| c.source == schema.columns[*index].source);
        let index = (0..file_columns.len()).find(taken).unwrap_or(0);
        return Err(DecodeError::DuplicateColumn { column: file_columns[index].clone() }.into());
    };
    match binding.sources.iter().enumerate().find(|(wanted, found)| wanted != *found) {
        Some((column, _)) => Err(DecodeError::DuplicateColumn { column: file_columns[column].clone() }.into()),
        None => Ok(schema),
    }
}

/// What the values of one column have been so far.
#[derive(Clone, Copy, Debug)]
struct Seen {
    values: bool,
    int: bool,
    float: bool,
    boolean: bool,
    date: bool,
    time: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self { values: false, int: true, float: true, boolean: true, date: true, time: true }
    }
}

impl Seen {
    fn note(&mut self, cell: &[u8]) {
        if cell.is_empty() {
            return;
        }
        self.values = true;
        self.int &= plain::int64(cell).is_some();
        self.float &= plain::float64(cell).is_some();
        self.boolean &= plain::boolean(cell).is_some();
        self.date &= time::date(cell).is_some();
        self.time &= time::timestamp(cell, 6).is_some();
    }

    fn column_type(&self) -> ColumnType {
        match self {
            Self { values: false, .. } => ColumnType::String,
            Self { int: true, .. } => ColumnType::Int64,
            Self { float: true, .. } => ColumnType::Float64,
            Self { boolean: true, .. } => ColumnType::Bool,
            Self { date: true, .. } => ColumnType::Date,
            Self { time: true, .. } => ColumnType::DateTime64 { precision: 6 },
            _ => ColumnType::String,
        }
    }
}
