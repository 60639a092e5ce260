use super::*;

const TICK: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::ZERO;

fn started(schedule: Schedule) -> (Pace, Vec<Step>) {
    let mut pace = Pace::new(schedule, TICK);
    let steps = pace.recovered(false, NOW);
    (pace, steps)
}

fn armed(steps: &[Step]) -> u64 {
    let number = |step: &Step| match step {
        Step::ArmTick { number, .. } => Some(*number),
        _ => None,
    };
    steps.iter().filter_map(number).next_back().expect("a tick is armed")
}

fn without_arming(steps: Vec<Step>) -> Vec<Step> {
    steps.into_iter().filter(|step| !matches!(step, Step::ArmTick { .. })).collect()
}

#[test]
fn while_it_is_occupied_nothing_is_claimed_and_a_tick_waits() {
    let mut pace = Pace::new(Schedule::Auto, Duration::from_secs(60));
    assert!(!pace.occupy(), "recovery is not over");
    let steps = pace.recovered(true, Duration::ZERO);
    assert_eq!(steps, []);
    assert!(pace.occupy() && !pace.occupy());
    assert!(!pace.is_kept_waiting());
    let steps = pace.resume(Duration::ZERO);
    assert!(!steps.contains(&Step::ClaimThrottled), "{steps:?}");
    assert!(steps.contains(&Step::Scan) && pace.is_kept_waiting(), "a scan goes on beside it");
    assert!(!pace.scan_done().contains(&Step::ClaimThrottled));
    assert_eq!(pace.batch_ended(), [Step::ClaimThrottled], "the tick that was kept waiting");
}

#[test]
fn a_tick_claims_once_more_if_something_free_is_left() {
    let mut pace = Pace::new(Schedule::Auto, Duration::from_secs(60));
    pace.recovered(false, Duration::ZERO);
    pace.scan_done();
    pace.claimed(true, Some(Duration::from_secs(60)), true);
    assert_eq!(pace.batch_ended(), [Step::ClaimThrottled]);
    pace.claimed(true, Some(Duration::from_secs(60)), false);
    assert_eq!(pace.batch_ended(), []);
}

#[test]
fn a_tick_scans_and_then_claims_and_the_next_one_comes_when_the_ledgers_tick_ends() {
    let (mut pace, steps) = started(Schedule::Auto);
    assert_eq!(without_arming(steps), [Step::Scan]);
    assert_eq!(pace.scan_done(), [Step::ClaimThrottled]);
    let steps = pace.claimed(true, Some(Duration::from_secs(40)), false);
    assert!(matches!(steps[..], [Step::ArmTick { wait, .. }] if wait == Duration::from_secs(40) + TICK_MARGIN));
    assert_eq!(pace.batch_ended(), []);
    assert_eq!(without_arming(pace.tick(armed(&steps), NOW)), [Step::Scan]);
}

#[test]
fn case_20_a_tick_that_finds_a_batch_open_is_skipped_and_the_one_after_comes_all_the_same() {
    let (mut pace, _) = started(Schedule::Auto);
    pace.scan_done();
    let steps = pace.claimed(true, Some(TICK), false);
    let steps = pace.tick(armed(&steps), NOW);
    assert_eq!(without_arming(steps.clone()), []);
    assert_eq!(pace.batch_ended(), []);
    assert_eq!(without_arming(pace.tick(armed(&steps), NOW)), [Step::Scan]);
}

#[test]
fn case_20_an_old_tick_does_not_count_twice() {
    let (mut pace, steps) = started(Schedule::Auto);
    let old = armed(&steps);
    pace.scan_done();
    pace.claimed(false, Some(TICK), false);
    assert_eq!(pace.tick(old, NOW), []);
}

#[test]
fn the_first_claim_waits_for_a_scan_or_for_its_grace_and_later_ones_do_not() {
    let (mut pace, _) = started(Schedule::Auto);
    assert_eq!(pace.batch_ended(), []);
    assert_eq!(pace.grace_over(), [Step::ClaimThrottled]);
    let steps = pace.claimed(true, Some(TICK), false);
    pace.batch_ended();
    // The first scan still runs: the tick claims from what the ledger has.
    assert_eq!(without_arming(pace.tick(armed(&steps), NOW)), [Step::ClaimThrottled]);
}

