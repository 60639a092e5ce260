//! Export of quarantined rows, as CSV for spreadsheets or as NDJSON for programs.

use std::io::{self, Write};

use connector_core::quarantine::QuarantinedRow;
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// For spreadsheets: what one of them would take for a formula gets a ' in front
    Csv,
    /// One JSON object a line, every value as it is
    Ndjson,
}

/// Writes rows.
pub struct Exporter<W: Write> {
    output: Output<W>,
}

enum Output<W: Write> {
    /// The columns of the table, once the first row has told them.
    Csv {
        writer: Box<csv::Writer<W>>,
        columns: Option<Vec<String>>,
    },
    Ndjson(W),
}

impl<W: Write> Exporter<W> {
    pub fn new(format: ExportFormat, output: W) -> Self {
        let output = match format {
            ExportFormat::Csv => Output::Csv { writer: Box::new(csv::Writer::from_writer(output)), columns: None },
            ExportFormat::Ndjson => Output::Ndjson(output),
        };
        Self { output }
    }

    /// Writes one row.
    ///
    /// # Errors
    /// Those of the output.
    pub fn write(&mut self, row: &QuarantinedRow) -> io::Result<()> {
        match &mut self.output {
            Output::Csv { writer, columns } => {
                if columns.is_none() {
                    let own = OWN.iter().map(|name| (*name).to_owned());
                    let names: Vec<String> = row.texts.iter().map(|(name, _)| name.clone()).collect();
                    writer.write_record(own.chain(names.iter().map(|name| harmless(name))))?;
                    *columns = Some(names);
                }
                let columns = columns.as_deref().unwrap_or_default();
                let texts = columns.iter().map(|name| row.text(name).unwrap_or_default().to_owned());
                let cells = own_cells(row).into_iter().chain(texts);
                writer.write_record(cells.map(|cell| harmless(&cell)))?;
            }
            Output::Ndjson(output) => {
                serde_json::to_writer(&mut *output, &row_json(row))?;
                output.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(self) -> io::Result<()> {
        match self.output {
            Output::Csv { mut writer, .. } => writer.flush(),
            Output::Ndjson(mut output) => output.flush(),
        }
    }
}

const OWN: [&str; 8] =
    ["c__error_column", "c__error", "c__import_id", "insertion_date", "_s3_key", "_s3_version", "_s3_row", "_s3_raw"];

fn own_cells(row: &QuarantinedRow) -> Vec<String> {
    let list = |which: fn(&(String, String)) -> &String| {
        Value::from(row.errors.iter().map(|error| which(error).as_str()).collect::<Vec<_>>()).to_string()
    };
    vec![
        list(|error| &error.0),
        list(|error| &error.1),
        row.batch.clone(),
        row.inserted.map(|time| time.to_string()).unwrap_or_default(),
        row.key.clone(),
        row.version.clone(),
        row.row.to_string(),
        row.raw.clone().unwrap_or_default(),
    ]
}

/// A cell that no spreadsheet executes.
fn harmless(cell: &str) -> String {
    match cell.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{cell}"),
        _ => cell.to_owned(),
    }
}

/// A row as one JSON object, every value as it is.
pub fn row_json(row: &QuarantinedRow) -> Value {
    let (columns, errors): (Vec<&str>, Vec<&str>) =
        row.errors.iter().map(|(column, message)| (column.as_str(), message.as_str())).unzip();
    let texts: Map<String, Value> =
        row.texts.iter().map(|(name, text)| (name.clone(), Value::from(text.clone()))).collect();
    let mut object = json!({
        "c__error_column": columns,
        "c__error": errors,
        "c__import_id": row.batch,
        "insertion_date": row.inserted.map(|time| time.to_string()),
        "_s3_key": row.key,
        "_s3_version": row.version,
        "_s3_row": row.row,
        "_s3_raw": row.raw,
    });
    if let Some(object) = object.as_object_mut() {
        object.extend(texts);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(format: ExportFormat, value: &str) -> String {
        let row = QuarantinedRow {
            errors: vec![("id".to_owned(), format!("value '{value}' on column 'id' is not Int64"))],
            batch: "b".to_owned(),
            key: "a.csv".to_owned(),
            version: "v".to_owned(),
            row: 3,
            inserted: None,
            raw: Some(format!("{value},x")),
            texts: vec![("id".to_owned(), Some(value.to_owned())), ("name".to_owned(), None)],
        };
        let mut bytes = Vec::new();
        let mut exporter = Exporter::new(format, &mut bytes);
        exporter.write(&row).expect("writes");
        exporter.finish().expect("flushes");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_spreadsheet_gets_no_formula_and_a_program_gets_the_value_as_it_is() {
        for value in ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1", "\r=1"] {
            let text = exported(ExportFormat::Csv, value);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let record = reader.records().next().expect("one").expect("reads");
            assert_eq!(&record[8], format!("'{value}"));
            assert_eq!(&record[7], format!("'{value},x"));
            let json: Value = serde_json::from_str(&exported(ExportFormat::Ndjson, value)).expect("json");
            assert_eq!(json["id"], value);
        }
        let header = exported(ExportFormat::Csv, "x");
        assert!(header.starts_with("c__error_column,c__error,c__import_id,insertion_date,_s3_key"), "{header}");
    }
}
