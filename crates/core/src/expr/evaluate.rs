//! The value of an expression for one row.
//!
//! Times are civil times in UTC, which has every second that a calendar has, so that nothing here depends on a time
//! zone or on the time of the evaluation. Whatever leaves the years 1 to 9999 has no value.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::Offset;
use jiff::{Span, Timestamp};

use super::{Expr, Function, IntervalUnit};
use crate::types::ColumnType;

/// What an expression, or a column that it refers to, is for one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Date(Date),
    Time(DateTime),
    Number(i128),
    Text(String),
}

/// The expression has no value for this row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    #[error("the value lies outside the years 1 to 9999")]
    OutOfRange,
    #[error("a value has a type that the expression does not take")]
    WrongType,
}

const EPOCH: Date = jiff::civil::date(1970, 1, 1);
const DAY_MICROS: i64 = 86_400_000_000;

impl Value {
    /// From days since 1970-01-01. [`Value::Null`] never comes out of it.
    ///
    /// # Errors
    /// Outside the years 1 to 9999.
    pub fn of_days(days: i32) -> Result<Self, NoValue> {
        date_of_days(i64::from(days)).map(Self::Date)
    }

    /// From microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// Outside the years 1 to 9999.
    pub fn of_micros(micros: i64) -> Result<Self, NoValue> {
        let date = date_of_days(micros.div_euclid(DAY_MICROS))?;
        let rest = micros.rem_euclid(DAY_MICROS);
        let (seconds, below) = (rest / 1_000_000, rest % 1_000_000);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let time = Time::new(hour as i8, minute as i8, second as i8, below as i32 * 1_000);
        time.map(|time| Self::Time(date.to_datetime(time))).map_err(|_| NoValue::OutOfRange)
    }

    /// Days since 1970-01-01, of a date.
    pub fn days(&self) -> Option<i32> {
        match self {
            Self::Date(date) => days(*date).try_into().ok(),
            _ => None,
        }
    }

    /// Microseconds since 1970-01-01 UTC, of a time.
    pub fn micros(&self) -> Option<i64> {
        let Self::Time(time) = self else { return None };
        let of_day = time.time().duration_since(Time::midnight());
        Some(days(time.date()) * DAY_MICROS + i64::try_from(of_day.as_micros()).ok()?)
    }

    /// The value as ClickHouse converts it when it is stored in a column of this type: times lose what the type does
    /// not hold. `from`: the type of the expression that gave it, [`Expr::result`]; a text of a time has as many digits
    /// after the second as that. Call it only for types that [`Expr::check`] has allowed.
    ///
    /// # Errors
    /// A type that it does not go into.
    pub fn cast(self, from: &ColumnType, ty: &ColumnType) -> Result<Self, NoValue> {
        match (self, ty) {
            (Self::Null, _) => Ok(Self::Null),
            (Self::Time(time), ColumnType::Date) => Ok(Self::Date(time.date())),
            (Self::Date(date), ColumnType::Date) => Ok(Self::Date(date)),
            (Self::Date(date), ColumnType::DateTime | ColumnType::DateTime64 { .. }) => {
                Ok(Self::Time(date.to_datetime(Time::midnight())))
            }
            (Self::Time(time), ColumnType::DateTime) => Ok(Self::Time(cut(time, 0))),
            (Self::Time(time), ColumnType::DateTime64 { precision }) => Ok(Self::Time(cut(time, *precision))),
            (Self::Date(date), ColumnType::String) => Ok(Self::Text(date.to_string())),
            (Self::Time(time), ColumnType::String) => Ok(Self::Text(text(time, from))),
            (Self::Number(number), ColumnType::String) => Ok(Self::Text(number.to_string())),
            (Self::Number(number), ty) if super::check::is_integer(ty) => Ok(Self::Number(number)),
            (Self::Text(text), ColumnType::String) => Ok(Self::Text(text)),
            _ => Err(NoValue::WrongType),
        }
    }
}

impl Expr {
    /// The expression's value. `now`: when the batch was claimed. `column`: the value of a column of the row, by its
    /// name in the table. A column that is NULL makes the whole NULL.
    ///
    /// # Errors
    /// Outside the years 1 to 9999, or a column's value is not of the type that was checked.
    pub fn evaluate(
        &self,
        now: Timestamp,
        column: &mut impl FnMut(&str) -> Result<Value, NoValue>,
    ) -> Result<Value, NoValue> {
        match self {
            Self::Now => Ok(Value::Time(cut(Offset::UTC.to_datetime(now), 0))),
            Self::Now64 { precision } => Ok(Value::Time(cut(Offset::UTC.to_datetime(now), *precision))),
            Self::Today => Ok(Value::Date(Offset::UTC.to_datetime(now).date())),
            Self::Column(name) => column(name),
            Self::Literal(text) => Ok(Value::Text(text.clone())),
            Self::Call { function, argument } => match argument.evaluate(now, column)? {
                Value::Null => Ok(Value::Null),
                Value::Date(date) => call(*function, date.to_datetime(Time::midnight())),
                Value::Time(time) => call(*function, time),
                Value::Text(text) => match function {
                    Function::ToDate => date(&text).map(Value::Date),
                    Function::ToDateTime => time(&text).map(Value::Time),
                    _ => None,
                }
                .ok_or(NoValue::WrongType),
                Value::Number(_) => Err(NoValue::WrongType),
            },
            Self::Shift { base, count, unit } => match base.evaluate(now, column)? {
                Value::Null => Ok(Value::Null),
                Value::Date(date) if !unit.is_part_of_day() => {
                    let span = span(*count, *unit)?;
                    date.checked_add(span).map_err(|_| NoValue::OutOfRange).and_then(in_range).map(Value::Date)
                }
                Value::Date(date) => shift(date.to_datetime(Time::midnight()), *count, *unit),
                Value::Time(time) => shift(time, *count, *unit),
                Value::Number(_) | Value::Text(_) => Err(NoValue::WrongType),
            },
        }
    }
}

