//! Binding: which column of a file feeds which column of the table.
//!
//! A file column that feeds the wrong table column is the worst that can happen to a row, worse than a file that goes to
//! quarantine: whatever may mean two things is not bound.

use std::collections::{HashMap, HashSet};

use crate::schema::{Column, Origin, TableSchema, normalise_name, normalise_names};

/// For each table column, in order, the index of the file column that feeds it; `None` if the file lacks it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Bound {
    pub sources: Vec<Option<usize>>,
    /// How many columns the file has.
    pub file_columns: usize,
}

impl Bound {
    /// The same file against a table that has more columns by now: the file lacks those.
    pub fn widen(&mut self, columns: usize) {
        self.sources.resize(columns.max(self.sources.len()), None);
    }

    /// For each file column, whether it feeds a table column.
    pub(crate) fn feeds(&self) -> Vec<bool> {
        let mut feeds = vec![false; self.file_columns];
        self.sources.iter().flatten().for_each(|index| feeds[*index] = true);
        feeds
    }
}

/// Binds a file's columns to the table's.
///
/// A file column is found, in this order,
/// 1. by the name that the table column has in files: exactly; the second table column with that name takes the second
///    file column with it;
/// 2. by that name without regard to case, if only one file column and one table column are left that it may mean;
/// 3. if the table column is called the same in files, by the file column's normalised name, exactly, then without
///    regard to case: if only one is left, and no table column has the very name of the file column in any case. The
///    number that sets normalised names of one file apart says nothing about another file, so it does not count;
/// 4. a file column whose name repeats the name of one that is bound, by the numbered name that inference gives it.
///
/// Each step may only take what the ones before left over, so that no file column ever feeds two table columns.
/// Takes time in proportion to the columns of both.
pub fn bind(schema: &TableSchema, file_columns: &[String]) -> Bound {
    let mut binder = Binder::new(&schema.columns, file_columns);
    binder.exact();
    binder.by_key(|_| true, |column| column.source.to_lowercase(), |name| Some(name.to_lowercase()));
    let sources: HashSet<String> = schema.columns.iter().map(|column| column.source.to_lowercase()).collect();
    let normalised = |name: &str| (!sources.contains(&name.to_lowercase())).then(|| normalise_name(name));
    binder.by_key(is_plain, |column| column.name.clone(), normalised);
    binder.by_key(is_plain, |column| column.name.to_lowercase(), |name| normalised(name).map(|n| n.to_lowercase()));
    binder.repeated();
    Bound { sources: binder.sources, file_columns: file_columns.len() }
}

/// Whether a table column is called the same in files.
fn is_plain(column: &Column) -> bool {
    column.source == column.name
}

struct Binder<'a> {
    columns: &'a [Column],
    names: &'a [String],
    sources: Vec<Option<usize>>,
    taken: Vec<bool>,
    /// By file column the first one with the same name.
    first: Vec<usize>,
}

/// Who wants, and who offers, the same key.
#[derive(Default)]
struct Claims {
    columns: Vec<usize>,
    files: Vec<usize>,
}

impl<'a> Binder<'a> {
    fn new(columns: &'a [Column], names: &'a [String]) -> Self {
        let mut seen = HashMap::new();
        let first = names.iter().enumerate().map(|(index, name)| *seen.entry(name).or_insert(index)).collect();
        Self { columns, names, sources: vec![None; columns.len()], taken: vec![false; names.len()], first }
    }

    fn take(&mut self, column: usize, file: usize) {
        self.sources[column] = Some(file);
        self.taken[file] = true;
    }

    fn exact(&mut self) {
        let mut places: HashMap<&str, std::collections::VecDeque<usize>> = HashMap::new();
        self.names.iter().enumerate().for_each(|(index, name)| places.entry(name).or_default().push_back(index));
        for (index, column) in self.columns.iter().enumerate() {
            if let Some(file) = places.get_mut(column.source.as_str()).and_then(|places| places.pop_front()) {
                self.take(index, file);
            }
        }
    }

