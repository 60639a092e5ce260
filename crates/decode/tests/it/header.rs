//! Headers, and files that are no UTF-8 CSV.

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
