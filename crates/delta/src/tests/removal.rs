//! Rows that leave a table with a commit.

use std::collections::{BTreeMap, BTreeSet};

use connector_core::error::ErrorClass;
use connector_core::ports::Removal;

use super::faults::{Fault, faulty};
use super::sets::*;
use super::*;

fn landed(version: u64) -> PortResult<CommitAnswer> {
    Ok(CommitAnswer::Landed { version })
}

/// Some rows by chance: whole versions, or single rows; some of them are not in the table.
fn chosen(dice: &mut Dice, held: &[Row]) -> (Removal, BTreeSet<RowId>) {
    let versions: BTreeSet<ObjectVersionId> = held.iter().map(|(id, _)| id.0).collect();
    if dice.one_in(2) {
        let mut some: BTreeSet<_> = versions.into_iter().filter(|_| dice.one_in(3)).collect();
        some.insert(version(999));
        let gone = held.iter().map(|(id, _)| *id).filter(|id| some.contains(&id.0)).collect();
        return (Removal::Versions(some), gone);
    }
    let share = 1 + dice.below(6);
    let gone: BTreeSet<RowId> = held.iter().map(|(id, _)| *id).filter(|_| dice.one_in(share)).collect();
    let mut rows: BTreeMap<ObjectVersionId, Vec<u64>> = BTreeMap::from([(version(999), vec![0])]);
    gone.iter().rev().for_each(|(version, row)| rows.entry(*version).or_default().push(*row));
    rows.values_mut().for_each(|rows| rows.push(100_000));
    (Removal::Rows(rows), gone)
}

#[test]
fn what_is_left_is_what_was_there_without_the_rows_that_leave() {
    for seed in 0..24 {
        let (bench, mut dice) = (Bench::new(), Dice(seed));
        let (table, batches) = chance_table(&bench, &mut dice, seed % 2 == 0);
        let before = bench.held();
        let (remove, gone) = chosen(&mut dice, &before);
        let mut schema = columns(seed % 2 == 0);
        schema.columns.push(Column::nullable("extra", ColumnType::String));
        let files = if dice.one_in(2) { stage_versions(&table, &mut dice, &schema, &[500]) } else { vec![] };
        let fresh: u64 = files.iter().map(|file| file.rows).sum();
        let commit = bench.removing(batches + 1, files, remove);
        assert_eq!(bench.commit(&table, &commit), landed(batches as u64 + 1), "seed {seed}");
        let after = bench.held();
        let (new, left): (Vec<Row>, Vec<Row>) = after.into_iter().partition(|(id, _)| id.0 == version(500));
        let expected: Vec<Row> = before.into_iter().filter(|(id, _)| !gone.contains(id)).collect();
        assert_same(&left, &expected, &format!("seed {seed}"));
        assert_eq!(new.len() as u64, fresh, "seed {seed}");
        let mut read = bench.read_all(&table);
        read.sort();
        assert_same(&read, &bench.held(), &format!("seed {seed}, by our own reader"));
        let facts = bench.facts();
        assert_eq!((facts.committed_seq, facts.committed_uuid), (batches + 1, Some(commit.batch_uuid)));
        let scan = bench.runtime.block_on(table.scan(None)).expect("readable").expect("a table");
        assert_eq!(scan.row_count(), Some(read.len() as u64), "seed {seed}: the log counts the rows that are left");
    }
}

#[test]
fn rows_leave_and_come_in_one_commit_that_says_so() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 10).expect("committed");
    let remove = Removal::Rows(BTreeMap::from([(ObjectVersionId([7; 16]), vec![0, 4, 9])]));
    let commit = bench.removing(2, vec![stage(&table, 100, 103)], remove);
    assert_eq!(bench.commit(&table, &commit), landed(2));
    assert_eq!(bench.ids(), [1, 2, 3, 5, 6, 7, 8, 100, 101, 102]);
    let actions = bench.actions(2);
    let of = |kind: &str| actions.iter().filter(|action| !action[kind].is_null()).collect::<Vec<_>>();
    let (adds, removes) = (of("add"), of("remove"));
    assert_eq!((adds.len(), removes.len(), of("txn").len(), of("metaData").len()), (2, 1, 1, 0), "{actions:?}");
    assert_eq!(of("txn")[0]["txn"]["version"], 2);
    assert_eq!(of("commitInfo")[0]["commitInfo"]["batchUuid"], commit.batch_uuid.to_string());
    assert!(removes.iter().all(|action| action["remove"]["dataChange"] == true));
    assert!(removes[0]["remove"]["deletionTimestamp"].is_i64(), "{removes:?}");
    assert!(adds.iter().all(|action| action["add"]["dataChange"] == true));
    let stats: serde_json::Value = adds
        .iter()
        .map(|action| serde_json::from_str(action["add"]["stats"].as_str().expect("statistics")).expect("JSON"))
        .find(|stats: &serde_json::Value| stats["numRecords"] == 7)
        .expect("the file that was written anew");
    assert_eq!((&stats["minValues"]["id"], &stats["maxValues"]["id"]), (&1.into(), &8.into()));
    // Rows keep their order.
    let ordinals: Vec<u64> = bench.read_all(&table).iter().map(|((_, row), _)| *row).filter(|row| *row > 2).collect();
    assert!(ordinals.is_sorted(), "{ordinals:?}");
}

