//! Values with parts, as JSON in one spelling: Map, Tuple, and Arrays of what is no plain value.
//!
//! Whatever a file has them in (JSON text, ClickHouse's spelling, nested Parquet columns) is a [`Piece`]. It is walked by
//! the type, not by the value: each part is judged as a cell of its type would be, nothing is left out, and nothing is
//! made up. So values that are equal have one text, whichever format they came from.

use std::borrow::Cow;
use std::collections::HashSet;

use connector_core::types::{ColumnType, TupleElement};
use serde_json::value::RawValue;

use super::misfit::Misfit;
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
    judged(cell, ty, strict).ok()
}

/// What is wrong with a text that is no value of this type, which has parts; `None` if nothing is.
pub(crate) fn misfit(text: &str, ty: &ColumnType, strict: bool) -> Option<Misfit> {
    judged(text.as_bytes(), ty, strict).err()
}

fn judged<'a>(cell: &'a [u8], ty: &ColumnType, strict: bool) -> Result<Cow<'a, str>, Misfit> {
    let text = std::str::from_utf8(cell).map_err(|_| Misfit::new("is not UTF-8"))?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let mut out = String::with_capacity(text.len());
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) => write(&Json(json.get()), ty, false, strict, &mut out)?,
        Err(_) => {
            let value = literal::parse(text.as_bytes()).ok_or_else(Misfit::unreadable)?;
            write(&value, ty, false, strict, &mut out)?;
        }
    }
    Ok(Cow::Owned(out))
}

/// Adds the JSON text of a value to `out`. If it is no value of the type, what it has added is of no use. `nullable`:
/// whether it may be NULL.
pub(crate) fn write<P: Piece>(
    piece: &P,
    ty: &ColumnType,
    nullable: bool,
    strict: bool,
    out: &mut String,
) -> Result<(), Misfit> {
    if piece.is_null() {
        return null(nullable, out);
    }
    match ty {
        ColumnType::Array { element, nullable } => {
            let items = piece.items().ok_or_else(|| Misfit::shape(ty))?;
            sequence(('[', ']'), items.iter(), out, |item, out| {
                write(item, element, *nullable, strict, out).map_err(|misfit| misfit.of("an element"))
            })
        }
        ColumnType::Map { key, value, nullable } => {
            let entries = piece.entries(key).ok_or_else(|| Misfit::shape(ty))?;
            let mut known = HashSet::with_capacity(entries.len());
            sequence(('{', '}'), entries.iter(), out, |(text, part), out| {
                let absent = text.is_empty() && !takes_empty_text(key);
                let found = leaf::canonical(text, key, strict).filter(|_| !absent);
                let found = found.ok_or_else(|| Misfit::plain(text, key).of("a key"))?;
                json_string(&found, out);
                out.push(':');
                if !known.insert(found.into_owned()) {
                    return Err(Misfit::new("is there twice").of("a key"));
                }
                write(part, value, *nullable, strict, out).map_err(|misfit| misfit.of("a value"))
            })
        }
        ColumnType::Tuple(elements) => tuple(piece, ty, elements, strict, out),
        ColumnType::Json => match piece.json() {
            Some(json) => any(&json, nullable, out),
            None => Err(Misfit::new("is not JSON")),
        },
        plain => leaf_of(piece, plain, nullable, strict, out),
    }
}

fn leaf_of<P: Piece>(piece: &P, ty: &ColumnType, nullable: bool, strict: bool, out: &mut String) -> Result<(), Misfit> {
    let text = piece.text(ty).ok_or_else(|| Misfit::plain(b"", ty))?;
    if text.is_empty() && !takes_empty_text(ty) {
        return if P::EMPTY_IS_ABSENT && nullable { null(nullable, out) } else { Err(Misfit::plain(&text, ty)) };
    }
    let found = leaf::canonical(&text, ty, strict).ok_or_else(|| Misfit::plain(&text, ty))?;
    if leaf::is_bare(&found, ty) {
        out.push_str(&found);
    } else {
        json_string(&found, out);
    }
    Ok(())
}

fn null(nullable: bool, out: &mut String) -> Result<(), Misfit> {
    out.push_str("null");
    if nullable { Ok(()) } else { Err(Misfit::null()) }
}

fn sequence<T>(
    (open, close): (char, char),
    parts: impl Iterator<Item = T>,
    out: &mut String,
    mut part: impl FnMut(T, &mut String) -> Result<(), Misfit>,
) -> Result<(), Misfit> {
    out.push(open);
    for (index, found) in parts.enumerate() {
        if index > 0 {
            out.push(',');
        }
        part(found, out)?;
    }
    out.push(close);
    Ok(())
}

/// With names an object, in the order of the type; else an array. Parts with names may stand at their places as well. A
/// name that is missing is NULL, one too many makes it another value.
fn tuple<P: Piece>(
    piece: &P,
    ty: &ColumnType,
    elements: &[TupleElement],
    strict: bool,
    out: &mut String,
) -> Result<(), Misfit> {
    let with_names = elements.iter().any(|element| element.name.is_some());
    let found = match with_names.then(|| piece.fields()).flatten() {
        Some(fields) => by_name(fields, elements)?,
        None => {
            let places = piece.places().ok_or_else(|| Misfit::shape(ty))?;
            if places.len() != elements.len() {
                return Err(Misfit::new(format!("does not have {} parts", elements.len())));
            }
            places.into_iter().map(Some).collect()
        }
    };
    let brackets = if with_names { ('{', '}') } else { ('[', ']') };
    sequence(brackets, elements.iter().zip(found).enumerate(), out, |(index, (element, found)), out| {
        if let Some(name) = &element.name {
            json_string(name, out);
            out.push(':');
        }
        let written = match found {
            Some(found) => write(&found, &element.ty, element.nullable, strict, out),
            None => null(element.nullable, out).map_err(|_| Misfit::new("is missing")),
        };
        written.map_err(|misfit| misfit.of_element(index, element))
    })
}

/// The fields in the order of the elements; `None` where there is none of the name.
fn by_name<P>(fields: Vec<(Cow<'_, str>, P)>, elements: &[TupleElement]) -> Result<Vec<Option<P>>, Misfit> {
    let mut found: Vec<Option<P>> = elements.iter().map(|_| None).collect();
    for (name, field) in fields {
        let index = elements.iter().position(|element| element.name.as_deref() == Some(name.as_ref()));
        let Some(index) = index else { return Err(Misfit::new("has a part that the type does not have")) };
        if found[index].replace(field).is_some() {
            return Err(Misfit::new("is there twice").of_element(index, &elements[index]));
        }
    }
    Ok(found)
}

/// Any JSON, without the blanks between its parts.
fn any(json: &str, nullable: bool, out: &mut String) -> Result<(), Misfit> {
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
    Ok(())
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
