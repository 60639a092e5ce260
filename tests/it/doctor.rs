//! `connection check`: each thing that can be wrong with a connection has a message of its own, which names what to
//! change and where.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connector_devcloud::{Account, Denial, Encrypted, Role};
use jiff::SignedDuration;
use serde_json::Value;

use crate::harness::{CALLER, CALLER_SECRET, Cloud, Daemon, EXTERNAL_ID, Finished, Home, ROLE, role_connection, until};
use crate::s3_tables;
use crate::second_s3::Moto;

/// The key that objects are encrypted with where a test says so.
const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/6a0f";

fn role() -> Role {
    Role {
        arn: ROLE.to_owned(),
        external_id: Some(EXTERNAL_ID.to_owned()),
        allowed_callers: vec![CALLER.to_owned()],
        buckets: None,
        session: Duration::from_secs(3_600),
        write: false,
    }
}

/// A connection, a data source that reads through it, and one object for it.
fn home_with(role: Role) -> (Home, Cloud) {
    let home = Home::new();
    let cloud = Cloud::with_roles(&home, vec![role]);
    home.role_connection(cloud.endpoint()).datasource("orders", "s3://drop/in/*.csv", "@auto");
    home.put("drop", "in/1.csv", "id\n1\n");
    (home, cloud)
}

fn home() -> (Home, Cloud) {
    home_with(role())
}

fn denied(action: &str) -> Account {
    Account { denials: vec![Denial::everywhere(action)], ..Account::default() }
}

fn finished(command: &mut std::process::Command) -> Finished {
    Finished::of(command.output().expect("the program starts"))
}

/// The report, as people and as programs get it.
struct Report {
    text: String,
    findings: Vec<Value>,
}

impl Report {
    /// Runs the check twice, for people and with `--json`; both end with this code.
    #[track_caller]
    fn of(home: &Home, sts: &str, arguments: &[&str], code: i32) -> Self {
        Self::with(home, sts, arguments, &[], code)
    }

    #[track_caller]
    fn with(home: &Home, sts: &str, arguments: &[&str], variables: &[(&str, &str)], code: i32) -> Self {
        let words = [&["connection", "check", "shop"], arguments].concat();
        let run = |words: &[&str]| finished(home.command(sts, words).envs(variables.iter().copied()));
        let text = run(&words).expect_code(code).stdout;
        let json = run(&[words.as_slice(), &["--json"]].concat()).expect_code(code);
        let whole: Value = serde_json::from_str(&json.stdout).unwrap_or_else(|error| panic!("{error}: {json:?}"));
        let connection = &whole["connections"][0];
        assert_eq!((&connection["connection"], &connection["ok"]), (&"shop".into(), &(code == 0).into()), "{whole}");
        for said in [&text, &json.stdout, &json.stderr] {
            assert!(!said.contains(CALLER_SECRET), "a secret shows: {said}");
        }
        Self { text, findings: connection["findings"].as_array().expect("findings").clone() }
    }

    #[track_caller]
    fn find(&self, probe: &str) -> &Value {
        let found = self.findings.iter().find(|finding| finding["probe"] == probe);
        found.unwrap_or_else(|| panic!("no {probe} in\n{}", self.text))
    }

    /// Checks what came of each of these probes.
    #[track_caller]
    fn outcomes(&self, expected: &[(&str, &str)]) -> &Self {
        for (probe, outcome) in expected {
            assert_eq!(self.find(probe)["outcome"], *outcome, "{probe} in\n{}", self.text);
        }
        self
    }

    /// Checks that only this probe failed, with this code; and that its message and its remedy have these words, which
    /// the report for people has as well.
    #[track_caller]
    fn only_failure(&self, probe: &str, code: &str, words: &[&str]) -> &Self {
        let failed: Vec<&Value> = self.findings.iter().filter(|finding| finding["outcome"] == "failed").collect();
        assert_eq!(failed.len(), 1, "{}", self.text);
        assert_eq!((&failed[0]["probe"], &failed[0]["code"]), (&probe.into(), &code.into()), "{}", self.text);
        self.names(probe, words)
    }

