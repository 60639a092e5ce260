//! Files that are read and printed are the same files: letter by letter, or in the one layout with the same meaning.

use crate::support::{Random, connection, datasource, meaning, parse};
use connector_datafile::directives::{CONNECTION, Catalogue, DATASOURCE};
use connector_datafile::print::Datafile;
use connector_datafile::{Colour, SourceFile, render};
use proptest::prelude::*;

const KINDS: [(&str, &Catalogue); 2] = [("orders.datasource", &DATASOURCE), ("shop.connection", &CONNECTION)];

fn read(name: &str, catalogue: &Catalogue, text: &str) -> Datafile {
    Datafile::read(&SourceFile::new(name, text), catalogue)
}

/// The comments in the order in which they stand in a text.
fn comments(text: &str) -> Vec<&str> {
    let begins = |(at, _): &(usize, &str)| text[at + 3..].starts_with(|letter: char| letter.is_ascii_digit());
    let line = |(at, _)| text[at..].split(['\n', '\r']).next().unwrap_or_default().trim_end();
    text.match_indices("# c").filter(begins).map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn files_are_printed_as_they_were_read_and_laid_out_without_a_change_of_meaning(seed in any::<u64>()) {
        for (name, catalogue) in KINDS {
            let random = &mut Random(seed);
            let (text, count) = if name == KINDS[0].0 { datasource(random) } else { connection(random) };
            let (said, found) = parse(name, &text);
            let errors: Vec<_> = found.iter().filter(|found| found.is_error()).cloned().collect();
            prop_assert!(errors.is_empty(), "{text}\n{}", render(&errors, Colour::Never));

            let file = read(name, catalogue, &text);
            let printed = file.print();
            prop_assert_eq!(&printed, &text);
            prop_assert_eq!(&parse(name, &printed).0, &said);
            prop_assert_eq!(&read(name, catalogue, &printed), &file);

            let laid_out = file.format().expect("no line is broken");
            prop_assert_eq!(meaning(name, &laid_out), meaning(name, &text), "{}\n---\n{}", text, laid_out);
            prop_assert_eq!(comments(&laid_out), comments(&text), "{}\n---\n{}", text, laid_out);
            prop_assert_eq!(comments(&text).len(), count);
            let again = read(name, catalogue, &laid_out);
            let order = |file: &Datafile| file.directives().iter().map(|d| d.name.value.clone()).collect::<Vec<_>>();
            prop_assert_eq!(order(&again), order(&file));
            prop_assert_eq!(again.format().expect("no line is broken"), laid_out);
        }
    }

    #[test]
    fn no_text_is_lost_or_makes_the_printer_panic(text in "(?s).{0,120}|([ \t#>a-zA-Z_,\"\n\r]{0,20}(SCHEMA >|ENGINE|TAGS|\n)){0,12}") {
        for (name, catalogue) in KINDS {
            let file = read(name, catalogue, &text);
            prop_assert_eq!(&file.print(), &text);
            if let Ok(laid_out) = file.format() {
                let again = read(name, catalogue, &laid_out);
                prop_assert_eq!(again.format().expect("no line is broken"), laid_out.as_str(), "{:?}", text);
                prop_assert_eq!(meaning(name, &laid_out), meaning(name, &text), "{:?}\n{:?}", text, laid_out);
            }
        }
    }
}

#[test]
fn the_one_layout_looks_like_this() {
    let text = "\u{feff}#  head\r\n\r\n\r\nschema>   # which\r\n\tid  UInt64,\t\r\n# between\r\n\r\n\t  b Int8\r\n# about the engine\r\n\
                Engine   \"MergeTree\"# no comment\r\nengine_ttl at +  toIntervalDay(1) # gone\r\nTAGS x\r\nDESCRIPTION >\r\n a\r\n\r\n\r\n";
    let expected = "#  head\n\nSCHEMA >  # which\n    id  UInt64,\n# between\n\n      b Int8\n\n# about the engine\n\
                    ENGINE \"MergeTree\"# no comment\nENGINE_TTL at +  toIntervalDay(1)  # gone\nTAGS x\n\n\
                    DESCRIPTION >\n    a\n";
    let laid_out = read("o.datasource", &DATASOURCE, text).format().expect("no line is broken");
    assert_eq!(laid_out, expected);
}

#[test]
fn files_with_broken_lines_are_printed_and_not_laid_out() {
    for text in ["SCHEMA >\na Int8\n", "TAGS \"x\n", "  stray\n", "SCHEMA\n  a Int8\n", "TAGS {{ x\n"] {
        let file = read("o.datasource", &DATASOURCE, text);
        assert_eq!(file.print(), text);
        assert_eq!(file.format().expect_err("it is broken"), file.problems(), "{text}");
    }
}
