//! No query that runs again and again may look at every object: its plan is checked, not its time.

use rusqlite::Connection;

use super::*;
use crate::{
    account, batch, claiming, counts, ending, history, import, known, overwrite, page, reading, results, retry,
    revision, schema, version,
};

/// The steps of the plan, one a line.
fn plan(house: &House, sql: &'static str) -> String {
    let read = move |db: &Connection| {
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        for parameter in 1..=statement.parameter_count() {
            statement.raw_bind_parameter(parameter, 1)?;
        }
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next()? {
            steps.push(row.get::<_, String>(3)?);
        }
        Ok(steps.join("\n"))
    };
    wait(house.ledger.read("explain", read)).unwrap()
}

#[test]
fn claims_watermark_and_counts_search_by_index_and_sort_nothing() {
    let house = House::new();
    let queries = [
        (claiming::DUE, "object_due (bucket=? AND not_before<?)"),
        (claiming::FRESH, "object_fresh (bucket=?)"),
        (claiming::DUE_TOTALS, "COVERING INDEX object_due (bucket=? AND not_before<?)"),
        (import::LOWEST_FRESH, "object_fresh (bucket=?)"),
        (import::LOWEST_CLAIMED, "COVERING INDEX object_claimed (bucket=?)"),
        (import::HIGHEST, "COVERING INDEX object_position (bucket=?)"),
        (import::HIGHEST_BELOW, "COVERING INDEX object_position (bucket=? AND (last_modified,key)<(?,?))"),
        (page::VERSIONS, "object_identity (bucket=? AND key=?)"),
        (batch::OPEN, "batch_open (import=?)"),
        (results::CLAIMED, "object_batch (batch=?)"),
        (ending::GIVE_BACK, "object_batch (batch=?)"),
        (ending::WRITE_OFF, "object_identity (bucket=? AND key=?)"),
        (overwrite::IGNORE_OTHERS, "object_identity (bucket=? AND key=?)"),
        (counts::RECENT, "object_failed (bucket=?)"),
        (counts::DEFERRED, "object_due (bucket=?"),
        (claiming::PULL_IN, "object_due (bucket=? AND not_before>?)"),
        (claiming::SUSPECT_DUE, "object_suspect (bucket=? AND not_before<?)"),
        (claiming::SUSPECT_FRESH, "object_suspect (bucket=? AND not_before=?)"),
        (claiming::SUPERSEDED, "object_identity (bucket=? AND key=?)"),
        (results::REVISED, "member USING PRIMARY KEY (batch=?)"),
        (reading::SUSPECT, "reading USING PRIMARY KEY (batch=?)"),
        (overwrite::HELD, "object_held (bucket=?)"),
        (overwrite::RELEASE, "object_held (bucket=?)"),
        (overwrite::IGNORE_HELD, "object_held (bucket=?)"),
        (overwrite::HOLD_OTHERS, "object_identity (bucket=? AND key=?)"),
        (version::OF_KEY, "object_identity (bucket=? AND key=?)"),
        (version::ONE, "object USING INTEGER PRIMARY KEY (rowid=?)"),
        (version::NEWER, "object_identity (bucket=? AND key=?)"),
        (account::COMMITTED, "file_result_object (object=?)"),
        (known::RESULTS_OF, "file_result_object (object=?)"),
        (known::ACCOUNTS, "object USING INTEGER PRIMARY KEY (rowid>?)"),
        (revision::BY_LABEL, "batch_label (import=? AND label=?)"),
        (retry::FAILED, "object_failed (bucket=?)"),
        (retry::WAITING, "object_due (bucket=?"),
        (retry::ROLLED_BACK, "object_batch (batch=?)"),
        (overwrite::REPLACE, "object_identity (bucket=? AND key=?)"),
        (ending::FORGET_OUTCOMES, "PRIMARY KEY (import=? AND outcome=? AND batch=?)"),
        (history::ALL, "batch_history (import=? AND id<?)"),
        (history::WITH_OUTCOME, "batch_outcome USING PRIMARY KEY (import=? AND outcome=? AND batch<?)"),
        (schema::NEWEST_VERSION, "schema_version USING PRIMARY KEY (import=?)"),
        (schema::VERSIONS, "schema_version USING PRIMARY KEY (import=?)"),
    ];
    for (sql, expected) in queries {
        let plan = plan(&house, sql);
        assert!(plan.contains(expected), "{sql}\n{plan}");
        assert!(!plan.contains("SCAN"), "{sql}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
    let plan_of_results = plan(&house, results::RESULTS);
    assert!(plan_of_results.contains("file_result USING PRIMARY KEY (batch=?)"), "{plan_of_results}");
    // At most one batch's results are sorted.
    assert!(!plan(&house, results::RESULTS).contains("SCAN"));
}

/// Statistics must not talk the planner into a scan, so the plans are looked at in a ledger that has some, too.
#[test]
fn plans_stay_the_same_in_a_ledger_with_200_000_objects() {
    let house = House::new();
    let fill = |db: &Connection, import: &crate::import::Import| {
        db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
             INSERT INTO object (bucket, key, etag, size, last_modified, state, first_seen)
             SELECT ?1, printf('%09d', (i * 7919) % 200000), 'e', 10, i / 100 * 1000000,
                iif(i % 10 = 0, 'pending', 'skipped'), 0 FROM n",
            [import.bucket],
        )?;
        db.execute_batch("ANALYZE")?;
        Ok(())
    };
    wait(house.ledger.write("fill", &house.import, fill)).unwrap();
    let hot = [
        claiming::SUSPECT_DUE,
        claiming::SUSPECT_FRESH,
        claiming::SUPERSEDED,
        claiming::PULL_IN,
        overwrite::HELD,
        overwrite::RELEASE,
        overwrite::IGNORE_OTHERS,
        overwrite::HOLD_OTHERS,
        page::VERSIONS,
        version::OF_KEY,
        version::NEWER,
        account::COMMITTED,
        known::RESULTS_OF,
        results::REVISED,
        retry::WAITING,
    ];
    for sql in hot.into_iter().chain([
        claiming::DUE,
        claiming::FRESH,
        import::LOWEST_FRESH,
        import::LOWEST_CLAIMED,
        import::HIGHEST_BELOW,
    ]) {
        // There are as many buckets as imports have had, which is few.
        let plan = plan(&house, sql).replace("SCAN bucket", "");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
    }
    let mut house = house;
    let answer = house.claim(ClaimLimit::Unlimited, 1_000);
    assert_eq!((answer.batch.unwrap().files.len(), answer.backlog_files), (1_000, 19_000));
    assert_eq!(house.counts(1_000).files["skipped"], 180_000);
}
