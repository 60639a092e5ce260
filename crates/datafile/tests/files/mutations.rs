//! Files that were good before one line was changed: nothing panics, and what is refused is refused where it is wrong.

use connector_datafile::{Colour, Diagnostic, Place, SourceFile, render};

use crate::support::{Random, connection, datasource, parse};

/// How many changes of each sort are tried.
const MUTATIONS: u64 = 200;

/// Problems that another line has, because of what the changed one does not say any more.
const ELSEWHERE: [&str; 12] = [
    "unknown_column",
    "missing_directive",
    "missing_sorting_key",
    "missing_engine_parameter",
    "bad_engine_parameter",
    "bad_sorting_key",
    "bad_primary_key",
    "bad_default",
    "bad_expression",
    "bad_ttl",
    "ambiguous_access",
    "unused_external_id",
];

/// The lines of a text with their ends.
fn lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        lines.last_mut().expect("one").push(letter);
        let ends = letter == '\n' || (letter == '\r' && letters.peek() != Some(&'\n'));
        if ends && letters.peek().is_some() {
            lines.push(String::new());
        }
    }
    lines
}

/// The errors, and what is said of a line that is indented and should not be, or the other way round.
fn errors(name: &str, text: &str) -> Vec<Diagnostic> {
    let counts =
        |found: &Diagnostic| found.is_error() || ["unindented_block", "indented_directive"].contains(&found.code);
    parse(name, text).1.into_iter().filter(counts).collect()
}

/// The first and the last line that a problem points at.
fn places(found: &Diagnostic) -> (usize, usize) {
    let place = found.place.as_ref().expect("a place");
    let line = |at| place.file.line_column(at).0;
    (line(place.span.start), line(place.span.end))
}

fn good_file(random: &mut Random) -> (&'static str, String) {
    let (name, (text, _)) = match random.below(4) {
        0 => ("shop.connection", connection(random)),
        _ => ("orders.datasource", datasource(random)),
    };
    assert!(errors(name, &text).is_empty(), "{text}");
    (name, text)
}

/// One letter of a line deleted, added, exchanged or swapped, or one piece of it said twice; its end stays.
fn with_a_slip(line: &str, random: &mut Random) -> String {
    const LETTERS: [&str; 24] = [
        "a", "Z", "0", "_", " ", "\t", ",", "(", ")", "`", "'", "\"", "#", "-", "--", ">", "{{", "}}", "\\", "é", "\0",
        "=", "json:$", "DEFAULT ",
    ];
    let content = line.trim_end_matches(['\r', '\n']);
    let end = &line[content.len()..];
    let mut letters: Vec<String> = content.chars().map(String::from).collect();
    let at = random.below(letters.len());
    let new = random.one_of(&LETTERS).to_owned();
    match random.below(5) {
        _ if letters.is_empty() => letters.push(new),
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, new),
        2 => letters[at] = new,
        3 if at > 0 => letters.swap(at - 1, at),
        _ => {
            let piece = letters[at..].iter().take(1 + random.below(8)).cloned().collect::<Vec<_>>();
            letters.splice(at..at, piece);
        }
    }
    letters.concat() + end
}

#[test]
fn a_slip_in_a_line_is_refused_there_or_not_at_all() {
    let (mut refused, mut misplaced) = (0, Vec::new());
    for seed in 0..10 * MUTATIONS {
        let random = &mut Random(seed);
        let (name, text) = good_file(random);
        let mut all = lines(&text);
        let at = random.below(all.len());
        all[at] = with_a_slip(&all[at], random);
        let slipped = all.concat();
        let found = errors(name, &slipped);
        refused += u64::from(!found.is_empty());
        // What follows from a slip may be refused below it; a comma is missing at the end of the line above.
        let is_here = |problem: &Diagnostic| {
            let (first, last) = places(problem);
            let above = problem.code == "missing_comma" && first <= at + 1 && first + 4 > at;
            // A word that is not DEFAULT any more is a column, and what stands below it is its type.
            let below = problem.code == "unknown_type" && first == at + 2;
            let points_at = |(place, _): &(Place, String)| place.file.line_column(place.span.start).0 == at + 1;
            let related = problem.related.iter().any(points_at);
            (first..=last).contains(&(at + 1)) || above || below || related || ELSEWHERE.contains(&problem.code)
        };
        if !found.is_empty() && !found.iter().any(is_here) {
            let shown = render(&found, Colour::Never);
            misplaced.push(format!("seed {seed}: line {} is now {:?}\n{shown}", at + 1, all[at]));
        }
    }
    assert!(misplaced.is_empty(), "{}\n{}", misplaced.len(), misplaced.join("\n"));
    assert!(refused > 2 * MUTATIONS, "{refused} of {} slips were refused", 10 * MUTATIONS);
}

/// Something that is wrong for sure: which lines it can happen to, what becomes of the line, and how it is refused.
struct Breakage {
    what: &'static str,
    applies: fn(&str) -> bool,
    broken: fn(&str) -> String,
    code: &'static str,
}

fn is_column(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("`order_id` UInt64") || line.starts_with("flag Bool") || line.starts_with("uid UUID")
}

fn begins(line: &str, directive: &str) -> bool {
    line.to_uppercase().starts_with(directive)
}

