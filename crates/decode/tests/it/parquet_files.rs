//! Parquet files that other writers could have made: round trips, casts, refusals.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int8Array, Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use connector_core::block::Block;
use connector_core::evolve::{EvolutionRules, Planner};
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::parquet::{ParquetFile, ParquetSource};
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::support::{check_block, column, messages, plan, read_all, read_as};

pub fn write(columns: Vec<(&str, ArrayRef)>, row_group: usize) -> Bytes {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("a batch");
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(row_group))
        .set_data_page_row_count_limit(16)
        .set_write_batch_size(16)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("writes");
    writer.into_inner().expect("closes").into()
}

fn one(array: impl Array + 'static) -> ParquetFile {
    ParquetFile::open(ParquetSource::Bytes(write(vec![("c", Arc::new(array))], 100))).expect("opens")
}

/// Reads the one column of a file as this type, nullable, in one block.
fn cast(file: &ParquetFile, ty: ColumnType) -> Result<Block, &'static str> {
    let schema = TableSchema::new(vec![Column::nullable("c", ty)]);
    let arrow = schema.columns[0].ty.arrow();
    let mut blocks = read_as(file, schema, 1_000).map_err(|error| error.code)?;
    assert_eq!(blocks.len(), 1);
    let block = blocks.remove(0);
    check_block(&block);
    assert_eq!(block.rows.column(0).data_type(), &arrow);
    Ok(block)
}

fn varied(rows: usize) -> Vec<(&'static str, ArrayRef)> {
    let number = |row: usize| row as i64;
    let every_third = |row: usize| !row.is_multiple_of(3);
    vec![
        ("id", Arc::new(Int64Array::from_iter_values((0..rows).map(number)))),
        ("price", Arc::new(Float64Array::from_iter((0..rows).map(|row| every_third(row).then_some(row as f64 / 4.0))))),
        ("name", Arc::new(StringArray::from_iter((0..rows).map(|row| every_third(row).then(|| format!("n{row}")))))),
        ("flag", Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(row % 2 == 0))))),
        ("day", Arc::new(Date32Array::from_iter((0..rows).map(|row| every_third(row).then_some(row as i32 - 50))))),
    ]
}

#[test]
fn row_groups_pages_and_batches_make_no_difference() {
    let rows = 1_000;
    let wanted =
        RecordBatch::try_from_iter_with_nullable(varied(rows).into_iter().map(|(n, a)| (n, a, true))).expect("ok");
    let bytes = write(varied(rows), 170);
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&bytes).expect("writes");
    let file = Arc::new(file);
    for batch_rows in [1, 7, 64, 333, 5_000] {
        for source in [ParquetSource::Bytes(bytes.clone()), ParquetSource::File(Arc::clone(&file), bytes.len() as u64)]
        {
            let (schema, blocks) = read_all(source, batch_rows).expect("reads");
            blocks.iter().for_each(check_block);
            assert!(blocks.iter().all(|block| block.records <= batch_rows as u64));
            let batches: Vec<_> = blocks.iter().map(|block| block.rows.clone()).collect();
            let all = concat_batches(&schema.arrow(), &batches).expect("one schema");
            assert_eq!(all.columns(), wanted.columns());
        }
    }
}

#[test]
fn strings_in_every_arrow_spelling_are_strings() {
    let dictionary: DictionaryArray<Int32Type> = vec![Some("x"), None, Some("x"), Some("y")].into_iter().collect();
    let wanted = StringArray::from(vec![Some("x"), None, Some("x"), Some("y")]);
    let files = [
        one(dictionary),
        one(LargeStringArray::from_iter(wanted.iter())),
        one(StringViewArray::from_iter(wanted.iter())),
        one(BinaryArray::from_iter(wanted.iter())),
        one(wanted.clone()),
    ];
    for file in files {
        assert_eq!(file.infer().expect("infers").schema.columns[0].ty, ColumnType::String);
        let block = cast(&file, ColumnType::String).expect("reads");
        assert_eq!(block.rows.column(0).as_string::<i32>(), &wanted);
    }
    let bad = one(BinaryArray::from(vec![&b"ok"[..], b"\xFF"]));
    let block = cast(&bad, ColumnType::String).expect("reads");
    let columns = [Column::nullable("c", ColumnType::String)];
    assert_eq!(messages(&block, &columns), [(1, vec!["value '\u{fffd}' on column 'c' is not UTF-8".to_owned()])]);
    assert!(block.rejected.raw.is_null(0), "there is no raw record in Parquet");
}

