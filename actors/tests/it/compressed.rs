//! Files of text of every size, plain and compressed: every record lands once, in table or quarantine, and a file that
//! breaks half-way leaves none.

use std::sync::Arc;

use actix::System;
use connector_core::credit::MIN_BUDGET;
use connector_core::spec::Schedule;
use connector_ledger::SqliteLedger;

use crate::doubles::{Bench, Process, RowId, csv, rows_of};

fn ledger() -> Arc<SqliteLedger> {
    Arc::new(SqliteLedger::in_memory().expect("opens"))
}

/// Valid gzip data that are not compressed: stored blocks.
fn gzip(text: &str) -> Vec<u8> {
    let text = text.as_bytes();
    let mut out = b"\x1F\x8B\x08\0\0\0\0\0\0\xFF".to_vec();
    let mut blocks = text.chunks(0xFFFF).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes().into_iter().chain((!length).to_le_bytes()));
        out.extend_from_slice(block);
    }
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    let crc = text.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step));
    out.extend((!crc).to_le_bytes().into_iter().chain((text.len() as u32).to_le_bytes()));
    out
}

fn ndjson(rows: usize) -> String {
    (0..rows).fold(String::new(), |text, row| text + &format!("{{\"id\": {row}, \"name\": \"name-{row}\"}}\n"))
}

/// Every third row does not fit.
fn partly_bad(rows: usize) -> String {
    (0..rows).fold("id,name\n".to_owned(), |text, row| {
        let bad = if row % 3 == 1 { "x" } else { "" };
        text + &format!("{bad}{row},name-{row}\n")
    })
}

/// Records of this file, one after the other, whether good or bad.
fn of_key(rows: &[RowId], key: &str) -> Vec<u64> {
    rows.iter().filter(|(found, _)| found == key).map(|(_, row)| *row).collect()
}

#[test]
fn every_record_of_every_kind_of_text_lands_once_under_the_smallest_budget() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        // Small; small as it is stored but not decompressed (at a budget of 32 MiB); large.
        let sizes = [3, 80_000, 300_000];
        bench.bucket.put("0.csv", csv(3), 0);
        for (n, rows) in sizes.into_iter().enumerate() {
            let second = n as i64 + 1;
            bench.bucket.put(&format!("{rows}.csv"), csv(rows), second);
            bench.bucket.put(&format!("{rows}.csv.gz"), gzip(&csv(rows)), second);
            bench.bucket.put(&format!("packed-{rows}.csv"), gzip(&csv(rows)), second);
            bench.bucket.put(&format!("{rows}.ndjson"), ndjson(rows), second);
            bench.bucket.put(&format!("{rows}.ndjson.gz"), gzip(&ndjson(rows)), second);
        }
        let process =
            Process::start_with_budget(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)], MIN_BUDGET);
        let summary = process.sync("orders").await.expect("syncs");
        let total: usize = 3 + 5 * sizes.iter().sum::<usize>();
        assert_eq!((summary.rows, summary.files_failed), (total as u64, 0));
        assert_eq!(process.world.credit.usage().0, 0, "all credit came back");
        let rows = bench.table.rows();
        for rows_of_file in sizes {
            for key in ["R.csv", "R.csv.gz", "packed-R.csv", "R.ndjson", "R.ndjson.gz"] {
                let key = key.replace('R', &rows_of_file.to_string());
                assert!(of_key(&rows, &key) == (0..rows_of_file as u64).collect::<Vec<_>>(), "{key}");
            }
        }
        assert!(bench.quarantine.rows().is_empty());
    });
}

#[test]
fn bad_records_of_large_files_are_in_quarantine_under_the_ordinals_that_they_have() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("0.csv", csv(3), 0);
        for rows in [9_000, 240_000] {
            bench.bucket.put(&format!("{rows}.csv"), partly_bad(rows), 1);
            bench.bucket.put(&format!("{rows}.csv.gz"), gzip(&partly_bad(rows)), 2);
            // It lacks a column: all its rows are bad.
            bench.bucket.put(&format!("other-{rows}.csv"), csv(rows).replacen("name", "title", 1), 3);
        }
        let process =
            Process::start_with_budget(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)], MIN_BUDGET);
        process.sync("orders").await.expect("syncs");
        assert_eq!(process.world.credit.usage().0, 0, "all credit came back");
        let (good, bad) = (bench.table.rows(), bench.quarantine.rows());
        for rows in [9_000u64, 240_000] {
            for key in [format!("{rows}.csv"), format!("{rows}.csv.gz")] {
                assert!(of_key(&bad, &key) == (0..rows).filter(|row| row % 3 == 1).collect::<Vec<_>>(), "{key}");
                assert!(of_key(&good, &key) == (0..rows).filter(|row| row % 3 != 1).collect::<Vec<_>>(), "{key}");
            }
            let key = format!("other-{rows}.csv");
            assert!(of_key(&bad, &key) == (0..rows).collect::<Vec<_>>() && of_key(&good, &key).is_empty(), "{key}");
        }
    });
}

#[test]
fn a_compressed_file_without_its_end_leaves_no_row_and_its_mates_land() {
    System::new().block_on(async {
        let (bench, ledger) = (Bench::new("orders"), ledger());
        bench.bucket.put("0.csv", csv(3), 0);
        for rows in [3, 80_000, 300_000] {
            let mut packed = gzip(&csv(rows));
            packed.truncate(packed.len() - 3);
            bench.bucket.put(&format!("{rows}.csv.gz"), packed, 1);
        }
        let process =
            Process::start_with_budget(vec![bench.seat(0, bench.spec(Schedule::OnDemand), &ledger)], MIN_BUDGET);
        let summary = process.sync("orders").await.expect("syncs");
        assert_eq!((summary.files_ingested, summary.files_failed), (1, 3));
        assert_eq!(bench.table.rows(), rows_of("0.csv", 3));
        assert!(bench.quarantine.rows().is_empty());
        assert_eq!(process.world.credit.usage().0, 0, "all credit came back");
    });
}
