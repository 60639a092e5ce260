//! The hostile cases 1 to 59, held against the sources: the table in `docs/reliability.md` has a line for each of them,
//! what it names as a test is one, and no test of a case is left out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The cases that the page has to have.
const CASES: std::ops::RangeInclusive<u32> = 1..=59;
/// Where tests are, from the root.
const FOLDERS: [&str; 4] = ["src", "actors", "crates", "tests"];
const HEADING: &str = "## The cases";

/// A test: the path of its file from the root, and its name.
type Test = (String, String);

/// One line of the table.
#[derive(Debug, Default)]
struct Line {
    what: String,
    tests: Vec<Test>,
    /// What the last cell says beside its tests.
    said: String,
}

/// The lines by number, and what is wrong with the table itself.
fn table(page: &str) -> (BTreeMap<u32, Line>, Vec<String>) {
    let (mut lines, mut wrong) = (BTreeMap::new(), Vec::new());
    let Some((_, section)) = page.split_once(&format!("\n{HEADING}\n")) else {
        return (lines, vec![format!("there is no section '{HEADING}'")]);
    };
    let section = section.split("\n## ").next().unwrap_or_default();
    for row in section.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let Some(number) = cells[0].parse::<u32>().ok() else { continue };
        let [_, what, last] = cells[..] else {
            wrong.push(format!("case {number}: {} cells instead of three", cells.len()));
            continue;
        };
        let mut line = Line { what: what.to_owned(), ..Line::default() };
        for (index, part) in last.split('`').enumerate() {
            match part.split_once("::") {
                Some((file, name)) if index % 2 == 1 => line.tests.push((file.to_owned(), name.to_owned())),
                None if index % 2 == 1 => wrong.push(format!("case {number}: `{part}` is no file::test")),
                _ => line.said += part,
            }
        }
        if lines.insert(number, line).is_some() {
            wrong.push(format!("case {number}: two lines"));
        }
    }
    (lines, wrong)
}

/// The numbers in a name such as `case_21_22_words`.
fn numbers(name: &str) -> Vec<u32> {
    let words = name.strip_prefix("case_").unwrap_or_default().split('_');
    words.map_while(|word| word.parse().ok().filter(|_| word.len() == 2)).collect()
}

/// Names of functions that have an attribute of a test, and those of a `proptest!`, which has it, too.
fn tests_of(source: &str) -> Vec<String> {
    let (mut names, mut marked) = (Vec::new(), false);
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            marked |= line.starts_with("#[test]") || line.contains("::test]") || line.contains("::test(");
            continue;
        }
        let declared = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let (true, Some(rest)) = (marked, declared) {
            names.extend(rest.split('(').next().map(str::to_owned));
        }
        marked &= line.is_empty() || line.starts_with("//");
    }
    names
}

/// All tests of the workspace.
fn all_tests() -> BTreeSet<Test> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open: Vec<_> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    let mut all = BTreeSet::new();
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path()) {
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() && !hidden {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let file = path.strip_prefix(root).expect("below the root").display().to_string();
                let names = tests_of(&fs::read_to_string(&path).expect("readable"));
                all.extend(names.into_iter().map(|name| (file.clone(), name)));
            }
        }
    }
    all
}

/// Everything that is wrong with a page, given the tests that there are.
fn check(page: &str, tests: &BTreeSet<Test>) -> Vec<String> {
    let (lines, mut wrong) = table(page);
    for case in CASES {
        match lines.get(&case) {
            None => wrong.push(format!("case {case}: no line")),
            Some(line) if line.what.is_empty() => wrong.push(format!("case {case}: it does not say what it is")),
            Some(line) if line.tests.is_empty() && !line.said.starts_with("none: ") => {
                wrong.push(format!("case {case}: neither a test nor `none: ` and the reason"));
            }
            Some(_) => {}
        }
    }
    wrong
        .extend(lines.keys().filter(|case| !CASES.contains(*case)).map(|case| format!("case {case}: not one of them")));
    let mut named = BTreeSet::new();
    for (case, line) in &lines {
        for test in &line.tests {
            let (file, name) = test;
            if !tests.contains(test) {
                wrong.push(format!("case {case}: there is no test {name} in {file}"));
            }
            let of = numbers(name);
            if !of.is_empty() && !of.contains(case) {
                wrong.push(format!("case {case}: {name} is of another case"));
            }
            if !named.insert((*case, test)) {
                wrong.push(format!("case {case}: {name} twice"));
            }
        }
    }
    for test in tests {
        for case in numbers(&test.1).into_iter().filter(|case| CASES.contains(case)) {
            if !named.contains(&(case, test)) {
                wrong.push(format!("case {case}: {} of {} is left out", test.1, test.0));
            }
        }
    }
    wrong
}

#[test]
fn every_case_has_its_line_and_every_line_its_tests() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md")).expect("the page");
    let tests = all_tests();
    assert!(tests.len() > 1_000, "only {} tests are found", tests.len());
    let wrong = check(&page, &tests);
    assert!(wrong.is_empty(), "docs/reliability.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_table_that_is_wrong_is_noticed() {
    let test = |name: &str| ("tests/it/a.rs".to_owned(), name.to_owned());
    let tests = BTreeSet::from([test("case_01_killed"), test("case_01_02_both"), test("slow"), test("case_60_later")]);
    let page = |one: &str, two: &str, more: &str| {
        let rest: String = (3..=59).map(|case| format!("| {case} | something | none: not there yet |\n")).collect();
        format!(
            "# Page\n\n{HEADING}\n\n| case | what | tests |\n|---|---|---|\n{one}\n{two}\n{rest}{more}\n## Next\n| 1 | x | y |\n"
        )
    };
    let one = "| 1 | killed | `tests/it/a.rs::case_01_killed`, `tests/it/a.rs::case_01_02_both` |";
    let two = "| 2 | both | `tests/it/a.rs::case_01_02_both`, `tests/it/a.rs::slow` |";
    assert_eq!(check(&page(one, two, ""), &tests), [""; 0]);
    let spoiled = [
        (page("", two, ""), "case 1: no line"),
        (page(one, "| 2 | both | later |", ""), "case 2: neither a test"),
        (page(one, "| 2 | | `tests/it/a.rs::case_01_02_both` |", ""), "case 2: 2 cells"),
        (page(one, &two.replace("slow", "gone"), ""), "case 2: there is no test gone"),
        (page(one, &two.replace("slow", "case_01_killed"), ""), "is of another case"),
        (page(one, &two.replace("`tests/it/a.rs::slow`", "`slow`"), ""), "`slow` is no file::test"),
        (page(&one.replace("case_01_killed", "slow"), two, ""), "case 1: case_01_killed of tests/it/a.rs is left out"),
        (page(one, two, "| 2 | again | none: really |\n"), "case 2: two lines"),
        (page(one, two, "| 60 | later | none: really |\n"), "case 60: not one of them"),
        ("# Page\n".to_owned(), "there is no section"),
    ];
    for (page, expected) in spoiled {
        let wrong = check(&page, &tests);
        assert!(wrong.iter().any(|one| one.contains(expected)), "{expected} is not noticed: {wrong:?}");
    }
    let source = "#[test]\n#[cfg(unix)]\nfn a() {}\nfn helper() {}\n#[tokio::test]\nasync fn b() {\n#[test]\n// why\nfn c(x in 0..1) {}\n";
    assert_eq!(tests_of(source), ["a", "b", "c"]);
}
