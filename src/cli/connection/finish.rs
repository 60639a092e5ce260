//! The end of `connection create s3_iamrole`: the file is written, the draft goes, the connection is tried.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use connector_core::error::Failure;
use connector_core::iam::{caller_policy, trust};
use connector_core::spec::{Access, ConnectionSpec};
use connector_datafile::write::connection::{NewAccess, NewConnection};
use serde_json::{Value, json};

use super::super::{Ended, VerbResult, output};
use super::create::{RoleArguments, file_of, make_datasources_folder, next_steps, write_connection};
use super::draft::{ACCESS_POLICY, Draft, Drafts, TRUST_POLICY, write_whole};
use super::files::Files;
use super::steps::Done;
use super::{policies, validate};
use crate::config::project::needs_path_style;

const CALLER_POLICY: &str = "caller-policy.json";

/// How the connection did when it was tried.
enum Tried {
    Not,
    Well(Vec<String>),
    Badly(Failure),
}

/// Writes what was decided, tries it, and says what comes next. A connection that does not work yet is there all the
/// same: AWS may need a moment to know a new role.
pub fn finish(
    arguments: &RoleArguments,
    files: &Files,
    drafts: &Drafts,
    label: &str,
    draft: &Draft,
    done: &Done,
) -> VerbResult {
    let config = &arguments.folder.config;
    let path = file_of(config, files, &done.name, arguments.force)?;
    let connection = NewConnection {
        description: None,
        region: Some(done.region.clone()),
        access: NewAccess::Role { arn: done.role.arn.clone(), external_id: draft.external_id.clone() },
        endpoint: draft.endpoint.clone(),
        path_style: draft.path_style.then_some(true),
        requester_pays: false,
    };
    write_connection(&path, &connection)?;
    make_datasources_folder(config)?;
    let caller = trust::caller_needs_policy(&done.principal, &done.role).then(|| caller_policy(&done.role));
    let caller = caller.map(|policy| policies::text(&policy)).transpose()?;
    let folder = keep_policies(&path, done, caller.as_deref())?;
    drafts.remove(label)?;
    if !arguments.json {
        output::line(format!("\n{} written, its policies are in {}", path.display(), folder.display()));
        if caller.is_some() {
            tell_caller(done, &folder);
        }
    }
    let tried = try_it(arguments, files, draft, done)?;
    let sample = done.places.first().map_or_else(String::new, connector_core::iam::Place::uri);
    let next = next_steps(config, &done.name, &sample);
    if arguments.json {
        output::line(as_json(draft, done, &path, &folder, caller.as_deref(), &tried, &next).to_string());
    } else {
        tell(&tried, &next);
    }
    match tried {
        Tried::Badly(failure) => {
            output::error(&format!(
                "{failure}\nthe connection is written all the same; AWS may need a minute to know a new role: try again \
                 with\n  {}",
                next.first().map_or("", String::as_str)
            ));
            Err(Ended::Told(failure.class))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the policies beside the connection: `shop.policies/`.
fn keep_policies(connection: &Path, done: &Done, caller: Option<&str>) -> Result<PathBuf, Failure> {
    let folder = connection.with_extension("policies");
    if folder.is_dir() {
        let message = |error| format!("{} cannot be replaced: {error}", folder.display());
        fs::remove_dir_all(&folder).map_err(|error| Failure::config("unwritable", message(error)))?;
    }
    write_whole(&folder.join(ACCESS_POLICY), &format!("{}\n", done.access_policy))?;
    write_whole(&folder.join(TRUST_POLICY), &format!("{}\n", done.trust_policy))?;
    if let Some(text) = caller {
        write_whole(&folder.join(CALLER_POLICY), &format!("{text}\n"))?;
    }
    Ok(folder)
}

/// The trust policy alone does not let this caller in.
fn tell_caller(done: &Done, folder: &Path) {
    let file = folder.join(CALLER_POLICY);
    output::note(format!(
        "\n{} also needs a policy of its own, which lets it assume the\nrole: {}",
        if done.principal.whole_account { "Whoever runs s3-connector" } else { done.principal.arn.as_str() },
        file.display()
    ));
    if let Some(command) = policies::allow_caller(&done.principal, &file) {
        output::note(format!("\n{command}"));
    }
}

fn try_it(arguments: &RoleArguments, files: &Files, draft: &Draft, done: &Done) -> Result<Tried, Ended> {
    if arguments.no_validate {
        return Ok(Tried::Not);
    }
    let access =
        Access::Role { arn: done.role.arn.clone(), external_id: draft.external_id.clone(), caller: files.caller() };
    let spec = ConnectionSpec {
        name: done.name.clone(),
        region: done.region.clone(),
        access,
        path_style: draft.path_style || draft.endpoint.as_deref().is_some_and(needs_path_style),
        endpoint: draft.endpoint.clone(),
        sts_endpoint: files.settings.aws.sts_endpoint.clone(),
        requester_pays: false,
    };
    if !arguments.yes {
        output::note("\nTrying it ...");
    }
    match validate::validate(spec, &done.places) {
        Ok(seen) => Ok(Tried::Well(seen)),
        Err(Ended::Failed(failure)) => Ok(Tried::Badly(failure)),
        Err(ended) => Err(ended),
    }
}

fn tell(tried: &Tried, next: &[String]) {
    match tried {
        Tried::Well(seen) => {
            output::note("  the role can be assumed");
            seen.iter().for_each(|line| output::note(format!("  {line}")));
        }
        Tried::Badly(_) => return,
        Tried::Not => {}
    }
    output::note("\nNext:");
    next.iter().for_each(|command| output::note(format!("  {command}")));
}

fn as_json(
    draft: &Draft,
    done: &Done,
    path: &Path,
    folder: &Path,
    caller: Option<&str>,
    tried: &Tried,
    next: &[String],
) -> Value {
    let policy = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let works = match tried {
        Tried::Not => Value::Null,
        Tried::Well(_) => Value::Bool(true),
        Tried::Badly(_) => Value::Bool(false),
    };
    let trouble = match tried {
        Tried::Badly(failure) => {
            json!({ "class": failure.class, "code": failure.code, "message": failure.message })
        }
        _ => Value::Null,
    };
    json!({
        "name": done.name,
        "file": path.display().to_string(),
        "policies": folder.display().to_string(),
        "policy": draft.policy,
        "places": draft.places,
        "role_arn": done.role.arn,
        "external_id": draft.external_id,
        "principal": done.principal.arn,
        "region": done.region,
        "access_policy": policy(&done.access_policy),
        "trust_policy": policy(&done.trust_policy),
        "caller_policy": caller.map(policy),
        "works": works,
        "error": trouble,
        "next": next,
    })
}
