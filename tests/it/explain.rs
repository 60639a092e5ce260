//! `explain`: for each state that an object can be in, the rule that decided, what happens next, and the command.

use std::fs;

use serde_json::Value;

use crate::harness::{Cloud, Daemon, Home, until};

const SCHEMA: &str = "SCHEMA >\n    id Int64,\n    note String\n\n";
const SOURCE: &str = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/orders/\n";

fn home(datasource: &str) -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text("orders", &format!("{SCHEMA}{SOURCE}{datasource}"));
    (home, cloud)
}

/// The answers on an object, one for each import that has to do with it.
fn answers(home: &Home, sts: &str, uri: &str, api: Option<std::net::SocketAddr>) -> Vec<Value> {
    let mut command = home.command(sts, &["explain", uri, "--json"]);
    if let Some(api) = api {
        command.env("S3_CONNECTOR_LISTEN_API", api.to_string());
    }
    let output = command.output().expect("the program starts");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{uri}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&stdout).expect("JSON")
}

/// The only answer on a key of the bucket `drop`, which has this verdict and says all of this.
#[track_caller]
fn says(home: &Home, cloud: &Cloud, key: &str, verdict: &str, parts: &[&str]) -> Value {
    check(answers(home, cloud.endpoint(), &format!("s3://drop/{key}"), None), key, verdict, parts)
}

#[track_caller]
fn check(answers: Vec<Value>, key: &str, verdict: &str, parts: &[&str]) -> Value {
    assert_eq!(answers.len(), 1, "{key}: {answers:?}");
    let answer = answers.into_iter().next().expect("an answer");
    assert_eq!(answer["verdict"], verdict, "{key}: {answer:#}");
    let text = answer.to_string();
    for part in parts {
        assert!(text.contains(part), "{key}: no '{part}' in {answer:#}");
    }
    answer
}

#[test]
fn every_state_that_a_sync_brings_about_is_explained() {
    let (home, cloud) = home("IMPORT_FROM_TIMESTAMP 2020-01-01T00:00:00Z\n");
    for (key, text) in [
        ("orders/good.csv", "id,note\n1,a\n2,b\n"),
        ("orders/partly.csv", "id,note\n1,a\nx,b\n"),
        ("orders/unfit.csv", "note\na\n"),
        ("orders/corrupt.parquet", "PAR1 this is none, whatever it says PAR1"),
        ("orders/_hidden.csv", "id,note\n1,a\n"),
        ("orders/notes.txt", "hello"),
        ("orders/overwritten.csv", "id,note\n1,a\n"),
        ("orders/changed.csv", "id,note\n1,a\n"),
        ("orders/deleted.csv", "id,note\n1,a\n"),
        ("orders/empty.csv", ""),
        ("orders/old.csv", "id,note\n1,a\n"),
        ("elsewhere/a.csv", "id,note\n1,a\n"),
    ] {
        home.put("drop", key, text);
    }
    home.touch("drop", "orders/old.csv", 1_500_000_000);
    says(&home, &cloud, "orders/good.csv", "not_listed", &["none was completed so far", "run --once"]);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    home.put("drop", "orders/overwritten.csv", "id,note\n1,a\n2,b\n");
    home.run(cloud.endpoint(), &["run", "--once"]);
    home.put("drop", "orders/changed.csv", "id,note\n1,a\n2,b\n3,c\n");
    fs::remove_file(home.path("s3/drop/orders/deleted.csv")).expect("an object");
    home.put("drop", "orders/new.csv", "id,note\n9,z\n");

    let good = says(&home, &cloud, "orders/good.csv", "ingested", &["by batch ", "2 rows read: 2 in the table"]);
    assert_eq!((&good["versions"][0]["current"], &good["versions"][0]["rows_in_table"]), (&true.into(), &2.into()));
    says(
        &home,
        &cloud,
        "orders/partly.csv",
        "partly_quarantined",
        &["quarantine show orders --file orders/partly.csv"],
    );
    says(&home, &cloud, "orders/unfit.csv", "quarantined", &["missing_column", "quarantine replay orders"]);
    says(&home, &cloud, "orders/corrupt.parquet", "failed", &["datasource retry orders --file"]);
    says(&home, &cloud, "orders/_hidden.csv", "hidden", &[]);
    says(&home, &cloud, "orders/notes.txt", "unknown_format", &["IMPORT_FORMAT"]);
    says(&home, &cloud, "orders/empty.csv", "empty", &["no bytes"]);
    says(&home, &cloud, "orders/old.csv", "too_old", &["IMPORT_FROM_TIMESTAMP 2020-01-01"]);
    says(&home, &cloud, "elsewhere/a.csv", "not_matched", &["IMPORT_BUCKET_URI s3://drop/orders/"]);
    let two =
        says(&home, &cloud, "orders/overwritten.csv", "overwritten", &["an earlier version of it was ingested by"]);
    assert_eq!(two["versions"].as_array().map(Vec::len), Some(2), "{two}");
    says(&home, &cloud, "orders/changed.csv", "changed", &["IMPORT_ON_OVERWRITE is ignore"]);
    says(&home, &cloud, "orders/deleted.csv", "vanished", &["its rows stay", "1 in the table"]);
    says(&home, &cloud, "orders/new.csv", "not_listed", &["the last one ended at"]);
    says(&home, &cloud, "orders/nothing.csv", "no_such_object", &[]);

    let other = answers(&home, cloud.endpoint(), "s3://another-bucket/orders/good.csv", None);
    check(other, "another bucket", "other_bucket", &["reads the bucket drop"]);
    let shown = home.run(cloud.endpoint(), &["explain", "s3://drop/orders/unfit.csv"]).expect_code(0).stdout;
    assert!(shown.contains("orders: quarantined") && shown.contains("next: ") && shown.contains("VERSION"), "{shown}");
    let wrong = home.run(cloud.endpoint(), &["explain", "orders/unfit.csv"]).expect_code(2);
    assert!(wrong.stderr.contains("s3://BUCKET/KEY"), "{}", wrong.stderr);

    let endpoint = cloud.endpoint().to_owned();
    drop(cloud);
    for (key, verdict) in [("orders/good.csv", "ingested"), ("orders/new.csv", "unknown")] {
        let answers = answers(&home, &endpoint, &format!("s3://drop/{key}"), None);
        check(answers, key, verdict, &["S3 could not be asked"]);
    }
}

