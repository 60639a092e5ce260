//! Random lives of an import, against the plain model and against the promises themselves.

use std::collections::{BTreeMap, BTreeSet};

use connector_core::object::SkipReason;
use proptest::prelude::*;

use super::model::{End, Listed, Model, Object};
use super::*;

/// Files a throttled claim of these tests may take in a tick.
const CAP: u32 = 2;

#[derive(Clone, Debug)]
enum Step {
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
    Wait(i64),
    Reopen,
}

fn listed() -> impl Strategy<Value = Listed> {
    (0..6u8, 0..3u8, 0..6i64, 0..12u8).prop_map(|(key, etag, modified, kind)| Listed {
        key: ["a", "b", "B", "c/ü", "c/z", "d"][usize::from(key)].to_owned(),
        etag: etag.to_string(),
        modified,
        archived: kind == 0,
        hidden: kind == 1,
    })
}

fn page() -> impl Strategy<Value = Vec<Listed>> {
    proptest::collection::vec(listed(), 0..5).prop_map(|mut page| {
        page.sort_by(|one, other| one.key.cmp(&other.key));
        page.dedup_by(|one, other| one.key == other.key);
        page
    })
}

fn ends() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0..10u8, 8)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => page().prop_map(Step::Page),
        1 => Just(Step::FinishScan),
        5 => any::<bool>().prop_map(|throttled| Step::Claim { throttled }),
        4 => ends().prop_map(Step::Stage),
        4 => Just(Step::Finalise),
        2 => ends().prop_map(Step::Settle),
        2 => Just(Step::Abandon),
        2 => (0..50i64).prop_map(Step::Wait),
        1 => Just(Step::Reopen),
    ]
}

/// The ledger, the model of it, and what has to hold whatever the model says.
struct Life {
    dir: tempfile::TempDir,
    house: House,
    model: Model,
    now: i64,
    batch: Option<ClaimedBatch>,
    /// By the end of the tick: distinct files that counted in it.
    ticks: BTreeMap<Timestamp, BTreeSet<ObjectName>>,
    ever_ingested: BTreeSet<ObjectName>,
}

type ObjectName = (String, String);

