//! The API: status for whoever asks, commands for whoever has the token.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/v1/status` | 200, all imports |
//! | `GET /api/v1/imports/{name}` | 200, one import; 404 |
//! | `GET /api/v1/imports/{name}/history` | 200, a page of batches, newest first; parameters `limit` (20, at most 1,000), `before`, `files`, `outcome` |
//! | `GET /api/v1/imports/{name}/schema` | 200, the versions of the schema, oldest first |
//! | `GET /api/v1/imports/{name}/syncs/{id}` | 200, how far a sync is, by the `sync` of its 202; 404 |
//! | `GET /api/v1/config` | 200, when the configuration was taken, and why a later one was not |
//! | `POST /api/v1/reload` | 200, what has changed; 409 with all problems if the configuration is refused; parameters `accept` (names), `dry_run` |
//! | `POST /api/v1/purge` | 200, tables that were removed; 409 while the data source is configured; parameter `import` |
//! | `POST /api/v1/imports/{name}/pause`, `…/resume`, `…/sync` | 202, the command is accepted; 404; 409 if the state does not allow it |
//! | `POST /api/v1/imports/{name}/replay`, `…/rollback`, `…/maintain`, `…/retry`, `…/adopt`, `…/rebuild`, `…/reread` | 200 once it is done, a summary; 404; 409 with the reason why not |
//!
//! A command takes no parameters: its body is empty or `{}`. An operation takes those of [`crate::operations`] as a JSON
//! object, and answers as late as it is done. [`super::guard`] has let the request in before it arrives
//! here.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data, Path, PayloadConfig, Query, ServiceConfig};
use connector_core::history::HistoryQuery;
use connector_core::status::ImportStatus;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::CONTROL_TIMEOUT;
use super::answer::{self, Refusal};
use super::control::{Control, ControlError};
use crate::operations::Operation;

/// No command needs more; a larger body is refused before it is read.
const MAX_BODY_BYTES: usize = 16 << 10;

#[derive(Clone, Copy)]
enum Command {
    Pause,
    Resume,
    Sync,
}

pub fn routes(config: &mut ServiceConfig) {
    let get = |path| web::resource(path).default_service(answer::wrong_method("GET"));
    let post = |path| web::resource(path).default_service(answer::wrong_method("POST"));
    config
        .app_data(PayloadConfig::new(MAX_BODY_BYTES))
        .service(get("/api/v1/status").route(web::get().to(status)))
        .service(get("/api/v1/config").route(web::get().to(config_state)))
        .service(post("/api/v1/reload").route(web::post().to(reload)))
        .service(post("/api/v1/purge").route(web::post().to(purge)))
        .service(get("/api/v1/imports/{name}").route(web::get().to(import)))
        .service(get("/api/v1/imports/{name}/history").route(web::get().to(history)))
        .service(get("/api/v1/imports/{name}/schema").route(web::get().to(schema)))
        .service(get("/api/v1/imports/{name}/syncs/{id}").route(web::get().to(sync_state)))
        .service(post("/api/v1/imports/{name}/{command}").route(web::post().to(command)));
}

async fn status(control: Data<dyn Control>) -> Result<HttpResponse, Refusal> {
    Ok(answer::json(StatusCode::OK, &all(&control).await?))
}

async fn import(control: Data<dyn Control>, name: Path<String>) -> Result<HttpResponse, Refusal> {
    let found = all(&control).await?.into_iter().find(|status| status.import.as_str() == name.as_str());
    let found = found.ok_or_else(|| ControlError::UnknownImport { import: name.into_inner() })?;
    Ok(answer::json(StatusCode::OK, &found))
}

async fn config_state(control: Data<dyn Control>) -> Result<HttpResponse, Refusal> {
    Ok(answer::json(StatusCode::OK, &control.config()?))
}

/// Parameters of a reload.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReloadParameters {
    accept: Vec<String>,
    dry_run: bool,
}

async fn reload(control: Data<dyn Control>, body: Result<Bytes, actix_web::Error>) -> Result<HttpResponse, Refusal> {
    let parameters = parameters_of(&body.map_err(|error| unreadable(&error))?)?;
    let ReloadParameters { accept, dry_run } = serde_json::from_value(Value::Object(parameters)).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_parameter", format!("the parameters of reload: {error}"))
    })?;
    Ok(answer::json(StatusCode::OK, &control.reload(&accept, dry_run).await?))
}

/// Parameters of a purge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PurgeParameters {
    import: String,
}

