//! The values of Parquet files as text, for whoever wants to compare them with another reader.
//!
//! With `PARQUET_VALUES_DIR` set, one file of JSON lines is written there for each file that is read: those of the
//! corpora, and those of the folder `PARQUET_INPUT_DIR`, not its subfolders. It is called as the file, with `.jsonl`
//! behind, and with the folders of the corpora in front (`bad_data__x.parquet.jsonl`).
//!
//! The first line says how it went:
//! `{"file", "outcome": "read", "rows", "rejected", "columns": [{"name", "source", "type", "stated"}]}`, or
//! `{"file", "outcome": "refused", "class", "code", "message"}`. Then each row of the file has a line, in order:
//! `{"row", "values": [..]}` for a row of the table, `{"row", "errors": [[column, message]], "texts": [..]}` for a
//! rejected one. Values are strings, NULL is `null`, arrays are arrays of such: integers and decimals in digits, floats
//! in the fewest digits that lead back to them (`NaN`, `inf`, `-inf`), `true` and `false`, dates as days and times as
//! microseconds since 1970-01-01, all else as it is.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Float32Type, Float64Type, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use connector_core::block::Block;
use connector_core::error::Failure;
use connector_core::schema::TableSchema;
use connector_decode::parquet::{ParquetFile, ParquetSource};
use serde_json::{Value, json};

use crate::support::{read_as, texts};

/// Where to write, if anybody asked for it.
pub fn wanted() -> Option<PathBuf> {
    std::env::var_os("PARQUET_VALUES_DIR").map(PathBuf::from)
}

/// The value of a row.
pub fn value(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    let text = match array.data_type() {
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            return (0..elements.len()).map(|element| value(&elements, element)).collect();
        }
        DataType::Float32 => format!("{:?}", array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Timestamp(..) => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array, &options).expect("a type of a table");
            formatter.value(row).to_string()
        }
    };
    Value::String(text)
}

/// Reads the file with its own schema and writes it down.
pub fn write_down(path: &Path, name: &str, folder: &Path) {
    let bytes = std::fs::read(path).expect("reads");
    let out = std::fs::File::create(folder.join(format!("{name}.jsonl"))).expect("creates");
    let mut out = BufWriter::new(out);
    let read = ParquetFile::open(ParquetSource::Bytes(bytes.into()));
    let read = read.and_then(|file| file.infer().map(|inferred| (file, inferred.schema)));
    let read = read.and_then(|(file, schema)| Ok((read_as(&file, schema.clone(), 8_192)?, file, schema)));
    let lines = match &read {
        Ok((blocks, file, schema)) => lines(name, blocks, file, schema),
        Err(error) => vec![refused(name, error)],
    };
    lines.iter().for_each(|line| writeln!(out, "{line}").expect("writes"));
    out.flush().expect("writes");
}

/// What is written of a file that cannot be read.
pub fn refused(name: &str, error: &Failure) -> Value {
    let (class, code, message) = (error.class.to_string(), error.code, &error.message);
    json!({"file": name, "outcome": "refused", "class": class, "code": code, "message": message})
}

fn lines(name: &str, blocks: &[Block], file: &ParquetFile, schema: &TableSchema) -> Vec<Value> {
    let stated = file.shape().columns;
    let column = |(column, shape): (&connector_core::schema::Column, &connector_core::evolve::FileColumn)| {
        let ty = if column.nullable { format!("Nullable({})", column.ty) } else { column.ty.to_string() };
        let stated = shape.stated.as_ref().map(ToString::to_string);
        json!({"name": column.name, "source": column.source, "type": ty, "stated": stated})
    };
    let columns: Vec<Value> = schema.columns.iter().zip(&stated).map(column).collect();
    let rows: usize = blocks.iter().map(|block| block.rows.num_rows()).sum();
    let rejected: usize = blocks.iter().map(|block| block.rejected.len()).sum();
    let head = json!({"file": name, "outcome": "read", "rows": rows, "rejected": rejected, "columns": columns});
    let mut lines = vec![head];
    let mut first = 0;
    for block in blocks {
        let mut of_block: Vec<(u64, Value)> = Vec::new();
        for (row, ordinal) in block.row_ordinals(first).enumerate() {
            let values: Vec<Value> = block.rows.columns().iter().map(|array| value(array, row)).collect();
            of_block.push((ordinal, json!({"row": ordinal, "values": values})));
        }
        for (row, (ordinal, texts)) in block.rejected.ordinals.iter().zip(texts(block)).enumerate() {
            let error = |error| (block.rejected.message(row, error, schema), error.column_name(schema).to_owned());
            let errors = block.rejected.errors_of(row).iter().map(error);
            let errors: Vec<Value> = errors.map(|(message, column)| json!([column, message])).collect();
            let ordinal = first + ordinal;
            of_block.push((ordinal, json!({"row": ordinal, "errors": errors, "texts": texts})));
        }
        of_block.sort_by_key(|(ordinal, _)| *ordinal);
        lines.extend(of_block.into_iter().map(|(_, line)| line));
        first += block.records;
    }
    lines
}

#[test]
fn files_of_a_folder_are_written_down() {
    let (Some(folder), Some(input)) = (wanted(), std::env::var_os("PARQUET_INPUT_DIR")) else { return };
    std::fs::create_dir_all(&folder).expect("creates");
    for entry in std::fs::read_dir(input).expect("lists") {
        let path = entry.expect("lists").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_file() {
            write_down(&path, &name, &folder);
        }
    }
}

#[test]
fn every_row_has_a_line_and_every_value_a_text() {
    use arrow::array::{Float64Array, StringArray, TimestampNanosecondArray};
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("f", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), None]))),
        ("t", Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001, 2_000]))),
        ("s", Arc::new(StringArray::from(vec![Some("x"), None, Some("")]))),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.parquet");
    std::fs::write(&path, crate::parquet_files::write(columns, 2)).expect("writes");
    write_down(&path, "x.parquet", folder.path());
    let text = std::fs::read_to_string(folder.path().join("x.parquet.jsonl")).expect("reads");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!((&lines[0]["rows"], &lines[0]["rejected"]), (&json!(2), &json!(1)));
    assert_eq!(lines[1], json!({"row": 0, "values": ["0.1", "1", "x"]}));
    assert_eq!(lines[2]["texts"], json!(["NaN", "1970-01-01T00:00:00.000001001", null]));
    assert_eq!(lines[3], json!({"row": 2, "values": [null, "2", ""]}));
    std::fs::write(&path, b"no parquet file").expect("writes");
    write_down(&path, "x.parquet", folder.path());
    let text = std::fs::read_to_string(folder.path().join("x.parquet.jsonl")).expect("reads");
    assert!(text.contains("bad_footer") && text.contains("refused"), "{text}");
}
