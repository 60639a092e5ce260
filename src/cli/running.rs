//! The running program, asked and told over its API, as far as verbs need it.

mod exchange;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use connector_core::error::Failure;
use serde_json::{Value, json};

use self::exchange::{PATIENCE, Request, Silence};
use super::output;
use crate::config::{Project, Settings};
use crate::http::TOKEN_FILE;
use crate::operations::Operation;
use crate::private_file;

/// The program that runs with this configuration.
pub struct Running<'a> {
    settings: &'a Settings,
    /// All of its imports, as `GET /api/v1/status` has them.
    pub status: Value,
    /// How it stands with its configuration, as `GET /api/v1/config` has it.
    pub config: Value,
}

/// What comes of it for a verb that works on the data directory then.
pub const HERE: &str = "the data directory is used without it";

/// The running program, if there is one. If something answers in its place, or nothing in time, a note says so: what the
/// verb shows then comes from the data directory.
pub fn find(project: &Project) -> Option<Running<'_>> {
    find_by(&project.settings, "this is what the ledger has")
}

/// The running program, found by nothing but where it would be. `instead`: what comes of it if it does not answer.
pub fn find_by<'a>(settings: &'a Settings, instead: &str) -> Option<Running<'a>> {
    let api = settings.listen.api;
    let (status, config) = match ask(api) {
        Ok(answers) => answers,
        Err(why) => {
            if let Some(why) = why {
                output::note(format!("note: {why}; {instead}"));
            }
            return None;
        }
    };
    if is_of(&config, &settings.data_dir) {
        return Some(Running { settings, status, config });
    }
    let theirs = config["data_dir"].as_str().map_or("one that it does not tell".to_owned(), str::to_owned);
    let ours = settings.data_dir.display();
    output::note(format!(
        "note: another s3-connector answers at {api} (listen.api): its data directory is {theirs}, ours is {ours}; {instead}"
    ));
    None
}

/// Status and configuration of whatever listens there. An error that is empty: nobody does.
fn ask(api: SocketAddr) -> Result<(Value, Value), Option<String>> {
    let get = |path: &str| Request::get(api, path).answer().map_err(|silence| no_answer(api, silence));
    let (code, body) = get("/api/v1/status")?;
    let status = (code == 200).then(|| serde_json::from_str::<Value>(&body).ok()).flatten();
    let Some(status) = status.filter(Value::is_array) else {
        return Err(Some(format!("what answers at {api} says {code} and no status (listen.api)")));
    };
    let (code, body) = get("/api/v1/config")?;
    // A program of an older version does not tell.
    let config = (code == 200).then(|| serde_json::from_str(&body).ok()).flatten().unwrap_or_default();
    Ok((status, config))
}

fn no_answer(api: SocketAddr, silence: Silence) -> Option<String> {
    match silence {
        Silence::Nobody => None,
        Silence::Late => Some(format!(
            "a program listens at {api} and does not answer within {} s: it hangs, or was frozen; look at its log, and if \
             it stays so, end it and start it again with s3-connector run, which loses nothing",
            PATIENCE.as_secs()
        )),
        Silence::Unreadable => Some(format!("what answers at {api} is no s3-connector (listen.api)")),
    }
}