#[test]
fn integers_go_into_every_type_that_holds_them_and_no_other() {
    use ColumnType as T;
    let decimal = |precision, scale| T::Decimal { precision, scale };
    let narrow = one(Int8Array::from(vec![-128, 127]));
    let middle = one(Int32Array::from(vec![i32::MIN, i32::MAX]));
    let wide = one(Int64Array::from(vec![i64::MIN, i64::MAX]));
    let byte = one(UInt8Array::from(vec![0, 255]));
    let unsigned = one(UInt32Array::from(vec![0, u32::MAX]));
    let huge = one(UInt64Array::from(vec![0, u64::MAX]));
    let fits = [
        (&narrow, vec![T::Int8, T::Int16, T::Int64, T::Float32, T::Float64, decimal(3, 0), decimal(5, 2)]),
        (&middle, vec![T::Int32, T::Int64, T::Float64, decimal(10, 0)]),
        (&wide, vec![T::Int64, decimal(19, 0), decimal(38, 19)]),
        (&byte, vec![T::UInt8, T::Int16, T::UInt64, T::Float32]),
        (&unsigned, vec![T::UInt32, T::Int64, T::UInt64, T::Float64]),
        (&huge, vec![T::UInt64, decimal(20, 0)]),
    ];
    for (file, types) in fits {
        for ty in types {
            let block = cast(file, ty.clone()).unwrap_or_else(|code| panic!("{ty}: {code}"));
            assert_eq!((block.rows.num_rows(), block.rows.column(0).null_count()), (2, 0), "{ty}");
        }
    }
    let refused = [
        (&narrow, vec![T::UInt8, T::String, T::Bool, T::Date, T::DateTime, decimal(2, 0), decimal(4, 2)]),
        (&middle, vec![T::Int16, T::UInt32, T::UInt64, T::Float32, decimal(9, 0)]),
        (&wide, vec![T::Int32, T::UInt64, T::Float64, decimal(18, 0)]),
        (&byte, vec![T::Int8]),
        (&unsigned, vec![T::Int32, T::UInt16, T::Float32]),
        (&huge, vec![T::Int64, T::Float64, decimal(19, 0)]),
    ];
    for (file, types) in refused {
        for ty in types {
            assert_eq!(cast(file, ty.clone()).expect_err("refused"), "incompatible_type", "{ty}");
        }
    }
    let block = cast(&huge, T::UInt64).expect("reads");
    assert_eq!(block.rows.column(0).as_primitive::<Decimal128Type>().value(1), i128::from(u64::MAX));
    let error = read_as(&wide, TableSchema::new(vec![Column::nullable("c", T::Int32)]), 10).expect_err("refused");
    assert!(error.message.contains("column 'c' is Int64 in the file") && error.message.contains("Int32"), "{error}");
}

