//! A name for a data source, from what its files are called.

use connector_core::uri::BucketUri;

/// Suffixes that say what a file is and nothing about what is in it.
const SUFFIXES: [&str; 14] = [
    ".gz", ".gzip", ".zst", ".zstd", ".csv", ".tsv", ".tab", ".txt", ".ndjson", ".jsonl", ".json", ".parquet", ".pq",
    ".snappy",
];

/// From the name of a file.
pub fn of_file(name: &str) -> String {
    let mut stem = name;
    while let Some(shorter) = SUFFIXES.iter().find_map(|suffix| strip(stem, suffix)).filter(|stem| !stem.is_empty()) {
        stem = shorter;
    }
    cleaned(stem).unwrap_or_else(|| "data".to_owned())
}

/// From a URI: what its last segment without a wildcard is called, else its bucket.
pub fn of_uri(uri: &BucketUri) -> String {
    let path = uri.as_str().split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
    let is_plain = |segment: &&str| !segment.is_empty() && !segment.contains(['*', '?', '[', '{', '=']);
    let mut names = path.split('/').filter(is_plain).map(of_file).filter(|name| name != "data");
    names.next_back().or_else(|| cleaned(uri.bucket())).unwrap_or_else(|| "data".to_owned())
}

fn strip<'s>(name: &'s str, suffix: &str) -> Option<&'s str> {
    let at = name.len().checked_sub(suffix.len())?;
    name.get(at..)?.eq_ignore_ascii_case(suffix).then(|| &name[..at])
}

/// Letters, digits and `_`, beginning with a letter or `_`; never the name of a quarantine table.
fn cleaned(text: &str) -> Option<String> {
    let mut name = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_');
    let digit = name.starts_with(|first: char| first.is_ascii_digit());
    let reserved = name.to_ascii_lowercase().ends_with("_quarantine");
    let name = format!("{}{name}{}", if digit { "_" } else { "" }, if reserved { "_rows" } else { "" });
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_called_after_what_is_in_them() {
        for (file, name) in [
            ("orders.csv", "orders"),
            ("Orders 2025-01-31.CSV.gz", "Orders_2025_01_31"),
            ("2024.parquet", "_2024"),
            (".csv", "csv"),
            ("größe.ndjson", "gr_e"),
            ("€.csv", "data"),
            ("a_quarantine.csv", "a_quarantine_rows"),
            ("part-0.snappy.parquet", "part_0"),
        ] {
            assert_eq!(of_file(file), name, "{file}");
        }
    }

    #[test]
    fn patterns_are_called_after_their_last_plain_segment() {
        for (uri, name) in [
            ("s3://my-drop", "my_drop"),
            ("s3://my-drop/*.csv", "my_drop"),
            ("s3://my-drop/shop/orders/*.csv", "orders"),
            ("s3://my-drop/orders/year=2024/*.csv", "orders"),
            ("s3://my-drop/orders/today.csv", "today"),
            ("s3://my-drop/orders/", "orders"),
        ] {
            assert_eq!(of_uri(&BucketUri::parse(uri).expect(uri)), name, "{uri}");
        }
    }
}
