//! Signature Version 4, signed by hand: whatever is altered after signing is refused.

use connector_core::clock::{Clock, SystemClock};
use jiff::{SignedDuration, Timestamp};
use s3s::crypto::{Checksum, Sha256};

use crate::support::{BUCKET, EXTERNAL_ID, READER, SECRET, USER, World};

/// A request before it is signed. Paths and queries are as they go over the wire, queries in order.
#[derive(Clone)]
struct Plain {
    method: &'static str,
    path: String,
    query: String,
    service: &'static str,
    at: Timestamp,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Plain {
    fn get(path: &str, query: &str) -> Self {
        let (path, query) = (path.to_owned(), query.to_owned());
        let at = SystemClock.now();
        Self { method: "GET", path, query, service: "s3", at, headers: Vec::new(), body: String::new() }
    }

    fn assume_role(external_id: &str) -> Self {
        let body = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleArn={READER}&RoleSessionName=test&ExternalId={external_id}"
        );
        let form = ("content-type", "application/x-www-form-urlencoded".to_owned());
        Self { method: "POST", service: "sts", headers: vec![form], body, ..Self::get("/", "") }
    }

    fn put(key: &str, body: &str) -> Self {
        Self { method: "PUT", body: body.to_owned(), ..Self::get(&format!("/{BUCKET}/{key}"), "") }
    }

    /// Adds what a client adds: date, hash of the body (for S3), and the signature over everything.
    fn sign(mut self, host: &str) -> Self {
        let (date, day) = (self.at.strftime("%Y%m%dT%H%M%SZ").to_string(), self.at.strftime("%Y%m%d").to_string());
        let announced = self.headers.iter().find(|(name, _)| *name == "x-amz-content-sha256");
        let body = announced.map_or_else(|| hex(&Sha256::checksum(self.body.as_bytes())), |(_, value)| value.clone());
        self.headers.push(("host", host.to_owned()));
        self.headers.push(("x-amz-date", date.clone()));
        if self.service == "s3" {
            self.headers.push(("x-amz-content-sha256", body.clone()));
        }
        self.headers.sort();
        let lines: String = self.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let names = self.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let canonical = format!("{}\n{}\n{}\n{lines}\n{names}\n{body}", self.method, self.path, self.query);
        let scope = format!("{day}/eu-west-1/{}/aws4_request", self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::checksum(canonical.as_bytes())));
        let key = [day.as_str(), "eu-west-1", self.service, "aws4_request"]
            .iter()
            .fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part.as_bytes()).to_vec());
        let signature = hex(&hmac(&key, to_sign.as_bytes()));
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={USER}/{scope}, SignedHeaders={names}, Signature={signature}");
        self.headers.push(("authorization", authorization));
        self
    }

    async fn send(&self, world: &World) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let question = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        let (method, path, body) = (self.method, &self.path, &self.body);
        let length = body.len();
        let head = format!("{method} {path}{question} HTTP/1.1\r\n{headers}content-length: {length}\r\n");
        world.raw(&format!("{head}connection: close\r\n\r\n{body}")).await
    }

    /// Signs, alters and sends; returns the error code or `200`.
    async fn altered(self, world: &World, alter: impl FnOnce(&mut Self)) -> String {
        let mut signed = self.sign(&world.cloud.address().to_string());
        alter(&mut signed);
        let answer = signed.send(world).await;
        let code = answer.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
        match code {
            Some((code, _)) => code.to_owned(),
            None => answer.split(' ').nth(1).unwrap_or_default().to_owned(),
        }
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    let short = if key.len() > 64 { Sha256::checksum(key).to_vec() } else { key.to_vec() };
    block[..short.len()].copy_from_slice(&short);
    let inner = Sha256::checksum(&[&block.map(|b| b ^ 0x36), message].concat());
    Sha256::checksum(&[block.map(|b| b ^ 0x5c).as_slice(), &inner].concat())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn what_is_altered_after_signing_is_refused() {
    let world = World::open().await;
    let listing = || Plain::get(&format!("/{BUCKET}"), "list-type=2&prefix=a");
    assert_eq!(listing().altered(&world, |_| {}).await, "200");
    assert_eq!(listing().altered(&world, |r| r.query = "list-type=2&prefix=b".into()).await, "SignatureDoesNotMatch");
    assert_eq!(listing().altered(&world, |r| r.path = "/other".into()).await, "SignatureDoesNotMatch");
    assert_eq!(listing().altered(&world, |r| r.method = "HEAD").await, "403");
    let date = |r: &mut Plain| {
        let later = (r.at + SignedDuration::from_secs(1)).strftime("%Y%m%dT%H%M%SZ").to_string();
        let dates = r.headers.iter_mut().filter(|(name, _)| *name == "x-amz-date");
        dates.for_each(|(_, value)| *value = later.clone());
    };
    assert_eq!(listing().altered(&world, date).await, "SignatureDoesNotMatch");
    let added = |r: &mut Plain| r.headers.push(("x-amz-request-payer", "requester".into()));
    assert_eq!(listing().altered(&world, added).await, "AccessDenied");
}

#[tokio::test]
async fn a_signature_is_good_for_fifteen_minutes() {
    let world = World::open().await;
    let at = |minutes: i64| {
        let at = SystemClock.now() + SignedDuration::from_mins(minutes);
        Plain { at, ..Plain::get(&format!("/{BUCKET}"), "list-type=2") }
    };
    for minutes in [-14, 14] {
        assert_eq!(at(minutes).altered(&world, |_| {}).await, "200", "{minutes}");
    }
    for minutes in [-16, 16, -100_000] {
        assert_eq!(at(minutes).altered(&world, |_| {}).await, "RequestTimeTooSkewed", "{minutes}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_the_signed_one_is_not_stored() {
    let world = World::open().await;
    assert_eq!(Plain::put("good", "hello").altered(&world, |_| {}).await, "200");
    assert_eq!(Plain::put("bad", "hello").altered(&world, |r| r.body = "jello".into()).await, "IncompleteBody");
    assert!(world.path("good").exists() && !world.path("bad").exists());
}

#[tokio::test]
async fn a_form_that_is_not_the_signed_one_opens_no_role() {
    let world = World::roles_only().await;
    assert_eq!(Plain::assume_role(EXTERNAL_ID).altered(&world, |_| {}).await, "200");
    let altered = Plain::assume_role("guess").altered(&world, |r| r.body = r.body.replace("guess", EXTERNAL_ID));
    assert_eq!(altered.await, "SignatureDoesNotMatch");
    let mut unsigned = Plain::assume_role(EXTERNAL_ID);
    unsigned.headers.push(("x-amz-content-sha256", "UNSIGNED-PAYLOAD".into()));
    assert_eq!(unsigned.altered(&world, |_| {}).await, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn a_signature_for_one_service_does_not_open_the_other() {
    let world = World::open().await;
    let listing = Plain { service: "sts", ..Plain::get(&format!("/{BUCKET}"), "list-type=2") };
    assert_eq!(listing.altered(&world, |_| {}).await, "SignatureDoesNotMatch");
    let form = Plain { service: "s3", ..Plain::assume_role(EXTERNAL_ID) };
    assert_eq!(form.altered(&world, |_| {}).await, "SignatureDoesNotMatch");
}
