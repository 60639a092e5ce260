//! Reading data files from a bucket by ranges, and large uploads.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Mutex;

use async_trait::async_trait;
use connector_core::error::ErrorClass;
use futures::stream::BoxStream;
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use parquet::file::reader::{ChunkReader as _, FileReader as _, Length as _, SerializedFileReader};

use super::*;
use crate::storage::Storage;

/// A bucket that writes down what is read, and that fails reads on request.
#[derive(Debug, Default)]
struct WatchedStore {
    inner: InMemory,
    reads: Mutex<Vec<Range<u64>>>,
    parts: Mutex<Vec<usize>>,
    failures: Mutex<VecDeque<object_store::Error>>,
    /// The read of a data file with this number fails, counted from 0.
    failing: Mutex<Option<usize>>,
}

impl fmt::Display for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watched")
    }
}

#[derive(Debug)]
struct WatchedUpload {
    inner: Box<dyn MultipartUpload>,
    store: Arc<WatchedStore>,
}

#[async_trait]
impl MultipartUpload for WatchedUpload {
    fn put_part(&mut self, data: PutPayload) -> object_store::UploadPart {
        self.store.parts.lock().expect("no panic").push(data.content_length());
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[derive(Debug)]
struct Watched(Arc<WatchedStore>);

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watched")
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, location: &StorePath, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.0.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, at: &StorePath, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.0.inner.put_multipart_opts(at, opts).await?;
        Ok(Box::new(WatchedUpload { inner, store: Arc::clone(&self.0) }))
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> Result<GetResult> {
        if location.filename().is_some_and(|name| name.starts_with("part-")) {
            if let Some(GetRange::Bounded(range)) = &options.range {
                self.0.reads.lock().expect("no panic").push(range.clone());
            }
            if let Some(left) = self.0.failing.lock().expect("no panic").as_mut() {
                match left.checked_sub(1) {
                    Some(fewer) => *left = fewer,
                    None => return Err(object_store::Error::Generic { store: "S3", source: "503 SlowDown".into() }),
                }
            }
            if let Some(failure) = self.0.failures.lock().expect("no panic").pop_front() {
                return Err(failure);
            }
        }
        self.0.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<StorePath>>) -> BoxStream<'static, Result<StorePath>> {
        self.0.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> Result<ListResult> {
        self.0.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> Result<()> {
        self.0.inner.copy_opts(from, to, options).await
    }
}

fn watched() -> (Bench, Arc<WatchedStore>) {
    let store = Arc::new(WatchedStore::default());
    let bench = Bench { bucket: Some(Arc::new(Watched(Arc::clone(&store)))), ..Bench::new() };
    (bench, store)
}

/// Rows that do not compress: about 24 bytes each.
fn random_rows(count: usize) -> RecordBatch {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 29)
    };
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((0..count).map(|_| next() as i64)));
    let names: ArrayRef = Arc::new(StringArray::from_iter_values((0..count).map(|_| format!("{:016x}", next()))));
    RecordBatch::try_new(small_schema().arrow(), vec![ids, names]).expect("rows")
}

#[test]
fn a_large_data_file_goes_up_in_parts_and_comes_back_by_ranges() {
    let (bench, store) = watched();
    let table = bench.created();
    let rows = random_rows(1_200_000);
    let file = only(Ok(write_all(&table, &small_schema(), &rows)));
    let parts = store.parts.lock().expect("no panic").clone();
    assert!(parts.len() > 1, "{parts:?} for {} bytes", file.bytes);
    assert_eq!(parts.iter().sum::<usize>() as u64, file.bytes);
    assert!(parts[..parts.len() - 1].iter().all(|part| *part == parts[0]), "S3 wants parts of one size: {parts:?}");
    assert!(parts[0] >= 5 << 20, "and of 5 MiB at least");
    assert_eq!(bench.runtime.block_on(table.staged_files_intact(std::slice::from_ref(&file))), Ok(true));
    bench.commit(&table, &bench.batch(1, vec![file.clone()])).expect("committed");

    store.reads.lock().expect("no panic").clear();
    let scan = bench.runtime.block_on(bench.table().scan(None)).expect("readable").expect("a table");
    let schema = Arc::clone(scan.schema());
    let batches: Vec<RecordBatch> = scan.map(|batch| batch.expect("rows")).collect();
    let read = concat_batches(&schema, &batches).expect("equal schemas");
    assert_eq!(read.column(0), rows.column(0));
    assert_eq!(read.column(1), rows.column(1));
    let reads = store.reads.lock().expect("no panic").clone();
    let total: u64 = reads.iter().map(|range| range.end - range.start).sum();
    assert!(total < file.bytes + file.bytes / 4, "{total} bytes were fetched of a file of {}", file.bytes);
    assert!(reads.len() < 80, "{} requests: {reads:?}", reads.len());

    // One narrow column does not cost the others.
    store.reads.lock().expect("no panic").clear();
    let columns = ["_s3_row".to_owned()];
    let scan = bench.runtime.block_on(bench.table().scan(Some(&columns))).expect("readable").expect("a table");
    assert_eq!(scan.map(|batch| batch.expect("rows").num_rows()).sum::<usize>(), rows.num_rows());
    let total: u64 = store.reads.lock().expect("no panic").iter().map(|range| range.end - range.start).sum();
    assert!(total < 300_000, "{total} bytes were fetched of a file of {}", file.bytes);
}

