//! A `.datasource` from a sample file: its columns with the types that an import without SCHEMA would choose, and the
//! evidence for them.
//!
//! | module | what it does |
//! |---|---|
//! | `name` | what the data source is called |
//! | `edits` | columns renamed, retyped and dropped |
//! | `whole`, `tally` | every row of a file of this machine; what they were |
//! | `evidence` | why a column has its type, as comments |
//!
//! What is written is read back and tried on the file before anybody gets it: a column that cannot be declared is left
//! out, and one with a value behind the sample that is not of its type becomes a String. Both are told.

mod edits;
mod evidence;
pub mod name;
mod tally;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use connector_core::csv::{CsvDialect, CsvSettings};
use connector_core::error::Failure;
use connector_core::evolve::EvolutionRules;
use connector_core::ports::ColumnEvidence;
use connector_core::schema::Origin;
use connector_core::spec::Format;
use connector_core::uri::BucketUri;
use connector_datafile::write::datasource::{Draft, DraftColumn, DraftImport};
use connector_datafile::{DataSource, Diagnostic, SourceFile, parse_datasource};
use jiff::Timestamp;

pub use edits::{Chosen, Edits};
pub use tally::Tally;

use crate::preview::{Fetched, LocalFile, Opened, Preview, Rules, look};

/// What is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    pub name: String,
    /// Connection, URI and schedule; without them the file has its import as a comment.
    pub import: Option<Import>,
    /// Changes to the columns that were found.
    pub edits: Edits,
    pub evidence: bool,
    /// Where the sample is, for the comment at the top.
    pub origin: String,
}

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    pub connection: String,
    pub uri: String,
    pub schedule: String,
}

/// A `.datasource` that has been read back and tried on its sample.
#[derive(Debug)]
pub struct Generated {
    pub name: String,
    pub text: String,
    pub columns: Vec<DraftColumn>,
    pub evidence: Vec<ColumnEvidence>,
    pub format: Format,
    pub dialect: Option<CsvDialect>,
    /// What somebody should know.
    pub notes: Vec<String>,
    /// Of the rows that were looked at: all of them for a file of this machine.
    pub tally: Tally,
}

/// Why nothing was generated.
#[derive(Debug)]
pub enum Problem {
    Failed(Failure),
    /// What was asked for makes no `.datasource`: problems, with their places in the text that was not written.
    Refused(Vec<Diagnostic>),
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Makes a `.datasource` for files such as this one. `local`: the file itself, if it is one of this machine; then all
/// of its rows are tried.
///
/// # Errors
/// If the file cannot be read, or the wish cannot be fulfilled.
pub fn generate(
    fetched: &Fetched,
    local: Option<&LocalFile>,
    wish: &Wish,
    now: Timestamp,
) -> Result<Generated, Problem> {
    let (found, _) = look(fetched, &Rules::default(), None, now)?;
    let csv = settings_of(found.dialect.as_ref());
    let columns = found.schema.columns.iter().map(DraftColumn::from).collect();
    let mut chosen = wish.edits.apply(columns, csv.header == Some(false))?;
    let mut attempt = Attempt { fetched, local, wish, found: &found, csv, notes: Vec::new(), widened: BTreeMap::new() };
    attempt.leave_out_what_has_no_path(&mut chosen)?;
    let tally = attempt.fit(&mut chosen, now)?;
    attempt.finish(chosen, tally)
}

/// A draft as text, and what it reads back as.
///
/// # Errors
/// What the reader says against it; that a value cannot be written.
pub fn read_back(name: &str, draft: &Draft) -> Result<(String, DataSource), Problem> {
    let text = draft.to_text().map_err(|error| Failure::config("unwritable", error.to_string()))?;
    let file = SourceFile::new(format!("datasources/{name}.datasource"), text.clone());
    let (read, found) = parse_datasource(&file, &|_: &str| None);
    if found.iter().any(Diagnostic::is_error) {
        return Err(Problem::Refused(found));
    }
    let (meant, columns) = (draft.columns.len() + draft.declarations.len(), read.columns.as_ref().map_or(0, Vec::len));
    if columns != meant {
        let message =
            format!("{columns} columns would be read where {meant} are meant: a type is no type, or two in one");
        return Err(Failure::config("bad_edit", message).into());
    }
    Ok((text, read))
}

/// One `.datasource` in the making.
struct Attempt<'a> {
    fetched: &'a Fetched,
    local: Option<&'a LocalFile>,
    wish: &'a Wish,
    found: &'a Preview,
    csv: CsvSettings,
    notes: Vec<String>,
    /// By name: columns that became a String, and why.
    widened: BTreeMap<String, String>,
}

