//! Expressions of DEFAULT and ENGINE_TTL: literals, `now()` and its like, a column, functions of times, and a shift by
//! an interval. Everything else is refused when the configuration is checked.
//!
//! | module | what it does |
//! |---|---|
//! | `parse`, `lex`, `escape` | from ClickHouse's spelling, wherever it comes from: a `.datasource`, the ledger, a table property |
//! | `display` | into ClickHouse's spelling |
//! | `check` | against the columns of a table: do they exist, do the types go together |
//! | `evaluate` | for one row, in civil UTC time |

mod check;
mod display;
mod escape;
mod evaluate;
mod lex;
mod parse;

#[cfg(test)]
mod tests;

pub use check::{CheckError, expression_order};
pub use escape::unescape;
pub use evaluate::{NoValue, Value};

/// An expression. Its [`std::fmt::Display`] is ClickHouse's spelling, and [`Expr::parse`] reads it back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expr {
    /// `now()`: the time at which the batch was claimed, in whole seconds, UTC.
    Now,
    /// `now64(precision)`.
    Now64 {
        /// Digits after the second, 0 to 6.
        precision: u8,
    },
    /// `today()`.
    Today,
    /// A column of the same row.
    Column(String),
    /// A literal text or number, in the spelling that a CSV cell would have.
    Literal(String),
    Call {
        function: Function,
        argument: Box<Expr>,
    },
    /// `base + toIntervalDay(30)`, `base - INTERVAL 1 MONTH`.
    Shift {
        base: Box<Expr>,
        count: i64,
        unit: IntervalUnit,
    },
}

/// Why a text is no expression that is possible here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// Where in the text, in bytes; always at a character boundary, at most the text's length.
    pub offset: usize,
    pub message: String,
}

/// What an expression may consist of, for hints.
pub const POSSIBLE: &str = "possible are literals, now(), now64(), today(), a column, toDate, toDateTime, toYYYYMM, \
                            toYYYYMMDD, toYear, toMonday, toStartOfMinute, -Hour, -Day, -Week, -Month, -Quarter and \
                            -Year, and + or - with toIntervalDay(30) and its like or INTERVAL 30 DAY";

impl Expr {
    /// Reads an expression. Function names and units are matched without regard to case, column names are not.
    ///
    /// # Errors
    /// With the place and the reason, if the text is anything but one expression.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        parse::parse(text)
    }

    /// The columns that the value depends on, in order of appearance.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Column(name) => vec![name],
            Self::Call { argument: inner, .. } | Self::Shift { base: inner, .. } => inner.columns(),
            Self::Now | Self::Now64 { .. } | Self::Today | Self::Literal(_) => Vec::new(),
        }
    }

    /// The same expression with its columns called otherwise.
    pub fn with_columns(self, name: &mut impl FnMut(String) -> String) -> Self {
        match self {
            Self::Column(column) => Self::Column(name(column)),
            Self::Call { function, argument } => {
                Self::Call { function, argument: Box::new(argument.with_columns(name)) }
            }
            Self::Shift { base, count, unit } => Self::Shift { base: Box::new(base.with_columns(name)), count, unit },
            other => other,
        }
    }
}

/// A function of one date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    ToDate,
    ToDateTime,
    ToYyyymm,
    ToYyyymmdd,
    ToYear,
    ToStartOfMinute,
    ToStartOfHour,
    ToStartOfDay,
    /// The Sunday on or before; `toStartOfWeek(x, 1)` is [`Function::ToMonday`].
    ToStartOfWeek,
    ToMonday,
    ToStartOfMonth,
    ToStartOfQuarter,
    ToStartOfYear,
}

impl Function {
    pub const ALL: [Self; 13] = [
        Self::ToDate,
        Self::ToDateTime,
        Self::ToYyyymm,
        Self::ToYyyymmdd,
        Self::ToYear,
        Self::ToStartOfMinute,
        Self::ToStartOfHour,
        Self::ToStartOfDay,
        Self::ToStartOfWeek,
        Self::ToMonday,
        Self::ToStartOfMonth,
        Self::ToStartOfQuarter,
        Self::ToStartOfYear,
    ];

    /// ClickHouse's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ToDate => "toDate",
            Self::ToDateTime => "toDateTime",
            Self::ToYyyymm => "toYYYYMM",
            Self::ToYyyymmdd => "toYYYYMMDD",
            Self::ToYear => "toYear",
            Self::ToStartOfMinute => "toStartOfMinute",
            Self::ToStartOfHour => "toStartOfHour",
            Self::ToStartOfDay => "toStartOfDay",
            Self::ToStartOfWeek => "toStartOfWeek",
            Self::ToMonday => "toMonday",
            Self::ToStartOfMonth => "toStartOfMonth",
            Self::ToStartOfQuarter => "toStartOfQuarter",
            Self::ToStartOfYear => "toStartOfYear",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntervalUnit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl IntervalUnit {
    pub const ALL: [Self; 8] =
        [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// As in `toIntervalDay`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "Second",
            Self::Minute => "Minute",
            Self::Hour => "Hour",
            Self::Day => "Day",
            Self::Week => "Week",
            Self::Month => "Month",
            Self::Quarter => "Quarter",
            Self::Year => "Year",
        }
    }
}
