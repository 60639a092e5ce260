//! The parsers against jiff and the standard library, on random input.

use connector_core::quarantine::{message, shown};
use connector_core::types::ColumnType;
use jiff::civil;
use proptest::prelude::*;

use super::*;

/// Numbers, near-numbers, and what people type by mistake.
fn number_like() -> impl Strategy<Value = String> {
    prop_oneof![
        "[+-]?[0-9]{1,21}",
        "[ \t]{0,2}[+-]?[0-9]{1,5}[ \t]{0,2}",
        "[-+0-9._xeE ]{0,8}",
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| format!("{value:e}")),
        any::<f64>().prop_map(|value| value.to_string()),
        Just("9223372036854775808".to_owned()),
        Just("-9223372036854775808".to_owned()),
        Just("-9223372036854775809".to_owned()),
        Just("18446744073709551616".to_owned()),
    ]
}

/// Whether a digit other than zero stands before the exponent.
fn has_mantissa(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    mantissa.contains(|letter: char| matches!(letter, '1'..='9'))
}

proptest! {
    #[test]
    fn integers_are_those_of_the_standard_library(text in number_like()) {
        let trimmed = text.trim_matches([' ', '\t']);
        prop_assert_eq!(number::int64(text.as_bytes()), trimmed.parse().ok());
        // The one difference: minus zero is zero for unsigned types, too.
        let minus_zero = trimmed.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b == b'0'));
        prop_assert_eq!(number::uint64(text.as_bytes()), if minus_zero { Some(0) } else { trimmed.parse().ok() });
    }

    #[test]
    fn floats_are_those_of_the_standard_library_but_never_overflow(text in number_like()) {
        let wanted = text.trim_matches([' ', '\t']).parse::<f64>().ok().filter(|value| value.is_finite() && !(*value == 0.0 && has_mantissa(&text)));
        prop_assert_eq!(number::float64(text.as_bytes()).filter(|value| value.is_finite()), wanted);
        let found = number::float64(text.as_bytes());
        prop_assert!(found.is_none_or(|value| value.is_finite() || !text.contains(|c: char| c.is_ascii_digit())));
        let wanted = text.trim_matches([' ', '\t']).parse::<f32>().ok().filter(|value| value.is_finite() && !(*value == 0.0 && has_mantissa(&text)));
        prop_assert_eq!(number::float32(text.as_bytes()).filter(|value| value.is_finite()), wanted);
    }

    #[test]
    fn dates_are_those_of_jiff(year in 0i16..=9999, month in 0i8..=14, day in 0i8..=33) {
        let text = format!("{year:04}-{month:02}-{day:02}");
        let wanted = civil::Date::new(year, month, day).ok().filter(|date| date.year() >= 1);
        let wanted = wanted.map(|date| (date - civil::date(1970, 1, 1)).get_days());
        prop_assert_eq!(time::date(text.as_bytes()), wanted);
    }

    #[test]
    fn times_are_those_of_jiff(
        (year, month, day) in (1i16..=9999, 1i8..=12, 1i8..=31),
        (hour, minute, second) in (0i8..=25, 0i8..=61, 0i8..=61),
        micro in 0i32..1_000_000,
        offset in prop_oneof![Just(None), (-23i32..=23, 0i32..60).prop_map(Some)],
        t in prop_oneof![Just('T'), Just(' ')],
    ) {
        let zone = match offset {
            None => "Z".to_owned(),
            Some((hours, minutes)) => {
                let colon = if minutes % 2 == 0 { ":" } else { "" };
                format!("{}{:02}{colon}{minutes:02}", if hours < 0 { '-' } else { '+' }, hours.abs())
            }
        };
        let text = format!("{year:04}-{month:02}-{day:02}{t}{hour:02}:{minute:02}:{second:02}.{micro:06}{zone}");
        let wall = civil::DateTime::new(year, month, day, hour, minute, second, micro * 1_000).ok();
        let east = offset.map_or(0, |(hours, minutes)| {
            hours * 3_600 + if hours < 0 { -minutes } else { minutes } * 60
        });
        let zone = jiff::tz::Offset::from_seconds(east).expect("in range");
        // Within a day of its limits, jiff has no timestamp where we have one.
        let edge = (year == 1 && month == 1 && day == 1) || (year == 9999 && month == 12 && day >= 30);
        if !edge {
            let wanted = wall.and_then(|wall| zone.to_timestamp(wall).ok()).map(|at| at.as_microsecond());
            prop_assert_eq!(time::timestamp(text.as_bytes(), 6), wanted, "{}", text);
        }
        let whole = micro % 1_000 == 0;
        prop_assert_eq!(time::timestamp(text.as_bytes(), 3).is_some(), whole && time::timestamp(text.as_bytes(), 6).is_some());
    }

    #[test]
    fn decimals_are_exact(value in any::<i128>(), digits in 1u32..=38, scale in 0u8..=38, zeros in 0usize..4) {
        let precision = digits.max(u32::from(scale)) as u8;
        let value = value % 10i128.pow(u32::from(precision));
        let text = format!("{:0>width$}", value.unsigned_abs(), width = usize::from(scale) + 1);
        let (whole, fraction) = text.split_at(text.len() - usize::from(scale));
        let sign = if value < 0 { "-" } else { "" };
        let text = format!("{sign}{whole}.{fraction}{}", "0".repeat(zeros));
        prop_assert_eq!(decimal::decimal(text.as_bytes(), precision, scale as i8), Some(value));
        prop_assert_eq!(decimal::decimal(format!("{text}1").as_bytes(), precision, scale as i8), None, "rounded");
        let too_large = format!("{sign}1{}", "0".repeat(usize::from(precision - scale)));
        prop_assert_eq!(decimal::decimal(too_large.as_bytes(), precision, scale as i8), None, "overflowed");
    }

    #[test]
    fn nothing_that_is_thrown_at_a_parser_makes_it_panic(cell in prop::collection::vec(any::<u8>(), 0..40)) {
        number::int64(&cell);
        number::uint64(&cell);
        number::float64(&cell);
        number::boolean(&cell);
        time::date(&cell);
        time::timestamp(&cell, 6);
        decimal::decimal(&cell, 38, 38);
        wide::int(&cell, &wide::INT256, false);
        wide::decimal(&cell, 76, 38);
        text::fixed(&cell, 4);
        text::uuid(&cell);
        text::ipv4(&cell);
        text::ipv6(&cell);
        text::json(&cell);
        for bytes in [cell.clone(), [b"[", &cell[..], b"]"].concat(), [b"['", &cell[..], b"']"].concat()] {
            list::Elements::new(&ColumnType::Int64).append(&bytes);
            list::Elements::new(&ColumnType::String).append(&bytes);
        }
    }

    #[test]
    fn near_misses_of_a_time_do_not_panic(at in 0usize..40, byte in any::<u8>(), cut in 0usize..40) {
        let mut text = b"2024-02-29T12:34:56.123456+01:30".to_vec();
        let length = text.len();
        text[at % length] = byte;
        text.truncate(cut);
        time::timestamp(&text, 6);
        time::date(&text);
    }
}

