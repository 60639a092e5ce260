//! The running program, asked and told over its API, as far as verbs need it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use connector_core::error::Failure;
use serde_json::Value;

use super::output;
use crate::config::Project;
use crate::destination::table_location;
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

/// The running program, if there is one. If something answers in its place, or nothing in time, a note says so: what the
/// verb shows then comes from the data directory.
pub fn find(project: &Project) -> Option<Running<'_>> {
    let api = project.settings.listen.api;
    let instead = "this is what the ledger has";
    let (code, body) = match exchange(api, "GET", "/api/v1/status", "", "", Some(PATIENCE)) {
        Ok(answer) => answer,
        Err(Silence::Nobody) => return None,
        Err(Silence::Late) => {
            let seconds = PATIENCE.as_secs();
            output::note(format!(
                "note: a program listens at {api} and does not answer within {seconds} s: is it frozen? {instead}"
            ));
            return None;
        }
        Err(Silence::Unreadable) => {
            output::note(format!("note: what answers at {api} is no s3-connector (listen.api); {instead}"));
            return None;
        }
    };
    let status = (code == 200).then(|| serde_json::from_str::<Value>(&body).ok()).flatten();
    let Some(status) = status.filter(Value::is_array) else {
        output::note(format!("note: what answers at {api} says {code} and no status (listen.api); {instead}"));
        return None;
    };
    if is_of(&status, project) {
        return Some(Running { project, status });
    }
    output::note(format!("note: another s3-connector answers at {api} (listen.api); {instead}"));
    None
}

impl Running<'_> {
    /// An import as it was when the program was found; `None` if the program does not know it.
    pub fn import(&self, name: &str) -> Option<&Value> {
        self.status.as_array()?.iter().find(|import| import["import"] == name)
    }

    /// Gives an import a command: `pause`, `resume` or `sync`. Returns the answer.
    ///
    /// # Errors
    /// If the token cannot be read, or the program refuses the command, with what it says.
    pub fn command(&self, import: &str, command: &str) -> Result<Value, Failure> {
        self.talk().command(import, command)
    }

    /// Has an operation carried out, and waits until it is done. Returns its summary.
    ///
    /// # Errors
    /// If the token cannot be read, or the program refuses the operation or fails in it, with what it says.
    pub fn operate(&self, import: &str, operation: &Operation) -> Result<Value, Failure> {
        let (name, parameters) = operation.to_request();
        let talk = self.talk();
        let (code, body) = talk.post(import, &name, &parameters.to_string(), None)?;
        if code != 200 {
            return Err(talk.refusal(&format!("{name} {import}"), code, &body));
        }
        parsed(&body)
    }

    /// For questions that outlive the project, such as those of another thread.
    pub fn talk(&self) -> Talk {
        Talk { api: self.project.settings.listen.api, data_dir: self.project.settings.data_dir.clone() }
    }
}

/// Where the running program is asked.
#[derive(Clone)]
pub struct Talk {
    api: SocketAddr,
    data_dir: PathBuf,
}

impl Talk {
    /// What there is at a path of the API, such as `/api/v1/status`.
    ///
    /// # Errors
    /// If no answer comes, or a refusal.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        let (code, body) =
            exchange(self.api, "GET", path, "", "", Some(PATIENCE)).map_err(|silence| self.silent(silence))?;
        if code == 200 { parsed(&body) } else { Err(self.refusal(&format!("answer {path}"), code, &body)) }
    }

    fn command(&self, import: &str, command: &str) -> Result<Value, Failure> {
        let (code, body) = self.post(import, command, "{}", Some(PATIENCE))?;
        if code == 202 { parsed(&body) } else { Err(self.refusal(&format!("{command} {import}"), code, &body)) }
    }

    fn post(
        &self,
        import: &str,
        command: &str,
        parameters: &str,
        patience: Option<Duration>,
    ) -> Result<(u16, String), Failure> {
        let token = private_file::load(&self.data_dir, TOKEN_FILE).map_err(|error| {
            let path = self.data_dir.join(TOKEN_FILE);
            let remedy = match error.kind() {
                ErrorKind::PermissionDenied => "only the user that runs the program may read it: become that user",
                _ => "the running program wrote it when it started; start the program anew and it does so again",
            };
            let message = format!("cannot read the API token {}: {error}; {remedy}", path.display());
            Failure::config("api_token", message)
        })?;
        let headers = format!(
            "Authorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            token.expose(),
            parameters.len()
        );
        let path = format!("/api/v1/imports/{import}/{command}");
        exchange(self.api, "POST", &path, &headers, parameters, patience).map_err(|silence| self.silent(silence))
    }

    fn silent(&self, silence: Silence) -> Failure {
        let api = self.api;
        let message = match silence {
            Silence::Nobody => format!("the program at {api} has ended; `s3-connector run` starts it again"),
            Silence::Late | Silence::Unreadable => {
                format!("the program at {api} does not answer any more; try again, or look at its log")
            }
        };
        Failure::transient("no_answer", message)
    }

    fn refusal(&self, what: &str, code: u16, body: &str) -> Failure {
        let api = self.api;
        let refusal: Value = serde_json::from_str(body).unwrap_or_default();
        let reason = refusal["error"]["message"].as_str().unwrap_or("it does not say why");
        let message = format!("the program at {api} refuses to {what}: {reason}");
        if code >= 500 { Failure::transient("refused", message) } else { Failure::config("refused", message) }
    }
}

fn parsed(body: &str) -> Result<Value, Failure> {
    serde_json::from_str(body)
        .map_err(|error| Failure::bug("bad_answer", format!("the program answers no JSON: {error}")))
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    /// Nobody listens.
    Nobody,
    /// Somebody listens and does not answer in time.
    Late,
    /// The answer is not HTTP, or was cut.
    Unreadable,
}

/// One request: the status code and the body of its answer.
fn exchange(
    api: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
    patience: Option<Duration>,
) -> Result<(u16, String), Silence> {
    let late = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Silence::Late,
        _ => Silence::Unreadable,
    };
    let mut stream = TcpStream::connect_timeout(&api, PATIENCE).map_err(|error| match error.kind() {
        ErrorKind::TimedOut => Silence::Late,
        _ => Silence::Nobody,
    })?;
    stream.set_read_timeout(patience).map_err(late)?;
    // HTTP 1.0: the answer ends with the connection and comes in one piece.
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {api}\r\n{headers}\r\n{body}").map_err(late)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(late)?;
    parts(answer).ok_or(Silence::Unreadable)
}

/// Status code and body.
fn parts(answer: Vec<u8>) -> Option<(u16, String)> {
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let code = head.split(' ').nth(1)?.parse().ok()?;
    Some((code, body.to_owned()))
}

/// Whether a status is that of this configuration: it fills our tables. Not all of them have to be there: an import that
/// was added since is not known to the program yet.
fn is_of(status: &Value, project: &Project) -> bool {
    let tables = |import: &Value| import["table"].as_str().map(str::to_owned);
    let theirs: Vec<String> = status.as_array().into_iter().flatten().filter_map(tables).collect();
    let ours = |spec| theirs.contains(&table_location(project, spec));
    (project.imports.is_empty() && theirs.is_empty()) || project.imports.iter().any(ours)
}
