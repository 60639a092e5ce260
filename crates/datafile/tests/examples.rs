//! The examples that people come with: accepted as they are.

use connector_core::schema::ColumnDefault;
use connector_core::spec::{Format, Schedule};
use connector_datafile::{
    AccessDef, Colour, DataSource, Severity, SourceFile, parse_connection, parse_datasource, render,
};

/// The file, with the names of the directives that nothing uses.
fn accepted(name: &str, text: &str) -> (DataSource, Option<String>) {
    let (read, found) = parse_datasource(&SourceFile::new(name, text), &|_: &str| None);
    let others: Vec<_> = found.iter().filter(|found| found.code != "ignored_directive").cloned().collect();
    assert_eq!(others, [], "{}", render(&others, Colour::Never));
    (read, found.into_iter().next().map(|found| found.message))
}

#[test]
fn the_data_source_of_the_reference_is_accepted() {
    let text = "\
DESCRIPTION >
    Analytics events landing data source

SCHEMA >
    `timestamp` DateTime `json:$.timestamp`,
    `session_id` String `json:$.session_id`,
    `action` LowCardinality(String) `json:$.action`,
    `version` LowCardinality(String) `json:$.version`,
    `payload` String `json:$.payload`

ENGINE \"MergeTree\"
ENGINE_PARTITION_KEY \"\"
ENGINE_SORTING_KEY \"timestamp\"
ENGINE_TTL \"timestamp + toIntervalDay(60)\"

IMPORT_SERVICE s3_iamrole
IMPORT_CONNECTION_NAME connection_name
IMPORT_BUCKET_URI s3://my-bucket/*.csv
IMPORT_SCHEDULE @auto
IMPORT_STRATEGY APPEND
";
    let (read, ignored) = accepted("s3.datasource", text);
    assert_eq!(ignored, None);
    let columns = read.columns.expect("columns");
    let found: Vec<String> =
        columns.iter().map(|found| format!("{} {}", found.column.source, found.column.ty)).collect();
    assert_eq!(found, ["timestamp DateTime", "session_id String", "action String", "version String", "payload String"]);
    assert_eq!(read.ttl.map(|ttl| ttl.to_string()).as_deref(), Some("timestamp + toIntervalDay(60)"));
    let import = read.import.expect("an import");
    assert_eq!((import.schedule, import.format), (Schedule::Auto, Some(Format::Csv)));
    assert_eq!(import.connection.value, "connection_name");
}

#[test]
fn a_data_source_with_everything_in_it_is_accepted() {
    let text = "\
DESCRIPTION >
    Orders dropped by the shop

TOKEN \"orders_read\" READ
TAGS \"billing,team=shop\"

SCHEMA >
    `order_id` UInt64 `json:$.id`,
    `placed_at` DateTime64(3) `json:$.at` DEFAULT now64(3),
    `note` Nullable(String) `json:$.note`,
    `skus` Array(String) `json:$.lines[:].sku` CODEC(ZSTD(1))

INDEXES >
    idx_note note TYPE bloom_filter(0.01) GRANULARITY 4

ENGINE \"MergeTree\"
ENGINE_SORTING_KEY \"order_id, placed_at\"
ENGINE_TTL \"toDate(placed_at) + toIntervalDay(60)\"

IMPORT_CONNECTION_NAME shop_s3
IMPORT_BUCKET_URI \"s3://shop-drop/orders/*.parquet\"
IMPORT_SCHEDULE \"@auto\"
IMPORT_FORMAT \"parquet\"
IMPORT_FROM_TIMESTAMP \"2025-01-01T00:00:00Z\"
";
    let (read, ignored) = accepted("orders.datasource", text);
    assert_eq!(ignored.as_deref(), Some("ignored, because nothing here uses it: INDEXES, TAGS, TOKEN"));
    let columns = read.columns.expect("columns");
    let sources: Vec<&str> = columns.iter().map(|found| found.column.source.as_str()).collect();
    assert_eq!(sources, ["id", "at", "note", "lines[:].sku"]);
    assert!(matches!(columns[1].column.default, Some(ColumnDefault::Expression(_))));
    assert_eq!(columns[3].codec.as_ref().map(|codec| codec.value.len()), Some(1));
    let import = read.import.expect("an import");
    assert_eq!(import.format, Some(Format::Parquet));
    assert_eq!(import.from_timestamp.map(|from| from.value.to_string()).as_deref(), Some("2025-01-01T00:00:00Z"));
}

#[test]
fn a_connection_with_its_role_in_a_secret_is_accepted() {
    let text = "TYPE s3\nS3_REGION \"eu-west-1\"\nS3_ARN {{ tb_secret(\"shop_role_arn\") }}\n";
    let arn = "arn:aws:iam::111111111111:role/shop";
    let secrets = |name: &str| (name == "shop_role_arn").then(|| connector_core::secret::Secret::new(arn));
    let (read, found) = parse_connection(&SourceFile::new("shop_s3.connection", text), &secrets);
    assert_eq!(found, [], "{}", render(&found, Colour::Never));
    assert_eq!(read.region.map(|region| region.value).as_deref(), Some("eu-west-1"));
    assert!(matches!(read.access, AccessDef::Role { arn: found, external_id: None } if found.value == arn));
    // Without the secret it is refused where it is needed, and nowhere else.
    let (_, found) = parse_connection(&SourceFile::new("shop_s3.connection", text), &|_: &str| None);
    let [missing] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((missing.code, missing.severity), ("missing_secret", Severity::Error));
}
