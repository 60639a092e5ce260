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
use serde_json::Value;

use super::syncs::Syncs;
use crate::config::Project;
use crate::destination::Destinations;
use crate::http::{Control, ControlError};
use crate::operations::{Operation, Operator, Tables, Turns};

/// See the module.
pub struct SupervisorControl {
    imports: Vec<Known>,
    operator: Operator,
    syncs: Syncs,
    supervisor: Addr<Supervisor>,
    ledger: Arc<SqliteLedger>,
    world: World,
}

/// What of an import never changes while the program runs.
struct Known {
    spec: ImportSpec,
    table: String,
    tables: Result<Tables, Failure>,
}

impl SupervisorControl {
    pub fn new(
        project: &Project,
        destinations: &Destinations,
        supervisor: Addr<Supervisor>,
        ledger: Arc<SqliteLedger>,
        world: World,
    ) -> Self {
        let known = |spec: &ImportSpec| Known {
            table: destinations.table_location(spec),
            tables: destinations.tables(spec),
            spec: spec.clone(),
        };
        let imports = project.imports.iter().map(known).collect();
        let operator = Operator {
            supervisor: supervisor.clone(),
            ledger: Arc::clone(&ledger),
            clock: Arc::clone(&world.clock),
            data_dir: project.settings.data_dir.clone(),
            mending: Turns::default(),
        };
        Self { imports, operator, syncs: Syncs::default(), supervisor, ledger, world }
    }

    fn import(&self, name: &str) -> Result<ImportName, ControlError> {
        let known = self.imports.iter().find(|known| known.spec.name.as_str() == name);
        known
            .map(|known| known.spec.name.clone())
            .ok_or_else(|| ControlError::UnknownImport { import: name.to_owned() })
    }
}

#[async_trait]
impl Control for SupervisorControl {
    async fn status(&self) -> Vec<ImportStatus> {
        let states = self.supervisor.send(QueryStates).await.unwrap_or_default();
        let mut states: HashMap<ImportName, _> = states.into_iter().map(|one| (one.import.clone(), one)).collect();
        let mut all = Vec::new();
        for Known { spec, table, .. } in &self.imports {
            let observed = states.remove(&spec.name);
            // An import that has not reached the ledger yet has no counts.
            let counts = self.ledger.counts(&spec.name, self.world.clock.now()).await.unwrap_or_default();
            let (state, reason, generation) = match observed {
                Some(observed) => (observed.state, observed.reason, observed.generation),
                None => (ImportState::Stopped, None, Generation(0)),
            };
            all.push(status_of(spec, table, state, reason, generation, counts));
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
        let import = self.import(import)?;
        let Some(known) = self.imports.iter().find(|known| known.spec.name == import) else {
            return Err(ControlError::UnknownImport { import: import.to_string() });
        };
        let tables = known.tables.clone()?;
        let operator = self.operator.clone();
        let spec = known.spec.clone();
        // It goes on if whoever asked hangs up.
        let done = self.world.io.spawn(async move { operator.carry_out(&spec, &tables, operation).await });
        let result = done.await.map_err(|_| ControlError::Unavailable { reason: "it is stopping".to_owned() })?;
        result.map_err(|failure| match failure.class {
            ErrorClass::Config | ErrorClass::Data | ErrorClass::Fenced => {
                ControlError::Refused { code: failure.code, message: failure.message }
            }
            ErrorClass::Transient | ErrorClass::Bug => ControlError::Failed(failure),
        })
    }

    async fn sync(&self, import: &str) -> Result<String, ControlError> {
        let import = self.import(import)?;
        let observed = self.supervisor.send(QueryStates).await.unwrap_or_default();
        if let Some(observed) = observed.into_iter().find(|observed| observed.import == import)
            && matches!(observed.state, ImportState::Paused | ImportState::Failed | ImportState::Stopped)
        {
            let message = format!("{import} is {}; resume it first", observed.state);
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
        schedule: spec.schedule.as_str(),
        state,
        reason,
        generation,
        table: table.to_owned(),
        counts,
    }
}
