//! Removal and upkeep on a local directory and in a bucket alike.

use std::collections::BTreeMap;

use connector_core::expr::Expr;
use connector_core::ports::{ExpiryRule, Maintained, MaintenanceRules, Removal};
use jiff::SignedDuration;

use super::sets::*;
use super::*;

const DAY: SignedDuration = SignedDuration::from_hours(24);

#[test]
fn a_table_is_revised_and_kept_in_order() {
    for (place, bench) in Bench::everywhere() {
        let mut dice = Dice(31);
        let (table, batches) = chance_table(&bench, &mut dice, true);
        let maintain = |rules: &MaintenanceRules, later: SignedDuration| -> Maintained {
            bench.runtime.block_on(table.maintain(rules, bench.clock() + later)).expect("maintained")
        };
        let before = sorted(bench.read_all(&table));
        let id = before[before.len() / 3].0;
        let remove = Removal::Rows(BTreeMap::from([(id.0, vec![id.1])]));
        let landed = bench.commit(&table, &bench.removing(batches + 1, vec![], remove));
        assert_eq!(landed, Ok(CommitAnswer::Landed { version: batches as u64 + 1 }), "{place}");
        let left: Vec<Row> = before.into_iter().filter(|(row, _)| *row != id).collect();
        assert_same(&sorted(bench.read_all(&table)), &left, place);

        let rules = MaintenanceRules { min_small_files: 2, ..MaintenanceRules::default() };
        let mut compacted = 0;
        while compacted < 100 {
            let step = maintain(&rules, DAY);
            compacted += step.compacted;
            if step.done {
                break;
            }
        }
        assert!((2..100).contains(&compacted), "{place}: {compacted}");
        assert_same(&sorted(bench.read_all(&table)), &left, place);
        let files = bench.files().len();
        let step = maintain(&rules, DAY * 8);
        assert!(step.vacuumed >= compacted && step.done, "{place}: {step:?}");
        assert_eq!(bench.files().len() as u64, files as u64 - step.vacuumed, "{place}");
        assert_same(&sorted(bench.read_all(&table)), &left, place);

        let ttl = Expr::parse("at + INTERVAL 1 DAY").expect("an expression");
        let rule = ExpiryRule { ttl, now: "2200-01-01T00:00:00Z".parse().expect("a time") };
        let expired = bench.runtime.block_on(table.expired(&rule)).expect("told");
        let rows: u64 = expired.iter().map(|file| file.rows).sum();
        let remove = Removal::DataFiles(expired.into_iter().map(|file| file.path).collect());
        let landed = bench.commit(&table, &bench.removing(batches + 2, vec![], remove));
        assert!(matches!(landed, Ok(CommitAnswer::Landed { .. })), "{place}: {landed:?}");
        assert_eq!(bench.read_all(&table).len() as u64, left.len() as u64 - rows, "{place}");
    }
}

#[test]
fn the_log_of_a_table_is_cut_off_before_the_newest_checkpoint_but_one() {
    for (place, bench) in Bench::everywhere() {
        let table = bench.table();
        bench.create(&table, &small_schema()).expect("created");
        for seq in 1..=160 {
            bench.commit(&table, &bench.batch(seq, vec![])).expect("committed");
        }
        let facts = bench.facts();
        let rules = MaintenanceRules::default();
        let later = bench.clock() + DAY * 8;
        let step = bench.runtime.block_on(table.maintain(&rules, later)).expect("maintained");
        // Versions 0 to 59, of which version 50 has a checkpoint: the newest but one, at 100, is not a hundred behind.
        assert!((60..=180).contains(&step.log_entries), "{place}: {step:?}");
        assert_eq!(bench.facts(), facts, "{place}");
        assert_eq!(bench.append(&bench.table(), 161, 0, 3), Ok(CommitAnswer::Landed { version: 161 }), "{place}");
    }
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}
