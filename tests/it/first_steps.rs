//! The sessions that `docs/first-steps.md` shows, command by command in a shell, from an empty folder: against our own
//! S3, started as the page says, and against moto. What stands behind a command is what it prints.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::harness::{ENGINES, Finished, Home, python, read_table, script};
use crate::second_s3::Moto;

const PAGE: &str = include_str!("../../docs/first-steps.md");
/// What the page has in the places of what differs from run to run: endpoint, folder, the account of the endpoint.
const ENDPOINT: &str = "http://127.0.0.1:9460";
const FOLDER: &str = "/srv/first-steps";
const ACCOUNT: &str = "000000000000";
/// moto's account.
const MOTO_ACCOUNT: &str = "123456789012";
/// What is said beyond that to moto's caller, which is no user of its account.
const TO_MOTO: &str = "\nWhoever runs s3-connector also needs a policy of its own, which lets it assume the\nrole: \
                       config/connections/try.policies/caller-policy.json\n";
/// Rows of the table, and rows in its quarantine.
const ROWS: (u64, u64) = (3, 1);

/// A command of the page, with the lines that follow it.
struct Step {
    command: String,
    shown: String,
}

/// The commands of one of the page's sessions. Lines up to the `END` of a here-document belong to the command.
fn session(number: usize) -> Vec<Step> {
    let text = PAGE.split("```text\n").nth(number + 1).and_then(|rest| rest.split("```").next()).expect("a session");
    let step = |text: &str| {
        let end = if text.contains("<<END\n") { text.find("\nEND\n").map(|at| at + "\nEND".len()) } else { None };
        let end = end.unwrap_or_else(|| text.find('\n').expect("a line"));
        Step { command: text[..end].to_owned(), shown: text[end..].trim().to_owned() }
    };
    format!("\n{text}").split("\n$ ").skip(1).map(|text| step(&format!("{text}\n"))).collect()
}

/// An empty folder with a shell in it.
struct Shell {
    folder: tempfile::TempDir,
    path: String,
    /// What `export` has set so far.
    exports: String,
    endpoint: String,
    account: &'static str,
}

impl Shell {
    fn new(endpoint: &str, account: &'static str, python: Option<&Path>) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_s3-connector")).parent().expect("a folder");
        let folders = [Some(program), python.and_then(Path::parent)].into_iter().flatten();
        let mut path: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
        path.extend(std::env::var("PATH").ok());
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, path: path.join(":"), exports: String::new(), endpoint: endpoint.to_owned(), account }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As the page has it, with our endpoint and account.
    fn ours(&self, command: &str) -> String {
        command.replace(ENDPOINT, &self.endpoint).replace(ACCOUNT, self.account)
    }

    /// As the page shows it.
    fn as_shown(&self, printed: &str) -> String {
        let folder = fs::canonicalize(self.folder.path()).expect("a folder");
        let printed = printed.replace(&self.endpoint, ENDPOINT).replace(self.account, ACCOUNT);
        let printed = printed.replace(folder.to_str().expect("UTF-8"), FOLDER);
        let printed = if self.account == MOTO_ACCOUNT { printed.replace(TO_MOTO, "") } else { printed };
        printed.trim().to_owned()
    }

    /// A shell that is about to run this, with nothing of our own environment that the program heeds.
    fn command(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        for (name, _) in std::env::vars() {
            if ["AWS_", "S3_CONNECTOR_", "DEVCLOUD_"].iter().any(|ours| name.starts_with(ours)) || name == "RUST_LOG" {
                shell.env_remove(name);
            }
        }
        shell
            .args(["-c", &format!("{}{command}", self.exports)])
            .current_dir(&self.folder)
            .env("PATH", &self.path)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            // So that no other program of this machine is taken for ours, and its log is told from what it says.
            .env("S3_CONNECTOR_LISTEN_METRICS", "127.0.0.1:0")
            .env("S3_CONNECTOR_LISTEN_API", "127.0.0.1:0")
            .env("S3_CONNECTOR_LOG_FORMAT", "json")
            .stdin(Stdio::null());
        shell
    }

    /// Runs a step and holds what it prints against the page.
    #[track_caller]
    fn follow(&mut self, step: &Step) {
        let command = self.ours(&step.command);
        let finished = Finished::of(self.command(&command).output().expect("sh runs"));
        assert_eq!(finished.code, 0, "$ {command}\n{}{}", finished.stdout, finished.stderr);
        if command.starts_with("export ") {
            self.exports.push_str(&format!("{command}\n"));
        }
        let notes: String =
            finished.stderr.lines().filter(|line| !line.starts_with('{')).map(|line| format!("{line}\n")).collect();
        let printed = self.as_shown(&format!("{}{notes}", finished.stdout));
        let (printed, shown) = match self.account {
            MOTO_ACCOUNT => (without_probes(&printed), without_probes(&step.shown)),
            _ => (printed, step.shown.clone()),
        };
        assert_eq!(in_order(&command, &printed), in_order(&command, &shown), "$ {command}\nprinted:\n{printed}\n");
    }
}

/// moto holds nobody to a trust policy, which the probes of a connection warn of.
fn without_probes(text: &str) -> String {
    let (mut kept, mut probes) = (Vec::new(), false);
    for line in text.lines() {
        probes |= line.starts_with("connection try (");
        if !probes {
            kept.push(line);
        }
        if line.ends_with(" warnings") {
            assert!(line.starts_with("  0 failures, "), "{text}");
            probes = false;
        }
    }
    kept.join("\n")
}

