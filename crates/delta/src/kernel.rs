//! Every call into `delta_kernel`. All of them block: they belong on a blocking thread of the runtime.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray};
use arrow::datatypes::{DataType as ArrowType, Field};
use connector_core::ids::{BatchSeq, ImportUuid};
use connector_core::ports::{StagedFile, TableCommit};
use connector_core::schema::{Column, TableSchema};
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::expressions::ColumnName;
use delta_kernel::schema::{DataType, StructField, StructType};
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::transaction::create_table::create_table;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel::transaction::{CommitResult, UpdateTableOperation};
use delta_kernel::{FilteredEngineData, KernelError, Snapshot};
use delta_kernel_default_engine::executor::tokio::TokioMultiThreadExecutor;
use delta_kernel_default_engine::{DefaultEngine, DefaultEngineBuilder};
use jiff::{SignedDuration, Timestamp};
use tokio::runtime::RuntimeFlavor;

use crate::active;
use crate::committer::{LogCommitter, Marks, PutOutcome};
use crate::error::{DeltaError, is_not_found, one_line};
use crate::files;
use crate::fit;
use crate::log::{BATCH_ID_FIELD, BATCH_UUID_FIELD, Log};
use crate::partition;
use crate::removal::Revision;
use crate::schema_map;
use crate::storage::Storage;
use crate::writer::Written;

/// The table property that names the import that a table belongs to.
const IMPORT_PROPERTY: &str = "s3_connector.import";
/// The table property that names the partition column which we chose. Partitions that another program has made are none
/// that we can fill: data files that were staged before would have no value for them.
const PARTITION_PROPERTY: &str = "s3_connector.partition";
/// A table with this property forgets old `txn` actions, so that an import could take place twice.
const RETENTION_PROPERTY: &str = "delta.setTransactionRetentionDuration";
/// A table with this property, unless it is `none`, names the columns of its data files otherwise than its schema.
const MAPPING_PROPERTY: &str = "delta.columnMapping.mode";
/// How this program calls itself in `commitInfo`.
pub(crate) const ENGINE_INFO: &str = concat!("s3-connector/", env!("CARGO_PKG_VERSION"));
/// A torn log entry that was written to within this time may be in the making.
const TORN_FOR: SignedDuration = SignedDuration::from_mins(1);
/// Commits from one checkpoint to the next.
const COMMITS_PER_CHECKPOINT: u64 = 50;

/// The kernel, set up for one table.
pub(crate) struct Kernel {
    pub(crate) storage: Storage,
    /// The table's place as messages name it.
    pub(crate) root: PathBuf,
    pub(crate) engine: DefaultEngine<TokioMultiThreadExecutor>,
    pub(crate) log: Log,
    pub(crate) written: Written,
}

/// A state of the table that a commit can build on.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) snapshot: SnapshotRef,
    pub(crate) import: Option<ImportUuid>,
}

impl Base {
    /// The table's partition column.
    pub(crate) fn partition(&self) -> Option<&str> {
        partition_columns(&self.snapshot).first().map(String::as_str)
    }

    /// The table's data columns.
    pub(crate) fn schema(&self) -> TableSchema {
        schema_map::from_delta(&self.snapshot.schema(), self.partition())
    }
}

/// How a commit changes the table's schema.
struct Changes {
    new_fields: Vec<StructField>,
    /// Columns that are NOT NULL no longer.
    relaxed: Vec<ColumnName>,
}

/// What became of a commit.
#[derive(Debug)]
pub(crate) enum Appended {
    /// `snapshot` is the table after it, unless the kernel failed to work that out.
    Landed {
        version: u64,
        entry: bytes::Bytes,
        snapshot: Option<SnapshotRef>,
    },
    Conflict,
    /// It was put, and may have landed.
    Unknown(DeltaError),
}

