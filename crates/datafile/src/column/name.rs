//! Where a column begins: its name, or something that has no place in SCHEMA.

use super::{Bad, Parser};
use crate::directives::{DATASOURCE, is_upper_word};
use crate::source::{Span, Spanned};
use crate::tokens::{Kind, Token};

/// Signs that a name may hold without back-quotes.
const SIGNS: [char; 6] = ['.', '*', '<', '>', '+', '-'];

impl Parser<'_, '_> {
    pub(super) fn name(&mut self) -> Result<Spanned<String>, Bad> {
        let Some(token) = self.take() else { return Err(Bad) };
        if let Kind::Word(word) = &token.kind {
            self.check_misplaced(word, &token)?;
        }
        match token.kind {
            Kind::BackQuoted(path) if path.starts_with("json:") => {
                self.fail("name_expected", token.span, "a column begins with its name", "put the name before its path")
            }
            Kind::BackQuoted(name) if !name.is_empty() => Ok(Spanned::new(name, token.span)),
            Kind::Word(_) | Kind::Number(_) => self.bare_name(token.span),
            Kind::Sign(',') => self.fail("name_expected", token.span, "a column is missing here", "remove the ','"),
            _ => {
                let hint = "a name is letters, digits and '_', or anything between back-quotes";
                self.fail("name_expected", token.span, "a column begins with its name", hint)
            }
        }
    }

    /// A name without back-quotes may hold digits and some signs anywhere, as in `a.b` and `first-name`.
    fn bare_name(&mut self, first: Span) -> Result<Spanned<String>, Bad> {
        let mut span = first;
        while let Some(next) = self.peek() {
            let goes_on = matches!(&next.kind, Kind::Word(_) | Kind::Number(_))
                || matches!(next.kind, Kind::Sign(sign) if SIGNS.contains(&sign));
            if next.span.start != span.end || !goes_on {
                break;
            }
            span = span.to(next.span);
            self.at += 1;
        }
        let name = self.report.source.slice(span).to_owned();
        if name.is_ascii() {
            return Ok(Spanned::new(name, span));
        }
        let message = format!("the name {name} needs back-quotes");
        let hint = format!("write `{name}`: without back-quotes a name is made of ASCII letters, digits and '_'");
        self.fail("name_expected", span, &message, &hint)
    }

    /// Refuses what begins like a column and is something else.
    fn check_misplaced(&mut self, word: &str, token: &Token) -> Result<(), Bad> {
        let next = |ahead: usize| self.tokens.get(self.at + ahead);
        let on_line = next(0).is_some_and(|next| !next.first_on_line);
        let word_follows = |ahead: usize, words: &[&str]| {
            on_line && next(ahead).is_some_and(|next| words.iter().any(|word| next.is_word(word)))
        };
        let two_words = on_line
            && next(0).is_some_and(|next| !next.is_sign(','))
            && next(1).is_some_and(|next| matches!(next.kind, Kind::Word(_)) && !next.first_on_line);
        if is_upper_word(word)
            && DATASOURCE.find(word).is_some()
            && on_line
            && next(0).is_some_and(|next| next.is_sign('"'))
        {
            let message = format!("the directive {word} stands inside the SCHEMA block");
            let hint = "a directive begins at the start of its line";
            return self.fail("indented_directive", token.span, &message, hint);
        }
        if word == "INDEX"
            || (word.eq_ignore_ascii_case("INDEX") && two_words && !word_follows(1, &["DEFAULT", "CODEC"]))
        {
            return self.fail(
                "index_in_schema",
                token.span,
                "INDEX cannot be used in SCHEMA",
                "use the INDEXES directive",
            );
        }
        let opens = |ahead: usize| next(ahead).is_some_and(|next| next.is_sign('('));
        let (what, hint) = if word.eq_ignore_ascii_case("PROJECTION") && opens(1) && word_follows(2, &["SELECT"]) {
            ("PROJECTION", "tables have no projections, remove it")
        } else if word.eq_ignore_ascii_case("CONSTRAINT") && word_follows(1, &["CHECK", "ASSUME"]) {
            ("CONSTRAINT", "tables have no constraints, remove it")
        } else if word.eq_ignore_ascii_case("PRIMARY") && word_follows(0, &["KEY"]) {
            ("PRIMARY KEY", "use ENGINE_PRIMARY_KEY or ENGINE_SORTING_KEY")
        } else {
            return Ok(());
        };
        self.fail("clause_in_schema", token.span, &format!("{what} cannot be used in SCHEMA"), hint)
    }
}
