//! The house stays as it was drawn: who may depend on whom, and what every source file keeps to.
//!
//! The tables below are the picture. A change that needs another edge changes the picture first, on purpose.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const ROOT: &str = "s3-connector";
const MAX_LINES: usize = 600;

/// Crates of ours, and the crates of ours that each may depend on. The root package may depend on all of them.
const INSIDE: &[(&str, &[&str])] = &[
    ("connector-core", &[]),
    ("connector-decode", &["connector-core"]),
    ("connector-actors", &["connector-core", "connector-decode"]),
    ("connector-datafile", &["connector-core"]),
    ("connector-delta", &["connector-core"]),
    ("connector-devcloud", &["connector-core"]),
    ("connector-ledger", &["connector-core"]),
    ("connector-s3", &["connector-core"]),
];

/// What tests may use beyond that: the actors' tests run against the real ledger.
const INSIDE_FOR_TESTS: &[(&str, &[&str])] = &[("connector-actors", &["connector-ledger"])];

/// Crates of others that belong to certain rooms. A trailing `*` stands for any ending.
const OUTSIDE: &[Reserved] = &[
    Reserved { name: "actix*", rooms: &["connector-actors", ROOT], rooms_for_tests: &[] },
    Reserved { name: "aws-*", rooms: &["connector-s3"], rooms_for_tests: &["connector-devcloud"] },
    Reserved { name: "crossbeam-channel", rooms: &["connector-decode"], rooms_for_tests: &[] },
    // The root package writes CSV and Parquet for the demo; it reads neither.
    Reserved { name: "csv", rooms: &["connector-decode", ROOT], rooms_for_tests: &[] },
    Reserved { name: "parquet", rooms: &["connector-decode", "connector-delta", ROOT], rooms_for_tests: &[] },
    Reserved { name: "delta_kernel*", rooms: &["connector-delta"], rooms_for_tests: &[] },
    Reserved { name: "metrics", rooms: &["connector-core", ROOT], rooms_for_tests: &[] },
    Reserved { name: "metrics-exporter-prometheus", rooms: &[ROOT], rooms_for_tests: &[] },
    Reserved { name: "rusqlite", rooms: &["connector-ledger"], rooms_for_tests: &[] },
];

/// `core` does no I/O, so it has nothing to wait for either.
const NEVER_IN_CORE: &[&str] = &["actix*", "aws-*", "rusqlite", "delta_kernel*", "object_store", "s3s", "tokio*"];

struct Reserved {
    name: &'static str,
    rooms: &'static [&'static str],
    /// Further rooms that may use it in tests.
    rooms_for_tests: &'static [&'static str],
}

#[derive(Clone)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
    /// Source files of its library and its programs.
    entrances: Vec<PathBuf>,
}

#[derive(Clone)]
struct Dependency {
    name: String,
    for_tests: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The packages of the workspace, as cargo sees them.
fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    list(&metadata["packages"]).iter().map(package).collect()
}

fn package(value: &Value) -> Package {
    let dependency = |value: &Value| Dependency { name: text(&value["name"]), for_tests: value["kind"] == "dev" };
    let is_entrance = |target: &&Value| {
        let kinds = list(&target["kind"]);
        kinds.iter().any(|kind| kind == "lib" || kind == "bin")
    };
    Package {
        name: text(&value["name"]),
        dependencies: list(&value["dependencies"]).iter().map(dependency).collect(),
        entrances: list(&value["targets"]).iter().filter(is_entrance).map(|t| text(&t["src_path"]).into()).collect(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn is_named(name: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start))
}

fn allowed(table: &[(&str, &'static [&'static str])], package: &str) -> &'static [&'static str] {
    table.iter().find(|(name, _)| *name == package).map_or(&[], |(_, allowed)| allowed)
}

/// Why one dependency of one package is not in the picture.
fn objection(package: &str, dependency: &Dependency) -> Option<&'static str> {
    let Dependency { name, for_tests } = dependency;
    let is_ours = name == ROOT || name.starts_with("connector-");
    if is_ours {
        let fits = name != ROOT && package == ROOT
            || allowed(INSIDE, package).contains(&name.as_str())
            || *for_tests && allowed(INSIDE_FOR_TESTS, package).contains(&name.as_str());
        return (!fits)
            .then_some("dependencies point one way: root -> actors -> decode -> core, root -> adapters -> core");
    }
    if package == "connector-core" && !for_tests && NEVER_IN_CORE.iter().any(|pattern| is_named(name, pattern)) {
        return Some("core does no I/O");
    }
    let reserved = OUTSIDE.iter().find(|reserved| is_named(name, reserved.name))?;
    let fits = reserved.rooms.contains(&package) || *for_tests && reserved.rooms_for_tests.contains(&package);
    (!fits).then_some("this crate belongs to another room (see OUTSIDE)")
}

/// Everything in which the packages differ from the picture.
fn objections(packages: &[Package]) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages {
        if package.name != ROOT && !INSIDE.iter().any(|(name, _)| *name == package.name) {
            found.push(format!("{} is not in the picture (see INSIDE)", package.name));
        }
        for dependency in &package.dependencies {
            if let Some(why) = objection(&package.name, dependency) {
                let kind = if dependency.for_tests { "dev-dependency" } else { "dependency" };
                found.push(format!("{} has the {kind} {}: {why}", package.name, dependency.name));
            }
        }
    }
    let used = |name: &str| packages.iter().any(|p| p.dependencies.iter().any(|d| d.name == name && !d.for_tests));
    let unused = INSIDE.iter().filter(|(name, _)| !used(name));
    found.extend(unused.map(|(name, _)| format!("nothing depends on {name}: an empty room")));
    found
}

