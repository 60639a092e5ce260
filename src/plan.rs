//! `plan`: what the next sync of an import would do. Lists the bucket, subtracts what the ledger knows, looks at the first
//! files; imports nothing and writes nothing. The arithmetic is [`connector_core::plan`]'s.

mod look;
mod sample;

use connector_actors::decoder::requests::FileSize;
use connector_core::credit::Accounts;
use connector_core::error::Failure;
use connector_core::ids::ObjectVersionId;
use connector_core::object::ListedObject;
use connector_core::plan::{Fate, ImportPlan, Tally, at_cap, judge, on_demand};
use connector_core::ports::{ImportRecord, ListPage, ObjectSource};
use connector_core::spec::{Format, ImportSpec, Schedule};
use connector_ledger::LedgerReader;
use jiff::Timestamp;

use self::sample::Sampler;

/// Files looked at unless asked for otherwise.
pub const DEFAULT_SAMPLE: usize = 20;
/// Columns of a table of which nothing is known yet.
const USUAL_COLUMNS: usize = 20;

/// Where plans come from.
#[derive(Clone, Copy)]
pub struct PlanMaker<'a> {
    /// `None`: nothing has run yet.
    pub ledger: Option<&'a LedgerReader>,
    /// Files to look at.
    pub sample: usize,
    /// The memory budget, and how many imports share it: they decide how large parts of files are.
    pub memory: u64,
    pub imports: usize,
    pub now: Timestamp,
}

impl PlanMaker<'_> {
    /// The plan of one import. Lists all of it, in constant memory.
    ///
    /// # Errors
    /// Of the listing, of the ledger; `Config` with code `schema_changed` if SCHEMA and table disagree. What is wrong with a
    /// file is part of the plan.
    pub async fn plan(&self, spec: &ImportSpec, source: &dyn ObjectSource) -> Result<ImportPlan, Failure> {
        let record = match self.ledger {
            Some(ledger) => ledger.record(&spec.name)?,
            None => None,
        };
        let tally = self.tally(spec, source, record.as_ref()).await?;
        let mut plan = self.frame(spec, record.as_ref(), &tally);
        let sampler = Sampler { spec, record: record.as_ref(), now: self.now };
        sampler.fill(source, &tally, &mut plan).await?;
        Ok(plan)
    }

    async fn tally(
        &self,
        spec: &ImportSpec,
        source: &dyn ObjectSource,
        record: Option<&ImportRecord>,
    ) -> Result<Tally, Failure> {
        let mut tally = Tally::new(self.sample);
        let largest = Accounts::new(self.memory, self.imports).largest_request();
        let columns = record.and_then(|record| record.schema.as_ref()).map(|schema| schema.columns.len());
        let columns = columns.or(spec.columns.as_ref().map(Vec::len)).unwrap_or(USUAL_COLUMNS);
        let gets = |object: &ListedObject, format: Format| {
            let file = FileSize::of_listing(&object.key, object.size, format);
            file.inspection() + file.reading(columns, largest)
        };
        let mut continuation = None;
        loop {
            let page = source.list_page(spec.uri.literal_prefix(), continuation.as_deref()).await?;
            continuation.clone_from(&page.next);
            tally.pages += 1;
            for (object, fate) in self.judged(spec, page, record)? {
                tally.count(object, fate, gets);
            }
            if continuation.is_none() {
                break;
            }
        }
        // The reference file is looked at once more than the others: its columns are found out before the batch is planned.
        if record.is_none_or(|record| record.reference.is_none())
            && let Some((object, format)) = tally.first().first()
        {
            tally.gets += FileSize::of_listing(&object.key, object.size, *format).inspection();
        }
        Ok(tally)
    }

    /// One page against the ledger, in one look.
    fn judged(
        &self,
        spec: &ImportSpec,
        page: ListPage,
        record: Option<&ImportRecord>,
    ) -> Result<Vec<(ListedObject, Fate)>, Failure> {
        let known = match (self.ledger, record) {
            (Some(ledger), Some(_)) => {
                let selected = page.objects.iter().filter(|object| spec.selects(&object.key, object.last_modified));
                let keys: Vec<String> = selected.map(|object| object.key.clone()).collect();
                ledger.keys(&spec.name, &keys)?.unwrap_or_default()
            }
            _ => Default::default(),
        };
        let judged = page.objects.into_iter().map(|object| {
            let id = record.map(|record| {
                ObjectVersionId::of(record.uuid, spec.uri.bucket(), &object.key, &object.etag, object.size)
            });
            let fate = judge(spec, &object, id, known.get(&object.key).map_or(&[][..], Vec::as_slice));
            (object, fate)
        });
        Ok(judged.collect())
    }

    /// All that needs no look into files.
    fn frame(&self, spec: &ImportSpec, record: Option<&ImportRecord>, tally: &Tally) -> ImportPlan {
        let Tally { read, gets, pages, .. } = *tally;
        ImportPlan {
            import: spec.name.to_string(),
            uri: spec.uri.as_str().to_owned(),
            prefix: spec.uri.literal_prefix().to_owned(),
            schedule: spec.schedule.to_string(),
            next_time: spec.schedule.cron().and_then(|cron| cron.next_after(self.now)),
            paused: record.is_some_and(|record| record.paused),
            listed: tally.objects,
            files: read.files,
            bytes: read.bytes,
            by_format: tally.by_format.clone(),
            left_out: tally.left.clone(),
            table_exists: record.is_some_and(|record| record.table_created),
            at_cap: (spec.schedule == Schedule::Auto).then(|| at_cap(read, gets, pages, spec.max_files, spec.tick)),
            on_demand: on_demand(read, gets, pages),
            ..ImportPlan::default()
        }
    }
}