#[test]
fn any_range_of_a_remote_file_is_that_range() {
    let (bench, store) = watched();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    bench.put("part-x.parquet", bytes.clone());
    let storage = Storage::new(Location::S3(bench.in_store(bench.store())), bench.runtime.handle().clone());
    let file = storage.expect("a place").open_data_file("part-x.parquet").expect("there");
    assert_eq!(file.len(), bytes.len() as u64);
    let mut state = 7u64;
    for _ in 0..400 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let start = (state >> 20) as usize % bytes.len();
        let length = (state >> 44) as usize % [10, 5_000, 900_000, 3_000_000][(state >> 7) as usize % 4];
        match file.get_bytes(start as u64, length) {
            Ok(read) => assert_eq!(read, bytes[start..start + length], "{start} + {length}"),
            Err(error) => assert!(start + length > bytes.len(), "{start} + {length}: {error}"),
        }
        let mut read = vec![0; length.min(bytes.len() - start)];
        std::io::Read::read_exact(&mut file.get_read(start as u64).expect("opened"), &mut read).expect("read");
        assert_eq!(read, bytes[start..start + read.len()], "{start} + {length}");
    }
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut file.get_read(2_999_990).expect("opened"), &mut rest).expect("read");
    assert_eq!(rest, bytes[2_999_990..]);
    let requests = store.reads.lock().expect("no panic").len();
    assert!(requests < 800, "{requests} requests for 800 reads");
}

#[test]
fn a_removal_that_failed_before_its_commit_leaves_no_rewritten_file_behind() {
    use connector_core::ports::Removal;
    use std::collections::BTreeMap;
    let (bench, store) = watched();
    let table = bench.created();
    bench.append(&table, 1, 0, 10).expect("committed");
    let staged = stage(&table, 100, 103);
    let before = table.stored_data_files().len();
    let remove = Removal::Rows(BTreeMap::from([(ObjectVersionId([7; 16]), vec![1])]));
    let commit = TableCommit { remove, ..bench.batch(2, vec![staged]) };
    let mut failed = 0;
    loop {
        *store.failing.lock().expect("no panic") = Some(failed);
        let answer = bench.commit(&table, &commit);
        *store.failing.lock().expect("no panic") = None;
        match answer {
            Ok(answer) => break assert_eq!(answer, CommitAnswer::Landed { version: 2 }),
            Err(error) => assert_eq!(error.class, ErrorClass::Transient, "{}", error.message),
        }
        assert_eq!(table.stored_data_files().len(), before, "read {failed}");
        failed += 1;
    }
    // The file is read, copied and read back, and then both new ones are looked at.
    assert!(failed >= 8, "only {failed} reads could fail");
}

#[test]
fn a_commit_does_not_read_what_this_process_has_written() {
    let (bench, store) = watched();
    let table = bench.created();
    let file = stage(&table, 0, 10);
    store.reads.lock().expect("no panic").clear();
    bench.commit(&table, &bench.batch(1, vec![file])).expect("committed");
    assert!(store.reads.lock().expect("no panic").is_empty());
    // Another process has to look, at many at once.
    let files = (0..40).map(|at| stage(&table, at * 10, at * 10 + 5)).collect();
    bench.commit(&bench.table(), &bench.batch(2, files)).expect("committed");
    assert_eq!(store.reads.lock().expect("no panic").len(), 40);
}

