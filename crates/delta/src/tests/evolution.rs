//! Columns that a commit adds to the table.

use connector_core::error::ErrorClass;
use connector_core::schema::Origin;

use super::faults::{Fault, faulty};
use super::types::{array, logged_fields};
use super::*;

fn landed(version: u64) -> PortResult<CommitAnswer> {
    Ok(CommitAnswer::Landed { version })
}

fn evolved(name: &str, ty: ColumnType) -> Column {
    Column { origin: Origin::Evolved, ..Column::nullable(name, ty) }
}

fn wider(columns: &[Column]) -> TableSchema {
    TableSchema::new(small_schema().columns.iter().chain(columns).cloned().collect())
}

/// Writes ids `from..to`, each `extra` column text `x<id>`, before the table knows of the columns.
fn stage_wide(table: &DeltaTable, extra: &[Column], from: i64, to: i64) -> StagedFile {
    let texts: ArrayRef = Arc::new((from..to).map(|id| Some(format!("x{id}"))).collect::<StringArray>());
    let mut columns = small_rows(from, to).columns().to_vec();
    columns.extend(extra.iter().map(|_| Arc::clone(&texts)));
    let schema = wider(extra);
    let rows = RecordBatch::try_new(schema.arrow(), columns).expect("rows");
    write_all(table, &schema, &rows).remove(0)
}

fn adding(bench: &Bench, seq: BatchSeq, columns: &[Column], files: Vec<StagedFile>) -> TableCommit {
    TableCommit { add_columns: columns.to_vec(), ..bench.batch(seq, files) }
}

/// Ids and values of a text column, by id.
fn texts(bench: &Bench, column: &str) -> Vec<(i64, Option<String>)> {
    let rows = bench.scan(None);
    let ids = rows.column_by_name("id").expect("ids").as_any().downcast_ref::<Int64Array>().expect("longs").clone();
    let found = rows.column_by_name(column).expect("the column");
    let found = found.as_any().downcast_ref::<StringArray>().expect("texts");
    let mut pairs: Vec<_> =
        ids.values().iter().copied().zip(found.iter().map(|text| text.map(str::to_owned))).collect();
    pairs.sort();
    pairs
}

fn expected(without: std::ops::Range<i64>, with: std::ops::Range<i64>) -> Vec<(i64, Option<String>)> {
    without.map(|id| (id, None)).chain(with.map(|id| (id, Some(format!("x{id}"))))).collect()
}

#[test]
fn a_column_comes_with_the_rows_that_bring_it_and_older_rows_lack_it() {
    let bench = Bench::new();
    let table = bench.created();
    assert_eq!(bench.append(&table, 1, 0, 3), landed(1));
    let extra = [Column { source: "Extra (€)".into(), ..evolved("extra", ColumnType::String) }];
    let commit = adding(&bench, 2, &extra, vec![stage_wide(&table, &extra, 3, 6)]);
    assert_eq!(bench.commit(&table, &commit), landed(2));
    let facts = bench.facts();
    assert_eq!((facts.version, facts.committed_seq, facts.committed_uuid), (2, 2, Some(commit.batch_uuid)));
    assert_eq!(facts.schema, wider(&extra));
    // The same commit of the log says all of it.
    let entry = std::fs::read_to_string(bench.log_file(2)).expect("an entry");
    for part in ["\"metaData\"", "\"txn\"", "\"add\"", &commit.batch_uuid.to_string()] {
        assert!(entry.contains(part), "{part}: {entry}");
    }
    assert_eq!(texts(&bench, "extra"), expected(0..3, 3..6));
}

#[test]
fn commits_chain_over_an_added_column_and_across_a_checkpoint() {
    let bench = Bench::new();
    let table = bench.created();
    let extra = [evolved("extra", ColumnType::String)];
    for seq in 1..60 {
        let commit = match seq {
            30 => adding(&bench, seq, &extra, vec![stage_wide(&table, &extra, seq, seq + 1)]),
            _ if seq > 30 => bench.batch(seq, vec![stage_wide(&table, &extra, seq, seq + 1)]),
            _ => bench.batch(seq, vec![stage(&table, seq, seq + 1)]),
        };
        assert_eq!(bench.commit(&table, &commit), landed(seq as u64));
    }
    assert_eq!(bench.files_with("_delta_log", ".checkpoint.parquet").len(), 1);
    let check = || {
        assert_eq!(bench.facts().schema, wider(&extra));
        assert_eq!(texts(&bench, "extra"), expected(1..30, 30..60));
    };
    check();
    (0..50).for_each(|version| std::fs::remove_file(bench.log_file(version)).expect("removed"));
    check();
    assert_eq!(bench.append(&bench.table(), 60, 60, 61), landed(60));
}

