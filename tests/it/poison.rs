//! Files that kill whoever decodes them, and good files over which the program was killed.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use connector_devcloud::{Fault, Faults, Operation, Rule, When};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use crate::harness::{Cloud, Daemon, Home, until};

/// A budget so small that the poison below takes more than a process may have.
const MEMORY: &str = "32MiB";

/// A Parquet file of a few kilobytes that is right in every way, and takes 600 MB and more to decode: six columns whose
/// only value has 100 MB. No page is larger than pages may be, but they have to be held side by side.
fn poison() -> Vec<u8> {
    let value: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(100_000_000)]));
    let columns = ["id", "a", "b", "c", "d", "e"].map(|name| (name, Arc::clone(&value)));
    let row = RecordBatch::try_from_iter(columns).expect("columns");
    let level = ZstdLevel::try_new(1).expect("a level");
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(level)).set_dictionary_enabled(false);
    let statistics = properties.set_statistics_enabled(parquet::file::properties::EnabledStatistics::None).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), row.schema(), Some(statistics)).expect("a writer");
    writer.write(&row).expect("writes");
    writer.into_inner().expect("a file")
}

fn csv(first: u32, rows: u32) -> String {
    (first..first + rows).fold("id,name\n".to_owned(), |text, id| text + &format!("{id},name {id}\n"))
}

/// Every read of this key is never answered.
fn stalled(key: &str) -> Faults {
    let never = Fault::Stall { pause: Duration::from_secs(3_600) };
    Faults::seeded(1).with(Rule::on(Operation::Get, When::Always, never).key(key))
}

fn daemon(home: &Home, cloud: &Cloud) -> Daemon {
    let mut command = home.command(cloud.endpoint(), &["run"]);
    Daemon::spawn(command.env("S3_CONNECTOR_LIMITS_TICK", "300ms").env("S3_CONNECTOR_LIMITS_MEMORY", MEMORY))
}

/// Starts the program, and kills it once it waits for the bytes of a file that are stalled.
fn killed_over_a_stalled_file(home: &Home, cloud: &Cloud) {
    let stalls = || cloud.faults().counts().get("stall").copied().unwrap_or(0);
    let before = stalls();
    let daemon = daemon(home, cloud);
    until("the file to be read", || (stalls() > before).then_some(()));
    daemon.kill();
}

#[test]
fn case_15_a_file_that_exhausts_memory_is_set_aside_after_three_deaths_and_its_batch_mates_land() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop", "@auto");
    for (number, rows) in [(1, 10), (2, 20), (4, 40), (5, 50)] {
        home.put("drop", &format!("{number}.csv"), csv(number * 1_000, rows));
    }
    home.put("drop", "3.parquet", poison());
    (1..=5).for_each(|n| {
        let key = if n == 3 { "3.parquet".to_owned() } else { format!("{n}.csv") };
        home.touch("drop", &key, 1_700_000_000 + n);
    });
    // Nobody knows yet what the file does: the program dies while it is read.
    cloud.faults().set(stalled("3.parquet"));
    killed_over_a_stalled_file(&home, &cloud);
    cloud.faults().clear();

    let daemon = daemon(&home, &cloud);
    daemon.wait_for_files("orders", "failed", 1);
    let status = daemon.wait_for_files("orders", "ingested", 4);
    assert_eq!(status["counts"]["rows"], 120, "{status}");
    let failure = &status["counts"]["recent_failures"][0];
    assert_eq!((&failure["key"], &failure["code"]), (&json!("3.parquet"), &json!("poison")), "{status}");
    let message = failure["message"].as_str().expect("a message");
    assert!(message.contains("SIGABRT") && message.contains("memory allocation of"), "{message}");
    let deaths = daemon.metric(r#"s3_connector_decoder_deaths_total{connection="shop",import="orders"}"#);
    assert_eq!(deaths, Some(3.0));
    // The program itself is none the worse for it.
    home.put("drop", "6.csv", csv(6_000, 60));
    let status = daemon.wait_for_files("orders", "ingested", 5);
    assert_eq!(status["counts"]["rows"], 180);
    let (code, log) = daemon.terminate();
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("canary-secret"), "a secret is in the log");
}

