//! What the ledger should do, said as plainly as possible: one list of objects, searched from end to end.

use connector_core::claim::TickState;
use connector_core::guard::Streak;

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
}

/// How a model's file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Ingested { rows: u64, bad: u64 },
    Quarantined { bad: u64 },
    Failed,
    Deferred { until: i64 },
    Gone,
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
    pub rows: u64,
    pub quarantined: u64,
    pub streak: Streak,
    pub late: u64,
    pub tick: TickState,
    /// Indexes of the files of the open batch, in claim order.
    pub open: Option<Vec<usize>>,
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
                (_, true, _) => ("skipped", Some("overwrite"), 2),
                (.., true) => ("deferred", Some("archived"), 4),
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
                    });
                }
                Some(object) => {
                    object.modified = listed.modified;
                    let moves = match object.state {
                        "gone" => true,
                        "deferred" => state != "deferred",
                        "pending" => state == "deferred",
                        "skipped" => object.reason != Some("overwrite") && state != "skipped",
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
        let (mut taken, mut counted) = (Vec::new(), 0);
        for n in self.claimable(now) {
            let cost = u32::from(!self.objects[n].reclaimed);
            if allowance.is_some_and(|allowance| counted + cost > allowance.files) {
                break;
            }
            counted += cost;
            taken.push(n);
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

    /// Ends the open batch. Files without an end go back.
    pub fn end(&mut self, ends: &[(usize, End)]) {
        let open = self.open.take().unwrap_or_default();
        self.staged = None;
        // In the order of the claim, however they are given.
        for &n in &open {
            if let Some(&(_, end)) = ends.iter().find(|(of, _)| *of == n) {
                self.end_file(n, end);
            }
        }
        for n in open {
            let object = self.objects[n].clone();
            let unread = ["claimed", "pending"].contains(&object.state);
            let newer = self.objects.iter().any(|other| {
                other.key == object.key && other.etag != object.etag && ["pending", "deferred"].contains(&other.state)
            });
            if unread && newer {
                set(&mut self.objects[n], "gone", Some("superseded"));
            } else if object.state == "claimed" {
                self.objects[n].state = "pending";
                self.objects[n].reclaimed = true;
            }
        }
    }

    fn end_file(&mut self, n: usize, end: End) {
        match end {
            End::Ingested { rows, bad } => {
                self.rows += rows;
                self.quarantined += bad;
                self.streak = Streak::default();
                set(&mut self.objects[n], "ingested", None);
                let key = self.objects[n].key.clone();
                for other in self.objects.iter_mut().filter(|other| other.key == key) {
                    match other.state {
                        "pending" | "deferred" => set(other, "skipped", Some("overwrite")),
                        "failed" | "quarantined" => other.reason = Some("replaced"),
                        _ => {}
                    }
                }
            }
            End::Quarantined { bad } => {
                self.quarantined += bad;
                self.streak.files += 1;
                self.streak.bytes += 10;
                set(&mut self.objects[n], "quarantined", None);
            }
            End::Failed => set(&mut self.objects[n], "failed", None),
            End::Gone => set(&mut self.objects[n], "gone", None),
            End::Deferred { until } => {
                set(&mut self.objects[n], "pending", None);
                self.objects[n].not_before = Some(until);
                self.objects[n].attempts += 1;
            }
        }
    }

    pub fn commit(&mut self, staged: &Staged) {
        self.end(&staged.ends);
        self.added.extend(staged.added.clone());
        self.waived = false;
        self.committed += 1;
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

fn set(object: &mut Object, state: &'static str, reason: Option<&'static str>) {
    object.state = state;
    object.reason = reason;
    object.not_before = None;
    object.reclaimed = false;
}
