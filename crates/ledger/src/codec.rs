//! How values are stored, and read back with suspicion.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use connector_core::ports::ReferenceFile;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{LedgerError, Result};

pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

pub(crate) fn time(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| corrupt("a time out of range"))
}

pub(crate) fn optional_time(micros: Option<i64>) -> Result<Option<Timestamp>> {
    micros.map(time).transpose()
}

/// SQLite integers are signed. No size or count of ours comes near the end of their range, so the end stands for
/// everything beyond.
pub(crate) fn stored(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

pub(crate) fn amount(stored: i64) -> Result<u64> {
    u64::try_from(stored).map_err(|_| corrupt("a negative amount"))
}

pub(crate) fn uuid(bytes: [u8; 16]) -> Uuid {
    Uuid::from_bytes(bytes)
}

pub(crate) fn corrupt(what: &str) -> LedgerError {
    LedgerError::Corrupt { what: what.to_owned() }
}

/// Error codes are bounded labels with static life; this gives one that was read back its static life again. What it
/// leaks is bounded by the number of codes.
pub(crate) fn code(text: &str) -> &'static str {
    static KNOWN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(code) = known.get(text) {
        return code;
    }
    let code: &'static str = String::from(text).leak();
    known.insert(code);
    code
}

pub(crate) fn schema_to_json(schema: &TableSchema) -> String {
    let columns: Vec<Value> = schema
        .columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "source": column.source,
                "type": column.ty.to_string(),
                "nullable": column.nullable,
                "default": column.default,
            })
        })
        .collect();
    Value::from(columns).to_string()
}

pub(crate) fn schema_from_json(text: &str) -> Result<TableSchema> {
    let read = || -> Option<TableSchema> {
        let value: Value = serde_json::from_str(text).ok()?;
        let columns: Option<Vec<Column>> = value.as_array()?.iter().map(column_from_json).collect();
        Some(TableSchema::new(columns?))
    };
    read().ok_or_else(|| corrupt("a table schema that cannot be read"))
}

fn column_from_json(value: &Value) -> Option<Column> {
    Some(Column {
        name: value.get("name")?.as_str()?.to_owned(),
        source: value.get("source")?.as_str()?.to_owned(),
        ty: ColumnType::parse_canonical(value.get("type")?.as_str()?)?,
        nullable: value.get("nullable")?.as_bool()?,
        default: match value.get("default")? {
            Value::Null => None,
            default => Some(default.as_str()?.to_owned()),
        },
    })
}

pub(crate) fn reference_to_json(reference: &ReferenceFile) -> String {
    json!({ "key": reference.key, "columns": reference.columns }).to_string()
}

pub(crate) fn reference_from_json(text: &str) -> Result<ReferenceFile> {
    let read = || -> Option<ReferenceFile> {
        let value: Value = serde_json::from_str(text).ok()?;
        let columns: Option<Vec<String>> =
            value.get("columns")?.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect();
        Some(ReferenceFile { key: value.get("key")?.as_str()?.to_owned(), columns: columns? })
    };
    read().ok_or_else(|| corrupt("a reference file that cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_and_reference_files_read_back_whatever_their_names_hold() {
        let schema = TableSchema::new(vec![
            Column::nullable("plain", ColumnType::DateTime64 { precision: 3 }),
            Column {
                name: "quoted".to_owned(),
                source: "a \"quoted\" \\ näme\n".to_owned(),
                ty: ColumnType::Decimal { precision: 10, scale: 2 },
                nullable: false,
                default: Some(String::new()),
            },
        ]);
        assert_eq!(schema_from_json(&schema_to_json(&schema)).expect("readable"), schema);
        let reference = ReferenceFile { key: "a/b \" c.csv".to_owned(), columns: vec![String::new(), "ü".to_owned()] };
        assert_eq!(reference_from_json(&reference_to_json(&reference)).expect("readable"), reference);
        for bad in ["", "{}", r#"[{"name":"a"}]"#, r#"[{"name":"a","source":"a","type":"Int7","nullable":true}]"#] {
            assert_eq!(schema_from_json(bad).map_err(|error| error.code()), Err("ledger_corrupt"), "{bad}");
        }
    }

    #[test]
    fn a_code_that_is_read_back_is_leaked_once() {
        assert!(std::ptr::eq(code("object_gone"), code("object_gone")));
        assert_eq!(code("object_changed"), "object_changed");
    }
}
