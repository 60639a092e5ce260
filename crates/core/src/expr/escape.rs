//! Escapes in quoted texts, as ClickHouse has them.

/// Adds what stands behind a `\` to `out`, and says how many bytes of `rest` it takes. `None` if the text ends there, or
/// `\x` has not two hexadecimal digits.
///
/// `\a \b \e \f \n \r \t \v \0` stand for control characters, `\xHH` for a byte, `\N` for nothing, and a quote, a `/`
/// or a `\` for itself. Before anything else the `\` stays, so that patterns such as `100\%` need no second one.
pub fn unescape(rest: &str, out: &mut Vec<u8>) -> Option<usize> {
    let escaped = rest.chars().next()?;
    let byte = match escaped {
        'a' => 0x07,
        'b' => 0x08,
        'e' => 0x1B,
        'f' => 0x0C,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0B,
        '0' => 0,
        'N' => return Some(1),
        'x' => {
            let digits = rest.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            return Some(3);
        }
        '\\' | '\'' | '"' | '`' | '/' => escaped as u8,
        _ => {
            out.push(b'\\');
            out.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(escaped.len_utf8());
        }
    };
    out.push(byte);
    Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_clickhouse() {
        type Case<'a> = (&'a str, Option<(&'a [u8], usize)>);
        let cases: [Case<'_>; 14] = [
            ("n", Some((b"\n", 1))),
            ("0x", Some((b"\0", 1))),
            ("a", Some((b"\x07", 1))),
            ("v", Some((b"\x0B", 1))),
            ("b", Some((b"\x08", 1))),
            ("f", Some((b"\x0C", 1))),
            ("e", Some((b"\x1B", 1))),
            ("x41Z", Some((b"A", 3))),
            ("\\\\", Some((b"\\", 1))),
            ("'", Some((b"'", 1))),
            ("%", Some((b"\\%", 1))),
            ("ä", Some(("\\ä".as_bytes(), 2))),
            ("x4", None),
            ("", None),
        ];
        for (rest, expected) in cases {
            let mut out = Vec::new();
            let taken = unescape(rest, &mut out);
            assert_eq!(taken.map(|taken| (out.as_slice(), taken)), expected, "{rest}");
        }
    }
}
