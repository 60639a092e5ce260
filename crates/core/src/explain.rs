//! Why an object was ingested or not, by which rule, and what happens to it next: decided from the configuration, what S3
//! shows of the key now, and what the ledger knows of its versions.
//!
//! One [`Inquiry`] is one import's view of one key; [`explain`] answers it with one [`Explanation`].

mod known;
mod next;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;

use crate::ids::{ImportUuid, ObjectVersionId};
use crate::known::KnownVersion;
use crate::object::{ListedObject, SkipReason, is_archived};
use crate::spec::ImportSpec;

pub use self::next::{Running, Standing};

/// What S3 shows of a key now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Now {
    Listed(ListedObject),
    Absent,
    /// S3 could not be asked, and why.
    Unreachable(String),
}

/// A key, as one import sees it.
#[derive(Clone, Debug)]
pub struct Inquiry<'a> {
    pub spec: &'a ImportSpec,
    pub bucket: &'a str,
    pub key: &'a str,
    pub object: Now,
    /// `None`: the ledger has never heard of the import.
    pub import: Option<ImportUuid>,
    /// All that the ledger knows of the key, in any order.
    pub versions: &'a [KnownVersion],
    pub standing: &'a Standing,
    pub now: Timestamp,
}

/// Which rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    OtherBucket,
    /// IMPORT_BUCKET_URI does not match the key.
    NotMatched,
    /// IMPORT_EXCLUDE matches the key.
    Excluded,
    /// Older than IMPORT_FROM_TIMESTAMP.
    TooOld,
    DirectoryMarker,
    Hidden,
    Empty,
    UnknownFormat,
    /// There is no such object, and there never was one.
    NoSuchObject,
    /// No scan has seen it yet.
    NotListed,
    /// S3 cannot be asked, and the ledger does not know the key.
    Unknown,
    Archived,
    /// Waits for its turn.
    Pending,
    /// Could not be read for now; waits to be tried again.
    Deferred,
    /// The process died while it was being read; it is read alone next time.
    Suspect,
    /// A batch has it now.
    Claimed,
    /// All of its rows are in the table.
    Ingested,
    /// Some of its rows are in the table, others in quarantine.
    PartlyQuarantined,
    /// All of its rows are in quarantine.
    Quarantined,
    /// Rows of it moved from quarantine into the table.
    Replayed,
    /// ENGINE_TTL has removed rows of it.
    Expired,
    Failed,
    /// Processes died over it again and again.
    Poison,
    /// Overwritten after an earlier version was ingested.
    Overwritten,
    /// An earlier version was ingested; no scan has seen the new one yet.
    Changed,
    RolledBack,
    /// It failed or lay in quarantine, and a later version of its key took its place.
    Superseded,
    /// It vanished, or changed, before it was read.
    Gone,
    /// It was ingested, and is not in the bucket any more.
    Vanished,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub import: String,
    pub verdict: Verdict,
    /// What is so, in a sentence.
    pub because: String,
    /// What else is worth knowing, a sentence each.
    pub details: Vec<String>,
    /// What happens next, and when.
    pub next: String,
    /// Commands that look closer or change something.
    pub commands: Vec<String>,
    /// Every version that the ledger knows, newest first.
    pub versions: Vec<VersionLine>,
}

/// A version of the key, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionLine {
    /// `_s3_version` of its rows.
    pub version: String,
    pub etag: String,
    pub size: u64,
    pub last_modified: Timestamp,
    pub first_seen: Timestamp,
    pub state: String,
    pub reason: Option<String>,
    pub rows_read: u64,
    pub rows_in_table: u64,
    pub rows_in_quarantine: u64,
    pub rows_removed: u64,
    /// It is what the bucket has now.
    pub current: bool,
}

/// What one rule says.
struct Said {
    verdict: Verdict,
    because: String,
    next: String,
    details: Vec<String>,
    commands: Vec<String>,
}

