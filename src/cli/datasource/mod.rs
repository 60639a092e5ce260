//! `datasource`: what a data source's files look like, what its table has beyond its file, and pausing its import.

mod create;
mod data;
mod diff;
mod generate;
mod looks;
mod ls;
pub(super) mod mending;
mod preview;
mod sample;
mod sync;

use clap::{Args, Subcommand};
use connector_core::schema::Column;
use serde_json::{Value, json};

use super::VerbResult;
use super::scheduling::Scheduling;
use crate::operations::Operation;

/// Look at a data source: how its files would land, how its table differs from its file. Pause and resume its import.
#[derive(Args)]
pub struct DataSource {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Write a .datasource for files such as a sample
    Generate(generate::Generate),
    /// Write a .datasource from flags, or one to fill in
    Create(create::Create),
    /// List the data sources: what they read, and what their tables hold
    Ls(ls::Ls),
    /// Show rows of the table
    Data(data::Data),
    /// Show the first rows of a file as they would land. Imports nothing
    Preview(preview::PreviewVerb),
    /// Show what the table has beyond the .datasource file, and what the file has beyond the table
    Diff(diff::Diff),
    /// Say whether the import is paused, and why; pause and resume it
    Scheduling(Scheduling),
    /// Import everything that is new now, without a cap, and show how far it is
    Sync(sync::Sync),
    /// Make files that failed, wait, or were rolled back claimable again
    Retry(mending::Retry),
    /// Rebuild a lost ledger from the table, so that nothing is imported twice
    #[command(after_help = mending::ADOPT)]
    Adopt(mending::Mend),
}
impl DataSource {
    pub fn execute(self) -> VerbResult {
        match self.verb {
            Verb::Generate(verb) => verb.execute(),
            Verb::Create(verb) => verb.execute(),
            Verb::Ls(verb) => verb.execute(),
            Verb::Data(verb) => verb.execute(),
            Verb::Preview(verb) => verb.execute(),
            Verb::Diff(verb) => verb.execute(),
            Verb::Scheduling(verb) => verb.execute(),
            Verb::Sync(verb) => verb.execute(),
            Verb::Retry(verb) => verb.execute(),
            Verb::Adopt(verb) => verb.execute(Operation::Adopt),
        }
    }
}

fn column_json(column: &Column) -> Value {
    json!({ "name": column.name, "type": type_of(column), "source": column.source, "origin": column.origin.as_str() })
}

fn type_of(column: &Column) -> String {
    if column.nullable { format!("Nullable({})", column.ty) } else { column.ty.to_string() }
}
