//! `settle_facts` over all facts there can be within small bounds: it never says anything by which a row could be lost or
//! doubled, and a contradiction names a way out.

use super::*;
use crate::ids::ImportUuid;

const LAST: BatchSeq = 3;

fn uuid(id: u128) -> BatchUuid {
    BatchUuid(uuid::Uuid::from_u128(id))
}

fn import(id: u128) -> ImportUuid {
    ImportUuid(uuid::Uuid::from_u128(id))
}

/// No table, and tables of every import, batch and batch uuid.
fn all_tables() -> Vec<Option<TableTxn>> {
    let mut all = vec![None];
    for import in [None, Some(import(7)), Some(import(8))] {
        for committed_seq in LAST - 1..=LAST + 2 {
            for committed_uuid in [None, Some(uuid(1)), Some(uuid(2))] {
                all.push(Some(TableTxn { version: 9, import, committed_seq, committed_uuid }));
            }
        }
    }
    all
}

fn all_ledgers() -> Vec<LedgerFacts> {
    let mut opens = vec![None];
    for kind in BatchKind::ALL {
        for seq in [LAST, LAST + 1, LAST + 2] {
            for (staged, quarantine) in [(false, false), (true, false), (true, true)] {
                opens.push(Some(OpenFacts { seq, uuid: uuid(1), kind, staged, quarantine }));
            }
        }
    }
    let mut all = Vec::new();
    for open in opens {
        for table_created in [false, true] {
            for quarantine_seq in [None, Some(0), Some(LAST)] {
                let import = import(7);
                all.push(LedgerFacts { import, table_created, committed_seq: LAST, open, ahead: None, quarantine_seq });
            }
        }
    }
    all
}

/// What is true of one table, said as plainly as possible.
struct Truth {
    /// There is a table, and it is the import's.
    ours: bool,
    /// It has no more than what is finalised.
    untouched: bool,
    /// It has the open batch, and that is the newest.
    has_batch: bool,
}

impl Truth {
    fn of(ledger: &LedgerFacts, table: Option<&TableTxn>) -> Self {
        let Some(table) = table else { return Self { ours: false, untouched: false, has_batch: false } };
        let ours = table.import == Some(ledger.import);
        let batch = ledger.open.filter(|open| open.staged && open.seq == LAST + 1);
        let has_batch =
            batch.is_some_and(|open| table.committed_uuid == Some(open.uuid)) && table.committed_seq == LAST + 1;
        Self { ours, untouched: ours && table.committed_seq <= LAST, has_batch: ours && has_batch }
    }
}

/// Why this verdict could lose or double a row.
fn danger(ledger: &LedgerFacts, table: Option<&TableTxn>, quarantine: Option<&TableTxn>) -> Option<&'static str> {
    let (t, q) = (Truth::of(ledger, table), Truth::of(ledger, quarantine));
    let in_step = t.untouched && table.is_some_and(|table| table.committed_seq == LAST);
    let no_table = table.is_none() && !ledger.table_created;
    let takes_part = ledger.open.is_some_and(|open| open.staged && open.quarantine);
    let table_first = ledger.open.is_some_and(|open| open.kind.table_first());
    let staged = ledger.open.is_some_and(|open| open.staged);
    let verdict = settle_facts(ledger, table, quarantine);
    if matches!(verdict, Verdict::Contradiction(_)) {
        return None;
    }
    let known = ledger.quarantine_seq.unwrap_or(LAST);
    let hidden =
        quarantine.is_some_and(|quarantine| quarantine.committed_seq <= LAST && quarantine.committed_seq > known);
    let checks: &[(bool, &'static str)] = match verdict {
        Verdict::Contradiction(_) => &[],
        Verdict::Ready => &[
            (ledger.open.is_none(), "a batch is open"),
            (in_step || no_table, "the table is not where the ledger is"),
            (quarantine.is_none() || q.untouched, "the quarantine table has more than the ledger"),
        ],
        Verdict::Abandon => &[
            (ledger.open.is_some(), "nothing is open"),
            (in_step || no_table, "the table may have the batch"),
            (quarantine.is_none() || q.untouched, "the quarantine table may have its part"),
            (!staged || no_table || (takes_part && !table_first), "a staged batch is given up for nothing"),
        ],
        Verdict::CommitStaged { quarantine_landed: false } => &[
            (staged, "nothing is staged"),
            (in_step, "the table may have the batch, or lacks others"),
            (quarantine.is_none() || q.untouched, "the quarantine table would get its part twice"),
        ],
        Verdict::CommitStaged { quarantine_landed: true } => &[
            (staged && takes_part, "there is no such part"),
            (in_step, "the table may have the batch, or lacks others"),
            (if table_first { quarantine.is_none() } else { q.has_batch }, "its part would be missing"),
        ],
        Verdict::CommitQuarantine { .. } => &[
            (t.has_batch, "rows would leave quarantine that are not in the table"),
            (takes_part && table_first, "there is no such part"),
            (q.untouched, "the quarantine table may have its part"),
        ],
        Verdict::Landed { .. } => &[
            (t.has_batch, "the table does not have the batch"),
            (!takes_part || quarantine.is_none() || q.has_batch, "the quarantine table lacks its part"),
            (takes_part || quarantine.is_none() || q.untouched, "the quarantine table has a part it should not have"),
        ],
    };
    let general = [
        (table.is_none() || t.ours, "the table is not the import's"),
        (quarantine.is_none() || q.ours, "the quarantine table is not the import's"),
        (!hidden, "the quarantine table has a batch that nobody knows"),
    ];
    let broken = general.iter().chain(checks).find(|(holds, _)| !holds);
    broken.map(|(_, why)| *why)
}

