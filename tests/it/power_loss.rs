//! The power fails: what the ledger calls committed is in the table, and the next start completes the rest.
//!
//! The program runs under `tests/power_loss/shim.c`, which writes down every change of a file or a directory. From that
//! the disk is rebuilt as it may be if the power had failed at some moment (`tests/power_loss/image.rs`), the tables on
//! it are compared with what its ledger says, and the program is started on it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use connector_core::history::HistoryQuery;
use connector_core::ids::ImportName;
use connector_ledger::{LedgerReader, SqliteLedger};

use crate::harness::{Cloud, Home, python};
use crate::image::{Disk, Event, Survival, read_trace};
use crate::shim::{Fate, library, under};
use crate::workload::{Judge, Sample, datasource, put};

/// Rounds of [`random_power_cuts`]; the environment may say more.
const ROUNDS: u32 = 20;
/// After so many rounds it starts with an empty disk again, so that first starts are cut, too.
const ROUNDS_OF_A_LIFE: u32 = 5;

/// A machine whose power may fail.
struct Machine {
    home: Home,
    cloud: Cloud,
    judge: Judge,
    library: &'static Path,
    samples: Vec<Sample>,
}

impl Machine {
    fn new(test: &str) -> Option<Self> {
        let (library, python) = (library(test)?, python(test)?);
        let home = Home::new();
        let cloud = Cloud::start(&home);
        home.role_connection(cloud.endpoint());
        home.datasource_text("orders", &datasource("@on-demand"));
        Some(Self { home, cloud, judge: Judge::start(&python), library, samples: Vec::new() })
    }

    fn land(&mut self, files: u64) {
        let start = self.samples.len() as u64;
        let new: Vec<Sample> = (start..start + files).map(|number| Sample::new(number, 30 + number % 7)).collect();
        put(&self.home, &new);
        self.samples.extend(new);
    }

    fn root(&self) -> PathBuf {
        self.home.path("")
    }

    /// Runs the program once, whatever it says, and returns what it did to the disk; everything before is durable.
    fn run(&self, fate: &Fate) -> (Recording, i32, String) {
        let trace = self.home.path("trace");
        let _ = fs::remove_file(&trace);
        let before = Disk::of_folder(&self.root());
        let mut command = self.home.command(self.cloud.endpoint(), &["run", "--once"]);
        let fate = Fate { trace: Some(trace.clone()), ..fate.clone() };
        let output = under(&mut command, self.library, &self.root(), &fate).output().expect("the program starts");
        let recording = Recording { before, events: read_trace(&trace) };
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (recording, output.status.code().unwrap_or(-1), said)
    }

    /// Runs the program once to a good end, after which every row is where it belongs.
    fn run_well(&mut self, context: &str) -> Recording {
        let (recording, code, said) = self.run(&Fate::default());
        assert_eq!(code, 0, "{context}: {said}");
        let verdict = self.compare();
        assert_eq!(verdict.wrong(), None, "{context}: {said}");
        recording
    }

    fn compare(&mut self) -> crate::workload::Verdict {
        let (table, quarantine) = (self.home.table("orders"), self.home.table("orders_quarantine"));
        self.judge.compare(&table, &quarantine, &self.samples)
    }

    /// The disk becomes what a replay says; tells what the promise is broken by, if it is.
    fn boot(&mut self, disk: &Disk, survival: Survival) -> Result<Vec<String>, String> {
        let data = self.home.path("data");
        let _ = fs::remove_dir_all(&data);
        disk.write(survival, "data", &data);
        let committed = self.committed();
        let verdict = self.compare();
        if let Some(wrong) = verdict.wrong_so_far() {
            return Err(wrong);
        }
        let complete = verdict.complete();
        match committed.iter().find(|key| !complete.contains(key)) {
            Some(key) => Err(format!("{key} is committed by the ledger and not in the tables: {:?}", verdict.0)),
            None => Ok(committed),
        }
    }

    /// The files that the ledger calls committed, asked in a copy: looking changes it.
    fn committed(&self) -> Vec<String> {
        let (data, copy) = (self.home.path("data"), self.home.path("copy"));
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir(&copy).expect("folder");
        for name in ["ledger.sqlite3", "ledger.sqlite3-wal", "ledger.sqlite3-journal"] {
            if data.join(name).exists() {
                fs::copy(data.join(name), copy.join(name)).expect("a copy");
            }
        }
        if !copy.join("ledger.sqlite3").exists() {
            return Vec::new();
        }
        drop(SqliteLedger::open(&copy).expect("the ledger opens after a power cut"));
        let ledger = LedgerReader::open(&copy).expect("the ledger opens").expect("a ledger");
        let query = HistoryQuery { limit: 10_000, before: None, files: true, outcome: None };
        let page = ledger.history(&ImportName::new("orders"), &query).expect("history").unwrap_or_default();
        let committed = page.batches.into_iter().filter(|batch| batch.state == "committed");
        let files = committed.flat_map(|batch| batch.results);
        files.filter(|file| ["ingested", "quarantined"].contains(&file.outcome.as_str())).map(|file| file.key).collect()
    }
}

