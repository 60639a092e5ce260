//! Evolution: what a file brings, held against what the table has, decided before the file is read.
//!
//! The files of a batch are planned in claim order, so that the first file that brings a column decides its type, and
//! later ones find it there.

use std::collections::{HashMap, HashSet};

use crate::binding::{Bound, bind};
use crate::compat::{accepts, opaque_name};
use crate::ports::{AddedColumn, ReferenceFile};
use crate::quarantine::shown;
use crate::schema::{Column, Origin, TableSchema, normalise_beside};
use crate::types::ColumnType;

/// Columns of a table unless configured otherwise.
pub const DEFAULT_MAX_COLUMNS: usize = 2_000;
/// The longest name that a file may bring for a column, in characters.
const MAX_NAME_CHARS: usize = 255;
/// Names of a file that a message shows.
const SHOWN_NAMES: usize = 10;

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
    /// The column's name in the table, or in the file (as [`shown`]) if the table lacks it; empty if it is no matter of
    /// one column.
    pub column: String,
    /// A bounded label: `no_common_column`, `missing_column`, `incompatible_type`, `unsupported_type`,
    /// `duplicate_column`, `bad_column_name` or `too_many_columns`.
    pub code: &'static str,
    /// Short, and the same for all files with this cause, because each row of the file gets it.
    pub message: String,
}

