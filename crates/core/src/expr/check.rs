//! Do an expression's columns exist, and do its types go together?

use super::{Expr, Function, IntervalUnit, evaluate};
use crate::schema::{Column, ColumnDefault};
use crate::types::ColumnType;

impl Expr {
    /// Whether the expression gives values for a column of type `wanted`. Its columns are looked up by their names in
    /// the table. That defaults do not depend on each other in a circle is for [`expression_order`] to say.
    ///
    /// # Errors
    /// What is wrong, as a sentence of a message.
    pub fn check(&self, columns: &[Column], wanted: &ColumnType) -> Result<(), String> {
        let found = self.result(columns)?;
        let same_column = matches!(self, Self::Column(_)) && found == *wanted;
        if same_column || self.goes_into(&found, wanted) {
            return Ok(());
        }
        Err(format!("'{self}' is {found}, which does not go into {wanted}"))
    }

    /// The type of the expression's values: that which ClickHouse gives them.
    ///
    /// # Errors
    /// A column that is not there, or a function or interval that its argument does not take.
    pub fn result(&self, columns: &[Column]) -> Result<ColumnType, String> {
        match self {
            Self::Now => Ok(ColumnType::DateTime),
            Self::Now64 { precision } => Ok(ColumnType::DateTime64 { precision: *precision }),
            Self::Today => Ok(ColumnType::Date),
            Self::Literal(_) => Ok(ColumnType::String),
            Self::Column(name) => {
                let column = columns.iter().find(|column| column.name == *name);
                column.map(|column| column.ty.clone()).ok_or_else(|| format!("there is no column '{name}'"))
            }
            Self::Call { function, argument } => match argument.as_ref() {
                Self::Literal(text) => literal_argument(*function, text),
                argument => function_result(*function, &argument.result(columns)?),
            },
            Self::Shift { base, unit, .. } => {
                let found = base.result(columns)?;
                match found {
                    ColumnType::Date if unit.is_part_of_day() => Ok(ColumnType::DateTime),
                    ColumnType::Date | ColumnType::DateTime | ColumnType::DateTime64 { .. } => Ok(found),
                    other => Err(format!("an interval can be added to a Date, DateTime or DateTime64, not to {other}")),
                }
            }
        }
    }

    /// As ClickHouse converts the value of a default into its column, as long as no value can be lost.
    fn goes_into(&self, found: &ColumnType, wanted: &ColumnType) -> bool {
        let calculated = !matches!(self, Self::Column(_));
        match (found, wanted) {
            (found, wanted) if is_time(found) => is_time(wanted) || (calculated && *wanted == ColumnType::String),
            (ColumnType::String, ColumnType::String) => true,
            (_, ColumnType::String) => calculated,
            _ => self.range(found).is_some_and(|(least, most)| holds(wanted, least, most)),
        }
    }

    /// The least and the greatest number that the expression gives.
    fn range(&self, found: &ColumnType) -> Option<(i128, i128)> {
        match self {
            Self::Call { function: Function::ToYear, .. } => Some((1, 9_999)),
            Self::Call { function: Function::ToYyyymm, .. } => Some((101, 999_912)),
            Self::Call { function: Function::ToYyyymmdd, .. } => Some((10_101, 99_991_231)),
            _ => integer_range(found),
        }
    }
}

impl IntervalUnit {
    /// Whether a date plus such an interval is a time.
    pub fn is_part_of_day(self) -> bool {
        matches!(self, Self::Second | Self::Minute | Self::Hour)
    }
}

fn is_time(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Date | ColumnType::DateTime | ColumnType::DateTime64 { .. })
}

/// `toDate('2024-01-01')`: the one way to write a date down.
fn literal_argument(function: Function, text: &str) -> Result<ColumnType, String> {
    match function {
        Function::ToDate if evaluate::date(text).is_some() => Ok(ColumnType::Date),
        Function::ToDateTime if evaluate::time(text).is_some() => Ok(ColumnType::DateTime),
        Function::ToDate => Err(format!("'{text}' is not a date such as '2024-01-31'")),
        Function::ToDateTime => Err(format!("'{text}' is not a time such as '2024-01-31 10:00:00'")),
        other => Err(format!("{other} takes a Date, DateTime or DateTime64, not a literal")),
    }
}

