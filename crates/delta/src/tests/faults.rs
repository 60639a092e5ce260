//! Commits on a store that fails: before the write, after it, with a foreign entry in between, for good.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use connector_core::error::ErrorClass;
use futures::stream::BoxStream;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::*;

/// What happens to one access of a log entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// The put fails and wrote nothing.
    Before,
    /// The put fails although it has written.
    After,
    /// Somebody else's entry gets there first, and our put's answer is lost.
    Overtaken,
    /// The put fails although it has written, and from then on nothing can be read.
    Silenced,
    /// The disk refuses, for the reason that the operating system gives.
    Refused(io::ErrorKind),
    /// The put gets through, and its own repetition is answered "there is one already".
    Repeated,
    /// The put is answered "somebody else is putting it now" and wrote nothing.
    Contended,
    /// The put goes through.
    None,
}

#[derive(Debug)]
pub(super) struct FaultyStore {
    disk: Arc<dyn ObjectStore>,
    puts: Mutex<VecDeque<Fault>>,
    data_puts: Mutex<VecDeque<Fault>>,
    no_checkpoints: Mutex<bool>,
    unreadable: Mutex<bool>,
}

impl FaultyStore {
    pub(super) fn new(disk: Arc<dyn ObjectStore>) -> Arc<Self> {
        let (puts, data_puts) = (Mutex::default(), Mutex::default());
        Arc::new(Self { disk, puts, data_puts, no_checkpoints: Mutex::default(), unreadable: Mutex::default() })
    }

    /// As [`FaultyStore::plan`], for data files.
    pub(super) fn plan_data(&self, faults: &[Fault]) {
        *self.data_puts.lock().unwrap_or_else(PoisonError::into_inner) = faults.iter().copied().collect();
    }

    pub(super) fn fail_checkpoints(&self, fail: bool) {
        *self.no_checkpoints.lock().unwrap_or_else(PoisonError::into_inner) = fail;
    }

    pub(super) fn plan(&self, faults: &[Fault]) {
        *self.puts.lock().unwrap_or_else(PoisonError::into_inner) = faults.iter().copied().collect();
    }

    pub(super) fn left(&self) -> usize {
        self.puts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn set_unreadable(&self, unreadable: bool) {
        *self.unreadable.lock().unwrap_or_else(PoisonError::into_inner) = unreadable;
    }
}

fn broken() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "the answer was lost".into() }
}

/// What the S3 client makes of 412 and of 409.
fn taken(location: &StorePath) -> object_store::Error {
    object_store::Error::AlreadyExists { path: location.to_string(), source: "ConditionalRequestConflict".into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &StorePath, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let queue = match location.filename().unwrap_or_default() {
            name if name.ends_with(".json") => Some(&self.puts),
            name if name.ends_with(".parquet") && name.starts_with("part-") => Some(&self.data_puts),
            name if name.ends_with(".checkpoint.parquet") => {
                if *self.no_checkpoints.lock().unwrap_or_else(PoisonError::into_inner) {
                    return Err(broken());
                }
                None
            }
            _ => None,
        };
        let planned = queue.and_then(|queue| queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front());
        match planned.unwrap_or(Fault::None) {
            Fault::Before => Err(broken()),
            Fault::Refused(kind) => {
                Err(object_store::Error::Generic { store: "faulty", source: Box::new(io::Error::from(kind)) })
            }
            Fault::After => {
                self.disk.put_opts(location, payload, opts).await?;
                Err(broken())
            }
            Fault::Silenced => {
                self.disk.put_opts(location, payload, opts).await?;
                self.set_unreadable(true);
                Err(broken())
            }
            Fault::Overtaken => {
                let foreign = PutPayload::from_static(b"{\"commitInfo\":{\"operation\":\"WRITE\"}}\n");
                self.disk.put(location, foreign).await?;
                Err(broken())
            }
            Fault::Repeated => {
                self.disk.put_opts(location, payload, opts).await?;
                Err(taken(location))
            }
            Fault::Contended => Err(taken(location)),
            Fault::None => self.disk.put_opts(location, payload, opts).await,
        }
    }

    async fn put_multipart_opts(&self, at: &StorePath, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let is_checkpoint = at.as_ref().ends_with(".checkpoint.parquet");
        if is_checkpoint && *self.no_checkpoints.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(broken());
        }
        self.disk.put_multipart_opts(at, opts).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> Result<GetResult> {
        if *self.unreadable.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(broken());
        }
        self.disk.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &StorePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.disk.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<StorePath>>) -> BoxStream<'static, Result<StorePath>> {
        self.disk.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.disk.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> Result<ListResult> {
        self.disk.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> Result<()> {
        self.disk.copy_opts(from, to, options).await
    }
}

pub(super) fn faulty() -> (Bench, Arc<FaultyStore>, DeltaTable) {
    faulty_at(Bench::new())
}

pub(super) fn faulty_at(bench: Bench) -> (Bench, Arc<FaultyStore>, DeltaTable) {
    bench.created();
    let store = FaultyStore::new(bench.store());
    let table = bench.table_on(store.clone());
    (bench, store, table)
}

