use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn the_head_of_each_import_obtains_a_block_though_others_hold_everything() {
    let mut accounts = Accounts::new(64 * MIB, 2);
    let block = accounts.largest_request();
    accounts.enter(Seat(0), FileOrder(1));
    let mut held = 0;
    while let (_, grants) = accounts.request(Seat(0), FileOrder(1), block)
        && !grants.is_empty()
    {
        held += grants[0].bytes;
    }
    assert_eq!(held, 64 * MIB - block, "all but the other import's reserve");
    accounts.enter(Seat(1), FileOrder(2));
    accounts.enter(Seat(1), FileOrder(3));
    assert!(accounts.request(Seat(1), FileOrder(3), block).1.is_empty(), "not the head");
    let (ticket, grants) = accounts.request(Seat(1), FileOrder(2), block);
    assert_eq!(grants, [Grant { ticket, source: Source::Reserve(Seat(1)), bytes: block }]);
    assert!(accounts.under_pressure());
}

#[test]
fn a_later_file_never_overtakes_an_earlier_one_that_waits_for_more() {
    let mut accounts = Accounts::new(64 * MIB, 1);
    accounts.enter(Seat(0), FileOrder(1));
    accounts.enter(Seat(0), FileOrder(2));
    let (_, first) = accounts.request(Seat(0), FileOrder(1), 31 * MIB);
    let (_, second) = accounts.request(Seat(0), FileOrder(1), 31 * MIB);
    assert_eq!((first.len(), second.len()), (1, 1));
    let (waiting, none) = accounts.request(Seat(0), FileOrder(1), 31 * MIB);
    assert!(none.is_empty());
    assert!(accounts.request(Seat(0), FileOrder(2), MIB).1.is_empty(), "one MiB is free, but an older file waits");
    let granted = accounts.release(first[0].source, first[0].bytes);
    assert_eq!(granted[0].ticket, waiting);
}

/// Random traffic: each file asks for one block at a time and gives it back later. Nothing may get stuck, and the
/// accounts must never hand out more than the limit.
#[test]
fn random_traffic_never_gets_stuck_and_never_exceeds_the_limit() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let imports = random.usize(1..9);
        let mut accounts = Accounts::new(MIN_BUDGET, imports);
        let block = accounts.largest_request();
        // (seat, order, blocks still to do)
        let mut files: Vec<(Seat, FileOrder, u32)> = (0..random.u64(1..30))
            .map(|order| (Seat(random.usize(0..imports)), FileOrder(order), random.u32(1..6)))
            .collect();
        let mut waiting = std::collections::HashMap::new();
        let mut held: Vec<(Source, u64, usize)> = Vec::new();
        let mut asked = vec![false; files.len()];
        for (seat, order, _) in &files {
            accounts.enter(*seat, *order);
        }
        let mut fresh: Vec<Grant> = Vec::new();
        loop {
            for index in 0..files.len() {
                let (seat, order, left) = files[index];
                if left > 0 && !asked[index] {
                    let bytes = random.u64(1..=block);
                    let (ticket, grants) = accounts.request(seat, order, bytes);
                    waiting.insert(ticket, index);
                    asked[index] = true;
                    fresh.extend(grants);
                }
            }
            for grant in fresh.drain(..) {
                let index = waiting.remove(&grant.ticket).expect("a grant answers a request");
                held.push((grant.source, grant.bytes, index));
            }
            assert!(accounts.in_use() <= accounts.limit());
            if files.iter().all(|(_, _, left)| *left == 0) {
                break;
            }
            assert!(!held.is_empty(), "stuck with seed {seed}");
            let (source, bytes, index) = held.swap_remove(random.usize(0..held.len()));
            fresh.extend(accounts.release(source, bytes));
            files[index].2 -= 1;
            asked[index] = false;
            if files[index].2 == 0 {
                fresh.extend(accounts.leave(files[index].0, files[index].1));
            }
        }
        assert_eq!(accounts.in_use(), 0);
    }
}
