//! What the listeners may ask of the running program, answered by the Supervisor and the ledger.

use std::collections::HashMap;
use std::sync::Arc;

use actix::Addr;
use async_trait::async_trait;
use connector_actors::messages::control::{Pause, QueryStates, Resume, Sync};
use connector_actors::supervisor::Supervisor;
use connector_actors::world::World;
use connector_core::error::{ErrorClass, Failure};
use connector_core::history::{HistoryPage, HistoryQuery, SchemaVersion};
use connector_core::ids::{Generation, ImportName};
use connector_core::ports::Ledger;
use connector_core::spec::ImportSpec;
use connector_core::status::{ImportState, ImportStatus};
use connector_ledger::SqliteLedger;
use serde::Serialize;
use serde_json::Value;

use super::live::Live;
use super::syncs::Syncs;
use crate::http::{Control, ControlError};
use crate::operations::{Operation, Operator, Turns};

/// See the module.
pub struct SupervisorControl {
    live: Arc<Live>,
    operator: Operator,
    syncs: Syncs,
    supervisor: Addr<Supervisor>,
    ledger: Arc<SqliteLedger>,
    world: World,
}

impl SupervisorControl {
    pub fn new(live: Arc<Live>, supervisor: Addr<Supervisor>, ledger: Arc<SqliteLedger>, world: World) -> Self {
        let operator = Operator {
            supervisor: supervisor.clone(),
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&world.clock),
            data_dir: live.deployed().project.settings.data_dir.clone(),
            mending: Turns::default(),
        };
        Self { live, operator, syncs: Syncs::default(), supervisor, ledger, world }
    }

    fn import(&self, name: &str) -> Result<ImportName, ControlError> {
        let known = self.live.deployed().spec(name).map(|spec| spec.name.clone());
        known.ok_or_else(|| ControlError::UnknownImport { import: name.to_owned() })
    }
}

#[async_trait]
impl Control for SupervisorControl {
    async fn status(&self) -> Vec<ImportStatus> {
        let states = self.supervisor.send(QueryStates).await.unwrap_or_default();
        let mut states: HashMap<ImportName, _> = states.into_iter().map(|one| (one.import.clone(), one)).collect();
        let mut all = Vec::new();
        let deployed = self.live.deployed();
        for spec in &deployed.project.imports {
            let observed = states.remove(&spec.name);
            // An import that has not reached the ledger yet has no counts.
            let counts = self.ledger.counts(&spec.name, self.world.clock.now()).await.unwrap_or_default();
            let (state, reason, generation) = match observed {
                Some(observed) => (observed.state, observed.reason, observed.generation),
                None => (ImportState::Stopped, None, Generation(0)),
            };
            let table = deployed.destinations.table_location(spec);
            all.push(status_of(spec, &table, state, reason, generation, counts));
        }
        all
    }

    async fn history(&self, import: &str, query: HistoryQuery) -> Result<HistoryPage, ControlError> {
        Ok(self.ledger.history(&self.import(import)?, query).await?)
    }

    async fn schema_history(&self, import: &str) -> Result<Vec<SchemaVersion>, ControlError> {
        Ok(self.ledger.schema_history(&self.import(import)?).await?)
    }

    async fn pause(&self, import: &str) -> Result<(), ControlError> {
        answered(self.supervisor.send(Pause { import: self.import(import)? }).await)
    }

    async fn resume(&self, import: &str) -> Result<(), ControlError> {
        answered(self.supervisor.send(Resume { import: self.import(import)? }).await)
    }

    async fn operate(&self, import: &str, operation: Operation) -> Result<Value, ControlError> {
        let deployed = self.live.deployed();
        let Some(spec) = deployed.spec(import).cloned() else {
            return Err(ControlError::UnknownImport { import: import.to_owned() });
        };
        let tables = deployed.destinations.tables(&spec)?;
        let operator = self.operator.clone();
        // It goes on if whoever asked hangs up.
        let done = self.world.io.spawn(async move { operator.carry_out(&spec, &tables, operation).await });
        let result = done.await.map_err(|_| ControlError::Unavailable { reason: "it is stopping".to_owned() })?;
        result.map_err(refusal)
    }

