//! Words to values, with secrets resolved.

use crate::diagnostic::{Diagnostic, Report};
use crate::document::Document;
use crate::lexer::{Body, Part, RawDirective, Word, words};
use crate::secrets::Secrets;
use crate::source::{SourceFile, Span, Spanned};

/// A resolved value.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    pub value: String,
    /// Whether a secret took part: then the value must not be printed.
    pub secret: bool,
}

impl Text {
    /// The value as a message may show it.
    pub fn shown(&self) -> String {
        if self.secret { "the value of the secret".to_owned() } else { format!("'{}'", self.value) }
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

/// Reads the values of one file's directives.
pub(crate) struct Reader<'a, 'r> {
    pub document: &'a Document,
    pub secrets: &'a dyn Secrets,
    pub report: Report<'r>,
}

impl Reader<'_, '_> {
    pub fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.report.push(Diagnostic::error(code, message).hint(hint), span);
    }

    /// The one value of a directive. `None` if the directive is absent or its value is bad, which is reported.
    pub fn text(&mut self, name: &str) -> Option<Spanned<Text>> {
        let directive = self.document.find(name)?;
        let words = self.value_words(directive);
        self.only(directive, &words)
    }

    /// All values of a directive that may be repeated and may take several at a time. A bad one is reported and left out.
    ///
    /// Without a value on one of its lines, that is reported, too.
    pub fn texts(&mut self, name: &str) -> Vec<Spanned<Text>> {
        let mut texts = Vec::new();
        let document = self.document;
        for directive in document.directives.iter().filter(|directive| directive.name.value == name) {
            let words = self.value_words(directive);
            if words.is_empty() {
                self.only(directive, &words);
            }
            texts.extend(words.iter().filter_map(|word| self.resolve(word)));
        }
        texts
    }

    fn only(&mut self, directive: &RawDirective, words: &[Word]) -> Option<Spanned<Text>> {
        let name = &directive.name;
        match words {
            [] => {
                let diagnostic = Diagnostic::error("missing_value", format!("{} needs a value", name.value));
                self.report.push(diagnostic, name.span);
                None
            }
            [word] => self.resolve(word),
            [first, .., last] => {
                let message = format!("{} takes one value, here are {}", name.value, words.len());
                self.error(
                    "too_many_values",
                    first.span.to(last.span),
                    message,
                    "put quotes around a value with spaces",
                );
                None
            }
        }
    }

    /// The value of a directive that may hold spaces, such as an expression: one word, or else the text as written.
    pub fn expression(&mut self, name: &str) -> Option<Spanned<Text>> {
        let directive = self.document.find(name)?;
        let words = self.value_words(directive);
        match words.as_slice() {
            [] | [_] => self.only(directive, &words),
            [first, .., last] => {
                let span = first.span.to(last.span);
                let source = self.report.source;
                let value = match &directive.body {
                    Body::Inline(_) => source.slice(span).to_owned(),
                    // However a block is indented, it says the same; comments between its lines are not part of it.
                    Body::Block(lines) => {
                        let parts = lines.iter().map(|line| source.slice(*line).trim());
                        parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
                    }
                };
                Some(Spanned::new(Text { value, secret: false }, span))
            }
        }
    }

    /// The value of a directive that may hold blanks, but is no expression: several words stand for the text as written,
    /// unless a secret is among them.
    pub fn phrase(&mut self, name: &str) -> Option<Spanned<Text>> {
        let template = |word: &Word| word.parts.iter().any(|part| matches!(part, Part::Template(_)));
        let words = self.document.find(name).map(|directive| self.value_words(directive))?;
        if words.iter().any(template) { self.text(name) } else { self.expression(name) }
    }

    /// The text of a block without its indentation, or the words of a line.
    pub fn prose(&mut self, name: &str) -> Option<Spanned<String>> {
        let directive = self.document.find(name)?;
        let span = directive.body_span().unwrap_or(directive.name.span);
        let value = match &directive.body {
            Body::Block(lines) => dedent(&lines.iter().map(|line| self.report.source.slice(*line)).collect::<Vec<_>>()),
            Body::Inline(words) => {
                let words: Vec<String> =
                    words.iter().filter_map(|word| self.resolve(word)).map(|word| word.value.value).collect();
                words.join(" ")
            }
        };
        Some(Spanned::new(value, span))
    }

    /// The lines of a block, or what stands between the quotes of the one value on the line; `None` for anything else.
    pub fn lines(&self, directive: &RawDirective) -> Option<Vec<Span>> {
        match &directive.body {
            Body::Block(lines) => Some(lines.clone()),
            Body::Inline(words) => {
                let [Word { span, .. }] = words.as_slice() else { return None };
                let text = self.report.source.slice(*span);
                let quoted = text.len() >= 2
                    && ['"', '\''].iter().any(|quote| text.starts_with(*quote) && text.ends_with(*quote));
                quoted.then(|| vec![Span::new(span.start + 1, span.end - 1)])
            }
        }
    }

    fn value_words(&mut self, directive: &RawDirective) -> Vec<Word> {
        match &directive.body {
            Body::Inline(words) => words.clone(),
            Body::Block(lines) => lines.iter().flat_map(|line| words(&mut self.report, *line, false)).collect(),
        }
    }

    fn resolve(&mut self, word: &Word) -> Option<Spanned<Text>> {
        let mut value = Text { value: String::new(), secret: false };
        let mut complete = true;
        for part in &word.parts {
            match part {
                Part::Text(text) => value.value.push_str(text),
                Part::Template(span) => match self.template(*span) {
                    Some(text) => {
                        value.value.push_str(&text);
                        value.secret = true;
                    }
                    None => complete = false,
                },
            }
        }
        complete.then_some(Spanned::new(value, word.span))
    }

    fn template(&mut self, span: Span) -> Option<String> {
        let text = self.report.source.slice(span);
        let Some(call) = parse_call(text.trim_start_matches("{{").trim_end_matches("}}")) else {
            self.error(
                "bad_template",
                span,
                "between '{{' and '}}' only a secret can be named",
                "write {{ tb_secret(\"NAME\") }} or {{ tb_secret(\"NAME\", \"default\") }}",
            );
            return None;
        };
        if let Some(secret) = self.secrets.lookup(call.name) {
            return Some(secret.expose().to_owned());
        }
        if let Some(default) = call.default {
            return Some(default.to_owned());
        }
        let name = call.name;
        let diagnostic = Diagnostic::error("missing_secret", format!("the secret '{name}' is not set"))
            .label("needed here")
            .hint(format!("set the environment variable {name}, or give a default: tb_secret(\"{name}\", \"...\")"));
        self.report.push(diagnostic, span);
        None
    }
}

/// A word without its quotes, secrets by nothing but their names.
pub(crate) fn written(word: &Word) -> String {
    let text = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Template(_) => "{{...}}".to_owned(),
    };
    word.parts.iter().map(text).collect()
}

