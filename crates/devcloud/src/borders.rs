//! What AWS refuses before it looks at anybody's permissions: a request that was signed by a clock that is off, or for
//! another region than the bucket's. And the frame that its answers have in common.

use connector_core::clock::Clock;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use s3s::{Body, HttpResponse};

use crate::account::Account;
use crate::signing::{is_sts, scope_region, session_token, signed_at, signing_key_id};
use crate::text::xml;

/// Requests may be this old, or this far in the future.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(15);
const BASIC: &str = "%Y%m%dT%H%M%SZ";

/// What is known of a request before it is carried out, for the frame of its answer.
pub(crate) struct Asked {
    is_sts: bool,
    bucket: Option<String>,
    key_id: Option<String>,
    token: Option<String>,
}

impl Asked {
    pub(crate) fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let bucket = uri.path().trim_start_matches('/').split('/').next().filter(|bucket| !bucket.is_empty());
        Self {
            is_sts: is_sts(method, uri, headers),
            bucket: bucket.map(str::to_owned),
            key_id: signing_key_id(uri, headers),
            token: session_token(uri, headers),
        }
    }

    /// The answer to a request that does not get past the border.
    pub(crate) fn stop(
        &self,
        account: &Account,
        uri: &Uri,
        headers: &HeaderMap,
        clock: &dyn Clock,
    ) -> Option<HttpResponse> {
        let now = here(account, clock);
        if let Some(signed) = signed_at(uri, headers)
            && let Some(at) = parse_basic(&signed)
            && at.duration_since(now).abs() > TOLERANCE
        {
            return Some(if self.is_sts { sts_expired(&signed, at, now) } else { too_skewed(&signed, now) });
        }
        let bucket = self.bucket.as_deref().filter(|_| !self.is_sts)?;
        let region = account.regions.get(bucket)?;
        match scope_region(uri, headers) {
            Some(signed_for) if signed_for == *region => None,
            // The first region's endpoint stands for all of S3: it knows the bucket, and minds only the signature.
            Some(signed_for) if signed_for == "us-east-1" => Some(malformed(&signed_for, region)),
            _ => Some(redirect(bucket, region)),
        }
    }

    /// Puts an answer into the frame of AWS: ids, the date by this cloud's clock, and in an error document the elements
    /// that go with its code.
    pub(crate) fn frame(
        &self,
        mut response: HttpResponse,
        account: &Account,
        clock: &dyn Clock,
        id: &str,
    ) -> HttpResponse {
        if account.clock_ahead != SignedDuration::ZERO {
            let date = here(account, clock).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            if let Ok(date) = HeaderValue::from_str(&date) {
                response.headers_mut().insert(DATE, date);
            }
        }
        if !self.is_sts && (response.status().is_client_error() || response.status().is_redirection()) {
            self.complete(&mut response, id);
        }
        response
    }

    fn complete(&self, response: &mut HttpResponse, id: &str) {
        let Some(body) = response.body().bytes() else { return };
        let text = String::from_utf8_lossy(&body);
        let Some((head, _)) = text.rsplit_once("</Error>").filter(|(head, _)| !head.contains("<RequestId>")) else {
            return;
        };
        let element = |name: &str, value: &Option<String>| {
            value.as_ref().map_or(String::new(), |value| format!("<{name}>{}</{name}>", xml(value)))
        };
        // AWS repeats these, the token among them: a client that prints an answer as it is prints a secret.
        let more = if head.contains("<Code>ExpiredToken</Code>") || head.contains("<Code>InvalidToken</Code>") {
            element("Token-0", &self.token)
        } else if head.contains("<Code>SignatureDoesNotMatch</Code>") {
            let token = self.token.as_ref().map_or(String::new(), |token| format!("x-amz-security-token:{token}\n"));
            element("AWSAccessKeyId", &self.key_id) + &element("CanonicalRequest", &Some(token))
        } else if head.contains("<Code>InvalidAccessKeyId</Code>") {
            element("AWSAccessKeyId", &self.key_id)
        } else if head.contains("<Code>NoSuchBucket</Code>") {
            element("BucketName", &self.bucket)
        } else {
            String::new()
        };
        let head = head.replacen("?><Error>", "?>\n<Error>", 1);
        let whole = format!("{head}{more}<RequestId>{id}</RequestId><HostId>{HOST_ID}</HostId></Error>");
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Body::from(whole);
    }
}

