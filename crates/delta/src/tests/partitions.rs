//! Tables whose data files are kept apart by the values of a column.

use std::collections::BTreeMap;

use arrow::array::{Array as _, Date32Array, Decimal128Array, Float64Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use connector_core::error::ErrorClass;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use serde_json::{Value, json};

use super::types::{array, every_type, values};
use super::*;
use crate::writer::OPEN_FILES;

fn partitioned(ty: ColumnType) -> TableSchema {
    let columns = vec![
        Column::nullable("before", ColumnType::Int64),
        Column::nullable("p", ty),
        Column::nullable("after", ColumnType::String),
    ];
    TableSchema { partition: Some("p".into()), ..TableSchema::new(columns) }
}

fn rows_of(schema: &TableSchema, values: ArrayRef) -> RecordBatch {
    let count = values.len() as i64;
    let before: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    let after: ArrayRef = Arc::new(StringArray::from_iter_values((0..count).map(|row| format!("a{row}"))));
    RecordBatch::try_new(schema.arrow(), vec![before, values, after]).expect("rows")
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// `partitionValues.p` of each `add` of a log entry.
fn logged(bench: &Bench, version: u64) -> Vec<Value> {
    let entry = std::fs::read_to_string(bench.log_file(version)).expect("an entry");
    let actions = entry.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let values = actions.filter_map(|action| action.get("add").map(|add| add["partitionValues"].clone()));
    values
        .map(|values| {
            assert_eq!(values.as_object().map(serde_json::Map::len), Some(1), "{values}");
            values.get("p").expect("the partition column").clone()
        })
        .collect()
}

/// Values of `p` by `before`, as the kernel reads them, cast to text.
fn read(bench: &Bench) -> BTreeMap<i64, Option<String>> {
    let rows = bench.scan(None);
    let before = rows.column_by_name("before").expect("a column");
    let before = before.as_any().downcast_ref::<Int64Array>().expect("longs");
    let found = cast(rows.column_by_name("p").expect("a column"), &DataType::Utf8).expect("text");
    let found = found.as_any().downcast_ref::<StringArray>().expect("texts");
    before.values().iter().copied().zip(found.iter().map(|text| text.map(str::to_owned))).collect()
}

fn data_files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let count = |path: PathBuf| match path.is_dir() {
        true if path.ends_with("_delta_log") => 0,
        true => data_files(&path),
        false => 1,
    };
    entries.map(count).sum()
}

#[test]
fn rows_are_kept_apart_by_value_and_read_back_with_it() {
    let bench = Bench::new();
    let table = bench.table();
    let schema = partitioned(ColumnType::String);
    assert_eq!(bench.create(&table, &schema).expect("created").schema, schema);
    let values = [Some("b"), None, Some("a b/c%=\n"), Some("b"), Some(""), Some("ü"), None];
    let mut files = write_all(&table, &schema, &rows_of(&schema, texts(&values)));
    files.sort_by(|one, two| one.partition.cmp(&two.partition));
    let staged: Vec<_> = files.iter().map(|file| (file.partition.as_deref(), file.rows)).collect();
    assert_eq!(staged, [(None, 2), (Some(""), 1), (Some("a b/c%=\n"), 1), (Some("b"), 2), (Some("ü"), 1)]);
    for file in &files {
        let directory = match file.partition.as_deref() {
            None => "p=__HIVE_DEFAULT_PARTITION__",
            Some("") => "p=",
            Some("b") => "p=b",
            Some("ü") => "p=%C3%BC",
            _ => "p=a%20b%2Fc%25%3D%0A",
        };
        assert!(file.path.starts_with(&format!("{directory}/part-")), "{}", file.path);
        let opened = std::fs::File::open(bench.root.join(&file.path)).expect("the file");
        let reader = SerializedFileReader::new(opened).expect("Parquet");
        let descriptor = reader.metadata().file_metadata().schema_descr();
        let names: Vec<&str> = descriptor.columns().iter().map(|column| column.name()).collect();
        assert_eq!(names, ["before", "after", "_s3_key", "_s3_version", "_s3_row", "_batch_id"]);
        let stats: Value = serde_json::from_str(&file.stats).expect("JSON");
        assert_eq!((&stats["numRecords"], &stats["nullCount"]["p"]), (&json!(file.rows), &Value::Null));
    }
    bench.commit(&table, &bench.batch(1, files)).expect("committed");
    let mut said = logged(&bench, 1);
    said.sort_by_key(ToString::to_string);
    assert_eq!(said, [json!(""), json!("a b/c%=\n"), json!("b"), json!("ü"), json!(null)]);
    let expected: BTreeMap<i64, Option<String>> =
        (0..).zip(values.iter().map(|value| value.map(str::to_owned))).collect();
    let mut found = read(&bench);
    // By the protocol an empty text is NULL; the log tells them apart, and a reader may.
    if found[&4].is_none() {
        found.insert(4, Some(String::new()));
    }
    assert_eq!(found, expected);
    assert_eq!(bench.facts().schema, schema);
}

#[test]
fn values_are_spelled_as_the_protocol_wants_them() {
    let decimal = |values: Vec<Option<i128>>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).expect("decimals"))
    };
    let micros: ArrayRef = Arc::new(
        TimestampMicrosecondArray::from(vec![Some(-1), Some(1_700_000_000_123_456), Some(0), None])
            .with_timezone("UTC"),
    );
    let cases: Vec<(ColumnType, ArrayRef, Vec<Value>)> = vec![
        (
            ColumnType::DateTime64 { precision: 6 },
            micros,
            vec![
                json!("1969-12-31T23:59:59.999999Z"),
                json!("2023-11-14T22:13:20.123456Z"),
                json!("1970-01-01T00:00:00.000000Z"),
                json!(null),
            ],
        ),
        (
            ColumnType::Date,
            Arc::new(Date32Array::from(vec![Some(-719_162), Some(2_932_896), Some(-1)])),
            vec![json!("0001-01-01"), json!("9999-12-31"), json!("1969-12-31")],
        ),
        (
            ColumnType::Decimal { precision: 9, scale: 2 },
            decimal(vec![Some(-5), Some(4_200), Some(0), None], 9, 2),
            vec![json!("-0.05"), json!("42.00"), json!("0.00"), json!(null)],
        ),
        (
            ColumnType::UInt64,
            decimal(vec![Some(u64::MAX.into()), Some(0)], 20, 0),
            vec![json!("18446744073709551615"), json!("0")],
        ),
        (ColumnType::Bool, values(&DataType::Boolean, true), vec![json!("false"), json!(null), json!("true")]),
        (ColumnType::Int8, values(&DataType::Int8, true), vec![json!("-128"), json!(null), json!("127")]),
        (
            ColumnType::Float64,
            Arc::new(Float64Array::from(vec![1e300, -0.5, f64::NAN, -f64::NAN, f64::INFINITY, 1.0])),
            vec![json!("1.0E300"), json!("-0.5"), json!("NaN"), json!("Infinity"), json!("1.0")],
        ),
    ];
    for (ty, values, spelled) in cases {
        let bench = Bench::new();
        let table = bench.table();
        let schema = partitioned(ty.clone());
        bench.create(&table, &schema).expect("created");
        let files = write_all(&table, &schema, &rows_of(&schema, Arc::clone(&values)));
        bench.commit(&table, &bench.batch(1, files)).expect("committed");
        let mut said = logged(&bench, 1);
        let mut expected = spelled;
        said.sort_by_key(ToString::to_string);
        expected.sort_by_key(ToString::to_string);
        assert_eq!(said, expected, "{ty}");
        // The kernel reads the values back as they were.
        let expected = cast(&values, &DataType::Utf8).expect("text");
        let expected = expected.as_any().downcast_ref::<StringArray>().expect("texts");
        let expected = (0..).zip(expected.iter().map(|text| text.map(str::to_owned))).collect();
        assert_eq!(read(&bench), expected, "{ty}");
    }
}

