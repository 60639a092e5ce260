//! The same run against an implementation of S3 and STS that is not ours: moto.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use s3_connector::demo::generator::Generator;
use serde_json::Value;

use crate::harness::{CALLER, ENGINES, Home, python, read_table, script};

/// The bucket of these tests; its objects are the files of the home's `s3/drop`.
const BUCKET: &str = "drop";

/// moto in server mode, with an account of its own. It ends with its standard input, so at the latest with this process.
pub struct Moto {
    child: Child,
    pub endpoint: String,
    python: PathBuf,
    recording: PathBuf,
}

impl Moto {
    /// Says so and returns `None` where the Python packages are not installed.
    pub fn start(home: &Home, test: &str) -> Option<Self> {
        let python = python(test)?;
        let recording = home.path("requests");
        let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/moto_server.py");
        let mut command = Command::new(&python);
        command.arg(server).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("MOTO_ENABLE_RECORDING", "true").env("MOTO_RECORDER_FILEPATH", &recording);
        let mut child = command.spawn().expect("python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("moto: {error}: {line:?}"));
        let endpoint = said["endpoint"].as_str().expect("an endpoint").to_owned();
        Some(Self { child, endpoint, python, recording })
    }

    /// Uploads what [`Home::put`] has put into [`BUCKET`]; returns how many objects it put.
    pub fn upload(&self, home: &Home) -> u64 {
        self.upload_bucket(home, BUCKET)
    }

    /// The same for another bucket, which is made.
    pub fn upload_bucket(&self, home: &Home, bucket: &str) -> u64 {
        let folder = home.path("s3").join(bucket);
        let put = script(&self.python, "put_objects.py", &[&self.endpoint, bucket, folder.to_str().expect("UTF-8")]);
        put["objects"].as_u64().expect("a number")
    }

    /// What another engine finds in a table.
    fn read(&self, home: &Home, table: &str, engine: &str, ids: &str) -> Table {
        let found = read_table(&self.python, &home.table(table), engine, Some(ids));
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{found}"));
        Table {
            rows: number(&found["rows"]),
            distinct_rows: number(&found["distinct_rows"]),
            ids: number(&found["ids"]["distinct"]),
        }
    }

    /// Each request so far, with its `url` and `headers`.
    pub fn requests(&self) -> Vec<Value> {
        let requests = fs::read_to_string(&self.recording).expect("requests");
        requests.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The access key id and the service of each request so far, as far as requests were signed.
    fn signatures(&self) -> Vec<(String, String)> {
        let signature = |request: Value| {
            let scope = request["headers"]["Authorization"].as_str()?.split("Credential=").nth(1)?;
            let parts: Vec<&str> = scope.split('/').collect();
            Some((parts[0].to_owned(), parts[3].to_owned()))
        };
        self.requests().into_iter().filter_map(signature).collect()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug, PartialEq)]
struct Table {
    rows: u64,
    /// By provenance.
    distinct_rows: u64,
    /// Distinct values of the column with unique ids.
    ids: u64,
}

impl Table {
    fn whole(rows: u64) -> Self {
        Self { rows, distinct_rows: rows, ids: rows }
    }
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

#[test]
fn csv_and_parquet_arrive_through_an_assumed_role() {
    const ROWS: u32 = 500;
    const FILES: u32 = 3;
    let home = Home::new();
    let Some(moto) = Moto::start(&home, "csv_and_parquet_arrive_through_an_assumed_role") else { return };
    let generator = Generator::new(1);
    for number in 1..=FILES {
        let views = generator.page_views_parquet(number, 2 * ROWS, now()).expect("encodes");
        home.put(BUCKET, &format!("orders/{number}.csv"), generator.orders_csv(number, ROWS, now()));
        home.put(BUCKET, &format!("views/{number}.parquet"), views);
    }
    assert_eq!(moto.upload(&home), u64::from(2 * FILES));
    home.role_connection(&moto.endpoint).datasource("orders", "s3://drop/orders/*.csv", "@auto").datasource(
        "views",
        "s3://drop/views/*.parquet",
        "@auto",
    );
    home.run(&moto.endpoint, &["run", "--once"]).expect_code(0);
    for engine in ENGINES {
        let (orders, views) = (u64::from(FILES * ROWS), u64::from(2 * FILES * ROWS));
        assert_eq!(moto.read(&home, "orders", engine, "order_id"), Table::whole(orders), "{engine}");
        assert_eq!(moto.read(&home, "views", engine, "view_id"), Table::whole(views), "{engine}");
    }
    let services = |key: fn(&str) -> bool| -> BTreeSet<String> {
        moto.signatures().into_iter().filter(|(id, _)| key(id)).map(|(_, service)| service).collect()
    };
    assert_eq!(services(|id| id == CALLER), BTreeSet::from(["sts".to_owned()]), "the caller reads nothing itself");
    assert_eq!(services(|id| id.starts_with("ASIA")), BTreeSet::from(["s3".to_owned()]), "the role reads");
}

#[test]
fn static_keys_read_too() {
    let home = Home::new();
    let Some(moto) = Moto::start(&home, "static_keys_read_too") else { return };
    home.put(BUCKET, "1.csv", "id,name\n1,a\n2,b\n").datasource("orders", "s3://drop/*.csv", "@auto");
    moto.upload(&home);
    home.config(
        "connections/shop.connection",
        &format!(
            "TYPE s3\nS3_REGION \"us-east-1\"\nS3_ENDPOINT \"{}\"\nS3_PATH_STYLE true\n\
             S3_ACCESS_KEY {{{{ tb_secret(\"SHOP_KEY\") }}}}\nS3_SECRET {{{{ tb_secret(\"SHOP_SECRET\") }}}}\n",
            moto.endpoint
        ),
    );
    let run = home
        .command(&moto.endpoint, &["run", "--once"])
        .env("SHOP_KEY", "AKIAOFTHESHOP")
        .env("SHOP_SECRET", "canary-secret-of-the-shop")
        .output()
        .expect("the program starts");
    let said = [run.stdout, run.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8")).join("\n");
    assert!(run.status.success(), "{said}");
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(moto.read(&home, "orders", "deltalake", "id"), Table::whole(2));
    let mut others = moto.signatures();
    // The upload's own requests.
    others.retain(|(id, _)| id != "test");
    assert!(!others.is_empty());
    assert!(others.iter().all(|(id, service)| id == "AKIAOFTHESHOP" && service == "s3"), "{others:?}");
}

#[test]
fn case_44_awkward_keys_are_read_and_told_exactly() {
    let home = Home::new();
    let Some(moto) = Moto::start(&home, "case_44_awkward_keys_are_read_and_told_exactly") else { return };
    // A file name has at most 255 bytes, a key at most 1,024.
    let long = ["d".repeat(250), "é".repeat(125), "f".repeat(250), format!("{}.csv", "g".repeat(243))].join("/");
    assert_eq!(long.len(), 1_000);
    let keys = [
        "two words.csv",
        " leading and trailing .csv",
        "a+b.csv",
        "100%.csv",
        "%20.csv",
        "a%2Fb.csv",
        "a&b=c;d,e.csv",
        "#?[1]{2}'\"<>|\\^`~!@$().csv",
        "straße/日本語/🦀.csv",
        // The same letter, composed and decomposed: two keys.
        "caf\u{e9}.csv",
        "cafe\u{301}.csv",
        &long,
    ];
    for (number, key) in keys.iter().enumerate() {
        home.put(BUCKET, key, format!("id\n{number}\n"));
    }
    assert_eq!(moto.upload(&home), keys.len() as u64);
    home.role_connection(&moto.endpoint).datasource("orders", "s3://drop/*.csv", "@auto");
    home.run(&moto.endpoint, &["run", "--once"]).expect_code(0);
    assert_eq!(moto.read(&home, "orders", "polars", "id"), Table::whole(keys.len() as u64));
    let expected: BTreeSet<&str> = keys.into_iter().collect();
    for engine in ENGINES {
        let table = home.table("orders");
        let arguments = [table.to_str().expect("UTF-8"), "--engine", engine, "--values", "_s3_key"];
        let found = script(&moto.python, "read_table.py", &arguments);
        let found: BTreeSet<&str> =
            found["values"].as_array().expect("values").iter().map(|value| value.as_str().expect("text")).collect();
        assert_eq!(found, expected, "{engine}");
    }
}

#[test]
fn case_42_a_listing_of_several_pages_loses_and_repeats_nothing() {
    const OBJECTS: u64 = 1_200;
    let home = Home::new();
    let Some(moto) = Moto::start(&home, "case_42_a_listing_of_several_pages_loses_and_repeats_nothing") else { return };
    for number in 0..OBJECTS {
        home.put(BUCKET, &format!("orders/{number}.csv"), format!("id\n{number}\n"));
    }
    assert_eq!(moto.upload(&home), OBJECTS);
    home.role_connection(&moto.endpoint).datasource("orders", "s3://drop/orders/*.csv", "@auto");
    home.run(&moto.endpoint, &["run", "--once"]).expect_code(0);
    for engine in ENGINES {
        assert_eq!(moto.read(&home, "orders", engine, "id"), Table::whole(OBJECTS), "{engine}");
    }
}

#[test]
fn case_39_an_overwritten_object_is_not_read_again_but_counted() {
    let home = Home::new();
    let Some(moto) = Moto::start(&home, "case_39_an_overwritten_object_is_not_read_again_but_counted") else { return };
    home.role_connection(&moto.endpoint).datasource("orders", "s3://drop/*.csv", "@auto");
    let files = |home: &Home| {
        let status = home.run(&moto.endpoint, &["status", "--json"]).expect_code(0);
        let all: Value = serde_json::from_str(&status.stdout).expect("JSON");
        let files = &all[0]["counts"]["files"];
        ["ingested", "skipped"].map(|state| files[state].as_u64().unwrap_or(0))
    };
    for (key, text) in [("1.csv", "id\n1\n"), ("2.csv", "id\n2\n")] {
        home.put(BUCKET, key, text);
    }
    moto.upload(&home);
    home.run(&moto.endpoint, &["run", "--once"]).expect_code(0);
    assert_eq!(files(&home), [2, 0]);
    // The same bytes again are the same object version; other bytes are another one.
    home.put(BUCKET, "2.csv", "id\n3\n4\n");
    moto.upload(&home);
    for _ in 0..2 {
        home.run(&moto.endpoint, &["run", "--once"]).expect_code(0);
        assert_eq!(files(&home), [2, 1]);
    }
    assert_eq!(moto.read(&home, "orders", "deltalake", "id"), Table::whole(2));
}
