//! Batches that revise rows which are there: replay, rollback, expiry; and better versions of quarantined objects.

use connector_core::claim::{MAX_BATCH_BYTES, MAX_BATCH_FILES};
use connector_core::error::ErrorClass;
use connector_core::revision::{BatchKind, RowDigest};

use super::*;

/// One batch: `whole` in quarantine, `part` with two bad rows, `good` and one that failed.
fn ended() -> (House, ClaimedBatch) {
    let mut house = House::new();
    let page = ["whole", "part", "good", "fail"].iter().zip(1..).map(|(key, n)| object(key, "1", n));
    house.page(&page.collect::<Vec<_>>());
    let batch = house.claim_all(1_000);
    let outcome = |key: &str| {
        Some(match key {
            "whole" => quarantined(),
            "part" => partly(),
            "good" => ingested(),
            _ => failed(),
        })
    };
    house.commit(&batch, outcome, 1_000);
    (house, batch)
}

fn all(house: &House) -> Vec<KeyedVersion> {
    keyed(house, &[("whole", "1"), ("part", "1"), ("good", "1"), ("fail", "1"), ("nobody", "1")])
}

fn rollback(batch: &ClaimedBatch) -> Revision {
    Revision::Rollback { batch: batch.id.clone() }
}

#[test]
fn a_replay_takes_what_has_rows_in_quarantine_and_leaves_every_state_alone_until_it_is_finalised() {
    let (mut house, _) = ended();
    house.page(&[object("new", "1", 9)]);
    let (states, counts) = (house.states(), house.counts(1_000));
    let batch = house.revise(&Revision::Replay { files: all(&house) }, 1_000);
    let files: Vec<_> = batch.files.iter().map(|(file, account)| (&*file.key, account.in_quarantine)).collect();
    assert_eq!((batch.seq, batch.kind, files), (2, BatchKind::Replay, vec![("whole", 4), ("part", 2)]));
    assert_eq!(batch.unknown, keyed(&house, &[("nobody", "1")]));
    assert_eq!((house.states(), house.counts(1_000)), (states.clone(), counts));
    assert_eq!(house.record().open_batch.unwrap().kind, BatchKind::Replay);
    house.try_claim(ClaimLimit::Unlimited, 1_000).unwrap_err();
    house.try_revise(&Revision::Replay { files: all(&house) }, 1_000).unwrap_err();

    let mut stage = staged(results(&claimed(&batch), |key| {
        Some(FileOutcome::Replayed { rows: if key == "whole" { 3 } else { 2 } })
    }));
    stage.quarantine_removes = StagedRemoval::Moved;
    house.try_stage(&claimed(&batch), &stage).unwrap();
    assert_eq!(house.record().open_batch.unwrap().staged, Some(stage));
    assert_eq!(house.states(), states);
    wait(house.ledger.finalise(&house.import, 2, 41, at(1_001))).unwrap();
    assert_eq!((house.state("whole 1"), house.state("part 1")), ("ingested".into(), "ingested".into()));
    assert_eq!((house.rows("whole", "1"), house.rows("part", "1")), ([3, 1, 0], [9, 0, 0]));
    let counts = house.counts(1_001);
    assert_eq!((counts.rows, counts.rows_quarantined, counts.batches, counts.bytes), (19, 1, 2, 30));
    let left = house.revise(&Revision::Replay { files: all(&house) }, 1_002);
    assert_eq!(left.files.iter().map(|(file, _)| &*file.key).collect::<Vec<_>>(), ["whole"]);
}

#[test]
fn a_replay_of_which_no_row_fits_is_settled_and_changes_nothing() {
    let (mut house, _) = ended();
    let files = all(&house);
    let batch = house.revise(&Revision::Replay { files: files.clone() }, 1_000);
    let states = house.states();
    let outcome = |key: &str| Some(if key == "whole" { FileOutcome::Replayed { rows: 0 } } else { gone() });
    let results = results(&claimed(&batch), outcome);
    wait(house.ledger.settle(&house.import, 2, &results, at(1_001))).unwrap();
    assert_eq!((house.states(), house.rows("whole", "1"), house.rows("part", "1")), (states, [0, 4, 0], [7, 2, 0]));
    assert_eq!(house.revise(&Revision::Replay { files }, 1_002).seq, 2);
    wait(house.ledger.abandon(&house.import, 2)).unwrap();
    let good = keyed(&house, &[("good", "1"), ("nobody", "1")]);
    assert_eq!(house.try_revise(&Revision::Replay { files: good }, 1_002).unwrap(), None);
    assert_eq!(house.claim(ClaimLimit::Unlimited, 1_002).batch, None, "a replay claims nothing to be read again");
}

