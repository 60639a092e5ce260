//! Column types as `.datasource` files spell them.

mod labels;
mod parameters;
mod refused;
mod sql;
mod structures;

use connector_core::types::{ColumnType, MAX_NESTING};

use crate::diagnostic::{Diagnostic, Report};
use crate::source::Span;
use crate::suggest::nearest;
use crate::tokens::{Kind, Token};

/// A type with its nullability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeDef {
    pub ty: ColumnType,
    pub nullable: bool,
    pub span: Span,
}

const PLAIN: [(&str, ColumnType); 23] = [
    ("Int8", ColumnType::Int8),
    ("Int16", ColumnType::Int16),
    ("Int32", ColumnType::Int32),
    ("Int64", ColumnType::Int64),
    ("Int128", ColumnType::Int128),
    ("Int256", ColumnType::Int256),
    ("UInt8", ColumnType::UInt8),
    ("UInt16", ColumnType::UInt16),
    ("UInt32", ColumnType::UInt32),
    ("UInt64", ColumnType::UInt64),
    ("UInt128", ColumnType::UInt128),
    ("UInt256", ColumnType::UInt256),
    ("Float32", ColumnType::Float32),
    ("Float64", ColumnType::Float64),
    ("Bool", ColumnType::Bool),
    ("Date", ColumnType::Date),
    ("Date32", ColumnType::Date),
    ("DateTime32", ColumnType::DateTime),
    ("String", ColumnType::String),
    ("UUID", ColumnType::Uuid),
    ("IPv4", ColumnType::Ipv4),
    ("IPv6", ColumnType::Ipv6),
    ("JSON", ColumnType::Json),
];

const WITH_ARGUMENTS: [&str; 17] = [
    "DateTime",
    "DateTime64",
    "Decimal",
    "Decimal32",
    "Decimal64",
    "Decimal128",
    "Decimal256",
    "FixedString",
    "Enum",
    "Enum8",
    "Enum16",
    "Array",
    "Map",
    "Tuple",
    "Nested",
    "Nullable",
    "LowCardinality",
];

/// What ClickHouse has no LowCardinality of, beside what has parts.
const NO_DICTIONARY: [&str; 10] =
    ["Enum", "Enum8", "Enum16", "JSON", "DateTime64", "Decimal", "Decimal32", "Decimal64", "Decimal128", "Decimal256"];

/// A type name with its arguments.
struct Written {
    /// In ClickHouse's own spelling.
    name: String,
    name_span: Span,
    /// From the name to the closing parenthesis.
    span: Span,
    /// `None` without parentheses.
    arguments: Option<Vec<Token>>,
    /// How many types it stands in.
    depth: usize,
}

/// What stands where a type should be; problems are reported.
pub(crate) enum Found {
    Type(TypeDef),
    /// Shaped like a type, but none that can be used: reading can go on behind it.
    Unusable,
    /// Not shaped like a type.
    Unreadable,
}

/// Reads the type at `*at` and moves behind it.
pub(crate) fn parse(tokens: &[Token], at: &mut usize, report: &mut Report<'_>) -> Found {
    let Some(written) = read(tokens, at, report, 0) else { return Found::Unreadable };
    interpret(&written, report).map_or(Found::Unusable, Found::Type)
}

fn read(tokens: &[Token], at: &mut usize, report: &mut Report<'_>, depth: usize) -> Option<Written> {
    let token = tokens.get(*at)?;
    let Kind::Word(name) = &token.kind else {
        report.push(Diagnostic::error("type_expected", "a type is expected here"), token.span);
        return None;
    };
    *at += 1;
    let respelled = sql::respelled(name).to_owned();
    let mut written = Written { name: respelled, name_span: token.span, span: token.span, arguments: None, depth };
    let Some(open) = tokens.get(*at).filter(|next| next.is_sign('(')) else { return Some(written) };
    let begin = *at + 1;
    let mut open_ones = 0;
    while let Some(token) = tokens.get(*at) {
        open_ones += i32::from(token.is_sign('(')) - i32::from(token.is_sign(')'));
        *at += 1;
        if open_ones == 0 {
            written.span = written.span.to(token.span);
            let arguments = &tokens[begin..*at - 1];
            written.arguments = (!sql::is_length(name, arguments)).then(|| arguments.to_vec());
            return Some(written);
        }
    }
    report.push(Diagnostic::error("open_parenthesis", "'(' is never closed").label("opened here"), open.span);
    None
}

