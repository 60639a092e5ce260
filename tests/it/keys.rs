//! Any key is read, under exactly its name; any number of objects is listed.

use serde_json::Value;

use crate::harness::{Cloud, ENGINES, Home, group_rows, python, read_table};

/// 1,000 bytes in segments that a file system takes; `fill` is one character, perhaps of several bytes.
fn long_key(fill: &str) -> String {
    let segment = |bytes: usize| {
        let rest = "x".repeat(bytes % fill.len());
        fill.repeat(bytes / fill.len()) + &rest
    };
    let key =
        format!("long/{}/{}/{}/{}.csv", segment(255), segment(255), segment(255), segment(1_000 - 5 - 3 * 256 - 4));
    assert_eq!(key.len(), 1_000);
    key
}

fn strange_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "plain.csv",
        "with space.csv",
        " leading and trailing .csv",
        "plus+sign.csv",
        "a+b c%20d.csv",
        "100%.csv",
        "%2F%2e%00.csv",
        "%zz.csv",
        "amp&amp;<tag>\"quote'.csv",
        "query?x=1#fragment.csv",
        "semi;colon:at@equals=comma,dollar$bang!star*.csv",
        "back\\slash.csv",
        "brackets[1]{2}(3)~^`|.csv",
        "folder with space/+/%/file.csv",
        "new\nline.csv",
        "tab\tand\rreturn.csv",
        "bell\u{7}and\u{1}.csv",
        // The same letter, composed and decomposed: two keys.
        "caf\u{e9}.csv",
        "cafe\u{301}.csv",
        "日本/注文.csv",
        "emoji🧾.csv",
        "last\u{10FFFD}.csv",
        "dots...csv",
        "a..b/..c/.csv.csv",
        "UPPER.csv",
        "upper.csv",
        "key=value/date=2024-02-29/part-0.csv",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.extend([long_key("a"), long_key("é"), long_key("🧾")]);
    keys
}

#[test]
fn case_44_any_key_is_imported_once_under_exactly_its_name() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    let mut keys = strange_keys();
    for (id, key) in keys.iter().enumerate() {
        // The hidden one: its last segment begins with a dot.
        home.put("drop", key, format!("id\n{id}\n"));
    }
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let second = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert!(second.stdout.contains("orders  0      0"), "{}", second.stdout);

    let (hidden, mut expected): (Vec<String>, Vec<String>) = keys.drain(..).partition(|key| key.contains("/.csv.csv"));
    let counts = home.counts("orders");
    assert_eq!((counts.files["ingested"], counts.files["skipped"]), (expected.len() as u64, hidden.len() as u64));
    let Some(python) = python("case_44_any_key_is_imported_once_under_exactly_its_name") else { return };
    expected.sort();
    for engine in ENGINES {
        let groups = group_rows(&python, &home.table("orders"), engine, &["_s3_key", "id"]);
        let mut found: Vec<String> =
            groups.iter().map(|group| group["_s3_key"].as_str().expect("a key").to_owned()).collect();
        found.sort();
        assert_eq!(found, expected, "{engine}");
        assert!(groups.iter().all(|group| group["rows"] == 1), "{engine}: {groups:?}");
        let all = strange_keys();
        for group in &groups {
            let id = group["id"].as_u64().expect("an id") as usize;
            assert_eq!(group["_s3_key"], Value::from(all[id].as_str()), "{engine}: the row of another key");
        }
    }
}

#[test]
fn case_42_thousands_of_objects_are_listed_page_by_page_and_read_once() {
    const OBJECTS: u64 = 2_345;
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    for id in 0..OBJECTS {
        // Folders of unequal size, so that no page ends where a folder does.
        home.put("drop", &format!("{}/{id}.csv", id % 7), format!("id\n{id}\n"));
    }
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let counts = home.counts("orders");
    assert_eq!((counts.files["ingested"], counts.rows, counts.backlog_files), (OBJECTS, OBJECTS, 0));
    let files: Vec<u64> = home.history("orders").iter().map(|batch| batch.files).collect();
    assert_eq!(files, [1_000, 1_000, 345]);

    let Some(python) = python("case_42_thousands_of_objects_are_listed_page_by_page_and_read_once") else { return };
    let expected = serde_json::json!({"count": OBJECTS, "distinct": OBJECTS, "min": 0, "max": OBJECTS - 1});
    for engine in ENGINES {
        let table = read_table(&python, &home.table("orders"), engine, Some("id"));
        assert_eq!((&table["rows"], &table["distinct_rows"]), (&OBJECTS.into(), &OBJECTS.into()), "{table}");
        assert_eq!(table["ids"], expected, "{engine}");
    }
}
