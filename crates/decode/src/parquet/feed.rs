//! Where the values of a table column are in a file: a top-level column, a field somewhere in a struct, or a field of
//! each element of a list.

use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::schema::types::SchemaDescriptor;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field};
use connector_core::block::no_texts;
use connector_core::compat;
use connector_core::error::Failure;
use connector_core::schema::Column;

use super::convert::{self, Conversion};
use super::corrupt;
use super::spell;
use super::tree::Node;
use super::values::Values;
use crate::columns::Built;
use crate::error::DecodeError;
use crate::path::{Path, Step};

/// The way to a column of a file: which top-level column, which field of which field of it, and if that is a list,
/// which field of which field of each of its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) root: usize,
    fields: Vec<usize>,
    /// From the elements of the list on; `None` if the column is not what its elements hold.
    inside: Option<Vec<usize>>,
}

impl Place {
    pub(super) fn of_root(root: usize) -> Self {
        Self { root, fields: Vec::new(), inside: None }
    }

    /// The field that a source such as `a.b` or `lines[:].sku` leads to. `None` if it is no such path, or leads nowhere
    /// in this file, or to one of two fields of the same name.
    pub(super) fn of_source(nodes: &[Node], source: &str) -> Option<Self> {
        let path = Path::of_source(source);
        let keys: Vec<&str> = path.leading_keys().collect();
        let (first, keys) = keys.split_first()?;
        let behind = path.into_elements();
        if keys.is_empty() && behind.is_empty() {
            return None;
        }
        let root = only(nodes, first)?;
        let (list, fields) = descend(&nodes[root], keys.iter().copied())?;
        let inside = match behind.split_first() {
            None => None,
            Some((_, steps)) => {
                let keys: Option<Vec<&str>> = steps.iter().map(Step::key).collect();
                let element = list.children.first().filter(|_| matches!(list.stated, DataType::List(_)))?;
                Some(descend(element, keys?.into_iter())?.1)
            }
        };
        Some(Self { root, fields, inside })
    }

    /// The column itself.
    pub(super) fn node(&self, nodes: &[Node]) -> Option<Node> {
        let (node, _) = follow(nodes.get(self.root)?, &self.fields)?;
        let Some(inside) = &self.inside else { return Some(node.clone()) };
        let (inner, nullable) = follow(node.children.first()?, inside)?;
        let element = Node { nullable, ..inner.clone() };
        let stated = DataType::List(Arc::new(Field::new("element", element.stated.clone(), nullable)));
        Some(Node { stated, children: vec![element], ..node.clone() })
    }

    fn walk(&self, batch: &RecordBatch, position: usize) -> Option<ArrayRef> {
        let reached = field_of(batch.columns().get(position)?, &self.fields)?;
        let Some(inside) = &self.inside else { return Some(reached) };
        let lists = reached.as_list_opt::<i32>()?;
        let values = field_of(lists.values(), inside)?;
        let field = Arc::new(Field::new("element", values.data_type().clone(), true));
        let lists = ListArray::try_new(field, lists.offsets().clone(), values, lists.nulls().cloned());
        Some(Arc::new(lists.ok()?))
    }
}

/// The only one of this name.
fn only(nodes: &[Node], key: &str) -> Option<usize> {
    let mut found = nodes.iter().enumerate().filter(|(_, node)| node.name == key).map(|(index, _)| index);
    found.next().filter(|_| found.next().is_none())
}

/// The field of a field that these names lead to, and the way there.
fn descend<'n, 'k>(mut node: &'n Node, keys: impl Iterator<Item = &'k str>) -> Option<(&'n Node, Vec<usize>)> {
    let mut fields = Vec::new();
    for key in keys {
        let index = only(&node.children, key).filter(|_| matches!(node.stated, DataType::Struct(_)))?;
        fields.push(index);
        node = &node.children[index];
    }
    Some((node, fields))
}

/// The field of a field, and whether it or what it is in may be NULL.
fn follow<'n>(node: &'n Node, fields: &[usize]) -> Option<(&'n Node, bool)> {
    fields.iter().try_fold((node, node.nullable), |(node, nullable), index| {
        let field = node.children.get(*index)?;
        Some((field, nullable || field.nullable))
    })
}

