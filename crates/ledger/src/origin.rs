//! Which bucket each import reads, as far as it was ever accepted.

use connector_core::ids::ImportName;
use connector_core::origin::Known;
use rusqlite::{Connection, params};

use crate::error::Result;

/// All imports that were ever opened or accepted. A staged batch may have landed, and a table that was adopted has rows
/// of batches that are not in the ledger.
pub(crate) fn all(db: &Connection) -> Result<Vec<Known>> {
    let mut statement = db.prepare_cached(
        "SELECT import.name, COALESCE(origin.bucket, bucket.name), origin.uri,
            import.committed_seq > 0
                OR EXISTS (SELECT 1 FROM batch WHERE batch.import = import.id AND batch.state IN ('staged', 'committed'))
         FROM import JOIN bucket ON bucket.id = import.bucket LEFT JOIN origin ON origin.name = import.name
         UNION ALL
         SELECT name, bucket, uri, 0 FROM origin WHERE name NOT IN (SELECT name FROM import)
         ORDER BY 1",
    )?;
    let known = statement.query_and_then([], |row| {
        Ok(Known {
            name: ImportName::new(row.get::<_, String>(0)?),
            bucket: row.get(1)?,
            uri: row.get(2)?,
            has_batches: row.get(3)?,
        })
    })?;
    known.collect()
}

/// From now on this is what the import reads.
pub(crate) fn accept(db: &Connection, name: &str, bucket: &str, uri: &str) -> Result<()> {
    db.execute(
        "INSERT INTO origin (name, bucket, uri) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET bucket = excluded.bucket, uri = excluded.uri",
        params![name, bucket, uri],
    )?;
    Ok(())
}
