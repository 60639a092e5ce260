//! What is stored as JSON: schemas, reference files, added columns, changes of a schema, removals. Read back with suspicion;
//! what an older version of this program did not write yet has the meaning that it had then.

use connector_core::expr::Expr;
use connector_core::history::SchemaChange;
use connector_core::ids::ObjectVersionId;
use connector_core::ports::{AddedColumn, ColumnEvidence, ReferenceFile, StagedRemoval};
use connector_core::schema::{Column, ColumnDefault, Origin, TableSchema};
use connector_core::types::ColumnType;
use serde_json::{Value, json};

use crate::codec::corrupt;
use crate::error::Result;

pub(crate) fn schema_to_json(schema: &TableSchema) -> String {
    json!({ "columns": columns(&schema.columns), "partition": schema.partition }).to_string()
}

/// Version 1 wrote the list of columns and nothing around it.
pub(crate) fn schema_from_json(text: &str) -> Result<TableSchema> {
    let read = || -> Option<TableSchema> {
        let value: Value = serde_json::from_str(text).ok()?;
        if value.is_array() {
            return Some(TableSchema::new(list(&value, column_from)?));
        }
        let partition = match value.get("partition") {
            None | Some(Value::Null) => None,
            Some(name) => Some(name.as_str()?.to_owned()),
        };
        Some(TableSchema { columns: list(value.get("columns")?, column_from)?, partition })
    };
    read().ok_or_else(|| corrupt("a table schema that cannot be read"))
}

pub(crate) fn columns_to_json(list: &[Column]) -> String {
    columns(list).to_string()
}

pub(crate) fn columns_from_json(text: &str) -> Result<Vec<Column>> {
    parsed(text, |value| list(value, column_from)).ok_or_else(|| corrupt("columns that cannot be read"))
}

pub(crate) fn added_to_json(added: &[AddedColumn]) -> String {
    let one = |added: &AddedColumn| json!({ "column": column(&added.column), "key": added.key });
    Value::from_iter(added.iter().map(one)).to_string()
}

pub(crate) fn added_from_json(text: &str) -> Result<Vec<AddedColumn>> {
    let one = |value: &Value| Some(AddedColumn { column: column_from(value.get("column")?)?, key: key_from(value)? });
    parsed(text, |value| list(value, one)).ok_or_else(|| corrupt("added columns that cannot be read"))
}

pub(crate) fn changes_to_json(changes: &[SchemaChange]) -> String {
    let one = |change: &SchemaChange| json!({ "column": change.column, "type": change.ty, "key": change.key });
    Value::from_iter(changes.iter().map(one)).to_string()
}

pub(crate) fn changes_from_json(text: &str) -> Result<Vec<SchemaChange>> {
    let one = |value: &Value| {
        let (column, ty) = (value.get("column")?.as_str()?.to_owned(), value.get("type")?.as_str()?.to_owned());
        Some(SchemaChange { column, ty, key: key_from(value)? })
    };
    parsed(text, |value| list(value, one)).ok_or_else(|| corrupt("changes of a schema that cannot be read"))
}

pub(crate) fn removal_to_json(removal: &StagedRemoval) -> String {
    match removal {
        StagedRemoval::Nothing => Value::Null,
        StagedRemoval::Versions(ids) => json!({ "versions": ids.iter().map(ObjectVersionId::hex).collect::<Vec<_>>() }),
        StagedRemoval::Moved => json!("moved"),
        StagedRemoval::DataFiles(paths) => json!({ "data_files": paths }),
    }
    .to_string()
}

pub(crate) fn removal_from_json(text: &str) -> Result<StagedRemoval> {
    let read = |value: &Value| match value {
        Value::Null => Some(StagedRemoval::Nothing),
        Value::String(text) if text == "moved" => Some(StagedRemoval::Moved),
        other => match (other.get("versions"), other.get("data_files")) {
            (Some(ids), None) => Some(StagedRemoval::Versions(list(ids, |id| version_from(id.as_str()?))?)),
            (None, Some(paths)) => {
                Some(StagedRemoval::DataFiles(list(paths, |path| path.as_str().map(str::to_owned))?))
            }
            _ => None,
        },
    };
    parsed(text, read).ok_or_else(|| corrupt("rows to remove that cannot be read"))
}

