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

/// A table as its first file decided it.
fn inferred(columns: &[&str]) -> TableSchema {
    let mut table = schema(columns);
    table.columns.iter_mut().for_each(|column| column.origin = Origin::Inferred);
    table
}

fn null_rules() -> EvolutionRules {
    EvolutionRules { on_missing_column: OnMissingColumn::Null, ..EvolutionRules::default() }
}

#[test]
fn what_a_row_is_told_is_short_and_what_a_file_is_told_names_the_rest() {
    let reference = reference(&["a", "b"]);
    let plan = |table, rules| {
        let mut planner = Planner::new(table, Vec::new(), Some(&reference), rules);
        planner.plan("k", &csv(&["x", "a"]))
    };
    let found = plan(inferred(&["a", "b"]), EvolutionRules::default());
    assert_eq!(found.causes[0].message, "the file lacks column 'b'");
    assert_eq!(
        found.context,
        "the file has 'x', 'a'; it is held against the table, whose columns were decided with the file 'first.csv'; \
         IMPORT_ON_MISSING_COLUMN null lets files lack it"
    );
    let declared = plan(schema(&["a", "b"]), EvolutionRules::default());
    assert_eq!(declared.context, "the file has 'x', 'a'; IMPORT_ON_MISSING_COLUMN null lets files lack it");
    let mut mixed = schema(&["a", "b"]);
    mixed.columns[0].origin = Origin::Inferred;
    assert_eq!(plan(mixed, EvolutionRules::default()).context, declared.context, "the one that matters is declared");
    assert_eq!(plan(inferred(&["a", "b"]), null_rules()).context, "", "no causes, no context");
}

#[test]
fn a_retyped_column_names_both_types() {
    let mut planner = Planner::new(schema(&["x"]), Vec::new(), None, EvolutionRules::default());
    let plan = planner.plan("k", &parquet(&[("x", DataType::Utf8, Some(ColumnType::String))]));
    assert_eq!(
        plan.causes[0].message,
        "column 'x' is Utf8 in the file and Int64 in the table, and the one does not go into the other"
    );
    assert!(!plan.context.contains("IMPORT_ON_MISSING_COLUMN"), "{}", plan.context);
}

#[test]
fn names_of_half_a_megabyte_make_no_long_messages() {
    let long = |start: &str| format!("{start}{}", "n".repeat(500_000));
    let (a, b, c) = (long("a"), long("b"), long("c"));
    let nested = DataType::Struct([std::sync::Arc::new(arrow::datatypes::Field::new(&a, DataType::Int8, true))].into());
    let shapes = [
        csv(&[&b]),
        csv(&[&b, &c]),
        csv(&["id"]),
        csv(&[&a, &a, "id"]),
        csv(&["id", &b, &a]),
        parquet(&[("id", nested.clone(), None), (&a, DataType::Int64, None)]),
        parquet(&[("id", DataType::Int64, None), (&a, DataType::Int64, None), (&b, nested, None)]),
    ];
    for (index, shape) in shapes.iter().enumerate() {
        let mut planner = Planner::new(inferred(&["id", &a]), Vec::new(), None, EvolutionRules::default());
        let plan = planner.plan("k", shape);
        assert!(plan.is_rejected(), "{index}");
        for cause in &plan.causes {
            assert!(cause.message.len() < 500, "{index}: {} bytes of {}", cause.message.len(), cause.code);
            assert!(cause.column == a || cause.column.len() <= 100, "{index}: {}", cause.code);
        }
        assert!(plan.context.len() < 2_000, "{index}: {} bytes", plan.context.len());
    }
}

#[test]
fn a_new_column_needs_a_name_that_people_can_write() {
    for (length, expected) in [(255, vec![]), (256, vec!["bad_column_name"])] {
        let mut planner = Planner::new(schema(&["a"]), Vec::new(), None, EvolutionRules::default());
        let plan = planner.plan("k", &csv(&["a", &"é".repeat(length)]));
        assert_eq!(codes(&plan), expected, "{length}");
        assert_eq!(planner.finish().1.len(), usize::from(expected.is_empty()));
    }
}

