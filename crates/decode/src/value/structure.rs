//! Values with parts, as JSON in one spelling: Map, Tuple, and Arrays of what is no plain value.
//!
//! Whatever a file has them in (JSON text, ClickHouse's spelling, nested Parquet columns) is a [`Piece`]. It is walked by
//! the type, not by the value: each part is judged as a cell of its type would be, nothing is left out, and nothing is
//! made up. So values that are equal have one text, whichever format they came from.

use std::borrow::Cow;
use std::collections::HashSet;

use connector_core::types::{ColumnType, TupleElement};
use serde_json::value::RawValue;

use super::text::json_string;
use super::{leaf, literal};
use crate::columns::takes_empty_text;
use crate::ndjson::json::{self, Kind};

/// A value of a file, or a part of one.
pub(crate) trait Piece: Sized {
    /// Whether an empty text is no value where it cannot be one, as in text formats.
    const EMPTY_IS_ABSENT: bool;

    fn is_null(&self) -> bool;
    /// As the cell of a CSV file would have it. `ty` has no parts.
    fn text(&self, ty: &ColumnType) -> Option<Cow<'_, [u8]>>;
    /// For a part that may be anything.
    fn json(&self) -> Option<Cow<'_, str>>;
    /// The elements of an array.
    fn items(&self) -> Option<Vec<Self>>;
    /// The keys of a map, as cells of this type, with their values.
    fn entries(&self, key: &ColumnType) -> Option<Vec<(Cow<'_, [u8]>, Self)>>;
    /// The parts of a tuple by their names.
    fn fields(&self) -> Option<Vec<(Cow<'_, str>, Self)>>;
    /// The parts of a tuple by their places.
    fn places(&self) -> Option<Vec<Self>>;
}

/// The JSON text of a cell of this type, which has parts: from JSON, or from what ClickHouse writes.
pub(crate) fn canonical<'a>(cell: &'a [u8], ty: &ColumnType, strict: bool) -> Option<Cow<'a, str>> {
    let text = std::str::from_utf8(cell).ok()?.trim_matches([' ', '\t', '\r', '\n']);
    let mut out = String::with_capacity(text.len());
    let good = match serde_json::from_str::<&RawValue>(text) {
        Ok(json) => write(&Json(json.get()), ty, false, strict, &mut out),
        Err(_) => literal::parse(text.as_bytes()).is_some_and(|value| write(&value, ty, false, strict, &mut out)),
    };
    good.then_some(Cow::Owned(out))
}

/// Adds the JSON text of a value to `out`. If it is no value of the type, it says so, and what it has added is of no use.
/// `nullable`: whether it may be NULL.
pub(crate) fn write<P: Piece>(piece: &P, ty: &ColumnType, nullable: bool, strict: bool, out: &mut String) -> bool {
    if piece.is_null() {
        return null(nullable, out);
    }
    match ty {
        ColumnType::Array { element, nullable } => match piece.items() {
            Some(items) => {
                sequence(('[', ']'), items.iter(), out, |item, out| write(item, element, *nullable, strict, out))
            }
            None => false,
        },
        ColumnType::Map { key, value, nullable } => {
            let Some(entries) = piece.entries(key) else { return false };
            let mut known = HashSet::with_capacity(entries.len());
            sequence(('{', '}'), entries.iter(), out, |(text, part), out| {
                let absent = text.is_empty() && !takes_empty_text(key);
                let Some(text) = leaf::canonical(text, key, strict).filter(|_| !absent) else { return false };
                json_string(&text, out);
                out.push(':');
                known.insert(text.into_owned()) && write(part, value, *nullable, strict, out)
            })
        }
        ColumnType::Tuple(elements) => tuple(piece, elements, strict, out),
        ColumnType::Json => piece.json().is_some_and(|json| any(&json, nullable, out)),
        plain => {
            let Some(text) = piece.text(plain) else { return false };
            if text.is_empty() && !takes_empty_text(plain) {
                return P::EMPTY_IS_ABSENT && null(nullable, out);
            }
            let Some(text) = leaf::canonical(&text, plain, strict) else { return false };
            if leaf::is_bare(&text, plain) {
                out.push_str(&text);
            } else {
                json_string(&text, out);
            }
            true
        }
    }
}

fn null(nullable: bool, out: &mut String) -> bool {
    out.push_str("null");
    nullable
}

