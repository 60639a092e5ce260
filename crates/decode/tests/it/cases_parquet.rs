//! Hostile Parquet files by the numbers of their cases, most of them put together by hand, byte by byte.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Date64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampSecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use bytes::Bytes;
use connector_core::block::Block;
use connector_core::error::{ErrorClass, Failure};
use connector_core::evolve::{EvolutionRules, Planner};
use connector_core::ports::ReferenceFile;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::Pool;
use connector_decode::parquet::{ParquetFile, ParquetSource};
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaDataBuilder, ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::properties::WriterProperties;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::SchemaDescriptor;

use crate::hostile_parquet::{read_on_pool, small_file, with_row_lie};
use crate::parquet_files::{byte_arrays, write};
use crate::support::{check_block, read_all, read_as};

async fn refused(bytes: impl Into<Bytes>) -> Failure {
    let pool = Pool::new(1);
    let error = read_on_pool(&pool, ParquetSource::Bytes(bytes.into())).await.expect_err("refused");
    assert_eq!(error.class, ErrorClass::Data, "{error}");
    error
}

/// The encoded footer as a file that holds nothing else.
fn framed(footer: &[u8]) -> Bytes {
    [b"PAR1", footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat().into()
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64, out: &mut Vec<u8>) {
    varint(((value << 1) ^ (value >> 63)) as u64, out);
}

/// An element of a schema: a group with so many children, or with none a column of 64-bit integers.
fn element(children: i64, out: &mut Vec<u8>) {
    if children == 0 {
        out.extend([0x15, 0x04, 0x25, 0x00]); // INT64, required.
    } else {
        out.extend([0x35, 0x00]); // Required.
    }
    out.extend([0x18, 0x01, b'c']);
    if children != 0 {
        out.push(0x15);
        zigzag(children, out);
    }
    out.push(0x00);
}

/// A footer with these elements in its schema, which claims `count` of them.
fn footer(count: u64, elements: &[i64]) -> Vec<u8> {
    let mut out = vec![0x15, 0x02, 0x19, 0xFC];
    varint(count, &mut out);
    elements.iter().for_each(|children| element(*children, &mut out));
    out.extend([0x16, 0x00, 0x19, 0x0C, 0x00]); // No rows, no row groups.
    out
}

/// One page as it is written and what its header says of it.
struct Page {
    uncompressed: i64,
    values: i64,
    encoding: Encoding,
    crc: Option<u32>,
    data: Vec<u8>,
}

impl Page {
    /// 64-bit integers that are never NULL.
    fn plain(values: &[i64]) -> Self {
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (uncompressed, values) = (data.len() as i64, values.len() as i64);
        Self { uncompressed, values, encoding: Encoding::PLAIN, crc: None, data }
    }

    fn encoded(&self) -> Vec<u8> {
        let mut out = vec![0x15, 0x00, 0x15]; // A data page.
        zigzag(self.uncompressed, &mut out);
        out.push(0x15);
        zigzag(self.data.len() as i64, &mut out);
        if let Some(crc) = self.crc {
            out.push(0x15);
            zigzag(i64::from(crc as i32), &mut out);
        }
        out.push(if self.crc.is_some() { 0x1C } else { 0x2C });
        out.push(0x15);
        zigzag(self.values, &mut out);
        out.push(0x15);
        zigzag(self.encoding as i64, &mut out);
        out.extend([0x15, 0x06, 0x15, 0x06, 0x00, 0x00]);
        out.extend(&self.data);
        out
    }
}

/// A file of one row group that claims `rows` rows; each column of the schema has one page.
fn by_hand(schema: &str, rows: i64, pages: &[Page]) -> Bytes {
    let schema = Arc::new(SchemaDescriptor::new(Arc::new(parse_message_type(schema).expect("parses"))));
    let mut out = b"PAR1".to_vec();
    let mut group = RowGroupMetaData::builder(Arc::clone(&schema)).set_num_rows(rows);
    for (index, page) in pages.iter().enumerate() {
        let encoded = page.encoded();
        let chunk = ColumnChunkMetaData::builder(schema.column(index))
            .set_encodings(vec![page.encoding])
            .set_compression(Compression::UNCOMPRESSED)
            .set_num_values(page.values)
            .set_data_page_offset(out.len() as i64)
            .set_total_compressed_size(encoded.len() as i64)
            .set_total_uncompressed_size(encoded.len() as i64)
            .build()
            .expect("builds");
        group = group.add_column_metadata(chunk);
        out.extend(encoded);
    }
    let group = group.set_total_byte_size(out.len() as i64).build().expect("builds");
    let file = FileMetaData::new(1, rows, None, None, schema, None);
    let metadata = ParquetMetaDataBuilder::new(file).add_row_group(group).build();
    ParquetMetaDataWriter::new(&mut out, &metadata).finish().expect("writes");
    out.into()
}

const ONE_INT64: &str = "message m { required int64 a; }";

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

fn numbers(blocks: &[Block]) -> Vec<i64> {
    let of = |block: &Block| block.rows.column(0).as_primitive::<Int64Type>().values().to_vec();
    blocks.iter().flat_map(of).collect()
}

#[tokio::test]
async fn case_78_frames_that_are_no_parquet_file() {
    let (bytes, _) = small_file();
    let tail = bytes.len() - 8;
    let with_footer_length = |length: i32| [&bytes[..tail], &length.to_le_bytes(), b"PAR1"].concat();
    for bad in [Vec::new(), b"PAR1".to_vec(), b"id,name\n1,2\n".to_vec(), with_footer_length(1 << 30)] {
        assert_eq!(refused(bad).await.code, "bad_footer");
    }
    assert_eq!(refused(with_footer_length(-1)).await.code, "bad_footer", "a negative length is a huge one");
    assert_eq!(refused([&bytes[..tail + 4], b"PARE"].concat()).await.code, "encrypted");
}

#[tokio::test]
async fn case_79_footers_that_claim_to_be_huge_or_deep_are_refused_before_they_are_built() {
    let sound = footer(3, &[2, 0, 0]);
    let columns = read_all(ParquetSource::Bytes(framed(&sound)), 10).expect("the pieces below are right").0.columns;
    assert_eq!(columns.len(), 2);
    let depth = 200_000;
    let deep: Vec<i64> = std::iter::repeat_n(1, depth).chain([0]).collect();
    let bad = [
        (footer(u64::from(u32::MAX >> 1), &[1, 0]), "list"),
        (footer(depth as u64 + 1, &deep), "nested deeper"),
        (footer(2, &[i64::from(i32::MAX), 0]), "claims 2147483647 columns"),
        (footer(2, &[-5, 0]), "claims -5 columns"),
        (footer(3, &[1, 0, 0]), "more than one root"),
        ([0x15u8, 0x02].into_iter().chain([0x1C; 100_000]).collect(), "deeply"),
    ];
    for (footer, reason) in bad {
        let error = refused(framed(&footer)).await;
        assert_eq!(error.code, "bad_footer");
        assert!(error.message.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn case_79_huge_metadata_of_a_writer_do_no_harm_below_the_limit() {
    let schema = Arc::new(Schema::new(vec![arrow::datatypes::Field::new("a", DataType::Int64, false)]));
    let note = parquet::file::metadata::KeyValue::new("note".to_owned(), "x".repeat(4 << 20));
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![note])).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties)).expect("a writer");
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    writer.write(&RecordBatch::try_new(schema, vec![ids]).expect("a batch")).expect("writes");
    let bytes = Bytes::from(writer.into_inner().expect("closes"));
    assert_eq!(numbers(&read_all(ParquetSource::Bytes(bytes), 10).expect("reads").1), [1, 2]);
}

