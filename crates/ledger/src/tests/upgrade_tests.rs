//! A ledger of version 1, made by its migration alone and filled by plain SQL, is brought up to date in place.

use connector_core::history::{HistoryQuery, SchemaChange};
use connector_core::ports::{ReferenceFile, StagedBatch};
use connector_core::revision::BatchKind;
use connector_core::schema::{Column, ColumnDefault, TableSchema};
use connector_core::types::ColumnType;
use rusqlite::Connection;

use super::history_tests::{newest, page};
use super::*;
use crate::{LEDGER_FILE, LedgerReader};

const VERSION_1: &str = include_str!("../migrations/0001.sql");

/// One committed batch, one settled, one abandoned and one staged; an object in each state; two more imports.
const CONTENTS: &str = r#"
INSERT INTO import (id, name, uuid, table_created, paused, table_schema, reference, committed_seq, row_count, byte_count,
        rejected_count, batch_count, late_count, last_scan_at, last_commit_at)
    VALUES (1, 'events', x'000102030405060708090a0b0c0d0e0f', 1, 1,
        '[{"name":"n","source":"N \"1\"","type":"Int64","nullable":true,"default":null},
          {"name":"s","source":"s","type":"String","nullable":false,"default":"x"}]',
        '{"key":"a.csv","columns":["N \"1\"","s"]}', 1, 7, 20, 12, 1, 3, 9000000, 5000000),
    (2, 'early', x'100102030405060708090a0b0c0d0e0f', 1, 0,
        '[{"name":"n","source":"n","type":"Int64","nullable":true,"default":null}]', NULL, 0, 0, 0, 0, 0, 0, NULL, NULL),
    (3, 'undecided', x'200102030405060708090a0b0c0d0e0f', 0, 0, NULL, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL);
INSERT INTO bucket VALUES (1, 1, 'bucket'), (2, 1, 'left'), (3, 2, 'bucket'), (4, 3, 'bucket');
UPDATE import SET bucket = 1 WHERE id = 1;
UPDATE import SET bucket = id + 1 WHERE id > 1;
INSERT INTO batch VALUES
    (1, 1, 1, x'01000000000000000000000000000000', 'B1', 'committed', 3, 7, 30, 40, 4000000, 5000000),
    (2, 1, 2, x'02000000000000000000000000000000', 'B2', 'settled', 1, 0, 10, NULL, 5000000, 6000000),
    (3, 1, 2, x'03000000000000000000000000000000', 'B3', 'abandoned', 2, 0, 0, NULL, 6000000, NULL),
    (4, 1, 2, x'04000000000000000000000000000000', 'B4', 'staged', 3, 5, 30, NULL, 7000000, NULL);
INSERT INTO object VALUES
    (1, 1, 'a.csv', '1', 10, 1000000, 'ingested', NULL, 0, 0, NULL, 1, 1),
    (2, 1, 'b.csv', '1', 10, 2000000, 'failed', NULL, 0, 0, NULL, 1, 1),
    (3, 1, 'b.csv', '2', 10, 3000000, 'ingested', NULL, 0, 2, NULL, 1, 1),
    (4, 1, 'c.csv', '1', 10, 4000000, 'failed', NULL, 0, 0, NULL, 2, 1),
    (5, 1, 'd.csv', '1', 10, 5000000, 'claimed', NULL, 0, 0, NULL, 4, 1),
    (6, 1, 'e.csv', '1', 10, 6000000, 'claimed', NULL, 0, 1, 100, 4, 1),
    (7, 1, 'f.csv', '1', 10, 7000000, 'claimed', NULL, 1, 0, NULL, 4, 1),
    (8, 1, 'g.csv', '1', 10, 8000000, 'pending', NULL, 0, 3, 8500000000, NULL, 1),
    (9, 1, 'h.csv', '1', 10, 9000000, 'pending', NULL, 1, 0, NULL, NULL, 1),
    (10, 1, 'i.csv', '1', 20, 10000000, 'deferred', 'archived', 0, 0, NULL, NULL, 1),
    (11, 1, 'a.csv', '2', 10, 11000000, 'skipped', 'overwrite', 0, 0, NULL, NULL, 1),
    (12, 1, 'j.csv', '1', 10, 12000000, 'gone', 'superseded', 0, 0, NULL, NULL, 1),
    (13, 2, 'c.csv', '1', 10, 4000000, 'ingested', NULL, 0, 0, NULL, NULL, 1);