fn sequence<T>(
    (open, close): (char, char),
    parts: impl Iterator<Item = T>,
    out: &mut String,
    mut part: impl FnMut(T, &mut String) -> bool,
) -> bool {
    out.push(open);
    for (index, found) in parts.enumerate() {
        if index > 0 {
            out.push(',');
        }
        if !part(found, out) {
            return false;
        }
    }
    out.push(close);
    true
}

/// With names an object, in the order of the type; else an array. Parts with names may stand at their places as well. A
/// name that is missing is NULL, one too many makes it another value.
fn tuple<P: Piece>(piece: &P, elements: &[TupleElement], strict: bool, out: &mut String) -> bool {
    let with_names = elements.iter().any(|element| element.name.is_some());
    let part = |found: Option<&P>, element: &TupleElement, out: &mut String| match found {
        Some(found) => write(found, &element.ty, element.nullable, strict, out),
        None => null(element.nullable, out),
    };
    let named = |(element, found): (&TupleElement, Option<&P>), out: &mut String| {
        json_string(element.name.as_deref().unwrap_or_default(), out);
        out.push(':');
        part(found, element, out)
    };
    if let Some(fields) = with_names.then(|| piece.fields()).flatten() {
        let distinct: HashSet<&str> = fields.iter().map(|(name, _)| name.as_ref()).collect();
        let known = |name: &str| elements.iter().any(|element| element.name.as_deref() == Some(name));
        if distinct.len() < fields.len() || !distinct.into_iter().all(known) {
            return false;
        }
        let find = |element: &TupleElement| {
            fields.iter().find(|(name, _)| element.name.as_deref() == Some(name)).map(|(_, found)| found)
        };
        return sequence(('{', '}'), elements.iter().map(|element| (element, find(element))), out, named);
    }
    let Some(places) = piece.places().filter(|places| places.len() == elements.len()) else { return false };
    let pairs = elements.iter().zip(places.iter().map(Some));
    if with_names {
        sequence(('{', '}'), pairs, out, named)
    } else {
        sequence(('[', ']'), pairs, out, |(element, found), out| part(found, element, out))
    }
}

/// Any JSON, without the blanks between its parts.
fn any(json: &str, nullable: bool, out: &mut String) -> bool {
    let blank = |letter: char| matches!(letter, ' ' | '\t' | '\n' | '\r');
    if json.trim_matches(blank) == "null" {
        return null(nullable, out);
    }
    let (mut in_string, mut escaped) = (false, false);
    for letter in json.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            letter if !in_string && blank(letter) => continue,
            _ => {}
        }
        out.push(letter);
    }
    true
}

/// Valid JSON without blanks around it.
struct Json<'j>(&'j str);

impl<'j> Json<'j> {
    fn members(&self) -> Option<Vec<(Cow<'j, str>, Self)>> {
        let mut members = Vec::new();
        json::members(self.0, &mut members).ok()?;
        Some(members.into_iter().map(|member| (member.key, Json(member.value))).collect())
    }
}

impl Piece for Json<'_> {
    const EMPTY_IS_ABSENT: bool = true;

    fn is_null(&self) -> bool {
        Kind::of(self.0) == Kind::Null
    }

    /// What a string says; anything else as it is written.
    fn text(&self, _: &ColumnType) -> Option<Cow<'_, [u8]>> {
        match Kind::of(self.0) {
            Kind::String => Some(match json::content(self.0).ok()? {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }),
            _ => Some(Cow::Borrowed(self.0.as_bytes())),
        }
    }

    fn json(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self.0))
    }

    fn items(&self) -> Option<Vec<Self>> {
        let mut items = Vec::new();
        json::elements(self.0, |element| items.push(Json(element))).ok()?;
        Some(items)
    }

    fn entries(&self, _: &ColumnType) -> Option<Vec<(Cow<'_, [u8]>, Self)>> {
        let bytes = |key| match key {
            Cow::Borrowed(key) => Cow::Borrowed(str::as_bytes(key)),
            Cow::Owned(key) => Cow::Owned(String::into_bytes(key)),
        };
        Some(self.members()?.into_iter().map(|(key, value)| (bytes(key), value)).collect())
    }

    fn fields(&self) -> Option<Vec<(Cow<'_, str>, Self)>> {
        self.members()
    }

    fn places(&self) -> Option<Vec<Self>> {
        self.items()
    }
}

#[cfg(test)]
#[path = "structure_tests.rs"]
mod tests;
