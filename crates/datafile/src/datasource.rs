//! `.datasource` files: the columns of a table, its engine settings and its import.

use connector_core::claim::MAX_BATCH_FILES;
use connector_core::csv::{CsvSettings, column_of_position};
use connector_core::evolve::{Evolution, OnMissingColumn};
use connector_core::expr::Expr;
use connector_core::spec::{Format, OverwritePolicy, Schedule};
use connector_core::uri::{BucketUri, KeyPattern};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::column::{self, ColumnDef};
use crate::diagnostic::{Diagnostic, Report};
use crate::directives::DATASOURCE;
use crate::lexer::Body;
use crate::path::JsonPath;
use crate::reader::{Reader, Text, place_in};
use crate::secrets::Secrets;
use crate::source::{SourceFile, Span, Spanned};
use crate::suggest::nearest;
use crate::{csv, document, engine, exclude, schedule};

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
    /// `ENGINE_PARTITION_KEY`: the name of a declared column in the table.
    pub partition: Option<String>,
    /// `ENGINE_TTL`, with the names that columns have in the table.
    pub ttl: Option<Expr>,
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
    /// Keys that are left out, though the URI matches them.
    pub exclude: Vec<Spanned<KeyPattern>>,
    pub schedule: Schedule,
    /// `IMPORT_FORMAT`, else what the URI's suffix says, else `None`.
    pub format: Option<Format>,
    pub from_timestamp: Option<Spanned<Timestamp>>,
    /// Files per tick, from 1 to [`MAX_BATCH_FILES`].
    pub max_files: Option<Spanned<u32>>,
    pub evolution: Evolution,
    pub on_missing_column: OnMissingColumn,
    /// What becomes of a new version of a key that was ingested before.
    pub on_overwrite: OverwritePolicy,
    pub csv: CsvSettings,
}

