//! Doing it: what becomes of a request and of its answer.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use hyper::StatusCode;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue};
use s3s::crypto::{Checksum, Crc32};
use s3s::dto::StreamingBlob;
use s3s::{Body, HttpError, HttpResponse};

use super::target::Target;
use super::{Fault, FaultHandle, Operation, Refusal};
use crate::text::base64;

/// Marks a PUT whose `If-None-Match` is to be overlooked. (The header itself is signed, so it has to stay.)
#[derive(Clone, Copy, Debug)]
pub(crate) struct IgnoreIfNoneMatch;

const LOGIN_PAGE: &str = "<!DOCTYPE html><html><head><title>Log in</title></head><body>Welcome!</body></html>";

/// The largest body that is held in memory to be altered.
const LARGEST_ALTERED: usize = 64 << 20;

/// Answers a request with `service`, or not, as the plan has it.
///
/// # Errors
/// Those of the service; and one that makes hyper cut the connection, if that is the fault.
pub(crate) async fn answer<F>(
    handle: &FaultHandle,
    target: &Target,
    mut request: s3s::HttpRequest,
    service: impl FnOnce(s3s::HttpRequest) -> F,
) -> Result<HttpResponse, HttpError>
where
    F: Future<Output = Result<HttpResponse, HttpError>>,
{
    let Some((fault, dice)) = handle.pick(target) else {
        let response = service(request).await?;
        keep_listing(handle, target, &response);
        return Ok(response);
    };
    if let Some(response) = instead(handle, target, &fault) {
        handle.count(&fault);
        return Ok(response);
    }
    if fault == Fault::IgnoreIfNoneMatch && request.headers().contains_key("if-none-match") {
        request.extensions_mut().insert(IgnoreIfNoneMatch);
        handle.count(&fault);
    }
    let response = service(request).await?;
    keep_listing(handle, target, &response);
    if !response.status().is_success() {
        return Ok(response);
    }
    match fault {
        Fault::ApplyThenFail(refusal) => {
            handle.count(&fault);
            match refusal {
                Some(refusal) => Ok(refused(refusal)),
                None => Err(HttpError::new("the connection is cut on purpose".into())),
            }
        }
        fault => {
            let (response, done) = altered(response, &fault, target, dice).await;
            if done {
                handle.count(&fault);
            }
            Ok(response)
        }
    }
}

/// The answer of faults that leave the request undone.
fn instead(handle: &FaultHandle, target: &Target, fault: &Fault) -> Option<HttpResponse> {
    match fault {
        Fault::Refuse(refusal) => Some(refused(*refusal)),
        Fault::Html => {
            let mut response = HttpResponse::new(Body::from(LOGIN_PAGE.to_owned()));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
            Some(response)
        }
        Fault::ExpiredPage if target.operation == Operation::List && target.token.is_some() => {
            Some(error(400, "InvalidArgument", "The continuation token provided is incorrect"))
        }
        Fault::StaleList if target.operation == Operation::List => {
            let mut response = HttpResponse::new(Body::from(handle.recall(&target.address)?));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            Some(response)
        }
        _ => None,
    }
}

fn refused(refusal: Refusal) -> HttpResponse {
    let (status, code) = refusal.answer();
    let mut response = error(status, code, "devcloud was told to fail");
    if refusal == Refusal::Moved {
        response.headers_mut().insert("x-amz-bucket-region", HeaderValue::from_static("ap-south-2"));
    }
    response
}

