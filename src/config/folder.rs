//! Which folder is the configuration, if nobody says: `config/`, or the current folder of a project that has its
//! datafiles there, as those that were made for other programs do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::project::SETTINGS_FILE;

/// The name of the folder where configuration is expected.
pub const DEFAULT_FOLDER: &str = "config";
/// Where datafiles lie in a folder: in itself, and below these.
pub const SUBFOLDERS: [&str; 2] = ["connections", "datasources"];
/// What the names of datafiles end with.
const SUFFIXES: [&str; 2] = ["connection", "datasource"];
/// As deep as a configuration is looked for when it is loaded.
const MAX_DEPTH: usize = 8;

/// The folder that was named, or, if none was, `.` where the current folder holds the configuration itself, else
/// `config`, whether or not it is there. Relative to the current folder.
pub fn named_or_found(named: OsString) -> PathBuf {
    if named.is_empty() { PathBuf::from(found(Path::new("."))) } else { PathBuf::from(named) }
}

/// A `config` folder wins, so that files that lie about change nothing for those who have one.
fn found(current: &Path) -> &'static str {
    if !current.join(DEFAULT_FOLDER).is_dir() && is_configuration(current) { "." } else { DEFAULT_FOLDER }
}

fn is_configuration(folder: &Path) -> bool {
    folder.join(SETTINGS_FILE).is_file()
        || holds_datafiles(folder, 0)
        || SUBFOLDERS.iter().any(|name| holds_datafiles(&folder.join(name), MAX_DEPTH))
}

/// Whether a folder has a datafile, in itself or so many folders below. Hidden ones do not count.
fn holds_datafiles(folder: &Path, depth: usize) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.filter_map(|entry| Some(entry.ok()?.path())).any(|path| {
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        match path.is_dir() {
            _ if hidden => false,
            true => depth > 0 && holds_datafiles(&path, depth - 1),
            false => path.extension().is_some_and(|end| SUFFIXES.iter().any(|suffix| end == *suffix)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[&str]) -> &'static str {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, "").expect("a file");
        }
        found(folder.path())
    }

    #[test]
    fn the_current_folder_is_the_configuration_only_if_it_holds_one_and_no_config_folder() {
        let here: [&[&str]; 6] = [
            &["shop.connection"],
            &["orders.datasource"],
            &["connections/shop.connection"],
            &["datasources/eu/shop/orders.datasource"],
            &["s3-connector.toml"],
            &["orders.datasource", "configuration/x"],
        ];
        here.iter().for_each(|files| assert_eq!(of(files), ".", "{files:?}"));
        let there: [&[&str]; 6] = [
            &[],
            &["readme.md", "data/x.csv"],
            &["orders.datasource", "config/s3-connector.toml"],
            &["deep/orders.datasource"],
            &[".hidden.datasource"],
            &["datasources/.hidden/orders.datasource"],
        ];
        there.iter().for_each(|files| assert_eq!(of(files), "config", "{files:?}"));
    }

    #[test]
    fn a_folder_that_is_named_is_taken_as_it_is() {
        assert_eq!(named_or_found("config".into()), Path::new("config"));
        assert_eq!(named_or_found("elsewhere/".into()), Path::new("elsewhere/"));
    }
}
