//! DEFAULT expressions: the values of rows that have none, once all columns of a block are built.
//!
//! Columns are filled in the order in which they refer to each other. An expression without a column is evaluated once,
//! one that is nothing but a column copies that column's values, and only what is left is evaluated row by row.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Date32Array, Decimal128Array, PrimitiveArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::interleave;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use connector_core::error::Failure;
use connector_core::expr::{Expr, NoValue, Value, expression_order};
use connector_core::schema::{Column, ColumnDefault, TableSchema};
use connector_core::types::ColumnType;
use jiff::Timestamp;
use std::sync::Arc;

use crate::error::DecodeError;

/// Puts the values of default expressions into `arrays`. `defaulted`: for each column the rows that need one,
/// ascending. `now`: when the batch was claimed.
///
/// Answers, as column and row, where the expression gives no value: it lies outside the years 1 to 9999, or what it
/// depends on is NULL and the column is not nullable. The placeholder then stays.
///
/// # Errors
/// `Bug` with code `decode_bug` if the expressions do not fit the schema, which the configuration's check has refused.
pub(crate) fn fill(
    schema: &TableSchema,
    arrays: &mut [ArrayRef],
    defaulted: &[Vec<u32>],
    now: Timestamp,
) -> Result<Vec<(u32, u32)>, Failure> {
    let mut failed = Vec::new();
    if defaulted.iter().all(Vec::is_empty) {
        return Ok(failed);
    }
    for index in expression_order(&schema.columns).map_err(bug)? {
        let column = &schema.columns[index];
        let Some(ColumnDefault::Expression(expression)) = &column.default else { continue };
        let rows = defaulted.get(index).map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            continue;
        }
        let source = source(schema, arrays, expression)?;
        let from = expression.result(&schema.columns).map_err(bug)?;
        let given = match (expression, &source) {
            (Expr::Column(_), Some((from, values))) if from.ty == column.ty => copied(values, rows),
            (_, None) => constant(expression, &from, column, rows, now)?,
            (_, Some((_, values))) => calculated(expression, &from, column, values, rows, now)?,
        };
        let lacking = |(at, row): (usize, &u32)| given.is_none(at, column.nullable).then_some((index as u32, *row));
        failed.extend(rows.iter().enumerate().filter_map(lacking));
        arrays[index] = given.put(&arrays[index], rows, column.nullable)?;
    }
    Ok(failed)
}

fn bug(reason: impl std::fmt::Display) -> Failure {
    DecodeError::Internal { reason: reason.to_string() }.into()
}

/// The column that an expression depends on: there is at most one.
fn source<'s>(
    schema: &'s TableSchema,
    arrays: &[ArrayRef],
    expression: &Expr,
) -> Result<Option<(&'s Column, ArrayRef)>, Failure> {
    let Some(name) = expression.columns().first().copied() else { return Ok(None) };
    let found = schema.columns.iter().zip(arrays).find(|(column, _)| column.name == name);
    let missing = || bug(format!("the default '{expression}' refers to a column that is not there"));
    found.map(|(column, values)| Some((column, Arc::clone(values)))).ok_or_else(missing)
}

/// What an expression gives for the rows that need it.
struct Given {
    values: ArrayRef,
    /// For each of the rows, which of the values it takes; `None` if it has none at all.
    picks: Vec<Option<usize>>,
}

impl Given {
    /// Whether the row at this place has no value that the column takes.
    fn is_none(&self, at: usize, nullable: bool) -> bool {
        self.picks[at].is_none_or(|pick| !nullable && self.values.is_null(pick))
    }

    /// The column's values with these in their places.
    fn put(&self, array: &ArrayRef, rows: &[u32], nullable: bool) -> Result<ArrayRef, Failure> {
        let mut picks: Vec<(usize, usize)> = (0..array.len()).map(|row| (0, row)).collect();
        for (at, row) in rows.iter().enumerate() {
            if let (Some(pick), false) = (self.picks[at], self.is_none(at, nullable)) {
                let place =
                    picks.get_mut(*row as usize).ok_or_else(|| bug("a row lies behind the end of its block"))?;
                *place = (1, pick);
            }
        }
        interleave(&[array.as_ref(), self.values.as_ref()], &picks).map_err(bug)
    }
}

fn copied(values: &ArrayRef, rows: &[u32]) -> Given {
    let pick = |row: &u32| Some(*row as usize).filter(|row| *row < values.len());
    Given { values: Arc::clone(values), picks: rows.iter().map(pick).collect() }
}