impl Kernel {
    pub(crate) fn new(storage: Storage) -> Result<Self, DeltaError> {
        if storage.handle().runtime_flavor() != RuntimeFlavor::MultiThread {
            return Err(DeltaError::Internal("a table needs the handle of a multi-threaded runtime".to_owned()));
        }
        let executor = Arc::new(TokioMultiThreadExecutor::new(storage.handle().clone()));
        let engine = DefaultEngineBuilder::new(Arc::clone(storage.store())).with_task_executor(executor).build();
        let (root, log) = (storage.table().to_owned(), Log::new(storage.clone()));
        Ok(Self { storage, root, engine, log, written: Written::default() })
    }

    /// Reads the newest state from storage; `None` if there is no table.
    pub(crate) fn open(&self) -> Result<Option<Base>, DeltaError> {
        if !self.log.exists()? {
            return Ok(None);
        }
        let snapshot = match self.snapshot() {
            // Somebody cleaned the log up while it was read: what it holds now is read instead.
            Err(error) if is_not_found(&error) => self.snapshot(),
            other => other,
        };
        let snapshot = snapshot.map_err(|error| DeltaError::kernel(&self.root, &error))?;
        self.base(snapshot).map(Some)
    }

    fn snapshot(&self) -> Result<SnapshotRef, KernelError> {
        Snapshot::builder_for(self.storage.url().as_str()).build(&self.engine)
    }

    /// Moves the newest log entry of a local table out of the way if it is torn. Its writer was cut off with the power and
    /// cannot have told anybody that it had committed; if the ledger says otherwise, the table now lacks a batch that the
    /// ledger has, which stops the import. `now`: by the clock that gives files their times.
    ///
    /// Only of a table that is an import's: what another program does to its own is its business. And only what has not
    /// changed for a while: programs that do not link a whole file to its name write an entry in several strokes.
    ///
    /// # Errors
    /// `Storage` while the entry is too young; those of listing, reading and renaming.
    pub(crate) fn mend_torn_entry(&self, now: Timestamp) -> Result<(), DeltaError> {
        let Some(torn) = self.log.torn_entry()? else { return Ok(()) };
        // A first entry does not say whose it would have been.
        if torn.version.checked_sub(1).is_some_and(|whole| !self.is_an_imports(whole)) {
            return Ok(());
        }
        if now.duration_since(torn.modified) < TORN_FOR {
            let why = "it is half there, and its writer may be at work; it is moved aside when it has not changed for a minute";
            return Err(DeltaError::Storage { path: self.log.file(torn.version), why: why.to_owned() });
        }
        self.log.move_aside(torn.version)
    }

    /// Whether the table belonged to an import at a version; one that cannot be read did not.
    fn is_an_imports(&self, version: u64) -> bool {
        let snapshot = Snapshot::builder_for(self.storage.url().as_str()).at_version(version).build(&self.engine);
        snapshot.is_ok_and(|snapshot| snapshot.metadata_configuration().contains_key(IMPORT_PROPERTY))
    }

    fn base(&self, snapshot: SnapshotRef) -> Result<Base, DeltaError> {
        let properties = snapshot.metadata_configuration();
        if properties.contains_key(RETENTION_PROPERTY) {
            return Err(DeltaError::ForgetsTransactions { table: self.root.clone() });
        }
        if let Some(what) = foreign_layout(&snapshot) {
            return Err(DeltaError::ForeignLayout { table: self.root.clone(), what });
        }
        let import = properties.get(IMPORT_PROPERTY).and_then(|text| ImportUuid::parse(text));
        Ok(Base { snapshot, import })
    }

    /// The newest sequence number that an import has committed, 0 if none.
    pub(crate) fn committed_seq(&self, base: &Base, import: ImportUuid) -> Result<BatchSeq, DeltaError> {
        let version = base.snapshot.get_app_id_version(&import.app_id(), &self.engine);
        version.map(Option::unwrap_or_default).map_err(|error| DeltaError::kernel(&self.root, &error))
    }

