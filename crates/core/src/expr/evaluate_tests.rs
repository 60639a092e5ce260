//! Values of expressions, against a table that was computed with another calendar (Python's `datetime`).

use jiff::Timestamp;

use super::*;

/// A column of the row: a time, or a date if it has no clock.
fn value(text: &str) -> Value {
    match date(text) {
        Some(date) => Value::Date(date),
        None => Value::Time(time(text).unwrap_or_else(|| panic!("{text} is no time"))),
    }
}

fn evaluate(text: &str, x: &str) -> Result<Value, NoValue> {
    Expr::parse(text).expect(text).evaluate(Timestamp::UNIX_EPOCH, &mut |_| Ok(value(x)))
}

fn shown(found: Result<Value, NoValue>) -> String {
    shown_of(&ColumnType::DateTime, found)
}

fn shown_of(ty: &ColumnType, found: Result<Value, NoValue>) -> String {
    match found.map(|value| value.cast(ty, &ColumnType::String)) {
        Ok(Ok(Value::Text(text))) => text,
        other => format!("{other:?}"),
    }
}

#[test]
fn functions_give_what_another_calendar_gives() {
    let functions = [
        "toDate(x)",
        "toYYYYMM(x)",
        "toYYYYMMDD(x)",
        "toYear(x)",
        "toStartOfMinute(x)",
        "toStartOfHour(x)",
        "toStartOfDay(x)",
        "toStartOfWeek(x)",
        "toMonday(x)",
        "toStartOfMonth(x)",
        "toStartOfQuarter(x)",
        "toStartOfYear(x)",
    ];
    let table: [[&str; 13]; 8] = [
        [
            "2024-02-29 23:59:59",
            "2024-02-29",
            "202402",
            "20240229",
            "2024",
            "2024-02-29 23:59:00",
            "2024-02-29 23:00:00",
            "2024-02-29 00:00:00",
            "2024-02-25",
            "2024-02-26",
            "2024-02-01",
            "2024-01-01",
            "2024-01-01",
        ],
        [
            "2023-12-31 00:00:00",
            "2023-12-31",
            "202312",
            "20231231",
            "2023",
            "2023-12-31 00:00:00",
            "2023-12-31 00:00:00",
            "2023-12-31 00:00:00",
            "2023-12-31",
            "2023-12-25",
            "2023-12-01",
            "2023-10-01",
            "2023-01-01",
        ],
        [
            "1969-12-31 23:59:58",
            "1969-12-31",
            "196912",
            "19691231",
            "1969",
            "1969-12-31 23:59:00",
            "1969-12-31 23:00:00",
            "1969-12-31 00:00:00",
            "1969-12-28",
            "1969-12-29",
            "1969-12-01",
            "1969-10-01",
            "1969-01-01",
        ],
        [
            "2000-01-01 12:34:56",
            "2000-01-01",
            "200001",
            "20000101",
            "2000",
            "2000-01-01 12:34:00",
            "2000-01-01 12:00:00",
            "2000-01-01 00:00:00",
            "1999-12-26",
            "1999-12-27",
            "2000-01-01",
            "2000-01-01",
            "2000-01-01",
        ],
        [
            "1900-03-01 06:00:07",
            "1900-03-01",
            "190003",
            "19000301",
            "1900",
            "1900-03-01 06:00:00",
            "1900-03-01 06:00:00",
            "1900-03-01 00:00:00",
            "1900-02-25",
            "1900-02-26",
            "1900-03-01",
            "1900-01-01",
            "1900-01-01",
        ],
        [
            "0001-01-08 00:00:01",
            "0001-01-08",
            "101",
            "10108",
            "1",
            "0001-01-08 00:00:00",
            "0001-01-08 00:00:00",
            "0001-01-08 00:00:00",
            "0001-01-07",
            "0001-01-08",
            "0001-01-01",
            "0001-01-01",
            "0001-01-01",
        ],
        [
            "9999-12-31 23:59:59",
            "9999-12-31",
            "999912",
            "99991231",
            "9999",
            "9999-12-31 23:59:00",
            "9999-12-31 23:00:00",
            "9999-12-31 00:00:00",
            "9999-12-26",
            "9999-12-27",
            "9999-12-01",
            "9999-10-01",
            "9999-01-01",
        ],
        [
            "2024-05-31 08:30:00",
            "2024-05-31",
            "202405",
            "20240531",
            "2024",
            "2024-05-31 08:30:00",
            "2024-05-31 08:00:00",
            "2024-05-31 00:00:00",
            "2024-05-26",
            "2024-05-27",
            "2024-05-01",
            "2024-04-01",
            "2024-01-01",
        ],
    ];
    for [time, expected @ ..] in table {
        for (function, expected) in functions.iter().zip(expected) {
            assert_eq!(shown(evaluate(function, time)), expected, "{function} of {time}");
            // A date is the same as its midnight, where it is taken.
            let takes_dates = !function.contains("Minute") && !function.contains("Hour");
            if takes_dates {
                assert_eq!(shown(evaluate(function, &time[..10])), expected, "{function} of {}", &time[..10]);
            }
        }
    }
}

