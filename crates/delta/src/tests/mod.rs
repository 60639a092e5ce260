//! What the destination promises, tried on real directories. Nothing here is a double except the failing store.

mod commits;
mod compaction;
mod contract;
mod data_files;
mod evolution;
mod expiry;
mod faults;
mod hostile;
mod kept_anywhere;
mod log_cost;
mod others;
mod partitions;
mod places;
mod quarantine;
mod ranged;
mod removal;
mod sample;
mod scans;
mod sets;
mod types;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use connector_core::ids::{BatchId, BatchSeq, BatchUuid, ImportUuid, ObjectVersionId};
use connector_core::ports::{
    CommitAnswer, DataFileWriter, Destination as _, PortResult, Removal, RowOrigin, StagedFile, TableCommit, TableFacts,
};
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use delta_kernel::engine::arrow_data::EngineDataArrowExt as _;
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::{Engine, PredicateRef, Snapshot};
use delta_kernel_default_engine::DefaultEngineBuilder;
use delta_kernel_default_engine::executor::tokio::TokioMultiThreadExecutor;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use tokio::runtime::Runtime;
use url::Url;

use crate::storage::{RealDisk, Storage};
use crate::{DeltaTable, Location, S3Location, Tried};

/// A place for one table, and the runtime that it works on.
struct Bench {
    runtime: Runtime,
    /// Of a local table.
    root: PathBuf,
    /// The bucket, if the table is in one.
    bucket: Option<Arc<dyn ObjectStore>>,
    import: ImportUuid,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::named("table")
    }

    fn named(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        Self { runtime, root: dir.path().join(name), bucket: None, import: ImportUuid::mint(), _dir: dir }
    }

    /// A table in a bucket that is kept in memory.
    fn in_bucket() -> Self {
        Self { bucket: Some(Arc::new(InMemory::new())), ..Self::new() }
    }

    /// One of each kind, with its name.
    fn everywhere() -> [(&'static str, Self); 2] {
        [("local", Self::new()), ("s3", Self::in_bucket())]
    }

    fn table(&self) -> DeltaTable {
        let location = match &self.bucket {
            None => Location::Local(self.root.clone()),
            Some(store) => Location::S3(self.in_store(Arc::clone(store))),
        };
        DeltaTable::open(location, self.runtime.handle().clone()).expect("a usable place")
    }

    /// As [`Bench::table`], through another store: a view of the bucket, or of the local file system.
    fn table_on(&self, store: Arc<dyn ObjectStore>) -> DeltaTable {
        let handle = self.runtime.handle().clone();
        let storage = match self.bucket {
            None => Storage::local(&self.root, handle, store, Arc::new(RealDisk)),
            Some(_) => Storage::new(Location::S3(self.in_store(store)), handle),
        };
        storage.and_then(DeltaTable::on).expect("a usable place")
    }

    fn in_store(&self, store: Arc<dyn ObjectStore>) -> S3Location {
        let (bucket, prefix) = ("bkt".to_owned(), "lake/tables of ä/t".to_owned());
        S3Location { store, bucket, prefix, spool: self.spool(), tried: Tried::default() }
    }

    /// Where data files for a bucket are written first.
    fn spool(&self) -> PathBuf {
        self.root.with_file_name("spool")
    }

    /// What the table's log, and its data files, are kept in.
    fn store(&self) -> Arc<dyn ObjectStore> {
        match &self.bucket {
            None => Arc::new(LocalFileSystem::new().with_fsync(true)),
            Some(store) => Arc::clone(store),
        }
    }

    /// A table with [`small_schema`].
    fn created(&self) -> DeltaTable {
        let table = self.table();
        self.create(&table, &small_schema()).expect("created");
        table
    }

    fn create(&self, table: &DeltaTable, schema: &TableSchema) -> PortResult<TableFacts> {
        self.runtime.block_on(table.create(self.import, schema))
    }

    /// What a fresh instance reads from storage.
    fn facts(&self) -> TableFacts {
        self.runtime.block_on(self.table().read()).expect("readable").expect("a table")
    }

    fn batch(&self, seq: BatchSeq, files: Vec<StagedFile>) -> TableCommit {
        let (batch_uuid, add_columns) = (BatchUuid::mint(), vec![]);
        let remove = Removal::Nothing;
        TableCommit {
            import: self.import,
            seq,
            batch_uuid,
            batch: BatchId::from_parts(seq.unsigned_abs(), 7),
            after: None,
            files,
            add_columns,
            remove,
        }
    }

    fn commit(&self, table: &DeltaTable, commit: &TableCommit) -> PortResult<CommitAnswer> {
        self.runtime.block_on(table.commit(commit))
    }

    /// Commits ids `from..to` as batch `seq`.
    fn append(&self, table: &DeltaTable, seq: BatchSeq, from: i64, to: i64) -> PortResult<CommitAnswer> {
        let commit = self.batch(seq, vec![stage(table, from, to)]);
        self.commit(table, &commit)
    }

    fn engine(&self) -> Arc<dyn Engine> {
        let executor = Arc::new(TokioMultiThreadExecutor::new(self.runtime.handle().clone()));
        Arc::new(DefaultEngineBuilder::new(self.store()).with_task_executor(executor).build())
    }

    fn url(&self) -> String {
        match self.bucket {
            None => Url::from_directory_path(&self.root).expect("an absolute path").to_string(),
            Some(_) => "s3://bkt/lake/tables%20of%20%C3%A4/t/".to_owned(),
        }
    }

    fn snapshot(&self) -> SnapshotRef {
        Snapshot::builder_for(self.url()).build(self.engine().as_ref()).expect("readable")
    }

    /// All rows of the table that a reader with this predicate gets, as the kernel reads them.
    fn scan(&self, predicate: Option<PredicateRef>) -> RecordBatch {
        let snapshot = self.snapshot();
        let scan = snapshot.scan_builder().with_predicate(predicate).build().expect("a scan");
        let schema = scan.logical_schema();
        let batches: Vec<RecordBatch> = scan
            .execute(self.engine())
            .expect("a scan")
            .map(|data| data.try_into_record_batch().expect("rows"))
            .collect();
        let schema = batches.first().map(RecordBatch::schema).unwrap_or_else(|| {
            use delta_kernel::engine::arrow_conversion::TryIntoArrow as _;
            Arc::new(schema.as_ref().try_into_arrow().expect("an Arrow schema"))
        });
        concat_batches(&schema, &batches).expect("equal schemas")
    }

    /// The ids in the table, sorted.
    fn ids(&self) -> Vec<i64> {
        let rows = self.scan(None);
        let ids = rows.column_by_name("id").expect("an id column");
        let ids = ids.as_any().downcast_ref::<Int64Array>().expect("longs");
        let mut ids: Vec<i64> = ids.values().to_vec();
        ids.sort_unstable();
        ids
    }

    fn log_file(&self, version: u64) -> PathBuf {
        self.root.join(format!("_delta_log/{version:020}.json"))
    }

    fn files_with(&self, folder: &str, part: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.root.join(folder)).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(part))).collect()
    }
}

