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
use ::parquet::errors::Result;
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Schema, TimeUnit, TimestampNanosecondType, TimestampSecondType,
};

use super::source::ParquetSource;
use super::tree::{Leaf, Node};

const NANOS: i64 = 1_000_000_000;

/// Whether the column is INT96, or has such a column in it.
pub(super) fn has_int96(node: &Node) -> bool {
    node.leaf == Leaf::Int96 || node.children.iter().any(has_int96)
}

/// A second reader, of these top-level columns only, that reads INT96 in seconds.
pub(super) fn seconds_reader(
    source: &ParquetSource,
    metadata: &ArrowReaderMetadata,
    nodes: &[Node],
    roots: &[usize],
    batch_rows: usize,
) -> Result<ParquetRecordBatchReader> {
    let fields = metadata.schema().fields().iter().zip(nodes).map(|(field, node)| in_seconds(field, node));
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields.collect::<Fields>())));
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?;
    let mask = ProjectionMask::roots(metadata.parquet_schema(), roots.iter().copied());
    ParquetRecordBatchReaderBuilder::new_with_metadata(source.clone(), metadata)
        .with_projection(mask)
        .with_batch_size(batch_rows)
        .build()
}

/// The field with [`TimeUnit::Second`] wherever the node is INT96.
fn in_seconds(field: &FieldRef, node: &Node) -> FieldRef {
    if !has_int96(node) {
        return Arc::clone(field);
    }
    let first =
        |field: &FieldRef| node.children.first().map_or_else(|| Arc::clone(field), |child| in_seconds(field, child));
    let each = |fields: &Fields| -> Fields {
        fields.iter().zip(&node.children).map(|(field, child)| in_seconds(field, child)).collect()
    };
    let data_type = match field.data_type() {
        DataType::List(item) => DataType::List(first(item)),
        DataType::Struct(fields) => DataType::Struct(each(fields)),
        DataType::Map(entries, sorted) => {
            let fields = match entries.data_type() {
                DataType::Struct(fields) => DataType::Struct(each(fields)),
                other => other.clone(),
            };
            DataType::Map(Arc::new(entries.as_ref().clone().with_data_type(fields)), *sorted)
        }
        _ => DataType::Timestamp(TimeUnit::Second, None),
    };
    let field: Field = field.as_ref().clone();
    Arc::new(field.with_data_type(data_type))
}

/// The exact nanoseconds of a row. `None` if the arrays are not such a pair, or nanosecond and second do not belong
/// together, as only a nanosecond of the day beyond 64 bits makes them.
pub(super) fn nanos(nanos: &ArrayRef, seconds: &ArrayRef, row: usize) -> Option<i128> {
    let nanos = nanos.as_primitive_opt::<TimestampNanosecondType>()?;
    let seconds = seconds.as_primitive_opt::<TimestampSecondType>()?;
    if nanos.len() != seconds.len() || row >= nanos.len() {
        return None;
    }
    exact(nanos.value(row), seconds.value(row))
}

fn exact(nanos: i64, seconds: i64) -> Option<i128> {
    let rest = nanos.wrapping_sub(seconds.wrapping_mul(NANOS));
    (0..NANOS).contains(&rest).then(|| i128::from(seconds) * i128::from(NANOS) + i128::from(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_nanoseconds_and_seconds_give_the_exact_value() {
        // 0001-01-01, 1969-12-31T23:59:59.999999, 2024-02-29, 9999-12-31T23:59:59.999999.
        for micros in [-62_135_596_800_000_000i64, -1, 1_709_164_800_000_001, 253_402_300_799_999_999] {
            let seconds = micros.div_euclid(1_000_000);
            let wanted = i128::from(micros) * 1_000;
            assert_eq!(exact(micros.wrapping_mul(1_000), seconds), Some(wanted));
            assert_eq!(exact(micros.wrapping_mul(1_000).wrapping_add(1), seconds), Some(wanted + 1));
        }
        assert_eq!(exact(0, 1), None, "they do not belong together");
    }
}
