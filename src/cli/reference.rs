//! The reference page of the command line, made from what clap knows: verbs, flags, texts. `docs/cli.md` is this page.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

/// What stands at the end of the page.
const FOOTER: &str = "\
<!-- Made from the program by src/cli/reference.rs. After a change of a verb or a flag, make it again:
     UPDATE_DOCS=1 cargo test -p s3-connector --test it reference -->";

/// What stands at its beginning, before the verbs.
const HEADER: &str = "\
# The command line

Every verb looks for the [configuration](configuration.md) in the folder that `--config` names. If a program runs with that
configuration, verbs ask it over its API; else they work on the data directory themselves. If something else answers in its
place, or nothing in time, a note says so, and what is shown is what the ledger has. A program that keeps silent for ten
seconds counts as one that hangs: commands then fail with exit code 4, or 2 because it holds the data directory, and say
what to do. Operations that take long, such as a rollback, are waited for as long as the program answers other questions.

`status` also works while the files of the configuration are broken: it then shows how far the running program is, which
goes on with the files that it took before, and why it refuses the new ones. It ends with exit code 2, as every verb does
with broken files.

**Output.** Results go to standard output, notes and errors to standard error. On a terminal, tables are made to fit its
width, or `COLUMNS` if that is set: long cells lose their middle, shown as `…`, and a table that is still too wide has each
row over several lines. When standard output is no terminal, nothing is cut. Control characters of keys and values are
printed as escapes such as `\\u001b`, always.

**Colour.** `--color auto`, the default, is colour on a terminal. `NO_COLOR` turns it off, `CLICOLOR_FORCE` turns it on
anywhere; `--color always` and `--color never` win over both. Bars of progress are drawn on a terminal only.

**`--json`.** With it a verb prints one JSON document on standard output and nothing else there. Fields may be added, none
is renamed. If the verb fails, the document is

```json
{\"error\": {\"code\": \"unknown_data_source\", \"class\": \"config\", \"message\": \"there is no data source orders with an import\"}}
```

with `diagnostics` beside `message` if it is about files of the configuration. A verb that looked at several things may
have printed its result and still end with another exit code than 0. `run` without `--once`, `demo` and `devcloud` have no
`--json`: they serve until they are stopped. Neither has `completions`, whose output is a script.

**Exit codes**

| code | meaning |
|---|---|
| `0` | all well; also if a reader such as `head` has gone away |
| `2` | something to change in configuration, access or the command line itself |
| `3` | bad files |
| `4` | something that may pass by itself, such as a network failure, or an output that is full |
| `5` | another writer |
| `6` | a bug |
| `130` | interrupted |

A verb, a flag or the name of a data source that does not exist is refused, with the one that is spelled most alike.
`s3-connector completions` teaches a shell to complete verbs and flags.
";

/// The page, as Markdown.
pub fn markdown() -> String {
    let mut command = super::command();
    command.build();
    let mut page = HEADER.to_owned();
    let mut leaves = Vec::new();
    collect(&command, &mut Vec::new(), &mut leaves);
    page += "\n## Verbs\n\n| verb | what it does |\n|---|---|\n";
    for (names, verb) in &leaves {
        let heading = names.join(" ");
        let _ = writeln!(page, "| [`{heading}`](#{}) | {} |", heading.replace(' ', "-"), about(verb));
    }
    for (names, verb) in &leaves {
        page += &section(names, verb);
    }
    page + "\n" + FOOTER + "\n"
}

/// The verbs that do something, with the names that lead to them.
fn collect<'c>(command: &'c Command, names: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, &'c Command)>) {
    let below = || command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
    if below().next().is_none() {
        leaves.push((names.clone(), command));
    }
    for verb in below() {
        names.push(verb.get_name().to_owned());
        collect(verb, names, leaves);
        names.pop();
    }
}

fn about(verb: &Command) -> String {
    one_line(&verb.get_about().map(ToString::to_string).unwrap_or_default())
}

/// Fit for a table.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn section(names: &[String], verb: &Command) -> String {
    let mut text = format!("\n## {}\n\n", names.join(" "));
    let long = verb.get_long_about().map_or_else(|| about(verb), ToString::to_string);
    let paragraphs: Vec<String> = long.split("\n\n").map(one_line).collect();
    text += &format!("{}\n\n", paragraphs.join("\n\n"));
    let usage = verb.clone().render_usage().to_string();
    text += &format!("```text\n{}\n```\n\n", usage.trim_start_matches("Usage: ").trim());
    text += "| argument | default | what it is |\n|---|---|---|\n";
    for argument in verb.get_arguments().filter(|argument| !argument.is_hide_set() && !is_common(argument)) {
        text += &row(argument);
    }
    text += "| `--color <WHEN>`, `-h`, `--help` | | as everywhere |\n";
    if let Some(after) = verb.get_after_help() {
        text += &format!("\n```text\n{}\n```\n", after.to_string().trim_end());
    }
    text
}

/// Whether every verb has it.
fn is_common(argument: &Arg) -> bool {
    matches!(argument.get_id().as_str(), "help" | "color")
}

fn row(argument: &Arg) -> String {
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let names = argument.get_value_names().unwrap_or_default();
    let value = names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ");
    let value = if takes_value { value } else { String::new() };
    let mut spellings = Vec::new();
    spellings.extend(argument.get_short().map(|short| format!("`-{short}`")));
    spellings.extend(argument.get_long().map(|long| format!("`{}`", format!("--{long} {value}").trim())));
    if argument.is_positional() {
        spellings.push(if argument.is_required_set() { format!("`{value}`") } else { format!("`[{}]`", names[0]) });
    }
    let mut what = one_line(&argument.get_help().map(ToString::to_string).unwrap_or_default());
    let possible: Vec<String> = match takes_value && !argument.is_hide_possible_values_set() {
        true => argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect(),
        false => Vec::new(),
    };
    if !possible.is_empty() {
        what += &format!(". One of {}", possible.join(", "));
    }
    if let Some(variable) = argument.get_env() {
        what += &format!(". Variable: `{}`", variable.to_string_lossy());
    }
    let defaults: Vec<String> = match takes_value && !argument.is_hide_default_value_set() {
        true => argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect(),
        false => Vec::new(),
    };
    format!("| {} | {} | {what} |\n", spellings.join(", "), defaults.join(", "))
}

#[cfg(test)]
mod tests {
    use connector_core::error::ErrorClass;

    use super::super::once::INTERRUPTED;
    use super::super::{EXAMPLES, number_of};
    use super::HEADER;

    #[test]
    fn page_and_help_list_the_exit_codes_that_there_are() {
        let classes =
            [ErrorClass::Config, ErrorClass::Data, ErrorClass::Transient, ErrorClass::Fenced, ErrorClass::Bug];
        let mut all: Vec<u8> = classes.into_iter().map(number_of).chain([0, INTERRUPTED]).collect();
        all.sort_unstable();
        let (_, help) = EXAMPLES.split_once("Exit codes:").expect("the help lists them");
        let in_help: Vec<u8> = help.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let in_page: Vec<u8> =
            HEADER.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')?.0.parse().ok()).collect();
        assert_eq!((&in_help, &in_page), (&all, &all));
    }
}
