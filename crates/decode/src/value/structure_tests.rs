use proptest::prelude::{prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::columns::{Cell, build};

fn ty(text: &str) -> ColumnType {
    ColumnType::parse_canonical(text).unwrap_or_else(|| panic!("{text}"))
}

/// What a cell becomes in a column of this type; `None` if it is refused.
fn read(declared: &str, cell: &str) -> Option<String> {
    canonical(cell.as_bytes(), &ty(declared), false).map(Cow::into_owned)
}

#[track_caller]
fn check(declared: &str, good: &[(&str, &str)], bad: &[&str]) {
    for (cell, wanted) in good {
        let found = read(declared, cell);
        assert_eq!(found.as_deref(), Some(*wanted), "{cell} as {declared}");
        assert_eq!(read(declared, wanted).as_deref(), Some(*wanted), "the spelling of {cell} as {declared} is its own");
    }
    for cell in bad {
        assert_eq!(read(declared, cell), None, "{cell} as {declared}");
    }
}

#[test]
fn maps_have_keys_and_values_of_their_types() {
    check(
        "Map(String, UInt64)",
        &[
            (r#"{"b": 1, "a": 18446744073709551615}"#, r#"{"b":1,"a":18446744073709551615}"#),
            (r#" { "a" : "7" } "#, r#"{"a":7}"#),
            (r#"{"\u0061\n": 1}"#, r#"{"a\n":1}"#),
            (r#"{"": 1}"#, r#"{"":1}"#),
            ("{'a':1, 'it''s' : 2}", r#"{"a":1,"it's":2}"#),
            ("{}", "{}"),
            ("{ }", "{}"),
        ],
        &[
            r#"{"a": -1}"#,
            r#"{"a": null}"#,
            r#"{"a": ""}"#,
            r#"{"a": 1, "a": 2}"#,
            r#"{"a": 1, "\u0061": 2}"#,
            "{'a':1,'a':2}",
            "{'a':NULL}",
            "{a:1}",
            "{'a' 1}",
            "{'a':1,}",
            "{'a':1",
            "{'a':1}}",
            "[]",
            "[[\"a\", 1]]",
            "('a', 1)",
            "null",
            "NULL",
            "1",
            "",
            "\"{}\"",
        ],
    );
    check(
        "Map(UInt8, Nullable(String))",
        &[(r#"{"007": null, "8": 1.50}"#, r#"{"7":null,"8":"1.50"}"#), ("{1:'x', 2:NULL}", r#"{"1":"x","2":null}"#)],
        &[r#"{"256": "x"}"#, r#"{"7": "x", "07": "y"}"#, r#"{"": "x"}"#, r#"{"x": "x"}"#, "{1:x}"],
    );
    check("Map(Enum8('a' = 1), Bool)", &[("{'a': yes}", r#"{"a":true}"#)], &[r#"{"b": true}"#]);
    check("Map(Date, Int8)", &[(r#"{"2024-02-29": 1}"#, r#"{"2024-02-29":1}"#)], &[r#"{"2023-02-29": 1}"#]);
}

#[test]
fn tuples_have_their_parts_and_no_others() {
    check(
        "Tuple(UInt8, Nullable(String))",
        &[
            (r#"[1, "x"]"#, r#"[1,"x"]"#),
            ("[1, null]", "[1,null]"),
            ("(1, 'x')", r#"[1,"x"]"#),
            ("(1,NULL)", "[1,null]"),
            (r#"[1, {"k": [1]}]"#, r#"[1,"{\"k\": [1]}"]"#),
        ],
        &[
            "[1]",
            "[1, \"x\", 2]",
            "[null, \"x\"]",
            "[256, \"x\"]",
            r#"{"1": 1, "2": "x"}"#,
            "(1)",
            "(1, x)",
            "[]",
            "()",
        ],
    );
    check("Tuple(Int8)", &[("(1)", "[1]"), ("(1,)", "[1]"), ("( 1 , )", "[1]")], &["(1,,)", "(,)", "1", "(1,2)"]);
    check(
        "Tuple(a UInt8, `b c` Nullable(String))",
        &[
            (r#"{"a": 1, "b c": "x"}"#, r#"{"a":1,"b c":"x"}"#),
            (r#"{"b c": "x", "a": 1}"#, r#"{"a":1,"b c":"x"}"#),
            (r#"{"a": 1}"#, r#"{"a":1,"b c":null}"#),
            (r#"[1, "x"]"#, r#"{"a":1,"b c":"x"}"#),
            ("(1, 'x')", r#"{"a":1,"b c":"x"}"#),
        ],
        &[
            r#"{"b c": "x"}"#,
            r#"{"a": 1, "c": 2}"#,
            r#"{"a": 1, "b c": "x", "d": null}"#,
            r#"{"a": 1, "a": 1}"#,
            r#"{"A": 1}"#,
            "{}",
            "{'a': 1}",
            "[1]",
        ],
    );
}

#[test]
fn arrays_of_anything_are_one_text() {
    check(
        "Array(Array(Nullable(Int8)))",
        &[("[[1, null], []]", "[[1,null],[]]"), ("[[1,NULL],[]]", "[[1,null],[]]"), ("[]", "[]")],
        &["[1]", "[null]", "[[128]]", "[[1]", "[[1]]]", "[\"[1]\"]", "['[1]']", "{}"],
    );
    check(
        "Array(Tuple(sku String, price Decimal(6, 2)))",
        &[
            (r#"[{"sku": "a", "price": 1.5}]"#, r#"[{"sku":"a","price":1.50}]"#),
            ("[('a', 1.5), ('b', -0)]", r#"[{"sku":"a","price":1.50},{"sku":"b","price":0.00}]"#),
        ],
        &[r#"[{"sku": "a"}]"#, r#"[{"sku": "a", "price": 1.555}]"#],
    );
    check(
        "Array(JSON)",
        &[
            (r#"[{"k" : [1.0, "a b"]}, "x", 1]"#, r#"[{"k":[1.0,"a b"]},"x",1]"#),
            (r#"['{"k" : 1}']"#, r#"[{"k":1}]"#),
            (r#"[" \" { "]"#, r#"[" \" { "]"#),
        ],
        &["[null]", "['x']", "['null']", "[nope]"],
    );
    check("Array(Map(String, Array(Float64)))", &[("[{'a':[1, nan, 1e300]}]", r#"[{"a":[1.0,"NaN",1e300]}]"#)], &[]);
}

#[test]
fn each_part_has_one_spelling() {
    for (element, cell, wanted) in [
        ("Int128", "-170141183460469231731687303715884105728", "-170141183460469231731687303715884105728"),
        ("UInt256", "007", "7"),
        ("Float32", "\"inf\"", "\"inf\""),
        ("Float64", "-0", "-0.0"),
        ("Decimal(50, 3)", "1", "1.000"),
        ("DateTime", "\"2024-01-01 00:00:00\"", "\"2024-01-01T00:00:00Z\""),
        ("DateTime64(3)", "\"2024-01-01T02:00:00.5+02:00\"", "\"2024-01-01T00:00:00.500Z\""),
        ("DateTime64(9)", "\"0001-01-01 00:00:00.123456000\"", "\"0001-01-01T00:00:00.123456Z\""),
        ("UUID", "\"{0123ABCD-4567-89EF-0123-456789ABCDEF}\"", "\"0123abcd-4567-89ef-0123-456789abcdef\""),
        ("IPv6", "\"::FFFF:1.2.3.4\"", "\"::ffff:1.2.3.4\""),
        ("FixedString(2)", "\"é\"", "\"é\""),
        ("Bool", "\"no\"", "false"),
    ] {
        let cell = if cell == "007" { "\"007\"" } else { cell };
        check(&format!("Array(Tuple({element}))"), &[(&format!("[[{cell}]]"), &format!("[[{wanted}]]"))], &[]);
    }
    let bad = [("DateTime64(9)", "\"2024-01-01 00:00:00.123456789\""), ("Date", "\"10000-01-01\""), ("IPv4", "\"1\"")];
    for (element, cell) in bad {
        check(&format!("Array(Tuple({element}))"), &[], &[&format!("[[{cell}]]")]);
    }
}

#[test]
fn an_empty_text_is_no_value_where_it_cannot_be_one() {
    check("Array(Tuple(Nullable(Int8)))", &[(r#"[[""]]"#, "[[null]]"), ("[('')]", "[[null]]")], &[r#"[[" "]]"#]);
    check("Array(Tuple(String))", &[(r#"[[""]]"#, r#"[[""]]"#)], &["[[null]]"]);
}

#[test]
fn hostile_texts_are_refused_in_good_time() {
    for (open, close) in [("[", "]"), ("(", ")"), ("{'a':", "}")] {
        for declared in ["Array(Array(Int8))", "Map(String, Map(String, Int8))", "Tuple(Tuple(Int8))"] {
            let deep = format!("{}{}", open.repeat(100_000), close.repeat(100_000));
            check(declared, &[], &[&deep, &open.repeat(100_000), &close.repeat(100_000), &format!("{deep}'")]);
        }
    }
}

#[test]
fn a_column_that_has_no_value_is_empty_if_it_can_be() {
    for (declared, wanted) in
        [("Array(Array(Int8))", Some("[]")), ("Map(Int8, Int8)", Some("{}")), ("Tuple(Int8)", None)]
    {
        let column = connector_core::schema::Column::required("c", ty(declared));
        for cell in [Cell::Absent, Cell::Text(b"")] {
            let built = build(&column, [cell].into_iter());
            let text = arrow::array::AsArray::as_string::<i32>(&built.values);
            assert_eq!(built.errors.is_empty().then(|| text.value(0)), wanted, "{declared}");
        }
    }
}

#[test]
fn what_does_not_fit_is_named_by_its_place_in_the_type() {
    for (declared, cell, wanted) in [
        ("Map(String, UInt64)", "{soon", "it is neither JSON nor what ClickHouse writes"),
        ("Map(String, UInt64)", "12", "it is not a list of keys with their values"),
        ("Map(String, UInt64)", "null", "it is NULL"),
        ("Map(String, UInt64)", r#"{"a": 1, "b": -1}"#, "a value is not UInt64"),
        ("Map(String, UInt64)", r#"{"a": 1, "a": 1}"#, "a key is there twice"),
        ("Map(UInt8, String)", r#"{"256": "x"}"#, "a key is not UInt8"),
        (
            "Map(String, Array(Array(Int8)))",
            r#"{"a": [[1], [2, null]]}"#,
            "an element of an element of a value is NULL",
        ),
        ("Array(Array(Int8))", "[1]", "an element is not a list"),
        ("Array(Array(Int8))", "[[1], [x]]", "an element of an element is not Int8"),
        ("Tuple(Int8, String)", "(1)", "it does not have 2 parts"),
        ("Tuple(Int8, String)", "(x, 'y')", "part 1 is not Int8"),
        ("Tuple(Int8, String)", "7", "it is not a list of the parts of a Tuple"),
        ("Array(Tuple(sku String, price Decimal(6, 2)))", r#"[{"sku": "a"}]"#, "'price' of an element is missing"),
        ("Tuple(a Int8)", r#"{"a": 1, "b": 2}"#, "it has a part that the type does not have"),
        ("Tuple(a Int8)", r#"{"a": 1, "a": 1}"#, "'a' is there twice"),
        ("Tuple(a JSON)", "('nope')", "'a' is not JSON"),
        (
            "Tuple(DateTime64(9))",
            r#"["2024-01-01 00:00:00.123456789"]"#,
            "part 1 is not DateTime64(9) in whole microseconds, and a table holds no finer times",
        ),
    ] {
        let found = misfit(cell, &ty(declared), false).map(|misfit| misfit.to_string());
        assert_eq!(found.as_deref(), Some(wanted), "{cell} as {declared}");
    }
    assert_eq!(misfit("{'a':1}", &ty("Map(String, UInt64)"), false), None);
}

/// Every plain type that a part may have.
const PLAIN: [&str; 22] = [
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Int128",
    "Int256",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "UInt128",
    "UInt256",
    "Float32",
    "Float64",
    "Bool",
    "Date",
    "DateTime",
    "DateTime64(6)",
    "Decimal(9, 2)",
    "UUID",
    "IPv4",
    "String",
];

proptest! {
    /// Whether a text is a value does not depend on whether it stands in a column or in a structure.
    #[test]
    fn a_part_is_judged_as_a_column_is(
        plain in prop::sample::select(&PLAIN[..]),
        strict in proptest::bool::ANY,
        text in prop_oneof![
            "[-+]?[0-9]{0,4}(\\.[0-9]{0,3})?(e[0-9])?",
            "[0-9]{1,4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,7})?Z?)?",
            "(true|no|nan|inf|t|N| 5\t|1\\.2\\.3\\.4|[0-9a-f]{32})",
            "\\PC{0,6}",
        ],
    ) {
        use connector_core::schema::{Column, Origin};
        let origin = if strict { Origin::Inferred } else { Origin::Declared };
        let column = Column { origin, ..Column::nullable("c", ty(plain)) };
        let built = build(&column, [Cell::Text(text.as_bytes())].into_iter());
        let cell = serde_json::Value::from(vec![text.clone()]).to_string();
        let found = canonical(cell.as_bytes(), &ty(&format!("Tuple(Nullable({plain}))")), strict);
        prop_assert_eq!(built.errors.is_empty(), found.is_some(), "{}", text);
        if let Some(found) = found {
            prop_assert_eq!(arrow::array::Array::is_null(&built.values, 0), found == "[null]");
            prop_assert!(serde_json::from_str::<serde_json::Value>(&found).is_ok(), "{}", found);
            let again = canonical(found.as_bytes(), &ty(&format!("Tuple(Nullable({plain}))")), false);
            prop_assert_eq!(again.as_deref(), Some(found.as_ref()));
        }
    }

    #[test]
    fn no_text_panics(
        declared in prop::sample::select(&["Map(String, Array(Int8))", "Tuple(a Int8, b JSON)", "Array(Array(String))"][..]),
        text in "[\\[\\](){}',:\\\\\"a1 x]{0,24}",
    ) {
        if let Some(found) = read(declared, &text) {
            prop_assert_eq!(read(declared, &found), Some(found));
        }
    }
}
