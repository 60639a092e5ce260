//! NDJSON against whoever writes it badly: broken lines, limits, borders of chunks, and a second reader as oracle.

use std::sync::Arc;

use bytes::Bytes;
use connector_core::block::{Block, MAX_RAW_BYTES};
use connector_core::schema::TableSchema;
use connector_core::types::ColumnType;
use connector_decode::csv::RawBlock;
use connector_decode::infer::Sample;
use connector_decode::ndjson::{self, LineSplitter, NdjsonDecoder};
use connector_decode::path::{Path, Step};
use connector_decode::text::{TextDecoder, TextSplitter};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::ndjson::{block_of, decode_with, messages, plan_of, sources, texts};

fn decode(schema: &TableSchema, text: impl Into<Bytes>) -> Block {
    decode_with(schema, plan_of(schema), &[], text)
}

/// The message of the only record of this file.
fn refusal(bytes: impl Into<Bytes>) -> String {
    let schema = sources(&[("a", ColumnType::String), ("n.x", ColumnType::String)]);
    let block = decode(&schema, bytes);
    match messages(&block, &schema).pop() {
        Some((0, messages)) if messages.len() == 1 => messages[0].clone(),
        other => panic!("{other:?} of {} records", block.records),
    }
}

#[test]
fn a_line_that_is_no_object_is_one_rejected_row_with_its_place() {
    let cases: [(&[u8], &str); 17] = [
        (b"[1,2]", "it begins with '[' at column 1"),
        (b"  \"text\"", "it begins with '\"' at column 3"),
        (b"12", "it begins with '1' at column 1"),
        (b"null", "it begins with 'n' at column 1"),
        (b"id,name", "it begins with 'i' at column 1"),
        (b"{\"a\":1", "EOF while parsing an object at column 6"),
        (b"{\"a\":1}}", "trailing characters at column 8"),
        (b"{\"a\":1} {\"a\":2}", "trailing characters at column 9"),
        (b"{\"a\":01}", "invalid number at column 7"),
        (b"{\"a\":NaN}", "expected value at column 6"),
        (b"{'a':1}", "key must be a string at column 2"),
        (b"{\"a\":1,}", "trailing comma at column 8"),
        (b"{\"a\":\"\xFF\"}", "it has bytes that are not utf-8 at column 7"),
        (b"{\"a\":\"\t\"}", "control character (\\u0000-\\u001F) found while parsing a string at column 6"),
        (b"{\"a\":1,\"a\":1}", "it has the key 'a' more than once at column 12"),
        (b"{\"a\":1,\"n\":{\"x\":1,\"\\u0078\":2}}", "it has the key 'x' more than once at column 28"),
        (b"{\"a\":\"x\\ud800y\"}", "at column"),
    ];
    for (line, wanted) in cases {
        let message = refusal(line);
        assert!(message.starts_with("the record is not a JSON object: "), "{message}");
        assert!(message.ends_with(wanted) || (wanted == "at column" && message.contains(wanted)), "{message}");
    }
    for half in ["\\ud800", "\\udc00", "\\ud800\\ud800", "\\ud83d\\u0041"] {
        assert!(refusal(format!("{{\"a\":\"{half}\"}}")).contains("hex escape"), "{half}");
        assert!(refusal(format!("{{\"{half}\":1}}")).contains("hex escape"), "{half}");
    }
}

#[test]
fn broken_lines_leave_the_rows_around_them_alone() {
    let schema = sources(&[("a", ColumnType::Int64)]);
    let text = b"\xEF\xBB\xBF{\"a\":1}\r\n\xEF\xBB\xBF{\"a\":2}\n{\"a\":\n}\n\0\n{\"a\":3}\n{\"a\":4";
    let block = decode(&schema, text.as_slice());
    assert_eq!(block.records, 7);
    assert_eq!(block.row_ordinals(0).collect::<Vec<_>>(), [0, 5]);
    let of_bom = &messages(&block, &schema)[0].1[0];
    assert!(of_bom.contains("it begins with '\\u{feff}'"), "{of_bom}");
    assert_eq!(block.rejected.raw.value(4), "{\"a\":4");
}

