//! From an error to what to change and where: pure, so that each line of the table has its test.
//!
//! The message of an error says what happened and what to do in a sentence. A remedy is for somebody who is about to do
//! it: the place, the line or statement to put there, the command that shows what is there now.

use connector_core::iam::{Partition, Principal};
use connector_core::spec::{Access, Caller, ConnectionSpec};

use crate::error::{S3Error, is_of_kms_itself, transient};
use crate::verdict::bucket_arn;

/// What to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Such as `the trust policy of the role reader (IAM console: Roles, reader, Trust relationships)`.
    pub place: String,
    /// In words, or the very line to write.
    pub change: String,
    /// The statement to add to a policy.
    pub statement: Option<Statement>,
    /// A command that shows the present state, or mends it.
    pub command: Option<String>,
}

/// A statement of an IAM policy that allows something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Only in a trust policy: who.
    pub principal: Option<String>,
    pub action: String,
    /// Not in a trust policy.
    pub resource: Option<String>,
    /// Only in a trust policy: what `sts:ExternalId` has to equal.
    pub external_id: Option<String>,
}

impl Remedy {
    fn new(place: impl Into<String>, change: impl Into<String>) -> Self {
        Self { place: place.into(), change: change.into(), statement: None, command: None }
    }

    fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }
}

/// What an error asks for. `caller`: the ARN of whoever assumes the role, if it is known.
pub(crate) fn of(error: &S3Error, spec: &ConnectionSpec, caller: Option<&str>) -> Remedy {
    let line = |directive: &str| format!("the line {directive} of {}.connection", spec.name);
    match error {
        S3Error::NoCredentials { .. } => Remedy::new(
            credentials_place(spec),
            "give access_key_id and secret_access_key there, or credentials in the environment, a profile, a web \
             identity, the container or the instance",
        )
        .command("aws sts get-caller-identity"),
        S3Error::BadCredentials { .. } => {
            Remedy::new(credentials_place(spec), "key id, secret and session token must belong together and be active")
                .command("aws sts get-caller-identity")
        }
        S3Error::ExpiredCredentials { .. } => {
            Remedy::new(credentials_place(spec), "put fresh temporary keys there, or keys without a session token")
                .command("aws sts get-session-token")
        }
        S3Error::AssumeRoleDenied { arn, .. } => {
            let external_id = match &spec.access {
                Access::Role { external_id, .. } => external_id.as_str(),
                _ => "",
            };
            trust(spec, arn, external_id, caller)
        }
        S3Error::BadRole { .. } => Remedy::new(line("S3_ARN"), "an existing role, and a region in which STS is on"),
        S3Error::ClockSkew { .. } => clock(),
        S3Error::WrongRegion { actual: Some(actual), .. } => {
            Remedy::new(line("S3_REGION"), format!("S3_REGION \"{actual}\""))
        }
        S3Error::WrongRegion { bucket, .. } => Remedy::new(line("S3_REGION"), "the region of the bucket")
            .command(format!("aws s3api get-bucket-location --bucket {bucket}")),
        S3Error::NoSuchBucket { bucket, .. } => {
            Remedy::new("IMPORT_BUCKET_URI of the data source", "a bucket that there is, at this endpoint")
                .command(format!("aws s3api head-bucket --bucket {bucket}"))
        }
        S3Error::ListDenied { bucket, expected_owner, requester_pays, .. } => {
            let mut remedy = grant(spec, "s3:ListBucket", &bucket_arn(&spec.region, bucket));
            if !requester_pays {
                remedy.change += "; or, if the requester pays for the bucket, write S3_REQUEST_PAYER true";
            }
            if let Some(owner) = expected_owner {
                remedy.change += &format!("; or see whether the bucket still belongs to account {owner}");
            }
            remedy
        }
        S3Error::ObjectDenied { uri, .. } => grant(spec, "s3:GetObject", &format!("{}/*", arn_of_bucket(spec, uri))),
        S3Error::KmsDenied { key, detail, .. } if is_of_kms_itself(detail) => {
            let key = key.as_deref().unwrap_or("the key of the object");
            Remedy::new(
                format!("{key} (KMS console: Customer managed keys)"),
                "enable the key, or cancel its deletion; what was encrypted with a key that is gone is lost",
            )
            .command(format!("aws kms describe-key --key-id {}", if key.starts_with("arn:") { key } else { "<key>" }))
        }
        S3Error::KmsDenied { key, .. } => {
            let mut remedy = grant(spec, "kms:Decrypt", key.as_deref().unwrap_or("*"));
            remedy.change += "; and the policy of the key has to let the account of the role use it (KMS console: \
                              Customer managed keys, the key, Key policy)";
            match key {
                Some(key) => remedy.command(format!("aws kms get-key-policy --key-id {key} --policy-name default")),
                None => remedy,
            }
        }
        S3Error::ObjectArchived { uri, .. } => Remedy::new(uri.clone(), "restore the object in S3"),
        S3Error::ObjectChanged { uri, .. } | S3Error::ObjectGone { uri } => {
            Remedy::new(uri.clone(), "it was changed under the check: check again")
        }
        S3Error::KeyNotUtf8 { bucket, .. } => Remedy::new(format!("s3://{bucket}"), "rename or remove that object"),
        S3Error::BadConnection { problem, .. } => Remedy::new(format!("{}.connection", spec.name), problem.clone()),
        S3Error::Transient { code, detail, .. } => passing(code, detail, spec),
        S3Error::Bug { .. } => Remedy::new("the program", "report it"),
    }
}

