//! Against a devcloud, so over the real protocol: signatures, roles, `If-None-Match`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use connector_core::clock::SystemClock;
use connector_core::error::ErrorClass;
use connector_core::ids::{BatchId, BatchUuid, ImportUuid, ObjectVersionId};
use connector_core::ports::{CommitAnswer, Destination as _, Removal, RowOrigin, StagedFile, TableCommit};
use connector_core::schema::{Column, TableSchema};
use connector_core::secret::Secret;
use connector_core::types::ColumnType;
use connector_devcloud::{DevCloud, DevCloudConfig, Fault, Faults, KeyPair, Operation, Refusal, Role, Rule, When};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::config::{self, Surroundings};

const READER: &str = "arn:aws:iam::000000000000:role/reader";
const WRITER: &str = "arn:aws:iam::000000000000:role/writer";

/// A devcloud with the bucket `src`, which one role reads, and the bucket `lake`, which another one writes to.
struct Cloud {
    cloud: DevCloud,
    folder: TempDir,
    runtime: Runtime,
}

impl Cloud {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for bucket in ["src", "lake"] {
            std::fs::create_dir_all(folder.path().join("cloud").join(bucket)).expect("a bucket");
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let role = |arn: &str, bucket: &str, write| Role {
            arn: arn.to_owned(),
            external_id: Some("external".to_owned()),
            allowed_callers: vec!["AKIAUSER".to_owned()],
            buckets: Some(vec![bucket.to_owned()]),
            session: Duration::from_secs(900),
            write,
        };
        let config = DevCloudConfig {
            folder: folder.path().join("cloud"),
            listen: "127.0.0.1:0".parse().expect("an address"),
            region: "us-east-1".to_owned(),
            users: vec![KeyPair { access_key_id: "AKIAUSER".to_owned(), secret: Secret::new("user-secret") }],
            roles: vec![role(READER, "src", false), role(WRITER, "lake", true)],
            users_may_read: false,
            faults: None,
        };
        let cloud = runtime.block_on(DevCloud::start(config)).expect("a devcloud");
        Self { cloud, folder, runtime }
    }

    /// The tables of a project whose `[destination]` is this URI and this connection.
    fn project(&self, uri: &str, connection: &str) -> Result<Project, Vec<&'static str>> {
        let folder = self.folder.path().join("config");
        let _ = std::fs::remove_dir_all(&folder);
        let endpoint = self.cloud.endpoint();
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("written");
        };
        let keys = "[aws]\naccess_key_id = { env = \"ID\" }\nsecret_access_key = { env = \"KEY\" }";
        write(
            "s3-connector.toml",
            format!(
                "{keys}\nsts_endpoint = \"{endpoint}\"\n[destination]\nuri = \"{uri}\"\nconnection = \"{connection}\"\n"
            ),
        );
        for (name, arn, external_id) in
            [("shop", READER, "external"), ("writer", WRITER, "external"), ("stranger", WRITER, "another")]
        {
            write(
                &format!("connections/{name}.connection"),
                format!(
                    "TYPE s3\nS3_REGION us-east-1\nS3_ARN {arn}\nS3_ENDPOINT {endpoint}\nS3_EXTERNAL_ID {external_id}\n"
                ),
            );
        }
        write(
            "datasources/orders.datasource",
            "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://src/in/*.csv\nIMPORT_SCHEDULE @auto\n".to_owned(),
        );
        let variables = HashMap::from([("ID", "AKIAUSER"), ("KEY", "user-secret")]);
        let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        let around = Surroundings {
            variable: &variable,
            current_dir: self.folder.path(),
            instance_secret: &|_: &Path| Ok(Secret::new("instance")),
        };
        config::load(&folder, &around)
            .map_err(|problems| problems.diagnostics.iter().map(|diagnostic| diagnostic.code).collect())
    }

    fn open(&self, uri: &str, connection: &str) -> (Destinations, ImportSpec) {
        let project = self.project(uri, connection).expect("a good configuration");
        let tables = Destinations::new(&project, Arc::new(SystemClock), self.runtime.handle().clone());
        (tables.expect("tables"), project.imports[0].clone())
    }

    fn in_lake(&self, path: &str) -> PathBuf {
        self.folder.path().join("cloud/lake").join(path)
    }
}

