//! Ranged reads: exactly these bytes of exactly this version, or an error.

use std::time::Duration;

use connector_core::object::ObjectRef;
use connector_core::ports::ObjectSource;
use connector_core::spec::Access;

use super::server::{Answer, Server};
use super::world::{alphabet, connect, expect, object, part, spec, with_keys};

const SIZE: u64 = 100;

fn tagged(status: &str, etag: &str, body: &[u8]) -> Answer {
    Answer::new(status, &[("etag", etag), ("content-range", "bytes 10-19/100")], body)
}

#[tokio::test]
async fn a_range_is_asked_for_with_its_version() {
    let server = Server::sequence(vec![part(10..20, SIZE)]).await;
    let mut paying = spec(&server, Access::Anonymous);
    paying.requester_pays = true;
    let bucket = connect(&paying).connection.bucket("bkt");
    let key = "a b+c%/é\n//..";
    let bytes = bucket.read_range(&object(key, SIZE), 10..20).await.expect("reads");
    assert_eq!(bytes, alphabet(10..20));
    let request = &server.requests()[0];
    assert_eq!(request.method, "GET");
    assert_eq!(request.header("range"), Some("bytes=10-19"));
    assert_eq!(request.header("if-match"), Some("\"e-1\""));
    assert_eq!(request.header("x-amz-request-payer"), Some("requester"));
    assert_eq!(request.header("authorization"), None);
    let path = request.target.split('?').next().expect("a path");
    assert_eq!(path, "/bkt/a%20b%2Bc%25/%C3%A9%0A//..", "the key arrives byte for byte");
}

