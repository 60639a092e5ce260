//! A life of an import, step by step: the ledger, held against the plain model and against the promises themselves.

use std::collections::{BTreeMap, BTreeSet};

use connector_core::ids::{ImportUuid, ObjectVersionId};
use connector_core::object::SkipReason;
use connector_core::ports::{AddedColumn, Retry};
use connector_core::revision::{BatchKind, KeyedVersion, Revision, RowDigest};
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;

use super::model::{End, Listed, Model, Object, Staged};
use super::*;

/// Files a throttled claim of these tests may take in a tick.
const CAP: u32 = 2;

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Page(Vec<Listed>),
    FinishScan,
    Claim {
        throttled: bool,
    },
    /// One number for each file of the open batch decides how it ends.
    Stage(Vec<u8>),
    Finalise,
    Settle(Vec<u8>),
    Abandon,
    Trip,
    Pause(bool),
    Wait(i64),
    Reopen,
    /// The machine dies: what is on disk is all that there is.
    Crash,
    /// An import's actors start, with this policy for overwritten keys.
    OpenImport {
        append: bool,
    },
    /// One number for each file of the open batch: it begins to be read, is done with, or nothing happens.
    Mark(Vec<u8>),
    Replay,
    /// Of the committed batch at that place.
    Rollback(u8),
    Expire,
    RetryFailed,
    RetryKey(u8),
    RetryRolledBack(u8),
    /// The table is so many batches behind.
    Reread(u8),
    /// The table is asked what it has, which is what the ledger says.
    Adopt,
}

/// The ledger, the model of it, and what has to hold whatever the model says.
pub(crate) struct Life {
    dir: tempfile::TempDir,
    pub house: House,
    pub model: Model,
    pub now: i64,
    pub batch: Option<ClaimedBatch>,
    pub kind: BatchKind,
    uuid: ImportUuid,
    /// By the end of the tick: distinct files that counted in it.
    ticks: BTreeMap<Timestamp, BTreeSet<ObjectName>>,
    pub ever_ingested: BTreeSet<ObjectName>,
}

pub(crate) type ObjectName = (String, String);

