//! The splitter against the `csv` crate.

use bytes::Bytes;
use connector_core::csv::CsvDialect;
use connector_core::error::{ErrorClass, Failure};
use connector_decode::csv::{CsvOptions, RawBlock, Splitter, read_header};
use proptest::prelude::*;

use crate::reference;
use crate::support::{ends_in_quotes, records};

/// Bytes that are mostly those with a meaning.
fn csvish() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => Just(b'"'), 3 => Just(b','), 2 => Just(b'\n'), 2 => Just(b'\r'), 4 => prop::sample::select(b"ab \\;'\t".to_vec()),
        1 => prop::sample::select(vec![0u8, 0xEF, 0xBB, 0xBF, 0xFF]),
    ];
    let piece = prop_oneof![
        6 => byte.prop_map(|byte| vec![byte]),
        1 => Just(b"\xEF\xBB\xBFx,y\n".to_vec()),
        1 => Just(b"\"a\"\"b\nc\",d\r\n".to_vec()),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Feeds the input in pieces of these sizes, over and over, and takes all blocks.
fn split(input: &[u8], sizes: &[usize], target: usize, options: &CsvOptions) -> Result<Vec<RawBlock>, Failure> {
    split_with(Splitter::new(options), input, sizes, target)
}

fn split_with(mut splitter: Splitter, input: &[u8], sizes: &[usize], target: usize) -> Result<Vec<RawBlock>, Failure> {
    let (mut blocks, mut at) = (Vec::new(), 0);
    for size in sizes.iter().cycle() {
        let end = (at + size).min(input.len());
        splitter.push(Bytes::copy_from_slice(&input[at..end]));
        at = end;
        while let Some(block) = splitter.next_block(target)? {
            blocks.push(block);
        }
        if at == input.len() {
            break;
        }
    }
    blocks.extend(splitter.finish()?);
    Ok(blocks)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn blocks_are_the_input_cut_between_records(
        input in csvish(),
        sizes in prop::collection::vec(1usize..20, 1..5),
        target in 1usize..40,
        most in 1usize..20,
    ) {
        let splitter = Splitter::new(&CsvOptions::default()).for_columns((4 << 20) / most);
        let blocks = split_with(splitter, &input, &sizes, target).expect("splits");
        let reference = reference::read(&input, b',', Some(b'"'));
        let mut offset = 0;
        for (index, block) in blocks.iter().enumerate() {
            prop_assert_eq!(block.offset, offset);
            prop_assert_eq!(block.line, reference.lines[offset as usize]);
            let cut = if index + 1 == blocks.len() { reference.open_quote } else { None };
            prop_assert_eq!(block.unterminated, cut);
            prop_assert!(!block.bytes.is_empty());
            // What is left at the end may be a block of its own and one record without a line end.
            let last = index + 1 == blocks.len();
            prop_assert!(block.bytes.len() <= target || last || records(&block.bytes).len() <= 1, "too large");
            prop_assert!(records(&block.bytes).len() <= most + usize::from(last), "too many");
            offset += block.bytes.len() as u64;
        }
        let joined: Vec<u8> = blocks.iter().flat_map(|block| block.bytes.to_vec()).collect();
        prop_assert_eq!(&joined, &input);
        let split_records: Vec<_> = blocks.iter().flat_map(|block| records(&block.bytes)).collect();
        prop_assert_eq!(split_records, records(&input));
        prop_assert_eq!(reference.open_quote.is_some(), ends_in_quotes(&input));
    }

    #[test]
    fn no_block_is_needlessly_small(rows in prop::collection::vec("[a-z]{1,9}", 1..200), target in 20usize..200) {
        let input = rows.join("\n") + "\n";
        let blocks = split(input.as_bytes(), &[37], target, &CsvOptions::default()).expect("splits");
        for pair in blocks.windows(2) {
            let next = pair[1].bytes.iter().position(|byte| *byte == b'\n').expect("a record") + 1;
            prop_assert!(pair[0].bytes.len() + next > target);
        }
    }
}

#[test]
fn a_block_within_one_piece_shares_its_memory() {
    let piece = Bytes::from(b"aa\nbb\ncc\n".to_vec());
    let mut splitter = Splitter::new(&CsvOptions::default());
    splitter.push(piece.clone());
    let block = splitter.next_block(6).expect("splits").expect("a block");
    assert_eq!(&block.bytes[..], b"aa\nbb\n");
    assert_eq!(block.bytes.as_ptr(), piece.as_ptr());
}

#[test]
fn an_open_quote_is_told_with_its_line_and_the_records_before_it_are_whole() {
    let text = b"a,b\n1,\"x\ny\"\n2,\"never\n3,4\n5,6\n";
    let options = CsvOptions::default();
    let header = read_header(text, true, &options).expect("reads").expect("a header");
    let mut splitter = Splitter::after_header(&options, &header);
    splitter.push(Bytes::from_static(text).slice(header.body_offset..));
    let block = splitter.next_block(1).expect("splits").expect("a block");
    assert_eq!((&block.bytes[..], block.offset, block.line), (&b"1,\"x\ny\"\n"[..], 4, 2));
    assert_eq!(block.unterminated, None);
    let block = splitter.finish().expect("splits").expect("a block");
    assert_eq!((&block.bytes[..], block.offset, block.line), (&b"2,\"never\n3,4\n5,6\n"[..], 12, 4));
    assert_eq!(block.unterminated, Some(4));
}

#[test]
fn lines_are_counted_over_all_line_ends_and_piece_borders() {
    let text = b"a\r\nb\rc\nd\r\n\"open";
    for size in 1..text.len() {
        let blocks = split(text, &[size], 1, &CsvOptions::default()).expect("splits");
        assert_eq!(blocks.last().and_then(|block| block.unterminated), Some(5), "pieces of {size}");
    }
}

#[test]
fn a_record_that_is_too_long_is_refused_before_it_is_whole() {
    let options = CsvOptions { max_record_bytes: 10, ..CsvOptions::default() };
    assert!(split(b"123456789\n123456789\n", &[3], 100, &options).is_ok());
    let error = split(b"12345\n1234567890\n", &[3], 1, &options).expect_err("too long");
    assert_eq!((error.class, error.code), (ErrorClass::Data, "record_too_long"));
    assert!(error.message.contains("byte 6 (line 2)"), "{}", error.message);
    let mut endless = Splitter::new(&options);
    endless.push(Bytes::from_static(b"1,\"234567890123456"));
    let error = endless.next_block(1).expect_err("too long");
    assert!(error.message.contains("a quote opens at byte 2"), "{}", error.message);
}

#[test]
fn other_delimiters_and_quotes_are_honoured() {
    let options = |quote| CsvOptions::new(CsvDialect { delimiter: b';', quote, ..CsvDialect::default() });
    let blocks = split(b"a;'b\nc'\nd,'e\n", &[4], 1, &options(Some(b'\''))).expect("splits");
    let texts: Vec<&[u8]> = blocks.iter().map(|block| &block.bytes[..]).collect();
    assert_eq!(texts, [&b"a;'b\nc'\n"[..], b"d,'e\n"]);
    let blocks = split(b"a;'b\n\"c\nd\"", &[4], 1, &options(None)).expect("splits");
    let texts: Vec<&[u8]> = blocks.iter().map(|block| &block.bytes[..]).collect();
    assert_eq!(texts, [&b"a;'b\n"[..], b"\"c\n", b"d\""]);
}
