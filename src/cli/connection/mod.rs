//! `connection`: connections to S3 are created, probed, listed, removed, and their policies printed.

pub(super) mod ask;
mod check;
mod create;
mod draft;
pub(super) mod files;
mod finish;
mod given;
mod ls;
mod next;
pub(super) mod policies;
mod policy;
mod report;
mod rm;
mod steps;
mod validate;

use clap::{Args, Subcommand};

use super::VerbResult;

/// Create connections to S3, probe, list and remove them, print the policies that AWS needs for them.
#[derive(Args)]
pub struct Connection {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Create a connection, step by step or by flags
    Create(create::Create),
    /// Probe each permission of a connection by itself, and say what to change
    Check(check::Check),
    /// List the connections, who uses them, and those that are not finished
    Ls(ls::Ls),
    /// Print the access policy and the trust policy of a connection
    Policy(policy::PolicyVerb),
    /// Remove a connection that nothing uses
    Rm(rm::Rm),
}

impl Connection {
    pub fn execute(self) -> VerbResult {
        match self.verb {
            Verb::Create(verb) => verb.execute(),
            Verb::Check(verb) => verb.execute(),
            Verb::Ls(verb) => verb.execute(),
            Verb::Policy(verb) => verb.execute(),
            Verb::Rm(verb) => verb.execute(),
        }
    }
}
