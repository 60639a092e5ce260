//! One connection: the SDK clients and credentials that all imports of a `.connection` share.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{
    BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use connector_core::clock::Clock;
use connector_core::object::ListedObject;
use connector_core::secret::Secret;
use connector_core::spec::{Access, Caller, ConnectionSpec, StaticKeys};

use crate::bucket::S3Bucket;
use crate::credentials::{CachedProvider, CredentialCache, FixedKeys};
use crate::error::S3Error;
use crate::retry::{RetryPolicy, TimerWaiting, Waiting};
use crate::sources::{AssumedRole, DefaultChain, session_name};
use crate::verdict::{Asker, caller_name};

/// What may be tuned. The defaults are meant to be right.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// How long assumed credentials shall live; 15 minutes to 1 hour, which is all that a chained role allows.
    pub session: Duration,
    /// Attempts of one call, the first included.
    pub attempts: u32,
    /// The bound of the first wait between two attempts; each further one doubles.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    pub connect_timeout: Duration,
    /// From the request to the head of the answer.
    pub read_timeout: Duration,
    /// For one attempt with all of its body, beside the time that the body takes at `slowest`.
    pub attempt_timeout: Duration,
    /// Bytes per second; a body that comes slower than this is given up and asked for again.
    pub slowest: u64,
    /// Of the jitter.
    pub seed: u64,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            session: LONGEST_SESSION,
            attempts: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(60),
            slowest: 64 * 1024,
            seed: 0,
        }
    }
}

const SHORTEST_SESSION: Duration = Duration::from_secs(15 * 60);
const LONGEST_SESSION: Duration = Duration::from_secs(60 * 60);

/// How the outside is reached; tests bring their own.
pub(crate) struct Wiring {
    /// `None` is the SDK's HTTPS client, which heeds the proxy variables of the environment.
    pub http: Option<SharedHttpClient>,
    pub waiting: Arc<dyn Waiting>,
}

/// A connection. Cheap to clone; clones share credentials and HTTP connections.
#[derive(Clone)]
pub struct S3Connection {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub client: aws_sdk_s3::Client,
    /// `None` if requests are not signed.
    pub credentials: Option<Arc<CredentialCache>>,
    pub asker: Asker,
    pub retry: Arc<RetryPolicy>,
    pub settings: S3Settings,
    /// Whether the server is AWS: some compatible ones refuse a request that asks for a checksum.
    pub asks_checksums: bool,
}

impl S3Connection {
    /// Makes the clients of a connection. Does no I/O: what is wrong with credentials shows at the first call.
    ///
    /// # Errors
    /// `Config` with code `bad_connection` if region or an endpoint cannot be used.
    pub fn new(spec: &ConnectionSpec, clock: Arc<dyn Clock>, settings: S3Settings) -> Result<Self, S3Error> {
        Self::wired(spec, clock, settings, Wiring { http: None, waiting: Arc::new(TimerWaiting) })
    }

    pub(crate) fn wired(
        spec: &ConnectionSpec,
        clock: Arc<dyn Clock>,
        mut settings: S3Settings,
        wiring: Wiring,
    ) -> Result<Self, S3Error> {
        check(spec)?;
        settings.session = settings.session.clamp(SHORTEST_SESSION, LONGEST_SESSION);
        settings.attempts = settings.attempts.max(1);
        let retry = Arc::new(RetryPolicy {
            attempts: settings.attempts,
            base: settings.first_wait,
            cap: settings.longest_wait,
            random: Mutex::new(fastrand::Rng::with_seed(settings.seed)),
            waiting: wiring.waiting,
        });
        let credentials = credentials(spec, &clock, &settings, &retry, wiring.http.as_ref());
        let asker = Asker {
            connection: spec.name.clone(),
            principal: principal(&spec.access),
            region: spec.region.clone(),
            requester_pays: spec.requester_pays,
            renewable: credentials.as_ref().is_some_and(|cache| cache.renewable()),
        };
        let client = s3_client(spec, &settings, credentials.as_ref(), wiring.http);
        let asks_checksums = spec.endpoint.is_none();
        Ok(Self { inner: Arc::new(Inner { client, credentials, asker, retry, settings, asks_checksums }) })
    }

    /// One bucket through this connection.
    pub fn bucket(&self, name: impl Into<Arc<str>>) -> S3Bucket {
        S3Bucket::new(self.clone(), name.into())
    }

    /// Asks for one key below `prefix`, to see whether credentials, bucket and permission to list are right.
    ///
    /// # Errors
    /// As [`connector_core::ports::ObjectSource::list_page`].
    pub async fn probe(&self, bucket: &str, prefix: &str) -> Result<Option<ListedObject>, S3Error> {
        let page = self.bucket(bucket).list(prefix, None, 1).await?;
        Ok(page.objects.into_iter().next())
    }

    /// The keys that sign the next request, for a client of another library; `None` if requests are not signed.
    /// Temporary ones are renewed well before they expire: ask before each request and keep none.
    ///
    /// # Errors
    /// As those of any call: `Config` if the role cannot be assumed, `Transient` once retries are used up.
    pub async fn signing_keys(&self) -> Result<Option<StaticKeys>, S3Error> {
        let keys = self.inner.credentials().await?;
        Ok(keys.map(|keys| StaticKeys {
            access_key_id: keys.access_key_id().to_owned(),
            secret_access_key: Secret::new(keys.secret_access_key()),
            session_token: keys.session_token().map(Secret::new),
        }))
    }

    /// The name of the connection.
    pub fn name(&self) -> &str {
        &self.inner.asker.connection
    }
}

