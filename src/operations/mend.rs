//! Mending: what ledger and table disagree about, decided by the table. Only while the import does not run.
//!
//! | operation | when | what it does |
//! |---|---|---|
//! | adopt | the ledger does not know the table's import | takes the table's identity, sequence and object versions over |
//! | rebuild | the table has batches that the ledger does not know | the same, with a ledger that knows the import |
//! | reread | the table lacks batches that the ledger has finalised | their files are read again; then as rebuild |
//!
//! Each step can be repeated: whoever is killed on the way runs the same command again. No row leaves a table that cannot
//! be brought back: what is not read again stays, and rows that are in neither table any more are named.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use connector_core::error::Failure;
use connector_core::ids::{BatchId, BatchSeq, BatchUuid, ObjectVersionId};
use connector_core::ports::{
    CommitAnswer, Destination, ImportRecord, PortResult, Removal, RowBatches, TableCommit, TableFacts,
};
use connector_core::revision::{RowDigest, RowsByVersion};
use connector_core::schema::TableSchema;
use connector_core::spec::ImportSpec;
use connector_delta::DeltaTable;
use connector_ledger::{Adopted, AdoptedVersion, Adoption, MissingRows, SqliteLedger};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Object versions with missing rows that are named.
const NAMED: usize = 20;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mending {
    Adopt,
    Rebuild,
    Reread,
}

/// Both tables of an import.
#[derive(Clone)]
pub struct Tables {
    pub table: DeltaTable,
    pub quarantine: DeltaTable,
}

/// Puts right what ledger and table disagree about; `known`: what the ledger has of the import. Returns what was found,
/// as JSON.
///
/// # Errors
/// `Config` if there is no table of ours to go by, or if there is nothing to mend in this way.
pub async fn mend(
    ledger: &SqliteLedger,
    known: Option<&ImportRecord>,
    tables: &Tables,
    spec: &ImportSpec,
    how: Mending,
    now: Timestamp,
) -> Result<Value, Failure> {
    let facts = tables.table.read().await?.ok_or_else(|| {
        let message = format!("there is no table at {}, so there is nothing to go by", tables.table.location());
        Failure::config("no_table", message)
    })?;
    let Some(import) = facts.import else {
        let message = format!("the table at {} was not made by s3-connector", tables.table.location());
        return Err(Failure::config("foreign_table", message));
    };
    let committed = known.map(|record| (record.uuid == import, record.committed_seq));
    match (how, committed) {
        (Mending::Adopt, Some((true, _))) => return Err(refused("the ledger knows this table; try ledger rebuild")),
        (Mending::Rebuild | Mending::Reread, Some((false, _)) | None) => {
            return Err(refused("the ledger does not know this table; try datasource adopt"));
        }
        (Mending::Rebuild, Some((true, seq))) if seq > facts.committed_seq => {
            return Err(refused("the table lacks batches that the ledger has finalised; try ledger reread"));
        }
        (Mending::Reread, Some((true, seq))) if seq <= facts.committed_seq => {
            return Err(refused("the table lacks no batch that the ledger has finalised; try ledger rebuild"));
        }
        _ => {}
    }
    let mut reread = 0;
    let mut again = BTreeSet::new();
    if how == Mending::Reread {
        let versions = ledger.batches_after(&spec.name, facts.committed_seq).await?;
        again = versions.into_iter().map(|version| version.id).collect();
        reread = ledger.reread(&spec.name, facts.committed_seq, now).await?;
    }
    let floor = committed.map_or(0, |(_, seq)| seq);
    let held = settle(tables, &facts, floor, &again, now).await?;
    still_at(tables, &held).await?;
    let adoption = Adoption {
        uuid: import,
        committed_seq: held.seq,
        quarantine_seq: held.quarantine_seq,
        schema: held.schema,
        versions: held.versions,
        restored: how == Mending::Reread,
    };
    let (versions, rows, rows_quarantined) = (adoption.versions.len(), held.rows, held.rows_quarantined);
    let adopted = ledger.adopt(&spec.name, spec.uri.bucket(), adoption, now).await?;
    Ok(json!({
        "seq": held.seq,
        "object_versions": versions,
        "rows": rows,
        "rows_quarantined": rows_quarantined,
        "removed_from_quarantine": held.removed,
        "reread_files": reread + adopted.pending,
        "without_rows": adopted.without_rows,
        "missing_rows": adopted.missing.iter().map(|missing| missing.rows).sum::<u64>(),
        "missing_versions": adopted.missing.len(),
        "missing": named(&adopted),
    }))
}

/// The first object versions with missing rows.
fn named(adopted: &Adopted) -> Vec<Value> {
    let one = |MissingRows { key, id, rows }: &MissingRows| json!({ "key": key, "version": id.hex(), "rows": rows });
    adopted.missing.iter().take(NAMED).map(one).collect()
}

