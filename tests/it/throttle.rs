//! How much one tick takes, and in which order.

use std::time::{Duration, Instant};

use connector_core::history::BatchRecord;

use crate::harness::{Cloud, Daemon, ENGINES, Home, group_rows, python, until};

/// Last-modified seconds of `f00.csv` to `f11.csv`: not in the order of the keys, and with pairs of the same second, one
/// of which lies across the end of the first tick.
const SECONDS: [u64; 12] = [1_050, 1_003, 1_011, 1_004, 1_001, 1_004, 1_060, 1_002, 1_020, 1_011, 1_060, 1_005];

/// The files of [`SECONDS`] by (last-modified, key).
const OLDEST_FIRST: [&str; 12] = [
    "f04.csv", "f07.csv", "f01.csv", "f03.csv", "f05.csv", "f11.csv", "f02.csv", "f09.csv", "f08.csv", "f00.csv",
    "f06.csv", "f10.csv",
];

fn home_with_twelve_files(schedule: &str) -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", schedule);
    for (number, second) in SECONDS.into_iter().enumerate() {
        let key = format!("f{number:02}.csv");
        home.put("drop", &key, format!("id\n{number}\n")).touch("drop", &key, second);
    }
    (home, cloud)
}

fn files(history: &[BatchRecord]) -> Vec<u64> {
    history.iter().map(|batch| batch.files).collect()
}

#[test]
fn ticks_take_five_five_and_two_of_twelve_files_oldest_first() {
    let (home, cloud) = home_with_twelve_files("@auto");
    let daemon = Daemon::start(&home, cloud.endpoint(), "700ms");
    daemon.wait_for_files("orders", "ingested", 12);
    let history = home.history("orders");
    assert_eq!(files(&history), [5, 5, 2]);
    assert!(history.iter().all(|batch| batch.state == "committed"), "{history:?}");
    for pair in history.windows(2) {
        let apart = pair[1].claimed_at.duration_since(pair[0].claimed_at);
        assert!(apart.as_millis() >= 700, "two ticks within {apart}");
    }

    let Some(python) = python("ticks_take_five_five_and_two_of_twelve_files_oldest_first") else { return };
    let expected: Vec<(&str, &str)> =
        OLDEST_FIRST.iter().enumerate().map(|(place, key)| (history[place / 5].id.as_str(), *key)).collect();
    for engine in ENGINES {
        let groups = group_rows(&python, &home.table("orders"), engine, &["_batch_id", "_s3_key"]);
        let text = |group: &serde_json::Value, name: &str| group[name].as_str().expect("a text").to_owned();
        let found: Vec<_> = groups.iter().map(|group| (text(group, "_batch_id"), text(group, "_s3_key"))).collect();
        // Within a batch the groups come by key.
        let mut expected: Vec<_> = expected.iter().map(|(id, key)| ((*id).to_owned(), (*key).to_owned())).collect();
        expected.sort();
        assert_eq!(found, expected, "{engine}");
    }
}

#[test]
fn case_18_a_restart_does_not_defeat_the_cap() {
    let (home, cloud) = home_with_twelve_files("@auto");
    // The first life ends in the middle of its batch, or right after: what it had claimed is claimed again for free.
    let daemon = Daemon::start(&home, cloud.endpoint(), "3600s");
    until("the first claim", || {
        let files = daemon.status("orders")["counts"]["files"].clone();
        (files["claimed"] == 5 || files["ingested"] == 5).then_some(())
    });
    daemon.kill();
    for life in 0..4 {
        let daemon = Daemon::start(&home, cloud.endpoint(), "3600s");
        until("the five files of the tick", || {
            let ingested = daemon.status("orders")["counts"]["files"]["ingested"].as_u64()?;
            assert!(ingested <= 5, "{ingested} files in one tick");
            (ingested == 5).then_some(())
        });
        until("a scan", || {
            let sample = "s3_connector_scan_duration_seconds_count{connection=\"shop\",import=\"orders\"}";
            daemon.metric(sample).filter(|scans| *scans >= 1.0)
        });
        // The claim follows the scan at once, and would show soon.
        for _ in 0..20 {
            let files = daemon.status("orders")["counts"]["files"].clone();
            assert_eq!((&files["ingested"], &files["claimed"], &files["pending"]), (&5.into(), &0.into(), &7.into()));
        }
        if life % 2 == 0 { daemon.kill() } else { assert_eq!(daemon.terminate().0, 0) }
    }
    let history = home.history("orders");
    let committed: Vec<_> = history.iter().filter(|batch| batch.state == "committed").collect();
    assert_eq!(committed.iter().map(|batch| batch.files).sum::<u64>(), 5, "{history:?}");
    // What was being read when the program was killed comes alone.
    assert!(history.iter().all(|batch| batch.files <= 5), "{history:?}");
}

#[test]
fn on_demand_takes_everything_in_one_batch_when_the_api_is_asked() {
    let (home, cloud) = home_with_twelve_files("@on-demand");
    let daemon = Daemon::start(&home, cloud.endpoint(), "100ms");
    daemon.wait_for_state("orders", "Running");
    let token = std::fs::read_to_string(home.path("data/api-token")).expect("the token");
    assert_eq!(daemon.post("/api/v1/imports/orders/sync", "not-the-token").0, 401);
    assert_eq!(daemon.post("/api/v1/imports/nothing/sync", token.trim()).0, 404);
    // Without being asked, nothing happens, however many ticks go by.
    let asked = Instant::now();
    until("five ticks", || {
        let counts = daemon.status("orders")["counts"].clone();
        assert_eq!((&counts["files"]["ingested"], &counts["batches"]), (&0.into(), &0.into()));
        (asked.elapsed() > Duration::from_millis(500)).then_some(())
    });
    let (code, body) = daemon.post("/api/v1/imports/orders/sync", token.trim());
    assert_eq!(code, 202, "{body}");
    daemon.wait_for_files("orders", "ingested", 12);
    assert_eq!(files(&home.history("orders")), [12]);
}

#[test]
fn run_once_takes_everything_in_one_batch_whatever_the_schedule() {
    for schedule in ["@on-demand", "@auto"] {
        let (home, cloud) = home_with_twelve_files(schedule);
        home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
        assert_eq!(files(&home.history("orders")), [12], "{schedule}");
    }
}
