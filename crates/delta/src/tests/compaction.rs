//! Small data files written together.

use std::collections::{BTreeMap, BTreeSet};

use connector_core::ports::{Maintained, MaintenanceRules, Removal};

use super::faults::{Fault, faulty};
use super::sets::*;
use super::*;
use crate::active::ActiveFile;
use crate::upkeep::compaction;

/// Everything is small.
fn rules(min_small_files: usize) -> MaintenanceRules {
    MaintenanceRules { min_small_files, ..MaintenanceRules::default() }
}

fn maintain(bench: &Bench, table: &DeltaTable, rules: &MaintenanceRules) -> Maintained {
    let now = bench.clock();
    bench.runtime.block_on(table.maintain(rules, now)).expect("maintained")
}

/// Steps until nothing is left to do.
fn all_steps(bench: &Bench, table: &DeltaTable, rules: &MaintenanceRules) -> Vec<Maintained> {
    let mut steps = Vec::new();
    while !steps.last().is_some_and(|step: &Maintained| step.done) {
        assert!(steps.len() < 100, "it has no end: {steps:?}");
        steps.push(maintain(bench, table, rules));
    }
    steps
}

#[test]
fn compaction_keeps_every_row_and_value_and_the_txn() {
    for seed in 100..116 {
        let (bench, mut dice) = (Bench::new(), Dice(seed));
        let partitioned = seed % 2 == 0;
        let (table, _) = chance_table(&bench, &mut dice, partitioned);
        let (before, facts) = (bench.held(), bench.facts());
        let files =
            |bench: &Bench| bench.runtime.block_on(table.scan(None)).expect("readable").expect("a table").file_count();
        let had = files(&bench);
        let steps = all_steps(&bench, &table, &rules(2));
        assert_same(&bench.held(), &before, &format!("seed {seed}"));
        let mut read = bench.read_all(&table);
        read.sort();
        assert_same(&read, &before, &format!("seed {seed}, by our own reader"));
        let after = bench.facts();
        assert_eq!((after.committed_seq, after.committed_uuid), (facts.committed_seq, facts.committed_uuid));
        assert_eq!(after.schema, facts.schema);
        let compacted: u64 = steps.iter().map(|step| step.compacted - step.into).sum();
        assert_eq!(files(&bench) as u64, had as u64 - compacted, "seed {seed}");
        assert!(compacted > 0, "seed {seed}: {steps:?}");
        let rows: u64 = steps.iter().map(|step| step.rows).sum();
        assert!(rows > 0 && steps.iter().all(|step| !step.conflict));
        // The next batch goes on, and rows are found by identity wherever they are now.
        let id = before[before.len() / 2].0;
        let remove = Removal::Rows(BTreeMap::from([(id.0, vec![id.1])]));
        let seq = facts.committed_seq + 1;
        let landed = bench.commit(&table, &bench.removing(seq, vec![], remove));
        assert!(matches!(landed, Ok(CommitAnswer::Landed { .. })), "{landed:?}");
        let left: Vec<Row> = before.into_iter().filter(|(row, _)| *row != id).collect();
        assert_same(&bench.held(), &left, &format!("seed {seed}, without a row"));
    }
}

#[test]
fn the_commit_says_that_it_changes_no_data() {
    let bench = Bench::new();
    let table = bench.created();
    for seq in 1..=4 {
        bench.append(&table, seq, seq * 10, seq * 10 + 3).expect("committed");
    }
    let step = maintain(&bench, &table, &rules(4));
    assert_eq!((step.compacted, step.into, step.rows, step.done), (4, 1, 12, true));
    let actions = bench.actions(5);
    let of = |kind: &str| actions.iter().filter(|action| !action[kind].is_null()).collect::<Vec<_>>();
    assert_eq!((of("add").len(), of("remove").len(), of("txn").len()), (1, 4, 0), "{actions:?}");
    assert_eq!(of("commitInfo")[0]["commitInfo"]["operation"], "OPTIMIZE");
    assert_eq!(of("add")[0]["add"]["dataChange"], false);
    assert!(of("remove").iter().all(|action| action["remove"]["dataChange"] == false));
    let stats: serde_json::Value =
        serde_json::from_str(of("add")[0]["add"]["stats"].as_str().expect("statistics")).expect("JSON");
    assert_eq!((&stats["minValues"]["id"], &stats["maxValues"]["id"]), (&10.into(), &42.into()));
    // Three are too few.
    let bench = Bench::new();
    let table = bench.created();
    for seq in 1..=3 {
        bench.append(&table, seq, seq * 10, seq * 10 + 3).expect("committed");
    }
    assert_eq!(maintain(&bench, &table, &rules(4)), Maintained { done: true, ..Maintained::default() });
}

