//! Who may do what in S3, asked by s3s for each request.

use std::sync::Arc;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3Result, s3_error};

use crate::account::{Account, AccountHandle, action_of, not_authorized, resource_of};
use crate::identity::{Caller, Identity, Refusal};
use crate::signing::session_token;

/// What a role without `write` may do. Everything else counts as writing.
const READS: [&str; 7] =
    ["ListBuckets", "HeadBucket", "GetBucketLocation", "ListObjects", "ListObjectsV2", "GetObject", "HeadObject"];

/// The door of the S3 side.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) identity: Arc<Identity>,
    pub(crate) account: AccountHandle,
}

#[async_trait::async_trait]
impl S3Auth for Door {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.identity.secret(access_key) {
            Some(secret) => Ok(SecretKey::from(secret.expose())),
            None => Err(refusal(Refusal::UnknownKey)),
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Door {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let account = self.account.read();
        let operation = cx.s3_op().name();
        let path = cx.s3_path();
        let (bucket, key) = (path.get_bucket_name(), path.get_object_key());
        match cx.credentials() {
            None if is_read(operation) && bucket.is_some_and(|bucket| account.public.iter().any(|b| b == bucket)) => {}
            None => return Err(s3_error!(AccessDenied, "Access Denied")),
            Some(credentials) => {
                let token = session_token(cx.uri(), cx.headers());
                let caller = self.identity.caller(&credentials.access_key, token.as_deref()).map_err(refusal)?;
                self.may(&caller, operation, bucket, key)?;
                policies_allow(&account, &caller.arn(), operation, bucket, key)?;
            }
        }
        let Some(bucket) = bucket else { return Ok(()) };
        let foreign =
            cx.headers().get("x-amz-expected-bucket-owner").is_some_and(|owner| owner != account.owner_of(bucket));
        let unpaid =
            account.requester_pays.iter().any(|b| b == bucket) && !cx.headers().contains_key("x-amz-request-payer");
        // AWS says no more than this in either case.
        if foreign || unpaid { Err(s3_error!(AccessDenied, "Access Denied")) } else { Ok(()) }
    }
}

fn is_read(operation: &str) -> bool {
    READS.contains(&operation)
}

/// What the policies of the account say, beside the coarse limits of the role.
fn policies_allow(
    account: &Account,
    who: &str,
    operation: &str,
    bucket: Option<&str>,
    key: Option<&str>,
) -> S3Result<()> {
    let deny = |action: &str, resource: Option<&str>| {
        Err(s3_error!(AccessDenied, "{}", not_authorized(who, action, resource)))
    };
    let (action, resource) = (action_of(operation), resource_of(bucket, key));
    if account.denies(&action, resource.as_deref().unwrap_or("arn:aws:s3:::*")) {
        return deny(&action, resource.as_deref());
    }
    let encrypted_with = bucket.zip(key).and_then(|(bucket, key)| account.key_of(bucket, key));
    let of_key = match action.as_str() {
        "s3:GetObject" => "kms:Decrypt",
        "s3:PutObject" => "kms:GenerateDataKey",
        _ => return Ok(()),
    };
    match encrypted_with {
        Some(arn) if account.denies(of_key, arn) => deny(of_key, Some(arn)),
        _ => Ok(()),
    }
}

impl Door {
    /// What the role is for at all. The reason goes to the log only: the client hears what AWS would say.
    fn may(&self, caller: &Caller, operation: &str, bucket: Option<&str>, key: Option<&str>) -> S3Result<()> {
        let denied = |why: &str| {
            let (arn, action, resource) = (caller.arn(), action_of(operation), resource_of(bucket, key));
            tracing::debug!(caller = %arn, %action, why, "devcloud refused a request");
            Err(s3_error!(AccessDenied, "{}", not_authorized(&arn, &action, resource.as_deref())))
        };
        match caller {
            Caller::User { .. } if !self.identity.users_may_read => denied("users reach S3 through a role only"),
            Caller::User { .. } => Ok(()),
            Caller::Session(session) => {
                let reaches =
                    |bucket| session.role.buckets.as_ref().is_none_or(|list| list.iter().any(|b| b == bucket));
                if !is_read(operation) && !session.role.write {
                    denied("the role may only read")
                } else if !bucket.is_none_or(reaches) {
                    denied("the role does not reach this bucket")
                } else {
                    Ok(())
                }
            }
        }
    }
}

fn refusal(refusal: Refusal) -> S3Error {
    match refusal {
        Refusal::UnknownKey => {
            s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records.")
        }
        // AWS, too, knows temporary keys only together with their token.
        Refusal::TokenMissing => s3_error!(
            InvalidAccessKeyId,
            "The AWS Access Key Id you provided does not exist in our records: a temporary key needs its session token."
        ),
        Refusal::TokenWrong => s3_error!(InvalidToken, "The provided token is malformed or otherwise invalid."),
        Refusal::Expired => s3_error!(ExpiredToken, "The provided token has expired."),
    }
}
