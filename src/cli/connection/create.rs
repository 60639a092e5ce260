//! `connection create`: through an IAM role, step by step or by flags; or with keys, anonymously, or by the default
//! AWS chain, by flags alone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use connector_core::error::Failure;
use connector_core::iam::{Place, Policy, arn, refuse_connection_name, refuse_external_id, refuse_region};
use connector_datafile::connection::is_endpoint;
use connector_datafile::write::connection::{NewAccess, NewConnection, connection_text};
use serde_json::json;

use super::super::{ConfigFolder, VerbResult, output};
use super::draft::write_whole;
use super::files::Files;
use super::next::Next;
use super::policy::parse_policy;
use super::steps;

/// Create a connection: a file in connections/ that says how S3 is reached.
#[derive(Args)]
pub struct Create {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    #[command(name = "s3_iamrole")]
    Role(Box<RoleArguments>),
    #[command(name = "s3")]
    Plain(PlainArguments),
}

/// Create a connection through an IAM role, step by step.
///
/// Asks for what is not given, says which policies AWS needs, and waits until they are there. Whatever was answered is
/// kept: the same command goes on where it stopped, with the same external id. Policies go to standard output,
/// everything else to standard error.
///
/// With --yes, or where standard input is not a terminal, nothing is asked: everything has to be given by flags, and what
/// is missing is named. With --bucket alone it makes the policies, and the next run goes on with the ARN of the role.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector connection create s3_iamrole --policy read
  s3-connector connection create s3_iamrole --bucket my-bucket --prefix orders/
  s3-connector connection create s3_iamrole --policy write --bucket s3://my-lake/tables/
  s3-connector connection create s3_iamrole --name shop --bucket my-bucket --yes \\
      --role-arn arn:aws:iam::111111111111:role/my-role --region eu-west-1 \\
      --external-id 7d3f6a52-5b1c-4c38-9f0e-2a6d8e41b790")]
pub struct RoleArguments {
    #[command(flatten)]
    pub folder: ConfigFolder,
    /// What the role is for: to read files, or to keep tables
    #[arg(long, value_name = "read|write", value_parser = parse_policy)]
    pub policy: Option<Policy>,
    /// The name of the connection, and of its file
    #[arg(long, visible_alias = "connection-name")]
    pub name: Option<String>,
    /// The buckets, or parts of them such as s3://my-bucket/orders/
    #[arg(long, value_name = "BUCKET", value_parser = Place::parse)]
    pub bucket: Vec<Place>,
    /// Limit the role to these prefixes of each bucket
    #[arg(long, value_name = "PREFIX", requires = "bucket")]
    pub prefix: Vec<String>,
    /// The ARN of the role, if it is there already
    #[arg(long, value_name = "ARN")]
    pub role_arn: Option<String>,
    /// The region of the buckets
    #[arg(long)]
    pub region: Option<String>,
    /// An external id of your own; a fresh random one if left out
    #[arg(long, value_name = "ID")]
    pub external_id: Option<String>,
    /// Who may assume the role: an account id or an ARN. The caller, as AWS sees it, if left out
    #[arg(long, value_name = "ARN")]
    pub principal: Option<String>,
    /// The ARN of a KMS key that objects are encrypted with
    #[arg(long, value_name = "ARN", value_parser = arn::parse_key)]
    pub kms_key: Vec<String>,
    /// An S3-compatible store instead of AWS, such as `https://s3.example.com`
    #[arg(long, value_name = "URL", value_parser = parse_endpoint)]
    pub endpoint: Option<String>,
    /// Name the bucket in the path instead of the host
    #[arg(long)]
    pub path_style: bool,
    /// Do not try the connection at the end
    #[arg(long)]
    pub no_validate: bool,
    /// Ask nothing; what is missing is an error
    #[arg(long, short)]
    pub yes: bool,
    /// Forget what was answered before, and begin anew with another external id
    #[arg(long)]
    pub new: bool,
    /// Replace a connection of this name
    #[arg(long)]
    pub force: bool,
    /// Print JSON at the end, and the policies to standard error
    #[arg(long)]
    pub json: bool,
}

/// Create a connection with keys, anonymously, or with the default AWS chain. Asks nothing.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector connection create s3 --name shop --region eu-west-1
  s3-connector connection create s3 --name open --region us-east-1 --anonymous
  s3-connector connection create s3 --name store --endpoint http://127.0.0.1:9460 \\
      --access-key-secret STORE_KEY --secret-key-secret STORE_SECRET")]
