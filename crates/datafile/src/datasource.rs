//! `.datasource` files: the columns of a table, its engine settings and its import.

use connector_core::claim::MAX_BATCH_FILES;
use connector_core::spec::{Format, Schedule};
use connector_core::uri::BucketUri;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::column::{self, ColumnDef};
use crate::diagnostic::{Diagnostic, Report};
use crate::directives::DATASOURCE;
use crate::document;
use crate::lexer::Body;
use crate::reader::{Reader, Text};
use crate::secrets::Secrets;
use crate::source::{SourceFile, Span, Spanned};
use crate::suggest::nearest;

/// A data source as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSource {
    /// The file name without `.datasource`.
    pub name: String,
    pub description: Option<Spanned<String>>,
    /// The declared columns; `None` without SCHEMA: then the reference file decides.
    pub columns: Option<Vec<ColumnDef>>,
    /// `ENGINE` and `ENGINE_*` with their values, in the order of the file.
    pub engine: Vec<(String, Spanned<String>)>,
    /// Whether there is any `IMPORT_*` directive.
    pub declares_import: bool,
    /// `IMPORT_CONNECTION_NAME`, known even if the rest of the import is bad.
    pub connection: Option<Spanned<String>>,
    /// The import, if it is complete and right.
    pub import: Option<Import>,
    pub file: SourceFile,
}

/// The `IMPORT_*` directives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub connection: Spanned<String>,
    pub uri: Spanned<BucketUri>,
    pub schedule: Schedule,
    /// `IMPORT_FORMAT`, else what the URI's suffix says, else `None`.
    pub format: Option<Format>,
    pub from_timestamp: Option<Spanned<Timestamp>>,
    /// Files per tick, from 1 to [`MAX_BATCH_FILES`].
    pub max_files: Option<Spanned<u32>>,
}

const ENGINES: [&str; 7] = [
    "MergeTree",
    "ReplacingMergeTree",
    "SummingMergeTree",
    "AggregatingMergeTree",
    "CollapsingMergeTree",
    "VersionedCollapsingMergeTree",
    "Null",
];

/// Reads a `.datasource` file. All its problems come back at once; what was read is right only if none of them is an
/// error, but its parts can still be checked against other files.
pub fn parse_datasource(source: &SourceFile, secrets: &dyn Secrets) -> (DataSource, Vec<Diagnostic>) {
    let mut report = Report::new(source);
    let document = document::read(&mut report, &DATASOURCE);
    let mut reader = Reader { document: &document, secrets, report };
    check_name(&mut reader, source.stem());
    let description = reader.prose("DESCRIPTION");
    let columns = columns(&mut reader);
    let engine = engine(&mut reader);
    let connection = reader.text("IMPORT_CONNECTION_NAME").map(|name| name.map(|name| connection_name(&name.value)));
    let first_import = document.directives.iter().find(|directive| directive.name.value.starts_with("IMPORT_"));
    let import = first_import.and_then(|first| import(&mut reader, connection.clone(), first.name.span));
    let datasource = DataSource {
        name: source.stem().to_owned(),
        description,
        columns,
        engine,
        declares_import: first_import.is_some(),
        connection,
        import,
        file: source.clone(),
    };
    (datasource, reader.report.finish())
}

/// Connection names are compared with `_` for `-`.
pub fn connection_name(written: &str) -> String {
    written.replace('-', "_")
}

fn check_name(reader: &mut Reader<'_, '_>, name: &str) {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let well_formed = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !well_formed || !name.chars().all(letters) {
        let message = format!("'{name}' is no name for a data source");
        let hint = "the file is named after the data source: letters, digits and '_', beginning with a letter";
        reader.error("bad_name", Span::at(0), message, hint);
    } else if name.to_ascii_lowercase().ends_with("_quarantine") {
        let message = format!("the name {name} is reserved");
        reader.error("bad_name", Span::at(0), message, "'_quarantine' names the table of rows that do not fit");
    }
}

