//! Whatever ends the program, and whenever: no row is lost and none comes twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use connector_core::history::BatchRecord;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::harness::{Cloud, Daemon, ENGINES, Home, group_rows, python, read_table, until};

const ROUNDS: u32 = 20;
/// The latest moment of a kill after the start of the program, in milliseconds.
const LATEST_KILL: u64 = 600;
/// Between two files that land.
const LANDING_PACE: Duration = Duration::from_millis(50);
/// Ids of a file start at its number times this.
const ID_SPACE: u64 = 1_000_000;

/// A file of the workload. Most are small; each sixteenth is larger than what counts as small under the smallest budget,
/// so that it is streamed into a data file of its own.
fn rows_of(number: u64) -> u64 {
    if number % 16 == 5 { 60_000 } else { 200 + number % 100 }
}

fn key_of(number: u64) -> String {
    format!("{number:05}.{}", if number % 3 == 2 { "parquet" } else { "csv" })
}

fn bytes_of(number: u64) -> Vec<u8> {
    let ids = || (0..rows_of(number)).map(|row| number * ID_SPACE + row);
    let text = |id: u64| format!("row {id} of a file that is made for this test");
    if key_of(number).ends_with(".csv") {
        let mut csv = String::from("id,text\n");
        ids().for_each(|id| csv.push_str(&format!("{id},{}\n", text(id))));
        return csv.into_bytes();
    }
    let fields = vec![Field::new("id", DataType::Int64, false), Field::new("text", DataType::Utf8, false)];
    let columns = RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            Arc::new(ids().map(|id| id as i64).collect::<Int64Array>()),
            Arc::new(ids().map(|id| Some(text(id))).collect::<StringArray>()),
        ],
    );
    let columns = columns.expect("columns");
    let mut writer = ArrowWriter::try_new(Vec::new(), columns.schema(), None).expect("a writer");
    writer.write(&columns).expect("rows");
    writer.into_inner().expect("a file")
}

/// Lands files until it is told to stop; returns how many.
fn land(home: &Home, stop: &AtomicBool) -> u64 {
    let mut landed = 0;
    while !stop.load(Ordering::Relaxed) {
        home.put("drop", &key_of(landed), bytes_of(landed));
        landed += 1;
        std::thread::sleep(LANDING_PACE);
    }
    landed
}

/// Starts the program, kills it after this long, and returns the batch that was open then, if any.
fn one_life(home: &Home, cloud: &Cloud, lifetime: Duration) -> Option<BatchRecord> {
    let mut command = home.command(cloud.endpoint(), &["run"]);
    command.env("S3_CONNECTOR_LIMITS_TICK", "100ms").env("S3_CONNECTOR_LIMITS_MEMORY", "32MiB");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    // This is no waiting for something to happen: the moment itself is what is tried.
    std::thread::sleep(lifetime);
    assert!(child.try_wait().expect("a child").is_none(), "the program ended by itself");
    child.kill().expect("kills");
    child.wait().expect("ends");
    let newest = home.newest_batch("orders")?;
    matches!(newest.state.as_str(), "claimed" | "staged").then_some(newest)
}

