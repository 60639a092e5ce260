//! Bucket names by the rules of S3 for general purpose buckets. Aliases of access points, which stand where a bucket name
//! may stand, keep to the same rules.

use std::net::Ipv4Addr;

use super::UriError;

const MIN: usize = 3;
const MAX: usize = 63;
/// Names that S3 gives to no bucket begin so.
const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
/// What ends so is another kind of thing, with an API of its own.
const OTHER_KINDS: [(&str, &str); 3] =
    [("--x-s3", "a directory bucket"), ("--table-s3", "a table bucket"), (".mrap", "a multi-region access point")];

/// # Errors
/// If S3 has no bucket of this name, with the place of what is wrong.
pub(super) fn check(name: &str) -> Result<(), UriError> {
    let fail = |offset, message: String| Err(UriError::new(offset, message));
    if name.is_empty() {
        return fail(0, "the bucket is missing: write s3://BUCKET or s3://BUCKET/path/*.csv".to_owned());
    }
    if let Some((offset, letter)) = name.char_indices().find(|(_, letter)| !is_allowed(*letter)) {
        return fail(offset, forbidden(letter));
    }
    if !(MIN..=MAX).contains(&name.len()) {
        let length = name.len();
        return fail(0, format!("the bucket name has {length} characters; S3 allows {MIN} to {MAX}"));
    }
    let is_end = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    if !name.starts_with(is_end) {
        return fail(0, "a bucket name begins with a letter or a digit".to_owned());
    }
    if !name.ends_with(is_end) {
        return fail(name.len() - 1, "a bucket name ends with a letter or a digit".to_owned());
    }
    if let Some(offset) = name.find("..") {
        return fail(offset, "a bucket name has no two dots in a row".to_owned());
    }
    if name.parse::<Ipv4Addr>().is_ok() {
        return fail(0, "a bucket name is not spelled like an IP address".to_owned());
    }
    if let Some(prefix) = RESERVED_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
        return fail(0, format!("no bucket name begins with '{prefix}': S3 reserves it"));
    }
    match OTHER_KINDS.iter().find(|(suffix, _)| name.ends_with(suffix)) {
        Some((suffix, kind)) => fail(
            name.len() - suffix.len(),
            format!("a name that ends in '{suffix}' is {kind}; only general purpose buckets are read"),
        ),
        None => Ok(()),
    }
}

fn is_allowed(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '.')
}

fn forbidden(letter: char) -> String {
    match letter {
        'A'..='Z' => "a bucket name has no capitals".to_owned(),
        '*' | '?' | '[' | '{' => {
            "the bucket has to be named: wildcards may stand behind it, as in s3://BUCKET/path/*.csv".to_owned()
        }
        _ => format!("a bucket name has no {letter:?}: it is made of small letters, digits, '-' and '.'"),
    }
}
