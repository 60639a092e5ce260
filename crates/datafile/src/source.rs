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
        let ended = lines(&self.text).take_while(|line| line.next <= offset && line.content.end < line.next);
        let (count, start) = ended.fold((0, 0), |(count, _), line| (count + 1, line.next));
        let before = self.text.get(start..offset).unwrap_or(&self.text[start..]);
        (count + 1, before.chars().count() + 1)
    }
}

/// A line of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Without its end.
    pub content: Span,
    /// Where the next line begins.
    pub next: usize,
}

/// The lines of a text: they end in LF, CRLF or CR, the last one perhaps in nothing.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Line> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let end = match &rest[length..] {
            behind if behind.starts_with("\r\n") => 2,
            behind => behind.len().min(1),
        };
        let line = Line { content: Span::new(start, start + length), next: start + length + end };
        start = line.next;
        Some(line)
    })
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
        let file = SourceFile::new("f", "a\rb\r\nc\n\n");
        let places: Vec<(usize, usize)> = (0..=8).map(|at| file.line_column(at)).collect();
        assert_eq!(places, [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (4, 1), (5, 1)]);
        assert_eq!(SourceFile::new("f", "").line_column(0), (1, 1));
    }
}