    #[track_caller]
    fn names(&self, probe: &str, words: &[&str]) -> &Self {
        let finding = self.find(probe);
        let (remedy, said) = (&finding["remedy"], finding["message"].as_str().expect("a message"));
        let part = |name: &str| remedy[name].as_str().unwrap_or_default().to_owned();
        let json =
            format!("{said}\n{}\n{}\n{}\n{}", part("place"), part("change"), part("command"), remedy["statement"]);
        for word in words {
            assert!(json.contains(word), "{word:?} is not in {json}");
        }
        // The key of a probe object is another one each time.
        let said = said.split("_s3_connector_probe_").next().unwrap_or_default();
        for line in [said, &part("place"), &part("change")] {
            assert!(self.text.contains(line), "people do not read {line:?} in\n{}", self.text);
        }
        self
    }
}

fn check(home: &Home, cloud: &Cloud, code: i32) -> Report {
    Report::of(home, cloud.endpoint(), &[], code)
}

#[test]
fn a_connection_that_is_well_says_so_probe_by_probe() {
    let (home, cloud) = home();
    let report = check(&home, &cloud, 0);
    report.outcomes(&[
        ("caller", "ok"),
        ("assume_role", "ok"),
        ("without_external_id", "ok"),
        ("wrong_external_id", "ok"),
        ("clock", "ok"),
        ("endpoint", "ok"),
        ("list_buckets", "ok"),
        ("region", "ok"),
        ("list", "ok"),
        ("get", "ok"),
        ("decrypt", "not needed"),
    ]);
    assert!(report.findings.iter().all(|finding| finding["remedy"].is_null()), "{:?}", report.findings);
    assert!(report.text.contains("0 failures, 0 warnings"), "{}", report.text);
    assert_eq!(report.find("get")["on"], "s3://drop/in/1.csv");
}

#[test]
fn a_wrong_external_id_names_the_trust_policy_and_what_to_put_there() {
    let (home, cloud) = home();
    home.config("connections/shop.connection", &role_connection(cloud.endpoint(), ROLE, "another-id"));
    let words =
        ["trust policy of the role reader", "Trust relationships", "sts:ExternalId", "another-id", "user/caller"];
    let report = check(&home, &cloud, 2);
    report.only_failure("assume_role", "assume_role_denied", &words);
    report.outcomes(&[("caller", "ok"), ("wrong_external_id", "skipped"), ("list", "skipped"), ("get", "skipped")]);
    let statement = &report.find("assume_role")["remedy"]["statement"];
    assert_eq!(statement["Condition"]["StringEquals"]["sts:ExternalId"], "another-id");
}

#[test]
fn a_trust_policy_that_takes_any_external_id_is_a_warning() {
    let (home, cloud) = home_with(Role { external_id: None, ..role() });
    let report = check(&home, &cloud, 0);
    report.outcomes(&[("assume_role", "ok"), ("without_external_id", "warning"), ("wrong_external_id", "warning")]);
    let words = ["does not enforce the external id", "trust policy of the role reader", EXTERNAL_ID];
    report.names("wrong_external_id", &words).names("without_external_id", &words);
    assert!(report.text.contains("0 failures, 2 warnings"), "{}", report.text);
}