/// Reads a `.datasource` file. All its problems come back at once; what was read is right only if none of them is an
/// error, but its parts can still be checked against other files.
pub fn parse_datasource(source: &SourceFile, secrets: &dyn Secrets) -> (DataSource, Vec<Diagnostic>) {
    let mut report = Report::new(source);
    let document = document::read(&mut report, &DATASOURCE);
    let mut reader = Reader { document: &document, secrets, report };
    check_name(&mut reader, source.stem());
    let description = reader.prose("DESCRIPTION");
    let mut columns = columns(&mut reader);
    let engine = engine::read(&mut reader, columns.as_deref());
    let connection = reader.text("IMPORT_CONNECTION_NAME").map(|name| name.map(|name| connection_name(&name.value)));
    let first_import = document.directives.iter().find(|directive| directive.name.value.starts_with("IMPORT_"));
    let import = first_import.and_then(|first| import(&mut reader, connection.clone(), first.name.span));
    if let (Some(columns), Some(import)) = (&mut columns, &import) {
        sources(&mut reader, columns, import);
    }
    let datasource = DataSource {
        name: source.stem().to_owned(),
        description,
        columns,
        engine: engine.settings,
        partition: engine.partition,
        ttl: engine.ttl,
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

fn import(reader: &mut Reader<'_, '_>, connection: Option<Spanned<String>>, first: Span) -> Option<Import> {
    check_service(reader);
    check_strategy(reader);
    let schedule = schedule::schedule(reader);
    let uri = uri(reader);
    let exclude = exclude::patterns(reader, uri.as_ref().map(|uri| &uri.value));
    let explicit = format(reader);
    let from_timestamp = from_timestamp(reader);
    let max_files = max_files(reader);
    for (name, example) in [("IMPORT_CONNECTION_NAME", "shop"), ("IMPORT_BUCKET_URI", "s3://my-bucket/path/*.csv")] {
        if reader.document.find(name).is_none() {
            let message = format!("{name} is missing");
            reader.error("missing_directive", first, message, format!("add a line such as: {name} {example}"));
        }
    }
    let by_suffix = || uri.as_ref().and_then(|uri| Format::of_key(uri.value.as_str()));
    let format = explicit.or_else(by_suffix);
    let csv = csv::settings(reader, format);
    let (evolution, on_missing_column) = (evolution(reader), on_missing_column(reader));
    let on_overwrite = on_overwrite(reader);
    Some(Import {
        connection: connection?,
        uri: uri?,
        exclude,
        schedule: schedule?,
        format,
        from_timestamp,
        max_files,
        evolution,
        on_missing_column,
        on_overwrite,
        csv,
    })
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

fn uri(reader: &mut Reader<'_, '_>) -> Option<Spanned<BucketUri>> {
    let Spanned { value, span } = reader.text("IMPORT_BUCKET_URI")?;
    match BucketUri::parse(&value.value) {
        Ok(uri) => Some(Spanned::new(uri, span)),
        Err(error) => {
            let place = place_in(reader.report.source, span, &value, error.offset);
            let message = format!("this is not a bucket URI: {}", error.message);
            reader.error("bad_uri", place, message, "such as s3://my-bucket/path/*.csv");
            None
        }
    }
}

const FORMATS: [&str; 5] = ["csv", "ndjson", "jsonl", "json", "parquet"];

fn format(reader: &mut Reader<'_, '_>) -> Option<Format> {
    let Spanned { value, span } = reader.text("IMPORT_FORMAT")?;
    match value.value.to_ascii_lowercase().as_str() {
        "csv" => return Some(Format::Csv),
        "ndjson" | "jsonl" | "json" => return Some(Format::Ndjson),
        "parquet" => return Some(Format::Parquet),
        other => {
            let diagnostic = Diagnostic::error("bad_format", format!("{} is not a format", value.shown()));
            let diagnostic = diagnostic.suggest(nearest(other, FORMATS));
            reader.report.push(diagnostic.hint("formats are csv, ndjson and parquet"), span);
        }
    }
    None
}

/// One of two words.
fn choice<T: Copy + Default>(
    reader: &mut Reader<'_, '_>,
    name: &str,
    code: &'static str,
    choices: [(&'static str, T, &'static str); 2],
) -> T {
    match reader.text(name) {
        Some(written) => chosen(reader, written, code, choices),
        None => T::default(),
    }
}

fn chosen<T: Copy + Default>(
    reader: &mut Reader<'_, '_>,
    Spanned { value, span }: Spanned<Text>,
    code: &'static str,
    choices: [(&'static str, T, &'static str); 2],
) -> T {
    if let Some((_, found, _)) = choices.iter().find(|(word, ..)| word.eq_ignore_ascii_case(&value.value)) {
        return *found;
    }
    let diagnostic = Diagnostic::error(code, format!("{} is not possible here", value.shown()));
    let diagnostic = diagnostic.suggest(nearest(&value.value, choices.iter().map(|(word, ..)| *word)));
    let [(one, _, does), (other, _, other_does)] = choices;
    reader.report.push(diagnostic.hint(format!("{one}: {does}; {other}: {other_does}")), span);
    T::default()
}

fn evolution(reader: &mut Reader<'_, '_>) -> Evolution {
    let choices = [
        ("evolve", Evolution::Evolve, "new columns of files are added to the table"),
        ("freeze", Evolution::Freeze, "rows with a value in a new column go to quarantine"),
    ];
    choice(reader, "IMPORT_EVOLUTION", "bad_evolution", choices)
}

fn on_missing_column(reader: &mut Reader<'_, '_>) -> OnMissingColumn {
    let choices = [
        ("quarantine", OnMissingColumn::Quarantine, "the rows of a file that lacks a column go to quarantine"),
        ("null", OnMissingColumn::Null, "a column that a file lacks counts as empty"),
    ];
    choice(reader, "IMPORT_ON_MISSING_COLUMN", "bad_on_missing_column", choices)
}

fn on_overwrite(reader: &mut Reader<'_, '_>) -> OverwritePolicy {
    const CODE: &str = "bad_on_overwrite";
    let Some(written) = reader.text("IMPORT_ON_OVERWRITE") else { return OverwritePolicy::default() };
    if written.value.value.eq_ignore_ascii_case("replace") {
        let hint = "append: the rows of a new version are added to those of the one before; ignore: it is not read";
        reader.error(CODE, written.span, "replace is not available yet", hint);
        return OverwritePolicy::default();
    }
    let choices = [
        ("ignore", OverwritePolicy::Ignore, "a new version of a key that was ingested before is not read"),
        ("append", OverwritePolicy::Append, "its rows are added to those of the version before"),
    ];
    chosen(reader, written, CODE, choices)
}

/// Where files keep the columns, as far as their format decides it.
fn sources(reader: &mut Reader<'_, '_>, columns: &mut [ColumnDef], import: &Import) {
    let headerless = import.csv.header == Some(false);
    for (position, found) in columns.iter_mut().enumerate() {
        let Some(Spanned { value: path, span }) = &found.path else {
            if headerless {
                found.column.source = column_of_position(position);
            }
            continue;
        };
        if headerless {
            let message = "files without a header have no names that a path could lead to";
            let hint = "remove the path: columns are taken in the order of SCHEMA; or remove IMPORT_CSV_HEADER false";
            reader.error("bad_path", *span, message, hint);
            continue;
        }
        match source(path, import.format) {
            Ok(source) => found.column.source = source,
            Err((message, hint)) => reader.error("bad_path", *span, message, hint),
        }
    }
}

/// What a path means in files of a format: the columns of CSV and Parquet files are called as they are called, and
/// a Parquet column that is a list is one by its type.
fn source(path: &JsonPath, format: Option<Format>) -> Result<String, (&'static str, String)> {
    let each = "declare a column for each value".to_owned();
    match format {
        None | Some(Format::Ndjson) => Ok(path.source()),
        _ if path.is_whole_record() => Err(("only NDJSON files have a whole record that is one value", each)),
        Some(Format::Csv) => path.only_name().map(str::to_owned).ok_or_else(|| {
            let hint = format!("for a header with dots or brackets write `json:$['{}']`", path.source());
            ("CSV files have no values inside of values", hint)
        }),
        Some(Format::Parquet) => {
            let column = path.without_last_elements();
            if column.has_elements() {
                let hint = "take the whole list into a JSON or String column, or use NDJSON files".to_owned();
                return Err(("a field of each element of a list cannot be taken from Parquet files", hint));
            }
            Ok(column.only_name().map_or_else(|| column.source(), str::to_owned))
        }
    }
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
