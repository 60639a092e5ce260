//! What the ledger should do, said as plainly as possible: one list of objects, searched from end to end.

use std::collections::BTreeMap;

use connector_core::claim::{MAX_PASSED_OVER, TickState};
use connector_core::guard::Streak;
use connector_core::revision::{Account, RowDigest};

use super::{TICK, at};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub key: String,
    pub etag: String,
    pub modified: i64,
    pub state: &'static str,
    pub reason: Option<&'static str>,
    pub reclaimed: bool,
    pub not_before: Option<i64>,
    pub attempts: u32,
    pub suspect: bool,
    pub strikes: u32,
}

/// How a model's file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ingested { rows: u64, bad: u64 },
    Quarantined { bad: u64 },
    Failed,
    Deferred { until: i64, died: bool },
    Gone,
    Replayed { rows: u64 },
    RolledBack { rows: u64, bad: u64 },
    Superseded { bad: u64 },
    Expired { rows: u64, digest: RowDigest },
}

/// A batch that was committed.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub seq: i64,
    pub label: String,
    pub ingest: bool,
    pub ends: Vec<(usize, End)>,
    pub lost: bool,
}

/// An object as a page of the model shows it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub key: String,
    pub etag: String,
    pub modified: i64,
    pub archived: bool,
    pub hidden: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub objects: Vec<Object>,
    pub watermark: Option<(i64, String)>,
    pub committed: i64,
    pub batches: Vec<Committed>,
    /// Objects whose batches before that one count no more, and what counts in their place.
    pub bases: BTreeMap<usize, (usize, Account)>,
    /// New versions of ingested keys are let in.
    pub append: bool,
    pub passed_over: u32,
    /// Files that are being read.
    pub marked: Vec<usize>,
    pub streak: Streak,
    pub late: u64,
    pub tick: TickState,
    /// Indexes of the files of the open batch, in claim order.
    pub open: Option<Vec<usize>>,
    /// Indexes of the files that the open batch revises.
    pub revised: Option<Vec<usize>>,
    pub label: String,
    pub staged: Option<Staged>,
    pub paused: bool,
    /// The guard has paused it.
    pub tripped: bool,
    pub waived: bool,
    /// Columns that batches have added, one schema version each.
    pub added: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Staged {
    pub ends: Vec<(usize, End)>,
    /// A column that the batch adds.
    pub added: Option<String>,
}

impl Model {
    /// Counts of new, known, skipped, late and deferred objects.
    pub fn page(&mut self, page: &[Listed], now: i64) -> [u64; 5] {
        let mut counts = [0; 5];
        for listed in page {
            let same = |object: &Object| object.key == listed.key && object.etag == listed.etag;
            for object in self.objects.iter_mut().filter(|object| object.key == listed.key && !same(object)) {
                if ["pending", "deferred"].contains(&object.state) {
                    set(object, "gone", Some("superseded"));
                }
            }
            let overwritten = self
                .objects
                .iter()
                .any(|object| object.key == listed.key && !same(object) && object.state == "ingested");
            let (state, reason, count) = match (listed.hidden, overwritten, listed.archived) {
                (true, ..) => ("skipped", Some("hidden"), 2),
                (_, true, _) if !self.append => ("skipped", Some("overwrite"), 2),
                (.., true) => ("deferred", Some("archived"), 4),
                (_, true, _) => ("deferred", Some("overwrite"), 4),
                _ => ("pending", None, 0),
            };
            match self.objects.iter_mut().find(|object| same(object)) {
                None => {
                    counts[count] += 1;
                    let place = Some((listed.modified, listed.key.clone()));
                    if state != "skipped" && place <= self.watermark {
                        counts[3] += 1;
                        self.late += 1;
                    }
                    self.objects.push(Object {
                        key: listed.key.clone(),
                        etag: listed.etag.clone(),
                        modified: listed.modified,
                        state,
                        reason,
                        reclaimed: false,
                        not_before: None,
                        attempts: 0,
                        suspect: false,
                        strikes: 0,
                    });
                }
                Some(object) => {
                    object.modified = listed.modified;
                    let moves = match object.state {
                        "gone" => true,
                        "deferred" => (state, reason) != ("deferred", object.reason),
                        "pending" => {
                            [("deferred", Some("archived")), ("skipped", Some("overwrite"))].contains(&(state, reason))
                        }
                        "skipped" => object.reason != Some("rolled_back") && state != "skipped",
                        _ => false,
                    };
                    let returns = object.state == "gone" && object.reason.is_none() && state == "pending";
                    if moves {
                        set(object, state, reason);
                    }
                    if returns {
                        let wait = [None, Some(30), Some(60), Some(120), Some(240), Some(480), Some(960), Some(1_920)];
                        let wait = wait.get(object.attempts as usize).copied().unwrap_or(Some(3_600));
                        object.not_before = wait.map(|wait| now + wait);
                        object.attempts += 1;
                    }
                    counts[if moves { count } else { 1 }] += 1;
                }
            }
        }
        counts
    }

