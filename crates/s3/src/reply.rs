//! What an SDK call that failed tells us, freed of the SDK's generics.

use std::error::Error;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use jiff::{SignedDuration, Timestamp};

use crate::error::transient;
use crate::text;

/// How far the call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// The request could not even be built: region, endpoint or bucket name make no URL.
    NotSent,
    /// No answer: name resolution, connection, TLS, reset.
    Nobody,
    /// No answer in time.
    TimedOut,
    /// An answer that cannot be read, with a status of success.
    Unreadable,
    /// An answer that says no.
    Refused,
}

/// A failed call.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub reached: Reached,
    pub status: u16,
    /// The S3 or STS error code.
    pub code: Option<String>,
    /// Cleaned: see [`text::clean`].
    pub message: String,
    /// The region in which the bucket really is.
    pub region: Option<String>,
    /// By how much our clock is ahead, if it was refused for that and both times are told.
    pub clock_off: Option<SignedDuration>,
}

impl Reply {
    /// `secrets` are kept out of the message.
    pub fn of<E>(error: &SdkError<E, HttpResponse>, secrets: &[&str]) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let reached = match error {
            SdkError::ConstructionFailure(_) => Reached::NotSent,
            SdkError::TimeoutError(_) => Reached::TimedOut,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Reached::TimedOut,
            SdkError::DispatchFailure(failure) if was_never_sent(failure) => Reached::NotSent,
            SdkError::DispatchFailure(_) => Reached::Nobody,
            SdkError::ServiceError(refusal) if !refusal.raw().status().is_success() => Reached::Refused,
            // A refusal that comes as a success.
            SdkError::ServiceError(refusal) if refusal.err().code().is_some() => Reached::Refused,
            _ => Reached::Unreadable,
        };
        let raw = error.raw_response();
        let message = match error.message() {
            Some(message) if reached == Reached::Refused => text::clean(message, secrets),
            _ => text::chain(error, secrets),
        };
        Self {
            reached,
            status: raw.map_or(0, |raw| raw.status().as_u16()),
            code: error.code().map(|code| text::clean(code, secrets)),
            message,
            region: raw.and_then(bucket_region),
            clock_off: clock_off(error.message().unwrap_or_default(), raw),
        }
    }

    pub fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// Code and message for people.
    pub fn detail(&self) -> String {
        match (&self.code, self.status) {
            (Some(code), _) if self.message.is_empty() => code.clone(),
            (Some(code), _) => format!("{code}: {}", self.message),
            (None, 0) => self.message.clone(),
            (None, status) => format!("HTTP status {status} without an error code"),
        }
    }

    /// The label of an error that may be over by itself; `None` if nothing says that it may.
    pub fn transient_code(&self) -> Option<&'static str> {
        const THROTTLED: &[&str] = &[
            "SlowDown",
            "ServiceUnavailable",
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottled",
            "RequestLimitExceeded",
            "TooManyRequests",
            "TooManyRequestsException",
            "BandwidthLimitExceeded",
        ];
        match self.reached {
            Reached::NotSent => None,
            Reached::Nobody => Some(transient::UNREACHABLE),
            Reached::TimedOut => Some(transient::TIMEOUT),
            Reached::Unreadable => Some(transient::NOT_S3),
            Reached::Refused if self.is(THROTTLED) || matches!(self.status, 429 | 503) => Some(transient::THROTTLED),
            Reached::Refused if self.is(&["RequestTimeout", "RequestTimeoutException"]) || self.status == 408 => {
                Some(transient::TIMEOUT)
            }
            Reached::Refused if self.is(&["InternalError", "InternalFailure"]) || self.status >= 500 => {
                Some(transient::SERVER_ERROR)
            }
            Reached::Refused => None,
        }
    }

    pub fn says_token_expired(&self) -> bool {
        self.is(&["ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"])
    }

    /// Not `InvalidToken`: that one never was good.
    pub fn says_token_ended(&self) -> bool {
        self.is(&["ExpiredToken", "ExpiredTokenException"])
    }

    /// S3 lets the object be read, and KMS does not let its key be used.
    pub fn says_kms_denied(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("KMS."))
            || (self.status == 403 && ["kms:Decrypt", "kms:GenerateDataKey"].iter().any(|it| self.message.contains(it)))
    }

    /// The ARN of the key in the message of such a refusal.
    pub fn kms_key(&self) -> Option<String> {
        let mut words = self.message.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ')'));
        words.find(|word| word.starts_with("arn:aws") && word.contains(":kms:")).map(str::to_owned)
    }

    /// STS reports a wrong clock as a wrong signature.
    pub fn says_clock_is_off(&self) -> bool {
        self.is(&["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"])
            || (self.is(&["SignatureDoesNotMatch", "InvalidSignatureException"])
                && ["Signature expired", "Signature not yet current"].iter().any(|text| self.message.contains(text)))
    }

    pub fn says_bad_credentials(&self) -> bool {
        self.is(&[
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
            "IncompleteSignature",
            "UnrecognizedClientException",
            "MissingAuthenticationToken",
            "InvalidSecurity",
            "NotSignedUp",
            "AuthorizationHeaderMalformed",
        ])
    }

    /// What a refusal for bad credentials may repeat: the code alone, since the messages quote the request.
    pub fn code_only(&self) -> String {
        self.code.clone().unwrap_or_else(|| format!("HTTP status {}", self.status))
    }
}

