//! Whatever ends the program, and whenever: no row is lost and none comes twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use connector_core::history::BatchRecord;
use connector_devcloud::Faults;
use serde_json::json;

use crate::harness::{Cloud, Daemon, ENGINES, Home, python, read_table, until};
use crate::kill_files::{Manifest, SCHEMA, file};

/// Rounds in an ordinary run; `KILL_ROUNDS` sets any number.
const ROUNDS: u64 = 50;
/// So many rounds share a bucket. A process has to list all of it before it claims anything, so in a bucket that grows
/// for ever no life would be long enough to open a batch, and its end would prove nothing.
const EPOCH: u64 = 25;
/// The latest moment of a kill after the start of the program, in milliseconds.
const LATEST_KILL: u64 = 700;
/// The longest that a process is frozen, in milliseconds.
const LONGEST_FREEZE: u64 = 250;
/// Between two files that land.
const LANDING_PACE: Duration = Duration::from_millis(60);

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Lands files until it is told to stop; returns how many.
fn land(home: &Home, manifest: &mut Manifest, stop: &AtomicBool) -> u64 {
    let mut landed = 0;
    while !stop.load(Ordering::Relaxed) {
        let made = file(landed);
        home.put("drop", &made.key, &made.bytes);
        manifest.add(&made);
        landed += 1;
        std::thread::sleep(LANDING_PACE);
    }
    landed
}

/// How a life of the program ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    /// Frozen, thawed, and killed a little later.
    Thawed {
        freeze: Duration,
        after: Duration,
    },
    /// Killed while it was frozen.
    Frozen {
        freeze: Duration,
    },
}

impl End {
    fn of(random: &mut fastrand::Rng) -> Self {
        let freeze = Duration::from_millis(random.u64(10..=LONGEST_FREEZE));
        match random.u32(0..100) {
            0..60 => Self::Killed,
            60..85 => Self::Thawed { freeze, after: Duration::from_millis(random.u64(0..=LONGEST_FREEZE)) },
            _ => Self::Frozen { freeze },
        }
    }

    fn bring_about(self, child: &mut Child) {
        match self {
            Self::Killed => {}
            Self::Thawed { freeze, after } => {
                signal(child, "-STOP");
                std::thread::sleep(freeze);
                signal(child, "-CONT");
                std::thread::sleep(after);
            }
            Self::Frozen { freeze } => {
                signal(child, "-STOP");
                std::thread::sleep(freeze);
            }
        }
        child.kill().expect("kills");
        child.wait().expect("ends");
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success());
}

fn spawn(home: &Home, cloud: &Cloud) -> Child {
    let mut command = home.command(cloud.endpoint(), &["run"]);
    command.env("S3_CONNECTOR_LIMITS_TICK", "100ms").env("S3_CONNECTOR_LIMITS_MEMORY", "32MiB");
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

/// Starts the program, ends it after this long, and returns the batch that was open then, if any.
fn one_life(home: &Home, cloud: &Cloud, lifetime: Duration, end: End) -> Option<BatchRecord> {
    let mut child = spawn(home, cloud);
    // This is no waiting for something to happen: the moment itself is what is tried.
    std::thread::sleep(lifetime);
    assert!(child.try_wait().expect("a child").is_none(), "the program ended by itself");
    end.bring_about(&mut child);
    let newest = home.newest_batch("orders")?;
    matches!(newest.state.as_str(), "claimed" | "staged").then_some(newest)
}

/// Everything that is still to be read, including what waits because a fault put it off.
fn finish(home: &Home, cloud: &Cloud, files: u64) {
    for _ in 0..10 {
        home.run(cloud.endpoint(), &["datasource", "retry", "orders"]).expect_code(0);
        home.run(cloud.endpoint(), &["run", "--once"]);
        let counts = home.counts("orders");
        let done = |state: &str| counts.files.get(state).copied().unwrap_or_default();
        if done("ingested") + done("quarantined") == files {
            return;
        }
        println!("not all files are done yet: {:?}", counts.files);
    }
    panic!("files are left: {:?}", home.counts("orders"));
}

/// A home whose data source reads the workload.
fn home_for_the_workload() -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    let import = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop\nIMPORT_SCHEDULE @auto\n";
    home.datasource_text("orders", &format!("{SCHEMA}{import}"));
    (home, cloud)
}

/// Holds ledger and tables against what was written.
fn nothing_is_lost_or_doubled(test: &str, home: &Home, manifest: Manifest) {
    let history = home.history("orders");
    let counts = home.counts("orders");
    assert_eq!((counts.rows + counts.rows_quarantined, counts.backlog_files), (manifest.rows, 0));
    assert_eq!(counts.rows_quarantined, manifest.bad_rows);
    let committed: Vec<&BatchRecord> = history.iter().filter(|batch| batch.state == "committed").collect();
    assert_eq!(committed.iter().map(|batch| batch.rows).sum::<u64>(), counts.rows);
    let seqs: Vec<i64> = committed.iter().map(|batch| batch.seq).collect();
    assert_eq!(seqs, (1..=committed.len() as i64).collect::<Vec<_>>());

    let Some(python) = python(test) else { return };
    let report = manifest.check(&python, &home.table("orders"), &home.table("orders_quarantine"));
    println!(
        "{}",
        json!({"expected": report["expected"], "in_table": report["in_table"], "in_quarantine": report["in_quarantine"]})
    );
    assert_eq!(report["clean"], true, "{report:#}");
}

