//! Configuration that changes while the program runs: by saved files, SIGHUP and `push`.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use connector_devcloud::{Fault, Faults, Operation, Refusal, Rule, When};
use connector_ledger::SqliteLedger;
use serde_json::Value;

use crate::harness::{Cloud, Daemon, EXTERNAL_ID, Finished, Home, ROLE, role_connection, until};
use crate::s3_tables;

const EVERY: &str = "300ms";

/// A running program with one import, `orders`, that has read one file of two rows.
fn running() -> (Home, Cloud, Daemon) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/orders/*.csv", "@auto");
    home.put("drop", "orders/a.csv", "id\n1\n2\n").put("drop", "clicks/a.csv", "page\nx\n");
    let daemon = Daemon::start(&home, cloud.endpoint(), EVERY);
    wait_for_rows(&daemon, "orders", 2);
    (home, cloud, daemon)
}

/// All imports as the API tells them.
fn imports(daemon: &Daemon) -> Vec<Value> {
    let (code, body) = daemon.get(daemon.api, "/api/v1/status");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn has(daemon: &Daemon, name: &str) -> bool {
    imports(daemon).iter().any(|import| import["import"] == name)
}

fn rows(daemon: &Daemon, name: &str) -> Option<u64> {
    imports(daemon).iter().find(|import| import["import"] == name)?["counts"]["rows"].as_u64()
}

fn wait_for_rows(daemon: &Daemon, name: &str, count: u64) {
    until(&format!("{count} rows of {name}"), || (rows(daemon, name) == Some(count)).then_some(()));
}

/// How the program says it stands with its configuration.
fn config(daemon: &Daemon) -> Value {
    let (code, body) = daemon.get(daemon.api, "/api/v1/config");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

fn push(home: &Home, cloud: &Cloud, daemon: &Daemon, arguments: &[&str]) -> Finished {
    let mut command = home.command(cloud.endpoint(), &[&["push"], arguments].concat());
    Finished::of(command.env("S3_CONNECTOR_LISTEN_API", daemon.api.to_string()).output().expect("the program starts"))
}

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).expect("JSON")
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn what_is_saved_takes_effect_without_a_restart() {
    let (home, _cloud, daemon) = running();
    home.datasource("clicks", "s3://drop/clicks/*.csv", "@auto");
    wait_for_rows(&daemon, "clicks", 1);
    fs::remove_file(home.path("config/datasources/orders.datasource")).expect("removed");
    until("the import to end", || (!has(&daemon, "orders")).then_some(()));
    home.put("drop", "orders/b.csv", "id\n3\n").put("drop", "clicks/b.csv", "page\ny\n");
    wait_for_rows(&daemon, "clicks", 2);
    // It comes back, and goes on where it was: nothing is forgotten, nothing is read again.
    home.datasource("orders", "s3://drop/orders/*.csv", "@auto");
    wait_for_rows(&daemon, "orders", 3);
    assert_eq!(config(&daemon)["refused"], Value::Null);
}

#[test]
fn a_broken_edit_is_refused_whole_and_told_and_the_program_goes_on() {
    let (home, _cloud, daemon) = running();
    home.datasource("clicks", "s3://drop/clicks/*.csv", "@auto");
    home.datasource_text("orders", "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URL s3://drop/orders/*.csv\n");
    let refused = until("the refusal", || {
        let refused = config(&daemon)["refused"].clone();
        (!refused.is_null()).then_some(refused)
    });
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("orders.datasource:2:1") && message.contains("IMPORT_BUCKET_URI"), "{message}");
    home.put("drop", "orders/b.csv", "id\n3\n");
    wait_for_rows(&daemon, "orders", 3);
    assert!(!has(&daemon, "clicks"), "not even the good part of the edit");
    assert_eq!(daemon.metric("s3_connector_config_current"), Some(0.0));
    home.datasource("orders", "s3://drop/orders/*.csv", "@auto");
    wait_for_rows(&daemon, "clicks", 1);
    assert_eq!(daemon.metric("s3_connector_config_current"), Some(1.0));
    wait_for_rows(&daemon, "orders", 3);
}

#[test]
fn a_hang_up_has_the_configuration_read_and_a_failed_import_tried_again() {
    let (home, cloud, daemon) = running();
    // The data source was right all along; the bucket comes late.
    home.datasource("late", "s3://later/*.csv", "@auto");
    until("the import to fail", || {
        imports(&daemon).iter().any(|one| one["import"] == "late" && one["state"] == "Failed").then_some(())
    });
    home.put("later", "a.csv", "id\n1\n");
    let kill = Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    wait_for_rows(&daemon, "late", 1);
    drop(cloud);
}

#[test]
fn another_bucket_or_another_name_needs_a_word_and_nothing_is_read_before_it() {
    let (home, cloud, daemon) = running();
    home.put("mart", "orders/m.csv", "id\n7\n8\n9\n");
    let push = |arguments: &[&str]| push(&home, &cloud, &daemon, arguments);
    home.datasource("orders", "s3://mart/orders/*.csv", "@auto");
    let refused = push(&[]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("push --accept orders") && refused.stderr.contains("s3://drop"),
        "{}",
        refused.stderr
    );
    assert_eq!(rows(&daemon, "orders"), Some(2));
    let accepted = push(&["--accept", "orders", "--json"]);
    assert_eq!(accepted.code, 0, "{}", accepted.stderr);
    assert_eq!(names(&json(&accepted)["changed"]), ["orders"]);
    wait_for_rows(&daemon, "orders", 5);

    fs::rename(home.path("config/datasources/orders.datasource"), home.path("config/datasources/sales.datasource"))
        .expect("renamed");
    let renamed = push(&[]);
    assert_eq!(renamed.code, 2, "{}", renamed.stderr);
    assert!(renamed.stderr.contains("push --accept sales"), "{}", renamed.stderr);
    assert!(!home.table("sales").exists());
    assert_eq!(push(&["--accept", "sales"]).code, 0);
    wait_for_rows(&daemon, "sales", 3);
}

#[test]
fn push_says_what_changes_and_refuses_what_would_break_a_table() {
    let (home, cloud, daemon) = running();
    let push = |arguments: &[&str]| push(&home, &cloud, &daemon, arguments);
    let clicks = |schema: &str| {
        format!(
            "SCHEMA >\n    {schema}\n\nIMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/clicks/*.csv\n\
             IMPORT_SCHEDULE @on-demand\n"
        )
    };
    home.datasource_text("clicks", &clicks("page String"));
    // Tried before the program finds the file by itself, or after: the same answer.
    let pushed = push(&[]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    assert!(home.table("clicks").join("_delta_log").exists(), "a declared table is there at once");
    home.datasource_text("clicks", &clicks("page Int64"));
    let refused = push(&["--dry-run"]);
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert!(refused.stderr.contains("column 'page' is String in the table and Int64 in SCHEMA"), "{}", refused.stderr);
    home.datasource_text("clicks", &clicks("page String, visits Nullable(Int64)"));
    let dry = push(&["--dry-run"]);
    assert!(dry.stdout.contains("clicks") && dry.stdout.contains("visits"), "{}", dry.stdout);
    let nothing = json(&push(&["--dry-run", "--json"]));
    assert!(names(&nothing["added"]).is_empty() && names(&nothing["removed"]).is_empty(), "{nothing}");
}

#[test]
fn push_works_on_the_data_directory_while_no_program_runs() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.put("drop", "clicks/a.csv", "page\nx\n").put("mart", "clicks/a.csv", "page\ny\n");
    let clicks = |bucket: &str| {
        format!(
            "SCHEMA >\n    page String\n\nIMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://{bucket}/clicks/*.csv\n\
             IMPORT_SCHEDULE @on-demand\n"
        )
    };
    home.datasource_text("clicks", &clicks("drop"));
    let dry = home.run(cloud.endpoint(), &["push", "--dry-run"]);
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    assert!(!home.table("clicks").exists());
    let pushed = home.run(cloud.endpoint(), &["push"]);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    assert!(home.table("clicks").join("_delta_log").exists());
    assert_eq!(home.run(cloud.endpoint(), &["run", "--once"]).code, 0);
    // Edited while nothing runs: the start says what is wrong with this import, and push settles it.
    home.datasource_text("clicks", &clicks("mart"));
    let held = home.run(cloud.endpoint(), &["run", "--once"]);
    assert_eq!(held.code, 2, "{}", held.stderr);
    assert!(held.stderr.contains("push --accept clicks"), "{}", held.stderr);
    assert_eq!(home.run(cloud.endpoint(), &["push"]).code, 2);
    assert_eq!(home.run(cloud.endpoint(), &["push", "--accept", "clicks"]).code, 0);
    assert_eq!(home.run(cloud.endpoint(), &["run", "--once"]).code, 0);
}

/// As if nothing had been saved: an edit that could not be looked into is no edit that was refused.
#[test]
fn an_edit_that_a_network_kept_from_being_taken_is_taken_once_it_is_back() {
    let home = Home::new();
    let cloud = s3_tables::cloud(&home);
    s3_tables::configure(&home, cloud.endpoint());
    home.datasource("orders", "s3://drop/orders/*.csv", "@auto");
    home.put("drop", "orders/a.csv", "id\n1\n2\n").put("drop", "clicks/a.csv", "page\nx\n");
    let daemon = Daemon::start(&home, cloud.endpoint(), EVERY);
    wait_for_rows(&daemon, "orders", 2);
    let down = |operation| Rule::on(operation, When::Always, Fault::Refuse(Refusal::InternalError));
    cloud.faults().set(Faults::seeded(1).with(down(Operation::List)).with(down(Operation::Get)));
    home.datasource("clicks", "s3://drop/clicks/*.csv", "@auto");
    until("the refusal", || (!config(&daemon)["refused"].is_null()).then_some(()));
    assert!(!has(&daemon, "clicks"));
    cloud.faults().set(Faults::seeded(1));
    wait_for_rows(&daemon, "clicks", 1);
    assert_eq!(config(&daemon)["refused"], Value::Null);
}

/// The tables move with the next start only: until then no import may read the place where they are.
#[test]
fn what_holds_the_tables_until_the_next_start_is_not_read_as_a_source() {
    let home = Home::new();
    let cloud = s3_tables::cloud(&home);
    s3_tables::configure(&home, cloud.endpoint());
    home.datasource("orders", "s3://drop/orders/*.csv", "@on-demand");
    home.put("drop", "orders/a.csv", "id\n1\n2\n");
    let daemon = Daemon::start(&home, cloud.endpoint(), EVERY);
    let moved = "[destination]\nuri = \"s3://lake/elsewhere\"\nconnection = \"writer\"\n";
    home.config("s3-connector.toml", moved);
    let copy =
        "IMPORT_CONNECTION_NAME writer\nIMPORT_BUCKET_URI s3://lake/tables/**/*.parquet\nIMPORT_SCHEDULE @on-demand\n";
    home.datasource_text("copies", copy);
    let refused = push(&home, &cloud, &daemon, &[]);
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    assert!(refused.stderr.contains("s3://lake/tables") && refused.stderr.contains("overlap"), "{}", refused.stderr);
    assert!(!has(&daemon, "copies"));
}

