//! Hostile and faulty servers, by the number of the case.

use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use connector_core::ports::ObjectSource;
use connector_core::spec::Access;

use super::server::{Answer, Server};
use super::world::{
    TestClock, TestWaiting, alphabet, connect, entry, expect, keys, listing, object, part, role, spec, with_keys,
};
use crate::connection::{S3Connection, S3Settings, Wiring};

const SIZE: u64 = 100;

/// The whole object with ETag `e-1` as S3 sends it if no range is asked for.
fn whole(checksum: &[(&str, &str)], bytes: &[u8]) -> Answer {
    Answer::new("200 OK", &[&[("etag", "\"e-1\"")], checksum].concat(), bytes)
}

#[tokio::test]
async fn case_38_an_overwrite_between_two_ranges_ends_the_file_and_mixes_nothing() {
    let changed = Answer::s3_error("412 Precondition Failed", "PreconditionFailed", "At least one did not hold");
    let server = Server::sequence(vec![part(0..50, SIZE), changed]).await;
    let bucket = with_keys(&server).connection.bucket("bkt");
    let object = object("k", SIZE);
    assert_eq!(bucket.read(&object, 0..50).await.expect("the first range"), alphabet(0..50));
    expect(&bucket.read(&object, 50..100).await.expect_err("changed"), "data object_changed", &["s3://bkt/k"]);
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "not asked again");
    assert!(
        requests.iter().all(|request| request.header("if-match") == Some("\"e-1\"")),
        "each range names its version"
    );
}

#[tokio::test]
async fn case_42_an_expired_token_and_a_page_that_fails_are_errors_and_a_doubled_key_is_passed_on() {
    let expired =
        Answer::s3_error("400 Bad Request", "InvalidArgument", "The continuation token provided is incorrect");
    let server = Server::sequence(vec![listing(&[entry("a"), entry("b")], Some("t")), expired]).await;
    let bucket = with_keys(&server).connection.bucket("bkt");
    let first = bucket.list_page("", None).await.expect("the first page");
    let error = bucket.list("", first.next.as_deref(), 1000).await.expect_err("no second page");
    expect(&error, "transient s3_error", &["continuation token", "5 times"]);

    // The ledger knows a key that comes twice; here it must neither vanish nor stop the listing.
    let server =
        Server::sequence(vec![listing(&[entry("a"), entry("b")], Some("t")), listing(&[entry("b"), entry("c")], None)])
            .await;
    let bucket = with_keys(&server).connection.bucket("bkt");
    let first = bucket.list_page("", None).await.expect("lists");
    let second = bucket.list_page("", first.next.as_deref()).await.expect("lists");
    let keys: Vec<_> = first.objects.iter().chain(&second.objects).map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "b", "c"]);
}

#[tokio::test]
async fn case_45_control_characters_in_keys_survive_listing_and_reading() {
    let controls: String = (1..=31_u8).map(char::from).collect();
    let encoded: String = (1..=31_u8).map(|byte| format!("%{byte:02X}")).collect();
    let server = Server::start(move |_, request| {
        let is_list = request.target.contains("list-type");
        if is_list { listing(&[entry(&encoded)], None) } else { part(1..2, SIZE) }
    })
    .await;
    let bucket = with_keys(&server).connection.bucket("bkt");
    let page = bucket.list_page("", None).await.expect("lists");
    assert_eq!(page.objects[0].key, controls);
    bucket.read(&object(&controls, SIZE), 1..2).await.expect("reads");
    let path = server.requests()[1].target.to_uppercase();
    for byte in 1..=31_u8 {
        assert!(path.contains(&format!("%{byte:02X}")), "{byte} in {path}");
    }
    assert!(!bucket.uri(&controls).contains(char::is_control), "messages show them escaped");
}

#[tokio::test]
async fn case_47_a_403_on_a_listing_is_of_the_connection_and_never_an_empty_bucket() {
    let server = Server::sequence(vec![Answer::s3_error("403 Forbidden", "AccessDenied", "Access Denied")]).await;
    let error = with_keys(&server).connection.bucket("bkt").list("", None, 1000).await.expect_err("denied");
    expect(&error, "config access_denied", &["s3:ListBucket", "bkt", "connection events"]);
}

