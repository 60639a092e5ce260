//! Data files of which every row has expired.

use std::collections::BTreeMap;

use arrow::array::{Date32Array, TimestampMicrosecondArray};
use connector_core::expr::Expr;
use connector_core::ports::{ExpiredFile, ExpiryRule, Removal};
use connector_core::revision::RowDigest;
use jiff::Timestamp;

use super::sets::*;
use super::*;

fn rule(ttl: &str, now: &str) -> ExpiryRule {
    ExpiryRule { ttl: Expr::parse(ttl).expect("an expression"), now: now.parse().expect("a time") }
}

fn expired(bench: &Bench, table: &DeltaTable, rule: &ExpiryRule) -> Vec<ExpiredFile> {
    bench.runtime.block_on(table.expired(rule)).expect("told")
}

fn schema(partition: Option<&str>) -> TableSchema {
    let schema = TableSchema::new(vec![
        Column::nullable("at", ColumnType::DateTime64 { precision: 6 }),
        Column::nullable("day", ColumnType::Date),
    ]);
    TableSchema { partition: partition.map(str::to_owned), ..schema }
}

/// Appends a file of these times, with the days that they fall on, and says which version it is.
fn append(bench: &Bench, table: &DeltaTable, seq: BatchSeq, partition: Option<&str>, times: &[Option<i64>]) {
    let at = TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC");
    let day = |time: &Option<i64>| time.map(|time| time.div_euclid(86_400_000_000) as i32);
    let days: Date32Array = times.iter().map(day).collect();
    let rows = RecordBatch::try_new(schema(partition).arrow(), vec![Arc::new(at), Arc::new(days)]).expect("rows");
    let ordinals: Vec<u64> = (0..times.len() as u64).collect();
    let mut writer = boxed(table, &schema(partition));
    let origin = RowOrigin { version: version(seq as u64), ..origin(&format!("key {seq}")) };
    writer.write(&rows, &origin, &ordinals).expect("written");
    let files = writer.finish().expect("finished");
    bench.commit(table, &bench.batch(seq, files)).expect("committed");
}

/// Object versions that have gone wholly, by the expired files.
fn versions(files: &[ExpiredFile]) -> BTreeMap<ObjectVersionId, u64> {
    files.iter().flat_map(|file| &file.versions).map(|(keyed, rows, _)| (keyed.id, *rows)).collect()
}

#[test]
fn no_file_with_a_live_row_ever_goes_and_every_dead_file_goes() {
    const HOUR: i64 = 3_600_000_000;
    let rules = ["at + INTERVAL 1 DAY", "toDate(at) + INTERVAL 1 DAY", "day + INTERVAL 30 HOUR", "toStartOfHour(at)"];
    let mut dice = Dice(42);
    let (mut kept, mut gone) = (0, 0);
    for round in 0..6 {
        let partition = (round % 3 == 2).then_some("day");
        let bench = Bench::new();
        let table = bench.table();
        bench.create(&table, &schema(partition)).expect("created");
        let base: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a time");
        let now = base + jiff::SignedDuration::from_micros(dice.below(200) as i64 * HOUR / 2);
        for seq in 1..=8 {
            let old = dice.one_in(2);
            let time = |dice: &mut Dice| {
                if dice.one_in(30) {
                    return None;
                }
                // About the boundary to the microsecond, or anywhere.
                let around = now.as_microsecond() - 24 * HOUR;
                match dice.below(4) {
                    0 => Some(around + dice.below(3_000) as i64 - if old { 3_001 } else { 1_500 }),
                    1 => Some(around - dice.below(60) as i64 * HOUR),
                    _ if old => Some(around - 48 * HOUR - dice.below(90) as i64 * HOUR),
                    _ => Some(around + dice.below(60) as i64 * HOUR - 30 * HOUR),
                }
            };
            let times: Vec<Option<i64>> = (0..1 + dice.below(9)).map(|_| time(&mut dice)).collect();
            append(&bench, &table, seq, partition, &times);
        }
        for ttl in rules {
            let rule = ExpiryRule { ttl: Expr::parse(ttl).expect("an expression"), now };
            let found = expired(&bench, &table, &rule);
            let paths: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
            for file in bench.active_files() {
                let dead = file.rows.iter().all(|(at, day)| is_dead(ttl, *at, *day, now.as_microsecond()));
                let goes = paths.contains(&file.path.as_str());
                assert!(dead || !goes, "round {round}, {ttl}: a live row would go with {file:?}");
                // A bound is rounded up to the millisecond, so that a file may stay for a moment longer.
                let surely = |(at, day): &(Option<i64>, Option<i32>)| {
                    is_dead(ttl, at.map(|at| at + 1_000), *day, now.as_microsecond())
                };
                assert!(goes || !file.rows.iter().all(surely), "round {round}, {ttl}: {file:?} stays");
                if goes { gone += 1 } else { kept += 1 }
            }
        }
    }
    assert!(kept > 50 && gone > 50, "{kept} stay, {gone} go");
}