/// What may pass by itself, and what to look at if it does not.
fn passing(code: &str, detail: &str, spec: &ConnectionSpec) -> Remedy {
    let place = if spec.endpoint.is_some() {
        format!("the line S3_ENDPOINT of {}.connection, or the network", spec.name)
    } else {
        "the network between this machine and AWS".to_owned()
    };
    let text = detail.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let change = match code {
        transient::UNREACHABLE if has(&["dns", "lookup", "resolve", "name or service"]) => {
            "the name of the endpoint cannot be resolved: check its spelling, and the name server of this machine"
        }
        transient::UNREACHABLE if has(&["certificate", "tls", "handshake", "unknownissuer"]) => {
            "TLS fails: check that the endpoint speaks https, and that this machine trusts its certificate"
        }
        transient::UNREACHABLE if has(&["refused"]) => {
            "nothing listens there: check host and port, and that the store runs"
        }
        transient::UNREACHABLE | transient::TIMEOUT => {
            "no answer: check firewall, proxy (HTTPS_PROXY, NO_PROXY) and VPC endpoint"
        }
        transient::NOT_S3 => "something else than S3 answers: check the endpoint, a proxy, a login page",
        _ => "try again in a while",
    };
    Remedy::new(place, change)
}

/// A permission for whoever reads or writes the bucket.
pub(crate) fn grant(spec: &ConnectionSpec, action: &str, resource: &str) -> Remedy {
    let (place, command) = match &spec.access {
        Access::Role { arn, .. } => {
            let name = role_name(arn);
            (
                format!("the access policy of the role {name} (IAM console: Roles, {name}, Permissions)"),
                Some(format!("aws iam list-attached-role-policies --role-name {name}")),
            )
        }
        Access::Static(keys) => (
            format!("the policy of the user of access key {} (IAM console: Users, Permissions)", keys.access_key_id),
            None,
        ),
        Access::DefaultChain => ("the policy of the identity that the default AWS chain finds".to_owned(), None),
        Access::Anonymous => {
            ("the bucket policy (S3 console: Permissions), since requests are unsigned".to_owned(), None)
        }
    };
    let statement = Statement {
        principal: None,
        action: action.to_owned(),
        resource: Some(resource.to_owned()),
        external_id: None,
    };
    let remedy = Remedy::new(place, format!("allow {action} on {resource}"));
    Remedy { statement: Some(statement), command, ..remedy }
}

/// The trust policy of the role.
pub(crate) fn trust(spec: &ConnectionSpec, arn: &str, external_id: &str, caller: Option<&str>) -> Remedy {
    let name = role_name(arn);
    let partition = Partition::of_region(&spec.region);
    let principal = caller.map(|caller| trusted(caller, partition));
    let who = principal.as_deref().unwrap_or("the caller");
    let place = format!("the trust policy of the role {name} (IAM console: Roles, {name}, Trust relationships)");
    let change = format!(
        "let {who} assume it if sts:ExternalId equals {external_id} (the external id of {}.connection), and give that \
         principal sts:AssumeRole on {arn} in a policy of its own",
        spec.name
    );
    let statement = Statement {
        principal: Some(principal.unwrap_or_else(|| Principal::account(partition, "111111111111").arn)),
        action: "sts:AssumeRole".to_owned(),
        resource: None,
        external_id: Some(external_id.to_owned()).filter(|id| !id.is_empty()),
    };
    let command = format!("aws iam get-role --role-name {name} --query Role.AssumeRolePolicyDocument");
    Remedy { statement: Some(statement), ..Remedy::new(place, change).command(command) }
}

pub(crate) fn clock() -> Remedy {
    Remedy::new("the clock of this machine", "set it right, and keep it so with NTP")
        .command("timedatectl set-ntp true")
}

pub(crate) fn another_store() -> Remedy {
    Remedy::new("destination.uri", "choose a store that honours If-None-Match, or a folder")
}

/// A trust policy names a role and not one of its sessions, as [`Principal::parse`] knows; other stores than AWS call
/// their users otherwise.
fn trusted(caller: &str, partition: Partition) -> String {
    Principal::parse(caller, partition).map_or_else(|_| caller.to_owned(), |principal| principal.arn)
}

fn role_name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// `arn:aws:s3:::bucket` of `s3://bucket/key`.
fn arn_of_bucket(spec: &ConnectionSpec, uri: &str) -> String {
    let rest = uri.strip_prefix("s3://").unwrap_or(uri);
    bucket_arn(&spec.region, rest.split('/').next().unwrap_or_default())
}

fn credentials_place(spec: &ConnectionSpec) -> String {
    match &spec.access {
        Access::Role { caller: Caller::Static(_), .. } => "[aws] of s3-connector.toml".to_owned(),
        Access::Role { .. } | Access::DefaultChain => {
            "where the default AWS chain finds them, or [aws] of s3-connector.toml".to_owned()
        }
        Access::Static(_) => format!("the secrets that {}.connection names", spec.name),
        Access::Anonymous => format!("{}.connection", spec.name),
    }
}

#[cfg(test)]
#[path = "remedy_tests.rs"]
mod tests;
