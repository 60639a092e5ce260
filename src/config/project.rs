//! The configuration folder as a whole: settings, connections and data sources, checked against each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use connector_core::error::Failure;
use connector_core::evolve::EvolutionRules;
use connector_core::ids::ImportName;
use connector_core::ports::MaintenanceRules;
use connector_core::secret::Secret;
use connector_core::spec::{Access, Caller, ConnectionSpec, ImportSpec, StaticKeys};
use connector_datafile::datasource::connection_name;
use connector_datafile::suggest::nearest;
use connector_datafile::{
    AccessDef, Connection, DataSource, Diagnostic, Import, Problems, SourceFile, Span, parse_connection,
    parse_datasource,
};
use sha2::{Digest, Sha256};

use super::Surroundings;
use super::notes::{self, Note};
use super::secrets::SecretStore;
use super::settings::{self, Settings};

/// The name of the settings file.
pub const SETTINGS_FILE: &str = "s3-connector.toml";
/// Folders deeper than this are not looked into.
const MAX_DEPTH: usize = 8;

/// The code of the warning that there is nothing to import.
pub const NO_DATA_SOURCE: &str = "no_data_source";

/// A configuration that was accepted.
#[derive(Clone, Debug)]
pub struct Project {
    pub settings: Settings,
    /// One for each data source that has an import, by name.
    pub imports: Vec<ImportSpec>,
    /// All connections, by name, whether anything uses them or not.
    pub connections: Vec<ConnectionSpec>,
    /// The connection that writes the tables, if they are in a bucket.
    pub writer: Option<ConnectionSpec>,
    pub warnings: Vec<Diagnostic>,
    /// What each data source asks for and a Delta table cannot do, by its name; those without are left out.
    pub notes: BTreeMap<String, Vec<Note>>,
}

impl Project {
    /// Whether the tables may be where they are beside these imports: for a project whose place of the tables is not the
    /// one that it was loaded with.
    ///
    /// # Errors
    /// What is wrong with the place.
    pub fn check_destination(&self) -> Result<(), Problems> {
        let found = self.settings.bucket.as_ref().zip(self.writer.as_ref());
        let diagnostics = found.map_or_else(Vec::new, |(bucket, writer)| bucket.check(writer, &self.imports));
        if diagnostics.is_empty() { Ok(()) } else { Err(Problems { diagnostics }) }
    }
}

/// Loads a configuration folder: `s3-connector.toml` (may be absent: then all defaults hold),
/// `connections/**/*.connection` and `datasources/**/*.datasource`, and those that lie in the folder itself. Hidden files
/// and folders are left out.
///
/// # Errors
/// All problems of all files at once, warnings among them.
pub fn load(folder: &Path, around: &Surroundings<'_>) -> Result<Project, Problems> {
    let mut loader = Loader { around, diagnostics: Vec::new() };
    if !folder.is_dir() {
        let message = format!("there is no configuration folder {}", folder.display());
        let hint = "the default is config/ in the current directory, or that directory itself if it holds .connection \
                    and .datasource files; name another one with --config";
        let first =
            "to begin with nothing, let the first connection make it: s3-connector connection create s3_iamrole";
        let diagnostic = Diagnostic::error("missing_folder", message).hint(hint).hint(first);
        return Err(Problems { diagnostics: vec![diagnostic] });
    }
    let Parts { settings, connections, datasources, diagnostics, .. } = read_parts(folder, around);
    loader.diagnostics = diagnostics;
    loader.check_names(&connections, &datasources);
    loader.check_references(&connections, &datasources);
    loader.check_regions(&connections, &settings);
    if datasources.is_empty() {
        let message = format!("there is no data source in {}", shown(folder));
        let diagnostic = Diagnostic::warning(NO_DATA_SOURCE, message);
        loader.diagnostics.push(diagnostic.hint(if connections.is_empty() {
            "begin with a connection: s3-connector connection create s3_iamrole"
        } else {
            "a data source is a file such as datasources/orders.datasource, written from a sample by: s3-connector \
             datasource generate 's3://my-bucket/orders/*.csv'"
        }));
    }
    loader.check_destination(&connections, &settings);
    let imports = loader.imports(&settings, &connections, &datasources);
    let writer = loader.writer(&settings, &connections, &imports);
    let notes =
        datasources.iter().map(|found| (found.name.clone(), notes::of(found))).filter(|(_, all)| !all.is_empty());
    let specs = loader.specs(&connections, &settings);
    loader.finish(settings, imports, specs, writer, notes.collect())
}

