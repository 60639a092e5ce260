//! `ENGINE` and `ENGINE_*`: what a Delta table can make use of, and what ClickHouse would make of the rest.
//!
//! | module | what it does |
//! |---|---|
//! | `table` | partitions and TTL, which a Delta table has, too |
//! | `keys`, `parameters`, `settings` | sorting and other keys, the columns of an engine, its settings: checked only |
//! | `names` | which columns an expression names |

mod keys;
pub(crate) mod names;
mod parameters;
mod settings;
mod table;

use connector_core::expr::Expr;

use crate::column::ColumnDef;
use crate::diagnostic::Diagnostic;
use crate::reader::{Reader, Text};
use crate::source::{Span, Spanned};
use crate::suggest::nearest;

use self::keys::Keys;

/// How ClickHouse merges rows with the same sorting key. A Delta table keeps them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EngineKind {
    #[default]
    MergeTree,
    ReplacingMergeTree,
    SummingMergeTree,
    AggregatingMergeTree,
    CollapsingMergeTree,
    VersionedCollapsingMergeTree,
    Null,
}

impl EngineKind {
    pub const ALL: [Self; 7] = [
        Self::MergeTree,
        Self::ReplacingMergeTree,
        Self::SummingMergeTree,
        Self::AggregatingMergeTree,
        Self::CollapsingMergeTree,
        Self::VersionedCollapsingMergeTree,
        Self::Null,
    ];

    /// ClickHouse's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::MergeTree => "MergeTree",
            Self::ReplacingMergeTree => "ReplacingMergeTree",
            Self::SummingMergeTree => "SummingMergeTree",
            Self::AggregatingMergeTree => "AggregatingMergeTree",
            Self::CollapsingMergeTree => "CollapsingMergeTree",
            Self::VersionedCollapsingMergeTree => "VersionedCollapsingMergeTree",
            Self::Null => "Null",
        }
    }

    /// Whether rows are merged by their sorting key, so that there has to be one.
    pub fn needs_sorting_key(self) -> bool {
        matches!(self, Self::ReplacingMergeTree | Self::CollapsingMergeTree | Self::VersionedCollapsingMergeTree)
    }
}

/// The engine with the columns and settings that are its own. Columns go by their names in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableEngine {
    pub kind: EngineKind,
    pub ver: Option<String>,
    pub is_deleted: Option<String>,
    pub sign: Option<String>,
    pub version: Option<String>,
    /// Those that SummingMergeTree adds up; empty means all numbers.
    pub columns: Vec<String>,
    /// Names and values as written.
    pub settings: Vec<(String, String)>,
}

impl TableEngine {
    fn allows_nullable_keys(&self) -> bool {
        self.settings.iter().any(|(name, value)| name == "allow_nullable_key" && value != "0" && value != "false")
    }
}

/// The engine settings of a data source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Engine {
    /// All of them as written.
    pub(crate) settings: Vec<(String, Spanned<String>)>,
    /// A column, by its name in the table.
    pub(crate) partition: Option<String>,
    pub(crate) ttl: Option<Expr>,
    pub(crate) table: TableEngine,
}

/// Reads the settings; those that refer to columns are checked against the declared ones.
pub(crate) fn read(reader: &mut Reader<'_, '_>, columns: Option<&[ColumnDef]>) -> Engine {
    let document = reader.document;
    let mut engine = Engine::default();
    let mut given: Vec<(String, Spanned<Text>)> = Vec::new();
    for directive in &document.directives {
        let name = &directive.name.value;
        if !name.starts_with("ENGINE") {
            continue;
        }
        let Some(value) = reader.expression(name) else { continue };
        engine.settings.push((name.clone(), value.clone().map(|text| text.value)));
        // An empty value is as good as none.
        if !value.value.value.trim().is_empty() {
            given.push((name.clone(), value));
        }
    }
    let find = |name: &str| given.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    engine.partition = find("ENGINE_PARTITION_KEY").and_then(|value| table::partition(reader, value, columns));
    engine.ttl = find("ENGINE_TTL").and_then(|value| table::ttl(reader, value, columns));
    if let Some(value) = find("ENGINE_SETTINGS") {
        engine.table.settings = settings::read(reader, value);
    }
    let written = match find("ENGINE") {
        Some(value) => kind(reader, value),
        None => Some(Written { kind: EngineKind::default(), arguments: Vec::new(), span: Span::at(0) }),
    };
    if let Some(written) = &written {
        parameters::read(reader, written, &given, columns, &mut engine.table);
    }
    let of = |name: &str| find(name).cloned();
    let keys = Keys {
        sorting: of("ENGINE_SORTING_KEY"),
        primary: of("ENGINE_PRIMARY_KEY"),
        sampling: of("ENGINE_SAMPLING_KEY"),
        columns,
        engine: &engine.table,
    };
    keys.check(reader);
    if let Some(written) = written.filter(|written| written.kind.needs_sorting_key() && !keys.sorts()) {
        let message = format!("{} needs a sorting key", written.kind.name());
        let hint = "add a line such as ENGINE_SORTING_KEY \"id\", with the columns that make a row the same row";
        reader.error("missing_sorting_key", written.span, message, hint);
    }
    engine
}

/// `ENGINE`, taken apart.
struct Written {
    kind: EngineKind,
    /// What stands between the parentheses.
    arguments: Vec<String>,
    span: Span,
}

/// The engine and its arguments: `Name`, `Name()` or `Name(column, ...)`.
fn kind(reader: &mut Reader<'_, '_>, value: &Spanned<Text>) -> Option<Written> {
    let (text, span) = (value.value.value.trim(), value.span);
    let (word, rest) = text.split_at(text.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(text.len()));
    let Some(kind) = EngineKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(word)) else {
        let diagnostic = Diagnostic::error("unknown_engine", format!("{} is not an engine", value.value.shown()));
        let names = EngineKind::ALL.map(EngineKind::name);
        let diagnostic = match nearest(word, names) {
            Some(near) => diagnostic.suggest(Some(near)),
            None => diagnostic.hint(format!("engines are {}", names.join(", "))),
        };
        reader.report.push(diagnostic, span);
        return None;
    };
    let rest = rest.trim();
    if rest.is_empty() {
        return Some(Written { kind, arguments: Vec::new(), span });
    }
    let Some(inside) = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else {
        let message = format!("there is more behind the engine {}", kind.name());
        let hint = "keys, TTL and settings have directives of their own, such as ENGINE_SORTING_KEY \"id\"";
        reader.error("bad_engine", span, message, hint);
        return None;
    };
    Some(Written { kind, arguments: names::split(inside).into_iter().map(str::to_owned).collect(), span })
}
