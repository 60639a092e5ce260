//! Where the rows of an object version are: the sum of what its committed batches did.

use connector_core::ids::ObjectVersionId;
use connector_core::ports::FileOutcome;
use connector_core::revision::{Account, RowDigest};
use rusqlite::{Connection, OptionalExtension, params};

use crate::codec;
use crate::error::Result;
use crate::import::Import;

// The cross join and the plus keep the planner from looking at all batches.
pub(crate) const COMMITTED: &str = "SELECT file_result.batch, outcome, file_result.row_count,
        file_result.quarantined_count, removed_count, removed_quarantined_count, expired
     FROM file_result CROSS JOIN batch ON batch.id = file_result.batch
     WHERE file_result.object = ?1 AND +batch.state = 'committed' ORDER BY file_result.batch";

/// The account of an object version, and the batch that brought its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub account: Account,
    /// The row of the batch.
    pub brought_by: Option<i64>,
}

/// What the tables said of an object version, in place of all results up to a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Base {
    pub in_table: u64,
    pub in_quarantine: u64,
    pub removed: u64,
    pub expired: RowDigest,
}

impl Base {
    pub(crate) fn account(self) -> Account {
        let Self { in_table, in_quarantine, removed, expired } = self;
        Account { read: in_table + in_quarantine + removed, in_table, in_quarantine, removed, expired }
    }
}

/// What one committed batch did to the rows of the object version.
struct Change {
    batch: i64,
    outcome: String,
    added: [u64; 2],
    removed: [u64; 2],
    expired: RowDigest,
}

impl Life {
    fn add(&mut self, change: &Change) -> Result<()> {
        let brings = matches!(change.outcome.as_str(), "ingested" | "quarantined");
        if brings {
            // An object version that is read again, after a rollback, begins a new account.
            if self.account.in_table + self.account.in_quarantine == 0 {
                self.account = Account::default();
            }
            self.account.read += change.added[0] + change.added[1];
            self.brought_by = Some(change.batch);
        }
        if change.outcome != "replayed" {
            self.account.removed += change.removed[0] + change.removed[1];
        }
        self.account.in_table = less(self.account.in_table + change.added[0], change.removed[0])?;
        self.account.in_quarantine = less(self.account.in_quarantine + change.added[1], change.removed[1])?;
        self.account.expired += change.expired;
        Ok(())
    }
}

fn less(rows: u64, removed: u64) -> Result<u64> {
    rows.checked_sub(removed).ok_or_else(|| codec::corrupt("more rows removed than there were"))
}

/// By the committed batches, or by what the tables said when they were asked and the batches since.
pub(crate) fn of(db: &Connection, object: i64) -> Result<Life> {
    let base = base(db, object)?;
    let mut life = Life { account: base.map(|(_, base)| base.account()).unwrap_or_default(), brought_by: None };
    let mut statement = db.prepare_cached(COMMITTED)?;
    let mut rows = statement.query([object])?;
    while let Some(row) = rows.next()? {
        let change = Change {
            batch: row.get(0)?,
            outcome: row.get(1)?,
            added: [codec::amount(row.get(2)?)?, codec::amount(row.get(3)?)?],
            removed: [codec::amount(row.get(4)?)?, codec::amount(row.get(5)?)?],
            expired: codec::digest(row.get(6)?),
        };
        match base {
            Some((upto, _)) if change.batch <= upto => {
                if matches!(change.outcome.as_str(), "ingested" | "quarantined") {
                    life.brought_by = Some(change.batch);
                }
            }
            _ => life.add(&change)?,
        }
    }
    Ok(life)
}

/// With the batch up to which it stands for the results.
fn base(db: &Connection, object: i64) -> Result<Option<(i64, Base)>> {
    let mut statement = db.prepare_cached(
        "SELECT batch, row_count, quarantined_count, removed_count, expired FROM adopted WHERE object = ?1",
    )?;
    let row = statement.query_row([object], |row| {
        let amounts: [i64; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
        Ok((row.get(0)?, amounts, row.get::<_, Option<[u8; 16]>>(4)?))
    });
    let Some((batch, [table, quarantine, removed], expired)) = row.optional()? else { return Ok(None) };
    let base = Base {
        in_table: codec::amount(table)?,
        in_quarantine: codec::amount(quarantine)?,
        removed: codec::amount(removed)?,
        expired: codec::digest(expired),
    };
    Ok(Some((batch, base)))
}

/// From now on the rows are where the base says. The counters of the import do not follow; see [`moved`].
pub(crate) fn set_base(db: &Connection, import: &Import, object: i64, base: Base) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO adopted (object, batch, row_count, quarantined_count, removed_count, expired)
         VALUES (?1, COALESCE((SELECT MAX(id) FROM batch WHERE import = ?2), 0), ?3, ?4, ?5, ?6)
         ON CONFLICT (object) DO UPDATE SET batch = excluded.batch, row_count = excluded.row_count,
            quarantined_count = excluded.quarantined_count, removed_count = excluded.removed_count,
            expired = excluded.expired",
    )?
    .execute(params![
        object,
        import.id,
        codec::stored(base.in_table),
        codec::stored(base.in_quarantine),
        codec::stored(base.removed),
        base.expired.to_bytes(),
    ])?;
    Ok(())
}

/// The import's counters follow an account that has changed by other means than a batch.
pub(crate) fn moved(db: &Connection, import: &Import, before: &Account, after: &Account) -> Result<()> {
    let difference = |of: fn(&Account) -> u64| codec::stored(of(after)) - codec::stored(of(before));
    add_rows(db, import, difference(|account| account.in_table), difference(|account| account.in_quarantine))
}

/// Rows that are there now, in the table and in quarantine.
pub(crate) fn add_rows(db: &Connection, import: &Import, table: i64, quarantine: i64) -> Result<()> {
    if (table, quarantine) != (0, 0) {
        db.prepare_cached(
            "UPDATE import SET row_count = row_count + ?2, quarantined_count = quarantined_count + ?3 WHERE id = ?1",
        )?
        .execute(params![import.id, table, quarantine])?;
    }
    Ok(())
}

/// Whether the rows that the outcome takes away are there to be taken. `Err` says what is wrong.
pub(crate) fn allows(account: &Account, id: ObjectVersionId, outcome: &FileOutcome) -> std::result::Result<(), String> {
    let (table, quarantine) = outcome.removed();
    let there = (account.in_table, account.in_quarantine);
    let fits = match outcome {
        // All of them, or the object version would be called free of rows while it is not.
        FileOutcome::RolledBack { .. } => (table, quarantine) == there,
        FileOutcome::Superseded { .. } => quarantine == there.1,
        _ => table <= there.0 && quarantine <= there.1,
    };
    if fits {
        return Ok(());
    }
    Err(format!(
        "object version {id:?} has {} rows in the table and {} in quarantine, so it cannot be {} with {table} and \
         {quarantine}",
        there.0,
        there.1,
        outcome.label()
    ))
}
