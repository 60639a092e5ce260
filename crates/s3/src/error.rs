//! What can go wrong with S3 and STS, with the remedy in the message.
//!
//! No variant holds a secret: texts that a server sent have passed [`crate::text::clean`] before they get here.

use connector_core::error::{ErrorClass, Failure};
use connector_core::iam::Partition;
use jiff::SignedDuration;

/// An error of this crate. [`S3Error::class`] is the remedy, [`S3Error::code`] a bounded label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum S3Error {
    /// The `.connection` cannot be used as it is written.
    #[error("connection {connection}: {problem}")]
    BadConnection { connection: String, problem: String },

    #[error(
        "connection {connection}: the default AWS chain (environment, profile, web identity, container, instance) \
         offers no credentials ({detail}); provide them there, or set keys in [aws] of the TOML file"
    )]
    NoCredentials { connection: String, detail: String },

    #[error(
        "connection {connection}: the credentials of {principal} were refused while {doing} ({detail}); check access \
         key id, secret and session token, and that the key is still active"
    )]
    BadCredentials { connection: String, principal: String, doing: String, detail: String },

    /// Temporary credentials that nothing renews.
    #[error(
        "connection {connection}: the session token of {principal} has expired ({detail}, while {doing}), and nothing \
         renews it; put fresh temporary keys where these came from, or use keys without a session token, or a role"
    )]
    ExpiredCredentials { connection: String, principal: String, doing: String, detail: String },

    #[error(
        "connection {connection}: {caller} may not assume {arn} ({detail}); check three things: the trust policy of \
         the role names this principal, its condition sts:ExternalId equals the external id of this connection \
         (S3_EXTERNAL_ID), and the principal itself is allowed sts:AssumeRole on the role"
    )]
    AssumeRoleDenied { connection: String, caller: String, arn: String, detail: String },

    #[error(
        "connection {connection}: STS does not accept the request to assume {arn} ({detail}); check the ARN \
         (S3_ARN), the external id (S3_EXTERNAL_ID) and the region (S3_REGION)"
    )]
    BadRole { connection: String, arn: String, detail: String },

    /// `off`: by how much the clock of this machine is ahead; negative if it is behind.
    #[error(
        "connection {connection}: the clock of this machine {} while {doing} ({detail}); set it right, for instance by \
         switching on NTP: timedatectl set-ntp true",
        off.map_or("is too far off".to_owned(), wrong_by)
    )]
    ClockSkew { connection: String, doing: String, detail: String, off: Option<SignedDuration> },

    #[error(
        "connection {connection}: bucket {bucket} is not in region {configured}{}; set S3_REGION of the connection \
         to {}",
        .actual.as_ref().map_or(String::new(), |region| format!(" but in {region}")),
        .actual.as_deref().unwrap_or("the region of the bucket")
    )]
    WrongRegion { connection: String, bucket: String, configured: String, actual: Option<String> },

    #[error(
        "connection {connection}: there is no bucket {bucket}; check IMPORT_BUCKET_URI, and the region and endpoint \
         of the connection"
    )]
    NoSuchBucket { connection: String, bucket: String },

    #[error(
        "connection {connection}: {principal} may not list bucket {bucket} ({detail}); grant s3:ListBucket on \
         arn:{}:s3:::{bucket}{}{}",
        .partition.as_str(),
        if *.requester_pays { "" } else { ", or, if the requester pays for this bucket, set S3_REQUEST_PAYER" },
        .expected_owner.as_ref().map_or(String::new(), |owner| format!(
            "; it is refused as well if the bucket does not belong to account {owner} any more, which \
             S3_EXPECTED_BUCKET_OWNER demands: find out whose it is before you change that"
        ))
    )]
    ListDenied {
        connection: String,
        bucket: String,
        partition: Partition,
        principal: String,
        detail: String,
        requester_pays: bool,
        expected_owner: Option<String>,
    },

    #[error(
        "connection {connection}: {principal} may not read {uri} ({detail}); grant s3:GetObject on this key, and \
         kms:Decrypt on its key if it is encrypted with KMS"
    )]
    ObjectDenied { connection: String, uri: String, principal: String, detail: String },

    /// The object may be read, its key may not be used. `key`: its ARN, if S3 names it.
    #[error(
        "connection {connection}: {principal} may read {uri} but not decrypt it ({detail}); {}",
        kms_remedy(.detail, .key.as_deref().unwrap_or("the KMS key of the object"))
    )]
    KmsDenied { connection: String, uri: String, principal: String, key: Option<String>, detail: String },

    #[error("{uri} changed since it was listed ({detail}); the next scan finds what is there now")]
    ObjectChanged { uri: String, detail: String },

    #[error("{uri} is gone since it was listed; the next scan finds what is there now")]
    ObjectGone { uri: String },

    #[error("{uri} is archived ({detail}); restore it in S3, it is read once the restore is complete")]
    ObjectArchived { uri: String, detail: String },

    #[error(
        "connection {connection}: bucket {bucket} holds a key that is not UTF-8 ({key}); rename or remove that \
         object, or narrow IMPORT_BUCKET_URI to leave it out of the listing"
    )]
    KeyNotUtf8 { connection: String, bucket: String, key: String },

    /// Anything that may be over by itself. `attempts` is how often it was tried.
    #[error("connection {connection}: {doing} failed{}: {detail}", times(*.attempts))]
    Transient { connection: String, code: &'static str, doing: String, detail: String, attempts: u32 },

    #[error("{what}; this is a bug in the program, please report it")]
    Bug { what: String },
}

