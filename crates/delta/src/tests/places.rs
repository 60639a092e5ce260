//! The promises of a destination, kept in a local directory and in a bucket alike.

use std::collections::BTreeSet;

use connector_core::error::ErrorClass;
use futures::TryStreamExt as _;
use object_store::path::Path as StorePath;
use object_store::{ObjectStoreExt as _, PutPayload};

use super::*;

fn landed(version: u64) -> PortResult<CommitAnswer> {
    Ok(CommitAnswer::Landed { version })
}

impl Bench {
    /// Every file below the table, relative to it.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let prefix = match self.bucket {
            None => StorePath::from_absolute_path(&self.root).expect("a path"),
            Some(_) => StorePath::parse("lake/tables of ä/t").expect("a path"),
        };
        let store = self.store();
        let listed = self.runtime.block_on(store.list(Some(&prefix)).try_collect::<Vec<_>>()).expect("listed");
        let names = listed.iter().map(|meta| meta.location.as_ref().trim_start_matches(prefix.as_ref()));
        names.map(|name| name.trim_start_matches('/').to_owned()).collect()
    }

    fn key(&self, path: &str) -> StorePath {
        match self.bucket {
            None => StorePath::from_absolute_path(self.root.join(path)).expect("a path"),
            Some(_) => StorePath::parse(format!("lake/tables of ä/t/{path}")).expect("a path"),
        }
    }

    pub(super) fn put(&self, path: &str, bytes: impl Into<PutPayload>) {
        self.runtime.block_on(self.store().put(&self.key(path), bytes.into())).expect("put");
    }

    pub(super) fn get(&self, path: &str) -> bytes::Bytes {
        let read = async { self.store().get(&self.key(path)).await?.bytes().await };
        self.runtime.block_on(read).expect("read")
    }

    pub(super) fn delete(&self, path: &str) {
        self.runtime.block_on(self.store().delete(&self.key(path))).expect("deleted");
    }

    fn spooled(&self) -> usize {
        std::fs::read_dir(self.spool()).map_or(0, |entries| entries.count())
    }
}

#[test]
fn a_table_is_created_once_filled_and_read() {
    for (place, bench) in Bench::everywhere() {
        let table = bench.table();
        assert_eq!(bench.runtime.block_on(table.read()).expect("readable"), None, "{place}");
        let created = bench.create(&table, &small_schema()).expect("created");
        assert_eq!((created.version, created.import, &created.schema), (0, Some(bench.import), &small_schema()));
        let again = bench.create(&bench.table(), &small_schema()).expect_err("there is one");
        assert_eq!((again.class, again.code), (ErrorClass::Config, "table_exists"), "{place}");
        for seq in 1..=3 {
            assert_eq!(bench.append(&table, seq, seq * 10, seq * 10 + 10), landed(seq as u64), "{place}");
        }
        assert_eq!(bench.append(&table, 3, 90, 91), Ok(CommitAnswer::Conflict), "{place}");
        assert_eq!(bench.append(&bench.table(), 2, 90, 91), Ok(CommitAnswer::Conflict), "{place}");
        assert_eq!(bench.append(&bench.table(), 4, 40, 50), landed(4), "{place}: a fresh instance");
        let facts = bench.facts();
        assert_eq!((facts.version, facts.committed_seq), (4, 4), "{place}");
        assert!(facts.committed_uuid.is_some(), "{place}");
        assert_eq!(bench.ids(), (10..50).collect::<Vec<_>>(), "{place}: as the kernel reads it");
        assert_eq!(scanned(&bench), (10..50).collect::<Vec<_>>(), "{place}: as we read it");
        assert_eq!(bench.spooled(), 0, "{place}");
    }
}

#[test]
fn a_table_is_removed_whole_if_it_is_that_of_the_import() {
    for (place, bench) in Bench::everywhere() {
        let table = bench.created();
        for seq in 1..=3 {
            assert_eq!(bench.append(&table, seq, seq * 10, seq * 10 + 10), landed(seq as u64), "{place}");
        }
        let all = bench.files();
        let stranger = bench.runtime.block_on(table.remove(ImportUuid::mint())).expect_err("another's table");
        assert_eq!((stranger.class, stranger.code), (ErrorClass::Config, "foreign_table"), "{place}");
        assert_eq!(bench.files(), all, "{place}");
        // Somebody was interrupted when all data files and the newest entries of the log were gone.
        if bench.bucket.is_some() {
            let keep = |path: &String| path.ends_with("00.json") || path.ends_with("01.json");
            all.iter().filter(|path| !keep(path)).for_each(|path| bench.delete(path));
        }
        assert_eq!(bench.runtime.block_on(bench.table().remove(bench.import)), Ok(true), "{place}");
        assert_eq!(bench.files(), BTreeSet::new(), "{place}");
        assert!(!bench.root.exists(), "{place}");
        assert_eq!(bench.runtime.block_on(bench.table().remove(bench.import)), Ok(false), "{place}");
        let again = bench.created();
        assert_eq!(bench.append(&again, 1, 0, 5), landed(1), "{place}: the place is free");
    }
}

