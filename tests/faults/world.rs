//! Programs with faults: one bucket that all read, and installations that are made, broken and mended.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::{Cloud, Home, python};
use crate::workload::{Judge, Sample, Verdict, datasource, put};

/// After this a program hangs.
const LONGEST_RUN: Duration = Duration::from_secs(90);
/// How often the program is started, without faults, until everything is done.
const RESTARTS: u32 = 10;

/// What all installations share.
pub struct World {
    _bucket: Home,
    cloud: Cloud,
    program: PathBuf,
    python: PathBuf,
    pub samples: Vec<Sample>,
}

impl World {
    /// A world with so many files in its bucket. `None` without Python.
    pub fn new(test: &str, files: u64) -> Option<Self> {
        let python = python(test)?;
        let bucket = Home::new();
        let cloud = Cloud::start(&bucket);
        let samples: Vec<Sample> = (0..files).map(|number| Sample::new(number, 20 + number % 7)).collect();
        put(&bucket, &samples);
        for sample in guarded() {
            bucket.put("guarded", &sample.key, sample.bytes());
        }
        bucket.put("broken", "no-parquet.parquet", "PAR1 and nothing else");
        bucket.put("broken", "breaks-off.csv.gz", breaks_off());
        let world = Self { _bucket: bucket, cloud, program: program(), python, samples };
        world.has_failpoints();
        Some(world)
    }

    /// Without the feature every fault would be survived.
    fn has_failpoints(&self) {
        let ended = self.install().run(&["run", "--once"], "nonsense=panic").expect("it ends");
        let known = ended.said.contains("there is no point 'nonsense'");
        assert!(
            known,
            "{} has no failpoints; run: cargo test --features failpoints --test faults",
            self.program.display()
        );
    }

    pub fn judge(&self) -> Judge {
        Judge::start(&self.python)
    }

    pub fn install(&self) -> Installation<'_> {
        let home = Home::new();
        home.role_connection(self.cloud.endpoint());
        home.datasource_text("orders", &datasource("@on-demand"));
        Installation { world: self, home }
    }
}

/// Files of which most rows are bad.
pub fn guarded() -> Vec<Sample> {
    (0..2).map(|number| Sample { bad: (2..20).collect(), ..Sample::new(number * 3, 20) }).collect()
}

/// A compressed file that is large enough for data files of its own and ends in the middle.
fn breaks_off() -> Vec<u8> {
    let sample = Sample::new(0, 400_000);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&sample.bytes()).expect("compresses");
    let mut bytes = encoder.finish().expect("compresses");
    bytes.truncate(bytes.len() * 3 / 4);
    bytes
}

/// The program with failpoints. A later build may put one without them in its place, so it is kept under another name.
fn program() -> PathBuf {
    static KEPT: OnceLock<PathBuf> = OnceLock::new();
    let keep = || {
        let built = Path::new(env!("CARGO_BIN_EXE_s3-connector"));
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("s3-connector-with-failpoints");
        let _ = fs::remove_file(&kept);
        fs::hard_link(built, &kept).or_else(|_| fs::copy(built, &kept).map(drop)).expect("the program");
        kept
    };
    KEPT.get_or_init(keep).clone()
}

/// A configuration and a data directory.
pub struct Installation<'a> {
    world: &'a World,
    pub home: Home,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ended {
    /// `None`: by a signal.
    pub code: Option<i32>,
    pub said: String,
    /// How often each point was passed.
    pub passed: HashMap<String, u64>,
}

impl Installation<'_> {
    /// The program, about to run, with faults.
    pub fn command(&self, arguments: &[&str], faults: &str) -> Command {
        let prepared = self.home.command(self.world.cloud.endpoint(), arguments);
        let mut command = Command::new(&self.world.program);
        command.args(prepared.get_args()).current_dir(self.home.path(""));
        for (name, value) in prepared.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if !faults.is_empty() {
            command.env("FAILPOINTS", faults);
        }
        command.env("FAILPOINT_LOG", self.home.path("passed")).env("RUST_BACKTRACE", "0");
        command
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// If it has no end.
    pub fn run(&self, arguments: &[&str], faults: &str) -> Result<Ended, String> {
        let (log, passed) = (self.home.path("log"), self.home.path("passed"));
        let _ = fs::remove_file(&passed);
        let file = fs::File::create(&log).expect("a log");
        let mut command = self.command(arguments, faults);
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a log")).stderr(file);
        let mut child = command.spawn().expect("the program starts");
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if started.elapsed() > LONGEST_RUN {
                child.kill().expect("kills");
                child.wait().expect("ends");
                return Err(format!("{arguments:?} hangs with '{faults}':\n{}", read(&log)));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut counts = HashMap::new();
        read(&passed).lines().for_each(|point| *counts.entry(point.to_owned()).or_insert(0) += 1);
        Ok(Ended { code: status.code(), said: read(&log), passed: counts })
    }

    /// Runs the program without faults until all files are ingested.
    ///
    /// # Errors
    /// If that never happens.
    pub fn complete(&self) -> Result<(), String> {
        self.complete_with("ingested", &[])
    }

    /// Runs the program without faults until all files are in this state; `first` is run before each try.
    ///
    /// # Errors
    /// If that never happens.
    pub fn complete_with(&self, end: &str, first: &[&str]) -> Result<(), String> {
        let mut said = String::new();
        for _ in 0..RESTARTS {
            if !first.is_empty() {
                said.push_str(&self.run(first, "")?.said);
            }
            let ended = self.run(&["run", "--once"], "")?;
            let counts = self.home.counts("orders");
            let other = counts.files.iter().filter(|(state, count)| *state != end && **count > 0);
            let other: Vec<&String> = other.map(|(state, _)| state).collect();
            if [Some(0), Some(3)].contains(&ended.code) && other.is_empty() && !counts.files.is_empty() {
                return Ok(());
            }
            said.push_str(&format!("exit code {:?}, files {:?}\n{}", ended.code, counts.files, ended.said));
            if other.iter().any(|state| ["deferred", "failed", "pending"].contains(&state.as_str())) {
                self.run(&["datasource", "retry", "orders"], "")?;
            }
        }
        Err(format!("it never comes to an end:\n{said}"))
    }

    pub fn compare(&self, judge: &mut Judge, samples: &[Sample]) -> Verdict {
        judge.compare(&self.home.table("orders"), &self.home.table("orders_quarantine"), samples)
    }

    /// The data directory, to be taken up again with [`Self::restore`].
    pub fn save(&self, into: &Path) {
        copy_folder(&self.home.path("data"), into);
    }

    pub fn restore(&self, from: &Path) {
        let data = self.home.path("data");
        let _ = fs::remove_dir_all(&data);
        copy_folder(from, &data);
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("an entry").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
