//! Log lines: one event a line, for people or as JSON, on standard error.

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::settings::{Log, LogFormat};

/// Starts logging for the whole process. `RUST_LOG` overrides the configured level, library by library, but for what
/// `may_be_read` holds back. A second call changes nothing.
pub fn start(log: &Log) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(log.level)));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(BoxMakeWriter::new(std::io::stderr))
        // It would print the error to where writing has just failed, and panic: nobody reads a log whose pipe is closed.
        .log_internal_errors(false)
        .with_target(false);
    // An error means that logging was started before, which tests in one process do.
    let _ = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).finish().with(FilterFn::new(may_be_read)).try_init(),
        LogFormat::Human => {
            let coloured = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.compact().with_ansi(coloured).finish().with(FilterFn::new(may_be_read)).try_init()
        }
    };
}

/// Nothing that libraries say at `trace`, whatever `RUST_LOG` asks for: the AWS SDK tells the whole body of a refusal
/// there, and S3 repeats in it the session token, or the very text that was signed.
fn may_be_read(metadata: &Metadata<'_>) -> bool {
    let name = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::DEBUG || CRATES.contains(&name)
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
