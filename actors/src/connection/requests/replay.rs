//! Replay: rows of quarantine that fit by now move into the table.
//!
//! A round chooses rows in the quarantine table, of at most so many files; claims a batch for their object versions;
//! has these read again, by the present schema, with everything but the chosen rows passed over; and commits what fits.
//! Rounds follow until every row that the filter admits was tried once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use actix::{AsyncContext, Context};
use arrow::array::RecordBatch;
use connector_core::claim::MAX_BATCH_FILES;
use connector_core::error::Failure;
use connector_core::ids::{BatchId, ObjectVersionId};
use connector_core::ports::{Destination, FileOutcome, PortResult, RevisionBatch};
use connector_core::quarantine::{ERROR, ERROR_COLUMN, IMPORT_ID, QuarantineFilter, rows_of};
use connector_core::revision::{KeyedVersion, Revision};
use tokio::sync::oneshot;

use super::super::ConnectionActor;
use super::RequestAnswered;
use crate::messages::control::{Replay, ReplaySummary, UnreadableFile};

/// Rows of one round, about 40 bytes of memory each.
const ROWS_OF_A_ROUND: u64 = 2_000_000;
/// Unreadable files that are named.
const NAMED: usize = 20;

/// A replay that is being carried out.
pub(in crate::connection) struct Replaying {
    filter: QuarantineFilter,
    dry_run: bool,
    /// Object versions of earlier rounds.
    tried: HashSet<ObjectVersionId>,
    chosen: BTreeMap<KeyedVersion, Vec<u64>>,
    pub(super) summary: ReplaySummary,
    pub(super) waiter: oneshot::Sender<Result<ReplaySummary, Failure>>,
}

/// Rows of quarantine that are tried next, by object version.
pub(in crate::connection) type RowsChosen = BTreeMap<KeyedVersion, Vec<u64>>;

impl Replaying {
    pub(super) fn new(message: Replay, waiter: oneshot::Sender<Result<ReplaySummary, Failure>>) -> Self {
        Self {
            filter: message.filter,
            dry_run: message.dry_run,
            tried: HashSet::new(),
            chosen: BTreeMap::new(),
            summary: ReplaySummary { dry_run: message.dry_run, ..ReplaySummary::default() },
            waiter,
        }
    }

    fn unreadable(&mut self, key: &str, code: &str, message: &str) {
        self.summary.unreadable_files += 1;
        if self.summary.unreadable.len() < NAMED {
            let [key, code, message] = [key, code, message].map(str::to_owned);
            self.summary.unreadable.push(UnreadableFile { key, code, message });
        }
    }
}

impl ConnectionActor {
    pub(super) fn choose_rows(&mut self, ctx: &mut Context<Self>) {
        let Some(replaying) = self.requests.replaying() else { return };
        let (filter, tried) = (replaying.filter.clone(), replaying.tried.clone());
        let (quarantine, io) = (Arc::clone(&self.ports.quarantine), self.world.io.clone());
        self.tasks.spawn("choose rows", ctx.address(), async move {
            RequestAnswered::RowsChosen(choose(quarantine, filter, tried, &io).await)
        });
    }

    pub(super) fn rows_chosen(&mut self, chosen: RowsChosen, ctx: &mut Context<Self>) {
        let Some(replaying) = self.requests.replaying() else { return };
        if chosen.is_empty() {
            return self.finish_request(Ok(()), ctx);
        }
        replaying.tried.extend(chosen.keys().map(|version| version.id));
        replaying.summary.files += chosen.len() as u64;
        replaying.summary.rows += chosen.values().map(|rows| rows.len() as u64).sum::<u64>();
        let files = chosen.keys().cloned().collect();
        replaying.chosen = chosen;
        self.claim_revision(Revision::Replay { files }, ctx);
    }

    /// The ledger knows none of the chosen object versions, or has no rows of theirs in quarantine.
    pub(super) fn nothing_to_replay(&mut self, ctx: &mut Context<Self>) {
        if let Some(replaying) = self.requests.replaying() {
            for version in std::mem::take(&mut replaying.chosen).into_keys() {
                replaying.unreadable(&version.key, "unknown_version", UNKNOWN_VERSION);
            }
        }
        self.choose_rows(ctx);
    }

    pub(super) fn replay_claimed(&mut self, batch: &RevisionBatch) {
        let (Some(replaying), Some(open)) = (self.requests.replaying(), self.open.as_mut()) else { return };
        for version in &batch.unknown {
            replaying.unreadable(&version.key, "unknown_version", UNKNOWN_VERSION);
        }
        let mut chosen: BTreeMap<ObjectVersionId, Vec<u64>> =
            std::mem::take(&mut replaying.chosen).into_iter().map(|(version, rows)| (version.id, rows)).collect();
        let mut rows_of = |id| chosen.remove(&id).unwrap_or_default().into();
        open.only = batch.files.iter().map(|(file, _)| rows_of(file.id)).collect();
        // Claimed no more than a batch may hold: the others have their turn in another round.
        chosen.retain(|id, _| batch.unknown.iter().all(|unknown| unknown.id != *id));
        for (id, rows) in chosen {
            replaying.tried.remove(&id);
            replaying.summary.files = replaying.summary.files.saturating_sub(1);
            replaying.summary.rows = replaying.summary.rows.saturating_sub(rows.len() as u64);
        }
    }

