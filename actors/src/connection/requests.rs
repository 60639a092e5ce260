//! What people ask of an import beside syncs: replay, rollback, maintenance. One at a time, between batches.
//!
//! A request that commits claims a batch of its own kind and goes through the commit protocol like any other; if the
//! process dies on the way, the next generation finishes or abandons the batch, and whoever asked is not there any more.

mod maintenance;
mod replay;
mod rollback;

use std::collections::VecDeque;
use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, Message, ResponseFuture};
use connector_core::commit::Event;
use connector_core::error::Failure;
use connector_core::events::BatchClaimed;
use connector_core::ids::{BatchId, BatchUuid};
use connector_core::ports::{ExpiredFile, FileResult, Maintained, RevisionBatch, StagedBatch, StagedRemoval};
use connector_core::revision::{BatchKind, Revision};
use tokio::sync::oneshot;

pub(super) use self::maintenance::Upkeep;
use self::maintenance::Upkept;
use self::replay::{Replaying, RowsChosen};
use self::rollback::RollingBack;
use super::ConnectionActor;
use super::batch::OpenWork;
use crate::messages::control::{Maintain, Replay, Rollback};

/// Requests that wait, and the one that is being carried out.
#[derive(Default)]
pub(super) struct Requests {
    waiting: VecDeque<Request>,
    current: Option<Request>,
    /// What goes on could wait, and a tick or a sync cannot: they have the next turn.
    giving_way: bool,
    /// Why the batch of the present one could not be committed.
    failure: Option<Failure>,
}

pub(super) enum Request {
    Replay(Replaying),
    Rollback(RollingBack),
    Maintain(Upkept),
}

impl Requests {
    /// Nobody is answered any more.
    pub(super) fn end(&mut self, failure: &Failure) {
        for request in self.current.take().into_iter().chain(self.waiting.drain(..)) {
            request.answer(Err(failure.clone()));
        }
    }

    /// The batch of the present request could not be committed.
    pub(super) fn fail(&mut self, failure: Option<Failure>) {
        if self.current.is_some() {
            self.failure = failure;
        }
    }

    /// Whether the next turn is not a request's. Told once.
    pub(super) fn gives_way(&mut self) -> bool {
        std::mem::take(&mut self.giving_way)
    }

    fn replaying(&mut self) -> Option<&mut Replaying> {
        match self.current.as_mut() {
            Some(Request::Replay(replaying)) => Some(replaying),
            _ => None,
        }
    }

    fn rolling_back(&mut self) -> Option<&mut RollingBack> {
        match self.current.as_mut() {
            Some(Request::Rollback(rolling_back)) => Some(rolling_back),
            _ => None,
        }
    }

    fn upkept(&mut self) -> Option<&mut Upkept> {
        match self.current.as_mut() {
            Some(Request::Maintain(upkept)) => Some(upkept),
            _ => None,
        }
    }
}

impl Request {
    fn answer(self, result: Result<(), Failure>) {
        // Whoever asked may have gone away.
        match self {
            Self::Replay(replaying) => drop(replaying.waiter.send(result.map(|()| replaying.summary))),
            Self::Rollback(rolling_back) => drop(rolling_back.waiter.send(result.map(|()| rolling_back.summary))),
            Self::Maintain(upkept) => upkept.answer(result),
        }
    }
}

/// An answer to a step of a request. From an I/O task of the ConnectionActor to itself.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum RequestAnswered {
    RowsChosen(Result<RowsChosen, Failure>),
    Claimed(Result<Option<RevisionBatch>, Failure>),
    Expired(Result<Vec<ExpiredFile>, Failure>),
    Maintained(Result<Maintained, Failure>),
}

impl ConnectionActor {
    fn request(&mut self, request: Request, ctx: &mut Context<Self>) {
        self.requests.waiting.push_back(request);
        self.try_requests(ctx);
    }

