//! Hostile CSV files and what inference makes of them, by case.

use arrow::array::{Array, AsArray};
use connector_core::csv::CsvSettings;
use connector_core::types::ColumnType;
use connector_decode::infer;

use crate::infer::{because, decode, dialect, inferred, type_of, types, whole};

#[test]
fn case_68_numbers_lose_nothing() {
    let strings = [
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "1e400",
        "NaN",
        "Infinity",
        "-inf",
        "0x1F",
        "1_000",
        "\"1,5\"",
        "\"1,000\"",
        "02134",
        "+5",
        "1 000",
        "12E3",
        "0.1234567890123456789",
        "9007199254740993.0",
    ];
    for text in strings {
        assert_eq!(type_of(&[text]), ColumnType::String, "{text}");
        assert_eq!(type_of(&["1", "2", text, "3"]), ColumnType::String, "{text} among numbers");
    }
    // Minus zero has a sign, which only a float keeps.
    assert_eq!(type_of(&["-0", "1"]), ColumnType::Float64);
    assert_eq!(type_of(&["9007199254740993"]), ColumnType::Int64);
    assert_eq!(type_of(&["9007199254740993", "1.5"]), ColumnType::String);
    assert_eq!(because(&["12345", "02134"]), "leading zero in '02134'");
}

#[test]
fn case_69_dates_are_iso_or_text() {
    for text in [
        "2023-02-31",
        "0000-01-01",
        "10000-01-01",
        "294277-01-01",
        "1/2/3",
        "01/02/2024",
        "1.2.2024",
        "20240101",
        "2024-1-2",
        "Jan 2 2024",
    ] {
        assert_ne!(type_of(&[text]), ColumnType::Date, "{text}");
        assert_eq!(type_of(&["2024-01-01", text]), ColumnType::String, "{text} among dates");
    }
    assert_eq!(type_of(&["0001-01-01", "9999-12-31"]), ColumnType::Date);
    // Milliseconds since 1970 are whole numbers, and stay what they are.
    assert_eq!(type_of(&["1704067200000"]), ColumnType::Int64);
    // An hour that clocks skip somewhere exists in UTC.
    assert_eq!(type_of(&["2024-03-31 02:30:00"]), ColumnType::DateTime64 { precision: 6 });
    assert_eq!(type_of(&["2024-03-31 24:00:00"]), ColumnType::String);
    assert_eq!(because(&["01/02/2024", "1/2/3"]), "'01/02/2024' is no ISO date");
}

#[test]
fn case_70_a_later_value_of_another_type_is_seen_as_far_as_the_sample_goes() {
    let rows: String = (0..1_000).map(|row| format!("{row},x\n")).collect();
    let text = format!("a,b\n{rows}text,x\n");
    let found = inferred(&text);
    assert_eq!(types(&found), [ColumnType::String, ColumnType::String]);
    assert_eq!(found.evidence[0].because, "'text' is not a whole number, as 1,000 of 1,001 values are");
    // Behind the sample it is a bad value: the column does not change, and neither do the rows before it.
    let head = format!("a,b\n{rows}");
    let found = inferred(&head);
    assert_eq!(types(&found)[0], ColumnType::Int64);
    let block = decode(&text, &found);
    assert_eq!((block.rows.num_rows(), block.rejected.ordinals.as_slice()), (1_000, &[1_000][..]));
}

#[test]
fn case_71_spellings_of_null_are_found_where_they_make_a_column_typed() {
    let text = "n,country,empty\n1,NA,\nNA,DE,\"\"\n3,NULL,\n";
    let found = inferred(text);
    assert_eq!(types(&found), [ColumnType::Int64, ColumnType::String, ColumnType::String]);
    let dialect = found.dialect.clone().expect("a CSV file");
    assert_eq!((dialect.nulls, dialect.nulls_configured), (vec!["NA".to_owned()], false));
    let block = decode(text, &found);
    assert_eq!(block.rows.num_rows(), 3);
    assert!(block.rows.column(0).is_null(1));
    let countries: Vec<_> = block.rows.column(1).as_string::<i32>().iter().collect();
    assert_eq!(countries, [Some("NA"), Some("DE"), Some("NULL")], "in a String they are text");
    for (values, wanted) in [
        (&["1", "NULL", "null"][..], ColumnType::Int64),
        (&["1.5", "\\N"], ColumnType::Float64),
        (&["true", "None"], ColumnType::Bool),
        (&["2024-01-01", "N/A", "-"], ColumnType::Date),
        (&["1", "missing"], ColumnType::String),
        (&["1.5", "nan"], ColumnType::String),
        (&["1", "\"NA\""], ColumnType::String),
        (&["NA", "NULL"], ColumnType::String),
    ] {
        assert_eq!(type_of(values), wanted, "{values:?}");
    }
}

