//! The INDEXES block: `[INDEX] name expression TYPE type[(arguments)] [GRANULARITY n]`, one on each line.

use crate::column::{ColumnDef, Names};
use crate::diagnostic::Diagnostic;
use crate::engine::names::{columns_in, split};
use crate::lexer::RawDirective;
use crate::reader::Reader;
use crate::source::{Span, Spanned};
use crate::suggest::nearest;

/// A data skipping index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDef {
    pub name: String,
    /// As written.
    pub expression: String,
    pub kind: IndexKind,
    /// As written.
    pub arguments: Vec<String>,
    /// At least 1.
    pub granularity: Option<u32>,
}

/// What an index keeps of a granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    MinMax,
    Set,
    BloomFilter,
    /// Of parts of texts.
    Ngrams,
    /// Of words of texts.
    Tokens,
}

impl IndexKind {
    const ALL: [Self; 5] = [Self::MinMax, Self::Set, Self::BloomFilter, Self::Ngrams, Self::Tokens];

    /// ClickHouse's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::MinMax => "minmax",
            Self::Set => "set",
            Self::BloomFilter => "bloom_filter",
            Self::Ngrams => "ngrambf_v1",
            Self::Tokens => "tokenbf_v1",
        }
    }

    fn fits(self, arguments: &[&str]) -> bool {
        let whole = |text: &&str| text.parse::<u64>().is_ok();
        match self {
            Self::MinMax => arguments.is_empty(),
            Self::Set => matches!(arguments, [rows] if whole(rows)),
            Self::BloomFilter => match arguments {
                [] => true,
                [rate] => rate.parse::<f64>().is_ok_and(|rate| rate > 0.0 && rate < 1.0),
                _ => false,
            },
            Self::Ngrams => arguments.len() == 4 && arguments.iter().all(whole),
            Self::Tokens => arguments.len() == 3 && arguments.iter().all(whole),
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::MinMax => "minmax",
            Self::Set => "set(100)",
            Self::BloomFilter => "bloom_filter or bloom_filter(0.01)",
            Self::Ngrams => "ngrambf_v1(4, 1024, 1, 42)",
            Self::Tokens => "tokenbf_v1(1024, 1, 42)",
        }
    }
}

const SHAPE: &str = "write: name expression TYPE minmax GRANULARITY 4";
const CODE: &str = "bad_index";

/// A problem with its place on the line.
struct Wrong {
    place: Span,
    message: String,
    hint: String,
}

fn wrong(place: Span, message: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong { place, message: message.into(), hint: hint.into() }
}

/// Reads the lines of the block; problems are reported, one for each line.
pub(crate) fn read(
    reader: &mut Reader<'_, '_>,
    directive: &RawDirective,
    columns: Option<&[ColumnDef]>,
) -> Vec<IndexDef> {
    let Some(lines) = reader.lines(directive) else {
        let hint = "write 'INDEXES >', then one index on each line, indented";
        reader.error("missing_block_mark", directive.name.span, "INDEXES is a block", hint);
        return Vec::new();
    };
    let mut found: Vec<(IndexDef, Span)> = Vec::new();
    for line in lines {
        let text = without_comment(reader.report.source.slice(line));
        let start = line.start + text.len() - text.trim_start().len();
        let text = text.trim().trim_end_matches([',', ' ', '\t']);
        if text.is_empty() {
            continue;
        }
        let line = Spanned::new(text.to_owned(), Span::new(start, start + text.len()));
        match index(&line) {
            Ok(index) => {
                let name = Span::new(line.span.start, line.span.end);
                let first = found.iter().find(|(known, _)| known.name == index.name).map(|(_, place)| *place);
                match first {
                    Some(first) => {
                        let diagnostic = Diagnostic::error(CODE, format!("two indexes are called {}", index.name))
                            .label("the second one")
                            .related(reader.report.source, first, "the first one");
                        reader.report.push(diagnostic, name);
                    }
                    None => {
                        check_columns(reader, &index, &line, columns);
                        found.push((index, name));
                    }
                }
            }
            Err(Wrong { place, message, hint }) => reader.error(CODE, place, message, hint),
        }
    }
    found.into_iter().map(|(index, _)| index).collect()
}

/// The line up to `--` outside of quotes, or nothing if it is a comment as a whole.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    let mut quoted = false;
    let end = line.char_indices().find(|(at, letter)| {
        quoted ^= *letter == '\'';
        !quoted && line[*at..].starts_with("--")
    });
    end.map_or(line, |(at, _)| &line[..at])
}