#[test]
fn a_published_file_may_be_dropped_on_a_thread_of_a_runtime() {
    use crate::data_file::{DataFile, Layout};
    let (bench, _) = watched();
    let table = bench.created();
    let storage = Storage::new(Location::S3(bench.in_store(bench.store())), bench.runtime.handle().clone());
    let layout = Arc::new(Layout::new(&small_schema()).expect("a layout"));
    let file = DataFile::create(&storage.expect("a place"), &layout, None).expect("created");
    let spooled: Vec<_> = std::fs::read_dir(bench.spool()).expect("a folder").flatten().collect();
    use std::os::unix::fs::PermissionsExt as _;
    let mode = spooled[0].metadata().expect("facts").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else looks into drafts");
    let closed = file.close(None).expect("closed");
    assert_eq!(table.stored_data_files().len(), 1);
    bench.runtime.block_on(async { drop(closed) });
    let is_gone = || table.stored_data_files().is_empty();
    let gone = (0..1_000).any(|_| {
        is_gone()
            || bench.runtime.block_on(async {
                tokio::task::yield_now().await;
                false
            })
    });
    assert!(gone, "it is removed by somebody else");
}

#[test]
fn a_small_file_is_fetched_with_one_request() {
    let (bench, store) = watched();
    let table = bench.created();
    let file = stage(&table, 0, 1_000);
    store.reads.lock().expect("no panic").clear();
    let storage = Storage::new(Location::S3(bench.in_store(bench.store())), bench.runtime.handle().clone());
    let opened = storage.expect("a place").open_data_file(&file.path).expect("there");
    let reader = SerializedFileReader::new(opened).expect("a Parquet file");
    assert_eq!(reader.get_row_iter(None).expect("rows").count(), 1_000);
    assert_eq!(store.reads.lock().expect("no panic").as_slice(), std::slice::from_ref(&(0..file.bytes)));
}

#[test]
fn what_goes_wrong_while_a_bucket_is_read_is_told_for_what_it_is() {
    let generic = || object_store::Error::Generic { store: "S3", source: "503 SlowDown".into() };
    let denied = || object_store::Error::PermissionDenied { path: "x".into(), source: "403".into() };
    let gone = || object_store::Error::NotFound { path: "x".into(), source: "404 NoSuchKey".into() };
    let role = || {
        let failure = connector_core::error::Failure::config("access_denied", "the role cannot be assumed");
        object_store::Error::Generic { store: "S3", source: Box::new(failure) }
    };
    let cases: [(&dyn Fn() -> object_store::Error, ErrorClass, &str); 4] = [
        (&generic, ErrorClass::Transient, "storage"),
        (&denied, ErrorClass::Config, "storage_denied"),
        (&gone, ErrorClass::Config, "data_file_unreadable"),
        (&role, ErrorClass::Config, "access_denied"),
    ];
    for (failure, class, code) in cases {
        // The HEAD, then the footer.
        for before in [0, 1] {
            let (bench, store) = watched();
            let table = bench.created();
            bench.append(&table, 1, 0, 10).expect("committed");
            let scan = bench.runtime.block_on(table.scan(None)).expect("readable").expect("a table");
            bench.runtime.block_on(table.read()).expect("readable");
            if before == 1 {
                // Let the HEAD through.
                let storage = Storage::new(Location::S3(bench.in_store(bench.store())), bench.runtime.handle().clone());
                let path = table.stored_data_files().remove(0);
                let file = storage.expect("a place").open_data_file(&path).expect("there");
                store.failures.lock().expect("no panic").push_back(failure());
                let error = SerializedFileReader::new(file).err().expect("fails");
                let error = crate::DeltaError::data_file(Path::new("x"), &error);
                assert_eq!((error.class(), error.code()), (class, code), "{error}");
                continue;
            }
            store.failures.lock().expect("no panic").push_back(failure());
            let error = scan.filter_map(|batch| batch.err()).next().expect("fails");
            assert_eq!((error.class, error.code), (class, code), "{}", error.message);
            assert!(!error.message.is_empty());
        }
    }
}
