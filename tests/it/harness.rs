//! What end-to-end tests share: a project folder, an S3 to read from, the real program, and other readers of tables.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use connector_core::clock::{Clock, SystemClock};
use connector_core::history::{BatchRecord, HistoryQuery};
use connector_core::ids::ImportName;
use connector_core::ports::ImportCounts;
use connector_core::secret::Secret;
use connector_devcloud::{DevCloud, DevCloudConfig, FaultHandle, KeyPair, Role};
use connector_ledger::LedgerReader;
use serde_json::Value;

/// How long anything that should happen soon may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(120);

pub const ROLE: &str = "arn:aws:iam::000000000000:role/reader";
pub const EXTERNAL_ID: &str = "an-external-id";

/// Polls until there is something, for at most [`DEADLINE`].
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A folder with everything that one installation has: `config/`, `data/`, and `s3/` for a devcloud to serve.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        let home = Self { folder: tempfile::tempdir().expect("temp dir") };
        for name in ["config/connections", "config/datasources", "s3"] {
            fs::create_dir_all(home.path(name)).expect("folder");
        }
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the configuration, such as `connections/shop.connection`.
    pub fn config(&self, name: &str, text: &str) -> &Self {
        fs::write(self.path("config").join(name), text).expect("config file");
        self
    }

    /// The connection `shop`: through the role of [`Cloud`], to this endpoint.
    pub fn role_connection(&self, endpoint: &str) -> &Self {
        self.config("connections/shop.connection", &role_connection(endpoint, ROLE, EXTERNAL_ID))
    }

    /// A data source that reads `uri` through `shop`. `schedule`: `@auto` or `@on-demand`.
    pub fn datasource(&self, name: &str, uri: &str, schedule: &str) -> &Self {
        let text = format!("IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI {uri}\nIMPORT_SCHEDULE {schedule}\n");
        self.config(&format!("datasources/{name}.datasource"), &text)
    }

    /// Puts an object into a bucket of the devcloud: written aside, then renamed, so that it appears whole.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let target = self.path("s3").join(bucket).join(key);
        fs::create_dir_all(target.parent().expect("a bucket")).expect("folder");
        let draft = self.path("draft");
        fs::write(&draft, bytes).expect("object");
        fs::rename(draft, target).expect("object");
        self
    }

    /// Sets an object's last-modified time, in seconds since 1970.
    pub fn touch(&self, bucket: &str, key: &str, second: u64) -> &Self {
        let file = fs::File::options().write(true).open(self.path("s3").join(bucket).join(key)).expect("object");
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(second)).expect("time");
        self
    }

    pub fn table(&self, name: &str) -> PathBuf {
        self.path("data/tables").join(name)
    }

    /// The program, about to run in this folder, with this devcloud's STS and caller, and nothing of the environment.
    pub fn command(&self, sts_endpoint: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_s3-connector"));
        command.args(arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars() {
            if name.starts_with("AWS_") || name.starts_with("S3_CONNECTOR_") || name == "RUST_LOG" {
                command.env_remove(name);
            }
        }
        command
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("S3_CONNECTOR_AWS_STS_ENDPOINT", sts_endpoint)
            .env("S3_CONNECTOR_AWS_ACCESS_KEY_ID", CALLER)
            .env("S3_CONNECTOR_AWS_SECRET_ACCESS_KEY", CALLER_SECRET)
            .env("S3_CONNECTOR_LISTEN_METRICS", "127.0.0.1:0")
            .env("S3_CONNECTOR_LISTEN_API", "127.0.0.1:0")
            .env("S3_CONNECTOR_LOG_FORMAT", "json");
        command
    }

    /// Runs a verb to its end.
    pub fn run(&self, sts_endpoint: &str, arguments: &[&str]) -> Finished {
        Finished::of(self.command(sts_endpoint, arguments).output().expect("the program starts"))
    }
}

pub const CALLER: &str = "caller";
pub const CALLER_SECRET: &str = "canary-secret-of-the-caller";

/// The text of a connection through a role.
pub fn role_connection(endpoint: &str, role: &str, external_id: &str) -> String {
    format!(
        "TYPE s3\nS3_REGION \"us-east-1\"\nS3_ARN \"{role}\"\nS3_EXTERNAL_ID \"{external_id}\"\n\
         S3_ENDPOINT \"{endpoint}\"\nS3_PATH_STYLE true\n"
    )
}

impl Home {
    /// A data source with more than the usual lines, such as a SCHEMA or another connection.
    pub fn datasource_text(&self, name: &str, text: &str) -> &Self {
        self.config(&format!("datasources/{name}.datasource"), text)
    }

