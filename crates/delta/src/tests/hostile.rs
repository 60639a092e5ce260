//! Storage that is refused, torn, cleaned up, lied about.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use connector_core::error::ErrorClass;
use futures::stream::BoxStream;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};

use super::faults::{Fault, FaultyStore, faulty_at};
use super::*;
use crate::storage::{Disk, probe_conditional_put};

const A_MINUTE: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

fn landed(version: u64) -> PortResult<CommitAnswer> {
    Ok(CommitAnswer::Landed { version })
}

fn read(bench: &Bench, table: &DeltaTable) -> PortResult<Option<TableFacts>> {
    bench.runtime.block_on(table.read())
}

/// A disk of which the syncs with these numbers fail, counted from 0, and which may be read-only.
#[derive(Debug, Default)]
struct BadDisk {
    failing: Vec<usize>,
    syncs: AtomicUsize,
    created: Mutex<Option<io::ErrorKind>>,
}

impl BadDisk {
    fn sync(&self) -> io::Result<()> {
        let number = self.syncs.fetch_add(1, Ordering::SeqCst);
        // EIO.
        if self.failing.contains(&number) { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
    }
}

impl Disk for BadDisk {
    fn sync_file(&self, file: &File) -> io::Result<()> {
        self.sync()?;
        file.sync_all()
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.sync()
    }

    fn create_new(&self, path: &Path) -> io::Result<File> {
        match *self.created.lock().expect("no panic") {
            Some(kind) => Err(kind.into()),
            None => File::options().write(true).create_new(true).open(path),
        }
    }
}

fn on_disk(bench: &Bench, disk: &Arc<BadDisk>, store: Arc<dyn ObjectStore>) -> DeltaTable {
    let disk = Arc::clone(disk) as Arc<dyn Disk>;
    let storage = Storage::local(&bench.root, bench.runtime.handle().clone(), store, disk).expect("a place");
    DeltaTable::on(storage).expect("a table")
}

#[test]
fn case_08_a_data_file_whose_sync_failed_is_given_up_and_the_sync_is_not_tried_again() {
    // The file's sync, then its directory's.
    for failing in [0, 1] {
        let bench = Bench::new();
        bench.created();
        let before = bench.files();
        let disk = Arc::new(BadDisk { failing: vec![failing], ..BadDisk::default() });
        let table = on_disk(&bench, &disk, bench.store());
        let mut writer = boxed(&table, &small_schema());
        writer.write(&small_rows(0, 10), &origin("k"), &(0..10).collect::<Vec<_>>()).expect("written");
        let error = writer.finish().expect_err("not durable");
        assert_eq!((error.class, error.code), (ErrorClass::Transient, "storage"), "{}", error.message);
        assert_eq!(disk.syncs.load(Ordering::SeqCst), failing + 1, "tried once");
        assert_eq!(bench.files(), before, "the file is gone");
        assert_eq!(bench.append(&table, 1, 0, 10), landed(1), "the batch that is read again lands");
        assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn case_08_a_log_entry_whose_sync_failed_is_written_anew_before_anybody_is_told_of_it() {
    let bench = Bench::new();
    bench.created();
    let disk = Arc::new(BadDisk { failing: vec![2], ..BadDisk::default() });
    let store = FaultyStore::new(bench.store());
    let table = on_disk(&bench, &disk, store.clone());
    // Syncs 0 and 1 are those of the data file. The entry is put, and the put ends with an error: as if its sync failed.
    // Writing it anew fails as well, at sync 2.
    let commit = bench.batch(1, vec![stage(&table, 0, 10)]);
    store.plan(&[Fault::After]);
    let error = bench.commit(&table, &commit).expect_err("not durable");
    assert_eq!((error.class, error.code), (ErrorClass::Transient, "storage"), "{}", error.message);
    let before = inode(&bench.log_file(1));
    // What the recovery reads is told only after the entry has been written anew.
    let facts = read(&bench, &table).expect("readable").expect("a table");
    assert_eq!((facts.committed_seq, facts.committed_uuid), (1, Some(commit.batch_uuid)));
    assert_ne!(inode(&bench.log_file(1)), before, "another file, with syncs of its own");
    assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict), "not twice");
    assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>());
    let litter = bench.files_with("_delta_log", ".tmp");
    assert!(litter.is_empty(), "{litter:?}");
}

