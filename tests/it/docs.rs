//! The documentation, held against the program: what it shows is accepted, what it names exists.
//!
//! | in a page | held against |
//! |---|---|
//! | blocks marked `toml s3-connector.toml`, `datasource`, `connection` | loading them; with `refused CODE` they must fail so |
//! | a `text` block right behind a refused one | what the program prints for it, letter by letter |
//! | links | files and headings |
//! | `s3-connector VERB --option` in code | `--help` |
//! | `section.key`, `S3_CONNECTOR_*`, `IMPORT_*`, `S3_*`, `ENGINE*` | settings and directives |
//! | exit codes, metrics, states, error codes | help text, catalogue, source |

pub mod markdown;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use connector_core::error::Failure;
use connector_core::secret::Secret;
use connector_core::status::ImportState;
use connector_core::telemetry::CATALOGUE;
use connector_core::types::ColumnType;
use connector_datafile::directives::{CONNECTION, DATASOURCE};
use connector_datafile::{Colour, Diagnostic, render};
use s3_connector::config::{Surroundings, load};

use self::markdown::{Fence, Page};
use crate::dashboards::exposes;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages, by path from the root.
fn pages() -> BTreeMap<String, Page> {
    let mut paths: Vec<PathBuf> = ["docs", "docs/decisions"]
        .into_iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("the folder is there"))
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    paths.extend(Some(root().join("README.md")).filter(|path| path.exists()));
    assert!(paths.len() >= 14, "{paths:?}");
    let name = |path: &Path| path.strip_prefix(root()).expect("below the root").display().to_string();
    paths.iter().map(|path| (name(path), Page::parse(&fs::read_to_string(path).expect("readable")))).collect()
}

/// Every code span and every line of a fenced block, with its place.
fn code<'p>(name: &'p str, page: &'p Page) -> impl Iterator<Item = (String, &'p str)> {
    let spans = page.code_spans().map(move |(line, span)| (format!("{name}:{line}"), span));
    let blocks = page.fences.iter().flat_map(move |fence| {
        fence.text.lines().enumerate().map(move |(index, line)| (format!("{name}:{}", fence.line + 1 + index), line))
    });
    spans.chain(blocks)
}

// ---------------------------------------------------------------------------------------------------- configuration

/// Whether a block is a settings file, marked or not.
fn is_settings(fence: &Fence) -> bool {
    let sections = ["[listen]", "[aws]", "[destination]", "[limits]", "[log]"];
    fence.is("toml")
        && (fence.is("s3-connector.toml") || fence.text.lines().any(|line| sections.contains(&line.trim())))
}

/// Loads a configuration that holds these files. The variables and files that it refers to are there.
fn load_files(files: &[(&str, &str)]) -> Result<(), Vec<Diagnostic>> {
    let folder = tempfile::tempdir().expect("temp dir");
    let text: String = files.iter().map(|(_, text)| *text).collect();
    for (name, text) in files {
        let path = folder.path().join("config").join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, text).expect("file");
    }
    for path in between(&text, "file = \"", "\"") {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, "from-a-file").expect("file");
    }
    let wanted: BTreeSet<&str> =
        between(&text, "tb_secret(\"", "\") }}").into_iter().chain(between(&text, "env = \"", "\"")).collect();
    let variable = |name: &str| wanted.contains(name).then(|| format!("value-of-{name}"));
    load_in(folder.path(), &variable)
}

fn load_in(folder: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<(), Vec<Diagnostic>> {
    let instance_secret = |_: &Path| Ok::<_, Failure>(Secret::new("an-instance-secret"));
    let around = Surroundings { variable, current_dir: folder, instance_secret: &instance_secret };
    load(&folder.join("config"), &around).map(drop).map_err(|problems| problems.diagnostics)
}

fn between<'t>(text: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    text.split(open)
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(close)?.0))
        .filter(|found| !found.contains('\n'))
        .collect()
}

const PLAIN_CONNECTION: &str = "TYPE s3\nS3_REGION us-east-1\nS3_ANONYMOUS true\n";

fn load_fence(fence: &Fence) -> Option<Result<(), Vec<Diagnostic>>> {
    if is_settings(fence) {
        return Some(load_files(&[("s3-connector.toml", &fence.text)]));
    }
    if fence.is("connection") {
        return Some(load_files(&[("connections/shop.connection", &fence.text)]));
    }
    fence.is("datasource").then(|| {
        let mut files = vec![("datasources/orders.datasource", fence.text.as_str())];
        files.push(("connections/shop.connection", PLAIN_CONNECTION));
        load_files(&files)
    })
}