#[test]
fn a_replay_is_bounded_in_files_and_bytes() {
    let mut house = House::new();
    let page: Vec<_> = (0..1_010).map(|n| object(&format!("{n:04}"), "1", n)).collect();
    house.page(&page);
    for now in [2_000, 2_001] {
        let batch = house.claim_all(now);
        house.commit(&batch, |_| Some(quarantined()), now);
    }
    let names: Vec<(String, &str)> = (0..1_010).map(|n| (format!("{n:04}"), "1")).collect();
    let names: Vec<(&str, &str)> = names.iter().map(|(key, etag)| (key.as_str(), *etag)).collect();
    let files = keyed(&house, &names);
    assert_eq!(house.revise(&Revision::Replay { files }, 3_000).files.len(), MAX_BATCH_FILES);

    let mut house = House::new();
    let mut big = [object("a", "1", 1), object("b", "1", 2)];
    big[1].object.size = MAX_BATCH_BYTES;
    house.page(&big);
    for now in [1_000, 1_001] {
        let batch = house.claim_all(now);
        house.commit(&batch, |_| Some(quarantined()), now);
    }
    let mut files = keyed(&house, &[("a", "1")]);
    files.push(KeyedVersion { key: "b".into(), id: house.known("b", "1").id });
    for left in [1, 1] {
        let batch = house.revise(&Revision::Replay { files: files.clone() }, 1_002);
        assert_eq!(batch.files.len(), left);
        house.commit_revision(&batch, |_| Some(FileOutcome::Replayed { rows: 4 }), 1_003);
    }
    assert_eq!(house.try_revise(&Revision::Replay { files }, 1_004).unwrap(), None);
}

#[test]
fn a_rollback_takes_back_what_the_batch_brought_with_what_was_replayed_since() {
    let (mut house, first) = ended();
    let files = keyed(&house, &[("part", "1")]);
    let replay = house.revise(&Revision::Replay { files }, 1_000);
    house.commit_revision(&replay, |_| Some(FileOutcome::Replayed { rows: 1 }), 1_000);
    house.page(&[object("later", "1", 9)]);
    let second = house.claim_all(1_001);
    house.commit(&second, |_| Some(partly()), 1_001);

    let batch = house.revise(&rollback(&first), 1_002);
    let files: Vec<_> = batch.files.iter().map(|(file, a)| (&*file.key, a.in_table, a.in_quarantine)).collect();
    assert_eq!((batch.kind, files), (BatchKind::Rollback, vec![("whole", 0, 4), ("part", 8, 1), ("good", 7, 0)]));
    let rows = |key: &str| {
        let (_, account) = batch.files.iter().find(|(file, _)| &*file.key == key)?;
        Some(FileOutcome::RolledBack { rows: account.in_table, rows_quarantined: account.in_quarantine })
    };
    house.commit_revision(&batch, rows, 1_003);
    for key in ["whole", "part", "good"] {
        assert_eq!(house.state(&format!("{key} 1")), "skipped:rolled_back");
    }
    assert_eq!((house.state("fail 1"), house.state("later 1")), ("failed".into(), "ingested".into()));
    assert_eq!((house.rows("part", "1"), house.rows("good", "1")), ([0, 0, 9], [0, 0, 7]));
    let counts = house.counts(1_003);
    assert_eq!((counts.rows, counts.rows_quarantined), (7, 2), "later stays");
    assert_eq!(house.try_revise(&rollback(&first), 1_004).unwrap(), None, "nothing is left of it");
    let results = house.known("part", "1").results;
    let seen: Vec<_> =
        results.iter().map(|r| (r.kind.as_str(), r.file.outcome.as_str(), r.file.rows_removed)).collect();
    assert_eq!(seen, [("ingest", "ingested", 0), ("replay", "replayed", 0), ("rollback", "rolled_back", 8)]);
}