#[test]
fn nesting_has_an_end_and_no_stack_overflows() {
    let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{{\"a\":{}1{}}}", "{\"k\":".repeat(depth), "}".repeat(depth));
    let schema = sources(&[("a", ColumnType::String), ("unused", ColumnType::String)]);
    for text in [nested(127), objects(127)] {
        assert_eq!(decode(&schema, text).rejected.len(), 0);
    }
    for text in [nested(128), objects(128), nested(1_000_000), objects(200_000), "{\"a\":".repeat(1_000_000)] {
        assert!(refusal(text).contains("nests deeper than 128"));
    }
    let brackets = format!("{{\"a\":\"{}\"}}", "[{\\\"".repeat(1_000));
    assert_eq!(decode(&schema, brackets).rejected.len(), 0, "brackets in a text do not nest");
    // Keys that no column takes are looked into, too.
    let unknown = objects(127).replacen("\"a\"", "\"u\"", 1);
    assert!(refusal(unknown).contains("column 'u.k.k."));
}

#[test]
fn huge_texts_are_kept_whole_and_huge_records_are_not_kept_twice() {
    let schema = sources(&[("a", ColumnType::String)]);
    let long = "é".repeat(3 << 20);
    let block = decode(&schema, format!("{{\"a\":\"{long}\"}}\n{{\"a\":\"{long}\",\"z\":1}}\n"));
    assert_eq!(texts(&block, 0)[0].as_deref(), Some(long.as_str()));
    assert_eq!(block.rejected.len(), 1);
    assert!(arrow::array::Array::is_null(&block.rejected.raw, 0), "longer than {MAX_RAW_BYTES}");
    assert_eq!(block.rejected.texts[0].value(0).len(), long.len());
}

#[test]
fn wide_tables_get_small_blocks() {
    let lines = "{}\n".repeat(10_000);
    let mut splitter = LineSplitter::new(2_000);
    splitter.push(Bytes::from(lines));
    let block = splitter.next_block(1 << 20).expect("splits").expect("a block");
    assert_eq!(block.bytes.len(), 3 * 2_097);
    assert_eq!(splitter.next_block(1 << 20).expect("splits").map(|block| block.line), Some(2_098));
}

#[test]
fn a_record_that_is_too_long_fails_the_file() {
    let limit = 100;
    for (text, line) in [(format!("{{}}\n{{\"a\":\"{}\"}}\n", "x".repeat(100)), 2), ("x".repeat(101), 1)] {
        for chunk in [1, 7, 1_000] {
            let mut splitter = LineSplitter::with_limit(1, limit);
            text.as_bytes().chunks(chunk).for_each(|piece| splitter.push(Bytes::copy_from_slice(piece)));
            let mut outcome = splitter.next_block(1_000);
            if let Ok(None) = outcome {
                outcome = splitter.finish();
            }
            let error = outcome.expect_err("too long");
            assert_eq!(error.code, "record_too_long");
            assert!(error.message.contains(&format!("(line {line})")), "{error}");
        }
    }
    let mut splitter = LineSplitter::with_limit(1, limit);
    splitter.push(Bytes::from(format!("{}\n", "x".repeat(99))));
    assert!(splitter.next_block(1).expect("just fits").is_some());
}

#[test]
fn naughty_strings_go_through_as_keys_and_values() {
    let Some(corpora) = std::env::var_os("CORPORA_DIR").map(std::path::PathBuf::from) else {
        println!("not run: corpora");
        return;
    };
    let file = std::fs::read(corpora.join("naughty-strings/blns.json")).expect("reads");
    let strings: Vec<String> = serde_json::from_slice(&file).expect("json");
    assert!(strings.len() > 400);
    let lines: String = strings.iter().map(|text| json!({ "text": text }).to_string() + "\n").collect();
    let inferred = ndjson::infer(&Sample { head: lines.clone().into(), whole_file: true, pieces: Vec::new() });
    let schema = inferred.expect("infers").schema;
    let block = decode(&schema, lines);
    let wanted: Vec<Option<String>> = strings.iter().cloned().map(Some).collect();
    assert_eq!(texts(&block, 0), wanted);
    let keys: std::collections::BTreeSet<&String> = strings.iter().collect();
    let record: Map<String, Value> = keys.iter().map(|key| ((*key).clone(), json!(key))).collect();
    let line = Value::Object(record).to_string();
    let inferred = ndjson::infer(&Sample { head: line.clone().into(), whole_file: true, pieces: Vec::new() });
    let inferred = inferred.expect("infers");
    assert_eq!(inferred.schema.columns.len(), keys.len());
    let block = decode(&inferred.schema, line);
    assert_eq!(block.rejected.len(), 0, "{:?}", messages(&block, &inferred.schema));
    for (index, column) in inferred.schema.columns.iter().enumerate().filter(|(_, c)| c.ty == ColumnType::String) {
        let key = keys.iter().find(|key| texts(&block, index)[0].as_deref() == Some(key.as_str()));
        assert!(key.is_some(), "{}", column.source);
    }
}

/// JSON values whose numbers print as they were written.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        ".{0,6}".prop_map(Value::from),
        "[\\x00-\\x7f\\u{d7ff}😀\"\\\\]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            2 => object(inner),
        ]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn record() -> impl Strategy<Value = Value> {
    object(value())
}

