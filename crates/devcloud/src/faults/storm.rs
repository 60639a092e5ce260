//! The mixture for soak tests: everything at once, each at a few percent or less.

use std::time::Duration;

use super::{Fault, Faults, Operation, Refusal, Rule, When};

/// Small enough that a few hundred files make a listing of several pages.
const STORM_PAGE: usize = 100;

impl Faults {
    /// Everything at a few percent: about one request in four fails in some way. Errors that a client has to take for
    /// the user's (403 and 301) are the rarest, since an import that meets one at a listing rightly stops.
    pub fn storm(seed: u64) -> Self {
        let mut storm = Self { page: Some(STORM_PAGE), ..Self::seeded(seed) };
        for (operation, percent, fault) in listings().into_iter().chain(reads()).chain(writes()).chain(sessions()) {
            storm = storm.with(Rule::on(operation, When::Chance(percent / 100.0), fault));
        }
        storm
    }
}

type Odds = (Operation, f64, Fault);

fn listings() -> Vec<Odds> {
    let trickle = Fault::Trickle { bytes: 40, interval: Duration::from_millis(2) };
    vec![
        (Operation::List, 3.0, Fault::Refuse(Refusal::InternalError)),
        (Operation::List, 4.0, Fault::Refuse(Refusal::SlowDown)),
        (Operation::List, 1.0, Fault::Refuse(Refusal::TooManyRequests)),
        (Operation::List, 1.0, Fault::Refuse(Refusal::ExpiredToken)),
        (Operation::List, 0.2, Fault::Refuse(Refusal::AccessDenied)),
        (Operation::List, 0.2, Fault::Refuse(Refusal::Moved)),
        (Operation::List, 2.0, Fault::Cut { after: 300 }),
        (Operation::List, 1.0, Fault::TooLittle { by: 100 }),
        (Operation::List, 1.0, Fault::Truncated { by: 50 }),
        (Operation::List, 4.0, Fault::StaleList),
        (Operation::List, 2.0, Fault::RepeatedToken),
        (Operation::List, 2.0, Fault::ExpiredPage),
        (Operation::List, 2.0, Fault::Html),
        (Operation::List, 1.0, trickle),
        (Operation::List, 1.0, Fault::Stall { pause: Duration::from_millis(100) }),
    ]
}

fn reads() -> Vec<Odds> {
    let trickle = Fault::Trickle { bytes: 100, interval: Duration::from_millis(2) };
    vec![
        (Operation::Get, 2.0, Fault::Refuse(Refusal::InternalError)),
        (Operation::Get, 3.0, Fault::Refuse(Refusal::SlowDown)),
        (Operation::Get, 1.0, Fault::Refuse(Refusal::TooManyRequests)),
        (Operation::Get, 1.0, Fault::Refuse(Refusal::ExpiredToken)),
        (Operation::Get, 0.5, Fault::Refuse(Refusal::AccessDenied)),
        (Operation::Get, 0.5, Fault::Refuse(Refusal::PreconditionFailed)),
        (Operation::Get, 0.1, Fault::Refuse(Refusal::Moved)),
        (Operation::Get, 1.0, Fault::Cut { after: 0 }),
        (Operation::Get, 2.0, Fault::Cut { after: 700 }),
        (Operation::Get, 1.0, Fault::Cut { after: 100_000 }),
        (Operation::Get, 1.0, Fault::TooLittle { by: 9 }),
        (Operation::Get, 1.0, Fault::TooMuch { by: 9 }),
        (Operation::Get, 1.0, Fault::Truncated { by: 9 }),
        (Operation::Get, 1.0, Fault::WrongChecksum),
        (Operation::Get, 2.0, Fault::FlippedBit),
        (Operation::Get, 1.0, Fault::Html),
        (Operation::Get, 1.0, trickle),
        (Operation::Get, 1.0, Fault::Stall { pause: Duration::from_millis(100) }),
        (Operation::Head, 5.0, Fault::Refuse(Refusal::SlowDown)),
    ]
}

fn writes() -> Vec<Odds> {
    vec![
        (Operation::Put, 2.0, Fault::Refuse(Refusal::InternalError)),
        (Operation::Put, 2.0, Fault::Refuse(Refusal::SlowDown)),
        (Operation::Put, 1.0, Fault::Refuse(Refusal::Conflict)),
        (Operation::Put, 2.0, Fault::ApplyThenFail(Some(Refusal::InternalError))),
        (Operation::Put, 2.0, Fault::ApplyThenFail(None)),
        (Operation::Delete, 2.0, Fault::Refuse(Refusal::SlowDown)),
        (Operation::Delete, 2.0, Fault::ApplyThenFail(None)),
    ]
}

fn sessions() -> Vec<Odds> {
    vec![
        (Operation::Sts, 5.0, Fault::Refuse(Refusal::InternalError)),
        (Operation::Sts, 5.0, Fault::Refuse(Refusal::SlowDown)),
        (Operation::Sts, 2.0, Fault::Html),
        (Operation::Sts, 3.0, Fault::Stall { pause: Duration::from_millis(100) }),
    ]
}
