//! What is declared: the files on which we and the clients differ.

use std::collections::BTreeMap;

use toml_edit::{Document, Item, TableLike};

use super::folder;

/// One file on which we differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Whether we accept it.
    pub here: bool,
    /// The clients whose parsers accept it.
    pub accepted_by: Vec<String>,
    /// Those of them whose own code refuses it behind the parser.
    pub refused_later_by: Vec<String>,
    /// One sentence.
    pub reason: String,
}

/// The differences, by path below the corpus.
pub type Differences = BTreeMap<String, Difference>;

/// Reads `differences.toml`.
pub fn read() -> Differences {
    let text = std::fs::read_to_string(folder().join("differences.toml")).expect("readable");
    let document = Document::parse(text.as_str()).expect("TOML");
    let tables = document.as_table().iter();
    let found: Vec<_> = tables.map(|(file, item)| (file.to_owned(), difference(file, item))).collect();
    let sorted = found.windows(2).all(|pair| pair[0].0 < pair[1].0);
    assert!(sorted, "differences.toml is not in the order of the names");
    found.into_iter().collect()
}

fn difference(file: &str, item: &Item) -> Difference {
    let table: &dyn TableLike = item.as_table_like().unwrap_or_else(|| panic!("{file} is no table"));
    let known = ["here", "accepted_by", "refused_later_by", "reason"];
    assert!(table.iter().all(|(key, _)| known.contains(&key)), "{file} says something else than {known:?}");
    let names = |key: &str| {
        let names = table.get(key).and_then(Item::as_array).into_iter().flatten();
        names.map(|name| name.as_str().expect("a name").to_owned()).collect()
    };
    let reason = table.get("reason").and_then(Item::as_str).unwrap_or_default().to_owned();
    assert!(reason.len() > 15 && !reason.ends_with('.'), "{file} needs a reason without full stop: '{reason}'");
    let here = match table.get("here").and_then(Item::as_str) {
        Some("accepted") => true,
        Some("refused") => false,
        _ => panic!("{file} does not say whether it is 'accepted' or 'refused' here"),
    };
    Difference { here, accepted_by: names("accepted_by"), refused_later_by: names("refused_later_by"), reason }
}
