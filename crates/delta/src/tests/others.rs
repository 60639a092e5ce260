//! Other programs that write to the table while we do.

use std::collections::{BTreeMap, BTreeSet};

use connector_core::error::ErrorClass;
use connector_core::ports::Removal;

use super::faults::{Fault, faulty};
use super::sets::*;
use super::*;

fn landed(version: u64) -> PortResult<CommitAnswer> {
    Ok(CommitAnswer::Landed { version })
}

#[test]
fn case_23_twenty_versions_of_another_writer_come_during_our_commit() {
    let (bench, store, table) = faulty();
    bench.append(&table, 1, 0, 3).expect("committed");
    // Ours builds on version 1; meanwhile others get to version 21.
    for at in 0..20 {
        bench.foreign_append(&stage(&bench.table(), 1_000 + at, 1_001 + at));
    }
    let append = bench.batch(2, vec![stage(&table, 3, 6)]);
    assert_eq!(bench.commit(&table, &append), Ok(CommitAnswer::Conflict));
    let facts = bench.runtime.block_on(table.read()).expect("readable").expect("a table");
    assert_eq!((facts.version, facts.committed_seq), (21, 1), "it did not land");
    assert_eq!(bench.commit(&table, &append), landed(22));
    let all: Vec<i64> = (0..6).chain(1_000..1_020).collect();
    assert_eq!(bench.ids(), all);
    // A removal is worked out on the newest version: at once, and again after one more that comes at the last moment.
    for at in 20..40 {
        bench.foreign_append(&stage(&bench.table(), 1_000 + at, 1_001 + at));
    }
    let remove = Removal::Rows(BTreeMap::from([(ObjectVersionId([7; 16]), vec![2])]));
    let commit = bench.removing(3, vec![], remove);
    store.plan(&[Fault::Overtaken]);
    assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.commit(&table, &commit), landed(44));
    // All rows with ordinal 2: those of our two files.
    let left: Vec<i64> = (0..6).filter(|id| ![2, 5].contains(id)).chain(1_000..1_040).collect();
    assert_eq!(bench.ids(), left);
    assert_eq!(bench.facts().committed_seq, 3);
}

#[test]
fn case_23_a_compaction_moves_the_rows_while_a_removal_is_committed() {
    let (bench, store, table) = faulty();
    let mut dice = Dice(8);
    for number in 1..=4 {
        let files = stage_versions(&table, &mut dice, &small_schema(), &[number]);
        bench.commit(&table, &bench.batch(number as i64, files)).expect("committed");
    }
    let before = bench.held();
    let remove = Removal::Versions(BTreeSet::from([version(2), version(3)]));
    let commit = bench.removing(5, vec![], remove);
    store.plan(&[Fault::Overtaken]);
    assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict));
    let rules = connector_core::ports::MaintenanceRules { min_small_files: 2, ..Default::default() };
    let other = bench.table();
    let step = bench.runtime.block_on(other.maintain(&rules, bench.clock())).expect("maintained");
    assert_eq!(step.into, 1, "all rows are in one file now");
    assert!(matches!(bench.commit(&table, &commit), Ok(CommitAnswer::Landed { .. })));
    let left: Vec<Row> = before.into_iter().filter(|((id, _), _)| ![version(2), version(3)].contains(id)).collect();
    assert_same(&bench.held(), &left, "after the removal");
}

#[test]
fn case_24_a_column_that_another_writer_adds_is_kept_through_removal_and_compaction() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 4).expect("committed");
    let staged = stage(&table, 4, 8);
    bench.foreign_schema(
        r#"{"name":"_s3_key""#,
        r#"{"name":"theirs","type":"long","nullable":true,"metadata":{}},{"name":"_s3_key""#,
    );
    let wider = TableSchema::new(
        small_schema().columns.into_iter().chain([Column::nullable("theirs", ColumnType::Int64)]).collect(),
    );
    assert_eq!(bench.facts().schema, wider);
    let mut rows = small_rows(100, 103).columns().to_vec();
    rows.push(Arc::new(Int64Array::from(vec![Some(7), None, Some(9)])));
    let rows = RecordBatch::try_new(wider.arrow(), rows).expect("rows");
    bench.foreign_append(&write_all(&bench.table(), &wider, &rows)[0]);
    // Rows that were staged before fit: they lack the column.
    let commit = bench.batch(2, vec![staged]);
    assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.commit(&table, &commit), landed(4));
    let before = bench.held();
    assert!(before.iter().any(|(_, values)| values.contains(&("theirs".into(), "9".into()))));
    let remove = Removal::Rows(BTreeMap::from([(ObjectVersionId([7; 16]), vec![1])]));
    assert_eq!(bench.commit(&table, &bench.removing(3, vec![], remove)), landed(5));
    let left: Vec<Row> = before.into_iter().filter(|((_, row), _)| *row != 1).collect();
    assert_same(&bench.held(), &left, "after the removal");
    let rules = connector_core::ports::MaintenanceRules { min_small_files: 2, ..Default::default() };
    let step = bench.runtime.block_on(table.maintain(&rules, bench.clock())).expect("maintained");
    assert!(step.compacted > 0, "{step:?}");
    assert_same(&bench.held(), &left, "after the compaction");
}

