//! The plan of a batch: every file is inspected first, then all are planned in claim order, so that one schema, with
//! what the files bring, holds for the whole batch before a row is read.

use std::sync::Arc;
use std::time::Duration;

use actix::{Context, Handler};
use connector_core::binding::bind;
use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::error::Failure;
use connector_core::evolve::{FilePlan, FileShape, Planner};
use connector_core::guard::NO_ROW_FITS;
use connector_core::outcome::concerns_import;
use connector_core::ports::{AddedColumn, FileOutcome, ReferenceFile};
use connector_core::revision::BatchKind;
use connector_core::schema::TableSchema;

use super::ConnectionActor;
use crate::messages::decoding::{DecodeFile, FileInspected, FileRows, InspectFile};

/// What was found out about the files of the open batch, and what follows from it.
#[derive(Default)]
pub(super) struct BatchPlan {
    /// By place in the batch.
    shapes: Vec<Option<FileShape>>,
    files: Vec<Option<Arc<FilePlan>>>,
    pub(super) schema: Option<Arc<TableSchema>>,
    added: Vec<AddedColumn>,
}

impl BatchPlan {
    pub(super) fn new(files: usize) -> Self {
        Self { shapes: vec![None; files], files: vec![None; files], schema: None, added: Vec::new() }
    }

    fn is_complete(&self, settled: &[bool]) -> bool {
        self.shapes.iter().zip(settled).all(|(shape, settled)| shape.is_some() || *settled)
    }

    /// The first file that has columns: where no reference file could be found out, it stands for one, so that a table
    /// with a declared schema never grows columns that were left out on purpose.
    fn first_columns(&self, keys: &[Arc<str>], schema: &TableSchema) -> Option<ReferenceFile> {
        let with_columns =
            |(_, shape): &(usize, &FileShape)| bind(schema, &shape.names()).sources.iter().any(Option::is_some);
        let mut shapes = self.shapes.iter().enumerate().filter_map(|(index, shape)| Some((index, shape.as_ref()?)));
        let (index, shape) = shapes.find(with_columns)?;
        let key = keys[index].to_string();
        Some(ReferenceFile { key, columns: shape.names(), dialect: None, evidence: Vec::new() })
    }

    /// Whether nothing is left to be found out before the batch can be planned.
    pub(super) fn is_inspected(&self, settled: &[bool]) -> bool {
        self.is_complete(settled) && self.shapes.iter().any(Option::is_some)
    }

    fn decide(&mut self, keys: &[Arc<str>], mut planner: Planner<'_>) {
        // They may be large, and are not needed any more.
        for (index, shape) in std::mem::take(&mut self.shapes).iter().enumerate() {
            self.files[index] = shape.as_ref().map(|shape| Arc::new(planner.plan(&keys[index], shape)));
        }
        let (schema, added) = planner.finish();
        for plan in self.files.iter_mut().flatten() {
            Arc::make_mut(plan).bound.widen(schema.columns.len());
        }
        (self.schema, self.added) = (Some(Arc::new(schema)), added);
    }

    /// Whether the file goes to quarantine as a whole.
    fn is_unfit(&self, ordinal: usize) -> bool {
        self.files.get(ordinal).and_then(Option::as_ref).is_some_and(|plan| !plan.causes.is_empty())
    }

    /// How a file ended whose rows are all with the AppenderActor.
    pub(super) fn outcome(&self, ordinal: usize, rows: FileRows) -> FileOutcome {
        let plan = self.files.get(ordinal).and_then(Option::as_ref);
        let Some((plan, first)) = plan.and_then(|plan| Some((plan, plan.causes.first()?))) else {
            return outcome_of_rows(rows);
        };
        let causes = &plan.causes;
        let messages: Vec<&str> = causes.iter().take(SHOWN_CAUSES).map(|cause| cause.message.as_str()).collect();
        let more = if causes.len() > SHOWN_CAUSES { "; and more" } else { "" };
        let context = if plan.context.is_empty() { String::new() } else { format!("; {}", plan.context) };
        let message = format!("{}{more}{context}", messages.join("; "));
        FileOutcome::Quarantined { code: first.code, message, rows_quarantined: rows.quarantine }
    }

    /// The columns that the commit adds. Also those of a file that turned out to be corrupt while it was read: the data
    /// files of its mates have them already, and records without a header may hold values of them.
    pub(super) fn added(&self) -> Vec<AddedColumn> {
        self.added.clone()
    }
}

/// How a file that fits as a whole has ended. One of which no row fits is shown as one that does not fit: then a better
/// version of it is read, too.
fn outcome_of_rows(rows: FileRows) -> FileOutcome {
    if rows.table > 0 || rows.quarantine == 0 {
        return FileOutcome::Ingested { rows: rows.table, rows_quarantined: rows.quarantine };
    }
    let message = format!("the file has the table's columns, but none of its {} rows fits them", rows.quarantine);
    FileOutcome::Quarantined { code: NO_ROW_FITS, message, rows_quarantined: rows.quarantine }
}

/// How many causes of one file a message tells.
const SHOWN_CAUSES: usize = 5;

