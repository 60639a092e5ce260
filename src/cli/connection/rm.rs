//! `connection rm`: removes a connection that nothing uses, and says what is left in AWS.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use connector_core::error::Failure;
use connector_core::iam::RoleArn;
use connector_datafile::AccessDef;
use serde_json::json;

use super::super::{ConfigFolder, VerbResult, output};
use super::ask::agree;
use super::draft::{Drafts, UNNAMED};
use super::files::{Files, Found, User};
use super::policies::delete_role;

/// Remove a connection that nothing uses, or one that is not finished. Says what is left in AWS.
#[derive(Args)]
#[command(after_help = "\
Examples:
  s3-connector connection rm shop
  s3-connector connection rm shop --yes
  s3-connector connection rm new-connection      the one that has no name yet")]
pub struct Rm {
    #[command(flatten)]
    folder: ConfigFolder,
    /// The connection
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Rm {
    pub fn execute(self) -> VerbResult {
        let files = Files::read(&self.folder.config)?;
        let drafts = Drafts::of(&self.folder.config);
        let label = if self.name == UNNAMED { UNNAMED.to_owned() } else { self.name.replace('-', "_") };
        let draft = drafts.load(&label).unwrap_or_default();
        if let (None, Some(_)) = (files.find(&self.name), &draft) {
            let folder = drafts.folder(&label);
            agree(self.yes, &format!("remove the unfinished connection {label}?"))?;
            drafts.remove(&label)?;
            self.tell(&[folder], None);
            return Ok(ExitCode::SUCCESS);
        }
        let found = files.get(&self.name)?;
        refuse_used(&files, found)?;
        agree(self.yes, &format!("remove {}?", found.path.display()))?;
        let policies = found.path.with_extension("policies");
        let mut removed = vec![found.path.clone()];
        fs::remove_file(&found.path).map_err(|error| unremovable(&found.path, &error))?;
        if policies.is_dir() {
            fs::remove_dir_all(&policies).map_err(|error| unremovable(&policies, &error))?;
            removed.push(policies);
        }
        let role = match &found.connection.access {
            AccessDef::Role { arn, .. } => RoleArn::parse(&arn.value).ok(),
            _ => None,
        };
        self.tell(&removed, role.as_ref());
        Ok(ExitCode::SUCCESS)
    }

    fn tell(&self, removed: &[PathBuf], role: Option<&RoleArn>) {
        let removed: Vec<String> = removed.iter().map(|path| path.display().to_string()).collect();
        let in_aws = role.map(|role| {
            // `connection create` gives both the same name.
            let policy = format!("arn:{}:iam::{}:policy/{}", role.partition.as_str(), role.account, role.name);
            (role.arn.clone(), policy)
        });
        if self.json {
            let left = in_aws.as_ref().map(|(role, policy)| json!({ "role_arn": role, "policy_arn": policy }));
            output::line(json!({ "removed": removed, "left_in_aws": left }).to_string());
            return;
        }
        removed.iter().for_each(|path| output::line(format!("removed {path}")));
        if let (Some((arn, policy)), Some(role)) = (in_aws, role) {
            output::note(format!(
                "\nIn AWS there is still the role {arn},\nand its policy, if it has the name that was proposed. If \
                 nothing else uses them:\n\n{}",
                delete_role(&role.name, &policy)
            ));
        }
    }
}

fn unremovable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::config(
        "unremovable",
        format!("{} cannot be removed: {error}; check the rights of its folder", path.display()),
    )
}

fn refuse_used(files: &Files, found: &Found) -> Result<(), Failure> {
    let users = files.users(&found.connection.name);
    let sources: Vec<&str> = users.iter().filter(|user| matches!(user, User::DataSource(..))).map(User::name).collect();
    let name = &found.connection.name;
    if !sources.is_empty() {
        let message = format!(
            "the connection {name} is used by {}: {}; remove them first, or give them another IMPORT_CONNECTION_NAME",
            output::count(sources.len() as u64, "data source"),
            sources.join(", ")
        );
        return Err(Failure::config("connection_in_use", message));
    }
    if !users.is_empty() {
        let message =
            format!("the connection {name} writes the tables; change destination.connection of the settings first");
        return Err(Failure::config("connection_in_use", message));
    }
    Ok(())
}