/// The character of a value that is wrong, if the value stands in the file letter by letter; else all of it.
pub(crate) fn place_in(source: &SourceFile, span: Span, value: &Text, offset: usize) -> Span {
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

/// A call of `tb_secret`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecretCall<'a> {
    pub name: &'a str,
    pub default: Option<&'a str>,
}

/// Reads `tb_secret("NAME"[, "default"])`.
pub(crate) fn parse_call(text: &str) -> Option<SecretCall<'_>> {
    let rest = text.trim().strip_prefix("tb_secret")?.trim_start().strip_prefix('(')?;
    let (name, rest) = quoted(rest.trim_start())?;
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(allowed) {
        return None;
    }
    let rest = rest.trim_start();
    let (default, rest) = match rest.strip_prefix(',') {
        Some(rest) => {
            let (default, rest) = quoted(rest.trim_start())?;
            (Some(default), rest.trim_start())
        }
        None => (None, rest),
    };
    rest.strip_prefix(')')?.trim().is_empty().then_some(SecretCall { name, default })
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|letter| matches!(letter, '"' | '\''))?;
    text[1..].split_once(quote)
}

/// The lines without the blanks that all of them begin with, and without blank ones around them.
pub(crate) fn dedent(lines: &[&str]) -> String {
    let common = indentation(lines).len();
    let dedented: Vec<&str> = lines.iter().map(|line| line.get(common..).unwrap_or("").trim_end()).collect();
    dedented.join("\n").trim_matches('\n').to_owned()
}

/// The blanks that all lines begin with, but for those that have nothing else.
pub(crate) fn indentation<'a>(lines: &[&'a str]) -> &'a str {
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let blanks = |line: &&'a str| &line[..line.len() - line.trim_start().len()];
    let common = |one: &'a str, other: &'a str| {
        let same = one.char_indices().zip(other.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
        &one[..same.unwrap_or(one.len().min(other.len()))]
    };
    filled.map(blanks).reduce(common).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_tb_secret_are_read_and_anything_else_is_refused() {
        let call = |name, default| Some(SecretCall { name, default });
        for (text, expected) in [
            (" tb_secret(\"A\") ", call("A", None)),
            ("tb_secret('A_1' , 'x y')", call("A_1", Some("x y"))),
            ("tb_secret(\"A\", \"\")", call("A", Some(""))),
            ("tb_secret(A)", None),
            ("tb_secret(\"A\"", None),
            ("tb_secret(\"A\") x", None),
            ("tb_secret(\"A\", b)", None),
            ("tb_secret(\"\")", None),
            ("env(\"A\")", None),
        ] {
            assert_eq!(parse_call(text), expected, "{text}");
        }
    }

    #[test]
    fn a_block_loses_the_indentation_that_its_lines_share() {
        assert_eq!(dedent(&["    a", "", "      b  ", "    c"]), "a\n\n  b\nc");
        assert_eq!(dedent(&["\ta", "\t\tb"]), "a\n\tb");
        assert_eq!(dedent(&["\ta", "  b"]), "\ta\n  b");
        assert_eq!(dedent(&["\u{3000}a", " b"]), "\u{3000}a\n b", "nothing is lost");
    }
}
