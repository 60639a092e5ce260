//! Text from outside, made fit for messages: one line, bounded, no control characters, no secrets.

use std::error::Error;

/// The most characters of a server's text that a message repeats.
const MAX_CHARS: usize = 300;

/// Makes a server's text safe to repeat. Every one of `secrets` in it becomes `***`: some STS answers quote the
/// request that they refuse, session token included.
pub(crate) fn clean(text: &str, secrets: &[&str]) -> String {
    let mut text = text.trim().to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "***");
    }
    let mut line = printable(&text);
    if let Some((end, _)) = line.char_indices().nth(MAX_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    line.trim_end_matches('.').to_owned()
}

/// Escapes what could break a log line or deceive a reader's eye: control characters and bidirectional marks.
pub(crate) fn printable(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if hostile(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}

/// An error with all its causes, outermost first.
pub(crate) fn chain(error: &(dyn Error + 'static), secrets: &[&str]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let part = cause.to_string();
        // Wrappers often repeat what they wrap.
        if parts.last().is_none_or(|last| !last.contains(&part)) {
            parts.push(part);
        }
        next = cause.source();
    }
    clean(&parts.join(": "), secrets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_control_characters_do_not_get_through() {
        let text = "The canonical string\nwas 'x-amz-security-token:TOKEN\u{202e}'.";
        let cleaned = clean(text, &["", "TOKEN"]);
        assert_eq!(cleaned, "The canonical string\\nwas 'x-amz-security-token:***\\u{202e}'");
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        assert_eq!(clean(&"é".repeat(1000), &[]).chars().count(), MAX_CHARS + 1);
    }
}