impl fmt::Debug for S3Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asker = &self.inner.asker;
        f.debug_struct("S3Connection")
            .field("name", &asker.connection)
            .field("region", &asker.region)
            .field("principal", &asker.principal)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Credentials for the next attempt; `None` if requests are not signed.
    pub async fn credentials(&self) -> Result<Option<Credentials>, S3Error> {
        match &self.credentials {
            Some(cache) => cache.current().await.map(Some),
            None => Ok(None),
        }
    }

    /// Drops credentials that were refused as expired, so that the next attempt gets new ones.
    pub fn forget_if_expired(&self, error: &S3Error, used: Option<&Credentials>) {
        if let (true, Some(cache), Some(used)) = (error.is_expired_token(), &self.credentials, used) {
            cache.forget(used);
        }
    }
}

fn check(spec: &ConnectionSpec) -> Result<(), S3Error> {
    let bad = |problem: String| Err(S3Error::BadConnection { connection: spec.name.clone(), problem });
    let region_fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if spec.region.is_empty() || !spec.region.chars().all(region_fits) {
        return bad(format!("{:?} is not a region; set S3_REGION to one such as eu-west-1", spec.region));
    }
    for (setting, endpoint) in [("S3_ENDPOINT", &spec.endpoint), ("[aws] sts_endpoint", &spec.sts_endpoint)] {
        let Some(endpoint) = endpoint else { continue };
        // The value is not repeated: it may hold a password.
        match url::Url::parse(endpoint) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                return bad(format!("{setting} must not hold a user name or password"));
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
            _ => return bad(format!("{setting} is not a URL such as https://s3.example.com")),
        }
    }
    Ok(())
}

fn principal(access: &Access) -> String {
    match access {
        Access::Role { arn, .. } => format!("the role {arn}"),
        Access::Static(keys) => format!("the access key {}", keys.access_key_id),
        Access::DefaultChain => "the default AWS chain".to_owned(),
        Access::Anonymous => "everybody (anonymous access)".to_owned(),
    }
}

fn fixed(keys: &StaticKeys, clock: &Arc<dyn Clock>) -> Arc<CredentialCache> {
    let token = keys.session_token.as_ref().map(|token| token.expose().to_owned());
    let secret = keys.secret_access_key.expose();
    let credentials = Credentials::new(keys.access_key_id.clone(), secret, token, None, "configuration");
    CredentialCache::new(FixedKeys(credentials), clock.clone())
}

fn credentials(
    spec: &ConnectionSpec,
    clock: &Arc<dyn Clock>,
    settings: &S3Settings,
    retry: &Arc<RetryPolicy>,
    http: Option<&SharedHttpClient>,
) -> Option<Arc<CredentialCache>> {
    let chain = || CredentialCache::new(DefaultChain::new(&spec.name, Region::new(spec.region.clone())), clock.clone());
    match &spec.access {
        Access::Anonymous => None,
        Access::Static(keys) => Some(fixed(keys, clock)),
        Access::DefaultChain => Some(chain()),
        Access::Role { arn, external_id, caller } => {
            let cache = match caller {
                Caller::Static(keys) => fixed(keys, clock),
                Caller::DefaultChain => chain(),
            };
            let role = AssumedRole {
                client: sts_client(spec, settings, &cache, http),
                arn: arn.clone(),
                external_id: external_id.clone(),
                session_name: session_name(&spec.name),
                session: settings.session,
                asker: Asker {
                    connection: spec.name.clone(),
                    principal: caller_name(caller),
                    region: spec.region.clone(),
                    requester_pays: false,
                    renewable: cache.renewable(),
                },
                caller: cache,
                retry: retry.clone(),
                clock: clock.clone(),
            };
            Some(CredentialCache::new(role, clock.clone()))
        }
    }
}

/// Pinned, so that an update of the SDK does not change time-outs or checksums unseen.
pub(crate) fn behaviour() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

fn timeouts(settings: &S3Settings) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.read_timeout)
        .operation_attempt_timeout(settings.attempt_timeout)
        .build()
}

fn s3_client(
    spec: &ConnectionSpec,
    settings: &S3Settings,
    credentials: Option<&Arc<CredentialCache>>,
    http: Option<SharedHttpClient>,
) -> aws_sdk_s3::Client {
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(behaviour())
        .region(Region::new(spec.region.clone()))
        .force_path_style(spec.path_style)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(settings))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().build())
        .identity_cache(IdentityCache::no_cache())
        // Checked in `integrity`.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    match credentials {
        Some(cache) => config = config.credentials_provider(CachedProvider(cache.clone())),
        None => config = config.allow_no_auth(),
    }
    if let Some(endpoint) = &spec.endpoint {
        // Many compatible servers know no CRC checksums.
        config = config.endpoint_url(endpoint).request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
    }
    config.set_http_client(http);
    aws_sdk_s3::Client::from_conf(config.build())
}

fn sts_client(
    spec: &ConnectionSpec,
    settings: &S3Settings,
    caller: &Arc<CredentialCache>,
    http: Option<&SharedHttpClient>,
) -> aws_sdk_sts::Client {
    let mut config = aws_sdk_sts::Config::builder()
        .behavior_version(behaviour())
        .region(Region::new(spec.region.clone()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts(settings))
        .identity_cache(IdentityCache::no_cache())
        .credentials_provider(CachedProvider(caller.clone()));
    config.set_endpoint_url(spec.sts_endpoint.clone());
    config.set_http_client(http.cloned());
    aws_sdk_sts::Client::from_conf(config.build())
}
