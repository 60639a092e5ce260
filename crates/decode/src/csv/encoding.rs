//! The refusal of what is not UTF-8 text.

use connector_core::error::Failure;
use connector_core::quarantine::shown;

use crate::error::DecodeError;

/// The error of a column name that is not UTF-8.
pub(super) fn not_utf8(name: &[u8]) -> Failure {
    let name = shown(&String::from_utf8_lossy(name));
    let found = format!("the column name '{name}' in its header has invalid bytes (perhaps latin-1)");
    DecodeError::Encoding { found }.into()
}

/// Names what a file is if its first bytes say that it is not UTF-8 text.
pub(crate) fn refuse_other_encodings(head: &[u8], whole_file: bool, header: bool) -> Result<(), Failure> {
    let known: [(&[u8], &str); 8] = [
        (b"\xFF\xFE\0\0", "it is utf-32 (little endian, by its byte order mark)"),
        (b"\0\0\xFE\xFF", "it is utf-32 (big endian, by its byte order mark)"),
        (b"\xFF\xFE", "it is utf-16 (little endian, by its byte order mark)"),
        (b"\xFE\xFF", "it is utf-16 (big endian, by its byte order mark)"),
        (b"\x1F\x8B", "it is gzip data (by its first bytes)"),
        (b"\x28\xB5\x2F\xFD", "it is zstd data (by its first bytes)"),
        (b"PK\x03\x04", "it is a zip archive (by its first bytes)"),
        (b"PAR1", "it is a parquet file (by its first bytes)"),
    ];
    // Four letters of text may be the name of a column; binary magic never is.
    let is_it = |magic: &[u8]| head.starts_with(magic) && (magic != b"PAR1" || head[4..].contains(&0));
    let found = known.iter().find(|(magic, _)| is_it(magic)).map(|(_, name)| *name);
    match found.or_else(|| nul_pattern(head, whole_file, header)) {
        Some(name) => Err(DecodeError::Encoding { found: name.to_owned() }.into()),
        None => Ok(()),
    }
}

/// UTF-16 and UTF-32 without a byte order mark show in the places of their NUL bytes. A NUL within a header
/// is refused in any case; in a record it is the cell's own business.
fn nul_pattern(head: &[u8], whole_file: bool, header: bool) -> Option<&'static str> {
    let line = memchr::memchr2(b'\n', b'\r', head).unwrap_or(head.len());
    // UTF-16 in big endian has a NUL before its line end, and in little endian one after.
    let begin = &head[..head.len().min(line + 4).min(4096)];
    if !begin.contains(&0) || (begin.len() < 4 && !whole_file) {
        return None;
    }
    let at = |rest: usize| {
        let places = begin.iter().skip(rest).step_by(4);
        let (nul, all) = (places.clone().filter(|byte| **byte == 0).count(), places.count());
        all > 0 && nul * 4 >= all * 3
    };
    match [at(0), at(1), at(2), at(3)] {
        [true, true, true, true] => Some("it is binary data (it begins with NUL bytes)"),
        [false, true, true, true] => Some("it looks like utf-32 (little endian, no byte order mark)"),
        [true, true, true, false] => Some("it looks like utf-32 (big endian, no byte order mark)"),
        [false, true, false, true] => Some("it looks like utf-16 (little endian, no byte order mark)"),
        [true, false, true, false] => Some("it looks like utf-16 (big endian, no byte order mark)"),
        _ if header && head[..line].contains(&0) => Some("it is binary data (a NUL byte in its first line)"),
        _ => None,
    }
}