#[test]
fn twenty_kills_lose_no_row_and_double_none() {
    let seed = std::env::var("KILL_LOOP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_240_229);
    println!("seed {seed}; set KILL_LOOP_SEED to try another one");
    let mut random = fastrand::Rng::with_seed(seed);
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop", "@auto");

    let stop = AtomicBool::new(false);
    let mut open_at_kill: BTreeMap<String, String> = BTreeMap::new();
    let landed = std::thread::scope(|scope| {
        let landing = scope.spawn(|| land(&home, &stop));
        for round in 0..ROUNDS {
            let lifetime = Duration::from_millis(random.u64(0..=LATEST_KILL));
            let open = one_life(&home, &cloud, lifetime);
            println!("round {round}: killed after {lifetime:?}, open: {:?}", open.as_ref().map(|batch| &batch.state));
            open_at_kill.extend(open.map(|batch| (batch.id.to_string(), batch.state)));
        }
        stop.store(true, Ordering::Relaxed);
        landing.join().expect("files land")
    });
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);

    // The test proves something: batches were open, before and after they were staged, when the program died.
    let history = home.history("orders");
    println!("{landed} files, {} batches, open at a kill: {open_at_kill:?}", history.len());
    assert!(!open_at_kill.is_empty(), "no kill hit an open batch");
    assert!(history.len() > open_at_kill.len() + 1, "no life was long enough to commit anything");
    for (id, state) in &open_at_kill {
        let end = &history.iter().find(|batch| batch.id.as_str() == id).expect("it is in the history").state;
        assert_eq!(end, if state == "staged" { "committed" } else { "abandoned" }, "a batch that was {state}");
    }

    let expected: u64 = (0..landed).map(rows_of).sum();
    let counts = home.counts("orders");
    assert_eq!((counts.files["ingested"], counts.rows, counts.backlog_files), (landed, expected, 0));
    let committed: Vec<&BatchRecord> = history.iter().filter(|batch| batch.state == "committed").collect();
    assert_eq!(committed.iter().map(|batch| batch.rows).sum::<u64>(), expected);
    let seqs: Vec<i64> = committed.iter().map(|batch| batch.seq).collect();
    assert_eq!(seqs, (1..=committed.len() as i64).collect::<Vec<_>>());

    let Some(python) = python("twenty_kills_lose_no_row_and_double_none") else { return };
    let last = (landed - 1) * ID_SPACE + rows_of(landed - 1) - 1;
    let by_key: Vec<Value> =
        (0..landed).map(|number| json!({"_s3_key": key_of(number), "rows": rows_of(number)})).collect();
    for engine in ENGINES {
        let table = read_table(&python, &home.table("orders"), engine, Some("id"));
        assert_eq!(table["ids"], json!({"count": expected, "distinct": expected, "min": 0, "max": last}), "{engine}");
        assert_eq!((&table["rows"], &table["distinct_rows"]), (&expected.into(), &expected.into()), "{engine}");
        assert_eq!(group_rows(&python, &home.table("orders"), engine, &["_s3_key"]), by_key, "{engine}");
    }
}

/// The verb `devcloud` in a process of its own, so that it can be frozen.
struct Frozen {
    child: Child,
    endpoint: String,
}

