//! Where values come from, options of imports and of CSV files.

use super::support::{parse, refusal, refused};
use connector_core::csv::CsvSettings;
use connector_core::evolve::{Evolution, OnMissingColumn};
use connector_core::spec::OverwritePolicy;
use connector_datafile::Import;

fn with_import(schema: &str, lines: &str) -> String {
    let schema = if schema.is_empty() { String::new() } else { format!("SCHEMA >\n    {schema}\n\n") };
    format!("{schema}IMPORT_CONNECTION_NAME c\nIMPORT_BUCKET_URI s3://bkt/x\n{lines}")
}

fn sources(schema: &str, lines: &str) -> Vec<String> {
    let (datasource, found) = parse(&with_import(schema, lines));
    assert_eq!(found, [], "{lines}");
    datasource.columns.expect("columns").iter().map(|found| found.column.source.clone()).collect()
}

#[test]
fn the_format_decides_where_columns_are_found() {
    let schema = "a Int8, b Int8 `json:$['x.y']`, c String `json:$.z`";
    assert_eq!(sources(schema, "IMPORT_FORMAT csv"), ["a", "x.y", "z"]);
    assert_eq!(sources(schema, "IMPORT_FORMAT ndjson"), ["a", "['x.y']", "z"]);
    assert_eq!(sources(schema, ""), ["a", "['x.y']", "z"]);
    assert_eq!(sources("a Int8, b Int8", "IMPORT_FORMAT csv\nIMPORT_CSV_HEADER false"), ["column_1", "column_2"]);
    assert_eq!(sources("a Int8, b Int8", "IMPORT_CSV_HEADER true"), ["a", "b"]);
    let lists = "a Array(Int8) `json:$.a[:]`, b Array(Int8) `json:$.b.c[:]`, c Int8 `json:$['x.y']`, d Int8 `json:$['x.y'].z`, \
         e Array(Int8) `json:$.e[:].f`";
    assert_eq!(sources(lists, "IMPORT_FORMAT parquet"), ["a", "b.c", "x.y", "['x.y'].z", "e[:].f"]);
    assert_eq!(sources(lists, "IMPORT_FORMAT ndjson"), ["a[:]", "b.c[:]", "['x.y']", "['x.y'].z", "e[:].f"]);
    assert_eq!(sources("a JSON `json:$`", "IMPORT_FORMAT ndjson"), ["$"]);
    refused(
        &[
            (
                "a Int8 `json:$.b.c`",
                "error: CSV files have no values inside of values @2:12+12 | for a header with dots or brackets write `json:$['b.c']`",
            ),
            (
                "a JSON `json:$`",
                "error: only NDJSON files have a whole record that is one value @2:12+8 | declare a column for each value",
            ),
        ],
        |schema| with_import(schema, "IMPORT_FORMAT csv"),
    );
}

fn import(lines: &str) -> Import {
    let (datasource, found) = parse(&with_import("", lines));
    assert_eq!(found, [], "{lines}");
    datasource.import.expect("an import")
}

#[test]
fn evolution_is_read() {
    assert_eq!(import("").evolution, Evolution::Evolve);
    assert_eq!(import("").on_missing_column, OnMissingColumn::Quarantine);
    assert_eq!(import("IMPORT_EVOLUTION Freeze").evolution, Evolution::Freeze);
    assert_eq!(import("IMPORT_EVOLUTION evolve").evolution, Evolution::Evolve);
    assert_eq!(import("IMPORT_ON_MISSING_COLUMN NULL").on_missing_column, OnMissingColumn::Null);
    assert_eq!(import("IMPORT_ON_MISSING_COLUMN quarantine").on_missing_column, OnMissingColumn::Quarantine);
}

#[test]
fn what_becomes_of_overwritten_keys_is_read_in_any_case() {
    assert_eq!(import("").on_overwrite, OverwritePolicy::Ignore);
    for policy in [OverwritePolicy::Ignore, OverwritePolicy::Append] {
        let lower = policy.as_str();
        for written in [lower.to_owned(), lower.to_ascii_uppercase(), format!("\"{lower}\"")] {
            // What a policy is called everywhere else is also how the file spells it.
            assert_eq!(import(&format!("IMPORT_ON_OVERWRITE {written}")).on_overwrite, policy, "{written}");
        }
    }
}

