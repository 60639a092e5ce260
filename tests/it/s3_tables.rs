//! Tables in a bucket: one role reads the files, another one writes the tables, a third one reads them with programs that
//! are not ours, and each of them reaches its own bucket only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connector_core::history::BatchRecord;
use connector_devcloud::{Fault, Faults, Operation, Refusal, Role, Rule, When};
use serde_json::{Value, json};

use crate::harness::{CALLER, CALLER_SECRET, Cloud, ENGINES, EXTERNAL_ID, Finished, Home, python, role_connection};
use crate::kill_files::{Manifest, SCHEMA, file};
use crate::second_s3::Moto;
use crate::workload::{Judge, Sample, datasource, datasource_with, put};

const READER: &str = "arn:aws:iam::000000000000:role/reader";
const WRITER: &str = "arn:aws:iam::000000000000:role/writer";
const ANALYST: &str = "arn:aws:iam::000000000000:role/analyst";
/// Below the bucket `lake`.
const TABLES: &str = "s3://lake/tables";

/// A devcloud in which `reader` reaches only the bucket `drop`, and `writer` and `analyst` only the bucket `lake`. The
/// caller reaches neither, so whatever arrives has come by the right role.
pub(crate) fn cloud(home: &Home) -> Cloud {
    for bucket in ["drop", "lake"] {
        fs::create_dir_all(home.path("s3").join(bucket)).expect("a bucket");
    }
    let role = |arn: &str, bucket: &str, write| Role {
        arn: arn.to_owned(),
        external_id: Some(EXTERNAL_ID.to_owned()),
        allowed_callers: vec![CALLER.to_owned()],
        buckets: Some(vec![bucket.to_owned()]),
        session: Duration::from_secs(3_600),
        write,
    };
    Cloud::with_roles(home, vec![role(READER, "drop", false), role(WRITER, "lake", true), role(ANALYST, "lake", false)])
}

/// Connections for both buckets, and tables in one of them.
pub(crate) fn configure(home: &Home, endpoint: &str) {
    configure_with(home, endpoint, WRITER, TABLES, "writer");
}

fn configure_with(home: &Home, endpoint: &str, writer: &str, uri: &str, connection: &str) {
    home.config("connections/shop.connection", &role_connection(endpoint, READER, EXTERNAL_ID));
    home.config("connections/writer.connection", &role_connection(endpoint, writer, EXTERNAL_ID));
    home.config("s3-connector.toml", &format!("[destination]\nuri = \"{uri}\"\nconnection = \"{connection}\"\n"));
}

/// What `s3_rows.py` says of a table.
#[track_caller]
fn read(python: &Path, endpoint: &str, table: &str, engine: &str, columns: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/s3_rows.py");
    let mut command = Command::new(python);
    command.arg(script).args([endpoint, &format!("{TABLES}/{table}")]).args(columns);
    command.args(["--role", ANALYST, "--external-id", EXTERNAL_ID, "--engine", engine]);
    let output = command.env("CALLER_KEY", CALLER).env("CALLER_SECRET", CALLER_SECRET).output().expect("python runs");
    assert!(output.status.success(), "{table}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Rows by which a table is compared: key, ordinal, id, amount.
pub(crate) type Rows = BTreeSet<(String, u64, u64, Option<u64>)>;

/// All rows of a table; fails if one is there twice.
#[track_caller]
pub(crate) fn rows(python: &Path, endpoint: &str, engine: &str) -> Rows {
    let found = read(python, endpoint, "orders", engine, &["_s3_key", "_s3_row", "id", "amount"]);
    let number = |value: &Value| value.as_u64();
    let rows = found["rows"].as_array().expect("rows").iter();
    let whole = |row: &Value| {
        let key = row[0].as_str().expect("a key").to_owned();
        (key, number(&row[1]).expect("an ordinal"), number(&row[2]).expect("an id"), number(&row[3]))
    };
    let all: Vec<_> = rows.map(whole).collect();
    let set: Rows = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "{engine}: a row is there twice");
    set
}

/// Where the bad rows are, by key and ordinal.
#[track_caller]
pub(crate) fn bad_rows(python: &Path, endpoint: &str, engine: &str) -> BTreeSet<(String, u64)> {
    let found = read(python, endpoint, "orders_quarantine", engine, &["_s3_key", "_s3_row"]);
    let all: Vec<(String, u64)> = found["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (row[0].as_str().expect("a key").to_owned(), row[1].as_u64().expect("an ordinal")))
        .collect();
    let set: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "{engine}: a row is there twice");
    set
}

/// The rows that samples bring, without those that have no amount or with them.
pub(crate) fn expected(samples: &[Sample], with_bad: bool) -> Rows {
    let of = |one: &Sample| {
        let (key, first, bad) = (one.key.clone(), one.first, one.bad.clone());
        (0..one.rows)
            .filter(move |row| with_bad || !bad.contains(row))
            .map(|row| (key.clone(), row, first + row, (!one.bad.contains(&row)).then_some(row)))
            .collect::<Vec<_>>()
    };
    samples.iter().flat_map(of).collect()
}

pub(crate) fn expected_bad(samples: &[Sample]) -> BTreeSet<(String, u64)> {
    samples.iter().flat_map(|one| one.bad.iter().map(|row| (one.key.clone(), *row))).collect()
}

#[track_caller]
pub(crate) fn audit(home: &Home, cloud: &Cloud) {
    home.run(cloud.endpoint(), &["audit", "orders"]).expect_code(0);
}

/// Files that a kill could have left in the spool folder.
fn spooled(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path("data/spool/tables"));
    entries.into_iter().flatten().map(|entry| entry.expect("readable").path()).collect()
}