fn shown(found: &[Diagnostic]) -> String {
    found.iter().map(|one| format!("[{}] {one}\n", one.code)).collect()
}

#[test]
fn configuration_that_is_shown_is_accepted_or_refused_as_it_says() {
    let (mut accepted, mut refused) = (0, 0);
    for (name, page) in pages() {
        for fence in &page.fences {
            let Some(result) = load_fence(fence) else { continue };
            let place = format!("{name}:{}", fence.line);
            match (result, fence.info.iter().skip_while(|word| *word != "refused").nth(1)) {
                (Ok(()), None) if !fence.is("refused") => accepted += 1,
                (Err(found), Some(code)) if found.iter().any(|one| one.is_error() && one.code == code) => refused += 1,
                (Ok(()), _) => panic!("{place} is accepted"),
                (Err(found), None) => panic!("{place} is refused:\n{}", shown(&found)),
                (Err(found), Some(code)) => panic!("{place} is not refused for {code}:\n{}", shown(&found)),
            }
        }
    }
    assert!(accepted >= 4 && refused >= 1, "{accepted} accepted, {refused} refused: the pages were not looked at");
}

#[test]
fn an_error_is_printed_as_it_is_shown() {
    let mut compared = 0;
    for (name, page) in pages() {
        for pair in page.fences.windows(2).filter(|pair| pair[0].is("refused") && pair[1].is("text")) {
            let Some(Err(found)) = load_fence(&pair[0]) else { panic!("{name}:{} is accepted", pair[0].line) };
            let mut printed = String::new();
            for line in render(&found, Colour::Never).lines() {
                // The folder is another one each time.
                let line = match (line.find("--> "), line.find("/config/")) {
                    (Some(arrow), Some(folder)) => format!("{}{}", &line[..arrow + 4], &line[folder + 1..]),
                    _ => line.trim_end().to_owned(),
                };
                printed += &format!("{line}\n");
            }
            assert_eq!(pair[1].text.trim_end(), printed.trim_end(), "{name}:{}", pair[1].line);
            compared += 1;
        }
    }
    assert!(compared >= 1, "no page shows an error");
}

/// Whether the program knows a setting: it then says something else than that there is no such key.
fn is_setting(section: &str, key: &str) -> bool {
    let text = match section {
        "" => format!("{key} = []\n"),
        _ => format!("[{section}]\n{key} = []\n"),
    };
    match load_files(&[("s3-connector.toml", &text)]) {
        Ok(()) => true,
        Err(found) => found.iter().all(|one| one.code != "unknown_key"),
    }
}

/// Whether the program reads a variable: blanks are a value that no setting accepts.
fn is_variable(name: &str) -> bool {
    let folder = tempfile::tempdir().expect("temp dir");
    fs::create_dir_all(folder.path().join("config")).expect("folder");
    let variable = |asked: &str| (asked == name).then(|| " ".to_owned());
    let found = load_in(folder.path(), &variable).err().unwrap_or_default();
    found.iter().any(|one| one.message.contains(&format!("variable {name}:")))
}

/// Words of letters, digits and `_` that begin with this.
fn words<'t>(text: &'t str, prefix: &str) -> impl Iterator<Item = &'t str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(move |word| word.starts_with(prefix))
}

#[test]
fn settings_that_are_named_exist_and_all_are_named() {
    let mut named = BTreeSet::new();
    for (name, page) in pages() {
        for (place, text) in code(&name, &page) {
            let dotted = text
                .split_once('.')
                .filter(|(section, _)| ["listen", "aws", "destination", "limits", "log"].contains(section));
            if let Some((section, key)) =
                dotted.filter(|(_, key)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            {
                assert!(is_setting(section, key), "{place}: there is no setting {text}");
                named.insert(text.to_owned());
            }
            for word in
                words(text, "S3_CONNECTOR_").filter(|word| !word.ends_with('_') && *word != "S3_CONNECTOR_DASHBOARDS")
            {
                assert!(word == "S3_CONNECTOR_CONFIG" || is_variable(word), "{place}: nothing reads {word}");
            }
        }
    }
    assert!(!is_setting("limits", "tik") && !is_variable("S3_CONNECTOR_LIMITS_TIK"), "the test sees nothing");
    let mut section = String::new();
    for line in fs::read_to_string(root().join("config/s3-connector.toml")).expect("shipped").lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, _)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(" = "))
            && !section.is_empty()
        {
            assert!(named.contains(&format!("{section}.{key}")), "no page tells of {section}.{key}");
        }
    }
}

