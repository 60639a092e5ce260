//! The SCHEMA block: `name type [json:$.name] [DEFAULT expression] [CODEC(...)]`, separated by commas.

mod codec;
mod default;
mod expressions;
mod infer;
mod name;

use connector_core::expr::Expr;
use connector_core::quarantine::OWN_COLUMNS;
use connector_core::schema::{Column, ColumnDefault, Origin, PROVENANCE_COLUMNS, is_reserved, normalise_names};
use connector_core::types::ColumnType;

use crate::default::{Literal, cell};
use crate::diagnostic::{Diagnostic, Report};
use crate::path::{self, JsonPath};
use crate::source::{Span, Spanned};
use crate::tokens::{Kind, Token, tokenise};
use crate::types::{self, Found, TypeDef};

/// One declared column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDef {
    /// From the name to the last word, without the ',' behind it.
    pub span: Span,
    /// As written.
    pub name: Spanned<String>,
    /// That of the name for a column whose type is that of its DEFAULT.
    pub type_span: Span,
    pub path: Option<Spanned<JsonPath>>,
    pub default_span: Option<Span>,
    /// `CODEC(...)`, in the order in which they are applied; empty if one of them is bad.
    pub codec: Option<Spanned<Vec<Codec>>>,
    pub column: Column,
}

pub use codec::Codec;
pub(crate) use expressions::{Names, place_of};

/// A DEFAULT as written.
enum WrittenDefault {
    Literal(Literal),
    Expression(Expr),
}

/// A column was bad; it is reported, and the next one is looked for.
struct Bad;

/// Reads the lines of a SCHEMA block.
pub(crate) fn parse(report: &mut Report<'_>, lines: &[Span]) -> Vec<ColumnDef> {
    let tokens = tokenise(report, lines);
    let mut parser = Parser { tokens: &tokens, at: 0, report, untyped: false };
    let mut columns: Vec<ColumnDef> = Vec::new();
    let mut untyped = Vec::new();
    while parser.at < tokens.len() {
        let before = parser.at;
        match parser.column() {
            Ok(column) => {
                parser.check_name(&column, &columns);
                untyped.extend(std::mem::take(&mut parser.untyped).then_some(columns.len()));
                columns.push(column);
                parser.separator();
            }
            Err(Bad) => parser.recover(before),
        }
    }
    expressions::check(report, &mut columns, &untyped);
    columns
}

struct Parser<'a, 'r> {
    tokens: &'a [Token],
    at: usize,
    report: &'a mut Report<'r>,
    /// Whether the column that was just read has the type of its DEFAULT, which is an expression.
    untyped: bool,
}

/// What a column consists of, as far as it has been read.
#[derive(Default)]
struct Parts {
    ty: Option<TypeDef>,
    /// Whether there is a type, even one that cannot be used.
    typed: bool,
    path: Option<Spanned<JsonPath>>,
    default: Option<Spanned<WrittenDefault>>,
    codec: Option<Spanned<Vec<Codec>>>,
}

