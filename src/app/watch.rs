//! Follows the configuration folder: what is saved there takes effect within seconds.
//!
//! The folder is read every two seconds rather than watched by the operating system: that also works where it is a
//! mounted volume, and where files are replaced by links, as Kubernetes does.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connector_core::error::ErrorClass;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::live::Live;
use crate::config::folder::SUBFOLDERS;

const PACE: Duration = Duration::from_secs(2);
/// Until the same files are tried again, if it was a network or a disk that kept them from being taken.
const AGAIN: Duration = Duration::from_secs(15);
/// Folders deeper than this are not looked into, as when the configuration is loaded.
const MAX_DEPTH: usize = 8;

/// Follows for as long as it lives.
pub struct Watch(JoinHandle<()>);

impl Watch {
    pub fn start(live: Arc<Live>, folder: PathBuf, io: &Handle) -> Self {
        Self(io.spawn(async move {
            let mut follower = Follower::default();
            let mut pace = tokio::time::interval(PACE);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                pace.tick().await;
                let folder = folder.clone();
                let Ok(now) = tokio::task::spawn_blocking(move || fingerprint(&folder)).await else { continue };
                if follower.has_changed(now, live.taken()) {
                    // Whatever comes of it is told; the same files are not tried again.
                    let result = live.reload(&[], false).await;
                    if result.is_err_and(|failure| failure.class == ErrorClass::Transient) {
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells when to load: once the files have changed and have then stayed as they are from one look to the next, so that
/// an edit of several files is not taken half.
#[derive(Default)]
struct Follower {
    last: u64,
}

impl Follower {
    /// `taken`: what was loaded, or refused, last, by whomever; `None` if that was not for what the files say.
    fn has_changed(&mut self, now: u64, taken: Option<u64>) -> bool {
        let settled = std::mem::replace(&mut self.last, now) == now;
        settled && taken != Some(now)
    }
}

/// Stands for the names and contents of all files of a configuration folder. What cannot be read counts as its name.
pub fn fingerprint(folder: &Path) -> u64 {
    let mut files = Vec::new();
    // As when the configuration is loaded: the folder may be the current one, where the data directory lies, too.
    collect(folder, MAX_DEPTH, &mut files);
    SUBFOLDERS.iter().for_each(|name| collect(&folder.join(name), 0, &mut files));
    files.sort();
    let mut hasher = DefaultHasher::new();
    for path in files {
        path.hash(&mut hasher);
        std::fs::read(&path).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        let ours = ["connection", "datasource", "toml", "incl"]
            .iter()
            .any(|known| path.extension().is_some_and(|extension| extension == *known));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth < MAX_DEPTH {
                collect(&path, depth + 1, files);
            }
        } else if ours {
            files.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_once_and_only_when_it_has_settled() {
        let mut follower = Follower::default();
        assert!(!follower.has_changed(1, Some(1)));
        assert!(!follower.has_changed(2, Some(1)), "somebody may still be writing");
        assert!(!follower.has_changed(3, Some(1)));
        assert!(follower.has_changed(3, Some(1)));
        assert!(!follower.has_changed(3, Some(3)), "taken or refused: the same files are not tried again");
        assert!(!follower.has_changed(2, Some(3)));
        assert!(!follower.has_changed(3, Some(3)), "back to what was taken");
        assert!(follower.has_changed(3, Some(4)), "back to what was there before somebody else had another one taken");
        assert!(follower.has_changed(3, None), "a network failed");
    }

    #[test]
    fn contents_and_names_count_and_hidden_and_foreign_files_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("datasources")).expect("made");
        std::fs::write(at("datasources/a.datasource"), "x").expect("written");
        let mut seen = vec![fingerprint(folder.path())];
        let mut differs = || {
            let now = fingerprint(folder.path());
            let new = !seen.contains(&now);
            seen.push(now);
            new
        };
        std::fs::write(at("datasources/.a.datasource.swp"), "x").expect("written");
        std::fs::write(at("notes.txt"), "x").expect("written");
        std::fs::create_dir(at("elsewhere")).expect("made");
        std::fs::write(at("elsewhere/c.datasource"), "x").expect("written");
        assert!(!differs());
        std::fs::write(at("c.datasource"), "x").expect("written");
        assert!(differs());
        std::fs::write(at("datasources/a.datasource"), "y").expect("written");
        assert!(differs());
        std::fs::rename(at("datasources/a.datasource"), at("datasources/b.datasource")).expect("renamed");
        assert!(differs());
        std::fs::write(at("s3-connector.toml"), "").expect("written");
        assert!(differs());
    }
}
