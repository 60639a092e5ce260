//! Data files: what is in them, what is said of them, and that none is left behind.

use arrow::array::{Float32Array, Float64Array, TimestampMicrosecondArray};
use connector_core::error::ErrorClass;
use connector_core::schema::PROVENANCE_COLUMNS;
use delta_kernel::Predicate;
use delta_kernel::expressions::{ColumnName, Expression, Scalar};
use parquet::basic::{Compression, Encoding};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::{Value, json};

use super::types::{every_row, every_type};
use super::*;

fn parquet(bench: &Bench, file: &StagedFile) -> SerializedFileReader<std::fs::File> {
    let opened = std::fs::File::open(bench.root.join(&file.path)).expect("the file");
    SerializedFileReader::new(opened).expect("Parquet")
}

#[test]
fn rows_of_every_type_read_back_with_their_provenance() {
    let bench = Bench::new();
    let table = bench.table();
    bench.create(&table, &every_type()).expect("created");
    let rows = every_row();
    let mut writer = boxed(&table, &every_type());
    writer.write(&rows, &origin("a/ü b.csv"), &[0, 5, u64::from(u32::MAX) + 9]).expect("written");
    let other = RowOrigin { version: ObjectVersionId([0xab; 16]), ..origin("c.csv") };
    writer.write(&rows.slice(1, 2), &other, &[1, 2]).expect("written");
    let file = only(writer.finish());
    assert_eq!(file.rows, 5);
    let commit = bench.batch(1, vec![file]);
    bench.commit(&table, &commit).expect("committed");

    let read = bench.scan(None);
    let expected = concat_batches(&rows.schema(), [&rows, &rows.slice(1, 2)]).expect("rows");
    for (index, column) in every_type().columns.iter().enumerate() {
        let found = read.column_by_name(&column.name).expect("a column");
        assert_eq!(found.as_ref(), expected.column(index).as_ref(), "{}", column.ty);
    }
    let text = |name: &str| {
        let found = read.column_by_name(name).expect("a column");
        let found = found.as_any().downcast_ref::<StringArray>().expect("strings");
        found.iter().map(|value| value.expect("no NULL").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(text("_s3_key"), ["a/ü b.csv", "a/ü b.csv", "a/ü b.csv", "c.csv", "c.csv"]);
    let (seven, ab) = ("07".repeat(16), "ab".repeat(16));
    assert_eq!(text("_s3_version"), [seven.as_str(), &seven, &seven, &ab, &ab]);
    assert_eq!(text("_batch_id"), vec![origin("").batch.as_str(); 5]);
    let ordinals = read.column_by_name("_s3_row").expect("a column");
    assert_eq!(ordinals.as_ref(), &Int64Array::from(vec![0, 5, i64::from(u32::MAX) + 9, 1, 2]));
}

#[test]
fn a_large_block_keeps_row_and_ordinal_together() {
    let bench = Bench::new();
    let table = bench.created();
    let rows = small_rows(0, 20_000);
    let ordinals: Vec<u64> = (0..20_000).map(|id| id * 3 + 1).collect();
    let mut writer = boxed(&table, &small_schema());
    writer.write(&rows, &origin("k"), &ordinals).expect("written");
    let file = only(writer.finish());
    bench.commit(&table, &bench.batch(1, vec![file])).expect("committed");
    let read = bench.scan(None);
    let longs = |name: &str| {
        let column = read.column_by_name(name).expect("a column");
        column.as_any().downcast_ref::<Int64Array>().expect("longs").values().to_vec()
    };
    assert_eq!(longs("id"), (0..20_000).collect::<Vec<_>>());
    assert_eq!(longs("_s3_row"), longs("id").into_iter().map(|id| id * 3 + 1).collect::<Vec<_>>());
}

#[test]
fn statistics_are_exact_where_delta_can_say_it() {
    let bench = Bench::new();
    let table = bench.table();
    bench.create(&table, &every_type()).expect("created");
    let file = write_all(&table, &every_type(), &every_row()).remove(0);
    let stats: Value = serde_json::from_str(&file.stats).expect("JSON");
    assert_eq!(stats["numRecords"], 3);
    let expected = [
        (ColumnType::Int8, json!(-128), json!(127)),
        (ColumnType::Int64, json!(i64::MIN), json!(i64::MAX)),
        (ColumnType::UInt8, json!(i16::MIN), json!(i16::MAX)),
        (ColumnType::Float32, json!(f64::from(-0.1_f32)), json!(f64::from(0.1_f32))),
        (ColumnType::Float64, json!(-1e300), json!(1e300)),
        (ColumnType::Bool, Value::Null, Value::Null),
        (ColumnType::Date, json!("0001-01-01"), json!("9999-12-31")),
        (ColumnType::DateTime, json!("1969-12-31T23:59:59.999Z"), json!("2023-11-14T22:13:20.124Z")),
        (ColumnType::Decimal { precision: 9, scale: 2 }, json!(-9_999_999.99), json!(9_999_999.99)),
        (ColumnType::String, json!(""), json!("zoë \"q\" \\ \u{1F600}\n")),
    ];
    for (ty, min, max) in expected {
        let schema = every_type();
        let column = schema.columns.iter().find(|column| column.ty == ty && column.nullable).expect("a column");
        let bounds = (&stats["minValues"][&column.name], &stats["maxValues"][&column.name]);
        assert_eq!(bounds, (&min, &max), "{ty}");
        assert_eq!(stats["nullCount"][&column.name], 1, "{ty}");
    }
    let digits = "9".repeat(20);
    assert!(file.stats.contains(&format!("\"c7\":-{digits},")), "no digit of a UInt64 is lost: {}", file.stats);
    assert!(file.stats.contains(&format!("\"c19\":{}.{},", "9".repeat(28), "9".repeat(10))), "{}", file.stats);
    assert_eq!(stats["nullCount"]["first_name_ü"], 0);
    for name in PROVENANCE_COLUMNS {
        assert_eq!(stats["nullCount"][name], 0);
        assert_ne!(stats["minValues"][name], Value::Null);
    }
}

#[test]
fn readers_skip_a_file_by_its_bounds_and_never_wrongly() {
    let bench = Bench::new();
    let table = bench.table();
    // Readers look at the bounds of the first 32 columns only.
    let schema = TableSchema::new(every_type().columns[..25].to_vec());
    bench.create(&table, &schema).expect("created");
    let rows = every_row().project(&(0..25).collect::<Vec<_>>()).expect("columns");
    let file = write_all(&table, &schema, &rows).remove(0);
    bench.commit(&table, &bench.batch(1, vec![file])).expect("committed");
    let rows_where = |predicate: Predicate| bench.scan(Some(Arc::new(predicate))).num_rows();
    let column = |name: &str| Expression::from(ColumnName::new([name]));
    let last = 1_700_000_000_123_456;
    let decimal = |value: i128, precision, scale| Scalar::decimal(value, precision, scale).expect("a decimal");
    let most = 10_i128.pow(38) - 1;
    let beyond = [
        ("c0", Scalar::Byte(i8::MAX - 1), Scalar::Byte(i8::MAX)),
        ("c3", Scalar::Long(i64::MAX - 1), Scalar::Long(i64::MAX)),
        ("c7", decimal(99_999_999_999_999_999_998, 20, 0), decimal(99_999_999_999_999_999_999, 20, 0)),
        ("c8", Scalar::Float(0.099_999_994), Scalar::Float(0.1)),
        ("c11", Scalar::Date(2_932_895), Scalar::Date(2_932_896)),
        ("c12", Scalar::Timestamp(last - 1), Scalar::Timestamp(last + 2_000)),
        ("c19", decimal(most - 1, 38, 10), decimal(most, 38, 10)),
        ("c20", Scalar::from("zoë"), Scalar::from("zz")),
        ("_s3_key", Scalar::from("j"), Scalar::from("k")),
    ];
    for (name, below, at) in beyond {
        assert_eq!(rows_where(Predicate::gt(column(name), below)), 3, "{name}");
        assert_eq!(rows_where(Predicate::gt(column(name), at)), 0, "{name}");
    }
}

#[test]
fn a_nan_or_a_time_beyond_the_calendar_has_no_bounds() {
    let bench = Bench::new();
    let columns = [ColumnType::Float64, ColumnType::Float32, ColumnType::DateTime, ColumnType::Int64];
    let columns = columns.into_iter().enumerate().map(|(index, ty)| Column::nullable(format!("c{index}"), ty));
    let schema = TableSchema::new(columns.collect());
    let table = bench.table();
    bench.create(&table, &schema).expect("created");
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from(vec![1.0, f64::NAN])),
        Arc::new(Float32Array::from(vec![1.0, f32::INFINITY])),
        Arc::new(TimestampMicrosecondArray::from(vec![i64::MIN, i64::MAX]).with_timezone("UTC")),
        Arc::new(Int64Array::from(vec![None, None])),
    ];
    let file = write_all(&table, &schema, &RecordBatch::try_new(schema.arrow(), arrays).expect("rows")).remove(0);
    let stats: Value = serde_json::from_str(&file.stats).expect("JSON");
    let bounds = |name: &str| (stats["minValues"][name].clone(), stats["maxValues"][name].clone());
    assert_eq!(bounds("c0"), (Value::Null, Value::Null));
    assert_eq!(bounds("c1"), (json!(1.0), Value::Null));
    assert_eq!(bounds("c2"), (Value::Null, Value::Null));
    assert_eq!(bounds("c3"), (Value::Null, Value::Null));
    assert_eq!(stats["nullCount"]["c3"], 2);
}

