//! One page of `ListObjectsV2`, checked to be whole.
//!
//! Anything that would make files vanish without a word is an error: the SDK's XML reader takes a document that breaks
//! off for a short one, and a missing element for an absent one.

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::{EncodingType, Object, OptionalObjectAttributes, RequestPayer};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use connector_core::object::ListedObject;
use connector_core::ports::ListPage;
use jiff::Timestamp;

use crate::bucket::S3Bucket;
use crate::credentials::secrets_of;
use crate::error::{S3Error, transient};
use crate::keys::{KeyError, decode_key, unquote};
use crate::reply::Reply;
use crate::text::{clean, printable};

impl S3Bucket {
    pub(crate) async fn list_once(
        &self,
        used: Option<&Credentials>,
        prefix: &str,
        after: Option<&str>,
        max_keys: i32,
    ) -> Result<ListPage, S3Error> {
        let asker = &self.connection.inner.asker;
        let request = self
            .connection
            .inner
            .client
            .list_objects_v2()
            .bucket(&*self.name)
            .prefix(prefix)
            .set_continuation_token(after.map(str::to_owned))
            .max_keys(max_keys)
            .encoding_type(EncodingType::Url)
            .optional_object_attributes(OptionalObjectAttributes::RestoreStatus)
            .set_expected_bucket_owner(asker.expected_owner.clone())
            .set_request_payer(asker.requester_pays.then_some(RequestPayer::Requester))
            .customize()
            .interceptor(WholeDocument);
        match Box::pin(request.send()).await {
            Ok(answer) => page(&answer, after).map_err(|flaw| self.flawed(flaw, prefix)),
            Err(error) => {
                let reply = Reply::of(&error, &secrets_of(used));
                Err(asker.listing(&reply, &self.name, self.listing(prefix)))
            }
        }
    }

    fn listing(&self, prefix: &str) -> String {
        format!("listing {}", self.uri(prefix))
    }

    fn flawed(&self, flaw: Flaw, prefix: &str) -> S3Error {
        let asker = &self.connection.inner.asker;
        match flaw {
            Flaw::KeyNotUtf8(key) => {
                S3Error::KeyNotUtf8 { connection: asker.connection.clone(), bucket: self.name.to_string(), key }
            }
            Flaw::NotAListing(what) => {
                let detail = format!(
                    "the answer is not one that S3 sends ({what}); check S3_ENDPOINT, and whether a proxy or a login \
                     page stands in between"
                );
                asker.transient(transient::NOT_S3, self.listing(prefix), detail)
            }
        }
    }
}

/// What is wrong with an answer that claims to be a listing.
#[derive(Debug, PartialEq, Eq)]
enum Flaw {
    NotAListing(String),
    KeyNotUtf8(String),
}

fn missing(element: &str) -> Flaw {
    Flaw::NotAListing(format!("{element} is missing"))
}

fn page(answer: &ListObjectsV2Output, sent_token: Option<&str>) -> Result<ListPage, Flaw> {
    let truncated = answer.is_truncated().ok_or_else(|| missing("IsTruncated"))?;
    let encoded = answer.encoding_type() == Some(&EncodingType::Url);
    let objects = answer.contents().iter().map(|entry| object(entry, encoded)).collect::<Result<Vec<_>, _>>()?;
    let listed = objects.len() + answer.common_prefixes().len();
    if answer.key_count().is_some_and(|count| usize::try_from(count) != Ok(listed)) {
        return Err(Flaw::NotAListing(format!("KeyCount is {:?}, but {listed} keys are listed", answer.key_count())));
    }
    let next = match answer.next_continuation_token().filter(|token| !token.is_empty()) {
        _ if !truncated => None,
        None => return Err(Flaw::NotAListing("more keys are promised without a continuation token".to_owned())),
        token if token == sent_token => {
            return Err(Flaw::NotAListing("the continuation token leads back to the same page".to_owned()));
        }
        token => token.map(str::to_owned),
    };
    Ok(ListPage { objects, next })
}

fn object(entry: &Object, encoded: bool) -> Result<ListedObject, Flaw> {
    let sent = entry.key().filter(|key| !key.is_empty()).ok_or_else(|| missing("a Key"))?;
    let key = if encoded {
        decode_key(sent).map_err(|error| match error {
            KeyError::NotUtf8 => Flaw::KeyNotUtf8(clean(sent, &[])),
            KeyError::Malformed => Flaw::NotAListing(format!("the key {} is badly encoded", clean(sent, &[]))),
        })?
    } else {
        sent.to_owned()
    };
    let of_key = |element: &str| missing(&format!("{element} of {}", printable(&key)));
    let etag = unquote(entry.e_tag().unwrap_or_default());
    if etag.is_empty() {
        return Err(of_key("ETag"));
    }
    let size = entry.size().and_then(|size| u64::try_from(size).ok()).ok_or_else(|| of_key("Size"))?;
    let last_modified = entry
        .last_modified()
        .and_then(|time| Timestamp::from_second(time.secs()).ok())
        .ok_or_else(|| of_key("LastModified"))?;
    // A restored object keeps its class, but can be read like any other.
    let restored = entry.restore_status().and_then(|status| status.is_restore_in_progress()) == Some(false);
    let class = entry.storage_class().filter(|_| !restored);
    let storage_class = class.map(|class| class.as_str().to_owned()).filter(|class| class != "STANDARD");
    Ok(ListedObject { etag: etag.to_owned(), key, size, last_modified, storage_class })
}

/// Refuses a listing whose document does not end: a connection that is closed early looks like the end of a body that
/// came without a length.
#[derive(Debug)]
struct WholeDocument;

impl Intercept for WholeDocument {
    fn name(&self) -> &'static str {
        "WholeDocument"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        let body = answer.body().bytes().unwrap_or_default().trim_ascii_end();
        if answer.status().is_success() && !body.ends_with(b"ListBucketResult>") {
            return Err("the document does not end with ListBucketResult".into());
        }
        Ok(())
    }
}
