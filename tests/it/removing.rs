//! `datasource rm`: an import ends, with its table or without.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Cloud, Daemon, Finished, Home, until};

const EVERY: &str = "300ms";

fn one_import() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/orders/*.csv", "@auto");
    home.put("drop", "orders/a.csv", "id\n1\n2\n");
    (home, cloud)
}

fn verb(home: &Home, cloud: &Cloud, arguments: &[&str]) -> Command {
    home.command(cloud.endpoint(), &[&["datasource", "rm"], arguments].concat())
}

fn finished(mut command: Command) -> Finished {
    Finished::of(command.output().expect("the program starts"))
}

fn beside(daemon: &Daemon, mut command: Command) -> Finished {
    command.env("S3_CONNECTOR_LISTEN_API", daemon.api.to_string());
    finished(command)
}

fn rows(daemon: &Daemon) -> Option<u64> {
    let (_, body) = daemon.get(daemon.api, "/api/v1/status");
    let all: Value = serde_json::from_str(&body).expect("JSON");
    all.as_array()?.iter().find(|import| import["import"] == "orders")?["counts"]["rows"].as_u64()
}

fn wait_for_rows(daemon: &Daemon, count: u64) {
    until(&format!("{count} rows"), || (rows(daemon) == Some(count)).then_some(()));
}

#[test]
fn a_removed_data_source_ends_and_goes_on_where_it_was_when_it_comes_back() {
    let (home, cloud) = one_import();
    let daemon = Daemon::start(&home, cloud.endpoint(), EVERY);
    wait_for_rows(&daemon, 2);
    let file = home.path("config/datasources/orders.datasource");
    let kept = fs::read(&file).expect("readable");
    let removed = beside(&daemon, verb(&home, &cloud, &["orders", "--yes"]));
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert!(removed.stdout.contains("orders.datasource") && removed.stderr.contains("--purge"), "{}", removed.stderr);
    assert!(!file.exists() && home.table("orders").exists());
    until("the import to end", || rows(&daemon).is_none().then_some(()));
    home.put("drop", "orders/b.csv", "id\n3\n");
    fs::write(&file, kept).expect("written");
    wait_for_rows(&daemon, 3);
}

#[test]
fn a_purge_beside_the_running_program_leaves_nothing_and_the_name_is_free() {
    let (home, cloud) = one_import();
    home.put("drop", "orders/a.csv", "id\n1\n2\n").put("drop", "orders/b.csv", "id\n3\nx\n");
    home.datasource_text(
        "orders",
        "SCHEMA >\n    id Int64\n\nIMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/orders/*.csv\nIMPORT_SCHEDULE @auto\n",
    );
    let daemon = Daemon::start(&home, cloud.endpoint(), EVERY);
    wait_for_rows(&daemon, 3);
    let quarantine = home.table("orders_quarantine");
    assert!(quarantine.exists());
    let purged = beside(&daemon, verb(&home, &cloud, &["orders", "--purge", "--yes", "--json"]));
    assert_eq!(purged.code, 0, "{}", purged.stderr);
    let said: Value = serde_json::from_str(&purged.stdout).expect("JSON");
    assert_eq!((said["tables"].as_array().map(Vec::len), &said["purged"]), (Some(2), &Value::Bool(true)));
    assert!(!home.table("orders").exists() && !quarantine.exists());
    // The same name, from the beginning.
    home.datasource("orders", "s3://drop/orders/a*.csv", "@auto");
    wait_for_rows(&daemon, 2);
    let token = fs::read_to_string(home.path("data/api-token")).expect("a token");
    let configured = daemon.post_json("/api/v1/purge", token.trim(), r#"{"import":"orders"}"#);
    assert_eq!(configured.0, 409, "{}", configured.1);
    assert!(configured.1.contains("still_configured"), "{}", configured.1);
}

#[test]
fn without_a_program_a_purge_works_on_the_data_directory_and_can_be_repeated() {
    let (home, cloud) = one_import();
    assert_eq!(home.run(cloud.endpoint(), &["run", "--once"]).code, 0);
    let file = home.path("config/datasources/orders.datasource");
    let kept = fs::read(&file).expect("readable");

    let unsure = finished(verb(&home, &cloud, &["orders", "--purge"]));
    assert_eq!(unsure.code, 2);
    assert!(unsure.stderr.contains("--yes") && file.exists(), "{}", unsure.stderr);
    let typo = finished(verb(&home, &cloud, &["order", "--yes"]));
    assert_eq!(typo.code, 2);
    assert!(typo.stderr.contains("did you mean orders?"), "{}", typo.stderr);

    assert_eq!(finished(verb(&home, &cloud, &["orders", "--yes"])).code, 0);
    assert!(home.table("orders").exists() && !file.exists());
    let purged = finished(verb(&home, &cloud, &["orders", "--purge", "--yes"]));
    assert_eq!(purged.code, 0, "its file is gone already: {}", purged.stderr);
    assert!(!home.table("orders").exists());
    let again = finished(verb(&home, &cloud, &["orders", "--purge", "--yes"]));
    assert_eq!(again.code, 2);
    assert!(again.stderr.contains("never heard of it"), "{}", again.stderr);

    fs::write(&file, kept).expect("written");
    assert_eq!(home.run(cloud.endpoint(), &["run", "--once"]).code, 0);
    assert_eq!(home.history("orders").len(), 1, "read again, as if it were new");
}