fn schema() -> TableSchema {
    TableSchema::new(vec![Column::required("id", ColumnType::Int64)])
}

fn stage(table: &DeltaTable, ids: std::ops::Range<i64>) -> Vec<StagedFile> {
    let ordinals: Vec<u64> = (0..ids.end.abs_diff(ids.start)).collect();
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    let rows = RecordBatch::try_new(schema().arrow(), vec![column]).expect("rows");
    let batch = BatchId::from_parts(1_700_000_000_000, 42);
    let origin = RowOrigin { key: "in/a.csv".into(), version: ObjectVersionId([7; 16]), batch };
    let mut writer = table.open_writer(&schema()).expect("a writer");
    writer.write(&rows, &origin, &ordinals).expect("written");
    writer.finish().expect("finished")
}

fn commit(import: ImportUuid, seq: i64, files: Vec<StagedFile>) -> TableCommit {
    let (batch_uuid, add_columns, remove) = (BatchUuid::mint(), Vec::new(), Removal::Nothing);
    TableCommit { import, seq, batch_uuid, batch: BatchId::from_parts(1, 1), after: None, files, add_columns, remove }
}

fn ids(cloud: &Cloud, table: &DeltaTable) -> Vec<i64> {
    let columns = ["id".to_owned()];
    let scan = cloud.runtime.block_on(table.scan(Some(&columns))).expect("readable").expect("a table");
    let mut ids = Vec::new();
    for batch in scan {
        let batch = batch.expect("rows");
        ids.extend_from_slice(batch.column(0).as_any().downcast_ref::<Int64Array>().expect("longs").values());
    }
    ids.sort_unstable();
    ids
}

#[test]
fn a_folder_holds_each_table_and_its_quarantine_side_by_side() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let variable = |_: &str| None;
    let instance_secret = |_: &Path| Ok(Secret::new("instance"));
    let around = Surroundings { variable: &variable, current_dir: folder.path(), instance_secret: &instance_secret };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let project = config::load(&shipped, &around).expect("the shipped configuration is right");
    let tables = Destinations::new(&project, Arc::new(SystemClock), runtime.handle().clone()).expect("tables");
    let spec = &project.imports[0];
    let expected = folder.path().join("data/tables");
    assert_eq!(tables.folder(), Some(expected.as_path()));
    assert_eq!(tables.table_location(spec), expected.join("orders").display().to_string());
    assert_eq!(tables.table(spec).expect("a table").location(), tables.table_location(spec));
    let quarantine = tables.quarantine(spec).expect("a table").location();
    assert_eq!(quarantine, expected.join("orders_quarantine").display().to_string());
    assert_eq!(quarantine, tables.quarantine_location(spec));
}