impl Parser<'_, '_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    fn fail<T>(&mut self, code: &'static str, span: Span, message: &str, hint: &str) -> Result<T, Bad> {
        self.report.push(Diagnostic::error(code, message).hint(hint), span);
        Err(Bad)
    }

    fn column(&mut self) -> Result<ColumnDef, Bad> {
        let name = self.name()?;
        let mut parts = Parts::default();
        while let Some(token) = self.peek().cloned() {
            let continues = is_modifier(&token) || is_path(&token);
            let complete = parts.typed || parts.default.is_some();
            if token.is_sign(',') || (token.first_on_line && complete && !continues) {
                break;
            }
            self.part(&token, &mut parts)?;
        }
        if !parts.typed {
            self.type_of_default(&name, &mut parts)?;
        }
        // A type that cannot be used is reported; its column is still checked against the others.
        let usable = parts.ty.is_some();
        let ty = parts.ty.unwrap_or(TypeDef { ty: ColumnType::String, nullable: true, span: name.span });
        if let Some(path) = parts.path.as_ref().filter(|_| usable)
            && let Err((message, hint)) = path.value.check(&ty.ty)
        {
            self.report.push(Diagnostic::error("bad_path", message).hint(hint), path.span);
        }
        let default = parts.default.filter(|_| usable);
        let default_span = default.as_ref().map(|default| default.span);
        let column = Column {
            name: normalise_names(&[&name.value]).pop().unwrap_or_default(),
            source: parts.path.as_ref().map_or_else(|| name.value.clone(), |path| path.value.source()),
            default: default.and_then(|default| self.column_default(default, &ty)),
            ty: ty.ty,
            nullable: ty.nullable,
            origin: Origin::Declared,
        };
        let span = name.span.to(self.tokens[self.at - 1].span);
        Ok(ColumnDef { span, name, type_span: ty.span, path: parts.path, default_span, codec: parts.codec, column })
    }

    /// A column without a type has that of its DEFAULT: of a literal at once, of an expression when all columns are read.
    fn type_of_default(&mut self, name: &Spanned<String>, parts: &mut Parts) -> Result<(), Bad> {
        let Some(default) = &parts.default else {
            let message = format!("the column {} has no type", name.value);
            return self.fail("missing_type", name.span, &message, "write a type after the name, such as String");
        };
        let ty = match &default.value {
            WrittenDefault::Literal(literal) => infer::type_of(literal),
            WrittenDefault::Expression(_) => {
                self.untyped = true;
                Some(ColumnType::String)
            }
        };
        let Some(ty) = ty else {
            let message = format!("the column {} has no type, and its DEFAULT does not say which", name.value);
            return self.fail("missing_type", name.span, &message, "write a type after the name, such as String");
        };
        parts.ty = Some(TypeDef { ty, nullable: false, span: name.span });
        Ok(())
    }

    fn column_default(&mut self, default: Spanned<WrittenDefault>, ty: &TypeDef) -> Option<ColumnDefault> {
        let literal = match default.value {
            // Its columns may come further down; it is checked when all are read.
            WrittenDefault::Expression(expression) => return Some(ColumnDefault::Expression(expression)),
            WrittenDefault::Literal(literal) => literal,
        };
        let cell = cell(&literal, &ty.ty, ty.nullable).unwrap_or_else(|message| {
            let message = format!("the DEFAULT does not fit its column: {message}");
            self.report.push(Diagnostic::error("bad_default", message), default.span);
            None
        });
        cell.map(ColumnDefault::Literal)
    }

    fn part(&mut self, token: &Token, parts: &mut Parts) -> Result<(), Bad> {
        match &token.kind {
            Kind::BackQuoted(path) if path.starts_with("json:") => {
                self.at += 1;
                if parts.path.is_some() {
                    return self.fail("duplicate_path", token.span, "the column has two paths", "keep one of them");
                }
                parts.path = Some(Spanned::new(self.path(path, token.span)?, token.span));
                Ok(())
            }
            Kind::Word(word) if is_modifier(token) => {
                self.at += 1;
                self.modifier(&word.to_ascii_uppercase(), token.span, parts)
            }
            _ if !parts.typed => {
                parts.typed = true;
                match types::parse(self.tokens, &mut self.at, self.report) {
                    Found::Type(ty) => parts.ty = Some(ty),
                    Found::Unusable => {}
                    Found::Unreadable => return Err(Bad),
                }
                Ok(())
            }
            _ => {
                let hint = "after the type come `json:$.name`, DEFAULT and CODEC, then ','";
                self.fail("unexpected_in_column", token.span, "this does not belong to a column", hint)
            }
        }
    }

    fn modifier(&mut self, word: &str, span: Span, parts: &mut Parts) -> Result<(), Bad> {
        match word {
            "DEFAULT" if parts.codec.is_some() => {
                self.fail("default_after_codec", span, "DEFAULT stands after CODEC", "put DEFAULT before CODEC")
            }
            "DEFAULT" if parts.default.is_some() => {
                self.fail("duplicate_default", span, "the column has two defaults", "keep one of them")
            }
            "DEFAULT" => {
                parts.default = Some(self.default(span)?);
                Ok(())
            }
            "CODEC" if !parts.typed && parts.default.is_none() => {
                self.fail("bad_codec", span, "CODEC stands before the type", "put the type behind the name")
            }
            "CODEC" if parts.codec.is_some() => self.fail(
                "bad_codec",
                span,
                "the column has two CODECs",
                "write all codecs into one, such as CODEC(Delta, ZSTD)",
            ),
            "CODEC" => {
                parts.codec = Some(self.codec(span)?);
                Ok(())
            }
            "COMMENT" => self.fail(
                "column_comment",
                span,
                "a column cannot have a COMMENT",
                "write it as '-- text' at the end of the line",
            ),
            "NULL" => self.fail("bare_null", span, "NULL is not part of a column", "write the type as Nullable(...)"),
            "NOT" => {
                self.fail("bare_null", span, "NOT NULL is not part of a column", "columns are not null by themselves")
            }
            "TTL" => self.fail("column_ttl", span, "a column cannot have a TTL", "use ENGINE_TTL for the whole table"),
            _ => {
                let message = format!("{word} columns cannot be imported");
                self.fail("computed_column", span, &message, "declare a plain column, or remove this one")
            }
        }
    }

    fn path(&mut self, text: &str, span: Span) -> Result<JsonPath, Bad> {
        JsonPath::parse(text).or_else(|error| {
            // The token stands between back-quotes; with escapes in it, its letters are not where they seem to be.
            let as_written = self.report.source.slice(span).get(1..).is_some_and(|rest| rest.starts_with(text));
            let at = span.start + 1 + error.offset;
            let place = if as_written { Span::new(at, span.end.max(at + 1) - 1) } else { span };
            self.fail("bad_path", place, error.message, path::HINT)
        })
    }

    /// The ',' between two columns.
    fn separator(&mut self) {
        let Some(next) = self.peek().cloned() else { return };
        if next.is_sign(',') {
            self.at += 1;
            return;
        }
        let end = self.tokens[self.at - 1].span.end;
        // Nothing but a comment can stand there, and it may have swallowed the comma.
        let between = self.report.source.slice(Span::new(end, next.span.start));
        let behind = between.lines().next().unwrap_or_default().trim();
        if !behind.is_empty() && !behind.starts_with("--") {
            return;
        }
        let in_comment = behind.contains(',');
        let hint = if in_comment { "put the ',' in front of the comment" } else { "columns are separated by ','" };
        let diagnostic = Diagnostic::error("missing_comma", "a ',' is missing between two columns").label("here");
        self.report.push(diagnostic.hint(hint), Span::at(end));
    }

    /// Goes on with the next column: behind the next ',' outside parentheses, or at the start of the next line.
    fn recover(&mut self, from: usize) {
        self.at = self.at.max(from + 1);
        let mut depth = 0;
        // The comma may already have been taken.
        if self.tokens[self.at - 1].is_sign(',') {
            return;
        }
        while let Some(token) = self.peek() {
            if depth <= 0 && token.first_on_line {
                return;
            }
            depth += i32::from(token.is_sign('(')) - i32::from(token.is_sign(')'));
            let done = depth <= 0 && token.is_sign(',');
            self.at += 1;
            if done {
                return;
            }
        }
    }

    fn check_name(&mut self, new: &ColumnDef, columns: &[ColumnDef]) {
        let ColumnDef { name, column, .. } = new;
        if is_reserved(&name.value) {
            let message = format!("the column name {} is reserved", name.value);
            let own: Vec<&str> = PROVENANCE_COLUMNS.iter().chain(&OWN_COLUMNS).copied().collect();
            let hint = format!("tables and their quarantine have {} of their own; choose another name", own.join(", "));
            self.report.push(Diagnostic::error("reserved_column", message).hint(hint), name.span);
            return;
        }
        let same = |other: &&ColumnDef| other.column.name.to_lowercase() == column.name.to_lowercase();
        if let Some(first) = columns.iter().find(same) {
            let diagnostic = Diagnostic::error("duplicate_column", format!("two columns are called {}", column.name))
                .label("the second one")
                .related(self.report.source, first.name.span, "the first one")
                .hint("names that differ only in case count as the same");
            self.report.push(diagnostic, name.span);
        } else if column.name != name.value {
            let message = format!("the column '{}' is called {} in the table", name.value, column.name);
            let hint = "names in the table are letters, digits and '_'";
            self.report.push(Diagnostic::warning("renamed_column", message).hint(hint), name.span);
        }
    }
}

fn is_path(token: &Token) -> bool {
    matches!(&token.kind, Kind::BackQuoted(path) if path.starts_with("json:"))
}

fn is_modifier(token: &Token) -> bool {
    const WORDS: [&str; 9] =
        ["DEFAULT", "CODEC", "MATERIALIZED", "ALIAS", "EPHEMERAL", "TTL", "NULL", "NOT", "COMMENT"];
    WORDS.iter().any(|word| token.is_word(word))
}
