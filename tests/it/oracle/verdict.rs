//! What we say of a file of the corpus: all of the configuration is loaded with it, as for a user.

use std::path::Path;

use connector_core::error::Failure;
use connector_core::secret::Secret;
use connector_datafile::{Diagnostic, SourceFile, parse_connection, parse_datasource};
use s3_connector::config::{Surroundings, load};

use super::{SECRETS, folder};

/// The errors with which a file is refused, each with its line.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Code, message, and line if there is one.
    pub errors: Vec<(String, String, Option<usize>)>,
    /// The names of the columns of SCHEMA, if it is accepted.
    pub columns: Vec<String>,
}

impl Verdict {
    pub fn accepted(&self) -> bool {
        self.errors.is_empty()
    }
}

/// The connections that data sources of the corpus name.
const NAMED: [&str; 4] = ["shop", "shop_s3", "shop_drop", "connection_name"];

/// Loads a configuration of this file and the connections that it may need.
///
/// # Panics
/// If the parser alone refuses what the whole program accepts.
pub fn of(file: &str) -> Verdict {
    let bytes = std::fs::read(folder().join("corpus").join(file)).expect("readable");
    let home = tempfile::tempdir().expect("temp dir");
    let put = |path: String, bytes: &[u8]| {
        let path = home.path().join("config").join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        std::fs::write(path, bytes).expect("file");
    };
    let (_, name) = file.rsplit_once('/').expect("files are in folders");
    let (stem, kind) = name.rsplit_once('.').expect("a suffix");
    put(format!("{kind}s/{name}"), &bytes);
    for other in NAMED.iter().filter(|other| kind != "connection" || **other != stem) {
        put(format!("connections/{other}.connection"), b"TYPE s3\nS3_REGION us-east-1\nS3_ANONYMOUS true\n");
    }
    let mut verdict = loaded(home.path(), name);
    if let Some(text) = String::from_utf8(bytes).ok().filter(|_| verdict.accepted()) {
        verdict.columns = parsed(name, &text).unwrap_or_else(|| panic!("{file} is accepted, but not by the parser"));
    }
    verdict
}

fn secret(name: &str) -> Option<String> {
    SECRETS.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

fn loaded(home: &Path, name: &str) -> Verdict {
    let instance_secret = |_: &Path| Ok::<_, Failure>(Secret::new("an-instance-secret"));
    let around = Surroundings { variable: &secret, current_dir: home, instance_secret: &instance_secret };
    let Err(problems) = load(&home.join("config"), &around) else { return Verdict::default() };
    let told = |one: &Diagnostic| {
        let place = one.place.as_ref();
        let line = place.filter(|place| place.file.name().ends_with(name));
        let line = line.map(|place| place.file.line_column(place.span.start).0);
        (one.code.to_owned(), one.message.clone(), line)
    };
    let errors = problems.diagnostics.iter().filter(|one| one.is_error()).map(told).collect();
    Verdict { errors, columns: Vec::new() }
}

/// The names of the columns; `None` if the parser refuses the file.
fn parsed(name: &str, text: &str) -> Option<Vec<String>> {
    let source = SourceFile::new(name, text);
    let secrets = |name: &str| secret(name).map(Secret::new);
    let (columns, found) = match name.ends_with(".connection") {
        true => (None, parse_connection(&source, &secrets).1),
        false => {
            let (read, found) = parse_datasource(&source, &secrets);
            (read.columns, found)
        }
    };
    let names = columns.into_iter().flatten().map(|column| column.name.value).collect();
    found.iter().all(|one| !one.is_error()).then_some(names)
}