/// Nobody has committed a batch since.
async fn still_at(tables: &Tables, held: &Held) -> Result<(), Failure> {
    let (table, quarantine) = (tables.table.facts().await?, tables.quarantine.facts().await?);
    let seq = |facts: Option<TableFacts>| facts.map_or(0, |facts| facts.committed_seq);
    if (seq(table), seq(quarantine)) == (held.seq, held.quarantine_seq) {
        return Ok(());
    }
    let message = format!(
        "a batch was committed to {} while it was being read; stop whatever writes there, then try again",
        tables.table.location()
    );
    Err(Failure::fenced("fenced", message))
}

fn refused(message: &str) -> Failure {
    Failure::config("nothing_to_mend", message)
}

/// What both tables hold, once they agree with each other.
struct Held {
    seq: BatchSeq,
    quarantine_seq: BatchSeq,
    schema: TableSchema,
    versions: Vec<AdoptedVersion>,
    rows: u64,
    rows_quarantined: u64,
    /// Rows that left quarantine to make them agree.
    removed: u64,
}

/// Brings both tables to one sequence number of their own, without rows that a batch has left in one of them only: bad
/// rows of a batch whose good ones never landed, replayed rows that are still in quarantine, and whatever either has of
/// files that are read again.
async fn settle(
    tables: &Tables,
    facts: &TableFacts,
    floor: BatchSeq,
    again: &BTreeSet<ObjectVersionId>,
    now: Timestamp,
) -> Result<Held, Failure> {
    let quarantine = tables.quarantine.read().await?;
    let q = quarantine.as_ref().map_or(0, |facts| facts.committed_seq);
    let half_landed = match &quarantine {
        Some(newest) if q > facts.committed_seq => Some(newest.committed_batch.clone().ok_or_else(batch_unknown)?),
        _ => None,
    };
    let set_aside = read_quarantine(&tables.quarantine).await?;
    let Read { mut set_aside, mut versions, doubled } = read_table(&tables.table, set_aside).await?;
    let mut remove: RowsByVersion = doubled;
    let half = half_landed.iter().flat_map(|batch| set_aside.of_batch(batch));
    for id in again.iter().copied().chain(half) {
        if let Some(found) = set_aside.versions.get(&id) {
            remove.insert(id, found.rows.clone());
        }
    }
    let removed = remove.values().map(|rows| rows.len() as u64).sum();
    let (mut seq, mut quarantine_seq) = (facts.committed_seq, q);
    if removed > 0 || half_landed.is_some() || floor > seq {
        seq = floor.max(seq).max(q) + 1;
        // The quarantine table first: were the table at this number, the rows would count as settled.
        if quarantine.is_some() {
            commit(&tables.quarantine, facts, seq, Removal::Rows(remove.clone()), now).await?;
            quarantine_seq = seq;
        }
        let stale = if again.is_empty() { Removal::Nothing } else { Removal::Versions(again.clone()) };
        commit(&tables.table, facts, seq, stale, now).await?;
    }
    versions.retain(|id, _| !again.contains(id));
    set_aside.forget(&remove);
    let rows = versions.values().map(|version| version.rows).sum();
    let rows_quarantined = set_aside.versions.values().map(|found| found.rows.len() as u64).sum();
    for (id, found) in set_aside.versions {
        let version = versions.entry(id).or_insert_with(|| empty(&found.key, id));
        version.rows_quarantined = found.rows.len() as u64;
        let next = found.rows.iter().max().map_or(0, |row| row + 1);
        version.max_row_plus_one = version.max_row_plus_one.max(next);
        found.rows.iter().for_each(|row| count(version, *row));
    }
    let versions = versions.into_values().collect();
    Ok(Held { seq, quarantine_seq, schema: facts.schema.clone(), versions, rows, rows_quarantined, removed })
}

fn batch_unknown() -> Failure {
    let message = "the quarantine table has a batch that the table lacks, and its log does not tell which one any more; \
                   restore the newer table, or the older quarantine table";
    Failure::config("half_landed", message)
}

async fn commit(
    table: &DeltaTable,
    facts: &TableFacts,
    seq: BatchSeq,
    remove: Removal,
    now: Timestamp,
) -> Result<(), Failure> {
    let import = facts.import.ok_or_else(|| Failure::bug("no_import", "a table of no import was to be mended"))?;
    let commit = TableCommit {
        import,
        seq,
        batch_uuid: BatchUuid::mint(),
        batch: BatchId::from_parts(u64::try_from(now.as_millisecond()).unwrap_or(0), u128::from(fastrand::u64(..))),
        after: None,
        files: Vec::new(),
        add_columns: Vec::new(),
        remove,
    };
    match table.commit(&commit).await? {
        CommitAnswer::Landed { .. } => Ok(()),
        CommitAnswer::Conflict => {
            let message = format!("another writer is at work on {}; stop it, then try again", table.location());
            Err(Failure::fenced("fenced", message))
        }
    }
}

/// What lies in quarantine, by object version.
#[derive(Default)]
struct SetAside {
    versions: HashMap<ObjectVersionId, Found>,
}