/// What the program did to the disk in one run.
struct Recording {
    before: Disk,
    events: Vec<Event>,
}

impl Recording {
    /// The disk after the first `count` events.
    fn after(mut self, count: usize) -> Disk {
        self.before.replay(&self.events[..count]);
        self.before
    }

    fn end(self) -> Disk {
        let count = self.events.len();
        self.after(count)
    }
}

#[test]
fn case_05_what_is_finalised_outlives_a_power_cut() {
    let Some(mut machine) = Machine::new("case_05_what_is_finalised_outlives_a_power_cut") else { return };
    for round in 0..3 {
        machine.land(3);
        let disk = machine.run_well(&format!("round {round}")).end();
        assert_eq!(disk.differences(&machine.root(), "data"), Vec::<PathBuf>::new(), "past the trace");
        let committed = machine.boot(&disk, Survival::Nothing).expect("the promise");
        assert_eq!(committed.len(), machine.samples.len(), "the ledger has forgotten what it had finalised");
    }
    // Nothing is read again.
    let before = machine.home.history("orders").len();
    machine.run_well("after the last power cut");
    assert_eq!(machine.home.history("orders").len(), before);
}

#[test]
fn case_06_power_loss_between_a_log_entry_and_its_directory() {
    let Some(mut machine) = Machine::new("case_06_power_loss_between_a_log_entry_and_its_directory") else { return };
    let mut cuts = 0;
    for round in 0.. {
        machine.land(3);
        let recording = machine.run_well(&format!("round {round}"));
        let is_entry = |event: &Event| {
            let (Event::Link { to, .. } | Event::Rename { to, .. }) = event else { return false };
            to.parent().is_some_and(|parent| parent.ends_with("_delta_log"))
                && to.extension().is_some_and(|end| end == "json")
        };
        let entries: Vec<usize> = (0..recording.events.len()).filter(|at| is_entry(&recording.events[*at])).collect();
        assert!(!entries.is_empty(), "no log entry was linked into its place");
        if round >= entries.len() {
            break;
        }
        // One of them in each round, in all ways: the run after the cut has to put it right.
        let disk = recording.after(entries[round] + 1);
        for survival in [Survival::Nothing, Survival::Names, Survival::Some(round as u64)] {
            machine.boot(&disk, survival).unwrap_or_else(|wrong| panic!("entry {round}, {survival:?}: {wrong}"));
            machine.run_well(&format!("after entry {round}, {survival:?}"));
            cuts += 1;
        }
    }
    assert!(cuts >= 6, "only {cuts} cuts");
}

#[test]
fn case_08_a_failed_fsync_is_never_taken_for_success() {
    let Some(mut machine) = Machine::new("case_08_a_failed_fsync_is_never_taken_for_success") else { return };
    machine.land(2);
    machine.run_well("first");
    let patterns = [
        "*/tables/orders/*.parquet",
        "*/tables/orders",
        "*/tables/orders/_delta_log/*",
        "*/tables/orders/_delta_log",
        "*/tables/orders_quarantine/*.parquet",
        "*/tables/orders_quarantine/_delta_log*",
        "*/ledger.sqlite3-wal",
    ];
    for pattern in patterns {
        // Of each three files one has bad rows.
        machine.land(3);
        let mark = machine.home.path("fsync-failed");
        let _ = fs::remove_file(&mark);
        let (recording, code, said) =
            machine.run(&Fate { fail_fsync: Some((pattern.to_owned(), mark.clone())), ..Fate::default() });
        assert!(mark.exists(), "{pattern}: nothing was synced");
        assert!([0, 2, 4, 6].contains(&code), "{pattern}: exit code {code}: {said}");
        let disk = recording.end();
        let mut differences = disk.differences(&machine.root(), "data");
        if code != 0 {
            // It ended with an error, so that its threads may have done a last thing and not told of it any more.
            differences.retain(|path| !path.to_string_lossy().contains("ledger.sqlite3"));
        }
        assert_eq!(differences, Vec::<PathBuf>::new(), "{pattern}: past the trace");
        machine.boot(&disk, Survival::Nothing).unwrap_or_else(|wrong| panic!("{pattern}: {wrong}\n{said}"));
        machine.run_well(pattern);
    }
}

