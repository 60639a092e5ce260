//! When an import works by itself: `@auto`, on demand, or at the times of a five-field cron expression, in UTC.
//!
//! The parser is our own: five fields in UTC are a hundred lines, refusals can point at the very field, and no database
//! of time zones comes along.

mod fields;

use std::fmt;
use std::sync::Arc;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

use self::fields::{Field, parse_field};

/// `IMPORT_SCHEDULE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// A tick per [`crate::spec::ImportSpec::tick`], at most [`crate::spec::ImportSpec::max_files`] files each.
    Auto,
    /// Only when asked; then everything that is new.
    OnDemand,
    /// At these times, as if it were asked: everything that is new. A time that comes while a sync still runs, or while the
    /// import is paused, is not made up; one that passed while the program did not run is made up once.
    Cron(Cron),
}

impl Schedule {
    /// `@auto`, `@on-demand`, or the cron expression as it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Auto => "@auto",
            Self::OnDemand => "@on-demand",
            Self::Cron(cron) => cron.as_str(),
        }
    }

    pub fn cron(&self) -> Option<&Cron> {
        match self {
            Self::Cron(cron) => Some(cron),
            Self::Auto | Self::OnDemand => None,
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A cron expression: minute, hour, day of month, month, day of week; in UTC.
#[derive(Clone, PartialEq, Eq)]
pub struct Cron {
    text: Arc<str>,
    /// Bit n: the field holds n.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 0.
    weekdays: u64,
    /// Where both days are restricted, either is enough.
    either_day: bool,
}

/// Why a text is no cron expression. `offset` is a byte offset into the text, for a caret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CronError {
    pub offset: usize,
    pub message: String,
}

const FIELDS: usize = 5;
/// From one 29 February on a given weekday to the next may be forty years, over a century without a leap year.
const MAX_YEARS: i32 = 48;

impl Cron {
    /// # Errors
    /// If there are not five fields, one does not hold what it may hold, or the days never come.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let words: Vec<(usize, &str)> = words(text).collect();
        if words.len() != FIELDS {
            let message = format!(
                "a cron expression has five fields (minute, hour, day of month, month, day of week), here are {}",
                words.len()
            );
            let offset = words.get(FIELDS).map_or(0, |(offset, _)| *offset);
            return Err(CronError { offset, message });
        }
        let field = |index: usize| parse_field(Field::ALL[index], words[index].1, words[index].0);
        let (days, weekdays) = (field(2)?, field(4)?);
        let cron = Self {
            text: words.iter().map(|(_, word)| *word).collect::<Vec<_>>().join(" ").into(),
            minutes: field(0)?,
            hours: field(1)?,
            days,
            months: field(3)?,
            // 7 is Sunday, too.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !words[2].1.starts_with('*') && !words[4].1.starts_with('*'),
        };
        if !cron.has_day() {
            let message = "no month of these has such a day: it would never come".to_owned();
            return Err(CronError { offset: words[2].0, message });
        }
        Ok(cron)
    }

    /// The fields as they were written, one blank between them.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first time behind `after`; `None` only at the end of all time.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = TimeZone::UTC.to_datetime(after);
        let last_year = after.year().checked_add(i16::try_from(MAX_YEARS).ok()?)?;
        let (mut date, mut from) = (after.date(), Some(minute_of_day(after) + 1));
        while date.year() <= last_year {
            if self.has_month(date)
                && self.is_day(date)
                && let Some(time) = self.time_from(from.unwrap_or(0))
            {
                return TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok();
            }
            // Whole months that are not meant are passed over at once.
            date = if self.has_month(date) { date.tomorrow().ok()? } else { first_of_next_month(date)? };
            from = None;
        }
        None
    }

    /// Whether a time has come behind `last` and up to `now`.
    pub fn came_between(&self, last: Timestamp, now: Timestamp) -> bool {
        self.next_after(last).is_some_and(|time| time <= now)
    }

    /// How long from `now` to the next time.
    pub fn wait(&self, now: Timestamp) -> SignedDuration {
        self.next_after(now).map_or(SignedDuration::MAX, |next| next.duration_since(now))
    }

    fn has_month(&self, date: Date) -> bool {
        self.months & bit(date.month()) != 0
    }

    fn is_day(&self, date: Date) -> bool {
        let of_month = self.days & bit(date.day()) != 0;
        let of_week = self.weekdays & bit(date.weekday().to_sunday_zero_offset()) != 0;
        if self.either_day { of_month || of_week } else { of_month && of_week }
    }

    /// The first minute of a day that is not before this one.
    fn time_from(&self, minute_of_day: u32) -> Option<Time> {
        (minute_of_day..24 * 60).find_map(|at| {
            let (hour, minute) = (i8::try_from(at / 60).ok()?, i8::try_from(at % 60).ok()?);
            let comes = self.hours & bit(hour) != 0 && self.minutes & bit(minute) != 0;
            comes.then(|| Time::new(hour, minute, 0, 0).ok()).flatten()
        })
    }

    /// Whether any month that is meant is long enough.
    fn has_day(&self) -> bool {
        const LENGTHS: [i8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let lengths = (1..).zip(LENGTHS).filter(|(month, _)| self.months & bit(*month) != 0);
        let longest = lengths.map(|(_, length)| length).max().unwrap_or(0);
        self.either_day || (1..=longest).any(|day| self.days & bit(day) != 0)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn bit(number: i8) -> u64 {
    1 << number
}

fn minute_of_day(time: DateTime) -> u32 {
    u32::from(time.hour().unsigned_abs()) * 60 + u32::from(time.minute().unsigned_abs())
}

fn first_of_next_month(date: Date) -> Option<Date> {
    date.first_of_month().checked_add(1.month()).ok()
}

/// Words between blanks, each with its offset.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_ascii_whitespace().map(|word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
}

#[cfg(test)]
mod tests;
