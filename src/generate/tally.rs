//! What the rows of a file were: how many fit, what was wrong with the others, and which values there are.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use connector_core::block::Block;
use connector_core::schema::TableSchema;

/// Of the rows that were looked at.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub rows: u64,
    pub rejected: u64,
    /// By column of the table: rows with an error there, and the first message.
    pub bad_columns: BTreeMap<usize, (u64, String)>,
    /// The first row that does not fit, and why.
    pub first: Option<String>,
    extents: Vec<Option<Extent>>,
}

/// The least and the greatest value of a column, as text.
#[derive(Clone, Debug)]
struct Extent {
    least: (f64, i128, String),
    greatest: (f64, i128, String),
}

impl Tally {
    pub fn add(&mut self, block: &Block, schema: &TableSchema) {
        let rejected = &block.rejected;
        for row in 0..rejected.len() {
            let errors = rejected.errors_of(row);
            for error in errors {
                let Some(column) = error.column else { continue };
                let entry = self.bad_columns.entry(column as usize);
                entry.or_insert_with(|| (0, rejected.message(row, error, schema))).0 += 1;
            }
            if self.first.is_none() {
                let messages: Vec<String> = errors.iter().map(|error| rejected.message(row, error, schema)).collect();
                let number = self.rows + rejected.ordinals[row] + 1;
                self.first = Some(format!("row {number}: {}", messages.join("; ")));
            }
        }
        self.rows += block.records;
        self.rejected += rejected.len() as u64;
        self.extents.resize(schema.columns.len(), None);
        for (extent, array) in self.extents.iter_mut().zip(block.rows.columns()) {
            note(extent, array);
        }
    }

    /// From which value to which, where values have an order that tells something.
    pub fn extent(&self, column: usize) -> Option<(&str, &str)> {
        let extent = self.extents.get(column)?.as_ref()?;
        Some((&extent.least.2, &extent.greatest.2))
    }
}

/// A row, and its place in the order of values.
type Row = (usize, (f64, i128));

fn note(extent: &mut Option<Extent>, array: &dyn Array) {
    match array.data_type() {
        DataType::Int8 => whole::<Int8Type>(extent, array),
        DataType::Int16 => whole::<Int16Type>(extent, array),
        DataType::Int32 => whole::<Int32Type>(extent, array),
        DataType::Int64 => whole::<Int64Type>(extent, array),
        DataType::Date32 => whole::<Date32Type>(extent, array),
        DataType::Timestamp(..) => whole::<TimestampMicrosecondType>(extent, array),
        DataType::Decimal128(..) => whole::<Decimal128Type>(extent, array),
        DataType::Float32 => ordered::<Float32Type>(extent, array, |value| (f64::from(value), 0)),
        DataType::Float64 => ordered::<Float64Type>(extent, array, |value| (value, 0)),
        _ => {}
    }
}

fn whole<T: ArrowPrimitiveType>(extent: &mut Option<Extent>, array: &dyn Array)
where
    T::Native: Into<i128>,
{
    ordered::<T>(extent, array, |value| (0.0, value.into()));
}

/// Formats two values of a block at most, however many it has.
fn ordered<T: ArrowPrimitiveType>(
    extent: &mut Option<Extent>,
    array: &dyn Array,
    order: impl Fn(T::Native) -> (f64, i128),
) {
    let Some(values) = array.as_primitive_opt::<T>() else { return };
    let Ok(formatter) = ArrayFormatter::try_new(array, &FormatOptions::default()) else { return };
    let ordered = (0..values.len()).filter(|row| values.is_valid(*row)).map(|row| (row, order(values.value(row))));
    let (mut least, mut greatest): (Option<Row>, Option<Row>) = (None, None);
    for (row, key) in ordered {
        if least.is_none_or(|(_, known)| key < known) {
            least = Some((row, key));
        }
        if greatest.is_none_or(|(_, known)| key > known) {
            greatest = Some((row, key));
        }
    }
    let (Some(least), Some(greatest)) = (least, greatest) else { return };
    let text = |(row, (float, whole)): Row| (float, whole, formatter.value(row).to_string());
    let known = |one: &(f64, i128, String)| (one.0, one.1);
    match extent {
        None => *extent = Some(Extent { least: text(least), greatest: text(greatest) }),
        Some(extent) => {
            if least.1 < known(&extent.least) {
                extent.least = text(least);
            }
            if greatest.1 > known(&extent.greatest) {
                extent.greatest = text(greatest);
            }
        }
    }
}
