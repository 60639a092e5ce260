//! Source paths: where in nested values a column's values are.
//!
//! Purpose: one spelling, and one meaning, of [`connector_core::schema::Column::source`] for records that nest (NDJSON,
//! Parquet structs). It is what follows `$.` in a jsonpath:
//!
//! | path | value |
//! |---|---|
//! | `a` | of the key `a` of the record |
//! | `a.b` | of the key `b` of the object `a` |
//! | `a[:]` | every element of the array `a` |
//! | `lines[:].sku` | the key `sku` of every element of the array `lines`: an array again |
//! | `['odd.key']`, `a['b c']` | keys with dots, brackets, quotes or blanks; `\'` and `\\` inside |
//! | `$` | the whole record |

use std::fmt::{self, Write as _};

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Into the value of this key of an object.
    Key(String),
    /// Into every element of an array.
    Each,
}

impl Step {
    /// The key, if it leads to one.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Each => None,
        }
    }
}

/// A source path. Its [`fmt::Display`] is the canonical spelling, and [`Path::parse`] reads it back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Path {
    /// Empty: the whole record.
    steps: Vec<Step>,
}

/// The spelling of the path to the whole record.
pub const WHOLE_RECORD: &str = "$";

impl Path {
    /// A path through objects only.
    pub fn of_keys<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self { steps: keys.into_iter().map(|key| Step::Key(key.into())).collect() }
    }

    /// Reads a path; keys without quotes may hold anything but `.`, `[` and `]`. `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text == WHOLE_RECORD {
            return Some(Self::default());
        }
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let step = if let Some(behind) = rest.strip_prefix("[:]") {
                // A record is an object, so a path never starts with elements.
                rest = (!steps.is_empty()).then_some(behind)?;
                Step::Each
            } else if let Some(quoted) = rest.strip_prefix("['") {
                let (key, behind) = unquote(quoted)?;
                rest = behind;
                Step::Key(key)
            } else {
                let bare = if steps.is_empty() { rest } else { rest.strip_prefix('.')? };
                let end = bare.find(['.', '[', ']']).unwrap_or(bare.len());
                let key = bare.get(..end).filter(|key| !key.is_empty())?;
                rest = &bare[end..];
                Step::Key(key.to_owned())
            };
            steps.push(step);
        }
        (!steps.is_empty()).then_some(Self { steps })
    }

    /// The path that a column's source means: what cannot be read as a path is the name of a key of the record.
    pub fn of_source(source: &str) -> Self {
        Self::parse(source).unwrap_or_else(|| Self::of_keys([source]))
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub fn is_whole_record(&self) -> bool {
        self.steps.is_empty()
    }

    /// The keys, if the path leads through objects only and not to the whole record.
    pub fn keys(&self) -> Option<Vec<&str>> {
        let key = |step: &'_ Step| matches!(step, Step::Key(_));
        if self.steps.is_empty() || !self.steps.iter().all(key) {
            return None;
        }
        Some(self.leading_keys().collect())
    }

    /// The keys in front of the first `[:]`.
    pub fn leading_keys(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().map_while(Step::key)
    }

    /// The steps from the first `[:]` on; empty if there is none.
    pub fn into_elements(&self) -> &[Step] {
        let keys = self.leading_keys().count();
        &self.steps[keys..]
    }
}

/// The text up to the closing `']`, without its escapes, and what is behind.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' => return text[at + 1..].strip_prefix(']').map(|behind| (key, behind)),
            '\\' => key.push(letters.next().map(|(_, escaped)| escaped).filter(|it| matches!(it, '\'' | '\\'))?),
            other => key.push(other),
        }
    }
    None
}

/// Whether a key needs no quotes.
fn is_bare(key: &str) -> bool {
    let odd = |letter: char| {
        matches!(letter, '.' | '[' | ']' | '\'' | '"' | '`' | '\\') || letter.is_whitespace() || letter.is_control()
    };
    !key.is_empty() && key != WHOLE_RECORD && !key.contains(odd)
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str(WHOLE_RECORD);
        }
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Each => f.write_str("[:]")?,
                Step::Key(key) if is_bare(key) => {
                    f.write_str(if index == 0 { "" } else { "." })?;
                    f.write_str(key)?;
                }
                Step::Key(key) => {
                    f.write_str("['")?;
                    for letter in key.chars() {
                        if matches!(letter, '\'' | '\\') {
                            f.write_char('\\')?;
                        }
                        f.write_char(letter)?;
                    }
                    f.write_str("']")?;
                }
            }
        }
        Ok(())
    }
}