fn constant(
    expression: &Expr,
    from: &ColumnType,
    column: &Column,
    rows: &[u32],
    now: Timestamp,
) -> Result<Given, Failure> {
    let value = evaluated(expression, from, column, now, Ok(Value::Null))?;
    let pick = value.is_some().then_some(0);
    Ok(Given { values: array(&[value], column)?, picks: vec![pick; rows.len()] })
}

fn calculated(
    expression: &Expr,
    from: &ColumnType,
    column: &Column,
    values: &ArrayRef,
    rows: &[u32],
    now: Timestamp,
) -> Result<Given, Failure> {
    let read = reader(values)?;
    let value = |row: &u32| evaluated(expression, from, column, now, read(*row as usize));
    let found: Vec<Option<Value>> = rows.iter().map(value).collect::<Result<_, Failure>>()?;
    let picks = found.iter().enumerate().map(|(at, value)| value.is_some().then_some(at)).collect();
    Ok(Given { values: array(&found, column)?, picks })
}

/// The value for one row, as the column takes it; `None` if there is none.
fn evaluated(
    expression: &Expr,
    from: &ColumnType,
    column: &Column,
    now: Timestamp,
    input: Result<Value, NoValue>,
) -> Result<Option<Value>, Failure> {
    let found = expression.evaluate(now, &mut |_| input.clone()).and_then(|value| value.cast(from, &column.ty));
    match found {
        Ok(value) => Ok(Some(value)),
        Err(NoValue::OutOfRange) => Ok(None),
        Err(NoValue::WrongType) => Err(bug(format!("the default '{expression}' is not {}", column.ty))),
    }
}

/// Reads single values of a column.
type Read<'a> = Box<dyn Fn(usize) -> Result<Value, NoValue> + 'a>;

fn reader(values: &ArrayRef) -> Result<Read<'_>, Failure> {
    let read: Read<'_> = match values.data_type() {
        DataType::Date32 => each(values.as_primitive::<Date32Type>(), Value::of_days),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            each(values.as_primitive::<TimestampMicrosecondType>(), Value::of_micros)
        }
        DataType::Int8 => each(values.as_primitive::<Int8Type>(), number),
        DataType::Int16 => each(values.as_primitive::<Int16Type>(), number),
        DataType::Int32 => each(values.as_primitive::<Int32Type>(), number),
        DataType::Int64 => each(values.as_primitive::<Int64Type>(), number),
        DataType::Decimal128(_, 0) => each(values.as_primitive::<Decimal128Type>(), number),
        other => return Err(bug(format!("a default cannot be calculated from {other}"))),
    };
    Ok(read)
}

fn each<'a, T: ArrowPrimitiveType>(
    values: &'a PrimitiveArray<T>,
    read: impl Fn(T::Native) -> Result<Value, NoValue> + 'a,
) -> Read<'a> {
    Box::new(move |row| if values.is_null(row) { Ok(Value::Null) } else { read(values.value(row)) })
}

fn number(value: impl Into<i128>) -> Result<Value, NoValue> {
    Ok(Value::Number(value.into()))
}

/// An array of the column's type; NULL where there is no value.
fn array(values: &[Option<Value>], column: &Column) -> Result<ArrayRef, Failure> {
    let ty = column.ty.arrow();
    let array: ArrayRef = match &ty {
        DataType::Date32 => Arc::new(values.iter().map(|value| value.as_ref()?.days()).collect::<Date32Array>()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = values.iter().map(|value| value.as_ref()?.micros());
            Arc::new(micros.collect::<TimestampMicrosecondArray>().with_data_type(ty.clone()))
        }
        DataType::Int8 => numbers::<Int8Type>(values),
        DataType::Int16 => numbers::<Int16Type>(values),
        DataType::Int32 => numbers::<Int32Type>(values),
        DataType::Int64 => numbers::<Int64Type>(values),
        DataType::Decimal128(_, 0) => {
            let numbers = values.iter().map(|value| number_of(value.as_ref()?));
            Arc::new(numbers.collect::<Decimal128Array>().with_data_type(ty.clone()))
        }
        DataType::Utf8 => Arc::new(values.iter().map(|value| text_of(value.as_ref()?)).collect::<StringArray>()),
        other => return Err(bug(format!("a default cannot be calculated into {other}"))),
    };
    Ok(array)
}

fn numbers<T: ArrowPrimitiveType>(values: &[Option<Value>]) -> ArrayRef
where
    T::Native: TryFrom<i128>,
{
    let number = |value: &Option<Value>| T::Native::try_from(number_of(value.as_ref()?)?).ok();
    Arc::new(values.iter().map(number).collect::<PrimitiveArray<T>>())
}

fn number_of(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
#[path = "defaults_tests.rs"]
mod tests;