/// Prints a value with blanks and escapes that mean nothing, decided by `noise`.
fn noisy(value: &Value, noise: &mut impl Iterator<Item = u8>) -> String {
    let mut blank = || ["", " ", "\t", "  "][usize::from(noise.next().unwrap_or(0)) % 4];
    let (before, after) = (blank(), blank());
    let inside = match value {
        Value::String(text) => noisy_text(text, noise),
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| noisy(element, noise)).collect();
            format!("[{}]", if elements.is_empty() { " ".to_owned() } else { elements.join(",") })
        }
        Value::Object(members) => {
            let member =
                |(key, value): (&String, &Value)| format!("{}:{}", noisy_text(key, noise), noisy(value, noise));
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    };
    format!("{before}{inside}{after}")
}

fn noisy_text(text: &str, noise: &mut impl Iterator<Item = u8>) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        if letter < ' ' || matches!(letter, '"' | '\\') || noise.next().unwrap_or(0).is_multiple_of(3) {
            let mut units = [0; 2];
            letter.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(letter);
        }
    }
    out + "\""
}

/// What a path leads to.
fn navigate(value: &Value, steps: &[Step]) -> Value {
    match (steps.split_first(), value) {
        (None, value) => value.clone(),
        (Some((Step::Key(key), rest)), Value::Object(members)) => {
            members.get(key).map_or(Value::Null, |value| navigate(value, rest))
        }
        _ => Value::Null,
    }
}

/// Whether some value has no column: `paths` are those of all columns.
fn has_unknown(value: &Value, at: &mut Vec<String>, paths: &[Path]) -> bool {
    let here = Path::of_keys(at.iter().cloned());
    if paths.contains(&here) || value.is_null() {
        return false;
    }
    let Value::Object(members) = value else { return true };
    members.iter().any(|(key, value)| {
        at.push(key.clone());
        let unknown = has_unknown(value, at, paths);
        at.pop();
        unknown
    })
}

fn source() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-d]", 1..4).prop_map(|keys| keys.join("."))
}

