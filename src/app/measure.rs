//! Gauges that nobody's event moves: they are measured at a fixed pace.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use connector_actors::world::World;
use connector_core::events::{BacklogMeasured, CreditMeasured, PoolMeasured};
use connector_core::ports::{ImportCounts, Ledger};
use connector_core::spec::ImportSpec;
use connector_core::telemetry::ImportLabels;
use connector_ledger::SqliteLedger;
use tokio::task::JoinHandle;

use super::live::Live;

/// Often enough for any scraper, and cheap: the ledger keeps its counts.
const PACE: Duration = Duration::from_secs(5);

/// Measures until it is dropped.
pub struct Gauges(JoinHandle<()>);

impl Gauges {
    pub fn start(live: Arc<Live>, ledger: Arc<SqliteLedger>, world: World) -> Self {
        let io = world.io.clone();
        Self(io.spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut known = HashSet::new();
            loop {
                pace.tick().await;
                let now = measure(&live.deployed().project.imports, &ledger, &world).await;
                // What has gone, or goes by another connection, has no backlog any more that an alert should tell of.
                for gone in known.difference(&now) {
                    let counts = ImportCounts::default();
                    BacklogMeasured { import: gone, counts: &counts, now: world.clock.now() }.emit();
                }
                known = now;
            }
        }))
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns what was measured of which.
async fn measure(imports: &[ImportSpec], ledger: &SqliteLedger, world: &World) -> HashSet<ImportLabels> {
    let (bytes, limit_bytes) = world.credit.usage();
    CreditMeasured { bytes, limit_bytes }.emit();
    PoolMeasured { queue_jobs: world.pool.queued(), threads: world.pool.threads() }.emit();
    let mut measured = HashSet::new();
    for spec in imports {
        let (import, now) = (&spec.name, world.clock.now());
        let labels = ImportLabels::new(spec.connection.name.as_str(), import.as_str());
        // An import that has not reached the ledger yet has nothing to measure.
        if let Ok(counts) = ledger.counts(import, now).await {
            BacklogMeasured { import: &labels, counts: &counts, now }.emit();
        }
        measured.insert(labels);
    }
    measured
}
