//! Which rows a data file holds, by their provenance: object version and ordinal.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use connector_core::ids::ObjectVersionId;
use connector_core::ports::{RowIds, StagedFile};
use connector_core::revision::RowDigest;

use crate::error::DeltaError;
use crate::kernel::Kernel;
use crate::partition;
use crate::scan::FileRows;

/// A row without an identity (another program wrote it) counts as one of this version.
const NOBODYS: ObjectVersionId = ObjectVersionId([0; 16]);

/// The columns that name a row; with the key of its object if `key`.
pub(crate) fn schema(key: bool) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let mut fields = vec![text("_s3_version"), Field::new("_s3_row", DataType::Int64, true)];
    if key {
        fields.push(text("_s3_key"));
    }
    Arc::new(Schema::new(fields))
}

/// The rows of data files, by object version, ascending.
///
/// # Errors
/// `DamagedFile` for one that cannot be read or holds rows without identity.
pub(crate) fn row_ids(kernel: &Kernel, files: &[StagedFile]) -> Result<RowIds, DeltaError> {
    let schema = schema(false);
    let mut found: RowIds = BTreeMap::new();
    for file in files {
        let mut rows = FileRows::open_path(kernel, &partition::log_path(&file.path), &schema)?;
        while let Some(batch) = rows.next(&schema)? {
            for id in Identities::of(&batch)? {
                let Some((version, row)) = id else {
                    let why = "it has rows without provenance".to_owned();
                    return Err(DeltaError::DamagedFile { path: Path::new(&file.path).to_owned(), why });
                };
                found.entry(version).or_default().push(row);
            }
        }
    }
    found.values_mut().for_each(|rows| rows.sort_unstable());
    Ok(found)
}

/// How many rows there are, and the sum of their fingerprints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) digest: RowDigest,
}

impl Tally {
    /// Counts one row in.
    pub(crate) fn add(&mut self, id: Option<(ObjectVersionId, u64)>) {
        let (version, row) = id.unwrap_or((NOBODYS, 0));
        self.rows += 1;
        self.digest += RowDigest::of_row(version, row);
    }

    /// Of the rows that a data file holds, read back.
    pub(crate) fn of_file(kernel: &Kernel, log_path: &str) -> Result<Self, DeltaError> {
        let schema = schema(false);
        let mut tally = Self::default();
        let mut rows = FileRows::open_path(kernel, log_path, &schema)?;
        while let Some(batch) = rows.next(&schema)? {
            Identities::of(&batch)?.for_each(|id| tally.add(id));
        }
        Ok(tally)
    }
}

/// The identities of a batch's rows in order; `None` for a row that has none.
pub(crate) struct Identities<'a> {
    versions: &'a StringArray,
    rows: &'a Int64Array,
    at: usize,
    /// Rows of one version stand together, so that its text is read once.
    last: Option<(&'a str, Option<ObjectVersionId>)>,
}

impl<'a> Identities<'a> {
    pub(crate) fn of(batch: &'a RecordBatch) -> Result<Self, DeltaError> {
        let column = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| DeltaError::Internal(format!("'{name}' was not read")))
        };
        let typed = || DeltaError::Internal("a provenance column was read with another type".to_owned());
        Ok(Self {
            versions: column("_s3_version")?.as_string_opt().ok_or_else(typed)?,
            rows: column("_s3_row")?.as_primitive_opt::<Int64Type>().ok_or_else(typed)?,
            at: 0,
            last: None,
        })
    }

    fn version(&mut self, at: usize) -> Option<ObjectVersionId> {
        if self.versions.is_null(at) {
            return None;
        }
        let text = self.versions.value(at);
        match self.last {
            Some((last, version)) if last == text => version,
            _ => {
                let version = ObjectVersionId::parse_hex(text);
                self.last = Some((text, version));
                version
            }
        }
    }
}

impl Iterator for Identities<'_> {
    type Item = Option<(ObjectVersionId, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        if at >= self.rows.len() {
            return None;
        }
        self.at += 1;
        let row = self.rows.is_valid(at).then(|| u64::try_from(self.rows.value(at)).ok()).flatten();
        Some(self.version(at).zip(row))
    }
}
