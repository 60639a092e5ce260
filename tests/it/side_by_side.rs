//! Several imports in one process: each for itself.

use std::time::{Duration, Instant};

use crate::harness::{Cloud, Daemon, EXTERNAL_ID, Home, ROLE, role_connection};

#[test]
fn two_imports_have_watermarks_of_their_own() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource("orders", "s3://drop/orders/*.csv", "@auto").datasource("views", "s3://other/*.csv", "@auto");
    for (bucket, key, second) in
        [("drop", "orders/b.csv", 1_000), ("drop", "orders/a.csv", 2_000), ("other", "v.csv", 50)]
    {
        home.put(bucket, key, "id\n1\n").touch(bucket, key, second);
    }
    let daemon = Daemon::start(&home, cloud.endpoint(), "500ms");
    let orders = daemon.wait_for_files("orders", "ingested", 2);
    let views = daemon.wait_for_files("views", "ingested", 1);
    assert_eq!(orders["counts"]["watermark"]["last_modified"], "1970-01-01T00:33:20Z");
    assert_eq!(orders["counts"]["watermark"]["key"], "orders/a.csv");
    assert_eq!(views["counts"]["watermark"]["last_modified"], "1970-01-01T00:00:50Z");
    assert_eq!(views["counts"]["watermark"]["key"], "v.csv");

    // One moves, the other stays.
    home.put("other", "w.csv", "id\n2\n").touch("other", "w.csv", 60);
    let views = daemon.wait_for_files("views", "ingested", 2);
    assert_eq!(views["counts"]["watermark"]["key"], "w.csv");
    assert_eq!(daemon.status("orders")["counts"]["watermark"], orders["counts"]["watermark"]);
}

/// A home whose import `good` reads `drop`, and whose import `bad` is still to be written.
fn home_with_a_good_import() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint())
        .datasource("good", "s3://drop/*.csv", "@auto")
        .put("drop", "1.csv", "id\n1\n");
    (home, cloud)
}

fn refused_role(home: &Home, cloud: &Cloud) {
    home.config("connections/refused.connection", &role_connection(cloud.endpoint(), ROLE, "another-external-id"));
    home.datasource_text(
        "bad",
        "IMPORT_CONNECTION_NAME refused\nIMPORT_BUCKET_URI s3://drop/*.csv\nIMPORT_SCHEDULE @auto\n",
    );
}

fn missing_bucket(home: &Home, _: &Cloud) {
    home.datasource("bad", "s3://nowhere/*.csv", "@auto");
}

/// The import `bad` is Failed with this reason, and `good` goes on as if nothing were.
fn the_other_goes_on(home: &Home, cloud: &Cloud, code: &str, remedies: &[&str]) {
    let daemon = Daemon::start(home, cloud.endpoint(), "300ms");
    let bad = daemon.wait_for_state("bad", "Failed");
    assert_eq!(bad["reason"]["code"], code, "{bad}");
    let message = bad["reason"]["message"].as_str().expect("a message");
    for remedy in remedies {
        assert!(message.contains(remedy), "'{remedy}' is missing in: {message}");
    }
    daemon.wait_for_files("good", "ingested", 1);
    home.put("drop", "2.csv", "id\n2\n");
    let good = daemon.wait_for_files("good", "ingested", 2);
    assert_eq!((&good["state"], &good["reason"]), (&"Running".into(), &serde_json::Value::Null));
    assert_eq!(daemon.status("bad")["state"], "Failed");
    assert_eq!(daemon.get(daemon.metrics, "/readyz").0, 200);
    let state = |import: &str, connection: &str, state: &str| {
        let sample = format!("s3_connector_state{{connection=\"{connection}\",import=\"{import}\",state=\"{state}\"}}");
        daemon.metric(&sample)
    };
    assert_eq!(state("good", "shop", "Running"), Some(1.0));
    let connection = bad["connection"].as_str().expect("a name");
    assert_eq!((state("bad", connection, "Failed"), state("bad", connection, "Running")), (Some(1.0), Some(0.0)));
    assert_eq!(daemon.terminate().0, 0);
}

/// `run --once` says what is wrong with `bad`, reads all of `good`, and ends with the exit code for "you must act".
fn once_ends_with_two(home: &Home, cloud: &Cloud, remedy: &str) {
    home.put("drop", "3.csv", "id\n3\n");
    let before = home.counts("good").rows;
    let once = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(2);
    assert!(once.stderr.contains("error: bad: ") && once.stderr.contains(remedy), "{}", once.stderr);
    assert_eq!(home.counts("good").rows, before + 1, "{}", once.stdout);
}

#[test]
fn an_import_whose_role_is_refused_fails_with_its_remedy_and_the_other_goes_on() {
    let (home, cloud) = home_with_a_good_import();
    refused_role(&home, &cloud);
    let remedies = ["refused", ROLE, "trust policy", "S3_EXTERNAL_ID", "sts:AssumeRole"];
    the_other_goes_on(&home, &cloud, "assume_role_denied", &remedies);
    once_ends_with_two(&home, &cloud, "S3_EXTERNAL_ID");
}

#[test]
fn an_import_whose_bucket_does_not_exist_fails_with_its_remedy_and_the_other_goes_on() {
    let (home, cloud) = home_with_a_good_import();
    missing_bucket(&home, &cloud);
    the_other_goes_on(&home, &cloud, "no_such_bucket", &["nowhere", "IMPORT_BUCKET_URI"]);
    once_ends_with_two(&home, &cloud, "IMPORT_BUCKET_URI");
}

#[test]
fn a_failed_import_works_again_once_its_configuration_is_mended() {
    let (home, cloud) = home_with_a_good_import();
    refused_role(&home, &cloud);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(2);
    home.config("connections/refused.connection", &role_connection(cloud.endpoint(), ROLE, EXTERNAL_ID));
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("bad").rows, 1);
}

#[test]
fn files_are_read_before_and_after_the_session_of_the_role_expires() {
    const SESSION: Duration = Duration::from_secs(2);
    let home = Home::new();
    let cloud = Cloud::with_session(&home, SESSION);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    let daemon = Daemon::start(&home, cloud.endpoint(), "200ms");
    let (started, mut landed) = (Instant::now(), 0);
    // Over three sessions and more, so that files come at every age of one.
    while started.elapsed() < 3 * SESSION {
        landed += 1;
        home.put("drop", &format!("{landed}.csv"), format!("id\n{landed}\n"));
        daemon.wait_for_files("orders", "ingested", landed);
    }
    let (_, metrics) = daemon.get(daemon.metrics, "/metrics");
    assert!(!metrics.contains("s3_connector_errors_total{"), "{metrics}");
    let status = daemon.status("orders");
    assert_eq!((status["counts"]["rows"].as_u64(), status["generation"].as_u64()), (Some(landed), Some(1)));
}
