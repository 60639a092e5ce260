//! `.datasource` files as text.
//!
//! Comments are lines of their own that begin with `#` at the start of the line: between directives, and between the
//! columns of SCHEMA, where a `#` behind spaces would be text of the block. Readers drop such lines in both places.

use connector_core::csv::CsvSettings;
use connector_core::schema::Column;
use connector_core::spec::Format;

use crate::path::JsonPath;

/// A `.datasource` file before it is text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Lines of comment at the top.
    pub comments: Vec<String>,
    pub description: Option<String>,
    /// Without any there is no SCHEMA, and the reference file decides.
    pub columns: Vec<DraftColumn>,
    /// Further columns in SCHEMA's own words, such as `id UInt64 DEFAULT 0`. They are right only if the text reads back.
    pub declarations: Vec<String>,
    /// Without columns: whether a SCHEMA to fill in stands there as a comment.
    pub suggest_schema: bool,
    /// Such as `MergeTree`.
    pub engine: Option<String>,
    /// `ENGINE_*` directives with their values.
    pub engine_settings: Vec<(&'static str, String)>,
    pub import: Option<DraftImport>,
    /// Written into the import as far as it is set, or into the comment that stands in its place.
    pub csv: CsvSettings,
    /// What the files are; decides how paths to columns are spelled.
    pub format: Option<Format>,
}

/// A column of SCHEMA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftColumn {
    /// In the table.
    pub name: String,
    /// With `Nullable(…)` where it is.
    pub ty: String,
    /// Where files keep it, as [`Column::source`].
    pub source: String,
    /// Lines of comment above it.
    pub comments: Vec<String>,
}

/// The `IMPORT_*` lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftImport {
    pub connection: String,
    pub uri: String,
    /// Such as `@auto`.
    pub schedule: String,
    /// `IMPORT_FORMAT`, where the suffix of the URI does not tell it.
    pub format: Option<Format>,
    /// `IMPORT_FROM_TIMESTAMP`.
    pub from_timestamp: Option<String>,
}

/// Why a draft cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{directive} cannot hold '{value}': {reason}")]
pub struct Unwritable {
    pub directive: &'static str,
    /// With line ends and other control characters escaped.
    pub value: String,
    pub reason: &'static str,
}

impl From<&Column> for DraftColumn {
    fn from(column: &Column) -> Self {
        let ty = if column.nullable { format!("Nullable({})", column.ty) } else { column.ty.to_string() };
        Self { name: column.name.clone(), ty, source: column.source.clone(), comments: Vec::new() }
    }
}

impl Draft {
    /// The text of the file.
    ///
    /// # Errors
    /// If a value of one line has a line end or `{{` in it, which a line cannot spell.
    pub fn to_text(&self) -> Result<String, Unwritable> {
        let mut text = String::new();
        self.comments.iter().for_each(|line| comment(&mut text, line));
        if let Some(description) = &self.description {
            text.push_str("DESCRIPTION >\n");
            for line in description.lines() {
                text.push_str(format!("    {line}").trim_end());
                text.push('\n');
            }
            text.push('\n');
        }
        if !self.columns.is_empty() || !self.declarations.is_empty() {
            self.schema(&mut text)?;
        } else if self.suggest_schema {
            schema_as_comment(&mut text);
        }
        let engine = self.engine.iter().map(|engine| ("ENGINE", engine));
        let settings = self.engine_settings.iter().map(|(name, value)| (*name, value));
        let before = text.len();
        for (name, value) in engine.chain(settings) {
            text.push_str(&format!("{name} {}\n", quoted(name, value)?));
        }
        if text.len() > before {
            text.push('\n');
        }
        match &self.import {
            Some(import) => text.push_str(&self.import_lines(import)?),
            None => self.import_as_comment(&mut text)?,
        }
        Ok(text)
    }

    fn schema(&self, text: &mut String) -> Result<(), Unwritable> {
        text.push_str("SCHEMA >\n");
        let mut left = self.columns.len() + self.declarations.len();
        let mut line = |text: &mut String, declared: &str| {
            left -= 1;
            text.push_str(&format!("    {declared}{}\n", if left == 0 { "" } else { "," }));
        };
        let headerless = self.csv.header == Some(false);
        for column in &self.columns {
            column.comments.iter().for_each(|line| comment(text, line));
            // Columns of files without a header are found by their position.
            line(text, &if headerless { declared(column, None) } else { declaration(column, self.format) });
        }
        for declared in &self.declarations {
            let declared = declared.trim().trim_end_matches(',').trim_end();
            one_line("SCHEMA", declared)?;
            line(text, declared);
        }
        text.push('\n');
        Ok(())
    }

