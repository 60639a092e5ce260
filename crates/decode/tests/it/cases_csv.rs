//! Hostile CSV files, whole: header, splitter and decoder, by the numbers of the list of hostile cases.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use bytes::Bytes;
use connector_core::binding::bind;
use connector_core::block::{Block, Rejected};
use connector_core::csv::CsvDialect;
use connector_core::evolve::FilePlan;
use connector_core::schema::{Column, Origin, TableSchema, normalise_names};
use connector_core::types::ColumnType;
use connector_decode::csv::{CsvDecoder, CsvOptions, Splitter, read_header};
use jiff::Timestamp;

use crate::support::{check_block, messages, raw};

/// Reads a whole file into one block; the code of the failure if it is bad as a whole.
fn read_as(text: &[u8], columns: &[Column], dialect: CsvDialect) -> Result<Block, &'static str> {
    let options = CsvOptions::new(dialect);
    let header = read_header(text, true, &options).map_err(|error| error.code)?.expect("the whole file");
    let schema = TableSchema::new(columns.to_vec());
    let plan = FilePlan {
        bound: bind(&schema, &header.columns),
        unknown: Vec::new(),
        causes: Vec::new(),
        context: String::new(),
    };
    let decoder = CsvDecoder::new(Arc::new(schema), Arc::new(plan), &options, Timestamp::UNIX_EPOCH);
    let mut splitter = Splitter::after_header(&options, &header);
    for piece in text[header.body_offset..].chunks(1 << 16) {
        splitter.push(Bytes::copy_from_slice(piece));
    }
    let mut blocks = Vec::new();
    while let Some(block) = splitter.next_block(1 << 20).map_err(|error| error.code)? {
        blocks.push(decoder.decode(&block).expect("decodes"));
    }
    if let Some(block) = splitter.finish().map_err(|error| error.code)? {
        blocks.push(decoder.decode(&block).expect("decodes"));
    }
    Ok(joined(blocks, columns))
}

fn joined(blocks: Vec<Block>, columns: &[Column]) -> Block {
    let schema = TableSchema::new(columns.to_vec()).arrow();
    let mut rejected = Rejected::none(columns.len());
    let mut records = 0;
    for block in &blocks {
        check_block(block);
        rejected.append(&block.rejected, records).expect("fits");
        records += block.records;
    }
    let rows = arrow::compute::concat_batches(&schema, blocks.iter().map(|block| &block.rows)).expect("one schema");
    Block { records, rows, rejected }
}

fn read(text: &[u8], columns: &[Column]) -> Block {
    read_as(text, columns, CsvDialect::default()).expect("reads")
}

fn strings(names: &[&str]) -> Vec<Column> {
    names.iter().map(|name| Column::nullable(*name, ColumnType::String)).collect()
}

fn texts(block: &Block, column: usize) -> Vec<Option<&str>> {
    block.rows.column(column).as_string::<i32>().iter().collect()
}

#[test]
fn case_60_an_unclosed_quote_swallows_no_row_before_it_and_counts_as_no_good_row() {
    let text = b"a,b\n1,x\n2,\"y\nz\"\n3,\"never\n4,v\n5,w\n";
    let columns = vec![Column::nullable("a", ColumnType::Int64), Column::nullable("b", ColumnType::String)];
    let block = read(text, &columns);
    assert_eq!(texts(&block, 1), [Some("x"), Some("y\nz")]);
    let found = messages(&block, &columns);
    assert_eq!((block.records, found.len(), found[0].0), (3, 1, 2));
    let message = &found[0].1[0];
    assert!(message.contains("opens on line 5") && message.contains("up to the end of the file"), "{message}");
    assert_eq!(raw(&block), [Some("3,\"never\n4,v\n5,w\n")]);

    let endless = [b"a,b\n1,\"".to_vec(), vec![b'x'; 9 << 20]].concat();
    assert_eq!(read_as(&endless, &columns, CsvDialect::default()).expect_err("too long"), "record_too_long");
    assert_eq!(read_as(b"a,\"b\n1,2\n", &columns, CsvDialect::default()).expect_err("header"), "unterminated_quote");
}

