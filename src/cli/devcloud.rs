//! `devcloud`: a folder as S3 and STS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use connector_core::secret::Secret;
use connector_devcloud::{DevCloud, DevCloudConfig, Faults, KeyPair, Role};

use super::signals::StopSignals;
use super::{Ended, VerbResult, output, runtime};
use crate::config::settings::{Log, LogFormat};
use crate::{app, logging};

/// Serve a folder as S3 and STS, to try files offline.
///
/// Each folder in DIR is a bucket, each file below it an object. Files that are copied in are objects at once.
#[derive(Args)]
#[command(after_help = "\
Examples:
  mkdir -p try/my-bucket && cp *.csv try/my-bucket/
  s3-connector devcloud --folder try

Then let a .connection point to it:
  TYPE s3
  S3_REGION \"us-east-1\"
  S3_ENDPOINT \"http://127.0.0.1:9460\"
  S3_PATH_STYLE true
  S3_ACCESS_KEY {{ tb_secret(\"DEVCLOUD_KEY\", \"devcloud\") }}
  S3_SECRET {{ tb_secret(\"DEVCLOUD_SECRET\", \"devcloud-secret\") }}

There is no --json: it prints where it listens, and serves until it is stopped.")]
pub struct Devcloud {
    /// The folder to serve; made if it is missing
    #[arg(long)]
    folder: PathBuf,
    /// A loopback address; port 0 takes any free port
    #[arg(long, default_value = "127.0.0.1:9460")]
    listen: SocketAddr,
    /// The access key id that may read and write
    #[arg(long, default_value = "devcloud")]
    access_key_id: String,
    /// Its secret
    #[arg(long, default_value = "devcloud-secret", env = "DEVCLOUD_SECRET", hide_env_values = true)]
    secret: String,
    /// A role that the access key may assume, such as arn:aws:iam::000000000000:role/reader; it may read everything
    #[arg(long)]
    role: Option<String>,
    /// The external id that the role demands
    #[arg(long, requires = "role")]
    external_id: Option<String>,
    /// Answer with errors, cuts, wrong bytes and delays now and then, as this number decides
    #[arg(long, value_name = "SEED")]
    faults: Option<u64>,
}

/// How long an assumed role lasts, at most.
const SESSION: Duration = Duration::from_secs(3_600);

impl Devcloud {
    pub fn execute(self) -> VerbResult {
        logging::start(&Log { format: LogFormat::Human, level: tracing::Level::INFO });
        app::make_folder(&self.folder)?;
        runtime::block_on(|_| self.serve())
    }

    async fn serve(self) -> Result<ExitCode, Ended> {
        let mut signals = StopSignals::listen()?;
        let (caller, external_id) = (self.access_key_id.clone(), self.external_id.clone());
        let role = |arn| Role {
            arn,
            external_id,
            allowed_callers: vec![caller],
            buckets: None,
            session: SESSION,
            write: false,
        };
        let config = DevCloudConfig {
            faults: self.faults.map(Faults::storm),
            folder: self.folder.clone(),
            listen: self.listen,
            region: "us-east-1".to_owned(),
            users: vec![KeyPair { access_key_id: self.access_key_id.clone(), secret: Secret::new(self.secret) }],
            roles: self.role.map(role).into_iter().collect(),
            users_may_read: true,
        };
        let cloud = DevCloud::start(config).await.map_err(connector_core::error::Failure::from)?;
        output::line(format!("serving {} as S3 and STS at {}", self.folder.display(), cloud.endpoint()));
        output::line(format!("access key id {}, region us-east-1, path style; Ctrl-C ends it", self.access_key_id));
        signals.wait().await;
        cloud.shutdown().await;
        Ok(ExitCode::SUCCESS)
    }
}
