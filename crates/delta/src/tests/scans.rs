//! Reading tables back: every column, some of them, of files that lack them, of files that others have changed.

use arrow::array::{Array as _, Int32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::DataType;
use connector_core::error::{ErrorClass, Failure};
use connector_core::schema::PROVENANCE_COLUMNS;
use parquet::arrow::ArrowWriter;

use super::types::{every_row, every_type};
use super::*;
use crate::TableScan;

fn scan(bench: &Bench, columns: Option<&[&str]>) -> Result<TableScan, Failure> {
    let columns: Option<Vec<String>> = columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let scan = bench.runtime.block_on(bench.table().scan(columns.as_deref()))?;
    Ok(scan.expect("a table"))
}

fn rows(scan: TableScan) -> RecordBatch {
    let schema = Arc::clone(scan.schema());
    let batches: Vec<RecordBatch> = scan.map(|batch| batch.expect("readable")).collect();
    concat_batches(&schema, &batches).expect("equal schemas")
}

/// Rows of one column as text, sorted.
fn sorted(rows: &RecordBatch, column: &str) -> Vec<String> {
    let options = arrow::util::display::FormatOptions::default().with_null("NULL");
    let found = rows.column_by_name(column).expect("the column");
    let found = arrow::util::display::ArrayFormatter::try_new(found, &options).expect("printable");
    let mut texts: Vec<String> = (0..rows.num_rows()).map(|row| found.value(row).to_string()).collect();
    texts.sort();
    texts
}

#[test]
fn a_scan_reads_what_the_kernel_reads() {
    let bench = Bench::new();
    let table = bench.table();
    assert!(bench.runtime.block_on(table.scan(None)).expect("readable").is_none());
    bench.create(&table, &every_type()).expect("created");
    let empty = scan(&bench, None).expect("a scan");
    assert_eq!((empty.file_count(), empty.row_count(), empty.version()), (0, Some(0), 0));
    assert_eq!(rows(empty).num_rows(), 0);
    for seq in 1..=3 {
        let files = write_all(&table, &every_type(), &every_row());
        bench.commit(&table, &bench.batch(seq, files)).expect("committed");
    }
    let ours = scan(&bench, None).expect("a scan");
    assert_eq!((ours.file_count(), ours.row_count(), ours.version()), (3, Some(9), 3));
    let names: Vec<String> = ours.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names[names.len() - 4..], PROVENANCE_COLUMNS);
    let (ours, theirs) = (rows(ours), bench.scan(None));
    assert_eq!(ours.num_columns(), theirs.num_columns());
    for name in names {
        let column = |rows: &RecordBatch| Arc::clone(rows.column_by_name(&name).expect("a column"));
        assert_eq!(column(&ours).as_ref(), column(&theirs).as_ref(), "{name}");
    }
}

#[test]
fn columns_come_in_the_order_that_was_asked_for() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 5).expect("committed");
    let chosen = rows(scan(&bench, Some(&["_s3_row", "name", "id"])).expect("a scan"));
    let names: Vec<String> = chosen.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["_s3_row", "name", "id"]);
    assert_eq!(chosen.column(2).as_ref(), &Int64Array::from_iter_values(0..5));
    assert_eq!(chosen.column(1).as_ref(), small_rows(0, 5).column(1).as_ref());
    assert_eq!(rows(scan(&bench, Some(&[])).expect("a scan")).num_rows(), 5);
    let refused = scan(&bench, Some(&["id", "Name"])).err().expect("no such column");
    assert_eq!((refused.class, refused.code), (ErrorClass::Config, "no_such_column"));
    assert!(refused.message.contains("'Name'") && refused.message.contains("id, name, _s3_key"), "{}", refused.message);
}

