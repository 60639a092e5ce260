//! Why a column has its type, in words that name the value which decided.

use super::observed::{Kind, Observed, shown_bytes};
use crate::value::trimmed;

/// The reason for the type of a column; `kind` is `None` for a String.
pub(super) fn because(column: &Observed, kind: Option<Kind>) -> String {
    match kind {
        Some(kind) => {
            let spelled: Vec<String> = column.spellings().map(|spelling| format!("'{spelling}'")).collect();
            let nulls = if spelled.is_empty() { String::new() } else { format!("; NULL is {}", spelled.join(", ")) };
            match column.values {
                1 => format!("the one value is {}{nulls}", one_of(kind)),
                values => format!("all {} values are {}{nulls}", grouped(values), many_of(kind)),
            }
        }
        None => because_string(column),
    }
}

fn because_string(column: &Observed) -> String {
    if column.values == 0 {
        let spelled: Vec<String> = column.spellings().map(|spelling| format!("'{spelling}'")).collect();
        return match spelled.is_empty() {
            true => "no value in the sample".to_owned(),
            false => format!("no value in the sample but {}", spelled.join(", ")),
        };
    }
    // The type of most values is the one that people expect.
    let best = Kind::ALL.into_iter().rev().max_by_key(|kind| column.tallies[*kind as usize].fits).unwrap_or(Kind::Int);
    let tally = &column.tallies[best as usize];
    let Some(misfit) = &tally.misfit else {
        let doubtful = shown_bytes(column.doubtful_float.as_deref().unwrap_or_default());
        return format!("'{doubtful}' may be a name as well as a number");
    };
    if let Some(reason) = reason(misfit) {
        return reason;
    }
    let value = shown_bytes(misfit);
    match tally.fits {
        0 => format!("'{value}' is text"),
        fits => {
            format!("'{value}' is not {}, as {} of {} values are", one_of(best), grouped(fits), grouped(column.values))
        }
    }
}

fn one_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "a whole number",
        Kind::Float => "a number",
        Kind::Bool => "true or false",
        Kind::Date => "an ISO date",
        Kind::Time => "an ISO time",
    }
}

fn many_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "whole numbers",
        Kind::Float => "numbers",
        Kind::Bool => "true or false",
        Kind::Date => "ISO dates",
        Kind::Time => "ISO times",
    }
}

/// What is special about a text that looks like a value and is none.
fn reason(text: &[u8]) -> Option<String> {
    let (value, text) = (shown_bytes(text), trimmed(text));
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let first = *digits.first()?;
    if text.starts_with(b"+") && text[1..].iter().all(u8::is_ascii_digit) && text.len() > 1 {
        return Some(format!("plus sign in '{value}'"));
    }
    if !first.is_ascii_digit() {
        let no_number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        return no_number.filter(|value| !value.is_finite()).map(|_| format!("'{value}' is no finite number"));
    }
    let only = |allowed: &[u8]| digits.iter().all(|byte| byte.is_ascii_digit() || allowed.contains(byte));
    if only(b".eE+-") && first == b'0' && digits.get(1).is_some_and(u8::is_ascii_digit) && !is_date_like(digits) {
        return Some(format!("leading zero in '{value}'"));
    }
    if only(b"") {
        return Some(match i64_fits(text) {
            true => format!("'{value}' is a whole number beyond what a float keeps exactly"),
            false => format!("'{value}' is beyond 64 bits with a sign"),
        });
    }
    if is_date_like(digits) {
        return Some(format!("'{value}' is no ISO date"));
    }
    if only(b"/.-: TZ+") && digits.contains(&b':') {
        return Some(format!("'{value}' is no ISO time"));
    }
    if let Some(odd) = digits.iter().find(|byte| b",_' ".contains(byte)).filter(|_| only(b".,_' ")) {
        return Some(format!("{} in '{value}'", name_of(*odd)));
    }
    if let Some(float) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok()) {
        return Some(match float {
            _ if float.is_infinite() => format!("'{value}' is beyond every float"),
            _ if !float.is_normal() => format!("'{value}' is too small for a float to keep"),
            _ => format!("'{value}' has more digits than a float keeps"),
        });
    }
    None
}

fn i64_fits(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<i64>().is_ok())
}

/// Day, month and year in some order, with `/`, `.` or `-` between them.
fn is_date_like(digits: &[u8]) -> bool {
    let groups: Vec<&[u8]> = digits.split(|byte| b"/.-".contains(byte)).collect();
    let [first, middle, last] = groups[..] else { return false };
    let is = |group: &[u8], lengths: &[usize]| lengths.contains(&group.len()) && group.iter().all(u8::is_ascii_digit);
    is(first, &[1, 2, 4]) && is(middle, &[1, 2]) && is(last, &[1, 2, 4])
}

fn name_of(byte: u8) -> &'static str {
    match byte {
        b',' => "comma",
        b'_' => "underscore",
        b' ' => "blank",
        _ => "apostrophe",
    }
}

/// A number as people read it: `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_special_about_a_value_is_named() {
        let cases = [
            ("02134", "leading zero in '02134'"),
            ("-007", "leading zero in '-007'"),
            ("00.5", "leading zero in '00.5'"),
            ("+49301234", "plus sign in '+49301234'"),
            ("9223372036854775808", "'9223372036854775808' is beyond 64 bits with a sign"),
            ("9007199254740993", "'9007199254740993' is a whole number beyond what a float keeps exactly"),
            ("1/2/3", "'1/2/3' is no ISO date"),
            ("31.12.2024", "'31.12.2024' is no ISO date"),
            ("05.12.2024", "'05.12.2024' is no ISO date"),
            ("2023-02-29", "'2023-02-29' is no ISO date"),
            ("2024-01-01 25:00:00", "'2024-01-01 25:00:00' is no ISO time"),
            ("1,5", "comma in '1,5'"),
            ("1_000", "underscore in '1_000'"),
            ("1 000", "blank in '1 000'"),
            ("1e400", "'1e400' is beyond every float"),
            ("1e-400", "'1e-400' is too small for a float to keep"),
            ("0.1234567890123456789", "'0.1234567890123456789' has more digits than a float keeps"),
            ("NaN", "'NaN' is no finite number"),
            ("-Infinity", "'-Infinity' is no finite number"),
        ];
        for (text, wanted) in cases {
            assert_eq!(reason(text.as_bytes()).as_deref(), Some(wanted), "{text}");
        }
        for text in ["", "abc", "-", "+", "0x1F", "12 monkeys"] {
            assert_eq!(reason(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
