//! Writing listing pages: what is new, what is known, what came back, what was overwritten.
//!
//! A page says what a key holds now. So every other version of that key which nobody has read yet cannot be read any
//! more, and is `gone`; and a version that was written off because it had vanished or lay in an archive is admitted
//! again when it shows up. One that is never what its page says (a proxy that alters ETags, say) comes back ever later:
//! admitted at once each time, it would be first in the order of claims for ever and use up the throttle.

use connector_core::ids::ObjectVersionId;
use connector_core::object::{ListedObject, SkipReason, is_archived};
use connector_core::ports::{PageOutcome, SelectedObject};
use connector_core::spec::OverwritePolicy;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};

use crate::codec;
use crate::error::Result;
use crate::import::Import;
use crate::overwrite::OVERWRITE;

/// The reason of objects in an archive.
const ARCHIVED: &str = "archived";

/// How long a version waits that was not what its page said for the second time; twice as long each time after that.
const FIRST_RETURN: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_RETURN: SignedDuration = SignedDuration::from_hours(1);

/// When a version may be read again that has vanished and is shown again, given how often it was tried before: at once
/// the first time, which is `None`.
fn returns_at(attempts: u32, now: Timestamp) -> Option<Timestamp> {
    let doublings = attempts.checked_sub(1)?;
    let wait = FIRST_RETURN.saturating_mul(1 << doublings.min(16)).min(LONGEST_RETURN);
    Some(now.saturating_add(wait).unwrap_or(Timestamp::MAX))
}

/// Where an object that a page shows belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Pending,
    Skipped(SkipReason),
    Archived,
    /// Another version of its key is ingested: it is let in once the scan is complete.
    Held,
}

impl Standing {
    /// Once a version of a key is ingested, the policy says whether another one is read. One that failed, or went to
    /// quarantine as a whole, holds nothing back: whoever put the new version there has mended the file. Nor does one that
    /// was rolled back.
    fn of(selected: &SelectedObject, another_ingested: bool, policy: OverwritePolicy) -> Self {
        match (selected.skip, policy) {
            (Some(reason), _) => Self::Skipped(reason),
            (None, OverwritePolicy::Ignore) if another_ingested => Self::Skipped(SkipReason::Overwrite),
            _ if is_archived(selected.object.storage_class.as_deref()) => Self::Archived,
            _ if another_ingested => Self::Held,
            _ => Self::Pending,
        }
    }

    fn state(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Skipped(_) => "skipped",
            Self::Archived | Self::Held => "deferred",
        }
    }

    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Pending => None,
            Self::Skipped(reason) => Some(reason.code()),
            Self::Archived => Some(ARCHIVED),
            Self::Held => Some(OVERWRITE),
        }
    }

    fn count(self, outcome: &mut PageOutcome) {
        match self {
            Self::Pending => outcome.new += 1,
            Self::Skipped(_) => outcome.skipped += 1,
            Self::Archived | Self::Held => outcome.deferred += 1,
        }
    }
}

/// A version of a key as the ledger knows it.
struct Version {
    id: i64,
    etag: String,
    size: i64,
    last_modified: i64,
    state: String,
    reason: Option<String>,
    attempts: u32,
    /// Only the tables know it, by this id; ETag and size are missing.
    adopted: Option<[u8; 16]>,
}

impl Version {
    fn is(&self, import: &Import, bucket: &str, selected: &SelectedObject) -> bool {
        let ListedObject { key, etag, size, .. } = &selected.object;
        match self.adopted {
            Some(id) => ObjectVersionId::of(import.uuid, bucket, key, etag, *size).0 == id,
            None => self.etag == *etag && self.size == codec::stored(*size),
        }
    }

    /// Whether a read found that it was not there. What is gone for another reason was not tried.
    fn vanished(&self) -> bool {
        self.state == "gone" && self.reason.is_none()
    }

    /// Whether a page that shows this version again changes its state. Claimed, ingested, quarantined and failed versions
    /// stay what they are, and so do those that wait and can still be read.
    fn yields_to(&self, standing: Standing) -> bool {
        match (self.state.as_str(), standing) {
            ("gone", _) => true,
            ("deferred", standing) => (standing.state(), standing.reason()) != ("deferred", self.reason.as_deref()),
            // One that was let in stays in, though it would be held if it were new.
            ("pending", standing) => {
                matches!(standing, Standing::Archived | Standing::Skipped(SkipReason::Overwrite))
            }
            // The configuration may have learnt to read it. What was rolled back waits to be asked for.
            ("skipped", Standing::Pending | Standing::Archived | Standing::Held) => {
                self.reason.as_deref() != Some(SkipReason::RolledBack.code())
            }
            _ => false,
        }
    }
}