#[test]
fn a_rollback_of_anything_else_is_refused_by_name() {
    let (mut house, first) = ended();
    let refused = |house: &mut House, id: &BatchId| {
        let failure = house.try_revise(&Revision::Rollback { batch: id.clone() }, 1_000).unwrap_err();
        assert_eq!(failure.class, ErrorClass::Config);
        assert!(failure.message.contains("`s3-connector history events`"), "{failure}");
        failure.code
    };
    assert_eq!(refused(&mut house, &BatchId::from_stored("no such")), "no_such_batch");
    let files = all(&house);
    let replay = house.revise(&Revision::Replay { files }, 1_000);
    house.commit_revision(&replay, |_| Some(FileOutcome::Replayed { rows: 1 }), 1_000);
    assert_eq!(refused(&mut house, &replay.id), "not_an_ingest_batch");
    house.page(&[object("x", "1", 9), object("y", "1", 9)]);
    let abandoned = house.claim_all(1_000);
    house.abandon(&abandoned);
    let settled = house.claim_all(1_000);
    house.settle(&settled, |_| Some(failed()), 1_000);
    for batch in [abandoned, settled] {
        assert_eq!(refused(&mut house, &batch.id), "no_such_batch");
    }
    assert_eq!(house.revise(&rollback(&first), 1_000).files.len(), 3);
}

#[test]
fn what_was_rolled_back_waits_to_be_asked_for_and_its_key_may_bring_another_version() {
    let (mut house, first) = ended();
    let batch = house.revise(&rollback(&first), 1_000);
    let accounts: BTreeMap<String, _> =
        batch.files.iter().map(|(file, account)| (file.key.to_string(), *account)).collect();
    let rolled_back = |key: &str| {
        accounts.get(key).map(|a| FileOutcome::RolledBack { rows: a.in_table, rows_quarantined: a.in_quarantine })
    };
    house.commit_revision(&batch, rolled_back, 1_000);
    let page = ["whole", "part", "good"].map(|key| object(key, "1", 1));
    assert_eq!(house.page(&page).known, 3);
    house.finish_scan(1_000);
    assert_eq!(house.claim(ClaimLimit::Unlimited, 1_000).batch, None);
    assert_eq!(house.page(&[object("good", "2", 5)]).new, 1, "rolled back is not ingested");
    assert_eq!(house.retry(&Retry::RolledBack(first.id.clone())), 2, "of good there is a newer version");
    assert_eq!(house.retry(&Retry::RolledBack(first.id.clone())), 0);
    let again = house.claim_all(1_001);
    assert_eq!((keys(&again), &*again.files[2].etag), (vec!["part", "whole", "good"], "2"));
    house.commit(&again, |_| Some(partly()), 1_001);
    assert_eq!(house.rows("part", "1"), [7, 2, 0], "a new account");
    assert_eq!(house.try_revise(&rollback(&first), 1_002).unwrap(), None, "those are the rows of the later batch");
    assert_eq!(house.revise(&rollback(&again), 1_002).files.len(), 3);
    let unknown = wait(house.ledger.retry(&house.import, &Retry::RolledBack(BatchId::from_stored("x")), at(1)));
    assert_eq!(unknown.unwrap_err().code, "no_such_batch");
}

#[test]
fn an_expiry_changes_accounts_and_nothing_else() {
    let (mut house, _) = ended();
    let states = house.states();
    let batch = house.revise(&Revision::Expiry { files: all(&house) }, 1_000);
    assert_eq!((batch.files.len(), batch.unknown.len(), batch.kind), (4, 1, BatchKind::Expiry));
    let digest = RowDigest::of_first(house.known("good", "1").id, 3);
    let mut stage =
        staged(results(&claimed(&batch), |key| (key == "good").then_some(FileOutcome::Expired { rows: 3, digest })));
    stage.removes = StagedRemoval::DataFiles(vec!["a b.parquet".into(), "ü=%2F/c.parquet".into()]);
    house.try_stage(&claimed(&batch), &stage).unwrap();
    assert_eq!(house.record().open_batch.unwrap().staged, Some(stage));
    wait(house.ledger.finalise(&house.import, 2, 41, at(1_001))).unwrap();
    assert_eq!((house.states(), house.rows("good", "1")), (states, [4, 0, 3]));
    assert_eq!(house.known("good", "1").account.expired, digest);
    assert_eq!(house.counts(1_001).rows, 11);
    let batch = house.revise(&Revision::Expiry { files: all(&house) }, 1_002);
    wait(house.ledger.abandon(&house.import, batch.seq)).unwrap();
    assert_eq!(house.rows("good", "1"), [4, 0, 3]);
}

