//! `.datasource` files, good and bad, as a table.

use connector_core::secret::Secret;
use connector_core::spec::{Format, Schedule};
use connector_core::types::{ColumnType, EnumType};
use connector_datafile::{DataSource, Diagnostic, Severity, SourceFile, parse_datasource};

fn parse(text: &str) -> (DataSource, Vec<Diagnostic>) {
    let secrets = |name: &str| (name == "BUCKET").then(|| Secret::new("shop-drop"));
    parse_datasource(&SourceFile::new("datasources/orders.datasource", text), &secrets)
}

fn good(text: &str) -> DataSource {
    let (datasource, diagnostics) = parse(text);
    assert!(diagnostics.is_empty(), "{text}: {diagnostics:?}");
    datasource
}

/// Code, line and column of each problem.
fn problems(text: &str) -> Vec<(&'static str, usize, usize)> {
    let place = |diagnostic: &Diagnostic| {
        let place = diagnostic.place.as_ref().expect("a problem of a file has a place");
        place.file.line_column(place.span.start)
    };
    parse(text).1.iter().map(|problem| (problem.code, place(problem).0, place(problem).1)).collect()
}

#[test]
fn a_whole_file_is_read() {
    let datasource = good(
        "DESCRIPTION >\n    Orders\n      of the shop\n\n\
         SCHEMA >\n    `order_id` UInt64 `json:$.id`,\n    placed_at DateTime64(3, 'UTC') `json:$.at` DEFAULT 0 CODEC(ZSTD(1)),\n    \
         note LowCardinality(Nullable(String)),\n    amount Decimal(10, 2) DEFAULT -1.50,\n\n\
         ENGINE \"MergeTree\"\nENGINE_SORTING_KEY order_id, placed_at # key\nENGINE_TTL \"toDate(placed_at) + toIntervalDay(60)\"\n\n\
         IMPORT_SERVICE s3_iamrole\nIMPORT_CONNECTION_NAME my-shop\nIMPORT_BUCKET_URI \"s3://{{ tb_secret(\"BUCKET\") }}/orders/*.csv\"\n\
         import_schedule '@auto'\nIMPORT_STRATEGY append\nIMPORT_FROM_TIMESTAMP 2025-01-01T00:00:00Z\nIMPORT_MAX_FILES 7\n",
    );
    assert_eq!(datasource.name, "orders");
    assert_eq!(datasource.description.map(|text| text.value).as_deref(), Some("Orders\n  of the shop"));
    let columns = datasource.columns.expect("has columns");
    let shown: Vec<String> = columns
        .iter()
        .map(|found| {
            let c = &found.column;
            format!("{}<{} {} {} {:?}", c.name, c.source, c.ty, c.nullable, c.default)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "order_id<id UInt64 false None",
            "placed_at<at DateTime64(3) false Some(Literal(\"1970-01-01T00:00:00Z\"))",
            "note<note String true None",
            "amount<amount Decimal(10, 2) false Some(Literal(\"-1.50\"))",
        ]
    );
    let engine: Vec<String> = datasource.engine.iter().map(|(name, value)| format!("{name}={}", value.value)).collect();
    assert_eq!(
        engine,
        [
            "ENGINE=MergeTree",
            "ENGINE_SORTING_KEY=order_id, placed_at",
            "ENGINE_TTL=toDate(placed_at) + toIntervalDay(60)"
        ]
    );
    assert_eq!(datasource.ttl.map(|ttl| ttl.to_string()).as_deref(), Some("toDate(placed_at) + toIntervalDay(60)"));
    let import = datasource.import.expect("has an import");
    assert_eq!(import.connection.value, "my_shop");
    assert_eq!(import.uri.value.as_str(), "s3://shop-drop/orders/*.csv");
    assert_eq!((import.schedule, import.format), (Schedule::Auto, Some(Format::Csv)));
    assert_eq!(import.from_timestamp.map(|time| time.value.to_string()).as_deref(), Some("2025-01-01T00:00:00Z"));
    assert_eq!(import.max_files.map(|number| number.value), Some(7));
}

fn labels(wide: bool, labels: &[(&str, i16)]) -> ColumnType {
    let labels = labels.iter().map(|(label, number)| ((*label).to_owned(), *number)).collect();
    ColumnType::Enum(EnumType { wide, labels })
}

