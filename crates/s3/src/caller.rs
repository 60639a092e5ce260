//! Who the caller of `sts:AssumeRole` is, as AWS sees it: `sts:GetCallerIdentity`, which needs no permission.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::Region;
use aws_sdk_sts::config::IdentityCache;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use connector_core::clock::Clock;
use connector_core::spec::{Caller, StaticKeys};

use crate::connection::{S3Settings, Wiring, behaviour};
use crate::credentials::{CachedProvider, CredentialCache, FixedKeys, secrets_of};
use crate::error::{S3Error, transient};
use crate::reply::{Reached, Reply};
use crate::retry::{RetryPolicy, TimerWaiting};
use crate::sources::DefaultChain;
use crate::verdict::{Asker, caller_name};

/// What AWS says of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Twelve digits.
    pub account: String,
    /// Of a user, a role's session, or the account itself.
    pub arn: String,
    /// The unique id behind the ARN.
    pub user: String,
}

/// Somebody waits at a terminal: fewer attempts than a daemon makes.
const ATTEMPTS: u32 = 2;
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks STS who the caller is. `region`: such as `eu-west-1`. `sts_endpoint`: another STS than that of the region.
/// `connection` is what messages call the connection that the caller is wanted for.
///
/// # Errors
/// `Config` if there are no credentials, they are refused, or no request can be made; `Transient` if STS cannot be
/// reached.
pub async fn caller_identity(
    caller: &Caller,
    region: &str,
    sts_endpoint: Option<&str>,
    connection: &str,
    clock: Arc<dyn Clock>,
) -> Result<Identity, S3Error> {
    let wiring = Wiring { http: None, waiting: Arc::new(TimerWaiting) };
    ask(caller, region, sts_endpoint, connection, clock, wiring).await
}

pub(crate) async fn ask(
    caller: &Caller,
    region: &str,
    sts_endpoint: Option<&str>,
    connection: &str,
    clock: Arc<dyn Clock>,
    wiring: Wiring,
) -> Result<Identity, S3Error> {
    let cache = match caller {
        Caller::Static(keys) => CredentialCache::new(FixedKeys(fixed(keys)), clock),
        Caller::DefaultChain => {
            CredentialCache::new(DefaultChain::new(connection, Region::new(region.to_owned())), clock)
        }
    };
    let asker = Asker {
        connection: connection.to_owned(),
        principal: caller_name(caller),
        region: region.to_owned(),
        requester_pays: false,
        renewable: cache.renewable(),
    };
    let settings = S3Settings::default();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    let mut config = aws_sdk_sts::Config::builder()
        .behavior_version(behaviour())
        .region(Region::new(region.to_owned()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .identity_cache(IdentityCache::no_cache())
        .credentials_provider(CachedProvider(cache.clone()));
    config.set_endpoint_url(sts_endpoint.map(str::to_owned));
    config.set_http_client(wiring.http);
    let client = aws_sdk_sts::Client::from_conf(config.build());
    let retry = RetryPolicy {
        attempts: ATTEMPTS,
        base: settings.first_wait,
        cap: settings.longest_wait,
        random: Mutex::new(fastrand::Rng::with_seed(settings.seed)),
        waiting: wiring.waiting,
    };
    let mut retries = retry.begin();
    loop {
        let credentials = cache.current().await?;
        match once(&client, &asker, &credentials).await {
            Ok(identity) => return Ok(identity),
            Err(error) => retries.after(error).await?,
        }
    }
}

fn fixed(keys: &StaticKeys) -> Credentials {
    let token = keys.session_token.as_ref().map(|token| token.expose().to_owned());
    Credentials::new(keys.access_key_id.clone(), keys.secret_access_key.expose(), token, None, "configuration")
}

const DOING: &str = "asking STS who the caller is";

async fn once(client: &aws_sdk_sts::Client, asker: &Asker, used: &Credentials) -> Result<Identity, S3Error> {
    let answer = Box::pin(client.get_caller_identity().send())
        .await
        .map_err(|error| refusal(asker, &Reply::of(&error, &secrets_of(Some(used)))))?;
    let told = |text: Option<String>| text.filter(|text| !text.is_empty());
    match (told(answer.account), told(answer.arn), answer.user_id) {
        (Some(account), Some(arn), user) => Ok(Identity { account, arn, user: user.unwrap_or_default() }),
        _ => {
            let detail = "the answer is not one that STS sends; check [aws] sts_endpoint".to_owned();
            Err(asker.transient(transient::NOT_S3, DOING.to_owned(), detail))
        }
    }
}

fn refusal(asker: &Asker, reply: &Reply) -> S3Error {
    let connection = asker.connection.clone();
    let doing = DOING.to_owned();
    if reply.reached == Reached::NotSent {
        let problem = format!("no request to STS can be made ({}); check region and [aws] sts_endpoint", reply.message);
        return S3Error::BadConnection { connection, problem };
    }
    if reply.says_clock_is_off() {
        return S3Error::ClockSkew { connection, doing, detail: reply.code_only() };
    }
    match reply.transient_code() {
        Some(code) => asker.transient(code, doing, reply.detail()),
        // It needs no permission, so whatever else is refused, the credentials are.
        None => {
            S3Error::BadCredentials { connection, principal: asker.principal.clone(), doing, detail: reply.code_only() }
        }
    }
}
