use std::collections::HashMap;

use connector_core::error::Failure;
use connector_datafile::{Colour, render};

use super::*;

/// Reads settings with these environment variables; the current directory is `/work`.
fn read_with(text: &str, variables: &[(&str, &str)]) -> (Settings, Vec<Diagnostic>) {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let instance_secret = |_: &Path| Err(Failure::config("none", "not asked for"));
    let around =
        Surroundings { variable: &variable, current_dir: Path::new("/srv"), instance_secret: &instance_secret };
    parse(&SourceFile::new("config/s3-connector.toml", text), &around)
}

fn good(text: &str, variables: &[(&str, &str)]) -> Settings {
    let (settings, found) = read_with(text, variables);
    assert_eq!(found, [], "{text}");
    settings
}

/// Code, line and column of the only problem.
fn problem(text: &str) -> (&'static str, usize, usize) {
    let (_, found) = read_with(text, &[]);
    assert_eq!(found.len(), 1, "{text}: {found:?}");
    let place = found[0].place.as_ref().expect("a place");
    let (line, column) = place.file.line_column(place.span.start);
    (found[0].code, line, column)
}

#[test]
fn an_empty_file_means_the_defaults() {
    let settings = good("", &[]);
    assert_eq!(settings.data_dir, Path::new("/srv/data"));
    assert_eq!(settings.destination, Path::new("/srv/data/tables"));
    assert_eq!(settings.listen.metrics.to_string(), "127.0.0.1:9464");
    assert_eq!(settings.listen.api.to_string(), "127.0.0.1:9465");
    assert_eq!(settings.aws, Aws::default());
    assert_eq!(settings.limits.files_per_tick, 5);
    assert_eq!((settings.limits.tick, settings.limits.memory), (Duration::from_secs(60), 512 << 20));
    assert!(settings.limits.threads >= 1);
    assert_eq!(settings.limits.max_columns, 2_000);
    assert_eq!(settings.limits.guard, GuardLimits { rows: 10_000, files: 3, bytes: 1 << 30 });
    assert_eq!(settings.log, Log { format: LogFormat::Human, level: tracing::Level::INFO });
}

#[test]
fn every_key_is_read_from_the_file() {
    let text = r#"
data_dir = "/var/lib/connector"
[listen]
metrics = "0.0.0.0:1"
api = "[::1]:2"
[aws]
access_key_id = { env = "ID" }
secret_access_key = { env = "KEY" }
session_token = { env = "TOKEN" }
region = "eu-west-1"
sts_endpoint = "http://127.0.0.1:9461/"
[destination]
uri = "tables"
[limits]
files_per_tick = 50
tick = "2s"
memory = "1GiB"
threads = 3
max_columns = 100
guard_rows = 7
guard_files = 1
guard_bytes = "2 MiB"
retention = "24h"
[log]
format = "json"
level = "debug"
"#;
    let settings = good(text, &[("ID", "id"), ("KEY", " key\n"), ("TOKEN", "token")]);
    let keys = StaticKeys {
        access_key_id: "id".to_owned(),
        secret_access_key: Secret::new("key"),
        session_token: Some(Secret::new("token")),
    };
    assert_eq!(settings.data_dir, Path::new("/var/lib/connector"));
    assert_eq!(settings.destination, Path::new("/srv/tables"));
    assert_eq!((settings.listen.metrics.port(), settings.listen.api.port()), (1, 2));
    assert_eq!(settings.aws.keys, Some(keys));
    assert_eq!(settings.aws.region.as_deref(), Some("eu-west-1"));
    assert_eq!(settings.aws.sts_endpoint.as_deref(), Some("http://127.0.0.1:9461"));
    assert_eq!((settings.limits.files_per_tick, settings.limits.threads), (50, 3));
    assert_eq!((settings.limits.tick, settings.limits.memory), (Duration::from_secs(2), 1 << 30));
    assert_eq!(settings.limits.max_columns, 100);
    assert_eq!(settings.limits.guard, GuardLimits { rows: 7, files: 1, bytes: 2 << 20 });
    assert_eq!(settings.limits.retention, Duration::from_secs(86_400));
    assert_eq!(settings.log, Log { format: LogFormat::Json, level: tracing::Level::DEBUG });
}