    /// Writes version 0.
    pub(crate) fn create(&self, import: ImportUuid, schema: &TableSchema) -> Result<(), DeltaError> {
        let exists = || DeltaError::TableExists { table: self.root.clone() };
        let fields = Arc::new(schema_map::to_delta(&self.root, schema)?);
        let (committer, slot) = LogCommitter::new(self.log.clone(), None);
        let mut table = create_table(self.storage.url().as_str(), fields, ENGINE_INFO, false)
            .with_table_properties([(IMPORT_PROPERTY, import.to_string())]);
        if let Some(column) = &schema.partition {
            table = table
                .with_table_properties([(PARTITION_PROPERTY, column)])
                .with_data_layout(DataLayout::partitioned([column]));
        }
        let transaction = table.build(&self.engine, Box::new(committer)).map_err(|error| match &error {
            KernelError::TableAlreadyExistsAtPath(_) => exists(),
            other => match DeltaError::outside(&self.root, other) {
                Some(error) => error,
                None => DeltaError::BadSchema { table: self.root.clone(), why: one_line(other) },
            },
        })?;
        let result = transaction.commit(&self.engine);
        match slot.take() {
            Some(PutOutcome::Landed { .. }) => Ok(()),
            Some(PutOutcome::Conflict) => Err(exists()),
            Some(PutOutcome::Unknown(error)) => Err(error),
            None => Err(self.never_put(result.err(), false)),
        }
    }

    /// Appends the files of a batch on top of `base`, in one commit, with the columns that the batch adds and what
    /// the removal of rows does, which was worked out on the same `base`.
    ///
    /// # Errors
    /// Only before the log entry was put: nothing has been committed, and nothing refers to the files.
    pub(crate) fn append(&self, base: Base, commit: &TableCommit, revision: &Revision) -> Result<Appended, DeltaError> {
        let new_fields = self.new_fields(&base, &commit.add_columns)?;
        let files: Vec<StagedFile> = commit.files.iter().chain(&revision.files).cloned().collect();
        let adds = self.adds(&files, base.partition())?;
        fit::check(self, &base, commit)?;
        let removes = active::rows_of(self, &base, &revision.gone)?;
        let changes = Changes { new_fields, relaxed: self.relaxed(&base, &files)? };
        let evolves = !changes.new_fields.is_empty();
        let marks = Marks { batch: Some((commit.seq, commit.batch_uuid)), stats: stats_of(&files) };
        let (committer, slot) = LogCommitter::new(self.log.clone(), Some(marks));
        let result = self.transact(base, commit, changes, adds, removes, committer);
        let landed = match slot.take() {
            Some(PutOutcome::Landed { version, entry }) => (version, entry),
            Some(PutOutcome::Conflict) => return Ok(Appended::Conflict),
            Some(PutOutcome::Unknown(error)) => return Ok(Appended::Unknown(error)),
            None => return Err(self.never_put(result.err(), evolves)),
        };
        let (version, entry) = landed;
        let snapshot = match result {
            Ok(CommitResult::Committed(committed)) => {
                let since = committed.post_commit_stats().commits_since_checkpoint;
                committed.post_commit_snapshot().map(|snapshot| self.checkpointed(snapshot, since))
            }
            // The entry is there, and that decides; the next commit reads the table afresh.
            _ => None,
        };
        Ok(Appended::Landed { version, entry, snapshot })
    }

    /// Fields for the columns that the table lacks. One that is there with the same Delta type takes the rows as it is;
    /// with another type it is an error and no conflict, because no second attempt would end otherwise.
    fn new_fields(&self, base: &Base, columns: &[Column]) -> Result<Vec<StructField>, DeltaError> {
        let schema = base.snapshot.schema();
        let mut fields = Vec::with_capacity(columns.len());
        for column in columns {
            let field = schema_map::field(&self.root, column)?;
            let name = column.name.to_lowercase();
            match schema.fields().find(|present| present.name().to_lowercase() == name) {
                None => fields.push(field),
                Some(present) if present.name() == field.name() && present.data_type() == field.data_type() => {}
                Some(present) => {
                    return Err(DeltaError::ColumnTaken {
                        table: self.root.clone(),
                        column: present.name().clone(),
                        present: present.data_type().to_string(),
                        wanted: column.name.clone(),
                        brought: field.data_type().to_string(),
                    });
                }
            }
        }
        Ok(fields)
    }