impl Said {
    fn new(verdict: Verdict, because: impl Into<String>, next: impl Into<String>) -> Self {
        Self { verdict, because: because.into(), next: next.into(), details: Vec::new(), commands: Vec::new() }
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    fn command(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }
}

/// Answers an inquiry.
pub fn explain(inquiry: &Inquiry<'_>) -> Explanation {
    let current = inquiry.current_id();
    let mut versions: Vec<&KnownVersion> = inquiry.versions.iter().collect();
    versions.sort_by_key(|version| std::cmp::Reverse((version.first_seen, version.last_modified)));
    let mut said = said(inquiry, current, &versions);
    if let Now::Unreachable(why) = &inquiry.object {
        said.details.push(format!("S3 could not be asked, so this is what the ledger knows: {why}"));
    }
    Explanation {
        import: inquiry.spec.name.to_string(),
        verdict: said.verdict,
        because: said.because,
        details: said.details,
        next: said.next,
        commands: said.commands,
        versions: versions.iter().map(|version| line(version, current)).collect(),
    }
}

fn said(inquiry: &Inquiry<'_>, current: Option<ObjectVersionId>, versions: &[&KnownVersion]) -> Said {
    let known = match (current, &inquiry.object) {
        (Some(current), _) => versions.iter().find(|version| version.id == current),
        // What the bucket has is not known: the newest version speaks for the key.
        (None, Now::Unreachable(_)) => versions.first(),
        (None, _) => None,
    };
    if let Some(version) = known {
        let mut said = known::of(inquiry, version, versions);
        if let Some(excluded) = excluded(inquiry, version.last_modified) {
            said.details.push(format!("the configuration would not let it in any more: {}", excluded.because));
            if matches!(version.state.as_str(), "pending" | "deferred" | "failed") {
                return excluded;
            }
        }
        return said;
    }
    match &inquiry.object {
        Now::Listed(object) => unknown(inquiry, object, versions),
        Now::Absent => absent(inquiry, versions),
        Now::Unreachable(_) => excluded(inquiry, Timestamp::MAX).unwrap_or_else(|| {
            let because = "the ledger does not know this key";
            Said::new(Verdict::Unknown, because, "ask again once S3 can be reached")
        }),
    }
}

/// An object that the configuration keeps out. Nothing of that is stored: an edit takes effect with the next scan.
fn excluded(inquiry: &Inquiry<'_>, last_modified: Timestamp) -> Option<Said> {
    let spec = inquiry.spec;
    let never = "it is not read unless the configuration changes; the scan after that decides anew";
    if inquiry.bucket != spec.uri.bucket() {
        let because = format!("{} reads the bucket {}, not {}", spec.name, spec.uri.bucket(), inquiry.bucket);
        return Some(Said::new(Verdict::OtherBucket, because, never));
    }
    if !spec.uri.matches(inquiry.key) {
        let because = format!("its key does not match IMPORT_BUCKET_URI {}", spec.uri.as_str());
        return Some(Said::new(Verdict::NotMatched, because, never));
    }
    if let Some(pattern) = spec.excluded_by(inquiry.key) {
        let because = format!("its key matches {} of IMPORT_EXCLUDE", pattern.as_str());
        return Some(Said::new(Verdict::Excluded, because, never));
    }
    match spec.from_timestamp {
        Some(from) if last_modified < from => {
            let because = format!("it was last modified at {last_modified}, before IMPORT_FROM_TIMESTAMP {from}");
            Some(Said::new(Verdict::TooOld, because, never))
        }
        _ => None,
    }
}

/// An object that is there and that the ledger does not know.
fn unknown(inquiry: &Inquiry<'_>, object: &ListedObject, versions: &[&KnownVersion]) -> Said {
    if let Some(said) = excluded(inquiry, object.last_modified) {
        return said;
    }
    if let Some(said) = skipped(inquiry, SkipReason::of_listing(&object.key, object.size)) {
        return said;
    }
    if inquiry.spec.format_of(&object.key).is_none() {
        return format_unknown(inquiry);
    }
    let scan = inquiry.standing.next_scan(inquiry.spec, inquiry.now);
    if let Some(earlier) = versions.iter().find(|version| known::has_rows(version)) {
        let because = format!("an earlier version of it was ingested{}; since then it has changed", known::by(earlier));
        let policy = format!("IMPORT_ON_OVERWRITE is {}", inquiry.spec.overwrite.as_str());
        return Said::new(Verdict::Changed, because, format!("{scan}; {policy}"));
    }
    let because = match inquiry.standing.last_scan_at {
        Some(at) => format!("no scan has seen it yet; the last one ended at {at}"),
        None => "no scan has seen it yet; none was completed so far".to_owned(),
    };
    let said = Said::new(Verdict::NotListed, because, scan);
    match is_archived(object.storage_class.as_deref()) {
        true => said.detail("it lies in an archive: it has to be restored before it can be read"),
        false => said,
    }
}

/// What a reason to skip an object means.
fn skipped(inquiry: &Inquiry<'_>, reason: Option<SkipReason>) -> Option<Said> {
    let never = "it is never read under this key";
    Some(match reason? {
        SkipReason::DirectoryMarker => Said::new(
            Verdict::DirectoryMarker,
            "it marks a folder: keys that end in / or _$folder$ hold no rows",
            never,
        ),
        SkipReason::Hidden => {
            let because = "its name begins with . or _, as names of files do that are not finished or not data";
            Said::new(Verdict::Hidden, because, never)
        }
        SkipReason::Empty => {
            let next = "it is not read as long as it is empty; a scan that sees it with other content decides anew";
            Said::new(Verdict::Empty, "it has no bytes", next)
        }
        SkipReason::UnknownFormat => format_unknown(inquiry),
        // These two say more where the version is known.
        SkipReason::Overwrite | SkipReason::RolledBack => return None,
    })
}

fn format_unknown(inquiry: &Inquiry<'_>) -> Said {
    let because = "neither its suffix nor IMPORT_FORMAT says whether it is CSV, NDJSON or Parquet";
    let next = format!("it is not read unless {}.datasource gets an IMPORT_FORMAT", inquiry.spec.name);
    Said::new(Verdict::UnknownFormat, because, next)
}

/// The key is not in the bucket.
fn absent(inquiry: &Inquiry<'_>, versions: &[&KnownVersion]) -> Said {
    if let Some(version) = versions.iter().find(|version| known::has_rows(version)) {
        let because = format!("it was ingested{}, and is not in the bucket any more", known::by(version));
        let said = Said::new(Verdict::Vanished, because, "its rows stay");
        return known::rows(said, inquiry, version);
    }
    if let Some(version) = versions.first() {
        let ended = match version.reason.as_deref() {
            Some("rolled_back") => "what was ingested of it was rolled back",
            _ => "it was never ingested",
        };
        let seen = version.first_seen;
        let because = format!("it is not in the bucket any more; a scan has seen it first at {seen}, and {ended}");
        let said = Said::new(Verdict::Gone, because, "should it come back, the next scan sees it");
        return known::last_trouble(said, version);
    }
    excluded(inquiry, Timestamp::MAX).unwrap_or_else(|| {
        let next = "should it appear, the next scan sees it; keys are compared letter by letter, case included";
        Said::new(Verdict::NoSuchObject, "there is no such object, and the ledger has never seen one", next)
    })
}

impl Inquiry<'_> {
    /// The object version that the bucket has now.
    fn current_id(&self) -> Option<ObjectVersionId> {
        match &self.object {
            Now::Listed(object) => {
                Some(ObjectVersionId::of(self.import?, self.bucket, &object.key, &object.etag, object.size))
            }
            _ => None,
        }
    }

    /// A command about this import.
    fn command(&self, verb: &str, more: &str) -> String {
        let more = if more.is_empty() { String::new() } else { format!(" {more}") };
        format!("s3-connector {verb} {}{more}", self.spec.name)
    }

    /// A command about this key.
    fn about_key(&self, verb: &str) -> String {
        self.command(verb, &format!("--file {}", quoted(self.key)))
    }
}

fn line(version: &KnownVersion, current: Option<ObjectVersionId>) -> VersionLine {
    VersionLine {
        version: version.id.hex(),
        etag: version.etag.clone(),
        size: version.size,
        last_modified: version.last_modified,
        first_seen: version.first_seen,
        state: version.state.clone(),
        reason: version.reason.clone(),
        rows_read: version.account.read,
        rows_in_table: version.account.in_table,
        rows_in_quarantine: version.account.in_quarantine,
        rows_removed: version.account.removed,
        current: current == Some(version.id),
    }
}

/// A text as one word of a shell.
pub fn quoted(text: &str) -> Cow<'_, str> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-=+:,@%".contains(letter);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}
