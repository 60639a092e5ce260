//! Credentials in each form, how they renew themselves, and that none of them is ever seen.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use connector_devcloud::{Fault, Faults, Operation, Rule, SessionKeys, When};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::harness::{CALLER_SECRET, Cloud, Daemon, Finished, Home, ROLE, until};

/// A connection without a role and without keys.
fn chain_connection(cloud: &Cloud) -> String {
    format!("TYPE s3\nS3_REGION \"us-east-1\"\nS3_ENDPOINT \"{}\"\n", cloud.endpoint())
}

fn import_through(connection: &str) -> String {
    format!("IMPORT_CONNECTION_NAME {connection}\nIMPORT_BUCKET_URI s3://drop/*.csv\nIMPORT_SCHEDULE @auto\n")
}

/// Runs `connection check shop --json` and gives its findings.
#[track_caller]
fn findings(command: &mut Command) -> Vec<Value> {
    let report = Finished::of(command.output().expect("the program starts")).expect_code(0);
    let whole: Value = serde_json::from_str(&report.stdout).expect("JSON");
    whole["connections"][0]["findings"].as_array().expect("findings").clone()
}

#[track_caller]
fn expect_read(form: &str, command: &mut Command) {
    let findings = findings(command);
    for probe in ["caller", "list", "get"] {
        let found = findings.iter().find(|finding| finding["probe"] == probe).expect("the probe");
        assert_eq!(found["outcome"], "ok", "{form}: {found}");
    }
}

/// What a machine of AWS, or the agent of a container, answers about the role that it has.
fn metadata_server(keys: &SessionKeys) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let document = json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z",
        "AccessKeyId": keys.access_key_id, "SecretAccessKey": keys.secret.expose(), "Token": keys.token.expose(),
    });
    // It serves until the process of the tests ends.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines().map_while(Result::ok);
            let asked = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let body = match asked.split(' ').nth(1).unwrap_or_default() {
                "/latest/api/token" => "a-token-for-metadata".to_owned(),
                path if path.ends_with("/security-credentials/") => "instance-role".to_owned(),
                _ => document.to_string(),
            };
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nx-aws-ec2-metadata-token-ttl-seconds: 600";
            let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
            // A client that went away is no concern of ours.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn the_default_chain_finds_keys_in_environment_profile_container_and_instance() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.put("drop", "1.csv", "id\n1\n").datasource("orders", "s3://drop/*.csv", "@auto");
    home.config("connections/shop.connection", &chain_connection(&cloud));
    let keys = cloud.account().open_session(ROLE, SignedDuration::from_hours(1)).expect("the role");
    let metadata = metadata_server(&keys);
    let profiles = format!(
        "[nightly]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        keys.access_key_id,
        keys.secret.expose(),
        keys.token.expose()
    );
    fs::write(home.path("profiles"), profiles).expect("profiles");
    let profiles = home.path("profiles").display().to_string();
    let container = format!("{metadata}/of-the-task");
    let forms: [(&str, &[(&str, &str)]); 4] = [
        (
            "environment",
            &[
                ("AWS_ACCESS_KEY_ID", &keys.access_key_id),
                ("AWS_SECRET_ACCESS_KEY", keys.secret.expose()),
                ("AWS_SESSION_TOKEN", keys.token.expose()),
            ],
        ),
        ("profile", &[("AWS_SHARED_CREDENTIALS_FILE", &profiles), ("AWS_PROFILE", "nightly")]),
        ("container", &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container)]),
        ("instance", &[("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata)]),
    ];
    for (form, variables) in forms {
        let mut command = home.command(cloud.endpoint(), &["connection", "check", "shop", "--json"]);
        expect_read(form, command.env("HOME", home.path("data")).envs(variables.iter().copied()));
    }
    // None of them: that is said, with what to do.
    let mut command = home.command(cloud.endpoint(), &["connection", "check", "shop"]);
    let report = Finished::of(command.env("HOME", home.path("data")).output().expect("the program starts"));
    let report = report.expect_code(2);
    assert!(report.stdout.contains("instance") && report.stdout.contains("where the default AWS chain"), "{report:?}");
}

#[test]
fn a_role_is_assumed_with_a_caller_from_a_profile() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.put("drop", "1.csv", "id\n1\n").role_connection(cloud.endpoint()).datasource(
        "orders",
        "s3://drop/*.csv",
        "@auto",
    );
    let profiles = format!("[default]\naws_access_key_id = caller\naws_secret_access_key = {CALLER_SECRET}\n");
    fs::write(home.path("profiles"), profiles).expect("profiles");
    let mut command = home.command(cloud.endpoint(), &["connection", "check", "shop", "--json"]);
    command.env_remove("S3_CONNECTOR_AWS_ACCESS_KEY_ID").env_remove("S3_CONNECTOR_AWS_SECRET_ACCESS_KEY");
    expect_read("a role", command.env("AWS_SHARED_CREDENTIALS_FILE", home.path("profiles")));
}