#[test]
fn every_key_can_be_overridden_by_its_variable_and_bad_ones_are_named() {
    for (section, key) in KEYS {
        let name = super::super::toml::variable_name(section, key);
        let (_, found) = read_with("", &[(&name, "\u{1}%s3://")]);
        let accepts_any_text = matches!(*key, "access_key_id" | "secret_access_key" | "session_token" | "secrets_dir");
        if !accepts_any_text {
            assert_eq!(found.len(), 1, "{name}: {found:?}");
            assert!(found[0].message.contains(&name), "{name}: {found:?}");
            assert!(found[0].place.is_none());
        }
        let (_, found) = read_with("", &[(&name, "")]);
        assert_eq!(found, [], "an empty {name} counts as not set");
    }
    let overrides = [
        ("S3_CONNECTOR_DATA_DIR", "elsewhere"),
        ("S3_CONNECTOR_LIMITS_TICK", "500ms"),
        ("S3_CONNECTOR_LIMITS_FILES_PER_TICK", "9"),
        ("S3_CONNECTOR_LIMITS_MEMORY", "33554432"),
        ("S3_CONNECTOR_LIMITS_MAX_COLUMNS", "11"),
        ("S3_CONNECTOR_LIMITS_GUARD_BYTES", "1 GiB"),
        ("S3_CONNECTOR_AWS_ACCESS_KEY_ID", "id"),
        ("S3_CONNECTOR_AWS_SECRET_ACCESS_KEY", "key"),
        ("S3_CONNECTOR_LOG_LEVEL", "WARN"),
    ];
    let settings = good("data_dir = \"x\"\n[limits]\ntick = \"60s\"", &overrides);
    assert_eq!(settings.destination, Path::new("/srv/elsewhere/tables"));
    assert_eq!(settings.limits.tick, Duration::from_millis(500));
    assert_eq!((settings.limits.files_per_tick, settings.limits.memory), (9, MIN_BUDGET));
    assert_eq!((settings.limits.max_columns, settings.limits.guard.bytes), (11, 1 << 30));
    assert_eq!(settings.aws.keys.map(|keys| keys.access_key_id).as_deref(), Some("id"));
    assert_eq!(settings.log.level, tracing::Level::WARN);
}

#[test]
fn each_problem_is_reported_at_its_place() {
    for (text, code, line, column) in [
        ("data_dri = \"x\"", "unknown_key", 1, 1),
        ("[limts]\ntick = \"1s\"", "unknown_key", 1, 2),
        ("[limits]\n  tik = \"1s\"", "unknown_key", 2, 3),
        ("[limits]\ndata_dir = \"x\"", "unknown_key", 2, 1),
        ("limits.tok = 1", "unknown_key", 1, 8),
        ("limits = 3", "wrong_type", 1, 1),
        ("data_dir = 3", "wrong_type", 1, 12),
        ("data_dir = \"\"", "bad_path", 1, 12),
        ("[limits]\nfiles_per_tick = \"5\"", "wrong_type", 2, 18),
        ("[limits]\nfiles_per_tick = 0", "out_of_range", 2, 18),
        ("[limits]\nfiles_per_tick = -5", "out_of_range", 2, 18),
        ("[limits]\ntick = 60", "wrong_type", 2, 8),
        ("[limits]\ntick = \"60\"", "bad_duration", 2, 8),
        ("[limits]\ntick = \"1ms\"", "out_of_range", 2, 8),
        ("[limits]\nmemory = \"lots\"", "bad_size", 2, 10),
        ("[limits]\nmemory = \"31MiB\"", "out_of_range", 2, 10),
        ("[limits]\nthreads = 0", "out_of_range", 2, 11),
        ("[limits]\nmax_columns = 0", "out_of_range", 2, 15),
        ("[limits]\nmax_columns = 10001", "out_of_range", 2, 15),
        ("[limits]\nmax_colums = 5", "unknown_key", 2, 1),
        ("[limits]\nguard_rows = \"many\"", "wrong_type", 2, 14),
        ("[limits]\nguard_files = 0", "out_of_range", 2, 15),
        ("[limits]\nretention = \"59m\"", "out_of_range", 2, 13),
        ("[limits]\nretention = \"7 days\"", "bad_duration", 2, 13),
        ("[limits]\nguard_bytes = 0", "out_of_range", 2, 15),
        ("[limits]\nguard_bytes = \"1 Gigabyte\"", "bad_size", 2, 15),
        ("[listen]\nmetrics = \"localhost:1\"", "bad_address", 2, 11),
        ("[destination]\nuri = \"s3://bkt/x\"", "missing_connection", 2, 7),
        ("[destination]\nuri = \"s3://bkt/x\"\nconnection = 3", "wrong_type", 3, 14),
        ("[destination]\nuri = \"s3://bkt/x\"\nconnection = \"a b\"", "bad_name", 3, 14),
        ("[destination]\nuri = \"s3://b\"\nconnection = \"w\"", "bad_destination", 2, 7),
        ("[destination]\nuri = \"s3://bkt/x/*\"\nconnection = \"w\"", "bad_destination", 2, 7),
        ("[destination]\nuri = \"s3://bkt/50%\"\nconnection = \"w\"", "bad_destination", 2, 7),
        ("[destination]\nuri = \"s3://bkt/a//b\"\nconnection = \"w\"", "bad_destination", 2, 7),
        ("[destination]\nuri = \"s3://bkt/../b\"\nconnection = \"w\"", "bad_destination", 2, 7),
        ("[destination]\nuri = \"tables\"\nconnection = \"w\"", "needless_connection", 3, 14),
        ("[destination]\nconnection = \"w\"", "needless_connection", 2, 14),
        ("[destination]\nuri = \"gs://bkt/x\"", "bad_destination", 2, 7),
        ("[destination]\nuri = \"/x/50%/y\"", "bad_destination", 2, 7),
        ("data_dir = \"/x/50%\"", "bad_destination", 1, 12),
        ("[log]\nformat = \"jsno\"", "unknown_value", 2, 10),
        ("[log]\nlevel = \"loud\"", "unknown_value", 2, 9),
        ("[aws]\nregion = \"US East\"", "bad_region", 2, 10),
        ("[aws]\nsts_endpoint = \"sts\"", "bad_endpoint", 2, 16),
        ("[aws]\nsession_token = \"x\"", "plain_secret", 2, 17),
        ("[aws]\nsession_token = { evn = \"x\" }", "wrong_type", 2, 17),
        ("[aws]\nsession_token = { env = \"NONE\" }", "missing_secret", 2, 17),
        ("[aws]\nsession_token = { file = \"/none/such\" }", "missing_secret", 2, 17),
        ("data_dir = ", "bad_toml", 1, 12),
        ("a = 1\na = 2", "bad_toml", 2, 1),
    ] {
        assert_eq!(problem(text), (code, line, column), "{text}");
    }
}