impl Running<'_> {
    /// An import as it was when the program was found; `None` if the program does not know it.
    pub fn import(&self, name: &str) -> Option<&Value> {
        self.status.as_array()?.iter().find(|import| import["import"] == name)
    }

    /// Its imports as they are now; `Null` if it does not answer.
    pub fn fresh_status(&self) -> Value {
        self.talk().get("/api/v1/status").unwrap_or_default()
    }

    /// Gives an import a command: `pause`, `resume` or `sync`. Returns the answer.
    ///
    /// # Errors
    /// If the token cannot be read, or the program refuses the command, with what it says.
    pub fn command(&self, import: &str, command: &str) -> Result<Value, Failure> {
        let talk = self.talk();
        let (code, body) = talk.post(import, command, "{}")?;
        if code == 202 { parsed(&body) } else { Err(talk.refusal(&format!("{command} {import}"), code, &body)) }
    }

    /// Has an operation carried out, and waits until it is done. Returns its summary.
    ///
    /// # Errors
    /// If the token cannot be read, or the program refuses the operation or fails in it, with what it says.
    pub fn operate(&self, import: &str, operation: &Operation) -> Result<Value, Failure> {
        let (name, parameters) = operation.to_request();
        let talk = self.talk();
        let (code, body) = talk.post(import, &name, &parameters.to_string())?;
        if code != 200 {
            return Err(talk.refusal(&format!("{name} {import}"), code, &body));
        }
        parsed(&body)
    }

    /// Has the configuration read anew. Returns what has changed, or with `dry_run` would.
    ///
    /// # Errors
    /// If the token cannot be read, or the program refuses the configuration, with what it says.
    pub fn reload(&self, accept: &[String], dry_run: bool) -> Result<Value, Failure> {
        let parameters = json!({ "accept": accept, "dry_run": dry_run }).to_string();
        let (code, body) = self.talk().post_to("/api/v1/reload", &parameters)?;
        if code == 200 {
            return parsed(&body);
        }
        Err(reason(code, &body))
    }

    /// Has the tables of an import removed whose data source is gone. Returns which they were.
    ///
    /// # Errors
    /// If the token cannot be read, or of the program: `Transient` while the import is still ending.
    pub fn purge(&self, import: &str) -> Result<Value, Failure> {
        let parameters = json!({ "import": import }).to_string();
        let (code, body) = self.talk().post_to("/api/v1/purge", &parameters)?;
        if code == 200 { parsed(&body) } else { Err(reason(code, &body)) }
    }

    /// For questions that outlive the project, such as those of another thread.
    pub fn talk(&self) -> Talk {
        Talk { api: self.settings.listen.api, data_dir: self.settings.data_dir.clone() }
    }
}

/// Why something was refused, as the program says it.
fn reason(code: u16, body: &str) -> Failure {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    let reason = answer["error"]["message"].as_str().unwrap_or("the program does not say why").to_owned();
    if code >= 500 { Failure::transient("refused", reason) } else { Failure::config("refused", reason) }
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
        let (code, body) = Request::get(self.api, path).answer().map_err(|silence| self.silent(silence))?;
        if code == 200 { parsed(&body) } else { Err(self.refusal(&format!("answer {path}"), code, &body)) }
    }

    fn post(&self, import: &str, command: &str, parameters: &str) -> Result<(u16, String), Failure> {
        self.post_to(&format!("/api/v1/imports/{import}/{command}"), parameters)
    }

    /// Waits as long as the program works on it, and not for one that hangs: while there is no answer, it is asked how it
    /// is.
    fn post_to(&self, path: &str, parameters: &str) -> Result<(u16, String), Failure> {
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
        let request = Request { api: self.api, method: "POST", path, headers: &headers, body: parameters };
        let mut goes_on = |waited| {
            let alive = Request::get(self.api, "/api/v1/status").answer().is_ok();
            if alive && waited == 1 {
                output::note("note: the running program works on it; it goes on if this verb is interrupted");
            }
            alive
        };
        request.answer_while(&mut goes_on).map_err(|silence| self.silent(silence))
    }

    fn silent(&self, silence: Silence) -> Failure {
        let api = self.api;
        let message = match silence {
            Silence::Nobody => format!("the program at {api} has ended; `s3-connector run` starts it again"),
            Silence::Unreadable => {
                format!("the program at {api} hung up: it may have ended; s3-connector status says whether it runs")
            }
            Silence::Late => format!(
                "the program at {api} does not answer any more: it hangs, or was frozen; look at its log, and if it stays \
                 so, end it and start it again with s3-connector run, which loses nothing"
            ),
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

/// Whether the program that answers is the one of this configuration: it has our data directory.
fn is_of(config: &Value, ours: &Path) -> bool {
    let Ok(ours) = std::path::absolute(ours) else { return false };
    let same = |theirs: &str| {
        let theirs = Path::new(theirs);
        theirs == ours || theirs.canonicalize().ok().zip(ours.canonicalize().ok()).is_some_and(|(one, two)| one == two)
    };
    config["data_dir"].as_str().is_some_and(same)
}
