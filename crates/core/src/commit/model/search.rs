//! The exhaustive search: breadth first over all choices, each state once.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use super::choices::Choice;
use super::process::Doing;
use super::world::{Scenario, World};
use crate::commit::Action;

/// A run that breaks the promise: what is wrong, and every step that leads there.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) what: String,
    pub(super) trace: Vec<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.what)?;
        self.trace.iter().enumerate().try_for_each(|(number, step)| writeln!(f, "  {:>3}. {step}", number + 1))
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Searched {
    pub(super) states: usize,
    /// States in which nothing more happens by itself.
    pub(super) ends: usize,
    /// Steps of the longest run.
    pub(super) longest: usize,
}

/// Longer runs than this do not come to an end: every claim takes another uuid and every conflict is counted, so that no
/// run comes back to where it was.
const LONGEST: usize = 120;

/// How a state was come by: from which one, and by what.
type Steps = Vec<(usize, Choice)>;

/// Tries everything that can happen in this scenario, so that a violation is found by the fewest steps.
pub(super) fn search(scenario: &Scenario) -> Result<Searched, Violation> {
    let mut seen = HashSet::new();
    let mut found = Searched::default();
    let mut steps = Steps::new();
    let mut level = vec![(usize::MAX, World::new(scenario))];
    while !level.is_empty() {
        let mut next_level = Vec::new();
        for (origin, world) in level {
            let choices = world.choices(scenario);
            if !choices.iter().any(|choice| goes_on(*choice)) {
                found.ends += 1;
                if let Some(what) = world.wrong_end(scenario) {
                    return Err(Violation { what, trace: trace(scenario, &steps, origin) });
                }
            }
            for choice in choices {
                let next = world.after(scenario, choice);
                if !seen.insert(fingerprint(&next)) {
                    continue;
                }
                steps.push((origin, choice));
                let too_long = || (found.longest > LONGEST).then(|| "this never ends".to_owned());
                if let Some(what) = next.wrong(scenario, &world).or_else(too_long) {
                    return Err(Violation { what, trace: trace(scenario, &steps, steps.len() - 1) });
                }
                next_level.push((steps.len() - 1, next));
            }
        }
        level = next_level;
        found.longest += 1;
    }
    found.states = seen.len();
    Ok(found)
}

/// Whether it happens by itself, sooner or later.
fn goes_on(choice: Choice) -> bool {
    matches!(
        choice,
        Choice::Step(_) | Choice::Claim(..) | Choice::ClaimAhead(..) | Choice::DecodedAhead(_) | Choice::LateLanding(_)
    )
}

/// The steps that lead to this one, each with what its process was about to do.
fn trace(scenario: &Scenario, steps: &Steps, last: usize) -> Vec<String> {
    let mut choices = Vec::new();
    let mut at = last;
    while let Some((origin, choice)) = steps.get(at) {
        choices.push(*choice);
        at = *origin;
    }
    let mut world = World::new(scenario);
    let describe = |choice: &Choice| {
        let told = describe(&world, *choice);
        world = world.after(scenario, *choice);
        told
    };
    choices.iter().rev().map(describe).collect()
}

fn describe(world: &World, choice: Choice) -> String {
    let Choice::Step(p) = choice else { return format!("{choice:?}") };
    let process = &world.processes[p];
    match (&process.doing, &process.put) {
        (Doing::Act(Action::Commit { .. } | Action::CommitQuarantine { .. }), None) => {
            format!("process {p} reads the table it is to commit to")
        }
        (_, Some(put)) => format!("process {p} puts {put:?}"),
        (Doing::Act(action), None) => format!("process {p}: {action:?}"),
        (doing, None) => format!("process {p}: {doing:?}"),
    }
}

/// 128 bits that tell states apart.
fn fingerprint(world: &World) -> u128 {
    let mut hasher = Fingerprint(0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f);
    world.hash(&mut hasher);
    u128::from(hasher.0) << 64 | u128::from(hasher.1)
}

/// Two multiplicative hashes side by side: fast without optimisation, and the same in every run.
struct Fingerprint(u64, u64);

impl Fingerprint {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        self.1 = (self.1 ^ word).wrapping_mul(0xc4ce_b9fe_1a85_ec53).rotate_left(31);
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0 ^ self.1
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word) ^ (chunk.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.add(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.add(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.add(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_i64(&mut self, value: i64) {
        self.add(value.cast_unsigned());
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.add(value.cast_unsigned() as u64);
    }
}
