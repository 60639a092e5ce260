//! Whether a bucket can hold a table at all: a log entry is put only if there is none of its name (`If-None-Match`), and
//! a server that does not know that header overwrites instead. Two writers would then both believe that they have
//! committed, and one of them has lost its rows. So it is tried before the first commit.

use std::path::PathBuf;

use connector_core::ports::PortResult;
use object_store::path::Path as StorePath;
use object_store::{ObjectStoreExt as _, PutMode, PutPayload};
use uuid::Uuid;

use super::S3Location;
use crate::error::DeltaError;

/// Puts a key with a random name beside the table twice; the second time has to be refused. The key is removed again.
///
/// # Errors
/// `Config` with code `no_conditional_put` if the store lets the second one through; `storage_denied` if the role may not
/// write there; `Transient` if the store cannot be reached.
pub async fn probe_conditional_put(location: &S3Location) -> PortResult<()> {
    Ok(probe(location).await?)
}

pub(super) async fn probe(location: &S3Location) -> Result<(), DeltaError> {
    let parent = location.parent();
    let slash = if parent.is_empty() { "" } else { "/" };
    let name = format!("{parent}{slash}_s3_connector_probe-{}", Uuid::new_v4());
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
