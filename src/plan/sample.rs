//! What the first files say: columns, files that do not fit, rows that do not fit. Decided as a sync decides it, in the
//! order of claims: reference file, then the plan of each file, then its rows.

use std::collections::HashMap;
use std::sync::Arc;

use connector_core::binding::bind;
use connector_core::block::Block;
use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::error::Failure;
use connector_core::evolve::{FilePlan, FileShape, Planner};
use connector_core::guard::NO_ROW_FITS;
use connector_core::plan::{ErrorLine, FilePreview, ImportPlan, NewColumn, SampleReport, Tally};
use connector_core::ports::{AddedColumn, ImportRecord, ObjectSource, ReferenceFile};
use connector_core::preparation::{Reconciled, reconcile};
use connector_core::quarantine::error_kind;
use connector_core::schema::{Column, TableSchema};
use connector_core::spec::ImportSpec;
use connector_core::types::ColumnType;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;

use super::look::{Content, Looker, object_ref};

/// Files that are looked at at once.
const AT_ONCE: usize = 4;
/// Kinds of errors that a plan tells.
const KINDS_TOLD: usize = 20;

/// See the module.
pub(super) struct Sampler<'a> {
    pub(super) spec: &'a ImportSpec,
    pub(super) record: Option<&'a ImportRecord>,
    pub(super) now: Timestamp,
}

/// A file that could be looked at.
struct Seen {
    key: String,
    content: Content,
}

/// What all files are held against.
struct Basis {
    /// `None`: no file shows any column.
    schema: Option<Reconciled>,
    reference: Option<ReferenceFile>,
}

impl Sampler<'_> {
    /// Looks at the first files of a tally, and puts into the plan what they say.
    pub(super) async fn fill(
        &self,
        source: &dyn ObjectSource,
        tally: &Tally,
        plan: &mut ImportPlan,
    ) -> Result<(), Failure> {
        let looker = Looker::new(source);
        let mut report = SampleReport {
            files: tally.first().len() as u64,
            is_all: tally.first().len() as u64 == tally.read.files,
            ..SampleReport::default()
        };
        let seen = self.look(&looker, tally, &mut report).await;
        (report.get_requests, report.bytes) = looker.used();
        let basis = self.basis(&seen, &mut report)?;
        let Some(Reconciled { schema, added }) = basis.schema else {
            plan.sample = report;
            return Ok(());
        };
        let dialect = self.dialect(basis.reference.as_ref());
        let before = added.len();
        let table = schema.clone();
        let mut planner = Planner::new(schema, added, basis.reference.as_ref(), self.spec.evolution);
        let mut plans: Vec<Option<FilePlan>> = Vec::new();
        for file in &seen {
            plans.push(match file.content.shape(&dialect, &table) {
                Ok(shape) => Some(planned(&mut planner, file, &shape, &mut report)),
                Err(failure) => {
                    report.files_failed.push(preview(&file.key, failure.code, failure.message));
                    None
                }
            });
        }
        let (schema, added) = planner.finish();
        plan.columns = schema.columns.iter().map(|column| new_column(column, None)).collect();
        let shown = if plan.table_exists { 0 } else { before };
        plan.columns_added = added.iter().skip(shown).map(of_added).collect();
        let schema = Arc::new(schema);
        let reference: Arc<[String]> = basis.reference.map(|reference| reference.columns).unwrap_or_default().into();
        let mut rows = Rows::default();
        let mut complete = report.is_all && report.files_failed.is_empty();
        for (file, plan) in seen.iter().zip(plans) {
            let Some(mut plan) = plan.filter(|plan| !plan.is_rejected()) else { continue };
            plan.bound.widen(schema.columns.len());
            match file.content.rows(Arc::clone(&schema), plan, &dialect, Arc::clone(&reference), self.now) {
                Ok((blocks, all)) => {
                    complete &= all;
                    let (records, bad) = rows.count(&file.key, &schema, &blocks);
                    if all && bad > 0 && bad == records {
                        let message =
                            format!("the file has the table's columns, but none of its {records} rows fits them");
                        report.files_quarantined.push(preview(&file.key, NO_ROW_FITS, message));
                    }
                }
                Err(failure) => {
                    complete = false;
                    report.files_failed.push(preview(&file.key, failure.code, failure.message));
                }
            }
        }
        report.every_row = complete;
        rows.tell(&mut report);
        plan.sample = report;
        Ok(())
    }

    async fn look(&self, looker: &Looker<'_>, tally: &Tally, report: &mut SampleReport) -> Vec<Seen> {
        let bucket = self.spec.uri.bucket();
        let looks = tally.first().iter().map(|(object, format)| async move {
            let found = looker.look(&object_ref(bucket, object), *format).await;
            (object.key.clone(), found)
        });
        let found: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        let mut seen = Vec::new();
        for (key, found) in found {
            match found {
                Ok(content) => seen.push(Seen { key, content }),
                Err(failure) => report.files_failed.push(preview(&key, failure.code, failure.message)),
            }
        }
        seen
    }

    /// A declared schema names its columns, so its files name theirs, unless the data source says otherwise.
    fn csv_settings(&self) -> CsvSettings {
        let mut settings = self.spec.csv.clone();
        if self.spec.columns.is_some() {
            settings.header.get_or_insert(true);
        }
        settings
    }

    fn dialect(&self, reference: Option<&ReferenceFile>) -> CsvDialect {
        let found = reference.and_then(|reference| reference.dialect.clone());
        self.csv_settings().over(found.unwrap_or_default())
    }

    /// What ledger and configuration say, and, where they say nothing, the first file with columns.
    fn basis(&self, seen: &[Seen], report: &mut SampleReport) -> Result<Basis, Failure> {
        let declared =
            self.spec.columns.clone().map(|columns| TableSchema { columns, partition: self.spec.partition.clone() });
        let decided = self.record.and_then(|record| record.schema.clone());
        let created = self.record.is_some_and(|record| record.table_created);
        let as_it_is = |schema| Reconciled { schema, added: Vec::new() };
        let mut schema = match (declared, decided.filter(|_| created)) {
            (Some(declared), Some(table)) => Some(reconcile(&declared, &table)?),
            (Some(declared), None) => Some(as_it_is(declared)),
            (None, table) => table.or_else(|| self.record.and_then(|record| record.schema.clone())).map(as_it_is),
        };
        let mut reference = self.record.and_then(|record| record.reference.clone());
        if reference.is_none()
            && let Some((inferred, found)) = self.infer(seen, schema.as_ref().map(|known| &known.schema), report)
        {
            schema = schema.or(Some(as_it_is(inferred)));
            reference = Some(found);
        }
        Ok(Basis { schema, reference })
    }

    fn infer(
        &self,
        seen: &[Seen],
        known: Option<&TableSchema>,
        report: &mut SampleReport,
    ) -> Option<(TableSchema, ReferenceFile)> {
        let mut failed = Vec::new();
        for Seen { key, content } in seen {
            let inferred = match content.infer(&self.csv_settings()) {
                Ok(inferred) if inferred.file_columns.is_empty() => continue,
                Ok(inferred) => inferred,
                Err(failure) if failure.code == "no_header" => continue,
                Err(failure) => {
                    failed.push(preview(key, failure.code, failure.message));
                    continue;
                }
            };
            let strange = known.is_some_and(|known| is_strange(known, &inferred.file_columns));
            if strange {
                continue;
            }
            let reference = ReferenceFile {
                key: key.clone(),
                columns: inferred.file_columns,
                dialect: inferred.dialect,
                evidence: inferred.evidence,
            };
            let schema = TableSchema { partition: self.spec.partition.clone(), ..inferred.schema };
            return Some((schema, reference));
        }
        // Otherwise it is told when the files themselves are planned.
        if known.is_none() {
            report.files_failed.extend(failed);
        }
        None
    }
}

