//! `IMPORT_CSV_*`: how the files of an import are written, as far as its data source says so.

use connector_core::csv::CsvSettings;
use connector_core::spec::Format;

use crate::diagnostic::Diagnostic;
use crate::reader::{Reader, Text};
use crate::source::{Span, Spanned};

/// Every directive of this module.
pub const DIRECTIVES: [&str; 5] =
    ["IMPORT_CSV_DELIMITER", "IMPORT_CSV_QUOTE", "IMPORT_CSV_HEADER", "IMPORT_CSV_NULL", "IMPORT_CSV_SKIP_LINES"];

const MAX_SKIP_LINES: u32 = 10_000;
const MAX_NULLS: usize = 100;

const DELIMITERS: &str = "one ASCII character, or tab, comma, semicolon, pipe, space";
const QUOTES: &str = "one ASCII character, or double, single, none";

/// Reads the settings. `format`: that of all files, if it is known.
pub(crate) fn settings(reader: &mut Reader<'_, '_>, format: Option<Format>) -> CsvSettings {
    if let Some(format) = format.filter(|format| *format != Format::Csv) {
        refuse_all(reader, format);
        return CsvSettings::default();
    }
    let delimiter = delimiter(reader);
    let quote = quote(reader);
    if let (Some(delimiter), Some(Spanned { value: Some(quote), span })) = (&delimiter, &quote)
        && delimiter.value == *quote
    {
        let message = format!("the quote is the delimiter: {}", shown(*quote));
        reader.error("bad_quote", *span, message, "write another one, or none if nothing is quoted");
    }
    if let (Some(Spanned { value: b'"', span }), None) = (&delimiter, reader.document.find("IMPORT_CSV_QUOTE")) {
        let hint = "write IMPORT_CSV_QUOTE none, or the byte that quotes in these files";
        reader.error("bad_delimiter", *span, "'\"' is the quote unless IMPORT_CSV_QUOTE says otherwise", hint);
    }
    let nulls = nulls(reader, delimiter.as_ref().map(|found| found.value));
    CsvSettings {
        delimiter: delimiter.map(|found| found.value),
        quote: quote.map(|found| found.value),
        header: header(reader),
        nulls,
        skip_lines: skip_lines(reader),
    }
}

fn refuse_all(reader: &mut Reader<'_, '_>, format: Format) {
    for directive in reader.document.directives.iter().filter(|found| DIRECTIVES.contains(&found.name.value.as_str())) {
        let message = format!("{} has no effect: the files are {}", directive.name.value, format.as_str());
        let diagnostic = Diagnostic::error("useless_directive", message);
        reader.report.push(diagnostic.hint("remove it, or write IMPORT_FORMAT csv"), directive.name.span);
    }
}

/// The one byte that a value stands for: itself, or a name.
fn byte(value: &str, names: &[(&str, u8)]) -> Option<u8> {
    let named = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|(_, byte)| *byte);
    named.or_else(|| match value.as_bytes() {
        [byte] if byte.is_ascii() => Some(*byte),
        _ => None,
    })
}

/// Bytes that stand in values, so that nothing could be told apart by them.
fn is_common(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'\n' | b'\r' | 0)
}

fn delimiter(reader: &mut Reader<'_, '_>) -> Option<Spanned<u8>> {
    const NAMES: [(&str, u8); 6] =
        [("tab", b'\t'), ("\\t", b'\t'), ("comma", b','), ("semicolon", b';'), ("pipe", b'|'), ("space", b' ')];
    let Spanned { value, span } = reader.text("IMPORT_CSV_DELIMITER")?;
    match byte(&value.value, &NAMES) {
        Some(byte) if !is_common(byte) => return Some(Spanned::new(byte, span)),
        Some(byte) => {
            let message = format!("{} cannot be the delimiter: values are made of it", shown(byte));
            reader.error("bad_delimiter", span, message, format!("a delimiter is {DELIMITERS}"));
        }
        None => bad(reader, "bad_delimiter", &value, span, "a delimiter", DELIMITERS),
    }
    None
}

fn quote(reader: &mut Reader<'_, '_>) -> Option<Spanned<Option<u8>>> {
    const NAMES: [(&str, u8); 2] = [("double", b'"'), ("single", b'\'')];
    let Spanned { value, span } = reader.text("IMPORT_CSV_QUOTE")?;
    if value.value.eq_ignore_ascii_case("none") {
        return Some(Spanned::new(None, span));
    }
    match byte(&value.value, &NAMES) {
        Some(byte) if !is_common(byte) && !matches!(byte, b' ' | b'\t') => return Some(Spanned::new(Some(byte), span)),
        Some(byte) => {
            let message = format!("{} cannot be the quote: values are made of it", shown(byte));
            reader.error("bad_quote", span, message, format!("a quote is {QUOTES}"));
        }
        None => bad(reader, "bad_quote", &value, span, "a quote", QUOTES),
    }
    None
}

fn header(reader: &mut Reader<'_, '_>) -> Option<bool> {
    let Spanned { value, span } = reader.text("IMPORT_CSV_HEADER")?;
    match value.value.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => {
            bad(reader, "bad_header", &value, span, "true or false", "true if the first record names the columns");
            None
        }
    }
}

/// Spellings between commas; an empty value means that there are none beside the empty cell.
fn nulls(reader: &mut Reader<'_, '_>, delimiter: Option<u8>) -> Option<Vec<String>> {
    let Spanned { value, span } = reader.expression("IMPORT_CSV_NULL")?;
    let mut nulls: Vec<String> = Vec::new();
    if value.value.trim().is_empty() {
        return Some(nulls);
    }
    for spelling in value.value.split(',').map(str::trim) {
        let apart = delimiter.is_some_and(|delimiter| spelling.as_bytes().contains(&delimiter));
        let message = match spelling {
            "" => "between two commas there is no spelling of NULL".to_owned(),
            _ if apart => format!("'{spelling}' holds the delimiter, so that no cell is spelled so"),
            _ => {
                if !nulls.iter().any(|known| known == spelling) {
                    nulls.push(spelling.to_owned());
                }
                continue;
            }
        };
        reader.error("bad_null", span, message, "such as \"NULL, \\N, NA\"; an empty cell is NULL anyway");
        return None;
    }
    if nulls.len() > MAX_NULLS {
        let message = format!("{} spellings of NULL are too many", nulls.len());
        reader.error("bad_null", span, message, format!("at most {MAX_NULLS}"));
        return None;
    }
    Some(nulls)
}

fn skip_lines(reader: &mut Reader<'_, '_>) -> Option<u32> {
    let Spanned { value, span } = reader.text("IMPORT_CSV_SKIP_LINES")?;
    let number = value.value.parse().ok().filter(|number| *number <= MAX_SKIP_LINES);
    if number.is_none() {
        let message = format!("{} is not a number of lines", value.shown());
        reader.error("bad_number", span, message, format!("write a whole number from 0 to {MAX_SKIP_LINES}"));
    }
    number
}

fn bad(reader: &mut Reader<'_, '_>, code: &'static str, value: &Text, span: Span, what: &str, hint: &str) {
    let message = format!("{} is not {what}", value.shown());
    reader.error(code, span, message, hint);
}

fn shown(byte: u8) -> String {
    format!("'{}'", char::from(byte).escape_default())
}
