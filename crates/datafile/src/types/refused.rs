//! Types that ClickHouse has and no column can be of: why, and what to write instead.

use super::Written;
use crate::diagnostic::{Diagnostic, Report};

/// Why neither kind of aggregate is there.
const STATES: &str = "files hold values, not states of an aggregation, and a table keeps every row as it came";
const NO_CLOCK: &str = "a table has no type for a time without a date";
const OF_ANY: &str = "a column has one type for all of its values";

/// Name, reason, and what to write instead.
pub(super) const REFUSED: [(&str, &str, &str); 11] = [
    ("BFloat16", "a table has no floats of 16 bits", "use Float32"),
    ("Time", NO_CLOCK, "use String"),
    ("Time64", NO_CLOCK, "use String"),
    ("Object", "ClickHouse itself has given it up", "use JSON"),
    ("Variant", OF_ANY, "use String, or JSON"),
    ("Dynamic", OF_ANY, "use String, or JSON"),
    ("QBit", "it is for vectors that ClickHouse searches", "use Array(Float32)"),
    ("Geometry", OF_ANY, "use JSON"),
    ("AggregateFunction", STATES, "store the plain values, and aggregate them in queries"),
    ("SimpleAggregateFunction", STATES, "write the type inside of it alone, such as Int64 for (sum, Int64)"),
    ("Nothing", "such a column never has a value", "remove the column"),
];

/// Whether this is such a type; if so, it is reported.
pub(super) fn is_refused(written: &Written, report: &mut Report<'_>) -> bool {
    let Some((name, why, instead)) = REFUSED.iter().find(|(name, ..)| *name == written.name) else { return false };
    let message = format!("the type {name} is not supported: {why}");
    report.push(Diagnostic::error("unsupported_type", message).hint(*instead), written.name_span);
    true
}
