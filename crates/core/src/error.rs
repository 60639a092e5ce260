//! Error classes. An error's class is its remedy; its code is a bounded label; its message is for people.

use std::fmt;

use serde::Serialize;

/// What has to happen for the error to go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The user must act: edit a file, a role, a table. The import is `Failed` until then.
    Config,
    /// This file or row is bad. It is set aside, and everything else goes on.
    Data,
    /// The network, throttling, a busy disk. Retried in place with backoff.
    Transient,
    /// Another writer owns this import. Recovered once, then `Failed`.
    Fenced,
    /// A broken invariant or a panic. The generation is restarted; five in ten minutes, then `Failed`.
    Bug,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "config",
            Self::Data => "data",
            Self::Transient => "transient",
            Self::Fenced => "fenced",
            Self::Bug => "bug",
        })
    }
}

/// An error as it travels between rooms: class, code and message. Adapters turn their own error enum into this one.
///
/// The message is lower-case, has no full stop, names bucket and key where there is one, and never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub class: ErrorClass,
    /// A bounded label, such as `access_denied`.
    pub code: &'static str,
    pub message: String,
}

impl Failure {
    pub fn new(class: ErrorClass, code: &'static str, message: impl Into<String>) -> Self {
        Self { class, code, message: message.into() }
    }

    pub fn config(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Config, code, message)
    }

    pub fn data(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Data, code, message)
    }

    pub fn transient(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, code, message)
    }

    pub fn fenced(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Fenced, code, message)
    }

    pub fn bug(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Bug, code, message)
    }
}