#[test]
fn one_step_compacts_many_partition_values_and_does_the_other_duties_too() {
    let bench = Bench::new();
    let table = bench.table();
    let schema = TableSchema { partition: Some("name".to_owned()), ..small_schema() };
    bench.create(&table, &schema).expect("created");
    for seq in 1..=3 {
        let files = write_all(&table, &schema, &small_rows(1, 31));
        assert_eq!(files.len(), 21);
        bench.commit(&table, &bench.batch(seq, files)).expect("committed");
    }
    let orphan = bench.root.join("part-x.parquet");
    std::fs::write(&orphan, b"PAR1").expect("written");
    bench.age(&orphan, bench.clock() - jiff::SignedDuration::from_hours(24 * 8));
    for _ in 0..120 {
        bench.foreign_entry(&[]);
    }
    let ids = bench.ids();
    let step = maintain(&bench, &table, &rules(2));
    assert_eq!((step.compacted, step.into, step.rows), (63, 21, 90), "{step:?}");
    assert_eq!((step.checkpoint, step.vacuumed, step.done), (true, 1, true), "{step:?}");
    assert_eq!((bench.facts().version, bench.ids()), (124, ids), "one commit");
    // Within the bytes of a step: what does not fit waits.
    let bench = Bench::new();
    let table = bench.table();
    bench.create(&table, &schema).expect("created");
    let mut bytes = 0;
    for seq in 1..=3 {
        let files = write_all(&table, &schema, &small_rows(1, 31));
        bytes += files.iter().map(|file| file.bytes).sum::<u64>();
        bench.commit(&table, &bench.batch(seq, files)).expect("committed");
    }
    let few = MaintenanceRules { step_bytes: bytes / 3, ..rules(2) };
    let steps = all_steps(&bench, &table, &few);
    assert!((3..=6).contains(&steps.len()) && !steps[0].done, "{steps:?}");
    assert_eq!(steps.iter().map(|step| step.compacted).sum::<u64>(), 63);
}

#[test]
fn somebody_elses_commit_in_between_leaves_all_as_it_was() {
    let (bench, store, table) = faulty();
    for seq in 1..=4 {
        bench.append(&table, seq, seq * 10, seq * 10 + 3).expect("committed");
    }
    let (files, ids) = (bench.data_files(), bench.ids());
    store.plan(&[Fault::Overtaken]);
    let step = maintain(&bench, &table, &rules(2));
    assert_eq!(step, Maintained { conflict: true, ..Maintained::default() });
    assert_eq!((bench.data_files(), bench.ids()), (files, ids.clone()));
    assert_eq!(maintain(&bench, &table, &rules(2)).compacted, 4);
    assert_eq!(bench.ids(), ids);
    // What was kept of our last commit would be a conflict now.
    assert_eq!(bench.append(&table, 5, 0, 3), Ok(CommitAnswer::Landed { version: 7 }));
}

#[test]
fn a_compaction_whose_answer_was_lost_loses_and_doubles_nothing() {
    for fault in [Fault::Before, Fault::After] {
        let (bench, store, table) = faulty();
        for seq in 1..=4 {
            bench.append(&table, seq, seq * 10, seq * 10 + 3).expect("committed");
        }
        let ids = bench.ids();
        store.plan(&[fault]);
        assert_eq!(maintain(&bench, &table, &rules(2)).compacted, 4, "{fault:?}");
        assert_eq!(bench.ids(), ids, "{fault:?}");
    }
}

