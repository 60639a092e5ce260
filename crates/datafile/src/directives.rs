//! Which directives there are, what each takes, and what becomes of it: the one list that the parser, the
//! documentation and its tests read.
//!
//! | module | what it does |
//! |---|---|
//! | `datasource`, `connection` | the directives of the two kinds of file |

mod connection;
mod datasource;

use crate::suggest::nearest;

pub use connection::CONNECTION;
pub use datasource::DATASOURCE;

/// What becomes of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Read and typed.
    Used,
    /// Read and checked; nothing here uses it, which is reported once.
    Ignored,
    /// Accepted with a warning that says this.
    Deprecated(&'static str),
    /// Refused; the hint says this.
    Refused(&'static str),
}

impl Treatment {
    /// One word: `used`, `ignored`, `deprecated` or `refused`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Ignored => "ignored",
            Self::Deprecated(_) => "deprecated",
            Self::Refused(_) => "refused",
        }
    }
}

/// How the argument of a directive is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Words behind the name, on the same line.
    Line,
    /// `NAME >` and indented lines below.
    Block,
    /// Either way.
    Either,
}

/// What a directive is about: directives of one group stand together in a file and in the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The file itself, and who may see what it describes.
    About,
    /// The columns of the table.
    Columns,
    /// The engine of the table.
    Engine,
    /// Where files come from and when.
    Import,
    /// How CSV files are written.
    Csv,
    /// How to reach S3.
    Access,
    /// Of other connectors, of other kinds of file, or out of date.
    Foreign,
}

/// One kind of directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directive {
    /// In capitals; ending in `*`, it stands for every directive that begins so.
    pub name: &'static str,
    pub group: Group,
    pub treatment: Treatment,
    /// Whether it may appear more than once.
    pub repeats: bool,
    pub form: Form,
    /// What is written behind the name or below it, such as `csv | ndjson | parquet`; empty if that does not matter.
    pub argument: &'static str,
    /// What holds without it; `None` if nothing does, or if it is required.
    pub default: Option<&'static str>,
    /// When it has to be there, such as `for an import`; `None` if it may always be left out.
    pub required: Option<&'static str>,
    /// What it does, in one sentence without a full stop.
    pub about: &'static str,
    /// The directive that it is another name of.
    pub same_as: Option<&'static str>,
}

impl Directive {
    const fn new(group: Group, treatment: Treatment, name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            group,
            treatment,
            repeats: !matches!(treatment, Treatment::Used),
            form: Form::Line,
            argument: "",
            default: None,
            required: None,
            about,
            same_as: None,
        }
    }

    const fn takes(mut self, argument: &'static str) -> Self {
        self.argument = argument;
        self
    }

    const fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn required(mut self, when: &'static str) -> Self {
        self.required = Some(when);
        self
    }

    const fn once(mut self) -> Self {
        self.repeats = false;
        self
    }

    const fn repeats(mut self) -> Self {
        self.repeats = true;
        self
    }

    const fn same_as(mut self, name: &'static str) -> Self {
        self.same_as = Some(name);
        self
    }

    /// What every directive of a family begins with, if this is one.
    pub fn prefix(&self) -> Option<&'static str> {
        self.name.strip_suffix('*')
    }

    /// Whether this is a directive of files that this program does not read.
    fn is_of_pipes(&self) -> bool {
        self.treatment == Treatment::Refused(OF_PIPES)
    }
}

const fn used(group: Group, name: &'static str, about: &'static str) -> Directive {
    Directive::new(group, Treatment::Used, name, about)
}

const fn ignored(group: Group, name: &'static str, about: &'static str) -> Directive {
    Directive::new(group, Treatment::Ignored, name, about)
}

const fn deprecated(name: &'static str, about: &'static str, hint: &'static str) -> Directive {
    Directive::new(Group::Foreign, Treatment::Deprecated(hint), name, about)
}

const fn refused(group: Group, name: &'static str, about: &'static str, hint: &'static str) -> Directive {
    Directive::new(group, Treatment::Refused(hint), name, about)
}

/// The hint at directives of `.pipe` files.
const OF_PIPES: &str = "it belongs to .pipe files, which this program does not read";

/// The hint at `INCLUDE`.
const NO_INCLUDE: &str = "files cannot include other files, write the lines here";

/// The directives of one kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catalogue {
    /// Such as `.datasource`.
    pub kind: &'static str,
    directives: &'static [Directive],
}

impl Catalogue {
    /// Every directive, in the order in which people should read about them. The documentation is checked against it.
    pub fn all(&self) -> &'static [Directive] {
        self.directives
    }

    /// The directive of this name, ignoring case.
    pub fn find(&self, name: &str) -> Option<Directive> {
        let exact = self.directives.iter().find(|directive| directive.name.eq_ignore_ascii_case(name));
        let upper = name.to_ascii_uppercase();
        let of_family = |directive: &&Directive| directive.prefix().is_some_and(|prefix| upper.starts_with(prefix));
        exact.or_else(|| self.directives.iter().find(of_family)).copied()
    }

    /// The known directive that was probably meant.
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        let offered = |directive: &&Directive| {
            directive.prefix().is_none() && matches!(directive.treatment, Treatment::Used | Treatment::Ignored)
        };
        nearest(name, self.directives.iter().filter(offered).map(|directive| directive.name))
    }

    /// Whether a word at the start of a line is or was meant to be a directive, known or not.
    pub fn looks_like_one(&self, word: &str) -> bool {
        match self.find(word) {
            // Words such as `type` and `mode` are names of columns first.
            Some(directive) if directive.is_of_pipes() => is_upper_word(word),
            Some(_) => true,
            None => is_upper_word(word) && self.nearest(word).is_some(),
        }
    }
}

/// Whether a word is spelled like a directive: capitals, digits and `_`.
pub fn is_upper_word(word: &str) -> bool {
    word.len() > 1
        && word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_is_described_once_and_in_one_sentence() {
        for catalogue in [&DATASOURCE, &CONNECTION] {
            for (at, directive) in catalogue.all().iter().enumerate() {
                let name = directive.name;
                assert!(is_upper_word(name.trim_end_matches('*')), "{name}");
                assert!(catalogue.all()[..at].iter().all(|before| before.name != name), "{name} twice");
                assert!(directive.about.len() > 10 && !directive.about.ends_with('.'), "{name}: {}", directive.about);
                assert!(directive.about.len() < 160 && !directive.about.contains(". "), "{name}: more than a sentence");
                let says_how = directive.same_as.is_some() || directive.prefix().is_some();
                let is_read = matches!(directive.treatment, Treatment::Used | Treatment::Ignored);
                assert!(!is_read || says_how || !directive.argument.is_empty(), "{name} takes what?");
                assert!(directive.default.is_none() || directive.required.is_none(), "{name}");
                assert_eq!(catalogue.find(&name.to_lowercase()).map(|found| found.name), Some(name));
                if let Some(other) = directive.same_as {
                    assert_eq!(catalogue.find(other).map(|found| found.treatment), Some(directive.treatment));
                }
            }
        }
    }

    #[test]
    fn families_are_found_by_their_beginning_and_never_suggested() {
        assert_eq!(DATASOURCE.find("kafka_topic").map(|found| found.treatment), Some(Treatment::Ignored));
        assert_eq!(DATASOURCE.find("KAFK_TOPIC"), None);
        assert_eq!(DATASOURCE.nearest("KAFKA"), None);
        assert_eq!(DATASOURCE.nearest("IMPORT_SHEDULE"), Some("IMPORT_SCHEDULE"));
    }
}