#[test]
fn case_24_a_column_that_another_writer_renames_or_retypes_stops_the_commit_and_loses_nothing() {
    let changes = [
        (r#""name":"name""#, r#""name":"title""#, "column_gone"),
        (r#""name":"id","type":"long""#, r#""name":"id","type":"string""#, "column_taken"),
    ];
    for (ours, theirs, code) in changes {
        let bench = Bench::new();
        let table = bench.created();
        bench.append(&table, 1, 0, 4).expect("committed");
        let commit = bench.batch(2, vec![stage(&table, 4, 8)]);
        let version = bench.foreign_schema(ours, theirs);
        assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict));
        let refused = bench.commit(&table, &commit).expect_err("refused");
        assert_eq!((refused.class, refused.code), (ErrorClass::Config, code), "{}", refused.message);
        assert_eq!(bench.facts().committed_seq, 1);
        // Once they have taken it back, the very same batch lands.
        std::fs::remove_file(bench.log_file(version)).expect("removed");
        assert_eq!(bench.commit(&bench.table(), &commit), landed(2), "{code}");
        assert_eq!(bench.ids(), (0..8).collect::<Vec<_>>());
    }
}

#[test]
fn case_24_not_null_that_another_writer_drops_changes_nothing_for_us() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 4).expect("committed");
    let log = std::fs::read_to_string(bench.log_file(0)).expect("an entry");
    // A table of an earlier version of ours, whose column is NOT NULL for Delta.
    let strict = log.replacen(
        r#"{\"name\":\"id\",\"type\":\"long\",\"nullable\":true"#,
        r#"{\"name\":\"id\",\"type\":\"long\",\"nullable\":false"#,
        1,
    );
    assert_ne!(log, strict);
    std::fs::write(bench.log_file(0), strict).expect("written");
    let commit = bench.batch(2, vec![stage(&table, 4, 8)]);
    bench.foreign_schema(
        r#"{"name":"id","type":"long","nullable":false"#,
        r#"{"name":"id","type":"long","nullable":true"#,
    );
    let table = bench.table();
    assert_eq!(bench.commit(&table, &commit), landed(3));
    let remove = Removal::Rows(BTreeMap::from([(ObjectVersionId([7; 16]), vec![0])]));
    assert_eq!(bench.commit(&table, &bench.removing(3, vec![], remove)), landed(4));
    assert_eq!(bench.ids(), [1, 2, 3, 5, 6, 7]);
}

#[test]
fn case_29_a_vacuum_by_somebody_between_stage_and_commit_is_noticed() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 4).expect("committed");
    let staged = vec![stage(&table, 4, 8)];
    let intact = || bench.runtime.block_on(table.staged_files_intact(&staged)).expect("told");
    assert!(intact());
    // Theirs keeps nothing that nobody refers to.
    let rules = connector_core::ports::MaintenanceRules { retention: std::time::Duration::ZERO, ..Default::default() };
    let later = bench.clock() + jiff::SignedDuration::from_secs(60);
    let step = bench.runtime.block_on(bench.table().maintain(&rules, later)).expect("maintained");
    assert_eq!((step.vacuumed, step.vacuumed_bytes, step.done), (1, staged[0].bytes, true));
    assert!(!intact());
    let refused = bench.commit(&table, &bench.batch(2, staged)).expect_err("refused");
    assert_eq!((refused.class, refused.code), (ErrorClass::Transient, "staged_file_missing"));
    assert_eq!(bench.ids(), (0..4).collect::<Vec<_>>());
    // Read again under the same number.
    assert_eq!(bench.append(&table, 2, 4, 8), landed(2));
    assert_eq!(bench.ids(), (0..8).collect::<Vec<_>>());
}
