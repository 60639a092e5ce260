//! Who may do what in S3, asked by s3s for each request.

use std::sync::Arc;

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3Result, s3_error};

use crate::config::ACCOUNT_ID;
use crate::identity::{Caller, Identity, Refusal};
use crate::signing::session_token;

/// What a role without `write` may do. Everything else counts as writing.
const READS: [&str; 7] =
    ["ListBuckets", "HeadBucket", "GetBucketLocation", "ListObjects", "ListObjectsV2", "GetObject", "HeadObject"];

/// The door of the S3 side.
#[derive(Clone)]
pub(crate) struct Door(pub(crate) Arc<Identity>);

#[async_trait::async_trait]
impl S3Auth for Door {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.secret(access_key) {
            Some(secret) => Ok(SecretKey::from(secret.expose())),
            None => Err(refusal(Refusal::UnknownKey)),
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Door {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let Some(credentials) = cx.credentials() else {
            return Err(s3_error!(AccessDenied, "devcloud answers no anonymous requests: sign them"));
        };
        let token = session_token(cx.uri(), cx.headers());
        let caller = self.0.caller(&credentials.access_key, token.as_deref()).map_err(refusal)?;
        self.may(&caller, cx.s3_op().name(), cx.s3_path().get_bucket_name())?;
        match cx.headers().get("x-amz-expected-bucket-owner") {
            Some(owner) if owner != ACCOUNT_ID => {
                Err(s3_error!(AccessDenied, "Access Denied: the bucket belongs to account {ACCOUNT_ID}"))
            }
            _ => Ok(()),
        }
    }
}

impl Door {
    fn may(&self, caller: &Caller, operation: &str, bucket: Option<&str>) -> S3Result<()> {
        let denied = |why: &str| {
            let on = bucket.map(|bucket| format!(" on bucket {bucket}")).unwrap_or_default();
            let arn = caller.arn();
            Err(s3_error!(AccessDenied, "{arn} is not authorized to perform: s3:{operation}{on}: {why}"))
        };
        match caller {
            Caller::User { .. } if !self.0.users_may_read => denied("users reach S3 through a role only"),
            Caller::User { .. } => Ok(()),
            Caller::Session(session) => {
                let is_read = READS.contains(&operation);
                let reaches =
                    |bucket| session.role.buckets.as_ref().is_none_or(|list| list.iter().any(|b| b == bucket));
                if !is_read && !session.role.write {
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
