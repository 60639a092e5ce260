//! What a request asks for, as far as faults care.

use hyper::{HeaderMap, Method, Uri};
use url::form_urlencoded;

use crate::signing::is_sts;

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `ListObjects` and `ListObjectsV2`.
    List,
    Get,
    Head,
    /// Anything that stores: `PutObject`, and each step of a multipart upload.
    Put,
    /// `DeleteObject` and `DeleteObjects`.
    Delete,
    /// `AssumeRole` and `GetCallerIdentity`.
    Sts,
    /// Everything about buckets.
    Bucket,
}

/// A request as rules see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) operation: Operation,
    /// The key; for a listing the prefix.
    pub(crate) key: String,
    /// Path and query, by which pages of a listing are remembered.
    pub(crate) address: String,
    /// The continuation token that a listing brings.
    pub(crate) token: Option<String>,
}

impl Target {
    pub(crate) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let query: Vec<(String, String)> =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let of = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let path = uri.path().trim_start_matches('/');
        let (_, key) = path.split_once('/').unwrap_or((path, ""));
        let is_list = *method == Method::GET && key.is_empty() && !path.is_empty() && of("location").is_none();
        let operation = match *method {
            _ if is_sts(method, uri, headers) => Operation::Sts,
            Method::POST if of("delete").is_some() => Operation::Delete,
            _ if is_list => Operation::List,
            _ if key.is_empty() => Operation::Bucket,
            Method::GET => Operation::Get,
            Method::HEAD => Operation::Head,
            Method::DELETE => Operation::Delete,
            _ => Operation::Put,
        };
        let key = if is_list { of("prefix").unwrap_or_default() } else { percent_decoded(key) };
        let token = of("continuation-token").or_else(|| of("marker"));
        Self { operation, key, address: uri.to_string(), token }
    }
}

/// A key as it stands in a path, where a plus is a plus.
fn percent_decoded(path: &str) -> String {
    let as_form = format!("k={}", path.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(as_form.as_bytes()).next().map(|(_, key)| key.into_owned()).unwrap_or_default()
}

/// Whether a text is like a pattern in which `*` stands for any characters.
pub(crate) fn is_like(text: &str, pattern: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: Method, uri: &str) -> (Operation, String) {
        let target = Target::of(&method, &uri.parse().unwrap(), &HeaderMap::new());
        (target.operation, target.key)
    }

    #[test]
    fn requests_are_told_apart() {
        let cases = [
            (Method::GET, "/b/dir/a%20b+c%26.csv?x-id=GetObject", Operation::Get, "dir/a b+c&.csv"),
            (Method::GET, "/b?list-type=2&prefix=in%2F", Operation::List, "in/"),
            (Method::GET, "/b/?list-type=2", Operation::List, ""),
            (Method::GET, "/b?location", Operation::Bucket, ""),
            (Method::HEAD, "/b/k", Operation::Head, "k"),
            (Method::HEAD, "/b", Operation::Bucket, ""),
            (Method::PUT, "/b/k?partNumber=1&uploadId=u", Operation::Put, "k"),
            (Method::POST, "/b/k?uploads", Operation::Put, "k"),
            (Method::POST, "/b?delete", Operation::Delete, ""),
            (Method::DELETE, "/b/k", Operation::Delete, "k"),
            (Method::GET, "/", Operation::Bucket, ""),
        ];
        for (method, uri, operation, key) in cases {
            assert_eq!(target(method, uri), (operation, key.to_owned()), "{uri}");
        }
        let form: HeaderMap = [("content-type".parse().unwrap(), "application/x-www-form-urlencoded".parse().unwrap())]
            .into_iter()
            .collect();
        assert_eq!(Target::of(&Method::POST, &"/".parse().unwrap(), &form).operation, Operation::Sts);
    }

    #[test]
    fn patterns() {
        for (text, pattern, like) in [
            ("in/a.csv", "*", true),
            ("in/a.csv", "in/*", true),
            ("in/a.csv", "*.csv", true),
            ("in/a.csv", "in/a.csv", true),
            ("in/a.csv", "in/a", false),
            ("in/a.csv", "*a*s*", true),
            ("in/a.csv", "*s*a*", false),
            ("ab", "ab*b", false),
            ("", "", true),
        ] {
            assert_eq!(is_like(text, pattern), like, "{text} {pattern}");
        }
    }
}