/// `new`, `known`, `skipped` and `deferred` of the outcome add up to the page; `late` is part of the first and the
/// last of these.
pub(crate) fn record(db: &Connection, import: &Import, page: &[SelectedObject], now: Timestamp) -> Result<PageOutcome> {
    let mut outcome = PageOutcome::default();
    let bucket = import.bucket_name(db)?;
    for selected in page {
        let versions = versions(db, import.bucket, &selected.object.key)?;
        let is_it = |version: &Version| version.is(import, &bucket, selected);
        let (known, others): (Vec<_>, Vec<_>) = versions.into_iter().partition(is_it);
        for other in others.iter().filter(|other| matches!(other.state.as_str(), "pending" | "deferred")) {
            supersede(db, other.id)?;
        }
        let another_ingested = others.iter().any(|other| other.state == "ingested");
        let standing = Standing::of(selected, another_ingested, import.overwrite);
        match known.first() {
            None => {
                insert(db, import, selected, standing, now)?;
                standing.count(&mut outcome);
                outcome.late += u64::from(is_late(import, selected, standing));
            }
            Some(version) => {
                if version.adopted.is_some() {
                    recognise(db, import, version, selected, now)?;
                }
                let changes = version.yields_to(standing);
                touch(db, version, selected, changes.then_some(standing), now)?;
                if changes { standing.count(&mut outcome) } else { outcome.known += 1 }
            }
        }
    }
    if outcome.late > 0 {
        db.prepare_cached("UPDATE import SET late_count = late_count + ?2 WHERE id = ?1")?
            .execute(params![import.id, codec::stored(outcome.late)])?;
    }
    Ok(outcome)
}

fn is_late(import: &Import, selected: &SelectedObject, standing: Standing) -> bool {
    let position = (codec::micros(selected.object.last_modified), &selected.object.key);
    let below = import.watermark.as_ref().is_some_and(|(time, key)| position <= (*time, key));
    below && !matches!(standing, Standing::Skipped(_))
}

pub(crate) const VERSIONS: &str = "SELECT id, etag, size, last_modified, state, reason, attempts, version FROM object
     WHERE bucket = ?1 AND key = ?2";

fn versions(db: &Connection, bucket: i64, key: &str) -> Result<Vec<Version>> {
    let mut statement = db.prepare_cached(VERSIONS)?;
    let rows = statement.query_map(params![bucket, key], |row| {
        Ok(Version {
            id: row.get(0)?,
            etag: row.get(1)?,
            size: row.get(2)?,
            last_modified: row.get(3)?,
            state: row.get(4)?,
            reason: row.get(5)?,
            attempts: row.get(6)?,
            adopted: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn insert(
    db: &Connection,
    import: &Import,
    selected: &SelectedObject,
    standing: Standing,
    now: Timestamp,
) -> Result<()> {
    let object = &selected.object;
    db.prepare_cached(
        "INSERT INTO object (bucket, key, etag, size, last_modified, state, reason, first_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        import.bucket,
        object.key,
        object.etag,
        codec::stored(object.size),
        codec::micros(object.last_modified),
        standing.state(),
        standing.reason(),
        codec::micros(now),
    ])?;
    Ok(())
}

/// A version that only the tables knew: now all of it is known. Its size counts from now on.
fn recognise(
    db: &Connection,
    import: &Import,
    version: &Version,
    selected: &SelectedObject,
    now: Timestamp,
) -> Result<()> {
    let size = codec::stored(selected.object.size);
    db.prepare_cached("UPDATE object SET etag = ?2, size = ?3, first_seen = ?4, version = NULL WHERE id = ?1")?
        .execute(params![version.id, selected.object.etag, size, codec::micros(now)])?;
    db.prepare_cached("UPDATE tally SET bytes = bytes + ?3 WHERE bucket = ?1 AND state = ?2 AND waiting = 0")?
        .execute(params![import.bucket, version.state, size - version.size])?;
    Ok(())
}

/// Brings a known version up to date; most pages find nothing to write.
fn touch(
    db: &Connection,
    version: &Version,
    selected: &SelectedObject,
    standing: Option<Standing>,
    now: Timestamp,
) -> Result<()> {
    let last_modified = codec::micros(selected.object.last_modified);
    if let Some(standing) = standing {
        let returns = version.vanished() && standing == Standing::Pending;
        let not_before = if returns { returns_at(version.attempts, now) } else { None };
        db.prepare_cached(
            "UPDATE object SET state = ?2, reason = ?3, last_modified = ?4, not_before = ?5, attempts = attempts + ?6,
                reclaimed = 0 WHERE id = ?1",
        )?
        .execute(params![
            version.id,
            standing.state(),
            standing.reason(),
            last_modified,
            not_before.map(codec::micros),
            returns,
        ])?;
    } else if version.last_modified != last_modified {
        db.prepare_cached("UPDATE object SET last_modified = ?2 WHERE id = ?1")?
            .execute(params![version.id, last_modified])?;
    }
    Ok(())
}

fn supersede(db: &Connection, object: i64) -> Result<()> {
    db.prepare_cached(
        "UPDATE object SET state = 'gone', reason = 'superseded', not_before = NULL, reclaimed = 0 WHERE id = ?1",
    )?
    .execute([object])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_is_what_its_page_says_returns_at_once_and_then_ever_later_up_to_an_hour() {
        let seconds = |attempts| returns_at(attempts, Timestamp::UNIX_EPOCH).map(Timestamp::as_second);
        let waits = [0, 1, 2, 3, 7, 8, 9, u32::MAX].map(seconds);
        let expected = [None, Some(30), Some(60), Some(120), Some(1_920), Some(3_600), Some(3_600), Some(3_600)];
        assert_eq!(waits, expected);
        assert_eq!(returns_at(9, Timestamp::MAX), Some(Timestamp::MAX));
    }
}