pub(crate) fn in_lake(home: &Home, table: &str) -> PathBuf {
    home.path("s3/lake/tables").join(table)
}

/// As [`Sample::bytes`], with a column that the others lack.
fn put_evolved(home: &Home, sample: &Sample) {
    let line = |row: u64| format!("{},{row},2000-01-01,row {row},colour {row}\n", sample.first + row);
    let lines: String = (0..sample.rows).map(line).collect();
    home.put("drop", &sample.key, format!("id,amount,day,text,colour\n{lines}"));
}

#[test]
fn a_table_in_a_bucket_is_read_by_others_row_by_row() {
    let Some(python) = python("a_table_in_a_bucket_is_read_by_others_row_by_row") else { return };
    let home = Home::new();
    let cloud = cloud(&home);
    let endpoint = cloud.endpoint();
    configure(&home, endpoint);
    home.datasource_text("orders", &datasource("@auto"));
    let mut samples: Vec<Sample> = (0..9).map(|number| Sample::new(number, 50 + number)).collect();
    put(&home, &samples);
    home.run(endpoint, &["check"]).expect_code(0);
    home.run(endpoint, &["run", "--once"]).expect_code(0);
    let evolved = Sample { key: "evolved.csv".to_owned(), ..Sample::new(9, 30) };
    put_evolved(&home, &evolved);
    samples.push(evolved);
    home.run(endpoint, &["run", "--once"]).expect_code(0);
    let everything_is_there = || {
        for engine in ENGINES {
            assert_eq!(rows(&python, endpoint, engine), expected(&samples, false), "{engine}");
            assert_eq!(bad_rows(&python, endpoint, engine), expected_bad(&samples), "{engine}");
            let colours = read(&python, endpoint, "orders", engine, &["_s3_key", "colour"]);
            let coloured = |row: &&Value| row[1].is_string();
            let found: Vec<&Value> = colours["rows"].as_array().expect("rows").iter().filter(coloured).collect();
            assert!(found.len() == 30 && found.iter().all(|row| row[0] == "evolved.csv"), "{found:?}");
        }
        audit(&home, &cloud);
    };
    everything_is_there();
    let version = |table: &str| read(&python, endpoint, table, "deltalake", &["_s3_key"])["version"].clone();
    let before = (version("orders"), version("orders_quarantine"));
    home.run(endpoint, &["run", "--once"]).expect_code(0);
    assert_eq!((version("orders"), version("orders_quarantine")), before, "there was nothing new");
    everything_is_there();
    assert_eq!(spooled(&home), Vec::<PathBuf>::new());
    assert!(!home.path("data/tables").exists(), "nothing of it is on this machine");
    let beside = fs::read_dir(home.path("s3/lake/tables")).expect("a prefix").count();
    assert_eq!(beside, 2, "the key of the probe is gone");
}

