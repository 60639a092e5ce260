//! Jsonpaths of columns: `json:$.name`, `json:$.a.b`, `json:$.a[:]`, `json:$.lines[:].sku`, `json:$['odd.key']`, and
//! `json:$` for the whole record.

use connector_core::types::ColumnType;

/// A jsonpath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    /// `[:]`: each element of an array.
    Each,
}

/// Why a text is no jsonpath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Where in the text, in bytes.
    pub offset: usize,
    pub message: &'static str,
}

/// What to write, for hints.
pub const HINT: &str = "write `json:$.name`, `json:$.a.b`, `json:$.list[:]`, `json:$.list[:].name`, `json:$['odd.name']` \
                        for a name with dots or brackets, or `json:$` for the whole record";
/// Steps of one path: as deep as the nesting of a JSON record may be.
const MAX_STEPS: usize = 100;

impl JsonPath {
    /// Reads a path with its `json:$`.
    ///
    /// # Errors
    /// With the place and the reason.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let error = |offset, message| Err(PathError { offset, message });
        let Some(path) = text.strip_prefix("json:").and_then(|rest| rest.trim_start().strip_prefix('$')) else {
            return error(0, "a path begins with json:$");
        };
        let mut rest = path.trim_end();
        let end = text.trim_end().len();
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let offset = end - rest.len();
            let (step, behind) = match rest.strip_prefix('.') {
                Some(dotted) if !dotted.starts_with('[') => name(dotted, offset + 1)?,
                Some(dotted) if dotted.starts_with("[:") => return error(offset, "no '.' belongs before [:]"),
                dotted => bracketed(dotted.unwrap_or(rest), offset)?,
            };
            if step == Step::Each && steps.is_empty() {
                return error(offset, "a record is no array: a name comes first");
            }
            if step == Step::Each && steps.contains(&Step::Each) {
                return error(offset, "only one [:] is possible: a list of lists has no column type");
            }
            if steps.len() == MAX_STEPS {
                return error(offset, "the path has more than 100 steps");
            }
            steps.push(step);
            rest = behind;
        }
        Ok(Self { steps })
    }

    /// `json:$`.
    pub fn is_whole_record(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether the path goes through the elements of an array.
    pub fn has_elements(&self) -> bool {
        self.steps.contains(&Step::Each)
    }

    /// The name of a path with one step.
    pub fn only_name(&self) -> Option<&str> {
        match self.steps.as_slice() {
            [Step::Name(name)] => Some(name),
            _ => None,
        }
    }

    /// The path to the array itself, if this one ends in `[:]`.
    pub fn without_last_elements(&self) -> Self {
        let mut steps = self.steps.clone();
        steps.pop_if(|last| *last == Step::Each);
        Self { steps }
    }

    /// The path in its one spelling as the source of a column, that of `connector_decode::path`: without `$.`, and with
    /// brackets only where a name needs them.
    pub fn source(&self) -> String {
        if self.steps.is_empty() {
            return "$".to_owned();
        }
        let mut source = String::new();
        for step in &self.steps {
            match step {
                Step::Each => source.push_str("[:]"),
                Step::Name(name) if is_bare(name) => {
                    source.push_str(if source.is_empty() { "" } else { "." });
                    source.push_str(name);
                }
                Step::Name(name) => {
                    let escaped = name.replace('\\', "\\\\").replace('\'', "\\'");
                    source.extend(["['", &escaped, "']"]);
                }
            }
        }
        source
    }

    /// Whether a column of this type can hold what the path leads to.
    ///
    /// # Errors
    /// A message and a hint.
    pub fn check(&self, ty: &ColumnType) -> Result<(), (String, &'static str)> {
        if self.is_whole_record() && !matches!(ty, ColumnType::Json | ColumnType::String) {
            return Err((format!("the whole record is not {ty}"), "declare the column as JSON or String"));
        }
        if self.has_elements() && !matches!(ty, ColumnType::Array { .. }) {
            let message = format!("the path leads to the elements of an array, which are more than one {ty}");
            return Err((message, "declare the column as Array(...)"));
        }
        Ok(())
    }
}

fn is_bare(name: &str) -> bool {
    let odd = |letter: char| {
        matches!(letter, '.' | '[' | ']' | '\'' | '"' | '`' | '\\') || letter.is_whitespace() || letter.is_control()
    };
    !name.is_empty() && name != "$" && !name.contains(odd)
}

