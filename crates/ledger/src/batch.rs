//! The open batch: what is claimed, and what was staged for it.

use connector_core::ids::{BatchId, BatchSeq, BatchUuid};
use connector_core::ports::{FileOutcome, FileResult, OpenBatch, StagedBatch, StagedFile, StagedRemoval};
use connector_core::revision::BatchKind;
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::error::Result;
use crate::import::Import;
use crate::{codec, json, reading, results};

/// The row of the one batch of an import that is claimed or staged.
#[derive(Clone, Debug)]
pub(crate) struct OpenRow {
    pub id: i64,
    pub seq: BatchSeq,
    pub uuid: BatchUuid,
    pub label: String,
    pub kind: BatchKind,
    pub staged: bool,
}

/// Which table a data file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Table,
    Quarantine,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Quarantine => "quarantine",
        }
    }
}

pub(crate) const OPEN: &str = "SELECT id, seq, uuid, label, kind, state = 'staged' FROM batch
     WHERE import = ?1 AND state IN ('claimed', 'staged')";

impl OpenRow {
    pub(crate) fn load(db: &Connection, import: &Import) -> Result<Option<Self>> {
        let mut statement = db.prepare_cached(OPEN)?;
        let mut rows = statement.query_and_then([import.id], |row| {
            Ok(Self {
                id: row.get(0)?,
                seq: row.get(1)?,
                uuid: BatchUuid(codec::uuid(row.get(2)?)),
                label: row.get(3)?,
                kind: codec::kind(&row.get::<_, String>(4)?)?,
                staged: row.get(5)?,
            })
        })?;
        rows.next().transpose()
    }

    /// The open batch, if it is the one that the caller means.
    pub(crate) fn expect(db: &Connection, import: &Import, seq: BatchSeq) -> Result<Self> {
        match Self::load(db, import)? {
            Some(open) if open.seq == seq => Ok(open),
            Some(open) => Err(import.protocol(format!("batch {} is open, not batch {seq}", open.seq))),
            None => Err(import.protocol(format!("batch {seq} is not open"))),
        }
    }

    /// The batch as recovery needs to see it.
    pub(crate) fn describe(self, db: &Connection, import: &Import) -> Result<OpenBatch> {
        let staged = if self.staged { Some(staged(db, import, self.id)?) } else { None };
        let id = BatchId::from_stored(self.label);
        Ok(OpenBatch { seq: self.seq, uuid: self.uuid, id, kind: self.kind, staged })
    }
}

/// Opens the next batch; returns its row. No other one may be open.
pub(crate) fn open(
    db: &Connection,
    import: &Import,
    kind: BatchKind,
    (uuid, id): (BatchUuid, &BatchId),
    files: usize,
    now: Timestamp,
) -> Result<i64> {
    let mut insert = db.prepare_cached(
        "INSERT INTO batch (import, seq, uuid, label, kind, state, files, claimed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 'claimed', ?6, ?7)",
    )?;
    let seq = import.committed_seq + 1;
    let (uuid, files) = (uuid.0.as_bytes(), codec::stored(files as u64));
    Ok(insert.insert(params![import.id, seq, uuid, id.as_str(), kind.as_str(), files, codec::micros(now)])?)
}

/// Refuses to claim while a batch is open.
pub(crate) fn expect_none(db: &Connection, import: &Import) -> Result<()> {
    match OpenRow::load(db, import)? {
        None => Ok(()),
        Some(open) => Err(import.protocol(format!("batch {} is open, so no other one can be claimed", open.seq))),
    }
}

