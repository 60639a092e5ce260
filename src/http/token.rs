//! The API token: a file in the data directory that only its owner can read.
//!
//! Whoever can read the file may command the program; nobody else on the machine may. The token lives as long as the
//! data directory, so that commands and scripts keep working over a restart; deleting the file and starting again
//! makes another one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use connector_core::secret::Secret;
use subtle::ConstantTimeEq;

use super::HttpError;

/// The name of the file in the data directory.
const FILE_NAME: &str = "api-token";
/// 256 bits, in hex.
const HEX_DIGITS: usize = 64;

/// What unsafe requests must carry.
#[derive(Clone, Debug)]
pub struct ApiToken(Secret);

impl ApiToken {
    /// Reads the token of this data directory, or makes one. A file that others could have read, or that holds no
    /// token, is replaced.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn load_or_create(data_directory: &Path) -> Result<Self, HttpError> {
        let path = data_directory.join(FILE_NAME);
        let failed = |action| {
            let path = path.clone();
            move |cause| HttpError::Token { action, path, cause }
        };
        if let Some(token) = read(&path).map_err(failed("read"))? {
            return Ok(Self(Secret::new(token)));
        }
        let token = random_hex()?;
        write(data_directory, &path, &token).map_err(failed("write"))?;
        Ok(Self(Secret::new(token)))
    }

    /// Compares without telling by its duration how much of the candidate is right.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        self.0.expose().as_bytes().ct_eq(candidate).into()
    }
}

/// The stored token, if there is one that nobody else could have read.
fn read(path: &Path) -> io::Result<Option<String>> {
    let facts = match fs::symlink_metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let private = facts.is_file() && facts.permissions().mode() & 0o077 == 0 && facts.len() <= 2 * HEX_DIGITS as u64;
    if !private {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", facts.mode()), "api token replaced: it was not a private file");
        return Ok(None);
    }
    let text = fs::read(path)?;
    let token = text.trim_ascii();
    let well_formed = token.len() == HEX_DIGITS && token.iter().all(u8::is_ascii_hexdigit);
    Ok(well_formed.then(|| String::from_utf8_lossy(token).into_owned()))
}

/// Writes beside the file and renames, so that the file is never there half-written or, for a moment, readable.
fn write(directory: &Path, path: &Path, token: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(directory)?.sync_all()
}

fn random_hex() -> Result<String, HttpError> {
    let mut bytes = [0; HEX_DIGITS / 2];
    getrandom::fill(&mut bytes).map_err(HttpError::Random)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
