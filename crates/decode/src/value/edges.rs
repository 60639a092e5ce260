//! Every type at the edges of its range, value by value, through the builder of columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use connector_core::schema::Column;
use connector_core::types::{ColumnType, EnumType};
use proptest::prelude::*;

use super::*;
use crate::columns::{Cell, build};

/// What a text becomes in a required column: its value as Arrow shows it, or nothing if it is refused.
fn value(ty: &ColumnType, text: &str) -> Option<String> {
    let column = Column::required("c", ty.clone());
    let built = build(&column, [Cell::Text(text.as_bytes())].into_iter());
    assert_eq!(built.values.data_type(), &ty.arrow());
    assert_eq!(built.values.len(), 1);
    // Arrow formats times of a named zone only with a database of zones.
    let shown: ArrayRef = match built.values.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => Arc::new(times.clone().with_timezone_opt(None::<&str>)),
        None => built.values,
    };
    let formatter = ArrayFormatter::try_new(&shown, &FormatOptions::default()).expect("a format");
    built.errors.is_empty().then(|| formatter.value(0).to_string())
}

/// Texts that are values, each with the value, and texts that are none.
fn check(ty: &ColumnType, good: &[(&str, &str)], bad: &[&str]) {
    for (text, wanted) in good {
        assert_eq!(value(ty, text).as_deref(), Some(*wanted), "{text} as {ty}");
    }
    for text in bad {
        assert_eq!(value(ty, text), None, "{text} as {ty}");
    }
}

/// What no integer is.
const NO_INTEGER: [&str; 14] =
    [" ", "+", "-", "--1", "1 2", "1.0", "1e2", "0x1F", "1_000", "1,5", "NaN", "true", "\u{661}", "1\0"];

/// An integer type from its smallest to its largest value, and the neighbours of these.
fn check_integer(ty: &ColumnType, below: &str, min: &str, max: &str, above: &str) {
    check(
        ty,
        &[(min, min), (max, max), ("0", "0"), ("-0", "0"), ("007", "7"), ("+5", "5"), (" 5\t", "5")],
        &NO_INTEGER,
    );
    check(ty, &[(&format!("000000000000{max}"), max)], &[below, above, &format!("{max}0"), &format!("1{max}")]);
}

#[test]
fn integers_of_8_to_64_bits() {
    check_integer(&ColumnType::Int8, "-129", "-128", "127", "128");
    check_integer(&ColumnType::Int16, "-32769", "-32768", "32767", "32768");
    check_integer(&ColumnType::Int32, "-2147483649", "-2147483648", "2147483647", "2147483648");
    let (min, max) = ("-9223372036854775808", "9223372036854775807");
    check_integer(&ColumnType::Int64, "-9223372036854775809", min, max, "9223372036854775808");
    check_integer(&ColumnType::UInt8, "-1", "0", "255", "256");
    check_integer(&ColumnType::UInt16, "-1", "0", "65535", "65536");
    check_integer(&ColumnType::UInt32, "-1", "0", "4294967295", "4294967296");
    check_integer(&ColumnType::UInt64, "-1", "0", "18446744073709551615", "18446744073709551616");
}

#[test]
fn integers_of_128_and_256_bits() {
    let power = |bits: u32| power_of_two(bits);
    let (half, whole) = (power(127), power(128));
    check_integer(&ColumnType::Int128, &format!("-{}", plus_one(&half)), &format!("-{half}"), &minus_one(&half), &half);
    check_integer(&ColumnType::UInt128, "-1", "0", &minus_one(&whole), &whole);
    let (half, whole) = (power(255), power(256));
    check_integer(&ColumnType::Int256, &format!("-{}", plus_one(&half)), &format!("-{half}"), &minus_one(&half), &half);
    check_integer(&ColumnType::UInt256, "-1", "0", &minus_one(&whole), &whole);
    check(&ColumnType::Int256, &[("-000", "0"), ("-0012", "-12")], &["-", "- 1"]);
}

/// 2 to this power, by doubling digits.
fn power_of_two(bits: u32) -> String {
    let mut digits = vec![1u8];
    for _ in 0..bits {
        let mut carry = 0;
        for digit in digits.iter_mut() {
            let doubled = *digit * 2 + carry;
            (*digit, carry) = (doubled % 10, doubled / 10);
        }
        if carry > 0 {
            digits.push(carry);
        }
    }
    digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}

