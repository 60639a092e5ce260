//! `connection`: created at a terminal and by flags, resumed, listed, removed; its policies judged by others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use connector_devcloud::{Account, Denial, Role};
use serde_json::{Value, json};

use crate::harness::{CALLER, Cloud, EXTERNAL_ID, Finished, Home, ROLE, python, script, until};
use crate::second_s3::Moto;

const CREATE: [&str; 3] = ["connection", "create", "s3_iamrole"];

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The arguments of a new connection, with these flags behind.
fn create<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    CREATE.into_iter().chain(flags.iter().copied()).collect()
}

fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

fn unfinished(home: &Home) -> PathBuf {
    home.path("config/connections/.unfinished/new-connection")
}

fn external_id(home: &Home) -> String {
    let draft = fs::read_to_string(unfinished(home).join("draft.json")).expect("a draft");
    let draft: Value = serde_json::from_str(&draft).expect("JSON");
    draft["external_id"].as_str().expect("an external id").to_owned()
}

/// Runs the program at a terminal: see `tests/python/terminal.py`.
#[track_caller]
fn at_terminal(python: &Path, home: &Home, sts: &str, arguments: &[&str], answers: &[(&str, &str)]) -> (String, i64) {
    let program = home.command(sts, arguments);
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/terminal.py"));
    command.current_dir(program.get_current_dir().expect("a folder"));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let words: Vec<&str> = [program.get_program()]
        .into_iter()
        .chain(program.get_args())
        .map(|word| word.to_str().expect("UTF-8"))
        .collect();
    let task = json!({ "command": words, "answers": answers }).to_string();
    fs::write(home.path("task"), task).expect("task");
    command.stdin(fs::File::open(home.path("task")).expect("task"));
    let output = command.output().expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (told["screen"].as_str().expect("a screen").to_owned(), told["code"].as_i64().expect("a code"))
}

// -------------------------------------------------------------------------------------------------------- by flags

#[test]
fn flags_alone_make_a_connection_that_works_and_is_used() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    home.put("drop", "orders/1.csv", "id,name\n1,a\n2,b\n");
    let flags = [
        "--bucket",
        "drop",
        "--endpoint",
        cloud.endpoint(),
        "--role-arn",
        ROLE,
        "--external-id",
        EXTERNAL_ID,
        "--region",
        "us-east-1",
        "--name",
        "shop",
        "--json",
    ];
    let told = json_of(&home.run(cloud.endpoint(), &create(&flags)).expect_code(0));
    assert_eq!((&told["works"], &told["external_id"]), (&json!(true), &json!(EXTERNAL_ID)), "{told}");
    assert_eq!(told["principal"], json!(format!("arn:aws:iam::000000000000:user/{CALLER}")), "{told}");
    assert_eq!(
        told["next"],
        json!([
            "s3-connector connection check shop --bucket s3://drop",
            "s3-connector datasource generate 's3://drop/orders/*.csv' --connection shop"
        ])
    );
    let text = fs::read_to_string(home.path("config/connections/shop.connection")).expect("written");
    for line in [format!("S3_ARN \"{ROLE}\""), format!("S3_EXTERNAL_ID \"{EXTERNAL_ID}\"")] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    let outcome = |probe: &str| {
        let findings = told["findings"].as_array().expect("findings");
        findings.iter().find(|found| found["probe"] == probe).map(|found| found["outcome"].clone()).unwrap_or_default()
    };
    for probe in ["assume_role", "wrong_external_id", "list", "get"] {
        assert_eq!(outcome(probe), "ok", "{probe}: {told}");
    }
    assert_eq!(outcome("put"), json!(null), "a role that reads writes nothing: {told}");
    assert!(home.path("config/connections/shop.policies/trust-policy.json").exists());
    assert!(!home.path("config/connections/.unfinished").exists(), "nothing is left of the draft");
    home.datasource("orders", "s3://drop/orders/*.csv", "@auto");
    let run = home.run(cloud.endpoint(), &["run", "--once"]).expect_code(0);
    assert!(run.stdout.contains("orders  1      2"), "{}", run.stdout);
}

