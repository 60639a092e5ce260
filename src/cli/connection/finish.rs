//! The end of `connection create s3_iamrole`: the file is written, the draft goes, the connection is tried.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use connector_core::error::Failure;
use connector_core::iam::{Principal, caller_policy, trust};
use connector_core::spec::{Access, ConnectionSpec};
use connector_datafile::write::connection::{NewAccess, NewConnection};
use connector_s3::doctor::Finding;
use serde_json::{Value, json};

use super::super::{Ended, VerbResult, output};
use super::create::{file_of, make_datasources_folder, text_of};
use super::draft::{ACCESS_POLICY, Draft, TRUST_POLICY, write_whole};
use super::next::Next;
use super::policies;
use super::report;
use super::steps::{Done, Steps};
use super::validate::{seen, validate};
use crate::config::project::needs_path_style;

const CALLER_POLICY: &str = "caller-policy.json";

/// How the connection did when it was tried.
enum Tried {
    Not,
    /// Everything was found, or only warnings.
    Well(Vec<Finding>),
    /// The first failure, as that of the whole.
    Badly(Failure, Vec<Finding>),
}

impl Tried {
    fn findings(&self) -> &[Finding] {
        match self {
            Self::Not => &[],
            Self::Well(findings) | Self::Badly(_, findings) => findings,
        }
    }
}