#[test]
fn a_table_in_a_bucket_is_made_filled_and_read_with_the_role_that_writes_there() {
    let cloud = Cloud::start();
    let (tables, spec) = cloud.open("s3://lake/some tables/", "writer");
    assert_eq!(tables.table_location(&spec), "s3://lake/some tables/orders");
    assert_eq!(tables.quarantine_location(&spec), "s3://lake/some tables/orders_quarantine");
    let import = ImportUuid::mint();
    for table in [tables.table(&spec).expect("a table"), tables.quarantine(&spec).expect("a table")] {
        assert_eq!(cloud.runtime.block_on(table.read()).expect("readable"), None);
        cloud.runtime.block_on(table.create(import, &schema())).expect("created");
        for seq in 1..=3 {
            let files = stage(&table, seq * 10..seq * 10 + 10);
            assert_eq!(cloud.runtime.block_on(table.staged_files_intact(&files)), Ok(true));
            let answer = cloud.runtime.block_on(table.commit(&commit(import, seq, files)));
            assert_eq!(answer, Ok(CommitAnswer::Landed { version: seq as u64 }));
        }
        let again = cloud.runtime.block_on(table.create(import, &schema())).expect_err("there is one");
        assert_eq!(again.code, "table_exists");
        let discarded = stage(&table, 0..5);
        cloud.runtime.block_on(table.discard(&discarded));
        assert_eq!(cloud.runtime.block_on(table.staged_files_intact(&discarded)), Ok(false));
        assert_eq!(ids(&cloud, &table), (10..40).collect::<Vec<_>>());
    }
    // Another process.
    let (again, _) = cloud.open("s3://lake/some tables", "writer");
    let table = again.table(&spec).expect("a table");
    let facts = cloud.runtime.block_on(table.read()).expect("readable").expect("a table");
    assert_eq!((facts.import, facts.version, facts.committed_seq), (Some(import), 3, 3));
    let behind = cloud.runtime.block_on(table.commit(&commit(import, 3, Vec::new())));
    assert_eq!(behind, Ok(CommitAnswer::Conflict));
    assert!(cloud.in_lake("some tables/orders/_delta_log/00000000000000000003.json").exists());
    let left = std::fs::read_dir(cloud.in_lake("some tables")).expect("a folder").count();
    assert_eq!(left, 2, "the key of the probe is gone");
    let spooled = std::fs::read_dir(cloud.folder.path().join("data/spool/tables")).expect("a folder").count();
    assert_eq!(spooled, 0);
}

#[test]
fn case_21_22_puts_of_which_the_answer_is_lost_or_refused_land_once() {
    let cloud = Cloud::start();
    let (tables, spec) = cloud.open("s3://lake/t", "writer");
    let table = tables.table(&spec).expect("a table");
    let import = ImportUuid::mint();
    cloud.runtime.block_on(table.create(import, &schema())).expect("created");
    let faults = [
        // Our own repetition is then answered 412.
        Fault::ApplyThenFail(Some(Refusal::InternalError)),
        Fault::ApplyThenFail(None),
        Fault::Refuse(Refusal::InternalError),
        Fault::Refuse(Refusal::SlowDown),
        // "Somebody else is putting it now", of which nothing came.
        Fault::Refuse(Refusal::Conflict),
        Fault::ApplyThenFail(Some(Refusal::Conflict)),
    ];
    for (seq, fault) in (1..).zip(faults) {
        for pattern in ["*.json", "*.parquet"] {
            let rule = Rule::on(Operation::Put, When::First(1), fault.clone()).key(pattern);
            cloud.cloud.faults().set(Faults::seeded(1).with(rule));
            if pattern == "*.parquet" {
                let files = stage(&table, seq * 10..seq * 10 + 10);
                let answer = cloud.runtime.block_on(table.commit(&commit(import, seq * 2, files)));
                assert_eq!(answer, Ok(CommitAnswer::Landed { version: seq as u64 * 2 }), "{fault:?} {pattern}");
            } else {
                let answer = cloud.runtime.block_on(table.commit(&commit(import, seq * 2 - 1, Vec::new())));
                assert_eq!(answer, Ok(CommitAnswer::Landed { version: seq as u64 * 2 - 1 }), "{fault:?} {pattern}");
            }
        }
    }
    assert_eq!(ids(&cloud, &table), (10..70).collect::<Vec<_>>());
    let facts = cloud.runtime.block_on(table.read()).expect("readable").expect("a table");
    assert_eq!((facts.version, facts.committed_seq), (12, 12));
}

