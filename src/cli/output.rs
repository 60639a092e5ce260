//! What is printed: results on standard output, troubles on standard error.
//!
//! Nothing that comes from a bucket, a file or a table reaches a terminal as it is: control characters are escaped here,
//! on the way out, so that no verb can forget it. A reader that has gone away is no error; an output that is full is one,
//! which [`finish`] tells when the verb is done.

mod colour;
mod progress;
mod table;

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use connector_core::error::Failure;
use connector_core::quarantine::shown;
use connector_datafile::Diagnostic;
use connector_datafile::diagnostic::{Colour, render};
use serde_json::{Value, json};

use self::colour::{Tone, paint};
pub use self::colour::{When, choose};
pub use self::progress::{Bar, Seen};
use self::table::Layout;

/// Whether anything of the result was printed: then it is too late for a document that says what went wrong.
static ANSWERED: AtomicBool = AtomicBool::new(false);
/// Why standard output took no more, if it did not.
static BROKEN: Mutex<Option<std::io::Error>> = Mutex::new(None);
/// What was told on standard error, for the document that says what went wrong.
static TOLD: Mutex<Told> = Mutex::new(Told { message: None, diagnostics: Vec::new() });

struct Told {
    message: Option<String>,
    diagnostics: Vec<Value>,
}

/// A line of the result. A reader that has gone away, such as `head`, is no error.
pub fn line(text: impl AsRef<str>) {
    raw_line(&clean(text.as_ref()));
}

/// The result as one JSON document on a line. Characters that a terminal would act upon are escaped as JSON escapes them.
pub fn document(value: &Value) {
    line(value.to_string());
}

/// A line on standard error.
pub fn note(text: impl AsRef<str>) {
    raw_note(&clean(text.as_ref()));
}

/// A trouble, on standard error.
pub fn error(message: &str) {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).message = Some(message.to_owned());
    let label = paint(Tone::Bad, "error:", colour::on(&std::io::stderr()));
    raw_note(&format!("{label} {}", clean(message)));
}

/// Diagnostics with their places, on standard error.
pub fn diagnostics(found: &[Diagnostic]) {
    if found.is_empty() {
        return;
    }
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).diagnostics.extend(found.iter().map(diagnostic_json));
    if colour::on(&std::io::stderr()) {
        raw_note(&colour::keep_only_colours(render(found, Colour::Always).trim_end()));
    } else {
        note(render(found, Colour::Never).trim_end());
    }
}

/// A diagnostic as `--json` has it: `severity`, `code`, `message`, `file`, `line`, `column`, `hints`.
fn diagnostic_json(found: &Diagnostic) -> Value {
    let place = found.place.as_ref().map(|place| (place.file.name(), place.file.line_column(place.span.start)));
    json!({
        "severity": if found.is_error() { "error" } else { "warning" },
        "code": found.code,
        "message": found.message,
        "file": place.as_ref().map(|(file, _)| file.to_string()),
        "line": place.as_ref().map(|(_, (line, _))| line),
        "column": place.as_ref().map(|(_, (_, column))| column),
        "hints": found.hints,
    })
}

/// Says on standard output, as JSON, what went wrong; nothing if the result, or part of it, is there already.
/// The document is `{"error": {"code", "class", "message"}}`, with `diagnostics` of configuration files if there are any.
pub fn failure_document(failure: &Failure) {
    if ANSWERED.load(Ordering::Relaxed) {
        return;
    }
    let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let mut error = json!({ "code": failure.code, "class": failure.class, "message": failure.message });
    if !told.diagnostics.is_empty() {
        error["diagnostics"] = Value::Array(told.diagnostics.clone());
    }
    document(&json!({ "error": error }));
}

/// The last trouble that was told.
pub fn last_error() -> Option<String> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).message.clone()
}

/// Ends the output.
///
/// # Errors
/// `Transient`, code `output`, if not everything could be written, such as to a full disk.
pub fn finish() -> Result<(), Failure> {
    broken(std::io::stdout().flush());
    match BROKEN.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::transient("output", format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn broken(result: std::io::Result<()>) {
    if let Err(error) = result {
        BROKEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

fn raw_line(text: &str) {
    ANSWERED.store(true, Ordering::Relaxed);
    if BROKEN.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
        broken(writeln!(std::io::stdout(), "{text}"));
    }
}

fn raw_note(text: &str) {
    // Where this cannot be written, there is no place to say so.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Rows in columns that line up; the first one is the heading. On a terminal that is too narrow, long cells other than the
/// first of a row lose their middle; if that is not enough, each row goes over several lines.
pub fn table(rows: &[Vec<String>]) {
    let coloured = colour::on(&std::io::stdout());
    let layout = Layout::of(rows, width());
    layout.lines(|tone, text| paint(tone, text, coloured)).into_iter().for_each(|line| raw_line(&line));
}

/// The columns of the terminal that standard output is; `None` if it is none.
pub fn width() -> Option<usize> {
    terminal_width(&std::io::stdout())
}

fn terminal_width(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let asked = || rustix::termios::tcgetwinsize(stream).ok().map(|size| usize::from(size.ws_col));
    // A terminal that does not know its width says 0.
    given.or_else(asked).filter(|columns| *columns > 0).or(Some(DEFAULT_WIDTH))
}

const DEFAULT_WIDTH: usize = 80;

/// A number of things, such as `1 row` and `2 rows`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A number of bytes for people, such as `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A time to the second, for people.
pub fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A text whole, with nothing in it that a terminal would act upon.
pub fn printable(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(100).map(|part| shown(&part.iter().collect::<String>())).collect()
}

/// A text with every character escaped that a terminal would act upon, other than line ends and tabs: as `\u001b`, which
/// also keeps a JSON document what it is.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\t' => out.push(letter),
            _ if acts_on_terminals(letter) => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out
}

/// Control characters, and those that turn the direction of what follows.
fn acts_on_terminals(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_acts_on_a_terminal_and_json_stays_json() {
        let hostile = "a\u{1b}[31mb\u{9b}2J\u{7f}\u{202e}c\r";
        assert_eq!(clean(hostile), "a\\u001b[31mb\\u009b2J\\u007f\\u202ec\\u000d");
        let document = clean(&json!({ "key": hostile }).to_string());
        assert!(!document.chars().any(acts_on_terminals), "{document}");
        let back: Value = serde_json::from_str(&document).expect("JSON");
        assert_eq!(back["key"], hostile);
    }
}
