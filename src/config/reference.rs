//! What there is to say of every key of `s3-connector.toml`. The table of `docs/configuration.md` is made from it.

use std::fmt::Write;

use super::settings::KEYS;
use super::toml::variable_name;

/// One key of the settings.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Empty at the top level.
    pub section: &'static str,
    pub key: &'static str,
    /// What its value is.
    pub kind: &'static str,
    /// For people, as Markdown.
    pub default: &'static str,
    /// The default as TOML has it, if it is the same on every machine: writing it changes nothing.
    pub written: Option<&'static str>,
    /// What it does, as Markdown.
    pub about: &'static str,
}

/// Beginning and end of the part of the page that is made from here.
const BEGIN: &str = "<!-- settings: made from the program by src/config/reference.rs; after a change make it again:
     UPDATE_DOCS=1 cargo test -p s3-connector --test it reference -->";
const END: &str = "<!-- end of settings -->";

const fn setting(
    (section, key): (&'static str, &'static str),
    kind: &'static str,
    default: &'static str,
    written: Option<&'static str>,
    about: &'static str,
) -> Setting {
    Setting { section, key, kind, default, written, about }
}

/// Every key, in the order of the page.
pub const SETTINGS: &[Setting] = &[
    setting(
        ("", "data_dir"),
        "path",
        "`data`",
        Some("\"data\""),
        "the data directory: ledger, secrets and, unless said otherwise, tables. Relative paths start from the directory in which the program is started, not from the configuration folder",
    ),
    setting(
        ("", "secrets_dir"),
        "path",
        "`/run/secrets`",
        Some("\"/run/secrets\""),
        "the folder in which `tb_secret` looks for what the environment lacks: see [secrets](#secrets)",
    ),
    setting(
        ("listen", "metrics"),
        "address and port",
        "`127.0.0.1:9464`",
        Some("\"127.0.0.1:9464\""),
        "where metrics and health are; read-only. A host name is not accepted; port 0 takes any free port",
    ),
    setting(
        ("listen", "api"),
        "address and port",
        "`127.0.0.1:9465`",
        Some("\"127.0.0.1:9465\""),
        "where the API is. Keep it on loopback",
    ),
    setting(
        ("aws", "access_key_id"),
        "reference",
        "none: the default AWS chain",
        None,
        "who calls `sts:AssumeRole`, together with `aws.secret_access_key`: both or neither, and by reference only",
    ),
    setting(
        ("aws", "secret_access_key"),
        "reference",
        "none: the default AWS chain",
        None,
        "the secret that belongs to it; by reference only",
    ),
    setting(
        ("aws", "session_token"),
        "reference",
        "none",
        None,
        "the session token that belongs to temporary keys; by reference only",
    ),
    setting(("aws", "region"), "region", "none", None, "the region of connections that name none"),
    setting(
        ("aws", "sts_endpoint"),
        "endpoint",
        "STS of the region",
        None,
        "another STS endpoint: scheme, host and port",
    ),
    setting(
        ("destination", "uri"),
        "path or URI",
        "`tables` in the data directory",
        None,
        "where each data source becomes a Delta table: a folder, as a path or `file:///…`, or a prefix of a bucket, `s3://my-lake/tables`. Neither may contain `%`. A prefix that a data source watches is refused",
    ),
    setting(
        ("destination", "connection"),
        "name",
        "none",
        None,
        "with `s3://…`, and only then: the name of the connection whose role [writes the tables](operations.md#tables-on-s3). It is used for nothing else, unless a data source names it, too",
    ),
    setting(
        ("limits", "files_per_tick"),
        "1 to 1,000",
        "5",
        Some("5"),
        "files that one import may claim in one tick of `@auto`",
    ),
    setting(
        ("limits", "tick"),
        "duration",
        "`60s`",
        Some("\"60s\""),
        "the period of `@auto`: a whole number of `ms`, `s`, `m` or `h`, from 100ms to 24h",
    ),
    setting(
        ("limits", "memory"),
        "size",
        "`512MiB`",
        Some("\"512MiB\""),
        "the memory budget for rows on their way, at least 32MiB. Units are `KiB`, `MiB`, `GiB` (powers of two), `kB`, `MB`, `GB` (powers of ten), or plain bytes",
    ),
    setting(
        ("limits", "threads"),
        "1 to 1,024",
        "one for each core",
        None,
        "threads that decode and encode. Imports share as many threads for coordination",
    ),
    setting(
        ("limits", "max_columns"),
        "1 to 10,000",
        "2,000",
        Some("2000"),
        "columns that a table may have: a file that would add more goes to quarantine",
    ),
    setting(
        ("limits", "guard_rows"),
        "whole number",
        "10,000",
        Some("10000"),
        "an import is paused, and nothing of the batch is stored, if more than half of the batch's rows are bad and they are at least so many. Files that do not fit at all are not among them: they have the next two limits",
    ),
    setting(
        ("limits", "guard_files"),
        "whole number",
        "3",
        Some("3"),
        "an import is paused, and nothing of the batch is stored, if at least so many files in a row, with at least `limits.guard_bytes` together, do not fit the table at all",
    ),
    setting(("limits", "guard_bytes"), "size", "`1GiB`", Some("\"1GiB\""), "see `limits.guard_files`"),
    setting(
        ("limits", "retention"),
        "duration",
        "`168h`",
        Some("\"168h\""),
        "data files that no version of a table refers to any more, and log entries that a checkpoint covers, are removed once they are this old; at least `1h`",
    ),
    setting(
        ("log", "format"),
        "`human` or `json`",
        "`human`",
        Some("\"human\""),
        "one event a line, on standard error",
    ),
    setting(
        ("log", "level"),
        "level",
        "`info`",
        Some("\"info\""),
        "`error`, `warn`, `info`, `debug` or `trace`. The variable `RUST_LOG` overrides it, library by library; `trace` is for our own only, since others tell secrets there",
    ),
];