fn inode(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).expect("a file").ino()
}

#[test]
fn case_09_a_read_only_directory_is_refused_before_anything_is_claimed() {
    for kind in [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied] {
        for existing in [true, false] {
            let bench = Bench::new();
            if existing {
                bench.created();
            }
            let before = bench.files();
            let disk = Arc::new(BadDisk { created: Mutex::new(Some(kind)), ..BadDisk::default() });
            let table = on_disk(&bench, &disk, bench.store());
            let looked = bench.runtime.block_on(table.facts()).expect("to look is no offence");
            assert_eq!(looked.is_some(), existing);
            let error = read(&bench, &table).expect_err("refused");
            assert_eq!((error.class, error.code), (ErrorClass::Config, "storage_denied"), "{}", error.message);
            let named = if existing { &bench.root } else { bench.root.parent().expect("a parent") };
            assert!(error.message.contains(&named.display().to_string()), "{}", error.message);
            assert_eq!(bench.files(), before);
            let error = bench.create(&table, &small_schema()).expect_err("refused");
            assert_eq!(error.code, "storage_denied");
        }
    }
}

#[test]
fn case_09_a_table_behind_a_symbolic_link_is_refused() {
    let bench = Bench::new();
    let elsewhere = bench.root.with_file_name("elsewhere");
    for there in [true, false] {
        if there {
            std::fs::create_dir(&elsewhere).expect("a folder");
        }
        std::os::unix::fs::symlink(&elsewhere, &bench.root).expect("a link");
        for error in [
            read(&bench, &bench.table()).expect_err("refused"),
            bench.create(&bench.table(), &small_schema()).expect_err("refused"),
        ] {
            assert_eq!((error.class, error.code), (ErrorClass::Config, "bad_table_path"), "{}", error.message);
            assert!(error.message.contains("symbolic link"), "{}", error.message);
        }
        assert!(!has_entries(&elsewhere), "nothing was written through the link");
        std::fs::remove_file(&bench.root).expect("unlinked");
        let _ = std::fs::remove_dir(&elsewhere);
    }
    // A link further up is how folders are laid out on many machines.
    std::fs::create_dir(&elsewhere).expect("a folder");
    std::os::unix::fs::symlink(&elsewhere, &bench.root).expect("a link");
    let below = DeltaTable::new(&bench.root.join("t"), bench.runtime.handle().clone()).expect("a table");
    assert_eq!(bench.create(&below, &small_schema()).expect("created").version, 0);
}

/// A bucket of which the server does not heed, or does not know, `If-None-Match`; or that may not be written to.
#[derive(Debug)]
struct LaxStore {
    inner: InMemory,
    refuses: Option<fn(&StorePath) -> object_store::Error>,
}

impl std::fmt::Display for LaxStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("lax")
    }
}

#[async_trait]
impl ObjectStore for LaxStore {
    async fn put_opts(&self, location: &StorePath, payload: PutPayload, _: PutOptions) -> Result<PutResult> {
        match self.refuses {
            Some(refusal) => Err(refusal(location)),
            None => self.inner.put_opts(location, payload, PutOptions::default()).await,
        }
    }

