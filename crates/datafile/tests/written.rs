//! What is written reads back as the very same values, without a word from the parser.

use connector_core::csv::CsvSettings;
use connector_core::schema::{Column, normalise_names};
use connector_core::spec::Format;
use connector_core::types::ColumnType;
use connector_datafile::write::datasource::{Draft, DraftColumn, DraftImport, declaration};
use connector_datafile::{DataSource, SourceFile, parse_datasource};
use proptest::prelude::*;

fn read(text: &str) -> DataSource {
    let source = SourceFile::new("datasources/orders.datasource", text);
    let (read, found) = parse_datasource(&source, &|_: &str| None);
    assert_eq!(found, [], "{text}");
    read
}

fn draft(columns: Vec<DraftColumn>, format: Format, csv: CsvSettings) -> Draft {
    let import = DraftImport {
        connection: "shop".to_owned(),
        uri: "s3://drop/*".to_owned(),
        schedule: "@auto".to_owned(),
        format: Some(format),
        from_timestamp: None,
    };
    Draft {
        columns,
        csv,
        format: Some(format),
        engine: Some("MergeTree".to_owned()),
        import: Some(import),
        ..Draft::default()
    }
}

fn types() -> impl Strategy<Value = (ColumnType, bool)> {
    let plain = prop_oneof![
        Just(ColumnType::Int64),
        Just(ColumnType::UInt64),
        Just(ColumnType::String),
        Just(ColumnType::Json),
        Just(ColumnType::DateTime64 { precision: 6 }),
        (1u8..=38).prop_map(|precision| ColumnType::Decimal { precision, scale: (precision / 2) as i8 }),
    ];
    (plain, any::<bool>(), any::<bool>()).prop_map(|(ty, nullable, list)| match list && ty != ColumnType::Json {
        true => (ColumnType::Array { element: Box::new(ty), nullable }, false),
        false => (ty, nullable),
    })
}

/// Names as files have them: anything at all, but not nothing.
fn names() -> impl Strategy<Value = Vec<(String, (ColumnType, bool))>> {
    let odd = prop::sample::select(vec![
        "a",
        "A",
        "a b",
        "a.b",
        "it's",
        "`",
        "\\",
        "['x']",
        "a\nb",
        "\t",
        "\u{85}",
        "\u{2028}",
        "$",
        "{{x}}",
        "# no",
        "Preis €",
        "\\n",
        "\"q\"",
        "json:$.a",
        "DEFAULT",
        "_s3_key",
    ]);
    let name = prop_oneof![odd.prop_map(str::to_owned), ".{1,12}"];
    prop::collection::vec((name, types()), 1..8)
}

proptest! {
    #[test]
    fn columns_of_any_name_read_back(named in names(), format in prop::sample::select(vec![Format::Csv, Format::Parquet])) {
        let sources: Vec<String> = named.iter().map(|(name, _)| name.clone()).collect();
        let columns: Vec<Column> = normalise_names(&sources).into_iter().zip(&named).map(|(name, (source, (ty, nullable)))| {
            Column { source: source.clone(), nullable: *nullable, ..Column::nullable(name, ty.clone()) }
        }).collect();
        let drafts = columns.iter().map(|column| DraftColumn { comments: vec![column.source.clone()], ..column.into() });
        let text = draft(drafts.collect(), format, CsvSettings::default()).to_text().expect("writable");
        let found: Vec<Column> = read(&text).columns.expect("SCHEMA").into_iter().map(|found| found.column).collect();
        prop_assert_eq!(found, columns, "{}", text);
    }

    #[test]
    fn values_of_one_line_read_back(
        connection in "[a-z][a-z_0-9]{0,10}",
        path in "[a-zA-Z0-9 _.#'\"*\\\\äé;=-]{0,20}",
        delimiter in prop::option::of(prop::sample::select(b",;\t|:~# ".to_vec())),
        quote in prop::option::of(prop::option::of(prop::sample::select(b"\"'~".to_vec()))),
        header in prop::option::of(any::<bool>()),
        skip in prop::option::of(0u32..100),
        nulls in prop::option::of(prop::collection::vec("[A-Za-z#/\\\\-]{1,5}", 1..4)),
        description in prop::option::of("[a-zA-Z#\"'][ a-zA-Z#\"'>]{0,30}[a-z]"),
    ) {
        prop_assume!(delimiter.is_none() || Some(delimiter) != quote);
        let mut nulls = nulls;
        if let Some(nulls) = &mut nulls {
            let mut seen = std::collections::BTreeSet::new();
            nulls.retain(|one| seen.insert(one.clone()) && delimiter.is_none_or(|byte| !one.as_bytes().contains(&byte)));
        }
        prop_assume!(nulls.as_ref().is_none_or(|nulls| !nulls.is_empty()));
        let csv = CsvSettings { delimiter, quote, header, nulls, skip_lines: skip };
        let mut draft = draft(Vec::new(), Format::Csv, csv.clone());
        draft.description = description.clone();
        draft.comments = vec!["IMPORT_FORMAT nonsense".to_owned(), path.clone()];
        let import = draft.import.as_mut().expect("an import");
        import.connection = connection.clone();
        import.uri = format!("s3://drop/{path}");
        let uri = import.uri.clone();
        let text = draft.to_text().expect("writable");
        let found = read(&text);
        let import = found.import.expect("an import");
        prop_assert_eq!((import.connection.value, import.uri.value.as_str()), (connection, uri.as_str()), "{}", text);
        prop_assert_eq!(import.csv, csv, "{}", text);
        prop_assert_eq!(found.description.map(|it| it.value), description, "{}", text);
    }
}

