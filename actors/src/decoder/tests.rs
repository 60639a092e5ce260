//! Reading one object: what it is, what is looked at of it, and what its parts are.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use connector_core::clock::SystemClock;
use connector_core::credit::{DEFAULT_BUDGET, MIN_BUDGET, Seat};
use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::error::Failure;
use connector_core::evolve::{FilePlan, FileShape};
use connector_core::ids::{Generation, ObjectVersionId};
use connector_core::ports::{ListPage, ObjectSource, PortResult};
use connector_core::schema::TableSchema;
use connector_decode::compress::Compression;
use connector_decode::{Pool, StuckRules};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::content::{self, Content};
use super::fetch::Part;
use super::marks::Marks;
use super::probe::{Probe, Verdict};
use super::sizing::{PartSize, Sizing};
use super::unpack::{self, Packed};
use super::*;
use crate::credit::CreditPool;

/// For files of which none is a suspect.
struct NoProbe;

#[async_trait]
impl Probe for NoProbe {
    async fn vet(&self, _: &ProbeJob, _: Arc<std::fs::File>) -> Result<Verdict, Failure> {
        panic!("no file is a suspect")
    }
}

/// A gate whose marks cost nothing.
fn open_gate() -> Gate {
    let marks = Marks::new(Box::new(|_, _| futures::FutureExt::boxed(async { Ok(()) })));
    Gate::with_marks(marks, ImportLabels::new("test", "orders"))
}

/// One object in memory that notes what is read of it.
struct Object {
    bytes: Bytes,
    reads: Mutex<Vec<Range<u64>>>,
}

#[async_trait]
impl ObjectSource for Object {
    async fn list_page(&self, _: &str, _: Option<&str>) -> PortResult<ListPage> {
        Ok(ListPage::default())
    }

    async fn read_range(&self, _: &ObjectRef, range: Range<u64>) -> PortResult<Bytes> {
        assert!(range.start < range.end, "a read of nothing");
        self.reads.lock().expect("lock").push(range.clone());
        Ok(self.bytes.slice(range.start as usize..range.end as usize))
    }
}

fn object(key: &str, size: usize) -> ObjectRef {
    ObjectRef {
        id: ObjectVersionId([0; 16]),
        bucket: "bucket".into(),
        key: key.into(),
        etag: "etag".into(),
        size: size as u64,
        last_modified: Timestamp::UNIX_EPOCH,
        attempts: 0,
        suspect: false,
        strikes: 0,
    }
}

fn reader_within(credit: &CreditPool, key: &str, bytes: impl Into<Bytes>) -> (Reader, Arc<Object>) {
    reader_on(Pool::new(2), credit, key, bytes)
}

fn reader_on(pool: Pool, credit: &CreditPool, key: &str, bytes: impl Into<Bytes>) -> (Reader, Arc<Object>) {
    let world = World {
        clock: Arc::new(SystemClock),
        io: tokio::runtime::Handle::current(),
        pool,
        credit: credit.clone(),
        spool: std::env::temp_dir().into(),
        probe: Arc::new(NoProbe),
    };
    let source = Arc::new(Object { bytes: bytes.into(), reads: Mutex::default() });
    let object = object(key, source.bytes.len());
    (Reader::new(world, Arc::clone(&source) as Arc<dyn ObjectSource>, credit.enter(Seat(0)), object), source)
}

fn reader(bytes: impl Into<Bytes>) -> Reader {
    reader_within(&CreditPool::new(DEFAULT_BUDGET, 1), "a/key", bytes).0
}

/// Of a suspect; and how often it was read so far.
pub(super) fn suspect(bytes: Vec<u8>) -> (Reader, impl Fn() -> usize) {
    let (mut reader, source) = reader_within(&CreditPool::new(DEFAULT_BUDGET, 1), "a/key", bytes);
    reader.object.suspect = true;
    (reader, move || source.reads.lock().expect("lock").len())
}

/// Valid gzip data that are not compressed: stored blocks.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = b"\x1F\x8B\x08\0\0\0\0\0\0\xFF".to_vec();
    let mut blocks = text.chunks(0xFFFF).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes().into_iter().chain((!length).to_le_bytes()));
        out.extend_from_slice(block);
    }
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    let crc = text.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step));
    out.extend((!crc).to_le_bytes().into_iter().chain((text.len() as u32).to_le_bytes()));
    out
}

