//! Types, defaults, paths and codecs of columns, and what stands between columns.

use super::support::{column, in_schema, parse, refused};
use connector_core::schema::ColumnDefault;
use connector_datafile::{DataSource, Diagnostic};

#[test]
fn types_that_are_refused_say_what_to_write_instead() {
    let unsupported = |name: &str, why: &str, hint: &str| {
        format!("error: the type {name} is not supported: {why} @2:7+{} | {hint}", name.len())
    };
    let (one_type, states) = (
        "a column has one type for all of its values",
        "files hold values, not states of an aggregation, and a table keeps every row as it came",
    );
    for (text, expected) in [
        ("a Variant(Int8, String)", unsupported("Variant", one_type, "use String, or JSON")),
        ("a Dynamic", unsupported("Dynamic", one_type, "use String, or JSON")),
        ("a AggregateFunction(sum, Int8)", unsupported("AggregateFunction", states, "store the plain values")),
        (
            "a SimpleAggregateFunction(sum, Int64)",
            unsupported("SimpleAggregateFunction", states, "write the type inside of it alone"),
        ),
        ("a BFloat16", unsupported("BFloat16", "a table has no floats of 16 bits", "use Float32")),
        ("a Time", unsupported("Time", "a table has no type for a time without a date", "use String")),
        ("a Object('json')", unsupported("Object", "ClickHouse itself has given it up", "use JSON")),
    ] {
        refused(&[(text, &expected)], in_schema);
    }
    let enums = "write Enum8('a' = 1, 'b' = 2), or only the labels: they are numbered from 1";
    let one = |message: &str, place: &str, hint: &str| format!("error: {message} @{place} | {hint}");
    for (text, expected) in [
        (
            "a DateTime('Europe/Berlin')",
            one("the only time zone that is supported is 'UTC'", "2:16+15", "times are stored in UTC; values"),
        ),
        ("a DateTime64(10)", one("the precision of DateTime64 is a number from 0 to 9", "2:18+2", "")),
        ("a Map", one("Map needs a type of keys and a type of values", "2:7+3", "such as Map(String, UInt64)")),
        ("a BIGINT(20)", one("Int64 takes no arguments", "2:7+10", "")),
        (
            "a JSON(id UInt64)",
            one("the arguments of JSON are not supported: a table keeps the whole text", "2:7+15", ""),
        ),
        ("a Map(Int8)", one("Map takes a type of keys, ',' and a type of values", "2:7+9", "such as Map")),
        ("a Map(Int8,)", one("Map needs a type of values, too", "2:7+10", "such as Map")),
        ("a Map(Int8, Int8, Int8)", one("Map takes two types", "2:21+1", "such as Map")),
        ("a Map(Nullable(Int8), Int8)", one("the key of a Map is never NULL", "2:11+14", "leave Nullable away")),
        (
            "a Map(LowCardinality(Nullable(String)), Int8)",
            one("the key of a Map is never NULL", "2:11+32", "leave Nullable away"),
        ),
        (
            "a Map(Array(Int8), Int8)",
            one("Array(Int8) cannot be the key of a Map: keys are told apart by their text", "2:11+11", "use String"),
        ),
        ("a Map(Int46, String)", one("'Int46' is not a type", "2:11+5", "did you mean")),
        ("a Tuple", one("Tuple needs types", "2:7+5", "such as Tuple(sku String")),
        ("a Tuple(Int8,)", one("Tuple needs a type behind ','", "2:7+12", "such as Tuple")),
        ("a Tuple(x Int8, Int8)", one("some parts of Tuple have a name and others have none", "2:7+19", "give all")),
        ("a Tuple(x Int8, x Int8)", one("the name 'x' appears twice", "2:21+1", "rename one of them")),
        (
            "a Tuple(x Int8 DEFAULT 1)",
            one("this does not belong to Tuple: its types stand behind ','", "2:20+7", "such"),
        ),
        ("a Nested(Int8)", one("each part of Nested has a name", "2:7+12", "such as Nested(")),
        (
            "a Nullable(Map(String, Int8))",
            one("Nullable cannot hold Map", "2:16+17", "write Map(..., Nullable(...)): a map is empty, never NULL"),
        ),
        (
            "a Array(Nullable(Tuple(Int8)))",
            one("Nullable cannot hold Tuple", "2:22+11", "leave Nullable away, and make the types inside"),
        ),
        ("a Nullable(Point)", one("Nullable cannot hold Point", "2:16+5", "leave Nullable away, and make")),
        ("a LowCardinality(Map(String, Int8))", one("LowCardinality cannot hold Map", "2:22+17", "write Map(Low")),
        ("a LowCardinality(Decimal(3, 1))", one("LowCardinality cannot hold Decimal", "2:22+13", "leave Low")),
        ("a Array", one("Array needs a type", "2:7+5", "such as Array(String)")),
        ("a Array(Int8, Int8)", one("Array takes one type", "2:17+1", "")),
        (
            "a Nullable(Array(Int8))",
            one("Nullable cannot hold Array", "2:16+11", "write Array(Nullable(...)): an array"),
        ),
        ("a LowCardinality(Array(Int8))", one("LowCardinality cannot hold Array", "2:22+11", "write Array(Low")),
        (
            "a LowCardinality(Enum8('a'))",
            one("LowCardinality cannot hold Enum8", "2:22+10", "leave LowCardinality away"),
        ),
        (
            "a Nullable(LowCardinality(String))",
            one("Nullable cannot hold LowCardinality", "2:16+22", "write LowCardinality(Nullable(String))"),
        ),
        (
            "a FixedString",
            one("FixedString takes a number of bytes from 1 to 16777215", "2:7+11", "such as FixedString(2)"),
        ),
        ("a FixedString(0)", one("FixedString takes a number of bytes", "2:7+14", "").replace(" @2:7+14 | ", " from")),
        (
            "a Decimal(77, 1)",
            one("these are not the arguments of Decimal", "2:7+14", "write Decimal(precision, scale): 1 to 76"),
        ),
        ("a Decimal256(77)", one("these are not the arguments of Decimal256", "2:7+14", "write Decimal")),
        ("a UUID(1)", one("UUID takes no arguments", "2:7+7", "")),
        ("a Enum8", one("Enum8 needs labels", "2:7+5", enums)),
        ("a Enum8()", one("Enum8 needs labels", "2:7+7", enums)),
        ("a Enum8('a' = 128)", one("the numbers of Enum8 go from -128 to 127", "2:13+9", enums)),
        ("a Enum8('a' = 127, 'b')", one("the numbers of Enum8 go from -128 to 127", "2:24+3", enums)),
        ("a Enum16('a' = 99999)", one("the numbers of Enum16 go from -32768 to 32767", "2:14+11", enums)),
        ("a Enum8('a', 'a')", one("the label 'a' appears twice", "2:18+3", enums)),
        ("a Enum8('a' = 1, 'b' = 1)", one("the number 1 belongs to two labels", "2:22+7", enums)),
        ("a Enum8('a', 'b' = 5)", one("a label with a number stands behind one without", "2:24+1", enums)),
        (
            "a Enum8('a' = 1, 'b' = 2, 'c')",
            one("a label without a number stands behind several", "", "").replace(" @ | ", ""),
        ),
        ("a Enum8(a)", one("a label stands between single quotes", "2:13+1", enums)),
        ("a Enum8('a' = 'b')", one("a label is numbered with a whole number", "2:19+3", enums)),
        ("a Enum8('a' 1)", one("this is not a label of Enum8", "2:13+5", enums)),
        ("a Enum8('a',,'b')", one("this is not a label of Enum8", "2:7+15", enums)),
        ("a Uuid", one("'Uuid' is not a type", "2:7+4", "did you mean 'UUID'?")),
    ] {
        refused(&[(text, &expected)], in_schema);
    }
}