struct Found {
    key: String,
    batch: String,
    rows: Vec<u64>,
}

impl SetAside {
    /// Object versions that this batch brought.
    fn of_batch(&self, batch: &BatchId) -> Vec<ObjectVersionId> {
        self.versions.iter().filter(|(_, found)| found.batch == batch.as_str()).map(|(id, _)| *id).collect()
    }

    /// Both in ascending order.
    fn forget(&mut self, removed: &RowsByVersion) {
        for (id, rows) in removed {
            if let Some(found) = self.versions.get_mut(id) {
                found.rows.retain(|row| rows.binary_search(row).is_err());
            }
        }
        self.versions.retain(|_, found| !found.rows.is_empty());
    }
}

const IDENTITY: [&str; 4] = ["_s3_key", "_s3_version", "_s3_row", "_batch_id"];

async fn identities(table: &DeltaTable) -> PortResult<Option<RowBatches>> {
    table.rows(Some(&IDENTITY.map(str::to_owned))).await
}

async fn read_quarantine(table: &DeltaTable) -> Result<SetAside, Failure> {
    let mut found = each_row(table, SetAside::default(), |found, key, id, row, batch| {
        let version = found.versions.entry(id).or_insert_with(|| Found {
            key: key.to_owned(),
            batch: batch.to_owned(),
            rows: Vec::new(),
        });
        version.rows.push(row);
    })
    .await?;
    found.versions.values_mut().for_each(|found| found.rows.sort_unstable());
    Ok(found)
}

/// What both tables hold.
struct Read {
    set_aside: SetAside,
    /// Of the table alone.
    versions: BTreeMap<ObjectVersionId, AdoptedVersion>,
    /// Rows of the table that lie in quarantine as well.
    doubled: RowsByVersion,
}

async fn read_table(table: &DeltaTable, set_aside: SetAside) -> Result<Read, Failure> {
    let read = Read { set_aside, versions: BTreeMap::new(), doubled: RowsByVersion::new() };
    let mut read = each_row(table, read, |read, key, id, row, _| {
        let version = read.versions.entry(id).or_insert_with(|| empty(key, id));
        version.rows += 1;
        version.max_row_plus_one = version.max_row_plus_one.max(row + 1);
        count(version, row);
        if read.set_aside.versions.get(&id).is_some_and(|found| found.rows.binary_search(&row).is_ok()) {
            read.doubled.entry(id).or_default().push(row);
        }
    })
    .await?;
    read.doubled.values_mut().for_each(|rows| rows.sort_unstable());
    Ok(read)
}

fn empty(key: &str, id: ObjectVersionId) -> AdoptedVersion {
    let digest = Some(RowDigest::default());
    AdoptedVersion { key: key.to_owned(), id, rows: 0, rows_quarantined: 0, max_row_plus_one: 0, digest }
}

/// Its sum has this row, too.
fn count(version: &mut AdoptedVersion, row: u64) {
    let mut digest = version.digest.unwrap_or_default();
    digest += RowDigest::of_row(version.id, row);
    version.digest = Some(digest);
}

/// Shows every row of a table to `each`, with what it has gathered so far. On a thread that may wait: the batches of a
/// table in a bucket do.
async fn each_row<T: Send + 'static>(
    table: &DeltaTable,
    mut gathered: T,
    each: impl Fn(&mut T, &str, ObjectVersionId, u64, &str) + Send + 'static,
) -> Result<T, Failure> {
    let Some(batches) = identities(table).await? else { return Ok(gathered) };
    let location = table.location().to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut one = |key: &str, id: ObjectVersionId, row: u64, batch: &str| each(&mut gathered, key, id, row, batch);
        for batch in batches {
            for_each_row(&batch?, &mut one).ok_or_else(|| {
                let message = format!(
                    "{location} has rows without provenance, so which files they came from cannot be told; was it \
                     written to by another program?"
                );
                Failure::config("no_provenance", message)
            })?;
        }
        Ok(gathered)
    });
    read.await.map_err(|error| Failure::bug("mend", format!("reading the rows of a table ended: {error}")))?
}

/// `None` if a row has no provenance.
fn for_each_row(batch: &RecordBatch, each: &mut impl FnMut(&str, ObjectVersionId, u64, &str)) -> Option<()> {
    let [keys, versions, batches] = [0, 1, 3].map(|index| batch.column(index).as_string_opt::<i32>());
    let (keys, versions, batches) = (keys?, versions?, batches?);
    let rows = batch.column(2).as_primitive_opt::<Int64Type>()?;
    for index in 0..batch.num_rows() {
        if keys.is_null(index) || versions.is_null(index) || rows.is_null(index) {
            return None;
        }
        let id = ObjectVersionId::parse_hex(versions.value(index))?;
        let batch_id = if batches.is_null(index) { "" } else { batches.value(index) };
        each(keys.value(index), id, u64::try_from(rows.value(index)).ok()?, batch_id);
    }
    Some(())
}
