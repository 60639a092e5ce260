use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn etag(etags: &ETags, path: &std::path::Path) -> String {
    etags.of(&File::open(path).unwrap()).unwrap().unwrap().md5
}

#[test]
fn the_etag_is_the_md5_of_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("1"), folder.path().join("2"));
    fs::write(&one, "abc").unwrap();
    fs::write(&two, "abc").unwrap();
    let etags = ETags::default();
    assert_eq!(etag(&etags, &one), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(etag(&etags, &two), etag(&etags, &one));
    fs::write(&one, "").unwrap();
    assert_eq!(etag(&etags, &one), "d41d8cd98f00b204e9800998ecf8427e");
}

#[test]
fn a_rewrite_of_the_same_size_right_after_hashing_is_always_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let etags = ETags::default();
    fs::write(&path, "000").unwrap();
    let mut last = etag(&etags, &path);
    for round in 1..40 {
        fs::write(&path, format!("{round:03}")).unwrap();
        let now = etag(&etags, &path);
        assert_ne!(now, last, "round {round}");
        last = now;
    }
}

#[test]
fn a_young_file_is_hashed_only_when_a_later_write_would_show() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let etags = ETags::default();
    for round in 0..5 {
        fs::write(&path, format!("{round}")).unwrap();
        let hashed = etags.of(&File::open(&path).unwrap()).unwrap().unwrap();
        assert!(hashed.stamp.settles_in().is_zero(), "round {round}");
    }
}

#[test]
fn a_file_that_grew_since_it_was_looked_at_has_no_etag_until_its_writer_rests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "whole").unwrap();
    let (file, etags) = (File::open(&path).unwrap(), ETags::default());
    let seen = Stamp::of(&file.metadata().unwrap());
    File::options().append(true).open(&path).unwrap().write_all(b" and more").unwrap();
    assert!(etags.hash(&file, &seen).unwrap().is_none());
    assert!(etags.of(&file).unwrap().is_some());
}

#[test]
fn no_part_of_a_file_that_is_appended_to_all_the_time_has_an_etag() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "").unwrap();
    let (file, etags, stop) = (File::open(&path).unwrap(), ETags::default(), AtomicBool::new(false));
    let mut torn = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = File::options().append(true).open(&path).unwrap();
            while !stop.load(Ordering::Relaxed) {
                writer.write_all(b"line\n").unwrap();
                std::thread::yield_now();
            }
        });
        for _ in 0..40 {
            let seen = Stamp::of(&file.metadata().unwrap());
            // Only a writer that the machine held up for as long as a tick leaves something to hash.
            let hashed = etags.hash(&file, &seen).unwrap();
            torn += usize::from(hashed.is_some_and(|hashed| !hashed.stamp.same_bytes_as(&seen)));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(torn, 0);
}

#[test]
fn a_rewrite_that_restores_size_and_modification_time_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "abc").unwrap();
    let etags = ETags::default();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let first = etag(&etags, &path);
    fs::write(&path, "xyz").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_ne!(etag(&etags, &path), first);
}

#[test]
fn an_untouched_file_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "abc").unwrap();
    let etags = ETags::default();
    let stamp = Stamp::of(&fs::metadata(&path).unwrap());
    assert!(etags.known(&stamp).is_none());
    etag(&etags, &path);
    assert_eq!(etags.known(&stamp).unwrap().md5, "900150983cd24fb0d6963f7d28e17f72");
}
