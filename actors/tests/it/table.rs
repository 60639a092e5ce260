//! A table in memory that records what is asked of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use connector_core::error::Failure;
use connector_core::ids::{BatchUuid, ImportUuid, ObjectVersionId};
use connector_core::ports::{
    CommitAnswer, DataFileWriter, Destination, ExpiredFile, ExpiryRule, Maintained, MaintenanceRules, PortResult,
    Removal, RowBatches, RowIds, RowOrigin, StagedFile, TableCommit, TableFacts,
};
use connector_core::schema::TableSchema;
use jiff::Timestamp;

/// What a commit is made to do.
#[derive(Clone, Debug)]
pub enum CommitFault {
    LandedButAnswerLost,
    NothingHappened,
    /// Nothing happened, and nothing will until the user acts.
    Denied,
    Conflict,
}

/// One row of the table, by identity.
pub type RowId = (String, u64);

#[derive(Default)]
pub struct TableState {
    pub import: Option<ImportUuid>,
    pub schema: Option<TableSchema>,
    pub version: u64,
    pub seq: i64,
    pub uuid: Option<BatchUuid>,
    /// Rows with their provenance.
    pub rows: Vec<RecordBatch>,
    /// How many rows each commit brought.
    pub commits: Vec<usize>,
    pub files: BTreeMap<String, Vec<RecordBatch>>,
    /// Steps of maintenance that were asked for.
    pub maintained: u64,
    /// And fail.
    pub maintenance_fails: bool,
    pub faults: VecDeque<CommitFault>,
    pub write_faults: VecDeque<Failure>,
    next_file: u64,
    open: usize,
    /// The most data files that were open at once.
    pub most_open: usize,
}

/// A table in memory.
#[derive(Default, Clone)]
pub struct MemoryTable {
    pub state: Arc<Mutex<TableState>>,
}

struct MemoryWriter {
    table: MemoryTable,
    rows: Vec<RecordBatch>,
}

impl DataFileWriter for MemoryWriter {
    fn write(&mut self, rows: &RecordBatch, origin: &RowOrigin, ordinals: &[u64]) -> PortResult<()> {
        if let Some(failure) = self.table.state.lock().expect("lock").write_faults.pop_front() {
            return Err(failure);
        }
        assert_eq!(rows.num_rows(), ordinals.len());
        self.rows.push(with_provenance(rows, origin, ordinals));
        Ok(())
    }

    fn buffered_bytes(&self) -> usize {
        count(&self.rows) * 64
    }

    fn flush(&mut self) -> PortResult<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> PortResult<Vec<StagedFile>> {
        let mut state = self.table.state.lock().expect("lock");
        state.open -= 1;
        state.next_file += 1;
        let path = format!("file-{}", state.next_file);
        let rows = count(&self.rows) as u64;
        state.files.insert(path.clone(), self.rows);
        Ok(vec![StagedFile { path, bytes: rows, rows, stats: String::new(), partition: None }])
    }

    fn discard(self: Box<Self>) {
        self.table.state.lock().expect("lock").open -= 1;
    }
}

#[async_trait]
impl Destination for MemoryTable {
    async fn read(&self) -> PortResult<Option<TableFacts>> {
        let state = self.state.lock().expect("lock");
        Ok(state.schema.clone().map(|schema| TableFacts {
            version: state.version,
            import: state.import,
            committed_seq: state.seq,
            committed_uuid: state.uuid,
            committed_batch: None,
            schema,
        }))
    }

    async fn create(&self, import: ImportUuid, schema: &TableSchema) -> PortResult<TableFacts> {
        {
            let mut state = self.state.lock().expect("lock");
            assert!(state.schema.is_none(), "created twice");
            state.import = Some(import);
            state.schema = Some(schema.clone());
        }
        self.read().await.map(|facts| facts.expect("created"))
    }

    fn open_writer(&self, _: &TableSchema) -> PortResult<Box<dyn DataFileWriter>> {
        let mut state = self.state.lock().expect("lock");
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        Ok(Box::new(MemoryWriter { table: self.clone(), rows: Vec::new() }))
    }

    async fn discard(&self, files: &[StagedFile]) {
        let mut state = self.state.lock().expect("lock");
        for file in files {
            state.files.remove(&file.path);
        }
    }

    async fn staged_files_intact(&self, files: &[StagedFile]) -> PortResult<bool> {
        let state = self.state.lock().expect("lock");
        Ok(files.iter().all(|file| state.files.contains_key(&file.path)))
    }