#[test]
fn floats_and_decimals_only_widen() {
    use ColumnType as T;
    let single = one(Float32Array::from(vec![0.1, f32::NAN]));
    assert!(cast(&single, T::Float64).is_ok() && cast(&single, T::Float32).is_ok());
    assert_eq!(cast(&one(Float64Array::from(vec![0.1])), T::Float32).expect_err("narrower"), "incompatible_type");
    let money = one(Decimal128Array::from(vec![-12_345]).with_precision_and_scale(5, 2).expect("fits"));
    assert_eq!(money.infer().expect("infers").schema.columns[0].ty, T::Decimal { precision: 5, scale: 2 });
    let value = |precision, scale| {
        let block = cast(&money, T::Decimal { precision, scale })?;
        Ok(block.rows.column(0).as_primitive::<Decimal128Type>().value(0))
    };
    assert_eq!(value(5, 2), Ok(-12_345));
    assert_eq!(value(7, 4), Ok(-1_234_500));
    assert_eq!(value(6, 3), Ok(-123_450));
    for (precision, scale) in [(5, 1), (5, 3), (4, 2), (38, 36)] {
        assert_eq!(value(precision, scale), Err("incompatible_type"), "{precision}, {scale}");
    }
}

#[test]
fn timestamps_of_every_unit_are_exact_or_their_row_is_bad() {
    let times = |block: &Block| block.rows.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
    let micros = ColumnType::DateTime64 { precision: 6 };

    let nanos = one(TimestampNanosecondArray::from(vec![Some(1_000), Some(-1_000), Some(1_001), None]));
    let block = cast(&nanos, micros.clone()).expect("reads");
    assert_eq!(times(&block)[..2], [1, -1]);
    assert_eq!(block.rejected.ordinals, [2]);
    let text = &messages(&block, &[Column::nullable("c", micros.clone())])[0].1[0];
    assert_eq!(text, "value '1970-01-01T00:00:00.000001001' on column 'c' is not DateTime64(6)");

    let millis = one(TimestampMillisecondArray::from(vec![1, -86_400_000, i64::MAX]).with_timezone("UTC"));
    assert_eq!(millis.infer().expect("infers").schema.columns[0].ty, ColumnType::DateTime64 { precision: 3 });
    let block = cast(&millis, micros).expect("reads");
    assert_eq!((times(&block), block.rejected.len()), (vec![1_000, -86_400_000_000], 1));

    let seconds = one(TimestampSecondArray::from(vec![5, i64::MAX]));
    assert_eq!(seconds.infer().expect("infers").schema.columns[0].ty, ColumnType::DateTime);
    let block = cast(&seconds, ColumnType::DateTime).expect("reads");
    assert_eq!((times(&block), block.rejected.len()), (vec![5_000_000], 1));

    let fine = one(TimestampMicrosecondArray::from(vec![1_000_000, 1_500_000]).with_timezone("+02:00"));
    let block = cast(&fine, ColumnType::DateTime).expect("reads");
    assert_eq!((times(&block), block.rejected.len()), (vec![1_000_000], 1), "half a second is lost in a DateTime");
}

/// A file with one INT96 column, from days since the Julian epoch and nanoseconds of the day.
fn int96_file(values: &[(u32, u64)]) -> ParquetFile {
    let schema = Arc::new(parse_message_type("message m { optional int96 c; }").expect("parses"));
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    let mut chunk = group.next_column().expect("no error").expect("a column");
    let values: Vec<Int96> = values
        .iter()
        .map(|(day, nanos)| {
            let mut value = Int96::new();
            value.set_data(*nanos as u32, (*nanos >> 32) as u32, *day);
            value
        })
        .collect();
    let levels = vec![1; values.len()];
    chunk.typed::<Int96Type>().write_batch(&values, Some(&levels), None).expect("writes");
    chunk.close().expect("closes");
    group.close().expect("closes");
    ParquetFile::open(ParquetSource::Bytes(writer.into_inner().expect("closes").into())).expect("opens")
}