fn index(line: &Spanned<String>) -> Result<IndexDef, Wrong> {
    let text = line.value.as_str();
    let place = |part: &str| {
        let at = part.as_ptr() as usize - text.as_ptr() as usize;
        Span::new(line.span.start + at, line.span.start + at + part.len())
    };
    let (first, rest) = word(text);
    let (name, rest) = if first.eq_ignore_ascii_case("INDEX") { word(rest.trim_start()) } else { (first, rest) };
    if name.is_empty() {
        return Err(wrong(line.span, "an index begins with its name", SHAPE));
    }
    let types: Vec<usize> = words_at(rest, "TYPE");
    let [at] = types.as_slice() else {
        let message =
            if types.is_empty() { "the index lacks its TYPE" } else { "there is more than one index on the line" };
        let lower = !words_at(&rest.to_ascii_uppercase(), "TYPE").is_empty() && types.is_empty();
        return Err(wrong(line.span, message, if lower { "write TYPE in capitals" } else { SHAPE }));
    };
    let expression = rest[..*at].trim();
    if expression.is_empty() || !rest.starts_with(char::is_whitespace) {
        return Err(wrong(line.span, format!("the index {name} lacks its expression"), SHAPE));
    }
    let (kind_name, rest) = word(rest[at + "TYPE".len()..].trim_start());
    let Some(kind) = IndexKind::ALL.into_iter().find(|kind| kind.name() == kind_name) else {
        let names = IndexKind::ALL.map(IndexKind::name);
        let hint = nearest(kind_name, names)
            .map_or_else(|| format!("types are {}", names.join(", ")), |near| format!("did you mean '{near}'?"));
        let span = if kind_name.is_empty() { line.span } else { place(kind_name) };
        return Err(wrong(span, format!("'{kind_name}' is not a type of index"), hint));
    };
    let (arguments, rest) = match rest.strip_prefix('(').map(|rest| rest.split_once(')')) {
        Some(Some((inside, rest))) => (split(inside), rest),
        Some(None) => return Err(wrong(place(rest), "'(' is never closed", SHAPE)),
        None => (Vec::new(), rest),
    };
    if !kind.fits(&arguments) {
        let message = format!("these are not the arguments of {}", kind.name());
        return Err(wrong(place(kind_name), message, format!("write {}", kind.example())));
    }
    let granularity = granularity(rest.trim()).map_err(|message| {
        let rest = rest.trim();
        wrong(
            if rest.is_empty() { line.span } else { place(rest) },
            message,
            "the line ends with GRANULARITY n, or with the type",
        )
    })?;
    let arguments = arguments.into_iter().map(str::to_owned).collect();
    Ok(IndexDef { name: name.to_owned(), expression: expression.to_owned(), kind, arguments, granularity })
}

fn granularity(text: &str) -> Result<Option<u32>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let (keyword, rest) = word(text);
    if keyword != "GRANULARITY" {
        return Err("this does not belong to an index");
    }
    match rest.trim().parse::<u32>() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err("GRANULARITY takes a whole number from 1"),
    }
}

/// The letters, digits and `_` at the start of a text, and the rest of it.
fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len()))
}

/// Where a word stands by itself.
fn words_at(text: &str, word: &str) -> Vec<usize> {
    let is_letter = |letter: char| letter.is_alphanumeric() || letter == '_';
    let alone = |at: &usize| {
        let before = text[..*at].chars().next_back().is_some_and(is_letter);
        let after = text[at + word.len()..].chars().next().is_some_and(is_letter);
        !before && !after
    };
    text.match_indices(word).map(|(at, _)| at).filter(alone).collect()
}

fn check_columns(reader: &mut Reader<'_, '_>, index: &IndexDef, line: &Spanned<String>, columns: Option<&[ColumnDef]>) {
    let Some(columns) = columns else { return };
    let names = Names::of(columns);
    let Some(begin) = line.value.find(&format!(" {}", index.expression)).map(|at| at + 1) else { return };
    for named in columns_in(&index.expression) {
        let base = named.name.split('.').next().unwrap_or_default();
        if names.find(&named.name).is_none() && names.find(base).is_none() {
            let start = line.span.start + begin + named.offset;
            let end = (start + named.name.len()).min(line.span.end);
            reader.report.push(names.unknown(&named.name), Span::new(start, end));
            return;
        }
    }
}