async fn purge(control: Data<dyn Control>, body: Result<Bytes, actix_web::Error>) -> Result<HttpResponse, Refusal> {
    let parameters = parameters_of(&body.map_err(|error| unreadable(&error))?)?;
    let PurgeParameters { import } = serde_json::from_value(Value::Object(parameters)).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_parameter", format!("the parameters of purge: {error}"))
    })?;
    Ok(answer::json(StatusCode::OK, &control.purge(&import).await?))
}

/// Parameters of the history.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryParameters {
    limit: Option<u32>,
    before: Option<i64>,
    #[serde(default)]
    files: bool,
    outcome: Option<String>,
}

const DEFAULT_PAGE: u32 = 20;
const MAX_PAGE: u32 = 1_000;

async fn history(
    control: Data<dyn Control>,
    name: Path<String>,
    parameters: Result<Query<HistoryParameters>, actix_web::Error>,
) -> Result<HttpResponse, Refusal> {
    let parameters = parameters.map_err(|error| {
        let message = format!("{error}; parameters are limit, before, files (true or false) and outcome");
        Refusal::new(StatusCode::BAD_REQUEST, "bad_parameter", message)
    })?;
    let HistoryParameters { limit, before, files, outcome } = parameters.into_inner();
    let limit = limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
    let query = HistoryQuery { limit, before, files, outcome };
    let page = answer::within(CONTROL_TIMEOUT, control.history(&name, query)).await??;
    Ok(answer::json(StatusCode::OK, &page))
}

async fn schema(control: Data<dyn Control>, name: Path<String>) -> Result<HttpResponse, Refusal> {
    let versions = answer::within(CONTROL_TIMEOUT, control.schema_history(&name)).await??;
    Ok(answer::json(StatusCode::OK, &versions))
}

async fn command(
    control: Data<dyn Control>,
    path: Path<(String, String)>,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, Refusal> {
    let (import, name) = path.into_inner();
    let parameters = parameters_of(&body.map_err(|error| unreadable(&error))?)?;
    if Operation::NAMES.contains(&&*name) {
        let operation = Operation::parse(&name, Value::Object(parameters)).map_err(|error| {
            Refusal::new(StatusCode::BAD_REQUEST, "bad_parameter", format!("the parameters of {name}: {error}"))
        })?;
        let summary = control.operate(&import, operation).await?;
        return Ok(answer::json(StatusCode::OK, &summary));
    }
    let command = Command::parse(&name)?;
    if !parameters.is_empty() {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "unknown_parameter", "the command takes no parameters"));
    }
    let sync = answer::within(CONTROL_TIMEOUT, command.run(&**control, &import)).await??;
    let mut accepted = json!({ "import": import, "command": name, "accepted": true });
    if let Some(id) = sync {
        accepted["sync"] = json!(id);
    }
    Ok(answer::json(StatusCode::ACCEPTED, &accepted))
}

async fn sync_state(control: Data<dyn Control>, path: Path<(String, String)>) -> Result<HttpResponse, Refusal> {
    let (import, id) = path.into_inner();
    let found = answer::within(CONTROL_TIMEOUT, control.sync_state(&import, &id)).await??;
    let unknown = || {
        let message =
            "this program was not asked for that sync: it may have been started anew since; the history tells";
        Refusal::new(StatusCode::NOT_FOUND, "unknown_sync", message)
    };
    Ok(answer::json(StatusCode::OK, &found.ok_or_else(unknown)?))
}

impl Command {
    fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "pause" => Ok(Self::Pause),
            "resume" => Ok(Self::Resume),
            "sync" => Ok(Self::Sync),
            _ => {
                let operations = Operation::NAMES.join(", ");
                let message = format!("the commands of an import are pause, resume, sync, {operations}");
                Err(Refusal::new(StatusCode::NOT_FOUND, "unknown_command", message))
            }
        }
    }

    /// The id of the sync, if it is one.
    async fn run(self, control: &dyn Control, import: &str) -> Result<Option<String>, ControlError> {
        match self {
            Self::Pause => control.pause(import).await.map(|()| None),
            Self::Resume => control.resume(import).await.map(|()| None),
            Self::Sync => control.sync(import).await.map(Some),
        }
    }
}

async fn all(control: &Data<dyn Control>) -> Result<Vec<ImportStatus>, Refusal> {
    answer::within(CONTROL_TIMEOUT, control.status()).await
}

fn parameters_of(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body is neither empty nor a JSON object: {error}");
        Refusal::new(StatusCode::BAD_REQUEST, "bad_json", message)
    })
}

fn unreadable(error: &actix_web::Error) -> Refusal {
    let status = error.as_response_error().status_code();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let message = format!("the body is larger than {MAX_BODY_BYTES} bytes");
        return Refusal::new(status, "body_too_large", message);
    }
    Refusal::new(StatusCode::BAD_REQUEST, "bad_body", format!("the body cannot be read: {error}"))
}
