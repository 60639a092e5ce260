//! Files as the parser sees them, and places in them.

use std::sync::Arc;

/// A range of bytes in a file, on character boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end, "a span ends before it begins");
        Self { start, end }
    }

    /// The empty span at one place.
    pub fn at(offset: usize) -> Self {
        Self { start: offset, end: offset }
    }

    /// From the start of this span to the end of the other.
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span }
    }
}

/// The name and the text of one file. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceFile {
    name: Arc<str>,
    text: Arc<str>,
}

impl SourceFile {
    /// `name` is the path as people should read it, with `/` between its parts.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty if the span lies outside the file or cuts a character.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or("")
    }

    /// The file name without folders and suffix: what the file describes is called so.
    pub fn stem(&self) -> &str {
        let file = self.name.rsplit(['/', '\\']).next().unwrap_or(&self.name);
        file.rsplit_once('.').map_or(file, |(stem, _)| stem)
    }

    /// The same file with `*` for every byte of these spans (line ends stay), so that what is secret can be left out
    /// of a printed excerpt while all spans stay valid.
    #[must_use]
    pub fn masked(&self, spans: &[Span]) -> Self {
        if spans.is_empty() {
            return self.clone();
        }
        let hidden = |at: usize| spans.iter().any(|span| (span.start..span.end).contains(&at));
        let mut text = String::with_capacity(self.text.len());
        for (at, letter) in self.text.char_indices() {
            if hidden(at) && !matches!(letter, '\n' | '\r') {
                text.extend(std::iter::repeat_n('*', letter.len_utf8()));
            } else {
                text.push(letter);
            }
        }
        Self { name: self.name.clone(), text: text.into() }
    }

    /// Line and column of a byte offset, both counted from 1, the column in characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl std::fmt::Debug for SourceFile {
    /// The name only: the text may hold what must not be printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SourceFile").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_is_the_file_name_without_folders_and_suffix() {
        for (name, stem) in [("a/b/orders.datasource", "orders"), ("orders", "orders"), ("x.y.connection", "x.y")] {
            assert_eq!(SourceFile::new(name, "").stem(), stem);
        }
    }

    #[test]
    fn masking_keeps_every_offset_and_every_line() {
        let file = SourceFile::new("f", "a é\nb");
        let masked = file.masked(&[Span::new(2, 6)]);
        assert_eq!(masked.text(), "a **\n*");
        assert_eq!(masked.text().len(), file.text().len());
    }

    #[test]
    fn lines_and_columns_are_counted_from_one_in_characters() {
        let file = SourceFile::new("f", "é x\ny");
        assert_eq!(file.line_column(0), (1, 1));
        assert_eq!(file.line_column(3), (1, 3));
        assert_eq!(file.line_column(5), (2, 1));
    }
}
