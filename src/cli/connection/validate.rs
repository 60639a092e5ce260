//! Whether a connection that was just created works: the one place that decides what "works" means at creation.

use std::sync::Arc;

use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::iam::Place;
use connector_core::spec::ConnectionSpec;
use connector_s3::{S3Connection, S3Settings};

use super::super::{Ended, runtime};

/// Gets credentials and lists one key of each place; the first trouble ends it. Says what it saw.
pub fn validate(spec: ConnectionSpec, places: &[Place]) -> Result<Vec<String>, Ended> {
    let places = places.to_vec();
    runtime::block_on(|_| async move {
        let connection =
            S3Connection::new(&spec, Arc::new(SystemClock), S3Settings::default()).map_err(Failure::from)?;
        let mut seen = Vec::new();
        for place in &places {
            let first = Box::pin(connection.probe(&place.bucket, place.prefix())).await.map_err(Failure::from)?;
            seen.push(match first {
                Some(object) => format!("{} can be listed, its first key is {}", place.uri(), object.key),
                None => format!("{} can be listed, and nothing is there yet", place.uri()),
            });
        }
        if places.is_empty() {
            Box::pin(connection.signing_keys()).await.map_err(Failure::from)?;
        }
        Ok(seen)
    })
}