#[test]
fn defaults_become_cells_or_expressions() {
    for (text, expected) in [
        ("a DateTime DEFAULT now()", "DateTime a now()"),
        ("a DateTime64(3) DEFAULT now64(3)", "DateTime64(3) a now64(3)"),
        ("a Date DEFAULT today() - INTERVAL 1 DAY", "Date a today() - toIntervalDay(1)"),
        ("a Date DEFAULT now() `json:$.b` CODEC(ZSTD(1))", "Date b now()"),
        ("a Date DEFAULT b\n        + toIntervalDay(1),\n    b Date", "Date a b + toIntervalDay(1)"),
        ("a Date DEFAULT b +\n        toIntervalDay(1),\n    b Date", "Date a b + toIntervalDay(1)"),
        ("a Date DEFAULT toDate(\n        b\n    ),\n    b Date", "Date a toDate(b)"),
        ("a Date DEFAULT\n        now()", "Date a now()"),
        ("a UInt32 DEFAULT toYYYYMM(b), b Nullable(DateTime)", "UInt32 a toYYYYMM(b)"),
        ("a String DEFAULT 'a\\x41\\\\\\'\\%'", "String a 'aA\\'\\%'"),
        ("a String DEFAULT ('\\x41\\b')", "String a 'A\u{8}'"),
        ("a DateTime DEFAULT '9999-12-31 23:59:59'", "DateTime a '9999-12-31T23:59:59Z'"),
        ("a Int8 DEFAULT (5)", "Int8 a '5'"),
        ("a Int8 DEFAULT -5", "Int8 a '-5'"),
        ("a Nullable(Int8) DEFAULT NULL", "Int8 a none"),
        ("a Array(String) DEFAULT []", "Array(String) a '[]'"),
        ("a Array(String) DEFAULT ['x', 'y']", r#"Array(String) a '["x","y"]'"#),
        ("a Array(Int8) DEFAULT [1, -2]", "Array(Int8) a '[1,-2]'"),
        ("a Array(Nullable(Float64)) DEFAULT [1.5, NULL]", "Array(Nullable(Float64)) a '[1.5,null]'"),
        ("a UUID DEFAULT '61F0C404-5CB3-11E7-907B-A6006AD3DBA0'", "UUID a '61f0c404-5cb3-11e7-907b-a6006ad3dba0'"),
        ("a Enum8('x', 'y') DEFAULT 'y'", "Enum8('x' = 1, 'y' = 2) a 'y'"),
        ("a Enum8('x', 'y') DEFAULT 2", "Enum8('x' = 1, 'y' = 2) a 'y'"),
    ] {
        assert_eq!(column(text), expected, "{text}");
    }
    let (renamed, _) = parse(&in_schema("a Date DEFAULT toDate(`b c`), `b c` DateTime"));
    let default = renamed.columns.and_then(|columns| columns[0].column.default.clone());
    let Some(ColumnDefault::Expression(found)) = default else { panic!("{default:?}") };
    assert_eq!(found.to_string(), "toDate(b_c)", "columns are called as in the table");
}

#[test]
fn defaults_that_are_refused_say_what_is_possible() {
    let possible = "possible are literals, now(), now64(), today(), a column, toDate";
    for (text, expected) in [
        ("a Int8 DEFAULT 1 + 1", format!("error: this DEFAULT is not possible: what is added must say its unit, such as toIntervalDay(30) @2:24+1 | {possible}")),
        ("a Int8 DEFAULT rand()", format!("error: this DEFAULT is not possible: the function rand is not possible here @2:20+4 | {possible}")),
        ("a Date DEFAULT now() + x", format!("error: this DEFAULT is not possible: only an interval can be added or subtracted, such as toIntervalDay(30) @2:28+1 | {possible}")),
        ("a Date DEFAULT toDate(b", "error: this DEFAULT is not possible: a ')' is missing here @2:28+1 | possible".to_owned()),
        ("a Int8 DEFAULT", "error: DEFAULT needs a value @2:12+7 | write a number, a 'text', true, false, NULL, a list".to_owned()),
        ("a Int8 DEFAULT, b Int8", "error: DEFAULT needs a value @2:12+7 | write".to_owned()),
        ("a Int8 DEFAULT 300", "error: the DEFAULT does not fit its column: '300' is not Int8 @2:20+3 | ".to_owned()),
        ("a Int8 DEFAULT NULL", "error: the DEFAULT does not fit its column: NULL is no value of a column that is not Nullable @2:20+4".to_owned()),
        ("a UUID DEFAULT 'x'", "error: the DEFAULT does not fit its column: 'x' is not UUID @2:20+3".to_owned()),
        ("a Int64 DEFAULT '++5'", "error: the DEFAULT does not fit its column: '++5' is not Int64 @2:21+5".to_owned()),
        ("a DateTime DEFAULT '2024-01-01T00:00:00[UTC]'", "error: the DEFAULT does not fit its column: '2024-01-01T00:00:00[UTC]' is not DateTime @2:24+26".to_owned()),
        ("a String DEFAULT '\\x4'", "error: \\x needs two hexadecimal digits @2:23+2 | write a byte as".to_owned()),
        ("a String DEFAULT '\\xff'", "error: the escapes in this text make bytes that are not UTF-8 @2:22+6 | texts are UTF-8".to_owned()),
        ("a Array(Int8) DEFAULT [300]", "error: the DEFAULT does not fit its column: '300' is not Int8 @2:27+5".to_owned()),
        ("a Array(Int8) DEFAULT 1", "error: the DEFAULT does not fit its column: '1' is no list; write one as [] or [1, 2] @2:27+1".to_owned()),
        ("a Array(Int8) DEFAULT [now()]", "error: this is not a list of literals @2:27+7 | such as [] or [1, 2]".to_owned()),
        ("a Int64 DEFAULT now()", format!("error: the DEFAULT does not fit its column: 'now()' is DateTime, which does not go into Int64 @2:21+5 | {possible}")),
        ("a Date DEFAULT toDate(b), b String", "error: the DEFAULT does not fit its column: toDate takes a Date, DateTime or DateTime64, not String @2:20+9".to_owned()),
        ("a Date DEFAULT toDate(plced), placed Date", "error: there is no column 'plced' in SCHEMA @2:27+5 | did you mean 'placed'?".to_owned()),
        ("a Date DEFAULT toDate(nothing_like), placed Date", "error: there is no column 'nothing_like' in SCHEMA @2:27+12 | columns are a, placed".to_owned()),
        ("a Date DEFAULT a", "error: the DEFAULT of 'a' refers to the column itself @2:20+1 | one of them needs".to_owned()),
        ("a Date DEFAULT b, b Date DEFAULT a", "error: the DEFAULTs refer to each other in a circle: a -> b -> a @2:20+1 | one of them needs a DEFAULT that does not depend on the others".to_owned()),
    ] {
        refused(&[(text, &expected)], in_schema);
    }
    // A type that is not known is one problem, not two.
    assert_eq!(parse(&in_schema("a Date DEFAULT toDate(b), b DateTme")).1.len(), 1);
}

#[test]
fn paths_are_kept_without_their_root() {
    for (text, expected) in [
        ("a String `json:$.b`", "String b none"),
        ("a String `json:$.b.c`", "String b.c none"),
        ("a Array(String) `json:$.b[:]`", "Array(String) b[:] none"),
        ("a Array(String) `json:$.lines[:].sku`", "Array(String) lines[:].sku none"),
        ("a JSON `json:$`", "JSON $ none"),
        ("a String `json:$`", "String $ none"),
        ("a String `json:$.['odd.key']`", "String ['odd.key'] none"),
        ("a String `json:$['odd.key']`", "String ['odd.key'] none"),
    ] {
        assert_eq!(column(text), expected, "{text}");
    }
    let hint = "write `json:$.name`, `json:$.a.b`, `json:$.list[:]`";
    for (text, expected) in [
        ("a String `json:b`", format!("error: a path begins with json:$ @2:15+6 | {hint}")),
        ("a String `json:$.b[0]`", format!("error: a single element cannot be taken: only [:], all of them @2:23+3 | {hint}")),
        ("a String `json:$.b..c`", format!("error: a name is missing here @2:24+2 | {hint}")),
        ("a Array(String) `json:$.b[:][:]`", format!("error: only one [:] is possible: a list of lists has no column type @2:33+3 | {hint}")),
        ("a String `json:$.b[:]`", "error: the path leads to the elements of an array, which are more than one String @2:14+13 | declare the column as Array(...)".to_owned()),
        ("a Int8 `json:$`", "error: the whole record is not Int8 @2:12+8 | declare the column as JSON or String".to_owned()),
    ] {
        refused(&[(text, &expected)], in_schema);
    }
}

#[test]
fn what_looks_like_a_comment_and_is_none_is_one_problem_that_says_where_comments_stand() {
    for mark in ["# x", "// x, y", "/* x */"] {
        for line in [format!("a Int8, {mark}\n    b Int8"), format!("a Int8 {mark}\n    , b Int8")] {
            let text = in_schema(&line);
            let (_, problems) = parse(&text);
            let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
            assert_eq!(codes, ["comment_in_block"], "{text}");
            assert!(problems[0].hints[0].contains("line of its own"), "{problems:?}");
        }
        let swallowed = in_schema(&format!("a Int8 {mark},\n    b Int8"));
        let codes: Vec<&str> = parse(&swallowed).1.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, ["comment_in_block"], "the comma is in the comment: {swallowed}");
    }
}