fn version_from(hex: &str) -> Option<ObjectVersionId> {
    let digits =
        hex.as_bytes().chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    (hex.len() == 32)
        .then(|| digits.collect::<Option<Vec<u8>>>())?
        .and_then(|bytes| ObjectVersionId::from_bytes(&bytes))
}

pub(crate) fn evidence_to_json(evidence: &[ColumnEvidence]) -> String {
    json!(evidence).to_string()
}

pub(crate) fn evidence_from_json(text: &str) -> Result<Vec<ColumnEvidence>> {
    serde_json::from_str(text).map_err(|_| corrupt("evidence of a schema that cannot be read"))
}

pub(crate) fn reference_to_json(reference: &ReferenceFile) -> String {
    json!({
        "key": reference.key,
        "columns": reference.columns,
        "dialect": reference.dialect,
        "evidence": reference.evidence,
    })
    .to_string()
}

/// Version 1 knew neither dialect nor evidence.
pub(crate) fn reference_from_json(text: &str) -> Result<ReferenceFile> {
    let read = |value: &Value| -> Option<ReferenceFile> {
        let part = |name: &str| value.get(name).cloned().unwrap_or_default();
        let evidence: Option<Vec<ColumnEvidence>> = serde_json::from_value(part("evidence")).ok()?;
        Some(ReferenceFile {
            key: value.get("key")?.as_str()?.to_owned(),
            columns: list(value.get("columns")?, |name| name.as_str().map(str::to_owned))?,
            dialect: serde_json::from_value(part("dialect")).ok()?,
            evidence: evidence.unwrap_or_default(),
        })
    };
    parsed(text, read).ok_or_else(|| corrupt("a reference file that cannot be read"))
}

fn columns(columns: &[Column]) -> Value {
    columns.iter().map(column).collect()
}

fn column(column: &Column) -> Value {
    let default = match &column.default {
        None => Value::Null,
        Some(ColumnDefault::Literal(text)) => json!(text),
        Some(ColumnDefault::Expression(expression)) => json!({ "expression": expression.to_string() }),
    };
    json!({
        "name": column.name,
        "source": column.source,
        "type": column.ty.to_string(),
        "nullable": column.nullable,
        "default": default,
        "origin": column.origin.as_str(),
    })
}

fn column_from(value: &Value) -> Option<Column> {
    Some(Column {
        name: value.get("name")?.as_str()?.to_owned(),
        source: value.get("source")?.as_str()?.to_owned(),
        ty: ColumnType::parse_canonical(value.get("type")?.as_str()?)?,
        nullable: value.get("nullable")?.as_bool()?,
        default: match value.get("default")? {
            Value::Null => None,
            Value::String(text) => Some(ColumnDefault::Literal(text.clone())),
            other => Some(ColumnDefault::Expression(Expr::parse(other.get("expression")?.as_str()?).ok()?)),
        },
        origin: match value.get("origin") {
            // Version 1 knew declared columns only.
            None => Origin::Declared,
            Some(origin) => Origin::parse(origin.as_str()?)?,
        },
    })
}

fn key_from(value: &Value) -> Option<Option<String>> {
    match value.get("key")? {
        Value::Null => Some(None),
        key => Some(Some(key.as_str()?.to_owned())),
    }
}

fn list<T>(value: &Value, one: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(one).collect()
}

