//! What a file is, by its first and last bytes. The configured format, or the one that the key's suffix names, is only
//! a hint where the bytes are certain:
//!
//! - A file of text that begins and ends with `PAR1` is read as Parquet.
//! - A file of text that begins with the magic number of gzip or zstd is decompressed, whatever its suffix says.
//! - A Parquet file without its magic number fails, and the failure says what the file looks like instead.

use connector_core::error::Failure;
use connector_core::spec::Format;
use connector_decode::compress::Compression;
use connector_decode::parquet::ParquetSource;

use super::fetch::Reader;
use super::parquet_source::{MAGIC, footer_only};
use super::sample::{Head, TextSample};

/// Suffixes of keys that promise compressed text.
pub(super) const PACKED_SUFFIXES: [&str; 4] = [".gz", ".gzip", ".zst", ".zstd"];

/// As much of a file as it takes to know its columns.
pub(super) enum Content {
    Text(TextSample),
    /// Its ends only.
    Parquet(ParquetSource),
}

/// Reads as much of a file as it takes to know its columns.
///
/// # Errors
/// Those of reading; `Data` with code `bad_footer` if a Parquet file is none; those of decompression.
pub(super) async fn read(reader: &Reader, format: Format) -> Result<Content, Failure> {
    if !format.is_text() {
        return footer_only(reader).await.map(Content::Parquet);
    }
    let head = Head::read(reader).await?;
    if head.bytes().starts_with(MAGIC) && ends_as_parquet(reader).await? {
        drop(head);
        tracing::info!(uri = reader.object.uri(), named = format.as_str(), "file is parquet by its content");
        return footer_only(reader).await.map(Content::Parquet);
    }
    let text = head.sample(reader).await?;
    note_compression(reader, text.compression);
    Ok(Content::Text(text))
}

async fn ends_as_parquet(reader: &Reader) -> Result<bool, Failure> {
    let (size, length) = (reader.object.size, MAGIC.len() as u64);
    // Of a text of four letters head and tail are the same.
    Ok(size > 2 * length && reader.range(size - length..size).await? == MAGIC)
}

fn note_compression(reader: &Reader, found: Option<Compression>) {
    let key = reader.object.key.to_ascii_lowercase();
    let promised = PACKED_SUFFIXES.iter().any(|suffix| key.ends_with(suffix));
    let uri = reader.object.uri();
    match found {
        Some(found) if !promised => tracing::info!(uri, ?found, "file is compressed by its content"),
        None if promised => tracing::info!(uri, "file is not compressed, though its suffix says so"),
        _ => {}
    }
}

/// What a file looks like, judged by its first bytes, for people.
pub(super) fn looks_like(head: &[u8]) -> &'static str {
    let known: [(&[u8], &str); 6] = [
        (b"\x1F\x8B", "gzip data"),
        (b"\x28\xB5\x2F\xFD", "zstd data"),
        (b"PK\x03\x04", "a zip archive"),
        (b"ORC", "an orc file"),
        (b"Obj\x01", "an avro file"),
        (b"\xEF\xBB\xBF", "text"),
    ];
    match known.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, name)) => name,
        None if head.is_empty() => "an empty file",
        None if is_text(head) => "text",
        None => "binary data of an unknown kind",
    }
}

/// UTF-8 without control characters other than those of lines and tabs; the last character may be cut.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or(""),
        Err(_) => return false,
    };
    !valid.chars().any(|letter| letter.is_control() && !matches!(letter, '\t' | '\n' | '\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_say_what_a_file_looks_like() {
        let cases: [(&[u8], &str); 8] = [
            (b"\x1F\x8B\x08\0", "gzip data"),
            (b"\x28\xB5\x2F\xFD\0", "zstd data"),
            (b"PK\x03\x04..", "a zip archive"),
            (b"a,b\r\n1,2\r\n", "text"),
            (b"{\"a\": 1}\n", "text"),
            ("größe,\u{20AC}".as_bytes().split_last().expect("bytes").1, "text"),
            (b"a\0b\0", "binary data of an unknown kind"),
            (b"gr\xF6\xDFe,x", "binary data of an unknown kind"),
        ];
        for (head, name) in cases {
            assert_eq!(looks_like(head), name, "{head:?}");
        }
        assert_eq!(looks_like(b""), "an empty file");
    }
}
