//! Roles: assumed once, renewed in time, and the only way to the bucket.

use std::sync::Arc;

use connector_core::spec::{Access, Caller, StaticKeys};
use tokio::sync::Notify;

use super::server::{Answer, Request, Server};
use super::world::{CANARY, ROLE, World, connect, entry, expect, keys, listing, object, part, role, spec};
use crate::error::S3Error;

async fn list(world: &World) -> Result<usize, S3Error> {
    world.connection.bucket("bkt").list("", None, 1000).await.map(|page| page.objects.len())
}

fn sts_calls(server: &Server) -> Vec<Request> {
    server.requests().into_iter().filter(Request::is_sts).collect()
}

/// Sessions `ASIA0`, `ASIA1`, … that expire at the given times (the last one again and again), and a bucket with one
/// key.
async fn cloud(expirations: &'static [&'static str]) -> Server {
    let handed_out = std::sync::atomic::AtomicUsize::new(0);
    Server::start(move |_, request| {
        if !request.is_sts() {
            return listing(&[entry("a")], None);
        }
        let n = handed_out.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Answer::session(&format!("ASIA{n}"), expirations[n.min(expirations.len() - 1)])
    })
    .await
}

#[tokio::test]
async fn the_role_is_assumed_and_only_its_credentials_reach_the_bucket() {
    let server = cloud(&["2026-03-01T13:00:00Z"]).await;
    let mut spec = spec(&server, role());
    spec.name = "events of/é".to_owned();
    spec.requester_pays = true;
    let world = connect(&spec);
    for _ in 0..3 {
        assert_eq!(list(&world).await, Ok(1));
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 4, "assumed once: {requests:?}");
    let sts = &requests[0];
    for field in [
        "Action=AssumeRole",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Freader",
        "RoleSessionName=s3-connector-events-of--",
        "DurationSeconds=3600",
        "ExternalId=external-1",
    ] {
        assert!(sts.body.contains(field), "{field} in {}", sts.body);
    }
    assert!(sts.header("authorization").is_some_and(|value| value.contains("AKIACALLER")));
    assert_eq!(sts.header("x-amz-request-payer"), None);
    for request in &requests[1..] {
        assert!(request.header("authorization").is_some_and(|value| value.contains("ASIA0/")), "{request:?}");
        assert_eq!(request.header("x-amz-security-token"), Some("ASIA0-token-canary"));
        assert_eq!(request.header("x-amz-request-payer"), Some("requester"));
        assert!(!format!("{request:?}").contains("AKIACALLER"), "the caller's key is for STS alone");
    }
}

#[tokio::test]
async fn case_50_sessions_are_renewed_minutes_before_they_expire() {
    let server = cloud(&["2026-03-01T13:00:00Z", "2026-03-01T13:54:00Z", "2026-03-01T14:47:00Z"]).await;
    let world = connect(&spec(&server, role()));
    for (time, calls) in [("12:00", 1), ("12:52", 1), ("12:54", 2), ("13:46", 2), ("13:48", 3)] {
        world.clock.set(&format!("2026-03-01T{time}:00Z"));
        assert_eq!(list(&world).await, Ok(1), "at {time}");
        assert_eq!(sts_calls(&server).len(), calls, "at {time}");
    }
    let last = server.requests().pop().expect("a listing");
    assert_eq!(last.header("x-amz-security-token"), Some("ASIA2-token-canary"));
}

#[tokio::test]
async fn short_sessions_are_renewed_halfway_and_not_at_every_call() {
    let server = cloud(&["2026-03-01T12:02:00Z", "2026-03-01T12:03:30Z"]).await;
    let world = connect(&spec(&server, role()));
    for (time, calls) in [("12:00:00", 1), ("12:00:59", 1), ("12:01:30", 2), ("12:02:00", 2)] {
        world.clock.set(&format!("2026-03-01T{time}Z"));
        assert_eq!(list(&world).await, Ok(1));
        assert_eq!(sts_calls(&server).len(), calls, "at {time}");
    }
}

#[tokio::test]
async fn a_clock_that_is_behind_does_not_stretch_a_session() {
    // Seen from here, the session would live for two hours.
    let server = cloud(&["2026-03-01T14:00:00Z"]).await;
    let world = connect(&spec(&server, role()));
    for (time, calls) in [("12:00", 1), ("12:52", 1), ("12:54", 2)] {
        world.clock.set(&format!("2026-03-01T{time}:00Z"));
        assert_eq!(list(&world).await, Ok(1));
        assert_eq!(sts_calls(&server).len(), calls, "at {time}");
    }
}

#[tokio::test]
async fn many_calls_at_once_assume_the_role_once() {
    let server = cloud(&["2026-03-01T13:00:00Z"]).await;
    let world = connect(&spec(&server, role()));
    let results = futures::future::join_all((0..20).map(|_| list(&world))).await;
    assert!(results.iter().all(|result| *result == Ok(1)), "{results:?}");
    assert_eq!(sts_calls(&server).len(), 1);
}

