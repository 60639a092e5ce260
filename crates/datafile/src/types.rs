//! Column types as `.datasource` files spell them.

use connector_core::types::ColumnType;

use crate::diagnostic::{Diagnostic, Report};
use crate::source::Span;
use crate::suggest::nearest;
use crate::tokens::{Kind, Token};

/// A type with its nullability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeDef {
    pub ty: ColumnType,
    pub nullable: bool,
    pub span: Span,
}

const PLAIN: [(&str, ColumnType); 17] = [
    ("Int8", ColumnType::Int8),
    ("Int16", ColumnType::Int16),
    ("Int32", ColumnType::Int32),
    ("Int64", ColumnType::Int64),
    ("UInt8", ColumnType::UInt8),
    ("UInt16", ColumnType::UInt16),
    ("UInt32", ColumnType::UInt32),
    ("UInt64", ColumnType::UInt64),
    ("Float32", ColumnType::Float32),
    ("Float64", ColumnType::Float64),
    ("Bool", ColumnType::Bool),
    ("Boolean", ColumnType::Bool),
    ("bool", ColumnType::Bool),
    ("boolean", ColumnType::Bool),
    ("Date", ColumnType::Date),
    ("Date32", ColumnType::Date),
    ("String", ColumnType::String),
];

const WITH_ARGUMENTS: [&str; 8] =
    ["DateTime", "DateTime64", "Decimal", "Decimal32", "Decimal64", "Decimal128", "Nullable", "LowCardinality"];

/// Types that exist and cannot be used yet, with what to write instead.
const NOT_YET: [(&str, &str); 30] = [
    ("UUID", "use String"),
    ("FixedString", "use String"),
    ("Enum", "use LowCardinality(String)"),
    ("Enum8", "use LowCardinality(String)"),
    ("Enum16", "use LowCardinality(String)"),
    ("Int128", "use Decimal(38, 0) or String"),
    ("Int256", "use String"),
    ("UInt128", "use Decimal(38, 0) or String"),
    ("UInt256", "use String"),
    ("Decimal256", "use Decimal with at most 38 digits"),
    ("BFloat16", "use Float32"),
    ("IPv4", "use String"),
    ("IPv6", "use String"),
    ("Time", "use String"),
    ("Time64", "use String"),
    ("Array", "use String"),
    ("Map", "use String"),
    ("Tuple", "use String"),
    ("Nested", "use String"),
    ("JSON", "use String"),
    ("Object", "use String"),
    ("Variant", "use String"),
    ("Dynamic", "use String"),
    ("Point", "use two Float64 columns"),
    ("Ring", "use String"),
    ("Polygon", "use String"),
    ("MultiPolygon", "use String"),
    ("AggregateFunction", "store the plain values"),
    ("SimpleAggregateFunction", "store the plain values"),
    ("Nothing", "remove the column"),
];

/// A type name with its arguments, as written.
struct Written {
    name: String,
    name_span: Span,
    /// From the name to the closing parenthesis.
    span: Span,
    /// `None` without parentheses.
    arguments: Option<Vec<Token>>,
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
    let Some(written) = read(tokens, at, report) else { return Found::Unreadable };
    interpret(&written, report).map_or(Found::Unusable, Found::Type)
}

fn read(tokens: &[Token], at: &mut usize, report: &mut Report<'_>) -> Option<Written> {
    let token = tokens.get(*at)?;
    let Kind::Word(name) = &token.kind else {
        report.push(Diagnostic::error("type_expected", "a type is expected here"), token.span);
        return None;
    };
    *at += 1;
    let mut written = Written { name: name.clone(), name_span: token.span, span: token.span, arguments: None };
    let Some(open) = tokens.get(*at).filter(|next| next.is_sign('(')) else { return Some(written) };
    let begin = *at + 1;
    let mut depth = 0;
    while let Some(token) = tokens.get(*at) {
        depth += i32::from(token.is_sign('(')) - i32::from(token.is_sign(')'));
        *at += 1;
        if depth == 0 {
            written.span = written.span.to(token.span);
            written.arguments = Some(tokens[begin..*at - 1].to_vec());
            return Some(written);
        }
    }
    report.push(Diagnostic::error("open_parenthesis", "'(' is never closed").label("opened here"), open.span);
    None
}

fn interpret(written: &Written, report: &mut Report<'_>) -> Option<TypeDef> {
    let plain = |ty| Some(TypeDef { ty, nullable: false, span: written.span });
    if let Some((_, ty)) = PLAIN.iter().find(|(name, _)| *name == written.name) {
        if written.arguments.is_some() {
            report.push(
                Diagnostic::error("type_arguments", format!("{} takes no arguments", written.name)),
                written.span,
            );
            return None;
        }
        return plain(*ty);
    }
    if let Some((name, instead)) = NOT_YET.iter().find(|(name, _)| *name == written.name) {
        let message = format!("the type {name} is not supported yet");
        report.push(Diagnostic::error("unsupported_type", message).hint(*instead), written.name_span);
        return None;
    }
    match written.name.as_str() {
        "Nullable" | "LowCardinality" => wrapper(written, report),
        "DateTime" | "DateTime64" => date_time(written, report).and_then(plain),
        "Decimal" | "Decimal32" | "Decimal64" | "Decimal128" => decimal(written, report).and_then(plain),
        unknown => {
            let known = PLAIN.iter().map(|(name, _)| *name).chain(WITH_ARGUMENTS);
            let known = known.chain(NOT_YET.iter().map(|(name, _)| *name));
            let diagnostic = Diagnostic::error("unknown_type", format!("'{unknown}' is not a type"));
            report.push(diagnostic.suggest(nearest(unknown, known)), written.name_span);
            None
        }
    }
}

