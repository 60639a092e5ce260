//! Multipart uploads: parts in temporary files of the bucket, put together when the client completes them.
//!
//! What is begun and not completed is forgotten when devcloud ends; its parts are removed with it. The ETag of the object
//! is the MD5 of its bytes, as that of every file, and not of the form `…-N` that S3 gives it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use s3s::dto::{CompletedPart, ETag};
use s3s::{S3Error, S3Result, s3_error};
use uuid::Uuid;

use crate::etag::lock;
use crate::folder::{Folder, PutCondition, Upload};

/// S3's bounds of a part number.
const PART_NUMBERS: std::ops::RangeInclusive<i32> = 1..=10_000;

/// All but the last part have at least this many bytes.
const SMALLEST_PART: u64 = 5 << 20;

/// The uploads under way.
#[derive(Default)]
pub(crate) struct Multipart {
    uploads: Mutex<HashMap<String, Begun>>,
}

struct Begun {
    bucket: String,
    key: String,
    parts: BTreeMap<i32, Arc<Part>>,
}

/// One part that arrived whole.
struct Part {
    upload: Upload,
    md5: String,
    size: u64,
}

impl Multipart {
    /// Begins an upload and returns its id.
    pub(crate) fn begin(&self, bucket: &str, key: &str) -> String {
        let id = Uuid::new_v4().simple().to_string();
        let begun = Begun { bucket: bucket.to_owned(), key: key.to_owned(), parts: BTreeMap::new() };
        lock(&self.uploads).insert(id.clone(), begun);
        id
    }

    /// Refuses a part of an upload that is not there, before its body is read.
    pub(crate) fn expects(&self, bucket: &str, key: &str, id: &str, number: i32) -> S3Result<()> {
        if !PART_NUMBERS.contains(&number) {
            return Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"));
        }
        self.with(bucket, key, id, |_| ())
    }

    /// Takes a part, in place of an earlier one of that number.
    pub(crate) fn add(&self, bucket: &str, key: &str, id: &str, number: i32, part: (Upload, String)) -> S3Result<()> {
        let (upload, md5) = part;
        let size = upload.size().map_err(|error| s3_error!(error, InternalError, "devcloud lost a part"))?;
        self.with(bucket, key, id, |begun| {
            begun.parts.insert(number, Arc::new(Part { upload, md5, size }));
        })
    }

    /// Forgets an upload and its parts.
    pub(crate) fn abort(&self, bucket: &str, key: &str, id: &str) -> S3Result<()> {
        self.with(bucket, key, id, |_| ())?;
        lock(&self.uploads).remove(id);
        Ok(())
    }

    /// Puts the named parts together, in their order, and gives the object its name. Blocks. The upload goes on if this
    /// fails.
    pub(crate) fn complete(
        &self,
        folder: &Folder,
        (bucket, key, id): (&str, &str, &str),
        named: &[CompletedPart],
        condition: &PutCondition,
    ) -> S3Result<()> {
        let parts = self.with(bucket, key, id, |begun| chosen(&begun.parts, named))??;
        let mut whole = folder.begin(bucket, key)?;
        for part in &parts {
            let failed = |error| s3_error!(error, InternalError, "devcloud cannot put the parts together");
            whole.append(&part.upload).map_err(failed)?;
        }
        folder.finish(bucket, key, whole, condition)?;
        lock(&self.uploads).remove(id);
        Ok(())
    }

    fn with<T>(&self, bucket: &str, key: &str, id: &str, work: impl FnOnce(&mut Begun) -> T) -> S3Result<T> {
        let mut uploads = lock(&self.uploads);
        let begun = uploads.get_mut(id).filter(|begun| begun.bucket == bucket && begun.key == key);
        begun.map(work).ok_or_else(|| s3_error!(NoSuchUpload, "The specified upload does not exist"))
    }
}

/// The parts that a completion names, checked as S3 does.
fn chosen(parts: &BTreeMap<i32, Arc<Part>>, named: &[CompletedPart]) -> S3Result<Vec<Arc<Part>>> {
    let Some(last) = named.len().checked_sub(1) else {
        return Err(s3_error!(MalformedXML, "A completion names at least one part"));
    };
    let number_of = |name: &CompletedPart| name.part_number.unwrap_or(0);
    if !named.is_sorted_by(|one, next| number_of(one) < number_of(next)) {
        return Err(s3_error!(InvalidPartOrder, "The list of parts was not in ascending order"));
    }
    let mut chosen = Vec::with_capacity(named.len());
    for (at, name) in named.iter().enumerate() {
        let number = number_of(name);
        let part = parts.get(&number).ok_or_else(|| invalid_part(number))?;
        if name.e_tag.as_ref().and_then(ETag::as_strong).is_some_and(|etag| etag != part.md5) {
            return Err(invalid_part(number));
        }
        if at < last && part.size < SMALLEST_PART {
            return Err(s3_error!(EntityTooSmall, "Your proposed upload is smaller than the minimum allowed size"));
        }
        chosen.push(Arc::clone(part));
    }
    Ok(chosen)
}

fn invalid_part(number: i32) -> S3Error {
    s3_error!(InvalidPart, "Part {number} was not uploaded, or has another ETag")
}
