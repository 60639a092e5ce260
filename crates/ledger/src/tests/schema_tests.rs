//! The table's schema, its reference file and its versions.

use connector_core::csv::CsvDialect;
use connector_core::expr::Expr;
use connector_core::history::{SchemaChange, SchemaVersion};
use connector_core::ports::{AddedColumn, ColumnEvidence, ReferenceFile};
use connector_core::schema::{Column, ColumnDefault, Origin, TableSchema};
use connector_core::types::ColumnType;

use super::*;

fn inferred(name: &str) -> Column {
    Column { origin: Origin::Inferred, ..Column::nullable(name, ColumnType::Int64) }
}

fn reference() -> ReferenceFile {
    let evidence = ColumnEvidence {
        column: "n".into(),
        ty: "Int64".into(),
        values: 3,
        nulls: 1,
        because: "all 3 values are whole numbers".into(),
        examples: vec!["1".into(), "-7".into()],
    };
    let dialect = CsvDialect { delimiter: b';', ..CsvDialect::default() };
    let columns = vec!["n".into(), "ignored".into()];
    ReferenceFile { key: "a.csv".into(), columns, dialect: Some(dialect), evidence: vec![evidence] }
}

fn decide(house: &House, schema: &TableSchema, reference: Option<&ReferenceFile>) {
    wait(house.ledger.decide_schema(&house.import, schema, reference)).unwrap();
}

fn create(house: &House, schema: &TableSchema, now: i64) {
    wait(house.ledger.table_created(&house.import, schema, at(now))).unwrap();
}

fn versions(house: &House) -> Vec<SchemaVersion> {
    wait(house.ledger.schema_history(&house.import)).unwrap()
}

fn change(column: &str, ty: &str, key: Option<&str>) -> SchemaChange {
    SchemaChange { column: column.into(), ty: ty.into(), key: key.map(str::to_owned) }
}

fn added(name: &str, key: Option<&str>) -> AddedColumn {
    let column = Column { origin: Origin::Evolved, ..Column::nullable(name, ColumnType::Bool) };
    AddedColumn { column, key: key.map(str::to_owned) }
}

#[test]
fn schema_reference_file_and_pause_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let house = House::at(dir.path());
    let first = house.record();
    assert_eq!((first.schema, first.reference, first.table_created, first.paused), (None, None, false, false));
    let mut schema = TableSchema::new(vec![inferred("n")]);
    decide(&house, &schema, Some(&reference()));
    decide(&house, &schema, None);
    wait(house.ledger.set_paused(&house.import, true)).unwrap();
    assert!(!house.record().table_created);
    let default = Some(ColumnDefault::Expression(Expr::Now));
    schema.columns.push(Column { default, ..Column::required("at", ColumnType::DateTime) });
    schema.partition = Some("at".into());
    create(&house, &schema, 1_000);
    drop(house);
    let house = House::at(dir.path());
    let record = house.record();
    assert_eq!((record.schema, record.reference), (Some(schema), Some(reference())));
    assert_eq!((record.table_created, record.paused, record.uuid), (true, true, first.uuid));
    wait(house.ledger.set_paused(&house.import, false)).unwrap();
    assert!(!house.record().paused);
}

#[test]
fn the_first_version_is_written_once_with_the_evidence_of_the_reference_file() {
    let house = House::new();
    let schema = TableSchema::new(vec![inferred("n"), Column::required("d", ColumnType::String)]);
    decide(&house, &schema, Some(&reference()));
    assert_eq!((versions(&house), house.counts(1).schema_version), (vec![], 0), "no table, no version");
    create(&house, &schema, 1_000);
    create(&house, &TableSchema::new(vec![inferred("n")]), 2_000);
    let changes = vec![change("n", "Nullable(Int64)", Some("a.csv")), change("d", "String", None)];
    let expected = SchemaVersion { version: 1, at: at(1_000), batch: None, changes, evidence: reference().evidence };
    assert_eq!(versions(&house), [expected]);
    let counts = house.counts(1);
    assert_eq!((counts.schema_version, counts.reference.as_deref()), (1, Some("a.csv")));
}

#[test]
fn a_declared_table_that_no_file_was_read_for_has_a_version_without_evidence() {
    let house = House::new();
    let schema = TableSchema::new(vec![Column::nullable("n", ColumnType::Int64)]);
    create(&house, &schema, 1_000);
    decide(&house, &schema, Some(&reference()));
    let [version] = &versions(&house)[..] else { panic!("one version") };
    assert_eq!((&version.changes[..], &version.evidence[..]), (&[change("n", "Nullable(Int64)", None)][..], &[][..]));
    assert_eq!(house.counts(1).reference.as_deref(), Some("a.csv"));
}

#[test]
fn added_columns_are_in_the_schema_once_their_batch_is_finalised() {
    let mut house = House::new();
    house.page(&[object("a.csv", "1", 1), object("b.csv", "1", 2)]);
    let schema = TableSchema { partition: Some("n".into()), ..TableSchema::new(vec![inferred("n")]) };
    decide(&house, &schema, Some(&reference()));
    create(&house, &schema, 1_000);

    let stage = |house: &House, batch: &ClaimedBatch, columns: &[AddedColumn]| {
        let mut stage = staged(results(batch, |_| Some(ingested())));
        stage.added = columns.to_vec();
        house.try_stage(batch, &stage).unwrap();
    };
    let batch = house.claim(throttled(1), 1_010).batch.unwrap();
    stage(&house, &batch, &[added("lost", Some("a.csv"))]);
    house.abandon(&batch);
    let batch = house.claim(throttled(1), 1_010).batch.unwrap();
    stage(&house, &batch, &[added("new", Some("a.csv")), added("declared", None)]);
    assert_eq!((versions(&house).len(), house.record().schema), (1, Some(schema.clone())), "not before");
    wait(house.ledger.finalise(&house.import, 1, 7, at(1_020))).unwrap();
    let mut grown = schema;
    grown.columns.extend([added("new", None).column, added("declared", None).column]);
    assert_eq!(house.record().schema.as_ref(), Some(&grown));

    let second = house.claim_all(1_030);
    house.commit(&second, |_| Some(ingested()), 1_030);
    let changes = vec![change("new", "Nullable(Bool)", Some("a.csv")), change("declared", "Nullable(Bool)", None)];
    let batch = Some(batch.id.to_string());
    let expected = SchemaVersion { version: 2, at: at(1_020), batch, changes, evidence: vec![] };
    let found = versions(&house);
    assert_eq!((found.len(), &found[1]), (2, &expected));
    assert_eq!(house.counts(1).schema_version, 2);
}

#[test]
fn a_column_that_the_schema_has_got_since_is_not_added_twice() {
    let mut house = House::new();
    house.page(&[object("a", "1", 1)]);
    let mut schema = TableSchema::new(vec![inferred("n")]);
    create(&house, &schema, 1_000);
    let batch = house.claim_all(1_000);
    let mut stage = staged(results(&batch, |_| Some(ingested())));
    stage.added = vec![added("new", None)];
    house.try_stage(&batch, &stage).unwrap();
    schema.columns.push(Column::nullable("new", ColumnType::Bool));
    decide(&house, &schema, None);
    wait(house.ledger.finalise(&house.import, 1, 7, at(1_020))).unwrap();
    assert_eq!((house.record().schema, versions(&house).len()), (Some(schema), 2));
}