    /// NOT NULL columns, as tables of earlier versions have them, that a data file of the batch holds as nullable: the
    /// data source was relaxed since.
    fn relaxed(&self, base: &Base, files: &[StagedFile]) -> Result<Vec<ColumnName>, DeltaError> {
        let schema = base.snapshot.schema();
        let mut required: Vec<&str> =
            schema.fields().filter(|field| !field.is_nullable()).map(|field| field.name().as_str()).collect();
        let mut relaxed = Vec::new();
        for file in files {
            if required.is_empty() {
                break;
            }
            let opened = self.storage.open_data_file(&file.path)?;
            let path = self.storage.named(&file.path);
            let optional = files::optional_columns(opened).map_err(|error| DeltaError::data_file(&path, &error))?;
            required.retain(|name| {
                let is_relaxed = optional.contains(*name);
                if is_relaxed {
                    relaxed.push(ColumnName::new([*name]));
                }
                !is_relaxed
            });
        }
        Ok(relaxed)
    }

    fn transact(
        &self,
        base: Base,
        commit: &TableCommit,
        changes: Changes,
        adds: Option<RecordBatch>,
        removes: Vec<FilteredEngineData>,
        committer: LogCommitter,
    ) -> Result<CommitResult, KernelError> {
        let uuid: ArrayRef = Arc::new(StringArray::from(vec![commit.batch_uuid.to_string()]));
        let id: ArrayRef = Arc::new(StringArray::from(vec![commit.batch.as_str()]));
        let info = RecordBatch::try_from_iter([(BATCH_UUID_FIELD, uuid), (BATCH_ID_FIELD, id)]);
        let info = info.map_err(KernelError::generic_err)?;
        let text = |name| StructField::nullable(name, DataType::STRING);
        let info_schema = StructType::try_new([text(BATCH_UUID_FIELD), text(BATCH_ID_FIELD)])?;
        let (operation, parameters) = match removes.is_empty() {
            true => (UpdateTableOperation::Write, vec![("mode", Some("Append"))]),
            false => (UpdateTableOperation::Delete, vec![]),
        };
        let builder = base
            .snapshot
            .update_table(operation, ENGINE_INFO, true)
            .with_operation_parameters(parameters)
            .with_transaction_id(commit.import.app_id(), commit.seq)
            .with_commit_info(Box::new(ArrowEngineData::new(info)), Arc::new(info_schema));
        let builder = changes.new_fields.into_iter().fold(builder, |builder, field| builder.add_column(field));
        let builder = changes.relaxed.into_iter().fold(builder, |builder, column| builder.set_nullable(column));
        let mut transaction = builder.build(&self.engine, Box::new(committer))?;
        if let Some(adds) = adds {
            transaction.add_files(Box::new(ArrowEngineData::new(adds)));
        }
        removes.into_iter().for_each(|rows| transaction.remove_files(rows));
        transaction.commit(&self.engine)
    }