const BREAKAGES: [Breakage; 13] = [
    Breakage {
        what: "a misspelled directive",
        applies: |line| begins(line, "IMPORT_") || begins(line, "S3_") || begins(line, "TAGS"),
        broken: |line| format!("XX{line}"),
        code: "unknown_directive",
    },
    Breakage {
        what: "a directive twice",
        applies: |line| begins(line, "IMPORT_SCHEDULE") || begins(line, "TYPE"),
        broken: |line| format!("{}\n{line}", line.trim_end_matches(['\r', '\n'])),
        code: "duplicate_directive",
    },
    Breakage {
        what: "an open quote",
        applies: |line| begins(line, "IMPORT_") && line.contains('"') && !line.contains(['#', '{', '\'']),
        broken: |line| line.chars().rev().collect::<String>().replacen('"', "", 1).chars().rev().collect(),
        code: "open_quote",
    },
    Breakage {
        what: "a strange schedule",
        applies: |line| line.contains("@auto"),
        broken: |line| line.replace("@auto", "@never"),
        code: "bad_schedule",
    },
    Breakage {
        what: "a strange time",
        applies: |line| line.contains("2025-01-01T00:00:00Z"),
        broken: |line| line.replace("2025-01-01T00:00:00Z", "yesterday"),
        code: "bad_timestamp",
    },
    Breakage {
        what: "a strategy that is not append",
        applies: |line| line.contains("APPEND"),
        broken: |line| line.replace("APPEND", "replace"),
        code: "unsupported_strategy",
    },
    Breakage {
        what: "no bucket",
        applies: |line| begins(line, "IMPORT_BUCKET_URI") && line.contains("s3://drop"),
        broken: |line| line.replace("s3://drop", "http://drop"),
        code: "bad_uri",
    },
    Breakage {
        what: "an engine that does not exist",
        applies: |line| begins(line, "ENGINE") && line.contains("MergeTree"),
        broken: |line| line.replace("MergeTree", "MargeTree"),
        code: "unknown_engine",
    },
    Breakage {
        what: "a misspelled type",
        applies: is_column,
        broken: |line| line.replacen("UInt64", "UInt46", 1).replacen("Bool", "Boool", 1).replacen("UUID", "UUUID", 1),
        code: "unknown_type",
    },
    Breakage {
        what: "a name that is taken",
        applies: |line| line.trim_start().starts_with("flag Bool") || line.trim_start().starts_with("uid UUID"),
        broken: |line| line.replacen("flag ", "placed_at ", 1).replacen("uid ", "placed_at ", 1),
        code: "duplicate_column",
    },
    Breakage {
        what: "a strange path",
        applies: |line| line.contains("`json:$.id`"),
        broken: |line| line.replace("`json:$.id`", "`json:$..id`"),
        code: "bad_path",
    },
    Breakage {
        what: "a codec that does not exist",
        applies: |line| line.contains("CODEC(LZ4)"),
        broken: |line| line.replace("CODEC(LZ4)", "CODEC(LZ44)"),
        code: "bad_codec",
    },
    Breakage {
        what: "no region",
        applies: |line| line.contains("eu-west-1"),
        broken: |line| line.replace("eu-west-1", "EU_West"),
        code: "bad_region",
    },
];

#[test]
fn what_is_broken_on_purpose_is_refused_on_its_line() {
    let mut tried = [0; BREAKAGES.len()];
    let mut seed = 0;
    while tried.iter().sum::<u64>() < 2 * MUTATIONS || tried.contains(&0) {
        seed += 1;
        assert!(seed < 50 * MUTATIONS, "some lines never come: {tried:?}");
        let random = &mut Random(seed);
        let (name, text) = good_file(random);
        let all = lines(&text);
        let which = random.below(BREAKAGES.len());
        let Breakage { what, applies, broken, code } = &BREAKAGES[which];
        let Some(at) = all.iter().position(|line| applies(line)) else { continue };
        tried[which] += 1;
        let mut changed = all.clone();
        changed[at] = broken(&all[at]);
        let changed = changed.concat();
        let found = errors(name, &changed);
        let line = at + 1 + usize::from(*code == "duplicate_directive");
        // Behind a block, a word in small letters that is no directive is taken for a line that lacks its indentation.
        let is_code = |found: &str| found == *code || (*code == "unknown_directive" && found == "unindented_block");
        let is_it = |found: &&Diagnostic| is_code(found.code) && places(found).0 == line;
        assert!(
            found.iter().any(|found| is_it(&found)),
            "seed {seed}: {what} in line {line}\n{changed}\n{}",
            render(&found, Colour::Never)
        );
        for problem in found.iter().filter(|found| !is_it(found)) {
            let here = places(problem).0 == line || ELSEWHERE.contains(&problem.code);
            assert!(here, "seed {seed}: {what}\n{}", render(&found, Colour::Never));
        }
    }
}

#[test]
fn nothing_that_is_cut_moved_or_mixed_up_panics_or_points_outside() {
    for seed in 0..5 * MUTATIONS {
        let random = &mut Random(seed);
        let (name, text) = good_file(random);
        let (_, other) = good_file(random);
        let mut all = lines(&text);
        let at = random.below(all.len());
        let changed = match random.below(5) {
            0 => text.chars().take(random.below(text.chars().count())).collect(),
            1 => text.chars().skip(random.below(text.chars().count())).collect(),
            2 => {
                all.remove(at);
                all.concat()
            }
            3 => {
                let line = all.remove(at);
                all.insert(random.below(all.len() + 1), line);
                all.concat()
            }
            _ => {
                all.splice(at..at, lines(&other));
                all.concat()
            }
        };
        let count = lines(&changed).len();
        for problem in parse(name, &changed).1 {
            let (first, last) = places(&problem);
            assert!(first <= last && last <= count + 1, "seed {seed}: {problem}");
            let file = SourceFile::new(name, changed.as_str());
            assert!(problem.to_string().starts_with(&format!("{}:{first}:", file.name())), "seed {seed}: {problem}");
        }
    }
}
