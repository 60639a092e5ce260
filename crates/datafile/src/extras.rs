//! Directives that are read and checked, and that nothing here uses: TOKEN, TAGS, SHARED_WITH, FORWARD_QUERY, BACKFILL
//! and INDEXES.

use crate::column::ColumnDef;
use crate::diagnostic::Diagnostic;
use crate::indexes::{self, IndexDef};
use crate::lexer::{Body, RawDirective};
use crate::reader::{Reader, written};
use crate::source::{Span, Spanned};
use crate::suggest::nearest;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    Read,
    Append,
}

/// `TOKEN "name" READ`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenDef {
    pub name: String,
    pub permission: Permission,
}

/// What a file says beyond what is used here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    pub tokens: Vec<TokenDef>,
    /// Entries of `TAGS` with a `=`, which are for operation.
    pub settings: Vec<(String, String)>,
    /// The other entries of `TAGS`, which are for search.
    pub tags: Vec<String>,
    /// The workspaces of `SHARED_WITH`.
    pub shared_with: Vec<String>,
    pub indexes: Vec<IndexDef>,
    /// The SQL of `FORWARD_QUERY`, without its indentation.
    pub forward_query: Option<String>,
    /// `BACKFILL skip`.
    pub skips_backfill: bool,
}

/// Reads the directives that are ignored; problems are reported.
pub(crate) fn read(reader: &mut Reader<'_, '_>, columns: Option<&[ColumnDef]>) -> Extras {
    let mut extras = Extras::default();
    let document = reader.document;
    for directive in &document.ignored {
        match directive.name.value.as_str() {
            "TOKEN" => extras.tokens.extend(token(reader, directive)),
            "TAGS" => tags(reader, directive, &mut extras),
            "SHARED_WITH" => shared_with(reader, directive, &mut extras),
            "FORWARD_QUERY" => extras.forward_query = forward_query(reader, directive),
            "BACKFILL" => extras.skips_backfill = backfill(reader, directive),
            "INDEXES" => extras.indexes = indexes::read(reader, directive, columns),
            _ => {}
        }
    }
    extras
}

fn token(reader: &mut Reader<'_, '_>, directive: &RawDirective) -> Option<TokenDef> {
    const EXAMPLE: &str = "write TOKEN \"name\" READ, or APPEND";
    let words = match &directive.body {
        Body::Inline(words) => words.as_slice(),
        Body::Block(_) => &[],
    };
    let [name, permission] = words else {
        let span = directive.body_span().unwrap_or(directive.name.span);
        reader.error("bad_token", span, "TOKEN takes a name and what it may do", EXAMPLE);
        return None;
    };
    let asked = written(permission);
    let permission = match asked.to_ascii_uppercase().as_str() {
        "READ" => Permission::Read,
        "APPEND" => Permission::Append,
        other => {
            let message = format!("'{asked}' is nothing that a token may do here");
            let diagnostic = Diagnostic::error("bad_token", message).suggest(nearest(other, ["READ", "APPEND"]));
            reader.report.push(diagnostic.hint(EXAMPLE), permission.span);
            return None;
        }
    };
    Some(TokenDef { name: written(name), permission })
}

/// The text of a line or block, and where it stands. Nothing at all is reported.
fn body(reader: &mut Reader<'_, '_>, directive: &RawDirective) -> Option<Spanned<String>> {
    let Some(span) = directive.body_span() else {
        let message = format!("{} needs a value", directive.name.value);
        reader.report.push(Diagnostic::error("missing_value", message), directive.name.span);
        return None;
    };
    let value = match &directive.body {
        Body::Inline(words) => words.iter().map(written).collect::<Vec<_>>().join(" "),
        Body::Block(lines) => {
            let unquoted = |line: &Span| reader.report.source.slice(*line).trim().trim_matches('"').to_owned();
            lines.iter().map(unquoted).collect::<Vec<_>>().join("\n")
        }
    };
    Some(Spanned::new(value, span))
}

fn tags(reader: &mut Reader<'_, '_>, directive: &RawDirective, extras: &mut Extras) {
    let Some(tags) = body(reader, directive) else { return };
    for entry in tags.value.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
        match entry.split_once('=') {
            Some((key, value)) => extras.settings.push((key.trim().to_owned(), value.trim().to_owned())),
            None => extras.tags.push(entry.to_owned()),
        }
    }
}

fn shared_with(reader: &mut Reader<'_, '_>, directive: &RawDirective, extras: &mut Extras) {
    let Some(names) = body(reader, directive) else { return };
    let found: Vec<String> =
        names.value.split([',', '\n']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if found.is_empty() {
        let hint = "name workspaces, between commas or on lines of their own";
        reader.error("missing_value", names.span, "SHARED_WITH names no workspace", hint);
    }
    extras.shared_with.extend(found);
}

fn forward_query(reader: &mut Reader<'_, '_>, directive: &RawDirective) -> Option<String> {
    let span = directive.name.span;
    match &directive.body {
        Body::Block(lines) if !lines.is_empty() => {
            let lines: Vec<&str> = lines.iter().map(|line| reader.report.source.slice(*line)).collect();
            Some(crate::reader::dedent(&lines))
        }
        Body::Block(_) => {
            reader.error("missing_value", span, "FORWARD_QUERY is empty", "write its SQL below, indented");
            None
        }
        Body::Inline(_) => {
            let hint = "write 'FORWARD_QUERY >', then the SQL on the lines below, indented";
            reader.error("missing_block_mark", span, "FORWARD_QUERY is a block", hint);
            None
        }
    }
}

fn backfill(reader: &mut Reader<'_, '_>, directive: &RawDirective) -> bool {
    let Some(value) = body(reader, directive) else { return false };
    let skips = value.value.eq_ignore_ascii_case("skip");
    if !skips {
        let message = format!("'{}' is not possible here", value.value);
        reader.error("bad_backfill", value.span, message, "the only value is skip");
    }
    skips
}
