//! The two HTTP listeners over real sockets, and the exporter behind them.

mod client;
mod foreign;

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use connector_core::error::{ErrorClass, Failure};
use connector_core::events::{BatchCommitted, FileIngested, ImportRegistered, ImportStateChanged, ProcessStarted};
use connector_core::history::{HistoryPage, HistoryQuery, SchemaVersion};
use connector_core::ids::{BatchId, Generation, ImportName};
use connector_core::ports::ImportCounts;
use connector_core::revision::BatchKind;
use connector_core::status::{ImportState, ImportStatus};
use connector_core::telemetry::{CATALOGUE, ImportLabels};
use s3_connector::exporter;
use s3_connector::http::{
    AllowedHosts, ApiToken, Control, ControlError, HttpConfig, HttpError, ListenOn, RenderMetrics, Servers,
};
use s3_connector::operations::Operation;
use serde_json::{Value, json};

use self::client::{Response, get, send};

// ------------------------------------------------------------------------------------------------ the world

/// Two imports, and a list of the commands that reached them.
struct Panel {
    states: Mutex<[ImportState; 2]>,
    commands: Mutex<Vec<String>>,
}

impl Panel {
    fn command(&self, name: &str, import: &str) -> Result<(), ControlError> {
        match import {
            "orders" | "visits" => {}
            "broken" => return Err(Failure::bug("ledger_gone", "the ledger is gone").into()),
            "leaving" => return Err(ControlError::Unavailable { reason: "it is stopping".to_owned() }),
            other => return Err(ControlError::UnknownImport { import: other.to_owned() }),
        }
        if name == "sync" && import == "visits" {
            return Err(ControlError::Refused { code: "paused", message: "the import is paused".to_owned() });
        }
        self.commands.lock().expect("not poisoned").push(format!("{name} {import}"));
        Ok(())
    }
}

#[async_trait]
impl Control for Panel {
    async fn status(&self) -> Vec<ImportStatus> {
        let states = *self.states.lock().expect("not poisoned");
        ["orders", "visits"].into_iter().zip(states).map(|(name, state)| status(name, state)).collect()
    }

    async fn history(&self, import: &str, query: HistoryQuery) -> Result<HistoryPage, ControlError> {
        self.command(&format!("history {query:?} of"), import)?;
        Ok(HistoryPage { batches: Vec::new(), next: Some(7) })
    }

    async fn schema_history(&self, import: &str) -> Result<Vec<SchemaVersion>, ControlError> {
        self.command("schema of", import)?;
        Ok(vec![SchemaVersion {
            version: 1,
            at: jiff::Timestamp::UNIX_EPOCH,
            batch: None,
            changes: Vec::new(),
            evidence: Vec::new(),
        }])
    }

    async fn pause(&self, import: &str) -> Result<(), ControlError> {
        self.command("pause", import)
    }

    async fn resume(&self, import: &str) -> Result<(), ControlError> {
        self.command("resume", import)
    }

    async fn operate(&self, import: &str, operation: Operation) -> Result<Value, ControlError> {
        self.command(&format!("{operation:?} of"), import)?;
        Ok(json!({ "done": true }))
    }

    async fn sync(&self, import: &str) -> Result<String, ControlError> {
        self.command("sync", import).map(|()| "an-id".to_owned())
    }

    async fn sync_state(&self, import: &str, id: &str) -> Result<Option<Value>, ControlError> {
        Ok((id == "an-id").then(|| json!({ "id": id, "import": import, "state": "done" })))
    }

    async fn reload(&self, accept: &[String], dry_run: bool) -> Result<Value, ControlError> {
        if accept.iter().any(|name| name == "typo") {
            return Err(ControlError::Refused { code: "unknown_directive", message: "1 problem".to_owned() });
        }
        self.commands.lock().expect("not poisoned").push(format!("reload {accept:?} {dry_run}"));
        Ok(json!({ "added": [] }))
    }

    async fn purge(&self, import: &str) -> Result<Value, ControlError> {
        self.commands.lock().expect("not poisoned").push(format!("purge {import}"));
        Ok(json!({ "import": import, "tables": [] }))
    }

    fn config(&self) -> Result<Value, ControlError> {
        Ok(json!({ "refused": null }))
    }
}

fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn status(name: &str, state: ImportState) -> ImportStatus {
    ImportStatus {
        import: ImportName::new(name),
        connection: "lake".to_owned(),
        uri: format!("s3://bucket/{name}/*.csv"),
        schedule: "@auto".to_owned(),
        state,
        reason: None,
        generation: Generation(1),
        table: format!("tables/{name}"),
        counts: ImportCounts::default(),
    }
}

struct World {
    panel: Arc<Panel>,
    servers: Servers,
    token: String,
    _data: tempfile::TempDir,
}

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn config() -> HttpConfig {
    HttpConfig {
        metrics: ListenOn { address: ANY_PORT, setting: "listen.metrics" },
        api: ListenOn { address: ANY_PORT, setting: "listen.api" },
        allowed_hosts: vec!["Connector.Internal".to_owned()],
    }
}

fn world_with(render: RenderMetrics) -> World {
    let data = tempdir();
    let panel = Panel { states: Mutex::new([ImportState::Running; 2]), commands: Mutex::default() };
    let panel = Arc::new(panel);
    let token = ApiToken::load_or_create(data.path()).expect("a token");
    let text = std::fs::read_to_string(data.path().join("api-token")).expect("the disk works");
    let servers = Servers::start(&config(), token, panel.clone(), render).expect("both listeners start");
    World { panel, servers, token: text.trim().to_owned(), _data: data }
}

fn world() -> World {
    world_with(Arc::new(|| "nothing measured\n".to_owned()))
}

impl World {
    /// A command as it should be sent, with some headers replaced; an empty value leaves the header out.
    async fn post(&self, path: &str, replaced: &[(&str, &str)], body: &str) -> Response {
        let api = self.servers.api_address();
        let (host, bearer) = (api.to_string(), format!("Bearer {}", self.token));
        let usual = [("Host", host.as_str()), ("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let headers = usual.map(|(name, value)| {
            let replacement = replaced.iter().find(|(other, _)| *other == name);
            (name, replacement.map_or(value, |(_, other)| *other))
        });
        let headers: Vec<(&str, &str)> = headers.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        send(api, &format!("POST {path}"), &headers, body).await
    }

    fn commands(&self) -> Vec<String> {
        self.panel.commands.lock().expect("not poisoned").clone()
    }
}

// ------------------------------------------------------------------------------------------------ API

