use std::collections::{BTreeMap, HashMap};

use std::time::Duration;

use super::close::plan_within;
use super::*;
use crate::csv::CsvSettings;
use crate::evolve::EvolutionRules;
use crate::guard::GuardLimits;
use crate::ids::ImportName;
use crate::ports::MaintenanceRules;
use crate::spec::{Access, ConnectionSpec, ImportSpec, OverwritePolicy, Schedule};
use crate::uri::BucketUri;

/// An import `orders` that reads this, each minute, five files.
pub(crate) fn spec_for(uri: &str) -> ImportSpec {
    ImportSpec {
        name: ImportName::new("orders"),
        connection: ConnectionSpec {
            name: "shop".to_owned(),
            region: "us-east-1".to_owned(),
            access: Access::Anonymous,
            endpoint: None,
            sts_endpoint: None,
            path_style: false,
            requester_pays: false,
        },
        uri: BucketUri::parse(uri).expect("a URI"),
        exclude: Vec::new(),
        schedule: Schedule::Auto,
        format: None,
        from_timestamp: None,
        max_files: 5,
        columns: None,
        partition: None,
        ttl: None,
        evolution: EvolutionRules::default(),
        csv: CsvSettings::default(),
        guard: GuardLimits::default(),
        overwrite: OverwritePolicy::Ignore,
        maintenance: MaintenanceRules::default(),
        tick: Duration::from_secs(60),
    }
}

fn version(number: u64) -> ObjectVersionId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    ObjectVersionId(id)
}

/// An import in memory: what the ledger says, and the rows of both tables.
#[derive(Clone, Default)]
struct World {
    accounts: BTreeMap<ObjectVersionId, Account>,
    rows: Vec<(Place, Option<(ObjectVersionId, u64)>)>,
}

impl World {
    /// Rows of `versions` object versions spread over both tables; some have expired, some were rolled back.
    fn random(random: &mut fastrand::Rng, versions: u64) -> Self {
        let mut world = Self::default();
        for number in 0..versions {
            let (id, read) = (version(number), random.u64(0..60));
            let mut account = Account { read, ..Account::default() };
            let rolled_back = random.u8(0..8) == 0;
            let expires = random.u8(0..4) == 0;
            for row in 0..read {
                if rolled_back || expires && random.u8(0..3) == 0 {
                    account.removed += 1;
                    account.expired += if rolled_back { RowDigest::default() } else { RowDigest::of_row(id, row) };
                } else if random.u8(0..5) == 0 {
                    account.in_quarantine += 1;
                    world.rows.push((Place::Quarantine, Some((id, row))));
                } else {
                    account.in_table += 1;
                    world.rows.push((Place::Table, Some((id, row))));
                }
            }
            world.accounts.insert(id, account);
        }
        random.shuffle(&mut world.rows);
        world
    }

    fn tally(&self, at_most: u64) -> Tallied {
        let mut all: Option<Tallied> = None;
        for share in Share::split(self.accounts.len() as u64, at_most) {
            let mut tally = Tally::new(share);
            self.accounts.iter().for_each(|(id, account)| tally.expect(*id, account));
            self.rows.iter().for_each(|(place, row)| tally.see(*place, *row));
            let found = tally.finish();
            match &mut all {
                None => all = Some(found),
                Some(all) => {
                    all.suspects.extend(found.suspects);
                    all.suspects_beside += found.suspects_beside;
                    all.nameless += found.nameless;
                    all.sums.add(&found.sums);
                }
            }
        }
        all.expect("a share")
    }

    fn look(&self, suspects: &[ObjectVersionId], max_rows: u64) -> BTreeMap<ObjectVersionId, Vec<RowFinding>> {
        let expected = |id: &ObjectVersionId| self.accounts.get(id).map_or_else(Expected::nothing, Expected::of);
        let mut observed: HashMap<ObjectVersionId, Observed> = HashMap::new();
        for pass in plan_within(suspects.iter().map(|id| (*id, expected(id).whole)), max_rows) {
            assert!(pass.iter().map(|window| window.to - window.from).sum::<u64>() <= max_rows);
            let mut look = CloseLook::new(&pass);
            for (place, row) in &self.rows {
                if let Some((id, row)) = row {
                    look.see(*place, *id, *row, Some("key"));
                }
            }
            look.finish(&mut observed);
        }
        suspects.iter().map(|id| (*id, judge(*id, &expected(id), &observed[id]))).collect()
    }