#[test]
fn a_file_that_loses_all_rows_is_only_removed_and_one_that_loses_none_is_not_touched() {
    let bench = Bench::new();
    let (table, mut dice) = (bench.table(), Dice(3));
    bench.create(&table, &columns(false)).expect("created");
    for seq in 1..=3 {
        let files = stage_versions(&table, &mut dice, &columns(false), &[seq]);
        bench.commit(&table, &bench.batch(seq as i64, files)).expect("committed");
    }
    let files = bench.data_files();
    let remove = Removal::Versions(BTreeSet::from([version(2)]));
    assert_eq!(bench.commit(&table, &bench.removing(4, vec![], remove)), landed(4));
    assert_eq!(bench.data_files(), files, "no file is written");
    let actions = bench.actions(4);
    assert_eq!(actions.iter().filter(|action| !action["remove"].is_null()).count(), 1);
    assert!(actions.iter().all(|action| action["add"].is_null()));
    assert!(bench.held().iter().all(|(id, _)| id.0 != version(2)));
}

#[test]
fn nothing_to_remove_is_a_commit_all_the_same() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 10).expect("committed");
    let remove = Removal::Versions(BTreeSet::from([version(1), ObjectVersionId([8; 16])]));
    assert_eq!(bench.commit(&table, &bench.removing(2, vec![], remove)), landed(2));
    assert_eq!((bench.facts().committed_seq, bench.ids().len()), (2, 10));
    assert!(bench.actions(2).iter().all(|action| action["remove"].is_null() && action["add"].is_null()));
    // And chained commits go on from there.
    assert_eq!(bench.append(&table, 3, 10, 12), landed(3));
}

#[test]
fn after_a_conflict_the_files_written_anew_are_thrown_away_and_it_is_worked_out_again() {
    let (bench, store, table) = faulty();
    bench.append(&table, 1, 0, 10).expect("committed");
    let files = bench.data_files();
    let remove = Removal::Rows(BTreeMap::from([(ObjectVersionId([7; 16]), vec![1, 2])]));
    let commit = bench.removing(2, vec![], remove);
    store.plan(&[Fault::Overtaken]);
    assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.data_files(), files, "what the attempt has written is gone");
    assert_eq!(bench.commit(&table, &commit), landed(3));
    assert_eq!(bench.ids(), [0, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_removal_whose_answer_was_lost_landed_once() {
    for fault in [Fault::Before, Fault::After] {
        let (bench, store, table) = faulty();
        bench.append(&table, 1, 0, 10).expect("committed");
        let remove = Removal::Rows(BTreeMap::from([(ObjectVersionId([7; 16]), vec![1, 2])]));
        let commit = bench.removing(2, vec![stage(&table, 50, 52)], remove);
        store.plan(&[fault]);
        assert_eq!(bench.commit(&table, &commit), landed(2), "{fault:?}");
        assert_eq!(bench.ids(), [0, 3, 4, 5, 6, 7, 8, 9, 50, 51], "{fault:?}");
        assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict), "its number has been taken");
    }
}

#[test]
fn whole_data_files_leave_by_their_paths_and_one_that_is_missing_is_a_conflict() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 5).expect("committed");
    bench.append(&table, 2, 5, 9).expect("committed");
    let path = |version: u64| {
        let actions = bench.actions(version);
        let add = actions.iter().find(|action| !action["add"].is_null()).expect("an add");
        add["add"]["path"].as_str().expect("a path").to_owned()
    };
    let missing = Removal::DataFiles(vec![path(1), "part-0.parquet".into()]);
    assert_eq!(bench.commit(&table, &bench.removing(3, vec![], missing)), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.ids().len(), 9);
    let there = Removal::DataFiles(vec![path(1)]);
    assert_eq!(bench.commit(&table, &bench.removing(3, vec![], there.clone())), landed(3));
    assert_eq!(bench.ids(), [5, 6, 7, 8]);
    assert_eq!(bench.commit(&table, &bench.removing(4, vec![], there)), Ok(CommitAnswer::Conflict));
}

