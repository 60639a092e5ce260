//! Imports that come, change and go while the program runs.
//!
//! An import whose configuration has changed, or is gone, keeps its place until its generation has ended: two generations
//! of one import never run side by side, and a batch is never torn. If there are more imports than the memory budget is
//! divided among, all of them end, and the budget is divided anew before any starts.

use std::collections::{BTreeMap, BTreeSet};

use actix::{Context, Handler, MessageResult};
use connector_core::credit::Seat;
use connector_core::ids::ImportName;
use connector_core::restart::RestartPolicy;
use connector_core::status::ImportState;

use super::{Supervised, Supervisor};
use crate::messages::control::{Deployment, Reconfigure, Reconfigured, Retire};
use crate::world::ImportSeat;

/// What takes the place of a generation that is about to end.
pub(super) enum Successor {
    Nothing,
    Import(Deployment),
}

impl Handler<Reconfigure> for Supervisor {
    type Result = MessageResult<Reconfigure>;

    fn handle(&mut self, message: Reconfigure, ctx: &mut Context<Self>) -> Self::Result {
        let mut report = Reconfigured::default();
        if !self.draining.is_empty() {
            // Everything ends, and the next start reads the new configuration.
            return MessageResult(report);
        }
        let mut wanted: BTreeMap<ImportName, Deployment> =
            message.imports.into_iter().map(|import| (import.spec.name.clone(), import)).collect();
        self.waiting.clear();
        let divide = wanted.len() > self.world.credit.seats();
        for (name, supervised) in &mut self.imports {
            match wanted.remove(name) {
                None => {
                    report.removed.push(name.clone());
                    supervised.successor = Some(Successor::Nothing);
                }
                Some(import) => {
                    let same = supervised.will_be(&import);
                    if same { &mut report.unchanged } else { &mut report.changed }.push(name.clone());
                    // One that does not run gets another chance.
                    if !same || divide || supervised.connection.is_none() {
                        supervised.successor = Some(Successor::Import(import));
                    }
                }
            }
            if let (Some(_), Some(connection)) = (&supervised.successor, &supervised.connection) {
                connection.do_send(Retire { deadline: message.deadline });
            }
        }
        for (name, import) in wanted {
            report.added.push(name);
            self.waiting.push(import);
        }
        if divide {
            self.divide_among = Some(self.imports.len() + self.waiting.len());
        }
        self.proceed(ctx);
        MessageResult(report)
    }
}

impl Supervised {
    /// Whether the import is to be what it is already, or is about to become.
    fn will_be(&self, import: &Deployment) -> bool {
        let spec = match &self.successor {
            Some(Successor::Import(next)) => &next.spec,
            Some(Successor::Nothing) => return false,
            None => &self.seat.spec,
        };
        !import.anew && *spec == import.spec
    }
}

impl Supervisor {
    /// Puts successors in the places of what has ended, and starts what is new.
    pub(super) fn proceed(&mut self, ctx: &mut Context<Self>) {
        if !self.draining.is_empty() {
            return self.check_drained(ctx);
        }
        let ended = |import: &Supervised| import.successor.is_some() && import.connection.is_none();
        if self.divide_among.is_some() && !self.imports.values().all(ended) {
            return;
        }
        if let Some(imports) = self.divide_among.take() {
            self.world.credit.divide_among(imports);
        }
        let names: Vec<ImportName> =
            self.imports.iter().filter(|(_, import)| ended(import)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(supervised) = self.imports.get_mut(&name) else { continue };
            match supervised.successor.take() {
                Some(Successor::Import(import)) => {
                    if supervised.seat.spec.connection.name != import.spec.connection.name {
                        // What it was by another connection is told under that name for the last time.
                        supervised.enter(ImportState::Stopped, None);
                    }
                    (supervised.seat.spec, supervised.seat.ports) = (import.spec, import.ports);
                    supervised.policy = RestartPolicy::default();
                    supervised.ended_in_a_row = 0;
                    supervised.last_failure = None;
                    self.start_generation(&name, ctx);
                }
                Some(Successor::Nothing) => {
                    supervised.enter(ImportState::Stopped, None);
                    self.imports.remove(&name);
                }
                None => {}
            }
        }
        self.start_waiting(ctx);
    }

    /// Starts new imports, as far as there are seats for them: those of imports that are about to end come free.
    fn start_waiting(&mut self, ctx: &mut Context<Self>) {
        for import in std::mem::take(&mut self.waiting) {
            let taken: BTreeSet<usize> = self.imports.values().map(|import| import.seat.seat.0).collect();
            let free = (0..self.world.credit.seats()).find(|seat| !taken.contains(seat));
            let (Some(seat), false) = (free, self.imports.contains_key(&import.spec.name)) else {
                self.waiting.push(import);
                continue;
            };
            let name = import.spec.name.clone();
            let seat = ImportSeat { spec: import.spec, seat: Seat(seat), ports: import.ports };
            let arbiter = self.quietest_arbiter();
            self.imports.insert(name.clone(), Supervised::new(seat, arbiter));
            self.start_generation(&name, ctx);
        }
    }

    fn quietest_arbiter(&self) -> usize {
        let load = |arbiter: &usize| self.imports.values().filter(|import| import.arbiter == *arbiter).count();
        (0..self.arbiters.len()).min_by_key(load).unwrap_or(0)
    }
}