/// By arithmetic of its own: whether a row has expired.
fn is_dead(ttl: &str, at: Option<i64>, day: Option<i32>, now: i64) -> bool {
    const HOUR: i64 = 3_600_000_000;
    const DAY: i64 = 24 * HOUR;
    let (Some(at), Some(day)) = (at, day) else { return false };
    let ends = match ttl {
        "at + INTERVAL 1 DAY" => at + DAY,
        "toDate(at) + INTERVAL 1 DAY" => at.div_euclid(DAY) * DAY + DAY,
        "day + INTERVAL 30 HOUR" => i64::from(day) * DAY + 30 * HOUR,
        "toStartOfHour(at)" => at.div_euclid(HOUR) * HOUR,
        other => panic!("{other}"),
    };
    ends < now
}

#[derive(Debug)]
struct Active {
    path: String,
    rows: Vec<(Option<i64>, Option<i32>)>,
}

impl Bench {
    /// Data files by the log, and the times in them by the provenance of the table's rows.
    fn active_files(&self) -> Vec<Active> {
        use arrow::array::{Array as _, AsArray as _};
        use arrow::datatypes::{Date32Type, Int64Type, TimestampMicrosecondType};
        let rows = self.scan(None);
        let column = |name: &str| rows.column_by_name(name).expect("a column");
        let (ids, ordinals) = (column("_s3_version").as_string::<i32>(), column("_s3_row").as_primitive::<Int64Type>());
        let at = column("at").as_primitive::<TimestampMicrosecondType>();
        let day = column("day").as_primitive::<Date32Type>();
        let mut files = Vec::new();
        for version in 1..=self.snapshot().version() {
            for action in self.actions(version).iter().filter(|action| !action["add"].is_null()) {
                let path = action["add"]["path"].as_str().expect("a path").to_owned();
                let staged = StagedFile {
                    path: self.plain_path(&path),
                    bytes: 0,
                    rows: 0,
                    stats: String::new(),
                    partition: None,
                };
                let held = self.runtime.block_on(self.table().row_ids(&[staged])).expect("told");
                let has = |row: usize| {
                    let id = ObjectVersionId::parse_hex(ids.value(row)).expect("an id");
                    held.get(&id).is_some_and(|rows| rows.contains(&(ordinals.value(row) as u64)))
                };
                let values =
                    |row: usize| (at.is_valid(row).then(|| at.value(row)), day.is_valid(row).then(|| day.value(row)));
                files.push(Active { path, rows: (0..rows.num_rows()).filter(|row| has(*row)).map(values).collect() });
            }
        }
        files
    }

    fn plain_path(&self, log_path: &str) -> String {
        let storage = Storage::new(Location::Local(self.root.clone()), self.runtime.handle().clone());
        storage.expect("a place").resolve(log_path).expect("resolved")
    }
}

#[test]
fn an_expired_file_is_accounted_for_by_object_version_and_leaves_as_it_was_named() {
    let bench = Bench::new();
    let table = bench.table();
    bench.create(&table, &schema(None)).expect("created");
    append(&bench, &table, 1, None, &[Some(0), Some(1), Some(2)]);
    append(&bench, &table, 2, None, &[Some(0), None]);
    append(&bench, &table, 3, None, &[Some(5)]);
    let rule = rule("at + INTERVAL 1 DAY", "2000-01-01T00:00:00Z");
    let found = expired(&bench, &table, &rule);
    assert_eq!(versions(&found), BTreeMap::from([(version(1), 3), (version(3), 1)]), "NULL never expires");
    let first = found.iter().find(|file| file.rows == 3).expect("the first");
    assert_eq!(first.versions[0].0.key, "key 1");
    assert_eq!(first.versions[0].2, RowDigest::of_first(version(1), 3));
    let remove = Removal::DataFiles(found.into_iter().map(|file| file.path).collect());
    let landed = bench.commit(&table, &bench.removing(4, vec![], remove));
    assert_eq!(landed, Ok(CommitAnswer::Landed { version: 4 }));
    assert!(bench.held().iter().all(|(id, _)| id.0 == version(2)));
    assert_eq!(expired(&bench, &table, &rule), []);
}

