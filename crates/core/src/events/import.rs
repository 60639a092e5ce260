//! Events of an import's life: states, generations, restarts.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::{count_error, millis};
use crate::error::ErrorClass;
use crate::ids::{BatchSeq, Generation};
use crate::ports::Maintained;
use crate::status::{ImportState, StateReason};
use crate::telemetry::{self, ImportLabels, Stage};

/// An import is configured and will be started.
///
/// Shows its counters at 0, because a rate cannot see the step from an absent series to its first value.
#[derive(Clone, Copy, Debug)]
pub struct ImportRegistered<'a> {
    pub import: &'a ImportLabels,
    pub uri: &'a str,
    pub schedule: &'a str,
    pub table: &'a str,
}

impl ImportRegistered<'_> {
    pub fn emit(&self) {
        let import = self.import;
        for outcome in ["ingested", "quarantined", "failed", "deferred", "gone", "skipped"] {
            telemetry::FILES.add(import.values([outcome]), 0);
        }
        for outcome in ["ingested", "quarantined"] {
            telemetry::ROWS.add(import.values([outcome]), 0);
        }
        for outcome in ["replayed", "rolled_back", "superseded", "expired"] {
            telemetry::ROWS_REVISED.add(import.values([outcome]), 0);
        }
        for counter in [
            &telemetry::BYTES_READ,
            &telemetry::LIST_REQUESTS,
            &telemetry::OBJECTS_LISTED,
            &telemetry::LATE_ARRIVALS,
            &telemetry::STALE_MESSAGES,
            &telemetry::GUARD_TRIPPED,
            &telemetry::COMPACTED_FILES,
            &telemetry::VACUUMED_FILES,
            &telemetry::REREAD_TRIPPED,
            &telemetry::DECODER_DEATHS,
        ] {
            counter.add(import.values([]), 0);
        }
        info!(
            connection = &*import.connection,
            import = &*import.import,
            uri = self.uri,
            schedule = self.schedule,
            table = self.table,
            "import registered"
        );
    }
}

/// An import enters a state.
#[derive(Clone, Copy, Debug)]
pub struct ImportStateChanged<'a> {
    pub import: &'a ImportLabels,
    pub generation: Generation,
    pub state: ImportState,
    pub reason: Option<&'a StateReason>,
}

impl ImportStateChanged<'_> {
    /// Logs at `error` for `Failed`, at `warn` for `Degraded` and `BackingOff`, else at `info`.
    pub fn emit(&self) {
        for state in ImportState::ALL {
            let value = if state == self.state { 1.0 } else { 0.0 };
            telemetry::STATE.set(self.import.values([state_label(state)]), value);
        }
        let (connection, import) = (&*self.import.connection, &*self.import.import);
        let (generation, state) = (self.generation.0, state_label(self.state));
        let code = self.reason.map(|reason| reason.code.as_str());
        let reason = self.reason.map(|reason| reason.message.as_str());
        match self.state {
            ImportState::Failed => {
                error!(connection, import, generation, state, code, reason, "import failed");
            }
            ImportState::Degraded | ImportState::BackingOff => {
                warn!(connection, import, generation, state, code, reason, "import state changed");
            }
            ImportState::Starting | ImportState::Running | ImportState::Paused | ImportState::Stopped => {
                info!(connection, import, generation, state, code, reason, "import state changed");
            }
        }
    }
}

/// The state as a label: the same name that people see.
fn state_label(state: ImportState) -> &'static str {
    match state {
        ImportState::Starting => "Starting",
        ImportState::Running => "Running",
        ImportState::Degraded => "Degraded",
        ImportState::BackingOff => "BackingOff",
        ImportState::Paused => "Paused",
        ImportState::Failed => "Failed",
        ImportState::Stopped => "Stopped",
    }
}

/// The table's schema is settled: declared, or inferred from the reference file.
#[derive(Clone, Copy, Debug)]
pub struct SchemaDecided<'a> {
    pub import: &'a ImportLabels,
    pub columns: usize,
    /// True if the data source declares its columns.
    pub declared: bool,
    /// The key of the reference file, if there is one.
    pub reference: Option<&'a str>,
}

impl SchemaDecided<'_> {
    pub fn emit(&self) {
        telemetry::SCHEMA_COLUMNS.set(self.import.values([]), self.columns as f64);
        info!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            columns = self.columns,
            declared = self.declared,
            reference = self.reference,
            "schema decided"
        );
    }
}

/// A generation has read its table, and table and ledger agree.
#[derive(Clone, Copy, Debug)]
pub struct TableRecovered<'a> {
    pub import: &'a ImportLabels,
    pub generation: Generation,
    pub table_version: u64,
    pub committed_seq: BatchSeq,
    pub columns: usize,
}

