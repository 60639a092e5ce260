//! What people ask of an import beside syncs: replay, rollback, maintenance, retry, and mending what ledger and table
//! disagree about. One form for the command line, the API and the program.

mod mend;
mod purge;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::Addr;
use connector_actors::messages::control::{Maintain, QueryStates, Replay, Restart, Rollback};
use connector_actors::supervisor::Supervisor;
use connector_core::clock::Clock;
use connector_core::error::{ErrorClass, Failure};
use connector_core::ids::{BatchId, ImportName};
use connector_core::ports::{Ledger, Retry};
use connector_core::quarantine::QuarantineFilter;
use connector_core::spec::ImportSpec;
use connector_core::status::ImportState;
use connector_ledger::{LedgerReader, SqliteLedger};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::mend::{Mending, Tables, mend};
pub use self::purge::purge;

/// How often an operation is tried again when its import was restarted under it.
const ATTEMPTS: u32 = 5;

/// An operation with its parameters, as the API takes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    Replay(ReplayParameters),
    Rollback(RollbackParameters),
    Maintain(NoParameters),
    Retry(RetryParameters),
    Adopt(NoParameters),
    Rebuild(NoParameters),
    Reread(NoParameters),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParameters {}

/// Which rows of quarantine. Everything that is given has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplayParameters {
    pub column: Option<String>,
    pub error: Option<String>,
    pub file: Option<String>,
    pub batch: Option<String>,
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackParameters {
    pub batch: String,
    #[serde(default)]
    pub dry_run: bool,
}

/// A key, a rolled-back batch, or neither: all that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryParameters {
    pub file: Option<String>,
    pub batch: Option<String>,
}

impl Operation {
    /// The names, as the API's paths have them.
    pub const NAMES: [&str; 7] = ["replay", "rollback", "maintain", "retry", "adopt", "rebuild", "reread"];

    /// From a name and the JSON object of its parameters.
    ///
    /// # Errors
    /// What is wrong with the parameters.
    pub fn parse(name: &str, parameters: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(json!({ name: parameters }))
    }

    /// Name and parameters, as [`Operation::parse`] takes them.
    pub fn to_request(&self) -> (String, Value) {
        let value = serde_json::to_value(self).unwrap_or_default();
        match value {
            Value::Object(map) => map.into_iter().next().unwrap_or_default(),
            _ => Default::default(),
        }
    }

    /// Whether it puts ledger and table right while the import does not run; else the import itself carries it out.
    pub fn mending(&self) -> Option<Mending> {
        match self {
            Self::Adopt(_) => Some(Mending::Adopt),
            Self::Rebuild(_) => Some(Mending::Rebuild),
            Self::Reread(_) => Some(Mending::Reread),
            _ => None,
        }
    }
}

impl From<RetryParameters> for Retry {
    fn from(parameters: RetryParameters) -> Self {
        match (parameters.file, parameters.batch) {
            (Some(key), _) => Self::Key(key),
            (None, Some(batch)) => Self::RolledBack(BatchId::from_stored(batch)),
            (None, None) => Self::Failed,
        }
    }
}

/// Carries operations out in a program whose imports are started.
#[derive(Clone)]
pub struct Operator {
    pub supervisor: Addr<Supervisor>,
    pub ledger: Arc<SqliteLedger>,
    pub clock: Arc<dyn Clock>,
    pub data_dir: PathBuf,
    pub mending: Turns,
}

/// One turn at a time for each import: clones share them.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<HashMap<ImportName, Turn>>>);

type Turn = Arc<tokio::sync::Mutex<()>>;

impl Turns {
    fn of(&self, import: &ImportName) -> Turn {
        // What it protects is never left half done.
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(import.clone()).or_default())
    }
}

/// Whether to ask once more. A rollback may have removed everything before its import was restarted, and what it did
/// would not be told by a second one, which finds nothing. An import that has ended does not come back.
fn may_be_asked_again(operation: &Operation, failure: &Failure) -> bool {
    let once = matches!(operation, Operation::Rollback(_));
    failure.class == ErrorClass::Transient && failure.code != "stopped" && !once
}