/// Endpoint rules and signing fail inside the attempt: the SDK then speaks of a dispatch failure although nothing was
/// dispatched. What has a cause in the network is one of the other kinds, or is marked as worth a retry.
fn was_never_sent(failure: &aws_smithy_runtime_api::client::result::DispatchFailure) -> bool {
    fn from_network(error: &(dyn Error + 'static)) -> bool {
        let text = error.to_string();
        error.is::<std::io::Error>()
            || text.contains("client error")
            || text.contains("connection")
            || error.source().is_some_and(from_network)
    }
    failure.is_user()
        || (failure.is_other()
            && failure.as_other().is_none()
            && !failure.as_connector_error().and_then(Error::source).is_some_and(from_network))
}

/// From the header, else from the error document: some answers name the region only there.
fn bucket_region(raw: &HttpResponse) -> Option<String> {
    fn plausible(region: &&str) -> bool {
        (1..=40).contains(&region.len()) && region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    }
    if let Some(region) = raw.headers().get("x-amz-bucket-region").filter(plausible) {
        return Some(region.to_owned());
    }
    let body = std::str::from_utf8(raw.body().bytes()?).ok()?;
    let (_, rest) = body.split_once("<Region>")?;
    let (region, _) = rest.split_once("</Region>")?;
    Some(region).filter(plausible).map(str::to_owned)
}

/// Both times stand in the error document of S3 (`RequestTime`, `ServerTime`) and in the message of STS: `Signature
/// expired: <ours> is now earlier than <limit> (<theirs> - 15 min.)`.
fn clock_off(message: &str, raw: Option<&HttpResponse>) -> Option<SignedDuration> {
    let body = raw.and_then(|raw| std::str::from_utf8(raw.body().bytes()?).ok()).unwrap_or_default();
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        time(rest.split_once('<')?.0)
    };
    let in_words = || {
        let (_, rest) =
            message.split_once("Signature expired: ").or(message.split_once("Signature not yet current: "))?;
        let ours = time(rest.split(' ').next()?)?;
        let (_, theirs) = rest.split_once('(')?;
        Some((ours, time(theirs.split(' ').next()?)?))
    };
    let (ours, theirs) = element("RequestTime").zip(element("ServerTime")).or_else(in_words)?;
    Some(ours.duration_since(theirs))
}

/// `20260301T120000Z` or `2026-03-01T12:00:00Z`: ISO 8601 knows both.
fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_sts_tell_how_far_a_clock_is_off() {
        let behind =
            "Signature expired: 20260301T110000Z is now earlier than 20260301T114500Z (20260301T120000Z - 15 min.)";
        assert_eq!(clock_off(behind, None), Some(SignedDuration::from_hours(-1)));
        let ahead = "Signature not yet current: 20260301T130000Z is still later than 20260301T121500Z \
                     (20260301T120000Z + 15 min.)";
        assert_eq!(clock_off(ahead, None), Some(SignedDuration::from_hours(1)));
        assert_eq!(clock_off("Signature expired: some time ago", None), None);
    }
}
