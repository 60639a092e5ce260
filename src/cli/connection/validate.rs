//! Whether a connection that was just created works: the probes of `connection check`, on what it was made for.

use std::sync::Arc;

use connector_core::clock::SystemClock;
use connector_core::error::Failure;
use connector_core::iam::{Place, Policy};
use connector_core::object::{ListedObject, SkipReason};
use connector_core::spec::ConnectionSpec;
use connector_s3::doctor::{Finding, Outcome, Probe, Reading, Use, Writing, examine};

use super::super::{Ended, runtime};

/// What was found at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub place: Place,
    /// The first key that an import would read, if there is any.
    pub first: Option<String>,
}

/// Probes the connection. Of a role that keeps tables, writing is tried at its first place.
///
/// # Errors
/// Only if the connection cannot be used as it is written: everything else is a finding.
pub fn validate(spec: &ConnectionSpec, policy: Policy, places: &[Place]) -> Result<Vec<Finding>, Ended> {
    let used = used(policy, places);
    runtime::block_on(|_| async move {
        let examined = Box::pin(examine(spec, &used, Arc::new(SystemClock), fastrand::u64(..)));
        Ok(examined.await.map_err(Failure::from)?)
    })
}

/// The places with what was read of them.
pub fn seen(places: &[Place], findings: &[Finding]) -> Vec<Seen> {
    let read: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.probe == Probe::Get && finding.outcome == Outcome::Ok)
        .filter_map(|finding| finding.on.as_deref())
        .collect();
    let first = |place: &Place| {
        let keys =
            read.iter().filter_map(|uri| uri.strip_prefix("s3://")?.strip_prefix(&place.bucket)?.strip_prefix('/'));
        keys.into_iter().find(|key| key.starts_with(place.prefix())).map(str::to_owned)
    };
    places.iter().map(|place| Seen { place: place.clone(), first: first(place) }).collect()
}

fn used(policy: Policy, places: &[Place]) -> Use {
    let (writing, reading) = match policy {
        Policy::Read => (None, places),
        Policy::Write => (places.first(), places.get(1..).unwrap_or_default()),
    };
    let writing = writing
        .map(|place| Writing { bucket: place.bucket.clone(), prefix: place.prefix().trim_matches('/').to_owned() });
    Use { readings: reading.iter().map(of_place).collect(), writing }
}

fn of_place(place: &Place) -> Reading {
    let selects = |object: &ListedObject| SkipReason::of_listing(&object.key, object.size).is_none();
    Reading {
        bucket: place.bucket.clone(),
        prefix: place.prefix().to_owned(),
        uri: place.uri(),
        selects: Box::new(selects),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        Place::parse(text).expect("a place")
    }

    #[test]
    fn writing_is_tried_once_and_only_with_a_role_that_writes() {
        let places = [place("s3://lake/tables/"), place("other")];
        let read = used(Policy::Read, &places);
        assert!(read.writing.is_none());
        assert_eq!(
            read.readings.iter().map(|it| it.uri.as_str()).collect::<Vec<_>>(),
            ["s3://lake/tables/", "s3://other"]
        );
        let write = used(Policy::Write, &places);
        let writing = write.writing.expect("a place to write to");
        assert_eq!((writing.bucket.as_str(), writing.prefix.as_str(), write.readings.len()), ("lake", "tables", 1));
    }
}