impl Life {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = House::at(dir.path());
        let (ticks, ever_ingested) = (BTreeMap::new(), BTreeSet::new());
        Self { dir, house, model: Model::default(), now: 1_000, batch: None, ticks, ever_ingested }
    }

    fn take(&mut self, step: Step) {
        let before = self.model.watermark.clone();
        match step {
            Step::Page(page) => self.page(&page),
            Step::FinishScan => {
                self.house.finish_scan(self.now);
                self.model.advance_watermark();
            }
            Step::Claim { throttled } => self.claim(throttled),
            Step::Stage(ends) => self.stage(&ends),
            Step::Finalise => self.finalise(),
            Step::Settle(ends) => self.settle(&ends),
            Step::Abandon => self.abandon(),
            Step::Wait(seconds) => self.now += seconds,
            Step::Reopen => self.reopen(),
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
        if self.model.open.is_some() {
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
        self.batch = answer.batch;
    }

    /// Ends for the open batch from random numbers; what gets none is left out.
    fn ends(&self, numbers: &[u8], rows: u64) -> Vec<(usize, End)> {
        let open = self.model.open.clone().unwrap_or_default();
        open.into_iter()
            .zip(numbers)
            .filter_map(|(n, number)| {
                Some((
                    n,
                    match number {
                        0..=2 => End::Ingested { rows },
                        3 => End::Failed,
                        4 => End::Gone,
                        5..=8 => End::Deferred { until: self.now + 100 - i64::from(*number) * 12 },
                        _ => return None,
                    },
                ))
            })
            .collect()
    }

    fn results(&self, ends: &[(usize, End)]) -> Vec<FileResult> {
        let Some(batch) = &self.batch else { return vec![] };
        let outcome = |file: &connector_core::object::ObjectRef| {
            let (_, end) = ends.iter().find(|(n, _)| name(&self.model.objects[*n]) == file_name(file))?;
            let outcome = match end {
                End::Ingested { rows } => FileOutcome::Ingested { rows: *rows },
                End::Failed => failed(),
                End::Deferred { until } => deferred(*until),
                End::Gone => gone(),
            };
            Some(FileResult { id: file.id, outcome, bytes: 10, duration_ms: 1 })
        };
        batch.files.iter().filter_map(outcome).collect()
    }

    fn stage(&mut self, numbers: &[u8]) {
        let Some(batch) = self.batch.clone() else { return };
        let ends = self.ends(numbers, 7);
        let stage = staged(self.results(&ends));
        if self.model.staged.is_some() {
            self.house.try_stage(&batch, &stage).unwrap_err();
        } else {
            self.house.try_stage(&batch, &stage).unwrap();
            self.model.staged = Some(ends);
        }
    }

    fn finalise(&mut self) {
        let seq = self.model.committed + 1;
        let answer = wait(self.house.ledger.finalise(&self.house.import, seq, 1, at(self.now)));
        match self.model.staged.take() {
            Some(ends) => {
                answer.unwrap();
                self.model.end(&ends, true);
                self.model.advance_watermark();
                self.batch = None;
            }
            None => drop(answer.unwrap_err()),
        }
    }

    fn settle(&mut self, numbers: &[u8]) {
        let ends = self.ends(numbers, 0);
        let (seq, results) = (self.model.committed + 1, self.results(&ends));
        let answer = wait(self.house.ledger.settle(&self.house.import, seq, &results, at(self.now)));
        if self.model.open.is_some() && self.model.staged.is_none() {
            answer.unwrap();
            self.model.end(&ends, false);
            self.model.advance_watermark();
            self.batch = None;
        } else {
            answer.unwrap_err();
        }
    }

    fn abandon(&mut self) {
        let answer = wait(self.house.ledger.abandon(&self.house.import, self.model.committed + 1));
        if self.model.open.is_some() {
            answer.unwrap();
            self.model.end(&[], false);
            self.batch = None;
        } else {
            answer.unwrap_err();
        }
    }

    fn reopen(&mut self) {
        self.house.ledger = SqliteLedger::in_memory().unwrap();
        self.house.ledger = SqliteLedger::open(self.dir.path()).unwrap();
        let record = wait(self.house.ledger.open_import(&self.house.import, BUCKET)).unwrap();
        assert_eq!((record.fresh, record.committed_seq), (false, self.model.committed));
        let open = record.open_batch.map(|open| (open.seq, open.uuid, open.staged.map(|staged| staged.results.len())));
        let results = self.model.staged.as_ref().map(Vec::len);
        assert_eq!(open, self.batch.as_ref().map(|batch| (batch.seq, batch.uuid, results)));
    }

    fn check(&mut self, watermark_before: Option<(i64, String)>) {
        let mut expected = self.model.objects.clone();
        expected.sort_by_key(name);
        let seen = dump(&self.house);
        assert_eq!(seen, expected.iter().map(row).collect::<Vec<_>>());
        self.check_counts();
        self.check_promises(watermark_before);
    }

    fn check_counts(&self) {
        let counts = self.house.counts(self.now);
        let model = &self.model;
        for state in crate::OBJECT_STATES {
            let expected = model.objects.iter().filter(|object| object.state == state).count() as u64;
            assert_eq!(counts.files[state], expected, "{state}");
        }
        let claimable = model.claimable(self.now);
        assert_eq!((counts.backlog_files, counts.backlog_bytes), (claimable.len() as u64, claimable.len() as u64 * 10));
        assert_eq!(counts.oldest_pending, claimable.iter().map(|&n| at(model.objects[n].modified)).min());
        assert_eq!((counts.rows, counts.rows_rejected), (model.rows, model.rejected));
        assert_eq!((counts.late_arrivals, counts.batches as i64), (model.late, model.committed));
        let watermark = counts.watermark.map(|mark| (mark.last_modified.as_second(), mark.key));
        assert_eq!(watermark, model.watermark);
        let differing = "SELECT COUNT(*) FROM (
                SELECT bucket, state, waiting, files, bytes FROM tally WHERE files <> 0 OR bytes <> 0
                EXCEPT SELECT bucket, state, not_before IS NOT NULL, COUNT(*), SUM(size) FROM object GROUP BY 1, 2, 3)";
        assert_eq!(number(&self.house, differing), 0);
    }

    fn check_promises(&mut self, watermark_before: Option<(i64, String)>) {
        let ingested: BTreeSet<_> =
            self.model.objects.iter().filter(|object| object.state == "ingested").map(name).collect();
        assert!(self.ever_ingested.is_subset(&ingested), "what is ingested stays ingested");
        let keys: BTreeSet<_> = ingested.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), ingested.len(), "one version of a key at most");
        self.ever_ingested = ingested;

        let watermark = self.model.watermark.clone();
        assert!(watermark >= watermark_before, "never lowered");
        if watermark > watermark_before {
            let passed = |object: &&Object| object.pins() && Some((object.modified, object.key.clone())) <= watermark;
            assert_eq!(self.model.objects.iter().find(passed), None, "never past a claimable object");
        }
        let astray = "SELECT COUNT(*) FROM object LEFT JOIN batch ON batch.id = object.batch
             WHERE object.state = 'claimed' AND batch.state NOT IN ('claimed', 'staged')";
        assert_eq!(number(&self.house, astray), 0);
        let open = number(&self.house, "SELECT COUNT(*) FROM batch WHERE state IN ('claimed', 'staged')");
        assert_eq!(open, i64::from(self.model.open.is_some()));
        let twice = "SELECT COUNT(*) FROM (SELECT file_result.object FROM file_result JOIN batch
             ON batch.id = file_result.batch WHERE outcome = 'ingested' AND batch.state IN ('committed', 'settled')
             GROUP BY 1 HAVING COUNT(*) > 1)";
        assert_eq!(number(&self.house, twice), 0, "no object version is ingested twice");
    }
}

fn name(object: &Object) -> ObjectName {
    (object.key.clone(), object.etag.clone())
}

fn file_name(file: &connector_core::object::ObjectRef) -> ObjectName {
    (file.key.to_string(), file.etag.to_string())
}

type StoredObject = (String, String, i64, String, Option<String>, bool, Option<i64>, u32);

fn row(object: &Object) -> StoredObject {
    let micros = |seconds: i64| seconds * 1_000_000;
    let state = (object.state.to_owned(), object.reason.map(str::to_owned));
    let (key, etag) = name(object);
    let not_before = object.not_before.map(micros);
    (key, etag, micros(object.modified), state.0, state.1, object.reclaimed, not_before, object.attempts)
}

fn dump(house: &House) -> Vec<StoredObject> {
    let read = |db: &rusqlite::Connection| {
        let mut statement = db.prepare(
            "SELECT key, etag, last_modified, state, reason, reclaimed, not_before, attempts FROM object
             ORDER BY key, etag",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    };
    wait(house.ledger.read("look", read)).unwrap()
}

fn number(house: &House, sql: &'static str) -> i64 {
    let read = move |db: &rusqlite::Connection| Ok(db.query_row(sql, [], |row| row.get(0))?);
    wait(house.ledger.read("look", read)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_life_of_an_import_keeps_the_promises(steps in proptest::collection::vec(step(), 1..60)) {
        let mut life = Life::new();
        for step in steps {
            life.take(step);
        }
    }
}
