//! The demo, as a newcomer runs it.

use serde_json::Value;

use crate::harness::{ENGINES, Home, python, read_table};

/// The demo in a folder of its own; `S3` and both listeners take free ports where theirs are taken.
fn demo(home: &Home, files: &str) -> String {
    let arguments = ["demo", "--folder", "shop", "--every", "0.2", "--tick", "0.3", "--rows", "200", "--files", files];
    let mut command = home.command("unused", &arguments);
    // The demo brings its own of all of these.
    for name in ["STS_ENDPOINT", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"] {
        command.env_remove(format!("S3_CONNECTOR_AWS_{name}"));
    }
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What the greeting offers works from the folder that it names, with nothing of the demo's own environment.
fn look_around(home: &Home, output: &str) {
    let offered: Vec<&str> = output
        .lines()
        .filter_map(|line| line.trim().strip_prefix("(cd shop && "))
        // The others ask an S3 that is gone.
        .filter(|line| !line.starts_with(". ./env"))
        .collect();
    assert!(offered.len() >= 3, "{output}");
    for line in offered {
        let arguments: Vec<&str> = line.trim_end_matches(')').split(' ').skip(1).collect();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_s3-connector"));
        let clean = command.args(&arguments).current_dir(home.path("shop")).env_clear();
        let output = clean.env("S3_CONNECTOR_LISTEN_API", "127.0.0.1:0").output().expect("the program starts");
        let (shown, troubles) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !shown.trim().is_empty(), "{line}: {troubles}");
        assert!(
            !shown.contains("no rows") && !shown.contains("no batches") && troubles.is_empty(),
            "{line}: {shown}{troubles}"
        );
    }
}

#[test]
fn the_demo_imports_its_files_and_a_second_run_goes_on() {
    let home = Home::new();
    let first = demo(&home, "3");
    // The third file of orders has one that does not fit.
    let expected = "orders: 3 files with 599 rows are in the table, 1 row in quarantine, 0 files failed, 0 wait";
    assert!(first.contains(expected), "{first}");
    let expected = "page_views: 3 files with 1200 rows are in the table, 0 rows in quarantine, 0 files failed, 0 wait";
    assert!(first.contains(expected), "{first}");
    let second = demo(&home, "5");
    assert!(second.contains("orders: 5 files with 999 rows are in the table, 1 row in quarantine"), "{second}");
    look_around(&home, &second);
    let Some(python) = python("the_demo_imports_its_files_and_a_second_run_goes_on") else { return };
    for engine in ENGINES {
        for (table, ids, rows) in [("orders", "order_id", 999), ("page_views", "view_id", 2_000)] {
            let found = read_table(&python, &home.path("shop/data/tables").join(table), engine, Some(ids));
            let distinct = |value: &Value| value.as_u64();
            assert_eq!((distinct(&found["rows"]), distinct(&found["ids"]["distinct"])), (Some(rows), Some(rows)));
            // The fifth file of orders brought it.
            assert_eq!(found["columns"].get("channel").is_some(), table == "orders", "{found}");
        }
    }
}