    async fn put_multipart_opts(&self, at: &StorePath, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<StorePath>>) -> BoxStream<'static, Result<StorePath>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[test]
fn case_26_a_store_that_ignores_if_none_match_is_refused_before_anything_is_written() {
    let unknown: fn(&StorePath) -> object_store::Error =
        |_| object_store::Error::Generic { store: "S3", source: "501: <Code>NotImplemented</Code>".into() };
    for refuses in [None, Some(unknown)] {
        let bench = Bench::in_bucket();
        let store = Arc::new(LaxStore { inner: InMemory::new(), refuses });
        let table = bench.table_on(store.clone());
        for error in [
            read(&bench, &table).expect_err("refused"),
            bench.create(&table, &small_schema()).expect_err("refused"),
            bench.commit(&table, &bench.batch(1, vec![])).expect_err("refused"),
            bench.runtime.block_on(probe_conditional_put(&bench.in_store(store.clone()))).expect_err("refused").into(),
        ] {
            assert_eq!((error.class, error.code), (ErrorClass::Config, "no_conditional_put"), "{}", error.message);
            assert!(error.message.contains("two writers could both commit"), "{}", error.message);
            assert!(error.message.contains("bkt"), "{}", error.message);
        }
        let left = bench.runtime.block_on(store.list_with_delimiter(None)).expect("listed");
        assert!(left.objects.is_empty() && left.common_prefixes.is_empty(), "{left:?}");
    }
}

#[test]
fn case_26_a_store_that_heeds_it_is_tried_once_and_nothing_is_left() {
    let bench = Bench::in_bucket();
    let location = bench.in_store(bench.store());
    let handle = bench.runtime.handle();
    bench.runtime.block_on(probe_conditional_put(&location)).expect("good");
    assert!(bench.runtime.block_on(bench.store().list_with_delimiter(None)).expect("listed").objects.is_empty());
    let table = DeltaTable::open(Location::S3(location.clone()), handle.clone()).expect("a table");
    assert_eq!(read(&bench, &table).expect("readable"), None);
    // Another table of the bucket is not held up by a store that has begun to refuse: the answer is shared.
    let denied = Arc::new(LaxStore { inner: InMemory::new(), refuses: Some(denied) });
    let other = S3Location { store: denied, ..location };
    let other = DeltaTable::open(Location::S3(other), handle.clone()).expect("a table");
    assert_eq!(read(&bench, &other).expect("readable"), None);
}

fn denied(at: &StorePath) -> object_store::Error {
    object_store::Error::PermissionDenied { path: at.to_string(), source: "403 AccessDenied".into() }
}

#[test]
fn a_role_that_may_not_write_is_named_with_the_permissions_that_it_needs() {
    let bench = Bench::in_bucket();
    let table = bench.table_on(Arc::new(LaxStore { inner: InMemory::new(), refuses: Some(denied) }));
    let error = read(&bench, &table).expect_err("refused");
    assert_eq!((error.class, error.code), (ErrorClass::Config, "storage_denied"));
    assert!(error.message.contains("s3:PutObject") && error.message.contains("bkt"), "{}", error.message);
}

#[test]
fn an_upload_whose_answer_was_lost_is_there_and_one_that_failed_is_not() {
    for (fault, is_there) in [(Fault::After, true), (Fault::Repeated, true), (Fault::Before, false)] {
        let (bench, store, table) = faulty_at(Bench::in_bucket());
        let before = bench.files();
        store.plan_data(&[fault]);
        let mut writer = boxed(&table, &small_schema());
        writer.write(&small_rows(0, 10), &origin("k"), &(0..10).collect::<Vec<_>>()).expect("written");
        match writer.finish() {
            Ok(files) => {
                assert!(is_there, "{fault:?}");
                assert_eq!(bench.commit(&table, &bench.batch(1, files)), landed(1));
                assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>());
            }
            Err(error) => {
                assert!(!is_there, "{fault:?}: {}", error.message);
                assert_eq!((error.class, error.code), (ErrorClass::Transient, "storage"));
                assert_eq!(bench.files(), before);
            }
        }
        assert!(!has_entries(&bench.spool()), "{fault:?}");
    }
}

#[test]
fn case_27_a_checkpoint_that_cannot_be_written_does_not_uncount_the_commit() {
    for (place, bench) in Bench::everywhere() {
        let (bench, store, table) = faulty_at(bench);
        for seq in 1..50 {
            assert_eq!(bench.commit(&table, &bench.batch(seq, vec![])), landed(seq as u64), "{place}");
        }
        store.fail_checkpoints(true);
        let commit = bench.batch(50, vec![stage(&table, 0, 10)]);
        assert_eq!(bench.commit(&table, &commit), landed(50), "{place}");
        assert!(!bench.files().iter().any(|file| file.ends_with(".checkpoint.parquet")), "{place}");
        let facts = bench.facts();
        assert_eq!((facts.committed_seq, facts.committed_uuid), (50, Some(commit.batch_uuid)), "{place}");
        store.fail_checkpoints(false);
        assert_eq!(bench.append(&table, 51, 10, 20), landed(51), "{place}");
        assert!(bench.files().contains("_delta_log/00000000000000000051.checkpoint.parquet"), "{place}: tried again");
        assert_eq!(bench.ids(), (0..20).collect::<Vec<_>>(), "{place}");
    }
}