fn array(element: ColumnType, nullable: bool) -> ColumnType {
    ColumnType::Array { element: Box::new(element), nullable }
}

#[test]
fn types_are_read_as_clickhouse_spells_them() {
    use ColumnType::*;
    for (written, ty, nullable) in [
        ("Int8", Int8, false),
        ("UInt64", UInt64, false),
        ("Nullable(Float32)", Float32, true),
        ("LowCardinality(String)", String, false),
        ("LowCardinality(Nullable(String))", String, true),
        ("Bool", Bool, false),
        ("Boolean", Bool, false),
        ("Date", Date, false),
        ("Date32", Date, false),
        ("DateTime", DateTime, false),
        ("DateTime('UTC')", DateTime, false),
        ("DateTime64(6)", DateTime64 { precision: 6 }, false),
        ("Nullable(DateTime64(0, 'UTC'))", DateTime64 { precision: 0 }, true),
        ("Decimal(38,10)", Decimal { precision: 38, scale: 10 }, false),
        ("Decimal(5)", Decimal { precision: 5, scale: 0 }, false),
        ("Decimal64(4)", Decimal { precision: 18, scale: 4 }, false),
        ("Decimal(76, 10)", Decimal { precision: 76, scale: 10 }, false),
        ("Decimal256(5)", Decimal { precision: 76, scale: 5 }, false),
        ("Int128", Int128, false),
        ("Int256", Int256, false),
        ("UInt128", UInt128, false),
        ("Nullable(UInt256)", UInt256, true),
        ("UUID", Uuid, false),
        ("Nullable(UUID)", Uuid, true),
        ("IPv4", Ipv4, false),
        ("IPv6", Ipv6, false),
        ("JSON", Json, false),
        ("Nullable(JSON)", Json, true),
        ("FixedString(3)", FixedString(3), false),
        ("LowCardinality(Nullable(FixedString(2)))", FixedString(2), true),
        ("Enum8('a' = 1, 'b' = -2)", labels(false, &[("a", 1), ("b", -2)]), false),
        ("Enum('a', 'it\\'s, (b)',)", labels(false, &[("a", 1), ("it's, (b)", 2)]), false),
        ("Enum16('a' = 1000, 'b')", labels(true, &[("a", 1000), ("b", 1001)]), false),
        ("Enum('a' = 1000)", labels(true, &[("a", 1000)]), false),
        ("Enum8('a' = 127)", labels(false, &[("a", 127)]), false),
        ("Nullable(Enum8(''))", labels(false, &[("", 1)]), true),
        ("Array(String)", array(String, false), false),
        ("Array(Nullable(Decimal(10, 2)))", array(Decimal { precision: 10, scale: 2 }, true), false),
        ("Array(LowCardinality(Nullable(String)))", array(String, true), false),
        ("Array(Enum8('a'))", array(labels(false, &[("a", 1)]), false), false),
        ("Array(DateTime64(3, 'UTC'))", array(DateTime64 { precision: 3 }, false), false),
    ] {
        let column = good(&format!("SCHEMA >\n    a {written}")).columns.expect("columns").remove(0).column;
        assert_eq!((column.ty, column.nullable), (ty, nullable), "{written}");
    }
}

#[test]
fn import_values_are_read_in_all_their_spellings() {
    let import = |line: &str| good(&format!("IMPORT_CONNECTION_NAME c\n{line}\n")).import.expect("an import");
    let uri = "IMPORT_BUCKET_URI s3://bkt/x";
    assert_eq!(import(uri).schedule, Schedule::OnDemand);
    assert_eq!(import(uri).format, None);
    for (line, schedule) in
        [("@once", Schedule::OnDemand), ("@on-demand", Schedule::OnDemand), ("\"@AUTO\"", Schedule::Auto)]
    {
        assert_eq!(import(&format!("{uri}\nIMPORT_SCHEDULE {line}")).schedule, schedule);
    }
    for (line, format) in [
        ("CSV", Format::Csv),
        ("parquet", Format::Parquet),
        ("ndjson", Format::Ndjson),
        ("JSONL", Format::Ndjson),
        ("json", Format::Ndjson),
    ] {
        assert_eq!(import(&format!("{uri}.parquet\nIMPORT_FORMAT {line}")).format, Some(format));
    }
    for (suffix, format) in [
        (".csv", Some(Format::Csv)),
        ("/*.CSV.gz", Some(Format::Csv)),
        ("/*.ndjson", Some(Format::Ndjson)),
        ("/*.jsonl.zst", Some(Format::Ndjson)),
        ("/*.json.gz", Some(Format::Ndjson)),
        (".pq", Some(Format::Parquet)),
        (".parquet.gz", None),
        (".gz", None),
    ] {
        assert_eq!(import(&format!("{uri}{suffix}")).format, format, "{suffix}");
    }
    for time in ["2025-01-02T00:00:00Z", "2025-01-02 00:00:00", "2025-01-02", "2025-01-02T02:00:00+02:00"] {
        let found = import(&format!("{uri}\nIMPORT_FROM_TIMESTAMP {time}")).from_timestamp.expect("a time");
        assert_eq!(found.value.to_string(), "2025-01-02T00:00:00Z", "{time}");
    }
}

