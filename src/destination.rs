//! The tables of every import: in a folder of this machine, or in a bucket that one connection's role writes to.
//!
//! The bucket is reached with that connection's credentials and with no others: neither those of the connection that an
//! import reads through, nor those of whoever assumes the role.

mod intact;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_core::clock::Clock;
use connector_core::error::Failure;
use connector_core::ids::ImportName;
use connector_core::quarantine;
use connector_core::spec::{ConnectionSpec, ImportSpec};
use connector_delta::{DeltaTable, Location, S3Location, Tried};
use connector_s3::{S3Connection, S3Settings};
use object_store::aws::{AmazonS3Builder, AwsCredential, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, CredentialProvider, ObjectStore, RetryConfig};
use tokio::runtime::Handle;

use crate::config::{BucketDestination, Project};
use crate::operations::Tables;

use self::intact::Intact;

/// Where data files for a bucket are written before they are uploaded: a folder of the data directory.
const SPOOL_FOLDER: &str = "spool/tables";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of one attempt, with all of its body: a part of 8 MiB at 100 KB/s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(90);
/// Repeats beside the first attempt. What still fails then is retried by the import, from a fresh look at the table.
const RETRIES: usize = 4;
/// No repeat is begun later. Well below the time that credentials are renewed ahead of their end.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);

/// Opens tables. Cheap to clone; clones share the HTTP connections.
#[derive(Clone)]
pub struct Destinations {
    place: Place,
    io: Handle,
}

#[derive(Clone)]
enum Place {
    Folder(PathBuf),
    Bucket {
        store: Arc<dyn ObjectStore>,
        bucket: String,
        /// Without slashes at its ends.
        prefix: String,
        spool: PathBuf,
        tried: Tried,
    },
}

impl Destinations {
    /// Does no I/O. `io`: the runtime on whose threads tables work.
    ///
    /// # Errors
    /// `Config` if the connection that writes cannot be used.
    pub fn new(project: &Project, clock: Arc<dyn Clock>, io: Handle) -> Result<Self, Failure> {
        let settings = &project.settings;
        let place = match (&settings.bucket, &project.writer) {
            (None, _) => Place::Folder(settings.destination.clone()),
            (Some(bucket), Some(through)) => Place::Bucket {
                store: store(bucket, through, clock)?,
                bucket: bucket.bucket.clone(),
                prefix: bucket.prefix.clone(),
                spool: settings.data_dir.join(SPOOL_FOLDER),
                tried: Tried::default(),
            },
            (Some(bucket), None) => {
                return Err(Failure::bug("no_writer", format!("no connection writes to {}", bucket.uri())));
            }
        };
        Ok(Self { place, io })
    }

    /// The table of an import, which need not exist.
    ///
    /// # Errors
    /// If the place cannot be addressed.
    pub fn table(&self, spec: &ImportSpec) -> Result<DeltaTable, Failure> {
        self.open(spec.name.as_str())
    }

    /// The quarantine table of an import, beside its table.
    ///
    /// # Errors
    /// As [`Destinations::table`].
    pub fn quarantine(&self, spec: &ImportSpec) -> Result<DeltaTable, Failure> {
        self.open(&quarantine_name(spec))
    }

    /// Both tables of an import.
    ///
    /// # Errors
    /// As [`Destinations::table`].
    pub fn tables(&self, spec: &ImportSpec) -> Result<Tables, Failure> {
        self.tables_of(&spec.name)
    }

    /// Both tables of an import that need not be configured.
    ///
    /// # Errors
    /// As [`Destinations::table`].
    pub fn tables_of(&self, import: &ImportName) -> Result<Tables, Failure> {
        let quarantine = format!("{import}{}", quarantine::SUFFIX);
        Ok(Tables { table: self.open(import.as_str())?, quarantine: self.open(&quarantine)? })
    }

    /// Where the table of an import is, for people.
    pub fn table_location(&self, spec: &ImportSpec) -> String {
        self.location(spec.name.as_str())
    }

    /// Where the quarantine table of an import is, for people.
    pub fn quarantine_location(&self, spec: &ImportSpec) -> String {
        self.location(&quarantine_name(spec))
    }