/// Temporary keys in the environment, with nothing that renews them.
fn session_in_environment(home: &Home, cloud: &Cloud, lasts: SignedDuration, code: i32) -> Report {
    let keys = cloud.account().open_session(ROLE, lasts).expect("the role");
    let text = format!("TYPE s3\nS3_REGION \"us-east-1\"\nS3_ENDPOINT \"{}\"\n", cloud.endpoint());
    home.config("connections/shop.connection", &text);
    let variables = [
        ("AWS_ACCESS_KEY_ID", keys.access_key_id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", keys.secret.expose()),
        ("AWS_SESSION_TOKEN", keys.token.expose()),
    ];
    let report = Report::with(home, cloud.endpoint(), &[], &variables, code);
    for secret in [keys.secret.expose(), keys.token.expose()] {
        assert!(!report.text.contains(secret) && !format!("{:?}", report.findings).contains(secret), "{}", report.text);
    }
    report
}

#[test]
fn an_expired_token_is_told_from_a_wrong_one() {
    let (home, cloud) = home();
    let report = session_in_environment(&home, &cloud, SignedDuration::from_hours(1), 0);
    report.outcomes(&[("assume_role", "not needed"), ("list", "ok"), ("get", "ok")]);
    let report = session_in_environment(&home, &cloud, SignedDuration::from_hours(-1), 2);
    report.outcomes(&[("caller", "failed")]);
    let words = ["the session token", "has expired", "fresh temporary keys", "default AWS chain"];
    report.names("caller", &words);
    assert_eq!(report.find("caller")["code"], "expired_credentials");
}

#[test]
fn a_permission_that_misses_is_named_with_its_statement() {
    let (home, cloud) = home();
    let place = "access policy of the role reader (IAM console: Roles, reader, Permissions)";
    cloud.account().set(denied("s3:ListBucket"));
    let report = check(&home, &cloud, 2);
    report.only_failure("list", "access_denied", &[place, "s3:ListBucket", "arn:aws:s3:::drop"]);
    report.outcomes(&[("list_buckets", "ok"), ("get", "skipped"), ("decrypt", "skipped")]);

    cloud.account().set(denied("s3:GetObject"));
    let report = check(&home, &cloud, 2);
    report.only_failure("get", "access_denied", &[place, "s3:GetObject", "arn:aws:s3:::drop/*"]);
    report.outcomes(&[("list", "ok"), ("decrypt", "skipped")]);

    cloud.account().set(denied("s3:ListAllMyBuckets"));
    let report = check(&home, &cloud, 0);
    report.outcomes(&[("list_buckets", "warning"), ("list", "ok"), ("get", "ok")]);
    report.names("list_buckets", &[place, "s3:ListAllMyBuckets", "imports run without it"]);
}

#[test]
fn a_key_that_may_not_be_used_is_told_from_an_object_that_may_not_be_read() {
    let (home, cloud) = home();
    let encrypted = vec![Encrypted { objects: "drop/in/*".to_owned(), key: KEY.to_owned() }];
    cloud.account().set(Account { encrypted: encrypted.clone(), ..Account::default() });
    let report = check(&home, &cloud, 0);
    report.outcomes(&[("get", "ok"), ("decrypt", "ok")]);
    assert_eq!(report.find("decrypt")["message"], KEY);
    cloud.account().set(Account { encrypted, ..denied("kms:Decrypt") });
    let report = check(&home, &cloud, 2);
    let words = ["access policy of the role reader", "kms:Decrypt", KEY, "policy of the key", "Key policy"];
    report.only_failure("decrypt", "kms_denied", &words).outcomes(&[("get", "ok")]);
}

#[test]
fn a_wrong_region_names_the_right_one() {
    let (home, cloud) = home();
    let in_paris = Account { regions: [("drop".to_owned(), "eu-west-3".to_owned())].into(), ..Account::default() };
    cloud.account().set(in_paris);
    for configured in ["us-east-1", "ap-south-2"] {
        let connection = role_connection(cloud.endpoint(), ROLE, EXTERNAL_ID).replace("us-east-1", configured);
        home.config("connections/shop.connection", &connection);
        let report = check(&home, &cloud, 2);
        let words = [configured, "S3_REGION \"eu-west-3\"", "the line S3_REGION of shop.connection"];
        report.only_failure("region", "wrong_region", &words).outcomes(&[("list", "skipped"), ("get", "skipped")]);
    }
}

#[test]
fn a_clock_that_is_an_hour_off_is_named_with_its_direction() {
    let (home, cloud) = home();
    for (ahead, said) in [(1, "60 minutes behind"), (-1, "60 minutes ahead of")] {
        cloud.account().set(Account { clock_ahead: SignedDuration::from_hours(ahead), ..Account::default() });
        let report = check(&home, &cloud, 2);
        report.outcomes(&[("clock", "failed")]);
        report.names("clock", &[said, "the clock of this machine", "NTP", "timedatectl"]);
        let codes = report.findings.iter().filter(|finding| finding["outcome"] == "failed");
        codes.for_each(|finding| assert_eq!(finding["code"], "clock_skew", "{}", report.text));
    }
    // Within what AWS tolerates: it works, for now.
    cloud.account().set(Account { clock_ahead: SignedDuration::from_mins(5), ..Account::default() });
    check(&home, &cloud, 0).outcomes(&[("clock", "warning"), ("list", "ok")]);
}

#[test]
fn a_bucket_that_is_written_is_probed_and_left_as_it_was() {
    let (home, cloud) = home_with(Role { write: true, ..role() });
    let write = ["--bucket", "s3://drop/tables", "--write"];
    let report = Report::of(&home, cloud.endpoint(), &write, 0);
    report.outcomes(&[("list", "ok"), ("put", "ok"), ("conditional_put", "ok"), ("delete", "ok")]);
    let tables = home.path("s3/drop/tables");
    assert!(fs::read_dir(&tables).map_or(0, Iterator::count) == 0, "the probe object is still there");

    cloud.account().set(denied("s3:PutObject"));
    let report = Report::of(&home, cloud.endpoint(), &write, 2);
    let words = ["access policy of the role reader", "s3:PutObject", "arn:aws:s3:::drop/tables/*"];
    report.only_failure("put", "access_denied", &words).outcomes(&[("delete", "skipped")]);

    let encrypted = vec![Encrypted { objects: "drop/tables/*".to_owned(), key: KEY.to_owned() }];
    cloud.account().set(Account { encrypted, ..denied("kms:GenerateDataKey") });
    let report = Report::of(&home, cloud.endpoint(), &write, 2);
    report.only_failure("put", "kms_denied", &["may write to", "not encrypt", "grant kms:GenerateDataKey on", KEY]);
    assert!(!report.text.contains("not decrypt"), "the remedy of reading: {}", report.text);

    cloud.account().set(denied("s3:DeleteObject"));
    let report = Report::of(&home, cloud.endpoint(), &write, 2);
    report.only_failure("delete", "access_denied", &["s3:DeleteObject", "is still there"]);
}

#[test]
fn the_worst_failure_decides_the_exit_code_and_a_name_that_does_not_exist_is_refused() {
    let (home, cloud) = home();
    // Nothing listens there: that may pass, so the code is that of what may pass.
    home.config("connections/shop.connection", &role_connection("http://127.0.0.1:9", ROLE, EXTERNAL_ID));
    let report = check(&home, &cloud, 4);
    report.only_failure("endpoint", "unreachable", &["S3_ENDPOINT of shop.connection", "nothing listens there"]);
    let refused = home.run(cloud.endpoint(), &["connection", "check", "shoop"]).expect_code(2);
    assert!(refused.stderr.contains("did you mean shop?"), "{}", refused.stderr);
}

#[test]
fn case_58_a_bucket_of_another_account_is_not_read() {
    let (home, cloud) = home();
    let connection = role_connection(cloud.endpoint(), ROLE, EXTERNAL_ID);
    let expecting = |owner: &str| format!("{connection}S3_EXPECTED_BUCKET_OWNER \"{owner}\"\n");
    home.config("connections/shop.connection", &expecting("000000000000"));
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 1);
    check(&home, &cloud, 0).outcomes(&[("owner", "ok")]);

    // Deleted, and made again by somebody else, with a policy that lets us in.
    let owners = [("drop".to_owned(), "999999999999".to_owned())];
    cloud.account().set(Account { owners: owners.into(), ..Account::default() });
    home.put("drop", "in/2.csv", "id\n666\n");
    let refused = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(2);
    assert!(refused.stderr.contains("S3_EXPECTED_BUCKET_OWNER"), "{}", refused.stderr);
    assert_eq!(home.counts("orders").rows, 1, "a row of the other account's");
    let words = ["000000000000", "S3_EXPECTED_BUCKET_OWNER"];
    check(&home, &cloud, 2).only_failure("owner", "access_denied", &words).outcomes(&[("list", "skipped")]);

    home.config("connections/shop.connection", &expecting("123"));
    let refused = home.run(cloud.endpoint(), &["connection", "check"]).expect_code(2);
    assert!(refused.stderr.contains("is not the id of an account"), "{}", refused.stderr);
}

