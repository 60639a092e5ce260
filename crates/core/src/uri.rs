//! Bucket URIs: which keys an import reads.
//!
//! | form | matches |
//! |---|---|
//! | `s3://bucket` | every key |
//! | `s3://bucket/path` | the key `path`, and every key under `path/` |
//! | `s3://bucket/path/` | every key under `path/` |
//! | `s3://bucket/path/*.csv` | in the last segment `*` crosses `/`: every key under `path/` that ends in `.csv` |
//! | `s3://bucket/*/2024/*.csv` | in an earlier segment `*` stays within it |
//! | `**` | any characters, `/` too |
//! | `?`, `[a-z]`, `[!a-z]` | one character that is not `/` |
//! | `{a,b}` | either |

use std::fmt;

/// A parsed `IMPORT_BUCKET_URI`.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketUri {
    text: String,
    bucket: String,
    prefix: String,
    rule: Rule,
}

#[derive(Clone, PartialEq, Eq)]
enum Rule {
    /// No wildcard: the key itself, or anything under it.
    Under(String),
    /// One alternative for each choice of braces.
    Any(Vec<Vec<Token>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    One,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `*` before the last segment.
    Within,
    /// `**`, or `*` in the last segment.
    Across,
}

/// Why a text is not a bucket URI. `offset` is a byte offset into the text, for a caret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UriError {
    pub offset: usize,
    pub message: String,
}

/// Braces may not multiply into more alternatives than this.
const MAX_ALTERNATIVES: usize = 256;

impl BucketUri {
    /// Parses a URI.
    ///
    /// # Errors
    /// If the scheme is not `s3://`, the bucket name is not one that S3 allows, or a bracket is left open.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let fail = |offset, message: &str| Err(UriError { offset, message: message.to_owned() });
        let Some(rest) = text.strip_prefix("s3://") else {
            return fail(0, "a bucket URI begins with s3://");
        };
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if bucket.len() < 3 || bucket.len() > 63 || !bucket.chars().all(allowed) {
            return fail(5, "the bucket name is not one that S3 allows (3 to 63 letters, digits, '-' and '.')");
        }
        let base = text.len() - path.len();
        let wild = path.find(['*', '?', '[', '{']);
        let (prefix, rule) = match wild {
            None => (path.to_owned(), Rule::Under(path.to_owned())),
            Some(first) => {
                let alternatives = expand_braces(path, base)?;
                let rules = alternatives.iter().map(|one| tokens(one, base)).collect::<Result<_, _>>()?;
                (path[..first].to_owned(), Rule::Any(rules))
            }
        };
        Ok(Self { text: text.to_owned(), bucket: bucket.to_owned(), prefix, rule })
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The literal prefix that every matching key begins with: what the listing asks for.
    pub fn literal_prefix(&self) -> &str {
        &self.prefix
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, key: &str) -> bool {
        match &self.rule {
            Rule::Under(path) => match key.strip_prefix(path.as_str()) {
                Some(rest) => path.is_empty() || path.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
                None => false,
            },
            Rule::Any(alternatives) => alternatives.iter().any(|tokens| matches_tokens(tokens, key)),
        }
    }
}

impl fmt::Debug for BucketUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn expand_braces(pattern: &str, base: usize) -> Result<Vec<String>, UriError> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(text) = open.pop() {
        let Some(start) = text.find('{') else {
            done.push(text);
            continue;
        };
        let Some(length) = text[start..].find('}') else {
            let offset = base + pattern.rfind('{').unwrap_or(0);
            return Err(UriError { offset, message: "'{' is never closed".to_owned() });
        };
        let (before, after) = (&text[..start], &text[start + length + 1..]);
        open.extend(text[start + 1..start + length].split(',').map(|choice| format!("{before}{choice}{after}")));
        if open.len() + done.len() > MAX_ALTERNATIVES {
            return Err(UriError { offset: base, message: format!("more than {MAX_ALTERNATIVES} alternatives") });
        }
    }
    Ok(done)
}

fn tokens(pattern: &str, base: usize) -> Result<Vec<Token>, UriError> {
    let last_segment = pattern.rfind('/').map_or(0, |slash| slash + 1);
    let mut out = Vec::new();
    let mut letters = pattern.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        out.push(match letter {
            '*' => {
                let double = letters.next_if(|(_, next)| *next == '*').is_some();
                if double || at >= last_segment { Token::Across } else { Token::Within }
            }
            '?' => Token::One,
            '[' => class(&mut letters)
                .ok_or_else(|| UriError { offset: base + at, message: "'[' is never closed".to_owned() })?,
            other => Token::Literal(other),
        });
    }
    Ok(out)
}

