//! Every point, with every kind of fault: afterwards each row is once in table or quarantine.
//!
//! A scenario is run without faults first, which tells how often each point is passed. Then it is run once for each
//! point and kind, with the fault at one random passage, and again without faults until everything is done.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use connector_core::revision::BatchKind;
use s3_connector::faults::points;

use crate::harness::Home;
use crate::workload::{Judge, Sample, datasource, datasource_with};
use crate::world::{Ended, Installation, World, guarded};

/// At a point before a call `error` means that it was not carried out, at one after it that it was, and nobody knows.
const KINDS: [&str; 4] = ["return(error)", "return(abort)", "panic", "sleep(150)"];
/// Installations that are broken at the same time.
const WORKERS: usize = 4;
const FILES: u64 = 7;

/// Points that no scenario passes, each with the reason.
const NOT_PASSED: [(&str, &str); 11] = [
    ("ledger::retry", "one statement on behalf of a person, who sees the answer"),
    ("ledger::set_paused", "one statement on behalf of a person, who sees the answer"),
    ("ledger::history", "the actors do not look back"),
    ("ledger::schema_history", "the actors do not look back"),
    ("ledger::counts", "the actors do not count"),
    ("table::rows", "the actors read rows of the quarantine table only"),
    ("quarantine::row_ids", "rows move into the table, never out of it"),
    ("quarantine::expired", "nothing expires in quarantine"),
    ("table::writer::flush", "needs a budget that is used up, which tests/it/memory.rs has"),
    ("quarantine::writer::flush", "needs a budget that is used up, which tests/it/memory.rs has"),
    ("quarantine::writer::discard", "needs a large file of bad rows that breaks off"),
];

/// What is done with faults, and then once more without.
struct Scenario {
    name: &'static str,
    /// Brings an installation to where the faults begin; saved once, and restored for each case.
    prepare: fn(&Installation<'_>) -> Result<(), String>,
    /// The verb that meets the faults.
    verb: fn(&Installation<'_>) -> Vec<String>,
    /// Everything after the faults, until the state that is expected.
    finish: fn(&Installation<'_>, &[String]) -> Result<(), String>,
    /// The rows as they have to be in the end.
    expected: fn(&[Sample]) -> Vec<Sample>,
}

const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "ingest",
        prepare: |_| Ok(()),
        verb: |_| words("run --once"),
        finish: |at, _| at.complete(),
        expected: <[Sample]>::to_vec,
    },
    Scenario {
        name: "replay",
        prepare: |at| at.complete(),
        verb: |_| words("quarantine replay orders --yes"),
        finish: |at, verb| {
            again(at, verb)?;
            at.complete()
        },
        expected: |samples| samples.iter().map(|one| Sample { bad: Vec::new(), ..one.clone() }).collect(),
    },
    Scenario {
        name: "rollback",
        prepare: |at| at.complete(),
        verb: |at| words(&format!("rollback {} --yes", ingest_batch(&at.home))),
        finish: |at, verb| {
            again(at, verb)?;
            at.run(&["datasource", "retry", "orders", "--batch", &verb[1]], "")?;
            at.complete()
        },
        expected: <[Sample]>::to_vec,
    },
    Scenario {
        name: "maintain",
        prepare: |at| at.complete(),
        verb: |_| words("maintain orders"),
        finish: |at, verb| {
            again(at, verb)?;
            at.complete()
        },
        expected: <[Sample]>::to_vec,
    },
    Scenario {
        name: "recovery of a staged batch",
        prepare: |at| crashed(at, "ledger::stage::after"),
        verb: |_| words("run --once"),
        finish: |at, _| at.complete(),
        expected: <[Sample]>::to_vec,
    },
    Scenario {
        name: "recovery of a claimed batch",
        prepare: |at| crashed(at, "table::writer::finish::after"),
        verb: |_| words("run --once"),
        finish: |at, _| at.complete(),
        expected: <[Sample]>::to_vec,
    },
    Scenario {
        name: "expiry",
        prepare: |at| at.complete(),
        verb: |_| words("maintain orders"),
        finish: |at, verb| again(at, verb),
        expected: |samples| samples.iter().map(|one| Sample { expired: true, ..one.clone() }).collect(),
    },
    Scenario {
        name: "broken files",
        prepare: |_| Ok(()),
        verb: |_| words("run --once"),
        finish: |at, _| at.complete_with("failed", &[]),
        expected: |_| Vec::new(),
    },
    Scenario {
        name: "guard",
        prepare: |_| Ok(()),
        verb: |_| words("run --once"),
        finish: |at, _| at.complete_with("ingested", &["datasource", "scheduling", "resume", "orders"]),
        expected: |_| guarded(),
    },
];

/// The text of the data source while a scenario's verb runs, and afterwards.
fn datasource_of(scenario: &str) -> String {
    match scenario {
        "replay" => datasource_with("Nullable(Int64)", "@on-demand"),
        "expiry" => format!("{}ENGINE \"MergeTree\"\nENGINE_TTL \"day + INTERVAL 30 DAY\"\n", datasource("@on-demand")),
        "broken files" => datasource("@on-demand").replace("s3://drop", "s3://broken"),
        "guard" => datasource("@on-demand").replace("s3://drop", "s3://guarded"),
        _ => datasource("@on-demand"),
    }
}

/// Leaves what a crash at a point leaves.
fn crashed(at: &Installation<'_>, point: &str) -> Result<(), String> {
    let ended = at.run(&["run", "--once"], &format!("{point}=1*return(abort)"))?;
    if ended.code.is_none() { Ok(()) } else { Err(format!("no crash at {point}: {ended:?}")) }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// The verb once more, without faults.
fn again(at: &Installation<'_>, verb: &[String]) -> Result<(), String> {
    let ended = at.run(&strs(verb), "")?;
    if ended.code == Some(0) { Ok(()) } else { Err(format!("{verb:?} without faults: {ended:?}")) }
}

fn ingest_batch(home: &Home) -> String {
    let history = home.history("orders");
    let batch = history.iter().find(|batch| batch.kind == BatchKind::Ingest && batch.state == "committed");
    batch.expect("a batch").id.clone()
}

/// A scenario that was prepared, and how often its verb passes each point.
struct Prepared<'a> {
    scenario: &'a Scenario,
    saved: PathBuf,
    _folder: tempfile::TempDir,
    /// The exit code of its verb.
    code: i32,
    passed: BTreeMap<String, u64>,
}

impl<'a> Prepared<'a> {
    fn new(world: &World, scenario: &'a Scenario) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let saved = folder.path().join("data");
        let at = world.install();
        (scenario.prepare)(&at).unwrap_or_else(|why| panic!("{}: {why}", scenario.name));
        if at.home.path("data").exists() {
            at.save(&saved);
        }
        let at = install(world, scenario, &saved);
        let verb = (scenario.verb)(&at);
        let ended = at.run(&strs(&verb), "").expect("it ends");
        let code = if ["broken files", "guard"].contains(&scenario.name) { 3 } else { 0 };
        assert_eq!(ended.code, Some(code), "{}: {}", scenario.name, ended.said);
        println!("{}: {} points", scenario.name, ended.passed.len());
        (scenario.finish)(&at, &verb).unwrap_or_else(|why| panic!("{}: {why}", scenario.name));
        let verdict = at.compare(&mut world.judge(), &(scenario.expected)(&world.samples));
        assert_eq!(verdict.wrong(), None, "{} without faults", scenario.name);
        Self { scenario, saved, _folder: folder, code, passed: ended.passed.into_iter().collect() }
    }

