//! The commit that changes where rows are and nothing else: no `txn`, no batch, `dataChange` false.

use std::collections::HashSet;

use connector_core::ports::StagedFile;
use delta_kernel::KernelError;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::transaction::{CommitResult, UpdateTableOperation};

use crate::active;
use crate::committer::{LogCommitter, Marks, PutOutcome};
use crate::error::DeltaError;
use crate::kernel::{Base, ENGINE_INFO, Kernel, stats_of};

/// What became of it.
#[derive(Debug)]
pub(crate) enum Rearranged {
    Landed,
    Conflict,
    /// It was put, and may have landed.
    Unknown(DeltaError),
}

/// Table properties, set to `true` by another program, under which data files cannot be written anew by this one.
const FORBIDDING: [&str; 3] = ["delta.appendOnly", "delta.enableChangeDataFeed", "delta.enableRowTracking"];

impl Kernel {
    /// Puts data files in the place of others that hold the same rows, if nobody has committed since `base`.
    ///
    /// # Errors
    /// Only before the log entry was put: nothing has been committed.
    pub(crate) fn rearrange(
        &self,
        base: &Base,
        gone: &HashSet<String>,
        files: &[StagedFile],
    ) -> Result<Rearranged, DeltaError> {
        let adds = self.adds(files, base.partition())?;
        let removes = active::rows_of(self, base, gone)?;
        let marks = Marks { batch: None, stats: stats_of(files) };
        let (committer, slot) = LogCommitter::new(self.log.clone(), Some(marks));
        let commit = || -> Result<CommitResult, KernelError> {
            let builder =
                std::sync::Arc::clone(&base.snapshot).update_table(UpdateTableOperation::Optimize, ENGINE_INFO, false);
            let mut transaction = builder.build(&self.engine, Box::new(committer))?;
            if let Some(adds) = adds {
                transaction.add_files(Box::new(ArrowEngineData::new(adds)));
            }
            removes.into_iter().for_each(|rows| transaction.remove_files(rows));
            transaction.commit(&self.engine)
        };
        let result = commit();
        match slot.take() {
            Some(PutOutcome::Landed { .. }) => Ok(Rearranged::Landed),
            Some(PutOutcome::Conflict) => Ok(Rearranged::Conflict),
            Some(PutOutcome::Unknown(error)) => Ok(Rearranged::Unknown(error)),
            None => Err(self.never_put(result.err(), false)),
        }
    }

    /// Writes a checkpoint of this version.
    pub(crate) fn checkpoint(&self, base: &Base) -> Result<(), DeltaError> {
        let written = base.snapshot.checkpoint(&self.engine, None);
        written.map(drop).map_err(|error| DeltaError::kernel(&self.root, &error))
    }

    /// Why data files of the table cannot be written anew, if so.
    pub(crate) fn refuses_removal(&self, base: &Base) -> Option<String> {
        let properties = base.snapshot.metadata_configuration();
        let is_set = |name: &&&str| properties.get(**name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        FORBIDDING.iter().find(is_set).map(|name| format!("has the property {name}=true"))
    }
}
