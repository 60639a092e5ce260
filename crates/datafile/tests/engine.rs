//! Engines, their columns, keys and settings, indexes and what else is checked though nothing here uses it.

use connector_datafile::extras::Permission;
use connector_datafile::indexes::IndexKind;
use connector_datafile::{
    Colour, DataSource, Diagnostic, EngineKind, Severity, SourceFile, TableEngine, parse_datasource, render,
};

const SCHEMA: &str = "SCHEMA >\n    id UInt64, at DateTime, note Nullable(String), sign Int8, v UInt32, gone UInt8, \
                      text String, `odd name` Int8\n\n";

fn parse(text: &str) -> (DataSource, Vec<Diagnostic>) {
    parse_datasource(&SourceFile::new("t.datasource", text), &|_: &str| None)
}

/// Each problem below SCHEMA: severity, code, column and length of its place, message and hint.
fn problems(lines: &str) -> Vec<String> {
    let (_, found) = parse(&format!("{SCHEMA}{lines}"));
    let shown = |found: &Diagnostic| {
        let place = found.place.as_ref().expect("a place");
        let (line, column) = place.file.line_column(place.span.start);
        let length = place.span.end - place.span.start;
        let mark = if found.severity == Severity::Warning { "warning " } else { "" };
        format!("{mark}{} {}:{column}+{length} {} | {}", found.code, line - 3, found.message, found.hints.join("; "))
    };
    found.iter().filter(|found| found.code != "renamed_column").map(shown).collect()
}

fn good(lines: &str) -> DataSource {
    let (datasource, found) = parse(&format!("{SCHEMA}{lines}"));
    let errors: Vec<&Diagnostic> = found.iter().filter(|found| found.is_error()).collect();
    assert!(errors.is_empty(), "{lines}\n{}", render(&found, Colour::Never));
    datasource
}

#[track_caller]
fn refused(lines: &str, expected: &[&str]) {
    let found = problems(lines);
    let as_expected =
        found.len() == expected.len() && found.iter().zip(expected).all(|(found, start)| found.starts_with(start));
    assert!(as_expected, "{lines}\n{found:#?}\n{expected:#?}");
}

#[test]
fn engines_are_read_in_all_their_spellings() {
    let name = |name: &str| Some(name.to_owned());
    let plain = |kind| TableEngine { kind, ..TableEngine::default() };
    let sorted = "\nENGINE_SORTING_KEY id";
    for (lines, expected) in [
        (String::new(), plain(EngineKind::MergeTree)),
        ("ENGINE MergeTree".to_owned(), plain(EngineKind::MergeTree)),
        ("ENGINE \"mergetree()\"".to_owned(), plain(EngineKind::MergeTree)),
        ("ENGINE null".to_owned(), plain(EngineKind::Null)),
        ("ENGINE \"AggregatingMergeTree\"".to_owned(), plain(EngineKind::AggregatingMergeTree)),
        (format!("ENGINE ReplacingMergeTree{sorted}"), plain(EngineKind::ReplacingMergeTree)),
        (
            format!("ENGINE ReplacingMergeTree\nENGINE_VER v\nENGINE_IS_DELETED \"gone\"{sorted}"),
            TableEngine { ver: name("v"), is_deleted: name("gone"), ..plain(EngineKind::ReplacingMergeTree) },
        ),
        (
            format!("ENGINE \"ReplacingMergeTree(at, gone)\"{sorted}"),
            TableEngine { ver: name("at"), is_deleted: name("gone"), ..plain(EngineKind::ReplacingMergeTree) },
        ),
        (
            format!("ENGINE CollapsingMergeTree(sign){sorted}"),
            TableEngine { sign: name("sign"), ..plain(EngineKind::CollapsingMergeTree) },
        ),
        (
            format!("ENGINE VersionedCollapsingMergeTree(sign)\nENGINE_VERSION v{sorted}"),
            TableEngine { sign: name("sign"), version: name("v"), ..plain(EngineKind::VersionedCollapsingMergeTree) },
        ),
        (
            "ENGINE SummingMergeTree\nENGINE_COLUMNS \"v, `odd name`\"".to_owned(),
            TableEngine { columns: vec!["v".to_owned(), "odd_name".to_owned()], ..plain(EngineKind::SummingMergeTree) },
        ),
        (
            "ENGINE \"SummingMergeTree((v, sign))\"".to_owned(),
            TableEngine { columns: vec!["v".to_owned(), "sign".to_owned()], ..plain(EngineKind::SummingMergeTree) },
        ),
    ] {
        let (found, others) = parse(&format!("{SCHEMA}{lines}"));
        assert_eq!(found.table_engine, expected, "{lines}");
        assert!(others.iter().all(|found| found.code == "renamed_column"), "{lines}: {others:?}");
    }
}

