//! `devcloud`: a folder as S3 and STS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use connector_core::secret::Secret;
use connector_devcloud::{DevCloud, DevCloudConfig, Faults, KeyPair, Role};

use super::connection::policies::quoted;
use super::signals::StopSignals;
use super::{Ended, VerbResult, output, runtime};
use crate::config::settings::{Log, LogFormat};
use crate::{app, logging};

/// Serve a folder as S3 and STS, to try files offline.
///
/// Each folder in FOLDER is a bucket, each file below it an object. Files that are copied in are objects at once.
#[derive(Args)]
#[command(after_help = "\
Examples:
  mkdir -p try/my-bucket && cp *.csv try/my-bucket/
  s3-connector devcloud --folder try

Then, in another shell:
  export DEVCLOUD_KEY=devcloud DEVCLOUD_SECRET=devcloud-secret
  s3-connector connection create s3 --name try --endpoint http://127.0.0.1:9460 \\
      --access-key-secret DEVCLOUD_KEY --secret-key-secret DEVCLOUD_SECRET
  s3-connector datasource generate 's3://my-bucket/*.csv'
  s3-connector run --once

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
    #[arg(long, default_value = USUAL_SECRET, env = "DEVCLOUD_SECRET", hide_env_values = true)]
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

/// Printed in commands to copy; a secret that somebody chose never is.
const USUAL_SECRET: &str = "devcloud-secret";
/// How long an assumed role lasts, at most.
const SESSION: Duration = Duration::from_secs(3_600);

impl Devcloud {
    pub fn execute(self) -> VerbResult {
        logging::start(&Log { format: LogFormat::Human, level: tracing::Level::INFO });
        app::make_folder(&self.folder)?;
        runtime::block_on(|_| self.serve())
    }

    /// Commands that make a connection to it: where it listens, and for which bucket.
    fn next(&self, endpoint: &str, bucket: &str) -> [String; 2] {
        let secret = if self.secret == USUAL_SECRET { USUAL_SECRET } else { "..." };
        let (id, bucket) = (quoted(&self.access_key_id), quoted(bucket));
        let Some(role) = &self.role else {
            return [
                format!("export DEVCLOUD_KEY={id} DEVCLOUD_SECRET={secret}"),
                format!(
                    "s3-connector connection create s3 --name try --endpoint {endpoint} --bucket {bucket} \
                     --access-key-secret DEVCLOUD_KEY --secret-key-secret DEVCLOUD_SECRET"
                ),
            ];
        };
        let role = quoted(role);
        let external_id =
            self.external_id.as_deref().map_or(String::new(), |id| format!(" --external-id {}", quoted(id)));
        [
            format!(
                "export AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} S3_CONNECTOR_AWS_STS_ENDPOINT={endpoint}"
            ),
            format!(
                "s3-connector connection create s3_iamrole --name try --endpoint {endpoint} --bucket {bucket} \
                 --role-arn {role}{external_id} --region us-east-1 --yes"
            ),
        ]
    }

    /// Says how to go on in another shell, with a bucket that is there if any is.
    fn tell_next(&self, endpoint: &str) {
        let folders = std::fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let folders = folders.filter(|entry| entry.path().is_dir());
        let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
        let bucket = names.filter(|name| !name.starts_with('.')).min();
        if bucket.is_none() {
            let folder = self.folder.display();
            output::note(format!("there is no bucket yet: each folder in {folder} is one, each file in it an object"));
        }
        output::note("next, in another shell:");
        let commands = self.next(endpoint, bucket.as_deref().unwrap_or("my-bucket"));
        commands.iter().for_each(|command| output::note(format!("  {command}")));
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
            users: vec![KeyPair {
                access_key_id: self.access_key_id.clone(),
                secret: Secret::new(self.secret.as_str()),
            }],
            roles: self.role.clone().map(role).into_iter().collect(),
            users_may_read: true,
        };
        let cloud = DevCloud::start(config).await.map_err(connector_core::error::Failure::from)?;
        output::line(format!("serving {} as S3 and STS at {}", self.folder.display(), cloud.endpoint()));
        output::line(format!("access key id {}, region us-east-1, path style; Ctrl-C ends it", self.access_key_id));
        self.tell_next(&cloud.endpoint());
        signals.wait().await;
        cloud.shutdown().await;
        Ok(ExitCode::SUCCESS)
    }
}