    /// Begins the next request, or maintenance that is due, if nothing else goes on.
    pub(super) fn try_requests(&mut self, ctx: &mut Context<Self>) {
        let may_begin = self.recovered && self.requests.current.is_none() && !self.pace.is_draining();
        if !may_begin {
            return;
        }
        self.plan_maintenance();
        if !self.requests.waiting.is_empty() && self.pace.occupy() {
            self.begin_request(ctx);
        }
    }

    /// No batch is open: goes on with the present request, or begins the next one. Tells whether there is one.
    pub(super) fn go_on_with_requests(&mut self, ctx: &mut Context<Self>) -> bool {
        if let Some(failure) = self.requests.failure.take() {
            self.upkeep = Upkeep::default();
            return self.end_request(Err(failure), ctx);
        }
        match self.requests.current {
            Some(Request::Replay(_)) => self.choose_rows(ctx),
            Some(Request::Rollback(_)) => return self.end_request(Ok(()), ctx),
            Some(Request::Maintain(_)) => self.keep_up(ctx),
            None => {
                self.plan_maintenance();
                return self.begin_request(ctx);
            }
        }
        true
    }

    fn begin_request(&mut self, ctx: &mut Context<Self>) -> bool {
        let Some(request) = self.requests.waiting.pop_front() else { return false };
        self.requests.current = Some(request);
        match &self.requests.current {
            Some(Request::Rollback(_)) => self.claim_rollback(ctx),
            _ => return self.go_on_with_requests(ctx),
        }
        true
    }

    /// Answers the present request and goes on with the next one. Tells whether there is one.
    fn end_request(&mut self, result: Result<(), Failure>, ctx: &mut Context<Self>) -> bool {
        if let Some(request) = self.requests.current.take() {
            request.answer(result);
        }
        self.begin_request(ctx)
    }

    /// Answers the present request while no batch is open; the import goes on.
    fn finish_request(&mut self, result: Result<(), Failure>, ctx: &mut Context<Self>) {
        if !self.end_request(result, ctx) {
            self.ready(ctx);
        }
    }

    fn claim_revision(&mut self, revision: Revision, ctx: &mut Context<Self>) {
        let now = self.world.clock.now();
        let id = self.mint_batch_id(now);
        let (ledger, import) = (Arc::clone(&self.ports.ledger), self.import().clone());
        self.tasks.spawn("claim revision", ctx.address(), async move {
            let claimed = ledger.claim_revision(&import, &revision, BatchUuid::mint(), id, now).await;
            RequestAnswered::Claimed(claimed)
        });
    }

    fn revision_claimed(&mut self, batch: RevisionBatch, ctx: &mut Context<Self>) {
        BatchClaimed {
            import: &self.labels,
            seq: batch.seq,
            id: &batch.id,
            kind: batch.kind,
            files: batch.files.len(),
            bytes: batch.files.iter().map(|(file, _)| file.size).sum(),
        }
        .emit();
        let event = Event::Claimed { seq: batch.seq, uuid: batch.uuid, kind: batch.kind };
        self.open = Some(OpenWork::revision(&batch, self.world.clock.now()));
        match batch.kind {
            BatchKind::Replay => self.replay_claimed(&batch),
            BatchKind::Rollback => self.rollback_claimed(batch),
            BatchKind::Expiry => self.expiry_claimed(batch),
            BatchKind::Ingest => {}
        }
        let action = self.machine.on(event);
        self.perform(action, ctx);
    }

    /// A batch that only removes rows is staged as soon as it is claimed.
    pub(super) fn stage_removal(&mut self, ctx: &mut Context<Self>) {
        let commit = self.open.as_ref().is_some_and(|open| open.staged.is_some());
        let action = self.machine.on(Event::Decoded { commit });
        self.perform(action, ctx);
    }

    fn freeze_removal(&mut self, results: Vec<FileResult>, removes: StagedRemoval, quarantine_removes: StagedRemoval) {
        let Some(open) = self.open.as_mut() else { return };
        open.staged = Some(StagedBatch {
            files: Vec::new(),
            quarantine: Vec::new(),
            results,
            rows: 0,
            rows_quarantined: 0,
            added: Vec::new(),
            quarantine_added: Vec::new(),
            removes,
            quarantine_removes,
        });
    }

