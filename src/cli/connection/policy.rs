//! `connection policy`: the policies of a connection that is there, limited to what its data sources read.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use connector_core::error::Failure;
use connector_core::iam::{
    Grants, Partition, Place, Policy, Principal, RoleArn, Scope, access_policy, arn, trust_policy,
};
use connector_datafile::AccessDef;
use serde_json::json;

use super::super::{ConfigFolder, Ended, VerbResult, output};
use super::files::{Files, Found, User, grants};
use super::policies;

/// Print the access policy and the trust policy of a connection, limited to what its data sources read.
///
/// The policies go to standard output, everything else to standard error.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector connection policy shop
  s3-connector connection policy shop --only access > access-policy.json
  s3-connector connection policy lake --policy write --bucket s3://my-lake/tables/")]
pub struct PolicyVerb {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The connection
    name: String,
    /// What the role is for; as the connection is used if left out
    #[arg(long, value_name = "read|write", value_parser = parse_policy)]
    policy: Option<Policy>,
    /// Buckets, or parts such as s3://my-bucket/orders/, instead of what data sources read
    #[arg(long, value_name = "BUCKET", value_parser = Place::parse)]
    bucket: Vec<Place>,
    /// Whole buckets instead of prefixes
    #[arg(long)]
    whole_buckets: bool,
    /// The ARN of a KMS key that objects are encrypted with
    #[arg(long, value_name = "ARN", value_parser = arn::parse_key)]
    kms_key: Vec<String>,
    /// Who may assume the role: an account id or an ARN. The caller, as AWS sees it, if left out
    #[arg(long, value_name = "ARN")]
    principal: Option<String>,
    /// One of the two, and nothing else
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    Access,
    Trust,
}

/// Reads `read` or `write`.
pub fn parse_policy(text: &str) -> Result<Policy, String> {
    Policy::parse(text).ok_or_else(|| "it is read or write".to_owned())
}

impl PolicyVerb {
    pub fn execute(self) -> VerbResult {
        let files = Files::read(&self.folder.config)?;
        let found = files.get(&self.name)?;
        let role = match &found.connection.access {
            AccessDef::Role { arn, .. } => RoleArn::parse(&arn.value).ok(),
            _ => None,
        };
        let partition = role.as_ref().map(|role| role.partition).or_else(|| {
            let region = found.connection.region.as_ref().map(|region| region.value.clone()).or_else(|| files.region());
            region.map(|region| Partition::of_region(&region))
        });
        let partition = partition.unwrap_or_default();
        let access = match self.only {
            Some(Only::Trust) => None,
            _ => Some(policies::text(&access_policy(&self.grants(&files, found, partition)?))?),
        };
        let trust = match self.only {
            Some(Only::Access) => None,
            _ => self.trust(&files, found, partition)?,
        };
        if self.json {
            let parse = |text: &Option<String>| text.as_deref().and_then(|text| serde_json::from_str(text).ok());
            let (access, trust): (Option<serde_json::Value>, Option<serde_json::Value>) =
                (parse(&access), parse(&trust));
            output::line(json!({ "name": self.name, "access_policy": access, "trust_policy": trust }).to_string());
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(text) = &access {
            if self.only.is_none() {
                output::note(format!("access policy: what {} may do\n", self.subject(role.as_ref())));
            }
            output::line(text);
            policies::too_long(text).iter().for_each(|why| output::note(format!("\nwarning: {why}")));
        }
        if let Some(text) = &trust {
            if self.only.is_none() {
                output::note("\ntrust policy: who may assume the role\n");
            }
            output::line(text);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn subject(&self, role: Option<&RoleArn>) -> String {
        role.map_or("the user or role that reads".to_owned(), |role| format!("the role {}", role.name))
    }

    /// What was asked for, else what the users of the connection do with it.
    fn grants(&self, files: &Files, found: &Found, partition: Partition) -> Result<Grants, Failure> {
        let mut made = if self.bucket.is_empty() {
            let mut made = Grants { partition, keys: self.kms_key.clone(), ..Grants::default() };
            for user in files.users(&found.connection.name) {
                match (user, self.policy) {
                    (User::DataSource(_, Some(place)), Some(Policy::Write)) => made.write.push(place),
                    (User::DataSource(_, Some(place)), _) => made.read.push(place),
                    (User::Destination(place), Some(Policy::Read)) => made.read.push(place),
                    (User::Destination(place), _) => made.write.push(place),
                    (User::DataSource(_, None), _) => {}
                }
            }
            made
        } else {
            grants(partition, self.policy.unwrap_or_default(), self.bucket.clone(), self.kms_key.clone())
        };
        if made.read.is_empty() && made.write.is_empty() {
            let name = &found.connection.name;
            let message = format!(
                "nothing uses the connection {name} yet, so its buckets are not known; name them: s3-connector \
                 connection policy {name} --bucket my-bucket"
            );
            return Err(Failure::config("no_bucket", message));
        }
        if self.whole_buckets {
            made.read.iter_mut().chain(&mut made.write).for_each(|place| place.scope = Scope::Whole);
        }
        Ok(made)
    }

    /// The trust policy; none, with a note, if the connection has no role or nobody knows the caller.
    fn trust(&self, files: &Files, found: &Found, partition: Partition) -> Result<Option<String>, Ended> {
        if !matches!(found.connection.access, AccessDef::Role { .. }) {
            output::note("note: this connection assumes no role, so there is no trust policy");
            return Ok(None);
        }
        let Some(external_id) = files.external_id(&found.connection) else {
            output::note("note: the external id is derived at the first check or run; there is no trust policy before");
            return Ok(None);
        };
        let principal = match &self.principal {
            Some(text) => Principal::parse(text, partition).map_err(|why| Failure::config("bad_principal", why))?,
            None => {
                let region = found.connection.region.as_ref().map(|region| region.value.as_str());
                match policies::find_principal(files, region) {
                    Ok(principal) => principal,
                    Err(Ended::Failed(failure)) if self.only.is_none() => {
                        output::note(format!("note: no trust policy: {failure}; or name the caller with --principal"));
                        return Ok(None);
                    }
                    Err(ended) => return Err(ended),
                }
            }
        };
        Ok(Some(policies::text(&trust_policy(&principal, &external_id))?))
    }
}
