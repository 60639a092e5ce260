//! The doctor: each permission and each circumstance of a connection probed by itself, so that what is missing has a
//! name and a place.
//!
//! An import stops at the first refusal; the doctor goes on, and says of each thing whether it is all right, refused,
//! not needed, or cannot be told because of another one.
//!
//! | module | what it does |
//! |---|---|
//! | `remedy` | from an error to what to change and where; pure |
//! | `identity` | who calls, whether the role can be assumed, and with which external id |
//! | `bucket` | listing, reading, decrypting, writing |
//! | `watch` | the clock of the server, from the dates of its answers |

mod bucket;
mod identity;
mod remedy;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use connector_core::clock::Clock;
use connector_core::error::ErrorClass;
use connector_core::object::ListedObject;
use connector_core::spec::{Access, ConnectionSpec};
use jiff::SignedDuration;

use crate::connection::{S3Connection, S3Settings, Wiring};
use crate::error::{S3Error, transient, wrong_by};
use crate::retry::TimerWaiting;

pub use remedy::{Remedy, Statement};
pub(crate) use watch::ClockWatch;

/// What is probed, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// `sts:GetCallerIdentity`, which nobody can be denied.
    Caller,
    AssumeRole,
    /// Whether the role is refused to whoever brings no external id.
    WithoutExternalId,
    /// Whether it is refused with another one.
    WrongExternalId,
    Clock,
    /// Name resolution, connection, TLS, and an answer that is one of S3.
    Endpoint,
    /// `s3:ListAllMyBuckets`.
    ListBuckets,
    Region,
    /// Whether the bucket belongs to the account that it shall belong to.
    Owner,
    /// `s3:ListBucket`.
    List,
    /// `s3:GetObject`.
    Get,
    /// `kms:Decrypt`.
    Decrypt,
    /// `s3:PutObject`.
    Put,
    /// Whether a PUT can be made to fail if there is such a key already.
    ConditionalPut,
    /// `s3:DeleteObject`.
    Delete,
}

impl Probe {
    /// A bounded label, such as `assume_role`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::AssumeRole => "assume_role",
            Self::WithoutExternalId => "without_external_id",
            Self::WrongExternalId => "wrong_external_id",
            Self::Clock => "clock",
            Self::Endpoint => "endpoint",
            Self::ListBuckets => "list_buckets",
            Self::Region => "region",
            Self::Owner => "owner",
            Self::List => "list",
            Self::Get => "get",
            Self::Decrypt => "decrypt",
            Self::Put => "put",
            Self::ConditionalPut => "conditional_put",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// It works, but something should be changed.
    Warning,
    Failed,
    /// It could not be tried, because of another failure or for want of something to try it on.
    Skipped,
    NotNeeded,
}

impl Outcome {
    /// Such as `not needed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotNeeded => "not needed",
        }
    }
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub probe: Probe,
    /// What it was tried on: a role, a bucket with a prefix, an object.
    pub on: Option<String>,
    pub outcome: Outcome,
    /// What was found, without a secret.
    pub said: String,
    /// What to change and where, if something should be.
    pub remedy: Option<Remedy>,
    /// Class and code of a failure.
    pub failure: Option<(ErrorClass, &'static str)>,
}

impl Finding {
    fn new(probe: Probe, outcome: Outcome, said: impl Into<String>) -> Self {
        Self { probe, on: None, outcome, said: said.into(), remedy: None, failure: None }
    }

    fn ok(probe: Probe, said: impl Into<String>) -> Self {
        Self::new(probe, Outcome::Ok, said)
    }

    fn skipped(probe: Probe, why: impl Into<String>) -> Self {
        Self::new(probe, Outcome::Skipped, why)
    }

    fn not_needed(probe: Probe, why: impl Into<String>) -> Self {
        Self::new(probe, Outcome::NotNeeded, why)
    }

    fn failed(probe: Probe, error: &S3Error, remedy: Remedy) -> Self {
        let failure = Some((error.class(), error.code()));
        Self { remedy: Some(remedy), failure, ..Self::new(probe, Outcome::Failed, error.to_string()) }
    }

    fn on(mut self, on: impl Into<String>) -> Self {
        self.on = Some(on.into());
        self
    }
}

/// What an import reads through the connection.
pub struct Reading {
    pub bucket: String,
    /// The literal prefix; may be empty.
    pub prefix: String,
    /// As the user wrote it, for the report.
    pub uri: String,
    /// Whether the import would read this object.
    pub selects: Box<dyn Fn(&ListedObject) -> bool + Send + Sync>,
}