/// All Rust files of the repository, and what is in them.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_foreign = name.starts_with('.') || folder == root() && name == "target";
            if path.is_dir() && !is_foreign {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).expect("a readable source file");
                found.push((path, source));
            }
        }
    }
    found
}

/// What is wrong with one source file.
fn faults(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.lines().count();
    if lines > MAX_LINES {
        found.push(format!("{lines} lines: split it, {MAX_LINES} is the most"));
    }
    // Put together here, so that this file may pass its own test.
    for unfinished in ["todo", "unimplemented"].map(|name| format!("{name}!")) {
        let line = source.lines().position(|line| line.contains(&unfinished));
        found.extend(line.map(|line| format!("line {}: {unfinished} is no code", line + 1)));
    }
    found
}

/// Whether a source file begins by saying what it is for.
fn has_module_doc(source: &str) -> bool {
    source.lines().next().and_then(|line| line.strip_prefix("//! ")).is_some_and(|doc| !doc.trim().is_empty())
}

#[test]
fn dependencies_are_as_in_the_picture() {
    let packages = packages();
    assert_eq!(packages.len(), INSIDE.len() + 1, "{:?}", packages.iter().map(|p| &p.name).collect::<Vec<_>>());
    assert_eq!(objections(&packages), Vec::<String>::new());
}

#[test]
fn every_crate_says_what_it_is_for() {
    for package in packages() {
        let has_library = package.entrances.iter().any(|path| path.ends_with("src/lib.rs"));
        assert!(has_library || package.name == ROOT, "{} has no src/lib.rs", package.name);
        for path in package.entrances {
            let source = std::fs::read_to_string(&path).expect("a readable source file");
            assert!(has_module_doc(&source), "{} does not begin with a module doc (//!)", path.display());
        }
    }
}

#[test]
fn source_files_are_short_and_finished() {
    let sources = sources();
    assert!(sources.iter().any(|(path, _)| path.ends_with("tests/it/house.rs")), "this file was not looked at");
    let faults: Vec<String> = sources
        .iter()
        .flat_map(|(path, source)| faults(source).into_iter().map(move |fault| format!("{}: {fault}", path.display())))
        .collect();
    assert_eq!(faults, Vec::<String>::new());
}

/// The tests above would pass for ever if the rules could not say no.
mod the_rules_themselves {
    use super::*;

    fn with(package: &str, dependency: &str, for_tests: bool) -> Option<&'static str> {
        objection(package, &Dependency { name: dependency.to_owned(), for_tests })
    }

    #[test]
    fn refuse_an_edge_that_is_not_in_the_picture() {
        for (package, dependency) in [
            ("connector-core", "connector-decode"),
            ("connector-core", "tokio"),
            ("connector-core", "aws-smithy-types"),
            ("connector-decode", "connector-actors"),
            ("connector-actors", "connector-ledger"),
            ("connector-actors", "connector-s3"),
            ("connector-delta", "connector-ledger"),
            ("connector-s3", "s3-connector"),
            ("s3-connector", "aws-sdk-s3"),
            ("connector-ledger", "metrics"),
            ("connector-actors", "parquet"),
            ("connector-delta", "crossbeam-channel"),
            ("connector-decode", "actix-rt"),
            ("connector-actors", "metrics-exporter-prometheus"),
            ("connector-clickhouse", "connector-core"),
        ] {
            assert!(with(package, dependency, false).is_some(), "{package} -> {dependency}");
        }
    }

    #[test]
    fn let_tests_use_what_they_need_and_nothing_else() {
        assert!(with("connector-actors", "connector-ledger", true).is_none());
        assert!(with("connector-devcloud", "aws-sdk-s3", true).is_none());
        assert!(with("connector-devcloud", "aws-sdk-s3", false).is_some());
        assert!(with("connector-actors", "connector-s3", true).is_some());
    }

    #[test]
    fn notice_rooms_that_are_missing_from_the_picture_or_empty() {
        let mut packages = packages();
        let stranger = Package { name: "connector-attic".into(), dependencies: vec![], entrances: vec![] };
        packages.push(stranger);
        packages.retain(|package| package.name != ROOT);
        let found = objections(&packages).join("\n");
        assert!(found.contains("connector-attic is not in the picture"), "{found}");
        assert!(found.contains("nothing depends on connector-s3"), "{found}");
    }

    #[test]
    fn see_long_and_unfinished_files() {
        assert!(faults(&"\n".repeat(MAX_LINES)).is_empty());
        assert_eq!(faults(&"\n".repeat(MAX_LINES + 1)).len(), 1);
        for name in ["todo", "unimplemented"] {
            assert_eq!(faults(&format!("fn f() {{\n    {name}!()\n}}")), [format!("line 2: {name}! is no code")]);
        }
        assert!(has_module_doc("//! Says it.\n") && !has_module_doc("fn main() {}") && !has_module_doc("//! \n"));
    }
}