    async fn commit(&self, commit: &TableCommit) -> PortResult<CommitAnswer> {
        let mut state = self.state.lock().expect("lock");
        let fault = state.faults.pop_front();
        match fault {
            Some(CommitFault::NothingHappened) => return Err(Failure::transient("storage", "no answer")),
            Some(CommitFault::Denied) => return Err(Failure::config("storage_denied", "no right to write")),
            Some(CommitFault::Conflict) => return Ok(CommitAnswer::Conflict),
            _ => {}
        }
        if state.seq >= commit.seq
            || commit.after.is_some_and(|after| after != state.seq)
            || state.import != Some(commit.import)
        {
            return Ok(CommitAnswer::Conflict);
        }
        let rows: Vec<RecordBatch> = commit.files.iter().flat_map(|file| state.files[&file.path].clone()).collect();
        state.commits.push(count(&rows));
        state.rows = state.rows.iter().map(|rows| without(rows, &commit.remove)).collect();
        state.rows.extend(rows);
        state.seq = commit.seq;
        state.uuid = Some(commit.batch_uuid);
        state.version += 1;
        let added = commit.add_columns.clone();
        let schema = state.schema.as_mut().expect("created");
        assert!(added.iter().all(|column| schema.find(&column.name).is_none()), "a column is added twice");
        schema.columns.extend(added);
        match fault {
            Some(CommitFault::LandedButAnswerLost) => Err(Failure::transient("storage", "no answer")),
            _ => Ok(CommitAnswer::Landed { version: state.version }),
        }
    }

    async fn row_ids(&self, files: &[StagedFile]) -> PortResult<RowIds> {
        let state = self.state.lock().expect("lock");
        let mut ids = RowIds::new();
        for rows in files.iter().flat_map(|file| &state.files[&file.path]) {
            for (_, version, row) in identities(rows) {
                ids.entry(version).or_default().push(row);
            }
        }
        Ok(ids)
    }

    async fn rows(&self, _: Option<&[String]>) -> PortResult<Option<RowBatches>> {
        let state = self.state.lock().expect("lock");
        let rows = state.rows.clone();
        Ok(state.schema.as_ref().map(|_| Box::new(rows.into_iter().map(Ok)) as RowBatches))
    }

    async fn expired(&self, _: &ExpiryRule) -> PortResult<Vec<ExpiredFile>> {
        Ok(Vec::new())
    }

    async fn maintain(&self, _: &MaintenanceRules, _: Timestamp) -> PortResult<Maintained> {
        let mut state = self.state.lock().expect("lock");
        state.maintained += 1;
        if state.maintenance_fails {
            return Err(Failure::config("storage_denied", "no right to remove"));
        }
        Ok(Maintained { compacted: 2, into: 1, done: state.maintained.is_multiple_of(3), ..Maintained::default() })
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}

impl MemoryTable {
    /// Every row's identity, sorted.
    pub fn rows(&self) -> Vec<RowId> {
        let state = self.state.lock().expect("lock");
        let mut rows: Vec<RowId> = state.rows.iter().flat_map(identities).map(|(key, _, row)| (key, row)).collect();
        rows.sort();
        rows
    }

    /// The names of the table's columns.
    pub fn columns(&self) -> Vec<String> {
        let state = self.state.lock().expect("lock");
        state.schema.iter().flat_map(|schema| &schema.columns).map(|column| column.name.clone()).collect()
    }

    pub fn commits(&self) -> Vec<usize> {
        self.state.lock().expect("lock").commits.clone()
    }
}

fn count(rows: &[RecordBatch]) -> usize {
    rows.iter().map(RecordBatch::num_rows).sum()
}

fn with_provenance(rows: &RecordBatch, origin: &RowOrigin, ordinals: &[u64]) -> RecordBatch {
    let text = |text: &str| Arc::new(StringArray::from(vec![text; ordinals.len()])) as ArrayRef;
    let ordinals: Int64Array = ordinals.iter().map(|ordinal| *ordinal as i64).collect();
    let own = [
        ("_s3_key", text(&origin.key)),
        ("_s3_version", text(&origin.version.hex())),
        ("_s3_row", Arc::new(ordinals) as ArrayRef),
        ("_batch_id", text(origin.batch.as_str())),
    ];
    let schema = rows.schema();
    let names = schema.fields().iter().map(|field| field.name().as_str());
    RecordBatch::try_from_iter(names.zip(rows.columns().iter().cloned()).chain(own)).expect("columns")
}

fn identities(rows: &RecordBatch) -> Vec<(String, ObjectVersionId, u64)> {
    let text = |name: &str| rows.column_by_name(name).expect("provenance").as_string::<i32>().clone();
    let ordinals = rows.column_by_name("_s3_row").expect("provenance").as_primitive::<Int64Type>().clone();
    let (keys, versions) = (text("_s3_key"), text("_s3_version"));
    let identity = |index: usize| {
        let version = ObjectVersionId::parse_hex(versions.value(index)).expect("an id");
        (keys.value(index).to_owned(), version, ordinals.value(index) as u64)
    };
    (0..rows.num_rows()).map(identity).collect()
}

fn without(rows: &RecordBatch, removal: &Removal) -> RecordBatch {
    let stays = |(_, version, row): (String, ObjectVersionId, u64)| match removal {
        Removal::Nothing => true,
        Removal::Versions(versions) => !versions.contains(&version),
        Removal::Rows(rows) => rows.get(&version).is_none_or(|rows| !rows.contains(&row)),
        Removal::DataFiles(_) => panic!("a table in memory has no data files that expire"),
    };
    let stays: Vec<bool> = identities(rows).into_iter().map(stays).collect();
    filter_record_batch(rows, &BooleanArray::from(stays)).expect("filters")
}