#[test]
fn engines_that_could_not_be_made_are_refused() {
    for (lines, expected) in [
        ("ENGINE MergTree", "unknown_engine 1:8+8 'MergTree' is not an engine | did you mean 'MergeTree'?".to_owned()),
        ("ENGINE Log", "unknown_engine 1:8+3 'Log' is not an engine | engines are MergeTree, Rep".to_owned()),
        ("ENGINE \"MergeTree() ORDER BY id\"", "bad_engine 1:8+25 there is more behind the engine MergeTree | keys, TTL".to_owned()),
        ("ENGINE \"MergeTree(v)\"", "bad_engine 1:8+14 MergeTree takes no columns".to_owned()),
        ("ENGINE \"CollapsingMergeTree(sign, v)\"\nENGINE_SORTING_KEY id", "bad_engine 1:8+30 CollapsingMergeTree takes at most 1".to_owned()),
        ("ENGINE CollapsingMergeTree\nENGINE_SORTING_KEY id", "missing_engine_parameter 1:8+19 CollapsingMergeTree needs ENGINE_SIGN | add a line such as ENGINE_SIGN \"sign\"".to_owned()),
        ("ENGINE CollapsingMergeTree\nENGINE_SIGN \"\"\nENGINE_SORTING_KEY id", "missing_engine_parameter 1:8".to_owned()),
        ("ENGINE VersionedCollapsingMergeTree(sign)\nENGINE_SORTING_KEY id", "missing_engine_parameter 1:8+34 VersionedCollapsingMergeTree needs ENGINE_VERSION".to_owned()),
        ("ENGINE ReplacingMergeTree", "missing_sorting_key 1:8+18 ReplacingMergeTree needs a sorting key".to_owned()),
        ("ENGINE ReplacingMergeTree\nENGINE_SORTING_KEY \"tuple()\"", "missing_sorting_key 1:8+18".to_owned()),
        ("ENGINE CollapsingMergeTree(sign)", "missing_sorting_key 1:8+25 Coll".to_owned()),
        ("ENGINE CollapsingMergeTree(v)\nENGINE_SORTING_KEY id", "bad_engine_parameter 1:28+1 ENGINE_SIGN names v, which is UInt32 | name an Int8 column".to_owned()),
        ("ENGINE ReplacingMergeTree\nENGINE_VER vv\nENGINE_SORTING_KEY id", "unknown_column 2:12+2 there is no column 'vv' in SCHEMA | did you mean 'v'?".to_owned()),
        ("ENGINE ReplacingMergeTree\nENGINE_VER \"v, at\"\nENGINE_SORTING_KEY id", "unknown_column 2:13+5".to_owned()),
        ("ENGINE ReplacingMergeTree\nENGINE_VER text\nENGINE_SORTING_KEY id", "bad_engine_parameter 2:12+4 ENGINE_VER names text, which is String | name a number".to_owned()),
        ("ENGINE ReplacingMergeTree(v)\nENGINE_VER v\nENGINE_SORTING_KEY id", "bad_engine 2:12+1 ENGINE_VER repeats".to_owned()),
        ("ENGINE ReplacingMergeTree\nENGINE_IS_DELETED v\nENGINE_SORTING_KEY id", "bad_engine_parameter 2:19+1 ENGINE_IS_DELETED names v, which is UInt32 | name a UInt8".to_owned()),
        ("ENGINE SummingMergeTree\nENGINE_COLUMNS \"v, w\"", "unknown_column 2:20+1".to_owned()),
        ("ENGINE MergeTree\nENGINE_VER v", "warning unused_engine_parameter 2:12+1 ENGINE_VER has no effect with MergeTree".to_owned()),
        // Keys.
        ("ENGINE_SORTING_KEY id, note", "bad_sorting_key 1:24+4 the sorting key holds the column note, which is Nullable".to_owned()),
        ("ENGINE_SORTING_KEY \"id, lower(note)\"", "bad_sorting_key 1:31+4".to_owned()),
        ("ENGINE_SORTING_KEY \"id, missing\"", "unknown_column 1:25+7".to_owned()),
        ("ENGINE_SORTING_KEY \"id, `odd nam`\"", "unknown_column 1:25+9 there is no column 'odd nam' in SCHEMA | did you mean 'odd name'?".to_owned()),
        ("ENGINE_SORTING_KEY \"id, sum(v)\"", "bad_sorting_key 1:25+3 the sorting key holds the aggregate function sum".to_owned()),
        ("ENGINE ReplacingMergeTree\nENGINE_VER v\nENGINE_SORTING_KEY \"id, v\"", "bad_sorting_key 3:25+1 the sorting key holds v, which is the version of a row".to_owned()),
        ("ENGINE_PRIMARY_KEY at\nENGINE_SORTING_KEY \"id, at\"", "bad_primary_key 1:20+2 the primary key is not the beginning".to_owned()),
        ("ENGINE_PRIMARY_KEY id", "bad_primary_key 1:20+2".to_owned()),
        ("ENGINE_SAMPLING_KEY cityHash64(idd)", "unknown_column 1:32+3".to_owned()),
        // Settings.
        ("ENGINE_SETTINGS \"index_granularity = 32, foo\"", "bad_settings 1:42+3 a setting lacks its value".to_owned()),
        ("ENGINE_SETTINGS \"index_granularty = 32\"", "bad_settings 1:18+21 'index_granularty' is not a setting | did you mean 'index_granularity'?".to_owned()),
        ("ENGINE_SETTINGS index_granularity = many", "bad_settings 1:17+24 this is not a value of index_granularity".to_owned()),
        ("ENGINE_SETTINGS a_b = 1, a_b = 2", "bad_settings 1:26+7 the setting a_b appears twice".to_owned()),
    ] {
        refused(lines, &[&expected]);
    }
}

