//! What ledger and tables mean together: the one place that decides whether a batch has landed.

use super::facts::{LedgerFacts, OpenFacts, TableTxn};
use crate::error::Failure;

/// What ledger and tables together mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They agree and nothing is open.
    Ready,
    /// A batch was claimed and not staged, or what was staged is gone: its files go back.
    Abandon,
    /// A batch is staged and did not land in the table. `quarantine_landed`: nothing is left to do in the quarantine
    /// table, because its part has landed there or because the table is gone.
    CommitStaged { quarantine_landed: bool },
    /// A batch that commits to the table first has landed there, at this version at the latest; the quarantine table
    /// lacks its part.
    CommitQuarantine { table_version: u64 },
    /// A staged batch landed wherever it has a part, in the table at this version at the latest.
    Landed { version: u64 },
    /// They contradict each other: nothing is guessed.
    Contradiction(Failure),
}

/// Compares ledger (`L`, open batch), table (`v`) and quarantine table (`q`).
///
/// | table | ledger | verdict |
/// |---|---|---|
/// | none | table never created | ready, or abandon what was claimed |
/// | none | table was created | contradiction: the table is gone |
/// | of no import, or of another one | any | contradiction |
/// | v = L | nothing open / claimed / staged | ready / abandon / commit |
/// | v = L + 1 | staged with the uuid of that commit | landed |
/// | v = L + 1 | staged with another uuid | contradiction: another writer |
/// | v > L otherwise | any | contradiction: the ledger is behind |
/// | v < L | any | contradiction: the table is behind |
///
/// Then the quarantine table is asked. `Q` is the newest batch that it may carry ([`LedgerFacts::quarantine_seq`]).
///
/// | quarantine table | ledger and table | verdict |
/// |---|---|---|
/// | of no import, or of another one | any | contradiction |
/// | Q < q <= L | any | contradiction: another writer |
/// | q > L | not staged with a part in it as q = L + 1 | contradiction: the ledger is behind |
/// | q = L + 1 | staged with another uuid | contradiction: another writer |
///
/// | quarantine table | ingest | replay, rollback (the table comes first) |
/// |---|---|---|
/// | none, v = L | abandon, if its data files went with it | commit to the table, then done |
/// | none, v = L + 1 | landed | landed: the rows to remove went with it |
/// | q <= L, v = L | commit to both | commit to both |
/// | q <= L, v = L + 1 | contradiction: quarantine is behind | commit to the quarantine table |
/// | q = L + 1 with its uuid, v = L | commit to the table | contradiction: the table is behind |
/// | q = L + 1 with its uuid, v = L + 1 | landed | landed |
/// | q = L + 1 with its uuid, no table | contradiction: the table is gone | contradiction: the table is gone |
pub fn settle_facts(ledger: &LedgerFacts, table: Option<&TableTxn>, quarantine: Option<&TableTxn>) -> Verdict {
    let verdict = settle_table(ledger, table);
    if matches!(verdict, Verdict::Contradiction(_)) {
        return verdict;
    }
    let open = ledger.open.filter(|open| open.staged && open.quarantine);
    let landed = match quarantine {
        None => None,
        Some(quarantine) => match quarantine_landed(ledger, open.as_ref(), quarantine) {
            Ok(landed) => Some(landed),
            Err(contradiction) => return contradiction,
        },
    };
    match open {
        Some(open) => settle_quarantine(open.kind.table_first(), verdict, landed),
        None => verdict,
    }
}

fn settle_table(ledger: &LedgerFacts, table: Option<&TableTxn>) -> Verdict {
    let nothing_landed = match ledger.open {
        None => Verdict::Ready,
        Some(OpenFacts { staged: false, .. }) => Verdict::Abandon,
        Some(OpenFacts { staged: true, .. }) => Verdict::CommitStaged { quarantine_landed: false },
    };
    let Some(table) = table else {
        return if ledger.table_created {
            contradiction(TABLE_GONE)
        } else if matches!(nothing_landed, Verdict::CommitStaged { .. }) {
            Verdict::Abandon
        } else {
            nothing_landed
        };
    };
    if table.import != Some(ledger.import) {
        return contradiction(match table.import {
            None => FOREIGN_TABLE,
            Some(_) if ledger.table_created => OTHER_IMPORT,
            Some(_) => LEDGER_LOST,
        });
    }
    let (v, last) = (table.committed_seq, ledger.committed_seq);
    match ledger.open {
        _ if v == last => nothing_landed,
        _ if v < last => contradiction(TABLE_BEHIND),
        Some(OpenFacts { seq, uuid, staged: true, .. }) if v == last + 1 && seq == v => {
            if table.committed_uuid == Some(uuid) {
                Verdict::Landed { version: table.version }
            } else {
                another_writer()
            }
        }
        _ => contradiction(LEDGER_BEHIND),
    }
}

