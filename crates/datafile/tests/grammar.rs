//! Types, defaults, paths, engine keys and CSV options: what is accepted becomes this, what is refused says that.

use connector_core::csv::CsvSettings;
use connector_core::evolve::{Evolution, OnMissingColumn};
use connector_core::schema::ColumnDefault;
use connector_core::spec::OverwritePolicy;
use connector_datafile::{Colour, DataSource, Diagnostic, Import, SourceFile, parse_datasource, render};

fn parse(text: &str) -> (DataSource, Vec<Diagnostic>) {
    parse_datasource(&SourceFile::new("t.datasource", text), &|_: &str| None)
}

/// The only problem of a file as people see it: message, place, caret and hint.
fn refusal(text: &str) -> String {
    let (_, found) = parse(text);
    assert_eq!(found.len(), 1, "{text}\n{}", render(&found, Colour::Never));
    let printed = render(&found, Colour::Never);
    let caret = printed.lines().find(|line| line.starts_with("  |") && line.contains('^')).unwrap_or_default();
    let place = printed.lines().find_map(|line| line.trim().strip_prefix("--> t.datasource:")).unwrap_or_default();
    let hint = printed.lines().find_map(|line| line.split_once("hint: ")).map_or("", |(_, hint)| hint);
    let marked = caret.matches('^').count();
    let message = printed.lines().next().unwrap_or_default();
    format!("{message} @{place}+{marked} | {hint}")
}

fn column(text: &str) -> String {
    let (datasource, found) = parse(&format!("SCHEMA >\n    {text}"));
    assert_eq!(found, [], "{text}");
    let column = &datasource.columns.expect("columns")[0].column;
    let default = match &column.default {
        None => "none".to_owned(),
        Some(ColumnDefault::Literal(cell)) => format!("'{cell}'"),
        Some(ColumnDefault::Expression(expression)) => expression.to_string(),
    };
    format!("{} {} {default}", column.ty, column.source)
}

#[track_caller]
fn refused(cases: &[(&str, &str)], wrap: impl Fn(&str) -> String) {
    for (text, expected) in cases {
        let found = refusal(&wrap(text));
        assert!(found.starts_with(expected), "{text}:\n{found}\n{expected}");
    }
}

fn in_schema(column: &str) -> String {
    format!("SCHEMA >\n    {column}")
}