#[test]
fn case_50_sessions_that_end_within_one_download_are_renewed_before_they_do() {
    const SESSION: Duration = Duration::from_secs(2);
    const ROWS: usize = 400_000;
    let home = Home::new();
    let cloud = Cloud::with_session(&home, SESSION);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    let row = |id: usize| format!("{id:010},{}\n", "x".repeat(32));
    home.put("drop", "long.csv", (0..ROWS).fold("id,padding\n".to_owned(), |text, id| text + &row(id)));
    // Each range takes a while, so that the file takes several sessions.
    let slow = Rule::on(Operation::Get, When::Always, Fault::Stall { pause: Duration::from_millis(1_200) });
    cloud.faults().set(Faults { rules: vec![slow], ..Faults::seeded(1) });
    let mut command = home.command(cloud.endpoint(), &["run"]);
    let daemon =
        Daemon::spawn(command.env("S3_CONNECTOR_LIMITS_TICK", "100ms").env("S3_CONNECTOR_LIMITS_MEMORY", "32MiB"));
    until("the file to be read", || (daemon.status("orders")["counts"]["files"]["claimed"] == 1).then_some(()));
    let (begun, sessions) = (Instant::now(), cloud.faults().requests_of(Operation::Sts));
    daemon.wait_for_files("orders", "ingested", 1);
    let (lasted, sessions) = (begun.elapsed(), cloud.faults().requests_of(Operation::Sts) - sessions);
    assert!(lasted > 2 * SESSION && sessions >= 2, "{lasted:?} and {sessions} sessions prove nothing");
    let (_, metrics) = daemon.get(daemon.metrics, "/metrics");
    assert!(!metrics.contains("s3_connector_errors_total{"), "{metrics}");
    assert_eq!(daemon.status("orders")["counts"]["rows"], ROWS);
}

/// Every byte below a folder.
fn all_bytes(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut open, mut all) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.is_file() {
                all.push((path.display().to_string(), fs::read(&path).expect("readable")));
            }
        }
    }
    all
}