/// Whether the quarantine table has its part of the open batch, of which it has one if `open` is given.
fn quarantine_landed(ledger: &LedgerFacts, open: Option<&OpenFacts>, quarantine: &TableTxn) -> Result<bool, Verdict> {
    if quarantine.import != Some(ledger.import) {
        return Err(contradiction(FOREIGN_QUARANTINE));
    }
    let (q, last) = (quarantine.committed_seq, ledger.committed_seq);
    if q <= last {
        // It skips batches in which it has no part, so a batch of another writer can hide below the last one.
        let known = ledger.quarantine_seq.unwrap_or(last);
        return if q <= known { Ok(false) } else { Err(another_writer()) };
    }
    match open {
        Some(open) if q == last + 1 && open.seq == q => {
            if quarantine.committed_uuid == Some(open.uuid) {
                Ok(true)
            } else {
                Err(another_writer())
            }
        }
        _ => Err(contradiction(LEDGER_BEHIND)),
    }
}

/// What the quarantine table makes of the table's verdict on a staged batch in which it has a part. `landed`: its part
/// is there; `None`: there is no such table.
fn settle_quarantine(table_first: bool, verdict: Verdict, landed: Option<bool>) -> Verdict {
    match (verdict, landed) {
        // There never was a table, and yet the quarantine table has the batch: it must not be read again.
        (Verdict::Abandon, Some(true)) => contradiction(TABLE_GONE),
        (Verdict::CommitStaged { .. }, None) if !table_first => Verdict::Abandon,
        (Verdict::CommitStaged { .. }, None) => Verdict::CommitStaged { quarantine_landed: true },
        (Verdict::CommitStaged { .. }, Some(true)) if table_first => contradiction(TABLE_REWOUND),
        (Verdict::CommitStaged { .. }, Some(quarantine_landed)) => Verdict::CommitStaged { quarantine_landed },
        (Verdict::Landed { version }, Some(false)) if table_first => {
            Verdict::CommitQuarantine { table_version: version }
        }
        (Verdict::Landed { .. }, Some(false)) => contradiction(QUARANTINE_BEHIND),
        (verdict, _) => verdict,
    }
}

fn another_writer() -> Verdict {
    Verdict::Contradiction(Failure::fenced(
        "fenced",
        "another writer committed to this import's table or quarantine table; is the same configuration running twice? \
         stop the other copy, then run `s3-connector ledger rebuild NAME`, which takes the tables' word for what is \
         imported",
    ))
}

/// A table that is gone takes the staged files with it.
pub(super) fn files_without_table() -> Failure {
    Failure::transient(
        "hidden_table",
        "the data files of a staged batch are there, and the log of their table is not: the store's listing is behind, or \
         somebody has removed `_delta_log`; it is looked again",
    )
}

type Contradiction = (&'static str, &'static str);

pub(super) const STAGED_FILES_GONE: Contradiction = (
    "staged_files_gone",
    "data files of the batch that is being committed are gone, after its bad rows were committed to the quarantine \
     table; was the table vacuumed or restored meanwhile? put the files back, or run \
     `s3-connector ledger rebuild NAME`, which takes these rows out of quarantine and has the batch read again",
);
const FOREIGN_QUARANTINE: Contradiction = (
    "foreign_quarantine",
    "the quarantine table does not belong to this import; move it away (it is made anew), or choose another place in \
     [destination]",
);
const QUARANTINE_BEHIND: Contradiction = (
    "quarantine_behind",
    "the quarantine table lacks bad rows of a batch that is in the table, so it was restored to an older version; \
     restore the newer one, or move it away to start a new one without those rows",
);
const TABLE_GONE: Contradiction = (
    "table_gone",
    "the ledger says that this import has a table, but there is none at its place; put the table back, or give the \
     data source another name to import everything again into a new table",
);
const FOREIGN_TABLE: Contradiction = (
    "foreign_table",
    "there is a table at this place that s3-connector did not make; choose another place in [destination] or move the \
     table away",
);
const OTHER_IMPORT: Contradiction = (
    "other_import",
    "the table belongs to another import than the one in the ledger: it was replaced behind the connector's back; put \
     the old one back or choose another place in [destination]",
);
const LEDGER_LOST: Contradiction = (
    "ledger_lost",
    "the table belongs to an import that this ledger does not know, so the ledger was deleted or this is another \
     host; nothing is imported again; put the old ledger back, or run `s3-connector datasource adopt NAME`, which \
     rebuilds the ledger from the table, or choose another place in [destination] or another name for the data source \
     to start a new table",
);
const TABLE_BEHIND: Contradiction = (
    "table_behind",
    "the table lacks batches that the ledger has finalised, so it was restored to an older version; restore the newer \
     one, or run `s3-connector ledger reread NAME`, which reads the files of the missing batches again",
);
const TABLE_REWOUND: Contradiction = (
    "table_behind",
    "the table lacks its part of a batch of which the quarantine table has the other, so it was restored to an older \
     version; restore the newer one",
);
const LEDGER_BEHIND: Contradiction = (
    "ledger_behind",
    "the table or its quarantine table has batches that the ledger does not know, so the ledger was restored from a \
     backup or a second copy runs elsewhere; stop the other copy, then put the newest ledger back or run `s3-connector \
     ledger rebuild NAME`, which takes the tables' word for what is imported",
);

fn contradiction((code, message): Contradiction) -> Verdict {
    Verdict::Contradiction(Failure::config(code, message))
}
