//! Whether a data source is still the import that the ledger knows by its name.
//!
//! An import's ledger and table go by the name of its data source. Under another name, or with another bucket, every file
//! is new: all of them would be read again, or the files of two buckets would end in one table. That may be wanted, so it
//! is possible; it must not happen because somebody renamed a file.

use std::collections::HashMap;

use crate::error::Failure;
use crate::ids::ImportName;
use crate::spec::ImportSpec;

/// What the ledger knows of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub name: ImportName,
    pub bucket: String,
    /// `None` if it was last run by a program that did not keep it.
    pub uri: Option<String>,
    /// Whether its table has, or is about to have, rows of files.
    pub has_batches: bool,
}

/// Why a data source may not be what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It reads another bucket than before.
    OtherBucket { was: String },
    /// It reads what another one read, which now reads something else or is no longer there. `known`: it is not new
    /// itself, so the two may have changed places.
    Renamed { from: ImportName, known: bool },
}

/// A data source that is not let in until somebody says that it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubtful {
    pub import: ImportName,
    /// What it reads now.
    pub bucket: String,
    pub doubt: Doubt,
}

/// The data sources that are in doubt, in the order of the configuration. An import without any committed batch has
/// nothing to lose.
pub fn doubts(configured: &[ImportSpec], known: &[Known]) -> Vec<Doubtful> {
    let reads: HashMap<&ImportName, &str> = configured.iter().map(|spec| (&spec.name, spec.uri.as_str())).collect();
    // Whoever left what this one reads now, by another name.
    let left_by = |spec: &ImportSpec| {
        let uri = spec.uri.as_str();
        let left = |other: &&Known| {
            other.has_batches
                && other.name != spec.name
                && other.uri.as_deref() == Some(uri)
                && reads.get(&other.name) != Some(&uri)
        };
        known.iter().find(left).map(|other| other.name.clone())
    };
    let doubt = |spec: &ImportSpec| {
        let own = known.iter().find(|known| known.name == spec.name);
        if let Some(own) = own.filter(|own| own.has_batches && own.bucket != spec.uri.bucket()) {
            return Some(Doubt::OtherBucket { was: own.bucket.clone() });
        }
        // One that reads what it was accepted to read has no other's files, whoever else left them.
        let moved = own.is_none_or(|own| own.uri.as_deref().is_some_and(|uri| uri != spec.uri.as_str()));
        let from = moved.then(|| left_by(spec)).flatten()?;
        Some(Doubt::Renamed { from, known: own.is_some_and(|own| own.has_batches) })
    };
    let doubtful = |spec: &ImportSpec| {
        let bucket = spec.uri.bucket().to_owned();
        doubt(spec).map(|doubt| Doubtful { import: spec.name.clone(), bucket, doubt })
    };
    configured.iter().filter_map(doubtful).collect()
}