    /// Binds what is left on both sides where exactly one table column and one file column have the same key. Of file
    /// columns with the same name only the first counts.
    fn by_key(
        &mut self,
        wants: impl Fn(&Column) -> bool,
        of_column: impl Fn(&Column) -> String,
        of_file: impl Fn(&str) -> Option<String>,
    ) {
        let mut claims: HashMap<String, Claims> = HashMap::new();
        for (index, column) in self.columns.iter().enumerate() {
            if self.sources[index].is_none() && wants(column) {
                claims.entry(of_column(column)).or_default().columns.push(index);
            }
        }
        for (index, name) in self.names.iter().enumerate() {
            if self.taken[index] || self.first[index] != index {
                continue;
            }
            if let Some(claims) = of_file(name).and_then(|key| claims.get_mut(&key)) {
                claims.files.push(index);
            }
        }
        for claims in claims.into_values() {
            if let ([column], [file]) = (&claims.columns[..], &claims.files[..]) {
                self.take(*column, *file);
            }
        }
    }

    /// Inference calls the second column `name` of a file `name_2`, also in files: its own name would find the first.
    /// What evolution brings keeps its name, so that `name_2` there is a column that was really called like this.
    fn repeated(&mut self) {
        let waits = |(index, column): &(usize, &Column)| {
            self.sources[*index].is_none() && is_plain(column) && column.origin != Origin::Evolved
        };
        let waiting: HashMap<&str, usize> = self
            .columns
            .iter()
            .enumerate()
            .filter(waits)
            .map(|(index, column)| (column.name.as_str(), index))
            .collect();
        let repeats = |index: &usize| !self.taken[*index] && self.first[*index] != *index;
        if waiting.is_empty() || !(0..self.names.len()).any(|index| repeats(&index)) {
            return;
        }
        let numbered = normalise_names(self.names);
        let repeated: Vec<usize> = (0..self.names.len()).filter(repeats).collect();
        for file in repeated {
            let column = waiting.get(numbered[file].as_str()).filter(|_| self.taken[self.first[file]]);
            if let Some(column) = column.copied() {
                self.take(column, file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::types::ColumnType;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn schema(columns: &[&str]) -> TableSchema {
        TableSchema::new(columns.iter().map(|name| Column::nullable(*name, ColumnType::String)).collect())
    }

    /// A table of columns with these names in files, as inference makes it.
    fn inferred(sources: &[&str]) -> TableSchema {
        let named = normalise_names(sources);
        let column = |(name, source): (String, &&str)| Column {
            source: (*source).to_owned(),
            origin: Origin::Inferred,
            ..Column::nullable(name, ColumnType::String)
        };
        TableSchema::new(named.into_iter().zip(sources).map(column).collect())
    }

    fn sources(table: &[&str], file: &[&str]) -> Vec<Option<usize>> {
        bind(&schema(table), &names(file)).sources
    }

    fn found(table: &[&str], file: &[&str]) -> Vec<Option<usize>> {
        bind(&inferred(table), &names(file)).sources
    }

    #[test]
    fn order_does_not_matter_and_what_is_absent_is_none() {
        assert_eq!(sources(&["a", "b", "c"], &["b", "x", "a"]), [Some(2), Some(0), None]);
    }

    #[test]
    fn exact_names_come_before_other_case_and_that_before_normalised_ones() {
        assert_eq!(sources(&["id"], &["ID", "id"]), [Some(1)]);
        assert_eq!(sources(&["id"], &["ID"]), [Some(0)]);
        assert_eq!(sources(&["first_name", "x"], &["First-Name"]), [Some(0), None]);
        assert_eq!(sources(&["first_name"], &["first-name", "FIRST_NAME"]), [Some(1)]);
    }

    #[test]
    fn a_file_column_never_feeds_two_table_columns() {
        assert_eq!(found(&["first name", "first-name"], &["first-name", "first name"]), [Some(1), Some(0)]);
        assert_eq!(found(&["first name", "first-name"], &["first-name"]), [None, Some(0)]);
    }

    #[test]
    fn a_name_that_only_normalises_alike_feeds_no_column_that_is_called_otherwise_in_files() {
        assert_eq!(found(&["Preis €", "Preis $"], &["Preis €", "Preis £"]), [Some(0), None]);
        assert_eq!(found(&["Preis €", "Preis $"], &["PREIS $", "Preis £"]), [None, Some(0)]);
        assert_eq!(sources(&["id", "ID_2"], &["id", "ID"]), [Some(0), None], "the number is this file's own");
    }

    #[test]
    fn what_may_mean_two_columns_is_not_bound() {
        assert_eq!(sources(&["first_name"], &["first name", "first-name"]), [None]);
        assert_eq!(sources(&["id"], &["ID", "Id"]), [None]);
        for columns in [["Foo", "foo"], ["foo", "Foo"]] {
            assert_eq!(found(&columns, &["FOO"]), [None, None], "whichever file came first");
            let at = |wanted| columns.iter().position(|source| *source == wanted);
            let bound = found(&columns, &["foo"]);
            assert_eq!(bound.iter().position(Option::is_some), at("foo"));
            assert_eq!(bound.iter().flatten().count(), 1);
            let bound = found(&columns, &["bar", "Foo"]);
            assert_eq!((bound.iter().position(Option::is_some), bound.iter().flatten().count()), (at("Foo"), 1));
        }
    }

    #[test]
    fn repeated_names_find_their_columns_again_and_no_others() {
        let repeated = |origin| {
            let mut table = inferred(&["a", "a_2", "b"]);
            table.columns[1].origin = origin;
            bind(&table, &names(&["a", "b", "a"])).sources
        };
        assert_eq!(repeated(Origin::Inferred), [Some(0), Some(2), Some(1)]);
        assert_eq!(repeated(Origin::Evolved), [Some(0), None, Some(1)], "it was called a_2 there");
        let mut evolved = inferred(&["a", "a"]);
        evolved.columns[1].origin = Origin::Evolved;
        assert_eq!(bind(&evolved, &names(&["a", "a"])).sources, [Some(0), Some(1)]);
        assert_eq!(bind(&evolved, &names(&["a"])).sources, [Some(0), None]);
        assert_eq!(found(&["x", "x_2024"], &["x", "x"]), [Some(0), None]);
        assert_eq!(sources(&["first_name"], &["first name", "first name"]), [Some(0)], "the first of them");
        let mut repeated = inferred(&["a b", "a b"]);
        repeated.columns[0].source = "a_b".to_owned();
        repeated.columns[1].source = "a_b_2".to_owned();
        let bound = bind(&repeated, &names(&["a b", "a b", "a-b"]));
        assert_eq!(bound.sources, [None, None], "if the first may mean two columns, so may the second");
    }

    #[test]
    fn a_wider_table_has_columns_that_the_file_lacks() {
        let mut bound = bind(&schema(&["a"]), &names(&["a"]));
        bound.widen(3);
        assert_eq!(bound.sources, [Some(0), None, None]);
    }

    /// Nothing is bound twice, exact names always, and the order of a file's columns does not matter.
    #[test]
    fn bindings_are_sound_whatever_the_names() {
        let pool = ["a", "A", "a b", "a-b", "A B", "a_b", "a_2", "€", "$", "", "b", "_s3_key", "7"];
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..5_000 {
            let mut some = || -> Vec<&str> { (0..random.usize(0..7)).map(|_| pool[random.usize(0..13)]).collect() };
            let (table, file) = (inferred(&some()), names(&some()));
            let bound = bind(&table, &file);
            let mut fed: Vec<usize> = bound.sources.iter().flatten().copied().collect();
            fed.sort_unstable();
            let all = fed.len();
            fed.dedup();
            assert_eq!(fed.len(), all, "{table:?} {file:?}");
            for (column, source) in table.columns.iter().zip(&bound.sources) {
                let spelled = source.map(|index| &file[index]);
                let exact = file.contains(&column.source);
                let shared = table.columns.iter().filter(|other| other.source == column.source).count() > 1;
                assert!(!exact || shared || spelled == Some(&column.source), "{table:?} {file:?}");
            }
            let turned: Vec<String> = file.iter().rev().cloned().collect();
            let again = bind(&table, &turned).sources;
            let spelled = |sources: &[Option<usize>], file: &[String]| -> Vec<Option<String>> {
                sources.iter().map(|source| source.map(|index| file[index].clone())).collect()
            };
            let unique = file.iter().collect::<HashSet<_>>().len() == file.len();
            if unique {
                assert_eq!(spelled(&bound.sources, &file), spelled(&again, &turned), "{table:?} {file:?}");
            }
        }
    }

    #[test]
    fn thousands_of_columns_are_no_work() {
        let columns: Vec<String> = (0..8_000).map(|index| format!("Spalte {index}")).collect();
        let spelled: Vec<&str> = columns.iter().map(String::as_str).collect();
        let table = inferred(&spelled);
        let upper: Vec<String> = columns.iter().rev().map(|name| name.to_uppercase()).collect();
        let same: Vec<String> = (0..8_000).map(|_| "€".to_owned()).collect();
        let start = Instant::now();
        assert_eq!(bind(&table, &upper).sources[0], Some(7_999));
        assert_eq!(bind(&table, &same).sources, vec![None; 8_000]);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}