/// Lines that differ, this many bytes of them.
fn text(bytes: usize) -> Vec<u8> {
    let mut text: Vec<u8> = (0u64..).flat_map(|n| format!("{n},{}\n", n * n).into_bytes()).take(bytes - 1).collect();
    text.push(b'\n');
    text
}

fn csv_with(body: &[u8]) -> Vec<u8> {
    [b"number,square\n", body].concat()
}

async fn shape_of(bytes: impl Into<Bytes>, format: Format) -> Result<FileShape, &'static str> {
    let inspected =
        inspection::inspect(&reader(bytes), format, CsvDialect::default(), Arc::new(TableSchema::new(Vec::new())))
            .await;
    inspected.map(|inspected| inspected.shape).map_err(|failure| failure.code)
}

async fn names_of(bytes: impl Into<Bytes>, format: Format) -> Result<Vec<String>, &'static str> {
    shape_of(bytes, format).await.map(|shape| shape.names())
}

fn names<const N: usize>(names: [&str; N]) -> Result<Vec<String>, &'static str> {
    Ok(names.map(str::to_owned).to_vec())
}

#[tokio::test]
async fn a_file_of_text_brings_the_columns_of_its_header_or_its_records() {
    let csv = b"a,b\n1,x\n";
    assert_eq!(names_of(&csv[..], Format::Csv).await, names(["a", "b"]));
    assert_eq!(names_of(&csv[..4], Format::Csv).await, names(["a", "b"]));
    assert_eq!(names_of(gzip(csv), Format::Csv).await, names(["a", "b"]));
    let ndjson = b"{\"a\": 1}\n{\"b\": true}\n";
    assert_eq!(names_of(&ndjson[..], Format::Ndjson).await, names(["a", "b"]));
    assert_eq!(names_of(gzip(ndjson), Format::Ndjson).await, names(["a", "b"]));
}

#[tokio::test]
async fn a_file_without_records_brings_no_columns_and_lacks_none() {
    let without = [&b"\n"[..], b"\r\n\n\r\n", b"\xEF\xBB\xBF", b"\xEF\xBB\xBF\n"];
    for bytes in without {
        for format in [Format::Csv, Format::Ndjson] {
            let shape = shape_of(bytes, format).await;
            assert_eq!(shape, Ok(FileShape { columns: vec![], has_header: false }), "{format:?} {bytes:?}");
        }
    }
    assert_eq!(names_of(gzip(b"\n"), Format::Csv).await, names([]));
}

#[tokio::test]
async fn what_is_not_readable_fails_when_it_is_inspected() {
    let packed = gzip(b"a,b\n1,2\n");
    assert_eq!(names_of(packed[..packed.len() - 1].to_vec(), Format::Csv).await, Err("corrupt_compression"));
    assert_eq!(names_of(&b"\xFF\xFEa\0,\0b\0\n\0"[..], Format::Csv).await, Err("encoding"));
    assert_eq!(names_of(&b"a,b\n1,2\n"[..], Format::Parquet).await, Err("bad_footer"));
    assert_eq!(names_of(&b"PAR1"[..], Format::Parquet).await, Err("bad_footer"));
}

#[tokio::test]
async fn a_parquet_file_that_is_none_is_told_what_it_looks_like() {
    for (bytes, name) in [(gzip(b"a\n"), "gzip data"), (b"a,b\n".to_vec(), "text"), (text(1 << 20), "text")] {
        let Err(failure) = content::read(&reader(bytes), Format::Parquet).await else { panic!("{name} is no parquet") };
        assert!(failure.code == "bad_footer" && failure.message.contains(name), "{failure:?}");
    }
}

#[tokio::test]
async fn text_that_begins_and_ends_as_parquet_does_is_parquet_and_other_text_is_not() {
    let found = content::read(&reader(&b"PAR1 not much of a file PAR1"[..]), Format::Csv).await;
    assert!(matches!(found, Ok(Content::Parquet(_))));
    for bytes in ["PAR1", "PAR1,b\n1,2\n", "PAR1PAR", "a\nPAR1"] {
        let found = content::read(&reader(bytes), Format::Csv).await;
        assert!(matches!(found, Ok(Content::Text(_))), "{bytes}");
    }
}

async fn sample_of(reader: &Reader) -> sample::TextSample {
    match content::read(reader, Format::Csv).await {
        Ok(Content::Text(text)) => text,
        Ok(Content::Parquet(_)) => panic!("it is text"),
        Err(failure) => panic!("{failure}"),
    }
}