fn function_result(function: Function, argument: &ColumnType) -> Result<ColumnType, String> {
    let needs_time = matches!(function, Function::ToStartOfMinute | Function::ToStartOfHour);
    if !is_time(argument) {
        let date = if needs_time { "" } else { "Date, " };
        return Err(format!("{function} takes a {date}DateTime or DateTime64, not {argument}"));
    }
    if needs_time && *argument == ColumnType::Date {
        return Err(format!("{function} takes a DateTime or DateTime64, not a Date"));
    }
    Ok(match function {
        Function::ToYyyymm | Function::ToYyyymmdd => ColumnType::UInt32,
        Function::ToYear => ColumnType::UInt16,
        Function::ToDateTime | Function::ToStartOfMinute | Function::ToStartOfHour | Function::ToStartOfDay => {
            ColumnType::DateTime
        }
        Function::ToDate
        | Function::ToStartOfWeek
        | Function::ToMonday
        | Function::ToStartOfMonth
        | Function::ToStartOfQuarter
        | Function::ToStartOfYear => ColumnType::Date,
    })
}

/// Of integers that a table keeps as numbers.
fn integer_range(ty: &ColumnType) -> Option<(i128, i128)> {
    let signed = |bits: u32| Some((-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1));
    let unsigned = |bits: u32| Some((0, (1i128 << bits) - 1));
    match ty {
        ColumnType::Int8 => signed(8),
        ColumnType::Int16 => signed(16),
        ColumnType::Int32 => signed(32),
        ColumnType::Int64 => signed(64),
        ColumnType::UInt8 => unsigned(8),
        ColumnType::UInt16 => unsigned(16),
        ColumnType::UInt32 => unsigned(32),
        ColumnType::UInt64 => unsigned(64),
        _ => None,
    }
}

/// Whether it is an integer that a table keeps as a number.
pub(super) fn is_integer(ty: &ColumnType) -> bool {
    integer_range(ty).is_some()
}

fn holds(ty: &ColumnType, least: i128, most: i128) -> bool {
    integer_range(ty).is_some_and(|(lower, upper)| lower <= least && most <= upper)
}

/// Defaults depend on each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CheckError {
    /// The index of a column in the circle: that which comes first in the table.
    pub column: usize,
    pub message: String,
}

/// The columns with an expression as default, by index, each after those that it refers to: the order in which to fill
/// them.
///
/// # Errors
/// A circle, of one column or more.
pub fn expression_order(columns: &[Column]) -> Result<Vec<usize>, CheckError> {
    let mut done = Vec::new();
    let mut waiting: Vec<usize> = (0..columns.len()).filter(|index| expression(&columns[*index]).is_some()).collect();
    while !waiting.is_empty() {
        let (ready, rest): (Vec<usize>, Vec<usize>) =
            waiting.iter().partition(|index| !waiting.iter().any(|other| refers(columns, **index, *other)));
        if ready.is_empty() {
            return Err(circle(columns, &rest));
        }
        done.extend(ready);
        waiting = rest;
    }
    Ok(done)
}

fn expression(column: &Column) -> Option<&Expr> {
    match &column.default {
        Some(ColumnDefault::Expression(expression)) => Some(expression),
        _ => None,
    }
}

fn refers(columns: &[Column], from: usize, to: usize) -> bool {
    expression(&columns[from]).is_some_and(|default| default.columns().contains(&columns[to].name.as_str()))
}

/// Each of these refers to another of them, so that walking along must come back to where it has been.
fn circle(columns: &[Column], among: &[usize]) -> CheckError {
    let mut walked: Vec<usize> = Vec::new();
    let mut next = among.first().copied();
    while let Some(index) = next.filter(|index| !walked.contains(index)) {
        walked.push(index);
        next = among.iter().copied().find(|other| refers(columns, index, *other));
    }
    let begin = walked.iter().position(|index| Some(*index) == next).unwrap_or_default();
    let members = &walked[begin..];
    let first = members.iter().copied().min().unwrap_or_default();
    let at = members.iter().position(|index| *index == first).unwrap_or_default();
    let names: Vec<&str> =
        members[at..].iter().chain(&members[..at]).map(|index| columns[*index].name.as_str()).collect();
    let message = match names.as_slice() {
        [one] => format!("the DEFAULT of '{one}' refers to the column itself"),
        _ => format!("the DEFAULTs refer to each other in a circle: {} -> {}", names.join(" -> "), names[0]),
    };
    CheckError { column: first, message }
}
