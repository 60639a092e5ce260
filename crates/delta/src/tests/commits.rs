//! Commits: sequence, conflicts, checkpoints, what a fresh instance reads.

use std::os::unix::fs::PermissionsExt as _;

use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::transaction::UpdateTableOperation;

use super::*;

fn landed(version: u64) -> PortResult<CommitAnswer> {
    Ok(CommitAnswer::Landed { version })
}

/// A commit by a program that knows nothing of us.
fn foreign_commit(bench: &Bench) {
    let engine = bench.engine();
    let result = bench
        .snapshot()
        .update_table(UpdateTableOperation::Write, "another/1", true)
        .with_transaction_id("another-app", 99)
        .build(engine.as_ref(), Box::new(FileSystemCommitter::new()))
        .and_then(|transaction| transaction.commit(engine.as_ref()))
        .expect("committed");
    assert!(result.is_committed());
}

#[test]
fn sixty_commits_read_back_with_and_without_the_checkpoint() {
    let bench = Bench::new();
    let table = bench.created();
    let mut last = None;
    for seq in 1..=60 {
        let commit = bench.batch(seq, vec![stage(&table, seq * 10, seq * 10 + 10)]);
        assert_eq!(bench.commit(&table, &commit), landed(seq as u64));
        last = Some(commit.batch_uuid);
    }
    let checkpoints = bench.files_with("_delta_log", ".checkpoint.parquet");
    assert_eq!(checkpoints.len(), 1, "{checkpoints:?}");
    assert!(checkpoints[0].ends_with("00000000000000000050.checkpoint.parquet"), "{checkpoints:?}");
    let check = || {
        let facts = bench.facts();
        assert_eq!((facts.version, facts.committed_seq, facts.committed_uuid), (60, 60, last));
        assert_eq!((facts.import, facts.schema), (Some(bench.import), small_schema()));
        assert_eq!(bench.ids(), (10..610).collect::<Vec<_>>());
    };
    check();
    // As log cleanup by another program would leave it.
    let kept: Vec<_> =
        (0..50).map(|version| (bench.log_file(version), std::fs::read(bench.log_file(version)))).collect();
    kept.iter().for_each(|(path, _)| std::fs::remove_file(path).expect("removed"));
    check();
    for (path, bytes) in kept {
        std::fs::write(path, bytes.expect("was there")).expect("put back");
    }
    std::fs::remove_file(&checkpoints[0]).expect("removed");
    std::fs::remove_file(bench.root.join("_delta_log/_last_checkpoint")).expect("removed");
    check();
    assert_eq!(bench.append(&bench.table(), 61, 610, 620), landed(61));
}

#[test]
fn the_batch_is_unknown_once_its_log_entry_is_gone() {
    let bench = Bench::new();
    let table = bench.created();
    assert_eq!(bench.append(&table, 1, 0, 10), landed(1));
    (0..49).for_each(|_| foreign_commit(&bench));
    let engine = bench.engine();
    bench.snapshot().checkpoint(engine.as_ref(), None).expect("checkpointed");
    assert!(bench.facts().committed_uuid.is_some());
    assert_eq!(bench.facts().committed_batch, Some(BatchId::from_parts(bench.facts().committed_seq.unsigned_abs(), 7)));
    (0..50).for_each(|version| std::fs::remove_file(bench.log_file(version)).expect("removed"));
    let facts = bench.facts();
    assert_eq!((facts.version, facts.committed_seq, facts.committed_uuid), (50, 1, None));
    assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>());
}

#[test]
fn of_two_instances_with_the_same_seq_one_lands() {
    let bench = Bench::new();
    bench.created();
    for seq in 1..=5 {
        let commits: Vec<_> = (0..2)
            .map(|racer| {
                let table = bench.table();
                let files = vec![stage(&table, seq * 100 + racer, seq * 100 + racer + 1)];
                (table, bench.batch(seq, files))
            })
            .collect();
        let answers: Vec<_> = std::thread::scope(|scope| {
            let racers: Vec<_> =
                commits.iter().map(|(table, commit)| scope.spawn(|| bench.commit(table, commit))).collect();
            racers.into_iter().map(|racer| racer.join().expect("no panic").expect("an answer")).collect()
        });
        let winner = answers.iter().position(|answer| *answer != CommitAnswer::Conflict).expect("a winner");
        assert_eq!(answers[1 - winner], CommitAnswer::Conflict);
        let facts = bench.facts();
        assert_eq!((facts.committed_seq, facts.committed_uuid), (seq, Some(commits[winner].1.batch_uuid)));
        assert_eq!(bench.ids().len(), seq as usize);
    }
}