/// The values of a field of a field: where there is no struct, there is no field either.
fn field_of(array: &ArrayRef, fields: &[usize]) -> Option<ArrayRef> {
    fields.iter().try_fold(ArrayRef::clone(array), |array, index| {
        let outer = array.as_struct_opt()?;
        let inner = outer.columns().get(*index)?;
        match outer.nulls() {
            None => Some(ArrayRef::clone(inner)),
            Some(nulls) => nullif(inner, &absent(nulls)).ok(),
        }
    })
}

fn absent(nulls: &NullBuffer) -> BooleanArray {
    BooleanArray::new(!nulls.inner(), None)
}

/// One column that is read, and what becomes of it.
pub(super) struct Feed {
    place: Place,
    node: Node,
    /// Index into the batches of the reader; `None` if the column is not read at all.
    position: Option<usize>,
    /// Index into the batches with INT96 in seconds.
    seconds: Option<usize>,
    conversion: Option<Conversion>,
}

/// The arrays of one batch for one [`Feed`].
pub(super) struct Read {
    array: ArrayRef,
    seconds: Option<ArrayRef>,
}

impl Feed {
    /// `column`: what the values are to become; `None` if only whether there are any is asked.
    pub(super) fn new(nodes: &[Node], place: Place, column: Option<&Column>) -> Option<Self> {
        let node = place.node(nodes)?;
        let conversion = column.and_then(|column| convert::plan(&node.stated, &column.ty));
        Some(Self { place, node, position: None, seconds: None, conversion })
    }

    pub(super) fn root(&self) -> usize {
        self.place.root
    }

    /// Whether its values can be shown as text.
    pub(super) fn has_text(&self) -> bool {
        compat::opaque_name(&self.node.stated).is_none()
    }

    /// The failure of a column that does not go where it should, if it does not.
    pub(super) fn refusal(&self, column: &Column) -> Option<DecodeError> {
        if self.conversion.is_some() {
            return None;
        }
        let found = connector_core::evolve::type_name(&self.node.stated);
        let name = column.name.clone();
        Some(match compat::opaque_name(&self.node.stated) {
            Some(_) => DecodeError::UnsupportedType { column: name, found },
            None => DecodeError::IncompatibleType { column: name, found, wanted: column.ty.to_string() },
        })
    }

    /// Notes where the column is among the top-level ones that are read (ascending), and among those read twice.
    pub(super) fn locate(&mut self, roots: &[usize], twice: &[usize]) {
        self.position = roots.binary_search(&self.place.root).ok();
        self.seconds = twice.binary_search(&self.place.root).ok();
    }

    pub(super) fn read(&self, batch: &RecordBatch, seconds: Option<&RecordBatch>) -> Result<Option<Read>, Failure> {
        let Some(position) = self.position else { return Ok(None) };
        let array = self.place.walk(batch, position).ok_or_else(|| corrupt("a column is missing"))?;
        let seconds = match self.seconds {
            None => None,
            Some(position) => {
                let twice = seconds.and_then(|seconds| self.place.walk(seconds, position));
                let twice = twice.filter(|twice| twice.len() == array.len());
                Some(twice.ok_or_else(|| corrupt("an int96 column changes while it is read"))?)
            }
        };
        Ok(Some(Read { array, seconds }))
    }

    fn values<'a>(&'a self, read: &'a Read) -> Values<'a> {
        Values { node: &self.node, array: &read.array, seconds: read.seconds.as_ref() }
    }

    /// The values of the table column.
    pub(super) fn built(&self, read: &Read, column: &Column) -> Result<Built, Failure> {
        let Some(conversion) = &self.conversion else {
            let reason = format!("column '{}' has no conversion", column.name);
            return Err(DecodeError::Internal { reason }.into());
        };
        convert::convert(&self.values(read), column, conversion).map_err(corrupt)
    }

    /// The texts of these rows.
    pub(super) fn texts(&self, read: &Read, rows: &[u32]) -> StringArray {
        if self.has_text() { spell::texts(&self.values(read), rows) } else { no_texts(rows.len()) }
    }

    /// The rows that hold a value.
    pub(super) fn present(&self, read: &Read) -> Vec<usize> {
        let values = self.values(read);
        (0..values.len()).filter(|row| !values.is_null(*row)).collect()
    }
}

/// These top-level columns, ascending and once each.
pub(super) fn sorted(roots: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut sorted: Vec<usize> = roots.collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

pub(super) fn mask(schema: &SchemaDescriptor, roots: &[usize]) -> ProjectionMask {
    ProjectionMask::roots(schema, roots.iter().copied())
}
