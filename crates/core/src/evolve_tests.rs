use arrow::datatypes::DataType;

use super::*;
use crate::csv::CsvDialect;

fn csv(names: &[&str]) -> FileShape {
    let column = |name: &&str| FileColumn { name: (*name).to_owned(), ty: Some(ColumnType::Int64), stated: None };
    FileShape { columns: names.iter().map(column).collect(), has_header: true }
}

fn parquet(columns: &[(&str, DataType, Option<ColumnType>)]) -> FileShape {
    let column = |(name, stated, ty): &(&str, DataType, Option<ColumnType>)| FileColumn {
        name: (*name).to_owned(),
        ty: ty.clone(),
        stated: Some(stated.clone()),
    };
    FileShape { columns: columns.iter().map(column).collect(), has_header: true }
}

fn schema(columns: &[&str]) -> TableSchema {
    TableSchema::new(columns.iter().map(|name| Column::nullable(*name, ColumnType::Int64)).collect())
}

fn reference(columns: &[&str]) -> ReferenceFile {
    ReferenceFile {
        key: "first.csv".to_owned(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        dialect: Some(CsvDialect::default()),
        evidence: Vec::new(),
    }
}

fn codes(plan: &FilePlan) -> Vec<&'static str> {
    plan.causes.iter().map(|cause| cause.code).collect()
}

#[test]
fn columns_of_the_reference_file_that_were_not_declared_are_never_added() {
    let reference = reference(&["a", "b", "c"]);
    let mut planner = Planner::new(schema(&["a"]), Vec::new(), Some(&reference), EvolutionRules::default());
    let plan = planner.plan("k", &csv(&["a", "b", "C"]));
    assert_eq!((plan.causes.len(), plan.unknown.len()), (0, 0));
    assert_eq!(planner.finish().1, []);
}

#[test]
fn each_file_of_a_batch_finds_what_those_before_it_added() {
    let reference = reference(&["a"]);
    let mut planner = Planner::new(schema(&["a"]), Vec::new(), Some(&reference), EvolutionRules::default());
    let first = planner.plan("1", &csv(&["a", "x"]));
    let second = planner.plan("2", &csv(&["y", "a"]));
    let third = planner.plan("3", &csv(&["x", "y", "a"]));
    assert_eq!(first.bound.sources, [Some(0), Some(1)]);
    assert_eq!(second.bound.sources, [Some(1), None, Some(0)], "an added column may be absent");
    assert_eq!(third.bound.sources, [Some(2), Some(0), Some(1)]);
    let (schema, added) = planner.finish();
    assert_eq!(schema.columns.len(), 3);
    let keys: Vec<_> = added.iter().map(|added| (added.column.name.as_str(), added.key.as_deref())).collect();
    assert_eq!(keys, [("x", Some("1")), ("y", Some("2"))]);
    assert!(added.iter().all(|added| added.column.nullable && added.column.origin == Origin::Evolved));
}

#[test]
fn the_first_file_in_claim_order_decides_the_type_of_a_new_column() {
    let mut planner = Planner::new(schema(&[]), Vec::new(), None, EvolutionRules::default());
    planner.plan("1", &parquet(&[("x", DataType::Int32, Some(ColumnType::Int32))]));
    let other =
        planner.plan("2", &parquet(&[("x", DataType::Utf8, Some(ColumnType::String)), ("y", DataType::Int8, None)]));
    assert_eq!(codes(&other), ["incompatible_type"], "and an incompatible file proposes no columns");
    assert_eq!(planner.finish().0.columns.len(), 1);
}

