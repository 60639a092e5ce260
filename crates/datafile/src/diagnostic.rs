//! Problems of configuration files, and how they are printed.

use std::fmt;

use codespan_reporting::diagnostic::{Diagnostic as Rendered, Label, Severity as RenderedSeverity};
use codespan_reporting::files::SimpleFiles;
use codespan_reporting::term::{self, Chars, Config, termcolor::Ansi};
use connector_core::error::{ErrorClass, Failure};

use crate::source::{SourceFile, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// A span of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: SourceFile,
    pub span: Span,
}

/// One problem. The message says what is wrong, the label under the caret says it of that very place, the hints say
/// what to do. None of them holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A bounded label, such as `unknown_directive`.
    pub code: &'static str,
    pub message: String,
    /// `None` if the problem is not in a file, such as a bad environment variable.
    pub place: Option<Place>,
    pub label: Option<String>,
    /// Other places that belong to the problem, such as the first of two duplicates.
    pub related: Vec<(Place, String)>,
    pub hints: Vec<String>,
}

impl Diagnostic {
    pub fn new(severity: Severity, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity, code, message, place: None, label: None, related: Vec::new(), hints: Vec::new() }
    }

    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    #[must_use]
    pub fn at(mut self, file: &SourceFile, span: Span) -> Self {
        self.place = Some(Place { file: file.clone(), span });
        self
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub fn related(mut self, file: &SourceFile, span: Span, label: impl Into<String>) -> Self {
        self.related.push((Place { file: file.clone(), span }, label.into()));
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// A hint `did you mean 'x'?` if there is something to suggest.
    #[must_use]
    pub fn suggest(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(suggestion) => self.hint(format!("did you mean '{suggestion}'?")),
            None => self,
        }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Shows another text of the same file, one in which secrets are masked.
    pub(crate) fn show_instead(&mut self, file: &SourceFile) {
        let places = self.related.iter_mut().map(|(place, _)| place).chain(self.place.as_mut());
        for place in places.filter(|place| place.file.name() == file.name()) {
            place.file = file.clone();
        }
    }
}

impl fmt::Display for Diagnostic {
    /// One line: `file:line:column: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            let (line, column) = place.file.line_column(place.span.start);
            write!(f, "{}:{line}:{column}: ", place.file.name())?;
        }
        f.write_str(&self.message)
    }
}

/// Collects the problems of one file.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    pub source: &'a SourceFile,
    pub diagnostics: Vec<Diagnostic>,
}

impl<'a> Report<'a> {
    pub fn new(source: &'a SourceFile) -> Self {
        Self { source, diagnostics: Vec::new() }
    }

    pub fn push(&mut self, diagnostic: Diagnostic, span: Span) {
        self.diagnostics.push(diagnostic.at(self.source, span));
    }

    /// Whether a column has no type that is known.
    pub fn has_bad_types(&self) -> bool {
        let codes = ["unknown_type", "unsupported_type", "type_arguments", "type_expected", "missing_type"];
        self.diagnostics.iter().any(|diagnostic| codes.contains(&diagnostic.code))
    }

    /// The problems in the order of their places.
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.place.as_ref().map(|place| place.span));
        self.diagnostics
    }
}

/// All problems of a configuration that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct Problems {
    /// At least one of them is an error; warnings are among them.
    pub diagnostics: Vec<Diagnostic>,
}

impl Problems {
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }

    pub fn code(&self) -> &'static str {
        "invalid_config"
    }

    fn summary(&self) -> String {
        let errors = self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
        let count = errors.clone().count();
        let first = errors.map(ToString::to_string).next().unwrap_or_default();
        match count {
            0 | 1 => format!("the configuration is refused: {first}"),
            _ => format!("the configuration is refused for {count} problems, the first: {first}"),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(problems.class(), problems.code(), problems.to_string())
    }
}

/// Whether printed problems carry ANSI colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    #[default]
    Never,
    Always,
}

/// Prints the problems, each with file, line, column, two lines of context on either side, a caret and its hints.
pub fn render(diagnostics: &[Diagnostic], colour: Colour) -> String {
    let config = Config { chars: Chars::ascii(), before_label_lines: 2, after_label_lines: 2, ..Config::default() };
    let mut out = String::new();
    for diagnostic in diagnostics {
        let mut files = SimpleFiles::new();
        let rendered = prepare(diagnostic, &mut files);
        let text = match colour {
            Colour::Never => term::emit_into_string(&config, &files, &rendered).ok(),
            Colour::Always => {
                let mut ansi = Ansi::new(Vec::new());
                let done = term::emit_to_write_style(&mut ansi, &config, &files, &rendered);
                done.ok().and_then(|()| String::from_utf8(ansi.into_inner()).ok())
            }
        };
        out.push_str(&text.unwrap_or_else(|| format!("{}\n\n", printable(&diagnostic.to_string()))));
    }
    out
}

fn prepare(diagnostic: &Diagnostic, files: &mut SimpleFiles<String, String>) -> Rendered<usize> {
    let severity = match diagnostic.severity {
        Severity::Error => RenderedSeverity::Error,
        Severity::Warning => RenderedSeverity::Warning,
    };
    let mut known: Vec<(SourceFile, usize)> = Vec::new();
    let mut file_id = |file: &SourceFile| match known.iter().find(|(other, _)| other == file) {
        Some((_, id)) => *id,
        None => {
            let id = files.add(printable(file.name()), printable(file.text()));
            known.push((file.clone(), id));
            id
        }
    };
    let mut labels = Vec::new();
    if let Some(place) = &diagnostic.place {
        let label = Label::primary(file_id(&place.file), place.span.start..place.span.end);
        labels.push(label.with_message(printable(diagnostic.label.as_deref().unwrap_or_default())));
    }
    for (place, text) in &diagnostic.related {
        let label = Label::secondary(file_id(&place.file), place.span.start..place.span.end);
        labels.push(label.with_message(printable(text)));
    }
    let hints = diagnostic.hints.iter().map(|hint| format!("hint: {}", printable(hint))).collect();
    Rendered::new(severity).with_message(printable(&diagnostic.message)).with_labels(labels).with_notes(hints)
}

/// The text with `?` for each byte of a control character, so that a file cannot steer the terminal that shows it.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\n' | '\t' => out.push(letter),
            '\r' if letters.peek() == Some(&'\n') => out.push(' '),
            // Alone it ends a line, too.
            '\r' => out.push('\n'),
            control if control.is_control() => out.extend(std::iter::repeat_n('?', control.len_utf8())),
            other => out.push(other),
        }
    }
    out
}
