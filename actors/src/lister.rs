//! ListerActor: streams the pages of a listing into the ledger, one scan at a time, in constant memory.

use std::sync::Arc;

use actix::{Actor, Addr, Context, Handler};
use connector_core::error::Failure;
use connector_core::events::ScanPageListed;
use connector_core::object::SkipReason;
use connector_core::ports::{ListPage, PageOutcome, SelectedObject};

use connector_core::spec::ImportSpec;
use connector_core::telemetry::ImportLabels;
use tokio::time::Instant;

use crate::connection::ConnectionActor;
use crate::exit_guard::ExitGuard;
use crate::io::{IoTasks, TaskPanicked};
use crate::messages::listing::{ScanEnded, ScanSummary, StartScan};
use crate::world::{ImportPorts, World};

/// See the module.
pub struct ListerActor {
    pub(crate) spec: Arc<ImportSpec>,
    pub(crate) labels: ImportLabels,
    pub(crate) world: World,
    pub(crate) ports: ImportPorts,
    pub(crate) connection: Addr<ConnectionActor>,
    pub(crate) tasks: IoTasks,
    pub(crate) guard: ExitGuard,
}

impl Actor for ListerActor {
    type Context = Context<Self>;
}

impl Handler<StartScan> for ListerActor {
    type Result = ();

    fn handle(&mut self, message: StartScan, _: &mut Self::Context) {
        let scan = Scan {
            spec: Arc::clone(&self.spec),
            labels: self.labels.clone(),
            world: self.world.clone(),
            ports: self.ports.clone(),
        };
        let generation = message.generation;
        self.tasks.spawn("scan", self.connection.clone(), async move {
            let started = Instant::now();
            let mut summary = ScanSummary::default();
            let failure = scan.run(&mut summary).await.err();
            ScanEnded { generation, summary, failure, duration: started.elapsed() }
        });
    }
}

impl Handler<TaskPanicked> for ListerActor {
    type Result = ();

    fn handle(&mut self, message: TaskPanicked, ctx: &mut Self::Context) {
        crate::connection::end_after_panic(&mut self.guard, message, ctx);
    }
}

struct Scan {
    spec: Arc<ImportSpec>,
    labels: ImportLabels,
    world: World,
    ports: ImportPorts,
}

impl Scan {
    async fn run(&self, summary: &mut ScanSummary) -> Result<(), Failure> {
        let mut continuation: Option<String> = None;
        loop {
            let page = self.ports.source.list_page(self.spec.uri.literal_prefix(), continuation.as_deref()).await?;
            continuation.clone_from(&page.next);
            self.record(page, summary).await?;
            if continuation.is_none() {
                break;
            }
        }
        summary.reread = self.ports.ledger.finish_scan(&self.spec.name, self.world.clock.now()).await?;
        Ok(())
    }

    async fn record(&self, page: ListPage, summary: &mut ScanSummary) -> Result<(), Failure> {
        let listed = page.objects.len() as u64;
        let selected: Vec<SelectedObject> = page
            .objects
            .into_iter()
            .filter(|object| self.spec.selects(&object.key, object.last_modified))
            .map(|object| {
                let skip = SkipReason::of_listing(&object.key, object.size)
                    .or_else(|| self.spec.format_of(&object.key).is_none().then_some(SkipReason::UnknownFormat));
                SelectedObject { object, skip }
            })
            .collect();
        summary.pages += 1;
        summary.objects += listed;
        summary.excluded += listed - selected.len() as u64;
        let outcome = if selected.is_empty() {
            PageOutcome::default()
        } else {
            self.ports.ledger.record_page(&self.spec.name, selected, self.world.clock.now()).await?
        };
        ScanPageListed { import: &self.labels, objects: listed, outcome }.emit();
        summary.add(outcome);
        Ok(())
    }
}
