//! Single objects and buckets: reading, storing and deleting under S3's rules.

use std::fs;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, Delete, ObjectIdentifier};

use crate::support::{BUCKET, World, refusal, says};

fn body(text: &str) -> ByteStream {
    ByteStream::from(text.as_bytes().to_vec())
}

async fn text(s3: &Client, key: &str, range: Option<&str>) -> (String, Option<String>) {
    let got = s3.get_object().bucket(BUCKET).key(key).set_range(range.map(Into::into)).send().await.unwrap();
    let content_range = got.content_range().map(str::to_owned);
    let announced = got.content_length().unwrap();
    let bytes = got.body.collect().await.unwrap().into_bytes();
    assert_eq!(i64::try_from(bytes.len()).unwrap(), announced);
    (String::from_utf8(bytes.to_vec()).unwrap(), content_range)
}

#[tokio::test]
async fn ranges() {
    let world = World::open().await;
    world.drop_in("ten", "0123456789");
    world.drop_in("none", "");
    let s3 = world.s3();
    assert_eq!(text(&s3, "ten", None).await, ("0123456789".into(), None));
    assert_eq!(text(&s3, "none", None).await, (String::new(), None));
    for (range, bytes, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=3-5", "345", "bytes 3-5/10"),
        ("bytes=8-", "89", "bytes 8-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-99", "0123456789", "bytes 0-9/10"),
    ] {
        assert_eq!(text(&s3, "ten", Some(range)).await, (bytes.into(), Some(content_range.into())), "{range}");
    }
    for (key, range) in [("ten", "bytes=10-"), ("ten", "bytes=-0"), ("none", "bytes=0-"), ("none", "bytes=-1")] {
        let got = s3.get_object().bucket(BUCKET).key(key).range(range).send().await;
        assert_eq!(refusal(got), says(416, "InvalidRange"), "{key} {range}");
    }
}