#[test]
fn case_26_a_bucket_that_ignores_if_none_match_is_refused() {
    let cloud = Cloud::start();
    let rule = Rule::on(Operation::Put, When::Always, Fault::IgnoreIfNoneMatch);
    cloud.cloud.faults().set(Faults::seeded(1).with(rule));
    let (tables, spec) = cloud.open("s3://lake/t", "writer");
    let table = tables.table(&spec).expect("a table");
    let error = cloud.runtime.block_on(table.read()).expect_err("refused");
    assert_eq!((error.class, error.code), (ErrorClass::Config, "no_conditional_put"), "{}", error.message);
}

#[test]
fn what_the_role_may_not_do_is_said_with_its_remedy() {
    let cloud = Cloud::start();
    for (uri, connection, code) in [
        // A role that may only read; one for another bucket; one that cannot be assumed; a bucket that there is not.
        ("s3://src/tables", "shop", "storage_denied"),
        ("s3://src/tables", "writer", "storage_denied"),
        ("s3://lake/tables", "stranger", "assume_role_denied"),
    ] {
        let (tables, spec) = cloud.open(uri, connection);
        let table = tables.table(&spec).expect("a table");
        let error = cloud.runtime.block_on(table.read()).expect_err("refused");
        assert_eq!((error.class, error.code), (ErrorClass::Config, code), "{uri} {connection}: {}", error.message);
        for secret in ["user-secret", "instance"] {
            assert!(!error.message.contains(secret), "{}", error.message);
        }
    }
}

#[test]
fn a_destination_that_is_watched_or_has_no_writer_is_refused() {
    let cloud = Cloud::start();
    for (uri, connection, code) in [
        ("s3://src/in/tables", "writer", "destination_watched"),
        ("s3://src", "writer", "destination_watched"),
        ("s3://lake/t", "wirter", "unknown_connection"),
    ] {
        assert_eq!(cloud.project(uri, connection).expect_err("refused"), [code], "{uri} {connection}");
    }
    assert!(cloud.project("s3://src/tables", "writer").is_ok(), "a prefix of its own");
}

#[test]
fn the_bucket_is_put_before_the_host_of_an_endpoint_unless_it_is_in_the_path() {
    assert_eq!(virtual_host("https://s3.example.com", "bkt"), "https://bkt.s3.example.com");
    assert_eq!(virtual_host("http://s3.example.com:9000", "bkt"), "http://bkt.s3.example.com:9000");
}

#[test]
fn a_log_entry_that_was_changed_on_the_way_is_asked_for_again() {
    let cloud = Cloud::start();
    let (tables, spec) = cloud.open("s3://lake/t", "writer");
    let table = tables.table(&spec).expect("a table");
    let import = ImportUuid::mint();
    cloud.runtime.block_on(table.create(import, &schema())).expect("created");
    let files = stage(&table, 0..5);
    cloud.runtime.block_on(table.commit(&commit(import, 1, files))).expect("committed");
    let read = |when: When, fault: &Fault| {
        let rule = Rule::on(Operation::Get, when, fault.clone()).key("t/orders/_delta_log/*.json");
        cloud.cloud.faults().set(Faults::seeded(1).with(rule));
        // Another process, which knows nothing of the table yet.
        let (again, spec) = cloud.open("s3://lake/t", "writer");
        let facts = cloud.runtime.block_on(again.table(&spec).expect("a table").read());
        facts.map(|facts| facts.expect("a table").committed_seq)
    };
    for fault in [Fault::FlippedBit, Fault::Truncated { by: 9 }, Fault::TooMuch { by: 9 }, Fault::Html] {
        assert_eq!(read(When::First(1), &fault), Ok(1), "{fault:?}");
        assert_eq!(read(When::Nth(2), &fault), Ok(1), "{fault:?}");
    }
    let error = read(When::Always, &Fault::FlippedBit).expect_err("nothing can be believed");
    assert_eq!((error.class, error.code), (ErrorClass::Transient, "storage"), "{}", error.message);
    assert!(error.message.contains("do not fit their ETag"), "{}", error.message);
}
