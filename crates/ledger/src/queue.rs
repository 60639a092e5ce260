//! The place of a key in the order of claims, for people.

use connector_core::claim::TickState;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::codec;
use crate::error::Result;
use crate::import::Import;

/// Where a key stands in the backlog of its import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Files that are claimed before it, by today's backlog; `None` if no version of it could be claimed now.
    pub ahead: Option<u64>,
    /// The throttle, as the last throttled claim left it.
    pub tick: TickState,
}

pub(crate) const WAITING: &str = "SELECT id, last_modified, not_before FROM object
     WHERE bucket = ?1 AND key = ?2 AND state = 'pending' AND (not_before IS NULL OR not_before <= ?3)
     ORDER BY id DESC LIMIT 1";
/// Both walk an index that holds nothing but the backlog.
pub(crate) const DUE_BEFORE: &str = "SELECT COUNT(*) FROM object
     WHERE bucket = ?1 AND state = 'pending' AND not_before <= ?2
        AND (?3 IS NULL OR (not_before, last_modified, key) < (?3, ?4, ?5))";
pub(crate) const FRESH_BEFORE: &str = "SELECT COUNT(*) FROM object
     WHERE bucket = ?1 AND state = 'pending' AND not_before IS NULL AND (last_modified, key) < (?2, ?3)";

/// Walks that part of the backlog which is claimed before the key.
pub(crate) fn of_key(db: &Connection, import: &Import, key: &str, now: Timestamp) -> Result<Queue> {
    let now = codec::micros(now);
    let waiting: Option<(i64, Option<i64>)> = db
        .prepare_cached(WAITING)?
        .query_row(params![import.bucket, key, now], |row| Ok((row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((last_modified, not_before)) = waiting else { return Ok(Queue { ahead: None, tick: import.tick }) };
    let due: i64 = db
        .prepare_cached(DUE_BEFORE)?
        .query_row(params![import.bucket, now, not_before, last_modified, key], |row| row.get(0))?;
    let fresh: i64 = match not_before {
        Some(_) => 0,
        None => {
            db.prepare_cached(FRESH_BEFORE)?.query_row(params![import.bucket, last_modified, key], |row| row.get(0))?
        }
    };
    Ok(Queue { ahead: Some(codec::amount(due + fresh)?), tick: import.tick })
}

#[cfg(test)]
mod tests {
    use crate::tests::{House, at, deferred, ingested, object, throttled};

    use super::*;

    #[test]
    fn files_are_told_how_many_are_claimed_before_them() {
        let mut house = House::new();
        house.page(&[object("c", "1", 3), object("a", "1", 1), object("b", "1", 2), object("d", "1", 4)]);
        let batch = house.claim(throttled(1), 1_000).batch.expect("a batch");
        assert_eq!(&*batch.files[0].key, "a");
        house.commit(&batch, |_| Some(ingested()), 1_000);
        let queue = |house: &House, key: &str, now| {
            let (import, key) = (house.import.clone(), key.to_owned());
            let job = move |db: &Connection| {
                let import = Import::load(db, import.as_str())?.expect("the import");
                of_key(db, &import, &key, at(now))
            };
            crate::tests::wait(house.ledger.read("look", job)).expect("reads")
        };
        let ahead = |house: &House, key: &str, now| queue(house, key, now).ahead;
        assert_eq!(
            ["a", "b", "c", "d", "e"].map(|key| ahead(&house, key, 1_000)),
            [None, Some(0), Some(1), Some(2), None]
        );
        assert_eq!(
            (queue(&house, "b", 1_000).tick.claimed, queue(&house, "b", 1_000).tick.started_at),
            (1, Some(at(1_000)))
        );

        // What was put off comes first once it is due, and nowhere before that.
        let batch = house.claim(throttled(2), 1_001).batch.expect("a batch");
        assert_eq!(&*batch.files[0].key, "b");
        house.settle(&batch, |_| Some(deferred(2_000)), 1_001);
        assert_eq!(["b", "c", "d"].map(|key| ahead(&house, key, 1_999)), [None, Some(0), Some(1)]);
        assert_eq!(["b", "c", "d"].map(|key| ahead(&house, key, 2_000)), [Some(0), Some(1), Some(2)]);
    }
}