#[test]
fn no_verdict_can_lose_or_double_a_row() {
    let (tables, mut tried) = (all_tables(), 0_u64);
    for ledger in all_ledgers() {
        for table in &tables {
            for quarantine in &tables {
                tried += 1;
                if let Some(why) = danger(&ledger, table.as_ref(), quarantine.as_ref()) {
                    let verdict = settle_facts(&ledger, table.as_ref(), quarantine.as_ref());
                    panic!("{verdict:?}: {why}: {ledger:?}\n{table:?}\n{quarantine:?}");
                }
            }
        }
    }
    assert!(tried > 250_000, "only {tried}");
}

#[test]
fn every_contradiction_names_a_way_out() {
    let tables = all_tables();
    let mut codes = std::collections::BTreeMap::new();
    for ledger in all_ledgers() {
        for table in &tables {
            for quarantine in &tables {
                if let Verdict::Contradiction(failure) = settle_facts(&ledger, table.as_ref(), quarantine.as_ref()) {
                    codes.entry(failure.code).or_insert_with(Vec::new).push(failure.message);
                }
            }
        }
    }
    let commands = [
        ("ledger_lost", "`s3-connector datasource adopt NAME`"),
        ("ledger_behind", "`s3-connector ledger rebuild NAME`"),
        ("fenced", "`s3-connector ledger rebuild NAME`"),
        ("table_behind", "restore the newer one"),
        ("table_gone", "put the table back"),
        ("other_import", "choose another place"),
        ("foreign_table", "choose another place"),
        ("foreign_quarantine", "move it away"),
        ("quarantine_behind", "move it away"),
    ];
    assert_eq!(codes.len(), commands.len(), "{:?}", codes.keys());
    for (code, remedy) in commands {
        let messages = codes.get(code).unwrap_or_else(|| panic!("{code} never comes"));
        for message in messages {
            assert!(message.contains(remedy), "{code}: {message}");
            assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
        }
    }
    assert!(codes["table_behind"].iter().any(|message| message.contains("`s3-connector ledger reread NAME`")));
}

/// Case 25: the table, or its quarantine table, is dropped, made anew, or restored to an older version.
#[test]
fn case_25_a_table_dropped_made_anew_or_restored_is_never_guessed_at() {
    let table =
        |committed_seq| TableTxn { version: 9, import: Some(import(7)), committed_seq, committed_uuid: Some(uuid(1)) };
    let foreign = TableTxn { import: Some(import(8)), ..table(0) };
    let unmarked = TableTxn { import: None, committed_uuid: None, ..table(0) };
    for ledger in all_ledgers().into_iter().filter(|ledger| ledger.table_created) {
        let code = |table: Option<TableTxn>| match settle_facts(&ledger, table.as_ref(), None) {
            Verdict::Contradiction(failure) => failure.code,
            other => panic!("{other:?}: {ledger:?} {table:?}"),
        };
        assert_eq!(code(None), "table_gone");
        assert_eq!(code(Some(foreign)), "other_import");
        assert_eq!(code(Some(unmarked)), "foreign_table");
        assert_eq!(code(Some(table(LAST - 1))), "table_behind");
    }
}