/// The settings alone, as far as they can be read, whatever may be wrong with them or with the other files. For finding
/// the program that runs with this folder; good for nothing else.
pub fn load_settings(folder: &Path, around: &Surroundings<'_>) -> Settings {
    Loader { around, diagnostics: Vec::new() }.settings(&folder.join(SETTINGS_FILE))
}

/// The files of a configuration folder one by one, whatever is wrong with others: for those who make new files, or list
/// what there is.
#[derive(Debug)]
pub struct Parts {
    pub settings: Settings,
    pub connections: Vec<Connection>,
    pub datasources: Vec<DataSource>,
    /// All problems, each with its file.
    pub diagnostics: Vec<Diagnostic>,
    /// How many of the problems, the first ones, are those of the settings.
    of_settings: usize,
}

/// Reads a folder that need not be there, and checks nothing against anything.
pub fn read_parts(folder: &Path, around: &Surroundings<'_>) -> Parts {
    let mut loader = Loader { around, diagnostics: Vec::new() };
    let settings = loader.settings(&folder.join(SETTINGS_FILE));
    let of_settings = loader.diagnostics.len();
    let store = SecretStore::new(around.variable, settings.secrets_dir.clone());
    let secrets = |name: &str| store.lookup(name);
    let (mut connections, mut datasources) = (Vec::new(), Vec::new());
    for file in loader.files(&folder.join("connections"), "connection") {
        let (connection, found) = parse_connection(&file, &secrets);
        loader.diagnostics.extend(found);
        connections.push(connection);
    }
    for file in loader.files(&folder.join("datasources"), "datasource") {
        let (datasource, found) = parse_datasource(&file, &secrets);
        loader.diagnostics.extend(found);
        datasources.push(datasource);
    }
    loader.diagnostics.extend(store.problems());
    Parts { settings, connections, datasources, diagnostics: loader.diagnostics, of_settings }
}

impl Parts {
    /// What was found in the settings alone, and in the variables that override them.
    pub fn of_settings(&self) -> &[Diagnostic] {
        self.diagnostics.get(..self.of_settings).unwrap_or_default()
    }

    /// Files and secrets that are there and could not be read.
    pub fn unreadable(&self) -> Vec<Diagnostic> {
        let others = self.diagnostics.iter().skip(self.of_settings);
        others.filter(|diagnostic| diagnostic.is_error() && diagnostic.place.is_none()).cloned().collect()
    }

    /// Whether a file of the folder has an error.
    pub fn is_broken(&self, file: &SourceFile) -> bool {
        let at = |diagnostic: &Diagnostic| diagnostic.place.as_ref().is_some_and(|at| at.file.name() == file.name());
        self.diagnostics.iter().any(|diagnostic| diagnostic.is_error() && at(diagnostic))
    }

    /// A connection, ready to be used.
    ///
    /// # Errors
    /// What is wrong with its file, or with the settings; that there is no such connection; that it has no region.
    pub fn connection(&self, name: &str, around: &Surroundings<'_>) -> Result<ConnectionSpec, Problems> {
        let of_file = |file: &SourceFile| {
            let at =
                |diagnostic: &&Diagnostic| diagnostic.place.as_ref().is_some_and(|at| at.file.name() == file.name());
            self.diagnostics.iter().filter(|one| one.is_error()).filter(at).cloned().collect::<Vec<_>>()
        };
        let wanted = connection_name(name);
        let mut loader = Loader { around, diagnostics: self.settings_problems() };
        let Some(found) = self.connections.iter().find(|connection| connection.name == wanted) else {
            let names: Vec<&str> = self.connections.iter().map(|connection| connection.name.as_str()).collect();
            let diagnostic = Diagnostic::error("unknown_connection", format!("there is no connection '{wanted}'"));
            loader.diagnostics.push(match nearest(&wanted, names.iter().copied()) {
                Some(near) => diagnostic.suggest(Some(near)),
                None if names.is_empty() => diagnostic.hint(format!("create the file connections/{wanted}.connection")),
                None => diagnostic.hint(format!("connections are {}", names.join(", "))),
            });
            return Err(Problems { diagnostics: loader.diagnostics });
        };
        loader.diagnostics.extend(of_file(&found.file));
        loader.check_regions(std::slice::from_ref(found), &self.settings);
        let spec = if loader.has_errors() { None } else { loader.spec(found, &self.settings) };
        spec.ok_or(Problems { diagnostics: loader.diagnostics })
    }

