//! What the tables are: their schema, the reference file, their creation.

use std::sync::Arc;
use std::time::Duration;

use actix::{AsyncContext, Context, Handler};
use connector_core::binding::bind;
use connector_core::commit::{Event, LedgerFacts, TableTxn};
use connector_core::error::{ErrorClass, Failure};
use connector_core::events::{SchemaDecided, TableRecovered};
use connector_core::object::ObjectRef;
use connector_core::ports::{AddedColumn, FileOutcome, ReferenceFile, StagedBatch};
use connector_core::preparation::{Preparation, Reconciled, TableKnowledge, reconcile, with_origins};
use connector_core::quarantine::quarantine_schema;
use connector_core::schema::TableSchema;

use super::{ConnectionActor, LedgerAnswered};
use crate::messages::appending::{BothTables, CreateTable, TableCreated, TablesRead, Which};
use crate::messages::decoding::{ColumnsInferred, InferColumns, InferredColumns};

/// What this generation knows of the table.
#[derive(Default)]
pub(super) struct TableView {
    pub(super) exists: bool,
    /// The ledger knows that it exists.
    noted: bool,
    /// With the columns of `added`.
    pub(super) schema: Option<Arc<TableSchema>>,
    /// Columns that SCHEMA has gained since the table was created: the next commit adds them.
    pub(super) added: Vec<AddedColumn>,
    /// The columns of the quarantine table, once it exists.
    pub(super) quarantine: Option<TableSchema>,
    pub(super) reference: Option<Arc<ReferenceFile>>,
    /// True once ledger and tables have been compared.
    compared: bool,
    /// An interrupted batch adds columns: what SCHEMA means for the table is only known when it has ended.
    outdated: bool,
}

impl TableView {
    /// Whether a batch of an earlier generation had columns to add when the table was looked at.
    pub(super) fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// A batch has landed: what it added is part of the tables now. Returns the number of the table's columns.
    pub(super) fn evolved(&mut self, staged: &StagedBatch) -> usize {
        let Some(schema) = self.schema.as_mut() else { return 0 };
        for AddedColumn { column, .. } in &staged.added {
            if schema.find(&column.name).is_none() {
                Arc::make_mut(schema).columns.push(column.clone());
            }
        }
        self.added.retain(|waiting| staged.added.iter().all(|added| added.column.name != waiting.column.name));
        if let Some(quarantine) = self.quarantine.as_mut() {
            for column in &staged.quarantine_added {
                if quarantine.find(&column.name).is_none() {
                    quarantine.columns.push(column.clone());
                }
            }
        }
        schema.columns.len()
    }
}

impl Handler<TablesRead> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: TablesRead, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "TablesRead") {
            return;
        }
        let facts = match message.result {
            Ok(facts) => facts,
            Err(failure) => return self.end(failure, ctx),
        };
        let (table, quarantine) =
            (facts.table.as_ref().map(TableTxn::from), facts.quarantine.as_ref().map(TableTxn::from));
        let event = if self.table.compared {
            Event::Reread { table, quarantine }
        } else {
            let Some(record) = self.record.as_ref() else { return };
            let ledger = LedgerFacts::from(record);
            Event::Facts { ledger, table, quarantine }
        };
        let first = !std::mem::replace(&mut self.table.compared, true);
        if !first {
            // Somebody may have removed the quarantine table meanwhile; then it is made anew.
            self.table.quarantine = facts.quarantine.as_ref().map(|facts| facts.schema.clone());
        }
        let action = self.machine.on(event);
        if first && !matches!(action, connector_core::commit::Action::Stop(_)) {
            if let Err(failure) = self.view_tables(&facts) {
                return self.end(failure, ctx);
            }
            self.take_over_open_batch();
        }
        self.perform(action, ctx);
    }
}

impl ConnectionActor {
    /// Settles schema and reference file from tables, ledger and configuration.
    fn view_tables(&mut self, both: &BothTables) -> Result<(), Failure> {
        let Some(record) = self.record.as_ref() else { return Ok(()) };
        self.table.exists = both.table.is_some();
        self.table.noted = record.table_created;
        self.table.reference = record.reference.clone().map(Arc::new);
        self.table.quarantine = both.quarantine.as_ref().map(|facts| facts.schema.clone());
        let staged = record.open_batch.as_ref().and_then(|open| open.staged.as_ref());
        self.table.outdated = staged.is_some_and(|staged| !staged.added.is_empty());
        let declared = self.declared_schema();
        let reconciled = match (&both.table, declared) {
            (Some(facts), Some(declared)) => {
                Some(reconcile(&declared, &with_origins(facts.schema.clone(), record.schema.as_ref(), true))?)
            }
            (Some(facts), None) => {
                let schema = with_origins(facts.schema.clone(), record.schema.as_ref(), false);
                Some(Reconciled { schema, added: Vec::new() })
            }
            (None, declared) => {
                let schema = declared.or_else(|| record.schema.clone());
                schema.map(|schema| Reconciled { schema, added: Vec::new() })
            }
        };
        if let Some(Reconciled { schema, added }) = reconciled {
            (self.table.schema, self.table.added) = (Some(Arc::new(schema)), added);
        }
        if let Some(facts) = &both.table {
            TableRecovered {
                import: &self.labels,
                generation: self.generation,
                table_version: facts.version,
                committed_seq: facts.committed_seq,
                columns: facts.schema.columns.len(),
            }
            .emit();
        }
        Ok(())
    }

