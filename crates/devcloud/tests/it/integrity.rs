//! A GET serves one version of a file or breaks; and nothing outside the folder is ever served.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};

use aws_sdk_s3::operation::get_object::GetObjectOutput;

use crate::support::{BUCKET, World, refusal, says};

/// More than all socket buffers between server and client can hold.
const SIZE: usize = 48 << 20;

fn filled(byte: u8) -> Vec<u8> {
    vec![byte; SIZE]
}

/// Begins a GET of `big` and reads only its first bytes.
async fn begin(world: &World) -> (GetObjectOutput, Vec<u8>) {
    let mut got = world.s3().get_object().bucket(BUCKET).key("big").send().await.unwrap();
    let first = got.body.try_next().await.unwrap().unwrap().to_vec();
    (got, first)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_replaced_during_a_slow_get_is_served_as_it_was() {
    let world = World::open().await;
    world.drop_in("big", filled(b'a'));
    let (got, mut bytes) = begin(&world).await;
    world.drop_in("new", filled(b'b'));
    fs::rename(world.path("new"), world.path("big")).unwrap();
    bytes.extend(got.body.collect().await.unwrap().to_vec());
    assert!(bytes == filled(b'a'));
    let again = world.s3().get_object().bucket(BUCKET).key("big").if_match(got.e_tag.unwrap()).send().await;
    assert_eq!(refusal(again), says(412, "PreconditionFailed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_written_to_during_a_slow_get_breaks_the_connection() {
    let world = World::open().await;
    world.drop_in("big", filled(b'a'));
    let (got, first) = begin(&world).await;
    assert!(first.iter().all(|byte| *byte == b'a'));
    // The same size, and only the last byte differs: it could not be told from the length.
    let file = File::options().write(true).open(world.path("big")).unwrap();
    file.write_all_at(b"b", SIZE as u64 - 1).unwrap();
    assert!(got.body.collect().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_noticed_even_if_its_time_is_set_back() {
    let world = World::open().await;
    world.drop_in("big", filled(b'a'));
    let modified = fs::metadata(world.path("big")).unwrap().modified().unwrap();
    let (got, _) = begin(&world).await;
    let file = File::options().write(true).open(world.path("big")).unwrap();
    file.write_all_at(b"b", SIZE as u64 - 1).unwrap();
    file.set_modified(modified).unwrap();
    assert!(got.body.collect().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_truncated_during_a_slow_get_breaks_the_connection() {
    let world = World::open().await;
    world.drop_in("big", filled(b'a'));
    let (got, _) = begin(&world).await;
    File::options().write(true).open(world.path("big")).unwrap().set_len(SIZE as u64 / 2).unwrap();
    assert!(got.body.collect().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn under_constant_rewriting_every_whole_answer_matches_its_etag() {
    let world = World::open().await;
    world.drop_in("k", "0");
    let path = world.path("k");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let writer = std::thread::spawn(move || {
        let mut round = 0_u32;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let byte = [b'a' + (round % 26) as u8];
            fs::write(&path, byte.repeat(20_000)).unwrap();
            round += 1;
            std::thread::sleep(std::time::Duration::from_millis(u64::from(round % 4) * 20));
        }
    });
    let (s3, mut whole) = (world.s3(), 0);
    for _ in 0..60 {
        let Ok(got) = s3.get_object().bucket(BUCKET).key("k").send().await else { continue };
        let etag = got.e_tag().unwrap().to_owned();
        let Ok(body) = got.body.collect().await else { continue };
        let put = s3.put_object().bucket(BUCKET).key("copy").body(body.into_bytes().into()).send().await.unwrap();
        assert_eq!(put.e_tag(), Some(etag.as_str()));
        whole += 1;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert!(whole > 0, "not one answer was whole");
}

#[tokio::test]
async fn nothing_outside_the_folder_is_served() {
    let world = World::open().await;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    fs::write(world.folder.path().join("beside"), "secret").unwrap();
    fs::create_dir(world.folder.path().join("private")).unwrap();
    fs::write(world.folder.path().join("private/k"), "secret").unwrap();
    symlink(outside.path(), world.path("linked")).unwrap();
    symlink(outside.path().join("secret"), world.path("link")).unwrap();
    symlink(outside.path(), world.folder.path().join("linkedbucket")).unwrap();
    let s3 = world.s3();
    for key in ["link", "linked/secret", "../beside", "../private/k", "x/../../beside", "/etc/passwd", "..", "linked"] {
        let got = s3.get_object().bucket(BUCKET).key(key).send().await;
        assert_eq!(refusal(got), says(404, "NoSuchKey"), "{key}");
    }
    assert!(s3.list_objects_v2().bucket(BUCKET).send().await.unwrap().contents().is_empty());
    assert!(s3.list_objects_v2().bucket(BUCKET).prefix("linked/").send().await.unwrap().contents().is_empty());
    assert_eq!(refusal(s3.list_objects_v2().bucket("linkedbucket").send().await), says(404, "NoSuchBucket"));
    let put = s3.put_object().bucket(BUCKET).key("linked/new").body(b"x".to_vec().into()).send().await;
    assert_eq!(refusal(put), says(400, "InvalidArgument"));
    s3.delete_object().bucket(BUCKET).key("linked/secret").send().await.unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    for path in ["/shop/../private/k", "/shop/%2e%2e/beside", "/../beside", "/%2e%2e/beside", "/./beside"] {
        let host = world.cloud.address();
        let answer = world.raw(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
        assert!(!answer.contains("secret"), "{path} {answer}");
    }
    // A link itself may be replaced, like any name in the bucket.
    s3.put_object().bucket(BUCKET).key("link").body(b"mine".to_vec().into()).send().await.unwrap();
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
}
