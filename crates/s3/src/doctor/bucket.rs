//! Buckets: listing them and what is in them, reading, decrypting, writing.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{RequestPayer, ServerSideEncryption};
use connector_core::object::ListedObject;
use connector_core::spec::{Access, ConnectionSpec};

use super::{Doctor, Finding, Outcome, Probe, Reading, Use, Writing, remedy};
use crate::bucket::S3Bucket;
use crate::connection::S3Connection;
use crate::credentials::secrets_of;
use crate::error::S3Error;
use crate::keys::quote;
use crate::reply::Reply;
use crate::verdict::bucket_arn;

const KEYS_PER_PAGE: i32 = 1000;
/// Pages looked through for an object to read.
const MAX_PAGES: usize = 5;
/// Asked of an object; the least that shows that it can be read.
const FIRST_BYTES: u64 = 16;
/// Of the probe object; what stands behind it is random.
const PROBE_KEY: &str = "_s3_connector_probe_";

impl Doctor<'_> {
    pub(super) async fn buckets(&self, connection: &S3Connection, used: &Use) -> Vec<Finding> {
        let mut findings = Vec::new();
        let (endpoint, all) = self.all_buckets(connection).await;
        let unreachable = endpoint.outcome == Outcome::Failed;
        findings.extend([endpoint, all]);
        if unreachable {
            let why = "the endpoint does not answer as S3 does: see above";
            let rest = [Probe::Region, Probe::List, Probe::Get, Probe::Decrypt];
            findings.extend(rest.map(|probe| Finding::skipped(probe, why)));
            return findings;
        }
        if used.readings.is_empty() && used.writing.is_none() {
            let why = "no data source reads through this connection; name a bucket: --bucket s3://bucket/prefix";
            findings.extend([Probe::List, Probe::Get, Probe::Decrypt].map(|probe| Finding::skipped(probe, why)));
        }
        for reading in &used.readings {
            findings.extend(Box::pin(self.reading(connection, reading)).await);
        }
        if let Some(writing) = &used.writing {
            findings.extend(Box::pin(self.writing(connection, writing)).await);
        }
        findings
    }

    /// `ListBuckets`: whether somebody is there at all, and whether the account's buckets may be named.
    async fn all_buckets(&self, connection: &S3Connection) -> (Finding, Finding) {
        let asker = &connection.inner.asker;
        let place = self.spec.endpoint.clone().unwrap_or_else(|| format!("S3 in {}", self.spec.region));
        let answers = Finding::ok(Probe::Endpoint, "answers").on(&place);
        let used = match connection.inner.credentials().await {
            Ok(used) => used,
            Err(error) => {
                let skipped = Finding::skipped(Probe::ListBuckets, "there are no credentials to try it with");
                return (self.failed(Probe::Endpoint, &error).on(&place), skipped);
            }
        };
        let sent = Box::pin(connection.inner.client.list_buckets().send()).await;
        let reply = match sent {
            Ok(answer) => {
                let count = answer.buckets().len();
                let said = format!("{count} bucket{} in the account", if count == 1 { "" } else { "s" });
                return (answers, Finding::ok(Probe::ListBuckets, said));
            }
            Err(error) => Reply::of(&error, &secrets_of(used.as_ref())),
        };
        let mut error = asker.listing(&reply, "", "listing all buckets".to_owned());
        if error.is_expired_token() {
            connection.inner.forget_if_expired(&error, used.as_ref());
            error = connection.inner.credentials().await.err().unwrap_or(error);
        }
        if Self::is_of_endpoint(&error) {
            let why = "the endpoint does not answer as S3 does: see above";
            return (self.failed(Probe::Endpoint, &error).on(&place), Finding::skipped(Probe::ListBuckets, why));
        }
        let all = match &error {
            _ if !self.is_signed() => Finding::not_needed(Probe::ListBuckets, "nobody may list buckets unsigned"),
            S3Error::ListDenied { .. } => {
                let said = format!(
                    "{} may not list the buckets of the account ({}); imports run without it, and buckets cannot be \
                     offered to choose from",
                    asker.principal,
                    reply.detail()
                );
                let remedy = Some(remedy::grant(self.spec, "s3:ListAllMyBuckets", "*"));
                Finding { remedy, ..Finding::new(Probe::ListBuckets, Outcome::Warning, said) }
            }
            // A bucket's region shows with the bucket.
            S3Error::WrongRegion { .. } => Finding::skipped(Probe::ListBuckets, reply.detail()),
            other => self.failed(Probe::ListBuckets, other),
        };
        (answers, all)
    }

    /// Region, owner, listing, reading and decrypting of what an import reads.
    async fn reading(&self, connection: &S3Connection, reading: &Reading) -> Vec<Finding> {
        let bucket = connection.bucket(reading.bucket.as_str());
        let mut findings = self.listed(&bucket, &reading.prefix, &reading.uri).await;
        let listable = findings.iter().all(|finding| finding.outcome != Outcome::Failed);
        if !listable {
            let why = "no object is known that could be read: the bucket cannot be listed";
            findings.extend([Probe::Get, Probe::Decrypt].map(|probe| Finding::skipped(probe, why).on(&reading.uri)));
            return findings;
        }
        match Self::sample(&bucket, reading).await {
            Ok(Some(object)) => findings.extend(self.read(&bucket, &object).await),
            Ok(None) => {
                let why = "nothing is there yet that an import would read";
                findings
                    .extend([Probe::Get, Probe::Decrypt].map(|probe| Finding::skipped(probe, why).on(&reading.uri)));
            }
            Err(error) => findings.push(self.failed(Probe::List, &error).on(&reading.uri)),
        }
        findings
    }

    async fn listed(&self, bucket: &S3Bucket, prefix: &str, shown: &str) -> Vec<Finding> {
        let name = bucket.name().to_owned();
        let region = Finding::ok(Probe::Region, self.spec.region.clone()).on(&name);
        let listed = bucket.list(prefix, None, 1).await;
        let owner = |finding: Finding| self.spec.expected_owner.as_ref().map(|_| finding.on(&name));
        match listed {
            Ok(_) => {
                let account = self.spec.expected_owner.clone().unwrap_or_default();
                let owner = owner(Finding::ok(Probe::Owner, format!("belongs to account {account}")));
                let list = Finding::ok(Probe::List, "may be listed").on(shown);
                std::iter::once(region).chain(owner).chain([list]).collect()
            }
            Err(error @ S3Error::WrongRegion { .. }) => {
                let region = self.failed(Probe::Region, &error).on(&name);
                vec![region, Finding::skipped(Probe::List, "the bucket is in another region: see above").on(shown)]
            }
            Err(error @ S3Error::ListDenied { .. }) => {
                let is_foreign = self.spec.expected_owner.is_some() && self.is_open_to_any_owner(&name, prefix).await;
                if is_foreign {
                    let foreign = owner(self.failed(Probe::Owner, &error));
                    let list = Finding::skipped(Probe::List, "the bucket belongs to another account").on(shown);
                    return std::iter::once(region).chain(foreign).chain([list]).collect();
                }
                vec![region, self.failed(Probe::List, &error).on(shown)]
            }
            Err(error) => vec![self.failed(Probe::List, &error).on(shown)],
        }
    }

    /// Whether the same listing goes through if the owner is not asked about: then it is the owner that is another one.
    async fn is_open_to_any_owner(&self, bucket: &str, prefix: &str) -> bool {
        let spec = ConnectionSpec { expected_owner: None, ..self.spec.clone() };
        match self.connect(&spec) {
            Ok(connection) => connection.probe(bucket, prefix).await.is_ok(),
            Err(_) => false,
        }
    }

    /// The first object that the import would read and that has a byte.
    async fn sample(bucket: &S3Bucket, reading: &Reading) -> Result<Option<ListedObject>, S3Error> {
        let mut next: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = bucket.list(&reading.prefix, next.as_deref(), KEYS_PER_PAGE).await?;
            let fits = |object: &&ListedObject| object.size > 0 && (reading.selects)(object);
            if let Some(object) = page.objects.iter().find(fits) {
                return Ok(Some(object.clone()));
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// The first bytes of an object. S3 asks for `s3:GetObject` first and for the key of the object then, so a refusal
    /// for the key says that the object itself may be read.
    async fn read(&self, bucket: &S3Bucket, object: &ListedObject) -> Vec<Finding> {
        let (inner, uri) = (&bucket.connection.inner, bucket.uri(&object.key));
        let used = match inner.credentials().await {
            Ok(used) => used,
            Err(error) => return vec![self.failed(Probe::Get, &error).on(&uri)],
        };
        let last = object.size.min(FIRST_BYTES) - 1;
        let request = inner
            .client
            .get_object()
            .bucket(bucket.name())
            .key(&object.key)
            .range(format!("bytes=0-{last}"))
            .if_match(quote(&object.etag))
            .set_expected_bucket_owner(self.spec.expected_owner.clone())
            .set_request_payer(self.spec.requester_pays.then_some(RequestPayer::Requester));
        let answer = match Box::pin(request.send()).await {
            Ok(answer) => answer,
            Err(error) => {
                let reply = Reply::of(&error, &secrets_of(used.as_ref()));
                let doing = format!("reading bytes 0 to {last} of {uri}");
                return self.unreadable(&inner.asker.object(&reply, bucket.name(), &uri, doing), &uri);
            }
        };
        let get = Finding::ok(Probe::Get, format!("bytes 0 to {last} were read")).on(&uri);
        let by_kms = |kind: &ServerSideEncryption| kind.as_str().starts_with("aws:kms");
        let decrypt = if answer.server_side_encryption().is_some_and(by_kms) {
            Finding::ok(Probe::Decrypt, answer.ssekms_key_id().unwrap_or("the key of the object").to_owned())
        } else {
            Finding::not_needed(Probe::Decrypt, "the object is not encrypted with KMS")
        };
        vec![get, decrypt.on(&uri)]
    }

    fn unreadable(&self, error: &S3Error, uri: &str) -> Vec<Finding> {
        if matches!(error, S3Error::KmsDenied { .. }) {
            let get = Finding::ok(Probe::Get, "the object itself may be read; its key may not be used");
            return vec![get.on(uri), self.failed(Probe::Decrypt, error).on(uri)];
        }
        let decrypt = Finding::skipped(Probe::Decrypt, "the object cannot be read: see above");
        vec![self.failed(Probe::Get, error).on(uri), decrypt.on(uri)]
    }

    /// Puts a probe object that must not be there, puts it again, and deletes it.
    async fn writing(&self, connection: &S3Connection, writing: &Writing) -> Vec<Finding> {
        let slash = if writing.prefix.is_empty() { "" } else { "/" };
        let prefix = format!("{}{slash}", writing.prefix);
        let bucket = connection.bucket(writing.bucket.as_str());
        let place = bucket.uri(&prefix);
        if self.spec.access == Access::Anonymous {
            return vec![Finding::skipped(Probe::Put, "nobody may write unsigned").on(place)];
        }
        let mut findings = self.listed(&bucket, &prefix, &place).await;
        let number = fastrand::Rng::with_seed(self.settings.seed).u64(..);
        let key = format!("{prefix}{PROBE_KEY}{number:016x}");
        match self.put(&bucket, &key).await {
            Err(error) => {
                findings.push(self.not_allowed(Probe::Put, &bucket, &key, &error));
                let why = "nothing could be put: see above";
                let rest = [Probe::ConditionalPut, Probe::Delete];
                findings.extend(rest.map(|probe| Finding::skipped(probe, why).on(&place)));
                return findings;
            }
            Ok(()) => findings.push(Finding::ok(Probe::Put, "a probe object was put").on(&place)),
        }
        findings.push(
            match self.put(&bucket, &key).await {
                Err(S3Error::ObjectChanged { .. }) => Finding::ok(Probe::ConditionalPut, "a second PUT was refused"),
                Err(error) => self.failed(Probe::ConditionalPut, &error),
                Ok(()) => {
                    let error = S3Error::BadConnection {
                        connection: self.spec.name.clone(),
                        problem:
                            "the store ignores If-None-Match: a PUT replaced an object that was there, so two writers \
                              could overwrite each other's commits"
                                .to_owned(),
                    };
                    Finding::failed(Probe::ConditionalPut, &error, remedy::another_store())
                }
            }
            .on(&place),
        );
        findings.push(match self.delete(&bucket, &key).await {
            Ok(()) => Finding::ok(Probe::Delete, "the probe object was deleted").on(&place),
            Err(error) => {
                let mut finding = self.not_allowed(Probe::Delete, &bucket, &key, &error);
                finding.said = format!("{}; the probe object {} is still there", finding.said, bucket.uri(&key));
                finding
            }
        });
        findings
    }

    async fn put(&self, bucket: &S3Bucket, key: &str) -> Result<(), S3Error> {
        let inner = &bucket.connection.inner;
        let used = inner.credentials().await?;
        let request = inner
            .client
            .put_object()
            .bucket(bucket.name())
            .key(key)
            .if_none_match("*")
            .body(ByteStream::from_static(b"s3-connector connection check\n"))
            .set_expected_bucket_owner(self.spec.expected_owner.clone())
            .set_request_payer(self.spec.requester_pays.then_some(RequestPayer::Requester));
        Box::pin(request.send()).await.map(drop).map_err(|error| {
            let (reply, uri) = (Reply::of(&error, &secrets_of(used.as_ref())), bucket.uri(key));
            inner.asker.object(&reply, bucket.name(), &uri, format!("writing {uri}"))
        })
    }

    async fn delete(&self, bucket: &S3Bucket, key: &str) -> Result<(), S3Error> {
        let inner = &bucket.connection.inner;
        let used = inner.credentials().await?;
        let request = inner
            .client
            .delete_object()
            .bucket(bucket.name())
            .key(key)
            .set_expected_bucket_owner(self.spec.expected_owner.clone())
            .set_request_payer(self.spec.requester_pays.then_some(RequestPayer::Requester));
        Box::pin(request.send()).await.map(drop).map_err(|error| {
            let (reply, uri) = (Reply::of(&error, &secrets_of(used.as_ref())), bucket.uri(key));
            inner.asker.object(&reply, bucket.name(), &uri, format!("deleting {uri}"))
        })
    }

    /// A refusal to write. The errors of reading would name the permission to read.
    fn not_allowed(&self, probe: Probe, bucket: &S3Bucket, key: &str, error: &S3Error) -> Finding {
        let prefix = key.split(PROBE_KEY).next().unwrap_or_default();
        let place = bucket.uri(prefix);
        let (verb, action) =
            if probe == Probe::Put { ("write to", "s3:PutObject") } else { ("delete from", "s3:DeleteObject") };
        let mut finding = self.failed(probe, error).on(place.clone());
        let resource = format!("{}/{prefix}*", bucket_arn(&self.spec.region, bucket.name()));
        match error {
            S3Error::ObjectDenied { connection, principal, detail, .. } => {
                finding.said = format!(
                    "connection {connection}: {principal} may not {verb} {place} ({detail}); grant {action} on {resource}"
                );
                finding.remedy = Some(remedy::grant(self.spec, action, &resource));
            }
            S3Error::KmsDenied { connection, principal, key, detail, .. } => {
                let key = key.as_deref().unwrap_or("*");
                finding.said = format!(
                    "connection {connection}: {principal} may {verb} {place} but not encrypt there ({detail}); grant \
                     kms:GenerateDataKey on {key}"
                );
                finding.remedy = Some(remedy::grant(self.spec, "kms:GenerateDataKey", key));
            }
            _ => {}
        }
        // It is the user's to mend, where a file that cannot be read is only put off.
        finding.failure = finding.failure.map(|(_, code)| (connector_core::error::ErrorClass::Config, code));
        finding
    }
}