#[tokio::test]
async fn a_large_file_is_looked_at_in_three_places() {
    let bytes = Bytes::from(text(5 << 20));
    let (reader, source) = reader_within(&CreditPool::new(DEFAULT_BUDGET, 1), "a.csv", bytes.clone());
    let found = sample_of(&reader).await.sample;
    let reads = source.reads.lock().expect("lock").clone();
    let read: Vec<&[u8]> = reads.iter().map(|range| &bytes[range.start as usize..range.end as usize]).collect();
    assert!(!found.whole_file);
    assert_eq!((&found.head[..], found.pieces.len()), (read[0], 2));
    assert_eq!(found.pieces.iter().map(|piece| &piece[..]).collect::<Vec<_>>(), read[1..]);
    assert_eq!(reader.bytes_read(), 1 << 20);
}

#[tokio::test]
async fn of_a_compressed_file_no_more_than_its_head_is_looked_at() {
    let bytes = text(3 << 20);
    let (reader, source) = reader_within(&CreditPool::new(DEFAULT_BUDGET, 1), "a.csv.gz", gzip(&bytes));
    let found = sample_of(&reader).await.sample;
    assert!(!found.whole_file && found.pieces.is_empty() && found.head.len() > 1_000_000);
    assert_eq!(found.head[..], bytes[..found.head.len()]);
    assert!(source.reads.lock().expect("lock").iter().all(|range| range.end <= 1 << 20));

    let (small, _) = reader_within(&CreditPool::new(DEFAULT_BUDGET, 1), "a.csv.gz", gzip(&bytes[..100_000]));
    let found = sample_of(&small).await.sample;
    assert!(found.whole_file && found.head[..] == bytes[..100_000]);
}

#[tokio::test]
async fn the_reference_file_is_the_first_in_which_there_is_anything() {
    let bodies: [&[u8]; 4] = [b"\n", b"\xFF\xFEa\0", b"id;name\n1;x\n2;y\n", b"other\n"];
    let files = (0..4).map(|n| (object(&n.to_string(), bodies[n].len()), Format::Csv)).collect();
    let (csv, schema) = (CsvSettings::default(), None);
    let message = InferColumns { generation: Generation(1), seq: 1, files, csv, schema };
    let reader_of =
        |object: ObjectRef| reader_named(&object.key, bodies[object.key.parse::<usize>().expect("a number")]);
    let found = inference::first_columns(message.clone(), reader_of, &open_gate()).await.expect("the third");
    assert_eq!((found.reference.key.as_str(), found.reference.columns.len()), ("2", 2));
    assert_eq!(found.reference.dialect.map(|dialect| dialect.delimiter), Some(b';'));
    assert_eq!((found.reference.evidence.len(), found.schema.map(|schema| schema.columns.len())), (2, Some(2)));

    let declared = InferColumns { schema: Some(Arc::new(TableSchema::new(vec![]))), ..message.clone() };
    let found = inference::first_columns(declared, reader_of, &open_gate()).await.expect("the third");
    assert!(found.schema.is_none() && found.reference.columns == ["id", "name"]);

    let nothing = InferColumns { files: message.files[..2].to_vec(), ..message };
    let failures = inference::first_columns(nothing, reader_of, &open_gate()).await.expect_err("no columns");
    assert_eq!(failures.iter().map(|failure| failure.code).collect::<Vec<_>>(), ["no_records", "encoding"]);
}

fn reader_named(key: &str, bytes: &'static [u8]) -> Reader {
    reader_within(&CreditPool::new(DEFAULT_BUDGET, 1), key, bytes).0
}

#[tokio::test]
async fn the_parts_of_an_object_are_the_object_and_take_credit_only_while_they_are_held() {
    let (credit, bytes) = (CreditPool::new(MIN_BUDGET, 1), text(1_000_000));
    let (reader, _) = reader_within(&credit, "a.csv", bytes.clone());
    let parts = reader.parts(|| PartSize { bytes: 70_000, cost: 5 << 20 });
    // The budget covers six of them: the others have to wait.
    let found: Vec<Bytes> = parts.map_ok(|part| part.bytes).try_collect().await.expect("reads");
    assert_eq!((found.len(), found.concat() == bytes), (15, true));
    assert_eq!((credit.usage().0, reader.bytes_read()), (0, 1_000_000));
}

