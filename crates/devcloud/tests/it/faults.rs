//! Faults, each as a client meets it, and that everything is as it was once they are over.

use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::ChecksumMode;
use connector_devcloud::{Fault, Faults, Operation, Refusal, Rule, When};

use crate::support::{BUCKET, READER, World, refusal, says};

const TEXT: &str = "0123456789abcdef";

fn always(operation: Operation, fault: Fault) -> Rule {
    Rule::on(operation, When::Always, fault)
}

async fn get(s3: &Client) -> Result<GetObjectOutput, String> {
    let sent = s3.get_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled).send().await;
    sent.map_err(|error| format!("{error:?}"))
}

/// The whole body, or how it ended.
async fn body(got: GetObjectOutput) -> Result<String, String> {
    let bytes = got.body.collect().await.map_err(|error| format!("{error:?}"))?;
    Ok(String::from_utf8_lossy(&bytes.to_vec()).into_owned())
}

#[tokio::test]
async fn refusals_have_their_status_and_code_and_leave_everything_undone() {
    let world = World::open().await;
    let s3 = world.s3();
    for (refusing, status, code) in [
        (Refusal::InternalError, 500, "InternalError"),
        (Refusal::SlowDown, 503, "SlowDown"),
        (Refusal::TooManyRequests, 429, "TooManyRequests"),
        (Refusal::AccessDenied, 403, "AccessDenied"),
        (Refusal::ExpiredToken, 400, "ExpiredToken"),
        (Refusal::PreconditionFailed, 412, "PreconditionFailed"),
        (Refusal::Conflict, 409, "ConditionalRequestConflict"),
        (Refusal::Moved, 301, "PermanentRedirect"),
        (Refusal::ClockSkew, 403, "RequestTimeTooSkewed"),
    ] {
        world.plan([always(Operation::Put, Fault::Refuse(refusing))]);
        let put = s3.put_object().bucket(BUCKET).key("k").body(b"x".to_vec().into()).send().await;
        assert_eq!(refusal(put), says(status, code));
    }
    assert!(!world.path("k").exists());
    assert_eq!(world.cloud.faults().counts().values().sum::<u64>(), 9);
}

#[tokio::test]
async fn scripted_faults_hit_the_request_they_name_and_no_other() {
    let world = World::open().await;
    let s3 = world.s3();
    ["a.csv", "b.csv"].iter().for_each(|key| world.drop_in(key, TEXT));
    world.plan([Rule::on(Operation::Get, When::Nth(2), Fault::Refuse(Refusal::SlowDown)).key("*a.csv")]);
    let mut outcomes = Vec::new();
    for key in ["a.csv", "b.csv", "a.csv", "a.csv"] {
        outcomes.push(s3.get_object().bucket(BUCKET).key(key).send().await.is_ok());
    }
    assert_eq!(outcomes, [true, true, false, true]);
    assert_eq!((world.count("slow_down"), world.cloud.faults().requests()), (1, 4));
}

#[tokio::test]
async fn bodies_are_cut_and_have_the_wrong_length() {
    let world = World::open().await;
    let s3 = world.s3();
    world.drop_in("k", TEXT);
    for (fault, announced, got) in [
        (Fault::Cut { after: 0 }, 16, None),
        (Fault::Cut { after: 5 }, 16, None),
        (Fault::TooLittle { by: 9 }, 25, None),
        (Fault::TooMuch { by: 4 }, 20, Some("0123456789abcdef####")),
        (Fault::Truncated { by: 6 }, 10, Some("0123456789")),
        // No more bytes than that: nothing to cut.
        (Fault::Cut { after: 16 }, 16, Some(TEXT)),
    ] {
        world.plan([always(Operation::Get, fault.clone())]);
        let answer = get(&s3).await.unwrap();
        assert_eq!(answer.content_length(), Some(announced), "{fault:?}");
        match (body(answer).await, got) {
            (Ok(bytes), Some(expected)) => assert_eq!(bytes, expected, "{fault:?}"),
            (Err(_), None) => {}
            (result, _) => panic!("{fault:?}: {result:?}"),
        }
    }
    assert_eq!((world.count("cut"), world.count("too_little")), (2, 1));
    world.cloud.faults().clear();
    assert_eq!(body(get(&s3).await.unwrap()).await.unwrap(), TEXT);
}

#[tokio::test]
async fn the_sdk_notices_a_wrong_checksum_and_a_flipped_bit_and_parts_have_none() {
    let world = World::open().await;
    let s3 = world.s3();
    world.drop_in("k", TEXT);
    for fault in [Fault::WrongChecksum, Fault::FlippedBit] {
        world.plan([always(Operation::Get, fault)]);
        let whole = body(get(&s3).await.unwrap()).await.unwrap_err();
        assert!(whole.to_lowercase().contains("checksum"), "{whole}");
        let part = s3.get_object().bucket(BUCKET).key("k").range("bytes=0-3").send().await.unwrap();
        assert_eq!(part.checksum_crc32(), None);
        assert_eq!(body(part).await.unwrap(), "0123");
    }
    // Nobody looks: exactly one bit is another one.
    let unchecked = s3.get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert!(unchecked.checksum_crc32().is_some());
    assert_eq!((world.count("wrong_checksum"), world.count("flipped_bit")), (1, 2));
}

