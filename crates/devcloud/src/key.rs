//! Which keys can be files.
//!
//! S3 takes any text as a key; a folder does not. What cannot be stored faithfully is refused on PUT and does not
//! exist on GET, so that no key ever names something outside its bucket and no two keys share a file.

use std::path::PathBuf;

use s3s::{S3Error, S3ErrorCode};

/// How the names of devcloud's own temporary files begin. They are never objects.
pub(crate) const TEMPORARY_PREFIX: &str = ".devcloud-";

/// What common file systems allow for one file name, in bytes.
const LONGEST_SEGMENT: usize = 255;

/// What S3 allows for a key, in bytes.
pub(crate) const LONGEST_KEY: usize = 1024;

/// Why a key cannot be a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyProblem {
    #[error("it holds a NUL character")]
    Nul,
    #[error("it has an empty segment (it begins or ends with '/', or holds '//')")]
    EmptySegment,
    #[error("it has the segment '{0}'")]
    DotSegment(&'static str),
    #[error("a segment of it has {0} bytes and a file name at most {LONGEST_SEGMENT}")]
    SegmentTooLong(usize),
    #[error("it has {0} bytes and a key at most {LONGEST_KEY}")]
    KeyTooLong(usize),
    #[error("a segment of it begins with '{TEMPORARY_PREFIX}', which marks devcloud's temporary files")]
    Temporary,
}

impl KeyProblem {
    /// The S3 error for a PUT of such a key.
    pub(crate) fn refuse(&self, bucket: &str, key: &str) -> S3Error {
        let code = match self {
            Self::SegmentTooLong(_) | Self::KeyTooLong(_) => S3ErrorCode::KeyTooLongError,
            _ => S3ErrorCode::InvalidArgument,
        };
        S3Error::with_message(
            code,
            format!("devcloud keeps objects as files and cannot store the key {key:?} in bucket {bucket}: {self}"),
        )
    }
}

/// The path of a key below its bucket's folder. Never leaves that folder.
pub(crate) fn relative_path(key: &str) -> Result<PathBuf, KeyProblem> {
    if key.len() > LONGEST_KEY {
        return Err(KeyProblem::KeyTooLong(key.len()));
    }
    let mut path = PathBuf::new();
    for segment in key.split('/') {
        check_segment(segment)?;
        path.push(segment);
    }
    Ok(path)
}

fn check_segment(segment: &str) -> Result<(), KeyProblem> {
    match segment {
        "" => return Err(KeyProblem::EmptySegment),
        "." => return Err(KeyProblem::DotSegment(".")),
        ".." => return Err(KeyProblem::DotSegment("..")),
        _ => {}
    }
    if segment.contains('\0') {
        Err(KeyProblem::Nul)
    } else if segment.len() > LONGEST_SEGMENT {
        Err(KeyProblem::SegmentTooLong(segment.len()))
    } else if segment.starts_with(TEMPORARY_PREFIX) {
        Err(KeyProblem::Temporary)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_files() {
        let long = format!("{0}/{0}/{0}/{1}", "s".repeat(255), "t".repeat(256 - 1));
        assert_eq!(long.len(), 1023);
        for key in
            ["a", "a/b.csv", " ", "a b+c%20", "ü/Δ.csv", "new\nline", "...", "..a", "a..", ".hidden", "\\..\\x", &long]
        {
            assert_eq!(relative_path(key).unwrap().to_str(), Some(key));
        }
    }

    #[test]
    fn keys_that_are_not() {
        let cases = [
            ("/a", KeyProblem::EmptySegment),
            ("a/", KeyProblem::EmptySegment),
            ("a//b", KeyProblem::EmptySegment),
            ("", KeyProblem::EmptySegment),
            ("..", KeyProblem::DotSegment("..")),
            ("a/../b", KeyProblem::DotSegment("..")),
            ("a/.", KeyProblem::DotSegment(".")),
            ("a\0b", KeyProblem::Nul),
            ("x/.devcloud-1", KeyProblem::Temporary),
        ];
        for (key, problem) in cases {
            assert_eq!(relative_path(key), Err(problem), "{key:?}");
        }
        assert_eq!(relative_path(&"s".repeat(256)), Err(KeyProblem::SegmentTooLong(256)));
        assert_eq!(relative_path(&"s/".repeat(513)), Err(KeyProblem::KeyTooLong(1026)));
    }
}