#[tokio::test]
async fn case_80_a_page_that_claims_gigabytes_is_refused_before_memory_is_taken() {
    let sound = by_hand(ONE_INT64, 3, &[Page::plain(&[1, 2, 3])]);
    assert_eq!(numbers(&read_all(ParquetSource::Bytes(sound), 10).expect("reads").1), [1, 2, 3]);
    let page = Page { uncompressed: i64::from(i32::MAX), ..Page::plain(&[1, 2, 3]) };
    let error = refused(by_hand(ONE_INT64, 3, &[page])).await;
    assert_eq!(error.code, "page_too_large");
    assert!(error.message.contains("column 'a'") && error.message.contains("2147483647"), "{error}");
    let page = Page { uncompressed: -1, ..Page::plain(&[1, 2, 3]) };
    assert_eq!(refused(by_hand(ONE_INT64, 3, &[page])).await.code, "corrupt");
}

#[tokio::test]
async fn case_81_pages_that_claim_more_values_than_they_hold_are_errors() {
    let floats = "message m { required float a; }";
    let page =
        |values| Page { values, encoding: Encoding::BYTE_STREAM_SPLIT, uncompressed: 32, ..Page::plain(&[0, 1, 2, 3]) };
    let sound = read_all(ParquetSource::Bytes(by_hand(floats, 8, &[page(8)])), 10).expect("reads").1;
    assert_eq!(sound[0].rows.num_rows(), 8);
    for values in [9, 63, i64::from(i32::MAX)] {
        refused(by_hand(floats, values, &[page(values)])).await;
        let plain = Page { values, ..Page::plain(&[1, 2, 3]) };
        refused(by_hand(ONE_INT64, values, &[plain])).await;
    }
}

