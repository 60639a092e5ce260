//! The program is ended: by a crash within a recovery from a crash, and by SIGTERM in the middle of something.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::{Daemon, until};
use crate::workload::{Judge, Sample, datasource};
use crate::world::{Installation, World};

/// Where the first crash is: what is left behind ranges from a claimed batch to one that has landed.
const FIRST: [&str; 6] = [
    "ledger::claim::after",
    "table::writer::finish::after",
    "ledger::stage::after",
    "quarantine::commit::after",
    "table::commit::after",
    "ledger::finalise::before",
];
/// How many second crashes are tried after each first one.
const SECOND: usize = 6;

#[test]
fn case_02_a_crash_within_the_recovery_from_a_crash() {
    let Some(world) = World::new("case_02_a_crash_within_the_recovery_from_a_crash", 4) else { return };
    let mut random = fastrand::Rng::with_seed(2);
    let mut judge = world.judge();
    for first in FIRST {
        let crashed = world.install();
        let once = &["run", "--once"];
        let ended = crashed.run(once, &format!("{first}=1*return(abort)")).expect("it ends");
        assert_eq!(ended.code, None, "{first}: {}", ended.said);
        let folder = tempfile::tempdir().expect("a folder");
        let saved = folder.path().join("data");
        crashed.save(&saved);
        crashed.complete().unwrap_or_else(|why| panic!("{first}: {why}"));
        let mut points: Vec<String> = crashed.run(once, "").expect("it ends").passed.into_keys().collect();
        crashed.restore(&saved);
        points.extend(crashed.run(once, "").expect("it ends").passed.into_keys());
        points.sort();
        points.dedup();
        for _ in 0..SECOND {
            let [second, third] = [(); 2].map(|()| points[random.usize(..points.len())].clone());
            let at = world.install();
            at.restore(&saved);
            let mut crashes = 0;
            for point in [&second, &third] {
                let ended = at.run(once, &format!("{point}=1*return(abort)")).expect("it ends");
                crashes += u32::from(ended.code.is_none());
            }
            at.complete().unwrap_or_else(|why| panic!("{first}, {second}, {third}: {why}"));
            let verdict = at.compare(&mut judge, &world.samples);
            assert_eq!(verdict.wrong(), None, "{first}, {second}, {third} ({crashes} crashes)");
        }
    }
}

/// Starts a daemon that comes to a halt at a point, ends it there, and finds everything in order afterwards.
fn terminated_at(world: &World, at: &Installation<'_>, point: &str, action: &str) {
    at.home.datasource_text("orders", &datasource("@auto"));
    let mut command = at.command(&["run"], &format!("{point}=1*{action}"));
    let daemon = Daemon::spawn(command.env("S3_CONNECTOR_LIMITS_TICK", "200ms"));
    let log = at.home.path("passed");
    until(point, || fs::read_to_string(&log).ok()?.lines().any(|passed| passed == point).then_some(()));
    let asked = Instant::now();
    let (code, said) = daemon.terminate();
    assert_eq!(code, 0, "{point}={action}: {said}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{point}={action}: it took {:?}", asked.elapsed());
    at.home.datasource_text("orders", &datasource("@on-demand"));
    at.complete().unwrap_or_else(|why| panic!("{point}={action}: {why}"));
    let verdict = at.compare(&mut world.judge(), &world.samples);
    assert_eq!(verdict.wrong(), None, "{point}={action}: {said}");
}

#[test]
fn case_03_sigterm_during_a_read_and_during_a_commit() {
    let Some(world) = World::new("case_03_sigterm_during_a_read_and_during_a_commit", 4) else { return };
    let points = [
        "source::list_page::before",
        "source::read_range::before",
        "ledger::claim::after",
        "table::writer::finish::before",
        "quarantine::commit::before",
        "quarantine::commit::after",
        "table::commit::before",
        "table::commit::after",
        "ledger::finalise::before",
    ];
    std::thread::scope(|scope| {
        for point in points {
            for action in ["sleep(1500)", "return(hang)"] {
                let world = &world;
                scope.spawn(move || terminated_at(world, &world.install(), point, action));
            }
        }
    });
}

/// A file over which the process dies each time: its mates land once it is gone.
#[test]
fn a_fault_can_be_bound_to_one_file() {
    let Some(world) = World::new("a_fault_can_be_bound_to_one_file", 3) else { return };
    let at = world.install();
    let key = &world.samples[1].key;
    let mut command = at.command(&["run", "--once"], "source::read_range::before=return(error)");
    let output = command.env("FAILPOINT_KEY", key).output().expect("it starts");
    let counts = at.home.counts("orders");
    let files = |state: &str| counts.files.get(state).copied().unwrap_or(0);
    assert_eq!((files("ingested"), output.status.code()), (2, Some(4)), "{output:?}");
    at.complete().expect("without the fault");
    assert_eq!(at.compare(&mut world.judge(), &world.samples).wrong(), None);
}

/// Expects something else than what is there.
type Alter = fn(&mut Vec<Sample>);

/// The judge of these tests objects to each defect that it is there for.
#[test]
fn the_judge_finds_each_defect() {
    let Some(world) = World::new("the_judge_finds_each_defect", 4) else { return };
    let at = world.install();
    at.complete().expect("without faults");
    let mut judge = world.judge();
    assert_eq!(at.compare(&mut judge, &world.samples).wrong(), None);

    let altered = |alter: Alter| {
        let mut samples = world.samples.clone();
        alter(&mut samples);
        samples
    };
    let defects: [(&str, Alter); 5] = [
        ("phantom", |samples| drop(samples.remove(0))),
        ("phantom", |samples| samples[0].expired = true),
        ("lost", |samples| samples[0].rows += 1),
        ("altered", |samples| samples[0].first += 1),
        ("misplaced", |samples| samples[1].bad.clear()),
    ];
    for (defect, alter) in defects {
        let verdict = at.compare(&mut judge, &altered(alter));
        assert!(verdict.wrong().is_some() && verdict.0[defect] != serde_json::json!([]), "{defect}: {verdict:?}");
    }
    let twice = |judge: &mut Judge| judge.compare(&at.home.table("orders"), &at.home.table("orders"), &world.samples);
    assert_ne!(twice(&mut judge).0["doubled"], serde_json::json!([]));
}