#[tokio::test]
async fn many_calls_at_once_share_one_refusal() {
    let server = Server::start(|_, _| Answer::sts_error("403 Forbidden", "AccessDenied", "no")).await;
    let world = connect(&spec(&server, role()));
    let results = futures::future::join_all((0..20).map(|_| list(&world))).await;
    assert!(results.iter().all(|result| result.as_ref().is_err_and(|e| e.code() == "assume_role_denied")));
    assert_eq!(server.requests().len(), 1);
    // The next call asks again: the trust policy may have been mended.
    assert!(list(&world).await.is_err());
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn case_50_while_a_renewal_fails_the_old_session_is_used_as_long_as_it_lasts() {
    let server = Server::start(|n, request| match (request.is_sts(), n) {
        (true, 0) => Answer::session("ASIA0", "2026-03-01T13:00:00Z"),
        (true, _) => Answer::sts_error("403 Forbidden", "AccessDenied", "not any more"),
        (false, _) => listing(&[entry("a")], None),
    })
    .await;
    let world = connect(&spec(&server, role()));
    for (time, works, calls) in [
        ("12:00:00", true, 1),
        ("12:55:00", true, 2),
        ("12:55:10", true, 2),
        ("12:55:31", true, 3),
        ("13:00:00", false, 4),
    ] {
        world.clock.set(&format!("2026-03-01T{time}Z"));
        assert_eq!(list(&world).await.is_ok(), works, "at {time}");
        assert_eq!(sts_calls(&server).len(), calls, "at {time}");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_renewal_while_the_old_session_is_good() {
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    let server = Server::start(move |n, request| match (request.is_sts(), n) {
        (true, 0) => Answer::session("ASIA0", "2026-03-01T13:00:00Z"),
        (true, _) => Answer { wait_for: Some(held.clone()), ..Answer::session("ASIA1", "2026-03-01T13:50:00Z") },
        (false, _) => listing(&[entry("a")], None),
    })
    .await;
    let world = connect(&spec(&server, role()));
    assert_eq!(list(&world).await, Ok(1));
    world.clock.set("2026-03-01T12:55:00Z");
    let renewing = list(&world);
    let beside = async {
        server.hanging.notified().await;
        assert_eq!(list(&world).await, Ok(1), "answered with the old session");
        gate.notify_one();
    };
    let (result, ()) = tokio::join!(renewing, beside);
    assert_eq!(result, Ok(1));
    assert_eq!(sts_calls(&server).len(), 2);
}

#[tokio::test]
async fn case_50_a_token_that_expires_early_is_replaced_in_listing_and_reading() {
    let handed_out = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_, request| {
        if request.is_sts() {
            let n = handed_out.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            return Answer::session(&format!("ASIA{n}"), "2026-03-01T13:00:00Z");
        }
        let read = !request.target.contains("list-type");
        match request.header("x-amz-security-token") {
            Some("ASIA0-token-canary") => Answer::s3_error("400 Bad Request", "ExpiredToken", "ASIA0-token-canary"),
            Some("ASIA1-token-canary") if read => Answer::s3_error("403 Forbidden", "InvalidToken", "No."),
            _ if read => part(0..10, 10),
            _ => listing(&[entry("a")], None),
        }
    })
    .await;
    let world = connect(&spec(&server, role()));
    assert_eq!(list(&world).await, Ok(1));
    assert_eq!(sts_calls(&server).len(), 2);
    let bytes = world.connection.bucket("bkt").read(&object("k", 10), 0..10).await.expect("reads");
    assert_eq!(bytes.len(), 10);
    assert_eq!(sts_calls(&server).len(), 3);
}

#[tokio::test]
async fn case_50_a_token_that_always_expires_is_transient_and_bounded() {
    let server = Server::start(|_, request| {
        if request.is_sts() {
            Answer::session("ASIA0", "2026-03-01T13:00:00Z")
        } else {
            Answer::s3_error("400 Bad Request", "ExpiredToken", "ASIA0-token-canary")
        }
    })
    .await;
    let world = connect(&spec(&server, role()));
    expect(&list(&world).await.expect_err("never"), "transient expired_token", &["ExpiredToken", "5 times"]);
    assert_eq!((sts_calls(&server).len(), server.requests().len()), (5, 10));
}

#[tokio::test]
async fn case_50_refusals_of_the_role_name_their_remedy() {
    let denied = "User: arn:aws:iam::999988887777:user/x is not authorized to perform: sts:AssumeRole on resource: r";
    let signature = "The canonical string should have been 'x-amz-security-token:caller-token-canary'";
    let cases = [
        ("403 Forbidden", "AccessDenied", denied, "config assume_role_denied", "trust policy", 1),
        ("403 Forbidden", "AccessDenied", denied, "config assume_role_denied", "S3_EXTERNAL_ID", 1),
        ("403 Forbidden", "AccessDenied", denied, "config assume_role_denied", "999988887777:user/x", 1),
        ("403 Forbidden", "InvalidClientTokenId", "The token is invalid", "config bad_credentials", "AKIACALLER", 1),
        ("403 Forbidden", "SignatureDoesNotMatch", signature, "config bad_credentials", "secret", 1),
        ("403 Forbidden", "ExpiredToken", "caller-token-canary", "config expired_credentials", "session token", 1),
        ("400 Bad Request", "ValidationError", "caller-token-canary is bad", "config bad_role", "S3_ARN", 1),
        ("403 Forbidden", "RegionDisabledException", "not here", "config bad_role", "S3_REGION", 1),
        ("403 Forbidden", "SignatureDoesNotMatch", "Signature expired: 2026", "config clock_skew", "NTP", 2),
        ("400 Bad Request", "Throttling", "Rate exceeded", "transient throttled", "5 times", 5),
        ("500 Oh", "InternalFailure", "Sorry", "transient server_error", ROLE, 5),
    ];
    for (status, code, message, expected, part, calls) in cases {
        let server = Server::sequence(vec![Answer::sts_error(status, code, message)]).await;
        let token = connector_core::secret::Secret::new(format!("caller-token-{CANARY}"));
        let caller = Caller::Static(StaticKeys { session_token: Some(token), ..keys("AKIACALLER") });
        let access = Access::Role { arn: ROLE.to_owned(), external_id: "wrong".to_owned(), caller };
        let world = connect(&spec(&server, access));
        expect(&list(&world).await.expect_err(code), expected, &[part, "connection events"]);
        assert_eq!(server.requests().len(), calls, "{code}: and S3 is never asked");
        assert!(server.requests().iter().all(Request::is_sts), "no way round the role");
    }
}

#[tokio::test]
async fn sts_answers_that_are_none_are_refused() {
    let no_credentials = "<AssumeRoleResponse><AssumeRoleResult></AssumeRoleResult></AssumeRoleResponse>";
    for answer in [
        Answer::new("200 OK", &[("content-type", "text/html")], "<html>log in</html>"),
        Answer::xml("200 OK", &[], no_credentials),
        Answer::session("", "2026-03-01T13:00:00Z"),
    ] {
        let server = Server::sequence(vec![answer]).await;
        let world = connect(&spec(&server, role()));
        expect(&list(&world).await.expect_err("no session"), "transient not_s3", &["5 times", ROLE]);
    }
    let server = cloud(&["2026-03-01T12:00:00Z"]).await;
    let error = list(&connect(&spec(&server, role()))).await.expect_err("expired at birth");
    expect(&error, "config clock_skew", &["already expired"]);
}

/// Set in the child processes of the test below.
const CHAIN_CHILD: &str = "CONNECTOR_S3_TEST_CHAIN";

/// The chain reads the environment of the process, so each case is a process of its own: this test binary again.
#[test]
fn the_default_chain_is_asked_once_and_an_empty_one_is_a_config_error() {
    let me = std::env::current_exe().expect("a test binary");
    for case in ["keys", "role", "nothing"] {
        let mut child = std::process::Command::new(&me);
        child.args(["--exact", "tests::identity::in_a_process_with_its_own_environment"]);
        child.env_clear().env(CHAIN_CHILD, case).env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
        if case != "nothing" {
            child.env("AWS_ACCESS_KEY_ID", "AKIACHAIN").env("AWS_SECRET_ACCESS_KEY", format!("chain-{CANARY}"));
        }
        let output = child.output().expect("runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{case}: {text}");
    }
}

#[tokio::test]
async fn in_a_process_with_its_own_environment() {
    let Ok(case) = std::env::var(CHAIN_CHILD) else { return };
    let server = cloud(&["2026-03-01T13:00:00Z"]).await;
    let chain = Access::Role { arn: ROLE.to_owned(), external_id: "x".to_owned(), caller: Caller::DefaultChain };
    let access = if case == "role" { chain } else { Access::DefaultChain };
    let world = connect(&spec(&server, access));
    if case == "nothing" {
        let error = list(&world).await.expect_err("no credentials anywhere");
        expect(&error, "config no_credentials", &["default AWS chain", "[aws]"]);
        assert!(server.requests().is_empty());
        return;
    }
    assert_eq!(list(&world).await, Ok(1));
    let requests = server.requests();
    assert_eq!(requests.len(), if case == "role" { 2 } else { 1 });
    assert!(requests[0].header("authorization").is_some_and(|value| value.contains("AKIACHAIN")));
}