impl Operator {
    /// Returns a summary as JSON: that of the messages in `connector_actors::messages::control`, `{"files": n}` of a
    /// retry, or what was mended.
    ///
    /// # Errors
    /// Of the import, the ledger or the tables.
    pub async fn carry_out(&self, spec: &ImportSpec, tables: &Tables, operation: Operation) -> Result<Value, Failure> {
        if let Some(how) = operation.mending() {
            return self.mend(spec, tables, how).await;
        }
        let mut attempt = 1;
        loop {
            match self.ask(&spec.name, operation.clone()).await {
                Err(failure) if attempt < ATTEMPTS && may_be_asked_again(&operation, &failure) => {
                    tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    async fn ask(&self, import: &ImportName, operation: Operation) -> Result<Value, Failure> {
        let import = import.clone();
        match operation {
            Operation::Replay(ReplayParameters { column, error, file, batch, dry_run }) => {
                let filter = QuarantineFilter { column, error, key: file, batch };
                answered(self.supervisor.send(Replay { import, filter, dry_run }).await)
            }
            Operation::Rollback(RollbackParameters { batch, dry_run }) => {
                let batch = BatchId::from_stored(batch);
                answered(self.supervisor.send(Rollback { import, batch, dry_run }).await)
            }
            Operation::Maintain(_) => answered(self.supervisor.send(Maintain { import }).await),
            Operation::Retry(parameters) => retry(&self.ledger, &import, parameters, &*self.clock).await,
            Operation::Adopt(_) | Operation::Rebuild(_) | Operation::Reread(_) => {
                Err(Failure::bug("mending", "mending was asked of a running import"))
            }
        }
    }

    async fn mend(&self, spec: &ImportSpec, tables: &Tables, how: Mending) -> Result<Value, Failure> {
        let turn = self.mending.of(&spec.name);
        // To its end: a second one finds an import that runs.
        let _turn = turn.lock().await;
        let states = self.supervisor.send(QueryStates).await.unwrap_or_default();
        let state = states.into_iter().find(|observed| observed.import == spec.name).map(|observed| observed.state);
        if state != Some(ImportState::Failed) {
            let message = format!(
                "{} is {} and no import in state Failed: its ledger and its table agree, so there is nothing to mend",
                spec.name,
                state.unwrap_or(ImportState::Stopped)
            );
            return Err(Failure::config("not_failed", message));
        }
        let known = LedgerReader::open(&self.data_dir)?.map(|ledger| ledger.record(&spec.name)).transpose()?.flatten();
        let mended = mend(&self.ledger, known.as_ref(), tables, spec, how, self.clock.now()).await?;
        // It starts anew with what they agree about now, and stays paused if it was.
        answered(self.supervisor.send(Restart { import: spec.name.clone() }).await)?;
        Ok(mended)
    }
}

/// Makes files claimable again.
///
/// # Errors
/// Of the ledger.
pub async fn retry(
    ledger: &SqliteLedger,
    import: &ImportName,
    parameters: RetryParameters,
    clock: &dyn Clock,
) -> Result<Value, Failure> {
    let files = ledger.retry(import, &Retry::from(parameters), clock.now()).await?;
    Ok(json!({ "files": files }))
}

fn answered<T: Serialize>(answer: Result<Result<T, Failure>, actix::MailboxError>) -> Result<Value, Failure> {
    let summary = answer.map_err(|_| Failure::transient("stopping", "the program is stopping; ask again later"))??;
    serde_json::to_value(summary).map_err(|error| Failure::bug("summary", format!("no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_read_back_from_its_request() {
        let operations = [
            Operation::Replay(ReplayParameters {
                column: Some("amount".to_owned()),
                dry_run: true,
                ..Default::default()
            }),
            Operation::Rollback(RollbackParameters { batch: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(), dry_run: false }),
            Operation::Maintain(NoParameters {}),
            Operation::Retry(RetryParameters { file: Some("a b.csv".to_owned()), batch: None }),
            Operation::Adopt(NoParameters {}),
            Operation::Rebuild(NoParameters {}),
            Operation::Reread(NoParameters {}),
        ];
        for (operation, name) in operations.into_iter().zip(Operation::NAMES) {
            let (said, parameters) = operation.to_request();
            assert_eq!(said, name);
            assert_eq!(Operation::parse(&said, parameters).expect("its own form"), operation);
        }
    }

    #[test]
    fn a_rollback_and_an_ended_import_are_asked_once() {
        let replay = Operation::Replay(ReplayParameters::default());
        let rollback = Operation::Rollback(RollbackParameters { batch: "b".to_owned(), dry_run: false });
        let interrupted = Failure::transient("interrupted", "x");
        assert!(may_be_asked_again(&replay, &interrupted));
        assert!(!may_be_asked_again(&rollback, &interrupted));
        assert!(!may_be_asked_again(&replay, &Failure::transient("stopped", "x")));
        assert!(!may_be_asked_again(&replay, &Failure::config("no_table", "x")));
    }

    #[tokio::test]
    async fn clones_take_turns_at_one_import_and_not_at_another() {
        let (turns, name) = (Turns::default(), ImportName::new("orders"));
        let (other, turn) = (turns.clone(), turns.of(&name));
        let _held = turn.lock().await;
        assert!(other.of(&name).try_lock().is_err());
        assert!(other.of(&ImportName::new("events")).try_lock().is_ok());
    }

    #[test]
    fn parameters_that_nobody_knows_are_refused() {
        assert!(Operation::parse("replay", json!({ "colum": "x" })).is_err());
        assert!(Operation::parse("maintain", json!({ "now": true })).is_err());
        assert!(Operation::parse("rollback", json!({})).is_err(), "which batch?");
        assert!(Operation::parse("pause", json!({})).is_err());
    }
}
