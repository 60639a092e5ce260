//! Evolution: what a file brings, held against what the table has, decided before the file is read.
//!
//! The files of a batch are planned in claim order, so that the first file that brings a column decides its type, and
//! later ones find it there.

use crate::binding::{Bound, bind};
use crate::compat::{accepts, opaque_name};
use crate::ports::{AddedColumn, ReferenceFile};
use crate::schema::{Column, Origin, TableSchema, normalise_beside};
use crate::types::ColumnType;

/// Columns of a table unless configured otherwise.
pub const DEFAULT_MAX_COLUMNS: usize = 2_000;

/// What new columns of a file do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Evolution {
    /// They are added to the table.
    #[default]
    Evolve,
    /// They are not; rows that have a value in one go to quarantine.
    Freeze,
}

/// What happens to a file that lacks a column of the declared or reference schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnMissingColumn {
    /// All its rows go to quarantine.
    #[default]
    Quarantine,
    /// The column counts as empty in each of its rows.
    Null,
}

/// What the configuration says of evolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvolutionRules {
    pub evolution: Evolution,
    pub on_missing_column: OnMissingColumn,
    pub max_columns: usize,
}

impl Default for EvolutionRules {
    fn default() -> Self {
        Self {
            evolution: Evolution::default(),
            on_missing_column: OnMissingColumn::default(),
            max_columns: DEFAULT_MAX_COLUMNS,
        }
    }
}

/// What is known of one column of a file before its rows are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileColumn {
    /// As the file spells it; for nested values the path to it.
    pub name: String,
    /// The type that keeps its values: from the footer, or from a sample. `None` if no column type does.
    pub ty: Option<ColumnType>,
    /// The type that the file itself states. `None` for text formats: there each value is judged by itself.
    pub stated: Option<arrow::datatypes::DataType>,
}

/// What is known of a file before its rows are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileShape {
    /// In the order of the file.
    pub columns: Vec<FileColumn>,
    /// False for NDJSON, whose records name their values one by one: a column that the sample does not show may be
    /// there all the same.
    pub has_header: bool,
}

impl FileShape {
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }
}

/// Why no row of a file goes into the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCause {
    /// The column's name in the table, or in the file if the table lacks it.
    pub column: String,
    /// A bounded label: `missing_column`, `incompatible_type`, `unsupported_type`, `duplicate_column` or
    /// `too_many_columns`.
    pub code: &'static str,
    pub message: String,
}

/// How one file of a batch is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlan {
    pub bound: Bound,
    /// Columns of the file that neither the table nor the reference file has and that may not be added: a row with a
    /// value in one of them goes to quarantine. Index and name.
    pub unknown: Vec<(usize, String)>,
    /// Empty: the file fits. Else all its rows go to quarantine with these errors.
    pub causes: Vec<FileCause>,
}

impl FilePlan {
    /// Whether every row goes to quarantine.
    pub fn is_rejected(&self) -> bool {
        !self.causes.is_empty()
    }
}

/// Plans the files of one batch, in claim order.
#[derive(Clone, Debug)]
pub struct Planner<'a> {
    schema: TableSchema,
    added: Vec<AddedColumn>,
    reference: Option<&'a ReferenceFile>,
    rules: EvolutionRules,
}

impl<'a> Planner<'a> {
    /// `schema`: the table's columns, with those that the data source has been given since (`added`).
    pub fn new(
        schema: TableSchema,
        added: Vec<AddedColumn>,
        reference: Option<&'a ReferenceFile>,
        rules: EvolutionRules,
    ) -> Self {
        Self { schema, added, reference, rules }
    }

    /// Plans one file. A file that fits adds its new columns; one that does not adds none.
    ///
    /// The plan binds against the columns known so far; columns that later files of the batch add are absent from this
    /// one, so that [`Planner::finish`] has to be asked for the schema, and [`Bound::widen`] brings the plan up to it.
    pub fn plan(&mut self, key: &str, shape: &FileShape) -> FilePlan {
        let names = shape.names();
        let mut bound = bind(&self.schema, &names);
        let mut causes = Vec::new();
        if shape.has_header {
            causes.extend(self.missing(&bound, &names));
            causes.extend(self.repeated(&bound, &names));
        }
        causes.extend(self.retyped(&bound, shape));
        let new: Vec<usize> = self.new_columns(&bound, &names);
        let mut unknown = Vec::new();
        match self.rules.evolution {
            Evolution::Freeze => unknown = new.iter().map(|index| (*index, names[*index].clone())).collect(),
            Evolution::Evolve if causes.is_empty() => match self.proposals(&new, shape) {
                Ok(columns) => self.add(key, &new, columns, &mut bound),
                Err(cause) => causes.push(cause),
            },
            Evolution::Evolve => {}
        }
        FilePlan { bound, unknown, causes }
    }

