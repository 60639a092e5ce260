//! Headers, and files that are no UTF-8 CSV.

use connector_core::csv::CsvDialect;
use connector_decode::csv::{CsvOptions, read_header};

use crate::support::names;

fn code(head: &[u8]) -> (&'static str, String) {
    let error = read_header(head, true, &CsvOptions::default()).expect_err("refused");
    (error.code, error.message)
}

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

#[test]
fn names_are_kept_as_the_file_spells_them() {
    let cases: [(&[u8], &[&str], usize, u64); 6] = [
        (b"a,b\n1,2\n", &["a", "b"], 4, 2),
        (b"\xEF\xBB\xBFa,b\r\n1,2\n", &["a", "b"], 8, 2),
        (b"\n\r\n a ,\"b,\nc\"\rx", &[" a ", "b,\nc"], 14, 5),
        (b"a,,a\n", &["a", "", "a"], 5, 2),
        (b"only", &["only"], 4, 1),
        ("prénom,名\n".as_bytes(), &["prénom", "名"], 12, 2),
    ];
    for (text, columns, body_offset, body_line) in cases {
        let header = read_header(text, true, &CsvOptions::default()).expect("reads").expect("whole");
        assert_eq!(header.columns, names(columns));
        assert_eq!((header.body_offset, header.body_line), (body_offset, body_line), "{columns:?}");
    }
}

#[test]
fn an_incomplete_header_asks_for_more_bytes_and_never_guesses() {
    let whole = b"\xEF\xBB\xBF\nfirst,\"sec\nond\"\n1,2\n";
    let end = whole.iter().rposition(|byte| *byte == b'1').expect("a body");
    for length in 0..whole.len() {
        let header = read_header(&whole[..length], false, &CsvOptions::default()).expect("reads");
        assert_eq!(header.is_some(), length >= end, "{length} bytes");
        if let Some(header) = header {
            assert_eq!(header.columns, names(&["first", "sec\nond"]));
        }
    }
}

#[test]
fn a_file_without_a_header_is_refused() {
    for text in [&b""[..], b"\n", b"\r\n\r\n", b"\xEF\xBB\xBF", b"\xEF\xBB\xBF\n"] {
        assert_eq!(code(text).0, "no_header", "{text:?}");
    }
}

#[test]
fn other_encodings_are_refused_by_name() {
    let le = utf16("a,b\n1,2\n", u16::to_le_bytes);
    let be = utf16("a,b\n1,2\n", u16::to_be_bytes);
    let le32: Vec<u8> = "ab,c\n1".chars().flat_map(|letter| (letter as u32).to_le_bytes()).collect();
    let be32: Vec<u8> = "ab,c\n1".chars().flat_map(|letter| (letter as u32).to_be_bytes()).collect();
    let with = |mark: &[u8], text: &[u8]| [mark, text].concat();
    let cases = [
        (with(b"\xFF\xFE", &le), "utf-16 (little endian, by its byte order mark)"),
        (with(b"\xFE\xFF", &be), "utf-16 (big endian, by its byte order mark)"),
        (with(b"\xFF\xFE\0\0", &le32), "utf-32 (little endian, by its byte order mark)"),
        (with(b"\0\0\xFE\xFF", &be32), "utf-32 (big endian, by its byte order mark)"),
        (le, "utf-16 (little endian, no byte order mark)"),
        (be, "utf-16 (big endian, no byte order mark)"),
        (le32, "utf-32 (little endian, no byte order mark)"),
        (be32, "utf-32 (big endian, no byte order mark)"),
        (b"a\0,b\n1,2\n".to_vec(), "binary data"),
        (b"\0\0\0\0\0\0\0\0".to_vec(), "binary data"),
        (b"caf\xE9,b\n1,2\n".to_vec(), "invalid bytes"),
        (b"\x1F\x8B\x08\0\0\0".to_vec(), "gzip"),
        (b"PAR1\x15\0\x15".to_vec(), "parquet"),
    ];
    for (text, name) in cases {
        let (code, message) = code(&text);
        assert_eq!(code, "encoding", "{name}");
        assert!(message.contains(name), "{message}");
    }
    assert!(read_header(b"PAR1,b\n1,2\n", true, &CsvOptions::default()).is_ok(), "a column may be called PAR1");
    assert!(
        read_header(b"a,b\n1,\0\n", true, &CsvOptions::default()).is_ok(),
        "a NUL in a cell is the cell's business"
    );
}

