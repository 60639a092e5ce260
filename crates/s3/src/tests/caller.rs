//! Who the caller is.

use std::sync::Arc;

use aws_smithy_http_client::Builder;
use connector_core::spec::Caller;

use super::server::{Answer, Server};
use super::world::{TestClock, TestWaiting, expect, keys};
use crate::caller::{Identity, ask};
use crate::connection::Wiring;
use crate::error::S3Error;

async fn caller_of(server: &Server) -> Result<Identity, S3Error> {
    let wiring = Wiring { http: Some(Builder::new().build_http()), waiting: Arc::new(TestWaiting::default()) };
    let clock = TestClock::at("2026-03-01T12:00:00Z");
    ask(&Caller::Static(keys("AKIACALLER")), "eu-west-1", Some(&server.url), "being created", clock, wiring).await
}

fn identity(account: &str, arn: &str) -> Answer {
    let body = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>{arn}</Arn><UserId>AIDAX</UserId><Account>{account}</Account></GetCallerIdentityResult>\
         </GetCallerIdentityResponse>"
    );
    Answer::xml("200 OK", &[], &body)
}

const ARN: &str = "arn:aws:iam::111122223333:user/me";

#[tokio::test]
async fn sts_tells_account_and_arn_of_the_caller() {
    let server = Server::sequence(vec![identity("111122223333", ARN)]).await;
    let expected = Identity { account: "111122223333".into(), arn: ARN.into(), user: "AIDAX".into() };
    assert_eq!(caller_of(&server).await, Ok(expected));
    let requests = server.requests();
    assert!(requests[0].body.contains("Action=GetCallerIdentity"), "{requests:?}");
    assert!(requests[0].header("authorization").is_some_and(|value| value.contains("AKIACALLER")));
}

#[tokio::test]
async fn refusals_of_the_caller_say_what_to_change() {
    for (answer, class_and_code, part, requests) in [
        (Answer::sts_error("403 Forbidden", "InvalidClientTokenId", "no"), "config bad_credentials", "AKIACALLER", 1),
        (
            Answer::sts_error("403 Forbidden", "SignatureDoesNotMatch", "Signature expired: now it is late"),
            "config clock_skew",
            "clock",
            2,
        ),
        (Answer::sts_error("503 Service Unavailable", "ServiceUnavailable", ""), "transient throttled", "2 times", 2),
        (identity("", ""), "transient not_s3", "sts_endpoint", 2),
    ] {
        let server = Server::sequence(vec![answer]).await;
        let error = caller_of(&server).await.expect_err(class_and_code);
        expect(&error, class_and_code, &["connection being created", part]);
        assert_eq!(server.requests().len(), requests, "{class_and_code}");
    }
}