#[test]
fn replay_rollback_and_maintenance_work_in_a_bucket() {
    let Some(python) = python("replay_rollback_and_maintenance_work_in_a_bucket") else { return };
    let home = Home::new();
    let cloud = cloud(&home);
    let endpoint = cloud.endpoint();
    configure(&home, endpoint);
    home.datasource_text("orders", &datasource("@on-demand"));
    // As many batches as it takes for compaction to be worth while.
    let samples: Vec<Sample> = (0..18).map(|number| Sample::new(number, 40)).collect();
    for sample in &samples {
        put(&home, std::slice::from_ref(sample));
        home.run(endpoint, &["run", "--once"]).expect_code(0);
    }
    for verb in ["ls", "show", "export"] {
        let told = home.run(endpoint, &["quarantine", verb, "orders"]).expect_code(0).stdout;
        assert!(told.contains("amount") || told.contains("0004.csv"), "{verb}: {told}");
    }
    home.datasource_text("orders", &datasource_with("Nullable(Int64)", "@on-demand"));
    let moved = home.run(endpoint, &["quarantine", "replay", "orders", "--yes"]).expect_code(0).stdout;
    assert!(moved.contains("12 of 12 rows from 6 files moved into the table"), "{moved}");
    for engine in ENGINES {
        assert_eq!(rows(&python, endpoint, engine), expected(&samples, true), "{engine}");
        assert_eq!(bad_rows(&python, endpoint, engine), BTreeSet::new(), "{engine}");
    }
    audit(&home, &cloud);

    // Of the file with number 4, whose bad rows have moved since.
    let batch = home.history("orders")[4].id.clone();
    home.run(endpoint, &["rollback", &batch, "--yes"]).expect_code(0);
    let kept: Vec<Sample> = samples.iter().filter(|one| one.key != samples[4].key).cloned().collect();
    let same = |kept: &[Sample]| {
        for engine in ENGINES {
            assert_eq!(rows(&python, endpoint, engine), expected(kept, true), "{engine}");
        }
        audit(&home, &cloud);
    };
    same(&kept);
    let maintained = home.run(endpoint, &["maintain", "orders"]).expect_code(0).stdout;
    assert!(maintained.contains("data files written together into 1"), "{maintained}");
    same(&kept);
    home.run(endpoint, &["datasource", "retry", "orders", "--batch", &batch]).expect_code(0);
    home.run(endpoint, &["run", "--once"]).expect_code(0);
    same(&samples);
    let explained = format!("s3://drop/{}", samples[4].key);
    home.run(endpoint, &["explain", &explained]).expect_code(0);
}

#[test]
fn a_large_data_file_goes_up_in_parts_and_arrives_whole() {
    const ROWS: u64 = 600_000;
    let Some(python) = python("a_large_data_file_goes_up_in_parts_and_arrives_whole") else { return };
    let home = Home::new();
    let cloud = cloud(&home);
    configure(&home, cloud.endpoint());
    home.datasource_text("orders", "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop\n");
    let mut random = fastrand::Rng::with_seed(3);
    let mut csv = String::from("id,text\n");
    (0..ROWS).for_each(|id| csv.push_str(&format!("{id},{:032x}\n", random.u128(..))));
    home.put("drop", "large.csv", csv);
    // One part is refused, of one the answer is lost.
    let parts = |nth, fault| Rule::on(Operation::Put, When::Nth(nth), fault).key("tables/orders/*.parquet");
    let faults = Faults::seeded(1)
        .with(parts(2, Fault::Refuse(Refusal::SlowDown)))
        .with(parts(3, Fault::ApplyThenFail(None)))
        .with(parts(4, Fault::ApplyThenFail(Some(Refusal::InternalError))));
    cloud.faults().set(faults);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let largest = fs::read_dir(in_lake(&home, "orders"))
        .expect("a table")
        .map(|entry| entry.expect("readable").metadata().expect("facts").len())
        .max();
    assert!(largest > Some(8 << 20), "no data file was large enough to go up in parts: {largest:?}");
    assert!(cloud.faults().counts().len() >= 2, "{:?}", cloud.faults().counts());
    for engine in ENGINES {
        let found = read(&python, cloud.endpoint(), "orders", engine, &["id"]);
        let ids: BTreeSet<u64> =
            found["rows"].as_array().expect("rows").iter().map(|row| row[0].as_u64().expect("an id")).collect();
        assert!(
            ids == (0..ROWS).collect() && found["rows"].as_array().map(Vec::len) == Some(ROWS as usize),
            "{engine}"
        );
    }
    audit(&home, &cloud);
}

