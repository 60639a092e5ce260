//! A moment of rest: ledger and tables tell of the same batches.
//!
//! The ledger is read first, then what the tables say of themselves, then their rows are opened at that version, then
//! they are asked again. If no batch is staged in the ledger and the tables have no batch beyond the ledger's last, before
//! and after, the rows are those that the ledger accounts for: maintenance changes no row. Reading them may then take
//! hours, while batches go on.

use std::time::Duration;

use connector_core::commit::{LedgerFacts, TableTxn, Verdict, settle_facts};
use connector_core::error::Failure;
use connector_core::ids::{BatchSeq, ImportUuid};
use connector_core::ports::{Destination, RowBatches};
use connector_delta::DeltaTable;
use tokio::time::Instant;

use super::Auditor;

/// How long a moment of rest is waited for,
pub const PATIENCE: Duration = Duration::from_secs(30);
/// and how long a contradiction has to last to be one: ledger and tables are not read in one instant.
const CONTRADICTION: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// What ledger and tables say at one moment.
pub(super) struct AtRest<T> {
    /// What was read from the ledger.
    pub loaded: T,
    pub committed_seq: BatchSeq,
    pub table: Option<RowBatches>,
    pub quarantine: Option<RowBatches>,
}

/// Everything that decides.
type Facts = (Option<LedgerFacts>, Option<TableTxn>, Option<TableTxn>);

enum Seen<T> {
    Rest(AtRest<T>),
    /// A batch is being committed, or was.
    Moving(Facts),
    Contradiction(Facts, Failure),
}

impl Auditor<'_> {
    /// Waits for such a moment. `load` reads what is wanted from the ledger; `columns`: of the rows.
    ///
    /// # Errors
    /// `Transient` if the import is too busy, `Fenced` if ledger and tables contradict each other, and those of both.
    pub(super) async fn at_rest<T>(
        &self,
        columns: &[&str],
        mut load: impl FnMut() -> Result<T, Failure>,
    ) -> Result<AtRest<T>, Failure> {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let started = Instant::now();
        let (mut since, mut patience) = ((started, None), None);
        loop {
            let looked = self.look(&columns, &mut load).await?;
            // A large ledger takes its time to be read, which is not the import's.
            let patience = *patience.get_or_insert_with(|| PATIENCE + 3 * started.elapsed());
            let (facts, failure) = match looked {
                Seen::Rest(rest) => return Ok(rest),
                Seen::Moving(facts) => (facts, None),
                Seen::Contradiction(facts, failure) => (facts, Some(failure)),
            };
            if since.1 != Some(facts) {
                since = (Instant::now(), Some(facts));
            }
            match failure {
                Some(failure) if since.0.elapsed() >= CONTRADICTION => return Err(failure),
                _ if started.elapsed() >= patience => return Err(self.busy(&facts)),
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn look<T>(
        &self,
        columns: &[String],
        load: &mut impl FnMut() -> Result<T, Failure>,
    ) -> Result<Seen<T>, Failure> {
        let before = self.ledger_facts()?;
        let loaded = load()?;
        let ledger = self.ledger_facts()?;
        let (table, quarantine) = self.tables().await?;
        let facts = (ledger, table, quarantine);
        if settled(before) != settled(ledger) {
            return Ok(Seen::Moving(facts));
        }
        match verdict(ledger, table, quarantine) {
            // What is claimed and not staged has no row in a table yet.
            Verdict::Ready | Verdict::Abandon => {}
            Verdict::Contradiction(failure) => return Ok(Seen::Contradiction(facts, failure)),
            _ => return Ok(Seen::Moving(facts)),
        }
        let columns = Some(columns);
        let rows = (self.table.rows(columns).await?, self.quarantine.rows(columns).await?);
        let again = self.tables().await?;
        if batches(again.0) != batches(table) || batches(again.1) != batches(quarantine) {
            return Ok(Seen::Moving(facts));
        }
        let committed_seq = ledger.map_or(0, |ledger| ledger.committed_seq);
        Ok(Seen::Rest(AtRest { loaded, committed_seq, table: rows.0, quarantine: rows.1 }))
    }

    fn ledger_facts(&self) -> Result<Option<LedgerFacts>, Failure> {
        Ok(self.ledger.record(&self.spec.name)?.as_ref().map(LedgerFacts::from))
    }

    async fn tables(&self) -> Result<(Option<TableTxn>, Option<TableTxn>), Failure> {
        facts(&self.table, &self.quarantine).await
    }

    fn busy(&self, facts: &Facts) -> Failure {
        let name = &self.spec.name;
        let staged = facts.0.and_then(|ledger| ledger.open).is_some_and(|open| open.staged);
        let message = if staged {
            format!(
                "{name} has a batch that is being committed for {} s: if the program does not run, s3-connector run \
                 finishes it; if it does, pause the import with s3-connector datasource scheduling pause {name} and try \
                 again",
                PATIENCE.as_secs()
            )
        } else {
            format!(
                "{name} is too busy to be audited: it committed all the time for {} s; pause it with s3-connector \
                 datasource scheduling pause {name} and try again",
                PATIENCE.as_secs()
            )
        };
        Failure::transient("import_busy", message)
    }
}

/// What an import's tables say where there is no ledger: nothing that it has made may be there.
///
/// # Errors
/// As an import that starts there would have them, such as `ledger_lost`; those of the tables.
pub async fn without_ledger(table: &DeltaTable, quarantine: &DeltaTable) -> Result<(), Failure> {
    let (table, quarantine) = facts(table, quarantine).await?;
    match verdict(None, table, quarantine) {
        Verdict::Contradiction(failure) => Err(failure),
        _ => Ok(()),
    }
}

async fn facts(table: &DeltaTable, quarantine: &DeltaTable) -> Result<(Option<TableTxn>, Option<TableTxn>), Failure> {
    let facts = |table: Option<_>| table.as_ref().map(TableTxn::from);
    Ok((facts(table.facts().await?), facts(quarantine.facts().await?)))
}

/// What must not have changed while the ledger was read.
fn settled(ledger: Option<LedgerFacts>) -> Option<(ImportUuid, BatchSeq, bool)> {
    let staged = |ledger: &LedgerFacts| ledger.open.is_some_and(|open| open.staged);
    ledger.map(|ledger| (ledger.import, ledger.committed_seq, staged(&ledger)))
}

/// Which batches a table has, and of which import.
fn batches(table: Option<TableTxn>) -> Option<(Option<ImportUuid>, BatchSeq)> {
    table.map(|table| (table.import, table.committed_seq))
}

fn verdict(ledger: Option<LedgerFacts>, table: Option<TableTxn>, quarantine: Option<TableTxn>) -> Verdict {
    // A ledger that has never heard of the import has no table either.
    let unheard = || LedgerFacts {
        import: ImportUuid::mint(),
        table_created: false,
        committed_seq: 0,
        open: None,
        ahead: None,
        quarantine_seq: None,
    };
    settle_facts(&ledger.unwrap_or_else(unheard), table.as_ref(), quarantine.as_ref())
}
