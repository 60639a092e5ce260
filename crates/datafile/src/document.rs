//! Directives that are known and appear as often as they may.

use crate::diagnostic::{Diagnostic, Report};
use crate::directives::{Catalogue, Treatment};
use crate::lexer::{RawDirective, lex};
use crate::source::Spanned;

/// The directives of one file, by what becomes of them.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Directives that are used, each name once unless it may be repeated.
    pub directives: Vec<RawDirective>,
    /// Directives that are checked and not used, under the names that they are described by.
    pub ignored: Vec<RawDirective>,
    /// Directives that are neither: unknown, repeated, refused or deprecated.
    pub others: Vec<RawDirective>,
}

impl Document {
    pub fn find(&self, name: &str) -> Option<&RawDirective> {
        self.directives.iter().find(|directive| directive.name.value == name)
    }

    fn first(&self, name: &str) -> Option<&RawDirective> {
        self.directives.iter().chain(&self.ignored).find(|directive| directive.name.value == name)
    }
}

/// Reads a file's directives and reports what is unknown, repeated, refused, deprecated or ignored.
pub(crate) fn read(report: &mut Report<'_>, catalogue: &Catalogue) -> Document {
    let mut document = Document::default();
    for mut raw in lex(report, catalogue).directives {
        let (name, span) = (raw.name.value.clone(), raw.name.span);
        let Some(known) = catalogue.find(&name) else {
            report.push(unknown(&name, catalogue), span);
            document.others.push(raw);
            continue;
        };
        match known.treatment {
            Treatment::Used | Treatment::Ignored => {}
            Treatment::Deprecated(hint) => {
                let diagnostic = Diagnostic::warning("deprecated_directive", format!("{name} is deprecated"));
                report.push(diagnostic.hint(hint), span);
            }
            Treatment::Refused(hint) => {
                let message = format!("{name} cannot be used in {} files", catalogue.kind);
                report.push(Diagnostic::error("refused_directive", message).hint(hint), span);
            }
        }
        if let Some(same) = known.same_as {
            same.clone_into(&mut raw.name.value);
        }
        let first = document.first(&raw.name.value).filter(|_| !known.repeats || known.same_as.is_some());
        if let Some(first) = first {
            let diagnostic = Diagnostic::error("duplicate_directive", format!("{name} appears twice"))
                .label("the second one")
                .related(report.source, first.name.span, "the first one")
                .hint("keep one of them");
            report.push(diagnostic, span);
            document.others.push(raw);
            continue;
        }
        match known.treatment {
            Treatment::Used => document.directives.push(raw),
            Treatment::Ignored => document.ignored.push(raw),
            Treatment::Deprecated(_) | Treatment::Refused(_) => document.others.push(raw),
        }
    }
    report_ignored(report, &document.ignored);
    document
}

/// Says once which directives are ignored.
fn report_ignored(report: &mut Report<'_>, ignored: &[RawDirective]) {
    let Some(Spanned { span, .. }) = ignored.first().map(|first| &first.name) else { return };
    let mut names: Vec<&str> = ignored.iter().map(|found| found.name.value.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let message = format!("ignored, because nothing here uses it: {}", names.join(", "));
    report.push(Diagnostic::warning("ignored_directive", message), *span);
}

fn unknown(name: &str, catalogue: &Catalogue) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("unknown_directive", format!("{name} is not a directive of {} files", catalogue.kind));
    match catalogue.nearest(name) {
        Some(near) => diagnostic.suggest(Some(near)),
        None => diagnostic.hint("a directive is the first word of a line; lines of a block are indented"),
    }
}
