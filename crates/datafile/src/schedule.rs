//! `IMPORT_SCHEDULE`: `@auto`, `@on-demand` (`@once`), or a five-field cron expression.

use connector_core::schedule::{Cron, Schedule};

use crate::diagnostic::Diagnostic;
use crate::reader::{Reader, Text, place_in};
use crate::source::Spanned;
use crate::suggest::nearest;

const CODE: &str = "bad_schedule";
const WORDS: [&str; 3] = ["@auto", "@on-demand", "@once"];
/// What other programs call some expressions.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Without the directive: on demand. `None` if it is bad, which is reported.
pub(crate) fn schedule(reader: &mut Reader<'_, '_>) -> Option<Schedule> {
    if reader.document.find("IMPORT_SCHEDULE").is_none() {
        return Some(Schedule::OnDemand);
    }
    let Spanned { value, span } = reader.expression("IMPORT_SCHEDULE")?;
    match value.value.to_ascii_lowercase().as_str() {
        "@auto" => return Some(Schedule::Auto),
        "@on-demand" | "@once" => return Some(Schedule::OnDemand),
        _ => {}
    }
    if !looks_like_cron(&value) {
        return refuse_word(reader, &value, span);
    }
    match Cron::parse(&value.value) {
        Ok(cron) => Some(Schedule::Cron(cron)),
        Err(error) => {
            let place = place_in(reader.report.source, span, &value, error.offset);
            let hint = "such as 30 3 * * MON-FRI: minute, hour, day of month, month, day of week, in UTC";
            reader.error(CODE, place, format!("this is not a schedule: {}", error.message), hint);
            None
        }
    }
}

fn refuse_word(reader: &mut Reader<'_, '_>, value: &Text, span: crate::source::Span) -> Option<Schedule> {
    let diagnostic = Diagnostic::error(CODE, format!("{} is not a schedule", value.shown()));
    let word = value.value.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let diagnostic = match NICKNAMES.iter().find(|(nickname, _)| *nickname == word) {
        Some((_, cron)) => diagnostic.hint(format!("write it as a cron expression: {cron}")),
        None if word == "@every" => diagnostic.hint("write it as a cron expression; each five minutes is */5 * * * *"),
        None => diagnostic.suggest(nearest(&value.value, WORDS)),
    };
    let hint = "a schedule is @auto, @on-demand, or a cron expression of five fields in UTC, such as 0 3 * * *";
    reader.report.push(diagnostic.hint(hint), span);
    None
}

/// Whether it was meant as a cron expression: several words, none of which is a schedule by itself.
fn looks_like_cron(value: &Text) -> bool {
    let fields = value.value.split_ascii_whitespace().count();
    let first = value.value.trim_start().chars().next();
    fields > 1 && first.is_some_and(|first| first.is_ascii_digit() || "*-,/".contains(first))
}
