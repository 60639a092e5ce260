//! The API token: a file in the data directory that only its owner can read.
//!
//! Whoever can read the file may command the program; nobody else on the machine may. The token lives as long as the
//! data directory, so that commands and scripts keep working over a restart; deleting the file and starting again
//! makes another one.

use std::path::Path;

use connector_core::secret::Secret;
use subtle::ConstantTimeEq;

use super::HttpError;
use crate::private_file;

/// The name of the file in the data directory.
pub const FILE_NAME: &str = "api-token";

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
        match private_file::load_or_create(data_directory, FILE_NAME) {
            Ok(secret) => Ok(Self(secret)),
            Err(cause) => Err(HttpError::Token { path: data_directory.join(FILE_NAME), cause }),
        }
    }

    /// Compares without telling by its duration how much of the candidate is right.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        self.0.expose().as_bytes().ct_eq(candidate).into()
    }
}
