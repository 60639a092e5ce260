//! Memory: the program stays under its budget and a fixed overhead, whatever the size of a file, and gets to the end
//! even with the smallest budget.
//!
//! The devcloud runs as a process of its own here, so that what it holds is not counted. How much data: the environment
//! variable [`CSV_MB`]; the larger, the less the fixed overhead hides. `docs/performance.md` has the commands.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use arrow::compute::concat_batches;
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use s3_connector::demo::generator::{Generator, ORDER_COLUMNS};

use crate::harness::Home;

/// Megabytes of the large CSV file.
const CSV_MB: &str = "S3_CONNECTOR_TEST_CSV_MB";
const DEFAULT_CSV_MB: u64 = 160;
/// What the program may hold besides the budget, in MiB.
const OVERHEAD_MIB: u64 = 128;
/// The longest that a run may take before it counts as stuck, for each megabyte of data and in all.
const PER_MEGABYTE: Duration = Duration::from_secs(2);
const AT_LEAST: Duration = Duration::from_secs(240);

/// `s3-connector devcloud` over a home's `s3/`, as a process of its own.
struct CloudProcess {
    child: Child,
    endpoint: String,
}

impl CloudProcess {
    fn start(home: &Home) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_s3-connector"));
        command.arg("devcloud").arg("--folder").arg(home.path("s3")).args(["--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the devcloud starts");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
        let endpoint = first.trim().rsplit(' ').next().expect("an endpoint").to_owned();
        assert!(endpoint.starts_with("http://127.0.0.1:"), "{first}");
        Self { child, endpoint }
    }

    /// The connection `shop`: with the devcloud's own keys.
    fn connect(&self, home: &Home) {
        home.config(
            "connections/shop.connection",
            &format!(
                "TYPE s3\nS3_REGION \"us-east-1\"\nS3_ENDPOINT \"{}\"\nS3_PATH_STYLE true\n\
                 S3_ACCESS_KEY {{{{ tb_secret(\"DEVCLOUD_KEY\", \"devcloud\") }}}}\n\
                 S3_SECRET {{{{ tb_secret(\"DEVCLOUD_SECRET\", \"devcloud-secret\") }}}}\n",
                self.endpoint
            ),
        );
    }
}

impl Drop for CloudProcess {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one `run --once` took.
#[derive(Debug)]
struct Measured {
    stdout: String,
    peak_mib: u64,
    wall: Duration,
    core_seconds: f64,
}

/// `run --once` with this budget; panics if it fails or does not end. `megabytes`: of data, for the deadline.
fn measured_run(home: &Home, cloud: &CloudProcess, budget_mib: u64, megabytes: u64) -> Measured {
    let log = home.path("log");
    let mut command = home.command(&cloud.endpoint, &["run", "--once"]);
    command.env("S3_CONNECTOR_LIMITS_MEMORY", format!("{budget_mib}MiB"));
    command.stdout(File::create(home.path("out")).expect("file")).stderr(File::create(&log).expect("file"));
    let started = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let deadline = started + AT_LEAST.max(PER_MEGABYTE * u32::try_from(megabytes).expect("few"));
    let (mut peak_kib, mut core_seconds) = (0, 0.0);
    let status = loop {
        if let Some(status) = child.try_wait().expect("waits") {
            break status;
        }
        // Both only ever grow: what is missed between the last look and the end is what happened in that moment.
        peak_kib = peak_kib.max(high_water_kib(child.id()).unwrap_or(0));
        core_seconds = cpu_seconds(child.id()).unwrap_or(core_seconds);
        if Instant::now() > deadline {
            child.kill().expect("kills");
            child.wait().expect("ends");
            panic!("it did not end in time; log:\n{}", fs::read_to_string(&log).expect("log"));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let stdout = fs::read_to_string(home.path("out")).expect("output");
    assert!(status.success(), "{status}\n{stdout}\n{}", fs::read_to_string(&log).expect("log"));
    let found = Measured { stdout, peak_mib: peak_kib / 1024, wall: started.elapsed(), core_seconds };
    println!(
        "{megabytes} MB, budget {budget_mib} MiB: peak {} MiB, {:.1} s, {:.1} MB/s, {:.1} core-seconds",
        found.peak_mib,
        found.wall.as_secs_f64(),
        megabytes as f64 / found.wall.as_secs_f64(),
        found.core_seconds
    );
    assert!(
        found.peak_mib < budget_mib + OVERHEAD_MIB,
        "the program held {} MiB with a budget of {budget_mib} MiB",
        found.peak_mib
    );
    found
}

/// The most that the process has held at once.
pub fn high_water_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim_end().parse().ok()
}

/// User and system time of the process, in seconds; Linux counts them in hundredths.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, but is in parentheses.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

fn csv_megabytes() -> u64 {
    let set = std::env::var(CSV_MB).ok();
    set.map_or(DEFAULT_CSV_MB, |text| text.parse().unwrap_or_else(|_| panic!("{CSV_MB} is a number, not {text:?}")))
}

/// Writes an orders file of at least this many megabytes; returns its rows. Each has an id of its own.
fn write_orders(path: &Path, megabytes: u64) -> u64 {
    fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    let sample = Generator::new(7).orders_csv(1, 20_000, Timestamp::UNIX_EPOCH);
    let sample = String::from_utf8(sample).expect("UTF-8");
    let tails: Vec<&str> = sample.lines().skip(1).map(|line| line.split_once(',').expect("an id").1).collect();
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).expect("file"));
    let mut bytes = writeln!(file, "{}", ORDER_COLUMNS.join(",")).map(|()| 0).expect("writes");
    let mut rows = 0;
    while bytes < megabytes * 1_000_000 {
        let line = format!("{rows},{}\n", tails[rows as usize % tails.len()]);
        file.write_all(line.as_bytes()).expect("writes");
        bytes += line.len() as u64;
        rows += 1;
    }
    file.flush().expect("writes");
    rows
}

