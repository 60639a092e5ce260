//! Directives that are known, and appear once if they may.

use crate::diagnostic::{Diagnostic, Report};
use crate::directives::{Catalogue, Treatment};
use crate::lexer::{RawDirective, lex};

/// The directives of one file that are used; each name once, unless it may be repeated.
#[derive(Clone, Debug, Default)]
pub struct Document {
    pub directives: Vec<RawDirective>,
    /// Directives that are not used: unknown, repeated, refused or ignored.
    pub others: Vec<RawDirective>,
}

impl Document {
    pub fn find(&self, name: &str) -> Option<&RawDirective> {
        self.directives.iter().find(|directive| directive.name.value == name)
    }
}

/// Reads a file's directives and reports what is unknown, repeated, refused, deprecated or ignored.
pub(crate) fn read(report: &mut Report<'_>, catalogue: &Catalogue) -> Document {
    let mut document = Document::default();
    let mut ignored = Vec::new();
    for raw in lex(report, catalogue) {
        let (name, span) = (raw.name.value.clone(), raw.name.span);
        let Some(known) = catalogue.find(&name) else {
            report.push(unknown(&name, catalogue), span);
            document.others.push(raw);
            continue;
        };
        match known.treatment {
            Treatment::Used => {}
            Treatment::Ignored => ignored.push(raw.name.clone()),
            Treatment::Deprecated(hint) => {
                report.push(
                    Diagnostic::warning("deprecated_directive", format!("{name} is deprecated")).hint(hint),
                    span,
                );
            }
            Treatment::Refused(hint) => {
                let message = format!("{name} cannot be used in {} files", catalogue.kind);
                report.push(Diagnostic::error("refused_directive", message).hint(hint), span);
            }
        }
        if known.treatment != Treatment::Used {
            document.others.push(raw);
            continue;
        }
        if let Some(first) = document.find(&name).filter(|_| !known.repeats) {
            let diagnostic = Diagnostic::error("duplicate_directive", format!("{name} appears twice"))
                .label("the second one")
                .related(report.source, first.name.span, "the first one")
                .hint("keep one of them");
            report.push(diagnostic, span);
            document.others.push(raw);
            continue;
        }
        document.directives.push(raw);
    }
    if let Some(first) = ignored.first() {
        let mut names: Vec<&str> = ignored.iter().map(|name| name.value.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let message = format!("ignored, because nothing here uses it: {}", names.join(", "));
        report.push(Diagnostic::warning("ignored_directive", message), first.span);
    }
    document
}

fn unknown(name: &str, catalogue: &Catalogue) -> Diagnostic {
    let diagnostic =
        Diagnostic::error("unknown_directive", format!("{name} is not a directive of {} files", catalogue.kind));
    match catalogue.nearest(name) {
        Some(near) => diagnostic.suggest(Some(near)),
        None => diagnostic.hint("a directive is the first word of a line; lines of a block are indented"),
    }
}
