//! Dates and times, in one spelling each, UTC unless an offset says otherwise: `connector_core::spelling` has it, with
//! spaces and tabs around it here.

use connector_core::spelling;

use super::trimmed;

/// `YYYY-MM-DD` of the years 0001 to 9999, as days since 1970-01-01.
pub(crate) fn date(cell: &[u8]) -> Option<i32> {
    spelling::date(trimmed(cell))
}

/// `YYYY-MM-DD[T ]HH:MM:SS[.fraction][Z|±hh:mm|±hhmm|±hh]`, as microseconds since 1970-01-01 UTC. Refused if the
/// fraction has digits other than zero beyond `precision` (0 to 6), or if in UTC it is not of the years 0001 to 9999.
pub(crate) fn timestamp(cell: &[u8], precision: u8) -> Option<i64> {
    spelling::timestamp(trimmed(cell), precision)
}
