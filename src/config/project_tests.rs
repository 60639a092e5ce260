use std::cell::Cell;

use connector_core::csv::CsvSettings;
use connector_core::evolve::{Evolution, OnMissingColumn};
use connector_core::guard::GuardLimits;
use connector_core::spec::{Format, OverwritePolicy, Schedule};
use connector_datafile::{Colour, render};

use super::*;

/// A configuration folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("creates");
        std::fs::write(path, text).expect("writes");
    }
    folder
}

fn load_with(path: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Project, Problems> {
    let instance_secret = |_: &Path| Ok(Secret::new("instance"));
    load(path, &Surroundings { variable, current_dir: Path::new("/srv"), instance_secret: &instance_secret })
}

fn load_files(files: &[(&str, &str)]) -> Result<Project, Problems> {
    load_with(folder(files).path(), &|_: &str| None)
}

fn codes(diagnostics: &[Diagnostic]) -> Vec<&'static str> {
    diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

const ROLE: &str = "TYPE s3\nS3_REGION us-east-1\nS3_ARN arn:aws:iam::111111111111:role/reader\n";
const IMPORT: &str = "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://bkt/*.csv\nIMPORT_SCHEDULE @auto\n";

#[test]
fn the_shipped_configuration_loads_without_a_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let project = load_with(&path, &|_: &str| None).expect("the shipped configuration is right");
    assert_eq!(project.warnings, []);
    let [orders, page_views] = project.imports.as_slice() else { panic!("two imports") };
    assert_eq!((orders.name.as_str(), page_views.name.as_str()), ("orders", "page_views"));
    assert_eq!((orders.format, page_views.format), (Some(Format::Csv), Some(Format::Parquet)));
    assert_eq!((orders.schedule.clone(), orders.max_files), (Schedule::Auto, 5));
    let columns: Vec<String> = orders.columns.iter().flatten().map(|c| format!("{} {}", c.name, c.ty)).collect();
    assert_eq!(
        columns,
        [
            "order_id Int64",
            "customer_id Int64",
            "placed_at DateTime64(3)",
            "country String",
            "items Int32",
            "amount Decimal(10, 2)",
            "currency String",
            "coupon String"
        ]
    );
    assert_eq!(orders.columns.iter().flatten().filter(|column| column.nullable).count(), 1);
    assert_eq!(page_views.columns, None);
    assert_eq!(orders.connection.endpoint.as_deref(), Some("http://127.0.0.1:9460"));
    assert!(orders.connection.path_style);
    assert!(matches!(&orders.connection.access, Access::Role { arn, caller: Caller::DefaultChain, .. }
        if arn == "arn:aws:iam::000000000000:role/shop-reader"));
}

#[test]
fn the_lines_that_the_shipped_settings_comment_out_are_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(SETTINGS_FILE);
    let text = std::fs::read_to_string(path).expect("reads");
    // A commented setting is '# key = value'; prose has no '=' after its first word.
    let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line))
        .filter(|line| !line.contains("{ file") && !line.contains("{ env") && !line.starts_with("threads"))
        // A folder has none.
        .filter(|line| !line.starts_with("connection"))
        .map(|line| format!("{line}\n"))
        .collect();
    let with = load_files(&[(SETTINGS_FILE, &uncommented)]).expect("loads").settings;
    let without = load_files(&[]).expect("loads").settings;
    assert!(uncommented.contains("\nfiles_per_tick = 5"), "{uncommented}");
    let aws =
        settings::Aws { region: with.aws.region.clone(), sts_endpoint: with.aws.sts_endpoint.clone(), keys: None };
    assert_eq!(with, Settings { aws, ..without });
}