/// Every object below the bucket of the tables.
fn objects(folder: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path()) {
        if path.is_dir() { all.extend(objects(&path)) } else { all.extend([path]) }
    }
    all
}

#[test]
fn case_58_tables_are_not_written_into_a_bucket_of_another_account() {
    let home = Home::new();
    let cloud = s3_tables::cloud(&home);
    s3_tables::configure(&home, cloud.endpoint());
    let writer = role_connection(cloud.endpoint(), "arn:aws:iam::000000000000:role/writer", EXTERNAL_ID);
    let writer = format!("{writer}S3_EXPECTED_BUCKET_OWNER 000000000000\n");
    home.config("connections/writer.connection", &writer).datasource("orders", "s3://drop/*.csv", "@auto");
    home.put("drop", "1.csv", "id\n1\n");
    home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert_eq!(home.counts("orders").rows, 1);
    let words = ["connection", "check", "writer", "--json"];
    let report = home.run(cloud.endpoint(), &words).expect_code(0).stdout;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let put = report["connections"][0]["findings"].as_array().expect("findings").iter().find(|it| it["probe"] == "put");
    assert_eq!(put.expect("the destination is probed")["outcome"], "ok", "{report}");

    let before = objects(&home.path("s3/lake"));
    let owners = [("lake".to_owned(), "999999999999".to_owned())];
    cloud.account().set(Account { owners: owners.into(), ..Account::default() });
    home.put("drop", "2.csv", "id\n2\n");
    let refused = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(2);
    assert!(refused.stderr.contains("storage_denied") || refused.stderr.contains("lake"), "{}", refused.stderr);
    assert_eq!(objects(&home.path("s3/lake")), before, "something was written for the other account");
    let refused = home.run(cloud.endpoint(), &words).expect_code(2).stdout;
    assert!(refused.contains("S3_EXPECTED_BUCKET_OWNER"), "{refused}");
    assert_eq!(objects(&home.path("s3/lake")), before, "the probe was written for the other account");
}

