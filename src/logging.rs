//! Log lines: one event a line, for people or as JSON, on standard error.

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::settings::{Log, LogFormat};

/// Starts logging for the whole process. `RUST_LOG` overrides the configured level, library by library. A second call
/// changes nothing.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(log.level)));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(BoxMakeWriter::new(std::io::stderr))
        .with_target(false);
    // An error means that logging was started before, which tests in one process do.
    let _ = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Human => {
            builder.compact().with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
    };
}

/// Our own crates at the configured level. Libraries log at `debug` what would drown it, the AWS SDK at `trace` what
/// nobody may read, and s3s every refused request of a devcloud as an error, which is the client's to tell.
fn directives(level: Level) -> String {
    let ours = level.as_str().to_ascii_lowercase();
    let mut directives = String::from("warn,s3s=off");
    for name in CRATES {
        directives += &format!(",{name}={ours}");
    }
    directives
}

const CRATES: [&str; 8] = [
    "s3_connector",
    "connector_actors",
    "connector_core",
    "connector_decode",
    "connector_delta",
    "connector_devcloud",
    "connector_ledger",
    "connector_s3",
];
