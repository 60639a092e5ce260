//! One page of a listing.
//!
//! A page begins after a cursor that names the last key or common prefix of the page before, so what appears or
//! vanishes in between never makes another key come twice or not at all.

use s3s::{S3Result, s3_error};

use crate::etag::Hashed;
use crate::folder::Folder;
use crate::text::{hex, unhex};
use crate::walk::{Bound, Walk};

/// What S3 returns at most in one page.
pub(crate) const LARGEST_PAGE: usize = 1000;

/// What to list.
pub(crate) struct Query {
    pub(crate) prefix: String,
    /// Keys that share everything up to the first delimiter after the prefix are shown as one common prefix.
    pub(crate) delimiter: Option<String>,
    pub(crate) from: Bound,
    pub(crate) max_keys: usize,
}

/// One line of a page.
pub(crate) enum Item {
    Object { key: String, hashed: Hashed },
    CommonPrefix(String),
}

/// A page, and where the next one begins if there is more.
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    pub(crate) next: Option<Bound>,
}

impl Query {
    /// The common prefix of a key, if the delimiter gives it one.
    pub(crate) fn group<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter.as_deref()?;
        let rest = key.strip_prefix(self.prefix.as_str())?;
        let end = self.prefix.len() + rest.find(delimiter)? + delimiter.len();
        Some(&key[..end])
    }
}

/// Reads one page. Blocks: hashes the files that are not known yet. A file that is being written is left out, as an
/// upload to S3 that is not finished would be.
pub(crate) fn page(folder: &Folder, bucket: &str, query: &Query) -> S3Result<Page> {
    let dir = folder.bucket(bucket)?;
    let mut items: Vec<Item> = Vec::new();
    if query.max_keys == 0 {
        return Ok(Page { items, next: None });
    }
    let failed = |error| s3_error!(error, InternalError, "devcloud cannot list bucket {bucket}");
    let mut walk = Walk::new(&dir, &query.prefix, query.from.clone()).map_err(failed)?;
    while let Some(key) = walk.next_key().map_err(failed)? {
        if items.len() == query.max_keys {
            let next = items.last().map(|item| match item {
                Item::Object { key, .. } => Bound::After(key.clone()),
                Item::CommonPrefix(group) => Bound::Past(group.clone()),
            });
            return Ok(Page { items, next });
        }
        if let Some(group) = query.group(&key) {
            walk.skip_past(group);
            items.push(Item::CommonPrefix(group.to_owned()));
        } else if let Some(hashed) = folder.stat(bucket, &key)? {
            items.push(Item::Object { key, hashed });
        }
    }
    Ok(Page { items, next: None })
}

/// A continuation token: opaque to clients.
pub(crate) fn token(next: &Bound) -> Option<String> {
    match next {
        Bound::Start => None,
        Bound::After(key) => Some(format!("1k{}", hex(key.as_bytes()))),
        Bound::Past(group) => Some(format!("1p{}", hex(group.as_bytes()))),
    }
}

/// The bound that [`token`] wrote.
pub(crate) fn from_token(token: &str) -> S3Result<Bound> {
    let text = |coded: &str| unhex(coded).and_then(|bytes| String::from_utf8(bytes).ok());
    let bound = match token.split_at_checked(2) {
        Some(("1k", coded)) => text(coded).map(Bound::After),
        Some(("1p", coded)) => text(coded).map(Bound::Past),
        _ => None,
    };
    bound.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_others_are_refused() {
        for bound in [Bound::After("a b/ü\n".into()), Bound::Past("x/".into()), Bound::After(String::new())] {
            assert_eq!(from_token(&token(&bound).unwrap()).unwrap(), bound);
        }
        for token in ["", "1", "1k0", "1kzz", "2k00", "1kff", "ü"] {
            assert!(from_token(token).is_err(), "{token:?}");
        }
    }

    #[test]
    fn groups_end_with_the_first_delimiter_after_the_prefix() {
        let query = |prefix: &str, delimiter: &str| Query {
            prefix: prefix.into(),
            delimiter: Some(delimiter.into()),
            from: Bound::Start,
            max_keys: 1,
        };
        assert_eq!(query("a/", "/").group("a/b/c"), Some("a/b/"));
        assert_eq!(query("a/", "/").group("a/b"), None);
        assert_eq!(query("", "=1").group("y=12/x"), Some("y=1"));
        assert_eq!(query("é", "ü").group("éüü"), Some("éü"));
    }
}
