//! Where `tb_secret("NAME")` finds its value: the environment, else a file of that name in the secrets folder.
//!
//! The folder is what Docker, Podman and Kubernetes mount secrets into, one file for each. Such files are often readable
//! by everybody in the container, so that is no reason to refuse one; that somebody else could have written it is.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use connector_core::secret::Secret;
use connector_datafile::Diagnostic;

/// Where containers find their secrets.
pub const DEFAULT_FOLDER: &str = "/run/secrets";
/// A larger file is no secret.
const MAX_BYTES: u64 = 64 << 10;

/// Looks secrets up, and remembers what was wrong with those that are there and cannot be used.
pub struct SecretStore<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    folder: PathBuf,
    problems: RefCell<Vec<Diagnostic>>,
}

impl<'a> SecretStore<'a> {
    pub fn new(variable: &'a dyn Fn(&str) -> Option<String>, folder: PathBuf) -> Self {
        Self { variable, folder, problems: RefCell::default() }
    }

    /// The secret of this name.
    pub fn lookup(&self, name: &str) -> Option<Secret> {
        if let Some(value) = (self.variable)(name) {
            return Some(Secret::new(value));
        }
        match read(&self.folder.join(name)) {
            Ok(secret) => secret,
            Err(why) => {
                let path = self.folder.join(name);
                let message = format!("the secret '{name}' cannot be taken from {}: {why}", path.display());
                let diagnostic = Diagnostic::error("bad_secret_file", message);
                let hint = "a secret is a small UTF-8 file that only its owner may write (chmod 600)";
                let mut problems = self.problems.borrow_mut();
                if !problems.iter().any(|known| known.message == diagnostic.message) {
                    problems.push(diagnostic.hint(hint));
                }
                None
            }
        }
    }

    /// What was wrong so far.
    pub fn problems(self) -> Vec<Diagnostic> {
        self.problems.into_inner()
    }
}

/// The text of a secret's file without the newline at its end; `None` if there is no such file.
///
/// # Errors
/// Why it is not used. Never a part of it.
pub fn read(path: &Path) -> Result<Option<Secret>, String> {
    let facts = match std::fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // Where the folder is a file, there is nothing either.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    if !facts.is_file() {
        return Err("it is not a file".to_owned());
    }
    if facts.mode() & 0o022 != 0 {
        return Err(format!("others than its owner may write it (mode {:03o})", facts.mode() & 0o777));
    }
    if facts.len() > MAX_BYTES {
        return Err(format!("it has {} bytes, more than {MAX_BYTES}", facts.len()));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(Some(Secret::new(text))) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(folder: &Path, name: &str, bytes: &[u8], mode: u32) {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("rights");
    }

    #[test]
    fn a_variable_comes_before_a_file_and_one_newline_is_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in [("A", &b"from a file"[..]), ("B", b" two lines\n\n"), ("C", b"windows\r\n")] {
            file(folder.path(), name, bytes, 0o444);
        }
        let variable = |name: &str| (name == "A").then(|| "from the environment".to_owned());
        let store = SecretStore::new(&variable, folder.path().to_owned());
        let value = |name: &str| store.lookup(name).map(|secret| secret.expose().to_owned());
        assert_eq!(value("A").as_deref(), Some("from the environment"));
        assert_eq!(value("B").as_deref(), Some(" two lines\n"));
        assert_eq!(value("C").as_deref(), Some("windows"));
        assert_eq!(value("D"), None);
        assert_eq!(store.problems(), []);
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        file(folder.path(), "OPEN", b"canary", 0o666);
        file(folder.path(), "GROUP", b"canary", 0o620);
        file(folder.path(), "BYTES", b"canary\xff", 0o600);
        file(folder.path(), "EMPTY", b"\n", 0o600);
        file(folder.path(), "LARGE", &vec![b'c'; 70_000], 0o600);
        std::fs::create_dir(folder.path().join("FOLDER")).expect("a folder");
        let store = SecretStore::new(&|_| None, folder.path().to_owned());
        for name in ["OPEN", "GROUP", "BYTES", "EMPTY", "LARGE", "FOLDER", "..", "OPEN"] {
            assert!(store.lookup(name).is_none(), "{name}");
        }
        let problems = store.problems();
        assert_eq!(problems.len(), 7, "each once: {problems:?}");
        let told: String = problems.iter().map(|problem| problem.message.clone()).collect();
        assert!(told.contains("mode 666") && told.contains("not UTF-8") && !told.contains("canary"), "{told}");
    }

    #[test]
    fn a_folder_that_is_not_there_has_no_secrets() {
        let store = SecretStore::new(&|_| None, PathBuf::from("/nowhere/at/all"));
        assert!(store.lookup("A").is_none());
        assert_eq!(store.problems(), []);
    }
}