#[test]
fn csv_options_are_read_in_all_their_spellings() {
    assert_eq!(import("").csv, CsvSettings::default());
    for (line, delimiter) in [
        (";", b';'),
        ("\"|\"", b'|'),
        ("tab", b'\t'),
        ("\"\\t\"", b'\t'),
        ("\"\t\"", b'\t'),
        ("Comma", b','),
        ("semicolon", b';'),
        ("PIPE", b'|'),
        ("space", b' '),
        ("\" \"", b' '),
        ("'#'", b'#'),
        ("\"\u{1}\"", 1),
    ] {
        assert_eq!(import(&format!("IMPORT_CSV_DELIMITER {line}")).csv.delimiter, Some(delimiter), "{line}");
    }
    for (line, quote) in
        [("'\"'", Some(b'"')), ("\"'\"", Some(b'\'')), ("double", Some(b'"')), ("single", Some(b'\'')), ("NONE", None)]
    {
        assert_eq!(import(&format!("IMPORT_CSV_QUOTE {line}")).csv.quote, Some(quote), "{line}");
    }
    for (line, header) in [("true", true), ("FALSE", false)] {
        assert_eq!(import(&format!("IMPORT_CSV_HEADER {line}")).csv.header, Some(header));
    }
    for (line, nulls) in [
        ("NULL", vec!["NULL"]),
        ("\"NULL, \\N, NA\"", vec!["NULL", "\\N", "NA"]),
        ("NULL, \\N, NULL", vec!["NULL", "\\N"]),
        ("\"n a\"", vec!["n a"]),
        ("\"\"", vec![]),
    ] {
        let nulls: Vec<String> = nulls.into_iter().map(str::to_owned).collect();
        assert_eq!(import(&format!("IMPORT_CSV_NULL {line}")).csv.nulls, Some(nulls), "{line}");
    }
    assert_eq!(import("IMPORT_CSV_SKIP_LINES 3").csv.skip_lines, Some(3));
    assert_eq!(import("IMPORT_CSV_SKIP_LINES 0").csv.skip_lines, Some(0));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let delimiter = "a delimiter is one ASCII character, or tab, comma, semicolon, pipe, space";
    let quote = "a quote is one ASCII character, or double, single, none";
    for (line, expected) in [
        ("IMPORT_EVOLUTION frozen", "error: 'frozen' is not possible here @3:18+6 | evolve: new columns of files are added to the table; freeze: rows with a value in a new column go to quarantine".to_owned()),
        ("IMPORT_EVOLUTION freez", "error: 'freez' is not possible here @3:18+5 | did you mean 'freeze'?".to_owned()),
        ("IMPORT_ON_MISSING_COLUMN fail", "error: 'fail' is not possible here @3:26+4 | quarantine: the rows".to_owned()),
        ("IMPORT_ON_OVERWRITE Replace", "error: replace is not available yet @3:21+7 | append: the rows of a new version are added to those of the one before; ignore: it is not read".to_owned()),
        ("IMPORT_ON_OVERWRITE apend", "error: 'apend' is not possible here @3:21+5 | did you mean 'append'?".to_owned()),
        ("IMPORT_ON_OVERWRITE keep", "error: 'keep' is not possible here @3:21+4 | ignore: a new version of a key that was ingested before is not read; append: its rows".to_owned()),
        ("IMPORT_ON_OVERWRITE", "error: IMPORT_ON_OVERWRITE needs a value @3:1+19".to_owned()),
        ("IMPORT_FORMAT jsno", "error: 'jsno' is not a format @3:15+4 | did you mean 'json'?".to_owned()),
        ("IMPORT_CSV_DELIMITER x", format!("error: 'x' cannot be the delimiter: values are made of it @3:22+1 | {delimiter}")),
        ("IMPORT_CSV_DELIMITER 7", format!("error: '7' cannot be the delimiter: values are made of it @3:22+1 | {delimiter}")),
        ("IMPORT_CSV_DELIMITER ::", "error: '::' is not a delimiter @3:22+2 | one ASCII character, or tab".to_owned()),
        ("IMPORT_CSV_DELIMITER €", "error: '€' is not a delimiter @3:22+1 | one ASCII".to_owned()),
        ("IMPORT_CSV_DELIMITER \"\"", "error: '' is not a delimiter @3:22+2 | one ASCII".to_owned()),
        ("IMPORT_CSV_DELIMITER", "error: IMPORT_CSV_DELIMITER needs a value @3:1+20".to_owned()),
        ("IMPORT_CSV_QUOTE q", format!("error: 'q' cannot be the quote: values are made of it @3:18+1 | {quote}")),
        ("IMPORT_CSV_QUOTE \" \"", format!("error: ' ' cannot be the quote: values are made of it @3:18+3 | {quote}")),
        ("IMPORT_CSV_QUOTE nil", "error: 'nil' is not a quote @3:18+3 | one ASCII".to_owned()),
        ("IMPORT_CSV_QUOTE |\nIMPORT_CSV_DELIMITER |", "error: the quote is the delimiter: '|' @3:18+1 | write another one, or none if nothing is quoted".to_owned()),
        ("IMPORT_CSV_HEADER yes", "error: 'yes' is not true or false @3:19+3 | true if the first record names the columns".to_owned()),
        ("IMPORT_CSV_NULL NULL,,NA", "error: between two commas there is no spelling of NULL @3:17+8 | such as \"NULL".to_owned()),
        ("IMPORT_CSV_NULL n;a\nIMPORT_CSV_DELIMITER ;", "error: 'n;a' holds the delimiter, so that no cell is spelled so @3:17+3 | such as".to_owned()),
        ("IMPORT_CSV_SKIP_LINES -1", "error: '-1' is not a number of lines @3:23+2 | write a whole number from 0 to 10000".to_owned()),
        ("IMPORT_CSV_SKIP_LINES 10001", "error: '10001' is not a number of lines @3:23+5".to_owned()),
        ("IMPORT_FORMAT parquet\nIMPORT_CSV_HEADER true", "error: IMPORT_CSV_HEADER has no effect: the files are parquet @4:1+17 | remove it, or write IMPORT_FORMAT csv".to_owned()),
        ("IMPORT_FORMAT ndjson\nIMPORT_CSV_DELIMITER x", "error: IMPORT_CSV_DELIMITER has no effect: the files are ndjson @4:1+20".to_owned()),
        ("IMPORT_CSV_DELIMITER '\"'", "error: '\"' is the quote unless IMPORT_CSV_QUOTE says otherwise @3:22+3 | write IMPORT_CSV_QUOTE none".to_owned()),
        ("IMPORT_CSV_ENCODING latin1", "error: IMPORT_CSV_ENCODING cannot be used in .datasource files @3:1+19 | files are read as UTF-8 and nothing else".to_owned()),
        ("IMPORT_CSV_DELIMITR ;", "error: IMPORT_CSV_DELIMITR is not a directive of .datasource files @3:1+19 | did you mean 'IMPORT_CSV_DELIMITER'?".to_owned()),
    ] {
        refused(&[(line, &expected)], |line| with_import("", line));
    }
    let by_suffix = "IMPORT_CONNECTION_NAME c\nIMPORT_BUCKET_URI s3://bkt/*.json.gz\nIMPORT_CSV_QUOTE none";
    assert!(refusal(by_suffix).starts_with("error: IMPORT_CSV_QUOTE has no effect: the files are ndjson @3:1+16"));
}

#[test]
fn a_path_leads_nowhere_in_files_without_a_header() {
    refused(
        &[(
            "IMPORT_CSV_HEADER false",
            "error: files without a header have no names that a path could lead to @2:12+10 | remove the path",
        )],
        |line| with_import("a Int8 `json:$.b`", line),
    );
}