#[test]
fn names_that_need_quotes_get_a_name_in_the_table_and_keep_their_own_in_files() {
    let (datasource, diagnostics) = parse("SCHEMA >\n    `first name` String,\n    b String `json:$['x.y']`");
    let columns = datasource.columns.expect("columns");
    let names: Vec<_> = columns.iter().map(|found| (&*found.column.name, &*found.column.source)).collect();
    assert_eq!(names, [("first_name", "first name"), ("b", "['x.y']")]);
    assert_eq!(
        diagnostics.iter().map(|found| (found.code, found.severity)).collect::<Vec<_>>(),
        [("renamed_column", Severity::Warning)]
    );
}

#[test]
fn each_bad_column_is_reported_at_its_place() {
    for (body, code, column) in [
        ("a Int46", "unknown_type", 7),
        ("a int64", "unknown_type", 7),
        ("a Nullable(Nullable(String))", "type_arguments", 16),
        ("a Nullable", "type_arguments", 7),
        ("a Int8(3)", "type_arguments", 7),
        ("a DateTime('Europe/Berlin')", "unsupported_type", 16),
        ("a DateTime64", "type_arguments", 7),
        ("a DateTime64(9)", "unsupported_type", 18),
        ("a DateTime64(10)", "type_arguments", 18),
        ("a Decimal(3, 4)", "type_arguments", 7),
        ("a Decimal(3, 4", "open_parenthesis", 14),
        ("a", "missing_type", 5),
        ("a, b Int8", "missing_type", 5),
        ("a DEFAULT 1", "missing_type", 5),
        ("1st Int8", "name_expected", 5),
        ("a Int8,, b Int8", "name_expected", 12),
        ("a Int8 b Int8", "unexpected_in_column", 12),
        ("a Int8 DEFAULT 'x'", "bad_default", 20),
        ("a Int8 DEFAULT 300", "bad_default", 20),
        ("a Int8 CODEC(ZSTD) DEFAULT 1", "default_after_codec", 24),
        ("a Int8 CODEC", "bad_codec", 12),
        ("a Int8 NOT NULL", "bare_null", 12),
        ("a Int8 TTL x", "column_ttl", 12),
        ("a Int8 MATERIALIZED 1", "computed_column", 12),
        ("a Int8 ALIAS b", "computed_column", 12),
        ("INDEX i a TYPE minmax", "index_in_schema", 5),
        ("a Int8 `json:$.a` `json:$.b`", "duplicate_path", 23),
        ("a Int8 -- note", "comment_in_block", 12),
        ("`a Int8", "open_quote", 5),
        ("_s3_row Int8", "reserved_column", 5),
        ("_Batch_ID Int8", "reserved_column", 5),
        ("c__error Int8", "reserved_column", 5),
        ("`_S3_Raw` Int8", "reserved_column", 5),
        ("a Int8, A Int8", "duplicate_column", 13),
        ("ENGINE \"MergeTree\"", "indented_directive", 5),
    ] {
        let found = problems(&format!("SCHEMA >\n    {body}"));
        assert_eq!(found.first(), Some(&(code, 2, column)), "{body}: {found:?}");
        let others = found.iter().filter(|(found, ..)| !["missing_type", "open_quote"].contains(found)).count();
        assert!(others <= 1, "{body} is reported more than once: {found:?}");
    }
}

