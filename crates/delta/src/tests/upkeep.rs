//! Log retention, checkpoints and vacuum: what goes, and above all what stays.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use connector_core::ports::{Maintained, MaintenanceRules, Removal};
use jiff::{SignedDuration, Timestamp};

use super::sets::*;
use super::*;
use crate::storage::StoredFile;
use crate::upkeep::left_overs::is_half_an_entry;
use crate::upkeep::retention::{self, Kind, LogFile};
use crate::upkeep::vacuum;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Never compacts; keeps for a week.
fn rules() -> MaintenanceRules {
    MaintenanceRules { min_small_files: usize::MAX, ..MaintenanceRules::default() }
}

fn maintain(bench: &Bench, table: &DeltaTable, now: Timestamp) -> Maintained {
    bench.runtime.block_on(table.maintain(&rules(), now)).expect("maintained")
}

fn log_file(name: &str, modified: i64) -> Option<LogFile> {
    let modified = Timestamp::from_second(modified).expect("in range");
    LogFile::of(StoredFile { path: format!("_delta_log/{name}"), bytes: 1, modified })
}

#[test]
fn files_of_the_log_are_told_by_their_names() {
    let kind = |name: &str| log_file(name, 0).map(|file| (file.version, file.kind));
    assert_eq!(kind("00000000000000000012.json"), Some((12, Kind::Entry)));
    assert_eq!(kind("00000000000000000012.crc"), Some((12, Kind::Summary)));
    assert_eq!(kind("00000000000000000012.checkpoint.parquet"), Some((12, Kind::Checkpoint { parts: 1 })));
    let part = "00000000000000000012.checkpoint.0000000002.0000000003.parquet";
    assert_eq!(kind(part), Some((12, Kind::Checkpoint { parts: 3 })));
    for other in [
        "_last_checkpoint",
        "12.json",
        "00000000000000000012.json#1",
        "00000000000000000012.json.torn",
        "00000000000000000012.00000000000000000020.compacted.json",
        "00000000000000000012.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.parquet",
        "00000000000000000012.checkpoint.0000000004.0000000003.parquet",
        "_sidecars",
    ] {
        assert_eq!(kind(other), None, "{other}");
    }
    assert!(is_half_an_entry("00000000000000000012.json#1"));
    assert!(is_half_an_entry("00000000000000000012.checkpoint.parquet#2"));
    assert!(is_half_an_entry(".0b1c.tmp"));
    for other in ["00000000000000000012.json", "_last_checkpoint", "notes#1", "00000000000000000012.json#", "a.tmp"] {
        assert!(!is_half_an_entry(other), "{other}");
    }
}

#[test]
fn of_any_log_what_the_rules_keep_is_kept_and_no_hole_is_made() {
    let mut dice = Dice(77);
    let mut went = 0;
    for round in 0..400 {
        let newest = dice.below(900);
        let first = dice.below(newest + 1);
        let every = 1 + dice.below(120);
        let mut log = Vec::new();
        let mut time = 0;
        for version in first..=newest {
            time += dice.below(10) as i64;
            // A clock that goes back now and then.
            let modified = if dice.one_in(50) { time - 40 } else { time };
            log.extend(log_file(&format!("{version:020}.json"), modified));
            if version % every == 0 && !dice.one_in(6) {
                log.extend(log_file(&format!("{version:020}.checkpoint.parquet"), modified));
            } else if dice.one_in(90) {
                // One part of two is no checkpoint.
                log.extend(log_file(&format!("{version:020}.checkpoint.0000000001.0000000002.parquet"), modified));
            }
        }
        let before = Timestamp::from_second(dice.below(5_000) as i64).expect("in range");
        let gone = retention::choose(&log, newest, before);
        let whole: Vec<u64> =
            log.iter().filter(|file| file.kind == Kind::Checkpoint { parts: 1 }).map(|file| file.version).collect();
        went += gone.len();
        if gone.is_empty() {
            continue;
        }
        assert!(gone.iter().all(|file| file.file.modified < before), "round {round}: nothing young");
        assert_eq!(gone, log.iter().take(gone.len()).collect::<Vec<_>>(), "round {round}: the oldest");
        let last = gone.iter().map(|file| file.version).max().expect("some");
        assert!(last + 100 < newest, "round {round}: a hundred stay");
        let left = whole.iter().filter(|version| **version > last).count();
        assert!(left >= 2, "round {round}: {left} checkpoints are left");
    }
    assert!(went > 10_000, "only {went} were to go in all rounds");
}

