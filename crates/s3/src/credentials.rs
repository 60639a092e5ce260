//! Credentials that renew themselves: one cache per connection (and one for the caller of a role).
//!
//! Why not the SDK's identity cache: it cannot forget credentials that the server refuses, refuses to hand out old
//! ones while a renewal fails, and waits for the wall clock of the machine.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use connector_core::clock::Clock;
use jiff::Timestamp;

use crate::error::S3Error;

/// Credentials are renewed this long before they expire, or halfway through if they live less than twice as long.
const RENEW_BEFORE: Duration = Duration::from_secs(7 * 60);
/// After a renewal that failed while the old credentials are still good.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Where credentials come from.
#[async_trait]
pub(crate) trait CredentialSource: Send + Sync + 'static {
    /// Fresh credentials, with their expiry if they have one. Retries transient errors itself.
    async fn fetch(&self) -> Result<Credentials, S3Error>;

    /// Whether asking again may bring other credentials.
    fn renewable(&self) -> bool;

    /// What to say if it brought the very keys that were refused as expired.
    fn ended(&self) -> Option<S3Error> {
        None
    }
}

/// Keys from the configuration.
pub(crate) struct FixedKeys(pub Credentials);

#[async_trait]
impl CredentialSource for FixedKeys {
    async fn fetch(&self) -> Result<Credentials, S3Error> {
        Ok(self.0.clone())
    }

    fn renewable(&self) -> bool {
        false
    }
}

/// Holds the present credentials. Concurrent renewals become one.
pub(crate) struct CredentialCache {
    source: Box<dyn CredentialSource>,
    clock: Arc<dyn Clock>,
    held: Mutex<Held>,
    /// Held during a renewal.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Held {
    session: Option<Session>,
    /// Counts renewals that failed, so that whoever waited for one shares its error instead of trying again.
    failures: u64,
    last_failure: Option<S3Error>,
    /// Keys without an expiry that were refused as expired.
    ended: Option<Credentials>,
}

#[derive(Clone)]
struct Session {
    credentials: Credentials,
    /// `None` if they never expire.
    times: Option<Times>,
}

#[derive(Clone, Copy)]
struct Times {
    renew_at: Timestamp,
    expires_at: Timestamp,
}

enum State {
    Good(Credentials),
    /// Still good, but due for renewal.
    Ageing(Credentials),
    Missing {
        failures: u64,
    },
}

impl CredentialCache {
    pub fn new(source: impl CredentialSource, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            source: Box::new(source),
            clock,
            held: Mutex::new(Held::default()),
            renewing: tokio::sync::Mutex::new(()),
        })
    }

    pub fn renewable(&self) -> bool {
        self.source.renewable()
    }

    /// Credentials that are good now.
    pub async fn current(&self) -> Result<Credentials, S3Error> {
        match self.state() {
            State::Good(credentials) => Ok(credentials),
            State::Ageing(credentials) => {
                // Somebody else is at it: no reason to wait, these are still good.
                let Ok(_renewing) = self.renewing.try_lock() else { return Ok(credentials) };
                match self.state() {
                    State::Ageing(_) => Ok(self.renew().await.unwrap_or(credentials)),
                    State::Good(renewed) => Ok(renewed),
                    State::Missing { .. } => self.renew().await,
                }
            }
            State::Missing { failures: before } => {
                let _renewing = self.renewing.lock().await;
                match self.state() {
                    State::Good(credentials) | State::Ageing(credentials) => Ok(credentials),
                    State::Missing { failures } if failures != before => match self.held().last_failure.clone() {
                        Some(error) => Err(error),
                        None => Err(S3Error::Bug { what: "a failed renewal left no error".to_owned() }),
                    },
                    State::Missing { .. } => self.renew().await,
                }
            }
        }
    }

    /// Drops credentials that the server refused as expired, unless they were replaced in the meantime.
    pub fn forget(&self, refused: &Credentials) {
        let mut held = self.held();
        if held.session.as_ref().is_some_and(|session| session.credentials == *refused) {
            held.session = None;
            // Those that come with a time may be handed out once more by a source that trusts its own clock.
            held.ended = Some(refused.clone()).filter(|refused| refused.expiry().is_none());
        }
    }

    fn state(&self) -> State {
        let now = self.clock.now();
        let held = self.held();
        match &held.session {
            Some(Session { credentials, times: None }) => State::Good(credentials.clone()),
            Some(Session { credentials, times: Some(times) }) if now < times.renew_at => {
                State::Good(credentials.clone())
            }
            Some(Session { credentials, times: Some(times) }) if now < times.expires_at => {
                State::Ageing(credentials.clone())
            }
            _ => State::Missing { failures: held.failures },
        }
    }

    /// Called with `renewing` held.
    async fn renew(&self) -> Result<Credentials, S3Error> {
        match self.source.fetch().await.and_then(|fetched| self.unless_ended(fetched)) {
            Ok(credentials) => {
                let times = credentials.expiry().and_then(|expiry| self.times(expiry));
                self.held().session = Some(Session { credentials: credentials.clone(), times });
                Ok(credentials)
            }
            Err(error) => {
                let now = self.clock.now();
                let mut held = self.held();
                held.failures += 1;
                held.last_failure = Some(error.clone());
                if let Some(times) = held.session.as_mut().and_then(|session| session.times.as_mut()) {
                    tracing::warn!(code = error.code(), "credentials could not be renewed yet: {error}");
                    times.renew_at = later(now, RENEW_AGAIN_AFTER);
                }
                Err(error)
            }
        }
    }

    /// A chain that offers what was refused has nothing else, however often it is asked.
    fn unless_ended(&self, fetched: Credentials) -> Result<Credentials, S3Error> {
        let is_refused = self.held().ended.as_ref() == Some(&fetched);
        match self.source.ended().filter(|_| is_refused) {
            Some(error) => Err(error),
            None => Ok(fetched),
        }
    }

    fn times(&self, expiry: SystemTime) -> Option<Times> {
        let now = self.clock.now();
        let expires_at = Timestamp::try_from(expiry).ok()?;
        let left = Duration::try_from(expires_at.duration_since(now)).unwrap_or_default();
        let renew_at = later(now, left - RENEW_BEFORE.min(left / 2));
        Some(Times { renew_at, expires_at })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// The cache as the SDK's signer sees it.
pub(crate) struct CachedProvider(pub Arc<CredentialCache>);

impl fmt::Debug for CachedProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CachedProvider")
    }
}

impl ProvideCredentials for CachedProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.0.current().await.map_err(CredentialsError::provider_error) })
    }
}

/// What must not appear in a message of a call that used these credentials.
pub(crate) fn secrets_of(credentials: Option<&Credentials>) -> Vec<&str> {
    credentials
        .map_or(Vec::new(), |used| std::iter::once(used.secret_access_key()).chain(used.session_token()).collect())
}