#[test]
fn a_wrong_configuration_shows_all_problems_of_all_files_at_once() {
    let found = load_files(&[
        (SETTINGS_FILE, "[limits]\nfiles_per_tik = 5\ntick = 60\n"),
        ("connections/shop.connection", "TYPE s3\nS3_REGION us-east-1\nS3_ARN {{ tb_secret(\"SHOP_ARN\") }}\n"),
        (
            "datasources/orders.datasource",
            "SCHEMA >\n    a Int46\n\nIMPORT_CONNECTION_NAME shpo\nIMPORT_BUCKET_URI s3://bkt\n",
        ),
        ("datasources/a/Orders.datasource", IMPORT),
    ])
    .expect_err("it is wrong");
    let mut all = codes(&found.diagnostics);
    all.sort_unstable();
    let expected =
        ["duplicate_name", "missing_secret", "unknown_connection", "unknown_key", "unknown_type", "wrong_type"];
    assert_eq!(all, expected);
    let printed = render(&found.diagnostics, Colour::Never);
    for part in [
        "s3-connector.toml:2:1",
        "did you mean 'files_per_tick'?",
        "s3-connector.toml:3:8",
        "expected a duration, found an integer",
        "shop.connection:3:8",
        "the secret 'SHOP_ARN' is not set",
        "orders.datasource:2:7",
        "did you mean 'Int64'?",
        "orders.datasource:4:24",
        "did you mean 'shop'?",
        "two data sources are called",
    ] {
        assert!(printed.contains(part), "{part} is missing in\n{printed}");
    }
    assert_eq!(printed.matches("hint:").count(), expected.len());
    assert!(found.to_string().starts_with("the configuration is refused for 6 problems"), "{found}");
}

#[test]
fn names_that_differ_in_case_are_the_same_whichever_comes_first() {
    for (first, second) in [("orders", "Orders"), ("Orders", "orders"), ("orders", "orders")] {
        let (first, second) =
            (format!("datasources/a/{first}.datasource"), format!("datasources/b/{second}.datasource"));
        let found = load_files(&[(&first, "DESCRIPTION x"), (&second, "DESCRIPTION x")]).expect_err("refused");
        assert!(codes(&found.diagnostics).contains(&"duplicate_name"), "{first} {second}");
    }
}

#[test]
fn settings_flow_into_the_imports() {
    let project = load_files(&[
        (SETTINGS_FILE, "[aws]\nregion = \"eu-west-1\"\nsts_endpoint = \"http://sts:1\"\n[limits]\ntick = \"2s\"\nfiles_per_tick = 7\n"),
        ("connections/my-shop.connection", "TYPE s3\nS3_ENDPOINT http://localhost:9000\nS3_REQUEST_PAYER true\n"),
        ("datasources/a.datasource", "IMPORT_CONNECTION_NAME my-shop\nIMPORT_BUCKET_URI s3://bkt/x\nIMPORT_MAX_FILES 3\n"),
        ("datasources/sub/b.datasource", "IMPORT_CONNECTION_NAME my_shop\nIMPORT_BUCKET_URI s3://bkt/y\n"),
    ])
    .expect("loads");
    let [a, b] = project.imports.as_slice() else { panic!("two imports") };
    assert_eq!((a.max_files, b.max_files), (3, 7));
    assert_eq!((a.tick, a.schedule.clone(), a.format), (std::time::Duration::from_secs(2), Schedule::OnDemand, None));
    assert_eq!(a.connection, b.connection);
    assert_eq!((a.connection.name.as_str(), a.connection.region.as_str()), ("my_shop", "eu-west-1"));
    assert_eq!(a.connection.sts_endpoint.as_deref(), Some("http://sts:1"));
    assert_eq!(a.connection.access, Access::DefaultChain);
    assert!(a.connection.path_style && a.connection.requester_pays);
}

