//! `.connection` files: how to reach S3.

use connector_core::secret::Secret;

use crate::datasource::connection_name;
use crate::diagnostic::{Diagnostic, Report};
use crate::directives::CONNECTION;
use crate::document::{self, Document};
use crate::lexer::{Body, Part, RawDirective};
use crate::reader::{Reader, Text, parse_call};
use crate::secrets::Secrets;
use crate::source::{SourceFile, Span, Spanned};
use crate::suggest::nearest;

/// A connection as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The file name without `.connection`, with `_` for `-`.
    pub name: String,
    pub description: Option<Spanned<String>>,
    /// `S3_REGION`.
    pub region: Option<Spanned<String>>,
    /// Whether there is an `S3_REGION`, even a bad one.
    pub declares_region: bool,
    pub access: AccessDef,
    /// `S3_ENDPOINT`: `http://` or `https://`, a host, and perhaps a port.
    pub endpoint: Option<Spanned<String>>,
    /// `S3_PATH_STYLE`.
    pub path_style: Option<bool>,
    /// `S3_REQUEST_PAYER`.
    pub requester_pays: bool,
    /// `S3_EXPECTED_BUCKET_OWNER`: the 12 digits of an account.
    pub expected_owner: Option<Spanned<String>>,
    /// The place that stands for the connection as a whole: `TYPE`, or the start of the file.
    pub span: Span,
    /// The file, with everything masked that must not be printed.
    pub file: SourceFile,
}

/// Whose credentials read the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessDef {
    /// `S3_ARN`; without `S3_EXTERNAL_ID` the external id is derived.
    Role { arn: Spanned<String>, external_id: Option<Spanned<String>> },
    /// `S3_ACCESS_KEY` and `S3_SECRET`.
    Keys { access_key_id: String, secret_access_key: Secret },
    /// `S3_ANONYMOUS true`.
    Anonymous,
    /// None of these.
    DefaultChain,
}

/// Reads a `.connection` file. All its problems come back at once; what was read is right only if none of them is an
/// error. No diagnostic shows a secret that stands in the file.
pub fn parse_connection(source: &SourceFile, secrets: &dyn Secrets) -> (Connection, Vec<Diagnostic>) {
    let mut report = Report::new(source);
    let document = document::read(&mut report, &CONNECTION);
    let mut reader = Reader { document: &document, secrets, report };
    check_name(&mut reader, source.stem());
    let span = check_type(&mut reader);
    let masked = source.masked(&secret_spans(source, &document));
    let connection = Connection {
        name: connection_name(source.stem()),
        description: reader.prose("DESCRIPTION"),
        region: region(&mut reader),
        declares_region: document.find("S3_REGION").is_some(),
        access: access(&mut reader),
        endpoint: endpoint(&mut reader),
        path_style: flag(&mut reader, "S3_PATH_STYLE").map(|flag| flag.value),
        requester_pays: flag(&mut reader, "S3_REQUEST_PAYER").is_some_and(|flag| flag.value),
        expected_owner: expected_owner(&mut reader),
        span,
        file: masked.clone(),
    };
    let mut diagnostics = reader.report.finish();
    diagnostics.iter_mut().for_each(|diagnostic| diagnostic.show_instead(&masked));
    (connection, diagnostics)
}

/// What must not be printed: values of directives that are secret, or that may be a misspelled secret one.
fn secret_spans(source: &SourceFile, document: &Document) -> Vec<Span> {
    let is_secret = |name: &str| ["SECRET", "PASSWORD", "TOKEN", "KEY"].iter().any(|word| name.contains(word));
    // An endpoint may be written with a user and a password in it.
    let has_user =
        |directive: &RawDirective| directive.body_span().is_some_and(|span| source.slice(span).contains('@'));
    let hides = |directive: &&RawDirective| {
        let name = directive.name.value.as_str();
        is_secret(name) || (name == "S3_ENDPOINT" && has_user(directive))
    };
    let named = document.directives.iter().filter(hides);
    named
        .chain(&document.ignored)
        .chain(&document.others)
        .flat_map(|directive| plain_spans(source, directive))
        .collect()
}