#[test]
fn no_value_escapes_its_directory_or_is_mistaken_for_another() {
    let bench = Bench::new();
    let table = bench.table();
    let mut schema = partitioned(ColumnType::String);
    schema.columns[1] = Column::nullable("größe_1", ColumnType::String);
    schema.partition = Some("größe_1".into());
    bench.create(&table, &schema).expect("created");
    let long = "ä".repeat(200);
    let values = [
        "../../x",
        "..",
        ".",
        "/etc",
        "a:b",
        "%41",
        "A",
        "__HIVE_DEFAULT_PARTITION__",
        "_delta_log",
        "\0",
        "?#&",
        " ",
        &long,
    ];
    let column = texts(&values.map(Some));
    let files = write_all(&table, &schema, &rows_of(&schema, column));
    for file in &files {
        let name = Path::new(&file.path);
        let parent = name.parent().expect("a place").to_str().expect("UTF-8");
        if file.partition.as_deref() == Some(&long) {
            assert_eq!(parent, "", "too long for a name");
        } else {
            assert!(parent.starts_with("größe_1=") && !parent.contains(['/', ':', '\\', ' ', '?']), "{parent}");
            assert_ne!(parent, "größe_1=__HIVE_DEFAULT_PARTITION__");
        }
    }
    let places: std::collections::HashSet<_> = files.iter().map(|file| Path::new(&file.path).parent()).collect();
    assert_eq!(places.len(), values.len());
    bench.commit(&table, &bench.batch(1, files.clone())).expect("committed");
    let rows = bench.scan(None);
    let found =
        rows.column_by_name("größe_1").expect("a column").as_any().downcast_ref::<StringArray>().expect("texts");
    let found: std::collections::BTreeSet<&str> = found.iter().map(|text| text.expect("no NULL")).collect();
    assert_eq!(found, values.into_iter().collect());
    assert!(bench.runtime.block_on(table.staged_files_intact(&files)).expect("an answer"));
}