impl Life {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = House::at(dir.path());
        let schema = TableSchema::new(vec![Column::nullable("n", ColumnType::Int64)]);
        wait(house.ledger.table_created(&house.import, &schema, at(1_000))).unwrap();
        let (ticks, ever_ingested, uuid) = (BTreeMap::new(), BTreeSet::new(), look(&house).uuid);
        Self {
            dir,
            house,
            model: Model::default(),
            now: 1_000,
            batch: None,
            ticks,
            kind: BatchKind::Ingest,
            uuid,
            ever_ingested,
        }
    }

    pub fn take(&mut self, step: Step) {
        let before = self.model.watermark.clone();
        match step {
            Step::Page(page) => self.page(&page),
            Step::FinishScan => {
                assert_eq!(self.house.finish_scan(self.now), None);
                self.model.finish_scan();
            }
            Step::Claim { throttled } => self.claim(throttled),
            Step::Stage(ends) => self.stage(&ends),
            Step::Finalise => self.finalise(),
            Step::Settle(ends) => self.settle(&ends),
            Step::Abandon => self.abandon(),
            Step::Trip => self.trip(),
            Step::Pause(paused) => {
                wait(self.house.ledger.set_paused(&self.house.import, paused)).unwrap();
                self.model.pause(paused);
            }
            Step::Wait(seconds) => self.now += seconds,
            Step::Reopen => self.reopen(),
            Step::Crash => self.crash(),
            Step::OpenImport { append } => self.open_import(append),
            Step::Mark(numbers) => self.mark(&numbers),
            Step::Replay => self.replay(),
            Step::Rollback(place) => self.rollback(place),
            Step::Expire => self.expire(),
            Step::RetryFailed => self.retry(&Retry::Failed, |model, n| model.failed_or_waits(n)),
            Step::RetryKey(key) => self.retry_key(key),
            Step::RetryRolledBack(place) => self.retry_rolled_back(place),
            Step::Reread(behind) => self.reread(i64::from(behind)),
            Step::Adopt => self.adopt(),
        }
        self.check(before);
    }

    fn page(&mut self, page: &[Listed]) {
        let selected: Vec<_> = page
            .iter()
            .map(|listed| {
                let mut selected = object(&listed.key, &listed.etag, listed.modified);
                if listed.archived {
                    selected = archived(selected);
                }
                selected.skip = listed.hidden.then_some(SkipReason::Hidden);
                selected
            })
            .collect();
        let got = self.house.page_at(&selected, self.now);
        assert_eq!([got.new, got.known, got.skipped, got.late, got.deferred], self.model.page(page, self.now));
    }

    fn claim(&mut self, throttle: bool) {
        let limit = if throttle { throttled(CAP) } else { ClaimLimit::Unlimited };
        if self.model.is_open() {
            self.house.try_claim(limit, self.now).unwrap_err();
            return;
        }
        let free: BTreeSet<_> = self.model.objects.iter().filter(|object| object.reclaimed).map(name).collect();
        let (expected, _) = self.model.claim(throttle.then_some(CAP), self.now);
        let answer = self.house.claim(limit, self.now);
        let got: Vec<ObjectName> = answer.batch.iter().flat_map(|batch| &batch.files).map(file_name).collect();
        assert_eq!(got, expected.iter().map(|&n| name(&self.model.objects[n])).collect::<Vec<_>>());
        let backlog = self.model.claimable(self.now).len() as u64;
        assert_eq!((answer.backlog_files, answer.backlog_bytes), (backlog, backlog * 10));
        assert_eq!(answer.batch.as_ref().map_or(self.model.committed + 1, |batch| batch.seq), self.model.committed + 1);
        if let Some(tick) = answer.tick_ends_at {
            let counted = self.ticks.entry(tick).or_default();
            counted.extend(got.into_iter().filter(|file| !free.contains(file)));
            assert!(counted.len() <= CAP as usize, "{counted:?}");
        }
        let mut superseded: Vec<ObjectName> = Vec::new();
        if let Some(batch) = &answer.batch {
            superseded.extend(batch.supersedes.iter().map(|(_, other)| self.name_of(other.id)));
            self.model.label = batch.id.to_string();
        }
        let better = expected.iter().flat_map(|&n| self.model.superseded_by(n));
        assert_eq!(superseded, better.map(|n| name(&self.model.objects[n])).collect::<Vec<_>>());
        self.kind = BatchKind::Ingest;
        self.batch = answer.batch;
    }

    pub fn id_of(&self, n: usize) -> ObjectVersionId {
        let object = &self.model.objects[n];
        ObjectVersionId::of(self.uuid, BUCKET, &object.key, &object.etag, 10)
    }

    fn name_of(&self, id: ObjectVersionId) -> ObjectName {
        let n = (0..self.model.objects.len()).find(|&n| self.id_of(n) == id).unwrap();
        name(&self.model.objects[n])
    }

    /// Ends for the open batch from random numbers; what gets none is left out.
    fn ends(&self, numbers: &[u8], with_rows: bool) -> Vec<(usize, End)> {
        let open = self.model.revised.clone().or_else(|| self.model.open.clone()).unwrap_or_default();
        let numbers_of = open.into_iter().zip(numbers.iter().cycle());
        let end = |(n, number): (usize, &u8)| Some((n, self.end_of(n, *number, with_rows)?));
        let mut ends: Vec<_> = numbers_of.filter_map(end).collect();
        if self.kind == BatchKind::Ingest && with_rows {
            let committed = |(_, end): &&(usize, End)| matches!(end, End::Ingested { .. } | End::Quarantined { .. });
            let better: Vec<usize> = ends.iter().filter(committed).map(|(n, _)| *n).collect();
            for other in better.into_iter().flat_map(|n| self.model.superseded_by(n)) {
                ends.push((other, End::Superseded { bad: self.model.account(other).in_quarantine }));
            }
        }
        if numbers[0] % 2 == 1 {
            ends.reverse();
        }
        ends
    }

    fn end_of(&self, n: usize, number: u8, with_rows: bool) -> Option<End> {
        let rows = |count: u64| if with_rows { count } else { 0 };
        let account = self.model.account(n);
        let deferred = End::Deferred { until: self.now + 100 - i64::from(number) * 12, died: number.is_multiple_of(2) };
        let expired = rows(account.in_table.min(u64::from(number)));
        Some(match (self.kind, number) {
            (_, 11..) => return None,
            (BatchKind::Ingest, 0 | 1) => End::Ingested { rows: rows(7), bad: 0 },
            (BatchKind::Ingest, 2) => End::Ingested { rows: rows(5), bad: rows(2) },
            (BatchKind::Ingest, 9 | 10) => End::Quarantined { bad: rows(4) },
            (BatchKind::Replay, 0..=2 | 9 | 10) => {
                End::Replayed { rows: rows(account.in_quarantine.min(u64::from(number))) }
            }
            (BatchKind::Ingest | BatchKind::Replay, 3) => End::Failed,
            (BatchKind::Ingest | BatchKind::Replay, 4) => End::Gone,
            (BatchKind::Ingest | BatchKind::Replay, _) => deferred,
            (BatchKind::Rollback, _) if with_rows => {
                End::RolledBack { rows: account.in_table, bad: account.in_quarantine }
            }
            (BatchKind::Rollback, _) => return None,
            (BatchKind::Expiry, _) => {
                End::Expired { rows: expired, digest: RowDigest::of_first(self.id_of(n), expired) }
            }
        })
    }

    /// In the order of the ends.
    pub fn results(&self, ends: &[(usize, End)]) -> Vec<FileResult> {
        let result = |(n, end): &(usize, End)| {
            let outcome = match *end {
                End::Ingested { rows, bad } => FileOutcome::Ingested { rows, rows_quarantined: bad },
                End::Quarantined { bad } => {
                    FileOutcome::Quarantined { code: "missing_column", message: "n".into(), rows_quarantined: bad }
                }
                End::Failed => failed(),
                End::Deferred { until, died: false } => deferred(until),
                End::Deferred { until, died: true } => {
                    FileOutcome::Deferred { code: "decoder_died", message: "signal 6".into(), not_before: at(until) }
                }
                End::Gone => gone(),
                End::Replayed { rows } => FileOutcome::Replayed { rows },
                End::RolledBack { rows, bad } => FileOutcome::RolledBack { rows, rows_quarantined: bad },
                End::Superseded { bad } => FileOutcome::Superseded { rows_quarantined: bad },
                End::Expired { rows, digest } => FileOutcome::Expired { rows, digest },
            };
            FileResult { id: self.id_of(*n), outcome, bytes: 10, duration_ms: 1 }
        };
        ends.iter().map(result).collect()
    }

    fn stage(&mut self, numbers: &[u8]) {
        let Some(batch) = self.batch.clone() else { return };
        let ends = self.ends(numbers, true);
        let mut stage = staged(self.results(&ends));
        let added = (numbers[7] < 4).then(|| format!("c{}", self.model.added.len()));
        let column = |name: &String| Column::nullable(name.clone(), ColumnType::Bool);
        stage.added.extend(added.iter().map(|name| AddedColumn { column: column(name), key: None }));
        if self.model.staged.is_some() {
            self.house.try_stage(&batch, &stage).unwrap_err();
        } else {
            self.house.try_stage(&batch, &stage).unwrap();
            self.model.staged = Some(Staged { ends, added });
            self.model.marked.clear();
        }
    }

    fn finalise(&mut self) {
        let seq = self.model.committed + 1;
        let answer = wait(self.house.ledger.finalise(&self.house.import, seq, 1, at(self.now)));
        match self.model.staged.take() {
            Some(staged) => {
                answer.unwrap();
                self.model.commit(&staged);
                self.model.advance_watermark();
                self.batch = None;
            }
            None => drop(answer.unwrap_err()),
        }
    }

    fn settle(&mut self, numbers: &[u8]) {
        let ends = self.ends(numbers, false);
        let (seq, results) = (self.model.committed + 1, self.results(&ends));
        let answer = wait(self.house.ledger.settle(&self.house.import, seq, &results, at(self.now)));
        if self.model.is_open() && self.model.staged.is_none() {
            answer.unwrap();
            self.model.end(&ends);
            self.model.advance_watermark();
            self.batch = None;
        } else {
            answer.unwrap_err();
        }
    }

    fn abandon(&mut self) {
        let answer = wait(self.house.ledger.abandon(&self.house.import, self.model.committed + 1));
        if self.model.is_open() {
            answer.unwrap();
            self.model.end(&[]);
            self.batch = None;
        } else {
            answer.unwrap_err();
        }
    }

    fn trip(&mut self) {
        let answer = wait(self.house.ledger.trip_guard(&self.house.import, self.model.committed + 1, "bad rows"));
        if self.model.is_open() && self.model.staged.is_none() {
            answer.unwrap();
            self.model.trip();
            self.batch = None;
        } else {
            answer.unwrap_err();
        }
    }

    fn reopen(&mut self) {
        self.house.ledger = SqliteLedger::in_memory().unwrap();
        self.house.ledger = SqliteLedger::open(self.dir.path()).unwrap();
        self.model.process_began();
        self.open_import(self.model.append);
    }

    /// Goes on with a copy of the files, taken while the ledger has them open.
    fn crash(&mut self) {
        let copy = tempfile::tempdir().unwrap();
        for suffix in ["", "-wal"] {
            let file = format!("{}{suffix}", crate::LEDGER_FILE);
            std::fs::copy(self.dir.path().join(&file), copy.path().join(&file)).unwrap();
        }
        self.dir = copy;
        self.reopen();
    }

    fn open_import(&mut self, append: bool) {
        let policy = if append { OverwritePolicy::Append } else { OverwritePolicy::Ignore };
        wait(self.house.ledger.open_import(&self.house.import, BUCKET, policy)).unwrap();
        self.model.open_import(append);
    }

    fn mark(&mut self, numbers: &[u8]) {
        let open = self.model.revised.clone().or_else(|| self.model.open.clone()).unwrap_or_default();
        let chosen = |low: u8, high: u8| -> Vec<usize> {
            let picked = open.iter().zip(numbers.iter().cycle()).filter(|(_, number)| (low..high).contains(*number));
            picked.map(|(n, _)| *n).collect()
        };
        let (started, finished) = (chosen(0, 4), chosen(4, 8));
        let ids = |files: &[usize]| files.iter().map(|&n| self.id_of(n)).collect::<Vec<_>>();
        let answer = wait(self.house.ledger.mark_reading(&self.house.import, &ids(&started), &ids(&finished)));
        if self.model.staged.is_some() && !started.is_empty() {
            answer.unwrap_err();
            return;
        }
        answer.unwrap();
        self.model.marked.retain(|n| !finished.contains(n) && !started.contains(n));
        self.model.marked.extend(started);
    }

    fn revise(&mut self, revision: &Revision, expected: Vec<usize>) {
        let (uuid, id) = self.house.mint(self.now);
        let answer =
            wait(self.house.ledger.claim_revision(&self.house.import, revision, uuid, id.clone(), at(self.now)));
        if self.model.is_open() {
            answer.unwrap_err();
            return;
        }
        let batch = answer.unwrap();
        let got: Vec<_> =
            batch.iter().flat_map(|batch| &batch.files).map(|(file, account)| (file.id, *account)).collect();
        assert_eq!(got, expected.iter().map(|&n| (self.id_of(n), self.model.account(n))).collect::<Vec<_>>());
        let Some(batch) = batch else { return };
        assert_eq!((batch.seq, batch.kind, batch.unknown.len()), (self.model.committed + 1, revision.kind(), 0));
        (self.kind, self.model.revised, self.model.open) = (batch.kind, Some(expected), Some(vec![]));
        self.model.label = id.to_string();
        let files = batch.files.into_iter().map(|(file, _)| file).collect();
        self.batch = Some(ClaimedBatch { seq: batch.seq, uuid, id, files, supersedes: vec![] });
    }

    fn keyed(&self, n: usize) -> KeyedVersion {
        KeyedVersion { key: self.model.objects[n].key.clone(), id: self.id_of(n) }
    }

    fn replay(&mut self) {
        let all = 0..self.model.objects.len();
        let files = all.clone().map(|n| self.keyed(n)).collect();
        let wanted = all.filter(|&n| self.model.account(n).in_quarantine > 0);
        let (suspects, others): (Vec<_>, Vec<_>) = wanted.partition(|&n| self.model.objects[n].suspect);
        let expected = if others.is_empty() { suspects.into_iter().take(1).collect() } else { others };
        self.revise(&Revision::Replay { files }, expected);
    }

    fn rollback(&mut self, place: u8) {
        let Some(batch) = self.model.batches.get(usize::from(place)).cloned() else { return };
        let has_rows = |n: usize| {
            let account = self.model.account(n);
            account.in_table + account.in_quarantine > 0 && self.model.brought_by(n) == Some(&batch.label)
        };
        let brings = |end: &End| matches!(end, End::Ingested { .. } | End::Quarantined { .. });
        let expected =
            batch.ends.iter().filter(|(n, end)| brings(end) && has_rows(*n)).map(|(n, _)| *n).collect::<Vec<_>>();
        let revision = Revision::Rollback { batch: BatchId::from_stored(batch.label.clone()) };
        if batch.ingest && !batch.lost {
            self.revise(&revision, expected);
        } else {
            let (uuid, id) = self.house.mint(self.now);
            let answer = wait(self.house.ledger.claim_revision(&self.house.import, &revision, uuid, id, at(self.now)));
            assert!(["not_an_ingest_batch", "no_such_batch", "ledger_protocol"].contains(&answer.unwrap_err().code));
        }
    }

    fn expire(&mut self) {
        let expected: Vec<_> = (0..self.model.objects.len()).filter(|&n| self.model.account(n).in_table > 0).collect();
        let files = expected.iter().map(|&n| self.keyed(n)).collect();
        self.revise(&Revision::Expiry { files }, expected);
    }

    fn retry(&mut self, retry: &Retry, of: impl Fn(&Model, usize) -> bool) {
        let retried = wait(self.house.ledger.retry(&self.house.import, retry, at(self.now))).unwrap();
        assert_eq!(retried, self.model.retry(of));
        let model = &self.model;
        self.ever_ingested.retain(|known| model.objects.iter().any(|object| name(object) == *known));
    }

    fn retry_key(&mut self, key: u8) {
        let Some(key) = self.model.objects.get(usize::from(key)).map(|object| object.key.clone()) else { return };
        self.retry(&Retry::Key(key.clone()), |model, n| {
            let object = &model.objects[n];
            object.key == key && (model.failed_or_waits(n) || object.reason == Some("rolled_back"))
        });
    }

    fn retry_rolled_back(&mut self, place: u8) {
        let Some(batch) = self.model.batches.get(usize::from(place)).cloned() else { return };
        let retry = Retry::RolledBack(BatchId::from_stored(batch.label.clone()));
        if batch.ingest && !batch.lost {
            self.retry(&retry, |model, n| {
                model.objects[n].reason == Some("rolled_back") && model.brought_by(n) == Some(&batch.label)
            });
        } else {
            wait(self.house.ledger.retry(&self.house.import, &retry, at(self.now))).unwrap_err();
        }
    }

    fn reread(&mut self, behind: i64) {
        // What becomes of a staged batch is a test of its own.
        if self.model.staged.is_some() {
            return;
        }
        let seq = (self.model.committed - behind).max(0);
        let pending = wait(self.house.ledger.reread(&self.house.import, seq, at(self.now))).unwrap();
        if self.model.is_open() {
            self.model.end(&[]);
            self.batch = None;
        }
        assert_eq!(pending, self.model.reread(seq));
        let again = wait(self.house.ledger.reread(&self.house.import, seq, at(self.now))).unwrap();
        assert_eq!(again, 0);
        self.ever_ingested.clear();
    }

    fn adopt(&mut self) {
        let record = look(&self.house);
        let of = |n: usize| {
            let (account, id) = (self.model.account(n), self.id_of(n));
            let mut digest = RowDigest::of_first(id, account.read);
            digest = digest.without(account.expired);
            crate::AdoptedVersion {
                key: self.model.objects[n].key.clone(),
                id,
                rows: account.in_table,
                rows_quarantined: account.in_quarantine,
                max_row_plus_one: account.in_table + account.in_quarantine,
                digest: Some(digest),
            }
        };
        let all = (0..self.model.objects.len()).map(of);
        let adoption = crate::Adoption {
            uuid: record.uuid,
            quarantine_seq: 0,
            restored: false,
            committed_seq: record.committed_seq,
            schema: record.schema.unwrap(),
            versions: all.filter(|version| version.rows + version.rows_quarantined > 0).collect(),
        };
        let known = adoption.versions.len() as u64;
        let adopted = wait(self.house.ledger.adopt(&self.house.import, BUCKET, adoption, at(self.now))).unwrap();
        assert_eq!((adopted.known, adopted.unknown), (known, 0));
        if self.model.is_open() {
            self.model.end(&[]);
            self.batch = None;
        }
        self.model.advance_watermark();
    }
}

/// The record as the command line sees it: nothing starts with that.
pub(crate) fn look(house: &House) -> ImportRecord {
    let read = |db: &rusqlite::Connection| crate::import::record(db, &crate::import::reload(db, "events")?, false);
    wait(house.ledger.read("look", read)).unwrap()
}

pub(crate) fn name(object: &Object) -> ObjectName {
    (object.key.clone(), object.etag.clone())
}

fn file_name(file: &connector_core::object::ObjectRef) -> ObjectName {
    (file.key.to_string(), file.etag.to_string())
}