    /// A batch of a request is in table and ledger.
    pub(super) fn note_revision(&mut self, id: &BatchId, kind: BatchKind) {
        match kind {
            BatchKind::Replay => self.replay_landed(id),
            BatchKind::Rollback => self.rollback_landed(id),
            BatchKind::Expiry => self.expiry_landed(),
            BatchKind::Ingest => {}
        }
    }
}

impl Handler<RequestAnswered> for ConnectionActor {
    type Result = ();

    fn handle(&mut self, message: RequestAnswered, ctx: &mut Self::Context) {
        if self.pace.is_draining() {
            // What was claimed goes back when the import starts again.
            return self.finish(ctx);
        }
        match message {
            RequestAnswered::RowsChosen(Ok(chosen)) => self.rows_chosen(chosen, ctx),
            RequestAnswered::Claimed(Ok(Some(batch))) => self.revision_claimed(batch, ctx),
            RequestAnswered::Claimed(Ok(None)) => self.nothing_claimed(ctx),
            RequestAnswered::Expired(Ok(files)) => self.expired_found(files, ctx),
            RequestAnswered::Maintained(Ok(step)) => self.step_done(step, ctx),
            RequestAnswered::RowsChosen(Err(failure))
            | RequestAnswered::Claimed(Err(failure))
            | RequestAnswered::Expired(Err(failure))
            | RequestAnswered::Maintained(Err(failure)) => self.request_failed(failure, ctx),
        }
    }
}

impl ConnectionActor {
    /// Nothing is left that the claim could revise.
    fn nothing_claimed(&mut self, ctx: &mut Context<Self>) {
        match self.requests.current {
            Some(Request::Replay(_)) => self.nothing_to_replay(ctx),
            Some(Request::Maintain(_)) => self.nothing_expired(ctx),
            _ => self.finish_request(Ok(()), ctx),
        }
    }

    /// A step failed before a batch was open: the import is none the worse for it.
    fn request_failed(&mut self, failure: Failure, ctx: &mut Context<Self>) {
        let upkept = self.requests.upkept().map(|upkept| upkept.is_automatic());
        if upkept.is_some() {
            // Not again before the next round is due: the import would come to nothing else.
            self.upkeep = Upkeep::default();
        }
        if upkept == Some(true) {
            tracing::warn!(import = %self.import(), code = failure.code, reason = %failure, "maintenance failed");
        }
        self.finish_request(Err(failure), ctx);
    }
}

impl Handler<Replay> for ConnectionActor {
    type Result = ResponseFuture<Result<crate::messages::control::ReplaySummary, Failure>>;

    fn handle(&mut self, message: Replay, ctx: &mut Self::Context) -> Self::Result {
        let (waiter, answer) = oneshot::channel();
        self.request(Request::Replay(Replaying::new(message, waiter)), ctx);
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(interrupted())) })
    }
}

impl Handler<Rollback> for ConnectionActor {
    type Result = ResponseFuture<Result<crate::messages::control::RollbackSummary, Failure>>;

    fn handle(&mut self, message: Rollback, ctx: &mut Self::Context) -> Self::Result {
        let (waiter, answer) = oneshot::channel();
        self.request(Request::Rollback(RollingBack::new(message, waiter)), ctx);
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(interrupted())) })
    }
}

impl Handler<Maintain> for ConnectionActor {
    type Result = ResponseFuture<Result<crate::messages::control::MaintenanceSummary, Failure>>;

    fn handle(&mut self, _: Maintain, ctx: &mut Self::Context) -> Self::Result {
        let (waiter, answer) = oneshot::channel();
        self.request(Request::Maintain(Upkept::by_hand(waiter)), ctx);
        Box::pin(async move { answer.await.unwrap_or_else(|_| Err(interrupted())) })
    }
}

fn interrupted() -> Failure {
    let message = "the import was restarted before it was done; what was staged is finished by itself, see \
                   `s3-connector history`; then ask again for the rest";
    Failure::transient("interrupted", message)
}