#[test]
fn a_failed_listing_backs_off_while_known_files_are_claimed() {
    let (mut pace, steps) = started(Schedule::Auto);
    pace.grace_over();
    pace.claimed(false, Some(TICK), false);
    let _ = steps;
    assert_eq!(pace.scan_failed(NOW, 1.0), []);
    let number = pace.armed;
    assert_eq!(without_arming(pace.tick(number, Duration::from_millis(500))), [Step::ClaimThrottled]);
    let steps = pace.claimed(false, Some(TICK), false);
    assert_eq!(without_arming(pace.tick(armed(&steps), Duration::from_secs(2))), [Step::Scan]);
}

#[test]
fn a_sync_scans_afresh_and_claims_until_nothing_is_left() {
    let (mut pace, steps) = started(Schedule::OnDemand);
    assert_eq!(steps, [], "on demand nothing happens by itself");
    assert_eq!(pace.sync(), [Step::Scan]);
    assert_eq!(pace.scan_done(), [Step::ClaimAll]);
    assert_eq!(pace.claimed(true, None, false), []);
    assert_eq!(pace.batch_ended(), [Step::ClaimAll]);
    assert_eq!(pace.claimed(false, None, false), [Step::EndSync]);
    assert_eq!(pace.batch_ended(), []);
}

#[test]
fn a_sync_that_joins_a_running_one_gets_a_scan_of_its_own() {
    let (mut pace, _) = started(Schedule::OnDemand);
    pace.sync();
    pace.scan_done();
    assert_eq!(pace.claimed(true, None, false), []);
    assert_eq!(pace.sync(), [], "a batch is open");
    assert_eq!(pace.batch_ended(), [Step::Scan]);
    assert_eq!(pace.scan_done(), [Step::ClaimAll]);
}

#[test]
fn a_sync_asked_for_during_a_scan_waits_for_it_and_scans_again() {
    let (mut pace, steps) = started(Schedule::Auto);
    assert_eq!(without_arming(steps), [Step::Scan]);
    assert_eq!(pace.sync(), []);
    assert_eq!(pace.scan_done(), [Step::Scan]);
    assert_eq!(pace.scan_done(), [Step::ClaimAll]);
}

#[test]
fn a_pause_stops_ticks_and_a_running_sync_and_a_resume_starts_ticking_again() {
    let (mut pace, _) = started(Schedule::Auto);
    pace.sync();
    pace.scan_done();
    pace.scan_done();
    pace.claimed(true, None, false);
    pace.pause();
    assert_eq!(pace.batch_ended(), []);
    assert_eq!(pace.tick(pace.armed, NOW), []);
    assert_eq!(without_arming(pace.resume(NOW)), [Step::Scan]);
    assert_eq!(pace.resume(NOW), [], "it was not paused");
}

#[test]
fn a_draining_import_starts_nothing() {
    let (mut pace, _) = started(Schedule::Auto);
    pace.drain();
    assert_eq!(pace.scan_done(), []);
    assert_eq!(pace.tick(pace.armed, NOW), []);
    assert_eq!(pace.sync(), []);
}

