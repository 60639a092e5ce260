//! From a refusal to an error with a remedy.

use connector_core::iam::Partition;
use connector_core::spec::Caller;

use crate::error::{S3Error, transient};
use crate::reply::{Reached, Reply};

/// Who asked for what, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub connection: String,
    /// Such as `the role arn:aws:iam::111122223333:role/reader`.
    pub principal: String,
    pub region: String,
    pub requester_pays: bool,
    /// The account that buckets have to belong to.
    pub expected_owner: Option<String>,
    /// Whether new credentials can be had when the old ones are refused as expired.
    pub renewable: bool,
}

impl Asker {
    pub fn transient(&self, code: &'static str, doing: String, detail: String) -> S3Error {
        S3Error::Transient { connection: self.connection.clone(), code, doing, detail, attempts: 1 }
    }

    fn expired(&self, reply: &Reply, doing: String) -> S3Error {
        S3Error::ExpiredCredentials {
            connection: self.connection.clone(),
            principal: self.principal.clone(),
            doing,
            detail: reply.code_only(),
        }
    }

    /// A refusal of a listing of `bucket`.
    pub fn listing(&self, reply: &Reply, bucket: &str, doing: String) -> S3Error {
        if let Some(error) = self.common(reply, bucket, &doing) {
            return error;
        }
        if reply.status == 403 {
            return S3Error::ListDenied {
                connection: self.connection.clone(),
                bucket: bucket.to_owned(),
                partition: Partition::of_region(&self.region),
                principal: self.principal.clone(),
                detail: reply.detail(),
                requester_pays: self.requester_pays,
                expected_owner: self.expected_owner.clone(),
            };
        }
        self.transient(transient::OTHER, doing, reply.detail())
    }

    /// A refusal to hand out the object at `uri`.
    pub fn object(&self, reply: &Reply, bucket: &str, uri: &str, doing: String) -> S3Error {
        let uri = uri.to_owned();
        if reply.is(&["NoSuchKey", "NoSuchVersion"]) {
            return S3Error::ObjectGone { uri };
        }
        if reply.status == 412 || reply.is(&["PreconditionFailed"]) {
            return S3Error::ObjectChanged { uri, detail: "its ETag is another one".to_owned() };
        }
        if reply.status == 416 || reply.is(&["InvalidRange"]) {
            return S3Error::ObjectChanged { uri, detail: "it is shorter now".to_owned() };
        }
        if reply.is(&["InvalidObjectState"]) {
            return S3Error::ObjectArchived { uri, detail: reply.detail() };
        }
        let denied = |detail| S3Error::ObjectDenied {
            connection: self.connection.clone(),
            uri: uri.clone(),
            principal: self.principal.clone(),
            detail,
        };
        if reply.says_kms_denied() {
            return S3Error::KmsDenied {
                connection: self.connection.clone(),
                uri,
                principal: self.principal.clone(),
                key: reply.kms_key(),
                detail: reply.detail(),
            };
        }
        if let Some(error) = self.common(reply, bucket, &doing) {
            return error;
        }
        if reply.status == 403 {
            return denied(reply.detail());
        }
        self.transient(transient::OTHER, doing, reply.detail())
    }

    /// What means the same whatever was asked for.
    fn common(&self, reply: &Reply, bucket: &str, doing: &str) -> Option<S3Error> {
        let connection = self.connection.clone();
        if reply.reached == Reached::NotSent {
            let problem = format!(
                "no request can be made for bucket {bucket} ({}); check bucket name, S3_REGION and S3_ENDPOINT",
                reply.message
            );
            return Some(S3Error::BadConnection { connection, problem });
        }
        if reply.says_clock_is_off() {
            let (doing, detail) = (doing.to_owned(), reply.code_only());
            return Some(S3Error::ClockSkew { connection, doing, detail, off: reply.clock_off });
        }
        if reply.says_token_expired() && self.renewable {
            return Some(self.transient(transient::EXPIRED_TOKEN, doing.to_owned(), reply.code_only()));
        }
        if self.is_wrong_region(reply) {
            let actual = reply.region.clone().filter(|region| *region != self.region);
            let configured = self.region.clone();
            return Some(S3Error::WrongRegion { connection, bucket: bucket.to_owned(), configured, actual });
        }
        if reply.says_token_ended() {
            return Some(self.expired(reply, doing.to_owned()));
        }
        if reply.says_bad_credentials() || reply.says_token_expired() {
            return Some(S3Error::BadCredentials {
                connection,
                principal: self.principal.clone(),
                doing: doing.to_owned(),
                detail: reply.code_only(),
            });
        }
        if reply.is(&["NoSuchBucket"]) {
            return Some(S3Error::NoSuchBucket { connection, bucket: bucket.to_owned() });
        }
        if reply.is(&["InvalidBucketName"]) {
            let problem = format!("{bucket} is not a bucket name; check IMPORT_BUCKET_URI");
            return Some(S3Error::BadConnection { connection, problem });
        }
        reply.transient_code().map(|code| self.transient(code, doing.to_owned(), unlike_s3(reply)))
    }

