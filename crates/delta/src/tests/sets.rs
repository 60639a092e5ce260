//! Made-up tables whose rows are known by identity.

use std::collections::BTreeSet;

use arrow::array::{AsArray as _, TimestampMicrosecondArray};
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use connector_core::ports::{Removal, RowBatches};
use jiff::Timestamp;

use super::*;

/// Chance that can be repeated (SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    pub(super) fn one_in(&mut self, limit: u64) -> bool {
        self.below(limit) == 0
    }
}

pub(super) type RowId = (ObjectVersionId, u64);

/// A row: its identity, and all its values by column as text.
pub(super) type Row = (RowId, Vec<(String, String)>);

pub(super) fn version(number: u64) -> ObjectVersionId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&Dice(number).roll().to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    ObjectVersionId(id)
}

/// Rows of a batch, or of several, in order.
pub(super) fn rows_in(batches: &[RecordBatch]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        let schema = batch.schema();
        let versions = batch.column_by_name("_s3_version").expect("versions").as_string::<i32>();
        let ordinals = batch.column_by_name("_s3_row").expect("ordinals").as_primitive::<Int64Type>();
        let options = FormatOptions::new().with_null("NULL");
        let formatters: Vec<ArrayFormatter> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("printable"))
            .collect();
        for at in 0..batch.num_rows() {
            let id = ObjectVersionId::parse_hex(versions.value(at)).expect("an id");
            let values = schema.fields().iter().zip(&formatters);
            let values = values.map(|(field, shown)| (field.name().clone(), shown.value(at).to_string()));
            // By name: readers order columns in their own ways.
            let mut values: Vec<_> = values.collect();
            values.sort();
            rows.push(((id, ordinals.value(at) as u64), values));
        }
    }
    rows
}

/// Compares rows, and shows but the first that differs.
pub(super) fn assert_same(found: &[Row], expected: &[Row], what: &str) {
    if let Some(at) = (0..found.len().max(expected.len())).find(|at| found.get(*at) != expected.get(*at)) {
        let (has, should) = (found.get(at), expected.get(at));
        panic!("{what}: {} rows, not {}; number {at} is {has:?}, not {should:?}", found.len(), expected.len());
    }
}

impl Bench {
    /// The table's rows as the kernel reads them, sorted.
    pub(super) fn held(&self) -> Vec<Row> {
        let mut rows = rows_in(&[self.scan(None)]);
        rows.sort();
        rows
    }

    /// The table's rows by [`connector_core::ports::Destination::rows`], in order.
    pub(super) fn read_all(&self, table: &DeltaTable) -> Vec<Row> {
        let rows: RowBatches = self.runtime.block_on(table.rows(None)).expect("readable").expect("a table");
        rows_in(&rows.collect::<PortResult<Vec<_>>>().expect("rows"))
    }

    /// The data files in the table's directory.
    pub(super) fn data_files(&self) -> BTreeSet<PathBuf> {
        let (mut found, mut folders) = (BTreeSet::new(), vec![self.root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() && !path.ends_with("_delta_log") {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "parquet") {
                    found.insert(path);
                }
            }
        }
        found
    }

    pub(super) fn removing(&self, seq: BatchSeq, files: Vec<StagedFile>, remove: Removal) -> TableCommit {
        TableCommit { remove, ..self.batch(seq, files) }
    }

    /// The time of the disk's clock.
    pub(super) fn clock(&self) -> Timestamp {
        let probe = self.root.parent().expect("a parent").join("clock");
        std::fs::write(&probe, b"").expect("written");
        let modified = std::fs::metadata(&probe).and_then(|facts| facts.modified()).expect("a time");
        Timestamp::try_from(modified).expect("in range")
    }

    /// Makes a file as old as this.
    pub(super) fn age(&self, path: &Path, modified: Timestamp) {
        let file = std::fs::File::options().write(true).open(path).expect("a file");
        file.set_modified(modified.into()).expect("set");
    }

    /// A log entry by another program, on top of what is there. `actions`: one a line.
    pub(super) fn foreign_entry(&self, actions: &[serde_json::Value]) -> u64 {
        let version = self.snapshot().version() + 1;
        let info = serde_json::json!({"commitInfo": {"operation": "WRITE", "engineInfo": "another/1"}});
        let lines = std::iter::once(&info).chain(actions).map(|action| format!("{action}\n")).collect::<String>();
        std::fs::write(self.log_file(version), lines).expect("written");
        version
    }

