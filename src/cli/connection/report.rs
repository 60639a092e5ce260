//! What the doctor found, for people and as JSON.

use std::process::ExitCode;

use connector_core::error::ErrorClass;
use connector_core::spec::ConnectionSpec;
use connector_s3::doctor::{Finding, Outcome, Remedy, Statement};
use serde_json::{Value, json};

use crate::cli::{code_of, output, worse};

/// The code of the worst failure; success if nothing failed.
pub fn exit_code<'f>(findings: impl Iterator<Item = &'f Finding>) -> ExitCode {
    let classes = findings.filter_map(class_of);
    classes.fold(None, |worst, class| worse(worst, Some(class))).map_or(ExitCode::SUCCESS, code_of)
}

/// The class of a failure. A file that may not be read is only put off by an import; here somebody asks what to change.
pub fn class_of(finding: &Finding) -> Option<ErrorClass> {
    let (class, _) = finding.failure.filter(|_| finding.outcome == Outcome::Failed)?;
    Some(if class == ErrorClass::Data { ErrorClass::Config } else { class })
}

/// The first failure: the others often follow from it.
pub fn first_failure(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().find(|finding| finding.outcome == Outcome::Failed)
}

/// The lines of the report on a connection.
pub fn lines(spec: &ConnectionSpec, findings: &[Finding]) -> Vec<String> {
    let mut lines = vec![format!("connection {} ({})", spec.name, spec.region)];
    for finding in findings {
        let on = finding.on.as_ref().map_or(String::new(), |on| format!("{}: ", output::printable(on)));
        let outcome = finding.outcome.as_str();
        lines.push(format!(
            "  {outcome:<10}  {:<19}  {on}{}",
            finding.probe.as_str(),
            output::printable(&finding.said)
        ));
        lines.extend(finding.remedy.iter().flat_map(remedy_lines));
    }
    let count = |wanted: Outcome| findings.iter().filter(|finding| finding.outcome == wanted).count() as u64;
    let failed = output::count(count(Outcome::Failed), "failure");
    let warned = output::count(count(Outcome::Warning), "warning");
    lines.push(format!("  {failed}, {warned}"));
    lines
}

fn remedy_lines(remedy: &Remedy) -> Vec<String> {
    let mut lines = vec![
        format!("              where:  {}", output::printable(&remedy.place)),
        format!("              change: {}", output::printable(&remedy.change)),
    ];
    if let Some(statement) = &remedy.statement {
        let text = serde_json::to_string_pretty(&statement_json(statement)).unwrap_or_default();
        lines.extend(text.lines().map(|line| format!("                {line}")));
    }
    lines.extend(remedy.command.iter().map(|command| format!("              see:    {command}")));
    lines
}

/// The statement as it stands in a policy.
fn statement_json(statement: &Statement) -> Value {
    let mut json = json!({ "Effect": "Allow", "Action": statement.action });
    if let Some(principal) = &statement.principal {
        json["Principal"] = json!({ "AWS": principal });
    }
    if let Some(resource) = &statement.resource {
        json["Resource"] = json!(resource);
    }
    if let Some(external_id) = &statement.external_id {
        json["Condition"] = json!({ "StringEquals": { "sts:ExternalId": external_id } });
    }
    json
}

/// The findings, in their order.
pub fn as_json(findings: &[Finding]) -> Value {
    findings.iter().map(finding_json).collect()
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "probe": finding.probe.as_str(),
        "on": finding.on,
        "outcome": finding.outcome.as_str(),
        "message": finding.said,
        "class": class_of(finding),
        "code": finding.failure.map(|(_, code)| code),
        "remedy": finding.remedy.as_ref().map(|remedy| json!({
            "place": remedy.place,
            "change": remedy.change,
            "statement": remedy.statement.as_ref().map(statement_json),
            "command": remedy.command,
        })),
    })
}
