//! A life of an import, step by step: the ledger, held against the plain model and against the promises themselves.

use std::collections::{BTreeMap, BTreeSet};

use connector_core::history::{BatchRecord, HistoryQuery};
use connector_core::object::SkipReason;
use connector_core::ports::AddedColumn;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;

use super::history_tests::{all, newest};
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
}

/// The ledger, the model of it, and what has to hold whatever the model says.
pub(crate) struct Life {
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
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = House::at(dir.path());
        let schema = TableSchema::new(vec![Column::nullable("n", ColumnType::Int64)]);
        wait(house.ledger.table_created(&house.import, &schema, at(1_000))).unwrap();
        let (ticks, ever_ingested) = (BTreeMap::new(), BTreeSet::new());
        Self { dir, house, model: Model::default(), now: 1_000, batch: None, ticks, ever_ingested }
    }

    pub fn take(&mut self, step: Step) {
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
            Step::Trip => self.trip(),
            Step::Pause(paused) => {
                wait(self.house.ledger.set_paused(&self.house.import, paused)).unwrap();
                self.model.pause(paused);
            }
            Step::Wait(seconds) => self.now += seconds,
            Step::Reopen => self.reopen(),
            Step::Crash => self.crash(),
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
    fn ends(&self, numbers: &[u8], with_rows: bool) -> Vec<(usize, End)> {
        let open = self.model.open.clone().unwrap_or_default();
        let rows = |count: u64| if with_rows { count } else { 0 };
        let end = |number: &u8| {
            Some(match number {
                0 | 1 => End::Ingested { rows: rows(7), bad: 0 },
                2 => End::Ingested { rows: rows(5), bad: rows(2) },
                3 => End::Failed,
                4 => End::Gone,
                5..=8 => End::Deferred { until: self.now + 100 - i64::from(*number) * 12 },
                9 | 10 => End::Quarantined { bad: rows(4) },
                _ => return None,
            })
        };
        let mut ends: Vec<_> =
            open.into_iter().zip(numbers).filter_map(|(n, number)| Some((n, end(number)?))).collect();
        if numbers[0] % 2 == 1 {
            ends.reverse();
        }
        ends
    }

    /// In the order of the ends.
    fn results(&self, ends: &[(usize, End)]) -> Vec<FileResult> {
        let Some(batch) = &self.batch else { return vec![] };
        let result = |(n, end): &(usize, End)| {
            let wanted = name(&self.model.objects[*n]);
            let file = batch.files.iter().find(|file| file_name(file) == wanted).unwrap();
            let outcome = match *end {
                End::Ingested { rows, bad } => FileOutcome::Ingested { rows, rows_quarantined: bad },
                End::Quarantined { bad } => {
                    FileOutcome::Quarantined { code: "missing_column", message: "n".into(), rows_quarantined: bad }
                }
                End::Failed => failed(),
                End::Deferred { until } => deferred(until),
                End::Gone => gone(),
            };
            FileResult { id: file.id, outcome, bytes: 10, duration_ms: 1 }
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
        if self.model.open.is_some() && self.model.staged.is_none() {
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
        if self.model.open.is_some() {
            answer.unwrap();
            self.model.end(&[]);
            self.batch = None;
        } else {
            answer.unwrap_err();
        }
    }

    fn trip(&mut self) {
        let answer = wait(self.house.ledger.trip_guard(&self.house.import, self.model.committed + 1, "bad rows"));
        if self.model.open.is_some() && self.model.staged.is_none() {
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

    fn check(&mut self, watermark_before: Option<(i64, String)>) {
        let mut expected = self.model.objects.clone();
        expected.sort_by_key(name);
        let seen = dump(&self.house);
        assert_eq!(seen, expected.iter().map(row).collect::<Vec<_>>());
        self.check_record();
        self.check_counts();
        self.check_accounts();
        self.check_promises(watermark_before);
    }

    fn check_record(&self) {
        let (record, model) = (self.house.record(), &self.model);
        assert_eq!((record.fresh, record.committed_seq), (false, model.committed));
        assert_eq!((record.paused, record.guard_waived, record.streak), (model.paused, model.waived, model.streak));
        assert_eq!(record.guard_reason.as_deref(), model.tripped.then_some("bad rows"));
        let columns: Vec<String> = record.schema.unwrap().columns.into_iter().map(|column| column.name).collect();
        assert_eq!(columns[1..], model.added);
        let staged = |staged: connector_core::ports::StagedBatch| {
            let added = staged.added.into_iter().map(|added| added.column.name).next();
            (staged.results, added)
        };
        let open = record.open_batch.map(|open| (open.seq, open.uuid, open.staged.map(staged)));
        let results = model.staged.as_ref().map(|staged| (self.results(&staged.ends), staged.added.clone()));
        assert_eq!(open, self.batch.as_ref().map(|batch| (batch.seq, batch.uuid, results)));
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
        assert_eq!((counts.rows, counts.rows_quarantined), (model.rows, model.quarantined));
        assert_eq!(counts.schema_version as usize, 1 + model.added.len());
        let mut failures: Vec<String> = counts.recent_failures.into_iter().map(|failed| failed.key).collect();
        failures.sort();
        assert_eq!(failures, model.failures());
        assert_eq!((counts.late_arrivals, counts.batches as i64), (model.late, model.committed));
        let watermark = counts.watermark.map(|mark| (mark.last_modified.as_second(), mark.key));
        assert_eq!(watermark, model.watermark);
        let differing = "SELECT COUNT(*) FROM (
                SELECT bucket, state, waiting, files, bytes FROM tally WHERE files <> 0 OR bytes <> 0
                EXCEPT SELECT bucket, state, not_before IS NOT NULL, COUNT(*), SUM(size) FROM object GROUP BY 1, 2, 3)";
        assert_eq!(self.house.number(differing), 0);
    }

    /// Every row is accounted for, wherever it is counted: by import, by batch, by file and by data file.
    fn check_accounts(&self) {
        let sums = [
            ("table", [
                "SELECT row_count FROM import",
                "SELECT COALESCE(SUM(row_count), 0) FROM batch WHERE state = 'committed'",
                "SELECT COALESCE(SUM(file_result.row_count), 0) FROM file_result JOIN batch ON batch.id = batch
                    WHERE batch.state IN ('committed', 'settled')",
                "SELECT COALESCE(SUM(staged_file.row_count), 0) FROM staged_file JOIN batch ON batch.id = batch
                    WHERE batch.state = 'committed' AND kind = 'table'",
            ]),
            ("quarantine", [
                "SELECT quarantined_count FROM import",
                "SELECT COALESCE(SUM(quarantined_count), 0) FROM batch WHERE state = 'committed'",
                "SELECT COALESCE(SUM(file_result.quarantined_count), 0) FROM file_result JOIN batch ON batch.id = batch
                    WHERE batch.state IN ('committed', 'settled')",
                "SELECT COALESCE(SUM(staged_file.row_count), 0) FROM staged_file JOIN batch ON batch.id = batch
                    WHERE batch.state = 'committed' AND kind = 'quarantine'",
            ]),
        ];
        for (kind, queries) in sums {
            let sums = queries.map(|sql| self.house.number(sql));
            assert!(sums.iter().all(|sum| *sum == sums[0]), "{kind}: {sums:?}");
        }
        let without_result = "SELECT COUNT(*) FROM object WHERE state IN ('ingested', 'quarantined', 'failed')
             AND NOT EXISTS (SELECT 1 FROM file_result JOIN batch ON batch.id = file_result.batch
                WHERE file_result.batch = object.batch AND file_result.object = object.id
                    AND file_result.outcome = object.state AND batch.state IN ('committed', 'settled'))";
        assert_eq!(self.house.number(without_result), 0);
    }

    /// The pages hold every batch once, and say of rows what the counts say.
    pub fn check_history(&self) {
        let query = HistoryQuery { files: true, ..newest(2) };
        let batches = all(&self.house, query.clone());
        assert_eq!(batches.len() as i64, self.house.number("SELECT COUNT(*) FROM batch"));
        assert!(batches.windows(2).all(|pair| pair[0].seq >= pair[1].seq && pair[0].claimed_at >= pair[1].claimed_at));
        let committed: Vec<_> = batches.iter().filter(|batch| batch.state == "committed").collect();
        assert_eq!(committed.iter().map(|batch| batch.rows).sum::<u64>(), self.model.rows);
        assert_eq!(committed.iter().map(|batch| batch.rows_quarantined).sum::<u64>(), self.model.quarantined);
        for batch in committed {
            let sums =
                batch.results.iter().fold((0, 0), |sum, file| (sum.0 + file.rows, sum.1 + file.rows_quarantined));
            assert_eq!(sums, (batch.rows, batch.rows_quarantined));
        }
        for outcome in ["ingested", "quarantined", "failed", "deferred", "gone"] {
            let found = all(&self.house, HistoryQuery { outcome: Some(outcome.to_owned()), ..query.clone() });
            let has = |batch: &&BatchRecord| batch.results.iter().any(|file| file.outcome == outcome);
            assert_eq!(found, batches.iter().filter(has).cloned().collect::<Vec<_>>(), "{outcome}");
        }
        let versions = wait(self.house.ledger.schema_history(&self.house.import)).unwrap();
        let added = versions.iter().skip(1).map(|version| version.changes[0].column.clone()).collect::<Vec<_>>();
        assert_eq!((added, versions[0].version), (self.model.added.clone(), 1));
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
        assert_eq!(self.house.number(astray), 0);
        let open = self.house.number("SELECT COUNT(*) FROM batch WHERE state IN ('claimed', 'staged')");
        assert_eq!(open, i64::from(self.model.open.is_some()));
        let twice = "SELECT COUNT(*) FROM (SELECT file_result.object FROM file_result JOIN batch
             ON batch.id = file_result.batch WHERE outcome = 'ingested' AND batch.state IN ('committed', 'settled')
             GROUP BY 1 HAVING COUNT(*) > 1)";
        assert_eq!(self.house.number(twice), 0, "no object version is ingested twice");
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
