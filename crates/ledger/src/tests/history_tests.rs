//! The history: batches of all states, newest first, page by page, with their files and by outcome.

use connector_core::history::{BatchRecord, FileRecord, HistoryPage, HistoryQuery};
use connector_core::ids::ObjectVersionId;
use connector_core::ports::ReferenceFile;
use connector_core::schema::TableSchema;

use super::*;
use crate::{MAX_PAGE, MAX_PAGE_FILES};

pub(crate) fn newest(limit: u32) -> HistoryQuery {
    HistoryQuery { limit, before: None, files: false, outcome: None }
}

pub(crate) fn page(house: &House, query: &HistoryQuery) -> HistoryPage {
    wait(house.ledger.history(&house.import, query.clone())).unwrap()
}

/// All pages, put together.
pub(crate) fn all(house: &House, mut query: HistoryQuery) -> Vec<BatchRecord> {
    let mut batches = Vec::new();
    loop {
        let page = page(house, &query);
        assert!(page.batches.len() <= query.limit as usize);
        batches.extend(page.batches);
        match page.next {
            None => return batches,
            next => {
                assert!(query.before.is_none() || next < query.before, "it goes on");
                query.before = next;
            }
        }
    }
}

fn of(outcome: &str) -> HistoryQuery {
    HistoryQuery { outcome: Some(outcome.to_owned()), ..newest(2) }
}

/// Eight batches: the first one abandoned, then six of one file that ends as its key says, then one that is claimed.
fn eight() -> House {
    let mut house = House::new();
    let ends = ["ok", "ok", "bad", "part", "fail", "bad"];
    let page: Vec<_> = ends.iter().zip(1..).map(|(end, n)| object(&format!("{n}-{end}"), "1", n)).collect();
    house.page(&page);
    let outcome = |key: &str| {
        Some(match &key[2..] {
            "ok" => ingested(),
            "bad" => quarantined(),
            "part" => partly(),
            _ => failed(),
        })
    };
    let interrupted = house.claim(throttled(1), 1_000).batch.unwrap();
    house.abandon(&interrupted);
    for now in (1_000..).step_by(60).take(6) {
        let batch = house.claim(throttled(1), now).batch.unwrap();
        house.commit(&batch, outcome, now + 1);
    }
    house.page(&[object("open", "1", 99)]);
    house.claim_all(9_000);
    house
}

#[test]
fn the_newest_batches_come_first_in_all_states() {
    let mut house = House::new();
    house.page(&["a", "b", "c", "d", "e"].map(|key| object(key, "1", 1)));
    let first = house.claim(throttled(2), 1_000).batch.unwrap();
    house.abandon(&first);
    let second = house.claim(throttled(2), 1_000).batch.unwrap();
    house.commit(&second, |key| Some(if key == "a" { partly() } else { quarantined() }), 1_001);
    let third = house.claim(throttled(2), 1_060).batch.unwrap();
    house.settle(&third, |_| Some(failed()), 1_061);
    let fourth = house.claim_all(1_120);
    house.try_stage(&fourth, &staged(results(&fourth, |_| Some(ingested())))).unwrap();
    let batches = all(&house, newest(10));
    let seen: Vec<_> = batches
        .iter()
        .map(|b| (b.seq, b.state.as_str(), b.files, b.rows, b.rows_quarantined, b.bytes, b.ended_at))
        .collect();
    assert_eq!(
        seen,
        [
            (2, "staged", 1, 7, 0, 10, None),
            (2, "settled", 2, 0, 0, 20, Some(at(1_061))),
            (1, "committed", 2, 7, 6, 20, Some(at(1_001))),
            (1, "abandoned", 2, 0, 0, 0, None)
        ]
    );
    let committed = &batches[2];
    assert_eq!((committed.id.as_str(), committed.table_version), (second.id.as_str(), Some(40)));
    assert_eq!((committed.claimed_at, &committed.results[..]), (at(1_000), &[][..]));
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let house = eight();
    let whole = page(&house, &newest(100));
    assert_eq!((whole.batches.len(), whole.next), (8, None));
    for limit in 1..=9 {
        assert_eq!(all(&house, newest(limit)), whole.batches, "{limit}");
    }
    assert_eq!(page(&house, &newest(8)).next, None, "the last page knows that it is the last one");
    assert_eq!(page(&house, &newest(0)), HistoryPage::default());
    let first = page(&house, &newest(3));
    wait(house.ledger.abandon(&house.import, 7)).unwrap();
    let rest = all(&house, HistoryQuery { before: first.next, ..newest(3) });
    assert_eq!(rest, whole.batches[3..], "what happens meanwhile moves nothing");
}