/// Whether a file has none of the columns of a declared schema: then it tells nothing of those that were left out.
fn is_strange(known: &TableSchema, names: &[String]) -> bool {
    let nested = known.columns.iter().any(|column| column.source.contains(['$', '.', '[']));
    !known.columns.is_empty() && !nested && bind(known, names).sources.iter().all(Option::is_none)
}

fn planned(planner: &mut Planner<'_>, file: &Seen, shape: &FileShape, report: &mut SampleReport) -> FilePlan {
    let plan = planner.plan(&file.key, shape);
    if let Some(first) = plan.causes.first() {
        let messages: Vec<&str> = plan.causes.iter().map(|cause| cause.message.as_str()).collect();
        let context = if plan.context.is_empty() { String::new() } else { format!("; {}", plan.context) };
        report.files_quarantined.push(preview(&file.key, first.code, format!("{}{context}", messages.join("; "))));
    }
    plan
}

fn preview(key: &str, code: &'static str, message: String) -> FilePreview {
    FilePreview { key: key.to_owned(), code, message }
}

fn new_column(column: &Column, file: Option<&String>) -> NewColumn {
    let array = matches!(column.ty, ColumnType::Array { .. });
    let ty = if column.nullable && !array { format!("Nullable({})", column.ty) } else { column.ty.to_string() };
    NewColumn { name: column.name.clone(), ty, file: file.cloned() }
}

fn of_added(added: &AddedColumn) -> NewColumn {
    new_column(&added.column, added.key.as_ref())
}

/// The rows of the sample.
#[derive(Default)]
struct Rows {
    rows: u64,
    rejected: u64,
    errors: HashMap<(String, String), (u64, String)>,
}

impl Rows {
    /// Answers with the file's rows, and those of them that do not fit.
    fn count(&mut self, key: &str, schema: &TableSchema, blocks: &[Block]) -> (u64, u64) {
        let records = blocks.iter().map(|block| block.records).sum();
        let rejected = blocks.iter().map(|block| block.rejected.len() as u64).sum();
        self.rows += records;
        self.rejected += rejected;
        for block in blocks {
            for row in 0..block.rejected.len() {
                for error in block.rejected.errors_of(row) {
                    let column = error.column_name(schema).to_owned();
                    // Without the value, as quarantine groups them, so that errors of one kind are one line.
                    let message = block.rejected.message(row, error, schema);
                    let message = error_kind(&column, &message).to_owned();
                    self.errors.entry((column, message)).or_insert_with(|| (0, key.to_owned())).0 += 1;
                }
            }
        }
        (records, rejected)
    }

    fn tell(self, report: &mut SampleReport) {
        let line = |((column, message), (rows, file))| ErrorLine { column, message, rows, file };
        let mut errors: Vec<ErrorLine> = self.errors.into_iter().map(line).collect();
        errors.sort_by(|one, other| {
            (other.rows, &one.column, &one.message).cmp(&(one.rows, &other.column, &other.message))
        });
        errors.truncate(KINDS_TOLD);
        (report.rows, report.rows_quarantined, report.errors) = (self.rows, self.rejected, errors);
    }
}
