//! What somebody changes about the columns that were found: their names, their types, whether they are there at all.

use connector_core::error::Failure;
use connector_core::schema::normalise_names;
use connector_datafile::suggest::nearest;
use connector_datafile::write::datasource::DraftColumn;

/// Changes to columns. Each names a column as the table or as the files call it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Column and its new name.
    pub rename: Vec<(String, String)>,
    /// Column and its new type.
    pub retype: Vec<(String, String)>,
    pub drop: Vec<String>,
}

/// A column, and whether somebody has decided its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub column: DraftColumn,
    pub is_type_given: bool,
}

impl Edits {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Splits `COLUMN=VALUE`.
    ///
    /// # Errors
    /// `Config` with code `bad_edit`.
    pub fn pair(option: &str, text: &str) -> Result<(String, String), Failure> {
        match text.split_once('=').map(|(column, value)| (column.trim(), value.trim())) {
            Some((column, value)) if !column.is_empty() && !value.is_empty() => {
                Ok((column.to_owned(), value.to_owned()))
            }
            _ => refuse(format!("'{text}' is not what {option} takes: write {option} column=value")),
        }
    }

    /// Applies the changes. `by_position`: the files have no header, so that only columns at the end can go.
    ///
    /// # Errors
    /// `Config` with code `bad_edit`: an unknown column, a name that is taken or is none, nothing left.
    pub fn apply(&self, columns: Vec<DraftColumn>, by_position: bool) -> Result<Vec<Chosen>, Failure> {
        let mut chosen: Vec<Option<Chosen>> =
            columns.iter().cloned().map(|column| Some(Chosen { column, is_type_given: false })).collect();
        for (column, name) in &self.rename {
            let at = find(&columns, column)?;
            if normalise_names(&[name.as_str()]) != [name.as_str()] {
                return refuse(format!("'{name}' is no name for a column: letters, digits and '_' make one"));
            }
            chosen[at].iter_mut().for_each(|chosen| chosen.column.name.clone_from(name));
        }
        for (column, ty) in &self.retype {
            let at = find(&columns, column)?;
            chosen[at].iter_mut().for_each(|chosen| {
                chosen.column.ty.clone_from(ty);
                chosen.is_type_given = true;
            });
        }
        for column in &self.drop {
            chosen[find(&columns, column)?] = None;
        }
        let kept = chosen.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        if kept == 0 {
            return refuse("every column would be dropped".to_owned());
        }
        if by_position && let Some(gap) = chosen[..kept].iter().position(Option::is_none) {
            let name = &columns[gap].name;
            return refuse(format!(
                "{name} cannot be dropped: the files have no header, so columns are taken in their order, and others stand \
                 behind it"
            ));
        }
        let chosen: Vec<Chosen> = chosen.into_iter().flatten().collect();
        let mut names = std::collections::HashSet::new();
        match chosen.iter().find(|chosen| !names.insert(chosen.column.name.to_lowercase())) {
            Some(twice) => refuse(format!("two columns would be called {}", twice.column.name)),
            None => Ok(chosen),
        }
    }
}

fn find(columns: &[DraftColumn], wanted: &str) -> Result<usize, Failure> {
    let by_name = columns.iter().position(|column| column.name == wanted);
    by_name.or_else(|| columns.iter().position(|column| column.source == wanted)).map_or_else(
        || {
            let names = || columns.iter().map(|column| column.name.as_str());
            let hint = match nearest(wanted, names()) {
                Some(near) => format!("; did you mean {near}?"),
                None => format!("; there are: {}", names().take(20).collect::<Vec<_>>().join(", ")),
            };
            refuse(format!("there is no column {wanted}{hint}"))
        },
        Ok,
    )
}

fn refuse<T>(message: String) -> Result<T, Failure> {
    Err(Failure::config("bad_edit", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Vec<DraftColumn> {
        let column = |name: &&str| DraftColumn {
            name: (*name).to_owned(),
            ty: "String".to_owned(),
            source: format!("{name} in files"),
            comments: Vec::new(),
        };
        names.iter().map(column).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
    }

    #[test]
    fn columns_are_named_as_they_were_found_whatever_else_is_changed() {
        let edits = Edits {
            rename: pairs(&[("a", "b"), ("b in files", "a")]),
            retype: pairs(&[("a", "Int32")]),
            drop: vec!["c".to_owned()],
        };
        let chosen = edits.apply(columns(&["a", "b", "c"]), false).expect("possible");
        let facts: Vec<_> = chosen
            .iter()
            .map(|one| {
                (one.column.name.as_str(), one.column.ty.as_str(), one.column.source.as_str(), one.is_type_given)
            })
            .collect();
        assert_eq!(facts, [("b", "Int32", "a in files", true), ("a", "String", "b in files", false)]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let refused =
            |edits: Edits, by_position| edits.apply(columns(&["a", "b"]), by_position).expect_err("impossible").message;
        let rename = |from: &str, to: &str| Edits { rename: pairs(&[(from, to)]), ..Edits::default() };
        let drop =
            |names: &[&str]| Edits { drop: names.iter().map(|it| (*it).to_owned()).collect(), ..Edits::default() };
        assert!(refused(rename("a", "B"), false).contains("two columns would be called b"));
        assert!(refused(rename("a", "x y"), false).contains("'x y' is no name"));
        assert!(refused(rename("z", "y"), false).contains("there is no column z"));
        assert!(refused(drop(&["a", "b"]), false).contains("every column"));
        assert!(refused(drop(&["a"]), true).contains("have no header"));
        assert!(drop(&["b"]).apply(columns(&["a", "b"]), true).is_ok());
        assert!(Edits::pair("--type", "a").is_err());
        assert_eq!(Edits::pair("--type", "a=Enum8('x'=1)").expect("a pair").1, "Enum8('x'=1)");
    }
}