#[tokio::test]
async fn case_82_a_footer_that_lies_about_its_rows_fails_the_file() {
    let (bytes, _) = small_file();
    for change in [-1, 1, 1_000_000_000_000] {
        assert_eq!(refused(with_row_lie(&bytes, change)).await.code, "row_count");
    }
}

#[tokio::test]
async fn case_83_the_checksum_of_a_page_is_verified() {
    let data = Page::plain(&[1, 2, 3]).data;
    let page = |crc| Page { crc: Some(crc), ..Page::plain(&[1, 2, 3]) };
    let sound = by_hand(ONE_INT64, 3, &[page(crc32(&data))]);
    assert_eq!(numbers(&read_all(ParquetSource::Bytes(sound), 10).expect("reads").1), [1, 2, 3]);
    let error = refused(by_hand(ONE_INT64, 3, &[page(crc32(&data) ^ 1)])).await;
    assert!(error.code == "corrupt" && error.message.contains("CRC"), "{error}");
}

#[tokio::test]
async fn case_84_columns_of_different_lengths_and_levels_that_end_early_fail_the_file() {
    let two = "message m { required int64 a; required int64 b; }";
    refused(by_hand(two, 3, &[Page::plain(&[1, 2, 3]), Page::plain(&[1, 2])])).await;
    refused(by_hand(two, 2, &[Page::plain(&[1, 2, 3]), Page::plain(&[1, 2])])).await;
    let optional = "message m { optional int64 a; }";
    let leveled = |length: u32, levels: &[u8], values: i64| {
        let data = [&length.to_le_bytes(), levels, &7i64.to_le_bytes(), &8i64.to_le_bytes()].concat();
        Page { uncompressed: data.len() as i64, data, values, ..Page::plain(&[]) }
    };
    let sound = by_hand(optional, 2, &[leveled(2, &[0x04, 0x01], 2)]);
    assert_eq!(numbers(&read_all(ParquetSource::Bytes(sound), 10).expect("reads").1), [7, 8]);
    // Levels for two values of five; levels that claim more bytes than the page has.
    refused(by_hand(optional, 5, &[leveled(2, &[0x04, 0x01], 5)])).await;
    refused(by_hand(optional, 2, &[leveled(1_000, &[0x04, 0x01], 2)])).await;
}

#[tokio::test]
async fn case_85_columns_of_one_name_are_told_apart_or_refused() {
    let twice = byte_arrays(
        "message m { required binary a (STRING); required binary a (STRING); }",
        &[&[b"1", b"2"], &[b"3", b"4"]],
    );
    let file = ParquetFile::open(ParquetSource::Bytes(twice)).expect("opens");
    assert_eq!(file.columns(), ["a", "a"]);
    assert_eq!(file.shape().names(), ["a", "a"]);
    let inferred = file.infer().expect("infers");
    let names: Vec<&str> = inferred.schema.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["a", "a_2"]);
    let block = read_as(&file, inferred.schema, 10).expect("reads").remove(0);
    let text = |index: usize| block.rows.column(index).as_string::<i32>().value(0).to_owned();
    assert_eq!((text(0), text(1)), ("1".to_owned(), "3".to_owned()));
    let schema = TableSchema::new(vec![Column::nullable("a", ColumnType::String)]);
    let mut planner = Planner::new(schema, Vec::new(), None, EvolutionRules::default());
    assert_eq!(planner.plan("k", &file.shape()).causes[0].code, "duplicate_column");
}

