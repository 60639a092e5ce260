//! `[destination]` of the settings: a folder of this machine, or a prefix of a bucket with the connection whose role
//! writes there.

use std::path::PathBuf;

use connector_core::spec::{Access, ConnectionSpec, ImportSpec};
use connector_core::uri::BucketUri;
use connector_datafile::suggest::nearest;
use connector_datafile::{Diagnostic, SourceFile};

use super::toml::{Fault, Given, Origin, Reader};

/// A bucket that tables are written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketDestination {
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
    /// The name of the connection.
    pub connection: String,
    /// For diagnostics: where the two keys were set.
    shown: SourceFile,
    uri_origin: Origin,
    connection_origin: Origin,
}

/// What `destination.uri` says.
enum Place {
    Folder(PathBuf),
    Bucket { bucket: String, prefix: String },
}

/// `[destination]`.
pub(super) struct Destination {
    /// As it was given, with the place where.
    pub(super) folder: Option<(PathBuf, Origin)>,
    pub(super) bucket: Option<BucketDestination>,
}

/// Reads `[destination]`.
pub(super) fn read(reader: &mut Reader<'_>) -> Destination {
    let uri = reader.read("destination", "uri", place);
    let given = reader.given("destination", "connection").is_some();
    let connection = reader.read("destination", "connection", name);
    let (place, uri_origin) = match uri {
        Some((Place::Bucket { bucket, prefix }, origin)) => ((bucket, prefix), origin),
        other => {
            // If the URI is bad, that is problem enough.
            if let (Some((_, origin)), false) =
                (&connection, other.is_none() && reader.given("destination", "uri").is_some())
            {
                let message = "only tables on S3 are written through a connection";
                let hint = "set destination.uri to such as \"s3://my-bucket/tables\", or remove this line";
                reader.refuse("destination", "connection", origin, Fault::new("needless_connection", message, hint));
            }
            let folder = other.and_then(|(place, origin)| match place {
                Place::Folder(folder) => Some((folder, origin)),
                Place::Bucket { .. } => None,
            });
            return Destination { folder, bucket: None };
        }
    };
    let Some((connection, connection_origin)) = connection else {
        if !given {
            let message = "tables on S3 need a connection, whose role writes them";
            let hint = "add a line such as: connection = \"writer\", the name of a file in connections/";
            reader.refuse("destination", "uri", &uri_origin, Fault::new("missing_connection", message, hint));
        }
        return Destination { folder: None, bucket: None };
    };
    let ((bucket, prefix), shown) = (place, reader.shown.clone());
    let bucket = BucketDestination { bucket, prefix, connection, shown, uri_origin, connection_origin };
    Destination { folder: None, bucket: Some(bucket) }
}

fn text(given: &Given) -> Result<&str, Fault> {
    match given {
        Given::Text(text) | Given::Variable(text) => Ok(text),
        _ => Err(Fault::wrong_type("a string", given, "\"data/tables\" or \"s3://my-bucket/tables\"")),
    }
}

fn place(given: &Given) -> Result<Place, Fault> {
    let text = text(given)?;
    let bad = |message: String| {
        Fault::new("bad_destination", message, "such as \"data/tables\" or \"s3://my-bucket/tables\"")
    };
    if text.trim().is_empty() {
        return Err(Fault::new("bad_path", "the path is empty", "such as \"data/tables\""));
    }
    if text.to_ascii_lowercase().starts_with("s3://") {
        return bucket(text).map_err(bad);
    }
    match text.strip_prefix("file://") {
        Some(path) if path.starts_with('/') => Ok(Place::Folder(PathBuf::from(path))),
        None if !text.contains("://") => Ok(Place::Folder(PathBuf::from(text))),
        _ => Err(bad(format!("'{text}' is neither a folder on this machine nor a prefix of a bucket"))),
    }
}

fn bucket(text: &str) -> Result<Place, String> {
    let text = text.trim_end_matches('/');
    let uri = BucketUri::parse(text).map_err(|error| format!("'{text}': {error}"))?;
    let rest = text.get("s3://".len()..).unwrap_or_default();
    let prefix = rest.split_once('/').map_or("", |(_, prefix)| prefix);
    if prefix.contains(['*', '?', '[', ']', '{', '}']) {
        return Err(format!("'{text}' has a wildcard, and tables have one place"));
    }
    if prefix.contains(['%', '\\', '#']) || prefix.contains(char::is_control) {
        return Err(format!("'{}' has a character that the table library misreads", text.escape_debug()));
    }
    if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("'{text}' has an empty part, '.' or '..'"));
    }
    Ok(Place::Bucket { bucket: uri.bucket().to_owned(), prefix: prefix.to_owned() })
}