#[test]
fn a_better_version_takes_the_rows_of_a_quarantined_one_out_of_quarantine() {
    for outcome in [ingested(), partly(), quarantined()] {
        let (mut house, _) = ended();
        house.page(&[object("whole", "2", 9), object("part", "2", 9)]);
        let batch = house.claim_all(1_000);
        let [(better, superseded)] = batch.supersedes[..] else { panic!("one") };
        let old = house.known("whole", "1").id;
        assert_eq!((better, superseded.id, superseded.rows), (batch.files[0].id, old, 4));
        let mut all = results(&batch, |_| Some(outcome.clone()));
        let outcome = FileOutcome::Superseded { rows_quarantined: 4 };
        all.push(FileResult { id: old, outcome, bytes: 0, duration_ms: 0 });
        let stage = staged(all);
        assert_eq!(stage.quarantine_removes, StagedRemoval::Versions(vec![old]));
        house.try_stage(&batch, &stage).unwrap();
        assert_eq!(house.record().open_batch.unwrap().staged, Some(stage));
        wait(house.ledger.finalise(&house.import, 2, 41, at(1_001))).unwrap();
        assert_eq!((house.state("whole 1"), house.rows("whole", "1")), ("quarantined:replaced".into(), [0, 0, 4]));
    }
}

#[test]
fn a_better_version_that_is_not_committed_supersedes_nothing() {
    let (mut house, _) = ended();
    house.page(&[object("whole", "2", 9)]);
    let batch = house.claim_all(1_000);
    let superseded = FileResult {
        id: batch.supersedes[0].1.id,
        outcome: FileOutcome::Superseded { rows_quarantined: 4 },
        bytes: 0,
        duration_ms: 0,
    };
    let mut alone = results(&batch, |_| Some(failed()));
    alone.push(superseded.clone());
    assert_eq!(house.try_stage(&batch, &staged(alone)).unwrap_err().code, "ledger_protocol");
    house.settle(&batch, |_| Some(deferred(1_001)), 1_000);
    assert_eq!((house.state("whole 1"), house.rows("whole", "1")), ("quarantined".into(), [0, 4, 0]));
    let batch = house.claim_all(1_002);
    assert_eq!(batch.supersedes.len(), 1, "it is offered again");
}

#[test]
fn what_a_revising_batch_cannot_be_is_refused_and_changes_nothing() {
    let (mut house, first) = ended();
    let files = all(&house);
    let replay = claimed(&house.revise(&Revision::Replay { files }, 1_000));
    let of = |outcome: FileOutcome| staged(results(&replay, |key| (key == "whole").then(|| outcome.clone())));
    let mut silent = of(FileOutcome::Replayed { rows: 1 });
    silent.quarantine_removes = StagedRemoval::Nothing;
    let mut without_rows = of(FileOutcome::Replayed { rows: 1 });
    without_rows.files.clear();
    let refused = [
        of(ingested()),
        of(quarantined()),
        of(FileOutcome::RolledBack { rows: 0, rows_quarantined: 4 }),
        of(FileOutcome::Superseded { rows_quarantined: 4 }),
        of(FileOutcome::Replayed { rows: 5 }),
        silent,
        without_rows,
    ];
    let before = house.states();
    for bad in refused {
        assert_eq!(house.try_stage(&replay, &bad).unwrap_err().code, "ledger_protocol", "{bad:?}");
    }
    let moves = results(&replay, |_| Some(FileOutcome::Replayed { rows: 1 }));
    wait(house.ledger.settle(&house.import, 2, &moves, at(1))).unwrap_err();
    wait(house.ledger.abandon(&house.import, 2)).unwrap();
    let back = claimed(&house.revise(&rollback(&first), 1_000));
    for (rows, rows_quarantined) in [(6, 2), (8, 2), (7, 1)] {
        let outcome = FileOutcome::RolledBack { rows, rows_quarantined };
        let bad = staged(results(&back, |key| (key == "part").then(|| outcome.clone())));
        assert_eq!(house.try_stage(&back, &bad).unwrap_err().code, "ledger_protocol", "all of them or none");
    }
    assert_eq!(house.states(), before);
}

#[test]
fn an_open_revising_batch_pins_no_watermark_and_uses_no_waiver_up() {
    let (mut house, _) = ended();
    wait(house.ledger.set_paused(&house.import, true)).unwrap();
    house.page(&[object("x", "1", 20)]);
    house.claim_all(1_000);
    wait(house.ledger.trip_guard(&house.import, 2, "bad")).unwrap();
    wait(house.ledger.set_paused(&house.import, false)).unwrap();
    let x = house.claim_all(1_000);
    house.settle(&x, |_| Some(failed()), 1_000);
    let files = all(&house);
    let replay = house.revise(&Revision::Replay { files }, 1_000);
    house.finish_scan(1_000);
    assert_eq!(house.counts(1_000).watermark.unwrap().key, "x");
    house.commit_revision(&replay, |_| Some(FileOutcome::Replayed { rows: 1 }), 1_000);
    assert!(house.record().guard_waived);
}
