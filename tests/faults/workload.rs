//! Files of which every row is known, and whether two tables hold exactly them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use arrow::array::{Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::harness::Home;

/// A file whose row `n` has the id `first + n`. Rows in `bad` have no amount, so they go to quarantine until amounts may
/// be NULL.
#[derive(Clone, Debug)]
pub struct Sample {
    pub key: String,
    pub rows: u64,
    pub first: u64,
    pub bad: Vec<u64>,
    /// Its good rows are no longer in the table.
    pub expired: bool,
}

/// Ids of a file start at its number times this.
const ID_SPACE: u64 = 100_000;

impl Sample {
    /// Of three files one is Parquet, and of two CSV files one has two bad rows.
    pub fn new(number: u64, rows: u64) -> Self {
        let suffix = if number % 3 == 2 { "parquet" } else { "csv" };
        let bad = if number % 3 == 1 { vec![1, rows / 2] } else { Vec::new() };
        Self { key: format!("{number:04}.{suffix}"), rows, first: number * ID_SPACE, bad, expired: false }
    }

    pub fn bytes(&self) -> Vec<u8> {
        if self.key.ends_with(".parquet") { self.parquet() } else { self.csv() }
    }

    fn csv(&self) -> Vec<u8> {
        let mut csv = String::from("id,amount,day,text\n");
        for row in 0..self.rows {
            let amount = if self.bad.contains(&row) { String::new() } else { row.to_string() };
            csv.push_str(&format!("{},{amount},2000-01-01,row {row} of {}\n", self.first + row, self.key));
        }
        csv.into_bytes()
    }

    fn parquet(&self) -> Vec<u8> {
        let fields =
            [("id", DataType::Int64), ("amount", DataType::Int64), ("day", DataType::Date32), ("text", DataType::Utf8)];
        let fields: Vec<Field> = fields.map(|(name, ty)| Field::new(name, ty, false)).into();
        let ids: Int64Array = (self.first..self.first + self.rows).map(|id| id as i64).collect();
        let days = Date32Array::from(vec![10_957; self.rows as usize]);
        let amounts: Int64Array = (0..self.rows).map(|row| row as i64).collect();
        let texts: StringArray = (0..self.rows).map(|row| Some(format!("row {row} of {}", self.key))).collect();
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new(ids), Arc::new(amounts), Arc::new(days), Arc::new(texts)];
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns");
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
        writer.write(&batch).expect("rows");
        writer.into_inner().expect("a file")
    }
}

/// A data source that reads samples through the connection `shop`.
pub fn datasource(schedule: &str) -> String {
    datasource_with("Int64", schedule)
}

/// The same, with amounts of this type.
pub fn datasource_with(amount: &str, schedule: &str) -> String {
    format!(
        "SCHEMA >\n    `id` Int64,\n    `amount` {amount},\n    `day` Date,\n    `text` String\n\n\
         IMPORT_CONNECTION_NAME shop\nIMPORT_BUCKET_URI s3://drop\nIMPORT_SCHEDULE {schedule}\n"
    )
}

/// Puts samples into the bucket `drop`.
pub fn put(home: &Home, samples: &[Sample]) {
    for sample in samples {
        home.put("drop", &sample.key, sample.bytes());
    }
}

/// An interpreter that compares tables with samples, for as long as it lives.
pub struct Judge {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Judge {
    pub fn start(python: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/identity.py");
        let command = &mut Command::new(python);
        let mut child =
            command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, answers }
    }

    /// Compares; the tables may be missing.
    pub fn compare(&mut self, table: &Path, quarantine: &Path, samples: &[Sample]) -> Verdict {
        let files: Vec<Value> = samples
            .iter()
            .map(|one| json!({"key": one.key, "rows": one.rows, "first": one.first, "bad": one.bad, "expired": one.expired}))
            .collect();
        let question = json!({"table": table, "quarantine": quarantine, "files": files});
        let input = self.child.stdin.as_mut().expect("piped");
        writeln!(input, "{question}").expect("the judge listens");
        input.flush().expect("the judge listens");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the judge answers");
        Verdict(serde_json::from_str(&line).expect("JSON"))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the comparison found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict(pub Value);

impl Verdict {
    /// Files of which every row is in its place.
    pub fn complete(&self) -> Vec<String> {
        let keys = self.0["complete"].as_array().into_iter().flatten();
        keys.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// What is wrong even if not every file has been ingested yet.
    pub fn wrong_so_far(&self) -> Option<String> {
        let empty = |what: &str| self.0[what].as_array().is_some_and(Vec::is_empty);
        let all = ["doubled", "altered", "misplaced", "phantom"];
        (!all.into_iter().all(empty)).then(|| self.0.to_string())
    }

    /// What is wrong once every file has been ingested.
    pub fn wrong(&self) -> Option<String> {
        let whole = self.0["lost"].as_array().is_some_and(Vec::is_empty);
        self.wrong_so_far().or_else(|| (!whole).then(|| self.0.to_string()))
    }
}