fn columns(reader: &mut Reader<'_, '_>) -> Option<Vec<ColumnDef>> {
    let directive = reader.document.find("SCHEMA")?;
    let span = directive.name.span;
    let lines = match &directive.body {
        Body::Block(lines) if !lines.is_empty() => lines.clone(),
        Body::Block(_) => {
            reader.error("empty_schema", span, "SCHEMA has no columns", "remove SCHEMA to let the first file decide");
            return None;
        }
        Body::Inline(_) => {
            let hint = "write 'SCHEMA >', then one column on each line, indented";
            reader.error("missing_block_mark", span, "SCHEMA is a block", hint);
            return None;
        }
    };
    Some(column::parse(&mut reader.report, &lines))
}

fn engine(reader: &mut Reader<'_, '_>) -> Vec<(String, Spanned<String>)> {
    let document = reader.document;
    let mut settings = Vec::new();
    for directive in &document.directives {
        let name = &directive.name.value;
        if !name.starts_with("ENGINE") {
            continue;
        }
        let Some(value) = reader.expression(name) else { continue };
        let word = value.value.value.split('(').next().unwrap_or_default().trim();
        if name == "ENGINE" && !ENGINES.contains(&word) {
            let diagnostic = Diagnostic::error("unknown_engine", format!("{} is not an engine", value.value.shown()));
            let diagnostic = match nearest(word, ENGINES) {
                Some(near) => diagnostic.suggest(Some(near)),
                None => diagnostic.hint(format!("engines are {}", ENGINES.join(", "))),
            };
            reader.report.push(diagnostic, value.span);
        }
        settings.push((name.clone(), value.map(|text| text.value)));
    }
    settings
}

fn import(reader: &mut Reader<'_, '_>, connection: Option<Spanned<String>>, first: Span) -> Option<Import> {
    check_service(reader);
    check_strategy(reader);
    let schedule = schedule(reader);
    let uri = uri(reader);
    let explicit = format(reader);
    let from_timestamp = from_timestamp(reader);
    let max_files = max_files(reader);
    for (name, example) in [("IMPORT_CONNECTION_NAME", "shop"), ("IMPORT_BUCKET_URI", "s3://my-bucket/path/*.csv")] {
        if reader.document.find(name).is_none() {
            let message = format!("{name} is missing");
            reader.error("missing_directive", first, message, format!("add a line such as: {name} {example}"));
        }
    }
    let uri = uri?;
    let format = match explicit {
        Some(format) => Some(format),
        None => format_of_uri(reader, &uri),
    };
    Some(Import { connection: connection?, uri, schedule: schedule?, format, from_timestamp, max_files })
}

fn check_service(reader: &mut Reader<'_, '_>) {
    let Some(service) = reader.text("IMPORT_SERVICE") else { return };
    if !["s3_iamrole", "s3"].iter().any(|known| service.value.value.eq_ignore_ascii_case(known)) {
        let message = format!("the import service {} is not supported", service.value.shown());
        reader.error("unsupported_service", service.span, message, "the only import service is s3_iamrole");
    }
}

fn check_strategy(reader: &mut Reader<'_, '_>) {
    let Some(strategy) = reader.text("IMPORT_STRATEGY") else { return };
    if !strategy.value.value.eq_ignore_ascii_case("append") {
        let message = format!("the import strategy {} is not supported", strategy.value.shown());
        let hint = "new files are always appended: write APPEND, or remove the line";
        reader.error("unsupported_strategy", strategy.span, message, hint);
    }
}

fn schedule(reader: &mut Reader<'_, '_>) -> Option<Schedule> {
    if reader.document.find("IMPORT_SCHEDULE").is_none() {
        return Some(Schedule::OnDemand);
    }
    let Spanned { value, span } = reader.expression("IMPORT_SCHEDULE")?;
    match value.value.to_ascii_lowercase().as_str() {
        "@auto" => return Some(Schedule::Auto),
        "@on-demand" | "@once" => return Some(Schedule::OnDemand),
        _ => {}
    }
    if is_cron(&value.value) {
        let message = "cron schedules are not available yet";
        reader.error("unsupported_schedule", span, message, "use @auto (each minute) or @on-demand (when asked)");
        return None;
    }
    let diagnostic = Diagnostic::error("bad_schedule", format!("{} is not a schedule", value.shown()));
    let diagnostic = diagnostic.suggest(nearest(&value.value, ["@auto", "@on-demand", "@once"]));
    reader.report.push(diagnostic.hint("a schedule is @auto or @on-demand"), span);
    None
}