/// How one file of a batch is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FilePlan {
    pub bound: Bound,
    /// Columns of the file that neither the table nor the reference file has and that may not be added: a row with a
    /// value in one of them goes to quarantine. Index and name.
    pub unknown: Vec<(usize, String)>,
    /// Empty: the file fits. Else all its rows go to quarantine with these errors.
    pub causes: Vec<FileCause>,
    /// What the file has, by which file the table's columns were decided, and what to do: told once for the file, beside
    /// its causes. Empty without causes.
    pub context: String,
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
        if shape.has_header && !self.schema.columns.is_empty() && !names.is_empty() && is_strange(&bound) {
            return self.strange(bound, shape, &names);
        }
        let mut causes = Vec::new();
        if shape.has_header {
            causes.extend(self.missing(&bound));
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
        let context = self.context(&causes, &names);
        FilePlan { bound, unknown, causes, context }
    }

    /// A file without any column of the table is another kind of file, or has no header: then what was taken for its
    /// names are values of its first record. It brings nothing, whatever may be absent.
    fn strange(&self, bound: Bound, shape: &FileShape, names: &[String]) -> FilePlan {
        let message = "the file has none of the table's columns".to_owned();
        let causes = vec![FileCause { column: String::new(), code: "no_common_column", message }];
        let wanted: Vec<&str> = self.schema.columns.iter().map(|column| column.source.as_str()).collect();
        let mut context = format!("the file has {}, the table {}", short_list(names), short_list(&wanted));
        if shape.columns.iter().all(|column| column.stated.is_none()) {
            context.push_str("; if the file has no header, set IMPORT_CSV_HEADER false");
        }
        FilePlan { bound, unknown: Vec::new(), causes, context }
    }

    /// The schema after all files, and what they added.
    pub fn finish(self) -> (TableSchema, Vec<AddedColumn>) {
        (self.schema, self.added)
    }

    fn missing(&self, bound: &Bound) -> Vec<FileCause> {
        if self.rules.on_missing_column == OnMissingColumn::Null {
            return Vec::new();
        }
        let lacks = |(column, source): (&Column, &Option<usize>)| {
            let missing = source.is_none() && column.origin != Origin::Evolved && column.source != "$";
            missing.then(|| FileCause {
                column: column.name.clone(),
                code: "missing_column",
                message: format!("the file lacks column '{}'", shown(&column.source)),
            })
        };
        self.schema.columns.iter().zip(&bound.sources).filter_map(lacks).collect()
    }

    /// A name that the table knows once and the file has twice, or the other way round: which one is meant?
    fn repeated(&self, bound: &Bound, names: &[String]) -> Vec<FileCause> {
        let mut feeds: Vec<Option<&Column>> = vec![None; names.len()];
        let fed = self.schema.columns.iter().zip(&bound.sources);
        fed.for_each(|(column, source)| source.iter().for_each(|index| feeds[*index] = Some(column)));
        let reference = self.reference.iter().flat_map(|reference| &reference.columns);
        let reference: HashSet<&str> = reference.map(String::as_str).collect();
        let mut first: HashMap<&str, usize> = HashMap::new();
        let mut causes = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let before = *first.entry(name).or_insert(index);
            let Some(of_first) = feeds[before].filter(|_| before != index) else { continue };
            let (column, than) = match feeds[index] {
                None => (of_first, "than the table".to_owned()),
                // Here `name_2` is no number of ours, but a name.
                Some(column) if column.source != *name && reference.contains(column.source.as_str()) => {
                    (column, format!("and none named '{}'", shown(&column.source)))
                }
                Some(_) => continue,
            };
            let message = format!("the file has more columns named '{}' {than}; which one is meant?", shown(name));
            causes.push(FileCause { column: column.name.clone(), code: "duplicate_column", message });
        }
        causes
    }

    fn retyped(&self, bound: &Bound, shape: &FileShape) -> Vec<FileCause> {
        let cause = |(column, source): (&Column, &Option<usize>)| {
            let stated = shape.columns.get((*source)?)?.stated.as_ref()?;
            (!accepts(stated, &column.ty)).then(|| FileCause {
                column: column.name.clone(),
                code: "incompatible_type",
                message: format!(
                    "column '{}' is {} in the file and {} in the table, and the one does not go into the other",
                    shown(&column.name),
                    type_name(stated),
                    column.ty
                ),
            })
        };
        self.schema.columns.iter().zip(&bound.sources).filter_map(cause).collect()
    }

    /// What is to be told once of a file with these causes.
    fn context(&self, causes: &[FileCause], names: &[String]) -> String {
        if causes.is_empty() {
            return String::new();
        }
        let mut context = format!("the file has {}", short_list(names));
        let concerned: HashSet<&str> = causes.iter().map(|cause| cause.column.as_str()).collect();
        let inferred = |column: &Column| column.origin == Origin::Inferred && concerned.contains(column.name.as_str());
        if let Some(reference) = self.reference.filter(|_| self.schema.columns.iter().any(inferred)) {
            let table = "; it is held against the table, whose columns were decided with the file";
            context.push_str(&format!("{table} '{}'", reference.key));
        }
        if causes.iter().any(|cause| cause.code == "missing_column") {
            context.push_str("; IMPORT_ON_MISSING_COLUMN null lets files lack it");
        }
        context
    }

    /// Columns of the file that neither the table nor the reference file has.
    fn new_columns(&self, bound: &Bound, names: &[String]) -> Vec<usize> {
        let feeds = bound.feeds();
        let known = self.reference.map_or_else(|| vec![false; names.len()], |reference| reference.has(names));
        (0..names.len()).filter(|index| !feeds[*index] && !known[*index]).collect()
    }

    fn proposals(&self, new: &[usize], shape: &FileShape) -> Result<Vec<Column>, FileCause> {
        let refused = |found: &FileColumn, code, message| FileCause { column: shown(&found.name), code, message };
        let total = self.schema.columns.len() + new.len();
        if total > self.rules.max_columns && !new.is_empty() {
            let message = format!(
                "with the file's {} new columns the table would have {total}, more than the limit of {}",
                new.len(),
                self.rules.max_columns
            );
            return Err(refused(&shape.columns[new[0]], "too_many_columns", message));
        }
        let names: Vec<&str> = new.iter().map(|index| shape.columns[*index].name.as_str()).collect();
        let present: Vec<&str> = self.schema.columns.iter().map(|column| column.name.as_str()).collect();
        let taken = normalise_beside(&names, &present);
        let column = |(name, index): (String, &usize)| {
            let found = &shape.columns[*index];
            let told = shown(&found.name);
            let length = found.name.chars().count().max(name.chars().count());
            if length > MAX_NAME_CHARS {
                let message = format!(
                    "the name of the new column '{told}' has {length} characters, more than the limit of \
                     {MAX_NAME_CHARS}"
                );
                return Err(refused(found, "bad_column_name", message));
            }
            let Some(ty) = found.ty.clone() else {
                let what = found.stated.as_ref().map_or_else(|| "of an unknown type".to_owned(), type_name);
                let message = format!("the new column '{told}' is {what}, for which there is no column type");
                return Err(refused(found, "unsupported_type", message));
            };
            let nullable = ty.takes_null();
            // The second column of a name keeps that name, too: it takes the second one of later files.
            let source = found.name.clone();
            Ok(Column { name, source, ty, nullable, default: None, origin: Origin::Evolved })
        };
        taken.into_iter().zip(new).map(column).collect()
    }

    fn add(&mut self, key: &str, new: &[usize], columns: Vec<Column>, bound: &mut Bound) {
        for (index, column) in new.iter().zip(columns) {
            bound.sources.push(Some(*index));
            self.schema.columns.push(column.clone());
            self.added.push(AddedColumn { column, key: Some(key.to_owned()) });
        }
    }
}

/// An Arrow type as a message may show it. Nested types have names of the file in them.
pub fn type_name(found: &arrow::datatypes::DataType) -> String {
    let name = opaque_name(found).map_or_else(|| found.to_string(), str::to_owned);
    if found.is_nested() && opaque_name(found).is_none() { format!("nested ({})", shown(&name)) } else { shown(&name) }
}

/// Whether no column of the file feeds one of the table.
fn is_strange(bound: &Bound) -> bool {
    bound.sources.iter().all(Option::is_none)
}

fn short_list<S: AsRef<str>>(names: &[S]) -> String {
    if names.is_empty() {
        return "no columns".to_owned();
    }
    let listed: Vec<String> =
        names.iter().take(SHOWN_NAMES).map(|name| format!("'{}'", shown(name.as_ref()))).collect();
    let more = names.len().saturating_sub(SHOWN_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", listed.join(", "))
}

#[cfg(test)]
#[path = "evolve_tests.rs"]
mod tests;
