//! Builds `shim.c` and starts programs under it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The library. Without a C compiler the test says loudly that it did not run; where `CI` is set, that is a failure.
pub fn library(test: &str) -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_loss/shim.c");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let arguments = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o"];
        let output =
            Command::new(compiler).args(arguments).arg(&target).arg(source).args(["-ldl", "-lpthread"]).output();
        let output = output.ok()?;
        assert!(output.status.success(), "shim.c: {}", String::from_utf8_lossy(&output.stderr));
        // Another process may be using the last one.
        let built = target.with_file_name("shim.so");
        std::fs::rename(&target, &built).expect("the library");
        Some(built)
    });
    if built.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{test} needs a C compiler: install cc, or set CC");
        // Straight to the terminal: the test harness shows nothing of tests that pass.
        let _ = writeln!(std::io::stderr(), "NOT RUN: {test}: there is no C compiler; install cc, or set CC");
    }
    built.as_deref()
}

/// What a program under the shim is to live through.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// Where every change below the root is written down.
    pub trace: Option<PathBuf>,
    /// The first sync of a path like this fails; the file says that it has.
    pub fail_fsync: Option<(String, PathBuf)>,
    /// While the file exists, only so many bytes more can be written to paths like this.
    pub full: Option<(String, u64, PathBuf)>,
}

/// Puts a program under the shim, for what happens below `root`.
pub fn under<'a>(command: &'a mut Command, library: &Path, root: &Path, fate: &Fate) -> &'a mut Command {
    command.env("LD_PRELOAD", library).env("SHIM_ROOT", root);
    if let Some(trace) = &fate.trace {
        command.env("SHIM_TRACE", trace);
    }
    if let Some((pattern, mark)) = &fate.fail_fsync {
        command.env("SHIM_FAIL_FSYNC", pattern).env("SHIM_FAIL_FSYNC_MARK", mark);
    }
    if let Some((pattern, after, switch)) = &fate.full {
        command.env("SHIM_FULL", pattern).env("SHIM_FULL_AFTER", after.to_string()).env("SHIM_FULL_SWITCH", switch);
    }
    command
}
