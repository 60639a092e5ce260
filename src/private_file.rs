//! Random secrets in files that only their owner can read.
//!
//! A secret lives as long as the data directory, so that what depends on it keeps working over a restart; deleting the
//! file and starting again makes another one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use connector_core::secret::Secret;

/// 256 bits, in hex.
pub const HEX_DIGITS: usize = 64;

/// Reads the secret in `directory/name`, or makes one. A file that others could have read, or that holds no secret, is
/// replaced.
///
/// # Errors
/// If the file cannot be read or written, or the system gives no random bytes.
pub fn load_or_create(directory: &Path, name: &str) -> io::Result<Secret> {
    let path = directory.join(name);
    if let Some(secret) = read(&path)? {
        return Ok(Secret::new(secret));
    }
    let secret = random_hex()?;
    write(directory, &path, &secret)?;
    Ok(Secret::new(secret))
}

/// Reads the secret in `directory/name`.
///
/// # Errors
/// If there is none, it cannot be read, or others could have read it.
pub fn load(directory: &Path, name: &str) -> io::Result<Secret> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no secret that only its owner can read");
    read(&directory.join(name))?.map(Secret::new).ok_or_else(missing)
}

/// The stored secret, if there is one that nobody else could have read.
fn read(path: &Path) -> io::Result<Option<String>> {
    let facts = match fs::symlink_metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let private = facts.is_file() && facts.permissions().mode() & 0o077 == 0 && facts.len() <= 2 * HEX_DIGITS as u64;
    if !private {
        let mode = format!("{:o}", facts.mode());
        tracing::warn!(path = %path.display(), mode, "secret ignored: it was not in a private file");
        return Ok(None);
    }
    let text = fs::read(path)?;
    let secret = text.trim_ascii();
    let well_formed = secret.len() == HEX_DIGITS && secret.iter().all(u8::is_ascii_hexdigit);
    Ok(well_formed.then(|| String::from_utf8_lossy(secret).into_owned()))
}

/// Writes beside the file and renames, so that the file is never there half-written or, for a moment, readable.
fn write(directory: &Path, path: &Path, secret: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(directory)?.sync_all()
}

fn random_hex() -> io::Result<String> {
    let mut bytes = [0; HEX_DIGITS / 2];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
