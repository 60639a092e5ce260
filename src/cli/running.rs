//! The running program, asked and told over its API, as far as verbs need it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use connector_core::error::Failure;
use serde_json::Value;

use super::output;
use crate::config::Project;
use crate::http::TOKEN_FILE;
use crate::operations::Operation;
use crate::private_file;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The program that runs with this configuration.
pub struct Running<'a> {
    project: &'a Project,
    /// All of its imports, as `GET /api/v1/status` has them.
    pub status: Value,
}

/// The running program, if there is one; a note, if another installation's program answers in its place.
pub fn find(project: &Project) -> Option<Running<'_>> {
    let api = project.settings.listen.api;
    let (code, body) = exchange(api, "GET", "/api/v1/status", "", "", Some(PATIENCE))?;
    let status: Value = (code == 200).then(|| serde_json::from_str(&body).ok())??;
    let (code, config) = exchange(api, "GET", "/api/v1/config", "", "", Some(PATIENCE))?;
    let config: Value = (code == 200).then(|| serde_json::from_str(&config).ok())??;
    if is_of(&config, project) {
        return Some(Running { project, status });
    }
    output::note(format!("note: another s3-connector answers at {api}; this is what the ledger has"));
    None
}

impl Running<'_> {
    /// Its imports as they are now; `Null` if it does not answer.
    pub fn fresh_status(&self) -> Value {
        let answer = exchange(self.project.settings.listen.api, "GET", "/api/v1/status", "", "", Some(PATIENCE));
        answer.and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default()
    }

    /// Gives an import a command: `pause` or `resume`.
    ///
    /// # Errors
    /// If the token cannot be read, or the program refuses the command, with what it says.
    pub fn command(&self, import: &str, command: &str) -> Result<(), Failure> {
        let (code, body) = self.post(import, command, "{}", Some(PATIENCE))?;
        if code == 202 { Ok(()) } else { Err(self.refusal(import, command, code, &body)) }
    }

    /// Has an operation carried out, and waits until it is done. Returns its summary.
    ///
    /// # Errors
    /// If the token cannot be read, or the program refuses the operation or fails in it, with what it says.
    pub fn operate(&self, import: &str, operation: &Operation) -> Result<Value, Failure> {
        let (name, parameters) = operation.to_request();
        let (code, body) = self.post(import, &name, &parameters.to_string(), None)?;
        if code != 200 {
            return Err(self.refusal(import, &name, code, &body));
        }
        serde_json::from_str(&body)
            .map_err(|error| Failure::bug("bad_answer", format!("the program answers no JSON: {error}")))
    }

    /// Has the configuration read anew. Returns what has changed, or with `dry_run` would.
    ///
    /// # Errors
    /// If the token cannot be read, or the program refuses the configuration, with what it says.
    pub fn reload(&self, accept: &[String], dry_run: bool) -> Result<Value, Failure> {
        let parameters = serde_json::json!({ "accept": accept, "dry_run": dry_run }).to_string();
        let (code, body) = self.post_to("/api/v1/reload", &parameters, None)?;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        if code == 200 {
            return Ok(answer);
        }
        Err(Self::reason(code, &answer))
    }

    /// Has the tables of an import removed whose data source is gone. Returns which they were.
    ///
    /// # Errors
    /// If the token cannot be read, or of the program: `Transient` while the import is still ending.
    pub fn purge(&self, import: &str) -> Result<Value, Failure> {
        let parameters = serde_json::json!({ "import": import }).to_string();
        let (code, body) = self.post_to("/api/v1/purge", &parameters, None)?;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        if code == 200 { Ok(answer) } else { Err(Self::reason(code, &answer)) }
    }

    /// Why something was refused, as the program says it.
    fn reason(code: u16, answer: &Value) -> Failure {
        let reason = answer["error"]["message"].as_str().unwrap_or("the program does not say why").to_owned();
        if code >= 500 { Failure::transient("refused", reason) } else { Failure::config("refused", reason) }
    }

    fn post(
        &self,
        import: &str,
        command: &str,
        parameters: &str,
        patience: Option<Duration>,
    ) -> Result<(u16, String), Failure> {
        self.post_to(&format!("/api/v1/imports/{import}/{command}"), parameters, patience)
    }

    fn post_to(&self, path: &str, parameters: &str, patience: Option<Duration>) -> Result<(u16, String), Failure> {
        let (api, data_dir) = (self.project.settings.listen.api, &self.project.settings.data_dir);
        let token = private_file::load(data_dir, TOKEN_FILE).map_err(|error| {
            let path = data_dir.join(TOKEN_FILE);
            Failure::config("api_token", format!("cannot read the API token {}: {error}", path.display()))
        })?;
        let headers = format!(
            "Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            token.expose(),
            parameters.len()
        );
        exchange(api, "POST", path, &headers, parameters, patience).ok_or_else(|| {
            let message = format!("the program at {api} does not answer any more; try again");
            Failure::transient("no_answer", message)
        })
    }

    fn refusal(&self, import: &str, command: &str, code: u16, body: &str) -> Failure {
        let api = self.project.settings.listen.api;
        let refusal: Value = serde_json::from_str(body).unwrap_or_default();
        let reason = refusal["error"]["message"].as_str().unwrap_or("it does not say why");
        let message = format!("the program at {api} refuses to {command} {import}: {reason}");
        if code >= 500 { Failure::transient("refused", message) } else { Failure::config("refused", message) }
    }
}

/// One request: the status code and the body of its answer; `None` if none comes.
fn exchange(
    api: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
    patience: Option<Duration>,
) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&api, PATIENCE).ok()?;
    stream.set_read_timeout(patience).ok()?;
    // HTTP 1.0: the answer ends with the connection and comes in one piece.
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {api}\r\n{headers}\r\n{body}").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

/// Whether the program that answers is the one of this configuration: it has our data directory.
fn is_of(config: &Value, project: &Project) -> bool {
    let Ok(ours) = std::path::absolute(&project.settings.data_dir) else { return false };
    let same = |theirs: &str| {
        let theirs = Path::new(theirs);
        theirs == ours || theirs.canonicalize().ok().zip(ours.canonicalize().ok()).is_some_and(|(one, two)| one == two)
    };
    config["data_dir"].as_str().is_some_and(same)
}