#[test]
fn a_column_that_is_there_is_not_added_twice() {
    let bench = Bench::new();
    let table = bench.created();
    let extra = [evolved("extra", ColumnType::String)];
    let first = adding(&bench, 1, &extra, vec![stage_wide(&table, &extra, 0, 2)]);
    assert_eq!(bench.commit(&table, &first), landed(1));
    // What the plan of the next batch says was made before; and the kept snapshot must know the column.
    let more = [extra[0].clone(), evolved("more", ColumnType::String)];
    let second = adding(&bench, 2, &more, vec![stage_wide(&table, &more, 2, 4)]);
    assert_eq!(bench.commit(&table, &second), landed(2));
    let again = adding(&bench, 3, &more, vec![stage_wide(&table, &more, 4, 5)]);
    assert_eq!(bench.commit(&bench.table(), &again), landed(3));
    assert_eq!(bench.facts().schema, wider(&more));
    let entry = std::fs::read_to_string(bench.log_file(3)).expect("an entry");
    assert!(!entry.contains("metaData"), "nothing has changed: {entry}");
    assert_eq!(texts(&bench, "extra"), expected(0..0, 0..5));
    assert_eq!(texts(&bench, "more"), expected(0..2, 2..5));
}

#[test]
fn a_column_that_is_there_as_another_type_is_for_the_user() {
    let bench = Bench::new();
    let table = bench.created();
    let number = [evolved("extra", ColumnType::Int64)];
    assert_eq!(bench.commit(&table, &adding(&bench, 1, &number, vec![])), landed(1));
    for (name, ty) in [("extra", ColumnType::String), ("EXTRA", ColumnType::Int64), ("extra", ColumnType::Int32)] {
        for table in [&table, &bench.table()] {
            let refused = bench.commit(table, &adding(&bench, 2, &[evolved(name, ty.clone())], vec![]));
            let refused = refused.expect_err("another type");
            assert_eq!((refused.class, refused.code), (ErrorClass::Config, "column_taken"), "{}", refused.message);
            assert!(refused.message.contains("extra") && refused.message.contains("long"), "{}", refused.message);
        }
    }
    assert_eq!(bench.facts().version, 1);
    // Of the same Delta type the rows fit, whoever added the column.
    let same = adding(&bench, 2, &[evolved("extra", ColumnType::UInt32)], vec![]);
    assert_eq!(bench.commit(&table, &same), landed(2));
    assert_eq!(bench.facts().schema, wider(&number));
}

#[test]
fn a_column_that_delta_cannot_have_lands_nothing() {
    let bench = Bench::new();
    let table = bench.created();
    for column in [
        evolved("d", ColumnType::Decimal { precision: 5, scale: -2 }),
        evolved("a b", ColumnType::String),
        evolved("_s3_KEY", ColumnType::Int64),
    ] {
        let refused = bench.commit(&table, &adding(&bench, 1, &[column], vec![])).expect_err("refused");
        assert_eq!(refused.class, ErrorClass::Config, "{}", refused.message);
    }
    assert_eq!(bench.facts().version, 0);
    assert_eq!(bench.append(&table, 1, 0, 3), landed(1));
}

#[test]
fn columns_of_every_type_are_added_with_all_that_is_known_of_them() {
    let bench = Bench::new();
    let table = bench.created();
    let of_types = super::types::every_type().columns;
    assert_eq!(bench.commit(&table, &adding(&bench, 1, &of_types, vec![])), landed(1));
    assert_eq!(bench.facts().schema, wider(&of_types));
    assert!(logged_fields(&bench, 1).iter().all(|field| field["nullable"] == true));
}

