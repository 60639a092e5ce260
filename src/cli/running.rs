//! The running program, asked and told over its API, as far as verbs need it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use connector_core::error::Failure;
use serde_json::Value;

use super::output;
use crate::app::table_folder;
use crate::config::Project;
use crate::http::TOKEN_FILE;
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
    let (code, body) = exchange(api, "GET", "/api/v1/status", "", "")?;
    let status: Value = (code == 200).then(|| serde_json::from_str(&body).ok())??;
    if is_of(&status, project) {
        return Some(Running { project, status });
    }
    output::note(format!("note: another s3-connector answers at {api}; this is what the ledger has"));
    None
}

impl Running<'_> {
    /// Gives an import a command: `pause` or `resume`.
    ///
    /// # Errors
    /// If the token cannot be read, or the program refuses the command, with what it says.
    pub fn command(&self, import: &str, command: &str) -> Result<(), Failure> {
        let (api, data_dir) = (self.project.settings.listen.api, &self.project.settings.data_dir);
        let token = private_file::load(data_dir, TOKEN_FILE).map_err(|error| {
            let path = data_dir.join(TOKEN_FILE);
            Failure::config("api_token", format!("cannot read the API token {}: {error}", path.display()))
        })?;
        let headers = format!(
            "Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n",
            token.expose()
        );
        let path = format!("/api/v1/imports/{import}/{command}");
        let Some((code, body)) = exchange(api, "POST", &path, &headers, "{}") else {
            let message = format!("the program at {api} does not answer any more; try again");
            return Err(Failure::transient("no_answer", message));
        };
        if code == 202 {
            return Ok(());
        }
        let refusal: Value = serde_json::from_str(&body).unwrap_or_default();
        let reason = refusal["error"]["message"].as_str().unwrap_or("it does not say why");
        let message = format!("the program at {api} refuses to {command} {import}: {reason}");
        Err(if code >= 500 { Failure::transient("refused", message) } else { Failure::config("refused", message) })
    }
}

/// One request: the status code and the body of its answer; `None` if none comes.
fn exchange(api: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&api, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    // HTTP 1.0: the answer ends with the connection and comes in one piece.
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {api}\r\n{headers}\r\n{body}").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

/// Whether a status is that of this configuration: it fills our tables.
fn is_of(status: &Value, project: &Project) -> bool {
    let tables = |import: &Value| import["table"].as_str().map(str::to_owned);
    let theirs: Vec<String> = status.as_array().into_iter().flatten().filter_map(tables).collect();
    project.imports.iter().all(|spec| theirs.contains(&table_folder(project, spec).display().to_string()))
}
