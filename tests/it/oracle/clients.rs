//! The two public clients.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{SECRETS, folder};

/// Their names, the newer one first.
pub const CLIENTS: [&str; 2] = ["forward", "classic"];

/// One of them, installed.
pub struct Client {
    name: &'static str,
    interpreter: PathBuf,
}

/// What a client says of one file.
#[derive(Clone, Debug)]
pub struct Answer {
    pub accepted: bool,
    /// The error with which it is refused, else what the client's code refuses behind its parser.
    pub error: Option<String>,
    /// Whether it is accepted, and refused behind the parser.
    pub later: bool,
    /// The names of the columns of SCHEMA, if it is accepted.
    pub columns: Vec<String>,
}

/// What a client says of the files that it reads.
#[derive(Debug)]
pub struct Answers {
    pub client: &'static str,
    pub files: BTreeMap<String, Answer>,
}

impl Client {
    /// Without its venv the test says loudly that it did not run; where `CI` is set, that is a failure.
    pub fn find(name: &'static str) -> Option<Self> {
        let venv = format!("tests/.venv-{name}");
        let interpreter = Path::new(env!("CARGO_MANIFEST_DIR")).join(&venv).join("bin/python");
        if interpreter.exists() {
            return Some(Self { name, interpreter });
        }
        assert!(std::env::var_os("CI").is_none(), "the test of the grammar needs {venv}; run tests/setup");
        // Straight to the terminal: the test harness shows nothing of tests that pass.
        let _ = writeln!(std::io::stderr(), "NOT RUN: the test of the grammar: there is no {venv}; run tests/setup");
        None
    }

    /// Has it parse the corpus, in one process and without any variable of ours: it would put them into values.
    pub fn ask(&self) -> Answers {
        let secrets: BTreeMap<_, _> = SECRETS.into_iter().collect();
        let mut child = Command::new(&self.interpreter)
            .env_clear()
            .args(["-I", "-B"])
            .args([folder().join("ask_client.py"), PathBuf::from(self.name), folder().join("corpus")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(&serde_json::to_vec(&secrets).expect("JSON")).expect("written");
        drop(stdin);
        let output = child.wait_with_output().expect("ends");
        assert!(output.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        Answers { client: self.name, files: lines.lines().map(answer).collect() }
    }
}

fn answer(line: &str) -> (String, Answer) {
    let value: Value = serde_json::from_str(line).expect("a line of JSON");
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    let answer = Answer {
        accepted: value["accepted"].as_bool().expect("a verdict"),
        error: text("error").or_else(|| text("later")),
        later: value["later"].is_string(),
        columns: value["columns"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    };
    (text("file").expect("a name"), answer)
}
