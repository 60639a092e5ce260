//! Refusals: each becomes an error that says what to change.

use connector_core::error::Failure;
use connector_core::spec::{Access, StaticKeys};

use super::server::{Answer, Server};
use super::world::{CANARY, World, connect, entry, expect, keys, listing, object, part, spec, with_keys};
use crate::connection::{S3Connection, S3Settings};
use crate::error::S3Error;

async fn listing_error(world: &World) -> S3Error {
    world.connection.bucket("bkt").list("in/", None, 1000).await.expect_err("refused")
}

#[tokio::test]
async fn refusals_of_a_listing_name_their_remedy() {
    let cases = [
        ("404 Not Found", "NoSuchBucket", "config no_such_bucket", "IMPORT_BUCKET_URI"),
        ("403 Forbidden", "AccessDenied", "config access_denied", "s3:ListBucket on arn:aws:s3:::bkt"),
        ("403 Forbidden", "AllAccessDisabled", "config access_denied", "S3_REQUEST_PAYER"),
        ("403 Forbidden", "InvalidAccessKeyId", "config bad_credentials", "AKIASTATIC"),
        ("403 Forbidden", "SignatureDoesNotMatch", "config bad_credentials", "secret"),
        ("400 Bad Request", "ExpiredToken", "config expired_credentials", "session token"),
        ("400 Bad Request", "InvalidBucketName", "config bad_connection", "not a bucket name"),
    ];
    for (status, code, expected, part) in cases {
        // Servers have been seen to repeat what they were sent.
        let message = format!("Sorry about AKIASTATIC-secret-{CANARY}.");
        let server = Server::sequence(vec![Answer::s3_error(status, code, &message)]).await;
        let world = with_keys(&server);
        expect(&listing_error(&world).await, expected, &[part, "connection events"]);
        assert_eq!((server.requests().len(), world.waiting.pauses()), (1, 0), "{code} is not tried again");
    }
}