// ------------------------------------------------------------------------------------------------------------- kills

/// The faults of a bad day, and more of them on the way to the tables.
fn storm(seed: u64) -> Faults {
    let on_tables = |odds, fault| Rule::on(Operation::Put, When::Chance(odds), fault).key("tables/*");
    let storm = Faults::storm(seed);
    let on_tables = [
        on_tables(0.10, Fault::ApplyThenFail(None)),
        on_tables(0.10, Fault::ApplyThenFail(Some(Refusal::InternalError))),
        on_tables(0.06, Fault::Refuse(Refusal::InternalError)),
        on_tables(0.06, Fault::Refuse(Refusal::SlowDown)),
    ];
    Faults { rules: on_tables.into_iter().chain(storm.rules).collect(), ..storm }
}

/// Lands files until it is told to stop; returns how many.
fn land(home: &Home, manifest: &mut Manifest, stop: &AtomicBool) -> u64 {
    let mut landed = 0;
    while !stop.load(Ordering::Relaxed) {
        let made = file(landed);
        home.put("drop", &made.key, &made.bytes);
        manifest.add(&made);
        landed += 1;
        std::thread::sleep(Duration::from_millis(200));
    }
    landed
}

/// Runs the program until it is killed; tells the batch that was open then, if any.
fn one_life(home: &Home, cloud: &Cloud, lifetime: Duration) -> Option<BatchRecord> {
    let mut command = home.command(cloud.endpoint(), &["run"]);
    command.env("S3_CONNECTOR_LIMITS_TICK", "100ms").env("S3_CONNECTOR_LIMITS_MEMORY", "32MiB");
    let log = fs::File::options().create(true).append(true).open(home.path("lives.log")).expect("a log");
    let mut child = command.stdout(Stdio::null()).stderr(log).spawn().expect("the program starts");
    // The moment itself is what is tried.
    std::thread::sleep(lifetime);
    assert!(child.try_wait().expect("a child").is_none(), "the program ended by itself");
    child.kill().expect("kills");
    child.wait().expect("ends");
    let newest = home.newest_batch("orders")?;
    matches!(newest.state.as_str(), "claimed" | "staged").then_some(newest)
}

/// Reads what is left.
fn finish(home: &Home, cloud: &Cloud, files: u64) {
    let mut said = String::new();
    for _ in 0..10 {
        home.run(cloud.endpoint(), &["datasource", "retry", "orders"]).expect_code(0);
        let last = home.run(cloud.endpoint(), &["run", "--once"]);
        said = format!("{}: {}{}", last.code, last.stdout, last.stderr);
        let counts = home.counts("orders");
        let done = |state: &str| counts.files.get(state).copied().unwrap_or_default();
        if done("ingested") + done("quarantined") == files {
            return;
        }
        println!("not all files are done yet: {:?}", counts.files);
    }
    panic!("files are left: {:?}; the last run said {said}", home.counts("orders"));
}

