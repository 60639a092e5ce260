//! Changes to one place of a file: everything else stays, and what would not be read back as it was meant is refused.

use crate::support::{Random, datasource, meaning, parse};
use connector_datafile::directives::{CONNECTION, DATASOURCE};
use connector_datafile::edit::{EditError, put_column, remove, remove_column, set};
use connector_datafile::{SourceFile, parse_datasource};
use proptest::prelude::*;

const FILE: &str = "\
# head
DESCRIPTION >
    Orders

SCHEMA >
    id UInt64, -- which
    `odd name` String,
# about the last
    last DateTime DEFAULT
        now() -- when

ENGINE MergeTree  # as it is
ENGINE_SORTING_KEY \"id\"
IMPORT_CONNECTION_NAME shop
IMPORT_BUCKET_URI s3://drop/*.csv
";

fn source(text: &str) -> SourceFile {
    SourceFile::new("o.datasource", text)
}

/// The lines that are gone, with `-`, and those that are new, with `+`.
fn difference(before: &str, after: &str) -> Vec<String> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let behind = before[same..].iter().rev().zip(after[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let gone = before[same..before.len() - behind].iter().map(|line| format!("-{line}"));
    gone.chain(after[same..after.len() - behind].iter().map(|line| format!("+{line}"))).collect()
}

#[test]
fn a_directive_is_set_where_it_stands_or_where_its_group_is() {
    for (name, value, expected) in [
        ("ENGINE", "Null", vec!["-ENGINE MergeTree  # as it is", "+ENGINE Null  # as it is"]),
        ("engine_sorting_key", "id, last", vec!["-ENGINE_SORTING_KEY \"id\"", "+ENGINE_SORTING_KEY \"id, last\""]),
        ("ENGINE_TTL", "last + toIntervalDay(1)", vec!["+ENGINE_TTL \"last + toIntervalDay(1)\""]),
        (
            "DESCRIPTION",
            "One \"line\" \\ #",
            vec!["-DESCRIPTION >", "-    Orders", "+DESCRIPTION \"One \\\"line\\\" \\\\ #\""],
        ),
        ("DESCRIPTION", "Two\n  lines", vec!["-    Orders", "+    Two", "+      lines"]),
        ("IMPORT_FORMAT", "csv", vec!["+IMPORT_FORMAT csv"]),
        ("IMPORT_CSV_NULL", "", vec!["+", "+IMPORT_CSV_NULL \"\""]),
        ("INDICES", "a id TYPE minmax", vec!["+INDEXES >", "+    a id TYPE minmax", "+"]),
    ] {
        let changed = set(&source(FILE), &DATASOURCE, name, value).expect(name);
        assert_eq!(difference(FILE, &changed), expected, "{name}\n{changed}");
    }
    assert_eq!(set(&source(""), &DATASOURCE, "ENGINE", "Null").as_deref(), Ok("ENGINE Null\n"));
    assert_eq!(
        set(&source("# c\r\nTAGS x"), &DATASOURCE, "ENGINE", "Null").as_deref(),
        Ok("# c\r\nTAGS x\r\n\r\nENGINE Null\r\n")
    );
    let connection = SourceFile::new("c.connection", "TYPE s3\nS3_REGION us-east-1 # x\n");
    assert_eq!(
        set(&connection, &CONNECTION, "S3_REGION", "eu-west-1").as_deref(),
        Ok("TYPE s3\nS3_REGION eu-west-1 # x\n")
    );
}

#[test]
fn what_cannot_be_set_is_refused() {
    for (name, value) in [
        ("TOKEN", "a READ"),
        ("KAFKA_TOPIC", "x"),
        ("SETTINGS", "x"),
        ("NOPE", "x"),
        ("ENGINE", "{{ tb_secret(\"A\") }}"),
        ("DESCRIPTION", "a\rb"),
    ] {
        let refused = set(&source(FILE), &DATASOURCE, name, value);
        assert!(refused.is_err(), "{name} {value:?}: {refused:?}");
    }
    let broken = set(&source("TAGS \"x"), &DATASOURCE, "ENGINE", "Null").expect_err("it is broken");
    assert_eq!(
        broken.to_string(),
        "o.datasource cannot be changed before it is right: o.datasource:1:6: the quote \" is never closed"
    );
}

#[test]
fn a_directive_is_taken_out_without_leaving_a_gap() {
    let gone = |name: &str| difference(FILE, &remove(&source(FILE), &DATASOURCE, name).expect(name));
    assert_eq!(gone("engine"), ["-ENGINE MergeTree  # as it is"]);
    assert_eq!(gone("DESCRIPTION"), ["-DESCRIPTION >", "-    Orders"]);
    assert_eq!(gone("TAGS"), Vec::<String>::new());
    let text = "TAGS x\n\nENGINE Null\n\nTOKEN a READ\nTOKEN b READ\n";
    let removed = |name: &str| remove(&source(text), &DATASOURCE, name).expect(name);
    assert_eq!(removed("ENGINE"), "TAGS x\n\nTOKEN a READ\nTOKEN b READ\n");
    assert_eq!(removed("TOKEN"), "TAGS x\n\nENGINE Null\n\n");
}

#[test]
fn columns_are_declared_anew_added_and_taken_out() {
    for (name, declaration, expected) in [
        ("id", "id Nullable(Int8)", vec!["-    id UInt64, -- which", "+    id Nullable(Int8), -- which"]),
        ("odd_name", "`odd name` Int8", vec!["-    `odd name` String,", "+    `odd name` Int8,"]),
        (
            "new",
            "`new` Array(String)",
            vec!["-        now() -- when", "+        now(), -- when", "+    `new` Array(String)"],
        ),
        ("last", "last Date", vec!["-    last DateTime DEFAULT", "-        now() -- when", "+    last Date -- when"]),
    ] {
        let found = put_column(&source(FILE), name, declaration).map(|changed| difference(FILE, &changed));
        if name == "id" {
            // It is in the sorting key.
            assert!(matches!(found, Err(EditError::NotADeclaration { .. })), "{found:?}");
            continue;
        }
        assert_eq!(found.as_deref(), Ok(expected.map_strings().as_slice()), "{name}");
    }
    let comma = "SCHEMA >\r\n\ta Int8, b Int8,\r\n";
    assert_eq!(
        put_column(&source(comma), "c", "c Int8").as_deref(),
        Ok("SCHEMA >\r\n\ta Int8, b Int8,\r\n\tc Int8\r\n")
    );
    assert_eq!(put_column(&source("SCHEMA \"a Int8\""), "c", "c Int8").as_deref(), Ok("SCHEMA \"a Int8, c Int8\""));
    for (name, declaration) in
        [("c", "d Int8"), ("c", "c Int8, d Int8"), ("c", "c Nope"), ("c", ""), ("c", "c Int8\nENGINE Null")]
    {
        let refused = put_column(&source(FILE), name, declaration);
        assert!(matches!(refused, Err(EditError::NotADeclaration { .. })), "{declaration}: {refused:?}");
    }
    let without = source("IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/*.csv\n");
    assert!(matches!(put_column(&without, "a", "a Int8"), Err(EditError::NoColumn { .. })));

    let gone = |text: &str, name: &str| remove_column(&source(text), name);
    assert_eq!(difference(FILE, &gone(FILE, "odd_name").expect("gone")), ["-    `odd name` String,"]);
    assert_eq!(
        difference(FILE, &gone(FILE, "last").expect("gone")),
        ["-    last DateTime DEFAULT", "-        now() -- when"]
    );
    assert!(matches!(gone(FILE, "id"), Err(EditError::Broken { .. })), "it is in the sorting key");
    assert!(matches!(gone(FILE, "nope"), Err(EditError::NoColumn { .. })));
    let one_line = "SCHEMA >\n    a Int8, b Int8, c Int8 -- all\n";
    assert_eq!(gone(one_line, "a").as_deref(), Ok("SCHEMA >\n    b Int8, c Int8 -- all\n"));
    assert_eq!(gone(one_line, "c").as_deref(), Ok("SCHEMA >\n    a Int8, b Int8 -- all\n"));
    assert!(matches!(gone("SCHEMA >\n    a Int8\n", "a"), Err(EditError::OnlyColumn { .. })));
}

trait MapStrings {
    fn map_strings(self) -> Vec<String>;
}

impl MapStrings for Vec<&str> {
    fn map_strings(self) -> Vec<String> {
        self.into_iter().map(str::to_owned).collect()
    }
}

/// The columns of a file as the table has them.
fn columns(text: &str) -> Vec<String> {
    let columns = parse_datasource(&source(text), &|_: &str| None).0.columns.unwrap_or_default();
    columns.iter().map(|column| format!("{:?}", column.column)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_value_that_is_set_is_read_back_and_taken_out_again(seed in any::<u64>(), value in "\\PC{0,20}|[\"'\\\\ #>{}a]{0,10}") {
        let (text, _) = datasource(&mut Random(seed));
        let Ok(changed) = set(&source(&text), &DATASOURCE, "BACKFILL", &value) else {
            prop_assert!(value.contains("{{"), "{value:?}");
            return Ok(());
        };
        prop_assert!(value.chars().all(|letter| !letter.is_control()), "{:?}", value);
        let described = set(&source(&text), &DATASOURCE, "DESCRIPTION", &value).expect("BACKFILL was set, too");
        let read = parse_datasource(&source(&described), &|_: &str| None).0.description;
        prop_assert_eq!(read.map(|read| read.value), Some(value));
        let back = remove(&source(&changed), &DATASOURCE, "BACKFILL").expect("it is no broken file");
        prop_assert_eq!(meaning("o.datasource", &back), meaning("o.datasource", &text), "{}\n---\n{}", text, back);
    }

    #[test]
    fn a_column_that_is_added_leaves_the_others_alone_and_goes_again(seed in any::<u64>()) {
        let (text, _) = datasource(&mut Random(seed));
        let before = columns(&text);
        let added = put_column(&source(&text), "brand_new", "`brand_new` Nullable(Int8) `json:$.n`").expect("it is added");
        prop_assert_eq!(&columns(&added)[..before.len()], &before[..], "{}", added);
        prop_assert_eq!(columns(&added).len(), before.len() + 1);
        prop_assert!(!parse("o.datasource", &added).1.iter().any(|found| found.is_error()));
        let back = remove_column(&source(&added), "brand_new").expect("it is taken out");
        prop_assert_eq!(columns(&back), before, "{}", back);
    }
}