/// Five or six fields of digits, `*` and the signs between them.
fn is_cron(text: &str) -> bool {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let sign = |letter: char| letter.is_ascii_alphanumeric() || "*/,-?#".contains(letter);
    let first_field = |letter: char| letter.is_ascii_digit() || "*/,-".contains(letter);
    matches!(fields.len(), 5 | 6)
        && fields.iter().all(|field| field.chars().all(sign))
        && fields[0].chars().all(first_field)
}

fn uri(reader: &mut Reader<'_, '_>) -> Option<Spanned<BucketUri>> {
    let Spanned { value, span } = reader.text("IMPORT_BUCKET_URI")?;
    match BucketUri::parse(&value.value) {
        Ok(uri) => Some(Spanned::new(uri, span)),
        Err(error) => {
            let place = uri_place(reader.report.source, span, &value, error.offset);
            let message = format!("this is not a bucket URI: {}", error.message);
            reader.error("bad_uri", place, message, "such as s3://my-bucket/path/*.csv");
            None
        }
    }
}

/// The character of the URI that is wrong, if the URI stands in the file letter by letter; else all of it.
fn uri_place(source: &SourceFile, span: Span, value: &Text, offset: usize) -> Span {
    let written = source.slice(span);
    let Some(begin) = written.find(&value.value).filter(|_| !value.value.is_empty() && !value.secret) else {
        return span;
    };
    let begin = span.start + begin;
    match value.value.get(offset..).and_then(|rest| rest.chars().next()) {
        Some(letter) if offset > 0 => Span::new(begin + offset, begin + offset + letter.len_utf8()),
        Some(_) => Span::new(begin, begin + value.value.len()),
        None => Span::at(begin + value.value.len()),
    }
}

const NOT_YET: [&str; 3] = ["ndjson", "jsonl", "json"];

fn format(reader: &mut Reader<'_, '_>) -> Option<Format> {
    let Spanned { value, span } = reader.text("IMPORT_FORMAT")?;
    match value.value.to_ascii_lowercase().as_str() {
        "csv" => return Some(Format::Csv),
        "parquet" => return Some(Format::Parquet),
        other if NOT_YET.contains(&other) => {
            let message = format!("the format {other} is not available yet");
            reader.error("unsupported_format", span, message, "formats are csv and parquet");
        }
        other => {
            let diagnostic = Diagnostic::error("bad_format", format!("{} is not a format", value.shown()));
            let diagnostic = diagnostic.suggest(nearest(other, ["csv", "parquet"]));
            reader.report.push(diagnostic.hint("formats are csv and parquet"), span);
        }
    }
    None
}

fn format_of_uri(reader: &mut Reader<'_, '_>, uri: &Spanned<BucketUri>) -> Option<Format> {
    let text = uri.value.as_str().to_ascii_lowercase();
    if reader.document.find("IMPORT_FORMAT").is_none()
        && let Some(suffix) = NOT_YET.iter().find(|suffix| text.ends_with(&format!(".{suffix}")))
    {
        let message = format!("files that end in .{suffix} cannot be read yet");
        reader.error("unsupported_format", uri.span, message, "formats are csv and parquet");
    }
    Format::of_key(&text)
}

fn from_timestamp(reader: &mut Reader<'_, '_>) -> Option<Spanned<Timestamp>> {
    let Spanned { value, span } = reader.expression("IMPORT_FROM_TIMESTAMP")?;
    let text = value.value.trim();
    let naive = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    if let Some(time) = text.parse::<Timestamp>().ok().or_else(naive) {
        return Some(Spanned::new(time, span));
    }
    let message = format!("{} is not a time", value.shown());
    reader.error("bad_timestamp", span, message, "write it in ISO 8601 and UTC, such as 2025-01-01T00:00:00Z");
    None
}

fn max_files(reader: &mut Reader<'_, '_>) -> Option<Spanned<u32>> {
    let Spanned { value, span } = reader.text("IMPORT_MAX_FILES")?;
    match value.value.parse::<u32>() {
        Ok(number) if (1..=MAX_BATCH_FILES).contains(&(number as usize)) => Some(Spanned::new(number, span)),
        _ => {
            let message = format!("{} is not a number of files", value.shown());
            reader.error("bad_number", span, message, format!("write a whole number from 1 to {MAX_BATCH_FILES}"));
            None
        }
    }
}