#[test]
fn case_71_configured_spellings_hold_everywhere_and_empty_text_is_no_null() {
    let settings = CsvSettings { nulls: Some(vec!["missing".into()]), ..CsvSettings::default() };
    let text = "n,s\n1,missing\nmissing,\"missing\"\n3,\"\"\n4,\n";
    let found = infer::csv(&whole(text), &settings).expect("infers");
    assert_eq!(types(&found), [ColumnType::Int64, ColumnType::String]);
    let block = decode(text, &found);
    let texts: Vec<_> = block.rows.column(1).as_string::<i32>().iter().collect();
    assert_eq!(texts, [None, Some("missing"), Some(""), None]);
    assert!(block.rows.column(0).is_null(1));
    // What is configured is all there is.
    let found = infer::csv(&whole("n,s\n1,x\nNA,y\n"), &settings).expect("infers");
    assert_eq!(types(&found)[0], ColumnType::String);
}

#[test]
fn case_72_delimiters_are_told_by_how_well_records_agree() {
    let cases = [
        ("id;price\n1;1,5\n2;2,75\n", b';'),
        ("id;price;note\n1;1,5;a, b\n2;2,75;c\n", b';'),
        ("a,b;c\n1,2;3\n4,5;6\n", b';'),
        ("id\tname\n1\tSmith, John\n2\tx\n", b'\t'),
        ("id|name\n1|a;b\n2|c;d\n", b'|'),
        ("id,tags\n1,a;b;c\n2,d\n", b','),
        ("id,tags\n1,\"a;b\"\n2,\"c;d\"\n", b','),
        ("a;b,c;d\nx;y,z;w\n", b';'),
        ("id|name (Last, First)|age|joined\n1|Doe, John|33|2020-01-01\n", b'|'),
        ("id\tcity, state\tpop\tyear\n1\tParis, FR\t5\t2020\n", b'\t'),
        ("id (a, b)|n\nu, x|5\nv, y|6\n", b'|'),
        ("name|x,city\na|b,c\nd|e,f\n", b','),
        ("a,b,c\n1,2,3\nTotal\nEnd\nx\n", b','),
        ("a;b;c\n1;2;3\nTotal\nEnd\nx\n", b';'),
        ("a,b\n", b','),
        ("a;b\n", b';'),
        ("only\n1\n2\n", b','),
        ("id;text\n1;\"a\nb;c\"\n2;d\n", b';'),
        ("a,b,c\n1,2\n1,2\n1,2,3\n1\n", b','),
    ];
    for (text, wanted) in cases {
        assert_eq!(char::from(dialect(text).delimiter), char::from(wanted), "{text}");
    }
}

#[test]
fn case_72_quotes_are_others_only_if_that_is_beyond_doubt() {
    let cases = [
        ("a,b\n'x, y',1\n'z',2\n'w, v',3\n", Some(b'\'')),
        ("'a','b'\n'x','1'\n", Some(b'\'')),
        ("a,b\n'tis,1\nthe dogs',2\nx,3\n", Some(b'"')),
        ("a,b\n'x',\"y\"\n'z',1\n'w',2\n", Some(b'"')),
        ("a,b\n5\" pipe,1\n3\" pipe,2\n", Some(b'"')),
        ("a,b\n\"Big Joe\" Turner,1\nx,2\ny,3\n", Some(b'"')),
        ("a\tb\n\"hello\t1\nx\t2\ny\t3\n", Some(b'"')),
        ("a,b\n\"hello,1\nx,2\ny,3\n", Some(b'"')),
        ("a\tb\n\"hello\t1\n\"x\"\t2\ny\t3\n", Some(b'"')),
        ("a,b\n\"x\ny\",1\nz,2\n", Some(b'"')),
        ("a\tb\n\"x\"\t1\n\"hello\t2\ny\t3\n", Some(b'"')),
    ];
    for (text, wanted) in cases {
        assert_eq!(dialect(text).quote.map(char::from), wanted.map(char::from), "{text}");
    }
}