#[test]
fn case_61_quotes_where_they_do_not_belong_are_text() {
    let text = b"a,b\nx\"y\"z,1\n\"x\"y\"z\",2\n\"x\"\"y\",3\n\"x\\\"y,4\n\\\"x,5\n \"x\",6\n'x',7\n";
    let block = read(text, &strings(&["a", "b"]));
    let wanted = ["x\"y\"z", "x\"y", "\\\"x", " \"x\"", "'x'"];
    assert_eq!(texts(&block, 0), wanted.map(Some));
    // But behind a closing quote they end in quarantine: what was meant, nobody knows.
    assert_eq!(block.rejected.ordinals, [1, 3]);
    assert_eq!(raw(&block), [Some("\"x\"y\"z\",2"), Some("\"x\\\"y,4")]);
    // A backslash escapes nothing: the quote behind it ends the cell.
    let block = read(b"a,b\n\"x\\\",1\n", &strings(&["a", "b"]));
    assert_eq!((texts(&block, 0), texts(&block, 1)), (vec![Some("x\\")], vec![Some("1")]));
}

#[test]
fn case_62_ragged_records_are_rejected_with_what_was_expected_and_found() {
    let columns = strings(&["a", "b", "c"]);
    let block = read(b"a,b,c\n1,2,3\n1,2\n1,2,3,4\n1,2,3,\n1\n,,\n", &columns);
    let message = |found: &str| vec![format!("the record has {found}, the header has 3 fields")];
    let wanted = [(1, "2 fields"), (2, "4 fields"), (3, "4 fields"), (4, "1 field")];
    assert_eq!(messages(&block, &columns), wanted.map(|(ordinal, found)| (ordinal, message(found))));
    assert_eq!(block.rows.num_rows(), 2, "the first, and the one without a value");
    assert_eq!(block.rejected.texts[2].iter().collect::<Vec<_>>(), [None, Some("3"), Some("3"), None]);
    let headerless = CsvDialect { header: false, ..CsvDialect::default() };
    let block = read_as(b"1,2,3\n1\n", &strings(&["column_1", "column_2", "column_3"]), headerless).expect("reads");
    let found = messages(&block, &columns);
    assert_eq!(found, [(1, vec!["the record has 1 field, the first record of the file has 3 fields".to_owned()])]);
}

#[test]
fn case_63_odd_headers_have_odd_names_and_no_more_than_2000_columns() {
    let header = |text: &[u8]| read_header(text, true, &CsvOptions::default());
    let text = "id,ID, id ,id,,\"new\nline\",_s3_key,\u{e9},e\u{301}\n";
    let columns = header(text.as_bytes()).expect("reads").expect("whole").columns;
    assert_eq!(columns, ["id", "ID", " id ", "id", "", "new\nline", "_s3_key", "\u{e9}", "e\u{301}"]);
    let names = normalise_names(&columns);
    assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), columns.len());
    assert_eq!(names[..6], ["id", "ID_2", "id_3", "id_4", "column", "new_line"]);
    assert!(header((vec!["c"; 2_000].join(",") + "\n").as_bytes()).is_ok());
    for count in [2_001, 10_000] {
        let error = header((vec!["c"; count].join(",") + "\n").as_bytes()).expect_err("too many");
        assert_eq!(error.code, "too_many_columns");
        assert!(error.message.contains(&count.to_string()), "{error}");
    }
}

