//! Creating and reading tables.

use std::os::unix::fs::PermissionsExt as _;

use connector_core::error::ErrorClass;
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::schema::{ArrayType, DataType, StructField, StructType};
use delta_kernel::transaction::create_table::create_table;

use super::types::every_type;
use super::*;

#[test]
fn a_schema_reads_back_as_it_was_created() {
    let bench = Bench::new();
    let table = bench.table();
    assert_eq!(bench.runtime.block_on(table.read()).expect("readable"), None);
    let created = bench.create(&table, &every_type()).expect("created");
    let expected = TableFacts {
        version: 0,
        import: Some(bench.import),
        committed_seq: 0,
        committed_uuid: None,
        committed_batch: None,
        schema: every_type(),
    };
    assert_eq!(created, expected);
    assert_eq!(bench.facts(), expected);
}

#[test]
fn a_table_has_provenance_columns_and_the_files_names_as_comments() {
    let bench = Bench::new();
    bench.create(&bench.table(), &every_type()).expect("created");
    let schema = bench.snapshot().schema();
    let names: Vec<&str> = schema.fields().rev().take(4).map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["_batch_id", "_s3_row", "_s3_version", "_s3_key"]);
    let comment = |name: &str| schema.field(name).expect("a field").metadata().get("comment").map(ToString::to_string);
    assert_eq!(comment("first_name_ü").as_deref(), Some("first \"name\" / ü"));
    assert_eq!(comment("c0"), None);
}

#[test]
fn a_second_creation_is_refused_and_changes_nothing() {
    let bench = Bench::new();
    let table = bench.created();
    let before = bench.facts();
    for again in [&table, &bench.table()] {
        let refused = bench.create(again, &every_type()).expect_err("there is a table");
        assert_eq!((refused.class, refused.code), (ErrorClass::Config, "table_exists"));
    }
    assert_eq!(bench.facts(), before);
}

#[test]
fn of_two_creations_at_once_one_wins() {
    let bench = Bench::new();
    let results: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> =
            (0..4).map(|_| scope.spawn(|| bench.create(&bench.table(), &small_schema()).map_err(|e| e.code))).collect();
        racers.into_iter().map(|racer| racer.join().expect("no panic")).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert!(results.iter().all(|result| !matches!(result, Err(code) if *code != "table_exists")), "{results:?}");
}

#[test]
fn what_an_interrupted_creation_left_is_no_table() {
    let bench = Bench::new();
    let log = bench.root.join("_delta_log");
    std::fs::create_dir_all(&log).expect("a folder");
    std::fs::write(log.join("00000000000000000000.json#1"), b"{\"protocol\"").expect("litter");
    std::fs::write(log.join("notes.txt"), b"").expect("litter");
    assert_eq!(bench.runtime.block_on(bench.table().read()).expect("readable"), None);
    std::fs::remove_file(log.join("notes.txt")).expect("removed");
    bench.created();
    assert_eq!(bench.facts().import, Some(bench.import));
}

#[test]
fn a_table_of_another_program_has_no_import_and_keeps_the_columns_that_we_know() {
    let bench = Bench::new();
    let fields = [
        StructField::nullable("n", DataType::LONG),
        StructField::nullable("t", DataType::TIMESTAMP),
        StructField::nullable("xs", ArrayType::new(DataType::LONG, true)),
        StructField::nullable("xss", ArrayType::new(ArrayType::new(DataType::LONG, true), true)),
    ];
    let schema = Arc::new(StructType::try_new(fields).expect("a schema"));
    std::fs::create_dir(&bench.root).expect("a folder");
    let engine = bench.engine();
    let made = create_table(bench.url(), schema, "another/1", false)
        .build(engine.as_ref(), Box::new(FileSystemCommitter::new()))
        .and_then(|transaction| transaction.commit(engine.as_ref()))
        .expect("created");
    assert!(made.is_committed());
    let facts = bench.facts();
    assert_eq!((facts.import, facts.committed_seq, facts.committed_uuid), (None, 0, None));
    let columns = vec![
        Column::nullable("n", ColumnType::Int64),
        Column::nullable("t", ColumnType::DateTime64 { precision: 6 }),
        Column::nullable("xs", ColumnType::Array { element: Box::new(ColumnType::Int64), nullable: true }),
    ];
    assert_eq!(facts.schema, TableSchema::new(columns));
    let commit = bench.batch(1, vec![]);
    assert_eq!(bench.commit(&bench.table(), &commit), Ok(CommitAnswer::Conflict));
}

