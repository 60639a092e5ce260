//! Reading marks: who was being read when the process died, and how such a file is claimed.

use connector_core::claim::MAX_PASSED_OVER;

use super::*;

fn mark(house: &House, batch: &ClaimedBatch, started: &[usize], finished: &[usize]) -> Result<(), Failure> {
    let ids = |files: &[usize]| files.iter().map(|&n| batch.files[n].id).collect::<Vec<_>>();
    wait(house.ledger.mark_reading(&house.import, &ids(started), &ids(finished)))
}

fn page(house: &House, files: i64) {
    let page: Vec<_> = (0..files).map(|n| object(&format!("{n:02}"), "1", n)).collect();
    house.page(&page);
}

/// Another process opens the data directory, and abandons what was open.
fn restarted(dir: &Path, house: House) -> House {
    drop(house);
    let house = House::at(dir);
    if let Some(open) = house.record().open_batch {
        wait(house.ledger.abandon(&house.import, open.seq)).unwrap();
    }
    house
}

fn died(until: i64) -> FileOutcome {
    FileOutcome::Deferred { code: "decoder_died", message: "signal 6".into(), not_before: at(until) }
}

#[test]
fn case_15_what_was_being_read_when_the_process_died_is_claimed_alone_and_after_its_mates() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    page(&house, 5);
    let batch = house.claim_all(1_000);
    mark(&house, &batch, &[0, 1, 2], &[]).unwrap();
    mark(&house, &batch, &[3], &[0, 2]).unwrap();
    let mut house = restarted(dir.path(), house);
    let mates = house.claim_all(1_001);
    assert_eq!(keys(&mates), ["00", "02", "04"]);
    assert!(mates.files.iter().all(|file| !file.suspect));
    house.commit(&mates, |_| Some(ingested()), 1_001);
    for key in ["01", "03"] {
        let alone = house.claim_all(1_002);
        assert_eq!((keys(&alone), alone.files[0].suspect, alone.files[0].strikes), (vec![key], true, 0));
        house.commit(&alone, |_| Some(ingested()), 1_002);
        assert!(!house.known(key, "1").suspect);
    }
}

#[test]
fn marks_are_cleared_by_a_living_process_without_making_suspects() {
    type End = fn(&House, &ClaimedBatch);
    let ends: [End; 4] = [
        |house, batch| house.abandon(batch),
        |house, batch| house.settle(batch, |key| (key == "00").then(|| deferred(1_001)), 1_000),
        |house, batch| house.commit(batch, |key| (key == "00").then(ingested), 1_000),
        |house, batch| wait(house.ledger.trip_guard(&house.import, batch.seq, "bad")).unwrap(),
    ];
    for end in ends {
        let dir = tempfile::tempdir().unwrap();
        let mut house = House::at(dir.path());
        page(&house, 2);
        let batch = house.claim_all(1_000);
        mark(&house, &batch, &[0, 1], &[]).unwrap();
        end(&house, &batch);
        let house = restarted(dir.path(), house);
        assert_eq!(house.number("SELECT SUM(suspect) + (SELECT COUNT(*) FROM reading) FROM object"), 0);
    }
}

#[test]
fn a_staged_batch_has_no_suspects_and_can_be_read_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    page(&house, 1);
    let batch = house.claim_all(1_000);
    mark(&house, &batch, &[0], &[]).unwrap();
    house.try_stage(&batch, &staged(results(&batch, |_| Some(ingested())))).unwrap();
    assert_eq!(mark(&house, &batch, &[0], &[]).unwrap_err().code, "ledger_protocol");
    mark(&house, &batch, &[], &[0]).unwrap();
    drop(house);
    let house = House::at(dir.path());
    house.record();
    assert_eq!(house.number("SELECT SUM(suspect) FROM object"), 0);
}

#[test]
fn marks_of_files_of_no_open_batch_are_refused() {
    let mut house = House::new();
    page(&house, 1);
    let batch = house.claim_all(1_000);
    let mut foreign = batch.clone();
    foreign.files[0].id = ObjectVersionId([7; 16]);
    assert_eq!(mark(&house, &foreign, &[0], &[]).unwrap_err().code, "ledger_protocol");
    mark(&house, &foreign, &[], &[0]).unwrap();
    house.abandon(&batch);
    mark(&house, &batch, &[], &[0]).unwrap();
    assert_eq!(mark(&house, &batch, &[0], &[]).unwrap_err().code, "ledger_protocol");
}

