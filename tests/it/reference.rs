//! The command line explains itself, and the reference pages say the same: verbs, flags, examples, settings.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, Command};
use s3_connector::{cli, config};

/// The most columns that `--help` fills.
const HELP_WIDTH: usize = 100;

/// The verbs that do something, with the names that lead to them.
fn leaves(command: &Command, names: &[&str]) -> Vec<(String, Command)> {
    let mut all = Vec::new();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help") {
        let names = [names, &[verb.get_name()]].concat();
        match verb.has_subcommands() {
            true => all.extend(leaves(verb, &names)),
            false => all.push((names.join(" "), verb.clone())),
        }
    }
    all
}

fn tree() -> Command {
    let mut command = cli::command();
    command.build();
    command
}

/// The words of an example: up to a comment behind two blanks, a pipe or a redirection. Quotes hold words together.
fn words(example: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut blanks) = (Vec::new(), String::new(), None, 0);
    for letter in example.trim().chars().chain(Some(' ')) {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, ' ') => {
                blanks += 1;
                if blanks == 2 {
                    break;
                }
                words.push(std::mem::take(&mut word));
                continue;
            }
            _ => word.push(letter),
        }
        blanks = 0;
    }
    let end = words.iter().position(|word| ["|", ">", "2>", "&&", "#"].contains(&word.as_str())).unwrap_or(words.len());
    words.truncate(end);
    words
}

/// The commands of a text, each as its words; a line that ends in `\` goes on in the next one.
fn commands(text: &str) -> Vec<Vec<String>> {
    let whole = text.split(" \\\n").map(str::trim_start).collect::<Vec<_>>().join(" ");
    let ours = |line: &&str| line.trim_start().starts_with("s3-connector ");
    whole.lines().filter(ours).map(words).collect()
}

/// What the program has against a command.
fn refusal(name: &str, words: &[String]) -> Option<String> {
    let error = cli::command().try_get_matches_from(words).err()?;
    Some(format!("{name}: {}: {error}", words.join(" ")))
}

/// No line is so long that it would be broken again, in the middle of a command or of a hand-made line.
#[test]
fn what_stands_below_the_flags_is_not_broken_up() {
    let tree = tree();
    let mut verbs = leaves(&tree, &[]);
    verbs.push(("the program".to_owned(), tree.clone()));
    let long = |(name, verb): (String, Command)| {
        let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        let line = after.lines().find(|line| line.chars().count() > HELP_WIDTH)?;
        Some(format!("{name}: {line}"))
    };
    let long: Vec<String> = verbs.into_iter().filter_map(long).collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_verb_says_what_it_does_and_shows_examples_that_it_understands() {
    let tree = tree();
    let (leaves, mut wrong, mut tried) = (leaves(&tree, &[]), Vec::new(), 0);
    assert!(leaves.len() >= 20, "{}", leaves.len());
    for (name, verb) in &leaves {
        if verb.get_about().is_none() {
            wrong.push(format!("{name} says nothing about itself"));
        }
        let after = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
        let Some((_, examples)) = after.split_once("Examples:\n") else {
            wrong.push(format!("{name} shows no examples"));
            continue;
        };
        let examples = commands(examples);
        tried += examples.len();
        wrong.extend(examples.iter().filter_map(|words| refusal(name, words)));
        let of_it = format!("s3-connector {name}");
        if !examples.iter().any(|words| words.join(" ").starts_with(&of_it)) {
            wrong.push(format!("{name} shows no example of itself"));
        }
        let help = |argument: &&Arg| argument.get_help().is_none_or(|help| help.to_string().trim().is_empty());
        let mute =
            verb.get_arguments().filter(help).map(|argument| format!("{name}: {} has no help", argument.get_id()));
        wrong.extend(mute);
    }
    let first_steps = commands(&tree.get_after_help().map(ToString::to_string).unwrap_or_default());
    assert!(first_steps.len() >= 10, "{first_steps:?}");
    wrong.extend(first_steps.iter().filter_map(|words| refusal("the program", words)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried >= 40, "{tried}");
}

#[test]
fn flags_of_one_name_mean_the_same_everywhere() {
    let without_json = ["demo", "devcloud", "completions"];
    let mut wrong = Vec::new();
    for (name, verb) in leaves(&tree(), &[]) {
        let flag = |long: &str| verb.get_arguments().find(|argument| argument.get_long() == Some(long));
        if flag("json").is_none() != without_json.contains(&&*name) {
            wrong.push(format!("{name}: --json"));
        }
        for boolean in ["json", "yes", "strict", "no-wait"] {
            if flag(boolean).is_some_and(|argument| argument.get_action().takes_values()) {
                wrong.push(format!("{name}: --{boolean} takes a value"));
            }
        }
        for valued in ["config", "limit", "file", "output", "format"] {
            if flag(valued).is_some_and(|argument| !argument.get_action().takes_values()) {
                wrong.push(format!("{name}: --{valued} takes no value"));
            }
        }
        let other = |argument: &&Arg| {
            let spelled = argument.get_long().unwrap_or_default();
            ["as-json", "confirm", "max", "config-dir", "dir", "assume-yes"].contains(&spelled)
        };
        wrong.extend(verb.get_arguments().filter(other).map(|one| format!("{name}: {}", one.get_id())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_verb_or_flag_that_does_not_exist_brings_the_nearest() {
    for (line, near) in [
        (&["statu"][..], "status"),
        (&["status", "--jsno"], "--json"),
        (&["datasource", "scheduling", "resum", "x"], "resume"),
        (&["history", "orders", "--fles"], "--files"),
    ] {
        let words = std::iter::once(&"s3-connector").chain(line);
        let error = cli::command().try_get_matches_from(words).expect_err("a typo");
        assert!(matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument), "{error}");
        assert!(error.to_string().contains(near), "{error}");
    }
}

fn page(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    let text = fs::read_to_string(&path).unwrap_or_default();
    (path, text)
}

/// Holds a page against what the program says, or makes it anew where `UPDATE_DOCS` is set.
#[track_caller]
fn holds(name: &str, is: &str, should_be: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(page(name).0, should_be).expect("the page is written");
        return;
    }
    let differs = is.lines().zip(should_be.lines()).position(|(is, should_be)| is != should_be);
    let line = differs.unwrap_or_else(|| is.lines().count().min(should_be.lines().count()));
    assert!(
        is == should_be,
        "docs/{name} is not what the program says, from line {} on:\n  {}\n  {}\n\
         make it again: UPDATE_DOCS=1 cargo test -p s3-connector --test it reference",
        line + 1,
        is.lines().nth(line).unwrap_or_default(),
        should_be.lines().nth(line).unwrap_or_default(),
    );
}

#[test]
fn the_page_of_the_command_line_is_what_the_program_says() {
    holds("cli.md", &page("cli.md").1, &cli::reference::markdown());
}

#[test]
fn the_table_of_settings_is_what_the_program_says() {
    assert_eq!(config::reference::differences(), Vec::<String>::new());
    let (_, text) = page("configuration.md");
    let renewed = config::reference::renewed(&text).expect("docs/configuration.md has the marks of the table");
    holds("configuration.md", &text, &renewed);
}