#[test]
fn a_lost_answer_of_a_commit_with_a_column_is_settled() {
    let plans: [&[Fault]; 3] = [&[Fault::After], &[Fault::Before], &[Fault::Before, Fault::After]];
    for plan in plans {
        let (bench, store, table) = faulty();
        let extra = [evolved("extra", ColumnType::String)];
        assert_eq!(bench.append(&table, 1, 0, 3), landed(1));
        let commit = adding(&bench, 2, &extra, vec![stage_wide(&table, &extra, 3, 6)]);
        store.plan(plan);
        assert_eq!(bench.commit(&table, &commit), landed(2), "{plan:?}");
        assert_eq!(store.left(), 0, "{plan:?}");
        let next = bench.batch(3, vec![stage_wide(&table, &extra, 6, 8)]);
        assert_eq!(bench.commit(&table, &next), landed(3), "{plan:?}");
        assert_eq!(bench.facts().schema, wider(&extra), "{plan:?}");
        assert_eq!(texts(&bench, "extra"), expected(0..3, 3..8), "{plan:?}");
    }
}

#[test]
fn a_crash_after_the_commit_leaves_column_and_rows_and_a_recommit_conflicts() {
    let (bench, store, table) = faulty();
    let extra = [evolved("extra", ColumnType::String)];
    let commit = adding(&bench, 1, &extra, vec![stage_wide(&table, &extra, 0, 3)]);
    store.plan(&[Fault::Silenced]);
    assert_eq!(bench.commit(&table, &commit).expect_err("unknown").code, "commit_unknown");
    drop(table);
    // The process that starts anew.
    let table = bench.table();
    let facts = bench.facts();
    assert_eq!((facts.committed_seq, facts.committed_uuid), (1, Some(commit.batch_uuid)));
    assert_eq!(facts.schema, wider(&extra));
    assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict));
    assert_eq!(texts(&bench, "extra"), expected(0..0, 0..3));
}

#[test]
fn a_crash_before_the_commit_leaves_the_staged_files_for_the_next_process() {
    let (bench, store, table) = faulty();
    let extra = [evolved("extra", ColumnType::String)];
    let commit = adding(&bench, 1, &extra, vec![stage_wide(&table, &extra, 0, 3)]);
    store.plan(&[Fault::Before, Fault::Before]);
    assert_eq!(bench.commit(&table, &commit).expect_err("broken").class, ErrorClass::Transient);
    drop(table);
    assert_eq!(bench.facts().schema, small_schema());
    let table = bench.table();
    assert!(bench.runtime.block_on(table.staged_files_intact(&commit.files)).expect("an answer"));
    assert_eq!(bench.commit(&table, &commit), landed(1));
    assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict));
    assert_eq!(texts(&bench, "extra"), expected(0..0, 0..3));
}

#[test]
fn a_second_process_that_adds_the_same_column_first_is_built_upon() {
    let bench = Bench::new();
    let (table, second) = (bench.created(), bench.table());
    let extra = [evolved("extra", ColumnType::String)];
    assert_eq!(bench.append(&table, 1, 0, 2), landed(1));
    let theirs = adding(&bench, 2, &extra, vec![stage_wide(&second, &extra, 2, 4)]);
    assert_eq!(bench.commit(&second, &theirs), landed(2));
    // Ours was planned on the table without the column; its place is taken, then the column is there.
    let ours = adding(&bench, 3, &extra, vec![stage_wide(&table, &extra, 4, 6)]);
    assert_eq!(bench.commit(&table, &ours), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.commit(&table, &ours), landed(3));
    assert_eq!(bench.facts().schema, wider(&extra));
    assert_eq!(texts(&bench, "extra"), expected(0..2, 2..6));
}

#[test]
fn a_list_column_is_added_and_is_null_in_older_rows() {
    let bench = Bench::new();
    let table = bench.created();
    assert_eq!(bench.append(&table, 1, 0, 3), landed(1));
    let extra = [Column { nullable: false, ..evolved("tags", array(ColumnType::String, true)) }];
    let schema = wider(&extra);
    let mut columns = small_rows(3, 6).columns().to_vec();
    columns.push(super::types::values(&schema.columns[2].ty.arrow(), false));
    let rows = RecordBatch::try_new(schema.arrow(), columns).expect("rows");
    let commit = adding(&bench, 2, &extra, write_all(&table, &schema, &rows));
    assert_eq!(bench.commit(&table, &commit), landed(2));
    assert_eq!(bench.facts().schema, schema);
    let tags = Arc::clone(bench.scan(None).column_by_name("tags").expect("tags"));
    assert_eq!((tags.len(), tags.null_count()), (6, 3));
}
