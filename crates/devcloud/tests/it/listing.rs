//! Listings: every key exactly once, in order, as S3 writes it.

use std::collections::BTreeSet;
use std::fs;

use aws_sdk_s3::types::EncodingType;

use crate::support::{BUCKET, World, refusal, says, url_decode};

/// Keys and common prefixes of a whole listing in pages of a size, in the order they came.
async fn pages(world: &World, prefix: &str, delimiter: Option<&str>, size: i32) -> Vec<String> {
    let (s3, mut token, mut found) = (world.s3(), None, Vec::new());
    loop {
        let request = s3.list_objects_v2().bucket(BUCKET).prefix(prefix).set_delimiter(delimiter.map(Into::into));
        let page = request.max_keys(size).set_continuation_token(token).send().await.unwrap();
        let mut lines: Vec<String> = page.contents().iter().map(|o| o.key().unwrap().to_owned()).collect();
        lines.extend(page.common_prefixes().iter().map(|p| p.prefix().unwrap().to_owned()));
        lines.sort_unstable();
        assert_eq!(page.key_count(), Some(i32::try_from(lines.len()).unwrap()));
        assert!(lines.len() <= usize::try_from(size).unwrap());
        assert_eq!(page.is_truncated(), Some(page.next_continuation_token().is_some()));
        found.extend(lines);
        match page.next_continuation_token {
            None => return found,
            next => token = next,
        }
    }
}

/// What S3 would list, from the keys alone.
fn expected(keys: &[String], prefix: &str, delimiter: Option<&str>) -> Vec<String> {
    let line = |key: &String| {
        let rest = key.strip_prefix(prefix)?;
        let group = delimiter.and_then(|d| Some(&key[..prefix.len() + rest.find(d)? + d.len()]));
        Some(group.unwrap_or(key).to_owned())
    };
    keys.iter().filter_map(line).collect::<BTreeSet<_>>().into_iter().collect()
}

#[tokio::test]
async fn more_than_a_thousand_keys_come_exactly_once() {
    let world = World::open().await;
    let mut keys: Vec<String> = (0..2345).map(|i| format!("year={}/{}-{i}.csv", i % 3, i % 7)).collect();
    keys.iter().for_each(|key| world.drop_in(key, key));
    keys.sort_unstable();
    let paginator = world.s3().list_objects_v2().bucket(BUCKET).into_paginator();
    let listed: Vec<_> = paginator.send().try_collect().await.unwrap();
    assert_eq!(listed.iter().map(|page| page.contents().len()).collect::<Vec<_>>(), [1000, 1000, 345]);
    let listed: Vec<_> = listed.iter().flat_map(|page| page.contents()).map(|o| o.key().unwrap().to_owned()).collect();
    assert_eq!(listed, keys);
}