fn class(letters: &mut std::iter::Peekable<std::str::CharIndices<'_>>) -> Option<Token> {
    let negated = letters.next_if(|(_, next)| matches!(next, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let (_, low) = letters.next()?;
        if low == ']' && !ranges.is_empty() {
            return Some(Token::Class { negated, ranges });
        }
        let mut ahead = letters.clone();
        let range_end = match (ahead.next(), ahead.next()) {
            (Some((_, '-')), Some((_, high))) if high != ']' => Some(high),
            _ => None,
        };
        match range_end {
            Some(high) => {
                letters.nth(1);
                ranges.push((low, high));
            }
            None => ranges.push((low, low)),
        }
    }
}

/// Follows all positions in the pattern at once, so that no pattern takes more than `tokens × key` steps.
fn matches_tokens(tokens: &[Token], key: &str) -> bool {
    let mut here = vec![false; tokens.len() + 1];
    here[0] = true;
    skip_stars(tokens, &mut here);
    for letter in key.chars() {
        let mut next = vec![false; tokens.len() + 1];
        for (position, token) in tokens.iter().enumerate().filter(|(position, _)| here[*position]) {
            let (stay, step) = match token {
                Token::Literal(wanted) => (false, *wanted == letter),
                Token::One => (false, letter != '/'),
                Token::Class { negated, ranges } => {
                    let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter));
                    (false, letter != '/' && inside != *negated)
                }
                Token::Within => (letter != '/', false),
                Token::Across => (true, false),
            };
            next[position] |= stay;
            next[position + 1] |= step;
        }
        skip_stars(tokens, &mut next);
        here = next;
    }
    here[tokens.len()]
}

fn skip_stars(tokens: &[Token], positions: &mut [bool]) {
    for (position, token) in tokens.iter().enumerate() {
        if positions[position] && matches!(token, Token::Within | Token::Across) {
            positions[position + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_the_table_above_match_what_it_says() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("s3://bkt", &["a", "a/b.csv"], &[]),
            ("s3://bkt/path", &["path", "path/a", "path/b/c"], &["path2", "pathology/a", "x/path"]),
            ("s3://bkt/path/", &["path/a", "path/b/c"], &["path", "path2/a"]),
            ("s3://bkt/*.csv", &["a.csv", "x/y/a.csv"], &["a.csv.gz", "a.parquet"]),
            ("s3://bkt/p/*.csv", &["p/a.csv", "p/x/y/a.csv"], &["a.csv", "q/a.csv"]),
            ("s3://bkt/*/2024/*.csv", &["a/2024/b.csv", "a/2024/x/b.csv"], &["a/b/2024/c.csv", "2024/c.csv"]),
            ("s3://bkt/**/2024/a.csv", &["x/y/2024/a.csv"], &["2024/a.csv"]),
            ("s3://bkt/day-?[0-9].csv", &["day-01.csv", "day-a9.csv"], &["day-/9.csv", "day-0x.csv"]),
            ("s3://bkt/[!a]b", &["xb"], &["ab", "/b"]),
            ("s3://bkt/{a,b}/{1,2}.csv", &["a/1.csv", "b/2.csv"], &["c/1.csv", "a/3.csv"]),
        ];
        for (uri, yes, no) in cases {
            let uri = BucketUri::parse(uri).expect("parses");
            yes.iter().for_each(|key| assert!(uri.matches(key), "{uri:?} should match {key}"));
            no.iter().for_each(|key| assert!(!uri.matches(key), "{uri:?} should not match {key}"));
            yes.iter().for_each(|key| assert!(key.starts_with(uri.literal_prefix()), "{uri:?} {key}"));
        }
    }

    #[test]
    fn what_is_no_bucket_uri_is_refused_with_the_place() {
        for (text, offset) in
            [("http://x", 0), ("s3://", 5), ("s3://b*t/x", 5), ("s3://bkt/a[b", 10), ("s3://bkt/{a", 9)]
        {
            assert_eq!(BucketUri::parse(text).expect_err(text).offset, offset, "{text}");
        }
    }

    #[test]
    fn a_hostile_pattern_is_matched_in_time_linear_in_the_key() {
        let uri = BucketUri::parse(&format!("s3://bkt/{}b", "*a".repeat(30))).expect("parses");
        assert!(!uri.matches(&"a".repeat(1024)));
    }
}