INSERT INTO file_result VALUES
    (1, 1, 0, 'ingested', 3, 10, 5, NULL, NULL, NULL),
    (1, 2, 1, 'failed', 8, 10, 5, 'bad_rows', 'value ''x'' on column ''n'' is not Int64', NULL),
    (1, 3, 2, 'ingested', 4, 10, 5, NULL, NULL, NULL),
    (2, 4, 0, 'failed', 4, 10, 5, 'bad_rows', 'bad', NULL),
    (4, 5, 1, 'ingested', 5, 10, 5, NULL, NULL, NULL),
    (4, 6, 0, 'failed', 3, 10, 5, 'bad_rows', 'bad', NULL),
    (4, 7, 2, 'deferred', 0, 10, 5, 'timeout', 'gave up', 9500000000);
INSERT INTO staged_file VALUES (1, 0, 'old.parquet', 99, 7, ''), (4, 0, 'z.parquet', 98, 2, '{}'),
    (4, 1, 'a.parquet', 97, 3, '{}');
"#;

fn version_1(dir: &Path, further: &str) -> Connection {
    let db = Connection::open(dir.join(LEDGER_FILE)).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON").unwrap();
    db.execute_batch(&format!("BEGIN; {VERSION_1} {CONTENTS} {further} PRAGMA user_version = 1; COMMIT")).unwrap();
    db
}

fn upgraded() -> (tempfile::TempDir, House) {
    let dir = tempfile::tempdir().unwrap();
    drop(version_1(dir.path(), ""));
    assert_eq!(LedgerReader::open(dir.path()).unwrap_err().code(), "ledger_older");
    let house = House::at(dir.path());
    (dir, house)
}

fn texts(db: &Connection, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

#[test]
fn objects_and_tallies_are_what_they_were() {
    let (dir, house) = upgraded();
    let states = house.states();
    let expected = [
        ("a.csv 1", "ingested"),
        ("a.csv 2", "skipped:overwrite"),
        ("b.csv 1", "failed:replaced"),
        ("b.csv 2", "ingested"),
        ("c.csv 1", "failed"),
        ("d.csv 1", "claimed"),
        ("e.csv 1", "claimed"),
        ("f.csv 1", "claimed"),
        ("g.csv 1", "pending"),
        ("h.csv 1", "pending"),
        ("i.csv 1", "deferred:archived"),
        ("j.csv 1", "gone:superseded"),
    ];
    let stored = Connection::open(dir.path().join(LEDGER_FILE)).unwrap();
    let in_bucket = "SELECT key || ' ' || etag || '|' || state || COALESCE(':' || reason, '') FROM object
         WHERE bucket = 1 ORDER BY 1";
    assert_eq!(texts(&stored, in_bucket), expected.map(|(object, state)| format!("{object}|{state}")));
    assert_eq!(states.len(), 12, "the key of another bucket is told apart");
    let rest = "SELECT format('%d %d %d %d %d', reclaimed, attempts, not_before, batch, first_seen) FROM object
         WHERE id IN (6, 7, 8) ORDER BY id";
    assert_eq!(texts(&stored, rest), ["0 1 100 4 1", "1 0 0 4 1", "0 3 8500000000 0 1"]);

    let counts = house.counts(9_000);
    let files: Vec<u64> = crate::OBJECT_STATES.iter().map(|state| counts.files[*state]).collect();
    assert_eq!(files, [2, 3, 3, 0, 2, 1, 1, 1]);
    assert_eq!((counts.rows, counts.bytes, counts.batches, counts.late_arrivals), (7, 20, 1, 3));
    assert_eq!(counts.rows_quarantined, 0, "what was rejected is in no quarantine");
    assert_eq!((counts.backlog_files, counts.backlog_bytes), (2, 20));
    let failures: Vec<_> = counts.recent_failures.into_iter().map(|failed| failed.key).collect();
    assert_eq!(failures, ["c.csv"], "b.csv was replaced and ingested");
    let differing = "SELECT COUNT(*) FROM (
            SELECT bucket, state, waiting, files, bytes FROM tally WHERE files <> 0
            EXCEPT SELECT bucket, state, not_before IS NOT NULL, COUNT(*), SUM(size) FROM object GROUP BY 1, 2, 3)";
    assert_eq!(house.number(differing), 0);
}