fn wrapper(written: &Written, report: &mut Report<'_>) -> Option<TypeDef> {
    let name = written.name.as_str();
    let arguments = written.arguments.as_deref().unwrap_or(&[]);
    if arguments.is_empty() {
        let diagnostic = Diagnostic::error("type_arguments", format!("{name} needs a type"));
        report.push(diagnostic.hint(format!("such as {name}(String)")), written.span);
        return None;
    }
    let mut at = 0;
    let inner = read(arguments, &mut at, report)?;
    if let Some(extra) = arguments.get(at) {
        report.push(Diagnostic::error("type_arguments", format!("{name} takes one type")), extra.span);
        return None;
    }
    let wraps_wrongly = match name {
        "Nullable" => matches!(inner.name.as_str(), "Nullable" | "LowCardinality"),
        _ => inner.name == "LowCardinality",
    };
    if wraps_wrongly {
        let message = format!("{name} cannot hold {}", inner.name);
        let diagnostic = Diagnostic::error("type_arguments", message);
        report.push(diagnostic.hint("write LowCardinality(Nullable(String)), or one of the two"), inner.span);
        return None;
    }
    let inner = interpret(&inner, report)?;
    Some(TypeDef { ty: inner.ty, nullable: inner.nullable || name == "Nullable", span: written.span })
}

fn date_time(written: &Written, report: &mut Report<'_>) -> Option<ColumnType> {
    let arguments = written.arguments.as_deref().unwrap_or(&[]);
    let (precision, zone) = match (written.name.as_str(), arguments) {
        ("DateTime", []) => (None, None),
        ("DateTime", [zone]) => (None, Some(zone)),
        ("DateTime64", [precision]) => (Some(precision), None),
        ("DateTime64", [precision, comma, zone]) if comma.is_sign(',') => (Some(precision), Some(zone)),
        (name, _) => {
            let like = if name == "DateTime" { "DateTime or DateTime('UTC')" } else { "DateTime64(3)" };
            let diagnostic = Diagnostic::error("type_arguments", format!("these are not the arguments of {name}"));
            report.push(diagnostic.hint(format!("write {like}")), written.span);
            return None;
        }
    };
    if let Some(zone) = zone {
        let is_utc = matches!(&zone.kind, Kind::Text(name) if matches!(name.as_str(), "UTC" | "Etc/UTC"));
        if !is_utc {
            let diagnostic = Diagnostic::error("unsupported_type", "the only time zone that is supported yet is 'UTC'");
            report.push(diagnostic.hint("times are stored in UTC"), zone.span);
            return None;
        }
    }
    let Some(precision) = precision else { return Some(ColumnType::DateTime) };
    match number(precision) {
        Some(digits @ 0..=6) => Some(ColumnType::DateTime64 { precision: digits as u8 }),
        Some(7..=9) => {
            let diagnostic =
                Diagnostic::error("unsupported_type", "more than 6 digits of a second are not supported yet");
            report.push(diagnostic.hint("use DateTime64(6)"), precision.span);
            None
        }
        _ => {
            let message = "the precision of DateTime64 is a number from 0 to 6";
            report.push(Diagnostic::error("type_arguments", message), precision.span);
            None
        }
    }
}

fn decimal(written: &Written, report: &mut Report<'_>) -> Option<ColumnType> {
    let arguments = written.arguments.as_deref().unwrap_or(&[]);
    let (precision, scale) = match (written.name.as_str(), arguments) {
        ("Decimal", [precision]) => (number(precision), Some(0)),
        ("Decimal", [precision, comma, scale]) if comma.is_sign(',') => (number(precision), number(scale)),
        ("Decimal32", [scale]) => (Some(9), number(scale)),
        ("Decimal64", [scale]) => (Some(18), number(scale)),
        ("Decimal128", [scale]) => (Some(38), number(scale)),
        _ => (None, None),
    };
    match (precision, scale) {
        (Some(precision @ 1..=38), Some(scale)) if scale <= precision => {
            Some(ColumnType::Decimal { precision: precision as u8, scale: scale as i8 })
        }
        (Some(39..=76), Some(_)) => {
            let diagnostic = Diagnostic::error("unsupported_type", "more than 38 digits are not supported yet");
            report.push(diagnostic.hint("use Decimal with at most 38 digits, or String"), written.span);
            None
        }
        _ => {
            let message = format!("these are not the arguments of {}", written.name);
            let hint = "write Decimal(precision, scale): 1 to 38 digits, of which scale stand after the point";
            report.push(Diagnostic::error("type_arguments", message).hint(hint), written.span);
            None
        }
    }
}

fn number(token: &Token) -> Option<u32> {
    match &token.kind {
        Kind::Number(digits) => digits.parse().ok().filter(|number| *number <= 1_000),
        _ => None,
    }
}
