//! The operations of S3 over the folder. What is not here answers `NotImplemented`.

use std::ops::Range;
use std::sync::Arc;

use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use crate::account::AccountHandle;
use crate::body;
use crate::config::ACCOUNT_ID;
use crate::etag::{Hashed, Stamp};
use crate::faults::{FaultHandle, IgnoreIfNoneMatch};
use crate::folder::{Folder, Opened, PutCondition, matches, precondition_failed};
use crate::listing::{self, Item, LARGEST_PAGE, Page, Query};
use crate::multipart::Multipart;
use crate::text::url_encode;
use crate::upload::{Announced, receive};
use crate::walk::Bound;

const CONTENT_TYPE: &str = "binary/octet-stream";

/// S3 over a folder.
pub(crate) struct Store {
    folder: Arc<Folder>,
    region: String,
    multipart: Arc<Multipart>,
    faults: FaultHandle,
    account: AccountHandle,
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(s3_error!(error, InternalError, "devcloud failed at file work")))
}

impl Store {
    pub(crate) fn new(folder: Folder, region: String, faults: FaultHandle, account: AccountHandle) -> Self {
        Self { folder: Arc::new(folder), region, multipart: Arc::default(), faults, account }
    }

    async fn with_folder<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> S3Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let folder = Arc::clone(&self.folder);
        blocking(move || work(&folder)).await
    }

    /// Opens the object of a GET or HEAD and checks the conditions in the order of S3.
    async fn open(&self, wanted: Wanted) -> S3Result<Opened> {
        if wanted.version.as_deref().is_some_and(|version| version != "null") {
            return Err(s3_error!(NoSuchVersion, "devcloud keeps no versions: leave out the version id"));
        }
        let opened = self.with_folder(move |folder| {
            let opened = folder.open(&wanted.bucket, &wanted.key)?;
            wanted.conditions.check(&opened.hashed)?;
            Ok(opened)
        });
        opened.await
    }

    async fn page(&self, bucket: String, mut query: Query) -> S3Result<Page> {
        query.max_keys = self.faults.page().map_or(query.max_keys, |most| query.max_keys.min(most.max(1)));
        self.with_folder(move |folder| listing::page(folder, &bucket, &query)).await
    }
}

/// What a GET or HEAD asks for.
struct Wanted {
    bucket: String,
    key: String,
    version: Option<String>,
    conditions: Conditions,
}

struct Conditions {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
    if_modified_since: Option<Timestamp>,
    if_unmodified_since: Option<Timestamp>,
}

impl Conditions {
    fn check(&self, hashed: &Hashed) -> S3Result<()> {
        let modified = Timestamp::from(hashed.stamp.last_modified());
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(wanted), _) if !matches(wanted, &hashed.md5) => return Err(precondition_failed("If-Match")),
            (None, Some(since)) if modified > *since => return Err(precondition_failed("If-Unmodified-Since")),
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(unwanted), _) if matches(unwanted, &hashed.md5) => Err(s3_error!(NotModified)),
            (None, Some(since)) if modified <= *since => Err(s3_error!(NotModified)),
            _ => Ok(()),
        }
    }
}

/// The bytes to serve, and the `Content-Range` if they were asked for as a range.
fn resolve_range(range: Option<s3s::dto::Range>, size: u64) -> S3Result<(Range<u64>, Option<String>)> {
    let Some(range) = range else { return Ok((0..size, None)) };
    let invalid = || s3_error!(InvalidRange, "The requested range is not satisfiable: the object has {size} bytes");
    let bytes = range.check(size).map_err(|_| invalid())?;
    if bytes.is_empty() {
        return Err(invalid());
    }
    let content_range = format!("bytes {}-{}/{size}", bytes.start, bytes.end - 1);
    Ok((bytes, Some(content_range)))
}

fn length(bytes: &Range<u64>) -> Option<i64> {
    i64::try_from(bytes.end - bytes.start).ok()
}

fn last_modified(stamp: &Stamp) -> Option<Timestamp> {
    Some(stamp.last_modified().into())
}