fn small_schema() -> TableSchema {
    TableSchema::new(vec![Column::required("id", ColumnType::Int64), Column::nullable("name", ColumnType::String)])
}

/// Rows of [`small_schema`] with ids `from..to`; every third name is NULL.
fn small_rows(from: i64, to: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    let names: ArrayRef =
        Arc::new((from..to).map(|id| (id % 3 != 0).then(|| format!("n{id}"))).collect::<StringArray>());
    RecordBatch::try_new(small_schema().arrow(), vec![ids, names]).expect("rows")
}

fn origin(key: &str) -> RowOrigin {
    RowOrigin { key: key.into(), version: ObjectVersionId([7; 16]), batch: BatchId::from_parts(1_700_000_000_000, 42) }
}

/// Writes ids `from..to` into a data file, with ordinals from 0.
fn stage(table: &DeltaTable, from: i64, to: i64) -> StagedFile {
    let ordinals: Vec<u64> = (0..to.abs_diff(from)).collect();
    let mut writer = table.open_writer(&small_schema()).expect("a writer");
    writer.write(&small_rows(from, to), &origin("a/b.csv"), &ordinals).expect("written");
    only(writer.finish())
}

/// The one file that a writer has made.
fn only(files: PortResult<Vec<StagedFile>>) -> StagedFile {
    let files = files.expect("finished");
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().expect("one")
}

/// Writes rows with ordinals from 0.
fn write_all(table: &DeltaTable, schema: &TableSchema, rows: &RecordBatch) -> Vec<StagedFile> {
    let ordinals: Vec<u64> = (0..rows.num_rows() as u64).collect();
    let mut writer = boxed(table, schema);
    writer.write(rows, &origin("k"), &ordinals).expect("written");
    writer.finish().expect("finished")
}

fn has_entries(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

fn boxed(table: &DeltaTable, schema: &TableSchema) -> Box<dyn DataFileWriter> {
    table.open_writer(schema).expect("a writer")
}