#[tokio::test]
async fn pages_of_any_size_agree_with_a_model() {
    let world = World::open().await;
    let mut keys: Vec<String> =
        ["a", "a-b/c", "a.csv", "b/1", "b/2/3", "b/2/4", "b/2-", "b/z", "c d/+", "é/é"].map(String::from).into();
    keys.iter().for_each(|key| world.drop_in(key, key));
    fs::create_dir_all(world.path("empty/folder")).unwrap();
    keys.sort_unstable();
    for prefix in ["", "a", "b/", "b/2", "c d/", "no", "../", "b/2/3"] {
        for delimiter in [None, Some("/"), Some("2"), Some("é")] {
            for size in [1, 2, 3, 1000] {
                let case = format!("{prefix:?} {delimiter:?} {size}");
                assert_eq!(pages(&world, prefix, delimiter, size).await, expected(&keys, prefix, delimiter), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn what_appears_or_vanishes_between_pages_disturbs_no_other_key() {
    let world = World::open().await;
    ["b", "d", "f", "h"].iter().for_each(|key| world.drop_in(key, key));
    let s3 = world.s3();
    let first = s3.list_objects_v2().bucket(BUCKET).max_keys(2).send().await.unwrap();
    world.drop_in("a", "before the cursor");
    world.drop_in("e", "after the cursor");
    fs::remove_file(world.path("d")).unwrap();
    let token = first.next_continuation_token().unwrap();
    let second = s3.list_objects_v2().bucket(BUCKET).continuation_token(token).send().await.unwrap();
    let keys: Vec<_> = second.contents().iter().map(|o| o.key().unwrap()).collect();
    assert_eq!(keys, ["e", "f", "h"]);
}

#[tokio::test]
async fn odd_keys_round_trip_byte_for_byte() {
    let world = World::open().await;
    let s3 = world.s3();
    let long = format!("{0}/{0}/{0}/{1}", "ü".repeat(127), "x".repeat(259 - 4)); // 3 * 254 + 3 + 255 bytes
    let longest = format!("{long}/{}", "y".repeat(1024 - long.len() - 1));
    assert_eq!(longest.len(), 1024);
    let mut keys = [
        "a b",
        "a+b",
        "a%20b",
        "a%b",
        "ü/Δ/日本.csv",
        "new\nline",
        "tab\there",
        "q?x=1&y=2",
        "#;:@=,$!'()*~^|\\\"<>`{}[]",
        "a/ /b",
        "+",
        "...",
        "trail ",
        longest.as_str(),
    ];
    for key in keys {
        s3.put_object().bucket(BUCKET).key(key).body(key.to_owned().into_bytes().into()).send().await.unwrap();
        assert_eq!(fs::read(world.path(key)).unwrap(), key.as_bytes(), "{key:?}");
    }
    keys.sort_unstable();
    let listed = s3.list_objects_v2().bucket(BUCKET).encoding_type(EncodingType::Url).send().await.unwrap();
    let listed: Vec<_> = listed.contents().iter().map(|o| url_decode(o.key().unwrap())).collect();
    assert_eq!(listed, keys);
    for key in keys {
        let got = s3.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        assert_eq!(got.body.collect().await.unwrap().into_bytes(), key.as_bytes(), "{key:?}");
    }
}

#[tokio::test]
async fn encoding_type_url_encodes_everything_that_is_a_key() {
    let world = World::open().await;
    world.drop_in("a b/c+d/e%", "");
    world.drop_in("a b/ü", "");
    let request = world.s3().list_objects_v2().bucket(BUCKET).encoding_type(EncodingType::Url);
    let listed = request.prefix("a b/").start_after("a +").delimiter("/").send().await.unwrap();
    assert_eq!(listed.prefix(), Some("a+b/"));
    assert_eq!(listed.start_after(), Some("a+%2B"));
    assert_eq!(listed.common_prefixes()[0].prefix(), Some("a+b/c%2Bd/"));
    assert_eq!(listed.contents()[0].key(), Some("a+b/%C3%BC"));
}

#[tokio::test]
async fn files_are_objects_at_once_and_changes_change_the_etag() {
    let world = World::open().await;
    let s3 = world.s3();
    let list = || async { s3.list_objects_v2().bucket(BUCKET).send().await.unwrap().contents().to_vec() };
    assert!(list().await.is_empty());
    world.drop_in("x.csv", "a,b\n1,2\n");
    let first = list().await.remove(0);
    assert_eq!((first.key(), first.size()), (Some("x.csv"), Some(8)));
    assert_eq!(first.last_modified().unwrap().subsec_nanos(), 0);
    world.drop_in("x.csv", "a,b\n1,3\n");
    let second = list().await.remove(0);
    assert_ne!(first.e_tag(), second.e_tag());
    fs::rename(world.path("x.csv"), world.path("y.csv")).unwrap();
    world.drop_in(".devcloud-tmp", "never an object");
    let moved = list().await;
    assert_eq!(moved.iter().map(|o| (o.key().unwrap(), o.e_tag())).collect::<Vec<_>>(), [("y.csv", second.e_tag())]);
}

#[tokio::test]
async fn start_after_and_max_keys() {
    let world = World::open().await;
    ["a", "b", "c"].iter().for_each(|key| world.drop_in(key, key));
    let s3 = world.s3();
    let after = s3.list_objects_v2().bucket(BUCKET).start_after("a").send().await.unwrap();
    assert_eq!(after.contents().iter().map(|o| o.key().unwrap()).collect::<Vec<_>>(), ["b", "c"]);
    let none = s3.list_objects_v2().bucket(BUCKET).max_keys(0).send().await.unwrap();
    assert_eq!((none.contents().len(), none.is_truncated()), (0, Some(false)));
    let exact = s3.list_objects_v2().bucket(BUCKET).max_keys(3).send().await.unwrap();
    assert_eq!((exact.contents().len(), exact.is_truncated()), (3, Some(false)));
    let bad = s3.list_objects_v2().bucket(BUCKET).max_keys(-1).send().await;
    assert_eq!(refusal(bad), says(400, "InvalidArgument"));
    let bad = s3.list_objects_v2().bucket(BUCKET).continuation_token("made up").send().await;
    assert_eq!(refusal(bad), says(400, "InvalidArgument"));
}

#[tokio::test]
async fn the_older_listing_pages_past_common_prefixes() {
    let world = World::open().await;
    ["a/1", "a/2", "b", "c/1"].iter().for_each(|key| world.drop_in(key, key));
    let (s3, mut marker, mut found) = (world.s3(), None, Vec::new());
    for _ in 0..3 {
        let request = s3.list_objects().bucket(BUCKET).delimiter("/").max_keys(1).set_marker(marker.take());
        let page = request.send().await.unwrap();
        found.extend(page.contents().iter().map(|o| o.key().unwrap().to_owned()));
        found.extend(page.common_prefixes().iter().map(|p| p.prefix().unwrap().to_owned()));
        marker = page.next_marker().map(Into::into);
    }
    assert_eq!(found, ["a/", "b", "c/"]);
    assert_eq!(marker, None);
}
