//! The columns of an NDJSON file, from a sample.
//!
//! A column is what a path through objects leads to: `{"a": {"b": 1}}` has the column `a.b`, called `a_b` in the table.
//! What is no object is not taken apart: an array of scalars of one kind is an Array, and an array of anything else,
//! as well as a key that is an object in one record and none in another, is a String with the JSON text of its values.

use std::collections::HashMap;

use connector_core::error::Failure;
use connector_core::evolve::{DEFAULT_MAX_COLUMNS, FileColumn, FileShape};
use connector_core::ports::ColumnEvidence;
use connector_core::schema::{Column, Origin, TableSchema, normalise_names};
use connector_core::types::ColumnType;

use super::observed::Verdict;
use super::survey::{Leaf, Place, Survey};
use super::tree::Tree;
use super::{lines, walk};
use crate::csv::refuse_other_encodings;
use crate::error::DecodeError;
use crate::infer::{Inferred, Sample};
use crate::path::Path;

/// Infers the schema of an NDJSON file: every path of the sample in order of appearance, every column nullable but
/// arrays, which are never NULL: one without a value is empty. Their elements are nullable. Lines that are no JSON
/// objects tell nothing.
///
/// # Errors
/// `Data` with code `not_ndjson` (a JSON array, an object over several lines, no line with an object), `no_records` (no
/// record with a value), `encoding` (not UTF-8), `too_many_columns`, or `record_too_long` if the first line does not
/// end within the sample.
pub fn infer(sample: &Sample) -> Result<Inferred, Failure> {
    let read = read(sample)?;
    if read.is_first_unfinished {
        let hint = "; it is the first one, and the columns are inferred from no more than this sample of the file: \
                    declare them in SCHEMA";
        let limit = sample.head.len();
        return Err(DecodeError::RecordTooLong { offset: 0, line: 1, limit, hint: hint.to_owned() }.into());
    }
    if let (0, Some(reason)) = (read.survey.records, read.first_error) {
        let found = format!("none of its first {} lines is an object; of the first one: {reason}", read.lines);
        return Err(DecodeError::NotNdjson { found }.into());
    }
    let columns = columns(&read.survey);
    if columns.is_empty() {
        // Records without a value are records: a table cannot be made from them, but they are not nothing.
        let nothing = read.survey.records == 0;
        return Err(if nothing { DecodeError::NoRecords } else { DecodeError::NoColumns }.into());
    }
    refuse_too_many(columns.len())?;
    let plain: Vec<String> = columns.iter().map(|column| column.keys.join(".")).collect();
    let schema = normalise_names(&plain).into_iter().zip(&columns).map(|(name, column)| Column {
        name,
        source: column.name.clone(),
        ty: column.verdict.ty.clone(),
        nullable: column.verdict.ty.takes_null(),
        default: None,
        origin: Origin::Inferred,
    });
    let schema = TableSchema::new(schema.collect());
    let evidence = columns.iter().map(|column| column.evidence(read.survey.records)).collect();
    let file_columns = columns.into_iter().map(|column| column.name).collect();
    Ok(Inferred { schema, file_columns, dialect: None, evidence })
}

/// The columns of a later file, each with the type that its sample would have in a new table. Lines that are no JSON
/// objects tell nothing; they are rejected one by one when the file is decoded. Nor does a first line that does not end
/// within the sample.
///
/// # Errors
/// `Data` with code `not_ndjson` (a JSON array, or an object over several lines), or `encoding` (not UTF-8).
pub fn shape(sample: &Sample) -> Result<FileShape, Failure> {
    let read = read(sample)?;
    let columns = columns(&read.survey).into_iter();
    let columns = columns.map(|column| FileColumn { name: column.name, ty: Some(column.verdict.ty), stated: None });
    Ok(FileShape { columns: columns.collect(), has_header: false })
}

/// What is new to a table in a later file, or known to it: [`shape`], then [`uncovered`], within the limit of columns.
///
/// # Errors
/// Those of [`shape`], and `Data` with code `too_many_columns` if more than [`DEFAULT_MAX_COLUMNS`] are left.
pub fn shape_for(sample: &Sample, schema: &TableSchema) -> Result<FileShape, Failure> {
    let shape = uncovered(shape(sample)?, schema);
    refuse_too_many(shape.columns.len())?;
    Ok(shape)
}

fn refuse_too_many(found: usize) -> Result<(), Failure> {
    let limit = DEFAULT_MAX_COLUMNS;
    if found > limit { Err(DecodeError::TooManyColumns { found, limit }.into()) } else { Ok(()) }
}

/// The shape without columns whose values the table takes already in another way: as part of an object or array that
/// goes into one column as a whole. They are nothing new, so planning should not see them.
pub fn uncovered(shape: FileShape, schema: &TableSchema) -> FileShape {
    let tree = Tree::of_columns(schema);
    let is_source = |name: &str| schema.columns.iter().any(|column| column.source == name);
    let keep = |column: &FileColumn| is_source(&column.name) || !tree.is_covered(&Path::of_source(&column.name));
    let columns = shape.columns.into_iter().filter(keep).collect();
    FileShape { columns, ..shape }
}

