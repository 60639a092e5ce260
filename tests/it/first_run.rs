//! The main job: files in a bucket become rows in a table that other engines read.

use crate::harness::{Cloud, Daemon, ENGINES, Home, python, read_table};

#[test]
fn a_run_once_imports_what_is_there_and_a_second_one_nothing() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/orders/*.csv", "@auto");
    for number in 0..12 {
        home.put("drop", &format!("orders/{number}.csv"), format!("id,name\n{number},a\n{},b\n", number + 100));
    }
    let first = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert!(first.stdout.contains("orders  12     24"), "{}", first.stdout);
    let second = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert!(second.stdout.contains("orders  0      0"), "{}", second.stdout);
    let Some(python) = python("a_run_once_imports_what_is_there_and_a_second_one_nothing") else { return };
    for engine in ENGINES {
        let table = read_table(&python, &home.table("orders"), engine, Some("id"));
        assert_eq!((table["rows"].as_u64(), table["ids"]["distinct"].as_u64()), (Some(24), Some(24)), "{table}");
    }
}

#[test]
fn a_daemon_imports_what_lands_while_it_runs_and_ends_on_sigterm() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/*.csv", "@auto");
    home.put("drop", "1.csv", "id\n1\n");
    let daemon = Daemon::start(&home, cloud.endpoint(), "500ms");
    daemon.wait_for_files("orders", "ingested", 1);
    home.put("drop", "2.csv", "id\n2\n3\n");
    let status = daemon.wait_for_files("orders", "ingested", 2);
    assert_eq!(status["counts"]["rows"], 3);
    let (code, log) = daemon.terminate();
    assert_eq!(code, 0, "{log}");
}