#[test]
fn tables_can_be_in_a_bucket() {
    for (uri, prefix) in
        [("s3://bkt", ""), ("s3://bkt/", ""), ("s3://bkt/lake", "lake"), ("s3://bkt/lake/x y/", "lake/x y")]
    {
        let settings = good(&format!("[destination]\nuri = \"{uri}\"\nconnection = \"writer\""), &[]);
        let bucket = settings.bucket.expect("a bucket");
        assert_eq!((bucket.bucket.as_str(), bucket.prefix.as_str()), ("bkt", prefix), "{uri}");
        assert_eq!(bucket.connection, "writer");
        assert_eq!(bucket.uri(), uri.trim_end_matches('/'));
    }
    // The current directory plays no part then.
    let text = "data_dir = \"/a%b\"\n[destination]\nuri = \"s3://bkt/x\"\nconnection = \"w\"";
    assert!(good(text, &[]).bucket.is_some());
    let variables = [("S3_CONNECTOR_DESTINATION_URI", "s3://bkt/x"), ("S3_CONNECTOR_DESTINATION_CONNECTION", "w")];
    assert!(good("", &variables).bucket.is_some());
    assert_eq!(good("", &[]).bucket, None);
}

#[test]
fn half_a_pair_of_keys_is_refused() {
    let (_, found) = read_with("[aws]\naccess_key_id = { env = \"ID\" }", &[("ID", "id")]);
    assert_eq!(found.iter().map(|found| found.code).collect::<Vec<_>>(), ["incomplete_keys"]);
}

#[test]
fn a_percent_sign_in_the_current_directory_does_not_matter_if_the_tables_are_elsewhere() {
    assert_eq!(good("data_dir = \"/a%b\"\n[destination]\nuri = \"/tables\"", &[]).destination, Path::new("/tables"));
}

#[test]
fn a_secret_that_stands_in_the_file_is_never_printed() {
    for text in [
        "[aws]\nsecret_access_key = \"swordfish\"",
        "[aws]\naccess_key_id = \"swordfish\"",
        "[aws]\nsecret_acess_key = \"swordfish\"",
        "[aws]\nsecert = \"swordfish\"",
        "[aws]\nsecret_access_key = swordfish",
        "[aws]\n\"secret_access_key\" = \"swordfish\"\nx = 1",
        "[aws]\nsecret_access_key = \"\"\"\nswordfish\n\"\"\"\nx = 1",
        "aws.secret_access_key = \"swordfish\"\nx = 1",
        "aws = { region = \"us-east-1\", secret_access_key = \"swordfish\" }\nx = 1",
        "aws = { sceret = \"swordfish\" }",
        "secret_access_key = \"swordfish\"",
        "[aws]\nsecret_access_key = { secret = \"swordfish\" }",
        "[limits]\ntick = 1\n\n[aws]\nsecret_access_key = \"swordfish\"",
    ] {
        let (settings, found) = read_with(text, &[]);
        assert!(!found.is_empty(), "{text}");
        let printed = format!("{}{found:?}{settings:?}", render(&found, Colour::Never));
        assert!(!printed.contains("swordfish"), "{text}\n{printed}");
    }
    let (settings, _) = read_with("", &[("S3_CONNECTOR_AWS_SECRET_ACCESS_KEY", "swordfish")]);
    assert!(!format!("{settings:?}").contains("swordfish"));
}

#[test]
fn all_problems_are_reported_at_once() {
    let text = "nope = 1\n[limits]\ntick = 1\nmemory = \"1\"\n[log]\nlevle = \"info\"";
    let codes: Vec<&str> =
        read_with(text, &[("S3_CONNECTOR_LISTEN_API", "x")]).1.iter().map(|found| found.code).collect();
    assert_eq!(codes, ["unknown_key", "unknown_key", "bad_address", "wrong_type", "out_of_range"]);
}
