//! Lines to directives with words and blocks.
//!
//! - A directive is the first word of a line that is not indented; case does not matter. Its arguments are words in
//!   the manner of a shell: one pair of quotes around a word is dropped, `#` at the start of a word begins a comment.
//! - `DIRECTIVE >` opens a block of indented lines, which ends at the next directive. In a block `#` is text.
//! - Lines that are indented, or not, against these rules are taken for what they must mean, with a warning.
//! - Lines end in LF, CRLF or CR.
//! - `{{ ... }}` is one piece of a word, whatever quotes and spaces it holds.

use crate::diagnostic::{Diagnostic, Report};
use crate::directives::{Catalogue, is_upper_word};
use crate::source::{Line, Span, Spanned, lines};

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    /// From `{{` to `}}`.
    Template(Span),
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub parts: Vec<Part>,
    /// With the quotes.
    pub span: Span,
}

/// What follows the name of a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The words on the same line.
    Inline(Vec<Word>),
    /// The lines below, without line ends; blank ones too, but none at the end.
    Block(Vec<Span>),
}

/// A directive as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawDirective {
    /// In capitals.
    pub name: Spanned<String>,
    pub body: Body,
}

impl RawDirective {
    /// Where the arguments or the lines of the block are; `None` if there are none.
    pub fn body_span(&self) -> Option<Span> {
        match &self.body {
            Body::Inline(words) => Some(words.first()?.span.to(words.last()?.span)),
            Body::Block(lines) => Some(lines.first()?.to(*lines.last()?)),
        }
    }
}

/// The byte order mark.
const MARK: char = '\u{feff}';

/// What a line of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    Blank,
    /// Between directives, or in a block without being part of it.
    Comment,
    /// It begins a directive.
    Directive,
    /// Of the block of the directive above.
    Body,
    /// It belongs to no directive.
    Stray,
}

/// A file, line by line and directive by directive.
pub(crate) struct Lexed {
    pub directives: Vec<RawDirective>,
    /// All of them; one of the kind [`LineKind::Directive`] for each directive.
    pub lines: Vec<(LineKind, Line)>,
}

/// Splits a file into directives.
pub(crate) fn lex(report: &mut Report<'_>, catalogue: &Catalogue) -> Lexed {
    let text = report.source.text();
    let mut lexer = Lexer { catalogue, report, directives: Vec::new(), in_block: false, complained: false };
    let mut kinds = Vec::new();
    for line in lines(text) {
        let Span { start, end } = line.content;
        let mark = if start == 0 && text.starts_with(MARK) { MARK.len_utf8() } else { 0 };
        kinds.push((lexer.line(Span::new(start + mark, end)), line));
    }
    for directive in &mut lexer.directives {
        if let Body::Block(lines) = &mut directive.body {
            let filled = lines.iter().rposition(|line| !text[line.start..line.end].trim().is_empty());
            lines.truncate(filled.map_or(0, |last| last + 1));
        }
    }
    Lexed { directives: lexer.directives, lines: kinds }
}

struct Lexer<'a, 'r> {
    catalogue: &'a Catalogue,
    report: &'a mut Report<'r>,
    directives: Vec<RawDirective>,
    in_block: bool,
    /// A complaint about misplaced lines is made once for each run of them.
    complained: bool,
}

impl Lexer<'_, '_> {
    fn line(&mut self, line: Span) -> LineKind {
        let line = self.without_mark(line);
        let content = self.report.source.slice(line);
        let trimmed = content.trim_start();
        let begin = line.end - trimmed.len();
        let indented = begin > line.start;
        if trimmed.is_empty() {
            self.add_to_block(line);
            LineKind::Blank
        } else if indented && self.in_block {
            self.add_to_block(line);
            LineKind::Body
        } else if trimmed.starts_with('#') {
            LineKind::Comment
        } else if indented {
            self.indented_outside_a_block(Span::new(begin, line.end), line)
        } else if self.is_body_without_indent(trimmed) {
            self.complain(
                Diagnostic::warning("unindented_block", "a line of a block is not indented")
                    .label("put spaces in front")
                    .hint("a line that is not indented is a directive wherever it begins like one"),
                line,
            );
            self.add_to_block(line);
            LineKind::Body
        } else {
            self.directive(line)
        }
    }

    /// A byte order mark that does not begin the file comes from files that were put together, and is not to be seen.
    fn without_mark(&mut self, line: Span) -> Span {
        let content = self.report.source.slice(line);
        let rest = content.trim_start_matches(MARK);
        let span = Span::new(line.end - rest.len(), line.end);
        if span != line {
            let diagnostic = Diagnostic::error("byte_order_mark", "a byte order mark stands in the middle of the file");
            let hint = "remove the invisible character at the start of the line";
            self.report.push(diagnostic.hint(hint), Span::new(line.start, span.start));
        }
        span
    }

    fn add_to_block(&mut self, line: Span) {
        if !self.in_block {
            return;
        }
        if let Some(RawDirective { body: Body::Block(lines), .. }) = self.directives.last_mut() {
            lines.push(line);
        }
    }

    fn complain(&mut self, diagnostic: Diagnostic, span: Span) {
        if !std::mem::replace(&mut self.complained, true) {
            self.report.push(diagnostic, span);
        }
    }

    /// An unindented line below `DIRECTIVE >` that is no directive, known or misspelled.
    fn is_body_without_indent(&self, line: &str) -> bool {
        let word = first_word(line);
        let block_is_empty = matches!(self.directives.last(), Some(RawDirective { body: Body::Block(lines), .. })
            if lines.iter().all(|line| self.report.source.slice(*line).trim().is_empty()));
        self.in_block
            && !self.catalogue.looks_like_one(word)
            && (block_is_empty || self.complained || !is_upper_word(word))
    }