#[test]
fn case_27_a_corrupt_last_checkpoint_file_does_not_hide_the_table() {
    for (place, bench) in Bench::everywhere() {
        let table = bench.created();
        for seq in 1..=51 {
            assert_eq!(bench.append(&table, seq, seq, seq + 1), landed(seq as u64), "{place}");
        }
        let hint = "_delta_log/_last_checkpoint";
        assert!(bench.files().contains(hint), "{place}");
        for corrupt in [&b""[..], b"{", b"\0\0\0\0", b"{\"version\":-1}"] {
            bench.put(hint, corrupt.to_vec());
            let facts = bench.facts();
            assert_eq!((facts.version, facts.committed_seq), (51, 51), "{place} {corrupt:?}");
            assert_eq!(bench.ids(), (1..52).collect::<Vec<_>>(), "{place} {corrupt:?}");
        }
        assert_eq!(bench.append(&bench.table(), 52, 52, 53), landed(52), "{place}");
        // One that names a checkpoint which is not there may stem from another table in this place: nobody guesses.
        bench.put(hint, PutPayload::from_static(b"{\"version\":9999,\"size\":1}"));
        let error = read(&bench, &bench.table()).expect_err("a contradiction");
        assert_eq!((error.class, error.code), (ErrorClass::Config, "table_unreadable"), "{}", error.message);
        assert!(error.message.contains("_last_checkpoint"), "{}", error.message);
    }
}

#[test]
fn case_28_a_log_that_was_cleaned_up_while_we_were_far_behind_is_read_anew() {
    for (place, bench) in Bench::everywhere() {
        let (behind, other) = (bench.created(), bench.table());
        assert_eq!(bench.append(&behind, 1, 0, 1), landed(1), "{place}");
        // `behind` keeps version 1. Meanwhile there are a hundred more, and the first hundred are cleaned up.
        for seq in 2..=102 {
            assert_eq!(bench.append(&other, seq, seq, seq + 1), landed(seq as u64), "{place}");
        }
        for version in 0..100 {
            bench.delete(&format!("_delta_log/{version:020}.json"));
        }
        bench.delete("_delta_log/00000000000000000050.checkpoint.parquet");
        let late = TableCommit { after: Some(1), ..bench.batch(2, vec![]) };
        assert_eq!(bench.commit(&behind, &late), Ok(CommitAnswer::Conflict), "{place}");
        let next = TableCommit { after: Some(102), ..bench.batch(103, vec![stage(&behind, 500, 501)]) };
        assert_eq!(bench.commit(&behind, &next), landed(103), "{place}");
        assert_eq!(bench.ids().len(), 103, "{place}");
    }
}

#[test]
fn a_torn_newest_log_entry_is_moved_aside_and_the_table_goes_on() {
    let torn: [&[u8]; 4] = [b"", b"\0\0\0\0\0\0\0\0", b"\n", b"{\"commitInfo\":{\"timest"];
    for torn in torn {
        let bench = Bench::new();
        let table = bench.created();
        assert_eq!(bench.append(&table, 1, 0, 10), landed(1));
        assert_eq!(bench.append(&table, 2, 10, 20), landed(2));
        std::fs::write(bench.log_file(2), torn).expect("torn");
        // Its writer may be at work.
        let error = read(&bench, &table).expect_err("too young");
        assert_eq!((error.class, error.code), (ErrorClass::Transient, "storage"), "{}", error.message);
        assert!(bench.files_with("_delta_log", ".torn").is_empty());
        bench.age(&bench.log_file(2), bench.clock() - A_MINUTE);
        let facts = read(&bench, &table).expect("readable").expect("a table");
        assert_eq!((facts.version, facts.committed_seq), (1, 1), "{torn:?}");
        let aside = bench.files_with("_delta_log", ".torn");
        assert_eq!(aside, [bench.log_file(2).with_extension("json.torn")]);
        assert_eq!(std::fs::read(&aside[0]).expect("kept"), torn);
        assert_eq!(bench.append(&table, 2, 20, 30), landed(2), "{torn:?}");
        assert_eq!(bench.ids(), (0..10).chain(20..30).collect::<Vec<_>>(), "{torn:?}");
        assert_eq!(bench.facts().committed_seq, 2, "{torn:?}");
    }
}