#[tokio::test]
async fn a_large_object_comes_whole_and_in_ranges() {
    let world = World::open().await;
    let bytes: Vec<u8> = (0..3_000_017_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let s3 = world.s3();
    let put = s3.put_object().bucket(BUCKET).key("big").body(bytes.clone().into()).send().await.unwrap();
    let got = s3.get_object().bucket(BUCKET).key("big").send().await.unwrap();
    assert_eq!(got.e_tag(), put.e_tag());
    assert!(got.body.collect().await.unwrap().into_bytes() == bytes);
    let range = format!("bytes={}-{}", 262_143, 2_000_000);
    let got =
        s3.get_object().bucket(BUCKET).key("big").range(range).if_match(put.e_tag().unwrap()).send().await.unwrap();
    assert!(got.body.collect().await.unwrap().into_bytes() == bytes[262_143..=2_000_000]);
}

#[tokio::test]
async fn if_match_holds_until_the_object_is_overwritten() {
    let world = World::open().await;
    let s3 = world.s3();
    let put = s3.put_object().bucket(BUCKET).key("k").body(body("one")).send().await.unwrap();
    let old = put.e_tag().unwrap();
    let get = |etag: &str| s3.get_object().bucket(BUCKET).key("k").range("bytes=1-").if_match(etag).send();
    assert_eq!(get(old).await.unwrap().body.collect().await.unwrap().into_bytes(), "ne");
    let unchanged = s3.get_object().bucket(BUCKET).key("k").if_none_match(old).send().await;
    assert_eq!(refusal(unchanged).0, 304);
    world.drop_in("k", "two");
    assert_eq!(refusal(get(old).await), says(412, "PreconditionFailed"));
    let head = s3.head_object().bucket(BUCKET).key("k").if_match(old).send().await;
    assert_eq!(refusal(head).0, 412);
    let changed = s3.get_object().bucket(BUCKET).key("k").if_none_match(old).send().await.unwrap();
    assert_eq!(changed.body.collect().await.unwrap().into_bytes(), "two");
}

#[tokio::test]
async fn head_says_what_get_would() {
    let world = World::open().await;
    world.drop_in("d/k", "hello");
    let s3 = world.s3();
    let head = s3.head_object().bucket(BUCKET).key("d/k").send().await.unwrap();
    let got = s3.get_object().bucket(BUCKET).key("d/k").send().await.unwrap();
    assert_eq!(head.content_length(), Some(5));
    assert_eq!(head.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert_eq!((head.e_tag(), head.last_modified()), (got.e_tag(), got.last_modified()));
    for missing in ["d", "d/", "d/k/x", "k", "d//k", ".devcloud-x", "d/../d/k"] {
        assert_eq!(refusal(s3.head_object().bucket(BUCKET).key(missing).send().await).0, 404, "{missing}");
        let got = s3.get_object().bucket(BUCKET).key(missing).send().await;
        assert_eq!(refusal(got), says(404, "NoSuchKey"), "{missing}");
    }
    let got = s3.get_object().bucket("nowhere").key("k").send().await;
    assert_eq!(refusal(got), says(404, "NoSuchBucket"));
    assert_eq!(refusal(s3.list_objects_v2().bucket("nowhere").send().await), says(404, "NoSuchBucket"));
}

#[tokio::test]
async fn keys_that_cannot_be_files_are_refused() {
    let world = World::open().await;
    let s3 = world.s3();
    let put = |key: String| s3.put_object().bucket(BUCKET).key(key).body(body("x")).send();
    for key in ["a//b", "/a", "a/", "a/./b", "../up", "a/../../up", "a\0b", ".devcloud-x"] {
        assert_eq!(refusal(put(key.into()).await), says(400, "InvalidArgument"), "{key:?}");
    }
    assert_eq!(refusal(put("s".repeat(256)).await), says(400, "KeyTooLongError"));
    assert_eq!(refusal(put("s/".repeat(512) + "x").await), says(400, "KeyTooLongError"));
    put("file".into()).await.unwrap();
    put("dir/file".into()).await.unwrap();
    assert_eq!(refusal(put("file/below".into()).await), says(400, "InvalidArgument"));
    assert_eq!(refusal(put("dir".into()).await), says(400, "InvalidArgument"));
    let conditional = s3.put_object().bucket(BUCKET).key("dir").if_none_match("*").body(body("x")).send().await;
    assert_eq!(refusal(conditional), says(400, "InvalidArgument"));
    assert!(!world.folder.path().join("up").exists());
    assert_no_temporaries(&world);
}

fn assert_no_temporaries(world: &World) {
    let names = fs::read_dir(world.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".devcloud-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_conditional_creates_one_wins() {
    let world = World::open().await;
    let tries = (0..24).map(|i| {
        let put = world.s3().put_object().bucket(BUCKET).key("deep/er/k").if_none_match("*");
        tokio::spawn(async move { (i, put.body(body(&format!("{i}"))).send().await) })
    });
    let mut winners = Vec::new();
    for attempt in tries.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            (i, Ok(_)) => winners.push(i),
            (_, lost) => assert_eq!(refusal(lost), says(412, "PreconditionFailed")),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(fs::read_to_string(world.path("deep/er/k")).unwrap(), winners[0].to_string());
    assert_no_temporaries(&world);
}

#[tokio::test]
async fn overwriting_can_be_bound_to_an_etag() {
    let world = World::open().await;
    let s3 = world.s3();
    let put = |etag: &str, text: &str| s3.put_object().bucket(BUCKET).key("k").if_match(etag).body(body(text)).send();
    assert_eq!(refusal(put("\"0\"", "x").await), says(404, "NoSuchKey"));
    world.drop_in("k", "hello");
    assert_eq!(refusal(put("\"0\"", "x").await), says(412, "PreconditionFailed"));
    put("\"5d41402abc4b2a76b9719d911017c592\"", "bye").await.unwrap();
    assert_eq!(fs::read_to_string(world.path("k")).unwrap(), "bye");
}

#[tokio::test]
async fn a_body_that_fails_its_digest_is_not_stored() {
    let world = World::open().await;
    let s3 = world.s3();
    let put = || s3.put_object().bucket(BUCKET).key("k").body(body("hello"));
    assert_eq!(refusal(put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await), says(400, "BadDigest"));
    assert_eq!(refusal(put().checksum_crc32("AAAAAA==").send().await), says(400, "BadDigest"));
    assert!(!world.path("k").exists());
    put().content_md5("XUFAKrxLKna5cZ2REBfFkg==").send().await.unwrap();
    for algorithm in
        [ChecksumAlgorithm::Crc32C, ChecksumAlgorithm::Sha1, ChecksumAlgorithm::Sha256, ChecksumAlgorithm::Crc64Nvme]
    {
        put().checksum_algorithm(algorithm).send().await.unwrap();
    }
    assert_no_temporaries(&world);
}

#[tokio::test]
async fn deleting_frees_the_names_of_empty_folders() {
    let world = World::open().await;
    let s3 = world.s3();
    world.drop_in("a/b/c", "");
    world.drop_in("a/d", "");
    let delete = |key: &str| s3.delete_object().bucket(BUCKET).key(key).send();
    delete("a/b/c").await.unwrap();
    delete("a/b/c").await.unwrap();
    delete("a").await.unwrap();
    delete("../shop/a/d").await.unwrap();
    assert!(!world.path("a/b").exists() && world.path("a/d").exists());
    let keys = ["a/d", "never there"].map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
    let many = Delete::builder().set_objects(Some(keys.into())).build().unwrap();
    let gone = s3.delete_objects().bucket(BUCKET).delete(many).send().await.unwrap();
    assert_eq!((gone.deleted().len(), gone.errors().len()), (2, 0));
    assert!(!world.path("a").exists() && world.path("").exists());
    s3.put_object().bucket(BUCKET).key("a").body(body("now a file")).send().await.unwrap();
}

#[tokio::test]
async fn buckets() {
    let world = World::open().await;
    let s3 = world.s3();
    fs::create_dir(world.folder.path().join("Not A Bucket")).unwrap();
    fs::write(world.folder.path().join("file"), "").unwrap();
    s3.create_bucket().bucket("another").send().await.unwrap();
    let again = s3.create_bucket().bucket("another").send().await;
    assert_eq!(refusal(again), says(409, "BucketAlreadyOwnedByYou"));
    let listed = s3.list_buckets().send().await.unwrap();
    assert_eq!(listed.buckets().iter().map(|b| b.name().unwrap()).collect::<Vec<_>>(), ["another", BUCKET]);
    let head = s3.head_bucket().bucket(BUCKET).send().await.unwrap();
    assert_eq!(head.bucket_region(), Some("eu-west-1"));
    assert_eq!(refusal(s3.head_bucket().bucket("nowhere").send().await).0, 404);
    let location = s3.get_bucket_location().bucket(BUCKET).send().await.unwrap();
    assert_eq!(location.location_constraint().unwrap().as_str(), "eu-west-1");
    let owner = s3.head_bucket().bucket(BUCKET).expected_bucket_owner("111111111111").send().await;
    assert_eq!(refusal(owner).0, 403);
}

#[tokio::test]
async fn presigned_urls_work_without_other_credentials() {
    let world = World::open().await;
    world.drop_in("a b", "hello");
    let config = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let signed = world.s3().get_object().bucket(BUCKET).key("a b").presigned(config).await.unwrap();
    let path = signed.uri().strip_prefix(&world.cloud.endpoint()).unwrap();
    let get =
        |path: &str| format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", world.cloud.address());
    let answer = world.raw(&get(path)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    let answer = world.raw(&get(&path.replace("a%20b", "other"))).await;
    assert!(answer.contains("SignatureDoesNotMatch"), "{answer}");
}
