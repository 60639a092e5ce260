//! A bucket, or the part of it below a prefix, as the patterns that policies know.
//!
//! In a policy `*` and `?` are wildcards and `${…}` is a variable, in ARNs and in conditions alike; `${*}`, `${?}` and
//! `${$}` stand for the letters. A policy consists of letters up to U+00FF: what comes behind another one in a prefix
//! cannot be said, so the pattern ends there and covers more.

use crate::uri::{BucketUri, UriError};

use super::arn::Partition;

/// A bucket, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub bucket: String,
    pub scope: Scope,
}

/// Which keys of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All.
    Whole,
    /// This very key, and everything below it as if it were a folder.
    Under(String),
    /// Everything that begins so.
    Prefix(String),
}

impl Place {
    /// What a bucket URI reaches, as far as its literal prefix says.
    pub fn of_uri(uri: &BucketUri) -> Self {
        let literal = uri.literal_prefix();
        let path =
            uri.as_str().strip_prefix("s3://").and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
        let scope = if literal.is_empty() {
            Scope::Whole
        } else if literal == path && !literal.ends_with('/') {
            Scope::Under(literal.to_owned())
        } else {
            Scope::Prefix(literal.to_owned())
        };
        Self { bucket: uri.bucket().to_owned(), scope }
    }

    /// Reads `my-bucket` or `s3://my-bucket/prefix`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(arn) = text.strip_prefix("arn:") {
            let name = arn.rsplit(':').next().unwrap_or_default().split('/').next().unwrap_or_default();
            return Err(format!("a bucket is given by its name, not by its ARN: {name}"));
        }
        if text.contains("://") && !text.starts_with("s3://") {
            return Err("a bucket is given by its name, or as s3://my-bucket/prefix".to_owned());
        }
        let (name, path) = text
            .strip_prefix("s3://")
            .unwrap_or(text)
            .split_once('/')
            .map_or_else(|| (text.strip_prefix("s3://").unwrap_or(text), ""), |(name, path)| (name, path));
        refuse_bucket_name(name).map_or(Ok(()), Err)?;
        Self::at(name, path).map_err(|error| error.message)
    }

    /// A bucket with what a prefix or pattern says.
    ///
    /// # Errors
    /// As those of [`BucketUri::parse`].
    pub fn at(bucket: &str, path: &str) -> Result<Self, UriError> {
        let uri = if path.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{path}") };
        BucketUri::parse(&uri).map(|uri| Self::of_uri(&uri))
    }

    /// As a URI.
    pub fn uri(&self) -> String {
        match &self.scope {
            Scope::Whole => format!("s3://{}", self.bucket),
            Scope::Under(path) => format!("s3://{}/{path}", self.bucket),
            Scope::Prefix(prefix) if prefix.ends_with('/') => format!("s3://{}/{prefix}", self.bucket),
            Scope::Prefix(prefix) => format!("s3://{}/{prefix}*", self.bucket),
        }
    }

    /// The literal prefix that all keys begin with.
    pub fn prefix(&self) -> &str {
        match &self.scope {
            Scope::Whole => "",
            Scope::Under(path) | Scope::Prefix(path) => path,
        }
    }

    pub(super) fn bucket_arn(&self, partition: Partition) -> String {
        format!("arn:{}:s3:::{}", partition.as_str(), self.bucket)
    }

    /// Patterns of the keys.
    pub(super) fn patterns(&self) -> Vec<String> {
        match &self.scope {
            Scope::Whole => vec!["*".to_owned()],
            Scope::Under(path) => match literal(path) {
                (said, true) => vec![said.clone(), format!("{said}/*")],
                (said, false) => vec![format!("{said}*")],
            },
            Scope::Prefix(prefix) => vec![format!("{}*", literal(prefix).0)],
        }
    }
}

/// A text as a pattern that matches it alone, and whether that could be said to its end.
fn literal(text: &str) -> (String, bool) {
    let mut said = String::new();
    for letter in text.chars() {
        match letter {
            '*' | '?' | '$' => said.extend(['$', '{', letter, '}']),
            '\u{20}'..='\u{7e}' | '\u{a0}'..='\u{ff}' => said.push(letter),
            _ => return (said, false),
        }
    }
    (said, true)
}

/// Removes patterns that another one covers, and puts the rest into order.
pub(super) fn without_covered(mut patterns: Vec<String>) -> Vec<String> {
    patterns.sort();
    patterns.dedup();
    let covers = |one: &String, other: &String| {
        one != other && one.strip_suffix('*').is_some_and(|start| other.starts_with(start))
    };
    let kept = patterns.iter().filter(|pattern| !patterns.iter().any(|other| covers(other, pattern)));
    kept.cloned().collect()
}

/// Why no bucket can have this name.
fn refuse_bucket_name(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the name of a bucket is missing".to_owned());
    }
    if let Some(letter) = name.chars().find(|letter| !(letter.is_ascii_alphanumeric() || "-._".contains(*letter))) {
        return Some(format!("{letter:?} cannot be in the name of a bucket, which has letters, digits, '-' and '.'"));
    }
    if !(3..=63).contains(&name.len()) {
        return Some(format!("the name of a bucket has 3 to 63 letters, this has {}", name.len()));
    }
    None
}