#[test]
fn case_01_22_kills_in_a_storm_lose_and_double_no_row_of_a_table_in_a_bucket() {
    const LIVES: u32 = 12;
    let Some(python) = python("case_01_22_kills_in_a_storm_lose_and_double_no_row_of_a_table_in_a_bucket") else {
        return;
    };
    let seed = std::env::var("KILL_LOOP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(11);
    println!("seed {seed}; set KILL_LOOP_SEED to try another one");
    let mut random = fastrand::Rng::with_seed(seed);
    let home = Home::new();
    let cloud = cloud(&home);
    configure(&home, cloud.endpoint());
    let import = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop\nIMPORT_SCHEDULE @auto\n";
    home.datasource_text("orders", &format!("{SCHEMA}{import}"));
    cloud.faults().set(storm(seed));
    let (stop, mut manifest) = (AtomicBool::new(false), Manifest::new(&home));
    let mut open_at_kill: BTreeMap<String, String> = BTreeMap::new();
    let landed = std::thread::scope(|scope| {
        let landing = scope.spawn(|| land(&home, &mut manifest, &stop));
        for life in 0.. {
            let committed = home.newest_batch("orders").is_some_and(|batch| batch.seq > 1);
            if life >= LIVES && committed || life >= 3 * LIVES {
                break;
            }
            let lifetime = Duration::from_millis(random.u64(300..=4_000));
            let open = one_life(&home, &cloud, lifetime);
            println!("life {life}: killed after {lifetime:?}, open: {:?}", open.as_ref().map(|batch| &batch.state));
            open_at_kill.extend(open.map(|batch| (batch.id.to_string(), batch.state)));
        }
        stop.store(true, Ordering::Relaxed);
        landing.join().expect("files land")
    });
    let committed = home.history("orders").iter().filter(|batch| batch.state == "committed").count();
    let faults = cloud.faults().counts();
    cloud.faults().clear();
    println!("{landed} files, {committed} batches committed in the storm, open at kills: {open_at_kill:?}, {faults:?}");
    let log = fs::read_to_string(home.path("lives.log")).expect("a log");
    for bug in ["panicked", "\"bug\"", "please report"] {
        assert!(!log.contains(bug), "{log}");
    }
    assert!(!log.contains("canary"), "the secret of the caller is in the log");
    finish(&home, &cloud, landed);
    assert!(committed > 0 && !open_at_kill.is_empty(), "the lives were too short, or none ended in a batch");
    assert!(faults.contains_key("apply_then_fail") && faults.contains_key("slow_down"), "{faults:?}");
    let counts = home.counts("orders");
    assert_eq!((counts.rows + counts.rows_quarantined, counts.rows_quarantined), (manifest.rows, manifest.bad_rows));
    audit(&home, &cloud);
    assert_eq!(spooled(&home), Vec::<PathBuf>::new(), "what kills left in the spool folder is gone");
    let ids = |engine: &str| {
        let found = read(&python, cloud.endpoint(), "orders", engine, &["_s3_version", "_s3_row"]);
        found["rows"].as_array().expect("rows").iter().map(Value::to_string).collect::<BTreeSet<_>>().len() as u64
    };
    for engine in ENGINES {
        assert_eq!(ids(engine), manifest.rows - manifest.bad_rows, "{engine}");
    }
    let report = manifest.check(&python, &in_lake(&home, "orders"), &in_lake(&home, "orders_quarantine"));
    assert_eq!(report["clean"], true, "{report:#}");
}

// -------------------------------------------------------------------------------------------------------- refusals

/// A run that has to end before anything is claimed.
#[track_caller]
fn refused_at_once(home: &Home, cloud: &Cloud) -> String {
    let finished = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(2);
    assert!(home.newest_batch("orders").is_none(), "something was claimed");
    assert!(!in_lake(home, "orders").exists(), "something was written");
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(!said.contains("canary"), "{said}");
    said
}

#[test]
fn case_26_a_store_that_ignores_if_none_match_is_refused_before_anything_is_claimed() {
    let home = Home::new();
    let cloud = cloud(&home);
    configure(&home, cloud.endpoint());
    home.datasource_text("orders", &datasource("@auto"));
    let samples = [Sample::new(0, 20)];
    put(&home, &samples);
    cloud.faults().set(Faults::seeded(1).with(Rule::on(Operation::Put, When::Always, Fault::IgnoreIfNoneMatch)));
    let said = refused_at_once(&home, &cloud);
    assert!(said.contains("no_conditional_put"), "{said}");
    assert!(said.contains("use a store that honours If-None-Match, or a local folder in [destination]"), "{said}");
    let left = fs::read_dir(home.path("s3/lake/tables")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "the key of the probe is gone");
    cloud.faults().clear();
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 20);
}

#[test]
fn a_role_that_may_not_write_is_told_which_permission_it_lacks() {
    let home = Home::new();
    let cloud = cloud(&home);
    home.datasource_text("orders", &datasource("@auto"));
    put(&home, &[Sample::new(0, 20)]);
    // One that reads that bucket, one that reaches only the other one, one that may not be assumed.
    for (role, code) in [(ANALYST, "storage_denied"), (READER, "storage_denied")] {
        configure_with(&home, cloud.endpoint(), role, TABLES, "writer");
        let said = refused_at_once(&home, &cloud);
        assert!(said.contains(code) && said.contains("s3:PutObject"), "{said}");
    }
    configure_with(&home, cloud.endpoint(), "arn:aws:iam::000000000000:role/nobody", TABLES, "writer");
    let said = refused_at_once(&home, &cloud);
    assert!(said.contains("assume_role_denied"), "{said}");
    configure_with(&home, cloud.endpoint(), WRITER, "s3://no-such-lake/tables", "writer");
    let said = refused_at_once(&home, &cloud);
    assert!(said.contains("no-such-lake"), "{said}");
}

