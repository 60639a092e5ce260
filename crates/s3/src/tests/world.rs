//! What the tests put around the adapter: a clock, waiting that does not wait, connection specs, listings.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_http_client::Builder;
use connector_core::clock::Clock;
use connector_core::ids::ObjectVersionId;
use connector_core::object::ObjectRef;
use connector_core::secret::Secret;
use connector_core::spec::{Access, Caller, ConnectionSpec, StaticKeys};
use jiff::Timestamp;
use tokio::sync::Notify;

use super::server::{Answer, Server};
use crate::connection::{S3Connection, S3Settings, Wiring};
use crate::error::S3Error;
use crate::retry::Waiting;

/// In every secret of these tests; must never be seen.
pub(crate) const CANARY: &str = "canary";
pub(crate) const ROLE: &str = "arn:aws:iam::111122223333:role/reader";

/// A clock that stands still until it is set.
pub(crate) struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub fn at(time: &str) -> Arc<Self> {
        Arc::new(Self(Mutex::new(time.parse().expect("a time"))))
    }

    pub fn set(&self, time: &str) {
        *self.0.lock().expect("not poisoned") = time.parse().expect("a time");
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("not poisoned")
    }
}

/// Records pauses and returns at once; deadlines pass when the test says so.
#[derive(Default)]
pub(crate) struct TestWaiting {
    pub pauses: Mutex<Vec<Duration>>,
    pub limits: Mutex<Vec<Duration>>,
    pub time_is_up: Arc<Notify>,
}

#[async_trait]
impl Waiting for TestWaiting {
    async fn pause(&self, wait: Duration) {
        self.pauses.lock().expect("not poisoned").push(wait);
    }

    async fn deadline(&self, limit: Duration) {
        self.limits.lock().expect("not poisoned").push(limit);
        self.time_is_up.notified().await;
    }
}

impl TestWaiting {
    pub fn pauses(&self) -> usize {
        self.pauses.lock().expect("not poisoned").len()
    }
}

pub(crate) fn keys(id: &str) -> StaticKeys {
    StaticKeys {
        access_key_id: id.to_owned(),
        secret_access_key: Secret::new(format!("{id}-secret-{CANARY}")),
        session_token: None,
    }
}

pub(crate) fn role() -> Access {
    Access::Role {
        arn: ROLE.to_owned(),
        external_id: "external-1".to_owned(),
        caller: Caller::Static(keys("AKIACALLER")),
    }
}

pub(crate) fn spec(server: &Server, access: Access) -> ConnectionSpec {
    ConnectionSpec {
        name: "events".to_owned(),
        region: "eu-west-1".to_owned(),
        access,
        endpoint: Some(server.url.clone()),
        sts_endpoint: Some(server.url.clone()),
        path_style: true,
        requester_pays: false,
        expected_owner: None,
    }
}

/// A connection with its surroundings.
pub(crate) struct World {
    pub connection: S3Connection,
    pub clock: Arc<TestClock>,
    pub waiting: Arc<TestWaiting>,
}

pub(crate) fn connect(spec: &ConnectionSpec) -> World {
    connect_with(spec, S3Settings::default())
}

pub(crate) fn connect_with(spec: &ConnectionSpec, settings: S3Settings) -> World {
    let clock = TestClock::at("2026-03-01T12:00:00Z");
    let waiting = Arc::new(TestWaiting::default());
    let wiring = Wiring { http: Some(Builder::new().build_http()), waiting: waiting.clone(), watch: None };
    let settings = S3Settings { seed: 7, ..settings };
    let connection = S3Connection::wired(spec, clock.clone(), settings, wiring).expect("a good spec");
    World { connection, clock, waiting }
}

/// A connection with static keys.
pub(crate) fn with_keys(server: &Server) -> World {
    connect(&spec(server, Access::Static(keys("AKIASTATIC"))))
}

/// Checks class, code and parts of the message, and that no secret shows.
pub(crate) fn expect(error: &S3Error, class_and_code: &str, parts: &[&str]) {
    let message = error.to_string();
    assert_eq!(format!("{} {}", error.class(), error.code()), class_and_code, "{message}");
    parts.iter().for_each(|part| assert!(message.contains(part), "{part:?} is not in {message:?}"));
    assert!(!message.contains(CANARY) && !format!("{error:?}").contains(CANARY), "a secret shows: {error:?}");
    assert!(!message.ends_with('.') && !message.contains('\n'), "{message:?}");
}

/// A listing document of `bkt`.
pub(crate) fn listing(entries: &[String], next: Option<&str>) -> Answer {
    Answer::xml("200 OK", &[], &listing_body(entries, next))
}

pub(crate) fn listing_body(entries: &[String], next: Option<&str>) -> String {
    let token = next.map_or(String::new(), |token| format!("<NextContinuationToken>{token}</NextContinuationToken>"));
    format!(
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bkt</Name><Prefix></Prefix>{token}\
         <KeyCount>{}</KeyCount><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>\
         <IsTruncated>{}</IsTruncated>{}</ListBucketResult>",
        entries.len(),
        next.is_some(),
        entries.concat()
    )
}

pub(crate) fn entry(encoded_key: &str) -> String {
    format!(
        "<Contents><Key>{encoded_key}</Key><LastModified>2026-02-03T04:05:06.000Z</LastModified>\
         <ETag>&quot;e-1&quot;</ETag><Size>42</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )
}

/// An object of `bkt` with ETag `e-1`.
pub(crate) fn object(key: &str, size: u64) -> ObjectRef {
    ObjectRef {
        id: ObjectVersionId::from_bytes(&[0; 16]).expect("an id"),
        bucket: "bkt".into(),
        key: key.into(),
        etag: "e-1".into(),
        size,
        last_modified: Timestamp::UNIX_EPOCH,
        attempts: 0,
        suspect: false,
        strikes: 0,
    }
}

/// The bytes `range` of an object, whose content is the letters of the alphabet over and over, as S3 sends them.
pub(crate) fn part(range: std::ops::Range<u64>, size: u64) -> Answer {
    let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    Answer::new("206 Partial Content", &[("etag", "\"e-1\""), ("content-range", &content_range)], alphabet(range))
}

pub(crate) fn alphabet(range: std::ops::Range<u64>) -> Vec<u8> {
    range.map(|at| b'a' + u8::try_from(at % 26).expect("below 26")).collect()
}