/// No power of two ends in 0 or 9.
fn plus_one(number: &str) -> String {
    last_digit(number, 1)
}

fn minus_one(number: &str) -> String {
    last_digit(number, -1)
}

fn last_digit(number: &str, by: i8) -> String {
    let (rest, last) = number.split_at(number.len() - 1);
    let last: i8 = last.parse().expect("a digit");
    format!("{rest}{}", last + by)
}

#[test]
fn decimals_at_the_borders_of_their_precision() {
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    check(
        &decimal(4, 2),
        &[
            ("99.99", "99.99"),
            ("-99.99", "-99.99"),
            ("0099.9900", "99.99"),
            ("-0", "0.00"),
            (".5", "0.50"),
            ("5.", "5.00"),
        ],
        &["100", "-100.00", "0.001", "1e1", "1E1", ".", "-", " ", "1.2.3", "1,0", "NaN"],
    );
    for (precision, scale) in [(38u8, 0i8), (39, 0), (76, 0), (76, 76), (76, 38), (38, 38), (1, 1), (1, 0)] {
        let ty = decimal(precision, scale);
        let whole = "9".repeat(usize::from(precision) - scale as usize);
        let fraction = "9".repeat(scale as usize);
        let point = if scale > 0 { "." } else { "" };
        let max = format!("{whole}{point}{fraction}");
        let shown = if whole.is_empty() { format!("0{max}") } else { max.clone() };
        let above = format!("1{}", "0".repeat(whole.len()));
        let finer = format!("0.{}1", "0".repeat(scale as usize));
        check(
            &ty,
            &[(&max, &shown), (&format!("-00{max}"), &format!("-{shown}"))],
            &[&above, &format!("-{above}"), &finer],
        );
        let zero = if scale > 0 { format!("0.{}", "0".repeat(scale as usize)) } else { "0".to_owned() };
        check(&ty, &[("-0", &zero), ("000.00", &zero)], &["1e0", ".", "+", ""]);
    }
    check(&decimal(40, 3), &[("+1.5", "1.500"), ("-0.0001000".trim_end_matches("1000"), "0.000")], &["1.2345"]);
}

#[test]
fn floats_and_booleans() {
    let (max, tiny) = ("1.7976931348623157e308", "5e-324");
    check(
        &ColumnType::Float64,
        &[
            (max, "1.7976931348623157e308"),
            (tiny, "5e-324"),
            ("-0", "-0.0"),
            ("1e3", "1000.0"),
            ("007", "7.0"),
            ("inf", "inf"),
        ],
        &["1e309", "1e-400", "0x1p3", "1_0", "1,5", "e5", "1e", "."],
    );
    check(&ColumnType::Float32, &[("3.4028235e38", "3.4028235e38"), ("nan", "NaN")], &["3.5e38", "1e-50"]);
    check(&ColumnType::Bool, &[("1", "true"), ("No", "false")], &["2", "on", "-1", "01"]);
}