#[test]
fn a_role_that_loses_its_permission_stops_the_import_and_loses_no_row() {
    let Some(python) = python("a_role_that_loses_its_permission_stops_the_import_and_loses_no_row") else { return };
    let home = Home::new();
    let cloud = cloud(&home);
    configure(&home, cloud.endpoint());
    home.datasource_text("orders", &datasource("@auto"));
    let samples: Vec<Sample> = (0..9).map(|number| Sample::new(number, 25)).collect();
    put(&home, &samples[..3]);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    for (index, pattern) in ["tables/orders/*.parquet", "tables/orders/_delta_log/*"].into_iter().enumerate() {
        put(&home, &samples[3 + 3 * index..6 + 3 * index]);
        let denied = Rule::on(Operation::Put, When::Always, Fault::Refuse(Refusal::AccessDenied)).key(pattern);
        cloud.faults().set(Faults::seeded(1).with(denied));
        let said = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(2);
        assert!(said.stderr.contains("s3:PutObject"), "{pattern}: {}", said.stderr);
        assert_eq!(rows(&python, cloud.endpoint(), "polars"), expected(&samples[..3 + 3 * index], false), "{pattern}");
        cloud.faults().clear();
        home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
        assert_eq!(rows(&python, cloud.endpoint(), "polars"), expected(&samples[..6 + 3 * index], false), "{pattern}");
        audit(&home, &cloud);
    }
}

#[test]
fn tables_among_source_files_and_unknown_connections_are_refused_by_check() {
    let home = Home::new();
    let cloud = cloud(&home);
    home.datasource_text("orders", &datasource("@auto"));
    put(&home, &[Sample::new(0, 20)]);
    let cases = [
        (
            "s3://drop/tables",
            "writer",
            "which the data source orders watches, overlap",
            "tables must not become source",
        ),
        (TABLES, "writr", "there is no connection 'writr'", "did you mean 'writer'?"),
    ];
    for (uri, connection, what, hint) in cases {
        configure_with(&home, cloud.endpoint(), WRITER, uri, connection);
        for verb in [&["check"][..], &["check", "--offline"], &["run", "--once"]] {
            let said = home.run(cloud.endpoint(), verb).expect_code(2).stderr;
            assert!(said.contains(what) && said.contains(hint), "{verb:?}: {said}");
            assert!(said.contains("s3-connector.toml:"), "{verb:?}: {said}");
        }
    }
    assert!(!home.path("data/ledger.sqlite3").exists(), "nothing was begun");
}

// ------------------------------------------------------------------------------------------------------- two hosts

#[test]
fn case_11_a_second_host_with_a_ledger_of_its_own_is_fenced_from_a_table_in_a_bucket() {
    let test = "case_11_a_second_host_with_a_ledger_of_its_own_is_fenced_from_a_table_in_a_bucket";
    let Some(python) = python(test) else { return };
    let (first, second) = (Home::new(), Home::new());
    let cloud = cloud(&first);
    for host in [&first, &second] {
        configure(host, cloud.endpoint());
        host.datasource_text("orders", &datasource("@auto"));
    }
    let samples: Vec<Sample> = (0..6).map(|number| Sample::new(number, 30)).collect();
    put(&first, &samples[..3]);
    first.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    put(&first, &samples[3..]);
    let said = second.run(cloud.endpoint(), &["run", "--once"]).expect_code(2).stderr;
    assert!(said.contains("ledger_lost") && said.contains("nothing is imported again"), "{said}");
    assert_eq!(rows(&python, cloud.endpoint(), "deltalake"), expected(&samples[..3], false));
    first.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(rows(&python, cloud.endpoint(), "polars"), expected(&samples, false));
    audit(&first, &cloud);
}

