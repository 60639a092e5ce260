//! What has to hold after every step of a life; see [`super::life`].

use std::collections::{BTreeMap, BTreeSet};

use connector_core::history::{BatchRecord, HistoryQuery};

use super::history_tests::{all, newest};
use super::life::{Life, look, name};
use super::model::Object;
use super::*;

impl Life {
    pub fn check(&mut self, watermark_before: Option<(i64, String)>) {
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
        let (record, model) = (look(&self.house), &self.model);
        assert_eq!((record.fresh, record.committed_seq), (false, model.committed));
        assert_eq!((record.paused, record.guard_waived, record.streak), (model.paused, model.waived, model.streak));
        assert_eq!(record.guard_reason.as_deref(), model.tripped.then_some("bad rows"));
        let columns: Vec<String> = record.schema.unwrap().columns.into_iter().map(|column| column.name).collect();
        assert_eq!(columns[1..], model.added);
        let staged = |staged: connector_core::ports::StagedBatch| {
            let added = staged.added.into_iter().map(|added| added.column.name).next();
            (staged.results, added)
        };
        let results = model.staged.as_ref().map(|staged| (self.results(&staged.ends), staged.added.clone()));
        assert_eq!(record.open_batch.as_ref().map(|open| open.kind), self.batch.as_ref().map(|_| self.kind));
        let open = record.open_batch.map(|open| (open.seq, open.uuid, open.staged.map(staged)));
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
        assert_eq!((counts.rows, counts.rows_quarantined), model.rows());
        assert_eq!(counts.schema_version as usize, 1 + model.added.len());
        let mut failures: Vec<String> = counts.recent_failures.into_iter().map(|failed| failed.key).collect();
        failures.sort();
        assert_eq!(failures, model.failures());
        let batches = model.batches.iter().filter(|batch| !batch.lost).count() as u64;
        assert_eq!((counts.late_arrivals, counts.batches), (model.late, batches));
        let watermark = counts.watermark.map(|mark| (mark.last_modified.as_second(), mark.key));
        assert_eq!(watermark, model.watermark);
        let differing = "SELECT COUNT(*) FROM (
                SELECT bucket, state, waiting, files, bytes FROM tally WHERE files <> 0 OR bytes <> 0
                EXCEPT SELECT bucket, state, not_before IS NOT NULL, COUNT(*), SUM(size) FROM object GROUP BY 1, 2, 3)";
        assert_eq!(self.house.number(differing), 0);
    }

    /// Every row is accounted for, wherever it is counted: by object version, by batch, by file and by data file.
    fn check_accounts(&self) {
        let read = |db: &rusqlite::Connection| {
            let import = crate::import::reload(db, "events")?;
            let keys: Vec<String> = ["a", "b", "B", "c/ü", "c/z", "d"].map(str::to_owned).into();
            Ok((crate::known::accounts(db, &import, None, 1_000)?, crate::known::keys(db, &import, &keys)?))
        };
        let (accounts, keys) = wait(self.house.ledger.read("look", read)).unwrap();
        let known: BTreeMap<_, _> = accounts.iter().map(|(_, known)| (known.id, known.account)).collect();
        assert_eq!(known.len(), accounts.len(), "each once");
        for n in 0..self.model.objects.len() {
            let (id, expected) = (self.id_of(n), self.model.account(n));
            assert!(expected.adds_up(), "{expected:?}");
            assert_eq!(known.get(&id).copied().unwrap_or_default(), expected, "{:?}", self.model.objects[n]);
            let of_key = keys[&self.model.objects[n].key].iter().find(|known| known.id == id).unwrap();
            assert_eq!((of_key.account, of_key.state.as_str()), (expected, self.model.objects[n].state));
        }
        let sums = [
            ("table", [
                "SELECT COALESCE(SUM(row_count), 0) FROM batch WHERE state IN ('committed', 'lost')",
                "SELECT COALESCE(SUM(file_result.row_count), 0) FROM file_result JOIN batch ON batch.id = batch
                    WHERE batch.state IN ('committed', 'settled', 'lost')",
                "SELECT COALESCE(SUM(staged_file.row_count), 0) FROM staged_file JOIN batch ON batch.id = batch
                    WHERE batch.state IN ('committed', 'lost') AND staged_file.kind = 'table'",
            ]),
            ("quarantine", [
                "SELECT COALESCE(SUM(quarantined_count), 0) FROM batch WHERE state IN ('committed', 'lost')",
                "SELECT COALESCE(SUM(file_result.quarantined_count), 0) FROM file_result JOIN batch ON batch.id = batch
                    WHERE batch.state IN ('committed', 'settled', 'lost')",
                "SELECT COALESCE(SUM(staged_file.row_count), 0) FROM staged_file JOIN batch ON batch.id = batch
                    WHERE batch.state IN ('committed', 'lost') AND staged_file.kind = 'quarantine'",
            ]),
        ];
        for (kind, queries) in sums {
            let sums = queries.map(|sql| self.house.number(sql));
            assert!(sums.iter().all(|sum| *sum == sums[0]), "{kind}: {sums:?}");
        }
        let left = "SELECT (SELECT COUNT(*) FROM member JOIN batch ON batch.id = member.batch
                WHERE batch.state NOT IN ('claimed', 'staged'))
            + (SELECT COUNT(*) FROM reading JOIN batch ON batch.id = reading.batch WHERE batch.state <> 'claimed')";
        assert_eq!(self.house.number(left), 0);
    }

    /// The pages hold every batch once, and say of rows what the counts say.
    pub fn check_history(&self) {
        let query = HistoryQuery { files: true, ..newest(2) };
        let batches = all(&self.house, query.clone());
        assert_eq!(batches.len() as i64, self.house.number("SELECT COUNT(*) FROM batch"));
        assert!(batches.windows(2).all(|pair| pair[0].seq >= pair[1].seq && pair[0].claimed_at >= pair[1].claimed_at));
        let ended = |batch: &&BatchRecord| ["committed", "lost"].contains(&batch.state.as_str());
        let committed: Vec<_> = batches.iter().filter(ended).collect();
        let seen: Vec<_> = committed.iter().map(|batch| (batch.id.as_str(), batch.state == "lost")).collect();
        let expected = self.model.batches.iter().rev().map(|batch| (batch.label.as_str(), batch.lost));
        assert_eq!(seen, expected.collect::<Vec<_>>());
        for batch in committed {
            let sums =
                batch.results.iter().fold((0, 0), |sum, file| (sum.0 + file.rows, sum.1 + file.rows_quarantined));
            assert_eq!(sums, (batch.rows, batch.rows_quarantined));
        }
        let outcomes = [
            "ingested",
            "quarantined",
            "failed",
            "deferred",
            "gone",
            "replayed",
            "rolled_back",
            "superseded",
            "expired",
        ];
        for outcome in outcomes {
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
        let rolled_back = self.model.objects.iter().filter(|object| object.reason == Some("rolled_back"));
        let still: BTreeSet<_> = ingested.iter().cloned().chain(rolled_back.map(name)).collect();
        assert!(self.ever_ingested.is_subset(&still), "what is ingested stays ingested until it is rolled back");
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
        assert_eq!(open, i64::from(self.model.is_open()));
    }
}

type StoredObject = (String, String, i64, String, Option<String>, bool, Option<i64>, [u32; 3]);

fn row(object: &Object) -> StoredObject {
    let micros = |seconds: i64| seconds * 1_000_000;
    let state = (object.state.to_owned(), object.reason.map(str::to_owned));
    let (key, etag) = name(object);
    let not_before = object.not_before.map(micros);
    (
        key,
        etag,
        micros(object.modified),
        state.0,
        state.1,
        object.reclaimed,
        not_before,
        [object.attempts, object.suspect.into(), object.strikes],
    )
}

fn dump(house: &House) -> Vec<StoredObject> {
    let read = |db: &rusqlite::Connection| {
        let mut statement = db.prepare(
            "SELECT key, etag, last_modified, state, reason, reclaimed, not_before, attempts, suspect, strikes FROM object
             ORDER BY key, etag",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
                row.get(6)?,
                [row.get(7)?, row.get(8)?, row.get(9)?],
            ))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    };
    wait(house.ledger.read("look", read)).unwrap()
}
