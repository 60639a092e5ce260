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
        has_room(reader).await?;
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

/// Bytes of the disk that a suspect leaves to the ledger: this much, or a twentieth of a small disk.
const RESERVE_BYTES: u64 = 1 << 30;
const RESERVE_FRACTION: u64 = 20;

/// Whether a suspect, which is spooled whole whatever its size, finds room there.
///
/// # Errors
/// `Transient` with code `spool_full` if not; `spool_failed` if the disk does not say.
async fn has_room(reader: &Reader) -> Result<(), Failure> {
    let folder = Arc::clone(&reader.world.spool);
    let (folder, disk) =
        reader.on_pool(move || rustix::fs::statvfs(&*folder).map(|disk| (folder, disk))).await?.map_err(|error| {
            Failure::transient("spool_failed", format!("cannot ask for the free space of the spool folder: {error}"))
        })?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    let (free, reserve) = (bytes(disk.f_bavail), reserve(bytes(disk.f_blocks)));
    let (uri, size) = (reader.object.uri(), reader.object.size);
    if size.saturating_add(reserve) <= free {
        return Ok(());
    }
    let message = format!(
        "{uri} was being read when the program died, so it is copied and decoded by a process of its own first, but {} has \
         {free} bytes free: its {size} bytes and {reserve} for the ledger do not fit; free space there, it is tried again",
        folder.display()
    );
    Err(Failure::transient("spool_full", message))
}

/// Of a disk of this many bytes.
fn reserve(disk: u64) -> u64 {
    RESERVE_BYTES.min(disk / RESERVE_FRACTION)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn job(reader: &Reader) -> ProbeJob {
        let (format, csv) = (connector_core::spec::Format::Csv, connector_core::csv::CsvSettings::default());
        ProbeJob { size: reader.object.size, format, csv, schema: None, memory: 1 << 20 }
    }

    #[test]
    fn a_small_disk_keeps_a_twentieth_and_a_large_one_a_gibibyte() {
        assert_eq!((reserve(100 << 20), reserve(20 << 30), reserve(u64::MAX)), (5 << 20, 1 << 30, 1 << 30));
    }

    #[tokio::test]
    async fn a_suspect_for_which_there_is_no_room_is_put_off_before_a_byte_of_it_is_read() {
        let (mut reader, reads) = super::super::tests::suspect(b"a,b".to_vec());
        has_room(&reader).await.expect("there is room for three bytes");
        reader.object.size = u64::MAX / 2;
        let marks = Marks::new(Box::new(|_, _| futures::FutureExt::boxed(async { Ok(()) })));
        let gate = Gate::with_marks(marks, ImportLabels::new("test", "orders"));
        let admitted = gate.admit(&reader, || job(&reader)).await;
        let failure = admitted.expect_err("no disk is as large").failure;
        assert_eq!((failure.class, failure.code), (connector_core::error::ErrorClass::Transient, "spool_full"));
        assert!(failure.message.contains("free space there"), "{failure}");
        assert_eq!(reads(), 0);
    }
}