#[test]
fn files_with_a_column_that_cannot_be_written_back_stay_as_they_are() {
    let bench = Bench::new();
    let table = bench.created();
    for seq in 1..=3 {
        bench.append(&table, seq, seq * 10, seq * 10 + 3).expect("committed");
    }
    bench.foreign_schema(r#""name":"name""#, r#""name":"title""#);
    let files = bench.data_files();
    let step = maintain(&bench, &table, &rules(2));
    assert_eq!(step, Maintained { done: true, ..Maintained::default() });
    assert_eq!(bench.data_files(), files);
}

#[test]
fn a_table_of_another_program_is_left_alone() {
    let bench = Bench::new();
    let table = bench.created();
    for seq in 1..=3 {
        bench.append(&table, seq, seq * 10, seq * 10 + 3).expect("committed");
    }
    let log = std::fs::read_to_string(bench.log_file(0)).expect("an entry");
    std::fs::write(bench.log_file(0), log.replace("s3_connector.import", "theirs.import")).expect("written");
    assert_eq!(maintain(&bench, &table, &rules(2)), Maintained { done: true, ..Maintained::default() });
    let nowhere = Bench::new();
    let table = nowhere.table();
    assert_eq!(maintain(&nowhere, &table, &rules(2)), Maintained { done: true, ..Maintained::default() });
}

/// The group that comes first.
fn choose(files: &[ActiveFile], rules: &MaintenanceRules) -> Option<Vec<ActiveFile>> {
    compaction::choose(files, rules).into_iter().next()
}

fn file(number: usize, size: u64, partition: Option<&str>) -> ActiveFile {
    ActiveFile { path: number.to_string(), size, partition: partition.map(str::to_owned), ..ActiveFile::default() }
}

#[test]
fn groups_are_small_files_of_one_partition_value_within_the_bounds() {
    let mut dice = Dice(5);
    for round in 0..500 {
        let parts = [None, Some("a"), Some("b")];
        let count = dice.below(60) as usize;
        let files: Vec<ActiveFile> =
            (0..count).map(|at| file(at, dice.below(200), parts[dice.below(3) as usize])).collect();
        let rules = MaintenanceRules {
            small_file: 1 + dice.below(200),
            min_small_files: dice.below(10) as usize,
            step_bytes: dice.below(2_000),
            ..MaintenanceRules::default()
        };
        let Some(group) = choose(&files, &rules) else { continue };
        let paths: BTreeSet<&str> = group.iter().map(|file| file.path.as_str()).collect();
        assert!(group.len() >= 2 && paths.len() == group.len(), "round {round}");
        assert!(group.iter().all(|file| file.partition == group[0].partition && file.size < rules.small_file));
        assert!(group.iter().map(|file| file.size).sum::<u64>() <= rules.step_bytes, "round {round}");
    }
}

#[test]
fn a_row_is_rewritten_seldom_and_few_small_files_are_left() {
    let rules = MaintenanceRules { small_file: 4_096, min_small_files: 16, ..MaintenanceRules::default() };
    let (mut files, mut written, mut most) = (Vec::new(), 0, 0);
    for number in 0..20_000 {
        files.push(file(number, 1, None));
        while let Some(group) = choose(&files, &rules) {
            let gone: BTreeSet<String> = group.iter().map(|file| file.path.clone()).collect();
            let size: u64 = group.iter().map(|file| file.size).sum();
            written += size;
            files.retain(|file| !gone.contains(&file.path));
            files.push(file(100_000 + number, size, None));
        }
        most = most.max(files.iter().filter(|file| file.size < rules.small_file).count());
    }
    assert_eq!(files.iter().map(|file| file.size).sum::<u64>(), 20_000);
    assert!(most < 48, "{most} small files at once");
    assert!(written < 20_000 * 12, "each row was written {} times", written / 20_000);
}