#[test]
fn directives_that_are_named_exist() {
    let mut seen = 0;
    for (name, page) in pages() {
        for (place, text) in code(&name, &page) {
            let found = ["IMPORT_", "S3_", "ENGINE"].into_iter().flat_map(|prefix| words(text, prefix));
            let others = |word: &&str| {
                !word.ends_with('_')
                    && !word.starts_with("S3_CONNECTOR")
                    && word.chars().all(|c| !c.is_ascii_lowercase())
            };
            for word in found.filter(others) {
                assert!(
                    DATASOURCE.find(word).or(CONNECTION.find(word)).is_some(),
                    "{place}: there is no directive {word}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen >= 20, "only {seen} directives");
}

// ------------------------------------------------------------------------------------------------------------ links

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    for (name, page) in &pages {
        let folder = root().join(name).parent().expect("a folder").to_path_buf();
        for (line, target) in page.links() {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { root().join(name) } else { folder.join(path) };
            assert!(file.exists(), "{name}:{line}: {target} leads nowhere");
            if !anchor.is_empty() && file.extension().is_some_and(|end| end == "md") {
                let anchors = Page::parse(&fs::read_to_string(&file).expect("readable")).anchors();
                assert!(
                    anchors.iter().any(|found| found == anchor),
                    "{name}:{line}: {target}: there is no such heading"
                );
            }
        }
    }
    let index = &pages["docs/README.md"];
    let named = index.links().map(|(_, target)| target).chain(index.code_spans().map(|(_, span)| span.to_owned()));
    let named: BTreeSet<String> = named.map(|target| format!("docs/{target}")).collect();
    let listable = |name: &&String| name.starts_with("docs/") && *name != "docs/README.md";
    let missing: Vec<&String> = pages.keys().filter(listable).filter(|name| !named.contains(*name)).collect();
    assert!(missing.is_empty(), "docs/README.md does not list {missing:?}");
}

// ------------------------------------------------------------------------------------------------- the command line

/// What `--help` says of a verb, given with the verbs that it is below; of the program if there is none.
fn help(verbs: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_s3-connector")).args(verbs).arg("--help").output().expect("it runs");
    assert!(output.status.success(), "there is no verb {verbs:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The verbs that a help text lists.
fn verbs(help: &str) -> BTreeSet<&str> {
    let listed =
        help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1).take_while(|line| !line.is_empty());
    listed.filter_map(|line| line.split_whitespace().next()).collect()
}

/// The help of the innermost verb that these words begin with.
///
/// # Errors
/// The word that is no verb.
fn help_of<'w>(words: &[&'w str]) -> Result<String, &'w str> {
    let (mut text, mut depth) = (help(&[]), 0);
    while !verbs(&text).is_empty() {
        let is_word = |word: &&&str| word.starts_with(|c: char| c.is_ascii_lowercase());
        let Some(word) = words.get(depth).filter(is_word) else { break };
        if !verbs(&text).contains(*word) {
            return Err(word);
        }
        depth += 1;
        text = help(&words[..depth]);
    }
    Ok(text)
}

/// The words behind each `s3-connector ` of a command line.
fn command_lines(text: &str) -> Vec<Vec<&str>> {
    let stops = ["|", "&&", ";", "#", "2>", ">", "&"];
    let behind = text.split("s3-connector ").skip(1);
    behind.map(|rest| rest.split_whitespace().take_while(|word| !stops.contains(word)).collect()).collect()
}

#[test]
fn verbs_and_options_that_are_named_exist() {
    let mut seen = 0;
    for (name, page) in pages() {
        let spans = page.code_spans().map(|(line, span)| (line, span.to_owned()));
        let shell =
            page.fences.iter().filter(|fence| ["sh", "ini", "yaml", "dockerfile"].iter().any(|kind| fence.is(kind)));
        let lines = shell.flat_map(|fence| fence.text.lines().map(|line| (fence.line, line.to_owned())));
        for (line, text) in spans.chain(lines) {
            for words in command_lines(&text) {
                if !words.first().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_lowercase())) {
                    continue;
                }
                let help = help_of(&words).unwrap_or_else(|word| panic!("{name}:{line}: no verb {word}: {text}"));
                for option in words.iter().filter(|word| word.starts_with("--")) {
                    let option = option.split('=').next().unwrap_or(option);
                    assert!(
                        help.split_whitespace().any(|word| word == option),
                        "{name}:{line}: there is no {option}: {text}"
                    );
                }
                seen += 1;
            }
        }
    }
    assert!(seen >= 10, "only {seen} command lines");
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let help = help(&[]);
    let (_, below) = help.split_once("Exit codes:").expect("the help lists them");
    let told: BTreeSet<&str> = below
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| word.parse::<u8>().is_ok())
        .collect();
    let pages = pages();
    let listed: BTreeSet<&str> = pages["docs/operations.md"]
        .first_cells("Exit codes")
        .into_iter()
        .map(|cell| cell.trim_matches('`'))
        .filter(|cell| cell.parse::<u8>().is_ok())
        .collect();
    assert_eq!(listed, told);
    for (name, page) in &pages {
        for (line, text) in &page.prose {
            for code in
                text.split("exit code ").skip(1).filter_map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
            {
                assert!(code.is_empty() || told.contains(code), "{name}:{line}: there is no exit code {code}");
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------- what it emits

#[test]
fn metrics_that_are_named_exist_and_all_are_named() {
    let mut named = BTreeSet::new();
    for (name, page) in pages() {
        for (place, text) in code(&name, &page) {
            for word in words(text, "s3_connector_").filter(|word| !word.ends_with('_')) {
                let found = CATALOGUE.iter().find(|spec| spec.name == word || exposes(spec, word));
                named.insert(found.unwrap_or_else(|| panic!("{place}: there is no metric {word}")).name);
            }
        }
    }
    let missing: Vec<_> = CATALOGUE.iter().map(|spec| spec.name).filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "no page tells of {missing:?}");
}

/// All source files of the program, in one text.
fn sources() -> String {
    let mut open = vec![root().join("src"), root().join("actors/src"), root().join("crates")];
    let mut all = String::new();
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path()) {
            if path.is_dir() && !path.ends_with("tests") {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                all += &fs::read_to_string(path).expect("readable");
            }
        }
    }
    all
}

