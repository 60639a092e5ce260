//! How far a sync is: a bar on a terminal, a plain line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;

/// What an import's counts say of its progress. Files that are settled are ingested, failed, or in quarantine as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub settled: u64,
    pub rows: u64,
    pub bytes: u64,
    pub left_files: u64,
    pub left_bytes: u64,
}

impl Seen {
    /// From `counts` of an import's status.
    pub fn of(counts: &Value) -> Self {
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let files = |state: &str| number(&counts["files"][state]);
        Self {
            settled: files("ingested") + files("failed") + files("quarantined"),
            rows: number(&counts["rows"]),
            bytes: number(&counts["bytes"]),
            left_files: number(&counts["backlog_files"]),
            left_bytes: number(&counts["backlog_bytes"]),
        }
    }
}

/// Shows progress on standard error, until it is dropped.
pub struct Bar {
    name: String,
    first: Seen,
    how: How,
    /// When a plain line is due next, counted from the beginning.
    due: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Drawn,
    Plain,
    Silent,
}

/// Between two plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Before it, a rate says nothing.
const WARM_UP: Duration = Duration::from_secs(2);
const BAR: usize = 24;

impl Bar {
    /// `first`: how things were before it began. With `silent` nothing is shown.
    pub fn start(name: &str, first: Seen, silent: bool) -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let how = match (silent, std::io::stderr().is_terminal() && !dumb) {
            (true, _) => How::Silent,
            (false, true) => How::Drawn,
            (false, false) => How::Plain,
        };
        Self { name: name.to_owned(), first, how, due: PLAIN_EVERY }
    }

    /// Shows how it is now, `elapsed` after the beginning.
    pub fn show(&mut self, now: Seen, elapsed: Duration) {
        match self.how {
            How::Silent => {}
            How::Drawn => {
                let width = super::terminal_width(&std::io::stderr()).unwrap_or(super::DEFAULT_WIDTH);
                let text = drawn(&self.name, &self.first, &now, elapsed, width.saturating_sub(1));
                let mut stderr = std::io::stderr();
                let _ = write!(stderr, "\r\u{1b}[2K{text}").and_then(|()| stderr.flush());
            }
            How::Plain if elapsed >= self.due => {
                self.due = elapsed + PLAIN_EVERY;
                super::note(format!("{}: {}", self.name, plain(&self.first, &now, elapsed)));
            }
            How::Plain => {}
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.how == How::Drawn {
            let mut stderr = std::io::stderr();
            let _ = write!(stderr, "\r\u{1b}[2K").and_then(|()| stderr.flush());
        }
    }
}

/// The share that is done, from 0 to 1: of the bytes, if there are any, else of the files.
fn share(first: &Seen, now: &Seen) -> Option<f64> {
    let part = |done: u64, left: u64| (done + left > 0).then(|| done as f64 / (done + left) as f64);
    let files = part(now.settled.saturating_sub(first.settled), now.left_files);
    // The bytes of files that fail are counted nowhere, so bytes alone would never tell of them.
    if now.left_files == 0 { files } else { part(now.bytes.saturating_sub(first.bytes), now.left_bytes).or(files) }
}

/// What is still to come, if that can be told.
fn remaining(share: Option<f64>, elapsed: Duration) -> Option<Duration> {
    let share = share.filter(|share| *share > 0.01 && elapsed >= WARM_UP)?;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - share) / share).ok()
}

fn plain(first: &Seen, now: &Seen, elapsed: Duration) -> String {
    let done = now.settled.saturating_sub(first.settled);
    let files = done + now.left_files;
    if files == 0 {
        return "looking for new files".to_owned();
    }
    let rows = super::count(now.rows.saturating_sub(first.rows), "row");
    let left = super::bytes(now.left_bytes);
    let time =
        remaining(share(first, now), elapsed).map_or(String::new(), |time| format!(", about {} to go", rough(time)));
    format!("{done} of {}, {rows}, {left} left{time}", super::count(files, "file"))
}

fn drawn(name: &str, first: &Seen, now: &Seen, elapsed: Duration, width: usize) -> String {
    let told = plain(first, now, elapsed);
    let name = super::printable(name);
    let text = match share(first, now) {
        None => format!("{name}: {told}"),
        Some(share) => {
            let full = (share * BAR as f64) as usize;
            let bar: String = (0..BAR).map(|at| if at < full { '#' } else { '.' }).collect();
            let long = format!("{name} [{bar}] {:>3.0}%  {told}", share * 100.0);
            if long.chars().count() <= width { long } else { format!("{name} {:>3.0}%  {told}", share * 100.0) }
        }
    };
    text.chars().take(width).collect()
}

/// A time for people, such as `1 h 05 min`.
fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Seen = Seen { settled: 10, rows: 100, bytes: 1_000, left_files: 0, left_bytes: 0 };

    #[test]
    fn it_tells_what_is_done_what_is_left_and_how_long_it_takes() {
        let now = Seen { settled: 20, rows: 600, bytes: 3_000, left_files: 30, left_bytes: 6_000 };
        let text = plain(&FIRST, &now, Duration::from_secs(30));
        assert_eq!(text, "10 of 40 files, 500 rows, 5.9 KiB left, about 1 min 30 s to go");
        let bar = drawn("orders", &FIRST, &now, Duration::from_secs(30), 200);
        assert!(bar.starts_with("orders [######..................]  25%  10 of 40 files"), "{bar}");
        for width in 0..200 {
            assert!(drawn("orders", &FIRST, &now, Duration::from_secs(30), width).chars().count() <= width);
        }
    }

    #[test]
    fn before_the_first_file_is_seen_it_looks_and_at_the_end_nothing_is_left() {
        assert_eq!(plain(&FIRST, &FIRST, Duration::ZERO), "looking for new files");
        let done = Seen { settled: 12, left_files: 0, left_bytes: 0, ..FIRST };
        assert_eq!(share(&FIRST, &done), Some(1.0), "two files that failed are settled, too");
        assert_eq!(rough(Duration::from_secs(3_900)), "1 h 05 min");
    }
}