    /// What is wrong with the settings.
    fn settings_problems(&self) -> Vec<Diagnostic> {
        let elsewhere = |diagnostic: &&Diagnostic| {
            let file = diagnostic.place.as_ref().map_or("", |place| place.file.name());
            diagnostic.is_error() && !file.ends_with(".connection") && !file.ends_with(".datasource")
        };
        self.diagnostics.iter().filter(elsewhere).cloned().collect()
    }
}

struct Loader<'a> {
    around: &'a Surroundings<'a>,
    diagnostics: Vec<Diagnostic>,
}

impl Loader<'_> {
    fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    fn finish(
        mut self,
        settings: Settings,
        imports: Vec<ImportSpec>,
        connections: Vec<ConnectionSpec>,
        writer: Option<ConnectionSpec>,
        notes: BTreeMap<String, Vec<Note>>,
    ) -> Result<Project, Problems> {
        let place = |diagnostic: &Diagnostic| {
            diagnostic.place.as_ref().map(|place| (place.file.name().to_owned(), place.span.start))
        };
        self.diagnostics.sort_by_cached_key(place);
        if self.has_errors() {
            return Err(Problems { diagnostics: self.diagnostics });
        }
        Ok(Project { settings, imports, connections, writer, warnings: self.diagnostics, notes })
    }

    fn settings(&mut self, path: &Path) -> Settings {
        let source = match std::fs::exists(path) {
            Ok(false) => SourceFile::new(shown(path), ""),
            _ => self.read(path).unwrap_or_else(|| SourceFile::new(shown(path), "")),
        };
        let (settings, found) = settings::parse(&source, self.around);
        self.diagnostics.extend(found);
        settings
    }

    fn read(&mut self, path: &Path) -> Option<SourceFile> {
        let text = std::fs::read(path).map_err(|error| error.to_string());
        let text = text.and_then(|bytes| String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()));
        match text {
            Ok(text) => Some(SourceFile::new(shown(path), text)),
            Err(reason) => {
                let message = format!("{} cannot be read: {reason}", shown(path));
                self.diagnostics
                    .push(Diagnostic::error("unreadable_file", message).hint("check the file and its rights"));
                None
            }
        }
    }

    /// The files of one kind below a folder, and those that lie beside it, by path.
    fn files(&mut self, folder: &Path, suffix: &str) -> Vec<SourceFile> {
        let mut paths = Vec::new();
        if let Some(root) = folder.parent().filter(|root| root.is_dir()) {
            self.walk(root, suffix, MAX_DEPTH, &mut paths);
        }
        if folder.is_dir() {
            self.walk(folder, suffix, 0, &mut paths);
        }
        paths.sort();
        paths.iter().filter_map(|path| self.read(path)).collect()
    }

    fn walk(&mut self, folder: &Path, suffix: &str, depth: usize, paths: &mut Vec<PathBuf>) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("the folder {} cannot be read: {error}", shown(folder));
                self.diagnostics
                    .push(Diagnostic::error("unreadable_file", message).hint("check the rights of the folder"));
                return;
            }
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
            if hidden {
                continue;
            }
            if path.is_dir() {
                if depth < MAX_DEPTH {
                    self.walk(&path, suffix, depth + 1, paths);
                }
            } else if path.extension().is_some_and(|extension| extension == suffix) {
                paths.push(path);
            }
        }
    }

    /// Names are compared without case, because file systems and query engines may do so, too.
    fn check_names(&mut self, connections: &[Connection], datasources: &[DataSource]) {
        let connections = connections.iter().map(|found| (found.name.as_str(), &found.file));
        let datasources = datasources.iter().map(|found| (found.name.as_str(), &found.file));
        self.check_unique("connections", connections);
        self.check_unique("data sources", datasources);
    }

    fn check_unique<'n>(&mut self, kind: &str, all: impl Iterator<Item = (&'n str, &'n SourceFile)>) {
        let mut seen: BTreeMap<String, &SourceFile> = BTreeMap::new();
        for (name, file) in all {
            let Some(first) = seen.get(&name.to_lowercase()) else {
                seen.insert(name.to_lowercase(), file);
                continue;
            };
            let diagnostic = Diagnostic::error("duplicate_name", format!("two {kind} are called {name}"))
                .at(file, Span::at(0))
                .label("the second one")
                .related(first, Span::at(0), "the first one")
                .hint("rename one of the files; names that differ only in case, or in '-' and '_', count as the same");
            self.diagnostics.push(diagnostic);
        }
    }

    fn check_references(&mut self, connections: &[Connection], datasources: &[DataSource]) {
        let names = || connections.iter().map(|connection| connection.name.as_str());
        for datasource in datasources {
            if !datasource.declares_import {
                let message = format!("the data source {} has no import", datasource.name);
                let diagnostic = Diagnostic::warning("no_import", message).at(&datasource.file, Span::at(0));
                self.diagnostics.push(diagnostic.hint("IMPORT_CONNECTION_NAME and IMPORT_BUCKET_URI make one"));
            }
            let Some(wanted) = datasource.connection.as_ref() else { continue };
            if names().any(|name| name == wanted.value) {
                continue;
            }
            let message = format!("there is no connection '{}'", wanted.value);
            let diagnostic = Diagnostic::error("unknown_connection", message).at(&datasource.file, wanted.span);
            let known: Vec<&str> = names().collect();
            self.diagnostics.push(match nearest(&wanted.value, names()) {
                Some(near) => diagnostic.suggest(Some(near)),
                None if known.is_empty() => {
                    diagnostic.hint(format!("create the file connections/{}.connection", wanted.value))
                }
                None => diagnostic.hint(format!("connections are {}", known.join(", "))),
            });
        }
    }

    fn check_regions(&mut self, connections: &[Connection], settings: &Settings) {
        let lacks_region = |found: &&Connection| !found.declares_region && region(found, settings).is_none();
        for connection in connections.iter().filter(lacks_region) {
            let message = format!("the connection {} has no region", connection.name);
            let diagnostic = Diagnostic::error("missing_region", message).at(&connection.file, connection.span);
            self.diagnostics.push(diagnostic.hint("add a line such as: S3_REGION us-east-1"));
        }
    }

    fn check_destination(&mut self, connections: &[Connection], settings: &Settings) {
        let Some(bucket) = &settings.bucket else { return };
        let known: Vec<&str> = connections.iter().map(|connection| connection.name.as_str()).collect();
        if !known.contains(&bucket.connection.as_str()) {
            self.diagnostics.push(bucket.unknown_connection(&known));
        }
    }

    /// The connection that writes the tables, and what is wrong with the place where it does.
    fn writer(
        &mut self,
        settings: &Settings,
        connections: &[Connection],
        imports: &[ImportSpec],
    ) -> Option<ConnectionSpec> {
        if self.has_errors() {
            return None;
        }
        let bucket = settings.bucket.as_ref()?;
        let connection = connections.iter().find(|found| found.name == bucket.connection)?;
        let spec = self.spec(connection, settings)?;
        self.diagnostics.extend(bucket.check(&spec, imports));
        Some(spec)
    }

    fn specs(&mut self, connections: &[Connection], settings: &Settings) -> Vec<ConnectionSpec> {
        // As with imports, deriving an external id may write a file.
        if self.has_errors() {
            return Vec::new();
        }
        connections.iter().filter_map(|connection| self.spec(connection, settings)).collect()
    }

    fn spec(&mut self, connection: &Connection, settings: &Settings) -> Option<ConnectionSpec> {
        match connection_spec(connection, settings, self.around) {
            Ok(spec) => Some(spec),
            Err(failure) => {
                let message = format!("no external id for {}: {failure}", connection.name);
                let diagnostic = Diagnostic::error("no_instance_secret", message);
                let diagnostic = diagnostic.at(&connection.file, connection.span);
                self.diagnostics.push(diagnostic.hint("add a line such as: S3_EXTERNAL_ID my-external-id"));
                None
            }
        }
    }

    fn imports(
        &mut self,
        settings: &Settings,
        connections: &[Connection],
        datasources: &[DataSource],
    ) -> Vec<ImportSpec> {
        let mut imports = Vec::new();
        // With errors nothing is built: deriving an external id may write a file.
        if self.has_errors() {
            return imports;
        }
        let mut specs: BTreeMap<&str, ConnectionSpec> = BTreeMap::new();
        for datasource in datasources {
            let Some(import) = &datasource.import else { continue };
            let Some(connection) = connections.iter().find(|found| found.name == import.connection.value) else {
                continue;
            };
            if !specs.contains_key(connection.name.as_str()) {
                let Some(spec) = self.spec(connection, settings) else { continue };
                specs.insert(&connection.name, spec);
            }
            if let Some(spec) = specs.get(connection.name.as_str()) {
                imports.push(import_spec(datasource, import, spec.clone(), settings));
            }
        }
        imports
    }
}

