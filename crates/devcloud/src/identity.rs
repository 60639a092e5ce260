//! Who is calling: users with long-lived keys, and sessions of roles with keys that expire.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector_core::clock::Clock;
use connector_core::secret::Secret;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::config::{ACCOUNT_ID, DevCloudConfig, Role, SESSION_KEY_PREFIX};
use crate::etag::lock;

/// Expired sessions are remembered this long, so that late callers hear `ExpiredToken` and not of an unknown key.
const REMEMBER_EXPIRED: SignedDuration = SignedDuration::from_hours(24);

/// A role that was assumed.
pub(crate) struct Session {
    pub(crate) access_key_id: String,
    pub(crate) secret: Secret,
    pub(crate) token: Secret,
    pub(crate) role: Arc<Role>,
    pub(crate) name: String,
    pub(crate) expires_at: Timestamp,
}

/// A caller whose signature was verified.
pub(crate) enum Caller {
    User { access_key_id: String },
    Session(Arc<Session>),
}

/// Why a verified signature is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownKey,
    /// Temporary keys count only together with their token.
    TokenMissing,
    /// The token is not the one that was handed out with the key.
    TokenWrong,
    Expired,
}

/// The table of users, roles and sessions.
pub(crate) struct Identity {
    users: HashMap<String, Secret>,
    roles: Vec<Arc<Role>>,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    clock: Arc<dyn Clock>,
    pub(crate) users_may_read: bool,
}

impl Identity {
    pub(crate) fn new(config: &DevCloudConfig, clock: Arc<dyn Clock>) -> Self {
        let users = config.users.iter().map(|user| (user.access_key_id.clone(), user.secret.clone())).collect();
        let roles = config.roles.iter().cloned().map(Arc::new).collect();
        let users_may_read = config.users_may_read;
        Self { users, roles, sessions: Mutex::default(), clock, users_may_read }
    }

    /// The secret that a request with this key must be signed with.
    pub(crate) fn secret(&self, access_key_id: &str) -> Option<Secret> {
        let user = self.users.get(access_key_id).cloned();
        user.or_else(|| self.session(access_key_id).map(|session| session.secret.clone()))
    }

    fn session(&self, access_key_id: &str) -> Option<Arc<Session>> {
        lock(&self.sessions).get(access_key_id).cloned()
    }

    /// The caller behind a verified signature.
    pub(crate) fn caller(&self, access_key_id: &str, token: Option<&str>) -> Result<Caller, Refusal> {
        if self.users.contains_key(access_key_id) {
            return match token {
                None => Ok(Caller::User { access_key_id: access_key_id.to_owned() }),
                Some(_) => Err(Refusal::TokenWrong),
            };
        }
        let session = self.session(access_key_id).ok_or(Refusal::UnknownKey)?;
        match token {
            None => Err(Refusal::TokenMissing),
            Some(token) if token != session.token.expose() => Err(Refusal::TokenWrong),
            Some(_) if self.clock.now() >= session.expires_at => Err(Refusal::Expired),
            Some(_) => Ok(Caller::Session(session)),
        }
    }

    /// Opens a session of a role, or says for the log why not. The client hears the same whatever the reason.
    pub(crate) fn assume(
        &self,
        caller: &Caller,
        role_arn: &str,
        external_id: Option<&str>,
        name: &str,
        wish: Option<Duration>,
    ) -> Result<Arc<Session>, &'static str> {
        let Caller::User { access_key_id } = caller else { return Err("a session cannot assume a role here") };
        let role = self.roles.iter().find(|role| role.arn == role_arn).ok_or("no such role")?;
        if !role.allowed_callers.contains(access_key_id) {
            return Err("the role does not allow this caller");
        }
        if role.external_id.as_deref().is_some_and(|wanted| external_id != Some(wanted)) {
            return Err("the external id is missing or wrong");
        }
        let lasts = wish.unwrap_or(role.session).min(role.session);
        Ok(self.hand_out(role, name, SignedDuration::try_from(lasts).unwrap_or(SignedDuration::ZERO)))
    }

    /// A session of a role, whoever asks; `None` if there is no such role.
    pub(crate) fn open(&self, role_arn: &str, name: &str, lasts: SignedDuration) -> Option<Arc<Session>> {
        let role = self.roles.iter().find(|role| role.arn == role_arn)?;
        Some(self.hand_out(role, name, lasts))
    }

    fn hand_out(&self, role: &Arc<Role>, name: &str, lasts: SignedDuration) -> Arc<Session> {
        let now = self.clock.now();
        let session = Arc::new(Session {
            access_key_id: new_key_id(),
            secret: Secret::new(random_text(2).split_off(24)),
            token: Secret::new(format!("devcloud{}", random_text(4))),
            role: Arc::clone(role),
            name: name.to_owned(),
            expires_at: now.checked_add(lasts).unwrap_or(now),
        });
        let mut sessions = lock(&self.sessions);
        sessions.retain(|_, old| now.duration_since(old.expires_at) < REMEMBER_EXPIRED);
        sessions.insert(session.access_key_id.clone(), Arc::clone(&session));
        session
    }
}

impl Caller {
    pub(crate) fn arn(&self) -> String {
        match self {
            Self::User { access_key_id } => format!("arn:aws:iam::{ACCOUNT_ID}:user/{access_key_id}"),
            Self::Session(session) => session.arn(),
        }
    }

    /// What STS calls the user id.
    pub(crate) fn user_id(&self) -> String {
        match self {
            Self::User { access_key_id } => access_key_id.clone(),
            Self::Session(session) => session.assumed_role_id(),
        }
    }

    pub(crate) fn account(&self) -> &str {
        match self {
            Self::User { .. } => ACCOUNT_ID,
            Self::Session(session) => session.role.account(),
        }
    }
}

impl Session {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:sts::{}:assumed-role/{}/{}", self.role.account(), self.role.name(), self.name)
    }

    pub(crate) fn assumed_role_id(&self) -> String {
        format!("AROADEVCLOUD:{}", self.name)
    }
}

/// Hexadecimal from the system's generator: sixteen bytes, six bits of which are fixed, for each count.
fn random_text(count: usize) -> String {
    (0..count).map(|_| Uuid::new_v4().simple().to_string()).collect()
}

fn new_key_id() -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letters = Uuid::new_v4().into_bytes().map(|byte| char::from(LETTERS[usize::from(byte & 31)]));
    format!("{SESSION_KEY_PREFIX}{}", String::from_iter(letters))
}