impl Doubtful {
    /// What is doubtful, and the command that settles it.
    pub fn failure(&self) -> Failure {
        let Self { import, bucket, doubt } = self;
        match doubt {
            Doubt::OtherBucket { was } => Failure::config(
                "bucket_changed",
                format!(
                    "the data source {import} reads s3://{bucket} now, and s3://{was} before: every file there would \
                     be new, and its rows would join those of the other bucket in one table; if that is meant: \
                     s3-connector push --accept {import}; else write the old bucket again, or give the new one a data \
                     source of its own"
                ),
            ),
            Doubt::Renamed { from, known: true } => Failure::config(
                "import_renamed",
                format!(
                    "the data source {import} reads now what {from} read, which reads it no longer: if their files changed \
                     names, every file would be read again, into the table of the other one; if that is meant: \
                     s3-connector push --accept {import}; else give the files their names back"
                ),
            ),
            Doubt::Renamed { from, known: false } => Failure::config(
                "import_renamed",
                format!(
                    "the data source {import} is new and reads what {from} read, which reads it no longer: a renamed \
                     data source has a table of its own, into which every file would be read again; if that is meant: \
                     s3-connector push --accept {import}; else name its file {from}.datasource again"
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::import_reading;

    fn known(name: &str, uri: &str, has_batches: bool) -> Known {
        let bucket = uri.trim_start_matches("s3://").split('/').next().unwrap_or_default().to_owned();
        Known { name: ImportName::new(name), bucket, uri: Some(uri.to_owned()), has_batches }
    }

    fn judged(configured: &[(&str, &str)], known: &[Known]) -> Vec<&'static str> {
        let configured: Vec<ImportSpec> = configured.iter().map(|(name, uri)| import_reading(name, uri)).collect();
        doubts(&configured, known).iter().map(|doubtful| doubtful.failure().code).collect()
    }

    #[test]
    fn another_bucket_or_another_name_is_doubted_if_rows_are_at_stake() {
        let orders = || known("orders", "s3://shop/orders/*.csv", true);
        assert_eq!(judged(&[("orders", "s3://shop/orders/*.csv")], &[orders()]), [""; 0]);
        assert_eq!(judged(&[("orders", "s3://shop/other/*.csv")], &[orders()]), [""; 0], "another path is an edit");
        assert_eq!(judged(&[("orders", "s3://mart/orders/*.csv")], &[orders()]), ["bucket_changed"]);
        assert_eq!(judged(&[("sales", "s3://shop/orders/*.csv")], &[orders()]), ["import_renamed"]);
        assert_eq!(judged(&[("sales", "s3://shop/sales/*.csv")], &[orders()]), [""; 0], "something else");
        let both = [("orders", "s3://shop/orders/*.csv"), ("sales", "s3://shop/orders/*.csv")];
        assert_eq!(judged(&both, &[orders()]), [""; 0], "a second table of the same files is meant");
        let moved_on = [("orders", "s3://shop/new/*.csv"), ("sales", "s3://shop/orders/*.csv")];
        assert_eq!(judged(&moved_on, &[orders()]), ["import_renamed"], "another one has taken the name");
        let empty = || known("orders", "s3://shop/orders/*.csv", false);
        assert_eq!(judged(&[("orders", "s3://mart/orders/*.csv")], &[empty()]), [""; 0]);
        assert_eq!(judged(&[("sales", "s3://shop/orders/*.csv")], &[empty()]), [""; 0]);
        let accepted = known("sales", "s3://shop/orders/*.csv", false);
        assert_eq!(judged(&[("sales", "s3://shop/orders/*.csv")], &[orders(), accepted]), [""; 0]);
    }

    /// Names that were exchanged: each of the two would read all files of the other into its own table.
    #[test]
    fn names_that_changed_places_are_doubted() {
        let clicks = || known("clicks", "s3://shop/clicks/*.csv", true);
        let orders = || known("orders", "s3://shop/orders/*.csv", true);
        let swapped = [("clicks", "s3://shop/orders/*.csv"), ("orders", "s3://shop/clicks/*.csv")];
        assert_eq!(judged(&swapped, &[clicks(), orders()]), ["import_renamed"; 2]);
        let over = [("orders", "s3://shop/clicks/*.csv")];
        assert_eq!(judged(&over, &[clicks(), orders()]), ["import_renamed"], "one has taken the place of the other");
        let accepted = [known("clicks", swapped[0].1, true), known("orders", swapped[1].1, true)];
        assert_eq!(judged(&swapped, &accepted), [""; 0]);
        let both = [("clicks", "s3://shop/orders/*.csv"), ("orders", "s3://shop/orders/*.csv")];
        assert_eq!(judged(&both, &[clicks(), orders()]), [""; 0], "a second table of the same files is meant");
        let old = Known { uri: None, ..orders() };
        assert_eq!(judged(&swapped[1..], &[clicks(), old]), [""; 0], "nobody knows what it read");
    }
}
