//! The watch: a thread that looks at all desks from time to time, and the crew whose desks they are.
//!
//! It counts its looks instead of reading a clock: a process that was stopped and continued, or a machine that slept,
//! has given nobody the time to finish a job.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::desk::{Desk, Job};
use super::{StuckRules, lock};

/// Looks within the limit: a job is given up after at least the limit and at most a sixteenth more.
const LOOKS: u32 = 16;

/// The workers of a pool.
pub(super) struct Crew {
    jobs: Receiver<Job>,
    desks: Mutex<Vec<Arc<Desk>>>,
    rules: StuckRules,
    started: AtomicUsize,
    /// Workers that are written off and whose job has not returned.
    pub(super) stuck: AtomicUsize,
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("stuck", &self.stuck).finish_non_exhaustive()
    }
}

impl Crew {
    pub(super) fn new(jobs: Receiver<Job>, rules: StuckRules) -> Self {
        let (desks, started, stuck) = (Mutex::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { jobs, desks, rules, started, stuck }
    }

    /// Starts one more worker. False if the system does not give a thread.
    pub(super) fn start_worker(self: &Arc<Self>) -> bool {
        let (crew, desk) = (Arc::clone(self), Arc::new(Desk::default()));
        let seat = Arc::clone(&desk);
        let work = move || {
            let written_off = crew.jobs.iter().any(|job| seat.work(job));
            if written_off {
                crew.stuck.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let index = self.started.fetch_add(1, Ordering::SeqCst);
        match thread::Builder::new().name(format!("decode-{index}")).spawn(work) {
            Ok(_detached) => lock(&self.desks).push(desk),
            Err(error) => {
                tracing::error!(%error, "a decoding thread could not be started");
                return false;
            }
        }
        true
    }

    /// Looks at every desk once, and replaces those whose job does not return.
    fn look(self: &Arc<Self>) {
        let mut given_up = Vec::new();
        lock(&self.desks).retain(|desk| {
            let stuck = desk.look(LOOKS + 1);
            let stays = stuck.is_none();
            given_up.extend(stuck);
            stays
        });
        for tell in given_up {
            let stuck = 1 + self.stuck.fetch_add(1, Ordering::SeqCst);
            tracing::error!(stuck, limit = ?self.rules.limit, "a decoding thread hangs and is written off");
            self.start_worker();
            tell();
            if stuck > self.rules.most {
                (self.rules.then)();
            }
        }
    }
}

/// The watch ends with its pool.
#[derive(Debug)]
pub(super) struct Watch {
    _until: Sender<()>,
}

impl Watch {
    pub(super) fn start(crew: &Arc<Crew>) -> Self {
        let (until, ended) = bounded(0);
        let crew = Arc::clone(crew);
        let pause = (crew.rules.limit / LOOKS).max(Duration::from_millis(1));
        let watch = move || {
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                crew.look();
            }
        };
        if let Err(error) = thread::Builder::new().name("decode-watch".to_owned()).spawn(watch) {
            tracing::error!(%error, "the thread that watches decoding could not be started");
        }
        Self { _until: until }
    }
}
