//! Faults on purpose: what an S3 behind a bad network, a busy service or a broken proxy does to its clients.
//!
//! A plan is a list of [`Rule`]s. Each request is held against them in order, and the first rule that fits and fires
//! decides what goes wrong. Chance comes from the seed and the number of the request alone, so the same requests in the
//! same order meet the same faults. What was really done to an answer is counted by the name of the fault
//! ([`FaultHandle::counts`]); a fault that cannot be done to this answer (a page token of a listing of one page) leaves
//! the answer as it is and is not counted.
//!
//! | fault | what the client sees |
//! |---|---|
//! | [`Fault::Refuse`] | an error document, nothing was done |
//! | [`Fault::Cut`] | the connection ends within the body |
//! | [`Fault::TooLittle`], [`Fault::TooMuch`] | a `Content-Length` that is more than the bytes that come, or a body that is longer than the object |
//! | [`Fault::Truncated`] | a shorter body, with a `Content-Length` that fits it |
//! | [`Fault::WrongChecksum`] | `x-amz-checksum-crc32` of other bytes |
//! | [`Fault::FlippedBit`] | one bit is another one; the checksum is that of the true bytes |
//! | [`Fault::StaleList`] | a page of a listing as it was before |
//! | [`Fault::RepeatedToken`], [`Fault::ExpiredPage`] | a continuation token that leads back, or that is not accepted |
//! | [`Fault::Trickle`], [`Fault::Stall`] | bytes one by one, or a pause |
//! | [`Fault::Html`] | a login page with status 200 |
//! | [`Fault::ApplyThenFail`] | an error, although the request was carried out |
//! | [`Fault::IgnoreIfNoneMatch`] | a conditional PUT that overwrites |

use std::time::Duration;

mod handle;
mod inject;
mod storm;
mod target;

pub use handle::FaultHandle;
pub(crate) use inject::{IgnoreIfNoneMatch, answer};
pub use target::Operation;
pub(crate) use target::{Target, is_like};

/// What goes wrong, and when. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Of everything that is left to chance.
    pub seed: u64,
    /// Held against each request in this order.
    pub rules: Vec<Rule>,
    /// At most this many keys in one page of a listing, so that a small bucket has pages too; `None` is S3's 1,000.
    pub page: Option<usize>,
}

impl Faults {
    /// No rule yet.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// One rule more, behind the others.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }
}

/// One way for requests to fail.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which requests; empty means all.
    pub operations: Vec<Operation>,
    /// The keys (for a listing: the prefixes) that it concerns; `*` stands for any characters. `None` means all.
    pub key: Option<String>,
    /// Which of the requests that fit.
    pub when: When,
    pub fault: Fault,
}

impl Rule {
    /// A rule for every request of an operation, whatever its key.
    pub fn on(operation: Operation, when: When, fault: Fault) -> Self {
        Self { operations: vec![operation], key: None, when, fault }
    }

    /// Only for keys like this one.
    #[must_use]
    pub fn key(mut self, pattern: &str) -> Self {
        self.key = Some(pattern.to_owned());
        self
    }
}

/// Which of the requests that fit a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    Always,
    /// Each with this probability, `0.0..=1.0`.
    Chance(f64),
    /// Only the n-th, from 1.
    Nth(u64),
    /// The first n.
    First(u64),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    Refuse(Refusal),
    /// The connection is cut after this many bytes of the body; not if the body has no more than that.
    Cut {
        after: u64,
    },
    /// `Content-Length` promises this many bytes more than come.
    TooLittle {
        by: u64,
    },
    /// This many bytes more come than the object (or the part that was asked for) has, and `Content-Length` says so.
    TooMuch {
        by: u64,
    },
    /// This many bytes are missing at the end, and `Content-Length` says so.
    Truncated {
        by: u64,
    },
    /// Only to whole objects up to 64 MiB: S3 sends no checksum with a part.
    WrongChecksum,
    /// As [`Fault::WrongChecksum`].
    FlippedBit,
    /// The oldest of the last four answers to the very same request.
    StaleList,
    RepeatedToken,
    /// Refuses a continuation token, as S3 does once it is too old.
    ExpiredPage,
    /// The first `bytes` of the body come one by one, `interval` apart.
    Trickle {
        bytes: u64,
        interval: Duration,
    },
    /// The head of the answer comes, and its body after a pause.
    Stall {
        pause: Duration,
    },
    Html,
    /// Does what was asked, then answers with this refusal; `None` cuts the connection without an answer.
    ApplyThenFail(Option<Refusal>),
    /// Carries out a PUT as if it had no `If-None-Match`, as some compatible stores do.
    IgnoreIfNoneMatch,
}

impl Fault {
    /// By which it is counted.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refuse(refusal) => refusal.name(),
            Self::Cut { .. } => "cut",
            Self::TooLittle { .. } => "too_little",
            Self::TooMuch { .. } => "too_much",
            Self::Truncated { .. } => "truncated",
            Self::WrongChecksum => "wrong_checksum",
            Self::FlippedBit => "flipped_bit",
            Self::StaleList => "stale_list",
            Self::RepeatedToken => "repeated_token",
            Self::ExpiredPage => "expired_page",
            Self::Trickle { .. } => "trickle",
            Self::Stall { .. } => "stall",
            Self::Html => "html",
            Self::ApplyThenFail(_) => "apply_then_fail",
            Self::IgnoreIfNoneMatch => "ignore_if_none_match",
        }
    }
}

/// An error answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 500 `InternalError`.
    InternalError,
    /// 503 `SlowDown`.
    SlowDown,
    /// 429 `TooManyRequests`.
    TooManyRequests,
    /// 403 `AccessDenied`.
    AccessDenied,
    /// 400 `ExpiredToken`.
    ExpiredToken,
    /// 412 `PreconditionFailed`.
    PreconditionFailed,
    /// 409 `ConditionalRequestConflict`.
    Conflict,
    /// 301 `PermanentRedirect` to another region.
    Moved,
    /// 403 `RequestTimeTooSkewed`.
    ClockSkew,
}

impl Refusal {
    fn name(self) -> &'static str {
        match self {
            Self::InternalError => "internal_error",
            Self::SlowDown => "slow_down",
            Self::TooManyRequests => "too_many_requests",
            Self::AccessDenied => "access_denied",
            Self::ExpiredToken => "expired_token",
            Self::PreconditionFailed => "precondition_failed",
            Self::Conflict => "conflict",
            Self::Moved => "moved",
            Self::ClockSkew => "clock_skew",
        }
    }

    /// Status and S3 error code.
    fn answer(self) -> (u16, &'static str) {
        match self {
            Self::InternalError => (500, "InternalError"),
            Self::SlowDown => (503, "SlowDown"),
            Self::TooManyRequests => (429, "TooManyRequests"),
            Self::AccessDenied => (403, "AccessDenied"),
            Self::ExpiredToken => (400, "ExpiredToken"),
            Self::PreconditionFailed => (412, "PreconditionFailed"),
            Self::Conflict => (409, "ConditionalRequestConflict"),
            Self::Moved => (301, "PermanentRedirect"),
            Self::ClockSkew => (403, "RequestTimeTooSkewed"),
        }
    }
}