/// The rows of a table have no particular order.
fn in_order<'a>(command: &str, printed: &'a str) -> Vec<&'a str> {
    let mut lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
    if command.contains("datasource data") && !lines.is_empty() {
        lines[1..].sort_unstable();
    }
    lines
}

/// The second session, and what another implementation then finds in the tables.
fn follow_the_session(shell: &mut Shell, python: Option<&Path>) {
    let steps = session(1);
    assert_eq!(steps.len(), 7, "steps of the page");
    for step in &steps {
        // Said already, by whoever looked for it.
        if python.is_none() && step.command.starts_with("python3 ") {
            continue;
        }
        shell.follow(step);
    }
    let Some(python) = python else { return };
    for engine in ENGINES {
        let rows =
            |table: &str| read_table(python, &shell.at("data/tables").join(table), engine, None)["rows"].as_u64();
        assert_eq!((rows("orders"), rows("orders_quarantine")), (Some(ROWS.0), Some(ROWS.1)), "{engine}");
    }
}

/// `s3-connector devcloud`, ended with this.
struct Devcloud(Child);

impl Drop for Devcloud {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it as the page says, but on a free port. Returns it with the lines that it prints.
fn devcloud(shell: &Shell, step: &Step) -> (Devcloud, String) {
    // `exec`, so that ending the shell ends the program.
    let command = format!("exec {} --listen 127.0.0.1:0 2>&1", step.command);
    let mut child = shell.command(&command).stdout(Stdio::piped()).spawn().expect("sh runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let running = Devcloud(child);
    let lines: String =
        lines.by_ref().take(step.shown.lines().count()).map(|line| format!("{}\n", line.expect("a line"))).collect();
    (running, lines)
}

#[test]
fn the_page_is_followed_literally() {
    let python = python("the_page_is_followed_literally, as far as other implementations read the tables");
    let mut shell = Shell::new(ENDPOINT, ACCOUNT, python.as_deref());
    let mut steps = session(0);
    let serving = steps.pop().expect("devcloud");
    steps.iter().for_each(|step| shell.follow(step));
    let (_running, printed) = devcloud(&shell, &serving);
    let endpoint = printed.split(" at ").nth(1).and_then(|rest| rest.lines().next()).expect("where it listens");
    shell.endpoint = endpoint.to_owned();
    assert_eq!(shell.as_shown(&printed), serving.shown, "{printed}");
    // What it says comes next is what the page goes on with.
    let next: Vec<String> = session(1).iter().take(2).map(|step| shell.ours(&step.command)).collect();
    let told: Vec<&str> = printed.lines().skip_while(|line| !line.starts_with("next")).skip(1).map(str::trim).collect();
    assert_eq!(told, next);
    follow_the_session(&mut shell, python.as_deref());
}

#[test]
fn the_same_session_works_against_moto() {
    let test = "the_same_session_works_against_moto";
    let Some(python) = python(test) else { return };
    let home = Home::new();
    let Some(moto) = Moto::start(&home, test) else { return };
    let mut shell = Shell::new(&moto.endpoint, MOTO_ACCOUNT, Some(&python));
    let mut steps = session(0);
    steps.pop();
    steps.iter().for_each(|step| shell.follow(step));
    let folder = shell.at("try/my-bucket");
    let put = script(&python, "put_objects.py", &[&moto.endpoint, "my-bucket", folder.to_str().expect("UTF-8")]);
    assert_eq!(put["objects"], json!(2));
    follow_the_session(&mut shell, Some(&python));
}

#[test]
fn where_there_is_nothing_yet_each_verb_names_the_step_that_makes_it() {
    let shell = Shell::new(ENDPOINT, ACCOUNT, None);
    let told = |verb: &str| {
        let finished = Finished::of(shell.command(&format!("s3-connector {verb}")).output().expect("sh runs"));
        assert!(!finished.stderr.contains("panicked"), "{verb}: {}", finished.stderr);
        finished.stdout + &finished.stderr
    };
    let verbs = ["check", "status", "run --once", "plan", "push", "datasource ls", "connection ls", "connection check"];
    for verb in verbs {
        let told = told(verb);
        assert!(told.contains("s3-connector connection create s3_iamrole"), "{verb}: {told}");
    }
    assert!(!shell.at("config").exists(), "looking makes nothing");
    let missing = told("connection create s3_iamrole");
    assert!(missing.contains("--role-arn arn:aws:iam::111111111111:role/s3-connector-my-bucket"), "{missing}");
    assert!(missing.contains("Environment: environment variable not set; "), "{missing}");

    told("connection create s3 --name try --anonymous --endpoint http://127.0.0.1:9");
    for verb in ["check", "status", "run --once", "plan", "push", "datasource ls"] {
        let told = told(verb);
        assert!(told.contains("s3-connector datasource generate 's3://my-bucket/"), "{verb}: {told}");
    }
    let probed = told("connection check");
    assert!(probed.contains("connection try") && !probed.contains("no data source in config"), "{probed}");
    let removed = told("datasource rm orders --yes");
    assert!(removed.contains("there is no data source orders; there is none at all in the folder config"), "{removed}");
}