#[test]
fn states_and_error_codes_that_are_listed_exist() {
    let (pages, sources) = (pages(), sources());
    let operations = &pages["docs/operations.md"];
    let bare = |cell: &str| cell.trim_matches('`').to_owned();
    let states: Vec<String> =
        operations.first_cells("States").into_iter().filter(|cell| cell.starts_with('`')).map(bare).collect();
    let mut known = ImportState::ALL.map(|state| state.to_string()).to_vec();
    known.sort();
    let mut listed = states;
    listed.sort();
    assert_eq!(listed, known);
    let mut seen = 0;
    for heading in ["What to do about an import", "What to do about a file"] {
        for cell in operations.first_cells(heading) {
            for code in cell.split('`').skip(1).step_by(2) {
                assert!(sources.contains(&format!("\"{code}\"")), "nothing in the program says {code}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 50, "only {seen} codes");
}

// ---------------------------------------------------------------------------------------------------- what it stores

/// The one table of types in code and the one page agree, type by type.
#[test]
fn the_table_of_types_is_the_one_in_code() {
    let pages = pages();
    let rows = pages["docs/types.md"].rows("The table");
    let mut seen = HashSet::new();
    for row in &rows {
        let [datasource, arrow, delta, clickhouse] = row.as_slice() else { panic!("four cells: {row:?}") };
        let ty = ColumnType::parse_canonical(datasource).unwrap_or_else(|| panic!("{datasource} is no type"));
        let mapping = ty.mapping();
        let in_code = [ty.to_string(), mapping.arrow.to_string(), mapping.delta, mapping.clickhouse];
        assert_eq!([datasource, arrow, delta, clickhouse], in_code.each_ref());
        seen.insert(std::mem::discriminant(&ty));
    }
    // Every kind of type is there: those that take parameters and those that take none.
    assert_eq!(seen.len(), 27, "{rows:?}");
}