#[test]
fn batches_are_found_by_the_outcome_of_a_file() {
    let house = eight();
    let with_files = |query: HistoryQuery| HistoryQuery { files: true, ..query };
    let everything = all(&house, with_files(newest(100)));
    for (outcome, count) in [("ingested", 3), ("quarantined", 2), ("failed", 1), ("deferred", 0), ("no such", 0)] {
        let found = all(&house, with_files(of(outcome)));
        assert_eq!(found.len(), count, "{outcome}");
        let has = |batch: &&BatchRecord| batch.results.iter().any(|file| file.outcome == outcome);
        assert_eq!(found, everything.iter().filter(has).cloned().collect::<Vec<_>>(), "{outcome}");
    }
}

#[test]
fn files_are_shown_with_all_that_is_known_of_them() {
    let mut house = House::new();
    let reference = ReferenceFile { key: "a".into(), columns: vec![], dialect: None, evidence: vec![] };
    wait(house.ledger.decide_schema(&house.import, &TableSchema::new(vec![]), Some(&reference))).unwrap();
    house.page(&["a", "b", "c", "d", "e"].map(|key| object(key, "1", 1)));
    let batch = house.claim_all(1_000);
    let outcome = |key: &str| match key {
        "a" => Some(partly()),
        "b" => Some(quarantined()),
        "c" => Some(failed()),
        "d" => Some(deferred(5_000)),
        _ => None,
    };
    house.commit(&batch, outcome, 1_001);
    let page = page(&house, &HistoryQuery { files: true, ..newest(1) });
    let [record] = &page.batches[..] else { panic!("one batch") };
    assert_eq!(record.files, 5, "claimed; one was given back");
    let uuid = house.record().uuid;
    let file = |key: &str, outcome: &str, rows, rows_quarantined, cause: Option<(&str, &str)>| FileRecord {
        key: key.into(),
        version: ObjectVersionId::of(uuid, BUCKET, key, "1", 10).hex(),
        outcome: outcome.into(),
        rows,
        rows_quarantined,
        rows_removed: 0,
        quarantined_removed: 0,
        bytes: 10,
        duration_ms: 5,
        code: cause.map(|(code, _)| code.into()),
        message: cause.map(|(_, message)| message.into()),
        reference: key == "a",
    };
    let expected = [
        file("a", "ingested", 7, 2, None),
        file("b", "quarantined", 0, 4, Some(("missing_column", "the file lacks column 'n'"))),
        file("c", "failed", 0, 0, Some(("bad_quotes", "line 7: a quote is never closed"))),
        file("d", "deferred", 0, 0, Some(("timeout", "gave up"))),
    ];
    assert_eq!(record.results, expected);
}

#[test]
fn a_page_is_bounded_however_much_is_asked_for() {
    let house = House::new();
    let fill = |db: &rusqlite::Connection, import: &crate::import::Import| {
        db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
             INSERT INTO batch (import, seq, uuid, label, kind, state, files, claimed_at)
             SELECT ?1, i, randomblob(16), 'b' || i, 'ingest', 'abandoned', 900, 0 FROM n",
            [import.id],
        )?;
        Ok(())
    };
    wait(house.ledger.write("fill", &house.import, fill)).unwrap();
    let whole = page(&house, &newest(u32::MAX));
    assert_eq!((whole.batches.len(), whole.next), (MAX_PAGE as usize, Some(1_501)));
    let with_files = page(&house, &HistoryQuery { files: true, ..newest(u32::MAX) });
    assert_eq!((with_files.batches.len() as u64, with_files.next), (MAX_PAGE_FILES / 900, Some(2_490)));
    assert_eq!(all(&house, HistoryQuery { files: true, ..newest(999) }).len(), 2_500);
}

#[test]
fn a_batch_larger_than_a_page_has_a_page_of_its_own() {
    let house = House::new();
    let fill = |db: &rusqlite::Connection, import: &crate::import::Import| {
        db.execute(
            "INSERT INTO batch (import, seq, uuid, label, kind, state, files, claimed_at)
             VALUES (?1, 1, randomblob(16), 'x', 'ingest', 'abandoned', ?2, 0),
                (?1, 2, randomblob(16), 'y', 'ingest', 'abandoned', ?2, 0)",
            [import.id, MAX_PAGE_FILES as i64 + 1],
        )?;
        Ok(())
    };
    wait(house.ledger.write("fill", &house.import, fill)).unwrap();
    let query = HistoryQuery { files: true, ..newest(5) };
    assert_eq!((page(&house, &query).batches.len(), all(&house, query).len()), (1, 2));
}
