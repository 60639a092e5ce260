//! The quarantine table: its columns, its rows, and what its messages say.

mod rows;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ListBuilder, RecordBatch, RecordBatchOptions, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use jiff::Timestamp;

use crate::block::{Cause, Rejected};
use crate::ids::BatchId;
use crate::schema::{Column, TableSchema};
use crate::spelling;
use crate::types::{ColumnType, SECOND_DIGITS};

pub use self::rows::{QuarantineFilter, QuarantinedRow, rows_of};

/// What the quarantine table is called, beside its table.
pub const SUFFIX: &str = "_quarantine";

pub const ERROR_COLUMN: &str = "c__error_column";
pub const ERROR: &str = "c__error";
pub const IMPORT_ID: &str = "c__import_id";
/// The raw record, where the format has one.
pub const RAW: &str = "_s3_raw";
pub const INSERTION_DATE: &str = "insertion_date";

/// Names that the quarantine table keeps for itself. `insertion_date` is not among them: see [`text_column_name`].
pub const OWN_COLUMNS: [&str; 4] = [ERROR_COLUMN, ERROR, IMPORT_ID, RAW];

/// How the quarantine table calls the text of a column `insertion_date`. No column of a table may have this name.
pub const INSERTION_DATE_TEXT: &str = "c__insertion_date";

/// How the quarantine table calls the text of a table column.
pub fn text_column_name(column: &str) -> String {
    if column.eq_ignore_ascii_case(INSERTION_DATE) { format!("c__{column}") } else { column.to_owned() }
}

/// The columns of the quarantine table of a table: what was wrong, every column as text, the raw record, and when.
pub fn quarantine_schema(table: &TableSchema) -> TableSchema {
    let texts = || ColumnType::Array { element: Box::new(ColumnType::String), nullable: false };
    let mut columns = vec![
        Column::required(ERROR_COLUMN, texts()),
        Column::required(ERROR, texts()),
        Column::nullable(IMPORT_ID, ColumnType::String),
        Column::nullable(RAW, ColumnType::String),
        Column::required(INSERTION_DATE, ColumnType::DateTime),
    ];
    let text = |column: &Column| Column::nullable(text_column_name(&column.name), ColumnType::String);
    columns.extend(table.columns.iter().map(text));
    TableSchema::new(columns)
}

/// Columns that the quarantine table lacks to take rows of `table`. Names of a table have no case: `New` is there if
/// `new` is, such as one that a batch brought whose rows never reached the table.
pub fn missing_columns(present: &TableSchema, table: &TableSchema) -> Vec<Column> {
    let present: HashSet<String> = present.columns.iter().map(|column| column.name.to_lowercase()).collect();
    let wanted = quarantine_schema(table).columns;
    wanted.into_iter().filter(|column| !present.contains(&column.name.to_lowercase())).collect()
}

/// Rows of the quarantine table for the rejected rows `range` of a block, in the columns of [`quarantine_schema`].
///
/// # Errors
/// Only if the rejected rows were not made for this table.
pub fn quarantine_rows(
    rejected: &Rejected,
    range: std::ops::Range<usize>,
    table: &TableSchema,
    batch: &BatchId,
    now: Timestamp,
) -> Result<RecordBatch, ArrowError> {
    let count = range.len();
    let (mut columns, mut messages) = (list_builder(), list_builder());
    for row in range.clone() {
        for error in rejected.errors_of(row) {
            columns.values().append_value(error.column_name(table));
            messages.values().append_value(rejected.message(row, error, table));
        }
        columns.append(true);
        messages.append(true);
    }
    let second = now.as_second().saturating_mul(1_000_000);
    let time = TimestampMicrosecondArray::from(vec![second; count]).with_data_type(ColumnType::DateTime.arrow());
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(columns.finish()),
        Arc::new(messages.finish()),
        Arc::new(StringArray::from(vec![batch.as_str(); count])),
        Arc::new(rejected.raw.slice(range.start, count)),
        Arc::new(time),
    ];
    arrays.extend(rejected.texts.iter().map(|texts| Arc::new(texts.slice(range.start, count)) as ArrayRef));
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(quarantine_schema(table).arrow(), arrays, &options)
}