#[test]
fn limits_of_the_header_are_held() {
    let many = vec!["c"; 2_001].join(",") + "\n";
    assert_eq!(code(many.as_bytes()).0, "too_many_columns");
    assert_eq!(code(b"a,\"b\n1,2\n").0, "unterminated_quote");
    let options = CsvOptions { max_record_bytes: 8, ..CsvOptions::default() };
    let error = read_header(b"aaaaaaaaaaaaaa", false, &options).expect_err("too long");
    assert_eq!(error.code, "record_too_long");
}

#[test]
fn a_file_without_a_header_has_columns_by_position_and_keeps_its_first_record() {
    let options = CsvOptions::new(CsvDialect { header: false, ..CsvDialect::default() });
    let cases: [(&[u8], usize, usize, u64); 5] = [
        (b"1,2\n3,4\n", 2, 0, 1),
        (b"\xEF\xBB\xBF\n\r\n\"1\n\",2,\n", 3, 6, 3),
        (b"a;b\n", 1, 0, 1),
        (b"\xFF,\0", 2, 0, 1),
        (b"\"\"\n", 1, 0, 1),
    ];
    for (text, columns, body_offset, body_line) in cases {
        let header = read_header(text, true, &options).expect("reads").expect("whole");
        let wanted: Vec<String> = (1..=columns).map(|index| format!("column_{index}")).collect();
        assert_eq!((header.columns, header.body_offset, header.body_line), (wanted, body_offset, body_line));
    }
    assert_eq!(read_header(b"1,2", false, &options).expect("reads"), None, "the first record may go on");
    assert_eq!(read_header(b"\n", true, &options).expect_err("no record").code, "no_header");
}

#[test]
fn skipped_lines_are_those_between_line_ends_whatever_is_in_them() {
    let options = |skip_lines| CsvOptions::new(CsvDialect { skip_lines, ..CsvDialect::default() });
    let text = b"\xEF\xBB\xBFreport \"x\r\n\n# \xFF\ra,b\n1,2\n";
    let header = read_header(text, true, &options(3)).expect("reads").expect("whole");
    assert_eq!((header.columns, header.body_offset, header.body_line), (names(&["a", "b"]), 23, 5));
    for length in 0..text.len() - 4 {
        assert_eq!(read_header(&text[..length], false, &options(3)).expect("reads"), None, "{length} bytes");
    }
    assert_eq!(read_header(text, true, &options(5)).expect_err("nothing left").code, "no_header");
    assert_eq!(read_header(text, true, &options(6)).expect_err("nothing left").code, "no_header");
    let short = CsvOptions { max_record_bytes: 5, ..options(1) };
    assert_eq!(read_header(b"too long a line", false, &short).expect_err("too long").code, "record_too_long");
}

#[test]
fn a_header_with_another_usual_delimiter_is_refused_unless_it_is_in_quotes() {
    let options = |delimiter| CsvOptions::new(CsvDialect { delimiter, ..CsvDialect::default() });
    for (delimiter, text) in [(b',', "a;b\n"), (b',', "a\tb"), (b',', "a|b"), (b';', "a,b\n"), (b'\t', "a;b")] {
        let error = read_header(text.as_bytes(), true, &options(delimiter)).expect_err("refused");
        assert_eq!(error.code, "delimiter", "{text}");
        let expected = format!("{:?}", char::from(delimiter));
        assert!(error.message.contains(&expected) && error.message.contains("IMPORT_CSV_DELIMITER"), "{error}");
    }
    for (delimiter, text) in [(b';', "a;b,c\n"), (b',', "\"a;b\"\n"), (b'|', "a b")] {
        assert!(read_header(text.as_bytes(), true, &options(delimiter)).is_ok(), "{text}");
    }
}
