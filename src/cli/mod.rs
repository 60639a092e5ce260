//! The command line: one file for each verb, each a thin client of the rest.

mod audit;
mod check;
mod connection;
mod datasource;
mod decode_probe;
mod demo;
mod devcloud;
mod explain;
mod history;
mod ledger_cli;
mod maintain;
mod once;
mod operation;
mod output;
mod plan;
mod project;
mod push;
mod quarantine;
mod rollback;
mod run;
mod running;
mod runtime;
mod scheduling;
mod signals;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand};
use connector_core::error::{ErrorClass, Failure};

use crate::config::folder::named_or_found;

/// Watches S3 buckets and ingests every new CSV, NDJSON and Parquet file exactly once into a Delta Lake table.
#[derive(Parser)]
#[command(name = "s3-connector", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  s3-connector demo          see it work, with an S3 of its own
  s3-connector check         is the configuration right, what would be read?
  s3-connector plan          what would the next sync do?
  s3-connector run           import each minute what has landed
  s3-connector run --once    import everything that is new, and end
  s3-connector status        how far is it?
  s3-connector history       what has been imported, file by file
  s3-connector quarantine ls what did not fit, and why

Exit codes:
  0    all well
  2    something to change in configuration or access
  3    bad files
  4    something that may pass by itself, such as a network failure
  5    another writer
  6    a bug
  130  interrupted";

/// Where the configuration is.
#[derive(clap::Args, Clone)]
struct ConfigFolder {
    /// The folder with s3-connector.toml, connections/ and datasources/ [default: config, or, if there is no such folder,
    /// the current one if it holds .connection or .datasource files]
    #[arg(long, short, default_value = "", hide_default_value = true, env = "S3_CONNECTOR_CONFIG",
        value_parser = OsStringValueParser::new().map(named_or_found))]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Verb {
    /// Run all imports until stopped, or once
    Run(run::Run),
    /// Run the pipeline on sample files that keep coming, with an S3 of its own
    Demo(demo::Demo),
    /// Serve a folder as S3 and STS, to try files offline
    Devcloud(devcloud::Devcloud),
    /// Check the configuration, the access to S3, and what each import would read
    Check(check::Check),
    /// Say what the next sync would do: files, columns, quarantine, requests, time. Imports nothing
    Plan(plan::Plan),
    /// Check the configuration and let it take effect, in the running program or in the data directory
    Push(push::Push),
    /// Create connections to S3, list and remove them, print the policies that AWS needs
    Connection(connection::Connection),
    /// Show how far each import is
    Status(status::Status),
    /// Show the batches of an import, their files, and the versions of its schema
    History(history::History),
    /// Show, search and export the rows that do not fit, and move those into the table that fit by now
    Quarantine(quarantine::Quarantine),
    /// Take back everything that one batch brought
    Rollback(rollback::Rollback),
    /// Keep the tables in order now: expiry, compaction, clean-up
    Maintain(maintain::Maintain),
    /// Compare bucket, ledger and tables: is every row there exactly once?
    Audit(audit::Audit),
    /// Say why an object was ingested or not, which rule decided, and what happens next
    Explain(explain::Explain),
    /// Copy the ledger out and in; make it agree with the table again
    Ledger(ledger_cli::Ledger),
    /// Look at a data source's files and table; pause, resume and retry its import; adopt its table
    #[command(name = "datasource")]
    DataSource(datasource::DataSource),
    #[command(hide = true)]
    DecodeProbe(decode_probe::DecodeProbe),
}

/// Runs the program and says how it went.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.verb {
        Verb::Run(verb) => verb.execute(),
        Verb::Demo(verb) => verb.execute(),
        Verb::Devcloud(verb) => verb.execute(),
        Verb::Check(verb) => verb.execute(),
        Verb::Plan(verb) => verb.execute(),
        Verb::Push(verb) => verb.execute(),
        Verb::Connection(verb) => verb.execute(),
        Verb::Status(verb) => verb.execute(),
        Verb::History(verb) => verb.execute(),
        Verb::Quarantine(verb) => verb.execute(),
        Verb::Rollback(verb) => verb.execute(),
        Verb::Maintain(verb) => verb.execute(),
        Verb::Audit(verb) => verb.execute(),
        Verb::Explain(verb) => verb.execute(),
        Verb::Ledger(verb) => verb.execute(),
        Verb::DataSource(verb) => verb.execute(),
        Verb::DecodeProbe(verb) => verb.execute(),
    };
    match result {
        Ok(code) => code,
        Err(Ended::Told(class)) => code_of(class),
        Err(Ended::Failed(failure)) => {
            output::error(&failure.message);
            code_of(failure.class)
        }
    }
}

/// Why a verb did not do what it was asked to.
enum Ended {
    /// The user has been told already.
    Told(ErrorClass),
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

type VerbResult = Result<ExitCode, Ended>;

/// The exit code of an error class.
fn code_of(class: ErrorClass) -> ExitCode {
    ExitCode::from(match class {
        ErrorClass::Config => 2,
        ErrorClass::Data => 3,
        ErrorClass::Transient => 4,
        ErrorClass::Fenced => 5,
        ErrorClass::Bug => 6,
    })
}

/// The class that a user should hear of first.
fn worse(one: Option<ErrorClass>, other: Option<ErrorClass>) -> Option<ErrorClass> {
    const WORST_FIRST: [ErrorClass; 5] =
        [ErrorClass::Bug, ErrorClass::Fenced, ErrorClass::Config, ErrorClass::Data, ErrorClass::Transient];
    WORST_FIRST.into_iter().find(|class| one == Some(*class) || other == Some(*class))
}
