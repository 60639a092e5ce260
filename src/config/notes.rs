//! What a data source asks for and a Delta table cannot do: told by `check`, and no reason to refuse anything.

use connector_datafile::{DataSource, Span};
use serde::Serialize;

/// One wish that is not granted, or not as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The directive, or `CODEC` of a column.
    pub what: String,
    /// As it is written.
    pub value: String,
    pub message: String,
}

/// All of them, in the order of the file.
pub fn of(datasource: &DataSource) -> Vec<Note> {
    let engine = datasource.engine.iter().filter_map(|(name, value)| {
        let message = of_engine(name, value.value.trim())?;
        Some(Note { what: name.clone(), value: value.value.clone(), message: message.to_owned() })
    });
    codecs(datasource).into_iter().chain(engine).collect()
}

fn of_engine(name: &str, value: &str) -> Option<&'static str> {
    let nothing = value.is_empty() || value.replace(' ', "").eq_ignore_ascii_case("tuple()");
    Some(match name {
        _ if nothing => return None,
        "ENGINE" => match value.split('(').next().unwrap_or_default().trim() {
            "MergeTree" => return None,
            "Null" => "rows are kept: a Delta table does not throw them away",
            _ => "rows are appended as they are: a Delta table neither replaces, sums nor collapses them",
        },
        "ENGINE_PARTITION_KEY" => return None,
        "ENGINE_TTL" => "data files are removed once all of their rows have expired; single rows are not",
        "ENGINE_SORTING_KEY" | "ENGINE_PRIMARY_KEY" => "not applied: rows lie in the order in which files are read",
        "ENGINE_SAMPLING_KEY" => "not applied: a Delta table is not sampled by a key",
        "ENGINE_SETTINGS" => "not applied: they are settings of ClickHouse",
        _ => "not applied: a Delta table has no such engine",
    })
}

/// Columns with a codec. The grammar checks codecs and does not keep them.
fn codecs(datasource: &DataSource) -> Vec<Note> {
    let columns = datasource.columns.as_deref().unwrap_or_default();
    let ends = columns.iter().skip(1).map(|next| next.name.span.start).chain([usize::MAX]);
    let notes = columns.iter().zip(ends).filter_map(|(found, end)| {
        let end = end.min(end_of_block(datasource, found.type_span.end));
        let clauses = datasource.file.slice(Span::new(found.type_span.end, end));
        let start = clauses.to_ascii_uppercase().find("CODEC(")?;
        let value = clauses[start..].trim().trim_end_matches(',').to_owned();
        let message = "not applied: data files are compressed with zstd".to_owned();
        Some(Note { what: format!("CODEC of {}", found.column.name), value, message })
    });
    notes.collect()
}

/// Where the line ends; the last column has nothing behind it.
fn end_of_block(datasource: &DataSource, from: usize) -> usize {
    let text = datasource.file.text();
    text.get(from..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| from + length)
}

#[cfg(test)]
mod tests {
    use connector_datafile::{SourceFile, parse_datasource};

    use super::*;

    fn notes(text: &str) -> Vec<String> {
        let (datasource, _) = parse_datasource(&SourceFile::new("datasources/t.datasource", text), &|_: &str| None);
        of(&datasource).into_iter().map(|note| format!("{}: {}", note.what, note.message)).collect()
    }

    #[test]
    fn what_delta_cannot_honour_is_told_and_the_rest_is_not() {
        let schema = "SCHEMA >\n    a Int64,\n    b String CODEC(ZSTD(1)),\n    `CODEC` Date\n\n";
        let told = notes(&format!(
            "{schema}ENGINE \"ReplacingMergeTree\"\nENGINE_SORTING_KEY a, b\nENGINE_PARTITION_KEY a\nENGINE_VER a\n\
             ENGINE_TTL \"CODEC + toIntervalDay(1)\"\n"
        ));
        let heads: Vec<&str> = told.iter().map(|note| note.split(": ").next().unwrap_or_default()).collect();
        assert_eq!(heads, ["CODEC of b", "ENGINE", "ENGINE_SORTING_KEY", "ENGINE_VER", "ENGINE_TTL"]);
        assert!(told[2].contains("in the order in which files are read"), "{told:?}");
        let plain = "ENGINE MergeTree\nENGINE_SORTING_KEY tuple()\nENGINE_PARTITION_KEY \"\"\n";
        assert_eq!(notes(&format!("{schema}{plain}")).len(), 1, "the codec only");
    }
}
