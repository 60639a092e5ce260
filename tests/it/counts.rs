//! Every place that counts says the same, and none of them says a secret.

use std::path::Path;

use serde_json::Value;

use crate::harness::{CALLER_SECRET, Cloud, Daemon, ENGINES, Home, group_rows, python, read_table, until};

const SAMPLE: &str = "connection=\"shop\",import=\"orders\"";

const GOOD: [&str; 2] = ["id,name\n1,one\n2,two\n3,three\n", "id,name\n4,four\n5,five\n"];
const GOOD_BYTES: u64 = (GOOD[0].len() + GOOD[1].len()) as u64;
const BAD: &str = "id,name\n6,six\nseven,seven\neight,eight\n9,nine\n";
const LACKING: &str = "id\n10\n11\n12\n";
/// UTF-16.
const UNREADABLE: &[u8] = b"\xFF\xFEi\0d\0\n\0";

/// Two good files of 3 and 2 rows, one with two bad rows beside two good ones, one that does not fit at all, one that
/// cannot be read, and what is skipped: empty, hidden, of no known format.
fn mixed_home() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text(
        "orders",
        "SCHEMA >\n    id Int64,\n    name String\n\n\
         IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop\nIMPORT_SCHEDULE @auto\n",
    );
    home.put("drop", "a.csv", GOOD[0]).put("drop", "b/c.csv", GOOD[1]).put("drop", "bad.csv", BAD);
    home.put("drop", "lacking.csv", LACKING).put("drop", "wide.csv", UNREADABLE);
    home.put("drop", "empty.csv", "").put("drop", "b/_SUCCESS", "done").put("drop", "notes.txt", "hello");
    (home, cloud)
}

/// Starts a daemon and waits until everything of [`mixed_home`] has its outcome.
fn settled(home: &Home, cloud: &Cloud) -> (Daemon, Value) {
    let mut command = home.command(cloud.endpoint(), &["run"]);
    let daemon = Daemon::spawn(command.env("S3_CONNECTOR_LIMITS_TICK", "200ms").env("S3_CONNECTOR_LOG_LEVEL", "trace"));
    daemon.wait_for_files("orders", "ingested", 3);
    daemon.wait_for_files("orders", "quarantined", 1);
    daemon.wait_for_files("orders", "failed", 1);
    // Read again under another ETag: a key that was ingested is not read twice, and that is counted, too.
    home.put("drop", "a.csv", "id,name\n1,ONE\n");
    until("the overwritten object to be skipped", || {
        (daemon.status("orders")["counts"]["files"]["skipped"] == 4).then_some(())
    });
    let status = daemon.status("orders");
    (daemon, status)
}

#[test]
fn status_metrics_ledger_and_table_count_the_same() {
    let (home, cloud) = mixed_home();
    let (daemon, running) = settled(&home, &cloud);

    // The API, and `status` which asks it.
    let files = &running["counts"]["files"];
    let states = [("ingested", 3), ("quarantined", 1), ("failed", 1), ("skipped", 4), ("pending", 0), ("claimed", 0)];
    for (state, count) in states {
        assert_eq!(files[state], count, "{state} in {files}");
    }
    let counts = &running["counts"];
    assert_eq!(
        (&counts["rows"], &counts["rows_quarantined"], &counts["backlog_files"]),
        (&7.into(), &5.into(), &0.into())
    );
    assert_eq!((&counts["schema_version"], &counts["reference"]), (&1.into(), &"a.csv".into()));
    let failures: Vec<(&str, &str)> = counts["recent_failures"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|failed| Some((failed["key"].as_str()?, failed["code"].as_str()?)))
        .collect();
    assert!(failures.contains(&("lacking.csv", "missing_column")), "{failures:?}");
    assert!(failures.contains(&("wide.csv", "encoding")), "{failures:?}");
    let asked = home.status(Some(daemon.api), "orders");
    assert_eq!(without_times(&asked), without_times(&running));

    // The metrics of this process, which has seen it all.
    for (name, outcome, expected) in [
        ("files", "ingested", 3.0),
        ("files", "quarantined", 1.0),
        ("files", "failed", 1.0),
        ("files", "skipped", 4.0),
        ("files", "deferred", 0.0),
        ("files", "gone", 0.0),
        ("rows", "ingested", 7.0),
        ("rows", "quarantined", 5.0),
    ] {
        let sample = format!("s3_connector_{name}_total{{{SAMPLE},outcome=\"{outcome}\"}}");
        assert_eq!(daemon.metric(&sample), Some(expected), "{sample}");
    }
    // Read from S3: also what did not become rows.
    let read: u64 = home.history("orders").iter().map(|batch| batch.bytes).sum();
    let sample = format!("s3_connector_bytes_read_total{{{SAMPLE}}}");
    assert_eq!(daemon.metric(&sample), Some(read as f64), "{sample}");
    // Each file is inspected before it is read.
    assert!(read >= GOOD_BYTES + (BAD.len() + LACKING.len()) as u64, "{read}");
    let sample = format!("s3_connector_schema_version{{{SAMPLE}}}");
    until("the gauges to be measured", || daemon.metric(&sample).filter(|version| *version == 1.0));
    let sample = format!("s3_connector_errors_total{{{SAMPLE},stage=\"decode\",error_code=\"missing_column\"}}");
    assert_eq!(daemon.metric(&sample), Some(1.0), "{sample}");

    // `status` without a running program, and the ledger itself.
    assert_eq!(daemon.terminate().0, 0);
    let stopped = home.status(None, "orders");
    assert_eq!(stopped["state"], "Stopped");
    assert_eq!(without_times(&stopped)["counts"], without_times(&running)["counts"]);
    let history = home.history("orders");
    assert_eq!(history.iter().map(|batch| batch.rows).sum::<u64>(), 7);
    let ledger = home.counts("orders");
    assert_eq!((ledger.rows, ledger.rows_quarantined), (7, 5));
    assert_eq!((ledger.files["ingested"], ledger.files["quarantined"], ledger.files["failed"]), (3, 1, 1));

    let Some(python) = python("status_metrics_ledger_and_table_count_the_same") else { return };
    for engine in ENGINES {
        let table = read_table(&python, &home.table("orders"), engine, Some("id"));
        assert_eq!((&table["rows"], &table["distinct_rows"]), (&7.into(), &7.into()), "{table}");
        assert_eq!(table["ids"], serde_json::json!({"count": 7, "distinct": 7, "min": 1, "max": 9}));
        let by_key = group_rows(&python, &home.table("orders"), engine, &["_s3_key"]);
        let expected = serde_json::json!([
            {"_s3_key": "a.csv", "rows": 3},
            {"_s3_key": "b/c.csv", "rows": 2},
            {"_s3_key": "bad.csv", "rows": 2},
        ]);
        assert_eq!(Value::Array(by_key), expected);
        let by_key = group_rows(&python, &home.table("orders_quarantine"), engine, &["_s3_key"]);
        let expected = serde_json::json!([{"_s3_key": "bad.csv", "rows": 2}, {"_s3_key": "lacking.csv", "rows": 3}]);
        assert_eq!(Value::Array(by_key), expected);
    }
}

