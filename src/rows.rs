//! Rows of a table for people and programs: each value as text, and as JSON without a digit lost.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};

/// The rows of a batch as text, with `null` for NULL.
///
/// # Errors
/// If a column has a type that cannot be shown.
pub fn texts(batch: &RecordBatch, null: &str) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default().with_null(null);
    let columns = batch.columns().iter().map(|array| ArrayFormatter::try_new(array, &options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let row = |row| columns.iter().map(|column| column.value(row).try_to_string()).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// One row as an object. Integers of up to 64 bits (decimals of up to 20 digits without a fraction among them), floats, truth values, lists and NULL are what they are in JSON; all
/// others, such as decimals and times, are their text, and so are infinite floats.
///
/// # Errors
/// If a column has a type that cannot be shown.
pub fn object(batch: &RecordBatch, row: usize) -> Result<Map<String, Value>, ArrowError> {
    let fields = batch.schema();
    let columns = fields.fields().iter().zip(batch.columns());
    columns.map(|(field, array)| Ok((field.name().clone(), value(array, row)?))).collect()
}

fn value(array: &dyn Array, row: usize) -> Result<Value, ArrowError> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let float = |value: f64| serde_json::Number::from_f64(value).map(Value::Number);
    Ok(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).into(),
        // Through its text, so that 0.1 does not become 0.10000000149011612.
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            value.to_string().parse().ok().and_then(float).map_or_else(|| text(array, row), Ok)?
        }
        DataType::Float64 => {
            float(array.as_primitive::<Float64Type>().value(row)).map_or_else(|| text(array, row), Ok)?
        }
        // How tables keep UInt64.
        DataType::Decimal128(..=20, 0) => {
            let whole = array.as_primitive::<Decimal128Type>().value(row);
            let small = i64::try_from(whole).map(Value::from).or_else(|_| u64::try_from(whole).map(Value::from));
            small.map_or_else(|_| text(array, row), Ok)?
        }
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            Value::Array((0..values.len()).map(|at| value(&values, at)).collect::<Result<_, _>>()?)
        }
        _ => text(array, row)?,
    })
}

fn text(array: &dyn Array, row: usize) -> Result<Value, ArrowError> {
    let formatter = ArrayFormatter::try_new(array, &FormatOptions::default())?;
    Ok(formatter.value(row).try_to_string()?.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array, ListArray, StringArray,
        TimestampMicrosecondArray, UInt64Array,
    };
    use serde_json::json;

    use super::*;

    fn column(name: &str, array: impl Array + 'static) -> (String, ArrayRef) {
        (name.to_owned(), Arc::new(array))
    }

    #[test]
    fn no_value_changes_on_its_way_into_json() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let decimal = Decimal128Array::from(vec![Some(12_345), None]).with_precision_and_scale(9, 2).expect("decimal");
        let whole = Decimal128Array::from(vec![i128::from(u64::MAX), i128::from(u64::MAX) + 1]);
        let whole = whole.with_precision_and_scale(20, 0).expect("decimal");
        let batch = RecordBatch::try_from_iter([
            column("whole", whole),
            column("big", UInt64Array::from(vec![Some(u64::MAX), None])),
            column("small", Int64Array::from(vec![Some(i64::MIN), None])),
            column("flag", BooleanArray::from(vec![Some(true), None])),
            column("short", Float32Array::from(vec![Some(0.1), Some(f32::NAN)])),
            column("long", Float64Array::from(vec![Some(0.1), Some(f64::INFINITY)])),
            column("list", list),
            column("decimal", decimal),
            column("at", TimestampMicrosecondArray::from(vec![Some(1_500_000), None]).with_timezone("UTC")),
            column("text", StringArray::from(vec![Some("NULL"), None])),
        ])
        .expect("a batch");
        let first = json!({
            "whole": u64::MAX, "big": u64::MAX, "small": i64::MIN, "flag": true, "short": 0.1, "long": 0.1, "list": [1, null],
            "decimal": "123.45", "at": "1970-01-01T00:00:01.500Z", "text": "NULL",
        });
        assert_eq!(Value::Object(object(&batch, 0).expect("shown")), first);
        let second = object(&batch, 1).expect("shown");
        assert_eq!((&second["text"], &second["list"], &second["at"]), (&Value::Null, &Value::Null, &Value::Null));
        assert_eq!((&second["short"], &second["long"]), (&json!("NaN"), &json!("inf")));
        assert_eq!(second["whole"], "18446744073709551616");
        assert_eq!(texts(&batch, "-").expect("shown")[1][1..], ["-", "-", "-", "NaN", "inf", "-", "-", "-", "-"]);
    }
}