#[tokio::test]
async fn case_85_rows_without_columns_are_counted_and_no_schema_is_made_of_them() {
    let bytes = by_hand("message m { }", 3, &[]);
    let file = ParquetFile::open(ParquetSource::Bytes(bytes)).expect("opens");
    assert_eq!(file.infer().expect_err("no columns").code, "no_columns");
    let table = Arc::new(TableSchema::new(vec![Column::nullable("a", ColumnType::Int64)]));
    let mut planner = Planner::new(table.as_ref().clone(), Vec::new(), None, EvolutionRules::default());
    let plan = planner.plan("k", &file.shape());
    assert_eq!(plan.causes[0].code, "missing_column");
    let blocks = file.blocks(table, Arc::new(plan), Timestamp::UNIX_EPOCH, 10, usize::MAX).expect("reads");
    let rejected: usize = blocks.map(|block| block.expect("reads").rejected.len()).sum();
    assert_eq!((rejected, file.num_rows()), (3, 3));
}

#[tokio::test]
async fn case_85_no_row_groups_and_thousands_of_columns() {
    let empty = write(vec![("a", Arc::new(Int64Array::from(Vec::<i64>::new())) as ArrayRef)], 10);
    assert_eq!(read_all(ParquetSource::Bytes(empty), 10).expect("reads").1.len(), 0);
    let names: Vec<String> = (0..2_001).map(|index| format!("c{index}")).collect();
    let array: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let wide = |count: usize| {
        let bytes = write(names[..count].iter().map(|name| (name.as_str(), Arc::clone(&array))).collect(), 2);
        ParquetFile::open(ParquetSource::Bytes(bytes))
    };
    let error = wide(2_001).expect_err("refused");
    assert_eq!(error.code, "too_many_columns");
    assert!(error.message.contains("2001 columns"), "{error}");
    let file = wide(2_000).expect("opens");
    let blocks = read_as(&file, file.infer().expect("infers").schema, 10).expect("reads");
    assert_eq!(blocks.iter().map(|block| (block.rows.num_rows(), block.rows.num_columns())).max(), Some((3, 2_000)));
    let known = TableSchema::new(vec![Column::nullable("c0", ColumnType::Int32)]);
    let rules = EvolutionRules { max_columns: 1_999, ..EvolutionRules::default() };
    let mut planner = Planner::new(known, Vec::new(), None, rules);
    let codes: Vec<&str> = planner.plan("k", &file.shape()).causes.iter().map(|cause| cause.code).collect();
    assert!(codes.contains(&"too_many_columns"), "{codes:?}");
}

#[tokio::test]
async fn case_86_a_nanosecond_that_is_no_whole_microsecond_sets_its_row_aside() {
    let nanos: ArrayRef = Arc::new(arrow::array::TimestampNanosecondArray::from(vec![1_000, 1_001, i64::MAX, 2_000]));
    let (_, blocks) = read_all(ParquetSource::Bytes(write(vec![("t", nanos)], 10)), 10).expect("reads");
    assert_eq!(blocks[0].rejected.ordinals, [1, 2]);
    assert_eq!(blocks[0].rejected.texts[0].value(1), "2262-04-11T23:47:16.854775807");
    check_block(&blocks[0]);
}

