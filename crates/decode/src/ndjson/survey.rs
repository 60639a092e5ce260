//! What the values of a sample have been, key by key.

use std::collections::HashMap;

use super::json::{self, Kind, Member};
use super::observed::Scalars;

/// All records of a sample.
#[derive(Debug, Default)]
pub(super) struct Survey {
    root: Place,
    /// How many records were readable.
    pub(super) records: u64,
    /// How many places are known, to tell which came first.
    places: u64,
}

/// The values of one key.
#[derive(Debug, Default)]
pub(super) struct Place {
    key: String,
    /// Its number among all keys, in order of appearance.
    first: u64,
    children: Vec<Place>,
    by_key: HashMap<String, usize>,
    pub(super) objects: u64,
    pub(super) arrays: u64,
    /// Values that are neither.
    pub(super) scalars: Scalars,
    /// Of all arrays.
    pub(super) elements: Scalars,
    /// Elements that are objects or arrays.
    pub(super) nested_elements: u64,
    /// Texts of the first arrays and objects.
    pub(super) examples: Vec<String>,
}

/// A column of the file: a place whose values are not flattened any further.
#[derive(Debug)]
pub(super) struct Leaf<'s> {
    pub(super) keys: Vec<&'s str>,
    pub(super) place: &'s Place,
}

impl Survey {
    /// Notes the values of a record. One that is no JSON object, has a key twice, or nests too deep, tells nothing.
    pub(super) fn note(&mut self, record: &str) -> Result<(), json::Unreadable> {
        let refused = |reason: &str| json::Unreadable { reason: reason.to_owned(), column: 1, incomplete: false };
        let record = record.trim_matches([' ', '\t', '\r']);
        if !record.starts_with('{') {
            return Err(refused("it does not begin with '{'"));
        }
        if json::is_too_deep(record) {
            return Err(refused("it nests too deep"));
        }
        let mut members = Vec::new();
        json::members(record, &mut members)?;
        if json::repeated(&members).is_some() {
            return Err(refused("it has a key twice"));
        }
        self.records += 1;
        self.root.objects += 1;
        let places = &mut self.places;
        members.iter().for_each(|member| self.root.note_member(member, places));
        Ok(())
    }

    /// All columns, in order of appearance of their keys.
    pub(super) fn leaves(&self) -> Vec<Leaf<'_>> {
        let mut leaves = Vec::new();
        self.root.add_leaves(&mut Vec::new(), &mut leaves);
        leaves.sort_by_key(|leaf| leaf.place.first);
        leaves
    }
}

impl Place {
    fn note_member(&mut self, member: &Member<'_>, places: &mut u64) {
        let index = match self.by_key.get(member.key.as_ref()) {
            Some(index) => *index,
            None => {
                *places += 1;
                let key = member.key.to_string();
                self.by_key.insert(key.clone(), self.children.len());
                self.children.push(Place { key, first: *places, ..Place::default() });
                self.children.len() - 1
            }
        };
        self.children[index].note(member.value, places);
    }

    fn note(&mut self, value: &str, places: &mut u64) {
        match Kind::of(value) {
            Kind::Object => {
                self.objects += 1;
                json::note_example(&mut self.examples, value);
                let mut members = Vec::new();
                // The record around it has been read, so this can be read, too.
                if json::members(value, &mut members).is_ok() {
                    members.iter().for_each(|member| self.note_member(member, places));
                }
            }
            Kind::Array => {
                self.arrays += 1;
                json::note_example(&mut self.examples, value);
                let (elements, nested) = (&mut self.elements, &mut self.nested_elements);
                let read = json::elements(value, |element| match Kind::of(element) {
                    Kind::Object | Kind::Array => *nested += 1,
                    kind => elements.note(kind, element),
                });
                debug_assert!(read.is_ok(), "the record around it has been read");
            }
            kind => self.scalars.note(kind, value),
        }
    }

    /// Whether it is seen as objects only, so that its keys are columns.
    fn is_flattened(&self) -> bool {
        self.objects > 0 && self.arrays == 0 && self.scalars.values() == 0
    }

    fn add_leaves<'s>(&'s self, keys: &mut Vec<&'s str>, leaves: &mut Vec<Leaf<'s>>) {
        for child in &self.children {
            keys.push(&child.key);
            if child.is_flattened() {
                child.add_leaves(keys, leaves);
            } else {
                leaves.push(Leaf { keys: keys.clone(), place: child });
            }
            keys.pop();
        }
    }
}