#[test]
fn the_table_is_readable_from_scratch_after_each_entry_that_goes() {
    let bench = Bench::new();
    let table = bench.created();
    let mut uuid = None;
    for seq in 1..=230 {
        let files = if seq % 20 == 0 { vec![stage(&table, seq, seq + 1)] } else { vec![] };
        let commit = bench.batch(seq, files);
        bench.commit(&table, &commit).expect("committed");
        uuid = Some(commit.batch_uuid);
    }
    let (facts, ids) = (bench.facts(), bench.ids());
    assert_eq!((facts.committed_seq, facts.committed_uuid), (230, uuid));
    let now = bench.clock();
    // Nothing is old yet.
    assert_eq!(maintain(&bench, &table, now), Maintained { done: true, ..Maintained::default() });
    let later = now + DAY * 8;
    let storage = Storage::new(Location::Local(bench.root.clone()), bench.runtime.handle().clone()).expect("a place");
    let kernel = crate::kernel::Kernel::new(storage).expect("a kernel");
    let log = retention::list(&kernel).expect("listed");
    let gone: Vec<PathBuf> =
        retention::choose(&log, 230, later - DAY * 7).iter().map(|file| bench.root.join(&file.file.path)).collect();
    assert!(gone.len() > 100, "{}", gone.len());
    // A process that ends in between leaves what a prefix of them leaves.
    let saved: Vec<(PathBuf, Vec<u8>)> =
        gone.iter().map(|path| (path.clone(), std::fs::read(path).expect("there"))).collect();
    for (at, path) in gone.iter().enumerate() {
        std::fs::remove_file(path).expect("removed");
        if at % 9 == 0 {
            assert_eq!((bench.facts(), bench.ids()), (facts.clone(), ids.clone()), "after {path:?}");
        }
    }
    saved.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).expect("put back"));
    let step = maintain(&bench, &table, later);
    assert_eq!((step.log_entries, step.done), (gone.len() as u64, true));
    assert!(gone.iter().all(|path| !path.exists()));
    assert_eq!((bench.facts(), bench.ids()), (facts, ids));
    assert_eq!(maintain(&bench, &table, later), Maintained { done: true, ..Maintained::default() });
    assert_eq!(bench.append(&table, 231, 900, 901), Ok(CommitAnswer::Landed { version: 231 }));
}

#[test]
fn the_entry_of_the_newest_batch_stays_however_many_commits_of_others_follow() {
    let bench = Bench::new();
    let table = bench.created();
    for seq in 1..=3 {
        bench.append(&table, seq, seq, seq + 1).expect("committed");
    }
    let facts = bench.facts();
    for _ in 0..2 {
        for _ in 0..120 {
            bench.foreign_entry(&[]);
        }
        let step = maintain(&bench, &table, bench.clock());
        assert_eq!(step, Maintained { checkpoint: true, done: true, ..Maintained::default() });
    }
    let later = bench.clock() + DAY * 8;
    let step = maintain(&bench, &table, later);
    // Versions 0 to 2; the newest checkpoint but one is at 123.
    assert_eq!((step.log_entries, step.checkpoint), (3, false), "{step:?}");
    let after = bench.facts();
    assert_eq!((after.committed_seq, after.committed_uuid), (3, facts.committed_uuid));
    assert!(after.committed_uuid.is_some());
    assert_eq!(bench.ids(), [1, 2, 3]);
    assert_eq!(maintain(&bench, &table, later), Maintained { done: true, ..Maintained::default() });
}

#[test]
fn entries_before_a_damaged_checkpoint_stay() {
    let bench = Bench::new();
    let table = bench.created();
    for seq in 1..=160 {
        bench.commit(&table, &bench.batch(seq, vec![])).expect("committed");
    }
    let later = bench.clock() + DAY * 8;
    let damaged = bench.root.join("_delta_log/00000000000000000100.checkpoint.parquet");
    let bytes = std::fs::read(&damaged).expect("there");
    std::fs::write(&damaged, &bytes[..bytes.len() - 8]).expect("cut");
    assert_eq!(maintain(&bench, &table, later).log_entries, 0);
    std::fs::write(&damaged, &bytes).expect("mended");
    assert!(maintain(&bench, &table, later).log_entries > 50);
}

