//! The command line: one file for each verb, each a thin client of the rest.

mod audit;
mod check;
mod completions;
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
pub mod reference;
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
use clap::error::ErrorKind;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use connector_core::error::{ErrorClass, Failure};

use crate::config::folder::named_or_found;

/// Watches S3 buckets and ingests every new CSV, NDJSON and Parquet file exactly once into a Delta Lake table.
#[derive(Parser)]
#[command(name = "s3-connector", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// When to print in colour
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    color: output::When,
}

const EXAMPLES: &str = "\
First steps:
  s3-connector demo                                 see it work, with an S3 of its own
  s3-connector connection create s3_iamrole         how to reach your bucket, step by step
  s3-connector datasource generate 's3://my-bucket/orders/*.csv'
                                                    a table for files such as these
  s3-connector push                                 is all of it right? then it takes effect
  s3-connector run --once                           import everything that is new, and end
  s3-connector datasource data orders               rows of the table

Every day:
  s3-connector run                                  import each minute what has landed
  s3-connector status                               how far is it?
  s3-connector history orders --files               what has been imported, file by file
  s3-connector quarantine ls                        what did not fit, and why
  s3-connector plan                                 what would the next sync do?

With --json, a verb prints one JSON document on standard output and nothing else there, also if it
fails: then it is {\"error\": {\"code\", \"class\", \"message\"}}. Notes stay on standard error.

Exit codes:
  0    all well
  2    something to change in configuration or access, or in the command line
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

/// Verbs that explain more than a line in `--help` have an `about` here: a doc comment would take the explanation away.
#[derive(Subcommand)]
enum Verb {
    #[command(about = "Run all imports until stopped, or once")]
    Run(run::Run),
    #[command(about = "Run the pipeline on sample files that keep coming, with an S3 of its own")]
    Demo(demo::Demo),
    #[command(about = "Serve a folder as S3 and STS, to try files offline")]
    Devcloud(devcloud::Devcloud),
    /// Check the configuration, the access to S3, and what each import would read
    Check(check::Check),
    #[command(about = "Say what the next sync would do: files, columns, quarantine, requests, time. Imports nothing")]
    Plan(plan::Plan),
    #[command(
        about = "Check the configuration and let it take effect, in the running program or in the data directory"
    )]
    Push(push::Push),
    /// Create connections to S3, probe, list and remove them, print the policies that AWS needs
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
    /// Print the completions of verbs and flags for a shell
    Completions(completions::Completions),
    #[command(hide = true)]
    DecodeProbe(decode_probe::DecodeProbe),
}

/// The command line as clap knows it: every verb, flag and text.
pub fn command() -> Command {
    Arguments::command()
}

/// Runs the program and says how it went.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|matches| {
        let json = wants_json(&matches);
        Ok((Arguments::from_arg_matches(&matches)?, json))
    });
    let (code, json) = match parsed {
        Ok((arguments, json)) => {
            output::choose(arguments.color);
            (told(arguments.verb.execute(), json), json)
        }
        Err(error) => (usage(&error), false),
    };
    match output::finish() {
        Ok(()) => code,
        Err(failure) => told(Err(failure.into()), json),
    }
}

impl Verb {
    fn execute(self) -> VerbResult {
        match self {
            Self::Run(verb) => verb.execute(),
            Self::Demo(verb) => verb.execute(),
            Self::Devcloud(verb) => verb.execute(),
            Self::Check(verb) => verb.execute(),
            Self::Plan(verb) => verb.execute(),
            Self::Push(verb) => verb.execute(),
            Self::Connection(verb) => verb.execute(),
            Self::Status(verb) => verb.execute(),
            Self::History(verb) => verb.execute(),
            Self::Quarantine(verb) => verb.execute(),
            Self::Rollback(verb) => verb.execute(),
            Self::Maintain(verb) => verb.execute(),
            Self::Audit(verb) => verb.execute(),
            Self::Explain(verb) => verb.execute(),
            Self::Ledger(verb) => verb.execute(),
            Self::DataSource(verb) => verb.execute(),
            Self::Completions(verb) => verb.execute(),
            Self::DecodeProbe(verb) => verb.execute(),
        }
    }
}

/// Tells what went wrong, if something did, and answers with the exit code.
fn told(result: VerbResult, json: bool) -> ExitCode {
    let failure = match result {
        Ok(code) => return code,
        Err(Ended::Told(class)) => {
            let message = output::last_error().unwrap_or_else(|| "standard error has what went wrong".to_owned());
            Failure::new(class, "failed", message)
        }
        Err(Ended::Failed(failure)) => {
            output::error(&failure.message);
            failure
        }
    };
    if json {
        output::failure_document(&failure);
    }
    code_of(failure.class)
}

/// Whether `--json` was given, to whichever verb.
fn wants_json(matches: &ArgMatches) -> bool {
    let here = matches.try_get_one::<bool>("json").ok().flatten().copied().unwrap_or_default();
    here || matches.subcommand().is_some_and(|(_, below)| wants_json(below))
}

/// A command line that cannot be understood, or that asks for help.
fn usage(error: &clap::Error) -> ExitCode {
    let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // Printing may find that nobody reads any more.
    let _ = error.print();
    // There are no verbs and flags to ask yet.
    if !help && std::env::args().skip(1).take_while(|word| word != "--").any(|word| word == "--json") {
        let text = error.to_string();
        let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ").trim().to_owned();
        output::failure_document(&Failure::config("usage", message));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
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
    ExitCode::from(number_of(class))
}

fn number_of(class: ErrorClass) -> u8 {
    match class {
        ErrorClass::Config => 2,
        ErrorClass::Data => 3,
        ErrorClass::Transient => 4,
        ErrorClass::Fenced => 5,
        ErrorClass::Bug => 6,
    }
}

/// The class that a user should hear of first.
fn worse(one: Option<ErrorClass>, other: Option<ErrorClass>) -> Option<ErrorClass> {
    const WORST_FIRST: [ErrorClass; 5] =
        [ErrorClass::Bug, ErrorClass::Fenced, ErrorClass::Config, ErrorClass::Data, ErrorClass::Transient];
    WORST_FIRST.into_iter().find(|class| one == Some(*class) || other == Some(*class))
}
