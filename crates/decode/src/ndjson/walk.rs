//! One record: each of its values goes to the columns that take it, and what no column takes is named.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use connector_core::block::CellError;
use connector_core::quarantine::shown;

use super::cells::{Cells, Text};
use super::elements::{self, NoList};
use super::json::{self, Kind, Member, Unreadable};
use super::tree::{ROOT, Taker, Tree, Unnamed};
use crate::path::{Path, WHOLE_RECORD};

/// Texts that are not in the block as they are (unescaped, or put together by `[:]`) take no more than this, however many
/// columns go into the same value.
const MAX_KEPT_BYTES: usize = 1 << 30;
/// Names of which is kept what they mean: more are looked up again and again.
const MAX_KNOWN_NAMES: usize = 4_096;

/// Reads records into cells, one after the other.
pub(super) struct Walk<'t, 'b> {
    tree: &'t Tree,
    block: &'b [u8],
    cells: &'t mut Cells,
    /// All members of the objects that are open, outermost first.
    members: Vec<Member<'b>>,
    /// The keys that lead to the present value.
    path: Vec<Cow<'b, str>>,
    /// Values without a node in the tree.
    unnamed: Vec<(String, &'b str)>,
    line: &'b str,
    /// What names without a node mean.
    names: HashMap<String, Unnamed>,
}

/// What is wrong with a record.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It could not be taken apart.
    Unread(CellError),
    /// It has values that have no place.
    Errors(Vec<CellError>),
}

/// A record that cannot be taken apart.
struct Broken(String);

impl<'t, 'b> Walk<'t, 'b> {
    /// `block`: what all lines are parts of.
    pub(super) fn new(tree: &'t Tree, block: &'b [u8], cells: &'t mut Cells) -> Self {
        let (members, path, unnamed) = (Vec::new(), Vec::new(), Vec::new());
        Self { tree, block, cells, members, path, unnamed, line: "", names: HashMap::new() }
    }

    /// Reads the next row out of this record.
    pub(super) fn record(&mut self, record: &'b [u8]) -> Result<(), Wrong> {
        self.cells.next_row();
        self.members.clear();
        self.path.clear();
        self.unnamed.clear();
        let mut errors = Vec::new();
        let read = match std::str::from_utf8(record) {
            Ok(line) => {
                self.line = line;
                self.whole(&mut errors)
            }
            Err(error) => Err(not_an_object("it has bytes that are not utf-8", error.valid_up_to() + 1)),
        };
        if let Err(Broken(message)) = read {
            return Err(Wrong::Unread(CellError::of_record(message)));
        }
        self.place_unnamed(&mut errors);
        if errors.is_empty() { Ok(()) } else { Err(Wrong::Errors(errors)) }
    }

    fn whole(&mut self, errors: &mut Vec<CellError>) -> Result<(), Broken> {
        let json = self.line.trim_matches([' ', '\t', '\r']);
        if !json.starts_with('{') {
            let first = match json.chars().next() {
                Some('"') | None => "\"".to_owned(),
                Some(first) => first.escape_debug().to_string(),
            };
            return Err(not_an_object(&format!("it begins with '{first}'"), json::offset_in(self.line, json) + 1));
        }
        if json::is_too_deep(json) {
            return Err(not_an_object("it nests deeper than 128 levels", json::offset_in(self.line, json) + 1));
        }
        let tree = self.tree;
        for taker in &tree.node(ROOT).takers {
            self.take(taker, json, errors)?;
        }
        let covered = !tree.node(ROOT).takers.is_empty();
        self.object(ROOT, json, covered, errors)
    }

    /// `covered`: a column takes the object as a whole, or it is ignored, so keys without a node are no news.
    fn object(&mut self, node: usize, json: &'b str, covered: bool, errors: &mut Vec<CellError>) -> Result<(), Broken> {
        let tree = self.tree;
        let first = self.open(json)?;
        let mut hint = 0;
        for index in first..self.members.len() {
            let value = self.members[index].value;
            match tree.node(node).child(&self.members[index].key, &mut hint) {
                None if covered && node != ROOT => {}
                child => {
                    self.path.push(std::mem::take(&mut self.members[index].key));
                    match child {
                        Some(child) => self.value(child, value, covered, errors)?,
                        // It may still be a column in another spelling, beside the one that takes the record.
                        None if covered && value == "null" => {}
                        None if covered => self.unnamed.push((name_of(&self.path), value)),
                        None => self.note_unnamed(value)?,
                    }
                    self.path.pop();
                }
            }
        }
        self.members.truncate(first);
        Ok(())
    }

    /// Adds the members of an object to the open ones: the index of the first.
    fn open(&mut self, json: &'b str) -> Result<usize, Broken> {
        let first = self.members.len();
        json::members(json, &mut self.members).map_err(|error| self.unreadable(json, &error))?;
        match json::repeated(&self.members[first..]) {
            None => Ok(first),
            Some(member) => {
                let reason = format!("it has the key '{}' more than once", shown(&member.key));
                Err(not_an_object(&reason, json::offset_in(self.line, member.value) + 1))
            }
        }
    }

    fn value(&mut self, node: usize, json: &'b str, covered: bool, errors: &mut Vec<CellError>) -> Result<(), Broken> {
        let kind = Kind::of(json);
        if kind == Kind::Null {
            return Ok(());
        }
        let tree = self.tree;
        let here = tree.node(node);
        for taker in &here.takers {
            self.take(taker, json, errors)?;
        }
        let mut covered = covered || here.is_ignored || !here.takers.is_empty();
        // An object whose keys are columns is one in spite of other records, where the value itself would be one.
        let holds_columns = kind == Kind::Object && !here.is_leaf();
        if let Some(message) = here.frozen.as_ref().filter(|_| here.takers.is_empty() && !holds_columns) {
            errors.push(CellError::of_record(Arc::clone(message)));
            covered = true;
        }
        match kind {
            Kind::Object if holds_columns || !covered => self.object(node, json, covered, errors),
            _ if covered => Ok(()),
            _ => self.note_unnamed(json),
        }
    }