fn name(text: &str, offset: usize) -> Result<(Step, &str), PathError> {
    let length = text.find(['.', '[', ']']).unwrap_or(text.len());
    if length == 0 {
        return Err(PathError { offset, message: "a name is missing here" });
    }
    if text[length..].starts_with(']') {
        return Err(PathError { offset: offset + length, message: "no '[' belongs to this ']'" });
    }
    Ok((Step::Name(text[..length].to_owned()), &text[length..]))
}

/// `[:]`, `['name']` or `["name"]`.
fn bracketed(text: &str, offset: usize) -> Result<(Step, &str), PathError> {
    let error = |message| Err(PathError { offset, message });
    let Some(inside) = text.strip_prefix('[') else {
        return error("a '.' is missing before the name");
    };
    if let Some(behind) = inside.strip_prefix(":]") {
        return Ok((Step::Each, behind));
    }
    if let Some(quote @ ('\'' | '"')) = inside.chars().next() {
        return match quoted(&inside[1..], quote) {
            Some((name, behind)) => Ok((Step::Name(name), behind)),
            None => error("the quote or the bracket is not closed"),
        };
    }
    if inside.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-') {
        return error("a single element cannot be taken: only [:], all of them");
    }
    error("this is neither [:] nor ['name']")
}

/// The text up to the quote and the bracket that close it, and what is behind them. A quote without a bracket behind
/// it belongs to the name, and so does one behind a backslash.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote && text[at + 1..].starts_with(']') {
            return Some((name, &text[at + 2..]));
        }
        let escaped = if letter == '\\' { letters.next_if(|(_, next)| *next == quote || *next == '\\') } else { None };
        name.push(escaped.map_or(letter, |(_, escaped)| escaped));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_one_spelling_as_a_source() {
        for (text, source) in [
            ("json:$.a", "a"),
            ("json:$['a']", "a"),
            ("json:$.[\"a\"]", "a"),
            ("json: $.a.b ", "a.b"),
            ("json:$.a[:]", "a[:]"),
            ("json:$.lines[:].sku", "lines[:].sku"),
            ("json:$.lines[:]['sku']", "lines[:].sku"),
            ("json:$", "$"),
            ("json:$.['odd.key']", "['odd.key']"),
            ("json:$['odd.key'].a", "['odd.key'].a"),
            ("json:$.a['b.c'][:]", "a['b.c'][:]"),
            ("json:$['$']", "['$']"),
            ("json:$['']", "['']"),
            ("json:$.a['']", "a['']"),
            ("json:$[\"it's\"]", r"['it\'s']"),
            ("json:$['it's']", r"['it\'s']"),
            (r"json:$['a\b']", r"['a\\b']"),
            ("json:$.first name", "['first name']"),
            ("json:$.größe", "größe"),
        ] {
            let path = JsonPath::parse(text).expect(text);
            assert_eq!(path.source(), source, "{text}");
            let again = if source == "$" { "json:$".to_owned() } else { format!("json:$.{source}") };
            assert_eq!(JsonPath::parse(&again).as_ref(), Ok(&path), "{again}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_at_its_place() {
        for (text, offset) in [
            ("json:a", 0),
            ("json:", 0),
            ("$.a", 0),
            ("json:$.", 7),
            ("json:$a", 6),
            ("json:$..a", 7),
            ("json:$.a..b", 9),
            ("json:$.a.", 9),
            ("json:$[:]", 6),
            ("json:$.a[:].b[:]", 13),
            ("json:$.a[0]", 8),
            ("json:$.a[-1]", 8),
            ("json:$.a[*]", 8),
            ("json:$.a.[:]", 8),
            ("json:$['a]", 6),
            ("json:$['a'", 6),
            ("json:$.a]", 8),
            ("json:$.a[:]b", 11),
        ] {
            assert_eq!(JsonPath::parse(text).map_err(|error| error.offset), Err(offset), "{text}");
        }
        assert!(JsonPath::parse(&format!("json:${}", ".a".repeat(101))).is_err());
    }

    #[test]
    fn types_have_to_hold_what_a_path_leads_to() {
        let check = |text: &str, ty: ColumnType| JsonPath::parse(text).expect(text).check(&ty).is_ok();
        let list = ColumnType::Array { element: Box::new(ColumnType::String), nullable: false };
        assert!(check("json:$", ColumnType::Json) && check("json:$", ColumnType::String));
        assert!(!check("json:$", ColumnType::Int8));
        assert!(check("json:$.a[:].b", list.clone()) && check("json:$.a", list));
        assert!(!check("json:$.a[:]", ColumnType::Int8));
    }
}