#[tokio::test]
async fn nothing_is_asked_for_an_empty_range_and_a_wrong_range_is_a_bug() {
    let server = Server::sequence(vec![part(0..1, SIZE)]).await;
    let bucket = with_keys(&server).connection.bucket("bkt");
    assert!(bucket.read(&object("k", SIZE), 7..7).await.expect("empty").is_empty());
    let past_the_end = bucket.read(&object("k", SIZE), 90..101).await.expect_err("past the end");
    assert_eq!(past_the_end.code(), "s3_bug");
    let elsewhere = with_keys(&server).connection.bucket("other").read(&object("k", SIZE), 0..1).await;
    assert_eq!(elsewhere.expect_err("another bucket").code(), "s3_bug");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn case_53_bodies_that_break_off_or_have_the_wrong_length_are_asked_for_again() {
    let whole = part(10..20, SIZE);
    let mut reset = whole.clone();
    reset.bytes.truncate(reset.bytes.len() - 3);
    let headers = [("etag", "\"e-1\""), ("content-range", "bytes 10-19/100")];
    let flawed = vec![
        ("cut short of its content-length", reset),
        ("short without a length", Answer::raw("206 Partial Content", &headers, b"klmno")),
        ("long without a length", Answer::raw("206 Partial Content", &headers, &alphabet(10..40))),
        ("short with a length that fits", tagged("206 Partial Content", "\"e-1\"", b"klmno")),
        ("whole object instead of a range", Answer::new("200 OK", &[("etag", "\"e-1\"")], alphabet(0..SIZE))),
        ("another range", part(11..21, SIZE)),
        ("no ETag", Answer::new("206 Partial Content", &[], alphabet(10..20))),
        ("a login page", Answer::new("200 OK", &[("content-type", "text/html")], "<html>0123")),
        ("a closed connection", Answer::nothing()),
        ("busy", Answer::s3_error("503 Slow Down", "SlowDown", "Please reduce your request rate.")),
    ];
    for (name, answer) in flawed {
        let server = Server::sequence(vec![answer.clone(), answer, whole.clone()]).await;
        let world = with_keys(&server);
        let bytes = world.connection.bucket("bkt").read(&object("k", SIZE), 10..20).await.expect(name);
        assert_eq!(bytes, alphabet(10..20), "{name}");
        assert_eq!((server.requests().len(), world.waiting.pauses()), (3, 2), "{name}");
    }
}

#[tokio::test]
async fn case_53_a_body_without_end_is_cut_off_at_once() {
    let headers = [("etag", "\"e-1\""), ("content-range", "bytes 10-19/100")];
    let endless = Answer { hang: true, ..Answer::raw("206 Partial Content", &headers, &alphabet(10..40)) };
    let server = Server::sequence(vec![endless, part(10..20, SIZE)]).await;
    let world = with_keys(&server);
    // No deadline passes in this test.
    let bytes = world.connection.bucket("bkt").read(&object("k", SIZE), 10..20).await.expect("reads");
    assert_eq!((bytes, server.requests().len()), (alphabet(10..20).into(), 2));
}

#[tokio::test]
async fn case_49_attempts_are_bounded_and_waits_grow() {
    let short = Answer::raw("206 Partial Content", &[("etag", "\"e-1\"")], b"klm");
    let server = Server::sequence(vec![short]).await;
    let world = with_keys(&server);
    let error = world.connection.bucket("bkt").read(&object("k", SIZE), 10..20).await.expect_err("never whole");
    expect(&error, "transient body_cut", &["3 of 10 bytes", "5 times", "s3://bkt/k", "events"]);
    assert_eq!(server.requests().len(), 5);
    let pauses = world.waiting.pauses.lock().expect("not poisoned").clone();
    assert_eq!(pauses.len(), 4);
    for (pause, bound) in pauses.iter().zip([500, 1000, 2000, 4000]) {
        assert!(*pause <= Duration::from_millis(bound), "{pauses:?}");
    }
}

#[tokio::test]
async fn case_37_another_version_is_never_read() {
    let cases = [
        Answer::s3_error("412 Precondition Failed", "PreconditionFailed", "At least one did not hold"),
        Answer::s3_error("416 Requested Range Not Satisfiable", "InvalidRange", "Not satisfiable"),
        tagged("206 Partial Content", "\"e-2\"", &alphabet(10..20)),
        Answer::new(
            "206 Partial Content",
            &[("etag", "\"e-1\""), ("content-range", "bytes 10-19/101")],
            alphabet(10..20),
        ),
    ];
    for answer in cases {
        let server = Server::sequence(vec![answer]).await;
        let world = with_keys(&server);
        let error = world.connection.bucket("bkt").read(&object("k", SIZE), 10..20).await.expect_err("changed");
        expect(&error, "data object_changed", &["s3://bkt/k", "next scan"]);
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn case_57_a_version_is_the_same_whether_its_etag_is_shown_as_weak_or_not() {
    for (listed, sent) in [("e-1", "W/\"e-1\""), ("W/\"e-1\"", "\"e-1\""), ("W/\"e-1\"", "W/\"e-1\"")] {
        let server = Server::sequence(vec![tagged("206 Partial Content", sent, &alphabet(10..20))]).await;
        let object = ObjectRef { etag: listed.into(), ..object("k", SIZE) };
        let bytes = with_keys(&server).connection.bucket("bkt").read(&object, 10..20).await.expect(sent);
        assert_eq!(bytes, alphabet(10..20));
        assert_eq!(server.requests()[0].header("if-match"), Some("\"e-1\""), "{listed} {sent}");
    }
}

#[tokio::test]
async fn case_47_what_is_wrong_with_one_object_is_said_of_that_object() {
    let cases = [
        ("404 Not Found", "NoSuchKey", "data object_gone", "gone"),
        ("403 Forbidden", "AccessDenied", "data access_denied", "s3:GetObject"),
        ("403 Forbidden", "InvalidObjectState", "data archived", "restore"),
        ("400 Bad Request", "KMS.DisabledException", "data kms_denied", "see in KMS that the KMS key of the object"),
        ("404 Not Found", "NoSuchBucket", "config no_such_bucket", "bkt"),
    ];
    for (status, code, expected, part) in cases {
        let server = Server::sequence(vec![Answer::s3_error(status, code, "Sorry.")]).await;
        let bucket = with_keys(&server).connection.bucket("bkt");
        let error = bucket.read(&object("dir/k\u{1b}[2J.csv", SIZE), 10..20).await.expect_err(code);
        expect(&error, expected, &[part]);
        assert!(!error.to_string().contains('\u{1b}'), "escape sequences do not reach a terminal");
        assert_eq!(server.requests().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn case_55_a_body_that_trickles_is_given_up_at_the_deadline() {
    let mut stalled = part(10..20, SIZE);
    stalled.bytes.truncate(stalled.bytes.len() - 3);
    stalled.hang = true;
    let server = Server::sequence(vec![stalled, part(10..20, SIZE)]).await;
    let world = with_keys(&server);
    let bucket = world.connection.bucket("bkt");
    let (hanging, time_is_up) = (server.hanging.clone(), world.waiting.time_is_up.clone());
    let object = object("k", SIZE);
    let read = bucket.read(&object, 10..20);
    let pass_time = async {
        hanging.notified().await;
        time_is_up.notify_one();
    };
    let (bytes, ()) = tokio::join!(read, pass_time);
    assert_eq!(bytes.expect("the second attempt"), alphabet(10..20));
    assert_eq!(world.waiting.limits.lock().expect("not poisoned")[0], Duration::from_secs(60));
    assert_eq!(server.requests().len(), 2);
}