impl Attempt<'_> {
    fn draft(&self, chosen: &[Chosen]) -> Draft {
        let import = self.wish.import.as_ref().map(|import| {
            let told =
                BucketUri::parse(&import.uri).is_ok_and(|uri| Format::of_key(uri.as_str()) == Some(self.found.format));
            DraftImport {
                connection: import.connection.clone(),
                uri: import.uri.clone(),
                schedule: import.schedule.clone(),
                format: (!told).then_some(self.found.format),
                from_timestamp: None,
            }
        });
        Draft {
            comments: vec![format!("generated by s3-connector from {}", self.wish.origin)],
            columns: chosen.iter().map(|chosen| chosen.column.clone()).collect(),
            engine: Some("MergeTree".to_owned()),
            import,
            csv: self.csv.clone(),
            format: Some(self.found.format),
            ..Draft::default()
        }
    }

    fn read_back(&self, draft: &Draft) -> Result<(String, DataSource), Problem> {
        read_back(&self.wish.name, draft)
    }

    /// The rules that an import of this data source would go by. Paths to columns mean something only with an import.
    fn rules(&self, chosen: &[Chosen]) -> Result<Rules, Problem> {
        let mut draft = self.draft(chosen);
        let stand_in = || DraftImport {
            connection: "connection".to_owned(),
            uri: "s3://bucket/".to_owned(),
            schedule: "@auto".to_owned(),
            format: Some(self.found.format),
            from_timestamp: None,
        };
        draft.import.get_or_insert_with(stand_in);
        let (_, read) = self.read_back(&draft)?;
        let columns = read.columns.map(|columns| columns.into_iter().map(|found| found.column).collect());
        let csv = read.import.map(|import| import.csv).unwrap_or_default();
        Ok(Rules { columns, partition: None, csv, evolution: EvolutionRules::default() })
    }

    /// Two columns without a name, say, can only be told apart by the order of the file that has them.
    fn leave_out_what_has_no_path(&mut self, chosen: &mut Vec<Chosen>) -> Result<(), Problem> {
        let opened = Opened::new(self.fetched, &self.rules(chosen)?, None)?;
        let lost: Vec<&str> = opened
            .preview
            .causes
            .iter()
            .filter(|cause| cause.code == "missing_column")
            .map(|cause| cause.column.as_str())
            .collect();
        if lost.is_empty() || lost.len() == chosen.len() {
            return Ok(());
        }
        for name in &lost {
            self.notes.push(format!("the column {name} is left out: SCHEMA cannot spell its name in the file"));
        }
        chosen.retain(|chosen| !lost.contains(&chosen.column.name.as_str()));
        Ok(())
    }

    /// Tries the rows, and makes a String of columns that do not hold them.
    fn fit(&mut self, chosen: &mut [Chosen], now: Timestamp) -> Result<Tally, Problem> {
        let mut kept = BTreeSet::new();
        loop {
            let tally = self.tally(chosen, now)?;
            let may_change = |at: usize, one: &Chosen| {
                !one.is_type_given && one.column.ty != self.text_type() && !kept.contains(&at)
            };
            let unfit: Vec<(usize, String)> = tally
                .bad_columns
                .iter()
                .filter(|(at, _)| chosen.get(**at).is_some_and(|one| may_change(**at, one)))
                .map(|(at, (_, message))| (*at, message.clone()))
                .collect();
            if unfit.is_empty() {
                return Ok(tally);
            }
            for (at, message) in unfit {
                if !self.goes_into_text(chosen, at)? {
                    kept.insert(at);
                    continue;
                }
                let column = &mut chosen[at].column;
                self.notes.push(format!("the column {} is a String: {message}", column.name));
                column.ty = self.text_type().to_owned();
                self.widened.insert(column.name.clone(), message);
            }
        }
    }

    /// Whether the file's column goes into a String at all. Of a file with types not every one does: then all rows would
    /// be bad for the sake of a few.
    fn goes_into_text(&self, chosen: &[Chosen], at: usize) -> Result<bool, Problem> {
        if self.found.format != Format::Parquet {
            return Ok(true);
        }
        let mut chosen = chosen.to_vec();
        self.text_type().clone_into(&mut chosen[at].column.ty);
        let opened = Opened::new(self.fetched, &self.rules(&chosen)?, None)?;
        Ok(opened.preview.causes.iter().all(|cause| cause.column != chosen[at].column.name))
    }

    /// The type that holds every value, as inference spells it.
    fn text_type(&self) -> &'static str {
        if self.found.format == Format::Csv { "String" } else { "Nullable(String)" }
    }

    /// Columns whose type nobody has given are held to what inference takes for it, as they would be without SCHEMA: a
    /// `02134` behind the sample is no number, though a declared `Int64` takes it.
    fn tally(&self, chosen: &[Chosen], now: Timestamp) -> Result<Tally, Problem> {
        let mut rules = self.rules(chosen)?;
        for (column, one) in rules.columns.iter_mut().flatten().zip(chosen) {
            column.origin = if one.is_type_given { Origin::Declared } else { Origin::Inferred };
        }
        let mut tally = Tally::default();
        match self.local {
            Some(file) => {
                let opened = Opened::new(self.fetched, &rules, None)?;
                whole::each_block(file, self.fetched, &opened, now, |block| tally.add(&block, &opened.preview.schema))?;
            }
            None => {
                let (preview, _) = look(self.fetched, &rules, None, now)?;
                preview.blocks.iter().for_each(|block| tally.add(block, &preview.schema));
            }
        }
        Ok(tally)
    }

    fn finish(mut self, mut chosen: Vec<Chosen>, tally: Tally) -> Result<Generated, Problem> {
        if self.wish.evidence {
            let looked = if self.local.is_some() { "the file" } else { "its first rows" };
            for (at, one) in chosen.iter_mut().enumerate() {
                let evidence = evidence_of(self.found, &one.column.source);
                let widened = self.widened.get(&one.column.name).map(String::as_str);
                one.column.comments = evidence::comments(one, evidence, widened, tally.extent(at), looked);
            }
        }
        if tally.rejected > 0 {
            let first = tally.first.as_deref().unwrap_or_default();
            self.notes.push(format!(
                "{} of {} rows that were looked at would go to quarantine; {first}",
                tally.rejected, tally.rows
            ));
        }
        let (text, _) = self.read_back(&self.draft(&chosen))?;
        Ok(Generated {
            name: self.wish.name.clone(),
            text,
            columns: chosen.into_iter().map(|chosen| chosen.column).collect(),
            evidence: self.found.evidence.clone(),
            format: self.found.format,
            dialect: self.found.dialect.clone(),
            notes: self.notes,
            tally,
        })
    }
}

/// The evidence for the column with this source.
fn evidence_of<'f>(found: &'f Preview, source: &str) -> Option<&'f ColumnEvidence> {
    let at = found.schema.columns.iter().position(|column| column.source == source)?;
    found.evidence.get(at)
}

/// What has to be written about how the files are written: what is not usual. The spellings of NULL are not: those that
/// inference finds hold for columns of numbers and times only, and it finds them again.
fn settings_of(dialect: Option<&CsvDialect>) -> CsvSettings {
    let Some(dialect) = dialect else { return CsvSettings::default() };
    let usual = CsvDialect::default();
    let odd = (dialect.delimiter, dialect.quote) != (usual.delimiter, usual.quote);
    CsvSettings {
        delimiter: odd.then_some(dialect.delimiter),
        quote: odd.then_some(dialect.quote),
        header: (!dialect.header).then_some(false),
        nulls: None,
        skip_lines: (dialect.skip_lines > 0).then_some(dialect.skip_lines),
    }
}
