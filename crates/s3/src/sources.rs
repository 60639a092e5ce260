//! The two sources of credentials that change: the default AWS chain, and a role.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::config::Region;
use connector_core::clock::Clock;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::credentials::{CredentialCache, CredentialSource, later, secrets_of};
use crate::error::{S3Error, transient};
use crate::reply::Reply;
use crate::retry::RetryPolicy;
use crate::text;
use crate::verdict::{Asker, assume_role};

/// The default AWS chain. Built on first use, since building it reads files.
pub(crate) struct DefaultChain {
    connection: String,
    region: Region,
    built: OnceCell<SharedCredentialsProvider>,
}

impl DefaultChain {
    pub fn new(connection: &str, region: Region) -> Self {
        Self { connection: connection.to_owned(), region, built: OnceCell::new() }
    }

    /// A chain that consists of one given provider.
    #[cfg(test)]
    pub fn of(connection: &str, provider: impl ProvideCredentials + 'static) -> Self {
        let built = OnceCell::new_with(Some(SharedCredentialsProvider::new(provider)));
        Self { connection: connection.to_owned(), region: Region::from_static("us-east-1"), built }
    }

    fn error(&self, error: &CredentialsError) -> S3Error {
        let connection = self.connection.clone();
        let detail = attempts(error).unwrap_or_else(|| text::chain(error, &[]));
        match error {
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
                S3Error::NoCredentials { connection, detail }
            }
            _ => S3Error::Transient {
                connection,
                code: transient::CREDENTIALS_UNAVAILABLE,
                doing: "asking the default AWS chain for credentials".to_owned(),
                detail: format!("{detail}; to use keys of your own, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
                attempts: 1,
            },
        }
    }
}

/// Why each link of the chain has nothing, on one line; `None` if the error is another one. The chain tells it as a list of
/// lines that begin alike, so long that the last ones would be cut off.
fn attempts(error: &CredentialsError) -> Option<String> {
    const NOTHING: &str = "the credential provider was not enabled";
    let told = std::error::Error::source(error)?.to_string();
    let (_, links) = told.split_once("Attempted:\n")?;
    let links = links.lines().filter_map(|line| {
        let (link, why) = line.trim().split_once(": ")?;
        let why = why.strip_prefix(NOTHING).unwrap_or(why).trim_start_matches(": ");
        Some(format!("{link}: {}", if why.is_empty() { "nothing set" } else { why }))
    });
    Some(text::clean(&links.collect::<Vec<_>>().join("; "), &[]))
}

#[async_trait]
impl CredentialSource for DefaultChain {
    async fn fetch(&self) -> Result<Credentials, S3Error> {
        let build = || async {
            let chain = DefaultCredentialsChain::builder().region(self.region.clone()).build();
            SharedCredentialsProvider::new(Box::pin(chain).await)
        };
        let chain = self.built.get_or_init(build).await;
        chain.provide_credentials().await.map_err(|error| self.error(&error))
    }

    fn renewable(&self) -> bool {
        true
    }

    fn ended(&self) -> Option<S3Error> {
        Some(S3Error::ExpiredCredentials {
            connection: self.connection.clone(),
            principal: "the default AWS chain".to_owned(),
            doing: "using it".to_owned(),
            detail: "ExpiredToken".to_owned(),
        })
    }
}

