//! STS: `AssumeRole` and `GetCallerIdentity`, on the same port as S3.
//!
//! s3s verifies the signature (service `sts`) and then hands the request over as a custom route. STS speaks another
//! XML than S3, in its errors as well, so what s3s refuses is put into that shape too.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::Extensions;
use hyper::{HeaderMap, Method, StatusCode, Uri};
use s3s::route::S3Route;
use s3s::{Body, HttpResponse, S3Request, S3Response, S3Result, s3_error};
use url::form_urlencoded;
use uuid::Uuid;

use crate::identity::{Caller, Identity, Refusal, Session};
use crate::signing::{is_sts, session_token};
use crate::text::xml;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const VERSION: &str = "2011-06-15";
const LARGEST_FORM: usize = 64 * 1024;

/// The STS side.
pub(crate) struct Sts(pub(crate) Arc<Identity>);

/// An error as STS words it.
struct StsError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

type StsResult = Result<String, StsError>;

#[async_trait::async_trait]
impl S3Route for Sts {
    fn is_match(&self, method: &Method, uri: &Uri, headers: &HeaderMap, _: &mut Extensions) -> bool {
        is_sts(method, uri, headers)
    }

    async fn check_access(&self, request: &mut S3Request<Body>) -> S3Result<()> {
        // STS signs the form. Without that, a signature could be moved to another form.
        match request.headers.get("x-amz-content-sha256").map(HeaderValue::as_bytes) {
            Some(hash) if hash.len() != 64 => Err(s3_error!(SignatureDoesNotMatch, "The body must be signed")),
            _ => Ok(()),
        }
    }

    async fn call(&self, mut request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        // Reading the body verifies its hash.
        let form = request.input.store_all_limited(LARGEST_FORM).await;
        let answer = match &form {
            Ok(form) => self.answer(&request, form),
            Err(error) => Err(invalid(format!("the form cannot be read: {error}"))),
        };
        let (status, body) = match answer {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => (error.status, error_body(error.code, &error.message)),
        };
        let mut response = S3Response::with_status(Body::from(body), status);
        response.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
        Ok(response)
    }
}

impl Sts {
    fn answer(&self, request: &S3Request<Body>, form: &[u8]) -> StsResult {
        let caller = self.caller(request)?;
        let form: HashMap<String, String> = form_urlencoded::parse(form).into_owned().collect();
        if form.get("Version").is_none_or(|version| version != VERSION) {
            return Err(invalid(format!("devcloud's STS speaks version {VERSION} only")));
        }
        match form.get("Action").map(String::as_str) {
            Some("AssumeRole") => self.assume_role(&caller, &form),
            Some("GetCallerIdentity") => Ok(caller_identity(&caller)),
            action => Err(StsError {
                status: StatusCode::BAD_REQUEST,
                code: "InvalidAction",
                message: format!(
                    "devcloud's STS knows AssumeRole and GetCallerIdentity, not {:?}",
                    action.unwrap_or_default()
                ),
            }),
        }
    }

    fn caller(&self, request: &S3Request<Body>) -> Result<Caller, StsError> {
        let refuse =
            |code, message: &str| StsError { status: StatusCode::FORBIDDEN, code, message: message.to_owned() };
        let credentials = request.credentials.as_ref();
        let key = credentials
            .ok_or_else(|| refuse("MissingAuthenticationToken", "Request is missing Authentication Token"))?;
        let token = session_token(&request.uri, &request.headers);
        self.0.caller(&key.access_key, token.as_deref()).map_err(|refusal| match refusal {
            Refusal::Expired => refuse("ExpiredToken", "The security token included in the request is expired"),
            _ => refuse("InvalidClientTokenId", "The security token included in the request is invalid."),
        })
    }

    fn assume_role(&self, caller: &Caller, form: &HashMap<String, String>) -> StsResult {
        let role_arn = required(form, "RoleArn")?;
        let name = required(form, "RoleSessionName")?;
        if !is_session_name(name) {
            return Err(invalid("RoleSessionName must have 2 to 64 letters, digits and _+=,.@-".to_owned()));
        }
        let external_id = form.get("ExternalId").map(String::as_str);
        let wish = form.get("DurationSeconds").map(|text| duration(text)).transpose()?;
        let session = self.0.assume(caller, role_arn, external_id, name, wish).map_err(|why| {
            let arn = caller.arn();
            tracing::info!(caller = %arn, role = %role_arn, why, "devcloud refused AssumeRole");
            // One message whatever the reason, as AWS does: the external id must not be guessable.
            let message = format!("User: {arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}");
            StsError { status: StatusCode::FORBIDDEN, code: "AccessDenied", message }
        })?;
        Ok(assumed(&session))
    }
}