#[tokio::test]
async fn case_48_a_requester_pays_bucket_names_the_setting_until_it_is_set() {
    let paid = |request: &super::server::Request| request.header("x-amz-request-payer") == Some("requester");
    let server = Server::start(move |_, request| match (paid(request), request.target.contains("list-type")) {
        (false, _) => Answer::s3_error("403 Forbidden", "AccessDenied", "Access Denied"),
        (true, true) => listing(&[entry("a")], None),
        (true, false) => part(1..2, SIZE),
    })
    .await;
    let mut spec = spec(&server, Access::Static(keys("AKIASTATIC")));
    let error = connect(&spec).connection.bucket("bkt").list("", None, 1000).await.expect_err("denied");
    expect(&error, "config access_denied", &["S3_REQUEST_PAYER"]);
    spec.requester_pays = true;
    let bucket = connect(&spec).connection.bucket("bkt");
    assert_eq!(bucket.list("", None, 1000).await.expect("lists").objects.len(), 1);
    bucket.read(&object("a", SIZE), 1..2).await.expect("reads");
}

#[tokio::test]
async fn case_51_sessions_last_15_to_60_minutes_and_a_role_that_grants_less_is_explained() {
    for (wish, asked) in [(60, 900), (1_800, 1_800), (86_400, 3_600)] {
        let server = Server::start(|_, request| match request.is_sts() {
            true => Answer::session("ASIA0", "2026-03-01T13:00:00Z"),
            false => listing(&[], None),
        })
        .await;
        let settings = S3Settings { session: std::time::Duration::from_secs(wish), ..S3Settings::default() };
        let world = super::world::connect_with(&spec(&server, role()), settings);
        world.connection.bucket("bkt").list("", None, 1000).await.expect("lists");
        let body = server.requests()[0].body.clone();
        assert!(body.contains(&format!("DurationSeconds={asked}&")) || body.ends_with(&format!("={asked}")), "{body}");
    }
    for message in [
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    ] {
        let server = Server::sequence(vec![Answer::sts_error("400 Bad Request", "ValidationError", message)]).await;
        let error = connect(&spec(&server, role())).connection.bucket("bkt").list("", None, 1).await.expect_err("no");
        expect(&error, "config bad_role", &["maximum session duration to 1 hour", "DurationSeconds"]);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn case_52_a_clock_that_is_off_is_named_with_its_remedy() {
    let skewed = Answer::s3_error("403 Forbidden", "RequestTimeTooSkewed", "The difference is too large.");
    let server = Server::sequence(vec![skewed]).await;
    let bucket = with_keys(&server).connection.bucket("bkt");
    let parts = ["RequestTimeTooSkewed", "clock of this machine", "NTP"];
    expect(&bucket.list("", None, 1000).await.expect_err("skewed"), "config clock_skew", &parts);
    expect(&bucket.read(&object("k", SIZE), 1..2).await.expect_err("skewed"), "config clock_skew", &parts);
}

#[tokio::test]
async fn case_54_a_flipped_bit_is_asked_for_again_by_the_checksum_of_the_whole_object() {
    // CRC-32 of the alphabet in base64.
    let (right, good) = ([("x-amz-checksum-crc32", "TCdQvQ==")], b"abcdefghijklmnopqrstuvwxyz".to_vec());
    let mut flipped = good.clone();
    flipped[7] ^= 0x10;
    let server = Server::sequence(vec![whole(&right, &flipped), whole(&right, &flipped), whole(&right, &good)]).await;
    let world = with_keys(&server);
    let bytes = world.connection.bucket("bkt").read(&object("k", 26), 0..26).await.expect("the third attempt");
    assert_eq!((bytes, server.requests().len(), world.waiting.pauses()), (good.clone().into(), 3, 2));
    assert_eq!(server.requests()[0].header("range"), None, "S3 sends no checksum with a range");

    let server = Server::sequence(vec![whole(&right, &flipped)]).await;
    let error =
        with_keys(&server).connection.bucket("bkt").read(&object("k", 26), 0..26).await.expect_err("never right");
    expect(&error, "transient checksum_mismatch", &["crc32", "s3://bkt/k", "5 times"]);
}

#[tokio::test]
async fn case_54_a_checksum_of_checksums_is_no_error_and_the_length_still_counts() {
    let good = b"abcdefghijklmnopqrstuvwxyz";
    for composite in [
        vec![("x-amz-checksum-crc32", "AAAAAA==-3")],
        vec![("x-amz-checksum-sha256", "AAAA"), ("x-amz-checksum-type", "COMPOSITE")],
        vec![("x-amz-checksum-crc32c", "not base64!")],
    ] {
        let server = Server::sequence(vec![whole(&composite, &good[..20]), whole(&composite, good)]).await;
        let bytes = with_keys(&server).connection.bucket("bkt").read(&object("k", 26), 0..26).await.expect("reads");
        assert_eq!((bytes.as_ref(), server.requests().len()), (good.as_slice(), 2), "the short one is refused");
    }
}

#[tokio::test]
async fn case_57_compatible_servers_are_not_asked_for_checksums_and_may_list_in_any_order() {
    let etags = ["d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e-12", "a-b_c/d="];
    let entries: Vec<String> =
        ["z", "a", "m"].iter().zip(etags).map(|(key, etag)| entry(key).replace("e-1", etag)).collect();
    let server = Server::start(move |_, request| match request.target.contains("list-type") {
        true => listing(&entries, None),
        false => whole(&[], &alphabet(0..26)),
    })
    .await;
    let bucket = with_keys(&server).connection.bucket("bkt");
    let page = bucket.list_page("", None).await.expect("lists");
    let listed: Vec<_> = page.objects.iter().map(|object| (object.key.as_str(), object.etag.as_str())).collect();
    assert_eq!(listed, [("z", etags[0]), ("a", etags[1]), ("m", etags[2])]);
    bucket.read(&object("k", 26), 0..26).await.expect("reads");
    for request in server.requests() {
        assert!(request.target.starts_with("/bkt"), "path style: {}", request.target);
        assert!(!request.headers.iter().any(|(name, _)| name.contains("checksum")), "{request:?}");
    }
}

#[tokio::test]
async fn case_59_a_login_page_is_an_error_for_a_read_too() {
    let portal = "<html><body><h1>Log in to the hotel's network</h1></body></html>";
    let size = portal.len() as u64;
    let server = Server::sequence(vec![Answer::new("200 OK", &[("content-type", "text/html")], portal)]).await;
    let bucket = with_keys(&server).connection.bucket("bkt");
    // Even if it has just the length of the object.
    for range in [0..size, 1..size] {
        let error = bucket.read(&object("k", size), range).await.expect_err("no object");
        expect(&error, "transient not_s3", &["proxy or a login page", "5 times"]);
    }
}

/// Writes down what it is to send, and answers that there is no such key.
#[derive(Debug)]
struct Eavesdropper(Arc<Mutex<String>>);

impl HttpConnector for Eavesdropper {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers: Vec<(&str, &str)> = request.headers().iter().collect();
        *self.0.lock().expect("not poisoned") = format!("{} {headers:?}", request.uri());
        let missing = SdkBody::from("<Error><Code>NoSuchKey</Code></Error>");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(404.try_into().expect("a status"), missing)))
    }
}

