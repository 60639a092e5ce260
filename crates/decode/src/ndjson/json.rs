//! Reading JSON text without turning it into values: numbers keep their digits, objects their spelling.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 128;
/// Up to this many keys are compared with each other to find one that is there twice; more are hashed.
const FEW_KEYS: usize = 12;

/// A key of an object and the JSON text of its value.
#[derive(Clone, Debug)]
pub(crate) struct Member<'j> {
    pub(crate) key: Cow<'j, str>,
    /// Without blanks around it.
    pub(crate) value: &'j str,
}

/// What a JSON text is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// Of a valid JSON text without blanks in front.
    pub(crate) fn of(json: &str) -> Self {
        match json.as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Bool,
            Some(b'n') | None => Self::Null,
            Some(_) => Self::Number,
        }
    }
}

/// Why a text is not the JSON that is asked for. In words, without the place.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(super) reason: String,
    /// Counted from 1 in the text that was read; 0 if unknown.
    pub(super) column: usize,
    /// Whether the text stops too early, which a longer one may mend.
    pub(super) incomplete: bool,
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let reason = text.strip_suffix(&place).unwrap_or(&text).to_owned();
        Self { reason, column: error.column(), incomplete: error.is_eof() }
    }
}

/// The members of a JSON object, added to `members`, in order. Nothing is added if it is unreadable.
pub(crate) fn members<'j>(json: &'j str, members: &mut Vec<Member<'j>>) -> Result<(), Unreadable> {
    let before = members.len();
    let mut reader = serde_json::Deserializer::from_str(json);
    let read = reader.deserialize_map(Members(members)).and_then(|()| reader.end());
    read.map_err(|error| {
        members.truncate(before);
        Unreadable::from(error)
    })
}

/// Calls `each` with the JSON text of every element of an array.
pub(crate) fn elements<'j>(json: &'j str, each: impl FnMut(&'j str)) -> Result<(), Unreadable> {
    let mut reader = serde_json::Deserializer::from_str(json);
    Ok(reader.deserialize_seq(Elements(each)).and_then(|()| reader.end())?)
}

/// A member whose key another one before it has, too: JSON does not say which value counts.
pub(crate) fn repeated<'m, 'j>(members: &'m [Member<'j>]) -> Option<&'m Member<'j>> {
    if members.len() <= FEW_KEYS {
        let again = |(index, member): &(usize, &Member<'_>)| members[..*index].iter().any(|m| m.key == member.key);
        return members.iter().enumerate().find(again).map(|(_, member)| member);
    }
    let mut known = std::collections::HashSet::with_capacity(members.len());
    members.iter().find(|member| !known.insert(member.key.as_ref()))
}

/// What a JSON string says, without quotes and escapes.
pub(crate) fn content(json: &str) -> Result<Cow<'_, str>, Unreadable> {
    let inside = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json);
    if !inside.as_bytes().contains(&b'\\') {
        return Ok(Cow::Borrowed(inside));
    }
    Ok(Cow::Owned(serde_json::from_str::<String>(json)?))
}

/// Whether the text nests deeper than is read. Looks at brackets outside strings only, so it may be asked of anything.
pub(super) fn is_too_deep(json: &str) -> bool {
    let opening = json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if opening <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Where a part of some bytes begins in them. Zero for what is no part of them.
pub(super) fn offset_in(whole: impl AsRef<[u8]>, part: &str) -> usize {
    let whole = whole.as_ref();
    let offset = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
    if offset <= whole.len() { offset } else { 0 }
}

struct Members<'m, 'j>(&'m mut Vec<Member<'j>>);

impl<'j> Visitor<'j> for Members<'_, 'j> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            let value: &'j RawValue = map.next_value()?;
            self.0.push(Member { key, value: value.get() });
        }
        Ok(())
    }
}

struct Elements<F>(F);

impl<'j, F: FnMut(&'j str)> Visitor<'j> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'j>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(value) = seq.next_element::<&'j RawValue>()? {
            (self.0)(value.get());
        }
        Ok(())
    }
}

/// Reads a key, without a copy where it has no escapes.
struct Key;

impl<'j> DeserializeSeed<'j> for Key {
    type Value = Cow<'j, str>;

    fn deserialize<D: serde::Deserializer<'j>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'j> Visitor<'j> for Key {
    type Value = Cow<'j, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'j str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Different values that are kept to be shown.
const EXAMPLES: usize = 3;

/// Keeps a value to be shown, if there are not enough yet.
pub(super) fn note_example(examples: &mut Vec<String>, value: &str) {
    if examples.len() < EXAMPLES {
        let shown = connector_core::quarantine::shown(value);
        if !examples.contains(&shown) {
            examples.push(shown);
        }
    }
}