#[test]
fn names_of_two_data_sources_are_not_exchanged_by_mistake() {
    let (home, cloud, daemon) = running();
    home.datasource("clicks", "s3://drop/clicks/*.csv", "@auto");
    wait_for_rows(&daemon, "clicks", 1);
    home.datasource("clicks", "s3://drop/orders/*.csv", "@auto").datasource(
        "orders",
        "s3://drop/clicks/*.csv",
        "@auto",
    );
    let refused = push(&home, &cloud, &daemon, &[]);
    assert_eq!(refused.code, 2, "{}", refused.stdout);
    for name in ["push --accept clicks", "push --accept orders"] {
        assert!(refused.stderr.contains(name), "{}", refused.stderr);
    }
    assert_eq!((rows(&daemon, "orders"), rows(&daemon, "clicks")), (Some(2), Some(1)));
}

/// Alerts go by these: what has gone neither lags nor runs.
#[test]
fn what_has_gone_does_not_stay_behind_in_the_metrics() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/orders/*.csv", "@auto");
    home.config("connections/depot.connection", &role_connection(cloud.endpoint(), ROLE, EXTERNAL_ID));
    for file in 0..7 {
        home.put("drop", &format!("orders/{file}.csv"), "id\n1\n");
    }
    let daemon = Daemon::start(&home, cloud.endpoint(), "1h");
    let gauge = |name: &str, labels: &str| daemon.metric(&format!("s3_connector_{name}{{{labels}}}"));
    let (backlog, state) =
        (r#"connection="shop",import="orders""#, r#"connection="shop",import="orders",state="Running""#);
    until("a backlog", || (gauge("backlog_files", backlog) == Some(2.0)).then_some(()));
    assert_eq!(gauge("state", state), Some(1.0));
    let moved = "IMPORT_CONNECTION_NAME depot\nIMPORT_BUCKET_URI s3://drop/orders/*.csv\nIMPORT_SCHEDULE @auto\n";
    home.datasource_text("orders", moved);
    let depot = backlog.replace("shop", "depot");
    until("the backlog elsewhere", || (gauge("backlog_files", &depot) == Some(2.0)).then_some(()));
    until("no backlog here", || (gauge("backlog_files", backlog) == Some(0.0)).then_some(()));
    assert_eq!((gauge("state", state), gauge("state", &state.replace("shop", "depot"))), (Some(0.0), Some(1.0)));
    fs::remove_file(home.path("config/datasources/orders.datasource")).expect("removed");
    until("no backlog anywhere", || (gauge("backlog_files", &depot) == Some(0.0)).then_some(()));
}

/// Whatever the network does: a reload that waits for it keeps nobody from stopping the program.
#[test]
fn the_program_ends_in_time_while_it_reads_its_configuration() {
    let home = Home::new();
    let cloud = s3_tables::cloud(&home);
    s3_tables::configure(&home, cloud.endpoint());
    home.datasource("orders", "s3://drop/orders/*.csv", "@on-demand");
    let daemon = Daemon::start(&home, cloud.endpoint(), EVERY);
    daemon.wait_for_state("orders", "Running");
    let stall = |operation| Rule::on(operation, When::Always, Fault::Stall { pause: Duration::from_secs(60) });
    cloud.faults().set(Faults::seeded(1).with(stall(Operation::List)).with(stall(Operation::Get)));
    home.datasource("clicks", "s3://drop/clicks/*.csv", "@on-demand");
    let kill = Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    until("the reload to wait", || (!cloud.faults().counts().is_empty()).then_some(()));
    let began = Instant::now();
    let (code, log) = daemon.terminate();
    assert_eq!(code, 0, "{log}");
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
}

#[test]
fn push_beside_a_program_that_is_just_starting_says_so() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/orders/*.csv", "@on-demand");
    fs::create_dir_all(home.path("data")).expect("a folder");
    let _held = SqliteLedger::open(&home.path("data")).expect("opens");
    let refused = home.run(cloud.endpoint(), &["push"]);
    assert_ne!(refused.code, 0, "{}", refused.stdout);
    assert!(refused.stderr.contains("if it is just starting"), "{}", refused.stderr);
}
