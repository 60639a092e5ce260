//! Files that others made to break readers. They are found through `CORPORA_DIR` only.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use bytes::Bytes;
use connector_core::block::Block;
use connector_core::csv::CsvSettings;
use connector_core::error::{ErrorClass, Failure};
use connector_core::schema::{Column, TableSchema};
use connector_core::types::ColumnType;
use connector_decode::csv::{CsvOptions, Splitter, read_header};
use connector_decode::parquet::ParquetSource;
use connector_decode::{Pool, infer};
use jiff::Timestamp;

use crate::hostile_parquet::read_on_pool;
use crate::parquet_values;
use crate::support::{check_block, plain_plan, records};

fn corpora() -> Option<PathBuf> {
    let found = std::env::var_os("CORPORA_DIR").map(PathBuf::from);
    if found.is_none() {
        println!("not run: corpora");
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("lists").path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// Header, splitter and decoder, all columns as strings: the rows, or the code of the failure.
fn read_csv(bytes: &Bytes) -> Result<Vec<Vec<String>>, &'static str> {
    let options = CsvOptions::default();
    let header = read_header(bytes, true, &options).map_err(|error| error.code)?.expect("the whole file");
    let sample = infer::Sample { head: bytes.clone(), whole_file: true, pieces: Vec::new() };
    infer::csv(&sample, &CsvSettings::default()).map_err(|error| error.code)?;
    let schema = (0..header.columns.len())
        .map(|index| Column { nullable: false, ..Column::nullable(format!("c{index}"), ColumnType::String) });
    let schema = TableSchema::new(schema.collect());
    let (schema, plan) = (Arc::new(schema), Arc::new(plain_plan(header.columns.len())));
    let decoder = connector_decode::csv::CsvDecoder::new(schema, plan, &options, Timestamp::UNIX_EPOCH);
    let mut splitter = Splitter::after_header(&options, &header);
    for piece in bytes[header.body_offset..].chunks(1_000) {
        splitter.push(Bytes::copy_from_slice(piece));
    }
    let mut blocks = Vec::new();
    while let Some(block) = splitter.next_block(4_096).map_err(|error| error.code)? {
        blocks.push(block);
    }
    blocks.extend(splitter.finish().map_err(|error| error.code)?);
    let mut rows = vec![header.columns];
    for block in &blocks {
        let decoded = decoder.decode(block).expect("decodes");
        check_block(&decoded);
        assert_eq!(decoded.records, records(&block.bytes).len() as u64);
        for row in 0..decoded.rows.num_rows() {
            let cells = decoded.rows.columns().iter();
            rows.push(cells.map(|cell| cell.as_string::<i32>().value(row).to_owned()).collect());
        }
    }
    Ok(rows)
}

#[test]
fn csv_spectrum_is_read_as_its_authors_say() {
    let Some(corpora) = corpora() else { return };
    let paths = files(&corpora.join("csv-spectrum/csvs"));
    assert!(paths.len() >= 12);
    for path in paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let rows =
            read_csv(&std::fs::read(&path).expect("reads").into()).unwrap_or_else(|code| panic!("{name}: {code}"));
        let json = corpora.join(format!("csv-spectrum/json/{name}.json"));
        let wanted: serde_json::Value = serde_json::from_slice(&std::fs::read(json).expect("reads")).expect("json");
        // One of them is a single object, and its phone number is not the one of its CSV file.
        let wanted = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
        let known_wrong = |column: &str| name == "location_coordinates" && column == "Contact Phone Number";
        assert_eq!(rows.len() - 1, wanted.len(), "{name}");
        for (row, wanted) in rows[1..].iter().zip(&wanted) {
            for (column, cell) in rows[0].iter().zip(row).filter(|(column, _)| !known_wrong(column)) {
                assert_eq!(wanted[column].as_str(), Some(cell.as_str()), "{name}: {column}");
            }
        }
    }
}

