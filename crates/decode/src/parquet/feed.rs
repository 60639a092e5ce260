//! Where the values of a table column are in a file: a top-level column, or a field somewhere in a struct.

use ::parquet::arrow::ProjectionMask;
use ::parquet::schema::types::SchemaDescriptor;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::nullif;
use arrow::datatypes::DataType;
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
use crate::path::Path;

/// The way to a column of a file: which top-level column, and which field of which field of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) root: usize,
    fields: Vec<usize>,
}

impl Place {
    pub(super) fn of_root(root: usize) -> Self {
        Self { root, fields: Vec::new() }
    }

    /// The field that a source such as `a.b` leads to. `None` if it is no such path, or leads nowhere in this file, or
    /// to one of two fields of the same name.
    pub(super) fn of_source(nodes: &[Node], source: &str) -> Option<Self> {
        let path = Path::of_source(source);
        let keys = path.keys().filter(|keys| keys.len() > 1)?;
        let only = |nodes: &[Node], key: &str| {
            let mut found = nodes.iter().enumerate().filter(|(_, node)| node.name == key).map(|(index, _)| index);
            found.next().filter(|_| found.next().is_none())
        };
        let root = only(nodes, keys[0])?;
        let mut node = &nodes[root];
        let mut fields = Vec::new();
        for key in &keys[1..] {
            let index = only(&node.children, key).filter(|_| matches!(node.stated, DataType::Struct(_)))?;
            fields.push(index);
            node = &node.children[index];
        }
        Some(Self { root, fields })
    }

    /// The column itself.
    pub(super) fn node<'n>(&self, nodes: &'n [Node]) -> Option<&'n Node> {
        self.fields.iter().try_fold(nodes.get(self.root)?, |node, index| node.children.get(*index))
    }

    fn walk(&self, batch: &RecordBatch, position: usize) -> Option<ArrayRef> {
        let mut array = ArrayRef::clone(batch.columns().get(position)?);
        for index in &self.fields {
            let outer = array.as_struct_opt()?;
            let inner = outer.columns().get(*index)?;
            array = match outer.nulls() {
                None => ArrayRef::clone(inner),
                // Where there is no struct, there is no field either.
                Some(nulls) => nullif(inner, &absent(nulls)).ok()?,
            };
        }
        Some(array)
    }
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
        let node = place.node(nodes)?.clone();
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
