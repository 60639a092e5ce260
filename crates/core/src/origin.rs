//! Whether a data source is still the import that the ledger knows by its name.
//!
//! An import's ledger and table go by the name of its data source. Under another name, or with another bucket, every file
//! is new: all of them would be read again, or the files of two buckets would end in one table. That may be wanted, so it
//! is possible; it must not happen because somebody renamed a file.

use std::collections::HashSet;

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
    /// Whether it has ever committed a batch.
    pub has_batches: bool,
}

/// Why a data source may not be what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It reads another bucket than before.
    OtherBucket { was: String },
    /// It is new, and reads what another one read that is no longer there.
    Renamed { from: ImportName },
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
    let names: HashSet<&ImportName> = configured.iter().map(|spec| &spec.name).collect();
    let doubt = |spec: &ImportSpec| match known.iter().find(|known| known.name == spec.name) {
        Some(known) => (known.has_batches && known.bucket != spec.uri.bucket())
            .then(|| Doubt::OtherBucket { was: known.bucket.clone() }),
        None => known
            .iter()
            .find(|gone| {
                gone.has_batches && !names.contains(&gone.name) && gone.uri.as_deref() == Some(spec.uri.as_str())
            })
            .map(|gone| Doubt::Renamed { from: gone.name.clone() }),
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
            Doubt::Renamed { from } => Failure::config(
                "import_renamed",
                format!(
                    "the data source {import} is new and reads what {from} read, which is no longer there: a renamed \
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
        let empty = || known("orders", "s3://shop/orders/*.csv", false);
        assert_eq!(judged(&[("orders", "s3://mart/orders/*.csv")], &[empty()]), [""; 0]);
        assert_eq!(judged(&[("sales", "s3://shop/orders/*.csv")], &[empty()]), [""; 0]);
        let accepted = known("sales", "s3://shop/orders/*.csv", false);
        assert_eq!(judged(&[("sales", "s3://shop/orders/*.csv")], &[orders(), accepted]), [""; 0]);
    }
}
