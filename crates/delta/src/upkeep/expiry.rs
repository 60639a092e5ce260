//! Data files of which every row has expired.
//!
//! Whether a row has expired is asked of the row itself: the rule's expression is evaluated for each value that its
//! columns have in the file. Statistics only spare files that are alive for sure: a NULL never expires, and every
//! expression that is possible is the later, the later its column is, so that a file whose greatest value is alive has a
//! row that is. (The bound may be a little greater than that value, being rounded up; then the file goes a moment later.)

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use connector_core::expr::{NoValue, Value};
use connector_core::ids::ObjectVersionId;
use connector_core::ports::{ExpiredFile, ExpiryRule};
use connector_core::revision::{KeyedVersion, RowDigest};
use jiff::Timestamp;
use jiff::tz::Offset;

use crate::active::{self, ActiveFile};
use crate::error::DeltaError;
use crate::identity::{self, Identities};
use crate::kernel::{Base, Kernel};
use crate::scan::{self, FileRows};

/// Files are looked for until those found have so many rows.
const MOST_ROWS: u64 = 4_000_000;

/// Finds data files to remove, in the order of the log.
///
/// # Errors
/// `NoSuchColumn` if the table lacks a column of the rule.
pub(crate) fn expired(kernel: &Kernel, base: &Base, rule: &ExpiryRule) -> Result<Vec<ExpiredFile>, DeltaError> {
    let names: Vec<String> = rule.ttl.columns().into_iter().map(str::to_owned).collect();
    let schema = Arc::new(scan::chosen_columns(kernel, base, &names)?);
    let by_partition = names.iter().all(|name| Some(name.as_str()) == base.partition());
    let (mut found, mut rows) = (Vec::new(), 0);
    // What another program has deleted, or brought without provenance, is nothing that we can account for.
    let may_go =
        |file: ActiveFile| (!file.has_deletions && !is_alive_by_stats(&file, rule, &schema)).then(|| file.slim());
    // By the partition value, if that is all that the rule asks for: files of one value share the answer.
    let mut by_value: HashMap<Option<String>, bool> = HashMap::new();
    for file in active::list(kernel, base, may_go)? {
        if rows >= MOST_ROWS {
            break;
        }
        let is_alive = match by_value.get(&file.partition).filter(|_| by_partition) {
            Some(is_alive) => *is_alive,
            None if by_partition => {
                let is_alive = !has_expired_value(kernel, base, &file, rule, &schema)?;
                by_value.insert(file.partition.clone(), is_alive);
                is_alive
            }
            None => has_live_row(kernel, base, &file, rule, &schema)?,
        };
        if is_alive {
            continue;
        }
        let Some(expired) = account(kernel, &file)? else { continue };
        rows += expired.rows;
        found.push(expired);
    }
    Ok(found)
}

/// Whether the statistics alone prove a row that has not expired.
fn is_alive_by_stats(file: &ActiveFile, rule: &ExpiryRule, schema: &Schema) -> bool {
    let statistics = file.statistics();
    let nulls = |name: &str| statistics["nullCount"][name].as_u64().unwrap_or_default();
    if schema.fields().iter().any(|field| nulls(field.name()) > 0) {
        return true;
    }
    let greatest = |name: &str| {
        let text = statistics["maxValues"][name].as_str().ok_or(NoValue::WrongType)?;
        let ty = schema.field_with_name(name).map_err(|_| NoValue::WrongType)?.data_type();
        of_statistic(text, ty).ok_or(NoValue::WrongType)
    };
    match rule.ttl.evaluate(rule.now, &mut { greatest }) {
        Ok(value) => !lies_before(&value, rule.now),
        Err(_) => false,
    }
}

/// A bound of a date or time, as the log spells it.
fn of_statistic(text: &str, ty: &DataType) -> Option<Value> {
    match ty {
        DataType::Date32 => text.parse().ok().map(Value::Date),
        DataType::Timestamp(..) => {
            let time: Timestamp = text.parse().ok()?;
            Value::of_micros(time.as_microsecond()).ok()
        }
        _ => None,
    }
}

/// Whether the rows of a file have expired by their partition value alone.
fn has_expired_value(
    kernel: &Kernel,
    base: &Base,
    file: &ActiveFile,
    rule: &ExpiryRule,
    schema: &SchemaRef,
) -> Result<bool, DeltaError> {
    let value = scan::partition_value(kernel, base, file.partition.as_deref())?;
    let columns = value.map(|(_, value)| value).into_iter().collect();
    let failed = |error: arrow::error::ArrowError| DeltaError::Internal(error.to_string());
    let row = RecordBatch::try_new(Arc::clone(schema), columns).map_err(failed)?;
    Ok(has_expired(&row, 0, rule, &mut HashMap::new()))
}