fn required<'f>(form: &'f HashMap<String, String>, name: &str) -> Result<&'f str, StsError> {
    let value = form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value.ok_or_else(|| invalid(format!("{name} is missing")))
}

fn duration(text: &str) -> Result<Duration, StsError> {
    let seconds = text.parse::<u64>().ok().filter(|seconds| (900..=43_200).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| invalid(format!("DurationSeconds {text:?} is not 900 to 43200")))
}

fn is_session_name(name: &str) -> bool {
    (2..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b))
}

fn invalid(message: String) -> StsError {
    StsError { status: StatusCode::BAD_REQUEST, code: "ValidationError", message }
}

fn assumed(session: &Session) -> String {
    result(
        "AssumeRole",
        &format!(
            "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials>\
             <AssumedRoleUser><Arn>{}</Arn><AssumedRoleId>{}</AssumedRoleId></AssumedRoleUser>",
            session.access_key_id,
            session.secret.expose(),
            session.token.expose(),
            session.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            xml(&session.arn()),
            xml(&session.assumed_role_id()),
        ),
    )
}

fn caller_identity(caller: &Caller) -> String {
    let (arn, id, account) = (caller.arn(), caller.user_id(), caller.account());
    let inner = format!("<Arn>{}</Arn><UserId>{}</UserId><Account>{account}</Account>", xml(&arn), xml(&id));
    result("GetCallerIdentity", &inner)
}

fn result(action: &str, inner: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{inner}</{action}Result>\
         <ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{action}Response>",
        Uuid::new_v4()
    )
}

fn error_body(code: &str, message: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{}</Message></Error>\
         <RequestId>{}</RequestId></ErrorResponse>",
        xml(message),
        Uuid::new_v4()
    )
}

/// Puts an S3 error that s3s answered to an STS request into the shape and words of STS.
pub(crate) fn reshape(mut response: HttpResponse) -> HttpResponse {
    let Some(body) = response.body().bytes() else { return response };
    let text = String::from_utf8_lossy(&body);
    // Already in the shape of STS.
    if text.contains("<ErrorResponse") {
        return response;
    }
    // Both texts stay escaped as they are.
    let between = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(inner, _)| inner)
    };
    let (code, message) = match between("Code").unwrap_or("InternalFailure") {
        "InvalidAccessKeyId" => ("InvalidClientTokenId", "The security token included in the request is invalid."),
        "RequestTimeTooSkewed" => ("SignatureDoesNotMatch", "Signature expired or not yet current: check the clock"),
        code => (code, between("Message").unwrap_or_default()),
    };
    let status = if code == "SignatureDoesNotMatch" { StatusCode::FORBIDDEN } else { response.status() };
    let shaped = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>\
         </Error><RequestId>{}</RequestId></ErrorResponse>",
        Uuid::new_v4()
    );
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    *response.status_mut() = status;
    *response.body_mut() = Body::from(shaped);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reshaped(status: StatusCode, body: &str) -> (StatusCode, String) {
        let mut response = HttpResponse::new(Body::from(body.to_owned()));
        *response.status_mut() = status;
        let shaped = reshape(response);
        let body = shaped.body().bytes().unwrap();
        (shaped.status(), String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn s3_errors_become_sts_errors() {
        let s3 = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>a &lt; b</Message></Error>";
        let (status, body) = reshaped(StatusCode::FORBIDDEN, s3);
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert!(body.contains("<Type>Sender</Type><Code>AccessDenied</Code><Message>a &lt; b</Message>"), "{body}");
        let (_, body) = reshaped(StatusCode::FORBIDDEN, "<Error><Code>InvalidAccessKeyId</Code></Error>");
        assert!(body.contains("InvalidClientTokenId"), "{body}");
    }

    #[test]
    fn sts_errors_stay_as_they_are() {
        let sts = error_body("ExpiredToken", "x");
        assert_eq!(reshaped(StatusCode::FORBIDDEN, &sts).1, sts);
    }

    #[test]
    fn session_names_and_durations() {
        assert!(is_session_name("s3-connector@host.1"));
        assert!(!is_session_name("a") && !is_session_name("a b") && !is_session_name(&"x".repeat(65)));
        assert!(duration("900").is_ok() && duration("899").is_err() && duration("x").is_err());
    }
}