    fn open(&self, name: &str) -> Result<DeltaTable, Failure> {
        let location = match &self.place {
            Place::Folder(folder) => Location::Local(folder.join(name)),
            Place::Bucket { store, bucket, prefix, spool, tried } => Location::S3(S3Location {
                store: Arc::clone(store),
                bucket: bucket.clone(),
                prefix: below(prefix, name),
                spool: spool.clone(),
                tried: tried.clone(),
            }),
        };
        DeltaTable::open(location, self.io.clone()).map_err(Failure::from)
    }

    fn location(&self, name: &str) -> String {
        match &self.place {
            Place::Folder(folder) => folder.join(name).display().to_string(),
            Place::Bucket { bucket, prefix, .. } => format!("s3://{bucket}/{}", below(prefix, name)),
        }
    }

    /// The folder that holds the tables; `None` if they are in a bucket.
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder),
            Place::Bucket { .. } => None,
        }
    }
}

impl fmt::Debug for Destinations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.location(""))
    }
}

/// Where the table of an import is, for people, without a look at how it is reached.
pub fn table_location(project: &Project, spec: &ImportSpec) -> String {
    location_of(project, spec.name.as_str())
}

/// The same, of an import that need not be configured.
pub fn location_of(project: &Project, import: &str) -> String {
    match &project.settings.bucket {
        None => project.settings.destination.join(import).display().to_string(),
        Some(bucket) => format!("s3://{}/{}", bucket.bucket, below(&bucket.prefix, import)),
    }
}

fn quarantine_name(spec: &ImportSpec) -> String {
    format!("{}{}", spec.name, quarantine::SUFFIX)
}

fn below(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
}

/// The bucket as the table library sees it.
fn store(
    bucket: &BucketDestination,
    through: &ConnectionSpec,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn ObjectStore>, Failure> {
    let settings = S3Settings { seed: fastrand::u64(..), ..S3Settings::default() };
    let connection = S3Connection::new(through, clock, settings)?;
    let options = ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(ATTEMPT_TIMEOUT);
    let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT };
    let mut builder = AmazonS3Builder::new()
        .with_client_options(options)
        .with_bucket_name(&bucket.bucket)
        .with_region(&through.region)
        .with_credentials(Arc::new(ConnectionKeys(connection)))
        .with_virtual_hosted_style_request(!through.path_style)
        .with_request_payer(through.requester_pays)
        // A log entry is put only if there is none.
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // One DELETE for each key: some compatible servers want headers for the other kind that they alone know.
        .with_disable_bulk_delete(true)
        .with_retry(retry);
    if let Some(endpoint) = &through.endpoint {
        let endpoint = if through.path_style { endpoint.clone() } else { virtual_host(endpoint, &bucket.bucket) };
        builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
    }
    let store = builder.build().map_err(|error| {
        let message = format!("tables cannot be written through the connection '{}': {error}", through.name);
        Failure::config("bad_connection", message)
    })?;
    Ok(Arc::new(Intact::new(Arc::new(store))))
}

/// The endpoint with the bucket before its host.
fn virtual_host(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => endpoint.to_owned(),
    }
}

/// The keys of a connection, asked for anew for each request: the connection keeps them and renews them early.
struct ConnectionKeys(S3Connection);

impl fmt::Debug for ConnectionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the keys of {}", self.0.name())
    }
}

#[async_trait]
impl CredentialProvider for ConnectionKeys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let failed = |failure: Failure| object_store::Error::Generic { store: "S3", source: Box::new(failure) };
        match self.0.signing_keys().await {
            Ok(Some(keys)) => Ok(Arc::new(AwsCredential {
                key_id: keys.access_key_id,
                secret_key: keys.secret_access_key.expose().to_owned(),
                token: keys.session_token.map(|token| token.expose().to_owned()),
            })),
            Ok(None) => {
                let message = format!("the connection '{}' is anonymous, and nobody may write so", self.0.name());
                Err(failed(Failure::config("anonymous_destination", message)))
            }
            Err(error) => Err(failed(error.into())),
        }
    }
}

#[cfg(test)]
#[path = "destination_tests.rs"]
mod tests;
