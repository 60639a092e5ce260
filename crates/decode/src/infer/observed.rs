//! What the values of one column have been, and the type that follows. Nothing here depends on the order of the values
//! but which of them are shown.

use connector_core::ports::ColumnEvidence;
use connector_core::quarantine::shown;
use connector_core::types::ColumnType;

use super::reader::Cell;
use super::words;
use crate::value::{plain, time, trimmed};

/// Spellings of NULL that are found out. `nan` is none: it is a number that is no number, not the lack of one.
pub(super) const NULL_SPELLINGS: [&str; 11] =
    ["NULL", "null", "Null", "\\N", "NA", "N/A", "n/a", "#N/A", "None", "none", "-"];

/// Values that evidence shows.
const EXAMPLES: usize = 3;
/// Bytes of a value that are kept to show it: more than enough for all characters that are shown.
const KEPT_BYTES: usize = 400;

/// The types that inference knows beside String, in the order in which they are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Float,
    Bool,
    Date,
    Time,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Int, Self::Float, Self::Bool, Self::Date, Self::Time];

    fn column_type(self) -> ColumnType {
        match self {
            Self::Int => ColumnType::Int64,
            Self::Float => ColumnType::Float64,
            Self::Bool => ColumnType::Bool,
            Self::Date => ColumnType::Date,
            Self::Time => ColumnType::DateTime64 { precision: 6 },
        }
    }

    /// Whether decoding takes this text for a value of the type.
    fn takes(self, text: &[u8]) -> bool {
        match self {
            Self::Int => plain::int64(text).is_some(),
            Self::Float => plain::float64(text).is_some(),
            Self::Bool => plain::boolean(text).is_some(),
            Self::Date => time::date(text).is_some(),
            Self::Time => time::timestamp(text, 6).is_some(),
        }
    }
}

/// How many values are of a type, and the first that is not.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) fits: u64,
    pub(super) misfit: Option<Box<[u8]>>,
}

/// The values of one column so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    /// Spellings of NULL aside.
    pub(super) values: u64,
    pub(super) nulls: u64,
    /// By [`Kind::ALL`].
    pub(super) tallies: [Tally; Kind::ALL.len()],
    /// By [`NULL_SPELLINGS`], if they were to be found out.
    spelled: [u64; NULL_SPELLINGS.len()],
    /// A float that can be nothing else, as it has a point or a signed exponent.
    surely_float: bool,
    /// The first value such as `12E3`, which may be the name of something.
    pub(super) doubtful_float: Option<Box<[u8]>>,
    examples: Vec<String>,
}

impl Observed {
    /// Notes a cell. `nulls` are the spellings of NULL that are known; `None` if they are to be found out.
    pub(super) fn note_cell(&mut self, cell: &Cell<'_>, nulls: Option<&[String]>) {
        if cell.text.is_empty() {
            self.nulls += 1;
        } else if cell.quoted {
            self.note(&cell.text);
        } else {
            let is = |spelling: &str| spelling.as_bytes() == &*cell.text;
            match nulls {
                Some(known) if known.iter().any(|known| is(known)) => self.nulls += 1,
                Some(_) => self.note(&cell.text),
                None => match NULL_SPELLINGS.iter().position(|spelling| is(spelling)) {
                    Some(index) => self.spelled[index] += 1,
                    None => self.note(&cell.text),
                },
            }
        }
    }

    /// Notes a value.
    pub(super) fn note(&mut self, text: &[u8]) {
        self.values += 1;
        let maybe = may_be_typed(text);
        for (kind, tally) in Kind::ALL.into_iter().zip(&mut self.tallies) {
            if maybe && kind.takes(text) {
                tally.fits += 1;
            } else if tally.misfit.is_none() {
                tally.misfit = Some(kept(text));
            }
        }
        if maybe {
            self.note_float(trimmed(text));
        }
        if self.examples.len() < EXAMPLES {
            self.note_example(text);
        }
    }

    fn note_float(&mut self, text: &[u8]) {
        let Some(exponent) = memchr::memchr2(b'e', b'E', text) else {
            self.surely_float |= text.contains(&b'.');
            return;
        };
        if text[..exponent].contains(&b'.') || matches!(text.get(exponent + 1), Some(b'+' | b'-')) {
            self.surely_float = true;
        } else if self.doubtful_float.is_none() && Kind::Float.takes(text) {
            self.doubtful_float = Some(kept(text));
        }
    }

    fn note_example(&mut self, text: &[u8]) {
        let example = shown_bytes(text);
        if !self.examples.contains(&example) {
            self.examples.push(example);
        }
    }

    /// The type that all values have, if it is not String.
    fn kind(&self) -> Option<Kind> {
        let has_all = |kind: &Kind| self.tallies[*kind as usize].misfit.is_none();
        let kind = Kind::ALL.into_iter().find(has_all).filter(|_| self.values > 0)?;
        (kind != Kind::Float || !self.is_doubtful()).then_some(kind)
    }

    /// Whether all that speaks for floats are values such as `12E3`.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful_float.is_some() && !self.surely_float
    }

    pub(super) fn has_values(&self) -> bool {
        self.values > 0
    }

    pub(super) fn is_typed(&self) -> bool {
        self.kind().is_some()
    }

    /// The type of the column: String if there is any doubt.
    pub(super) fn column_type(&self) -> ColumnType {
        self.kind().map_or(ColumnType::String, Kind::column_type)
    }

    /// Whether this spelling of NULL is one, as the column is typed because of it.
    pub(super) fn takes_spelling(&self, index: usize) -> bool {
        self.spelled[index] > 0 && self.is_typed()
    }

    /// The spellings of NULL in the column, whether they are taken for it or not.
    pub(super) fn spellings(&self) -> impl Iterator<Item = &'static str> {
        NULL_SPELLINGS.into_iter().zip(self.spelled).filter(|(_, count)| *count > 0).map(|(spelling, _)| spelling)
    }

    /// What the sample showed of the column.
    pub(super) fn evidence(&self, column: &str) -> ColumnEvidence {
        let spelled: u64 = self.spelled.iter().sum();
        let kind = self.kind();
        let (values, nulls) = if kind.is_some() { (0, spelled) } else { (spelled, 0) };
        let mut examples = self.examples.clone();
        if kind.is_none() {
            examples.extend(self.spellings().map(str::to_owned));
            examples.truncate(EXAMPLES);
        }
        ColumnEvidence {
            column: column.to_owned(),
            ty: self.column_type().to_string(),
            values: self.values + values,
            nulls: self.nulls + nulls,
            because: words::because(self, kind),
            examples,
        }
    }
}

/// Whether it begins like a value of any type but String: a digit, a sign, a point, or the first letter of a boolean.
fn may_be_typed(text: &[u8]) -> bool {
    matches!(trimmed(text).first(), Some(b'0'..=b'9' | b'-' | b'.' | b't' | b'T' | b'f' | b'F'))
}

fn kept(text: &[u8]) -> Box<[u8]> {
    text[..text.len().min(KEPT_BYTES)].into()
}

pub(super) fn shown_bytes(text: &[u8]) -> String {
    shown(&String::from_utf8_lossy(&text[..text.len().min(KEPT_BYTES)]))
}