#[test]
fn the_tables_have_all_indexes_and_triggers_and_are_sound() {
    let (dir, house) = upgraded();
    drop(house);
    let old = Connection::open_in_memory().unwrap();
    old.execute_batch(VERSION_1).unwrap();
    let db = Connection::open(dir.path().join(LEDGER_FILE)).unwrap();
    let named = "SELECT type || ' ' || name || ' on ' || tbl_name FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY 1";
    let (before, now) = (texts(&old, named), texts(&db, named));
    let lost: Vec<_> = before.iter().filter(|what| !now.contains(what)).collect();
    assert_eq!(lost, Vec::<&String>::new());
    let came: Vec<_> = now.iter().filter(|what| !before.contains(what)).collect();
    assert_eq!(
        came,
        [
            "index batch_label on batch",
            "index batch_lost on batch",
            "index file_result_object on file_result",
            "index object_held on object",
            "index object_suspect on object",
            "table adopted on adopted",
            "table batch_outcome on batch_outcome",
            "table member on member",
            "table origin on origin",
            "table reading on reading",
            "table schema_version on schema_version"
        ]
    );
    let same = "SELECT sql FROM sqlite_schema WHERE name IN ('object_identity', 'object_position', 'object_claimed',
            'object_fresh', 'object_due', 'object_batch', 'object_added', 'object_moved') ORDER BY name";
    assert_eq!(texts(&old, same), texts(&db, same), "rebuilt as they were");
    assert_eq!(texts(&db, "PRAGMA integrity_check"), ["ok"]);
    assert_eq!(texts(&db, "SELECT \"table\" FROM pragma_foreign_key_check"), Vec::<String>::new());
    assert_eq!(texts(&db, "SELECT sql FROM sqlite_schema WHERE sql LIKE '%\\_new%' ESCAPE '\\'"), Vec::<String>::new());
}

#[test]
fn the_record_means_what_it_meant_and_the_staged_batch_goes_on() {
    let (dir, house) = upgraded();
    let record = house.record();
    assert_eq!((record.table_created, record.paused, record.committed_seq), (true, true, 1));
    assert_eq!((record.guard_reason, record.guard_waived, record.streak.files), (None, false, 0));
    let n = Column { source: "N \"1\"".into(), ..Column::nullable("n", ColumnType::Int64) };
    let default = Some(ColumnDefault::Literal("x".into()));
    let s = Column { default, ..Column::required("s", ColumnType::String) };
    assert_eq!(record.schema, Some(TableSchema::new(vec![n, s])));
    let columns = vec!["N \"1\"".into(), "s".into()];
    let reference = ReferenceFile { key: "a.csv".into(), columns, dialect: None, evidence: vec![] };
    assert_eq!(record.reference, Some(reference));

    let StagedBatch { files, quarantine, results, rows, rows_quarantined, added, quarantine_added, removes, .. } =
        record.open_batch.unwrap().staged.unwrap();
    let file = |path: &str, bytes, rows| StagedFile { bytes, rows, stats: "{}".into(), ..data_file(path, 0) };
    assert_eq!(files, [file("z.parquet", 98, 2), file("a.parquet", 97, 3)]);
    assert_eq!((rows, rows_quarantined, quarantine, added, quarantine_added), (5, 0, vec![], vec![], vec![]));
    assert_eq!(removes, StagedRemoval::Nothing);
    let outcomes: Vec<_> = results.into_iter().map(|result| result.outcome).collect();
    let bad = FileOutcome::Failed { code: "bad_rows", message: "bad".into() };
    assert_eq!(outcomes, [bad, FileOutcome::Ingested { rows: 5, rows_quarantined: 0 }, deferred(9_500)]);

    wait(house.ledger.finalise(&house.import, 2, 41, at(9_000))).unwrap();
    drop(house);
    let mut house = House::at(dir.path());
    assert_eq!((house.counts(9_000).rows, house.counts(9_000).files["claimed"]), (12, 0));
    house.page(&[object("c.csv", "2", 20)]);
    let batch = house.claim_all(9_000);
    assert_eq!((batch.seq, keys(&batch)), (3, vec!["g.csv", "h.csv", "c.csv"]));
    house.commit(&batch, |_| Some(quarantined()), 9_001);
    assert_eq!(house.counts(9_001).files["quarantined"], 3);
}

