//! Multipart uploads: whole or not at all.

use std::fs;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};

use crate::support::{BUCKET, World, refusal, says};

const PART: usize = 5 << 20;

async fn begin(s3: &Client, key: &str) -> String {
    s3.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap().upload_id.unwrap()
}

async fn part(s3: &Client, key: &str, id: &str, number: i32, bytes: Vec<u8>) -> CompletedPart {
    let sent = s3.upload_part().bucket(BUCKET).key(key).upload_id(id).part_number(number).body(bytes.into());
    let etag = sent.send().await.unwrap().e_tag;
    CompletedPart::builder().part_number(number).set_e_tag(etag).build()
}

fn parts(parts: &[&CompletedPart]) -> CompletedMultipartUpload {
    CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(|part| (*part).clone()).collect())).build()
}

#[tokio::test]
async fn parts_become_one_object_in_their_order_at_completion() {
    let world = World::open().await;
    let s3 = world.s3();
    let id = begin(&s3, "dir/big").await;
    // Sent backwards, and the first one twice: the later one counts.
    let third = part(&s3, "dir/big", &id, 7, b"end".to_vec()).await;
    part(&s3, "dir/big", &id, 1, vec![b'x'; PART]).await;
    let second = part(&s3, "dir/big", &id, 2, vec![b'b'; PART]).await;
    let first = part(&s3, "dir/big", &id, 1, vec![b'a'; PART]).await;
    assert!(!world.path("dir/big").exists(), "nothing is seen before completion");
    assert!(s3.list_objects_v2().bucket(BUCKET).send().await.unwrap().contents().is_empty());
    let complete = || s3.complete_multipart_upload().bucket(BUCKET).key("dir/big").upload_id(&id);
    let done = complete().multipart_upload(parts(&[&first, &second, &third])).send().await.unwrap();
    let bytes = fs::read(world.path("dir/big")).unwrap();
    assert!(bytes == [vec![b'a'; PART], vec![b'b'; PART], b"end".to_vec()].concat());
    let head = s3.head_object().bucket(BUCKET).key("dir/big").send().await.unwrap();
    assert_eq!(head.e_tag(), done.e_tag());
    let again = complete().multipart_upload(parts(&[&first])).send().await;
    assert_eq!(refusal(again), says(404, "NoSuchUpload"));
    let names = fs::read_dir(world.path("")).unwrap().count();
    assert_eq!(names, 1, "no part is left behind");
}

#[tokio::test]
async fn completions_that_do_not_fit_are_refused_and_can_be_mended() {
    let world = World::open().await;
    let s3 = world.s3();
    let id = begin(&s3, "k").await;
    let small = part(&s3, "k", &id, 1, b"small".to_vec()).await;
    let last = part(&s3, "k", &id, 2, b"last".to_vec()).await;
    let unknown = CompletedPart::builder().part_number(3).build();
    let other = CompletedPart::builder().part_number(2).e_tag("\"0\"").build();
    for (named, code) in [
        (parts(&[&small, &last]), "EntityTooSmall"),
        (parts(&[&last, &small]), "InvalidPartOrder"),
        (parts(&[&unknown]), "InvalidPart"),
        (parts(&[&other]), "InvalidPart"),
    ] {
        let sent = s3.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&id).multipart_upload(named);
        assert_eq!(refusal(sent.send().await), says(400, code));
    }
    let elsewhere = s3.complete_multipart_upload().bucket(BUCKET).key("other").upload_id(&id);
    let elsewhere = elsewhere.multipart_upload(parts(&[&last])).send().await;
    assert_eq!(refusal(elsewhere), says(404, "NoSuchUpload"));
    let sent = s3.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&id).multipart_upload(parts(&[&last]));
    sent.send().await.unwrap();
    assert_eq!(fs::read(world.path("k")).unwrap(), b"last");
}

#[tokio::test]
async fn an_upload_completes_only_if_its_condition_holds_and_can_be_given_up() {
    let world = World::open().await;
    let s3 = world.s3();
    world.drop_in("k", "first");
    let id = begin(&s3, "k").await;
    let only = part(&s3, "k", &id, 1, b"second".to_vec()).await;
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(&id).if_none_match("*");
    let refused = complete.multipart_upload(parts(&[&only])).send().await;
    assert_eq!(refusal(refused), says(412, "PreconditionFailed"));
    assert_eq!(fs::read(world.path("k")).unwrap(), b"first");
    s3.abort_multipart_upload().bucket(BUCKET).key("k").upload_id(&id).send().await.unwrap();
    let sent = s3.upload_part().bucket(BUCKET).key("k").upload_id(&id).part_number(1).body(b"x".to_vec().into());
    assert_eq!(refusal(sent.send().await), says(404, "NoSuchUpload"));
    assert_eq!(fs::read_dir(world.path("")).unwrap().count(), 1);
}
