//! What the table is: its schema, its reference file, its creation.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler};
use connector_core::commit::{Event, LedgerFacts, TableTxn};
use connector_core::error::Failure;
use connector_core::events::{SchemaDecided, TableRecovered};
use connector_core::object::ObjectRef;
use connector_core::ports::{ReferenceFile, TableFacts};
use connector_core::preparation::{Preparation, TableKnowledge, same_columns};
use connector_core::schema::TableSchema;

use super::{ConnectionActor, LedgerAnswered};
use crate::messages::appending::{CreateTable, TableCreated, TableRead};
use crate::messages::decoding::{ColumnsInferred, InferColumns};

/// What this generation knows of the table.
#[derive(Default)]
pub(super) struct TableView {
    pub(super) exists: bool,
    /// The ledger knows that it exists.
    noted: bool,
    pub(super) schema: Option<Arc<TableSchema>>,
    pub(super) reference: Option<Arc<ReferenceFile>>,
    /// True once ledger and table have been compared.
    compared: bool,
}

impl Handler<TableRead> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: TableRead, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "TableRead") {
            return;
        }
        let facts = match message.result {
            Ok(facts) => facts,
            Err(failure) => return self.end(failure, ctx),
        };
        let table = facts.as_ref().map(TableTxn::from);
        let event = if self.table.compared {
            Event::Reread { table }
        } else {
            let Some(record) = self.record.as_ref() else { return };
            let ledger = LedgerFacts::from(record);
            Event::Facts { ledger, table }
        };
        let first = !std::mem::replace(&mut self.table.compared, true);
        let action = self.machine.on(event);
        if first && !matches!(action, connector_core::commit::Action::Stop(_)) {
            if let Err(failure) = self.view_table(facts.as_ref()) {
                return self.end(failure, ctx);
            }
            self.take_over_open_batch();
        }
        self.perform(action, ctx);
    }
}

impl ConnectionActor {
    /// Settles schema and reference file from table, ledger and configuration.
    fn view_table(&mut self, facts: Option<&TableFacts>) -> Result<(), Failure> {
        let Some(record) = self.record.as_ref() else { return Ok(()) };
        self.table.exists = facts.is_some();
        self.table.noted = record.table_created;
        self.table.reference = record.reference.clone().map(Arc::new);
        let declared = self.spec.columns.clone().map(TableSchema::new);
        let schema = match facts {
            Some(facts) => {
                if let Some(declared) = &declared {
                    same_columns(declared, &facts.schema)?;
                }
                Some(facts.schema.clone())
            }
            None => declared.or_else(|| record.schema.clone()),
        };
        self.table.schema = schema.map(Arc::new);
        if let Some(facts) = facts {
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

    /// Brings table and ledger's note of it into being, as far as that needs no file. Tells whether that takes a
    /// moment; then [`ConnectionActor::ready`] is called again.
    pub(super) fn prepare_table(&mut self, ctx: &mut Context<Self>) -> bool {
        let knowledge = TableKnowledge {
            exists: self.table.exists,
            noted: self.table.noted,
            declared: self.spec.columns.is_some(),
            decided: self.table.schema.is_some(),
        };
        match (knowledge.next(), &self.spec.columns, &self.table.schema) {
            (Preparation::DecideDeclared, Some(columns), _) => {
                self.decide_schema(TableSchema::new(columns.clone()), None, ctx);
            }
            (Preparation::Create, _, Some(_)) => self.create_table(),
            (Preparation::Note, _, Some(schema)) => self.note_table(schema.as_ref().clone(), ctx),
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
        if self.table.exists { self.table_noted(ctx) } else { self.create_table() }
    }

    fn create_table(&self) {
        let (Some(record), Some(schema), Some(appender)) =
            (self.record.as_ref(), self.table.schema.as_ref(), self.appender())
        else {
            return;
        };
        let (generation, schema) = (self.generation, Arc::clone(schema));
        appender.do_send(CreateTable { generation, import: record.uuid, schema });
    }

    /// The ledger knows that the table exists.
    pub(super) fn table_noted(&mut self, ctx: &mut Context<Self>) {
        if self.open.is_some() { self.decode_files(ctx) } else { self.ready(ctx) }
    }

    /// Asks for the columns of the batch's first readable file: they are the schema, if none is declared, and in any
    /// case tell which columns were left out on purpose.
    pub(super) fn infer_columns(&mut self) {
        let (Some(open), Some(children)) = (self.open.as_ref(), self.children.as_ref()) else { return };
        let with_format = |file: ObjectRef| self.spec.format_of(&file.key).map(|format| (file, format));
        let files = self.unread_files().into_iter().filter_map(with_format).collect();
        let names_only = self.table.schema.is_some();
        let message = InferColumns { generation: self.generation, seq: open.seq, files, names_only };
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
            Ok(inferred) => match self.table.schema.as_deref().cloned().or(inferred.schema) {
                Some(schema) => self.decide_schema(schema, Some(inferred.reference), ctx),
                None => self.end(Failure::bug("no_schema", "the columns of a file were read without their types"), ctx),
            },
            // With a schema each file is tried all the same and says itself what is wrong with it.
            Err(_) if self.table.schema.is_some() => self.decode_files(ctx),
            Err(failures) => self.no_file_has_columns(failures, ctx),
        }
    }
}

impl Handler<TableCreated> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: TableCreated, ctx: &mut Self::Context) {
        if !self.is_current(message.generation, "TableCreated") {
            return;
        }
        match message.result {
            Ok(facts) => self.note_table(facts.schema, ctx),
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
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        self.tasks.spawn("note table", ctx.address(), async move {
            LedgerAnswered::TableNoted(ledger.table_created(&import, &schema).await)
        });
    }
}
