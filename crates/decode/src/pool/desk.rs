//! A desk: the place of one worker, where the watch sees what it is at.

use std::sync::Mutex;

use super::lock;

/// One job as it travels to a worker.
pub(super) struct Job {
    pub(super) run: Box<dyn FnOnce() + Send>,
    /// Tells the caller that the job is given up. `None`: nobody watches it.
    pub(super) give_up: Option<Box<dyn FnOnce() + Send>>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watched: Option<Watched>,
    written_off: bool,
}

struct Watched {
    give_up: Box<dyn FnOnce() + Send>,
    /// How often the watch has seen this very job.
    looks: u32,
}

impl Desk {
    /// Does one job. Answers whether the worker has been written off meanwhile.
    pub(super) fn work(&self, job: Job) -> bool {
        lock(&self.state).watched = job.give_up.map(|give_up| Watched { give_up, looks: 0 });
        (job.run)();
        let mut state = lock(&self.state);
        state.watched = None;
        state.written_off
    }

    /// A look of the watch. A job that is seen for the last time is given up, and its worker written off: the answer
    /// tells its caller so.
    pub(super) fn look(&self, looks: u32) -> Option<Box<dyn FnOnce() + Send>> {
        let mut state = lock(&self.state);
        let watched = state.watched.as_mut()?;
        watched.looks += 1;
        if watched.looks < looks {
            return None;
        }
        state.written_off = true;
        state.watched.take().map(|watched| watched.give_up)
    }
}