    /// The batches of an import as the ledger has them, oldest first. Works beside a running program.
    pub fn history(&self, import: &str) -> Vec<BatchRecord> {
        let (ledger, mut batches, mut before) = (self.ledger().expect("a ledger"), Vec::new(), None);
        loop {
            let query = HistoryQuery { limit: 1_000, before, files: false, outcome: None };
            let page = ledger.history(&ImportName::new(import), &query).expect("history").unwrap_or_default();
            batches.extend(page.batches);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        batches.reverse();
        batches
    }

    fn ledger(&self) -> Option<LedgerReader> {
        LedgerReader::open(&self.path("data")).expect("the ledger opens")
    }

    /// The newest batch of an import; `None` if the ledger does not know the import yet, or is not there yet.
    pub fn newest_batch(&self, import: &str) -> Option<BatchRecord> {
        let ledger = LedgerReader::open(&self.path("data")).ok()??;
        let query = HistoryQuery { limit: 1, before: None, files: false, outcome: None };
        ledger.history(&ImportName::new(import), &query).ok()??.batches.pop()
    }

    /// The counts of an import as the ledger has them.
    pub fn counts(&self, import: &str) -> ImportCounts {
        let ledger = self.ledger().expect("a ledger");
        ledger.counts(&ImportName::new(import), SystemClock.now()).expect("counts").expect("the import")
    }

    /// What `status --json` says of an import, whether or not the program runs.
    pub fn status(&self, api: Option<SocketAddr>, import: &str) -> Value {
        let mut command = self.command("http://127.0.0.1:9", &["status", "--json"]);
        if let Some(api) = api {
            command.env("S3_CONNECTOR_LISTEN_API", api.to_string());
        }
        let finished = Finished::of(command.output().expect("the program starts")).expect_code(0);
        let all: Vec<Value> = serde_json::from_str(&finished.stdout).expect("JSON");
        all.into_iter().find(|one| one["import"] == import).expect("the import")
    }
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Asserts the exit code, showing everything if it is another.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A devcloud over a home's `s3/`, on threads of its own: user [`CALLER`] may assume [`ROLE`], and nothing else.
pub struct Cloud {
    _runtime: tokio::runtime::Runtime,
    endpoint: String,
    faults: FaultHandle,
}

impl Cloud {
    pub fn start(home: &Home) -> Self {
        Self::with_session(home, Duration::from_secs(3_600))
    }

    /// `session`: how long the role's credentials live.
    pub fn with_session(home: &Home, session: Duration) -> Self {
        let role = Role {
            arn: ROLE.to_owned(),
            external_id: Some(EXTERNAL_ID.to_owned()),
            allowed_callers: vec![CALLER.to_owned()],
            buckets: None,
            session,
            write: false,
        };
        Self::with_roles(home, vec![role])
    }

    /// With these roles instead of [`ROLE`].
    pub fn with_roles(home: &Home, roles: Vec<Role>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("threads");
        let config = DevCloudConfig {
            folder: home.path("s3"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            region: "us-east-1".to_owned(),
            users: vec![KeyPair { access_key_id: CALLER.to_owned(), secret: Secret::new(CALLER_SECRET) }],
            roles,
            users_may_read: false,
            faults: None,
        };
        let cloud = runtime.block_on(DevCloud::start(config)).expect("the devcloud starts");
        let (endpoint, faults) = (cloud.endpoint(), cloud.faults());
        // It serves for as long as its runtime lives.
        runtime.spawn(async move {
            let _cloud = cloud;
            std::future::pending::<()>().await;
        });
        Self { _runtime: runtime, endpoint, faults }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What goes wrong, and how often it did.
    pub fn faults(&self) -> &FaultHandle {
        &self.faults
    }
}

/// A running `run`; killed when it is dropped.
pub struct Daemon {
    child: Child,
    pub metrics: SocketAddr,
    pub api: SocketAddr,
    /// Where the log goes on.
    log: Option<std::thread::JoinHandle<String>>,
}

impl Daemon {
    /// Starts the program with `run` and waits until it listens. `tick`: such as `1s`.
    pub fn start(home: &Home, sts_endpoint: &str, tick: &str) -> Self {
        Self::spawn(home.command(sts_endpoint, &["run"]).env("S3_CONNECTOR_LIMITS_TICK", tick))
    }

    /// Starts a prepared `run` and waits until it listens.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut seen = String::new();
        let listening = loop {
            let Some(Ok(line)) = lines.next() else { panic!("the program ended early:\n{seen}") };
            seen.push_str(&line);
            seen.push('\n');
            let parsed: Option<Value> = serde_json::from_str(&line).ok();
            if let Some(event) = parsed.filter(|event| event["message"] == "listening") {
                break event;
            }
        };
        let address = |name: &str| {
            let url = listening[name].as_str().expect("an address").trim_start_matches("http://");
            url.trim_end_matches("/metrics").parse().expect("an address")
        };
        let (metrics, api) = (address("metrics"), address("api"));
        // The pipe has to be emptied, or the program would block on its log.
        let log = std::thread::spawn(move || lines.map_while(Result::ok).fold(seen, |log, line| log + &line + "\n"));
        Self { child, metrics, api, log: Some(log) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `GET` over plain HTTP: status code and body.
    pub fn get(&self, address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).expect("connects");
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
        (code, body.to_owned())
    }

    /// `POST` of an empty JSON object to the API: status code and body.
    pub fn post(&self, path: &str, token: &str) -> (u16, String) {
        self.post_json(path, token, "{}")
    }

    /// `POST` of JSON to the API: status code and body.
    pub fn post_json(&self, path: &str, token: &str, json: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.api).expect("connects");
        let head = format!("POST {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {token}", self.api);
        let size = json.len();
        write!(stream, "{head}\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n{json}")
            .expect("writes");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("reads");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code"), body.to_owned())
    }

    /// One import as the API tells it.
    pub fn status(&self, import: &str) -> Value {
        let (code, body) = self.get(self.api, "/api/v1/status");
        assert_eq!(code, 200, "{body}");
        let all: Vec<Value> = serde_json::from_str(&body).expect("JSON");
        all.into_iter().find(|one| one["import"] == import).unwrap_or_else(|| panic!("no {import} in {body}"))
    }

    /// Waits until an import's files in this state number `count`.
    pub fn wait_for_files(&self, import: &str, state: &str, count: u64) -> Value {
        until(&format!("{count} files {state} in {import}"), || {
            let status = self.status(import);
            (status["counts"]["files"][state].as_u64() == Some(count)).then_some(status)
        })
    }

    /// Waits until an import is in this state.
    pub fn wait_for_state(&self, import: &str, state: &str) -> Value {
        until(&format!("{import} to be {state}"), || {
            let status = self.status(import);
            (status["state"] == state).then_some(status)
        })
    }

    /// The value of one sample of `/metrics`, such as `s3_connector_rows_total{…}`; labels in the catalogue's order.
    pub fn metric(&self, sample: &str) -> Option<f64> {
        let (_, body) = self.get(self.metrics, "/metrics");
        let line = body.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("kills");
        self.child.wait().expect("ends");
    }

    /// SIGTERM; returns the exit code and the whole log.
    pub fn terminate(mut self) -> (i32, String) {
        let killed = Command::new("kill").arg(self.pid().to_string()).status().expect("kill runs");
        assert!(killed.success());
        let status = self.child.wait().expect("ends");
        let log = self.log.take().expect("a log").join().expect("the log is read");
        (status.code().unwrap_or(-1), log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The interpreter with the packages that `tests/setup` installs. Without it the test says loudly that it did not run;
/// where `CI` is set, that is a failure.
pub fn python(test: &str) -> Option<PathBuf> {
    let interpreter = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.venv/bin/python");
    if interpreter.exists() {
        return Some(interpreter);
    }
    assert!(std::env::var_os("CI").is_none(), "{test} needs tests/.venv; run tests/setup");
    // Straight to the terminal: the test harness shows nothing of tests that pass.
    let _ = writeln!(std::io::stderr(), "NOT RUN: {test}: there is no tests/.venv; run tests/setup");
    None
}

/// A script of `tests/python`, run to its end; its output as JSON.
#[track_caller]
pub fn script(python: &Path, name: &str, arguments: &[&str]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(name);
    let output = Command::new(python).arg(script).args(arguments).output().expect("python runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{name} {arguments:?}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{name}: {error}: {stdout}"))
}

/// What another implementation reads from a table. `ids`: a column whose values should be unique.
#[track_caller]
pub fn read_table(python: &Path, table: &Path, engine: &str, ids: Option<&str>) -> Value {
    let table = table.to_str().expect("UTF-8");
    let mut arguments = vec![table, "--engine", engine];
    arguments.extend(ids.iter().flat_map(|column| ["--ids", column]));
    script(python, "read_table.py", &arguments)
}

/// The two implementations that tables are read with.
pub const ENGINES: [&str; 2] = ["deltalake", "polars"];

/// How many rows a table has for each combination of values of these columns, in their order: see `group_rows.py`.
#[track_caller]
pub fn group_rows(python: &Path, table: &Path, engine: &str, columns: &[&str]) -> Vec<Value> {
    let table = table.to_str().expect("UTF-8");
    let groups = script(python, "group_rows.py", &[&[table, "--engine", engine], columns].concat());
    groups.as_array().expect("a list").clone()
}
