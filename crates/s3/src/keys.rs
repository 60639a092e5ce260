//! Keys and ETags as they come over the wire.
//!
//! With `encoding-type=url` S3 sends keys form-encoded: a space is `+`, a plus is `%2B`. The SDK asks for the encoding
//! but does not undo it, and undoing it as a path (where `+` is a plus) silently reads other keys than those listed.

/// Why a key of a listing cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// A `%` without two hex digits behind it: not what the server said it would send.
    Malformed,
    NotUtf8,
}

/// Undoes form encoding: `+` is a space, `%XX` a byte; the bytes must be UTF-8.
pub(crate) fn decode_key(encoded: &str) -> Result<String, KeyError> {
    if !encoded.contains(['+', '%']) {
        return Ok(encoded.to_owned());
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let (digits, after) = tail.split_at_checked(2).ok_or(KeyError::Malformed)?;
                rest = after;
                hex(digits[0])? << 4 | hex(digits[1])?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| KeyError::NotUtf8)
}

fn hex(digit: u8) -> Result<u8, KeyError> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or(KeyError::Malformed)
}

/// An ETag without its quotes, and without the mark of a weak one (`W/"…"`): proxies that compress put it on answers
/// to a GET and not into listings, and S3 itself has no weak ETags.
pub(crate) fn unquote(etag: &str) -> &str {
    let quoted = etag.strip_prefix("W/").unwrap_or(etag);
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(etag)
}

/// An ETag as `If-Match` wants it: in quotes, and never weak, since a weak one matches nothing there.
pub(crate) fn quote(etag: &str) -> String {
    let bare = unquote(etag);
    if bare.contains('"') { bare.to_owned() } else { format!("\"{bare}\"") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_decoded_as_forms_are() {
        let cases = [
            ("a.csv", "a.csv"),
            ("a+b", "a b"),
            ("a%2Bb", "a+b"),
            ("a%20b", "a b"),
            ("100%25", "100%"),
            ("%2Fa%2f%2Fb", "/a//b"),
            ("line%0Abreak", "line\nbreak"),
            ("%F0%9F%A6%80", "🦀"),
            ("%252B", "%2B"),
            ("ungarbled é", "ungarbled é"),
        ];
        for (encoded, key) in cases {
            assert_eq!(decode_key(encoded).as_deref(), Ok(key), "{encoded}");
        }
    }

    #[test]
    fn what_is_not_form_encoded_utf8_is_refused() {
        for bad in ["%", "%2", "a%zz", "%-1", "%+1"] {
            assert_eq!(decode_key(bad), Err(KeyError::Malformed), "{bad}");
        }
        assert_eq!(decode_key("%FF"), Err(KeyError::NotUtf8));
    }

    proptest! {
        #[test]
        fn any_key_survives_the_encoding(key in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
            let encoded: String = key.bytes().map(|byte| match byte {
                b' ' => "+".to_owned(),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' => (byte as char).to_string(),
                other => format!("%{other:02X}"),
            }).collect();
            prop_assert_eq!(decode_key(&encoded), Ok(key));
        }
    }

    #[test]
    fn etags_lose_and_regain_their_quotes() {
        let cases =
            [("\"abc-2\"", "abc-2"), ("abc", "abc"), ("W/\"x\"", "x"), ("W/x", "W/x"), ("W/", "W/"), ("\"", "\"")];
        for (sent, kept) in cases {
            assert_eq!(unquote(sent), kept);
        }
        assert_eq!(quote("abc-2"), "\"abc-2\"");
        assert_eq!(quote("W/\"x\""), "\"x\"", "as a ledger of an older program may hold it");
    }
}
