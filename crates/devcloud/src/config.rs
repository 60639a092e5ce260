//! What a devcloud serves, and to whom: the small table of users and roles that stands in for IAM.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use connector_core::secret::Secret;

use crate::error::DevCloudError;
use crate::faults::Faults;

/// The account that every bucket and user belongs to; `x-amz-expected-bucket-owner` is held against it.
pub const ACCOUNT_ID: &str = "000000000000";

/// How temporary access key ids begin. No user's key may.
pub(crate) const SESSION_KEY_PREFIX: &str = "ASIA";

const LONGEST_SESSION: Duration = Duration::from_secs(12 * 3600);

/// One devcloud: a folder behind an address, with its users and roles.
#[derive(Clone, Debug)]
pub struct DevCloudConfig {
    /// Each directory in it is a bucket; each file below is an object, its key the path with `/`. Must exist.
    pub folder: PathBuf,
    /// A loopback address; port 0 picks a free port.
    pub listen: SocketAddr,
    /// The region that buckets report. Requests signed for another region are served as well.
    pub region: String,
    /// Long-lived keys: they may call STS, and S3 if `users_may_read`.
    pub users: Vec<KeyPair>,
    /// What users may assume.
    pub roles: Vec<Role>,
    /// Whether users own the buckets: they then list, read and write. If not, only roles reach S3.
    pub users_may_read: bool,
    /// What shall go wrong on purpose; `None` is nothing. Can be changed while it runs: [`crate::DevCloud::faults`].
    pub faults: Option<Faults>,
}

/// The long-lived key of a user.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// Letters and digits; may not begin with `ASIA`, which marks temporary keys.
    pub access_key_id: String,
    pub secret: Secret,
}

/// A role that users can assume.
#[derive(Clone, Debug)]
pub struct Role {
    /// `arn:aws:iam::<12 digits>:role/<name>`.
    pub arn: String,
    /// What `AssumeRole` must bring; `None` accepts any, as a trust policy without that condition does.
    pub external_id: Option<String>,
    /// Access key ids of the users who may assume it.
    pub allowed_callers: Vec<String>,
    /// The buckets it reaches; `None` is all of them. `ListBuckets` shows every bucket, as in AWS.
    pub buckets: Option<Vec<String>>,
    /// The longest a session lasts, and how long it lasts if the caller names no duration. 1 s to 12 h.
    /// A longer wish is shortened, where AWS refuses it, so that short sessions can be tried with any client.
    pub session: Duration,
    /// Whether it may also put and delete objects and create buckets.
    pub write: bool,
}

impl Role {
    /// The last part of the ARN.
    pub(crate) fn name(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or(&self.arn)
    }

    /// The account in the ARN.
    pub(crate) fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or(ACCOUNT_ID)
    }
}

impl DevCloudConfig {
    /// Refuses what cannot work: see the fields.
    pub(crate) fn check(&self) -> Result<(), DevCloudError> {
        if !self.listen.ip().is_loopback() {
            return Err(DevCloudError::NotLoopback { address: self.listen });
        }
        let region_byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if self.region.is_empty() || !self.region.bytes().all(region_byte) {
            return Err(refuse("region", &self.region, "a region has lower-case letters, digits and hyphens"));
        }
        self.check_users()?;
        self.roles.iter().try_for_each(|role| self.check_role(role))?;
        match first_twice(self.roles.iter().map(|role| role.arn.as_str())) {
            Some(arn) => Err(refuse("role", arn, "it is listed twice")),
            None => Ok(()),
        }
    }