#[tokio::test(flavor = "multi_thread")]
async fn commands_reach_the_program_and_status_shows_every_import() {
    let world = world();
    for (command, body) in [("pause", ""), ("resume", "{}"), ("sync", " {\n} ")] {
        let response = world.post(&format!("/api/v1/imports/orders/{command}"), &[], body).await;
        assert_eq!(response.status, 202, "{response:?}");
        assert_eq!(response.json()["command"], command);
    }
    assert_eq!(world.commands(), ["pause orders", "resume orders", "sync orders"]);

    let response = get(world.servers.api_address(), "/api/v1/status").await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let names: Vec<_> = response.json().as_array().expect("a list").iter().map(|one| one["import"].clone()).collect();
    assert_eq!(names, ["orders", "visits"]);

    let response = get(world.servers.api_address(), "/api/v1/imports/visits").await;
    assert_eq!((response.status, response.json()["state"].as_str()), (200, Some("Running")));
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tracker_is_paged_and_unknown_parameters_are_refused() {
    let world = world();
    let api = world.servers.api_address();
    let page = get(api, "/api/v1/imports/orders/history?limit=5000&before=3&files=true&outcome=failed").await;
    assert_eq!((page.status, page.json()["next"].as_i64()), (200, Some(7)));
    assert_eq!(get(api, "/api/v1/imports/visits/history").await.status, 200);
    let asked = world.commands();
    let wanted = HistoryQuery { limit: 1_000, before: Some(3), files: true, outcome: Some("failed".to_owned()) };
    assert_eq!(asked[0], format!("history {wanted:?} of orders"));
    assert!(asked[1].contains("limit: 20"), "{asked:?}");
    assert_eq!(get(api, "/api/v1/imports/nothing/history").await.status, 404);
    for wrong in ["limit=many", "since=1", "files=perhaps"] {
        let response = get(api, &format!("/api/v1/imports/orders/history?{wrong}")).await;
        assert_eq!((response.status, response.code().as_str()), (400, "bad_parameter"), "{wrong}");
    }
    let schema = get(api, "/api/v1/imports/orders/schema").await;
    assert_eq!((schema.status, schema.json()[0]["version"].as_i64()), (200, Some(1)));
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_the_token_is_refused() {
    let world = world();
    let short = &world.token[1..];
    let other = format!("Bearer {short}{}", if world.token.starts_with('0') { '1' } else { '0' });
    let (long, basic, bare) =
        (format!("Bearer {}0", world.token), format!("Basic {}", world.token), world.token.clone());
    for wrong in ["", "Bearer", "Bearer ", &other, &long, &format!("Bearer {short}"), &basic, &bare] {
        let response = world.post("/api/v1/imports/orders/pause", &[("Authorization", wrong)], "").await;
        assert_eq!((response.status, response.code().as_str()), (401, "wrong_token"), "{wrong}");
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        assert!(!response.body.contains(&world.token));
    }
    // Nobody without the token learns which imports exist, or that a path takes no such method.
    for path in ["/api/v1/imports/nothing/pause", "/api/v1/status", "/elsewhere"] {
        assert_eq!(world.post(path, &[("Authorization", "")], "").await.status, 401, "{path}");
    }
    for (first, second) in [("x", world.token.as_str()), (world.token.as_str(), "x")] {
        let twice = format!("Bearer {first}\r\nAuthorization: Bearer {second}");
        assert_eq!(world.post("/api/v1/imports/orders/pause", &[("Authorization", &twice)], "").await.status, 401);
    }
    assert_eq!(world.commands(), [""; 0]);
    let lower = format!("bearer {}", world.token);
    assert_eq!(world.post("/api/v1/imports/orders/pause", &[("Authorization", &lower)], "").await.status, 202);
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_needs_a_json_content_type() {
    let world = world();
    for wrong in ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"] {
        let response = world.post("/api/v1/imports/orders/pause", &[("Content-Type", wrong)], "{}").await;
        assert_eq!((response.status, response.code().as_str()), (415, "wrong_content_type"), "{wrong}");
    }
    assert_eq!(world.commands(), [""; 0]);
    for right in ["application/json; charset=utf-8", "Application/JSON"] {
        assert_eq!(world.post("/api/v1/imports/orders/pause", &[("Content-Type", right)], "{}").await.status, 202);
    }
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_host_is_refused_even_for_reading() {
    let world = world();
    let api = world.servers.api_address();
    let port = api.port();
    let evil_port = format!("evil.example:{port}");
    let userinfo = format!("localhost@evil.example:{port}");
    for foreign in [
        "evil.example",
        &evil_port,
        &userinfo,
        "me@localhost",
        "localhost.evil.example",
        "0.0.0.0",
        "10.0.0.1",
        "[::2]",
    ] {
        let response = send(api, "GET /api/v1/status", &[("Host", foreign)], "").await;
        assert_eq!((response.status, response.code().as_str()), (403, "foreign_host"), "{foreign}");
        let response = world.post("/api/v1/imports/orders/pause", &[("Host", foreign)], "{}").await;
        assert_eq!(response.status, 403, "{foreign}");
    }
    // Absent, doubled, or named otherwise in the request line.
    assert_ne!(send(api, "GET /api/v1/status", &[], "").await.status, 200);
    let twice = [("Host", "localhost"), ("Host", "evil.example")];
    assert_ne!(send(api, "GET /api/v1/status", &twice, "").await.status, 200);
    for (target, host) in [("evil.example", "localhost"), ("localhost", "evil.example")] {
        let response = send(api, &format!("GET http://{target}/api/v1/status"), &[("Host", host)], "").await;
        assert_eq!(response.status, 403, "{target} {host}");
    }
    assert_eq!(world.commands(), [""; 0]);

    let local = format!("localhost:{port}");
    for own in ["localhost", &local, "LOCALHOST", "127.0.0.1", "127.8.8.8:1", "[::1]:80", "connector.internal"] {
        let response = send(api, "GET /api/v1/status", &[("Host", own)], "").await;
        assert_eq!(response.status, 200, "{own}");
        assert_eq!(response.header("access-control-allow-origin"), None);
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_origin_is_ever_allowed() {
    let world = world();
    let api = world.servers.api_address();
    let preflight = [
        ("Host", "localhost"),
        ("Origin", "https://evil.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    let response = send(api, "OPTIONS /api/v1/imports/orders/pause", &preflight, "").await;
    assert_eq!(response.status, 405);
    assert!(response.headers.iter().all(|(name, _)| !name.starts_with("access-control-")), "{response:?}");
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_or_cannot_be_done_now_is_said_by_status_and_code() {
    let world = world();
    let api = world.servers.api_address();
    assert_eq!(get(api, "/api/v1/imports/nothing").await.code(), "unknown_import");
    assert_eq!(get(api, "/metrics").await.code(), "unknown_path");
    assert_eq!(get(api, "/api/v1/imports/orders/pause").await.status, 405);
    let cases = [
        ("nothing/pause", 404, "unknown_import"),
        ("orders/explode", 404, "unknown_command"),
        ("visits/sync", 409, "paused"),
        ("leaving/sync", 503, "unavailable"),
        ("broken/pause", 500, "ledger_gone"),
    ];
    for (path, status, code) in cases {
        let response = world.post(&format!("/api/v1/imports/{path}"), &[], "").await;
        assert_eq!((response.status, response.code().as_str()), (status, code), "{path}");
    }
    assert_eq!(world.commands(), [""; 0]);
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_small_and_holds_no_parameter_that_would_be_ignored() {
    let world = world();
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(20_000));
    let cases = [("{", 400, "bad_json"), ("[]", 400, "bad_json"), ("{\"a\": 1}", 400, "unknown_parameter")];
    for (body, status, code) in cases.into_iter().chain([(large.as_str(), 413, "body_too_large")]) {
        let response = world.post("/api/v1/imports/orders/pause", &[], body).await;
        assert_eq!((response.status, response.code().as_str()), (status, code));
    }
    assert_eq!(world.commands(), [""; 0]);
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_takes_its_parameters_and_answers_with_its_summary() {
    let world = world();
    let response =
        world.post("/api/v1/imports/orders/replay", &[], "{\"column\": \"amount\", \"dry_run\": true}").await;
    assert_eq!((response.status, response.body.as_str()), (200, "{\"done\":true}"));
    let response = world.post("/api/v1/imports/orders/maintain", &[], "").await;
    assert_eq!(response.status, 200);
    let commands = world.commands();
    assert!(commands[0].contains("Replay") && commands[0].contains("amount") && commands[1].contains("Maintain"));
    for (path, body) in [("replay", "{\"colum\": 1}"), ("rollback", "{}"), ("maintain", "{\"now\": true}")] {
        let response = world.post(&format!("/api/v1/imports/orders/{path}"), &[], body).await;
        assert_eq!((response.status, response.code().as_str()), (400, "bad_parameter"), "{path}");
    }
    world.servers.stop().await;
}

// ------------------------------------------------------------------------------------------------ health

#[tokio::test(flavor = "multi_thread")]
async fn the_process_is_ready_once_no_import_is_starting_and_until_it_drains() {
    use ImportState::{BackingOff, Degraded, Failed, Paused, Running, Starting, Stopped};
    let world = world();
    let address = world.servers.metrics_address();
    let set = |states| *world.panel.states.lock().expect("not poisoned") = states;
    for states in [[Starting, Running], [Failed, Starting]] {
        set(states);
        let response = get(address, "/readyz").await;
        assert_eq!((response.status, &response.json()["ready"]), (503, &false.into()), "{states:?}");
    }
    for states in [[Running, Degraded], [Failed, Failed], [Paused, BackingOff], [Stopped, Running]] {
        set(states);
        assert_eq!(get(address, "/readyz").await.status, 200, "{states:?}");
    }
    let response = get(address, "/readyz").await;
    let expected =
        serde_json::json!([{"import": "orders", "state": "Stopped"}, {"import": "visits", "state": "Running"}]);
    assert_eq!(response.json()["imports"], expected);
    world.servers.begin_drain();
    let response = get(address, "/readyz").await;
    assert_eq!((response.status, &response.json()["draining"]), (503, &true.into()));
    let response = get(address, "/healthz").await;
    assert_eq!((response.status, response.body.as_str()), (200, "ok"));
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_listener_is_read_only_and_answers_to_any_host() {
    let world = world();
    let address = world.servers.metrics_address();
    let any = [("Host", "metrics.example")];
    assert_eq!(send(address, "GET /metrics", &any, "").await.body, "nothing measured\n");
    let head = send(address, "HEAD /healthz", &any, "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for line in ["POST /metrics", "DELETE /readyz", "PUT /healthz"] {
        let response = send(address, line, &any, "").await;
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")), "{line}");
    }
    assert_eq!(send(address, "GET /api/v1/status", &any, "").await.status, 404);
    world.servers.stop().await;
}

// ------------------------------------------------------------------------------------------------ metrics

fn emit_some_events() {
    let import = ImportLabels::new("lake", "orders");
    let batch = BatchId::from_stored("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    ProcessStarted { version: "1.2.3", imports: 1 }.emit();
    ImportRegistered { import: &import, uri: "s3://b/", schedule: "@auto", table: "t" }.emit();
    let (generation, state) = (Generation(1), ImportState::Running);
    ImportStateChanged { import: &import, generation, state, reason: None }.emit();
    let duration = Duration::from_millis(20);
    FileIngested { import: &import, batch: &batch, key: "a.csv", rows: 10, rows_quarantined: 2, bytes: 100, duration }
        .emit();
    let at = jiff::Timestamp::UNIX_EPOCH;
    BatchCommitted {
        import: &import,
        seq: 1,
        id: &batch,
        kind: BatchKind::Ingest,
        files: 1,
        rows: 10,
        rows_quarantined: 2,
        bytes: 90,
        table_version: 2,
        duration,
        at,
    }
    .emit();
}

/// The only test that may install the exporter: there is one for each process.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_scraped_with_help_type_and_the_buckets_of_the_catalogue() {
    let exporter = Arc::new(exporter::Exporter::install().expect("the first one"));
    emit_some_events();
    let scraped = Arc::clone(&exporter);
    let world = world_with(Arc::new(move || scraped.render()));
    let response = get(world.servers.metrics_address(), "/metrics").await;
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));

    let lines: Vec<&str> = response.body.lines().filter(|line| !line.is_empty()).collect();
    let mut described = Vec::new();
    for line in lines.iter().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().expect("a word");
        let value = line.rsplit(' ').next().expect("a word");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let spec =
            CATALOGUE.iter().find(|spec| crate::dashboards::exposes(spec, name)).unwrap_or_else(|| panic!("{name}"));
        assert!(lines.contains(&format!("# HELP {} {}", spec.name, spec.help).as_str()), "{name} has no HELP");
        let kind = format!("{:?}", spec.kind).to_lowercase();
        assert!(lines.contains(&format!("# TYPE {} {kind}", spec.name).as_str()), "{name} has no TYPE {kind}");
        described.push(spec.name);
    }
    assert!(described.contains(&"s3_connector_build_info"));
    let series = r#"{connection="lake",import="orders""#;
    for expected in [
        format!(r#"s3_connector_files_total{series},outcome="ingested"}} 1"#),
        format!(r#"s3_connector_files_total{series},outcome="failed"}} 0"#),
        format!(r#"s3_connector_rows_total{series},outcome="ingested"}} 10"#),
        format!(r#"s3_connector_state{series},state="Running"}} 1"#),
        format!(r#"s3_connector_commit_duration_seconds_bucket{series},le="0.01"}} 0"#),
        format!(r#"s3_connector_commit_duration_seconds_bucket{series},le="0.025"}} 1"#),
        format!(r#"s3_connector_commit_duration_seconds_count{series}}} 1"#),
        r#"s3_connector_build_info{version="1.2.3"} 1"#.to_owned(),
    ] {
        assert!(lines.contains(&expected.as_str()), "{expected} is missing from\n{}", response.body);
    }

    let second = exporter::Exporter::install().expect_err("there is one already");
    assert_eq!(Failure::from(second).class, ErrorClass::Bug);
    world.servers.stop().await;
}

// ------------------------------------------------------------------------------------------------ start and stop

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_refused_with_the_setting_to_change() {
    let world = world();
    let taken = world.servers.api_address();
    let data = tempdir();
    let config = HttpConfig { api: ListenOn { address: taken, setting: "listen.api" }, ..config() };
    let token = ApiToken::load_or_create(data.path()).expect("a token");
    let error = Servers::start(&config, token, world.panel.clone(), Arc::new(String::new)).expect_err("taken");
    assert!(matches!(error, HttpError::Bind { .. }));
    let failure = Failure::from(error);
    assert_eq!((failure.class, failure.code), (ErrorClass::Config, "listen"));
    for part in [taken.to_string().as_str(), "the API", "in use", "listen.api"] {
        assert!(failure.message.contains(part), "{part}: {failure}");
    }
    world.servers.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_waits_for_no_idle_connection_and_frees_both_addresses() {
    let world = world();
    let (metrics, api) = (world.servers.metrics_address(), world.servers.api_address());
    let idle = std::net::TcpStream::connect(api).expect("connects");
    assert_eq!(get(api, "/api/v1/status").await.status, 200);
    tokio::time::timeout(Duration::from_secs(8), world.servers.stop()).await.expect("stops in time");
    drop(idle);
    for address in [metrics, api] {
        std::net::TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
}

#[test]
fn an_api_that_listens_everywhere_does_not_answer_to_every_name() {
    let hosts = AllowedHosts::new(Ipv4Addr::UNSPECIFIED.into(), &["192.0.2.7".to_owned()]);
    assert!(hosts.allow("192.0.2.7:8080") && hosts.allow("localhost:1"));
    assert!(!hosts.allow("0.0.0.0:8080") && !hosts.allow("192.0.2.8") && !hosts.allow(""));
    let hosts = AllowedHosts::new([192, 0, 2, 9].into(), &[]);
    assert!(hosts.allow("192.0.2.9") && hosts.allow("[::ffff:192.0.2.9]:1") && !hosts.allow("192.0.2.7"));
}

// ------------------------------------------------------------------------------------------------ the token's file

#[test]
fn the_token_is_private_random_and_survives_a_restart() {
    let (one, two) = (tempdir(), tempdir());
    let path = one.path().join("api-token");
    let token = ApiToken::load_or_create(one.path()).expect("a token");
    let text = std::fs::read_to_string(&path).expect("the disk works");
    assert_eq!(std::fs::metadata(&path).expect("the disk works").permissions().mode() & 0o777, 0o600);
    assert_eq!(text.trim().len(), 64);
    assert!(token.matches(text.trim().as_bytes()) && !token.matches(b"") && !token.matches(text.as_bytes()));
    assert!(!format!("{token:?}").contains(text.trim()));

    assert!(ApiToken::load_or_create(one.path()).expect("a token").matches(text.trim().as_bytes()));
    assert!(!ApiToken::load_or_create(two.path()).expect("a token").matches(text.trim().as_bytes()));
    assert_eq!(std::fs::read_dir(one.path()).expect("the disk works").count(), 1, "nothing is left beside the token");
}

#[test]
fn a_token_that_others_could_read_or_that_is_none_is_replaced() {
    let data = tempdir();
    let path = data.path().join("api-token");
    let private = std::fs::Permissions::from_mode(0o600);
    let leaked = "a".repeat(64);
    std::fs::write(&path, &leaked).expect("the disk works");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("the disk works");
    assert!(!ApiToken::load_or_create(data.path()).expect("a token").matches(leaked.as_bytes()));
    assert_eq!(std::fs::metadata(&path).expect("the disk works").permissions().mode() & 0o777, 0o600);

    for none in ["", "short", &"z".repeat(64)] {
        std::fs::write(&path, none).expect("the disk works");
        std::fs::set_permissions(&path, private.clone()).expect("the disk works");
        assert!(!ApiToken::load_or_create(data.path()).expect("a token").matches(none.as_bytes()), "{none}");
    }
    let elsewhere = tempdir();
    let target = elsewhere.path().join("token");
    std::fs::write(&target, &leaked).expect("the disk works");
    std::fs::set_permissions(&target, private).expect("the disk works");
    std::fs::remove_file(&path).expect("the disk works");
    std::os::unix::fs::symlink(&target, &path).expect("the disk works");
    assert!(!ApiToken::load_or_create(data.path()).expect("a token").matches(leaked.as_bytes()));
    assert_eq!(
        std::fs::read_to_string(&target).expect("the disk works"),
        leaked,
        "what a link points to is left alone"
    );
}

#[test]
fn a_data_directory_that_cannot_be_written_is_said_with_its_path() {
    let error = ApiToken::load_or_create(std::path::Path::new("/nowhere/at/all")).expect_err("no such directory");
    let failure = Failure::from(error);
    assert_eq!((failure.class, failure.code), (ErrorClass::Config, "api_token"));
    assert!(failure.message.contains("/nowhere/at/all/api-token"), "{failure}");
}