#[test]
fn intervals_give_what_another_calendar_gives_and_months_are_clamped() {
    let intervals = [
        "x - INTERVAL 1 SECOND",
        "x + toIntervalMinute(90)",
        "x - toIntervalHour(25)",
        "x + INTERVAL 1 DAY",
        "x - INTERVAL 366 DAY",
        "x + INTERVAL 2 WEEK",
        "x + INTERVAL 1 MONTH",
        "x - INTERVAL 1 MONTH",
        "x + INTERVAL 13 MONTH",
        "x - INTERVAL 1 QUARTER",
        "x + INTERVAL 1 YEAR",
        "x + toIntervalYear(-4)",
    ];
    let table: [(&str, [&str; 12]); 4] = [
        (
            "2024-01-31 10:00:00",
            [
                "2024-01-31 09:59:59",
                "2024-01-31 11:30:00",
                "2024-01-30 09:00:00",
                "2024-02-01 10:00:00",
                "2023-01-30 10:00:00",
                "2024-02-14 10:00:00",
                "2024-02-29 10:00:00",
                "2023-12-31 10:00:00",
                "2025-02-28 10:00:00",
                "2023-10-31 10:00:00",
                "2025-01-31 10:00:00",
                "2020-01-31 10:00:00",
            ],
        ),
        (
            "2024-02-29 00:00:00",
            [
                "2024-02-28 23:59:59",
                "2024-02-29 01:30:00",
                "2024-02-27 23:00:00",
                "2024-03-01 00:00:00",
                "2023-02-28 00:00:00",
                "2024-03-14 00:00:00",
                "2024-03-29 00:00:00",
                "2024-01-29 00:00:00",
                "2025-03-29 00:00:00",
                "2023-11-29 00:00:00",
                "2025-02-28 00:00:00",
                "2020-02-29 00:00:00",
            ],
        ),
        (
            "2023-03-31 23:59:59",
            [
                "2023-03-31 23:59:58",
                "2023-04-01 01:29:59",
                "2023-03-30 22:59:59",
                "2023-04-01 23:59:59",
                "2022-03-30 23:59:59",
                "2023-04-14 23:59:59",
                "2023-04-30 23:59:59",
                "2023-02-28 23:59:59",
                "2024-04-30 23:59:59",
                "2022-12-31 23:59:59",
                "2024-03-31 23:59:59",
                "2019-03-31 23:59:59",
            ],
        ),
        (
            "1970-01-01 00:00:00",
            [
                "1969-12-31 23:59:59",
                "1970-01-01 01:30:00",
                "1969-12-30 23:00:00",
                "1970-01-02 00:00:00",
                "1968-12-31 00:00:00",
                "1970-01-15 00:00:00",
                "1970-02-01 00:00:00",
                "1969-12-01 00:00:00",
                "1971-02-01 00:00:00",
                "1969-10-01 00:00:00",
                "1971-01-01 00:00:00",
                "1966-01-01 00:00:00",
            ],
        ),
    ];
    for (time, expected) in table {
        for (interval, expected) in intervals.iter().zip(expected) {
            assert_eq!(shown(evaluate(interval, time)), expected, "{interval} of {time}");
        }
    }
    assert_eq!(shown(evaluate("x + INTERVAL 1 MONTH", "2023-01-31")), "2023-02-28");
    assert_eq!(shown(evaluate("x + INTERVAL 1 HOUR", "2023-01-31")), "2023-01-31 01:00:00");
}

#[test]
fn the_start_of_something_is_never_later_and_is_its_own_start() {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..5_000 {
        // Between 0001-02-01 and 9999-12-31.
        let micros = random.i64(-62_132_918_400_000_000..=253_402_300_799_999_999);
        let before = Value::of_micros(micros).expect("in the calendar");
        assert_eq!(before.micros(), Some(micros));
        for function in Function::ALL.into_iter().filter(|function| function.name().starts_with("toStart")) {
            let text = format!("{function}(x)");
            let start = |input: &Value| {
                let found =
                    Expr::parse(&text).expect("reads").evaluate(Timestamp::UNIX_EPOCH, &mut |_| Ok(input.clone()));
                found.unwrap_or_else(|error| panic!("{text} of {input:?}: {error}"))
            };
            let once = start(&before);
            let at = |value: &Value| {
                value
                    .clone()
                    .cast(&ColumnType::DateTime, &ColumnType::DateTime64 { precision: 6 })
                    .expect("a time")
                    .micros()
            };
            assert!(at(&once) <= at(&before), "{text} of {before:?}");
            assert_eq!(start(&once), once, "{text} of {before:?}");
        }
    }
}