/// Where tables are written through the connection.
pub struct Writing {
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

/// What the connection is used for.
#[derive(Default)]
pub struct Use {
    pub readings: Vec<Reading>,
    pub writing: Option<Writing>,
}

/// Clocks that differ by less than this are of one mind, the seconds of an answer and its way included.
const CLOSE: SignedDuration = SignedDuration::from_secs(60);
/// AWS refuses signatures beyond this.
const TOLERATED: SignedDuration = SignedDuration::from_mins(15);

/// What the probes share.
struct Doctor<'a> {
    spec: &'a ConnectionSpec,
    settings: S3Settings,
    clock: Arc<dyn Clock>,
    watch: ClockWatch,
    /// The ARN of the caller, once it is known.
    caller: Option<String>,
}

/// Examines a connection. Writes nothing unless `used` says that tables are written through it; then a probe object is
/// put and deleted again.
///
/// # Errors
/// Only if the connection cannot be used as it is written: everything else is a finding.
pub async fn examine(
    spec: &ConnectionSpec,
    used: &Use,
    clock: Arc<dyn Clock>,
    seed: u64,
) -> Result<Vec<Finding>, S3Error> {
    // Few attempts: who waits wants to know what is wrong now.
    let settings = S3Settings {
        attempts: 2,
        first_wait: Duration::from_millis(200),
        read_timeout: Duration::from_secs(10),
        seed,
        ..S3Settings::default()
    };
    let watch = ClockWatch::new(clock.clone());
    let mut doctor = Doctor { spec, settings, clock, watch, caller: None };
    let connection = doctor.connect(spec)?;
    let (mut findings, has_credentials) = Box::pin(doctor.identity(&connection)).await;
    let before_clock = findings.len();
    if has_credentials {
        findings.extend(Box::pin(doctor.buckets(&connection, used)).await);
    } else {
        let why = "there are no credentials to try it with: see above";
        let rest = [Probe::Endpoint, Probe::ListBuckets, Probe::Region, Probe::List, Probe::Get, Probe::Decrypt];
        findings.extend(rest.map(|probe| Finding::skipped(probe, why)));
        if used.writing.is_some() {
            findings.extend([Probe::Put, Probe::Delete].map(|probe| Finding::skipped(probe, why)));
        }
    }
    findings.insert(before_clock, doctor.clock_finding());
    Ok(findings)
}

impl Doctor<'_> {
    fn wiring(&self) -> Wiring {
        Wiring { http: None, waiting: Arc::new(TimerWaiting), watch: Some(self.watch.clone()) }
    }

    fn connect(&self, spec: &ConnectionSpec) -> Result<S3Connection, S3Error> {
        S3Connection::wired(spec, self.clock.clone(), self.settings.clone(), self.wiring())
    }

    fn failed(&self, probe: Probe, error: &S3Error) -> Finding {
        Finding::failed(probe, error, remedy::of(error, self.spec, self.caller.as_deref()))
    }

    /// By how much our clock is ahead of that of whoever answered.
    fn clock_finding(&self) -> Finding {
        let Some(off) = self.watch.off() else {
            return Finding::skipped(Probe::Clock, "nothing answered with a date");
        };
        let said = format!("the clock of this machine {}", wrong_by(off));
        if off.abs() < CLOSE {
            return Finding::ok(Probe::Clock, "within a minute of that of AWS");
        }
        let remedy = Some(remedy::clock());
        if off.abs() < TOLERATED {
            let said = format!("{said}; beyond 15 minutes AWS refuses every request");
            return Finding { remedy, ..Finding::new(Probe::Clock, Outcome::Warning, said) };
        }
        let said = format!("{said}, and AWS refuses signatures that are more than 15 minutes old or early");
        let failure = Some((ErrorClass::Config, "clock_skew"));
        Finding { remedy, failure, ..Finding::new(Probe::Clock, Outcome::Failed, said) }
    }

    /// Whether keys sign the requests.
    fn is_signed(&self) -> bool {
        self.spec.access != Access::Anonymous
    }

    /// Whether an error says that nobody, or not S3, is at the other end.
    fn is_of_endpoint(error: &S3Error) -> bool {
        let codes = [transient::UNREACHABLE, transient::TIMEOUT, transient::NOT_S3];
        matches!(error, S3Error::Transient { code, .. } if codes.contains(code))
    }
}