/// Row `name` of the summary: files and rows.
fn summary(stdout: &str, name: &str) -> (u64, u64) {
    let row = stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = row.into_iter().find(|row| row.first() == Some(&name)).unwrap_or_else(|| panic!("no {name}: {stdout}"));
    (row[1].parse().expect("files"), row[2].parse().expect("rows"))
}

#[test]
fn case_19_a_large_csv_file_stays_within_the_memory_budget() {
    let megabytes = csv_megabytes();
    let home = Home::new();
    let rows = write_orders(&home.path("s3/drop/orders/big.csv"), megabytes);
    let cloud = CloudProcess::start(&home);
    cloud.connect(&home);
    home.datasource("orders", "s3://drop/orders/*.csv", "@on-demand");
    for budget in [32, 64] {
        let found = measured_run(&home, &cloud, budget, megabytes);
        assert_eq!(summary(&found.stdout, "orders"), (1, rows), "{found:?}");
        fs::remove_dir_all(home.path("data")).expect("the next run starts anew");
    }
}

#[test]
fn case_19_eight_imports_at_once_get_to_the_end_with_the_smallest_budget() {
    let megabytes = csv_megabytes() / 10;
    let home = Home::new();
    let source = home.path("sample.csv");
    let rows = write_orders(&source, megabytes);
    for number in 0..8 {
        // More files than one: some wait for others of the same import.
        for name in ["a", "b"] {
            let folder = home.path(&format!("s3/drop/{number}"));
            fs::create_dir_all(&folder).expect("folder");
            fs::hard_link(&source, folder.join(format!("{name}.csv"))).expect("link");
        }
        home.datasource(&format!("orders{number}"), &format!("s3://drop/{number}/*.csv"), "@on-demand");
    }
    let cloud = CloudProcess::start(&home);
    cloud.connect(&home);
    let found = measured_run(&home, &cloud, 32, 16 * megabytes);
    for number in 0..8 {
        assert_eq!(summary(&found.stdout, &format!("orders{number}")), (2, 2 * rows), "{found:?}");
    }
}

/// Writes a file of page views in row groups of about 100 MB, decoded; returns its rows.
fn write_page_views(path: &Path, groups: usize) -> u64 {
    const SAMPLE_ROWS: u32 = 100_000;
    const SAMPLES_PER_GROUP: usize = 10;
    fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
    let sample = Generator::new(7).page_views_parquet(1, SAMPLE_ROWS, Timestamp::UNIX_EPOCH).expect("encodes");
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(sample)).expect("opens");
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().expect("opens").map(|batch| batch.expect("a batch")).collect();
    let sample = concat_batches(&schema, &batches).expect("one batch");
    let group_rows = SAMPLE_ROWS as usize * SAMPLES_PER_GROUP;
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let file = File::create(path).expect("file");
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).expect("opens");
    for _ in 0..groups * SAMPLES_PER_GROUP {
        writer.write(&sample).expect("writes");
    }
    writer.close().expect("closes");
    (group_rows * groups) as u64
}

#[test]
fn a_parquet_file_with_large_row_groups_stays_within_the_memory_budget() {
    let home = Home::new();
    let path = home.path("s3/drop/views/big.parquet");
    let rows = write_page_views(&path, 2);
    let cloud = CloudProcess::start(&home);
    cloud.connect(&home);
    home.datasource("views", "s3://drop/views/*.parquet", "@on-demand");
    let megabytes = fs::metadata(&path).expect("a file").len() / 1_000_000;
    let found = measured_run(&home, &cloud, 32, megabytes);
    assert_eq!(summary(&found.stdout, "views"), (1, rows), "{found:?}");
}

/// An open Parquet reader keeps a page of each column, which no credit covers: so only a few may be open at once.
#[test]
fn eight_large_parquet_files_at_once_stay_within_the_smallest_budget() {
    let home = Home::new();
    let source = home.path("sample.parquet");
    let rows = write_page_views(&source, 1);
    for number in 0..8 {
        let folder = home.path(&format!("s3/drop/{number}"));
        fs::create_dir_all(&folder).expect("folder");
        fs::hard_link(&source, folder.join("views.parquet")).expect("link");
        home.datasource(&format!("views{number}"), &format!("s3://drop/{number}/*.parquet"), "@on-demand");
    }
    let cloud = CloudProcess::start(&home);
    cloud.connect(&home);
    let megabytes = 8 * fs::metadata(&source).expect("a file").len() / 1_000_000;
    let found = measured_run(&home, &cloud, 32, megabytes);
    for number in 0..8 {
        assert_eq!(summary(&found.stdout, &format!("views{number}")), (1, rows), "{found:?}");
    }
}