#[test]
fn vacuum_takes_old_files_that_nobody_refers_to_and_nothing_else() {
    for seed in 0..6 {
        let (bench, mut dice) = (Bench::new(), Dice(seed));
        let (table, batches) = chance_table(&bench, &mut dice, seed % 2 == 0);
        let before = bench.held();
        // Some rows leave now, so that their files have departed of late, however old they are.
        let remove = Removal::Versions(BTreeSet::from([version(1)]));
        bench.commit(&table, &bench.removing(batches + 1, vec![], remove)).expect("committed");
        let referred = bench.data_files();
        let held = bench.held();
        assert!(held.len() < before.len());
        let now = bench.clock();
        let orphans: Vec<StagedFile> =
            (0..6).flat_map(|at| stage_versions(&table, &mut dice, &columns(seed % 2 == 0), &[700 + at])).collect();
        let mut old: HashSet<PathBuf> = HashSet::new();
        for file in &orphans {
            let path = bench.root.join(&file.path);
            if dice.one_in(2) {
                bench.age(&path, now - DAY * 8);
                old.insert(path);
            }
        }
        referred.iter().for_each(|path| bench.age(path, now - DAY * 30));
        // What is none of a vacuum's business.
        let litter = bench.root.join("_delta_log/part-0.parquet");
        let notes = bench.root.join("notes.txt");
        let outside = bench.root.parent().expect("a parent").join("outside.parquet");
        for path in [&litter, &notes, &outside] {
            std::fs::write(path, b"kept").expect("written");
            bench.age(path, now - DAY * 30);
        }
        std::os::unix::fs::symlink(&outside, bench.root.join("link.parquet")).expect("linked");
        std::os::unix::fs::symlink(outside.parent().expect("a folder"), bench.root.join("up")).expect("linked");
        let half = bench.root.join("_delta_log/00000000000000000099.json#1");
        std::fs::write(&half, b"{").expect("written");
        let all = bench.data_files_without_links();
        let step = maintain(&bench, &table, now);
        assert_eq!(step.vacuumed, old.len() as u64, "seed {seed}");
        let left: BTreeSet<PathBuf> = all.iter().filter(|path| !old.contains(*path)).cloned().collect();
        assert_eq!(bench.data_files_without_links(), left, "seed {seed}");
        assert!([&litter, &notes, &outside, &half].iter().all(|path| path.exists()), "seed {seed}");
        assert_same(&bench.held(), &held, &format!("seed {seed}"));
        assert!(table_is_whole(&bench, &table));
        // A week later the files that departed go as well, and so does the half of an entry; what is referred to stays.
        let step = maintain(&bench, &table, now + DAY * 8);
        assert!(step.vacuumed > 0 && step.done, "seed {seed}: {step:?}");
        assert!(!half.exists() && litter.exists() && notes.exists() && outside.exists());
        assert_same(&bench.held(), &held, &format!("seed {seed}, a week later"));
        assert_eq!(maintain(&bench, &table, now + DAY * 8).vacuumed, 0);
    }
}

/// Whether every row can be read.
fn table_is_whole(bench: &Bench, table: &DeltaTable) -> bool {
    bench.read_all(table).len() == bench.held().len()
}

impl Bench {
    /// The data files in the table's directory, as far as no link leads there.
    fn data_files_without_links(&self) -> BTreeSet<PathBuf> {
        let (mut found, mut folders) = (BTreeSet::new(), vec![self.root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let entry = entry.expect("an entry");
                let kind = entry.file_type().expect("a kind");
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() && entry.path().extension().is_some_and(|extension| extension == "parquet") {
                    found.insert(entry.path());
                }
            }
        }
        found.retain(|path| !path.to_string_lossy().contains(".checkpoint."));
        found
    }
}

#[test]
fn one_step_removes_a_thousand_files_at_most() {
    let bench = Bench::new();
    let table = bench.created();
    for at in 0..1_500 {
        std::fs::write(bench.root.join(format!("part-{at}.parquet")), b"PAR1").expect("written");
    }
    let later = bench.clock() + DAY * 8;
    let steps: Vec<Maintained> = (0..3).map(|_| maintain(&bench, &table, later)).collect();
    let done: Vec<(u64, bool)> = steps.iter().map(|step| (step.vacuumed, step.done)).collect();
    assert_eq!(done, [(1_000, false), (500, true), (0, true)]);
    assert_eq!(steps[0].vacuumed_bytes, 4_000);
}