#[test]
fn the_time_of_the_claim_is_cut_and_never_rounded() {
    let now: Timestamp = "1969-12-31T23:59:59.987654321Z".parse().expect("a time");
    let found = |text: &str| {
        let found = Expr::parse(text).expect(text).evaluate(now, &mut |_| Err(NoValue::WrongType));
        found.map(|value| (value.micros(), value.days()))
    };
    assert_eq!(found("now()"), Ok((Some(-1_000_000), None)));
    assert_eq!(found("now64(3)"), Ok((Some(-13_000), None)));
    assert_eq!(found("now64(6)"), Ok((Some(-12_346), None)));
    assert_eq!(found("today()"), Ok((None, Some(-1))));
    assert_eq!(found("toDateTime(now64(6))"), Ok((Some(-1_000_000), None)));
    assert_eq!(found("toDate('2024-02-29') + INTERVAL 1 YEAR"), Ok((None, Some(20_147))));
}

#[test]
fn what_leaves_the_calendar_has_no_value() {
    for (text, x) in [
        ("x + INTERVAL 1 SECOND", "9999-12-31 23:59:59"),
        ("x + INTERVAL 1 DAY", "9999-12-31"),
        ("x - INTERVAL 1 DAY", "0001-01-01"),
        ("x - INTERVAL 1 SECOND", "0001-01-01 00:00:00"),
        ("toStartOfWeek(x)", "0001-01-01"),
        ("x + INTERVAL 9223372036854775807 SECOND", "2024-01-01 00:00:00"),
        ("x + INTERVAL 9223372036854775807 QUARTER", "2024-01-01"),
        ("x - toIntervalYear(9223372036854775808)", "2024-01-01"),
        ("x + INTERVAL 8000 YEAR - INTERVAL 8000 YEAR", "2024-01-01"),
    ] {
        assert_eq!(evaluate(text, x), Err(NoValue::OutOfRange), "{text} of {x}");
    }
    assert_eq!(Value::of_days(i32::MIN), Err(NoValue::OutOfRange));
    assert_eq!(Value::of_days(-719_163), Err(NoValue::OutOfRange));
    assert_eq!(shown(Value::of_days(-719_162)), "0001-01-01");
    assert_eq!(shown(Value::of_days(2_932_896)), "9999-12-31");
    assert_eq!(Value::of_days(2_932_897), Err(NoValue::OutOfRange));
    assert_eq!(Value::of_micros(i64::MAX), Err(NoValue::OutOfRange));
    assert_eq!(Value::of_micros(i64::MIN), Err(NoValue::OutOfRange));
}

#[test]
fn null_makes_the_whole_null_and_wrong_types_are_told() {
    let with =
        |text: &str, x: Value| Expr::parse(text).expect(text).evaluate(Timestamp::UNIX_EPOCH, &mut |_| Ok(x.clone()));
    for text in ["x", "toDate(x)", "x + INTERVAL 1 DAY", "toYear(x + INTERVAL 1 DAY)"] {
        assert_eq!(with(text, Value::Null), Ok(Value::Null), "{text}");
    }
    assert_eq!(Value::Null.cast(&ColumnType::Date, &ColumnType::Date), Ok(Value::Null));
    for text in ["toDate(x)", "x + INTERVAL 1 DAY"] {
        assert_eq!(with(text, Value::Number(1)), Err(NoValue::WrongType), "{text}");
    }
    assert_eq!(Value::Number(1).cast(&ColumnType::Int8, &ColumnType::Date), Err(NoValue::WrongType));
    assert_eq!(Value::Text(String::new()).cast(&ColumnType::String, &ColumnType::Int8), Err(NoValue::WrongType));
}

#[test]
fn values_lose_only_what_their_column_does_not_hold() {
    let exact = Value::Time(jiff::civil::datetime(2024, 2, 29, 1, 2, 3, 987_654_321));
    for (ty, text) in [
        (ColumnType::DateTime64 { precision: 6 }, "2024-02-29 01:02:03.987654"),
        (ColumnType::DateTime64 { precision: 1 }, "2024-02-29 01:02:03.9"),
        (ColumnType::DateTime, "2024-02-29 01:02:03"),
        (ColumnType::Date, "2024-02-29"),
    ] {
        assert_eq!(shown_of(&ty, exact.clone().cast(&ColumnType::DateTime64 { precision: 6 }, &ty)), text);
    }
}

#[test]
fn a_time_in_a_text_has_the_digits_of_its_type() {
    let now: Timestamp = "2024-02-29T01:02:03.120Z".parse().expect("a time");
    for (text, expected) in [
        ("now64(3)", "2024-02-29 01:02:03.120"),
        ("now64(6)", "2024-02-29 01:02:03.120000"),
        ("now64(0)", "2024-02-29 01:02:03"),
        ("now64(3) + INTERVAL 1 SECOND", "2024-02-29 01:02:04.120"),
        ("now()", "2024-02-29 01:02:03"),
    ] {
        let expression = Expr::parse(text).expect(text);
        let ty = expression.result(&[]).expect("a type");
        assert_eq!(shown_of(&ty, expression.evaluate(now, &mut |_| Err(NoValue::WrongType))), expected, "{text}");
    }
}
