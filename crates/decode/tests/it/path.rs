//! Source paths: reading, printing, and the two against each other.

use connector_decode::path::{Path, Step};
use proptest::prelude::*;

fn steps(text: &str) -> Option<Vec<String>> {
    let name = |step: &Step| match step {
        Step::Key(key) => key.clone(),
        Step::Each => "[:]".to_owned(),
    };
    Path::parse(text).map(|path| path.steps().iter().map(name).collect())
}

#[test]
fn paths_are_read_step_by_step() {
    let cases: [(&str, &[&str]); 11] = [
        ("$", &[]),
        ("a", &["a"]),
        ("a.b", &["a", "b"]),
        ("a[:]", &["a", "[:]"]),
        ("lines[:].sku", &["lines", "[:]", "sku"]),
        ("a[:][:]", &["a", "[:]", "[:]"]),
        ("['odd.key']", &["odd.key"]),
        ("a['b c'].d", &["a", "b c", "d"]),
        (r"['it\'s \\ ok'][:]", &["it's \\ ok", "[:]"]),
        ("first name", &["first name"]),
        ("_id.$oid", &["_id", "$oid"]),
    ];
    for (text, wanted) in cases {
        assert_eq!(steps(text).as_deref(), Some(wanted.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>().as_slice()));
    }
}

#[test]
fn what_is_no_path_is_the_name_of_a_key() {
    for text in ["", ".", "a.", ".a", "a..b", "[:]", "a[", "a]", "a[0]", "a[*]", "a['b]", "a[:]b", "['x", "a['b\\n']"] {
        assert_eq!(steps(text), None, "{text}");
        assert_eq!(Path::of_source(text), Path::of_keys([text]), "{text}");
    }
}

#[test]
fn keys_are_quoted_only_where_they_need_it() {
    let cases: [(&[&str], &str); 8] = [
        (&["a", "b"], "a.b"),
        (&["a.b"], "['a.b']"),
        (&["a", "b c", "d"], "a['b c'].d"),
        (&["$"], "['$']"),
        (&["$oid"], "$oid"),
        (&["größe", "名前"], "größe.名前"),
        (&[""], "['']"),
        (&["it's"], r"['it\'s']"),
    ];
    for (keys, wanted) in cases {
        assert_eq!(Path::of_keys(keys.iter().copied()).to_string(), wanted);
    }
    assert_eq!(Path::default().to_string(), "$");
}

#[test]
fn a_path_knows_the_objects_it_leads_through() {
    let path = Path::of_source("a.lines[:].sku");
    assert_eq!(path.leading_keys().collect::<Vec<_>>(), ["a", "lines"]);
    assert_eq!(path.into_elements().len(), 2);
    assert_eq!(path.keys(), None);
    assert_eq!(Path::of_source("a.b").keys(), Some(vec!["a", "b"]));
    assert_eq!((Path::of_source("$").keys(), Path::of_source("$").is_whole_record()), (None, true));
}

fn step() -> impl Strategy<Value = Option<String>> {
    prop_oneof![1 => Just(None), 3 => ".{0,4}".prop_map(Some), 3 => "[a-c.'\\[\\]\\\\ :$]{0,4}".prop_map(Some)]
}

proptest! {
    #[test]
    fn every_path_reads_back_as_it_is_printed(first in ".{0,4}", rest in prop::collection::vec(step(), 0..4)) {
        let keys = std::iter::once(Some(first.clone())).chain(rest.iter().cloned());
        // Only printing makes paths with elements, so build the text out of its parts.
        let text: String = keys.clone().enumerate().map(|(index, key)| match key {
            None => "[:]".to_owned(),
            Some(key) => {
                let printed = Path::of_keys([key]).to_string();
                if index == 0 || printed.starts_with('[') { printed } else { format!(".{printed}") }
            }
        }).collect();
        let path = Path::parse(&text).unwrap_or_else(|| panic!("{text}"));
        let wanted: Vec<Step> = keys.map(|key| key.map_or(Step::Each, Step::Key)).collect();
        prop_assert_eq!(path.steps(), wanted.as_slice());
        prop_assert_eq!(path.to_string(), text);
    }

    #[test]
    fn whatever_is_read_prints_to_the_same_path(text in "[a-c.'\\[\\]\\\\ :$]{0,12}") {
        if let Some(path) = Path::parse(&text) {
            prop_assert_eq!(Path::parse(&path.to_string()), Some(path));
        }
    }
}
