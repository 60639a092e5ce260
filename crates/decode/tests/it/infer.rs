//! Inference: dialect, types and evidence; and that what it says of a file decodes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use connector_core::binding::bind;
use connector_core::block::Block;
use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::evolve::FilePlan;
use connector_core::schema::Origin;
use connector_core::types::ColumnType;
use connector_decode::csv::{CsvDecoder, CsvOptions, RawBlock, read_header};
use connector_decode::infer::{self, Inferred, Sample};
use jiff::Timestamp;
use proptest::prelude::*;

pub const TIME: ColumnType = ColumnType::DateTime64 { precision: 6 };

pub fn whole(text: &str) -> Sample {
    Sample { head: Bytes::copy_from_slice(text.as_bytes()), whole_file: true, pieces: Vec::new() }
}

pub fn inferred(text: &str) -> Inferred {
    infer::csv(&whole(text), &CsvSettings::default()).expect("infers")
}

pub fn dialect(text: &str) -> CsvDialect {
    inferred(text).dialect.expect("a CSV file")
}

pub fn types(inferred: &Inferred) -> Vec<ColumnType> {
    inferred.schema.columns.iter().map(|column| column.ty.clone()).collect()
}

/// The type of a column with these values.
pub fn type_of(values: &[&str]) -> ColumnType {
    types(&inferred(&format!("a,b\n{}", values.iter().map(|value| format!("{value},\n")).collect::<String>())))
        .remove(0)
}

/// Why a column with these values has its type.
pub fn because(values: &[&str]) -> String {
    let text = format!("a\tb\n{}", values.iter().map(|value| format!("{value}\t\n")).collect::<String>());
    inferred(&text).evidence.remove(0).because
}

/// Decodes a whole file with what was inferred from it.
pub fn decode(text: &str, inferred: &Inferred) -> Block {
    let options = CsvOptions::new(inferred.dialect.clone().expect("a CSV file"));
    let header = read_header(text.as_bytes(), true, &options).expect("reads").expect("a header");
    assert_eq!(header.columns, inferred.file_columns);
    let bound = bind(&inferred.schema, &header.columns);
    let plan = FilePlan { bound, unknown: Vec::new(), causes: Vec::new(), context: String::new() };
    let schema = Arc::new(inferred.schema.clone());
    let decoder = CsvDecoder::new(schema, Arc::new(plan), &options, Timestamp::UNIX_EPOCH);
    let bytes = Bytes::copy_from_slice(&text.as_bytes()[header.body_offset..]);
    let block = RawBlock { bytes, offset: header.body_offset as u64, line: header.body_line, unterminated: None };
    decoder.decode(&block).expect("decodes")
}

#[test]
fn types_are_those_that_no_value_contradicts() {
    let cases: [(&[&str], ColumnType); 24] = [
        (&["1", "-2", ""], ColumnType::Int64),
        (&["0", "1"], ColumnType::Int64),
        (&["1", "2.5"], ColumnType::Float64),
        (&["1e5", ".5", "-0.25"], ColumnType::Float64),
        (&["1e+5", "1"], ColumnType::Float64),
        (&["12E3", "45"], ColumnType::String),
        (&["true", "False"], ColumnType::Bool),
        (&["yes", "no"], ColumnType::String),
        (&["true", "1"], ColumnType::String),
        (&["2024-02-29"], ColumnType::Date),
        (&["2023-02-29"], ColumnType::String),
        (&["2024-02-29 10:00:00", "2024-02-29T10:00:00.5Z"], TIME),
        (&["2024-02-29", "2024-02-29 10:00:00"], ColumnType::String),
        (&["007", "8"], ColumnType::String),
        (&["-01"], ColumnType::String),
        (&["00.5"], ColumnType::String),
        (&["+49301234"], ColumnType::String),
        (&["9223372036854775807"], ColumnType::Int64),
        (&["9223372036854775808"], ColumnType::String),
        (&["9007199254740993", "0.5"], ColumnType::String),
        (&["0.1234567890123456789"], ColumnType::String),
        (&["1e400"], ColumnType::String),
        (&["", ""], ColumnType::String),
        (&["1", "NaN"], ColumnType::String),
    ];
    for (values, wanted) in cases {
        assert_eq!(type_of(values), wanted, "{values:?}");
    }
    assert_eq!(type_of(&["3f2504e0-4f89-11d3-9a0c-0305e82c3301"]), ColumnType::String);
}