#[test]
fn bounds_span_row_groups_and_only_the_first_columns_have_them() {
    let bench = Bench::new();
    let schema =
        TableSchema::new((0..40).map(|index| Column::nullable(format!("c{index}"), ColumnType::Int64)).collect());
    let table = bench.table();
    bench.create(&table, &schema).expect("created");
    let rows = |values: [Option<i64>; 2]| {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_new(schema.arrow(), vec![column; 40]).expect("rows")
    };
    let mut writer = boxed(&table, &schema);
    for values in [[Some(5), Some(-3)], [None, None], [Some(9), None]] {
        writer.write(&rows(values), &origin("k"), &[0, 1]).expect("written");
        assert!(writer.buffered_bytes() > 0);
        writer.flush().expect("flushed");
        assert_eq!(writer.buffered_bytes(), 0);
    }
    let file = only(writer.finish());
    assert_eq!(parquet(&bench, &file).metadata().num_row_groups(), 3);
    let stats: Value = serde_json::from_str(&file.stats).expect("JSON");
    assert_eq!((&stats["minValues"]["c0"], &stats["maxValues"]["c0"]), (&json!(-3), &json!(9)));
    assert_eq!(stats["nullCount"]["c31"], 3);
    assert_eq!(stats["nullCount"]["c32"], Value::Null);
    assert_eq!(stats["maxValues"]["_s3_row"], 1);
}