pub struct PlainArguments {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The name of the connection, and of its file
    #[arg(long, visible_alias = "connection-name")]
    name: String,
    /// The region of the buckets; an endpoint can do without
    #[arg(long, required_unless_present = "endpoint")]
    region: Option<String>,
    /// What shall be read; only named in what comes next
    #[arg(long, value_name = "BUCKET", value_parser = Place::parse)]
    bucket: Option<Place>,
    /// The secret, such as an environment variable, that holds the access key id
    #[arg(long, value_name = "NAME", requires = "secret_key_secret", conflicts_with = "anonymous")]
    access_key_secret: Option<String>,
    /// The secret that holds the secret access key
    #[arg(long, value_name = "NAME", requires = "access_key_secret")]
    secret_key_secret: Option<String>,
    /// Do not sign requests
    #[arg(long)]
    anonymous: bool,
    /// An S3-compatible store instead of AWS, such as `https://s3.example.com`
    #[arg(long, value_name = "URL", value_parser = parse_endpoint)]
    endpoint: Option<String>,
    /// Name the bucket in the path instead of the host
    #[arg(long)]
    path_style: bool,
    /// Pay for requests and downloads
    #[arg(long)]
    requester_pays: bool,
    /// Replace a connection of this name
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn parse_endpoint(text: &str) -> Result<String, String> {
    let message = "an endpoint is http:// or https://, a host and perhaps a port, and nothing else";
    is_endpoint(text).then(|| text.trim_end_matches('/').to_owned()).ok_or_else(|| message.to_owned())
}

impl Create {
    pub fn execute(self) -> VerbResult {
        match self.kind {
            Kind::Role(arguments) => steps::execute(*arguments),
            Kind::Plain(arguments) => arguments.execute(),
        }
    }
}

impl RoleArguments {
    /// The places that `--bucket` and `--prefix` name together.
    ///
    /// # Errors
    /// If a bucket already has a prefix of its own, or a prefix is none.
    pub fn places(&self) -> Result<Vec<Place>, Failure> {
        if self.prefix.is_empty() {
            return Ok(self.bucket.clone());
        }
        let mut places = Vec::new();
        for bucket in &self.bucket {
            if !bucket.prefix().is_empty() {
                let message = format!("{} has a prefix already; leave out --prefix or that one", bucket.uri());
                return Err(Failure::config("bad_prefix", message));
            }
            for prefix in &self.prefix {
                let place = Place::at(&bucket.bucket, prefix.trim_start_matches('/'));
                let message = |error| format!("--prefix {prefix}: {error}");
                places.push(place.map_err(|error| Failure::config("bad_prefix", message(error)))?);
            }
        }
        Ok(places)
    }

    /// Refuses flags that no answer may be like, before anything is asked or kept.
    pub fn check(&self) -> Result<(), Failure> {
        let refuse = |flag: &str, why: Option<String>| match why {
            Some(why) => Err(Failure::config("bad_flag", format!("{flag}: {why}"))),
            None => Ok(()),
        };
        let of = |value: &Option<String>, check: &dyn Fn(&str) -> Option<String>| value.as_deref().and_then(check);
        refuse("--name", of(&self.name, &refuse_connection_name))?;
        refuse("--external-id", of(&self.external_id, &refuse_external_id))?;
        refuse("--role-arn", of(&self.role_arn, &|text| connector_core::iam::RoleArn::parse(text).err()))?;
        refuse("--region", of(&self.region, &|text| refuse_region(text, self.endpoint.is_some(), None)))
    }
}

impl PlainArguments {
    fn execute(self) -> VerbResult {
        if let Some(why) = refuse_connection_name(&self.name) {
            return Err(Failure::config("bad_flag", format!("--name: {why}")).into());
        }
        let elsewhere = self.endpoint.is_some();
        if let Some(why) = self.region.as_deref().and_then(|region| refuse_region(region, elsewhere, None)) {
            return Err(Failure::config("bad_flag", format!("--region: {why}")).into());
        }
        let files = Files::read(&self.folder.config)?;
        let path = file_of(&self.folder.config, &files, &self.name, self.force)?;
        let access = match (&self.access_key_secret, &self.secret_key_secret) {
            (Some(access_key), Some(secret)) => {
                NewAccess::Keys { access_key: access_key.clone(), secret: secret.clone() }
            }
            _ if self.anonymous => NewAccess::Anonymous,
            _ => NewAccess::DefaultChain,
        };
        let connection = NewConnection {
            description: None,
            region: self.region.clone(),
            access,
            endpoint: self.endpoint.clone(),
            path_style: self.path_style.then_some(true),
            requester_pays: self.requester_pays,
        };
        write_whole(&path, &text_of(&connection)?)?;
        make_datasources_folder(&self.folder.config)?;
        let next = Next::of(&self.folder.config, &self.name, Policy::Read, self.bucket.as_slice(), &[]);
        if self.json {
            output::line(
                json!({ "name": self.name, "file": path.display().to_string(), "next": next.commands }).to_string(),
            );
            return Ok(ExitCode::SUCCESS);
        }
        output::line(format!("{} written", path.display()));
        if let Some((key, secret)) = self.access_key_secret.as_ref().zip(self.secret_key_secret.as_ref()) {
            output::note(format!("set the environment variables {key} and {secret} wherever s3-connector runs"));
        }
        next.tell();
        Ok(ExitCode::SUCCESS)
    }
}

/// The file of a new connection.
///
/// # Errors
/// If there is a connection of that name and it must not be replaced.
pub fn file_of(config: &Path, files: &Files, name: &str, force: bool) -> Result<PathBuf, Failure> {
    match files.find(name) {
        None => Ok(config.join("connections").join(format!("{name}.connection"))),
        Some(found) if force => Ok(found.path.clone()),
        Some(found) => Err(Failure::config(
            "connection_exists",
            format!("there is a connection {name} already, {}; choose another name, or --force", found.path.display()),
        )),
    }
}

/// The text of a connection.
///
/// # Errors
/// If a value cannot stand in a datafile.
pub fn text_of(connection: &NewConnection) -> Result<String, Failure> {
    connection_text(connection).map_err(|error| Failure::config("unwritable", error.to_string()))
}

/// The place of what comes next.
pub fn make_datasources_folder(config: &Path) -> Result<(), Failure> {
    let folder = config.join("datasources");
    std::fs::create_dir_all(&folder).map_err(|error| {
        Failure::config("unwritable", format!("the folder {} cannot be made: {error}", folder.display()))
    })
}

/// The flag that later commands need to find this folder, with a blank in front.
pub fn config_flag(config: &Path) -> String {
    if config == Path::new("config") || std::env::var_os("S3_CONNECTOR_CONFIG").is_some() {
        return String::new();
    }
    format!(" --config {}", super::policies::quoted(&config.display().to_string()))
}