    /// Both passes.
    fn audit(&self) -> BTreeMap<ObjectVersionId, Vec<RowFinding>> {
        let found = self.tally(u64::MAX);
        assert_eq!(found.suspects_beside, 0);
        self.look(&found.suspects, u64::MAX)
    }
}

fn exact(defect: Defect, rows: &[u64]) -> RowFinding {
    let ordinals: Ordinals = rows.iter().copied().collect();
    RowFinding { defect, rows: rows.len() as u64, ordinals, exact: true }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = World::random(&mut random, 40);
        for at_most in [u64::MAX, 7] {
            let found = world.tally(at_most);
            assert_eq!((found.suspects, found.nameless, found.sums.unbalanced), (vec![], 0, 0), "seed {seed}");
            let sums = found.sums;
            assert_eq!(sums.read, sums.in_table + sums.in_quarantine + sums.removed);
            assert_eq!((sums.found_in_table, sums.found_in_quarantine), (sums.in_table, sums.in_quarantine));
        }
    }
}

/// What one seed spoils: the object version, and what has to be found of it.
fn spoil(world: &mut World, random: &mut fastrand::Rng) -> (ObjectVersionId, Vec<RowFinding>) {
    let pick = loop {
        let index = random.usize(0..world.rows.len());
        let (place, row) = world.rows[index];
        let (id, row) = row.expect("a row with provenance");
        if world.accounts[&id].expired == RowDigest::default() {
            break (index, place, id, row);
        }
    };
    let (index, place, id, row) = pick;
    let other = if place == Place::Table { Place::Quarantine } else { Place::Table };
    let read = world.accounts[&id].read;
    match random.u8(0..6) {
        0 => {
            world.rows.remove(index);
            (id, vec![exact(Defect::Missing, &[row])])
        }
        1 => {
            world.rows.push((place, Some((id, row))));
            (id, vec![exact(Defect::Doubled, &[row])])
        }
        2 => {
            world.rows.push((other, Some((id, row))));
            (id, vec![exact(Defect::Doubled, &[row])])
        }
        3 => {
            world.rows[index].0 = other;
            let misplaced =
                RowFinding { defect: Defect::Misplaced, rows: 1, ordinals: Ordinals::default(), exact: false };
            (id, vec![misplaced])
        }
        4 => {
            world.rows.push((place, Some((id, read + 3))));
            (id, vec![exact(Defect::Foreign, &[read + 3])])
        }
        _ => {
            let stranger = version(1_000_000);
            world.rows.push((place, Some((stranger, 5))));
            (stranger, vec![exact(Defect::Foreign, &[5])])
        }
    }
}

#[test]
fn each_defect_is_found_with_its_ordinals_and_no_other() {
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::random(&mut random, 12);
        if world.rows.iter().all(|(_, row)| row.is_some_and(|(id, _)| world.accounts[&id].expired.0 != 0)) {
            continue;
        }
        let (id, findings) = spoil(&mut world, &mut random);
        assert_eq!(world.audit(), BTreeMap::from([(id, findings)]), "seed {seed}");
    }
}