/// The body of a directive without its `{{ tb_secret("NAME") }}`, which is no secret unless it has a default.
fn plain_spans(source: &SourceFile, directive: &RawDirective) -> Vec<Span> {
    let Body::Inline(words) = &directive.body else { return directive.body_span().into_iter().collect() };
    let names_only = |part: &Part| match part {
        Part::Template(span) => parse_call(source.slice(*span).trim_start_matches("{{").trim_end_matches("}}"))
            .is_some_and(|call| call.default.is_none()),
        Part::Text(_) => false,
    };
    words.iter().filter(|word| !word.parts.iter().all(names_only)).map(|word| word.span).collect()
}

fn check_name(reader: &mut Reader<'_, '_>, name: &str) {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) || !name.chars().all(letters) {
        let message = format!("'{name}' is no name for a connection");
        let hint = "the file is named after the connection: letters, digits and '_', beginning with a letter";
        reader.error("bad_name", Span::at(0), message, hint);
    }
}

fn check_type(reader: &mut Reader<'_, '_>) -> Span {
    let Some(directive) = reader.document.find("TYPE") else {
        reader.error("missing_directive", Span::at(0), "TYPE is missing", "add a line: TYPE s3");
        return Span::at(0);
    };
    let span = directive.name.span;
    if let Some(kind) = reader.text("TYPE")
        && !kind.value.value.eq_ignore_ascii_case("s3")
    {
        let message = format!("connections of type {} are not supported", kind.value.shown());
        reader.error("unsupported_type", kind.span, message, "the only type is s3");
    }
    span
}

fn region(reader: &mut Reader<'_, '_>) -> Option<Spanned<String>> {
    let Spanned { value, span } = reader.text("S3_REGION")?;
    if !is_region(&value.value) {
        let message = format!("{} is not a region", value.shown());
        reader.error("bad_region", span, message, "a region is spelled like us-east-1");
        return None;
    }
    Some(Spanned::new(value.value, span))
}

/// Whether a text is spelled like a region. S3-compatible stores have regions of their own, such as `auto`.
pub fn is_region(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-')
}

fn expected_owner(reader: &mut Reader<'_, '_>) -> Option<Spanned<String>> {
    let Spanned { value, span } = reader.text("S3_EXPECTED_BUCKET_OWNER")?;
    if value.value.len() != 12 || !value.value.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("{} is not the id of an account", value.shown());
        let hint = "the 12 digits of the account that owns the buckets, such as 111111111111, without hyphens";
        reader.error("bad_account", span, message, hint);
        return None;
    }
    Some(Spanned::new(value.value, span))
}

fn access(reader: &mut Reader<'_, '_>) -> AccessDef {
    let name_span = |reader: &Reader<'_, '_>, name| reader.document.find(name).map(|found| found.name.span);
    let role = name_span(reader, "S3_ARN");
    let (key, secret) = (name_span(reader, "S3_ACCESS_KEY"), name_span(reader, "S3_SECRET"));
    let anonymous = flag(reader, "S3_ANONYMOUS").filter(|flag| flag.value);
    let ways = [role, key.or(secret), anonymous.as_ref().map(|flag| flag.span)];
    let mut ways = ways.into_iter().flatten();
    if let (Some(first), Some(second)) = (ways.next(), ways.next()) {
        let diagnostic = Diagnostic::error("ambiguous_access", "the connection names two ways to reach S3")
            .label("the other one")
            .related(reader.report.source, first, "one of them")
            .hint("keep one of S3_ARN, S3_ACCESS_KEY with S3_SECRET, and S3_ANONYMOUS true");
        reader.report.push(diagnostic, second);
    }
    for (one, there, other, missing) in
        [("S3_ACCESS_KEY", key, "S3_SECRET", secret), ("S3_SECRET", secret, "S3_ACCESS_KEY", key)]
    {
        if let (Some(span), None) = (there, missing) {
            let message = format!("{other} is missing");
            reader.error("missing_directive", span, message, format!("{one} and {other} belong together"));
        }
    }
    let external_id = external_id(reader, role.is_some());
    let keys = keys(reader);
    let arn = arn(reader);
    match (role, arn, keys) {
        (Some(_), Some(arn), _) => AccessDef::Role { arn, external_id },
        (None, _, Some((access_key_id, secret_access_key))) => AccessDef::Keys { access_key_id, secret_access_key },
        _ if anonymous.is_some() => AccessDef::Anonymous,
        _ => AccessDef::DefaultChain,
    }
}