#[test]
fn what_a_data_source_says_of_its_table_and_files_flows_into_its_import() {
    let project = load_files(&[
        (SETTINGS_FILE, "[limits]\nmax_columns = 50\nguard_rows = 7\nguard_files = 2\nguard_bytes = \"1 MB\"\n"),
        ("connections/shop.connection", ROLE),
        (
            "datasources/a.datasource",
            "SCHEMA >\n    at DateTime DEFAULT now(), day Date DEFAULT toDate(at)\n\n\
             ENGINE_PARTITION_KEY day\nENGINE_TTL day + toIntervalDay(60)\n\
             IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://bkt/x\nIMPORT_EVOLUTION freeze\n\
             IMPORT_ON_MISSING_COLUMN null\nIMPORT_CSV_DELIMITER ;\nIMPORT_CSV_HEADER false\n\
             IMPORT_ON_OVERWRITE append\n",
        ),
        ("datasources/b.datasource", "IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://bkt/y\n"),
    ])
    .expect("loads");
    let [a, b] = project.imports.as_slice() else { panic!("two imports") };
    assert_eq!(codes(&project.warnings), [""; 0]);
    assert_eq!(a.partition.as_deref(), Some("day"));
    assert_eq!(a.ttl.as_ref().map(ToString::to_string).as_deref(), Some("day + toIntervalDay(60)"));
    let frozen =
        EvolutionRules { evolution: Evolution::Freeze, on_missing_column: OnMissingColumn::Null, max_columns: 50 };
    assert_eq!(a.evolution, frozen);
    assert_eq!(b.evolution, EvolutionRules { max_columns: 50, ..EvolutionRules::default() });
    assert_eq!((a.overwrite, b.overwrite), (OverwritePolicy::Append, OverwritePolicy::Ignore));
    assert_eq!(a.csv, CsvSettings { delimiter: Some(b';'), header: Some(false), ..CsvSettings::default() });
    assert_eq!((&b.csv, &b.partition, &b.ttl), (&CsvSettings::default(), &None, &None));
    assert_eq!(a.guard, GuardLimits { rows: 7, files: 2, bytes: 1_000_000 });
    assert_eq!(a.guard, b.guard);
    let sources: Vec<&str> = a.columns.iter().flatten().map(|column| column.source.as_str()).collect();
    assert_eq!(sources, ["column_1", "column_2"]);
}

#[test]
fn the_keys_of_the_settings_call_sts_and_never_reach_s3() {
    let path = folder(&[
        (SETTINGS_FILE, "[aws]\naccess_key_id = { env = \"ID\" }\nsecret_access_key = { env = \"KEY\" }\n"),
        ("connections/shop.connection", ROLE),
        ("datasources/a.datasource", IMPORT),
    ]);
    let variable = |name: &str| ["ID", "KEY"].contains(&name).then(|| format!("value of {name}"));
    let project = load_with(path.path(), &variable).expect("loads");
    let Access::Role { caller: Caller::Static(keys), .. } = &project.imports[0].connection.access else {
        panic!("a role with a static caller")
    };
    assert_eq!(keys.access_key_id, "value of ID");
    assert!(!format!("{project:?}").contains("value of KEY"));
}

#[test]
fn an_external_id_is_derived_only_when_needed_and_depends_on_secret_and_name() {
    let external_id = |connection: &str| {
        let project = load_files(&[("connections/shop.connection", connection), ("datasources/a.datasource", IMPORT)]);
        match project.expect("loads").imports.remove(0).connection.access {
            Access::Role { external_id, .. } => external_id,
            other => panic!("{other:?} is no role"),
        }
    };
    assert_eq!(external_id(&format!("{ROLE}S3_EXTERNAL_ID mine")), "mine");
    let derived = derive_external_id(&Secret::new("instance"), "shop");
    assert_eq!(external_id(ROLE), derived);
    let lengths: Vec<usize> = derived.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12]);
    assert_ne!(derived, derive_external_id(&Secret::new("instance"), "shop2"));
    assert_ne!(derived, derive_external_id(&Secret::new("other"), "shop"));

    let asked = Cell::new(0);
    let instance_secret = |_: &Path| {
        asked.set(asked.get() + 1);
        Err(Failure::config("no_secret", "the data directory is read-only"))
    };
    let none = |_: &str| None;
    let around = Surroundings { variable: &none, current_dir: Path::new("/srv"), instance_secret: &instance_secret };
    let with_error = folder(&[
        ("connections/shop.connection", ROLE),
        ("datasources/a.datasource", IMPORT),
        ("datasources/b.datasource", "NOPE"),
    ]);
    assert_eq!(
        codes(&load(with_error.path(), &around).expect_err("refused").diagnostics),
        ["unknown_directive", "no_import"]
    );
    assert_eq!(asked.get(), 0, "a wrong configuration creates nothing");
    let without = folder(&[("connections/shop.connection", ROLE), ("datasources/a.datasource", IMPORT)]);
    let refused = load(without.path(), &around).expect_err("refused");
    assert_eq!(codes(&refused.diagnostics), ["no_instance_secret"]);
    assert_eq!(asked.get(), 1);
}

