use proptest::prelude::*;

use super::*;
use crate::directives::{CONNECTION, DATASOURCE};
use crate::source::SourceFile;
use crate::{Colour, Severity, parse_connection, parse_datasource, render};

fn lexed(text: &str) -> (Vec<RawDirective>, Vec<&'static str>) {
    let source = SourceFile::new("f.datasource", text);
    let mut report = Report::new(&source);
    let directives = lex(&mut report, &DATASOURCE).directives;
    (directives, report.diagnostics.iter().map(|diagnostic| diagnostic.code).collect())
}

fn plain(word: &Word) -> String {
    word.parts.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "{}" }).collect()
}

#[test]
fn words_are_split_as_a_shell_would() {
    for (line, expected) in [
        ("TAGS a b", vec!["a", "b"]),
        ("TAGS \"a b\" 'c d'", vec!["a b", "c d"]),
        ("TAGS a # b", vec!["a"]),
        ("TAGS a#b", vec!["a#b"]),
        ("TAGS \"a # b\"", vec!["a # b"]),
        ("TAGS \"a\\\"b\" 'a\"b'", vec!["a\"b", "a\"b"]),
        ("TAGS \"c:\\x\"", vec!["c:\\x"]),
        ("TAGS {{ tb_secret(\"A\") }}", vec!["{}"]),
        ("TAGS \"s3://{{ tb_secret(\"A\") }}/x y\" z", vec!["s3://{}/x y", "z"]),
        ("TAGS \"\"", vec![""]),
        ("TAGS", vec![]),
        ("TAGS\ta\r", vec!["a"]),
    ] {
        let (directives, problems) = lexed(line);
        assert_eq!(problems, Vec::<&str>::new(), "{line}");
        let Body::Inline(words) = &directives[0].body else { panic!("{line} is no block") };
        assert_eq!(words.iter().map(plain).collect::<Vec<_>>(), expected, "{line}");
    }
}

#[test]
fn names_are_read_in_any_case_and_a_byte_order_mark_is_skipped() {
    let (directives, problems) = lexed("\u{feff}description x\nEngine y");
    assert_eq!(problems, Vec::<&str>::new());
    assert_eq!(directives.iter().map(|d| d.name.value.as_str()).collect::<Vec<_>>(), ["DESCRIPTION", "ENGINE"]);
}

#[test]
fn a_block_ends_at_the_next_directive_and_unindented_comments_are_not_part_of_it() {
    let text = "DESCRIPTION >\n    one\n\n    # two\n# no\n\nTAGS x\n";
    let (directives, problems) = lexed(text);
    assert_eq!(problems, Vec::<&str>::new());
    let Body::Block(lines) = &directives[0].body else { panic!("a block") };
    let lines: Vec<&str> = lines.iter().map(|span| &text[span.start..span.end]).collect();
    assert_eq!(lines, ["    one", "", "    # two"]);
    assert_eq!(directives.len(), 2);
}

#[test]
fn misplaced_lines_are_reported_once_for_each_run_of_them() {
    for (text, expected) in [
        ("SCHEMA >\na Int32,\nb Int32\nTAGS x", vec!["unindented_block"]),
        ("SCHEMA >\nID Int32,\nNAME String\nTAGS x", vec!["unindented_block"]),
        ("    TAGS x", vec!["indented_directive"]),
        ("SCHEMA\n    a Int32\n    b Int32", vec!["missing_block_mark"]),
        ("TAGS x\n    y\n    z", vec!["stray_line"]),
        ("SCHEMA > a Int32", vec!["text_after_block_mark"]),
        ("TAGS \"x", vec!["open_quote"]),
        ("TAGS {{ x", vec!["open_template"]),
        ("TAGS a\n\u{feff}\u{feff}ENGINE x", vec!["byte_order_mark"]),
    ] {
        assert_eq!(lexed(text).1, expected, "{text}");
    }
}

#[test]
fn a_misspelled_directive_after_a_block_is_a_directive() {
    let (directives, problems) = lexed("SCHEMA >\n    a Int32\nENGIN x\n");
    assert_eq!(problems, Vec::<&str>::new());
    assert_eq!(directives.len(), 2);
}

/// Texts that are made of what matters to the grammar, and of anything else.
fn texts() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "SCHEMA >",
        "\n",
        "\r\n",
        "    ",
        "\t",
        "a Int32",
        ",",
        "`",
        "'",
        "\"",
        "`json:$.a`",
        "DEFAULT ",
        "CODEC(",
        ")",
        "(",
        "Nullable(",
        "{{",
        "}}",
        "tb_secret(\"A\")",
        "#",
        "--",
        ">",
        "IMPORT_BUCKET_URI ",
        "s3://bkt/",
        "é",
        "\u{feff}",
        "\\",
        "1",
        "IMPORT_SCHEDULE ",
        "@auto",
        "TYPE s3",
        "S3_SECRET ",
        "IMPORT_FROM_TIMESTAMP ",
        "DateTime64(",
        "\u{1b}[2J",
        "\u{2003}",
        "S3_ARN ",
        "Decimal(",
        "-",
        "INDEX ",
        "ENGINE ",
        "\0",
    ]);
    let pieces = || prop::collection::vec(pieces.clone(), 0..20).prop_map(|pieces| pieces.concat());
    prop_oneof![
        pieces(),
        pieces().prop_map(|body| format!("SCHEMA >\n    a Int32,\n    {body}")),
        pieces().prop_map(|value| format!("S3_ARN {value}")),
        any::<String>(),
        "(?s).{0,200}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_text_makes_the_parser_panic_and_every_span_lies_in_the_file(text in texts()) {
        let inside = |span: Span| {
            span.start <= span.end && text.is_char_boundary(span.start) && text.is_char_boundary(span.end)
        };
        for catalogue in [&DATASOURCE, &CONNECTION] {
            let source = SourceFile::new("f", text.as_str());
            let mut report = Report::new(&source);
            for directive in lex(&mut report, catalogue).directives {
                prop_assert!(inside(directive.name.span));
                let spans: Vec<Span> = match &directive.body {
                    Body::Inline(words) => words.iter().map(|word| word.span).collect(),
                    Body::Block(lines) => lines.clone(),
                };
                prop_assert!(spans.into_iter().all(inside));
            }
        }
        let none = |_: &str| None;
        let datasource = parse_datasource(&SourceFile::new("d.datasource", text.as_str()), &none).1;
        let connection = parse_connection(&SourceFile::new("c.connection", text.as_str()), &none).1;
        for diagnostic in datasource.iter().chain(&connection) {
            let places = diagnostic.place.iter().chain(diagnostic.related.iter().map(|(place, _)| place));
            for place in places {
                prop_assert!(inside(place.span), "{:?}", diagnostic);
            }
            let printed = render(std::slice::from_ref(diagnostic), Colour::Never);
            let steers_the_terminal = printed.contains(['\x1b', '\0']);
            prop_assert!(!steers_the_terminal);
            prop_assert!(diagnostic.severity == Severity::Warning || printed.starts_with("error"));
        }
    }

    #[test]
    fn a_value_in_quotes_comes_back_as_it_was(value in "[^\"\\\\\r\n{]{0,40}") {
        let (directives, problems) = lexed(&format!("TAGS \"{value}\""));
        prop_assert!(problems.is_empty());
        let Body::Inline(words) = &directives[0].body else { panic!("no block") };
        prop_assert_eq!(words.len(), 1);
        prop_assert_eq!(plain(&words[0]), value);
    }
}