#[test]
fn case_72_what_is_configured_wins() {
    let text = "a;b,c\n1;2,3\n";
    for (delimiter, columns) in [(b',', ["a;b", "c"]), (b';', ["a", "b,c"])] {
        let settings = CsvSettings { delimiter: Some(delimiter), ..CsvSettings::default() };
        let found = infer::csv(&whole(text), &settings).expect("infers");
        assert_eq!(found.file_columns, columns);
        assert_eq!(found.dialect.expect("a CSV file").delimiter, delimiter);
    }
    let settings = CsvSettings { quote: Some(None), ..CsvSettings::default() };
    let found = infer::csv(&whole("a,b\n\"x\",1\n"), &settings).expect("infers");
    assert_eq!(found.dialect.expect("a CSV file").quote, None);
    assert_eq!(found.evidence[0].examples, ["\"x\""]);
}

#[test]
fn case_72_a_preamble_is_refused_by_name_unless_it_is_skipped() {
    let text = "Report of 2024\n\n# made by hand\nid;name;note\n1;a;x\n2;b;y\n3;c;z\n";
    let failure = infer::csv(&whole(text), &CsvSettings::default()).expect_err("the first line is no header");
    assert_eq!(failure.code, "preamble");
    for part in ["'Report of 2024', has", "IMPORT_CSV_SKIP_LINES", "on line 4", "3 (with ';'"] {
        assert!(failure.message.contains(part), "{part} in {failure}");
    }
    let settings = CsvSettings { skip_lines: Some(3), ..CsvSettings::default() };
    let found = infer::csv(&whole(text), &settings).expect("infers");
    assert_eq!(found.file_columns, ["id", "name", "note"]);
    assert_eq!(found.dialect.as_ref().map(|dialect| dialect.skip_lines), Some(3));
    assert!(decode(text, &found).rejected.is_empty());
    for (text, line) in [
        ("sep=;\na;b\n1;2\n", "line 2"),
        ("sep=;\r\na;b;c\r\n1;2;3\r\n", "line 2"),
        ("\"SEP=,\"\na,b\n1,2\n", "line 2"),
        ("sep=\t\na\tb\n1\t2\n", "line 2"),
        ("Sales, 2024\nid,name,note\n1,a,x\n2,b,y\n", "line 2"),
        ("Sales; all, 2024\nid;name;note\n1;a;x\n2;b;y\n", "line 2"),
        ("Sales, 2024\nby hand\n\nid,name,note\n1,a,x\n2,b,y\n3,c,z\n", "line 4"),
        ("Sales, all\nid;name;note\n1;a;x\n2;b;y\n", "line 2"),
    ] {
        let failure = infer::csv(&whole(text), &CsvSettings::default()).expect_err("the first line is no header");
        assert_eq!(failure.code, "preamble", "{text}");
        let first = text.lines().next().expect("a line").trim_matches('"').replace('\t', r"\t");
        assert!(failure.message.contains(&first) && failure.message.contains(line), "{failure}");
    }
    let settings = CsvSettings { delimiter: Some(b';'), ..CsvSettings::default() };
    let failure = infer::csv(&whole("Sales, all\nid;name\n1;a\n2;b\n"), &settings).expect_err("no header");
    assert_eq!(failure.code, "preamble");
    let ragged = [
        "a,b,c\n1,2\n1,2\n1,2,3\n1,2\n",
        "a,b,c\n1,2,3,4\n1,2,3\n1,2,3\n",
        "a,b\n1,2,3\n",
        "a,b\n1,2,3\n1,2,3,4\n1\n",
        "sep=;,b\n1,2\n",
    ];
    for text in ragged {
        infer::csv(&whole(text), &CsvSettings::default()).expect("a header, though records are too short or too long");
    }
    // One column of numbers with a decimal comma, or of text with commas here and there, is one column.
    assert_eq!(inferred("price\n1,5\n2,5\n").file_columns, ["price"]);
    assert_eq!(inferred("text\nhello, world\nfoo\nbar\n").file_columns, ["text"]);
}