    /// The kernel's view of the files: path, partition value, size, time and row count. The committer puts the full
    /// statistics in.
    pub(crate) fn adds(
        &self,
        files: &[StagedFile],
        partition: Option<&str>,
    ) -> Result<Option<RecordBatch>, DeltaError> {
        if files.is_empty() {
            return Ok(None);
        }
        let modified = self.modified_ms(files)?;
        let number = |value: u64| {
            i64::try_from(value).map_err(|_| DeltaError::Internal(format!("{value} does not fit a Delta long")))
        };
        let sizes = files.iter().map(|file| number(file.bytes)).collect::<Result<Vec<_>, _>>()?;
        let rows = files.iter().map(|file| number(file.rows)).collect::<Result<Vec<_>, _>>()?;
        let mut partitions = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        let arrow = |error: arrow::error::ArrowError| DeltaError::Internal(error.to_string());
        for file in files {
            if let Some(column) = partition {
                partitions.keys().append_value(column);
                partitions.values().append_option(file.partition.as_ref());
            }
            partitions.append(true).map_err(arrow)?;
        }
        let rows: ArrayRef = Arc::new(Int64Array::from(rows));
        let stats = StructArray::from(vec![(Arc::new(Field::new("numRecords", ArrowType::Int64, true)), rows)]);
        let paths = StringArray::from_iter_values(files.iter().map(|file| partition::log_path(&file.path)));
        let columns: [(&str, ArrayRef); 5] = [
            ("path", Arc::new(paths)),
            ("partitionValues", Arc::new(partitions.finish())),
            ("size", Arc::new(Int64Array::from(sizes))),
            ("modificationTime", Arc::new(Int64Array::from(modified))),
            ("stats", Arc::new(stats)),
        ];
        RecordBatch::try_from_iter(columns).map(Some).map_err(arrow)
    }

    fn modified_ms(&self, files: &[StagedFile]) -> Result<Vec<i64>, DeltaError> {
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let found = self.storage.facts_of(&paths)?;
        let modified = found.into_iter().zip(paths).map(|(facts, path)| match facts {
            Some(facts) => Ok(facts.modified.as_millisecond()),
            None => Err(DeltaError::StagedFileMissing { path: self.storage.named(path) }),
        });
        modified.collect()
    }

    /// Writes a checkpoint when one is due. The commit has landed, so a failure is only told.
    fn checkpointed(&self, snapshot: &SnapshotRef, commits_since: u64) -> SnapshotRef {
        if commits_since < COMMITS_PER_CHECKPOINT {
            return Arc::clone(snapshot);
        }
        match snapshot.checkpoint(&self.engine, None) {
            Ok((_, checkpointed)) => checkpointed,
            Err(error) => {
                let (table, version) = (self.root.display(), snapshot.version());
                tracing::warn!(%table, version, error = %one_line(&error), "checkpoint failed; the next commit tries again");
                Arc::clone(snapshot)
            }
        }
    }

    /// The error of a transaction that ended before its entry was put: nothing was written. `evolves`: it was to add
    /// columns.
    pub(crate) fn never_put(&self, error: Option<KernelError>, evolves: bool) -> DeltaError {
        match error {
            Some(error) => match DeltaError::outside(&self.root, &error) {
                Some(cause) => cause,
                None if evolves => DeltaError::BadSchema { table: self.root.clone(), why: one_line(&error) },
                None => DeltaError::Internal(one_line(&error)),
            },
            None => DeltaError::Internal("the kernel ended a commit without putting its log entry".to_owned()),
        }
    }
}

/// Statistics by the paths that the log has.
pub(crate) fn stats_of(files: &[StagedFile]) -> HashMap<String, String> {
    files.iter().map(|file| (partition::log_path(&file.path), file.stats.clone())).collect()
}

/// What makes data files as this program writes them wrong for the table: names of their columns that are not those of
/// the schema, or columns that readers take from the log instead of from the file.
fn foreign_layout(snapshot: &Snapshot) -> Option<String> {
    let mapping = snapshot.metadata_configuration().get(MAPPING_PROPERTY);
    if let Some(mode) = mapping.filter(|mode| !mode.eq_ignore_ascii_case("none")) {
        return Some(format!("has the property {MAPPING_PROPERTY}={mode}"));
    }
    let partitioned = partition_columns(snapshot);
    let chosen = snapshot.metadata_configuration().get(PARTITION_PROPERTY);
    if partitioned.iter().ne(chosen) {
        return Some(match partitioned {
            [] => "is not partitioned any more".to_owned(),
            columns => format!("is partitioned by {}", columns.join(", ")),
        });
    }
    None
}

fn partition_columns(snapshot: &Snapshot) -> &[String] {
    snapshot.table_configuration().logical_partition_columns()
}