#[test]
fn random_power_cuts() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("POWER_LOSS_SEED").unwrap_or(20_261_123);
    let rounds = number("POWER_LOSS_ROUNDS").map_or(ROUNDS, |rounds| rounds as u32);
    println!("seed {seed}, {rounds} rounds; set POWER_LOSS_SEED and POWER_LOSS_ROUNDS for others");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut life, mut forgotten) = (None, 0);
    for round in 0..rounds {
        if round % ROUNDS_OF_A_LIFE == 0 {
            life = Machine::new("random_power_cuts");
        }
        let Some(machine) = &mut life else { return };
        machine.land(random.u64(1..=4));
        let recording = machine.run_well(&format!("round {round}"));
        let total = recording.events.len();
        let cut = random.usize(0..=total);
        let survival = match random.u8(0..4) {
            0 => Survival::Nothing,
            1 => Survival::Names,
            _ => Survival::Some(random.u64(..)),
        };
        let context = format!("round {round}, cut after {cut} of {total} events, {survival:?}");
        let committed =
            machine.boot(&recording.after(cut), survival).unwrap_or_else(|wrong| panic!("{context}: {wrong}"));
        println!("{context}: {} of {} files committed", committed.len(), machine.samples.len());
        forgotten += u32::from(committed.len() < machine.samples.len());
    }
    if let Some(machine) = &mut life {
        machine.run_well("after the last cut");
    }
    assert!(forgotten > rounds / 4, "hardly any power cut was felt");
}

/// The judge of these tests objects: a program that left out a sync would be found out.
#[test]
fn a_program_that_syncs_less_breaks_the_promise() {
    let Some(mut machine) = Machine::new("a_program_that_syncs_less_breaks_the_promise") else { return };
    machine.land(3);
    machine.run_well("first");
    let data = machine.home.path("data");
    let is_left_out = |what: &str, path: &Path| match what {
        "data files" => path.extension().is_some_and(|end| end == "parquet"),
        "the table's directory" => path.ends_with("tables/orders"),
        "log entries" => path.parent().is_some_and(|parent| parent.ends_with("_delta_log")),
        _ => path.ends_with("_delta_log"),
    };
    for what in ["data files", "the table's directory", "log entries", "the log's directory"] {
        machine.land(3);
        let mut recording = machine.run_well(what);
        let before = recording.events.len();
        recording.events.retain(|event| !matches!(event, Event::Sync { path, .. } if is_left_out(what, path)));
        assert!(recording.events.len() < before, "{what} are never synced");
        let kept = machine.home.path("kept");
        let _ = fs::remove_dir_all(&kept);
        fs::rename(&data, &kept).expect("kept");
        let found = machine.boot(&recording.end(), Survival::Nothing);
        assert!(found.is_err(), "nobody noticed that {what} were not synced: {found:?}");
        let _ = fs::remove_dir_all(&data);
        fs::rename(&kept, &data).expect("put back");
    }
}

/// The shim sees what other programs do, too: what they do not sync is lost, what they sync is kept.
#[test]
fn the_shim_forgets_what_was_not_synced() {
    let Some(library) = library("the_shim_forgets_what_was_not_synced") else { return };
    let home = Home::new();
    let (root, trace) = (home.path("disk"), home.path("trace"));
    fs::create_dir_all(root.join("data")).expect("folder");
    let before = Disk::of_folder(&root);
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        let fate = Fate { trace: Some(trace.clone()), ..Fate::default() };
        let output = under(command.args(arguments).current_dir(root.join("data")), library, &root, &fate).output();
        assert!(output.expect("it starts").status.success(), "{program} {arguments:?}");
    };
    run("dd", &["if=/dev/zero", "of=unsynced", "bs=100", "count=3"]);
    run("dd", &["if=/dev/zero", "of=named", "bs=100", "count=3", "conv=fsync"]);
    run("sync", &["."]);
    run("dd", &["if=/dev/zero", "of=nameless", "bs=100", "count=3", "conv=fsync"]);
    run("dd", &["if=/dev/zero", "of=named", "bs=100", "count=5", "conv=notrunc"]);
    run("mv", &["unsynced", "moved"]);

    let mut disk = before;
    disk.replay(&read_trace(&trace));
    assert_eq!(disk.differences(&root, "data"), Vec::<PathBuf>::new());
    let sizes = |survival| {
        let image = home.path("image");
        let _ = fs::remove_dir_all(&image);
        disk.write(survival, "data", &image);
        let size = |name| fs::metadata(image.join(name)).ok().map(|found| found.len());
        ["unsynced", "moved", "named", "nameless"].map(size)
    };
    assert_eq!(sizes(Survival::Nothing), [Some(0), None, Some(300), None]);
    assert_eq!(sizes(Survival::Names), [None, Some(0), Some(300), Some(300)]);
    assert_eq!(sizes(Survival::Everything), [None, Some(300), Some(500), Some(300)]);
    for seed in 0..50 {
        let [unsynced, moved, named, _] = sizes(Survival::Some(seed));
        assert!(unsynced.is_some() != moved.is_some(), "a rename is atomic");
        assert!((Some(300)..=Some(500)).contains(&named), "{named:?}");
    }
}
