//! The active data files of a table at one version: what the log says of each, and their rows in the log as the kernel
//! wants them back when they leave.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, BooleanArray, MapArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use connector_core::ids::ObjectVersionId;
use delta_kernel::engine::arrow_data::{ArrowEngineData, EngineDataArrowExt as _};
use delta_kernel::{FilteredEngineData, KernelError};
use serde_json::Value;

use crate::error::DeltaError;
use crate::kernel::{Base, Kernel};

/// A data file that the newest version of the table refers to.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActiveFile {
    /// As the log spells it: a URI, relative to the table unless another program wrote it.
    pub(crate) path: String,
    /// In bytes.
    pub(crate) size: u64,
    /// The value of the partition column, as the log spells it.
    pub(crate) partition: Option<String>,
    /// Another program has deleted some of its rows without rewriting it.
    pub(crate) has_deletions: bool,
    /// The statistics as text: kept so, since a table may have many files with many columns.
    pub(crate) stats: Option<String>,
}

impl ActiveFile {
    /// The statistics; `Null` if there are none.
    pub(crate) fn statistics(&self) -> Value {
        self.stats.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// How many rows it has, if the log says so.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.statistics()["numRecords"].as_u64()
    }

    /// Of the statistics only the number of rows.
    pub(crate) fn slim(self) -> Self {
        let stats = self.rows().map(|rows| format!("{{\"numRecords\":{rows}}}"));
        Self { stats, ..self }
    }

    /// The least and the greatest object version that it can hold rows of; `None` if the log does not say.
    pub(crate) fn versions(&self) -> Option<(ObjectVersionId, ObjectVersionId)> {
        let statistics = self.statistics();
        let bound = |side: &str| statistics[side]["_s3_version"].as_str().and_then(ObjectVersionId::parse_hex);
        Some((bound("minValues")?, bound("maxValues")?))
    }
}

/// What is wanted of the active data files, one by one: a table may have a hundred thousand of them, each with
/// kilobytes of statistics, so that only what is needed is kept.
pub(crate) fn list<T>(
    kernel: &Kernel,
    base: &Base,
    mut wanted: impl FnMut(ActiveFile) -> Option<T>,
) -> Result<Vec<T>, DeltaError> {
    let mut files = Vec::new();
    each(kernel, base, |rows, selected| {
        let columns = Columns::of(rows).ok_or_else(|| unexpected(kernel))?;
        files.extend(selected.iter().filter_map(|row| wanted(columns.file(*row, base.partition()))));
        Ok(())
    })?;
    Ok(files)
}

/// The log's rows of these data files, as `Transaction::remove_files` takes them.
///
/// # Errors
/// `Internal` if one of them is not active.
pub(crate) fn rows_of(
    kernel: &Kernel,
    base: &Base,
    paths: &HashSet<String>,
) -> Result<Vec<FilteredEngineData>, DeltaError> {
    let mut found = Vec::new();
    let mut count = 0;
    each(kernel, base, |rows, selected| {
        let column = rows.column_by_name("path").and_then(|column| column.as_string_opt::<i32>());
        let column = column.ok_or_else(|| unexpected(kernel))?;
        let chosen: HashSet<usize> =
            selected.iter().copied().filter(|row| paths.contains(column.value(*row))).collect();
        if chosen.is_empty() {
            return Ok(());
        }
        count += chosen.len();
        let mask: BooleanArray = (0..rows.num_rows()).map(|row| Some(chosen.contains(&row))).collect();
        let rows = filter_record_batch(rows, &mask).map_err(|error| DeltaError::Internal(error.to_string()))?;
        found.push(FilteredEngineData::with_all_rows_selected(Box::new(ArrowEngineData::new(rows))));
        Ok(())
    })?;
    if count != paths.len() {
        return Err(DeltaError::Internal(format!("{} data files leave, but {count} are active", paths.len())));
    }
    Ok(found)
}

/// Calls `visit` for each batch of the log's rows, with the indices of those that are active data files.
fn each(
    kernel: &Kernel,
    base: &Base,
    mut visit: impl FnMut(&RecordBatch, &[usize]) -> Result<(), DeltaError>,
) -> Result<(), DeltaError> {
    let failed = |error: KernelError| DeltaError::kernel(&kernel.root, &error);
    let scan = Arc::clone(&base.snapshot).scan_builder().without_row_transforms().build().map_err(failed)?;
    for metadata in scan.scan_metadata(&kernel.engine).map_err(failed)? {
        let (data, selection) = metadata.map_err(failed)?.scan_files.into_parts();
        let rows = data.try_into_record_batch().map_err(failed)?;
        let paths = rows.column_by_name("path").ok_or_else(|| unexpected(kernel))?;
        let is_selected = |row: &usize| selection.get(*row).copied().unwrap_or(true) && paths.is_valid(*row);
        let selected: Vec<usize> = (0..rows.num_rows()).filter(is_selected).collect();
        visit(&rows, &selected)?;
    }
    Ok(())
}

fn unexpected(kernel: &Kernel) -> DeltaError {
    DeltaError::Internal(format!("the kernel lists the data files of {:?} in an unknown form", kernel.root))
}

/// The columns of the kernel's listing that are needed here.
struct Columns<'a> {
    path: &'a StringArray,
    size: &'a arrow::array::Int64Array,
    stats: &'a StringArray,
    deletions: &'a arrow::array::ArrayRef,
    partitions: &'a MapArray,
}

impl<'a> Columns<'a> {
    fn of(rows: &'a RecordBatch) -> Option<Self> {
        Some(Self {
            path: rows.column_by_name("path")?.as_string_opt()?,
            size: rows.column_by_name("size")?.as_primitive_opt::<Int64Type>()?,
            stats: rows.column_by_name("stats")?.as_string_opt()?,
            deletions: rows.column_by_name("deletionVector")?,
            partitions: rows
                .column_by_name("fileConstantValues")?
                .as_struct_opt()?
                .column_by_name("partitionValues")?
                .as_map_opt()?,
        })
    }

    fn file(&self, row: usize, partition: Option<&str>) -> ActiveFile {
        ActiveFile {
            path: self.path.value(row).to_owned(),
            size: if self.size.is_valid(row) { self.size.value(row).unsigned_abs() } else { 0 },
            partition: partition.and_then(|column| self.partition(row, column)),
            has_deletions: self.deletions.is_valid(row),
            stats: self.stats.is_valid(row).then(|| self.stats.value(row).to_owned()),
        }
    }

    fn partition(&self, row: usize, column: &str) -> Option<String> {
        if self.partitions.is_null(row) {
            return None;
        }
        let entries = self.partitions.value(row);
        let (names, values) = (entries.column(0).as_string_opt::<i32>()?, entries.column(1).as_string_opt::<i32>()?);
        let at = (0..names.len()).find(|entry| names.value(*entry) == column)?;
        values.is_valid(at).then(|| values.value(at).to_owned())
    }
}