    async fn reload(&self, accept: &[String], dry_run: bool) -> Result<Value, ControlError> {
        let (live, accept) = (Arc::clone(&self.live), accept.to_vec());
        // It goes on if whoever asked hangs up.
        let done = self.world.io.spawn(async move { live.reload(&accept, dry_run).await });
        let result = done.await.map_err(|_| ControlError::Unavailable { reason: "it is stopping".to_owned() })?;
        as_json(&result.map_err(refusal)?)
    }

    async fn purge(&self, import: &str) -> Result<Value, ControlError> {
        let (live, import) = (Arc::clone(&self.live), ImportName::new(import));
        // It goes on if whoever asked hangs up.
        let done = self.world.io.spawn(async move { live.purge(&import).await });
        let result = done.await.map_err(|_| ControlError::Unavailable { reason: "it is stopping".to_owned() })?;
        result.map_err(refusal)
    }

    fn config(&self) -> Result<Value, ControlError> {
        as_json(&self.live.state())
    }

    async fn sync(&self, import: &str) -> Result<String, ControlError> {
        let import = self.import(import)?;
        let observed = self.supervisor.send(QueryStates).await.unwrap_or_default();
        if let Some(observed) = observed.into_iter().find(|observed| observed.import == import)
            && matches!(observed.state, ImportState::Paused | ImportState::Failed | ImportState::Stopped)
        {
            let message = format!(
                "{import} is {}; resume it first: s3-connector datasource scheduling resume {import}",
                observed.state
            );
            return Err(ControlError::Refused { code: "not_running", message });
        }
        let sync = self.supervisor.send(Sync { import: import.clone() });
        let (syncs, id) = (self.syncs.clone(), self.syncs.begin(&import));
        let sync_id = id.clone();
        // Accepted now, done later: the id, the tracker and the log tell how it went.
        self.world.io.spawn(async move {
            let answer = sync.await;
            let stopping = || Failure::transient("stopping", "given up: the program was stopping");
            syncs.end(&id, answer.as_ref().map_or_else(|_| Err(stopping()), Clone::clone));
            match answer {
                Ok(Ok(summary)) => {
                    let (files, rows, rows_quarantined) =
                        (summary.files_ingested, summary.rows, summary.rows_quarantined);
                    tracing::info!(import = %import, files, rows, rows_quarantined, "sync finished");
                }
                Ok(Err(failure)) => {
                    tracing::warn!(import = %import, code = failure.code, reason = %failure, "sync failed")
                }
                Err(_) => tracing::warn!(import = %import, "sync given up: the program is stopping"),
            }
        });
        Ok(sync_id)
    }

    async fn sync_state(&self, import: &str, id: &str) -> Result<Option<Value>, ControlError> {
        Ok(self.syncs.of(&self.import(import)?, id))
    }
}

fn refusal(failure: Failure) -> ControlError {
    match failure.class {
        ErrorClass::Config | ErrorClass::Data | ErrorClass::Fenced => {
            ControlError::Refused { code: failure.code, message: failure.message }
        }
        ErrorClass::Transient | ErrorClass::Bug => ControlError::Failed(failure),
    }
}

fn as_json(value: &impl Serialize) -> Result<Value, ControlError> {
    serde_json::to_value(value).map_err(|error| Failure::bug("summary", format!("no JSON: {error}")).into())
}

fn answered(answer: Result<Result<(), Failure>, actix::MailboxError>) -> Result<(), ControlError> {
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) if failure.class == ErrorClass::Config => {
            Err(ControlError::Refused { code: failure.code, message: failure.message })
        }
        Ok(Err(failure)) => Err(ControlError::Failed(failure)),
        Err(_) => Err(ControlError::Unavailable { reason: "the supervisor has ended".to_owned() }),
    }
}

/// One import's status, from what is known of it.
pub fn status_of(
    spec: &ImportSpec,
    table: &str,
    state: ImportState,
    reason: Option<connector_core::status::StateReason>,
    generation: Generation,
    counts: connector_core::ports::ImportCounts,
) -> ImportStatus {
    ImportStatus {
        import: spec.name.clone(),
        connection: spec.connection.name.clone(),
        uri: spec.uri.as_str().to_owned(),
        schedule: spec.schedule.to_string(),
        state,
        reason,
        generation,
        table: table.to_owned(),
        counts,
    }
}