/// Whatever happens in whatever order: never two scans, claims or batches at once, nothing while paused, and an
/// import in `@auto` that is not paused always has a tick armed.
#[test]
fn random_traffic_never_starts_two_things_at_once_and_never_falls_asleep() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut pace, first) = started(Schedule::Auto);
        let (mut scanning, mut claiming, mut open, mut paused) = (false, false, false, false);
        let mut newest = 0;
        let mut steps = first;
        for _ in 0..200 {
            for step in steps.drain(..) {
                match step {
                    Step::Scan => assert!(!std::mem::replace(&mut scanning, true), "seed {seed}: two scans"),
                    Step::ClaimAll | Step::ClaimThrottled => {
                        assert!(!open && !paused, "seed {seed}: claimed while a batch is open or paused");
                        assert!(!std::mem::replace(&mut claiming, true), "seed {seed}: two claims");
                    }
                    Step::ArmTick { number, .. } | Step::ArmCron { number } => newest = number,
                    Step::EndSync => {}
                }
            }
            assert!(paused || newest == pace.armed, "seed {seed}: no tick is armed");
            steps = match random.u8(0..8) {
                0 if scanning => {
                    scanning = false;
                    if random.bool() { pace.scan_done() } else { pace.scan_failed(NOW, random.f64()) }
                }
                1 if claiming => {
                    claiming = false;
                    open = random.bool() && !paused;
                    pace.claimed(open, random.bool().then_some(TICK), false)
                }
                2 if open => {
                    open = false;
                    pace.batch_ended()
                }
                3 => pace.tick(newest, NOW),
                4 if !paused => pace.sync(),
                5 => {
                    paused = true;
                    pace.pause();
                    Vec::new()
                }
                6 => {
                    paused = false;
                    pace.resume(NOW)
                }
                _ => Vec::new(),
            };
        }
    }
}

#[test]
fn a_tick_that_was_due_during_a_pause_within_one_batch_does_not_stop_the_clock() {
    let (mut pace, _) = started(Schedule::Auto);
    pace.scan_done();
    let steps = pace.claimed(true, Some(TICK), false);
    pace.pause();
    assert_eq!(pace.tick(armed(&steps), TICK), []);
    let steps = pace.resume(TICK);
    assert_eq!(pace.batch_ended(), []);
    assert_eq!(without_arming(pace.tick(armed(&steps), 2 * TICK)), [Step::Scan]);
}

fn with_cron() -> (Pace, u64) {
    let (pace, steps) = started(Schedule::Cron(crate::schedule::Cron::parse("0 3 * * *").expect("parses")));
    let [Step::ArmCron { number }] = steps[..] else { panic!("{steps:?}") };
    (pace, number)
}

#[test]
fn a_cron_time_starts_a_sync_without_a_cap_and_arms_the_next_one() {
    let (mut pace, number) = with_cron();
    assert_eq!(pace.tick(number, NOW), [Step::ArmCron { number: number + 1 }, Step::Scan]);
    assert_eq!(pace.tick(number, NOW), [], "an old one does not count twice");
    assert_eq!(pace.scan_done(), [Step::ClaimAll]);
    assert_eq!(pace.claimed(true, None, false), []);
    assert_eq!(pace.batch_ended(), [Step::ClaimAll]);
    assert_eq!(pace.claimed(false, None, false), [Step::EndSync]);
}

#[test]
fn a_cron_time_during_a_sync_or_a_pause_is_not_made_up() {
    let (mut pace, number) = with_cron();
    pace.tick(number, NOW);
    assert_eq!(pace.tick(number + 1, NOW), [Step::ArmCron { number: number + 2 }], "the sync goes on");
    assert_eq!(pace.scan_done(), [Step::ClaimAll]);
    assert_eq!(pace.claimed(false, None, false), [Step::EndSync]);
    pace.pause();
    assert_eq!(pace.tick(number + 2, NOW), []);
    assert_eq!(pace.resume(NOW), [Step::ArmCron { number: number + 3 }], "at the next time, not now");
    pace.drain();
    assert_eq!(pace.tick(number + 3, NOW), []);
}

#[test]
fn a_listing_that_fails_at_a_cron_time_is_tried_again_after_the_backoff() {
    let (mut pace, number) = with_cron();
    pace.tick(number, NOW);
    let steps = pace.scan_failed(NOW, 1.0);
    let [Step::ArmTick { number: again, .. }] = steps[..] else { panic!("{steps:?}") };
    assert_eq!(pace.tick(number + 1, NOW), [], "the retry has taken its place");
    assert_eq!(pace.tick(again, NOW), [Step::ArmCron { number: again + 1 }, Step::Scan]);
    assert_eq!(pace.scan_done(), [Step::ClaimAll]);
    assert_eq!(pace.claimed(false, None, false), [Step::EndSync]);
    // Somebody asks, and the listing fails: nobody promised a time.
    assert_eq!(pace.sync(), [Step::Scan]);
    assert_eq!(pace.scan_failed(NOW, 1.0), []);
}
