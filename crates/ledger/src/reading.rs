//! Reading marks: which files were being parsed when the process died.

use std::collections::HashMap;

use connector_core::ids::ObjectVersionId;
use rusqlite::{Connection, params};

use crate::batch::OpenRow;
use crate::error::Result;
use crate::import::Import;
use crate::results;

/// Marks what is about to be parsed, and takes the marks from what is done with.
pub(crate) fn mark(
    db: &Connection,
    import: &Import,
    started: &[ObjectVersionId],
    finished: &[ObjectVersionId],
) -> Result<()> {
    let Some(open) = OpenRow::load(db, import)? else {
        // What was being read when its batch was closed has lost its marks with it.
        return if started.is_empty() { Ok(()) } else { Err(import.protocol("files are read and no batch is open")) };
    };
    if open.staged && !started.is_empty() {
        return Err(import.protocol(format!("batch {} is staged, so its files are read already", open.seq)));
    }
    let members: HashMap<ObjectVersionId, i64> =
        results::members(db, import, &open)?.into_iter().map(|(id, member)| (id, member.object)).collect();
    let mut unmark = db.prepare_cached("DELETE FROM reading WHERE batch = ?1 AND object = ?2")?;
    for object in finished.iter().filter_map(|id| members.get(id)) {
        unmark.execute(params![open.id, object])?;
    }
    let mut mark = db.prepare_cached("INSERT INTO reading (batch, object) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?;
    for id in started {
        let Some(object) = members.get(id) else {
            return Err(import.protocol(format!("object version {id:?} is not in batch {}", open.seq)));
        };
        mark.execute(params![open.id, object])?;
    }
    Ok(())
}

/// Takes the marks from all files of the batch: it ends by the hand of a process that lives.
pub(crate) fn clear(db: &Connection, batch: i64) -> Result<()> {
    db.prepare_cached("DELETE FROM reading WHERE batch = ?1")?.execute([batch])?;
    Ok(())
}

pub(crate) const SUSPECT: &str =
    "UPDATE object SET suspect = 1 WHERE id IN (SELECT object FROM reading WHERE batch = ?1)";

/// The ledger is opened: what still has a mark was being read when the process died.
pub(crate) fn suspect(db: &Connection, import: &Import) -> Result<()> {
    if let Some(open) = OpenRow::load(db, import)?.filter(|open| !open.staged) {
        db.prepare_cached(SUSPECT)?.execute([open.id])?;
        clear(db, open.id)?;
    }
    Ok(())
}