/// Keys that the program reads and this page lacks, and keys that this page has and nothing reads: none of both.
pub fn differences() -> Vec<String> {
    let described = |pair: &(&str, &str)| SETTINGS.iter().any(|one| (one.section, one.key) == *pair);
    let missing = KEYS.iter().filter(|pair| !described(pair)).map(|pair| format!("{pair:?} is not described"));
    let read = |one: &&Setting| !KEYS.contains(&(one.section, one.key));
    let extra = SETTINGS.iter().filter(read).map(|one| format!("nothing reads {}.{}", one.section, one.key));
    missing.chain(extra).collect()
}

/// The table of the settings, as Markdown, with its marks around it.
pub fn markdown() -> String {
    let mut text = format!("{BEGIN}\n\n| key | value | default | what it is | variable |\n|---|---|---|---|---|\n");
    for Setting { section, key, kind, default, about, .. } in SETTINGS {
        let dotted = if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") };
        let variable = variable_name(section, key);
        let _ = writeln!(text, "| `{dotted}` | {kind} | {default} | {about} | `{variable}` |");
    }
    text + "\n" + END
}

/// The page with its table made anew; `None` if the page lacks the marks.
pub fn renewed(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{}{after}", markdown()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use connector_core::error::Failure;
    use connector_core::secret::Secret;
    use connector_datafile::SourceFile;

    use super::*;
    use crate::config::Surroundings;
    use crate::config::settings::{Settings, parse};

    fn settings(text: &str) -> Settings {
        let instance_secret = |_: &Path| Ok::<_, Failure>(Secret::new("secret"));
        let around =
            Surroundings { variable: &|_| None, current_dir: Path::new("/here"), instance_secret: &instance_secret };
        let (settings, problems) = parse(&SourceFile::new("s3-connector.toml", text), &around);
        assert_eq!(problems, [], "{text}");
        settings
    }

    #[test]
    fn every_key_is_described_and_every_default_is_the_one() {
        assert_eq!(differences(), Vec::<String>::new());
        for Setting { section, key, written, .. } in SETTINGS {
            let Some(written) = written else { continue };
            let head = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
            assert_eq!(settings(&format!("{head}{key} = {written}\n")), settings(""), "{section}.{key}");
        }
    }
}
