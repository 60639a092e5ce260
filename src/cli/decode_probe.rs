//! `decode-probe`: decodes one suspect file for the program that started it. Not for people.

use std::process::ExitCode;

use clap::Args;

use super::{VerbResult, output};
use crate::probe::child;

/// The child did not get as far as the file: that tells nothing of the file.
const NOT_BEGUN: u8 = 70;

/// Decode the file on standard input and drop its rows; used by the program itself, to which standard output is a socket.
#[derive(Args)]
pub struct DecodeProbe {}

impl DecodeProbe {
    pub fn execute(self) -> VerbResult {
        match child::run() {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(reason) => {
                output::error(&reason);
                Ok(ExitCode::from(NOT_BEGUN))
            }
        }
    }
}