#[test]
fn identities_of_staged_and_committed_files_are_told() {
    for partitioned in [false, true] {
        let bench = Bench::new();
        let (table, mut dice) = (bench.table(), Dice(11));
        bench.create(&table, &columns(partitioned)).expect("created");
        let files = stage_versions(&table, &mut dice, &columns(partitioned), &[1, 2, 3]);
        let staged = bench.runtime.block_on(table.row_ids(&files)).expect("told");
        bench.commit(&table, &bench.batch(1, files.clone())).expect("committed");
        assert_eq!(bench.runtime.block_on(table.row_ids(&files)).expect("told"), staged);
        let told: Vec<RowId> =
            staged.iter().flat_map(|(version, rows)| rows.iter().map(|row| (*version, *row))).collect();
        assert_eq!(told, bench.held().into_iter().map(|(id, _)| id).collect::<Vec<_>>());
        assert!(staged.values().all(|rows| rows.is_sorted()));
    }
}

#[test]
fn a_file_of_which_another_program_has_deleted_rows_is_refused() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 10).expect("committed");
    let alter = |version: u64, ours: &str, theirs: &str| {
        let log = std::fs::read_to_string(bench.log_file(version)).expect("an entry");
        assert!(log.contains(ours), "{log}");
        std::fs::write(bench.log_file(version), log.replace(ours, theirs)).expect("written");
    };
    for features in ["readerFeatures", "writerFeatures"] {
        alter(0, &format!("\"{features}\":[]"), &format!("\"{features}\":[\"deletionVectors\"]"));
    }
    let vector =
        r#"{"storageType":"u","pathOrInlineDv":"ab^-aqEH.-t@S}K{vb[*k^","offset":4,"sizeInBytes":40,"cardinality":2}"#;
    alter(1, "\"dataChange\":true", &format!("\"dataChange\":true,\"deletionVector\":{vector}"));
    let rows = Removal::Rows(BTreeMap::from([(ObjectVersionId([7; 16]), vec![1])]));
    for remove in [Removal::Versions(BTreeSet::from([ObjectVersionId([7; 16])])), rows] {
        let refused = bench.commit(&table, &bench.removing(2, vec![], remove)).expect_err("refused");
        assert_eq!((refused.class, refused.code), (ErrorClass::Config, "table_layout"));
        assert!(refused.message.contains("deletion vector"), "{}", refused.message);
    }
}

#[test]
fn a_table_that_forbids_removal_is_refused() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 10).expect("committed");
    let log = std::fs::read_to_string(bench.log_file(0)).expect("an entry");
    let forbidding = log.replace("\"configuration\":{", "\"configuration\":{\"delta.appendOnly\":\"true\",");
    std::fs::write(bench.log_file(0), forbidding).expect("written");
    let remove = Removal::Versions(BTreeSet::from([ObjectVersionId([7; 16])]));
    let refused = bench.commit(&table, &bench.removing(2, vec![], remove)).expect_err("refused");
    assert_eq!((refused.class, refused.code), (ErrorClass::Config, "table_layout"));
    assert!(refused.message.contains("delta.appendOnly"), "{}", refused.message);
    assert_eq!(bench.ids().len(), 10);
}

#[test]
fn a_column_that_cannot_be_written_back_is_not_lost() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 10).expect("committed");
    let log = std::fs::read_to_string(bench.log_file(0)).expect("an entry");
    let renamed = log.replace(r#"\"name\":\"name\""#, r#"\"name\":\"title\""#);
    assert_ne!(log, renamed);
    std::fs::write(bench.log_file(0), renamed).expect("written");
    let remove = Removal::Rows(BTreeMap::from([(ObjectVersionId([7; 16]), vec![1])]));
    let files = bench.data_files();
    let refused = bench.commit(&table, &bench.removing(2, vec![], remove)).expect_err("refused");
    assert_eq!((refused.class, refused.code), (ErrorClass::Config, "table_layout"));
    assert!(refused.message.contains("'name'"), "{}", refused.message);
    assert_eq!(bench.data_files(), files, "nothing is left behind");
}
