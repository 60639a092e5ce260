//! Which columns take which values of a record: the source paths of all columns as one tree.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use connector_core::evolve::FilePlan;
use connector_core::quarantine::shown;
use connector_core::schema::{TableSchema, normalise_names};

use super::walk;
use crate::path::{Path, Step};

/// The root: the record itself.
pub(super) const ROOT: usize = 0;

/// The tree of source paths.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    names: Names,
}

/// One place in a record: the record itself, or the value of a key.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Columns that take the value.
    pub(super) takers: Vec<Taker>,
    /// The reference file has this column, and the table deliberately does not.
    pub(super) is_ignored: bool,
    /// The file has this column and it may not be added to the table: what to say of rows with a value in it.
    pub(super) frozen: Option<Arc<str>>,
    children: Vec<(Box<str>, usize)>,
    /// From key to index in `children`.
    by_key: HashMap<Box<str>, usize>,
}

/// A column that takes a value.
#[derive(Clone, Debug)]
pub(super) struct Taker {
    pub(super) column: usize,
    /// From the first `[:]` on; empty if the column takes the value as it is.
    pub(super) into: Vec<Step>,
    /// The column keeps JSON as it is written, strings with their quotes.
    pub(super) keeps_json: bool,
}

/// What a key without a node is, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// It may be this column, spelled in another way.
    Column(usize),
    Ignored,
    Unknown,
}

/// Finds columns by names that are spelled differently, as [`connector_core::binding::bind`] does.
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<String, usize>,
    lower: HashMap<String, usize>,
    ignored: HashSet<String>,
    /// Columns that keep JSON as it is written.
    json: HashSet<usize>,
    /// Columns that are called like their source, so that what has their name is all of their value.
    whole: HashSet<usize>,
}

impl Tree {
    /// `reference`: the columns of the reference file. Those that the table lacks are ignored.
    pub(super) fn new(schema: &TableSchema, plan: &FilePlan, reference: &[String]) -> Self {
        let mut tree = Self::of_columns(schema);
        let has = |name: &&String| schema.columns.iter().any(|column| column.source == **name);
        for name in reference.iter().filter(|name| !has(name)) {
            tree.places(name).into_iter().for_each(|node| tree.nodes[node].is_ignored = true);
            tree.names.ignored.insert(name.to_lowercase());
        }
        for (_, name) in &plan.unknown {
            let message =
                format!("column '{}' is not in the table and may not be added (IMPORT_EVOLUTION freeze)", shown(name));
            let message: Arc<str> = message.into();
            tree.places(name).into_iter().for_each(|node| tree.nodes[node].frozen = Some(Arc::clone(&message)));
        }
        tree
    }

    /// The columns of a table, and nothing of any file.
    pub(super) fn of_columns(schema: &TableSchema) -> Self {
        let mut tree = Self { nodes: vec![Node::default()], names: Names::default() };
        tree.add_columns(schema);
        tree
    }

    fn add_columns(&mut self, schema: &TableSchema) {
        let paths: Vec<Path> = schema.columns.iter().map(|column| Path::of_source(&column.source)).collect();
        for (index, (column, path)) in schema.columns.iter().zip(&paths).enumerate() {
            let keeps_json = column.ty == connector_core::types::ColumnType::Json;
            if keeps_json {
                self.names.json.insert(index);
            }
            let called = normalise_names(&[column.source.as_str()]).pop().unwrap_or_default();
            if called.to_lowercase() == column.name.to_lowercase() {
                self.names.whole.insert(index);
            }
            let taker = Taker { column: index, into: path.into_elements().to_vec(), keeps_json };
            let node = self.ensure(path.leading_keys());
            self.nodes[node].takers.push(taker);
            // A key of the record that is spelled like the source wins, unless another column asks for that very key.
            let spelled = Path::of_keys([column.source.as_str()]);
            if !path.is_whole_record() && !paths.contains(&spelled) {
                let node = self.ensure(std::iter::once(column.source.as_str()));
                self.nodes[node].takers.push(Taker { column: index, into: Vec::new(), keeps_json });
            }
            if !path.is_whole_record() {
                self.names.exact.entry(column.name.clone()).or_insert(index);
                self.names.lower.entry(column.name.to_lowercase()).or_insert(index);
            }
        }
    }

