//! An import is forgotten.

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Result;

/// What refers to others goes before them. ?1 is the import.
const STEPS: [&str; 12] = [
    "DELETE FROM reading WHERE batch IN (SELECT id FROM batch WHERE import = ?1)",
    "DELETE FROM member WHERE batch IN (SELECT id FROM batch WHERE import = ?1)",
    "DELETE FROM staged_file WHERE batch IN (SELECT id FROM batch WHERE import = ?1)",
    "DELETE FROM file_result WHERE batch IN (SELECT id FROM batch WHERE import = ?1)",
    "DELETE FROM batch_outcome WHERE import = ?1",
    "DELETE FROM schema_version WHERE import = ?1",
    "DELETE FROM adopted WHERE object IN
        (SELECT object.id FROM object JOIN bucket ON bucket.id = object.bucket WHERE bucket.import = ?1)",
    "DELETE FROM object WHERE bucket IN (SELECT id FROM bucket WHERE import = ?1)",
    "DELETE FROM tally WHERE bucket IN (SELECT id FROM bucket WHERE import = ?1)",
    "DELETE FROM batch WHERE import = ?1",
    "UPDATE import SET bucket = NULL WHERE id = ?1",
    "DELETE FROM bucket WHERE import = ?1",
];

/// Removes all rows of the import of this name. Says whether there were any.
pub(crate) fn forget(db: &Connection, name: &str) -> Result<bool> {
    let accepted = db.execute("DELETE FROM origin WHERE name = ?1", params![name])?;
    let import: Option<i64> =
        db.query_row("SELECT id FROM import WHERE name = ?1", params![name], |row| row.get(0)).optional()?;
    let Some(import) = import else { return Ok(accepted > 0) };
    for step in STEPS {
        db.execute(step, params![import])?;
    }
    db.execute("DELETE FROM import WHERE id = ?1", params![import])?;
    Ok(true)
}