#[test]
fn files_are_zstd_with_dictionaries_for_text_only() {
    let bench = Bench::new();
    let table = bench.created();
    let file = stage(&table, 0, 20_000);
    let reader = parquet(&bench, &file);
    assert_eq!(reader.metadata().file_metadata().num_rows(), 20_000);
    let group = reader.metadata().row_group(0);
    for column in group.columns() {
        assert!(matches!(column.compression(), Compression::ZSTD(_)));
        let name = column.column_path().string();
        let dictionary = column.encodings().any(|encoding| encoding == Encoding::RLE_DICTIONARY);
        assert_eq!(dictionary, ["name", "_s3_key", "_s3_version", "_batch_id"].contains(&name.as_str()), "{name}");
    }
    let last = group.column(4);
    assert!(last.compressed_size() < 2_000, "ordinals cost next to nothing: {}", last.compressed_size());
}

#[test]
fn a_row_group_is_closed_before_it_grows_large() {
    let bench = Bench::new();
    let schema = TableSchema::new(vec![Column::nullable("t", ColumnType::String)]);
    let table = bench.table();
    bench.create(&table, &schema).expect("created");
    let mut writer = boxed(&table, &schema);
    let mut noise = 1_u64;
    let mut most = 0;
    // 64 letters at random: zstd cannot take off more than a quarter.
    let mut letter = || {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'0' + (noise >> 58) as u8)
    };
    for _ in 0..13 {
        let texts: Vec<String> = (0..1_000).map(|_| (0..8_000).map(|_| letter()).collect()).collect();
        let column: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        let rows = RecordBatch::try_new(schema.arrow(), vec![column]).expect("rows");
        writer.write(&rows, &origin("k"), &(0..1_000).collect::<Vec<_>>()).expect("written");
        most = most.max(writer.buffered_bytes());
    }
    assert!(most < 80 << 20, "{most}");
    let file = only(writer.finish());
    assert_eq!(parquet(&bench, &file).metadata().num_row_groups(), 2);
    assert_eq!(file.rows, 13_000);
}