fn external_id(reader: &mut Reader<'_, '_>, has_role: bool) -> Option<Spanned<String>> {
    let Spanned { value, span } = reader.text("S3_EXTERNAL_ID")?;
    if !has_role {
        let diagnostic = Diagnostic::warning("unused_external_id", "S3_EXTERNAL_ID has no effect without S3_ARN");
        reader.report.push(diagnostic.hint("an external id is part of assuming a role"), span);
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "+=,.@:/-_".contains(letter);
    if !(2..=1224).contains(&value.value.len()) || !value.value.chars().all(allowed) {
        let message = format!("{} is not an external id", value.shown());
        let hint = "an external id is 2 to 1224 letters, digits and signs of +=,.@:/-_";
        reader.error("bad_external_id", span, message, hint);
        return None;
    }
    Some(Spanned::new(value.value, span))
}

fn keys(reader: &mut Reader<'_, '_>) -> Option<(String, Secret)> {
    let id = reader.text("S3_ACCESS_KEY");
    let secret = reader.text("S3_SECRET");
    if let Some(plain) = secret.as_ref().filter(|secret| !secret.value.secret) {
        let hint = "write S3_SECRET {{ tb_secret(\"NAME\") }} and set the environment variable NAME";
        reader.error("plain_secret", plain.span, "a secret must not stand in the file", hint);
    }
    let (id, secret) = (id?.value.value, secret?.value.value);
    Some((id, Secret::new(secret)))
}

fn arn(reader: &mut Reader<'_, '_>) -> Option<Spanned<String>> {
    let Spanned { value, span } = reader.text("S3_ARN")?;
    if is_role_arn(&value.value) {
        return Some(Spanned::new(value.value, span));
    }
    let message = format!("{} is not the ARN of a role", value.shown());
    reader.error("bad_arn", span, message, "it looks like arn:aws:iam::111111111111:role/my-role");
    None
}

fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts.as_slice() else { return false };
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    *arn == "arn"
        && partition.starts_with("aws")
        && *service == "iam"
        && region.is_empty()
        && digits
        && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty())
}

fn endpoint(reader: &mut Reader<'_, '_>) -> Option<Spanned<String>> {
    let Spanned { value, span } = reader.text("S3_ENDPOINT")?;
    if !is_endpoint(&value.value) {
        let Text { secret, .. } = value;
        let message = if secret { "the value of the secret is not an endpoint" } else { "this is not an endpoint" };
        reader.error(
            "bad_endpoint",
            span,
            message,
            "such as http://127.0.0.1:9000: scheme, host and port, nothing else",
        );
        return None;
    }
    Some(Spanned::new(value.value.trim_end_matches('/').to_owned(), span))
}

/// Whether a text is `http://` or `https://`, a host, perhaps a port, and no more.
pub fn is_endpoint(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_right = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(host_letter),
    };
    host_is_right && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn flag(reader: &mut Reader<'_, '_>, name: &str) -> Option<Spanned<bool>> {
    let Spanned { value, span } = reader.text(name)?;
    match value.value.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(Spanned::new(true, span)),
        "false" | "0" => Some(Spanned::new(false, span)),
        other => {
            let diagnostic = Diagnostic::error("bad_flag", format!("{} is neither true nor false", value.shown()));
            reader.report.push(diagnostic.suggest(nearest(other, ["true", "false"])), span);
            None
        }
    }
}
