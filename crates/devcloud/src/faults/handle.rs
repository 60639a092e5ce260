//! The plan in force, with its counters.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::target::{Target, is_like};
use super::{Fault, Faults, Operation, Rule, When};
use crate::etag::lock;

/// Spreads the numbers of requests over the seeds (2^64 divided by the golden ratio).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// How many listings are remembered, and how many answers to each.
const MOST_LISTINGS: usize = 256;
const ANSWERS_KEPT: usize = 4;

/// Changes and reads the plan of a running devcloud. Cheap to clone.
#[derive(Clone, Default)]
pub struct FaultHandle {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    plan: Faults,
    /// How many requests fitted each rule.
    fitted: Vec<u64>,
    /// How many requests came, under this plan and those before.
    requests: u64,
    by_operation: HashMap<Operation, u64>,
    counts: BTreeMap<&'static str, u64>,
    listings: HashMap<String, VecDeque<Bytes>>,
}

impl FaultHandle {
    pub(crate) fn new(plan: Faults) -> Self {
        let handle = Self::default();
        handle.set(plan);
        handle
    }

    /// Another plan, from the next request on. What was counted so far is kept; rules begin to count anew.
    pub fn set(&self, plan: Faults) {
        let mut shared = lock(&self.shared);
        shared.fitted = vec![0; plan.rules.len()];
        shared.plan = plan;
    }

    /// No more faults.
    pub fn clear(&self) {
        self.set(Faults::default());
    }

    /// How often each fault was done, by its name ([`Fault::name`]). What never happened is missing.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.shared).counts.clone()
    }

    /// How many requests came, with and without a fault.
    pub fn requests(&self) -> u64 {
        lock(&self.shared).requests
    }

    /// How many requests of one kind came, with and without a fault.
    pub fn requests_of(&self, operation: Operation) -> u64 {
        lock(&self.shared).by_operation.get(&operation).copied().unwrap_or_default()
    }

    /// At most this many keys in a page.
    pub(crate) fn page(&self) -> Option<usize> {
        lock(&self.shared).plan.page
    }

    /// What shall go wrong with this request, and a number for what the fault leaves open.
    pub(crate) fn pick(&self, target: &Target) -> Option<(Fault, u64)> {
        let mut shared = lock(&self.shared);
        shared.requests += 1;
        *shared.by_operation.entry(target.operation).or_default() += 1;
        let mut random = fastrand::Rng::with_seed(shared.plan.seed ^ shared.requests.wrapping_mul(SPREAD));
        let Shared { plan, fitted, .. } = &mut *shared;
        let mut picked = None;
        for (rule, fitted) in plan.rules.iter().zip(fitted) {
            // Drawn for every rule, so that one rule more or less changes nothing for those before it.
            let dice = random.f64();
            if !rule.fits(target) {
                continue;
            }
            *fitted += 1;
            let fires = match rule.when {
                When::Always => true,
                When::Chance(odds) => dice < odds,
                When::Nth(n) => *fitted == n,
                When::First(n) => *fitted <= n,
            };
            if fires && picked.is_none() {
                picked = Some(rule.fault.clone());
            }
        }
        picked.map(|fault| (fault, random.u64(..)))
    }

    /// Called once a fault is really under way.
    pub(crate) fn count(&self, fault: &Fault) {
        *lock(&self.shared).counts.entry(fault.name()).or_default() += 1;
    }

    /// Keeps the answer to a listing; only while a plan could make use of it.
    pub(crate) fn remember(&self, address: &str, body: Bytes) {
        let mut shared = lock(&self.shared);
        if !shared.plan.rules.iter().any(|rule| rule.fault == Fault::StaleList) {
            return;
        }
        if shared.listings.len() >= MOST_LISTINGS && !shared.listings.contains_key(address) {
            shared.listings.clear();
        }
        let kept = shared.listings.entry(address.to_owned()).or_default();
        kept.push_back(body);
        if kept.len() > ANSWERS_KEPT {
            kept.pop_front();
        }
    }

    /// The oldest answer that is kept.
    pub(crate) fn recall(&self, address: &str) -> Option<Bytes> {
        lock(&self.shared).listings.get(address)?.front().cloned()
    }
}

impl Rule {
    fn fits(&self, target: &Target) -> bool {
        let operation = self.operations.is_empty() || self.operations.contains(&target.operation);
        operation && self.key.as_deref().is_none_or(|pattern| is_like(&target.key, pattern))
    }
}

impl fmt::Debug for FaultHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = lock(&self.shared);
        f.debug_struct("FaultHandle").field("requests", &shared.requests).field("counts", &shared.counts).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{Operation, Refusal};

    fn get(key: &str) -> Target {
        Target { operation: Operation::Get, key: key.to_owned(), address: String::new(), token: None }
    }

    fn names(handle: &FaultHandle, targets: &[Target]) -> Vec<Option<&'static str>> {
        targets.iter().map(|target| handle.pick(target).map(|(fault, _)| fault.name())).collect()
    }

    #[test]
    fn scripted_rules_count_the_requests_that_fit_them() {
        let slow = Fault::Refuse(Refusal::SlowDown);
        let plan = Faults::seeded(1)
            .with(Rule::on(Operation::Get, When::Nth(2), slow.clone()).key("a*"))
            .with(Rule::on(Operation::Get, When::First(1), Fault::Html))
            .with(Rule::on(Operation::Put, When::Always, slow));
        let handle = FaultHandle::new(plan);
        let asked = [get("b"), get("a1"), get("b"), get("a2"), get("a3")];
        assert_eq!(names(&handle, &asked), [Some("html"), None, None, Some("slow_down"), None]);
        assert_eq!((handle.requests(), handle.counts().len()), (5, 0), "picked is not yet done");
        handle.clear();
        assert_eq!(names(&handle, &asked[..1]), [None]);
    }

    #[test]
    fn chance_depends_on_seed_and_number_alone() {
        let targets: Vec<Target> = (0..2_000).map(|n| get(&n.to_string())).collect();
        let run = |seed| names(&FaultHandle::new(Faults::storm(seed)), &targets);
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let hit = run(1).iter().flatten().count();
        assert!((250..650).contains(&hit), "{hit} of 2000");
        let never = Faults::seeded(1).with(Rule::on(Operation::Get, When::Chance(0.0), Fault::Html));
        assert_eq!(names(&FaultHandle::new(never), &targets).iter().flatten().count(), 0);
    }
}