fn check_cell(value: &Value, cell: Option<&str>) -> Result<(), TestCaseError> {
    match (value, cell) {
        (Value::Null, cell) => prop_assert_eq!(cell, None),
        (Value::String(text), cell) => prop_assert_eq!(Some(text.as_str()), cell),
        (Value::Array(_) | Value::Object(_), Some(cell)) => {
            prop_assert_eq!(value, &serde_json::from_str::<Value>(cell).expect("json"));
        }
        (value, cell) => prop_assert_eq!(Some(value.to_string()), cell.map(str::to_owned)),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_value_is_the_one_that_another_reader_finds(
        records in prop::collection::vec(record(), 1..6),
        paths in prop::collection::btree_set(source(), 1..6),
        whole in any::<bool>(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut columns: Vec<(&str, ColumnType)> = paths.iter().map(|path| (path.as_str(), ColumnType::String)).collect();
        if whole {
            columns.push(("$", ColumnType::Json));
        }
        let schema = sources(&columns);
        let mut noise = noise.into_iter();
        let lines: Vec<String> = records.iter().map(|record| noisy(record, &mut noise)).collect();
        let block = decode(&schema, lines.join("\n"));
        prop_assert_eq!(block.records, records.len() as u64);
        let paths: Vec<Path> = columns.iter().map(|(source, _)| Path::of_source(source)).collect();
        let good: Vec<u64> = block.row_ordinals(0).collect();
        let mut rows = 0;
        for (ordinal, record) in records.iter().enumerate() {
            let unknown = has_unknown(record, &mut Vec::new(), &paths);
            prop_assert_eq!(good.contains(&(ordinal as u64)), !unknown, "{}", record);
            let bad = block.rejected.ordinals.iter().position(|rejected| *rejected == ordinal as u64);
            for (column, path) in paths.iter().enumerate() {
                let found = navigate(record, path.steps());
                let row = block.rows.column(column);
                let cell = match bad {
                    None => arrow::array::AsArray::as_string::<i32>(row).iter().nth(rows).flatten(),
                    Some(bad) => block.rejected.texts[column].iter().nth(bad).flatten(),
                };
                check_cell(&found, cell)?;
            }
            rows += usize::from(bad.is_none());
        }
    }

    #[test]
    fn a_schema_that_is_inferred_from_a_file_reads_that_file(
        records in prop::collection::vec(record(), 1..8),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut noise = noise.into_iter();
        let text: String = records.iter().map(|record| noisy(record, &mut noise) + "\n").collect();
        let sample = Sample { head: text.clone().into(), whole_file: true, pieces: Vec::new() };
        let inferred = match ndjson::infer(&sample) {
            Ok(inferred) => inferred,
            Err(error) => {
                prop_assert_eq!(error.code, if records.is_empty() { "no_records" } else { "no_columns" });
                return Ok(());
            }
        };
        let block = decode(&inferred.schema, text);
        prop_assert_eq!(block.rejected.len(), 0, "{:?}", messages(&block, &inferred.schema));
        prop_assert_eq!(inferred.evidence.len(), inferred.schema.columns.len());
        for evidence in &inferred.evidence {
            prop_assert_eq!(evidence.values + evidence.nulls, records.len() as u64, "{:?}", evidence);
        }
    }

    #[test]
    fn damaged_lines_are_good_exactly_if_another_reader_says_so(
        record in record(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut line = record.to_string().into_bytes();
        for (at, byte) in damage {
            let at = at.index(line.len());
            line[at] = byte;
        }
        line.retain(|byte| !matches!(byte, b'\n' | b'\r'));
        let schema = sources(&[("$", ColumnType::Json)]);
        let block = decode(&schema, line.clone());
        let oracle = serde_json::from_slice::<Value>(&line);
        let messages = messages(&block, &schema);
        if let Ok(Value::Object(_)) = &oracle {
            let twice = messages.iter().all(|(_, messages)| messages[0].contains("more than once"));
            prop_assert!(twice, "{:?}", messages);
        }
        if block.rows.num_rows() == 1 {
            let text = texts(&block, 0)[0].clone().unwrap_or_default();
            prop_assert_eq!(text.as_bytes(), line.trim_ascii());
            prop_assert_eq!(text.as_bytes()[0], b'{');
            prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_rows_or_rejected_rows(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let schema = sources(&[("a", ColumnType::Int64), ("a.b", ColumnType::String), ("c[:].d", ColumnType::String)]);
        let block = decode(&schema, bytes.clone());
        let blank = |line: &&[u8]| !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        let lines = bytes.split(|byte| *byte == b'\n').filter(blank).count();
        prop_assert_eq!(block.records, lines as u64);
        let _ = ndjson::infer(&Sample { head: bytes.clone().into(), whole_file: false, pieces: vec![bytes.into()] });
    }

    #[test]
    fn borders_of_chunks_change_nothing(
        text in prop::collection::vec(prop_oneof![3 => "\\{\"a\":[0-9]{1,6}\\}", 1 => "[a-z ]{0,9}"], 0..30),
        ends in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        target in 1usize..60,
    ) {
        let text = text.join("\n") + if ends { "\n" } else { "" };
        let whole = split(&[text.as_bytes()], target);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&split(&pieces, target), &whole);
        let joined: Vec<u8> = whole.iter().flat_map(|block| block.bytes.to_vec()).collect();
        prop_assert_eq!(joined, text.as_bytes());
        for (at, block) in whole.iter().enumerate() {
            let before = &text.as_bytes()[..block.offset as usize];
            prop_assert_eq!(block.line, 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64);
            prop_assert!(at + 1 == whole.len() || block.bytes.ends_with(b"\n"));
            let lines = block.bytes.iter().filter(|byte| **byte == b'\n').count();
            prop_assert!(block.bytes.len() <= target || lines <= 1 || at + 1 == whole.len());
        }
        let schema = Arc::new(sources(&[("a", ColumnType::Int64)]));
        let plan = Arc::new(plan_of(&schema));
        let decoder = NdjsonDecoder::new(schema, plan, Arc::from([]), Timestamp::UNIX_EPOCH);
        let decoder = TextDecoder::Ndjson(decoder);
        let count = |block: &RawBlock| decoder.decode(block).expect("decodes").records;
        prop_assert_eq!(whole.iter().map(count).sum::<u64>(), count(&block_of(text)));
    }
}

/// The blocks of a file that comes in these pieces, asked for after every piece.
fn split(pieces: &[&[u8]], target: usize) -> Vec<RawBlock> {
    let mut splitter = TextSplitter::Ndjson(LineSplitter::new(1));
    let mut blocks = Vec::new();
    for piece in pieces {
        splitter.push(Bytes::copy_from_slice(piece));
        while let Some(block) = splitter.next_block(target).expect("splits") {
            blocks.push(block);
        }
    }
    blocks.extend(splitter.finish().expect("ends"));
    blocks
}