    fn ends_with(&self, code: Option<i32>) -> bool {
        code == Some(self.code)
    }
}

/// An installation at the point where a scenario's verb comes.
fn install<'w>(world: &'w World, scenario: &Scenario, saved: &Path) -> Installation<'w> {
    let at = world.install();
    if saved.exists() {
        at.restore(saved);
    }
    at.home.datasource_text("orders", &datasource_of(scenario.name));
    if scenario.name == "guard" {
        at.home.config("s3-connector.toml", "[limits]\nguard_rows = 3\n");
    }
    at
}

/// One fault.
#[derive(Clone, Debug)]
struct Case {
    scenario: usize,
    point: String,
    kind: &'static str,
    /// At which passage of the point, from 1.
    hit: u64,
}

impl Case {
    fn faults(&self) -> String {
        let skip = if self.hit > 1 { format!("{}*off->", self.hit - 1) } else { String::new() };
        format!("{}={skip}1*{}", self.point, self.kind)
    }

    /// Tells how often each point was passed in the run with the fault.
    fn run(&self, world: &World, prepared: &Prepared<'_>, judge: &mut Judge) -> Result<HashMap<String, u64>, String> {
        let at = install(world, prepared.scenario, &prepared.saved);
        let verb = (prepared.scenario.verb)(&at);
        let ended = at.run(&strs(&verb), &self.faults())?;
        let told = |what: &str, why: &str, ended: &Ended| {
            format!("{what}: {why}\nthe run with the fault ended with {:?} and said:\n{}", ended.code, ended.said)
        };
        if self.kind == "sleep(150)" && !prepared.ends_with(ended.code) {
            return Err(told("a delay is no fault", "", &ended));
        }
        (prepared.scenario.finish)(&at, &verb).map_err(|why| told("afterwards", &why, &ended))?;
        match at.compare(judge, &(prepared.scenario.expected)(&world.samples)).wrong() {
            Some(wrong) => Err(told("in the end", &wrong, &ended)),
            None => Ok(ended.passed),
        }
    }
}