#[test]
fn a_long_log_is_read_in_several_steps_before_the_first_file_goes() {
    let bench = Bench::new();
    let table = bench.created();
    for version in 1..=vacuum::MOST_READ as u64 + 100 {
        std::fs::write(bench.log_file(version), "{\"commitInfo\":{\"operation\":\"WRITE\"}}\n").expect("written");
    }
    let orphan = bench.root.join("part-x.parquet");
    std::fs::write(&orphan, b"PAR1").expect("written");
    bench.age(&orphan, bench.clock() - DAY * 8);
    let steps: Vec<Maintained> = (0..2).map(|_| maintain(&bench, &table, bench.clock())).collect();
    let done: Vec<(u64, bool)> = steps.iter().map(|step| (step.vacuumed, step.done)).collect();
    assert_eq!(done, [(0, false), (1, true)]);
}

#[test]
fn an_active_path_that_nobody_can_resolve_ends_vacuum() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 10).expect("committed");
    let log = std::fs::read_to_string(bench.log_file(1)).expect("an entry");
    let name = bench.data_files().pop_first().expect("a file");
    let name = name.file_name().expect("a name").to_string_lossy().into_owned();
    std::fs::write(bench.log_file(1), log.replace(&name, &format!("s3://elsewhere/{name}"))).expect("written");
    bench.age(&bench.root.join(&name), bench.clock() - DAY * 8);
    let refused = bench.runtime.block_on(bench.table().maintain(&rules(), bench.clock())).expect_err("refused");
    assert_eq!(refused.code, "table_unreadable", "{}", refused.message);
    assert!(bench.root.join(&name).exists());
}

#[test]
fn what_a_trial_of_the_place_has_left_goes_after_a_day() {
    for (place, bench) in Bench::everywhere() {
        let table = bench.created();
        let key = object_store::path::Path::parse("lake/tables of ä/_s3_connector_probe-1").expect("a key");
        let files = [bench.root.join(".s3_connector_probe-1"), bench.root.with_file_name(".s3_connector_probe-2")];
        match &bench.bucket {
            None => files.iter().for_each(|file| std::fs::write(file, b"").expect("written")),
            Some(store) => {
                use object_store::ObjectStoreExt as _;
                bench.runtime.block_on(store.put(&key, "probe".into())).expect("put");
            }
        }
        let now = bench.clock();
        assert_eq!(maintain(&bench, &table, now).vacuumed, 0, "{place}: young");
        let expected = if bench.bucket.is_some() { 1 } else { 2 };
        assert_eq!(maintain(&bench, &table, now + DAY * 2).vacuumed, expected, "{place}");
        assert!(files.iter().all(|file| !file.exists()), "{place}");
        assert_eq!(maintain(&bench, &table, now + DAY * 2).vacuumed, 0, "{place}");
    }
}

#[test]
fn a_path_that_leads_out_of_the_table_is_never_chosen() {
    let old = Timestamp::UNIX_EPOCH;
    let listed: Vec<StoredFile> = [
        "a.parquet",
        "p=1/b.parquet",
        "../c.parquet",
        "p=1/../../d.parquet",
        "/etc/e.parquet",
        "_delta_log/00000000000000000001.checkpoint.parquet",
        "f.csv",
        "p=1//g.parquet",
        "h.parquet",
    ]
    .map(|path| StoredFile { path: path.to_owned(), bytes: 1, modified: old })
    .to_vec();
    let active = HashSet::from(["h.parquet".to_owned()]);
    let chosen = vacuum::choose(&listed, &active, old + SignedDuration::from_secs(1));
    let paths: Vec<&str> = chosen.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["a.parquet", "p=1/b.parquet"]);
    assert!(vacuum::choose(&listed, &active, old).is_empty(), "young ones stay");
}

#[test]
fn a_retention_longer_than_time_keeps_everything() {
    let bench = Bench::new();
    let table = bench.created();
    stage(&table, 0, 4);
    let rules = MaintenanceRules { retention: Duration::MAX, ..rules() };
    let step = bench.runtime.block_on(table.maintain(&rules, bench.clock())).expect("maintained");
    assert_eq!(step, Maintained { done: true, ..Maintained::default() });
    assert_eq!(bench.data_files().len(), 1);
}