#[test]
fn a_key_that_two_imports_read_gets_two_answers() {
    let (home, cloud) = home("");
    home.datasource("every", "s3://drop/**/*.csv", "@on-demand");
    home.datasource("other", "s3://drop/other/*.csv", "@on-demand");
    home.put("drop", "orders/a b+c.csv", "id,note\n1,a\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let both = answers(&home, cloud.endpoint(), "s3://drop/orders/a b+c.csv", None);
    let found: Vec<_> = both.iter().map(|answer| (answer["import"].as_str(), answer["verdict"].as_str())).collect();
    assert_eq!(found, [(Some("every"), Some("ingested")), (Some("orders"), Some("ingested"))]);
}

#[test]
fn who_waits_is_told_the_place_and_who_is_paused_is_told_so() {
    let (home, cloud) = home("IMPORT_SCHEDULE @auto\nIMPORT_MAX_FILES 1\n");
    for (second, key) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let key = format!("orders/{key}.csv");
        home.put("drop", &key, "id,note\n1,a\n").touch("drop", &key, 1_700_000_000 + second as u64);
    }
    let daemon = Daemon::start(&home, cloud.endpoint(), "1h");
    daemon.wait_for_files("orders", "ingested", 1);
    let ask = |key: &str| answers(&home, cloud.endpoint(), &format!("s3://drop/{key}"), Some(daemon.api));
    check(ask("orders/b.csv"), "b", "pending", &["the next one to be claimed", "at 1 files a tick"]);
    check(ask("orders/d.csv"), "d", "pending", &["2 files before it"]);
    let api = daemon.api.to_string();
    let pause = |verb: &str| {
        let mut command = home.command(cloud.endpoint(), &["datasource", "scheduling", verb, "orders"]);
        assert!(command.env("S3_CONNECTOR_LISTEN_API", &api).output().expect("starts").status.success());
    };
    pause("pause");
    until("the pause", || (ask("orders/d.csv")[0]["next"].as_str()?.contains("is paused")).then_some(()));
    check(ask("orders/d.csv"), "d", "pending", &["datasource scheduling resume orders"]);
    drop(daemon);
    says(&home, &cloud, "orders/d.csv", "pending", &["paused"]);
}

#[test]
fn what_was_taken_back_or_moved_is_explained() {
    let (home, cloud) = home("");
    home.put("drop", "orders/back.csv", "id,note\n1,a\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let batch = home.history("orders")[0].id.clone();
    home.run(cloud.endpoint(), &["rollback", &batch, "--yes"]).expect_code(0);
    says(&home, &cloud, "orders/back.csv", "rolled_back", &["datasource retry orders --file orders/back.csv"]);
    home.run(cloud.endpoint(), &["audit", "orders"]).expect_code(0);

    home.put("drop", "orders/lacks.csv", "id\n5\n6\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    says(&home, &cloud, "orders/lacks.csv", "quarantined", &["missing_column"]);
    home.datasource_text("orders", &format!("{SCHEMA}{SOURCE}IMPORT_ON_MISSING_COLUMN null\n"));
    home.run(cloud.endpoint(), &["quarantine", "replay", "orders", "--yes"]).expect_code(0);
    says(&home, &cloud, "orders/lacks.csv", "replayed", &["2 rows moved from quarantine into the table by batch"]);
    home.run(cloud.endpoint(), &["audit", "orders"]).expect_code(0);
}