#[test]
fn dates_and_times() {
    check(
        &ColumnType::Date,
        &[("0001-01-01", "0001-01-01"), ("9999-12-31", "9999-12-31"), ("2024-02-29", "2024-02-29")],
        &["0000-12-31", "10000-01-01", "2023-02-29", "1900-02-29", "2024-13-01", "2024-00-10", "2024-01-00", "1/2/3"],
    );
    check(
        &ColumnType::DateTime,
        &[("0001-01-01 00:00:00", "0001-01-01T00:00:00"), ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59")],
        &["2024-01-01 00:00:00.5", "2024-01-01 24:00:00", "2024-01-01 23:59:60", "294277-01-01 00:00:00", "1704067200"],
    );
    check(
        &ColumnType::DateTime64 { precision: 3 },
        &[("2024-03-31 02:30:00.120000", "2024-03-31T02:30:00.120")],
        &["2024-01-01 00:00:00.0001", "2024-01-01 00:00:00."],
    );
}

#[test]
fn fixed_strings_count_bytes_and_are_not_padded() {
    check(&ColumnType::FixedString(2), &[("", ""), ("a", "a"), ("é", "é"), ("a\0", "a\0")], &["abc", "éa"]);
}

#[test]
fn uuids_have_one_spelling() {
    let canonical = "0123abcd-4567-89ef-0123-456789abcdef";
    check(
        &ColumnType::Uuid,
        &[
            (canonical, canonical),
            ("0123ABCD-4567-89EF-0123-456789ABCDEF", canonical),
            ("0123abcd456789ef0123456789abcdef", canonical),
            ("{0123ABCD-4567-89ef-0123-456789abcdef}", canonical),
            (" {0123abcd456789ef0123456789abcdef} ", canonical),
        ],
        &[
            "0123abcd-4567-89ef-0123-456789abcde",
            "0123abcd-4567-89ef-0123-456789abcdeg",
            "0123abcd-4567-89ef-0123456789abcdef",
            "0123abcd4-567-89ef-0123-456789abcdef",
            "{0123abcd-4567-89ef-0123-456789abcdef",
            "0123abcd04567-89ef-0123-456789abcdef",
            "urn:uuid:0123abcd-4567-89ef-0123-456789abcdef",
            "0123abcd-4567-89ef-0123-456789abcde\u{e9}",
            "------------------------------------",
            "{}",
        ],
    );
}

#[test]
fn addresses_have_one_spelling() {
    check(
        &ColumnType::Ipv4,
        &[("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), (" 10.0.0.1 ", "10.0.0.1")],
        &["256.0.0.0", "1.2.3", "1.2.3.4.5", "01.2.3.4", "0x1.2.3.4", "::1", "1.2.3.4/8"],
    );
    check(
        &ColumnType::Ipv6,
        &[
            ("::", "::"),
            ("2001:0DB8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"),
            ("::FFFF:1.2.3.4", "::ffff:1.2.3.4"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ],
        &["1.2.3.4", "fe80::1%eth0", "1::2::3", "12345::", ":", "[::1]"],
    );
}

#[test]
fn a_label_is_one_of_the_enum_to_the_letter() {
    let labels = EnumType { wide: false, labels: Arc::new([("a".to_owned(), 1), ("it's".to_owned(), 2)]) };
    check(&ColumnType::Enum(labels), &[("a", "a"), ("it's", "it's")], &["A", " a", "1", "its", "''"]);
}

#[test]
fn json_is_valid_and_kept_byte_for_byte() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let good = [r#"{"a": [1, 2.50, 1e400, null],  "a": "\ud800"}"#, "5", "\"x\"", "null", " [ ] \n", "-0.0", &deep];
    for text in good {
        assert_eq!(value(&ColumnType::Json, text).as_deref(), Some(text));
    }
    check(
        &ColumnType::Json,
        &[],
        &["", " ", "{a: 1}", "{'a': 1}", "[1,]", "01", "NaN", "[1] 2", "\"\n\"", "\u{feff}1"],
    );
}

fn array(element: ColumnType, nullable: bool) -> ColumnType {
    ColumnType::Array { element: Box::new(element), nullable }
}

#[test]
fn lists_are_json_or_clickhouse_text() {
    check(
        &array(ColumnType::Int64, false),
        &[
            ("[1,2]", "[1, 2]"),
            (" [ 1 , -2 ] ", "[1, -2]"),
            ("[]", "[]"),
            ("[ ]", "[]"),
            ("", "[]"),
            (r#"["1"]"#, "[1]"),
            ("['1', 2]", "[1, 2]"),
            ("[+1]", "[1]"),
        ],
        &[
            "[1,x]",
            "[1,null]",
            "[1,NULL]",
            "[1",
            "1]",
            "1",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[[1]]",
            "[1.0]",
            "{}",
            "null",
            r#"[""]"#,
            "['']",
            "[9223372036854775808]",
            "[1]]",
            "['1' '2']",
            "['1]",
        ],
    );
    check(
        &array(ColumnType::Int8, true),
        &[("[1,null]", "[1, ]"), ("[NULL, 1]", "[, 1]"), (r#"["",'2']"#.replace('"', "'").as_str(), "[, 2]")],
        &["[128]", "[nul]"],
    );
    check(
        &array(ColumnType::String, false),
        &[
            (r#"["a,b", "c\u00e9\n"]"#, "[a,b, cé\n]"),
            (r"['a,b', 'it\'s', 'it''s', '\x41\\', '\d', '\t']", "[a,b, it's, it's, A\\, \\d, \t]"),
            (r#"[1.50, true, {"k": 1}, [2]]"#, r#"[1.50, true, {"k": 1}, [2]]"#),
            ("['']", "[]"),
        ],
        &["[a]", "['a]", "['a\\", "['\\x4']", "[null]", "['a' , ]", r#"["\ud800"]"#, "['\\xff']"],
    );
    check(&array(ColumnType::Date, false), &[("['2024-02-29']", "[2024-02-29]")], &["['2023-02-29']", "[2024-02-29]"]);
    check(&array(ColumnType::Float64, false), &[("[1e3, -0.5, nan]", "[1000.0, -0.5, NaN]")], &["[1e400]"]);
    check(&array(ColumnType::Bool, false), &[("[true,false,1]", "[true, false, true]")], &["[maybe]"]);
    check(&array(ColumnType::Decimal { precision: 40, scale: 1 }, false), &[("[1.5,2]", "[1.5, 2.0]")], &["[1.55]"]);
    check(&array(ColumnType::Uuid, false), &[], &["[0123abcd456789ef0123456789abcdef]"]);
}

#[test]
fn a_bad_element_makes_its_own_row_bad_and_no_other() {
    let column = Column::required("c", array(ColumnType::Int64, false));
    let texts: [&[u8]; 7] = [b"[]", b"[1,x,y]", b"no list", b"[2]", b"[]", b"[x]", b"[3,4]"];
    let built = build(&column, texts.into_iter().map(Cell::Text));
    assert_eq!(built.errors, [1, 2, 5]);
    let lists = built.values.as_list::<i32>();
    let numbers = |row| lists.value(row).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!((numbers(0), numbers(3), numbers(4), numbers(6)), (vec![], vec![2], vec![], vec![3, 4]));
}

#[test]
fn a_strict_list_takes_only_elements_that_inference_takes() {
    let column = Column {
        origin: connector_core::schema::Origin::Inferred,
        ..Column::required("c", array(ColumnType::Int64, false))
    };
    let built = build(&column, [&b"[1]"[..], b"['02']", b"[+3]"].into_iter().map(Cell::Text));
    assert_eq!(built.errors, [1, 2]);
}

proptest! {
    #[test]
    fn wide_integers_are_those_of_the_standard_library(text in "[+-]?0{0,3}[0-9]{0,41}") {
        prop_assert_eq!(value(&ColumnType::Int128, &text), text.parse::<i128>().ok().map(|number| number.to_string()));
        let minus_zero = text.starts_with('-') && text.len() > 1 && text[1..].bytes().all(|byte| byte == b'0');
        let wanted = if minus_zero { Some(0) } else { text.parse::<u128>().ok() };
        prop_assert_eq!(value(&ColumnType::UInt128, &text), wanted.map(|number| number.to_string()));
    }

    #[test]
    fn wide_decimals_say_what_narrow_ones_say(text in "[+-]?[0-9]{0,22}\\.?[0-9]{0,22}", scale in 0i8..=20) {
        // As many digits in front of the point as the narrow one has, so that both refuse the same.
        let narrow = value(&ColumnType::Decimal { precision: 20 + scale as u8 / 2, scale: scale / 2 }, &text);
        let wide = wide::decimal(text.as_bytes(), 20 + scale as u8 / 2, scale / 2).map(|text| text.into_owned());
        prop_assert_eq!(narrow.filter(|_| !text.is_empty()), wide);
    }

    #[test]
    fn lists_come_back_out_of_both_spellings(items in prop::collection::vec("\\PC{0,6}|[\\\\'\"\\[\\],\n\t ]{0,4}", 0..6)) {
        let json = serde_json::to_string(&items).expect("a list");
        let quoted = |item: &String| format!("'{}'", item.replace('\\', "\\\\").replace('\'', "\\'"));
        let clickhouse = format!("[{}]", items.iter().map(quoted).collect::<Vec<_>>().join(","));
        for text in [json, clickhouse] {
            let mut elements = list::Elements::new(&ColumnType::String);
            prop_assert!(elements.append(text.as_bytes()), "{}", text);
            let wanted: Vec<Cell<'_>> = items.iter().map(|item| Cell::Text(item.as_bytes())).collect();
            prop_assert_eq!(elements.cells().collect::<Vec<_>>(), wanted);
        }
    }
}