    fn indented_outside_a_block(&mut self, content: Span, line: Span) -> LineKind {
        let word = first_word(self.report.source.slice(content));
        if self.catalogue.find(word).is_some() {
            let span = Span::new(content.start, content.start + word.len());
            self.report.push(
                Diagnostic::warning("indented_directive", format!("the directive {word} is indented"))
                    .label("begins too far to the right")
                    .hint("behind a block it would be a part of it: a directive begins at the start of its line"),
                span,
            );
            return self.directive(content);
        }
        let opener = self.directives.last_mut().filter(|last| last.body == Body::Inline(Vec::new()));
        if let Some(last) = opener {
            let (name, span) = (last.name.value.clone(), last.name.span);
            last.body = Body::Block(vec![line]);
            self.in_block = true;
            self.report.push(
                Diagnostic::error("missing_block_mark", format!("{name} is followed by a block, but lacks its '>'"))
                    .hint(format!("write '{name} >'")),
                span,
            );
            return LineKind::Body;
        }
        self.complain(
            Diagnostic::error("stray_line", "this line belongs to no directive")
                .hint("a block begins with 'DIRECTIVE >'; a directive begins at the start of its line"),
            content,
        );
        LineKind::Stray
    }

    fn directive(&mut self, line: Span) -> LineKind {
        let content = self.report.source.slice(line);
        let word = first_word(content);
        let name = Spanned::new(word.to_ascii_uppercase(), Span::new(line.start, line.start + word.len()));
        let words = words(self.report, Span::new(name.span.end, line.end), true);
        let opens_block = words.first().is_some_and(|word| self.report.source.slice(word.span).starts_with('>'));
        if opens_block && (words.len() > 1 || self.report.source.slice(words[0].span).len() > 1) {
            let span = words[0].span.to(words[words.len() - 1].span);
            self.report.push(
                Diagnostic::error("text_after_block_mark", format!("there is text after the '>' of {}", name.value))
                    .hint("a block begins on the next line, indented"),
                Span::new(span.start + 1, span.end),
            );
        }
        let body = if opens_block { Body::Block(Vec::new()) } else { Body::Inline(words) };
        self.in_block = opens_block;
        self.complained = false;
        self.directives.push(RawDirective { name, body });
        LineKind::Directive
    }
}

fn first_word(line: &str) -> &str {
    let end = line.find(|letter: char| letter.is_whitespace() || letter == '>').unwrap_or(line.len());
    // A line may begin with '>': the word is then that one letter.
    if end == 0 { &line[..line.chars().next().map_or(0, char::len_utf8)] } else { &line[..end] }
}

/// Splits a part of one line into words.
pub(crate) fn words(report: &mut Report<'_>, line: Span, comments: bool) -> Vec<Word> {
    let source = report.source;
    let text = source.slice(line);
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        if at == text.len() || (comments && text[at..].starts_with('#')) {
            return found;
        }
        let mut scan = WordScan { text, at, base: line.start, parts: Vec::new(), report: &mut *report };
        scan.word();
        found.push(Word { parts: scan.parts, span: Span::new(line.start + at, line.start + scan.at) });
        at = found.last().map_or(text.len(), |word| word.span.end - line.start);
    }
}

struct WordScan<'a, 'r> {
    text: &'a str,
    at: usize,
    /// Where `text` begins in the file.
    base: usize,
    parts: Vec<Part>,
    report: &'a mut Report<'r>,
}

impl WordScan<'_, '_> {
    fn word(&mut self) {
        let mut quote = self.peek().filter(|letter| matches!(letter, '"' | '\''));
        let opened = Span::new(self.base + self.at, self.base + self.at + usize::from(quote.is_some()));
        self.at += usize::from(quote.is_some());
        while let Some(letter) = self.peek() {
            if self.text[self.at..].starts_with("{{") {
                self.template();
                continue;
            }
            let escaped = self.text[self.at + letter.len_utf8()..].chars().next();
            match (quote, letter) {
                (None, blank) if blank.is_whitespace() => return,
                (Some(open), close) if open == close => {
                    quote = None;
                    self.at += 1;
                }
                (Some('"'), '\\') if matches!(escaped, Some('"' | '\\')) => {
                    self.at += 1;
                    self.take();
                }
                _ => self.take(),
            }
        }
        if let Some(quote) = quote {
            self.report.push(
                Diagnostic::error("open_quote", format!("the quote {quote} is never closed"))
                    .label("opened here")
                    .hint("a value ends on the line on which it begins"),
                opened,
            );
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) {
        let Some(letter) = self.peek() else { return };
        self.at += letter.len_utf8();
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push(letter),
            _ => self.parts.push(Part::Text(letter.to_string())),
        }
    }

    fn template(&mut self) {
        let rest = &self.text[self.at..];
        let Some(length) = rest.find("}}").map(|end| end + 2) else {
            self.report.push(
                Diagnostic::error("open_template", "'{{' is never closed").label("opened here"),
                Span::new(self.base + self.at, self.base + self.at + 2),
            );
            self.parts.push(Part::Text(rest.to_owned()));
            self.at = self.text.len();
            return;
        };
        self.parts.push(Part::Template(Span::new(self.base + self.at, self.base + self.at + length)));
        self.at += length;
    }
}

#[cfg(test)]
#[path = "lexer_tests.rs"]
mod tests;