#[test]
fn case_64_files_without_records_are_read_and_those_without_a_line_are_refused() {
    let columns = strings(&["a", "b"]);
    for text in [&b"a,b"[..], b"a,b\n", b"\xEF\xBB\xBFa,b\r\n\r\n", b"a,b\n\n\n"] {
        let block = read(text, &columns);
        assert_eq!((block.records, block.rows.num_columns()), (0, 2), "{text:?}");
    }
    for text in [&b""[..], b"\xEF\xBB\xBF", b"\n\n", b"\r\n", b"\xEF\xBB\xBF\n"] {
        assert_eq!(read_as(text, &columns, CsvDialect::default()).expect_err("nothing"), "no_header", "{text:?}");
        let headerless = CsvDialect { header: false, ..CsvDialect::default() };
        assert_eq!(read_as(text, &columns, headerless).expect_err("nothing"), "no_header", "{text:?}");
    }
    let headerless = CsvDialect { header: false, ..CsvDialect::default() };
    let block = read_as(b"x,y\nz,", &strings(&["column_1", "column_2"]), headerless).expect("reads");
    assert_eq!((texts(&block, 0), texts(&block, 1)), (vec![Some("x"), Some("z")], vec![Some("y"), None]));
}

#[test]
fn case_65_bytes_that_are_no_utf8_reject_their_row_and_other_encodings_their_file() {
    let columns = vec![Column::nullable("a", ColumnType::String), Column::nullable("b", ColumnType::Int64)];
    let block = read(b"\xEF\xBB\xBFa,b\nok,1\ncaf\xE9,2\n\x93\xFA\x96\x7B,3\nn\0l,4\nok,5\0\n", &columns);
    assert_eq!(texts(&block, 0), [Some("ok"), Some("n\0l")]);
    let wanted = [
        "value 'caf\u{fffd}' on column 'a' is not UTF-8",
        "value '\u{fffd}\u{fffd}\u{fffd}{' on column 'a' is not UTF-8",
        "value '5\\u{0}' on column 'b' is not Int64",
    ];
    let found: Vec<String> = messages(&block, &columns).into_iter().flat_map(|(_, texts)| texts).collect();
    assert_eq!(found[0], wanted[0]);
    assert_eq!(found[2], wanted[2]);
    assert_eq!((found.len(), raw(&block)), (3, vec![None, None, Some("ok,5\0")]));
    let utf16: Vec<u8> = "a,b\nx,1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for text in [utf16.clone(), [b"\xFF\xFE".to_vec(), utf16].concat(), b"caf\xE9,b\nx,1\n".to_vec()] {
        assert_eq!(read_as(&text, &columns, CsvDialect::default()).expect_err("encoding"), "encoding");
    }
}

#[test]
fn case_66_line_ends_of_all_kinds_end_records_and_blank_lines_are_none() {
    let columns = strings(&["a", "b"]);
    for text in [
        &b"a,b\n1,x\n2,y\n"[..],
        b"a,b\r\n1,x\r\n2,y\r\n",
        b"a,b\r1,x\r2,y\r",
        b"a,b\r1,x\n2,y\r\n",
        b"a,b\n1,x\n2,y",
        b"\n\na,b\n\n1,x\r\n\r\n\r\n2,y\n\n",
    ] {
        let block = read(text, &columns);
        assert_eq!((texts(&block, 0), block.records), (vec![Some("1"), Some("2")], 2), "{text:?}");
    }
    let block = read("a,b\n1\u{85},\"x\r\ny\"\n\u{2028}2,\"\n\"\n".as_bytes(), &columns);
    assert_eq!(texts(&block, 0), [Some("1\u{85}"), Some("\u{2028}2")]);
    assert_eq!(texts(&block, 1), [Some("x\r\ny"), Some("\n")]);
    // In a file with one column, too: an empty value is written as `""`, and a line of blanks is a value.
    let block = read(b"a\n1\n\n\"\"\n \n2\n", &strings(&["a"]));
    assert_eq!((texts(&block, 0), block.records), (vec![Some("1"), Some(""), Some(" "), Some("2")], 4));
}

