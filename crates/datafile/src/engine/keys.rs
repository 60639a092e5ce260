//! `ENGINE_SORTING_KEY`, `ENGINE_PRIMARY_KEY` and `ENGINE_SAMPLING_KEY`. A Delta table does not apply them; what
//! ClickHouse would refuse of them is refused all the same.

use super::names::{Named, calls_in, columns_in, split, unwrapped};
use super::{EngineKind, TableEngine};
use crate::column::{ColumnDef, Names};
use crate::reader::{Reader, Text};
use crate::source::{Span, Spanned};

/// Functions of many rows, which no key of one row can hold.
const AGGREGATES: [&str; 18] = [
    "sum",
    "count",
    "avg",
    "min",
    "max",
    "any",
    "groupArray",
    "groupUniqArray",
    "uniq",
    "sumMerge",
    "countMerge",
    "avgMerge",
    "minMerge",
    "maxMerge",
    "anyMerge",
    "groupArrayMerge",
    "groupUniqArrayMerge",
    "uniqMerge",
];

/// The keys as written, and what they are checked against.
pub(super) struct Keys<'a> {
    pub sorting: Option<Spanned<Text>>,
    pub primary: Option<Spanned<Text>>,
    pub sampling: Option<Spanned<Text>>,
    pub columns: Option<&'a [ColumnDef]>,
    pub engine: &'a TableEngine,
}

impl Keys<'_> {
    pub(super) fn check(&self, reader: &mut Reader<'_, '_>) {
        for key in [&self.sorting, &self.primary, &self.sampling].into_iter().flatten() {
            self.check_names(reader, key);
        }
        if let Some(sorting) = &self.sorting {
            self.check_sorting(reader, sorting);
        }
        if self.engine.kind != EngineKind::Null {
            self.check_primary(reader);
        }
    }

    /// Whether there is a sorting key that sorts by anything.
    pub(super) fn sorts(&self) -> bool {
        self.sorting.as_ref().is_some_and(|key| !unwrapped(&key.value.value).is_empty())
    }

    fn check_names(&self, reader: &mut Reader<'_, '_>, key: &Spanned<Text>) {
        let Some(columns) = self.columns else { return };
        let names = Names::of(columns);
        for named in columns_in(&key.value.value) {
            let base = named.name.split('.').next().unwrap_or_default();
            if names.find(&named.name).is_none() && names.find(base).is_none() {
                let place = place_of(reader, key, &named);
                reader.report.push(names.unknown(&named.name), place);
            }
        }
    }

    fn check_sorting(&self, reader: &mut Reader<'_, '_>, key: &Spanned<Text>) {
        const CODE: &str = "bad_sorting_key";
        let text = &key.value.value;
        for called in calls_in(text) {
            if AGGREGATES.iter().any(|function| function.eq_ignore_ascii_case(&called.name)) {
                let message = format!("the sorting key holds the aggregate function {}", called.name);
                let place = place_of(reader, key, &called);
                reader.error(CODE, place, message, "sort by plain columns, or by functions of one row");
            }
        }
        let Some(columns) = self.columns.filter(|_| !reader.report.has_bad_types()) else { return };
        let names = Names::of(columns);
        for named in columns_in(text) {
            let Some(found) = columns.iter().find(|found| names.find(&named.name) == Some(&found.column.name)) else {
                continue;
            };
            let place = place_of(reader, key, &named);
            let (name, written) = (&named.name, reader.report.source.slice(found.type_span));
            if written.contains("AggregateFunction(") {
                let message = format!("the sorting key holds the column {name}, which is an aggregate state");
                reader.error(CODE, place, message, "sort by another column");
            } else if (found.column.nullable || written.contains("Nullable(")) && !self.engine.allows_nullable_keys() {
                let message = format!("the sorting key holds the column {name}, which is Nullable");
                let hint = format!("sort by another column, or declare {name} without Nullable and with a DEFAULT");
                reader.error(CODE, place, message, hint);
            }
            let is_version = self.engine.ver.as_deref() == Some(found.column.name.as_str());
            if is_version && self.engine.kind == EngineKind::ReplacingMergeTree {
                let message = format!("the sorting key holds {name}, which is the version of a row");
                let hint = "versions of a row have the same sorting key, or none would replace the other: take it out";
                reader.error(CODE, place, message, hint);
            }
        }
    }

    /// The primary key is the beginning of the sorting key.
    fn check_primary(&self, reader: &mut Reader<'_, '_>) {
        let Some(primary) = &self.primary else { return };
        let parts = |key: &Spanned<Text>| -> Vec<String> {
            let plain = |part: &&str| part.chars().filter(|letter| !letter.is_whitespace() && *letter != '`').collect();
            split(unwrapped(&key.value.value)).iter().map(plain).collect()
        };
        let sorting = self.sorting.as_ref().map(parts).unwrap_or_default();
        if !sorting.starts_with(&parts(primary)) {
            let message = "the primary key is not the beginning of the sorting key";
            let hint = "ENGINE_PRIMARY_KEY repeats the first columns of ENGINE_SORTING_KEY, in the same order";
            reader.error("bad_primary_key", primary.span, message, hint);
        }
    }
}

fn place_of(reader: &Reader<'_, '_>, key: &Spanned<Text>, named: &Named) -> Span {
    let written = reader.report.source.slice(key.span);
    let inner = written.find(&key.value.value).filter(|_| !key.value.secret);
    inner.map_or(key.span, |begin| {
        let start = key.span.start + begin + named.offset;
        let quotes = if key.value.value[named.offset..].starts_with(['`', '"']) { 2 } else { 0 };
        Span::new(start, (start + named.name.len() + quotes).min(key.span.end))
    })
}
