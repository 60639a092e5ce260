//! Whether a bucket can hold a table at all: a log entry is put only if there is none of its name (`If-None-Match`), and
//! a server that does not know that header overwrites instead. Two writers would then both believe that they have
//! committed, and one of them has lost its rows. So it is tried before the first commit.

use std::path::PathBuf;

use jiff::Timestamp;
use object_store::path::Path as StorePath;
use object_store::{ObjectStoreExt as _, PutMode, PutPayload};
use uuid::Uuid;

use super::S3Location;
use crate::error::DeltaError;

/// How the keys of probes begin.
pub(super) const PREFIX: &str = "_s3_connector_probe-";

/// Puts a key with a random name beside the table twice; the second time has to be refused. The key is removed again.
///
/// # Errors
/// `NoConditionalPut` if the store lets the second one through; `S3Denied` if the role may not write there; `Storage` if
/// the store cannot be reached.
pub(crate) async fn probe(location: &S3Location) -> Result<(), DeltaError> {
    let parent = location.parent();
    let slash = if parent.is_empty() { "" } else { "/" };
    let name = format!("{parent}{slash}{PREFIX}{}", Uuid::new_v4());
    let shown = PathBuf::from(format!("s3://{}/{name}", location.bucket));
    let key = StorePath::parse(&name).map_err(|error| DeltaError::Internal(error.to_string()))?;
    let put = || location.store.put_opts(&key, PutPayload::from_static(b"probe"), PutMode::Create.into());
    let verdict = match put().await {
        // An earlier attempt of this very request got through and its answer was lost: as good as the first put.
        Ok(_) | Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
            match put().await {
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(()),
                Ok(_) => Err(no_conditional_put(location, "it overwrote an object that it was told not to overwrite")),
                Err(error) => Err(refused(location, &shown, &error)),
            }
        }
        Err(error) => return Err(refused(location, &shown, &error)),
    };
    if let Err(error) = location.store.delete(&key).await {
        tracing::warn!(key = %shown.display(), %error, "the key of a probe is left behind; it may be deleted");
    }
    verdict
}

/// Removes keys of trials that ended in between, if they are older than `before`; says how many and of how many bytes.
pub(super) async fn sweep(location: &S3Location, before: Timestamp) -> (u64, u64) {
    let swept = async {
        let beside = StorePath::parse(location.parent())?;
        let listed = location.store.list_with_delimiter(Some(&beside)).await?;
        let mut gone = (0, 0);
        for meta in listed.objects {
            let is_probe = meta.location.filename().is_some_and(|name| name.starts_with(PREFIX));
            if is_probe && meta.last_modified.timestamp() < before.as_second() {
                location.store.delete(&meta.location).await?;
                gone = (gone.0 + 1, gone.1 + meta.size);
            }
        }
        Ok::<_, object_store::Error>(gone)
    };
    swept.await.unwrap_or_else(|error| {
        tracing::debug!(table = ?location, %error, "keys of old probes cannot be looked for");
        (0, 0)
    })
}

/// Some servers know the header and refuse it as such.
fn refused(location: &S3Location, shown: &std::path::Path, error: &object_store::Error) -> DeltaError {
    let unknown =
        matches!(error, object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. })
            || error.to_string().contains("NotImplemented");
    if unknown {
        no_conditional_put(location, "it does not know If-None-Match")
    } else {
        DeltaError::store(shown, error)
    }
}

fn no_conditional_put(location: &S3Location, why: &'static str) -> DeltaError {
    DeltaError::NoConditionalPut { bucket: location.bucket.clone(), why }
}
