//! What a footer says for the types that inference chose.

use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use connector_core::ports::ColumnEvidence;
use connector_core::types::ColumnType;

use super::tree::Node;

/// One entry for each top-level column. Values and NULLs are counted only if the whole footer tells them apart; else
/// every row counts as a value, but for those that may be a NULL or an empty list.
pub(super) fn of(
    metadata: &ArrowReaderMetadata,
    nodes: &[Node],
    parquet: &[String],
    chosen: &[ColumnType],
) -> Vec<ColumnEvidence> {
    let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
    let mut leaf = 0;
    let entry = |((node, parquet), ty): ((&Node, &String), &ColumnType)| {
        let first = leaf;
        leaf += leaves(node);
        let (nulls, counted) = match (node.children.is_empty(), nulls(metadata, first)) {
            _ if !node.nullable => (Some(0), ""),
            (true, None) => (None, ", and its footer does not count NULL"),
            (true, nulls) => (nulls, ""),
            (false, nulls) => match undefined(metadata, first) {
                None => (nulls, ", and its footer does not tell NULL from what is NULL inside"),
                undefined => (undefined, ""),
            },
        };
        ColumnEvidence {
            column: node.name.clone(),
            ty: ty.to_string(),
            values: rows.saturating_sub(nulls.unwrap_or(0)),
            nulls: nulls.unwrap_or(0).min(rows),
            because: format!("the file states {parquet}{counted}"),
            examples: Vec::new(),
        }
    };
    nodes.iter().zip(parquet).zip(chosen).map(entry).collect()
}

fn leaves(node: &Node) -> usize {
    if node.children.is_empty() { 1 } else { node.children.iter().map(leaves).sum() }
}

/// Rows in which a nested column is NULL itself, if all chunks of its first leaf have counted them: nothing is defined
/// there, not even that there is a list.
fn undefined(metadata: &ArrowReaderMetadata, leaf: usize) -> Option<u64> {
    let of_group = |group: &::parquet::file::metadata::RowGroupMetaData| {
        let count = group.columns().get(leaf)?.definition_level_histogram()?.get(0)?;
        u64::try_from(count).ok()
    };
    metadata.metadata().row_groups().iter().map(of_group).try_fold(0u64, |sum, count| sum.checked_add(count?))
}

/// NULLs of a leaf, if all of its chunks have counted them.
fn nulls(metadata: &ArrowReaderMetadata, leaf: usize) -> Option<u64> {
    let of_group = |group: &::parquet::file::metadata::RowGroupMetaData| {
        group
            .columns()
            .get(leaf)
            .and_then(|chunk| chunk.statistics())
            .and_then(|statistics| statistics.null_count_opt())
    };
    metadata.metadata().row_groups().iter().map(of_group).try_fold(0u64, |sum, nulls| sum.checked_add(nulls?))
}
