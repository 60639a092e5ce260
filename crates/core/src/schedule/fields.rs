//! One field of a cron expression: a list of numbers, names, ranges and steps.

use super::CronError;

/// What a field may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    name: &'static str,
    min: u8,
    max: u8,
    /// Names of the numbers from `min` on.
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// The greatest day of the week: Sunday once more.
const SUNDAY: u8 = 7;
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Field {
    pub(super) const ALL: [Self; 5] = [
        Self { name: "minute", min: 0, max: 59, names: &[] },
        Self { name: "hour", min: 0, max: 23, names: &[] },
        Self { name: "day of month", min: 1, max: 31, names: &[] },
        Self { name: "month", min: 1, max: 12, names: MONTHS },
        Self { name: "day of week", min: 0, max: SUNDAY, names: DAYS },
    ];

    fn number(self, text: &str) -> Option<u8> {
        let named = || self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits {
            text.parse().ok()
        } else {
            named().and_then(|at| u8::try_from(at).ok()).map(|at| at + self.min)
        };
        number.filter(|number| (self.min..=self.max).contains(number))
    }

    fn allowed(self) -> String {
        let Self { min, max, names, .. } = self;
        match names {
            [first, .., last] => format!("{min} to {max}, or {first} to {last}"),
            _ => format!("{min} to {max}"),
        }
    }
}

/// The numbers of a field as bits. `offset`: where it stands.
pub(super) fn parse_field(field: Field, text: &str, offset: usize) -> Result<u64, CronError> {
    let mut bits = 0;
    let mut at = offset;
    for item in text.split(',') {
        bits |= parse_item(field, item)
            .map_err(|why| CronError { offset: at, message: format!("'{item}' is no {}: {why}", field.name) })?;
        at += item.len() + 1;
    }
    Ok(bits)
}

fn parse_item(field: Field, item: &str) -> Result<u64, String> {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (item, None),
    };
    let allowed = || format!("it is {}", field.allowed());
    let (low, high) = match range.split_once('-') {
        _ if range == "*" => (field.min, field.max),
        Some((low, high)) => (field.number(low).ok_or_else(allowed)?, field.number(high).ok_or_else(allowed)?),
        None if step.is_some() => {
            let number = field.number(range).ok_or_else(allowed)?;
            return Err(format!("a step needs a range, such as {number}-{}/{}", field.max, step.unwrap_or_default()));
        }
        None => {
            let number = field.number(range).ok_or_else(allowed)?;
            (number, number)
        }
    };
    // Sunday is 7 as well, so a week may end with it.
    let high = if high == 0 && low > 0 && field.max == SUNDAY { SUNDAY } else { high };
    if high < low {
        return Err("the range ends before it begins".to_owned());
    }
    let step = match step {
        None => 1,
        Some(text) => text
            .parse::<u8>()
            .ok()
            .filter(|step| (1..=field.max).contains(step))
            .ok_or_else(|| format!("a step is a whole number from 1 to {}", field.max))?,
    };
    Ok((low..=high).step_by(usize::from(step)).fold(0, |bits, number| bits | 1 << number))
}