fn name(given: &Given) -> Result<String, Fault> {
    let text = text(given)?;
    if text.is_empty() || !text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        let message = format!("'{}' is not the name of a connection", text.escape_debug());
        return Err(Fault::new("bad_name", message, "the name of a file in connections/, such as \"writer\""));
    }
    Ok(text.to_owned())
}

impl BucketDestination {
    /// `s3://bucket/prefix`.
    pub fn uri(&self) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("s3://{}{slash}{}", self.bucket, self.prefix)
    }

    /// A problem with the connection that was named.
    pub(super) fn unknown_connection(&self, known: &[&str]) -> Diagnostic {
        let hint = match nearest(&self.connection, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None if known.is_empty() => format!("create the file connections/{}.connection", self.connection),
            None => format!("connections are {}", known.join(", ")),
        };
        let message = format!("there is no connection '{}'", self.connection);
        self.problem("unknown_connection", "connection", &self.connection_origin, &message).hint(hint)
    }

    /// What keeps tables from being written there through this connection, beside these imports.
    pub(super) fn check(&self, through: &ConnectionSpec, imports: &[ImportSpec]) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        if through.access == Access::Anonymous {
            let message = format!("the connection '{}' is anonymous, and nobody may write so", self.connection);
            let problem = self.problem("anonymous_destination", "connection", &self.connection_origin, &message);
            found.push(problem.hint("name a connection with a role or with keys"));
        }
        // Buckets of the same name at different endpoints are different buckets.
        let here =
            |import: &&ImportSpec| import.uri.bucket() == self.bucket && import.connection.endpoint == through.endpoint;
        for import in imports.iter().filter(here).filter(|import| overlaps(&self.prefix, &import.uri)) {
            let (name, uri) = (&import.name, import.uri.as_str());
            let message = format!("{} and {uri}, which the data source {name} watches, overlap", self.uri());
            let problem = self.problem("destination_watched", "uri", &self.uri_origin, &message);
            found.push(
                problem.hint("tables must not become source files: use another bucket, or a prefix of their own"),
            );
        }
        found
    }

    fn problem(&self, code: &'static str, key: &str, origin: &Origin, message: &str) -> Diagnostic {
        match origin {
            Origin::File(span) => {
                Diagnostic::error(code, format!("destination.{key}: {message}")).at(&self.shown, *span)
            }
            Origin::Variable(name) => Diagnostic::error(code, format!("the environment variable {name}: {message}")),
        }
    }
}

/// Whether a key below `prefix` may be one that the URI watches, or the other way round. Going by the literal part of
/// the URI alone: a pattern that lets no table file in today may do so after an edit.
fn overlaps(prefix: &str, watched: &BucketUri) -> bool {
    let tables = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let literal = watched.literal_prefix();
    let is_pattern = watched.as_str().contains(['*', '?', '[', '{']);
    // Without a wildcard, `path` is that key and what lies under `path/`.
    let watched = if is_pattern || literal.is_empty() || literal.ends_with('/') {
        literal.to_owned()
    } else {
        format!("{literal}/")
    };
    tables.starts_with(&watched) || watched.starts_with(&tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_watched_keys_may_not_meet() {
        let cases = [
            ("tables", "s3://bkt", true),
            ("tables", "s3://bkt/tables", true),
            ("tables", "s3://bkt/tables/orders/*.csv", true),
            ("tables/deep", "s3://bkt/tables/", true),
            ("tables", "s3://bkt/*.csv", true),
            ("tables", "s3://bkt/tab*.csv", true),
            ("", "s3://bkt/in/*.csv", true),
            ("tables", "s3://bkt/in/*.csv", false),
            ("tables", "s3://bkt/table", false),
            ("table", "s3://bkt/tables", false),
            ("table", "s3://bkt/tables/*.csv", false),
            ("in/tables", "s3://bkt/in/orders/*.csv", false),
        ];
        for (prefix, uri, expected) in cases {
            let watched = BucketUri::parse(uri).expect("a URI");
            assert_eq!(overlaps(prefix, &watched), expected, "{prefix} and {uri}");
        }
    }
}
