//! `explain`: gathers what configuration, bucket and ledger say of one key, for each import that has to do with it. What
//! that means is decided in [`connector_core::explain`].

use connector_core::error::Failure;
use connector_core::explain::{Explanation, Inquiry, Now, Running, Standing, explain};
use connector_core::known::KnownVersion;
use connector_core::ports::{ImportRecord, ObjectSource};
use connector_core::spec::ImportSpec;
use connector_ledger::LedgerReader;
use jiff::Timestamp;
use serde_json::Value;

/// Pages that are listed to find one key: it comes first where keys are listed in their order.
const MAX_PAGES: usize = 20;

/// An object, by bucket and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub bucket: String,
    pub key: String,
}

impl Address {
    /// Reads `s3://bucket/key`. The key is taken as it is, letter by letter.
    ///
    /// # Errors
    /// `Config` if it is not of that form.
    pub fn parse(uri: &str) -> Result<Self, Failure> {
        let parts = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        match parts {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            _ => {
                let message = format!("{uri} names no object; write s3://BUCKET/KEY, such as s3://my-bucket/in/a.csv");
                Err(Failure::config("bad_uri", message))
            }
        }
    }
}

/// An import that has to do with a key, and the versions of it that its ledger knows.
pub type Concerned<'s> = (&'s ImportSpec, Vec<KnownVersion>);

/// Where answers come from.
pub struct Explainer<'a> {
    /// `None`: nothing has run yet.
    pub ledger: Option<&'a LedgerReader>,
    /// What the running program says of its imports; `None` if none runs.
    pub status: Option<&'a Value>,
    pub now: Timestamp,
}

impl Explainer<'_> {
    /// The imports that have to do with an object: those whose URI matches it and those that have read it; else those that
    /// read its bucket; else all of them.
    ///
    /// # Errors
    /// Of the ledger.
    pub fn concerned<'s>(&self, imports: &'s [ImportSpec], address: &Address) -> Result<Vec<Concerned<'s>>, Failure> {
        let mut all = Vec::new();
        for spec in imports {
            let mut versions = match self.ledger {
                Some(ledger) => ledger.versions_of(&spec.name, &address.key)?.unwrap_or_default(),
                None => Vec::new(),
            };
            versions.retain(|version| version.bucket == address.bucket);
            all.push((spec, versions));
        }
        let here = |spec: &ImportSpec| spec.uri.bucket() == address.bucket;
        let rules: [&dyn Fn(&Concerned<'_>) -> bool; 3] = [
            &|(spec, versions)| !versions.is_empty() || here(spec) && spec.uri.matches(&address.key),
            &|(spec, _)| here(spec),
            &|_| true,
        ];
        let rule = rules.into_iter().find(|rule| all.iter().any(rule));
        Ok(all.into_iter().filter(|one| rule.is_none_or(|rule| rule(one))).collect())
    }

    /// One import's answer. `object`: what its bucket shows of the key.
    ///
    /// # Errors
    /// Of the ledger.
    pub fn answer(
        &self,
        spec: &ImportSpec,
        address: &Address,
        object: Now,
        versions: &[KnownVersion],
    ) -> Result<Explanation, Failure> {
        let record = match self.ledger {
            Some(ledger) => ledger.record(&spec.name)?,
            None => None,
        };
        let standing = self.standing(spec, address, record.as_ref())?;
        Ok(explain(&Inquiry {
            spec,
            bucket: &address.bucket,
            key: &address.key,
            object,
            import: record.map(|record| record.uuid),
            versions,
            standing: &standing,
            now: self.now,
        }))
    }

    fn standing(
        &self,
        spec: &ImportSpec,
        address: &Address,
        record: Option<&ImportRecord>,
    ) -> Result<Standing, Failure> {
        let (mut last_scan_at, mut queue) = (None, None);
        if let Some(ledger) = self.ledger {
            last_scan_at = ledger.counts(&spec.name, self.now)?.and_then(|counts| counts.last_scan_at);
            queue = ledger.queue(&spec.name, &address.key, self.now)?;
        }
        let tick = queue.as_ref().map(|queue| queue.tick).unwrap_or_default();
        Ok(Standing {
            running: self.running(spec),
            paused: record.is_some_and(|record| record.paused),
            guard_reason: record.and_then(|record| record.guard_reason.clone()),
            last_scan_at,
            open_batch: record
                .and_then(|record| record.open_batch.as_ref())
                .map(|open| (open.id.to_string(), open.staged.is_some())),
            ahead: queue.and_then(|queue| queue.ahead),
            tick_ends_at: tick.ends_at(spec.tick),
            tick_left: tick.allow(spec.max_files, spec.tick, self.now).files,
        })
    }

    fn running(&self, spec: &ImportSpec) -> Running {
        let imports = self.status.and_then(Value::as_array).into_iter().flatten();
        let mut ours = imports.filter(|import| import["import"] == spec.name.as_str());
        match ours.next() {
            None => Running::No,
            Some(import) => Running::Yes {
                state: import["state"].as_str().unwrap_or_default().to_owned(),
                reason: import["reason"]["message"].as_str().map(str::to_owned),
            },
        }
    }
}

/// What a bucket shows of a key now.
pub async fn look(source: &dyn ObjectSource, key: &str) -> Now {
    let mut continuation = None;
    for _ in 0..MAX_PAGES {
        match source.list_page(key, continuation.as_deref()).await {
            Ok(page) => {
                if let Some(object) = page.objects.into_iter().find(|object| object.key == key) {
                    return Now::Listed(object);
                }
                continuation = page.next;
                if continuation.is_none() {
                    break;
                }
            }
            Err(failure) => return Now::Unreachable(format!("{failure} ({})", failure.code)),
        }
    }
    Now::Absent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_it_is() {
        let address = Address::parse("s3://bkt//a b/%20?x#y*.csv").expect("parses");
        assert_eq!((address.bucket.as_str(), address.key.as_str()), ("bkt", "/a b/%20?x#y*.csv"));
        for text in ["bkt/a.csv", "s3://bkt", "s3://bkt/", "s3:///a", "https://x/y"] {
            assert_eq!(Address::parse(text).expect_err(text).code, "bad_uri");
        }
    }
}