    fn check_users(&self) -> Result<(), DevCloudError> {
        for user in &self.users {
            let id = &user.access_key_id;
            if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(refuse("access key id", id, "it must have letters and digits only"));
            }
            if id.starts_with(SESSION_KEY_PREFIX) {
                return Err(refuse("access key id", id, "ASIA marks temporary keys: begin it otherwise, such as AKIA"));
            }
            if user.secret.expose().is_empty() {
                return Err(refuse("access key id", id, "its secret is empty"));
            }
        }
        match first_twice(self.users.iter().map(|user| user.access_key_id.as_str())) {
            Some(id) => Err(refuse("access key id", id, "it is listed twice")),
            None => Ok(()),
        }
    }

    fn check_role(&self, role: &Role) -> Result<(), DevCloudError> {
        let parts: Vec<&str> = role.arn.splitn(6, ':').collect();
        let well_formed = matches!(parts[..], ["arn", partition, "iam", "", account, resource]
            if partition.starts_with("aws")
                && account.len() == 12
                && account.bytes().all(|b| b.is_ascii_digit())
                && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.ends_with('/')));
        if !well_formed {
            return Err(refuse("role", &role.arn, "it must look like arn:aws:iam::000000000000:role/name"));
        }
        if role.session < Duration::from_secs(1) || role.session > LONGEST_SESSION {
            return Err(refuse("role", &role.arn, "its session must last between 1 second and 12 hours"));
        }
        let known = |id: &String| self.users.iter().any(|user| user.access_key_id == *id);
        match role.allowed_callers.iter().find(|id| !known(id)) {
            Some(id) => Err(refuse("allowed caller", id, "no user has this access key id")),
            None => Ok(()),
        }
    }
}

fn first_twice<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.find(|name| !seen.insert(*name))
}

fn refuse(what: &'static str, value: &str, why: &'static str) -> DevCloudError {
    DevCloudError::Config { what, value: value.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> DevCloudConfig {
        DevCloudConfig {
            folder: "unused".into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            region: "eu-west-1".into(),
            users: vec![KeyPair { access_key_id: "AKIAONE".into(), secret: Secret::new("s3cr3t") }],
            roles: vec![Role {
                arn: "arn:aws:iam::000000000000:role/path/reader".into(),
                external_id: Some("x".into()),
                allowed_callers: vec!["AKIAONE".into()],
                buckets: None,
                session: Duration::from_secs(3600),
                write: false,
            }],
            users_may_read: false,
            faults: None,
        }
    }

    fn refused(change: impl FnOnce(&mut DevCloudConfig)) -> String {
        let mut config = config();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn a_sound_config_passes_and_never_prints_its_secret() {
        config().check().unwrap();
        assert_eq!(config().roles[0].name(), "reader");
        assert!(!format!("{:?}", config()).contains("s3cr3t"));
    }

    #[test]
    fn addresses_that_others_can_reach_are_refused() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.7:80", "[2001:db8::1]:80"] {
            let said = refused(|c| c.listen = address.parse().unwrap());
            assert!(said.contains("loopback"), "{said}");
        }
        for address in ["127.0.0.1:1", "127.9.9.9:0", "[::1]:0"] {
            let mut sound = config();
            sound.listen = address.parse().unwrap();
            sound.check().unwrap();
        }
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        assert!(refused(|c| c.region = "EU West".into()).contains("region"));
        assert!(refused(|c| c.users[0].access_key_id = "ASIAX".into()).contains("temporary"));
        assert!(refused(|c| c.users[0].access_key_id = "A B".into()).contains("letters and digits"));
        assert!(refused(|c| c.users[0].secret = Secret::new("")).contains("empty"));
        assert!(refused(|c| c.users.push(c.users[0].clone())).contains("twice"));
        assert!(refused(|c| c.roles.push(c.roles[0].clone())).contains("twice"));
        assert!(refused(|c| c.roles[0].arn = "arn:aws:iam::12:role/x".into()).contains("look like"));
        assert!(refused(|c| c.roles[0].arn = "arn:aws:iam::000000000000:user/x".into()).contains("look like"));
        assert!(refused(|c| c.roles[0].session = Duration::ZERO).contains("between"));
        assert!(refused(|c| c.roles[0].allowed_callers.push("AKIATWO".into())).contains("AKIATWO"));
    }
}
