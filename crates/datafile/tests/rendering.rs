//! What people see, letter by letter.

use connector_datafile::{Colour, SourceFile, parse_datasource, render};

const FILE: &str = "\
SCHEMA >
    order_id Int64,
    country LowCardnality(String)
    amount Decimal(10,2),
    Order_ID String

IMPORT_SHEDULE @auto
IMPORT_CONNECTION_NAME shop
IMPORT_BUCKET_URI {{ tb_secret(\"SHOP_URI\") }}
";

fn printed(text: &str, colour: Colour) -> String {
    let source = SourceFile::new("config/datasources/orders.datasource", text);
    let (_, diagnostics) = parse_datasource(&source, &|_: &str| None);
    render(&diagnostics, colour)
}

#[test]
fn problems_are_shown_with_place_context_caret_and_hint() {
    let found = printed(FILE, Colour::Never);
    // Editors strip blanks at line ends, so the snapshot has none.
    let found: Vec<&str> = found.lines().map(str::trim_end).collect();
    let expected: Vec<&str> = include_str!("snapshots/orders.txt").lines().collect();
    assert_eq!(found, expected, "\n{}", found.join("\n"));
}

#[test]
fn colours_change_nothing_but_colours() {
    let (plain, coloured) = (printed(FILE, Colour::Never), printed(FILE, Colour::Always));
    let mut stripped = String::new();
    for (index, piece) in coloured.split('\u{1b}').enumerate() {
        stripped.push_str(if index == 0 { piece } else { piece.split_once('m').map_or("", |(_, rest)| rest) });
    }
    assert!(coloured.len() > plain.len());
    assert_eq!(stripped, plain);
}

#[test]
fn lines_of_a_file_from_elsewhere_cannot_steer_the_terminal() {
    let found = printed("NOPE \u{1b}[2J\u{9b}\r\nNOPE\u{7}\r\n", Colour::Never);
    assert!(found.contains("NOPE ?[2J??"), "{found}");
    assert!(found.chars().all(|letter| letter == '\n' || !letter.is_control()), "{found:?}");
}
