//! Whole files of random tables and random records through splitter and decoder, cell by cell against a naive judgement
//! of what a byte-by-byte reader finds in them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use connector_core::block::{Block, Cause, CellError};
use connector_core::csv::CsvDialect;
use connector_core::evolve::FilePlan;
use connector_core::schema::{Column, TableSchema};
use connector_core::types::{ColumnType, EnumType};
use connector_decode::csv::{CsvDecoder, CsvOptions, Splitter};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;

use crate::reference::{self, Record};
use crate::support::{check_block, column, plan};

fn types() -> Vec<ColumnType> {
    let labels = EnumType { wide: false, labels: Arc::new([("a".to_owned(), 1), ("NA".to_owned(), 2)]) };
    vec![
        ColumnType::Int64,
        ColumnType::UInt8,
        ColumnType::Int128,
        ColumnType::Float64,
        ColumnType::Bool,
        ColumnType::Decimal { precision: 4, scale: 1 },
        ColumnType::String,
        ColumnType::FixedString(2),
        ColumnType::Ipv4,
        ColumnType::Enum(labels),
        ColumnType::Array { element: Box::new(ColumnType::UInt8), nullable: true },
    ]
}

/// A column, with a default in its spelling if it has one.
fn any_column() -> impl Strategy<Value = Column> {
    (select(types()), any::<bool>(), any::<bool>()).prop_map(|(ty, nullable, with_default)| {
        let default = match ty {
            ColumnType::Int64 | ColumnType::UInt8 | ColumnType::Bool => Some("1"),
            ColumnType::String => Some("none"),
            ColumnType::Ipv4 => Some("::1"),
            _ => None,
        };
        column("c", ty, nullable, default.filter(|_| with_default))
    })
}

fn any_dialect() -> impl Strategy<Value = CsvDialect> {
    (select(vec![b',', b';', b'\t']), select(vec![Some(b'"'), Some(b'\''), None]), any::<bool>(), any::<bool>())
        .prop_map(|(delimiter, quote, nulls, nulls_configured)| {
            let nulls = if nulls { vec!["NA".to_owned(), "\\N".to_owned()] } else { Vec::new() };
            CsvDialect { delimiter, quote, nulls, nulls_configured, ..CsvDialect::default() }
        })
}

/// A cell as a file might write it: `q` stands for the quote, `d` for the delimiter.
fn any_cell() -> impl Strategy<Value = Vec<u8>> {
    let quoted = |texts: &[&[u8]]| select(texts.iter().map(|text| text.to_vec()).collect::<Vec<_>>());
    prop_oneof![
        6 => quoted(&[b"", b"1", b"7", b"-1", b"300", b"x", b"a", b"NA", b"\\N", b"1.5", b"true", b"10.0.0.1", b"[1]"]),
        3 => quoted(&[b"qq", b"q1q", b"qNAq", b"qq\\N", b"qaqb", b"q[1d null]q", b"q\nq", b"q1\r\nqqdq", b"qqqq", b"aqb"]),
        2 => quoted(&[b" 2 ", b"\xC3\xA9", b"\xFF", b"a\0", b"99.95", b"1e400", b"-0", b"9223372036854775808", b"[1,300]"]),
        1 => quoted(&[b"q", b"qa", b"qqqx"]),
    ]
}

fn any_body(columns: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let width = prop_oneof![8 => Just(columns..=columns), 1 => Just(0..=columns + 2)];
    let cells = width.prop_flat_map(|width| prop::collection::vec(any_cell(), width));
    let end = select(vec![&b"\n"[..], b"\r\n", b"\r", b"\n\n"]);
    let line = (cells, end).prop_map(|(cells, end)| [cells.join(&b'd'), end.to_vec()].concat());
    prop::collection::vec(line, 0..25)
}

#[derive(Clone, Debug)]
struct File {
    dialect: CsvDialect,
    columns: Vec<Column>,
    /// Whether the first column is the partition column.
    partitioned: bool,
    plan: FilePlan,
    body: Vec<u8>,
    pieces: Vec<usize>,
    target: usize,
}