fn list_builder() -> ListBuilder<StringBuilder> {
    let element = Field::new("element", arrow::datatypes::DataType::Utf8, true);
    ListBuilder::new(StringBuilder::new()).with_field(element)
}

/// The message of a value that is not of its column's type, in the shape that users of the reference know. A text fits
/// a String unless it is no text.
pub fn message(value: Option<&str>, column: &str, ty: &ColumnType) -> String {
    let column = shown(column);
    match (value, ty) {
        (Some(value), ColumnType::String) => format!("value '{}' on column '{column}' is not UTF-8", shown(value)),
        (Some(value), ty) if is_too_fine(value, ty) => {
            format!("value '{}' on column '{column}' is not {ty} {TOO_FINE}", shown(value))
        }
        (Some(value), ty) => format!("value '{}' on column '{column}' is not {ty}", shown(value)),
        (None, ty) => format!("value NULL on column '{column}' is not {ty}"),
    }
}

/// What else is said of a time that has more digits than a table holds.
pub const TOO_FINE: &str = "in whole microseconds, and a table holds no finer times";

/// Whether a text is a time with more digits than a table holds, in a column whose type has room for them.
pub fn is_too_fine(value: &str, ty: &ColumnType) -> bool {
    match ty {
        ColumnType::DateTime64 { precision } => {
            *precision > SECOND_DIGITS && spelling::is_finer(value.trim().as_bytes())
        }
        _ => false,
    }
}

/// The same for a value with parts, with what is wrong with which of them. `why` says nothing of the value's own text.
pub fn message_of_part(value: &str, column: &str, ty: &ColumnType, why: impl std::fmt::Display) -> String {
    format!("{}: {why}", message(Some(value), column, ty))
}

/// What a message says without the value in it: rows with the same kind of error on the same column are one group.
pub fn error_kind<'a>(column: &str, message: &'a str) -> &'a str {
    let marker = format!(" on column '{}' is not ", shown(column));
    match message.rfind(&marker) {
        Some(at) if message.starts_with("value ") => &message[at + marker.len() - "is not ".len()..],
        _ => message,
    }
}

/// How many characters of a value, or of a name that a file brings, a message shows.
const SHOWN_CHARS: usize = 100;