fn error(status: u16, code: &str, message: &str) -> HttpResponse {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut response = HttpResponse::new(Body::from(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

fn keep_listing(handle: &FaultHandle, target: &Target, response: &HttpResponse) {
    if target.operation == Operation::List
        && response.status().is_success()
        && let Some(body) = response.body().bytes()
    {
        handle.remember(&target.address, body);
    }
}

/// The answer with the fault in it, and whether it could be put there.
async fn altered(mut response: HttpResponse, fault: &Fault, target: &Target, dice: u64) -> (HttpResponse, bool) {
    let has_body = !matches!(target.operation, Operation::Head | Operation::Delete);
    let Some(length) = length(&response).filter(|length| *length > 0 && has_body) else { return (response, false) };
    let body = std::mem::take(response.body_mut());
    let (body, announced) = match fault {
        Fault::Cut { after } if *after < length => (cut(body, *after), length),
        Fault::TooLittle { by } => (lazily(body), length + by),
        Fault::TooMuch { by } => (followed_by(body, *by), length + by),
        Fault::Truncated { by } if *by < length => (first(body, length - by), length - by),
        Fault::Trickle { bytes, interval } => (trickled(body, *bytes, *interval), length),
        Fault::Stall { pause } => (delayed(body, *pause), length),
        Fault::RepeatedToken => return looped(response, body, target),
        Fault::WrongChecksum | Fault::FlippedBit => return corrupted(response, body, fault, length, dice).await,
        _ => {
            *response.body_mut() = body;
            return (response, false);
        }
    };
    *response.body_mut() = body;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(announced));
    (response, true)
}

/// The bytes of a body that is to come.
fn length(response: &HttpResponse) -> Option<u64> {
    let announced = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    announced.or_else(|| response.body().bytes().and_then(|bytes| u64::try_from(bytes.len()).ok()))
}

fn stream_of(body: Body) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + Sync {
    body.map(|piece| piece.map_err(io::Error::other))
}

fn body_of(pieces: impl futures::Stream<Item = io::Result<Bytes>> + Send + Sync + 'static) -> Body {
    StreamingBlob::wrap(pieces).into()
}

/// As it is, but without a length of its own, so that hyper believes the header.
fn lazily(body: Body) -> Body {
    body_of(stream_of(body).chain(stream::once(sent(Ok(Bytes::new())))))
}

/// The end of a body that is not what its head promised: head and bytes are to be sent before hyper notices, and it sends
/// what it has whenever the body makes it wait.
async fn sent(end: io::Result<Bytes>) -> io::Result<Bytes> {
    tokio::task::yield_now().await;
    end
}

fn taken(body: Body, most: u64) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + Sync {
    stream_of(body).scan(most, |left, piece| {
        let piece = piece.map(|bytes| {
            let keep = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
            *left -= u64::try_from(keep).unwrap_or(0);
            bytes.slice(..keep)
        });
        let over = *left == 0 && piece.as_ref().is_ok_and(Bytes::is_empty);
        futures::future::ready(if over { None } else { Some(piece) })
    })
}

fn first(body: Body, bytes: u64) -> Body {
    body_of(taken(body, bytes))
}

fn cut(body: Body, after: u64) -> Body {
    body_of(taken(body, after).chain(stream::once(sent(Err(io::Error::other("cut on purpose"))))))
}

fn followed_by(body: Body, bytes: u64) -> Body {
    let more = Bytes::from(vec![b'#'; usize::try_from(bytes).unwrap_or(0)]);
    body_of(stream_of(body).chain(stream::once(futures::future::ready(Ok(more)))))
}

fn delayed(body: Body, pause: Duration) -> Body {
    let pause = stream::once(async move {
        tokio::time::sleep(pause).await;
        Ok(Bytes::new())
    });
    body_of(pause.chain(stream_of(body)))
}

/// The first bytes one by one.
fn trickled(body: Body, bytes: u64, interval: Duration) -> Body {
    let state = (Box::pin(stream_of(body)), Bytes::new(), bytes);
    body_of(stream::try_unfold(state, move |(mut pieces, mut held, left)| async move {
        while held.is_empty() {
            match pieces.next().await {
                Some(piece) => held = piece?,
                None => return Ok(None),
            }
        }
        if left == 0 {
            return Ok(Some((std::mem::take(&mut held), (pieces, held, 0))));
        }
        tokio::time::sleep(interval).await;
        let one = held.split_to(1);
        Ok(Some((one, (pieces, held, left - 1))))
    }))
}

/// A page whose next page is itself.
fn looped(mut response: HttpResponse, body: Body, target: &Target) -> (HttpResponse, bool) {
    let edited = match (&target.token, body.bytes()) {
        (Some(token), Some(bytes)) => with_token(&String::from_utf8_lossy(&bytes), token),
        _ => None,
    };
    let done = edited.is_some();
    if done {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    *response.body_mut() = edited.map_or(body, Body::from);
    (response, done)
}

fn with_token(page: &str, token: &str) -> Option<String> {
    let (head, rest) = page.split_once("<NextContinuationToken>")?;
    let (_, tail) = rest.split_once("</NextContinuationToken>")?;
    let token = crate::text::xml(token);
    Some(format!("{head}<NextContinuationToken>{token}</NextContinuationToken>{tail}"))
}

/// A whole object with a checksum that does not fit it.
async fn corrupted(
    mut response: HttpResponse,
    body: Body,
    fault: &Fault,
    length: u64,
    dice: u64,
) -> (HttpResponse, bool) {
    let whole = response.status() == StatusCode::OK && !response.headers().contains_key(CONTENT_RANGE);
    let fits = usize::try_from(length).is_ok_and(|length| length <= LARGEST_ALTERED);
    if !whole || !fits {
        *response.body_mut() = body;
        return (response, false);
    }
    let mut pieces = stream_of(body);
    let mut bytes = BytesMut::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => {
                tracing::debug!(%error, "devcloud could not read a body that it was to corrupt");
                *response.body_mut() = body_of(stream::once(futures::future::ready(Err(error))));
                return (response, false);
            }
        }
    }
    let mut crc = Crc32::new();
    crc.update(&bytes);
    if *fault == Fault::WrongChecksum {
        crc.update(b"#");
    } else {
        let bits = u64::try_from(bytes.len()).unwrap_or(1) * 8;
        let bit = dice % bits.max(1);
        if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| bytes.get_mut(at)) {
            *byte ^= 1 << (bit % 8);
        }
    }
    if let Ok(value) = HeaderValue::from_str(&base64(&crc.finalize())) {
        response.headers_mut().insert("x-amz-checksum-crc32", value);
    }
    *response.body_mut() = Body::from(bytes.freeze());
    (response, true)
}