#[test]
fn columns_are_inferred_nullable_but_for_strings_and_keep_the_names_of_the_file() {
    let inferred = inferred("first name,ID\nx,1\n");
    let columns: Vec<_> = inferred.schema.columns.iter().map(|c| (c.name.as_str(), c.source.as_str())).collect();
    assert_eq!(columns, [("first_name", "first name"), ("ID", "ID")]);
    assert!(inferred.schema.columns.iter().all(|column| column.origin == Origin::Inferred && column.default.is_none()));
    assert_eq!(inferred.schema.columns.iter().map(|column| column.nullable).collect::<Vec<_>>(), [false, true]);
    assert_eq!(inferred.file_columns, ["first name", "ID"]);
}

#[test]
fn repeated_names_bind_each_to_its_own_column_or_are_refused() {
    let found = inferred("a,a,A,a b,a-b,,\n1,2,3,4,5,6,7\n");
    let bound = bind(&found.schema, &found.file_columns);
    assert_eq!(bound.sources, (0..7).map(Some).collect::<Vec<_>>());
    let again = inferred("a,a,A,a b,a-b,,\nx,y,z,,,,\n");
    let names = |inferred: &Inferred| inferred.schema.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&again), "names do not depend on the values");
    let error = infer::csv(&whole("a,a,a_2\nx,2,3\n"), &CsvSettings::default()).expect_err("ambiguous");
    assert_eq!(error.code, "duplicate_column");
}

#[test]
fn a_record_that_the_sample_cuts_is_ignored_unless_it_is_the_whole_file() {
    let of = |whole_file| {
        let sample = Sample { whole_file, ..whole("a,b\n1,2\n3,four") };
        types(&infer::csv(&sample, &CsvSettings::default()).expect("infers"))
    };
    assert_eq!(of(false), [ColumnType::Int64, ColumnType::Int64]);
    assert_eq!(of(true), [ColumnType::Int64, ColumnType::String]);
    let sample = Sample { whole_file: false, ..whole("a,b,c") };
    let error = infer::csv(&sample, &CsvSettings::default()).expect_err("no header yet");
    assert_eq!(error.code, "record_too_long");
}

#[test]
fn floats_whose_digits_do_not_survive_stay_strings() {
    for text in ["1.0000000000000001", "9007199254740993.0", "0.12345678901234567", "1.23456789012345e-320", "1e-400"] {
        assert_eq!(type_of(&[text]), ColumnType::String, "{text}");
    }
    for text in ["0.123456789012345", "0.30000000000000004", "9007199254740992.0", "1.50000000000000000000", "0e-400"] {
        assert_eq!(type_of(&[text]), ColumnType::Float64, "{text}");
    }
    assert_eq!(type_of(&["-0"]), ColumnType::Float64);
}

#[test]
fn evidence_names_the_value_that_decides() {
    let cases: [(&[&str], &str); 14] = [
        (&["1", "2", ""], "all 2 values are whole numbers"),
        (&["1"], "the one value is a whole number"),
        (&["1.5", "2"], "all 2 values are numbers"),
        (&["12345", "02134"], "leading zero in '02134'"),
        (&["1", "2", "1/2/3"], "'1/2/3' is no ISO date"),
        (&["1", "2", "three"], "'three' is not a whole number, as 2 of 3 values are"),
        (&["true", "maybe"], "'maybe' is not true or false, as 1 of 2 values are"),
        (&["abc", "def"], "'abc' is text"),
        (&["12E3", "7"], "'12E3' may be a name as well as a number"),
        (&["1,5"], "comma in '1,5'"),
        (&["", ""], "no value in the sample"),
        (&["NA", ""], "no value in the sample but 'NA'"),
        (&["NA", "1", "2"], "all 2 values are whole numbers; NULL is 'NA'"),
        (&["2024-01-01", "2024-01-02 10:00:00"], "'2024-01-02 10:00:00' is no ISO time"),
    ];
    for (values, wanted) in cases.into_iter().take(13) {
        assert_eq!(because(values), wanted, "{values:?}");
    }
    assert!(because(cases[13].0).contains("'2024-01-02 10:00:00'"), "{}", because(cases[13].0));
    let many: Vec<String> = (0..1_234).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(because(&many), "all 1,234 values are whole numbers");
}

