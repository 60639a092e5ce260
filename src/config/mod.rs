//! Configuration: one TOML file and two folders of datafiles become settings and imports.
//!
//! | module | what it does |
//! |---|---|
//! | [`settings`] | `s3-connector.toml` and the environment variables that override it |
//! | [`project`] | the whole folder: settings, connections and data sources, checked against each other |
//! | [`folder`] | which folder that is, if nobody says |
//! | [`notes`] | what a data source asks for and a Delta table cannot do |
//! | [`destination`] | where tables are: a folder, or a bucket with the connection that writes there |
//! | [`mod@reference`] | what there is to say of every key of the settings |
//! | [`secrets`] | the environment and the folder that `tb_secret` looks into |
//! | `toml`, `units` | TOML values with their places; durations and sizes |
//!
//! Relative paths in the settings start from the current directory of the process, not from the configuration
//! folder: the data directory belongs to where the program runs, and a configuration folder may be read-only.

pub mod destination;
pub mod folder;
pub mod notes;
pub mod project;
pub mod reference;
pub mod secrets;
pub mod settings;
mod toml;
mod units;

use std::path::Path;

use connector_core::error::Failure;
use connector_core::secret::Secret;

pub use destination::BucketDestination;
pub use project::{Parts, Project, load, load_settings, read_parts};
pub use settings::Settings;

/// What the configuration is read in: everything that is not in its files. Injected, so that tests need no process.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// An environment variable: an override, a secret of `tb_secret`, or one that the settings refer to.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Where relative paths start.
    pub current_dir: &'a Path,
    /// The secret of a data directory, from which external ids are derived. Asked only if a connection with a role
    /// names no external id and the configuration has no error; it may create the secret.
    pub instance_secret: &'a dyn Fn(&Path) -> Result<Secret, Failure>,
}

/// The environment variable of this process; `None` if it is not set or not Unicode.
pub fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