/// Reads the rule's columns until a row has not expired.
fn has_live_row(
    kernel: &Kernel,
    base: &Base,
    file: &ActiveFile,
    rule: &ExpiryRule,
    schema: &SchemaRef,
) -> Result<bool, DeltaError> {
    let mut rows = FileRows::open_active(kernel, base, file, schema)?;
    let mut known = HashMap::new();
    while let Some(batch) = rows.next(schema)? {
        for row in 0..batch.num_rows() {
            if !has_expired(&batch, row, rule, &mut known) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A cell, cheap to compare.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Cell {
    Null,
    Number(i64),
    Text(String),
    Unknown,
}

fn has_expired(batch: &RecordBatch, row: usize, rule: &ExpiryRule, known: &mut HashMap<Vec<Cell>, bool>) -> bool {
    let cells: Vec<Cell> = batch.columns().iter().map(|column| cell(column, row)).collect();
    if let Some(expired) = known.get(&cells) {
        return *expired;
    }
    let schema = batch.schema();
    let mut column = |name: &str| {
        let index = schema.index_of(name).map_err(|_| NoValue::WrongType)?;
        value(&cells[index], schema.field(index).data_type())
    };
    // A row without a value for the expression never expires.
    let expired = rule.ttl.evaluate(rule.now, &mut column).is_ok_and(|value| lies_before(&value, rule.now));
    known.insert(cells, expired);
    expired
}

fn cell(column: &ArrayRef, row: usize) -> Cell {
    if column.is_null(row) {
        return Cell::Null;
    }
    match column.data_type() {
        DataType::Date32 => Cell::Number(column.as_primitive::<Date32Type>().value(row).into()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Cell::Number(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Int8 => Cell::Number(column.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Cell::Number(column.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Cell::Number(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Number(column.as_primitive::<Int64Type>().value(row)),
        DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row).to_owned()),
        _ => Cell::Unknown,
    }
}

fn value(cell: &Cell, ty: &DataType) -> Result<Value, NoValue> {
    match (cell, ty) {
        (Cell::Null, _) => Ok(Value::Null),
        (Cell::Number(days), DataType::Date32) => {
            Value::of_days(i32::try_from(*days).map_err(|_| NoValue::OutOfRange)?)
        }
        (Cell::Number(micros), DataType::Timestamp(..)) => Value::of_micros(*micros),
        (Cell::Number(number), _) => Ok(Value::Number(i128::from(*number))),
        (Cell::Text(text), _) => Ok(Value::Text(text.clone())),
        (Cell::Unknown, _) => Err(NoValue::WrongType),
    }
}

/// Whether a time, or the beginning of a day, has passed. Anything else never has.
fn lies_before(value: &Value, now: Timestamp) -> bool {
    let now = Offset::UTC.to_datetime(now);
    match value {
        Value::Date(date) => date.to_datetime(jiff::civil::Time::midnight()) < now,
        Value::Time(time) => *time < now,
        Value::Null | Value::Number(_) | Value::Text(_) => false,
    }
}

/// The rows of a data file by object version; `None` if some have no provenance.
fn account(kernel: &Kernel, file: &ActiveFile) -> Result<Option<ExpiredFile>, DeltaError> {
    let schema = identity::schema(true);
    let mut batches = FileRows::open_path(kernel, &file.path, &schema)?;
    let mut versions: BTreeMap<ObjectVersionId, (String, u64, RowDigest)> = BTreeMap::new();
    let mut rows = 0;
    while let Some(batch) = batches.next(&schema)? {
        let keys = batch.column_by_name("_s3_key").and_then(|keys| keys.as_string_opt::<i32>());
        let keys = keys.ok_or_else(|| DeltaError::Internal("'_s3_key' was not read".to_owned()))?;
        for (at, id) in Identities::of(&batch)?.enumerate() {
            let Some((version, row)) = id.filter(|_| keys.is_valid(at)) else { return Ok(None) };
            let account =
                versions.entry(version).or_insert_with(|| (keys.value(at).to_owned(), 0, RowDigest::default()));
            account.1 += 1;
            account.2 += RowDigest::of_row(version, row);
            rows += 1;
        }
    }
    let keyed = versions.into_iter().map(|(id, (key, rows, digest))| (KeyedVersion { key, id }, rows, digest));
    Ok(Some(ExpiredFile { path: file.path.clone(), rows, versions: keyed.collect() }))
}
