//! `completions`: what a shell needs to complete verbs, flags and their values.

use std::process::ExitCode;

use clap::Args;
use clap_complete::{Shell, generate};

use super::{VerbResult, command, output};

/// Print the completions of verbs and flags for a shell
#[derive(Args)]
#[command(after_help = "\
Where they go:
  bash        ~/.local/share/bash-completion/completions/s3-connector
  zsh         _s3-connector in a folder of $fpath, such as ~/.zfunc; then run compinit
  fish        ~/.config/fish/completions/s3-connector.fish
  elvish      at the end of ~/.config/elvish/rc.elv
  powershell  at the end of the file that $PROFILE names

They take effect in the next shell. There is no --json: what is printed is the script.

Examples:
  s3-connector completions bash > ~/.local/share/bash-completion/completions/s3-connector
  s3-connector completions zsh > ~/.zfunc/_s3-connector
  s3-connector completions fish > ~/.config/fish/completions/s3-connector.fish")]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn execute(self) -> VerbResult {
        let mut script = Vec::new();
        generate(self.shell, &mut command(), "s3-connector", &mut script);
        output::line(String::from_utf8_lossy(&script).trim_end());
        Ok(ExitCode::SUCCESS)
    }
}
