//! Storing the body of a PUT: hashed and checked on the way into a temporary file.

use bytes::Bytes;
use futures::StreamExt;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum, Md5};
use s3s::dto::{ChecksumAlgorithm, PutObjectInput, StreamingBlob};
use s3s::{S3Result, TrailingHeaders, s3_error};

use crate::folder::Upload;
use crate::store::blocking;
use crate::text::{base64, hex};

/// How much is gathered before it is hashed and written in one go.
const BATCH: usize = 1024 * 1024;

/// The digests that the client announced, in base64.
pub(crate) struct Announced {
    md5: Option<String>,
    /// By the name of the algorithm in headers and trailers: the value, if it came in a header.
    checksums: Vec<(&'static str, Option<String>)>,
    length: Option<i64>,
}

impl Announced {
    pub(crate) fn of(input: &PutObjectInput) -> Self {
        let trailing = input.checksum_algorithm.as_ref().map(ChecksumAlgorithm::as_str);
        let headers = [
            ("crc32", ChecksumAlgorithm::CRC32, &input.checksum_crc32),
            ("crc32c", ChecksumAlgorithm::CRC32C, &input.checksum_crc32c),
            ("crc64nvme", ChecksumAlgorithm::CRC64NVME, &input.checksum_crc64nvme),
            ("sha1", ChecksumAlgorithm::SHA1, &input.checksum_sha1),
            ("sha256", ChecksumAlgorithm::SHA256, &input.checksum_sha256),
        ];
        let announced = headers.into_iter().filter(|(_, name, value)| value.is_some() || trailing == Some(*name));
        let checksums = announced.map(|(name, _, value)| (name, value.clone())).collect();
        Self { md5: input.content_md5.clone(), checksums, length: input.content_length }
    }

    fn hasher(&self) -> ChecksumHasher {
        let wants = |name: &str| self.checksums.iter().any(|(wanted, _)| *wanted == name);
        ChecksumHasher {
            crc32: wants("crc32").then(Checksum::new),
            crc32c: wants("crc32c").then(Checksum::new),
            crc64nvme: wants("crc64nvme").then(Checksum::new),
            sha1: wants("sha1").then(Checksum::new),
            sha256: wants("sha256").then(Checksum::new),
        }
    }
}

/// A temporary file and the digests of what went into it.
struct Sink {
    upload: Upload,
    md5: Md5,
    checksums: ChecksumHasher,
    size: i64,
}

/// Writes a body into a temporary file and checks it against what was announced. Returns the MD5 in hexadecimal.
///
/// # Errors
/// `IncompleteBody` if the body breaks off or its signature does not hold, `BadDigest` if a digest does not.
pub(crate) async fn receive(
    upload: Upload,
    mut body: StreamingBlob,
    announced: &Announced,
    trailers: Option<TrailingHeaders>,
) -> S3Result<(Upload, String)> {
    let mut sink = Sink { upload, md5: Md5::new(), checksums: announced.hasher(), size: 0 };
    let mut batch: Vec<Bytes> = Vec::new();
    let mut gathered = 0;
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| {
            s3_error!(IncompleteBody, "The body broke off or does not match its signature, nothing was stored: {error}")
        })?;
        gathered += bytes.len();
        batch.push(bytes);
        if gathered >= BATCH {
            sink = sink.take(std::mem::take(&mut batch)).await?;
            gathered = 0;
        }
    }
    sink.take(batch).await?.check(announced, trailers)
}

impl Sink {
    async fn take(mut self, batch: Vec<Bytes>) -> S3Result<Self> {
        blocking(move || {
            for bytes in batch {
                self.md5.update(&bytes);
                self.checksums.update(&bytes);
                self.size += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                self.upload.write(&bytes).map_err(|error| {
                    s3_error!(InternalError, "devcloud cannot write the body to its folder: {error}")
                })?;
            }
            Ok(self)
        })
        .await
    }

    fn check(self, announced: &Announced, trailers: Option<TrailingHeaders>) -> S3Result<(Upload, String)> {
        if announced.length.is_some_and(|length| length != self.size) {
            return Err(s3_error!(IncompleteBody, "The body has {} bytes, not as many as announced", self.size));
        }
        let md5 = self.md5.finalize();
        if announced.md5.as_ref().is_some_and(|wanted| *wanted != base64(&md5)) {
            return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
        }
        let trailers = trailers.and_then(|trailers| trailers.take()).unwrap_or_default();
        let computed = self.checksums.finalize();
        for (name, in_header) in &announced.checksums {
            let header = format!("x-amz-checksum-{name}");
            let in_trailer = trailers.get(&header).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let computed = match *name {
                "crc32" => &computed.checksum_crc32,
                "crc32c" => &computed.checksum_crc32c,
                "crc64nvme" => &computed.checksum_crc64nvme,
                "sha1" => &computed.checksum_sha1,
                _ => &computed.checksum_sha256,
            };
            if let Some(wanted) = in_header.as_ref().or(in_trailer.as_ref())
                && computed.as_ref() != Some(wanted)
            {
                return Err(s3_error!(BadDigest, "The {name} you specified did not match the calculated checksum."));
            }
        }
        Ok((self.upload, hex(&md5)))
    }
}