#[test]
fn evidence_counts_and_shows_without_harm() {
    let long = "y".repeat(500);
    let text = format!("a,b\nx\u{1b}[31m,1\nx\u{1b}[31m,NULL\n{long},\n,2\nz,3\nw,3\n");
    let evidence = inferred(&text).evidence;
    assert_eq!((evidence[0].column.as_str(), evidence[0].ty.as_str()), ("a", "String"));
    assert_eq!((evidence[0].values, evidence[0].nulls), (5, 1));
    assert_eq!(evidence[0].examples, [r"x\u{1b}[31m".to_owned(), "y".repeat(100), "z".to_owned()]);
    assert_eq!((evidence[1].ty.as_str(), evidence[1].values, evidence[1].nulls), ("Int64", 4, 2));
    assert_eq!(evidence[1].examples, ["1", "2", "3"]);
}

#[test]
fn a_first_record_with_a_value_that_goes_with_its_column_is_no_header() {
    for text in [
        "1,2\n3,4\n",
        "1,2024-01-01\n2,2024-01-02\n",
        "1,true\n",
        "1,2\n,\n",
        "1.5,2\n7,NA\n",
        "1,alice\n2,bob\n",
        "alice,1\nbob,2.5\n",
        "x,2024-01-01 10:00:00\ny,2024-01-02 10:00:00\n",
        "1,NA\n2,3\n",
        "2024,7\n2025,8\n",
        "1,x\n3,y\n",
        "1,2\n3,four\n",
        "0042,1\n0043,2\n",
    ] {
        let found = inferred(text);
        assert!(!found.dialect.as_ref().expect("a CSV file").header, "{text}");
        assert_eq!(found.file_columns, ["column_1", "column_2"]);
        assert_eq!(decode(text, &found).records, text.lines().count() as u64, "{text}");
    }
    let headers = [
        "id,2024\n1,2\n",
        "1,\n2,3\n",
        "1,x,\n2,y,z\n",
        "2024,2025\n2024-01-01,1\n",
        "country,2023,2024\nDE,1,2\nFR,3,4\n",
        "7,8\n2024-01-01,1\n",
        "007,8\n1,2\n",
        "id\n1\n",
        "id,name\n1,x\n",
        "a,b\nx,y\n",
        "1,name\nx,y\n",
        "1,name\n,\n",
    ];
    for text in headers {
        assert!(dialect(text).header, "{text}");
    }
    let settings = CsvSettings { header: Some(false), ..CsvSettings::default() };
    let found = infer::csv(&whole("a,b\n1,2\n"), &settings).expect("infers");
    assert_eq!(types(&found), [ColumnType::String, ColumnType::String], "its first record is a row");
    let settings = CsvSettings { header: Some(true), ..CsvSettings::default() };
    assert_eq!(infer::csv(&whole("1,2\n3,4\n"), &settings).expect("infers").file_columns, ["1", "2"]);
}

#[test]
fn a_file_without_a_header_keeps_its_first_record_and_says_why() {
    let text = "1,alice,2024-01-01\n2,bob,2024-01-02\n";
    let found = inferred(text);
    assert_eq!(types(&found), [ColumnType::Int64, ColumnType::String, ColumnType::Date]);
    assert_eq!(decode(text, &found).rows.num_rows(), 2);
    let because: Vec<&str> = found.evidence.iter().map(|evidence| evidence.because.as_str()).collect();
    let why = "all 2 values are whole numbers; '1' in the first record is such a value, so the file has no header";
    assert_eq!(because, [why, "'bob' is text", "all 2 values are ISO dates"]);
    let settings = CsvSettings { header: Some(false), ..CsvSettings::default() };
    let told = infer::csv(&whole(text), &settings).expect("infers");
    assert!(!told.evidence[0].because.contains("first record"), "what is configured needs no reason");
}

#[test]
fn a_later_file_has_a_shape_without_stated_types() {
    let dialect = CsvDialect { delimiter: b';', nulls: vec!["NA".into()], ..CsvDialect::default() };
    let shape = infer::csv_shape(&whole("id;new col\n1;NA\n2;2.5\n"), &dialect).expect("a shape");
    assert!(shape.has_header);
    assert_eq!(shape.names(), ["id", "new col"]);
    let types: Vec<_> = shape.columns.iter().map(|column| column.ty.clone()).collect();
    assert_eq!(types, [Some(ColumnType::Int64), Some(ColumnType::Float64)]);
    assert!(shape.columns.iter().all(|column| column.stated.is_none()));
    let headerless = CsvDialect { header: false, ..CsvDialect::default() };
    let shape = infer::csv_shape(&whole("1,x\n"), &headerless).expect("a shape");
    assert_eq!(shape.names(), ["column_1", "column_2"]);
    assert_eq!(shape.columns[0].ty, Some(ColumnType::Int64));
}

fn with_pieces(head: &str, pieces: &[&str]) -> Sample {
    let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece.as_bytes())).collect();
    Sample { head: Bytes::copy_from_slice(head.as_bytes()), whole_file: false, pieces }
}