#[test]
fn every_day_from_year_1_to_9999_has_the_number_that_jiff_gives_it() {
    let mut wanted = -719_162;
    for year in 1i16..=9999 {
        for month in 1i8..=12 {
            let days = civil::date(year, month, 1).days_in_month();
            for day in [1, days] {
                let text = format!("{year:04}-{month:02}-{day:02}");
                assert_eq!(time::date(text.as_bytes()), Some(wanted + i32::from(day) - 1), "{text}");
            }
            assert_eq!(time::date(format!("{year:04}-{month:02}-{:02}", days + 1).as_bytes()), None);
            wanted += i32::from(days);
        }
    }
    assert_eq!(time::date(b"1970-01-01"), Some(0));
}

#[test]
fn case_33_what_is_no_value_of_a_type_is_refused() {
    for text in ["", " ", "+", "-", "0x1F", "1_000", "1,5", "1.0", "1e3", "--1", "1 2", "\u{661}"] {
        assert_eq!(number::int64(text.as_bytes()), None, "{text}");
    }
    for text in ["", "1e400", "-1e400", "0x1p3", "1_000", "1,5", "infinite", "na", "1e"] {
        assert_eq!(number::float64(text.as_bytes()), None, "{text}");
    }
    assert_eq!(number::float32(b"1e39"), None);
    assert_eq!(number::float64(b"1e-400"), None);
    assert_eq!(number::float64(b"-0.001e-400"), None);
    assert_eq!(number::float32(b"1e-50"), None);
    assert_eq!(number::float64(b"-0.00e-400"), Some(0.0));
    assert_eq!(number::float64(b"-Infinity"), Some(f64::NEG_INFINITY));
    assert!(number::float64(b"NaN").is_some_and(f64::is_nan));
    for text in ["", "2", "tr", "on", "truee", "-1"] {
        assert_eq!(number::boolean(text.as_bytes()), None, "{text}");
    }
    for text in ["TRUE", "t", " yes ", "Y", "1"] {
        assert_eq!(number::boolean(text.as_bytes()), Some(true), "{text}");
    }
    for text in ["0000-01-01", "2023-02-29", "2024-2-9", "1/2/3", "20240101", "2024-01-01 00:00:00", "+024-01-01"] {
        assert_eq!(time::date(text.as_bytes()), None, "{text}");
    }
    let times = [
        "2024-01-01",
        "2024-01-01 10:00",
        "2024-01-01x10:00:00",
        "2024-01-01 24:00:00",
        "2024-01-01 23:59:60",
        "2024-01-01 10:00:00.",
        "2024-01-01 10:00:00 +01:00",
        "2024-01-01 10:00:00+1",
        "2024-01-01 10:00:00+24:00",
        "2024-01-01 10:00:00z",
        "2024-01-01 10:00:00.1234567",
        "294277-01-01 00:00:00",
        "1704067200",
        "0001-01-01T00:00:00+10:00",
        "0001-01-01 00:00:00+00:01",
        "9999-12-31 23:59:59-00:01",
        "9999-12-31T23:59:59.999999-10",
        "2024-01-01 10:00:00+0",
        "2024-01-01 10:00:00+24",
        "2024-01-01 10:00:00+:0",
        "2024-01-01 10:00:00+010",
    ];
    for text in times {
        assert_eq!(time::timestamp(text.as_bytes(), 6), None, "{text}");
    }
    assert_eq!(time::timestamp(b"1970-01-01 00:00:01.1200000", 2), Some(1_120_000));
    assert_eq!(time::timestamp(b"1970-01-01 02:00:00+02", 0), Some(0));
    assert_eq!(time::timestamp(b"1969-12-31 19:00:00.5-05", 6), Some(500_000));
    assert_eq!(time::timestamp(b"1970-01-01 00:00:00+00", 0), Some(0));
    assert_eq!(time::timestamp(b"0001-01-01T10:00:00+10:00", 0), Some(-62_135_596_800_000_000));
    assert_eq!(time::timestamp(b"9999-12-31T13:59:59.999999-10", 6), Some(253_402_300_799_999_999));
    assert_eq!(time::timestamp(b"1970-01-01T01:00:00+0130", 0), Some(-1_800_000_000));
    for text in ["", ".", "-", "1.2.3", "1e2", "100", "0.001", "1,0"] {
        assert_eq!(decimal::decimal(text.as_bytes(), 4, 2), None, "{text}");
    }
    assert_eq!(decimal::decimal(b".5", 4, 2), Some(50));
    assert_eq!(decimal::decimal(b"-007.10", 4, 2), Some(-710));
    assert_eq!(decimal::decimal(b"99.99", 4, 2), Some(9_999));
}

#[test]
fn a_message_shows_a_bad_value_cut_and_with_its_controls_escaped() {
    let of = |value| message(Some(value), "y", &ColumnType::Int64);
    assert_eq!(of("x"), "value 'x' on column 'y' is not Int64");
    assert_eq!(of("a\n\x1b[31m"), r"value 'a\n\u{1b}[31m' on column 'y' is not Int64");
    assert_eq!(shown("\u{202E}abc"), r"\u{202e}abc");
    assert_eq!(shown(&"é".repeat(300)), "é".repeat(100));
}
