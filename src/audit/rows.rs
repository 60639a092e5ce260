//! The rows of both tables against the ledger's accounts.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use connector_core::audit::{
    CloseLook, Defect, Expected, Observed, Place, RowFinding, Share, Tallied, Tally, Window, judge, plan,
};
use connector_core::error::Failure;
use connector_core::ids::ObjectVersionId;
use connector_core::known::{KnownAccount, KnownVersion};
use connector_core::ports::RowBatches;
use connector_core::revision::BatchKind;

use super::rest::AtRest;
use super::{Auditor, RowReport, VersionFinding};

const VERSION: &str = "_s3_version";
const ROW: &str = "_s3_row";
const KEY: &str = "_s3_key";
/// Accounts that are read from the ledger at once.
const ACCOUNTS: u32 = 10_000;

impl Auditor<'_> {
    /// Compares every row with the ledger. Reads the two narrow columns of both tables once for each two million object
    /// versions, and once more where something is wrong. Memory: some 50 bytes for each object version, at most two
    /// million of them at once.
    ///
    /// # Errors
    /// `Transient` if the import is too busy, `Fenced` if ledger and tables contradict each other as a whole, and those of
    /// ledger and tables.
    pub async fn rows(&self) -> Result<RowReport, Failure> {
        // All that the ledger knows of: at least as many as have rows.
        let versions = self.ledger.counts(&self.spec.name, self.now)?.map_or(0, |counts| counts.files.values().sum());
        let mut report = RowReport::default();
        let mut suspects = Vec::new();
        for share in Share::all(versions) {
            let rest = self
                .at_rest(&[VERSION, ROW], || {
                    let mut tally = Tally::new(share);
                    self.each_account(|known| tally.expect(known.id, &known.account))?;
                    Ok(tally)
                })
                .await?;
            report.committed_seq = rest.committed_seq;
            let found = self.tally(rest).await?;
            report.sums.add(&found.sums);
            report.nameless += found.nameless;
            report.versions_beside += found.suspects_beside;
            suspects.extend(found.suspects);
        }
        if !suspects.is_empty() {
            report.findings = self.look_closely(suspects).await?;
        }
        Ok(report)
    }

    /// All object versions that are or were read.
    pub(super) fn each_account(&self, mut each: impl FnMut(&KnownAccount)) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.ledger.accounts(&self.spec.name, after, ACCOUNTS)?.unwrap_or_default();
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(*last);
            page.iter().for_each(|(_, known)| each(known));
        }
    }

    async fn tally(&self, rest: AtRest<Tally>) -> Result<Tallied, Failure> {
        let AtRest { loaded: mut tally, table, quarantine, .. } = rest;
        self.blocking(move || {
            for (place, rows) in [(Place::Table, table), (Place::Quarantine, quarantine)] {
                each_row(rows, false, |row, _| tally.see(place, row))?;
            }
            Ok(tally.finish())
        })
        .await
    }

    /// The second pass decides: what the first one suspected and this one does not find was not wrong.
    async fn look_closely(&self, suspects: Vec<ObjectVersionId>) -> Result<Vec<VersionFinding>, Failure> {
        let wanted: BTreeSet<ObjectVersionId> = suspects.iter().copied().collect();
        let mut known = self.known(&wanted)?;
        let mut observed = HashMap::new();
        let expected = |known: &HashMap<ObjectVersionId, KnownAccount>, id| {
            known.get(&id).map_or_else(Expected::nothing, |known| Expected::of(&known.account))
        };
        for pass in plan(wanted.iter().map(|id| (*id, expected(&known, *id).whole)).collect::<Vec<_>>()) {
            let rest = self.at_rest(&[VERSION, ROW, KEY], || self.known(&wanted)).await?;
            let AtRest { loaded, table, quarantine, .. } = rest;
            let (mut look, mut seen) = (look_at(&pass, |id| expected(&loaded, id)), std::mem::take(&mut observed));
            observed = self
                .blocking(move || {
                    for (place, rows) in [(Place::Table, table), (Place::Quarantine, quarantine)] {
                        each_row(rows, true, |row, key| {
                            if let Some((id, row)) = row {
                                look.see(place, id, row, key);
                            }
                        })?;
                    }
                    look.finish(&mut seen);
                    Ok(seen)
                })
                .await?;
            known = loaded;
        }
        let mut findings = Vec::new();
        for id in wanted {
            let seen = observed.remove(&id).unwrap_or_default();
            for found in judge(id, &expected(&known, id), &seen) {
                findings.push(self.finding(id, found, known.get(&id), &seen)?);
            }
        }
        findings
            .sort_by(|one, other| (one.kind, &one.key, &one.version).cmp(&(other.kind, &other.key, &other.version)));
        Ok(findings)
    }

    fn known(&self, wanted: &BTreeSet<ObjectVersionId>) -> Result<HashMap<ObjectVersionId, KnownAccount>, Failure> {
        let mut found = HashMap::new();
        self.each_account(|known| {
            if wanted.contains(&known.id) {
                found.insert(known.id, known.clone());
            }
        })?;
        Ok(found)
    }

    fn finding(
        &self,
        id: ObjectVersionId,
        found: RowFinding,
        known: Option<&KnownAccount>,
        seen: &Observed,
    ) -> Result<VersionFinding, Failure> {
        let key = known.map(|known| known.key.clone()).or_else(|| seen.key.clone());
        let versions = match &key {
            Some(key) => self.ledger.versions_of(&self.spec.name, key)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let version = versions.iter().find(|version| version.id == id);
        let batch = version.and_then(brought_by);
        let (meaning, remedy) = self.remedy(&found, version, batch.as_deref());
        Ok(VersionFinding {
            kind: found.defect,
            key,
            version: id.hex(),
            state: version.map(|version| version.state.clone()),
            batch,
            rows: found.rows,
            ordinals: found.ordinals,
            exact: found.exact,
            meaning,
            remedy,
        })
    }

    fn remedy(
        &self,
        found: &RowFinding,
        version: Option<&KnownVersion>,
        batch: Option<&str>,
    ) -> (&'static str, Vec<String>) {
        let name = &self.spec.name;
        let rebuild = || vec![format!("s3-connector ledger rebuild {name}")];
        let again = || match batch {
            Some(batch) => vec![
                format!("s3-connector rollback {batch} --yes"),
                format!("s3-connector datasource retry {name} --batch {batch}"),
            ],
            None => rebuild(),
        };
        match (found.defect, version) {
            (Defect::Missing, _) => {
                ("they were committed and are in neither table: somebody has removed them", again())
            }
            (Defect::Doubled, _) => ("they are there more than once: somebody has added them again", again()),
            (Defect::Misplaced, _) => ("they are there once, but in the other table than the ledger says", rebuild()),
            (Defect::Foreign, None) => (
                "the ledger does not know their object version: it is older than the table, or another program wrote \
                  them",
                rebuild(),
            ),
            (Defect::Foreign, Some(version)) if version.account.read == 0 => {
                ("the ledger knows their object version and has not committed it", rebuild())
            }
            (Defect::Foreign, Some(_)) => {
                ("the ledger says that they were removed, or that their file never had so many rows", rebuild())
            }
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let ended = self.io.spawn_blocking(job).await;
        ended.unwrap_or_else(|error| Err(Failure::bug("audit", format!("reading the tables broke off: {error}"))))
    }
}

/// Windows of the versions as they are now: what was planned on is some moments old.
fn look_at(pass: &[Window], expected: impl Fn(ObjectVersionId) -> Expected) -> CloseLook {
    let now = |window: &Window| {
        let whole = expected(window.id).whole;
        let to = if window.last { whole.max(window.from) } else { window.to.min(whole).max(window.from) };
        Window { to, ..*window }
    };
    CloseLook::new(&pass.iter().map(now).collect::<Vec<_>>())
}

/// The last ingest batch that committed it.
fn brought_by(version: &KnownVersion) -> Option<String> {
    let brought = version.results.iter().rev();
    let mut brought = brought.filter(|result| result.kind == BatchKind::Ingest && result.state == "committed");
    brought.next().map(|result| result.batch.clone())
}

/// Calls `each` with version and ordinal of each row, `None` if it has no provenance, and with its key if that was asked
/// for. Blocks on reads.
fn each_row(
    rows: Option<RowBatches>,
    with_key: bool,
    mut each: impl FnMut(Option<(ObjectVersionId, u64)>, Option<&str>),
) -> Result<(), Failure> {
    for batch in rows.into_iter().flatten() {
        let batch = batch?;
        let texts = |index: usize| column(&batch, index, &DataType::Utf8);
        let (versions, ordinals) = (texts(0)?, column(&batch, 1, &DataType::Int64)?);
        let keys = if with_key { Some(texts(2)?) } else { None };
        let (versions, ordinals) = (versions.as_string::<i32>(), ordinals.as_primitive::<Int64Type>());
        let keys = keys.as_ref().map(|keys| keys.as_string::<i32>());
        // Rows of one object version lie together: its id is read once.
        let mut last: Option<(&str, Option<ObjectVersionId>)> = None;
        for index in 0..batch.num_rows() {
            let text = versions.is_valid(index).then(|| versions.value(index));
            let id = match (text, last) {
                (Some(text), Some((same, id))) if same == text => id,
                (Some(text), _) => ObjectVersionId::parse_hex(text),
                (None, _) => None,
            };
            last = text.map(|text| (text, id));
            let ordinal = ordinals.is_valid(index).then(|| u64::try_from(ordinals.value(index)).ok()).flatten();
            let key = keys.filter(|keys| keys.is_valid(index)).map(|keys| keys.value(index));
            each(id.zip(ordinal), key);
        }
    }
    Ok(())
}

fn column(batch: &RecordBatch, index: usize, ty: &DataType) -> Result<arrow::array::ArrayRef, Failure> {
    let array = batch.columns().get(index);
    array.and_then(|array| cast(array, ty).ok()).ok_or_else(|| {
        let message =
            "a provenance column of the table has a type that another program gave it, so its rows cannot be told";
        Failure::config("provenance_type", message)
    })
}