fn any_file() -> impl Strategy<Value = File> {
    let shape = (any_dialect(), prop::collection::vec(any_column(), 1..5), 1usize..5);
    shape.prop_flat_map(|(dialect, columns, file_columns)| {
        let sources = prop::collection::vec(prop::option::weighted(0.9, 0..file_columns), columns.len());
        let unknown = prop::option::weighted(0.2, 0..file_columns);
        let rest = (
            sources,
            unknown,
            any_body(file_columns),
            prop::collection::vec(1usize..40, 1..4),
            1usize..200,
            any::<bool>(),
        );
        rest.prop_map(move |(sources, unknown, body, pieces, target, partitioned)| {
            let unknown = unknown.map(|index| (index, "new".to_owned())).into_iter().collect();
            let plan = FilePlan { unknown, ..plan(sources, file_columns) };
            let translate = |byte: u8| match byte {
                b'q' => dialect.quote.unwrap_or(b'"'),
                b'd' => dialect.delimiter,
                other => other,
            };
            let body = body.concat().into_iter().map(translate).collect();
            File { dialect: dialect.clone(), columns: columns.clone(), partitioned, plan, body, pieces, target }
        })
    })
}

fn decode(file: &File) -> Vec<Block> {
    let options = CsvOptions::new(file.dialect.clone());
    let partition = file.partitioned.then(|| "c".to_owned());
    let schema = Arc::new(TableSchema { partition, ..TableSchema::new(file.columns.clone()) });
    let decoder = CsvDecoder::new(schema, Arc::new(file.plan.clone()), &options, Timestamp::UNIX_EPOCH);
    let mut splitter = Splitter::new(&options);
    let mut raw = Vec::new();
    let (mut at, mut sizes) = (0, file.pieces.iter().cycle());
    while at < file.body.len() {
        let end = (at + sizes.next().expect("a size")).min(file.body.len());
        splitter.push(Bytes::copy_from_slice(&file.body[at..end]));
        at = end;
        while let Some(block) = splitter.next_block(file.target).expect("splits") {
            raw.push(block);
        }
    }
    raw.extend(splitter.finish().expect("splits"));
    raw.iter().map(|block| decoder.decode(block).expect("decodes")).collect()
}

/// What a cell becomes: nothing if it is bad, else its value, which may be NULL.
type Judged = Option<Option<String>>;

fn judge(column: &Column, cell: Option<&(Vec<u8>, bool)>, dialect: &CsvDialect) -> Judged {
    let text_like = matches!(column.ty, ColumnType::String | ColumnType::FixedString(_) | ColumnType::Enum(_));
    let is_null = |text: &[u8]| dialect.nulls.iter().any(|null| null.as_bytes() == text);
    let nulls_hold = dialect.nulls_configured || !text_like;
    let absent = match cell {
        None => true,
        Some((text, false)) => text.is_empty() || (nulls_hold && is_null(text)),
        Some((text, true)) => text.is_empty() && !matches!(column.ty, ColumnType::String | ColumnType::FixedString(_)),
    };
    if !absent {
        return cell.and_then(|(text, _)| parse(&column.ty, text)).map(Some);
    }
    let default = column.default.as_ref().map(|default| match default {
        connector_core::schema::ColumnDefault::Literal(text) => text.as_bytes(),
        other => panic!("no such default here: {other:?}"),
    });
    match (column.nullable, default, &column.ty) {
        (true, ..) => Some(None),
        (_, Some(default), ty) => parse(ty, default).map(Some),
        (_, None, ColumnType::String) => Some(Some(String::new())),
        (_, None, ColumnType::Array { .. }) => Some(Some("[]".to_owned())),
        _ => None,
    }
}

fn parse(ty: &ColumnType, text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let number = text.trim_matches([' ', '\t']);
    match ty {
        ColumnType::Int64 => number.parse::<i64>().ok().map(|value| value.to_string()),
        ColumnType::Int128 => number.parse::<i128>().ok().map(|value| value.to_string()),
        ColumnType::UInt8 => {
            number.parse::<i64>().ok().and_then(|value| u8::try_from(value).ok()).map(|value| value.to_string())
        }
        ColumnType::Float64 => {
            number.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| format!("{value:?}"))
        }
        ColumnType::Bool => match number.to_lowercase().as_str() {
            "true" | "1" => Some("true".to_owned()),
            _ => None,
        },
        // One digit behind the point, and three in front of it.
        ColumnType::Decimal { .. } => {
            let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
            let whole: i64 = whole.parse().ok()?;
            let fraction: u8 = fraction.parse().ok()?;
            (whole.abs() < 1_000 && fraction < 10).then(|| format!("{whole}.{fraction}"))
        }
        ColumnType::FixedString(length) => (text.len() <= *length as usize).then(|| text.to_owned()),
        ColumnType::Ipv4 => number.parse::<std::net::Ipv4Addr>().ok().map(|value| value.to_string()),
        ColumnType::Enum(labels) => labels.contains(text).then(|| text.to_owned()),
        ColumnType::Array { .. } => {
            let items: Vec<Option<u8>> = serde_json::from_str(text).ok()?;
            let shown: Vec<String> =
                items.iter().map(|item| item.map_or(String::new(), |item| item.to_string())).collect();
            Some(format!("[{}]", shown.join(", ")))
        }
        _ => Some(text.to_owned()),
    }
}

