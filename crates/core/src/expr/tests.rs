//! Spelling and types of expressions.

use super::*;
use crate::schema::{Column, ColumnDefault};
use crate::types::ColumnType;

/// What is read, spelled out again.
fn spelled(text: &str) -> String {
    let found = Expr::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let spelled = found.to_string();
    assert_eq!(Expr::parse(&spelled).as_ref(), Ok(&found), "{spelled}");
    spelled
}

#[test]
fn every_spelling_is_read_as_clickhouse_means_it() {
    for (text, expected) in [
        ("now()", "now()"),
        (" NOW ( ) ", "now()"),
        ("now('UTC')", "now()"),
        ("current_timestamp", "now()"),
        ("now64()", "now64(3)"),
        ("now64(6, 'UTC')", "now64(6)"),
        ("today()", "today()"),
        ("CURRENT_DATE()", "today()"),
        ("placed_at", "placed_at"),
        ("now", "now"),
        ("`placed at`", "`placed at`"),
        (r"`it\`s`", r"`it\`s`"),
        ("\"interval\"", "`interval`"),
        ("größe", "`größe`"),
        ("'a''b\\n'", r"'a\'b\n'"),
        ("-5", "-5"),
        ("+1.5e-3", "1.5e-3"),
        ("'12'", "12"),
        ("true", "'true'"),
        ("toDate(x)", "toDate(x)"),
        ("todate32(x)", "toDate(x)"),
        ("toDateTime(x, 'utc')", "toDateTime(x)"),
        ("toStartOfWeek(x)", "toStartOfWeek(x)"),
        ("toStartOfWeek(x, 0, 'UTC')", "toStartOfWeek(x)"),
        ("toStartOfWeek(x, 1)", "toMonday(x)"),
        ("toYYYYMM(toStartOfMonth(x))", "toYYYYMM(toStartOfMonth(x))"),
        ("x + toIntervalDay(30)", "x + toIntervalDay(30)"),
        ("x - toIntervalDay(30)", "x - toIntervalDay(30)"),
        ("x - toIntervalDay(-30)", "x + toIntervalDay(30)"),
        ("x + INTERVAL 1 day", "x + toIntervalDay(1)"),
        ("x + interval '2' WEEKS", "x + toIntervalWeek(2)"),
        ("x - interval '3 quarters'", "x - toIntervalQuarter(3)"),
        ("(x + INTERVAL 1 DAY) - toIntervalHour(2)", "x + toIntervalDay(1) - toIntervalHour(2)"),
        ("toDate(\n  at +\ttoIntervalSecond(1))", "toDate(at + toIntervalSecond(1))"),
        ("x + toIntervalDay(-9223372036854775808)", "x - toIntervalDay(9223372036854775808)"),
    ] {
        assert_eq!(spelled(text), expected, "{text}");
    }
    for function in Function::ALL {
        let upper = function.name().to_uppercase();
        assert_eq!(spelled(&format!("{upper}(x)")), format!("{function}(x)"));
    }
    for unit in IntervalUnit::ALL {
        assert_eq!(spelled(&format!("x + INTERVAL 7 {}", unit.name())), format!("x + toInterval{}(7)", unit.name()));
    }
}

