//! Dates and times as text, in one spelling each, UTC unless an offset says otherwise: that of cells, and of the
//! literals of a configuration that stand for cells.
//!
//! Whatever format they come from, they are of the years 0001 to 9999: a table may hold others, but common readers of
//! tables fail on them, and then on all of the table.

const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;
/// 0001-01-01 and 9999-12-31, as days since 1970-01-01.
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;
/// The most digits behind the second that a microsecond holds.
const MICRO_DIGITS: usize = 6;

/// `YYYY-MM-DD` of the years 0001 to 9999, as days since 1970-01-01.
#[inline]
pub fn date(text: &[u8]) -> Option<i32> {
    days(text)
}

/// Days since 1970-01-01, if they are of the years 0001 to 9999.
pub fn readable_days(days: i32) -> Option<i32> {
    (FIRST_DAY..=LAST_DAY).contains(&days).then_some(days)
}

/// Microseconds since 1970-01-01 UTC, if they are of the years 0001 to 9999.
pub fn readable_micros(micros: i64) -> Option<i64> {
    let day = micros.div_euclid(DAY_SECONDS * MICROS);
    (i64::from(FIRST_DAY)..=i64::from(LAST_DAY)).contains(&day).then_some(micros)
}

/// `YYYY-MM-DD[T ]HH:MM:SS[.fraction][Z|±hh:mm|±hhmm|±hh]`, as microseconds since 1970-01-01 UTC. Refused if the
/// fraction has digits other than zero beyond `precision` (or beyond microseconds), or if in UTC it is not of the years 0001 to 9999.
#[inline]
pub fn timestamp(text: &[u8], precision: u8) -> Option<i64> {
    let day = days(text.get(..10)?)?;
    if !matches!(text.get(10)?, b'T' | b' ') {
        return None;
    }
    let clock = text.get(11..19)?;
    if clock[2] != b':' || clock[5] != b':' {
        return None;
    }
    let hour = two_digits(&clock[..2]).filter(|hour| *hour < 24)?;
    let minute = two_digits(&clock[3..5]).filter(|minute| *minute < 60)?;
    let second = two_digits(&clock[6..8]).filter(|second| *second < 60)?;
    let (fraction, zone) = split_fraction(text.get(19..)?)?;
    let micros = micros(fraction, usize::from(precision))?;
    let seconds = i64::from(day) * DAY_SECONDS + hour * 3_600 + minute * 60 + second - offset(zone)?;
    readable_micros(seconds.checked_mul(MICROS)?.checked_add(micros)?)
}

/// Whether a text would be a time if it had no digits behind the sixth one of its second, and is none because of them.
pub fn is_finer(text: &[u8]) -> bool {
    let most = MICRO_DIGITS as u8;
    let Some(fraction) = text.get(20..) else { return false };
    let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if text[19] != b'.' || length <= MICRO_DIGITS || timestamp(text, most).is_some() {
        return false;
    }
    let cut = [&text[..20 + MICRO_DIGITS], &fraction[length..]].concat();
    timestamp(&cut, most).is_some()
}

fn days(text: &[u8]) -> Option<i32> {
    let text: &[u8; 10] = text.try_into().ok()?;
    if text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let year = (two_digits(&text[..2])? * 100 + two_digits(&text[2..4])?) as i32;
    let month = two_digits(&text[5..7])? as i32;
    let day = two_digits(&text[8..])? as i32;
    let valid = year >= 1 && (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    valid.then(|| days_since_epoch(year, month, day))
}

fn days_in_month(year: i32, month: i32) -> i32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Counts years from March, so that the leap day is the last of its year and months have a fixed pattern of lengths.
fn days_since_epoch(year: i32, month: i32, day: i32) -> i32 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = 365 * year + year / 4 - year / 100 + year / 400;
    let before_month = (153 * month + 2) / 5;
    // 1970-01-01 is day 719,468 of this count.
    before_year + before_month + day - 1 - 719_468
}

/// The digits behind a point, if there is one (then at least one), and the rest.
fn split_fraction(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some((b'.', rest)) = text.split_first() else { return Some((&[], text)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (length > 0).then(|| rest.split_at(length))
}

fn micros(fraction: &[u8], precision: usize) -> Option<i64> {
    let (kept, beyond) = fraction.split_at(fraction.len().min(precision.min(MICRO_DIGITS)));
    if beyond.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let value = kept.iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0'));
    Some(value * 10i64.pow((MICRO_DIGITS - kept.len()) as u32))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    let (sign, digits) = match zone.split_first() {
        None | Some((b'Z', [])) => return Some(0),
        Some((b'+', digits)) => (1, digits),
        Some((b'-', digits)) => (-1, digits),
        Some(_) => return None,
    };
    let (hours, minutes) = match digits.len() {
        5 if digits[2] == b':' => (&digits[..2], &digits[3..]),
        4 => digits.split_at(2),
        // As Postgres writes whole hours.
        2 => (digits, &b"00"[..]),
        _ => return None,
    };
    let hours = two_digits(hours).filter(|hours| *hours < 24)?;
    let minutes = two_digits(minutes).filter(|minutes| *minutes < 60)?;
    Some(sign * (hours * 3_600 + minutes * 60))
}

fn two_digits(text: &[u8]) -> Option<i64> {
    let (tens, ones) = (text[0].wrapping_sub(b'0'), text[1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens) * 10 + i64::from(ones))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_spelling_and_nothing_else_is_a_time() {
        assert_eq!(date(b"1970-01-02"), Some(1));
        assert_eq!(timestamp(b"9999-12-31 23:59:59", 0), Some(253_402_300_799_000_000));
        for text in ["20240101", " 2024-01-01", "2024-01-01 00:00:00", "2023-02-29"] {
            assert_eq!(date(text.as_bytes()), None, "{text}");
        }
        for text in ["2024-01-01", "2024-01-01 00:00:60", "2024-01-01T00:00:00[UTC]", "2024-01-01 00:00:00.5"] {
            assert_eq!(timestamp(text.as_bytes(), 0), None, "{text}");
        }
    }
}