#[test]
fn what_an_interrupted_removal_has_left_goes_with_the_next_one_and_nothing_else_does() {
    let bench = Bench::new();
    let tables = bench.root.parent().expect("a folder");
    let (left, other) = (tables.join(".table.removed-1"), tables.join(".tables.removed-1"));
    let plain = bench.root.join("notes.txt");
    [&left, &other, &bench.root].iter().for_each(|folder| std::fs::create_dir(folder).expect("made"));
    std::fs::write(left.join("a.parquet"), "x").expect("written");
    std::fs::write(&plain, "no table").expect("written");
    assert_eq!(bench.runtime.block_on(bench.table().remove(bench.import)), Ok(false));
    assert_eq!((left.exists(), other.exists(), plain.exists()), (false, true, true));
}

/// The ids as a [`crate::TableScan`] reads them, sorted.
fn scanned(bench: &Bench) -> Vec<i64> {
    let columns = ["id".to_owned()];
    let scan = bench.runtime.block_on(bench.table().scan(Some(&columns))).expect("readable").expect("a table");
    let mut ids = Vec::new();
    for batch in scan {
        let batch = batch.expect("rows");
        let column = batch.column(0).as_any().downcast_ref::<Int64Array>().expect("longs");
        ids.extend_from_slice(column.values());
    }
    ids.sort_unstable();
    ids
}

#[test]
fn an_instance_that_fell_behind_conflicts_and_then_goes_on() {
    for (place, bench) in Bench::everywhere() {
        let (first, second) = (bench.created(), bench.table());
        assert_eq!(bench.append(&first, 1, 0, 10), landed(1), "{place}");
        assert_eq!(bench.append(&second, 2, 10, 20), landed(2), "{place}");
        assert_eq!(bench.append(&first, 3, 20, 30), Ok(CommitAnswer::Conflict), "{place}");
        assert_eq!(bench.append(&first, 3, 20, 30), landed(3), "{place}");
        assert_eq!(bench.ids(), (0..30).collect::<Vec<_>>(), "{place}");
    }
}

#[test]
fn of_two_instances_with_the_same_seq_one_lands() {
    for (place, bench) in Bench::everywhere() {
        bench.created();
        for seq in 1..=5 {
            let at = seq * 10;
            let commits = [0, 1].map(|racer| {
                let table = bench.table();
                let commit = bench.batch(seq, vec![stage(&table, at + racer, at + racer + 1)]);
                (table, commit)
            });
            let answers: Vec<_> = std::thread::scope(|scope| {
                let racers = commits.iter().map(|(table, commit)| scope.spawn(|| bench.commit(table, commit)));
                let racers: Vec<_> = racers.collect();
                racers.into_iter().map(|racer| racer.join().expect("no panic").expect("an answer")).collect()
            });
            let winner = answers.iter().position(|answer| *answer != CommitAnswer::Conflict).expect("a winner");
            assert_eq!(answers[1 - winner], CommitAnswer::Conflict, "{place}");
            assert_eq!(bench.facts().committed_uuid, Some(commits[winner].1.batch_uuid), "{place}");
            assert_eq!(bench.ids().len(), seq as usize, "{place}");
        }
    }
}

#[test]
fn staged_files_are_intact_only_whole() {
    for (place, bench) in Bench::everywhere() {
        let table = bench.created();
        let file = stage(&table, 0, 100);
        let intact = |files: &[StagedFile]| bench.runtime.block_on(bench.table().staged_files_intact(files));
        let whole = bench.get(&file.path);
        assert_eq!(whole.len() as u64, file.bytes, "{place}");
        assert_eq!(intact(std::slice::from_ref(&file)), Ok(true), "{place}");
        let mut torn = whole.to_vec();
        torn.pop();
        bench.put(&file.path, torn.clone());
        assert_eq!(intact(std::slice::from_ref(&file)), Ok(false), "{place}: shorter");
        torn.push(b'?');
        bench.put(&file.path, torn);
        assert_eq!(intact(std::slice::from_ref(&file)), Ok(false), "{place}: ends otherwise");
        bench.put(&file.path, whole);
        assert_eq!(intact(std::slice::from_ref(&file)), Ok(true), "{place}: put back");
        bench.delete(&file.path);
        assert_eq!(intact(std::slice::from_ref(&file)), Ok(false), "{place}: gone");
        let error = bench.commit(&table, &bench.batch(1, vec![file])).expect_err("gone");
        assert_eq!((error.class, error.code), (ErrorClass::Transient, "staged_file_missing"), "{place}");
        assert_eq!(bench.facts().committed_seq, 0, "{place}");
    }
}

