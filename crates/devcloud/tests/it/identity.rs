//! Signatures, roles and sessions: what opens the door, and what does not.

use aws_credential_types::Credentials;
use connector_devcloud::DevCloud;

use crate::support::{BUCKET, EXTERNAL_ID, OTHER_USER, READER, SECRET, USER, WRITER, World, config, refusal, says};

fn keys(id: &str, secret: &str, token: Option<&str>) -> Credentials {
    Credentials::new(id, secret, token.map(str::to_owned), None, "test")
}

async fn listing(world: &World, credentials: Credentials) -> (u16, String) {
    match world.s3_as(credentials).list_objects_v2().bucket(BUCKET).send().await {
        Ok(_) => says(200, ""),
        refused => refusal(refused),
    }
}

#[tokio::test]
async fn only_the_right_secret_opens() {
    let world = World::open().await;
    assert_eq!(listing(&world, keys(USER, SECRET, None)).await, says(200, ""));
    assert_eq!(listing(&world, keys(USER, "wrong", None)).await, says(403, "SignatureDoesNotMatch"));
    assert_eq!(listing(&world, keys("AKIANOBODY", SECRET, None)).await, says(403, "InvalidAccessKeyId"));
    assert_eq!(listing(&world, keys(USER, SECRET, Some("a token"))).await, says(400, "InvalidToken"));
    let host = world.cloud.address();
    let anonymous = world.raw(&format!("GET /{BUCKET} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
    assert!(anonymous.starts_with("HTTP/1.1 403") && anonymous.contains("<Code>AccessDenied</Code>"), "{anonymous}");
}

#[tokio::test]
async fn users_reach_s3_through_a_role_only() {
    let world = World::roles_only().await;
    world.drop_in("k", "hello");
    assert_eq!(listing(&world, keys(USER, SECRET, None)).await, says(403, "AccessDenied"));
    let s3 = world.s3_as(world.assume(READER).await);
    assert_eq!(s3.list_buckets().send().await.unwrap().buckets().len(), 1);
    let got = s3.get_object().bucket(BUCKET).key("k").send().await.unwrap();
    assert_eq!(got.body.collect().await.unwrap().into_bytes(), "hello");
}

#[tokio::test]
async fn temporary_keys_count_only_with_their_own_token() {
    let world = World::roles_only().await;
    let (one, two) = (world.assume(READER).await, world.assume(READER).await);
    assert!(one.access_key_id().starts_with("ASIA") && one.access_key_id() != two.access_key_id());
    let (id, secret) = (one.access_key_id(), one.secret_access_key());
    assert_eq!(listing(&world, one.clone()).await, says(200, ""));
    assert_eq!(listing(&world, keys(id, secret, None)).await, says(403, "InvalidAccessKeyId"));
    assert_eq!(listing(&world, keys(id, secret, two.session_token())).await, says(400, "InvalidToken"));
    assert_eq!(listing(&world, keys(id, "wrong", one.session_token())).await, says(403, "SignatureDoesNotMatch"));
}

#[tokio::test]
async fn sessions_expire_by_the_clock() {
    let world = World::roles_only().await;
    let session = world.assume(READER).await;
    world.clock.advance(3590);
    assert_eq!(listing(&world, session.clone()).await, says(200, ""));
    world.clock.advance(11);
    assert_eq!(listing(&world, session.clone()).await, says(400, "ExpiredToken"));
    let identity = world.sts_as(session.clone()).get_caller_identity().send().await;
    assert_eq!(refusal(identity), says(403, "ExpiredToken"));
    assert_eq!(listing(&world, world.assume(READER).await).await, says(200, ""));
    assert_eq!(listing(&world, session).await, says(400, "ExpiredToken"));
}

#[tokio::test]
async fn a_session_lasts_as_long_as_asked_but_no_longer_than_its_role() {
    let world = World::roles_only().await;
    let sts = world.sts();
    let assume = || sts.assume_role().role_arn(READER).role_session_name("test").external_id(EXTERNAL_ID);
    let now = connector_core::clock::Clock::now(&*world.clock).as_second();
    for (wish, lasts) in [(None, 3600), (Some(900), 900), (Some(7200), 3600)] {
        let given = assume().set_duration_seconds(wish).send().await.unwrap().credentials.unwrap();
        let off = given.expiration.secs() - now - lasts;
        assert!((0..=30).contains(&off), "{wish:?} {off}");
    }
    assert_eq!(refusal(assume().duration_seconds(60).send().await), says(400, "ValidationError"));
    assert_eq!(refusal(assume().role_session_name("a b").send().await), says(400, "ValidationError"));
}

#[tokio::test]
async fn who_may_assume_which_role() {
    let world = World::roles_only().await;
    let assume = |credentials: Credentials, role: &str, external_id: Option<&str>| {
        let request = world.sts_as(credentials).assume_role().role_arn(role).role_session_name("test");
        request.set_external_id(external_id.map(str::to_owned)).send()
    };
    let user = || keys(USER, SECRET, None);
    let denied = says(403, "AccessDenied");
    let given = assume(user(), READER, Some(EXTERNAL_ID)).await.unwrap();
    assert_eq!(given.assumed_role_user().unwrap().arn(), "arn:aws:sts::000000000000:assumed-role/reader/test");
    assert_eq!(refusal(assume(user(), READER, Some("wrong")).await), denied);
    assert_eq!(refusal(assume(user(), READER, None).await), denied);
    assert_eq!(refusal(assume(user(), "arn:aws:iam::000000000000:role/none", Some(EXTERNAL_ID)).await), denied);
    assert_eq!(refusal(assume(keys(OTHER_USER, SECRET, None), READER, Some(EXTERNAL_ID)).await), denied);
    let session = world.assume(READER).await;
    assert_eq!(refusal(assume(session, WRITER, Some(EXTERNAL_ID)).await), denied);
    let wrong = assume(keys(USER, "wrong", None), READER, Some(EXTERNAL_ID)).await;
    assert_eq!(refusal(wrong), says(403, "SignatureDoesNotMatch"));
    let nobody = assume(keys("AKIANOBODY", SECRET, None), READER, Some(EXTERNAL_ID)).await;
    assert_eq!(refusal(nobody), says(403, "InvalidClientTokenId"));
}

#[tokio::test]
async fn an_unsigned_sts_request_is_refused_in_the_shape_of_sts() {
    let world = World::roles_only().await;
    let form =
        format!("Action=AssumeRole&Version=2011-06-15&RoleArn={READER}&RoleSessionName=test&ExternalId={EXTERNAL_ID}");
    let answer = world
        .raw(&format!(
            "POST / HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{form}",
            world.cloud.address(),
            form.len()
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("<ErrorResponse"), "{answer}");
    assert!(!answer.contains("SecretAccessKey"));
}

#[tokio::test]
async fn sts_knows_its_callers() {
    let world = World::roles_only().await;
    let user = world.sts().get_caller_identity().send().await.unwrap();
    assert_eq!(user.arn(), Some("arn:aws:iam::000000000000:user/AKIAUSER"));
    assert_eq!(user.account(), Some("000000000000"));
    let session = world.sts_as(world.assume(WRITER).await).get_caller_identity().send().await.unwrap();
    assert_eq!(session.arn(), Some("arn:aws:sts::000000000000:assumed-role/writer/test"));
}

#[tokio::test]
async fn roles_stay_within_their_limits() {
    let world = World::roles_only().await;
    std::fs::create_dir(world.folder.path().join("other")).unwrap();
    world.drop_in("k", "hello");
    let reader = world.s3_as(world.assume(READER).await);
    let denied = says(403, "AccessDenied");
    let put = |s3: &aws_sdk_s3::Client| s3.put_object().bucket(BUCKET).key("new").body(b"x".to_vec().into()).send();
    assert_eq!(refusal(put(&reader).await), denied);
    assert_eq!(refusal(reader.delete_object().bucket(BUCKET).key("k").send().await), denied);
    assert_eq!(refusal(reader.create_bucket().bucket("third").send().await), denied);
    assert_eq!(refusal(reader.list_objects_v2().bucket("other").send().await), denied);
    assert_eq!(refusal(reader.list_objects_v2().bucket("nowhere").send().await), denied);
    let writer = world.s3_as(world.assume(WRITER).await);
    put(&writer).await.unwrap();
    writer.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    writer.list_objects_v2().bucket("other").send().await.unwrap();
}

#[tokio::test]
async fn it_listens_on_loopback_only_and_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut reachable = config(folder.path().to_owned(), true);
    reachable.listen = "0.0.0.0:0".parse().unwrap();
    let refused = DevCloud::start(reachable).await.unwrap_err();
    assert_eq!(refused.code(), "devcloud_not_loopback");
    let missing = DevCloud::start(config(folder.path().join("missing"), true)).await.unwrap_err();
    assert_eq!(missing.code(), "devcloud_folder");
    let cloud = DevCloud::start(config(folder.path().to_owned(), true)).await.unwrap();
    let mut taken = config(folder.path().to_owned(), true);
    taken.listen = cloud.address();
    assert_eq!(DevCloud::start(taken).await.unwrap_err().code(), "devcloud_listen");
    let address = cloud.address();
    cloud.shutdown().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