#[test]
fn the_history_of_batches_and_schema_begins_where_it_began() {
    let (_dir, house) = upgraded();
    let batches = page(&house, &HistoryQuery { files: true, ..newest(9) }).batches;
    let seen: Vec<_> = batches.iter().map(|b| (b.id.as_str(), b.state.as_str(), b.rows, b.results.len())).collect();
    assert_eq!(
        seen,
        [("B4", "staged", 5, 3), ("B3", "abandoned", 0, 0), ("B2", "settled", 0, 1), ("B1", "committed", 7, 3)]
    );
    let first: Vec<_> =
        batches[3].results.iter().map(|f| (f.key.as_str(), f.outcome.as_str(), f.rows, f.reference)).collect();
    let expected = [("a.csv", "ingested", 3, true), ("b.csv", "failed", 0, false), ("b.csv", "ingested", 4, false)];
    assert_eq!(first, expected);
    let of = |outcome: &str| {
        let query = HistoryQuery { outcome: Some(outcome.into()), ..newest(9) };
        page(&house, &query).batches.into_iter().map(|batch| batch.id).collect::<Vec<_>>()
    };
    assert_eq!(
        (of("failed"), of("ingested"), of("deferred")),
        (
            vec!["B4".to_owned(), "B2".to_owned(), "B1".to_owned()],
            vec!["B4".to_owned(), "B1".to_owned()],
            vec!["B4".to_owned()]
        )
    );

    let [version] = &wait(house.ledger.schema_history(&house.import)).unwrap()[..] else { panic!("one version") };
    let change = |column: &str, ty: &str| SchemaChange { column: column.into(), ty: ty.into(), key: None };
    assert_eq!(version.changes, [change("n", "Nullable(Int64)"), change("s", "String")]);
    assert_eq!((version.version, version.at, &version.batch), (1, at(4), &None));
    assert_eq!(house.counts(1).schema_version, 1);
    assert_eq!(house.counts(1).reference.as_deref(), Some("a.csv"));
}

#[test]
fn a_table_without_a_batch_is_noted_anew() {
    let (_dir, mut house) = upgraded();
    house.import = ImportName::new("early");
    let record = house.record();
    assert_eq!((record.table_created, record.schema.is_some(), house.counts(1).schema_version), (false, true, 0));
    wait(house.ledger.table_created(&house.import, &record.schema.unwrap(), at(77))).unwrap();
    let [version] = &wait(house.ledger.schema_history(&house.import)).unwrap()[..] else { panic!("one version") };
    assert_eq!((version.at, version.changes.len()), (at(77), 1));
    house.import = ImportName::new("undecided");
    assert_eq!((house.record().schema, house.counts(1).schema_version), (None, 0));
}

#[test]
fn a_ledger_that_does_not_hold_together_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let db = version_1(dir.path(), "");
    db.execute_batch("PRAGMA foreign_keys = OFF; UPDATE file_result SET object = 99 WHERE object = 4").unwrap();
    let everything = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL UNION ALL SELECT key || state FROM object";
    let before = texts(&db, everything);
    drop(db);
    let Err(refused) = SqliteLedger::open(dir.path()) else { panic!("opened") };
    assert_eq!(refused.code(), "ledger_corrupt");
    assert!(refused.to_string().contains("a row of file_result that refers to no row of object"), "{refused}");
    let db = Connection::open(dir.path().join(LEDGER_FILE)).unwrap();
    assert_eq!(texts(&db, everything), before);
    assert_eq!(texts(&db, "SELECT CAST(user_version AS TEXT) FROM pragma_user_version"), ["1"]);
    db.execute_batch("UPDATE file_result SET object = 4 WHERE object = 99").unwrap();
    drop(db);
    assert_eq!(House::at(dir.path()).counts(1).rows, 7);
}

