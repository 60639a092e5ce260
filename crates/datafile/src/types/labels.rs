//! `Enum8('a' = 1, 'b' = 2)`, and the numbering of labels that have none.

use std::collections::HashSet;

use connector_core::types::{ColumnType, EnumType};

use super::Written;
use crate::diagnostic::{Diagnostic, Report};
use crate::source::Span;
use crate::tokens::{Kind, Token};

const HINT: &str = "write Enum8('a' = 1, 'b' = 2), or only the labels: they are numbered from 1";

pub(super) fn read(written: &Written, report: &mut Report<'_>) -> Option<ColumnType> {
    let arguments = written.arguments.as_deref().unwrap_or(&[]);
    let mut entries: Vec<&[Token]> = arguments.split(|token| token.is_sign(',')).collect();
    // A comma may stand behind the last one.
    entries.pop_if(|last| last.is_empty());
    let mut labels = Labels {
        name: &written.name,
        found: Vec::new(),
        explicit: true,
        texts: HashSet::new(),
        numbers: HashSet::new(),
        report,
    };
    if entries.is_empty() {
        return labels.refuse(written.span, format!("{} needs labels", written.name));
    }
    for entry in entries {
        labels.add(entry, written.span)?;
    }
    let found = labels.found;
    let fits = |(_, number): &(String, i16)| i8::try_from(*number).is_ok();
    let wide = match written.name.as_str() {
        "Enum" => !found.iter().all(fits),
        name => name == "Enum16",
    };
    Some(ColumnType::Enum(EnumType { wide, labels: found.into() }))
}

struct Labels<'a, 'r> {
    name: &'a str,
    found: Vec<(String, i16)>,
    /// Whether all labels so far were given their number. Only the first number counts for those without one.
    explicit: bool,
    texts: HashSet<String>,
    numbers: HashSet<i16>,
    report: &'a mut Report<'r>,
}

impl Labels<'_, '_> {
    fn refuse<T>(&mut self, span: Span, message: impl Into<String>) -> Option<T> {
        self.report.push(Diagnostic::error("type_arguments", message).hint(HINT), span);
        None
    }

    fn add(&mut self, entry: &[Token], whole: Span) -> Option<()> {
        let span = match entry {
            [first, .., last] => first.span.to(last.span),
            [only] => only.span,
            [] => whole,
        };
        let (label, number) = match entry {
            [label] => (label, None),
            [label, equals, number] if equals.is_sign('=') => (label, Some((false, number))),
            [label, equals, minus, number] if equals.is_sign('=') && minus.is_sign('-') => {
                (label, Some((true, number)))
            }
            _ => return self.refuse(span, format!("this is not a label of {}", self.name)),
        };
        let Kind::Text(text) = &label.kind else {
            return self.refuse(label.span, "a label stands between single quotes");
        };
        let number = self.number(number, span)?;
        if !self.texts.insert(text.clone()) {
            return self.refuse(label.span, format!("the label '{text}' appears twice"));
        }
        if !self.numbers.insert(number) {
            return self.refuse(span, format!("the number {number} belongs to two labels"));
        }
        self.found.push((text.clone(), number));
        Some(())
    }

    fn number(&mut self, written: Option<(bool, &Token)>, span: Span) -> Option<i16> {
        let (low, high) =
            if self.name == "Enum8" { (i8::MIN.into(), i8::MAX.into()) } else { (i16::MIN.into(), i16::MAX.into()) };
        let number = match written {
            Some((negative, Token { kind: Kind::Number(digits), span: place, .. })) => {
                if !self.explicit {
                    return self.refuse(*place, "a label with a number stands behind one without");
                }
                let sign = if negative { "-" } else { "" };
                format!("{sign}{digits}").parse::<i64>().ok()
            }
            Some((_, other)) => return self.refuse(other.span, "a label is numbered with a whole number"),
            None => {
                if self.explicit && self.found.len() > 1 {
                    return self.refuse(span, "a label without a number stands behind several that have one");
                }
                self.explicit = false;
                Some(self.found.last().map_or(1, |(_, number)| i64::from(*number) + 1))
            }
        };
        match number.filter(|number| (low..=high).contains(number)).and_then(|number| number.try_into().ok()) {
            Some(number) => Some(number),
            None => self.refuse(span, format!("the numbers of {} go from {low} to {high}", self.name)),
        }
    }
}