#[tokio::test]
async fn case_56_a_bucket_in_another_region_is_named_and_never_followed() {
    let elsewhere = Server::sequence(vec![listing(&[entry("a")], None)]).await;
    let location = format!("{}/bkt", elsewhere.url);
    let moved = [("x-amz-bucket-region", "us-west-2"), ("location", location.as_str())];
    let in_body = "<Region>us-west-2</Region>";
    let cases = [
        Answer::s3_error_with("301 Moved Permanently", &moved, "PermanentRedirect", "Use the endpoint.", ""),
        Answer::s3_error_with(
            "400 Bad Request",
            &[],
            "AuthorizationHeaderMalformed",
            "the region 'eu-west-1' is wrong; expecting 'us-west-2'",
            in_body,
        ),
        Answer::s3_error_with("307 Temporary Redirect", &moved, "TemporaryRedirect", "Elsewhere.", ""),
    ];
    for answer in cases {
        let server = Server::sequence(vec![answer.clone()]).await;
        let world = with_keys(&server);
        let parts = ["not in region eu-west-1 but in us-west-2", "S3_REGION", "bucket bkt"];
        expect(&listing_error(&world).await, "config wrong_region", &parts);
        let reading = world.connection.bucket("bkt").read(&object("k", 10), 0..10).await.expect_err("elsewhere");
        expect(&reading, "config wrong_region", &parts);
        assert_eq!(server.requests().len(), 2);
    }

    let nameless = [
        Answer::s3_error("400 Bad Request", "IllegalLocationConstraintException", "Wrong."),
        Answer::new("301 Moved Permanently", &[("location", location.as_str())], ""),
    ];
    for answer in nameless {
        let server = Server::sequence(vec![answer]).await;
        expect(&listing_error(&with_keys(&server)).await, "config wrong_region", &["not in region eu-west-1; set"]);
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn case_49_what_may_pass_is_tried_again_and_then_works() {
    let cases = [
        Answer::s3_error("503 Slow Down", "SlowDown", "Please reduce your request rate."),
        Answer::s3_error("500 Internal Server Error", "InternalError", "We encountered an internal error."),
        Answer::new("429 Too Many Requests", &[], "slower"),
        Answer::new("502 Bad Gateway", &[("content-type", "text/html")], "<html>bad gateway</html>"),
        Answer::s3_error("400 Bad Request", "RequestTimeout", "Idle."),
        Answer::s3_error("403 Forbidden", "RequestTimeTooSkewed", "The difference is too large."),
    ];
    for answer in cases {
        let server = Server::sequence(vec![answer, listing(&[entry("a")], None)]).await;
        let world = with_keys(&server);
        let page = world.connection.bucket("bkt").list("", None, 1000).await.expect("the second attempt");
        assert_eq!((page.objects.len(), world.waiting.pauses()), (1, 1));
    }
}

#[tokio::test]
async fn case_49_what_does_not_pass_ends_with_its_code() {
    let cases = [
        (Answer::s3_error("503 Slow Down", "SlowDown", "Slow."), "transient throttled", "SlowDown", 5),
        (Answer::new("500 Oh", &[], ""), "transient server_error", "HTTP status 500", 5),
        (Answer::s3_error("418 Teapot", "Teapot", "Short and stout."), "transient s3_error", "Teapot: Short and", 5),
        (Answer::nothing(), "transient unreachable", "S3_ENDPOINT", 5),
        (Answer::s3_error("403 No", "RequestTimeTooSkewed", "Clock."), "config clock_skew", "NTP", 2),
    ];
    for (answer, expected, part, requests) in cases {
        let server = Server::sequence(vec![answer]).await;
        expect(&listing_error(&with_keys(&server)).await, expected, &[part]);
        assert_eq!(server.requests().len(), requests, "{expected}");
    }
}

#[tokio::test]
async fn nobody_listening_is_transient() {
    let server = Server::sequence(vec![listing(&[], None)]).await;
    let mut nobody = spec(&server, Access::Anonymous);
    // Port 1 of the loopback interface: refused at once.
    nobody.endpoint = Some("http://127.0.0.1:1".to_owned());
    let error = listing_error(&connect(&nobody)).await;
    expect(&error, "transient unreachable", &["check network", "5 times"]);
    let failure = Failure::from(error.clone());
    assert_eq!((failure.class, failure.code, failure.message), (error.class(), error.code(), error.to_string()));
}

#[tokio::test]
async fn case_55_an_attempt_without_an_answer_times_out() {
    let silent = Answer { hang: true, ..Answer::default() };
    let server = Server::sequence(vec![silent]).await;
    let world = with_keys(&server);
    let bucket = world.connection.bucket("bkt");
    let (hanging, time_is_up) = (server.hanging.clone(), world.waiting.time_is_up.clone());
    let pass_time = async {
        for _ in 0..5 {
            hanging.notified().await;
            time_is_up.notify_one();
        }
    };
    let object = object("k", 10);
    let (result, ()) = tokio::join!(bucket.read(&object, 0..10), pass_time);
    expect(&result.expect_err("silence"), "transient timeout", &["within 60 s"]);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_without_io() {
    let server = Server::sequence(vec![part(0..1, 1)]).await;
    let good = spec(&server, Access::Static(keys("AKIASTATIC")));
    let clock = || std::sync::Arc::new(connector_core::clock::SystemClock);
    let refused = |change: &dyn Fn(&mut connector_core::spec::ConnectionSpec)| {
        let mut spec = good.clone();
        change(&mut spec);
        S3Connection::new(&spec, clock(), S3Settings::default()).expect_err("cannot work")
    };
    let password = format!("https://user:{CANARY}@host");
    let cases = [
        (refused(&|spec| spec.region = String::new()), "S3_REGION"),
        (refused(&|spec| spec.region = "eu west/1".to_owned()), "S3_REGION"),
        (refused(&|spec| spec.endpoint = Some(password.clone())), "S3_ENDPOINT"),
        (refused(&|spec| spec.endpoint = Some("localhost:9000".to_owned())), "S3_ENDPOINT"),
        (refused(&|spec| spec.sts_endpoint = Some("ftp://host".to_owned())), "sts_endpoint"),
    ];
    for (error, part) in cases {
        expect(&error, "config bad_connection", &[part, "connection events"]);
    }
    let connection = S3Connection::new(&good, clock(), S3Settings::default()).expect("works");
    let shown = format!("{connection:?} {:?}", connection.bucket("bkt"));
    assert!(shown.contains("AKIASTATIC") && !shown.contains(CANARY), "{shown}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn static_session_tokens_are_sent_and_not_shown() {
    let token = connector_core::secret::Secret::new(format!("token-{CANARY}"));
    let with_token = StaticKeys { session_token: Some(token), ..keys("ASIASTATIC") };
    let message = format!("token-{CANARY} is no good");
    let server = Server::sequence(vec![Answer::s3_error("403 Forbidden", "AccessDenied", &message)]).await;
    let world = connect(&spec(&server, Access::Static(with_token)));
    expect(&listing_error(&world).await, "config access_denied", &["*** is no good"]);
    assert_eq!(server.requests()[0].header("x-amz-security-token"), Some(format!("token-{CANARY}").as_str()));
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_no_network_trouble() {
    let server = Server::sequence(vec![listing(&[], None)]).await;
    let world = with_keys(&server);
    let error = world.connection.bucket("arn:aws:s3:x").list("", None, 1000).await.expect_err("no bucket name");
    expect(&error, "config bad_connection", &["arn:aws:s3:x", "S3_ENDPOINT"]);
    assert_eq!((server.requests().len(), world.waiting.pauses()), (0, 0));
}
