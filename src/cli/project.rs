//! Loading the configuration for a verb, with all its problems told at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_core::error::Failure;
use connector_core::secret::Secret;
use connector_core::spec::{ConnectionSpec, ImportSpec};
use connector_datafile::suggest::nearest;
use connector_datafile::{Diagnostic, Problems};
use connector_ledger::LedgerReader;

use super::{ConfigFolder, Ended, output};
use crate::app::live::Source;
use crate::app::watch::fingerprint;
use crate::app::{INSTANCE_SECRET, make_folder};
use crate::config::project::NO_DATA_SOURCE;
use crate::config::{Parts, Project, Settings, Surroundings, load, load_settings, process_variable, read_parts};
use crate::private_file;

/// Loads the folder with the environment of this process. Problems and warnings go to standard error.
pub fn load_project(folder: &ConfigFolder) -> Result<Project, Ended> {
    load_with(&folder.config, &process_variable)
}

/// The same, for those to whom it is nothing to warn of that there is no data source yet.
pub fn load_without_data_sources(folder: &ConfigFolder) -> Result<Project, Ended> {
    accept(&folder.config, &process_variable, |warning| warning.code != NO_DATA_SOURCE)
}

/// Loads the folder with variables from anywhere.
pub fn load_with(folder: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Project, Ended> {
    accept(folder, variable, |_| true)
}

/// `worth`: which warnings are told.
fn accept(
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    worth: impl Fn(&Diagnostic) -> bool,
) -> Result<Project, Ended> {
    match try_load(folder, variable)? {
        Ok(mut project) => {
            project.warnings.retain(worth);
            output::diagnostics(&project.warnings);
            Ok(project)
        }
        Err(problems) => {
            output::diagnostics(&problems.diagnostics);
            let errors = problems.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
            let noun = if errors == 1 { "problem" } else { "problems" };
            let message = format!("{errors} {noun} in the configuration; nothing was done");
            Err(Failure::config("bad_configuration", message).into())
        }
    }
}

/// Reads the files of the folder one by one, with the environment of this process, whatever is wrong with them.
pub fn with_parts<T>(
    folder: &ConfigFolder,
    work: impl FnOnce(&Parts, &Surroundings<'_>) -> Result<T, Ended>,
) -> Result<T, Ended> {
    let current_dir = current_dir()?;
    let around =
        Surroundings { variable: &process_variable, current_dir: &current_dir, instance_secret: &instance_secret };
    work(&read_parts(&folder.config, &around), &around)
}

/// A connection of the folder; what is wrong with it goes to standard error.
pub fn connection(parts: &Parts, around: &Surroundings<'_>, name: &str) -> Result<ConnectionSpec, Ended> {
    parts.connection(name, around).map_err(|problems| {
        output::diagnostics(&problems.diagnostics);
        Failure::config("bad_connection", format!("the connection {name} cannot be used")).into()
    })
}

/// The settings of a folder that may be broken, to find the program that runs with it.
pub fn settings_of(folder: &ConfigFolder) -> Result<Settings, Failure> {
    let current_dir = current_dir()?;
    let around =
        Surroundings { variable: &process_variable, current_dir: &current_dir, instance_secret: &instance_secret };
    Ok(load_settings(&folder.config, &around))
}

/// Loads the folder and tells nobody of its problems.
pub fn try_load(
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Result<Project, Problems>, Failure> {
    let current_dir = current_dir()?;
    let around = Surroundings { variable, current_dir: &current_dir, instance_secret: &instance_secret };
    Ok(load(folder, &around))
}

/// What a running program reads its configuration from, again and again. To be asked for before the configuration is
/// loaded that it starts with, so that no edit between the two is missed.
pub fn source(
    folder: &Path,
    variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Result<Source, Failure> {
    let (seen, current_dir, folder) = (fingerprint(folder), current_dir()?, folder.to_owned());
    let reads = folder.clone();
    let read = move || {
        let around = Surroundings { variable: &variable, current_dir: &current_dir, instance_secret: &instance_secret };
        load(&reads, &around)
    };
    Ok(Source { folder, seen, load: Arc::new(read) })
}

fn current_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::config("current_dir", format!("cannot tell the current directory: {error}")))
}

/// The import of a data source.
///
/// # Errors
/// If there is none of this name; the message has one that is spelled alike.
pub fn import<'a>(project: &'a Project, name: &str) -> Result<&'a ImportSpec, Failure> {
    let names = || project.imports.iter().map(|spec| spec.name.as_str());
    project.imports.iter().find(|spec| spec.name.as_str() == name).ok_or_else(|| {
        let hint = match nearest(name, names()) {
            Some(near) => format!("; did you mean {near}?"),
            None if project.imports.is_empty() => "; there is none at all".to_owned(),
            None => format!("; there are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        Failure::config("unknown_data_source", format!("there is no data source {name} with an import{hint}"))
    })
}

/// The ledger of the data directory, for reading; `None`, and a note, if there is none yet.
pub fn open_ledger(project: &Project) -> Result<Option<LedgerReader>, Failure> {
    let ledger = LedgerReader::open(&project.settings.data_dir)?;
    if ledger.is_none() {
        let data_dir = project.settings.data_dir.display();
        output::note(format!("note: there is no ledger in {data_dir}: nothing has run with this data directory yet"));
    }
    Ok(ledger)
}

fn instance_secret(data_dir: &Path) -> Result<Secret, Failure> {
    make_folder(data_dir)?;
    private_file::load_or_create(data_dir, INSTANCE_SECRET).map_err(|error| {
        let path = data_dir.join(INSTANCE_SECRET);
        Failure::config("instance_secret", format!("cannot keep the secret {}: {error}", path.display()))
    })
}