#[test]
fn an_upgrade_that_the_machine_does_not_survive_is_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    // Half of it: everything up to the first table that is dropped, and no commit.
    let db = version_1(dir.path(), "");
    let half = include_str!("../migrations/0002.sql").split_once("DROP TABLE object;").unwrap().0;
    db.execute_batch(&format!("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE; {half} DROP TABLE object;")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let file = format!("{LEDGER_FILE}{suffix}");
        std::fs::copy(dir.path().join(&file), copy.path().join(&file)).unwrap();
    }
    assert_eq!(House::at(copy.path()).counts(9_000).files["failed"], 2);
}

/// What version 2 of the program wrote beside what version 1 did.
const CONTENTS_2: &str = "
UPDATE batch SET quarantined_count = 2, quarantine_added = '[]' WHERE id = 1;
UPDATE file_result SET quarantined_count = 2 WHERE batch = 1 AND object = 1;
UPDATE import SET quarantined_count = 6 WHERE id = 1;
INSERT INTO batch (id, import, seq, uuid, label, state, files, quarantined_count, byte_count, claimed_at, ended_at)
    VALUES (5, 3, 1, x'05000000000000000000000000000000', 'B5', 'committed', 1, 4, 10, 7000000, 8000000);
INSERT INTO object (id, bucket, key, etag, size, last_modified, state, batch, place, first_seen)
    VALUES (20, 4, 'q.csv', '1', 10, 1000000, 'quarantined', 5, 0, 1);
INSERT INTO file_result VALUES (5, 20, 0, 'quarantined', 0, 4, 10, 5, 'missing_column', 'n', NULL);
INSERT INTO staged_file VALUES (5, 0, 'q.parquet', 9, 4, '', 'quarantine', NULL);
";

fn version_2(dir: &Path) -> Connection {
    let db = version_1(dir, "");
    let second = include_str!("../migrations/0002.sql");
    db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    db.execute_batch(&format!("BEGIN; {second} {CONTENTS_2} PRAGMA user_version = 2; COMMIT")).unwrap();
    db
}

#[test]
fn a_ledger_of_version_2_has_accounts_and_kinds_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    drop(version_2(dir.path()));
    let mut house = House::at(dir.path());
    assert_eq!((house.rows("a.csv", "1"), house.rows("b.csv", "2")), ([3, 2, 0], [4, 0, 0]));
    let record = house.record();
    assert_eq!(record.open_batch.as_ref().map(|open| open.kind), Some(BatchKind::Ingest));
    let kinds: Vec<_> = page(&house, &newest(9)).batches.into_iter().map(|batch| batch.kind).collect();
    assert_eq!(kinds, [BatchKind::Ingest; 4]);
    wait(house.ledger.finalise(&house.import, 2, 41, at(9_000))).unwrap();
    let files = keyed(&house, &[("a.csv", "1")]);
    let replay = house.revise(&Revision::Replay { files }, 9_000);
    house.commit_revision(&replay, |_| Some(FileOutcome::Replayed { rows: 2 }), 9_000);
    assert_eq!(house.rows("a.csv", "1"), [5, 0, 0]);

    house.import = ImportName::new("undecided");
    assert_eq!(house.rows("q.csv", "1"), [0, 4, 0]);
    house.page(&[object("q.csv", "2", 9)]);
    assert_eq!(house.claim_all(9_000).supersedes.len(), 1);
    let db = Connection::open(dir.path().join(LEDGER_FILE)).unwrap();
    assert_eq!(texts(&db, "PRAGMA integrity_check"), ["ok"]);
    assert_eq!(texts(&db, "SELECT \"table\" FROM pragma_foreign_key_check"), Vec::<String>::new());
    assert_eq!(texts(&db, "SELECT sql FROM sqlite_schema WHERE sql LIKE '%\\_new%' ESCAPE '\\'"), Vec::<String>::new());
}

#[test]
fn an_upgrade_from_version_2_that_the_machine_does_not_survive_is_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let db = version_2(dir.path());
    let half = include_str!("../migrations/0003.sql").split_once("ALTER TABLE file_result_new").unwrap().0;
    db.execute_batch(&format!("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE; {half}")).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let file = format!("{LEDGER_FILE}{suffix}");
        std::fs::copy(dir.path().join(&file), copy.path().join(&file)).unwrap();
    }
    assert_eq!(House::at(copy.path()).rows("a.csv", "1"), [3, 2, 0]);
}
