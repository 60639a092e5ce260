//! A copy of the ledger once a day, in `backups/` of the data directory; the last seven are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connector_core::clock::Clock;
use connector_core::error::Failure;
use connector_ledger::SqliteLedger;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Inside the data directory.
const FOLDER: &str = "backups";
/// Copies that are kept.
const KEPT: usize = 7;
/// When it is looked first whether today's copy is there,
const FIRST_LOOK: Duration = Duration::from_secs(60);
/// and how often from then on.
const LOOK: Duration = Duration::from_secs(3_600);

/// Makes the copies for as long as it lives.
pub struct Backups(JoinHandle<()>);

impl Backups {
    pub fn start(data_dir: &Path, ledger: Arc<SqliteLedger>, clock: Arc<dyn Clock>, io: &Handle) -> Self {
        let folder = data_dir.join(FOLDER);
        Self(io.spawn(async move {
            let mut wait = FIRST_LOOK;
            loop {
                tokio::time::sleep(std::mem::replace(&mut wait, LOOK)).await;
                let (folder, ledger, now) = (folder.clone(), Arc::clone(&ledger), clock.now());
                let done = tokio::task::spawn_blocking(move || back_up(&folder, &ledger, now)).await;
                let ended = |error| Err(Failure::bug("backups", format!("copying the ledger ended: {error}")));
                if let Err(failure) = done.unwrap_or_else(ended) {
                    // The import itself is none the worse for it; a damaged ledger is told by name.
                    tracing::error!(code = failure.code, reason = %failure, "the ledger could not be copied");
                }
            }
        }))
    }
}

impl Drop for Backups {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes the copy of the day, unless it is there.
fn back_up(folder: &Path, ledger: &SqliteLedger, now: Timestamp) -> Result<(), Failure> {
    super::make_folder(folder)?;
    let copy = folder.join(name_of(now));
    if copy.exists() {
        return Ok(());
    }
    ledger.snapshot(&copy)?;
    tracing::info!(copy = %copy.display(), "ledger copied");
    prune(folder)
        .map_err(|error| Failure::transient("backups", format!("old copies of the ledger cannot be removed: {error}")))
}

fn name_of(now: Timestamp) -> String {
    format!("ledger-{}.sqlite3", now.to_zoned(TimeZone::UTC).date())
}

/// Removes all copies but the newest.
fn prune(folder: &Path) -> std::io::Result<()> {
    let mut copies: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("ledger-") && name.ends_with(".sqlite3")
        })
        .collect();
    // Names sort by day.
    copies.sort();
    let old = copies.len().saturating_sub(KEPT);
    copies[..old].iter().try_for_each(std::fs::remove_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_copy_a_day_and_the_last_seven_are_kept() {
        let home = tempfile::tempdir().expect("a folder");
        let ledger = SqliteLedger::open(home.path()).expect("a ledger");
        let folder = home.path().join(FOLDER);
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join("notes.txt"), "not ours").expect("a file");
        for hour in 0..24 * 10 {
            let now = Timestamp::from_second(1_700_000_000 + hour * 3_600).expect("in range");
            back_up(&folder, &ledger, now).expect("copies");
        }
        let mut names: Vec<String> = std::fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names.len(), KEPT + 1);
        assert_eq!((names[0].as_str(), names[6].as_str()), ("ledger-2023-11-18.sqlite3", "ledger-2023-11-24.sqlite3"));
    }
}
