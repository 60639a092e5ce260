//! `ENGINE_SETTINGS`: `name = value`, separated by commas.

use super::names::split;
use crate::diagnostic::Diagnostic;
use crate::reader::{Reader, Text};
use crate::source::{Span, Spanned};
use crate::suggest::nearest;

/// Settings that are often written, to find slips by; there are many more.
const KNOWN: [&str; 16] = [
    "index_granularity",
    "index_granularity_bytes",
    "min_index_granularity_bytes",
    "allow_nullable_key",
    "ttl_only_drop_parts",
    "merge_with_ttl_timeout",
    "min_bytes_for_wide_part",
    "min_rows_for_wide_part",
    "parts_to_throw_insert",
    "parts_to_delay_insert",
    "max_parts_in_total",
    "storage_policy",
    "enable_mixed_granularity_parts",
    "non_replicated_deduplication_window",
    "replicated_deduplication_window",
    "clean_deleted_rows",
];

/// Names and values as written. Problems are reported.
pub(super) fn read(reader: &mut Reader<'_, '_>, value: &Spanned<Text>) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = Vec::new();
    for part in split(&value.value.value) {
        let place = place_of(reader, value, part);
        let Some((name, setting)) = part.split_once('=').map(|(name, setting)| (name.trim(), setting.trim())) else {
            reader.error("bad_settings", place, "a setting lacks its value", "such as index_granularity = 8192");
            continue;
        };
        let of_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if name.is_empty() || !name.chars().all(of_name) {
            let hint = "a setting is small letters, digits and '_', such as index_granularity";
            reader.error("bad_settings", place, "this is not the name of a setting", hint);
        } else if !is_value(setting) {
            let message = format!("this is not a value of {name}");
            reader.error("bad_settings", place, message, "a value is a number, true, false, or a 'text'");
        } else if settings.iter().any(|(known, _)| known == name) {
            reader.error("bad_settings", place, format!("the setting {name} appears twice"), "keep one of them");
        } else if let Some(near) = nearest(name, KNOWN).filter(|near| *near != name && is_slip(near, name)) {
            let diagnostic = Diagnostic::error("bad_settings", format!("'{name}' is not a setting"));
            reader.report.push(diagnostic.suggest(Some(near)), place);
        } else {
            settings.push((name.to_owned(), setting.to_owned()));
        }
    }
    settings
}

/// There are more settings than are known here: only what differs by a letter or two is taken for a slip.
fn is_slip(near: &str, written: &str) -> bool {
    near.len().abs_diff(written.len()) <= 1
}

fn place_of(reader: &Reader<'_, '_>, value: &Spanned<Text>, part: &str) -> Span {
    let written = reader.report.source.slice(value.span);
    match written.find(part).filter(|_| !part.is_empty() && !value.value.secret) {
        Some(at) => Span::new(value.span.start + at, value.span.start + at + part.len()),
        None => value.span,
    }
}

fn is_value(text: &str) -> bool {
    let quoted = text.len() >= 2 && text.starts_with('\'') && text.ends_with('\'');
    quoted || text.parse::<f64>().is_ok() || ["true", "false"].iter().any(|word| word.eq_ignore_ascii_case(text))
}
