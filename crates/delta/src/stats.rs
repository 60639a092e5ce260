//! Column statistics of a data file, in the form of a Delta log entry, taken from the finished Parquet footer.
//!
//! The Parquet encoder works them out anyway, so they cost nothing more, and their memory does not grow with the rows.
//! A bound may be wider than the values, never narrower: readers skip a file by it. So a maximum in time is rounded up
//! to the next millisecond (the log knows no finer), and a column with a NaN has no bounds, because engines differ in
//! where they sort it.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, UInt64Array};
use arrow::compute::{max, max_string, min, min_string, sum};
use arrow::datatypes::{
    ArrowNativeTypeOp, DataType, Date32Type, Decimal128Type, DecimalType, Field, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use connector_core::schema::PROVENANCE_COLUMNS;
use jiff::Timestamp;
use jiff::civil::Date;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

/// How many data columns have statistics: what readers expect by default.
const INDEXED_COLUMNS: usize = 32;
/// A longer bound is left out. The encoder cuts texts at 64 bytes, except a maximum that it cannot round up.
const LONGEST_TEXT: usize = 256;
/// Times that every engine can parse: the years 1 to 9999.
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;
const MILLIS_PER_DAY: i64 = 86_400_000;

#[derive(Clone, Copy)]
enum Side {
    Min,
    Max,
}

/// `{"numRecords": …, "minValues": {…}, "maxValues": {…}, "nullCount": {…}}` for the first 32 data columns and the
/// provenance columns; nothing is said of lists, which have no bounds. `schema`: the file's columns, by their plain Arrow
/// types.
pub(crate) fn from_parquet(metadata: &ParquetMetaData, schema: &Schema) -> Result<String, ParquetError> {
    let data_columns = schema.fields().len() - PROVENANCE_COLUMNS.len();
    let [mut mins, mut maxes, mut nulls] = [const { Members(String::new()) }; 3];
    for (index, field) in schema.fields().iter().enumerate() {
        let beyond = index >= INDEXED_COLUMNS && index < data_columns;
        if beyond || field.data_type().is_nested() {
            continue;
        }
        let column = ColumnBounds::read(metadata, schema, field)?;
        mins.add(field.name(), column.min);
        maxes.add(field.name(), column.max);
        nulls.add(field.name(), Some(column.nulls.to_string()));
    }
    let rows = metadata.file_metadata().num_rows();
    let Members(mins) = mins;
    let Members(maxes) = maxes;
    let Members(nulls) = nulls;
    Ok(format!(r#"{{"numRecords":{rows},"minValues":{{{mins}}},"maxValues":{{{maxes}}},"nullCount":{{{nulls}}}}}"#))
}

/// The members of a JSON object. Built as text, because a decimal may have more digits than a number in `serde_json`.
struct Members(String);

impl Members {
    fn add(&mut self, name: &str, literal: Option<String>) {
        let Some(literal) = literal else { return };
        let comma = if self.0.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{comma}{}:{literal}", quoted(name));
    }
}

struct ColumnBounds {
    min: Option<String>,
    max: Option<String>,
    nulls: u64,
}

impl ColumnBounds {
    fn read(metadata: &ParquetMetaData, schema: &Schema, field: &Field) -> Result<Self, ParquetError> {
        let converter = StatisticsConverter::try_new(field.name(), schema, metadata.file_metadata().schema_descr())?;
        let groups = metadata.row_groups();
        let null_counts = converter.row_group_null_counts(groups)?;
        let nulls = sum(&null_counts).unwrap_or_default();
        let without = Self { min: None, max: None, nulls };
        if field.data_type().is_floating() {
            let nans = converter.row_group_nan_counts(groups)?;
            if nans.null_count() > 0 || sum(&nans).unwrap_or_default() > 0 {
                return Ok(without);
            }
        }
        let (mins, maxes) = (converter.row_group_mins(groups)?, converter.row_group_maxes(groups)?);
        let rows: Vec<u64> = groups.iter().map(|group| group.num_rows().unsigned_abs()).collect();
        if !is_complete(&mins, &null_counts, &rows) || !is_complete(&maxes, &null_counts, &rows) {
            return Ok(without);
        }
        Ok(Self { min: bound(&mins, Side::Min), max: bound(&maxes, Side::Max), nulls })
    }
}

/// Whether every row group that has values has a bound.
fn is_complete(bounds: &ArrayRef, nulls: &UInt64Array, rows: &[u64]) -> bool {
    bounds.len() == rows.len()
        && nulls.len() == rows.len()
        && (0..rows.len()).all(|group| bounds.is_valid(group) || nulls.value(group) == rows[group])
}

/// The outermost of some bounds as a JSON literal; `None` for a type without bounds, or one that has no exact spelling.
fn bound(bounds: &ArrayRef, side: Side) -> Option<String> {
    match bounds.data_type() {
        DataType::Int8 => outermost::<Int8Type>(bounds, side).map(|value| value.to_string()),
        DataType::Int16 => outermost::<Int16Type>(bounds, side).map(|value| value.to_string()),
        DataType::Int32 => outermost::<Int32Type>(bounds, side).map(|value| value.to_string()),
        DataType::Int64 => outermost::<Int64Type>(bounds, side).map(|value| value.to_string()),
        // Widened, so that the decimal text is the very value whichever way it is read.
        DataType::Float32 => outermost::<Float32Type>(bounds, side).and_then(|value| float(value.into())),
        DataType::Float64 => outermost::<Float64Type>(bounds, side).and_then(float),
        DataType::Date32 => outermost::<Date32Type>(bounds, side).and_then(date),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            outermost::<TimestampMicrosecondType>(bounds, side).and_then(|micros| timestamp(micros, side))
        }
        DataType::Decimal128(precision, scale) => outermost::<Decimal128Type>(bounds, side)
            .map(|value| Decimal128Type::format_decimal(value, *precision, *scale)),
        DataType::Utf8 => {
            let texts = bounds.as_string::<i32>();
            let text = match side {
                Side::Min => min_string(texts),
                Side::Max => max_string(texts),
            };
            text.filter(|text| text.len() <= LONGEST_TEXT).map(quoted)
        }
        _ => None,
    }
}

fn outermost<T: ArrowPrimitiveType>(bounds: &ArrayRef, side: Side) -> Option<T::Native>
where
    T::Native: ArrowNativeTypeOp,
{
    let bounds = bounds.as_primitive::<T>();
    match side {
        Side::Min => min(bounds),
        Side::Max => max(bounds),
    }
}

fn float(value: f64) -> Option<String> {
    value.is_finite().then(|| serde_json::Value::from(value).to_string())
}

fn date(days: i32) -> Option<String> {
    if !(FIRST_DAY..=LAST_DAY).contains(&days) {
        return None;
    }
    let day = Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(days)).ok()?;
    Some(format!("\"{}\"", day.strftime("%Y-%m-%d")))
}

fn timestamp(micros: i64, side: Side) -> Option<String> {
    let past = matches!(side, Side::Max) && micros.rem_euclid(1000) != 0;
    let millis = micros.div_euclid(1000) + i64::from(past);
    let days = i64::from(FIRST_DAY)..=i64::from(LAST_DAY);
    if !days.contains(&millis.div_euclid(MILLIS_PER_DAY)) {
        return None;
    }
    let time = Timestamp::from_millisecond(millis).ok()?;
    Some(format!("\"{}\"", time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