#[test]
fn int96_is_exact_over_its_whole_range_and_never_wraps() {
    // 1970-01-01, 0001-01-01, 9999-12-31, not whole, a day out of range, nanoseconds of more than a day.
    let file = int96_file(&[
        (2_440_588, 1_000),
        (1_721_426, 0),
        (5_373_484, 86_399_999_999_000),
        (2_440_588, 1_001),
        (i32::MAX as u32, 0),
        (2_440_588, 90_000_000_000_000),
    ]);
    let block = cast(&file, ColumnType::DateTime64 { precision: 6 }).expect("reads");
    let times = block.rows.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
    assert_eq!(times, [1, -62_135_596_800_000_000, 253_402_300_799_999_999, 90_000_000_000]);
    assert_eq!(block.rejected.ordinals, [3, 4]);
}

#[test]
fn null_in_a_column_that_is_not_nullable_follows_the_rules_of_empty_cells() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec![None, Some("x")]));
    let bytes = write(vec![("a", numbers), ("b", texts)], 100);
    let file = ParquetFile::open(ParquetSource::Bytes(bytes)).expect("opens");
    let read = |default| {
        let columns =
            vec![column("a", ColumnType::Int64, false, default), column("b", ColumnType::String, false, None)];
        read_as(&file, TableSchema::new(columns), 10).expect("reads").remove(0)
    };
    let block = read(Some("7"));
    check_block(&block);
    assert_eq!(block.rows.column(0).as_primitive::<Int64Type>().values(), &[1, 7]);
    assert_eq!(block.rows.column(1).as_string::<i32>().value(0), "");
    assert!(!block.rows.schema().field(0).is_nullable());
    let block = read(None);
    check_block(&block);
    let columns = [column("a", ColumnType::Int64, false, None)];
    assert_eq!(messages(&block, &columns), [(1, vec!["value NULL on column 'a' is not Int64".to_owned()])]);
}

/// A file of a schema in Parquet's own language, whose only columns are byte arrays, and their values.
pub fn byte_arrays(schema: &str, columns: &[&[&[u8]]]) -> Bytes {
    let schema = Arc::new(parse_message_type(schema).expect("parses"));
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).expect("a writer");
    let mut group = writer.next_row_group().expect("a group");
    for values in columns {
        let values: Vec<ByteArray> = values.iter().map(|value| value.to_vec().into()).collect();
        let mut chunk = group.next_column().expect("no error").expect("a column");
        chunk.typed::<ByteArrayType>().write_batch(&values, None, None).expect("writes");
        chunk.close().expect("closes");
    }
    group.close().expect("closes");
    writer.into_inner().expect("closes").into()
}

#[test]
fn types_without_a_column_type_are_refused_unless_they_are_not_bound() {
    for (kind, reason) in [("BSON", "bson"), ("GEOMETRY", "geometry"), ("GEOGRAPHY", "geography")] {
        let schema = format!("message m {{ required binary odd ({kind}); required binary id (STRING); }}");
        let bytes = byte_arrays(&schema, &[&[b"\x05\0\0\0\0", b"x"], &[b"1", b"2"]]);
        let file = ParquetFile::open(ParquetSource::Bytes(bytes)).expect("opens");
        let error = file.infer().expect_err("refused");
        assert_eq!(error.code, "unsupported_type");
        assert!(error.message.contains("column 'odd'") && error.message.contains(reason), "{error}");
        let shape = file.shape();
        assert_eq!(shape.columns[0].ty, None);
        let schema = TableSchema::new(vec![Column::nullable("odd", ColumnType::String)]);
        let mut planner = Planner::new(schema.clone(), Vec::new(), None, EvolutionRules::default());
        assert_eq!(planner.plan("k", &shape).causes[0].code, "incompatible_type", "planning knows it, too");
        assert_eq!(read_as(&file, schema, 10).expect_err("refused").code, "unsupported_type");
        let schema = TableSchema::new(vec![Column::nullable("id", ColumnType::String)]);
        let rows: usize = read_as(&file, schema, 10).expect("reads").iter().map(|block| block.rows.num_rows()).sum();
        assert_eq!(rows, 2);
    }
}