/// Four connections with five secrets: one works, the others are refused, each in a way in which AWS repeats what was
/// sent. The log is as loud as it gets.
#[test]
fn no_secret_is_seen_in_logs_errors_metrics_ledger_tables_or_json() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    let ended = cloud.account().open_session(ROLE, SignedDuration::from_hours(-1)).expect("the role");
    home.put("drop", "1.csv", "id\n1\n").role_connection(cloud.endpoint());
    home.datasource_text("works", &import_through("shop"));
    // The secrets folder, and a key that STS and S3 know with another secret.
    fs::create_dir(home.path("secrets")).expect("a folder");
    fs::write(home.path("secrets/FOLDER_SECRET"), "canary-of-the-folder\n").expect("a secret");
    let keys = |secret: &str| {
        format!("{}S3_ACCESS_KEY caller\nS3_SECRET {{{{ tb_secret(\"{secret}\") }}}}\n", chain_connection(&cloud))
    };
    home.config("connections/folder.connection", &keys("FOLDER_SECRET"));
    home.config("connections/variable.connection", &keys("VARIABLE_SECRET"));
    home.config("connections/chain.connection", &chain_connection(&cloud));
    for name in ["folder", "variable", "chain"] {
        home.datasource_text(name, &import_through(name));
    }
    let secrets =
        [CALLER_SECRET, "canary-of-the-folder", "canary-of-the-variable", ended.secret.expose(), ended.token.expose()];
    let prepared = |words: &[&str]| {
        let mut command = home.command(cloud.endpoint(), words);
        command
            .env("S3_CONNECTOR_SECRETS_DIR", home.path("secrets"))
            .env("VARIABLE_SECRET", "canary-of-the-variable")
            .env("AWS_ACCESS_KEY_ID", &ended.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", ended.secret.expose())
            .env("AWS_SESSION_TOKEN", ended.token.expose())
            .env("S3_CONNECTOR_LIMITS_TICK", "200ms")
            .env("S3_CONNECTOR_LOG_LEVEL", "trace");
        command
    };
    let mut said: Vec<(String, Vec<u8>)> = Vec::new();
    let daemon = Daemon::spawn(&mut prepared(&["run"]));
    daemon.wait_for_files("works", "ingested", 1);
    for name in ["folder", "variable", "chain"] {
        let status = daemon.wait_for_state(name, "Failed");
        let expected = if name == "chain" { "expired_credentials" } else { "bad_credentials" };
        assert!(status.to_string().contains(expected), "{status}");
    }
    for (address, path) in [(daemon.metrics, "/metrics"), (daemon.metrics, "/readyz"), (daemon.api, "/api/v1/status")] {
        said.push((path.to_owned(), daemon.get(address, path).1.into_bytes()));
    }
    let (_, log) = daemon.terminate();
    assert!(log.contains("\"TRACE\"") || log.contains("\"DEBUG\""), "the log is not loud: {log}");
    said.push(("the log".to_owned(), log.into_bytes()));
    let verbs: [&[&str]; 9] = [
        &["connection", "check"],
        &["connection", "check", "--json"],
        &["connection", "ls", "--json"],
        &["check"],
        &["check", "--json"],
        &["status", "--json"],
        &["history", "works", "--json"],
        &["explain", "s3://drop/1.csv", "--json"],
        &["run", "--once"],
    ];
    for words in verbs {
        let output = prepared(words).output().expect("the program starts");
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{words:?} says nothing");
        said.push((words.join(" "), [output.stdout, output.stderr].concat()));
    }
    // Whatever RUST_LOG asks for: at `trace`, the libraries tell what they send.
    for level in ["debug", "trace"] {
        home.put("drop", &format!("{}.csv", level.len()), "id\n2\n");
        let output = prepared(&["run", "--once"]).env("RUST_LOG", level).output().expect("the program starts");
        said.push((format!("the log with RUST_LOG={level}"), output.stderr));
    }
    said.extend(all_bytes(&home.path("data")));
    assert!(
        said.iter().any(|(place, bytes)| place.ends_with("ledger.sqlite3") && !bytes.is_empty()),
        "no ledger was read"
    );
    for (place, bytes) in &said {
        // An Authorization header, and what STS answers with the keys of the role.
        for secret in secrets.into_iter().chain(["AWS4-HMAC-SHA256", "<SecretAccessKey>"]) {
            let seen = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!seen, "{secret} is in {place}: {}", String::from_utf8_lossy(bytes));
        }
    }
    // The judge objects where there is something.
    let secret = CALLER_SECRET.as_bytes();
    assert!(b"x canary-secret-of-the-caller y".windows(secret.len()).any(|window| window == secret));
}