    /// The schema after all files, and what they added.
    pub fn finish(self) -> (TableSchema, Vec<AddedColumn>) {
        (self.schema, self.added)
    }

    fn missing(&self, bound: &Bound, names: &[String]) -> Vec<FileCause> {
        if self.rules.on_missing_column == OnMissingColumn::Null {
            return Vec::new();
        }
        let whose = self.reference.map_or(String::new(), |reference| {
            format!("; the columns of the table were decided with the file '{}'", reference.key)
        });
        let lacks = |(column, source): (&Column, &Option<usize>)| {
            let missing = source.is_none() && column.origin != Origin::Evolved && column.source != "$";
            missing.then(|| FileCause {
                column: column.name.clone(),
                code: "missing_column",
                message: format!("the file lacks column '{}'; it has {}{whose}", column.source, short_list(names)),
            })
        };
        self.schema.columns.iter().zip(&bound.sources).filter_map(lacks).collect()
    }

    /// A name that the table knows once and the file has twice: which one is meant?
    fn repeated(&self, bound: &Bound, names: &[String]) -> Vec<FileCause> {
        let cause = |(index, name): (usize, &String)| {
            let column = self.schema.columns.iter().find(|column| column.source == *name)?;
            let again = !bound.sources.contains(&Some(index));
            again.then(|| FileCause {
                column: column.name.clone(),
                code: "duplicate_column",
                message: format!("the file has more columns named '{name}' than the table; which one is meant?"),
            })
        };
        names.iter().enumerate().filter_map(cause).collect()
    }

    fn retyped(&self, bound: &Bound, shape: &FileShape) -> Vec<FileCause> {
        let cause = |(column, source): (&Column, &Option<usize>)| {
            let stated = shape.columns.get((*source)?)?.stated.as_ref()?;
            (!accepts(stated, &column.ty)).then(|| FileCause {
                column: column.name.clone(),
                code: "incompatible_type",
                message: format!(
                    "column '{}' is {} in the file, which does not go into {} without loss",
                    column.name,
                    type_name(stated),
                    column.ty
                ),
            })
        };
        self.schema.columns.iter().zip(&bound.sources).filter_map(cause).collect()
    }

    /// Columns of the file that neither the table nor the reference file has.
    fn new_columns(&self, bound: &Bound, names: &[String]) -> Vec<usize> {
        let known = |name: &String| self.reference.is_some_and(|reference| reference.has(name, names));
        (0..names.len()).filter(|index| !bound.sources.contains(&Some(*index)) && !known(&names[*index])).collect()
    }

    fn proposals(&self, new: &[usize], shape: &FileShape) -> Result<Vec<Column>, FileCause> {
        let total = self.schema.columns.len() + new.len();
        if total > self.rules.max_columns && !new.is_empty() {
            let message = format!(
                "with the file's {} new columns the table would have {total}, more than the limit of {}",
                new.len(),
                self.rules.max_columns
            );
            let column = shape.columns[new[0]].name.clone();
            return Err(FileCause { column, code: "too_many_columns", message });
        }
        let names: Vec<&str> = new.iter().map(|index| shape.columns[*index].name.as_str()).collect();
        let present: Vec<&str> = self.schema.columns.iter().map(|column| column.name.as_str()).collect();
        let taken = normalise_beside(&names, &present);
        let column = |(at, name): (usize, String)| {
            let found = &shape.columns[new[at]];
            let Some(ty) = found.ty.clone() else {
                let what = found.stated.as_ref().map_or_else(|| "of an unknown type".to_owned(), type_name);
                let message = format!("the new column '{}' is {what}, for which there is no column type", found.name);
                return Err(FileCause { column: found.name.clone(), code: "unsupported_type", message });
            };
            let nullable = !matches!(ty, ColumnType::Array { .. });
            // The second column of a name is found by its numbered name: its own name would find the first.
            let repeated = names[..at].contains(&names[at]);
            let source = if repeated { name.clone() } else { found.name.clone() };
            Ok(Column { name, source, ty, nullable, default: None, origin: Origin::Evolved })
        };
        taken.into_iter().enumerate().map(column).collect()
    }

    fn add(&mut self, key: &str, new: &[usize], columns: Vec<Column>, bound: &mut Bound) {
        for (index, column) in new.iter().zip(columns) {
            bound.sources.push(Some(*index));
            self.schema.columns.push(column.clone());
            self.added.push(AddedColumn { column, key: Some(key.to_owned()) });
        }
    }
}

/// An Arrow type as a message may show it.
pub fn type_name(found: &arrow::datatypes::DataType) -> String {
    if let Some(name) = opaque_name(found) {
        return name.to_owned();
    }
    let name: String = found.to_string().chars().take(200).collect();
    if found.is_nested() { format!("nested ({name})") } else { name }
}

fn short_list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(10).map(|name| format!("'{name}'")).collect();
    let more = names.len().saturating_sub(10);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
#[path = "evolve_tests.rs"]
mod tests;