#[test]
fn what_is_no_expression_is_refused_at_its_place() {
    for (text, offset, part) in [
        ("", 0, "empty"),
        ("  ", 0, "empty"),
        ("x +", 3, "only an interval"),
        ("x + 30", 4, "must say its unit"),
        ("x + y", 4, "only an interval"),
        ("x * 2", 2, "operator '*'"),
        ("x, y", 1, "only one"),
        ("x y", 2, "should end here"),
        ("toDate(x", 8, "')' is missing"),
        ("toDate(x))", 9, "should end here"),
        ("toDate()", 7, "should begin here"),
        ("toDate(x, 'Europe/Berlin')", 10, "time zone 'Europe/Berlin'"),
        ("toDate(x, 2)", 10, "argument is not possible"),
        ("toStartOfWeek(x, 2)", 17, "0 (from Sunday) or 1"),
        ("now64(9)", 6, "precision from 0 to 6"),
        ("now(3)", 4, "argument is not possible"),
        ("today('UTC')", 6, "')' is missing"),
        ("rand()", 0, "function rand"),
        ("toDate(rand())", 7, "function rand"),
        ("toIntervalDay(1)", 0, "only be added"),
        ("INTERVAL 1 DAY", 0, "only be added"),
        ("x + INTERVAL 1 FORTNIGHT", 15, "unit of the interval"),
        ("x + INTERVAL '1 fortnight'", 13, "no interval"),
        ("x + toIntervalDay(1.5)", 18, "whole number"),
        ("x + toIntervalDay(y)", 18, "whole number"),
        ("x - toIntervalDay(-9223372036854775808)", 4, "too long"),
        ("x + toIntervalDay(99999999999999999999)", 18, "whole number"),
        ("NULL", 0, "NULL"),
        ("-x", 0, "only a number"),
        ("'abc", 0, "not closed"),
        ("`abc", 0, "not closed"),
        ("``", 0, "should begin here"),
        ("12ab", 0, "ends in letters"),
        ("toDate(äéb) ?", 14, "'?'"),
    ] {
        let error = Expr::parse(text).expect_err(text);
        assert!(error.offset == offset && error.message.contains(part), "{text}: {error:?}");
    }
    let deep = format!("{}x{}", "toDate(".repeat(5_000), ")".repeat(5_000));
    assert!(Expr::parse(&deep).is_err_and(|error| error.message.contains("nested deeper")));
    let long = format!("x{}", " + toIntervalDay(1)".repeat(5_000));
    assert!(Expr::parse(&long).is_err());
}

