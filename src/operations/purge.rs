//! An import whose data source is gone is removed for good: its tables, and what the ledger has of it.

use std::path::Path;

use connector_core::error::Failure;
use connector_core::ids::ImportName;
use connector_core::ports::Destination as _;
use connector_ledger::{LedgerReader, SqliteLedger};
use serde_json::{Value, json};

use crate::destination::Destinations;

/// Removes tables first, and only then what the ledger has: whoever is interrupted can do it again, and a start in
/// between finds that the table is gone. The import must not run.
///
/// Returns where the tables were that were removed.
///
/// # Errors
/// `unknown_import` if the ledger has never heard of it; those of the tables, of which only its own are removed.
pub async fn purge(
    ledger: &SqliteLedger,
    data_dir: &Path,
    destinations: &Destinations,
    import: &ImportName,
) -> Result<Value, Failure> {
    let reader = LedgerReader::open(data_dir)?;
    let known = reader.as_ref().map(|reader| reader.record(import)).transpose()?.flatten();
    let mut removed = Vec::new();
    if let Some(record) = known {
        let tables = destinations.tables_of(import)?;
        for table in [&tables.table, &tables.quarantine] {
            let location = table.location();
            if table.remove(record.uuid).await? {
                removed.push(location);
            }
        }
    }
    if !ledger.forget(import).await? {
        let message = format!("there is nothing of {import} to remove: the ledger has never heard of it");
        return Err(Failure::config("unknown_import", message));
    }
    Ok(json!({ "import": import, "tables": removed }))
}