#[test]
fn case_67_sizes_are_limited_before_memory_is_taken() {
    let columns = vec![Column::nullable("a", ColumnType::Int64), Column::nullable("b", ColumnType::Int64)];
    let long = [b"a,b\n1,1\n".to_vec(), vec![b'x'; 9 << 20]].concat();
    assert_eq!(read_as(&long, &columns, CsvDialect::default()).expect_err("too long"), "record_too_long");
    let header = [&[b','; 1_000_000][..], b"\n"].concat();
    assert_eq!(read_as(&header, &columns, CsvDialect::default()).expect_err("wide"), "too_many_columns");
    let wide = [b"a,b\n1,1\n", &header[..], b"2,2\n"].concat();
    let block = read(&wide, &columns);
    assert_eq!(messages(&block, &columns)[0].1, ["the record has 1000001 fields, the header has 2 fields"]);
    assert_eq!((block.rows.num_rows(), block.rejected.len()), (2, 1));
    for (line, good) in [("1,1\n", true), ("x,x\n", false), ("\"\",\n", true), ("1\n", false)] {
        let text = "a,b\n".to_owned() + &line.repeat(200_000);
        let block = read(text.as_bytes(), &columns);
        assert_eq!(block.rows.num_rows(), if good { 200_000 } else { 0 }, "{line}");
        assert!(block.memory_bytes() < 40 * text.len(), "{line}: {} of {}", block.memory_bytes(), text.len());
    }
}

#[test]
fn case_68_numbers_lose_nothing_or_are_rejected() {
    let columns = vec![Column::nullable("i", ColumnType::Int64), Column::nullable("f", ColumnType::Float64)];
    let good = b"i,f\n9223372036854775807,1e308\n-9223372036854775808,NaN\n007,-Infinity\n-0,-0\n";
    let block = read(good, &columns);
    assert_eq!(block.rows.column(0).as_primitive::<Int64Type>().values(), &[i64::MAX, i64::MIN, 7, 0]);
    let floats = block.rows.column(1).as_primitive::<Float64Type>().values();
    assert!(floats[1].is_nan() && floats[2] == f64::NEG_INFINITY && floats[3].is_sign_negative());
    let bad = ["9223372036854775808", "1e400", "0x1F", "1_000", "\"1,5\"", "1.5.", "1e-400", "NaN1", "1 000"];
    for column in ["i", "f"] {
        for cell in bad.iter().skip(usize::from(column == "f")) {
            let text = if column == "i" { format!("i,f\n{cell},1\n") } else { format!("i,f\n1,{cell}\n") };
            assert_eq!(read(text.as_bytes(), &columns).rejected.len(), 1, "{cell} in {column}");
        }
    }
}

#[test]
fn case_69_dates_are_dates_or_are_rejected() {
    let columns =
        vec![Column::nullable("d", ColumnType::Date), Column::nullable("t", ColumnType::DateTime64 { precision: 6 })];
    let block = read(b"d,t\n0001-01-01,9999-12-31 23:59:59.999999\n2024-02-29,2024-03-31T02:30:00\n", &columns);
    assert_eq!((block.rows.num_rows(), block.rejected.len()), (2, 0));
    for bad in ["2024-02-31", "0000-01-01", "294277-01-01", "1/2/3", "01.02.2024", "20240101", "1704067200000"] {
        let text = format!("d,t\n{bad},\n,{bad} 00:00:00\n,{bad}\n");
        assert_eq!(read(text.as_bytes(), &columns).rejected.len(), 3, "{bad}");
    }
}

#[test]
fn case_70_a_column_that_was_int_for_long_rejects_text_and_keeps_its_values() {
    let inferred = Column { origin: Origin::Inferred, ..Column::nullable("a", ColumnType::Int64) };
    let columns = vec![inferred, Column::nullable("b", ColumnType::String)];
    let text = "a,b\n".to_owned() + &"12345,x\n".repeat(1_000) + "A-7,x\n012,x\n12345.0,x\n8,x\n";
    let block = read(text.as_bytes(), &columns);
    assert_eq!((block.rows.num_rows(), block.rejected.ordinals.clone()), (1_001, vec![1_000, 1_001, 1_002]));
    let found: Vec<String> = messages(&block, &columns).into_iter().flat_map(|(_, texts)| texts).collect();
    let wanted = ["A-7", "012", "12345.0"].map(|value| format!("value '{value}' on column 'a' is not Int64"));
    assert_eq!(found, wanted);
}