#[test]
fn a_rule_about_the_partition_column_alone_reads_no_file_that_is_alive() {
    let bench = Bench::new();
    let table = bench.table();
    bench.create(&table, &schema(Some("day"))).expect("created");
    append(&bench, &table, 1, Some("day"), &[Some(0), Some(1)]);
    append(&bench, &table, 2, Some("day"), &[Some(2)]);
    let before = bench.data_files();
    append(&bench, &table, 3, Some("day"), &[Some(86_400_000_000 * 40), None]);
    for alive in bench.data_files().difference(&before) {
        std::fs::write(alive, b"nothing that could be read").expect("written");
    }
    let found = expired(&bench, &table, &rule("day + INTERVAL 30 DAY", "1970-02-15T00:00:00Z"));
    assert_eq!(versions(&found), BTreeMap::from([(version(1), 2), (version(2), 1)]));
}

#[test]
fn a_moment_before_it_expires_a_file_stays() {
    let bench = Bench::new();
    let table = bench.table();
    bench.create(&table, &schema(None)).expect("created");
    // A microsecond that the log's statistics cannot tell from the next millisecond.
    append(&bench, &table, 1, None, &[Some(1_000_001)]);
    let count = |now: &str| expired(&bench, &table, &rule("at + INTERVAL 1 SECOND", now)).len();
    assert_eq!(count("1970-01-01T00:00:02Z"), 0);
    assert_eq!(count("1970-01-01T00:00:02.000001Z"), 0, "now is the very moment");
    assert_eq!(count("1970-01-01T00:00:02.002Z"), 1);
}

#[test]
fn what_has_no_value_or_no_identity_never_expires_and_a_missing_column_is_said() {
    let bench = Bench::new();
    let table = bench.table();
    bench.create(&table, &schema(None)).expect("created");
    // The year 9999, plus a year: outside the calendar.
    append(&bench, &table, 1, None, &[Some(253_402_300_799_000_000)]);
    assert_eq!(expired(&bench, &table, &rule("at + INTERVAL 1 YEAR", "2026-01-01T00:00:00Z")), []);
    append(&bench, &table, 2, None, &[Some(0)]);
    assert_eq!(expired(&bench, &table, &rule("toYear(at)", "2026-01-01T00:00:00Z")), [], "a number is no time");
    let refused = bench.runtime.block_on(table.expired(&rule("gone", "2026-01-01T00:00:00Z"))).expect_err("refused");
    assert_eq!(refused.code, "no_such_column");
    let nowhere = Bench::new();
    assert_eq!(expired(&nowhere, &nowhere.table(), &rule("gone", "2026-01-01T00:00:00Z")), []);
}

#[test]
fn a_file_without_statistics_of_the_column_is_read() {
    let bench = Bench::new();
    let table = bench.table();
    bench.create(&table, &schema(None)).expect("created");
    append(&bench, &table, 1, None, &[Some(0), Some(1)]);
    append(&bench, &table, 2, None, &[Some(0), None]);
    for version in 1..=2 {
        let log = std::fs::read_to_string(bench.log_file(version)).expect("an entry");
        let mut lines: Vec<serde_json::Value> =
            log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        for line in lines.iter_mut().filter(|line| !line["add"].is_null()) {
            line["add"]["stats"] = serde_json::Value::Null;
        }
        let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(bench.log_file(version), lines).expect("written");
    }
    let found = expired(&bench, &bench.table(), &rule("at + INTERVAL 1 DAY", "2000-01-01T00:00:00Z"));
    assert_eq!(versions(&found), BTreeMap::from([(version(1), 2)]));
}
