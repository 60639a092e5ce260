//! The way back from a tree to text: every comment, every blank line and the order of everything are part of the tree,
//! so that a file that is read and printed is the same file.
//!
//! [`Datafile::print`] gives the very text; [`Datafile::format`] the same file in the one layout that all files can
//! share, which reads as the same values:
//!
//! - names of directives in capitals, one blank before the value, two before a comment behind it;
//! - the lines of a block indented by four blanks more than they share, no blanks at the ends of lines;
//! - an empty line around each block, never two in a row, none at the start or the end; lines end in LF.

use crate::diagnostic::{Diagnostic, Report};
use crate::directives::Catalogue;
use crate::lexer::{Body, LineKind, RawDirective, lex};
use crate::reader::indentation;
use crate::source::{Line, SourceFile, Span};

/// What a piece of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Lines without anything.
    Blank,
    /// Lines of comment.
    Comment,
    /// Lines that belong to no directive, which is an error.
    Stray,
    /// A directive with its block, and with the comments in between; index into [`Datafile::directives`].
    Directive(usize),
}

/// Whole lines of a file that belong together. One after the other they are the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub kind: PieceKind,
    /// With the line end of the last line.
    pub span: Span,
}

/// A file with everything that is in it, whether it can be used or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datafile {
    source: SourceFile,
    catalogue: Catalogue,
    directives: Vec<RawDirective>,
    lines: Vec<(LineKind, Line)>,
    pieces: Vec<Piece>,
    problems: Vec<Diagnostic>,
}

impl Datafile {
    /// Takes a file apart.
    pub fn read(source: &SourceFile, catalogue: &Catalogue) -> Self {
        let mut report = Report::new(source);
        let lexed = lex(&mut report, catalogue);
        let problems = report.finish();
        Self {
            source: source.clone(),
            catalogue: *catalogue,
            pieces: pieces(&lexed.lines),
            directives: lexed.directives,
            lines: lexed.lines,
            problems,
        }
    }

    pub fn source(&self) -> &SourceFile {
        &self.source
    }

    /// In the order of the file.
    pub fn directives(&self) -> &[RawDirective] {
        &self.directives
    }

    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// What is wrong with lines, quotes and blocks. Whether directives and values are right is for the parsers.
    pub fn problems(&self) -> &[Diagnostic] {
        &self.problems
    }

    /// The text of the file.
    pub fn print(&self) -> String {
        self.pieces.iter().map(|piece| self.source.slice(piece.span)).collect()
    }

    /// The file in the one layout.
    ///
    /// # Errors
    /// [`Datafile::problems`], if there are any: how a broken line was meant is for its author to say.
    pub fn format(&self) -> Result<String, Vec<Diagnostic>> {
        if !self.problems.is_empty() {
            return Err(self.problems.clone());
        }
        let mut out = String::new();
        let (mut gap, mut after_block) = (false, false);
        for (index, piece) in self.pieces.iter().enumerate() {
            let text = match piece.kind {
                PieceKind::Blank => {
                    gap = true;
                    continue;
                }
                PieceKind::Comment | PieceKind::Stray => self.trimmed_lines(piece.span),
                PieceKind::Directive(directive) => self.formatted(piece.span, &self.directives[directive]),
            };
            // A comment in front of a block belongs to it.
            let follows_comment = index > 0 && self.pieces[index - 1].kind == PieceKind::Comment;
            if !out.is_empty() && (gap || after_block || (self.is_block(piece) && !follows_comment)) {
                out.push('\n');
            }
            out.push_str(&text);
            (gap, after_block) = (false, self.is_block(piece));
        }
        Ok(out)
    }

    fn is_block(&self, piece: &Piece) -> bool {
        let PieceKind::Directive(index) = piece.kind else { return false };
        matches!(self.directives[index].body, Body::Block(_))
    }

    /// The lines of a span without the blanks around them.
    fn trimmed_lines(&self, span: Span) -> String {
        self.lines_in(span).map(|(_, line)| format!("{}\n", blanks_off(self.source.slice(line.content)))).collect()
    }

    pub(crate) fn lines_in(&self, span: Span) -> impl Iterator<Item = &(LineKind, Line)> {
        self.lines.iter().filter(move |(_, line)| span.start <= line.content.start && line.next <= span.end)
    }

    fn formatted(&self, span: Span, directive: &RawDirective) -> String {
        let written = self.source.slice(directive.name.span);
        let known = self.catalogue.find(written).is_some();
        let mut out = if known { directive.name.value.clone() } else { written.to_owned() };
        let mut lines = self.lines_in(span);
        let first = lines.next().map_or(directive.name.span.end, |(_, line)| line.content.end);
        let behind = self.source.slice(Span::new(directive.name.span.end, first)).trim();
        let (value, comment) = match &directive.body {
            Body::Inline(words) => match (words.first(), words.last()) {
                (Some(first_word), Some(last)) => {
                    let comment = self.source.slice(Span::new(last.span.end, first)).trim();
                    (self.source.slice(first_word.span.to(last.span)), comment)
                }
                _ => ("", behind),
            },
            Body::Block(_) => (">", behind.strip_prefix('>').unwrap_or(behind).trim()),
        };
        let blank = |text: &str, blanks| if text.is_empty() { String::new() } else { format!("{blanks}{text}") };
        out.push_str(&blank(value, " "));
        out.push_str(&blank(comment, "  "));
        out.push('\n');
        let body: Vec<(LineKind, &str)> = lines.map(|(kind, line)| (*kind, self.source.slice(line.content))).collect();
        let filled: Vec<&str> =
            body.iter().filter(|(kind, _)| *kind == LineKind::Body).map(|(_, text)| *text).collect();
        let common = indentation(&filled).len();
        for (kind, text) in body {
            match kind {
                LineKind::Body => out.push_str(&format!("    {}\n", text.get(common..).unwrap_or(text).trim_end())),
                LineKind::Blank => out.push('\n'),
                _ => out.push_str(&format!("{}\n", blanks_off(text))),
            }
        }
        out
    }
}

/// A comment without blanks around it, and without a byte order mark.
fn blanks_off(text: &str) -> &str {
    text.trim_start_matches('\u{feff}').trim()
}

/// Lines to pieces: a block reaches to its last line that is not blank; comments behind that belong to what follows.
fn pieces(lines: &[(LineKind, Line)]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut begun = 0;
    for (index, (kind, line)) in lines.iter().enumerate() {
        let start = if index == 0 { 0 } else { lines[index - 1].1.next };
        let span = Span::new(start, line.next);
        let opener = pieces.iter().rposition(|piece| matches!(piece.kind, PieceKind::Directive(_)));
        if let Some(opener) = opener.filter(|_| *kind == LineKind::Body) {
            // What stands between the lines of a block is part of it.
            pieces.truncate(opener + 1);
            pieces[opener].span = pieces[opener].span.to(span);
            continue;
        }
        let kind = match kind {
            LineKind::Blank => PieceKind::Blank,
            LineKind::Comment => PieceKind::Comment,
            LineKind::Stray | LineKind::Body => PieceKind::Stray,
            LineKind::Directive => {
                begun += 1;
                PieceKind::Directive(begun - 1)
            }
        };
        match pieces.last_mut().filter(|last| last.kind == kind) {
            Some(last) => last.span = last.span.to(span),
            None => pieces.push(Piece { kind, span }),
        }
    }
    pieces
}