fn etag(md5: String) -> Option<ETag> {
    Some(ETag::Strong(md5))
}

fn owner() -> Owner {
    Owner { display_name: Some("devcloud".to_owned()), id: Some(ACCOUNT_ID.to_owned()) }
}

#[async_trait::async_trait]
impl S3 for Store {
    async fn list_buckets(&self, req: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let prefix = req.input.prefix;
        let found = self.with_folder(|folder| {
            folder.buckets().map_err(|error| s3_error!(InternalError, "devcloud cannot list its folder: {error}"))
        });
        let wanted = |name: &str| prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix));
        let buckets = found.await?.into_iter().filter(|(name, _)| wanted(name)).map(|(name, changed)| Bucket {
            bucket_region: Some(self.region.clone()),
            creation_date: Some(changed.into()),
            name: Some(name),
        });
        let buckets = Some(buckets.collect());
        Ok(S3Response::new(ListBucketsOutput { buckets, owner: Some(owner()), prefix, continuation_token: None }))
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.with_folder(move |folder| folder.bucket(&req.input.bucket)).await?;
        Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(self.region.clone()), ..Default::default() }))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.with_folder(move |folder| folder.bucket(&req.input.bucket)).await?;
        // S3 names every region but its first.
        let named = (self.region != "us-east-1").then(|| BucketLocationConstraint::from(self.region.clone()));
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint: named }))
    }

    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let location = Some(format!("/{}", req.input.bucket));
        self.with_folder(move |folder| folder.create_bucket(&req.input.bucket)).await?;
        Ok(S3Response::new(CreateBucketOutput { location }))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        let from = match (&input.continuation_token, &input.start_after) {
            (Some(token), _) => listing::from_token(token)?,
            (None, Some(key)) => Bound::After(key.clone()),
            (None, None) => Bound::Start,
        };
        let query = query(input.prefix.clone(), input.delimiter.clone(), input.max_keys, from)?;
        let max_keys = query.max_keys;
        let text = Encoder::new(input.encoding_type.as_ref())?;
        let page = self.page(input.bucket.clone(), query).await?;
        let key_count = i32::try_from(page.items.len()).ok();
        let next_continuation_token = page.next.as_ref().and_then(listing::token);
        let (contents, common_prefixes) = text.items(page.items, input.fetch_owner == Some(true));
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: Some(text.encode(input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| text.encode(delimiter)),
            start_after: input.start_after.map(|key| text.encode(key)),
            max_keys: i32::try_from(max_keys).ok(),
            key_count,
            is_truncated: Some(next_continuation_token.is_some()),
            continuation_token: input.continuation_token,
            next_continuation_token,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            encoding_type: input.encoding_type,
            request_charged: None,
        }))
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = req.input;
        let marker = input.marker.clone().unwrap_or_default();
        let mut query = query(input.prefix.clone(), input.delimiter.clone(), input.max_keys, Bound::Start)?;
        // A marker is a bare key. If it is a common prefix, the page before ended with that whole group.
        query.from = match query.group(&marker) {
            Some(group) if group == marker => Bound::Past(marker),
            _ => Bound::After(marker),
        };
        let max_keys = query.max_keys;
        let text = Encoder::new(input.encoding_type.as_ref())?;
        let page = self.page(input.bucket.clone(), query).await?;
        let is_truncated = Some(page.next.is_some());
        let next_marker = page.next.filter(|_| input.delimiter.is_some()).and_then(|next| match next {
            Bound::After(key) | Bound::Past(key) => Some(text.encode(key)),
            Bound::Start => None,
        });
        let (contents, common_prefixes) = text.items(page.items, true);
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(input.bucket),
            prefix: Some(text.encode(input.prefix.unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| text.encode(delimiter)),
            marker: Some(text.encode(input.marker.unwrap_or_default())),
            next_marker,
            max_keys: i32::try_from(max_keys).ok(),
            is_truncated,
            contents: Some(contents),
            common_prefixes: Some(common_prefixes),
            encoding_type: input.encoding_type,
            request_charged: None,
        }))
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        let conditions = Conditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        let kms = self.account.read().key_of(&input.bucket, &input.key).map(str::to_owned);
        let wanted = Wanted { bucket: input.bucket, key: input.key, version: input.version_id, conditions };
        let opened = self.open(wanted).await?;
        let stamp = opened.hashed.stamp;
        let (bytes, content_range) = resolve_range(input.range, stamp.size)?;
        Ok(S3Response::new(GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: length(&bytes),
            content_range,
            content_type: Some(CONTENT_TYPE.to_owned()),
            server_side_encryption: kms.is_some().then(|| ServerSideEncryption::from_static("aws:kms")),
            ssekms_key_id: kms,
            e_tag: etag(opened.hashed.md5.clone()),
            last_modified: last_modified(&stamp),
            body: Some(body::stream(opened, bytes)),
            ..Default::default()
        }))
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        let conditions = Conditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        };
        let kms = self.account.read().key_of(&input.bucket, &input.key).map(str::to_owned);
        let wanted = Wanted { bucket: input.bucket, key: input.key, version: input.version_id, conditions };
        let hashed = self.open(wanted).await?.hashed;
        let (bytes, content_range) = resolve_range(input.range, hashed.stamp.size)?;
        Ok(S3Response::new(HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: length(&bytes),
            content_range,
            content_type: Some(CONTENT_TYPE.to_owned()),
            server_side_encryption: kms.is_some().then(|| ServerSideEncryption::from_static("aws:kms")),
            ssekms_key_id: kms,
            last_modified: last_modified(&hashed.stamp),
            e_tag: etag(hashed.md5),
            ..Default::default()
        }))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let ignored = req.extensions.get::<IgnoreIfNoneMatch>().is_some();
        let mut input = req.input;
        let condition = put_condition(input.if_match.take(), input.if_none_match.take().filter(|_| !ignored))?;
        let announced = Announced::of(&input);
        let (bucket, key) = (input.bucket, input.key);
        let upload = {
            let (bucket, key) = (bucket.clone(), key.clone());
            self.with_folder(move |folder| folder.begin(&bucket, &key)).await?
        };
        let body = input.body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
        let (upload, md5) = receive(upload, body, &announced, req.trailing_headers).await?;
        self.with_folder(move |folder| folder.finish(&bucket, &key, upload, &condition)).await?;
        Ok(S3Response::new(PutObjectOutput { e_tag: etag(md5), ..Default::default() }))
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.with_folder(move |folder| folder.delete(&req.input.bucket, &req.input.key)).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = req.input;
        let quiet = input.delete.quiet == Some(true);
        let outcome = self.with_folder(move |folder| {
            folder.bucket(&input.bucket)?;
            let delete = |object: ObjectIdentifier| match folder.delete(&input.bucket, &object.key) {
                Ok(()) => Ok(object.key),
                Err(error) => Err((object.key, error)),
            };
            Ok(input.delete.objects.into_iter().map(delete).collect::<Vec<_>>())
        });
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for result in outcome.await? {
            match result {
                Ok(key) if !quiet => deleted.push(DeletedObject { key: Some(key), ..Default::default() }),
                Ok(_) => {}
                Err((key, error)) => errors.push(deletion_error(key, &error)),
            }
        }
        let (deleted, errors) = (Some(deleted), Some(errors));
        Ok(S3Response::new(DeleteObjectsOutput { deleted, errors, request_charged: None }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let (bucket, key) = (req.input.bucket, req.input.key);
        let checked = (bucket.clone(), key.clone());
        // Refuses what could not be completed.
        self.with_folder(move |folder| folder.begin(&checked.0, &checked.1).map(drop)).await?;
        let upload_id = Some(self.multipart.begin(&bucket, &key));
        let (bucket, key) = (Some(bucket), Some(key));
        Ok(S3Response::new(CreateMultipartUploadOutput { bucket, key, upload_id, ..Default::default() }))
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let mut input = req.input;
        let (bucket, key, id, number) = (input.bucket, input.key, input.upload_id, input.part_number);
        self.multipart.expects(&bucket, &key, &id, number)?;
        let body = input.body.take().unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
        let announced = Announced::of(&PutObjectInput {
            bucket: bucket.clone(),
            key: key.clone(),
            checksum_algorithm: input.checksum_algorithm,
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            content_length: input.content_length,
            content_md5: input.content_md5,
            ..Default::default()
        });
        let upload = {
            let (bucket, key) = (bucket.clone(), key.clone());
            self.with_folder(move |folder| folder.begin(&bucket, &key)).await?
        };
        let (upload, md5) = receive(upload, body, &announced, req.trailing_headers).await?;
        self.multipart.add(&bucket, &key, &id, number, (upload, md5.clone()))?;
        Ok(S3Response::new(UploadPartOutput { e_tag: etag(md5), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let ignored = req.extensions.get::<IgnoreIfNoneMatch>().is_some();
        let input = req.input;
        let condition = put_condition(input.if_match, input.if_none_match.filter(|_| !ignored))?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
        let (multipart, named) = (Arc::clone(&self.multipart), (bucket.clone(), key.clone()));
        let done = self.with_folder(move |folder| {
            let (bucket, key) = (named.0.as_str(), named.1.as_str());
            multipart.complete(folder, (bucket, key, &id), &parts, &condition)?;
            Ok(folder.stat(bucket, key)?.map(|hashed| hashed.md5))
        });
        let e_tag = done.await?.and_then(etag);
        let location = Some(format!("/{bucket}/{key}"));
        let (bucket, key) = (Some(bucket), Some(key));
        Ok(S3Response::new(CompleteMultipartUploadOutput { bucket, key, e_tag, location, ..Default::default() }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.multipart.abort(&req.input.bucket, &req.input.key, &req.input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

fn deletion_error(key: String, error: &S3Error) -> Error {
    let code = Some(error.code().as_str().to_owned());
    Error { code, key: Some(key), message: error.message().map(str::to_owned), version_id: None }
}

fn put_condition(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> S3Result<PutCondition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(PutCondition::Always),
        (None, Some(ETagCondition::Any)) => Ok(PutCondition::Absent),
        (Some(wanted), None) => Ok(PutCondition::Matches(wanted)),
        _ => Err(s3_error!(NotImplemented, "PutObject takes either If-Match or If-None-Match: *")),
    }
}

fn query(prefix: Option<String>, delimiter: Option<String>, max_keys: Option<i32>, from: Bound) -> S3Result<Query> {
    let wanted = usize::try_from(max_keys.unwrap_or(i32::MAX));
    let wanted = wanted.map_err(|_| s3_error!(InvalidArgument, "max-keys must not be negative"))?;
    let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty());
    Ok(Query { prefix: prefix.unwrap_or_default(), delimiter, from, max_keys: wanted.min(LARGEST_PAGE) })
}

/// Writes keys into a listing the way the client asked for.
struct Encoder {
    url: bool,
}

impl Encoder {
    fn new(wanted: Option<&EncodingType>) -> S3Result<Self> {
        match wanted.map(EncodingType::as_str) {
            None => Ok(Self { url: false }),
            Some(EncodingType::URL) => Ok(Self { url: true }),
            Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
        }
    }

    fn encode(&self, text: String) -> String {
        if self.url { url_encode(&text) } else { text }
    }

    fn items(&self, items: Vec<Item>, with_owner: bool) -> (Vec<Object>, Vec<CommonPrefix>) {
        let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
        for item in items {
            match item {
                Item::CommonPrefix(group) => prefixes.push(CommonPrefix { prefix: Some(self.encode(group)) }),
                Item::Object { key, hashed } => objects.push(Object {
                    key: Some(self.encode(key)),
                    size: i64::try_from(hashed.stamp.size).ok(),
                    last_modified: last_modified(&hashed.stamp),
                    e_tag: etag(hashed.md5),
                    owner: with_owner.then(owner),
                    storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                    ..Default::default()
                }),
            }
        }
        (objects, prefixes)
    }
}
