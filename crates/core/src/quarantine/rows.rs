//! Rows of a quarantine table, one by one.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use jiff::Timestamp;

use super::{ERROR, ERROR_COLUMN, IMPORT_ID, INSERTION_DATE, OWN_COLUMNS, RAW, error_kind};
use crate::ids::ObjectVersionId;
use crate::schema::PROVENANCE_COLUMNS;

/// A quarantined row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinedRow {
    /// Column and message of each error.
    pub errors: Vec<(String, String)>,
    pub batch: String,
    pub key: String,
    /// The id of the object version, in hex.
    pub version: String,
    /// Ordinal of the record in its file, from 0.
    pub row: i64,
    pub inserted: Option<Timestamp>,
    pub raw: Option<String>,
    /// Every column of the table with its text, in the table's order.
    pub texts: Vec<(String, Option<String>)>,
}

impl QuarantinedRow {
    /// Object version and ordinal, which identify the row; `None` if another program has written it without them.
    pub fn identity(&self) -> Option<(ObjectVersionId, u64)> {
        Some((ObjectVersionId::parse_hex(&self.version)?, u64::try_from(self.row).ok()?))
    }

    /// The text of a column.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.texts.iter().find(|(name, _)| name == column).and_then(|(_, text)| text.as_deref())
    }
}

/// Which rows are wanted. Everything that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// A column with an error. Errors of the record as a whole name columns in quotes.
    pub column: Option<String>,
    /// Part of an error's message.
    pub error: Option<String>,
    pub key: Option<String>,
    pub batch: Option<String>,
}

impl QuarantineFilter {
    pub fn admits(&self, row: &QuarantinedRow) -> bool {
        let on = |wanted: &String, column: &String, message: &String| {
            wanted == column || (column.is_empty() && message.contains(&format!("'{wanted}'")))
        };
        let wanted = |(column, message): &(String, String)| {
            self.column.as_ref().is_none_or(|wanted| on(wanted, column, message))
                && self.error.as_ref().is_none_or(|part| error_kind(column, message).contains(part.as_str()))
        };
        let any_error = self.column.is_none() && self.error.is_none() || row.errors.iter().any(wanted);
        any_error
            && self.key.as_ref().is_none_or(|key| *key == row.key)
            && self.batch.as_ref().is_none_or(|batch| *batch == row.batch)
    }
}

/// The rows of one batch of a quarantine table.
pub fn rows_of(batch: &RecordBatch) -> impl Iterator<Item = QuarantinedRow> + '_ {
    let names: Vec<String> = batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
    let text_columns: Vec<usize> = (0..names.len()).filter(|index| is_text_column(&names[*index])).collect();
    (0..batch.num_rows()).map(move |row| {
        let text = |name: &str| batch.column_by_name(name).and_then(|array| text_at(array, row));
        let errors = texts_at(batch, ERROR_COLUMN, row).into_iter().zip(texts_at(batch, ERROR, row)).collect();
        QuarantinedRow {
            errors,
            batch: text(IMPORT_ID).unwrap_or_default(),
            key: text("_s3_key").unwrap_or_default(),
            version: text("_s3_version").unwrap_or_default(),
            row: number_at(batch, "_s3_row", row),
            inserted: time_at(batch, row),
            raw: text(RAW),
            texts: text_columns
                .iter()
                .map(|index| (names[*index].clone(), text_at(batch.column(*index), row)))
                .collect(),
        }
    })
}

fn is_text_column(name: &str) -> bool {
    !PROVENANCE_COLUMNS.contains(&name) && !OWN_COLUMNS.contains(&name) && name != INSERTION_DATE
}

fn text_at(array: &dyn Array, row: usize) -> Option<String> {
    let texts = array.as_string_opt::<i32>()?;
    texts.is_valid(row).then(|| texts.value(row).to_owned())
}

fn texts_at(batch: &RecordBatch, name: &str, row: usize) -> Vec<String> {
    let list =
        batch.column_by_name(name).and_then(|array| array.as_list_opt::<i32>()).filter(|list| list.is_valid(row));
    let Some(values) = list.map(|list| list.value(row)) else { return Vec::new() };
    (0..values.len()).map(|index| text_at(&values, index).unwrap_or_default()).collect()
}

fn number_at(batch: &RecordBatch, name: &str, row: usize) -> i64 {
    let numbers = batch.column_by_name(name).and_then(|array| array.as_primitive_opt::<Int64Type>());
    numbers.filter(|numbers| numbers.is_valid(row)).map_or(-1, |numbers| numbers.value(row))
}

fn time_at(batch: &RecordBatch, row: usize) -> Option<Timestamp> {
    let array = batch.column_by_name(INSERTION_DATE)?;
    matches!(array.data_type(), DataType::Timestamp(..)).then_some(())?;
    let times = array.as_primitive_opt::<TimestampMicrosecondType>()?;
    times.is_valid(row).then(|| Timestamp::from_microsecond(times.value(row)).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_found_where_the_record_as_a_whole_is_wrong_because_of_it() {
        let row = |column: &str, message: &str| QuarantinedRow {
            errors: vec![(column.to_owned(), message.to_owned())],
            batch: String::new(),
            key: String::new(),
            version: String::new(),
            row: 0,
            inserted: None,
            raw: None,
            texts: Vec::new(),
        };
        let filter = QuarantineFilter { column: Some("x".to_owned()), ..QuarantineFilter::default() };
        assert!(filter.admits(&row("x", "value 'a' on column 'x' is not Int64")));
        assert!(filter.admits(&row("", "column 'x' is not in the table and may not be added")));
        assert!(!filter.admits(&row("", "column 'xy' is not in the table and may not be added")));
        assert!(!filter.admits(&row("y", "value 'x' on column 'y' is not Int64")), "a value is no column");
    }
}
