//! TOML values with their places, and the environment variables that override them.

use std::ops::Range;

use connector_datafile::suggest::nearest;
use connector_datafile::{Diagnostic, SourceFile, Span};
use toml_edit::{Document, Item, TableLike, Value};

/// The keys that there are: `(section, key)`; the section is empty at the top level.
pub type Keys = [(&'static str, &'static str)];

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File(Span),
    /// The name of an environment variable.
    Variable(String),
}

/// A setting as it was made.
#[derive(Clone, Debug)]
pub enum Given {
    Text(String),
    Integer(i64),
    /// `{ env = "NAME" }`.
    Env(String),
    /// `{ file = "path" }`.
    File(String),
    /// The text of an environment variable, which has no type of its own.
    Variable(String),
    /// Anything else, by the name of its type.
    Other(&'static str),
}

impl Given {
    /// The name of the type, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Variable(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Env(_) | Self::File(_) => "a reference",
            Self::Other(kind) => kind,
        }
    }
}

/// Why a setting is refused. The message fits behind a colon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: &'static str,
    pub message: String,
    pub hint: String,
}

impl Fault {
    pub fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into() }
    }

    /// The setting has the wrong type.
    pub fn wrong_type(expected: &str, given: &Given, example: &str) -> Self {
        let message = format!("expected {expected}, found {}", given.kind());
        Self::new("wrong_type", message, format!("such as {example}"))
    }
}

/// Reads the settings of one file.
pub struct Reader<'a> {
    /// What may be printed: secrets are masked.
    pub shown: SourceFile,
    root: Item,
    variable: &'a dyn Fn(&str) -> Option<String>,
    pub diagnostics: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    /// Parses the text and reports keys that there are not.
    pub fn new(source: &SourceFile, keys: &Keys, variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let shown = source.masked(&secret_spans(source.text()));
        let mut reader = Self { shown, root: Item::None, variable, diagnostics: Vec::new() };
        match Document::parse(source.text()) {
            Ok(document) => {
                reader.root = document.into_item();
                reader.check_keys(keys);
            }
            Err(error) => {
                let span = to_span(error.span().unwrap_or(0..0));
                let message = format!("this is not TOML: {}", error.message());
                reader.diagnostics.push(Diagnostic::error("bad_toml", message).at(&reader.shown, span));
            }
        }
        reader
    }

    fn check_keys(&mut self, keys: &Keys) {
        let root = std::mem::take(&mut self.root);
        let sections = || keys.iter().map(|(section, _)| *section).filter(|section| !section.is_empty());
        for (key, span, item) in entries(root.as_table_like()) {
            if sections().any(|section| section == key) {
                let Some(table) = item.as_table_like() else {
                    let message = format!("'{key}' is a section");
                    let diagnostic = Diagnostic::error("wrong_type", message).at(&self.shown, span);
                    self.diagnostics.push(diagnostic.hint(format!("write [{key}] on a line of its own")));
                    continue;
                };
                for (inner, span, _) in entries(Some(table)) {
                    if !keys.contains(&(key.as_str(), inner.as_str())) {
                        let here = keys.iter().filter(|(section, _)| *section == key).map(|(_, key)| *key);
                        self.unknown(&inner, &format!("the section [{key}]"), span, keys, here.collect());
                    }
                }
            } else if !keys.contains(&("", key.as_str())) {
                let top = keys.iter().filter(|(section, _)| section.is_empty()).map(|(_, key)| *key);
                self.unknown(&key, "the top level", span, keys, top.chain(sections()).collect());
            }
        }
        self.root = root;
    }

    fn unknown(&mut self, key: &str, place: &str, span: Span, keys: &Keys, here: Vec<&str>) {
        let diagnostic = Diagnostic::error("unknown_key", format!("there is no key '{key}' in {place}"));
        let elsewhere = keys.iter().find(|(_, other)| *other == key);
        let diagnostic = match (nearest(key, here.iter().copied()), elsewhere) {
            (Some(near), _) => diagnostic.suggest(Some(near)),
            (None, Some(("", _))) => diagnostic.hint(format!("'{key}' belongs at the top, before the first section")),
            (None, Some((section, _))) => diagnostic.hint(format!("'{key}' belongs into the section [{section}]")),
            (None, None) => {
                let mut known = here;
                known.dedup();
                diagnostic.hint(format!("keys are {}", known.join(", ")))
            }
        };
        self.diagnostics.push(diagnostic.at(&self.shown, span));
    }

    /// The setting and where it was made: by environment variable, else in the file. An empty variable counts as not
    /// set.
    pub fn given(&self, section: &str, key: &str) -> Option<(Given, Origin)> {
        let name = variable_name(section, key);
        if let Some(text) = (self.variable)(&name).filter(|text| !text.is_empty()) {
            return Some((Given::Variable(text), Origin::Variable(name)));
        }
        let table = self.root.as_table_like()?;
        let table = if section.is_empty() { table } else { table.get(section)?.as_table_like()? };
        let item = table.get(key)?;
        let span = to_span(item.span().or_else(|| table.get_key_value(key)?.0.span()).unwrap_or(0..0));
        Some((given(item), Origin::File(span)))
    }

    /// The setting, read; `None` if it was not made or is bad, which is reported.
    pub fn read<T>(
        &mut self,
        section: &str,
        key: &str,
        read: impl FnOnce(&Given) -> Result<T, Fault>,
    ) -> Option<(T, Origin)> {
        let (given, origin) = self.given(section, key)?;
        match read(&given) {
            Ok(value) => Some((value, origin)),
            Err(fault) => {
                self.refuse(section, key, &origin, fault);
                None
            }
        }
    }

    /// Reports a bad setting where it was made.
    pub fn refuse(&mut self, section: &str, key: &str, origin: &Origin, fault: Fault) {
        let dotted = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        let diagnostic = match origin {
            Origin::File(span) => {
                Diagnostic::error(fault.code, format!("{dotted}: {}", fault.message)).at(&self.shown, *span)
            }
            Origin::Variable(name) => {
                let message = format!("the environment variable {name}: {}", fault.message);
                Diagnostic::error(fault.code, message).hint(format!("it overrides '{dotted}' of the settings file"))
            }
        };
        self.diagnostics.push(diagnostic.hint(fault.hint));
    }
}