#[test]
fn pieces_widen_types_wherever_they_begin_and_end() {
    let of = |pieces: &[&str]| {
        let sample = with_pieces("a,b\n1,2\n3,4\n", pieces);
        types(&infer::csv(&sample, &CsvSettings::default()).expect("infers"))
    };
    let (int, float, string) = (ColumnType::Int64, ColumnType::Float64, ColumnType::String);
    assert_eq!(of(&["9,9\n5,6.5\n7,8\n"]), [int.clone(), float.clone()]);
    assert_eq!(of(&["x,y\n5,6\n7,8.5"]), [int.clone(), int.clone()], "records that the borders cut tell nothing");
    assert_eq!(of(&["5,6\r\n7,x\r\n", "1\n"]), [int.clone(), string.clone()]);
    assert_eq!(of(&["no line end", "", "\n", "1,2,3\n1,2,3\n4,x,6\n"]), [int.clone(), int.clone()]);
    assert_eq!(of(&["\"\"\"\n\"\"", "\u{0}\"\n"]), [int, ColumnType::Int64]);
}

#[test]
fn a_piece_that_begins_within_quotes_is_read_as_such() {
    let head = "id,note\n1,\"two\nlines, and a comma\"\n2,\"more\n\"\n";
    let lines = "begin,\nand, on\nwith, two\ncells, each\nto, the\nlast, one\"\n";
    for (piece, values) in [
        (format!("{lines}7,\"again\ntext\"\n8,\"\"\"x\"\"\n, y\"\n9,z\n"), 5),
        ("x\"\n7,\"again, and\nagain, with\ntext\"\n9,z\n".to_owned(), 4),
        ("cut\n7,\"again, and\nagain, with\ntext\"\n9,5\" pipe\n".to_owned(), 4),
    ] {
        let found = infer::csv(&with_pieces(head, &[&piece]), &CsvSettings::default()).expect("infers");
        assert_eq!(types(&found), [ColumnType::Int64, ColumnType::String], "{piece}");
        assert_eq!(found.evidence[0].values, values, "{piece}");
    }
}

/// A value of one of the kinds that columns have.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "-?[0-9]{1,4}",
        1 => "-?[0-9]{0,20}",
        2 => "[0-9]{1,3}\\.[0-9]{1,3}",
        1 => "[0-9]{1,3}e[+-]?[0-9]{1,2}",
        1 => "(true|false|TRUE)",
        1 => "20[0-9]{2}-[01][0-9]-[0-3][0-9]",
        1 => "2024-01-0[0-9] 1[0-9]:00:00(\\.[0-9]{1,7})?(Z|\\+01:00)?",
        1 => "[ a-z0-9.eE+-]{0,6}",
        1 => "(NA|NULL|\\\\N|-|None|nan)",
        1 => Just(String::new()),
    ]
}

/// Columns of a kind each: all values of one strategy, and sometimes one that is not.
fn column(rows: usize) -> impl Strategy<Value = Vec<String>> {
    let of = |pattern: &'static str| prop::collection::vec(pattern, rows).boxed();
    let kinds = prop_oneof![
        of("-?[1-9][0-9]{0,5}"),
        of("[1-9]\\.[0-9]{1,3}"),
        of("(true|false)"),
        of("2024-0[1-9]-1[0-9]"),
        of("2024-01-1[0-9]T1[0-9]:00:00Z"),
        of("[a-z]{1,8}( [a-z]{1,5})?"),
        of("0[0-9]{4}"),
    ];
    (kinds, prop::option::weighted(0.4, (0..rows, value()))).prop_map(|(mut column, odd)| {
        if let Some((row, value)) = odd {
            column[row] = value;
        }
        column
    })
}

fn table() -> impl Strategy<Value = Vec<Vec<String>>> {
    (3usize..12, 2usize..5)
        .prop_flat_map(|(rows, columns)| prop::collection::vec(column(rows), columns))
        .prop_map(|columns| (0..columns[0].len()).map(|row| columns.iter().map(|c| c[row].clone()).collect()).collect())
}

fn line(cells: &[String], delimiter: &str) -> String {
    cells.join(delimiter) + "\n"
}