    /// What is claimable now, in claim order.
    pub fn claimable(&self, now: i64) -> Vec<usize> {
        let mut found: Vec<usize> = (0..self.objects.len())
            .filter(|&n| self.objects[n].state == "pending" && self.objects[n].not_before.is_none_or(|t| t <= now))
            .collect();
        found.sort_by_key(|&n| {
            let object = &self.objects[n];
            (object.not_before.unwrap_or(i64::MAX), object.modified, object.key.clone())
        });
        found
    }

    /// Indexes of the claimed files, and how many of them count.
    pub fn claim(&mut self, cap: Option<u32>, now: i64) -> (Vec<usize>, u32) {
        let allowance = cap.map(|cap| self.tick.allow(cap, TICK, at(now)));
        let cost = |n: usize| u32::from(!self.objects[n].reclaimed);
        let due = |n: usize| self.objects[n].not_before.is_some();
        let (suspects, others): (Vec<usize>, Vec<usize>) =
            self.claimable(now).into_iter().partition(|&n| self.objects[n].suspect);
        let (mut taken, mut counted) = (Vec::new(), 0);
        for &n in &others {
            if allowance.is_some_and(|allowance| counted + cost(n) > allowance.files) {
                break;
            }
            counted += cost(n);
            taken.push(n);
        }
        if let Some(&suspect) = suspects.first() {
            let turn = others.is_empty() || self.passed_over >= MAX_PASSED_OVER || (due(suspect) && !due(others[0]));
            let affordable = allowance.is_none_or(|allowance| cost(suspect) <= allowance.files);
            if affordable && (turn || taken.is_empty()) {
                (taken, counted) = (vec![suspect], cost(suspect));
            }
        }
        if let Some(&first) = taken.first() {
            let left = !suspects.is_empty() && !self.objects[first].suspect;
            self.passed_over = if left { self.passed_over + 1 } else { 0 };
        }
        for &n in &taken {
            self.objects[n].state = "claimed";
            self.objects[n].reason = None;
        }
        if !taken.is_empty() {
            if let Some(allowance) = allowance {
                self.tick = TickState { claimed: allowance.tick.claimed + counted, ..allowance.tick };
            }
            self.open = Some(taken.clone());
        }
        (taken, counted)
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Rows in the table and in quarantine.
    pub fn rows(&self) -> (u64, u64) {
        let accounts = (0..self.objects.len()).map(|n| self.account(n));
        accounts.fold((0, 0), |sum, account| (sum.0 + account.in_table, sum.1 + account.in_quarantine))
    }

    /// Versions of the keys of these files that lie in quarantine as a whole.
    pub fn superseded_by(&self, n: usize) -> Vec<usize> {
        let key = &self.objects[n].key;
        let others = (0..self.objects.len()).filter(|&other| other != n && self.objects[other].key == *key);
        others.filter(|&n| self.objects[n].state == "quarantined" && self.account(n).in_quarantine > 0).collect()
    }

    /// Where the rows of an object are, counted from the first batch on.
    pub fn account(&self, n: usize) -> Account {
        let (from, mut account) = self.bases.get(&n).copied().unwrap_or_default();
        let batches = self.batches[from..].iter().filter(|batch| !batch.lost);
        for (_, end) in batches.flat_map(|batch| &batch.ends).filter(|(of, _)| *of == n) {
            match *end {
                End::Ingested { .. } | End::Quarantined { .. } => {
                    let (rows, bad) = match *end {
                        End::Ingested { rows, bad } => (rows, bad),
                        End::Quarantined { bad } => (0, bad),
                        _ => (0, 0),
                    };
                    account = Account { read: rows + bad, in_table: rows, in_quarantine: bad, ..Account::default() };
                }
                End::Replayed { rows } => {
                    account.in_table += rows;
                    account.in_quarantine -= rows;
                }
                End::RolledBack { rows, bad } => {
                    account.in_table -= rows;
                    account.in_quarantine -= bad;
                    account.removed += rows + bad;
                }
                End::Superseded { bad } => {
                    account.in_quarantine -= bad;
                    account.removed += bad;
                }
                End::Expired { rows, digest } => {
                    account.in_table -= rows;
                    account.removed += rows;
                    account.expired += digest;
                }
                End::Failed | End::Deferred { .. } | End::Gone => {}
            }
        }
        account
    }

    /// The last batch that brought rows of an object, if it counts.
    pub fn brought_by(&self, n: usize) -> Option<&str> {
        let mut batches = self.batches.iter().filter(|batch| !batch.lost);
        let brings = |batch: &&Committed| {
            batch.ends.iter().any(|(of, end)| *of == n && matches!(end, End::Ingested { .. } | End::Quarantined { .. }))
        };
        batches.rfind(brings).map(|batch| batch.label.as_str())
    }

    /// Ends the open batch. Files without an end go back.
    pub fn end(&mut self, ends: &[(usize, End)]) {
        let open = self.open.take().unwrap_or_default();
        let revised = self.revised.take();
        self.staged = None;
        self.marked.clear();
        // In the order of the claim, however they are given.
        for n in open.iter().copied().chain((0..self.objects.len()).filter(|n| !open.contains(n))) {
            if let Some(&(_, end)) = ends.iter().find(|(of, _)| *of == n) {
                if revised.is_some() { self.revise_file(n, end) } else { self.end_file(n, end) }
            }
        }
        for &n in &open {
            let object = self.objects[n].clone();
            let unread = ["claimed", "pending"].contains(&object.state);
            let newer = self.objects.iter().any(|other| {
                other.key == object.key && other.etag != object.etag && ["pending", "deferred"].contains(&other.state)
            });
            if unread && newer {
                set(&mut self.objects[n], "gone", Some("superseded"));
            }
        }
        // Only then: two versions of a key that were claimed together both come back.
        for n in open {
            if self.objects[n].state == "claimed" {
                self.objects[n].state = "pending";
                self.objects[n].reclaimed = true;
            }
        }
    }

    fn end_file(&mut self, n: usize, end: End) {
        match end {
            End::Ingested { .. } => {
                self.streak = Streak::default();
                self.read(n, "ingested");
                self.settle_key(n);
            }
            End::Quarantined { .. } => {
                self.streak.files += 1;
                self.streak.bytes += 10;
                self.read(n, "quarantined");
            }
            End::Failed => self.read(n, "failed"),
            End::Gone => self.read(n, "gone"),
            End::Deferred { until, died } => {
                set(&mut self.objects[n], "pending", None);
                self.objects[n].not_before = Some(until);
                self.objects[n].attempts += 1;
                self.strike(n, died);
            }
            End::Superseded { .. } => self.objects[n].reason = Some("replaced"),
            other => panic!("{other:?}"),
        }
    }

    fn revise_file(&mut self, n: usize, end: End) {
        match end {
            End::Replayed { rows } => {
                (self.objects[n].suspect, self.objects[n].strikes) = (false, 0);
                if rows > 0 && self.objects[n].state == "quarantined" {
                    self.read(n, "ingested");
                    self.settle_key(n);
                }
            }
            End::Failed | End::Gone => (self.objects[n].suspect, self.objects[n].strikes) = (false, 0),
            End::Deferred { died, .. } => self.strike(n, died),
            End::RolledBack { .. } => {
                self.read(n, "skipped");
                self.objects[n].reason = Some("rolled_back");
            }
            End::Expired { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn strike(&mut self, n: usize, died: bool) {
        if died {
            self.objects[n].suspect = true;
            self.objects[n].strikes += 1;
        }
    }

    fn read(&mut self, n: usize, state: &'static str) {
        set(&mut self.objects[n], state, None);
        (self.objects[n].suspect, self.objects[n].strikes) = (false, 0);
    }

    fn settle_key(&mut self, n: usize) {
        let (key, append) = (self.objects[n].key.clone(), self.append);
        for (other, object) in self.objects.iter_mut().enumerate().filter(|(_, other)| other.key == key) {
            match object.state {
                _ if other == n => {}
                "pending" if append => set(object, "deferred", Some("overwrite")),
                "pending" | "deferred" if !append => set(object, "skipped", Some("overwrite")),
                "failed" | "quarantined" => object.reason = Some("replaced"),
                _ => {}
            }
        }
    }

    pub fn commit(&mut self, staged: &Staged) {
        let ingest = self.revised.is_none();
        self.end(&staged.ends);
        self.added.extend(staged.added.clone());
        self.waived &= !ingest;
        self.committed += 1;
        let (seq, label) = (self.committed, self.label.clone());
        self.batches.push(Committed { seq, label, ingest, ends: staged.ends.clone(), lost: false });
    }

    /// A process opens the ledger, and in it the import, for the first time.
    pub fn process_began(&mut self) {
        if self.staged.is_none() {
            for n in std::mem::take(&mut self.marked) {
                self.objects[n].suspect = true;
            }
        }
    }

    /// The import is opened, with this policy.
    pub fn open_import(&mut self, append: bool) {
        if self.append && !append {
            for object in self.objects.iter_mut().filter(|object| object.reason == Some("overwrite")) {
                if object.state == "deferred" {
                    object.state = "skipped";
                }
            }
        }
        self.append = append;
    }

    /// All that were held are few.
    pub fn finish_scan(&mut self) {
        for object in self.objects.iter_mut() {
            if (object.state, object.reason) == ("deferred", Some("overwrite")) {
                (object.state, object.reason) = ("pending", None);
            }
        }
        self.advance_watermark();
    }

    pub fn overwritten(&self, n: usize) -> bool {
        let place = |n: usize| (self.objects[n].modified, n);
        let same = |other: &usize| self.objects[*other].key == self.objects[n].key && *other != n;
        (0..self.objects.len()).filter(same).any(|other| self.objects[other].state != "gone" && place(other) > place(n))
    }

    /// Retries what `of` picks among what can be retried; tells how many.
    pub fn retry(&mut self, of: impl Fn(&Self, usize) -> bool) -> u64 {
        let chosen: Vec<usize> = (0..self.objects.len()).filter(|&n| of(self, n) && !self.overwritten(n)).collect();
        for &n in &chosen {
            set(&mut self.objects[n], "pending", None);
            (self.objects[n].attempts, self.objects[n].strikes) = (0, 0);
        }
        chosen.len() as u64
    }

    pub fn failed_or_waits(&self, n: usize) -> bool {
        let object = &self.objects[n];
        (object.state, object.reason) == ("failed", None) || (object.state == "pending" && object.not_before.is_some())
    }

    /// The table was restored to this batch; nothing is open. How many are pending again.
    pub fn reread(&mut self, seq: i64) -> u64 {
        let mut concerned = BTreeMap::<usize, (bool, bool)>::new();
        for (n, end) in self.batches.iter().filter(|batch| batch.seq > seq && !batch.lost).flat_map(|batch| &batch.ends)
        {
            if !matches!(end, End::Failed | End::Gone | End::Deferred { .. } | End::Expired { .. }) {
                let (brought, replayed) = concerned.entry(*n).or_default();
                *brought |= matches!(end, End::Ingested { .. } | End::Quarantined { .. });
                *replayed |= matches!(end, End::Replayed { .. });
            }
        }
        let before: BTreeMap<usize, Account> = concerned.keys().map(|&n| (n, self.account(n))).collect();
        self.batches.iter_mut().filter(|batch| batch.seq > seq).for_each(|batch| batch.lost = true);
        let (mut pending, present) = (0, |account: &Account| account.in_table + account.in_quarantine);
        for (n, (brought, replayed)) in concerned {
            let (before, older, object) = (before[&n], self.account(n), &self.objects[n]);
            let stands = object.state == "ingested" || (object.state, object.reason) == ("quarantined", None);
            let base = if brought && stands && !self.overwritten(n) {
                set(&mut self.objects[n], "pending", None);
                self.objects[n].reclaimed = true;
                pending += 1;
                if present(&older) == 0 {
                    continue;
                }
                Account { read: older.read, removed: older.read, ..Account::default() }
            } else if brought || present(&before) < present(&older) {
                before
            } else {
                older
            };
            if !brought && replayed && older.in_table == 0 && older.in_quarantine > 0 && object_is(self, n, "ingested")
            {
                (self.objects[n].state, self.objects[n].reason) = ("quarantined", None);
            }
            self.bases.insert(n, (self.batches.len(), base));
        }
        pending
    }

    pub fn trip(&mut self) {
        self.end(&[]);
        (self.paused, self.tripped, self.waived) = (true, true, false);
    }

    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
        if !paused {
            self.waived |= self.tripped;
            self.tripped = false;
        }
    }

    /// Keys of the files that did not fit and whose key was not ingested since, sorted.
    pub fn failures(&self) -> Vec<String> {
        let mut failures: Vec<String> = self
            .objects
            .iter()
            .filter(|object| ["failed", "quarantined"].contains(&object.state) && object.reason.is_none())
            .map(|object| object.key.clone())
            .collect();
        failures.sort();
        failures
    }

    pub fn advance_watermark(&mut self) {
        let place = |object: &Object| (object.modified, object.key.clone());
        let lowest = self.objects.iter().filter(|object| object.pins()).map(place).min();
        let highest =
            self.objects.iter().map(place).filter(|here| lowest.as_ref().is_none_or(|lowest| here < lowest)).max();
        self.watermark = self.watermark.take().max(highest);
    }
}

impl Object {
    pub fn pins(&self) -> bool {
        self.state == "claimed" || (self.state == "pending" && self.not_before.is_none())
    }
}

fn object_is(model: &Model, n: usize, state: &str) -> bool {
    model.objects[n].state == state
}

fn set(object: &mut Object, state: &'static str, reason: Option<&'static str>) {
    object.state = state;
    object.reason = reason;
    object.not_before = None;
    object.reclaimed = false;
}
