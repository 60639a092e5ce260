//! What a fresh listing says of what the ledger has: objects that nobody has seen, that changed, that vanished.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::ids::ObjectVersionId;
use crate::known::KnownAccount;
use crate::object::{ListedObject, SkipReason, is_archived};
use crate::spec::{ImportSpec, OverwritePolicy};

/// What is remarkable about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// The configuration lets it in, and the ledger does not have it.
    Unseen,
    /// Rows of it are in the tables, but of another version than the bucket has now.
    Changed,
    /// Rows of it are in the tables, and the bucket does not have it any more. Rows are never removed for that.
    Vanished,
}

impl KeyKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Changed => "changed",
            Self::Vanished => "vanished",
        }
    }
}

/// A key about which there is something to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyFinding {
    pub kind: KeyKind,
    pub key: String,
    /// Of an unseen one: two scans should have shown it.
    pub overdue: bool,
    /// In words: what becomes of it.
    pub note: &'static str,
}

/// What decides whether an object should have been seen by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListingRules {
    /// When the ledger's last complete scan ended.
    pub last_scan_at: Option<Timestamp>,
    /// The longest that two scans and the difference of two clocks may take.
    pub slack: SignedDuration,
}

/// Clocks of S3 and of this machine may differ by so much.
const CLOCKS: SignedDuration = SignedDuration::from_mins(2);
/// An upload in parts shows the time at which it began, and may take a day.
const UPLOAD_IN_PARTS: SignedDuration = SignedDuration::from_hours(24);

impl ListingRules {
    /// `listing`: how long a listing of all keys takes, which is what a scan does.
    pub fn new(spec: &ImportSpec, last_scan_at: Option<Timestamp>, listing: SignedDuration) -> Self {
        let tick = SignedDuration::try_from(spec.tick).unwrap_or(SignedDuration::MAX);
        let slack = tick.max(listing).saturating_mul(2).saturating_add(CLOCKS);
        Self { last_scan_at, slack }
    }

    fn is_overdue(&self, object: &ListedObject) -> bool {
        let in_parts = object.etag.contains('-');
        let since = if in_parts { self.slack.saturating_add(UPLOAD_IN_PARTS) } else { self.slack };
        self.last_scan_at.is_some_and(|scan| scan.duration_since(object.last_modified) > since)
    }
}

/// Whether rows of it were committed, so that another version of its key is a change.
fn is_committed(known: &KnownAccount) -> bool {
    matches!(known.state.as_str(), "ingested" | "quarantined")
}

/// An object that the listing shows, with all that the ledger knows of its key. `id`: that of the listed version.
pub fn judge_listed(
    spec: &ImportSpec,
    rules: &ListingRules,
    object: &ListedObject,
    id: ObjectVersionId,
    known: &[KnownAccount],
) -> Option<KeyFinding> {
    if !spec.selects(&object.key, object.last_modified) {
        return None;
    }
    let finding = |kind, overdue, note| Some(KeyFinding { kind, key: object.key.clone(), overdue, note });
    let listed = known.iter().find(|version| version.id == id);
    let committed = known.iter().any(is_committed);
    match listed {
        Some(version) if is_committed(version) => None,
        Some(version) if committed => finding(KeyKind::Changed, false, becomes(version)),
        Some(_) => None,
        None if committed => finding(KeyKind::Changed, false, unscanned(spec)),
        None if SkipReason::of_listing(&object.key, object.size).is_some() => None,
        None if spec.format_of(&object.key).is_none() => None,
        None if is_archived(object.storage_class.as_deref()) => {
            finding(KeyKind::Unseen, false, "it lies in an archive: restore it to have it read")
        }
        None if rules.is_overdue(object) => {
            finding(KeyKind::Unseen, true, "it is older than the last scans, which did not see it")
        }
        None => finding(KeyKind::Unseen, false, "the next scan should see it"),
    }
}

/// A key that the listing does not show.
pub fn judge_unlisted(known: &[KnownAccount]) -> Option<KeyFinding> {
    let rows = known.iter().find(|version| is_committed(version) && version.account.read > version.account.removed)?;
    let note = "its rows stay; nothing is to be done";
    Some(KeyFinding { kind: KeyKind::Vanished, key: rows.key.clone(), overdue: false, note })
}