#[test]
fn what_a_file_lacks_is_null_and_partition_values_are_filled_in() {
    for ty in [ColumnType::String, ColumnType::DateTime64 { precision: 6 }, ColumnType::UInt64, ColumnType::Bool] {
        let bench = Bench::new();
        let table = bench.table();
        let columns = vec![Column::nullable("p", ty.clone()), Column::nullable("a", ColumnType::Int64)];
        let schema = TableSchema { partition: Some("p".into()), ..TableSchema::new(columns) };
        bench.create(&table, &schema).expect("created");
        let values = super::types::values(&ty.arrow(), true);
        let old = vec![Arc::clone(&values), Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef];
        let files = write_all(&table, &schema, &RecordBatch::try_new(schema.arrow(), old).expect("rows"));
        bench.commit(&table, &bench.batch(1, files)).expect("committed");
        let extra =
            Column::nullable("extra", ColumnType::Array { element: Box::new(ColumnType::Int8), nullable: true });
        let add_columns = vec![extra];
        bench.commit(&table, &TableCommit { add_columns, ..bench.batch(2, vec![]) }).expect("committed");
        let read = rows(scan(&bench, Some(&["extra", "p", "a"])).expect("a scan"));
        assert_eq!(read.column(0).null_count(), 3);
        let ids = read.column(2).as_any().downcast_ref::<Int64Array>().expect("longs");
        for (row, id) in ids.values().iter().enumerate() {
            let expected = values.slice(*id as usize - 1, 1);
            assert_eq!(read.column(1).slice(row, 1).as_ref(), expected.as_ref(), "{ty}");
        }
        // Only what stands in the log: no column is read from a file.
        assert_eq!(sorted(&rows(scan(&bench, Some(&["p"])).expect("a scan")), "p"), sorted(&read, "p"));
    }
}

#[test]
fn wide_rows_come_in_small_batches() {
    let bench = Bench::new();
    let schema =
        TableSchema::new(vec![Column::nullable("n", ColumnType::Int64), Column::nullable("t", ColumnType::String)]);
    let table = bench.table();
    bench.create(&table, &schema).expect("created");
    // The same text over and over: next to nothing in the file, 20 MB in memory.
    let text = "x".repeat(100_000);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(0..200)), Arc::new(StringArray::from(vec![text.as_str(); 200]))];
    let rows = RecordBatch::try_new(schema.arrow(), columns).expect("rows");
    bench.commit(&table, &bench.batch(1, write_all(&table, &schema, &rows))).expect("committed");
    let sizes: Vec<usize> = scan(&bench, None).expect("a scan").map(|batch| batch.expect("rows").num_rows()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 200);
    assert!(sizes.iter().all(|rows| *rows <= 42), "{sizes:?}");
    let narrow = scan(&bench, Some(&["n"])).expect("a scan");
    assert_eq!(narrow.map(|batch| batch.expect("rows").num_rows()).collect::<Vec<_>>(), [200]);
}

/// Replaces a data file by one that another program has written; returns the log line that was there.
fn rewrite(bench: &Bench, file: &StagedFile, rows: &RecordBatch) {
    let out = std::fs::File::create(bench.root.join(&file.path)).expect("a file");
    let mut writer = ArrowWriter::try_new(out, rows.schema(), None).expect("a writer");
    writer.write(rows).expect("written");
    writer.close().expect("closed");
}

#[test]
fn a_file_in_other_types_is_cast_and_what_does_not_fit_is_an_error() {
    let bench = Bench::new();
    let table = bench.created();
    let file = stage(&table, 0, 3);
    bench.commit(&table, &bench.batch(1, vec![file.clone()])).expect("committed");
    let ids: ArrayRef = Arc::new(Int32Array::from(vec![7, 8, 9]));
    let names: ArrayRef = Arc::new(arrow::array::LargeStringArray::from(vec![Some("a"), None, Some("c")]));
    let foreign = RecordBatch::try_from_iter_with_nullable([("name", names, true), ("id", ids, false)]).expect("rows");
    rewrite(&bench, &file, &foreign);
    let read = rows(scan(&bench, None).expect("a scan"));
    assert_eq!(read.column(0).data_type(), &DataType::Int64);
    assert_eq!(
        (sorted(&read, "id"), sorted(&read, "name")),
        (vec!["7".into(), "8".into(), "9".into()], vec!["NULL".to_owned(), "a".into(), "c".into()])
    );
    assert_eq!(read.column_by_name("_s3_key").expect("a column").null_count(), 3);
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "1"]));
    rewrite(&bench, &file, &RecordBatch::try_from_iter([("id", texts)]).expect("rows"));
    let mut failing = scan(&bench, None).expect("a scan");
    let error = failing.next().expect("an answer").expect_err("no number");
    assert_eq!((error.class, error.code), (ErrorClass::Config, "data_file_unreadable"), "{}", error.message);
    assert!(failing.next().is_none());
}

