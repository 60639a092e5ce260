//! What scalar values have been, and the type that follows.

use connector_core::quarantine::shown;
use connector_core::types::ColumnType;

use super::json::{self, Kind};
use crate::value::{plain, time};

/// Values that are neither objects nor arrays.
#[derive(Clone, Debug, Default)]
pub(super) struct Scalars {
    pub(super) nulls: u64,
    bools: u64,
    numbers: u64,
    texts: u64,
    /// The first number that is no Int64, no UInt64, and no Float64 without loss.
    not_int: Option<String>,
    not_uint: Option<String>,
    not_float: Option<String>,
    /// The first text that is no date, and the first that is no time.
    not_date: Option<String>,
    not_time: Option<String>,
    pub(super) examples: Vec<String>,
}

/// A type, and what decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) ty: ColumnType,
    pub(super) because: String,
}

impl Scalars {
    /// Notes the JSON text of a value.
    pub(super) fn note(&mut self, kind: Kind, json: &str) {
        match kind {
            Kind::Bool => self.bools += 1,
            Kind::Number => {
                self.numbers += 1;
                let bytes = json.as_bytes();
                note_first(&mut self.not_int, json, plain::int64(bytes).is_some());
                note_first(&mut self.not_uint, json, plain::uint64(bytes).is_some());
                note_first(&mut self.not_float, json, plain::float64(bytes).is_some());
            }
            Kind::String => {
                // A text that cannot be read (half a surrogate pair) will be refused in its row.
                let Ok(text) = json::content(json) else { return };
                self.texts += 1;
                // Blanks around a date are for the text to keep.
                let bare = text.trim().len() == text.len();
                note_first(&mut self.not_date, &text, bare && time::date(text.as_bytes()).is_some());
                note_first(&mut self.not_time, &text, bare && time::timestamp(text.as_bytes(), 6).is_some());
                json::note_example(&mut self.examples, &text);
                return;
            }
            Kind::Null | Kind::Array | Kind::Object => {
                self.nulls += 1;
                return;
            }
        }
        json::note_example(&mut self.examples, json);
    }

    pub(super) fn values(&self) -> u64 {
        self.bools + self.numbers + self.texts
    }

    pub(super) fn is_all_texts(&self) -> bool {
        self.texts == self.values()
    }

    /// The type of all values. `what`: what they are called in words.
    pub(super) fn verdict(&self, what: &str) -> Verdict {
        let kinds = [self.bools, self.numbers, self.texts].iter().filter(|count| **count > 0).count();
        let string = |because: String| Verdict { ty: ColumnType::String, because };
        let typed = |ty: ColumnType, one: &str, many: &str| {
            let because = match self.values() {
                1 => format!("the only {what} is {one}"),
                count => format!("all {} {what}s are {many}", grouped(count)),
            };
            Verdict { ty, because }
        };
        if kinds > 1 {
            return string(format!("the {what}s are of different kinds, such as {}", list(&self.examples)));
        }
        if self.bools > 0 {
            return typed(ColumnType::Bool, "true or false", "true or false");
        }
        if self.numbers > 0 {
            return match (&self.not_int, &self.not_uint, &self.not_float) {
                (None, ..) => typed(ColumnType::Int64, "a whole number", "whole numbers"),
                (_, None, _) => typed(
                    ColumnType::UInt64,
                    "a whole number too large for Int64",
                    "whole numbers from 0 on, some too large for Int64",
                ),
                (.., None) => typed(
                    ColumnType::Float64,
                    "a number that Float64 holds without loss",
                    "numbers that Float64 holds without loss",
                ),
                (.., Some(first)) => string(format!("'{first}' is a number that no type holds without loss")),
            };
        }
        match (&self.not_date, &self.not_time) {
            _ if self.texts == 0 => string(format!("no {what} in the sample")),
            (None, _) => typed(ColumnType::Date, "a date", "dates"),
            (_, None) => typed(ColumnType::DateTime64 { precision: 6 }, "a time", "times"),
            (Some(first), _) => string(format!("'{first}' is a text")),
        }
    }
}

fn note_first(first: &mut Option<String>, value: &str, fits: bool) {
    if !fits && first.is_none() {
        *first = Some(shown(value));
    }
}

/// With a comma between thousands.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn list(examples: &[String]) -> String {
    examples.iter().map(|example| format!("'{example}'")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(values: &[&str]) -> (String, String) {
        let mut scalars = Scalars::default();
        values.iter().for_each(|value| scalars.note(Kind::of(value), value));
        let verdict = scalars.verdict("value");
        (verdict.ty.to_string(), verdict.because)
    }

    #[test]
    fn a_type_holds_every_value_without_loss() {
        let cases: [(&[&str], &str); 16] = [
            (&["1", "-5"], "Int64"),
            (&["9223372036854775807"], "Int64"),
            (&["9223372036854775808", "0"], "UInt64"),
            (&["9223372036854775808", "-1"], "String"),
            (&["18446744073709551616"], "String"),
            (&["1", "1.5"], "Float64"),
            (&["1.0", "1e5"], "Float64"),
            (&["-0"], "Float64"),
            (&["1.5", "9007199254740993"], "String"),
            (&["1.00000000000000000001"], "String"),
            (&["1e400"], "String"),
            (&["true", "false"], "Bool"),
            (&["true", "1"], "String"),
            (&["\"1\"", "\"2\""], "String"),
            (&["\"2024-02-29\"", "null"], "Date"),
            (&["\"2024-02-29T01:02:03Z\"", "\"2024-02-29 01:02:03.5\""], "DateTime64(6)"),
        ];
        for (values, ty) in cases {
            assert_eq!(verdict(values).0, ty, "{values:?}");
        }
        let texts: [&[&str]; 5] = [
            &["\"2023-02-29\""],
            &["\"2024-01-01\"", "\"2024-01-01T00:00:00Z\""],
            &["\"\""],
            &["\" 2024-01-01\""],
            &[],
        ];
        for values in texts {
            assert_eq!(verdict(values).0, "String", "{values:?}");
        }
    }

    #[test]
    fn the_reason_is_said_in_words() {
        let many = vec!["7"; 1234];
        assert_eq!(verdict(&many).1, "all 1,234 values are whole numbers");
        assert_eq!(verdict(&["7"]).1, "the only value is a whole number");
        assert_eq!(verdict(&["1", "\"x\""]).1, "the values are of different kinds, such as '1', 'x'");
        assert_eq!(verdict(&["1e400"]).1, "'1e400' is a number that no type holds without loss");
    }
}