#[test]
fn comments_in_a_schema_change_nothing() {
    let plain = parse(&in_schema("a Date DEFAULT b\n + toIntervalDay(1),\n `c--d` String `json:$.x--y`,\n b Date"));
    let text = "# first\n    -- second\n    a Date DEFAULT b -- a quote ' here\n        # it's between\n        \
                + toIntervalDay(1), -- third, with a comma\n# fourth\n    `c--d` String `json:$.x--y`,--fifth\n    b Date -- sixth";
    let commented = parse(&in_schema(text));
    let columns =
        |found: &DataSource| -> Vec<_> { found.columns.iter().flatten().map(|found| found.column.clone()).collect() };
    assert_eq!(columns(&commented.0), columns(&plain.0));
    assert_eq!(columns(&plain.0).len(), 3);
    let codes = |found: &[Diagnostic]| found.iter().map(|found| found.code).collect::<Vec<_>>();
    assert_eq!((codes(&commented.1), codes(&plain.1)), (vec!["renamed_column"], vec!["renamed_column"]));
    refused(
        &[
            (
                "a Int8 -- x,\n    b Int8",
                "error: a ',' is missing between two columns @2:11+1 | put the ',' in front of the comment",
            ),
            ("a Int8 -- x\n    b Int8", "error: a ',' is missing between two columns @2:11+1 | columns are separated"),
        ],
        in_schema,
    );
}