    fn is_wrong_region(&self, reply: &Reply) -> bool {
        let elsewhere = reply.region.as_ref().is_some_and(|region| *region != self.region);
        reply.status == 301
            || reply.is(&["PermanentRedirect", "IllegalLocationConstraintException", "IllegalLocationConstraint"])
            || (reply.is(&["AuthorizationHeaderMalformed", "TemporaryRedirect", "Redirect"]) && elsewhere)
            || (reply.is(&["AuthorizationHeaderMalformed"]) && reply.message.contains("region"))
    }
}

/// The ARN of a bucket in the partition of AWS that the region belongs to.
pub(crate) fn bucket_arn(region: &str, bucket: &str) -> String {
    format!("arn:{}:s3:::{bucket}", Partition::of_region(region).as_str())
}

/// Adds the usual suspect where the answer cannot be from S3.
fn unlike_s3(reply: &Reply) -> String {
    match reply.reached {
        Reached::Unreadable => format!(
            "the answer is not one that S3 sends ({}); check S3_ENDPOINT, and whether a proxy or a login page stands \
             in between",
            reply.message
        ),
        Reached::Nobody => format!("{}; check network, S3_ENDPOINT and S3_REGION", reply.message),
        _ => reply.detail(),
    }
}

/// A refusal of `sts:AssumeRole`. `asker.principal` is the caller.
pub(crate) fn assume_role(asker: &Asker, reply: &Reply, arn: &str) -> S3Error {
    let connection = asker.connection.clone();
    let doing = format!("assuming {arn}");
    if reply.reached == Reached::NotSent {
        let problem =
            format!("no request to STS can be made ({}); check S3_REGION and [aws] sts_endpoint", reply.message);
        return S3Error::BadConnection { connection, problem };
    }
    if reply.says_clock_is_off() {
        return S3Error::ClockSkew { connection, doing, detail: reply.code_only(), off: reply.clock_off };
    }
    if reply.says_token_expired() && asker.renewable {
        return asker.transient(transient::EXPIRED_TOKEN, doing, reply.code_only());
    }
    if reply.says_token_ended() {
        return asker.expired(reply, doing);
    }
    if reply.says_bad_credentials() || reply.says_token_expired() {
        return S3Error::BadCredentials {
            connection,
            principal: asker.principal.clone(),
            doing,
            detail: reply.code_only(),
        };
    }
    if let Some(code) = reply.transient_code() {
        return asker.transient(code, doing, reply.detail());
    }
    if reply.is(&["AccessDenied", "AccessDeniedException"]) || reply.status == 403 && !reply.is(&[REGION_DISABLED]) {
        let caller = asker.principal.clone();
        return S3Error::AssumeRoleDenied { connection, caller, arn: arn.to_owned(), detail: reply.detail() };
    }
    if reply.is(&["ValidationError", "ValidationException", "InvalidParameterValue", REGION_DISABLED]) {
        return S3Error::BadRole { connection, arn: arn.to_owned(), detail: too_long_for_role(reply) };
    }
    asker.transient(transient::OTHER, doing, reply.detail())
}

/// Says what to change if STS does not grant a session as long as ours. AWS grants an hour to every role, also to one that
/// is assumed from another role.
fn too_long_for_role(reply: &Reply) -> String {
    let detail = reply.detail();
    if reply.message.contains("DurationSeconds") || reply.message.contains("MaxSessionDuration") {
        format!(
            "{detail}; sessions of up to one hour are asked for, so set the role's maximum session duration to 1 hour"
        )
    } else {
        detail
    }
}

/// STS must be switched on in some regions.
const REGION_DISABLED: &str = "RegionDisabledException";

/// The caller of `sts:AssumeRole`, for messages.
pub(crate) fn caller_name(caller: &Caller) -> String {
    match caller {
        Caller::Static(keys) => format!("the access key {} of [aws]", keys.access_key_id),
        Caller::DefaultChain => "the default AWS chain".to_owned(),
    }
}