/// Writes what was decided, tries it, and says what comes next. A connection that does not work yet is there all the
/// same: AWS may need a moment to know a new role.
pub fn finish(steps: &mut Steps<'_>, done: &Done) -> VerbResult {
    let config = steps.arguments.folder.config.clone();
    let path = write(steps, done)?;
    make_datasources_folder(&config)?;
    let principal = done.trust.as_ref().map(|(principal, _)| principal);
    let caller = principal.filter(|principal| trust::caller_needs_policy(principal, &done.role));
    let caller = caller.map(|_| policies::text(&caller_policy(&done.role))).transpose()?;
    let folder = keep_policies(&path, done, caller.as_deref())?;
    steps.drafts.remove(&steps.label)?;
    if !steps.arguments.json {
        output::line(format!("\n{} written, its policies are in {}", path.display(), folder.display()));
        if let Some(principal) = principal.filter(|_| caller.is_some()) {
            tell_caller(principal, &folder);
        }
    }
    let tried = try_until_it_works(steps, done)?;
    let seen = match &tried {
        Tried::Well(findings) => seen(&done.places, findings),
        _ => Vec::new(),
    };
    let next = Next::of(&config, &done.name, steps.draft.policy(), &done.places, &seen);
    if steps.arguments.json {
        output::line(as_json(&steps.draft, done, &path, &folder, caller.as_deref(), &tried, &next).to_string());
    } else if !matches!(tried, Tried::Badly(..)) {
        next.tell();
    }
    match tried {
        Tried::Badly(failure, _) => {
            output::error(&format!(
                "{failure}\nthe connection is written all the same; AWS may need a minute to know a new role: try again \
                 with\n  {}",
                next.commands.first().map_or("", String::as_str)
            ));
            Err(Ended::Told(failure.class))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the connection. One that a run wrote which was killed right behind it is no other connection.
fn write(steps: &Steps<'_>, done: &Done) -> Result<PathBuf, Failure> {
    let draft = &steps.draft;
    let connection = NewConnection {
        description: None,
        region: Some(done.region.clone()),
        access: NewAccess::Role { arn: done.role.arn.clone(), external_id: draft.external_id.clone() },
        endpoint: draft.endpoint.clone(),
        path_style: draft.path_style.then_some(true),
        requester_pays: false,
    };
    let text = text_of(&connection)?;
    let is_this_one = |path: &Path| fs::read_to_string(path).is_ok_and(|there| there == text);
    let written = steps.files.find(&done.name).is_some_and(|found| is_this_one(&found.path));
    let config = &steps.arguments.folder.config;
    let path = file_of(config, &steps.files, &done.name, steps.arguments.force || written)?;
    write_whole(&path, &text)?;
    Ok(path)
}

/// Writes the policies beside the connection: `shop.policies/`.
fn keep_policies(connection: &Path, done: &Done, caller: Option<&str>) -> Result<PathBuf, Failure> {
    let folder = connection.with_extension("policies");
    if folder.is_dir() {
        let message = |error| format!("{} cannot be replaced: {error}", folder.display());
        fs::remove_dir_all(&folder).map_err(|error| Failure::config("unwritable", message(error)))?;
    }
    write_whole(&folder.join(ACCESS_POLICY), &format!("{}\n", done.access_policy))?;
    if let Some((_, text)) = &done.trust {
        write_whole(&folder.join(TRUST_POLICY), &format!("{text}\n"))?;
    }
    if let Some(text) = caller {
        write_whole(&folder.join(CALLER_POLICY), &format!("{text}\n"))?;
    }
    Ok(folder)
}

/// The trust policy alone does not let this caller in.
fn tell_caller(principal: &Principal, folder: &Path) {
    let file = folder.join(CALLER_POLICY);
    output::note(format!(
        "\n{} also needs a policy of its own, which lets it assume the\nrole: {}",
        if principal.whole_account { "Whoever runs s3-connector" } else { principal.arn.as_str() },
        file.display()
    ));
    if let Some(command) = policies::allow_caller(principal, &file) {
        output::note(format!("\n{command}"));
    }
}

/// Tries it; again and again where somebody says so, for AWS needs a moment to know a new role everywhere.
fn try_until_it_works(steps: &mut Steps<'_>, done: &Done) -> Result<Tried, Ended> {
    if steps.arguments.no_validate {
        return Ok(Tried::Not);
    }
    loop {
        if steps.asking {
            steps.prompts.say("\nTrying it ...");
        }
        let spec = spec(steps, done);
        let findings = match validate(&spec, steps.draft.policy(), &done.places) {
            Ok(findings) => findings,
            Err(Ended::Failed(failure)) => return Ok(Tried::Badly(failure, Vec::new())),
            Err(ended) => return Err(ended),
        };
        if !steps.arguments.json {
            report::lines(&spec, &findings).iter().for_each(output::note);
        }
        let Some(failure) = first_failure(&findings) else { return Ok(Tried::Well(findings)) };
        if steps.asking {
            steps.prompts.say("\n  not yet; AWS may need a minute to know a new role.\n");
        }
        if !steps.asking || !steps.prompts.again() {
            return Ok(Tried::Badly(failure, findings));
        }
    }
}

fn spec(steps: &Steps<'_>, done: &Done) -> ConnectionSpec {
    let (draft, files) = (&steps.draft, &steps.files);
    let access =
        Access::Role { arn: done.role.arn.clone(), external_id: draft.external_id.clone(), caller: files.caller() };
    ConnectionSpec {
        name: done.name.clone(),
        region: done.region.clone(),
        access,
        path_style: draft.path_style || draft.endpoint.as_deref().is_some_and(needs_path_style),
        endpoint: draft.endpoint.clone(),
        sts_endpoint: files.settings.aws.sts_endpoint.clone(),
        requester_pays: false,
        expected_owner: None,
    }
}

/// The first failure with its remedy's class.
fn first_failure(findings: &[Finding]) -> Option<Failure> {
    let found = report::first_failure(findings)?;
    let (class, code) = (report::class_of(found)?, found.failure?.1);
    Some(Failure::new(class, code, found.said.clone()))
}

fn as_json(
    draft: &Draft,
    done: &Done,
    path: &Path,
    folder: &Path,
    caller: Option<&str>,
    tried: &Tried,
    next: &Next,
) -> Value {
    let policy = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let works = match tried {
        Tried::Not => Value::Null,
        Tried::Well(_) => Value::Bool(true),
        Tried::Badly(..) => Value::Bool(false),
    };
    let trouble = match tried {
        Tried::Badly(failure, _) => {
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
        "principal": done.trust.as_ref().map(|(principal, _)| &principal.arn),
        "region": done.region,
        "access_policy": policy(&done.access_policy),
        "trust_policy": done.trust.as_ref().map(|(_, text)| policy(text)),
        "caller_policy": caller.map(policy),
        "works": works,
        "error": trouble,
        "findings": report::as_json(tried.findings()),
        "settings": next.settings,
        "next": next.commands,
    })
}
