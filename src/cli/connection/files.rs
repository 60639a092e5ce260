//! What a configuration folder says of connections, as far as it can be read: other files may be broken, or not there
//! yet. It is the same folder that `check` and `run` see: [`read_parts`] reads it.

use std::path::{Path, PathBuf};

use connector_core::error::{ErrorClass, Failure};
use connector_core::iam::{Grants, Partition, Place, Policy, Scope};
use connector_core::spec::Caller;
use connector_datafile::suggest::nearest;
use connector_datafile::{AccessDef, Connection, DataSource, SourceFile};

use super::super::{Ended, output};
use crate::app::INSTANCE_SECRET;
use crate::config::project::derive_external_id;
use crate::config::{Settings, Surroundings, process_variable, read_parts};
use crate::private_file;

/// A connection with where it was found.
pub struct Found {
    pub path: PathBuf,
    pub connection: Connection,
    /// Its file has errors, so that what is shown of it may be wrong.
    pub broken: bool,
}

/// The connections and data sources of a folder.
pub struct Files {
    pub settings: Settings,
    pub connections: Vec<Found>,
    pub datasources: Vec<(PathBuf, DataSource)>,
}

/// Who uses a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// The name of a data source, and what it reads, if its file says so.
    DataSource(String, Option<Place>),
    /// The tables.
    Destination(Place),
}

impl User {
    pub fn name(&self) -> &str {
        match self {
            Self::DataSource(name, _) => name,
            Self::Destination(_) => "destination.connection",
        }
    }
}

impl Files {
    /// Reads a folder, which need not be there. Errors in the settings are told and end it: they say who the caller is.
    /// A file that cannot be read is told, too, for it may be the very one that uses a connection.
    pub fn read(config: &Path) -> Result<Self, Ended> {
        let current_dir = std::env::current_dir()
            .map_err(|error| Failure::config("current_dir", format!("cannot tell the current directory: {error}")))?;
        let no_secret = |_: &Path| Err(Failure::config("instance_secret", "not asked for here"));
        let around =
            Surroundings { variable: &process_variable, current_dir: &current_dir, instance_secret: &no_secret };
        let parts = read_parts(config, &around);
        if parts.of_settings().iter().any(connector_datafile::Diagnostic::is_error) {
            output::diagnostics(parts.of_settings());
            output::error("the settings have problems; nothing was done");
            return Err(Ended::Told(ErrorClass::Config));
        }
        output::diagnostics(&parts.unreadable());
        let path = |file: &SourceFile| PathBuf::from(file.name());
        let found = |connection: &Connection| Found {
            path: path(&connection.file),
            connection: connection.clone(),
            broken: parts.is_broken(&connection.file),
        };
        let mut connections: Vec<Found> = parts.connections.iter().map(found).collect();
        connections.sort_by(|one, other| one.connection.name.cmp(&other.connection.name));
        let datasources = parts.datasources.into_iter().map(|source| (path(&source.file), source)).collect();
        Ok(Self { settings: parts.settings, connections, datasources })
    }

    /// The connection of this name, in whatever case, with `-` or `_`.
    pub fn find(&self, name: &str) -> Option<&Found> {
        self.connections.iter().find(|found| is_called(&found.connection.name, name))
    }

    /// The same, or an error that names one spelled alike.
    pub fn get(&self, name: &str) -> Result<&Found, Failure> {
        self.find(name).ok_or_else(|| {
            let names: Vec<&str> = self.connections.iter().map(|found| found.connection.name.as_str()).collect();
            let hint = match nearest(name, names.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None if names.is_empty() => "create one: s3-connector connection create s3_iamrole".to_owned(),
                None => format!("there are: {}", names.join(", ")),
            };
            Failure::config("unknown_connection", format!("there is no connection {name}; {hint}"))
        })
    }

    /// Who uses a connection.
    pub fn users(&self, connection: &str) -> Vec<User> {
        let uses = |source: &&DataSource| source.connection.as_ref().is_some_and(|name| name.value == connection);
        let place = |source: &DataSource| source.import.as_ref().map(|import| Place::of_uri(&import.uri.value));
        let mut users: Vec<User> = self
            .datasources
            .iter()
            .map(|(_, source)| source)
            .filter(uses)
            .map(|source| User::DataSource(source.name.clone(), place(source)))
            .collect();
        users.extend(self.settings.bucket.as_ref().filter(|bucket| bucket.connection == connection).map(|bucket| {
            let scope =
                if bucket.prefix.is_empty() { Scope::Whole } else { Scope::Prefix(format!("{}/", bucket.prefix)) };
            User::Destination(Place { bucket: bucket.bucket.clone(), scope })
        }));
        users
    }

    /// The external id of a connection with a role; `None` if it is derived from a secret that is not there yet.
    pub fn external_id(&self, connection: &Connection) -> Option<String> {
        let AccessDef::Role { external_id, .. } = &connection.access else { return None };
        external_id.as_ref().map(|id| id.value.clone()).or_else(|| {
            let secret = private_file::load(&self.settings.data_dir, INSTANCE_SECRET).ok()?;
            Some(derive_external_id(&secret, &connection.name))
        })
    }

    /// Who calls `sts:AssumeRole`.
    pub fn caller(&self) -> Caller {
        self.settings.aws.keys.clone().map_or(Caller::DefaultChain, Caller::Static)
    }

    /// The region that requests go to if nothing else says so.
    pub fn region(&self) -> Option<String> {
        let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        let from_environment = || variables.into_iter().find_map(process_variable).filter(|region| !region.is_empty());
        self.settings.aws.region.clone().or_else(from_environment)
    }
}

/// Whether a connection is meant by a name, in whatever case, with `-` or `_`.
pub fn is_called(connection: &str, name: &str) -> bool {
    connection.eq_ignore_ascii_case(&name.replace('-', "_"))
}

/// What a role shall be able to do with these places.
pub fn grants(partition: Partition, policy: Policy, places: Vec<Place>, keys: Vec<String>) -> Grants {
    match policy {
        Policy::Read => Grants { partition, read: places, write: Vec::new(), keys },
        Policy::Write => Grants { partition, read: Vec::new(), write: places, keys },
    }
}