/// What a sample holds.
struct Read {
    survey: Survey,
    /// Lines at the start of the file, without blank ones.
    lines: usize,
    /// Why the first of them is no object, if it is none.
    first_error: Option<String>,
    /// The first line does not end within the head.
    is_first_unfinished: bool,
}

fn read(sample: &Sample) -> Result<Read, Failure> {
    refuse_other_encodings(&sample.head, sample.whole_file, false)?;
    let mut survey = Survey::default();
    let (mut lines, mut first_error) = (0, None);
    let (head, mut opens) = (head_lines(sample)?, false);
    let is_first_unfinished = head.is_empty() && !sample.head.is_empty();
    for line in lines::records(head, true) {
        lines += 1;
        if let (Err((reason, incomplete)), 1) = (note(&mut survey, line), lines) {
            first_error = Some(reason);
            opens = incomplete;
        }
    }
    if opens && lines > 1 && is_one_value(lines::without_mark(head)) {
        let found = "its first object goes on over several lines".to_owned();
        return Err(DecodeError::NotNdjson { found }.into());
    }
    for piece in sample.pieces.iter().filter(|_| !sample.whole_file) {
        let whole = piece.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default();
        for line in lines::records(whole_lines(whole), false) {
            // Lines behind the head are judged when they are decoded.
            let _: Result<(), _> = note(&mut survey, line);
        }
    }
    Ok(Read { survey, lines, first_error, is_first_unfinished })
}

/// Whether the text, whose first line is no whole value, begins with a value all the same, as far as the text goes. (One
/// broken record does not: its line end is within a text, or what follows is no part of it.)
fn is_one_value(text: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<serde::de::IgnoredAny>();
    match values.next() {
        Some(Err(error)) => error.is_eof(),
        first => first.is_some(),
    }
}

/// Why a line tells nothing, and whether it ends too early.
fn note(survey: &mut Survey, line: &[u8]) -> Result<(), (String, bool)> {
    let text = std::str::from_utf8(line).map_err(|_| ("it is not utf-8".to_owned(), false))?;
    survey.note(text).map_err(|error| (error.reason, error.incomplete))
}

/// The whole lines at the start of the file.
fn head_lines(sample: &Sample) -> Result<&[u8], Failure> {
    let head = sample.head.as_ref();
    let first = lines::records(head, true).next().unwrap_or_default().trim_ascii_start();
    if first.starts_with(b"[") {
        let found = "it begins with '[', as one JSON array does".to_owned();
        return Err(DecodeError::NotNdjson { found }.into());
    }
    Ok(if sample.whole_file { head } else { whole_lines(head) })
}

/// Everything up to the last line end.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
    &bytes[..end]
}

/// One column of the file.
struct Found<'s> {
    keys: Vec<&'s str>,
    /// What the file calls it: the spelling of a key of the record, or the path.
    name: String,
    place: &'s Place,
    verdict: Verdict,
}

fn columns(survey: &Survey) -> Vec<Found<'_>> {
    let leaves = survey.leaves();
    let mut names: HashMap<String, usize> = HashMap::new();
    for leaf in &leaves {
        *names.entry(walk::name_of(&leaf.keys)).or_default() += 1;
    }
    let mut columns = Vec::with_capacity(leaves.len());
    for Leaf { keys, place } in leaves {
        let name = walk::name_of(&keys);
        // A key with dots beside a nested one that is spelled the same: only the path tells them apart.
        let is_shared = names.get(&name).is_some_and(|count| *count > 1);
        let name = if is_shared { Path::of_keys(keys.iter().copied()).to_string() } else { name };
        columns.push(Found { name, verdict: verdict(place), keys, place });
    }
    columns
}

fn verdict(place: &Place) -> Verdict {
    let string = |because: &str| Verdict { ty: ColumnType::String, because: because.to_owned() };
    match (place.objects, place.arrays, place.scalars.values()) {
        (0, 0, _) => place.scalars.verdict("value"),
        (0, _, 0) if place.nested_elements > 0 => string("some arrays hold objects or arrays; kept as JSON text"),
        (0, _, 0) if place.elements.values() == 0 => string("no array has an element with a value; kept as JSON text"),
        (0, _, 0) => {
            let Verdict { ty, because } = place.elements.verdict("element");
            let mixed = ty == ColumnType::String && !place.elements.is_all_texts();
            if mixed {
                return Verdict { ty, because: format!("arrays in which {because}; kept as JSON text") };
            }
            let ty = ColumnType::Array { element: Box::new(ty), nullable: true };
            Verdict { ty, because: format!("arrays in which {because}") }
        }
        (0, ..) => string("some values are arrays and some are not; kept as JSON text"),
        _ => string("some values are objects and some are not; kept as JSON text"),
    }
}

impl Found<'_> {
    fn evidence(&self, records: u64) -> ColumnEvidence {
        let place = self.place;
        let values = place.objects + place.arrays + place.scalars.values();
        let mut examples = place.scalars.examples.clone();
        examples.extend(place.examples.iter().cloned());
        examples.truncate(3);
        ColumnEvidence {
            column: self.name.clone(),
            ty: self.verdict.ty.to_string(),
            values,
            nulls: records.saturating_sub(values),
            because: self.verdict.because.clone(),
            examples,
        }
    }
}