#[test]
fn another_implementation_of_s3_is_found_well() {
    let home = Home::new();
    let Some(moto) = Moto::start(&home, "another_implementation_of_s3_is_found_well") else { return };
    home.put("drop", "in/1.csv", "id\n1\n");
    moto.upload(&home);
    home.role_connection(&moto.endpoint).datasource("orders", "s3://drop/in/*.csv", "@auto");
    // It assumes any role for anybody, which is what the two warnings are for.
    let report = Report::of(&home, &moto.endpoint, &[], 0);
    report.outcomes(&[
        ("assume_role", "ok"),
        ("wrong_external_id", "warning"),
        ("list_buckets", "ok"),
        ("list", "ok"),
        ("get", "ok"),
    ]);
    let report = Report::of(&home, &moto.endpoint, &["--bucket", "s3://drop/tables", "--write"], 0);
    report.outcomes(&[("put", "ok"), ("conditional_put", "ok"), ("delete", "ok")]);
    let report = Report::of(&home, &moto.endpoint, &["--bucket", "s3://nowhere"], 2);
    report.only_failure("list", "no_such_bucket", &["nowhere"]);
}

/// What the running import says of itself once it has met trouble: why it failed, or why files are deferred.
#[track_caller]
fn told_by_status(home: &Home, cloud: &Cloud, variables: &[(&str, &str)]) -> (String, String) {
    let mut command = home.command(cloud.endpoint(), &["run"]);
    let daemon = Daemon::spawn(command.env("S3_CONNECTOR_LIMITS_TICK", "1s").envs(variables.iter().copied()));
    let code = until("trouble in the status", || {
        let status = daemon.status("orders");
        let found = [&status["reason"]["code"], &status["counts"]["deferrals"][0]["code"]];
        found.into_iter().find_map(Value::as_str).map(str::to_owned)
    });
    let mut status = home.command(cloud.endpoint(), &["status"]);
    let text = finished(status.env("S3_CONNECTOR_LISTEN_API", daemon.api.to_string())).expect_code(0).stdout;
    (code, text)
}