#[tokio::test]
async fn listings_are_stale_loop_and_lose_their_token() {
    let world = World::open().await;
    let s3 = world.s3();
    let stale = Rule::on(Operation::List, When::Nth(3), Fault::StaleList);
    world.plan([stale]);
    let keys = || async {
        let page = s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
        page.contents().iter().map(|object| object.key().unwrap().to_owned()).collect::<Vec<_>>()
    };
    world.drop_in("a", "");
    assert_eq!(keys().await, ["a"]);
    world.drop_in("b", "");
    assert_eq!(keys().await, ["a", "b"]);
    assert_eq!(keys().await, ["a"], "as it was at first");
    assert_eq!(keys().await, ["a", "b"]);

    let rules = vec![
        Rule::on(Operation::List, When::Nth(2), Fault::RepeatedToken),
        Rule::on(Operation::List, When::Nth(3), Fault::ExpiredPage),
    ];
    world.drop_in("c", "");
    world.cloud.faults().set(Faults { page: Some(1), rules, ..Faults::seeded(1) });
    let first = s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    assert_eq!(first.contents().len(), 1, "pages are small");
    let token = first.next_continuation_token().unwrap();
    let next = || s3.list_objects_v2().bucket(BUCKET).continuation_token(token).send();
    assert_eq!(next().await.unwrap().next_continuation_token(), Some(token));
    assert_eq!(refusal(next().await), says(400, "InvalidArgument"));
    assert_eq!(next().await.unwrap().contents()[0].key(), Some("b"));
    assert_eq!((world.count("stale_list"), world.count("repeated_token"), world.count("expired_page")), (1, 1, 1));
}

#[tokio::test]
async fn slow_bodies_arrive_whole_in_the_end() {
    let world = World::open().await;
    let s3 = world.s3();
    world.drop_in("k", TEXT);
    let interval = Duration::from_millis(5);
    for fault in [Fault::Trickle { bytes: 10, interval }, Fault::Stall { pause: 10 * interval }] {
        world.plan([always(Operation::Get, fault)]);
        let begun = Instant::now();
        assert_eq!(body(get(&s3).await.unwrap()).await.unwrap(), TEXT);
        assert!(begun.elapsed() >= 10 * interval);
    }
    assert_eq!((world.count("trickle"), world.count("stall")), (1, 1));
}

#[tokio::test]
async fn a_login_page_comes_as_a_success() {
    let world = World::open().await;
    world.drop_in("k", TEXT);
    world.plan([Rule { operations: Vec::new(), key: None, when: When::Always, fault: Fault::Html }]);
    let got = world.s3().get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!((got.e_tag(), got.content_type()), (None, Some("text/html")));
    assert!(body(got).await.unwrap().contains("Log in"));
}

#[tokio::test]
async fn a_put_can_land_although_it_is_said_to_have_failed() {
    let world = World::open().await;
    let s3 = world.s3();
    for (key, fault) in [("a", Fault::ApplyThenFail(Some(Refusal::InternalError))), ("b", Fault::ApplyThenFail(None))] {
        world.plan([always(Operation::Put, fault)]);
        let put = || s3.put_object().bucket(BUCKET).key(key).if_none_match("*").body(b"x".to_vec().into()).send();
        assert!(put().await.is_err());
        assert_eq!(std::fs::read(world.path(key)).unwrap(), b"x");
        // What fails by itself is not said to have failed otherwise.
        assert_eq!(refusal(put().await), says(412, "PreconditionFailed"));
    }
    assert_eq!(world.count("apply_then_fail"), 2);
}

#[tokio::test]
async fn a_store_may_ignore_if_none_match() {
    let world = World::open().await;
    let s3 = world.s3();
    world.drop_in("k", "old");
    let put = || s3.put_object().bucket(BUCKET).key("k").if_none_match("*").body(b"new".to_vec().into()).send();
    world.plan([always(Operation::Put, Fault::IgnoreIfNoneMatch)]);
    put().await.unwrap();
    assert_eq!(std::fs::read(world.path("k")).unwrap(), b"new");
    world.cloud.faults().clear();
    assert_eq!(refusal(put().await), says(412, "PreconditionFailed"));
}

#[tokio::test]
async fn sts_fails_in_its_own_words() {
    let world = World::roles_only().await;
    world.plan([
        Rule::on(Operation::Sts, When::Nth(1), Fault::Refuse(Refusal::SlowDown)),
        Rule::on(Operation::Sts, When::Nth(2), Fault::Html),
    ]);
    let assume = || world.sts().assume_role().role_arn(READER).role_session_name("test").external_id("ext-1").send();
    assert_eq!(refusal(assume().await), says(503, "SlowDown"));
    assert!(assume().await.is_err());
    assume().await.unwrap();
}

/// Under a storm every answer that a careful client takes for whole is whole: what it cannot know (a bit in a part, a
/// page of yesterday) is not among what is compared.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_hits_everything_and_a_careful_client_gets_through() {
    let world = World::open().await;
    let text = TEXT.repeat(20_000);
    world.drop_in("k", &text);
    let s3 = world.s3();
    let etag = s3.head_object().bucket(BUCKET).key("k").send().await.unwrap().e_tag.unwrap();
    world.cloud.faults().set(Faults::storm(7));
    let mut whole = 0;
    for _ in 0..300 {
        let Ok(got) = get(&s3).await else { continue };
        let fits = got.e_tag() == Some(etag.as_str()) && got.content_length() == i64::try_from(text.len()).ok();
        if let (true, Ok(bytes)) = (fits, body(got).await) {
            assert!(bytes == text);
            whole += 1;
        }
        let _listed = s3.list_objects_v2().bucket(BUCKET).send().await;
    }
    let counts = world.cloud.faults().counts();
    assert!((150..300).contains(&whole), "{whole} {counts:?}");
    let kinds =
        ["internal_error", "slow_down", "cut", "too_little", "flipped_bit", "wrong_checksum", "html", "stale_list"];
    kinds.iter().for_each(|kind| assert!(counts.contains_key(kind), "{kind}: {counts:?}"));
}