fn staged(db: &Connection, import: &Import, batch: i64) -> Result<StagedBatch> {
    let files = staged_files(db, batch, Kind::Table)?;
    let quarantine = staged_files(db, batch, Kind::Quarantine)?;
    let [added, quarantine_added, removes, quarantine_removes]: [String; 4] = db
        .prepare_cached("SELECT added, quarantine_added, removes, quarantine_removes FROM batch WHERE id = ?1")?
        .query_row([batch], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    Ok(StagedBatch {
        rows: rows_in(&files),
        rows_quarantined: rows_in(&quarantine),
        files,
        quarantine,
        results: results::of_batch(db, import, batch)?.into_iter().map(|settled| settled.result).collect(),
        added: json::added_from_json(&added)?,
        quarantine_added: json::columns_from_json(&quarantine_added)?,
        removes: json::removal_from_json(&removes)?,
        quarantine_removes: json::removal_from_json(&quarantine_removes)?,
    })
}

/// Freezes the claimed batch.
pub(crate) fn stage(
    db: &Connection,
    import: &Import,
    seq: BatchSeq,
    uuid: BatchUuid,
    staged: &StagedBatch,
) -> Result<()> {
    let open = OpenRow::expect(db, import, seq)?;
    if open.uuid != uuid {
        return Err(import.protocol(format!("batch {seq} is open as {}, not as {uuid}", open.uuid)));
    }
    if open.staged {
        return Err(import.protocol(format!("batch {seq} is staged already")));
    }
    add_up(import, seq, staged)?;
    // Once its commit has landed, the columns have to go somewhere.
    if !staged.added.is_empty() && crate::schema::of_table(db, import)?.is_none() {
        return Err(import.protocol(format!("batch {seq} adds columns to a table whose schema is not decided")));
    }
    write_files(db, open.id, staged)?;
    results::write(db, import, &open, &staged.results)?;
    reading::clear(db, open.id)?;
    db.prepare_cached(
        "UPDATE batch SET state = 'staged', row_count = ?2, quarantined_count = ?3, byte_count = ?4, added = ?5,
            quarantine_added = ?6, removes = ?7, quarantine_removes = ?8 WHERE id = ?1",
    )?
    .execute(params![
        open.id,
        codec::stored(staged.rows),
        codec::stored(staged.rows_quarantined),
        codec::stored(bytes_read(&staged.results)),
        json::added_to_json(&staged.added),
        json::columns_to_json(&staged.quarantine_added),
        json::removal_to_json(&staged.removes),
        json::removal_to_json(&staged.quarantine_removes),
    ])?;
    Ok(())
}

/// Every row that a file brought is in a data file, and no other one is: for the table and for its quarantine. Rows leave
/// either of them only if the batch says which.
fn add_up(import: &Import, seq: BatchSeq, staged: &StagedBatch) -> Result<()> {
    let brought = |count: fn(&FileOutcome) -> u64| staged.results.iter().map(|result| count(&result.outcome)).sum();
    let of_files: [u64; 2] = [brought(FileOutcome::rows), brought(FileOutcome::rows_quarantined)];
    let sides = [
        ("staged", staged.rows, rows_in(&staged.files), of_files[0]),
        ("staged for quarantine", staged.rows_quarantined, rows_in(&staged.quarantine), of_files[1]),
    ];
    for (what, said, in_files, brought) in sides {
        if in_files != said || brought != said {
            return Err(import.protocol(format!(
                "batch {seq} does not add up: {said} rows {what}, {in_files} in its data files, {brought} from its files"
            )));
        }
    }
    let leaving = staged.results.iter().map(|result| result.outcome.removed());
    let leaving = leaving.fold((0, 0), |sum, rows| (sum.0 + rows.0, sum.1 + rows.1));
    for (what, rows, which) in
        [("the table", leaving.0, &staged.removes), ("quarantine", leaving.1, &staged.quarantine_removes)]
    {
        if rows > 0 && *which == StagedRemoval::Nothing {
            return Err(import.protocol(format!("batch {seq} takes {rows} rows out of {what} and does not say which")));
        }
    }
    Ok(())
}

fn rows_in(files: &[StagedFile]) -> u64 {
    files.iter().map(|file| file.rows).sum()
}

pub(crate) fn bytes_read(results: &[FileResult]) -> u64 {
    results.iter().map(|result| result.bytes).sum()
}

fn write_files(db: &Connection, batch: i64, staged: &StagedBatch) -> Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO staged_file (batch, ordinal, kind, path, byte_count, row_count, stats, partition)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let table = staged.files.iter().map(|file| (Kind::Table, file));
    let quarantine = staged.quarantine.iter().map(|file| (Kind::Quarantine, file));
    for (ordinal, (kind, file)) in table.chain(quarantine).enumerate() {
        insert.execute(params![
            batch,
            codec::stored(ordinal as u64),
            kind.as_str(),
            file.path,
            codec::stored(file.bytes),
            codec::stored(file.rows),
            file.stats,
            file.partition,
        ])?;
    }
    Ok(())
}

fn staged_files(db: &Connection, batch: i64, kind: Kind) -> Result<Vec<StagedFile>> {
    let mut statement = db.prepare_cached(
        "SELECT path, byte_count, row_count, stats, partition FROM staged_file WHERE batch = ?1 AND kind = ?2
         ORDER BY ordinal",
    )?;
    let rows = statement.query_and_then(params![batch, kind.as_str()], |row| {
        Ok(StagedFile {
            path: row.get(0)?,
            bytes: codec::amount(row.get(1)?)?,
            rows: codec::amount(row.get(2)?)?,
            stats: row.get(3)?,
            partition: row.get(4)?,
        })
    })?;
    rows.collect()
}
