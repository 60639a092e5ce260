//! `ledger`: the ledger as a file, for backups and for moving to another host; and putting right what ledger and table
//! disagree about.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use connector_core::error::Failure;
use connector_ledger::import_ledger;
use serde_json::json;

use super::datasource::mending::{Mend, REBUILD, REREAD};
use super::{ConfigFolder, VerbResult, output, project};
use crate::operations::Operation;

/// Copy the ledger out and in
#[derive(Args)]
pub struct Ledger {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Write a copy of the ledger into a file, whether the program runs or not
    Export(Export),
    /// Put a copy of the ledger in its place, while the program does not run
    Import(Import),
    /// Bring a ledger that is older than its table up to the table
    #[command(after_help = REBUILD)]
    Rebuild(Mend),
    /// Read the files of batches again that the table has lost
    #[command(after_help = REREAD)]
    Reread(Mend),
}

#[derive(Args)]
#[command(after_help = "\
The copy is whole and checked. It tells which objects were read, so keep it as you keep the
tables: a table that is newer than its ledger has to be adopted before it is written to.

Examples:
  s3-connector ledger export ledger-backup.db")]
struct Export {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The file to write; there must be none
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "\
A ledger that is older than the table stops the import with the command that mends it; nothing is
read twice.

Examples:
  s3-connector ledger import ledger-backup.db
  s3-connector ledger import ledger-backup.db --replace")]
struct Import {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The file that `ledger export` wrote, or a snapshot
    file: PathBuf,
    /// Put it in the place of the ledger that is there, which is kept beside it
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Ledger {
    pub fn execute(self) -> VerbResult {
        match self.verb {
            Verb::Export(verb) => verb.execute(),
            Verb::Import(verb) => verb.execute(),
            Verb::Rebuild(verb) => verb.execute(Operation::Rebuild),
            Verb::Reread(verb) => verb.execute(Operation::Reread),
        }
    }
}

impl Export {
    fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let Some(ledger) = project::open_ledger(&project)? else {
            let data_dir = project.settings.data_dir.display();
            return Err(Failure::config("no_ledger", format!("there is no ledger in {data_dir} to export")).into());
        };
        ledger.export(&self.file).map_err(Failure::from)?;
        let imports = ledger.imports().map_err(Failure::from)?.len() as u64;
        if self.json {
            output::document(&json!({ "file": self.file.display().to_string(), "imports": imports }));
            return Ok(ExitCode::SUCCESS);
        }
        output::line(format!("{}: the ledger with {}", self.file.display(), output::count(imports, "import")));
        Ok(ExitCode::SUCCESS)
    }
}

impl Import {
    fn execute(self) -> VerbResult {
        let project = project::load_project(&self.folder)?;
        let done = import_ledger(&project.settings.data_dir, &self.file, self.replace).map_err(Failure::from)?;
        let names: Vec<&str> = done.imports.iter().map(|name| name.as_str()).collect();
        if self.json {
            let path = |path: &PathBuf| path.display().to_string();
            output::document(&json!({
                "ledger": path(&done.path),
                "imports": names,
                "replaced": done.replaced.as_ref().map(path),
            }));
            return Ok(ExitCode::SUCCESS);
        }
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        output::line(format!("{}: the ledger is in place; its imports: {names}", done.path.display()));
        if let Some(replaced) = done.replaced {
            output::line(format!("the one that was there is {}", replaced.display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