#[test]
fn every_type_but_lists_can_be_the_partition_column() {
    for column in every_type().columns {
        let bench = Bench::new();
        let table = bench.table();
        let schema = partitioned(column.ty.clone());
        if matches!(column.ty, ColumnType::Array { .. }) {
            let refused = bench.create(&table, &schema).expect_err("a list");
            assert_eq!((refused.class, refused.code), (ErrorClass::Config, "bad_schema"), "{}", refused.message);
            continue;
        }
        assert_eq!(bench.create(&table, &schema).expect("created").schema, schema);
        let column = values(&column.ty.arrow(), true);
        let files = write_all(&table, &schema, &rows_of(&schema, column));
        assert_eq!(files.len(), 3, "{:?}", schema.columns[1].ty);
        bench.commit(&table, &bench.batch(1, files)).expect("committed");
        assert_eq!(bench.scan(None).num_rows(), 3);
    }
    let bench = Bench::new();
    let schema = TableSchema { partition: Some("q".into()), ..small_schema() };
    assert_eq!(bench.create(&bench.table(), &schema).expect_err("no such column").code, "bad_schema");
}

#[test]
fn few_files_are_open_at_once_whatever_the_values() {
    let bench = Bench::new();
    let table = bench.table();
    let schema = partitioned(ColumnType::Int64);
    bench.create(&table, &schema).expect("created");
    let values = 3 * OPEN_FILES as i64;
    let mut writer = boxed(&table, &schema);
    let open = || {
        let links = std::fs::read_dir("/proc/self/fd").expect("descriptors").filter_map(Result::ok);
        links.filter(|link| std::fs::read_link(link.path()).is_ok_and(|to| to.starts_with(&bench.root))).count()
    };
    let has_descriptors = std::path::Path::new("/proc/self/fd").exists();
    for round in 0..4_u64 {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values((0..2 * values).map(|row| row % values)));
        let ordinals: Vec<u64> = (0..2 * values as u64).map(|row| row + round * 1_000).collect();
        writer.write(&rows_of(&schema, column), &origin("k"), &ordinals).expect("written");
        assert!(!has_descriptors || open() <= OPEN_FILES, "{}", open());
        assert!(writer.buffered_bytes() > 0);
        writer.flush().expect("flushed");
        assert_eq!(writer.buffered_bytes(), 0);
    }
    let files = writer.finish().expect("finished");
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 8 * values as u64);
    assert!(files.len() > values as usize && files.len() < 4 * values as usize, "{}", files.len());
    assert_eq!(data_files(&bench.root), files.len());
    assert!(bench.runtime.block_on(table.staged_files_intact(&files)).expect("an answer"));
    bench.commit(&table, &bench.batch(1, files)).expect("committed");
    let rows = bench.scan(None);
    let longs = |name: &str| {
        let column = rows.column_by_name(name).expect("a column");
        column.as_any().downcast_ref::<Int64Array>().expect("longs").values().to_vec()
    };
    // Each row kept its value, its other columns and its ordinal together.
    let mut found: Vec<_> = longs("_s3_row").into_iter().zip(longs("before")).zip(longs("p")).collect();
    found.sort_unstable();
    let expected: Vec<_> =
        (0..4).flat_map(|round| (0..2 * values).map(move |row| ((row + round * 1_000, row), row % values))).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_a_writer_closed_early_goes_with_it() {
    let bench = Bench::new();
    let table = bench.table();
    let schema = partitioned(ColumnType::Int64);
    bench.create(&table, &schema).expect("created");
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..3 * OPEN_FILES as i64));
    let ordinals: Vec<u64> = (0..3 * OPEN_FILES as u64).collect();
    let mut writer = boxed(&table, &schema);
    writer.write(&rows_of(&schema, Arc::clone(&column)), &origin("k"), &ordinals).expect("written");
    assert_eq!(data_files(&bench.root), 3 * OPEN_FILES);
    writer.discard();
    assert_eq!(data_files(&bench.root), 0);
    let files = write_all(&table, &schema, &rows_of(&schema, column));
    bench.runtime.block_on(table.discard(&files));
    assert_eq!(data_files(&bench.root), 0);
}