#[test]
fn case_71_null_spellings_are_configured_and_quotes_make_them_text() {
    let dialect = |nulls: &[&str]| CsvDialect {
        nulls: nulls.iter().map(|text| (*text).to_owned()).collect(),
        nulls_configured: true,
        ..CsvDialect::default()
    };
    let columns = vec![Column::nullable("a", ColumnType::String), Column::nullable("b", ColumnType::Int64)];
    let text = b"a,b\nNA,NA\nnull,null\n\\N,\\N\n\"NA\",1\n,\n\"\",\"\"\n";
    let block = read_as(text, &columns, dialect(&["NA", "null", "\\N"])).expect("reads");
    assert_eq!(texts(&block, 0), [None, None, None, Some("NA"), None, Some("")]);
    assert_eq!(block.rows.column(1).null_count(), 5);
    let block = read(text, &columns);
    assert_eq!(texts(&block, 0), [Some("NA"), None, Some("")], "nothing is a null spelling by itself");
    assert_eq!(block.rejected.ordinals, [0, 1, 2]);
}

#[test]
fn case_72_other_delimiters_preambles_and_comments_are_never_guessed_while_decoding() {
    let columns = vec![Column::nullable("a", ColumnType::Float64), Column::nullable("b", ColumnType::Float64)];
    let semicolons = CsvDialect { delimiter: b';', ..CsvDialect::default() };
    let block = read_as(b"a;b\n1.5;2\n1,5;2\n# a comment\n", &columns, semicolons.clone()).expect("reads");
    assert_eq!((block.rows.num_rows(), block.rejected.ordinals.clone()), (1, vec![1, 2]));
    assert_eq!(messages(&block, &columns)[0].1, ["value '1,5' on column 'a' is not Float64"]);
    assert_eq!(read_as(b"a,b\n1,2\n", &columns, semicolons.clone()).expect_err("commas"), "delimiter");
    for text in [&b"a;b\n1;2\n"[..], b"a\tb\n1\t2\n", b"a|b\n1|2\n"] {
        assert_eq!(read_as(text, &columns, CsvDialect::default()).expect_err("no comma"), "delimiter");
    }
    let preamble = CsvDialect { skip_lines: 2, ..semicolons };
    let block = read_as(b"report; of \"today\n\na;b\n1;2\n", &columns, preamble).expect("reads");
    assert_eq!(block.rows.num_rows(), 1);
}

#[test]
fn case_73_hostile_texts_are_kept_to_the_letter_and_shown_with_their_controls_escaped() {
    let hostile = [
        "=cmd|'/C calc'!A0",
        "@SUM(1+1)*cmd",
        "<script>alert(1)</script>",
        "{{7*7}}",
        "\u{1b}[31mred",
        "\u{202e}txt.exe",
        "a\0b",
        "\u{feff}x",
        "Z\u{351}a\u{36b}l",
        "\u{1f468}\u{200d}\u{1f469}",
        "'; DROP TABLE x; --",
        "%s%n",
        "${jndi:ldap://x}",
        "\u{7f}\u{80}",
    ];
    let columns = vec![Column::nullable("a", ColumnType::String), Column::nullable("b", ColumnType::Int64)];
    let good: String = hostile.iter().map(|text| format!("\"{text}\",1\n")).collect();
    let block = read(("a,b\n".to_owned() + &good).as_bytes(), &columns);
    assert_eq!(texts(&block, 0), hostile.map(Some));
    let bad: String = hostile.iter().map(|text| format!("x,\"{text}\"\n")).collect();
    let block = read(("a,b\n".to_owned() + &bad).as_bytes(), &columns);
    assert_eq!(block.rejected.texts[1].iter().collect::<Vec<_>>(), hostile.map(Some));
    for (_, messages) in messages(&block, &columns) {
        assert!(!messages[0].contains(|letter: char| letter.is_control() || letter == '\u{202e}'), "{messages:?}");
    }
}
