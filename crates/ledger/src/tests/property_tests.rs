//! Random lives of an import: see [`super::life`].

use proptest::prelude::*;

use super::life::{Life, Step};
use super::model::Listed;

fn listed() -> impl Strategy<Value = Listed> {
    (0..6u8, 0..3u8, 0..6i64, 0..12u8).prop_map(|(key, etag, modified, kind)| Listed {
        key: ["a", "b", "B", "c/ü", "c/z", "d"][usize::from(key)].to_owned(),
        etag: etag.to_string(),
        modified,
        archived: kind == 0,
        hidden: kind == 1,
    })
}

fn page() -> impl Strategy<Value = Vec<Listed>> {
    proptest::collection::vec(listed(), 0..5).prop_map(|mut page| {
        page.sort_by(|one, other| one.key.cmp(&other.key));
        page.dedup_by(|one, other| one.key == other.key);
        page
    })
}

fn ends() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0..12u8, 8)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => page().prop_map(Step::Page),
        1 => Just(Step::FinishScan),
        5 => any::<bool>().prop_map(|throttled| Step::Claim { throttled }),
        4 => ends().prop_map(Step::Stage),
        4 => Just(Step::Finalise),
        2 => ends().prop_map(Step::Settle),
        2 => Just(Step::Abandon),
        1 => Just(Step::Trip),
        2 => any::<bool>().prop_map(Step::Pause),
        2 => (0..50i64).prop_map(Step::Wait),
        1 => Just(Step::Reopen),
        2 => Just(Step::Crash),
        2 => any::<bool>().prop_map(|append| Step::OpenImport { append }),
        2 => ends().prop_map(Step::Mark),
        2 => Just(Step::Replay),
        2 => (0..6u8).prop_map(Step::Rollback),
        1 => Just(Step::Expire),
        1 => Just(Step::RetryFailed),
        1 => (0..8u8).prop_map(Step::RetryKey),
        1 => (0..6u8).prop_map(Step::RetryRolledBack),
        1 => (0..3u8).prop_map(Step::Reread),
        1 => Just(Step::Adopt),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_life_of_an_import_keeps_the_promises(steps in proptest::collection::vec(step(), 1..60)) {
        let mut life = Life::new();
        for step in steps {
            life.take(step);
        }
        life.check_history();
    }
}
