//! Why devcloud could not be started. What goes wrong later is answered to the client as an S3 or STS error.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use connector_core::error::{ErrorClass, Failure};

/// Why [`crate::DevCloud::start`] refused.
#[derive(Debug, thiserror::Error)]
pub enum DevCloudError {
    /// The listen address can be reached from other machines. devcloud speaks plain HTTP, so it never is.
    #[error(
        "devcloud may not listen on {address}, which other machines can reach: use a loopback address such as 127.0.0.1:0"
    )]
    NotLoopback { address: SocketAddr },
    /// The folder cannot be used.
    #[error("devcloud cannot serve the folder {}: {source}; create it or name another one", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    /// The port is taken or not allowed.
    #[error("devcloud cannot listen on {address}: {source}; choose another port, or port 0 for a free one")]
    Listen { address: SocketAddr, source: io::Error },
    /// The table of users and roles contradicts itself.
    #[error("devcloud's {what} {value:?} is not usable: {why}")]
    Config { what: &'static str, value: String, why: &'static str },
}

impl DevCloudError {
    /// What has to happen for the error to go away: all of them need the user.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }

    /// A bounded label.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotLoopback { .. } => "devcloud_not_loopback",
            Self::Folder { .. } => "devcloud_folder",
            Self::Listen { .. } => "devcloud_listen",
            Self::Config { .. } => "devcloud_config",
        }
    }
}

impl From<DevCloudError> for Failure {
    fn from(error: DevCloudError) -> Self {
        Self::new(error.class(), error.code(), error.to_string())
    }
}