#[test]
fn partitions_survive_a_checkpoint_an_added_column_and_another_process() {
    let bench = Bench::new();
    let schema = partitioned(ColumnType::String);
    bench.create(&bench.table(), &schema).expect("created");
    let table = bench.table();
    let extra = Column::nullable("extra", ColumnType::Int64);
    for seq in 1..=52 {
        let table = if seq % 10 == 0 { bench.table() } else { table.clone() };
        let files = write_all(&table, &schema, &rows_of(&schema, texts(&[Some("x"), None, Some("")])));
        let add_columns = if seq == 20 { vec![extra.clone()] } else { vec![] };
        let commit = TableCommit { add_columns, ..bench.batch(seq, files) };
        while bench.commit(&table, &commit).expect("an answer") == CommitAnswer::Conflict {}
    }
    (0..50).for_each(|version| std::fs::remove_file(bench.log_file(version)).expect("removed"));
    let rows = bench.scan(None);
    let values = rows.column_by_name("p").expect("a column");
    let values = values.as_any().downcast_ref::<StringArray>().expect("texts");
    assert_eq!(values.iter().filter(|value| *value == Some("x")).count(), 52);
    assert_eq!(values.len(), 156);
    let mut expected = schema;
    expected.columns.push(extra);
    assert_eq!(bench.facts().schema, expected);
}

#[test]
fn a_time_beyond_the_calendar_is_an_error_of_the_data() {
    let bench = Bench::new();
    let table = bench.table();
    let schema = partitioned(ColumnType::Date);
    bench.create(&table, &schema).expect("created");
    let column: ArrayRef = Arc::new(Date32Array::from(vec![0, i32::MAX]));
    let mut writer = boxed(&table, &schema);
    let refused = writer.write(&rows_of(&schema, column), &origin("k"), &[0, 1]).expect_err("no spelling");
    assert_eq!((refused.class, refused.code), (ErrorClass::Data, "bad_partition"), "{}", refused.message);
    assert!(refused.message.contains("'p'"), "{}", refused.message);
}

#[test]
fn a_table_that_another_program_has_partitioned_otherwise_is_refused() {
    let cases = [
        ("[\"p\"]", "[\"before\"]", "by before"),
        ("[\"p\"]", "[]", "not partitioned"),
        ("[\"p\"]", "[\"p\",\"after\"]", "p, after"),
    ];
    for (ours, theirs, part) in cases {
        let bench = Bench::new();
        bench.create(&bench.table(), &partitioned(ColumnType::String)).expect("created");
        let log = std::fs::read_to_string(bench.log_file(0)).expect("a log entry");
        let altered = log.replace(&format!("\"partitionColumns\":{ours}"), &format!("\"partitionColumns\":{theirs}"));
        assert_ne!(log, altered);
        std::fs::write(bench.log_file(0), altered).expect("written");
        let refused = bench.runtime.block_on(bench.table().read()).expect_err("refused");
        assert_eq!((refused.class, refused.code), (ErrorClass::Config, "table_layout"));
        assert!(refused.message.contains(part), "{}", refused.message);
    }
}

#[test]
fn a_list_beside_the_partition_column_stays_with_its_row() {
    let bench = Bench::new();
    let table = bench.table();
    let columns =
        vec![Column::required("tags", array(ColumnType::Int64, true)), Column::nullable("p", ColumnType::String)];
    let schema = TableSchema { partition: Some("p".into()), ..TableSchema::new(columns) };
    bench.create(&table, &schema).expect("created");
    let tags = values(&schema.columns[0].ty.arrow(), false);
    let rows = vec![Arc::clone(&tags), texts(&[Some("x"), Some("y"), Some("x")])];
    let files = write_all(&table, &schema, &RecordBatch::try_new(schema.arrow(), rows).expect("rows"));
    bench.commit(&table, &bench.batch(1, files)).expect("committed");
    let rows = bench.scan(None);
    let (found, ordinals) = (rows.column_by_name("tags").expect("tags"), rows.column_by_name("_s3_row").expect("rows"));
    let ordinals = ordinals.as_any().downcast_ref::<Int64Array>().expect("longs");
    for (row, ordinal) in ordinals.values().iter().enumerate() {
        assert_eq!(found.slice(row, 1).as_ref(), tags.slice(*ordinal as usize, 1).as_ref());
    }
}
