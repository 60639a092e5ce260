//! How single values are stored, and read back with suspicion. What is stored as JSON is in [`crate::json`].

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use connector_core::revision::{BatchKind, RowDigest};
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::{LedgerError, Result};

pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

pub(crate) fn time(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| corrupt("a time out of range"))
}

pub(crate) fn optional_time(micros: Option<i64>) -> Result<Option<Timestamp>> {
    micros.map(time).transpose()
}

/// SQLite integers are signed. No size or count of ours comes near the end of their range, so the end stands for
/// everything beyond.
pub(crate) fn stored(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

pub(crate) fn amount(stored: i64) -> Result<u64> {
    u64::try_from(stored).map_err(|_| corrupt("a negative amount"))
}

pub(crate) fn uuid(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}

pub(crate) fn kind(text: &str) -> Result<BatchKind> {
    BatchKind::parse(text).ok_or_else(|| corrupt("a kind of batch that does not exist"))
}

/// None is the sum of no rows.
pub(crate) fn digest(bytes: Option<[u8; 16]>) -> RowDigest {
    bytes.and_then(|bytes| RowDigest::from_bytes(&bytes)).unwrap_or_default()
}

pub(crate) fn corrupt(what: &str) -> LedgerError {
    LedgerError::Corrupt { what: what.to_owned() }
}

/// Error codes are bounded labels with static life; this gives one that was read back its static life again. What it
/// leaks is bounded by the number of codes.
pub(crate) fn code(text: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(code) = known.get(text) {
        return code;
    }
    let code: &'static str = String::from(text).leak();
    known.insert(code);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_read_back_is_leaked_once() {
        assert!(std::ptr::eq(code("object_gone"), code("object_gone")));
        assert_eq!(code("object_changed"), "object_changed");
    }
}
