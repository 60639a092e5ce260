//! Whether a connection that was just created works: the one place that decides what "works" means at creation.

use std::sync::Arc;

use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::iam::Place;
use connector_core::spec::ConnectionSpec;
use connector_s3::{S3Connection, S3Settings};

use super::super::{Ended, output, runtime};

/// What was found at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub place: Place,
    /// The first key, if there is any.
    pub first: Option<String>,
}

impl Seen {
    /// For people.
    pub fn as_text(&self) -> String {
        let place = self.place.uri();
        match &self.first {
            Some(key) => format!("{place} can be listed, its first key is {}", output::printable(key)),
            None => format!("{place} can be listed, and nothing is there yet"),
        }
    }
}

/// Gets credentials and lists one key of each place; the first trouble ends it.
pub fn validate(spec: ConnectionSpec, places: &[Place]) -> Result<Vec<Seen>, Ended> {
    let places = places.to_vec();
    runtime::block_on(|_| async move {
        let connection =
            S3Connection::new(&spec, Arc::new(SystemClock), S3Settings::default()).map_err(Failure::from)?;
        let mut seen = Vec::new();
        for place in places {
            let first = Box::pin(connection.probe(&place.bucket, place.prefix())).await.map_err(Failure::from)?;
            seen.push(Seen { place, first: first.map(|object| object.key) });
        }
        Ok(seen)
    })
}