#[test]
fn case_11_of_two_first_starts_at_once_one_makes_the_table_in_the_bucket() {
    let test = "case_11_of_two_first_starts_at_once_one_makes_the_table_in_the_bucket";
    let Some(python) = python(test) else { return };
    for round in 0..4 {
        let (first, second) = (Home::new(), Home::new());
        let cloud = cloud(&first);
        let samples: Vec<Sample> = (0..6).map(|number| Sample::new(number, 30)).collect();
        put(&first, &samples);
        for host in [&first, &second] {
            configure(host, cloud.endpoint());
            host.datasource_text("orders", &datasource("@auto"));
        }
        let started = [&first, &second].map(|host| {
            let mut command = host.command(cloud.endpoint(), &["run", "--once"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
        });
        let ended = started.map(|child| Finished::of(child.wait_with_output().expect("it ends")));
        let codes: BTreeSet<i32> = ended.iter().map(|one| one.code).collect();
        assert!(codes == BTreeSet::from([0, 2]) || codes == BTreeSet::from([0, 5]), "round {round}: {ended:#?}");
        let judge = &mut Judge::start(&python);
        let verdict = judge.compare(&in_lake(&first, "orders"), &in_lake(&first, "orders_quarantine"), &samples);
        assert_eq!(verdict.wrong(), None, "round {round}");
    }
}

// ------------------------------------------------------------------------------------------------------ another S3

#[test]
fn tables_in_a_bucket_of_another_s3_are_written_by_their_own_role_and_no_secret_is_logged() {
    let test = "tables_in_a_bucket_of_another_s3_are_written_by_their_own_role_and_no_secret_is_logged";
    let home = Home::new();
    let Some(moto) = Moto::start(&home, test) else { return };
    let python = python(test).expect("it was there a moment ago");
    let samples: Vec<Sample> = (0..6).map(|number| Sample::new(number, 40)).collect();
    put(&home, &samples);
    moto.upload(&home);
    fs::create_dir_all(home.path("s3/lake")).expect("folder");
    moto.upload_bucket(&home, "lake");
    configure(&home, &moto.endpoint);
    home.datasource_text("orders", &datasource("@auto"));
    let mut said = String::new();
    for _ in 0..2 {
        let mut command = home.command(&moto.endpoint, &["run", "--once"]);
        command.env("S3_CONNECTOR_LOG_LEVEL", "debug").env("RUST_LOG", "debug");
        let finished = Finished::of(command.output().expect("the program starts")).expect_code(0);
        said.push_str(&finished.stdout);
        said.push_str(&finished.stderr);
    }
    let requests = moto.requests();
    for engine in ENGINES {
        assert_eq!(rows(&python, &moto.endpoint, engine), expected(&samples, false), "{engine}");
        assert_eq!(bad_rows(&python, &moto.endpoint, engine), expected_bad(&samples), "{engine}");
    }

    // Each bucket is reached with the keys of its own role.
    let keys_for = |bucket: &str| -> BTreeSet<String> {
        let of = |request: &&Value| {
            let path = request["url"].as_str().and_then(|url| url.splitn(4, '/').nth(3)).unwrap_or_default();
            path.split(['/', '?']).next() == Some(bucket)
        };
        requests.iter().filter(of).filter_map(key_of).filter(|id| id != "test").collect()
    };
    let (reading, writing) = (keys_for("drop"), keys_for("lake"));
    assert!(!reading.is_empty() && !writing.is_empty(), "{reading:?} {writing:?}");
    assert!(reading.is_disjoint(&writing), "{reading:?} {writing:?}");
    assert!(!reading.contains(CALLER) && !writing.contains(CALLER), "the caller reads and writes nothing itself");
    assert!(said.contains("\"DEBUG\""), "the log is not the one that would tell");
    assert!(!said.contains(CALLER_SECRET), "the secret of the caller is in the log");
    let mut tokens = 0;
    for token in requests.iter().filter_map(|request| request["headers"]["X-Amz-Security-Token"].as_str()) {
        assert!(!said.contains(token), "a session token is in the log");
        tokens += 1;
    }
    assert!(tokens > 0, "{}", json!(requests.first()));
}

/// The access key id that a request was signed with.
fn key_of(request: &Value) -> Option<String> {
    let scope = request["headers"]["Authorization"].as_str()?.split("Credential=").nth(1)?;
    Some(scope.split('/').next()?.to_owned())
}
