//! Types with parts: `Array`, `Map`, `Tuple`, `Nested`, and the shapes that ClickHouse has names for.

use std::collections::HashSet;

use connector_core::types::{ColumnType, TupleElement};

use super::{TypeDef, Written, inner, interpret, read};
use crate::diagnostic::{Diagnostic, Report};
use crate::source::Span;
use crate::tokens::{Kind, Token};

pub(super) fn array(written: &Written, report: &mut Report<'_>) -> Option<ColumnType> {
    let inner = inner(written, report)?;
    let TypeDef { ty, nullable, .. } = interpret(&inner, report)?;
    Some(ColumnType::Array { element: Box::new(ty), nullable })
}

pub(super) fn map(written: &Written, report: &mut Report<'_>) -> Option<ColumnType> {
    const HINT: &str = "such as Map(String, UInt64)";
    let arguments = written.arguments.as_deref().unwrap_or(&[]);
    if arguments.is_empty() {
        return refuse(report, written.span, "Map needs a type of keys and a type of values", HINT);
    }
    let mut at = 0;
    let key = read(arguments, &mut at, report, written.depth + 1)?;
    if !arguments.get(at).is_some_and(|next| next.is_sign(',')) {
        let place = arguments.get(at).map_or(written.span, |next| next.span);
        return refuse(report, place, "Map takes a type of keys, ',' and a type of values", HINT);
    }
    at += 1;
    if at == arguments.len() {
        return refuse(report, written.span, "Map needs a type of values, too", HINT);
    }
    let value = read(arguments, &mut at, report, written.depth + 1)?;
    if let Some(extra) = arguments.get(at) {
        return refuse(report, extra.span, "Map takes two types", HINT);
    }
    let place = key.span;
    let (key, value) = (interpret(&key, report), interpret(&value, report));
    let (key, value) = (key?, value?);
    if key.nullable {
        return refuse(report, place, "the key of a Map is never NULL", "leave Nullable away");
    }
    if !key.ty.is_map_key() {
        let message = format!("{} cannot be the key of a Map: keys are told apart by their text", key.ty);
        return refuse(report, place, &message, "use String, or another type without parts");
    }
    Some(ColumnType::Map { key: Box::new(key.ty), value: Box::new(value.ty), nullable: value.nullable })
}

pub(super) fn tuple(written: &Written, report: &mut Report<'_>) -> Option<ColumnType> {
    elements(written, report).and_then(ColumnType::tuple)
}

/// `Nested(a T)` is an array of tuples with names.
pub(super) fn nested(written: &Written, report: &mut Report<'_>) -> Option<ColumnType> {
    let elements = elements(written, report)?;
    if elements.iter().any(|element| element.name.is_none()) {
        let hint = "such as Nested(sku String, quantity UInt32)";
        return refuse(report, written.span, "each part of Nested has a name", hint);
    }
    let element = Box::new(ColumnType::tuple(elements)?);
    Some(ColumnType::Array { element, nullable: false })
}

/// The types between the parentheses, all with a name in front or none.
fn elements(written: &Written, report: &mut Report<'_>) -> Option<Vec<TupleElement>> {
    let (name, hint) = (&written.name, format!("such as {0}(sku String, quantity UInt32)", written.name));
    let arguments = written.arguments.as_deref().unwrap_or(&[]);
    let (mut elements, mut names, mut at, mut bad) = (Vec::new(), HashSet::new(), 0, false);
    loop {
        let Some(first) = arguments.get(at) else {
            let needs = if at == 0 { "needs types" } else { "needs a type behind ','" };
            return refuse(report, written.span, &format!("{name} {needs}"), &hint);
        };
        let element = element_name(arguments, &mut at);
        if let Some(element) = &element {
            if element.is_empty() {
                return refuse(report, first.span, &format!("a name of {name} is empty"), &hint);
            }
            if !names.insert(element.clone()) {
                return refuse(
                    report,
                    first.span,
                    &format!("the name '{element}' appears twice"),
                    "rename one of them",
                );
            }
        }
        let inner = read(arguments, &mut at, report, written.depth + 1)?;
        match interpret(&inner, report) {
            Some(TypeDef { ty, nullable, .. }) => elements.push(TupleElement { name: element, ty, nullable }),
            None => bad = true,
        }
        match arguments.get(at) {
            None => break,
            Some(comma) if comma.is_sign(',') => at += 1,
            Some(other) => {
                let message = format!("this does not belong to {name}: its types stand behind ','");
                return refuse(report, other.span, &message, &hint);
            }
        }
    }
    if !bad && elements.iter().any(|element| element.name.is_some() != elements[0].name.is_some()) {
        let message = format!("some parts of {name} have a name and others have none");
        return refuse(report, written.span, &message, "give all of them a name, or none");
    }
    (!bad).then_some(elements)
}

/// A name is what stands in front of a type without anything between them.
fn element_name(arguments: &[Token], at: &mut usize) -> Option<String> {
    let (Kind::Word(name) | Kind::BackQuoted(name)) = &arguments.get(*at)?.kind else { return None };
    matches!(arguments.get(*at + 1)?.kind, Kind::Word(_)).then(|| {
        *at += 1;
        name.clone()
    })
}

/// The shapes of ClickHouse are names for tuples and arrays.
pub(super) fn shape(name: &str) -> Option<ColumnType> {
    let coordinate = TupleElement { name: None, ty: ColumnType::Float64, nullable: false };
    let levels = match name {
        "Point" => 0,
        "Ring" | "LineString" => 1,
        "Polygon" | "MultiLineString" => 2,
        "MultiPolygon" => 3,
        _ => return None,
    };
    let list = |element| ColumnType::Array { element: Box::new(element), nullable: false };
    let point = ColumnType::tuple(vec![coordinate; 2])?;
    Some((0..levels).fold(point, |element, _| list(element)))
}

fn refuse<T>(report: &mut Report<'_>, span: Span, message: &str, hint: &str) -> Option<T> {
    report.push(Diagnostic::error("type_arguments", message).hint(hint), span);
    None
}
