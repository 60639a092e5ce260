//! What a file has to pass before any of its bytes is parsed in this process: a suspect is decoded by a process of its
//! own first, and every file is marked.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use connector_core::error::Failure;
use connector_core::events::DecoderDied;
use connector_core::ids::{ImportName, ObjectVersionId};
use connector_core::object::ObjectRef;
use connector_core::outcome::{DECODE_STUCK, POISON, strike};
use connector_core::ports::Ledger;
use connector_core::telemetry::ImportLabels;

use super::fetch::Reader;
use super::marks::Marks;
use super::parquet_source;
use super::probe::{ProbeJob, Verdict};
use crate::messages::decoding::FileError;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(super) struct Gate {
    marks: Marks,
    labels: ImportLabels,
    /// Suspects that a process of its own has decoded, and which are not done with.
    vetted: Arc<Mutex<HashSet<ObjectVersionId>>>,
}

impl Gate {
    pub(super) fn new(ledger: &Arc<dyn Ledger>, labels: &ImportLabels) -> Self {
        Self::with_marks(Marks::of_ledger(Arc::clone(ledger), ImportName::new(&*labels.import)), labels.clone())
    }

    pub(super) fn with_marks(marks: Marks, labels: ImportLabels) -> Self {
        Self { marks, labels, vetted: Arc::default() }
    }

    /// The file will be inspected soon.
    pub(super) fn announce_inspection(&self, object: &ObjectRef) {
        self.marks.want(object.id);
    }

    /// The file will be decoded soon. It was inspected before, in the same batch.
    pub(super) fn announce_decoding(&self, object: &ObjectRef) {
        self.marks.want_again(object.id);
    }

    /// Returns once the file may be parsed here. `job` says how a suspect is read.
    ///
    /// # Errors
    /// Those of reading; [`strike`] if the process of its own died; those of the ledger, and then the batch is lost.
    pub(super) async fn admit(&self, reader: &Reader, job: impl FnOnce() -> ProbeJob) -> Result<(), FileError> {
        let object = &reader.object;
        if object.suspect && !self.vetted().contains(&object.id) {
            self.vet(reader, &job()).await?;
            self.vetted().insert(object.id);
        }
        self.marks.reading(object.id).await.map_err(|failure| FileError { failure, fatal: true })
    }

    /// Fetches the file and has a process of its own decode it.
    async fn vet(&self, reader: &Reader, job: &ProbeJob) -> Result<(), Failure> {
        let object = &reader.object;
        let file = parquet_source::spool(reader).await?;
        match reader.world.probe.vet(job, file).await? {
            Verdict::Survived => {
                tracing::info!(
                    uri = object.uri(),
                    strikes = object.strikes,
                    "suspect file passes a process of its own"
                );
                Ok(())
            }
            Verdict::Died { how } => {
                DecoderDied { import: &self.labels, key: &object.key, reason: &how }.emit();
                Err(strike(object, &how))
            }
        }
    }

    /// The file is not parsed any more, for now or for good. One over which a thread still hangs stays marked: if the
    /// process dies of it, the file is a suspect.
    pub(super) fn leave<T>(&self, object: &ObjectRef, result: &Result<T, FileError>) {
        if !result.as_ref().is_err_and(|error| error.failure.code == DECODE_STUCK) {
            self.marks.done(object.id);
        }
        if result.is_err() {
            self.forget(object);
        }
    }

    /// The file is done with: if it is a suspect ever again, it is vetted again.
    pub(super) fn forget(&self, object: &ObjectRef) {
        self.vetted().remove(&object.id);
    }

    fn vetted(&self) -> MutexGuard<'_, HashSet<ObjectVersionId>> {
        self.vetted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an error of a file comes to. A suspect that a process of its own survived and over which this one hangs all the
/// same has earned a strike: trying again for ever would cost a thread each time.
pub(super) fn judged(object: &ObjectRef, error: FileError) -> FileError {
    match error.failure.code {
        DECODE_STUCK if object.suspect => {
            tracing::warn!(uri = object.uri(), "a suspect file hangs in this process, too");
            FileError::from(strike(object, &error.failure.message))
        }
        _ => error,
    }
}

/// While columns are looked for, a failure of class `Data` means that the next file is asked. A suspect is alone in its
/// batch, and the code says what becomes of it: asking on would only have it vetted twice.
pub(super) fn ends_search(failure: Failure) -> Failure {
    match failure.code {
        POISON => Failure::transient(POISON, failure.message),
        _ => failure,
    }
}
