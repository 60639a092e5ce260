//! Texts, and what is kept as text: in one canonical spelling, or as it is.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::value::RawValue;

use super::trimmed;

/// Any text that is UTF-8.
pub(crate) fn any(cell: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(cell).ok().map(Cow::Borrowed)
}

/// A text of at most this many bytes.
pub(crate) fn fixed(cell: &[u8], length: u32) -> Option<Cow<'_, str>> {
    any(cell).filter(|text| text.len() <= length as usize)
}

/// 32 hex digits in any case, all hyphens or none, braces around them or none; kept in lower case with hyphens.
pub(crate) fn uuid(cell: &[u8]) -> Option<Cow<'_, str>> {
    let text = trimmed(cell);
    let inside = text.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or(text);
    let hyphened = inside.len() == 36 && HYPHENS.iter().all(|at| inside[*at] == b'-');
    if !hyphened && inside.len() != 32 {
        return None;
    }
    let mut out = String::with_capacity(36);
    for (at, byte) in inside.iter().enumerate() {
        if hyphened && HYPHENS.contains(&at) {
            continue;
        }
        if !byte.is_ascii_hexdigit() {
            return None;
        }
        if HYPHENS.contains(&out.len()) {
            out.push('-');
        }
        out.push(char::from(byte.to_ascii_lowercase()));
    }
    Some(Cow::Owned(out))
}

/// Where the hyphens of a UUID are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Four decimal numbers without leading zeros.
pub(crate) fn ipv4(cell: &[u8]) -> Option<Cow<'_, str>> {
    let address: Ipv4Addr = std::str::from_utf8(trimmed(cell)).ok()?.parse().ok()?;
    Some(Cow::Owned(address.to_string()))
}

/// Any spelling of RFC 4291; kept in the short form of RFC 5952. No zone, and no bare IPv4 address.
pub(crate) fn ipv6(cell: &[u8]) -> Option<Cow<'_, str>> {
    let address: Ipv6Addr = std::str::from_utf8(trimmed(cell)).ok()?.parse().ok()?;
    Some(Cow::Owned(address.to_string()))
}

/// Any valid JSON text, kept byte for byte.
pub(crate) fn json(cell: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(cell).ok()?;
    serde_json::from_str::<&RawValue>(text).ok()?;
    Some(Cow::Borrowed(text))
}

/// Adds a text as a JSON string.
pub(crate) fn json_string(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if u32::from(control) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}