    fn declared_schema(&self) -> Option<TableSchema> {
        let columns = self.spec.columns.clone()?;
        Some(TableSchema { columns, partition: self.spec.partition.clone() })
    }

    /// Brings table and ledger's note of it into being, as far as that needs no file. Tells whether that takes a
    /// moment; then [`ConnectionActor::ready`] is called again.
    pub(super) fn prepare_table(&mut self, ctx: &mut Context<Self>) -> bool {
        let knowledge = TableKnowledge {
            exists: self.table.exists,
            noted: self.table.noted,
            declared: self.spec.columns.is_some(),
            decided: self.table.schema.is_some(),
        };
        match (knowledge.next(), self.declared_schema(), &self.table.schema) {
            (Preparation::DecideDeclared, Some(declared), _) => self.decide_schema(declared, None, ctx),
            (Preparation::Create, _, Some(_)) => self.create_table(Which::Table),
            (Preparation::Note, _, Some(schema)) => self.note_table(schema.as_ref().clone(), ctx),
            _ if self.table.exists && self.table.quarantine.is_none() => self.create_table(Which::Quarantine),
            _ => return false,
        }
        true
    }

    pub(super) fn decide_schema(
        &mut self,
        schema: TableSchema,
        reference: Option<ReferenceFile>,
        ctx: &mut Context<Self>,
    ) {
        SchemaDecided {
            import: &self.labels,
            columns: schema.columns.len(),
            declared: self.spec.columns.is_some(),
            reference: reference.as_ref().map(|reference| reference.key.as_str()),
        }
        .emit();
        self.table.schema = Some(Arc::new(schema.clone()));
        if let Some(reference) = &reference {
            self.table.reference = Some(Arc::new(reference.clone()));
        }
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        self.tasks.spawn("decide schema", ctx.address(), async move {
            LedgerAnswered::SchemaDecided(ledger.decide_schema(&import, &schema, reference.as_ref()).await)
        });
    }

    /// The ledger holds the schema now. Creates the table, if there is none.
    pub(super) fn schema_stored(&mut self, ctx: &mut Context<Self>) {
        if self.table.exists { self.table_noted(ctx) } else { self.create_table(Which::Table) }
    }

    fn create_table(&self, which: Which) {
        let (Some(record), Some(schema), Some(appender)) =
            (self.record.as_ref(), self.table.schema.as_ref(), self.appender())
        else {
            return;
        };
        let schema = match which {
            Which::Table => Arc::clone(schema),
            Which::Quarantine => Arc::new(quarantine_schema(schema)),
        };
        appender.do_send(CreateTable { generation: self.generation, which, import: record.uuid, schema });
    }

    /// The ledger knows that the table exists. The quarantine table comes second: it is never without the other.
    pub(super) fn table_noted(&mut self, ctx: &mut Context<Self>) {
        if self.table.quarantine.is_none() {
            self.create_table(Which::Quarantine);
        } else if self.open.is_some() {
            self.read_files(ctx);
        } else {
            self.ready(ctx);
        }
    }

    /// Asks for the columns of the batch's first readable file: they are the schema, if none is declared, and in any
    /// case tell which columns were left out on purpose.
    pub(super) fn infer_columns(&mut self) {
        let (Some(open), Some(children)) = (self.open.as_ref(), self.children.as_ref()) else { return };
        let with_format = |file: ObjectRef| self.spec.format_of(&file.key).map(|format| (file, format));
        let files = self.unread_files().into_iter().skip(open.unfit).filter_map(with_format).collect();
        let (csv, schema) = (self.csv_settings(), self.table.schema.clone());
        let message = InferColumns { generation: self.generation, seq: open.seq, files, csv, schema };
        children.decoder.do_send(message);
    }
}

impl Handler<ColumnsInferred> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: ColumnsInferred, ctx: &mut Self::Context) {
        let open = self.open.as_ref().is_some_and(|open| open.seq == message.seq);
        if !self.is_current(message.generation, "ColumnsInferred") || !open {
            return;
        }
        match message.result {
            Ok(inferred) if self.too_many_columns(&inferred) => self.refuse_reference(&inferred, ctx),
            Ok(inferred) if self.is_unfit(&inferred) => self.pass_over(&inferred, ctx),
            Ok(inferred) => match self.table.schema.as_deref().cloned().or(inferred.schema) {
                Some(mut schema) => {
                    schema.partition.clone_from(&self.spec.partition);
                    self.decide_schema(schema, Some(inferred.reference), ctx);
                }
                None => self.end(Failure::bug("no_schema", "the columns of a file were read without their types"), ctx),
            },
            Err(failures) if failures.last().is_some_and(|last| last.class == ErrorClass::Transient) => {
                self.defer_file(failures, ctx);
            }
            // With a schema each file is tried all the same and says itself what is wrong with it.
            Err(_) if self.table.schema.is_some() => self.read_files(ctx),
            Err(failures) => self.no_file_has_columns(failures, ctx),
        }
    }
}

