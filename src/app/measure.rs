//! Gauges that nobody's event moves: they are measured at a fixed pace.

use std::sync::Arc;
use std::time::Duration;

use connector_actors::world::{ImportSeat, World};
use connector_core::events::{BacklogMeasured, CreditMeasured, PoolMeasured};
use connector_core::ids::ImportName;
use connector_core::ports::Ledger;
use connector_core::telemetry::ImportLabels;
use connector_ledger::SqliteLedger;
use tokio::task::JoinHandle;

/// Often enough for any scraper, and cheap: the ledger keeps its counts.
const PACE: Duration = Duration::from_secs(5);

/// Measures until it is dropped.
pub struct Gauges(JoinHandle<()>);

impl Gauges {
    pub fn start(seats: &[ImportSeat], ledger: Arc<SqliteLedger>, world: World) -> Self {
        let imports: Vec<(ImportName, ImportLabels)> =
            seats.iter().map(|seat| (seat.spec.name.clone(), seat.labels())).collect();
        let io = world.io.clone();
        Self(io.spawn(async move {
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                pace.tick().await;
                measure(&imports, &ledger, &world).await;
            }
        }))
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn measure(imports: &[(ImportName, ImportLabels)], ledger: &SqliteLedger, world: &World) {
    let (bytes, limit_bytes) = world.credit.usage();
    CreditMeasured { bytes, limit_bytes }.emit();
    PoolMeasured { queue_jobs: world.pool.queued(), threads: world.pool.threads() }.emit();
    for (import, labels) in imports {
        let now = world.clock.now();
        // An import that has not reached the ledger yet has nothing to measure.
        if let Ok(counts) = ledger.counts(import, now).await {
            BacklogMeasured { import: labels, counts: &counts, now }.emit();
        }
    }
}
