//! Whether there is colour, and where.

use std::io::IsTerminal;
use std::sync::OnceLock;

/// When to print in colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set; CLICOLOR_FORCE sets it anywhere
    #[default]
    Auto,
    Always,
    Never,
}

static WHEN: OnceLock<When> = OnceLock::new();

/// Fixes the choice for the whole process. Only the first call counts.
pub fn choose(when: When) {
    let _ = WHEN.set(when);
}

/// Whether what goes to this stream has colours.
pub(super) fn on(stream: &impl IsTerminal) -> bool {
    let when = WHEN.get().copied().unwrap_or_default();
    decide(when, stream.is_terminal(), &|name| std::env::var(name).ok())
}

fn decide(when: When, terminal: bool, variable: &dyn Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto if set("NO_COLOR").is_some() => false,
        When::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        When::Auto => {
            let dumb = set("TERM").is_none_or(|term| term == "dumb");
            terminal && !dumb && set("CLICOLOR").is_none_or(|value| value != "0")
        }
    }
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Heading,
    Good,
    Doubtful,
    Bad,
}

impl Tone {
    /// The tone of a cell: states say how well something is.
    pub(super) fn of_cell(text: &str) -> Self {
        match text {
            "Running" | "finalised" => Self::Good,
            "Starting" | "Degraded" | "BackingOff" | "Paused" => Self::Doubtful,
            "Failed" => Self::Bad,
            _ => Self::Plain,
        }
    }
}

/// A text in its tone.
pub(super) fn paint(tone: Tone, text: &str, coloured: bool) -> String {
    let code = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Heading => "1",
        Tone::Good => "32",
        Tone::Doubtful => "33",
        Tone::Bad => "1;31",
    };
    if coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// A rendered text of which only its own colours still act on a terminal.
pub(super) fn keep_only_colours(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&super::clean(&rest[..at]));
        let body = rest[at + 1..].strip_prefix('[').unwrap_or_default();
        let length = body.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(body.len());
        let end = at + 2 + length + 1;
        if body[length..].starts_with('m') {
            out.push_str(&rest[at..end]);
            rest = &rest[end..];
        } else {
            out.push_str(&super::clean("\u{1b}"));
            rest = &rest[at + 1..];
        }
    }
    out.push_str(&super::clean(rest));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_then_no_color_then_force_then_the_terminal() {
        let with = |when, terminal, set: &[(&str, &str)]| {
            let mut all = vec![("TERM", "xterm")];
            all.extend(set);
            let variable =
                |name: &str| all.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            decide(when, terminal, &variable)
        };
        assert!(with(When::Auto, true, &[]));
        assert!(!with(When::Auto, false, &[]));
        assert!(!with(When::Auto, true, &[("NO_COLOR", "1")]));
        assert!(with(When::Auto, true, &[("NO_COLOR", "")]), "empty is not set");
        assert!(with(When::Auto, false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!with(When::Auto, false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!with(When::Auto, false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
        assert!(!with(When::Auto, true, &[("CLICOLOR", "0")]));
        assert!(!with(When::Auto, true, &[("TERM", "dumb")]));
        assert!(with(When::Always, false, &[("NO_COLOR", "1")]));
        assert!(!with(When::Never, true, &[("CLICOLOR_FORCE", "1")]));
    }

    #[test]
    fn only_colours_are_left_of_escape_sequences() {
        let text = "\u{1b}[1;31mred\u{1b}[0m \u{1b}[2J \u{1b}]0;title\u{7} \u{1b}";
        let kept = keep_only_colours(text);
        assert_eq!(kept, "\u{1b}[1;31mred\u{1b}[0m \\u001b[2J \\u001b]0;title\\u0007 \\u001b");
    }
}