/// A status without what moves by itself.
fn without_times(status: &Value) -> Value {
    let mut status = status.clone();
    status["counts"]["last_scan_at"] = Value::Null;
    status
}

#[test]
fn health_and_readiness_answer() {
    let (home, cloud) = mixed_home();
    let (daemon, _) = settled(&home, &cloud);
    assert_eq!(daemon.get(daemon.metrics, "/healthz"), (200, "ok".to_owned()));
    let (code, body) = daemon.get(daemon.metrics, "/readyz");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let expected =
        serde_json::json!({"ready": true, "draining": false, "imports": [{"import": "orders", "state": "Running"}]});
    assert_eq!((code, body), (200, expected));
    // Commands and status are not served where everybody may ask.
    assert_eq!(daemon.get(daemon.metrics, "/api/v1/status").0, 404);
}

#[test]
fn a_secret_is_written_nowhere() {
    let (home, cloud) = mixed_home();
    let (daemon, status) = settled(&home, &cloud);
    let metrics = daemon.get(daemon.metrics, "/metrics").1;
    let (code, log) = daemon.terminate();
    assert_eq!(code, 0);
    // At this level the log holds more than anybody would keep.
    assert!(log.contains("\"level\":\"TRACE\"") || log.contains("\"level\":\"DEBUG\""), "{log}");
    let check = home.run(cloud.endpoint(), &["check"]).expect_code(0);
    for (place, text) in [
        ("log", &log),
        ("metrics", &metrics),
        ("status", &status.to_string()),
        ("check", &(check.stdout + &check.stderr)),
    ] {
        assert!(!text.contains(CALLER_SECRET), "the secret is in the {place}:\n{text}");
    }
    let mut files = 0;
    look_into(&home.path("data"), &mut |path, bytes| {
        files += 1;
        let found = bytes.windows(CALLER_SECRET.len()).any(|window| window == CALLER_SECRET.as_bytes());
        assert!(!found, "the secret is in {}", path.display());
    });
    assert!(files > 5, "{files} files");
}

fn look_into(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { look_into(&path, look) } else { look(&path, &std::fs::read(&path).expect("a file")) }
    }
}

#[test]
fn a_refused_configuration_does_not_show_its_secrets() {
    let (home, cloud) = mixed_home();
    const PLAIN: &str = "canary-in-plain-sight";
    home.config("s3-connector.toml", &format!("[aws]\nsecret_access_key = \"{PLAIN}\"\nregoin = \"{PLAIN}\"\n"));
    home.config(
        "connections/keys.connection",
        &format!("TYPE s3\nS3_REGION us-east-1\nS3_ACCESS_KEY {PLAIN}\nS3_SECRET {PLAIN}\n"),
    );
    let mut command = home.command(cloud.endpoint(), &["check"]);
    command.env("S3_CONNECTOR_LIMITS_TICK", "soon").env_remove("S3_CONNECTOR_AWS_SECRET_ACCESS_KEY");
    let output = command.output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("secret_access_key") && text.contains("keys.connection"), "{text}");
    assert!(!text.contains(PLAIN) && !text.contains(CALLER_SECRET), "{text}");
}