#[test]
fn a_row_that_is_missing_beside_expired_ones_is_found_by_its_fingerprint() {
    let id = version(1);
    let expired = RowDigest(RowDigest::of_row(id, 2).0.wrapping_add(RowDigest::of_row(id, 3).0));
    let account = Account { read: 10, in_table: 8, in_quarantine: 0, removed: 2, expired };
    let with = |rows: &[u64]| {
        let rows = rows.iter().map(|row| (Place::Table, Some((id, *row)))).collect();
        World { accounts: BTreeMap::from([(id, account)]), rows }.audit().remove(&id).unwrap_or_default()
    };
    assert_eq!(with(&[0, 1, 4, 5, 6, 7, 8, 9]), []);
    assert_eq!(with(&[0, 1, 4, 5, 6, 8, 9]), [exact(Defect::Missing, &[7])]);
    let two = with(&[0, 1, 4, 5, 8, 9]);
    assert_eq!((two[0].rows, two[0].exact, two[0].ordinals.shown(9).as_str()), (2, false, "3-4, 7-8"));
    let returned = with(&[0, 1, 2, 4, 5, 6, 7, 8, 9]);
    assert_eq!((returned[0].defect, returned[0].rows, returned.len()), (Defect::Foreign, 1, 1));
    // As many as there should be, but one of them has expired and another one is missing.
    let swapped = with(&[0, 1, 2, 4, 5, 6, 7, 8]);
    assert_eq!((swapped[0].defect, swapped[0].rows, swapped[0].exact), (Defect::Missing, 1, false));
}

#[test]
fn rows_of_what_was_rolled_back_are_foreign_and_what_was_read_again_is_whole() {
    let id = version(1);
    let audit = |account, rows: &[u64]| {
        let rows = rows.iter().map(|row| (Place::Table, Some((id, *row)))).collect();
        World { accounts: BTreeMap::from([(id, account)]), rows }.audit().remove(&id).unwrap_or_default()
    };
    let rolled_back = Account { read: 3, removed: 3, ..Account::default() };
    assert_eq!(audit(rolled_back, &[]), []);
    assert_eq!(audit(rolled_back, &[1]), [exact(Defect::Foreign, &[1])]);
    let again = Account { read: 6, removed: 3, in_table: 3, ..Account::default() };
    assert_eq!(audit(again, &[0, 1, 2]), []);
    assert_eq!(audit(again, &[0, 2]), [exact(Defect::Missing, &[1])]);
}

#[test]
fn passes_over_shares_and_windows_find_what_one_pass_finds() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::random(&mut random, 30);
        for _ in 0..random.u8(1..6) {
            spoil(&mut world, &mut random);
        }
        let whole = world.audit();
        let shares = world.tally(random.u64(1..10));
        let mut suspects = shares.suspects;
        suspects.sort_unstable();
        assert_eq!(suspects, whole.keys().copied().collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(shares.sums, world.tally(u64::MAX).sums);
        assert_eq!(world.look(&suspects, random.u64(1..50)), whole, "seed {seed}");
    }
}

#[test]
fn rows_without_provenance_are_counted_once() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut world = World::random(&mut random, 20);
    world.rows.push((Place::Table, None));
    for at_most in [u64::MAX, 3] {
        let found = world.tally(at_most);
        assert_eq!((found.nameless, found.suspects.len()), (1, 0));
        assert_eq!(found.sums.found_in_table, found.sums.in_table + 1);
    }
}

#[test]
fn a_ruined_table_takes_no_memory_for_what_it_names() {
    let mut tally = Tally::new(Share { index: 0, of: 1 });
    for number in 0..5_000 {
        tally.expect(version(number), &Account { read: 1, in_table: 1, ..Account::default() });
    }
    for number in 5_000..20_000 {
        tally.see(Place::Table, Some((version(number), 0)));
    }
    let found = tally.finish();
    assert_eq!(found.suspects.len(), MAX_SUSPECTS);
    assert!(found.suspects_beside >= 4_000, "{}", found.suspects_beside);
    assert_eq!(found.sums.found_in_table, 15_000);
}

#[test]
fn every_version_is_in_one_share() {
    for of in [1, 2, 3, 7, 100] {
        for number in 0..1_000 {
            let shares = (0..of).filter(|index| Share { index: *index, of }.has(version(number)));
            assert_eq!(shares.count(), 1);
        }
    }
    assert_eq!(Share::all(0).count(), 1);
    assert_eq!(Share::all(MAX_VERSIONS + 1).count(), 2);
}
