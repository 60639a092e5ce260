//! Do staged data files still fit the table? Another program may have changed its columns since they were written. A
//! reader goes by names and types, so that values under a name which is gone would be lost without a word, and values of
//! another type misread.
//!
//! Of files that this process has written their columns are known; only if those do not fit, or others have written
//! them, the files are opened.

use arrow::datatypes::{DataType, Fields};
use connector_core::ports::{StagedFile, TableCommit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::error::DeltaError;
use crate::kernel::{Base, Kernel};
use crate::schema_map;

/// Files in a bucket that are looked at at once.
const FILES_AT_ONCE: usize = 16;

/// Refuses a commit of which a data file has a column that the table has not, or has with another type. Rows that are
/// staged are never classified anew, so only the user can mend that.
///
/// # Errors
/// `ColumnGone`, `ColumnTaken`; those of reading the files' footers.
pub(crate) fn check(kernel: &Kernel, base: &Base, commit: &TableCommit) -> Result<(), DeltaError> {
    let fits = |file: &StagedFile| {
        let columns = kernel.written.columns(&file.path);
        columns.is_some_and(|columns| check_columns(kernel, base, commit, file, columns.fields()).is_ok())
    };
    let unknown: Vec<&StagedFile> = commit.files.iter().filter(|file| !fits(file)).collect();
    if kernel.storage.is_local() {
        return unknown.iter().try_for_each(|file| check_file(kernel, base, commit, file));
    }
    // Each costs the time of two answers.
    for some in unknown.chunks(FILES_AT_ONCE) {
        std::thread::scope(|scope| {
            let checks: Vec<_> =
                some.iter().map(|file| scope.spawn(move || check_file(kernel, base, commit, file))).collect();
            let ended = || DeltaError::Internal("looking at a data file ended in a panic".to_owned());
            checks.into_iter().try_for_each(|check| check.join().map_err(|_| ended())?)
        })?;
    }
    Ok(())
}

fn check_file(kernel: &Kernel, base: &Base, commit: &TableCommit, file: &StagedFile) -> Result<(), DeltaError> {
    let named = kernel.storage.named(&file.path);
    let opened = kernel.storage.open_data_file(&file.path)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened);
    let builder = builder.map_err(|error| DeltaError::data_file(&named, &error))?;
    check_columns(kernel, base, commit, file, builder.schema().fields())
}

fn check_columns(
    kernel: &Kernel,
    base: &Base,
    commit: &TableCommit,
    file: &StagedFile,
    columns: &Fields,
) -> Result<(), DeltaError> {
    let table = base.snapshot.schema();
    for column in columns {
        // What the commit adds is checked against the table where it is added.
        if commit.add_columns.iter().any(|added| added.name == *column.name()) {
            continue;
        }
        let Some(field) = table.field(column.name()) else {
            return Err(DeltaError::ColumnGone {
                table: kernel.root.clone(),
                column: column.name().clone(),
                file: file.path.clone(),
            });
        };
        let present = schema_map::widest_type(field.data_type()).map(|ty| ty.arrow());
        if !present.is_some_and(|present| is_same(&present, column.data_type())) {
            return Err(DeltaError::ColumnTaken {
                table: kernel.root.clone(),
                column: field.name().clone(),
                present: field.data_type().to_string(),
                wanted: column.name().clone(),
                brought: column.data_type().to_string(),
            });
        }
    }
    Ok(())
}

/// Lists name their elements in ways of their own.
fn is_same(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::List(one), DataType::List(other)) => is_same(one.data_type(), other.data_type()),
        _ => one == other,
    }
}
