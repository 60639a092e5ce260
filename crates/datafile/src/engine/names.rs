//! Which columns an expression of ClickHouse names, without understanding the rest of it.

/// A column and where its name begins in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub name: String,
    pub offset: usize,
}

/// Words of expressions that are no columns.
const KEYWORDS: [&str; 37] = [
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "CASE",
    "DAY",
    "DELETE",
    "DESC",
    "DIV",
    "ELSE",
    "END",
    "FALSE",
    "HOUR",
    "ILIKE",
    "IN",
    "INTERVAL",
    "IS",
    "LIKE",
    "MICROSECOND",
    "MILLISECOND",
    "MINUTE",
    "MOD",
    "MONTH",
    "NANOSECOND",
    "NOT",
    "NULL",
    "NULLS",
    "OR",
    "QUARTER",
    "SECOND",
    "THEN",
    "TRUE",
    "WEEK",
    "WHEN",
    "WHERE",
    "XOR",
    "YEAR",
];

/// The columns in order of appearance. A text with a lambda names none, because its parameters look like columns.
pub(crate) fn columns_in(text: &str) -> Vec<Named> {
    if text.contains("->") {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = match first {
            '\'' => quoted(rest, '\''),
            '`' | '"' => {
                let length = quoted(rest, first);
                let name = rest[1..length].trim_end_matches(first).to_owned();
                found.push(Named { name, offset: at });
                length
            }
            letter if letter.is_alphanumeric() || letter == '_' => {
                let length = rest.find(|letter: char| !is_part_of_name(letter)).unwrap_or(rest.len());
                let word = &rest[..length];
                let is_keyword = KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word));
                let calls = rest[length..].trim_start().starts_with('(');
                if !letter.is_numeric() && !is_keyword && !calls {
                    found.push(Named { name: word.to_owned(), offset: at });
                }
                length
            }
            other => other.len_utf8(),
        };
        at += length;
    }
    found
}

fn is_part_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '.')
}

/// The length of a quoted text; all of it if the quote is never closed.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            close if close == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The names of functions that are called, with the place of each.
pub(super) fn calls_in(text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('(') {
        let before = text[..at].trim_end();
        let start = before
            .rfind(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .map_or(0, |sign| sign + before[sign..].chars().next().map_or(1, char::len_utf8));
        if start < before.len() {
            found.push(Named { name: before[start..].to_owned(), offset: start });
        }
    }
    found
}

/// What lies between the commas outside of parentheses, brackets and quotes; nothing for a blank text.
pub(crate) fn split(text: &str) -> Vec<&str> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let (mut parts, mut depth, mut start, mut at) = (Vec::new(), 0_i32, 0, 0);
    while let Some(letter) = text[at..].chars().next() {
        match letter {
            '\'' | '"' | '`' => {
                at += quoted(&text[at..], letter);
                continue;
            }
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
        at += letter.len_utf8();
    }
    parts.push(text[start..].trim());
    parts
}

/// The text without the parentheses or the `tuple(...)` around all of it.
pub(super) fn unwrapped(text: &str) -> &str {
    let text = text.trim();
    let inner = text.strip_prefix("tuple").map_or(text, str::trim_start);
    let inside = inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let balanced = |inside: &&str| {
        let mut depth = 0_i32;
        inside.chars().all(|letter| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            depth >= 0
        })
    };
    inside.filter(balanced).map_or(text, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_is_no_function_keyword_number_or_text() {
        for (text, columns) in [
            ("a, b", vec!["a", "b"]),
            ("toDate(at), `odd name`", vec!["at", "odd name"]),
            ("ifNull(a, 'b c'), 10", vec!["a"]),
            ("at + INTERVAL 1 DAY", vec!["at"]),
            ("toStartOfInterval(at, interval 5 minute)", vec!["at"]),
            ("a.b % 1e5", vec!["a.b"]),
            ("arrayMap(x -> x + 1, tags)", vec![]),
            ("'it\\'s', a", vec!["a"]),
            ("`open", vec!["open"]),
            ("'é", vec![]),
            ("tuple()", vec![]),
        ] {
            let found: Vec<_> = columns_in(text).into_iter().map(|found| found.name).collect();
            assert_eq!(found, columns, "{text}");
        }
    }

    #[test]
    fn lists_are_taken_apart_outside_of_parentheses_and_quotes() {
        assert_eq!(split("a, f(b, c), 'd, e', `g,h`"), ["a", "f(b, c)", "'d, e'", "`g,h`"]);
        assert_eq!(split(" "), Vec::<&str>::new());
        assert_eq!(split("a,"), ["a", ""]);
        for (text, inner) in
            [("tuple(a, b)", "a, b"), ("(a)", "a"), ("(a) + (b)", "(a) + (b)"), ("tuple ()", ""), ("a", "a")]
        {
            assert_eq!(unwrapped(text), inner, "{text}");
        }
        let names = |text: &str| calls_in(text).into_iter().map(|found| found.name).collect::<Vec<_>>();
        assert_eq!(names("f(g (a)), (b)"), ["f", "g"]);
    }
}
