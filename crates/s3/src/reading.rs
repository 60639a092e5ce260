//! One `GetObject`, of a range or of the whole object: exactly the bytes asked for, of exactly the version asked for.

use std::ops::Range;

use aws_credential_types::Credentials;
use aws_sdk_s3::client::customize::CustomizableOperation;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::RequestPayer;
use bytes::{Bytes, BytesMut};
use connector_core::object::ObjectRef;
use std::time::Duration;

use crate::bucket::S3Bucket;
use crate::credentials::secrets_of;
use crate::error::{S3Error, transient};
use crate::integrity::{self, Verdict};
use crate::keys::{quote, unquote};
use crate::reply::Reply;
use crate::text;

/// A `GetObject` that is ready to be sent.
type CustomizedGet = CustomizableOperation<GetObjectOutput, GetObjectError, GetObjectFluentBuilder>;

fn is_whole(object: &ObjectRef, range: &Range<u64>) -> bool {
    range.start == 0 && range.end == object.size
}

impl S3Bucket {
    /// The length of the range in memory.
    pub(crate) fn check_range(&self, object: &ObjectRef, range: &Range<u64>) -> Result<usize, S3Error> {
        let bug = |what: String| Err(S3Error::Bug { what });
        if object.bucket != self.name {
            return bug(format!("{} was asked of bucket {}", object.uri(), self.name));
        }
        if range.start > range.end || range.end > object.size {
            return bug(format!("bytes {range:?} were asked of {}, which has {}", object.uri(), object.size));
        }
        usize::try_from(range.end - range.start).or_else(|_| bug(format!("{range:?} does not fit into memory")))
    }

    /// [`Self::read_once`] with a deadline for all of it: a body that trickles keeps the connection busy for ever.
    pub(crate) async fn read_in_time(
        &self,
        used: Option<&Credentials>,
        object: &ObjectRef,
        range: &Range<u64>,
        length: usize,
    ) -> Result<Bytes, S3Error> {
        let connection = &self.connection.inner;
        let settings = &connection.settings;
        let limit = settings.attempt_timeout + Duration::from_secs(length as u64 / settings.slowest.max(1));
        tokio::select! {
            biased;
            result = self.read_once(used, object, range, length) => result,
            () = connection.retry.waiting.deadline(limit) => {
                let detail = format!("the body did not arrive within {} s", limit.as_secs());
                Err(connection.asker.transient(transient::TIMEOUT, self.reading(object, range), detail))
            }
        }
    }

    async fn read_once(
        &self,
        used: Option<&Credentials>,
        object: &ObjectRef,
        range: &Range<u64>,
        length: usize,
    ) -> Result<Bytes, S3Error> {
        let asker = &self.connection.inner.asker;
        let answer = Box::pin(self.request(object, range).send()).await.map_err(|error| {
            let reply = Reply::of(&error, &secrets_of(used));
            asker.object(&reply, &self.name, &self.uri(&object.key), self.reading(object, range))
        })?;
        self.check_head(&answer, object, range)?;
        let checksum = if is_whole(object, range) { integrity::sent(&answer) } else { None };
        let fail = |code, detail| asker.transient(code, self.reading(object, range), detail);
        let bytes = collect(answer.body, length).await.map_err(|cut| match cut {
            Cut::Short(got) => fail(transient::BODY_CUT, format!("{got} of {length} bytes arrived")),
            Cut::Long => fail(transient::BODY_CUT, format!("more than the {length} bytes asked for arrived")),
            Cut::Broken(got, why) => fail(transient::BODY_CUT, format!("{why} after {got} of {length} bytes")),
        })?;
        match integrity::verdict(checksum.as_ref(), &bytes) {
            Verdict::Right | Verdict::Unsaid => Ok(bytes),
            Verdict::Unusable(why) => {
                tracing::debug!(object = %self.uri(&object.key), "the checksum of an object is not verified: {why}");
                Ok(bytes)
            }
            Verdict::Wrong(algorithm) => {
                let detail = format!("the {algorithm} checksum is that of other bytes than the {length} that arrived");
                Err(fail(transient::CHECKSUM_MISMATCH, detail))
            }
        }
    }

    fn request(&self, object: &ObjectRef, range: &Range<u64>) -> CustomizedGet {
        let connection = &self.connection.inner;
        let whole = is_whole(object, range);
        let asks_checksum = whole && connection.asks_checksums;
        let request = connection
            .client
            .get_object()
            .bucket(&*self.name)
            .key(&*object.key)
            // With a range S3 sends no checksum, even if it is all of the object.
            .set_range((!whole).then(|| format!("bytes={}-{}", range.start, range.end - 1)))
            .if_match(quote(&object.etag))
            .set_expected_bucket_owner(connection.asker.expected_owner.clone())
            .set_request_payer(connection.asker.requester_pays.then_some(RequestPayer::Requester));
        request.customize().mutate_request(move |request| {
            if asks_checksum {
                request.headers_mut().insert("x-amz-checksum-mode", "ENABLED");
            }
        })
    }

    fn reading(&self, object: &ObjectRef, range: &Range<u64>) -> String {
        format!("reading bytes {} to {} of {}", range.start, range.end, self.uri(&object.key))
    }

    /// Not every server heeds `If-Match` and `Range`: what it says it sends has to be what was asked for.
    fn check_head(&self, answer: &GetObjectOutput, object: &ObjectRef, range: &Range<u64>) -> Result<(), S3Error> {
        let changed = |detail: String| Err(S3Error::ObjectChanged { uri: self.uri(&object.key), detail });
        let fail = |code, detail| Err(self.connection.inner.asker.transient(code, self.reading(object, range), detail));
        match answer.e_tag().map(unquote) {
            Some(etag) if etag == unquote(&object.etag) => {}
            Some(etag) => return changed(format!("its ETag is {} now", text::clean(etag, &[]))),
            None => {
                let detail = "the answer has no ETag, so S3 did not send it; check S3_ENDPOINT, and whether a proxy \
                              or a login page stands in between";
                return fail(transient::NOT_S3, detail.to_owned());
            }
        }
        if let Some(sent) = answer.content_range() {
            match parse_content_range(sent) {
                Some((_, _, Some(total))) if total != object.size => {
                    return changed(format!("it has {total} bytes now, not {}", object.size));
                }
                Some((first, last, _)) if first == range.start && last.checked_add(1) == Some(range.end) => {}
                _ => return fail(transient::NOT_S3, format!("other bytes were sent: {}", text::clean(sent, &[]))),
            }
        }
        Ok(())
    }
}

/// `bytes 0-9/100`: first byte, last byte, and the whole length unless it is `*`.
fn parse_content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (span, total) = text.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((first.parse().ok()?, last.parse().ok()?, total))
}

/// How a body differs from what was asked for, with the number of bytes that came.
enum Cut {
    Short(usize),
    Long,
    Broken(usize, String),
}

async fn collect(mut body: ByteStream, length: usize) -> Result<Bytes, Cut> {
    let mut bytes = BytesMut::with_capacity(length);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| Cut::Broken(bytes.len(), text::chain(&error, &[])))?;
        if bytes.len() + piece.len() > length {
            return Err(Cut::Long);
        }
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() == length { Ok(bytes.freeze()) } else { Err(Cut::Short(bytes.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(parse_content_range("bytes 0-9/100"), Some((0, 9, Some(100))));
        assert_eq!(parse_content_range("bytes 5-5/*"), Some((5, 5, None)));
        for bad in ["", "bytes */100", "bytes 0-9", "items 0-9/100", "bytes 9/100", "bytes 0-x/100"] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }
}
