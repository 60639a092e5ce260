//! Expressions against the columns of SCHEMA: those that they name exist, types go together, nothing goes in a circle.

use connector_core::expr::{Expr, POSSIBLE, expression_order};
use connector_core::schema::{Column, ColumnDefault};

use super::ColumnDef;
use crate::diagnostic::{Diagnostic, Report};
use crate::source::Span;
use crate::suggest::nearest;

/// Finds columns by the names that people write.
pub(crate) struct Names {
    columns: Vec<(String, String)>,
}

impl Names {
    pub(crate) fn of(columns: &[ColumnDef]) -> Self {
        let names = |found: &ColumnDef| (found.name.value.clone(), found.column.name.clone());
        Self { columns: columns.iter().map(names).collect() }
    }

    /// The name in the table of a column that was written so, or in its name in the table.
    pub(crate) fn find(&self, written: &str) -> Option<&str> {
        let exact = self.columns.iter().find(|(own, _)| own == written);
        let found = exact.or_else(|| self.columns.iter().find(|(_, table)| table == written));
        found.map(|(_, table)| table.as_str())
    }

    /// The expression with the names of the table, or the first name that is none.
    pub(crate) fn resolve(&self, expression: Expr) -> Result<Expr, String> {
        let missing = expression.columns().into_iter().find(|name| self.find(name).is_none()).map(str::to_owned);
        match missing {
            Some(name) => Err(name),
            None => {
                Ok(expression.with_columns(&mut |name| self.find(&name).map_or_else(|| name.clone(), str::to_owned)))
            }
        }
    }

    /// A problem that says that there is no such column.
    pub(crate) fn unknown(&self, name: &str) -> Diagnostic {
        let diagnostic = Diagnostic::error("unknown_column", format!("there is no column '{name}' in SCHEMA"));
        let known = || self.columns.iter().map(|(own, _)| own.as_str());
        match nearest(name, known()) {
            Some(near) => diagnostic.suggest(Some(near)),
            None => diagnostic.hint(format!("columns are {}", known().collect::<Vec<_>>().join(", "))),
        }
    }
}

/// Checks the expressions of all defaults; a column loses its default if that is bad. `untyped`: the columns whose type
/// is that of their default.
pub(super) fn check(report: &mut Report<'_>, columns: &mut [ColumnDef], untyped: &[usize]) {
    let names = Names::of(columns);
    for found in columns.iter_mut() {
        let Some(ColumnDefault::Expression(written)) = &found.column.default else { continue };
        let span = found.default_span.unwrap_or(found.name.span);
        found.column.default = match names.resolve(written.clone()) {
            Ok(expression) => Some(ColumnDefault::Expression(expression)),
            Err(name) => {
                report.push(names.unknown(&name), place_of(report.source.slice(span), &name, span));
                None
            }
        };
    }
    // A column whose type is not known would bring a second complaint about the first.
    if report.has_bad_types() {
        return;
    }
    infer(report, columns, untyped.to_vec());
    let table = table(columns);
    for found in columns.iter_mut() {
        let Some(ColumnDefault::Expression(expression)) = &found.column.default else { continue };
        if let Err(message) = expression.check(&table, &found.column.ty) {
            let message = format!("the DEFAULT does not fit its column: {message}");
            let span = found.default_span.unwrap_or(found.name.span);
            report.push(Diagnostic::error("bad_default", message).hint(POSSIBLE), span);
            found.column.default = None;
        }
    }
    while let Err(circle) = expression_order(&self::table(columns)) {
        let found = &mut columns[circle.column];
        let span = found.default_span.unwrap_or(found.name.span);
        let diagnostic = Diagnostic::error("circular_default", circle.message);
        report.push(diagnostic.hint("one of them needs a DEFAULT that does not depend on the others"), span);
        found.column.default = None;
    }
}

fn table(columns: &[ColumnDef]) -> Vec<Column> {
    columns.iter().map(|found| found.column.clone()).collect()
}

/// Gives columns without a type that of their default, those first that depend on no other such column. Those that
/// depend on each other in a circle are left for the search for circles.
fn infer(report: &mut Report<'_>, columns: &mut [ColumnDef], mut untyped: Vec<usize>) {
    loop {
        let waits = |at: &usize| {
            let needed = expression_of(&columns[*at]).map(Expr::columns).unwrap_or_default();
            untyped.iter().any(|other| needed.contains(&columns[*other].column.name.as_str()))
        };
        let Some(ready) = untyped.iter().position(|at| !waits(at)) else { return };
        let at = untyped.swap_remove(ready);
        let Some(expression) = expression_of(&columns[at]) else { continue };
        let nullable = |name: &&str| columns.iter().any(|found| found.column.name == **name && found.column.nullable);
        let any_nullable = expression.columns().iter().any(nullable);
        match expression.result(&table(columns)) {
            Ok(ty) => (columns[at].column.ty, columns[at].column.nullable) = (ty, any_nullable),
            Err(message) => {
                let span = columns[at].default_span.unwrap_or(columns[at].name.span);
                let message = format!("the DEFAULT has no type: {message}");
                report.push(Diagnostic::error("bad_default", message).hint(POSSIBLE), span);
                columns[at].column.default = None;
            }
        }
    }
}

fn expression_of(found: &ColumnDef) -> Option<&Expr> {
    match &found.column.default {
        Some(ColumnDefault::Expression(expression)) => Some(expression),
        Some(ColumnDefault::Literal(_)) | None => None,
    }
}

/// Where a name stands in an expression; all of the expression if it is spelled otherwise there.
pub(crate) fn place_of(text: &str, name: &str, whole: Span) -> Span {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    let alone = |at: &usize| {
        let before = text[..*at].chars().next_back().is_some_and(is_letter);
        let after = text[at + name.len()..].chars().next().is_some_and(|next| is_letter(next) || next == '(');
        !before && !after
    };
    match text.match_indices(name).map(|(at, _)| at).find(alone) {
        Some(at) => Span::new(whole.start + at, whole.start + at + name.len()),
        None => whole,
    }
}
