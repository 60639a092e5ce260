//! The old 96-bit timestamps: days and nanoseconds of the day, which together exceed every 64-bit unit but seconds.
//!
//! The reader underneath wraps around where a value does not fit into 64 bits of nanoseconds (before 1677, after
//! 2262), and truncates in coarser units. So such columns are read twice, in nanoseconds that may have wrapped and in
//! seconds that cannot, and the exact value is put together from both.

use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use ::parquet::basic::Type as PhysicalType;
use ::parquet::errors::Result;
use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampNanosecondType, TimestampSecondType};
use connector_core::schema::Column;
use connector_core::types::ColumnType;

use super::convert::detailed;
use super::source::ParquetSource;
use crate::columns::Built;
use crate::value::cell_error;

const NANOS: i64 = 1_000_000_000;

/// Whether the top-level column of this index is a plain INT96.
pub(super) fn is_int96(metadata: &ArrowReaderMetadata, root: usize) -> bool {
    let fields = metadata.parquet_schema().root_schema().get_fields();
    fields.get(root).is_some_and(|field| field.is_primitive() && field.get_physical_type() == PhysicalType::INT96)
}

/// A second reader, of these columns only, that reads them in seconds.
pub(super) fn seconds_reader(
    source: &ParquetSource,
    metadata: &ArrowReaderMetadata,
    roots: &[usize],
    batch_rows: usize,
) -> Result<ParquetRecordBatchReader> {
    let fields: Vec<Field> = metadata
        .schema()
        .fields()
        .iter()
        .enumerate()
        .map(|(root, field)| match roots.contains(&root) {
            true => field.as_ref().clone().with_data_type(DataType::Timestamp(TimeUnit::Second, None)),
            false => field.as_ref().clone(),
        })
        .collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?;
    let mask = ProjectionMask::roots(metadata.parquet_schema(), roots.iter().copied());
    ParquetRecordBatchReaderBuilder::new_with_metadata(source.clone(), metadata)
        .with_projection(mask)
        .with_batch_size(batch_rows)
        .build()
}

/// The exact values, from nanoseconds that may have wrapped and from seconds. A value that is not whole in the
/// column's precision, or beyond microseconds, is an error of its row. `None` if the arrays are not such a pair.
pub(super) fn combine(nanos: &ArrayRef, seconds: &ArrayRef, column: &Column) -> Option<Built> {
    let nanos = nanos.as_primitive_opt::<TimestampNanosecondType>()?;
    let seconds = seconds.as_primitive_opt::<TimestampSecondType>()?;
    if nanos.len() != seconds.len() {
        return None;
    }
    let digits = if let ColumnType::DateTime64 { precision } = column.ty { u32::from(precision.min(6)) } else { 0 };
    let step = 10i64.pow(6 - digits);
    let mut out = TimestampMicrosecondBuilder::with_capacity(nanos.len());
    let mut errors = Vec::new();
    for row in 0..nanos.len() {
        if nanos.is_null(row) || seconds.is_null(row) {
            out.append_null();
            continue;
        }
        let micros = micros(nanos.value(row), seconds.value(row)).filter(|micros| micros % step == 0);
        out.append_option(micros);
        if micros.is_none() {
            let value =
                format!("{} s and {} ns", seconds.value(row), within_second(nanos.value(row), seconds.value(row)));
            errors.push((row, cell_error(value.as_bytes(), column)));
        }
    }
    let values = Arc::new(out.finish().with_data_type(column.ty.arrow()));
    Some(Built { values, errors: detailed(errors) })
}

fn within_second(nanos: i64, seconds: i64) -> i64 {
    nanos.wrapping_sub(seconds.wrapping_mul(NANOS))
}

fn micros(nanos: i64, seconds: i64) -> Option<i64> {
    let rest = within_second(nanos, seconds);
    let whole = (0..NANOS).contains(&rest) && rest % 1_000 == 0;
    seconds.checked_mul(1_000_000)?.checked_add(rest / 1_000).filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_nanoseconds_and_seconds_give_the_exact_microsecond() {
        // 0001-01-01, 1969-12-31T23:59:59.999999, 2024-02-29, 9999-12-31T23:59:59.999999.
        for micros_wanted in [-62_135_596_800_000_000, -1, 1_709_164_800_000_001, 253_402_300_799_999_999] {
            let seconds = i64::div_euclid(micros_wanted, 1_000_000);
            assert_eq!(micros(micros_wanted.wrapping_mul(1_000), seconds), Some(micros_wanted));
            assert_eq!(micros(micros_wanted.wrapping_mul(1_000).wrapping_add(1), seconds), None, "not whole");
        }
        assert_eq!(micros(0, i64::MAX / 1_000), None, "beyond microseconds");
    }
}