#[test]
fn case_21_a_lost_answer_is_a_landed_commit_and_there_is_exactly_one_copy() {
    let plans: [&[Fault]; 4] =
        [&[Fault::After], &[Fault::Before], &[Fault::Before, Fault::After], &[Fault::None, Fault::After]];
    for (plan, (_, bench)) in plans.into_iter().flat_map(|plan| Bench::everywhere().map(|place| (plan, place))) {
        let (bench, store, table) = faulty_at(bench);
        store.plan(plan);
        for seq in 1..=3 {
            let commit = bench.batch(seq, vec![stage(&table, seq * 10, seq * 10 + 10)]);
            let answer = bench.commit(&table, &commit).expect("an answer");
            assert_eq!(answer, CommitAnswer::Landed { version: seq as u64 }, "{plan:?}");
            let facts = bench.facts();
            assert_eq!((facts.committed_seq, facts.committed_uuid), (seq, Some(commit.batch_uuid)), "{plan:?}");
        }
        assert_eq!(store.left(), 0, "{plan:?}");
        assert_eq!(bench.ids(), (10..40).collect::<Vec<_>>(), "{plan:?}");
    }
}

#[test]
fn case_22_a_refusal_that_our_own_put_has_brought_about_is_a_landed_commit() {
    let plans: [&[Fault]; 3] = [&[Fault::Repeated], &[Fault::Contended], &[Fault::Contended, Fault::Repeated]];
    for (plan, (place, bench)) in plans.into_iter().flat_map(|plan| Bench::everywhere().map(|place| (plan, place))) {
        let (bench, store, table) = faulty_at(bench);
        store.plan(plan);
        let commit = bench.batch(1, vec![stage(&table, 0, 10)]);
        assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Landed { version: 1 }), "{place} {plan:?}");
        assert_eq!(store.left(), 0, "{place} {plan:?}");
        assert_eq!(bench.facts().committed_uuid, Some(commit.batch_uuid), "{place} {plan:?}");
        assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>(), "{place} {plan:?}");
    }
}

#[test]
fn a_foreign_entry_in_our_place_is_a_conflict() {
    let plans: [&[Fault]; 2] = [&[Fault::Overtaken], &[Fault::Before, Fault::Overtaken]];
    for (plan, (_, bench)) in plans.into_iter().flat_map(|plan| Bench::everywhere().map(|place| (plan, place))) {
        let (bench, store, table) = faulty_at(bench);
        store.plan(plan);
        let commit = bench.batch(1, vec![stage(&table, 0, 10)]);
        assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Conflict), "{plan:?}");
        assert_eq!(bench.facts().committed_seq, 0);
        assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Landed { version: 2 }), "{plan:?}");
        assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>(), "{plan:?}");
    }
}

#[test]
fn a_store_that_stays_broken_is_a_transient_error_and_nothing_lands() {
    let (bench, store, table) = faulty();
    store.plan(&[Fault::Before, Fault::Before]);
    let commit = bench.batch(1, vec![stage(&table, 0, 10)]);
    let error = bench.commit(&table, &commit).expect_err("broken");
    assert_eq!((error.class, error.code), (ErrorClass::Transient, "storage"));
    assert_eq!(bench.facts().version, 0);
    assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Landed { version: 1 }));
    assert_eq!(bench.ids(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_is_waited_for_and_a_closed_one_is_for_the_user() {
    let kinds = [
        (io::ErrorKind::StorageFull, ErrorClass::Transient, "storage"),
        (io::ErrorKind::PermissionDenied, ErrorClass::Config, "storage_denied"),
        (io::ErrorKind::ReadOnlyFilesystem, ErrorClass::Config, "storage_denied"),
    ];
    for (kind, class, code) in kinds {
        let (bench, store, table) = faulty();
        let commit = bench.batch(1, vec![stage(&table, 0, 10)]);
        store.plan(&[Fault::Refused(kind), Fault::Refused(kind)]);
        let error = bench.commit(&table, &commit).expect_err("refused");
        assert_eq!((error.class, error.code), (class, code), "{}", error.message);
        assert!(error.message.contains("_delta_log/00000000000000000001.json"), "{}", error.message);
        assert_eq!(bench.facts().committed_seq, 0);
    }
}

#[test]
fn an_outcome_that_cannot_be_read_back_is_unknown_and_the_next_read_tells() {
    let (bench, store, table) = faulty();
    let first = bench.batch(1, vec![stage(&table, 0, 10)]);
    assert_eq!(bench.commit(&table, &first), Ok(CommitAnswer::Landed { version: 1 }));
    let second = bench.batch(2, vec![stage(&table, 10, 20)]);
    store.plan(&[Fault::Silenced]);
    let error = bench.commit(&table, &second).expect_err("unknown");
    assert_eq!((error.class, error.code), (ErrorClass::Transient, "commit_unknown"));
    store.set_unreadable(false);
    let facts = bench.runtime.block_on(table.read()).expect("readable").expect("a table");
    assert_eq!((facts.committed_seq, facts.committed_uuid), (2, Some(second.batch_uuid)));
    assert_eq!(bench.commit(&table, &second), Ok(CommitAnswer::Conflict), "not twice");
    assert_eq!(bench.ids(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_creation_whose_answer_was_lost_is_created() {
    let bench = Bench::new();
    let store = FaultyStore::new(bench.store());
    let table = bench.table_on(store.clone());
    store.plan(&[Fault::Before, Fault::After]);
    let facts = bench.create(&table, &small_schema()).expect("created");
    assert_eq!((facts.version, facts.import), (0, Some(bench.import)));
    assert_eq!(store.left(), 0);
}