#[test]
fn case_01_every_fault_at_every_point() {
    let Some(world) = World::new("case_01_every_fault_at_every_point", FILES) else { return };
    let seed = std::env::var("FAULTS_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_123);
    println!("seed {seed}; set FAULTS_SEED to try another one");
    let mut random = fastrand::Rng::with_seed(seed);
    let prepared: Vec<Prepared<'_>> = SCENARIOS.iter().map(|scenario| Prepared::new(&world, scenario)).collect();

    let mut cases = cases_of(&prepared, &mut random, std::env::var_os("FAULTS_ALL").is_some());
    random.shuffle(&mut cases);
    let total = cases.len();
    let (cases, results) = (Mutex::new(cases), Mutex::new(Results::default()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut judge = world.judge();
                loop {
                    let Some(case) = cases.lock().expect("not poisoned").pop() else { break };
                    let result = case.run(&world, &prepared[case.scenario], &mut judge);
                    let mut results = results.lock().expect("not poisoned");
                    match result {
                        Ok(passed) => {
                            results.met += usize::from(passed.get(&case.point).is_some_and(|count| *count >= case.hit));
                            results.passed.extend(passed.into_keys());
                        }
                        Err(why) => {
                            results.wrong.push(format!("{}, {}: {why}", SCENARIOS[case.scenario].name, case.faults()))
                        }
                    }
                }
            });
        }
    });
    let Results { met, mut passed, wrong } = results.into_inner().expect("not poisoned");
    println!("{total} faults, {met} met");
    assert!(wrong.is_empty(), "{} of {total} faults:\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(met * 10 > total * 9, "only {met} of {total} faults were met");
    passed.extend(prepared.into_iter().flat_map(|prepared| prepared.passed.into_keys()));
    every_point_is_passed(&passed);
}

#[derive(Default)]
struct Results {
    /// Faults that were met.
    met: usize,
    passed: BTreeSet<String>,
    wrong: Vec<String>,
}

/// Each point with each kind of fault, in one of the scenarios that pass it; those that decide what becomes of a batch in
/// all of them. `all`: everything everywhere.
fn cases_of(prepared: &[Prepared<'_>], random: &mut fastrand::Rng, all: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut by_point: BTreeMap<&String, Vec<(usize, u64)>> = BTreeMap::new();
    for (scenario, prepared) in prepared.iter().enumerate() {
        for (point, passed) in &prepared.passed {
            by_point.entry(point).or_default().push((scenario, *passed));
        }
    }
    for (point, scenarios) in by_point {
        let decides = ["::stage::", "::commit::", "::finalise::", "::claim"].iter().any(|part| point.contains(part));
        for kind in KINDS {
            let everywhere = all || decides && ["return(error)", "return(abort)"].contains(&kind);
            let one = random.usize(..scenarios.len());
            for (index, (scenario, passed)) in scenarios.iter().enumerate() {
                if everywhere || index == one {
                    let hit = random.u64(1..=*passed);
                    cases.push(Case { scenario: *scenario, point: point.clone(), kind, hit });
                }
            }
        }
    }
    cases
}

/// A call that no scenario makes is not tested: it has to be named, with the reason.
fn every_point_is_passed(passed: &BTreeSet<String>) {
    let excused = |point: &str| NOT_PASSED.iter().any(|(prefix, _)| point.starts_with(prefix));
    let missing: Vec<String> =
        points().into_iter().filter(|point| !passed.contains(point) && !excused(point)).collect();
    assert!(missing.is_empty(), "no scenario passes {missing:#?}");
    for (prefix, _) in NOT_PASSED {
        assert!(!passed.iter().any(|point| point.starts_with(prefix)), "{prefix} is passed: it needs no excuse");
    }
}

/// Each method of the ports has its points: whoever adds one has to add them.
#[test]
fn every_method_of_the_ports_has_points() {
    let core = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crates/core/src/ports");
    let without: BTreeSet<&str> = ["location", "buffered_bytes"].into();
    let ports = [
        ("source.rs", "ObjectSource", vec!["source"]),
        ("ledger.rs", "Ledger", vec!["ledger"]),
        ("destination.rs", "Destination", vec!["table", "quarantine"]),
        ("destination.rs", "DataFileWriter", vec!["table::writer", "quarantine::writer"]),
    ];
    let known: BTreeSet<String> = points().into_iter().collect();
    let mut named = BTreeSet::new();
    for (file, port, prefixes) in ports {
        let text = fs::read_to_string(core.join(file)).expect("the port");
        let start = text.find(&format!("pub trait {port}")).expect("the port");
        let body = &text[start..start + text[start..].find("\n}").expect("its end")];
        let methods: Vec<&str> = body.split("fn ").skip(1).filter_map(|rest| rest.split('(').next()).collect();
        assert!(!methods.is_empty(), "{port}");
        for method in methods.into_iter().filter(|method| !without.contains(method)) {
            for prefix in &prefixes {
                for side in ["before", "after"] {
                    let point = format!("{prefix}::{method}::{side}");
                    assert!(known.contains(&point), "src/faults/point.rs lacks {point}");
                    named.insert(point);
                }
            }
        }
    }
    assert_eq!(named, known, "points of methods that are no more");
}