#[test]
fn columns_may_change_places_and_two_may_share_a_source() {
    let bytes = write(varied(10), 100);
    let file = ParquetFile::open(ParquetSource::Bytes(bytes)).expect("opens");
    let schema = TableSchema::new(vec![
        Column::nullable("name", ColumnType::String),
        Column::nullable("id", ColumnType::Int64),
        Column::nullable("again", ColumnType::Int64),
    ]);
    let plan = plan(vec![Some(2), Some(0), Some(0)], 5);
    let block = file
        .blocks(Arc::new(schema), Arc::new(plan), Timestamp::UNIX_EPOCH, 100, usize::MAX)
        .expect("reads")
        .next()
        .expect("one")
        .expect("ok");
    assert_eq!(block.rows.column(0).as_string::<i32>().value(1), "n1");
    assert_eq!(block.rows.column(1), block.rows.column(2));
}

#[test]
fn a_file_without_rows_or_with_a_header_only_is_read() {
    for rows in [0, 1] {
        let (schema, blocks) = read_all(ParquetSource::Bytes(write(varied(rows), 100)), 10).expect("reads");
        assert_eq!(schema.columns.len(), 5);
        assert_eq!(blocks.iter().map(|block| block.records).sum::<u64>(), rows as u64);
    }
}

#[test]
fn the_estimate_of_a_row_is_near_what_it_takes() {
    let rows = 2_000;
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("{row:0>100}"))));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let file = ParquetFile::open(ParquetSource::Bytes(write(vec![("t", texts), ("i", ids)], 500))).expect("opens");
    assert_eq!(file.num_rows(), 2_000);
    assert!((100..250).contains(&file.estimated_row_bytes()), "{}", file.estimated_row_bytes());
}

#[test]
fn a_block_is_bounded_in_measured_bytes_whatever_the_dictionary_hides() {
    let rows = 20_000usize;
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("{:0>4000}", row % 4))));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter((0..rows).map(|row| (row % 5 != 0).then_some(row as i64))));
    let batch = RecordBatch::try_from_iter_with_nullable([("t", texts, true), ("i", ids, true)]).expect("a batch");
    let properties =
        WriterProperties::builder().set_statistics_enabled(parquet::file::properties::EnabledStatistics::None).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("writes");
    let bytes = Bytes::from(writer.into_inner().expect("closes"));
    assert!(bytes.len() < 200_000, "{}", bytes.len());
    let file = ParquetFile::open(ParquetSource::Bytes(bytes)).expect("opens");
    let schema =
        TableSchema::new(vec![Column::nullable("t", ColumnType::String), column("i", ColumnType::Int64, false, None)]);
    let plan = Arc::new(plan(vec![Some(0), Some(1)], 2));
    let now = Timestamp::UNIX_EPOCH;
    let blocks =
        |rows, bytes| file.blocks(Arc::new(schema.clone()), Arc::clone(&plan), now, rows, bytes).expect("reads");
    let (mut first, mut good) = (0, Vec::new());
    for block in blocks(65_536, 10 << 20) {
        let block = block.expect("reads");
        check_block(&block);
        let measured = block.memory_bytes();
        assert!(measured <= 11 << 20, "{measured} bytes in {} rows", block.records);
        let ordinals: Vec<u64> = block.row_ordinals(first).collect();
        let ids = block.rows.column(1).as_primitive::<Int64Type>().values();
        assert!(
            ordinals.iter().map(|ordinal| *ordinal as i64).eq(ids.iter().copied()),
            "ordinals are those of the file"
        );
        good.extend(ordinals);
        first += block.records;
    }
    assert_eq!((first, good.len()), (rows as u64, rows - rows / 5));
    let records: Vec<u64> = blocks(3_000, usize::MAX).map(|block| block.expect("reads").records).collect();
    assert!(records.iter().all(|count| *count <= 3_000) && records[0] > 1_024, "{records:?}");
}