#[test]
fn an_instance_that_fell_behind_conflicts_and_goes_on_after_reading() {
    let bench = Bench::new();
    let (first, second) = (bench.created(), bench.table());
    assert_eq!(bench.append(&first, 1, 0, 10), landed(1));
    assert_eq!(bench.append(&second, 2, 10, 20), landed(2));
    // `first` still keeps version 1, and finds its place taken.
    assert_eq!(bench.append(&first, 3, 20, 30), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.append(&first, 3, 20, 30), landed(3));
    assert_eq!(bench.append(&second, 3, 20, 30), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.ids(), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_foreign_commit_conflicts_once_and_is_built_upon() {
    let bench = Bench::new();
    let table = bench.created();
    assert_eq!(bench.append(&table, 1, 0, 10), landed(1));
    foreign_commit(&bench);
    let commit = bench.batch(2, vec![stage(&table, 10, 20)]);
    assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict));
    let facts = bench.runtime.block_on(table.read()).expect("readable").expect("a table");
    assert_eq!((facts.version, facts.committed_seq), (2, 1));
    assert_eq!(bench.commit(&table, &commit), landed(3));
    foreign_commit(&bench);
    let facts = bench.facts();
    assert_eq!((facts.version, facts.committed_seq, facts.committed_uuid), (4, 2, Some(commit.batch_uuid)));
    assert_eq!(bench.ids(), (0..20).collect::<Vec<_>>());
}

#[test]
fn only_a_later_seq_of_the_right_import_lands() {
    let bench = Bench::new();
    let table = bench.created();
    assert_eq!(bench.append(&table, 1, 0, 10), landed(1));
    for seq in [-1, 0, 1] {
        assert_eq!(bench.append(&table, seq, 10, 20), Ok(CommitAnswer::Conflict), "kept, {seq}");
        assert_eq!(bench.append(&bench.table(), seq, 10, 20), Ok(CommitAnswer::Conflict), "fresh, {seq}");
    }
    let stranger = TableCommit { import: ImportUuid::mint(), ..bench.batch(2, vec![stage(&table, 10, 20)]) };
    assert_eq!(bench.commit(&table, &stranger), Ok(CommitAnswer::Conflict));
    let first = TableCommit { seq: 1, ..stranger };
    assert_eq!(bench.commit(&table, &first), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.facts().version, 1);
    assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>());
    // Batches without a bad row pass a quarantine table by.
    assert_eq!(bench.append(&table, 4, 10, 20), landed(2));
    assert_eq!(bench.append(&bench.table(), 9, 20, 30), landed(3));
    assert_eq!(bench.append(&table, 9, 30, 40), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.append(&table, 8, 30, 40), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.facts().committed_seq, 9);
    assert_eq!(bench.ids(), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_commit_without_files_moves_the_seq_only() {
    let bench = Bench::new();
    let table = bench.created();
    assert_eq!(bench.commit(&table, &bench.batch(1, vec![])), landed(1));
    assert_eq!(bench.append(&table, 2, 0, 10), landed(2));
    let empty = bench.batch(3, vec![]);
    assert_eq!(bench.commit(&table, &empty), landed(3));
    let facts = bench.facts();
    assert_eq!((facts.committed_seq, facts.committed_uuid), (3, Some(empty.batch_uuid)));
    assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_table_that_was_replaced_is_not_built_upon() {
    let bench = Bench::new();
    let table = bench.created();
    assert_eq!(bench.append(&table, 1, 0, 10), landed(1));
    std::fs::remove_dir_all(&bench.root).expect("removed");
    let commit = bench.batch(2, vec![]);
    assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict));
    assert!(!bench.root.exists(), "nothing is written to a table that is gone");
    bench.create(&bench.table(), &small_schema()).expect("created");
    assert_eq!(bench.append(&bench.table(), 1, 50, 60), landed(1));
    assert_eq!(bench.append(&table, 2, 60, 70), landed(2));
    // Another import's table, of the same version: what was kept says that the next batch fits, but it is not used.
    std::fs::remove_dir_all(&bench.root).expect("removed");
    let stranger = ImportUuid::mint();
    bench.runtime.block_on(bench.table().create(stranger, &small_schema())).expect("created");
    for seq in 1..=2 {
        let commit = TableCommit { import: stranger, ..bench.batch(seq, vec![]) };
        assert_eq!(bench.commit(&bench.table(), &commit), landed(seq as u64));
    }
    assert_eq!(bench.append(&table, 3, 70, 80), Ok(CommitAnswer::Conflict));
    assert_eq!(bench.facts().version, 2);
}