#[test]
fn csv_crashers_are_read_or_refused() {
    let Some(corpora) = corpora() else { return };
    for folder in
        ["arrow-testing/data/csv/fuzzing", "arrow-testing/data/csv", "naughty-strings", "csv-injection/Intruder"]
    {
        for path in files(&corpora.join(folder)) {
            let rows = read_csv(&std::fs::read(&path).expect("reads").into());
            let outcome = rows.map_or_else(str::to_owned, |rows| format!("{} rows", rows.len() - 1));
            println!("{}: {outcome}", path.display());
        }
    }
    let table = std::fs::read(corpora.join("arrow-testing/data/csv/aggregate_test_100.csv")).expect("reads");
    assert_eq!(read_csv(&table.into()).expect("reads").len(), 101);
}

#[tokio::test]
async fn parquet_files_are_read_or_refused_and_no_panic_escapes() {
    let Some(corpora) = corpora() else { return };
    let pool = Pool::new(1);
    let folders = [
        "parquet-testing/data",
        "parquet-testing/data/geospatial",
        "parquet-testing/data/aes256",
        "parquet-testing/bad_data",
        "arrow-testing/data/parquet/fuzzing",
        "arrow-testing/data/parquet/encoding-fuzzing",
    ];
    for folder in folders {
        for path in files(&corpora.join(folder)) {
            let file = File::open(&path).expect("opens");
            let length = file.metadata().expect("a size").len();
            let outcome = read_on_pool(&pool, ParquetSource::File(Arc::new(file), length)).await;
            match &outcome {
                Ok(blocks) => {
                    let rows: usize = blocks.iter().map(|block| block.rows.num_rows()).sum();
                    let rejected: usize = blocks.iter().map(|block| block.rejected.len()).sum();
                    println!("{}: {rows} rows, {rejected} rejected", path.display());
                }
                Err(error) => {
                    println!("{}: {} {error}", path.display(), error.code);
                    assert_eq!(error.class, ErrorClass::Data, "{}", path.display());
                }
            }
            if let Some(wanted) = parquet_values::wanted() {
                write_down(&pool, &path, &wanted).await;
            }
            check_known(&path, outcome);
        }
    }
    assert!(peak_memory_mib().is_none_or(|mib| mib < 1_024), "{:?} MiB", peak_memory_mib());
}

async fn write_down(pool: &Pool, path: &Path, folder: &Path) {
    std::fs::create_dir_all(folder).expect("creates");
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{parent}__{}", path.file_name().unwrap_or_default().to_string_lossy());
    let (job_path, job_name, job_folder) = (path.to_owned(), name.clone(), folder.to_owned());
    let answer = pool.run(move || parquet_values::write_down(&job_path, &job_name, &job_folder)).await;
    if let Err(lost) = answer {
        let line = parquet_values::refused(&name, &lost.into());
        std::fs::write(folder.join(format!("{name}.jsonl")), format!("{line}\n")).expect("writes");
    }
}

/// The most memory that this process has ever had, if the system says.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1_024)
}

/// What is known of some of the files, by name.
fn check_known(path: &Path, outcome: Result<Vec<Block>, Failure>) {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    let is_bad = path.parent().is_some_and(|folder| folder.ends_with("bad_data")) && name.ends_with(".parquet");
    match name.as_str() {
        // A dictionary of one value needs no bits for its index: odd, and readable.
        "ARROW-GH-43605.parquet" => assert!(outcome.is_ok()),
        // The page's CRC tells.
        "datapage_v1-corrupt-checksum.parquet" | "rle-dict-uncompressed-corrupt-checksum.parquet" => {
            assert!(outcome.expect_err("corrupt").message.contains("CRC"));
        }
        // The last value had wrapped around when it was written: no year 290000 comes out of it here.
        "int96_from_spark.parquet" => {
            let blocks = outcome.expect("reads");
            let times = blocks[0].rows.column(0).as_primitive::<TimestampMicrosecondType>();
            let wanted = [1_704_141_296_123_456, 1_704_070_800_000_000, 253_402_225_200_000_000, 1_735_599_600_000_000];
            assert_eq!(times.values()[..4], wanted);
            assert!(times.is_null(4));
            assert_eq!(blocks[0].rejected.ordinals, [5]);
        }
        _ if name.starts_with("crs-") || name.starts_with("geography-") => {
            assert_eq!(outcome.expect_err("geometry is no text").code, "unsupported_type");
        }
        _ if is_bad || name.ends_with(".encrypted") => assert!(outcome.is_err(), "{name} was read"),
        _ => {}
    }
}