#[test]
fn case_15_kills_by_an_operator_while_a_good_file_is_read_never_blame_it() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    home.put("drop", "1.csv", csv(0, 100));
    cloud.faults().set(stalled("1.csv"));
    for _ in 0..8 {
        killed_over_a_stalled_file(&home, &cloud);
    }
    cloud.faults().clear();
    let daemon = daemon(&home, &cloud);
    let status = daemon.wait_for_files("orders", "ingested", 1);
    assert_eq!((&status["counts"]["rows"], &status["counts"]["files"]["failed"]), (&json!(100), &json!(0)));
    let deaths = daemon.metric(r#"s3_connector_decoder_deaths_total{connection="shop",import="orders"}"#);
    assert_eq!(deaths.unwrap_or(0.0), 0.0);
    let files = daemon.metric(r#"s3_connector_files_total{connection="shop",import="orders",outcome="deferred"}"#);
    assert_eq!(files.unwrap_or(0.0), 0.0, "it was never put off either");
}

/// The child as the program starts it, on this file. Pieces that it tells are not part of its answer.
fn child(home: &Home, job: &Value, bytes: &[u8]) -> Output {
    let path = home.path("suspect");
    File::create(&path).expect("a file").write_all(bytes).expect("writes");
    let (mut mine, its) = UnixStream::pair().expect("a socket");
    let mut command = home.command("http://127.0.0.1:9", &["decode-probe"]);
    command.stdin(Stdio::from(File::open(&path).expect("opens"))).env_clear().env("MALLOC_ARENA_MAX", "1");
    let child = command.stdout(OwnedFd::from(its)).stderr(Stdio::piped()).spawn().expect("the program starts");
    drop(command);
    mine.write_all(job.to_string().as_bytes()).expect("writes");
    mine.shutdown(Shutdown::Write).expect("is told to be over");
    let mut stdout = Vec::new();
    mine.read_to_end(&mut stdout).expect("an answer");
    Output { stdout, ..child.wait_with_output().expect("ends") }
}

#[test]
fn case_15_the_child_says_what_it_found_and_dies_of_what_takes_more_than_its_memory() {
    let home = Home::new();
    let parent = std::process::id();
    let job = |format: &str, bytes: &[u8], memory: u64| json!({"parent": parent, "size": bytes.len(), "format": format, "memory": memory});
    let said = |output: Output| -> Value {
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let good = csv(0, 1_000);
    let found = said(child(&home, &job("csv", good.as_bytes(), 32 << 20), good.as_bytes()));
    assert_eq!(found, json!({"records": 1_000, "rejected": 0}));
    let broken = b"this is no parquet file";
    assert_eq!(said(child(&home, &job("parquet", broken, 32 << 20), broken))["code"], "bad_footer");

    let poison = poison();
    assert!(poison.len() < 1 << 20, "{} bytes", poison.len());
    let died = child(&home, &job("parquet", &poison, 32 << 20), &poison);
    assert_eq!(died.status.signal(), Some(6), "{died:?}");
    assert!(!home.path("core").exists());
    // It is the memory and nothing else.
    let found = said(child(&home, &job("parquet", &poison, 8 << 30), &poison));
    assert_eq!(found, json!({"records": 1, "rejected": 0}));

    let no_job = child(&home, &json!({"size": 1}), b"x");
    assert_eq!(no_job.status.code(), Some(70), "{no_job:?}");
    // Its parent ended before it could ask to end with it.
    let orphan = json!({"parent": parent + 1, "size": 3, "format": "csv", "memory": 1 << 20});
    let orphan = child(&home, &orphan, b"a,b");
    assert_eq!((orphan.status.code(), orphan.stdout.len()), (Some(70), 0), "{orphan:?}");
}

#[test]
fn the_verb_of_the_child_is_not_offered_to_people() {
    let help = Home::new().run("http://127.0.0.1:9", &["--help"]).expect_code(0);
    assert!(help.stdout.contains("quarantine") && !help.stdout.contains("decode-probe"), "{}", help.stdout);
}