#[test]
fn the_second_s3_knows_the_caller_and_lets_the_role_in() {
    let home = Home::new();
    let Some(moto) = Moto::start(&home, "the_second_s3_knows_the_caller_and_lets_the_role_in") else { return };
    home.put("drop", "orders/1.csv", "id,name\n1,a\n2,b\n");
    moto.upload(&home);
    let role = "arn:aws:iam::123456789012:role/reader";
    let flags = [
        "--bucket",
        "s3://drop/orders/",
        "--endpoint",
        &moto.endpoint,
        "--role-arn",
        role,
        "--region",
        "us-east-1",
        "--name",
        "shop",
        "--json",
    ];
    let told = json_of(&home.run(&moto.endpoint, &create(&flags)).expect_code(0));
    assert_eq!(told["works"], json!(true), "{told}");
    assert!(told["principal"].as_str().is_some_and(|arn| arn.starts_with("arn:aws:iam::123456789012:")), "{told}");
    home.datasource("orders", "s3://drop/orders/*.csv", "@auto");
    let run = home.run(&moto.endpoint, &["run", "--once"]).expect_code(0);
    assert!(run.stdout.contains("orders  1      2"), "{}", run.stdout);
}

#[test]
fn where_nobody_can_be_asked_the_missing_flags_are_named_at_once() {
    let home = Home::new();
    for (flags, missing) in [
        (vec![], "missing: --bucket, --principal, --role-arn, --region, --name (nobody can be asked"),
        (vec!["--yes"], "missing: --bucket, --principal, --role-arn, --region, --name (--yes asks nothing)"),
        (
            vec!["--bucket", "drop", "--principal", "123456789012", "--region", "eu-west-1"],
            "missing: --role-arn, --name",
        ),
    ] {
        // A pipe that nobody writes to and nobody closes.
        let mut command = home.command(NOWHERE, &create(&flags));
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let held = child.stdin.take();
        until("an end without answers", || child.try_wait().expect("a child"));
        drop(held);
        let finished = Finished::of(child.wait_with_output().expect("it has ended")).expect_code(2);
        assert!(finished.stderr.contains(missing), "{flags:?}: {}", finished.stderr);
    }
    assert!(
        unfinished(&home).join("access-policy.json").exists() && unfinished(&home).join("trust-policy.json").exists()
    );
    let kept = external_id(&home);
    let rest = ["--name", "shop", "--role-arn", ROLE, "--no-validate", "--json"];
    let told = json_of(&home.run(NOWHERE, &create(&rest)).expect_code(0));
    assert_eq!((&told["external_id"], &told["works"]), (&json!(kept), &json!(null)), "{told}");
    assert_eq!(told["trust_policy"]["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], json!(kept));
}

#[test]
fn a_role_that_does_not_let_the_caller_in_is_told_with_the_way_to_try_again() {
    let home = Home::new();
    let cloud = Cloud::start(&home);
    let flags = [
        "--bucket",
        "drop",
        "--endpoint",
        cloud.endpoint(),
        "--role-arn",
        ROLE,
        "--external-id",
        "another-one",
        "--region",
        "us-east-1",
        "--name",
        "shop",
    ];
    let finished = home.run(cloud.endpoint(), &create(&flags)).expect_code(2);
    assert!(finished.stderr.contains("s3-connector connection check shop --bucket s3://drop"), "{}", finished.stderr);
    assert!(finished.stderr.contains(ROLE) && !finished.stderr.contains("canary"), "{}", finished.stderr);
    for word in ["trust policy of the role reader", "\"sts:ExternalId\": \"another-one\""] {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
    assert!(home.path("config/connections/shop.connection").exists());
}

/// What a listing alone would not show: a role that may list and not read, and one that may not write.
#[test]
fn the_end_probes_what_the_connection_is_for() {
    let home = Home::new();
    let role = |name: &str, write| Role {
        arn: format!("arn:aws:iam::000000000000:role/{name}"),
        external_id: Some(EXTERNAL_ID.to_owned()),
        allowed_callers: vec![CALLER.to_owned()],
        buckets: None,
        session: Duration::from_secs(3_600),
        write,
    };
    let cloud = Cloud::with_roles(&home, vec![role("reader", false), role("writer", true)]);
    home.put("drop", "orders/1.csv", "id\n1\n");
    let make = |name: &str, policy: &str, role: &str, code: i32| {
        let role = format!("arn:aws:iam::000000000000:role/{role}");
        let flags = ["--policy", policy, "--bucket", "drop", "--endpoint", cloud.endpoint(), "--role-arn", &role];
        let rest = ["--external-id", EXTERNAL_ID, "--region", "us-east-1", "--name", name, "--json"];
        json_of(&home.run(cloud.endpoint(), &create(&[flags.as_slice(), &rest].concat())).expect_code(code))
    };
    let failed = |told: &Value, probe: &str, action: &str| {
        assert_eq!(told["works"], json!(false), "{told}");
        let findings = told["findings"].as_array().expect("findings");
        let found = findings.iter().find(|found| found["outcome"] == "failed").expect("a failure");
        assert_eq!(
            (&found["probe"], &found["remedy"]["statement"]["Action"]),
            (&json!(probe), &json!(action)),
            "{told}"
        );
        assert_eq!(told["error"]["message"], found["message"], "{told}");
    };
    cloud.account().set(Account { denials: vec![Denial::everywhere("s3:GetObject")], ..Account::default() });
    failed(&make("unread", "read", "reader", 2), "get", "s3:GetObject");
    cloud.account().set(Account::default());
    failed(&make("unwritten", "write", "reader", 2), "put", "s3:PutObject");
    assert_eq!(make("lake", "write", "writer", 0)["works"], json!(true));
    assert_eq!(fs::read_dir(home.path("s3/drop")).expect("the bucket").count(), 1, "the probe object is still there");
}

#[test]
fn mistakes_in_flags_are_refused_before_anything_is_written() {
    let home = Home::new();
    for (flags, reason) in [
        (vec!["--role-arn", "arn:aws:iam::1:role/x"], "--role-arn: \"1\" is not an account id"),
        (
            vec!["--role-arn", "arn:aws:sts::000000000000:assumed-role/reader/me"],
            "did you mean arn:aws:iam::000000000000:role/reader",
        ),
        (vec!["--region", "eu-west-1b"], "its region is eu-west-1"),
        (vec!["--name", "my-shop"], "such as my_shop"),
        (vec!["--external-id", "a b"], "--external-id: ' ' cannot be in an external id"),
        (vec!["--bucket", "arn:aws:s3:::drop"], "not by its ARN: drop"),
        (vec!["--bucket", "s3://drop/a/", "--prefix", "b/"], "has a prefix already"),
        (vec!["--prefix", "b/"], "--bucket"),
        (vec!["--kms-key", "alias/mine"], "not an ARN"),
        (vec!["--policy", "admin"], "it is read or write"),
    ] {
        let finished = home.run(NOWHERE, &create(&flags)).expect_code(2);
        assert!(finished.stderr.contains(reason), "{flags:?}: {}", finished.stderr);
    }
    assert_eq!(fs::read_dir(home.path("config/connections")).expect("a folder").count(), 0);
}

// --------------------------------------------------------------------------------------------------- at a terminal

#[test]
fn at_a_terminal_it_goes_on_where_it_was_killed_with_the_same_external_id() {
    let home = Home::new();
    let Some(python) = python("at_a_terminal_it_goes_on_where_it_was_killed_with_the_same_external_id") else { return };
    let cloud = Cloud::start(&home);
    home.put("drop", "orders/1.csv", "id\n1\n");
    let sts = cloud.endpoint();
    let flags = create(&["--policy", "read", "--endpoint", sts, "--external-id", EXTERNAL_ID]);
    let resumed = create(&[]);
    let (screen, code) = at_terminal(
        &python,
        &home,
        sts,
        &flags,
        &[
            ("Buckets: ", "Drop!"),
            ("Buckets: ", "drop"),
            ("policy there?", "c"),
            ("policy there?", ""),
            ("role there?", "SIGKILL"),
        ],
    );
    assert_eq!(code, -9);
    assert!(screen.contains("not accepted: '!' cannot be in the name of a bucket"), "{screen}");
    assert!(screen.contains("\"arn:aws:s3:::drop/*\"") && screen.contains("\u{1b}]52;c;"), "{screen}");
    assert!(screen.contains(&format!("\"sts:ExternalId\": \"{EXTERNAL_ID}\"")), "{screen}");
    assert!(screen.contains("aws iam create-role --role-name s3-connector-drop"), "{screen}");
    assert_eq!(external_id(&home), EXTERNAL_ID);
    let listed = json_of(&home.run(sts, &["connection", "ls", "--json"]).expect_code(0));
    assert_eq!(listed["unfinished"][0]["waits_for"], "the role in AWS", "{listed}");
    assert_eq!(listed["unfinished"][0]["resume"], "s3-connector connection create s3_iamrole", "{listed}");
    // What was answered is not asked again; the end of the input is no answer, either.
    let (screen, code) = at_terminal(
        &python,
        &home,
        sts,
        &resumed,
        &[("role there?", "y"), ("ARN: ", &format!(" \"{ROLE}\",")), ("Region", "^D")],
    );
    assert_eq!(code, 2);
    assert!(screen.contains("the access policy: done"), "{screen}");
    assert!(screen.contains("before the region was known; what was answered is kept, go on with"), "{screen}");
    let (screen, code) = at_terminal(
        &python,
        &home,
        sts,
        &resumed,
        &[("Region", "US East"), ("not a region", "us-east-1"), ("Name", "my-shop"), ("such as my_shop", "shop")],
    );
    assert_eq!(code, 0, "{screen}");
    assert!(
        screen.contains("s3://drop/orders/1.csv: bytes 0 to 4 were read") && screen.contains("\nnext:\n"),
        "{screen}"
    );
    let text = fs::read_to_string(home.path("config/connections/shop.connection")).expect("written");
    assert!(text.contains(EXTERNAL_ID) && text.contains(ROLE), "{text}");
    assert!(!home.path("config/connections/.unfinished").exists());
}

#[test]
fn a_fresh_external_id_survives_ctrl_c_and_ends_with_new() {
    let home = Home::new();
    let Some(python) = python("a_fresh_external_id_survives_ctrl_c_and_ends_with_new") else { return };
    let flags = create(&["--principal", "123456789012", "--bucket", "drop"]);
    let (_, code) = at_terminal(&python, &home, NOWHERE, &flags, &[("policy there?", "^C")]);
    assert_eq!(code, -2);
    let first = external_id(&home);
    assert_eq!((first.len(), first.split('-').count()), (36, 5), "{first}");
    let (screen, _) =
        at_terminal(&python, &home, NOWHERE, &create(&[]), &[("policy there?", "y"), ("role there?", "^C")]);
    assert!(screen.contains(&first), "{screen}");
    let other = home.run(NOWHERE, &create(&["--bucket", "another"])).expect_code(2);
    assert!(other.stderr.contains("it is about s3://drop") && other.stderr.contains("--new"), "{}", other.stderr);
    let anew = create(&["--principal", "123456789012", "--bucket", "another", "--new"]);
    at_terminal(&python, &home, NOWHERE, &anew, &[("policy there?", "^C")]);
    assert_ne!(external_id(&home), first);
    let (screen, code) = at_terminal(
        &python,
        &home,
        NOWHERE,
        &["connection", "rm", "new-connection"],
        &[("(y/n)", "what"), ("(y/n)", "y")],
    );
    assert_eq!(code, 0, "{screen}");
    assert!(!unfinished(&home).exists());
}

#[test]
fn a_role_that_aws_does_not_know_yet_is_tried_again() {
    let home = Home::new();
    let Some(python) = python("a_role_that_aws_does_not_know_yet_is_tried_again") else { return };
    let cloud = Cloud::start(&home);
    let flags = [
        "--bucket",
        "drop",
        "--endpoint",
        cloud.endpoint(),
        "--role-arn",
        ROLE,
        "--external-id",
        "another-one",
        "--region",
        "us-east-1",
        "--name",
        "shop",
    ];
    let answers = [("policy there?", ""), ("role there?", ""), ("Try again?", ""), ("Try again?", "n")];
    let (screen, code) = at_terminal(&python, &home, cloud.endpoint(), &create(&flags), &answers);
    assert_eq!(code, 2, "{screen}");
    assert!(screen.contains("the connection is written all the same"), "{screen}");
}

// ----------------------------------------------------------------------------------------------------- ls, rm, policy

#[test]
fn a_connection_that_is_used_stays_and_one_that_is_not_goes_with_its_policies() {
    let home = Home::new();
    let flags = [
        "--bucket",
        "drop",
        "--role-arn",
        ROLE,
        "--region",
        "us-east-1",
        "--name",
        "shop",
        "--principal",
        "123456789012",
        "--no-validate",
    ];
    home.run(NOWHERE, &create(&flags)).expect_code(0);
    let again = home.run(NOWHERE, &create(&flags)).expect_code(2);
    assert!(again.stderr.contains("there is a connection shop already"), "{}", again.stderr);
    home.datasource("orders", "s3://drop/orders/*.csv", "@auto");
    let listed = json_of(&home.run(NOWHERE, &["connection", "ls", "--json"]).expect_code(0));
    assert_eq!(listed["connections"][0]["data_sources"], json!(["orders"]), "{listed}");
    let used = home.run(NOWHERE, &["connection", "rm", "shop", "--yes"]).expect_code(2);
    assert!(used.stderr.contains("used by 1 data source: orders"), "{}", used.stderr);
    fs::remove_file(home.path("config/datasources/orders.datasource")).expect("removed");
    let asked = home.run(NOWHERE, &["connection", "rm", "shop"]);
    assert_eq!(asked.code, 2, "nobody can be asked");
    let mistyped = home.run(NOWHERE, &["connection", "rm", "shpo", "--yes"]).expect_code(2);
    assert!(mistyped.stderr.contains("did you mean shop?"), "{}", mistyped.stderr);
    let removed = home.run(NOWHERE, &["connection", "rm", "shop", "--yes"]).expect_code(0);
    assert!(removed.stderr.contains("aws iam delete-role --role-name reader"), "{}", removed.stderr);
    assert_eq!(fs::read_dir(home.path("config/connections")).expect("a folder").count(), 0);
}

#[test]
fn a_policy_is_limited_to_what_data_sources_read() {
    let home = Home::new();
    home.role_connection(NOWHERE).datasource("orders", "s3://drop/orders/*.csv", "@auto");
    home.datasource("views", "s3://drop/views/day=*/*.parquet", "@auto");
    let policy = |flags: &[&str]| {
        let arguments = [&["connection", "policy", "shop", "--principal", "123456789012", "--json"], flags].concat();
        json_of(&home.run(NOWHERE, &arguments).expect_code(0))
    };
    let limited = policy(&[]);
    let statements = &limited["access_policy"]["Statement"];
    assert_eq!(statements[0]["Resource"], json!(["arn:aws:s3:::drop/orders/*", "arn:aws:s3:::drop/views/day=*"]));
    assert_eq!(statements[1]["Condition"], json!({ "StringLike": { "s3:prefix": ["orders/*", "views/day=*"] } }));
    let whole = policy(&["--whole-buckets"]);
    assert_eq!(whole["access_policy"]["Statement"][0]["Resource"], json!(["arn:aws:s3:::drop/*"]), "{whole}");
    assert_eq!(limited["trust_policy"], whole["trust_policy"]);
}

#[test]
fn another_judge_finds_no_fault_in_any_policy() {
    let home = Home::new();
    let Some(python) = python("another_judge_finds_no_fault_in_any_policy") else { return };
    home.role_connection(NOWHERE);
    home.config(
        "connections/china.connection",
        "TYPE s3\nS3_REGION cn-north-1\nS3_ARN arn:aws-cn:iam::111122223333:role/r\nS3_EXTERNAL_ID an-id\n",
    );
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let mut files = Vec::new();
    for (number, flags) in [
        vec!["shop", "--bucket", "drop"],
        vec!["shop", "--bucket", "drop", "--bucket", "s3://other/a/", "--bucket", "s3://other/b/*.csv"],
        vec!["shop", "--bucket", "s3://drop/what$is/", "--kms-key", key],
        vec!["shop", "--policy", "write", "--bucket", "lake", "--kms-key", key],
        vec!["shop", "--policy", "write", "--bucket", "s3://lake/tables/"],
        vec!["china", "--bucket", "drop"],
    ]
    .into_iter()
    .enumerate()
    {
        for only in ["access", "trust"] {
            let fixed = ["connection", "policy", "--only", only, "--principal", "111122223333"];
            let printed = home.run(NOWHERE, &[&fixed, flags.as_slice()].concat()).expect_code(0);
            let file = home.path(&format!("{number}-{only}.json"));
            fs::write(&file, &printed.stdout).expect("written");
            files.push(file);
        }
    }
    // What `connection create` writes, with the policy that the caller needs.
    let flags = [
        "--bucket",
        "drop",
        "--role-arn",
        "arn:aws:iam::444455556666:role/r",
        "--region",
        "us-east-1",
        "--name",
        "far",
        "--principal",
        "arn:aws:iam::111122223333:user/me",
        "--no-validate",
    ];
    home.run(NOWHERE, &create(&flags)).expect_code(0);
    let kept = ["access-policy.json", "trust-policy.json", "caller-policy.json"];
    files.extend(kept.map(|name| home.path("config/connections/far.policies").join(name)));
    let judged = judge(&python, &files);
    assert_eq!(judged.len(), files.len());
    for (file, found) in &judged {
        assert_eq!(found, &json!([]), "{file}: {}", fs::read_to_string(file).unwrap_or_default());
    }
    // The judge does find faults.
    let good = fs::read_to_string(&files[0]).expect("readable");
    for (what, spoiled) in [
        ("UNKNOWN_ACTION", good.replace("s3:GetObject", "s3:GetObjcet")),
        ("RESOURCE_MISMATCH", good.replace("\"arn:aws:s3:::drop\"", "\"arn:aws:s3:::drop/*\"")),
        ("INVALID_ARN", good.replace("arn:aws:s3:::drop/*", "drop/*")),
    ] {
        assert_ne!(spoiled, good, "{what}");
        let file = home.path("spoiled.json");
        fs::write(&file, spoiled).expect("written");
        let found = judge(&python, &[file]);
        assert!(found.values().any(|found| found.to_string().contains(what)), "{what}: {found:?}");
    }
}

/// What parliament finds, by file.
fn judge(python: &Path, files: &[PathBuf]) -> serde_json::Map<String, Value> {
    let files: Vec<&str> = files.iter().map(|file| file.to_str().expect("UTF-8")).collect();
    let judged = script(python, "judge_policies.py", &files);
    judged.as_object().expect("an object").clone()
}

#[test]
fn the_page_shows_the_policy_that_is_printed() {
    let home = Home::new();
    home.role_connection(NOWHERE);
    let policy = ["connection", "policy", "shop", "--only", "access", "--bucket", "my-bucket"];
    let printed = json_of(&home.run(NOWHERE, &policy).expect_code(0));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/connections.md");
    let page = fs::read_to_string(page).expect("readable");
    let shown = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a policy");
    assert_eq!(serde_json::from_str::<Value>(shown).expect("JSON"), printed);
}

/// Files in the folder itself, and secrets in `secrets_dir`, count for these verbs as they do for `check` and `run`.
#[test]
fn these_verbs_see_the_same_project_as_the_import() {
    let home = Home::new();
    let secrets = home.path("secrets");
    fs::create_dir(&secrets).expect("a folder");
    for name in ["STORE_KEY", "STORE_SECRET"] {
        fs::write(secrets.join(name), "canary-of-the-store\n").expect("a secret");
    }
    home.config("s3-connector.toml", &format!("secrets_dir = \"{}\"\n", secrets.display()));
    home.config(
        "store.connection",
        &format!(
            "TYPE s3\nS3_REGION us-east-1\nS3_ENDPOINT {NOWHERE}\nS3_ACCESS_KEY {{{{ tb_secret(\"STORE_KEY\") }}}}\n\
             S3_SECRET {{{{ tb_secret(\"STORE_SECRET\") }}}}\n"
        ),
    );
    home.config("orders.datasource", "IMPORT_CONNECTION_NAME store\nIMPORT_BUCKET_URI s3://drop/orders/*.csv\n");
    let listed = json_of(&home.run(NOWHERE, &["connection", "ls", "--json"]).expect_code(0));
    let store = &listed["connections"][0];
    assert_eq!((&store["name"], &store["has_errors"]), (&json!("store"), &json!(false)), "{listed}");
    assert_eq!(store["data_sources"], json!(["orders"]), "{listed}");
    assert!(!listed.to_string().contains("canary"), "{listed}");
    let plain = ["connection", "create", "s3", "--name", "store", "--region", "us-east-1"];
    let taken = home.run(NOWHERE, &plain).expect_code(2);
    assert!(taken.stderr.contains("there is a connection store already"), "{}", taken.stderr);
    let used = home.run(NOWHERE, &["connection", "rm", "store", "--yes"]).expect_code(2);
    assert!(used.stderr.contains("used by 1 data source: orders"), "{}", used.stderr);
    let policy = ["connection", "policy", "store", "--only", "access"];
    let policy = json_of(&home.run(NOWHERE, &policy).expect_code(0));
    assert_eq!(policy["Statement"][0]["Resource"], json!(["arn:aws:s3:::drop/orders/*"]), "{policy}");
    home.run(NOWHERE, &["datasource", "rm", "orders", "--yes"]).expect_code(0);
    assert!(!home.path("config/orders.datasource").exists());
    home.run(NOWHERE, &["connection", "rm", "store", "--yes"]).expect_code(0);
    assert!(!home.path("config/store.connection").exists());
}

/// A file that cannot be read may be the one that uses a connection: that is said.
#[test]
fn a_file_that_cannot_be_read_is_not_passed_over_in_silence() {
    let home = Home::new();
    home.role_connection(NOWHERE);
    fs::write(home.path("config/datasources/orders.datasource"), b"DESCRIPTION \xff\n").expect("written");
    let listed = home.run(NOWHERE, &["connection", "ls"]).expect_code(0);
    assert!(listed.stderr.contains("orders.datasource cannot be read: it is not UTF-8"), "{listed:?}");
    assert!(listed.stdout.contains("shop (role"), "{listed:?}");
}
