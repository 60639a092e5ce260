//! Objects that change while they are read, and files that fail half-way.

use crate::harness::{Cloud, Daemon, ENGINES, Home, group_rows, python, read_table, until};

/// The smallest budget, under which a CSV of more than 2 MiB is large: read in parts, into a data file of its own.
const SMALLEST_BUDGET: (&str, &str) = ("S3_CONNECTOR_LIMITS_MEMORY", "32MiB");
/// Bytes of one row of [`generation`].
const ROW_BYTES: usize = 32;

/// A file of `rows` rows that all carry the same generation. Every generation has the same number of bytes, so that
/// nothing but the ETag tells them apart.
fn generation(number: u32, rows: usize) -> String {
    let mut text = String::from("id,generation,padding\n");
    for id in 0..rows {
        text.push_str(&format!("{id:010},{number:03},{}\n", "x".repeat(ROW_BYTES - 16)));
    }
    text
}

#[test]
fn case_38_an_object_that_is_replaced_while_it_is_read_is_never_a_mix() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    // Small, just large, large. Bytes.
    let sizes = [256 << 10, 3 << 20, 12 << 20];
    let mut command = home.command(cloud.endpoint(), &["run"]);
    let daemon =
        Daemon::spawn(command.env("S3_CONNECTOR_LIMITS_TICK", "100ms").env(SMALLEST_BUDGET.0, SMALLEST_BUDGET.1));
    for (round, size) in sizes.into_iter().cycle().take(9).enumerate() {
        let (key, rows) = (format!("{round}.csv"), size / ROW_BYTES);
        home.put("drop", &key, generation(0, rows));
        // Replaced as soon as it is being read, and again, until a version was read in peace.
        let mut next = 1;
        until("the object to be read", || {
            let files = daemon.status("orders")["counts"]["files"].clone();
            if files["claimed"] == 1 && next < 4 {
                home.put("drop", &key, generation(next, rows));
                next += 1;
            }
            (files["ingested"] == round + 1).then_some(())
        });
    }
    let status = daemon.status("orders");
    let changed = status["counts"]["files"]["gone"].as_u64().expect("a count");
    assert!(changed > 0, "no object changed while it was read, so this proves nothing: {status}");
    assert_eq!(status["counts"]["files"]["failed"], 0, "{status}");
    let rows: usize = sizes.into_iter().cycle().take(9).map(|size| size / ROW_BYTES).sum();
    assert_eq!(status["counts"]["rows"], rows);
    drop(daemon);

    let Some(python) = python("case_38_an_object_that_is_replaced_while_it_is_read_is_never_a_mix") else { return };
    for engine in ENGINES {
        let groups = group_rows(&python, &home.table("orders"), engine, &["_s3_key", "_s3_version", "generation"]);
        let found: Vec<_> = groups.iter().map(|group| (group["_s3_key"].clone(), group["rows"].as_u64())).collect();
        let expected: Vec<_> =
            (0..9).map(|round| (format!("{round}.csv").into(), Some((sizes[round % 3] / ROW_BYTES) as u64))).collect();
        // One version of each key, of one generation, and whole.
        assert_eq!(found, expected, "{engine}: {groups:?}");
        let table = read_table(&python, &home.table("orders"), engine, None);
        assert_eq!((table["rows"].as_u64(), &table["distinct_rows"]), (Some(rows as u64), &table["rows"]));
    }
}

#[test]
fn a_file_that_fails_half_way_leaves_no_row_and_does_not_hold_back_its_batch_mates() {
    const ROWS: usize = (6 << 20) / ROW_BYTES;
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint());
    home.datasource_text(
        "orders",
        "SCHEMA >\n    id Int64,\n    generation Int32,\n    padding String\n\n\
         IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/*.csv\nIMPORT_SCHEDULE @auto\n",
    );
    home.put("drop", "a.csv", generation(1, 10)).put("drop", "z.csv", generation(2, ROWS));
    let good = generation(3, ROWS);
    let last_line = good.trim_end().rfind('\n').expect("many lines") + 1;
    // Longer than any record may be: only then a file that was readable so far fails.
    home.put("drop", "bad.csv", format!("{}1,3,{}\n", &good[..last_line], "x".repeat(9 << 20)));

    let mut command = home.command(cloud.endpoint(), &["run", "--once"]);
    let once = command.env(SMALLEST_BUDGET.0, SMALLEST_BUDGET.1).output().expect("the program starts");
    let told = String::from_utf8_lossy(&once.stderr);
    assert_eq!(once.status.code(), Some(3), "{told}");
    assert!(told.contains("record_too_long") && told.contains("bad.csv"), "{told}");

    let history = home.history("orders");
    assert_eq!(history.iter().map(|batch| (batch.files, batch.rows)).collect::<Vec<_>>(), [(3, ROWS as u64 + 10)]);
    let counts = home.counts("orders");
    assert_eq!((counts.files["ingested"], counts.files["failed"], counts.rows), (2, 1, ROWS as u64 + 10));
    let Some(python) = python("a_file_that_fails_half_way_leaves_no_row_and_does_not_hold_back_its_batch_mates") else {
        return;
    };
    for engine in ENGINES {
        let groups = group_rows(&python, &home.table("orders"), engine, &["_s3_key", "generation"]);
        let expected = serde_json::json!([
            {"_s3_key": "a.csv", "generation": 1, "rows": 10},
            {"_s3_key": "z.csv", "generation": 2, "rows": ROWS},
        ]);
        assert_eq!(serde_json::Value::Array(groups), expected, "{engine}");
    }
    // Nor does it leave a file behind that nobody refers to.
    let data_files = std::fs::read_dir(home.table("orders")).expect("the table").filter(|entry| {
        entry.as_ref().expect("an entry").path().extension().is_some_and(|extension| extension == "parquet")
    });
    assert_eq!(data_files.count(), 2);
}