#[test]
fn case_01_kills_and_freezes_in_a_storm_lose_no_row_and_double_none() {
    let seed = from_environment("KILL_LOOP_SEED", 20_240_229);
    let rounds = from_environment("KILL_ROUNDS", ROUNDS);
    println!("{rounds} rounds with seed {seed}; set KILL_ROUNDS and KILL_LOOP_SEED to try others");
    let mut done = 0;
    for epoch in 0_u64.. {
        if done >= rounds {
            break;
        }
        one_epoch(seed.wrapping_add(epoch), EPOCH.min(rounds - done));
        done += EPOCH;
    }
}

/// Rounds over one bucket, from its first file to the checker's verdict.
fn one_epoch(seed: u64, rounds: u64) {
    println!("{rounds} rounds over a new bucket, seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (home, cloud) = home_for_the_workload();
    cloud.faults().set(Faults::storm(seed));

    let (stop, mut manifest) = (AtomicBool::new(false), Manifest::new(&home));
    let mut open_at_kill: BTreeMap<String, String> = BTreeMap::new();
    let landed = std::thread::scope(|scope| {
        let landing = scope.spawn(|| land(&home, &mut manifest, &stop));
        for round in 0..rounds {
            let lifetime = Duration::from_millis(random.u64(100..=LATEST_KILL));
            let end = End::of(&mut random);
            let open = one_life(&home, &cloud, lifetime, end);
            println!("round {round}: {end:?} after {lifetime:?}, open: {:?}", open.as_ref().map(|batch| &batch.state));
            open_at_kill.extend(open.map(|batch| (batch.id.to_string(), batch.state)));
        }
        stop.store(true, Ordering::Relaxed);
        landing.join().expect("files land")
    });
    let (faults, requests) = (cloud.faults().counts(), cloud.faults().requests());
    let committed_in_the_storm = home.history("orders").iter().filter(|batch| batch.state == "committed").count();
    cloud.faults().clear();
    finish(&home, &cloud, landed);

    // The test proves something: requests failed, batches were open when the program died, and others were not.
    let history = home.history("orders");
    println!("{landed} files, {} batches, {committed_in_the_storm} committed in the storm", history.len());
    println!("open at a kill: {:?}", open_at_kill.values().collect::<Vec<_>>());
    println!("{requests} requests, faults: {faults:?}");
    assert!(faults.values().sum::<u64>() > rounds / 2, "{faults:?} in {requests} requests");
    assert!(rounds < EPOCH || !open_at_kill.is_empty(), "no kill hit an open batch");
    assert!(rounds < EPOCH || committed_in_the_storm > 0, "no life was long enough to commit anything");
    for (id, state) in &open_at_kill {
        let end = &history.iter().find(|batch| batch.id.as_str() == id).expect("it is in the history").state;
        assert_eq!(end, if state == "staged" { "committed" } else { "abandoned" }, "a batch that was {state}");
    }
    nothing_is_lost_or_doubled("case_01_kills_and_freezes_in_a_storm_lose_no_row_and_double_none", &home, manifest);
}

/// The program is killed with a batch open, and then again and again while it recovers from that.
#[test]
fn case_02_kills_during_recovery_change_nothing_about_its_end() {
    const HITS: u32 = 4;
    let mut random = fastrand::Rng::with_seed(from_environment("KILL_LOOP_SEED", 7));
    let (home, cloud) = home_for_the_workload();
    let mut manifest = Manifest::new(&home);
    let (mut landed, mut hits) = (0, 0);
    for round in 0_u64.. {
        assert!(round < 200, "only {hits} kills hit an open batch");
        for _ in 0..4 {
            let made = file(landed);
            home.put("drop", &made.key, &made.bytes);
            manifest.add(&made);
            landed += 1;
        }
        let lifetime = Duration::from_millis(random.u64(150..=LATEST_KILL));
        let Some(open) = one_life(&home, &cloud, lifetime, End::Killed) else { continue };
        // Recovery begins as soon as the process does: these kills come before, in and just after it.
        let gaps: Vec<u64> = (0..3).map(|_| random.u64(20..=250)).collect();
        for gap in &gaps {
            let mut child = spawn(&home, &cloud);
            std::thread::sleep(Duration::from_millis(*gap));
            End::Killed.bring_about(&mut child);
        }
        println!("round {round}: a batch was {} at the kill; killed again after {gaps:?} ms", open.state);
        hits += 1;
        if hits == HITS {
            break;
        }
    }
    finish(&home, &cloud, landed);
    nothing_is_lost_or_doubled("case_02_kills_during_recovery_change_nothing_about_its_end", &home, manifest);
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
fn case_10_a_second_process_on_the_same_data_is_refused_and_the_first_goes_on() {
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