#[test]
fn no_text_makes_the_parser_panic_and_what_it_reads_it_spells_the_same_again() {
    let pieces = [
        "now(",
        ")",
        "x",
        "'",
        "`",
        "\\",
        "+",
        "-",
        "INTERVAL",
        " ",
        "1",
        "toIntervalDay(",
        "DAY",
        ",",
        "é",
        "€",
        "toDate(",
        "''",
        "9e",
        ".5",
        "\n",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut read = 0;
    for _ in 0..20_000 {
        let text: String = (0..random.usize(..12)).map(|_| pieces[random.usize(..pieces.len())]).collect();
        match Expr::parse(&text) {
            Ok(found) => {
                read += 1;
                assert_eq!(Expr::parse(&found.to_string()), Ok(found), "{text}");
            }
            Err(error) => assert!(text.is_char_boundary(error.offset), "{text}: {error:?}"),
        }
    }
    assert!(read > 100, "{read}");
}

fn table() -> Vec<Column> {
    let list = ColumnType::Array { element: Box::new(ColumnType::String), nullable: false };
    vec![
        Column::nullable("day", ColumnType::Date),
        Column::nullable("at", ColumnType::DateTime),
        Column::nullable("exact", ColumnType::DateTime64 { precision: 3 }),
        Column::nullable("text", ColumnType::String),
        Column::nullable("small", ColumnType::UInt8),
        Column::nullable("signed", ColumnType::Int8),
        Column::nullable("tags", list),
    ]
}

fn result(text: &str) -> Result<String, String> {
    Expr::parse(text).expect(text).result(&table()).map(|ty| ty.to_string())
}

#[test]
fn expressions_have_the_types_that_clickhouse_gives_them() {
    for (text, ty) in [
        ("now()", "DateTime"),
        ("now64(2)", "DateTime64(2)"),
        ("today()", "Date"),
        ("'x'", "String"),
        ("tags", "Array(String)"),
        ("toDate(exact)", "Date"),
        ("toDateTime(day)", "DateTime"),
        ("toDate('2024-01-31')", "Date"),
        ("toDateTime('2024-01-31 10:00:00')", "DateTime"),
        ("toYYYYMM(day)", "UInt32"),
        ("toYYYYMMDD(at)", "UInt32"),
        ("toYear(at)", "UInt16"),
        ("toStartOfDay(day)", "DateTime"),
        ("toStartOfHour(exact)", "DateTime"),
        ("toStartOfQuarter(at)", "Date"),
        ("toMonday(day)", "Date"),
        ("day + INTERVAL 1 DAY", "Date"),
        ("day + INTERVAL 1 HOUR", "DateTime"),
        ("at + INTERVAL 1 MONTH", "DateTime"),
        ("exact - INTERVAL 1 SECOND", "DateTime64(3)"),
    ] {
        assert_eq!(result(text).as_deref(), Ok(ty), "{text}");
    }
    for (text, part) in [
        ("nope", "no column 'nope'"),
        ("toDate(nope)", "no column 'nope'"),
        ("toDate(text)", "not String"),
        ("toYear(small)", "not UInt8"),
        ("toStartOfMinute(day)", "not a Date"),
        ("toStartOfHour(text)", "takes a DateTime or DateTime64"),
        ("text + INTERVAL 1 DAY", "not to String"),
        ("toYear(at) + INTERVAL 1 DAY", "not to UInt16"),
        ("toDate('2024-02-30')", "not a date"),
        ("toDate('20240101')", "not a date"),
        ("toDateTime('2024-01-01 10:00')", "not a time"),
        ("toDateTime('2024-01-01 23:59:60')", "not a time"),
        ("toMonday('2024-01-01')", "not a literal"),
    ] {
        assert!(result(text).is_err_and(|message| message.contains(part)), "{text}: {:?}", result(text));
    }
}

#[test]
fn a_default_goes_into_its_column_only_if_nothing_can_be_lost() {
    let check = |text: &str, ty: ColumnType| Expr::parse(text).expect(text).check(&table(), &ty).is_ok();
    let list = ColumnType::Array { element: Box::new(ColumnType::String), nullable: false };
    for (text, ty) in [
        ("now()", ColumnType::DateTime),
        ("now()", ColumnType::DateTime64 { precision: 3 }),
        ("now64(6)", ColumnType::DateTime),
        ("now()", ColumnType::Date),
        ("today()", ColumnType::DateTime),
        ("now()", ColumnType::String),
        ("at", ColumnType::DateTime),
        ("exact", ColumnType::Date),
        ("text", ColumnType::String),
        ("tags", list.clone()),
        ("small", ColumnType::UInt8),
        ("small", ColumnType::Int16),
        ("signed", ColumnType::Int64),
        ("toYear(at)", ColumnType::Int16),
        ("toYYYYMM(at)", ColumnType::Int32),
        ("toYYYYMMDD(at)", ColumnType::UInt64),
        ("toYear(at)", ColumnType::String),
    ] {
        assert!(check(text, ty.clone()), "{text} into {ty}");
    }
    for (text, ty) in [
        ("now()", ColumnType::Int64),
        ("now()", ColumnType::Uuid),
        ("at", ColumnType::String),
        ("small", ColumnType::Int8),
        ("signed", ColumnType::UInt64),
        ("small", ColumnType::String),
        ("text", ColumnType::FixedString(3)),
        ("tags", ColumnType::Array { element: Box::new(ColumnType::Int8), nullable: false }),
        ("tags", ColumnType::String),
        ("toYear(at)", ColumnType::Int8),
        ("toYYYYMM(at)", ColumnType::UInt16),
        ("toYear(at)", ColumnType::Float64),
        ("toYear(at)", ColumnType::Date),
    ] {
        assert!(!check(text, ty.clone()), "{text} into {ty}");
    }
}

#[test]
fn defaults_are_ordered_and_circles_are_found() {
    let order = |defaults: &[(&str, &str)]| {
        let column = |(name, default): &(&str, &str)| {
            let default =
                (!default.is_empty()).then(|| ColumnDefault::Expression(Expr::parse(default).expect("an expression")));
            Column { default, ..Column::required(*name, ColumnType::DateTime) }
        };
        expression_order(&defaults.iter().map(column).collect::<Vec<_>>())
            .map_err(|error| (error.column, error.message))
    };
    assert_eq!(order(&[("a", ""), ("b", "a"), ("c", "now()")]), Ok(vec![1, 2]));
    assert_eq!(order(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "")]), Ok(vec![2, 1, 0]));
    let itself = "the DEFAULT of 'b' refers to the column itself";
    assert_eq!(order(&[("a", ""), ("b", "b + INTERVAL 1 DAY")]), Err((1, itself.to_owned())));
    let circle = "the DEFAULTs refer to each other in a circle: b -> d -> c -> b";
    assert_eq!(order(&[("a", "b"), ("b", "d"), ("c", "b"), ("d", "toDateTime(c)")]), Err((1, circle.to_owned())));
}

#[test]
fn columns_can_be_renamed() {
    let found = Expr::parse("toDate(`placed at` + INTERVAL 1 DAY)").expect("reads");
    assert_eq!(found.columns(), ["placed at"]);
    let renamed = found.with_columns(&mut |name| name.replace(' ', "_"));
    assert_eq!(renamed.to_string(), "toDate(placed_at + toIntervalDay(1))");
}