/// The environment variable that overrides a key.
pub fn variable_name(section: &str, key: &str) -> String {
    let section = if section.is_empty() { String::new() } else { format!("{section}_") };
    format!("S3_CONNECTOR_{section}{key}").to_ascii_uppercase()
}

fn entries(table: Option<&dyn TableLike>) -> Vec<(String, Span, &Item)> {
    let Some(table) = table else { return Vec::new() };
    let span = |key: &str| table.get_key_value(key).and_then(|(key, _)| key.span()).unwrap_or(0..0);
    table.iter().map(|(key, item)| (key.to_owned(), to_span(span(key)), item)).collect()
}

fn to_span(range: Range<usize>) -> Span {
    Span { start: range.start, end: range.end }
}

fn given(item: &Item) -> Given {
    match item {
        Item::Value(Value::String(text)) => Given::Text(text.value().clone()),
        Item::Value(Value::Integer(number)) => Given::Integer(*number.value()),
        Item::Value(Value::Float(_)) => Given::Other("a float"),
        Item::Value(Value::Boolean(_)) => Given::Other("a boolean"),
        Item::Value(Value::Datetime(_)) => Given::Other("a date or time"),
        Item::Value(Value::Array(_)) | Item::ArrayOfTables(_) => Given::Other("an array"),
        Item::None => Given::Other("nothing"),
        Item::Value(Value::InlineTable(_)) | Item::Table(_) => reference(item).unwrap_or(Given::Other("a table")),
    }
}

/// `{ env = "NAME" }` or `{ file = "path" }`.
fn reference(item: &Item) -> Option<Given> {
    let table = item.as_table_like().filter(|table| table.len() == 1)?;
    let text = |key| table.get(key).and_then(Item::as_str).map(str::to_owned);
    text("env").map(Given::Env).or_else(|| text("file").map(Given::File))
}

/// What must not be printed: everything right of the `=` of a key that sounds secret, and of every key of `[aws]` that
/// is not known to be harmless, unless it is a reference. This looks at the text alone, because it must also hold for
/// a file that is not TOML.
fn secret_spans(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let (mut start, mut in_aws) = (0, false);
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            in_aws = trimmed.trim_start_matches(['[', ' ', '\t', '"', '\'']).starts_with("aws");
        }
        for (equals, _) in line.match_indices('=') {
            let value = line[equals + 1..].trim_start();
            if !value.is_empty() && !is_reference(value) && is_secret_key(&line[..equals], in_aws) {
                let from = start + line.len() - value.len();
                spans.push(Span { start: from, end: end_of_value(text, from) });
                break;
            }
        }
        start += line.len();
    }
    spans
}

fn is_secret_key(before: &str, in_aws: bool) -> bool {
    let key = before.rsplit(['{', ',']).next().unwrap_or(before).trim().to_ascii_lowercase();
    let key = key.trim_matches(['"', '\'']);
    let sounds_secret =
        ["secret", "token", "password", "access_key", "credential"].iter().any(|word| key.contains(word));
    let in_aws = in_aws || key.starts_with("aws.") || before.trim_start().starts_with("aws");
    let harmless = ["region", "sts_endpoint", "aws.region", "aws.sts_endpoint", "aws", "env", "file", "#"];
    let comment = before.trim_start().starts_with('#');
    sounds_secret || (in_aws && !comment && !harmless.contains(&key))
}

fn is_reference(value: &str) -> bool {
    let inner = value.strip_prefix('{').map(str::trim_start);
    inner.is_some_and(|inner| inner.starts_with("env") || inner.starts_with("file"))
}

/// The end of the line, or of a multi-line string.
fn end_of_value(text: &str, from: usize) -> usize {
    let rest = &text[from..];
    let quote = ["\"\"\"", "'''"].into_iter().find(|quote| rest.starts_with(quote));
    match quote {
        Some(quote) => rest[3..].find(quote).map_or(text.len(), |length| from + 3 + length + 3),
        None => from + rest.find('\n').unwrap_or(rest.len()),
    }
}