#[test]
fn types_that_are_refused_say_what_to_write_instead() {
    let parts = "use JSON for the whole value, or a column with a path such as `json:$.a.b` for each part";
    let unsupported =
        |name: &str, hint: &str| format!("error: the type {name} is not supported @2:7+{} | {hint}", name.len());
    for (text, expected) in [
        ("a Map(String, Int8)", unsupported("Map", parts)),
        ("a Tuple(Int8, Int8)", unsupported("Tuple", parts)),
        ("a Nested(x Int8)", unsupported("Nested", "use JSON")),
        ("a Variant(Int8, String)", unsupported("Variant", "use String, or JSON")),
        ("a Dynamic", unsupported("Dynamic", "use String, or JSON")),
        ("a AggregateFunction(sum, Int8)", unsupported("AggregateFunction", "store the plain values")),
        ("a BFloat16", unsupported("BFloat16", "use Float32")),
        ("a Time", unsupported("Time", "use String")),
        ("a Object('json')", unsupported("Object", "use JSON")),
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
        ("a DateTime64(9)", one("more than 6 digits of a second are not supported", "2:18+1", "use DateTime64(6)")),
        ("a Array(Array(Int8))", one("an Array of Array is not supported", "2:13+5", "use JSON for the whole value")),
        ("a Array(JSON)", one("an Array of JSON is not supported", "2:13+4", "use JSON for the whole value")),
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

fn with_import(schema: &str, lines: &str) -> String {
    let schema = if schema.is_empty() { String::new() } else { format!("SCHEMA >\n    {schema}\n\n") };
    format!("{schema}IMPORT_CONNECTION_NAME c\nIMPORT_BUCKET_URI s3://bkt/x\n{lines}")
}

fn sources(schema: &str, lines: &str) -> Vec<String> {
    let (datasource, found) = parse(&with_import(schema, lines));
    assert_eq!(found, [], "{lines}");
    datasource.columns.expect("columns").iter().map(|found| found.column.source.clone()).collect()
}

#[test]
fn the_format_decides_where_columns_are_found() {
    let schema = "a Int8, b Int8 `json:$['x.y']`, c String `json:$.z`";
    assert_eq!(sources(schema, "IMPORT_FORMAT csv"), ["a", "x.y", "z"]);
    assert_eq!(sources(schema, "IMPORT_FORMAT ndjson"), ["a", "['x.y']", "z"]);
    assert_eq!(sources(schema, ""), ["a", "['x.y']", "z"]);
    assert_eq!(sources("a Int8, b Int8", "IMPORT_FORMAT csv\nIMPORT_CSV_HEADER false"), ["column_1", "column_2"]);
    assert_eq!(sources("a Int8, b Int8", "IMPORT_CSV_HEADER true"), ["a", "b"]);
    let lists = "a Array(Int8) `json:$.a[:]`, b Array(Int8) `json:$.b.c[:]`, c Int8 `json:$['x.y']`, d Int8 `json:$['x.y'].z`, \
         e Array(Int8) `json:$.e[:].f`";
    assert_eq!(sources(lists, "IMPORT_FORMAT parquet"), ["a", "b.c", "x.y", "['x.y'].z", "e[:].f"]);
    assert_eq!(sources(lists, "IMPORT_FORMAT ndjson"), ["a[:]", "b.c[:]", "['x.y']", "['x.y'].z", "e[:].f"]);
    assert_eq!(sources("a JSON `json:$`", "IMPORT_FORMAT ndjson"), ["$"]);
    refused(
        &[
            (
                "a Int8 `json:$.b.c`",
                "error: CSV files have no values inside of values @2:12+12 | for a header with dots or brackets write `json:$['b.c']`",
            ),
            (
                "a JSON `json:$`",
                "error: only NDJSON files have a whole record that is one value @2:12+8 | declare a column for each value",
            ),
        ],
        |schema| with_import(schema, "IMPORT_FORMAT csv"),
    );
}

fn import(lines: &str) -> Import {
    let (datasource, found) = parse(&with_import("", lines));
    assert_eq!(found, [], "{lines}");
    datasource.import.expect("an import")
}

#[test]
fn evolution_is_read() {
    assert_eq!(import("").evolution, Evolution::Evolve);
    assert_eq!(import("").on_missing_column, OnMissingColumn::Quarantine);
    assert_eq!(import("IMPORT_EVOLUTION Freeze").evolution, Evolution::Freeze);
    assert_eq!(import("IMPORT_EVOLUTION evolve").evolution, Evolution::Evolve);
    assert_eq!(import("IMPORT_ON_MISSING_COLUMN NULL").on_missing_column, OnMissingColumn::Null);
    assert_eq!(import("IMPORT_ON_MISSING_COLUMN quarantine").on_missing_column, OnMissingColumn::Quarantine);
}

#[test]
fn what_becomes_of_overwritten_keys_is_read_in_any_case() {
    assert_eq!(import("").on_overwrite, OverwritePolicy::Ignore);
    for policy in [OverwritePolicy::Ignore, OverwritePolicy::Append] {
        let lower = policy.as_str();
        for written in [lower.to_owned(), lower.to_ascii_uppercase(), format!("\"{lower}\"")] {
            // What a policy is called everywhere else is also how the file spells it.
            assert_eq!(import(&format!("IMPORT_ON_OVERWRITE {written}")).on_overwrite, policy, "{written}");
        }
    }
}

#[test]
fn csv_options_are_read_in_all_their_spellings() {
    assert_eq!(import("").csv, CsvSettings::default());
    for (line, delimiter) in [
        (";", b';'),
        ("\"|\"", b'|'),
        ("tab", b'\t'),
        ("\"\\t\"", b'\t'),
        ("\"\t\"", b'\t'),
        ("Comma", b','),
        ("semicolon", b';'),
        ("PIPE", b'|'),
        ("space", b' '),
        ("\" \"", b' '),
        ("'#'", b'#'),
        ("\"\u{1}\"", 1),
    ] {
        assert_eq!(import(&format!("IMPORT_CSV_DELIMITER {line}")).csv.delimiter, Some(delimiter), "{line}");
    }
    for (line, quote) in
        [("'\"'", Some(b'"')), ("\"'\"", Some(b'\'')), ("double", Some(b'"')), ("single", Some(b'\'')), ("NONE", None)]
    {
        assert_eq!(import(&format!("IMPORT_CSV_QUOTE {line}")).csv.quote, Some(quote), "{line}");
    }
    for (line, header) in [("true", true), ("FALSE", false)] {
        assert_eq!(import(&format!("IMPORT_CSV_HEADER {line}")).csv.header, Some(header));
    }
    for (line, nulls) in [
        ("NULL", vec!["NULL"]),
        ("\"NULL, \\N, NA\"", vec!["NULL", "\\N", "NA"]),
        ("NULL, \\N, NULL", vec!["NULL", "\\N"]),
        ("\"n a\"", vec!["n a"]),
        ("\"\"", vec![]),
    ] {
        let nulls: Vec<String> = nulls.into_iter().map(str::to_owned).collect();
        assert_eq!(import(&format!("IMPORT_CSV_NULL {line}")).csv.nulls, Some(nulls), "{line}");
    }
    assert_eq!(import("IMPORT_CSV_SKIP_LINES 3").csv.skip_lines, Some(3));
    assert_eq!(import("IMPORT_CSV_SKIP_LINES 0").csv.skip_lines, Some(0));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let delimiter = "a delimiter is one ASCII character, or tab, comma, semicolon, pipe, space";
    let quote = "a quote is one ASCII character, or double, single, none";
    for (line, expected) in [
        ("IMPORT_EVOLUTION frozen", "error: 'frozen' is not possible here @3:18+6 | evolve: new columns of files are added to the table; freeze: rows with a value in a new column go to quarantine".to_owned()),
        ("IMPORT_EVOLUTION freez", "error: 'freez' is not possible here @3:18+5 | did you mean 'freeze'?".to_owned()),
        ("IMPORT_ON_MISSING_COLUMN fail", "error: 'fail' is not possible here @3:26+4 | quarantine: the rows".to_owned()),
        ("IMPORT_ON_OVERWRITE Replace", "error: replace is not available yet @3:21+7 | append: the rows of a new version are added to those of the one before; ignore: it is not read".to_owned()),
        ("IMPORT_ON_OVERWRITE apend", "error: 'apend' is not possible here @3:21+5 | did you mean 'append'?".to_owned()),
        ("IMPORT_ON_OVERWRITE keep", "error: 'keep' is not possible here @3:21+4 | ignore: a new version of a key that was ingested before is not read; append: its rows".to_owned()),
        ("IMPORT_ON_OVERWRITE", "error: IMPORT_ON_OVERWRITE needs a value @3:1+19".to_owned()),
        ("IMPORT_FORMAT jsno", "error: 'jsno' is not a format @3:15+4 | did you mean 'json'?".to_owned()),
        ("IMPORT_CSV_DELIMITER x", format!("error: 'x' cannot be the delimiter: values are made of it @3:22+1 | {delimiter}")),
        ("IMPORT_CSV_DELIMITER 7", format!("error: '7' cannot be the delimiter: values are made of it @3:22+1 | {delimiter}")),
        ("IMPORT_CSV_DELIMITER ::", "error: '::' is not a delimiter @3:22+2 | one ASCII character, or tab".to_owned()),
        ("IMPORT_CSV_DELIMITER €", "error: '€' is not a delimiter @3:22+1 | one ASCII".to_owned()),
        ("IMPORT_CSV_DELIMITER \"\"", "error: '' is not a delimiter @3:22+2 | one ASCII".to_owned()),
        ("IMPORT_CSV_DELIMITER", "error: IMPORT_CSV_DELIMITER needs a value @3:1+20".to_owned()),
        ("IMPORT_CSV_QUOTE q", format!("error: 'q' cannot be the quote: values are made of it @3:18+1 | {quote}")),
        ("IMPORT_CSV_QUOTE \" \"", format!("error: ' ' cannot be the quote: values are made of it @3:18+3 | {quote}")),
        ("IMPORT_CSV_QUOTE nil", "error: 'nil' is not a quote @3:18+3 | one ASCII".to_owned()),
        ("IMPORT_CSV_QUOTE |\nIMPORT_CSV_DELIMITER |", "error: the quote is the delimiter: '|' @3:18+1 | write another one, or none if nothing is quoted".to_owned()),
        ("IMPORT_CSV_HEADER yes", "error: 'yes' is not true or false @3:19+3 | true if the first record names the columns".to_owned()),
        ("IMPORT_CSV_NULL NULL,,NA", "error: between two commas there is no spelling of NULL @3:17+8 | such as \"NULL".to_owned()),
        ("IMPORT_CSV_NULL n;a\nIMPORT_CSV_DELIMITER ;", "error: 'n;a' holds the delimiter, so that no cell is spelled so @3:17+3 | such as".to_owned()),
        ("IMPORT_CSV_SKIP_LINES -1", "error: '-1' is not a number of lines @3:23+2 | write a whole number from 0 to 10000".to_owned()),
        ("IMPORT_CSV_SKIP_LINES 10001", "error: '10001' is not a number of lines @3:23+5".to_owned()),
        ("IMPORT_FORMAT parquet\nIMPORT_CSV_HEADER true", "error: IMPORT_CSV_HEADER has no effect: the files are parquet @4:1+17 | remove it, or write IMPORT_FORMAT csv".to_owned()),
        ("IMPORT_FORMAT ndjson\nIMPORT_CSV_DELIMITER x", "error: IMPORT_CSV_DELIMITER has no effect: the files are ndjson @4:1+20".to_owned()),
        ("IMPORT_CSV_DELIMITER '\"'", "error: '\"' is the quote unless IMPORT_CSV_QUOTE says otherwise @3:22+3 | write IMPORT_CSV_QUOTE none".to_owned()),
        ("IMPORT_CSV_ENCODING latin1", "error: IMPORT_CSV_ENCODING cannot be used in .datasource files @3:1+19 | files are read as UTF-8 and nothing else".to_owned()),
        ("IMPORT_CSV_DELIMITR ;", "error: IMPORT_CSV_DELIMITR is not a directive of .datasource files @3:1+19 | did you mean 'IMPORT_CSV_DELIMITER'?".to_owned()),
    ] {
        refused(&[(line, &expected)], |line| with_import("", line));
    }
    let by_suffix = "IMPORT_CONNECTION_NAME c\nIMPORT_BUCKET_URI s3://bkt/*.json.gz\nIMPORT_CSV_QUOTE none";
    assert!(refusal(by_suffix).starts_with("error: IMPORT_CSV_QUOTE has no effect: the files are ndjson @3:1+16"));
}

const SCHEMA: &str =
    "id Int64, `placed at` DateTime64(3), day Date, note Nullable(String), tags Array(String), x Float64";

#[test]
fn a_table_is_partitioned_by_one_plain_column() {
    let partition = |key: &str| {
        let (datasource, found) = parse(&format!("SCHEMA >\n    id Int64, day Date\n\nENGINE_PARTITION_KEY {key}"));
        assert_eq!(found, [], "{key}");
        datasource.partition
    };
    for key in ["day", "\"day\"", "\"`day`\"", "(day)"] {
        assert_eq!(partition(key).as_deref(), Some("day"), "{key}");
    }
    for key in ["\"\"", "tuple()", "\"tuple( )\""] {
        assert_eq!(partition(key), None, "{key}");
    }
    let hint =
        "name one plain column of SCHEMA, such as a Date; for the month of a time, declare a column that holds it";
    let fit = "a partition column is a number, a text, a date, a time or a Bool, and not Nullable";
    for (key, expected) in [
        (
            "toYYYYMM(day)",
            format!(
                "warning: the table is not partitioned by 'toYYYYMM(day)': only by a plain column @4:22+13 | {hint}"
            ),
        ),
        (
            "\"id, day\"",
            format!("warning: the table is not partitioned by 'id, day': only by a plain column @4:22+9 | {hint}"),
        ),
        ("toYYYYMM(dya)", "error: there is no column 'dya' in SCHEMA @4:31+3 | did you mean 'day'?".to_owned()),
        ("note", format!("error: the column note is Nullable, by which a table cannot be partitioned @4:22+4 | {fit}")),
        (
            "tags",
            format!("error: the column tags is Array(String), by which a table cannot be partitioned @4:22+4 | {fit}"),
        ),
        ("x", format!("error: the column x is Float64, by which a table cannot be partitioned @4:22+1 | {fit}")),
        ("dya", "error: there is no column 'dya' in SCHEMA @4:22+3 | did you mean 'day'?".to_owned()),
    ] {
        let schema = SCHEMA.replace("`placed at` DateTime64(3), ", "");
        refused(&[(key, &expected)], |key| format!("SCHEMA >\n    {schema}\n\nENGINE_PARTITION_KEY {key}"));
    }
    let found = refusal("ENGINE_PARTITION_KEY day");
    assert!(found.starts_with("error: a table without SCHEMA cannot be partitioned @1:22+3 | declare"), "{found}");
}

#[test]
fn a_ttl_is_checked_and_kept() {
    let schema = SCHEMA.replace("`placed at`", "placed_at");
    let read = |ttl: &str| parse(&format!("SCHEMA >\n    {schema}\n\nENGINE_TTL {ttl}"));
    for (ttl, expected) in [
        ("\"toDate(placed_at) + toIntervalDay(60)\"", "toDate(placed_at) + toIntervalDay(60)"),
        ("day + INTERVAL 1 MONTH", "day + toIntervalMonth(1)"),
        ("toDateTime(placed_at)", "toDateTime(placed_at)"),
    ] {
        let (datasource, found) = read(ttl);
        assert_eq!(datasource.ttl.map(|ttl| ttl.to_string()).as_deref(), Some(expected));
        assert_eq!(found, [], "{ttl}");
    }
    assert_eq!(read("\"\"").1, []);
    let like = "such as toDate(placed_at) + toIntervalDay(60)";
    for (ttl, expected) in [
        ("placed_at + toIntervalDay(1)", format!("error: the TTL is DateTime64(3), not a Date or DateTime @4:12+28 | {like}")),
        ("toYear(day)", format!("error: the TTL is UInt16, not a Date or DateTime @4:12+11 | {like}")),
        ("toDate(note)", format!("error: this TTL is not possible: toDate takes a Date, DateTime or DateTime64, not String @4:12+12 | {like}")),
        ("now() + toIntervalDay(1)", format!("error: the TTL depends on no column, so that all rows would expire at once @4:12+24 | {like}")),
        ("toDate(placd_at)", "error: there is no column 'placd_at' in SCHEMA @4:19+8 | did you mean 'placed_at'?".to_owned()),
        ("\"day + 60\"", "error: this TTL is not possible: what is added must say its unit, such as toIntervalDay(30) @4:19+1 | possible are".to_owned()),
        ("day WHERE id = 1", "error: this TTL is not possible: the expression should end here @4:16+1 | possible are".to_owned()),
        ("rand()", "error: this TTL is not possible: the function rand is not possible here".to_owned()),
    ] {
        refused(&[(ttl, &expected)], |ttl| format!("SCHEMA >\n    {schema}\n\nENGINE_TTL {ttl}"));
    }
    let (datasource, found) = parse("ENGINE_TTL toDate(at)");
    assert!(datasource.ttl.is_some() && found.is_empty(), "without SCHEMA nothing can be checked: {found:?}");
    assert_eq!(parse("SCHEMA >\n    at DateTme\n\nENGINE_TTL toDate(at)").1.len(), 1, "one problem, not two");
}

#[test]
fn a_path_leads_nowhere_in_files_without_a_header() {
    refused(
        &[(
            "IMPORT_CSV_HEADER false",
            "error: files without a header have no names that a path could lead to @2:12+10 | remove the path",
        )],
        |line| with_import("a Int8 `json:$.b`", line),
    );
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
