//! The schema of an import's table, its reference file, and the versions that the schema went through.

use connector_core::history::{SchemaChange, SchemaVersion};
use connector_core::ports::{AddedColumn, ReferenceFile};
use connector_core::schema::{Column, Origin, TableSchema};
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::error::Result;
use crate::import::Import;
use crate::{codec, json};

/// The schema of the table, once decided.
pub(crate) fn of_table(db: &Connection, import: &Import) -> Result<Option<TableSchema>> {
    let mut statement = db.prepare_cached("SELECT table_schema FROM import WHERE id = ?1")?;
    let stored: Option<String> = statement.query_row([import.id], |row| row.get(0))?;
    stored.as_deref().map(json::schema_from_json).transpose()
}

/// The reference file, once known.
pub(crate) fn reference(db: &Connection, import: &Import) -> Result<Option<ReferenceFile>> {
    let mut statement = db.prepare_cached("SELECT reference FROM import WHERE id = ?1")?;
    let stored: Option<String> = statement.query_row([import.id], |row| row.get(0))?;
    stored.as_deref().map(json::reference_from_json).transpose()
}

/// Without a reference file the stored one stays.
pub(crate) fn decide(
    db: &Connection,
    import: &Import,
    schema: &TableSchema,
    reference: Option<&ReferenceFile>,
) -> Result<()> {
    db.execute(
        "UPDATE import SET table_schema = ?2, reference = COALESCE(?3, reference),
            reference_key = COALESCE(?4, reference_key) WHERE id = ?1",
        params![
            import.id,
            json::schema_to_json(schema),
            reference.map(json::reference_to_json),
            reference.map(|reference| &reference.key),
        ],
    )?;
    Ok(())
}

/// The first time this is version 1, with all columns and what the reference file showed of them.
pub(crate) fn table_created(db: &Connection, import: &Import, schema: &TableSchema, now: Timestamp) -> Result<()> {
    db.execute(
        "UPDATE import SET table_created = 1, table_schema = ?2 WHERE id = ?1",
        params![import.id, json::schema_to_json(schema)],
    )?;
    if newest_version(db, import)? > 0 {
        return Ok(());
    }
    let reference = reference(db, import)?;
    let key = |column: &Column| match column.origin {
        Origin::Declared => None,
        Origin::Inferred | Origin::Evolved => reference.as_ref().map(|reference| reference.key.clone()),
    };
    let changes: Vec<SchemaChange> = schema.columns.iter().map(|column| change(column, key(column))).collect();
    let evidence = reference.as_ref().map_or(&[][..], |reference| &reference.evidence);
    insert(db, import, 1, now, None, &changes, &json::evidence_to_json(evidence))
}

/// The columns that the commit of this batch has added become part of the schema.
pub(crate) fn evolve(db: &Connection, import: &Import, batch: i64, now: Timestamp) -> Result<()> {
    let mut statement = db.prepare_cached("SELECT added FROM batch WHERE id = ?1")?;
    let stored: String = statement.query_row([batch], |row| row.get(0))?;
    let added = json::added_from_json(&stored)?;
    if added.is_empty() {
        return Ok(());
    }
    let mut schema =
        of_table(db, import)?.ok_or_else(|| codec::corrupt("columns added to a table without a schema"))?;
    let changes: Vec<SchemaChange> = added.iter().map(|added| change(&added.column, added.key.clone())).collect();
    for AddedColumn { column, .. } in added {
        // Stored already if the data source declares it and its schema was decided anew since.
        if schema.find(&column.name).is_none() {
            schema.columns.push(column);
        }
    }
    db.prepare_cached("UPDATE import SET table_schema = ?2 WHERE id = ?1")?
        .execute(params![import.id, json::schema_to_json(&schema)])?;
    insert(db, import, newest_version(db, import)? + 1, now, Some(batch), &changes, "[]")
}

fn change(column: &Column, key: Option<String>) -> SchemaChange {
    let ty = if column.nullable { format!("Nullable({})", column.ty) } else { column.ty.to_string() };
    SchemaChange { column: column.name.clone(), ty, key }
}

fn insert(
    db: &Connection,
    import: &Import,
    version: u32,
    now: Timestamp,
    batch: Option<i64>,
    changes: &[SchemaChange],
    evidence: &str,
) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO schema_version (import, version, at, batch, changes, evidence) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![import.id, version, codec::micros(now), batch, json::changes_to_json(changes), evidence])?;
    Ok(())
}

pub(crate) const NEWEST_VERSION: &str = "SELECT MAX(version) FROM schema_version WHERE import = ?1";

/// 0 before the table is created.
pub(crate) fn newest_version(db: &Connection, import: &Import) -> Result<u32> {
    let mut statement = db.prepare_cached(NEWEST_VERSION)?;
    Ok(statement.query_row([import.id], |row| row.get::<_, Option<u32>>(0))?.unwrap_or(0))
}

pub(crate) const VERSIONS: &str = "SELECT version, at, batch.label, changes, evidence
     FROM schema_version LEFT JOIN batch ON batch.id = schema_version.batch
     WHERE schema_version.import = ?1 ORDER BY version";

/// Oldest first.
pub(crate) fn history(db: &Connection, import: &Import) -> Result<Vec<SchemaVersion>> {
    let mut statement = db.prepare_cached(VERSIONS)?;
    let rows = statement.query_and_then([import.id], |row| {
        Ok(SchemaVersion {
            version: row.get(0)?,
            at: codec::time(row.get(1)?)?,
            batch: row.get(2)?,
            changes: json::changes_from_json(&row.get::<_, String>(3)?)?,
            evidence: json::evidence_from_json(&row.get::<_, String>(4)?)?,
        })
    })?;
    rows.collect()
}