impl Frozen {
    fn start(home: &Home) -> Self {
        let folder = home.path("s3");
        let arguments = ["devcloud", "--listen", "127.0.0.1:0", "--folder", folder.to_str().expect("UTF-8")];
        let mut command = home.command("http://127.0.0.1:9", &arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let endpoint = line.trim().rsplit(' ').next().expect("an endpoint").to_owned();
        Self { child, endpoint }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(status.success());
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LARGE_ROWS: u64 = 700_000;

/// A home with one CSV of about 30 MB, served by a process of its own.
fn home_with_a_large_file() -> (Home, Frozen) {
    let home = Home::new();
    let mut csv = String::from("id,text\n");
    (0..LARGE_ROWS).for_each(|id| csv.push_str(&format!("{id},row {id} of a large file and its rest\n")));
    home.put("drop", "large.csv", csv);
    let cloud = Frozen::start(&home);
    let endpoint = &cloud.endpoint;
    home.config(
        "connections/shop.connection",
        &format!(
            "TYPE s3\nS3_REGION us-east-1\nS3_ENDPOINT {endpoint}\nS3_PATH_STYLE true\n\
             S3_ACCESS_KEY {{{{ tb_secret(\"K\", \"devcloud\") }}}}\nS3_SECRET {{{{ tb_secret(\"S\", \"devcloud-secret\") }}}}\n"
        ),
    );
    home.datasource("orders", "s3://drop/*.csv", "@auto");
    (home, cloud)
}

/// Starts a daemon, waits until the large file is being read, and does `meanwhile`; then SIGTERM.
fn terminated_in_the_middle(home: &Home, cloud: &Frozen, meanwhile: impl FnOnce()) {
    let mut command = home.command(&cloud.endpoint, &["run"]);
    let daemon = Daemon::spawn(command.env("S3_CONNECTOR_LIMITS_MEMORY", "32MiB"));
    until("the file to be claimed", || (daemon.status("orders")["counts"]["files"]["claimed"] == 1).then_some(()));
    meanwhile();
    let asked = Instant::now();
    let (code, log) = daemon.terminate();
    assert_eq!(code, 0, "{log}");
    assert!(asked.elapsed() < Duration::from_secs(10), "it took {:?} to end:\n{log}", asked.elapsed());
}

/// All rows of the large file are there, once.
fn is_complete(test: &str, home: &Home) {
    assert_eq!(home.counts("orders").rows, LARGE_ROWS);
    let Some(python) = python(test) else { return };
    let expected = json!({"count": LARGE_ROWS, "distinct": LARGE_ROWS, "min": 0, "max": LARGE_ROWS - 1});
    for engine in ENGINES {
        assert_eq!(read_table(&python, &home.table("orders"), engine, Some("id"))["ids"], expected, "{engine}");
    }
}

#[test]
fn sigterm_in_a_large_file_ends_in_time_and_the_next_run_completes_it() {
    let (home, cloud) = home_with_a_large_file();
    terminated_in_the_middle(&home, &cloud, || ());
    home.run(&cloud.endpoint, &["run", "--once"]).expect_code(0);
    is_complete("sigterm_in_a_large_file_ends_in_time_and_the_next_run_completes_it", &home);
}

#[test]
fn sigterm_ends_in_time_even_if_s3_has_stopped_to_answer() {
    let (home, cloud) = home_with_a_large_file();
    terminated_in_the_middle(&home, &cloud, || cloud.signal("-STOP"));
    let states: Vec<String> = home.history("orders").into_iter().map(|batch| batch.state).collect();
    assert_eq!(states, ["claimed"], "the file was to be left half-read");
    cloud.signal("-CONT");
    home.run(&cloud.endpoint, &["run", "--once"]).expect_code(0);
    let states: Vec<String> = home.history("orders").into_iter().map(|batch| batch.state).collect();
    assert_eq!(states, ["abandoned", "committed"]);
    is_complete("sigterm_ends_in_time_even_if_s3_has_stopped_to_answer", &home);
}

#[test]
fn a_deleted_ledger_imports_nothing_again_and_says_what_to_do() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    home.put("drop", "1.csv", "id\n1\n2\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let python = python("a_deleted_ledger_imports_nothing_again_and_says_what_to_do");
    let table = || {
        python
            .as_ref()
            .map(|python| ENGINES.map(|engine| read_table(python, &home.table("orders"), engine, Some("id"))))
    };
    let before = table();
    for suffix in ["", "-wal", "-shm"] {
        // Not all of them are there after a clean end.
        let _ = std::fs::remove_file(home.path(&format!("data/ledger.sqlite3{suffix}")));
    }
    home.put("drop", "2.csv", "id\n3\n");

    let once = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(2);
    assert!(once.stderr.contains("put the old ledger back") && once.stderr.contains("nothing is imported again"));
    let daemon = Daemon::start(&home, cloud.endpoint(), "100ms");
    let status = daemon.wait_for_state("orders", "Failed");
    assert_eq!(status["reason"]["code"], "ledger_lost", "{status}");
    assert_eq!(status["counts"]["rows"], 0);
    drop(daemon);
    assert_eq!(table(), before, "version or rows of the table have changed");
}

#[test]
fn a_second_process_on_the_same_data_is_refused_and_the_first_goes_on() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    home.put("drop", "1.csv", "id\n1\n");
    let daemon = Daemon::start(&home, cloud.endpoint(), "200ms");
    daemon.wait_for_files("orders", "ingested", 1);
    for verb in [&["run"][..], &["run", "--once"]] {
        let second = home.run(cloud.endpoint(), verb).expect_code(2);
        let data = home.path("data");
        let message = second.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(
            message.contains("another s3-connector is using this data directory")
                && message.contains(&data.display().to_string()),
            "{message}"
        );
    }
    home.put("drop", "2.csv", "id\n2\n");
    assert_eq!(daemon.wait_for_files("orders", "ingested", 2)["state"], "Running");
}