impl ConnectionActor {
    /// How the import's CSV files are written: as configured, else as the reference file is.
    pub(super) fn dialect(&self) -> CsvDialect {
        let found = self.table.reference.as_ref().and_then(|reference| reference.dialect.clone());
        self.csv_settings().over(found.unwrap_or_default())
    }

    /// A declared schema names its columns, so its files name theirs, unless the data source says otherwise.
    pub(super) fn csv_settings(&self) -> CsvSettings {
        let mut settings = self.spec.csv.clone();
        if self.spec.columns.is_some() {
            settings.header.get_or_insert(true);
        }
        settings
    }

    /// Asks for the shape of every file of the batch.
    pub(super) fn inspect_files(&mut self, ctx: &mut Context<Self>) {
        for object in self.unread_files() {
            let (Some(open), Some(children), Some(schema)) =
                (self.open.as_ref(), self.children.as_ref(), self.table.schema.as_ref())
            else {
                return self.end(Failure::bug("no_schema", "files were to be inspected without a schema"), ctx);
            };
            let Some(format) = self.spec.format_of(&object.key) else { continue };
            let Some(ordinal) = open.files.iter().position(|file| file.id == object.id) else { continue };
            let (generation, seq, dialect, schema) = (self.generation, open.seq, self.dialect(), Arc::clone(schema));
            children.decoder.do_send(InspectFile { generation, seq, ordinal, object, format, dialect, schema });
        }
        self.plan_if_inspected(ctx);
    }

    /// Once every file is inspected: decides what the batch adds and how each file is read, and has them read.
    pub(super) fn plan_if_inspected(&mut self, ctx: &mut Context<Self>) {
        let (Some(open), Some(schema)) = (self.open.as_mut(), self.table.schema.as_ref()) else {
            return self.end(Failure::bug("no_schema", "a batch was to be planned without a schema"), ctx);
        };
        if open.plan.schema.is_some() || !open.plan.is_complete(&open.settled()) {
            return;
        }
        let keys: Vec<Arc<str>> = open.files.iter().map(|file| Arc::clone(&file.key)).collect();
        if self.table.reference.is_none()
            && let Some(reference) = open.plan.first_columns(&keys, schema)
        {
            let schema = schema.as_ref().clone();
            return self.decide_schema(schema, Some(reference), ctx);
        }
        let planner = Planner::new(
            schema.as_ref().clone(),
            self.table.added.clone(),
            self.table.reference.as_deref(),
            self.spec.evolution,
        );
        open.plan.decide(&keys, planner);
        self.decode_files(ctx);
    }

    fn decode_files(&mut self, ctx: &mut Context<Self>) {
        let reference: Arc<[String]> =
            self.table.reference.as_ref().map_or_else(|| [].into(), |reference| reference.columns.clone().into());
        let dialect = self.dialect();
        for object in self.unread_files() {
            let (Some(open), Some(children)) = (self.open.as_ref(), self.children.as_ref()) else { return };
            let Some(format) = self.spec.format_of(&object.key) else { continue };
            let Some(ordinal) = open.files.iter().position(|file| file.id == object.id) else { continue };
            // What does not fit as a whole has no row that would move.
            if open.kind == BatchKind::Replay && open.plan.is_unfit(ordinal) {
                self.record_result(&object, FileOutcome::Replayed { rows: 0 }, 0, Duration::ZERO);
                continue;
            }
            let (Some(schema), Some(Some(plan))) = (open.plan.schema.as_ref(), open.plan.files.get(ordinal)) else {
                return self.end(Failure::bug("no_plan", "a file was to be decoded without a plan"), ctx);
            };
            children.decoder.do_send(DecodeFile {
                generation: self.generation,
                seq: open.seq,
                batch: open.id.clone(),
                ordinal,
                object,
                format,
                schema: Arc::clone(schema),
                plan: Arc::clone(plan),
                dialect: dialect_of(&dialect, plan),
                reference: Arc::clone(&reference),
                now: open.claimed_at,
                only: open.only.get(ordinal).cloned(),
            });
        }
        self.close_if_complete(ctx);
    }
}

/// If not one name of a file's first record is a column, it is a record like the others, and has to be kept like them.
fn dialect_of(dialect: &CsvDialect, plan: &FilePlan) -> CsvDialect {
    let headerless = plan.causes.iter().any(|cause| cause.code == "no_common_column");
    CsvDialect { header: dialect.header && !headerless, ..dialect.clone() }
}

impl Handler<FileInspected> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: FileInspected, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "FileInspected") {
            return;
        }
        let open = self.open.as_mut().filter(|open| open.seq == message.seq);
        let Some((open, object)) = open.and_then(|open| {
            let object = open.files.get(message.ordinal).cloned()?;
            Some((open, object))
        }) else {
            return;
        };
        match message.result {
            Ok(shape) => {
                open.plan.shapes[message.ordinal] = Some(shape);
                open.note_inspection(message.ordinal, message.bytes, message.duration);
            }
            Err(error) if error.fatal || concerns_import(&error.failure) => return self.end(error.failure, ctx),
            Err(error) => {
                let outcome = self.outcome_of_error(&object, error);
                self.record_result(&object, outcome, message.bytes, message.duration);
            }
        }
        self.plan_if_inspected(ctx);
    }
}