/// `sts:AssumeRole`.
#[derive(Clone)]
pub(crate) struct AssumedRole {
    pub client: aws_sdk_sts::Client,
    pub arn: String,
    pub external_id: String,
    pub session_name: String,
    /// How long the credentials shall live.
    pub session: Duration,
    pub caller: Arc<CredentialCache>,
    /// The caller.
    pub asker: Asker,
    pub retry: Arc<RetryPolicy>,
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl CredentialSource for AssumedRole {
    async fn fetch(&self) -> Result<Credentials, S3Error> {
        let mut retries = self.retry.begin();
        loop {
            let caller = self.caller.current().await?;
            match self.assume(&caller).await {
                Ok(credentials) => return Ok(credentials),
                Err(error) => {
                    if error.is_expired_token() {
                        self.caller.forget(&caller);
                    }
                    retries.after(error).await?;
                }
            }
        }
    }

    fn renewable(&self) -> bool {
        true
    }
}

impl AssumedRole {
    async fn assume(&self, caller: &Credentials) -> Result<Credentials, S3Error> {
        let asked_at = self.clock.now();
        let request = self
            .client
            .assume_role()
            .role_arn(&self.arn)
            .role_session_name(&self.session_name)
            .duration_seconds(i32::try_from(self.session.as_secs()).unwrap_or(3600))
            .set_external_id(Some(self.external_id.clone()).filter(|id| !id.is_empty()));
        let answer = Box::pin(request.send())
            .await
            .map_err(|error| assume_role(&self.asker, &Reply::of(&error, &secrets_of(Some(caller))), &self.arn))?;
        let doing = || format!("assuming {}", self.arn);
        let unreadable = |what: &str| {
            let detail = format!("the answer is not one that STS sends ({what}); check [aws] sts_endpoint");
            self.asker.transient(transient::NOT_S3, doing(), detail)
        };
        let session = answer.credentials.ok_or_else(|| unreadable("no credentials"))?;
        if session.access_key_id.is_empty() || session.secret_access_key.is_empty() || session.session_token.is_empty()
        {
            return Err(unreadable("empty credentials"));
        }
        let expires_at =
            Timestamp::from_second(session.expiration.secs()).map_err(|_| unreadable("no valid expiry"))?;
        // The server's clock says when they expire; ours, if it is behind, must not stretch that.
        let expires_at = expires_at.min(later(asked_at, self.session));
        if expires_at <= self.clock.now() {
            let detail = "the new credentials are already expired".to_owned();
            return Err(S3Error::ClockSkew {
                connection: self.asker.connection.clone(),
                doing: doing(),
                detail,
                off: None,
            });
        }
        Ok(Credentials::new(
            session.access_key_id,
            session.secret_access_key,
            Some(session.session_token),
            Some(SystemTime::from(expires_at)),
            "assume-role",
        ))
    }
}

/// `s3-connector-<connection>` in the alphabet and length that STS allows.
pub(crate) fn session_name(connection: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=' | ',' | '.' | '@' | '-');
    let name = connection.chars().map(|c| if allowed(c) { c } else { '-' });
    "s3-connector-".chars().chain(name).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_keep_to_what_sts_allows() {
        assert_eq!(session_name("events"), "s3-connector-events");
        assert_eq!(session_name("my conn/é"), "s3-connector-my-conn--");
        assert_eq!(session_name(&"x".repeat(100)).len(), 64);
    }

    #[test]
    fn what_each_link_of_the_chain_lacks_is_told_on_a_line() {
        let told = "no credentials found in chain. Attempted:\n  Environment: the credential provider was not enabled: \
                    environment variable not set\n  Profile: the credential provider was not enabled\n  Imds: disabled\n";
        let lacks = attempts(&CredentialsError::not_loaded(told)).expect("links");
        assert_eq!(lacks, "Environment: environment variable not set; Profile: nothing set; Imds: disabled");
        assert_eq!(attempts(&CredentialsError::not_loaded("no such profile")), None);
    }

    #[test]
    fn an_empty_chain_is_a_config_error_and_a_silent_one_is_not() {
        let chain = DefaultChain::of("c", Credentials::new("a", "b", None, None, "test"));
        assert_eq!(chain.error(&CredentialsError::not_loaded("nothing there")).code(), "no_credentials");
        assert_eq!(chain.error(&CredentialsError::invalid_configuration("line 3")).code(), "no_credentials");
        let late = CredentialsError::provider_timed_out(Duration::from_secs(1));
        assert_eq!(chain.error(&late).code(), "credentials_unavailable");
    }

    #[tokio::test]
    async fn a_chain_that_offers_again_what_was_refused_as_expired_has_nothing_else() {
        let clock = Arc::new(connector_core::clock::SystemClock);
        let cache = |expiry| {
            let keys = Credentials::new("ASIA", "canary", Some("canary".to_owned()), expiry, "test");
            CredentialCache::new(DefaultChain::of("c", keys), clock.clone())
        };
        let fixed = cache(None);
        let refused = fixed.current().await.expect("keys");
        fixed.forget(&refused);
        let error = fixed.current().await.expect_err("the same again");
        assert_eq!((error.class(), error.code()), (connector_core::error::ErrorClass::Config, "expired_credentials"));
        assert!(!error.to_string().contains("canary"), "{error}");
        // A source that names a time may hand the same out until then.
        let timed = cache(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000)));
        let refused = timed.current().await.expect("keys");
        timed.forget(&refused);
        assert!(timed.current().await.is_ok());
    }
}