    /// The places that a column name of a file may mean: the key of that name, and what the path leads to.
    fn places(&mut self, name: &str) -> Vec<usize> {
        let path = Path::of_source(name);
        if path.is_whole_record() {
            return Vec::new();
        }
        vec![self.ensure(path.leading_keys()), self.ensure(std::iter::once(name))]
    }

    fn ensure<'k>(&mut self, keys: impl Iterator<Item = &'k str>) -> usize {
        let mut at = ROOT;
        for key in keys {
            at = match self.nodes[at].by_key.get(key) {
                Some(child) => self.nodes[at].children[*child].1,
                None => {
                    let new = self.nodes.len();
                    self.nodes.push(Node::default());
                    let node = &mut self.nodes[at];
                    node.by_key.insert(key.into(), node.children.len());
                    node.children.push((key.into(), new));
                    new
                }
            };
        }
        at
    }

    pub(super) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// What a key at this path is that has no node.
    pub(super) fn unnamed(&self, path: &str) -> Unnamed {
        let normalised = normalise_names(&[path]).pop().unwrap_or_default();
        let names = &self.names;
        match names.exact.get(&normalised).or_else(|| names.lower.get(&normalised.to_lowercase())) {
            Some(column) => Unnamed::Column(*column),
            None => self.unnamed_beside(path),
        }
    }

    /// The column as a taker of a value under another spelling.
    pub(super) fn taker(&self, column: usize) -> Taker {
        Taker { column, into: Vec::new(), keeps_json: self.names.json.contains(&column) }
    }

    /// Whether an object with this meaning is a value, and not only what values are in. (A column that takes a part of
    /// an object under another name may be called like the object.)
    pub(super) fn takes_object(&self, meaning: Unnamed) -> bool {
        match meaning {
            Unnamed::Column(column) => self.names.whole.contains(&column),
            Unnamed::Ignored => true,
            Unnamed::Unknown => false,
        }
    }

    /// As [`Tree::unnamed`], if no column is free to take it.
    pub(super) fn unnamed_beside(&self, path: &str) -> Unnamed {
        if self.names.ignored.contains(&path.to_lowercase()) { Unnamed::Ignored } else { Unnamed::Unknown }
    }

    /// Whether a column takes the value that is there, or one that it is part of, if need be under another spelling.
    pub(super) fn is_covered(&self, path: &Path) -> bool {
        let keys: Vec<&str> = path.leading_keys().collect();
        let mut at = ROOT;
        let mut covered = !self.nodes[at].takers.is_empty();
        for (depth, key) in keys.iter().enumerate() {
            let Some(child) = self.nodes[at].by_key.get(*key) else {
                let mut outer = (depth + 1..keys.len()).map(|length| walk::name_of(&keys[..length]));
                return covered || outer.any(|name| self.takes_object(self.unnamed(&name)));
            };
            at = self.nodes[at].children[*child].1;
            covered |= !self.nodes[at].takers.is_empty();
        }
        covered
    }
}

impl Node {
    pub(super) fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }

    /// The child of this key. Records tend to have their keys in one order, so the child behind the last one found
    /// (`hint`) is looked at first.
    pub(super) fn child(&self, key: &str, hint: &mut usize) -> Option<usize> {
        let at = match self.children.get(*hint) {
            Some((expected, _)) if expected.as_ref() == key => *hint,
            _ => *self.by_key.get(key)?,
        };
        *hint = at + 1;
        Some(self.children[at].1)
    }
}
