//! Partitions and TTL.

use super::support::{parse, refusal, refused};

const SCHEMA: &str =
    "id Int64, `placed at` DateTime64(3), day Date, note Nullable(String), tags Array(String), x Float64";

#[test]
fn a_table_is_partitioned_by_one_plain_column() {
    let partition = |key: &str| {
        let (datasource, found) = parse(&format!("SCHEMA >\n    id Int64, day Date\n\nENGINE_PARTITION_KEY {key}"));
        assert_eq!(found, [], "{key}");
        datasource.partition
    };
    for key in ["day", "\"day\"", "\"`day`\"", "(day)"] {
        assert_eq!(partition(key).as_deref(), Some("day"), "{key}");
    }
    for key in ["\"\"", "tuple()", "\"tuple( )\""] {
        assert_eq!(partition(key), None, "{key}");
    }
    let hint =
        "name one plain column of SCHEMA, such as a Date; for the month of a time, declare a column that holds it";
    let fit = "a partition column is a number, a text, a date, a time or a Bool, and not Nullable";
    for (key, expected) in [
        (
            "toYYYYMM(day)",
            format!(
                "warning: the table is not partitioned by 'toYYYYMM(day)': only by a plain column @4:22+13 | {hint}"
            ),
        ),
        (
            "\"id, day\"",
            format!("warning: the table is not partitioned by 'id, day': only by a plain column @4:22+9 | {hint}"),
        ),
        ("toYYYYMM(dya)", "error: there is no column 'dya' in SCHEMA @4:31+3 | did you mean 'day'?".to_owned()),
        ("note", format!("error: the column note is Nullable, by which a table cannot be partitioned @4:22+4 | {fit}")),
        (
            "tags",
            format!("error: the column tags is Array(String), by which a table cannot be partitioned @4:22+4 | {fit}"),
        ),
        ("x", format!("error: the column x is Float64, by which a table cannot be partitioned @4:22+1 | {fit}")),
        ("dya", "error: there is no column 'dya' in SCHEMA @4:22+3 | did you mean 'day'?".to_owned()),
    ] {
        let schema = SCHEMA.replace("`placed at` DateTime64(3), ", "");
        refused(&[(key, &expected)], |key| format!("SCHEMA >\n    {schema}\n\nENGINE_PARTITION_KEY {key}"));
    }
    let found = refusal("ENGINE_PARTITION_KEY day");
    assert!(found.starts_with("error: a table without SCHEMA cannot be partitioned @1:22+3 | declare"), "{found}");
}

#[test]
fn a_ttl_is_checked_and_kept() {
    let schema = SCHEMA.replace("`placed at`", "placed_at");
    let read = |ttl: &str| parse(&format!("SCHEMA >\n    {schema}\n\nENGINE_TTL {ttl}"));
    for (ttl, expected) in [
        ("\"toDate(placed_at) + toIntervalDay(60)\"", "toDate(placed_at) + toIntervalDay(60)"),
        ("day + INTERVAL 1 MONTH", "day + toIntervalMonth(1)"),
        ("toDateTime(placed_at)", "toDateTime(placed_at)"),
        ("\"day + INTERVAL 1 MONTH DELETE\"", "day + toIntervalMonth(1)"),
        ("toDate(placed_at)delete", "toDate(placed_at)"),
    ] {
        let (datasource, found) = read(ttl);
        assert_eq!(datasource.ttl.map(|ttl| ttl.to_string()).as_deref(), Some(expected));
        assert_eq!(found, [], "{ttl}");
    }
    assert_eq!(read("\"\"").1, []);
    let like = "such as toDate(placed_at) + toIntervalDay(60)";
    for (ttl, expected) in [
        ("placed_at + toIntervalDay(1)", format!("error: the TTL is DateTime64(3), not a Date or DateTime @4:12+28 | {like}")),
        ("toYear(day)", format!("error: the TTL is UInt16, not a Date or DateTime @4:12+11 | {like}")),
        ("toDate(note)", format!("error: this TTL is not possible: toDate takes a Date, DateTime or DateTime64, not String @4:12+12 | {like}")),
        ("now() + toIntervalDay(1)", format!("error: the TTL depends on no column, so that all rows would expire at once @4:12+24 | {like}")),
        ("toDate(placd_at)", "error: there is no column 'placd_at' in SCHEMA @4:19+8 | did you mean 'placed_at'?".to_owned()),
        ("\"day + 60\"", "error: this TTL is not possible: what is added must say its unit, such as toIntervalDay(30) @4:19+1 | possible are".to_owned()),
        ("day WHERE id = 1", "error: this TTL is not possible: the expression should end here @4:16+1 | possible are".to_owned()),
        ("DELETE", "error: there is no column 'DELETE' in SCHEMA @4:12+6".to_owned()),
        ("day DELETE WHERE id = 1", "error: this TTL is not possible: the expression should end here @4:16+1 | possible are".to_owned()),
        ("rand()", "error: this TTL is not possible: the function rand is not possible here".to_owned()),
    ] {
        refused(&[(ttl, &expected)], |ttl| format!("SCHEMA >\n    {schema}\n\nENGINE_TTL {ttl}"));
    }
    let (datasource, found) = parse("ENGINE_TTL toDate(at)");
    assert!(datasource.ttl.is_some() && found.is_empty(), "without SCHEMA nothing can be checked: {found:?}");
    assert_eq!(parse("SCHEMA >\n    at DateTme\n\nENGINE_TTL toDate(at)").1.len(), 1, "one problem, not two");
}
