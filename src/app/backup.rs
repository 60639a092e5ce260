//! A copy of the ledger once a day, in `backups/` of the data directory; the last seven are kept.

use std::path::Path;
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
/// What is left of an attempt at a copy is removed when it is older.
const STALE: Duration = Duration::from_secs(24 * 3_600);
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
    prune(folder, &copy)
        .map_err(|error| Failure::transient("backups", format!("old copies of the ledger cannot be removed: {error}")))
}

fn name_of(now: Timestamp) -> String {
    format!("ledger-{}.sqlite3", now.to_zoned(TimeZone::UTC).date())
}

/// Removes all copies but those made last, of which `made` is one; and what attempts at one have left.
fn prune(folder: &Path, made: &Path) -> std::io::Result<()> {
    let written = made.metadata()?.modified()?;
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let (path, modified) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?.modified()?)))?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("ledger-") {
            continue;
        }
        if name.ends_with(".sqlite3") && path != made {
            copies.push((modified <= written, modified, path));
        } else if name.ends_with(".partial") && written.duration_since(modified).is_ok_and(|age| age > STALE) {
            std::fs::remove_file(&path)?;
        }
    }
    // Those of a clock that was ahead go first, made and named on days that have not come yet: they would push out every
    // copy of a day that has.
    copies.sort();
    let old = copies.len().saturating_sub(KEPT - 1);
    copies[..old].iter().try_for_each(|(_, _, path)| std::fs::remove_file(path))
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
    #[test]
    fn copies_of_days_to_come_give_way_to_the_one_of_today_and_half_copies_go() {
        let home = tempfile::tempdir().expect("a folder");
        let ledger = SqliteLedger::open(home.path()).expect("a ledger");
        let folder = home.path().join(FOLDER);
        std::fs::create_dir(&folder).expect("a folder");
        let day = |day: i64| Timestamp::from_second(1_700_000_000 + day * 86_400).expect("in range");
        // A clock that was years ahead, for a week and longer.
        for ahead in 20_000..20_009 {
            back_up(&folder, &ledger, day(ahead)).expect("copies");
            let copy = std::fs::File::options().append(true).open(folder.join(name_of(day(ahead)))).expect("opens");
            copy.set_modified(std::time::SystemTime::from(day(ahead))).expect("sets");
        }
        let partial = |name: &str, age: u64| {
            let file = std::fs::File::create(folder.join(name)).expect("a file");
            let now = folder.metadata().and_then(|folder| folder.modified()).expect("a time");
            file.set_modified(now - Duration::from_secs(age)).expect("sets");
        };
        partial("ledger-2023-11-14.partial", 25 * 3_600);
        partial("ledger-2023-11-13.sqlite3.partial", 3_600);
        for today in 0..3 {
            back_up(&folder, &ledger, day(today)).expect("copies");
            let copy = folder.join(name_of(day(today)));
            let made = copy.metadata().and_then(|copy| copy.modified()).expect("the copy is there");
            back_up(&folder, &ledger, day(today)).expect("copies");
            assert_eq!(copy.metadata().and_then(|copy| copy.modified()).expect("there"), made, "it was made again");
        }
        let ends = |end: &str| {
            let names = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
            names.filter(|name| name.to_string_lossy().ends_with(end)).count()
        };
        assert_eq!((ends(".sqlite3"), ends(".partial")), (KEPT, 1));
        assert!(folder.join(name_of(day(0))).exists(), "the copies of the right clock are the youngest");
    }
}