#[test]
fn what_is_discarded_or_never_finished_is_gone() {
    for (place, bench) in Bench::everywhere() {
        let table = bench.created();
        let before = bench.files();
        let file = stage(&table, 0, 10);
        assert_eq!(bench.files().len(), before.len() + 1, "{place}");
        bench.runtime.block_on(table.discard(std::slice::from_ref(&file)));
        bench.runtime.block_on(table.discard(std::slice::from_ref(&file)));
        assert_eq!(bench.files(), before, "{place}: discarded twice");
        for end in [DataFileWriter::discard as fn(Box<dyn DataFileWriter>), drop] {
            let mut writer = boxed(&table, &small_schema());
            writer.write(&small_rows(0, 10), &origin("k"), &(0..10).collect::<Vec<_>>()).expect("written");
            end(writer);
            assert_eq!((bench.files(), bench.spooled()), (before.clone(), 0), "{place}: never finished");
        }
    }
}

#[test]
fn rows_of_partition_values_lie_apart_and_read_back() {
    for (place, bench) in Bench::everywhere() {
        let mut schema = small_schema();
        schema.partition = Some("name".to_owned());
        let table = bench.table();
        bench.create(&table, &schema).expect("created");
        let names = ["a", "b c", "50%", "ä/ö", "", "x=y", "a"];
        let rows = RecordBatch::try_new(
            schema.arrow(),
            vec![
                Arc::new(Int64Array::from_iter_values(0..7)) as ArrayRef,
                Arc::new(StringArray::from(names.to_vec())) as ArrayRef,
            ],
        )
        .expect("rows");
        let files = write_all(&table, &schema, &rows);
        assert_eq!(files.len(), 6, "{place}");
        assert_eq!(bench.runtime.block_on(table.staged_files_intact(&files)), Ok(true), "{place}");
        assert_eq!(bench.commit(&table, &bench.batch(1, files.clone())), landed(1), "{place}");
        assert_eq!(bench.ids(), (0..7).collect::<Vec<_>>(), "{place}: as the kernel reads it");
        let scan = bench.runtime.block_on(bench.table().scan(None)).expect("readable").expect("a table");
        let mut found = Vec::new();
        for batch in scan {
            let batch = batch.expect("rows");
            let ids = batch.column(0).as_any().downcast_ref::<Int64Array>().expect("longs").clone();
            let values = batch.column(1).as_any().downcast_ref::<StringArray>().expect("texts").clone();
            found.extend((0..batch.num_rows()).map(|row| (ids.value(row), values.value(row).to_owned())));
        }
        found.sort_unstable();
        let expected = names.iter().enumerate().map(|(id, name)| (id as i64, (*name).to_owned()));
        assert_eq!(found, expected.collect::<Vec<_>>(), "{place}");
        let listed = bench.table().stored_data_files();
        let listed: BTreeSet<String> = listed.into_iter().collect();
        assert_eq!(listed, files.into_iter().map(|file| file.path).collect(), "{place}");
    }
}

#[test]
fn only_data_files_are_listed_and_any_of_them_can_be_removed() {
    for (place, bench) in Bench::everywhere() {
        let table = bench.created();
        let file = stage(&table, 0, 10);
        for litter in ["_temporary/part-1.parquet", ".hidden", "_delta_log/_sidecars/x.parquet", "a/_b/c.parquet"] {
            bench.put(litter, PutPayload::from_static(b"x"));
        }
        bench.put("_y=1/part-1.parquet", PutPayload::from_static(b"x"));
        let mut listed = table.stored_data_files();
        listed.sort();
        assert_eq!(listed, ["_y=1/part-1.parquet".to_owned(), file.path.clone()], "{place}");
    }
}

#[test]
fn many_commits_with_a_checkpoint_read_back() {
    for (place, bench) in Bench::everywhere() {
        let table = bench.created();
        for seq in 1..=52 {
            assert_eq!(bench.append(&table, seq, seq * 2, seq * 2 + 2), landed(seq as u64), "{place}");
        }
        let checkpoint = "_delta_log/00000000000000000050.checkpoint.parquet";
        assert!(bench.files().contains(checkpoint), "{place}: {:?}", bench.files());
        for version in 0..50 {
            bench.delete(&format!("_delta_log/{version:020}.json"));
        }
        assert_eq!(bench.ids(), (2..106).collect::<Vec<_>>(), "{place}");
        assert_eq!(bench.append(&bench.table(), 53, 0, 2), landed(53), "{place}");
    }
}

#[test]
fn a_table_behind_a_symbolic_link_is_not_said_to_be_removed() {
    let bench = Bench::new();
    let table = bench.created();
    assert_eq!(bench.append(&table, 1, 0, 10), landed(1));
    let elsewhere = bench.root.with_file_name("elsewhere");
    std::fs::rename(&bench.root, &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, &bench.root).expect("a link");
    let error = bench.runtime.block_on(bench.table().remove(bench.import)).expect_err("refused");
    assert_eq!((error.class, error.code), (ErrorClass::Config, "bad_table_path"), "{}", error.message);
    assert!(bench.root.join("_delta_log").exists() && elsewhere.join("_delta_log").exists());
}