fn import_spec(
    datasource: &DataSource,
    import: &Import,
    connection: ConnectionSpec,
    settings: &Settings,
) -> ImportSpec {
    let columns = datasource.columns.as_ref();
    ImportSpec {
        name: ImportName::new(&datasource.name),
        connection,
        uri: import.uri.value.clone(),
        exclude: import.exclude.iter().map(|pattern| pattern.value.clone()).collect(),
        schedule: import.schedule.clone(),
        format: import.format,
        from_timestamp: import.from_timestamp.as_ref().map(|time| time.value),
        max_files: import.max_files.as_ref().map_or(settings.limits.files_per_tick, |number| number.value),
        columns: columns.map(|columns| columns.iter().map(|found| found.column.clone()).collect()),
        partition: datasource.partition.clone(),
        ttl: datasource.ttl.clone(),
        evolution: EvolutionRules {
            evolution: import.evolution,
            on_missing_column: import.on_missing_column,
            max_columns: settings.limits.max_columns,
        },
        csv: import.csv.clone(),
        guard: settings.limits.guard,
        overwrite: import.on_overwrite,
        maintenance: MaintenanceRules { retention: settings.limits.retention, ..MaintenanceRules::default() },
        tick: settings.limits.tick,
    }
}

/// The region of a connection: its own, else that of `[aws]`; an endpoint of its own can do without.
fn region(connection: &Connection, settings: &Settings) -> Option<String> {
    let own = connection.region.as_ref().map(|region| region.value.clone());
    let fallback = connection.endpoint.is_some().then(|| "us-east-1".to_owned());
    own.or_else(|| settings.aws.region.clone()).or(fallback)
}