#[test]
fn a_torn_entry_of_another_programs_table_is_left_to_it() {
    let bench = Bench::new();
    let table = bench.created();
    bench.append(&table, 1, 0, 10).expect("committed");
    let log = std::fs::read_to_string(bench.log_file(0)).expect("an entry");
    std::fs::write(bench.log_file(0), log.replace("s3_connector.import", "theirs.import")).expect("written");
    std::fs::write(bench.log_file(1), b"{\"commitInfo").expect("torn");
    bench.age(&bench.log_file(1), bench.clock() - A_MINUTE * 60);
    let error = read(&bench, &bench.table()).expect_err("damaged");
    assert_eq!((error.class, error.code), (ErrorClass::Config, "table_unreadable"), "{}", error.message);
    assert!(bench.files_with("_delta_log", ".torn").is_empty());
}

#[test]
fn the_entry_that_is_doubtful_is_written_anew_and_not_the_newest() {
    let bench = Bench::new();
    bench.created();
    let disk = Arc::new(BadDisk { failing: vec![2], ..BadDisk::default() });
    let store = FaultyStore::new(bench.store());
    let table = on_disk(&bench, &disk, store.clone());
    let commit = bench.batch(1, vec![stage(&table, 0, 10)]);
    store.plan(&[Fault::After]);
    bench.commit(&table, &commit).expect_err("not durable");
    assert_eq!(bench.append(&bench.table(), 2, 10, 20), landed(2));
    let before = [1, 2].map(|version| inode(&bench.log_file(version)));
    read(&bench, &table).expect("readable");
    let after = [1, 2].map(|version| inode(&bench.log_file(version)));
    assert!(after[0] != before[0] && after[1] == before[1], "{before:?} {after:?}");
    read(&bench, &table).expect("readable");
    assert_eq!(inode(&bench.log_file(1)), after[0], "once");
}

#[test]
fn a_torn_creation_is_no_table() {
    let bench = Bench::new();
    bench.created();
    std::fs::write(bench.log_file(0), b"{\"commitInfo").expect("torn");
    bench.age(&bench.log_file(0), bench.clock() - A_MINUTE);
    assert_eq!(read(&bench, &bench.table()).expect("readable"), None);
    assert!(bench.root.join("_delta_log.00000000000000000000.json.torn").exists());
    bench.created();
    assert_eq!(bench.facts().version, 0);
}

#[test]
fn a_torn_entry_is_left_alone_if_it_is_old_or_in_a_checkpoint() {
    let bench = Bench::new();
    let table = bench.created();
    for seq in 1..=50 {
        assert_eq!(bench.append(&table, seq, seq, seq + 1), landed(seq as u64));
    }
    let whole = std::fs::read(bench.log_file(50)).expect("an entry");
    std::fs::write(bench.log_file(50), b"").expect("torn");
    // The checkpoint has all that the entry had.
    let _ = read(&bench, &table);
    assert!(bench.files_with("_delta_log", ".torn").is_empty());
    std::fs::write(bench.log_file(50), whole).expect("put back");
    for seq in 51..=52 {
        assert_eq!(bench.append(&table, seq, seq, seq + 1), landed(seq as u64));
    }
    std::fs::write(bench.log_file(51), b"{\"commitInfo").expect("torn");
    let error = read(&bench, &table).expect_err("a torn entry in between");
    assert_eq!((error.class, error.code), (ErrorClass::Config, "table_unreadable"), "{}", error.message);
    assert!(bench.files_with("_delta_log", ".torn").is_empty());
}

#[test]
fn in_a_bucket_nothing_is_moved_aside() {
    let bench = Bench::in_bucket();
    let table = bench.created();
    assert_eq!(bench.append(&table, 1, 0, 10), landed(1));
    bench.put("_delta_log/00000000000000000001.json", PutPayload::from_static(b"{"));
    let before = bench.files();
    let error = read(&bench, &table).expect_err("damaged");
    assert_eq!((error.class, error.code), (ErrorClass::Config, "table_unreadable"), "{}", error.message);
    assert_eq!(bench.files(), before);
}