#[test]
fn what_is_odd_but_harmless_is_a_warning() {
    let project = load_files(&[("datasources/a.datasource", "DESCRIPTION nothing yet\n")]).expect("loads");
    assert_eq!(codes(&project.warnings), ["no_import"]);
    assert!(project.imports.is_empty());
    assert_eq!(codes(&load_files(&[]).expect("loads").warnings), ["no_data_source"]);
}

#[test]
fn a_folder_or_file_that_cannot_be_read_is_a_problem_and_hidden_ones_are_left_out() {
    let missing = load_with(Path::new("/none/such"), &|_: &str| None).expect_err("no folder");
    assert_eq!(codes(&missing.diagnostics), ["missing_folder"]);
    let path = folder(&[
        ("datasources/.hidden.datasource", "NOPE"),
        ("datasources/..data/x.datasource", "NOPE"),
        ("datasources/notes.txt", "NOPE"),
        ("datasources/a.datasource", "DESCRIPTION x"),
    ]);
    assert_eq!(load_with(path.path(), &|_: &str| None).expect("loads").warnings.len(), 1);
    std::fs::write(path.path().join("datasources/b.datasource"), [0xff, 0xfe]).expect("writes");
    let unreadable = load_with(path.path(), &|_: &str| None).expect_err("not UTF-8");
    assert_eq!(codes(&unreadable.diagnostics), ["unreadable_file", "no_import"]);
}

#[test]
fn datafiles_may_lie_in_the_folder_itself() {
    let of = |files: &[(&str, &str)]| load_files(files).map(|project| project.imports.len());
    let flat = [("shop.connection", ROLE), ("a.datasource", IMPORT)];
    assert_eq!(of(&flat).expect("loads"), 1);
    let mixed = [("shop.connection", ROLE), ("a.datasource", IMPORT), ("datasources/b.datasource", IMPORT)];
    assert_eq!(of(&mixed).expect("loads"), 2);
    let elsewhere = [("shop.connection", ROLE), ("old/a.datasource", IMPORT), ("connections/b.datasource", IMPORT)];
    assert_eq!(of(&elsewhere).expect("loads"), 0, "other folders are not looked into");
    let twice = [("shop.connection", ROLE), ("a.datasource", IMPORT), ("datasources/a.datasource", IMPORT)];
    assert_eq!(codes(&of(&twice).expect_err("refused").diagnostics), ["duplicate_name"]);
}

#[test]
fn connections_are_unique_need_a_region_and_do_not_show_their_secrets() {
    let found = load_files(&[
        ("connections/my-shop.connection", "TYPE s3\nS3_SECRET swordfish\nS3_ACCESS_KEY x\n"),
        ("connections/eu/My_Shop.connection", "TYPE s3\nS3_SECRET swordfish\nS3_ACCESS_KEY x\n"),
        ("datasources/a.datasource", IMPORT),
    ])
    .expect_err("refused");
    let mut all = codes(&found.diagnostics);
    all.sort_unstable();
    assert_eq!(
        all,
        ["duplicate_name", "missing_region", "missing_region", "plain_secret", "plain_secret", "unknown_connection"]
    );
    assert!(!render(&found.diagnostics, Colour::Always).contains("swordfish"));
}
