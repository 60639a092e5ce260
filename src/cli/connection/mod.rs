//! `connection`: everything about one `.connection` file.

mod check;

use clap::{Args, Subcommand};

use super::VerbResult;

/// Look at connections: may they do what imports and tables need?
#[derive(Args)]
pub struct Connection {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Probe each permission of a connection by itself, and say what to change
    Check(check::Check),
}

impl Connection {
    pub fn execute(self) -> VerbResult {
        match self.verb {
            Verb::Check(verb) => verb.execute(),
        }
    }
}