fn interpret(written: &Written, report: &mut Report<'_>) -> Option<TypeDef> {
    let plain = |ty| Some(TypeDef { ty, nullable: false, span: written.span });
    if written.depth >= MAX_NESTING {
        let message = format!("types stand in each other more than {MAX_NESTING} levels deep");
        report.push(Diagnostic::error("type_arguments", message).hint("use JSON for the whole value"), written.span);
        return None;
    }
    let named = PLAIN.into_iter().find(|(name, _)| *name == written.name).map(|(_, ty)| ty);
    if let Some(ty) = named.or_else(|| structures::shape(&written.name)) {
        if written.arguments.is_some() {
            let diagnostic = match ty {
                ColumnType::Json => Diagnostic::error(
                    "type_arguments",
                    "the arguments of JSON are not supported: a table keeps the whole text",
                )
                .hint(
                    "leave them away; for a path with a type, declare a column of its own, with its path: `json:$.a.b`",
                ),
                _ => Diagnostic::error("type_arguments", format!("{} takes no arguments", written.name)),
            };
            report.push(diagnostic, written.span);
            return None;
        }
        return plain(ty);
    }
    if refused::is_refused(written, report) {
        return None;
    }
    match written.name.as_str() {
        "Nullable" | "LowCardinality" => wrapper(written, report),
        "Array" => structures::array(written, report).and_then(plain),
        "Map" => structures::map(written, report).and_then(plain),
        "Tuple" => structures::tuple(written, report).and_then(plain),
        "Nested" => structures::nested(written, report).and_then(plain),
        "DateTime" | "DateTime64" => parameters::date_time(written, report).and_then(plain),
        "FixedString" => parameters::fixed_string(written, report).and_then(plain),
        "Enum" | "Enum8" | "Enum16" => labels::read(written, report).and_then(plain),
        "Decimal" | "Decimal32" | "Decimal64" | "Decimal128" | "Decimal256" => {
            parameters::decimal(written, report).and_then(plain)
        }
        unknown => {
            let known = PLAIN.iter().map(|(name, _)| *name).chain(WITH_ARGUMENTS);
            let known = known.chain(refused::REFUSED.iter().map(|(name, ..)| *name));
            let diagnostic = Diagnostic::error("unknown_type", format!("'{unknown}' is not a type"));
            report.push(diagnostic.suggest(nearest(unknown, known)), written.name_span);
            None
        }
    }
}

/// The one type between the parentheses of another.
fn inner(written: &Written, report: &mut Report<'_>) -> Option<Written> {
    let name = written.name.as_str();
    let arguments = written.arguments.as_deref().unwrap_or(&[]);
    if arguments.is_empty() {
        let diagnostic = Diagnostic::error("type_arguments", format!("{name} needs a type"));
        report.push(diagnostic.hint(format!("such as {name}(String)")), written.span);
        return None;
    }
    let mut at = 0;
    let inner = read(arguments, &mut at, report, written.depth + 1)?;
    if let Some(extra) = arguments.get(at) {
        report.push(Diagnostic::error("type_arguments", format!("{name} takes one type")), extra.span);
        return None;
    }
    Some(inner)
}

fn wrapper(written: &Written, report: &mut Report<'_>) -> Option<TypeDef> {
    let name = written.name.as_str();
    let inner = inner(written, report)?;
    let hint = match (name, inner.name.as_str()) {
        ("Nullable", "Nullable" | "LowCardinality") | ("LowCardinality", "LowCardinality") => {
            "write LowCardinality(Nullable(String)), or one of the two"
        }
        ("Nullable", "Array") => "write Array(Nullable(...)): an array is empty, never NULL",
        ("Nullable", "Nested") => "leave Nullable away: it is an array, which is empty, never NULL",
        ("Nullable", "Map") => "write Map(..., Nullable(...)): a map is empty, never NULL",
        ("Nullable", name) if name == "Tuple" || structures::shape(name).is_some() => {
            "leave Nullable away, and make the types inside of it Nullable; or use Nullable(JSON)"
        }
        ("LowCardinality", "Array") => "write Array(LowCardinality(String))",
        ("LowCardinality", "Map") => "write Map(LowCardinality(String), ...)",
        ("LowCardinality", "Tuple" | "Nested") => "write it around the types inside, where they are texts or numbers",
        ("LowCardinality", name) if NO_DICTIONARY.contains(&name) || structures::shape(name).is_some() => {
            "leave LowCardinality away"
        }
        _ => "",
    };
    if !hint.is_empty() {
        let message = format!("{name} cannot hold {}", inner.name);
        report.push(Diagnostic::error("type_arguments", message).hint(hint), inner.span);
        return None;
    }
    let inner = interpret(&inner, report)?;
    Some(TypeDef { ty: inner.ty, nullable: inner.nullable || name == "Nullable", span: written.span })
}