/// A value, or a name that a file brings, as a message may show it: cut, with everything escaped that a terminal or a log would act upon.
pub fn shown(value: &str) -> String {
    let mut out = String::new();
    for letter in value.chars().take(SHOWN_CHARS) {
        if letter.is_control() || is_bidi_control(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

fn is_bidi_control(letter: char) -> bool {
    matches!(letter, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

impl Rejected {
    /// What an error of a rejected row says.
    pub fn message(&self, row: usize, error: &crate::block::CellError, table: &TableSchema) -> String {
        match &error.cause {
            Cause::Text(text) => text.to_string(),
            Cause::NotOfType => {
                let index = error.column.unwrap_or(usize::MAX as u32) as usize;
                let (Some(column), Some(texts)) = (table.columns.get(index), self.texts.get(index)) else {
                    return "the row does not fit".to_owned();
                };
                let value = texts.is_valid(row).then(|| texts.value(row));
                message(value, &column.name, &column.ty)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;
    use crate::block::CellError;

    #[test]
    fn a_rejected_row_becomes_a_row_with_every_error_and_every_text() {
        let table = TableSchema::new(vec![
            Column::nullable("id", ColumnType::Int64),
            Column::nullable("insertion_date", ColumnType::String),
        ]);
        let mut rejected = Rejected::none(2);
        rejected.push(
            4,
            Some("x,y"),
            [Some("x"), Some("y")],
            [
                CellError { column: Some(0), cause: Cause::NotOfType },
                CellError { column: None, cause: Cause::Text("too much".into()) },
            ],
        );
        let batch = BatchId::from_parts(1, 2);
        let rows = quarantine_rows(&rejected, 0..1, &table, &batch, Timestamp::UNIX_EPOCH).expect("rows");
        let names: Vec<&str> = rows.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names[..3], [ERROR_COLUMN, ERROR, IMPORT_ID]);
        assert_eq!(names[3..], [RAW, INSERTION_DATE, "id", "c__insertion_date"]);
        let list = |index: usize| -> Vec<String> {
            let texts = rows.column(index).as_list::<i32>().value(0);
            texts.as_string::<i32>().iter().map(|text| text.unwrap_or("NULL").to_owned()).collect()
        };
        assert_eq!(list(0), ["id", ""]);
        assert_eq!(list(1), ["value 'x' on column 'id' is not Int64", "too much"]);
        assert_eq!(rows.column(3).as_string::<i32>().value(0), "x,y");
        assert_eq!(rows.column(6).as_string::<i32>().value(0), "y");
    }

    #[test]
    fn errors_of_one_kind_are_one_group_whatever_their_values_say() {
        let kinds = [
            ("id", "value 'x' on column 'id' is not Int64", "is not Int64"),
            ("id", "value '' on column 'id' is not Date' on column 'id' is not Int64", "is not Int64"),
            ("id", "value NULL on column 'id' is not Int64", "is not Int64"),
            ("", "the record has 3 fields", "the record has 3 fields"),
        ];
        for (column, message, kind) in kinds {
            assert_eq!(error_kind(column, message), kind);
        }
    }

    #[test]
    fn what_is_wrong_with_a_text_is_that_it_is_none() {
        assert_eq!(
            message(Some("caf\u{FFFD}"), "name", &ColumnType::String),
            "value 'caf\u{FFFD}' on column 'name' is not UTF-8"
        );
        assert_eq!(error_kind("name", "value 'caf\u{FFFD}' on column 'name' is not UTF-8"), "is not UTF-8");
        assert_eq!(
            message(Some("x"), "n", &ColumnType::FixedString(0)),
            "value 'x' on column 'n' is not FixedString(0)"
        );
    }

    #[test]
    fn a_time_that_is_finer_than_a_table_is_told_apart() {
        let at = |precision| ColumnType::DateTime64 { precision };
        let fine = "2024-01-01 00:00:00.123456789";
        let told = message(Some(fine), "at", &at(9));
        let kind = "is not DateTime64(9) in whole microseconds, and a table holds no finer times";
        assert_eq!(told, format!("value '{fine}' on column 'at' {kind}"));
        assert_eq!(error_kind("at", &told), kind);
        assert_eq!(message(Some(fine), "at", &at(6)), format!("value '{fine}' on column 'at' is not DateTime64(6)"));
        for other in ["soon", "2024-01-01 00:00:00.1234567x", "2024-02-30 00:00:00.1234567"] {
            assert!(message(Some(other), "at", &at(9)).ends_with("is not DateTime64(9)"), "{other}");
        }
    }

    #[test]
    fn messages_stay_short_whatever_a_column_is_called() {
        let name = "é".repeat(250_000);
        let told = message(Some(&name), &name, &ColumnType::Int64);
        assert!(told.len() < 500, "{} bytes", told.len());
        assert_eq!(error_kind(&name, &told), "is not Int64");
    }

    #[test]
    fn a_column_of_another_case_is_not_missing() {
        let of = |names: &[&str]| {
            TableSchema::new(names.iter().map(|name| Column::nullable(*name, ColumnType::Int64)).collect())
        };
        let present = quarantine_schema(&of(&["id", "new"]));
        assert_eq!(missing_columns(&present, &of(&["ID", "New"])), []);
        let lacking = missing_columns(&present, &of(&["id", "newer", "Insertion_Date"]));
        let names: Vec<&str> = lacking.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["newer", "c__Insertion_Date"]);
    }

    #[test]
    fn no_two_columns_of_a_quarantine_table_have_one_name() {
        let columns = crate::schema::normalise_names(&[
            "insertion_date",
            "c__insertion_date",
            "Insertion_Date",
            "C__INSERTION_DATE",
            "c__error",
            "_s3_raw",
        ]);
        let columns = columns.into_iter().map(|name| Column::nullable(name, ColumnType::Int64));
        let quarantine = quarantine_schema(&TableSchema::new(columns.collect()));
        let names: HashSet<String> = quarantine.columns.iter().map(|column| column.name.to_lowercase()).collect();
        assert_eq!(names.len(), quarantine.columns.len(), "{names:?}");
    }
}