#[test]
fn a_file_without_any_column_of_the_table_brings_nothing() {
    let frozen = EvolutionRules { evolution: Evolution::Freeze, ..EvolutionRules::default() };
    for rules in [EvolutionRules::default(), null_rules(), frozen] {
        let mut evolved = inferred(&["id", "name"]);
        evolved.columns[1].origin = Origin::Evolved;
        let mut planner = Planner::new(evolved, Vec::new(), None, rules);
        let plan = planner.plan("k", &csv(&["7", "x"]));
        assert_eq!(codes(&plan), ["no_common_column"]);
        assert_eq!(
            (plan.causes[0].message.as_str(), plan.causes[0].column.as_str()),
            ("the file has none of the table's columns", "")
        );
        assert_eq!(
            plan.context,
            "the file has '7', 'x', the table 'id', 'name'; if the file has no header, set IMPORT_CSV_HEADER false"
        );
        assert_eq!(plan.unknown, []);
        assert_eq!(planner.finish().1, []);
    }
    let stated = parquet(&[("x", DataType::Int64, Some(ColumnType::Int64))]);
    let plan = Planner::new(schema(&["id"]), Vec::new(), None, null_rules()).plan("k", &stated);
    assert_eq!((codes(&plan), plan.context.contains("HEADER")), (vec!["no_common_column"], false));
}

#[test]
fn only_a_header_and_a_table_with_columns_can_have_none_in_common() {
    let records = FileShape { has_header: false, ..csv(&["x"]) };
    assert!(!Planner::new(schema(&["id"]), Vec::new(), None, null_rules()).plan("k", &records).is_rejected());
    assert!(!Planner::new(schema(&[]), Vec::new(), None, null_rules()).plan("k", &csv(&["x"])).is_rejected());
    let one = Planner::new(schema(&["id", "b"]), Vec::new(), None, null_rules()).plan("k", &csv(&["x", "ID"]));
    assert!(!one.is_rejected(), "one is enough");
}

#[test]
fn a_numbered_name_that_the_reference_file_has_is_no_number_of_ours() {
    let shape = csv(&["a", "a", "b"]);
    let repeated = reference(&["a", "a", "b"]);
    let mut planner =
        Planner::new(inferred(&["a", "a_2", "b"]), Vec::new(), Some(&repeated), EvolutionRules::default());
    let plan = planner.plan("k", &shape);
    assert_eq!((plan.bound.sources.as_slice(), plan.causes.len()), (&[Some(0), Some(1), Some(2)][..], 0));
    let literal = reference(&["a", "a_2", "b"]);
    let mut planner = Planner::new(inferred(&["a", "a_2", "b"]), Vec::new(), Some(&literal), null_rules());
    assert_eq!(codes(&planner.plan("k", &shape)), ["duplicate_column"]);
}

#[test]
fn a_column_whose_name_only_looks_alike_is_new_and_the_other_is_missing() {
    let mut table = inferred(&["Preis_", "Preis__2"]);
    table.columns[0].source = "Preis €".to_owned();
    table.columns[1].source = "Preis $".to_owned();
    let shape = csv(&["Preis €", "Preis £"]);
    let mut planner = Planner::new(table.clone(), Vec::new(), None, EvolutionRules::default());
    let plan = planner.plan("k", &shape);
    assert_eq!((codes(&plan), plan.bound.sources), (vec!["missing_column"], vec![Some(0), None]));
    assert_eq!(plan.causes[0].message, "the file lacks column 'Preis $'");
    let mut planner = Planner::new(table, Vec::new(), None, null_rules());
    assert_eq!(planner.plan("k", &shape).bound.sources, [Some(0), None, Some(1)]);
    assert_eq!(planner.finish().1[0].column.source, "Preis £");
}

#[test]
fn planning_thousands_of_columns_is_no_work() {
    let names: Vec<String> = (0..2_000).map(|index| format!("Spalte {index}")).collect();
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let upper: Vec<String> = names.iter().rev().map(|name| name.to_uppercase()).collect();
    let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
    let known = reference(&columns);
    let rules = EvolutionRules { max_columns: 100_000, ..null_rules() };
    let start = std::time::Instant::now();
    let mut planner = Planner::new(schema(&["SPALTE 7"]), Vec::new(), Some(&known), rules);
    assert!(!planner.plan("1", &csv(&upper)).is_rejected());
    let same: Vec<String> = (0..8_000).map(|index| "€".repeat(index % 50 + 1)).collect();
    let same: Vec<&str> = std::iter::once("SPALTE 7").chain(same.iter().map(String::as_str)).collect();
    assert!(!planner.plan("2", &csv(&same)).is_rejected());
    assert_eq!(planner.finish().1.len(), 8_000);
    assert!(start.elapsed() < std::time::Duration::from_secs(2), "{:?}", start.elapsed());
}