fn shown(array: &ArrayRef, row: usize) -> Option<String> {
    let formatter = ArrayFormatter::try_new(array, &FormatOptions::default()).expect("a format");
    array.is_valid(row).then(|| formatter.value(row).to_string())
}

/// Whether an error says of a value that it is not of its column's type. Of one with parts it names the part.
fn is_of_value(error: &CellError, file: &File) -> bool {
    let column = error.column.map(|index| &file.columns[index as usize]);
    match (&error.cause, column) {
        (Cause::NotOfType, _) => true,
        (Cause::Text(text), Some(column)) => {
            !column.ty.takes_null() && text.contains(&format!(" is not {}: ", column.ty))
        }
        (Cause::Text(_), None) => false,
    }
}

/// Columns of the errors of a record, `None` for the record as a whole; empty if it is good.
fn errors(file: &File, record: &Record, cut: bool) -> Vec<Option<u32>> {
    if cut || record.has_tail {
        return vec![None; usize::from(cut) + usize::from(record.has_tail)];
    }
    if record.cells.len() != file.plan.bound.file_columns {
        return vec![None];
    }
    let has_value = |(index, _): &&(usize, String)| {
        let as_text = Column::nullable("new", ColumnType::String);
        let judged = judge(&as_text, Some(&record.cells[*index]), &file.dialect);
        !matches!(judged.as_ref().map(Option::as_deref), Some(None | Some("")))
    };
    let unknown = file.plan.unknown.iter().filter(has_value).map(|_| None);
    let bad = (0u32..).zip(&file.columns).zip(&file.plan.bound.sources).filter(|((_, column), source)| {
        // Text that is not UTF-8 has no value in any type, and an absent cell has what the column says.
        judge(column, source.map(|source| &record.cells[source]), &file.dialect).is_none()
    });
    // An empty text cannot be told from NULL where it says which data file a row is in.
    let first = judge(&file.columns[0], file.plan.bound.sources[0].map(|source| &record.cells[source]), &file.dialect);
    let nowhere = (file.partitioned && first == Some(Some(String::new()))).then_some(Some(0));
    unknown.chain(nowhere).chain(bad.map(|((index, _), _)| Some(index))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_500) })]

    #[test]
    fn every_record_is_once_a_row_or_a_rejected_row_with_all_that_it_holds(file in any_file()) {
        let reference = reference::read(&file.body, file.dialect.delimiter, file.dialect.quote);
        let mut records = reference.records.iter().enumerate();
        for block in decode(&file) {
            check_block(&block);
            let (mut row, mut bad) = (0, 0);
            for ordinal in 0..block.records {
                let (index, record) = records.next().expect("a record of the reference");
                let cut = reference.open_quote.is_some() && index + 1 == reference.records.len();
                let wanted = errors(&file, record, cut);
                let is_rejected = block.rejected.ordinals.get(bad) == Some(&ordinal);
                prop_assert_eq!(is_rejected, !wanted.is_empty(), "{:?}", record);
                if !is_rejected {
                    for (column, source) in file.plan.bound.sources.iter().enumerate() {
                        let cell = source.map(|source| &record.cells[source]);
                        let wanted = judge(&file.columns[column], cell, &file.dialect).expect("good");
                        prop_assert_eq!(shown(block.rows.column(column), row), wanted);
                    }
                    row += 1;
                    continue;
                }
                let found = block.rejected.errors_of(bad);
                prop_assert_eq!(found.iter().map(|error| error.column).collect::<Vec<_>>(), wanted);
                let of_record = |error: &CellError| error.column.is_none() || (file.partitioned && error.column == Some(0));
                prop_assert!(found.iter().all(|error| of_record(error) || is_of_value(error, &file)));
                prop_assert!(found.iter().all(|error| error.column.is_some() || error.cause != Cause::NotOfType));
                let raw = &block.rejected.raw;
                let wanted = std::str::from_utf8(&file.body[record.raw.clone()]).ok();
                prop_assert_eq!(raw.is_valid(bad).then(|| raw.value(bad)), wanted);
                for (texts, source) in block.rejected.texts.iter().zip(&file.plan.bound.sources) {
                    let cell = source.and_then(|source| record.cells.get(source));
                    let wanted = cell.map(|(text, _)| String::from_utf8_lossy(text).into_owned());
                    prop_assert_eq!(texts.is_valid(bad).then(|| texts.value(bad).to_owned()), wanted);
                }
                bad += 1;
            }
        }
        prop_assert!(records.next().is_none(), "a record is lost");
    }
}
