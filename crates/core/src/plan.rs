//! What the next sync of an import would do: which listed objects it would read, and what that costs in requests and time.
//! Pure arithmetic over a listing and what the ledger knows; nobody reads or writes anything here.

mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::claim::{MAX_BATCH_BYTES, MAX_BATCH_FILES};
use crate::ids::ObjectVersionId;
use crate::known::KnownAccount;
use crate::object::{ListedObject, SkipReason, is_archived};
use crate::spec::{Format, ImportSpec, OverwritePolicy};

pub use self::report::{ErrorLine, FilePreview, ImportPlan, NewColumn, SampleReport};

/// What becomes of a listed object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The next sync reads it.
    Read(Format),
    /// It is left out; the bounded label of the reason.
    Left(&'static str),
}

/// Decides about one object of the listing, as scan and claim would. `id`: that of the listed version; `None` if the
/// ledger does not know the import. `known`: what the ledger has of its key.
pub fn judge(spec: &ImportSpec, object: &ListedObject, id: Option<ObjectVersionId>, known: &[KnownAccount]) -> Fate {
    if let Some(left) = unselected(spec, object) {
        return Fate::Left(left);
    }
    let listed = known.iter().find(|version| Some(version.id) == id);
    let another_ingested = known.iter().any(|version| Some(version.id) != id && version.state == "ingested");
    let archived = is_archived(object.storage_class.as_deref());
    if let Some(version) = listed {
        match version.state.as_str() {
            "ingested" => return Fate::Left("ingested"),
            "quarantined" => return Fate::Left("quarantined"),
            "failed" => return Fate::Left("failed"),
            "skipped" if version.reason.as_deref() == Some(SkipReason::RolledBack.code()) => {
                return Fate::Left(SkipReason::RolledBack.code());
            }
            _ => {}
        }
    }
    let skip = SkipReason::of_listing(&object.key, object.size);
    match (skip, spec.format_of(&object.key)) {
        (Some(reason), _) => Fate::Left(reason.code()),
        (None, None) => Fate::Left(SkipReason::UnknownFormat.code()),
        _ if another_ingested && spec.overwrite == OverwritePolicy::Ignore => Fate::Left(SkipReason::Overwrite.code()),
        _ if archived => Fate::Left("archived"),
        (None, Some(format)) => Fate::Read(format),
    }
}

/// Why the configuration does not let an object in: `not_matched`, `excluded` or `too_old`.
pub fn unselected(spec: &ImportSpec, object: &ListedObject) -> Option<&'static str> {
    if !spec.uri.matches(&object.key) {
        return Some("not_matched");
    }
    if spec.excluded_by(&object.key).is_some() {
        return Some("excluded");
    }
    spec.from_timestamp.is_some_and(|from| object.last_modified < from).then_some("too_old")
}

/// So many files with so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    pub files: u64,
    /// As they are stored.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// The sums of a listing, in constant memory but for the first files.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Pages listed, and objects on them.
    pub pages: u64,
    pub objects: u64,
    /// What would be read.
    pub read: Amount,
    pub by_format: BTreeMap<&'static str, Amount>,
    /// What would not, by reason.
    pub left: BTreeMap<&'static str, u64>,
    /// GET requests for what would be read.
    pub gets: u64,
    /// The first files in the order of claims, with their formats.
    first: Vec<(ListedObject, Format)>,
    keep: usize,
}

impl Tally {
    /// Keeps the first `keep` files.
    pub fn new(keep: usize) -> Self {
        Self {
            pages: 0,
            objects: 0,
            read: Amount::default(),
            by_format: BTreeMap::new(),
            left: BTreeMap::new(),
            gets: 0,
            first: Vec::new(),
            keep,
        }
    }

    /// Counts an object. `gets`: the GET requests that reading it would take.
    pub fn count(&mut self, object: ListedObject, fate: Fate, gets: impl FnOnce(&ListedObject, Format) -> u64) {
        self.objects += 1;
        let format = match fate {
            Fate::Left(reason) => return *self.left.entry(reason).or_default() += 1,
            Fate::Read(format) => format,
        };
        self.gets += gets(&object, format);
        self.read.add(object.size);
        self.by_format.entry(format.as_str()).or_default().add(object.size);
        let before = |known: &(ListedObject, Format)| {
            (known.0.last_modified, known.0.key.as_str()) < (object.last_modified, object.key.as_str())
        };
        let place = self.first.partition_point(before);
        if place < self.keep {
            self.first.insert(place, (object, format));
            self.first.truncate(self.keep);
        }
    }

    /// The first files in the order of claims.
    pub fn first(&self) -> &[(ListedObject, Format)] {
        &self.first
    }
}

/// What a way of reading the files costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    pub batches: u64,
    pub list_requests: u64,
    pub get_requests: u64,
    /// How long ticks have it last at least; `None` on demand, where nothing but the machine is the limit.
    pub seconds: Option<u64>,
}

/// By `@auto`: so many files a tick, and a scan in each. `pages`: those of one scan.
pub fn at_cap(read: Amount, gets: u64, pages: u64, max_files: u32, tick: Duration) -> Cost {
    let ticks = read.files.div_ceil(u64::from(max_files.max(1)));
    let seconds = tick.as_secs_f64() * ticks as f64;
    Cost {
        batches: ticks,
        list_requests: pages.saturating_mul(ticks.max(1)),
        get_requests: gets,
        seconds: Some(seconds.ceil() as u64),
    }
}

/// By one sync on demand: one scan, and batches as large as they may be.
pub fn on_demand(read: Amount, gets: u64, pages: u64) -> Cost {
    let batches = read.files.div_ceil(MAX_BATCH_FILES as u64).max(read.bytes.div_ceil(MAX_BATCH_BYTES));
    Cost { batches: batches.min(read.files), list_requests: pages, get_requests: gets, seconds: None }
}
