//! A devcloud over a fresh folder, clients for it, and short ways to say what a test expects.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region, StalledStreamProtectionConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use connector_core::clock::{Clock, SystemClock};
use connector_core::secret::Secret;
use connector_devcloud::{DevCloud, DevCloudConfig, Faults, KeyPair, Role, Rule};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const USER: &str = "AKIAUSER";
pub const OTHER_USER: &str = "AKIAOTHER";
pub const SECRET: &str = "user-secret";
pub const READER: &str = "arn:aws:iam::000000000000:role/reader";
pub const WRITER: &str = "arn:aws:iam::000000000000:role/writer";
pub const EXTERNAL_ID: &str = "ext-1";
pub const BUCKET: &str = "shop";

/// The machine's clock, moved.
#[derive(Default)]
pub struct MovedClock(AtomicI64);

impl MovedClock {
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

pub struct World {
    pub folder: TempDir,
    pub cloud: DevCloud,
    pub clock: Arc<MovedClock>,
}

impl World {
    /// Users own the buckets; one bucket.
    pub async fn open() -> Self {
        Self::start(true).await
    }

    /// Only roles reach S3.
    pub async fn roles_only() -> Self {
        Self::start(false).await
    }

    async fn start(users_may_read: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let clock = Arc::new(MovedClock::default());
        let config = config(folder.path().to_owned(), users_may_read);
        let cloud = DevCloud::start_with_clock(config, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        Self { folder, cloud, clock }
    }

    /// Whatever went wrong before, this goes wrong from now on.
    pub fn plan(&self, rules: impl IntoIterator<Item = Rule>) {
        self.cloud.faults().set(Faults { rules: rules.into_iter().collect(), ..Faults::seeded(1) });
    }

    /// How often a fault was done.
    pub fn count(&self, fault: &str) -> u64 {
        self.cloud.faults().counts().get(fault).copied().unwrap_or(0)
    }

    /// A path in the bucket, for dropping files in.
    pub fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(key)
    }

    /// Puts a file into the folder, past S3.
    pub fn drop_in(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn s3(&self) -> aws_sdk_s3::Client {
        self.s3_as(Credentials::new(USER, SECRET, None, None, "test"))
    }

    pub fn s3_as(&self, credentials: Credentials) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(self.cloud.endpoint())
            .force_path_style(true)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .credentials_provider(credentials)
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    pub fn sts_as(&self, credentials: Credentials) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(self.cloud.endpoint())
            .retry_config(RetryConfig::disabled())
            .credentials_provider(credentials)
            .build();
        aws_sdk_sts::Client::from_conf(config)
    }

    pub fn sts(&self) -> aws_sdk_sts::Client {
        self.sts_as(Credentials::new(USER, SECRET, None, None, "test"))
    }

    /// The credentials of a session.
    pub async fn assume(&self, role: &str) -> Credentials {
        let request = self.sts().assume_role().role_arn(role).role_session_name("test").external_id(EXTERNAL_ID);
        let given = request.send().await.unwrap().credentials.unwrap();
        let token = Some(given.session_token);
        Credentials::new(given.access_key_id, given.secret_access_key, token, None, "test")
    }

    /// Sends text as it is and returns the answer as text.
    pub async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.cloud.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

pub fn config(folder: PathBuf, users_may_read: bool) -> DevCloudConfig {
    let user = |id: &str| KeyPair { access_key_id: id.to_owned(), secret: Secret::new(SECRET) };
    let role = |arn: &str, write: bool, buckets: Option<Vec<String>>| Role {
        arn: arn.to_owned(),
        external_id: Some(EXTERNAL_ID.to_owned()),
        allowed_callers: vec![USER.to_owned()],
        buckets,
        session: Duration::from_secs(3600),
        write,
    };
    DevCloudConfig {
        folder,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        region: "eu-west-1".to_owned(),
        users: vec![user(USER), user(OTHER_USER)],
        roles: vec![role(READER, false, Some(vec![BUCKET.to_owned()])), role(WRITER, true, None)],
        users_may_read,
        faults: None,
    }
}

/// Status and code of a refusal; the code is empty where the answer has no body, as on HEAD.
pub fn refusal<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: Result<T, SdkError<E>>,
) -> (u16, String) {
    match result.unwrap_err() {
        SdkError::ServiceError(error) => {
            let code = error.err().code().unwrap_or_default().to_owned();
            (error.raw().status().as_u16(), code)
        }
        other => panic!("not an answer of the service: {other:?}"),
    }
}

/// A pair as [`refusal`] returns it.
pub fn says(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Text from a listing with `encoding-type=url`.
pub fn url_decode(text: &str) -> String {
    url::form_urlencoded::parse(format!("k={}", text.replace('/', "%2F")).as_bytes()).next().unwrap().1.into_owned()
}