#[tokio::test]
async fn case_86_dates_and_times_outside_the_years_1_to_9999_set_their_rows_aside() {
    let (first, last) = (-719_162, 2_932_896);
    let days = vec![first, last, first - 1, last + 1, i32::MAX, i32::MIN, 0];
    let rows = days.len();
    let of_days =
        |factor: i64| days.iter().map(move |day| i64::from(*day).saturating_mul(factor)).collect::<Vec<i64>>();
    let mut micros = of_days(86_400_000_000);
    micros[1] = (i64::from(last) + 1) * 86_400_000_000 - 1;
    (micros[4], micros[5]) = (i64::MAX, i64::MIN);
    let arrays: [(ArrayRef, [&str; 2]); 6] = [
        (Arc::new(Date32Array::from(days.clone())), ["10000-01-01", "0000-12-31"]),
        (Arc::new(Date64Array::from(of_days(86_400_000))), ["10000-01-01", "0000-12-31"]),
        (Arc::new(TimestampMicrosecondArray::from(micros)), ["10000-01-01T00:00:00", "0000-12-31T00:00:00"]),
        (
            Arc::new(TimestampMillisecondArray::from(of_days(86_400_000))),
            ["10000-01-01T00:00:00", "0000-12-31T00:00:00"],
        ),
        (Arc::new(TimestampSecondArray::from(of_days(86_400))), ["10000-01-01T00:00:00", "0000-12-31T00:00:00"]),
        (
            Arc::new(TimestampMillisecondArray::from(of_days(86_400_000)).with_timezone("UTC")),
            ["10000-01-01T00:00:00Z", "0000-12-31T00:00:00Z"],
        ),
    ];
    for (array, [after, before]) in arrays {
        let what = array.data_type().clone();
        let (_, blocks) =
            read_all(ParquetSource::Bytes(write(vec![("t", Arc::clone(&array))], 10)), 10).expect("reads");
        check_block(&blocks[0]);
        assert_eq!(blocks[0].rejected.ordinals, [2, 3, 4, 5], "{what}");
        let texts = &blocks[0].rejected.texts[0];
        assert_eq!((texts.value(0), texts.value(1)), (before, after), "{what}");
        if matches!(what, DataType::Date64 | DataType::Timestamp(TimeUnit::Second, _)) {
            continue; // Parquet has them by a note of the writer only, which is for whole columns.
        }
        // And in lists, where one bad element spoils its row.
        let item = Arc::new(Field::new("item", what.clone(), true));
        let offsets = OffsetBuffer::from_lengths([2, 1, 1, 3]);
        let lists: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::clone(&array), None));
        assert_eq!(array.len(), rows);
        let batch = RecordBatch::try_from_iter_with_nullable([("t", lists, false)]).expect("a batch");
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
        writer.write(&batch).expect("writes");
        let bytes = Bytes::from(writer.into_inner().expect("closes"));
        let (_, blocks) = read_all(ParquetSource::Bytes(bytes), 10).expect("reads");
        assert_eq!(blocks[0].rejected.ordinals, [1, 2, 3], "{what}");
    }
}

#[test]
fn case_87_a_name_in_another_case_is_the_same_column_and_another_type_does_not_fit() {
    let shape = |name: &str, array: ArrayRef| {
        ParquetFile::open(ParquetSource::Bytes(write(vec![(name, array)], 10))).expect("opens").shape()
    };
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["1"]));
    let schema = TableSchema::new(vec![Column::nullable("Id", ColumnType::Int64)]);
    let columns = vec!["Id".to_owned()];
    let reference = ReferenceFile { key: "first".to_owned(), columns, dialect: None, evidence: Vec::new() };
    let mut planner = Planner::new(schema, Vec::new(), Some(&reference), EvolutionRules::default());
    let plan = planner.plan("1", &shape("ID", Arc::clone(&narrow)));
    assert_eq!((plan.bound.sources, plan.causes.len()), (vec![Some(0)], 0), "and a narrower type widens");
    let plan = planner.plan("2", &shape("id", text));
    assert_eq!(plan.causes[0].code, "incompatible_type");
    assert_eq!(planner.finish().1.len(), 0, "no column was added for either");
}

#[tokio::test]
async fn case_88_every_codec_is_read_or_refused_by_name() {
    let values: Vec<i64> = (0..5_000).map(|value| value % 17).collect();
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let array: ArrayRef = Arc::new(Int64Array::from(values.clone()));
        let batch = RecordBatch::try_from_iter([("a", array)]).expect("a batch");
        let properties = WriterProperties::builder().set_compression(codec).set_dictionary_enabled(false).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("a writer");
        writer.write(&batch).expect("writes");
        let bytes = Bytes::from(writer.into_inner().expect("closes"));
        let read = read_all(ParquetSource::Bytes(bytes), 10_000).unwrap_or_else(|error| panic!("{codec}: {error}"));
        assert_eq!(numbers(&read.1), values, "{codec}");
    }
    let page = by_hand(ONE_INT64, 3, &[Page::plain(&[1, 2, 3])]);
    let metadata = parquet::file::metadata::ParquetMetaDataReader::new().parse_and_finish(&page).expect("a footer");
    let group = metadata.row_group(0);
    let chunk = group.column(0).clone().into_builder().set_compression(Compression::LZO).build().expect("builds");
    let group = group.clone().into_builder().set_column_metadata(vec![chunk]).build().expect("builds");
    let metadata = metadata.into_builder().set_row_groups(vec![group]).build();
    let mut lzo = page[..page.len() - 8].to_vec();
    ParquetMetaDataWriter::new(&mut lzo, &metadata).finish().expect("writes");
    let error = refused(lzo).await;
    assert_eq!(error.code, "unsupported_codec");
    assert!(error.message.contains("LZO"), "{error}");
}