    /// Gives a value, which is not `null`, to a column.
    fn take(&mut self, taker: &Taker, json: &'b str, errors: &mut Vec<CellError>) -> Result<(), Broken> {
        let column = taker.column;
        if self.cells.has(column) {
            let message = "the record has more than one value for this column, nested and as a key with dots";
            errors.push(of_column(column, message));
            return Ok(());
        }
        let before = self.cells.kept();
        let text = if !taker.into.is_empty() {
            match elements::collect(json, &taker.into, self.cells.keeping()) {
                Ok(()) => self.cells.kept_since(before),
                Err(error) => {
                    self.cells.forget_since(before);
                    return self.no_list(column, json, error, errors);
                }
            }
        } else if Kind::of(json) == Kind::String && !taker.keeps_json {
            match json::content(json).map_err(|error| self.unreadable(json, &error))? {
                Cow::Borrowed(text) => self.text_of(text),
                Cow::Owned(text) => self.cells.keep(text.as_bytes()),
            }
        } else {
            self.text_of(json)
        };
        if self.cells.kept() <= MAX_KEPT_BYTES {
            self.cells.set(column, text);
        } else {
            self.cells.forget_since(before);
            errors.push(of_column(column, "the texts of the records around this one are too long"));
        }
        Ok(())
    }

    fn no_list(&self, column: usize, json: &'b str, error: NoList, errors: &mut Vec<CellError>) -> Result<(), Broken> {
        let reason = match error {
            NoList::Shape { wanted } => {
                let found = shown(json);
                let message = format!("the record has no list for this column: where {wanted} should be is '{found}'");
                errors.push(of_column(column, &message));
                return Ok(());
            }
            NoList::Unreadable(error) => error.reason,
            NoList::RepeatedKey(key) => format!("it has the key '{}' more than once", shown(&key)),
        };
        Err(not_an_object(&reason, json::offset_in(self.line, json) + 1))
    }

    /// Notes the value of the present path, which has no node: an object as a whole if it may be a column in another
    /// spelling, else every value in it.
    fn note_unnamed(&mut self, json: &'b str) -> Result<(), Broken> {
        let kind = Kind::of(json);
        let name = if kind == Kind::Null { String::new() } else { name_of(&self.path) };
        match kind {
            Kind::Null => {}
            Kind::Object if !self.is_object_of_column(&name) => {
                let first = self.open(json)?;
                for index in first..self.members.len() {
                    self.path.push(std::mem::take(&mut self.members[index].key));
                    self.note_unnamed(self.members[index].value)?;
                    self.path.pop();
                }
                self.members.truncate(first);
            }
            _ => self.unnamed.push((name, json)),
        }
        Ok(())
    }

    /// What has no node may be a column in another spelling; else it is ignored, or has no place.
    fn place_unnamed(&mut self, errors: &mut Vec<CellError>) {
        let covered = !self.tree.node(ROOT).takers.is_empty();
        for (name, json) in std::mem::take(&mut self.unnamed) {
            let meant = match self.meaning(&name) {
                Unnamed::Column(column) if self.cells.has(column) => self.tree.unnamed_beside(&name),
                meant => meant,
            };
            match meant {
                Unnamed::Ignored => {}
                Unnamed::Unknown if covered => {}
                Unnamed::Column(column) => {
                    if let Err(Broken(message)) = self.take(&self.tree.taker(column), json, errors) {
                        errors.push(CellError::of_record(message));
                    }
                }
                Unnamed::Unknown => {
                    let shown = shown(&name);
                    let message = format!("column '{shown}' is not in the table: it was not in the sample of the file");
                    errors.push(CellError::of_record(message));
                }
            }
        }
    }

    fn is_object_of_column(&mut self, name: &str) -> bool {
        let meaning = self.meaning(name);
        self.tree.takes_object(meaning)
    }

    fn meaning(&mut self, name: &str) -> Unnamed {
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        let meaning = self.tree.unnamed(name);
        if self.names.len() < MAX_KNOWN_NAMES {
            self.names.insert(name.to_owned(), meaning);
        }
        meaning
    }

    fn text_of(&self, part: &str) -> Text {
        let start = json::offset_in(self.block, part);
        Text::in_block(start, start + part.len())
    }

    /// `error`: of reading `part`, which is part of the line.
    fn unreadable(&self, part: &str, error: &Unreadable) -> Broken {
        not_an_object(&error.reason, json::offset_in(self.line, part) + error.column.max(1))
    }
}

fn not_an_object(reason: &str, column: usize) -> Broken {
    Broken(format!("the record is not a JSON object: {reason} at column {column}"))
}

fn of_column(column: usize, message: &str) -> CellError {
    CellError { cause: connector_core::block::Cause::Text(message.into()), ..CellError::not_of_type(column) }
}

/// How a file's column is called whose values these keys lead to.
pub(super) fn name_of<K: AsRef<str>>(keys: &[K]) -> String {
    match keys {
        [only] if !only.as_ref().is_empty() && only.as_ref() != WHOLE_RECORD => only.as_ref().to_owned(),
        keys => Path::of_keys(keys.iter().map(AsRef::as_ref)).to_string(),
    }
}