fn becomes(version: &KnownAccount) -> &'static str {
    match (version.state.as_str(), version.reason.as_deref()) {
        ("skipped", Some("overwrite")) => "the new version is not read: IMPORT_ON_OVERWRITE is ignore",
        ("skipped", Some("rolled_back")) => "the new version was rolled back",
        ("skipped", _) => "the new version is skipped",
        ("pending" | "claimed", _) => "the new version is going to be read",
        ("failed", _) => "the new version could not be read",
        ("deferred", _) => "the new version lies in an archive",
        _ => "the next scan decides about the new version",
    }
}

fn unscanned(spec: &ImportSpec) -> &'static str {
    match spec.overwrite {
        OverwritePolicy::Ignore => "the next scan sees the new version; IMPORT_ON_OVERWRITE ignore leaves it unread",
        OverwritePolicy::Append => "the next scan sees the new version, which is then read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::spec_for;
    use crate::revision::Account;

    fn known(byte: u8, state: &str, reason: Option<&str>) -> KnownAccount {
        KnownAccount {
            id: ObjectVersionId([byte; 16]),
            key: "in/a.csv".to_owned(),
            etag: "e".to_owned(),
            size: 1,
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
            account: Account { read: 3, in_table: 3, ..Account::default() },
        }
    }

    fn object(etag: &str, second: i64) -> ListedObject {
        ListedObject {
            key: "in/a.csv".to_owned(),
            etag: etag.to_owned(),
            size: 1,
            last_modified: Timestamp::from_second(second).expect("in range"),
            storage_class: None,
        }
    }

    fn judged(object: &ListedObject, known: &[KnownAccount]) -> Option<(KeyKind, bool)> {
        let spec = spec_for("s3://bkt/in/*.csv");
        let rules = ListingRules::new(&spec, Timestamp::from_second(10_000).ok(), SignedDuration::from_secs(100));
        let found = judge_listed(&spec, &rules, object, ObjectVersionId([1; 16]), known)?;
        assert_eq!(found.key, "in/a.csv");
        Some((found.kind, found.overdue))
    }

    #[test]
    fn an_object_that_the_ledger_lacks_is_overdue_once_two_scans_should_have_shown_it() {
        // Two listings of 100 s each and two minutes for the clocks.
        assert_eq!(judged(&object("e", 10_000 - 321), &[]), Some((KeyKind::Unseen, true)));
        assert_eq!(judged(&object("e", 10_000 - 320), &[]), Some((KeyKind::Unseen, false)));
        assert_eq!(judged(&object("e", 20_000), &[]), Some((KeyKind::Unseen, false)));
        assert_eq!(judged(&object("e-5", 1), &[]), Some((KeyKind::Unseen, false)), "an upload in parts");
        let archived = ListedObject { storage_class: Some("GLACIER".to_owned()), ..object("e", 1) };
        assert_eq!(judged(&archived, &[]), Some((KeyKind::Unseen, false)));
        for key in ["in/_a.csv", "in/x/", "out/a.csv", "in/a.txt"] {
            let object = ListedObject { key: key.to_owned(), ..object("e", 1) };
            assert_eq!(judged(&object, &[]), None, "{key}");
        }
    }

    #[test]
    fn only_a_version_that_is_not_committed_beside_one_that_is_counts_as_changed() {
        let now = object("e", 1);
        let cases: &[(&[KnownAccount], Option<KeyKind>)] = &[
            (&[known(1, "ingested", None)], None),
            (&[known(2, "ingested", None), known(1, "ingested", None)], None),
            (&[known(2, "ingested", None), known(1, "skipped", Some("overwrite"))], Some(KeyKind::Changed)),
            (&[known(2, "quarantined", None), known(1, "pending", None)], Some(KeyKind::Changed)),
            (&[known(2, "ingested", None)], Some(KeyKind::Changed)),
            (&[known(1, "pending", None)], None),
            (&[known(2, "failed", None), known(1, "pending", None)], None),
            (&[known(2, "failed", None)], Some(KeyKind::Unseen)),
        ];
        for (versions, expected) in cases {
            assert_eq!(judged(&now, versions).map(|(kind, _)| kind), *expected, "{versions:?}");
        }
    }

    #[test]
    fn what_has_rows_and_is_not_listed_has_vanished() {
        assert_eq!(judge_unlisted(&[known(1, "ingested", None)]).map(|found| found.kind), Some(KeyKind::Vanished));
        assert_eq!(judge_unlisted(&[known(1, "gone", None)]), None);
        let mut expired = known(1, "ingested", None);
        expired.account = Account { read: 3, removed: 3, ..Account::default() };
        assert_eq!(judge_unlisted(&[expired]), None);
    }
}