#[test]
fn a_column_without_a_type_has_that_of_its_default() {
    for (text, expected) in [
        ("a DEFAULT 42", "UInt8 a '42'"),
        ("a DEFAULT -300", "Int16 a '-300'"),
        ("a DEFAULT 'x' CODEC(ZSTD)", "String a 'x'"),
        ("a `json:$.b` DEFAULT true", "Bool b 'true'"),
        ("a DEFAULT now() `json:$.b`", "DateTime b now()"),
        ("a DEFAULT now64(3)\n    , b Int8", "DateTime64(3) a now64(3)"),
        ("a DEFAULT b, b DEFAULT toYYYYMM(c), c DEFAULT today()", "UInt32 a b"),
        ("a DEFAULT [1, 300]", "Array(UInt16) a '[1,300]'"),
    ] {
        assert_eq!(column(text), expected, "{text}");
    }
    let nullable = parse(&in_schema("a DEFAULT b, b Nullable(Date)")).0.columns.expect("columns").remove(0).column;
    assert!(nullable.nullable);
    refused(
        &[
            (
                "a DEFAULT NULL",
                "error: the column a has no type, and its DEFAULT does not say which @2:5+1 | write a type",
            ),
            ("a DEFAULT toYear(b), b String", "error: the DEFAULT has no type: toYear takes a Date"),
            ("a DEFAULT b, b DEFAULT a", "error: the DEFAULTs refer to each other in a circle"),
        ],
        in_schema,
    );
}