#[test]
fn a_missing_comma_is_reported_where_it_belongs_and_the_columns_are_read_all_the_same() {
    let text = "SCHEMA >\n    a Int8\n    b Int16 `json:$.b`\n        DEFAULT 1\n    c Int32";
    assert_eq!(problems(text), [("missing_comma", 2, 11), ("missing_comma", 4, 18)]);
    assert_eq!(parse(text).0.columns.map(|columns| columns.len()), Some(3));
}

#[test]
fn each_bad_directive_is_reported_at_its_place() {
    let import = "IMPORT_CONNECTION_NAME c\nIMPORT_BUCKET_URI s3://bkt/x\n";
    for (line, code, column) in [
        ("IMPORT_SHEDULE @auto", "unknown_directive", 1),
        ("SETTINGS x", "refused_directive", 1),
        ("SOURCE x", "refused_directive", 1),
        ("INCLUDE x", "refused_directive", 1),
        ("VERSION 1", "deprecated_directive", 1),
        ("TOKEN t READ", "ignored_directive", 1),
        ("KAFKA_TOPIC t", "ignored_directive", 1),
        ("IMPORT_CONNECTION_NAME d", "duplicate_directive", 1),
        ("IMPORT_SERVICE gcs", "unsupported_service", 16),
        ("IMPORT_STRATEGY REPLACE", "unsupported_strategy", 17),
        ("IMPORT_SCHEDULE @atuo", "bad_schedule", 17),
        ("IMPORT_SCHEDULE", "missing_value", 1),
        ("IMPORT_FORMAT cvs", "bad_format", 15),
        ("IMPORT_FORMAT csv parquet", "too_many_values", 15),
        ("IMPORT_FROM_TIMESTAMP yesterday", "bad_timestamp", 23),
        ("IMPORT_FROM_TIMESTAMP 2025-13-01T00:00:00Z", "bad_timestamp", 23),
        ("IMPORT_MAX_FILES 0", "bad_number", 18),
        ("IMPORT_MAX_FILES 1001", "bad_number", 18),
        ("IMPORT_MAX_FILES five", "bad_number", 18),
        ("IMPORT_MAX_FILES {{ tb_secret(\"NONE\") }}", "missing_secret", 18),
        ("IMPORT_MAX_FILES {{ env(\"NONE\") }}", "bad_template", 18),
        ("ENGINE MergTree", "unknown_engine", 8),
        ("SCHEMA >", "empty_schema", 1),
        ("SCHEMA a Int8", "missing_block_mark", 1),
    ] {
        assert_eq!(problems(&format!("{import}{line}")), [(code, 3, column)], "{line}");
    }
}

#[test]
fn a_bad_uri_is_reported_at_the_character_that_is_wrong() {
    for (uri, column) in [("http://x", 19), ("s3://bkt/a[b", 29), ("\"s3://bkt/a[b\"", 30), ("s3://b*t/x", 25)] {
        let found = problems(&format!("IMPORT_CONNECTION_NAME c\nIMPORT_BUCKET_URI {uri}"));
        assert_eq!(found, [("bad_uri", 2, column)], "{uri}");
    }
}

#[test]
fn an_import_without_connection_and_uri_is_incomplete() {
    let found = problems("\nIMPORT_SCHEDULE @auto");
    assert_eq!(found, [("missing_directive", 2, 1), ("missing_directive", 2, 1)]);
}

#[test]
fn names_of_data_sources_are_checked() {
    let codes = |name: &str| {
        let (_, found) = parse_datasource(&SourceFile::new(name, ""), &|_: &str| None);
        found.iter().map(|found| found.code).collect::<Vec<_>>()
    };
    assert_eq!(codes("x/Orders_2.datasource"), Vec::<&str>::new());
    for bad in ["my-orders.datasource", "2x.datasource", "a b.datasource", "x_quarantine.datasource", ".datasource"] {
        assert_eq!(codes(bad), ["bad_name"], "{bad}");
    }
}

#[test]
fn all_problems_of_a_file_are_reported_at_once() {
    let text = "SCHEMA >\n    a Strng,\n    b Int8\n    _s3_key String\n\nENGIN x\nIMPORT_STRATEGY replace\n";
    let codes: Vec<&str> = problems(text).iter().map(|(code, ..)| *code).collect();
    assert_eq!(
        codes,
        [
            "unknown_type",
            "missing_comma",
            "reserved_column",
            "unknown_directive",
            "missing_directive",
            "missing_directive",
            "unsupported_strategy"
        ]
    );
}