fn parsed<T>(text: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    read(&serde_json::from_str(text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_core::csv::CsvDialect;
    use connector_core::expr::IntervalUnit;

    fn awkward() -> Vec<Column> {
        let expression =
            Expr::Shift { base: Box::new(Expr::Column("t_x".into())), count: -3, unit: IntervalUnit::Month };
        vec![
            Column::nullable("plain", ColumnType::DateTime64 { precision: 3 }),
            Column {
                source: "a \"quoted\" \\ näme\n".to_owned(),
                default: Some(ColumnDefault::Literal(String::new())),
                origin: Origin::Inferred,
                ..Column::required("quoted", ColumnType::Decimal { precision: 10, scale: 2 })
            },
            Column {
                default: Some(ColumnDefault::Expression(expression)),
                origin: Origin::Evolved,
                ..Column::required("list", ColumnType::Array { element: Box::new(ColumnType::Uuid), nullable: true })
            },
            Column {
                default: Some(ColumnDefault::Expression(Expr::Now)),
                ..Column::required("at", ColumnType::DateTime)
            },
        ]
    }

    #[test]
    fn schemas_and_columns_read_back_whatever_their_names_hold() {
        let mut schema = TableSchema::new(awkward());
        assert_eq!(schema_from_json(&schema_to_json(&schema)).expect("readable"), schema);
        schema.partition = Some("pl\"ain".to_owned());
        assert_eq!(schema_from_json(&schema_to_json(&schema)).expect("readable"), schema);
        assert_eq!(columns_from_json(&columns_to_json(&schema.columns)).expect("readable"), schema.columns);
        let key = |n: usize| (n > 0).then(|| format!("k\"{n}"));
        let added: Vec<AddedColumn> =
            awkward().into_iter().enumerate().map(|(n, column)| AddedColumn { column, key: key(n) }).collect();
        assert_eq!(added_from_json(&added_to_json(&added)).expect("readable"), added);
        let change = |(n, column): (usize, Column)| SchemaChange { column: column.name, ty: "T".into(), key: key(n) };
        let changes: Vec<SchemaChange> = awkward().into_iter().enumerate().map(change).collect();
        assert_eq!(changes_from_json(&changes_to_json(&changes)).expect("readable"), changes);
    }

    #[test]
    fn what_cannot_be_read_is_called_corrupt() {
        let column = r#"{"name":"a","source":"a","type":"Int8","nullable":true,"default":null}"#;
        assert!(columns_from_json(&format!("[{column}]")).is_ok());
        for (from, to) in [
            ("\"name\"", "\"nom\""),
            ("Int8", "Int7"),
            ("true", "1"),
            (":null", ":7"),
            (":null", ":{\"expression\":\"rm -rf(\"}"),
            (":null", ":null,\"origin\":\"heaven\""),
        ] {
            let bad = format!("[{}]", column.replace(from, to));
            assert_eq!(columns_from_json(&bad).map_err(|error| error.code()), Err("ledger_corrupt"), "{bad}");
            assert_eq!(schema_from_json(&bad).map_err(|error| error.code()), Err("ledger_corrupt"), "{bad}");
        }
        for bad in ["", "{}", "7", r#"{"columns":[],"partition":7}"#] {
            assert!(schema_from_json(bad).is_err() && added_from_json(bad).is_err(), "{bad}");
            assert!(changes_from_json(bad).is_err() && evidence_from_json(bad).is_err(), "{bad}");
            assert!(reference_from_json(bad).is_err(), "{bad}");
        }
        assert!(reference_from_json(r#"{"key":"a","columns":[],"dialect":{}}"#).is_err());
    }

    #[test]
    fn reference_files_read_back() {
        let evidence = ColumnEvidence {
            column: "n \"1\"".into(),
            ty: "Int64".into(),
            values: u64::MAX,
            nulls: 0,
            because: "all 3 values are whole numbers".into(),
            examples: vec!["1".into(), String::new()],
        };
        let dialect = CsvDialect { delimiter: b'\t', quote: None, nulls: vec!["\\N".into()], ..CsvDialect::default() };
        for (dialect, evidence) in [(Some(dialect), vec![evidence]), (None, vec![])] {
            let columns = vec![String::new(), "ü".to_owned()];
            let reference = ReferenceFile { key: "a/b \" c.csv".to_owned(), columns, dialect, evidence };
            assert_eq!(reference_from_json(&reference_to_json(&reference)).expect("readable"), reference);
            let stored = evidence_to_json(&reference.evidence);
            assert_eq!(evidence_from_json(&stored).expect("readable"), reference.evidence);
        }
    }

    #[test]
    fn what_version_1_wrote_means_what_it_meant_then() {
        let stored = r#"[{"name":"a","source":"A","type":"Int8","nullable":false,"default":"7"}]"#;
        let column = Column {
            source: "A".into(),
            default: Some(ColumnDefault::Literal("7".into())),
            ..Column::required("a", ColumnType::Int8)
        };
        assert_eq!(schema_from_json(stored).expect("readable"), TableSchema::new(vec![column]));
        let reference = reference_from_json(r#"{"key":"a.csv","columns":["A"]}"#).expect("readable");
        assert_eq!((reference.dialect, reference.evidence), (None, vec![]));
    }
}
