//! What s3s does not ask of a signature, asked before s3s sees the request.
//!
//! s3s verifies AWS Signature Version 4 and the clock (15 minutes), but it also accepts Version 2 and browser forms,
//! a signature made for the other service, and headers that were added to a request after it was signed. AWS accepts
//! none of these, and a client that relies on one should learn it here.

use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Uri};
use s3s::{S3Error, S3Result, s3_error};
use url::form_urlencoded;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What a signature claims: `key id/date/region/service/aws4_request`, and the headers it covers.
struct Claim {
    credential: String,
    signed_headers: String,
}

/// Whether a request is meant for STS: both services share the port, and only STS takes forms at the root.
pub(crate) fn is_sts(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    method == Method::POST && uri.path() == "/" && has_content_type(headers, "application/x-www-form-urlencoded")
}

/// Refuses requests whose signature could not be trusted even if it verifies. Requests without one pass, and are
/// turned away as anonymous later.
pub(crate) fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> S3Result<()> {
    if has_content_type(headers, "multipart/form-data") {
        return Err(s3_error!(NotImplemented, "devcloud takes no browser forms: use PutObject"));
    }
    let Some(claim) = claim(uri, headers)? else { return Ok(()) };
    let expected = if is_sts(method, uri, headers) { "sts" } else { "s3" };
    let scope: Vec<&str> = claim.credential.rsplitn(5, '/').collect();
    match scope[..] {
        ["aws4_request", service, _, _, _] if service == expected => {}
        ["aws4_request", _, _, _, _] => {
            return Err(s3_error!(
                SignatureDoesNotMatch,
                "Credential should be scoped to correct service: '{expected}'"
            ));
        }
        _ => return Err(s3_error!(AuthorizationHeaderMalformed, "The credential is malformed")),
    }
    let is_signed = |name: &str| claim.signed_headers.split(';').any(|signed| signed == name);
    match headers.keys().find(|name| must_be_signed(name.as_str()) && !is_signed(name.as_str())) {
        Some(name) => {
            Err(s3_error!(AccessDenied, "There were headers present in the request which were not signed: {name}"))
        }
        None => Ok(()),
    }
}

/// The session token of a request, wherever it is.
pub(crate) fn session_token(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    match headers.get("x-amz-security-token") {
        // Not text: no token of ours, but a token all the same.
        Some(token) => Some(token.to_str().unwrap_or_default().to_owned()),
        None => query(uri, "X-Amz-Security-Token"),
    }
}

/// The region that a request was signed for; `None` if it was not signed.
pub(crate) fn scope_region(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let claim = claim(uri, headers).ok().flatten()?;
    claim.credential.rsplit('/').nth(2).map(str::to_owned)
}

/// The access key id that a request was signed with.
pub(crate) fn signing_key_id(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let claim = claim(uri, headers).ok().flatten()?;
    claim.credential.rsplitn(5, '/').nth(4).map(str::to_owned)
}

/// When a request was signed, as it says: such as `20260301T120000Z`. Presigned requests have a life of their own.
pub(crate) fn signed_at(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    claim(uri, headers).ok().flatten()?;
    headers.get("x-amz-date").and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn must_be_signed(name: &str) -> bool {
    name == "host" || name.starts_with("x-amz-")
}

fn claim(uri: &Uri, headers: &HeaderMap) -> S3Result<Option<Claim>> {
    if query(uri, "Signature").is_some() || query(uri, "AWSAccessKeyId").is_some() {
        return Err(version_2());
    }
    let presigned = query(uri, "X-Amz-Signature").is_some();
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let Some(authorization) = authorizations.next() else {
        let text = |name| query(uri, name).unwrap_or_default();
        let claim = || Claim { credential: text("X-Amz-Credential"), signed_headers: text("X-Amz-SignedHeaders") };
        return Ok(presigned.then(claim));
    };
    if presigned || authorizations.next().is_some() {
        return Err(s3_error!(InvalidArgument, "Only one auth mechanism allowed"));
    }
    let fields = authorization.to_str().unwrap_or_default().strip_prefix(ALGORITHM).ok_or_else(version_2)?;
    let field = |name: &str| {
        let value = fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
        value.map(str::to_owned).unwrap_or_default()
    };
    Ok(Some(Claim { credential: field("Credential"), signed_headers: field("SignedHeaders") }))
}

fn version_2() -> S3Error {
    s3_error!(InvalidRequest, "The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.")
}

fn query(uri: &Uri, name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.into_iter().find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

fn has_content_type(headers: &HeaderMap, wanted: &str) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn refused(uri: &str, pairs: &[(&'static str, &str)]) -> Option<String> {
        let refusal = check(&Method::GET, &uri.parse().unwrap(), &headers(pairs)).err()?;
        Some(refusal.code().as_str().to_owned())
    }

    const SOUND: &str = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/s3/aws4_request, \
                         SignedHeaders=host;x-amz-date, Signature=00";

    #[test]
    fn a_sound_claim_passes() {
        assert_eq!(refused("/b", &[("authorization", SOUND), ("host", "h"), ("x-amz-date", "d")]), None);
        assert_eq!(refused("/b", &[]), None);
        let presigned = "/b?X-Amz-Signature=0&X-Amz-SignedHeaders=host\
                         &X-Amz-Credential=AKIA%2F20260101%2Feu-west-1%2Fs3%2Faws4_request";
        assert_eq!(refused(presigned, &[("host", "h")]), None);
    }

    #[test]
    fn a_header_added_after_signing_is_refused() {
        let added = [("authorization", SOUND), ("host", "h"), ("x-amz-security-token", "t")];
        assert_eq!(refused("/b", &added).as_deref(), Some("AccessDenied"));
    }

    #[test]
    fn a_signature_for_the_other_service_is_refused() {
        let sts = SOUND.replace("/s3/", "/sts/");
        assert_eq!(refused("/b", &[("authorization", &sts)]).as_deref(), Some("SignatureDoesNotMatch"));
        let form =
            headers(&[("authorization", SOUND), ("content-type", "application/x-www-form-urlencoded; charset=x")]);
        let refusal = check(&Method::POST, &"/".parse().unwrap(), &form).unwrap_err();
        assert_eq!(refusal.code().as_str(), "SignatureDoesNotMatch");
    }

    #[test]
    fn older_and_double_mechanisms_are_refused() {
        assert_eq!(refused("/b", &[("authorization", "AWS AKIA:sig")]).as_deref(), Some("InvalidRequest"));
        assert_eq!(refused("/b?AWSAccessKeyId=A&Signature=s", &[]).as_deref(), Some("InvalidRequest"));
        let both = refused("/b?X-Amz-Signature=0", &[("authorization", SOUND)]);
        assert_eq!(both.as_deref(), Some("InvalidArgument"));
        let form = refused("/b", &[("content-type", "multipart/form-data; boundary=x")]);
        assert_eq!(form.as_deref(), Some("NotImplemented"));
    }
}
