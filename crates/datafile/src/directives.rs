//! Which directives there are, and what becomes of each.

use crate::suggest::nearest;

/// What becomes of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Read and typed.
    Used,
    /// Accepted; reported as ignored, once.
    Ignored,
    /// Accepted with a warning that says this.
    Deprecated(&'static str),
    /// Refused; the hint says this.
    Refused(&'static str),
}

/// One kind of directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directive {
    pub name: &'static str,
    pub treatment: Treatment,
    /// Whether it may appear more than once.
    pub repeats: bool,
}

/// The directives of one kind of file.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue {
    /// Such as `.datasource`.
    pub kind: &'static str,
    directives: &'static [Directive],
    /// Every directive that begins so is ignored.
    ignored_prefixes: &'static [&'static str],
}

const fn used(name: &'static str) -> Directive {
    Directive { name, treatment: Treatment::Used, repeats: false }
}

const fn ignored(name: &'static str) -> Directive {
    Directive { name, treatment: Treatment::Ignored, repeats: true }
}

const fn refused(name: &'static str, hint: &'static str) -> Directive {
    Directive { name, treatment: Treatment::Refused(hint), repeats: true }
}

/// The directives of `.datasource` files.
pub const DATASOURCE: Catalogue = Catalogue {
    kind: ".datasource",
    directives: &[
        used("DESCRIPTION"),
        used("SCHEMA"),
        used("ENGINE"),
        used("ENGINE_PARTITION_KEY"),
        used("ENGINE_SORTING_KEY"),
        used("ENGINE_PRIMARY_KEY"),
        used("ENGINE_SAMPLING_KEY"),
        used("ENGINE_TTL"),
        used("ENGINE_SETTINGS"),
        used("ENGINE_VER"),
        used("ENGINE_IS_DELETED"),
        used("ENGINE_SIGN"),
        used("ENGINE_VERSION"),
        used("ENGINE_COLUMNS"),
        used("IMPORT_SERVICE"),
        used("IMPORT_SCHEDULE"),
        used("IMPORT_STRATEGY"),
        used("IMPORT_BUCKET_URI"),
        used("IMPORT_CONNECTION_NAME"),
        used("IMPORT_FROM_TIMESTAMP"),
        used("IMPORT_FORMAT"),
        used("IMPORT_MAX_FILES"),
        used("IMPORT_ON_MISSING_COLUMN"),
        used("IMPORT_ON_OVERWRITE"),
        used("IMPORT_EVOLUTION"),
        used("IMPORT_CSV_DELIMITER"),
        used("IMPORT_CSV_QUOTE"),
        used("IMPORT_CSV_HEADER"),
        used("IMPORT_CSV_NULL"),
        used("IMPORT_CSV_SKIP_LINES"),
        refused(
            "IMPORT_CSV_ENCODING",
            "files are read as UTF-8 and nothing else: convert others first, and remove this",
        ),
        Directive { name: "IMPORT_EXCLUDE", treatment: Treatment::Used, repeats: true },
        ignored("TAGS"),
        ignored("TOKEN"),
        ignored("SHARED_WITH"),
        ignored("INDEXES"),
        ignored("FORWARD_QUERY"),
        ignored("BACKFILL"),
        Directive { name: "VERSION", treatment: Treatment::Deprecated("it has no effect, remove it"), repeats: true },
        refused("SOURCE", "SOURCE is deprecated, remove it"),
        refused("SETTINGS", "did you mean 'ENGINE_SETTINGS'?"),
        refused("INCLUDE", "files cannot include other files, write the lines here"),
    ],
    ignored_prefixes: &["KAFKA_", "PG_"],
};

/// The directives of `.connection` files.
pub const CONNECTION: Catalogue = Catalogue {
    kind: ".connection",
    directives: &[
        used("DESCRIPTION"),
        used("TYPE"),
        used("S3_REGION"),
        used("S3_ARN"),
        used("S3_EXTERNAL_ID"),
        used("S3_ACCESS_KEY"),
        used("S3_SECRET"),
        used("S3_ENDPOINT"),
        used("S3_PATH_STYLE"),
        used("S3_ANONYMOUS"),
        used("S3_REQUEST_PAYER"),
        refused("INCLUDE", "files cannot include other files, write the lines here"),
    ],
    ignored_prefixes: &["KAFKA_"],
};

impl Catalogue {
    /// The directive of this name, ignoring case.
    pub fn find(&self, name: &str) -> Option<Directive> {
        let found = self.directives.iter().find(|directive| directive.name.eq_ignore_ascii_case(name)).copied();
        let upper = name.to_ascii_uppercase();
        found.or_else(|| {
            let prefix = self.ignored_prefixes.iter().find(|prefix| upper.starts_with(**prefix));
            prefix.map(|prefix| ignored(prefix))
        })
    }

    /// The known directive that was probably meant.
    pub fn nearest(&self, name: &str) -> Option<&'static str> {
        let offered = self.directives.iter().filter(|directive| !matches!(directive.treatment, Treatment::Refused(_)));
        nearest(name, offered.map(|directive| directive.name))
    }

    /// Whether a word at the start of a line is or was meant to be a directive, known or not.
    pub fn looks_like_one(&self, word: &str) -> bool {
        self.find(word).is_some() || (is_upper_word(word) && self.nearest(word).is_some())
    }
}

/// Whether a word is spelled like a directive: capitals, digits and `_`.
pub fn is_upper_word(word: &str) -> bool {
    word.len() > 1
        && word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
}
