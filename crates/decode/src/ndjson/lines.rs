//! Lines: what of a block is a record.

use memchr::memchr_iter;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The records of a piece of a file, without their line ends: all lines that are not blank. `from_start`: the piece
/// begins where the file does, where a byte order mark may be.
pub(super) fn records(bytes: &[u8], from_start: bool) -> impl Iterator<Item = &[u8]> {
    let body = if from_start { without_mark(bytes) } else { bytes };
    let ends = memchr_iter(b'\n', body).chain([body.len()]);
    let line = move |start: &mut usize, end: usize| {
        let line = &body[*start..end];
        *start = end + 1;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    };
    ends.scan(0, line).filter(|line| !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')))
}

/// The bytes behind the byte order mark, if there is one.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_no_records_and_a_mark_counts_at_the_start_only() {
        let text = b"\xEF\xBB\xBF{}\r\n\n \t\r\n\xEF\xBB\xBF{}\n\n[1]";
        let all: Vec<&[u8]> = records(text, true).collect();
        assert_eq!(all, [&b"{}"[..], b"\xEF\xBB\xBF{}", b"[1]"]);
        assert_eq!(records(text, false).next(), Some(&b"\xEF\xBB\xBF{}"[..]));
        assert_eq!(records(b"", true).count() + records(b"\n", true).count(), 0);
    }
}