    fn import_lines(&self, import: &DraftImport) -> Result<String, Unwritable> {
        let mut lines = String::new();
        let mut line = |name: &'static str, value: &str| {
            lines.push_str(&format!("{name} {}\n", quoted(name, value)?));
            Ok(())
        };
        line("IMPORT_CONNECTION_NAME", &import.connection)?;
        line("IMPORT_BUCKET_URI", &import.uri)?;
        line("IMPORT_SCHEDULE", &import.schedule)?;
        if let Some(format) = import.format {
            line("IMPORT_FORMAT", format.as_str())?;
        }
        if let Some(from) = &import.from_timestamp {
            line("IMPORT_FROM_TIMESTAMP", from)?;
        }
        if let Some(delimiter) = self.csv.delimiter {
            line("IMPORT_CSV_DELIMITER", &byte(delimiter))?;
        }
        if let Some(quote) = self.csv.quote {
            line("IMPORT_CSV_QUOTE", &quote.map_or_else(|| "none".to_owned(), byte))?;
        }
        if let Some(header) = self.csv.header {
            line("IMPORT_CSV_HEADER", if header { "true" } else { "false" })?;
        }
        if let Some(nulls) = &self.csv.nulls {
            line("IMPORT_CSV_NULL", &nulls.join(", "))?;
        }
        if let Some(lines) = self.csv.skip_lines {
            line("IMPORT_CSV_SKIP_LINES", &lines.to_string())?;
        }
        Ok(lines)
    }

    /// What is to be filled in before anything is imported.
    fn import_as_comment(&self, text: &mut String) -> Result<(), Unwritable> {
        let suffix = self.format.map_or("csv", Format::as_str);
        let import = DraftImport {
            connection: "my_connection".to_owned(),
            uri: format!("s3://my-bucket/path/*.{suffix}"),
            schedule: "@auto".to_owned(),
            format: None,
            from_timestamp: None,
        };
        comment(text, "to import files, put in the connection and the URI, and remove the '#' from these lines");
        commented_out(text, &self.import_lines(&import)?);
        Ok(())
    }
}

fn schema_as_comment(text: &mut String) {
    comment(
        text,
        "without SCHEMA the first file that is imported decides the columns; to decide them here, put in yours",
    );
    comment(text, "and remove the '#' from these lines");
    commented_out(text, "SCHEMA >\n    `id` UInt64,\n    `name` Nullable(String)");
    text.push('\n');
}

/// Lines that count once the `#` in front of them is gone: without a space behind it, since directives begin their line.
fn commented_out(text: &mut String, lines: &str) {
    lines.lines().for_each(|line| text.push_str(&format!("#{line}\n")));
}

/// A column as SCHEMA has it, with the path to it in files of this format where that is needed: always in files that
/// nest, else if it is spelled otherwise there.
pub fn declaration(column: &DraftColumn, format: Option<Format>) -> String {
    let is_path = |path: &String| JsonPath::parse(path).is_ok();
    let named = || format!("json:$['{}']", column.source.replace('\\', "\\\\").replace('\'', "\\'"));
    let path = match format {
        Some(Format::Csv) | None if column.source == column.name => None,
        // A header without a name has no path; such a column is found by what its name becomes in the table.
        Some(Format::Csv | Format::Parquet) if column.source.is_empty() => None,
        Some(Format::Csv | Format::Parquet) => Some(bare(&column.source).unwrap_or_else(named)).filter(is_path),
        _ if column.source == "$" => Some("json:$".to_owned()),
        _ => {
            let dot = if column.source.starts_with('[') { "" } else { "." };
            let nested = format!("json:${dot}{}", column.source);
            // A key that is called like the elements of an array is one value, unless its column holds arrays.
            let holds = |path: &JsonPath| !path.has_elements() || column.ty.starts_with("Array(");
            let same = |path: &JsonPath| path.source() == column.source && holds(path);
            let nested = Some(nested).filter(|path| JsonPath::parse(path).is_ok_and(|path| same(&path)));
            let is_key = !column.source.starts_with('[');
            nested.or_else(|| is_key.then(named)).filter(is_path)
        }
    };
    declared(column, path.as_deref())
}

/// The path to a column whose name needs no quotes.
fn bare(source: &str) -> Option<String> {
    let plain = |letter: char| letter.is_alphanumeric() || letter == '_';
    (!source.is_empty() && source.chars().all(plain)).then(|| format!("json:$.{source}"))
}

fn declared(column: &DraftColumn, path: Option<&str>) -> String {
    let path = path.map_or_else(String::new, |path| format!(" {}", back_quoted(path)));
    format!("{} {}{path}", back_quoted(&column.name), column.ty)
}

/// A text between back-quotes, with ClickHouse's escapes. What could end a line, for any reader, is an escape, too.
fn back_quoted(text: &str) -> String {
    let mut out = "`".to_owned();
    for letter in text.chars() {
        match letter {
            '`' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if ends_lines(letter) => {
                let mut bytes = [0; 4];
                letter.encode_utf8(&mut bytes).bytes().for_each(|byte| out.push_str(&format!("\\x{byte:02X}")));
            }
            _ => out.push(letter),
        }
    }
    out.push('`');
    out
}

fn ends_lines(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

/// A value of one line.
fn quoted(directive: &'static str, value: &str) -> Result<String, Unwritable> {
    one_line(directive, value)?;
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// Whether a line can hold a value.
fn one_line(directive: &'static str, value: &str) -> Result<(), Unwritable> {
    let refuse = |reason| Err(Unwritable { directive, value: value.escape_debug().to_string(), reason });
    if value.contains(ends_lines) {
        return refuse("a value ends on the line on which it begins");
    }
    if value.contains("{{") {
        return refuse("'{{' begins a secret");
    }
    Ok(())
}

/// A delimiter or quote by its name, where it has one that is easier to read.
fn byte(byte: u8) -> String {
    match byte {
        b'\t' => "tab".to_owned(),
        b' ' => "space".to_owned(),
        b'"' => "double".to_owned(),
        b'\'' => "single".to_owned(),
        other => char::from(other).to_string(),
    }
}

fn comment(text: &mut String, line: &str) {
    let line: String = line.chars().map(|letter| if ends_lines(letter) { ' ' } else { letter }).collect();
    text.push_str(format!("# {line}").trim_end());
    text.push('\n');
}
