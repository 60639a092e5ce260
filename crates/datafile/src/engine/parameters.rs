//! The columns that an engine wants: `ENGINE_VER` and the like, or between the parentheses of `ENGINE`.

use connector_core::types::ColumnType;

use super::names::{split, unwrapped};
use super::{EngineKind, TableEngine, Written};
use crate::column::{ColumnDef, Names, place_of};
use crate::diagnostic::Diagnostic;
use crate::reader::{Reader, Text};
use crate::source::{Span, Spanned};

/// A column that an engine takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    Ver,
    IsDeleted,
    Sign,
    Version,
    Columns,
}

impl Parameter {
    const ALL: [Self; 5] = [Self::Ver, Self::IsDeleted, Self::Sign, Self::Version, Self::Columns];

    fn directive(self) -> &'static str {
        match self {
            Self::Ver => "ENGINE_VER",
            Self::IsDeleted => "ENGINE_IS_DELETED",
            Self::Sign => "ENGINE_SIGN",
            Self::Version => "ENGINE_VERSION",
            Self::Columns => "ENGINE_COLUMNS",
        }
    }

    /// What an engine takes, in the order of its arguments.
    fn of(kind: EngineKind) -> &'static [Self] {
        match kind {
            EngineKind::ReplacingMergeTree => &[Self::Ver, Self::IsDeleted],
            EngineKind::SummingMergeTree => &[Self::Columns],
            EngineKind::CollapsingMergeTree => &[Self::Sign],
            EngineKind::VersionedCollapsingMergeTree => &[Self::Sign, Self::Version],
            EngineKind::MergeTree | EngineKind::AggregatingMergeTree | EngineKind::Null => &[],
        }
    }

    fn is_required(self) -> bool {
        matches!(self, Self::Sign | Self::Version)
    }

    /// What a column has to be, if this one is not that.
    fn misfit(self, column: &ColumnType) -> Option<&'static str> {
        let cannot_order = |ty: &ColumnType| {
            use ColumnType::{Array, FixedString, Json, String};
            matches!(ty, String | FixedString(_) | Array { .. } | Json)
        };
        match self {
            Self::Sign if *column != ColumnType::Int8 => Some("an Int8 column with 1 and -1"),
            Self::IsDeleted if *column != ColumnType::UInt8 => Some("a UInt8 column with 0 and 1"),
            Self::Ver | Self::Version if cannot_order(column) => Some("a number, a Date or a DateTime"),
            _ => None,
        }
    }
}

/// Where the columns of a parameter are written.
struct Given {
    parameter: Parameter,
    columns: Vec<String>,
    span: Span,
}

/// Reads the parameters of an engine into it, and reports what is missing, of no use or no column.
pub(super) fn read(
    reader: &mut Reader<'_, '_>,
    written: &Written,
    directives: &[(String, Spanned<Text>)],
    columns: Option<&[ColumnDef]>,
    engine: &mut TableEngine,
) {
    engine.kind = written.kind;
    let wanted = Parameter::of(written.kind);
    let mut given = arguments(reader, written);
    for parameter in Parameter::ALL {
        let found = directives.iter().find(|(name, _)| name == parameter.directive());
        let Some((name, value)) = found else { continue };
        if !wanted.contains(&parameter) {
            let message = format!("{name} has no effect with {}", written.kind.name());
            reader.report.push(Diagnostic::warning("unused_engine_parameter", message).hint("remove it"), value.span);
        } else if given.iter().any(|before| before.parameter == parameter) {
            let message = format!("{name} repeats what stands in the parentheses of ENGINE");
            reader.error("bad_engine", value.span, message, "keep one of them");
        } else {
            let inside = unwrapped(&value.value.value);
            let many = if parameter == Parameter::Columns { split(inside) } else { vec![inside] };
            let columns = many.into_iter().map(str::to_owned).collect();
            given.push(Given { parameter, columns, span: value.span });
        }
    }
    for parameter in wanted.iter().filter(|parameter| parameter.is_required()) {
        if !given.iter().any(|found| found.parameter == *parameter) {
            let message = format!("{} needs {}", written.kind.name(), parameter.directive());
            let hint = format!("add a line such as {} \"{}\"", parameter.directive(), example(*parameter));
            reader.error("missing_engine_parameter", written.span, message, hint);
        }
    }
    for found in given {
        let names: Vec<String> =
            found.columns.iter().filter_map(|name| column(reader, &found, name, columns)).collect();
        let one = names.first().cloned();
        match found.parameter {
            Parameter::Ver => engine.ver = one,
            Parameter::IsDeleted => engine.is_deleted = one,
            Parameter::Sign => engine.sign = one,
            Parameter::Version => engine.version = one,
            Parameter::Columns => engine.columns = names,
        }
    }
}

fn example(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Sign => "sign",
        Parameter::Ver | Parameter::Version => "version",
        Parameter::IsDeleted => "is_deleted",
        Parameter::Columns => "amount",
    }
}

/// What stands between the parentheses of `ENGINE`.
fn arguments(reader: &mut Reader<'_, '_>, written: &Written) -> Vec<Given> {
    let wanted = Parameter::of(written.kind);
    if let [Parameter::Columns] = wanted {
        let columns: Vec<String> =
            written.arguments.iter().flat_map(|part| split(unwrapped(part))).map(str::to_owned).collect();
        let given =
            (!columns.is_empty()).then_some(Given { parameter: Parameter::Columns, columns, span: written.span });
        return given.into_iter().collect();
    }
    if written.arguments.len() > wanted.len() {
        let message = match wanted.len() {
            0 => format!("{} takes no columns", written.kind.name()),
            most => format!("{} takes at most {most} columns", written.kind.name()),
        };
        reader.error(
            "bad_engine",
            written.span,
            message,
            "keys have directives of their own, such as ENGINE_SORTING_KEY",
        );
    }
    let pairs = wanted.iter().zip(&written.arguments);
    pairs
        .map(|(parameter, name)| Given { parameter: *parameter, columns: vec![name.clone()], span: written.span })
        .collect()
}

/// The column of this name, by its name in the table. Without SCHEMA nothing can be checked.
fn column(reader: &mut Reader<'_, '_>, given: &Given, written: &str, columns: Option<&[ColumnDef]>) -> Option<String> {
    let name = written.trim_matches('`');
    let Some(columns) = columns else { return Some(name.to_owned()) };
    let place = place_of(reader.report.source.slice(given.span), name, given.span);
    let names = Names::of(columns);
    let found = names.find(name).and_then(|name| columns.iter().find(|found| found.column.name == name));
    let Some(found) = found else {
        reader.report.push(names.unknown(name), place);
        return None;
    };
    let nullable = found.column.nullable.then_some("a column that is not Nullable");
    let misfit =
        given.parameter.misfit(&found.column.ty).or(nullable.filter(|_| given.parameter != Parameter::Columns));
    if let Some(wanted) = misfit.filter(|_| !reader.report.has_bad_types()) {
        let wrapped =
            if found.column.nullable { format!("Nullable({})", found.column.ty) } else { found.column.ty.to_string() };
        let message = format!("{} names {name}, which is {wrapped}", given.parameter.directive());
        reader.error("bad_engine_parameter", place, message, format!("name {wanted}"));
        return None;
    }
    Some(found.column.name.clone())
}