#[test]
fn a_file_that_is_gone_or_damaged_is_named() {
    let bench = Bench::new();
    let table = bench.created();
    let file = stage(&table, 0, 3);
    bench.commit(&table, &bench.batch(1, vec![file.clone()])).expect("committed");
    let path = bench.root.join(&file.path);
    let whole = std::fs::read(&path).expect("the file");
    for damaged in [None, Some(&whole[..20]), Some(&[][..]), Some(&[0; 300][..])] {
        match damaged {
            None => std::fs::remove_file(&path).expect("removed"),
            Some(bytes) => std::fs::write(&path, bytes).expect("written"),
        }
        let mut failing = scan(&bench, None).expect("a scan");
        assert_eq!(failing.row_count(), Some(3), "the log says so");
        let error = failing.next().expect("an answer").expect_err("damaged");
        assert_eq!((error.class, error.code), (ErrorClass::Config, "data_file_unreadable"), "{}", error.message);
        assert!(error.message.contains(&file.path), "{}", error.message);
        assert!(failing.next().is_none());
    }
}

/// z85, in which a log entry holds a deletion vector.
fn z85(bytes: &[u8]) -> String {
    let letters: Vec<char> =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#".chars().collect();
    let words = bytes.chunks(4).map(|word| word.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)));
    words
        .flat_map(|word| {
            [85_u32.pow(4), 85_u32.pow(3), 85 * 85, 85, 1].map(|unit| letters[(word / unit % 85) as usize])
        })
        .collect()
}

#[test]
fn rows_that_another_program_has_deleted_are_not_read() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 5).expect("committed");
    // Rows 1 and 3, as a 64-bit roaring bitmap with one array container.
    let mut vector = 1_681_511_377_u32.to_le_bytes().to_vec();
    vector.extend(1_u64.to_le_bytes());
    for word in [0_u32, 12_346, 1, 1 << 16, 16, 3 << 16 | 1] {
        vector.extend(word.to_le_bytes());
    }
    let deletion = serde_json::json!({
        "storageType": "i", "pathOrInlineDv": z85(&vector), "sizeInBytes": vector.len(), "cardinality": 2,
    });
    let log = std::fs::read_to_string(bench.log_file(0)).expect("an entry");
    let featured = log
        .replace("\"readerFeatures\":[", "\"readerFeatures\":[\"deletionVectors\"")
        .replace("\"writerFeatures\":[", "\"writerFeatures\":[\"deletionVectors\"");
    assert_ne!(log, featured);
    std::fs::write(bench.log_file(0), featured).expect("written");
    let entry = std::fs::read_to_string(bench.log_file(1)).expect("an entry");
    let marked: Vec<String> = entry
        .lines()
        .map(|line| {
            let mut action: serde_json::Value = serde_json::from_str(line).expect("JSON");
            if let Some(add) = action.get_mut("add") {
                add["deletionVector"] = deletion.clone();
            }
            action.to_string()
        })
        .collect();
    std::fs::write(bench.log_file(1), marked.join("\n")).expect("written");
    assert_eq!(bench.ids(), [0, 2, 4], "as the kernel reads it");
    let left = scan(&bench, Some(&["id"])).expect("a scan");
    assert_eq!(left.row_count(), Some(3));
    assert_eq!(rows(left).column(0).as_ref(), &Int64Array::from(vec![0, 2, 4]));
}