impl ConnectionActor {
    fn too_many_columns(&self, inferred: &InferredColumns) -> bool {
        let columns = inferred.schema.as_ref().map_or(0, |schema| schema.columns.len());
        self.table.schema.is_none() && columns > self.spec.evolution.max_columns
    }

    /// Whether a file has none of the columns of the schema: then it tells nothing of those that were left out. Its own
    /// plan sends it to quarantine.
    fn is_unfit(&self, inferred: &InferredColumns) -> bool {
        let Some(schema) = self.table.schema.as_ref().filter(|schema| !schema.columns.is_empty()) else { return false };
        let whole = schema.columns.iter().any(|column| column.source.contains(['$', '.', '[']));
        !whole && bind(schema, &inferred.reference.columns).sources.iter().all(Option::is_none)
    }

    /// Looks for the reference file behind one that does not fit at all.
    fn pass_over(&mut self, inferred: &InferredColumns, ctx: &mut Context<Self>) {
        let unread = self.unread_files();
        let place = unread.iter().position(|file| *file.key == *inferred.reference.key);
        let Some(open) = self.open.as_mut() else { return };
        open.unfit = place.map_or(unread.len(), |place| place + 1);
        if open.unfit < unread.len() { self.infer_columns() } else { self.read_files(ctx) }
    }

    /// The table would have more columns than the limit: the file fails, and the others are tried.
    fn refuse_reference(&mut self, inferred: &InferredColumns, ctx: &mut Context<Self>) {
        let key = inferred.reference.key.as_str();
        let Some(object) = self.unread_files().into_iter().find(|file| &*file.key == key) else {
            return self.end(Failure::bug("no_file", "columns came from a file that is not there"), ctx);
        };
        let columns = inferred.schema.as_ref().map_or(0, |schema| schema.columns.len());
        let limit = self.spec.evolution.max_columns;
        let message = format!(
            "{} has {columns} columns, more than limits.max_columns = {limit}; declare those that are wanted in SCHEMA, \
             or raise the limit",
            object.uri()
        );
        let outcome = FileOutcome::Failed { code: "too_many_columns", message };
        self.record_result(&object, outcome, 0, Duration::ZERO);
        if self.unread_files().is_empty() { self.close_if_complete(ctx) } else { self.infer_columns() }
    }

    /// The last of the files that were tried cannot be read now: it leaves the batch, and the others are tried.
    fn defer_file(&mut self, mut failures: Vec<Failure>, ctx: &mut Context<Self>) {
        let tried = failures.len() + self.open.as_ref().map_or(0, |open| open.unfit);
        let (Some(failure), Some(object)) = (failures.pop(), self.unread_files().into_iter().nth(tried - 1)) else {
            return self.end(Failure::bug("no_file", "columns were asked of a file that is not there"), ctx);
        };
        let outcome = self.outcome_of_error(&object, failure.into());
        self.record_result(&object, outcome, 0, Duration::ZERO);
        if self.unread_files().is_empty() { self.close_if_complete(ctx) } else { self.infer_columns() }
    }
}

impl Handler<TableCreated> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: TableCreated, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "TableCreated") {
            return;
        }
        match message.result {
            Ok(facts) if message.which == Which::Quarantine => {
                self.table.quarantine = Some(facts.schema);
                self.table_noted(ctx);
            }
            Ok(_) => match self.table.schema.as_deref().cloned() {
                Some(schema) => self.note_table(schema, ctx),
                None => self.end(Failure::bug("no_schema", "a table was created without a schema"), ctx),
            },
            // It was not there when this generation began: perhaps an interrupted one has created it meanwhile. The
            // next one looks.
            Err(failure) if failure.code == "table_exists" => {
                self.end(Failure::transient(failure.code, failure.message), ctx);
            }
            Err(failure) => self.end(failure, ctx),
        }
    }
}

impl ConnectionActor {
    /// Tells the ledger that the table exists.
    fn note_table(&mut self, schema: TableSchema, ctx: &mut Context<Self>) {
        self.table.exists = true;
        self.table.noted = true;
        self.machine.table_created();
        let (ledger, import, now) = (Arc::clone(&self.ports.ledger), self.import().clone(), self.world.clock.now());
        self.tasks.spawn("note table", ctx.address(), async move {
            LedgerAnswered::TableNoted(ledger.table_created(&import, &schema, now).await)
        });
    }
}