/// Of this machine among those of S3; clients only repeat it.
const HOST_ID: &str = "ZGV2Y2xvdWQgaGFzIG9uZSBob3N0IG9ubHksIGFuZCB0aGlzIGlzIGl0Lg==";

/// The time by the clock of this cloud.
fn here(account: &Account, clock: &dyn Clock) -> Timestamp {
    clock.now().checked_add(account.clock_ahead).unwrap_or_else(|_| clock.now())
}

fn parse_basic(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime(BASIC, text).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn error(status: StatusCode, inner: &str) -> HttpResponse {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>{inner}</Error>");
    let mut response = HttpResponse::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

fn too_skewed(signed: &str, now: Timestamp) -> HttpResponse {
    let server = now.strftime("%Y-%m-%dT%H:%M:%SZ");
    error(
        StatusCode::FORBIDDEN,
        &format!(
            "<Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time is \
             too large.</Message><RequestTime>{}</RequestTime><ServerTime>{server}</ServerTime>\
             <MaxAllowedSkewMilliseconds>{}</MaxAllowedSkewMilliseconds>",
            xml(signed),
            TOLERANCE.as_millis(),
        ),
    )
}

/// STS takes a clock that is off for a signature that is too old or too young.
fn sts_expired(signed: &str, at: Timestamp, now: Timestamp) -> HttpResponse {
    let basic = |time: Timestamp| time.strftime(BASIC).to_string();
    let limit = |offset| now.checked_add(offset).map_or_else(|_| basic(now), basic);
    let now_shown = basic(now);
    let message = if at < now {
        format!("Signature expired: {signed} is now earlier than {} ({now_shown} - 15 min.)", limit(-TOLERANCE))
    } else {
        format!("Signature not yet current: {signed} is still later than {} ({now_shown} + 15 min.)", limit(TOLERANCE))
    };
    let inner = format!("<Code>SignatureDoesNotMatch</Code><Message>{}</Message>", xml(&message));
    error(StatusCode::FORBIDDEN, &inner)
}

fn malformed(signed_for: &str, region: &str) -> HttpResponse {
    let message = format!(
        "The authorization header is malformed; the region '{}' is wrong; expecting '{region}'",
        xml(signed_for)
    );
    let inner =
        format!("<Code>AuthorizationHeaderMalformed</Code><Message>{message}</Message><Region>{region}</Region>");
    error(StatusCode::BAD_REQUEST, &inner)
}

fn redirect(bucket: &str, region: &str) -> HttpResponse {
    let inner = format!(
        "<Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be addressed using the \
         specified endpoint. Please send all future requests to this endpoint.</Message>\
         <Endpoint>{bucket}.s3.{region}.amazonaws.com</Endpoint><Bucket>{bucket}</Bucket>"
    );
    let mut response = error(StatusCode::MOVED_PERMANENTLY, &inner);
    if let Ok(region) = HeaderValue::from_str(region) {
        response.headers_mut().insert("x-amz-bucket-region", region);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_sts_name_both_clocks() {
        let (early, late) = ("20260301T110000Z", "20260301T120000Z");
        let (at, now) = (parse_basic(early).unwrap(), parse_basic(late).unwrap());
        let text = |response: HttpResponse| String::from_utf8(response.body().bytes().unwrap().to_vec()).unwrap();
        let behind = text(sts_expired(early, at, now));
        assert!(
            behind.contains(
                "Signature expired: 20260301T110000Z is now earlier than 20260301T114500Z (20260301T120000Z - 15 min.)"
            ),
            "{behind}"
        );
        let ahead = text(sts_expired(late, now, at));
        assert!(
            ahead.contains("Signature not yet current: 20260301T120000Z is still later than 20260301T111500Z (20260301T110000Z + 15 min.)"),
            "{ahead}"
        );
    }
}
