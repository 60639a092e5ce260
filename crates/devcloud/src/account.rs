//! What surrounds users and roles in an AWS account, and what a client may be refused for: policies that lack an
//! action, buckets of another region or another account, keys of KMS, a clock that is not the client's.
//!
//! All of it can be changed while the devcloud runs ([`AccountHandle`]), so that an import can be watched while somebody
//! edits a policy under it. Nothing set is an account in which roles may do what [`crate::Role`] says.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use connector_core::secret::Secret;
use jiff::SignedDuration;

use crate::config::ACCOUNT_ID;
use crate::etag::lock;
use crate::faults::is_like;
use crate::identity::Identity;

/// The circumstances of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What no policy allows, whoever asks.
    pub denials: Vec<Denial>,
    /// Objects that are encrypted with KMS.
    pub encrypted: Vec<Encrypted>,
    /// Buckets that are in a region, which requests have to be signed for. For others any region is right.
    pub regions: BTreeMap<String, String>,
    /// Buckets of other accounts; those that are missing belong to [`ACCOUNT_ID`].
    pub owners: BTreeMap<String, String>,
    /// Buckets for which the requester pays.
    pub requester_pays: Vec<String>,
    /// Buckets that everybody may read, without a signature.
    pub public: Vec<String>,
    /// How far the clock of this cloud is ahead of that of the machine; negative if it is behind.
    pub clock_ahead: SignedDuration,
}

/// An action that no policy allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Such as `s3:GetObject`, or `kms:Decrypt`.
    pub action: String,
    /// ARNs such as `arn:aws:s3:::bucket/private/*`; `*` stands for any characters.
    pub resource: String,
}

impl Denial {
    /// An action that is denied on everything.
    pub fn everywhere(action: &str) -> Self {
        Self::on(action, "*")
    }

    /// An action that is denied on resources whose ARN is like this one.
    pub fn on(action: &str, resource: &str) -> Self {
        Self { action: action.to_owned(), resource: resource.to_owned() }
    }
}

/// Objects that are encrypted with a key of KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// `bucket/key`; `*` stands for any characters.
    pub objects: String,
    /// The ARN of the key.
    pub key: String,
}

/// The keys of a session that was opened without asking STS.
#[derive(Clone, Debug)]
pub struct SessionKeys {
    pub access_key_id: String,
    pub secret: Secret,
    pub token: Secret,
}

/// Changes the account of a running devcloud. Cheap to clone.
#[derive(Clone)]
pub struct AccountHandle {
    state: Arc<Mutex<Account>>,
    identity: Arc<Identity>,
}

impl fmt::Debug for AccountHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccountHandle").field(&self.read()).finish()
    }
}

impl AccountHandle {
    pub(crate) fn new(account: Account, identity: Arc<Identity>) -> Self {
        Self { state: Arc::new(Mutex::new(account)), identity }
    }

    /// Other circumstances, from the next request on.
    pub fn set(&self, account: Account) {
        *lock(&self.state) = account;
    }

    /// The circumstances in force.
    pub fn read(&self) -> Account {
        lock(&self.state).clone()
    }

    /// A session of a role that ends after `lasts`; with nothing or less, one that has ended already. `None` if there is
    /// no such role.
    pub fn open_session(&self, role_arn: &str, lasts: SignedDuration) -> Option<SessionKeys> {
        let session = self.identity.open(role_arn, "opened", lasts)?;
        Some(SessionKeys {
            access_key_id: session.access_key_id.clone(),
            secret: session.secret.clone(),
            token: session.token.clone(),
        })
    }
}

impl Account {
    pub(crate) fn denies(&self, action: &str, resource: &str) -> bool {
        self.denials.iter().any(|denial| denial.action == action && is_like(resource, &denial.resource))
    }

    /// The KMS key that an object is encrypted with.
    pub(crate) fn key_of(&self, bucket: &str, key: &str) -> Option<&str> {
        let name = format!("{bucket}/{key}");
        self.encrypted.iter().find(|found| is_like(&name, &found.objects)).map(|found| found.key.as_str())
    }

    pub(crate) fn owner_of(&self, bucket: &str) -> &str {
        self.owners.get(bucket).map_or(ACCOUNT_ID, String::as_str)
    }
}

/// The action that IAM asks about for an operation of S3.
pub(crate) fn action_of(operation: &str) -> String {
    let name = match operation {
        "ListBuckets" => "ListAllMyBuckets",
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => "ListBucket",
        "HeadObject" => "GetObject",
        "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => "PutObject",
        "DeleteObjects" => "DeleteObject",
        other => other,
    };
    format!("s3:{name}")
}

/// The ARN that IAM asks about; `None` if an action concerns no resource in particular.
pub(crate) fn resource_of(bucket: Option<&str>, key: Option<&str>) -> Option<String> {
    let bucket = bucket?;
    Some(match key {
        Some(key) => format!("arn:aws:s3:::{bucket}/{key}"),
        None => format!("arn:aws:s3:::{bucket}"),
    })
}

/// How AWS words a denial to somebody of the same account.
pub(crate) fn not_authorized(who: &str, action: &str, resource: Option<&str>) -> String {
    let on = match resource {
        Some(arn) if action.starts_with("s3:") => format!(" on resource: \"{arn}\""),
        Some(arn) => format!(" on resource: {arn}"),
        None => String::new(),
    };
    format!(
        "User: {who} is not authorized to perform: {action}{on} because no identity-based policy allows the {action} \
         action"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_of_one_action_and_of_resources_like_its_own() {
        let account = Account {
            denials: vec![Denial::on("s3:GetObject", "arn:aws:s3:::b/private/*"), Denial::everywhere("kms:Decrypt")],
            ..Account::default()
        };
        assert!(account.denies("s3:GetObject", "arn:aws:s3:::b/private/x"));
        assert!(!account.denies("s3:GetObject", "arn:aws:s3:::b/public/x"));
        assert!(!account.denies("s3:ListBucket", "arn:aws:s3:::b"));
        assert!(account.denies("kms:Decrypt", "arn:aws:kms:eu-west-1:1:key/k"));
    }

    #[test]
    fn operations_are_actions_of_iam_on_an_arn() {
        assert_eq!(action_of("ListObjectsV2"), "s3:ListBucket");
        assert_eq!(action_of("UploadPart"), "s3:PutObject");
        assert_eq!(action_of("AbortMultipartUpload"), "s3:AbortMultipartUpload");
        assert_eq!(resource_of(Some("b"), Some("k/l")).as_deref(), Some("arn:aws:s3:::b/k/l"));
        assert_eq!(resource_of(None, None), None);
        assert_eq!(
            not_authorized("arn:x", "s3:ListAllMyBuckets", None),
            "User: arn:x is not authorized to perform: s3:ListAllMyBuckets because no identity-based policy allows the \
             s3:ListAllMyBuckets action"
        );
    }
}
