//! What a user configured, after all files are read, checked and resolved.

use std::time::Duration;

use jiff::Timestamp;

use crate::csv::CsvSettings;
use crate::evolve::EvolutionRules;
use crate::expr::Expr;
use crate::guard::GuardLimits;
use crate::ids::ImportName;
use crate::ports::MaintenanceRules;
use crate::schema::Column;
use crate::secret::Secret;
use crate::uri::{BucketUri, KeyPattern};

pub use crate::schedule::Schedule;

/// How to reach S3: a `.connection` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSpec {
    pub name: String,
    /// Such as `eu-west-1`.
    pub region: String,
    pub access: Access,
    /// An S3-compatible endpoint; `None` means AWS.
    pub endpoint: Option<String>,
    /// An STS endpoint; `None` means AWS. Set by `[aws] sts_endpoint` of the TOML file.
    pub sts_endpoint: Option<String>,
    pub path_style: bool,
    pub requester_pays: bool,
    /// The account that every bucket reached through this connection has to belong to: 12 digits. Sent with every
    /// request; S3 refuses those for a bucket that changed hands. `None` takes any.
    pub expected_owner: Option<String>,
}

/// Whose credentials read the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// `sts:AssumeRole`; S3 is then reached only with the role's credentials.
    Role {
        arn: String,
        external_id: String,
        caller: Caller,
    },
    Static(StaticKeys),
    DefaultChain,
    Anonymous,
}

/// Who calls `sts:AssumeRole`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// `[aws]` of the TOML file.
    Static(StaticKeys),
    DefaultChain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticKeys {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub session_token: Option<Secret>,
}

/// What becomes of a new version of a key that was ingested before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverwritePolicy {
    /// Not read; counted and shown.
    #[default]
    Ignore,
    /// Its rows are added to those of the earlier version.
    Append,
}

impl OverwritePolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Append => "append",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Csv,
    Ndjson,
    Parquet,
}

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
        }
    }

    /// Whether records are lines of text, which may be compressed.
    pub fn is_text(self) -> bool {
        self != Self::Parquet
    }

    /// The format that a key's suffix names, without regard to a suffix of compression behind it.
    pub fn of_key(key: &str) -> Option<Self> {
        let key = key.to_ascii_lowercase();
        let stem = [".gz", ".gzip", ".zst", ".zstd"].iter().find_map(|suffix| key.strip_suffix(suffix)).unwrap_or(&key);
        let ends_with = |suffixes: &[&str]| suffixes.iter().any(|suffix| stem.ends_with(suffix));
        // Whether a tab or something else is the delimiter is found out, whatever the suffix says.
        if ends_with(&[".csv", ".tsv", ".tab"]) {
            Some(Self::Csv)
        } else if ends_with(&[".ndjson", ".jsonl", ".json"]) {
            Some(Self::Ndjson)
        } else if ends_with(&[".parquet", ".pq"]) && stem.len() == key.len() {
            Some(Self::Parquet)
        } else {
            None
        }
    }
}

/// One import: a data source that reads through a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportSpec {
    pub name: ImportName,
    pub connection: ConnectionSpec,
    pub uri: BucketUri,
    /// `IMPORT_EXCLUDE`: keys that are not considered, though the URI matches them.
    pub exclude: Vec<KeyPattern>,
    pub schedule: Schedule,
    /// `IMPORT_FORMAT`, else the URI's suffix; `None` leaves it to each key's suffix.
    pub format: Option<Format>,
    /// Objects last modified before this are not considered.
    pub from_timestamp: Option<Timestamp>,
    /// Files per tick in `@auto`.
    pub max_files: u32,
    /// The declared columns; `None` means that the reference file decides.
    pub columns: Option<Vec<Column>>,
    /// `ENGINE_PARTITION_KEY`: a column.
    pub partition: Option<String>,
    /// `ENGINE_TTL`: data files whose rows have all expired are removed.
    pub ttl: Option<Expr>,
    pub evolution: EvolutionRules,
    pub csv: CsvSettings,
    pub guard: GuardLimits,
    /// `IMPORT_ON_OVERWRITE`.
    pub overwrite: OverwritePolicy,
    pub maintenance: MaintenanceRules,
    pub tick: Duration,
}

impl ImportSpec {
    /// The format of one key: configured, else by its suffix.
    pub fn format_of(&self, key: &str) -> Option<Format> {
        self.format.or_else(|| Format::of_key(key))
    }

    /// Whether the configuration lets this object in. What it keeps out is counted, never stored.
    pub fn selects(&self, key: &str, last_modified: Timestamp) -> bool {
        self.uri.matches(key)
            && self.excluded_by(key).is_none()
            && self.from_timestamp.is_none_or(|from| last_modified >= from)
    }

    /// The pattern of `IMPORT_EXCLUDE` that keeps a key out.
    pub fn excluded_by(&self, key: &str) -> Option<&KeyPattern> {
        self.exclude.iter().find(|pattern| pattern.matches(key))
    }
}

/// Files per tick unless configured otherwise.
pub const DEFAULT_FILES_PER_TICK: u32 = 5;
/// The period of `@auto`.
pub const DEFAULT_TICK: Duration = Duration::from_secs(60);

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An import of public files that is configured in nothing else.
    pub(crate) fn import_reading(name: &str, uri: &str) -> ImportSpec {
        ImportSpec {
            name: ImportName::new(name),
            connection: ConnectionSpec {
                name: "public".to_owned(),
                region: "us-east-1".to_owned(),
                access: Access::Anonymous,
                endpoint: None,
                sts_endpoint: None,
                path_style: false,
                requester_pays: false,
                expected_owner: None,
            },
            uri: BucketUri::parse(uri).expect("a URI"),
            exclude: Vec::new(),
            schedule: Schedule::Auto,
            format: None,
            from_timestamp: None,
            max_files: DEFAULT_FILES_PER_TICK,
            columns: None,
            partition: None,
            ttl: None,
            evolution: EvolutionRules::default(),
            csv: CsvSettings::default(),
            guard: GuardLimits::default(),
            overwrite: OverwritePolicy::default(),
            maintenance: MaintenanceRules::default(),
            tick: DEFAULT_TICK,
        }
    }

    #[test]
    fn a_suffix_names_the_format_whatever_compression_stands_behind_it() {
        let cases = [
            ("a/b.csv", Some(Format::Csv)),
            ("a.TSV", Some(Format::Csv)),
            ("a.tab", Some(Format::Csv)),
            ("a.tsv.gz", Some(Format::Csv)),
            ("a.jsonl.zst", Some(Format::Ndjson)),
            ("a.pq", Some(Format::Parquet)),
            ("a.parquet.gz", None),
            ("tab", None),
            ("a.txt", None),
        ];
        for (key, format) in cases {
            assert_eq!(Format::of_key(key), format, "{key}");
        }
    }
}