#[test]
fn keys_and_settings_that_clickhouse_takes_are_taken() {
    for lines in [
        "ENGINE_SORTING_KEY \"id, toStartOfHour(at), `odd name`\"",
        "ENGINE_SORTING_KEY (id, at)\nENGINE_PRIMARY_KEY id",
        "ENGINE_SORTING_KEY \"tuple(id, at)\"\nENGINE_PRIMARY_KEY \"id,at\"",
        "ENGINE_SORTING_KEY \"toStartOfInterval(at, INTERVAL 5 MINUTE), ifNull(text, 'note'), v % 10\"",
        "ENGINE_SORTING_KEY \"\"",
        "ENGINE_SORTING_KEY note\nENGINE_SETTINGS \"allow_nullable_key = 1\"",
        "ENGINE ReplacingMergeTree\nENGINE_VER v\nENGINE_SORTING_KEY \"id, cityHash64(text)\"",
        "ENGINE_SETTINGS index_granularity = 32, storage_policy = 'a, b', something_else = true",
        "ENGINE_PRIMARY_KEY id\nENGINE Null",
    ] {
        let (_, found) = parse(&format!("{SCHEMA}{lines}"));
        assert!(found.iter().all(|found| found.code == "renamed_column"), "{lines}: {found:?}");
    }
}

#[test]
fn what_nothing_uses_is_read_all_the_same() {
    let schema = SCHEMA.replace(", `odd name` Int8", "");
    let text = format!(
        "{schema}TOKEN \"orders read\" READ\nTOKEN orders append\nTAGS \"billing, team=shop\"\nSHARED_WITH >\n    a,\n    b, c\n\
         SHARED_WITH d\nFORWARD_QUERY >\n    SELECT *\n      FROM t\n\nBACKFILL Skip\nINDEXES >\n\
         \x20   by_text text TYPE bloom_filter(0.01) GRANULARITY 4,\n    -- between\n\n    INDEX by_v v * length(text) TYPE set(100)\n\
         \x20   n lower(text) TYPE ngrambf_v1(4, 1024, 1, 42) GRANULARITY 1 -- why\n"
    );
    let (datasource, found) = parse(&text);
    assert_eq!(found.len(), 1, "{}", render(&found, Colour::Never));
    let message = "ignored, because nothing here uses it: BACKFILL, FORWARD_QUERY, INDEXES, SHARED_WITH, TAGS, TOKEN";
    assert_eq!((found[0].severity, found[0].message.as_str()), (Severity::Warning, message));
    let extras = datasource.extras;
    let tokens: Vec<_> = extras.tokens.iter().map(|token| (token.name.as_str(), token.permission)).collect();
    assert_eq!(tokens, [("orders read", Permission::Read), ("orders", Permission::Append)]);
    assert_eq!(
        (extras.tags, extras.settings),
        (vec!["billing".to_owned()], vec![("team".to_owned(), "shop".to_owned())])
    );
    assert_eq!(extras.shared_with, ["a", "b", "c", "d"]);
    assert_eq!(extras.forward_query.as_deref(), Some("SELECT *\n  FROM t"));
    assert!(extras.skips_backfill);
    let indexes: Vec<_> = extras
        .indexes
        .iter()
        .map(|index| (index.name.as_str(), index.expression.as_str(), index.kind, index.granularity))
        .collect();
    assert_eq!(
        indexes,
        [
            ("by_text", "text", IndexKind::BloomFilter, Some(4)),
            ("by_v", "v * length(text)", IndexKind::Set, None),
            ("n", "lower(text)", IndexKind::Ngrams, Some(1)),
        ]
    );
    assert_eq!(extras.indexes[2].arguments, ["4", "1024", "1", "42"]);
}

