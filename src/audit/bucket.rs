//! A fresh listing against the ledger.

use std::hash::{DefaultHasher, Hash, Hasher};

use connector_core::audit::{KeyFinding, KeyKind, ListingRules, judge_listed, judge_unlisted};
use connector_core::error::Failure;
use connector_core::ids::{ImportUuid, ObjectVersionId};
use connector_core::known::KnownAccount;
use connector_core::object::ListedObject;
use connector_core::ports::ObjectSource;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::{Auditor, BucketReport};

/// Findings of each kind that are named.
const NAMED: u64 = 1_000;
/// The id of no object version.
const NOBODY: ObjectVersionId = ObjectVersionId([0; 16]);

/// An object version of the ledger, in 24 bytes.
#[derive(Clone, Copy)]
struct Entry {
    /// Of its key.
    key: u64,
    /// The first bytes of its id.
    id: u64,
    committed: bool,
    listed: bool,
}

/// All object versions, by key. That two keys have one hash is possible; then the ledger is asked, or a vanished object is
/// not noticed.
struct Index(Vec<Entry>);

impl Index {
    fn of_key(&mut self, key: &str) -> &mut [Entry] {
        let key = hash(key);
        let start = self.0.partition_point(|entry| entry.key < key);
        let end = start + self.0[start..].partition_point(|entry| entry.key == key);
        &mut self.0[start..end]
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

fn head(id: ObjectVersionId) -> u64 {
    let mut head = [0; 8];
    head.copy_from_slice(&id.0[..8]);
    u64::from_be_bytes(head)
}

impl Auditor<'_> {
    /// Lists the bucket and compares. Memory: 24 bytes for each object version of the ledger. `import`: its UUID; `None` if
    /// the ledger does not know it.
    ///
    /// # Errors
    /// Those of listing and ledger.
    pub async fn bucket(
        &self,
        source: &dyn ObjectSource,
        import: Option<ImportUuid>,
        last_scan_at: Option<Timestamp>,
    ) -> Result<BucketReport, Failure> {
        let mut index = self.index()?;
        let mut report = BucketReport::default();
        let (started, mut unseen, mut continuation) = (Instant::now(), Vec::new(), None);
        loop {
            let page = source.list_page(self.spec.uri.literal_prefix(), continuation.as_deref()).await?;
            let mut remarkable = Vec::new();
            for object in page.objects {
                let known = index.of_key(&object.key);
                known.iter_mut().for_each(|entry| entry.listed = true);
                if !self.spec.selects(&object.key, object.last_modified) {
                    continue;
                }
                report.objects += 1;
                if !self.is_plain(&object, import, known) {
                    remarkable.push(object);
                }
            }
            self.remark(&mut report, &mut unseen, remarkable, import)?;
            continuation = page.next;
            if continuation.is_none() {
                break;
            }
        }
        let took = SignedDuration::try_from(started.elapsed()).unwrap_or(SignedDuration::MAX);
        let rules = ListingRules::new(self.spec, last_scan_at, took);
        self.judge_unseen(&mut report, &rules, &unseen);
        self.vanished(&mut report, &mut index, import)?;
        Ok(report)
    }

    fn index(&self) -> Result<Index, Failure> {
        let mut entries = Vec::new();
        self.each_account(|known| {
            let committed = matches!(known.state.as_str(), "ingested" | "quarantined");
            entries.push(Entry { key: hash(&known.key), id: head(known.id), committed, listed: false });
        })?;
        entries.sort_unstable_by_key(|entry| entry.key);
        Ok(Index(entries))
    }

    /// Whether there is nothing to say of it, without a look into the ledger.
    fn is_plain(&self, object: &ListedObject, import: Option<ImportUuid>, known: &[Entry]) -> bool {
        let Some(id) = self.id_of(object, import) else { return false };
        let listed = known.iter().find(|entry| entry.id == head(id));
        listed.is_some_and(|listed| listed.committed || known.iter().all(|entry| !entry.committed))
    }

    fn id_of(&self, object: &ListedObject, import: Option<ImportUuid>) -> Option<ObjectVersionId> {
        Some(ObjectVersionId::of(import?, self.spec.uri.bucket(), &object.key, &object.etag, object.size))
    }

    /// Asks the ledger, which may have heard of them since.
    fn remark(
        &self,
        report: &mut BucketReport,
        unseen: &mut Vec<ListedObject>,
        objects: Vec<ListedObject>,
        import: Option<ImportUuid>,
    ) -> Result<(), Failure> {
        if objects.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = objects.iter().map(|object| object.key.clone()).collect();
        let known = self.ledger.keys(&self.spec.name, &keys)?.unwrap_or_default();
        // Whether one is overdue depends on how long the listing takes, which is not known yet.
        let rules = ListingRules { last_scan_at: None, slack: SignedDuration::ZERO };
        for object in objects {
            let id = self.id_of(&object, import).unwrap_or(NOBODY);
            let known = known.get(&object.key).map_or(&[][..], Vec::as_slice);
            match judge_listed(self.spec, &rules, &object, id, known) {
                Some(found) if found.kind == KeyKind::Unseen => {
                    report.unseen += 1;
                    unseen.push(object);
                }
                Some(found) => {
                    report.changed += 1;
                    if report.changed <= NAMED {
                        report.findings.push(found);
                    }
                }
                None => {}
            }
        }
        // The oldest ones are those that may be overdue.
        unseen.sort_by_key(|object| object.last_modified);
        unseen.truncate(NAMED as usize);
        Ok(())
    }

    fn judge_unseen(&self, report: &mut BucketReport, rules: &ListingRules, unseen: &[ListedObject]) {
        let found = unseen.iter().filter_map(|object| judge_listed(self.spec, rules, object, NOBODY, &[]));
        for found in found.collect::<Vec<KeyFinding>>() {
            report.overdue += u64::from(found.overdue);
            report.findings.push(found);
        }
    }

    fn vanished(
        &self,
        report: &mut BucketReport,
        index: &mut Index,
        import: Option<ImportUuid>,
    ) -> Result<(), Failure> {
        if index.0.iter().all(|entry| entry.listed || !entry.committed) {
            return Ok(());
        }
        let (bucket, prefix) = (self.spec.uri.bucket(), self.spec.uri.literal_prefix());
        // What lay in a bucket that the import has read before is not missing from this one.
        let elsewhere = |known: &KnownAccount| {
            let here = import.map(|import| ObjectVersionId::of(import, bucket, &known.key, &known.etag, known.size));
            !known.etag.is_empty() && here != Some(known.id)
        };
        let mut last = None;
        self.each_account(|known| {
            let unlisted = index.of_key(&known.key).iter().any(|entry| !entry.listed);
            // What the listing did not ask for is not missing from it.
            let asked_for = known.key.starts_with(prefix) && !elsewhere(known);
            if !unlisted || !asked_for || last.as_ref() == Some(&known.key) {
                return;
            }
            if let Some(found) = judge_unlisted(std::slice::from_ref(known)) {
                last = Some(known.key.clone());
                report.vanished += 1;
                if report.vanished <= NAMED {
                    report.findings.push(found);
                }
            }
        })?;
        Ok(())
    }
}
