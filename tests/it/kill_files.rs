//! Files for soak tests, with the manifest that `tests/checker` holds the tables against.
//!
//! A file is made from its number alone: CSV, NDJSON, Parquet and gzip by turns, some with bad values, some that lack a
//! column, some that bring a new one, some large. Every row has an id that no other row has.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::Home;

/// Ids of a file start at its number times this.
const ID_SPACE: u64 = 1_000_000;

/// What a data source for these files declares.
pub const SCHEMA: &str =
    "SCHEMA >\n    id Int64 `json:$.id`,\n    text String `json:$.text`,\n    amount Int64 `json:$.amount`\n\n";

/// One file.
pub struct Made {
    pub key: String,
    pub bytes: Vec<u8>,
    columns: Vec<String>,
    rows: Vec<Row>,
}

/// A row as it is written: one text for each column, and whether it belongs into the table.
struct Row {
    id: u64,
    cells: Vec<String>,
    good: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Csv,
    Ndjson,
    Parquet,
    Gzip,
}

fn shape(number: u64) -> Shape {
    [Shape::Csv, Shape::Ndjson, Shape::Parquet, Shape::Gzip][(number % 4) as usize]
}

/// Most are small; each sixteenth is larger than what counts as small under the smallest budget, so that it is streamed
/// into a data file of its own.
fn rows_of(number: u64) -> u64 {
    if number % 16 == 4 { 40_000 } else { 100 + number % 50 }
}

/// Every 24th file (a CSV) has no amounts at all, so all of its rows are bad.
fn lacks_amounts(number: u64) -> bool {
    number % 24 == 16
}

/// From the 30th file on each fifth has one column more, another one after every hundred files. Not those without amounts:
/// a file that does not fit adds no columns, so where its value is would depend on whether another file came first.
fn extra_column(number: u64) -> Option<String> {
    (number >= 30 && number.is_multiple_of(5) && !lacks_amounts(number)).then(|| format!("extra_{}", number / 100))
}

/// Every third file of text has a bad amount in each ninth row.
fn is_bad(number: u64, row: u64) -> bool {
    lacks_amounts(number) || (number.is_multiple_of(3) && shape(number) != Shape::Parquet && row % 9 == 4)
}

/// The file with this number.
pub fn file(number: u64) -> Made {
    let mut columns = vec!["id".to_owned(), "text".to_owned()];
    if !lacks_amounts(number) {
        columns.push("amount".to_owned());
    }
    columns.extend(extra_column(number));
    let rows = (0..rows_of(number)).map(|row| {
        let id = number * ID_SPACE + row;
        let mut cells = vec![id.to_string(), format!("row {id} of a file that is made for this test")];
        if !lacks_amounts(number) {
            cells.push(if is_bad(number, row) { format!("oops {id}") } else { (id % 1_009).to_string() });
        }
        cells.extend(extra_column(number).map(|name| format!("{name} of {id}")));
        Row { id, cells, good: !is_bad(number, row) }
    });
    let rows: Vec<Row> = rows.collect();
    let (suffix, bytes) = match shape(number) {
        Shape::Csv => ("csv", csv(&columns, &rows)),
        Shape::Gzip => ("csv.gz", gzip(&csv(&columns, &rows))),
        Shape::Ndjson => ("ndjson", ndjson(&columns, &rows)),
        Shape::Parquet => ("parquet", parquet(&columns, &rows)),
    };
    Made { key: format!("{number:06}.{suffix}"), bytes, columns, rows }
}

fn csv(columns: &[String], rows: &[Row]) -> Vec<u8> {
    let mut text = columns.join(",") + "\n";
    rows.iter().for_each(|row| text.push_str(&(row.cells.join(",") + "\n")));
    text.into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("compresses");
    encoder.finish().expect("compresses")
}

fn ndjson(columns: &[String], rows: &[Row]) -> Vec<u8> {
    let mut text = String::new();
    for row in rows {
        let cells = columns.iter().zip(&row.cells).map(|(name, cell)| {
            let number = cell.parse::<u64>().ok().map(Value::from);
            (name.clone(), number.unwrap_or_else(|| Value::from(cell.as_str())))
        });
        text.push_str(&Value::Object(cells.collect()).to_string());
        text.push('\n');
    }
    text.into_bytes()
}

fn parquet(columns: &[String], rows: &[Row]) -> Vec<u8> {
    let is_number = |name: &str| matches!(name, "id" | "amount");
    let field = |name: &String| {
        let ty = if is_number(name) { DataType::Int64 } else { DataType::Utf8 };
        Field::new(name, ty, false)
    };
    let array = |(at, name): (usize, &String)| -> ArrayRef {
        let cells = rows.iter().map(|row| row.cells[at].as_str());
        if is_number(name) {
            Arc::new(cells.map(|cell| cell.parse::<i64>().expect("a number")).collect::<Int64Array>())
        } else {
            Arc::new(cells.map(Some).collect::<StringArray>())
        }
    };
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema.clone(), columns.iter().enumerate().map(array).collect()).expect("columns");
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, None).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.into_inner().expect("a file")
}

/// As `tests/checker/README.md` has it.
fn checksum(columns: &[String], cells: &[String]) -> String {
    let mut hash = Sha256::new();
    for (name, cell) in columns.iter().zip(cells) {
        hash.update(format!("{name}=V{}:{cell};", cell.len()));
    }
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What was written, for the checker.
pub struct Manifest {
    path: PathBuf,
    lines: BufWriter<fs::File>,
    pub rows: u64,
    pub bad_rows: u64,
}

impl Manifest {
    pub fn new(home: &Home) -> Self {
        let path = home.path("manifest.ndjson");
        let lines = BufWriter::new(fs::File::create(&path).expect("a manifest"));
        Self { path, lines, rows: 0, bad_rows: 0 }
    }

    pub fn add(&mut self, made: &Made) {
        let row = |(ordinal, row): (usize, &Row)| {
            let side = if row.good { "good" } else { "bad" };
            json!([ordinal, row.id, checksum(&made.columns, &row.cells), side])
        };
        let rows: Vec<Value> = made.rows.iter().enumerate().map(row).collect();
        self.rows += rows.len() as u64;
        self.bad_rows += made.rows.iter().filter(|row| !row.good).count() as u64;
        let line = json!({"key": made.key, "columns": made.columns, "rows": rows});
        writeln!(self.lines, "{line}").expect("a manifest");
    }

    /// Holds the tables against it: the checker's report, whatever it says.
    pub fn check(mut self, python: &Path, table: &Path, quarantine: &Path) -> Value {
        self.lines.flush().expect("a manifest");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checker/check.py");
        let mut command = Command::new(python);
        command.arg(script).arg("--json").arg("--manifest").arg(&self.path);
        command.arg("--table").arg(table).arg("--quarantine").arg(quarantine);
        let output = command.output().expect("python runs");
        let told = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&told)
            .unwrap_or_else(|error| panic!("{error}: {told}{}", String::from_utf8_lossy(&output.stderr)))
    }
}