#[test]
fn unfinished_and_empty_files_leave_nothing() {
    let bench = Bench::new();
    let table = bench.created();
    let write = |writer: &mut Box<dyn DataFileWriter>| {
        writer.write(&small_rows(0, 10), &origin("k"), &(0..10).collect::<Vec<_>>()).expect("written");
    };
    let mut writer = boxed(&table, &small_schema());
    write(&mut writer);
    assert_eq!(bench.files_with("", ".parquet").len(), 1);
    writer.discard();
    assert_eq!(bench.files_with("", ".parquet").len(), 0);
    let mut writer = boxed(&table, &small_schema());
    write(&mut writer);
    drop(writer);
    assert_eq!(bench.files_with("", ".parquet").len(), 0);
    let mut writer = boxed(&table, &small_schema());
    writer.write(&small_rows(0, 0), &origin("k"), &[]).expect("no rows");
    assert_eq!(writer.finish().expect("finished"), []);
    assert_eq!(bench.files_with("", ".parquet").len(), 0);
}

#[test]
fn a_block_that_does_not_fit_is_a_bug_and_not_a_row() {
    let bench = Bench::new();
    let table = bench.created();
    let good = small_rows(0, 3);
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1), Some(2)]));
    let names = good.column(1).clone();
    let with_null = RecordBatch::try_from_iter([("id", nulls), ("name", names.clone())]).expect("rows");
    let swapped = RecordBatch::try_from_iter([("id", names), ("name", good.column(0).clone())]).expect("rows");
    for (rows, ordinals) in [(&with_null, vec![0, 1, 2]), (&swapped, vec![0, 1, 2]), (&good, vec![0, 1])] {
        let mut writer = boxed(&table, &small_schema());
        let error = writer.write(rows, &origin("k"), &ordinals).expect_err("refused");
        assert_eq!((error.class, error.code), (ErrorClass::Bug, "bad_block"), "{}", error.message);
    }
}

#[test]
fn staged_files_are_intact_only_whole() {
    let bench = Bench::new();
    let table = bench.created();
    let (first, second) = (stage(&table, 0, 10), stage(&table, 10, 20));
    let intact = |files: &[StagedFile]| bench.runtime.block_on(table.staged_files_intact(files)).expect("an answer");
    assert!(intact(&[]));
    assert!(intact(&[first.clone(), second.clone()]));
    let path = bench.root.join(&second.path);
    let whole = std::fs::read(&path).expect("the file");
    std::fs::write(&path, &whole[..whole.len() - 1]).expect("short");
    assert!(!intact(&[first.clone(), second.clone()]));
    std::fs::write(&path, [&whole[..], b"PAR1"].concat()).expect("long");
    assert!(!intact(&[first.clone(), second.clone()]));
    let mut zeroed = whole.clone();
    zeroed[whole.len() - 8..].fill(0);
    std::fs::write(&path, &zeroed).expect("zeroed");
    assert!(!intact(&[first.clone(), second.clone()]), "as long as before, but never written out");
    std::fs::write(&path, &whole).expect("whole");
    assert!(intact(&[first.clone(), second.clone()]));
    std::fs::remove_file(&path).expect("removed");
    assert!(!intact(&[first.clone(), second.clone()]));
    let error = bench.commit(&table, &bench.batch(1, vec![first, second])).expect_err("gone");
    assert_eq!((error.class, error.code), (ErrorClass::Transient, "staged_file_missing"));
    assert_eq!(bench.facts().version, 0);
}