#[test]
fn a_column_that_another_program_widened_has_the_wider_type() {
    let bench = Bench::new();
    let schema = TableSchema::new(vec![Column::nullable("n", ColumnType::UInt16)]);
    bench.create(&bench.table(), &schema).expect("created");
    let log = std::fs::read_to_string(bench.log_file(0)).expect("a log entry");
    let widened = log.replace(r#"\"type\":\"integer\""#, r#"\"type\":\"long\""#);
    assert_ne!(log, widened);
    std::fs::write(bench.log_file(0), widened).expect("written");
    assert_eq!(bench.facts().schema.columns, [Column::nullable("n", ColumnType::Int64)]);
}

#[test]
fn a_table_that_forgets_transactions_is_refused() {
    let bench = Bench::new();
    let table = bench.created();
    let log = std::fs::read_to_string(bench.log_file(0)).expect("a log entry");
    let forgetful = log.replace(
        "\"configuration\":{",
        "\"configuration\":{\"delta.setTransactionRetentionDuration\":\"interval 1 days\",",
    );
    assert_ne!(log, forgetful);
    std::fs::write(bench.log_file(0), forgetful).expect("written");
    let refused = bench.runtime.block_on(table.read()).expect_err("refused");
    assert_eq!((refused.class, refused.code), (ErrorClass::Config, "txn_retention"));
    let refused = bench.commit(&table, &bench.batch(1, vec![])).expect_err("refused");
    assert_eq!(refused.code, "txn_retention");
}

#[test]
fn a_table_in_which_rows_would_be_misread_is_refused() {
    let cases = [
        (
            "\"configuration\":{",
            "\"configuration\":{\"delta.columnMapping.mode\":\"name\",",
            Some("columnMapping.mode=name"),
        ),
        ("\"configuration\":{", "\"configuration\":{\"delta.columnMapping.mode\":\"none\",", None),
        ("\"partitionColumns\":[]", "\"partitionColumns\":[\"name\"]", Some("partitioned by name")),
    ];
    for (ours, theirs, part) in cases {
        let bench = Bench::new();
        let table = bench.created();
        let log = std::fs::read_to_string(bench.log_file(0)).expect("a log entry");
        let altered = log.replace(ours, theirs);
        assert_ne!(log, altered);
        std::fs::write(bench.log_file(0), altered).expect("written");
        let (read, commit) = (bench.runtime.block_on(table.read()), bench.batch(1, vec![stage(&table, 0, 3)]));
        let Some(part) = part else {
            assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Landed { version: 1 }));
            continue;
        };
        let refused = read.expect_err("refused");
        assert_eq!((refused.class, refused.code), (ErrorClass::Config, "table_layout"));
        assert!(refused.message.contains(part) && refused.message.contains("table"), "{}", refused.message);
        assert_eq!(bench.commit(&table, &commit).expect_err("refused").code, "table_layout");
    }
}

#[test]
fn a_damaged_log_is_a_config_error_that_names_the_table() {
    let bench = Bench::new();
    bench.created();
    assert_eq!(bench.append(&bench.table(), 1, 0, 10), Ok(CommitAnswer::Landed { version: 1 }));
    std::fs::write(bench.log_file(0), b"{\"protocol\":").expect("written");
    let error = bench.runtime.block_on(bench.table().read()).expect_err("unreadable");
    assert_eq!((error.class, error.code), (ErrorClass::Config, "table_unreadable"));
    assert!(error.message.contains("table"), "{}", error.message);
}

#[test]
fn a_place_that_may_not_be_written_is_a_config_error_with_the_path() {
    let bench = Bench::named("closed/table");
    let parent = bench.root.parent().expect("a parent").to_owned();
    std::fs::create_dir(&parent).expect("a folder");
    std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o500)).expect("closed");
    if std::fs::write(parent.join("probe"), b"").is_ok() {
        println!("not run: this user may write everywhere");
        return;
    }
    let error = bench.create(&bench.table(), &small_schema()).expect_err("denied");
    std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o700)).expect("opened");
    assert_eq!((error.class, error.code), (ErrorClass::Config, "storage_denied"));
    assert!(error.message.contains("closed/table"), "{}", error.message);
}

#[test]
fn a_file_in_the_way_is_an_error_and_not_a_table() {
    let bench = Bench::new();
    std::fs::write(&bench.root, b"not a folder").expect("written");
    let error = bench.create(&bench.table(), &small_schema()).expect_err("in the way");
    assert_eq!((error.class, error.code), (ErrorClass::Config, "storage_denied"));
}

#[test]
fn unusual_paths_work_and_percent_is_refused() {
    for name in ["with space/tägliche Tabelle", "a#1", "q?[x]*~&+=;'\"", "日本"] {
        let bench = Bench::named(name);
        let table = bench.created();
        let landed = bench.append(&table, 1, 0, 10).expect("committed");
        assert_eq!(landed, CommitAnswer::Landed { version: 1 }, "{name}");
        assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>(), "{name}");
        assert_eq!(bench.facts().committed_seq, 1, "{name}");
    }
    let bench = Bench::named("100%");
    let error = DeltaTable::new(&bench.root, bench.runtime.handle().clone()).expect_err("refused");
    assert_eq!((error.class(), error.code()), (ErrorClass::Config, "bad_table_path"));
}

#[test]
fn columns_that_delta_cannot_have_are_a_config_error() {
    let twice = vec![Column::nullable("a", ColumnType::Int8), Column::nullable("A", ColumnType::Int8)];
    let reserved = vec![Column::nullable("_s3_key", ColumnType::String)];
    let negative = vec![Column::nullable("d", ColumnType::Decimal { precision: 5, scale: -2 })];
    for columns in [twice, reserved, negative] {
        let bench = Bench::new();
        let error = bench.create(&bench.table(), &TableSchema::new(columns)).expect_err("refused");
        assert_eq!((error.class, error.code), (ErrorClass::Config, "bad_schema"), "{}", error.message);
        assert!(!has_entries(&bench.root.join("_delta_log")));
    }
}