fn sizing() -> Sizing {
    Sizing::new(&FilePlan::default())
}

#[tokio::test]
async fn the_parts_of_a_compressed_file_are_its_text_however_small_the_budget() {
    let bytes = csv_with(&text(3_000_000));
    for imports in [1, 50] {
        let credit = CreditPool::new(MIN_BUDGET, imports);
        let (reader, _) = reader_within(&credit, "a.csv.gz", gzip(&bytes));
        let (largest, sizing) = (credit.largest_request(), sizing());
        let packed = Packed::fetched(&reader, largest).await;
        let parts = unpack::parts(&reader, Compression::Gzip, packed, &sizing, largest / 2);
        let most = sizing.part(largest / 2).bytes as usize;
        let found: Vec<Bytes> = parts.map_ok(|part| part.bytes).try_collect().await.expect("decompresses");
        assert!(found.concat() == bytes && found.iter().all(|part| part.len() <= most), "{imports} imports");
        assert_eq!((credit.usage().0, reader.bytes_read()), (0, reader.object.size));
    }
}

#[tokio::test]
async fn a_compressed_file_without_its_end_gives_its_text_and_then_an_error() {
    let bytes = text(2_000_000);
    let mut packed = gzip(&bytes);
    packed.truncate(packed.len() - 4);
    let (reader, sizing) = (reader(packed.clone()), sizing());
    let credit = reader.account.acquire(1 << 20).await;
    let held = Packed::held(packed.into(), credit);
    let found: Vec<Result<Part, _>> = unpack::parts(&reader, Compression::Gzip, held, &sizing, 8 << 20).collect().await;
    let (last, parts) = found.split_last().expect("parts");
    assert_eq!(last.as_ref().err().map(|failure| failure.code), Some("corrupt_compression"));
    let parts: Vec<&[u8]> = parts.iter().flatten().map(|part| &part.bytes[..]).collect();
    assert!(!parts.is_empty() && bytes.starts_with(&parts.concat()));
}

#[tokio::test]
async fn case_16_a_file_over_which_a_thread_hangs_is_put_off_keeps_its_mark_and_is_a_strike_if_it_was_a_suspect() {
    let rules = StuckRules { limit: Duration::from_millis(50), most: 4, then: Arc::new(|| ()) };
    let pool = Pool::with_rules(1, rules);
    let (reader, _) = reader_on(pool.clone(), &CreditPool::new(DEFAULT_BUDGET, 1), "a.csv", csv_with(b"1,1\n"));
    let (release, held) = std::sync::mpsc::channel::<()>();
    let stuck: Result<(), FileError> =
        reader.on_pool(move || held.recv().map_or((), |()| ())).await.map_err(FileError::from);
    let error = stuck.clone().expect_err("it hangs");
    assert_eq!((error.failure.code, error.fatal), ("decode_stuck", false));
    assert!(error.failure.message.contains("s3://bucket/a.csv"), "{error:?}");
    // Its batch mates are decoded meanwhile, by a thread that took its place.
    assert_eq!(reader.on_pool(|| 1).await, Ok(1));
    assert_eq!(pool.stuck(), 1);

    let unmarked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&unmarked);
    let marks = Marks::new(Box::new(move |_, finished| {
        noted.lock().expect("lock").extend(finished);
        futures::FutureExt::boxed(async { Ok(()) })
    }));
    let gate = Gate::with_marks(marks.clone(), ImportLabels::new("test", "orders"));
    let mut hanging = reader.object.clone();
    let innocent = ObjectRef { id: ObjectVersionId([1; 16]), ..hanging.clone() };
    for object in [&hanging, &innocent] {
        gate.announce_inspection(object);
        marks.reading(object.id).await.expect("marks");
    }
    gate.leave(&hanging, &stuck);
    gate.leave(&innocent, &Ok(()));
    marks.reading(ObjectVersionId([2; 16])).await.expect("marks");
    assert_eq!(*unmarked.lock().expect("lock"), [innocent.id], "the thread still hangs over the other one");

    assert_eq!(judged(&hanging, error.clone()).failure.code, "decode_stuck");
    hanging.suspect = true;
    assert_eq!(judged(&hanging, error.clone()).failure.code, "decoder_died");
    hanging.strikes = 2;
    assert_eq!(judged(&hanging, error).failure.code, "poison");
    drop(release);
}