    /// Another program appends a data file.
    pub(super) fn foreign_append(&self, file: &StagedFile) -> u64 {
        let path = crate::partition::log_path(&file.path);
        self.foreign_entry(&[serde_json::json!({"add": {
            "path": path, "partitionValues": {}, "size": file.bytes, "modificationTime": 0, "dataChange": true,
            "stats": file.stats,
        }})])
    }

    /// Another program changes the table's schema, by the text of it.
    pub(super) fn foreign_schema(&self, ours: &str, theirs: &str) -> u64 {
        let mut actions = self.actions(0);
        let metadata = actions.iter_mut().find(|action| !action["metaData"].is_null()).expect("metadata");
        let schema = metadata["metaData"]["schemaString"].as_str().expect("a schema").to_owned();
        assert!(schema.contains(ours), "{schema}");
        metadata["metaData"]["schemaString"] = schema.replacen(ours, theirs, 1).into();
        self.foreign_entry(std::slice::from_ref(metadata))
    }

    /// The actions of a log entry.
    pub(super) fn actions(&self, version: u64) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.log_file(version)).expect("an entry");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Columns of a made-up table: an id, a name, a time, and what it is partitioned by.
pub(super) fn columns(partitioned: bool) -> TableSchema {
    let schema = TableSchema::new(vec![
        Column::required("id", ColumnType::Int64),
        Column::nullable("name", ColumnType::String),
        Column::nullable("at", ColumnType::DateTime64 { precision: 6 }),
        Column::nullable("p", ColumnType::String),
    ]);
    TableSchema { partition: partitioned.then(|| "p".to_owned()), ..schema }
}

/// So many rows with values by chance, and NULLs among them. Further columns of the schema are texts.
pub(super) fn chance_rows(dice: &mut Dice, schema: &TableSchema, count: usize) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values((0..count).map(|_| dice.roll() as i64)));
    let name = |dice: &mut Dice| (!dice.one_in(4)).then(|| format!("n{}\u{fc}\n", dice.below(9)));
    let names: ArrayRef = Arc::new((0..count).map(|_| name(dice)).collect::<StringArray>());
    let time = |dice: &mut Dice| (!dice.one_in(9)).then(|| dice.below(3_000_000_000_000_000) as i64);
    let times: TimestampMicrosecondArray = (0..count).map(|_| time(dice)).collect();
    let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
    let parts = [None, Some(""), Some("a"), Some("b c/d%"), Some("\u{e9}")];
    let parts: ArrayRef = Arc::new((0..count).map(|_| parts[dice.below(5) as usize]).collect::<StringArray>());
    let mut columns = vec![ids, names, times, parts];
    columns.truncate(schema.columns.len());
    for _ in columns.len()..schema.columns.len() {
        columns.push(Arc::new((0..count).map(|_| name(dice)).collect::<StringArray>()));
    }
    RecordBatch::try_new(schema.arrow(), columns).expect("rows")
}

/// Data files with rows of some object versions, each from ordinal 0 with some left out.
pub(super) fn stage_versions(
    table: &DeltaTable,
    dice: &mut Dice,
    schema: &TableSchema,
    versions: &[u64],
) -> Vec<StagedFile> {
    let mut writer = boxed(table, schema);
    for number in versions {
        let ordinals: Vec<u64> = (0..1 + dice.below(60)).filter(|_| !dice.one_in(5)).collect();
        let rows = chance_rows(dice, schema, ordinals.len());
        let origin = RowOrigin { version: version(*number), ..origin(&format!("key {number}")) };
        writer.write(&rows, &origin, &ordinals).expect("written");
    }
    writer.finish().expect("finished")
}

/// A table of some batches, of one or a few object versions each; after half of them a column is added. Versions are
/// numbered from 0. Says how many batches there are.
pub(super) fn chance_table(bench: &Bench, dice: &mut Dice, partitioned: bool) -> (DeltaTable, BatchSeq) {
    let table = bench.table();
    let mut schema = columns(partitioned);
    bench.create(&table, &schema).expect("created");
    let batches = 3 + dice.below(5) as i64;
    let mut next = 0;
    for seq in 1..=batches {
        let mut add_columns = vec![];
        if seq == 1 + batches / 2 {
            add_columns.push(Column::nullable("extra", ColumnType::String));
            schema.columns.extend(add_columns.clone());
        }
        let versions: Vec<u64> = (next..next + 1 + dice.below(3)).collect();
        next += versions.len() as u64;
        let files = stage_versions(&table, dice, &schema, &versions);
        let commit = TableCommit { add_columns, ..bench.batch(seq, files) };
        assert_eq!(bench.commit(&table, &commit), Ok(CommitAnswer::Landed { version: seq as u64 }));
    }
    (table, batches)
}