/// The head of the one request that a read of this range makes, to AWS itself. Nothing leaves the machine.
async fn asked_of_aws(range: std::ops::Range<u64>) -> String {
    let asked = Arc::new(Mutex::new(String::new()));
    let listener = SharedHttpConnector::new(Eavesdropper(asked.clone()));
    let client = http_client_fn(move |_, _| listener.clone());
    let nobody = Server::sequence(vec![Answer::nothing()]).await;
    let mut aws = spec(&nobody, Access::Static(keys("AKIASTATIC")));
    (aws.endpoint, aws.path_style) = (None, false);
    let wiring = Wiring { http: Some(client), waiting: Arc::new(TestWaiting::default()), watch: None };
    let clock = TestClock::at("2026-03-01T12:00:00Z");
    let connection = S3Connection::wired(&aws, clock, S3Settings::default(), wiring).expect("a good spec");
    let error = connection.bucket("bkt").read(&object("k", 26), range).await.expect_err("nothing is there");
    expect(&error, "data object_gone", &[]);
    asked.lock().expect("not poisoned").clone()
}

#[tokio::test]
async fn case_54_aws_is_asked_for_the_checksum_of_a_whole_object_and_not_for_that_of_a_part() {
    let (whole, part) = (asked_of_aws(0..26).await, asked_of_aws(0..25).await);
    assert!(whole.starts_with("https://bkt.s3.eu-west-1.amazonaws.com/k"), "{whole}");
    assert!(whole.contains("(\"x-amz-checksum-mode\", \"ENABLED\")") && !whole.contains("(\"range\""), "{whole}");
    assert!(whole.contains("x-amz-checksum-mode;") || whole.contains("x-amz-checksum-mode,"), "signed: {whole}");
    assert!(!part.contains("checksum") && part.contains("(\"range\", \"bytes=0-24\")"), "{part}");
}
