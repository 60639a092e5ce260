//! A table as the quarantine of another: its own schema, a sequence with gaps, columns that follow the table's.

use connector_core::block::{CellError, Rejected};
use connector_core::quarantine::{missing_columns, quarantine_rows, quarantine_schema};
use jiff::Timestamp;

use super::*;

fn landed(version: u64) -> PortResult<CommitAnswer> {
    Ok(CommitAnswer::Landed { version })
}

/// Bad rows of a table: as many as `ordinals`, each with an error for its first column and one for the record.
pub(super) fn bad_rows(table: &TableSchema, ordinals: &[u64]) -> RecordBatch {
    let mut rejected = Rejected::none(table.columns.len());
    for ordinal in ordinals {
        let texts: Vec<String> = (0..table.columns.len()).map(|column| format!("t{ordinal}.{column}")).collect();
        let errors = [CellError::not_of_type(0), CellError::of_record("too short")];
        rejected.push(*ordinal, Some("raw,\"line\"\n"), texts.iter().map(|text| Some(text.as_str())), errors);
    }
    let batch = origin("").batch;
    quarantine_rows(&rejected, 0..ordinals.len(), table, &batch, Timestamp::UNIX_EPOCH).expect("rows")
}

fn stage_bad(quarantine: &DeltaTable, table: &TableSchema, ordinals: &[u64]) -> Vec<StagedFile> {
    let mut writer = boxed(quarantine, &quarantine_schema(table));
    writer.write(&bad_rows(table, ordinals), &origin("bad.csv"), ordinals).expect("written");
    writer.finish().expect("finished")
}

#[test]
pub(super) fn bad_rows_land_with_their_errors_and_the_table_is_none_the_wiser() {
    let bench = Bench::new();
    let table = bench.created();
    let quarantine = Bench { root: bench.root.with_file_name("table_quarantine"), ..Bench::new() };
    let quarantine = Bench { import: bench.import, ..quarantine };
    let place = quarantine.table();
    let facts = quarantine.create(&place, &quarantine_schema(&small_schema())).expect("created");
    assert_eq!(facts.schema, quarantine_schema(&small_schema()));
    assert_eq!(facts.import, Some(bench.import));
    // Batches 1 and 3 have bad rows, batch 2 has none.
    for (seq, version) in [(1, 1), (3, 2)] {
        let commit = quarantine.batch(seq, stage_bad(&place, &small_schema(), &[4, 9]));
        assert_eq!(quarantine.commit(&place, &commit), landed(version));
        assert_eq!(quarantine.commit(&place, &commit), Ok(CommitAnswer::Conflict));
        assert_eq!(quarantine.facts().committed_uuid, Some(commit.batch_uuid));
    }
    assert_eq!((quarantine.facts().committed_seq, bench.facts().committed_seq), (3, 0));
    assert_eq!(bench.append(&table, 1, 0, 10), landed(1));
    let rows = quarantine.scan(None);
    assert_eq!(rows.num_rows(), 4);
    let expected = bad_rows(&small_schema(), &[4, 9]);
    for (index, field) in expected.schema().fields().iter().enumerate() {
        let found = rows.column_by_name(field.name()).expect("a column");
        assert_eq!(found.slice(0, 2).as_ref(), expected.column(index).as_ref(), "{}", field.name());
    }
}

#[test]
fn the_quarantine_follows_the_columns_of_its_table() {
    let bench = Bench::new();
    let place = bench.table();
    bench.create(&place, &quarantine_schema(&small_schema())).expect("created");
    let first = bench.batch(1, stage_bad(&place, &small_schema(), &[0]));
    assert_eq!(bench.commit(&place, &first), landed(1));
    let mut wider = small_schema();
    wider.columns.push(Column::nullable("extra", ColumnType::Int64));
    wider.columns.push(Column::nullable("Insertion_Date", ColumnType::Date));
    let add_columns = missing_columns(&bench.facts().schema, &wider);
    assert_eq!(add_columns.len(), 2);
    let commit = TableCommit { add_columns, ..bench.batch(5, stage_bad(&place, &wider, &[7])) };
    assert_eq!(bench.commit(&place, &commit), landed(2));
    assert_eq!(missing_columns(&bench.facts().schema, &wider), []);
    let rows = bench.scan(None);
    let text = |name: &str| {
        let column = rows.column_by_name(name).expect("a column");
        let column = column.as_any().downcast_ref::<StringArray>().expect("texts");
        let mut texts: Vec<Option<String>> = column.iter().map(|text| text.map(str::to_owned)).collect();
        texts.sort();
        texts
    };
    assert_eq!(text("extra"), [None, Some("t7.2".to_owned())]);
    assert_eq!(text("c__Insertion_Date"), [None, Some("t7.3".to_owned())]);
    assert_eq!(text("name"), [Some("t0.1".to_owned()), Some("t7.1".to_owned())]);
}