fn connection_spec(
    connection: &Connection,
    settings: &Settings,
    around: &Surroundings<'_>,
) -> Result<ConnectionSpec, Failure> {
    let access = match &connection.access {
        AccessDef::Role { arn, external_id } => Access::Role {
            arn: arn.value.clone(),
            external_id: match external_id {
                Some(id) => id.value.clone(),
                None => derive_external_id(&(around.instance_secret)(&settings.data_dir)?, &connection.name),
            },
            caller: settings.aws.keys.clone().map_or(Caller::DefaultChain, Caller::Static),
        },
        AccessDef::Keys { access_key_id, secret_access_key } => Access::Static(StaticKeys {
            access_key_id: access_key_id.clone(),
            secret_access_key: secret_access_key.clone(),
            session_token: None,
        }),
        AccessDef::Anonymous => Access::Anonymous,
        AccessDef::DefaultChain => Access::DefaultChain,
    };
    let endpoint = connection.endpoint.as_ref().map(|endpoint| endpoint.value.clone());
    Ok(ConnectionSpec {
        name: connection.name.clone(),
        region: region(connection, settings).unwrap_or_default(),
        access,
        path_style: connection.path_style.unwrap_or_else(|| endpoint.as_deref().is_some_and(needs_path_style)),
        endpoint,
        sts_endpoint: settings.aws.sts_endpoint.clone(),
        requester_pays: connection.requester_pays,
        expected_owner: connection.expected_owner.as_ref().map(|owner| owner.value.clone()),
    })
}

/// A bucket name cannot be put before an IP address or `localhost`.
pub fn needs_path_style(endpoint: &str) -> bool {
    let authority = endpoint.split("://").nth(1).unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    authority.starts_with('[') || host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok()
}

/// An external id that stays the same for a data directory and a connection's name, spelled like a UUID, and from
/// which the secret cannot be found out.
pub fn derive_external_id(secret: &Secret, connection: &str) -> String {
    let mut hash = Sha256::new();
    for part in ["s3-connector external id", secret.expose(), connection] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// A path as messages name it; it still leads to the file.
fn shown(path: &Path) -> String {
    let path = path.strip_prefix(".").ok().filter(|rest| rest.components().next().is_some()).unwrap_or(path);
    path.display().to_string()
}

#[cfg(test)]
#[path = "project_tests.rs"]
mod tests;