#[test]
fn names_need_back_quotes_only_where_the_reference_wants_them() {
    for (text, name, table) in [
        ("first-name String", "first-name", "first_name"),
        ("a.b String", "a.b", "a_b"),
        ("1st String", "1st", "_1st"),
        ("`é ` String", "é ", ""),
        ("index String", "index", "index"),
        ("type String", "type", "type"),
    ] {
        let columns = parse(&in_schema(text)).0.columns.expect("columns");
        assert_eq!(columns[0].name.value, name);
        assert!(table.is_empty() || columns[0].column.name == table, "{text}: {}", columns[0].column.name);
    }
}

#[test]
fn codecs_are_read_with_their_arguments() {
    let codecs = |text: &str| {
        let (datasource, found) = parse(&in_schema(text));
        assert_eq!(found, [], "{text}");
        let codec = datasource.columns.expect("columns").remove(0).codec.expect("a codec").value;
        codec.iter().map(|codec| format!("{} {}", codec.name, codec.arguments.join("/"))).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(codecs("a Int8 CODEC(ZSTD)"), "ZSTD ");
    assert_eq!(codecs("a Int8 codec (Delta(4), ZSTD(1, 24)) `json:$.b`"), "Delta 4, ZSTD 1/24");
    assert_eq!(codecs("a Int8 DEFAULT 1 CODEC(T64('bit'), LZ4HC(9)), b Int8"), "T64 bit, LZ4HC 9");
    assert_eq!(codecs("a Int8 CODEC(\n        DoubleDelta -- times\n    )"), "DoubleDelta ");
    refused(
        &[
            ("a Int8 CODEC(zstd)", "error: 'zstd' is not a codec @2:18+4 | did you mean 'ZSTD'?"),
            (
                "a Int8 CODEC(LZ4(1))",
                "error: these are not the arguments of LZ4 @2:18+6 | write LZ4, without arguments",
            ),
            (
                "a Int8 CODEC(ZSTD(x))",
                "error: these are not the arguments of ZSTD @2:18+7 | write ZSTD or ZSTD(level), with a level from 1 to 22",
            ),
            ("a Int8 CODEC(Delta)", "error: Delta makes nothing smaller by itself @2:18+5 | write CODEC(Delta, ZSTD)"),
        ],
        in_schema,
    );
}