/// The remedies of the doctor, as somebody reads them who never calls it.
#[test]
fn an_import_that_meets_them_names_the_same_remedies_in_its_status() {
    let trouble = |account: Account, code: &str, words: &[&str]| {
        let (home, cloud) = home();
        cloud.account().set(account);
        let (found, text) = told_by_status(&home, &cloud, &[]);
        assert_eq!(found, code, "{text}");
        words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is not in\n{text}"));
    };
    trouble(denied("s3:ListBucket"), "access_denied", &["Failed", "grant s3:ListBucket on arn:aws:s3:::drop"]);
    trouble(denied("s3:GetObject"), "access_denied", &["deferred until", "in/1.csv", "grant s3:GetObject on this key"]);
    let encrypted = vec![Encrypted { objects: "drop/in/*".to_owned(), key: KEY.to_owned() }];
    let grant = format!("grant kms:Decrypt on {KEY}");
    trouble(Account { encrypted, ..denied("kms:Decrypt") }, "kms_denied", &["deferred until", &grant]);
    let regions = [("drop".to_owned(), "eu-west-3".to_owned())].into();
    let words = ["Failed", "set S3_REGION of the connection to eu-west-3"];
    trouble(Account { regions, ..Account::default() }, "wrong_region", &words);
    let hour = Account { clock_ahead: SignedDuration::from_hours(1), ..Account::default() };
    trouble(hour, "clock_skew", &["Failed", "60 minutes behind that of AWS", "timedatectl set-ntp true"]);

    let (home, cloud) = home();
    home.config("connections/shop.connection", &role_connection(cloud.endpoint(), ROLE, "another-id"));
    let (code, text) = told_by_status(&home, &cloud, &[]);
    assert!(code == "assume_role_denied" && text.contains("its condition sts:ExternalId equals"), "{text}");

    let keys = cloud.account().open_session(ROLE, SignedDuration::from_hours(-1)).expect("the role");
    let text = format!("TYPE s3\nS3_REGION \"us-east-1\"\nS3_ENDPOINT \"{}\"\n", cloud.endpoint());
    home.config("connections/shop.connection", &text);
    let variables = [
        ("AWS_ACCESS_KEY_ID", keys.access_key_id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", keys.secret.expose()),
        ("AWS_SESSION_TOKEN", keys.token.expose()),
    ];
    let (code, text) = told_by_status(&home, &cloud, &variables);
    assert!(code == "expired_credentials" && text.contains("put fresh temporary keys"), "{text}");
    assert!(!text.contains(keys.secret.expose()) && !text.contains(keys.token.expose()), "{text}");
}

#[test]
fn one_run_that_could_not_read_a_file_says_where_the_reason_is() {
    let (home, cloud) = home();
    cloud.account().set(denied("s3:GetObject"));
    let run = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(4);
    assert!(run.stderr.contains("some files could not be read and are tried again later"), "{}", run.stderr);
    let status = home.run(cloud.endpoint(), &["status"]).expect_code(0).stdout;
    assert!(status.contains("in/1.csv (access_denied)") && status.contains("grant s3:GetObject"), "{status}");
}