/// `YYYY-MM-DD`.
pub(super) fn date(text: &str) -> Option<Date> {
    let shape = text.len() == 10 && text.bytes().enumerate().all(|(at, byte)| is_date_byte(at, byte));
    let date: Date = shape.then(|| text.parse().ok()).flatten()?;
    in_range(date).ok()
}

/// `YYYY-MM-DD hh:mm:ss`, with a space or a T, or a date alone.
pub(super) fn time(text: &str) -> Option<DateTime> {
    if let Some(date) = date(text) {
        return Some(date.to_datetime(Time::midnight()));
    }
    let (day, clock) = (text.get(..10)?, text.get(11..)?);
    let shape = clock.len() == 8
        && clock.bytes().enumerate().all(|(at, byte)| if at % 3 == 2 { byte == b':' } else { byte.is_ascii_digit() });
    let between = matches!(text.as_bytes()[10], b' ' | b'T');
    // A 60th second is none that a table holds.
    let clock: Time = (shape && between && !clock.ends_with("60")).then(|| clock.parse().ok()).flatten()?;
    Some(date(day)?.to_datetime(clock))
}

fn is_date_byte(at: usize, byte: u8) -> bool {
    if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() }
}

fn call(function: Function, time: DateTime) -> Result<Value, NoValue> {
    let date = time.date();
    let (year, month, day) = (i128::from(date.year()), i128::from(date.month()), i128::from(date.day()));
    let start = |month: i8| Date::new(date.year(), month, 1).map(Value::Date).map_err(|_| NoValue::OutOfRange);
    let back = |days: i8| {
        let day = date.checked_sub(Span::new().days(days)).map_err(|_| NoValue::OutOfRange)?;
        in_range(day).map(Value::Date)
    };
    match function {
        Function::ToDate => Ok(Value::Date(date)),
        Function::ToDateTime => Ok(Value::Time(cut(time, 0))),
        Function::ToYear => Ok(Value::Number(year)),
        Function::ToYyyymm => Ok(Value::Number(year * 100 + month)),
        Function::ToYyyymmdd => Ok(Value::Number(year * 10_000 + month * 100 + day)),
        Function::ToStartOfMinute => Ok(Value::Time(date.at(time.hour(), time.minute(), 0, 0))),
        Function::ToStartOfHour => Ok(Value::Time(date.at(time.hour(), 0, 0, 0))),
        Function::ToStartOfDay => Ok(Value::Time(date.to_datetime(Time::midnight()))),
        Function::ToStartOfWeek => back(date.weekday().since(Weekday::Sunday)),
        Function::ToMonday => back(date.weekday().since(Weekday::Monday)),
        Function::ToStartOfMonth => start(date.month()),
        Function::ToStartOfQuarter => start((date.month() - 1) / 3 * 3 + 1),
        Function::ToStartOfYear => start(1),
    }
}

fn shift(time: DateTime, count: i64, unit: IntervalUnit) -> Result<Value, NoValue> {
    let moved = time.checked_add(span(count, unit)?).map_err(|_| NoValue::OutOfRange)?;
    in_range(moved.date()).map(|_| Value::Time(moved))
}

/// Longer spans than these can hold lead out of the calendar from wherever they begin.
fn span(count: i64, unit: IntervalUnit) -> Result<Span, NoValue> {
    let span = Span::new();
    let quarters = || count.checked_mul(3).map(|months| span.try_months(months));
    let made = match unit {
        IntervalUnit::Second => span.try_seconds(count),
        IntervalUnit::Minute => span.try_minutes(count),
        IntervalUnit::Hour => span.try_hours(count),
        IntervalUnit::Day => span.try_days(count),
        IntervalUnit::Week => span.try_weeks(count),
        IntervalUnit::Month => span.try_months(count),
        IntervalUnit::Quarter => quarters().ok_or(NoValue::OutOfRange)?,
        IntervalUnit::Year => span.try_years(count),
    };
    made.map_err(|_| NoValue::OutOfRange)
}

/// The text of a time of this type.
fn text(time: DateTime, ty: &ColumnType) -> String {
    let (date, clock) = (time.date(), time.time());
    match ty {
        ColumnType::DateTime64 { precision: precision @ 1..=9 } => {
            format!("{date} {clock:.*}", usize::from(*precision))
        }
        _ => format!("{date} {clock:.0}"),
    }
}

/// Without the digits after the second beyond `precision`.
fn cut(time: DateTime, precision: u8) -> DateTime {
    let unit = 10i32.pow(9 - u32::from(precision.min(9)));
    let whole = time.subsec_nanosecond() / unit * unit;
    time.date().at(time.hour(), time.minute(), time.second(), whole)
}

fn in_range(date: Date) -> Result<Date, NoValue> {
    if date.year() >= 1 { Ok(date) } else { Err(NoValue::OutOfRange) }
}

fn date_of_days(days: i64) -> Result<Date, NoValue> {
    let span = Span::new().try_days(days).map_err(|_| NoValue::OutOfRange)?;
    EPOCH.checked_add(span).map_err(|_| NoValue::OutOfRange).and_then(in_range)
}

fn days(date: Date) -> i64 {
    date.duration_since(EPOCH).as_hours() / 24
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