impl TableRecovered<'_> {
    pub fn emit(&self) {
        telemetry::TABLE_VERSION.set(self.import.values([]), self.table_version as f64);
        telemetry::COMMITTED_SEQ.set(self.import.values([]), self.committed_seq as f64);
        telemetry::SCHEMA_COLUMNS.set(self.import.values([]), self.columns as f64);
        info!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            generation = self.generation.0,
            table_version = self.table_version,
            committed_seq = self.committed_seq,
            columns = self.columns,
            "table recovered"
        );
    }
}

/// Any of an import's actors died, and its generation with it.
#[derive(Clone, Copy, Debug)]
pub struct GenerationEnded<'a> {
    pub import: &'a ImportLabels,
    pub generation: Generation,
    pub class: ErrorClass,
    pub code: &'static str,
    pub message: &'a str,
}

impl GenerationEnded<'_> {
    pub fn emit(&self) {
        count_error(self.import, Stage::Generation, self.code);
        error!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            generation = self.generation.0,
            class = %self.class,
            code = self.code,
            reason = self.message,
            "generation ended"
        );
    }
}

/// A fresh generation will be built after `wait`.
#[derive(Clone, Copy, Debug)]
pub struct RestartScheduled<'a> {
    pub import: &'a ImportLabels,
    /// The generation that ended.
    pub generation: Generation,
    pub code: &'static str,
    /// How many generations ended in a row.
    pub failures: u32,
    pub wait: Duration,
}

impl RestartScheduled<'_> {
    pub fn emit(&self) {
        telemetry::RESTARTS.add(self.import.values([self.code]), 1);
        warn!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            generation = self.generation.0,
            code = self.code,
            failures = self.failures,
            wait_ms = millis(self.wait),
            "restart scheduled"
        );
    }
}

/// A message of an earlier generation arrived and was dropped.
#[derive(Clone, Copy, Debug)]
pub struct StaleMessage<'a> {
    pub import: &'a ImportLabels,
    /// The name of the message's struct.
    pub message: &'static str,
    pub sent_in: Generation,
    pub current: Generation,
}

impl StaleMessage<'_> {
    pub fn emit(&self) {
        telemetry::STALE_MESSAGES.add(self.import.values([]), 1);
        debug!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            message_type = self.message,
            sent_in = self.sent_in.0,
            generation = self.current.0,
            "stale message dropped"
        );
    }
}

/// One step of maintenance has ended.
#[derive(Clone, Copy, Debug)]
pub struct TableMaintained<'a> {
    pub import: &'a ImportLabels,
    /// Where the table is.
    pub table: &'a str,
    pub step: Maintained,
    pub duration: Duration,
}

impl TableMaintained<'_> {
    pub fn emit(&self) {
        let Maintained { compacted, into, rows, vacuumed, vacuumed_bytes, log_entries, checkpoint, conflict, .. } =
            self.step;
        telemetry::COMPACTED_FILES.add(self.import.values([]), compacted);
        telemetry::VACUUMED_FILES.add(self.import.values([]), vacuumed);
        telemetry::MAINTENANCE_DURATION.record(self.import.values([]), self.duration.as_secs_f64());
        info!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            table = self.table,
            compacted,
            into,
            rows,
            vacuumed,
            vacuumed_bytes,
            log_entries,
            checkpoint,
            conflict,
            duration_ms = millis(self.duration),
            "table maintained"
        );
    }
}

/// The import would read most of its objects again, and is paused instead.
#[derive(Clone, Copy, Debug)]
pub struct RereadTripped<'a> {
    pub import: &'a ImportLabels,
    pub files: u64,
    pub ingested: u64,
}

impl RereadTripped<'_> {
    pub fn emit(&self) {
        telemetry::REREAD_TRIPPED.add(self.import.values([]), 1);
        warn!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            files = self.files,
            ingested = self.ingested,
            "import paused: most of its objects have new versions"
        );
    }
}

/// A child process died over a file that is suspected of killing whoever reads it.
#[derive(Clone, Copy, Debug)]
pub struct DecoderDied<'a> {
    pub import: &'a ImportLabels,
    pub key: &'a str,
    /// How it died.
    pub reason: &'a str,
}

impl DecoderDied<'_> {
    pub fn emit(&self) {
        telemetry::DECODER_DEATHS.add(self.import.values([]), 1);
        warn!(
            connection = &*self.import.connection,
            import = &*self.import.import,
            key = self.key,
            reason = self.reason,
            "decoder process died"
        );
    }
}
