//! Which objects of a bucket a pattern means, as far as somebody who looks needs to know.

use connector_core::error::Failure;
use connector_core::object::{ListedObject, SkipReason};
use connector_core::ports::ObjectSource;
use connector_core::spec::{Format, ImportSpec};
use connector_core::uri::BucketUri;

/// List pages that are looked at.
const MAX_PAGES: usize = 20;

/// Which objects are meant.
#[derive(Clone, Debug)]
pub struct Selection {
    pub uri: BucketUri,
    /// `IMPORT_FORMAT`; else each key's suffix tells.
    pub format: Option<Format>,
    /// The import itself, if there is one: what else it goes by counts, too.
    pub import: Option<ImportSpec>,
}

/// Which of the objects that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'k> {
    /// The one with this key, whether it matches or not.
    Key(&'k str),
    /// The one that an import would claim first.
    Oldest,
    /// At most so many of those that were written last.
    Newest(usize),
}

/// The objects that a pattern means.
#[derive(Clone, Debug, Default)]
pub struct Matches {
    /// Those that were asked for, the oldest first, as an import would claim them.
    pub objects: Vec<ListedObject>,
    /// All that match, and their bytes.
    pub count: u64,
    pub bytes: u64,
    /// How many of them have a name that says this format; `None`: one that says nothing.
    pub formats: Vec<(Option<Format>, u64)>,
    /// Objects that match, but whose format nothing tells.
    pub nameless: u64,
    /// Whether the listing was read to its end.
    pub complete: bool,
}

impl Selection {
    pub fn format_of(&self, key: &str) -> Option<Format> {
        self.format.or_else(|| Format::of_key(key))
    }

    fn admits(&self, object: &ListedObject) -> bool {
        let selected = match &self.import {
            Some(import) => import.selects(&object.key, object.last_modified),
            None => self.uri.matches(&object.key),
        };
        selected && SkipReason::of_listing(&object.key, object.size).is_none()
    }

    /// Lists what matches and keeps what is asked for.
    ///
    /// # Errors
    /// If S3 refuses.
    async fn matches(&self, source: &dyn ObjectSource, newest: bool, keep: usize) -> Result<Matches, Failure> {
        let mut found = Matches::default();
        let mut continuation = None;
        for _ in 0..MAX_PAGES {
            let page = source.list_page(self.uri.literal_prefix(), continuation.as_deref()).await?;
            page.objects
                .into_iter()
                .filter(|object| self.admits(object))
                .for_each(|object| self.note(&mut found, object));
            found.objects.sort_by(|one, other| (one.last_modified, &one.key).cmp(&(other.last_modified, &other.key)));
            let surplus = found.objects.len().saturating_sub(keep);
            if newest {
                found.objects.drain(..surplus);
            } else {
                found.objects.truncate(keep);
            }
            continuation = page.next;
            if continuation.is_none() {
                found.complete = true;
                break;
            }
        }
        Ok(found)
    }

    fn note(&self, found: &mut Matches, object: ListedObject) {
        if self.format_of(&object.key).is_none() {
            found.nameless += 1;
            return;
        }
        found.count += 1;
        found.bytes += object.size;
        let said = Format::of_key(&object.key);
        match found.formats.iter_mut().find(|(format, _)| *format == said) {
            Some((_, count)) => *count += 1,
            None => found.formats.push((said, 1)),
        }
        found.objects.push(object);
    }

    /// The objects that are meant.
    ///
    /// # Errors
    /// `Config` with code `no_file` if there is none; if S3 refuses.
    pub async fn find(&self, source: &dyn ObjectSource, which: Which<'_>) -> Result<Matches, Failure> {
        let found = match which {
            Which::Key(key) => return self.with_key(source, key).await,
            Which::Oldest => self.matches(source, false, 1).await?,
            Which::Newest(files) => self.matches(source, true, files.max(1)).await?,
        };
        if found.objects.is_empty() {
            return Err(Failure::config("no_file", self.nothing(&found)));
        }
        Ok(found)
    }

    async fn with_key(&self, source: &dyn ObjectSource, key: &str) -> Result<Matches, Failure> {
        // Every other key with this prefix comes later.
        let page = source.list_page(key, None).await?;
        let found = page.objects.into_iter().find(|object| object.key == key);
        let object = found.ok_or_else(|| {
            Failure::config("no_file", format!("there is no object '{key}' in the bucket {}", self.uri.bucket()))
        })?;
        Ok(Matches { count: 1, bytes: object.size, objects: vec![object], complete: true, ..Matches::default() })
    }

    /// Why there is nothing to look at, and what to try.
    fn nothing(&self, found: &Matches) -> String {
        let uri = self.uri.as_str();
        if found.nameless > 0 {
            let (number, noun) = (found.nameless, if found.nameless == 1 { "object" } else { "objects" });
            return format!(
                "no file matches {uri}: {number} {noun} would, but no name there ends in .csv, .ndjson, .parquet or the \
                 like; say what they are with --format, or in IMPORT_FORMAT"
            );
        }
        let far = if found.complete { "" } else { " among the keys that were listed" };
        format!(
            "no file matches {uri}{far}; upload one, or look at the URI: a prefix ends in '/', '*.csv' is any CSV file"
        )
    }
}