#[test]
fn case_15_only_the_death_of_a_child_process_is_a_strike_and_a_read_that_ends_clears_them() {
    for (last, suspect) in [(failed(), false), (gone(), false), (ingested(), false), (deferred(1_300), true)] {
        let dir = tempfile::tempdir().unwrap();
        let mut house = House::at(dir.path());
        page(&house, 1);
        for kills in 0..100 {
            let batch = house.claim_all(1_000 + kills);
            mark(&house, &batch, &[0], &[]).unwrap();
            house = restarted(dir.path(), house);
        }
        let known = house.known("00", "1");
        assert_eq!((known.suspect, known.strikes, known.attempts), (true, 0, 0), "nobody but the operator killed it");
        for strikes in 1..=2 {
            let batch = house.claim_all(1_200);
            house.settle(&batch, |_| Some(died(1_200)), 1_200);
            let known = house.known("00", "1");
            assert_eq!((known.suspect, known.strikes), (true, strikes));
        }
        let batch = house.claim_all(1_200);
        assert_eq!((batch.files[0].suspect, batch.files[0].strikes), (true, 2));
        house.commit(&batch, |_| Some(last.clone()), 1_200);
        let known = house.known("00", "1");
        assert_eq!((known.suspect, known.strikes), (suspect, if suspect { 2 } else { 0 }));
    }
}

#[test]
fn a_file_that_was_set_aside_after_its_strikes_is_retried_as_a_suspect() {
    let mut house = House::new();
    page(&house, 2);
    let batch = house.claim_all(1_000);
    let dead = FileOutcome::Failed { code: "decoder_died", message: "three times".into() };
    house.settle(&batch, |key| Some(if key == "00" { dead.clone() } else { failed() }), 1_000);
    assert_eq!(house.retry(&Retry::Failed), 2);
    assert_eq!((house.known("00", "1").suspect, house.known("01", "1").suspect), (true, false));
}

#[test]
fn case_16_suspects_never_starve_and_never_hold_the_others_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    page(&house, 1);
    let batch = house.claim_all(1_000);
    mark(&house, &batch, &[0], &[]).unwrap();
    let mut house = restarted(dir.path(), house);
    let mut batches = Vec::new();
    for n in 1..30 {
        house.page(&[object(&format!("{n:02}"), "1", n)]);
        let batch = house.claim_all(1_000 + n);
        batches.push(keys(&batch).join(" "));
        house.commit(&batch, |_| Some(ingested()), 1_000 + n);
        if batches.last().is_some_and(|last| last == "00") {
            break;
        }
    }
    assert_eq!(batches.len() as u32, MAX_PASSED_OVER + 1);
    assert_eq!(batches[0], "01");
}

#[test]
fn a_replay_reads_suspects_alone_and_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    page(&house, 3);
    let batch = house.claim_all(1_000);
    house.commit(&batch, |_| Some(quarantined()), 1_000);
    let files = keyed(&house, &[("00", "1"), ("01", "1"), ("02", "1")]);
    let replay = claimed(&house.revise(&Revision::Replay { files: files.clone() }, 1_000));
    mark(&house, &replay, &[0, 2], &[]).unwrap();
    let mut house = restarted(dir.path(), house);
    for (expected, outcome) in [
        ("01", FileOutcome::Replayed { rows: 4 }),
        ("00", died(2_000)),
        ("00", FileOutcome::Replayed { rows: 4 }),
        ("02", FileOutcome::Replayed { rows: 4 }),
    ] {
        let batch = house.revise(&Revision::Replay { files: files.clone() }, 1_001);
        assert_eq!(keys(&claimed(&batch)), [expected]);
        house.commit_revision(&batch, |_| Some(outcome.clone()), 1_001);
    }
    assert!(house.states().values().all(|state| state == "ingested"));
    assert_eq!(house.number("SELECT SUM(suspect + strikes) FROM object"), 0);
}

#[test]
fn a_generation_that_is_restarted_in_the_same_process_makes_no_suspects() {
    let dir = tempfile::tempdir().unwrap();
    let mut house = House::at(dir.path());
    page(&house, 2);
    let batch = house.claim_all(1_000);
    mark(&house, &batch, &[0, 1], &[]).unwrap();
    let open = house.record().open_batch.unwrap();
    wait(house.ledger.abandon(&house.import, open.seq)).unwrap();
    let again = house.claim_all(1_001);
    assert_eq!((again.files.len(), again.files.iter().any(|file| file.suspect)), (2, false));
}
