use super::*;

const KEYS: [&str; 9] = ["a-b", "a.csv", "a/b/c", "a/b/d", "a/b0", "a/ü", "a0", "b c/+%/\nx", "ÿ"];

fn bucket() -> tempfile::TempDir {
    let bucket = tempfile::tempdir().unwrap();
    for key in KEYS {
        let path = bucket.path().join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, key).unwrap();
    }
    fs::create_dir_all(bucket.path().join("empty/er")).unwrap();
    fs::write(bucket.path().join("a/.devcloud-tmp"), "").unwrap();
    bucket
}

fn keys(bucket: &Path, prefix: &str, bound: Bound) -> Vec<String> {
    let mut walk = Walk::new(bucket, prefix, bound).unwrap();
    std::iter::from_fn(|| walk.next_key().unwrap()).collect()
}

#[test]
fn keys_come_in_the_order_of_their_bytes() {
    let bucket = bucket();
    let mut sorted = KEYS.map(String::from);
    sorted.sort_unstable();
    assert_eq!(keys(bucket.path(), "", Bound::Start), sorted);
}

#[test]
fn every_prefix_and_bound_agrees_with_a_filter() {
    let bucket = bucket();
    let probes = ["", "a", "a/", "a/b", "a/b/", "a/b/c", "a/b/cc", "a/b1", "a/~", "b", "b c/", "z", "ÿ", "../"];
    for prefix in probes {
        for probe in probes {
            let filtered = |admits: &dyn Fn(&str) -> bool| -> Vec<String> {
                let mut wanted: Vec<String> =
                    KEYS.into_iter().filter(|key| key.starts_with(prefix) && admits(key)).map(String::from).collect();
                wanted.sort_unstable();
                wanted
            };
            let after = filtered(&|key| key > probe);
            assert_eq!(keys(bucket.path(), prefix, Bound::After(probe.into())), after, "{prefix:?} {probe:?}");
            let past = filtered(&|key| key > probe && !key.starts_with(probe));
            assert_eq!(keys(bucket.path(), prefix, Bound::Past(probe.into())), past, "{prefix:?} {probe:?}");
        }
    }
}

#[test]
fn symbolic_links_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "").unwrap();
    let bucket = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), bucket.path().join("folder")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret"), bucket.path().join("file")).unwrap();
    assert!(keys(bucket.path(), "", Bound::Start).is_empty());
}