proptest! {
    #[test]
    fn whatever_is_inferred_decodes_without_a_rejected_row(table in table(), header in any::<bool>(), quoted in any::<bool>()) {
        let quote = |cell: &String| if quoted && cell.len().is_multiple_of(2) { format!("\"{cell}\"") } else { cell.clone() };
        let mut text = String::new();
        if header {
            text += &line(&(0..table[0].len()).map(|index| format!("name {index}")).collect::<Vec<_>>(), ",");
        }
        for row in &table {
            text += &line(&row.iter().map(quote).collect::<Vec<_>>(), ",");
        }
        // Without a header names may be values, which may collide or be no names at all.
        if let Ok(found) = infer::csv(&whole(&text), &CsvSettings::default()) {
            let block = decode(&text, &found);
            prop_assert!(block.rejected.is_empty(), "{:?} of {:?}", block.rejected, found);
            let first_is_header = u64::from(found.dialect.expect("a CSV file").header);
            prop_assert_eq!(block.records + first_is_header, text.lines().count() as u64);
        } else {
            prop_assert!(!header);
        }
    }

    #[test]
    fn the_order_of_the_records_does_not_matter(table in table(), by in any::<u64>()) {
        let header = line(&(0..table[0].len()).map(|index| format!("name {index}")).collect::<Vec<_>>(), ",");
        let text = |table: &[Vec<String>]| header.clone() + &table.iter().map(|row| line(row, ",")).collect::<String>();
        let mut other = table.clone();
        other.sort_by_cached_key(|row| {
            let mut hasher = std::hash::DefaultHasher::new();
            (row, by).hash(&mut hasher);
            hasher.finish()
        });
        let (one, two) = (inferred(&text(&table)), inferred(&text(&other)));
        prop_assert_eq!(&one.schema, &two.schema);
        prop_assert_eq!(&one.dialect, &two.dialect);
        let counts = |inferred: &Inferred| inferred.evidence.iter().map(|e| (e.values, e.nulls)).collect::<Vec<_>>();
        prop_assert_eq!(counts(&one), counts(&two));
    }

    #[test]
    fn pieces_never_fail_a_file_nor_make_a_type_narrower(table in table(), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..4)) {
        let text: String = table.iter().map(|row| line(row, ",")).collect();
        let head = format!("{}{}", line(&(0..table[0].len()).map(|index| format!("name {index}")).collect::<Vec<_>>(), ","), line(&table[0], ","));
        let pieces: Vec<&str> = cuts.iter().map(|(one, two)| {
            let (one, two) = (one.index(text.len()), two.index(text.len()));
            &text[one.min(two)..one.max(two)]
        }).collect();
        let without = types(&infer::csv(&with_pieces(&head, &[]), &CsvSettings::default()).expect("infers"));
        let with = types(&infer::csv(&with_pieces(&head, &pieces), &CsvSettings::default()).expect("infers"));
        for (without, with) in without.iter().zip(&with) {
            let empty = *without == ColumnType::String;
            let wider = *with == ColumnType::String || (*without == ColumnType::Int64 && *with == ColumnType::Float64);
            prop_assert!(with == without || wider || empty, "{without} became {with}");
        }
    }

    #[test]
    fn the_dialect_is_the_one_with_which_a_file_was_written(
        table in prop::collection::vec(prop::collection::vec("[a-z0-9.,;| ]{1,8}", 3), 3..12),
        delimiter in prop::sample::select(vec![',', ';', '\t', '|']),
        quote in prop::sample::select(vec!['"', '\'']),
        null in prop::sample::select(vec!["NULL", "\\N", "NA", "None"]),
    ) {
        let cell = |cell: &String| {
            // `'` is believed if it is everywhere.
            let needed = quote == '\'' || cell.contains([',', ';', '|', '\t']);
            if needed { format!("{quote}{cell}{quote}") } else { cell.clone() }
        };
        let names = ["id", "name", "text", "number"].map(|name| cell(&name.to_owned()));
        let mut text = line(&names, &delimiter.to_string());
        for (index, row) in table.iter().enumerate() {
            let mut cells: Vec<String> = row.iter().map(cell).collect();
            cells.push(if index % 3 == 1 { null.to_owned() } else { index.to_string() });
            text += &line(&cells, &delimiter.to_string());
        }
        let found = inferred(&text);
        let dialect = found.dialect.clone().expect("a CSV file");
        prop_assert_eq!(char::from(dialect.delimiter), delimiter, "{}", text);
        prop_assert_eq!(dialect.quote.map(char::from), Some(quote), "{}", text);
        prop_assert!(dialect.header);
        prop_assert_eq!(&dialect.nulls, &[null.to_owned()]);
        prop_assert_eq!(&found.schema.columns[3].ty, &ColumnType::Int64);
        prop_assert!(decode(&text, &found).rejected.is_empty());
    }
}