#[test]
fn what_nothing_uses_is_checked() {
    let ignored = "warning ignored_directive";
    for (lines, expected) in [
        ("TOKEN t", "bad_token 1:7+1 TOKEN takes a name and what it may do | write TOKEN \"name\" READ, or APPEND"),
        ("TOKEN", "bad_token 1:1+5"),
        ("TOKEN a READ x", "bad_token 1:7+8"),
        ("TOKEN a WRITE", "bad_token 1:9+5 'WRITE' is nothing that a token may do here"),
        ("TOKEN a REDA", "bad_token 1:9+4 'REDA' is nothing that a token may do here | did you mean 'READ'?"),
        ("TAGS", "missing_value 1:1+4"),
        ("SHARED_WITH \", ,\"", "missing_value 1:13+5 SHARED_WITH names no workspace"),
        ("BACKFILL all", "bad_backfill 1:10+3"),
        ("FORWARD_QUERY SELECT 1", "missing_block_mark 1:1+13"),
        ("INDEXES >\n    i text", "bad_index 2:5+6 the index lacks its TYPE"),
        ("INDEXES >\n    i text type minmax", "bad_index 2:5+18 the index lacks its TYPE | write TYPE in capitals"),
        ("INDEXES >\n    i TYPE minmax", "bad_index 2:5+13 the index i lacks its expression"),
        (
            "INDEXES >\n    i text TYPE minmx",
            "bad_index 2:17+5 'minmx' is not a type of index | did you mean 'minmax'?",
        ),
        (
            "INDEXES >\n    i text TYPE hypothesis",
            "bad_index 2:17+10 'hypothesis' is not a type of index | types are minmax",
        ),
        ("INDEXES >\n    i text TYPE set", "bad_index 2:17+3 these are not the arguments of set | write set(100)"),
        (
            "INDEXES >\n    i text TYPE minmax GRANULARITY 0",
            "bad_index 2:24+13 GRANULARITY takes a whole number from 1",
        ),
        ("INDEXES >\n    i text TYPE minmax FAST", "bad_index 2:24+4 this does not belong to an index"),
        (
            "INDEXES >\n    i txet TYPE minmax",
            "unknown_column 2:7+4 there is no column 'txet' in SCHEMA | did you mean 'text'?",
        ),
        ("INDEXES >\n    i v TYPE minmax\n    i id TYPE minmax", "bad_index 3:5+16 two indexes are called i"),
        (
            "INDEXES >\n    i v TYPE minmax, j v TYPE minmax",
            "bad_index 2:5+32 there is more than one index on the line",
        ),
    ] {
        let found = problems(lines);
        let rest: Vec<&String> = found.iter().filter(|found| !found.starts_with(ignored)).collect();
        assert!(rest.len() == 1 && rest[0].starts_with(expected), "{lines}\n{found:#?}\n{expected}");
    }
    let (_, found) = parse("INDICES >\n    i v TYPE minmax\nINDEXES >\n    j v TYPE minmax");
    assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), ["ignored_directive", "duplicate_directive"]);
}

#[test]
fn directives_of_others_are_told_from_directives_that_do_not_exist() {
    for (lines, expected) in [
        ("NODE x", "refused_directive 1:1+4 NODE cannot be used in .datasource files | it belongs to .pipe files"),
        ("EXPORT_FORMAT csv", "refused_directive 1:1+13 EXPORT_FORMAT cannot be used"),
        (
            "IMPORT_TABLE_ARN x",
            "refused_directive 1:1+16 IMPORT_TABLE_ARN cannot be used in .datasource files | imports come from S3",
        ),
        ("SORTING_KEY id", "warning deprecated_directive 1:1+11 SORTING_KEY is deprecated | write ENGINE_SORTING_KEY"),
        ("VERSION 3", "warning deprecated_directive 1:1+7"),
    ] {
        refused(lines, &[expected]);
    }
    assert!(good("MAINTAINER me\nPG_TABLE t").import.is_none());
}