#[test]
fn a_column_of_the_declared_or_reference_schema_may_not_be_absent_unless_configured() {
    let lacking = csv(&["a"]);
    let mut planner = Planner::new(schema(&["a", "b"]), Vec::new(), None, EvolutionRules::default());
    let plan = planner.plan("k", &lacking);
    assert_eq!(codes(&plan), ["missing_column"]);
    assert!(plan.causes[0].message.contains("column 'b'"), "{:?}", plan.causes);
    let rules = EvolutionRules { on_missing_column: OnMissingColumn::Null, ..EvolutionRules::default() };
    let mut planner = Planner::new(schema(&["a", "b"]), Vec::new(), None, rules);
    assert!(!planner.plan("k", &lacking).is_rejected());
    let mut evolved = schema(&["a", "b"]);
    evolved.columns[1].origin = Origin::Evolved;
    let mut planner = Planner::new(evolved, Vec::new(), None, EvolutionRules::default());
    assert!(!planner.plan("k", &lacking).is_rejected());
    let records = FileShape { has_header: false, ..lacking };
    let mut planner = Planner::new(schema(&["a", "b"]), Vec::new(), None, EvolutionRules::default());
    assert!(!planner.plan("k", &records).is_rejected(), "NDJSON tells record by record");
}

#[test]
fn names_that_differ_by_case_or_twice_get_columns_that_a_table_can_have() {
    let mut planner = Planner::new(schema(&["id"]), Vec::new(), None, EvolutionRules::default());
    planner.plan("1", &csv(&["id", "ID", "new", "new", "_s3_key"]));
    let (schema, _) = planner.finish();
    let names: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "ID_2", "new", "new_2", "_s3_key_2"]);
    let again = bind(&schema, &["id", "ID", "new", "new", "_s3_key"].map(str::to_owned));
    assert_eq!(again.sources, [Some(0), Some(1), Some(2), Some(3), Some(4)], "the same file finds them again");
}

#[test]
fn a_column_beside_one_that_differs_by_case_is_new_though_the_reference_file_has_the_other() {
    let reference = reference(&["id", "left_out"]);
    let mut planner = Planner::new(schema(&["id"]), Vec::new(), Some(&reference), EvolutionRules::default());
    planner.plan("1", &csv(&["id", "ID", "LEFT_OUT"]));
    let added: Vec<String> = planner.finish().1.into_iter().map(|added| added.column.name).collect();
    assert_eq!(added, ["ID_2"]);
}

#[test]
fn a_name_that_the_file_has_more_often_than_the_table_is_ambiguous() {
    let mut planner = Planner::new(schema(&["id", "name"]), Vec::new(), None, EvolutionRules::default());
    assert_eq!(codes(&planner.plan("k", &csv(&["id", "name", "name"]))), ["duplicate_column"]);
}

#[test]
fn a_frozen_table_names_the_unknown_columns_and_adds_none() {
    let rules = EvolutionRules { evolution: Evolution::Freeze, ..EvolutionRules::default() };
    let mut planner = Planner::new(schema(&["a"]), Vec::new(), None, rules);
    let plan = planner.plan("k", &csv(&["z", "a"]));
    assert_eq!((plan.unknown, plan.causes.len()), (vec![(0, "z".to_owned())], 0));
    assert_eq!(planner.finish().0.columns.len(), 1);
}

#[test]
fn too_many_columns_and_types_without_a_name_are_refused_with_the_reason() {
    let rules = EvolutionRules { max_columns: 3, ..EvolutionRules::default() };
    let mut planner = Planner::new(schema(&["a"]), Vec::new(), None, rules);
    assert_eq!(codes(&planner.plan("k", &csv(&["a", "b", "c", "d"]))), ["too_many_columns"]);
    assert_eq!(codes(&planner.plan("k", &csv(&["a", "b", "c"]))), [""; 0]);
    let mut planner = Planner::new(schema(&["a"]), Vec::new(), None, EvolutionRules::default());
    let opaque = parquet(&[("a", DataType::Int64, Some(ColumnType::Int64)), ("g", DataType::Binary, None)]);
    assert_eq!(codes(&planner.plan("k", &opaque)), ["unsupported_type"]);
}