#[test]
fn adds_carry_statistics_and_tags_through_a_checkpoint() {
    let bench = Bench::new();
    let table = bench.created();
    let file = stage(&table, 5, 8);
    let commit = bench.batch(1, vec![file.clone()]);
    assert_eq!(bench.commit(&table, &commit), landed(1));
    let entry = std::fs::read_to_string(bench.log_file(1)).expect("an entry");
    let add = entry
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .find_map(|action| action.get("add").cloned())
        .expect("an add");
    assert_eq!(add["path"], file.path.as_str());
    assert_eq!(add["size"], file.bytes);
    assert_eq!(add["stats"], file.stats.as_str());
    assert_eq!(add["dataChange"], true);
    assert_eq!(add["tags"]["s3_connector.seq"], "1");
    assert_eq!(add["tags"]["s3_connector.batch"], commit.batch_uuid.to_string());
    let stats: serde_json::Value = serde_json::from_str(&file.stats).expect("JSON");
    assert_eq!(stats["numRecords"], 3);
    assert_eq!((&stats["minValues"]["id"], &stats["maxValues"]["id"]), (&5.into(), &7.into()));
    assert_eq!(stats["nullCount"]["name"], 1);
    bench.snapshot().checkpoint(bench.engine().as_ref(), None).expect("checkpointed");
    std::fs::remove_file(bench.log_file(0)).expect("removed");
    assert_eq!(bench.ids(), [5, 6, 7]);
}

#[test]
fn a_checkpoint_that_fails_does_not_fail_the_commit() {
    let bench = Bench::new();
    let table = bench.created();
    for seq in 1..50 {
        assert_eq!(bench.commit(&table, &bench.batch(seq, vec![])), landed(seq as u64));
    }
    // A folder where the checkpoint should go cannot be replaced by a file.
    let place = bench.root.join("_delta_log/00000000000000000050.checkpoint.parquet");
    std::fs::create_dir(&place).expect("a folder");
    std::fs::write(place.join("x"), b"").expect("not empty");
    assert_eq!(bench.append(&table, 50, 0, 10), landed(50));
    std::fs::remove_dir_all(&place).expect("removed");
    assert_eq!(bench.append(&table, 51, 10, 20), landed(51));
    assert_eq!(bench.files_with("_delta_log", ".checkpoint.parquet").len(), 1, "tried again");
    assert_eq!(bench.append(&table, 52, 20, 30), landed(52));
    assert_eq!(bench.files_with("_delta_log", ".checkpoint.parquet").len(), 1, "and then not for 50 commits");
    assert_eq!(bench.ids(), (0..30).collect::<Vec<_>>());
}

#[test]
fn a_log_that_may_not_be_written_is_a_config_error_and_nothing_lands() {
    let bench = Bench::new();
    let table = bench.created();
    let commit = bench.batch(1, vec![stage(&table, 0, 10)]);
    let log = bench.root.join("_delta_log");
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o500)).expect("closed");
    if std::fs::write(log.join("probe"), b"").is_ok() {
        println!("not run: this user may write everywhere");
        return;
    }
    let error = bench.commit(&table, &commit).expect_err("denied");
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o700)).expect("opened");
    assert_eq!(error.code, "storage_denied", "{}", error.message);
    assert_eq!(bench.commit(&table, &commit), landed(1));
    assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_table_that_was_restored_while_we_wrote_takes_no_batch_behind_the_ones_it_lost() {
    let bench = Bench::new();
    let table = bench.created();
    for seq in 1..4 {
        assert_eq!(bench.append(&table, seq, 0, 10), landed(seq as u64));
    }
    // An older copy is put back: batches 2 and 3 are gone.
    for version in [2, 3] {
        std::fs::remove_file(bench.log_file(version)).expect("removed");
    }
    let commit = TableCommit { after: Some(3), ..bench.batch(4, vec![]) };
    assert_eq!(bench.commit(&table, &commit).expect("answers"), CommitAnswer::Conflict);
}