    /// Every file of the open replay was read. Tells whether there is something to commit.
    pub(in crate::connection) fn count_replayed(&mut self) -> bool {
        let Some(open) = self.open.as_ref() else { return false };
        let Some(replaying) = self.requests.replaying() else { return false };
        let mut moved = 0;
        for (file, result) in open.files.iter().zip(open.all_results()) {
            match result.as_ref().map(|result| &result.outcome) {
                Some(FileOutcome::Replayed { rows }) => moved += rows,
                Some(
                    FileOutcome::Failed { code, message }
                    | FileOutcome::Deferred { code, message, .. }
                    | FileOutcome::Gone { code, message },
                ) => replaying.unreadable(&file.key, code, message),
                _ => {}
            }
        }
        replaying.summary.moved += moved;
        moved > 0 && !replaying.dry_run
    }

    pub(super) fn replay_landed(&mut self, id: &BatchId) {
        if let Some(replaying) = self.requests.replaying() {
            replaying.summary.batches.push(id.clone());
        }
    }
}

const UNKNOWN_VERSION: &str = "the ledger has no rows of this object version in quarantine; see `s3-connector audit`";

/// The rows that the filter admits of the first files, by key, that were not tried yet.
async fn choose(
    quarantine: Arc<dyn Destination>,
    filter: QuarantineFilter,
    tried: HashSet<ObjectVersionId>,
    io: &tokio::runtime::Handle,
) -> Result<RowsChosen, Failure> {
    let columns = [ERROR_COLUMN, ERROR, IMPORT_ID, "_s3_key", "_s3_version", "_s3_row"].map(str::to_owned);
    let Some(batches) = quarantine.rows(Some(&columns)).await? else { return Ok(RowsChosen::new()) };
    let chosen = io.spawn_blocking(move || choose_from(batches, &filter, &tried, ROWS_OF_A_ROUND));
    chosen.await.map_err(|error| Failure::bug("choose_rows", format!("choosing rows ended: {error}")))?
}

fn choose_from(
    batches: impl Iterator<Item = PortResult<RecordBatch>>,
    filter: &QuarantineFilter,
    tried: &HashSet<ObjectVersionId>,
    most: u64,
) -> Result<RowsChosen, Failure> {
    let (mut chosen, mut count) = (RowsChosen::new(), 0);
    // From here on files have their turn in another round, with all of their rows.
    let mut end: Option<KeyedVersion> = None;
    for batch in batches {
        for row in rows_of(&batch?) {
            let Some((id, ordinal)) = row.identity().filter(|(id, _)| !tried.contains(id)) else { continue };
            if !filter.admits(&row) {
                continue;
            }
            let version = KeyedVersion { key: row.key, id };
            if end.as_ref().is_some_and(|end| version >= *end) {
                continue;
            }
            chosen.entry(version).or_insert_with(Vec::new).push(ordinal);
            count += 1;
            while (chosen.len() > MAX_BATCH_FILES || (count > most && chosen.len() > 1))
                && let Some((version, rows)) = chosen.pop_last()
            {
                count -= rows.len() as u64;
                end = Some(version);
            }
        }
    }
    for rows in chosen.values_mut() {
        rows.sort_unstable();
        rows.dedup();
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn version(key: &str) -> ObjectVersionId {
        ObjectVersionId([key.as_bytes()[0]; 16])
    }

    fn rows(of: &[(&str, i64)]) -> PortResult<RecordBatch> {
        let keys: ArrayRef = Arc::new(of.iter().map(|(key, _)| Some(*key)).collect::<StringArray>());
        let versions: ArrayRef = Arc::new(of.iter().map(|(key, _)| Some(version(key).hex())).collect::<StringArray>());
        let ordinals: ArrayRef = Arc::new(of.iter().map(|(_, row)| *row).collect::<Int64Array>());
        let columns = [("_s3_key", keys), ("_s3_version", versions), ("_s3_row", ordinals)];
        Ok(RecordBatch::try_from_iter(columns).expect("columns"))
    }

    #[test]
    fn rounds_take_files_whole_however_their_rows_are_mixed_until_all_were_tried() {
        let mixed: Vec<(&str, i64)> = (0..40).flat_map(|row| [("z", row), ("a", row), ("m", row)]).collect();
        let batches: Vec<_> = mixed.chunks(7).map(|part| part.to_vec()).collect();
        let (mut tried, mut rounds) = (HashSet::new(), Vec::new());
        loop {
            let batches = batches.iter().map(|part| rows(part));
            let chosen = choose_from(batches, &QuarantineFilter::default(), &tried, 50).expect("chooses");
            if chosen.is_empty() {
                break;
            }
            tried.extend(chosen.keys().map(|version| version.id));
            rounds.push(chosen.into_iter().map(|(version, rows)| (version.key, rows.len())).collect::<Vec<_>>());
        }
        let whole = |key: &str| vec![(key.to_owned(), 40)];
        assert_eq!(rounds, [whole("a"), whole("m"), whole("z")]);
    }
}