/// A refusal of a permission is one of IAM. What KMS itself says is of the key, which no permission mends.
pub(crate) fn is_of_kms_itself(detail: &str) -> bool {
    detail.starts_with("KMS.")
}

fn kms_remedy(detail: &str, key: &str) -> String {
    if is_of_kms_itself(detail) {
        return format!("see in KMS that {key} is there, enabled, and not about to be deleted");
    }
    format!(
        "grant kms:Decrypt on {key}, in the access policy of the role, and see that the policy of the key lets the \
         role's account use it"
    )
}

fn times(attempts: u32) -> String {
    if attempts > 1 { format!(" {attempts} times in a row, last") } else { String::new() }
}

/// `is 60 minutes ahead of that of AWS`, of a clock.
pub(crate) fn wrong_by(off: SignedDuration) -> String {
    let side = if off.is_negative() { "behind" } else { "ahead of" };
    let seconds = off.unsigned_abs().as_secs();
    let amount = match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7_200 => format!("{} minutes", (seconds + 30) / 60),
        7_200..172_800 => format!("{} hours", (seconds + 1_800) / 3_600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    };
    format!("is {amount} {side} that of AWS")
}

/// Codes of [`S3Error::Transient`].
pub(crate) mod transient {
    /// 503, 429 and their error codes.
    pub const THROTTLED: &str = "throttled";
    pub const SERVER_ERROR: &str = "server_error";
    pub const TIMEOUT: &str = "timeout";
    /// Name resolution, connection, TLS.
    pub const UNREACHABLE: &str = "unreachable";
    /// The body ended early, was reset, or was too long.
    pub const BODY_CUT: &str = "body_cut";
    pub const CHECKSUM_MISMATCH: &str = "checksum_mismatch";
    /// The answer is not what S3 or STS sends.
    pub const NOT_S3: &str = "not_s3";
    /// Temporary credentials ran out before their time.
    pub const EXPIRED_TOKEN: &str = "expired_token";
    /// The source of credentials did not answer.
    pub const CREDENTIALS_UNAVAILABLE: &str = "credentials_unavailable";
    /// An S3 error code that we do not know.
    pub const OTHER: &str = "s3_error";
}

impl S3Error {
    /// What has to happen for the error to go away.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::BadConnection { .. }
            | Self::NoCredentials { .. }
            | Self::BadCredentials { .. }
            | Self::ExpiredCredentials { .. }
            | Self::AssumeRoleDenied { .. }
            | Self::BadRole { .. }
            | Self::ClockSkew { .. }
            | Self::WrongRegion { .. }
            | Self::NoSuchBucket { .. }
            | Self::ListDenied { .. }
            | Self::KeyNotUtf8 { .. } => ErrorClass::Config,
            Self::ObjectDenied { .. }
            | Self::KmsDenied { .. }
            | Self::ObjectChanged { .. }
            | Self::ObjectGone { .. }
            | Self::ObjectArchived { .. } => ErrorClass::Data,
            Self::Transient { .. } => ErrorClass::Transient,
            Self::Bug { .. } => ErrorClass::Bug,
        }
    }

    /// A bounded label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadConnection { .. } => "bad_connection",
            Self::NoCredentials { .. } => "no_credentials",
            Self::BadCredentials { .. } => "bad_credentials",
            Self::ExpiredCredentials { .. } => "expired_credentials",
            Self::AssumeRoleDenied { .. } => "assume_role_denied",
            Self::BadRole { .. } => "bad_role",
            Self::ClockSkew { .. } => "clock_skew",
            Self::WrongRegion { .. } => "wrong_region",
            Self::NoSuchBucket { .. } => "no_such_bucket",
            Self::ListDenied { .. } | Self::ObjectDenied { .. } => "access_denied",
            Self::KmsDenied { .. } => "kms_denied",
            Self::ObjectChanged { .. } => "object_changed",
            Self::ObjectGone { .. } => "object_gone",
            Self::ObjectArchived { .. } => "archived",
            Self::KeyNotUtf8 { .. } => "key_not_utf8",
            Self::Transient { code, .. } => code,
            Self::Bug { .. } => "s3_bug",
        }
    }

    /// Whether another attempt right away may help. A clock that is off is tried once more, because it may just be being
    /// set.
    pub(crate) fn worth_retrying(&self, failures: u32) -> bool {
        match self {
            Self::Transient { .. } => true,
            Self::ClockSkew { .. } => failures == 1,
            _ => false,
        }
    }

    pub(crate) fn after_attempts(mut self, count: u32) -> Self {
        if let Self::Transient { attempts, .. } = &mut self {
            *attempts = count;
        }
        self
    }

    pub(crate) fn is_expired_token(&self) -> bool {
        matches!(self, Self::Transient { code: transient::EXPIRED_TOKEN, .. })
    }
}

impl From<S3Error> for Failure {
    fn from(error: S3Error) -> Self {
        Failure::new(error.class(), error.code(), error.to_string())
    }
}
