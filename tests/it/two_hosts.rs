//! Two hosts with one table: one of them stops, and no row is doubled.
//!
//! Each host is a process with a data directory of its own; they share the bucket and the folder of the tables.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Cloud, Daemon, Finished, Home, python, until};
use crate::workload::{Judge, Sample, Verdict, datasource, put};

const TICK: &str = "100ms";

/// A bucket and a folder for tables, which several hosts share.
struct Shared {
    home: Home,
    cloud: Cloud,
    judge: Judge,
    samples: Vec<Sample>,
}

impl Shared {
    fn new(test: &str) -> Option<Self> {
        let python = python(test)?;
        let home = Home::new();
        let cloud = Cloud::start(&home);
        fs::create_dir(home.path("tables")).expect("folder");
        Some(Self { home, cloud, judge: Judge::start(&python), samples: Vec::new() })
    }

    /// A host that reads the bucket and writes to `tables`, by whatever path.
    fn host(&self, schedule: &str) -> Home {
        let host = Home::new();
        host.role_connection(self.cloud.endpoint());
        host.datasource_text("orders", &datasource(schedule));
        host
    }

    fn tables(&self) -> PathBuf {
        self.home.path("tables")
    }

    fn command(&self, host: &Home, tables: &Path, arguments: &[&str]) -> Command {
        let mut command = host.command(self.cloud.endpoint(), arguments);
        command.env("S3_CONNECTOR_DESTINATION_URI", tables).env("S3_CONNECTOR_LIMITS_TICK", TICK);
        command
    }

    fn start(&self, host: &Home, tables: &Path) -> Daemon {
        Daemon::spawn(&mut self.command(host, tables, &["run"]))
    }

    fn run(&self, host: &Home, tables: &Path, arguments: &[&str]) -> Finished {
        Finished::of(self.command(host, tables, arguments).output().expect("the program starts"))
    }

    fn land(&mut self, count: u64) {
        let start = self.samples.len() as u64;
        let new: Vec<Sample> = (start..start + count).map(|number| Sample::new(number, 20 + number % 5)).collect();
        put(&self.home, &new);
        self.samples.extend(new);
    }

    fn compare(&mut self) -> Verdict {
        let (table, quarantine) = (self.tables().join("orders"), self.tables().join("orders_quarantine"));
        self.judge.compare(&table, &quarantine, &self.samples)
    }
}

fn is_failed(daemon: &Daemon) -> Option<Value> {
    let status = daemon.status("orders");
    (status["state"] == "Failed").then_some(status)
}

#[test]
fn case_11_a_second_host_with_a_ledger_of_its_own_is_fenced() {
    let test = "case_11_a_second_host_with_a_ledger_of_its_own_is_fenced";
    let Some(mut shared) = Shared::new(test) else { return };
    let (first, second) = (shared.host("@auto"), shared.host("@auto"));
    let tables = shared.tables();
    shared.land(3);
    let going = shared.start(&first, &tables);
    going.wait_for_files("orders", "ingested", 3);

    // By another path, and although there is something new.
    let other_path = second.path("elsewhere");
    symlink(&tables, &other_path).expect("a link");
    shared.land(3);
    let once = shared.run(&second, &other_path, &["run", "--once"]).expect_code(2);
    assert!(once.stderr.contains("nothing is imported again"), "{}", once.stderr);
    let fenced = shared.start(&second, &other_path);
    let status = until("the second host to be fenced", || is_failed(&fenced));
    assert_eq!(status["reason"]["code"], "ledger_lost", "{status}");
    assert_eq!(status["counts"]["rows"], 0, "{status}");

    shared.land(3);
    assert_eq!(going.wait_for_files("orders", "ingested", 9)["state"], "Running");
    assert!(is_failed(&fenced).is_some());
    assert_eq!(shared.compare().wrong(), None);
}

/// Lets files land until one of the hosts has stopped for good, then until the other has them all; tells why each has
/// stopped. Nothing is ever doubled.
fn race(shared: &mut Shared, hosts: &[Daemon; 2]) -> [Option<Value>; 2] {
    for _ in 0..200 {
        shared.land(1);
        std::thread::sleep(Duration::from_millis(40));
        if hosts.iter().any(|host| is_failed(host).is_some()) {
            break;
        }
    }
    until("one host to be fenced", || hosts.iter().find_map(is_failed));
    shared.land(5);
    let count = shared.samples.len() as u64;
    until("the other host to have everything, or to stop, too", || {
        let ended = |host: &Daemon| {
            is_failed(host).is_some() || host.status("orders")["counts"]["files"]["ingested"].as_u64() == Some(count)
        };
        hosts.iter().all(ended).then_some(())
    });
    [is_failed(&hosts[0]), is_failed(&hosts[1])]
}

#[test]
fn case_11_of_two_hosts_with_copies_of_one_ledger_one_is_fenced() {
    let test = "case_11_of_two_hosts_with_copies_of_one_ledger_one_is_fenced";
    for round in 0..4 {
        let Some(mut shared) = Shared::new(test) else { return };
        let (first, second) = (shared.host("@auto"), shared.host("@auto"));
        let tables = shared.tables();
        shared.land(3);
        shared.run(&first, &tables, &["run", "--once"]).expect_code(0);
        fs::create_dir_all(second.path("data")).expect("folder");
        for entry in fs::read_dir(first.path("data")).expect("folder").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                fs::copy(entry.path(), second.path("data").join(entry.file_name())).expect("a copy");
            }
        }
        let other_path = second.path("elsewhere");
        symlink(&tables, &other_path).expect("a link");
        let hosts = [shared.start(&first, &tables), shared.start(&second, &other_path)];
        let failed = race(&mut shared, &hosts);
        let verdict = shared.compare();
        let told: Vec<String> = hosts
            .iter()
            .map(|host| host.status("orders"))
            .map(|status| format!("{} in generation {}, {}", status["state"], status["generation"], status["reason"]))
            .collect();
        println!("round {round}, {} files: {told:#?}", shared.samples.len());
        assert_eq!(verdict.wrong_so_far(), None, "round {round}: {told:#?}");
        for status in failed.iter().flatten() {
            let code = status["reason"]["code"].as_str().unwrap_or_default();
            assert!(!code.is_empty() && status["reason"]["class"] != "bug", "round {round}: {status}");
        }
        if failed.iter().any(Option::is_none) {
            assert_eq!(verdict.wrong(), None, "round {round}: {failed:?}");
        }
    }
}

#[test]
fn case_11_of_two_first_starts_at_once_one_is_fenced() {
    let test = "case_11_of_two_first_starts_at_once_one_is_fenced";
    let mut winners = BTreeSet::new();
    for round in 0..4 {
        let Some(mut shared) = Shared::new(test) else { return };
        shared.land(4);
        let (first, second) = (shared.host("@auto"), shared.host("@auto"));
        let tables = shared.tables();
        let hosts = std::thread::scope(|scope| {
            let other = scope.spawn(|| shared.start(&second, &tables));
            [shared.start(&first, &tables), other.join().expect("it starts")]
        });
        let failed = race(&mut shared, &hosts);
        println!("round {round}: {failed:?}");
        let winner = failed.iter().position(Option::is_none);
        assert!(winner.is_some(), "round {round}: both have stopped: {failed:?}");
        winners.extend(winner);
        let loser = failed.iter().flatten().next().expect("one is fenced");
        assert_eq!(loser["counts"]["rows"], 0, "round {round}: {loser}");
        let verdict = shared.compare();
        assert_eq!(verdict.wrong(), None, "round {round}");
    }
    println!("won by {winners:?}");
}
