//! How CSV files are written: what the data source says, what the reference file shows, and the two together.

use serde::{Deserialize, Serialize};

/// The dialect of an import's CSV files. Found out from the reference file once, then fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvDialect {
    pub delimiter: u8,
    /// `None`: no byte quotes.
    pub quote: Option<u8>,
    /// Whether the first record names the columns. Without it they are `column_1`, `column_2`, …
    pub header: bool,
    /// Texts of unquoted cells that stand for NULL beside the empty one.
    pub nulls: Vec<String>,
    /// The null spellings are configured, so they hold for String columns, too. Those that were found out do not: there
    /// `NA` may be Namibia.
    pub nulls_configured: bool,
    /// Lines before the header, or before the first record, that are not read.
    pub skip_lines: u32,
}

impl Default for CsvDialect {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            header: true,
            nulls: Vec::new(),
            nulls_configured: false,
            skip_lines: 0,
        }
    }
}

/// `IMPORT_CSV_*` of the data source. What is `None` is found out from the reference file.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct CsvSettings {
    pub delimiter: Option<u8>,
    /// `Some(None)`: no byte quotes.
    pub quote: Option<Option<u8>>,
    pub header: Option<bool>,
    pub nulls: Option<Vec<String>>,
    pub skip_lines: Option<u32>,
}

impl CsvSettings {
    /// What is configured wins over what was found out.
    pub fn over(&self, found: CsvDialect) -> CsvDialect {
        CsvDialect {
            delimiter: self.delimiter.unwrap_or(found.delimiter),
            quote: self.quote.unwrap_or(found.quote),
            header: self.header.unwrap_or(found.header),
            nulls_configured: self.nulls.is_some() || found.nulls_configured,
            nulls: self.nulls.clone().unwrap_or(found.nulls),
            skip_lines: self.skip_lines.unwrap_or(found.skip_lines),
        }
    }
}

/// The name of a column of a file without a header, counted from 0.
pub fn column_of_position(index: usize) -> String {
    format!("column_{}", index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_wins() {
        let found = CsvDialect { delimiter: b';', nulls: vec!["NA".into()], ..CsvDialect::default() };
        let settings = CsvSettings { header: Some(false), nulls: Some(vec!["-".into()]), ..CsvSettings::default() };
        let dialect = settings.over(found);
        assert_eq!((dialect.delimiter, dialect.header, dialect.nulls_configured), (b';', false, true));
        assert_eq!(dialect.nulls, ["-"]);
    }
}
