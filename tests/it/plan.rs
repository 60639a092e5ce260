//! `plan` and `check` against what `run --once` then does.

use serde_json::Value;

use crate::harness::{Cloud, Home};

const SOURCE: &str = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop/in/*\nIMPORT_SCHEDULE @auto\n";
/// Requests of a sync that are none for objects: to STS.
const BESIDE: u64 = 2;

fn home(lines: &str) -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.role_connection(cloud.endpoint()).datasource_text("orders", &format!("{SOURCE}{lines}"));
    (home, cloud)
}

fn json(home: &Home, cloud: &Cloud, arguments: &[&str]) -> Value {
    let finished = home.run(cloud.endpoint(), arguments).expect_code(0);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stdout))
}

fn plan(home: &Home, cloud: &Cloud) -> Value {
    let all = json(home, cloud, &["plan", "--json"]);
    assert_eq!(all.as_array().map(Vec::len), Some(1), "{all}");
    all[0].clone()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn names(columns: &Value) -> Vec<&str> {
    columns.as_array().expect("columns").iter().map(|column| column["name"].as_str().expect("a name")).collect()
}

/// The file and the column of an error of the sample.
fn of_error(error: &Value) -> (&str, &str) {
    (error["file"].as_str().expect("a file"), error["column"].as_str().expect("a column"))
}

/// Puts an object with a time, which decides the order of claims.
fn put(home: &Home, key: &str, second: u64, bytes: impl AsRef<[u8]>) {
    home.put("drop", key, bytes).touch("drop", key, 1_700_000_000 + second);
}

/// Runs a sync, and holds what the ledger counts then against a plan that was made before.
fn holds(home: &Home, cloud: &Cloud, plan: &Value, code: i32) {
    let before = if home.path("data/ledger.sqlite3").exists() { Some(home.counts("orders")) } else { None };
    let requests = cloud.faults().requests();
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(code);
    let requests = cloud.faults().requests() - requests;
    let after = home.counts("orders");
    let files = |state: &str| {
        let before = before.as_ref().and_then(|before| before.files.get(state)).copied().unwrap_or(0);
        after.files[state] - before
    };
    let sample = &plan["sample"];
    assert_eq!(sample["every_row"], sample["files_failed"].as_array().expect("a list").is_empty(), "{plan:#}");
    let whole = sample["files_quarantined"].as_array().expect("a list").len() as u64;
    let failed = sample["files_failed"].as_array().expect("a list").len() as u64;
    assert_eq!(files("quarantined"), whole, "{plan:#}");
    assert_eq!(files("failed"), failed, "{plan:#}");
    assert_eq!(files("ingested") + whole + failed, number(&plan["files"]), "{plan:#}");
    let rows = after.rows - before.as_ref().map_or(0, |before| before.rows);
    assert_eq!(rows, number(&sample["rows"]) - number(&sample["rows_quarantined"]), "{plan:#}");
    let estimated = number(&plan["on_demand"]["list_requests"]) + number(&plan["on_demand"]["get_requests"]);
    // A file that does not fit is not always read; nothing else differs.
    let unfit = whole + failed;
    assert!(
        (estimated..=estimated + BESIDE).contains(&requests)
            || (estimated.saturating_sub(3 * unfit)..=estimated + BESIDE + 3 * unfit).contains(&requests) && unfit > 0,
        "{requests} requests, {estimated} estimated"
    );
}

#[test]
fn a_first_sync_does_what_was_planned() {
    let (home, cloud) = home("IMPORT_EXCLUDE in/tmp/ *.bak.csv\nIMPORT_FROM_TIMESTAMP 2020-01-01T00:00:00Z\n");
    put(&home, "in/a.csv", 1, "id,note\n1,a\n2,b\n3,c\n");
    put(&home, "in/b.csv", 2, "id,note,extra\n4,d,2024-01-01\nx,e,2024-01-02\n");
    put(&home, "in/c.csv", 3, "name\nnobody\n");
    put(&home, "in/d.csv", 4, "id,note\n5,\"f\n");
    put(&home, "in/tmp/a.csv", 5, "id,note\n1,a\n");
    put(&home, "in/e.bak.csv", 5, "id,note\n1,a\n");
    put(&home, "in/_hidden.csv", 5, "id,note\n1,a\n");
    put(&home, "in/notes.txt", 5, "hello");
    put(&home, "in/empty.csv", 5, "");
    put(&home, "out/a.csv", 5, "id,note\n1,a\n");
    home.put("drop", "in/old.csv", "id\n1\n").touch("drop", "in/old.csv", 1_500_000_000);

    let plan = plan(&home, &cloud);
    assert_eq!((number(&plan["files"]), number(&plan["listed"])), (4, 10), "{plan:#}");
    for (reason, count) in [("excluded", 2), ("hidden", 1), ("unknown_format", 1), ("empty", 1), ("too_old", 1)] {
        assert_eq!(plan["left_out"][reason], count, "{reason}: {plan:#}");
    }
    assert_eq!(plan["prefix"], "in/", "what lies elsewhere is not listed");
    assert_eq!(plan["table_exists"], false);
    assert_eq!(names(&plan["columns"]), ["id", "note", "extra"], "{plan:#}");
    assert_eq!(plan["columns_added"][0]["file"], "in/b.csv", "{plan:#}");
    let errors: Vec<(&str, &str)> = plan["sample"]["errors"].as_array().expect("a list").iter().map(of_error).collect();
    assert_eq!(errors, [("in/d.csv", ""), ("in/b.csv", "id")], "{plan:#}");
    assert_eq!(plan["sample"]["files_quarantined"][0]["code"], "no_common_column", "{plan:#}");
    assert_eq!(plan["sample"]["files_quarantined"][1]["code"], "no_row_fits", "{plan:#}");
    assert_eq!(plan["at_cap"]["seconds"], 60, "{plan:#}");
    assert!(!home.path("data/ledger.sqlite3").exists(), "a plan writes nothing");
    holds(&home, &cloud, &plan, 3);
}

/// As quarantine groups them: what is wrong, without the value.
#[test]
fn errors_of_one_kind_are_one_line_of_a_plan() {
    let (home, cloud) = home("SCHEMA >\n    id UInt8, note String, counts Map(String, UInt64)\n");
    let bad: String = (0..30).map(|row| format!("{row},n,{{'k{row}':-{}}}\n", row + 1)).collect();
    let file = [b"id,note,counts\n1,fits,{}\n256,x,{}\n257,x,{}\n2,\xe9,{}\n", bad.as_bytes()].concat();
    put(&home, "in/a.csv", 1, file);
    let plan = plan(&home, &cloud);
    let line = |error: &Value| {
        let text = |name: &str| error[name].as_str().expect("a text").to_owned();
        (text("column"), text("message"), number(&error["rows"]))
    };
    let errors: Vec<_> = plan["sample"]["errors"].as_array().expect("a list").iter().map(line).collect();
    let expected = [
        ("counts", "is not Map(String, UInt64): a value is not UInt64", 30),
        ("id", "is not UInt8", 2),
        ("note", "is not UTF-8", 1),
    ];
    assert_eq!(errors, expected.map(|(column, message, rows)| (column.to_owned(), message.to_owned(), rows)));
    assert_eq!(number(&plan["sample"]["rows_quarantined"]), 33, "{plan:#}");
}

#[test]
fn a_later_sync_does_what_was_planned_and_then_nothing_is_left() {
    let (home, cloud) = home("");
    put(&home, "in/a.csv", 1, "id,note\n1,a\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    put(&home, "in/b.csv", 2, "id,note,price\n2,b,1.5\n3,c,2.5\n");
    put(&home, "in/c.csv", 3, "id,note,price\ny,b,1.5\n");
    put(&home, "in/d.ndjson", 4, "{\"id\": 7, \"note\": \"z\"}\n{\"id\": \"q\"}\n");
    put(&home, "in/a.csv", 9, "id,note\n1,a\n2,b\n");
    let found = plan(&home, &cloud);
    assert_eq!((number(&found["files"]), found["table_exists"].as_bool()), (3, Some(true)), "{found:#}");
    assert_eq!(found["left_out"]["overwrite"], 1, "{found:#}");
    assert_eq!(names(&found["columns_added"]), ["price"], "{found:#}");
    assert_eq!((&found["by_format"]["csv"]["files"], &found["by_format"]["ndjson"]["files"]), (&2.into(), &1.into()));

    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(3);
    let after = home.counts("orders");
    assert_eq!(after.rows, 1 + number(&found["sample"]["rows"]) - number(&found["sample"]["rows_quarantined"]));
    let left = plan(&home, &cloud);
    assert_eq!(number(&left["files"]), 0, "{left:#}");
    let shown = home.run(cloud.endpoint(), &["plan", "orders"]).expect_code(0).stdout;
    assert!(shown.contains("would read 0 files") && shown.contains("ingested before"), "{shown}");
}

#[test]
fn large_files_take_as_many_requests_as_planned() {
    let (home, cloud) = home("");
    let rows: String = (0..900_000).map(|row| format!("{row},a note that takes some room\n")).collect();
    put(&home, "in/large.csv", 1, format!("id,note\n{rows}"));
    for file in 2..40 {
        put(&home, &format!("in/{file}.csv"), file, "id,note\n1,a\n");
    }
    let found = plan(&home, &cloud);
    assert_eq!(number(&found["at_cap"]["seconds"]), 8 * 60, "39 files, five a minute");
    assert_eq!((found["sample"]["files"].clone(), found["sample"]["every_row"].clone()), (20.into(), false.into()));
    let estimated = number(&found["on_demand"]["list_requests"]) + number(&found["on_demand"]["get_requests"]);
    let before = cloud.faults().requests();
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    let requests = cloud.faults().requests() - before;
    assert!((estimated..=estimated + BESIDE).contains(&requests), "{requests} requests, {estimated} estimated");
}

#[test]
fn a_bucket_that_cannot_be_listed_is_told_beside_the_plans_of_others() {
    let (home, cloud) = home("");
    put(&home, "in/a.csv", 1, "id\n1\n");
    home.datasource("lost", "s3://nowhere/*.csv", "\"15 4 * * *\"");
    let finished = home.run(cloud.endpoint(), &["plan", "--json"]).expect_code(2);
    let all: Value = serde_json::from_str(&finished.stdout).expect("JSON");
    assert_eq!(all[0]["error"]["code"], "no_such_bucket", "{all:#}");
    assert_eq!(all[1]["files"], 1, "{all:#}");
    let typo = home.run(cloud.endpoint(), &["plan", "ordres"]).expect_code(2);
    assert!(typo.stderr.contains("did you mean orders?"), "{}", typo.stderr);
}

#[test]
fn check_tells_what_matches_what_is_skipped_and_what_delta_cannot_do() {
    let (home, cloud) = home(
        "IMPORT_EXCLUDE in/tmp/\nTAGS a\nSCHEMA >\n    id Int64 CODEC(ZSTD(1)),\n    note String\n\nENGINE_SORTING_KEY id\n",
    );
    put(&home, "in/a.csv", 1, "id,note\n1,a\n");
    put(&home, "in/tmp/b.csv", 1, "id,note\n1,a\n");
    put(&home, "in/_c.csv", 1, "id,note\n1,a\n");
    let report = json(&home, &cloud, &["check", "--json"]);
    let import = &report["imports"][0];
    assert_eq!(
        (&import["files"], &import["first"][0], &import["complete"]),
        (&1.into(), &"in/a.csv".into(), &true.into())
    );
    assert_eq!((&import["skipped"]["excluded"], &import["skipped"]["hidden"]), (&1.into(), &1.into()), "{import:#}");
    assert_eq!(import["not_honoured"][0]["what"], "CODEC of id", "{import:#}");
    assert_eq!(import["not_honoured"][1]["what"], "ENGINE_SORTING_KEY", "{import:#}");
    assert!(import["ignored"][0].as_str().is_some_and(|text| text.contains("TAGS")), "{import:#}");
    assert_eq!(report["problems"][0]["line"], 5, "{report:#}");
    let offline = json(&home, &cloud, &["check", "--offline", "--json"]);
    assert_eq!(offline["imports"][0]["files"], Value::Null, "{offline:#}");
    let shown = home.run(cloud.endpoint(), &["check"]).expect_code(0).stdout;
    for part in ["1 files match", "skipped 1: IMPORT_EXCLUDE", "leaves out in/tmp/", "not applied", "lists 'in/'"] {
        assert!(shown.contains(part), "no '{part}' in:\n{shown}");
    }
    home.datasource("broken", "s3://Drop/[", "@sometimes");
    let refused = home.run(cloud.endpoint(), &["check", "--json"]).expect_code(2);
    let report: Value = serde_json::from_str(&refused.stdout).expect("JSON");
    let codes: Vec<_> = report["problems"].as_array().expect("a list").iter().map(|one| one["code"].clone()).collect();
    assert!(codes.contains(&"bad_uri".into()) && codes.contains(&"bad_schedule".into()), "{report:#}");
}

#[test]
fn an_exclusion_that_is_edited_takes_effect_with_the_next_scan_and_is_explained() {
    let (home, cloud) = home("IMPORT_EXCLUDE in/tmp/\n");
    put(&home, "in/a.csv", 1, "id\n1\n");
    put(&home, "in/tmp/b.csv", 2, "id\n2\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 1);
    let explained = json(&home, &cloud, &["explain", "s3://drop/in/tmp/b.csv", "--json"]);
    assert_eq!(explained[0]["verdict"], "excluded", "{explained:#}");
    assert!(explained[0]["because"].as_str().is_some_and(|why| why.contains("in/tmp/ of IMPORT_EXCLUDE")));
    home.datasource_text("orders", SOURCE);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 2);
}

#[test]
fn a_project_that_has_its_files_in_the_current_folder_needs_no_config_folder() {
    let (home, cloud) = home("");
    put(&home, "in/a.csv", 1, "id\n1\n");
    std::fs::rename(home.path("config/connections/shop.connection"), home.path("shop.connection")).expect("moved");
    std::fs::rename(home.path("config/datasources"), home.path("datasources")).expect("moved");
    std::fs::remove_dir_all(home.path("config")).expect("removed");
    assert_eq!(json(&home, &cloud, &["check", "--json"])["imports"][0]["files"], 1);
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 1);
    let named = home.run(cloud.endpoint(), &["check", "--config", "config"]).expect_code(2);
    assert!(named.stderr.contains("there is no configuration folder config"), "{}", named.stderr);
    std::fs::write(home.path("datasources/broken.datasource"), "NOPE\n").expect("a file");
    let refused = home.run(cloud.endpoint(), &["check"]).expect_code(2);
    assert!(refused.stderr.contains("--> datasources/broken.datasource:1:1"), "{}", refused.stderr);
    std::fs::create_dir(home.path("config")).expect("a folder");
    let empty = home.run(cloud.endpoint(), &["check"]).expect_code(0);
    assert!(empty.stderr.contains("there is no data source in config"), "{}", empty.stderr);
}