#[test]
fn paths_into_nested_records_are_those_of_the_table() {
    let sources =
        ["id", "a.b", "['odd.key']", "['odd.key'].c", "first name", "tags", "a\\b", "it's", "['']", "['$']", "l[:]"];
    let column = |(at, source): (usize, &&str)| Column {
        source: (*source).to_owned(),
        ..Column::nullable(format!("c{at}"), ColumnType::String)
    };
    let columns: Vec<Column> = sources.iter().enumerate().map(column).collect();
    let text = draft(columns.iter().map(DraftColumn::from).collect(), Format::Ndjson, CsvSettings::default());
    let found = read(&text.to_text().expect("writable")).columns.expect("SCHEMA");
    let steps = |source: &str| source.replace("['first name']", "first name");
    let found: Vec<String> = found.iter().map(|found| steps(&found.column.source)).collect();
    assert_eq!(found[..6], sources[..6]);
    assert_eq!(found[6..], [r"['a\\b']", r"['it\'s']", "['']", "['$']", "['l[:]']"]);
}

#[test]
fn what_a_line_cannot_hold_is_refused() {
    for uri in ["s3://drop/{{a,b},c}", "s3://drop/a\nENGINE x"] {
        let mut draft = draft(Vec::new(), Format::Csv, CsvSettings::default());
        draft.import.as_mut().expect("an import").uri = uri.to_owned();
        let refused = draft.to_text().expect_err(uri);
        assert_eq!(refused.directive, "IMPORT_BUCKET_URI");
        assert!(!refused.to_string().contains('\n'));
    }
}

#[test]
fn without_an_import_there_is_a_comment_that_shows_one() {
    let column = DraftColumn::from(&Column::nullable("id", ColumnType::Int64));
    let csv = CsvSettings { delimiter: Some(b';'), ..CsvSettings::default() };
    let draft = Draft { import: None, ..draft(vec![column], Format::Csv, csv) };
    let text = draft.to_text().expect("writable");
    assert!(!read(&text).declares_import);
    let filled = uncommented(&text);
    let import = read(&filled).import.expect("an import");
    assert_eq!((import.connection.value.as_str(), import.csv.delimiter), ("my_connection", Some(b';')));
}

/// Letter by letter, as people paste it from `datasource diff`.
#[test]
fn a_column_is_written_as_people_would_write_it() {
    let column = |name: &str, source: &str, ty| {
        DraftColumn::from(&Column { source: source.to_owned(), ..Column::nullable(name, ty) })
    };
    let odd = column("odd", "it's `odd` \\ or [not]", ColumnType::String);
    for (column, format, text) in [
        (column("x", "x", ColumnType::Int64), Some(Format::Csv), "`x` Nullable(Int64)"),
        (column("x", "x", ColumnType::Int64), None, "`x` Nullable(Int64)"),
        (column("x", "x", ColumnType::Int64), Some(Format::Parquet), "`x` Nullable(Int64) `json:$.x`"),
        (column("at", "placed at", ColumnType::Date), Some(Format::Csv), "`at` Nullable(Date) `json:$['placed at']`"),
        (odd, Some(Format::Csv), r"`odd` Nullable(String) `json:$['it\\'s \`odd\` \\\\ or [not]']`"),
        (column("a_b", "a.b", ColumnType::Int64), Some(Format::Ndjson), "`a_b` Nullable(Int64) `json:$.a.b`"),
        (column("column", "", ColumnType::Int64), Some(Format::Csv), "`column` Nullable(Int64)"),
    ] {
        assert_eq!(declaration(&column, format), text);
    }
}

#[test]
fn what_people_say_of_columns_and_engine_is_written_as_they_say_it() {
    let declarations = ["id UInt64 DEFAULT 0,".to_owned(), " at DateTime `json:$.placed_at` ".to_owned()];
    let settings =
        vec![("ENGINE_SORTING_KEY", "id, at".to_owned()), ("ENGINE_TTL", "at + toIntervalDay(30)".to_owned())];
    let mut draft = draft(Vec::new(), Format::Csv, CsvSettings::default());
    draft.declarations = declarations.to_vec();
    draft.engine_settings = settings;
    draft.import.as_mut().expect("an import").from_timestamp = Some("2025-01-01T00:00:00Z".to_owned());
    let found = read(&draft.to_text().expect("writable"));
    let columns: Vec<Column> = found.columns.expect("SCHEMA").into_iter().map(|found| found.column).collect();
    assert_eq!(
        columns.iter().map(|it| (it.name.as_str(), it.source.as_str())).collect::<Vec<_>>(),
        [("id", "id"), ("at", "placed_at")]
    );
    assert_eq!(columns[0].ty, ColumnType::UInt64);
    assert!(columns[0].default.is_some() && found.ttl.is_some());
    let from = found.import.expect("an import").from_timestamp.expect("a time").value;
    assert_eq!(from.to_string(), "2025-01-01T00:00:00Z");

    draft.declarations = vec!["id UInt64\nTOKEN x READ".to_owned()];
    assert_eq!(draft.to_text().expect_err("two lines").directive, "SCHEMA");
}

/// What is commented out, and not prose, is put into effect by removing the '#' and nothing else.
fn uncommented(text: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(" ") || rest.starts_with("    ") => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn a_file_to_fill_in_reads_back_before_and_after() {
    let draft = Draft { suggest_schema: true, engine: Some("MergeTree".to_owned()), ..Draft::default() };
    let text = draft.to_text().expect("writable");
    let before = read(&text);
    assert!(before.columns.is_none() && !before.declares_import);
    let after = read(&uncommented(&text));
    assert_eq!(after.columns.map(|columns| columns.len()), Some(2), "{text}");
    assert!(after.import.is_some(), "{text}");
}
